"""Every client of the distribution to every next hop of it through hopseal, by every feature both have.

    client -> tap -> hopseal -> tap -> next hop -> sink

The taps hold what came in against what went out, octet for octet; the sink holds what was sent against what arrived. The table of
what passed stands in meson-logs/matrix.txt of the build folder.
"""
import asyncio
import contextlib
import os
import shutil
import smtplib
import subprocess

import pytest

from certs import Authority, served, trust
from client import Client
from conftest import daemons, make_folder
from mail import added, name_of
from mtas import Aiosmtpd, Exim, OpenSmtpd, python
from peers import Postfix, need
from relay import BUILD, Ports
from sink import Sink
from tap import Tap
from wait import DEADLINE, until

pytestmark = pytest.mark.slow

FEATURES = ("clear", "tls", "pipelining", "8bit", "utf8", "dsn", "bdat", "large")
# What a peer lacks as a client. Postfix and OpenSMTPD never send BDAT, OpenSMTPD waits for every answer.
CLIENTS = {
    "postfix": {"bdat"},
    "exim": set(),
    "opensmtpd": {"bdat", "utf8", "pipelining"},
    "swaks": {"bdat", "utf8", "dsn"},
    "smtp-source": {"tls", "bdat", "utf8", "dsn", "pipelining"},
    "smtplib": {"bdat", "pipelining"},
    "aiosmtplib": {"bdat", "pipelining"},
}
# And as a next hop, with the EHLO word that hopseal must not announce then. Every handshake with Debian's OpenSMTPD fails,
# OpenSMTPD/OpenSMTPD#1171: a next hop to fall back from.
HOPS = {
    "postfix": {},
    "exim": {},
    "opensmtpd": {"utf8": "SMTPUTF8", "tls": None},
    "aiosmtpd": {"dsn": "DSN"},
}
LARGE = 20 << 20
DSN_MAIL = ["RET=HDRS", "ENVID=e+2B1"]
DSN_RCPT = ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;o+2Br@c.test"]


class Cell:
    def __init__(self, client, hop, feature):
        self.client, self.hop, self.feature = client, hop, feature
        self.domain = hop + ("-tls" if feature == "tls" else "") + ".test"
        self.recipient = "%s-%s%s@%s" % (feature, client, "\u00fc" if feature == "utf8" else "", self.domain)
        self.sender = "s\u00fc@a.test" if feature == "utf8" else "s@a.test"

    @property
    def mail(self):
        return {"8bit": ["BODY=8BITMIME"], "utf8": ["SMTPUTF8", "BODY=8BITMIME"], "dsn": DSN_MAIL}.get(self.feature, [])

    @property
    def rcpt(self):
        return DSN_RCPT if self.feature == "dsn" else []

    @property
    def message(self):
        """Nothing a server would mend; everything it could trip over."""
        head = ("From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\nDate: Thu, 01 Oct 2026 00:00:00 +0000\r\n"
                "Message-ID: <%s.%s@a.test>\r\nX-Folded:  a\r\n\tb  \r\n\r\n" % (
                    self.sender, self.recipient, "gr\u00fc\u00dfe" if self.feature == "utf8" else "t", self.feature, self.client)).encode()
        body = b".\r\n..\r\n.x \r\n\r\n" + b"y" * 900 + b"\r\n\tend \r\n\r\n\r\n"
        if self.feature in ("8bit", "utf8"):
            body += b"\xc3\xa4\xff\x80\r\n"
        if self.feature == "large":
            body += (b"0123456789 " * 80 + b"\r\n.dot\r\n") * (LARGE // 888)
        return head + body + b"\r\n"       # smtp-source ends every message so


class World:
    """All of them, started once; who is missing has a reason instead."""

    def __init__(self, folder, stack):
        self.folder, self.missing, self.servers = folder, {}, {}
        self.outcomes = {}      # by client, next hop, feature
        ports = stack.enter_context(contextlib.closing(Ports()))
        authority = Authority(folder)
        cert = authority.server(["IP:127.0.0.1"] + ["DNS:%s.b.test" % hop for hop in HOPS])
        self.trust = trust(authority)
        self.sink = stack.enter_context(contextlib.closing(Sink()))
        self.front = {name: ports.take() for name in CLIENTS}
        back = {name: ports.take() for name in HOPS}
        domains = [hop + kind + ".test" for hop in HOPS for kind in ("", "-tls")]
        self.before = {domain: stack.enter_context(contextlib.closing(Tap(ports.take(), 0))) for domain in domains}
        self.behind = {hop: stack.enter_context(contextlib.closing(Tap(ports.take(), back[hop]))) for hop in HOPS}
        routes = {domain: tap.port for domain, tap in self.before.items()}
        onward = int(self.sink.address.split(":")[1])
        for name, start in {
                "postfix": lambda folder: postfix(folder, self.front["postfix"], back["postfix"], onward, routes, cert),
                "exim": lambda folder: Exim(folder, self.front["exim"], back["exim"], onward, routes, cert),
                "opensmtpd": lambda folder: OpenSmtpd(folder, self.front["opensmtpd"], back["opensmtpd"], onward, routes, cert),
                "aiosmtpd": lambda folder: Aiosmtpd(back["aiosmtpd"], self.sink, served(cert))}.items():
            folder = os.path.join(self.folder, name)
            os.mkdir(folder)
            try:
                self.servers[name] = start(folder)
                stack.callback(self.servers[name].stop)
            except pytest.skip.Exception as e:
                self.missing[name] = str(e)
        for name, here in {"swaks": lambda: need("swaks"), "smtp-source": lambda: need("smtp-source"), "aiosmtplib": python}.items():
            try:
                here()
            except pytest.skip.Exception as e:
                self.missing[name] = str(e)
        listeners = {}
        for hop in HOPS:
            if hop in self.missing:
                continue
            listeners[hop] = {"next_hop": "127.0.0.1:%d" % self.behind[hop].port}
            listeners[hop + "-tls"] = {
                "next_hop": "127.0.0.1:%d" % back[hop], "tls": {"mode": "require", "certificate": cert.file, "key": cert.key},
                "next_hop_tls": {"mode": "may"} if "tls" in HOPS[hop] else {"mode": "verify", "ca": authority.root, "name": hop + ".b.test"}}
        room = os.path.join(self.folder, "hopseal")
        os.mkdir(room)
        make = stack.enter_context(daemons(room, ports, self.sink, None))
        for name in listeners:
            listeners[name]["service"] = "pass"
        self.relay = make(listeners=listeners, answers={})
        for name, (_, port) in self.relay.listeners.items():
            self.before[name + ".test"].target = port
        for hop in HOPS:
            if hop not in self.missing:
                until("the probe of " + hop, lambda: self.announced(hop, "8BITMIME"))

    def announced(self, hop, word):
        with Client(self.relay.address(hop)) as c:
            c.ehlo()
            return c.has(word)

    @contextlib.contextmanager
    def heard(self, *names):
        """What the servers said is shown when it fails."""
        start = {name: len(self.servers[name].log()) for name in names if name in self.servers}
        try:
            yield
        except (AssertionError, pytest.fail.Exception, subprocess.TimeoutExpired):
            for name, n in start.items():
                print("---- %s\n%s" % (name, self.servers[name].log()[n:][-8000:]))
            raise

    def wanted(self, *names):
        for name in names:
            if name in self.missing:
                pytest.skip(self.missing[name])


def postfix(folder, front, back, onward, routes, cert):
    """In front it routes by domain; what comes to `back` goes on as through a content filter, whatever its domain."""
    transport = os.path.join(folder, "transport")
    with open(transport, "w", encoding="ascii") as f:
        f.write("".join("%s smtp:[127.0.0.1]:%d\n" % row for row in routes.items()))
    return Postfix(folder, front, extra="""transport_maps = texthash:%s
smtp_tls_security_level = may
smtpd_tls_security_level = may
smtpd_tls_cert_file = %s
smtpd_tls_key_file = %s
""" % (transport, cert.file, cert.key), master="127.0.0.1:%d inet n - n - - smtpd -o content_filter=smtp:[127.0.0.1]:%d\n" % (back, onward))


@pytest.fixture(scope="module")
def world():
    folder = make_folder()
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        made = World(folder, stack)
        yield made
    write_table(made)


def write_table(world):
    """passed; FAILED; missing: a peer is not here; -: a peer lacks it; blank: not tried."""
    lines = ["%-12s %-10s %s" % ("client", "next hop", " ".join(f.ljust(7) for f in FEATURES))]
    for client in CLIENTS:
        for hop in HOPS:
            row = []
            for feature in FEATURES:
                if feature in CLIENTS[client] or feature in HOPS[hop]:
                    row.append("-")
                elif {client, hop} & set(world.missing):
                    row.append("missing")
                else:
                    row.append(world.outcomes.get((client, hop, feature), ""))
            lines.append("%-12s %-10s %s" % (client, hop, " ".join(word.ljust(7) for word in row)))
    with open(os.path.join(BUILD, "meson-logs", "matrix.txt"), "w", encoding="ascii") as f:
        f.write("\n".join(line.rstrip() for line in lines) + "\n")


# ---- how each client is made to send

def send(world, cell):
    port = world.before[cell.domain].port
    if cell.client in world.front and cell.client in ("postfix", "exim", "opensmtpd"):
        submit(world.front[cell.client], cell)
    else:
        {"swaks": swaks, "smtp-source": smtp_source, "smtplib": by_smtplib, "aiosmtplib": by_aiosmtplib}[cell.client](world, cell, port)


def submit(port, cell):
    """A server gets it from us first."""
    with Client(("127.0.0.1", port)) as c:
        c.ehlo()
        c.mail("<%s>" % cell.sender, params="".join(" " + p for p in cell.mail))
        c.rcpt("<%s>" % cell.recipient, params="".join(" " + p for p in cell.rcpt))
        c.cmd("DATA", 354)
        c.message(cell.message)


def stored(world, octets):
    path = os.path.join(world.folder, "message")
    with open(path, "wb") as f:
        f.write(octets)
    return path


def command(*words):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=2 * DEADLINE)
    assert done.returncode == 0, done.stdout.decode("utf-8", "replace")[-3000:]


def swaks(world, cell, port):
    more = {"tls": ["-tls"], "pipelining": ["--pipeline"]}.get(cell.feature, [])
    command("swaks", "--server", "127.0.0.1", "--port", str(port), "--from", cell.sender, "--to", cell.recipient, "--suppress-data",
            "--data", "@" + stored(world, cell.message[:-2]), *more)     # it adds a line end


def smtp_source(world, cell, port):
    command("/usr/sbin/smtp-source", "-f", cell.sender, "-t", cell.recipient, "-F",
            stored(world, cell.message[:-2].replace(b"\r\n", b"\n")), "127.0.0.1:%d" % port)     # it adds a line end


def by_smtplib(world, cell, port):
    with smtplib.SMTP("127.0.0.1", port, timeout=DEADLINE) as c:
        if cell.feature == "tls":
            c.starttls(context=world.trust)
        c.sendmail(cell.sender, [cell.recipient], cell.message, cell.mail, cell.rcpt)


def by_aiosmtplib(world, cell, port):
    import aiosmtplib

    async def deliver():
        async with aiosmtplib.SMTP("127.0.0.1", port, timeout=DEADLINE, start_tls=cell.feature == "tls", tls_context=world.trust) as c:
            await c.sendmail(cell.sender, [cell.recipient], cell.message, cell.mail, cell.rcpt)
    asyncio.run(deliver())


# ---- what is wanted of each passage

def once_each(client, hop):
    return list(CLIENTS).index(client) % len(HOPS) == list(HOPS).index(hop)


def cells():
    for feature in FEATURES:
        for client, lacks in CLIENTS.items():
            for hop, unknown in HOPS.items():
                if feature not in lacks and feature not in unknown and (feature != "large" or once_each(client, hop)):
                    yield pytest.param(Cell(client, hop, feature), id="%s-%s-%s" % (feature, client, hop))


@pytest.mark.parametrize("cell", cells())
def test_passes(world, cell):
    world.wanted(cell.client, cell.hop)
    world.outcomes[cell.client, cell.hop, cell.feature] = "FAILED"
    for tap in world.before[cell.domain], world.behind[cell.hop]:
        tap.forget()
    with world.heard(cell.client, cell.hop):
        send(world, cell)
        path = "<%s>" % cell.recipient
        arrived = world.sink.taken.wait("the message to " + path, lambda txs: [tx for tx in txs if path in tx.recipients])[0]
        assert arrived.sender == "<%s>" % cell.sender
        same(cell.message, arrived.content[-len(cell.message):])
        assert {name_of(field) for field in added(cell.message, arrived.content)} <= {"received"}
        logged = world.relay.event("transaction", rcpt_to=path)
        assert logged["outcome"] == "accepted" and ("tls" in logged, "next_hop_tls" in logged) == ((cell.feature == "tls"),) * 2
        if cell.feature != "tls":
            held_against_each_other(world, cell)
    world.outcomes[cell.client, cell.hop, cell.feature] = "passed"


def same(wanted, got):
    """Without showing all of 20 MB."""
    if wanted == got:
        return
    at = next((n for n, pair in enumerate(zip(wanted, got)) if pair[0] != pair[1]), min(len(wanted), len(got)))
    near = slice(max(0, at - 30), at + 30)
    pytest.fail("differs at octet %d of %d: %r, wanted %r" % (at, len(got), got[near], wanted[near]))


def held_against_each_other(world, cell):
    """What the client said to hopseal and what hopseal said to the next hop."""
    came, went = world.before[cell.domain].of(cell.recipient), world.behind[cell.hop].of(cell.recipient)
    same(came.content, went.content)
    assert went.parts(went.mail) == came.parts(came.mail)
    assert [went.parts(r) for r in went.rcpts] == [came.parts(r) for r in came.rcpts]
    if cell.feature == "bdat":
        assert came.verb == "BDAT"
    else:
        assert came.verb == "DATA"
    if cell.feature == "pipelining":
        assert came.pipelined
    if cell.feature == "utf8":
        assert "SMTPUTF8" in came.parts(came.mail)[1]
    if cell.feature == "dsn":
        assert came.parts(came.rcpts[0])[1] == sorted(p.upper() for p in DSN_RCPT)
        assert came.parts(came.mail)[1] == sorted(p.upper() for p in DSN_MAIL)


@pytest.mark.parametrize("hop, word", [(hop, word) for hop, lacks in HOPS.items() for word in lacks.values() if word])
def test_what_the_next_hop_lacks_is_not_announced(world, hop, word):
    world.wanted(hop)
    assert not world.announced(hop, word)
    assert world.announced(hop, "8BITMIME") and world.announced(hop, "PIPELINING") and world.announced(hop, "CHUNKING")


def test_a_broken_starttls_of_the_next_hop_keeps_no_mail(world):
    world.wanted("opensmtpd")
    cell = Cell("smtplib", "opensmtpd", "tls")
    with world.heard("opensmtpd"):
        send(world, cell)
        path = "<%s>" % cell.recipient
        arrived = world.sink.taken.wait("the message to " + path, lambda txs: [tx for tx in txs if path in tx.recipients])[0]
    same(cell.message, arrived.content[-len(cell.message):])
    logged = world.relay.event("transaction", rcpt_to=path)
    assert "tls" in logged and "next_hop_tls" not in logged
