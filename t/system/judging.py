"""Other verifiers, skipped out loud where they are not installed; and ours, as hopsealctl says it."""
import json
import os
import sys

import pytest

from relay import ROOT, ctl

sys.path.insert(0, os.path.join(ROOT, "t"))

from differential import differences, dkim1, judges, messages, senders, suites, zones  # noqa: E402, F401

HERE = {"dkimpy": judges.dkimpy, "opendkim": judges.opendkim, "mail_dkim": judges.mail_dkim, "dkimpy_arc": judges.dkimpy_arc,
        "mail_dkim_arc": judges.mail_dkim_arc, "pyspf": judges.pyspf}


def judge(name, *args):
    """What another verifier says of the cases, or a skipped test."""
    try:
        return HERE[name](*args)
    except judges.Absent as e:
        pytest.skip("%s is not installed" % e)


def suite(function, *args):
    """The cases of a suite, or a skipped test."""
    try:
        return list(function(*args))
    except suites.Missing as e:
        pytest.skip(str(e))


def ours_dkim(cases, zone, now):
    return judges.hopseal(ctl)(cases, zone, now)


def ours_arc(cases, zone, now):
    return judges.hopseal(ctl, only="arc")(cases, zone, now)


def verify(only, case, zone_file, *more):
    """One mechanism of `hopsealctl verify --json`; None where it takes the path or the message for none."""
    done = ctl("verify", "--only", only, "--json", "--now", "none" if getattr(case, "now", None) is None else str(case.now),
               "--dns", zone_file, *more, "-", input=getattr(case, "message", b"From: a@b.example\r\n\r\nx\r\n"))
    if done.returncode == 64 and b"a path like" in done.stderr or done.returncode == 65 and b"a message was expected" in done.stderr:
        return None
    assert done.returncode in (0, 1, 65, 75), (case.name, done)
    return json.loads(done.stdout)[only]
