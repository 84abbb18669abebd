"""Policy rules: the first that matches rules, as early as its facts are known."""
import pytest

from mail import BASE, added, name_of, values
from seal import seal


def rule(when, then, name="r"):
    return {"name": name, "when": when if isinstance(when, list) else [when], "then": then}


def test_a_client_of_a_network_is_refused_with_the_rules_words(hopseal, sink):
    relay = hopseal("inbound", policy=[rule("client in 127.0.0.8/29, 192.0.2.1", "refuse 550 5.7.1 not from {client}")])
    with relay.connect(source="127.0.0.9") as c:
        c.ehlo()
        c.send(b"MAIL FROM:<s@a.test>\r\n")
        got = c.reply()
        if got.code == 250:
            c.send(b"RCPT TO:<r1@c.test>\r\n")
            got = c.reply()
        assert (got.code, got.enhanced) == (550, "5.7.1") and "not from 127.0.0.9" in got.text
    with relay.connect(source="127.0.0.7") as c:
        c.deliver(BASE)
    assert len(sink.wait(1)) == 1


def test_bypass_does_nothing_to_the_message(hopseal, sink, keyring):
    broken = seal(BASE, keyring.key("a.test")).replace(b"hello", b"hellp")
    relay = hopseal("inbound", policy=[
        rule("client in 127.0.0.9", "bypass", "partner"), rule("dkim2 = fail", "refuse 550 5.7.1 {dkim2.reason}", "broken")])
    with relay.connect(source="127.0.0.9") as c:
        c.deliver(broken)
    with relay.connect() as c:
        c.deliver(broken, code=550, enhanced="5.7.1", text="body hash")
    content = sink.one().content
    assert content.endswith(broken)
    assert set(name_of(f) for f in added(broken, content)) <= {"received", "authentication-results"}
    assert relay.event("transaction")["rule"] == "partner"


def test_a_sender_domain_at_mail(hopseal, sink):
    with hopseal("inbound", policy=[rule("mail-from.domain = b.test", "refuse 553 5.1.8 no {mail-from.domain} here")]).connect() as c:
        c.mail("<x@b.test>", code=553, enhanced="5.1.8", text="no b.test here")
        c.mail("<x@B.TEST>", code=553)
        c.deliver(BASE)
    assert len(sink.wait(1)) == 1


def test_a_recipient_at_rcpt_is_alone_refused(hopseal, sink):
    with hopseal("inbound", policy=[rule("rcpt.domain in b.test", "defer 450 4.7.1 later")]).connect() as c:
        c.mail()
        c.rcpt("<r@b.test>", code=450, enhanced="4.7.1", text="later")
        c.rcpt("<r1@c.test>")
        c.cmd("DATA", 354)
        c.message(BASE)
    assert sink.one().recipients == ["<r1@c.test>"]


def test_all_conditions_must_hold(hopseal, sink):
    rules = [rule(["dkim2 = none", "from.domain = a.test", "mail-from != <s@a.test>"], "refuse 550 5.7.1 no")]
    with hopseal("inbound", policy=rules).connect() as c:
        c.deliver(BASE)
        c.deliver(BASE, sender="<t@a.test>", code=550, enhanced="5.7.1")
    assert len(sink.wait(1)) == 1


def test_an_accepting_rule_shields_from_later_ones(hopseal, sink, keyring):
    broken = seal(BASE, keyring.key("a.test")).replace(b"hello", b"hellp")
    rules = [rule("helo = friend.test", "accept", "friend"), rule("dkim2 != pass", "refuse 550 5.7.1 no")]
    relay = hopseal("inbound", policy=rules)
    with relay.connect() as c:
        c.ehlo("friend.test")
        c.deliver(broken)
    with relay.connect() as c:
        c.ehlo("foe.test")
        c.deliver(broken, code=550)
    assert len(sink.wait(1)) == 1


def test_otherwise_may_refuse(hopseal, sink):
    with hopseal("inbound", otherwise="refuse 550 5.7.1 closed").connect() as c:
        c.ehlo()
        c.send(b"MAIL FROM:<s@a.test>\r\nRCPT TO:<r1@c.test>\r\n")
        assert 550 in (c.reply().code, c.reply().code)
    assert sink.transactions() == []


def test_a_reason_cannot_break_the_reply(hopseal, sink):
    """Peer octets in a reply are bounded and printable."""
    with hopseal("inbound", policy=[rule("dkim2 = none", "refuse 550 5.7.1 from {helo} by {mail-from}")]).connect() as c:
        c.ehlo("x" * 200)
        c.mail("<\"%s\"@a.test>" % ("y" * 60))
        c.rcpt()
        c.cmd("DATA", 354)
        got = c.message(BASE, 550, "5.7.1")
        assert all(len(line) < 512 for line in got.lines)
        c.cmd("NOOP")


@pytest.mark.parametrize("service", ["outbound", "pass"])
def test_rules_hold_on_every_service(hopseal, sink, keyring, service):
    rules = [rule("rcpt = <r9@c.test>", "refuse 550 5.1.1 gone")]
    with hopseal(service, policy=rules, keys=[keyring.key("a.test")]).connect() as c:
        c.mail()
        c.rcpt("<r9@c.test>", code=550, enhanced="5.1.1", text="gone")
        c.rcpt("<r1@c.test>")
        c.cmd("DATA", 354)
        c.message(BASE)
    assert values(sink.one().content, "Authentication-Results") == []
