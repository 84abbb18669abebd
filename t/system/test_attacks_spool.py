"""
t/data/attacks.yaml in mode spool: the areas smtp, tls and fault, and the cases that name the mode. attacks_spool.py says what of it is played
and how, test_attacks.py which cases other files play.
"""
import pytest

import attacks_prose as prose
import attacks_scenes
import attacks_spool
from test_attacks import CASES, SCENES, SPOOL_RUNS, SPOOL_SCENES, stages  # noqa: F401


@pytest.mark.parametrize("run", [pytest.param(run, id=run.title) for run in SPOOL_RUNS])
def test_case(run, stages):  # noqa: F811
    attacks_spool.SpoolPlayer(run, stages(run.more["stage"]), prose).go()


@pytest.mark.slow
@pytest.mark.parametrize("id", sorted(SPOOL_SCENES))
def test_scene(id, stages):  # noqa: F811
    (case,) = [case for case in CASES if case.id == id]
    SCENES[id](attacks_scenes.Scene(case, stages, spool=True))
