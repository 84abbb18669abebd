"""The next hop's side: its answers are the client's, and when it is lost nobody loses mail."""
import threading

import pytest

from mail import BASE
from sink import CLOSE, DROP, Hold

OURS = ["CHUNKING", "ENHANCEDSTATUSCODES", "LIMITS", "PIPELINING", "SIZE"]


def words(c):
    return sorted(line.split(" ")[0] for line in c.extensions)


def test_next_hop_down_at_the_start(hopseal, sink):
    sink.close()
    relay = hopseal("pass")
    with relay.connect() as c:
        c.ehlo()
        assert words(c) == OURS
        c.mail(code=451, enhanced="4.4.1")
        c.cmd("NOOP")


def test_next_hop_comes_back(hopseal, sink):
    sink.close()
    relay = hopseal("pass")
    with relay.connect() as c:
        c.mail(code=451, enhanced="4.4.1")
        sink.open()
        c.deliver(BASE)
    assert sink.one().content == BASE


def test_next_hop_that_refuses_the_session(hopseal, sink):
    sink.always("connect", b"554 5.7.1 not for you\r\n")
    with hopseal("pass").connect() as c:
        c.mail(code=451, enhanced="4.4.1")


@pytest.mark.parametrize("stage, told", [
    ("mail", b"550 5.7.1 sender not welcome\r\n"), ("mail", b"451 4.3.0 later\r\n"),
    ("rcpt", b"550-5.1.1 no such user\r\n550-5.1.1 and this is\r\n550 5.1.1 why\r\n"), ("rcpt", b"452 4.2.2 mailbox full\r\n"),
    ("dot", b"554-5.7.1 content\r\n554 5.7.1 not welcome\r\n"), ("dot", b"452 4.3.1 disk\r\n"), ("dot", b"550 no enhanced code\r\n")])
def test_its_refusals_pass_verbatim(hopseal, sink, stage, told):
    sink.script(stage, told)
    with hopseal("pass").connect() as c:
        c.ehlo()
        for at, line in (("mail", "MAIL FROM:<s@a.test>"), ("rcpt", "RCPT TO:<r1@c.test>"), ("data", "DATA"), ("dot", None)):
            c.send(line.encode() + b"\r\n" if line else BASE + b".\r\n")
            got = c.reply()
            if at == stage:
                break
            assert got.code in (250, 354)
        assert b"".join(one + b"\r\n" for one in got.lines) == told
        c.cmd("RSET")
        c.deliver(BASE)
    assert len(sink.wait(1)) == 1


def test_a_refusal_of_data_is_the_answer_to_the_content(hopseal, sink):
    """The 354 is ours; what the next hop says to DATA meets the client at the end."""
    sink.script("data", b"451 4.3.2 not now\r\n")
    with hopseal("pass").connect() as c:
        c.deliver(BASE, code=451, enhanced="4.3.2")
        c.deliver(BASE)
    assert len(sink.wait(1)) == 1


def test_250_is_not_said_before_the_next_hop_said_it(hopseal, sink):
    gate = threading.Event()
    sink.script("dot", Hold(gate, b"450 4.2.0 changed my mind\r\n"))
    with hopseal("inbound").connect() as c:
        c.to_data()
        c.send(BASE + b".\r\n")
        sink.contents.wait("the content at the next hop", lambda items: items)
        gate.set()
        c.want(450, "4.2.0")
    assert sink.transactions() == []


@pytest.mark.parametrize("how", [DROP, CLOSE], ids=["reset", "closed"])
def test_lost_before_content_is_replayed(hopseal, sink, how):
    sink.script("data", how)
    with hopseal("pass").connect() as c:
        c.deliver(BASE, recipients=("<r1@c.test>", "<r2@c.test>"))
    tx = sink.one()
    assert tx.recipients == ["<r1@c.test>", "<r2@c.test>"] and tx.content == BASE
    mails = [number for number, line in sink.commands.snapshot() if line.startswith("MAIL")]
    assert len(mails) == 2 and len(set(mails)) == 2, "one MAIL on each of two connections"


def test_a_different_answer_in_the_replay_is_a_451(hopseal, sink):
    sink.script("data", DROP)
    sink.script("rcpt", b"250 2.1.5 ok\r\n", b"550 5.1.1 now unknown\r\n")
    with hopseal("pass").connect() as c:
        c.to_data()
        c.message(BASE, 451, "4.4.2")
    assert sink.transactions() == []


def test_lost_again_in_the_replay_is_a_451(hopseal, sink):
    sink.always("data", DROP)
    with hopseal("pass").connect() as c:
        c.to_data()
        got = c.message(BASE, 451)
        assert got.enhanced in ("4.4.1", "4.4.2")
    assert sink.transactions() == []


@pytest.mark.parametrize("stage", ["content", "dot"])
@pytest.mark.parametrize("how", [DROP, CLOSE], ids=["reset", "closed"])
def test_lost_in_or_after_content_is_a_451(hopseal, sink, stage, how):
    sink.script(stage, how)
    with hopseal("pass").connect() as c:
        c.to_data()
        c.message(BASE + b"x" * 70 + b"\r\n", 451, "4.4.2")
        assert sink.transactions() == []
        c.deliver(BASE)
    assert sink.one().content == BASE


def test_lost_at_mail_is_tried_anew(hopseal, sink):
    """A connection of the pool may have died unseen; a fresh one is asked before the client hears of it."""
    sink.script("mail", DROP)
    with hopseal("pass").connect() as c:
        c.deliver(BASE)
    assert sink.one().content == BASE


def test_421_of_the_next_hop_at_the_end_passes(hopseal, sink):
    sink.script("dot", b"421 4.3.2 going down\r\n")
    with hopseal("pass").connect() as c:
        c.to_data()
        c.send(BASE + b".\r\n")
        assert c.reply().code in (421, 451)
    assert sink.transactions() == []


def test_a_reply_out_of_protocol_is_a_451(hopseal, sink):
    sink.script("dot", b"hello there\r\n")
    with hopseal("pass").connect() as c:
        c.to_data()
        c.message(BASE, 451)
        c.cmd("NOOP")
    assert sink.transactions() == []


def test_an_endless_reply_is_a_451(hopseal, sink):
    sink.script("rcpt", b"550-x\r\n" * 200)
    with hopseal("pass").connect() as c:
        c.mail()
        c.rcpt(code=451)
        c.cmd("NOOP")


def test_a_reply_cannot_smuggle_a_line_to_the_client(hopseal, sink):
    sink.script("rcpt", b"550 5.1.1 a\r250 2.0.0 b\x00\xff\r\n")
    with hopseal("pass").connect() as c:
        c.mail()
        c.send(b"RCPT TO:<r1@c.test>\r\nNOOP\r\n")
        assert c.reply().code in (451, 550)
        c.want(250)


def test_a_connection_is_used_again(hopseal, sink):
    with hopseal("pass").connect() as c:
        for _ in range(3):
            c.deliver(BASE)
    assert len({tx.session for tx in sink.wait(3)}) == 1


def test_a_pooled_connection_that_died_unseen_costs_nobody_anything(hopseal, sink):
    relay = hopseal("pass")
    with relay.connect() as c:
        c.deliver(BASE)
        first = sink.one().session
        sink.close()
        sink.ended.wait("the end of the pooled session", lambda items: first in items)
        sink.open()
        c.deliver(BASE)
    assert [tx.content for tx in sink.wait(2)] == [BASE, BASE]


def test_idle_connections_are_few_and_end(hopseal, sink):
    """Ten at once, then one kept for the next."""
    relay = hopseal("pass", pool={"idle_max": 1})
    clients = [relay.connect() for _ in range(10)]
    for c in clients:
        c.to_data()
    for c in clients:
        c.message(BASE)
        c.close()
    sink.wait(10)
    sink.ended.wait("the end of all but one", lambda items: len(items) >= sink.session_count - 1)


def test_a_connection_carries_so_many_messages(hopseal, sink):
    """Whether they were taken or not, and whoever's they were; then it ends with QUIT."""
    relay = hopseal("pass", pool={"messages": 3})
    sink.script("dot", None, b"451 4.3.0 later\r\n")
    for n in range(7):
        with relay.connect() as c:
            c.deliver(BASE, code=451 if n == 1 else 250)
    of = [tx.session for tx in sink.contents.wait("seven messages", lambda items: list(items) if len(items) == 7 else None)]
    assert [of.count(session) for session in sorted(set(of))] == [3, 3, 1]
    sink.ended.wait("the end of what was used up", lambda items: len(items) >= 2)
    assert ["QUIT"] * 2 == [line for _, line in sink.commands.snapshot() if line == "QUIT"]


def test_a_pool_of_none_opens_each_time(hopseal, sink):
    with hopseal("pass", pool={"idle": 0}).connect() as c:
        for _ in range(3):
            c.deliver(BASE)
    assert len({tx.session for tx in sink.wait(3)}) == 3


def test_next_hop_without_pipelining_gets_one_command_at_a_time(hopseal, sink):
    sink.extensions = ()
    with hopseal("pass").connect() as c:
        c.ehlo()
        c.send(b"MAIL FROM:<s@a.test>\r\nRCPT TO:<r1@c.test>\r\nRCPT TO:<r2@c.test>\r\nDATA\r\n")
        for code in (250, 250, 250, 354):
            c.want(code)
        c.message(BASE)
    assert sink.one().recipients == ["<r1@c.test>", "<r2@c.test>"]


def test_a_client_that_leaves_takes_its_transaction_along(hopseal, sink):
    relay = hopseal("pass")
    with relay.connect() as c:
        c.to_data()
        c.send(BASE)
    with relay.connect() as c:
        c.deliver(BASE.replace(b"hello", b"second"))
    assert sink.one().content == BASE.replace(b"hello", b"second")


def test_half_a_session_later_the_pool_is_clean(hopseal, sink):
    """RSET between two users of one connection: no envelope of the first is left."""
    relay = hopseal("pass")
    with relay.connect() as c:
        c.mail()
        c.rcpt("<left@c.test>")
        c.cmd("RSET")
    with relay.connect() as c:
        c.deliver(BASE)
    assert sink.one().recipients == ["<r1@c.test>"]


def test_a_next_hop_that_is_the_listener_itself(hopseal):
    """Said before a connection is ever made."""
    relay = hopseal("pass", start=False)
    relay.conf["listener"]["main"]["next_hop"] = relay.conf["listener"]["main"]["address"][0]
    relay.start(ready=False)
    assert relay.ended() == 78
    assert any("next-hop" in line for line in relay.noise), relay.noise
