"""Real servers around hopseal, two or three at a time; test_matrix.py has each with each."""
import contextlib
import json
import os
import smtplib
import subprocess

import pytest

from certs import trust
from client import Client
from mail import BASE, NOW, added, body_of, name_of, values
from mtas import Dovecot, Exim, OpenSmtpd
from peers import HAProxy, Postfix, need
from relay import CTL, ROOT, run
from seal import checked, seal
from tap import Tap
from test_extensions import FIELD, REQUIRE, WITH_PRDR, block, dot, rcpts
from test_tls import connect, tls
from wait import DEADLINE, until


@pytest.fixture
def postfix(room, ports):
    """postfix(next_hop) starts one; master: more lines of master.cf; port: where its smtpd listens."""
    made = []

    def make(next_hop=None, extra="", master="", port=0):
        folder = os.path.join(room, "postfix%d" % len(made))
        os.mkdir(folder)
        made.append(Postfix(folder, port or ports.take(), next_hop, extra, master))
        return made[-1]
    yield make
    for p in reversed(made):
        print(p.log())
        p.stop()


@pytest.fixture
def mta(room, ports, sink, cert):
    """mta(Exim or OpenSmtpd, routes) starts one; .front, .back and .fronted are its ports."""
    made = []

    def make(kind, routes=None):
        front, back, fronted = ports.take(), ports.take(), ports.take()
        folder = os.path.join(room, "mta%d" % len(made))
        os.mkdir(folder)
        made.append(kind(folder, front, back, int(sink.address.split(":")[1]), routes or {}, cert, fronted))
        made[-1].front, made[-1].back, made[-1].fronted = front, back, fronted
        return made[-1]
    yield make
    for one in reversed(made):
        one.stop()
        print(one.log()[-20000:])


@pytest.mark.slow
def test_postfix_as_client_is_sealed(hopseal, sink, keyring, postfix):
    relay = hopseal("outbound", keys=[keyring.key("a.test"), keyring.key("a.test", "r")])
    mta = postfix(relay.address()[1])
    with Client(("127.0.0.1", mta.port)) as c:
        for n in range(5):
            c.deliver(BASE.replace(b"<1@", b"<%d@" % n), recipients=("<r%d@c.test>" % n,))
    for tx in sink.wait(5):
        (hop,) = checked(tx.content, keyring)
        assert [hop.mf, hop.rt] == [tx.sender, tx.recipients]
        assert tx.helo == "EHLO mx.c.test"


@pytest.mark.slow
def test_postfix_brings_a_second_recipient_in_a_second_transaction(hopseal, sink, keyring, postfix):
    """452 4.5.3 to RCPT: Postfix delivers the rest by itself (RFC 5321 4.5.3.1.10)."""
    relay = hopseal("outbound", keys=[keyring.key("a.test")])
    mta = postfix(relay.address()[1], "minimal_backoff_time = 1s\nqueue_run_delay = 1s\nmaximal_backoff_time = 1s\n")
    with Client(("127.0.0.1", mta.port)) as c:
        c.deliver(BASE, recipients=("<r1@c.test>", "<r2@c.test>", "<r3@c.test>"))
    got = sink.wait(3)
    assert sorted(tx.recipients for tx in got) == [["<r1@c.test>"], ["<r2@c.test>"], ["<r3@c.test>"]]
    for tx in got:
        assert checked(tx.content, keyring)[0].rt == tx.recipients


@pytest.mark.slow
def test_postfix_as_next_hop(hopseal, keyring, postfix):
    mta = postfix()
    relay = hopseal("inbound", listener={"next_hop": "127.0.0.1:%d" % mta.port})
    message = seal(BASE, keyring.key("a.test"))
    with relay.connect() as c:
        assert c.ehlo() and c.has("8BITMIME") and not c.has("VRFY") and not c.has("ETRN")
        c.deliver(message)
        c.mail()
        c.rcpt("<nobody@c.test>", code=550, enhanced="5.1.1")
    (stored,) = until("the message in its mailbox", lambda: mta.mailbox("r1"))
    assert "dkim2=pass" in values(stored, "Authentication-Results")[0]
    assert body_of(stored) == body_of(message)
    checked(stored, keyring)


@pytest.mark.slow
def test_from_postfix_to_postfix_through_both(hopseal, keyring, postfix):
    """Sealed on the way out, verified on the way in; nothing Postfix does in between breaks it."""
    key = keyring.key("a.test", "r")
    behind = postfix()
    inbound = hopseal("inbound", listener={"next_hop": "127.0.0.1:%d" % behind.port})
    outbound = hopseal("outbound", keys=[key], listener={"next_hop": "127.0.0.1:%d" % inbound.address()[1]})
    front = postfix(outbound.address()[1])
    with Client(("127.0.0.1", front.port)) as c:
        c.deliver(BASE + b".dot\r\n" + b"y" * 3000 + b"\r\n")
    (stored,) = until("the message in its mailbox", lambda: behind.mailbox("r1"))
    assert values(stored, "Authentication-Results") == ["mx.c.test; dkim2=pass (i=1 a.test pass) header.d=a.test"]
    checked(stored, keyring)


def list_posts():
    """One of our own making, and a real one where there is one."""
    own = [os.path.join(ROOT, "t", "data", "list-post.eml")]
    vectors = os.environ.get("HOPSEAL_VECTORS")
    return own + ([os.path.join(vectors, "real", "list-post.eml")] if vectors else [])


@pytest.mark.slow
@pytest.mark.parametrize("file", list_posts(), ids=["own", "real"][:len(list_posts())])
def test_postfix_brings_a_list_post_that_is_judged(hopseal, sink, ports, postfix, file):
    """By all mechanisms, with the client's own address; every octet that Postfix sent arrives."""
    relay = hopseal("inbound", listener={"verify": None, "policy": "built-in"}, answers={"ietf.org": ["v=spf1 ip4:192.0.2.1 -all"]})
    with open(file, "rb") as f:
        message = f.read()
    with contextlib.closing(Tap(ports.take(), relay.address()[1])) as tap:
        mta = postfix(tap.port, "smtp_line_length_limit = 0\n")
        with Client(("127.0.0.1", mta.port)) as c:
            c.deliver(message, sender="<dispatch-bounces@ietf.org>", recipients=("<r1@c.test>",))
        content = sink.one().content
        sent = tap.of("r1@c.test").content
    assert body_of(sent) == body_of(message)
    assert sorted(name_of(f) for f in added(sent, content)) == ["authentication-results", "received"]
    results = values(content, "Authentication-Results")[0]
    assert "; dkim2=none; dkim=" in results and "; arc=" in results and "; dmarc=none header.from=" in results
    assert "; spf=fail (-all) " in results and "smtp.mailfrom=dispatch-bounces@ietf.org" in results
    assert relay.event("dmarc_result")["spf"] == "fail"


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Exim, OpenSmtpd])
def test_from_mta_to_mta_through_both(hopseal, sink, keyring, ports, mta, kind):
    """Sealed behind one, verified in front of one; nothing they do breaks it."""
    key = keyring.key("a.test", "r")
    out = ports.take()
    server = mta(kind, {"c.test": out})
    inbound = hopseal("inbound", listener={"next_hop": "127.0.0.1:%d" % server.back})
    hopseal("outbound", keys=[key], listener={"address": ["127.0.0.1:%d" % out], "next_hop": "127.0.0.1:%d" % inbound.address()[1]})
    message = BASE + b".dot\r\n" + b"y" * 900 + b" \r\n\r\n"
    with Client(("127.0.0.1", server.front)) as c:
        c.deliver(message)
    arrived = sink.one()
    assert values(arrived.content, "Authentication-Results") == ["mx.c.test; dkim2=pass (i=1 a.test pass) header.d=a.test"]
    assert [(hop.mf, hop.rt) for hop in checked(arrived.content, keyring)] == [("<s@a.test>", ["<r1@c.test>"])]
    assert {name_of(field) for field in added(message, arrived.content)} == {
        "received", "authentication-results", "message-instance", "dkim2-signature"}


@pytest.mark.slow
def test_exim_hears_what_lmtp_says_of_each_recipient(hopseal, sinks, ports, mta):
    """It says PRDR for two recipients, and believes the answers: who has the message does not get it again."""
    box, out = sinks(lmtp=True), ports.take()
    box.script("each", None, b"550 5.7.1 not for r2\r\n")
    relay = hopseal("pass", listener={"address": ["127.0.0.1:%d" % out], "next_hop": box.address})
    server = mta(Exim, {"c.test": out})
    with Client(("127.0.0.1", server.front)) as c:
        c.deliver(BASE, recipients=("<r1@c.test>", "<r2@c.test>"))
    assert box.one().took == ["<r1@c.test>"]
    log = until("what Exim made of it", lambda: "PRDR error after" in server.log() and " => r1@c.test" in server.log() and server.log())
    (sent,) = [line for line in log.split("\n") if " => r1@c.test" in line]
    (refused,) = [line for line in log.split("\n") if " ** r2@c.test" in line]
    assert " PRDR " in sent and "taken for 1 of 2 recipients" in sent and "550 5.7.1 not for r2" in refused
    assert relay.event("transaction")["rcpts_refused"] == 1


@pytest.mark.slow
def test_exim_answers_for_each_recipient(hopseal, sink, mta):
    server = mta(Exim)
    relay = hopseal("inbound", listener={"next_hop": "127.0.0.1:%d" % server.back})
    with relay.connect() as c:
        c.mail(params=" PRDR")
        for name in ("r1", "late", "r3"):
            c.rcpt("<%s@c.test>" % name)
        c.cmd("DATA", 354)
        c.send(BASE + b".\r\n")
        for code in (353, 250, 550, 250):
            c.want(code)
        c.want(250, text="accepted for some recipients")
        c.mail(params=" PRDR")
        for name in ("late1", "late2"):
            c.rcpt("<%s@c.test>" % name)
        c.cmd("DATA", 354)
        c.send(BASE + b".\r\n")
        for code in (353, 550, 550, 550):
            c.want(code)
        c.deliver(BASE, recipients=("<r4@c.test>",), params=" PRDR")
    got = sink.wait(2)
    assert sorted(sum((tx.recipients for tx in got), [])) == ["<r1@c.test>", "<r3@c.test>", "<r4@c.test>"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Exim, OpenSmtpd])
def test_an_mta_that_wants_few_messages_a_connection(hopseal, sink, mta, kind):
    """OpenSMTPD takes 100, Exim is told 7: no client of a kept connection hears of it."""
    server = mta(kind)
    relay = hopseal("pass", listener={"next_hop": "127.0.0.1:%d" % server.back})
    with relay.connect() as c:
        for n in range(120):
            c.deliver(BASE, sender="<s%d@a.test>" % n)
    assert {tx.sender for tx in sink.wait(120)} == {"<s%d@a.test>" % n for n in range(120)}


# ---- one answer a recipient

@pytest.fixture
def dovecot(room, ports, cert):
    """dovecot(box=quota...) starts one that has these boxes; its address is that of a next hop."""
    made = []

    def make(**boxes):
        folder = os.path.join(room, "dovecot%d" % len(made))
        os.mkdir(folder)
        made.append(Dovecot(folder, ports.take(), boxes, cert))
        made[-1].address = "lmtp:127.0.0.1:%d" % made[-1].port
        return made[-1]
    yield make
    for one in made:
        one.stop()
        print(one.log())


def to(c, *people, params=" PRDR"):
    c.mail(params=params)
    for name in people:
        c.rcpt("<%s@c.test>" % name)


def taken(relay, tx=1):
    """What the line of a transaction says of its recipients."""
    event = relay.event("transaction", tx)
    return [path.strip("<>").split("@")[0] for path in event["rcpt_to"].split(",")], event.get("rcpts_refused", 0), event.get("rcpts_deferred", 0)


@pytest.mark.slow
def test_dovecot_takes_one_recipient(hopseal, dovecot):
    boxes = dovecot(r1=0, r2=0, full=10)
    relay = hopseal("inbound", listener={"next_hop": boxes.address})
    with relay.connect() as c:
        to(c, "r1", params="")
        c.rcpt("<r2@c.test>", code=452, enhanced="4.5.3")
        dot(c)
        c.want(250, "2.0.0", "<r1@c.test>")
        c.mail()
        c.rcpt("<nobody@c.test>", code=550, enhanced="5.1.1")
        c.rcpt("<r2@c.test>")
        dot(c)
        c.want(250, "2.0.0", "<r2@c.test>")
        c.deliver(BASE, recipients=("<full@c.test>",), code=552, enhanced="5.2.2", text="Quota exceeded")
        c.deliver(BASE)
    assert [body_of(message) for message in boxes.mailbox("r1") + boxes.mailbox("r2")] == [body_of(BASE)] * 3
    assert not boxes.mailbox("full")
    assert [relay.event("transaction", n)["outcome"] for n in (1, 2, 3, 4)] == ["accepted", "accepted", "refused", "accepted"]


@pytest.mark.slow
def test_dovecot_answers_each(hopseal, dovecot):
    boxes = dovecot(r1=0, full=10, r2=0)
    relay = hopseal("inbound", listener={"next_hop": boxes.address})
    with relay.connect() as c:
        to(c, "r1", "full", "r2")
        c.rcpt("<nobody@c.test>", code=550, enhanced="5.1.1")
        dot(c)
        got = block(c, 250, 552, 250)
        assert [r.enhanced for r in got] == ["2.0.0", "5.2.2", "2.0.0", "2.0.0"] and "<r2@c.test>" in got[2].text
        to(c, "full", "r1", "r1")               # as often as it was said
        dot(c)
        block(c, 552, 250, 250)
        to(c, "full")
        dot(c)
        c.want(552, "5.2.2")
        c.cmd("QUIT", 221)
    assert taken(relay) == (["r1", "r2"], 1, 0) and taken(relay, 2) == (["r1", "r1"], 1, 0)
    assert [e["rcpt_to"] for e in relay.events("rcpt_refused")] == ["<full@c.test>"] * 2
    assert [len(boxes.mailbox(name)) for name in ("r1", "full", "r2")] == [2, 0, 1]     # Dovecot keeps one of two that are the same


@pytest.mark.slow
@pytest.mark.parametrize("how", ["none", "verify"])
def test_dovecot_takes_large_mail_in_chunks(hopseal, dovecot, authority, how):
    boxes = dovecot(r1=0, r2=0)
    message = BASE + (b"0123456789 " * 80 + b"\r\n.dot\r\n") * 9000
    relay = hopseal("pass", listener={"next_hop": boxes.address, "next_hop_tls": {
        "mode": how, **({"ca": authority.root, "name": "mx.c.test"} if how == "verify" else {})}})
    with relay.connect() as c:
        to(c, "r1", "r2")
        for at in range(0, len(message), 3 << 20):
            part = message[at:at + (3 << 20)]
            last = at + len(part) == len(message)
            c.send(b"BDAT %d%s\r\n" % (len(part), b" LAST" if last else b"") + part)
            if not last:
                c.want(250)
        block(c, 250, 250)
    for name in ("r1", "r2"):
        (stored,) = boxes.mailbox(name)
        assert stored.endswith(message)
    assert ("next_hop_tls" in relay.event("transaction")) == (how == "verify")


@pytest.mark.slow
def test_dovecot_hears_who_the_client_is(hopseal, dovecot):
    """It wants LHLO again behind XCLIENT."""
    boxes = dovecot(r1=0, r2=0)
    relay = hopseal("pass", listener={"next_hop": boxes.address, "next_hop_client": "xclient"})
    for source, name in (("127.0.0.5", "r1"), ("127.0.0.6", "r2")):
        with relay.connect(source=source) as c:
            c.deliver(BASE, recipients=("<%s@c.test>" % name,))
        (stored,) = boxes.mailbox(name)
        assert "[%s]" % source in values(stored, "Received")[0]
    assert not relay.events("next_hop_lacks")


@pytest.mark.slow
def test_a_seal_reaches_the_box(hopseal, dovecot, keyring):
    boxes = dovecot(r1=0)
    relay = hopseal("outbound", keys=[keyring.key("a.test")], listener={"next_hop": boxes.address})
    with relay.connect() as c:
        c.ehlo()
        assert not c.has("PRDR")
        c.deliver(BASE)
    (stored,) = boxes.mailbox("r1")
    (hop,) = checked(stored, keyring)
    assert hop.rt == ["<r1@c.test>"]


@pytest.mark.slow
def test_postfix_brings_each_recipient_to_its_box(hopseal, dovecot, postfix, sink):
    """It does not know PRDR: 452 4.5.3, and a transaction for each; who is refused is told of by itself."""
    boxes = dovecot(r1=0, full=10, r2=0)
    relay = hopseal("pass", listener={"next_hop": boxes.address})
    mta = postfix(relay.address()[1], "minimal_backoff_time = 1s\nqueue_run_delay = 1s\nmaximal_backoff_time = 1s\n")
    with Client(("127.0.0.1", mta.port)) as c:
        to(c, "r1", "full", "r2", params="")
        dot(c)
        c.want(250)
    until("the mail in the boxes", lambda: boxes.mailbox("r1") and boxes.mailbox("r2"))
    relay.event("transaction", outcome="refused", rcpt_to="<full@c.test>")
    for name in ("r1", "r2"):
        relay.event("transaction", outcome="accepted", rcpt_to="<%s@c.test>" % name)
        assert len(boxes.mailbox(name)) == 1


@pytest.mark.slow
def test_exim_puts_one_recipient_off(hopseal, sink, mta):
    server = mta(Exim)
    relay = hopseal("inbound", listener={"next_hop": "127.0.0.1:%d" % server.back})
    with relay.connect() as c:
        to(c, "r1", "slow", "late", "r2")
        c.send(b"BDAT %d LAST\r\n" % len(BASE) + BASE)
        assert "slow is not done" in block(c, 250, 450, 550, 250)[1].text
        to(c, "r3")                             # Exim has one answer for one
        dot(c)
        c.want(250)
        to(c, "r4", "late", params="")          # and for those who did not ask
        dot(c)
        c.want(250)
    assert taken(relay) == (["r1", "r2"], 1, 1)
    assert sorted(len(tx.recipients) for tx in sink.wait(3)) == [1, 2, 2]


@pytest.mark.slow
def test_exim_hears_what_each_box_says(hopseal, sink, dovecot, mta):
    """One transaction through hopseal, and a bounce for whose box is full."""
    boxes = dovecot(r1=0, full=10, r2=0)
    relay = hopseal("pass", listener={"next_hop": boxes.address})
    server = mta(Exim, {"c.test": relay.address()[1]})
    with Client(("127.0.0.1", server.front)) as c:
        to(c, "r1", "full", "r2", params="")
        dot(c)
        c.want(250)
    bounce = sink.one()
    assert bounce.sender == "<>" and bounce.recipients == ["<s@a.test>"]
    assert b"full@c.test" in bounce.content and b"552 5.2.2" in bounce.content and b"r2@c.test" not in bounce.content
    assert taken(relay) == (["r1", "r2"], 1, 0)
    assert [len(boxes.mailbox(name)) for name in ("r1", "full", "r2")] == [1, 0, 1]


@pytest.mark.slow
def test_exim_sends_again_to_who_was_put_off(hopseal, sinks, mta):
    hop = sinks(extensions=WITH_PRDR)
    hop.script("each", None, b"450 4.2.0 later\r\n")
    relay = hopseal("pass", listener={"next_hop": hop.address})
    server = mta(Exim, {"c.test": relay.address()[1]})
    with Client(("127.0.0.1", server.front)) as c:
        to(c, "r1", "r2", params="")
        dot(c)
        c.want(250)
    relay.event("rcpt_refused")
    assert hop.wait(1)[0].took == ["<r1@c.test>"]
    until("its word that it will come again", lambda: "<= s@a.test" in server.log() and "== r2@c.test" in server.log())
    assert "=> r1@c.test" in server.log()


# ---- REQUIRETLS for a server that does not know it

@pytest.mark.slow
def test_postfix_behind_reads_of_requiretls_in_the_message(hopseal, postfix, authority, cert, keyring):
    """The field is there for it (3.11 and later) and for what it gives the mail to; the seal covers it."""
    mta = postfix()
    relay = hopseal("outbound", keys=[keyring.key("a.test")],
                    listener=dict(tls(cert), next_hop="127.0.0.1:%d" % mta.port, requiretls="header"))
    with connect(relay, trust(authority)) as c:
        c.ehlo()
        assert c.has("REQUIRETLS")
        c.deliver(BASE, params=REQUIRE)
    (stored,) = until("the message in its mailbox", lambda: mta.mailbox("r1"))
    assert values(stored, "Require-TLS-ESMTP") == ["yes"]
    checked(stored, keyring)
    with pytest.raises(AssertionError):
        checked(stored.replace(FIELD, b""), keyring)


@pytest.mark.slow
def test_postfix_keeps_what_two_hops_of_ours_say(hopseal, postfix, authority, cert, keyring, room):
    """A sealed message gets the field, an instance whose recipe takes it away, a hop of the domain it came for and one of its sender's."""
    mta, keys = postfix(), [keyring.key("a.test"), keyring.key("c.test")]
    relay = hopseal("outbound", keys=keys, listener=dict(tls(cert), next_hop="127.0.0.1:%d" % mta.port, requiretls="header"))
    with connect(relay, trust(authority)) as c:
        c.deliver(seal(BASE + b".dot\r\n", keys[0]), params=REQUIRE)
    (stored,) = until("the message in its mailbox", lambda: mta.mailbox("r1"))
    assert [(hop.d, hop.nd, hop.m) for hop in checked(stored, keyring)] == [("a.test", None, 1), ("c.test", "a.test", 2), ("a.test", None, 2)]
    path = room + "/stored.eml"
    with open(path, "wb") as f:
        f.write(stored)
    done = run([CTL, "verify", "--only", "dkim2", "--json", "--mail-from", "<s@a.test>", "--rcpt", "<r1@c.test>", "--now", str(NOW), "--dns",
                relay.folder + "/dns.json", path])
    got = json.loads(done.stdout)["dkim2"]
    assert (got["result"], got["level"], got["m"]) == ("pass", "full", 2), got


# ---- the client's address, through them all

@pytest.fixture
def haproxy(room, ports):
    made = []

    def make(relay, options, bind=""):
        folder = os.path.join(room, "haproxy%d" % len(made))
        os.mkdir(folder)
        made.append(HAProxy(folder, ports.take(), relay.address()[1], options, bind))
        return made[-1]
    yield make
    for one in made:
        one.stop()
        print(one.log())


@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2"])
@pytest.mark.parametrize("how", ["none", "may", "implicit"])
def test_haproxy_in_front(hopseal, sink, haproxy, authority, option, how):
    """The header stands before the first octet of TLS; the balancer's own questions are no client's."""
    cert = authority.server(["IP:127.0.0.1"])
    relay = hopseal("inbound", listener={"proxy_from": ["127.0.0.1"], "tls": {"mode": how, "certificate": cert.file, "key": cert.key}})
    balancer = haproxy(relay, option + (" check-ssl verify none" if how == "implicit" else ""))
    kind, more = (smtplib.SMTP_SSL, {"context": trust(authority)}) if how == "implicit" else (smtplib.SMTP, {})
    with kind("127.0.0.1", balancer.port, "t.a.test", timeout=DEADLINE, source_address=("127.0.0.9", 0), **more) as c:
        if how == "may":
            c.starttls(context=trust(authority))
        c.sendmail("s@a.test", ["r1@c.test"], BASE)
    assert "from t.a.test ([127.0.0.9])" in values(sink.one().content, "Received")[0]
    got = relay.event("transaction", client="127.0.0.9", peer="127.0.0.1")
    assert ("tls" in got) == (how != "none")
    until("a health check", lambda: "Layer7 check passed" in balancer.log())
    assert not relay.events("proxy_header_bad")


def test_haproxy_that_ends_tls(hopseal, sink, haproxy, room, authority):
    """What it tells of the TLS session in its header is passed over."""
    cert, both = authority.server(["IP:127.0.0.1"]), os.path.join(room, "both.pem")
    with open(both, "w", encoding="ascii") as f:
        for path in (cert.file, cert.key):
            with open(path, encoding="ascii") as part:
                f.write(part.read())
    relay = hopseal("inbound", listener={"proxy_from": ["127.0.0.1"]})
    balancer = haproxy(relay, "send-proxy-v2-ssl-cn proxy-v2-options crc32c,unique-id", "ssl crt " + both)
    with smtplib.SMTP_SSL("127.0.0.1", balancer.port, "t.a.test", timeout=DEADLINE, source_address=("127.0.0.9", 0),
                          context=trust(authority)) as c:
        c.sendmail("s@a.test", ["r1@c.test"], BASE)
    assert "[127.0.0.9]" in values(sink.one().content, "Received")[0]
    assert "tls" not in relay.event("transaction", client="127.0.0.9", peer="127.0.0.1")


@pytest.mark.slow
@pytest.mark.parametrize("options", ["", "speed_adjust"])
def test_postfix_asks_us_before_it_queues(hopseal, ports, postfix, keyring, options):
    """smtpd_proxy_filter: its smtpd in front, we, its smtpd behind; the client hears us, and both of them know the client."""
    front, filtered = ports.take(), ports.take()
    good = seal(BASE, keyring.key("a.test"))
    mta = postfix(extra="smtpd_authorized_xforward_hosts = 127.0.0.1\n",
                  master="127.0.0.1:%d inet n - n - - smtpd -o smtpd_proxy_filter=127.0.0.1:%d -o smtpd_proxy_options=%s\n" % (
                      front, filtered, options))
    relay = hopseal("inbound", policy=[{"name": "broken", "when": ["dkim2 = fail"], "then": "refuse 550 5.7.1 {dkim2.reason}"}],
                    listener={"address": ["127.0.0.1:%d" % filtered], "next_hop": "127.0.0.1:%d" % mta.port, "next_hop_client": "xforward",
                              "xclient_from": ["127.0.0.1"]})
    with Client(("127.0.0.1", front), "127.0.0.9") as c:
        c.deliver(good)
        c.deliver(good.replace(b"hello", b"hullo"), code=550, enhanced="5.7.1", text="body hash sha256 mismatch")
    (stored,) = until("the message in its mailbox", lambda: mta.mailbox("r1"))
    assert values(stored, "Authentication-Results")[0].startswith("mx.c.test; dkim2=pass")
    assert body_of(stored) == body_of(good)
    checked(stored, keyring)
    relay.event("transaction", forwarded="127.0.0.9", client="127.0.0.1", outcome="accepted")
    assert "orig_client=unknown[127.0.0.9]" in mta.log()


@pytest.mark.slow
def test_postscreen_behind_sees_the_client(hopseal, ports, postfix):
    port = ports.take()
    mta = postfix(extra="postscreen_upstream_proxy_protocol = haproxy\npostscreen_cache_map =\n"
                        "postscreen_pre_queue_limit = 100\npostscreen_post_queue_limit = 100\n",
                  master="127.0.0.1:%d inet n - n - 1 postscreen\nsmtpd pass - - n - - smtpd\n"
                         "dnsblog unix - - n - 0 dnsblog\ntlsproxy unix - - n - 0 tlsproxy\n" % port)
    relay = hopseal("inbound", listener={"next_hop": "127.0.0.1:%d" % port, "next_hop_client": "proxy"})
    with relay.connect(source="127.0.0.5") as c:
        c.deliver(BASE)
    (stored,) = until("the message in its mailbox", lambda: mta.mailbox("r1"))
    assert "[127.0.0.5])" in values(stored, "Received")[0]
    assert "postscreen" in mta.log() and "CONNECT from [127.0.0.5]" in mta.log()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Exim, OpenSmtpd])
def test_proxy_header_for_an_mta(hopseal, sink, mta, kind):
    server = mta(kind)
    relay = hopseal("inbound", listener={"next_hop": "127.0.0.1:%d" % server.fronted, "next_hop_client": "proxy"})
    for source in ("127.0.0.5", "127.0.0.6"):
        with relay.connect(source=source) as c:
            c.deliver(BASE, sender="<s%s@a.test>" % source[-1])
    for tx in sink.wait(2):
        assert "127.0.0.%s]" % tx.sender[2] in values(tx.content, "Received")[0]


# ---- what people send by hand

def swaks(relay, *args):
    need("swaks")
    return run(["swaks", "--server", "127.0.0.1", "--port", str(relay.address()[1]), "--from", "s@a.test", "--to", "r1@c.test",
                "--data", BASE.decode().replace("\r\n", "\\n")] + list(args))


def test_swaks_sends(hopseal, sink, keyring):
    relay = hopseal("outbound", keys=[keyring.key("a.test")])
    done = swaks(relay)
    assert done.returncode == 0, done
    checked(sink.one().content, keyring)


@pytest.mark.parametrize("args", [("--pipeline",), ("--protocol", "SMTP"), ("--ehlo", "[127.0.0.1]")])
def test_swaks_in_its_moods(hopseal, sink, keyring, args):
    relay = hopseal("outbound", keys=[keyring.key("a.test")])
    done = swaks(relay, *args)
    assert done.returncode == 0, done
    checked(sink.one().content, keyring)


@pytest.mark.slow
def test_postfix_smtp_source_in_parallel(hopseal, sink):
    need("smtp-source")
    relay = hopseal("inbound")
    done = subprocess.run(["/usr/sbin/smtp-source", "-s", "10", "-m", "200", "-l", "8000", "-f", "s@a.test", "-t", "r1@c.test",
                           "127.0.0.1:%d" % relay.address()[1]], timeout=4 * DEADLINE, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    assert len(sink.wait(200)) == 200
