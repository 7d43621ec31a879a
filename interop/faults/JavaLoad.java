// One idempotent Java producer over all partitions at a fixed rate; prints what it saw as one JSON line.

import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class JavaLoad {
    private static final int VALUE_BYTES = 1024;

    /** Arguments: address, topic, partitions, records a second and partition, seconds. */
    public static void main(String[] arguments) throws Exception {
        String topic = arguments[1];
        int partitions = Integer.parseInt(arguments[2]);
        long pauseNs = 1_000_000_000L / Integer.parseInt(arguments[3]);
        long rounds = 1_000_000_000L * Integer.parseInt(arguments[4]) / pauseNs;
        // Everything else as the client has it: idempotent, 32 MiB of buffer, two minutes for a delivery.
        Map<String, Object> configs = Map.of("bootstrap.servers", arguments[0]);
        AtomicLongArray longestMs = new AtomicLongArray(partitions);
        AtomicLong acknowledged = new AtomicLong();
        Map<String, Integer> errors = new TreeMap<>();
        long stallMs = 0;
        byte[] filler = ".".repeat(VALUE_BYTES - 16).getBytes(StandardCharsets.UTF_8);
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(configs, new ByteArraySerializer(), new ByteArraySerializer())) {
            long started = System.nanoTime();
            for (long round = 0; round < rounds; round++) {
                LockSupport.parkNanos(started + round * pauseNs - System.nanoTime());
                for (int partition = 0; partition < partitions; partition++) {
                    byte[] value = new byte[VALUE_BYTES];
                    System.arraycopy(String.format("%016d", round).getBytes(StandardCharsets.UTF_8), 0, value, 0, 16);
                    System.arraycopy(filler, 0, value, 16, filler.length);
                    long sent = System.nanoTime();
                    int place = partition;
                    producer.send(new ProducerRecord<>(topic, partition, null, value), (metadata, error) -> {
                        longestMs.accumulateAndGet(place, (System.nanoTime() - sent) / 1_000_000, Math::max);
                        if (error == null) {
                            acknowledged.incrementAndGet();
                        } else {
                            synchronized (errors) {
                                errors.merge(error.getClass().getSimpleName(), 1, Integer::sum);
                            }
                        }
                    });
                    stallMs = Math.max(stallMs, (System.nanoTime() - sent) / 1_000_000);
                }
            }
            producer.flush();
        }
        StringBuilder failed = new StringBuilder();
        errors.forEach((name, count) -> failed.append(failed.isEmpty() ? "" : ",").append("\"" + name + "\":" + count));
        System.out.println("{\"rounds\":" + rounds + ",\"acknowledged\":" + acknowledged + ",\"stall_ms\":" + stallMs
                + ",\"longest_ms\":" + longestMs + ",\"errors\":{" + failed + "}}");
    }
}
