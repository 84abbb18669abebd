#!/usr/bin/python3
"""
A long queue: so many messages to so many domains, a third of them dead. Tells how long the daemon takes to know them all after a start, what the
queue process has in memory, how soon the first message of each live domain is gone, and how fast the rest is.

    HOPSEAL=build-release/src/hopseal contrib/bench/queue_backlog.py [MESSAGES [DOMAINS]]

Everything is on loopback; the mail servers are one program at two addresses, of which the dead ones do not answer.
"""
import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HOPSEAL = os.environ.get("HOPSEAL", "build/src/hopseal")
MESSAGES = int(sys.argv[1]) if len(sys.argv) > 1 else 100000
DOMAINS = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
BODY = b"From: s@a.example\r\nTo: r@b.example\r\nSubject: one of many\r\n\r\n" + b"0123456789abcdef" * 4 * 60 + b"\r\n"


def port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Sink:
    """Takes everything; knows when it had the first message for each domain."""

    def __init__(self):
        self.first, self.taken = {}, 0

    async def serve(self, reader, writer):
        writer.write(b"220 sink ESMTP\r\n")
        content, domain = False, None
        try:
            while True:
                line = await reader.readline()
                if not line:
                    break
                if content:
                    if line == b".\r\n":
                        content = False
                        self.taken += 1
                        self.first.setdefault(domain, time.monotonic())
                        writer.write(b"250 2.0.0 ok\r\n")
                    continue
                verb = line[:4].upper()
                if verb == b"EHLO":
                    writer.write(b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
                elif verb == b"RCPT":
                    domain = line.split(b"@")[1].split(b">")[0]
                    writer.write(b"250 2.1.5 ok\r\n")
                elif verb == b"DATA":
                    content = True
                    writer.write(b"354 go\r\n")
                elif verb == b"QUIT":
                    writer.write(b"221 bye\r\n")
                    break
                else:
                    writer.write(b"250 2.0.0 ok\r\n")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        writer.close()


async def inject(at, numbers):
    reader, writer = await asyncio.open_connection("127.0.0.1", at)
    await reader.readline()
    writer.write(b"EHLO client\r\n")
    while (await reader.readline())[3:4] == b"-":
        pass
    for n in numbers:
        writer.write(b"MAIL FROM:<s@a.example>\r\nRCPT TO:<r%d@d%d.test>\r\nDATA\r\n" % (n, n % DOMAINS))
        for _ in range(3):
            line = await reader.readline()
        assert line.startswith(b"354"), line
        writer.write(BODY + b".\r\n")
        line = await reader.readline()
        assert line.startswith(b"250"), line
    writer.write(b"QUIT\r\n")
    await reader.readline()
    writer.close()


def memory(pid):
    out = {}
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        for line in f:
            if line.startswith(("VmRSS", "VmHWM")):
                out[line[:5]] = int(line.split()[1]) // 1024
    return out


def queue_pid():
    for name in os.listdir("/proc"):
        try:
            with open("/proc/%s/comm" % name, encoding="ascii") as f:
                if f.read().strip() == "hopseal:queue":
                    return int(name)
        except OSError:
            pass
    return None


class Daemon:
    def __init__(self, folder, at, mx_port, retry):
        with open(folder + "/hopseal.conf", "w", encoding="ascii") as f:
            f.write('hostname = "mx.example"; workers = 2; user = "root";\ndns: { answers = "%(f)s/dns.json"; };\n'
                    'state: { dir = "%(f)s"; }; spool: { dir = "%(f)s/spool"; }; run: { dir = "%(f)s/run"; };\n'
                    'log: { format = "json"; to = "%(f)s/log"; };\nlimits: { sessions-per-client = 1000; };\n'
                    'pool: { connect = 5000; };\n'
                    'queue: { mx-port = %(mx)d; retry-min = %(r)d; retry-max = 86400; };\n'
                    'listener: { l: { address = ["127.0.0.1:%(at)d"]; service = "pass"; mode = "queue"; clients = ["127.0.0.0/8"]; '
                    'next-hop = "mx"; }; };\n' % {"f": folder, "mx": mx_port, "at": at, "r": retry})
        self.log, self.seen = folder + "/log", 0
        open(self.log, "a", encoding="ascii").close()
        self.seen = os.path.getsize(self.log)
        self.begun = time.monotonic()
        self.process = subprocess.Popen([HOPSEAL, "-f", "-c", folder + "/hopseal.conf"])

    async def event(self, name):
        held = b""
        with open(self.log, "rb") as f:
            f.seek(self.seen)
            while True:
                line = f.readline()
                held += line
                if not line.endswith(b"\n"):
                    await asyncio.sleep(0.01)
                    continue
                got, held = json.loads(held), b""
                if got["event"] == name:
                    return got

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


async def main():
    folder = tempfile.mkdtemp(prefix="hopseal-backlog.", dir=os.environ.get("TMPDIR", "/var/tmp"))
    at, mx_port = port(), port()
    answers = {"live.test": {"A": ["127.0.0.2"]}, "dead.test": {"A": ["127.0.0.3"]}}
    for n in range(DOMAINS):
        answers["d%d.test" % n] = {"MX": ["10 %s.test" % ("dead" if n % 3 == 0 else "live")]}
    with open(folder + "/dns.json", "w", encoding="ascii") as f:
        json.dump(answers, f)
    os.mkdir(folder + "/spool", 0o700)
    # One that takes no connection: what comes to it is lost once its backlog is full.
    dead = socket.socket()
    dead.bind(("127.0.0.3", mx_port))
    dead.listen(0)
    daemon = Daemon(folder, at, mx_port, 86400)
    await daemon.event("ready")
    begun = time.monotonic()
    await asyncio.gather(*[inject(at, range(k, MESSAGES, 50)) for k in range(50)])
    print("taken: %d messages, %.0f a second" % (MESSAGES, MESSAGES / (time.monotonic() - begun)))
    daemon.stop()

    sink = Sink()
    server = await asyncio.start_server(sink.serve, "127.0.0.2", mx_port, backlog=1000)
    for name in os.listdir(folder + "/spool/note") if os.path.isdir(folder + "/spool/note") else []:
        os.unlink(folder + "/spool/note/" + name)
    daemon = Daemon(folder, at, mx_port, 300)
    await daemon.event("ready")
    print("ready to take mail: %.2f s after the start" % (time.monotonic() - daemon.begun))
    got = await daemon.event("spool_recovered")
    known = time.monotonic()
    pid = queue_pid()
    print("all %d messages known: %.2f s after the start; queue process %r MiB" % (got["messages"], known - daemon.begun, memory(pid)))
    live = sum(1 for n in range(MESSAGES) if n % DOMAINS % 3)
    domains = sum(1 for n in range(DOMAINS) if n % 3)
    last, idle = -1, time.monotonic()
    while sink.taken < live and time.monotonic() - idle < 60:
        if sink.taken != last:
            last, idle = sink.taken, time.monotonic()
        await asyncio.sleep(0.1)
    took = time.monotonic() - daemon.begun
    firsts = sorted(t - daemon.begun for t in sink.first.values())
    print("live domains: %d of %d had their first message, half after %.1f s, the last after %.1f s" % (
        len(firsts), domains, firsts[len(firsts) // 2], firsts[-1]))
    print("to live domains: %d of %d delivered in %.1f s, %.0f a second; queue process %r MiB" % (
        sink.taken, live, took, sink.taken / took, memory(pid)))
    daemon.stop()
    server.close()
    shutil.rmtree(folder)


asyncio.run(main())
