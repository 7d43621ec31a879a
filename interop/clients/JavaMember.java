// Member of a consumer group on the Java client: events as JSON lines out, the word to leave in.
// What the events say and when they are told is written in member_loop.py.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

public final class JavaMember implements ConsumerRebalanceListener {
    private static final long COMMIT_S = 5;
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Map<String, String> ASSIGNORS = Map.of(
            "range", "org.apache.kafka.clients.consumer.RangeAssignor",
            "roundrobin", "org.apache.kafka.clients.consumer.RoundRobinAssignor",
            "cooperative", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");

    private final PrintStream events;
    private final String topic;
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final TreeSet<Integer> owned = new TreeSet<>();
    private final TreeMap<Integer, Long> uncommitted = new TreeMap<>();
    private volatile boolean isLeaving;

    private JavaMember(JsonNode asked, PrintStream events) {
        this.events = events;
        this.topic = asked.get("topic").asText();
        Map<String, Object> configs = new HashMap<>();
        configs.put("bootstrap.servers", asked.get("bootstrap").asText());
        configs.put("group.id", asked.get("group").asText());
        configs.put("enable.auto.commit", false);
        configs.put("auto.offset.reset", asked.get("reset").asText());
        configs.put("fetch.max.wait.ms", 100);
        configs.put("default.api.timeout.ms", 10_000);
        if (!asked.get("instance").isNull()) {
            configs.put("group.instance.id", asked.get("instance").asText());
        }
        if (asked.get("protocol").asText().equals("consumer")) {
            configs.put("group.protocol", "consumer");
        } else {
            configs.put("session.timeout.ms", asked.get("session_ms").asInt());
            configs.put("heartbeat.interval.ms", asked.get("heartbeat_ms").asInt());
            configs.put("partition.assignment.strategy", ASSIGNORS.get(asked.get("assignor").asText()));
        }
        this.consumer = new KafkaConsumer<>(configs, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    public static void main(String[] arguments) throws Exception {
        // What libraries print must not end up between the events.
        PrintStream events = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        System.setOut(System.err);
        JavaMember member = new JavaMember(JSON.readTree(arguments[0]), events);
        Thread word = new Thread(() -> {
            try {
                System.in.read();
            } catch (java.io.IOException closed) {
                // The end of standard input is the word as well.
            }
            member.isLeaving = true;
        });
        word.setDaemon(true);
        word.start();
        member.run();
        System.exit(0);
    }

    private void run() throws Exception {
        consumer.subscribe(List.of(topic), this);
        while (!isLeaving) {
            ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(100));
            for (TopicPartition place : records.partitions()) {
                List<ConsumerRecord<byte[], byte[]>> found = records.records(place);
                List<long[]> spans = new ArrayList<>();
                for (ConsumerRecord<byte[], byte[]> record : found) {
                    long offset = record.offset();
                    if (!spans.isEmpty() && spans.get(spans.size() - 1)[1] + 1 == offset) {
                        spans.get(spans.size() - 1)[1] = offset;
                    } else {
                        spans.add(new long[] {offset, offset});
                    }
                }
                uncommitted.put(place.partition(), found.get(found.size() - 1).offset() + 1);
                tell("records", Map.of("partition", place.partition(), "offsets", spans));
            }
            commit();
        }
        consumer.close();
        tell("left", Map.of());
    }

    private void commit() {
        if (uncommitted.isEmpty()) {
            return;
        }
        Map<TopicPartition, OffsetAndMetadata> places = new HashMap<>();
        uncommitted.forEach((partition, offset) ->
                places.put(new TopicPartition(topic, partition), new OffsetAndMetadata(offset)));
        try {
            consumer.commitSync(places);
        } catch (KafkaException failed) {
            tell("commit_failed", Map.of("error", failed.toString()));
            return;
        }
        tell("committed", Map.of("offsets", new TreeMap<>(uncommitted)));
        uncommitted.clear();
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        TreeSet<Integer> fresh = numbers(partitions);
        fresh.removeAll(owned);
        owned.addAll(fresh);
        // An empty assignment is one, too: the member is in the group.
        tell("assigned", Map.of("partitions", fresh));
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(COMMIT_S);
        while (partitions.stream().anyMatch(place -> uncommitted.containsKey(place.partition()))
                && System.nanoTime() < deadline) {
            commit();
        }
        giveUp("revoked", partitions);
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
        giveUp("lost", partitions);
    }

    private void giveUp(String event, Collection<TopicPartition> partitions) {
        TreeSet<Integer> gone = numbers(partitions);
        gone.retainAll(owned);
        owned.removeAll(gone);
        uncommitted.keySet().removeAll(gone);
        if (!gone.isEmpty()) {
            tell(event, Map.of("partitions", gone));
        }
    }

    private static TreeSet<Integer> numbers(Collection<TopicPartition> partitions) {
        TreeSet<Integer> numbers = new TreeSet<>();
        partitions.forEach(place -> numbers.add(place.partition()));
        return numbers;
    }

    private void tell(String event, Map<String, Object> fields) {
        Map<String, Object> line = new HashMap<>(fields);
        line.put("event", event);
        line.put("at", System.currentTimeMillis() / 1000.0);
        try {
            events.println(JSON.writeValueAsString(line));
        } catch (com.fasterxml.jackson.core.JsonProcessingException impossible) {
            throw new IllegalStateException(impossible);
        }
    }
}
