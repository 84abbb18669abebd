"""A next hop by its name: what DNS says of it is used for as long as it is good, and nothing hostile in it goes far."""
import socket

import pytest

from mail import BASE

NO_POOL = {"pool": {"idle": 0}}


def named(sink, name="mx.c.test"):
    return {"next_hop": "%s:%d" % (name, sink.port)}


@pytest.mark.parametrize("answers", [
    {"mx.c.test": {"A": ["127.0.0.1"]}},
    {"mx.c.test": {"CNAME": "real.test"}, "real.test": {"CNAME": "host.test"}, "host.test": {"A": ["127.0.0.1"]}},
    {"mx.c.test": {"AAAA": ["::1"], "A": ["127.0.0.1"]}},                       # nobody listens there on IPv6
    {"mx.c.test": {"A": ["127.0.0.9", "127.0.0.8", "127.0.0.1"]}},              # nor on these
    {"mx.c.test": {"A": ["0.0.0.0", "255.255.255.255", "224.0.0.1", "240.0.0.1", "127.0.0.1"], "AAAA": ["::", "ff02::1", "fe80::1"]}},
    ], ids=["address", "alias", "both-families", "several", "useless-ones-first"])
def test_a_name(hopseal, sink, answers):
    relay = hopseal(listener=named(sink), answers=answers)
    with relay.connect() as c:
        c.ehlo()
        assert c.has("8BITMIME"), "probed before the first client came"
        c.deliver(BASE)
    assert sink.one().content == BASE
    assert relay.event("transaction")["next_hop"] == named(sink)["next_hop"]


def test_ipv6(hopseal, room):
    """An address that only IPv6 has."""
    with socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        sock.listen(8)
        port = sock.getsockname()[1]
        relay = hopseal(listener={"next_hop": "mx.c.test:%d" % port}, answers={"mx.c.test": {"AAAA": ["::1"], "A": ["127.0.0.1"]}}, start=False)
        relay.start(ready=False)
        sock.settimeout(30)
        got, _ = sock.accept()
        with got:
            got.sendall(b"220 six.test\r\n")
            assert got.recv(100).startswith(b"EHLO mx.c.test")
            got.sendall(b"250 six.test\r\n")
            relay.event("ready")


@pytest.mark.parametrize("answers, enhanced", [
    ({}, "4.4.1"), ({"mx.c.test": {"TXT": ["x"]}}, "4.4.1"),
    ({"mx.c.test": {"error": "servfail"}}, "4.4.3"), ({"mx.c.test": {"error": "timeout"}}, "4.4.3"),
    ({"mx.c.test": {"CNAME": "b.test"}, "b.test": {"CNAME": "mx.c.test"}}, "4.4.3"),
    ({"mx.c.test": {"A": ["0.0.0.0"]}}, "4.4.1")], ids=["no-name", "no-address", "servfail", "timeout", "loop", "useless"])
def test_a_name_that_leads_nowhere_is_a_next_hop_that_is_down(hopseal, sink, answers, enhanced):
    relay = hopseal(listener=named(sink), answers=answers)
    relay.event("next_hop_down")
    with relay.connect() as c:
        c.ehlo()
        assert not c.has("8BITMIME")
        c.mail(code=451, enhanced=enhanced)
        c.cmd("NOOP")
    assert sink.commands.snapshot() == []


def test_another_next_hop_is_taken_when_a_name_leads_nowhere(hopseal, sink):
    relay = hopseal(listener={"next_hop": ["nowhere.test:25", sink.address]}, answers={})
    with relay.connect() as c:
        c.deliver(BASE)
    assert sink.one().content == BASE


def test_a_name_that_leads_to_the_listener_itself(hopseal, ports):
    """Nobody could see it in the configuration."""
    port = ports.take()
    relay = hopseal(listener={"address": ["127.0.0.1:%d" % port], "next_hop": "mx.c.test:%d" % port}, answers={"mx.c.test": {"A": ["127.0.0.1"]}},
                    start=False)
    relay.listeners["main"] = ("127.0.0.1", port)
    relay.start()
    with relay.connect() as c:
        c.mail(code=554, enhanced="5.4.6")
    assert relay.event("route_refused")["note"] == "127.0.0.1: is the listener itself"
    relay.event("mail_loop")


def test_of_several_addresses_the_listener_itself_is_left_out(hopseal, sinks):
    sink = sinks()
    relay = hopseal(listener={"address": ["127.0.0.2:%d" % sink.port], "next_hop": "mx.c.test:%d" % sink.port},
                    answers={"mx.c.test": {"A": ["127.0.0.2", "127.0.0.1"]}}, start=False)
    relay.listeners["main"] = ("127.0.0.2", sink.port)
    relay.start()
    with relay.connect() as c:
        c.deliver(BASE)
    assert sink.one().content == BASE
    relay.event("route_refused")


def test_no_more_than_ten_addresses_are_tried(hopseal, sink):
    answers = {"mx.c.test": {"A": ["127.1.%d.%d" % (i // 200, i % 200 + 1) for i in range(500)]}}
    relay = hopseal(listener=named(sink), answers=answers)
    relay.event("next_hop_down")
    before = len(relay.events("up_down"))
    assert before == 10
    with relay.connect() as c:
        c.mail(code=451, enhanced="4.4.1")
    assert len(relay.events("up_down")) - before <= 20, "one for the client, and one probe that may have come meanwhile"


def test_the_address_that_answered_is_asked_first(hopseal, sink):
    relay = hopseal(listener=named(sink), answers={"mx.c.test": {"A": ["127.0.0.9", "127.0.0.1"]}}, **NO_POOL)
    with relay.connect() as c:
        c.deliver(BASE)
        c.deliver(BASE)
    assert len(relay.events("up_down")) == 1, "the first probe, and nobody after it"


def test_its_certificate_has_its_name(hopseal, sinks, authority):
    from certs import HOST, served
    sink = sinks(tls=served(authority.server()))
    relay = hopseal(listener=dict(named(sink, HOST), next_hop_tls={"mode": "verify", "ca": authority.root}),
                    answers={HOST: {"A": ["127.0.0.1"]}})
    with relay.connect() as c:
        c.deliver(BASE)
    assert sink.one().content == BASE
    relay = hopseal(listener=dict(named(sink, "other.test"), next_hop_tls={"mode": "verify", "ca": authority.root}),
                    answers={"other.test": {"A": ["127.0.0.1"]}})
    with relay.connect() as c:
        c.mail(code=451, enhanced="4.7.5")
