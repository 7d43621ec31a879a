// Package lines is the loop of the Go drivers: one JSON request a line in, one JSON answer a line out.
package lines

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// Wait is how long a driver waits for the broker in one call.
const Wait = 20 * time.Second

// UnknownTopic is Kafka's error code of a topic that does not exist.
const UnknownTopic = 3

// Unsupported is returned for a call that the library cannot make.
var Unsupported = errors.New("the library has no means for it")

// Request has the arguments of every call; one that a call has not is zero.
type Request struct {
	Call       string            `json:"call"`
	Topic      string            `json:"topic"`
	Partition  int               `json:"partition"`
	Partitions int               `json:"partitions"`
	Configs    map[string]string `json:"configs"`
	Before     int64             `json:"before"`
	Acks       string            `json:"acks"`
	Codec      string            `json:"compression"`
	Idempotent bool              `json:"idempotent"`
	BytesMax   int               `json:"bytes_max"`
	Records    []Record          `json:"records"`
	Start      [2]any            `json:"start"`
	Group      string            `json:"group"`
	Offsets    map[int32]int64   `json:"offsets"`
}

// StartAt returns where to start reading: "beginning", "offset" or "timestamp", and its number.
func (r Request) StartAt() (string, int64) {
	number, _ := r.Start[1].(float64)
	return r.Start[0].(string), int64(number)
}

// Record is a record as text; nil is null. A header is a name and a value.
type Record struct {
	Key       *string      `json:"key"`
	Value     *string      `json:"value"`
	Headers   [][2]*string `json:"headers"`
	Offset    int64        `json:"offset"`
	Timestamp int64        `json:"timestamp"`
}

// Refused is an error code that the broker answered or the library reported.
type Refused struct {
	Code    int
	Message string
}

func (r Refused) Error() string { return fmt.Sprintf("error %d: %s", r.Code, r.Message) }

// Serve answers requests until standard input ends.
func Serve(call func(Request) (any, error)) {
	// What libraries print must not end up between the answers.
	answers := os.Stdout
	os.Stdout = os.Stderr
	requests := json.NewDecoder(bufio.NewReader(os.Stdin))
	for {
		var request Request
		if err := requests.Decode(&request); err != nil {
			return
		}
		result, err := call(request)
		answer := map[string]any{"result": result}
		var refused Refused
		switch {
		case err == nil:
		case errors.Is(err, Unsupported):
			answer = map[string]any{"unsupported": err.Error()}
		case errors.As(err, &refused):
			answer = map[string]any{"error": refused.Code, "message": refused.Message}
		default:
			answer = map[string]any{"failed": fmt.Sprintf("%T: %v", err, err)}
		}
		line, err := json.Marshal(answer)
		if err != nil {
			panic(err)
		}
		if _, err := answers.Write(append(line, '\n')); err != nil {
			return
		}
	}
}

// Bytes returns the bytes of a text, nil of nil.
func Bytes(text *string) []byte {
	if text == nil {
		return nil
	}
	return []byte(*text)
}

// Text returns bytes as text, nil of nil.
func Text(bytes []byte) *string {
	if bytes == nil {
		return nil
	}
	text := string(bytes)
	return &text
}
