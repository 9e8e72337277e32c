import java.io.*;
import java.net.*;
import java.net.http.*;
import java.security.cert.X509Certificate;
import java.util.Locale;
import java.util.concurrent.ThreadLocalRandom;
import javax.net.ssl.*;

/** Pool connection|client and as pool.py: HttpURLConnection, or HttpClient. */
public class Pool {
    static String kind, port, tls, method, mode;
    static int turns, milliseconds;
    static volatile boolean stopping;
    static HttpClient client;
    static SSLContext context;
    static final String BODY = "name=value&".repeat(30);

    public static void main(String[] words) throws Exception {
        System.setProperty("http.maxConnections", "100");
        kind = words[0];
        port = words[1];
        tls = words[2];
        method = words[3].toUpperCase(Locale.ROOT);
        mode = words[4];
        turns = Integer.parseInt(words[5]);
        milliseconds = Integer.parseInt(words[6]);
        context = SSLContext.getInstance("TLS");
        context.init(null, new TrustManager[] {new Everyone()}, null);
        HttpsURLConnection.setDefaultSSLSocketFactory(context.getSocketFactory());
        HttpsURLConnection.setDefaultHostnameVerifier((name, session) -> true);
        client = HttpClient.newBuilder().sslContext(context).build();
        for (int number = 0; number < Integer.parseInt(words[7]); number++) {
            int mine = number;
            Thread thread = new Thread(() -> talk(mine));
            thread.setDaemon(true);
            thread.start();
        }
        System.in.read();
        stopping = true;
        say("stopping");
        Thread.sleep(60000);
    }

    static synchronized void say(String text) {
        System.out.println(text);
        System.out.flush();
    }

    static void talk(int number) {
        try {
            if (mode.equals("last")) {
                for (int turn = 0; turn < turns; turn++) exchange(number + "." + turn, 0, false);
                exchange("last-" + number, milliseconds, true);
            } else {
                Thread.sleep(ThreadLocalRandom.current().nextInt(milliseconds));
                for (int turn = 0; !stopping; turn++) exchange(number + "." + turn, milliseconds, false);
            }
            say("ok");
        } catch (Exception error) {
            say("failed " + error);
        }
    }

    static void exchange(String name, int time, boolean last) throws Exception {
        URI uri = URI.create((tls.equals("none") ? "http" : "https") + "://127.0.0.1:" + port
            + "/work?ms=" + time + "&id=" + name);
        boolean post = method.equals("POST");
        int status;
        String text;
        if (last) sent();
        if (kind.equals("client")) {
            HttpRequest.Builder request = HttpRequest.newBuilder(uri);
            if (post) request.POST(HttpRequest.BodyPublishers.ofString(BODY));
            HttpResponse<String> answer = client.send(request.build(), HttpResponse.BodyHandlers.ofString());
            status = answer.statusCode();
            text = answer.body();
        } else {
            HttpURLConnection connection = (HttpURLConnection) uri.toURL().openConnection();
            if (post) {
                connection.setRequestMethod("POST");
                connection.setDoOutput(true);
                connection.setFixedLengthStreamingMode(BODY.length());
                try (OutputStream out = connection.getOutputStream()) {
                    out.write(BODY.getBytes());
                }
            }
            status = connection.getResponseCode();
            try (InputStream in = connection.getInputStream()) {
                text = new String(in.readAllBytes());
            }
        }
        if (status != 200 || !text.equals("answer " + name + " after " + (post ? BODY.length() : 0) + " bytes\n")) {
            throw new IOException(status + " " + text);
        }
    }

    /** Tells of a request that goes out in this moment. */
    static void sent() {
        Thread thread = new Thread(() -> {
            try {
                Thread.sleep(30);
            } catch (InterruptedException error) {
                return;
            }
            say("sent");
        });
        thread.setDaemon(true);
        thread.start();
    }

    /** Trusts whatever certificate the service has. */
    static class Everyone extends X509ExtendedTrustManager {
        @Override public void checkClientTrusted(X509Certificate[] chain, String type, Socket socket) {}
        @Override public void checkServerTrusted(X509Certificate[] chain, String type, Socket socket) {}
        @Override public void checkClientTrusted(X509Certificate[] chain, String type, SSLEngine engine) {}
        @Override public void checkServerTrusted(X509Certificate[] chain, String type, SSLEngine engine) {}
        @Override public void checkClientTrusted(X509Certificate[] chain, String type) {}
        @Override public void checkServerTrusted(X509Certificate[] chain, String type) {}
        @Override public X509Certificate[] getAcceptedIssuers() { return new X509Certificate[0]; }
    }
}
