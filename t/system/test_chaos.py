"""
Clients and a next hop that do whatever comes to their mind, and a ledger: a 250 is a message the next hop took, octet for octet and
for the same recipients; nothing is sent to it twice; nothing is left behind. The seed of a run is its parameter, HOPSEAL_SEED
another one; threads make each run its own all the same.
"""
import os
import random
import socket
import struct
import threading

import pytest

from client import Client, stuffed
from mail import BASE
from sink import CLOSE, DROP, Hold, Sink
from wait import until

pytestmark = pytest.mark.slow

SEEDS = [int(os.environ["HOPSEAL_SEED"])] if "HOPSEAL_SEED" in os.environ else [1, 2]
CLIENTS, ROUNDS = 8, 60


class Whim(Sink):
    """A next hop that refuses, lies and leaves, one stage in `often`; calm() ends that."""
    LIES = {
        "connect": [DROP, CLOSE, b"421 4.3.2 busy\r\n", b"554 5.7.1 no\r\n", b"22\r\n", b"hello\r\n"],
        "ehlo": [DROP, b"421 4.3.2 busy\r\n", b"502 5.5.1 what\r\n", b"250-sink.test\r\n250 PIPELINING\r\n"],
        "mail": [DROP, CLOSE, b"451 4.3.0 later\r\n", b"550 5.7.1 no\r\n", b"421 4.3.2 bye\r\n", b"250 2.1.0 ok\r\n250 2.1.0 again\r\n", b"354 go\r\n"],
        "rcpt": [DROP, CLOSE, b"450 4.2.0 later\r\n", b"550-5.1.1 no\r\n550 5.1.1 such user\r\n", b"421 4.3.2 bye\r\n", b"250-2.1.5 a\r\n550 b\r\n",
                 b"250 2.1.5 ok\r\n550 5.1.1 extra\r\n", b"221 2.0.0 out\r\n", b"251 2.1.5 will forward\r\n"],
        "data": [DROP, CLOSE, b"451 4.3.0 later\r\n", b"554 5.7.1 no\r\n", b"250 2.0.0 what\r\n", b"421 4.3.2 bye\r\n"],
        "content": [DROP, CLOSE, b"552 5.3.4 early\r\n", b"421 4.3.2 bye\r\n"],
        "dot": [DROP, CLOSE, b"554 5.7.1 no\r\n", b"452 4.3.1 later\r\n", b"421 4.3.2 bye\r\n", b"hello\r\n", b"55\r\n", b"250\n",
                b"250-2.0.0 one\r\n250 2.0.0 two\r\n", b"250 2.0.0 ok\r\n250 2.0.0 again\r\n"],
        "rset": [DROP, CLOSE, b"421 4.3.2 bye\r\n", b"500 5.5.1 what\r\n"],
    }

    def __init__(self, seed, often):
        self.random, self.often = random.Random(seed), often
        self.gate = threading.Event()
        Sink.__init__(self)

    def calm(self):
        self.often = 0
        self.gate.set()

    def has_action(self, stage):
        return self.often > 0

    def next_action(self, stage):
        with self.lock:
            dice = self.random.random()
            if dice >= self.often or stage not in self.LIES:
                return b"" if stage == "content" else None
            if dice < self.often / 8 and stage != "content":
                return Hold(self.gate)
            return self.random.choice(self.LIES[stage])


class Entry:
    """One transaction as its client saw it."""

    def __init__(self, name):
        self.name, self.sender = name, "<%s@a.test>" % name
        self.accepted, self.content, self.code = [], None, None
        self.whole = False      # the final dot was sent


class Player(threading.Thread):
    def __init__(self, number, seed, relay, sink):
        threading.Thread.__init__(self, daemon=True)
        self.number, self.random = number, random.Random(seed * 1000 + number)
        self.relay, self.sink = relay, sink
        self.entries, self.wrong, self.c = [], [], None

    def send(self, octets):
        """Cut anywhere."""
        while octets:
            n = len(octets) if self.random.random() < 0.5 else self.random.randint(1, len(octets))
            self.c.send(octets[:n])
            octets = octets[n:]
        if self.random.random() < 0.1:
            self.sink.gate.set()
            self.sink.gate.clear()

    def leave(self, how):
        if how == "reset":
            self.c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.c.close()
        self.c = None

    def connect(self):
        self.c = Client(self.relay.address())
        self.c.ehlo()

    def text(self, entry):
        lines = [b"X-Id: " + entry.name.encode(), BASE.rstrip(b"\r\n")]
        for _ in range(self.random.choice([0, 1, 5, 50, 2000])):
            lines.append(self.random.choice([b".", b"..", b"", b".x", b"line", b"\xe4\xf6" * 20, b"y" * 900]))
        return b"\r\n".join(lines) + b"\r\n"

    def nonsense(self):
        line = self.random.choice([b"NOOP", b"RSET", b"VRFY x", b"EHLO again.test", b"HELP", b"FROB", b"RCPT TO:<x@c.test>", b"DATA now",
                                   b"MAIL FROM:<", b"STARTTLS", b"\x00", b"NOOP " + b"z" * 5000])
        self.send(line + b"\r\nRSET\r\n")
        self.c.reply()
        assert self.c.reply().code in (250, 421)

    def transaction(self):
        r = self.random
        e = Entry("m%d.%d" % (self.number, len(self.entries)))
        self.entries.append(e)
        rcpts = ["<r%d.%d@c.test>" % (self.number, k) for k in range(r.randint(1, 4))]
        commands = ["MAIL FROM:" + e.sender] + ["RCPT TO:" + path for path in rcpts]
        if r.random() < 0.5:
            self.send("".join(line + "\r\n" for line in commands).encode())
            codes = [self.c.reply().code for _ in commands]
        else:
            codes = []
            for line in commands:
                self.send(line.encode() + b"\r\n")
                codes.append(self.c.reply().code)
        e.accepted = [path for path, code in zip(rcpts, codes[1:]) if code // 100 == 2]
        if r.random() < 0.05:
            self.leave(r.choice(["fin", "reset"]))
            return
        if r.random() < 0.1:
            self.nonsense()
            return
        self.send(b"DATA\r\n")
        if self.c.reply().code != 354:
            self.send(b"RSET\r\n")
            self.c.want(250)
            return
        e.content = self.text(e)
        octets = stuffed(e.content)
        dice = r.random()
        if dice < 0.06:
            self.send(octets[:r.randint(0, len(octets) - 3)])
            self.leave(r.choice(["fin", "reset"]))
            return
        if dice < 0.1:
            self.send(octets.replace(b"hello", r.choice([b"a\nb", b"a\rb", b"a\0b"])))
            e.code = self.c.reply().code
            assert e.code == 550, e.code
            self.leave("fin")
            return
        e.whole = True
        behind = r.choice([b"", b"", b"NOOP\r\n", b"RSET\r\nNOOP\r\n", b"QUIT\r\n"])
        self.send(octets + behind)
        if dice < 0.14:
            self.leave("reset")
            return
        if dice < 0.2:
            self.c.sock.shutdown(socket.SHUT_WR)
        e.code = self.c.reply().code
        for _ in range(behind.count(b"\r\n")):
            self.c.reply()
        if dice < 0.2 or behind.startswith(b"QUIT"):
            self.c.gone()
            self.leave("fin")

    def run(self):
        for _ in range(ROUNDS):
            try:
                if self.c is None:
                    self.connect()
                if self.random.random() < 0.15:
                    self.nonsense()
                else:
                    self.transaction()
            except (EOFError, ConnectionError):
                self.leave("fin")
            except Exception as e:  # noqa: B902 - told by the test
                self.wrong.append(repr(e))
                self.leave("reset")
        if self.c is not None:
            self.leave("fin")


def descriptors(relay):
    return sum(len(os.listdir("/proc/%d/fd" % pid)) for pid in relay.pids("worker"))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("service", ["pass", "inbound", "outbound"])
def test_the_ledger_holds(hopseal, keyring, service, seed):
    sink = Whim(seed, 0)
    relay = hopseal(service, keys=[keyring.key("a.test")] if service == "outbound" else (), workers=2, pool={"idle_max": 2},
                    limits={"body_memory": 16384},
                    listener=dict({"next_hop": sink.address}, **({"share": "all"} if service == "outbound" else {})))
    workers = sorted(relay.pids("worker"))
    before = descriptors(relay)
    sink.often = 0.06
    players = [Player(n, seed, relay, sink) for n in range(CLIENTS)]
    for p in players:
        p.start()
    done = threading.Event()

    def open_gates():
        while not done.wait(0.02):
            sink.gate.set()
            sink.gate.clear()
    threading.Thread(target=open_gates, daemon=True).start()
    for p in players:
        p.join()
    sink.calm()
    done.set()
    assert not [w for p in players for w in p.wrong], [w for p in players for w in p.wrong][:3]
    until("the end of every session", lambda: relay.status()["counters"]["sessions_open"] == 0)
    with relay.connect() as c:
        c.deliver(BASE)
    until("the end of the last one", lambda: relay.status()["counters"]["sessions_open"] == 0)

    taken, contents = {}, {}
    for tx in sink.transactions():
        taken.setdefault(tx.sender, []).append(tx)
    for tx in sink.contents.snapshot():
        contents.setdefault(tx.sender, []).append(tx)
    accepted = {}
    for event in relay.events("transaction", outcome="accepted"):
        accepted.setdefault(event["mail_from"], []).append(event)
    for e in [e for p in players for e in p.entries]:
        assert len(contents.get(e.sender, [])) <= 1, "%s was sent twice" % e.name
        assert e.whole or e.sender not in contents, "%s reached the next hop without its end" % e.name
        got = taken.get(e.sender, [])
        if e.code == 250:
            assert len(got) == 1, "%s was promised and is not there" % e.name
            assert len(accepted.get(e.sender, [])) == 1, "%s is not in the log" % e.name
        if not got:
            continue
        assert got[0].recipients == e.accepted, "%s went to %r" % (e.name, got[0].recipients)
        assert got[0].content.endswith(e.content) and (service != "pass" or got[0].content == e.content), e.name
        if service == "outbound":
            assert got[0].content.count(b"DKIM2-Signature:") == 1, "%s left unsealed" % e.name
        # Taken although the client was told otherwise: it was not there, the answer could not be read, or there was one before (552).
        assert e.code in (250, 451, 552, None), "%s was taken, its client heard %s" % (e.name, e.code)
    names = [event["tx"] for event in relay.events("transaction")]
    assert len(names) == len(set(names)), "a transaction was logged twice"
    assert sum(e.code == 250 for p in players for e in p.entries) > CLIENTS * ROUNDS / 8, "too little came through to mean anything"

    assert sorted(relay.pids("worker")) == workers, "a worker died"
    counters = relay.status()["counters"]
    assert counters["body_memory"] == 0
    until("the pool to shrink", lambda: relay.status()["counters"]["next_hop_open"] <= 2 * len(workers))
    assert descriptors(relay) <= before + 2 * len(workers), "descriptors are left open"
    relay.stop()
    sink.close()
