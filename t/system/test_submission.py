"""Who may send: AUTH inside TLS, as mail clients do it."""
import base64
import hashlib
import hmac
import os
import shutil
import smtplib
import subprocess

import pytest

from certs import HOST, trust
from mail import BASE
from mtas import fetched
from relay import ctl
from submission import Scram, authenticate, b64, password_file, password_line, plain
from tls_client import connect, tls

USERS = {"ann": "correct horse", "b=o,b": "a b", "\u00e4nne@a.test": "p\u00e4ssword"}
MECHS = ["PLAIN", "SCRAM-SHA-256"]


@pytest.fixture
def users(room):
    return password_file(room, USERS)


@pytest.fixture
def submission(hopseal, cert, keyring, users):
    """A service that seals, of which nobody is a client by his address."""
    def make(mode="require", service="outbound", auth=None, **more):
        listener = dict(tls(cert, mode), clients=["192.0.2.1"], auth=dict({"passwords": users}, **(auth or {})))
        listener.update(more.pop("listener", {}))
        return hopseal(service, keys=[keyring.key("a.test")], listener=listener, **more)
    return make


def session(relay, authority, implicit=False):
    c = connect(relay, trust(authority), implicit)
    c.ehlo()
    return c


@pytest.mark.parametrize("mode", ["may", "require", "implicit"])
@pytest.mark.parametrize("mech", MECHS)
@pytest.mark.parametrize("user", list(USERS))
def test_a_user_sends(submission, authority, sink, mode, mech, user):
    relay = submission(mode)
    with session(relay, authority, mode == "implicit") as c:
        assert "AUTH PLAIN SCRAM-SHA-256" in c.extensions
        c.mail()
        c.rcpt(code=530, enhanced="5.7.0")
        c.cmd("RSET")
        authenticate(c, user, USERS[user], mech)
        c.deliver(BASE, params=" AUTH=<>")
        c.deliver(BASE)
    head = sink.wait(2)[0].content.split(b"\r\n\r\n")[0]
    assert b" with ESMTPSA id " in head and user.encode("utf-8") not in head
    assert relay.event("auth_ok")["user"] == user and relay.event("auth_ok")["mechanism"] == mech
    sent = [e for e in relay.events("transaction") if e["outcome"] == "accepted"]
    assert [e["user"] for e in sent] == [user, user]


@pytest.mark.parametrize("mech", MECHS)
def test_into_the_queue(submission, authority, sink, mech):
    """What hopseal answers for itself is taken from a user for anybody, and from strangers not."""
    relay = submission(listener={"mode": "queue", "domains": ["d.test"]})
    with session(relay, authority) as c:
        c.mail()
        c.rcpt(code=530, enhanced="5.7.0")
        c.rcpt("<r@d.test>")
        c.cmd("RSET")
        authenticate(c, "ann", USERS["ann"], mech)
        c.deliver(BASE)
    assert b" with ESMTPSA id " in sink.wait()[0].content
    assert relay.event("transaction", mode="queue", outcome="accepted")["user"] == "ann"


def test_in_clear_it_is_not_there(submission, hopseal, authority, sink):
    relay = submission("may")
    with relay.connect() as c:
        c.ehlo()
        assert not c.has("AUTH") and c.has("STARTTLS")
        c.cmd("AUTH PLAIN " + plain("ann", USERS["ann"]), 538, "5.7.11")
        c.mail()
        c.rcpt(code=530, enhanced="5.7.0")
        c.cmd("MAIL FROM:<s@a.test> AUTH=<>", 503)
    relay = submission("require")
    with relay.connect() as c:
        c.ehlo()
        assert not c.has("AUTH")
        c.cmd("AUTH PLAIN " + plain("ann", USERS["ann"]), 530, "5.7.0")
    relay = hopseal("pass")
    with relay.connect() as c:
        c.cmd("AUTH PLAIN " + plain("ann", USERS["ann"]), 502, "5.5.1")
    assert sink.transactions() == []


@pytest.mark.parametrize("mech", MECHS)
@pytest.mark.parametrize("user, password, note", [
    ("ann", "correct hors", "wrong password"), ("ann", "", None), ("Ann", "correct horse", "unknown user"), ("bob", "correct horse", "unknown user"),
    ("none", "x", "unknown user"), ("ann", "p\u00e4ssword", "wrong password")])
def test_who_is_not_let_in(submission, authority, sink, mech, user, password, note):
    if note is None and mech == "PLAIN":
        note = "bad password syntax"
    relay = submission()
    with session(relay, authority) as c:
        authenticate(c, user, password, mech, 535, "5.7.8")
        c.mail()
        c.rcpt(code=530, enhanced="5.7.0")
    got = relay.event("auth_failed")
    assert (got["user"], got["client"], got["mechanism"], got["listener"]) == (user, "127.0.0.1", mech, "main")
    assert got["note"] == (note or "wrong password")
    text = repr(relay.events())
    for secret in (plain(user, password), USERS["ann"], password if len(password) > 5 else plain(user, password)):
        assert secret not in text
    assert sink.transactions() == []


def test_an_unknown_user_has_a_salt_that_stays(submission, authority, users):
    relay = submission()
    seen = []
    for again in range(2):
        for user in ("ann", "nobody", "nobody", "somebody"):
            scram = Scram(user, "x")
            with session(relay, authority) as c:
                text = c.cmd("AUTH SCRAM-SHA-256 " + b64(scram.first()), 334).text
                scram.final(base64.b64decode(text).decode("ascii"))
                seen.append((scram.iterations, scram.salt))
                c.cmd("*", 501)
        assert relay.reload()["event"] == "reload_ok"
    ann, one, two, other = seen[:4]
    assert one == two != other and ann not in (one, other)
    assert seen[:4] == seen[4:]
    assert len({(n, len(salt)) for n, salt in seen}) == 1
    with open(users, encoding="utf-8") as f:
        assert "ann:{SCRAM-SHA-256}4096,%s," % ann[1] in f.read()


def test_passwords_follow_a_reload(submission, authority, users, room, sink):
    relay = submission()
    with session(relay, authority) as old:
        os.chmod(users, 0o644)
        assert relay.reload()["event"] == "reload_refused"
        with session(relay, authority) as c:
            authenticate(c, "ann", USERS["ann"])
        shutil.copy(password_file(room, {"ann": "another"}, "new"), users)
        os.chmod(users, 0o600)
        assert relay.reload()["event"] == "reload_ok"
        with session(relay, authority) as c:
            authenticate(c, "ann", USERS["ann"], code=535)
            authenticate(c, "ann", "another")
        authenticate(old, "ann", USERS["ann"])


def test_a_session_that_fails_has_an_end(submission, authority):
    relay = submission()
    with session(relay, authority) as c:
        for _ in range(5):
            authenticate(c, "ann", "wrong", code=535)
        c.cmd("NOOP")
        c.cmd("AUTH PLAIN " + plain("ann", USERS["ann"]), 421, "4.7.0")
        c.gone()
    assert len(relay.events("auth_failed")) == 5
    assert relay.status()["counters"]["auth_failed"] == 5


def test_a_client_that_tries_too_often(submission, authority):
    relay = submission(auth={"attempts": 3})
    for n in range(6):
        with session(relay, authority) as c:
            authenticate(c, "ann", USERS["ann"] if n == 5 else "wrong", code=535 if n < 3 else 454)
    got = relay.event("auth_rate")
    assert got["client"] == "127.0.0.1" and got["count"] == 1
    assert len(relay.events("auth_rate")) == 1 and len(relay.events("auth_failed")) == 3


def test_a_policy_knows_the_user(submission, authority, sink):
    relay = submission(service="pass", policy=[
        {"name": "nobody", "when": ["auth.user = none"], "then": "refuse 530 5.7.0 authenticate"},
        {"name": "another's", "when": ["auth.user = ann", "mail-from != <ann@a.test>"], "then": "refuse 550 5.7.1 not your address, {auth.user}"}])
    with session(relay, authority) as c:
        c.mail(code=530)
        authenticate(c, "ann", USERS["ann"])
        c.mail("<s@a.test>", code=550, text="not your address, ann")
        c.deliver(BASE, "<ann@a.test>")
    with session(relay, authority) as c:
        authenticate(c, "b=o,b", USERS["b=o,b"])
        c.deliver(BASE)
    assert len(sink.wait(2)) == 2


def test_xclient_is_somebody_else(submission, authority, sink):
    relay = submission("may", listener={"xclient_from": ["127.0.0.1"]})
    with session(relay, authority) as c:
        authenticate(c, "ann", USERS["ann"])
        c.cmd("XCLIENT NAME=x.test", 220)
        c.ehlo()
        c.mail()
        c.rcpt(code=530, enhanced="5.7.0")
        c.cmd("RSET")
        authenticate(c, "ann", USERS["ann"])
        c.deliver(BASE)
        c.cmd("XCLIENT ADDR=192.0.2.7", 220)
        c.ehlo()
        c.mail()
        c.rcpt(code=530, enhanced="5.7.0")
    assert len(sink.wait()) == 1


@pytest.mark.slow
def test_many_at_a_time_take_their_turns(submission, authority, room):
    """A password that costs much holds up nobody else: what it costs is paid between what others ask for."""
    file = os.path.join(room, "slow")
    with open(file, "w", encoding="ascii") as f:
        f.write(password_line("slow", "x", "--iterations", "1000000") + password_line("fast", "x", "--iterations", "4096"))
    os.chmod(file, 0o600)
    relay = submission(auth={"passwords": file, "attempts": 0})
    slow = [session(relay, authority) for _ in range(4)]
    for c in slow:
        c.send(b"AUTH PLAIN " + plain("slow", "x").encode("ascii") + b"\r\n")
    with session(relay, authority) as c:
        for _ in range(20):
            c.cmd("NOOP")
        authenticate(c, "fast", "x")
    gone = slow.pop()       # in the middle of it
    gone.close()
    assert [e["user"] for e in relay.events("auth_ok")] == ["fast"]
    for c in slow:
        c.want(235)
        c.close()


def test_half_closed_behind_auth(submission, authority):
    relay = submission("may")
    with session(relay, authority) as c:
        c.send(b"AUTH PLAIN " + plain("ann", USERS["ann"]).encode("ascii") + b"\r\nNOOP\r\nQUIT\r\n")
        c.want(235)
        c.want(250)
        c.want(221)


def test_a_message_of_its_own_words_only(submission, authority):
    """What is answered to AUTH is in order, whatever stands behind it, and nothing of an exchange is run as a command."""
    relay = submission()
    with session(relay, authority) as c:
        c.send(b"AUTH PLAIN\r\nMAIL FROM:<s@a.test>\r\nNOOP\r\n")
        c.want(334)
        c.want(501, "5.5.2")
        c.want(250)
        c.send(b"AUTH PLAIN\r\n*\r\nAUTH LOGIN\r\nAUTH\r\n")
        for code, enhanced in ((334, None), (501, "5.7.0"), (504, "5.5.4"), (501, "5.5.4")):
            c.want(code, enhanced)


# ---- other people's clients

def test_pythons_smtplib(submission, authority, sink):
    relay = submission()
    with smtplib.SMTP(*relay.address(), local_hostname="t.a.test") as c:
        c._host = HOST
        c.starttls(context=trust(authority))
        c.login("ann", USERS["ann"])
        c.sendmail("s@a.test", ["r1@c.test"], BASE)
    with smtplib.SMTP(*relay.address(), local_hostname="t.a.test") as c, pytest.raises(smtplib.SMTPAuthenticationError) as e:
        c._host = HOST
        c.starttls(context=trust(authority))
        c.login("ann", "wrong")
    assert e.value.smtp_code == 535
    assert len(sink.wait()) == 1


SWAKS = shutil.which("swaks")


@pytest.mark.skipif(not SWAKS, reason="swaks is not installed")
@pytest.mark.parametrize("password, status", [(USERS["ann"], 0), ("wrong", 28)])
def test_swaks(submission, sink, password, status):
    relay = submission()
    host, port = relay.address()
    done = subprocess.run([SWAKS, "--server", host, "--port", str(port), "--tls", "--auth", "PLAIN", "--auth-user", "ann", "--auth-password", password,
                           "--from", "s@a.test", "--to", "r1@c.test", "--helo", "t.a.test", "--timeout", "10"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    assert done.returncode == status, done.stdout.decode("utf-8", "replace")
    assert len(sink.transactions()) == (status == 0)


# ---- the operator's side

@pytest.mark.parametrize("options, iterations", [((), 15000), (("--iterations", "4096"), 4096)])
def test_hopsealctl_password(options, iterations):
    lines = [password_line("ann", "correct horse", *options) for _ in range(2)]
    assert lines[0] != lines[1]
    user, rest = lines[0].rstrip("\n").split(":")
    n, salt, stored, server = rest[len("{SCRAM-SHA-256}"):].split(",")
    assert (user, int(n), len(base64.b64decode(salt))) == ("ann", iterations, 16)
    salted = hashlib.pbkdf2_hmac("sha256", b"correct horse", base64.b64decode(salt), iterations)
    key = hmac.new(salted, b"Client Key", "sha256").digest()
    assert base64.b64decode(stored) == hashlib.sha256(key).digest()
    assert base64.b64decode(server) == hmac.new(salted, b"Server Key", "sha256").digest()


@pytest.mark.parametrize("args, octets, status, what", [
    (["ann"], b"\n", 65, b"a password"), (["ann"], b"", 65, b"a password"), (["ann"], b"a\0b\n", 65, b"a password"), (["ann"], b"\xff\n", 65, b"a password"),
    (["ann"], b"x" * 1025 + b"\n", 65, b"longer than 1024"), (["a:b"], b"x\n", 64, b"a:b"), (["none"], b"x\n", 64, b"none"), ([""], b"x\n", 64, b"user"),
    (["#x"], b"x\n", 64, b"#x"), (["a", "b"], b"x\n", 64, b"unexpected argument: b"), (["--iterations", "4095"], b"x\n", 64, b"4095"),
    (["--iterations", "1000001"], b"x\n", 64, b"1000001")], ids=lambda x: repr(x)[:20])
def test_hopsealctl_password_refuses(args, octets, status, what):
    done = ctl("password", *args, input=octets)
    assert (done.returncode, done.stdout) == (status, b"") and what in done.stderr


def test_hopsealctl_password_without_a_user():
    done = ctl("password", input=b"x" * 1024)
    assert done.returncode == 0 and done.stdout.startswith(b"{SCRAM-SHA-256}15000,")


def doveadm(*args):
    """An installed one, or what t/peers has unpacked."""
    program, env = shutil.which("doveadm"), dict(os.environ)
    if not program:
        package = fetched("dovecot")
        program = package + "/usr/bin/doveadm"
        env["LD_LIBRARY_PATH"] = ":".join(sorted({folder for folder, _, names in os.walk(package) if any(".so" in name for name in names)}))
    return subprocess.run([program, "-O"] + list(args), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, timeout=60)


def test_a_line_of_doveadm(submission, authority, room):
    made = doveadm("pw", "-s", "SCRAM-SHA-256", "-p", "p\u00e4ss word")
    assert made.returncode == 0, made.stdout
    file = os.path.join(room, "theirs")
    with open(file, "wb") as f:
        f.write(b"ann:" + made.stdout)
    os.chmod(file, 0o600)
    relay = submission(auth={"passwords": file})
    for mech in MECHS:
        with session(relay, authority) as c:
            authenticate(c, "ann", "p\u00e4ss word", mech)


@pytest.mark.parametrize("password, right", [("correct horse", True), ("wrong", False)])
def test_doveadm_takes_ours(password, right):
    line = password_line("ann", "correct horse").strip().split(":")[1]
    done = doveadm("pw", "-t", line, "-p", password)
    assert (done.returncode == 0) == right, done.stdout
