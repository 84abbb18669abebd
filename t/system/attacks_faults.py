"""
Scenes of t/data/attacks.yaml for which t/shim stands before the C library: calls that do half, or nothing this time, and a wall clock that
jumps. In both modes.
"""
import errno
import time

from attacks import BASE, MEASURED
from attacks_scenes import Load, deliver, signed
from client import stuffed
from dialogue import Dialogue, Wrong, check
from seal import hops
from wait import until

SOCKETS = "peer local unix"
# What each does to a call: nothing this time, or one octet of it.
WAYS = [("EINTR", {"fail": errno.EINTR}), ("EAGAIN", {"fail": errno.EAGAIN}), ("short", {"short": 1})]
# Calls that the case names -> ours and where, and what they can meet there. A pipe to the log is none of the case's, a datagram has no half,
# and a file never says that it has nothing yet.
CALLS = {
    "read": ("recv", SOCKETS, ("EINTR", "EAGAIN")), "write": ("write pwrite", "tmp mail note below", ("EINTR", "short")),
    "sendmsg": ("send", "peer local", ("EINTR", "EAGAIN", "short")), "recvmsg": ("recv", "peer local", ("short",)),
    "connect": ("connect", "peer", ("EINTR",)), "epoll_wait": ("epoll", "elsewhere", ("EINTR", "short")),
}


def through(scene, stage, n):
    """One message of three recipients on a connection of its own; seen at the next hop by its octets."""
    content = BASE.replace(b"hello", b"short %d" % n) + b"a line of it\r\n" * 300
    mark = len(stage.sink.transactions())
    c = Dialogue(stage.relay.address("annotate"))
    c.send(b"EHLO t.a.test\r\nMAIL FROM:<s@a.test>\r\nRCPT TO:<r1@c.test>\r\nDATA\r\n")
    check([c.reply().code for _ in range(4)] == [250, 250, 250, 354], "no 354")
    c.send(stuffed(content))
    got = c.reply()
    check(got and got.code == 250, "the message was answered %r" % got)
    c.close()
    until("the message", lambda: len(stage.sink.transactions()) > mark)
    taken = stage.sink.transactions()[mark:]
    check(len(taken) == 1 and taken[0].content.endswith(content), "other octets, or not once:", taken)
    scene.settle(stage)


def short_io(scene):
    """Each occurrence of each call, once."""
    scene.must("fault", {"call": ", ".join(CALLS), "errno": "EINTR, EAGAIN, short", "nth": "each"})
    stage = scene.stage(faults=True)
    faults, n = stage.faults, 0
    through(scene, stage, n)
    for calls, places, ways in CALLS.values():
        for way, more in WAYS:
            if way not in ways:
                continue
            # A connect that was interrupted goes on by itself (connect(2)).
            more = dict(more, after=True) if calls == "connect" else more
            for role in ("hopseal:worker", "hopseal:queue") if scene.spool else ("hopseal:worker",):
                stage.sink.drop()
                rule, n = faults.add(calls, places, role=role), n + 1
                through(scene, stage, n)
                faults.clear()
                for nth in range(1, min(rule.matched, 25) + 1):
                    if calls == "connect":
                        stage.sink.drop()
                    rule, n = faults.add(calls, places, role=role, nth=nth, **more), n + 1
                    try:
                        through(scene, stage, n)
                    except AssertionError as e:
                        raise Wrong("%s, %s %s of %d: %s" % (way, calls, nth, rule.matched, e)) from e
                    faults.clear()
    stage.canary("annotate")


NEW_YEAR_1970, YEAR_2038 = 0, (1 << 31) + 86400


def clock_jump(scene):
    """A day on, a day back, to 1970 and to 2038, each in the middle of sessions and with mail that waits."""
    scene.must("host", "step the clock")
    stage = scene.stage(faults=True, clock=None, settings={"queue": {"expire": 7200}} if scene.spool else None)
    relay, faults, sink = stage.relay, stage.faults, stage.sink
    if scene.spool:     # one that waits all the time
        sink.always("mail", b"451 4.3.0 not now\r\n")
        check(deliver(stage, "annotate", BASE.replace(b"hello", b"I can wait")).code == 250)
        until("it was tried", lambda: [line for _, line in sink.commands.snapshot() if line.startswith("MAIL")])
    else:
        load = Load(relay, "annotate", clients=1, each=1 << 30)
    now = int(time.time())
    for n, seconds in enumerate((86400, -86400, NEW_YEAR_1970 - now, YEAR_2038 - now, 0)):
        c = Dialogue(relay.address("annotate"))
        c.send(b"EHLO t.a.test\r\nMAIL FROM:<s@a.test>\r\nRCPT TO:<r1@c.test>\r\nDATA\r\n")
        check([c.reply().code for _ in range(4)] == [250, 250, 250, 354], "no 354")
        faults.clock(seconds)
        relay.event("clock_jump", n + 1)
        c.send(stuffed(BASE.replace(b"hello", b"jump %d" % n)))
        got = c.reply()
        check(got and got.code == 250, "after a jump by %d s: %r" % (seconds, got))
        c.send(b"NOOP\r\n")
        check(c.reply().code == 250)
        c.close()
        got = deliver(stage, "sealing", BASE.replace(b"hello", b"sealed %d" % n))
        check((got.code, got.enhanced) == ((451, "4.3.0") if seconds == NEW_YEAR_1970 - now and not scene.spool else (250, "2.0.0")), seconds, got)
    check(not relay.events("expired"), "expired early")
    if scene.spool:
        sink.standing.clear()
        scene.settle(stage)
        texts = [t.content.rsplit(b"\r\n", 2)[1] for t in sink.transactions() if t.sender != "<>"]
        check(sorted(texts) == sorted([b"I can wait"] + [b"%s %d" % (w, n) for w in (b"jump", b"sealed") for n in range(5)]), texts)
        check(all(hops(t.content)[-1].t >= now - 90000 for t in sink.transactions() if b"sealed" in t.content), "sealed by a clock that was not set")
    else:
        load.stop.set()
        load.join()
        check(set(load.codes) == {250}, load.codes)
    check(all(len(hops(t.content)) == 1 for t in sink.transactions() if b"sealed" in t.content), "unsealed")
    stage.canary("annotate")


def alloc_fails(scene):
    """Each allocation of a worker while a message with a seal passes, and one that is to be sealed: 250 or 4yz, and the right verdict."""
    scene.must("fault", {"call": "malloc", "errno": "ENOMEM", "nth": "each"})
    if not MEASURED:    # memory there is the sanitizer's own
        return
    stage = scene.stage(faults=True)
    faults, sink, codes = stage.faults, stage.sink, set()
    message = signed(stage)
    for listener, content in (("annotate", message), ("sealing", BASE)):
        check(deliver(stage, listener, content).code == 250)
        rule = faults.add("malloc", "elsewhere", role="hopseal:worker")
        check(deliver(stage, listener, content).code == 250)
        total = rule.matched
        faults.clear()
        for nth in range(1, total + 1):
            faults.add("malloc", "elsewhere", role="hopseal:worker", nth=nth, fail=errno.ENOMEM)
            try:
                got = deliver(stage, listener, content)
            except (AssertionError, OSError):       # a session that there was no memory for
                got = None
            faults.clear()
            check(got is None or got.code == 250 or got.code // 100 == 4, "allocation %d of %d: %r" % (nth, total, got))
            codes.add(got and got.code)
            check(deliver(stage, listener, content).code == 250, "after allocation", nth)
    stage.relay.event("oom")
    check(250 in codes and 452 in codes, codes)
    for t in sink.transactions():
        if t.content.endswith(message):
            check(b"dkim2=pass" in t.content or b"dkim2=temperror" in t.content, "a wrong verdict", t.content)
        elif t.content.endswith(BASE):
            check(len(hops(t.content)) == 1, "unsealed", t.content)
    stage.canary("annotate")


SCENES = {"fault-short-io": short_io, "fault-clock-jump": clock_jump, "res-alloc-fails": alloc_fails}
