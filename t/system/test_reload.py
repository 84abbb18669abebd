"""
Reload, drain and a lost worker while mail flows. A ledger at both ends: who was told 250 finds the message once at the next hop; a
session ends in mid-transaction only with its worker; between two transactions it may be told 421 4.3.2.
"""
import os
import signal
import threading

import pytest

from certs import HOST, trust
from client import Client, stuffed
from mail import BASE
from relay import CTL, run
from seal import checked
from sink import Hold
from wait import DEADLINE, until

RELOADS, BROKEN = 100, 10
SANITIZED = "asan" in os.environ.get("HOPSEAL_BUILD", "")


class SentAway(Exception):
    """421 4.3.2 where no transaction was open."""


class Entry:
    def __init__(self, name, content):
        self.name, self.sender, self.content = name, "<%s@a.test>" % name, content
        self.code = None


class Talker(threading.Thread):
    """One client: session after session, `each` messages in one, until stop is set."""

    def __init__(self, name, relay, stop, each, listener, context=None, implicit=False):
        threading.Thread.__init__(self, daemon=True)
        self.name, self.relay, self.stop, self.each, self.listener = name, relay, stop, each, listener
        self.context, self.implicit = context, implicit
        self.entries, self.wrong, self.sent_away, self.c = [], [], 0, None
        self.state = "no session"

    def secure(self):
        self.c.sock = self.context.wrap_socket(self.c.sock, server_hostname=HOST)

    def want(self, code):
        """A reply of this code; 421 4.3.2 is for whoever has no transaction open."""
        got = self.c.reply()
        if got.code == 421 and got.enhanced == "4.3.2" and self.state != "in a transaction":
            raise SentAway()
        assert got.code == code, "%s, %s: wanted %d, got %r" % (self.name, self.state, code, got)

    def say(self, line, code):
        try:
            self.c.send(line.encode() + b"\r\n")
        except ConnectionError:
            pass            # what was said before the end is still to be read
        self.want(code)

    def connect(self):
        self.state = "no session"
        self.c = Client(self.relay.address(self.listener), banner=False)
        if self.implicit:
            self.secure()
        self.want(220)
        self.state = "idle"
        self.say("EHLO t.a.test", 250)
        if self.context and not self.implicit:
            self.say("STARTTLS", 220)
            self.secure()
            self.say("EHLO t.a.test", 250)

    def message(self):
        n = len(self.entries)
        e = Entry("%s.%d" % (self.name, n), b"X-Id: %d\r\n" % n + BASE + b".line\r\n" * (n % 7 * 500))
        self.say("MAIL FROM:" + e.sender, 250)
        self.state = "in a transaction"
        self.entries.append(e)
        self.say("RCPT TO:<r1@c.test>", 250)
        self.say("DATA", 354)
        octets = stuffed(e.content)
        self.c.send(octets[:len(octets) // 2])
        self.c.send(octets[len(octets) // 2:])
        self.want(250)
        e.code = 250
        self.state = "idle"

    def session(self):
        try:
            self.connect()
            for _ in range(self.each):
                self.message()
                if self.stop.is_set():
                    break
            self.say("QUIT", 221)
        except SentAway:
            self.sent_away += 1
        finally:
            if self.c:
                self.c.close()

    def run(self):
        while not self.stop.is_set():
            try:
                self.session()
                self.state = "no session"
            except Exception as e:  # noqa: B902 - told by the test
                self.wrong.append("%s, %s: %r" % (self.name, self.state, e))
                if len(self.wrong) > 3:
                    return


@pytest.fixture
def loaded(hopseal, keyring, cert, authority):
    """loaded(...) is a daemon with a sealing listener, one with STARTTLS and one with TLS from the start, and who talks to them."""
    def make(**settings):
        tls = {"certificate": cert.file, "key": cert.key}
        relay = hopseal(workers=2, keys=[keyring.key("a.test")], pool={"idle_max": 2, "idle": 1}, listeners={
            "main": {"service": "inbound", "tls": dict(tls, mode="may")}, "out": {"service": "outbound"},
            "implicit": {"service": "pass", "tls": dict(tls, mode="implicit")}}, **settings)
        stop, context = threading.Event(), trust(authority)
        talkers = [Talker("clear", relay, stop, 1000000, "main"), Talker("short", relay, stop, 1, "main"),
                   Talker("starttls", relay, stop, 20, "main", context), Talker("implicit", relay, stop, 20, "implicit", context, True),
                   Talker("seal1", relay, stop, 1000000, "out"), Talker("seal2", relay, stop, 5, "out")]
        return relay, stop, talkers
    return make


def level(relay):
    """Processes by role and their descriptors, when nothing is left to do."""
    until("the end of every session", lambda: relay.status()["counters"]["sessions_open"] == 0)
    until("one generation", lambda: len(relay.status()["generations"]) == 1)
    until("an empty pool", lambda: relay.status()["counters"]["next_hop_open"] == 0)
    status = relay.status()
    pids = [("supervisor", status["pid"])] + [(p["role"], p["pid"]) for p in status["processes"]]
    return sorted((role, len(os.listdir("/proc/%d/fd" % pid))) for role, pid in pids)


def leaked(before, after):
    """Processes that come or go, or hold more than before; control may hold the connection of who asked a moment longer."""
    return [(a, b) for a, b in zip(before, after) if a[0] != b[0] or a[1] < b[1]] + before[len(after):] + after[len(before):]


def begin(talkers):
    for t in talkers:
        t.start()
    until("every client's first message", lambda: all(any(e.code for e in t.entries) for t in talkers))


def end(stop, talkers):
    stop.set()
    for t in talkers:
        t.join(DEADLINE)
        assert not t.is_alive(), "%s hangs, %s" % (t.name, t.state)


def judge(talkers, sink, lost=()):
    """What clients were told against what the next hop has; `lost`: entries whose session went with its worker."""
    taken = {}
    for tx in sink.wait(sum(e.code == 250 for t in talkers for e in t.entries)):     # it notes them behind its answer
        taken.setdefault(tx.sender, []).append(tx)
    for e in [e for t in talkers for e in t.entries]:
        got = taken.pop(e.sender, [])
        assert e.code == 250 or e in lost, "%s had no answer" % e.name
        assert len(got) == 1 or (e in lost and not got), "%s is there %d times, its client heard %r" % (e.name, len(got), e.code)
        assert not got or got[0].content.endswith(e.content), "%s came changed" % e.name
        if e.name.startswith("seal") and got:
            assert got[0].content.count(b"DKIM2-Signature:") == 1, "%s left unsealed" % e.name
    assert not taken, "nobody sent %r" % list(taken)


def resident_kib(pid):
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        return [int(line.split()[1]) for line in f if line.startswith("RssAnon:")][0]


def break_conf(relay, n):
    """A file that is not to be taken, each time for another reason."""
    text = read(relay.file)
    return [text + "surprise = 1;\n", text[:len(text) // 2], text.replace("workers = 2", "workers = 100000"),
            text.replace(".pem", ".gone")][n % 4]


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def refuse(relay, text):
    """A reload of this text, which must be refused."""
    before = len(relay.log.snapshot())
    with open(relay.file, "w", encoding="utf-8") as f:
        f.write(text)
    relay.signal(signal.SIGHUP)
    relay.log.wait("a reload that is refused", lambda items: [e for e in items[before:] if e.get("event") == "reload_refused"])


def no_complaint(talkers):
    wrong = [w for t in talkers for w in t.wrong]
    assert not wrong, wrong[:5]


@pytest.mark.slow
def test_a_hundred_reloads_under_load(loaded, sink, keyring):
    """By signal and by hopsealctl in turn; every tenth after one of a file that must not be taken. Each is in force once it is told of."""
    relay, stop, talkers = loaded()
    before, mark = level(relay), None
    begin(talkers)
    for n in range(1, RELOADS + 1):
        if n % (RELOADS // BROKEN) == 0:
            refuse(relay, break_conf(relay, n // (RELOADS // BROKEN)).replace(relay.conf["hostname"], "broken.c.test"))
            with relay.connect() as c:
                assert relay.conf["hostname"] in c.banner.text
        relay.conf["hostname"] = name = "r%d.c.test" % n
        relay.write()
        if n % 2:
            relay.signal(signal.SIGHUP)
        else:
            done = run([CTL, "reload", "-c", relay.file])
            assert done.returncode == 0, done
        relay.event("reload_ok", n=n)
        with relay.connect() as c:
            assert name in c.banner.text, c.banner
        if n == RELOADS // 4:
            mark = resident_kib(relay.process.pid)
    grown = resident_kib(relay.process.pid) - mark
    end(stop, talkers)
    no_complaint(talkers)
    judge(talkers, sink)
    assert len(relay.events("reload_ok")) == RELOADS and not relay.events("drain_cut")
    assert max(t.sent_away for t in talkers) <= RELOADS
    sealed = [tx for tx in sink.transactions() if tx.sender.startswith("<seal")]
    for tx in sealed[-3:]:
        checked(tx.content, keyring)
    until("as many processes and descriptors as before", lambda: leaked(before, level(relay)) == [])
    assert SANITIZED or grown < 512, "the supervisor grew by %d KiB" % grown


def test_reloads_asked_for_together_are_one(hopseal, sink):
    relay = hopseal("pass", hostname="one.c.test")
    relay.conf["hostname"] = "two.c.test"
    relay.write()
    os.kill(relay.process.pid, signal.SIGSTOP)
    for _ in range(50):
        relay.signal(signal.SIGHUP)
    os.kill(relay.process.pid, signal.SIGCONT)
    relay.event("reload_ok")
    with relay.connect() as c:
        assert "two.c.test" in c.banner.text
    assert relay.reload(hostname="three.c.test")["event"] == "reload_ok"
    assert len(relay.events("reload_ok")) == 2


def test_a_third_reload_waits_for_a_transaction(hopseal, sink):
    """Two generations may drain; the older one's transaction is not cut for a third, its idle session goes at once."""
    relay = hopseal("pass", hostname="h0.c.test")
    busy, idle = relay.connect(), relay.connect()
    busy.to_data()
    idle.ehlo()
    assert relay.reload(hostname="h1.c.test")["event"] == "reload_ok"
    second = relay.connect()
    second.ehlo()
    assert relay.reload(hostname="h2.c.test")["event"] == "reload_ok"
    relay.conf["hostname"] = "h3.c.test"
    relay.write()
    relay.signal(signal.SIGHUP)
    relay.event("reload_waits")
    idle.want(421, "4.3.2")
    idle.gone()
    with relay.connect() as c:
        assert "h2.c.test" in c.banner.text
    assert len(relay.events("reload_ok")) == 2
    busy.message(BASE)
    busy.want(421, "4.3.2")
    busy.gone()
    relay.event("reload_ok", n=3)
    with relay.connect() as c:
        assert "h3.c.test" in c.banner.text
    second.deliver(BASE)        # nobody waits for its generation
    second.close()
    assert len(sink.wait(2)) == 2 and not relay.events("drain_cut")


@pytest.mark.parametrize("implicit", [False, True])
def test_a_handshake_at_the_end_is_let_finish(hopseal, sink, cert, authority, implicit):
    """A client that is told to go hears it inside TLS, instead of a connection that breaks."""
    relay = hopseal("pass", listener={"tls": {"mode": "implicit" if implicit else "may", "certificate": cert.file, "key": cert.key}})
    with relay.connect(banner=not implicit) as c:
        if implicit:
            until("the session", lambda: relay.status()["counters"]["sessions_open"] == 1)
        else:
            c.ehlo()
            c.cmd("STARTTLS", 220)
        relay.signal(signal.SIGTERM)
        relay.event("draining")
        c.sock = trust(authority).wrap_socket(c.sock, server_hostname=HOST)
        if implicit:
            c.want(220)
        c.want(421, "4.3.2")
    assert relay.ended() == 0


@pytest.mark.slow
def test_sigterm_under_load(loaded, sink):
    """Transactions under way end; whoever has none is told 421; then nobody listens."""
    relay, stop, talkers = loaded()
    idle = relay.connect()
    begin(talkers)
    relay.signal(signal.SIGTERM)
    relay.event("draining")
    stop.set()
    idle.want(421, "4.3.2")
    idle.gone()
    end(stop, talkers)
    assert relay.ended() == 0
    # What a client may meet last is a port on which nobody listens any more, or a connection that nobody took.
    assert all(", no session: " in w for t in talkers for w in t.wrong), [t.wrong for t in talkers]
    judge(talkers, sink)
    relay.check()


def sessions_of(pid):
    """The client ports of the connections that a process holds."""
    links = [os.readlink("/proc/%d/fd/%s" % (pid, fd)) for fd in os.listdir("/proc/%d/fd" % pid)]
    inodes = {link[8:-1] for link in links if link.startswith("socket:")}
    with open("/proc/net/tcp", encoding="ascii") as f:
        rows = [line.split() for line in f.readlines()[1:]]
    return {int(row[2].split(":")[1], 16) for row in rows if row[9] in inodes}


@pytest.mark.slow
def test_a_killed_worker_costs_its_own_sessions_only(hopseal, sink):
    relay = hopseal("inbound", workers=2)
    gate = threading.Event()
    clients = [relay.connect() for _ in range(16)]
    for n, c in enumerate(clients):
        c.to_data("<k%d@a.test>" % n)
    of = {pid: sessions_of(pid) for pid in relay.pids("worker")}
    other, victim = sorted(of, key=lambda pid: len(of[pid]))     # the other may have none
    lost = [c.sock.getsockname()[1] in of[victim] for c in clients]
    assert any(lost), "no session to lose"
    sink.script("dot", *[Hold(gate) for _ in clients])
    for c in clients:
        c.send(stuffed(BASE))
    sink.contents.wait("every message at the next hop", lambda items: len(items) == len(clients))
    os.kill(victim, signal.SIGKILL)
    relay.event("worker_died")
    gate.set()
    for c, gone in zip(clients, lost):
        if gone:
            c.gone()
        else:
            c.want(250)
            c.deliver(BASE, sender="<again@a.test>")
        c.close()
    with relay.connect() as c:
        c.deliver(BASE)
    assert other in relay.pids("worker") and victim not in relay.pids("worker")
    senders = [tx.sender for tx in sink.transactions()]
    assert all(senders.count("<k%d@a.test>" % n) <= 1 for n in range(len(clients)))
    assert senders.count("<again@a.test>") == lost.count(False)
