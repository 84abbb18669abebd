"""Real servers on both sides: Postfix in front of hopseal, Postfix behind it, swaks for odd clients."""
import os
import subprocess

import pytest

from client import Client
from mail import BASE, body_of, values
from peers import Postfix, need
from relay import run
from seal import checked, seal
from wait import DEADLINE, until


@pytest.fixture
def postfix(room, ports):
    """postfix(next_hop) starts one."""
    made = []

    def make(next_hop=None, extra=""):
        folder = os.path.join(room, "postfix%d" % len(made))
        os.mkdir(folder)
        made.append(Postfix(folder, ports.take(), next_hop, extra))
        return made[-1]
    yield make
    for p in reversed(made):
        print(p.log())
        p.stop()


@pytest.mark.slow
def test_postfix_as_client_is_sealed(hopseal, sink, keyring, postfix):
    relay = hopseal("outbound", keys=[keyring.key("a.test"), keyring.key("a.test", "r")])
    mta = postfix(relay.address()[1])
    with Client(("127.0.0.1", mta.port)) as c:
        for n in range(5):
            c.deliver(BASE.replace(b"<1@", b"<%d@" % n), recipients=("<r%d@c.test>" % n,))
    for tx in sink.wait(5):
        (hop,) = checked(tx.content, keyring)
        assert [hop.mf, hop.rt] == [tx.sender, tx.recipients]
        assert tx.helo == "EHLO mx.c.test"


@pytest.mark.slow
def test_postfix_brings_a_second_recipient_in_a_second_transaction(hopseal, sink, keyring, postfix):
    """452 4.5.3 to RCPT: Postfix delivers the rest by itself (RFC 5321 4.5.3.1.10)."""
    relay = hopseal("outbound", keys=[keyring.key("a.test")])
    mta = postfix(relay.address()[1], "minimal_backoff_time = 1s\nqueue_run_delay = 1s\nmaximal_backoff_time = 1s\n")
    with Client(("127.0.0.1", mta.port)) as c:
        c.deliver(BASE, recipients=("<r1@c.test>", "<r2@c.test>", "<r3@c.test>"))
    got = sink.wait(3)
    assert sorted(tx.recipients for tx in got) == [["<r1@c.test>"], ["<r2@c.test>"], ["<r3@c.test>"]]
    for tx in got:
        assert checked(tx.content, keyring)[0].rt == tx.recipients


@pytest.mark.slow
def test_postfix_as_next_hop(hopseal, keyring, postfix):
    mta = postfix()
    relay = hopseal("inbound", listener={"next_hop": "127.0.0.1:%d" % mta.port})
    message = seal(BASE, keyring.key("a.test"))
    with relay.connect() as c:
        assert c.ehlo() and c.has("8BITMIME") and not c.has("VRFY") and not c.has("ETRN")
        c.deliver(message)
        c.mail()
        c.rcpt("<nobody@c.test>", code=550, enhanced="5.1.1")
    (stored,) = until("the message in its mailbox", lambda: mta.mailbox("r1"))
    assert "dkim2=pass" in values(stored, "Authentication-Results")[0]
    assert body_of(stored) == body_of(message)
    checked(stored, keyring)


@pytest.mark.slow
def test_from_postfix_to_postfix_through_both(hopseal, keyring, postfix):
    """Sealed on the way out, verified on the way in; nothing Postfix does in between breaks it."""
    key = keyring.key("a.test", "r")
    behind = postfix()
    inbound = hopseal("inbound", listener={"next_hop": "127.0.0.1:%d" % behind.port})
    outbound = hopseal("outbound", keys=[key], listener={"next_hop": "127.0.0.1:%d" % inbound.address()[1]})
    front = postfix(outbound.address()[1])
    with Client(("127.0.0.1", front.port)) as c:
        c.deliver(BASE + b".dot\r\n" + b"y" * 3000 + b"\r\n")
    (stored,) = until("the message in its mailbox", lambda: behind.mailbox("r1"))
    assert values(stored, "Authentication-Results") == ["mx.c.test; dkim2=pass (i=1 a.test pass) header.d=a.test"]
    checked(stored, keyring)


def swaks(relay, *args):
    need("swaks")
    return run(["swaks", "--server", "127.0.0.1", "--port", str(relay.address()[1]), "--from", "s@a.test", "--to", "r1@c.test",
                "--data", BASE.decode().replace("\r\n", "\\n")] + list(args))


def test_swaks_sends(hopseal, sink, keyring):
    relay = hopseal("outbound", keys=[keyring.key("a.test")])
    done = swaks(relay)
    assert done.returncode == 0, done
    checked(sink.one().content, keyring)


@pytest.mark.parametrize("args", [("--pipeline",), ("--protocol", "SMTP"), ("--ehlo", "[127.0.0.1]")])
def test_swaks_in_its_moods(hopseal, sink, keyring, args):
    relay = hopseal("outbound", keys=[keyring.key("a.test")])
    done = swaks(relay, *args)
    assert done.returncode == 0, done
    checked(sink.one().content, keyring)


@pytest.mark.slow
def test_postfix_smtp_source_in_parallel(hopseal, sink):
    need("smtp-source")
    relay = hopseal("inbound")
    done = subprocess.run(["/usr/sbin/smtp-source", "-s", "10", "-m", "200", "-l", "8000", "-f", "s@a.test", "-t", "r1@c.test",
                           "127.0.0.1:%d" % relay.address()[1]], timeout=4 * DEADLINE, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    assert len(sink.wait(200)) == 200
