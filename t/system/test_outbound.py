"""Service outbound: no copy leaves unless its newest seal names its envelope."""
import time

import pytest

from mail import BASE, NOW, added, name_of, tag, unfolded, value, values
from relay import ctl
from seal import checked, seal
from sink import DROP


@pytest.fixture
def key(keyring):
    return keyring.key("a.test")


def test_a_message_of_ours_is_sealed(hopseal, sink, key, keyring):
    with hopseal("outbound", keys=[key]).connect() as c:
        c.deliver(BASE)
    tx = sink.one()
    assert sorted(name_of(f) for f in added(BASE, tx.content)) == ["dkim2-signature", "message-instance", "received"]
    (hop,) = checked(tx.content, keyring)
    assert (hop.i, hop.m, hop.t, hop.d, hop.mf, hop.rt) == (1, 1, NOW, "a.test", tx.sender, tx.recipients)
    assert [one[:2] for one in hop.sets] == [["e", "ed25519-sha256"]]


@pytest.mark.parametrize("selectors", ["e", "r", "er"])
def test_every_kind_of_key_seals(hopseal, sink, keyring, selectors, room):
    keys = [keyring.key("a.test", selector) for selector in selectors]
    relay = hopseal("outbound", keys=keys)
    with relay.connect() as c:
        c.deliver(BASE)
    content = sink.one().content
    (hop,) = checked(content, keyring)
    assert sorted(one[0] for one in hop.sets) == sorted(selectors)
    path = room + "/sealed.eml"
    with open(path, "wb") as f:
        f.write(content)
    done = ctl("verify", "--only", "dkim2", "--mail-from", "<s@a.test>", "--rcpt", "<r1@c.test>", "--now", str(NOW), "--dns",
               relay.folder + "/dns.json", path)
    assert done.returncode == 0, done


def test_a_retired_key_does_not_seal(hopseal, sink, keyring):
    old, new = keyring.key("a.test", "r"), keyring.key("a.test", "e")
    relay = hopseal("outbound", keys=[old, new], start=False)
    relay.conf["keys"][0]["use"] = "retired"
    with relay.start().connect() as c:
        c.deliver(BASE)
    (hop,) = checked(sink.one().content, keyring)
    assert [one[0] for one in hop.sets] == ["e"]


def test_a_key_of_the_parent_domain_seals(hopseal, sink, key, keyring):
    message = BASE.replace(b"s@a.test", b"s@sub.a.test")
    with hopseal("outbound", keys=[key]).connect() as c:
        c.deliver(message, sender="<s@sub.a.test>")
    (hop,) = checked(sink.one().content, keyring)
    assert hop.d == "a.test"


def test_a_bounce_of_ours_is_sealed(hopseal, sink, key, keyring):
    with hopseal("outbound", keys=[key]).connect() as c:
        c.deliver(BASE, sender="<>")
    (hop,) = checked(sink.one().content, keyring)
    assert hop.mf == "<>" and hop.d == "a.test"


def test_a_foreign_author_is_left_alone(hopseal, sink, key):
    message = BASE.replace(b"From: s@a.test", b"From: x@b.test")
    with hopseal("outbound", keys=[key]).connect() as c:
        c.deliver(message, sender="<x@b.test>")
        c.deliver(message)
    for tx in sink.wait(2):
        assert [name_of(f) for f in added(message, tx.content)] == ["received"]


def test_ours_from_a_foreign_sender_gets_no_seal(hopseal, sink, key):
    with hopseal("outbound", keys=[key]).connect() as c:
        c.deliver(BASE, sender="<x@b.test>")
    assert values(sink.one().content, "DKIM2-Signature") == []


def test_unsealed_refuse_says_why(hopseal, sink, key):
    """Our author from a sender whose domain no key of ours fits."""
    with hopseal("outbound", keys=[key], listener={"unsealed": "refuse"}).connect() as c:
        got = c.deliver(BASE, sender="<x@b.test>", code=550, enhanced="5.7.1")
        assert len(got.text) > len("5.7.1 no"), got
        c.deliver(BASE)
    assert len(sink.wait(1)) == 1


@pytest.mark.parametrize("header", [
    b"Subject: no From at all\r\n", b"From: s@a.test\r\nFrom: s@a.test\r\n", b"From: s@a.test\r\nfrom: x@b.test\r\n",
    b"From: s@a.test <\r\n", b"From: \r\n", b"From: undisclosed:;\r\n", b"From: <s@a.test>(x), \"\r\n"])
def test_an_author_that_cannot_be_read(hopseal, sink, key, header):
    """Nobody leaves unsealed because we and the reader read From differently."""
    relay = hopseal("outbound", keys=[key])
    with relay.connect() as c:
        c.deliver(header + b"\r\nhello\r\n", code=550, enhanced="5.6.0", text="From")
        c.deliver(BASE.replace(b"From: s@a.test", b"From: s@a.test, Other <t@a.test>"))
    assert relay.event("msg_from_ambiguous")["tx"] == relay.event("transaction", plan="no_author")["tx"]
    assert len(sink.wait(1)) == 1
    relay.reload(listener={"main": {"from": "any"}})
    with relay.connect() as c:
        c.deliver(header + b"\r\nhello\r\n")


def test_shadow_tells_of_an_author_that_cannot_be_read(hopseal, sink, key):
    relay = hopseal("outbound", keys=[key], listener={"shadow": True})
    with relay.connect() as c:
        c.deliver(b"Subject: no From\r\n\r\nhello\r\n")
    assert relay.event("transaction")["plan"] == "no_author" and len(sink.wait(1)) == 1


def test_an_unchanged_envelope_adds_no_hop(hopseal, sink, key, keyring):
    message = seal(BASE, key)
    with hopseal("outbound", keys=[key]).connect() as c:
        c.deliver(message)
    content = sink.one().content
    assert [name_of(f) for f in added(message, content)] == ["received"]
    assert len(checked(content, keyring)) == 1


def test_seal_always_adds_a_hop(hopseal, sink, keyring):
    message = seal(BASE, keyring.key("a.test"), rt=["<s@a.test>"])
    with hopseal("outbound", keys=[keyring.key("a.test")], listener={"seal": "always"}).connect() as c:
        c.deliver(message, recipients=("<s@a.test>",))
    got = checked(sink.one().content, keyring)
    assert [(hop.i, hop.m, hop.d) for hop in got] == [(1, 1, "a.test"), (2, 1, "a.test")]


def test_a_broken_chain_is_not_extended(hopseal, sink, key):
    message = seal(BASE, key).replace(b"hello", b"hellp")
    with hopseal("outbound", keys=[key], listener={"seal": "always"}).connect() as c:
        c.deliver(message)
    content = sink.one().content
    assert len(values(content, "DKIM2-Signature")) == 1


def test_a_broken_chain_is_refused_when_so_configured(hopseal, sink, key):
    message = seal(BASE, key).replace(b"hello", b"hellp")
    with hopseal("outbound", keys=[key], listener={"unsealed": "refuse"}).connect() as c:
        c.deliver(message, code=550, enhanced="5.7.1", text="body hash")
    assert sink.transactions() == []


def test_a_broken_chain_frees_nobody_from_his_envelope(hopseal, sink, key):
    """With From and sender ours nothing leaves but bound, though any line can look like a seal and break a chain."""
    junk = b"DKIM2-Signature: x\r\n"
    with hopseal("outbound", keys=[key]).connect() as c:
        c.deliver(junk + BASE, code=550, enhanced="5.7.1")
        c.deliver(seal(BASE, key, rt=["<r2@c.test>"]), code=550, enhanced="5.7.1", text="RCPT TO")
        c.deliver(junk + BASE.replace(b"From: s@a.test", b"From: s@a.test\r\nFrom: s@b.test"), code=550, enhanced="5.6.0")
        assert sink.transactions() == []
        c.deliver(junk + BASE.replace(b"From: s@a.test", b"From: s@b.test"))
        c.deliver(junk + BASE, sender="<x@b.test>")
    assert len(sink.wait(2)) == 2


def test_one_recipient_a_transaction(hopseal, sink, key):
    with hopseal("outbound", keys=[key]).connect() as c:
        c.mail()
        c.rcpt("<r1@c.test>")
        c.rcpt("<r2@c.test>", code=452, enhanced="4.5.3")
        c.rcpt("<r3@b.test>", code=452, enhanced="4.5.3")
        c.cmd("DATA", 354)
        c.message(BASE)
        c.deliver(BASE, recipients=("<r2@c.test>",))
    assert [tx.recipients for tx in sink.wait(2)] == [["<r1@c.test>"], ["<r2@c.test>"]]


def test_a_refused_recipient_leaves_room_for_the_next(hopseal, sink, key):
    sink.script("rcpt", b"550 5.1.1 unknown\r\n")
    with hopseal("outbound", keys=[key]).connect() as c:
        c.mail()
        c.rcpt("<r1@c.test>", code=550)
        c.rcpt("<r2@c.test>")
        c.cmd("DATA", 354)
        c.message(BASE)
    assert sink.one().recipients == ["<r2@c.test>"]


def test_share_all_seals_one_copy_for_all(hopseal, sink, key, keyring):
    everybody = ("<r1@c.test>", "<r2@c.test>", "<r3@b.test>")
    with hopseal("outbound", keys=[key], listener={"share": "all"}).connect() as c:
        c.deliver(BASE, recipients=everybody)
    tx = sink.one()
    (hop,) = checked(tx.content, keyring)
    assert tuple(hop.rt) == everybody == tuple(tx.recipients)


def test_share_all_leaves_out_whom_the_next_hop_refused(hopseal, sink, key, keyring):
    sink.script("rcpt", b"250 2.1.5 ok\r\n", b"550 5.1.1 unknown\r\n")
    with hopseal("outbound", keys=[key], listener={"share": "all"}).connect() as c:
        c.mail()
        c.rcpt("<r1@c.test>")
        c.rcpt("<secret@c.test>", code=550)
        c.cmd("DATA", 354)
        c.message(BASE)
    (hop,) = checked(sink.one().content, keyring)
    assert hop.rt == ["<r1@c.test>"]


def test_bcc_is_removed_when_we_originate(hopseal, sink, key, keyring):
    with hopseal("outbound", keys=[key]).connect() as c:
        c.deliver(b"Bcc: secret@c.test,\r\n other@c.test\r\nbcc:\r\n" + BASE)
    content = sink.one().content
    added(BASE, content)
    assert values(content, "Bcc") == []
    checked(content, keyring)


def test_bcc_of_a_chain_stays(hopseal, sink, key, keyring):
    message = seal(b"Bcc: r1@c.test\r\n" + BASE, key)
    with hopseal("outbound", keys=[key]).connect() as c:
        c.deliver(message)
    content = sink.one().content
    added(message, content)
    checked(content, keyring)


def test_only_clients_may_send(hopseal, sink, key):
    relay = hopseal("outbound", keys=[key], listener={"clients": ["127.0.0.8/29"]})
    with relay.connect(source="127.0.0.9") as c:
        c.deliver(BASE)
    with relay.connect(source="127.0.0.7") as c:
        c.ehlo()
        c.send(b"MAIL FROM:<s@a.test>\r\nRCPT TO:<r1@c.test>\r\n")
        got = [c.reply(), c.reply()]
        assert (550, "5.7.1") in [(one.code, one.enhanced) for one in got], got
    assert len(sink.wait(1)) == 1


def test_a_long_seal_is_folded(hopseal, sink, keyring):
    rts = tuple("<%s%d@c.test>" % ("r" * 50, n) for n in range(100))
    with hopseal("outbound", keys=[keyring.key("a.test", "r")], listener={"share": "all"}).connect() as c:
        c.deliver(BASE, recipients=rts)
    content = sink.one().content
    for field in added(BASE, content):
        assert all(len(line) <= 998 for line in field.split(b"\r\n"))
    (hop,) = checked(content, keyring)
    assert tuple(hop.rt) == rts


def test_new_fields_stand_on_top(hopseal, sink, key):
    with hopseal("outbound", keys=[key]).connect() as c:
        c.deliver(BASE)
    got = added(BASE, sink.one().content)
    assert len(got) == 3
    assert tag(unfolded([f for f in got if name_of(f) == "dkim2-signature"][0]), "i") == "1"


def test_a_seal_survives_the_next_hops_refusal(hopseal, sink, key, keyring):
    """Sealed anew for each attempt of the client."""
    sink.script("dot", b"451 4.3.0 later\r\n")
    with hopseal("outbound", keys=[key]).connect() as c:
        c.deliver(BASE, code=451, enhanced="4.3.0")
        c.deliver(BASE)
    checked(sink.one().content, keyring)


def test_a_replayed_connection_carries_the_same_seal(hopseal, sink, key, keyring):
    sink.script("data", DROP)
    with hopseal("outbound", keys=[key]).connect() as c:
        c.deliver(BASE)
    checked(sink.one().content, keyring)


def test_shadow_seals_nothing(hopseal, sink, key):
    relay = hopseal("outbound", keys=[key], listener={"shadow": True})
    with relay.connect() as c:
        c.deliver(BASE)
    content = sink.one().content
    assert values(content, "DKIM2-Signature") == [] and values(content, "Message-Instance") == []


@pytest.mark.parametrize("selectors", ["e", "r", "er"])
def test_sessions_at_once_keep_their_own_seals(hopseal, sink, keyring, selectors):
    """Signatures that are under way together come back to the transaction that asked."""
    relay = hopseal("outbound", keys=[keyring.key("a.test", selector) for selector in selectors])
    clients = [relay.connect() for _ in range(20)]
    for n, c in enumerate(clients):
        c.to_data("<s%d@a.test>" % n, "<r%d@c.test>" % n)
    for n, c in enumerate(clients):
        c.send(BASE.replace(b"hello", b"number %d" % n) + b".\r\n")
    for c in clients:
        c.want(250)
        c.close()
    got = sink.wait(20)
    for tx in got:
        (hop,) = checked(tx.content, keyring)
        assert [hop.mf, hop.rt] == [tx.sender, tx.recipients]
    assert len({tx.sender for tx in got}) == 20


def test_two_domains_each_with_its_key(hopseal, sink, keyring):
    keys = [keyring.key("a.test"), keyring.key("b.test")]
    with hopseal("outbound", keys=keys).connect() as c:
        c.deliver(BASE)
        c.deliver(BASE.replace(b"s@a.test", b"s@b.test"), sender="<s@b.test>")
    assert [checked(tx.content, keyring)[0].d for tx in sink.wait(2)] == ["a.test", "b.test"]


def test_the_real_clock_dates_a_seal(hopseal, sink, key, keyring):
    before = int(time.time())
    with hopseal("outbound", keys=[key], clock=None).connect() as c:
        c.deliver(BASE)
    (hop,) = checked(sink.one().content, keyring)
    assert before <= hop.t <= int(time.time())


def test_received_names_the_transaction(hopseal, sink, key):
    with hopseal("outbound", keys=[key]).connect() as c:
        c.deliver(BASE)
    assert " with ESMTP id " in value(sink.one().content, "Received")
