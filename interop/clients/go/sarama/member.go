package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"interop/lines"
)

var strategies = map[string]func() sarama.BalanceStrategy{
	"range":      sarama.NewBalanceStrategyRange,
	"roundrobin": sarama.NewBalanceStrategyRoundRobin,
}

// member is a member of a consumer group.
type member struct {
	*lines.Member
	commits sync.Mutex
}

func serveMember(asked string) {
	m := &member{Member: lines.NewMember(asked)}
	config := config()
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	if m.Reset == "latest" {
		config.Consumer.Offsets.Initial = sarama.OffsetNewest
	}
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	config.Consumer.Group.Session.Timeout = m.Session()
	config.Consumer.Group.Heartbeat.Interval = m.Heartbeat()
	config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategies[m.Assignor]()}
	if m.Instance != nil {
		config.Consumer.Group.InstanceId = *m.Instance
	}
	group, err := sarama.NewConsumerGroup([]string{m.Bootstrap}, m.Group, config)
	if err != nil {
		panic(err)
	}
	go func() {
		for err := range group.Errors() {
			m.Tell("trouble", map[string]any{"message": err.Error()})
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-m.Leaving
		cancel()
	}()
	for ctx.Err() == nil {
		if err := group.Consume(ctx, []string{m.Topic}, m); err != nil && !errors.Is(err, context.Canceled) {
			m.Tell("trouble", map[string]any{"message": err.Error()})
			time.Sleep(100 * time.Millisecond)
		}
	}
	_ = group.Close()
	m.Tell("left", nil)
}

// Setup tells what the generation brought.
func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	m.Tell("assigned", map[string]any{"partitions": partitionsOf(session, m.Topic)})
	return nil
}

// Cleanup runs when nothing is processed any more. The library says of a commit only what went wrong.
func (m *member) Cleanup(session sarama.ConsumerGroupSession) error {
	session.Commit()
	if gone := partitionsOf(session, m.Topic); len(gone) > 0 {
		m.Tell("revoked", map[string]any{"partitions": gone})
	}
	return nil
}

func partitionsOf(session sarama.ConsumerGroupSession, topic string) []int32 {
	return append([]int32{}, session.Claims()[topic]...)
}

// ConsumeClaim processes one partition until the generation ends.
func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case <-session.Context().Done():
			return nil
		case message, isOpen := <-claim.Messages():
			if !isOpen {
				return nil
			}
			spans := lines.Spans{}.With(message.Offset)
			last := message
			for count := 1; count < 500; count++ {
				select {
				case message, isOpen := <-claim.Messages():
					if isOpen {
						spans = spans.With(message.Offset)
						last = message
						continue
					}
				default:
				}
				break
			}
			m.Tell("records", map[string]any{"partition": claim.Partition(), "offsets": spans})
			session.MarkMessage(last, "")
			m.commits.Lock()
			session.Commit()
			m.commits.Unlock()
		}
	}
}
