"""Service inbound: the chain is judged, the server behind sees only mail with a verdict on it."""
import time

import pytest

from mail import BASE, NOW, added, name_of, unfolded, value, values
from seal import seal

REFUSE = [
    {"name": "broken chain", "when": ["dkim2 = fail"], "then": "refuse 550 5.7.1 {dkim2.reason}"},
    {"name": "bad chain", "when": ["dkim2 = permerror"], "then": "refuse 550 5.7.1 {dkim2.reason}"},
    {"name": "key unreachable", "when": ["dkim2 = temperror"], "then": "defer 451 4.7.5 {dkim2.reason}"},
]
DAY = 86400


@pytest.fixture
def key(keyring):
    return keyring.key("a.test")


def results(message, who="mx.c.test"):
    """Authentication-Results of this id."""
    return [v for v in values(message, "Authentication-Results") if v.split(";")[0].split(" ")[0] == who]


def test_a_sealed_message_passes_with_its_verdict(hopseal, sink, key):
    message = seal(BASE, key)
    with hopseal("inbound", policy=REFUSE).connect() as c:
        c.deliver(message)
    content = sink.one().content
    assert sorted(name_of(f) for f in added(message, content)) == ["authentication-results", "received"]
    assert results(content) == ["mx.c.test; dkim2=pass (i=1 a.test pass) header.d=a.test"]


def test_a_message_without_a_chain_is_none(hopseal, sink):
    with hopseal("inbound", policy=REFUSE).connect() as c:
        c.deliver(BASE)
    content = sink.one().content
    added(BASE, content)
    assert results(content) == ["mx.c.test; dkim2=none"]


def test_a_replay_to_another_recipient_is_refused(hopseal, sink, key):
    message = seal(BASE, key)
    with hopseal("inbound", policy=REFUSE).connect() as c:
        c.deliver(message, recipients=("<r2@c.test>",), code=550, enhanced="5.7.1",
                  text="DKIM2-Signature i=1 RCPT TO <r2@c.test> did not match")
        c.deliver(message, recipients=("<r1@c.test>", "<r2@c.test>"), code=550, enhanced="5.7.1",
                  text="DKIM2-Signature i=1 RCPT TO <r2@c.test> did not match")
        c.deliver(message, sender="<x@a.test>", code=550, enhanced="5.7.1",
                  text="DKIM2-Signature i=1 MAIL FROM <x@a.test> did not match")
    assert sink.transactions() == []


def test_the_built_in_policy_refuses_a_replay(hopseal, sink, key):
    relay = hopseal("inbound", start=False)
    del relay.conf["listener"]["main"]["policy"]
    with relay.start().connect() as c:
        c.deliver(seal(BASE, key), recipients=("<r2@c.test>",), code=550, enhanced="5.7.1",
                  text="DKIM2-Signature i=1 RCPT TO <r2@c.test> did not match")
        c.deliver(seal(BASE, key))
    assert len(sink.wait(1)) == 1


def test_annotating_lets_a_failed_chain_through(hopseal, sink, key):
    message = seal(BASE, key)
    with hopseal("inbound").connect() as c:
        c.deliver(message, recipients=("<r2@c.test>",))
    (got,) = results(sink.one().content)
    assert got.startswith("mx.c.test; dkim2=fail (")
    assert "FAIL: DKIM2-Signature i=1 RCPT TO <r2@c.test> did not match" in got


FLIPS = {
    "a letter of the body": (lambda m: m.replace(b"hello", b"hellp"), "Message Instance m=1 body hash sha256 mismatch"),
    "a letter of the subject": (lambda m: m.replace(b"Subject: t", b"Subject: u"), "Message Instance m=1 header hash sha256 mismatch"),
    "a field more": (lambda m: b"Reply-To: x@evil.test\r\n" + m, "Message Instance m=1 header hash sha256 mismatch"),
    "the time": (lambda m: m.replace(b"t=%d" % NOW, b"t=%d" % (NOW - 1)), "DKIM2-Signature i=1 e incorrect signature"),
    "the instance dropped": (lambda m: m.replace(b"Message-Instance:", b"X-Gone:"), "Message-Instance m=1 missing"),
}


@pytest.mark.parametrize("name", FLIPS)
def test_one_change_breaks_it_there(hopseal, sink, key, name):
    change, text = FLIPS[name]
    message = seal(BASE, key)
    assert change(message) != message
    with hopseal("inbound", policy=REFUSE).connect() as c:
        c.deliver(change(message), code=550, enhanced="5.7.1", text=text)
        c.deliver(message)
    assert len(sink.wait(1)) == 1


def test_unsigned_fields_may_come_and_go(hopseal, sink, key):
    message = b"X-Spam: no\r\nReceived: from x by y; Thu, 01 Oct 2026 00:00:00 +0000\r\n" + seal(BASE, key)
    with hopseal("inbound", policy=REFUSE).connect() as c:
        c.deliver(message)
    assert "dkim2=pass" in results(sink.one().content)[0]


@pytest.mark.parametrize("selector", ["e", "r"])
def test_both_kinds_of_key(hopseal, sink, keyring, selector):
    message = seal(BASE, keyring.key("a.test", selector))
    with hopseal("inbound", policy=REFUSE).connect() as c:
        c.deliver(message)
    assert "dkim2=pass" in results(sink.one().content)[0]


def test_a_chain_of_two_hops(hopseal, sink, key, keyring):
    message = seal(seal(BASE, key, rt=["<l@b.test>"]), keyring.key("b.test"), mf="<l@b.test>", rt=["<r1@c.test>"])
    with hopseal("inbound", policy=REFUSE).connect() as c:
        c.deliver(message, sender="<l@b.test>")
        assert results(sink.one().content) == ["mx.c.test; dkim2=pass (i=1 a.test pass, i=2 b.test pass) header.d=a.test"]


def test_a_gap_in_the_custody_is_refused(hopseal, sink, key, keyring):
    message = seal(seal(BASE, key, rt=["<l@b.test>"]), keyring.key("evil.test"), mf="<l@evil.test>", rt=["<r1@c.test>"])
    with hopseal("inbound", policy=REFUSE).connect() as c:
        c.deliver(message, sender="<l@evil.test>", code=550, enhanced="5.7.1", text="does not match RCPT TO of i=1")


@pytest.mark.parametrize("age, told", [
    (14 * DAY - 1, None), (14 * DAY + 1, "DKIM2-Signature i=1 signature expired"), (-300, None),
    (-301, "DKIM2-Signature i=1 signature timestamp is in the future")])
def test_time_on_the_configured_clock(hopseal, sink, key, age, told):
    message = seal(BASE, key, t=NOW - age)
    with hopseal("inbound", policy=REFUSE).connect() as c:
        if told:
            c.deliver(message, code=550, enhanced="5.7.1", text=told)
        else:
            c.deliver(message)


def test_time_on_the_machines_clock(hopseal, sink, key):
    with hopseal("inbound", policy=REFUSE, clock=None).connect() as c:
        c.deliver(seal(BASE, key, t=int(time.time())))
        c.deliver(seal(BASE, key, t=int(time.time()) - 15 * DAY), code=550, enhanced="5.7.1", text="signature expired")


def test_keys_that_cannot_be_had(hopseal, sink, key):
    message = seal(BASE, key)
    rows = [
        ({key.name: {"error": "timeout"}}, 451, "4.7.5", "public key e could not be fetched"),
        ({key.name: {"error": "servfail"}}, 451, "4.7.5", "public key e could not be fetched"),
        ({}, 550, "5.7.1", "public key e does not exist"),
        ({key.name: []}, 550, "5.7.1", "public key e does not exist"),
        ({key.name: [key.record, key.record]}, 550, "5.7.1", "public key e has multiple records"),
        ({key.name: ["v=DKIM1; k=ed25519; p=!"]}, 550, "5.7.1", "public key e has a syntax error"),
        ({key.name: ["v=DKIM1; k=rsa; p="]}, 550, "5.7.1", "public key e has been revoked"),
    ]
    for answers, code, enhanced, text in rows:
        with hopseal("inbound", policy=REFUSE, answers=answers).connect() as c:
            c.deliver(message, code=code, enhanced=enhanced, text=text)
    assert sink.transactions() == []


def test_our_own_results_from_outside_are_removed(hopseal, sink):
    forged = (b"Authentication-Results: mx.c.test; dkim2=pass header.d=bank.test\r\n"
              b"Authentication-Results: MX.C.TEST 1;\r\n\tdkim=pass\r\n"
              b"Authentication-Results: (x) mx.c.test (y); spf=pass\r\n"
              b"Authentication-Results: \"mx.c.test\"; spf=pass\r\n")
    others = b"Authentication-Results: mx.other.test; dkim=pass\r\nauthentication-results: broken\r\n"
    with hopseal("inbound").connect() as c:
        c.deliver(forged + others + BASE)
    content = sink.one().content
    added(others + BASE, content)
    assert results(content) == ["mx.c.test; dkim2=none"]
    assert len(values(content, "Authentication-Results")) == 3


def test_results_bear_the_configured_name(hopseal, sink):
    with hopseal("inbound", listener={"authserv_id": "auth.c.test"}).connect() as c:
        c.deliver(b"Authentication-Results: auth.c.test; dkim2=pass\r\nAuthentication-Results: mx.c.test; dkim2=pass\r\n" + BASE)
    content = sink.one().content
    assert results(content, "auth.c.test") == ["auth.c.test; dkim2=none"]
    assert results(content, "mx.c.test") == ["mx.c.test; dkim2=pass"]


def test_received_says_how_it_came(hopseal, sink):
    relay = hopseal("inbound")
    with relay.connect(source="127.0.0.7") as c:
        c.ehlo("client.a.test")
        c.deliver(BASE)
    got = value(sink.one().content, "Received")
    assert got.startswith("from client.a.test ([127.0.0.7]) by mx.c.test (hopseal) with ESMTP id ")
    assert got.endswith(" for <r1@c.test>; Thu, 01 Oct 2026 00:00:00 +0000")
    assert got.split(" id ")[1].split(" ")[0] == relay.event("transaction")["tx"]


def test_received_of_helo_and_smtputf8(hopseal, sink):
    relay = hopseal("inbound")
    with relay.connect() as c:
        c.cmd("HELO old.test")
        c.greeted = True
        c.deliver(BASE)
    with relay.connect() as c:
        c.deliver(BASE, params=" SMTPUTF8")
    got = [value(tx.content, "Received") for tx in sink.wait(2)]
    assert " with SMTP id " in got[0] and " with UTF8SMTP id " in got[1]


def test_a_field_name_followed_by_a_space_is_refused(hopseal, sink):
    with hopseal("inbound").connect() as c:
        c.deliver(BASE.replace(b"Subject:", b"Subject :"), code=550, enhanced="5.6.0")
        c.deliver(BASE.replace(b"Subject:", b"Subject\t:"), code=550, enhanced="5.6.0")
    assert sink.transactions() == []


def test_more_than_a_hundred_received_is_a_loop(hopseal, sink):
    line = b"Received: from x by y; Thu, 01 Oct 2026 00:00:00 +0000\r\n"
    with hopseal("inbound").connect() as c:
        c.deliver(line * 101 + BASE, code=554, enhanced="5.4.6")
        c.deliver(line * 100 + BASE)
    assert len(sink.wait(1)) == 1


def test_shadow_judges_and_changes_nothing_else(hopseal, sink, key):
    message = seal(BASE, key)
    relay = hopseal("inbound", policy=REFUSE, listener={"shadow": True})
    with relay.connect() as c:
        c.deliver(message, recipients=("<r2@c.test>",))
    content = sink.one().content
    assert [name_of(f) for f in added(message, content)] == ["authentication-results"]
    assert "dkim2=fail" in results(content)[0]
    event = relay.event("transaction")
    assert (event["outcome"], event["ruling"], event["rule"], event["shadow"]) == ("accepted", "refuse", "broken chain", "yes")


def test_the_log_says_which_of_two_signatures_passed(hopseal, sink, key, keyring):
    message = seal(BASE, key, keyring.key("a.test", "r2048"))
    head, tail = message.split(b":rsa-sha256:", 1)
    spoilt = head + b":rsa-sha256:" + (b"B" if tail[:1] == b"A" else b"A") + tail[1:]
    relay = hopseal("inbound")
    with relay.connect() as c:
        c.deliver(spoilt)
        c.deliver(message)
    relay.event("transaction", 2)
    (event,) = [e for e in relay.events() if e["event"].startswith("dkim2_")]
    assert event["event"] == "dkim2_mixed" and event["listener"] == "main" and event["tx"] == relay.event("transaction")["tx"]
    assert event["note"] == "DKIM2-Signature i=1 %s signature passed, %s signature failed" % (key.selector, "r2048")


@pytest.mark.parametrize("draft, state", [("06", "permerror"), ("07", "permerror"), ("08", "fail"), ("09", "fail")])
def test_the_level_it_is_judged_by(hopseal, sink, key, draft, state):
    """What an envelope mismatch is differs by draft; every line that tells of it names the level."""
    relay = hopseal("inbound", dkim2={"draft": draft})
    with relay.connect() as c:
        c.deliver(seal(BASE, key), recipients=("<r2@c.test>",))
    assert "dkim2=" + state in results(sink.one().content)[0]
    assert relay.event("transaction")["dkim2"] == relay.event("auth_result")["result"] == state
    assert [relay.event(name)["draft"] for name in ("transaction", "auth_result", "dkim2_envelope")] == [int(draft)] * 3


@pytest.mark.parametrize("tags, told", [("", None), ("; t=y", "testing"), ("; t=s:y; f=strict", "testing,strict"),
                                        ("; f=strict", "strict"), ("; f=Strict", None), ("; t=s", None)])
def test_flags_of_a_key_record_are_told(hopseal, sink, key, tags, told):
    relay = hopseal("inbound", answers={key.name: [key.record + tags]})
    with relay.connect() as c:
        c.deliver(seal(BASE, key))
    event = relay.event("transaction")
    assert (event["dkim2"], event.get("key_flags")) == ("pass", told)


def test_several_recipients_pass_on_a_judging_service(hopseal, sink, key):
    message = seal(BASE, key, rt=["<r1@c.test>", "<r2@c.test>"])
    with hopseal("inbound", policy=REFUSE).connect() as c:
        c.deliver(message, recipients=("<r1@c.test>", "<r2@c.test>"))
    assert sink.one().recipients == ["<r1@c.test>", "<r2@c.test>"]


def test_a_transaction_does_not_colour_the_next(hopseal, sink, key):
    with hopseal("inbound").connect() as c:
        c.deliver(seal(BASE, key), recipients=("<r2@c.test>",))
        c.deliver(BASE)
        c.deliver(seal(BASE, key))
    got = [results(tx.content)[0] for tx in sink.wait(3)]
    assert ["dkim2=fail" in got[0], "dkim2=none" in got[1], "dkim2=pass" in got[2]] == [True] * 3


def test_a_message_without_fields_gets_its_verdict(hopseal, sink):
    with hopseal("inbound").connect() as c:
        for message in (b"", b"\r\n", b"\r\nbody\r\n"):
            c.deliver(message)
    for message, tx in zip((b"\r\n", b"\r\n", b"\r\nbody\r\n"), sink.wait(3)):
        assert results(tx.content) == ["mx.c.test; dkim2=none"]
        assert tx.content.endswith(b"\r\n" + message) or message == b"\r\n"


def test_verdicts_are_folded_and_bounded(hopseal, sink, key, keyring):
    message = seal(BASE, key, rt=["<h@b.test>"])
    for n in range(10):
        message = seal(message, keyring.key("b.test"), mf="<h@b.test>", rt=["<h@b.test>"])
    message = seal(message, keyring.key("b.test"), mf="<h@b.test>", rt=["<r1@c.test>"])
    with hopseal("inbound", policy=REFUSE).connect() as c:
        c.deliver(message, sender="<h@b.test>")
    field = [f for f in added(message, sink.one().content) if name_of(f) == "authentication-results"][0]
    assert all(len(line) <= 998 for line in field.split(b"\r\n"))
    assert "i=12 b.test pass) header.d=a.test" in unfolded(field)
