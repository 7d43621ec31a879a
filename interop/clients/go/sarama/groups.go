package main

import (
	"fmt"

	"github.com/IBM/sarama"

	"interop/lines"
)

// groupCall makes the calls about consumer groups.
func groupCall(admin sarama.ClusterAdmin, request lines.Request) (any, error) {
	group, topic := request.Group, request.Topic
	switch request.Call {
	case "groups":
		found, err := admin.ListConsumerGroups()
		names := []string{}
		for name := range found {
			names = append(names, name)
		}
		return names, err
	case "group":
		found, err := admin.DescribeConsumerGroups([]string{group})
		if err != nil {
			return nil, err
		}
		if found[0].Err != sarama.ErrNoError {
			return nil, found[0].Err
		}
		return []any{found[0].State, len(found[0].Members)}, nil
	case "group_offsets":
		partitions := []int32{}
		for index := range int32(request.Partitions) {
			partitions = append(partitions, index)
		}
		found, err := admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: partitions})
		if err != nil {
			return nil, err
		}
		offsets := map[int32]int64{}
		for _, index := range partitions {
			offsets[index] = found.GetBlock(topic, index).Offset
		}
		return offsets, nil
	case "set_group_offsets":
		places := map[int32]sarama.OffsetAndMetadata{}
		for index, offset := range request.Offsets {
			places[index] = sarama.OffsetAndMetadata{Offset: offset, LeaderEpoch: -1}
		}
		answer, err := admin.AlterConsumerGroupOffsets(group, map[string]map[int32]sarama.OffsetAndMetadata{topic: places}, nil)
		if err != nil {
			return nil, err
		}
		for _, code := range answer.Errors[topic] {
			if code != sarama.ErrNoError {
				return nil, code
			}
		}
		return nil, nil
	case "delete_group":
		return nil, admin.DeleteConsumerGroup(group)
	}
	return nil, fmt.Errorf("unknown call %s", request.Call)
}
