"""A daemon in queue mode whose calls fail and which is killed as a test has it, with the ledger of what it was given and what it gave."""
import ctypes
import os
import threading
import time

from faults import Faults
from ledger import Ledger
from relay import ctl, merge
from spool import Spool
from wait import DEADLINE, until

PR_SET_CHILD_SUBREAPER = 36
# As fast as seconds go.
FAST = {"queue": {"retry_min": 1, "retry_max": 1, "expire": 3600, "warn": 0}}


class Crash:
    """`make` is the fixture hopseal. Listener main: inbound, mode queue, whose client may send anywhere; more: listeners or settings."""

    def __init__(self, make, room, sink, service="inbound", listener=None, listeners=None, record_octets=0, start=True, number=0, **settings):
        main = dict({"service": service, "mode": "queue", "clients": ["127.0.0.0/8"]}, **(listener or {}))
        self.relay = make(listeners=dict({"main": main}, **(listeners or {})), start=False, **merge(FAST, settings))
        self.folder = os.path.join(self.relay.folder, "spool")
        self.spool, self.sink = Spool(self.folder), sink
        self.faults = Faults(self.relay.folder, self.folder, record_octets)
        self.ledger = Ledger(self.spool, sink)
        self.slowest_s = 0
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)      # its orphans are ours, and are gone when we say so
        if start:
            self.start()

    @property
    def address(self):
        return self.relay.address("main")

    @property
    def port(self):
        return self.address[1]

    def start(self):
        """Once more; back when it is ready. Seconds it took."""
        begun = len(self.relay.events("ready"))
        begin = time.monotonic()
        self.faults.revive()
        self.relay.start(ready=False, more_env=self.faults.env)

        def ready(items):
            got = [e for e in items if e.get("event") == "ready"]
            assert len(got) > begun or not items or items[-1].get("event") != "end-of-log" or self.relay.process.poll() is None, \
                "the daemon ended: %r %r" % (items[-8:], self.relay.noise)
            return len(got) > begun
        self.relay.log.wait("a daemon that is ready", ready)
        took = time.monotonic() - begin
        self.slowest_s = max(self.slowest_s, took)
        return took

    def kill(self):
        """SIGKILL to the supervisor, whose children die with it; back when all of them are gone."""
        def kill():
            self.relay.process.kill()
            self.gone()
        self.ledger.killed(kill)

    def gone(self):
        self.relay.ended()
        for pid in group_of(self.relay.process.pid):
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                pass

    def doomed(self, rule):
        """Waits until a rule has killed the daemon."""
        def kill():
            until("the rule to act", lambda: rule.acted or self.relay.process.poll() is not None)
            self.gone()
        self.ledger.killed(kill, rule.made_s)
        assert rule.acted, "it ended by itself"

    def send(self, post=None, **more):
        """One message, by a client of its own."""
        post = post or self.ledger.post()
        c = self.ledger.send(post, self.address, **more)
        if c:
            c.close()
        return post

    def send_later(self, post=None, **more):
        """The same by a thread; join it."""
        t = threading.Thread(target=self.send, args=(post or self.ledger.post(),), kwargs=more, daemon=True)
        t.start()
        return t

    def flush(self):
        """What waits is tried now."""
        return ctl("queue", "flush", "-c", self.relay.file)

    def drain(self, deadline=DEADLINE, hurry=False):
        """Until nothing waits; hurry: what was put off is tried again at once, and again."""
        def empty():
            if not self.spool.waiting():
                return True
            if hurry:
                self.flush()
            return False
        until("the spool to be empty", empty, deadline)

    def clean(self):
        """Nothing is left on the disk once nothing waits."""
        until("an empty spool", lambda: not self.spool.left())


def group_of(leader):
    """Processes of a group, dead ones too that nobody has asked for."""
    out = []
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                with open("/proc/%s/stat" % pid, encoding="ascii", errors="replace") as f:
                    if f.read().rsplit(")", 1)[1].split()[2] == str(leader):
                        out.append(int(pid))
            except OSError:
                pass
    return out
