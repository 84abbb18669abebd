"""Fixtures: a daemon, a next hop, keys. Every folder is the test's own, every port the kernel's."""
import contextlib
import os
import shutil
import stat
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from certs import Authority  # noqa: E402
from keys import Keyring, write_answers  # noqa: E402
from mail import NOW  # noqa: E402
from relay import DAEMON, USER, Ports, Relay, merge  # noqa: E402
from sink import Sink  # noqa: E402

VECTORS = os.environ.get("HOPSEAL_VECTORS")
QUICK = bool(os.environ.get("HOPSEAL_QUICK"))


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes over a second; t/run --quick leaves it out")


def pytest_collection_modifyitems(config, items):
    if QUICK:
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


def pytest_sessionfinish(session, exitstatus):
    # A file of nothing but slow tests is no failure of --quick.
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and QUICK:
        session.exitstatus = 0


@pytest.fixture(scope="session", autouse=True)
def built():
    assert os.path.exists(DAEMON), "%s is not there: build first" % DAEMON


def make_folder():
    """Readable by the user that the daemon becomes, unlike pytest's own."""
    folder = tempfile.mkdtemp(prefix="hopseal-test.")
    os.chmod(folder, 0o755)
    return folder


@pytest.fixture(scope="session")
def keyring():
    folder = make_folder()
    yield Keyring(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def authority():
    folder = make_folder()
    yield Authority(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def cert(authority):
    return authority.server()


@pytest.fixture
def room(request):
    """The test's folder."""
    folder = make_folder()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def ports():
    p = Ports()
    yield p
    p.close()


@pytest.fixture
def sinks():
    """sinks(...) is another next hop."""
    made = []

    def make(**options):
        made.append(Sink(**options))
        return made[-1]
    yield make
    for s in made:
        s.close()


@pytest.fixture
def sink(sinks):
    return sinks()


@contextlib.contextmanager
def daemons(room, ports, sink, keyring):
    """What the fixture hopseal gives, for as long as it is wanted."""
    made = []

    def make(service="pass", listener=None, listeners=None, policy=None, otherwise="accept", keys=(), answers=None, clock=NOW,
             start=True, **settings):
        folder = os.path.join(room, "daemon%d" % len(made))
        os.mkdir(folder)
        for name in ("san", "state", "spool"):
            os.mkdir(os.path.join(folder, name))
            os.chmod(os.path.join(folder, name), stat.S_ISVTX | 0o777 if name == "san" else 0o700)
            if os.geteuid() == 0 and name != "san":
                shutil.chown(os.path.join(folder, name), USER)
        addresses, conf_listeners = {}, {}
        for name, own in (listeners or {"main": dict({"service": service}, **(listener or {}))}).items():
            port = ports.take()
            addresses[name] = ("127.0.0.1", port)
            base = {"address": ["127.0.0.1:%d" % port], "next_hop": sink.address, "policy": "own"}
            # One mechanism unless a test asks for more; None has the default of the program.
            if own.get("service", service) == "outbound":
                base.update(mode="proxy", clients=["127.0.0.0/8"], dkim=False)
            if own.get("service", service) == "inbound":
                base.update(verify=["dkim2"])
            conf_listeners[name] = {k: v for k, v in merge(base, own).items() if v is not None}
        conf = {
            "hostname": "mx.c.test",
            "workers": 1,
            "user": USER,
            "dns": {"answers": write_answers(os.path.join(folder, "dns.json"), keyring.answers() if answers is None else answers)},
            "state": {"dir": os.path.join(folder, "state")},
            "spool": {"dir": os.path.join(folder, "spool")},
            "run": {"dir": os.path.join(folder, "run")},
            "log": {"format": "json", "to": "stderr"},
            "listener": conf_listeners,
            "policy": {"own": dict({"rules": policy} if policy else {}, otherwise=otherwise)},
        }
        if clock is not None:
            conf["dkim2"] = {"clock": str(clock)}
        if keys:
            conf["keys"] = [{"domain": k.domain, "selector": k.selector, "file": k.file, "use": "active"} for k in keys]
        relay = Relay(folder, merge(conf, settings), addresses)
        made.append(relay)
        return relay.start() if start else relay
    yield make
    wrong = []
    for relay in reversed(made):
        try:
            relay.stop()
        except AssertionError as e:
            wrong.append(str(e))
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def hopseal(room, ports, sink, keyring):
    """
    hopseal(service, ...) is a running daemon in front of `sink`.
        listener=    more settings of its listener; None: that of the program. Without any, inbound verifies dkim2 alone
                     and outbound signs no DKIM
        listeners=   name -> settings, for several
        policy=      rules of the listener's policy; otherwise= its end
        keys=        keys it signs with
        answers=     what the DNS says; by default every key made so far
        clock=       Unix time for all checks; None: the machine's
        start=False  written, not started
    Anything else is a setting of its own: limits={"message_size": 1000}.
    """
    with daemons(room, ports, sink, keyring) as make:
        yield make
