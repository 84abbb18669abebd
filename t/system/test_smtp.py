"""The client's side of SMTP: what is announced, what is refused, what ends a message."""
import pytest

from mail import BASE


def test_lf_dot_lf_does_not_end_data(hopseal, sink):
    """A body cannot smuggle a second transaction (RFC 5321 2.3.8)."""
    relay = hopseal("pass")
    with relay.connect() as c:
        c.to_data("<s@a.test>", "<r@c.test>")
        c.send(b"Subject: one\r\n\r\nx\n.\nMAIL FROM:<ceo@a.test>\r\n.\r\n")
        c.want(550, "5.5.2")
    assert sink.transactions() == []


@pytest.mark.parametrize("octets", [b"a\nb\r\n", b"a\rb\r\n", b"a\0b\r\n", b"\n", b"x\r\r\n", b"x\n.\r\n", b"x\r\n.\n", b"x\r.\r\n"],
                         ids=["lf", "cr", "nul", "lf alone", "cr cr lf", "lf dot crlf", "crlf dot lf", "cr dot crlf"])
@pytest.mark.parametrize("service", ["pass", "inbound"])
def test_only_crlf_ends_a_line(hopseal, sink, service, octets):
    relay = hopseal(service)
    with relay.connect() as c:
        c.to_data()
        c.send(BASE + octets + b"\r\n.\r\n")
        c.want(550, "5.6.0" if b"\0" in octets else "5.5.2")
    assert sink.transactions() == []


def test_bare_lf_in_a_header_is_refused(hopseal, sink):
    with hopseal("inbound").connect() as c:
        c.to_data()
        c.send(BASE.replace(b"Subject: t\r\n", b"Subject: t\nX: y\r\n") + b".\r\n")
        c.want(550, "5.5.2")
    assert sink.transactions() == []


def test_end_of_data_found_at_every_cut(hopseal, sink):
    """CRLF . CRLF is the end however the segments fall, and nothing else is."""
    relay = hopseal("pass")
    tail = b"x\r\n..y\r\n.\r\n"
    with relay.connect() as c:
        for cut in range(1, len(tail)):
            c.to_data()
            c.send(BASE + tail[:cut])
            c.send(tail[cut:])
            c.want(250)
        assert [tx.content for tx in sink.wait(len(tail) - 1)] == [BASE + b"x\r\n.y\r\n"] * (len(tail) - 1)


def test_a_session_octet_by_octet(hopseal, sink):
    with hopseal("inbound").connect() as c:
        for line, code in ((b"EHLO t.a.test", 250), (b"MAIL FROM:<s@a.test>", 250), (b"RCPT TO:<r1@c.test>", 250), (b"DATA", 354)):
            for octet in line + b"\r\n":
                c.send(bytes([octet]))
            c.want(code)
        for octet in BASE + b".\r\n":
            c.send(bytes([octet]))
        c.want(250)
    assert sink.one().content.endswith(BASE)


def test_ehlo_announces_what_the_next_hop_has(hopseal, sink):
    with hopseal("pass").connect() as c:
        c.ehlo()
        assert sorted(line.split(" ")[0] for line in c.extensions) == [
            "8BITMIME", "CHUNKING", "DSN", "ENHANCEDSTATUSCODES", "LIMITS", "PIPELINING", "SIZE", "SMTPUTF8"]


def test_ehlo_announces_less_when_the_next_hop_has_less(hopseal, sink):
    sink.extensions = ("8BITMIME", "STARTTLS", "BINARYMIME", "X-ODD thing", "AUTH PLAIN")
    with hopseal("pass").connect() as c:
        c.ehlo()
        assert sorted(line.split(" ")[0] for line in c.extensions) == [
            "8BITMIME", "CHUNKING", "ENHANCEDSTATUSCODES", "LIMITS", "PIPELINING", "SIZE"]
        c.mail(params=" SMTPUTF8", code=555, enhanced="5.5.4")
        c.mail(params=" BODY=BINARYMIME", code=501)


def test_a_next_hop_without_ehlo_is_spoken_to_by_helo(hopseal, sinks):
    old = sinks(esmtp=False)
    with hopseal("pass", listener={"next_hop": old.address}).connect() as c:
        c.ehlo()
        assert sorted(line.split(" ")[0] for line in c.extensions) == ["CHUNKING", "ENHANCEDSTATUSCODES", "LIMITS", "PIPELINING", "SIZE"]
        c.deliver(BASE)
    assert old.one().helo.startswith("HELO ")


@pytest.mark.parametrize("next_hop, ours, wanted", [
    ("SIZE 200000000", 52428800, 52428800), ("SIZE 10000000", 52428800, 10000000 - 131072), ("SIZE 0", 5000000, 5000000),
    ("SIZE", 5000000, 5000000), ("SIZE 1000", 5000000, 1), ("SIZE 131073", 5000000, 1)])
def test_size_leaves_room_for_what_we_add(hopseal, sink, next_hop, ours, wanted):
    sink.extensions = (next_hop,)
    with hopseal("pass", limits={"message_size": ours}).connect() as c:
        c.ehlo()
        assert c.size() == wanted


def test_too_big_by_its_own_word(hopseal, sink):
    with hopseal("pass", limits={"message_size": 2000}).connect() as c:
        c.mail(params=" SIZE=2001", code=552, enhanced="5.3.4")
        c.mail(params=" SIZE=2000")
    assert sink.transactions() == []


def test_too_big_in_fact(hopseal, sink):
    with hopseal("pass", limits={"message_size": 2000}).connect() as c:
        c.deliver(BASE + b"x" * 2000 + b"\r\n", code=552, enhanced="5.3.4")
        c.deliver(BASE + b"x" * (2000 - len(BASE) - 2) + b"\r\n")
    assert len(sink.one().content) == 2000


def test_header_limits(hopseal, sink):
    with hopseal("inbound", limits={"header": 2048, "header_fields": 20}).connect() as c:
        c.deliver(b"X-Long: " + b"y" * 2100 + b"\r\n" + BASE, code=552, enhanced="5.3.4")
        c.deliver(b"X: y\r\n" * 20 + BASE, code=552, enhanced="5.3.4")
        c.deliver(b"X: y\r\n" * 5 + BASE)
    assert len(sink.wait(1)) == 1


def test_pipelined_commands_are_answered_in_order(hopseal, sink):
    sink.script("rcpt", b"250 2.1.5 one\r\n", b"550 5.1.1 two\r\n", b"250 2.1.5 three\r\n")
    with hopseal("pass").connect() as c:
        c.ehlo()
        c.send(b"MAIL FROM:<s@a.test>\r\nRCPT TO:<r1@c.test>\r\nRCPT TO:<r2@c.test>\r\nRCPT TO:<r3@c.test>\r\nDATA\r\n")
        c.want(250)
        c.want(250, "2.1.5", "one")
        c.want(550, "5.1.1", "two")
        c.want(250, "2.1.5", "three")
        c.want(354)
        c.message(BASE)
        c.send(b"RSET\r\nNOOP\r\nQUIT\r\n")
        c.want(250)
        c.want(250)
        c.want(221)
        c.gone()
    assert sink.one().recipients == ["<r1@c.test>", "<r3@c.test>"]


def test_data_pipelined_after_nothing_but_refusals(hopseal, sink):
    sink.always("rcpt", b"550 5.1.1 nobody\r\n")
    with hopseal("pass").connect() as c:
        c.ehlo()
        c.send(b"MAIL FROM:<s@a.test>\r\nRCPT TO:<r1@c.test>\r\nDATA\r\n")
        c.want(250)
        c.want(550, "5.1.1")
        assert c.reply().code in (503, 554)
    assert sink.transactions() == []


@pytest.mark.parametrize("line, code", [
    ("MAIL FROM:<s@a.test>", 503), ("RCPT TO:<r@c.test>", 503), ("DATA", 503), ("VRFY r", 252), ("HELP", 214), ("NOOP x", 250),
    ("RSET", 250), ("EHLO", 501), ("EHLO a b", 501), ("XYZZY", 500), ("", 500), ("STARTTLS", 502), ("AUTH PLAIN", 502), ("EXPN l", 502)])
def test_commands_before_ehlo(hopseal, line, code):
    with hopseal("pass").connect() as c:
        got = c.cmd(line, code)
        assert got.enhanced or code in (214, 250, 252)


@pytest.mark.parametrize("line, code", [
    ("MAIL FROM:s@a.test", 501), ("MAIL FROM:<s@a.test", 501), ("MAIL FROM:<s a@a.test>", 501), ("MAIL FROM:<s@a.test> SIZE=x", 501),
    ("MAIL FROM:<s@a.test> FOO=1", 555), ("MAIL TO:<s@a.test>", 501), ("MAIL FROM:<>", 250), ("MAIL FROM:<\"a b\"@a.test>", 250),
    ("mail from:<s@a.test> body=8bitmime", 250), ("MAIL FROM:<@x.test:s@a.test>", 250), ("MAIL FROM:<s@[192.0.2.1]>", 250)])
def test_sender_syntax(hopseal, line, code):
    with hopseal("pass").connect() as c:
        c.ehlo()
        c.cmd(line, code)


def test_commands_of_a_line_too_long(hopseal):
    with hopseal("pass").connect() as c:
        c.ehlo()
        c.cmd("NOOP " + "x" * 5000, 500, "5.5.2")
        c.cmd("NOOP", 250)


def test_too_many_errors_end_the_session(hopseal):
    with hopseal("pass").connect() as c:
        codes = []
        while 421 not in codes:
            c.send(b"XYZZY\r\n")
            codes.append(c.reply().code)
            assert len(codes) <= 21, codes
        assert codes[:19] == [500] * 19
        c.gone()


def test_sessions_of_one_client_are_limited(hopseal):
    relay = hopseal("pass", limits={"sessions_per_client": 5})
    held = [relay.connect() for _ in range(5)]
    with relay.connect(banner=False) as c:
        c.want(421, "4.7.0")
        c.gone()
    with relay.connect(source="127.0.0.9") as c:
        c.cmd("QUIT", 221)
    for c in held:
        c.close()


def test_connections_of_one_client_are_limited(hopseal):
    """All workers together; one line a minute, not one a connection."""
    relay = hopseal("pass", limits={"connects_per_client": 6}, workers=2)
    codes = []
    for _ in range(20):
        with relay.connect(banner=False) as c:
            got = c.reply()
            codes.append(got.code)
            if got.code == 421:
                assert got.enhanced == "4.7.0"
                c.gone()
    assert codes == [220] * 6 + [421] * 14
    with relay.connect(source="127.0.0.9") as c:
        c.cmd("QUIT", 221)
    assert relay.event("client_rate", client="127.0.0.1")["count"] == 1
    assert len(relay.events("client_rate")) <= 2
    assert relay.status()["counters"]["sessions_refused"] == 14


def test_sessions_of_all_clients_are_limited(hopseal):
    relay = hopseal("pass", limits={"sessions": 3})
    held = [relay.connect(source="127.0.0.%d" % (10 + n)) for n in range(3)]
    with relay.connect(source="127.0.0.20", banner=False) as c:
        c.want(421, "4.7.0")
    for c in held:
        c.close()


def test_talking_before_the_banner_is_refused(hopseal, sink):
    relay = hopseal("pass", listener={"greet_pause": 3000})
    with relay.connect(banner=False) as c:
        c.send(b"EHLO early.test\r\n")
        c.want(554, "5.5.1")
        c.gone()


def test_smtputf8_and_dsn_reach_the_next_hop(hopseal, sink):
    with hopseal("pass").connect() as c:
        c.mail("<s@a.test>", params=" SMTPUTF8 BODY=8BITMIME RET=HDRS ENVID=x+2By SIZE=100")
        c.rcpt("<ü@c.test>", params=" NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;r1@c.test")
        c.cmd("DATA", 354)
        c.message(BASE)
    tx = sink.one()
    for word in ("SMTPUTF8", "BODY=8BITMIME", "RET=HDRS", "ENVID=x+2By"):
        assert word in tx.mail.split(" "), tx.mail
    assert tx.rcpts[0].split(" ")[:2] == ["RCPT", "TO:<ü@c.test>"]
    assert "NOTIFY=SUCCESS,FAILURE" in tx.rcpts[0] and "ORCPT=rfc822;r1@c.test" in tx.rcpts[0]


def test_an_address_of_eight_bits_needs_smtputf8(hopseal, sink):
    with hopseal("pass").connect() as c:
        c.mail("<ü@a.test>", code=553, enhanced="5.6.7")
        c.mail("<s@a.test>")
        c.rcpt("<ü@c.test>", code=553, enhanced="5.6.7")


def test_an_ipv6_listener(hopseal, sink, ports):
    port = ports.take("::1")
    relay = hopseal("inbound", listener={"address": ["[::1]:%d" % port]}, start=False)
    relay.listeners["main"] = ("::1", port)
    with relay.start().connect() as c:
        c.deliver(BASE)
    assert b"([IPv6:::1])" in sink.one().content


def test_each_listener_has_its_own_next_hop(hopseal, sinks):
    one, two = sinks(), sinks(extensions=())
    relay = hopseal(listeners={"one": {"service": "pass", "next_hop": one.address}, "two": {"service": "pass", "next_hop": two.address}})
    for name, has in (("one", True), ("two", False)):
        with relay.connect(name) as c:
            c.ehlo()
            assert c.has("8BITMIME") == has
            c.deliver(BASE.replace(b"hello", name.encode()))
    assert b"one" in one.one().content and b"two" in two.one().content
    assert {e["listener"] for e in relay.events("transaction")} == {"one", "two"}


def test_octets_that_are_no_smtp_are_not_passed_on(hopseal, sink):
    """A web browser, a TLS hello: refused and closed, nothing reaches the next hop."""
    relay = hopseal("pass")
    for octets in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 300 + b"\r\n"):
        with relay.connect() as c:
            c.send(octets)
            assert c.reply().code // 100 == 5
    with relay.connect() as c:
        c.deliver(BASE)
    assert len(sink.wait(1)) == 1
    assert not [line for _, line in sink.commands.snapshot() if "HTTP" in line or "\x16" in line]


def test_a_transaction_is_logged_once_with_its_end(hopseal, sink):
    sink.script("dot", b"452 4.2.2 full\r\n")
    relay = hopseal("inbound")
    with relay.connect() as c:
        c.deliver(BASE, code=452)
        c.deliver(BASE)
        c.to_data()
    end = [relay.event("transaction", n) for n in (1, 2, 3)]
    assert [e["outcome"] for e in end[:2]] == ["deferred", "accepted"]
    assert end[2]["outcome"] not in ("accepted", "refused", "deferred"), end[2]
    assert end[0]["code"] == 452 and end[0]["mail_from"] == "<s@a.test>" and end[0]["client"] == "127.0.0.1"
    assert "hello" not in str(relay.events()), "no content in the log"


def test_refusals_of_a_session_do_not_fill_the_log(hopseal, sink):
    """A hundred lines, then one with how many there were more; whatever the errors a session may make between two messages."""
    relay = hopseal("pass")
    with relay.connect() as c:
        for n in range(6):
            for k in range(19):
                c.cmd("XYZZY", 500)
            c.deliver(BASE)
    assert relay.event("client_faults")["count"] == 14
    assert len(relay.events("smtp_command_unknown")) == 100


def test_recipients_above_the_limit_are_told_once_and_counted(hopseal, sink):
    relay = hopseal("pass")
    with relay.connect() as c:
        c.ehlo()
        c.mail()
        c.send(b"".join(b"RCPT TO:<u%d@c.test>\r\n" % n for n in range(1200)))
        codes = [c.reply().code for _ in range(1200)]
        assert codes == [250] * 1000 + [452] * 200
        c.cmd("RSET")
        assert relay.event("transaction")["rcpts_over"] == 200
        c.mail()
        c.rcpt()
        c.cmd("RSET")
    assert "rcpts_over" not in relay.event("transaction", 2)
    assert len(relay.events("smtp_rcpt_limit")) == 1
