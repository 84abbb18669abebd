"""A message that fails DMARC behind a forwarder: what its ARC sets change, and that every field of ours tells the same of it."""
import re

import pytest

from mail import BASE, added, value

MECHANISMS = {"verify": None, "policy": None}
FORWARDER = "lists.b.test"


@pytest.fixture
def world(hopseal, keyring):
    """The forwarder, which sees mail come from its author, and the relay that has it from the forwarder."""
    keys = [keyring.key(FORWARDER), keyring.key("c.test")]
    zone = dict(keyring.answers(), **{"_dmarc.a.test": ["v=DMARC1; p=reject"], "a.test": ["v=spf1 ip4:127.0.0.1 -all"]})
    return lambda domain, **more: hopseal("inbound", listener=dict(MECHANISMS, arc_seal=domain), keys=keys, answers=zone, **more)


def forwarded(world, sink, message=BASE):
    with world(FORWARDER, hostname="mx.b.test").connect() as c:
        c.deliver(message)
    return sink.wait(1)[0].content


def dmarc(text):
    return re.search(r"dmarc=[^;]*", text).group(0)


def test_a_forwarder_that_is_not_known_saves_nothing(world, sink):
    message = forwarded(world, sink)
    with world("c.test").connect() as c:
        c.deliver(message, sender="<bounce@b.test>", code=550, enhanced="5.7.1")


def test_every_field_tells_why_a_failure_is_forgiven(world, sink):
    message = forwarded(world, sink)
    with world("c.test", arc={"trusted": ["b.test"]}).connect() as c:
        c.deliver(message, sender="<bounce@b.test>")
    content = sink.wait(2)[1].content
    top = b"".join(added(message, content)) + b"\r\n"
    told = dmarc(value(top, "Authentication-Results"))
    assert "dmarc=fail (p=reject dis=none override=arc)" in told
    assert told == dmarc(value(top, "ARC-Authentication-Results"))
