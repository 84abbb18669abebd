"""Drives crowd: a next hop, thousands of clients, and what a daemon in between needs for them."""
import os
import resource
import subprocess
import sys
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "t", "system"))

from relay import BUILD, USER, Ports, Relay, merge  # noqa: E402

CROWD = os.path.join(BUILD, "t", "soak", "crowd")
PATIENCE = 300


class Crowd:
    """One role of it as a process."""

    def __init__(self, *argv):
        self.process = subprocess.Popen([CROWD] + [str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def line(self, word):
        """Its next line, which begins with `word`; the rest of it."""
        watchdog = threading.Timer(PATIENCE, self.process.kill)
        watchdog.start()
        got = self.process.stdout.readline().split()
        watchdog.cancel()
        assert got and got[0] == word, "wanted %r of crowd, got %r" % (word, got)
        return got[1:]

    def numbers(self, word):
        """A last line of names and numbers."""
        got = [word] + self.line(word)
        return dict(zip(got[::2], map(int, got[1::2])))

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def finish(self):
        self.process.stdin.close()

    def end(self):
        if not self.process.stdin.closed:
            self.process.stdin.close()
        self.process.wait(PATIENCE)
        self.process.stdout.close()


def configure(folder, sink_port, count, tls=None, service="pass", workers=2, **settings):
    """A daemon for `count` sessions; tls: certificate, key and mode."""
    ports = Ports()
    port = ports.take()
    for name in ("san", "state", "spool"):
        os.mkdir(os.path.join(folder, name))
        os.chmod(os.path.join(folder, name), 0o777)
    listener = {"address": ["127.0.0.1:%d" % port], "service": service, "next_hop": "127.0.0.1:%d" % sink_port, "policy": "own"}
    if tls:
        listener["tls"] = tls
    conf = {"hostname": "mx.c.test", "workers": workers, "user": USER,
            "dns": {"resolver": "127.0.0.1", "trust_anchor": "none"},
            "state": {"dir": os.path.join(folder, "state")}, "spool": {"dir": os.path.join(folder, "spool")},
            "run": {"dir": os.path.join(folder, "run")}, "log": {"format": "json", "to": os.path.join(folder, "log")},
            "limits": {"sessions": count + 100, "sessions_per_client": count, "connects_per_client": 0},
            "listener": {"main": listener}, "policy": {"own": {"otherwise": "accept"}}}
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    relay = Relay(folder, merge(conf, settings), {"main": ("127.0.0.1", port)})
    relay.ports = ports
    return relay


def family(pid):
    """The process and all that came of it."""
    pids = [pid]
    for p in pids:
        with open("/proc/%d/task/%d/children" % (p, p), encoding="ascii") as f:
            pids += [int(child) for child in f.read().split()]
    return pids


def resident_kib(pid):
    """Anonymous memory of the daemon, process by process."""
    total = 0
    for p in family(pid):
        with open("/proc/%d/status" % p, encoding="ascii") as f:
            total += sum(int(line.split()[1]) for line in f if line.startswith("RssAnon:"))
    return total
