"""Content in chunks (RFC 3030) goes on as DATA: not an octet more or less, and no chunk is ever a command."""
import os
import threading

import pytest

from mail import BASE, NOW, added, name_of
from relay import ctl
from seal import checked, seal
from sink import DROP, Hold
from test_pass import network_form, vectors

BIG = BASE + b"".join(b"%06d some text that makes up a line of a large message\r\n" % n for n in range(100000))    # 5.6 MB
DOTS = BASE + b".\r\n..\r\n.x\r\nQUIT\r\n\r\n.\r\nMAIL FROM:<e@evil.test>\r\n"
ENVELOPE = b"MAIL FROM:<s@a.test>\r\nRCPT TO:<r1@c.test>\r\n"


def chunks(message, size, empty_last=False):
    """BDAT commands, each with its octets."""
    out = []
    for at in range(0, len(message), size):
        part = message[at:at + size]
        last = at + size >= len(message) and not empty_last
        out.append(b"BDAT %d%s\r\n" % (len(part), b" LAST" if last else b"") + part)
    if empty_last or not out:
        out.append(b"BDAT 0 LAST\r\n")
    return out


def pipelined(c, envelope, parts, last=250):
    """All in one go, as RFC 3030 4.2 allows; the replies are read while it is sent."""
    writer = threading.Thread(target=c.send, args=(envelope + b"".join(parts),), daemon=True)
    writer.start()
    for _ in range(envelope.count(b"\r\n") + len(parts) - 1):
        c.want(250)
    c.want(last)
    writer.join()


@pytest.fixture
def key(keyring):
    return keyring.key("a.test")


def test_it_is_offered(hopseal, sink, key):
    relay = hopseal(listeners={
        "pass": {"service": "pass"},
        "one": {"service": "outbound"},
        "all": {"service": "outbound", "share": "all"},
        "shadow": {"service": "outbound", "shadow": True},
    }, service="outbound", keys=[key])
    for name, most in (("pass", 1000), ("one", 1), ("all", 1000), ("shadow", 1000)):
        with relay.connect(name) as c:
            c.ehlo()
            assert c.has("CHUNKING") and not c.has("BINARYMIME")
            assert "LIMITS RCPTMAX=%d" % most in c.extensions, name
            c.mail()
            c.rcpt("<r1@c.test>")
            c.rcpt("<r2@c.test>", code=452 if most == 1 else 250)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000, 100000])
def test_a_message_passes_octet_for_octet(hopseal, sink, size):
    relay = hopseal("pass")
    for empty_last in (False, True):
        with relay.connect() as c:
            c.ehlo()
            pipelined(c, ENVELOPE, chunks(DOTS, size, empty_last))
            c.mail()
            c.rcpt()
            for part in chunks(DOTS, size, empty_last):
                c.send(part)
                c.want(250)
            c.cmd("QUIT", 221)
    assert [tx.content for tx in sink.wait(4)] == [DOTS] * 4
    assert [tx.recipients for tx in sink.transactions()] == [["<r1@c.test>"]] * 4
    assert not [line for _, line in sink.commands.snapshot() if line.startswith("BDAT") or "evil" in line]


def test_an_octet_a_segment(hopseal, sink):
    with hopseal("pass").connect() as c:
        c.ehlo()
        for octet in ENVELOPE + b"".join(chunks(DOTS, 50)) + b"NOOP\r\n":
            c.send(bytes([octet]))
        for _ in range(2 + len(chunks(DOTS, 50)) + 1):
            c.want(250)
    assert sink.one().content == DOTS


def test_messages_without_header_or_body_pass(hopseal, sink):
    messages = [b"", b"\r\n", b"\r\n\r\n", b"Subject: x\r\n", b"Subject: x\r\n\r\n", b"\r\nbody\r\n"]
    with hopseal("pass").connect() as c:
        c.ehlo()
        for message in messages:
            pipelined(c, ENVELOPE, chunks(message, 3))
    assert [tx.content for tx in sink.wait(len(messages))] == messages


def test_odd_mime_passes(hopseal, sink):
    messages = []
    with hopseal("pass").connect() as c:
        c.ehlo()
        for param in vectors(lambda case: case["nul"] == 0 and case["bare_cr"] == 0):
            with open(param.values[0], "rb") as f:
                messages.append(network_form(f.read()))
            pipelined(c, b"MAIL FROM:<s@a.test> BODY=8BITMIME\r\nRCPT TO:<r1@c.test>\r\n", chunks(messages[-1], 777))
    assert messages and [tx.content for tx in sink.wait(len(messages))] == messages


@pytest.mark.parametrize("size", [1, 100, 100000])
def test_inbound_judges_it(hopseal, sink, key, size):
    message = seal(DOTS, key)
    with hopseal("inbound").connect() as c:
        c.ehlo()
        pipelined(c, ENVELOPE, chunks(message, size))
    content = sink.one().content
    assert sorted(name_of(f) for f in added(message, content)) == ["authentication-results", "received"]
    assert b"dkim2=pass" in content[:1000]


@pytest.mark.parametrize("size", [1, 100, 100000])
def test_outbound_seals_it(hopseal, sink, key, keyring, size):
    with hopseal("outbound", keys=[key]).connect() as c:
        c.ehlo()
        pipelined(c, ENVELOPE, chunks(DOTS, size))
    content = sink.one().content
    assert sorted(name_of(f) for f in added(DOTS, content)) == ["dkim2-signature", "message-instance", "received"]
    checked(content, keyring)


@pytest.mark.parametrize("message", [BASE[:-2], BASE + b"x", BASE + b".", b"Subject: x", b"Subject: x\r\n\r\nbody", b"x"])
def test_a_last_line_without_its_end_gets_one(hopseal, sink, message):
    relay = hopseal("pass")
    with relay.connect() as c:
        c.ehlo()
        pipelined(c, ENVELOPE, chunks(message, 5))
        c.cmd("NOOP")
    assert sink.one().content == message + b"\r\n"
    assert relay.event("smtp_crlf_added")["level"] == "info"


def test_what_was_added_is_sealed_with_the_rest(hopseal, sink, key, keyring, room):
    relay = hopseal("outbound", keys=[key])
    with relay.connect() as c:
        c.ehlo()
        pipelined(c, ENVELOPE, chunks(BASE + b"no end", 100))
    content = sink.one().content
    added(BASE + b"no end\r\n", content)
    checked(content, keyring)
    path = os.path.join(room, "sealed.eml")
    with open(path, "wb") as f:
        f.write(content)
    done = ctl("verify", "--only", "dkim2", "--mail-from", "<s@a.test>", "--rcpt", "<r1@c.test>", "--now", str(NOW), "--dns",
               relay.folder + "/dns.json", path)
    assert done.returncode == 0, done


@pytest.mark.parametrize("octets, event", [
    (b"x\n.\nMAIL FROM:<e@a.test>\n", "smtp_bare_lf"), (b"x\r.\rRSET\r", "smtp_bare_cr"), (b"x\r\n\0\r\n", "smtp_nul"), (b"x\r", "smtp_bare_cr"),
    (b"\n", "smtp_bare_lf")])
def test_bare_ends_are_refused(hopseal, sink, octets, event):
    relay = hopseal("pass")
    for size in (1, 3, 100, 100000):
        with relay.connect() as c:
            c.ehlo()
            parts = chunks(BASE + octets, size)
            c.send(ENVELOPE + b"".join(parts))
            c.want(250)
            c.want(250)
            codes = [c.reply() for _ in parts]
            refused = [r for r in codes if r.code == 550]
            assert len(refused) == 1 and refused[0].enhanced == "5.6.0"
            assert [r.code for r in codes] == [250] * codes.index(refused[0]) + [550] + [503] * (len(codes) - 1 - codes.index(refused[0]))
            c.cmd("DATA", 503)
            c.cmd("RSET")
            c.deliver(BASE)
    assert [tx.content for tx in sink.wait(4)] == [BASE] * 4
    relay.event(event, n=4)
    relay.event("transaction", n=4, outcome="refused")
    assert len(relay.events(event)) == 4


def test_chunks_behind_a_refused_envelope_are_swallowed(hopseal, sink):
    relay = hopseal("pass")
    with relay.connect() as c:
        c.ehlo()
        sink.script("rcpt", b"550 5.1.1 no such user\r\n")
        c.send(ENVELOPE + b"BDAT 25\r\nMAIL FROM:<e@evil.test>\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
        assert [c.reply().code for _ in range(5)] == [250, 550, 554, 503, 250]
        sink.script("mail", b"550 5.7.1 not you\r\n")
        c.send(ENVELOPE + b"BDAT 25\r\nMAIL FROM:<e@evil.test>\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
        assert [c.reply().code for _ in range(5)] == [550, 503, 503, 503, 250]
        c.deliver(BASE)
    assert sink.one().content == BASE
    relay.event("smtp_no_rcpt")
    assert not [line for _, line in sink.commands.snapshot() if "evil" in line]


@pytest.mark.parametrize("argument", ["", " -1", " +5", " 0x10", " 5 LASTX", " 5 LAST extra", " 18446744073709551616 LAST", " 99999999999999999999999999",
                                      " 9223372036854775808", " LAST"])
def test_a_size_that_cannot_be_read_is_the_end(hopseal, sink, argument):
    relay = hopseal("pass")
    with relay.connect() as c:
        c.mail()
        c.rcpt()
        c.send(b"BDAT" + argument.encode() + b"\r\nabcRSET\r\nDATA\r\n")
        c.want(501, "5.5.4")
        c.gone()
    relay.event("smtp_bdat_bad")
    assert sink.contents.snapshot() == []


def test_a_million_tiny_chunks(hopseal, sink):
    relay = hopseal("pass")
    with relay.connect() as c:
        c.ehlo()

        def write():
            try:
                c.send(ENVELOPE + b"BDAT 1\r\nx" * 1000000 + b"BDAT 0 LAST\r\n")
            except OSError:
                pass
        threading.Thread(target=write, daemon=True).start()
        replies = 0
        try:
            while c.reply().code == 250:
                replies += 1
        except (EOFError, ConnectionResetError):    # what it has not read may cost us its last words
            pass
    relay.event("smtp_bdat_limit")
    assert replies <= 65536 + 2
    relay.event("transaction", outcome="aborted")
    assert sink.contents.snapshot() == []


def test_too_big(hopseal, sink):
    with hopseal("pass", limits={"message_size": 2000}).connect() as c:
        c.mail()
        c.rcpt()
        c.cmd("BDAT 2001\r\n" + "x" * 1999, 552, "5.3.4")
        c.cmd("BDAT 6\r\nQUIT", 503)
        c.mail()
        c.rcpt()
        c.cmd("BDAT 1000\r\n" + "x" * 998)
        c.cmd("BDAT 1001 LAST\r\n" + "x" * 999, 552, "5.3.4")
        pipelined(c, ENVELOPE, chunks(BASE + b"x" * (2000 - len(BASE) - 2) + b"\r\n", 100))
    assert len(sink.one().content) == 2000


def test_the_header_has_its_limit(hopseal, sink):
    relay = hopseal("inbound", limits={"header": 4096})
    with relay.connect() as c:
        c.ehlo()
        c.send(ENVELOPE + b"BDAT 8000\r\n" + b"a: b\r\n" * 1333 + b"\r\nBDAT 6 LAST\r\nQUIT\r\n")
        assert [c.reply().code for _ in range(4)] == [250, 250, 552, 503]
        c.deliver(BASE)
    relay.event("smtp_header_limit")


@pytest.mark.parametrize("size", [1000, 60000, 10000000])
def test_a_large_message_goes_through_a_file(hopseal, sink, size):
    relay = hopseal("inbound", limits={"body_memory": 4096})
    with relay.connect() as c:
        c.ehlo()
        pipelined(c, ENVELOPE, chunks(BIG, size))
    added(BIG, sink.one().content)


def test_a_chunk_that_waits_for_the_next_hop_costs_no_memory(hopseal, sink):
    """Its octets are here before MAIL is answered; what is not looked at is not read."""
    gate = threading.Event()
    sink.script("mail", Hold(gate))
    relay = hopseal("pass", limits={"body_memory": 4096})
    (worker,) = relay.pids("worker")

    def memory():
        with open("/proc/%d/status" % worker, encoding="ascii") as f:
            return int([line for line in f if line.startswith("RssAnon")][0].split()[1])
    before = memory()
    with relay.connect() as c:
        c.ehlo()
        reader = threading.Thread(target=pipelined, args=(c, ENVELOPE, chunks(BIG, len(BIG))), daemon=True)
        reader.start()
        sink.commands.wait("MAIL at the next hop", lambda items: [line for _, line in items if line.startswith("MAIL")])
        assert memory() - before < 2048, "KiB"
        gate.set()
        reader.join()
    assert sink.one().content == BIG


def test_chunks_and_data_in_one_session(hopseal, sink):
    with hopseal("pass").connect() as c:
        for n in range(3):
            c.deliver(BASE)
            pipelined(c, ENVELOPE, chunks(DOTS, 50))
        c.mail()
        c.rcpt()
        c.cmd("BDAT 7\r\nhello")
        c.cmd("DATA", 503, "5.5.1")
        c.cmd("RSET")
        c.deliver(BASE)
    assert [tx.content for tx in sink.wait(7)] == [BASE, DOTS] * 3 + [BASE]


@pytest.mark.parametrize("told", [b"554-5.7.1 content\r\n554 5.7.1 not welcome\r\n", b"452 4.3.1 disk\r\n"])
def test_the_answer_is_the_next_hop_s(hopseal, sink, told):
    sink.script("dot", told)
    with hopseal("pass").connect() as c:
        c.ehlo()
        c.send(ENVELOPE + b"".join(chunks(BASE, 1000)) + b"BDAT 6 LAST\r\nQUIT\r\n")
        c.want(250)
        c.want(250)
        assert b"".join(one + b"\r\n" for one in c.reply().lines) == told
        c.want(503)
        pipelined(c, ENVELOPE, chunks(BASE, 1000))
    assert len(sink.wait(1)) == 1


def test_next_hop_lost_at_the_end(hopseal, sink):
    sink.script("dot", DROP)
    with hopseal("pass").connect() as c:
        c.ehlo()
        pipelined(c, ENVELOPE, chunks(BASE, 20), last=451)


def test_client_gone_between_chunks(hopseal, sink):
    relay = hopseal("pass")
    for end in (b"BDAT 100\r\nhalf", b"BDAT 4\r\nhalf"):
        with relay.connect() as c:
            c.ehlo()
            c.send(ENVELOPE + end)
            c.want(250)
            c.want(250)
    relay.event("client_gone_in_data", n=2)
    relay.event("transaction", n=2, outcome="aborted")
    assert sink.contents.snapshot() == []
