"""The queue process: one at a time has the spool, whatever dies, reloads or leaves."""
import os
import signal

import pytest

from relay import ctl
from test_control import Control, schema
from wait import until


@pytest.fixture
def queue(hopseal, keyring):
    """queue(...) is an outbound listener that answers for its mail."""
    def make(**settings):
        listener = dict({"mode": "queue"}, **settings.pop("listener", {}))
        return hopseal("outbound", listener=listener, keys=[keyring.key("a.test")], **settings)
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
