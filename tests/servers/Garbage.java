import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.lang.ref.WeakReference;
import java.lang.reflect.Field;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import sun.misc.Unsafe;

/**
 * A server whose answers leave garbage: arrays, which Java keeps until it collects.
 *
 * <pre>
 * java Garbage.java PORT [watch | keep | crash]
 *
 * /garbage          sixty megabytes of it
 * /tell             how many of these answers' objects are gone, and as what the library's thread was seen: "" (never), "daemon" or "user"
 * /threads          whether it is seen now
 * /exit             ends with status 7, by System.exit, in the middle of everything
 * /return           ends with its last thread, by DestroyJavaVM
 * /crash            reads from address 0, as native code that is broken does
 * anything else     a short answer
 * </pre>
 *
 * <p>With "watch" a thread looks for the library's all the time. With "keep" the program keeps so many objects that a collection takes its time; with "crash"
 * it does, too, and that thread crashes it as soon as the library's is there. Prints its port.
 */
final class Garbage {
    private static final List<WeakReference<Object>> LEFT = new ArrayList<>();
    private static final List<Object> KEPT = new ArrayList<>();
    private static final Unsafe UNSAFE = unsafe();
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

    private static void watch(boolean crashes) {
        while (true) {
            if (look() && crashes) {
                crash();
            }
            Thread.onSpinWait();
        }
    }

    private static Unsafe unsafe() {
        try {
            Field instance = Unsafe.class.getDeclaredField("theUnsafe");
            instance.setAccessible(true);
            return (Unsafe) instance.get(null);
        } catch (ReflectiveOperationException problem) {
            throw new IllegalStateException(problem);
        }
    }

    private static void crash() {
        UNSAFE.getAddress(0);
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
                case "/crash" -> crash();
                case "/return" -> {
                    answer(exchange, "");
                    threads.shutdown();
                    new Thread(() -> server.stop(0)).start();
                }
                default -> answer(exchange, "fine");
            }
        });
        String mode = arguments.length > 1 ? arguments[1] : "";
        if (mode.equals("keep") || mode.equals("crash")) {
            for (int kept = 0; kept < 2_000_000; kept++) {
                KEPT.add(new long[1]);
            }
        }
        if (mode.equals("watch") || mode.equals("crash")) {
            Thread watcher = new Thread(() -> watch(mode.equals("crash")));
            watcher.setDaemon(true);
            watcher.start();
        }
        server.start();
        System.out.println(server.getAddress().getPort());
    }
}
