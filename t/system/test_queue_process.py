"""The queue process: one at a time has the spool, whatever dies, reloads or leaves."""
import os
import signal

import pytest

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
