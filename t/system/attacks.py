"""
The runner of t/data/attacks.yaml: reads a case, makes its runs, plays one against a daemon and says what was not as the case
wants it. What the catalogue says in prose is looked up word by word in attacks_prose.py; a text that is not there is a failure.
"""
import copy
import os
import re
import resource
import shutil
import stat
import tempfile
import threading
import time

import yaml

from attacks_build import Builder, octets
from certs import served, trust
from client import stuffed
from dialogue import Dialogue, Wrong, check
from faults import Faults
from keys import write_answers
from mail import NOW, added, values
from nameserver import NXDOMAIN, NameServer, Reply, reply, soa, txt
from relay import DAEMON, USER, Ports, Relay, merge
from sink import Hold, Sink
from wait import DEADLINE, until

CATALOGUE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data", "attacks.yaml")
# Memory is measured where the allocator is the real one.
MEASURED = "asan" not in DAEMON
EVENT_S = min(10, DEADLINE)


def catalogue():
    with open(CATALOGUE, encoding="utf-8") as f:
        return yaml.safe_load(f)


META = catalogue()["meta"]
BASE = octets(META["base_message"])
HOSTNAME = META["identities"]["hostname"].split(",")[0]
CANARY = ("<canary@a.test>", "<canary@c.test>")
# Where a run's zone may say anything of the others.
CANARIES = {CANARY[0], "<canary@canary.test>"}
BUILT = {}
ABSENT = reply(authority=[soa("test")._replace(ttl=0)], rcode=NXDOMAIN)
FRONT = b"PROXY TCP4 127.0.0.1 127.0.0.1 4711 25\r\n"


class Case:
    def __init__(self, row):
        self.row, self.id, self.area, self.mode = row, row["id"], row["area"], row.get("mode")
        self.steps, self.expect = row["do"], row["expect"]

    def texts(self, op):
        return [step[op] for step in self.steps if op in step]


# ---- where it is played -------------------------------------------------------------------------------------------

class Stage:
    """A daemon and its next hop; as many cases as need the same settings are played on it."""

    def __init__(self, keyring, listeners, settings=None, sink=None, answers=None, keys=(), clock=NOW, own_key=False, files=None,
                 authority=None, resolver=False, faults=False):
        self.authority, self.trust = authority, trust(authority) if authority else None
        self.folder = tempfile.mkdtemp(prefix="hopseal-test.")
        os.chmod(self.folder, 0o755)
        for name in ("san", "state", "spool"):
            folder = os.path.join(self.folder, name)
            os.mkdir(folder)
            os.chmod(folder, stat.S_ISVTX | 0o777 if name == "san" else 0o700)
            if os.geteuid() == 0 and name != "san":
                shutil.chown(folder, USER)
        self.sink = sink or Sink()
        self.may_die = self.unsettled = False
        self.ports = Ports()
        self.keyring = keyring
        enforce = [{"name": "fail", "when": ["dkim2 = fail"], "then": "refuse 550 5.7.1 {dkim2.reason}"},
                   {"name": "permerror", "when": ["dkim2 = permerror"], "then": "refuse 550 5.7.1 {dkim2.reason}"},
                   {"name": "temperror", "when": ["dkim2 = temperror"], "then": "defer 451 4.7.5 {dkim2.reason}"}]
        explain = [{"name": "spf", "when": ["spf = fail"], "then": "refuse 550 5.7.1 {spf.explanation}"}]
        addresses, conf = {}, {}
        for name, own in listeners.items():
            port = self.ports.take()
            addresses[name] = ("127.0.0.1", port)
            conf[name] = merge({"address": ["127.0.0.1:%d" % port], "next_hop": self.sink.address, "mode": "proxy", "policy": "annotate"}, own)
        whole = {
            "hostname": HOSTNAME, "workers": 1, "user": USER,
            "dns": {"answers": self.answers(answers)},
            "state": {"dir": os.path.join(self.folder, "state")}, "spool": {"dir": os.path.join(self.folder, "spool")},
            "run": {"dir": os.path.join(self.folder, "run")}, "log": {"format": "json", "to": "stderr"},
            "limits": {"sessions_per_client": 1000},
            "listener": conf,
            "policy": {"annotate": {"otherwise": "accept"}, "enforce": {"rules": enforce, "otherwise": "accept"},
                       "explain": {"rules": explain, "otherwise": "accept"}},
        }
        self.server = None
        if resolver:    # a name server of the test's own
            self.server = NameServer({name: record[0] for name, record in keyring.answers().items() if isinstance(record, list) and record})
            whole["dns"] = {"resolver": "127.0.0.1:%d" % self.server.port, "trust_anchor": "none", "timeout": resolver}
        if clock is not None:
            whole["dkim2"] = {"clock": str(clock)}
        if own_key:     # a copy of the first that the case may do something to
            self.own_key = os.path.join(self.folder, "key.pem")
            shutil.copy(keys[0].file, self.own_key)
            keys = [copy.copy(keys[0])]
            keys[0].file = self.own_key
        if keys:
            whole["keys"] = [{"domain": k.domain, "selector": k.selector, "file": k.file, "use": "active"} for k in keys]
        self.relay = Relay(self.folder, merge(whole, settings or {}), addresses)
        self.faults = Faults(self.folder, os.path.join(self.folder, "spool")) if faults else None
        self.relay.start(more_env=self.faults.env if faults else None, preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))) if files else None)
        self.canaries = 0
        self.slowest_s = 0

    def answers(self, more=None):
        records = {name: record for name, record in self.keyring.answers().items() if ".." not in name}
        records.update(more or {})
        return write_answers(os.path.join(self.folder, "dns.json"), records)

    def serve(self, zone, delay_s=0):
        """What the name server says from now on. Nothing of it is kept, but within the second libunbound keeps even that."""
        records = {}
        for name, said in zone.items():
            if isinstance(said, tuple) and not isinstance(said, Reply):     # made from a key of the ring
                of, make = said
                said = make(self.keyring.key(name.split("._domainkey.")[1], of))
            said = said().record if hasattr(said, "cache_info") else said     # a key that takes its time
            records[name] = [txt(said, ttl=0)] if isinstance(said, str) else said
        before, now = self.server.records, time.time()
        changed = [name for name in set(before) | set(records) if before.get(name) != records.get(name)]
        if any(self.server.last.get(name, 0) >= int(now) for name in changed):
            threading.Event().wait(int(now) + 1 - now)
        self.server.other = lambda name, kind: ABSENT
        self.server.records, self.server.delay_s = records, delay_s

    def close(self):
        try:
            self.relay.stop()
        finally:
            self.sink.close()
            self.ports.close()
            if self.server:
                self.server.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def worker(self):
        (pid,) = self.relay.pids("worker")
        return pid

    def served(self, certificate):
        """What the next hop then speaks TLS with."""
        return served(self.authority.odd(certificate))

    def dialogue(self, listener, over=None, octetwise=False, banner=True, front=FRONT):
        """A client of the listener, with TLS where it wants that from the first octet; over "starttls": with STARTTLS."""
        conf = self.relay.conf["listener"][listener]
        implicit = conf.get("tls", {}).get("mode") == "implicit" and over != "raw"
        first = front if "proxy_from" in conf and over != "raw" else b""
        d = Dialogue(self.relay.address(listener), octetwise, banner, tls=self.trust if implicit else None, first=first)
        if over == "starttls":
            d.starttls(self.trust)
        return d

    def canary(self, listener, over=None):
        """A well-formed message goes through, and every event before it is in the log."""
        self.canaries += 1
        content = BASE.replace(b"hello", b"canary %d" % self.canaries)
        sender = CANARY[0]
        if self.server:
            self.server.delay_s = 0     # for whoever plays next, too
            sender, content = "<canary@canary.test>", content.replace(b"s@a.test", b"s@canary.test")
        begin = time.monotonic()
        c = self.dialogue(listener, over)
        for line, code in (("EHLO canary.a.test", 250), ("MAIL FROM:" + sender, 250), ("RCPT TO:" + CANARY[1], 250), ("DATA", 354)):
            c.send(line.encode() + b"\r\n")
            got = c.reply()
            check(got and got.code == code, "the canary's %s was answered %r" % (line, got))
        c.send(stuffed(content))
        got = c.reply()
        check(got and got.code == 250, "the canary's message was answered %r" % got)
        c.close()
        self.slowest_s = max(self.slowest_s, time.monotonic() - begin)
        self.sink.taken.wait("canary %d at the next hop" % self.canaries, lambda items: [t for t in items if t.content.endswith(content)])
        self.relay.event("transaction", self.canaries, mail_from=sender)

    def sound(self):
        """No process died, no sanitizer spoke."""
        reports = os.listdir(os.path.join(self.folder, "san"))
        check(not reports, "a sanitizer spoke:", *[open(os.path.join(self.folder, "san", r), encoding="utf-8", errors="replace").read() for r in reports])
        died = [e for e in self.relay.events() if e["event"].endswith("_died")]
        check(not died or self.may_die, "a process died:", died)
        check(not self.relay.noise, "lines that are no event:", self.relay.noise)


def memory_kib(pid, name="RssAnon"):
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        return [int(line.split()[1]) for line in f if line.startswith(name + ":")][0]


def forget_peak(pid):
    with open("/proc/%d/clear_refs" % pid, "w", encoding="ascii") as f:
        f.write("5")


# ---- one run of a case --------------------------------------------------------------------------------------------

class Run:
    """What is played: `up` stage -> action or actions of the next hop; `reply` a list of alternatives for each reply."""

    def __init__(self, case, name="", up=None, steps=None, listener="annotate", **more):
        self.case, self.name, self.up, self.listener = case, name, up or {}, listener
        self.steps = case.steps if steps is None else steps
        self.more = more            # reply, sink, conn, log, result: what replaces the catalogue's word in this run
        self.octetwise = False
        self.over = more.get("over")    # "starttls": once TLS is there; "raw": nothing is said for the case; else as the listener is

    def expect(self, key, default=None):
        return self.more[key] if key in self.more else self.case.expect.get(key, default)

    def copy(self, octetwise=False, listener=None, **more):
        r = Run(self.case, self.name, self.up, self.steps, listener or self.listener, **dict(self.more, **more))
        r.octetwise = octetwise
        return r

    @property
    def title(self):
        return "-".join(filter(None, [self.case.id, self.name, self.listener if self.listener != "annotate" else "",
                                      "tls" if self.over == "starttls" and self.case.area != "tls" else "", "octets" if self.octetwise else ""]))

    def octet_count(self):
        n = 0
        for step in self.steps:
            if "gen" in step:
                n += len(step["gen"]["of"]) * step["gen"]["times"]
            n += len(step.get("send", ""))
        return n


CODE = re.compile(r"(\d{3})(?: (\d\.\d+\.[\dx]+))?(?: once)?")


def replies(text):
    """'250, 550, 503 or 554' as [[250], [550], [503, 554]]; None for anything not of that form."""
    out = []
    for one in re.split(r", then |; |, | then ", text):
        row = []
        for alternative in re.split(r" or ", one):
            hit = CODE.fullmatch(alternative.strip())
            if not hit:
                return None
            row.append((int(hit.group(1)), hit.group(2)))
        out.append(row)
    return out


def fits(reply, row):
    """Is it one of the alternatives? x in an enhanced code stands for any number."""
    for code, enhanced in row:
        if reply and reply.code == code and (not enhanced or re.fullmatch(enhanced.replace(".", r"\.").replace("x", r"\d+"), reply.enhanced or "")):
            return True
    return False


class Player:
    """Plays a run on a stage and holds the outcome against the case."""

    def __init__(self, run, stage, prose):
        self.run, self.stage, self.prose = run, stage, prose
        self.case, self.relay, self.sink = run.case, stage.relay, stage.sink
        self.dialogues = []
        self.heard = []         # replies to what the case itself sends
        self.wanted = []        # those that a want took
        self.message = BASE
        self.envelope = None
        self.last_pre = max([n for n, step in enumerate(run.steps) if "pre" in step], default=-1)
        self.gate = threading.Event() if run.more.get("gated") else None
        self.after = run.over if run.over == "starttls" else None       # how the canary goes

    # -- steps

    def connect(self, banner=True):
        d = self.stage.dialogue(self.run.listener, self.run.over, self.run.octetwise, banner, self.run.more.get("front", FRONT))
        self.dialogues.append(d)
        return d

    @property
    def d(self):
        return self.dialogues[-1] if self.dialogues else self.connect()

    def ask(self, line, code):
        self.d.send(line.encode("latin-1") + b"\r\n")
        got = self.d.reply()
        self.last = got
        return got is not None and got.code == code

    def pre(self, name, may_stop=False):
        """A preamble of meta. One that the next hop spoils ends at the first reply it does not want, which is the case's reply."""
        words = META["preambles"]
        check(set(words) == {"greet", "mail", "data", "tls", "msg"}, "other preambles than those known")
        sender, rcpts = self.run.more.get("envelope") or self.envelope or ("<s@a.test>", ["<r1@c.test>"])
        lines = []
        if not (self.dialogues and self.d.greeted and not self.d.ended and getattr(self.d, "hello", False)):
            self.connect()
            lines = [("EHLO t.a.test", 250)]
        self.d.hello = True
        if name in ("mail", "data", "msg"):
            lines += [("MAIL FROM:" + sender, 250)] + [("RCPT TO:" + r, 250) for r in rcpts]
        if name in ("data", "msg"):
            lines.append(("DATA", 354))
        for line, code in lines:
            if not self.ask(line, code):
                check(may_stop, "the preamble's %s was answered %r" % (line, self.last))
                self.heard.append(self.last)
                return
        if name == "msg":
            self.d.send(stuffed(self.message))
            if self.gate:
                self.sink.contents.wait("the content at the next hop", lambda items: len(items) > self.contents_mark)
            else:
                self.heard.append(self.d.reply())
        elif name not in ("greet", "mail", "data", "tls") or (name == "tls") > (self.run.over == "starttls"):
            raise Wrong("no preamble " + name)

    def each_split(self, text, code, name):
        """A message is cut at each octet of its end, and at every sixteenth before: its header has been cut by others."""
        data = stuffed(self.message) if text == "(the message)" else octets(text)
        end = data.find(b"\r\n\r\n") if text == "(the message)" else 0
        for cut in [n for n in range(1, len(data)) if n >= end or n % 16 == 0]:
            self.connect()
            self.pre_on_new(name)
            self.d.said += data
            self.d.push([data[:cut]])
            self.d.push([data[cut:]])
            got = self.d.reply()
            check(got and got.code == code, "cut at %d: wanted %d, got %r" % (cut, code, got))
            if text == "(the message)":
                self.heard.append(got)
            self.d.close()

    def after_data(self):
        """What follows a DATA that ended an earlier step is sent when DATA was answered."""
        if self.d.said.endswith(b"DATA\r\n"):
            while self.d.said and not self.d.content and not self.d.ended:
                self.heard.append(self.d.reply())

    def pre_on_new(self, name):
        check(name == "data", "each_split after a preamble that is not data")
        for line, code in (("EHLO t.a.test", 250), ("MAIL FROM:<s@a.test>", 250), ("RCPT TO:<r1@c.test>", 250), ("DATA", 354)):
            check(self.ask(line, code), "%s was answered %r" % (line, self.last))

    def play(self):
        run = self.run
        for stage, actions in run.up.items():
            if isinstance(actions, list):
                self.sink.script(stage, *actions)
            else:
                self.sink.always(stage, actions)
        if self.gate:
            self.sink.script("dot", Hold(self.gate))
        steps = list(run.steps)
        at = 0
        while at < len(steps):
            step = steps[at]
            (op, value), = step.items()
            if op == "pre":
                if at + 1 < len(steps) and "each_split" in steps[at + 1]:
                    pass
                else:
                    self.pre(value, bool(run.up or run.more.get("certificate")) and at == self.last_pre)
            elif op == "send":
                if not self.dialogues:
                    self.connect(banner=self.run.more.get("banner", True))
                self.after_data()
                self.d.send(octets(value))
            elif op == "gen":
                if not self.dialogues:
                    self.connect()
                self.flood_from = self.d.read
                self.d.gen(octets(value["of"]), value["times"], octets(value["prefix"]), octets(value["suffix"]))
            elif op == "each_split":
                want = steps[at + 1].get("want") if at + 1 < len(steps) else None
                self.each_split(value, int(want or 250), self.case.texts("pre")[0])
                at += want is not None
            elif op == "want":
                got = self.heard.pop() if self.heard else self.d.reply()
                check(got and str(got.code) == value, "wanted %s, got %r" % (value, got))
                self.wanted.append(got)
            elif op == "fin":
                check(value == "client", "fin of another than the client")
                self.d.fin()
            elif op == "rst":
                check(value == "client", "rst of another than the client")
                self.d.reset()
            elif op == "build":
                if id(value) not in BUILT:      # the steps of a run live as long as the test, and some take their time
                    BUILT[id(value)] = Builder(self.stage.keyring, self.prose).build(BASE, value)
                self.message, self.envelope = BUILT[id(value)]
            elif op in ("host", "up", "dns", "zone", "wait"):
                self.prose.act(self, op, value)
            else:
                raise Wrong("no such step: " + op)
            at += 1

    # -- what came of it

    def rows(self):
        """What the replies must be."""
        text = self.run.expect("reply")
        if text is None or text == "policy":
            if self.run.expect("result"):
                return None     # by the verdict
            text = "250"
        if isinstance(text, list):
            return text
        if "sync: " in text:
            text = text.split("sync: ")[1].split("; spool: ")[0]
        got = self.prose.reply(text, self)
        return got

    def judge_replies(self, rows):
        wants = [got.code for got in self.wanted]
        if len(wants) <= len(rows) and all(code in [c for c, _ in row] for code, row in zip(wants, rows)):
            rows = rows[len(wants):]
        while len(self.heard) < len(rows):
            self.heard.append(self.d.reply())
        for got, row in zip(self.heard, rows):
            check(fits(got, row), "replies wanted %s, got %r" % (rows, self.heard))
        check(len(self.heard) == len(rows), "replies wanted %s, got %r" % (rows, self.heard))

    def judge_conn(self):
        ends = any(op in step for step in self.run.steps for op in ("fin", "rst", "each_split")) or not self.dialogues
        conn = self.run.expect("conn", "any" if ends else "keep")
        d = self.dialogues[-1] if self.dialogues else None
        conn = self.prose.conn(conn)
        if conn == "close":
            check(d.end(), "more replies than wanted: %r" % d.replies[d.read:])
            check(not d.tls or d.ended != "cut", "the server ends without close_notify")
        elif conn == "keep":
            check(not d.content, "the content is not over")
            d.send(b"NOOP\r\n")
            got = d.reply()
            check(got and got.code == 250, "NOOP afterwards was answered %r%s" % (got, "" if got else ", the server closed"))
        for one in self.dialogues:
            if one.sock.fileno() >= 0:
                one.close()

    def finish(self):
        self.prose.finish(self)

    def taken(self):
        return [t for t in self.sink.transactions()[self.sink_mark:] if t.sender not in CANARIES]

    def judge_sink(self, rows):
        """The next hop saw what the clients made, no more and no less."""
        made = [m for d in self.dialogues for m in d.made]
        want = self.run.expect("sink")
        if want is None and not self.run.expect("result"):
            if len(rows) == 1:
                want = 1 if 250 in [r.code for r in self.heard] else 0
            elif not any(row == [(250, None)] for row in rows):
                want = 0
        if isinstance(want, str):
            want = self.prose.sink(want, self)
        if want is not None:
            until("%d transactions at the next hop" % want, lambda: len(self.taken()) >= want)
            check(len(self.taken()) == want, "transactions wanted %d, got %r" % (want, self.taken()))
        if self.run.more.get("ledger", True):
            until("%d transactions at the next hop" % len(made), lambda: len(self.taken()) >= len(made))
            got = self.taken()
            check(len(got) == len(made), "the client made %r, the next hop saw %r" % (made, got))
            for (sender, rcpts, content), tx in zip(made, got):
                check(tx.mail.encode("latin-1", "surrogateescape").split(b":", 1)[1].startswith(sender), "sender", sender, tx.mail)
                seen = [r.encode("latin-1", "surrogateescape").split(b":", 1)[1] for r in tx.rcpts]
                check(len(seen) == len(rcpts) and all(s.startswith(r) for s, r in zip(seen, rcpts)), "recipients", rcpts, seen)
                added(self.run.more.get("stripped", lambda c: c)(content), tx.content)

    def judge_log(self):
        for name in self.run.expect("log") or []:
            got = self.relay.log.wait("event %s" % name, lambda items: [e for e in items[self.log_mark:] if e.get("event") == name], EVENT_S)[0]
            check("session" in got or "tx" in got or "next_hop" in got or name in self.prose.EVENTS_ALONE, "event says not whose it is:", got)
        # One final line a transaction.
        mails = sum(d.mails for d in self.dialogues)
        lines = self.transactions()
        names = [e["tx"] for e in lines]
        check(len(set(names)) == len(names), "two final lines of one transaction:", lines)
        tried = sum(d.tried for d in self.dialogues)
        check(mails <= len(names) <= tried, "%d transactions begun, %d tried, final lines: %r" % (mails, tried, lines))
        for e in lines:
            check(e.get("mode") == "proxy" and e.get("outcome") and e.get("next_hop"), "a final line without mode, outcome or next hop:", e)
        accepted = [e for e in lines if e["outcome"] == "accepted"]
        if self.run.more.get("ledger", True):
            check(len(accepted) == sum(len(d.made) for d in self.dialogues), "accepted by the log:", accepted)

    def judge_result(self):
        text = self.run.expect("result")
        if not text:
            return
        states = self.prose.result(text, self)
        lines = self.transactions()
        if any("each_split" in step for step in self.run.steps):
            states = states * len(lines)
        check(len(lines) == len(states), "verdicts wanted %s, transactions %r" % (states, lines))
        taken, enforced = self.taken(), self.run.more.get("enforced")
        enforced = enforced if enforced and isinstance(enforced[0], list) else [enforced] * len(lines)
        for got, e, state, ruled in zip(self.heard[-len(lines):], lines, states, enforced):
            if "dkim2" in state:
                self.judge_chain(e, state["dkim2"])
            if self.run.listener == "enforce" and ruled:
                row = ruled
            elif self.run.listener == "enforce" and e["dkim2"] in ("fail", "permerror", "temperror"):
                row = [(451, "4.7.5")] if e["dkim2"] == "temperror" else [(550, "5.7.x")]
            else:
                row = [(250, None)]
            if self.run.expect("reply", "policy") == "policy":
                check(fits(got, row), "reply wanted %s for %r, got %r" % (row, state, got))
            content = taken.pop(0).content if got.code == 250 else None
            if not self.run.listener.startswith("sealing"):
                self.prose.judge(self, e, state, content)

    def judge_chain(self, e, state):
        check(e.get("dkim2") in ((state,) if isinstance(state, str) else state), "verdict wanted %s, got %r" % (state, e))
        if e["dkim2"] not in ("pass", "none"):
            check([a for a in self.relay.events("auth_result", tx=e["tx"], method="dkim2", result=e["dkim2"]) if a.get("reason")],
                  "no auth_result with state and reason for", e)

    def transactions(self):
        return [e for e in self.relay.log.snapshot()[self.log_mark:] if e.get("event") == "transaction" and e.get("mail_from") not in CANARIES]

    def questions(self):
        """(name, type) of what the name server was asked in this run, each once: who asks again and again is libunbound."""
        return [one for one, n in self.asked.items() if n > self.asked_mark[one]]

    def judge_questions(self):
        """A bound of none is one on names of the message; of these nothing but keys is asked for."""
        most = dict(META["expect_defaults"]["bound"], **(self.run.expect("bound") or {})).get("dns_queries", 50)
        names = [name for name, _ in self.questions() if most or "_domainkey" in name]
        check(len(names) <= most, "asked for %d names, ceiling %d: %r" % (len(names), most, names))

    def judge_bound(self, before, peak):
        bound = dict(META["expect_defaults"]["bound"], **(self.run.expect("bound") or {}))
        kib = bound["extra_rss_kib"] if "extra_rss_kib" in bound else bound["extra_rss_mib"] * 1024
        check(not MEASURED or peak - before <= max(kib, self.prose.GRAIN_KIB), "memory grew by %d KiB, ceiling %d" % (peak - before, kib))
        return peak - before

    def go(self):
        stage, certificate = self.stage, self.run.more.get("certificate")
        self.sink.scripts.clear()
        self.sink.standing.clear()
        if stage.unsettled:     # the run before failed half way
            self.sink.drop()
            stage.canary(self.run.listener, self.after)
        stage.unsettled = True
        if stage.server:
            stage.serve(dict(self.prose.zone(stage.keyring), **self.run.more.get("zone", {})), self.run.more.get("delay_s", 0))
            self.asked_mark = stage.server.questions.copy()
        self.log_mark, self.sink_mark = len(self.relay.log.snapshot()), len(self.sink.transactions())
        self.contents_mark, self.commands_mark = len(self.sink.contents.snapshot()), len(self.sink.commands.snapshot())
        worker = stage.worker()
        measured = MEASURED and os.geteuid() == 0
        if measured:
            forget_peak(worker)
            before = memory_kib(worker, "VmRSS")
        if {"connect", "ehlo", "starttls", "handshake"} & set(self.run.up):
            self.sink.drop()
        if certificate:
            self.sink.drop()
            self.sink.tls, usual = self.stage.served(certificate), self.sink.tls
        begin = time.monotonic()
        try:
            self.play()
            rows = self.rows()
            if self.run.more.get("delay_s"):    # a deadline of the daemon's own; the rest is for a slow machine
                check(time.monotonic() - begin < stage.relay.conf["dns"]["timeout"] / 1000 + DEADLINE / 3, "longer than dns.timeout has it")
            if rows is None:
                check(all(self.heard), "the server ended: %r" % self.heard)
            else:
                self.judge_replies(rows)
            self.judge_conn()
            if stage.server:
                self.asked = stage.server.questions.copy()
                self.judge_questions()
            self.finish()
        finally:
            self.sink.scripts.clear()
            self.sink.standing.clear()
            for d in self.dialogues:
                d.close()
            if certificate:
                self.sink.tls = usual
        if self.run.up or certificate or self.run.more.get("kick"):
            self.sink.drop()      # what the next hop's whims left in the pool is not the canary's business
        self.canary_from = len(self.sink.commands.snapshot())
        stage.canary(self.run.more.get("canary", self.run.listener), self.after)
        grown = 0
        if measured and stage.worker() == worker:
            grown = self.judge_bound(before, memory_kib(worker, "VmHWM"))
        if rows is None:
            rows = [[(got.code, None)] for got in self.heard[-1:]]
        self.judge_sink(rows)
        self.judge_log()
        self.judge_result()
        stage.sound()
        stage.unsettled = False
        return grown
