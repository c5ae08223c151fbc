import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;

/** Does what wsgi_app.py does, in Java with the HTTP server of the JDK. */
public class App {
    static final String RELEASE = System.getenv().getOrDefault("RELEASE", "0");

    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(System.getenv("PORT"));
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
        server.createContext("/", App::answer);
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.start();
    }

    static void answer(HttpExchange exchange) throws IOException {
        byte[] body = exchange.getRequestBody().readAllBytes();
        if (exchange.getRequestMethod().equals("GET")) {
            String query = exchange.getRequestURI().getQuery();
            if (exchange.getRequestURI().getPath().equals("/slow")) {
                try {
                    Thread.sleep((long) (1000 * Double.parseDouble(query.substring(2))));
                } catch (InterruptedException error) {
                    Thread.currentThread().interrupt();
                }
            }
            long pid = ProcessHandle.current().pid();
            body = ("release " + RELEASE + " pid " + pid + "\n").getBytes();
        }
        exchange.getResponseHeaders().set("X-Release", "release " + RELEASE);
        exchange.sendResponseHeaders(200, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }
}
