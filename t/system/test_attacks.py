"""
t/data/attacks.yaml against the daemon: one test a case and run. The catalogue's counts are those of the full run; here loads are
smaller, as attacks_scenes.py says. A case that waits for a part not there yet stands in WAITS and is shown as skipped.
"""
import os
import re

import pytest

import attacks
import attacks_faults
import attacks_kill
import attacks_prose as prose
import attacks_recipes
import attacks_scenes
import attacks_spool
import attacks_tls
from attacks import Case, Player, Stage
from certs import HOST, served
from crash import FAST
from mail import NOW
from relay import ROOT, merge
from sink import Sink

SCENES = dict(attacks_scenes.SCENES, **attacks_tls.SCENES, **attacks_kill.SCENES, **attacks_faults.SCENES)
CASES = [Case(row) for row in attacks.catalogue()["cases"]]
# Those that wait, by what they wait for, and those that a test of another file plays.
CLOCK = "a clock the running daemon can be given; t/unit/test_relay.c holds the deadlines on a moved one"
WAITS = {
    "a milter": ["smtp-milter-accept-does-not-stick", "fault-milter-crash", "fault-milter-timeout", "fault-milter-malformed", "fault-milter-injection",
                 "fault-milter-after-sign"],
    "the replay store": ["dkim2-replay-first-copy", "dkim2-replay-retry", "fault-store-down", "fault-store-malformed", "fault-store-failover", "fault-lmdb"],
    "reports of failure": ["dkim2-forged-dsn"],
    "rewriting of the envelope": ["dkim2-rewrite-envelope"],
    "a stage that routes by MX; t/unit/test_mx.c, test_hosts.c and t/system/test_queue.py hold its rules": ["dns-next-hop-answers"],
    "DANE": ["dns-tlsa-short"],
    CLOCK: ["res-slow-sink"],
    "a network that drops and a cgroup": ["fault-partition", "res-memory-cap"],
}
ELSEWHERE = {
    "dns-timeout": "test_dns.py::test_a_silent_resolver_is_a_451_within_the_budget_and_recovers",
    "dns-keytrap": "test_dns.py::test_a_zone_that_costs_much",
    "dns-bogus": "test_dns.py::test_a_forged_record_is_a_temperror",
    "dkim2-own-verify": "test_own_verify.py::test_own_and_second_verifier_accept_what_is_signed_and_recipes_lead_back "
                        "test_others_accept_what_is_signed",
    "dns-resolver-dies": "test_processes.py::test_resolver_killed_costs_neither_an_answer_nor_a_session",
    "res-idle-5000": "test_soak.py::test_sessions_in_mid_transaction",
    # On a clock that the test moves.
    "smtp-slow-final-answer": "../unit/test_relay.c::ours_before_the_dot_is_cut an_answer_after_nine_minutes_is_in_time "
                              "a_final_answer_too_late_may_be_a_duplicate",
}
WAITING = {id for ids in WAITS.values() for id in ids}
# Mode spool: of the areas smtp, tls and fault, and those that name it. What it has of these is played by other files, or is no other than in
# mode sync; the rest is in attacks_spool.py.
SPOOL_ELSEWHERE = {
    "fault-kill-spool": "test_queue_kill.py::test_killed_at",
    "fault-kill-random": "test_queue_kill.py::test_killed_at_random",
    "fault-power-loss": "test_queue_kill.py::test_the_power_goes",
    "fault-fsync-error": "test_queue_kill.py::test_a_sync_fails_once test_a_sync_fails_for_ever",
    "fault-disk-full": "test_queue_kill.py::test_disk_full_at_each_call test_disk_full_for_a_while test_less_than_the_reserve_is_left",
    "fault-spool-corrupt": "test_queue_kill.py::test_corrupt_at_start",
    "fault-spool-two-owners": "test_queue_kill.py::test_two_owners",
    "fault-split-crash": "test_queue_kill.py::test_killed_at test_killed_between_copies",
    "fault-dsn-crash": "test_queue_kill.py::test_killed_at",
    "fault-backlog-start": "test_queue_kill.py::test_a_backlog_at_start",
}
SPOOL = attacks_spool.cases(CASES)
SPOOL_RUNS = [run for case in SPOOL if case.id not in WAITING for run in attacks_spool.runs(case)]
SPOOL_SCENES = {"fault-key-loss", "fault-worker-crash", "fault-reload-under-load", "fault-graceful-stop", "fault-short-io", "fault-clock-jump"}
SYNC = [case for case in CASES if case.mode != "spool"]
RUNS = [run for case in SYNC if case.id not in WAITING and case.id not in SCENES and case.id not in ELSEWHERE
        for run in prose.runs(case)]
DOMAINS = attacks.META["identities"]["domains"]


@pytest.fixture(scope="module")
def stages(keyring, authority, cert):
    """Daemons by name, each started when first asked for."""
    os.environ.pop("MALLOC_PERTURB_", None)     # it touches what nobody uses, and memory is measured
    for domain in DOMAINS:
        for selector in ("e", "r2048"):
            keyring.key(domain, selector)
    for selector in ("r512", "r768", "e3"):
        keyring.key("a.test", selector)
    for domain in attacks_recipes.FIFTY:
        keyring.key(domain, "e")
    made, owned = {}, []
    key = keyring.key("a.test", "e")
    inbound, outbound = {"service": "inbound"}, {"service": "outbound", "clients": ["127.0.0.0/8"]}
    listeners = {"annotate": inbound, "enforce": dict(inbound, policy="built-in"), "pass": {"service": "pass"}, "pause": dict(inbound, greet_pause=200),
                 "fronted": dict(inbound, proxy_from=["127.0.0.0/8"]),
                 "explain": dict(inbound, policy="explain"), "arc-sealing": dict(inbound, arc_seal="a.test"),
                 "sealing": outbound, "sealing-enforce": dict(outbound, policy="enforce")}

    tls = {"mode": "may", "certificate": cert.file, "key": cert.key}
    secure = {name: dict(more, tls=tls, next_hop_tls={"mode": "require"}) for name, more in listeners.items()}
    for name, of in (("implicit", "annotate"), ("pause-implicit", "pause"), ("fronted-implicit", "fronted")):
        secure[name] = dict(secure[of], tls=dict(tls, mode="implicit"))
    secure["certified"] = dict(secure["implicit"], tls=dict(tls, mode="implicit", client_certificate="require"))
    # Whose resolver is the test's own.
    asking = {"dns": 25000, "dns-out": 10000, "slow": 2500}
    either = {name: dict(more, tls=tls) for name, more in listeners.items()}
    sets = {"tls": secure, "dns": either, "dns-out": either, "small-tls": secure, "own-tls": secure,
            "verify-tls": {"annotate": dict(inbound, next_hop_tls={"mode": "verify", "ca": authority.root, "name": HOST})},
            "may-tls": {"annotate": dict(inbound, next_hop_tls={"mode": "may"})}}

    def get(name, next_hop=None, own_key=False, settings=None, files=None, resolver=0, faults=False, clock=NOW):
        if name not in made:
            of = "-".join(word for word in name.split("-") if word != "spool")
            mine = {n: dict(l, next_hop=next_hop) if next_hop else l for n, l in sets.get(of, listeners).items()}
            if of != name:
                mine, settings = attacks_spool.listeners(mine), merge(FAST, settings or {})
            if name in asking:
                resolver, settings = asking[name], {"dns": {"cache": 0}}
            small = "SIZE 6000" if of != name else "SIZE 1000"      # of a spool: room for a report
            sink = Sink(**dict({"extensions": (small,)} if "small" in name else {}, tls=served(cert) if of in sets else None))
            stage = Stage(keyring, mine, settings, sink, keys=[key], own_key=own_key, files=files, authority=authority,
                          resolver=resolver, faults=faults, clock=clock)
            if name.startswith("own"):
                owned.append(stage)
                return stage
            made[name] = stage
        return made[name]
    yield get
    wrong = []
    for stage in owned + list(made.values()):
        try:
            stage.close()
        except AssertionError as e:
            wrong.append(str(e))
    assert not wrong, "\n".join(wrong)


def stands(where):
    file, names = where.split("::")
    with open(os.path.join(os.path.dirname(__file__), file), encoding="utf-8") as f:
        text = f.read()
    for name in names.split():
        assert ("def %s(" if file.endswith(".py") else "ROW(%s)") % name in text, where


def test_no_case_is_forgotten():
    """Each runs, is played elsewhere, or stands in the table of what it waits for; nothing else stands there. In either mode."""
    ids = [case.id for case in CASES]
    assert len(set(ids)) == len(ids)
    waits = [set(row) for row in WAITS.values()]
    places = [{run.case.id for run in RUNS}, set(SCENES), set(ELSEWHERE)] + waits
    assert sorted(id for place in places for id in place) == sorted(case.id for case in SYNC)
    ids = {case.id for case in SPOOL}
    places = [{run.case.id for run in SPOOL_RUNS}, SPOOL_SCENES, set(SPOOL_ELSEWHERE), attacks_spool.SESSION, WAITING & ids]
    assert sorted(id for place in places for id in place) == sorted(ids)
    assert ids | {case.id for case in SYNC} == {case.id for case in CASES}
    for where in list(ELSEWHERE.values()) + list(SPOOL_ELSEWHERE.values()):
        stands(where)


def test_events_named_by_the_catalogue():
    """Those of every case that is played stand in the sources under their names."""
    text = ""
    for folder, _, files in os.walk(os.path.join(ROOT, "src")):
        for file in files:
            with open(os.path.join(folder, file), encoding="utf-8") as f:
                text += f.read()
    played = set(SCENES) | set(ELSEWHERE) | {run.case.id for run in RUNS + SPOOL_RUNS} | set(SPOOL_ELSEWHERE)
    with open(os.path.join(ROOT, "src", "base", "fault.def"), encoding="utf-8") as f:
        faults = {"smtp_" + name.lower() for name in re.findall(r"^FAULT\((\w+)", f.read(), re.M)}
    missing = {name for case in CASES if case.id in played for name in case.expect.get("log") or [] if '"%s"' % name not in text}
    missing -= faults | {role + "_died" for role in ("worker", "keeper", "resolver", "control")}
    assert not missing, sorted(missing)


@pytest.mark.parametrize("what", sorted(WAITS))
def test_waits_for(what):
    pytest.skip("waits for %s: %d cases, %s" % (what, len(WAITS[what]), " ".join(WAITS[what])))


@pytest.mark.parametrize("run", [pytest.param(run, id=run.title, marks=[pytest.mark.slow] if run.more.get("slow") else []) for run in RUNS])
def test_case(run, stages):
    stage = stages(run.more.get("stage", "main"))
    Player(run, stage, prose).go()


@pytest.mark.slow
@pytest.mark.parametrize("id", sorted(SCENES))
def test_scene(id, stages):
    (case,) = [case for case in CASES if case.id == id]
    SCENES[id](attacks_scenes.Scene(case, stages))
