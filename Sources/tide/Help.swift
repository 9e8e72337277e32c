/// What `tide help` prints.
let help: StaticString = """
  tide: a small HTTP/1.1 service and its load client, to see what a stop costs

  tide demo [--port P]             a service under ebb, its clients, and a stop, as a timeline
  tide serve [options]             the service
  tide load [ADDR:]PORT [options]  the clients; exit 0 when none failed, else 1
  tide orphans N [--hold]          leave N orphans to the init; --hold: then count signals until SIGTERM
  tide connect [ADDR:]PORT         exit 0 when somebody listens there, else 1
  tide help

  serve
    --listen PORT | ADDR:PORT | [ADDR]:PORT   8080, IPv6 and IPv4; 0 takes a free port
    --on-term graceful | exit | ignore | flush-and-exit | stop-accepting
                         what SIGTERM, SIGINT and SIGQUIT do (graceful)
    --flush-bytes N      how much flush-and-exit writes to each client of /hold (3145728)
    --exit-code N        the exit code of a stop (0)
    --delay-stop D       a stop takes at least this long
    --ready-after D      listen only after this time; then READY=1 to $NOTIFY_SOCKET
    --no-reuseaddr       without SO_REUSEADDR
    --idle-timeout D     close a kept connection after this time (300s)
    --fork-while-killed  at a stop, leave children that ignore SIGTERM and keep forking (--fork-total 200)
    --log-signals        print every signal that comes, and die of none
    --count-signals      print how many of each came
    Paths
    /                    one line
    /slow?ms=300         after this time
    /bytes?n=3145728     so many bytes
    /stream?pieces=10&ms=100&n=1000   chunked, a piece of n bytes every so often
    /hold                no answer
    /unread              no answer, and nothing more is read
    /leak                an answer, and the connection is never closed
    /exit?code=3         answers, then exits
    /crash  /stop-self   SIGSEGV; an answer, then SIGSTOP
    /orphans?n=5&ms=1000 makes orphans that sleep
    /children?n=1&ignore-term=1   makes children that hold the listening socket
    ms=… delays any other answer, n=… sizes those of /slow, /leak and /exit.
    A POST's body is read before the answer; Expect: 100-continue is answered with 100.

  load
    --rate R             so many requests a second, answered or not (an open loop); --poisson --seed N
    --bursts ON/OFF      the same number, all of it in the first part of each cycle (200ms/800ms)
    --connections N      each sends its next request when the last is answered (a closed loop; 1)
    --keep-alive N       keep up to N connections, instead of a new one for each request
    --closed-loop        each of those asks again at once when it has its answer; one that fails is replaced
    --think D            a closed loop: so long after the answer;  --pause D: so long after a failure (10ms)
    --ramp D             a closed loop: its connections begin within this time, each at a moment of its own
    --shape plain | two-writes | expect | half-close
                         how a request is sent: two-writes: POST, first its head, then its body; expect: POST, its
                         body once the service says 100 (or after 1s); half-close: our FIN follows the request
    --body N             POST so many bytes (with two-writes and expect 1000, else GET)
    --duration D         how long to send (10s);  --requests N: how many
    --path P  --timeout D (10s)
    --read-rate N        read at most N bytes a second, through a small window
    --hold               after the answer, wait until the service closes (--timeout 60s)
    --reset-after N      reset each connection after N bytes
    --until-refused      a refused connection is the end, and no failure
    --stop PID           at a stop, send SIGTERM to that process, and see when it ends
    --stop-after D       the stop begins so long after the load; else with SIGUSR1, or once --stop-file PATH
                         is there
    --remove-after D     how long the load balancer sends on after that (0s); --balancers N: so many of them,
                         which leave one by one within that time
    --hook D             SIGTERM comes so much later, as after a preStop hook that sleeps
    --keep-idle          idle connections are kept after the removal, and not closed
    --pattern            the body is that of /bytes, whatever server sends it
    --json  --verbose    --series: JSON with what happened in each tenth of a second

  """
