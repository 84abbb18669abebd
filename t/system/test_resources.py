"""Large messages, full disks, slow peers: bounded, and never a wrong octet."""
import ctypes
import os
import socket
import subprocess
import threading

import pytest

from mail import BASE, added, name_of
from seal import checked, seal
from sink import Hold

BIG = BASE + b"".join(b"%06d some text that makes up a line of a large message\r\n" % n for n in range(100000))    # 5.6 MB


def tmpfs_or_skip(folder, octets):
    """A small file system of its own, for root in a mount namespace that allows it."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%d,mode=777" % octets, "tmpfs", folder], stderr=subprocess.PIPE)
    if done.returncode:
        pytest.skip("no right to mount a small file system: %s" % done.stderr.decode().strip())


@pytest.fixture
def small_disk(room):
    folder = os.path.join(room, "disk")
    os.mkdir(folder)
    tmpfs_or_skip(folder, 1 << 20)
    yield folder
    # Lazily: the daemon that still holds it is stopped after this.
    ctypes.CDLL(None).umount2(folder.encode(), 2)


@pytest.mark.parametrize("service", ["pass", "inbound", "outbound"])
def test_a_body_above_the_threshold_passes_octet_for_octet(hopseal, sink, keyring, service):
    key = keyring.key("a.test")
    message = seal(BIG, key) if service == "inbound" else BIG
    relay = hopseal(service, keys=[key] if service == "outbound" else (), limits={"body_memory": 4096})
    with relay.connect() as c:
        c.deliver(message)
    content = sink.one().content
    top = [name_of(f) for f in added(message, content)]
    if service == "pass":
        assert top == []
    if service == "inbound":
        assert b"dkim2=pass" in content[:1000]
    if service == "outbound":
        checked(content, keyring)
    assert os.listdir(os.path.join(relay.folder, "spool")) in ([], ["lock"]), "the file has no name"


@pytest.mark.parametrize("over", [-2, 0, 2])
def test_around_the_threshold(hopseal, sink, over):
    message = BASE + b"x" * (4096 + over - len(BASE) - 2) + b"\r\n"
    with hopseal("inbound", limits={"body_memory": 4096}).connect() as c:
        c.deliver(message)
    added(message, sink.one().content)


def test_a_full_disk_is_a_452(hopseal, sink, small_disk):
    relay = hopseal("inbound", spool={"dir": small_disk}, limits={"body_memory": 4096})
    with relay.connect() as c:
        c.deliver(BIG, code=452, enhanced="4.3.1")
        c.deliver(BASE)
    relay.event("spool_full")
    assert len(sink.wait(1)) == 1
    relay.stop()


def test_a_slow_next_hop_slows_the_client_and_costs_no_memory(hopseal, sink):
    """A body on its way out waits in its file, not in buffers."""
    gate = threading.Event()
    sink.script("content", Hold(gate, b""))
    relay = hopseal("pass", limits={"body_memory": 65536})
    with relay.connect() as c:
        c.to_data()
        c.send(BIG + b".\r\n")
        sink.commands.wait("DATA at the next hop", lambda items: [line for _, line in items if line == "DATA"])
        (worker,) = relay.pids("worker")
        with open("/proc/%d/status" % worker, encoding="ascii") as f:
            rss = [int(line.split()[1]) for line in f if line.startswith("RssAnon:")][0]
        gate.set()
        c.want(250)
    assert sink.one().content == BIG
    if "asan" not in os.environ.get("HOPSEAL_BUILD", ""):
        assert rss < 8192, "%d KiB" % rss


def test_a_client_that_reads_nothing_is_not_fed(hopseal, sink):
    """Replies that nobody takes, or too many commands: the daemon stops reading or ends the session."""
    relay = hopseal("pass")
    with relay.connect() as c:
        c.sock.settimeout(2)
        sent = 0
        try:
            while sent < 64 << 20:
                sent += c.sock.send(b"HELP\r\n" * 10000)
        except (socket.timeout, ConnectionError):
            pass
        assert sent < 64 << 20


def test_sessions_at_once_do_not_mix(hopseal, sink, keyring):
    """Fifty clients, each with its own message, octet for octet."""
    relay = hopseal("inbound", limits={"body_memory": 4096}, workers=2)
    wrong = []

    def one(n):
        try:
            with relay.connect() as c:
                for k in range(4):
                    c.deliver(BASE.replace(b"hello", b"%d of %d " % (k, n) * 300), "<s%d@a.test>" % n, ("<r%d@c.test>" % k,))
        except (AssertionError, OSError, EOFError) as e:
            wrong.append(e)
    threads = [threading.Thread(target=one, args=(n,)) for n in range(50)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong, wrong[:3]
    seen = set()
    for tx in sink.wait(200):
        n, k = int(tx.sender[2:-8]), int(tx.recipients[0][2:-8])
        assert tx.content.endswith(BASE.replace(b"hello", b"%d of %d " % (k, n) * 300))
        seen.add((n, k))
    assert len(seen) == 200


def test_memory_of_all_messages_is_bounded(hopseal, sink):
    """What does not fit is put off with 452, and a small message still passes."""
    gate = threading.Event()
    sink.always("dot", Hold(gate))
    relay = hopseal("pass", limits={"memory": 16 << 20, "body_memory": 8 << 20})
    clients = [relay.connect() for _ in range(4)]
    for c in clients:
        c.to_data()
        c.send(BIG + b".\r\n")
    gate.set()
    codes = sorted(c.reply().code for c in clients)
    assert set(codes) <= {250, 452} and 250 in codes, codes
    for c in clients:
        c.close()
    with relay.connect() as c:
        c.deliver(BASE)

