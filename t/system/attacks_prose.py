"""
What t/data/attacks.yaml says in words, each text with its meaning. A text of the catalogue that is not here word for word is a
failure of its case: a change there is read by somebody, never passed over.
"""
import re

import attacks_auth
import attacks_build
import attacks_recipes
import attacks_tls
from attacks import Run, replies
from dialogue import OCTETWISE, check
from seal import hops
from sink import CLOSE, DROP, Last

# Pages that a first use touches anywhere: nothing below this is told from noise.
GRAIN_KIB = 384
# Events that stand for the daemon, not for a session.
EVENTS_ALONE = {"dns_temperror", "dns_timeout", "dns_down", "mem_pressure", "fd_limit", "reload_refused", "shutdown", "key_unusable", "session_limit"}

NO_USER, LATER_421 = b"550 5.1.1 no such user\r\n", Last(b"421 4.3.2 going down\r\n")


# ---- up: (name of the run, stage -> what the next hop does, what the case then wants otherwise) ----

UPS = {
    "does not offer CHUNKING": [("", {}, {})],
    "answers every RCPT with 550": [("", {"rcpt": NO_USER}, {})],
    "answers RCPT with 550": [("", {"rcpt": NO_USER}, {})],
    "answers the final dot with 550": [("", {"dot": b"550 5.7.1 content refused\r\n"}, {"ledger": False})],
    'to RCPT: "250-ok\\r\\n550 no\\r\\n"; on a second run "250-a\\r\\n" without end; on a third "hello\\r\\n"': [
        ("mixed", {"rcpt": b"250-ok\r\n550 no\r\n"}, {}), ("endless", {"rcpt": b"250-a\r\n" * 20000}, {}), ("hello", {"rcpt": b"hello\r\n"}, {})],
    'to the final dot, one per run: "250\\r\\n", "550 5.7.2\\r\\n", "25\\r\\n", "999 x\\r\\n", "250\\n", ""': [
        ("code", {"dot": b"250\r\n"}, {"reply": [[(250, None)]], "log": []}),
        ("enhanced", {"dot": b"550 5.7.2\r\n"}, {"reply": [[(550, "5.7.2")]], "log": []}),
        ("two-digits", {"dot": b"25\r\n"}, {"reply": [[(451, None)]], "sink": "1 or 2 copies, never 0", "ledger": False}),
        ("999", {"dot": b"999 x\r\n"}, {"reply": [[(451, None)]]}),
        ("lf", {"dot": b"250\n"}, {"reply": [[(451, None)]], "sink": "1 or 2 copies, never 0", "ledger": False}),
        ("nothing", {"dot": CLOSE}, {"reply": [[(451, None)]], "log": ["up_final_lost"]})],
    'to the final dot: "550 no\\r250 fake\\x1b[2J\\0\\xff\\r\\n"': [("", {"dot": b"550 no\r250 fake\x1b[2J\0\xff\r\n"}, {})],
    'to MAIL: "250 ok\\r\\n250 ok\\r\\n"': [("", {"mail": b"250 ok\r\n250 ok\r\n"}, {})],
    'one per run: MAIL gets 354; DATA gets 250; RCPT gets 221; "250 done" right after the 354': [
        ("mail-354", {"mail": b"354 go\r\n"}, {}), ("data-250", {"data": b"250 ok\r\n"}, {}), ("rcpt-221", {"rcpt": b"221 bye\r\n"}, {}),
        ("early-250", {"data": b"354 go on\r\n250 done\r\n"}, {"ledger": False})],
    "421 at greeting, EHLO, MAIL, RCPT, DATA, mid-body, after the dot (one run each)": [
        ("greeting", {"connect": LATER_421}, {"stop": "MAIL"}), ("ehlo", {"ehlo": LATER_421}, {"stop": "MAIL"}),
        ("mail", {"mail": LATER_421}, {"stop": "MAIL"}), ("rcpt", {"rcpt": LATER_421}, {"stop": "RCPT"}),
        ("data", {"data": LATER_421}, {"stop": "dot"}), ("body", {"content": LATER_421}, {"stop": "dot"}),
        ("dot", {"dot": LATER_421}, {"stop": "dot", "ledger": False})],
    "reads the final dot then resets": [("", {"dot": [DROP]}, {"ledger": False})],
    "r1 250, r2 550, r3 451": [
        ("", {"rcpt": [b"250 2.1.5 ok\r\n", NO_USER, b"451 4.2.0 later\r\n"]}, {})],
}


# ---- reply ----

def sizes(*rows):
    return [[(code, None) for code in row] for row in rows]


REPLIES = {
    "550 5.5.2 once, after the real end-of-data": [[(550, "5.5.2")]],
    "550 for the first text (bare CR), 250 for the second": [],
    "501 5.1.x for each bad path": [[(501, "5.1.x")], [(501, "5.1.x")], [(250, None)], [(501, "5.1.x")]],
    "501, then 250 250": sizes([501], [250], [250]),
    "501 501 501 552": sizes([501], [501], [501], [552]),
    "252 or 5xx, 503 or 501, then 354 (the first envelope stands) or 503, never a crash":
        sizes([252, 500, 501, 502, 503, 550, 553, 555], [503, 501], [354, 503]),
    # The form with the percent sign has a second bare "@" as well, and of that the two readers make two domains. RFC 5321 4.1.2 has it
    # in no local part that is not quoted: 501, rather than one of the two. A percent sign alone is an ordinary octet: see runs_path.
    "source route stripped or 553; quoted form 250 with domain evil.test; junk after path 501; percent form 250 with domain evil.test":
        sizes([250, 553], [250], [250], [250], [501], [250], [501]),
    "250 or 550 5.6.x by the configured line limit, the same for every chunking": [[(250, None), (550, "5.6.x")]],
    "550 or 500 twice, and neither keyword in the EHLO answer": sizes([550, 500], [550, 500]),
    "501 for each": sizes([501], [501], [501]),
    "552 or 555 at MAIL": sizes([552, 555]),
    "451 4.5.0 before DATA, or at the latest no 2xx based on a shifted answer": [[(451, "4.5.0")]],
    "421 or 451 to the client at the same stage, for DATA and mid-body at the latest after its final dot": sizes([421, 451]),
    "550 with the text reduced to printable ASCII on one line": sizes([550]),
    "250 then 221, both received by the half-closed client": sizes([250], [221]),
    "250, 550, then one 503 or 554": sizes([250], [550], [503, 554]),
    "250, 550, 503 or 554": sizes([250], [550], [503, 554], [250], [500]),
    "250 550 451 at RCPT (a sealing listener: 452 4.5.3 to the second and third)": sizes([250], [250], [550], [451], [354], [250]),
    "550 5.6.0 for the space before the colon": [[(550, "5.6.0")]],
}


def flood(player):
    """250 to at least a hundred, 452 to the rest, whatever ends it."""
    d = player.d
    while not d.ended and d.read < 100001:
        if d.reply() is None:
            break
    codes = [r.code for r in d.replies[player.flood_from:]]
    kept = [c for c in codes if c == 250]
    check(codes[:len(kept)] == kept and len(kept) >= 100, "accepted %d, then %r" % (len(kept), codes[len(kept):][:5]))
    check(set(codes[len(kept):]) <= {452, 421} and 452 in codes, "after them %r" % sorted(set(codes[len(kept):])))
    check(codes[-1] == 421, "no end of it: %r" % codes[-3:])
    check(all(r.code != 452 or r.enhanced == "4.5.3" for r in d.replies), "452 without 4.5.3")
    return []


def past_data(player):
    """554 and close; octet by octet the text may come after the 354, and then is what it is."""
    d = player.d
    first = d.reply()
    if player.run.octetwise and first and first.code == 354:
        player.run.more.update(conn="keep", sink=1, log=[])
        player.heard += [first, d.reply(), d.reply()]
        return sizes([354], [250], [250])
    player.heard.append(first)
    return [[(554, "5.5.0")]]


def chunk_ceiling(player):
    d = player.d
    while d.reply() is not None:
        pass
    check({r.code for r in d.replies[player.flood_from:-1]} == {250}, "other replies to chunks")
    player.heard.append(d.replies[-1])
    return sizes([452, 554])


REPLIES_READ = {
    "250 up to the limit (at least 100), then 452 4.5.3": flood,
    "452 or 554 after the configured chunk ceiling": chunk_ceiling,
}
REPLIES_OF = {"smtp-pipeline-past-data": past_data}


def reply(text, player):
    if player.case.id in REPLIES_OF:
        return REPLIES_OF[player.case.id](player)
    if text in REPLIES_READ:
        return REPLIES_READ[text](player)
    rows = REPLIES[text] if text in REPLIES else replies(text)
    check(rows is not None, "no interpreter for the reply %r" % text)
    return [list(row) for row in rows]


# ---- conn, sink ----

def conn(text):
    if "sync: " in text:
        text = text.split("sync: ")[1].split(";")[0]
    check(text in ("keep", "close", "any"), "no interpreter for conn %r" % text)
    return text


def none_but_attempted(player):
    check(len(player.sink.contents.snapshot()) == player.contents_mark + 2, "one attempt wanted, and the canary")
    return 0


def dropped(player):
    numbers = {n for n, line in player.sink.commands.snapshot()[player.commands_mark:player.canary_from] if line.startswith("MAIL")}
    player.sink.ended.wait("the end of the next hop's session", lambda items: numbers <= set(items))
    return 0


def copies(player):
    got = len(player.sink.contents.snapshot()) - player.contents_mark - 1   # the canary's
    check(1 <= got <= 2, "copies at the next hop: %d" % got)
    return None


def each_second(player):
    """Every split of the second text, and none of the first."""
    text = attacks_build.octets(player.case.texts("each_split")[1])
    got = player.taken()
    check(len(got) == len(text) - 1, "%d splits, %d transactions" % (len(text) - 1, len(got)))
    check(all(t.content.endswith(b"Subject: s\r\n\r\n.lead\r\n..\r\nend\r\n") for t in got), "a body that is not the text")
    return len(got)


SINKS = {
    "the second body is exactly .lead CRLF .. CRLF end CRLF after unstuffing, for every split": each_second,
    "1 attempt, 0 accepted": none_but_attempted,
    "connection to the next hop dropped": dropped,
    "no partial message accepted": lambda player: 0,
    "1 or 2 copies, never 0": copies,
    "r1 once": lambda player: check([t.rcpts for t in player.taken()] == [["RCPT TO:<r1@c.test>"]], player.taken()) or 1,
    "0 accepted; the next hop never sees CRLF . CRLF": lambda player: 0,
    "1 transaction; the dot line arrives stuffed and unstuffs to the same octets": lambda player: 1,
    "when annotating: forwarded without a new DKIM2-Signature": lambda player: None,
    "each transaction's rt= names only what may be seen": lambda player: 1,
}


def sink(text, player):
    check(text in SINKS, "no interpreter for the sink %r" % text)
    return SINKS[text](player)


# ---- result ----

RESULTS = {
    "permerror; the counter-check passes": ["permerror", "permerror"],
    "fail for evila.test and test (permerror up to -07); pass for sub.a.test, for case differences and for one trailing dot": ["fail"],
    "fail when nd= does not name the next d=; permerror for nd= beside mf= or rt= and for nd= on the top hop": ["fail"],
    "pass, then fail for each": ["pass", "fail"],
    "permerror for duplicates, bad lengths and unknown-only; fail for one wrong": ["fail"],
    "permerror; three signatures with one algorithm are permerror up to -07 and judged like any others from -08 (spec/dkim2.md 20.11)":
        ["permerror"],
    "permerror; the counter-check passes unless configured otherwise": ["permerror"],
    "permerror for absent, revoked, double and malformed; temperror for SERVFAIL and timeout; permerror wins when both occur":
        ["permerror", "temperror"],
    "fail for age and future (permerror for age up to -07); permerror for 25 digits; a falling t= alone is noted, not failed":
        ["fail", "permerror"],
}


def result(text, player):
    """For each transaction method -> possible states."""
    if isinstance(text, (dict, list)):
        return [text] if isinstance(text, dict) else text
    hit = re.fullmatch(r"(?:dkim2=)?(pass|fail|permerror|temperror|none)(?: \(.*\))?", text)
    states = [hit.group(1)] if hit else RESULTS.get(text)
    check(states is not None, "no interpreter for the result %r" % text)
    return [{"dkim2": state} for state in states]


# ---- builder ----

selectors = attacks_build.selectors
signer, signatures_of, judge, zone = attacks_auth.signer, attacks_auth.signatures_of, attacks_auth.judge, attacks_auth.zone
hops_of, raw_recipe = attacks_recipes.hops_of, attacks_recipes.raw_recipe


def body(text):
    return attacks_auth.body(text) or attacks_recipes.body(text)


def tag(value, builder, message):
    if value == "sha256:(right),sha512:(wrong)":
        right = re.search(rb"h=(sha256:[^;,]*)", builder.find(message, "Message-Instance", 1)).group(1)
        wrong = attacks_build.b64(bytes(64)).encode()
        return right + b",sha512:" + wrong + b":" + wrong
    if value == "second value altered":
        return attacks_build.second_altered
    return attacks_auth.tag(value)


# ---- acts in the middle of a case: host, dns ----

def servfail(name):
    """That key is out of reach from now on; the session that knew it is over."""
    def act(player):
        player.stage.answers({name: {"error": "servfail"}})
        player.stage.relay.reload()
        player.d.close()
        player.d.ended = "fin"
    return act


def revoked(player):
    player.stage.answers({"k._domainkey.a.test": ["v=DKIM1; p="]})
    player.stage.relay.reload()


def nothing(player):
    """Said by the run's own steps or settings."""


ACTS = {
    ("dns", "SERVFAIL for b.test"): servfail("e._domainkey.b.test"),
    ("dns", "SERVFAIL for a.test"): servfail("e._domainkey.a.test"),
    ("dns", "each answer takes 5 s"): nothing,      # bound: no query at all
    ("host", "greet-pause is 200 (milliseconds); send before reading the 220"): nothing,
    ("host", 'then, if the connection is still open, send "DATA\\r\\n"'): nothing,
}


def act(player, op, value):
    if op == "up":
        check(value in UPS, "no interpreter for up %r" % value)
        return
    if op == "zone":
        check(value == {"k._domainkey.a.test TXT": "v=DKIM1; p="}, "no interpreter for the zone %r" % value)
        revoked(player)
        return
    check((op, value) in ACTS, "no interpreter for %s %r" % (op, value))
    ACTS[op, value](player)


# ---- checks at the end, by case ----

def senders_alike(player):
    lines = [line for n, line in player.sink.commands.snapshot()[player.commands_mark:] if line.startswith("MAIL FROM:")]
    seen = [l.split(" ")[1][5:] for l in lines if "canary" not in l]
    wanted = ["<s%a.test@evil.test>"] if player.run.name == "percent" else ['<"ceo@a.test"@evil.test>']
    check([s for s in seen if s != "<x@evil.test>"] == wanted, "senders at the next hop: %r" % lines)


def sanitized(player):
    (text,) = player.heard[-1].texts
    check(all(" " <= c <= "~" for c in text), "text %r" % text)


def no_keyword(player):
    words = [t.split(" ")[0] for r in player.dialogues[-1].replies[1:2] for t in r.texts]
    check("XCLIENT" not in words and "XFORWARD" not in words, words)


def no_354(player):
    check(354 not in [r.code for d in player.dialogues for r in d.replies], "a 354 was given")


def release(player):
    player.relay.log.wait("client_gone_after_dot", lambda items: [e for e in items[player.log_mark:] if e["event"] == "client_gone_after_dot"])
    player.gate.set()
    player.sink.taken.wait("the message", lambda items: len(items) > player.sink_mark)


def at_stage(player):
    """421 or 451 where the next hop said it."""
    d = player.dialogues[-1]
    codes = [r.code for r in d.replies]
    passed = {"MAIL": [220, 250], "RCPT": [220, 250, 250], "dot": [220, 250, 250, 250, 354]}[player.run.more["stop"]]
    check(codes[:-1] == passed or codes[:len(passed)] == passed and codes[len(passed)] in (421, 451), "stages passed: %r" % codes)


def no_new_seal(player):
    for t in player.taken():
        check(len(hops(t.content)) == 1, "sealed on top of a broken chain")


def rt_as_seen(player):
    for t in player.taken():
        check(hops(t.content)[-1].rt == t.recipients, "rt= %r, recipients %r" % (hops(t.content)[-1].rt, t.recipients))


FINISH = {
    "smtp-path-ambiguity": senders_alike,
    "smtp-reply-injection": sanitized,
    "smtp-xclient-untrusted": no_keyword,
    "smtp-data-no-valid-rcpt": no_354,
    "smtp-client-gone-after-dot": release,
    "smtp-up-421-anywhere": at_stage,
    "dkim2-sign-broken-chain": no_new_seal,
    "dkim2-bcc-sync-refused": rt_as_seen,
}


def finish(player):
    if player.case.id in FINISH:
        FINISH[player.case.id](player)


# ---- runs: where a case is more than its steps ----

def replaced(case, **steps):
    """The steps, those of an op (or op and number) put differently."""
    return [steps.get(next(iter(step)), step) if next(iter(step)) in steps else step for step in case.steps]


def without(case, *ops):
    return [step for step in case.steps if not set(step) & set(ops)]


def must_say(case, op, *texts):
    """The prose this reading rests on."""
    for text in texts:
        assert text in case.texts(op), "%s: %s no longer says %r" % (case.id, op, text)


def runs_reencode(case):
    must_say(case, "host", 'repeat with every header the proxy can add (Received, Authentication-Results, DKIM2, ARC) switched on and with a body '
             'that begins with "." and with ".."')
    for listener in ("annotate", "pass", "sealing"):
        for name, body in (("empty", ""), ("dot", "..\r\nx\r\n"), ("dots", "...\r\nx\r\n")):
            yield Run(case, name, steps=[{"pre": "data"}, {"send": "From: s@a.test\r\nSubject: s\r\n\r\n%s.\r\n" % body}], listener=listener)


def runs_loop(case):
    must_say(case, "host", "configure the next hop to the proxy's own listener")
    # The configuration itself is refused with exit 78: test_next_hop.py.
    yield Run(case, "101-received", steps=[{"build": [{"prepend": "Received: from a by b; Thu, 01 Oct 2026 00:00:00 +0000\r\n" * 101}]}, {"pre": "msg"}])


def runs_early(case):
    yield Run(case, listener="pause", banner=False)


def runs_capability(case):
    must_say(case, "up", 'EHLO answer "250-up.test\\r\\n250 SIZE 1000\\r\\n" while the client uses BODY=8BITMIME SMTPUTF8 RET=HDRS')
    yield Run(case, steps=without(case, "up"), stage="small")


def runs_path(case):
    yield Run(case)
    yield Run(case, "percent", steps=[{"pre": "greet"}, {"send": "MAIL FROM:<s%a.test@evil.test>\r\n"}], reply=sizes([250]), sink=0)


def runs_partial(case):
    yield from plain(case, steps=case.steps + [{"send": "Subject: s\r\n\r\nx\r\n.\r\n"}])
    sealing = [{"pre": "greet"}] + without(case, "up", "pre") + [{"send": "From: s@a.test\r\nSubject: s\r\n\r\nx\r\n.\r\n"}]
    yield Run(case, "", steps=sealing, listener="sealing", reply=[[(250, None)], [(250, None)], [(452, "4.5.3")], [(452, "4.5.3")], [(354, None)],
                                                                  [(250, None)]])


def runs_8bit(case):
    # Whatever the last DATA was answered, an empty message and the dot end it.
    yield Run(case, conn="any", ledger=False, sink=0)


def runs_truncated(case):
    yield Run(case, reply=[])
    yield Run(case, "rst", steps=replaced(case, fin={"rst": "client"}), reply=[])


def runs_mbox(case):
    """So many lines are above the header's limit; fewer are seen for what they are."""
    yield Run(case, log=["smtp_header_limit"], reply="552 5.3.4")
    few = dict(case.steps[1]["gen"], times=1000)
    yield Run(case, "few", steps=[case.steps[0], {"gen": few}], reply="550 5.6.0")


def runs_gone(case):
    must_say(case, "up", "takes 5 s to answer the dot")
    yield Run(case, steps=without(case, "up"), gated=True, ledger=False, reply=[], sink=1)


def runs_bdat_sizes(case):
    must_say(case, "host", 'new connection each: "BDAT -1", "BDAT +5", "BDAT 0x10", "BDAT", "BDAT 99999999999999999999999999", "BDAT 5 LASTX", '
             '"BDAT 5 LAST extra"')
    yield Run(case, "2to64", steps=without(case, "want", "host"))
    for name, text in (("minus", " -1"), ("plus", " +5"), ("hex", " 0x10"), ("none", ""), ("26-digits", " 99999999999999999999999999"),
                       ("lastx", " 5 LASTX"), ("extra", " 5 LAST extra")):
        yield Run(case, name, steps=[{"pre": "mail"}, {"send": "BDAT%s\r\n" % text}])


def runs_mix(case):
    yield Run(case, steps=without(case, "want"))


def runs_mismatch(case):
    must_say(case, "host", "deliver with RCPT r2@c.test, then R1@c.test, then r1@C.TEST, then rt= holding r1 and r2 while only r1 is used")
    one = case.steps[0]
    two = {"build": [{"dkim2_hop": dict(one["build"][0]["dkim2_hop"], rt=["<r1@c.test>", "<r2@c.test>"])}]}
    for name, build, rcpt, state in (("other", one, "<r2@c.test>", "fail"), ("local-case", one, "<R1@c.test>", "fail"),
                                     ("domain-case", one, "<r1@C.TEST>", "pass"), ("more-named", two, "<r1@c.test>", "pass")):
        more = {"log": []} if state == "pass" else {}
        yield Run(case, name, steps=[build, {"pre": "msg"}], envelope=("<s@a.test>", [rcpt]), result=state, reply="policy", **more)
    yield Run(case, "sender", steps=[one, {"pre": "msg"}], envelope=("<t@a.test>", ["<r1@c.test>"]), result="fail")


def runs_multi(case):
    must_say(case, "host", "one transaction to r1, r2 and r3")
    yield Run(case, steps=[case.steps[0], {"pre": "msg"}], envelope=("<s@a.test>", ["<r1@c.test>", "<r2@c.test>", "<r3@b.test>"]))
    build = {"build": [{"dkim2_hop": {"d": "a.test", "rt": ["<r1@c.test>"]}}, {"dkim2_hop": {"d": "c.test", "mf": "<r1@c.test>", "rt": ["<r2@c.test>"]}}]}
    yield Run(case, "two-seals", steps=[build, {"pre": "msg"}], envelope=("<r1@c.test>", ["<r1@c.test>", "<r2@c.test>"]))


def runs_field_tricks(case):
    yield Run(case, result=None)


def runs_broken(case):
    assert case.expect["reply"] == "550 when enforcing, then 451" and case.texts("dns") == ["SERVFAIL for a.test"]
    first = case.steps[:2]
    again = [case.steps[2], {"build": [{"dkim2_hop": {"d": "a.test"}}]}, {"pre": "msg"}]
    for listener, codes in (("sealing-enforce", [[550], [451]]), ("sealing", [[250], [250]])):
        yield Run(case, steps=first + again, listener=listener, stage="own", reply=sizes(*codes))


def runs_bcc_sync(case):
    must_say(case, "host", "as dkim2-bcc-leak")
    assert case.expect["reply"] == "452 4.5.3 from the second RCPT on, so that the client sends again"
    steps = [{"pre": "greet"}, {"send": "MAIL FROM:<s@a.test>\r\nRCPT TO:<r1@c.test>\r\nRCPT TO:<r2@c.test>\r\nRCPT TO:<bcc1@c.test>\r\n"
                                        "RCPT TO:<bcc2@b.test>\r\nDATA\r\n"},
             {"send": "From: s@a.test\r\nTo: r1@c.test\r\nCc: R2 <r2@C.test>\r\nSubject: s\r\n\r\nx\r\n.\r\n"}]
    later = [(452, "4.5.3")]
    yield Run(case, steps=steps, listener="sealing", reply=sizes([250], [250]) + [later] * 3 + sizes([354], [250]))


def runs_key_states(case):
    """The second hop's author is the hop's own, so that nothing but its key is in the way."""
    author = [{"drop": {"field": "From", "n": 1}}, {"prepend": "From: s@b.test\r\n"}]
    steps = [{"build": author + step["build"]} if step.get("build") == [{"dkim2_hop": {"d": "b.test"}}] else step for step in case.steps]
    yield Run(case, steps=steps, stage="own")


def plain(case, steps=None, **more):
    """A run for each behaviour of the next hop."""
    ups = case.texts("up")
    if not ups:
        return [Run(case, steps=steps, **more)]
    (up,) = ups
    if up not in UPS:
        raise KeyError("%s: no interpreter for up %r" % (case.id, up))
    return [Run(case, name, actions, steps, **dict(more, **other)) for name, actions, other in UPS[up]]


def runs_tag_pair(case):
    """Several fields that end in a checked state, and the counter-check."""
    yield Run(case)
    whole = [{"build": [{"dkim2_hop": {"d": "a.test", "n": "0123456789012345678901234567890123456789012345678901234567890123"}}]}, {"pre": "msg"}]
    yield Run(case, "counter-check", steps=whole, result="pass", log=[])


def runs_second_header(case):
    assert case.expect["reply"] == "554 on the plain listener; 500 and close for the second line"
    must_say(case, "host", 'on a PROXY listener send "PROXY TCP4 192.0.2.1 192.0.2.2 1 25\\r\\nPROXY TCP4 10.0.0.1 192.0.2.2 1 25\\r\\n"')
    yield Run(case, steps=without(case, "host"), reply="554")
    yield Run(case, "again", steps=[{"send": "PROXY TCP4 10.0.0.1 192.0.2.2 1 25\r\n"}], listener="fronted", reply="500")


def runs_v2(case):
    """As it stands; cut short; an unknown command; never finished. And the one that is valid."""
    must_say(case, "host", "on a PROXY listener")
    assert case.expect["reply"] == "none"
    raw = {"listener": "fronted", "over": "raw", "banner": False, "sink": 0}
    signature = "\r\n\r\n\0\r\nQUIT\n"
    yield Run(case, "length", steps=without(case, "host"), reply=[], **raw)
    yield Run(case, "cut", steps=[{"send": signature + "\x21\x11\0\x0c\x7f\0"}, {"fin": "client"}], reply=[], **raw)
    yield Run(case, "command", steps=[{"send": signature + "\x22\x11\0\x0c" + "\0" * 12}], reply=[], **raw)
    yield Run(case, "unfinished", steps=[{"send": signature + "\x21\x11\0\x0c\x7f\0"}], reply=[], octets=False, **raw)
    yield Run(case, "local", steps=[{"send": signature + "\x20\0\0\0"}], reply=sizes([220]), conn="keep", log=[], clear=True, **raw)


RUNS = {
    "smtp-proxy-header-untrusted": runs_second_header,
    "smtp-proxy-v2-malformed": runs_v2,
    "smtp-proxy-reencode-smuggle": runs_reencode,
    "smtp-hop-loop": runs_loop,
    "smtp-early-talker": runs_early,
    "smtp-capability-mismatch": runs_capability,
    "smtp-path-ambiguity": runs_path,
    "smtp-partial-rcpt": runs_partial,
    "smtp-8bit-without-smtputf8": runs_8bit,
    "smtp-truncated-data": runs_truncated,
    "smtp-mbox-from-line": runs_mbox,
    "smtp-client-gone-after-dot": runs_gone,
    "smtp-bdat-size-overflow": runs_bdat_sizes,
    "smtp-data-bdat-mix": runs_mix,
    "dkim2-envelope-mismatch": runs_mismatch,
    "dkim2-envelope-confusion-multi": runs_multi,
    "dkim2-tag-syntax": runs_tag_pair,
    "dkim2-field-name-tricks": runs_field_tricks,
    "dkim2-sign-broken-chain": runs_broken,
    "dkim2-bcc-sync-refused": runs_bcc_sync,
    "dkim2-key-states": runs_key_states,
}


# Cases of the area smtp that are not played once TLS is there, and why.
NOT_INSIDE = {
    "smtp-early-talker": "STARTTLS comes after the greeting: TLS from the first octet instead",
    "smtp-proxy-v2-malformed": "a PROXY header stands before TLS: in front of TLS from the first octet instead",
}
# Those played on a listener with TLS from the first octet as well: it begins and ends elsewhere in the code.
IMPLICIT = {
    "smtp-eod-lf-dot-lf", "smtp-eod-split-everywhere", "smtp-bdat-to-data", "smtp-bdat-size-overflow", "smtp-pipeline-past-data", "smtp-early-talker",
    "smtp-proxy-header-untrusted", "smtp-ehlo-injection", "smtp-endless-command-line", "smtp-quit-pipelined", "smtp-truncated-data",
    "smtp-client-gone-after-dot", "smtp-proxy-v2-malformed"}


def inside(run):
    """A run of the area smtp inside TLS, the next hop's side too: whole, and octet by octet where the client's octets are the case."""
    if run.case.id in INSIDE:
        run = INSIDE[run.case.id](run)
    stage = {"main": "tls", "small": "small-tls"}[run.more.get("stage", "main")]
    ways = [] if run.case.id in NOT_INSIDE else [{"over": "starttls"}]
    if run.case.id in IMPLICIT and "clear" not in run.more:
        ways.append({"listener": {"annotate": "implicit", "pause": "pause-implicit", "fronted": "fronted-implicit"}[run.listener]})
    for way in ways:
        yield run.copy(stage=stage, **way)
        if octets_too(run) and not run.up:
            yield run.copy(stage=stage, octetwise=True, **way)


def asked(run, listeners):
    """A run on a stage that has both a name server and a certificate: whole in clear, octet by octet in TLS."""
    ways = [{"listener": listener} for listener in listeners]
    if octets_too(run):
        ways.append({"octetwise": True, "over": "starttls"})
    return [run.copy(**way) for way in ways]


def octets_too(run):
    """Not where each split is tried anyhow, nor where a case of TLS is the next hop's doing."""
    return run.more.get("octets", True) and run.octet_count() <= OCTETWISE and not any("each_split" in step for step in run.steps) and not (
        run.case.area == "tls" and (run.up or "certificate" in run.more))


def runs(case):
    """Every run of a case: as it stands, octet by octet, inside TLS, and with a result once more under rules that refuse and defer."""
    out = []
    for run in RUNS.get(case.id, plain)(case):
        listeners = [run.listener]
        if run.expect("result") and run.listener == "annotate":
            listeners.append("enforce")
        if run.more.get("only"):
            listeners = [run.more["only"]]
        if run.more.get("stage") in ("dns", "dns-out"):
            out += asked(run, listeners)
            continue
        for listener in listeners:
            out.append(run.copy(listener=listener))
            if octets_too(run):
                out.append(run.copy(listener=listener, octetwise=True))
        if case.area == "smtp":
            out += inside(run)
    return out


def cut_short(run):
    """The client that goes without a word: inside TLS that is told from an end it meant."""
    return run.copy(log=["client_gone_in_data" if run.name == "rst" else "tls_truncated"])


INSIDE = {"smtp-truncated-data": cut_short}

for mine, more in ((RESULTS, attacks_recipes.RESULTS), (RUNS, attacks_recipes.RUNS), (FINISH, attacks_recipes.FINISH), (UPS, attacks_tls.UPS),
                   (REPLIES, attacks_tls.REPLIES), (REPLIES_OF, attacks_tls.REPLIES_OF), (ACTS, attacks_tls.ACTS), (SINKS, attacks_tls.SINKS),
                   (RUNS, attacks_tls.RUNS), (RUNS, attacks_auth.RUNS), (FINISH, attacks_auth.FINISH), (SINKS, attacks_auth.SINKS)):
    assert not set(mine) & set(more)
    mine.update(more)
