"""Peers that leave, stall or lie at the worst moment: what was promised still holds."""
import os
import socket
import struct
import threading

import pytest

from mail import BASE
from sink import CLOSE, Hold
from wait import until


def reset(c):
    """The client is gone without a word."""
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.close()


def rss_kib(pid):
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        return [int(line.split()[1]) for line in f if line.startswith("RssAnon:")][0]


def test_a_client_gone_after_the_dot_is_logged_with_the_answer(hopseal, sink):
    """The next hop has it: its answer is awaited, since somebody will ask what became of the message."""
    gate = threading.Event()
    sink.script("dot", Hold(gate))
    relay = hopseal("pass")
    c = relay.connect()
    c.to_data()
    c.send(BASE + b".\r\n")
    sink.contents.wait("the content at the next hop", lambda items: items)
    reset(c)
    relay.event("client_gone_after_dot")
    gate.set()
    assert relay.event("transaction")["outcome"] == "accepted"
    assert sink.one().content == BASE
    until("the end of its session", lambda: relay.status()["counters"]["sessions_open"] == 0)


@pytest.mark.parametrize("how", ["fin", "reset"])
def test_a_client_gone_in_the_content(hopseal, sink, how):
    relay = hopseal("pass")
    c = relay.connect()
    c.to_data()
    c.send(b"Subject: s\r\n\r\nhalf a mess")
    if how == "fin":
        c.sock.shutdown(socket.SHUT_WR)
        c.gone()
    else:
        reset(c)
    relay.event("client_gone_in_data")
    assert relay.event("transaction")["outcome"] == "aborted"
    assert sink.contents.snapshot() == []


def test_a_next_hop_that_takes_no_more_commands_after_354(hopseal, sink):
    sink.script("content", CLOSE)
    relay = hopseal("pass")
    with relay.connect() as c:
        c.to_data()
        c.message(BASE, 451, "4.4.2")
        c.deliver(BASE)
    assert len(sink.wait(1)) == 1


def test_a_header_without_end_and_with_too_many_fields_is_never_cut(hopseal, sink):
    """Shadow changes nothing, and what cannot be parsed must not pass for nothing."""
    relay = hopseal("inbound", listener={"shadow": True}, limits={"header_fields": 1000})
    with relay.connect() as c:
        c.deliver(b"A: b\r\n" * 1001, code=552, enhanced="5.3.4")
        c.deliver(b"A: b\r\n" * 1000)
    assert sink.one().content.endswith(b"A: b\r\n" * 1000)


@pytest.mark.parametrize("service", ["pass", "outbound"])
def test_recipients_put_off_are_bounded(hopseal, sink, keyring, service):
    """A transaction of nothing but 4xx: neither memory nor work grows with what the client dares to send."""
    sink.always("rcpt", b"452 4.2.2 later\r\n")
    relay = hopseal(service, keys=[keyring.key("a.test")])
    (worker,) = relay.pids("worker")
    before = rss_kib(worker)
    answers = []
    with relay.connect() as c:
        c.mail()

        def feed():
            try:
                for k in range(100):
                    c.send(b"".join(b"RCPT TO:<\"%s\"@c.test>\r\n" % (b"%08d" % (k * 500 + n) + b"x" * 400) for n in range(500)))
            except OSError:
                pass
        feeder = threading.Thread(target=feed)
        feeder.start()
        try:
            while True:
                answers.append(c.reply().code)
        except (EOFError, OSError):
            pass
        feeder.join()
    assert answers[-1] == 421, answers[-3:]
    assert len(answers) <= 2002
    if "asan" not in os.environ.get("HOPSEAL_BUILD", ""):
        assert rss_kib(worker) - before < 8192


def test_a_next_hop_that_says_421_to_the_content_has_not_taken_it(hopseal, sink):
    """An answer and a plain one: nothing is lost, so nothing may be there twice."""
    sink.script("dot", b"421 4.3.2 going down\r\n")
    relay = hopseal("pass")
    with relay.connect() as c:
        c.deliver(BASE, code=451, enhanced="4.4.2")
    assert "duplicate" not in relay.event("transaction")
    assert relay.event("up_421") and not relay.events("up_final_lost")
