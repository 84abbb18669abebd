"""The processes: who runs as whom, what a death costs, reload, the end, and what is refused before the start."""
import json
import os
import pwd
import signal
import socket
import stat
import threading

import pytest

from mail import BASE, values
from relay import DAEMON, USER, ctl, merge, run
from seal import checked, seal
from sink import Hold
from wait import until


@pytest.fixture
def key(keyring):
    return keyring.key("a.test")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
def test_only_the_supervisor_stays_root(hopseal, key):
    relay = hopseal("outbound", keys=[key], start=False).start(extra_groups=[0, 4])
    uid = pwd.getpwnam(USER).pw_uid
    for role in ("worker", "resolver", "control", "keeper"):
        for pid in relay.pids(role):
            with open("/proc/%d/status" % pid, encoding="ascii") as f:
                lines = dict(line.rstrip("\n").split(":\t", 1) for line in f)
            assert lines["Uid"].split() == [str(uid)] * 4, role
            assert not {"0", "4"} & set(lines["Groups"].split()) and lines["Gid"].split()[0] != "0", role
            assert int(lines["CapPrm"], 16) == 0, role


def test_workers_hold_no_key_and_no_dns_socket(hopseal, key):
    relay = hopseal("outbound", keys=[key])
    with open(key.file, "rb") as f:
        secret = f.read()
    assert secret.startswith(b"-----BEGIN")
    for pid in relay.pids("worker"):
        links = [os.readlink("/proc/%d/fd/%s" % (pid, fd)) for fd in os.listdir("/proc/%d/fd" % pid)]
        inodes = {link[8:-1] for link in links if link.startswith("socket:")}
        assert not any(key.file in link for link in links)
        for table in ("udp", "udp6"):
            with open("/proc/net/" + table, encoding="ascii") as f:
                assert not inodes & {line.split()[9] for line in f.readlines()[1:]}, "a worker holds a UDP socket"


def test_keeper_killed_costs_nothing(hopseal, sink, key, keyring):
    relay = hopseal("outbound", keys=[key])
    with relay.connect() as c:
        c.deliver(BASE)
        (keeper,) = relay.pids("keeper")
        os.kill(keeper, signal.SIGSTOP)
        c.to_data()
        c.send(BASE + b".\r\n")
        os.kill(keeper, signal.SIGKILL)
        c.want(250)
    for name in ("keeper_died", "keeper_down", "keeper_up"):
        relay.event(name)
    assert all(checked(tx.content, keyring) for tx in sink.wait(2))


def test_resolver_killed_costs_neither_an_answer_nor_a_session(hopseal, sink, key):
    relay = hopseal("inbound", policy=[{"name": "t", "when": ["dkim2 = temperror"], "then": "defer 451 4.7.5 {dkim2.reason}"}])
    message = seal(BASE, key)
    with relay.connect() as c:
        (resolver,) = relay.pids("resolver")
        os.kill(resolver, signal.SIGSTOP)
        c.to_data()
        c.send(message + b".\r\n")
        os.kill(resolver, signal.SIGKILL)
        c.want(250)
    for name in ("resolver_died", "dns_down", "dns_up"):
        relay.event(name)
    assert "dkim2=pass" in values(sink.wait(1)[0].content, "Authentication-Results")[0]


def test_worker_killed_is_replaced_and_the_port_stays(hopseal, sink):
    relay = hopseal("inbound")
    (worker,) = relay.pids("worker")
    os.kill(worker, signal.SIGKILL)
    relay.event("worker_died")
    with relay.connect() as c:
        c.deliver(BASE)
    assert relay.pids("worker") != [worker]


def test_several_workers_all_serve(hopseal, sink):
    relay = hopseal("inbound", workers=3)
    assert len(relay.pids("worker")) == 3
    for _ in range(12):
        with relay.connect() as c:
            c.deliver(BASE)
    assert len(sink.wait(12)) == 12


def test_reload_leaves_a_live_session_alone(hopseal, sink):
    relay = hopseal("inbound")
    with relay.connect() as old:
        old.mail()
        assert relay.reload(hostname="new.c.test")["event"] == "reload_ok"
        with relay.connect() as new:
            assert "new.c.test" in new.banner.text
            new.deliver(BASE)
        old.rcpt()
        old.cmd("DATA", 354)
        old.message(BASE)
    by = [values(tx.content, "Received")[0].split(" by ")[1].split(" ")[0] for tx in sink.wait(2)]
    assert by == ["new.c.test", "mx.c.test"]


def test_a_broken_reload_keeps_what_runs(hopseal, sink):
    relay = hopseal("inbound")
    event = relay.reload(limits={"sessions": 0})
    assert event["event"] == "reload_refused"
    with relay.connect() as c:
        c.deliver(BASE)
    assert relay.reload(limits={"sessions": 10})["event"] == "reload_ok"


def test_reload_may_add_and_drop_listeners(hopseal, sink, ports):
    relay = hopseal(listeners={"one": {"service": "pass"}, "two": {"service": "inbound"}})
    port = ports.take()
    listener = dict(relay.conf["listener"])
    listener["three"] = dict(listener.pop("two"), address=["127.0.0.1:%d" % port])
    relay.conf["listener"] = listener
    assert relay.reload()["event"] == "reload_ok"
    relay.listeners["three"] = ("127.0.0.1", port)
    for name in ("one", "three"):
        with relay.connect(name) as c:
            c.deliver(BASE)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(relay.address("two"))


def test_a_key_added_by_reload_seals(hopseal, sink, keyring):
    relay = hopseal("outbound", keys=[keyring.key("a.test")])
    b = keyring.key("b.test")
    relay.conf["keys"].append({"domain": b.domain, "selector": b.selector, "file": b.file, "use": "active"})
    assert relay.reload()["event"] == "reload_ok"
    with relay.connect() as c:
        c.deliver(BASE.replace(b"s@a.test", b"s@b.test"), sender="<s@b.test>")
    assert checked(sink.one().content, keyring)[0].d == "b.test"


def test_sigterm_lets_a_transaction_end(hopseal, sink):
    relay = hopseal("inbound")
    with relay.connect() as busy, relay.connect() as idle:
        busy.to_data()
        idle.ehlo()
        relay.signal(signal.SIGTERM)
        idle.want(421, "4.3.2")
        idle.gone()
        busy.message(BASE)
        busy.want(421, "4.3.2")
        busy.gone()
    assert relay.ended() == 0
    assert len(sink.wait(1)) == 1


def test_a_second_sigterm_ends_at_once(hopseal, sink):
    gate = threading.Event()
    sink.script("dot", Hold(gate))
    relay = hopseal("inbound")
    with relay.connect() as c:
        c.to_data()
        c.send(BASE + b".\r\n")
        sink.contents.wait("the content at the next hop", lambda items: items)
        relay.signal(signal.SIGTERM)
        relay.event("draining")
        relay.signal(signal.SIGTERM)
        assert relay.ended() == 0
    gate.set()


def test_sigusr1_opens_the_log_anew(hopseal, room, sink):
    log = os.path.join(room, "hopseal.log")
    relay = hopseal("pass", log={"to": log}, start=False)
    relay.start(ready=False)
    until("the log", lambda: os.path.exists(log) and b"ready" in read(log))
    os.rename(log, log + ".1")
    relay.signal(signal.SIGUSR1)
    until("the log", lambda: os.path.exists(log))
    with relay.connect() as c:
        c.deliver(BASE)
    until("the log", lambda: b'"transaction"' in read(log))
    assert b'"transaction"' not in read(log + ".1")


def read(path):
    with open(path, "rb") as f:
        return f.read()


def test_status_names_every_process(hopseal):
    status = hopseal("inbound", workers=2).status()
    roles = sorted(p["role"] for p in status["processes"])
    assert roles == ["control", "keeper", "resolver", "worker", "worker"]
    assert [(one["name"], one["service"], one["mode"]) for one in status["listeners"]] == [("main", "inbound", "proxy")]


def test_run_dir_and_socket_are_private(hopseal):
    relay = hopseal("pass")
    path = os.path.join(relay.folder, "run", "control.sock")
    assert stat.S_ISSOCK(os.stat(path).st_mode) and not os.stat(path).st_mode & 0o007


# What is refused before anything runs: the exit code, and words that name the cause.

def refused(relay, code, *words):
    relay.write()
    done = run([DAEMON, "-f", "-c", relay.file])
    assert done.returncode == code, done
    text = done.stderr.decode()
    assert all(word in text for word in words), text


def test_port_in_use(hopseal, room):
    relay = hopseal("pass", start=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        relay.conf["listener"]["main"]["address"] = ["127.0.0.1:%d" % port]
        refused(relay, 71, str(port))


def test_lock_held(hopseal, ports):
    first = hopseal("pass")
    second = hopseal("pass", start=False)
    second.conf["run"] = first.conf["run"]
    refused(second, 71, first.conf["run"]["dir"])


def refused_spool(relay, spool):
    """By a line of the log, and by one for the terminal; both name the setting."""
    relay.conf["spool"] = {"dir": spool}
    relay.write()
    done = run([DAEMON, "-f", "-c", relay.file])
    assert done.returncode == 71, done
    event, words = done.stderr.decode().splitlines()
    event = json.loads(event)
    assert (event["event"], event["level"]) == ("spool_locked", "error")
    with open(relay.file, encoding="utf-8") as f:
        line = [n for n, text in enumerate(f, 1) if spool in text][0]
    assert event["text"].startswith('%s:%d: spool.dir = "%s": ' % (relay.file, line, spool)) and words == "hopseal: " + event["text"]


@pytest.mark.slow
def test_one_spool_has_one_daemon(hopseal, sink):
    first, second = hopseal("pass"), hopseal("pass", start=False)
    spool = first.conf["spool"]["dir"]
    refused_spool(second, spool)
    # Whatever is taken away in it, or goes by another name.
    link = os.path.join(second.folder, "link")
    os.symlink(spool, link)
    os.unlink(os.path.join(first.conf["run"]["dir"], "lock"))
    refused_spool(second, link)
    second.conf["run"] = first.conf["run"]
    refused_spool(second, spool)
    with first.connect() as c:
        c.deliver(BASE)


def test_a_spool_is_free_again_after_its_daemon(hopseal):
    first, second = hopseal("pass"), hopseal("pass", start=False)
    second.conf["spool"] = first.conf["spool"]
    first.process.kill()    # its workers end a moment later, and hold it till then
    second.start()
    second.process.kill()
    for relay in (first, second):
        assert relay.ended() == -signal.SIGKILL


@pytest.mark.slow
def test_a_reload_may_change_the_spool(hopseal, sink, room):
    first, second = hopseal("pass"), hopseal("pass")
    old, taken = first.conf["spool"]["dir"], second.conf["spool"]["dir"]
    event = first.reload(spool={"dir": taken})
    assert event["event"] == "reload_refused" and 'spool.dir = "%s"' % taken in event["text"]
    third = hopseal("pass", start=False)
    refused_spool(third, old)       # it is not let go for that
    new = third.conf["spool"]["dir"] = os.path.join(room, "new")
    assert first.reload(spool={"dir": new})["event"] == "reload_ok"
    refused_spool(third, new)
    third.conf["spool"] = {"dir": old}
    until("the end of the old workers", lambda: len(first.status()["generations"]) == 1)
    third.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_no_such_user(hopseal):
    refused(hopseal("pass", user="nobody-of-this-name", start=False), 78, "nobody-of-this-name")


@pytest.mark.parametrize("change, words", [
    ({"limits": {"sessions": 0}}, ["sessions"]), ({"limits": {"message_size": "big"}}, ["message-size"]),
    ({"surprise": 1}, ["surprise"]), ({"listener": {"main": {"service": "inbound", "mode": "queue", "share": "all"}}}, ["share", "queue"]),
    ({"listener": {"main": {"next_hop": "mx"}}}, ["next-hop"]), ({"listener": {"main": {"policy": "nowhere"}}}, ["nowhere"]),
    ({"policy": {"own": {"otherwise": "perhaps"}}}, ["perhaps"]), ({"state": {"url": "redis://127.0.0.1/0"}}, ["url"])])
def test_a_mistake_in_the_configuration(hopseal, change, words):
    relay = hopseal("pass", start=False)
    relay.conf = merge(relay.conf, change)
    relay.write()
    with open(relay.file, encoding="utf-8") as f:
        lines = f.read().split("\n")
    done = run([DAEMON, "-f", "-c", relay.file])
    assert done.returncode == 78, done
    text = done.stderr.decode()
    assert all(word in text for word in words), text
    number = int(text.split(relay.file + ":")[1].split(":")[0])
    assert 1 <= number <= len(lines)


@pytest.mark.parametrize("group", ["spool", "run", "state"])
@pytest.mark.parametrize("name", ["file", "file/below", "missing/below"])
def test_a_folder_that_cannot_be_used(hopseal, room, group, name):
    path = os.path.join(room, name)
    with open(os.path.join(room, "file"), "w", encoding="ascii"):
        pass
    relay = hopseal("pass", start=False, **{group: {"dir": path}})
    relay.write()
    refused(relay, 78, relay.file + ":", group + ".dir", path)
    done = ctl("check", "-c", relay.file)
    assert done.returncode == 78 and ("%s.dir = \"%s\"" % (group, path)).encode() in done.stderr, done


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_a_spool_of_somebody_else(hopseal, room):
    path = os.path.join(room, "roots")
    os.mkdir(path, 0o700)
    relay = hopseal("pass", start=False, spool={"dir": path})
    refused(relay, 78, "spool.dir", path, "by " + USER)


def test_a_missing_spool_is_made(hopseal, sink, room):
    path = os.path.join(room, "fresh")
    os.chmod(room, 0o755)
    relay = hopseal("pass", spool={"dir": path}, limits={"body_memory": 4096})
    with relay.connect() as c:
        c.deliver(BASE + b"x" * 10000 + b"\r\n")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o700 and len(sink.wait(1)) == 1


def test_every_mistake_is_told_at_once(hopseal):
    relay = hopseal("pass", start=False, surprise=1, limits={"sessions": 0})
    refused(relay, 78, "surprise", "sessions")


def test_no_configuration_at_all(room):
    done = run([DAEMON, "-f", "-c", os.path.join(room, "nothing.conf")])
    assert done.returncode in (66, 78) and b"nothing.conf" in done.stderr


def test_a_key_that_anyone_may_read(hopseal, key, room):
    path = os.path.join(room, "open.pem")
    with open(path, "wb") as f:
        f.write(read(key.file))
    os.chmod(path, 0o644)
    relay = hopseal("outbound", keys=[key], start=False)
    relay.conf["keys"][0]["file"] = path
    refused(relay, 78, path)


def test_a_key_that_is_none(hopseal, key, room):
    path = os.path.join(room, "broken.pem")
    with open(path, "wb") as f:
        f.write(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    os.chmod(path, 0o600)
    relay = hopseal("outbound", keys=[key], start=False)
    for file in (path, os.path.join(room, "missing.pem")):
        relay.conf["keys"][0]["file"] = file
        refused(relay, 78, file)


def test_the_background(hopseal, sink, room):
    """Without -f: back once it serves, logs to a file, ends by SIGTERM."""
    log = os.path.join(room, "background.log")
    relay = hopseal("pass", log={"to": log}, start=False)
    relay.background()
    with relay.connect() as c:
        c.deliver(BASE)
    assert relay.status()["pid"] == relay.background_pid
    relay.stop()
    assert b'"shutdown"' in read(log)
