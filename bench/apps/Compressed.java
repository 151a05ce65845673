import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Random;
import java.util.concurrent.Executors;
import java.util.zip.GZIPOutputStream;

/** Rows as compressed JSON from Java's own HTTP server, 16 threads: zlib's memory is malloc's. {@code java Compressed PORT} */
public class Compressed {
    private static final String[] BODIES = bodies(5_000);

    private static String[] bodies(int count) {
        var random = new Random(1);
        var bodies = new String[count];
        for (int i = 0; i < count; ++i) {
            var body = new StringBuilder();
            for (int length = 1_000 + random.nextInt(7_000); length > 0; --length) {
                body.append((char) ('a' + random.nextInt(26)));
            }
            bodies[i] = body.toString();
        }
        return bodies;
    }

    private static void status(HttpExchange exchange) throws IOException {
        try (exchange) {
            exchange.sendResponseHeaders(200, -1);
        }
    }

    private static void rows(HttpExchange exchange) throws IOException {
        int first = 0;
        int count = 0;
        for (var parameter : exchange.getRequestURI().getQuery().split("&")) {
            var value = Integer.parseInt(parameter.substring(parameter.indexOf('=') + 1));
            if (parameter.startsWith("first=")) {
                first = value - 1;
            } else {
                count = value;
            }
        }
        exchange.getResponseHeaders().set("Content-Encoding", "gzip");
        exchange.sendResponseHeaders(200, 0);
        try (exchange; var output = new GZIPOutputStream(exchange.getResponseBody(), 1 << 16)) {
            for (int i = first; i < Math.min(first + count, BODIES.length); ++i) {
                var row = "{\"id\":" + (i + 1) + ",\"body\":\"" + BODIES[i] + "\"},\n";
                output.write(row.getBytes(StandardCharsets.UTF_8));
            }
        }
    }

    public static void main(String[] arguments) throws IOException {
        var server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])), 0);
        server.createContext("/status", Compressed::status);
        server.createContext("/rows", Compressed::rows);
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.start();
    }
}
