"""All mechanisms in and out: addresses that are no ASCII, octets that are nobody's to change, a keeper that is away."""
import os
import re
import signal

import pytest

from mail import BASE, added, name_of, values
from results import parse, prop
from seal import hops, seal
from signing import arc_seal, sign

DEFAULTS = {"verify": None, "policy": None}
IDN, U_LABELS = "xn--bcher-kva.test", "b\xfccher.test"
MESSAGE = BASE.replace(b"s@a.test", "s\xfcd@b\xfccher.test".encode())
SENDER = "<s\xfcd@b\xfccher.test>"
FIELD = "Authentication-Results"


def found(content, host="mx.c.test"):
    """method -> its first result, of our own field, which stands on top."""
    who, results = parse(values(content, FIELD)[0].encode("latin-1").decode())
    assert who == host
    return {r.method: r for r in reversed(results)}


@pytest.fixture
def inbound(hopseal, keyring):
    """inbound(zone, listener): nothing but defaults; the zone has every key made so far."""
    return lambda zone, listener=None, **more: hopseal(
        "inbound", listener=dict(DEFAULTS, **(listener or {})), answers=dict(keyring.answers(), **zone), **more)


@pytest.mark.parametrize("d", [IDN, U_LABELS])
def test_a_domain_in_either_form_is_one(inbound, sink, keyring, d):
    """U-labels in MAIL FROM and From, either form in d=: asked for and aligned by A-labels (RFC 8616)."""
    key = keyring.key(IDN)
    message = sign(MESSAGE, key, d=d.encode().decode("latin-1"))
    relay = inbound({IDN: ["v=spf1 ip4:127.0.0.1 -all"], "_dmarc." + IDN: ["v=DMARC1; p=reject; adkim=s; aspf=s"]})
    with relay.connect() as c:
        c.deliver(message, sender=SENDER, params=" SMTPUTF8")
    content = sink.one().content
    got = found(content)
    assert {m: r.result for m, r in got.items()} == {"dkim2": "none", "dkim": "pass", "arc": "none", "spf": "pass", "dmarc": "pass"}
    assert prop(got["dkim"], "header.d") == d and prop(got["dmarc"], "header.from") == IDN
    event = relay.event("dmarc_result")
    assert (event["result"], event["header_from"], event["spf_aligned"], event["dkim_aligned"]) == ("pass", IDN, "yes", "yes")
    added(message, content)


def test_a_domain_in_u_labels_is_refused_by_its_policy(inbound, sink):
    relay = inbound({"_dmarc." + IDN: ["v=DMARC1; p=reject"]})
    with relay.connect() as c:
        c.deliver(MESSAGE, sender=SENDER, params=" SMTPUTF8", code=550, enhanced="5.7.1", text="DMARC of %s fails" % IDN)
    assert relay.event("dmarc_result")["ruling"] == "refuse"
    assert sink.transactions() == []


def test_all_that_signs_signs_for_u_labels(hopseal, sink, keyring, inbound):
    key = keyring.key(IDN)
    with hopseal("outbound", listener={"dkim": None}, keys=[key]).connect() as c:
        c.deliver(MESSAGE, sender=SENDER, params=" SMTPUTF8")
    sent = sink.wait(1)[0].content
    assert sorted(name_of(f) for f in added(MESSAGE, sent)) == ["dkim-signature", "dkim2-signature", "message-instance", "received"]
    with inbound({"_dmarc." + IDN: ["v=DMARC1; p=reject"]}).connect() as c:
        c.deliver(sent, sender=SENDER, params=" SMTPUTF8")
    assert {m: r.result for m, r in found(sink.wait(2)[1].content).items() if m in ("dkim2", "dkim", "dmarc")} == {
        "dkim2": "pass", "dkim": "pass", "dmarc": "pass"}


ODD = {
    "blanks at line ends": BASE.replace(b"hello\r\n", b"a  \t\r\n \r\n\t\r\nb\r\n\r\n\r\n"),
    "dots at line starts": BASE.replace(b"hello\r\n", b".\r\n..\r\n.x\r\n"),
    "octets of eight bits": BASE.replace(b"hello\r\n", bytes(c for c in range(128, 256)) + b"\r\n"),
    "fields folded and spaced": BASE.replace(b"Subject: t\r\n", b"sUbJeCt:\t t \r\n  u\t\r\n\tv\r\nX-Empty:\r\n"),
    "no body": BASE.split(b"\r\n\r\n")[0] + b"\r\n\r\n",
    "a long line": BASE.replace(b"hello", b"x" * 990),
}


@pytest.mark.parametrize("name", ODD)
def test_nothing_but_fields_on_top(hopseal, sink, keyring, inbound, name):
    """Signed, judged and sealed, a message is the same octets below what was added, and all that was said of it holds behind."""
    message = ODD[name]
    with hopseal("outbound", listener={"dkim": None}, keys=[keyring.key("a.test"), keyring.key("a.test", "r")]).connect() as c:
        c.deliver(message)
    sent = sink.wait(1)[0].content
    added(message, sent)
    zone = {"_dmarc.a.test": ["v=DMARC1; p=reject"]}
    with inbound(zone, {"arc_seal": "c.test"}, keys=[keyring.key("c.test")]).connect() as c:
        c.deliver(sent)
    came = sink.wait(2)[1].content
    added(sent, came)
    assert [r.result for r in parse(values(came, FIELD)[0])[1] if r.method in ("dkim2", "dkim", "dmarc")] == ["pass", "pass", "pass", "pass"]
    with inbound(zone, hostname="mx.d.test").connect() as c:
        c.deliver(came)
    last = sink.wait(3)[2].content
    added(came, last)
    got = found(last, "mx.d.test")
    assert got["arc"].result == "pass" and got["dkim"].result == "pass"


def test_without_the_keeper_nothing_leaves(hopseal, sink, keyring):
    """Neither unsigned nor without its set: the message waits for the next keeper, or is put off; then all is as ever."""
    keys = [keyring.key("a.test")]
    relay = hopseal(listeners={"out": {"service": "outbound", "dkim": None}, "in": dict(DEFAULTS, service="inbound", arc_seal="a.test")}, keys=keys)
    (keeper,) = relay.pids("keeper")
    with relay.connect("out") as out, relay.connect("in") as into:
        os.kill(keeper, signal.SIGSTOP)
        try:
            for c in (out, into):
                c.to_data()
                c.send(BASE + b".\r\n")
        finally:
            os.kill(keeper, signal.SIGKILL)
        replies = [out.reply(), into.reply()]
    relay.event("keeper_up")
    for got in replies:
        assert got.code == 250 or (got.code, got.enhanced) == (451, "4.3.0"), got
    n = sum(got.code == 250 for got in replies)
    taken = sink.wait(n) if n else sink.transactions()
    assert len(taken) == n
    for tx in taken:
        assert hops(tx.content) or values(tx.content, "ARC-Seal"), tx.content
    with relay.connect("out") as out, relay.connect("in") as into:
        out.deliver(BASE)
        into.deliver(BASE)


def test_an_identity_of_the_sender_is_quoted(inbound, sink, keyring):
    """What a client says of itself stands in the field as a value, whatever is in it (RFC 8601 2.2)."""
    key = keyring.key("a.test")
    message = arc_seal(sign(BASE, key, i="=22=3B=20dmarc=3Dpass=22@a.test"), keyring.key("evil.test"), aar="x; dmarc=pass header.from=a.test")
    with inbound({"_dmarc.a.test": ["v=DMARC1; p=none"]}).connect() as c:
        c.deliver(message, sender='<"x; dmarc=pass (y) \\" header.from=b.test"@a.test>')
    content = sink.one().content
    (_, results) = parse(values(content, FIELD)[0])
    assert [r.method for r in results] == ["dkim2", "dkim", "arc", "spf", "spf", "dmarc"]
    assert prop(results[-1], "header.from") == "a.test" and not re.search(r"header.from=b", str(results[-1]))


def test_a_trusted_sealer_is_a_fact(hopseal, sink, keyring):
    """Policy facts of ARC: who sealed last, and whether that counts."""
    message = arc_seal(BASE, keyring.key("lists.b.test"), aar="mx.b.test; dmarc=pass header.from=a.test")
    rows = [("arc.sealer = lists.b.test", True), ("arc.sealer = .b.test", True), ("arc.sealer = a.test", False), ("arc.trusted = yes", True),
            ("arc.vouches = yes", True), ("arc.instances = 1", True), ("dmarc = fail", True), ("dmarc.disposition = none", True)]
    relay = hopseal(listeners={"l%d" % n: {"service": "inbound", "verify": None, "policy": "p%d" % n} for n in range(len(rows))},
                    answers=dict(keyring.answers(), **{"_dmarc.a.test": ["v=DMARC1; p=reject"]}), arc={"trusted": ["b.test"]}, start=False)
    relay.conf["policy"] = {"p%d" % n: {"rules": [{"name": "r", "when": [when], "then": "refuse 550 5.7.1 held"}]} for n, (when, _) in enumerate(rows)}
    relay.start()
    for n, (when, holds) in enumerate(rows):
        with relay.connect("l%d" % n) as c:
            c.deliver(message, code=550 if holds else 250, text="held" if holds else None)
    assert relay.event("dmarc_result")["override"] == "arc"
