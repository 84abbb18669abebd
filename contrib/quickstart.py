"""The demonstration behind contrib/quickstart, which builds first. Everything is on loopback, in a folder of its own."""
import email.utils
import json
import os
import re
import shlex
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("HOPSEAL_BUILD", os.path.join(ROOT, "build"))
DAEMON = os.path.join(BUILD, "src", "hopseal")
CTL = os.path.join(BUILD, "src", "hopsealctl")
SENDER, RECIPIENT, OTHER = "alice@sender.example", "bob@receiver.example", "mallory@receiver.example"
PATIENCE = 20   # seconds for each thing that is waited for


def sink(folder):
    """The mail server behind: takes everything for anybody, a file a message. Prints its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    count = 0
    while True:
        sock, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            sink_session(sock, folder, count)
            os._exit(0)
        sock.close()
        count += 1


def sink_session(sock, folder, session):
    lines = sock.makefile("rb")

    def say(text):
        sock.sendall(text.encode() + b"\r\n")
    say("220 sink.receiver.example ESMTP")
    taken = 0
    for line in lines:
        verb = line.split()[0].upper() if line.split() else b""
        if verb == b"EHLO":
            say("250-sink.receiver.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 52428800")
        elif verb == b"DATA":
            say("354 go on")
            content = b""
            for line in lines:
                if line == b".\r\n":
                    break
                content += line[1:] if line.startswith(b".") else line
            taken += 1
            path = os.path.join(folder, "delivered.%d.%d.eml" % (session, taken))
            with open(path + ".part", "wb") as f:
                f.write(content)
            os.rename(path + ".part", path)
            say("250 2.0.0 stored as %s" % os.path.basename(path))
        elif verb == b"QUIT":
            say("221 2.0.0 bye")
            return
        else:
            say("250 2.0.0 ok")


def free_ports(n):
    socks = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    got = [s.getsockname()[1] for s in socks]
    for s in socks:
        s.close()
    return got


def say(text=""):
    print(text, flush=True)


def indented(text):
    return "".join("    %s\n" % line for line in text.rstrip("\n").split("\n"))


def die(text):
    sys.exit("quickstart: " + text)


def tool(*args, fine=(0,)):
    done = subprocess.run([CTL] + list(args), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    if done.returncode not in fine:
        die("%s ended with %d:\n%s" % (shlex.join(["hopsealctl"] + list(args)), done.returncode, done.stdout))
    return done.stdout


def make_key(folder, selector, kind):
    before = set(os.listdir(folder))
    tool("keygen", "--domain", "sender.example", "--selector", selector, "--type", kind, "--out", folder)
    files = [f for f in os.listdir(folder) if f not in before and f.endswith(".pem")]
    if len(files) != 1:
        die("keygen made %r" % files)
    path = os.path.join(folder, files[0])
    zone = tool("dns-record", "--key", path, "--domain", "sender.example", "--selector", selector)
    return path, "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', zone))


CONF = """\
hostname = "%(hostname)s";
workers  = 1;
user     = "%(user)s";
dns:   { answers = "%(folder)s/dns.json"; };     # the offline file; a real site leaves this out
state: { dir = "%(folder)s/%(name)s/state"; };
spool: { dir = "%(folder)s/%(name)s/spool"; };
run:   { dir = "%(folder)s/%(name)s/run"; };
log:   { format = "text"; to = "stderr"; };
"""

OUTBOUND = CONF + """\
keys = (
%(keys)s
);
listener: {
  smarthost: {
    address  = ["127.0.0.1:%(port)d"];
    service  = "outbound";
    mode     = "proxy";
    clients  = ["127.0.0.0/8"];
    next-hop = "127.0.0.1:%(next)d";
  };
};
"""

INBOUND = CONF + """\
listener: {
  mx: {
    address  = ["127.0.0.1:%(port)d"];
    service  = "inbound";
    next-hop = "127.0.0.1:%(next)d";
    policy   = "inbound";
  };
};
policy: {
  inbound: {
    rules = (
      { name = "broken chain";    when = ["dkim2 = fail"];      then = "refuse 550 5.7.1 {dkim2.reason}"; },
      { name = "bad chain";       when = ["dkim2 = permerror"]; then = "refuse 550 5.7.1 {dkim2.reason}"; },
      { name = "key unreachable"; when = ["dkim2 = temperror"]; then = "defer 451 4.7.5 {dkim2.reason}"; }
    );
    otherwise = "accept";
  };
};
"""


class Stage:
    """What was started, to be stopped by pid."""

    def __init__(self, folder):
        self.folder, self.running = folder, []

    def start(self, name, argv, **options):
        log = open(os.path.join(self.folder, name + ".log"), "wb")
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=log, start_new_session=True, **dict({"stdout": log}, **options))
        self.running.append((name, process))
        return process

    def hopseal(self, name, template, **values):
        for part in ("state", "spool"):
            own = os.path.join(self.folder, name, part)
            os.makedirs(own)
            if os.geteuid() == 0:
                shutil.chown(own, values["user"])
        conf = os.path.join(self.folder, name + ".conf")
        with open(conf, "w", encoding="utf-8") as f:
            f.write(template % dict(values, name=name, folder=self.folder))
        process = self.start(name, [DAEMON, "-f", "-c", conf])
        end = time.monotonic() + PATIENCE
        while not self.greets(values["port"]):
            if process.poll() is not None or time.monotonic() > end:
                with open(os.path.join(self.folder, name + ".log"), encoding="utf-8", errors="replace") as f:
                    die("%s does not serve:\n%s" % (name, f.read()))
            time.sleep(0.05)

    @staticmethod
    def greets(port):
        try:
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as s:
                s.settimeout(PATIENCE)
                return s.recv(4) == b"220 "
        except OSError:
            return False

    def stop(self):
        for _, process in reversed(self.running):
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running = []


def main(keep):
    folder = tempfile.mkdtemp(prefix="hopseal-quickstart.")
    os.chmod(folder, 0o755)
    user = subprocess.run(["id", "-un"], stdout=subprocess.PIPE, universal_newlines=True, check=True).stdout.strip()
    if user == "root":
        user = "nobody"
    stage = Stage(folder)
    try:
        demonstrate(stage, folder, user)
        if keep:
            return leave_running(stage)
    except BaseException:
        stage.stop()
        raise
    stage.stop()
    say("Everything is stopped.")


def demonstrate(stage, folder, user):
    keys = os.path.join(folder, "keys")
    os.mkdir(keys, 0o700)
    say("1. keys for sender.example, and the DNS records that publish them (%s/dns.json)" % folder)
    made = [("ed", "ed25519") + make_key(keys, "ed", "ed25519"), ("rsa", "rsa") + make_key(keys, "rsa", "rsa")]
    answers = {"%s._domainkey.sender.example" % selector: [record] for selector, _, _, record in made}
    with open(os.path.join(folder, "dns.json"), "w", encoding="utf-8") as f:
        json.dump(answers, f, indent=1)
    for name, (record,) in answers.items():
        say("    %s TXT %.60s..." % (name, record))

    say("\n2. an outbound hopseal in front of an inbound one in front of a sink"
        + (" (started by root: they become %s)" % user if os.geteuid() == 0 else ""))
    box = os.path.join(folder, "mail")
    os.mkdir(box)
    behind = stage.start("sink", [sys.executable, os.path.abspath(__file__), "--sink", box], stdout=subprocess.PIPE)
    sink_port = int(behind.stdout.readline())
    outbound, inbound = free_ports(2)
    stage.ports = outbound, inbound, sink_port
    rows = ['  { domain = "sender.example"; selector = "%s"; file = "%s"; use = "active"; }' % (selector, path) for selector, _, path, _ in made]
    stage.hopseal("inbound", INBOUND, hostname="mx.receiver.example", user=user, port=inbound, next=sink_port)
    stage.hopseal("outbound", OUTBOUND, hostname="out.sender.example", user=user, port=outbound, next=inbound,
                  keys=",\n".join(rows))
    say("    client -> outbound 127.0.0.1:%d -> inbound 127.0.0.1:%d -> sink 127.0.0.1:%d" % stage.ports)

    say("\n3. a message from %s to %s through both" % (SENDER, RECIPIENT))
    message = ("From: Alice <%s>\r\nTo: Bob <%s>\r\nSubject: Lunch\r\nDate: %s\r\nMessage-ID: %s\r\n\r\n"
               "Hello Bob,\r\n\r\nlunch at noon?\r\n\r\nAlice\r\n") % (
                   SENDER, RECIPIENT, email.utils.formatdate(localtime=True), email.utils.make_msgid(domain="sender.example"))
    with smtplib.SMTP("127.0.0.1", outbound, timeout=PATIENCE) as c:
        c.sendmail(SENDER, [RECIPIENT], message.encode())
    (delivered,) = [os.path.join(box, name) for name in os.listdir(box) if name.endswith(".eml")]
    with open(delivered, "rb") as f:
        content = f.read()
    say(indented(content.split(b"\r\n\r\n")[0].decode().replace("\r\n", "\n")))
    if b"dkim2=pass" not in content:
        die("the delivered message has no dkim2=pass")

    say("4. the sealed chain: hopsealctl explain")
    say(indented(tool("explain", "--dns", os.path.join(folder, "dns.json"), delivered)))
    page = os.path.join(folder, "chain.html")
    tool("explain", "--dns", os.path.join(folder, "dns.json"), delivered, "--html", page)
    say("    the same as a page: %s\n" % page)

    say("5. the same message replayed to %s" % OTHER)
    try:
        with smtplib.SMTP("127.0.0.1", inbound, timeout=PATIENCE) as c:
            c.sendmail(SENDER, [OTHER], content)
    except smtplib.SMTPDataError as e:
        say("    the inbound hopseal answers: %d %s" % (e.smtp_code, e.smtp_error.decode("latin-1")))
        if e.smtp_code != 550 or b"did not match" not in e.smtp_error:
            die("that is not the refusal of a replay")
    else:
        die("the replay was accepted")

    say("\nThe delivered message: %s" % delivered)
    say("Configurations, keys and logs: %s" % folder)


def leave_running(stage):
    outbound, inbound, sink_port = stage.ports
    say("\nStill running: outbound 127.0.0.1:%d, inbound 127.0.0.1:%d, sink 127.0.0.1:%d" % stage.ports)
    say("send:  swaks --server 127.0.0.1:%d --from %s --to %s" % (outbound, SENDER, RECIPIENT))
    say("       (whatever From of sender.example, whatever recipient; the sink stores it in %s/mail)" % stage.folder)
    say("stop:  kill %s" % " ".join(str(process.pid) for _, process in stage.running))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--sink"]:
        sink(sys.argv[2])
    else:
        main("--keep" in sys.argv[1:])
