import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.concurrent.Executors;

/** Rows as JSON from Java's own HTTP server, 8 threads: what an answer takes is garbage when it is sent. {@code java Rows PORT} */
public class Rows {
    private record Row(int number, String text) {
        String json() {
            return "{\"number\":" + number + ",\"text\":\"" + text + "\"}";
        }
    }

    private static void status(HttpExchange exchange) throws IOException {
        try (exchange) {
            exchange.sendResponseHeaders(200, -1);
        }
    }

    private static void rows(HttpExchange exchange) throws IOException {
        var count = Integer.parseInt(exchange.getRequestURI().getQuery().substring("count=".length()));
        var rows = new ArrayList<Row>();
        for (int i = 0; i < count; ++i) {
            rows.add(new Row(i, Integer.toString(i).repeat(40)));
        }
        var body = String.join(",\n", rows.stream().map(Row::json).toList()).getBytes(StandardCharsets.UTF_8);
        try (exchange) {
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
        }
    }

    public static void main(String[] arguments) throws IOException {
        var server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])), 0);
        server.createContext("/status", Rows::status);
        server.createContext("/rows", Rows::rows);
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.start();
    }
}
