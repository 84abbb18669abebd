"""A hopseal daemon on loopback: its configuration, its log as events, its end."""
import fcntl
import glob
import json
import os
import pwd
import select
import signal
import socket
import subprocess
import termios
import threading

from client import Client
from wait import DEADLINE, Board, until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("HOPSEAL_BUILD", os.path.join(ROOT, "build"))
DAEMON = os.path.join(BUILD, "src", "hopseal")
CTL = os.path.join(BUILD, "src", "hopsealctl")
SCHEMA = os.path.join(ROOT, "proto", "log.schema.json")
# Root gives its rights up to a user every system has; anybody else stays who he is.
USER = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def lib(value, depth=0):
    """A Python value in libconfig's syntax: dict a group, list of plain values an array, list of groups a list."""
    pad = "  " * depth
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return "%d%s" % (value, "L" if abs(value) > 0x7fffffff else "")
    if isinstance(value, str):
        return '"%s"' % value.replace("\\", "\\\\").replace('"', '\\"')
    if isinstance(value, dict):
        inner = "".join("%s  %s = %s;\n" % (pad, k.replace("_", "-"), lib(v, depth + 1)) for k, v in value.items())
        return "{\n%s%s}" % (inner, pad)
    if isinstance(value, (list, tuple)):
        marks = "()" if value and isinstance(value[0], dict) else "[]"
        return marks[0] + ", ".join(lib(v, depth + 1) for v in value) + marks[1]
    raise TypeError(repr(value))


def lib_file(conf):
    return "".join("%s = %s;\n" % (k.replace("_", "-"), lib(v)) for k, v in conf.items())


class Ports:
    """Ports the kernel picked, held by a socket that does not listen so that nobody else gets them."""

    def __init__(self):
        self.held = []

    def take(self, host="127.0.0.1"):
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        sock.bind((host, 0))
        # Set before it, the kernel may pick one that somebody else holds like this.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.held.append(sock)
        return sock.getsockname()[1]

    def close(self):
        for sock in self.held:
            sock.close()


def once(pairs):
    """An object in which each name stands once."""
    out = dict(pairs)
    assert len(out) == len(pairs), "a name twice"
    return out


def merge(base, more):
    out = dict(base)
    for k, v in more.items():
        out[k] = merge(out[k], v) if isinstance(v, dict) and isinstance(out.get(k), dict) else v
    return out


def run(argv, **options):
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE, **options)


def ctl(*args, input=None):
    """hopsealctl; bytes in, a CompletedProcess out."""
    return run([CTL] + list(args), input=input)


class Relay:
    """One daemon. `conf` holds the settings of a configuration; `listeners` name -> (host, port)."""

    def __init__(self, folder, conf, listeners):
        self.folder, self.conf, self.listeners = folder, conf, listeners
        self.file = os.path.join(folder, "hopseal.conf")
        self.log = Board()      # events, dicts
        self.noise = []         # stderr lines that are no event
        self.process = None
        self.reader = None
        self.taking = False
        self.code = None
        self.background_pid = 0

    def write(self):
        with open(self.file, "w", encoding="utf-8") as f:
            f.write(lib_file(self.conf))

    def start(self, ready=True, more_env=None, **options):
        assert self.process is None or self.process.poll() is not None, "it runs already"
        self.write()
        san = os.path.join(self.folder, "san")
        env = dict(os.environ, **more_env or {})
        for name, more in (("ASAN_OPTIONS", "detect_leaks=1"), ("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")):
            env[name] = ":".join(filter(None, [env.get(name), more, "log_path=" + san + "/report"]))
        env["LSAN_OPTIONS"] = "log_path=" + san + "/report"
        self.code = None
        self.process = subprocess.Popen([DAEMON, "-f", "-c", self.file], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, env=env, start_new_session=True, **options)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        if ready:
            self.event("ready")
        return self

    def background(self):
        """Without -f: back once it serves; its pid stands in the lock file."""
        self.write()
        done = run([DAEMON, "-c", self.file])
        assert done.returncode == 0, done
        with open(os.path.join(self.conf["run"]["dir"], "lock"), encoding="ascii") as f:
            self.background_pid = int(f.read())

    def read(self):
        stdout, rest, wait = self.process.stdout, b"", select.poll()
        wait.register(stdout, select.POLLIN)
        octets = True
        while octets:
            wait.poll()
            self.taking = True      # before anything leaves the pipe
            octets = os.read(stdout.fileno(), 65536)
            *lines, rest = (rest + octets).split(b"\n")
            for line in lines if octets else [rest] if rest else []:
                self.take(line)
            self.taking = False
        self.log.add({"event": "end-of-log"})

    def take(self, line):
        try:
            event = json.loads(line.decode("utf-8"), object_pairs_hook=once)
            assert isinstance(event, dict)
        except (ValueError, AssertionError):
            self.noise.append(line.decode("utf-8", "replace"))
            return
        self.log.add(event)

    def unread(self):
        """Has the daemon written what read() has not taken yet?"""
        if not self.reader or not self.reader.is_alive():
            return False
        return fcntl.ioctl(self.process.stdout, termios.FIONREAD, b"\0" * 4) != b"\0" * 4 or self.taking

    def events(self, name=None, **wanted):
        """Those written by now."""
        until("the log to be read", lambda: not self.unread())
        return [e for e in self.log.snapshot() if self.match(e, name, wanted)]

    @staticmethod
    def match(event, name, wanted):
        return (name is None or event.get("event") == name) and all(event.get(k) == v for k, v in wanted.items())

    def event(self, name, n=1, **wanted):
        """Waits for the n-th such event and returns it."""
        def holds(items):
            got = [e for e in items if self.match(e, name, wanted)]
            if len(got) < n and items and items[-1].get("event") == "end-of-log":
                raise AssertionError("the daemon ended before %s %r; said %r %r" % (name, wanted, items[-8:], self.noise))
            return got[n - 1] if len(got) >= n else None
        return self.log.wait("event %s %r" % (name, wanted), holds)

    def address(self, name=None):
        return self.listeners[name] if name else next(iter(self.listeners.values()))

    def connect(self, name=None, source=None, banner=True):
        return Client(self.address(name), source, banner)

    def status(self):
        done = ctl("status", "--json", "-c", self.file)
        assert done.returncode == 0, done
        return json.loads(done.stdout)

    def pids(self, role):
        """Of the processes of a role in the newest generation; role: worker, keeper, resolver, control."""
        status = self.status()
        return [p["pid"] for p in status["processes"] if p["role"] == role and p["generation"] in (0, status["generation"])]

    def signal(self, number):
        self.process.send_signal(number)

    def reload(self, **changes):
        """New settings and SIGHUP; back with the event that says they are in force, or why not."""
        def outcomes(items):
            return [e for e in items if e.get("event") in ("reload_ok", "reload_refused")]
        before = len(outcomes(self.events()))
        self.conf = merge(self.conf, changes)
        self.write()
        self.signal(signal.SIGHUP)
        return self.log.wait("the end of a reload", lambda items: outcomes(items)[before:])[-1]

    def ended(self):
        """Waits for the end and returns the exit code."""
        self.code = self.process.wait(DEADLINE)
        self.reader.join(DEADLINE)
        return self.code

    def stop(self):
        """SIGTERM; every process ends in order and nobody complained."""
        if self.background_pid:
            os.kill(self.background_pid, signal.SIGTERM)
            until("the end of the background", lambda: not os.path.exists("/proc/%d" % self.background_pid))
            self.background_pid = 0
        if self.process is None or self.code is not None:
            return
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            self.ended()
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.ended()
            raise AssertionError("no end within %g s of SIGTERM; last events %r" % (DEADLINE, self.log.items[-8:]))
        assert self.code == 0, "exit code %r; said %r, %r" % (self.code, self.log.items[-8:], self.noise)
        self.check()

    def check(self):
        """No sanitizer spoke, and every line of the log is an event that the schema knows."""
        reports = []
        for path in glob.glob(os.path.join(self.folder, "san", "*")):
            with open(path, encoding="utf-8", errors="replace") as f:
                reports.append(f.read())
        assert not reports, "\n".join(reports)
        assert not self.noise, "lines that are no event: %r" % self.noise
        validate(self.log.items)


def validate(events):
    import jsonschema
    with open(SCHEMA, encoding="utf-8") as f:
        schema = json.load(f)
    checker = jsonschema.Draft202012Validator(schema)
    for event in events:
        if event.get("event") == "end-of-log":
            continue
        wrong = sorted(checker.iter_errors(event), key=str)
        assert not wrong, "%s\nin %r" % (wrong[0].message, event)
