"""
t/data/attacks.yaml against the daemon: one test a case and run. The catalogue's counts are those of the full run; here loads are
smaller, as attacks_scenes.py says. A case that waits for a part not there yet stands in WAITS and is shown as skipped.
"""
import pytest

import attacks
import attacks_prose as prose
from attacks import Case, Player, Stage
from sink import Sink

CASES = [Case(row) for row in attacks.catalogue()["cases"]]
AREAS = ("smtp", "dkim2")

# Whole areas, and single cases of those that run, by what they wait for.
WAITS_AREA = {"tls": "TLS", "auth": "SPF and DMARC", "dkim": "DKIM", "arc": "ARC", "dns": "scenes of its own", "resource": "scenes of its own",
              "fault": "scenes of its own"}
WAITS = {
    "a milter": ["smtp-milter-accept-does-not-stick"],
    "PROXY headers": ["smtp-proxy-v2-malformed"],
    "a clock the running daemon can be given: t/unit/test_relay.c holds its deadlines": ["smtp-slow-final-answer"],
    "recipes": ["dkim2-recipe-copy-range", "dkim2-recipe-overlap", "dkim2-recipe-history-bomb", "dkim2-recipe-line-bomb", "dkim2-json-depth",
                "dkim2-json-ambiguity", "dkim2-json-collisions", "dkim2-recipe-shapes", "dkim2-recipe-crlf", "dkim2-recipe-own-fields",
                "dkim2-recipe-wrong-undo", "dkim2-base64-bomb", "dkim2-old-flags", "dkim2-own-verify", "dkim2-charset-lines", "dkim2-author-domain"],
    "the replay store": ["dkim2-replay-first-copy", "dkim2-replay-retry"],
    "the queue": ["dkim2-bcc-leak", "dkim2-dsn-target"],
    "reports of failure": ["dkim2-forged-dsn"],
    "rewriting of the envelope": ["dkim2-rewrite-envelope"],
}
WAITING = {id for ids in WAITS.values() for id in ids}
RUNS = [run for case in CASES if case.area in AREAS and case.id not in WAITING for run in prose.runs(case)]
DOMAINS = attacks.META["identities"]["domains"]


@pytest.fixture(scope="module")
def stages(keyring):
    """Daemons by name, each started when first asked for."""
    for domain in DOMAINS:
        for selector in ("e", "r2048"):
            keyring.key(domain, selector)
    made = {}
    key = keyring.key("a.test", "e")
    inbound, outbound = {"service": "inbound"}, {"service": "outbound", "clients": ["127.0.0.0/8"]}
    listeners = {"annotate": inbound, "enforce": dict(inbound, policy="enforce"), "pass": {"service": "pass"}, "pause": dict(inbound, greet_pause=200),
                 "sealing": outbound, "sealing-enforce": dict(outbound, policy="enforce")}

    def get(name):
        if name == "own" or name not in made:
            sink = Sink(extensions=("SIZE 1000",)) if name == "small" else Sink()
            stage = Stage(keyring, listeners, sink=sink, keys=[key])
            if name == "own":
                made.setdefault("owned", []).append(stage)
                return stage
            made[name] = stage
        return made[name]
    yield get
    wrong = []
    for stage in made.pop("owned", []) + list(made.values()):
        try:
            stage.close()
        except AssertionError as e:
            wrong.append(str(e))
    assert not wrong, "\n".join(wrong)


def test_no_case_is_forgotten():
    """Each stands in the table of what it waits for, or runs; nothing stands there that is no case."""
    ids = [case.id for case in CASES]
    assert len(set(ids)) == len(ids)
    ran = {run.case.id for run in RUNS}
    listed = [id for ids in WAITS.values() for id in ids]
    assert len(set(listed)) == len(listed) and set(listed) <= set(ids), "listed twice, or no case"
    by_area = {case.id for case in CASES if case.area in WAITS_AREA}
    assert not ran & (set(listed) | by_area) and ran | set(listed) | by_area == set(ids)


@pytest.mark.parametrize("what", sorted(set(WAITS) | set(WAITS_AREA.values())))
def test_waits_for(what):
    ids = WAITS.get(what, []) + [case.id for case in CASES if WAITS_AREA.get(case.area) == what]
    pytest.skip("waits for %s: %d cases, %s" % (what, len(ids), " ".join(ids)))


@pytest.mark.parametrize("run", RUNS, ids=[run.title for run in RUNS])
def test_case(run, stages):
    stage = stages(run.more.get("stage", "main"))
    Player(run, stage, prose).go()
