import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * A server whose requests drop so much when 1,000 more have come, {@code /garbage/BYTES}: the Java heap fills until it is collected.
 * {@code java -Dsun.net.httpserver.nodelay=true Growing PORT} prints its port.
 */
public class Growing {
    private static final byte[][] YOUNG = new byte[1_000][];
    private static final AtomicInteger NUMBERS = new AtomicInteger();

    public static void main(String[] arguments) throws IOException {
        var server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])), 0);
        server.createContext("/", exchange -> {
            var path = exchange.getRequestURI().getPath().split("/");
            if (path.length > 2) {
                YOUNG[NUMBERS.getAndIncrement() % YOUNG.length] = new byte[Integer.parseInt(path[2])];
            }
            try (exchange) {
                exchange.sendResponseHeaders(200, 3);
                exchange.getResponseBody().write("ok\n".getBytes());
            }
        });
        server.setExecutor(Executors.newFixedThreadPool(4));
        server.start();
        System.out.println(server.getAddress().getPort());
    }
}
