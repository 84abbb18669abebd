"""TLS on both sides: every octet through it, nothing of what was said before it, and an end for whoever misuses it."""
import os
import shutil
import signal
import socket
import ssl
import threading

import pytest

from certs import HOST, served, trust
from client import Client, stuffed
from mail import BASE, body_of, values
from peers import Postfix, need
from relay import run
from sink import DROP, Hold
from tls_client import connect, said, tls, to_tls
from wait import DEADLINE, until


@pytest.mark.parametrize("mode", ["may", "require", "implicit"])
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_message_through_tls(hopseal, sink, authority, cert, mode, version):
    relay = hopseal("inbound", listener=tls(cert, mode))
    with connect(relay, trust(authority, getattr(ssl.TLSVersion, version)), mode == "implicit") as c:
        c.ehlo()
        assert not c.has("STARTTLS")
        c.deliver(BASE)
        counters = relay.status()["counters"]
        assert (counters["tls_open"], counters["tls_sessions"], counters["tls_failed"]) == (1, 1, 0)
        c.cmd("QUIT", 221)
        assert c.sock.recv(10) == b""       # close_notify, or this raises
    got = sink.one()
    assert body_of(got.content) == body_of(BASE)
    received = values(got.content, "Received")[0]
    assert " with ESMTPS id " in received and "(using %s with cipher " % version.replace("_", ".") in received
    assert relay.event("transaction")["tls"].startswith(version.replace("_", ".") + "/")


def test_clear_sessions_still_are_where_it_is_optional(hopseal, sink, cert):
    relay = hopseal("inbound", listener=tls(cert))
    with relay.connect() as c:
        c.deliver(BASE)
    assert " with ESMTP id " in values(sink.one().content, "Received")[0]
    assert "tls" not in relay.event("transaction")


def test_smtputf8_through_tls_is_named_so(hopseal, sink, authority, cert):
    relay = hopseal("inbound", listener=tls(cert))
    with connect(relay, trust(authority)) as c:
        c.deliver(BASE, "<\u00fc@a.test>", params=" SMTPUTF8")
    assert " with UTF8SMTPS id " in values(sink.one().content, "Received")[0]


@pytest.mark.parametrize("how", ["whole", "octets", "cuts"])
def test_octets_pass_as_they_are(hopseal, sink, authority, cert, how):
    message = BASE + b"".join(b"%c..\x80\xff line %d\r\n" % (b".x"[n % 2], n) for n in range(60))
    relay = hopseal("pass", listener=tls(cert))
    with connect(relay, trust(authority)) as c:
        c.ehlo()
        octets = b"MAIL FROM:<s@a.test> BODY=8BITMIME\r\nRCPT TO:<r1@c.test>\r\n"
        step = {"whole": len(octets), "octets": 1, "cuts": 7}[how]
        for at in range(0, len(octets), step):
            c.send(octets[at:at + step])
        c.want(250)
        c.want(250)
        c.cmd("DATA", 354)
        octets = stuffed(message)
        step = {"whole": len(octets), "octets": 1, "cuts": 101}[how]
        for at in range(0, len(octets), step):
            c.send(octets[at:at + step])
        c.want(250)
    assert sink.one().content == message


def test_a_large_body_each_record_size(hopseal, sink, authority, cert):
    relay = hopseal("pass", listener=tls(cert))
    line = bytes(range(32, 110)) + b"\r\n"
    message = BASE + line * (4 * 1024 * 1024 // len(line))
    with connect(relay, trust(authority)) as c:
        c.to_data()
        octets, at, step = stuffed(message), 0, 1
        while at < len(octets):
            c.send(octets[at:at + step])
            at, step = at + step, min(step * 2 + 1, 700000)
        c.want(250)
    assert sink.one().content == message


def test_early_data_is_refused(hopseal, sink, cert):
    """Commands in clear behind STARTTLS are not run after the handshake (CVE-2011-0411)."""
    relay = hopseal("pass", listener=tls(cert))
    with connect(relay) as c:
        c.ehlo()
        c.send(b"STARTTLS\r\nMAIL FROM:<e@evil.test>\r\n")
        c.want(554, "5.5.0")
        c.gone()
    relay.event("tls_early_data")
    assert not [line for _, line in sink.commands.snapshot() if "evil" in line]


def test_clear_octets_behind_the_220_end_it(hopseal, sink, cert):
    relay = hopseal("pass", listener=tls(cert))
    with connect(relay) as c:
        c.ehlo()
        c.cmd("STARTTLS", 220)
        c.send(b"EHLO t.a.test\r\nMAIL FROM:<e@evil.test>\r\n")
        c.sock.settimeout(DEADLINE)
        try:
            while c.sock.recv(65536):
                pass
        except ConnectionResetError:
            pass
    relay.event("tls_handshake_failed")
    assert not [line for _, line in sink.commands.snapshot() if "evil" in line]


def test_state_is_reset(hopseal, sink, authority, cert):
    relay = hopseal("pass", listener=tls(cert))
    with connect(relay) as c:
        c.mail()
        c.cmd("STARTTLS", 503, "5.5.1")
        c.cmd("RSET")
        c.cmd("STARTTLS", 220)
        c.secure(trust(authority))
        c.cmd("MAIL FROM:<s@a.test>", 503, "5.5.1")
        c.ehlo()
        c.cmd("STARTTLS", 503, "5.5.1")
        c.deliver(BASE)
    assert sink.one().content == BASE


def test_require_takes_no_mail_in_clear(hopseal, sink, authority, cert):
    relay = hopseal("pass", listener=tls(cert, "require"))
    with connect(relay) as c:
        c.ehlo()
        c.cmd("MAIL FROM:<s@a.test>", 530, "5.7.0")
        c.cmd("VRFY u", 530, "5.7.0")
        c.cmd("NOOP", 250)
        c.starttls(trust(authority))
        c.deliver(BASE)
    assert len(sink.wait()) == 1
    assert relay.events("smtp_tls_required")


GARBAGE = {
    "http": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "smtp": b"EHLO t.a.test\r\n",
    "zeros": b"\0" * 16384,
    "sslv2": b"\x80\x2e\x01\0\x02\0\x15\0\0\0\x10\x01\0\x80",
    "length": b"\x16\x03\x01\xff\xff",
    "rdp": b"\x03\0\0\x13\x0e\xe0" + b"\0" * 13,
    "alert": b"\x15\x03\x03\0\2\2\x28",
    "nothing": b"",
}


@pytest.mark.parametrize("what", sorted(GARBAGE))
def test_garbage_on_the_tls_port(hopseal, authority, cert, what):
    hello = GARBAGE[what]
    relay = hopseal("pass", listener=tls(cert, "implicit"))
    with socket.create_connection(relay.address(), DEADLINE) as s:
        try:
            s.sendall(hello)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
        except OSError:
            pass        # reset while it talked
    assert relay.event("tls_handshake_failed")["note"]
    with connect(relay, trust(authority), True) as c:
        c.cmd("NOOP", 250)


def test_a_stalled_handshake_ends(hopseal, cert):
    """One deadline for all of it: an octet now and then does not move it."""
    relay = hopseal("pass", listener=tls(cert, "implicit", timeout=300))
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    with socket.create_connection(relay.address(), DEADLINE) as s:
        gone = threading.Event()

        def drip():
            try:
                for n in range(10000):
                    s.sendall(hello[n:n + 1] or b"\0")
                    if gone.wait(0.02):
                        return
            except OSError:
                pass
        t = threading.Thread(target=drip)
        t.start()
        try:
            assert s.recv(1) == b""
        except ConnectionResetError:
            pass
        gone.set()
        t.join()
    relay.event("tls_handshake_timeout")


def test_a_client_that_never_begins_after_the_220(hopseal, cert):
    relay = hopseal("pass", listener=tls(cert, timeout=300))
    with connect(relay) as c:
        c.cmd("STARTTLS", 220)
        c.gone()
    relay.event("tls_handshake_timeout")


def test_tls_1_1_is_refused(hopseal, cert):
    need("openssl")
    relay = hopseal("pass", listener=tls(cert, "implicit"))
    done = run(["openssl", "s_client", "-connect", "%s:%d" % relay.address(), "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], input=b"")
    assert done.returncode != 0
    relay.event("tls_handshake_failed")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_no_session_is_resumed(hopseal, room, cert, version):
    """Nothing of a session is good on another connection, whatever the listener."""
    need("openssl")
    relay = hopseal("pass", listener=tls(cert, "implicit"))
    kept = os.path.join(room, "session")
    where = ["openssl", "s_client", "-connect", "%s:%d" % relay.address(), version, "-ign_eof"]
    done = run(where + ["-sess_out", kept], input=b"QUIT\r\n")
    assert b"220 " in done.stdout, done
    if not os.path.exists(kept):
        return      # no ticket was ever sent
    done = run(where + ["-sess_in", kept], input=b"QUIT\r\n")
    assert b"Reused" not in done.stdout and b"New, " in done.stdout, done


@pytest.mark.parametrize("verb", ["DATA", "BDAT"])
@pytest.mark.parametrize("how", ["close_notify", "fin", "reset"])
def test_an_end_in_the_content(hopseal, sink, authority, cert, how, verb):
    relay = hopseal("pass", listener=tls(cert))
    c = connect(relay, trust(authority, ssl.TLSVersion.TLSv1_2))
    if verb == "DATA":
        c.to_data()
    else:
        c.mail()
        c.rcpt()
        c.send(b"BDAT 1000 LAST\r\n")
    c.send(b"Subject: s\r\n\r\npart")
    raw = socket.socket(fileno=os.dup(c.sock.fileno()))
    if how == "close_notify":
        c.sock.settimeout(DEADLINE)
        try:
            c.sock.unwrap()
            raw.sendall(b"x\r\n.\r\n")      # in clear: nobody reads it
        except OSError:
            pass
    elif how == "fin":
        raw.shutdown(socket.SHUT_WR)
    else:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        c.sock.close()
    raw.close()
    relay.event({"close_notify": "tls_closed_in_data", "fin": "tls_truncated", "reset": "client_gone_in_data"}[how])
    assert relay.event("transaction")["outcome"] == "aborted"
    c.close()
    assert sink.contents.snapshot() == []


def test_a_half_closed_client_gets_its_answer(hopseal, sink, authority, cert):
    relay = hopseal("pass", listener=tls(cert))
    with connect(relay, trust(authority)) as c:
        c.to_data()
        c.send(BASE + b".\r\n")
        raw = socket.socket(fileno=os.dup(c.sock.fileno()))
        raw.shutdown(socket.SHUT_WR)
        raw.close()
        c.want(250)
    assert sink.one().content == BASE


def test_failed_handshakes_do_not_touch_a_healthy_session(hopseal, sink, authority, cert):
    """The library's error queue is the process's: what one connection did wrong must not fail another."""
    relay = hopseal("pass", listener=tls(cert), limits={"sessions_per_client": 500})
    message = BASE + b"0123456789abcdef" * 60 + b"\r\n"
    with connect(relay, trust(authority)) as c:
        c.to_data()
        octets = stuffed(message * 40)
        for n in range(100):
            with connect(relay) as bad:
                bad.cmd("STARTTLS", 220)
                bad.send([b"\0\0\0\0\0", b"\x16\x03\x01\0\5hello", b"GET / HTTP/1.0\r\n\r\n", b"\x15\x03\x03\0\2\2\x28"][n % 4])
            relay.event("tls_handshake_failed", n + 1)
            step = len(octets) // 100 + 1
            c.send(octets[n * step:(n + 1) * step])
        c.want(250)
        c.deliver(BASE)
    assert [tx.content for tx in sink.wait(2)] == [message * 40, BASE]


def test_a_client_that_does_not_read_its_answers(hopseal, sink, authority, cert):
    """Answers wait in the kernel and then here; when it reads, they are all there and in order."""
    relay = hopseal("pass", listener=tls(cert))
    c = connect(relay, trust(authority))
    c.mail()
    c.rcpt()
    for _ in range(20):
        c.send(b"RCPT TO:<r1@c.test>\r\n" * 30)
    for _ in range(600):
        c.want(250)
    c.cmd("RSET", 250)
    c.close()


def test_a_certificate_is_reloaded(hopseal, sink, authority, cert):
    relay = hopseal("pass", listener=tls(cert))
    other = authority.server(kind=("rsa:2048",))
    old = connect(relay, trust(authority))
    before = old.sock.getpeercert(True)
    assert relay.reload(listener={"main": tls(other)})["event"] == "reload_ok"
    with connect(relay, trust(authority)) as c:
        assert c.sock.getpeercert(True) != before
        c.deliver(BASE)
    old.deliver(BASE)
    old.close()
    assert len(sink.wait(2)) == 2


def test_new_files_under_the_same_names_are_read_by_a_reload(hopseal, authority, room, cert):
    names = [os.path.join(room, name) for name in ("c.pem", "k.pem")]
    mine = authority.server()
    shutil.copy(mine.file, names[0])
    shutil.copy(mine.key, names[1])
    mine.file, mine.key = names
    relay = hopseal("pass", listener=tls(mine))
    with connect(relay, trust(authority)) as c:
        before = c.sock.getpeercert(True)
    new = authority.server()
    shutil.copy(new.file, names[0])
    event = relay.reload()
    assert event["event"] == "reload_refused"       # half of a change: the key is still the old one
    with connect(relay, trust(authority)) as c:
        assert c.sock.getpeercert(True) == before
    shutil.copy(new.key, names[1])
    assert relay.reload()["event"] == "reload_ok"
    with connect(relay, trust(authority)) as c:
        assert c.sock.getpeercert(True) != before


def test_a_worker_that_died_is_replaced_with_its_key(hopseal, sink, authority, cert):
    relay = hopseal("pass", listener=tls(cert))
    (pid,) = relay.pids("worker")
    os.kill(pid, signal.SIGKILL)
    until("another worker", lambda: relay.pids("worker") not in ([pid], [0], []))
    with connect(relay, trust(authority)) as c:
        c.deliver(BASE)


def refused(relay):
    relay.start(ready=False)
    code = relay.ended()
    return code, "\n".join(relay.noise + [e.get("text", "") for e in relay.events()])


@pytest.mark.parametrize("what", ["no certificate", "no key file", "unreadable", "open to all", "another key", "no key", "damaged chain", "weak",
                                  "a passphrase"])
def test_files_that_do_not_fit(hopseal, authority, room, what):
    """Exit 78, with the line of the setting."""
    cert = authority.server(kind=("rsa:1024",)) if what == "weak" else authority.server()
    if what == "no certificate":
        shutil.copy(cert.key, cert.file)
    elif what == "no key file":
        os.unlink(cert.key)
    elif what == "unreadable":
        os.unlink(cert.key)
        os.mkdir(cert.key)
    elif what == "open to all":
        os.chmod(cert.key, 0o644)
    elif what == "another key":
        shutil.copy(authority.server().key, cert.key)
    elif what == "no key":
        shutil.copy(cert.file, cert.key)
    elif what == "damaged chain":
        with open(cert.file, "a", encoding="ascii") as f:
            f.write("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    elif what == "a passphrase":
        need("openssl")
        done = run(["openssl", "pkey", "-in", cert.key, "-aes128", "-passout", "pass:x", "-out", cert.key + ".x"])
        assert done.returncode == 0, done
        os.chmod(cert.key + ".x", 0o600)
        cert.key += ".x"
    relay = hopseal("pass", listener=tls(cert), start=False)
    code, said = refused(relay)
    assert code == 78
    setting = "certificate" if what in ("no certificate", "damaged chain", "weak") else "key"
    with open(relay.file, encoding="utf-8") as f:
        (line,) = [n + 1 for n, text in enumerate(f) if text.strip().startswith(setting + " = ")]
    assert "hopseal.conf:%d: " % line in said, said


def test_the_key_is_nobodys_but_the_workers(hopseal, authority, cert):
    """Of all processes only the supervisor, who needs it for workers to come, and they have it in memory."""
    if os.geteuid() != 0:
        pytest.skip("reads the memory of other processes: root only")
    relay = hopseal("pass", listener=tls(cert))
    with open(cert.key, "rb") as f:
        needle = f.read().split(b"\n")[1]

    def holds(pid):
        with open("/proc/%d/maps" % pid, encoding="ascii") as maps, open("/proc/%d/mem" % pid, "rb", 0) as mem:
            for line in maps:
                span, rights = line.split()[:2]
                low, high = (int(x, 16) for x in span.split("-"))
                if not rights.startswith("rw-p") or high - low > 1 << 28 or "[v" in line:
                    continue
                try:
                    mem.seek(low)
                    if needle in mem.read(high - low):
                        return True
                except OSError:
                    pass    # a hole of the sanitizer's
        return False
    assert holds(relay.process.pid)
    for role in ("keeper", "resolver", "control", "worker"):     # the worker has made its context and wiped the text
        for pid in relay.pids(role):
            assert not holds(pid), role
    with relay.connect() as c:      # keeps the first generation, and its key, for as long as it lasts
        c.ehlo()
        assert relay.reload(listener={"main": tls(authority.server())})["event"] == "reload_ok"
        assert holds(relay.process.pid)
        for role in ("keeper", "resolver", "control", "worker"):
            for pid in relay.pids(role):
                assert not holds(pid), "%s after a reload" % role


@pytest.mark.parametrize("args", [("--tls",), ("--tls", "--pipeline")])
def test_swaks(hopseal, sink, cert, args):
    need("swaks")
    relay = hopseal("inbound", listener=tls(cert))
    done = run(["swaks", "--server", "127.0.0.1", "--port", str(relay.address()[1]), "--from", "s@a.test", "--to", "r1@c.test"] + list(args))
    if b"TLS not available" in done.stderr:
        pytest.skip("libnet-ssleay-perl is not installed")
    assert done.returncode == 0, done.stdout.decode()
    assert len(sink.wait()) == 1


# ---- towards the next hop ----

@pytest.mark.parametrize("mode", ["may", "require", "verify"])
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_tls_to_the_next_hop(hopseal, sink, authority, cert, mode, version):
    sink.tls = served(cert)
    sink.tls.maximum_version = getattr(ssl.TLSVersion, version)
    relay = hopseal("pass", listener=to_tls(mode, authority, name=HOST))
    with relay.connect() as c:
        c.deliver(BASE)
        c.deliver(BASE)
    assert [tx.content for tx in sink.wait(2)] == [BASE, BASE]
    assert said(sink)[:3] == ["EHLO mx.c.test", "STARTTLS", "EHLO mx.c.test"]
    assert relay.event("transaction")["next_hop_tls"].startswith(version.replace("_", ".") + "/")


def test_tls_on_both_sides_byte_for_byte(hopseal, sink, authority, cert):
    sink.tls = served(cert)
    relay = hopseal("pass", listener=dict(tls(cert), **to_tls("verify", authority, name=HOST)))
    line = bytes(range(32, 110)) + b"\r\n"
    message = BASE + b".\r\n..\r\n" + line * (3 * 1024 * 1024 // len(line))
    with connect(relay, trust(authority)) as c:
        c.deliver(message)
        c.deliver(BASE)
    assert [tx.content for tx in sink.wait(2)] == [message, BASE]


def test_an_inbound_message_through_both(hopseal, sink, authority, cert, keyring):
    sink.tls = served(cert)
    relay = hopseal("outbound", listener=dict(tls(cert), **to_tls("require")), keys=[keyring.key("a.test")])
    with connect(relay, trust(authority)) as c:
        c.deliver(BASE)
    assert values(sink.one().content, "DKIM2-Signature")


def test_may_goes_in_clear_where_it_is_not_offered(hopseal, sink):
    relay = hopseal("pass", listener=to_tls("may"))
    with relay.connect() as c:
        c.deliver(BASE)
    assert "STARTTLS" not in said(sink)
    assert "next_hop_tls" not in relay.event("transaction")


@pytest.mark.parametrize("how", ["454", "reset", "garbage"])
def test_may_goes_in_clear_where_it_fails(hopseal, sink, cert, how):
    """On a new connection, before anything was said of the mail."""
    sink.tls = served(cert)
    if how == "454":
        sink.always("starttls", b"454 4.7.0 no\r\n")
    else:
        sink.always("handshake", DROP if how == "reset" else b"no TLS here\r\n")
    relay = hopseal("pass", listener=to_tls("may"))
    with relay.connect() as c:
        c.deliver(BASE)
    assert sink.one().content == BASE
    if how != "454":
        relay.event("up_tls_failed")
        assert said(sink).count("STARTTLS") == 1        # not tried again for a while


@pytest.mark.parametrize("mode", ["require", "verify"])
@pytest.mark.parametrize("how", ["not offered", "stripped", "454", "reset", "garbage"])
def test_required_and_not_there(hopseal, sink, authority, cert, mode, how):
    """No octet of envelope or content goes in clear."""
    if how == "stripped":
        sink.extensions += ("XXXXXXXA",)
    elif how != "not offered":
        sink.tls = served(cert)
        if how == "454":
            sink.always("starttls", b"454 4.7.0 no\r\n")
        else:
            sink.always("handshake", DROP if how == "reset" else b"no TLS here\r\n")
    relay = hopseal("pass", listener=to_tls(mode, authority, name=HOST))
    with relay.connect() as c:
        c.mail(code=451, enhanced="4.7.4")
    relay.event("up_tls_required")
    assert not [line for line in said(sink) if line.startswith(("MAIL", "RCPT", "DATA"))]


@pytest.mark.parametrize("mode", ["may", "require", "verify"])
def test_answers_in_clear_behind_the_220(hopseal, sink, authority, cert, mode):
    sink.tls = served(cert)
    sink.always("starttls", b"220 go\r\n250-up.test\r\n250 AUTH PLAIN\r\n")
    relay = hopseal("pass", listener=to_tls(mode, authority, name=HOST))
    with relay.connect() as c:
        c.mail(code=451, enhanced="4.7.4")
    relay.event("up_tls_early_data")
    assert sink.transactions() == []


def certificate(authority, what):
    if what == "another name":
        return authority.server(("DNS:other.test",))
    if what == "self-signed":
        return authority.server(own=True)
    if what == "expired":
        return authority.server(days=-1)
    if what == "only a common name":
        return authority.server(())
    if what == "half a label":
        return authority.server(("DNS:m*.c.test",))
    return authority.server(("DNS:*.test",))


BAD = ["another name", "self-signed", "expired", "only a common name", "half a label", "too short a name"]


@pytest.mark.parametrize("what", BAD)
def test_a_certificate_not_to_be_believed(hopseal, sink, authority, what):
    sink.tls = served(certificate(authority, what))
    relay = hopseal("pass", listener=to_tls("verify", authority, name=HOST))
    with relay.connect() as c:
        c.mail(code=451, enhanced="4.7.5")
    assert relay.event("up_tls_cert")["note"]
    assert not [line for line in said(sink) if line.startswith("MAIL")]


@pytest.mark.parametrize("what", BAD)
def test_it_is_good_enough_where_nobody_verifies(hopseal, sink, authority, what):
    sink.tls = served(certificate(authority, what))
    relay = hopseal("pass", listener=to_tls("require"))
    with relay.connect() as c:
        c.deliver(BASE)
    assert "next_hop_tls" in relay.event("transaction")


@pytest.mark.parametrize("names,name", [(("DNS:*.c.test",), HOST), (("IP:127.0.0.1",), None), (("IP:127.0.0.1",), "127.0.0.1")])
def test_a_certificate_to_be_believed(hopseal, sink, authority, names, name):
    sink.tls = served(authority.server(names))
    relay = hopseal("pass", listener=to_tls("verify", authority, **({"name": name} if name else {})))
    with relay.connect() as c:
        c.deliver(BASE)
    assert sink.one().content == BASE


def test_the_name_that_is_wanted_is_told(hopseal, sink, cert):
    sink.tls = served(cert)
    told = []
    sink.tls.sni_callback = lambda sock, name, context: told.append(name)
    relay = hopseal("pass", listener=to_tls("may", name=HOST))
    with relay.connect() as c:
        c.deliver(BASE)
    assert told and set(told) == {HOST}


def test_a_next_hop_that_stalls_in_the_handshake(hopseal, sink, cert):
    """One deadline from connect to the end of EHLO; afterwards it is spoken to in clear."""
    sink.tls = served(cert)
    gate = threading.Event()
    sink.script("handshake", Hold(gate))
    relay = hopseal("pass", listener=to_tls("may"), pool={"connect": 400})
    relay.event("up_connect_timeout")
    with relay.connect() as c:
        c.deliver(BASE)
    gate.set()
    assert sink.one().content == BASE


@pytest.mark.parametrize("stage", ["mail", "data", "dot"])
def test_a_next_hop_lost_inside_tls(hopseal, sink, authority, cert, stage):
    """As in clear: replayed while nothing of the content was sent, else 451."""
    sink.tls = served(cert)
    sink.script(stage, DROP)
    relay = hopseal("pass", listener=to_tls("require"))
    with relay.connect() as c:
        c.to_data()
        c.message(BASE, *((451, "4.4.2") if stage == "dot" else (250,)))


def test_many_messages_share_connections_inside_tls(hopseal, sink, cert):
    sink.tls = served(cert)
    relay = hopseal("pass", listener=to_tls("require"))
    with relay.connect() as c:
        for _ in range(20):
            c.deliver(BASE)
    assert len(sink.wait(20)) == 20
    assert said(sink).count("STARTTLS") == 1


@pytest.mark.slow
def test_postfix_with_tls_behind_and_in_front(hopseal, room, ports, authority, cert):
    os.mkdir(os.path.join(room, "behind"))
    os.mkdir(os.path.join(room, "front"))
    files = "smtpd_tls_cert_file = %s\nsmtpd_tls_key_file = %s\n" % (cert.file, cert.key)
    behind = Postfix(os.path.join(room, "behind"), ports.take(), None, "smtpd_tls_security_level = encrypt\nsmtpd_tls_received_header = yes\n" + files)
    relay = hopseal("inbound", listener=dict(tls(cert, "require"), **to_tls("verify", authority, name=HOST),
                                             next_hop="127.0.0.1:%d" % behind.port))
    front = Postfix(os.path.join(room, "front"), ports.take(), relay.address()[1], "smtp_tls_security_level = encrypt\n")
    try:
        with Client(("127.0.0.1", front.port)) as c:
            c.deliver(BASE)
        (got,) = until("the message in its box", lambda: behind.mailbox("r1"))
        assert any(" with ESMTPS id " in line and "(hopseal)" in line for line in values(got, "Received"))
        assert sum("(using TLS" in line for line in values(got, "Received")) == 2
    finally:
        print(front.log(), behind.log())
        front.stop()
        behind.stop()
