package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"interop/lines"
)

var balancers = map[string]kafka.GroupBalancer{
	"range":      kafka.RangeGroupBalancer{},
	"roundrobin": kafka.RoundRobinGroupBalancer{},
}

func serveMember(asked string) {
	m := lines.NewMember(asked)
	start := kafka.FirstOffset
	if m.Reset == "latest" {
		start = kafka.LastOffset
	}
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID:                m.Group,
		Brokers:           []string{m.Bootstrap},
		Topics:            []string{m.Topic},
		GroupBalancers:    []kafka.GroupBalancer{balancers[m.Assignor]},
		HeartbeatInterval: m.Heartbeat(),
		SessionTimeout:    m.Session(),
		JoinGroupBackoff:  200 * time.Millisecond,
		StartOffset:       start,
	})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	go func() {
		<-m.Leaving
		cancel()
		// Nothing is processed any more before the group hears that the member leaves.
		work.Wait()
		_ = group.Close()
	}()
	for {
		generation, err := group.Next(ctx)
		if errors.Is(err, kafka.ErrGroupClosed) || ctx.Err() != nil {
			break
		}
		if err != nil {
			m.Tell("trouble", map[string]any{"message": err.Error()})
			continue
		}
		run(ctx, m, generation, &work)
	}
	work.Wait()
	_ = group.Close()
	m.Tell("left", nil)
}

// run starts one reader a partition; the last of them to end tells that the partitions are given up.
func run(ctx context.Context, m *lines.Member, generation *kafka.Generation, work *sync.WaitGroup) {
	places := generation.Assignments[m.Topic]
	partitions := []int{}
	for _, place := range places {
		partitions = append(partitions, place.ID)
	}
	m.Tell("assigned", map[string]any{"partitions": partitions})
	left := len(places)
	var lock sync.Mutex
	for _, place := range places {
		work.Add(1)
		generation.Start(func(ended context.Context) {
			defer work.Done()
			both, cancel := context.WithCancel(ended)
			defer cancel()
			stop := context.AfterFunc(ctx, cancel)
			defer stop()
			read(both, m, generation, place)
			lock.Lock()
			defer lock.Unlock()
			left--
			if left == 0 {
				m.Tell("revoked", map[string]any{"partitions": partitions})
			}
		})
	}
}

func read(ctx context.Context, m *lines.Member, generation *kafka.Generation, place kafka.PartitionAssignment) {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers:   []string{m.Bootstrap},
		Topic:     m.Topic,
		Partition: place.ID,
		MinBytes:  1,
		MaxBytes:  4 << 20,
		MaxWait:   100 * time.Millisecond,
	})
	defer reader.Close()
	if err := reader.SetOffset(place.Offset); err != nil {
		m.Tell("trouble", map[string]any{"message": err.Error()})
		return
	}
	for {
		message, err := reader.ReadMessage(ctx)
		if err != nil {
			if ctx.Err() == nil {
				m.Tell("trouble", map[string]any{"message": err.Error()})
				continue
			}
			return
		}
		spans := lines.Spans{}.With(message.Offset)
		last := message.Offset
		// What came with the same answer is processed in one go.
		for count := 1; count < 500; count++ {
			soon, cancel := context.WithTimeout(ctx, time.Millisecond)
			message, err := reader.ReadMessage(soon)
			cancel()
			if err != nil {
				break
			}
			spans = spans.With(message.Offset)
			last = message.Offset
		}
		m.Tell("records", map[string]any{"partition": place.ID, "offsets": spans})
		offsets := map[int]int64{place.ID: last + 1}
		if err := generation.CommitOffsets(map[string]map[int]int64{m.Topic: offsets}); err != nil {
			m.Tell("commit_failed", map[string]any{"error": err.Error()})
			continue
		}
		m.Tell("committed", map[string]any{"offsets": offsets})
	}
}
