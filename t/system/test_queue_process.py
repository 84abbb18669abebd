"""The queue process: one at a time has the spool, whatever dies, reloads or leaves; and what an operator asks of it."""
import json
import os
import signal
import threading

import pytest

from mail import BASE
from relay import ctl
from sink import Hold
from test_control import Control, schema
from test_queue import emptied, submit
from test_reload import Talker, begin, end, judge
from wait import until


@pytest.fixture
def queue(hopseal, keyring):
    """queue(...) is an outbound listener that answers for its mail."""
    def make(**settings):
        listener = dict({"mode": "queue"}, **settings.pop("listener", {}))
        return hopseal("outbound", listener=listener, keys=[keyring.key("a.test")], queue={"retry_min": 1, "retry_max": 2}, **settings)
    return make


def alive(relay):
    """Queue processes of the daemon, whatever its control process knows of them."""
    out = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % pid, encoding="ascii") as f:
                name, rest = f.read().rsplit(")", 1)
            if name.endswith("(hopseal:queue") and rest.split()[0] not in "ZX" and int(rest.split()[1]) == relay.process.pid:
                out.append(int(pid))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return out


def one(relay, but=None):
    """The queue process, once there is one and it has seen the spool."""
    def holds():
        ready = [p["pid"] for p in relay.status()["processes"] if p["role"] == "queue" and p["ready"]]
        return ready if ready and ready != [but] else None
    (pid,) = until("a queue process", holds)
    return pid


def test_it_runs_where_a_listener_has_mode_queue_only(hopseal, queue):
    relay, other = queue(workers=2), hopseal("inbound")
    pid = one(relay)
    assert alive(relay) == [pid] and alive(other) == []
    links = [os.readlink("/proc/%d/fd/%s" % (pid, fd)) for fd in os.listdir("/proc/%d/fd" % pid)]
    assert relay.conf["spool"]["dir"] in links


def test_killed_it_is_replaced(queue):
    relay = queue()
    first = one(relay)
    os.kill(first, signal.SIGKILL)
    assert relay.event("queue_died", pid=first)["signal"] == signal.SIGKILL
    second = one(relay, first)
    os.kill(second, signal.SIGKILL)     # no first death: a second later
    relay.event("queue_died", pid=second)
    assert [p["role"] for p in relay.status()["waiting"]] == ["queue"]
    third = one(relay, second)
    assert alive(relay) == [third]


def test_reloads_hand_the_spool_over(queue):
    relay = queue()
    pids = [one(relay)]
    for n in range(2, 22):
        assert relay.reload(hostname="h%d.c.test" % n)["event"] == "reload_ok"
        assert len(alive(relay)) <= 1
        if n % 4 == 0:
            pids.append(one(relay, pids[-1]))
    assert not relay.events("queue_died") and not relay.events("pair_lost")


def test_a_reload_may_end_it_and_begin_it(queue):
    relay = queue()
    first = one(relay)
    assert relay.reload(listener={"main": {"mode": "proxy"}})["event"] == "reload_ok"
    until("its end", lambda: not alive(relay))
    assert relay.reload(listener={"main": {"mode": "queue"}})["event"] == "reload_ok"
    assert one(relay) != first


def test_sigterm_ends_it_in_order(queue):
    relay = queue()
    one(relay)
    with relay.connect() as c:
        c.ehlo()
        relay.signal(signal.SIGTERM)
        c.want(421, "4.3.2")
    assert relay.ended() == 0 and not relay.events("queue_died")


def test_sigterm_waits_for_workers_first(queue):
    """What a worker still takes has its queue process."""
    relay = queue()
    pid = one(relay)
    with relay.connect() as c:
        c.mail()
        relay.signal(signal.SIGTERM)
        relay.event("draining")
        until("the queue process", lambda: alive(relay) == [pid])
        c.cmd("NOOP", 250)
        assert alive(relay) == [pid]
        c.cmd("RSET", 250)
        c.want(421, "4.3.2")
    assert relay.ended() == 0


def test_stopped_it_meets_a_second_sigterm(queue):
    relay = queue()
    os.kill(one(relay), signal.SIGSTOP)
    relay.signal(signal.SIGTERM)
    relay.event("draining")
    relay.signal(signal.SIGTERM)
    assert relay.ended() == 0


def test_mail_that_nobody_delivers_is_told_of(queue, room):
    relay = queue()
    old = relay.conf["spool"]["dir"]
    assert relay.reload(listener={"main": {"mode": "proxy"}})["event"] == "reload_ok"
    assert not relay.events("spool_left")
    with open(os.path.join(old, "mail", "0123456789abcdef01234567"), "wb"):
        pass
    assert relay.reload(hostname="h2.c.test")["event"] == "reload_ok"
    assert old in relay.event("spool_left")["text"]
    assert relay.reload(listener={"main": {"mode": "queue"}})["event"] == "reload_ok"
    assert relay.reload(spool={"dir": os.path.join(room, "new")})["event"] == "reload_ok"
    assert old in relay.event("spool_left", 2)["text"]


def test_a_stopped_one_does_not_stall_status(queue):
    import jsonschema
    relay = queue()
    pid = one(relay)
    assert relay.status()["queue"]["ready"] is True
    os.kill(pid, signal.SIGSTOP)
    status = relay.status()
    jsonschema.Draft202012Validator(schema("status.schema.json")).validate(status)
    assert status["queue"] is None and [p["pid"] for p in status["processes"] if p["role"] == "queue"] == [pid]
    os.kill(pid, signal.SIGCONT)
    until("its part", lambda: relay.status()["queue"])


def ask(relay, *args):
    """Exit code, and what was said."""
    done = ctl("queue", *args, "-c", relay.file)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize("args", [
    (), ("frob",), ("list", "x"), ("list", "--limit", "0"), ("show",), ("show", "a", "b"), ("show", "NO"), ("show", "a", "--content", "--json"),
    ("hold",), ("hold", "a", "all"), ("release",), ("remove",), ("remove", "all"), ("flush", "a", "b.test"), ("list", "--destination", "a"),
    ("show", "a", "--limit", "1"), ("flush", "a", "--destination", "b")])
def test_a_wrong_call(queue, args):
    relay = queue(start=False)
    code, out, err = ask(relay, *args)
    assert (code, out) == (64, "") and "usage: hopsealctl queue list" in err


def test_without_a_daemon_and_without_a_queue(hopseal, queue):
    stopped = queue(start=False)
    stopped.write()
    assert ask(stopped, "list")[0] == 75
    relay = hopseal("pass")
    code, out, err = ask(relay, "list")
    assert (code, out) == (75, "") and "no queue process" in err
    assert relay.status()["queue"] is None


@pytest.mark.slow
def test_a_stopped_one_is_not_waited_for(queue):
    relay = queue()
    os.kill(one(relay), signal.SIGSTOP)
    code, out, err = ask(relay, "list")
    assert code == 75 and "does not answer" in err
    # Killed, it leaves nobody waiting.
    waiting = Control(relay)
    waiting.send(b'queue {"do": "list"}\n')
    until("a status, for which the question is old", lambda: relay.status()["queue"] is None)
    (pid,) = alive(relay)
    os.kill(pid, signal.SIGKILL)
    answer = waiting.answer()
    assert answer["ok"] is False and "has ended" in answer["error"]


@pytest.mark.parametrize("text", [
    b"", b"x", b"[]", b"{}", b'{"do": "frob"}', b'{"do": 1}', b'{"do": "list", "limit": 0}', b'{"do": "list", "limit": 101}', b'{"do": "list", "id": "a"}',
    b'{"do": "list", "do": "list"}', b'{"do": "show"}', b'{"do": "show", "id": "A"}', b'{"do": "hold"}', b'{"do": "hold", "ids": []}',
    b'{"do": "hold", "ids": ["a"], "all": true}', b'{"do": "hold", "all": false}', b'{"do": "hold", "destination": "b"}', b"[" * 4000])
def test_what_is_no_request(queue, text):
    c = Control(queue())
    assert list(c.ask(b"queue " + text)) == ["error"]
    assert c.ask(b'queue {"do": "destinations"}')["ready"] in (True, False)


# With mail in it.

def senders(sink):
    return [tx.sender for tx in sink.transactions()]


def load(relay):
    stop = threading.Event()
    return stop, [Talker("seal1", relay, stop, 1000000, None), Talker("seal2", relay, stop, 5, None)]


@pytest.mark.slow
def test_twenty_reloads_under_load(queue, sink):
    """Who was told 250 finds the message once at the next hop, also when it was put off before."""
    relay = queue(workers=2)
    one(relay)
    stop, talkers = load(relay)
    begin(talkers)
    for n in range(20):
        sink.script("mail", *[b"451 4.3.0 later\r\n"] * 3)
        assert relay.reload(hostname="h%d.c.test" % n)["event"] == "reload_ok"
        assert len(alive(relay)) <= 1
    end(stop, talkers)
    emptied(relay)
    judge(talkers, sink)
    assert relay.events("deferred") and not relay.events("queue_died") and not relay.events("pair_lost")


@pytest.mark.slow
def test_killed_under_load_it_loses_nothing(queue, sink):
    """A second copy is what RFC 1047 allows; none at all is not."""
    relay = queue(workers=2)
    pid = one(relay)
    stop, talkers = load(relay)
    begin(talkers)
    for n in range(1, 6):
        os.kill(pid, signal.SIGKILL)
        relay.event("queue_died", n)
        pid = one(relay, pid)
    end(stop, talkers)
    emptied(relay)
    wanted = [e.sender for t in talkers for e in t.entries if e.code == 250]
    got = senders(sink)
    assert len(wanted) > 5 and set(wanted) <= set(got), sorted(set(wanted) - set(got))
    assert len(got) - len(set(got)) <= 5 * 20


def test_what_an_older_generation_takes_is_delivered_by_the_new(queue, sink):
    relay = queue()
    first = one(relay)
    with relay.connect() as c:
        c.ehlo()
        assert relay.reload(hostname="h2.c.test")["event"] == "reload_ok"
        second = one(relay, first)
        c.deliver(BASE, sender="<old@a.test>")
        assert [tx.sender for tx in sink.wait(1)] == ["<old@a.test>"]
        emptied(relay)
        # And by the next one, when that dies.
        os.kill(second, signal.SIGKILL)
        one(relay, second)
        c.deliver(BASE, sender="<older@a.test>")
        assert sink.wait(2)[1].sender == "<older@a.test>"


def test_a_reload_waits_with_the_spool_for_what_is_under_way(queue, sink):
    relay = queue()
    first, gate = one(relay), threading.Event()
    held = Hold(gate)
    sink.script("dot", held)
    submit(relay, mail="<one@a.test>")
    assert held.reached.wait(30)
    assert relay.reload(hostname="h2.c.test")["event"] == "reload_ok"
    submit(relay, mail="<two@a.test>")      # taken, though nobody delivers it now
    assert alive(relay) == [first] and senders(sink) == []
    gate.set()
    assert [tx.sender for tx in sink.wait(2)] == ["<one@a.test>", "<two@a.test>"]
    assert one(relay, first) and not relay.events("queue_died")
    emptied(relay)


def test_sigterm_lets_a_delivery_end(queue, sink):
    relay = queue()
    one(relay)
    gate = threading.Event()
    held = Hold(gate)
    sink.script("dot", held)
    submit(relay)
    assert held.reached.wait(30)
    relay.signal(signal.SIGTERM)
    relay.event("draining")
    until("the end of the worker", lambda: not relay.pids("worker"))
    assert len(alive(relay)) == 1
    gate.set()
    assert relay.ended() == 0 and len(sink.wait(1)) == 1
    emptied(relay)


@pytest.mark.slow
def test_sigterm_does_not_wait_for_ever(queue, sink):
    """Ten seconds; what had no answer then is sent again."""
    relay = queue()
    one(relay)
    gate = threading.Event()
    held = Hold(gate)
    sink.script("dot", held)
    submit(relay)
    assert held.reached.wait(30)
    relay.signal(signal.SIGTERM)
    assert relay.ended() == 0 and senders(sink) == []
    relay.check()
    relay.log.items.clear()
    relay.start()
    assert len(sink.wait(1)) == 1
    emptied(relay)
    gate.set()


# What an operator asks, while the next hop is down.

@pytest.fixture
def dead(queue, sink):
    sink.close()
    return queue()


def listed(relay, *args):
    code, out, err = ask(relay, "list", "--json", *args)
    assert (code, err) == (0, "")
    return json.loads(out)


def done(relay, *args):
    code, out, err = ask(relay, *args, "--json")
    assert err == "" or code == 66, err
    return json.loads(out)["done"]


def test_a_list_and_its_message(dead, sink):
    ids = [submit(dead, ("<r1@c.test>", "<r2@c.test>"), mail="<s%d@a.test>" % n) for n in range(3)]
    dead.event("destination_dead")
    code, out, err = ask(dead, "list")
    assert code == 0 and out.endswith("3 messages\n") and out.count("<r2@c.test> waiting, next in ") == 3
    (one,) = [m for m in listed(dead)["messages"] if m["id"] == ids[1]]
    assert (one["mail_from"], one["state"], one["left"]) == ("<s1@a.test>", "waiting", 2)
    assert sorted(r["path"] for r in one["rcpts"]) == ["<r1@c.test>", "<r2@c.test>"]
    assert all(r["state"] == "waiting" and r["next_s"] <= 3 for r in one["rcpts"])
    shown = json.loads(ask(dead, "show", ids[1], "--json")[1])
    assert [r["path"] for r in shown["rcpts"]] == ["<r1@c.test>", "<r2@c.test>"]
    assert shown["client"] == "127.0.0.1" and shown["known_client"] is True and shown["report_to"] == "<s1@a.test>"
    assert shown["header"].endswith("\r\nMessage-ID: <1@a.test>\r\n\r\n") and shown["header_octets"] < shown["octets"]
    code, out, err = ask(dead, "show", ids[1])
    assert code == 0 and "\n    <r1@c.test> copy " in out and "\nSubject: t\n" in out and "hello" not in out
    content = ctl("queue", "show", ids[1], "--content", "-c", dead.file)
    assert content.returncode == 0 and content.stdout.endswith(BASE) and len(content.stdout) == shown["octets"]
    (destination,) = dead.status()["queue"]["destinations"]
    assert destination["waiting"] + destination["active"] > 0 and destination["dead_s"] > 0
    assert ("destination %s, " % destination["name"]) in ctl("status", "-c", dead.file).stdout.decode()
    sink.open()
    assert done(dead, "flush", destination["name"]) >= 1
    emptied(dead)
    assert sorted(set(senders(sink))) == ["<s0@a.test>", "<s1@a.test>", "<s2@a.test>"]


def test_one_that_is_not_there(dead):
    there = submit(dead)
    for args in (("show", "nope"), ("show", "nope", "--content")):
        code, out, err = ask(dead, *args)
        assert (code, out) == (66, "") and "no such message" in err
    for verb in ("flush", "hold", "release", "remove"):
        code, out, err = ask(dead, verb, there, "nope", "nix")
        assert code == 66 and err.count("no such message") == 2 and out.startswith("1 "), (verb, out, err)
    emptied(dead)


def test_held_mail_stays(dead, sink):
    ids = [submit(dead) for _ in range(3)]
    assert done(dead, "hold", ids[0]) == 1 and done(dead, "hold", "all") == 2 and done(dead, "hold", *ids) == 0
    assert [m["state"] for m in listed(dead)["messages"]] == ["held"] * 3 and dead.status()["queue"]["held"] == 3
    sink.open()
    done(dead, "flush")
    assert done(dead, "release", ids[1]) == 1
    sink.wait(1)
    assert sorted(m["id"] for m in listed(dead)["messages"]) == sorted([ids[0], ids[2]])
    os.kill(one(dead), signal.SIGKILL)      # it is known of those still
    dead.event("queue_died")
    until("the messages", lambda: len(listed(dead)["messages"]) == 2)
    assert [m["state"] for m in listed(dead)["messages"]] == ["held"] * 2
    assert done(dead, "release", "all") == 2
    sink.wait(3)
    emptied(dead)


@pytest.mark.slow
def test_many_by_pages(dead, sink):
    count = 350
    with dead.connect() as c:
        for n in range(count):
            c.deliver(BASE, sender="<n%d@a.test>" % n, recipients=["<r%d@c.test>" % k for k in range(30)] if n == 7 else ["<r1@c.test>"])
    messages = listed(dead)["messages"]
    assert sorted(m["mail_from"] for m in messages) == sorted("<n%d@a.test>" % n for n in range(count))
    (many,) = [m for m in messages if m["mail_from"] == "<n7@a.test>"]
    assert many["left"] == 30 and len(many["rcpts"]) == 20
    part = listed(dead, "--limit", "120")
    assert len(part["messages"]) == 120 and part["more"] is True and listed(dead, "--limit", "%d" % count)["more"] is False
    assert "\n    and 10 more\n" in ask(dead, "list")[1]
    assert done(dead, "hold", "all") == count and done(dead, "release", *[m["id"] for m in messages[:150]]) == 150
    assert ask(dead, "remove", "all")[0] == 64 and len(listed(dead)["messages"]) == count
    assert done(dead, "remove", "all", "--yes") == count
    assert listed(dead)["messages"] == []
    emptied(dead)
    assert len(dead.events("removed")) == count and senders(sink) == []


@pytest.mark.slow
def test_all_recipients_of_a_message(dead):
    """A thousand of them, whose paths are long: by pages too."""
    rcpts = ["<%s%d@c.test>" % ("r" * 60, n) for n in range(1000)]
    shown = json.loads(ask(dead, "show", submit(dead, rcpts), "--json")[1])
    assert [r["path"] for r in shown["rcpts"]] == rcpts and shown["left"] == 1000


def test_octets_of_any_length(dead):
    content = BASE + b"".join(b"%07d\r\n" % n for n in range(30000))
    id = submit(dead, content=content)
    got = ctl("queue", "show", id, "--content", "-c", dead.file)
    assert got.stdout.endswith(content) and len(got.stdout) == json.loads(ask(dead, "show", id, "--json")[1])["octets"]
