"""The library that makes calls fail (t/shim), on a program of a few lines: what a queue test rests on."""
import errno
import os
import signal
import socket
import subprocess
import sys

import pytest

from faults import EVER, Faults
from wait import DEADLINE, until

# Each line of stdin is run, and answered with what it gave.
PROGRAM = r"""
import errno, os, socket, sys, time
for line in sys.stdin:
    try:
        print(repr(eval(line)), flush=True)
    except OSError as e:
        print(errno.errorcode[e.errno], flush=True)
"""


class Program:
    def __init__(self, faults):
        self.process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env=dict(os.environ, **faults.env), start_new_session=True)

    def say(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def hear(self):
        return self.process.stdout.readline().decode().rstrip("\n")

    def __call__(self, line):
        self.say(line)
        return self.hear()

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(DEADLINE)


@pytest.fixture
def spool(room):
    folder = os.path.join(room, "spool")
    for name in ("tmp", "mail", "note", "damaged"):
        os.makedirs(os.path.join(folder, name))
    return folder


@pytest.fixture
def faults(room, spool):
    return Faults(room, spool, record_octets=1 << 20)


@pytest.fixture
def program(faults):
    p = Program(faults)
    assert p("1") == "1"
    yield p
    if p.process.poll() is None:
        p.end()


def put(program, spool, name="one", text=b"hello"):
    """What a store does; each call's outcome."""
    tmp, mail = os.path.join(spool, "tmp", name), os.path.join(spool, "mail")
    fd = program("os.open(%r, os.O_CREAT | os.O_EXCL | os.O_RDWR)" % tmp)
    if not fd.isdigit():
        return [fd]
    done = [fd, program("os.write(%s, %r)" % (fd, text)), program("os.fsync(%s)" % fd)]
    done.append(program("os.rename(%r, %r)" % (tmp, os.path.join(mail, name))))
    folder = program("os.open(%r, os.O_RDONLY | os.O_DIRECTORY)" % mail)
    return done + [program("os.fsync(%s)" % folder), program("os.close(%s)" % folder), program("os.close(%s)" % fd)]


@pytest.mark.parametrize("calls, places, at", [("create", "tmp", 0), ("write", "tmp", 1), ("fsync", "tmp", 2), ("rename", "tmp", 3),
                                               ("fsync", "mail_dir", 4), ("close", "mail_dir", 5), ("close", "mail", 6)])
def test_one_call_fails_once(faults, program, spool, calls, places, at):
    rule = faults.add(calls, places, nth=1, fail=errno.EDQUOT)
    assert put(program, spool)[at] == "EDQUOT"
    assert rule.acted == 1
    assert "EDQUOT" not in put(program, spool, "two")


def test_the_nth_and_for_ever(faults, program, spool):
    rule = faults.add("fsync", "tmp", nth=2, last=EVER, fail=errno.EIO)
    assert [put(program, spool, str(n))[2] for n in range(4)] == ["None", "EIO", "EIO", "EIO"]
    assert (rule.matched, rule.acted) == (4, 3)
    faults.clear()
    assert put(program, spool, "again")[2] == "None"


def test_a_rename_is_known_by_where_it_leads(faults, program, spool):
    aside = faults.add("rename", "tmp", to="damaged")
    rule = faults.add("rename", "tmp", to="mail", nth=1, fail=errno.ENOSPC)
    assert put(program, spool)[3] == "ENOSPC"
    assert (rule.matched, aside.matched) == (1, 0)


def test_a_role_and_octets_that_are_written(faults, program, spool):
    other = faults.add("write", "tmp", role="hopseal:queue", nth=1, fail=errno.EIO)
    none = faults.add("write", "tmp", needle=b"not said", nth=1, fail=errno.EIO)
    rule = faults.add("write", "tmp", needle=b"ell", role="python", nth=1, fail=errno.EIO)
    assert put(program, spool)[1] == "EIO"
    assert (other.matched, none.matched, rule.matched) == (0, 0, 1)


def test_short(faults, program, spool):
    faults.add("write", "tmp", nth=1, short=2)
    assert put(program, spool)[1] == "2"


def test_half_of_a_write_then_killed(faults, program, spool):
    faults.add("write", "tmp", nth=1, half=True, kill=True)
    program.say("os.write(os.open(%r, os.O_CREAT | os.O_RDWR), b'12345678')" % (spool + "/tmp/x"))
    assert program.process.wait(DEADLINE) == -signal.SIGKILL
    with open(spool + "/tmp/x", "rb") as f:
        assert f.read() == b"1234"


def test_killed_when_it_is_done(faults, program, spool):
    faults.add("rename", "tmp", after=True, nth=1, kill=True)
    with open(spool + "/tmp/x", "wb"):
        pass
    program.say("os.rename(%r, %r)" % (spool + "/tmp/x", spool + "/mail/x"))
    assert program.process.wait(DEADLINE) == -signal.SIGKILL
    assert os.listdir(spool + "/mail") == ["x"] and os.listdir(spool + "/tmp") == []


def test_all_are_killed_by_a_child_that_may_not(faults, program, spool):
    """A child of another user, which the kernel lets kill nobody of root's."""
    rule = faults.add("fsync", "tmp", nth=1, doom=True)
    with open(spool + "/tmp/x", "wb"):
        pass
    child = int(program("os.fork() or [os.setresuid(*[65534] * 3) if os.geteuid() == 0 else 0, os.read(os.open('/dev/zero', 0), 1), "
                        "time.sleep(0.2), os.fsync(os.open(%r, os.O_RDONLY))]" % (spool + "/tmp/x")))
    assert program.process.wait(DEADLINE) == -signal.SIGKILL
    until("the end of the child", lambda: not os.path.exists("/proc/%d" % child) or "Z" in open("/proc/%d/stat" % child).read().split(")")[1][:3])
    assert rule.acted == 1


def test_paused(faults, program, spool):
    rule = faults.add("fsync", "tmp", nth=1, pause=True)
    with open(spool + "/tmp/x", "wb"):
        pass
    program.say("os.fsync(os.open(%r, os.O_RDONLY))" % (spool + "/tmp/x"))
    until("it waits", lambda: rule.held == 1)
    rule.release()
    assert program.hear() == "None"


def test_sockets(faults, program):
    """By the port of either end, and by what is said or heard."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        refused = faults.add("connect", "peer", port=port, nth=1, fail=errno.ECONNREFUSED)
        said = faults.add("send", "peer", port=port, needle=b"DATA\r\n", nth=1, after=True)
        heard = faults.add("recv", "peer", port=port, needle=b"250 taken", after=True)
        line = "socket.create_connection(('127.0.0.1', %d))" % port
        assert program(line) == "ECONNREFUSED"
        program("globals().update(s=%s)" % line)
        sock, _ = server.accept()
        assert program("s.sendall(b'DATA\\r\\n')") == "None"
        assert (refused.matched, said.matched) == (2, 1)
        sock.sendall(b"250 taken as 1\r\n")
        assert program("s.recv(100)") == repr(b"250 taken as 1\r\n")
        assert heard.matched == 1
        faults.add("recv", "peer", port=port, nth=1, fail=0)
        assert program("s.recv(100)") == "b''"
        sock.close()


def test_the_clock(faults, program):
    before = float(program("time.time()"))
    faults.clock(-86400 * 365)
    assert float(program("time.time()")) < before - 86400 * 364


def test_a_full_disk(faults, program, spool):
    assert int(program("os.statvfs(os.open(%r, 0)).f_bavail" % spool)) > 0
    faults.add("statfs", "spool", nth=1, last=EVER, short=0)
    assert program("os.statvfs(os.open(%r, 0)).f_bavail" % spool) == "0"


def test_the_record(faults, program, spool):
    faults.record()
    put(program, spool)
    program("os.unlink(%r)" % (spool + "/mail/one"))
    lines = faults.recorded()
    assert [line.call for line in lines] == ["create", "write", "fsync", "rename", "fsync", "unlink"]
    create, write, sync, rename, folder, unlink = lines
    assert write.data == b"hello" and write.offset == 0
    assert create.inode == write.inode == sync.inode
    assert (rename.path, rename.to) == (faults.spool + "/tmp/one", faults.spool + "/mail/one")
    assert folder.path == faults.spool + "/mail" and unlink.path == faults.spool + "/mail/one"
