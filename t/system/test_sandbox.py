"""The sandbox of each process, seen from outside; what each may do inside of it is t/unit/test_sandbox.c's."""
import os
import signal

import pytest

from mail import BASE
from relay import DAEMON
from wait import until

ROLES = ("keeper", "resolver", "queue", "worker", "control")


def status(pid):
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f)


def sanitized():
    with open(DAEMON, "rb") as f:
        return b"built with -fsanitize=" in f.read()


needs_sandbox = pytest.mark.skipif(sanitized(), reason="a sanitizer asks the kernel for too much to be locked in")


def filters(pid):
    return int(status(pid)["Seccomp_filters"])


def children(relay):
    return {role: relay.pids(role) for role in ROLES}


def locked(pid):
    s = status(pid)
    return (s["Seccomp"], s["NoNewPrivs"]) == ("2", "1")


@pytest.fixture
def key(keyring):
    return keyring.key("a.test")


@needs_sandbox
def test_every_process_is_locked_in(hopseal, key):
    relay = hopseal("outbound", listener={"mode": "queue"}, keys=[key], workers=2)
    for role, pids in children(relay).items():
        assert len(pids) == (2 if role == "worker" else 1), role
        assert all(locked(pid) for pid in pids), role
        # The supervisor's lists, which it inherits, and its own.
        assert all(filters(pid) == filters(os.getpid()) + 2 for pid in pids), role
    assert locked(relay.process.pid) and filters(relay.process.pid) == filters(os.getpid()) + 1
    assert not relay.events("sandbox_off")


@needs_sandbox
def test_one_that_was_started_again_or_by_a_reload_is_too(hopseal, key):
    relay = hopseal("outbound", listener={"mode": "queue"}, keys=[key])
    before = children(relay)
    for role in ROLES:
        os.kill(before[role][0], signal.SIGKILL)
    for role in ROLES:
        relay.event(role + "_died")
    until("all of them to be there again", lambda: all(len(pids) == 1 for pids in children(relay).values()))
    assert relay.reload()["event"] == "reload_ok"
    after = children(relay)
    assert all(locked(pid) for pids in after.values() for pid in pids)
    # control stays over a reload
    assert not {pid for pids in after.values() for pid in pids} & {pid for pids in before.values() for pid in pids}


@needs_sandbox
def test_what_the_sandbox_ends_in_is_told(hopseal, sink):
    """As seccomp would end it: the supervisor names the signal, and mail goes on."""
    relay = hopseal("pass")
    os.kill(relay.pids("worker")[0], signal.SIGSYS)
    assert relay.event("worker_died")["signal"] == signal.SIGSYS
    with relay.connect() as c:
        c.deliver(BASE)
    assert len(sink.wait(1)) == 1


@needs_sandbox
def test_what_a_dead_worker_left_in_the_spool_is_cleared_away(hopseal, key):
    """Whether the process lives that a file is named after is asked of the kernel."""
    relay = hopseal("outbound", listener={"mode": "queue"}, keys=[key])
    os.kill(relay.pids("worker")[0], signal.SIGKILL)
    dead = relay.event("worker_died")["pid"]
    folder = os.path.join(relay.conf["spool"]["dir"], "tmp")
    for pid in (dead, os.getpid()):
        with open(os.path.join(folder, "%d.%s" % (pid, "left")), "wb"):
            pass
    os.kill(relay.pids("queue")[0], signal.SIGKILL)
    relay.event("queue_died")
    until("the dead one's to be gone", lambda: os.listdir(folder) == ["%d.left" % os.getpid()])


def test_off_by_configuration_is_told_and_works(hopseal, sink):
    relay = hopseal("pass", sandbox=False)
    with relay.connect() as c:
        c.deliver(BASE)
    relay.event("sandbox_off")
    assert status(relay.process.pid)["Seccomp"] == "0"
    assert all(status(pid)["Seccomp"] == "0" for role in ("worker", "keeper", "resolver", "control") for pid in relay.pids(role))


@needs_sandbox
def test_a_reload_does_not_let_anybody_out(hopseal, sink):
    relay = hopseal("pass")
    assert relay.reload(sandbox=False)["event"] == "reload_ok"
    assert all(locked(pid) for role in ("worker", "keeper", "resolver", "control") for pid in relay.pids(role))


@pytest.mark.skipif(not sanitized(), reason="it is locked in")
def test_a_sanitized_build_says_that_it_is_not(hopseal):
    assert "sanitize" in hopseal("pass").event("sandbox_off")["text"]


@needs_sandbox
def test_big_bodies_go_to_the_spool_and_lines_to_a_new_log(hopseal, room, sink):
    """Files by name, and descriptors that come from the supervisor, under the lock."""
    log = os.path.join(room, "hopseal.log")
    relay = hopseal("pass", log={"to": log}, limits={"body_memory": 4096}, start=False)
    relay.start(ready=False)

    def read(path):
        if not os.path.exists(path):
            return b""
        with open(path, "rb") as f:
            return f.read()
    until("the log", lambda: b'"ready"' in read(log))
    os.rename(log, log + ".1")
    relay.signal(signal.SIGUSR1)
    until("the new log", lambda: os.path.exists(log))
    with relay.connect() as c:
        c.deliver(BASE + b"octets\r\n" * 20000)
    until("the line", lambda: b'"transaction"' in read(log))
    assert len(sink.one().content) > 160000
