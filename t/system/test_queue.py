"""Mode queue: hopseal says 250 once the message is safe, and delivers it; what becomes of each recipient."""
import json
import os
import socket
import threading

import pytest

from mail import BASE, body_of, values
from relay import ctl
from seal import checked, seal
from wait import until

LIST = b"To: r1@c.test, r2@c.test\r\n"


def queue(hopseal, service="outbound", listener=None, settings=None, **more):
    own = dict({"mode": "queue", "clients": ["127.0.0.0/8"]}, **(listener or {}))
    return hopseal(service, listener=own, queue=dict({"retry_min": 1, "retry_max": 2}, **(settings or {})), **more)


def submit(relay, rcpts=("<r1@c.test>",), content=BASE, mail="<s@a.test>", params="", rcpt_params=""):
    """The id of a message that was taken."""
    with relay.connect() as c:
        c.ehlo()
        c.cmd("MAIL FROM:%s %s" % (mail, params) if params else "MAIL FROM:%s" % mail)
        for rcpt in rcpts:
            c.cmd("RCPT TO:%s %s" % (rcpt, rcpt_params) if rcpt_params else "RCPT TO:%s" % rcpt)
        c.cmd("DATA", 354)
        c.send(content + b".\r\n")
        return c.want(250, "2.0.0").text.split()[-1]


def listed(relay):
    done = ctl("queue", "list", "--json", "-c", relay.file)
    assert done.returncode == 0, done
    return json.loads(done.stdout)


def emptied(relay):
    """Nothing is left in the spool but its folders."""
    spool = relay.conf["spool"]["dir"]

    def left():
        return [os.path.join(folder, name) for folder, _, names in os.walk(spool) for name in names]
    until("an empty spool", lambda: not left())


def again(relay, after_s=0):
    """Stopped, and started anew; the clock may have gone on meanwhile."""
    relay.stop()
    relay.conf["dkim2"]["clock"] = str(int(relay.conf["dkim2"]["clock"]) + after_s)
    begun = len(relay.events("ready"))
    relay.start(ready=False)
    relay.log.wait("a daemon that is ready", lambda items: len([e for e in items if e.get("event") == "ready"]) > begun)


def dsn_of(tx):
    """The fields of the status part: those of the message, then of each recipient."""
    parts = body_of(tx.content).split(b"Content-Type: message/delivery-status")
    assert len(parts) == 2, tx.content
    groups = parts[1].split(b"\r\n\r\n", 1)[1].split(b"\r\n--")[0].split(b"\r\n\r\n")
    return [dict(line.decode().split(": ", 1) for line in group.replace(b"\r\n ", b" ").split(b"\r\n") if b": " in line) for group in groups
            if group.strip()]


def test_taken_and_delivered(hopseal, sink):
    relay = queue(hopseal, "pass")
    id = submit(relay)
    tx = sink.one()
    assert tx.content.endswith(BASE) and tx.sender == "<s@a.test>" and tx.recipients == ["<r1@c.test>"]
    line = relay.event("delivered", id=id)
    assert line["rcpt_to"] == "<r1@c.test>" and line["code"] == 250 and line["next_hop"] == sink.address
    assert relay.event("accepted", id=id)["rcpt_to"] == "<r1@c.test>"
    assert "rcpt_to" not in relay.event("transaction", mode="queue")
    emptied(relay)


def test_every_copy_is_sealed_for_its_recipients(hopseal, sink, keyring):
    """Who stands in To or Cc of one domain shares a copy; a Bcc recipient has his own, and his name stands in no other."""
    relay = queue(hopseal, keys=[keyring.key("a.test")])
    content = BASE.replace(b"To: r1@c.test\r\n", LIST + b"Bcc: b@c.test\r\n")
    submit(relay, ("<r1@c.test>", "<r2@c.test>", "<b@c.test>", "<r3@b.test>"), content)
    got = {tuple(sorted(tx.recipients)): tx for tx in sink.wait(3)}
    assert set(got) == {("<r1@c.test>", "<r2@c.test>"), ("<b@c.test>",), ("<r3@b.test>",)}
    for rcpts, tx in got.items():
        assert not values(tx.content, "Bcc")
        others = {r.strip("<>") for other in got for r in other} - {r.strip("<>") for r in rcpts} - {"r1@c.test", "r2@c.test"}
        assert not any(r.encode() in tx.content for r in others)
        hop, = checked(tx.content, keyring)
        assert (hop.mf, sorted(hop.rt)) == ("<s@a.test>", list(rcpts))
    emptied(relay)


def test_next_hop_down_then_up(hopseal, sink):
    sink.close()
    relay = queue(hopseal, "pass")
    id = submit(relay)
    line = relay.event("deferred", id=id)
    assert line["code"] == 451 and line["next_ms"] > 0
    message, = listed(relay)["messages"]
    assert message["id"] == id and message["mail_from"] == "<s@a.test>" and message["rcpts"][0]["path"] == "<r1@c.test>"
    sink.open()
    assert ctl("queue", "flush", "all", "-c", relay.file).returncode == 0
    assert sink.one().content.endswith(BASE)
    emptied(relay)
    assert listed(relay)["messages"] == []


def test_a_refusal_is_reported(hopseal, sink, keyring):
    sink.script("rcpt", b"550 5.1.1 no such user\r\n")
    relay = queue(hopseal, keys=[keyring.key("a.test"), keyring.key("mx.c.test")])
    id = submit(relay)
    tx = sink.one()
    assert tx.sender == "<>" and tx.recipients == ["<s@a.test>"]
    whole, rcpt = dsn_of(tx)
    assert rcpt["Final-Recipient"] == "rfc822; r1@c.test" and rcpt["Action"] == "failed" and rcpt["Status"] == "5.1.1"
    assert "550" in rcpt["Diagnostic-Code"] and "no such user" in rcpt["Diagnostic-Code"]
    assert relay.event("bounced", id=id)["code"] == 550
    assert relay.event("dsn_queued", id=id)["to"] == "<s@a.test>"
    hop, = checked(tx.content, keyring)
    assert (hop.mf, hop.rt) == ("<>", ["<s@a.test>"])
    emptied(relay)


def test_a_report_is_sealed_by_any_service(hopseal, sink, keyring):
    sink.script("rcpt", b"550 5.1.1 no such user\r\n")
    relay = queue(hopseal, "inbound", keys=[keyring.key("mx.c.test")])
    submit(relay)
    hop, = checked(sink.one().content, keyring)
    assert (hop.d, hop.mf, hop.rt) == ("mx.c.test", "<>", ["<s@a.test>"])
    emptied(relay)


def test_each_recipient_has_its_own_end(hopseal, sink, keyring):
    """One taken, one put off, one refused, in one copy; the second attempt goes to one alone, with the seal of the first."""
    sink.script("rcpt", b"250 2.1.5 ok\r\n", b"450 4.2.1 busy\r\n", b"550 5.1.1 no\r\n")
    relay = queue(hopseal, keys=[keyring.key("a.test"), keyring.key("mx.c.test")])
    content = BASE.replace(b"To: r1@c.test\r\n", b"To: r1@c.test, r2@c.test, r3@c.test\r\n")
    id = submit(relay, ("<r1@c.test>", "<r2@c.test>", "<r3@c.test>"), content)
    relay.event("delivered", 2, id=id)
    got = sink.wait(3)
    copies = [tx for tx in got if tx.sender == "<s@a.test>"]
    assert [tx.recipients for tx in copies if "<r1@c.test>" in tx.recipients or "<r2@c.test>" in tx.recipients]
    assert sorted(r for tx in copies for r in tx.took) == ["<r1@c.test>", "<r2@c.test>"]
    assert copies[0].content == copies[1].content, "sealed anew"
    report, = [tx for tx in got if tx.sender == "<>"]
    assert [r["Final-Recipient"] for r in dsn_of(report)[1:]] == ["rfc822; r3@c.test"]
    emptied(relay)


def test_a_seal_is_reused_and_after_seven_days_made_anew(hopseal, sink, keyring):
    sink.always("dot", b"451 4.3.0 later\r\n")
    relay = queue(hopseal, keys=[keyring.key("a.test")], settings={"expire": 30 * 86400})
    id = submit(relay)
    relay.event("deferred", id=id)
    for days in (0, 2, 6):
        tried = len(relay.events("deferred", id=id))
        again(relay, days * 86400)
        assert ctl("queue", "flush", id, "-c", relay.file).returncode == 0
        relay.event("deferred", tried + 1, id=id)
        hops = [checked(tx.content, keyring) for tx in sink.contents.snapshot()]
        assert all(len(one) == 1 for one in hops)
        times = sorted({one[0].t for one in hops})
        assert len(times) == (2 if days == 6 else 1) and times[-1] - times[0] == (8 * 86400 if days == 6 else 0)


def test_what_was_not_delivered_outlives_the_daemon(hopseal, sink, keyring):
    sink.always("mail", b"451 4.3.0 later\r\n")
    relay = queue(hopseal, keys=[keyring.key("a.test")])
    ids = [submit(relay) for _ in range(3)]
    for id in ids:
        relay.event("deferred", id=id)
    sink.standing.clear()
    again(relay)
    assert relay.event("spool_recovered", messages=3)
    assert len(sink.wait(3)) == 3
    emptied(relay)


def test_old_mail_is_given_up_and_reported(hopseal, sink, keyring):
    sink.always("rcpt", b"451 4.3.0 later\r\n")
    relay = queue(hopseal, "pass")
    id = submit(relay)
    relay.event("deferred", id=id)
    again(relay, 6 * 86400)
    assert relay.event("expired", id=id)["rcpt_to"] == "<r1@c.test>"
    sink.standing.clear()
    whole, rcpt = dsn_of(sink.one())
    assert rcpt["Action"] == "failed" and "451" in rcpt["Diagnostic-Code"]
    emptied(relay)


def test_late_mail_is_told_of_once(hopseal, sink):
    sink.always("rcpt", b"451 4.3.0 later\r\n")
    relay = queue(hopseal, "pass", settings={"retry_min": 3600, "retry_max": 3600})
    id = submit(relay)
    relay.event("deferred", id=id)
    again(relay, 5 * 3600)
    relay.event("dsn_queued", id=id)
    again(relay)
    sink.standing.clear()
    assert ctl("queue", "flush", "all", "-c", relay.file).returncode == 0
    report, = [tx for tx in sink.wait(2) if tx.sender == "<>"]
    assert dsn_of(report)[1]["Action"] == "delayed"
    emptied(relay)
    assert len(relay.events("dsn_queued")) == 1


def test_lmtp_says_of_each(hopseal, sinks):
    box = sinks(lmtp=True)
    box.script("each", b"250 2.1.5 kept\r\n", b"552 5.2.2 full\r\n")
    relay = queue(hopseal, "pass", listener={"next_hop": box.address})
    id = submit(relay, ("<r1@c.test>", "<r2@c.test>"), BASE.replace(b"To: r1@c.test\r\n", LIST))
    assert relay.event("delivered", id=id)["rcpt_to"] == "<r1@c.test>"
    assert relay.event("bounced", id=id)["rcpt_to"] == "<r2@c.test>"
    emptied(relay)


@pytest.mark.parametrize("needs, params, extensions, status", [
    ("8BITMIME", "BODY=8BITMIME", ("PIPELINING",), "5.6.3"), ("SMTPUTF8", "SMTPUTF8", ("8BITMIME",), "5.6.7"),
    ("SIZE", "", ("SIZE 100",), "5.3.4")])
def test_nothing_is_converted(hopseal, sinks, needs, params, extensions, status):
    """A next hop that lacks what the message needs does not get it; its sender hears why."""
    poor = sinks(extensions=extensions)
    relay = queue(hopseal, "pass", listener={"next_hop": poor.address})
    id = submit(relay, params=params)
    line = relay.event("bounced", id=id)
    assert line["enhanced"] == status


def test_nobody_hears_of_a_report_that_failed(hopseal, sink):
    sink.always("rcpt", b"550 5.1.1 no\r\n")
    relay = queue(hopseal, "pass")
    id = submit(relay)
    relay.event("dsn_queued", id=id)
    assert relay.event("dsn_suppressed")["why"] == "null_path"
    emptied(relay)


def test_success_is_told_where_the_next_hop_will_not(hopseal, sinks):
    """RFC 3461 5.2.2: a next hop without DSN makes it `relayed`; one with DSN has it to tell."""
    plain, other = sinks(extensions=("PIPELINING",)), sinks()
    relay = queue(hopseal, "pass", listener={"next_hop": plain.address})
    submit(relay, params="RET=HDRS ENVID=abc", rcpt_params="NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;orig@c.test")
    got = plain.wait(2)
    whole, rcpt = dsn_of(got[1])
    assert whole["Original-Envelope-Id"] == "abc"
    assert rcpt["Action"] == "relayed" and rcpt["Original-Recipient"] == "rfc822; orig@c.test"
    emptied(relay)
    relay = queue(hopseal, "pass", listener={"next_hop": other.address})
    submit(relay, params="RET=HDRS ENVID=abc", rcpt_params="NOTIFY=SUCCESS ORCPT=rfc822;orig@c.test")
    tx = other.one()
    assert "ENVID=abc" in tx.mail and "RET=HDRS" in tx.mail and "NOTIFY=SUCCESS" in tx.rcpts[0] and "ORCPT=rfc822;orig@c.test" in tx.rcpts[0]
    emptied(relay)


def test_a_chain_goes_on_from_the_spool(hopseal, sinks, sink, keyring):
    """What came Fully Verified leaves with the next hop of its chain, though days may lie between."""
    keys = [keyring.key("a.test"), keyring.key("c.test")]
    second = sinks()
    first = queue(hopseal, keys=keys[:1])
    submit(first)
    sealed = sink.one().content
    relay = queue(hopseal, keys=keys, listener={"seal": "always", "next_hop": second.address})
    submit(relay, ("<r1@c.test>",), sealed)
    assert relay.event("transaction", mode="queue")["dkim2"] == "pass"
    first, bridge, last = checked(second.one().content, keyring)
    assert (bridge.d, bridge.nd) == ("c.test", "a.test") and (last.d, last.mf, last.rt) == ("a.test", "<s@a.test>", ["<r1@c.test>"])
    emptied(relay)


def test_what_passes_unsealed_passes_again(hopseal, sink, keyring):
    """Of a chain that cannot go on the ARC set alone is kept, and the second attempt is held to no seal that the first had none of."""
    sink.script("rcpt", b"450 4.2.1 busy\r\n")
    relay = queue(hopseal, keys=[keyring.key("c.test")], listener={"unsealed": "pass", "extend_unverified_from": ["127.0.0.0/8"],
                                                                   "arc_seal": "c.test", "verify": ["dkim2", "arc"]})
    id = submit(relay, ("<r3@b.test>",), seal(BASE, keyring.key("a.test")).replace(b"hello", b"hellp"), "<x@c.test>")
    relay.event("deferred", id=id)
    tx = sink.one()
    assert values(tx.content, "ARC-Seal") and tx.recipients == ["<r3@b.test>"]
    relay.event("delivered", id=id)
    assert not relay.events("bounced")
    emptied(relay)


def test_a_blind_copy_that_is_sealed_later(hopseal, sink, keyring):
    """What came before there was a key has its Bcc still: no attempt lets it out, and each is sealed."""
    sink.always("mail", b"451 4.3.0 later\r\n")
    relay = queue(hopseal, keys=[keyring.key("a.test"), keyring.key("d.test")], start=False)
    relay.conf["keys"][0]["use"] = "retired"
    relay.start()
    id = submit(relay, content=b"Bcc: b@c.test\r\n" + BASE)
    relay.event("deferred", id=id)
    relay.conf["keys"][0]["use"] = "active"
    sink.standing.clear()
    sink.script("rcpt", b"450 4.2.1 busy\r\n")
    again(relay)
    tx = sink.one()
    assert not values(tx.content, "Bcc")
    hop, = checked(tx.content, keyring)
    assert hop.rt == ["<r1@c.test>"]
    emptied(relay)


def test_by_mx(hopseal, sinks, ports):
    """Three domains, three servers: the better preference first, the next where it is away, a domain that takes no mail refused."""
    port = ports.take()
    hosts = {}
    boxes = []
    for n in (2, 3, 4):
        box = sinks()
        box.close()
        boxes.append(box)
        box.listener = socket.socket()
        box.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        box.listener.bind(("127.0.0.%d" % n, port))
        box.listener.listen(16)
        threading.Thread(target=box.accept, args=(box.listener,), daemon=True).start()
        hosts["mx%d.c.test" % n] = {"A": ["127.0.0.%d" % n]}
    answers = dict(hosts)
    answers["c.test"] = {"MX": ["10 mx2.c.test"]}
    answers["b.test"] = {"MX": ["20 mx3.c.test", "10 away.c.test"]}
    answers["away.c.test"] = {"A": ["127.0.0.9"]}
    answers["mx4.c.test"] = {"A": ["127.0.0.4"]}
    answers["null.test"] = {"MX": ["0 ."]}
    relay = queue(hopseal, "pass", listener={"next_hop": "mx"}, settings={"mx_port": port}, answers=answers)
    submit(relay, ("<r1@c.test>", "<r3@b.test>", "<r@mx4.c.test>"))
    assert [tx.recipients for tx in boxes[0].wait(1)] == [["<r1@c.test>"]]
    assert [tx.recipients for tx in boxes[1].wait(1)] == [["<r3@b.test>"]]
    assert [tx.recipients for tx in boxes[2].wait(1)] == [["<r@mx4.c.test>"]]
    emptied(relay)
    for rcpt, code, enhanced in (("<x@null.test>", 556, "5.1.10"), ("<x@nowhere.test>", 550, "5.1.2")):
        id = submit(relay, (rcpt,))
        line = relay.event("bounced", id=id)
        assert (line["code"], line["enhanced"]) == (code, enhanced)
    assert relay.event("route_refused", domain="null.test")


def test_held_shown_released_removed(hopseal, sink):
    sink.always("mail", b"451 4.3.0 later\r\n")
    relay = queue(hopseal, "pass", settings={"retry_min": 3600, "retry_max": 3600})
    one, two = submit(relay), submit(relay)
    for id in (one, two):
        relay.event("deferred", id=id)
    assert ctl("queue", "hold", one, "-c", relay.file).returncode == 0
    states = {m["id"]: m["state"] for m in listed(relay)["messages"]}
    assert states == {one: "held", two: "waiting"}
    done = ctl("queue", "show", one, "--json", "-c", relay.file)
    assert done.returncode == 0, done
    shown = json.loads(done.stdout)
    assert shown["id"] == one and shown["rcpts"][0]["text"]
    assert ctl("queue", "show", one, "--content", "-c", relay.file).stdout.endswith(b"\r\n" + BASE)
    sink.standing.clear()
    assert ctl("queue", "flush", "all", "-c", relay.file).returncode == 0
    relay.event("delivered", id=two)
    assert [m["id"] for m in listed(relay)["messages"]] == [one]
    again(relay)
    relay.event("spool_recovered", messages=1)
    assert [m["state"] for m in listed(relay)["messages"]] == ["held"]
    assert ctl("queue", "release", one, "-c", relay.file).returncode == 0
    relay.event("delivered", id=one)
    sink.always("mail", b"451 4.3.0 later\r\n")
    three = submit(relay)
    relay.event("deferred", id=three)
    assert ctl("queue", "remove", three, "-c", relay.file).returncode == 0
    assert listed(relay)["messages"] == []
    assert ctl("queue", "remove", three, "-c", relay.file).returncode == 66
    emptied(relay)
