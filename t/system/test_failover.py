"""Several next hops: the first that serves has the mail, and a client only hears of it when none does."""
import socket

import pytest

from certs import served
from mail import BASE
from relay import ctl
from sink import CLOSE, DROP, Last
from wait import until

NO_POOL = {"pool": {"idle": 0}}


def in_order(*sinks):
    return {"next_hop": [s.address for s in sinks]}


def words(c):
    return sorted(line.split(" ")[0] for line in c.extensions)


@pytest.fixture
def silent():
    """A server that takes connections and says nothing."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(64)
        yield "127.0.0.1:%d" % sock.getsockname()[1]


def test_the_first_in_order_has_it_all(hopseal, sinks):
    first, second = sinks(), sinks()
    relay = hopseal(listener=in_order(first, second))
    with relay.connect() as c:
        c.deliver(BASE)
        c.deliver(BASE)
    assert len(first.wait(2)) == 2 and second.transactions() == []
    assert relay.event("transaction", 2)["next_hop"] == first.address
    assert relay.events("next_hop_failover") == []


def test_one_that_is_down_is_passed_over(hopseal, sinks):
    first, second = sinks(), sinks()
    first.close()
    relay = hopseal(listener=in_order(first, second))
    assert relay.event("next_hop_down")["next_hop"] == first.address
    with relay.connect() as c:
        c.deliver(BASE)
    assert second.one().content == BASE
    assert relay.event("transaction")["next_hop"] == second.address


@pytest.mark.parametrize("stage, how", [
    ("connect", b"554 5.7.1 not for you\r\n"), ("connect", Last(b"421 4.3.2 busy\r\n")), ("connect", CLOSE), ("connect", DROP),
    ("ehlo", b"450 4.3.2 wait\r\n"), ("ehlo", DROP), ("mail", Last(b"421 4.3.2 going\r\n")), ("mail", DROP), ("mail", CLOSE),
    ("mail", b"hello there\r\n")])
def test_one_that_fails_before_it_answered_mail_is_left(hopseal, sinks, stage, how):
    """It was up when it was asked last: the client waits for the other one, and hears nothing of the first."""
    first, second = sinks(), sinks()
    relay = hopseal(listener=in_order(first, second), **NO_POOL)
    first.always(stage, how)
    with relay.connect() as c:
        c.deliver(BASE, recipients=("<r1@c.test>", "<r2@c.test>"))
    assert second.one().recipients == ["<r1@c.test>", "<r2@c.test>"] and first.transactions() == []
    moved = relay.event("next_hop_failover")
    assert (moved["next_hop"], moved["to"]) == (first.address, second.address)
    assert relay.event("transaction")["next_hop"] == second.address
    assert relay.event("next_hop_down")["next_hop"] == first.address


def test_one_that_refuses_the_connection_is_left(hopseal, sinks):
    first, second = sinks(), sinks()
    relay = hopseal(listener=in_order(first, second), **NO_POOL)
    first.close()
    with relay.connect() as c:
        c.deliver(BASE)
    assert second.one().content == BASE
    relay.event("next_hop_failover")


def test_a_black_hole_is_left(hopseal, sinks, silent):
    second = sinks()
    relay = hopseal(listener={"next_hop": [silent, second.address]}, pool={"connect": 300})
    with relay.connect() as c:
        c.deliver(BASE)
    assert second.one().content == BASE


def test_one_without_the_tls_it_needs_is_left(hopseal, sinks, authority):
    first, second = sinks(), sinks(tls=served(authority.server()))
    relay = hopseal(listener=dict(in_order(first, second), next_hop_tls={"mode": "require"}))
    with relay.connect() as c:
        c.deliver(BASE)
    assert second.one().content == BASE
    assert not [line for _, line in first.commands.snapshot() if line.startswith("MAIL")]


@pytest.mark.parametrize("answer", [b"550 5.7.1 sender not welcome\r\n", b"451 4.3.0 later\r\n"])
def test_what_one_says_of_the_sender_is_the_answer(hopseal, sinks, answer):
    first, second = sinks(), sinks()
    first.always("mail", answer)
    with hopseal(listener=in_order(first, second)).connect() as c:
        c.mail(code=int(answer[:3]))
    assert second.commands.snapshot() == [] or not [line for _, line in second.commands.snapshot() if line.startswith("MAIL")]


def test_a_preferred_one_that_recovers_is_used_again(hopseal, sinks):
    first, second = sinks(), sinks()
    first.close()
    relay = hopseal(listener=in_order(first, second))
    with relay.connect() as c:
        c.deliver(BASE)
        second.one()
        first.open()
        assert relay.event("next_hop_up")["next_hop"] == first.address
        c.deliver(BASE)
    assert first.one().content == BASE


def test_all_down(hopseal, sinks):
    first, second, third = sinks(), sinks(), sinks()
    relay = hopseal(listener=in_order(first, second, third), **NO_POOL)
    for s in (first, second, third):
        s.close()
    with relay.connect() as c:
        c.mail(code=451, enhanced="4.4.1")
        c.mail(code=451, enhanced="4.4.1")
        third.open()
        c.deliver(BASE)
    assert third.one().content == BASE


def test_all_fail_each_in_its_own_way(hopseal, sinks):
    first, second = sinks(), sinks()
    relay = hopseal(listener=in_order(first, second), **NO_POOL)
    first.close()
    second.always("mail", Last(b"421 4.3.2 going\r\n"))
    with relay.connect() as c:
        c.mail(code=451, enhanced="4.4.1")


def test_lost_between_mail_and_content_another_may_have_it(hopseal, sinks):
    first, second = sinks(), sinks()
    relay = hopseal(listener=in_order(first, second))
    with relay.connect() as c:
        c.to_data("<s@a.test>", "<r1@c.test>", "<r2@c.test>")
        first.close()
        c.message(BASE)
    tx = second.one()
    assert tx.recipients == ["<r1@c.test>", "<r2@c.test>"] and tx.content == BASE


def test_another_that_answers_a_recipient_otherwise_does_not_get_it(hopseal, sinks):
    first, second = sinks(), sinks()
    second.always("rcpt", b"550 5.1.1 unknown here\r\n")
    relay = hopseal(listener=in_order(first, second))
    with relay.connect() as c:
        c.to_data()
        first.close()
        c.message(BASE, 451, "4.4.2")
    assert second.transactions() == []


def test_once_content_began_no_other_gets_it(hopseal, sinks):
    first, second = sinks(), sinks()
    first.always("content", DROP)
    relay = hopseal(listener=in_order(first, second))
    with relay.connect() as c:
        c.to_data()
        c.message(BASE, 451, "4.4.2")
    assert second.transactions() == []


def test_only_what_all_of_them_have_is_announced(hopseal, sinks):
    first = sinks(extensions=("PIPELINING", "SIZE 9000000", "8BITMIME", "SMTPUTF8", "DSN"))
    second = sinks(extensions=("SIZE 1000000", "8BITMIME"))
    relay = hopseal(listener=in_order(first, second))
    with relay.connect() as c:
        c.ehlo()
        assert c.has("8BITMIME") and not c.has("SMTPUTF8") and not c.has("DSN")
        assert c.size() == 1000000 - 131072
        second.close()
        c.deliver(BASE)     # nobody has asked for the second one: it is up still
        c.ehlo()
        assert not c.has("SMTPUTF8")


def test_one_that_is_down_lacks_nothing(hopseal, sinks):
    first, second = sinks(), sinks(extensions=())
    second.close()
    with hopseal(listener=in_order(first, second)).connect() as c:
        c.ehlo()
        assert c.has("SMTPUTF8") and c.has("8BITMIME") and c.has("DSN")


@pytest.mark.parametrize("params, enhanced", [(" BODY=8BITMIME", "4.6.3"), (" SMTPUTF8", "4.6.7"), (" RET=HDRS", "4.5.4")])
def test_what_another_lacks_is_not_converted(hopseal, sinks, params, enhanced):
    """Announced while the first was the only one; now the other is, and it may be the first's again tomorrow."""
    first, second = sinks(), sinks(extensions=())
    second.close()
    relay = hopseal(listener=in_order(first, second), **NO_POOL)
    with relay.connect() as c:
        c.ehlo()
        second.open()
        relay.event("next_hop_up", next_hop=second.address)
        first.close()
        c.mail(params=params, code=451, enhanced=enhanced)
    assert not [line for _, line in second.commands.snapshot() if line.startswith("MAIL")]


def test_what_one_has_that_takes_no_more_connections_is_not_lacking_for_good(hopseal, sinks):
    """It is up, by a connection that is idle, and has what the other lacks: the same octets pass when it has room."""
    first, second = sinks(), sinks(extensions=())
    second.close()
    relay = hopseal(listener=in_order(first, second), pool={"idle": 60000})
    with relay.connect() as c, relay.connect() as other:
        other.mail()
        c.mail()
        for each in (c, other):
            each.cmd("RSET")
        second.open()
        relay.event("next_hop_up", next_hop=second.address)
        first.script("mail", DROP)
        first.always("connect", Last(b"421 4.3.2 too many connections\r\n"))
        c.mail(params=" BODY=8BITMIME", code=451, enhanced="4.6.3")
    assert relay.events("next_hop_down", next_hop=first.address) == []


def test_one_that_has_it_is_preferred(hopseal, sinks):
    first, second, third = sinks(), sinks(extensions=()), sinks()
    second.close()
    relay = hopseal(listener=in_order(first, second, third), **NO_POOL)
    with relay.connect() as c:
        c.ehlo()
        second.open()
        relay.event("next_hop_up", next_hop=second.address)
        first.close()
        c.deliver(BASE, params=" BODY=8BITMIME")
    assert third.one().mail.endswith("BODY=8BITMIME")
    assert [e["to"] for e in relay.events("next_hop_failover")] == [third.address], "the second is not even asked"


def test_a_recipient_with_wishes_another_cannot_hear(hopseal, sinks):
    """DSN parameters of one recipient: that one is refused, the rest goes on."""
    first, second = sinks(), sinks(extensions=())
    second.close()
    relay = hopseal(listener=in_order(first, second), **NO_POOL)
    with relay.connect() as c:
        c.ehlo()
        second.open()
        relay.event("next_hop_up", next_hop=second.address)
        first.close()
        c.mail()
        c.rcpt("<r1@c.test>", params=" NOTIFY=NEVER", code=451, enhanced="4.5.4")
        c.rcpt("<r2@c.test>")
        c.cmd("DATA", 354)
        c.message(BASE)
    assert second.one().recipients == ["<r2@c.test>"]


def test_a_list_with_the_listener_in_it_is_a_mistake(hopseal, sinks, ports):
    port = ports.take()
    relay = hopseal(listener={"address": ["127.0.0.1:%d" % port], "next_hop": [sinks().address, "127.0.0.1:%d" % port]}, start=False)
    relay.start(ready=False)
    assert relay.ended() == 78


def test_as_many_connections_as_it_may_have(hopseal, sink):
    """One connection for two clients: the second has it when the first is done."""
    relay = hopseal(pool={"max": 1})
    with relay.connect() as first, relay.connect() as second:
        first.to_data()
        second.ehlo()
        second.send(b"MAIL FROM:<s2@a.test>\r\nRCPT TO:<r2@c.test>\r\n")
        relay.event("next_hop_full")
        first.message(BASE)
        second.want(250)
        second.want(250)
        second.cmd("DATA", 354)
        second.message(BASE)
    assert [tx.session for tx in sink.wait(2)] == [1, 1]


def test_status_shows_each_next_hop(hopseal, sinks):
    first, second = sinks(), sinks()
    first.close()
    relay = hopseal(listener=in_order(first, second))
    shown = relay.status()["next_hops"]
    assert [(h["listener"], h["name"], h["state"]) for h in shown] == [("main", first.address, "down"), ("main", second.address, "up")]
    assert (shown[1]["connections"], shown[1]["idle"]) == (1, 1)
    with relay.connect() as c:
        c.to_data()
        shown = relay.status()["next_hops"]
        assert (shown[1]["connections"], shown[1]["idle"]) == (1, 0)
        c.message(BASE)
    first.open()
    relay.event("next_hop_up")
    assert [h["state"] for h in relay.status()["next_hops"]] == ["up", "up"]
    line = b"next hop %s of main up, 1 connection, 1 idle\n" % first.address.encode()
    until(line, lambda: line in ctl("status", "-c", relay.file).stdout)
