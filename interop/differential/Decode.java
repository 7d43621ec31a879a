import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.RequestHeaderDataJsonConverter;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.message.ResponseHeaderDataJsonConverter;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.MessageUtil;

/**
 * Reads frames with Kafka's own message classes: a line `request|answer KEY VERSION HEX` in, a line of JSON out with
 * header, body, the bytes that Kafka's classes write of them, and how many bytes of the frame were left over; or why it
 * cannot be read.
 */
public class Decode {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split(" ");
            ObjectNode told = JSON.createObjectNode();
            try {
                short key = Short.parseShort(words[1]);
                short version = Short.parseShort(words[2]);
                ByteBuffer frame = ByteBuffer.wrap(HexFormat.of().parseHex(words.length > 3 ? words[3] : ""));
                read(words[0].equals("request"), ApiMessageType.fromApiKey(key), version, frame, told);
            } catch (Exception error) {
                told.put("error", error.toString());
            }
            out.println(told);
        }
        out.flush();
    }

    private static void read(boolean isRequest, ApiMessageType api, short version, ByteBuffer frame, ObjectNode told)
            throws Exception {
        ByteBufferAccessor bytes = new ByteBufferAccessor(frame);
        ApiMessage header;
        ApiMessage body;
        short headerVersion;
        if (isRequest) {
            headerVersion = api.requestHeaderVersion(version);
            RequestHeaderData data = new RequestHeaderData(bytes, headerVersion);
            told.set("header", RequestHeaderDataJsonConverter.write(data, headerVersion));
            header = data;
            body = api.newRequest();
        } else {
            headerVersion = api.responseHeaderVersion(version);
            ResponseHeaderData data = new ResponseHeaderData(bytes, headerVersion);
            told.set("header", ResponseHeaderDataJsonConverter.write(data, headerVersion));
            header = data;
            body = api.newResponse();
        }
        body.read(bytes, version);
        told.put("left", frame.remaining());
        ByteBuffer head = MessageUtil.toByteBufferAccessor(header, headerVersion).buffer();
        ByteBuffer rest = MessageUtil.toByteBufferAccessor(body, version).buffer();
        told.put("written", hex(head) + hex(rest));
        told.set("body", json(body, version));
    }

    /** The converter that Kafka generates beside each message class. */
    private static JsonNode json(ApiMessage body, short version) throws Exception {
        Class<?> converter = Class.forName(body.getClass().getName() + "JsonConverter");
        for (Method method : converter.getMethods()) {
            if (method.getName().equals("write") && method.getParameterCount() == 3) {
                return (JsonNode) method.invoke(null, body, version, false);
            }
        }
        throw new NoSuchMethodException(converter + ".write");
    }

    private static String hex(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return HexFormat.of().formatHex(bytes);
    }
}
