"""
The test's side of t/shim: rules for calls that fail, kill or wait in a daemon it is preloaded into, how often they matched, and the
record of what was done to the spool. The layout is t/shim/faults.h.

    faults = Faults(folder, spool)
    relay.start(more_env=faults.env)
    rule = faults.add("fsync", "mail_dir", nth=1, fail=errno.EIO)       the first fsync of mail/ fails
    rule = faults.add("write", "tmp", nth=2, half=True, doom=True)      half of the second write, then all processes are killed
    rule = faults.add("send", "local", port=2525, needle=b"250 2", after=True, role="hopseal:worker")     counts only
    rule.matched
"""
import mmap
import os
import struct
import time

from relay import BUILD
from wait import until

LIBRARY = os.path.join(BUILD, "t", "shim", "libfaults.so")
MAGIC, RULES, PORTS, NEEDLE = 0x68734661, 32, 8, 32
CALLS = {name: 1 << n for n, name in enumerate(
    ("create", "open", "write", "pwrite", "fsync", "fdatasync", "rename", "link", "unlink", "fallocate", "truncate", "close", "connect", "send",
     "recv", "read", "epoll", "statfs", "mkdir", "mmap", "malloc"))}
PLACES = {name: 1 << n for n, name in enumerate(
    ("spool", "tmp_dir", "tmp", "mail_dir", "mail", "note_dir", "note", "damaged_dir", "damaged", "below", "elsewhere", "peer", "local", "unix"))}
FILES = "spool tmp_dir tmp mail_dir mail note_dir note damaged_dir damaged below"     # all that is of the spool
COUNT, FAIL, SHORT, KILL, DOOM, PAUSE = range(6)
HALF = EVER = 0xffffffff
BUT = 0x80000000         # and how many octets are left out at the end

# struct faults_page up to its rules, struct faults_rule, struct faults_line
PAGE = struct.Struct("=6I q 256s 3Q 2I %dH" % PORTS)
RULE = struct.Struct("=3I 2H 16s %ds 10I" % NEEDLE)
LINE = struct.Struct("=2I 2Q 4I")
CALLS_AT, CLOCK_AT = 12, 24
ROOM_AT, USED_AT, LOST_AT, PORTS_AT = 288, 296, 316, 320
FIELDS = {name: 64 + 4 * n for n, name in enumerate(("first", "last", "after", "action", "error", "octets", "matched", "acted", "gate", "held"))}
RECORD_AT = 4096 * 2


def bits(table, names):
    return sum(table[name] for name in set(names.split()))


class Rule:
    def __init__(self, page, at):
        self.page, self.at = page, at
        self.made_s = time.monotonic()      # it did not act before

    def get(self, name):
        return struct.unpack_from("=I", self.page, self.at + FIELDS[name])[0]

    def put(self, name, value):
        struct.pack_into("=I", self.page, self.at + FIELDS[name], value)

    @property
    def matched(self):
        return self.get("matched")

    @property
    def acted(self):
        return self.get("acted")

    @property
    def held(self):
        return self.get("held")

    def wait(self, acted=1):
        until("a call that a rule is about", lambda: self.acted >= acted)

    def release(self):
        """Whoever waits at it goes on, and nobody waits there any more."""
        self.put("first", 0)
        self.put("gate", 1)


class Faults:
    def __init__(self, folder, spool, record_octets=0, name="faults"):
        self.file = os.path.join(folder, name)
        octets = RECORD_AT + record_octets
        with open(self.file, "wb") as f:
            f.truncate(octets)
        os.chmod(self.file, 0o666)
        with open(self.file, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), octets)
        self.spool = os.path.realpath(spool)
        PAGE.pack_into(self.page, 0, MAGIC, RECORD_AT_RULES + RULES * RULE.size, RULE.size, 0, 0, 0, 0, self.spool.encode(), 0, 0, RECORD_AT, 0, 0,
                       *[0] * PORTS)
        self.record_octets = record_octets
        self.env = {"LD_PRELOAD": LIBRARY, "HOPSEAL_FAULTS": self.file}

    def word(self, at, value):
        struct.pack_into("=I", self.page, at, value)

    def revive(self):
        """To be called before the daemon is started again after it was doomed."""
        self.word(20, 0)

    def clear(self):
        """No rule is left."""
        self.word(CALLS_AT, 0)
        for n in range(RULES):
            at = RECORD_AT_RULES + n * RULE.size
            Rule(self.page, at).put("gate", 1)
            self.page[at:at + 4] = bytes(4)

    def add(self, calls, places, to="", nth=0, last=None, port=0, needle=b"", role="", after=False, fail=None, short=None, half=False, octets=0,
            kill=False, doom=False, pause=False):
        """nth: acts on that match; last: on all up to that one, EVER for ever; half, octets (or BUT | n): of a write, done before it acts."""
        action, error = COUNT, 0
        if fail is not None:
            action, error = FAIL, fail
        elif short is not None:
            action, octets = SHORT, short
        elif kill or doom or pause:
            action = KILL if kill else DOOM if doom else PAUSE
        for n in range(RULES):
            at = RECORD_AT_RULES + n * RULE.size
            if self.page[at:at + 4] == bytes(4):
                break
        else:
            raise AssertionError("no room for another rule")
        mask = bits(CALLS, calls)
        RULE.pack_into(self.page, at, 0, bits(PLACES, places), bits(PLACES, to), port, len(needle), role.encode(), needle,
                       nth, (nth if last is None else last), int(after), action, error, HALF if half else octets, 0, 0, 0, 0)
        struct.pack_into("=I", self.page, at, mask)
        self.word(CALLS_AT, struct.unpack_from("=I", self.page, CALLS_AT)[0] | mask)
        return Rule(self.page, at)

    def clock(self, seconds):
        """The daemon's wall clock is so much before (or behind) the machine's."""
        struct.pack_into("=q", self.page, CLOCK_AT, seconds)

    # -- the record

    def record(self, *ports):
        """From now on, with what is said by these ports of the daemon, and to these of others."""
        struct.pack_into("=%dH" % PORTS, self.page, PORTS_AT, *(list(ports) + [0] * (PORTS - len(ports))))
        struct.pack_into("=Q", self.page, ROOM_AT, self.record_octets)

    def record_stop(self):
        struct.pack_into("=Q", self.page, ROOM_AT, 0)

    def recorded(self):
        """The lines by now, in order."""
        (used,) = struct.unpack_from("=Q", self.page, USED_AT)
        assert struct.unpack_from("=I", self.page, LOST_AT)[0] == 0, "the record is full"
        at, end, lines = RECORD_AT, RECORD_AT + used, []
        while at < end:
            octets, call, inode, offset, path, to, data, pid = LINE.unpack_from(self.page, at)
            text = self.page[at + LINE.size:at + LINE.size + path + to + data]
            lines.append(Line(CALL_NAMES[call], inode, offset, text[:path].decode(), text[path:path + to].decode(), text[path + to:], pid))
            at += octets
        return lines


class Line:
    """One thing done: `call` on `path`; offset: of a write, or the new length of a truncation; inode: of a descriptor's file."""

    def __init__(self, call, inode, offset, path, to, data, pid):
        self.call, self.inode, self.offset, self.path, self.to, self.data, self.pid = call, inode, offset, path, to, data, pid

    def __repr__(self):
        data = " %d at %d" % (len(self.data), self.offset) if self.data else ""
        return "<%s %s%s%s>" % (self.call, self.path, " -> " + self.to if self.to else "", data)


CALL_NAMES = {bit: name for name, bit in CALLS.items()}
RECORD_AT_RULES = PAGE.size
assert RECORD_AT_RULES == 336 and RULE.size == 104 and LINE.size == 40
