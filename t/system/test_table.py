"""A table of next hops: the first recipient of a transaction says where it goes."""
import os

import pytest

from mail import BASE
from relay import ctl
from sink import Last


def table(room, *lines):
    name = os.path.join(room, "routes")
    with open(name, "w", encoding="utf-8") as f:
        f.write("".join(line + "\n" for line in lines))
    return {"next_hop": "table:" + name}


@pytest.fixture
def two(hopseal, room, sinks):
    """A daemon, what has a.test and all below it, and what has the rest but for d.test."""
    one, other = sinks(), sinks()
    lines = ["# domain next-hop", "a.test %s" % one.address, ".a.test %s # below" % one.address, "d.test 127.0.0.1:9",
             "* %s" % other.address]
    return hopseal(listener=table(room, *lines)), one, other


def test_the_first_recipient_decides(two):
    relay, one, other = two
    with relay.connect() as c:
        c.deliver(BASE, recipients=("<r1@a.test>", "<r2@x.y.A.test>"))
        c.deliver(BASE, recipients=("<r1@c.test>", "<postmaster>"))
    assert one.one().recipients == ["<r1@a.test>", "<r2@x.y.A.test>"] and one.one().content == BASE
    assert other.one().recipients == ["<r1@c.test>", "<postmaster>"]
    assert [relay.event("transaction", n)["next_hop"] for n in (1, 2)] == [one.address, other.address]


def test_a_recipient_with_another_next_hop_waits(two):
    relay, one, other = two
    with relay.connect() as c:
        c.mail()
        c.rcpt("<r1@a.test>")
        c.rcpt("<r2@c.test>", code=452, enhanced="4.5.3")
        c.rcpt("<r3@a.test>")
        c.cmd("DATA", 354)
        c.message(BASE)
        c.deliver(BASE, recipients=("<r2@c.test>",))
    assert one.one().recipients == ["<r1@a.test>", "<r3@a.test>"]
    assert other.one().recipients == ["<r2@c.test>"]
    assert relay.event("rcpt_deferred_split")["fault"] == "other_next_hop"


def test_pipelined(two):
    relay, one, other = two
    with relay.connect() as c:
        c.ehlo()
        c.send(b"MAIL FROM:<s@a.test>\r\nRCPT TO:<r1@c.test>\r\nRCPT TO:<r2@a.test>\r\nRCPT TO:<r3@c.test>\r\nDATA\r\n")
        assert [c.reply().code for _ in range(5)] == [250, 250, 452, 250, 354]
        c.message(BASE)
    assert other.one().recipients == ["<r1@c.test>", "<r3@c.test>"] and one.transactions() == []


def test_a_domain_that_no_line_names(hopseal, room, sink):
    relay = hopseal(listener=table(room, "a.test " + sink.address))
    with relay.connect() as c:
        c.mail()
        c.rcpt("<r1@b.test>", code=550, enhanced="5.1.2")
        c.rcpt("<r2@a.test>")
        c.rcpt("<r1@x.a.test>", code=550, enhanced="5.1.2")
        c.cmd("DATA", 354)
        c.message(BASE)
    assert sink.one().recipients == ["<r2@a.test>"]


@pytest.mark.parametrize("answer", [b"550 5.7.1 sender not welcome\r\n", b"451 4.3.0 later\r\n"])
def test_what_the_next_hop_says_of_the_sender_is_told_to_the_recipient(two, answer):
    """MAIL was answered here, since nobody knew where it would go; then another recipient may go elsewhere."""
    relay, one, other = two
    one.always("mail", answer)
    with relay.connect() as c:
        c.mail()
        told = c.rcpt("<r1@a.test>", code=int(answer[:3]))
        assert told.lines[0] + b"\r\n" == answer
        c.rcpt("<r2@c.test>")
        c.cmd("DATA", 354)
        c.message(BASE)
    assert other.one().recipients == ["<r2@c.test>"] and one.transactions() == []


def test_pipelined_recipients_of_a_sender_refused(two):
    relay, one, other = two
    one.always("mail", b"550 5.7.1 sender not welcome\r\n")
    with relay.connect() as c:
        c.ehlo()
        c.send(b"MAIL FROM:<s@a.test>\r\nRCPT TO:<r1@a.test>\r\nRCPT TO:<r2@a.test>\r\nDATA\r\n")
        assert [c.reply().code for _ in range(4)] == [250, 550, 550, 554]
        one.always("mail", None)
        c.cmd("RSET")
        c.deliver(BASE, recipients=("<r1@a.test>",))
    assert one.one().recipients == ["<r1@a.test>"]


def test_a_next_hop_that_is_down_does_not_keep_others_from_theirs(two):
    relay, one, other = two
    with relay.connect() as c:
        c.mail()
        c.rcpt("<r1@d.test>", code=451, enhanced="4.4.1")
        c.rcpt("<r2@c.test>")
        c.cmd("DATA", 354)
        c.message(BASE)
    assert other.one().recipients == ["<r2@c.test>"]


def test_a_line_with_several_next_hops(hopseal, room, sinks):
    first, second = sinks(), sinks()
    relay = hopseal(listener=table(room, "* %s, %s" % (first.address, second.address)), pool={"idle": 0})
    first.always("mail", Last(b"421 4.3.2 going\r\n"))
    with relay.connect() as c:
        c.deliver(BASE)
    assert second.one().content == BASE
    relay.event("next_hop_failover")


def test_replayed_with_the_answers_of_then(two):
    relay, one, other = two
    with relay.connect() as c:
        c.to_data("<s@a.test>", "<r1@a.test>")
        one.close()
        one.open()
        c.message(BASE)
    assert one.one().content == BASE


def test_a_reload_reads_it_again(two, room, sink):
    relay, one, other = two
    table(room, "a.test %s" % sink.address)
    assert relay.reload()["event"] == "reload_ok"
    with relay.connect() as c:
        c.deliver(BASE, recipients=("<r1@a.test>",))
        c.mail()
        c.rcpt("<r1@c.test>", code=550, enhanced="5.1.2")
    assert sink.one().content == BASE


def test_a_mistake_in_it_has_its_line_and_changes_nothing(two, room):
    relay, one, other = two
    table(room, "a.test %s" % one.address, "b.test nowhere")
    done = ctl("check", "-c", relay.file)
    assert done.returncode == 78 and b"/routes:2: next hop \"nowhere\", expected" in done.stderr
    assert relay.reload()["event"] == "reload_refused"
    with relay.connect() as c:
        c.deliver(BASE, recipients=("<r1@c.test>",))
    assert other.one().content == BASE
