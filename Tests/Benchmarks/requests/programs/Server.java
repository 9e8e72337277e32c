import com.sun.net.httpserver.*;
import java.io.*;
import java.net.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.security.KeyStore;
import java.util.*;
import java.util.concurrent.Executors;
import javax.net.ssl.*;

/** Server PORT none|1.2|1.3 FOLDER: the JDK's own HttpServer and HttpsServer; SIGTERM ends it at once. */
public class Server {
    public static void main(String[] words) throws Exception {
        InetSocketAddress address = new InetSocketAddress(Integer.parseInt(words[0]));
        HttpServer server;
        if (words[1].equals("none")) {
            server = HttpServer.create(address, 1024);
        } else {
            HttpsServer secure = HttpsServer.create(address, 1024);
            secure.setHttpsConfigurator(configurator("TLSv" + words[1], words[2]));
            server = secure;
        }
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/", Server::handle);
        server.start();
    }

    static HttpsConfigurator configurator(String version, String folder) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        try (InputStream file = Files.newInputStream(Path.of(folder, "both.p12"))) {
            store.load(file, "secret".toCharArray());
        }
        KeyManagerFactory keys = KeyManagerFactory.getInstance("SunX509");
        keys.init(store, "secret".toCharArray());
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), null, null);
        return new HttpsConfigurator(context) {
            @Override public void configure(HttpsParameters parameters) {
                SSLParameters chosen = context.getDefaultSSLParameters();
                chosen.setProtocols(new String[] {version});
                parameters.setSSLParameters(chosen);
            }
        };
    }

    static void handle(HttpExchange exchange) throws IOException {
        Map<String, String> words = new HashMap<>();
        for (String word : exchange.getRequestURI().getQuery().split("&")) {
            words.put(word.substring(0, word.indexOf('=')), word.substring(word.indexOf('=') + 1));
        }
        if (words.containsKey("last")) {
            System.out.println("begun");
            System.out.flush();
        }
        double milliseconds = Double.parseDouble(words.getOrDefault("ms", "0"));
        String name = words.get("id");
        long size = exchange.getRequestBody().transferTo(OutputStream.nullOutputStream());
        if (exchange.getRequestURI().getPath().equals("/stream")) {
            stream(exchange, name, milliseconds, Double.parseDouble(words.get("gap")));
            return;
        }
        sleep(milliseconds);
        byte[] body = ("answer " + name + " after " + size + " bytes\n").getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(200, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }

    static void stream(HttpExchange exchange, String name, double milliseconds, double gap) throws IOException {
        exchange.sendResponseHeaders(200, 0);
        OutputStream out = exchange.getResponseBody();
        for (int number = 0; number <= Math.round(milliseconds / gap); number++) {
            if (number > 0) sleep(gap);
            out.write(("piece " + number + " of " + name + "\n").getBytes(StandardCharsets.UTF_8));
            out.flush();
        }
        exchange.close();
    }

    static void sleep(double milliseconds) {
        try {
            Thread.sleep((long) milliseconds);
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
    }
}
