"""The control socket, what answers on it, and what the supervisor does about processes that die or hang."""
import json
import os
import re
import signal
import socket

import pytest

from mail import BASE
from relay import CTL, DAEMON, ROOT, ctl, run
from seal import seal
from wait import DEADLINE, until


class Control:
    def __init__(self, relay):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE)
        self.sock.connect(os.path.join(relay.folder, "run", "control.sock"))
        self.lines = self.sock.makefile("rb")

    def send(self, octets):
        self.sock.sendall(octets)

    def answer(self):
        return json.loads(self.lines.readline())

    def ask(self, request):
        self.send(request + b"\n")
        return self.answer()


def schema(name):
    with open(os.path.join(ROOT, "proto", name), encoding="utf-8") as f:
        return json.load(f)


def counted():
    """Names of count.def."""
    with open(os.path.join(ROOT, "src", "out", "count.def"), encoding="utf-8") as f:
        return set(re.findall(r'^COUNT\(\w+, "(\w+)"', f.read(), re.M))


def test_status_keeps_its_schema(hopseal):
    import jsonschema
    relay = hopseal("inbound", workers=2)
    status = relay.status()
    jsonschema.Draft202012Validator(schema("status.schema.json")).validate(status)
    assert status["pid"] == relay.process.pid and status["generation"] == 1
    assert set(status["counters"]) == counted()


def test_status_for_people(hopseal):
    relay = hopseal("inbound")
    done = ctl("status", "--control", os.path.join(relay.folder, "run", "control.sock"))
    assert done.returncode == 0 and done.stderr == b""
    text = done.stdout.decode()
    assert "process %d, up " % relay.process.pid in text
    assert re.search(r"^listener main 127\.0\.0\.1:\d+ inbound proxy$", text, re.M)
    assert re.search(r"^process \d+ worker 0 generation 1, up \d+ s, 0 sessions$", text, re.M)
    assert re.search(r"^process \d+ keeper 0 generation 1, up \d+ s$", text, re.M)
    assert re.search(r"^generation 1 serving, up \d+ s, 0 sessions$", text, re.M)
    assert "sessions 0\n" in text


def test_status_tells_of_drains_deaths_and_reloads(hopseal):
    import jsonschema
    relay = hopseal("inbound")
    assert "reload" not in relay.status()
    with relay.connect() as old:
        old.ehlo()
        assert relay.reload()["event"] == "reload_ok"
        with relay.connect() as new:
            new.ehlo()
            status = relay.status()
            assert [(g["number"], g["state"], g["sessions"]) for g in status["generations"]] == [(2, "serving", 1), (1, "draining", 1)]
            assert status["reload"]["ok"] is True
    # Its second death is not mended at once.
    for n in (1, 2):
        until("a resolver", lambda: relay.pids("resolver"))
        os.kill(relay.pids("resolver")[0], signal.SIGKILL)
        relay.event("resolver_died", n)
    status = relay.status()
    waiting = [(p["role"], p["deaths"]) for p in status["waiting"]]
    back = [(p["role"], p["deaths"]) for p in status["processes"] if p["role"] == "resolver" and p["generation"] == 2]
    assert waiting + back == [("resolver", 2)], status
    assert relay.reload(limits={"sessions": 0})["event"] == "reload_refused"
    status = Control(relay).ask(b"status")
    assert status["reload"]["ok"] is False and "limits.sessions = 0" in status["reload"]["error"]
    jsonschema.Draft202012Validator(schema("status.schema.json")).validate(status)
    text = ctl("status", "--control", os.path.join(relay.folder, "run", "control.sock")).stdout.decode()
    assert re.search(r"^reload refused \d+ s ago: .*limits.sessions", text, re.M)


def test_status_counts_questions_and_signatures(hopseal, sink, keyring):
    key = keyring.key("a.test")
    relay = hopseal("outbound", keys=[key])
    with relay.connect() as c:
        c.deliver(BASE)
        c.deliver(seal(BASE, key))
        c.deliver(seal(BASE, key))
    counters = relay.status()["counters"]
    assert (counters["signatures"], counters["signatures_failed"]) == (1, 0)
    assert (counters["dns_questions"], counters["dns_failed"]) == (1, 0)


def test_top_counts_by_the_second(hopseal, sink):
    relay = hopseal("inbound", workers=2)
    with relay.connect() as c:
        c.deliver(BASE)
        done = ctl("top", "-c", relay.file, "--interval", "1", "--count", "2")
        assert done.returncode == 0 and done.stderr == b""
        first, second, rest = done.stdout.decode().split("\n\n")
        assert rest == "" and ": 1 sessions open, 0 in TLS; " in first
        assert re.search(r"^generation 1 serving, 1 sessions; workers (0 1|1 0)$", first, re.M)
        assert "  transactions 1  accepted 1  " in first and "  transactions 1 (0.0/s)  accepted 1 (0.0/s)  " in second
    for line in ctl("top", "-c", relay.file, "--count", "1", "--json").stdout.splitlines():
        assert json.loads(line)["generation"] == 1
    for wrong in (("--interval", "0"), ("--count", "x"), ("more",)):
        assert ctl("top", "-c", relay.file, *wrong).returncode == 64


def test_status_needs_no_right_to_read_keys(hopseal, keyring, room):
    """Who may talk to the daemon sees it, whatever became of the file meanwhile."""
    relay = hopseal("outbound", keys=[keyring.key("a.test")])
    relay.conf["keys"][0]["file"] = os.path.join(room, "gone.pem")
    relay.conf["limits"] = {"sessions": 0}
    relay.write()
    assert relay.status()["generation"] == 1
    with open(relay.file, "a", encoding="utf-8") as f:
        f.write("}\n")
    done = ctl("status", "-c", relay.file)
    assert done.returncode == 78 and b"--control" in done.stderr


def test_status_longer_than_one_message(hopseal):
    relay = hopseal("pass", workers=40)
    status = relay.status()
    assert len([p for p in status["processes"] if p["role"] == "worker"]) == 40
    assert len(json.dumps(status)) > 2048


def test_requests_follow_each_other(hopseal):
    c = Control(hopseal("pass"))
    assert c.ask(b"status")["generation"] == 1
    assert c.ask(b"nonsense")["ok"] is False
    c.send(b"sta")
    c.send(b"tus\r\n")
    assert c.answer()["generation"] == 1
    assert c.ask(b"x" * 300)["ok"] is False


def test_who_says_nothing_keeps_nobody_out(hopseal):
    relay = hopseal("pass")
    silent = [Control(relay) for _ in range(40)]
    assert Control(relay).ask(b"status")["generation"] == 1
    for c in silent[:30]:
        c.sock.close()
    assert Control(relay).ask(b"status")["generation"] == 1


def test_reload_by_the_tool(hopseal):
    relay = hopseal("pass")
    done = ctl("reload", "-c", relay.file)
    assert done.returncode == 0 and done.stdout == done.stderr == b"", done
    assert relay.status()["generation"] == 2
    socket_path = os.path.join(relay.folder, "run", "control.sock")
    relay.conf["surprise"] = 1
    relay.write()
    done = ctl("reload", "--control", socket_path)
    assert done.returncode == 78 and b"surprise" in done.stderr, done
    done = ctl("reload", "--control", socket_path, "--json")
    assert json.loads(done.stdout)["ok"] is False
    relay.event("reload_refused")
    assert Control(relay).ask(b"status")["generation"] == 2


def test_reloads_that_come_together_are_joined(hopseal):
    relay = hopseal("pass")
    waiting = [Control(relay) for _ in range(10)]
    for c in waiting:
        c.send(b"reload\n")
    assert [c.answer() for c in waiting] == [{"ok": True}] * 10
    assert relay.status()["generation"] <= 4


def test_run_dir_does_not_move(hopseal):
    relay = hopseal("pass")
    event = relay.reload(run={"dir": os.path.join(relay.folder, "elsewhere")})
    assert event["event"] == "reload_refused" and "run.dir" in event["text"]


def test_an_address_that_is_taken_refuses_the_reload(hopseal):
    relay = hopseal("pass")
    before = relay.conf["listener"]["main"]["address"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        relay.conf["listener"]["main"]["address"] = before + [address]
        event = relay.reload()
        assert event["event"] == "reload_refused" and address in event["text"]
    assert relay.reload()["event"] == "reload_ok"


@pytest.mark.parametrize("role", ["worker", "keeper", "resolver", "control"])
def test_what_dies_is_started_again(hopseal, role):
    relay = hopseal("pass")
    (before,) = relay.pids(role)
    os.kill(before, signal.SIGKILL)
    event = relay.event(role + "_died", pid=before)
    assert (event["level"], event["signal"]) == ("error", signal.SIGKILL)
    until("the next " + role, lambda: relay.status() and [p for p in relay.pids(role) if p != before])


def test_signals_to_children_are_the_supervisors_business(hopseal):
    relay = hopseal("pass")
    pids = [pid for role in ("worker", "keeper", "resolver", "control") for pid in relay.pids(role)]
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1):
        for pid in pids:
            os.kill(pid, number)
    assert sorted(p["pid"] for p in relay.status()["processes"]) == sorted(pids)


@pytest.mark.parametrize("args", [["-f"], []])
def test_why_a_process_could_not_start_reaches_the_terminal(hopseal, args, room):
    anchor = os.path.join(room, "anchor")
    with open(anchor, "w", encoding="ascii") as f:
        f.write("no anchor at all\n")
    os.chmod(room, 0o755)
    relay = hopseal("pass", start=False)
    relay.conf["dns"] = {"resolver": "127.0.0.1:53", "trust_anchor": anchor}
    relay.write()
    done = run([DAEMON, "-c", relay.file] + args)
    assert done.returncode == 78 and done.stdout == b"", done
    assert "hopseal: the resolver could not start: libunbound, trust anchor %s" % anchor in done.stderr.decode()


def gone(pid):
    """No such process, or one that only waits to be collected."""
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_nobody_outlives_the_supervisor(hopseal):
    relay = hopseal("pass", workers=2)
    pids = [p["pid"] for p in relay.status()["processes"]]
    relay.process.kill()
    assert relay.ended() == -signal.SIGKILL
    until("the end of the children", lambda: all(gone(pid) for pid in pids))
    # What the kernel held for it is free again; what it left in run.dir is no obstacle.
    relay.log.items.clear()
    relay.code = None
    relay.start()
    assert relay.status()["generation"] == 1


def test_a_worker_holds_its_own_descriptors_only(hopseal):
    relay = hopseal("pass", workers=2)
    listening = socket.create_connection(relay.address())
    listening.close()

    def sockets(pid):
        links = [os.readlink("/proc/%d/fd/%s" % (pid, fd)) for fd in os.listdir("/proc/%d/fd" % pid)]
        return {link for link in links if link.startswith("socket:")}
    one, two = (sockets(pid) for pid in relay.pids("worker"))
    (keeper,), (resolver,), (control,) = (relay.pids(role) for role in ("keeper", "resolver", "control"))
    assert len(one & two) == 1, "the listening socket is what workers share"
    assert not one & two & (sockets(keeper) | sockets(resolver) | sockets(control))
    assert not sockets(keeper) & sockets(resolver)


def test_events_are_those_of_the_contract():
    """Every event of proto/log.schema.json stands in the sources and in a manual; system tests hold what is logged against it."""
    (_, listed) = schema("log.schema.json")["properties"]["event"]["anyOf"]
    texts = {"src": "", "man": ""}
    for folder in texts:
        for at, _, files in os.walk(os.path.join(ROOT, folder)):
            for name in files:
                with open(os.path.join(at, name), encoding="utf-8") as f:
                    texts[folder] += f.read()
    made = {role + "_died" for role in ("worker", "keeper", "resolver", "queue", "control")}
    assert [e for e in listed["enum"] if '"%s"' % e not in texts["src"] and e not in made] == []
    written = set(re.findall(r"\b[a-z][a-z0-9_]+\b", "\n".join(line for line in texts["man"].splitlines() if "Li " in line or ".It " in line)))
    assert [e for e in listed["enum"] if e not in written and not (e.endswith("_over") and e[:-5] in written)] == []


def test_names_of_log_fields_are_those_of_the_schema():
    """Every key that the sources log stands in proto/log.schema.json."""
    known = set(schema("log.schema.json")["properties"])
    used, events = {}, {}
    for folder, _, names in os.walk(os.path.join(ROOT, "src")):
        for name in names:
            if not name.endswith(".c") or os.path.basename(folder) == "out":
                continue
            with open(os.path.join(folder, name), encoding="utf-8") as f:
                text = f.read()
            for key in re.findall(r'\blog_(?:text|str|u64|i64)\(&?\w+,\s*"([^"]*)"', text):
                used.setdefault(key, name)
            for event in re.findall(r'\blog_(?:begin|note)\([^",]*,\s*"([^"]*)"', text):
                events.setdefault(event, name)
    assert len(used) > 20 and len(events) > 5
    assert {key: where for key, where in used.items() if key not in known} == {}
    assert {key: where for key, where in used.items() if key in ("time", "level", "process", "event", "cut")} == {}
    assert [event for event in events if not re.fullmatch(r"[a-z][a-z0-9_]*", event)] == []


def test_the_manual_names_the_supervisors_events():
    with open(os.path.join(ROOT, "man", "hopseal.8"), encoding="utf-8") as f:
        manual = f.read()
    events = set()
    for name in ("supervisor.c", "reload.c", "generation.c"):
        with open(os.path.join(ROOT, "src", "daemon", name), encoding="utf-8") as f:
            events |= set(re.findall(r'log_(?:begin|note)\([^",]*,\s*"([^"]*)"', f.read()))
    assert len(events) > 5
    assert [event for event in sorted(events) if not re.search(r"\b%s\b" % event, manual)] == []


def test_the_manual_names_every_verb_and_option():
    with open(os.path.join(ROOT, "man", "hopsealctl.8"), encoding="utf-8") as f:
        manual = f.read()
    listed = re.findall(rb"^  (\S+) ", ctl("--help").stdout, re.M)
    assert len(listed) >= 7 and os.path.exists(CTL)
    for verb in listed:
        verb = verb.decode()
        assert re.search(r"^\.It Cm %s\b" % verb, manual, re.M), verb
        for option in re.findall(r"--([a-z0-9-]+)", ctl(verb, "--help").stdout.decode()):
            assert re.search(r"Fl Fl %s\b" % option, manual), (verb, option)
