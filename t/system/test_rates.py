"""How much may be sent: 450 above it, and a line a minute."""
import pytest

from certs import trust
from mail import BASE
from submission import authenticate, password_file
from tls_client import connect, tls


def mails(c, count, sender="<s@a.test>", refused=None):
    for _ in range(count):
        c.mail(sender, code=450 if refused else 250, enhanced="4.7.1" if refused else None, text=refused)
        if not refused:
            c.cmd("RSET")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("service", ["pass", "inbound"])
def test_of_a_client(hopseal, sink, service, workers):
    """All its sessions and all workers together; another address has its own."""
    relay = hopseal(service, rates={"client": 5}, workers=workers)
    for n in range(5):
        with relay.connect() as c:
            c.deliver(BASE, "<s@%d.test>" % n)
    for _ in range(4):
        with relay.connect() as c:
            mails(c, 2, refused="too many messages in a short time")
            c.rcpt(code=503)
    with relay.connect(source="127.0.0.9") as c:
        c.deliver(BASE)
    got = relay.event("client_rate")
    assert (got["client"], got["count"], got["fault"]) == ("127.0.0.1", 1, "client_rate")
    assert len(relay.events("client_rate")) == 1 and len(relay.events("transaction")) == 6
    assert relay.status()["counters"]["rate_deferred"] == 8
    assert len(sink.wait(6)) == 6


def test_of_a_senders_domain(hopseal, sink):
    relay = hopseal("pass", rates={"sender_domain": 3})
    with relay.connect() as c:
        mails(c, 2)
        mails(c, 1, "<other@A.TEST>")
        mails(c, 2, "<s@a.test>", "this sender's domain")
        mails(c, 3, "<s@sub.a.test>")
        mails(c, 9, "<>")
        mails(c, 1, "<s@a.test>", "this sender's domain")
    got = relay.event("sender_rate")
    assert (got["domain"], got["count"]) == ("a.test", 1) and len(relay.events("sender_rate")) == 1


def test_of_a_recipients_domain(hopseal, sink):
    relay = hopseal("pass", rates={"recipient_domain": 3})
    with relay.connect() as c:
        c.mail()
        for name in ("a", "b", "c"):
            c.rcpt("<%s@c.test>" % name)
        c.rcpt("<d@C.test>", code=450, enhanced="4.7.1", text="this recipient's domain")
        c.rcpt("<d@d.test>")
        c.rcpt("<postmaster>")
        c.cmd("DATA", 354)
        c.message(BASE)
        c.mail()
        c.rcpt("<a@c.test>", code=450)
        c.rcpt("<a@d.test>")
    got = relay.event("recipient_rate")
    assert (got["domain"], got["count"]) == ("c.test", 1) and len(relay.events("recipient_rate")) == 1
    assert len(sink.one().recipients) == 5


def test_what_is_refused_here_anyway_costs_no_recipient(hopseal, keyring):
    relay = hopseal("outbound", keys=[keyring.key("a.test")], listener={"clients": ["192.0.2.1"], "domains": ["d.test"]},
                    rates={"recipient_domain": 1})
    with relay.connect() as c:
        c.mail()
        for _ in range(3):
            c.rcpt("<a@c.test>", code=550)
        c.rcpt("<a@d.test>")
        c.cmd("RSET")
        c.mail()
        c.rcpt("<a@d.test>", code=450)


def test_a_user_is_counted_wherever_he_is(hopseal, authority, cert, room, sink):
    users = {"ann": "x", "bob": "y"}
    relay = hopseal("pass", listener=dict(tls(cert, "may"), auth={"passwords": password_file(room, users)}), rates={"client": 2})

    def session(user, source=None):
        c = connect(relay, trust(authority))
        c.ehlo()
        if user:
            authenticate(c, user, users[user])
        return c
    with session(None) as c:
        mails(c, 2)
        mails(c, 1, refused="too many")
        authenticate(c, "ann", "x")
        mails(c, 1)
    with session("ann") as c:
        mails(c, 1)
        mails(c, 1, refused="too many")
    with session("bob") as c:
        mails(c, 2)
        mails(c, 1, refused="too many")
    assert [e.get("user") for e in relay.events("client_rate")] == [None, "ann", "bob"]


def test_in_shadow_it_is_only_told(hopseal, sink):
    relay = hopseal("inbound", listener={"shadow": True}, rates={"client": 1, "recipient_domain": 1})
    with relay.connect() as c:
        for _ in range(3):
            c.deliver(BASE)
    for event in ("client_rate", "recipient_rate"):
        assert relay.event(event)["shadow"] == "yes" and len(relay.events(event)) == 1
    assert relay.status()["counters"]["rate_deferred"] == 0
    assert len(sink.wait(3)) == 3


def test_none_by_default(hopseal, sink):
    relay = hopseal("pass")
    with relay.connect() as c:
        mails(c, 100)
