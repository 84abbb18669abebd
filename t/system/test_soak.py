"""Many sessions at once, in small: t/soak/memory does it with thousands."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "soak"))

from crowd import Crowd, configure, resident_kib  # noqa: E402
from wait import until  # noqa: E402

COUNT, BODY = 400, 10240
SANITIZED = "asan" in os.environ.get("HOPSEAL_BUILD", "")


@pytest.fixture
def crowded(cert, room, monkeypatch):
    """crowded(body, tls) is a daemon, its next hop and its clients, none of them begun."""
    made = []
    monkeypatch.delenv("MALLOC_PERTURB_", raising=False)    # it touches what nobody uses

    def make(body, tls):
        sink = Crowd("sink", body)
        made.append(sink)
        listener_tls = tls and {"mode": "implicit" if tls == "implicit" else "may", "certificate": cert.file, "key": cert.key}
        relay = configure(room, int(sink.line("port")[0]), COUNT, listener_tls, workers=1, log={"to": "stderr"})
        made.append(relay)
        relay.start()
        clients = Crowd("clients", relay.address()[1], COUNT, tls or "clear", body)
        made.append(clients)
        return relay, sink, clients
    yield make
    for one in reversed(made):
        if isinstance(one, Crowd):
            one.process.kill()
            one.end()
        else:
            one.stop()


@pytest.mark.slow
@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_sessions_in_mid_transaction(crowded, tls):
    """All are inside TLS with nearly all of their message sent; what each needs is bounded, and every message comes as it was sent."""
    relay, sink, clients = crowded(BODY, tls)
    before = resident_kib(relay.process.pid)
    clients.line("phase")
    idle = resident_kib(relay.process.pid)
    clients.go_on()
    clients.line("phase")
    held = resident_kib(relay.process.pid)
    clients.go_on()
    clients.line("phase")
    clients.go_on()
    assert clients.numbers("accepted") == {"accepted": COUNT, "failed": 0}
    clients.end()
    until("the end of sessions", lambda: relay.status()["counters"]["sessions_open"] == 0)
    sink.finish()
    assert sink.numbers("whole") == {"whole": COUNT, "double": 0, "wrong": 0}
    if not SANITIZED:
        assert (idle - before) / COUNT < 28, "%.1f KiB an idle session" % ((idle - before) / COUNT)
        assert (held - before) / COUNT < 48, "%.1f KiB a session" % ((held - before) / COUNT)
        until("memory to be given back", lambda: resident_kib(relay.process.pid) - before < (held - before) / 2)


@pytest.mark.slow
def test_idle_sessions(crowded):
    relay, sink, clients = crowded(0, None)
    before = resident_kib(relay.process.pid)
    clients.line("phase")
    idle = resident_kib(relay.process.pid)
    clients.finish()
    assert clients.numbers("accepted")["failed"] == 0
    if not SANITIZED:
        assert (idle - before) / COUNT < 4, "%.1f KiB an idle session" % ((idle - before) / COUNT)
