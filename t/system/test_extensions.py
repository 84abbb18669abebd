"""One answer a recipient (LMTP, PRDR), REQUIRETLS, and what else must reach the next hop as the client said it."""
import base64
import json
import os
import socket
import threading

import pytest

from certs import Authority, served, trust
from mail import BASE, NOW, added, body_of, head_of, name_of, tag, values
from relay import ctl
from seal import checked, seal
from sink import ALL_EXTENSIONS, CLOSE, DROP, Hold
from test_tls import connect, tls

WITH_PRDR = ALL_EXTENSIONS + ("PRDR",)


def rcpts(c, n, params=" PRDR"):
    c.mail(params=params)
    for i in range(n):
        c.rcpt("<r%d@c.test>" % (i + 1))


def dot(c, message=BASE):
    c.cmd("DATA", 354)
    c.send(message + b".\r\n")


def block(c, *codes, last=250):
    """353, an answer of each code, and the last word; all of them but the 353."""
    assert c.want(353).lines == [b"353 answers for each recipient follow"]
    got = [c.reply() for _ in codes]
    assert [r.code for r in got] == list(codes), got
    return got + [c.want(last)]


def names(n):
    return ["<r%d@c.test>" % (i + 1) for i in range(n)]


# ---- LMTP ----

def test_lmtp_takes_one_recipient(hopseal, sinks):
    box = sinks(lmtp=True)
    relay = hopseal("pass", listener={"next_hop": box.address})
    with relay.connect() as c:
        c.mail()
        c.rcpt("<r1@c.test>")
        c.rcpt("<r2@c.test>", 452, "4.5.3")
        c.rcpt("<r3@c.test>", 452, "4.5.3")
        dot(c)
        c.want(250, "2.1.5", "<r1@c.test> has it")
        c.mail()
        c.rcpt("<r2@c.test>")
        dot(c)
        c.want(250, "2.1.5", "<r2@c.test> has it")
    first, second = box.wait(2)
    assert first.helo.startswith("LHLO ") and first.session == second.session
    assert (first.recipients, second.recipients) == (["<r1@c.test>"], ["<r2@c.test>"])
    assert first.content == BASE
    assert relay.event("transaction", 2)["next_hop"] == box.address


def test_a_recipient_that_lmtp_refused_leaves_room_for_another(hopseal, sinks):
    box = sinks(lmtp=True)
    box.script("rcpt", b"550 5.1.1 nobody\r\n")
    with hopseal("pass", listener={"next_hop": box.address}).connect() as c:
        c.mail()
        c.rcpt("<r1@c.test>", 550, "5.1.1")
        c.rcpt("<r2@c.test>")
        c.rcpt("<r3@c.test>", 452, "4.5.3")
        dot(c)
        c.want(250)
    assert box.one().recipients == ["<r2@c.test>"]


@pytest.mark.parametrize("said, code", [(b"552 5.2.2 full\r\n", 552), (b"451-4.2.0 not\r\n451 4.2.0 now\r\n", 451)])
def test_what_lmtp_says_of_one_recipient_is_the_answer(hopseal, sinks, said, code):
    box = sinks(lmtp=True)
    box.script("each", said)
    with hopseal("pass", listener={"next_hop": box.address}).connect() as c:
        got = c.deliver(BASE, code=code)
        assert b"".join(line + b"\r\n" for line in got.lines) == said
        c.deliver(BASE)
    assert len(box.wait(1)) == 1


def test_lmtp_without_lhlo_is_down(hopseal, sinks):
    box = sinks(lmtp=True)
    box.always("ehlo", b"500 5.5.1 what?\r\n")
    with hopseal("pass", listener={"next_hop": box.address}).connect() as c:
        c.mail(code=451, enhanced="4.4.1")
    assert not [line for _, line in box.commands.snapshot() if line.startswith("HELO")]


def test_lmtp_through_bdat_and_tls(hopseal, sinks, authority, cert):
    box = sinks(lmtp=True, tls=served(cert))
    relay = hopseal("pass", listener=dict(tls(cert), next_hop=box.address, next_hop_tls={"mode": "require"}))
    with connect(relay, trust(authority)) as c:
        rcpts(c, 2)
        c.send(b"BDAT %d LAST\r\n" % len(BASE) + BASE)
        block(c, 250, 250)
    assert box.one().content == BASE


# ---- PRDR made of LMTP's answers ----

def test_prdr_is_made_from_the_answers_of_lmtp(hopseal, sinks):
    box = sinks(lmtp=True)
    box.script("each", None, b"550-5.7.1 not\r\n550 5.7.1 wanted\r\n", b"452 4.2.2 full\r\n")
    relay = hopseal("pass", listener={"next_hop": box.address})
    with relay.connect() as c:
        c.ehlo()
        assert c.has("PRDR")
        rcpts(c, 3)
        dot(c)
        got = block(c, 250, 550, 452)
        assert got[1].texts == ["5.7.1 not", "5.7.1 wanted"] and "<r1@c.test> has it" in got[0].text
        assert got[3].text == "2.0.0 taken for 1 of 3 recipients"
        c.deliver(BASE)
    tx = box.wait(2)[0]
    assert tx.recipients == names(3) and tx.took == ["<r1@c.test>"]
    assert "PRDR" not in tx.mail
    told = relay.event("transaction", 2)
    first = [e for e in relay.events("transaction") if e.get("rcpts_refused")][0]
    assert told and (first["rcpt_to"], first["rcpts"], first["rcpts_refused"], first["rcpts_deferred"], first["outcome"]) == (
        "<r1@c.test>", 1, 1, 1, "accepted")
    assert [(e["rcpt_to"], e["code"]) for e in relay.events("rcpt_refused")] == [("<r2@c.test>", 550), ("<r3@c.test>", 452)]


@pytest.mark.parametrize("said, last, enhanced", [((b"550 5.1.1 a\r\n", b"553 5.1.3 b\r\n"), 550, "5.0.0"),
                                                   ((b"550 5.1.1 a\r\n", b"451 4.3.0 b\r\n"), 451, "4.0.0")])
def test_prdr_when_nobody_takes_it(hopseal, sinks, said, last, enhanced):
    box = sinks(lmtp=True)
    box.script("each", *said)
    relay = hopseal("pass", listener={"next_hop": box.address})
    with relay.connect() as c:
        rcpts(c, 2)
        dot(c)
        got = block(c, int(said[0][:3]), int(said[1][:3]), last=last)
        assert got[-1].enhanced == enhanced
        c.deliver(BASE)
    relay.event("transaction", 2)
    assert [e["outcome"] for e in relay.events("transaction")] == ["refused" if last == 550 else "deferred", "accepted"]


def test_prdr_for_one_recipient_is_one_answer(hopseal, sinks):
    box = sinks(lmtp=True)
    with hopseal("pass", listener={"next_hop": box.address}).connect() as c:
        rcpts(c, 1)
        dot(c)
        c.want(250, "2.1.5")


def test_answers_are_told_as_they_come(hopseal, sinks):
    box, gate = sinks(lmtp=True), threading.Event()
    box.script("each", None, Hold(gate))
    with hopseal("pass", listener={"next_hop": box.address}).connect() as c:
        rcpts(c, 2)
        dot(c)
        c.want(353)
        c.want(250, text="<r1@c.test>")
        gate.set()
        c.want(250, text="<r2@c.test>")
        c.want(250, text="2 of 2")


@pytest.mark.parametrize("how", [DROP, CLOSE, b"421 4.3.2 bye\r\n", b"huh?\r\n"])
def test_lmtp_lost_half_way_through(hopseal, sinks, how):
    box = sinks(lmtp=True)
    box.script("each", None, b"550 5.7.1 no\r\n", how)
    relay = hopseal("pass", listener={"next_hop": box.address})
    with relay.connect() as c:
        rcpts(c, 4)
        dot(c)
        got = block(c, 250, 550, 451, 451)      # what was taken is taken: it must not be sent again
        assert [r.enhanced for r in got[2:4]] == ["4.4.2"] * 2 and got[-1].text == "2.0.0 taken for 1 of 4 recipients"
        c.deliver(BASE)
    relay.event("transaction", 2)
    event = [e for e in relay.events("transaction") if e.get("rcpts_deferred")][0]
    assert (event["rcpts"], event["rcpts_deferred"]) == (1, 2)


def test_lmtp_lost_before_anybody_has_it(hopseal, sinks):
    box = sinks(lmtp=True)
    box.script("each", b"550 5.7.1 no\r\n", DROP)
    with hopseal("pass", listener={"next_hop": box.address}).connect() as c:
        rcpts(c, 2)
        dot(c)
        block(c, 550, 451, last=451)
        rcpts(c, 2)
        box.script("each", DROP)
        dot(c)
        c.want(451, "4.4.2")                    # one answer is enough, and it is the client's to try again


def test_another_box_takes_over_before_the_content(hopseal, sinks):
    first, second = sinks(lmtp=True), sinks(lmtp=True)
    second.script("each", b"550 5.7.1 no\r\n")
    relay = hopseal("pass", listener={"next_hop": [first.address, second.address]})
    with relay.connect() as c:
        rcpts(c, 2)
        first.close()
        dot(c)
        block(c, 550, 250)
    assert second.one().took == ["<r2@c.test>"]


def test_more_answers_than_recipients(hopseal, sinks):
    """What nobody asked for is taken for no answer to what comes next."""
    box = sinks(lmtp=True)
    box.script("each", None, b"250 2.1.5 second\r\n550 5.7.1 third of two\r\n")
    with hopseal("pass", listener={"next_hop": box.address}).connect() as c:
        rcpts(c, 2)
        dot(c)
        assert block(c, 250, 250)[1].text == "2.1.5 second"
        c.deliver(BASE, text="<r1@c.test> has it")
    first, second = box.wait(2)
    assert first.session != second.session


@pytest.mark.parametrize("behind", ["NOOP", "RSET", "MAIL FROM:<next@a.test>", "EHLO t.a.test"])
def test_what_is_said_behind_the_dot_is_answered_behind_the_block(hopseal, sinks, behind):
    box, gate = sinks(lmtp=True), threading.Event()
    box.script("each", Hold(gate), b"550 5.7.1 no\r\n")
    with hopseal("pass", listener={"next_hop": box.address}).connect() as c:
        rcpts(c, 2)
        c.cmd("DATA", 354)
        c.send(BASE + b".\r\n" + behind.encode() + b"\r\nQUIT\r\n")
        box.contents.wait("the content", lambda items: items)
        gate.set()
        block(c, 250, 550)
        c.want(250)
        c.want(221)
        c.gone()
    assert box.one().took == ["<r1@c.test>"]


def test_a_client_that_says_no_more_hears_all(hopseal, sinks):
    box = sinks(lmtp=True)
    box.script("each", None, b"452 4.2.2 full\r\n")
    with hopseal("pass", listener={"next_hop": box.address}).connect() as c:
        rcpts(c, 2)
        dot(c)
        c.sock.shutdown(socket.SHUT_WR)
        block(c, 250, 452)
        c.gone()


@pytest.mark.parametrize("behind", [b"", b"NOOP\r\n"])
def test_a_client_that_went_hears_nothing_but_the_log_does(hopseal, sinks, behind):
    """The next hop has the content, and goes on with it."""
    box, gates = sinks(lmtp=True), [threading.Event() for _ in range(4)]
    box.script("each", Hold(gates[0]), Hold(gates[1], b"550 5.7.1 no\r\n"), Hold(gates[2], b"552 5.2.2 full\r\n"), Hold(gates[3]))
    relay = hopseal("pass", listener={"next_hop": box.address})
    with relay.connect() as c:
        rcpts(c, 4)
        dot(c)
        gates[0].set()
        c.want(353)
        c.want(250)
        c.send(behind)
    for n in (1, 2):                            # the first meets a reset, the second an error
        gates[n].set()
        relay.event("rcpt_refused", n)
    gates[3].set()
    event = relay.event("transaction")
    assert (event["outcome"], event["rcpts"], event["rcpts_refused"], event["rcpt_to"]) == ("accepted", 2, 2, "<r1@c.test>,<r4@c.test>")
    assert box.one().took == ["<r1@c.test>", "<r4@c.test>"]


def test_a_box_and_a_server_in_one_list(hopseal, sinks):
    """Whoever may have to answer for each: several recipients are for clients that can hear it."""
    box, hop = sinks(lmtp=True), sinks()
    relay = hopseal("pass", listener={"next_hop": [box.address, hop.address]})
    with relay.connect() as c:
        c.mail()
        c.rcpt()
        c.rcpt("<r2@c.test>", 452, "4.5.3")
        c.ehlo()
        assert not c.has("PRDR")                # the server would not say it
        hop.close()
        c.deliver(BASE)
    assert box.one().recipients == ["<r1@c.test>"]


def test_a_server_takes_over_from_a_box(hopseal, sinks):
    """One answer is then the answer for all."""
    box, hop = sinks(lmtp=True), sinks(extensions=WITH_PRDR)
    hop.script("block", b"250 2.0.0 all of you\r\n")
    relay = hopseal("pass", listener={"next_hop": [box.address, hop.address]})
    with relay.connect() as c:
        rcpts(c, 2)
        box.close()
        dot(c)
        c.want(250, text="all of you")
        rcpts(c, 2)
        dot(c)
        block(c, 250, 250)
    assert hop.transactions()[-1].mail.endswith(" PRDR")


@pytest.mark.parametrize("lmtp", [False, True])
def test_shadow_refuses_nobody(hopseal, sinks, lmtp):
    hop = sinks(lmtp=True) if lmtp else sinks(extensions=WITH_PRDR)
    hop.script("each", None, None, b"550 5.7.1 the box itself\r\n")
    relay = hopseal("inbound", listener={"next_hop": hop.address, "shadow": True}, policy=RULE)
    with relay.connect() as c:
        rcpts(c, 3)
        dot(c)
        block(c, 250, 250, 550)
    assert hop.one().took == names(2)
    relay.event("shadow_ruling")
    event = relay.event("transaction")
    assert (event["rcpts"], event["rcpts_refused"], event["shadow"]) == (2, 1, "yes")


@pytest.mark.parametrize("lmtp", [False, True])
def test_content_that_is_refused_here_has_one_answer(hopseal, sinks, lmtp):
    hop = sinks(lmtp=True) if lmtp else sinks(extensions=WITH_PRDR)
    with hopseal("inbound", listener={"next_hop": hop.address}).connect() as c:
        rcpts(c, 2)
        dot(c, b"From : <s@a.test>\r\n" + BASE)
        c.want(550, "5.6.0")
        rcpts(c, 2)
        dot(c, BASE + b"x\ny\r\n")
        c.want(550, "5.5.2")
    assert not hop.contents.snapshot()


# ---- PRDR of the next hop ----

def test_prdr_is_passed_on(hopseal, sinks):
    hop = sinks(extensions=WITH_PRDR)
    hop.script("each", None, b"550 5.7.1 no\r\n")
    relay = hopseal("pass", listener={"next_hop": hop.address})
    with relay.connect() as c:
        rcpts(c, 2)
        dot(c)
        got = block(c, 250, 550)
        assert got[-1].text.startswith("2.0.0 taken as ")
        c.cmd("NOOP")
    tx = hop.one()
    assert tx.mail == "MAIL FROM:<s@a.test> PRDR" and tx.content == BASE


def test_prdr_not_said_is_not_passed(hopseal, sinks):
    hop = sinks(extensions=WITH_PRDR)
    with hopseal("pass", listener={"next_hop": hop.address}).connect() as c:
        rcpts(c, 2, params="")
        dot(c)
        c.want(250, text="taken as")
    assert hop.one().mail == "MAIL FROM:<s@a.test>"


def test_prdr_is_not_there_when_the_next_hop_has_none(hopseal, sink):
    with hopseal("pass").connect() as c:
        c.ehlo()
        assert not c.has("PRDR")
        c.mail(params=" PRDR", code=555)


def test_a_next_hop_that_answers_once_for_all(hopseal, sinks):
    hop = sinks(extensions=WITH_PRDR)
    hop.script("block", b"554 5.7.1 nobody gets this\r\n")
    with hopseal("pass", listener={"next_hop": hop.address}).connect() as c:
        rcpts(c, 2)
        dot(c)
        c.want(554, "5.7.1", "nobody gets this")


@pytest.mark.parametrize("last", [b"451 4.3.0 later\r\n", b"550 5.3.0 never\r\n"])
def test_the_last_word_is_the_next_hops(hopseal, sinks, last):
    hop = sinks(extensions=WITH_PRDR)
    hop.script("dot", last)
    relay = hopseal("pass", listener={"next_hop": hop.address})
    with relay.connect() as c:
        rcpts(c, 2)
        dot(c)
        got = block(c, 250, 250, last=int(last[:3]))
        assert got[-1].lines == [last.rstrip()]
    assert relay.event("transaction")["rcpts"] == 0
    assert not hop.transactions()


def test_prdr_lost_before_its_last_word(hopseal, sinks):
    hop = sinks(extensions=WITH_PRDR)
    hop.script("each", None, DROP)
    relay = hopseal("pass", listener={"next_hop": hop.address})
    with relay.connect() as c:
        rcpts(c, 3)
        dot(c)
        got = block(c, 250, 451, 451, last=451)     # without the last word nobody has it
        assert got[-1].enhanced == "4.4.2"
        c.cmd("NOOP")
    assert relay.event("transaction")["duplicate"] == "possible"


RULE = [{"name": "not r2", "when": ["rcpt = <r2@c.test>", "dkim2 = none"], "then": "refuse 550 5.7.1 wants no unsealed mail"}]


@pytest.mark.parametrize("lmtp", [False, True])
@pytest.mark.parametrize("who", [0, 1, 2])
def test_a_rule_refuses_one_recipient_under_prdr(hopseal, sinks, lmtp, who):
    hop = sinks(lmtp=True) if lmtp else sinks(extensions=WITH_PRDR)
    rule = [dict(RULE[0], when=["rcpt = %s" % names(3)[who], "dkim2 = none"])]
    relay = hopseal("inbound", listener={"next_hop": hop.address}, policy=rule)
    with relay.connect() as c:
        rcpts(c, 3)
        dot(c)
        got = block(c, *[550 if i == who else 250 for i in range(3)])
        assert got[who].text == "5.7.1 wants no unsealed mail"
        c.cmd("NOOP")
    tx = hop.one()
    assert tx.recipients == [name for i, name in enumerate(names(3)) if i != who] == tx.took
    event = relay.event("transaction")
    assert (event["rcpts"], event["rcpts_refused"], event["ruling"]) == (2, 1, "accept")


def test_a_rule_refuses_one_while_another_next_hop_is_there(hopseal, sinks):
    """The envelope that is said anew has its time as well, and another next hop takes it when the first cannot."""
    first, second = (sinks(extensions=WITH_PRDR) for _ in range(2))
    gate = threading.Event()
    first.script("mail", None, Hold(gate), None, CLOSE, CLOSE)
    relay = hopseal("inbound", listener={"next_hop": [first.address, second.address]}, policy=RULE)
    with relay.connect() as c:
        rcpts(c, 3)
        dot(c)
        first.commands.wait("MAIL once more", lambda items: [1 for _, line in items if line.startswith("MAIL")][1:])
        threading.Timer(0.2, gate.set).start()
        block(c, 250, 550, 250)
        rcpts(c, 3)
        dot(c)
        block(c, 250, 550, 250)
    assert [len(hop.wait(1)) for hop in (first, second)] == [1, 1]
    assert [e["fault"] for e in relay.events("next_hop_failover")] == ["next_hop_lost"]


def test_an_envelope_said_anew_counts_for_mailmax(hopseal, sinks):
    hop = sinks(extensions=WITH_PRDR + ("LIMITS MAILMAX=1",))
    with hopseal("inbound", listener={"next_hop": hop.address}, policy=RULE).connect() as c:
        rcpts(c, 3)
        dot(c)
        block(c, 250, 550, 250)
    said = [session for session, line in hop.commands.snapshot() if line.startswith("MAIL")]
    assert len(said) == len(set(said)) == 2


def test_a_rule_refuses_all_but_one_and_the_next_hop_answers_once(hopseal, sinks):
    hop = sinks(extensions=WITH_PRDR)
    with hopseal("inbound", listener={"next_hop": hop.address}, policy=RULE).connect() as c:
        rcpts(c, 2)
        dot(c)
        block(c, 250, 550)
    assert hop.one().recipients == ["<r1@c.test>"]


def test_a_rule_refuses_everybody_under_prdr(hopseal, sinks):
    hop = sinks(extensions=WITH_PRDR)
    rule = [{"name": "nobody", "when": ["dkim2 = none"], "then": "refuse 550 5.7.1 no unsealed mail"}]
    relay = hopseal("inbound", listener={"next_hop": hop.address}, policy=rule)
    with relay.connect() as c:
        rcpts(c, 2)
        dot(c)
        block(c, 550, 550, last=550)
        hop.commands.wait("RSET", lambda items: [1 for _, line in items if line == "RSET"])
        c.mail()
        assert hop.commands.snapshot().count((1, "RSET")) == 1
    assert relay.event("transaction")["outcome"] == "refused"
    assert not hop.contents.snapshot()


def test_a_rule_refuses_everybody_without_prdr(hopseal, sinks):
    hop = sinks(extensions=WITH_PRDR)
    with hopseal("inbound", listener={"next_hop": hop.address}, policy=RULE).connect() as c:
        rcpts(c, 2, params="")
        dot(c)
        c.want(550, "5.7.1", "wants no unsealed mail")
    assert not hop.contents.snapshot()


def test_a_seal_names_one_recipient_under_prdr_too(hopseal, sinks, keyring):
    key, hop = keyring.key("a.test"), sinks(extensions=WITH_PRDR)
    relay = hopseal("outbound", listener={"next_hop": hop.address}, keys=[key])
    with relay.connect() as c:
        c.ehlo()
        assert not c.has("PRDR")
        c.mail()
        c.rcpt("<r1@c.test>")
        c.rcpt("<r2@c.test>", 452, "4.5.3")


def test_a_shared_seal_names_who_is_left(hopseal, sinks, keyring):
    key, hop = keyring.key("a.test"), sinks(extensions=WITH_PRDR)
    relay = hopseal("outbound", listener={"next_hop": hop.address, "share": "all"}, keys=[key], policy=RULE)
    with relay.connect() as c:
        rcpts(c, 3)
        dot(c)
        block(c, 250, 550, 250)
    tx = hop.one()
    (sealed,) = checked(tx.content, keyring)
    assert sealed.rt == tx.recipients == ["<r1@c.test>", "<r3@c.test>"]


# ---- REQUIRETLS ----

REQUIRE = " REQUIRETLS"


@pytest.fixture
def safe(sinks, cert):
    """A next hop that keeps REQUIRETLS."""
    return sinks(tls=served(cert), tls_extensions=("REQUIRETLS",))


def through(authority, cert, hop, mode="verify", **more):
    next_hop_tls = {"mode": mode}
    if mode == "verify":
        next_hop_tls.update(ca=authority.root, name="mx.c.test")
    return dict(tls(cert), next_hop=hop.address, next_hop_tls=next_hop_tls, **more)


def test_requiretls_is_passed_on(hopseal, safe, authority, cert):
    relay = hopseal("pass", listener=through(authority, cert, safe))
    with connect(relay, trust(authority)) as c:
        c.ehlo()
        assert c.has("REQUIRETLS")
        c.deliver(BASE, params=REQUIRE)
        c.deliver(BASE)
    first, second = safe.wait(2)
    assert (first.mail, second.mail) == ("MAIL FROM:<s@a.test> REQUIRETLS", "MAIL FROM:<s@a.test>")


@pytest.mark.parametrize("mode", ["verify", "require"])
def test_requiretls_where_tls_is_there_from_the_first_octet(hopseal, safe, authority, cert, mode):
    safe.implicit = True
    listener = through(authority, cert, safe, mode)
    listener["next_hop_tls"]["implicit"] = True
    with connect(hopseal("pass", listener=listener), trust(authority)) as c:
        c.ehlo()
        assert c.has("REQUIRETLS") == (mode == "verify")
        c.deliver(BASE, params=REQUIRE if mode == "verify" else "")
    assert safe.one().mail.endswith(REQUIRE) == (mode == "verify")


def test_requiretls_in_clear(hopseal, safe, authority, cert):
    with hopseal("pass", listener=through(authority, cert, safe)).connect() as c:
        c.ehlo()
        assert not c.has("REQUIRETLS")
        c.mail(params=REQUIRE, code=530, enhanced="5.7.10")


def test_requiretls_in_clear_where_there_is_no_tls(hopseal):
    with hopseal("pass").connect() as c:
        c.mail(params=REQUIRE, code=555, enhanced="5.5.4")


@pytest.mark.parametrize("mode, why", [("require", "certificate not verified"), ("may", "certificate not verified")])
def test_requiretls_wants_a_verified_next_hop(hopseal, safe, authority, cert, mode, why):
    with connect(hopseal("pass", listener=through(authority, cert, safe, mode)), trust(authority)) as c:
        c.ehlo()
        assert not c.has("REQUIRETLS")
        c.mail(params=REQUIRE, code=550, enhanced="5.7.30")
    assert not safe.contents.snapshot()


def test_requiretls_wants_a_next_hop_that_announces_it(hopseal, sinks, authority, cert):
    hop = sinks(tls=served(cert), extensions=ALL_EXTENSIONS + ("REQUIRETLS",))
    with connect(hopseal("pass", listener=through(authority, cert, hop)), trust(authority)) as c:
        c.ehlo()
        assert c.has("REQUIRETLS")              # inside TLS it announces it as well
    mute = sinks(tls=served(cert))
    with connect(hopseal("pass", listener=through(authority, cert, mute)), trust(authority)) as c:
        c.ehlo()
        assert not c.has("REQUIRETLS")
        c.mail(params=REQUIRE, code=550, enhanced="5.7.30")


def test_requiretls_is_not_announced_when_told_so(hopseal, safe, authority, cert):
    with connect(hopseal("pass", listener=through(authority, cert, safe, requiretls="none")), trust(authority)) as c:
        c.ehlo()
        assert not c.has("REQUIRETLS")


def test_a_next_hop_that_has_dropped_requiretls_meanwhile(hopseal, safe, authority, cert):
    """What was announced is held to: the message does not leave without it, a bounce does."""
    relay = hopseal("pass", listener=through(authority, cert, safe), pool={"idle": 0})
    with connect(relay, trust(authority)) as c:
        c.ehlo()
        assert c.has("REQUIRETLS")
        safe.tls_extensions = ()
        c.mail(params=REQUIRE, code=550, enhanced="5.7.30")
        c.deliver(BASE, sender="<>", params=REQUIRE)
    assert [tx.mail for tx in safe.wait(1)] == ["MAIL FROM:<>"]


@pytest.fixture
def stranger(room):
    """An authority that nobody here believes."""
    folder = os.path.join(room, "stranger")
    os.mkdir(folder)
    return Authority(folder)


@pytest.mark.parametrize("requiretls", ["pass", "header"])
def test_requiretls_and_a_next_hop_nobody_vouches_for(hopseal, safe, authority, stranger, cert, requiretls):
    relay = hopseal("inbound", listener=through(authority, cert, safe, requiretls=requiretls), pool={"idle": 0})
    with connect(relay, trust(authority)) as c:
        c.ehlo()
        assert c.has("REQUIRETLS")
        safe.tls = served(stranger.server(["DNS:mx.c.test"]))
        c.mail(params=REQUIRE, code=451, enhanced="4.7.5")
        c.mail("<>", params=REQUIRE, code=451, enhanced="4.7.5")    # nor a bounce: no mail goes there
        c.ehlo()
        assert not c.has("REQUIRETLS")
        c.mail(params=REQUIRE, code=550, enhanced="5.7.30")
    assert not [line for _, line in safe.commands.snapshot() if line.startswith("MAIL")]


def test_no_field_for_a_next_hop_that_lost_its_tls(hopseal, sinks, authority, cert):
    """It is a word between servers that keep it; in clear there is nothing to keep."""
    hop = sinks(tls=served(cert))
    relay = hopseal("inbound", listener=through(authority, cert, hop, "require", requiretls="header"), pool={"idle": 0})
    with connect(relay, trust(authority)) as c:
        c.ehlo()
        assert c.has("REQUIRETLS")
        c.deliver(BASE, params=REQUIRE)
        hop.tls = None
        c.mail(params=REQUIRE, code=451, enhanced="4.7.4")
    assert values(hop.one().content, "Require-TLS-ESMTP") == ["yes"]


def test_a_box_keeps_requiretls(hopseal, sinks, authority, cert):
    box = sinks(lmtp=True, tls=served(cert), tls_extensions=("REQUIRETLS",))
    with connect(hopseal("pass", listener=through(authority, cert, box)), trust(authority)) as c:
        rcpts(c, 2, params=" PRDR" + REQUIRE)
        dot(c)
        block(c, 250, 250)
    assert box.one().mail == "MAIL FROM:<s@a.test> REQUIRETLS"


@pytest.mark.parametrize("message", ["sealed", "plain"])
def test_requiretls_when_the_next_hop_that_keeps_it_is_lost(hopseal, sinks, authority, cert, keyring, message):
    """A chain has no place for the field and waits; the rest goes to the other one with it."""
    keeps, mute = sinks(tls=served(cert), tls_extensions=("REQUIRETLS",)), sinks(tls=served(cert))
    key = keyring.key("a.test")
    relay = hopseal("outbound", listener=several(authority, cert, keeps, mute, requiretls="header"), keys=[key], pool={"idle": 0})
    with connect(relay, trust(authority)) as c:
        c.mail(params=REQUIRE)
        c.rcpt()
        keeps.close()
        c.cmd("DATA", 354)
        if message == "sealed":
            c.message(seal(BASE, key), code=451, enhanced="4.7.30")
        else:
            c.message(BASE)
    assert keeps.contents.snapshot() == []
    if message == "sealed":
        assert mute.contents.snapshot() == []
    else:
        tx = mute.one()
        assert values(tx.content, "Require-TLS-ESMTP") == ["yes"] and tx.mail == "MAIL FROM:<s@a.test>"
        checked(tx.content, keyring)


def several(authority, cert, *hops, **more):
    return dict(through(authority, cert, hops[0], **more), next_hop=[hop.address for hop in hops])


def test_requiretls_goes_to_the_next_hop_that_keeps_it(hopseal, sinks, authority, cert):
    first, second = (sinks(tls=served(cert), tls_extensions=("REQUIRETLS",)) for _ in range(2))
    relay = hopseal("pass", listener=several(authority, cert, first, second), pool={"idle": 0})
    with connect(relay, trust(authority)) as c:
        c.ehlo()
        assert c.has("REQUIRETLS")
        first.tls_extensions = ()
        c.deliver(BASE, params=REQUIRE)
        c.ehlo()
        assert not c.has("REQUIRETLS")          # not all of them have it now
        c.deliver(BASE)
    assert [tx.mail for tx in second.transactions()] == ["MAIL FROM:<s@a.test> REQUIRETLS"]
    assert [tx.mail for tx in first.transactions()] == ["MAIL FROM:<s@a.test>"]
    assert relay.event("next_hop_failover")["note"] == "REQUIRETLS"


def test_requiretls_waits_for_a_next_hop_that_may_keep_it(hopseal, sinks, authority, cert):
    first, second = (sinks(tls=served(cert), tls_extensions=("REQUIRETLS",)) for _ in range(2))
    relay = hopseal("pass", listener=several(authority, cert, first, second), pool={"idle": 0})
    with connect(relay, trust(authority)) as c:
        c.ehlo()
        first.close()
        second.tls_extensions = ()
        c.mail(params=REQUIRE, code=451, enhanced="4.7.30")
        first.open()
        relay.event("next_hop_up")
        c.deliver(BASE, params=REQUIRE)
    assert first.one().mail.endswith(REQUIRE) and not second.contents.snapshot()


FIELD = b"Require-TLS-ESMTP: yes\r\n"


def test_requiretls_by_a_field(hopseal, sinks, authority, cert):
    hop = sinks()                               # in clear, on this machine: Postfix behind its filter
    relay = hopseal("inbound", listener=dict(tls(cert), next_hop=hop.address, requiretls="header"))
    with connect(relay, trust(authority)) as c:
        c.ehlo()
        assert c.has("REQUIRETLS")
        c.deliver(BASE, params=REQUIRE)
        c.deliver(BASE)
    first, second = hop.wait(2)
    assert first.mail == second.mail == "MAIL FROM:<s@a.test>"
    assert [f for f in added(BASE, first.content) if f.startswith(b"Require")] == [FIELD]
    assert not [f for f in added(BASE, second.content) if f.startswith(b"Require")]


def test_a_field_that_is_there_is_not_added_again(hopseal, sinks, authority, cert):
    hop = sinks()
    relay = hopseal("inbound", listener=dict(tls(cert), next_hop=hop.address, requiretls="header"))
    with connect(relay, trust(authority)) as c:
        c.deliver(b"require-tls-esmtp:  YES \r\n" + BASE, params=REQUIRE)
        c.deliver(b"Require-TLS-ESMTP: yes, please\r\n" + BASE, params=REQUIRE)
        c.deliver(FIELD + BASE)                 # a stranger's: left as it is
    same, odd, stranger = hop.wait(3)
    assert values(same.content, "Require-TLS-ESMTP") == ["YES"]
    assert values(odd.content, "Require-TLS-ESMTP") == ["yes", "yes, please"]
    assert values(stranger.content, "Require-TLS-ESMTP") == ["yes"]


def test_the_field_and_the_word_where_the_next_hop_has_it(hopseal, safe, authority, cert):
    relay = hopseal("inbound", listener=through(authority, cert, safe, requiretls="header"))
    with connect(relay, trust(authority)) as c:
        c.deliver(BASE, params=REQUIRE)
    tx = safe.one()
    assert tx.mail.endswith(REQUIRE) and values(tx.content, "Require-TLS-ESMTP") == ["yes"]


def test_the_field_is_sealed(hopseal, sinks, authority, cert, keyring):
    key, hop = keyring.key("a.test"), sinks()
    relay = hopseal("outbound", listener=dict(tls(cert), next_hop=hop.address, requiretls="header"), keys=[key])
    with connect(relay, trust(authority)) as c:
        c.deliver(BASE, params=REQUIRE)
        # its chain has no place for the field: we hold no key for the recipient's domain, so no hop of ours can account for it
        c.deliver(seal(BASE, key), params=REQUIRE, code=550, enhanced="5.7.30")
        c.deliver(seal(BASE, key))
    first, second = hop.wait(2)
    assert values(first.content, "Require-TLS-ESMTP") == ["yes"]
    checked(first.content, keyring)
    checked(second.content, keyring)
    assert not values(second.content, "Require-TLS-ESMTP")


@pytest.mark.parametrize("rt, hops", [("<r1@c.test>", [("c.test", "a.test", 2), ("a.test", None, 2)]), ("<s@a.test>", [("a.test", None, 2)])])
def test_the_field_is_accounted_for(hopseal, sinks, authority, cert, keyring, room, rt, hops):
    """What we add to a sealed message, a recipe takes away again; a domain of ours that the mail came for signs it."""
    keys, hop = [keyring.key("a.test"), keyring.key("c.test")], sinks()
    relay = hopseal("outbound", listener=dict(tls(cert), next_hop=hop.address, requiretls="header"), keys=keys)
    message = seal(BASE, keys[0], rt=[rt])
    with connect(relay, trust(authority)) as c:
        c.deliver(message, recipients=(rt,), params=REQUIRE)
        c.deliver(FIELD + BASE, recipients=(rt,))
        c.deliver(seal(FIELD + BASE, keys[0], rt=[rt]), recipients=(rt,), params=REQUIRE)       # it says so already
    first, _, third = hop.wait(3)
    assert values(first.content, "Require-TLS-ESMTP") == values(third.content, "Require-TLS-ESMTP") == ["yes"]
    got = checked(first.content, keyring)
    assert [(one.d, one.nd, one.m) for one in got[1:]] == hops
    newest = [v for v in values(first.content, "Message-Instance") if tag(v, "m") == "2"]
    assert base64.b64decode(tag(newest[0], "r")) == b'{"h":{"require-tls-esmtp":[]}}'
    assert len(checked(third.content, keyring)) == 1
    path = room + "/left.eml"
    with open(path, "wb") as f:
        f.write(first.content)
    done = ctl("verify", "--only", "dkim2", "--mail-from", "<s@a.test>", "--rcpt", rt, "--now", str(NOW), "--dns", relay.folder + "/dns.json", "--json", path)
    assert done.returncode == 0 and json.loads(done.stdout)["dkim2"]["level"] == "full", done


def test_a_null_sender_goes_without_the_field(hopseal, sinks, authority, cert, keyring):
    """A bounce that is sealed, and cannot be by us, is not held back (RFC 8689 section 5)."""
    key, hop = keyring.key("a.test"), sinks()
    relay = hopseal("outbound", listener=dict(tls(cert), next_hop=hop.address, requiretls="header"), keys=[keyring.key("b.test")])
    with connect(relay, trust(authority)) as c:
        c.deliver(seal(BASE, key, mf="<>"), sender="<>", params=REQUIRE)
    tx = hop.one()
    assert not values(tx.content, "Require-TLS-ESMTP") and len(checked(tx.content, keyring)) == 1


def test_a_chain_goes_where_the_envelope_says_it(hopseal, safe, authority, cert, keyring):
    key = keyring.key("a.test")
    relay = hopseal("outbound", listener=through(authority, cert, safe, requiretls="header"), keys=[key])
    with connect(relay, trust(authority)) as c:
        c.deliver(seal(BASE, key), params=REQUIRE)
    tx = safe.one()
    assert tx.mail.endswith(REQUIRE) and not values(tx.content, "Require-TLS-ESMTP")
    checked(tx.content, keyring)


def test_shadow_adds_no_field(hopseal, sinks, authority, cert):
    hop = sinks()
    relay = hopseal("inbound", listener=dict(tls(cert), next_hop=hop.address, requiretls="header", shadow=True))
    with connect(relay, trust(authority)) as c:
        c.ehlo()
        assert not c.has("REQUIRETLS")


def test_tls_required_no_is_left_alone(hopseal, sink):
    message = b"TLS-Required: No\r\n" + BASE
    with hopseal("inbound").connect() as c:
        c.deliver(message)
    got = sink.one().content
    assert head_of(got).endswith(head_of(message)) and body_of(got) == body_of(message)


# ---- DSN, SMTPUTF8, SIZE, LIMITS ----

@pytest.mark.parametrize("mail, rcpt", [
    (" RET=FULL ENVID=QQ314159", " NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;Carol@Ivory.TEST"),
    (" RET=hdrs ENVID=a+2Bb+3D+20!", " NOTIFY=never ORCPT=x-Local;+2Bme+40here"),
    (" SIZE=12345 BODY=8BITMIME SMTPUTF8 RET=HDRS", " NOTIFY=failure ORCPT=utf-8;\u00fc@c.test"),
    (" SIZE=0 BODY=7BIT", " NOTIFY=DELAY,DELAY"),
    (" ENVID=" + "x" * 100, " ORCPT=rfc822;" + "y" * 493)])
def test_parameters_pass_octet_for_octet(hopseal, sink, mail, rcpt):
    with hopseal("pass").connect() as c:
        c.mail(params=mail)
        c.rcpt(params=rcpt)
        c.cmd("DATA", 354)
        c.message(BASE)
    tx = sink.one()
    assert sorted(tx.mail.split(" ")[2:]) == sorted(mail.split())
    assert tx.rcpts == ["RCPT TO:<r1@c.test>" + rcpt]


def test_a_reply_in_utf8_reaches_who_asked_for_it(hopseal, sink):
    sink.always("rcpt", "550 5.1.1 kein \u00dcbel bekannt\r\n".encode())
    with hopseal("pass").connect() as c:
        c.mail(params=" SMTPUTF8")
        c.send("RCPT TO:<\u00fc@c.test>\r\n".encode())
        assert c.want(550).lines == ["550 5.1.1 kein \u00dcbel bekannt".encode()]
        c.cmd("RSET")
        c.mail()
        assert c.rcpt(code=550).lines == [b"550 5.1.1 kein ??bel bekannt"]


def test_size_is_held_against_what_the_next_hop_takes(hopseal, sinks):
    hop = sinks(extensions=("SIZE 1000000",))
    with hopseal("pass").connect() as c:
        c.ehlo()
        c.mail(params=" SIZE=52428801", code=552, enhanced="5.3.4")
    relay = hopseal("pass", listener={"next_hop": hop.address})
    with relay.connect() as c:
        c.ehlo()
        most = c.size()
        assert most == 1000000 - 131072
        c.mail(params=" SIZE=%d" % (most + 1), code=552, enhanced="5.3.4")
        c.mail(params=" SIZE=%d" % most)
    assert not [line for _, line in hop.commands.snapshot() if line.startswith("MAIL") and line.endswith(str(most + 1))]


def test_the_limits_of_the_next_hop(hopseal, sinks):
    hop = sinks(extensions=ALL_EXTENSIONS + ("LIMITS MAILMAX=2 RCPTMAX=7",))
    with hopseal("pass", listener={"next_hop": hop.address}).connect() as c:
        c.ehlo()
        assert "LIMITS RCPTMAX=7" in c.extensions
        for _ in range(5):
            c.deliver(BASE)
    sessions = [tx.session for tx in hop.wait(5)]
    assert max(sessions.count(s) for s in sessions) == 2 and len(set(sessions)) == 3


def test_limits_that_change(hopseal, sinks):
    """Nothing else that the next hop announces does."""
    hop = sinks(extensions=ALL_EXTENSIONS + ("LIMITS RCPTMAX=7",))
    with hopseal("pass", listener={"next_hop": hop.address}, pool={"idle": 0}).connect() as c:
        hop.extensions = ALL_EXTENSIONS + ("LIMITS RCPTMAX=5",)
        c.deliver(BASE)
        c.ehlo()
        assert "LIMITS RCPTMAX=5" in c.extensions
