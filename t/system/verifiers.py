"""
Other programs that look at what leaves us: each of a message and a zone (name -> list of TXT) says [(d, s, word)], a DKIM signature each, and of
ARC one word. rspamd is a daemon with a name server of its own: Rspamd.
"""
import http.client
import json
import os
import re
import subprocess

from judging import judge
from mtas import fetched, libraries
from nameserver import NameServer
from peers import listens
from wait import DEADLINE, until

# Debian 12's Mail::DKIM does not know Ed25519 (RFC 8463).
RSA_ONLY = ("mail_dkim",)


class Message:
    name = "message"

    def __init__(self, octets):
        self.message = octets


def of_dkim(who, message, zone, now):
    rows = judge(who, [Message(message)], zone, now)["message"]
    return [(d, s, word) for d, s, word, _ in rows]


def of_arc(who, message, zone, now):
    return judge(who + "_arc", [Message(message)], zone, now)["message"][0]


class Rspamd:
    """Its worker alone, with dkim, arc, spf and dmarc. Unpacked by t/peers, it is told where its parts lie."""

    CONF = """lua = "$RULESDIR/rspamd.lua";
options {
	filters = "dkim,spf"; disable_hyperscan = true; local_addrs = [127.9.9.9/32]; url_tld = "%(folder)s/tld";
	cache_file = "$DBDIR/cache"; hs_cache_dir = "$DBDIR"; pidfile = "$RUNDIR/pid"; history_file = "$DBDIR/history"; dynamic_conf = "$DBDIR/dynamic";
	dns { nameserver = ["127.0.0.1:%(dns)d:1"]; timeout = 5s; retransmits = 2; sockets = 1; }
}
logging { type = "console"; level = "notice"; }
worker "normal" { bind_socket = "127.0.0.1:%(port)d"; count = 1; }
modules { path = "$PLUGINSDIR/"; }
dkim { }
spf { }
arc { }
dmarc { reporting { enabled = false; } }
redis { }
actions { reject = 1000; }
"""
    WORDS = {"R_DKIM_ALLOW": "pass", "R_DKIM_REJECT": "fail", "R_DKIM_PERMFAIL": "permerror", "R_DKIM_TEMPFAIL": "temperror",
             "ARC_ALLOW": "pass", "ARC_REJECT": "fail", "ARC_INVALID": "permerror", "ARC_DNSFAIL": "temperror", "ARC_NA": "none",
             "R_SPF_ALLOW": "pass", "R_SPF_FAIL": "fail", "R_SPF_SOFTFAIL": "softfail", "R_SPF_NEUTRAL": "neutral", "R_SPF_NA": "none",
             "DMARC_POLICY_ALLOW": "pass", "DMARC_POLICY_REJECT": "fail", "DMARC_POLICY_QUARANTINE": "fail", "DMARC_POLICY_SOFTFAIL": "fail",
             "DMARC_NA": "none"}

    def __init__(self, folder, port, zone):
        package = fetched("rspamd") + "/usr"
        self.port = port
        self.names = NameServer({name: texts[0] for name, texts in zone.items() if texts})
        for name in ("db", "run"):
            os.makedirs(os.path.join(folder, name))
            os.chmod(os.path.join(folder, name), 0o777)
        with open(os.path.join(folder, "tld"), "w", encoding="ascii") as f:
            f.write("test\nexample\ncom\nnet\norg\n")
        conf = os.path.join(folder, "rspamd.conf")
        with open(conf, "w", encoding="ascii") as f:
            f.write(self.CONF % {"folder": folder, "dns": self.names.port, "port": port})
        own = [package + "/lib/rspamd"] + sorted({os.path.dirname(path) for path, place in libraries(package[:-4], package + "/bin/rspamd")
                                                  if path.startswith(package)})
        places = {"CONFDIR": folder, "LOCAL_CONFDIR": folder, "DBDIR": folder + "/db", "RUNDIR": folder + "/run", "LOGDIR": folder + "/run"}
        places.update({name.upper() + "DIR": "%s/share/rspamd/%s" % (package, name) for name in ("plugins", "rules", "lualib", "www")})
        places["SHAREDIR"] = package + "/share/rspamd"
        self.path = os.path.join(folder, "rspamd.log")
        self.out = open(self.path, "wb")
        user = ["-u", "nobody", "-g", "nogroup"] if os.geteuid() == 0 else []
        self.process = subprocess.Popen([package + "/bin/rspamd", "-f", "-c", conf] + user + ["--var=%s=%s" % pair for pair in places.items()],
                                        stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.out, start_new_session=True,
                                        env=dict(os.environ, LD_LIBRARY_PATH=":".join(own)))
        until("rspamd on port %d" % port, lambda: self.process.poll() is not None or listens(port))
        assert self.process.poll() is None, self.log()

    def log(self):
        with open(self.path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def symbols(self, message, client="192.0.2.1", helo="client.test", mail_from="", rcpt="r@c.test"):
        """name -> its options"""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        c.request("POST", "/checkv2", message, {"IP": client, "Helo": helo, "From": mail_from, "Rcpt": rcpt})
        answer = c.getresponse()
        told = answer.read()
        c.close()
        assert answer.status == 200, told
        return {name: row.get("options", []) for name, row in json.loads(told)["symbols"].items()}

    def of_dkim(self, message):
        out = []
        for name, options in self.symbols(message).items():
            if name in self.WORDS and name.startswith("R_DKIM"):
                out += [re.fullmatch(r"([^:]*):s=(.*)", option).groups() + (self.WORDS[name],) for option in options]
        return out

    def words(self, prefix, *args, **options):
        return [self.WORDS[name] for name in self.symbols(*args, **options) if name in self.WORDS and name.startswith(prefix)]

    def stop(self):
        self.process.terminate()
        self.process.wait(DEADLINE)
        self.out.close()
        self.names.close()
