import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;

/** Logs the number of each request, with the HTTP server of the JDK. */
public class Numbered {
    static final String RELEASE = System.getenv().getOrDefault("RELEASE", "0");
    static OutputStream log;

    public static void main(String[] arguments) throws Exception {
        log = new FileOutputStream(System.getenv("NUMBERS"), true);
        int port = Integer.parseInt(System.getenv("PORT"));
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
        server.createContext("/", Numbered::answer);
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.start();
    }

    static void answer(HttpExchange exchange) throws IOException {
        InputStream input = exchange.getRequestBody();
        byte[] piece = new byte[65536];
        long size = 0;
        for (int count; (count = input.read(piece)) >= 0; ) {
            size += count;
        }
        String query = exchange.getRequestURI().getQuery();
        String number = query == null ? "" : query.substring("id=".length());
        if (!number.isEmpty()) {
            String method = exchange.getRequestMethod();
            String line = String.join(" ", number, method, "" + size, RELEASE) + "\n";
            log.write(line.getBytes());
        }
        long pid = ProcessHandle.current().pid();
        String said = "release " + RELEASE + " pid " + pid + " number " + number + "\n";
        exchange.sendResponseHeaders(200, said.length());
        exchange.getResponseBody().write(said.getBytes());
        exchange.close();
    }
}
