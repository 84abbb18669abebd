"""Dovecot says who may send: its authentication service, played and real."""
import os

import pytest

from auth_service import AuthService
from certs import trust
from mail import BASE
from mtas import DovecotAuth
from submission import Scram, authenticate, b64, password_line, plain
from tls_client import connect, tls
from wait import until


@pytest.fixture
def service(room):
    made = []

    def make(**options):
        made.append(AuthService(os.path.join(room, "auth-client"), **options))
        return made[-1]
    yield make
    for one in made:
        one.stop()


@pytest.fixture
def submission(hopseal, cert, keyring, room):
    def make(path=None, **more):
        return hopseal("outbound", keys=[keyring.key("a.test")], listener=dict(
            tls(cert, "may"), clients=["192.0.2.1"], auth=dict({"dovecot": path or os.path.join(room, "auth-client"), "attempts": 0}, **more)))
    return make


def session(relay, authority):
    c = connect(relay, trust(authority))
    c.ehlo()
    return c


def known(relay, authority, mechs):
    """Once a session is offered them."""
    def offered():
        with session(relay, authority) as c:
            return ("AUTH " + mechs if mechs else None) in c.extensions + [None] and (mechs or not c.has("AUTH"))
    until("AUTH " + (mechs or "gone"), offered)


def test_a_user_sends(submission, service, authority, sink):
    played = service()
    relay = submission()
    with session(relay, authority) as c:
        authenticate(c, "ann", "wrong", code=535, enhanced="5.7.8")
        authenticate(c, "ann", "pass")
        c.deliver(BASE)
    with session(relay, authority) as c:
        authenticate(c, "alias", "pass")
        c.deliver(BASE)
    assert [e["user"] for e in relay.events("transaction")] == ["ann", "another"]
    failed = relay.event("auth_failed")
    assert (failed["user"], failed["note"], failed["mechanism"]) == ("ann", "wrong user or password", "PLAIN")
    assert plain("ann", "pass") not in repr(relay.events())
    said = played.lines.snapshot()
    assert said[0] == ["VERSION", "1", "1"] and said[1][0] == "CPID" and int(said[1][1]) > 0
    assert said[2] == ["AUTH", "1", "PLAIN", "service=smtp", "nologin", "lip=127.0.0.1", "rip=127.0.0.1", "secured", "resp=" + plain("ann", "wrong")]
    assert [words[1] for words in said[2:]] == ["1", "2", "3"]          # on one connection


def test_what_is_refused_before_it_is_asked(submission, service, authority):
    played = service()
    relay = submission()
    with session(relay, authority) as c:
        c.cmd("AUTH PLAIN " + plain("ann", "pass", "bob"), 535)
        c.cmd("AUTH PLAIN " + plain("", "pass"), 535)
        c.cmd("AUTH PLAIN !", 501)
        c.cmd("AUTH PLAIN", 334)
        c.cmd("*", 501)
    assert [e["note"] for e in relay.events("auth_failed")] == ["acts for another", "bad user name"]
    assert not [words for words in played.lines.snapshot() if words[0] == "AUTH"]


@pytest.mark.parametrize("user", ["later", "odd", "gone"])
def test_no_answer_is_454_and_the_next_one_is_asked(submission, service, authority, user):
    service()
    relay = submission()
    with session(relay, authority) as c:
        for _ in range(3):
            authenticate(c, user, "pass", code=454, enhanced="4.7.0")
        authenticate(c, "ann", "pass")
    assert len(relay.events("auth_deferred")) == 3 and not relay.events("auth_failed")
    assert len(relay.events("auth_down")) == (user != "later")
    if user != "later":
        assert relay.event("auth_up")


def test_who_waits_behind_another_has_the_same_fate(submission, service, authority):
    """One that hangs up, or speaks in tongues, answers nobody."""
    played = service()
    relay = submission()
    with session(relay, authority) as first, session(relay, authority) as second:
        first.send(b"AUTH PLAIN " + plain("silent", "pass").encode("ascii") + b"\r\n")
        played.lines.wait("AUTH", lambda lines: [words for words in lines if words[0] == "AUTH"])
        authenticate(second, "odd", "pass", code=454)
        first.want(454, "4.7.0")
        authenticate(first, "ann", "pass")


def test_a_service_that_is_not_there_yet(submission, service, authority):
    relay = submission()
    with session(relay, authority) as c:
        assert "AUTH PLAIN" in c.extensions
        authenticate(c, "ann", "pass", code=454)
        assert relay.event("auth_down")["name"].endswith("/auth-client")
        played = service(mechs=("PLAIN", "SCRAM-SHA-256", "LOGIN"))
        authenticate(c, "ann", "pass")
    known(relay, authority, "PLAIN SCRAM-SHA-256")
    played.stop()
    played.mechs = ("LOGIN",)
    played.start()
    known(relay, authority, None)
    played.stop()
    known(relay, authority, "PLAIN")


def test_another_version(submission, service, authority):
    service(version="VERSION\t2\t0")
    relay = submission()
    with session(relay, authority) as c:
        authenticate(c, "ann", "pass", code=454)
    assert relay.event("auth_down")["note"] == "not its protocol"


def test_it_may_ask_more_than_once(submission, service, authority):
    played = service()
    relay = submission()
    with session(relay, authority) as c:
        got = c.cmd("AUTH PLAIN " + plain("multi", "x"), 334)
        assert got.text == "YW5kPw=="
        c.cmd("eWVz", 235)
        assert played.lines.snapshot()[-1] == ["CONT", "1", "eWVz"]
    with session(relay, authority) as c:
        c.cmd("AUTH PLAIN " + plain("multi", "x"), 334)
        c.cmd("*", 501)
        until("CANCEL", lambda: played.lines.snapshot()[-1] == ["CANCEL", "2"])
        authenticate(c, "ann", "pass")


def test_a_session_that_goes_takes_nobody_along(submission, service, authority):
    service()
    relay = submission()
    sessions = [session(relay, authority) for _ in range(10)]
    for n, c in enumerate(sessions):
        c.send(b"AUTH PLAIN " + plain("ann" if n % 2 else "silent", "pass").encode("ascii") + b"\r\n")
    for n, c in enumerate(sessions):
        if n % 2 == 0:
            c.close()
    for n, c in enumerate(sessions):
        if n % 2:
            c.want(235)
            c.close()


# ---- the real one

@pytest.fixture
def dovecot(room):
    made = []

    def make(users):
        folder = os.path.join(room, "dovecot")
        os.mkdir(folder)
        made.append(DovecotAuth(folder, users))
        return made[-1]
    yield make
    for one in made:
        one.stop()
        print(one.log()[-5000:])


@pytest.mark.slow
@pytest.mark.parametrize("mech", ["PLAIN", "SCRAM-SHA-256"])
def test_dovecot_itself(submission, dovecot, authority, sink, mech):
    real = dovecot(password_line("ann", "correct horse", "--iterations", "4096") + password_line("\u00e4nne@a.test", "p\u00e4ss"))
    relay = submission(real.socket)
    known(relay, authority, "PLAIN SCRAM-SHA-256")
    for user, password in (("ann", "correct horse"), ("\u00e4nne@a.test", "p\u00e4ss")):
        with session(relay, authority) as c:
            authenticate(c, user, "wrong", mech, 535, "5.7.8")
            c.cmd("AUTH %s %s" % (mech, plain("nobody", password) if mech == "PLAIN" else b64(Scram("nobody", password).first())), 535, "5.7.8")
            authenticate(c, user, password, mech)
            c.deliver(BASE)
    assert [e["user"] for e in relay.events("auth_ok")] == ["ann", "\u00e4nne@a.test"]
    assert len(sink.wait(2)) == 2
