"""The demonstration, once as a transcript and once as it is typed."""
import os
import re
import subprocess
import sys

import pytest

from mail import BASE, values
from relay import BUILD, ROOT
from seal import checked
from wait import DEADLINE

REFUSE = [{"name": "broken chain", "when": ["dkim2 = fail"], "then": "refuse 550 5.7.1 {dkim2.reason}"}]


def test_sealed_checked_and_not_replayed(hopseal, sink, keyring):
    keys = [keyring.key("a.test"), keyring.key("a.test", "r")]
    inbound = hopseal("inbound", policy=REFUSE)
    outbound = hopseal("outbound", keys=keys, hostname="out.a.test", listener={"next_hop": "127.0.0.1:%d" % inbound.address()[1]})
    with outbound.connect() as c:
        c.deliver(BASE)
    delivered = sink.one()
    assert checked(delivered.content, keyring)[0].rt == ["<r1@c.test>"]
    assert values(delivered.content, "Authentication-Results") == ["mx.c.test; dkim2=pass (i=1 a.test pass) header.d=a.test"]
    with inbound.connect() as c:
        c.deliver(delivered.content, recipients=("<other@c.test>",), code=550, enhanced="5.7.1",
                  text="DKIM2-Signature i=1 RCPT TO <other@c.test> did not match")
        c.deliver(delivered.content)
    assert len(sink.wait(2)) == 2


def quickstart(*args):
    return subprocess.run([sys.executable, os.path.join(ROOT, "contrib", "quickstart.py")] + list(args), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=2 * DEADLINE, universal_newlines=True, env=dict(os.environ, HOPSEAL_BUILD=BUILD))


def clean(text):
    folder = re.search(r"logs: (/\S*hopseal-quickstart\.\w+)", text).group(1)
    subprocess.run(["rm", "-r", folder], check=True)


@pytest.mark.slow
def test_the_demonstration_as_typed():
    done = quickstart()
    assert done.returncode == 0, done.stdout
    assert "dkim2=pass" in done.stdout
    assert "550 5.7.1" in done.stdout and "DKIM2-Signature i=1 RCPT TO <mallory@receiver.example> did not match" in done.stdout
    delivered = re.search(r"The delivered message: (\S+)", done.stdout).group(1)
    with open(delivered, "rb") as f:
        assert b"DKIM2-Signature: i=1;" in f.read()
    with open(re.search(r"the same as a page: (\S+)", done.stdout).group(1), encoding="utf-8") as f:
        assert "Hop 1: sender.example" in f.read()
    clean(done.stdout)


@pytest.mark.slow
def test_the_demonstration_kept():
    done = quickstart("--keep")
    assert done.returncode == 0, done.stdout
    pids = [int(pid) for pid in re.search(r"stop:  kill ([\d ]+)", done.stdout).group(1).split()]
    assert len(pids) == 3 and all(os.path.exists("/proc/%d" % pid) for pid in pids)
    for pid in pids:
        os.kill(pid, 15)
    clean(done.stdout)
