import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.lang.ref.WeakReference;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * A server whose answers leave garbage: arrays, which Java keeps until it collects.
 *
 * <pre>
 * java Garbage.java PORT
 *
 * /garbage          sixty megabytes of it
 * /tell             how many of these answers' objects are gone, and as what the library's thread was seen: "" (never), "daemon" or "user"
 * /threads          whether it is seen now
 * /exit             ends with status 7, by System.exit, in the middle of everything
 * /return           ends with its last thread, by DestroyJavaVM
 * anything else     a short answer
 * </pre>
 *
 * <p>Prints its port.
 */
final class Garbage {
    private static final List<WeakReference<Object>> LEFT = new ArrayList<>();
    private static volatile String seen = "";

    private static String garbage() {
        List<byte[]> rows = new ArrayList<>();
        for (int row = 0; row < 60_000; row++) {
            rows.add(new byte[1_000]);
        }
        synchronized (LEFT) {
            LEFT.add(new WeakReference<>(rows));
        }
        return Integer.toString(rows.size());
    }

    private static long gone() {
        synchronized (LEFT) {
            return LEFT.stream().filter(left -> left.get() == null).count();
        }
    }

    private static boolean look() {
        for (Thread thread : Thread.getAllStackTraces().keySet()) {
            if (thread.getName().equals("autotrim")) {
                seen = thread.isDaemon() ? "daemon" : "user";
                return true;
            }
        }
        return false;
    }

    private static void watch() {
        while (true) {
            look();
            Thread.onSpinWait();
        }
    }

    private static void answer(HttpExchange exchange, String text) throws IOException {
        byte[] body = (text + "\n").getBytes();
        exchange.sendResponseHeaders(200, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }

    public static void main(String[] arguments) throws IOException {
        InetSocketAddress address = new InetSocketAddress(InetAddress.getLoopbackAddress(), Integer.parseInt(arguments[0]));
        HttpServer server = HttpServer.create(address, 0);
        ExecutorService threads = Executors.newFixedThreadPool(4);
        server.setExecutor(threads);
        server.createContext("/", exchange -> {
            switch (exchange.getRequestURI().getPath()) {
                case "/garbage" -> answer(exchange, garbage());
                case "/tell" -> answer(exchange, gone() + " " + seen);
                case "/threads" -> answer(exchange, Boolean.toString(look()));
                case "/exit" -> {
                    answer(exchange, "");
                    System.exit(7);
                }
                case "/return" -> {
                    answer(exchange, "");
                    threads.shutdown();
                    new Thread(() -> server.stop(0)).start();
                }
                default -> answer(exchange, "fine");
            }
        });
        if (arguments.length > 1) {
            Thread watcher = new Thread(Garbage::watch);
            watcher.setDaemon(true);
            watcher.start();
        }
        server.start();
        System.out.println(server.getAddress().getPort());
    }
}
