"""Mode queue between real servers: Postfix and an application bring mail, Postfix and Dovecot take it, unbound says where to."""
import os
import smtplib
import socket
import threading

import pytest

from mail import BASE
from peers import Unbound, need
from relay import run
from seal import checked
from test_peers import dovecot, postfix  # noqa: F401 - fixtures
from test_queue import emptied, queue, submit
from wait import until

PATIENT = "minimal_backoff_time = 1s\nqueue_run_delay = 1s\nmaximal_backoff_time = 1s\n"


@pytest.mark.slow
def test_postfix_and_swaks_bring_mail_for_postfix(hopseal, keyring, postfix, sink, room):  # noqa: F811
    """Each copy is in its box, sealed; what the server puts off comes later, what it refuses comes back."""
    need("swaks")
    box = postfix(extra="smtpd_recipient_restrictions = check_recipient_access inline:{{r7@c.test=450 4.2.1 busy}, {r8@c.test=550 5.1.1 gone}}, permit\n")
    table = os.path.join(room, "table")
    with open(table, "w", encoding="ascii") as f:
        f.write("c.test 127.0.0.1:%d\n* %s\n" % (box.port, sink.address))
    relay = queue(hopseal, keys=[keyring.key("a.test"), keyring.key("mx.c.test")], listener={"next_hop": "table:" + table})
    mta = postfix(relay.address()[1], PATIENT)
    with smtplib.SMTP("127.0.0.1", mta.port) as c:
        assert c.sendmail("s@a.test", ["r1@c.test", "r2@c.test", "r3@c.test"], BASE.replace(b"To: r1@c.test", b"To: r1@c.test, r2@c.test")) == {}
    done = run(["/usr/bin/swaks", "--server", "127.0.0.1", "--port", str(relay.address()[1]), "--from", "s@a.test",
                "--to", "r4@c.test,r7@c.test,r8@c.test", "--header", "To: r4@c.test", "--suppress-data"])
    assert done.returncode == 0, done.stdout
    for n in (1, 2, 3, 4):
        relay.event("delivered", rcpt_to="<r%d@c.test>" % n)
        (stored,) = until("it in its box", lambda: box.mailbox("r%d" % n))
        hop = checked(stored, keyring)[-1]
        assert "<r%d@c.test>" % n in hop.rt
        assert sorted(hop.rt) == (["<r1@c.test>", "<r2@c.test>"] if n < 3 else ["<r%d@c.test>" % n])
    assert relay.event("deferred", rcpt_to="<r7@c.test>")["code"] == 450
    assert relay.event("bounced", rcpt_to="<r8@c.test>")["code"] == 550
    relay.event("dsn_queued", to="<s@a.test>")
    assert sink.one().recipients == ["<s@a.test>"]


@pytest.mark.slow
def test_dovecot_says_of_each_recipient(hopseal, dovecot, sink, keyring):  # noqa: F811
    boxes = dovecot(r1=0, full=10, r2=0)
    relay = queue(hopseal, keys=[keyring.key("a.test"), keyring.key("mx.c.test")], listener={"next_hop": boxes.address})
    content = BASE.replace(b"To: r1@c.test", b"To: r1@c.test, full@c.test, r2@c.test, nobody@c.test")
    submit(relay, ("<r1@c.test>", "<full@c.test>", "<r2@c.test>", "<nobody@c.test>"), content)
    for rcpt in ("<r1@c.test>", "<r2@c.test>"):
        relay.event("delivered", rcpt_to=rcpt)
    assert relay.event("bounced", rcpt_to="<full@c.test>")["enhanced"] == "5.2.2"
    assert relay.event("bounced", rcpt_to="<nobody@c.test>")["code"] == 550
    for name in ("r1", "r2"):
        (stored,) = boxes.mailbox(name)
        hop, = checked(stored, keyring)
        assert "<%s@c.test>" % name in hop.rt
    assert not boxes.mailbox("full")


class Host:
    """A sink on an address and port of its own."""

    def __init__(self, sinks, address, port):
        self.box = sinks()
        self.box.close()
        self.box.listener = socket.socket()
        self.box.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.box.listener.bind((address, port))
        self.box.listener.listen(64)
        threading.Thread(target=self.box.accept, args=(self.box.listener,), daemon=True).start()


@pytest.mark.slow
def test_three_destinations_that_unbound_names(hopseal, sinks, ports, room, keyring):
    """MX of three domains in a local zone; one of them has a better server that is away."""
    port, dns = ports.take(), ports.take()
    hosts = [Host(sinks, "127.0.0.%d" % n, port).box for n in (2, 3, 4)]
    zone = os.path.join(room, "zone")
    with open(zone, "w", encoding="ascii") as f:
        f.write("$ORIGIN mx.test.\n@ 60 IN SOA ns.mx.test. h.mx.test. 1 60 60 60 60\n@ 60 IN NS ns\nns 60 IN A 127.0.0.1\n"
                "one 60 IN MX 10 a.one\na.one 60 IN A 127.0.0.2\n"
                "two 60 IN MX 5 away\ntwo 60 IN MX 10 a.two\naway 60 IN A 127.0.0.9\na.two 60 IN A 127.0.0.3\n"
                "three 60 IN MX 10 a.three\nthree 60 IN MX 10 b.three\na.three 60 IN A 127.0.0.4\nb.three 60 IN A 127.0.0.4\n")
    server = Unbound(room, dns, {"mx.test": zone})
    try:
        relay = queue(hopseal, keys=[keyring.key("a.test")], listener={"next_hop": "mx"}, settings={"mx_port": port},
                      start=False)
        relay.conf["dns"] = {"resolver": "127.0.0.1:%d" % dns, "trust_anchor": "none"}
        relay.start()
        rcpts = ["<r%d@%s.mx.test>" % (n, d) for n in (1, 2) for d in ("one", "two", "three")]
        submit(relay, rcpts)
        for box, d in zip(hosts, ("one", "two", "three")):
            got = box.wait(2)
            assert sorted(r for tx in got for r in tx.recipients) == ["<r1@%s.mx.test>" % d, "<r2@%s.mx.test>" % d]
            for tx in got:
                assert checked(tx.content, keyring)[-1].rt == tx.recipients
        emptied(relay)
    finally:
        server.stop()
