"""Service outbound: how a chain goes on here, by one hop or by two, and what each says."""
import json

import pytest

from mail import BASE, NOW, added, name_of, value, values
from relay import ctl
from seal import checked, hops, seal


@pytest.fixture
def a(keyring):
    return keyring.key("a.test")


@pytest.fixture
def c(keyring):
    return keyring.key("c.test")


def verified(relay, tx, room):
    """hopsealctl's verdict on what left, with the envelope it left with."""
    path = room + "/left.eml"
    with open(path, "wb") as f:
        f.write(tx.content)
    envelope = ["--mail-from", tx.sender] + [word for rt in tx.recipients for word in ("--rcpt", rt)]
    done = ctl("verify", "--only", "dkim2", "--json", "--now", str(NOW), "--dns", relay.folder + "/dns.json", *envelope, path)
    got = json.loads(done.stdout)["dkim2"]
    assert (got["result"], got["level"]) == ("pass", "full"), got
    return got


@pytest.mark.parametrize("selectors", ["e", "er"])
def test_two_hops_join_two_domains(hopseal, sink, keyring, room, selectors):
    """Mail for c.test leaves from a.test: a hop of c.test first that says so, which needs the keys of both."""
    keys = [keyring.key(domain, selector) for domain in ("a.test", "c.test") for selector in selectors]
    relay = hopseal("outbound", keys=keys, listener={"seal": "always"})
    message = seal(BASE, keys[0])
    with relay.connect() as client:
        client.deliver(message)
    tx = sink.one()
    assert [(hop.i, hop.m, hop.d, hop.nd, hop.mf) for hop in checked(tx.content, keyring)] == [
        (1, 1, "a.test", None, "<s@a.test>"), (2, 1, "c.test", "a.test", ""), (3, 1, "a.test", None, "<s@a.test>")]
    assert sorted(name_of(f) for f in added(message, tx.content)) == ["dkim2-signature", "dkim2-signature", "received"]
    verified(relay, tx, room)
    assert relay.event("transaction", plan="bridge")["seals"] == 2


def test_nothing_joins_them_without_a_key(hopseal, sink, a, c):
    relay = hopseal("outbound", keys=[a, c], listener={"seal": "always"}, start=False)
    relay.conf["keys"][1]["use"] = "retired"
    with relay.start().connect() as client:
        client.deliver(seal(BASE, a), code=550, enhanced="5.7.1", text="no key for the domain that the message came for")
        client.deliver(BASE)
    assert relay.event("transaction", plan="no_bridge")
    assert len(sink.wait(1)) == 1


def test_a_key_below_the_recipients_domain_joins_them(hopseal, sink, a, keyring, room):
    relay = hopseal("outbound", keys=[a, keyring.key("mx.c.test")], listener={"seal": "always"})
    with relay.connect() as client:
        client.deliver(seal(BASE, a))
    tx = sink.one()
    assert [(hop.d, hop.nd) for hop in checked(tx.content, keyring)][1:] == [("mx.c.test", "a.test"), ("a.test", None)]
    verified(relay, tx, room)


def test_a_key_above_both_domains_joins_them(hopseal, sink, a, keyring, room):
    relay = hopseal("outbound", keys=[a], listener={"seal": "always"})
    with relay.connect() as client:
        client.deliver(seal(BASE, a, rt=["<r@x.a.test>"]), recipients=("<r@x.a.test>",))
    tx = sink.one()
    assert [(hop.d, hop.nd) for hop in checked(tx.content, keyring)][1:] == [("a.test", "a.test"), ("a.test", None)]
    verified(relay, tx, room)


def test_sessions_at_once_make_both_hops(hopseal, sink, keyring, a, c):
    relay = hopseal("outbound", keys=[a, c], listener={"seal": "always"})
    clients = [relay.connect() for _ in range(20)]
    for n, client in enumerate(clients):
        client.to_data("<s%d@a.test>" % n, "<r%d@c.test>" % n)
    for n, client in enumerate(clients):
        client.send(seal(BASE.replace(b"hello", b"number %d" % n), a, mf="<s%d@a.test>" % n, rt=["<r%d@c.test>" % n]) + b".\r\n")
    for client in clients:
        client.want(250)
        client.close()
    for tx in sink.wait(20):
        got = checked(tx.content, keyring)
        assert [hop.d for hop in got] == ["a.test", "c.test", "a.test"]
        assert [got[2].mf, got[2].rt] == [tx.sender, tx.recipients]


def test_keys_of_another_group_are_an_alternative(hopseal, sink, keyring, room):
    keys = [keyring.key("a.test", "r"), keyring.key("a.test", "e")]
    relay = hopseal("outbound", keys=keys, start=False)
    relay.conf["keys"][0]["group"] = 2
    with relay.start().connect() as client:
        client.deliver(BASE)
    tx = sink.one()
    checked(tx.content, keyring)
    assert [s.split(":")[0].strip() for s in value(tx.content, "DKIM2-Signature").split(" s=")[1].split("|")] == ["e", "r"]
    verified(relay, tx, room)


# ---- flags ----

def test_flags_of_the_listener(hopseal, sink, a, keyring, room):
    relay = hopseal("outbound", keys=[a], listener={"flags": ["feedhere", "feedback"]})
    with relay.connect() as client:
        client.deliver(BASE)
    tx = sink.one()
    (hop,) = checked(tx.content, keyring)
    assert hop.flags == ["feedback", "feedhere"]
    assert verified(relay, tx, room)["flags"] == ["feedback", "feedhere"]


def test_several_recipients_are_told(hopseal, sink, a, keyring):
    """One copy for two says so; so does one whose client named others, and one by itself does not."""
    relay = hopseal("outbound", keys=[a], listener={"share": "all"})
    with relay.connect() as client:
        client.deliver(BASE, recipients=("<r1@c.test>", "<r2@c.test>"))
        client.deliver(BASE)
    relay.reload(listener={"main": {"share": "none"}})
    with relay.connect() as client:
        client.mail()
        client.rcpt("<r1@c.test>")
        client.rcpt("<r2@c.test>", code=452)
        client.cmd("DATA", 354)
        client.message(BASE)
    assert [checked(tx.content, keyring)[0].flags for tx in sink.wait(3)] == [["exploded"], [""], ["exploded"]]


# ---- by arrangement ----

def test_a_hop_that_only_names_us_is_followed_by_arrangement(hopseal, sink, a, c, keyring, room):
    """A peer may leave nd= on top, which nobody can verify with an envelope; its next hop must be of that domain (spec 9.4)."""
    b = keyring.key("b.test")
    message = seal(seal(BASE, a, rt=["<r@b.test>"]), b, nd="c.test")
    relay = hopseal("outbound", keys=[c], listener={"extend_unverified_from": ["127.0.0.9"]})
    with relay.connect(source="127.0.0.9") as client:
        client.deliver(message, sender="<x@c.test>")
    with relay.connect(source="127.0.0.8") as client:
        client.deliver(message, sender="<x@c.test>")
    first, second = sink.wait(2)
    assert [(hop.d, hop.nd, hop.mf) for hop in checked(first.content, keyring)][1:] == [("b.test", "c.test", ""), ("c.test", None, "<x@c.test>")]
    verified(relay, first, room)
    assert len(hops(second.content)) == 2
    told, not_told = relay.event("dkim2_out_of_band"), relay.event("dkim2_not_signed")
    assert told["tx"] == relay.event("transaction", plan="arranged")["tx"]
    assert told["reason"] == not_told["reason"] == "DKIM2-Signature i=2 unexpected nd= tag"
    assert not_told["tx"] == relay.event("transaction", plan="chain_broken")["tx"]


@pytest.mark.parametrize("unsealed", ["pass", "refuse"])
def test_no_arrangement_vouches_for_content(hopseal, sink, a, c, unsealed):
    """What its newest instance does not say cannot be undone to it."""
    message = seal(BASE, a).replace(b"hello", b"hellp")
    relay = hopseal("outbound", keys=[a, c], listener={"unsealed": unsealed, "extend_unverified_from": ["127.0.0.0/8"]})
    with relay.connect() as client:
        if unsealed == "refuse":
            client.deliver(message, code=550, enhanced="5.7.1")
        else:
            client.deliver(message)
        client.deliver(BASE)
    if unsealed == "pass":
        first, _ = sink.wait(2)
        assert [name_of(f) for f in added(message, first.content)] == ["received"]
    assert relay.event("dkim2_not_signed")["reason"] == "Message Instance m=1 body hash sha256 mismatch"
    assert not relay.events("dkim2_out_of_band")


def test_no_arrangement_frees_ours_from_the_envelope(hopseal, sink, a, c):
    """What cannot be sealed passes where that is allowed, but with From and sender ours only bound to its envelope."""
    relay = hopseal("outbound", keys=[a, c], listener={"extend_unverified_from": ["127.0.0.0/8"]})
    with relay.connect() as client:
        client.deliver(seal(BASE, a, rt=["<r2@c.test>"]).replace(b"hello", b"hellp"), code=550, enhanced="5.7.1", text="RCPT TO")
        client.deliver(BASE)
    assert len(sink.wait(1)) == 1


def test_an_arrangement_changes_no_verdict(hopseal, sink, a, c):
    relay = hopseal("outbound", keys=[a, c], listener={"extend_unverified_from": ["127.0.0.0/8"]},
                    policy=[{"name": "broken", "when": ["dkim2 = fail"], "then": "refuse 550 5.7.1 {dkim2.reason}"}])
    with relay.connect() as client:
        client.deliver(seal(BASE, a, rt=["<r2@c.test>"]), code=550, text="RCPT TO")
        client.deliver(BASE)
    assert values(sink.one().content, "DKIM2-Signature")
