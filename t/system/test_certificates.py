"""Certificates: which one a client gets, what a client's own is worth, and those towards the next hop."""
import hashlib
import os
import shutil
import socket
import ssl
import threading

import pytest

from certs import HOST, served, trust
from client import Client
from mail import BASE
from relay import ctl
from tls_client import TlsClient, connect, said, tls, to_tls

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
REFUSAL = "refuse 550 5.7.1 who?"


def der(cert):
    with open(cert.file, encoding="ascii") as f:
        return ssl.PEM_cert_to_DER_cert(f.read().split("-----END")[0] + "-----END CERTIFICATE-----")


def fingerprint(cert):
    return hashlib.sha256(der(cert)).hexdigest()


def colons(text):
    return ":".join(text[n:n + 2] for n in range(0, len(text), 2)).upper()


def showing(authority, own, version=None):
    """A client's context; own: the certificate it shows."""
    context = trust(authority, version)
    if own:
        context.load_cert_chain(own.file, own.key)
    return context


def end_of(relay, context):
    """What a session that should not be is told: nothing, or an alert."""
    with TlsClient(relay.address(), banner=False) as c, pytest.raises((OSError, EOFError)):
        c.secure(context)
        c.want(220)


# ---- the client's

@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mode", ["may", "implicit"])
def test_a_client_is_known_by_its_certificate(hopseal, sink, authority, cert, version, mode):
    own = authority.server(own=True)
    relay = hopseal("pass", listener=tls(cert, mode, client_certificate="ask"), otherwise=REFUSAL,
                    policy=[{"name": "it", "when": ["client-certificate = " + colons(fingerprint(own)), "client-certificate.verified = no",
                                                    "tls in TLSv1.2 TLSv1.3"], "then": "accept"}])
    with connect(relay, showing(authority, own, version), mode == "implicit") as c:
        c.deliver(BASE)
    got = relay.event("transaction")
    assert got["client_cert"] == fingerprint(own) and got["rule"] == "it" and "client_cert_verified" not in got
    with connect(relay, showing(authority, authority.server(), version), mode == "implicit") as c:
        c.mail(code=550, enhanced="5.7.1")
    with connect(relay, showing(authority, None, version), mode == "implicit") as c:
        c.mail(code=550, enhanced="5.7.1")
    assert "client_cert" not in relay.event("transaction", 3)
    assert len(sink.wait()) == 1


def test_in_clear_there_is_none(hopseal, authority, cert):
    relay = hopseal("pass", listener=tls(cert, client_certificate="ask"), otherwise=REFUSAL,
                    policy=[{"name": "x", "when": ["tls = none", "client-certificate = none"], "then": "refuse 550 5.7.2 in clear"}])
    with relay.connect() as c:
        c.mail(code=550, enhanced="5.7.2")
    with connect(relay, trust(authority)) as c:
        c.mail(code=550, enhanced="5.7.1")


def test_nobody_is_asked_by_default(hopseal, sink, authority, cert):
    relay = hopseal("pass", listener=tls(cert))
    with connect(relay, showing(authority, authority.server())) as c:
        c.deliver(BASE)
    assert "client_cert" not in relay.event("transaction")


@pytest.mark.parametrize("what, verified", [("good", "yes"), ("self-signed", "no"), ("expired", "no")])
def test_the_word_of_an_authority_is_a_fact(hopseal, sink, authority, cert, what, verified):
    own = authority.server(own=what == "self-signed", days=-1 if what == "expired" else 30)
    relay = hopseal("pass", listener=tls(cert, client_certificate="ask", client_ca=authority.root), otherwise=REFUSAL,
                    policy=[{"name": "it", "when": ["client-certificate.verified = " + verified, "client-certificate != none"], "then": "accept"}])
    with connect(relay, showing(authority, own)) as c:
        c.deliver(BASE)
    got = relay.event("transaction")
    assert (got["client_cert"], got["client_cert_verified"]) == (fingerprint(own), verified)
    with connect(relay, trust(authority)) as c:
        c.mail(code=550)


@pytest.mark.parametrize("version", VERSIONS)
def test_required(hopseal, sink, authority, cert, version):
    relay = hopseal("pass", listener=tls(cert, "implicit", client_certificate="require"))
    end_of(relay, showing(authority, None, version))
    assert "certificate" in relay.event("tls_handshake_failed")["note"]
    with connect(relay, showing(authority, authority.server(own=True), version), True) as c:
        c.deliver(BASE)
    assert len(sink.wait()) == 1


@pytest.mark.parametrize("what", ["self-signed", "expired", "none"])
def test_required_of_an_authority(hopseal, sink, authority, cert, what):
    relay = hopseal("pass", listener=tls(cert, "implicit", client_certificate="require", client_ca=authority.root))
    own = None if what == "none" else authority.server(own=what == "self-signed", days=-1 if what == "expired" else 30)
    end_of(relay, showing(authority, own))
    assert relay.event("tls_handshake_failed")["note"]
    with connect(relay, showing(authority, authority.server()), True) as c:
        c.deliver(BASE)
    assert relay.event("transaction")["client_cert_verified"] == "yes"


def test_a_stolen_certificate_without_its_key(hopseal, authority, cert, room):
    """The fingerprint counts because the client has shown that it holds the key."""
    own, other = authority.server(), authority.server()
    relay = hopseal("pass", listener=tls(cert, "implicit", client_certificate="ask"))
    context = trust(authority)
    with pytest.raises(ssl.SSLError):
        context.load_cert_chain(own.file, other.key)
    with connect(relay, showing(authority, own), True) as c:
        c.mail()


@pytest.mark.parametrize("written", ["plain", "colons"])
def test_who_holds_a_certificate_is_a_client_of_ours(hopseal, sink, authority, cert, keyring, written):
    own = authority.server()
    relay = hopseal("outbound", keys=[keyring.key("a.test")], listener=dict(tls(
        cert, client_certificate="ask", clients=[fingerprint(own) if written == "plain" else colons(fingerprint(own))]),
        clients=["192.0.2.1"], xclient_from=["127.0.0.1"]))
    with connect(relay, showing(authority, authority.server())) as c:
        c.mail()
        c.rcpt(code=550, enhanced="5.7.1")
    with connect(relay, showing(authority, own)) as c:
        c.deliver(BASE)
        # Whom it speaks for then is not whom the certificate names.
        c.cmd("XCLIENT ADDR=192.0.2.7", 220)
        c.ehlo()
        c.mail()
        c.rcpt(code=550, enhanced="5.7.1")
    assert len(sink.wait()) == 1


@pytest.mark.parametrize("what", ["good", "self-signed", "expired", "none"])
@pytest.mark.parametrize("version", VERSIONS)
def test_whom_an_authority_vouches_for_is_a_client_of_ours(hopseal, sink, authority, cert, keyring, what, version):
    own = None if what == "none" else authority.server(own=what == "self-signed", days=-1 if what == "expired" else 30)
    relay = hopseal("outbound", keys=[keyring.key("a.test")], listener=dict(
        tls(cert, client_certificate="ask", client_ca=authority.root, clients_verified=True), clients=["192.0.2.1"], xclient_from=["127.0.0.1"]))
    with connect(relay, showing(authority, own, version)) as c:
        if what != "good":
            c.mail()
            c.rcpt(code=550, enhanced="5.7.1")
            return
        c.deliver(BASE)
        c.cmd("XCLIENT ADDR=192.0.2.7", 220)
        c.ehlo()
        c.mail()
        c.rcpt(code=550, enhanced="5.7.1")
    assert relay.event("transaction")["client_cert_verified"] == "yes" and len(sink.wait()) == 1


def test_an_authority_alone_makes_nobody_a_client(hopseal, authority, cert, keyring):
    relay = hopseal("outbound", keys=[keyring.key("a.test")], listener=dict(
        tls(cert, client_certificate="ask", client_ca=authority.root), clients=["192.0.2.1"]))
    with connect(relay, showing(authority, authority.server())) as c:
        c.mail()
        c.rcpt(code=550, enhanced="5.7.1")


@pytest.mark.parametrize("first", ["tls", "xclient"])
def test_who_speaks_for_another_shows_a_certificate_of_his_own(hopseal, sink, authority, cert, keyring, first):
    """A front that says XCLIENT is not the client: neither the facts nor the rights of its certificate are the client's."""
    own = authority.server()
    relay = hopseal("outbound", keys=[keyring.key("a.test")], listener=dict(
        tls(cert, client_certificate="ask", client_ca=authority.root, clients=[fingerprint(own)]), clients=["192.0.2.1"],
        xclient_from=["127.0.0.1"]),
        policy=[{"name": "verified", "when": ["client-certificate.verified = yes"], "then": "refuse 550 5.7.3 verified"},
                {"name": "shown", "when": ["client-certificate = " + fingerprint(own)], "then": "refuse 550 5.7.4 shown"}])
    with connect(relay) as c:
        for step in (["tls", "xclient"] if first == "tls" else ["xclient", "tls"]):
            if step == "tls":
                c.starttls(showing(authority, own))
            else:
                c.ehlo()
                c.cmd("XCLIENT ADDR=192.0.2.7", 220)
        c.ehlo()
        c.mail()
        c.rcpt(code=550, enhanced="5.7.1")
        c.cmd("RSET")
        assert "client_cert" not in relay.event("transaction")


# ---- ours

@pytest.fixture
def several(authority):
    ec = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    return {name: authority.server(names, kind) for name, names, kind in (
        ("first", ("DNS:" + HOST, "DNS:*.c.test"), ec), ("rsa", ("DNS:" + HOST,), ("rsa:2048",)),
        ("other", ("DNS:mx.other.test", "DNS:*.other.test"), ec), ("exact", ("DNS:in.other.test",), ec))}


def all_of(several, mode="may", **more):
    rest = [{"certificate": several[name].file, "key": several[name].key} for name in ("rsa", "other", "exact")]
    return tls(several["first"], mode, certificates=rest, **more)


def shown(relay, host, version=None, ciphers=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if version:
        context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    with TlsClient(relay.address(), banner=False) as c:
        c.secure(context, host)
        c.want(220)
        return c.sock.getpeercert(True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("host, name", [
    (HOST, "first"), ("MX.C.test", "first"), ("any.c.test", "first"), ("mx.other.test", "other"), ("x.other.test", "other"),
    ("in.other.test", "exact"), ("x.in.other.test", "first"), ("unknown.test", "first"), (None, "first")])
def test_the_name_that_is_asked_for(hopseal, several, version, host, name):
    relay = hopseal("pass", listener=all_of(several, "implicit"))
    assert shown(relay, host, version) == der(several[name])


@pytest.mark.parametrize("host, ecdsa, rsa", [(HOST, "first", "rsa"), (None, "first", "rsa"), ("mx.other.test", "other", None)])
def test_two_kinds_of_key_for_one_name(hopseal, several, host, ecdsa, rsa):
    """The client has the one it can do."""
    relay = hopseal("pass", listener=all_of(several, "implicit"))
    v = ssl.TLSVersion.TLSv1_2
    assert shown(relay, host, v, "ECDHE-ECDSA-AES128-GCM-SHA256") == der(several[ecdsa])
    if rsa:
        assert shown(relay, host, v, "ECDHE-RSA-AES128-GCM-SHA256") == der(several[rsa])
    else:
        with pytest.raises(OSError):
            shown(relay, host, v, "ECDHE-RSA-AES128-GCM-SHA256")


def test_all_of_them_follow_a_reload(hopseal, authority, several, sink):
    relay = hopseal("pass", listener=all_of(several, "implicit"))
    old = connect(relay, trust(authority), True)
    new = authority.server(("DNS:in.other.test",))
    shutil.copy(new.file, several["exact"].file)
    assert relay.reload()["event"] == "reload_refused"       # the key is still the old one
    shutil.copy(new.key, several["exact"].key)
    assert relay.reload()["event"] == "reload_ok"
    assert shown(relay, "in.other.test") == der(new)
    assert shown(relay, HOST) == der(several["first"])
    old.deliver(BASE)
    old.close()


@pytest.mark.parametrize("days, event", [(5, "certificate_expires"), (-1, "certificate_expired"), (13, "certificate_expires"), (30, None)])
def test_age_is_told(hopseal, authority, days, event):
    cert = authority.server(days=days)
    relay = hopseal("pass", listener=tls(cert, certificates=[dict(certificate=c.file, key=c.key) for c in [authority.server(("DNS:x.test",))]]))
    assert relay.reload()["event"] == "reload_ok"
    done = ctl("check", "-c", relay.file)
    assert done.returncode == 0
    if event is None:
        assert not [e for e in relay.events() if e["event"].startswith("certificate_")] and done.stderr == b""
        return
    text = relay.event(event, 2)["text"]
    assert cert.file in text and len(relay.events(event)) == 2
    with open(relay.file, encoding="utf-8") as f:
        (line,) = [n + 1 for n, line in enumerate(f) if cert.file in line]
    where, what = text.split(": ", 1)
    assert where.endswith("hopseal.conf:%d" % line)
    words = "certificate %s expire%s " % (cert.file, "d" if days < 0 else "s")
    assert what.startswith(words) and what.endswith(" day(s)" + " ago" * (days < 0))
    assert done.stderr.decode().startswith("%s: warning: %s" % (where, words))      # a day may have gone since


# ---- nothing of a session is worth anything to another

def kept_session(context, address, starttls=False):
    with socket.create_connection(address) as raw, context.wrap_socket(raw, server_hostname=HOST) as s:
        s.recv(100)
        return s.session


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_of_one_listener_is_none_on_another(hopseal, authority, cert, version):
    relay = hopseal("pass", listeners={
        "open": dict(tls(cert, "implicit"), service="pass"), "closed": dict(tls(cert, "implicit", client_certificate="require"), service="pass")})
    context = trust(authority, version)
    session = kept_session(context, relay.address("open"))
    with socket.create_connection(relay.address("closed")) as raw, pytest.raises(OSError):
        with context.wrap_socket(raw, server_hostname=HOST, session=session) as s:
            assert not s.session_reused
            s.recv(100)
            raise OSError("closed") if s.recv(1) == b"" else AssertionError("a session without a certificate")
    assert relay.event("tls_handshake_failed")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ticket_from_elsewhere(hopseal, authority, cert, version):
    """It is looked at by nobody; a full handshake follows, and the log tells."""
    relay = hopseal("pass", listener=tls(cert, "implicit"))
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        raw, _ = listener.accept()
        with served(cert).wrap_socket(raw, server_side=True) as s:
            s.sendall(b"220 elsewhere\r\n")
            s.recv(100)
    thread = threading.Thread(target=serve)
    thread.start()
    context = trust(authority, version)
    session = kept_session(context, listener.getsockname())
    thread.join()
    listener.close()
    assert session.has_ticket
    with socket.create_connection(relay.address()) as raw, context.wrap_socket(raw, server_hostname=HOST, session=session) as s:
        assert s.recv(100).startswith(b"220 ") and not s.session_reused
    relay.event("tls_ticket_foreign")
    with connect(relay, trust(authority), True) as c:
        c.cmd("NOOP")
    assert len(relay.events("tls_ticket_foreign")) == 1


# ---- towards the next hop

@pytest.mark.parametrize("more", [{"mode": "implicit"}, {"mode": "require", "implicit": True}, {"mode": "verify", "implicit": True}])
@pytest.mark.parametrize("client", ["none", "proxy"])
def test_tls_from_the_first_octet(hopseal, sink, authority, cert, more, client):
    """Behind a PROXY header where there is one; STARTTLS is not said."""
    sink.tls, sink.implicit, sink.fronted = served(cert), True, client == "proxy"
    relay = hopseal("pass", listener=dict(to_tls(more["mode"], authority, name=HOST, **{k: v for k, v in more.items() if k != "mode"}),
                                          next_hop_client=client))
    with relay.connect() as c:
        c.deliver(BASE)
        c.deliver(BASE)
    assert [tx.content for tx in sink.wait(2)] == [BASE, BASE]
    assert "STARTTLS" not in said(sink)
    assert relay.event("transaction")["next_hop_tls"].startswith("TLSv1.3/")
    if client == "proxy":
        assert sink.wait(2)[0].front


@pytest.mark.parametrize("how, code", [("in clear", "4.7.4"), ("self-signed", "4.7.5"), ("another name", "4.7.5")])
def test_an_implicit_next_hop_that_is_not_as_it_should_be(hopseal, sink, authority, how, code):
    if how != "in clear":
        sink.tls = served(authority.server(own=True) if how == "self-signed" else authority.server(("DNS:x.test",)))
        sink.implicit = True
    relay = hopseal("pass", listener=to_tls("verify", authority, name=HOST, implicit=True))
    with relay.connect() as c:
        c.mail(code=451, enhanced=code)
    relay.event("up_tls_required" if how == "in clear" else "up_tls_cert")
    assert not [line for line in said(sink) if line.startswith("MAIL")]


def test_a_next_hop_that_wants_a_certificate_we_have_not(hopseal, sink, authority):
    """Its own is not looked at, so it is not what is wrong."""
    sink.tls = served(authority.server(own=True))
    sink.tls.maximum_version = ssl.TLSVersion.TLSv1_2
    sink.tls.verify_mode = ssl.CERT_REQUIRED
    sink.tls.load_verify_locations(authority.root)
    relay = hopseal("pass", listener=to_tls("require"))
    with relay.connect() as c:
        c.mail(code=451, enhanced="4.7.4")
    assert "alert" in relay.event("up_tls_required")["note"]


@pytest.mark.parametrize("version", VERSIONS)
def test_our_certificate_for_the_next_hop(hopseal, sink, authority, cert, version):
    own = authority.server(("DNS:relay.a.test",))
    sink.tls = served(cert)
    sink.tls.minimum_version = sink.tls.maximum_version = version
    sink.tls.verify_mode = ssl.CERT_REQUIRED
    sink.tls.load_verify_locations(authority.root)
    relay = hopseal("pass", listener=to_tls("require", certificate=own.file, key=own.key))
    with relay.connect() as c:
        c.deliver(BASE)
    sink.one()
    other = authority.server(own=True)
    assert relay.reload(listener={"main": to_tls("require", certificate=other.file, key=other.key)})["event"] == "reload_ok"
    with relay.connect() as c:
        c.mail(code=451)
    assert len(sink.transactions()) == 1
