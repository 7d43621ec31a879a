package lines

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"sync"
	"time"
)

// Asked is what a member of a consumer group is told at its start.
type Asked struct {
	Bootstrap   string  `json:"bootstrap"`
	Group       string  `json:"group"`
	Topic       string  `json:"topic"`
	Reset       string  `json:"reset"`
	Assignor    string  `json:"assignor"`
	Instance    *string `json:"instance"`
	SessionMs   int     `json:"session_ms"`
	HeartbeatMs int     `json:"heartbeat_ms"`
}

// Member tells the events of a member as JSON lines; what they say is written in member_loop.py.
type Member struct {
	Asked
	// Leaving is closed when the member has to leave.
	Leaving chan struct{}
	events  io.Writer
	lock    sync.Mutex
}

// NewMember reads what is asked and listens for the word to leave.
func NewMember(asked string) *Member {
	// What libraries print must not end up between the events.
	member := &Member{Leaving: make(chan struct{}), events: os.Stdout}
	os.Stdout = os.Stderr
	if err := json.Unmarshal([]byte(asked), &member.Asked); err != nil {
		panic(err)
	}
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		close(member.Leaving)
	}()
	return member
}

// Tell writes one event.
func (m *Member) Tell(event string, fields map[string]any) {
	m.lock.Lock()
	defer m.lock.Unlock()
	line := map[string]any{"event": event, "at": float64(time.Now().UnixMicro()) / 1e6}
	for name, value := range fields {
		line[name] = value
	}
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	_, _ = m.events.Write(append(text, '\n'))
}

// Session is the time without a heartbeat after which a member is removed.
func (m *Member) Session() time.Duration { return time.Duration(m.SessionMs) * time.Millisecond }

// Heartbeat is the time between heartbeats.
func (m *Member) Heartbeat() time.Duration { return time.Duration(m.HeartbeatMs) * time.Millisecond }

// Spans are offsets as [first, last] of every run without a hole.
type Spans [][2]int64

// With adds one offset at the end.
func (s Spans) With(offset int64) Spans {
	if last := len(s) - 1; last >= 0 && s[last][1]+1 == offset {
		s[last][1] = offset
		return s
	}
	return append(s, [2]int64{offset, offset})
}
