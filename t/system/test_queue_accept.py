"""Mode queue, the client's side: who may send to whom, what it is answered, and what stands on the disk when it hears 250."""
import errno
import os

import pytest

from certs import trust
from faults import EVER, Faults
from mail import BASE, NOW, added, body_of, fields, head_of, name_of, unfolded, value, values
from relay import ctl, merge
from seal import body_hash, seal
from spool import messages, one
from test_client_view import V1, fronted
from tls_client import connect, tls
from wait import until

STRANGER = ["192.0.2.0/24"]     # clients that we are none of


@pytest.fixture
def queued(hopseal, ports, keyring):
    """A daemon whose next hop is never there, so that what it has taken stays; outbound unless said otherwise."""
    nobody = "127.0.0.1:%d" % ports.take()

    def make(service="outbound", listener=None, **settings):
        if service == "outbound":
            settings.setdefault("keys", [keyring.key("a.test")])
        return hopseal(service, listener=dict({"mode": "queue", "next_hop": nobody}, **(listener or {})), **settings)
    return make


def words(c):
    return sorted(line.split(" ")[0] for line in c.ehlo())


# ---- what is announced --------------------------------------------------------------------------------------------

OURS = ["8BITMIME", "CHUNKING", "DSN", "ENHANCEDSTATUSCODES", "LIMITS", "PIPELINING", "SIZE", "SMTPUTF8"]


@pytest.mark.parametrize("service", ["pass", "inbound", "outbound"])
def test_a_set_of_our_own(queued, service):
    relay = queued(service, listener={"clients": ["127.0.0.0/8"]}, limits={"message_size": 123456})
    with relay.connect() as c:
        assert words(c) == OURS
        assert "LIMITS RCPTMAX=1000" in c.extensions and c.size() == 123456


@pytest.mark.parametrize("requiretls, more", [("pass", ["REQUIRETLS"]), ("none", [])])
def test_requiretls_inside_tls(queued, cert, authority, requiretls, more):
    relay = queued(listener=dict(tls(cert), requiretls=requiretls))
    with connect(relay) as c:
        assert words(c) == sorted(OURS + ["STARTTLS"])
        c.mail(code=530, enhanced="5.7.10", params=" REQUIRETLS")
    with connect(relay, trust(authority)) as c:
        assert words(c) == sorted(OURS + more)
        c.deliver(BASE, params=" REQUIRETLS" if more else "")
    assert one(relay).requiretls == bool(more)


# ---- who may send to whom -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("service", ["pass", "inbound", "outbound"])
def test_a_stranger_reaches_our_domains_and_the_postmaster(queued, service):
    relay = queued(service, listener={"clients": STRANGER, "domains": ["c.test", "d.test"]})
    with relay.connect() as c:
        c.mail("<s@b.test>")
        c.rcpt("<r1@c.test>", text="2.1.5")
        c.rcpt("<r1@D.TEST>")
        c.rcpt("<r1@e.test>", 550, "5.7.1")
        c.rcpt("<r1@sub.c.test>", 550, "5.7.1")
        c.rcpt("<r1@c.test.e.test>", 550, "5.7.1")
        c.rcpt("<r1%e.test@mx.c.test>", 550, "5.7.1")
        c.rcpt("<r1@[127.0.0.1]>", 550, "5.7.1")
        c.rcpt("<@c.test:r1@e.test>", 550, "5.7.1")
        c.rcpt("<\"r1@e.test\"@c.test>")
        c.rcpt("<PostMaster>")
        c.rcpt("<postmaster@MX.c.test>")
        c.rcpt("<postmaster@e.test>", 550, "5.7.1")
        c.rcpt("<other@mx.c.test>", 550, "5.7.1")
        c.rcpt("<>", 501, "5.1.3")
        c.cmd("DATA", 354)
        c.message(BASE.replace(b"s@a.test", b"s@b.test"))
    assert [r.path for r in one(relay).rcpts] == ["<r1@c.test>", "<r1@D.TEST>", "<\"r1@e.test\"@c.test>", "<PostMaster>",
                                                  "<postmaster@MX.c.test>"]


@pytest.mark.parametrize("service", ["pass", "inbound", "outbound"])
def test_a_client_reaches_everybody(queued, service):
    relay = queued(service, listener={"clients": ["127.0.0.1"]})
    with relay.connect() as c:
        c.deliver(BASE, recipients=("<r1@c.test>", "<r1@e.test>"))
    got = one(relay)
    assert got.known_client and got.client == "127.0.0.1" and got.wanted == 2


def test_domains_from_a_file(queued, room):
    name = os.path.join(room, "domains")
    with open(name, "w", encoding="ascii") as f:
        f.write("# ours\nc.test\nD.test # too\n")
    relay = queued("inbound", listener={"domains": "table:" + name})
    with relay.connect() as c:
        c.mail()
        c.rcpt("<r1@c.test>")
        c.rcpt("<r1@d.test>")
        c.rcpt("<r1@e.test>", 550, "5.7.1")
    with open(name, "w", encoding="ascii") as f:
        f.write("e.test\n")
    assert relay.reload()["event"] == "reload_ok"
    with relay.connect() as c:
        c.mail()
        c.rcpt("<r1@e.test>")
        c.rcpt("<r1@c.test>", 550, "5.7.1")


def test_who_comes_through_others_is_judged_by_his_own_address(queued):
    relay = queued("inbound", listener={"clients": STRANGER, "xclient_from": ["127.0.0.1"]})
    with relay.connect() as c:
        c.ehlo()
        c.cmd("XCLIENT ADDR=192.0.2.7", 220)
        c.ehlo()
        c.mail()
        c.rcpt("<r1@e.test>")
        c.cmd("RSET")
        c.cmd("XCLIENT ADDR=198.51.100.7", 220)
        c.ehlo()
        c.mail()
        c.rcpt("<r1@e.test>", 550, "5.7.1")
    other = queued("inbound", listener={"clients": ["127.0.0.0/8"], "proxy_from": ["127.0.0.1"]})
    with fronted(other, V1) as c:
        c.mail()
        c.rcpt("<r1@e.test>", 550, "5.7.1")


def test_said_to_be_open(queued):
    relay = queued(listener={"clients": STRANGER, "open_relay": True})
    message = BASE.replace(b"s@a.test", b"s@b.test")
    with relay.connect() as c:
        c.deliver(message, "<s@b.test>", recipients=("<r1@e.test>",))
        c.deliver(BASE, code=550, enhanced="5.7.1", text="client may not send for this domain")
    got = one(relay)
    assert not got.known_client and (got.report_to, got.report_why) == ("", "unknown_client")


@pytest.mark.parametrize("listener, said", [
    ({"clients": ["0.0.0.0/0"]}, "strangers could send to anyone"), ({"clients": ["::/0"]}, "strangers could send to anyone"),
    ({"clients": ["64:ff9b::/96"]}, "without that of NAT64"), ({"xclient_from": ["0.0.0.0/0"]}, "strangers could pass for clients"),
    ({"proxy_from": ["0.0.0.0/0"]}, "strangers could pass for clients"),
    ({"clients": ["0.0.0.0/1", "128.0.0.0/1"]}, "of /8 or longer, or open-relay = true")])
@pytest.mark.parametrize("service, mode", [("outbound", "queue"), ("outbound", "proxy"), ("inbound", "queue"), ("pass", "queue")])
def test_no_configuration_is_an_open_relay(hopseal, keyring, service, mode, listener, said):
    relay = hopseal(service, listener=dict({"mode": mode}, **listener), keys=[keyring.key("a.test")], start=False)
    relay.write()
    done = ctl("check", "-c", relay.file)
    assert done.returncode == 78 and said.encode() in done.stderr and (relay.file + ":").encode() in done.stderr, done
    relay.conf = merge(relay.conf, {"listener": {"main": {"open_relay": True}}})
    relay.write()
    assert ctl("check", "-c", relay.file).returncode == 0


# ---- where it could go --------------------------------------------------------------------------------------------

def test_no_line_of_the_table(queued, room):
    name = os.path.join(room, "routes")
    with open(name, "w", encoding="ascii") as f:
        f.write("a.test 127.0.0.1:9\n.c.test 127.0.0.1:9\n")
    relay = queued(listener={"next_hop": "table:" + name})
    with relay.connect() as c:
        c.mail()
        c.rcpt("<r1@a.test>")
        c.rcpt("<r1@sub.c.test>")       # another next hop, the same transaction
        c.rcpt("<r1@c.test>", 550, "5.1.2")
        c.rcpt("<r1@[192.0.2.1]>", 550, "5.1.2")
        c.rcpt("<postmaster>")
        c.cmd("DATA", 354)
        c.message(BASE)
    assert sorted(one(relay).copies.values()) == [["<postmaster>"], ["<r1@a.test>"], ["<r1@sub.c.test>"]]


def test_what_has_no_mx(queued):
    relay = queued(listener={"next_hop": "mx"})
    with relay.connect() as c:
        c.mail()
        c.rcpt("<r1@[x400:c=de]>", 550, "5.1.2")
        c.rcpt("<r1@[192.0.2.1]>")
        c.rcpt("<r1@nowhere.test>")     # what DNS says of it is found out later
        c.rcpt("<postmaster>")


# ---- what is answered, and what is told ---------------------------------------------------------------------------

def test_what_is_queued_has_a_name(queued):
    relay = queued()
    with relay.connect() as c:
        c.mail(text="2.1.0")
        for path in ("<r1@c.test>", "<r2@c.test>", "<hidden@c.test>"):
            c.rcpt(path, text="2.1.5")
        c.cmd("DATA", 354)
        said = c.message(BASE.replace(b"To: r1@c.test", b"To: r1@c.test, r2@c.test"))
    got = one(relay)
    assert said.text == "2.0.0 queued as " + got.id
    told = relay.event("transaction")
    assert (told["tx"], told["mode"], told["outcome"], told["code"], told["rcpts"]) == (got.id, "queue", "accepted", 250, 3)
    assert "rcpt_to" not in told and "next_hop" not in told and "hidden" not in repr(told)
    lines = [relay.event("accepted", n) for n in (1, 2, 3)]
    assert [(e["id"], e["copy"], e["mail_from"], e["rcpt_to"]) for e in lines] == \
        [(got.id, r.group, "<s@a.test>", r.path) for r in got.rcpts]
    assert sorted(got.copies.values()) == [["<hidden@c.test>"], ["<r1@c.test>", "<r2@c.test>"]]
    assert got.marks == "...."


def test_a_recipient_named_twice_has_one_copy(queued):
    relay = queued()
    with relay.connect() as c:
        c.deliver(BASE, recipients=("<r1@c.test>", "<R1@c.test>", "<r1@C.TEST>", "<\"r1\"@c.test>", "<r1@c.test>"))
    got = one(relay)
    assert [r.path for r in got.rcpts] == ["<r1@c.test>", "<R1@c.test>"] and got.wanted == 2
    assert relay.event("transaction")["rcpts"] == 2


def test_the_same_recipient_alone_is_one(queued):
    relay = queued()
    with relay.connect() as c:
        c.deliver(BASE, recipients=("<r1@c.test>", "<r1@c.test>"))
    got = one(relay)
    assert len(got.rcpts) == 1 and "for <r1@c.test>;" in value(got.content, "Received")


def test_pipelined(queued):
    relay = queued()
    with relay.connect() as c:
        c.ehlo()
        c.send(b"MAIL FROM:<s@a.test>\r\nRCPT TO:<r1@c.test>\r\nRCPT TO:<r2@c.test>\r\nDATA\r\n")
        assert [c.reply().code for _ in range(4)] == [250, 250, 250, 354]
        c.message(BASE)
        c.send(b"MAIL FROM:<s@a.test>\r\nRCPT TO:<r1@c.test>\r\nBDAT %d LAST\r\n" % len(BASE) + BASE)
        assert [c.reply().code for _ in range(3)] == [250, 250, 250]
    assert [body_of(m.content) for m in messages(relay)] == [body_of(BASE)] * 2


def test_a_rule_refuses_a_sender_a_recipient_and_a_message(queued):
    relay = queued("inbound", listener={"clients": ["127.0.0.1"]}, policy=[
        {"name": "sender", "when": ["mail-from = <bad@a.test>"], "then": "refuse 550 5.7.1 not you"},
        {"name": "recipient", "when": ["rcpt = <no@c.test>"], "then": "refuse 550 5.7.1 not to him"},
        {"name": "chain", "when": ["dkim2 != none"], "then": "refuse 550 5.7.1 no chains"}])
    with relay.connect() as c:
        c.mail("<bad@a.test>", 550, "5.7.1", text="not you")
        c.mail()
        c.rcpt("<no@c.test>", 550, "5.7.1", text="not to him")
        c.rcpt("<r1@c.test>")
        c.cmd("DATA", 354)
        c.message(b"DKIM2-Signature: i=1\r\n" + BASE, 550, "5.7.1", "no chains")
        assert messages(relay) == []
        c.deliver(BASE)
    assert len(messages(relay)) == 1


def test_a_client_that_goes_leaves_nothing(queued):
    relay = queued()
    with relay.connect() as c:
        c.to_data()
        c.send(BASE)
    relay.event("transaction", outcome="aborted")
    with relay.connect() as c:
        c.deliver(BASE)
    assert len(messages(relay)) == 1


def test_it_goes_round_no_more(queued):
    relay = queued("inbound", listener={"clients": ["127.0.0.1"]})
    with relay.connect() as c:
        c.deliver(b"Received: x\r\n" * 100 + BASE)
        c.deliver(b"Received: x\r\n" * 101 + BASE, code=554, enhanced="5.4.6")
    relay.event("mail_loop")
    assert len(messages(relay)) == 1


def test_room_is_left_on_the_disk(queued):
    relay = queued(spool={"reserve": 1 << 40})
    with relay.connect() as c:
        c.mail(code=452, enhanced="4.3.1")
        relay.reload(spool={"reserve": 0})
    with relay.connect() as c:
        c.deliver(BASE)
    assert len(messages(relay)) == 1


def test_room_for_as_much_as_is_said(queued):
    relay = queued(limits={"message_size": 1 << 40})
    with relay.connect() as c:
        c.mail(code=452, enhanced="4.3.1", params=" SIZE=%d" % ((1 << 40) - 1))
        c.deliver(BASE, params=" SIZE=%d" % len(BASE))
    assert len(messages(relay)) == 1


# ---- what the disk does -------------------------------------------------------------------------------------------

@pytest.fixture
def faulty(queued, room):
    relay = queued(start=False)
    faults = Faults(room, relay.conf["spool"]["dir"], record_octets=1 << 20)
    return relay.start(more_env=faults.env), faults


def test_durable_before_250(faulty):
    relay, faults = faulty
    faults.record(relay.address()[1])
    with relay.connect() as c:
        c.deliver(BASE)

    def is_answer(call):
        return call[0] == "send" and b"250 2.0.0 queued" in call[3]

    def recorded():
        return [(line.call, line.path, line.to, line.data) for line in faults.recorded()]
    until("the answer to be written down", lambda: any(map(is_answer, recorded())))
    calls = recorded()
    said = next(n for n, c in enumerate(calls) if is_answer(c))
    moved = next(n for n, c in enumerate(calls) if c[0] == "rename" and "mail/" in c[2])
    synced = [n for n, c in enumerate(calls) if c[0] in ("fsync", "fdatasync")]
    written = next(n for n, c in enumerate(calls) if c[0] in ("write", "pwrite") and b"hello" in c[3])
    assert any(written < n < moved for n in synced) and any(moved < n < said for n in synced), calls


@pytest.mark.parametrize("calls, places, error, code, enhanced", [
    ("write pwrite", "tmp", errno.ENOSPC, 452, "4.3.1"), ("write pwrite", "tmp", errno.EIO, 451, "4.3.0"),
    ("fsync fdatasync", "tmp", errno.EIO, 451, "4.3.0"), ("rename", "tmp", errno.EIO, 451, "4.3.0")])
def test_what_could_not_be_kept_is_not_taken(faulty, calls, places, error, code, enhanced):
    relay, faults = faulty
    with relay.connect() as c:
        c.deliver(BASE)
        rule = faults.add(calls, places, nth=1, last=EVER, fail=error, role="hopseal:worker")
        c.deliver(BASE, code=code, enhanced=enhanced)
        assert rule.acted
        faults.clear()
    assert len(messages(relay)) == 1
    told = relay.event("transaction", 2)
    assert (told["outcome"], told["code"]) == ("deferred", code) and len(relay.events("accepted")) == 1


def test_a_folder_that_cannot_be_synced_takes_nothing(faulty):
    relay, faults = faulty
    with relay.connect() as c:
        faults.add("fsync", "mail_dir", nth=1, last=EVER, fail=errno.EIO, role="hopseal:worker")
        c.deliver(BASE, code=451, enhanced="4.3.0")
        c.mail(code=451, enhanced="4.3.0")
        faults.clear()
    relay.event("spool_back")
    with relay.connect() as c:
        c.deliver(BASE)


# ---- what is kept -------------------------------------------------------------------------------------------------

def test_octets_and_envelope(queued):
    relay = queued("inbound", listener={"clients": ["127.0.0.1"]})
    message = BASE + b"".join(b"%s line %d \xc3\xbc\r\n" % (b"." * (n % 3), n) for n in range(500))
    with relay.connect() as c:
        c.mail("<\u00fc@a.test>", params=" BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ+2B1")
        c.rcpt("<r1@c.test>", params=" NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;o@c.test")
        c.rcpt("<r2@c.test>", params=" NOTIFY=NEVER")
        c.cmd("DATA", 354)
        c.message(message)
    got = one(relay)
    assert got.content.endswith(message) and got.header == head_of(got.content)
    assert (got.mail_from, got.ret, got.envid) == ("<\u00fc@a.test>", "HDRS", "QQ+2B1")
    assert got.body_8bit and got.smtputf8 and got.dots and not got.requiretls and not got.report
    assert [(r.path, r.notify, r.orcpt) for r in got.rcpts] == [("<r1@c.test>", "SUCCESS,FAILURE", "rfc822;o@c.test"), ("<r2@c.test>", "NEVER", "")]
    assert (got.listener, got.arrived_s) == ("main", NOW)


@pytest.mark.parametrize("octets", [0, 1000, 70000, 3000000])
def test_a_body_of_any_size(queued, octets):
    relay = queued(limits={"body_memory": 4096})
    message = BASE + b"x" * 70 + b"\r\n" + (b"y" * 98 + b"\r\n") * (octets // 100)
    with relay.connect() as c:
        c.deliver(message)
    got = one(relay)
    assert body_of(got.content) == body_of(message) and got.body_sha256 == body_hash(message)


def test_a_header_alone(queued):
    relay = queued("pass", listener={"clients": ["127.0.0.1"]})
    with relay.connect() as c:
        c.deliver(b"Subject: x\r\n")
        c.deliver(b"\r\n")
        c.deliver(b"")
    ends = [m.content[len(m.header):] for m in messages(relay)]
    assert sorted(ends) == [b"", b"", b"\r\n"]


@pytest.mark.parametrize("service", ["pass", "inbound", "outbound"])
def test_received_is_on_top(queued, service):
    relay = queued(service, listener={"clients": ["127.0.0.1"]})
    with relay.connect() as c:
        c.deliver(BASE)
        c.deliver(BASE, recipients=("<r1@c.test>", "<r2@c.test>"))
    first, second = sorted(messages(relay), key=lambda m: m.id)
    for message in (first, second):
        assert name_of(fields(message.content)[0]) == "received" and "id " + message.id in unfolded(fields(message.content)[0])
    assert "for <r1@c.test>;" in value(first.content, "Received") and "for <" not in value(second.content, "Received")


HIDDEN = BASE.replace(b"Subject:", b"Bcc: hidden@c.test\r\nResent-Bcc: also@c.test\r\nSubject:")


def test_nobody_reads_who_had_a_blind_copy(queued):
    relay = queued()
    with relay.connect() as c:
        c.deliver(HIDDEN, recipients=("<r1@c.test>", "<hidden@c.test>"))
    got = one(relay)
    assert b"hidden" not in got.content and b"also@" not in got.content and got.content.endswith(BASE)


@pytest.mark.parametrize("service, sender", [("inbound", b"s@a.test"), ("outbound", b"s@b.test")])
def test_what_does_not_begin_here_is_left_as_it_is(queued, service, sender):
    message = HIDDEN.replace(b"s@a.test", sender)
    relay = queued(service, listener={"clients": ["127.0.0.1"]})
    with relay.connect() as c:
        c.deliver(message, "<%s>" % sender.decode())
    assert one(relay).content.endswith(message)


def test_results_are_on_top_of_what_comes_in(queued):
    relay = queued("inbound", listener={"clients": ["127.0.0.1"]})
    with relay.connect() as c:
        c.deliver(b"Authentication-Results: mx.c.test; dkim2=pass\r\n" + BASE)
    got = one(relay)
    assert [name_of(f) for f in fields(got.content)[:2]] == ["received", "authentication-results"]
    assert value(got.content, "Authentication-Results").startswith("mx.c.test; dkim2=none")
    assert got.authres.startswith("mx.c.test; dkim2=none") and got.judged


# ---- what was found, and who hears of a failure -------------------------------------------------------------------

def test_a_chain_that_verified(queued, keyring):
    relay = queued("inbound", listener={"domains": ["c.test"], "clients": STRANGER})
    message = seal(BASE, keyring.key("a.test"))
    with relay.connect() as c:
        c.deliver(message)
    got = one(relay)
    assert got.found == {"state": "pass", "newest": "pass", "level": "full", "hops": 1, "instances": 1, "arc": "none", "sets": 0}
    assert not got.known_client and (got.report_to, got.report_why) == ("<s@a.test>", "")


@pytest.mark.parametrize("clients, sender, to, why", [
    (["127.0.0.1"], "<s@a.test>", "<s@a.test>", ""), (["127.0.0.1"], "<>", "", "null_path"), (STRANGER, "<s@a.test>", "", "unknown_client"),
    (STRANGER, "<>", "", "null_path")])
@pytest.mark.parametrize("service", ["pass", "inbound"])
def test_without_a_chain(queued, service, clients, sender, to, why):
    relay = queued(service, listener={"domains": ["c.test"], "clients": clients})
    with relay.connect() as c:
        c.deliver(BASE, sender)
    got = one(relay)
    assert (got.report_to, got.report_why) == (to, why) and got.judged == (service == "inbound")


def test_a_chain_that_is_broken(queued, keyring):
    relay = queued("inbound", listener={"clients": ["127.0.0.1"]})
    with relay.connect() as c:
        c.deliver(seal(BASE, keyring.key("a.test")).replace(b"hello", b"hullo"))
    got = one(relay)
    assert got.found["state"] == "fail" and (got.report_to, got.report_why) == ("", "unverified")


# ---- what is known not to leave is told at once -------------------------------------------------------------------

def test_ours_of_a_stranger_is_refused(queued):
    relay = queued(listener={"clients": STRANGER, "domains": ["c.test"]})
    with relay.connect() as c:
        c.deliver(BASE, code=550, enhanced="5.7.1", text="client may not send for this domain")
    assert messages(relay) == [] and relay.event("transaction")["plan"] == "foreign_client"


def test_a_seal_for_somebody_else_is_refused(queued, keyring):
    relay = queued()
    sealed = seal(BASE, keyring.key("a.test"))
    with relay.connect() as c:
        c.deliver(sealed)
        c.deliver(sealed, recipients=("<r1@c.test>", "<r2@c.test>"), code=550, enhanced="5.7.1")
    assert [r.path for r in one(relay).rcpts] == ["<r1@c.test>"]


def test_shadow_tells_and_takes(queued):
    relay = queued(listener={"shadow": True, "domains": ["c.test"], "clients": STRANGER}, otherwise="refuse 550 5.7.1 nothing")
    with relay.connect() as c:
        c.deliver(HIDDEN)
        c.mail()
        c.rcpt("<r1@e.test>", 550, "5.7.1")
    assert one(relay).content.endswith(HIDDEN)
    relay.event("shadow_ruling")


def test_shadow_seals_nothing(hopseal, sink, keyring):
    key = keyring.key("a.test")
    relay = hopseal("outbound", listener={"mode": "queue", "shadow": True, "arc_seal": "a.test", "dkim": None}, keys=[key])
    with relay.connect() as c:
        c.deliver(HIDDEN)
    assert [name_of(f) for f in added(HIDDEN, sink.one().content)] == ["received"]
