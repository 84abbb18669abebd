"""Servers of the distribution, each started by a test in a folder of its own on loopback, and stopped by pid."""
import os
import pwd
import shutil
import signal
import socket
import subprocess

import pytest

from wait import DEADLINE, until


def need(*programs):
    for program in programs:
        if not shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin"):
            pytest.skip("%s is not installed" % program)


def listens(port, host="127.0.0.1"):
    try:
        socket.create_connection((host, port), 1).close()
        return True
    except OSError:
        return False


class Postfix:
    """A private instance: smtpd on a port, everything else relayed to next_hop or stored in a Maildir."""

    def __init__(self, folder, port, next_hop=None, extra="", master=""):
        need("postfix")
        if os.geteuid() != 0:
            pytest.skip("Postfix's master starts only as root")
        self.folder, self.port = folder, port
        for name in ("conf", "spool", "data", "mail"):
            os.makedirs(os.path.join(folder, name))
        for name in ("data", "mail"):
            shutil.chown(os.path.join(folder, name), "postfix")
        relay = "relayhost = [127.0.0.1]:%s" % next_hop if next_hop else (
            "virtual_mailbox_domains = c.test\nvirtual_mailbox_base = %s/mail\nvirtual_mailbox_maps = texthash:%s/conf/boxes\n"
            "virtual_uid_maps = static:%d\nvirtual_gid_maps = static:%d" % (
                (folder, folder) + self.ids()))
        with open(os.path.join(folder, "conf", "boxes"), "w", encoding="ascii") as f:
            f.write("".join("r%d@c.test r%d/\n" % (n, n) for n in range(10)))
        with open(os.path.join(folder, "conf", "main.cf"), "w", encoding="ascii") as f:
            f.write("""compatibility_level = 3.6
queue_directory = %(f)s/spool
data_directory = %(f)s/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = postfix.a.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_relay_restrictions = permit_mynetworks, reject
smtp_tls_security_level = none
smtpd_tls_security_level = none
maillog_file = %(f)s/mail.log
maillog_file_prefixes = /tmp, /var
local_header_rewrite_clients =
message_size_limit = 60000000
disable_dns_lookups = yes
virtual_mailbox_limit = 0
alias_maps =
alias_database =
import_environment = MAIL_CONFIG
default_process_limit = 5
%(relay)s
%(extra)s
""" % {"f": folder, "relay": relay, "extra": extra})
        with open(os.path.join(folder, "conf", "master.cf"), "w", encoding="ascii") as f:
            f.write("127.0.0.1:%d inet n - n - - smtpd\n%s" % (port, master))
            f.write("postlog unix-dgram n - n - 1 postlogd\npickup unix n - n 60 1 pickup\nqmgr unix n - n 300 1 qmgr\n")
            f.write("tlsmgr unix - - n 1000? 1 tlsmgr\nflush unix n - n 1000? 0 flush\nshowq unix n - n - - showq\n")
            for name in ("bounce", "defer", "trace"):
                f.write("%s unix - - n - 0 bounce\n" % name)
            for name, limit in (("cleanup", "0"), ("anvil", "1"), ("scache", "1"), ("verify", "1")):
                f.write("%s unix %s - n - %s %s\n" % (name, "n" if name == "cleanup" else "-", limit, name))
            for name, program in (("rewrite", "trivial-rewrite"), ("proxymap", "proxymap"), ("smtp", "smtp"), ("relay", "smtp"),
                                  ("error", "error"), ("retry", "error"), ("discard", "discard"), ("virtual", "virtual")):
                f.write("%s unix - %s n - - %s\n" % (name, "n" if name == "virtual" else "-", program))
        self.command("start")
        until("Postfix on port %d" % port, lambda: listens(port))

    @staticmethod
    def ids():

        user = pwd.getpwnam("postfix")
        return user.pw_uid, user.pw_gid

    def command(self, *words):
        done = subprocess.run(["/usr/sbin/postfix", "-c", os.path.join(self.folder, "conf")] + list(words),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE)
        assert done.returncode == 0, done.stdout.decode() + self.log()

    def log(self):
        path = os.path.join(self.folder, "mail.log")
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def mailbox(self, name):
        """Contents of the messages in a mailbox; Postfix stores LF."""
        folder = os.path.join(self.folder, "mail", name, "new")
        out = []
        for file in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            with open(os.path.join(folder, file), "rb") as f:
                out.append(f.read().replace(b"\n", b"\r\n"))
        return out

    def stop(self):
        with open(os.path.join(self.folder, "spool", "pid", "master.pid"), encoding="ascii") as f:
            pid = int(f.read())
        self.command("stop")
        until("the end of Postfix", lambda: not os.path.exists("/proc/%d" % pid))


class HAProxy:
    """A balancer in front of `server`, which is asked now and then how it does."""

    def __init__(self, folder, port, server, options, bind=""):
        need("haproxy")
        self.port = port
        conf = os.path.join(folder, "haproxy.cfg")
        with open(conf, "w", encoding="ascii") as f:
            f.write("global\n maxconn 100\n log stdout format raw local0\ndefaults\n mode tcp\n log global\n option log-health-checks\n"
                    " timeout connect 10s\n timeout client 60s\n timeout server 60s\n option smtpchk EHLO haproxy.test\n"
                    "listen smtp\n bind 127.0.0.1:%d %s\n server one 127.0.0.1:%d %s check inter 200ms\n" % (port, bind, server, options))
        self.path = os.path.join(folder, "haproxy.log")
        self.out = open(self.path, "wb")
        self.process = subprocess.Popen(["/usr/sbin/haproxy", "-db", "-f", conf], stdout=self.out, stderr=self.out)
        until("HAProxy on port %d" % port, lambda: self.process.poll() is not None or listens(port))
        assert self.process.poll() is None, self.log()

    def log(self):
        with open(self.path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def stop(self):
        self.process.terminate()
        self.process.wait(DEADLINE)
        self.out.close()


class Unbound:
    """A resolver that knows some zones and nothing else. zones: name -> file."""

    def __init__(self, folder, port, zones):
        need("unbound")
        self.port = port
        conf = os.path.join(folder, "unbound.conf")
        with open(conf, "w", encoding="ascii") as f:
            f.write('server:\n interface: 127.0.0.1\n port: %d\n do-daemonize: no\n username: ""\n chroot: ""\n pidfile: ""\n'
                    ' directory: "%s"\n use-syslog: no\n logfile: ""\n module-config: "iterator"\n num-threads: 1\n'
                    ' access-control: 127.0.0.0/8 allow\n local-zone: "test." nodefault\n'
                    'remote-control:\n control-enable: no\n' % (port, folder))
            for name, file in zones.items():
                f.write('auth-zone:\n name: "%s"\n zonefile: "%s"\n for-upstream: yes\n for-downstream: no\n fallback-enabled: no\n'
                        % (name, file))
        self.out = open(os.path.join(folder, "unbound.log"), "wb")
        self.process = subprocess.Popen(["/usr/sbin/unbound", "-d", "-c", conf], stdout=self.out, stderr=self.out)
        until("unbound on port %d" % port, lambda: self.process.poll() is not None or listens(port))
        assert self.process.poll() is None, "unbound ended, see %s" % conf

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        self.resume()
        self.process.terminate()
        self.process.wait(DEADLINE)
        self.out.close()
