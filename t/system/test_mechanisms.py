"""All mechanisms together, as an inbound listener runs them that says nothing of it; and what an outbound one signs beside its seal."""
import contextlib
import json
import re

import pytest

from keys import write_answers
from mail import BASE, NOW, added, name_of, unfolded, value, values
from relay import ctl
from seal import seal
from test_client_view import fronted, v2

DEFAULTS = {"verify": None, "policy": None}
REJECT = {"_dmarc.a.test": ["v=DMARC1; p=reject"]}
SLOW = {"error": "timeout"}


def results(content):
    """The results of mx.c.test: method -> result, and the whole value."""
    text = value(content, "Authentication-Results")
    assert text.startswith("mx.c.test; ")
    found = re.findall(r"(?:^|; )(\w+)=(\w+)", re.sub(r"\([^)]*\)|\"[^\"]*\"", "", text.split("; ", 1)[1]))
    return dict(reversed(found)), text      # of several the first


@pytest.fixture
def inbound(hopseal):
    """inbound(zone): a listener with nothing but defaults, in front of the sink."""
    return lambda zone, listener=None, **more: hopseal("inbound", listener=dict(DEFAULTS, **(listener or {})), answers=zone, **more)


@pytest.fixture
def signed(hopseal, sink, keyring):
    """BASE as it leaves an outbound listener: a seal and two signatures."""
    relay = hopseal("outbound", listener={"dkim": None}, keys=[keyring.key("a.test"), keyring.key("a.test", "r")])
    with relay.connect() as c:
        c.deliver(BASE)
    return sink.wait(1)[0].content


# ---- what comes in ----

def test_all_that_passes_passes(inbound, sink, keyring, signed):
    relay = inbound(dict(keyring.answers(), **REJECT, **{"a.test": ["v=spf1 ip4:127.0.0.0/8 -all"], "h.test": ["v=spf1 +all"]}))
    with relay.connect() as c:
        c.ehlo("h.test")
        c.deliver(signed)
    got, text = results(sink.wait(2)[1].content)
    assert got == {"dkim2": "pass", "dkim": "pass", "arc": "none", "spf": "pass", "dmarc": "pass"}
    assert text.count("dkim=pass") == 2 and "smtp.mailfrom=s@a.test" in text and "smtp.helo=h.test" in text and "header.from=a.test" in text
    event = relay.event("dmarc_result")
    assert (event["client"], event["result"], event["dkim_aligned"], event["spf_aligned"], event["override"]) == (
        "127.0.0.1", "pass", "yes", "yes", "none")
    assert sorted(event["dkim_auth"].split()) == ["a.test/e=pass", "a.test/r=pass"]


def test_reject_is_honoured(inbound, sink):
    relay = inbound(REJECT)
    with relay.connect() as c:
        c.deliver(BASE, code=550, enhanced="5.7.1", text="DMARC of a.test fails, and its policy is to refuse such mail")
    assert not sink.transactions()
    assert relay.event("transaction")["rule"] == "author refuses"
    assert relay.event("dmarc_result")["ruling"] == "refuse"


@pytest.mark.parametrize("policy", ["none", "quarantine", "reject; t=y"])
def test_a_milder_policy_is_told_and_no_more(inbound, sink, policy):
    with inbound({"_dmarc.a.test": ["v=DMARC1; p=" + policy]}).connect() as c:
        c.deliver(BASE)
    got, text = results(sink.one().content)
    assert got["dmarc"] == "fail" and "p=" + policy.split(";")[0] in text


def test_a_chain_that_passes_explains_a_failure(inbound, sink, keyring):
    """The same message with a letter of its body changed is refused for its chain."""
    relay = inbound(dict(keyring.answers(), **REJECT))
    sealed = seal(BASE, keyring.key("a.test"))
    with relay.connect() as c:
        c.deliver(sealed)
        c.deliver(sealed.replace(b"hello", b"hellp"), code=550, enhanced="5.7.1")
    got, text = results(sink.one().content)
    assert got["dmarc"] == "fail" and "dis=none override=dkim2" in text
    assert relay.event("dmarc_result")["override"] == "dkim2"


@pytest.mark.parametrize("zone, code", [
    ({"_dmarc.a.test": SLOW}, 451),                                                         # nobody knows what it asks for
    (dict(REJECT, **{"a.test": SLOW}), 451),                                                # it might pass
    (dict(REJECT, **{"a.test": ["v=spf1 ip4:127.0.0.1 -all"], "e._domainkey.a.test": SLOW}), 250),      # it passes anyway
    ({"_dmarc.a.test": ["v=DMARC1; p=none"], "a.test": SLOW}, 250),                         # whatever it is
    ({"_dmarc.a.test": ["v=DMARC1; p=quarantine"], "a.test": SLOW}, 250)])
def test_only_what_decides_is_waited_for(inbound, sink, zone, code):
    with inbound(zone).connect() as c:
        c.deliver(BASE, code=code, enhanced="4.7.5" if code == 451 else None)


def test_what_is_ours_is_stripped_and_nothing_else(inbound, sink):
    forged = (b"Authentication-Results: MX.c.test (x) ; dmarc=pass header.from=a.test\r\nAuthentication-Results: mx.other.test; spf=pass\r\n"
              b"authentication-results: (c)mx.c.test 1; dkim=pass\r\n")
    relay = inbound({})
    with relay.connect() as c:
        c.deliver(forged + BASE)
    content = sink.one().content
    assert [v.split(";")[0] for v in values(content, "Authentication-Results")] == ["mx.c.test", "mx.other.test"]
    assert relay.event("ar_forged_removed")["fields"] == 2


def test_a_listener_has_a_name_of_its_own(inbound, sink):
    with inbound({}, {"authserv_id": "in.c.test"}).connect() as c:
        c.deliver(b"Authentication-Results: in.c.test; spf=pass\r\nAuthentication-Results: mx.c.test; spf=fail\r\n" + BASE)
    assert [v.split(";")[0] for v in values(sink.one().content, "Authentication-Results")] == ["in.c.test", "mx.c.test"]


@pytest.mark.parametrize("address, want", [("192.0.2.7", "pass"), ("2001:db8::7", "pass"), ("192.0.2.8", "fail")])
@pytest.mark.parametrize("how", ["proxy", "xclient"])
def test_spf_is_of_the_client_that_others_tell_of(inbound, sink, address, want, how):
    relay = inbound({"a.test": ["v=spf1 ip4:192.0.2.7 ip6:2001:db8::7 -all"]}, {"proxy_from" if how == "proxy" else "xclient_from": ["127.0.0.1"]})
    with contextlib.ExitStack() as stack:
        if how == "proxy":
            c = stack.enter_context(fronted(relay, v2(address)))
        else:
            c = stack.enter_context(relay.connect())
            c.cmd("XCLIENT ADDR=%s%s" % ("IPV6:" if ":" in address else "", address), 220)
            c.ehlo("x.test")
        c.deliver(BASE)
    got, text = results(sink.one().content)
    assert got["spf"] == want and "smtp.remote-ip=%s" % (address if ":" not in address else '"%s"' % address) in text
    assert relay.event("dmarc_result")["client"] == address


@pytest.mark.parametrize("helo, want", [("h.test", "pass"), ("other.test", "none"), ("[127.0.0.1]", "none"), ("single", "none")])
def test_a_null_path_is_judged_by_helo(inbound, sink, helo, want):
    relay = inbound({"h.test": ["v=spf1 ip4:127.0.0.1 -all"]})
    with relay.connect() as c:
        c.ehlo(helo)
        c.deliver(BASE, sender="<>")
    got, text = results(sink.one().content)
    assert got["spf"] == want and "smtp.helo=" in text and "smtp.mailfrom" not in text


FACTS = [("dkim = pass", True), ("dkim = fail", False), ("dkim.domain = a.test", True), ("dkim.domain = .test", True), ("dkim.signatures = 2", True),
         ("dkim.aligned = yes", True), ("dkim.testing = no", True), ("arc = none", True), ("arc.trusted = yes", False), ("arc.instances = 0", True),
         ("spf = pass", True), ("spf.domain = a.test", True), ("spf.aligned = yes", True), ("spf.helo = none", True), ("dmarc = pass", True),
         ("dmarc.domain = a.test", True), ("dmarc.policy = reject", True), ("dmarc.disposition = none", True), ("dmarc.disposition != none", False)]


def test_every_verdict_is_a_fact(hopseal, sink, keyring, signed):
    """A rule each; those that should hold refuse, by name, until all have."""
    zone = dict(keyring.answers(), **REJECT, **{"a.test": ["v=spf1 ip4:127.0.0.0/8 -all"]})
    relay = hopseal(listeners={"l%d" % n: {"service": "inbound", "verify": None, "policy": "p%d" % n} for n in range(len(FACTS))},
                    answers=zone, start=False)
    relay.conf["policy"] = {"p%d" % n: {"rules": [{"name": "r", "when": [when], "then": "refuse 550 5.7.1 held"}]} for n, (when, _) in enumerate(FACTS)}
    relay.start()
    for n, (when, holds) in enumerate(FACTS):
        with relay.connect("l%d" % n) as c:
            c.deliver(signed, code=550 if holds else 250, text="held" if holds else None)


def test_the_command_line_says_the_same(inbound, sink, keyring, signed, room):
    zone = dict(keyring.answers(), **REJECT, **{"a.test": ["v=spf1 ip4:127.0.0.0/8 -all"]})
    with inbound(zone).connect() as c:
        c.deliver(signed)
    _, text = results(sink.wait(2)[1].content)
    done = ctl("verify", "--json", "--dns", write_answers(room + "/zone.json", zone), "--now", str(NOW), "--authserv-id", "mx.c.test", "--client-ip",
               "127.0.0.1", "--helo", sink.wait(2)[1].helo.split()[1], "--mail-from", "s@a.test", "--rcpt", "r1@c.test", "-", input=signed)
    assert done.returncode == 0
    said = json.loads(done.stdout)
    assert re.sub(r"smtp.helo=\S+", "", said["authentication_results"]) == re.sub(r"smtp.helo=\S+", "", text)
    assert sorted(said) == ["arc", "authentication_results", "dkim", "dkim2", "dmarc", "spf"]
    assert said["spf"] == {"result": "pass", "domain": "a.test", "scope": "mfrom", "explanation": None}
    assert said["dmarc"] == {"result": "pass", "policy": "reject", "domain": "a.test", "disposition": "none"}
    assert said["arc"] == {"result": "none", "instances": 0, "reason": None}
    assert sorted(said["dkim"], key=lambda one: one["s"]) == [
        {"d": "a.test", "s": s, "a": a, "result": "pass", "reason": None} for s, a in (("e", "ed25519-sha256"), ("r", "rsa-sha256"))]


@pytest.mark.parametrize("only, code", [("dkim", 65), ("spf", 65), ("arc", 1), ("dmarc", 65), ("arc,dkim2", 1), ("dkim2", 1), ("arc,spf", 65)])
def test_exit_codes_are_of_the_worst(room, only, code):
    zone = write_answers(room + "/zone.json", dict(REJECT, **{"a.test": ["v=spf1 ~all"]}))
    message = b"DKIM-Signature: v=1; a=rsa-sha256; d=a.test; s=gone; h=from; bh=AAAA; b=AAAA\r\n" + BASE
    done = ctl("verify", "--only", only, "--dns", zone, "--client-ip", "192.0.2.1", "--mail-from", "s@a.test", "-", input=message)
    assert done.returncode == code, done


@pytest.mark.parametrize("sender, want", [("x@a...test", "none"), ("<x@a...test>", "none"), ("a.test", "fail"), ("@a.test", "fail"), ("x@a.test", "fail"),
                                          ("x y@a.test", "fail"), ("", "none"), ("<>", "none")])
def test_spf_judges_any_sender(room, sender, want):
    zone = write_answers(room + "/zone.json", {"a.test": ["v=spf1 -all"]})
    done = ctl("verify", "--only", "spf", "--json", "--dns", zone, "--client-ip", "192.0.2.1", "--helo", "h.test", "--mail-from", sender, "-", input=BASE)
    assert json.loads(done.stdout)["spf"]["result"] == want, done
    assert done.returncode == (65 if want == "fail" else 1)


# ---- what goes out ----

def signatures(content):
    return [unfolded(f) for f in added_fields(content) if name_of(f) == "dkim-signature"]


def added_fields(content):
    return added(BASE, content)


def test_dkim_stands_beside_the_seal(hopseal, sink, keyring, signed):
    assert sorted(name_of(f) for f in added_fields(signed)) == ["dkim-signature", "dkim-signature", "dkim2-signature", "message-instance", "received"]
    assert sorted(re.search(r"\bs=(\w+);", s).group(1) for s in signatures(signed)) == ["e", "r"]
    for text in signatures(signed):
        assert "d=a.test;" in text and "c=relaxed/relaxed;" in text
        assert re.search(r"\bh=[^;]*from[^;]*:\s*from", text.lower().replace("\r\n", "")), "From is not oversigned: " + text


def test_dkim_can_be_left_out(hopseal, sink, keyring):
    with hopseal("outbound", listener={"dkim": False}, keys=[keyring.key("a.test")]).connect() as c:
        c.deliver(BASE)
    assert signatures(sink.one().content) == []


def test_a_foreign_sender_has_dkim_only(hopseal, sink, keyring):
    with hopseal("outbound", listener={"dkim": None}, keys=[keyring.key("a.test")]).connect() as c:
        c.deliver(BASE, sender="<s@b.test>")
    assert sorted(name_of(f) for f in added_fields(sink.one().content)) == ["dkim-signature", "received"]


def test_a_foreign_author_or_client_has_none(hopseal, sink, keyring):
    with hopseal("outbound", listener={"dkim": None}, keys=[keyring.key("b.test")]).connect() as c:
        c.deliver(BASE)
    assert signatures(sink.one().content) == []
    stranger = hopseal("outbound", listener={"dkim": None, "clients": ["192.0.2.1"], "domains": ["c.test"]}, keys=[keyring.key("a.test")])
    with stranger.connect() as c:
        c.deliver(BASE, sender="<s@b.test>")
    assert signatures(sink.wait(2)[1].content) == []


def test_a_chain_that_passes_through_gets_none(hopseal, sink, keyring):
    sealed = seal(BASE, keyring.key("a.test"))
    with hopseal("outbound", listener={"dkim": None}, keys=[keyring.key("a.test")]).connect() as c:
        c.deliver(sealed)
    assert [name_of(f) for f in added(sealed, sink.one().content)] == ["received"]


def test_shadow_signs_nothing(hopseal, sink, keyring):
    with hopseal("outbound", listener={"dkim": None, "shadow": True}, keys=[keyring.key("a.test")]).connect() as c:
        c.deliver(BASE)
    assert sink.one().content == BASE


def test_sets_stand_on_sets_and_never_on_a_broken_chain(hopseal, inbound, sink, keyring):
    keys = [keyring.key("b.test"), keyring.key("c.test", "r")]
    one = inbound(keyring.answers(), {"arc_seal": "b.test"}, keys=keys)
    two = inbound(keyring.answers(), {"arc_seal": "c.test"}, keys=keys)
    with one.connect() as c:
        c.deliver(BASE)
    first = sink.wait(1)[0].content
    assert [name_of(f) for f in added(BASE, first)][:3] == ["arc-seal", "arc-message-signature", "arc-authentication-results"]
    with two.connect() as c:
        c.deliver(first)
        c.deliver(first.replace(b"hello", b"hellp"))
    second, broken = (tx.content for tx in sink.wait(3)[1:])
    assert results(second)[0]["arc"] == "pass" and "i=2;" in values(second, "ARC-Seal")[0] and "cv=pass" in values(second, "ARC-Seal")[0]
    assert values(broken, "Authentication-Results")[0].count("arc=fail") == 1 and len(values(broken, "ARC-Seal")) == 1
    assert two.event("arc_not_sealed")
    with inbound(keyring.answers()).connect() as c:
        c.deliver(second)
    assert "arc=pass (i=2)" in values(sink.wait(4)[3].content, "Authentication-Results")[0]
