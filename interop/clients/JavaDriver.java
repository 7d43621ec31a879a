// Driver of the Java client: one JSON request a line in, one JSON answer a line out.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class JavaDriver {
    private static final int WAIT_S = 20;
    private static final ObjectMapper JSON = new ObjectMapper();

    private final String bootstrap;
    private final Admin admin;

    private JavaDriver(String bootstrap) {
        this.bootstrap = bootstrap;
        this.admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
    }

    public static void main(String[] arguments) throws Exception {
        // What libraries print must not end up between the answers.
        PrintStream answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        System.setOut(System.err);
        JavaDriver driver = new JavaDriver(arguments[0]);
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = requests.readLine(); line != null; line = requests.readLine()) {
            Map<String, Object> answer = new HashMap<>();
            try {
                answer.put("result", driver.call(JSON.readTree(line)));
            } catch (Throwable thrown) {
                describe(thrown, answer);
            }
            answers.println(JSON.writeValueAsString(answer));
        }
        System.exit(0);
    }

    private static void describe(Throwable thrown, Map<String, Object> answer) {
        Throwable cause = thrown instanceof ExecutionException ? thrown.getCause() : thrown;
        Errors error = Errors.forException(cause);
        if (cause instanceof ApiException && error != Errors.UNKNOWN_SERVER_ERROR) {
            answer.put("error", error.code());
            answer.put("message", String.valueOf(cause.getMessage()));
            return;
        }
        StringWriter trace = new StringWriter();
        thrown.printStackTrace(new PrintWriter(trace));
        answer.put("failed", trace.toString());
    }

    private Object call(JsonNode request) throws Exception {
        String topic = request.get("topic").asText();
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        switch (request.get("call").asText()) {
            case "create": {
                NewTopic created = new NewTopic(topic, request.get("partitions").asInt(), (short) 1);
                created.configs(strings(request.get("configs")));
                return done(admin.createTopics(List.of(created)).all());
            }
            case "delete":
                return done(admin.deleteTopics(List.of(topic)).all());
            case "partitions":
                return await(admin.describeTopics(List.of(topic)).allTopicNames()).get(topic).partitions().size();
            case "configs": {
                Map<String, String> configs = new HashMap<>();
                await(admin.describeConfigs(List.of(resource)).all())
                        .get(resource)
                        .entries()
                        .forEach(entry -> configs.put(entry.name(), entry.value()));
                return configs;
            }
            case "alter": {
                Collection<AlterConfigOp> changes = new ArrayList<>();
                strings(request.get("configs")).forEach((name, value) ->
                        changes.add(new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET)));
                return done(admin.incrementalAlterConfigs(Map.of(resource, changes)).all());
            }
            case "grow": {
                NewPartitions total = NewPartitions.increaseTo(request.get("partitions").asInt());
                return done(admin.createPartitions(Map.of(topic, total)).all());
            }
            case "trim": {
                TopicPartition place = new TopicPartition(topic, request.get("partition").asInt());
                RecordsToDelete before = RecordsToDelete.beforeOffset(request.get("before").asLong());
                return done(admin.deleteRecords(Map.of(place, before)).all());
            }
            case "offsets": {
                TopicPartition place = new TopicPartition(topic, request.get("partition").asInt());
                try (KafkaConsumer<byte[], byte[]> consumer = consumer()) {
                    long first = consumer.beginningOffsets(List.of(place)).get(place);
                    return List.of(first, consumer.endOffsets(List.of(place)).get(place));
                }
            }
            case "groups": {
                List<String> names = new ArrayList<>();
                await(admin.listGroups().all()).forEach(listing -> names.add(listing.groupId()));
                return names;
            }
            case "group": {
                String group = request.get("group").asText();
                ConsumerGroupDescription found =
                        await(admin.describeConsumerGroups(List.of(group)).all()).get(group);
                return List.of(found.groupState().toString(), found.members().size());
            }
            case "group_offsets": {
                Map<Integer, Long> offsets = new HashMap<>();
                for (int partition = 0; partition < request.get("partitions").asInt(); partition++) {
                    offsets.put(partition, -1L);
                }
                await(admin.listConsumerGroupOffsets(request.get("group").asText()).partitionsToOffsetAndMetadata())
                        .forEach((place, offset) -> offsets.put(place.partition(), offset.offset()));
                return offsets;
            }
            case "set_group_offsets": {
                Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
                request.get("offsets").properties().forEach(entry -> offsets.put(
                        new TopicPartition(topic, Integer.parseInt(entry.getKey())),
                        new OffsetAndMetadata(entry.getValue().asLong())));
                return done(admin.alterConsumerGroupOffsets(request.get("group").asText(), offsets).all());
            }
            case "delete_group":
                return done(admin.deleteConsumerGroups(List.of(request.get("group").asText())).all());
            case "produce":
                return produce(topic, request);
            case "consume":
                return consume(topic, request.get("start"));
            default:
                throw new IllegalArgumentException("unknown call " + request.get("call"));
        }
    }

    private Object produce(String topic, JsonNode request) throws Exception {
        Map<String, Object> configs = new HashMap<>();
        configs.put("bootstrap.servers", bootstrap);
        configs.put("acks", request.get("acks").asText());
        configs.put("compression.type", request.get("compression").asText());
        configs.put("enable.idempotence", request.get("idempotent").asBoolean());
        configs.put("max.request.size", request.get("bytes_max").asInt());
        // Large enough that the records of a scenario become one batch.
        configs.put("batch.size", 64 * 1024);
        configs.put("linger.ms", 50);
        configs.put("request.timeout.ms", WAIT_S * 500);
        configs.put("delivery.timeout.ms", WAIT_S * 1000);
        configs.put("max.block.ms", WAIT_S * 1000);
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(configs, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (JsonNode record : request.get("records")) {
                List<Header> headers = new ArrayList<>();
                for (JsonNode header : record.get("headers")) {
                    headers.add(new RecordHeader(header.get(0).asText(), bytes(header.get(1))));
                }
                sent.add(producer.send(new ProducerRecord<>(
                        topic, 0, null, bytes(record.get("key")), bytes(record.get("value")), headers)));
            }
            producer.flush();
            for (Future<RecordMetadata> future : sent) {
                future.get(WAIT_S, TimeUnit.SECONDS);
            }
        }
        return null;
    }

    private KafkaConsumer<byte[], byte[]> consumer() {
        Map<String, Object> configs = new HashMap<>();
        configs.put("bootstrap.servers", bootstrap);
        configs.put("auto.offset.reset", "none");
        configs.put("allow.auto.create.topics", false);
        configs.put("default.api.timeout.ms", WAIT_S * 500);
        configs.put("max.partition.fetch.bytes", 4 << 20);
        return new KafkaConsumer<>(configs, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private Object consume(String topic, JsonNode start) throws Exception {
        TopicPartition place = new TopicPartition(topic, 0);
        try (KafkaConsumer<byte[], byte[]> consumer = consumer()) {
            if (consumer.partitionsFor(topic).isEmpty()) {
                throw Errors.UNKNOWN_TOPIC_OR_PARTITION.exception();
            }
            long end = consumer.endOffsets(List.of(place)).get(place);
            consumer.assign(List.of(place));
            switch (start.get(0).asText()) {
                case "beginning":
                    consumer.seekToBeginning(List.of(place));
                    break;
                case "offset":
                    consumer.seek(place, start.get(1).asLong());
                    break;
                default:
                    long time = start.get(1).asLong();
                    consumer.seek(place, consumer.offsetsForTimes(Map.of(place, time)).get(place).offset());
            }
            List<Object> records = new ArrayList<>();
            long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(WAIT_S);
            while (consumer.position(place) < end) {
                if (System.nanoTime() > deadline) {
                    throw new TimeoutException("end " + end + " not reached, " + records.size() + " records read");
                }
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(500))) {
                    records.add(json(record));
                }
            }
            return records;
        }
    }

    private static Object json(ConsumerRecord<byte[], byte[]> record) {
        List<Object> headers = new ArrayList<>();
        for (Header header : record.headers()) {
            headers.add(Arrays.asList(header.key(), text(header.value())));
        }
        Map<String, Object> fields = new HashMap<>();
        fields.put("offset", record.offset());
        fields.put("timestamp", record.timestamp());
        fields.put("key", text(record.key()));
        fields.put("value", text(record.value()));
        fields.put("headers", headers);
        return fields;
    }

    private static <T> T await(KafkaFuture<T> future) throws Exception {
        return future.get(WAIT_S, TimeUnit.SECONDS);
    }

    private static Object done(KafkaFuture<?> future) throws Exception {
        await(future);
        return null;
    }

    private static Map<String, String> strings(JsonNode object) {
        Map<String, String> values = new HashMap<>();
        object.properties().forEach(entry -> values.put(entry.getKey(), entry.getValue().asText()));
        return values;
    }

    private static byte[] bytes(JsonNode text) {
        return text.isNull() ? null : text.asText().getBytes(StandardCharsets.UTF_8);
    }

    private static String text(byte[] bytes) {
        return bytes == null ? null : new String(bytes, StandardCharsets.UTF_8);
    }
}
