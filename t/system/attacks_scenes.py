"""
Cases of t/data/attacks.yaml that are more than one client's words: load, processes killed, next hops that vanish. A scene says
which words of the case it rests on. Counts are those of an ordinary run: a few hundred messages where the full run has minutes.
"""
import json
import os
import pwd
import resource
import select
import shutil
import signal
import socket
import subprocess
import threading
import time

import attacks_build
from attacks import BASE, CANARY, MEASURED, memory_kib
from attacks_build import Builder
from client import stuffed
from dialogue import Dialogue, check
from relay import DAEMON, USER, merge, validate
from seal import hops
from sink import DROP, Last
from spool import Spool
from wait import DEADLINE, until


class Load:
    """Clients that send numbered messages, each again until it was answered 250; codes counts every answer."""

    def __init__(self, relay, listener, clients=4, each=50):
        self.relay, self.listener, self.each = relay, listener, each
        self.codes, self.accepted, self.wrong, self.lost = {}, set(), [], 0
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.client, args=(n,), daemon=True) for n in range(clients)]
        for t in self.threads:
            t.start()

    def count(self, code):
        with self.lock:
            self.codes[code] = self.codes.get(code, 0) + 1

    def client(self, n):
        c = None
        for k in range(self.each):
            if self.stop.is_set():
                break
            name = "load-%d-%d" % (n, k)
            tries = 0
            while not self.stop.is_set() and tries < 2000:
                tries += 1
                try:
                    if c is None:
                        c = Dialogue(self.relay.address(self.listener), banner=False)
                        banner = c.reply()
                        if banner is None or banner.code != 220:
                            raise OSError("no session: %r" % banner)
                        c.send(b"EHLO t.a.test\r\n")
                        if c.reply() is None:
                            raise OSError("no answer to EHLO")
                    c.send(b"MAIL FROM:<s@a.test>\r\nRCPT TO:<r1@c.test>\r\nDATA\r\n")
                    got = [c.reply() for _ in range(3)]
                    if not all(got) or got[2].code != 354:
                        raise OSError("not this time: %r" % got)
                    c.send(stuffed(BASE.replace(b"hello", name.encode())))
                    last = c.reply()
                    if last is None:
                        with self.lock:
                            self.lost += 1
                        raise OSError("no answer")
                    self.count(last.code)
                    if last.code == 250:
                        with self.lock:
                            self.accepted.add(name)
                        break
                except (OSError, EOFError):
                    if c:
                        c.close()
                    c = None
                    self.stop.wait(0.01)        # nobody may be there for a while
                except AssertionError as e:
                    self.wrong.append(e)
                    return
        if c:
            c.close()

    def join(self):
        for t in self.threads:
            t.join(DEADLINE * 4)
        check(not any(t.is_alive() for t in self.threads), "clients still wait:", self.codes)
        check(not self.wrong, self.wrong[:3])

    def judge(self, sink, copies_more=0):
        """Every message accepted is there; copies beyond one are at most the answers that were lost."""
        names = [t.content.rsplit(b"\r\n", 2)[1].decode() for t in sink.transactions() if t.sender != CANARY[0]]
        check(self.accepted <= set(names), "lost:", sorted(self.accepted - set(names))[:5])
        check(len(names) - len(set(names)) <= copies_more, "copies beyond one: %d" % (len(names) - len(set(names))))


class Scene:
    """spool: in that mode, else in mode sync."""

    def __init__(self, case, stages, spool=False):
        self.case, self.stages, self.spool = case, stages, spool

    def must(self, op, *values):
        for value in values:
            check(value in self.case.texts(op), "%s: %s no longer says %r" % (self.case.id, op, value))

    def stage(self, name="own", **settings):
        return self.stages(name + "-spool" if self.spool else name, **settings)

    def settle(self, stage):
        """What was acknowledged is with the next hop."""
        if self.spool:
            spool = Spool(stage.relay.conf["spool"]["dir"])
            until("an empty spool", lambda: not spool.waiting())


def signed(stage):
    return Builder(stage.keyring, attacks_build).build(BASE, [{"dkim2_hop": {"d": "a.test"}}])[0]


def deliver(stage, listener, message, rcpt="<r1@c.test>"):
    c = Dialogue(stage.relay.address(listener))
    for line in ("EHLO t.a.test", "MAIL FROM:<s@a.test>", "RCPT TO:" + rcpt, "DATA"):
        c.send(line.encode() + b"\r\n")
        got = c.reply()
        if got is None or got.code >= 400:
            c.close()
            return got
    c.send(stuffed(message))
    got = c.reply()
    c.close()
    return got


def servfail(scene):
    scene.must("dns", "SERVFAIL", "normal")
    stage = scene.stage()
    message = signed(stage)
    stage.answers({name: {"error": "servfail"} for name in stage.keyring.answers() if ".." not in name})
    stage.relay.reload()
    for _ in range(20):
        got = deliver(stage, "enforce", message)
        check(got.code == 451 and got.enhanced == "4.7.5", got)
        check(deliver(stage, "annotate", message).code == 250)
    stage.relay.event("transaction", 40, dkim2="temperror")
    check(len(stage.relay.events("dns_temperror")) in (1, 2), "not told, or more than once a generation")
    check(all(b"dkim2=temperror" in tx.content for tx in stage.sink.wait(20)), "no verdict in Authentication-Results")
    stage.answers()
    stage.relay.reload()
    check(deliver(stage, "enforce", message).code == 250, "a failure outlives the recovery")
    stage.relay.event("transaction", dkim2="pass")
    stage.canary("annotate")


def truncation(scene):
    """The answer is to be had by TCP only, and there it does not come; in the end it does by UDP."""
    check(scene.case.row["what"] == "TC set and TCP refused; TCP answer cut in half; TCP that sends one octet a second.", scene.case.row["what"])
    scene.must("dns", "TC on UDP, RST on TCP")
    for tcp in ("reset", "half", "drip"):
        stage = scene.stage(resolver=800)
        server = stage.server
        server.tcp = tcp
        message = signed(stage)
        got = deliver(stage, "enforce", message)
        check(got.code == 451 and got.enhanced == "4.7.5", tcp, got)
        check(deliver(stage, "annotate", message).code == 250, tcp)
        check(b"dkim2=temperror" in stage.sink.wait(1)[0].content, tcp, "no verdict in Authentication-Results")
        check(server.asked <= 2 * 50, tcp, "asked %d times for two messages" % server.asked)
        stage.canary("annotate")
    server.tcp = None       # what failed is remembered for some seconds: one of them will do
    until("an answer", lambda: deliver(stage, "enforce", message).code == 250)
    stage.relay.event("transaction", dkim2="pass")


def not_reading(scene):
    """Replies nobody takes fill no more than a buffer; the client is not read any further or is cut off."""
    gen = scene.case.texts("gen")[0]
    check(gen == {"of": "NOOP\r\n", "times": 100000, "prefix": "", "suffix": ""}, gen)
    stage = scene.stage()
    stage.canary("annotate")
    worker = stage.worker()
    before = memory_kib(worker)
    c = Dialogue(stage.relay.address("annotate"))
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    c.sock.settimeout(1)
    try:
        for _ in range(gen["times"] // 1000):
            c.sock.sendall(b"NOOP\r\n" * 1000)
    except (socket.timeout, OSError):
        pass
    if MEASURED:
        check(memory_kib(worker) - before <= 64 + 384, "memory grew by %d KiB" % (memory_kib(worker) - before))
    stage.canary("annotate")
    c.sock.settimeout(DEADLINE)
    try:
        while c.sock.recv(65536):
            pass
    except OSError:
        pass
    check([e for e in stage.relay.events() if e["event"] in ("client_not_reading", "client_junk")], "no event says so")
    c.close()


def pool_stale(scene):
    scene.must("up", 'closes idle connections after 1 s, one in three with "421 bye\\r\\n"')
    stage = scene.stage()
    for n in range(30):
        if n % 5 == 4:      # it dies under the command
            stage.sink.script("mail", DROP)
        check(deliver(stage, "annotate", BASE.replace(b"hello", b"load-0-%d" % n)).code == 250, "message", n)
        if n % 5 == 3:
            continue
        with stage.sink.lock:
            socks = list(stage.sink.socks)
        for sock in socks:
            try:
                if n % 3 == 0:
                    sock.sendall(b"421 bye\r\n")
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
    names = [tx.content.rsplit(b"\r\n", 2)[1] for tx in stage.sink.wait(30)]
    check(len(names) == len(set(names)) == 30, "every message once:", names)
    stage.relay.event("up_stale")
    stage.canary("annotate")


def blackhole(scene):
    scene.must("up", "drop SYN")
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    fillers = []
    for _ in range(4):      # the queue of a listener that never accepts: further SYN are dropped
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(full.getsockname())
        fillers.append(s)
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    silent.listen(16)
    try:
        for listening in (full, silent):
            stage = scene.stage(next_hop="127.0.0.1:%d" % listening.getsockname()[1], settings={"pool": {"connect": 300}})
            got = deliver(stage, "annotate", BASE)
            check(got.code == 451 and got.enhanced == "4.4.1", got)
            stage.relay.event("up_connect_timeout")
    finally:
        for s in fillers + [full, silent]:
            s.close()


def emfile_accept(scene):
    scene.must("host", "RLIMIT_NOFILE just above what is in use")
    stage = scene.stage(files=48)
    stage.canary("annotate")
    worker = stage.worker()
    held = []
    for _ in range(60):
        held.append(socket.create_connection(stage.relay.address("annotate"), DEADLINE))
    stage.relay.event("fd_limit")

    def ticks():
        with open("/proc/%d/stat" % worker, encoding="ascii") as f:
            return sum(int(n) for n in f.read().rsplit(")", 1)[1].split()[11:13])
    begin = ticks()
    threading.Event().wait(0.5)
    spent = ticks() - begin
    check(spent <= 10, "busy while descriptors are out: %d ticks of 50" % spent)
    for s in held:
        s.close()
    until("a canary once descriptors are free", lambda: works(stage))


def works(stage):
    try:
        stage.canary("annotate")
        return True
    except (AssertionError, OSError):
        stage.canaries -= 1
        return False


def key_loss(scene):
    scene.must("host", "remove or spoil the key file", "SIGHUP", "restart")
    for how in ("removed", "mode", "spoilt"):
        stage = scene.stage(own_key=True)
        key = stage.own_key
        if how == "removed":
            os.unlink(key)
        elif how == "mode":
            os.chmod(key, 0o644)
        else:
            with open(key, "wb") as f:
                f.write(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        for n in (1, 2):
            check(deliver(stage, "sealing", BASE).code == 250)
            check(len(hops(stage.sink.wait(n)[n - 1].content)) == 1, "unsealed")
            if n == 1:
                check(stage.relay.reload()["event"] == "reload_refused", how)
                stage.relay.event("key_unusable")
        stage.relay.stop()
        done = subprocess.run([DAEMON, "-f", "-c", stage.relay.file], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE)
        check(done.returncode == 78 and stage.relay.file.encode() + b":" in done.stdout, how, done)


def worker_crash(scene):
    """A worker aborts while another works; in an ordinary run five times."""
    scene.must("kill", {"at": "random worker", "repeat": 100})
    stage = scene.stage(settings={"workers": 2})
    load = Load(stage.relay, "annotate", clients=4, each=60)
    for n in range(5):
        until("messages on their way", lambda: len(load.accepted) > 30 * n or not any(t.is_alive() for t in load.threads))
        os.kill(stage.relay.pids("worker")[n % 2], signal.SIGKILL)
        stage.relay.event("worker_died", n + 1)
        until("two workers", lambda: len(stage.relay.pids("worker")) == 2)
    load.join()
    check(len(load.accepted) == 240, "accepted %d" % len(load.accepted))
    scene.settle(stage)
    load.judge(stage.sink, copies_more=load.lost + 4 * 5)
    stage.may_die = True
    stage.canary("annotate")


def reload_under_load(scene):
    """Thirty reloads, every tenth of a broken file."""
    scene.must("host", "SIGHUP loop")
    stage = scene.stage(settings={"drain": 60})
    load = Load(stage.relay, "annotate", clients=4, each=100)
    good = stage.relay.conf["hostname"]
    for n in range(1, 31):
        bad = n % 10 == 0
        event = stage.relay.reload(hostname="not a name" if bad else good)
        check(event["event"] == ("reload_refused" if bad else "reload_ok"), event)
    stage.relay.conf["hostname"] = good
    load.join()
    check(set(load.codes) == {250} and len(load.accepted) == 400, load.codes, len(load.accepted))
    scene.settle(stage)
    load.judge(stage.sink)
    stage.canary("annotate")


def graceful_stop(scene):
    scene.must("host", "SIGTERM")
    stage = scene.stage(settings={"drain": 2})
    idle = Dialogue(stage.relay.address("annotate"))
    load = Load(stage.relay, "annotate", clients=4, each=100)
    until("messages on their way", lambda: len(load.accepted) > 50)
    stage.relay.signal(signal.SIGTERM)
    got = idle.reply()
    check(got and got.code == 421 and got.enhanced == "4.3.2", got)
    check(stage.relay.ended() == 0, stage.relay.code)
    load.stop.set()
    load.join()
    check(set(load.codes) <= {250, 421}, load.codes)
    if scene.spool:
        begun = len(stage.relay.events("ready"))
        stage.relay.start(ready=False)
        stage.relay.log.wait("ready again", lambda items: len([e for e in items if e.get("event") == "ready"]) > begun)
        scene.settle(stage)
    load.judge(stage.sink, copies_more=load.lost)
    check(stage.relay.events("shutdown"), "no shutdown in the log")
    stage.relay.check()


def half_closed(scene):
    scene.must("up", "shutdown(WR) right after 354")
    stage = scene.stage()
    stage.sink.script("data", Last(b"354 go on\r\n", half=True))
    got = deliver(stage, "annotate", BASE)
    check(got.code == 451 and got.enhanced == "4.4.2", got)
    stage.relay.event("up_half_closed")
    # The client that half-closed after its dot is smtp-quit-pipelined.
    stage.sink.always("ehlo", Last(stage_ehlo(), half=True))
    for sock in list(stage.sink.socks):
        sock.close()
    got = deliver(stage, "annotate", BASE)
    check(got.code == 451, got)
    stage.sink.standing.clear()
    stage.canary("annotate")


def stage_ehlo():
    return b"250-sink.test\r\n250 PIPELINING\r\n"


def junk(scene):
    gen = scene.case.texts("gen")[0]
    stage = scene.stage()
    for line, code in ((gen["of"], 250), ("NOOP\r\n", 250), ("XYZZY\r\n", 500), ("RCPT TO:<x@c.test>\r\n", 550)):
        stage.sink.always("rcpt", b"550 5.1.1 no\r\n")
        c = Dialogue(stage.relay.address("annotate"))
        c.send(b"EHLO t.a.test\r\n" + (b"MAIL FROM:<s@a.test>\r\n" if line.startswith("RCPT") else b""))
        for _ in range(2 if line.startswith("RCPT") else 1):
            c.reply()
        c.gen(line.encode(), gen["times"], b"", b"")
        codes = []
        while True:
            got = c.reply()
            if got is None:
                break
            codes.append((got.code, got.enhanced))
        check(codes[-1] == (421, "4.7.0") and {k for k, _ in codes[:-1]} == {code}, line, codes[-3:])
        check(len(codes) < gen["times"], line, len(codes))
        c.close()
        stage.sink.standing.clear()
    stage.relay.event("client_junk", 4)
    stage.canary("annotate")


def free_descriptor(pid):
    """The lowest number that is not in use: with that as its limit the process gets no other."""
    used = {int(n) for n in os.listdir("/proc/%d/fd" % pid)}
    return min(set(range(len(used) + 1)) - used)


def emfile_inside(scene):
    """No descriptor for the connection to the next hop, a body file, a client, the files of a reload; then there are some again."""
    scene.must("fault", {"call": "socket, openat, accept4, dup, epoll_ctl", "errno": "EMFILE", "nth": "each"})
    # One user for all: the limits of a process are its own user's to change.
    stage = scene.stage(settings={"limits": {"body_memory": 4096}, "pool": {"idle": 0}, "user": pwd.getpwuid(os.geteuid()).pw_name})
    relay, worker = stage.relay, stage.worker()
    before = resource.prlimit(worker, resource.RLIMIT_NOFILE)

    def without(pid):
        return resource.prlimit(pid, resource.RLIMIT_NOFILE, (free_descriptor(pid), before[1]))
    c = Dialogue(relay.address("annotate"))
    c.send(b"EHLO t.a.test\r\n")
    check(c.reply().code == 250)
    without(worker)
    c.send(b"MAIL FROM:<s@a.test>\r\n")
    got = c.reply()
    check(got.code == 451 and got.enhanced == "4.3.0", got)
    relay.event("fd_limit")
    resource.prlimit(worker, resource.RLIMIT_NOFILE, before)
    c.send(b"MAIL FROM:<s@a.test>\r\nRCPT TO:<r1@c.test>\r\nDATA\r\n")
    check([c.reply().code for _ in range(3)] == [250, 250, 354])
    without(worker)
    c.send(stuffed(BASE + b"a line of a body that needs a file\r\n" * 1000))
    got = c.reply()
    check(got.code == 451 and got.enhanced == "4.3.0", got)
    relay.event("fd_limit", 2)
    # The backlog keeps who comes now; the session that is there goes on.
    with socket.create_connection(relay.address("annotate"), DEADLINE) as late:
        c.send(b"NOOP\r\n")
        check(c.reply().code == 250)
        until("fd_limit", lambda: [e for e in relay.events("fd_limit") if e.get("name") == "accept"])
        resource.prlimit(worker, resource.RLIMIT_NOFILE, before)
        check(late.recv(4) == b"220 ", "a connection from the backlog")
    c.send(b"MAIL FROM:<s@a.test>\r\nRCPT TO:<r1@c.test>\r\nDATA\r\n")
    check([c.reply().code for _ in range(3)] == [250, 250, 354])
    c.send(stuffed(BASE + b"a line of a body that needs a file\r\n" * 1000))
    check(c.reply().code == 250)
    c.close()
    supervisor = relay.process.pid
    without(supervisor)
    check(relay.reload()["event"] == "reload_refused")
    resource.prlimit(supervisor, resource.RLIMIT_NOFILE, before)
    check(relay.reload()["event"] == "reload_ok")
    stage.canary("annotate")


def log_blocked(scene):
    """The log is a pipe that nobody reads while four hundred messages pass, each with a line of two kilobytes."""
    scene.must("host", "stop the log reader")
    stage = scene.stage()
    fifo = os.path.join(stage.folder, "log.fifo")
    os.mkfifo(fifo)
    if os.geteuid() == 0:
        shutil.chown(fifo, USER)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    relay = stage.relay
    relay.conf = merge(relay.conf, {"log": {"to": fifo}})
    relay.write()
    relay.signal(signal.SIGHUP)
    got = bytearray()

    def read(what):
        try:
            got.extend(os.read(reader, 1 << 20))
        except BlockingIOError:
            pass
        return what in got
    until("the new log", lambda: read(b'"reload_ok"'))
    rcpts = ["<%s%d@c.test>" % ("r" * 60, n) for n in range(10)]
    for n in range(400):
        c = Dialogue(relay.address("annotate")) if n % 100 == 0 else c
        for line in (["EHLO " + "t" * 60 + ".test"] if n % 100 == 0 else []) + ["MAIL FROM:<%s@a.test>" % ("s" * 60)] + \
                ["RCPT TO:" + r for r in rcpts] + ["DATA"]:
            c.send(line.encode() + b"\r\n")
            answer = c.reply()
            check(answer and answer.code in (250, 354), line, answer)
        c.send(stuffed(BASE))
        answer = c.reply()
        check(answer and answer.code == 250, n, answer)
        if n % 100 == 99:
            c.close()
    until("the count of what was lost", lambda: read(b'"log_lost"'))
    deliver(stage, "annotate", BASE)
    until("the log to go on", lambda: read(b'"mail_from":"<s@a.test>"'))
    events = [json.loads(line) for line in got.decode().splitlines()]
    validate(events)
    seen = [e for e in events if e["event"] == "transaction"]
    lost = [e["count"] for e in events if e["event"] == "log_lost"]
    check(len(lost) == 1 and len(seen) > 50 and len(seen) + lost[0] >= 401, len(seen), lost)
    os.close(reader)
    relay.conf["log"]["to"] = "stderr"
    check(relay.reload()["event"] == "reload_ok")


def connect_rate(scene):
    """Two hundred from one address and one each from as many others; limits.connects-per-client is 20."""
    scene.must("load", {"conns_per_s": 2000, "kind": "connect and drop"})
    stage = scene.stage(settings={"limits": {"connects_per_client": 20}})
    begun = until_refused = 0
    for n in range(200):
        c = Dialogue(stage.relay.address("annotate"), banner=False)
        got = c.reply()
        check(got and got.code in (220, 421) and (got.code == 220 or got.enhanced == "4.7.0"), got)
        begun += got.code == 220
        until_refused += begun == n + 1
        c.close()
    # Twenty at once, and what seeps in while the test runs.
    check(until_refused == 20 and begun < 150, begun, until_refused)
    for n in range(200):
        with socket.create_connection(stage.relay.address("annotate"), DEADLINE, ("127.0.1.%d" % (n + 1), 0)) as other:
            check(other.recv(4) == b"220 ", "another client is refused")
    stage.relay.event("client_rate", client="127.0.0.1")
    check(len(stage.relay.events("client_rate")) < 5, "a line for each connection")


def drip(talks, octet=b"x"):
    """Each sends an octet a round, which renews nothing, until it has been answered: the replies, each its session's last."""
    last, end = {}, time.monotonic() + DEADLINE
    while len(last) < len(talks):
        check(time.monotonic() < end, "%d are not told that they are slow" % (len(talks) - len(last)))
        for c in set(talks) - set(last):
            try:
                c.sock.sendall(octet)
            except OSError:
                pass                             # its reply is there, or the test fails for want of one
        ready, _, _ = select.select([c.sock for c in talks if c not in last], [], [], 0.05)
        for c in talks:
            if c.sock in ready:
                last[c] = c.reply()
                check(last[c] is not None and c.reply() is None, "an end without a word, or no end", last[c])
                c.close()
    return list(last.values())


def slowloris(scene):
    """A hundred clients instead of five thousand; timeouts.command is two seconds instead of five minutes."""
    scene.must("load", {"conns": 5000, "kind": "one octet per 10 s"})
    stage = scene.stage(settings={"timeouts": {"command": 2000}, "limits": {"sessions_per_client": 200}})
    talks = [Dialogue(stage.relay.address("annotate")) for _ in range(100)]
    stage.canary("annotate")
    for got in drip(talks):
        check((got.code, got.enhanced) == (421, "4.4.2"), got)
    stage.relay.event("client_timeout")
    stage.canary("annotate")


def slow_body(scene):
    """Fifty clients instead of a thousand; timeouts.content is two seconds instead of three minutes."""
    scene.must("load", {"conns": 1000, "kind": "DATA at 1 octet per s"})
    stage = scene.stage(settings={"timeouts": {"content": 2000}})
    talks = []
    for _ in range(40):
        c = Dialogue(stage.relay.address("annotate"))
        c.send(b"EHLO t.a.test\r\nMAIL FROM:<s@a.test>\r\nRCPT TO:<r1@c.test>\r\nDATA\r\n")
        check([c.reply().code for _ in range(4)] == [250, 250, 250, 354], "no 354")
        talks.append(c)
    stage.canary("annotate")
    for got in drip(talks):
        check(got.code in (421, 451), got)
    stage.relay.event("client_too_slow")
    stage.canary("annotate")


SCENES = {
    "res-slowloris-commands": slowloris,
    "res-slow-body": slow_body,
    "res-connect-rate": connect_rate,
    "res-log-blocked": log_blocked,
    "res-emfile-inside": emfile_inside,
    "dns-servfail": servfail,
    "dns-truncation": truncation,
    "res-client-not-reading": not_reading,
    "res-junk-commands": junk,
    "res-pool-stale": pool_stale,
    "res-blackhole": blackhole,
    "res-emfile-accept": emfile_accept,
    "res-half-close": half_closed,
    "fault-key-loss": key_loss,
    "fault-worker-crash": worker_crash,
    "fault-reload-under-load": reload_under_load,
    "fault-graceful-stop": graceful_stop,
}
