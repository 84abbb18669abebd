"""Mail servers that are not installed: unpacked by t/peers, started in a root of their own, ended by pid.

Dovecot stores what comes. Each of the others relays what comes to its port `front` by the domain of the recipient (routes:
domain -> port), as a client of hopseal, and what comes to its port `back`, as a next hop of hopseal, to the port `onward`.
"""
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from peers import listens
from relay import ROOT
from sink import Transaction
from wait import DEADLINE, until

PEERS = os.environ.get("HOPSEAL_PEERS", os.path.join(ROOT, "build", "peers"))
# Of users that exist in those roots only.
UID = 64001


def fetched(name):
    folder = os.path.join(PEERS, name)
    if not os.path.isdir(folder):
        pytest.skip("%s is not in %s; t/peers fetches it" % (name, PEERS))
    return folder


def libraries(package, program):
    """What the program loads, as (file, its place in a root)."""
    own = [os.path.join(folder, name) for folder, _, names in os.walk(package) for name in names if ".so" in name]
    env = dict(os.environ, LD_LIBRARY_PATH=":".join(sorted({os.path.dirname(path) for path in own})))
    out = subprocess.run(["ldd", program], env=env, stdout=subprocess.PIPE, check=True).stdout.decode()
    if "not found" in out:
        pytest.skip("%s misses a library; t/peers fetches it" % program)
    for path in re.findall(r"(/\S+) \(0x", out):
        yield path, path[len(package):] if path.startswith(package) else path


class Jail:
    """A package's program in a root that holds nothing else; its users are known there only."""

    def __init__(self, folder, package, program, users, folders, helpers=()):
        if os.geteuid() != 0:
            pytest.skip("%s runs in a root of its own, which only root can give it" % package)
        source = fetched(package)
        self.root, self.program, self.process = folder, program, None
        for name in (program,) + tuple(helpers):
            for path, place in list(libraries(source, source + name)) + [(source + name, name)]:
                os.makedirs(os.path.dirname(folder + place), exist_ok=True)
                shutil.copy(path, folder + place)
        for name in ("/etc", "/tmp") + tuple(folders):
            os.makedirs(folder + name, exist_ok=True)
        os.chmod(folder + "/tmp", 0o1777)
        rows = [("root", 0)] + [(user, UID + n) for n, user in enumerate(users)]
        self.write("/etc/passwd", "".join("%s:x:%d:%d::/:/bin/false\n" % (name, n, n) for name, n in rows))
        self.write("/etc/group", "".join("%s:x:%d:\n" % row for row in rows))
        self.write("/etc/hosts", "127.0.0.1 localhost\n")
        self.write("/etc/resolv.conf", "")
        self.write("/dev/null", "", 0o666)      # a file does: whatever reads it reads nothing first

    def write(self, name, text, mode=0o644):
        os.makedirs(os.path.dirname(self.root + name), exist_ok=True)
        with open(self.root + name, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(self.root + name, mode)

    def give(self, cert, owner=0):
        """Certificate and key stand in /etc there."""
        for name, path in (("cert", cert.file), ("key", cert.key)):
            shutil.copy(path, "%s/etc/%s.pem" % (self.root, name))
            os.chmod("%s/etc/%s.pem" % (self.root, name), 0o600)
            os.chown("%s/etc/%s.pem" % (self.root, name), owner, owner)

    def start(self, *args, ports):
        self.out = open(self.root + ".out", "wb")
        self.process = subprocess.Popen(["/usr/sbin/chroot", self.root, self.program] + list(args), stdin=subprocess.DEVNULL,
                                        stdout=self.out, stderr=self.out, start_new_session=True)
        for port in ports:
            until("%s on port %d" % (self.program, port), lambda: self.process.poll() is not None or listens(port))
        assert self.process.poll() is None, self.log()

    def log(self):
        with open(self.root + ".out", encoding="utf-8", errors="replace") as f:
            return f.read()

    def inmates(self):
        """Processes that live in this root."""
        pids = []
        for name in os.listdir("/proc"):
            try:
                if name.isdigit() and os.readlink("/proc/%s/root" % name) == self.root:
                    pids.append(int(name))
            except OSError:     # it ended meanwhile
                pass
        return pids

    def stop(self):
        self.process.terminate()
        self.process.wait(DEADLINE)
        self.out.close()
        for pid in self.inmates():      # a delivery that was still going on
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


class Exim(Jail):
    """
    The user part of an address that begins with `bdat` gets BDAT where it is offered, everybody else DATA; one that begins with `late` is
    refused under PRDR, once the message is known, and one that begins with `slow` put off.
    """

    def __init__(self, folder, front, back, onward, routes, cert, fronted=0):
        super().__init__(folder, "exim", "/usr/sbin/exim4", ["Debian-exim"], ["/var/spool/exim4", "/var/log/exim4"])
        for name in ("/var/spool/exim4", "/var/log/exim4"):
            os.chown(folder + name, UID, UID)
        self.give(cert, UID)
        self.write("/etc/routes", "".join("%s: %d\n" % row for row in routes.items()))
        self.write("/etc/exim4/exim4.conf", """
primary_hostname = exim.b.test
local_interfaces = 127.0.0.1
daemon_smtp_ports = %(ports)s
tls_advertise_hosts = *
tls_certificate = /etc/cert.pem
tls_privatekey = /etc/key.pem
dsn_advertise_hosts = *
prdr_enable = true
message_size_limit = 60M
keep_environment =
host_lookup =
rfc1413_query_timeout = 0s
smtp_accept_max_per_connection = 7
smtp_accept_queue_per_connection = 0
hosts_proxy = ${if eq{$received_port}{%(fronted)d}{*}{}}
log_selector = +all
acl_smtp_rcpt = accept
acl_smtp_data = accept
acl_smtp_data_prdr = each
begin acl
each:
  deny local_parts = ^late
  defer local_parts = ^slow
    message = $local_part is not done with the last one
  accept
begin routers
onward:
  driver = manualroute
  condition = ${if eq{$received_port}{%(front)d}{no}{yes}}
  transport = clear
  route_data = 127.0.0.1::%(onward)d
  self = send
routes:
  driver = manualroute
  transport = offered
  route_data = 127.0.0.1::${lookup{$domain}lsearch{/etc/routes}}
  self = send
begin transports
clear:
  driver = smtp
  port = 25
  hosts_avoid_tls = *
  hosts_try_chunking =
offered:
  driver = smtp
  port = 25
  hosts_try_chunking = ${if match{$local_part}{^bdat}{*}{}}
begin retry
* * F,1h,1s
""" % {"front": front, "onward": onward, "fronted": fronted, "ports": " : ".join(str(p) for p in (front, back, fronted) if p)})
        self.start("-bdf", ports=[front, back])

    def log(self):
        text = super().log()
        for name in ("mainlog", "paniclog", "rejectlog"):
            path = "%s/var/log/exim4/%s" % (self.root, name)
            if os.path.exists(path):
                with open(path, encoding="utf-8", errors="replace") as f:
                    text += f.read()
        return text


class OpenSmtpd(Jail):
    def __init__(self, folder, front, back, onward, routes, cert, fronted=0):
        super().__init__(folder, "opensmtpd", "/usr/sbin/smtpd", ["opensmtpd", "opensmtpq"],
                         ["/var/run", "/var/spool/smtpd", "/var/lib/opensmtpd/empty"])
        os.chmod(folder + "/var/spool/smtpd", 0o711)
        self.give(cert)
        self.write("/etc/mailname", "opensmtpd.b.test\n")
        # Few connections to an address and pauses between them are its courtesy; here everybody has the same one.
        rows = ["smtp max-message-size 60M", "mta limit conn-delay-route 0", "mta limit reconn-delay-route 0",
                "mta limit max-conn-per-route 100", "mta limit max-conn-per-host 100",
                'pki b.test cert "/etc/cert.pem"', 'pki b.test key "/etc/key.pem"',
                "listen on 127.0.0.1 port %d tag front" % front, "listen on 127.0.0.1 port %d tls pki b.test tag back" % back]
        if fronted:
            rows.append("listen on 127.0.0.1 port %d proxy-v2 tag back" % fronted)
        rows.append('action onward relay host "smtp+notls://127.0.0.1:%d"' % onward)
        rows.append("match tag back from any for any action onward")
        for n, (domain, port) in enumerate(routes.items()):
            rows.append('action route%d relay host "smtp://127.0.0.1:%d"' % (n, port))
            rows.append('match tag front from any for domain "%s" action route%d' % (domain, n))
        self.write("/etc/smtpd.conf", "\n".join(rows) + "\n", 0o600)
        self.start("-d", "-v", "-f", "/etc/smtpd.conf", ports=[front, back])


class Dovecot(Jail):
    """LMTP in front of mailboxes; boxes: name -> its quota in octets, 0 for none, which is looked at when the content is there."""

    HELPERS = ["/usr/bin/doveconf"] + ["/usr/lib/dovecot/" + name for name in (
        "anvil", "auth", "config", "lmtp", "log", "stats", "modules/lib10_quota_plugin.so", "modules/libssl_iostream_openssl.so")]

    def __init__(self, folder, port, boxes, cert):
        super().__init__(folder, "dovecot", "/usr/sbin/dovecot", ["dovecot", "dovenull", "vmail"],
                         ["/run", "/var/lib/dovecot", "/var/mail"], self.HELPERS)
        self.port, mail = port, UID + 2
        # Services that nobody asks for must be there all the same.
        for name in os.listdir(fetched("dovecot") + "/usr/lib/dovecot"):
            path = folder + "/usr/lib/dovecot/" + name
            if "." not in name and not os.path.exists(path):
                self.write("/usr/lib/dovecot/" + name, "", 0o755)
        os.chown(folder + "/var/mail", mail, mail)
        self.give(cert)
        self.write("/etc/boxes", "".join("%s:::::/var/mail/%s::%s\n" % (
            name, name, "userdb_quota_rule=*:bytes=%d" % octets if octets else "") for name, octets in boxes.items()))
        self.write("/etc/dovecot/dovecot.conf", """
protocols = lmtp
log_path = /var/log.dovecot
listen = 127.0.0.1
hostname = dovecot.b.test
login_trusted_networks = 127.0.0.0/8
default_vsz_limit = 1G
ssl = yes
ssl_cert = </etc/cert.pem
ssl_key = </etc/key.pem
auth_username_format = %%Ln
first_valid_uid = %(mail)d
mail_location = maildir:~/
mail_plugins = quota
plugin {
  quota = maildir:box
}
passdb {
  driver = passwd-file
  args = /etc/boxes
}
userdb {
  driver = passwd-file
  args = /etc/boxes
  default_fields = uid=%(mail)d gid=%(mail)d
}
service lmtp {
  inet_listener lmtp {
    port = %(port)d
  }
}
""" % {"mail": mail, "port": port})
        self.start("-F", ports=[port])

    def log(self):
        path = self.root + "/var/log.dovecot"
        if not os.path.exists(path):
            return super().log()
        with open(path, encoding="utf-8", errors="replace") as f:
            return super().log() + f.read()

    def mailbox(self, name):
        """Contents of the messages in a mailbox; Dovecot stores LF."""
        folder, out = "%s/var/mail/%s/new" % (self.root, name), []
        for file in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            with open(os.path.join(folder, file), "rb") as f:
                out.append(f.read().replace(b"\n", b"\r\n"))
        return out


class DovecotAuth(Dovecot):
    """Dovecot's authentication service alone, on a socket; users: lines of its passwd-file."""

    HELPERS = ["/usr/bin/doveconf"] + ["/usr/lib/dovecot/" + name for name in ("anvil", "auth", "config", "log", "stats")]

    def __init__(self, folder, users):
        Jail.__init__(self, folder, "dovecot", "/usr/sbin/dovecot", ["dovecot", "dovenull"], ["/run", "/var/lib/dovecot"], self.HELPERS)
        for name in os.listdir(fetched("dovecot") + "/usr/lib/dovecot"):
            path = folder + "/usr/lib/dovecot/" + name
            if "." not in name and not os.path.exists(path):
                self.write("/usr/lib/dovecot/" + name, "", 0o755)
        self.socket = folder + "/run/dovecot/auth-client"
        self.write("/etc/users", users, 0o644)
        self.write("/etc/dovecot/dovecot.conf", """
protocols =
log_path = /var/log.dovecot
default_vsz_limit = 1G
ssl = no
auth_mechanisms = plain scram-sha-256
auth_username_chars =
auth_failure_delay = 0
passdb {
  driver = passwd-file
  args = /etc/users
}
service auth {
  unix_listener auth-client {
    mode = 0666
  }
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
""")
        self.start("-F", ports=[])
        until("Dovecot's socket", lambda: self.process.poll() is not None or os.path.exists(self.socket))


def python():
    """aiosmtpd and aiosmtplib may be imported from here on."""
    folder = os.path.join(fetched("aiosmtpd"), "usr", "lib", "python3", "dist-packages")
    if folder not in sys.path:
        sys.path.append(folder)


class Aiosmtpd:
    """A next hop in this process that puts what it takes onto the board of a sink."""

    def __init__(self, back, sink, context=None):
        python()
        from aiosmtpd.controller import Controller

        class Handler:
            async def handle_DATA(self, server, session, envelope):
                tx = Transaction(0, session.host_name, "MAIL FROM:<%s> %s" % (envelope.mail_from, " ".join(envelope.mail_options)))
                tx.rcpts = ["RCPT TO:<%s>" % r for r in envelope.rcpt_tos]
                tx.content = envelope.original_content
                sink.taken.add(tx)
                return "250 2.0.0 taken"
        self.controller = Controller(Handler(), hostname="127.0.0.1", port=back, enable_SMTPUTF8=True, data_size_limit=60000000,
                                     ident="aiosmtpd", server_hostname="aiosmtpd.b.test", tls_context=context)
        self.controller.start()

    def log(self):
        return ""

    def stop(self):
        self.controller.stop()
