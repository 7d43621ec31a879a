// Command sarama is the driver of Sarama; `sarama member JSON` is a member of a consumer group.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/IBM/sarama"

	"interop/lines"
)

var codecs = map[string]sarama.CompressionCodec{
	"none":   sarama.CompressionNone,
	"gzip":   sarama.CompressionGZIP,
	"snappy": sarama.CompressionSnappy,
	"lz4":    sarama.CompressionLZ4,
	"zstd":   sarama.CompressionZSTD,
}

var acks = map[string]sarama.RequiredAcks{
	"0":   sarama.NoResponse,
	"1":   sarama.WaitForLocal,
	"all": sarama.WaitForAll,
}

type driver struct{ bootstrap []string }

func main() {
	if os.Args[1] == "member" {
		serveMember(os.Args[2])
		return
	}
	d := driver{bootstrap: os.Args[1:2]}
	lines.Serve(func(request lines.Request) (any, error) {
		result, err := d.call(request)
		return result, refusal(err)
	})
}

// refusal turns an error code in whatever the library wraps it into lines.Refused.
func refusal(err error) error {
	var sent sarama.ProducerErrors
	if errors.As(err, &sent) && len(sent) > 0 {
		err = sent[0].Err
	}
	var code sarama.KError
	var topic *sarama.TopicError
	var partition *sarama.TopicPartitionError
	switch {
	case errors.As(err, &topic):
		code = topic.Err
	case errors.As(err, &partition):
		code = partition.Err
	case !errors.As(err, &code):
		return err
	}
	return lines.Refused{Code: int(code), Message: err.Error()}
}

func config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	config.Metadata.AllowAutoTopicCreation = false
	config.Metadata.Retry.Max = 10
	config.Metadata.Retry.Backoff = 100 * time.Millisecond
	config.Consumer.Fetch.Default = 4 << 20
	config.Consumer.Return.Errors = true
	config.ApiVersionsRequest = true
	return config
}

func (d driver) call(request lines.Request) (any, error) {
	switch request.Call {
	case "offsets":
		return d.offsets(request)
	case "produce":
		return nil, d.produce(request)
	case "consume":
		return d.consume(request)
	}
	admin, err := sarama.NewClusterAdmin(d.bootstrap, config())
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	topic := request.Topic
	switch request.Call {
	case "create":
		configs := map[string]*string{}
		for name, value := range request.Configs {
			configs[name] = &value
		}
		detail := &sarama.TopicDetail{
			NumPartitions:     int32(request.Partitions),
			ReplicationFactor: 1,
			ConfigEntries:     configs,
		}
		return nil, admin.CreateTopic(topic, detail, false)
	case "delete":
		return nil, admin.DeleteTopic(topic)
	case "partitions":
		found, err := admin.DescribeTopics([]string{topic})
		if err != nil {
			return nil, err
		}
		if found[0].Err != sarama.ErrNoError {
			return nil, found[0].Err
		}
		return len(found[0].Partitions), nil
	case "configs":
		entries, err := admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic})
		configs := map[string]string{}
		for _, entry := range entries {
			configs[entry.Name] = entry.Value
		}
		return configs, err
	case "alter":
		changes := map[string]sarama.IncrementalAlterConfigsEntry{}
		for name, value := range request.Configs {
			changes[name] = sarama.IncrementalAlterConfigsEntry{
				Operation: sarama.IncrementalAlterConfigsOperationSet,
				Value:     &value,
			}
		}
		return nil, admin.IncrementalAlterConfig(sarama.TopicResource, topic, changes, false)
	case "grow":
		return nil, admin.CreatePartitions(topic, int32(request.Partitions), nil, false)
	case "groups", "group", "group_offsets", "set_group_offsets", "delete_group":
		return groupCall(admin, request)
	case "trim":
		return nil, admin.DeleteRecords(topic, map[int32]int64{int32(request.Partition): request.Before})
	}
	return nil, fmt.Errorf("unknown call %s", request.Call)
}

func (d driver) offsets(request lines.Request) (any, error) {
	client, err := sarama.NewClient(d.bootstrap, config())
	if err != nil {
		return nil, err
	}
	defer client.Close()
	first, err := client.GetOffset(request.Topic, int32(request.Partition), sarama.OffsetOldest)
	if err != nil {
		return nil, err
	}
	end, err := client.GetOffset(request.Topic, int32(request.Partition), sarama.OffsetNewest)
	return []int64{first, end}, err
}

func (d driver) produce(request lines.Request) error {
	config := config()
	// What the producer asks about, it may create.
	config.Metadata.AllowAutoTopicCreation = true
	config.Producer.RequiredAcks = acks[request.Acks]
	config.Producer.Compression = codecs[request.Codec]
	config.Producer.MaxMessageBytes = request.BytesMax
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.Return.Successes = true
	config.Producer.Timeout = lines.Wait / 2
	config.Producer.Flush.Messages = 1000
	config.Producer.Flush.Bytes = 64 << 10
	config.Producer.Flush.Frequency = 50 * time.Millisecond
	if request.Idempotent {
		config.Producer.Idempotent = true
		config.Net.MaxOpenRequests = 1
	}
	producer, err := sarama.NewSyncProducer(d.bootstrap, config)
	if err != nil {
		return err
	}
	var messages []*sarama.ProducerMessage
	for _, record := range request.Records {
		message := &sarama.ProducerMessage{Topic: request.Topic, Partition: 0}
		if record.Key != nil {
			message.Key = sarama.ByteEncoder(lines.Bytes(record.Key))
		}
		if record.Value != nil {
			message.Value = sarama.ByteEncoder(lines.Bytes(record.Value))
		}
		for _, header := range record.Headers {
			pair := sarama.RecordHeader{Key: lines.Bytes(header[0]), Value: lines.Bytes(header[1])}
			message.Headers = append(message.Headers, pair)
		}
		messages = append(messages, message)
	}
	err = producer.SendMessages(messages)
	return errors.Join(err, producer.Close())
}

func (d driver) consume(request lines.Request) (any, error) {
	client, err := sarama.NewClient(d.bootstrap, config())
	if err != nil {
		return nil, err
	}
	defer client.Close()
	end, err := client.GetOffset(request.Topic, 0, sarama.OffsetNewest)
	if err != nil {
		return nil, err
	}
	at, offset := request.StartAt()
	switch at {
	case "beginning":
		offset, err = client.GetOffset(request.Topic, 0, sarama.OffsetOldest)
	case "timestamp":
		offset, err = client.GetOffset(request.Topic, 0, offset)
	}
	if err != nil {
		return nil, err
	}
	records := []lines.Record{}
	if offset >= end {
		return records, nil
	}
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	partition, err := consumer.ConsumePartition(request.Topic, 0, offset)
	if err != nil {
		return nil, err
	}
	defer partition.AsyncClose()
	deadline := time.After(lines.Wait)
	for {
		select {
		case message := <-partition.Messages():
			records = append(records, record(message))
			if message.Offset+1 >= end {
				return records, nil
			}
		case err := <-partition.Errors():
			return nil, err.Err
		case <-deadline:
			return nil, fmt.Errorf("end %d not reached, %d records read", end, len(records))
		}
	}
}

func record(message *sarama.ConsumerMessage) lines.Record {
	headers := [][2]*string{}
	for _, header := range message.Headers {
		headers = append(headers, [2]*string{lines.Text(header.Key), lines.Text(header.Value)})
	}
	return lines.Record{
		Key:       lines.Text(message.Key),
		Value:     lines.Text(message.Value),
		Headers:   headers,
		Offset:    message.Offset,
		Timestamp: message.Timestamp.UnixMilli(),
	}
}
