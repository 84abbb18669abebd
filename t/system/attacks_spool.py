"""
Cases of t/data/attacks.yaml in mode spool: the client's side is what it is in mode sync, but for what the next hop says. That meets the
delivery: a 5yz ends in a report, anything else is tried again until it goes. A run plays a case of the areas smtp and tls once in clear, as
it stands, and, where the client's octets are the case, once octet by octet inside TLS; octet by octet in clear and whole inside TLS it is
played in mode sync, by the same code. Those that say nothing that reaches a spool, or are about a next hop's answer alone, have one run.
"""
import re
from collections import Counter

import attacks_prose as prose
import attacks_tls
from attacks import CANARIES, EVENT_S, Player, Run
from dialogue import check
from ledger import FAILED
from mail import added, layers
from relay import ctl
from seal import hops
from sink import CLOSE, DROP, Last
from spool import Spool
from wait import until

# Said of a session before there is a message, of which mode sync and mode spool are the same code: played once, in clear.
ONCE = {"smtp-proxy-v2-malformed", "smtp-proxy-header-untrusted", "smtp-xclient-untrusted", "smtp-ehlo-injection", "smtp-early-talker"}
# Scenes of a session or a connection, before there is anything to keep: in mode sync.
SESSION = {"tls-stalled-handshake", "tls-renegotiation-keyupdate", "tls-ticket-cross-listener", "tls-error-queue"}
# Of this run only the sender as the next hop sees it is new, and it sees none without content.
NOT_HERE = {"smtp-path-ambiguity": "percent"}
# Whose look at the end says nothing of the next hop.
FINISH = {"smtp-xclient-untrusted"}


def cases(all_cases):
    """Those that are to be played in this mode."""
    return [case for case in all_cases if case.mode == "spool" or (case.mode is None and case.area in ("smtp", "tls", "fault"))]


def empty(stage):
    """Until nothing waits in the spool; what was put off is tried again at once."""
    spool = Spool(stage.relay.conf["spool"]["dir"])

    def nothing():
        if not spool.waiting():
            return True
        ctl("queue", "flush", "-c", stage.relay.file)
        return False
    until("an empty spool", nothing)


class SpoolPlayer(Player):
    """The client's side as ever; then until the spool is empty, and who got what."""

    def __init__(self, run, stage, prose_module):
        Player.__init__(self, run, stage, prose_module)
        self.spool = Spool(stage.relay.conf["spool"]["dir"])

    def finish(self):
        """What the next hop says is heard after the client has gone."""
        if self.run.up:
            until("the next hop to have been asked", lambda: not any(self.sink.scripts.values()))
        if "certificate" in self.run.more:
            for name in self.run.expect("log"):
                self.relay.log.wait("event %s" % name, lambda items: [e for e in items[self.log_mark:] if e.get("event") == name], EVENT_S)
            self.sink.drop()
            self.sink.tls = self.stage.served("good")
        self.sink.standing.clear()
        empty(self.stage)
        if self.case.id in FINISH:
            self.prose.finish(self)
        if self.run.more.get("finish"):
            self.run.more["finish"](self)

    def judge_sink(self, rows):
        made = [m for d in self.dialogues for m in d.made]
        want = self.run.more.get("spool", {"failed": []})
        taken = [t for t in self.taken() if t.sender != "<>"]
        reports = [t for t in self.taken() if t.sender == "<>"]
        failed = [local for t in reports for local in FAILED.findall(t.content)]
        if want["failed"] is None:      # whichever came second
            check(len(failed) == 1, "reported:", failed)
            want = dict(want, failed=failed)
        nowhere = want["failed"] + want.get("suppressed", [])
        wanted, got = Counter(), Counter()
        for sender, rcpts, content in made:
            for r in rcpts:
                if r[1:-1].rsplit(b"@", 1)[0] not in nowhere:
                    wanted[sender, r, content] += 1
        if self.run.more.get("gone"):   # nobody heard what became of it: once, or not at all
            check(len(taken) == len([e for e in self.transactions() if e["outcome"] == "accepted"]) <= 1, taken)
            return
        contents = sorted({c for _, _, c in made}, key=len, reverse=True)
        for t in taken:
            (content, *_) = [c for c in contents if t.content.endswith(self.kept(c))] or [None]
            check(content is not None, "of no client's message:", t)
            for r in t.recipients:
                got[t.sender.encode("latin-1", "surrogateescape"), r.encode("latin-1", "surrogateescape"), content] += 1
            added(self.kept(content), t.content)
        more = sum((got - wanted).values())
        check(not wanted - got, "lost:", wanted - got)
        check(more <= want.get("twice", 0), "twice:", got - wanted)
        check(sorted(failed) == sorted(want["failed"]), "reported %r, wanted %r" % (failed, want["failed"]))
        if "report" in want:
            want["report"](self, reports)
        until("nothing is left of it", lambda: not [name for name in self.spool.left() if not name.startswith("damaged/")])

    def kept(self, content):
        return self.run.more.get("stripped", lambda c: c)(content)

    def judge_log(self):
        for name in self.run.expect("log") or []:
            self.relay.log.wait("event %s" % name, lambda items: [e for e in items[self.log_mark:] if e.get("event") == name], EVENT_S)
        mails = sum(d.mails for d in self.dialogues)
        lines = self.transactions()
        names = [e["tx"] for e in lines]
        check(len(set(names)) == len(names), "two final lines of one transaction:", lines)
        tried = sum(d.tried for d in self.dialogues)
        check(mails <= len(names) <= tried, "%d transactions begun, %d tried, final lines: %r" % (mails, tried, lines))
        for e in lines:
            check(e.get("mode") == "queue" and e.get("outcome"), "a final line without mode or outcome:", e)
        accepted = [e for e in lines if e["outcome"] == "accepted"]
        made = [m for d in self.dialogues for m in d.made]
        check(len(accepted) == len(made) or self.run.more.get("gone"), "accepted by the log:", accepted)
        # And one of each recipient when it is over.
        events = [e for e in self.relay.events()[self.log_mark:] if e.get("mail_from") not in CANARIES]
        for e in [e for e in events if e["event"] == "accepted" and e["id"] in names]:
            ends = [o for o in events if o["event"] in ("delivered", "bounced", "expired") and o.get("id") == e["id"] and o.get("rcpt_to") == e["rcpt_to"]]
            check(len(ends) >= 1, "no last line of", e)


def listeners(of):
    """The same, each with a queue; its clients may send anywhere, and hear what becomes of it."""
    return {name: dict(more, mode="queue", clients=["127.0.0.0/8"]) for name, more in of.items()}


# ---- the next hop's answers --------------------------------------------------------------------------------------------

def words_are_tame(player, reports):
    (report,) = reports
    check(not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xff]", report.content), "the report has octets of the next hop:", report.content)
    check(b"550" in report.content, report.content)


def says(code):
    def judge(player, reports):
        check(reports and all(re.search(rb"^Status: %s\r$" % code.encode(), t.content, re.M) for t in reports), "status %s wanted:" % code,
              [t.content for t in reports])
    return judge


FAILS = {"failed": [b"r1"]}
ONE_MORE = {"failed": [], "twice": 1}
LATER_421 = Last(b"421 4.3.2 going down\r\n")
BAD = ["up_bad_reply"]
# Case -> (name of the run, stage -> what the next hop does at once or in turn, what comes of it, events)
UPS = {
    "smtp-reply-mixed-codes": [("mixed", {"rcpt": [b"250-ok\r\n550 no\r\n"]}, {}, BAD), ("endless", {"rcpt": [b"250-a\r\n" * 20000]}, {}, BAD),
                               ("hello", {"rcpt": [b"hello\r\n"]}, {}, BAD)],
    "smtp-reply-short": [("code", {"dot": [b"250\r\n"]}, {}, []), ("enhanced", {"dot": [b"550 5.7.2\r\n"]}, {"spool": dict(FAILS, report=says("5.7.2"))}, []),
                         ("two-digits", {"dot": [b"25\r\n"]}, {"spool": ONE_MORE}, BAD), ("999", {"dot": [b"999 x\r\n"]}, {"spool": ONE_MORE}, BAD),
                         ("lf", {"dot": [b"250\n"]}, {"spool": ONE_MORE}, BAD), ("nothing", {"dot": [CLOSE]}, {"spool": ONE_MORE}, ["up_final_lost"])],
    "smtp-reply-injection": [("", {"dot": [b"550 no\r250 fake\x1b[2J\0\xff\r\n"]}, {"spool": dict(FAILS, report=words_are_tame)}, ["up_reply_sanitized"])],
    # Commands travel together: which answer is one too many shows where one does not fit, at the latest.
    "smtp-reply-extra": [("", {"mail": [b"250 ok\r\n250 ok\r\n"]}, {}, BAD)],
    "smtp-reply-wrong-class": [("mail-354", {"mail": [b"354 go\r\n"]}, {}, BAD), ("data-250", {"data": [b"250 ok\r\n"]}, {}, BAD),
                               ("rcpt-221", {"rcpt": [b"221 bye\r\n"]}, {}, BAD),
                               ("early-250", {"data": [b"354 go on\r\n250 done\r\n"]}, {"spool": ONE_MORE}, BAD)],
    "smtp-up-421-anywhere": [(name, {stage: [LATER_421]}, {"spool": ONE_MORE} if stage == "dot" else {}, ["up_421"]) for name, stage in (
        ("greeting", "connect"), ("ehlo", "ehlo"), ("mail", "mail"), ("rcpt", "rcpt"), ("data", "data"), ("body", "content"), ("dot", "dot"))],
    "smtp-lost-final-answer": [("", {"dot": [DROP]}, {"spool": ONE_MORE}, ["up_final_lost"])],
}
TLS_UPS = {
    "tls-response-injection": ["up_tls_early_data"],
    "tls-downgrade-required": ["up_tls_required"],
}


def runs_up(case):
    """The client hears 250; then the next hop says it once, and behaves when it is tried again."""
    for name, actions, more, log in UPS[case.id]:
        yield Run(case, name, actions, steps=[{"pre": "msg"}], stage="spool", reply=[[(250, None)]], log=log, conn="keep", **more)


def runs_up_tls(case):
    (up,) = case.texts("up")
    for name, actions, _ in attacks_tls.UPS[up]:
        # Put off until the next hop behaves; nothing of it in clear until then.
        yield Run(case, name, {stage: [action] for stage, action in actions.items()}, steps=[{"pre": "msg"}], stage="spool-tls", reply=[[(250, None)]],
                  log=TLS_UPS[case.id], conn="keep", finish=all_inside)


def all_inside(player):
    check(all(t.owner.secure for t in player.taken()), "in clear:", player.taken())


def runs_certificates(case):
    for name in attacks_tls.CERTIFICATES:
        yield Run(case, name, steps=[{"pre": "msg"}], stage="spool-verify-tls", certificate=name, reply=[[(250, None)]], log=["up_tls_cert"], conn="keep")
    yield Run(case, "expired-may", steps=[{"pre": "msg"}], stage="spool-may-tls", certificate="expired", reply=[[(250, None)]], log=[], conn="keep")


# ---- cases that are other than in mode sync ------------------------------------------------------------------------------

def runs_partial(case):
    """One delivery, one report, one retry; the same on a sealing listener, where a copy names its own recipients."""
    three = {"rcpt": [b"250 2.1.5 ok\r\n", b"550 5.1.1 no such user\r\n", b"451 4.2.0 later\r\n"]}
    (send,) = case.texts("send")
    for listener in ("annotate", "sealing"):
        text = {"send": "From: s@a.test\r\nTo: r1@c.test, r2@c.test, r3@b.test\r\nSubject: s\r\n\r\nx\r\n.\r\n"}
        yield Run(case, steps=[{"pre": "greet"}, {"send": send}, text], up=three, listener=listener, stage="spool",
                  reply=[[(250, None)]] * 4 + [[(354, None)], [(250, None)]], finish=seals_fit if listener == "sealing" else None,
                  spool={"failed": None})


def seals_fit(player, rows=(["<r1@c.test>", "<r2@c.test>"], ["<r3@b.test>"], ["<bcc1@c.test>"], ["<bcc2@b.test>"])):
    """rt= names those of the copy, one that the next hop refused too, and no other."""
    for t in player.taken():
        if t.sender != "<>":
            rt = hops(t.content)[-1].rt
            check(set(t.recipients) <= set(rt) and any(set(rt) <= set(row) for row in rows), "rt= %r, recipients %r" % (rt, t.recipients))


def runs_capability(case):
    """Taken, since it may go to another; reported when it does not."""
    (send,) = [s for s in case.texts("send")]
    check(send == "MAIL FROM:<s@a.test> BODY=8BITMIME SMTPUTF8 SIZE=5000\r\n", send)
    text = "From: s@a.test\r\nTo: r1@c.test\r\nSubject: s\r\n\r\n%s\r\n.\r\n"
    for name, params, body, status in (("8bit", " BODY=8BITMIME", "sch\xf6n", "5.6.3"), ("utf8", " SMTPUTF8", "x", "5.6.7"),
                                       ("size", "", "\r\n".join(["x" * 900] * 10), "5.3.4")):
        yield Run(case, name, steps=[{"pre": "greet"}, {"send": "MAIL FROM:<s@a.test>%s\r\nRCPT TO:<r1@c.test>\r\nDATA\r\n" % params},
                                     {"send": text % body}], stage="spool-small", reply=[[(250, None)], [(250, None)], [(354, None)], [(250, None)]],
                  spool=dict(FAILS, report=says(status)), octets=False)


def runs_gone(case):
    """A client that is gone behind its dot: kept and delivered once, or not kept at all."""
    yield Run(case, steps=[{"pre": "data"}, {"send": "From: s@a.test\r\nSubject: s\r\n\r\nx\r\n.\r\n"}, {"rst": "client"}], stage="spool", reply=[], log=[],
              gone=True)


def runs_truncated(case):
    for run in prose.RUNS[case.id](case):
        yield run.copy(stage="spool")


def runs_bcc(case):
    """Two that are shown, two that are not."""
    yield Run(case, stage="spool", listener="sealing", reply=[[(250, None)]] * 5 + [[(354, None)], [(250, None)]], finish=bcc_apart)


def bcc_apart(player):
    seals_fit(player)
    taken = player.taken()
    check(len(taken) >= 3, "copies:", taken)
    groups = sorted(sorted(t.recipients) for t in taken)
    check(groups in ([["<bcc1@c.test>"], ["<bcc2@b.test>"], ["<r1@c.test>", "<r2@c.test>"]],
                     [["<bcc1@c.test>"], ["<bcc2@b.test>"], ["<r1@c.test>"], ["<r2@c.test>"]]), groups)
    for t in taken:
        for name in {b"bcc1", b"bcc2"} - {r[1:].split("@")[0].encode() for r in t.recipients}:
            check(not any(name in text.lower() for text in layers(t.content)), "a copy to %r tells of %r" % (t.recipients, name))
    for e in player.relay.events()[player.log_mark:]:
        check(len(re.findall("bcc[12]", repr(e))) <= 1 or not ("bcc1" in repr(e) and "bcc2" in repr(e)), "a line tells of both:", e)


def runs_target(case):
    """The chain did not verify; the path is null; the newest mf= is another than the sender, and that chain verified."""
    broken, good = case.texts("build")[0], case.texts("build")[0][:1]
    no_user = {"rcpt": [b"550 5.1.1 no such user\r\n"]}
    check(broken == [{"dkim2_hop": {"d": "a.test", "mf": "<s@a.test>"}}, {"append_body": "x\r\n"}], broken)
    quiet = {"failed": [], "suppressed": [b"r1"]}
    yield Run(case, "unverified", no_user, [{"build": broken}, {"pre": "msg"}], stage="spool", reply=[[(250, None)]], spool=quiet)
    yield Run(case, "null", no_user, [{"pre": "msg"}], stage="spool", reply=[[(250, None)]], spool=quiet, envelope=("<>", ["<r1@c.test>"]))
    yield Run(case, "verified", no_user, [{"build": good}, {"pre": "msg"}], stage="spool", reply=[[(250, None)]], log=[],
              spool=dict(FAILS, report=to("<s@a.test>")))


def to(path):
    def judge(player, reports):
        check([t.recipients for t in reports] == [[path]], "reports to", [t.recipients for t in reports])
    return judge


RUNS = {
    "smtp-partial-rcpt": runs_partial,
    "smtp-capability-mismatch": runs_capability,
    "smtp-client-gone-after-dot": runs_gone,
    "smtp-truncated-data": runs_truncated,
    "dkim2-bcc-leak": runs_bcc,
    "dkim2-dsn-target": runs_target,
    "tls-bad-certificate": runs_certificates,
}


def runs(case):
    """Every run of a case in mode spool; none where it has none."""
    if case.mode == "sync":
        return []
    if case.id in RUNS:
        return [run for run in RUNS[case.id](case)]
    if case.id in UPS:
        return list(runs_up(case))
    if case.id in TLS_UPS:
        return list(runs_up_tls(case))
    if case.area not in ("smtp", "tls") or case.id in SESSION:
        return []
    out = []
    stages = {"main": "spool", "small": "spool-small", "tls": "spool-tls"}
    for run in prose.RUNS.get(case.id, prose.plain)(case):
        if NOT_HERE.get(case.id) == run.name:
            continue
        stage = stages[run.more.get("stage", "main")]
        out.append(run.copy(stage=stage))
        if case.area == "smtp" and case.id not in ONCE and case.id not in prose.NOT_INSIDE and prose.octets_too(run):
            inner = prose.INSIDE[case.id](run) if case.id in prose.INSIDE else run
            out.append(inner.copy(stage="spool-tls", over="starttls", octetwise=True))
        elif case.area == "tls" and prose.octets_too(run):
            out.append(run.copy(stage=stage, octetwise=True))
    return out
