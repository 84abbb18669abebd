"""
Scenes of t/data/attacks.yaml in which the daemon is killed, with no word to anybody, and started again. Proxy mode has nothing to
recover: what was acknowledged is with the next hop, what was not the client sends again. The points at which to kill are seen from
outside, by what the next hop or the client holds back there.
"""
import os
import random
import threading

from attacks import BASE, META
from attacks_scenes import Load
from client import stuffed
from dialogue import Dialogue, check
from sink import Hold, Sink
from wait import DEADLINE, until

LARGE = 12 * 1024 * 1024    # more than sockets hold between them
# Point -> (the stage at which the next hop is held, octets of content, may the next hop have taken what nobody was told of?)
POINTS = {
    "in.mail": ("mail", 100, False), "in.rcpt": ("rcpt", 100, False), "in.data_partial": (None, 200000, False), "in.dot_seen": ("data", 100, False),
    "out.connected": ("connect", 100, False), "out.rcpt_done": ("data", 100, False), "out.data_partial": ("content", LARGE, False),
    "out.before_dot": ("content", LARGE, False), "out.after_dot": ("dot", 100, True),
    # Between these three is no room for anybody: killed as soon as the next hop has said 250.
    "out.got_250": ("taken", 100, True), "in.before_250": ("taken", 100, True), "in.after_250": ("taken", 100, True),
}


def restart(stage):
    """SIGKILL to the supervisor, whose children die with it; and again from the beginning."""
    relay = stage.relay
    relay.process.kill()
    relay.ended()
    begun = len(relay.events("ready"))
    relay.start(ready=False)
    relay.log.wait("a daemon that is ready", lambda items: len([e for e in items if e.get("event") == "ready"]) > begun)


class Client(threading.Thread):
    """Sends one message again and again until it was acknowledged; the first time it may stop half way."""

    def __init__(self, stage, content, half=None):
        threading.Thread.__init__(self, daemon=True)
        self.stage, self.content, self.half = stage, content, half
        self.wrong, self.tries = None, 0
        self.start()

    def attempt(self):
        d = Dialogue(self.stage.relay.address("annotate"))
        try:
            for line, code in (("EHLO t.a.test", 250), ("MAIL FROM:<s@a.test>", 250), ("RCPT TO:<r1@c.test>", 250), ("DATA", 354)):
                d.send(line.encode() + b"\r\n")
                got = d.reply()
                if not got or got.code != code:
                    return False
            octets = stuffed(self.content)
            if self.half:
                d.send(octets[:len(octets) // 2])
                half, self.half = self.half, None
                half.reached.set()
                half.gate.wait(DEADLINE)
                octets = octets[len(octets) // 2:]
            d.send(octets)
            got = d.reply()
            return got is not None and got.code == 250
        finally:
            d.close()

    def run(self):
        try:
            def delivered():
                self.tries += 1
                try:
                    return self.attempt()
                except OSError:
                    return False
            until("250 for it", delivered)
        except AssertionError as e:
            self.wrong = e


def kill_sync(scene):
    """At each point once; beside it clients of another next hop."""
    scene.must("kill", {"at": "each", "mode": "sync", "repeat": 50})
    check(list(POINTS) == META["kill_points"]["sync"], "other points than", META["kill_points"]["sync"])
    beside = Sink()
    stage = scene.stage(settings={"listener": {"pass": {"next_hop": beside.address}}})
    stage.may_die = True
    load = Load(stage.relay, "pass", clients=2, each=1 << 30)
    try:
        for point, (where, octets, twice) in POINTS.items():
            content = BASE + b"x" * 70 + b"\r\n" + (b"y" * 998 + b"\r\n") * (octets // 1000) + point.encode() + b"\r\n"
            stage.sink.drop()
            hold = Hold(threading.Event())
            mark = len(stage.sink.transactions())
            if where not in (None, "taken"):
                stage.sink.script(where, hold)
            client = Client(stage, content, hold if where is None else None)
            if where == "taken":
                stage.sink.wait(mark + 1)
            else:
                check(hold.reached.wait(DEADLINE), point, "was not reached")
            restart(stage)
            hold.gate.set()
            client.join(DEADLINE)
            check(not client.is_alive() and not client.wrong, point, client.wrong)
            until("the message", lambda: len(stage.sink.transactions()) > mark)
            got = stage.sink.transactions()[mark:]
            check(all(t.content.endswith(content) for t in got), point, "something else was taken:", got)
            check(len(got) <= (2 if twice and client.tries > 1 else 1), point, "copies: %d in %d tries" % (len(got), client.tries))
        load.stop.set()
        load.join()
        load.judge(beside, copies_more=load.lost)
        check(load.accepted, "nothing was accepted beside it")
    finally:
        load.stop.set()
        beside.close()
    stage.canary("annotate")


def kill_random(scene):
    """Ten times, while four clients send; each copy beyond one belongs to an answer that was lost."""
    scene.must("kill", {"at": "random", "repeat": 3000})
    dice = random.Random(int(os.environ.get("HOPSEAL_SEED", "1")))
    stage = scene.stage()
    stage.may_die = True
    load = Load(stage.relay, "annotate", clients=4, each=1 << 30)
    try:
        for n in range(10):
            seen = len(load.accepted)
            until("messages on their way", lambda: len(load.accepted) > seen or load.wrong)
            threading.Event().wait(dice.uniform(0, 0.3))
            restart(stage)
    finally:
        load.stop.set()
    load.join()
    load.judge(stage.sink, copies_more=load.lost)
    stage.canary("annotate")


SCENES = {"fault-kill-sync": kill_sync, "fault-kill-random": kill_random}
