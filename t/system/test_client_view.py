"""Who the client is: told to hopseal by a PROXY header, XCLIENT or XFORWARD, and told by hopseal to the next hop."""
import os
import socket
import ssl
import struct

import pytest

from certs import HOST, trust
from client import Client
from mail import BASE, values
from peers import Postfix
from sink import ALL_EXTENSIONS
from tls_client import tls
from wait import DEADLINE, until

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\r\n"
XCLIENT = "XCLIENT NAME ADDR PORT PROTO HELO"
XFORWARD = "XFORWARD NAME ADDR PORT PROTO HELO SOURCE"


def v2(source="192.0.2.7", more=b"", command=0x21):
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    body = socket.inet_pton(family, source) * 2 + struct.pack("!HH", 4711, 25) + more
    return SIGNATURE + bytes([command, 0x21 if ":" in source else 0x11]) + struct.pack("!H", len(body)) + body


def fronted(relay, header, source=None):
    """A session whose connection begins with `header`."""
    c = Client(relay.address(), source, banner=False)
    c.send(header)
    c.banner = c.want(220)
    return c


# ---- a PROXY header in front of a session

@pytest.mark.parametrize("header, client", [
    (V1, "192.0.2.7"), (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 25\r\n", "2001:db8::7"),
    (v2(), "192.0.2.7"), (v2("2001:db8::7"), "2001:db8::7"), (v2(more=b"\x04\x00\x03abc"), "192.0.2.7")])
def test_a_proxy_header_names_the_client(hopseal, sink, header, client):
    relay = hopseal("inbound", listener={"proxy_from": ["127.0.0.1"]},
                    policy=[{"name": "known", "when": ["client = %s" % client], "then": "accept"}], otherwise="refuse 550 5.7.1 who?")
    with fronted(relay, header) as c:
        c.deliver(BASE)
    assert "[%s%s]" % ("IPv6:" if ":" in client else "", client) in values(sink.one().content, "Received")[0]
    got = relay.event("transaction")
    assert (got["client"], got["peer"], got["outcome"]) == (client, "127.0.0.1", "accepted")


def test_nothing_is_said_before_the_header_is_whole(hopseal, sink):
    relay = hopseal("pass", listener={"proxy_from": ["127.0.0.1"]})
    header = v2(more=b"\x04\x00\x01x")
    with Client(relay.address(), banner=False) as c:
        for n in range(len(header)):
            c.sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                c.sock.recv(1)
            c.sock.settimeout(DEADLINE)
            c.send(header[n:n + 1])
        c.want(220)
        c.deliver(BASE)
    assert relay.event("transaction")["client"] == "192.0.2.7"


@pytest.mark.parametrize("octets", [
    b"EHLO t.a.test\r\n", b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\n", b"PROXY UNKNOWN " + b"x" * 100, SIGNATURE + b"\x21\x11\xff\xff\x7f\0\0\x01",
    SIGNATURE + b"\x22\x11\0\x0c" + b"\0" * 12, v2(more=b"x" * 520), b"\0"])
def test_without_a_good_header_not_a_word(hopseal, octets):
    relay = hopseal("pass", listener={"proxy_from": ["127.0.0.1"]})
    with Client(relay.address(), banner=False) as c:
        c.send(octets)
        c.gone()
    assert relay.event("proxy_header_bad")["client"] == "127.0.0.1"


def test_a_header_cut_short_is_no_header(hopseal):
    relay = hopseal("pass", listener={"proxy_from": ["127.0.0.1"]})
    with Client(relay.address(), banner=False) as c:
        c.send(v2()[:20])
        c.sock.shutdown(socket.SHUT_WR)
        c.gone()
    relay.event("proxy_header_bad")


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\0\0\0", v2(command=0x20), SIGNATURE + b"\x21\0\0\0"])
def test_a_header_without_a_client_leaves_the_peer(hopseal, sink, header):
    relay = hopseal("pass", listener={"proxy_from": ["127.0.0.0/8"]})
    with fronted(relay, header, "127.0.0.3") as c:
        c.deliver(BASE)
    got = relay.event("transaction")
    assert got["client"] == "127.0.0.3" and "peer" not in got


def test_only_configured_peers_may_send_a_header(hopseal):
    relay = hopseal("pass", listener={"proxy_from": ["127.0.0.2"]})
    with relay.connect() as c:
        c.send(V1)
        c.want(554, "5.5.1")
        c.gone()
    assert relay.event("proxy_header_bad")["client"] == "127.0.0.1"


def test_a_second_header_is_refused(hopseal):
    relay = hopseal("pass", listener={"proxy_from": ["127.0.0.1"]})
    with fronted(relay, V1) as c:
        c.send(V1)
        c.want(500, "5.5.1")
        c.gone()
    relay.event("proxy_header_bad", client="192.0.2.7", peer="127.0.0.1")


def test_sessions_are_counted_for_the_client_of_the_header(hopseal):
    relay = hopseal("pass", listener={"proxy_from": ["127.0.0.1"]}, limits={"sessions_per_client": 2})
    with fronted(relay, v2()), fronted(relay, v2()), fronted(relay, v2("192.0.2.8")), Client(relay.address(), banner=False) as c:
        c.send(v2())
        c.want(421, "4.7.0")
        c.gone()
    relay.event("session_limit", client="192.0.2.7", peer="127.0.0.1")
    with fronted(relay, v2()):
        pass


def test_connections_are_counted_for_the_client_of_the_header(hopseal):
    relay = hopseal("pass", listener={"proxy_from": ["127.0.0.1"]}, limits={"connects_per_client": 2})
    for address, code in (("192.0.2.7", 220), ("192.0.2.7", 220), ("192.0.2.8", 220), ("192.0.2.7", 421), ("192.0.2.8", 220)):
        with Client(relay.address(), banner=False) as c:
            c.send(v2(address))
            c.want(code)
    relay.event("client_rate", client="192.0.2.7", peer="127.0.0.1")


def test_the_balancer_s_own_rights_are_not_its_clients(hopseal, sink, keyring):
    """clients and xclient-from hold the balancer's address, not that of who comes through it."""
    relay = hopseal("outbound", keys=[keyring.key("a.test")],
                    listener={"proxy_from": ["127.0.0.1"], "xclient_from": ["127.0.0.1"], "clients": ["127.0.0.1", "192.0.2.8"]})
    with fronted(relay, v2()) as c:
        c.ehlo()
        assert not c.has("XCLIENT")
        c.cmd("XCLIENT ADDR=192.0.2.8", 550, "5.7.1")
        c.mail()
        c.rcpt(code=550, enhanced="5.7.1")
    with fronted(relay, v2("192.0.2.8")) as c:
        c.deliver(BASE)


def test_greet_pause_begins_behind_the_header(hopseal):
    relay = hopseal("pass", listener={"proxy_from": ["127.0.0.1"], "greet_pause": 60000})
    with Client(relay.address(), banner=False) as c:
        c.send(V1 + b"EHLO t.a.test\r\n")
        c.want(554, "5.5.1")
        c.gone()
    relay.event("smtp_early_talk", client="192.0.2.7")


# ---- and TLS from the first octet behind it

@pytest.mark.parametrize("how", ["whole", "octets", "cuts"])
@pytest.mark.parametrize("header, client", [
    (V1, "192.0.2.7"), (b"PROXY UNKNOWN\r\n", "127.0.0.1"), (v2(), "192.0.2.7"), (v2("2001:db8::7", b"\x04\x00\x03abc"), "2001:db8::7"),
    (SIGNATURE + b"\x20\0\0\0", "127.0.0.1")])
def test_implicit_tls_behind_a_proxy_header(hopseal, sink, authority, cert, header, client, how):
    """The hello may stand in the segment of the header, or anywhere behind it."""
    relay = hopseal("pass", listener=dict(tls(cert, "implicit"), proxy_from=["127.0.0.1"]))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = trust(authority).wrap_bio(incoming, outgoing, server_hostname=HOST)
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    octets = header + outgoing.read()
    step = {"whole": len(octets), "octets": 1, "cuts": 7}[how]
    with Client(relay.address(), banner=False) as c:
        for at in range(0, len(octets), step):
            c.send(octets[at:at + step])

        def speak(do):
            while True:
                try:
                    return do()
                except ssl.SSLWantReadError:
                    c.send(outgoing.read())
                    incoming.write(c.sock.recv(65536))
        speak(session.do_handshake)
        c.send(outgoing.read())
        assert speak(lambda: session.read(1000)).startswith(b"220 ")
        for line in (b"EHLO t.a.test\r\n", b"MAIL FROM:<s@a.test>\r\n", b"RSET\r\n"):
            session.write(line)
            c.send(outgoing.read())
            assert speak(lambda: session.read(1000)).startswith(b"250")
    got = relay.event("transaction")
    assert got["client"] == client and got["tls"].startswith("TLSv1.3/")


@pytest.mark.parametrize("octets", [b"\x16\x03\x01\x02\x00\x01", b"EHLO t.a.test\r\n", V1[:20], v2()[:20]])
def test_no_header_before_implicit_tls(hopseal, cert, octets):
    relay = hopseal("pass", listener=dict(tls(cert, "implicit"), proxy_from=["127.0.0.1"]))
    with Client(relay.address(), banner=False) as c:
        c.send(octets)
        try:
            c.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass                                # it is closed already
        c.gone()
    relay.event("proxy_header_bad")


def test_garbage_behind_the_header_is_no_handshake(hopseal, cert):
    relay = hopseal("pass", listener=dict(tls(cert, "implicit"), proxy_from=["127.0.0.1"]))
    with Client(relay.address(), banner=False) as c:
        c.send(V1 + b"EHLO t.a.test\r\n")
        assert relay.event("tls_handshake_failed")["client"] == "192.0.2.7"


def ended(c):
    """Closed, without a word."""
    try:
        c.sock.setblocking(False)
        assert c.sock.recv(1) == b""
        return True
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_too_many_sessions_of_a_client_before_implicit_tls(hopseal, cert):
    relay = hopseal("pass", listener=dict(tls(cert, "implicit"), proxy_from=["127.0.0.1"]), limits={"sessions_per_client": 1})
    with Client(relay.address(), banner=False) as first, Client(relay.address(), banner=False) as c:
        for each in (first, c):
            each.send(v2())
        relay.event("session_limit", client="192.0.2.7")
        until("the end of one of them", lambda: [ended(first), ended(c)].count(True) == 1)


# ---- XCLIENT and XFORWARD from those who may

def test_xclient_makes_a_new_session_of_somebody_else(hopseal, sink):
    relay = hopseal("inbound", listener={"xclient_from": ["127.0.0.1"]}, policy=[
        {"name": "him", "when": ["client = 192.0.2.7", "helo = client.test"], "then": "accept"}], otherwise="refuse 550 5.7.1 who?")
    with relay.connect() as c:
        assert XCLIENT in c.ehlo()
        c.mail(code=550)
        c.cmd("XCLIENT ADDR=192.0.2.7 NAME=[TEMPUNAVAIL] PORT=4711 PROTO=ESMTP HELO=client.test", 220)
        c.deliver(BASE)
        c.cmd("XCLIENT ADDR=IPV6:2001:db8::7", 220)
        c.cmd("MAIL FROM:<s@a.test>", 503)
        c.ehlo("client.test")
        c.mail(code=550)
    assert "from client.test ([192.0.2.7])" in values(sink.one().content, "Received")[0]
    relay.event("transaction", client="192.0.2.7", peer="127.0.0.1", outcome="accepted")
    relay.event("transaction", client="2001:db8::7", peer="127.0.0.1", outcome="refused")


def test_xclient_is_not_for_a_stranger(hopseal):
    relay = hopseal("inbound", listener={"xclient_from": ["127.0.0.2"]})
    with relay.connect() as c:
        c.ehlo()
        assert not c.has("XCLIENT") and not c.has("XFORWARD")
        c.cmd("XCLIENT ADDR=192.0.2.7", 550, "5.7.1")
        c.cmd("XFORWARD ADDR=192.0.2.7", 550, "5.7.1")
    relay.event("smtp_xclient_refused", 2, client="127.0.0.1")


def test_xclient_moves_the_session_to_the_client_s_account(hopseal):
    relay = hopseal("pass", listener={"xclient_from": ["127.0.0.1"]}, limits={"sessions_per_client": 2})
    sessions = [relay.connect() for _ in range(2)]
    for c in sessions:
        c.cmd("XCLIENT ADDR=192.0.2.7", 220)
    with relay.connect() as c:
        c.cmd("XCLIENT ADDR=192.0.2.7", 220)
        c.want(421, "4.7.0")
        c.gone()
    for c in sessions:
        c.close()


def test_who_is_no_client_of_ours_stays_so_by_xclient(hopseal, keyring):
    relay = hopseal("outbound", keys=[keyring.key("a.test")], listener={"xclient_from": ["127.0.0.1"]})
    for words in ("ADDR=192.0.2.7", "ADDR=[UNAVAILABLE]"):
        with relay.connect() as c:
            c.cmd("XCLIENT " + words, 220)
            c.mail()
            c.rcpt(code=550, enhanced="5.7.1")


def test_xforward_is_for_one_transaction_and_the_log(hopseal, sink):
    relay = hopseal("inbound", listener={"xclient_from": ["127.0.0.1"]})
    with relay.connect() as c:
        assert any(line.startswith("XFORWARD ") for line in c.ehlo())
        c.cmd("XFORWARD ADDR=192.0.2.7 NAME=a.test")
        c.mail()
        c.cmd("XFORWARD ADDR=192.0.2.8", 503)
        c.rcpt()
        c.cmd("DATA", 354)
        c.message(BASE)
        c.deliver(BASE)
    one, two = relay.event("transaction", 1), relay.event("transaction", 2)
    assert (one["client"], one["forwarded"]) == ("127.0.0.1", "192.0.2.7")
    assert two["client"] == "127.0.0.1" and "forwarded" not in two
    assert "[127.0.0.1]" in values(sink.wait(2)[0].content, "Received")[0]


# ---- the next hop hears of it

def test_each_transaction_is_its_own_client_s_on_a_shared_connection(hopseal, sink):
    """One connection in the pool, three clients in turn: none is ever taken for another."""
    sink.extensions = ALL_EXTENSIONS + (XCLIENT,)
    relay = hopseal("pass", listener={"next_hop_client": "xclient", "xclient_from": ["127.0.0.1"]})
    who = ["127.0.0.2", "127.0.0.3", "127.0.0.2", "127.0.0.4", "127.0.0.4", "127.0.0.2"]
    for n, source in enumerate(who):
        with relay.connect(source=source) as c:
            c.ehlo("h%s.test" % source[-1])
            c.deliver(BASE, sender="<s%d@a.test>" % n)
            c.deliver(BASE, sender="<t%d@a.test>" % n)
    got = sink.wait(2 * len(who))
    for n, source in enumerate(who):
        for tx, letter in zip(got[2 * n:2 * n + 2], "st"):
            assert tx.sender == "<%s%d@a.test>" % (letter, n)
            assert " ADDR=%s " % source in tx.xclient and tx.xclient.endswith("PROTO=ESMTP HELO=h%s.test" % source[-1])
            assert "NAME=[UNAVAILABLE]" in tx.xclient and "PORT=[UNAVAILABLE]" not in tx.xclient
            assert tx.helo == "EHLO h%s.test" % source[-1]
    assert len({tx.session for tx in got}) == 1


def test_clients_side_by_side_keep_apart(hopseal, sink):
    sink.extensions = ALL_EXTENSIONS + (XCLIENT,)
    relay = hopseal("pass", listener={"next_hop_client": "xclient"})
    clients = {source: relay.connect(source=source) for source in ("127.0.0.2", "127.0.0.3", "127.0.0.4")}
    for turn in range(3):
        for source, c in clients.items():
            c.mail("<s%s@a.test>" % source[-1])
        for c in reversed(list(clients.values())):
            c.rcpt()
            c.cmd("DATA", 354)
            c.message(BASE)
        for source, c in clients.items():      # given back half-way
            c.mail("<s%s@a.test>" % source[-1])
            c.cmd("RSET")
    for tx in sink.wait(9):
        assert " ADDR=127.0.0.%s " % tx.sender[2] in tx.xclient
    for c in clients.values():
        c.close()


def test_what_xclient_told_us_goes_on_by_xclient(hopseal, sink):
    sink.extensions = ALL_EXTENSIONS + (XCLIENT,)
    relay = hopseal("pass", listener={"next_hop_client": "xclient", "xclient_from": ["127.0.0.1"]})
    with relay.connect() as c:
        c.cmd("XCLIENT NAME=a+2Etest ADDR=IPV6:2001:db8::7 PORT=4711 PROTO=SMTP HELO=[192.0.2.9]", 220)
        c.greeted = True
        c.deliver(BASE)
    assert sink.one().xclient == "XCLIENT NAME=a.test ADDR=IPV6:2001:db8::7 PORT=4711 PROTO=SMTP HELO=[192.0.2.9]"


def test_a_next_hop_without_xclient_gets_its_mail(hopseal, sink):
    relay = hopseal("pass", listener={"next_hop_client": "xclient"})
    for n in range(3):
        with relay.connect() as c:
            c.deliver(BASE)
    assert [tx.helo for tx in sink.wait(3)] == ["EHLO mx.c.test"] * 3
    relay.event("up_lacks")
    assert len(relay.events("up_lacks")) == 1


def test_a_refused_xclient_hands_nobody_s_mail_over(hopseal, sink):
    """The connection belonged to the client before: it is dropped, not used."""
    sink.extensions = ALL_EXTENSIONS + (XCLIENT,)
    relay = hopseal("pass", listener={"next_hop_client": "xclient"})
    with relay.connect(source="127.0.0.2") as c:
        c.deliver(BASE)
    sink.always("xclient", b"501 5.5.4 no\r\n")
    with relay.connect(source="127.0.0.3") as c:
        c.mail(code=451)
    assert len(sink.transactions()) == 1
    sink.always("xclient", None)
    with relay.connect(source="127.0.0.3") as c:
        c.deliver(BASE)
    assert " ADDR=127.0.0.3 " in sink.wait(2)[1].xclient


def test_a_connection_lost_on_xclient_is_made_anew(hopseal, sink):
    from sink import DROP
    sink.extensions = ALL_EXTENSIONS + (XCLIENT,)
    relay = hopseal("pass", listener={"next_hop_client": "xclient"})
    with relay.connect(source="127.0.0.2") as c:
        c.deliver(BASE)
    sink.script("xclient", DROP)
    with relay.connect(source="127.0.0.3") as c:
        c.deliver(BASE)
    assert " ADDR=127.0.0.3 " in sink.wait(2)[1].xclient


def test_xforward_goes_with_every_transaction(hopseal, sink):
    sink.extensions = ALL_EXTENSIONS + (XFORWARD,)
    relay = hopseal("pass", listener={"next_hop_client": "xforward", "xclient_from": ["127.0.0.1"]})
    with relay.connect(source="127.0.0.2") as c:
        c.deliver(BASE)
        c.deliver(BASE)
    with relay.connect() as c:
        c.ehlo()
        c.cmd("XFORWARD ADDR=192.0.2.7 SOURCE=LOCAL")
        c.deliver(BASE)
        c.deliver(BASE)
    one, two, three, four = [tx.xforward for tx in sink.wait(4)]
    assert one == two and " ADDR=127.0.0.2 " in one and one.endswith("HELO=t.a.test SOURCE=[UNAVAILABLE]")
    assert three == "XFORWARD NAME=[UNAVAILABLE] ADDR=192.0.2.7 PORT=[UNAVAILABLE] PROTO=[UNAVAILABLE] HELO=[UNAVAILABLE] SOURCE=LOCAL"
    assert " ADDR=127.0.0.1 " in four


def test_a_proxy_header_for_the_next_hop(hopseal, sink):
    """A connection is one session's: another client never gets it, the probe's is nobody's."""
    sink.fronted = True
    relay = hopseal("pass", listener={"next_hop_client": "proxy"})
    ends = []
    for source in ("127.0.0.2", "127.0.0.3", "127.0.0.2"):
        with relay.connect(source=source) as c:
            ends.append(c.sock.getsockname())
            c.deliver(BASE)
            c.deliver(BASE)
    got = sink.wait(6)
    for n, (host, port) in enumerate(ends):
        for tx in got[2 * n:2 * n + 2]:
            assert tx.front[12:16] == b"\x21\x11\0\x0c"
            assert tx.front[16:20] == socket.inet_aton(host) and tx.front[20:24] == socket.inet_aton("127.0.0.1")
            assert struct.unpack("!HH", tx.front[24:]) == (port, relay.address()[1])
        assert got[2 * n].session == got[2 * n + 1].session
    assert len({tx.session for tx in got}) == 3


@pytest.fixture
def postfix(room, ports):
    made = []

    def make(extra):
        folder = os.path.join(room, "postfix")
        os.mkdir(folder)
        made.append(Postfix(folder, ports.take(), None, extra))
        return made[-1]
    yield make
    for p in made:
        print(p.log())
        p.stop()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["xclient", "xforward", "proxy"])
def test_postfix_behind_sees_the_client(hopseal, sink, postfix, how):
    mta = postfix("smtpd_authorized_xclient_hosts = 127.0.0.1\nsmtpd_authorized_xforward_hosts = 127.0.0.1\n" +
                  ("smtpd_upstream_proxy_protocol = haproxy\n" if how == "proxy" else ""))
    relay = hopseal("inbound", listener={"next_hop": "127.0.0.1:%d" % mta.port, "next_hop_client": how})
    for source in ("127.0.0.5", "127.0.0.6"):
        with relay.connect(source=source) as c:
            c.ehlo("h%s.test" % source[-1])
            c.deliver(BASE)
            c.deliver(BASE)
    stored = until("four messages in the mailbox", lambda: (lambda got: got if len(got) == 4 else None)(mta.mailbox("r1")))
    seen = sorted(values(message, "Received")[0] for message in stored)
    if how == "xforward":      # for its log only
        assert mta.log().count("orig_client=unknown[127.0.0.5]") == mta.log().count("orig_client=unknown[127.0.0.6]") == 2
        return
    for n, source in enumerate(("127.0.0.5", "127.0.0.6")):
        for field in seen[2 * n:2 * n + 2]:
            assert "[%s])" % source in field
            assert how == "proxy" or "from h%s.test " % source[-1] in field
