// Command kafkago is the driver of segmentio/kafka-go; `kafkago member JSON` is a member of a consumer group.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/segmentio/kafka-go"

	"interop/lines"
)

var codecs = map[string]kafka.Compression{
	"none":   0,
	"gzip":   kafka.Gzip,
	"snappy": kafka.Snappy,
	"lz4":    kafka.Lz4,
	"zstd":   kafka.Zstd,
}

var acks = map[string]kafka.RequiredAcks{
	"0":   kafka.RequireNone,
	"1":   kafka.RequireOne,
	"all": kafka.RequireAll,
}

// How many bytes of records go into one batch; a larger record makes a batch of its own.
const batchBytes = 1_000_000

func main() {
	if os.Args[1] == "member" {
		serveMember(os.Args[2])
		return
	}
	bootstrap := os.Args[1]
	lines.Serve(func(request lines.Request) (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), lines.Wait)
		defer cancel()
		// A transport remembers metadata for seconds, so every call has its own.
		transport := &kafka.Transport{}
		defer transport.CloseIdleConnections()
		d := driver{
			bootstrap: bootstrap,
			client:    &kafka.Client{Addr: kafka.TCP(bootstrap), Transport: transport},
		}
		result, err := d.call(ctx, request)
		return result, refusal(err)
	})
}

// refusal turns an error code in whatever the library wraps it into lines.Refused.
func refusal(err error) error {
	var sent kafka.WriteErrors
	if errors.As(err, &sent) {
		err = errors.Join(sent...)
	}
	var code kafka.Error
	if errors.As(err, &code) {
		return lines.Refused{Code: int(code), Message: err.Error()}
	}
	return err
}

type driver struct {
	bootstrap string
	client    *kafka.Client
}

func (d driver) call(ctx context.Context, request lines.Request) (any, error) {
	topic := request.Topic
	switch request.Call {
	case "create":
		created := kafka.TopicConfig{Topic: topic, NumPartitions: request.Partitions, ReplicationFactor: 1}
		for name, value := range request.Configs {
			created.ConfigEntries = append(created.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: value})
		}
		answer, err := d.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{created}})
		if err != nil {
			return nil, err
		}
		return nil, answer.Errors[topic]
	case "delete":
		answer, err := d.client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
		if err != nil {
			return nil, err
		}
		return nil, answer.Errors[topic]
	case "partitions":
		return d.partitions(ctx, topic)
	case "configs":
		return d.configs(ctx, topic)
	case "offsets":
		return d.offsets(ctx, topic, request.Partition)
	case "grow":
		total := kafka.TopicPartitionsConfig{Name: topic, Count: int32(request.Partitions)}
		asked := &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{total}}
		answer, err := d.client.CreatePartitions(ctx, asked)
		if err != nil {
			return nil, err
		}
		return nil, answer.Errors[topic]
	case "alter":
		return nil, d.alter(ctx, topic, request.Configs)
	case "trim":
		return nil, lines.Unsupported
	case "produce":
		return nil, d.produce(ctx, request)
	case "consume":
		return d.consume(ctx, request)
	}
	return nil, lines.Unsupported
}

func (d driver) partitions(ctx context.Context, topic string) (any, error) {
	answer, err := d.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return nil, err
	}
	return len(answer.Topics[0].Partitions), answer.Topics[0].Error
}

func (d driver) configs(ctx context.Context, topic string) (any, error) {
	resource := kafka.DescribeConfigRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic}
	asked := &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{resource}}
	answer, err := d.client.DescribeConfigs(ctx, asked)
	if err != nil {
		return nil, err
	}
	configs := map[string]string{}
	for _, entry := range answer.Resources[0].ConfigEntries {
		configs[entry.ConfigName] = entry.ConfigValue
	}
	return configs, answer.Resources[0].Error
}

func (d driver) alter(ctx context.Context, topic string, configs map[string]string) error {
	resource := kafka.IncrementalAlterConfigsRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic}
	for name, value := range configs {
		change := kafka.IncrementalAlterConfigsRequestConfig{
			Name:            name,
			Value:           value,
			ConfigOperation: kafka.ConfigOperationSet,
		}
		resource.Configs = append(resource.Configs, change)
	}
	asked := &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{resource}}
	answer, err := d.client.IncrementalAlterConfigs(ctx, asked)
	if err != nil {
		return err
	}
	return answer.Resources[0].Error
}

func (d driver) offsets(ctx context.Context, topic string, partition int) ([]int64, error) {
	asked := []kafka.OffsetRequest{kafka.FirstOffsetOf(partition), kafka.LastOffsetOf(partition)}
	answer, err := d.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{topic: asked},
	})
	if err != nil {
		return nil, err
	}
	found := answer.Topics[topic][0]
	return []int64{found.FirstOffset, found.LastOffset}, found.Error
}

func (d driver) produce(ctx context.Context, request lines.Request) error {
	if request.Idempotent {
		return lines.Unsupported
	}
	writer := &kafka.Writer{
		Addr:         kafka.TCP(d.bootstrap),
		Topic:        request.Topic,
		Balancer:     kafka.BalancerFunc(func(kafka.Message, ...int) int { return 0 }),
		BatchSize:    1000,
		BatchBytes:   int64(request.BytesMax),
		BatchTimeout: 50 * time.Millisecond,
		RequiredAcks: acks[request.Acks],
		Compression:  codecs[request.Codec],
		Transport:    d.client.Transport,
	}
	var batch []kafka.Message
	size := 0
	var err error
	for _, record := range request.Records {
		message := kafka.Message{Key: lines.Bytes(record.Key), Value: lines.Bytes(record.Value)}
		for _, header := range record.Headers {
			pair := kafka.Header{Key: *header[0], Value: lines.Bytes(header[1])}
			message.Headers = append(message.Headers, pair)
		}
		bytes := len(message.Key) + len(message.Value)
		if len(batch) > 0 && size+bytes > batchBytes {
			err = errors.Join(err, writer.WriteMessages(ctx, batch...))
			batch, size = nil, 0
		}
		batch = append(batch, message)
		size += bytes
	}
	return errors.Join(err, writer.WriteMessages(ctx, batch...), writer.Close())
}

func (d driver) consume(ctx context.Context, request lines.Request) (any, error) {
	// A reader waits for a topic that does not exist.
	if _, err := d.partitions(ctx, request.Topic); err != nil {
		return nil, err
	}
	places, err := d.offsets(ctx, request.Topic, 0)
	if err != nil {
		return nil, err
	}
	records := []lines.Record{}
	if places[0] == places[1] {
		return records, nil
	}
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers:               []string{d.bootstrap},
		Topic:                 request.Topic,
		Partition:             0,
		MinBytes:              1,
		MaxBytes:              4 << 20,
		MaxWait:               500 * time.Millisecond,
		OffsetOutOfRangeError: true,
	})
	defer reader.Close()
	at, number := request.StartAt()
	switch at {
	case "beginning":
		err = reader.SetOffset(kafka.FirstOffset)
	case "offset":
		err = reader.SetOffset(number)
	default:
		err = reader.SetOffsetAt(ctx, time.UnixMilli(number))
	}
	if err != nil {
		return nil, err
	}
	for {
		message, err := reader.ReadMessage(ctx)
		if err != nil {
			return nil, fmt.Errorf("end %d not reached, %d records read: %w", places[1], len(records), err)
		}
		// The reader gives nil for what is empty as well, so what was stored cannot be told.
		if message.Key == nil || message.Value == nil {
			return nil, lines.Unsupported
		}
		headers := [][2]*string{}
		for _, header := range message.Headers {
			value := string(header.Value)
			headers = append(headers, [2]*string{&header.Key, &value})
		}
		records = append(records, lines.Record{
			Key:       lines.Text(message.Key),
			Value:     lines.Text(message.Value),
			Headers:   headers,
			Offset:    message.Offset,
			Timestamp: message.Time.UnixMilli(),
		})
		if message.Offset+1 >= places[1] {
			return records, nil
		}
	}
}
