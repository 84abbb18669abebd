"""What stands in a spool (proto/spool.md), read without a word of the daemon's code."""
import hashlib
import os
import re
import struct

ALIGN, HEAD, NAME = 512, 128, re.compile(r"[0-9a-f]{24}")
FOLDERS = ("tmp", "mail", "note", "damaged")
WAITING, HELD, DELIVERED, FAILED, REMOVED, DONE = ".hdfrx"
FLAGS = ("body_8bit", "smtputf8", "requiretls", "known_client", "arranged", "report", "dots", "judged", "chain_exploded")
TEXTS = {1: "id", 2: "listener", 4: "mail_from", 6: "ret", 7: "envid", 8: "client", 10: "report_to", 11: "report_why", 13: "authres"}
OCTETS = {14: "body_sha256", 15: "body_sha512", 16: "body_relaxed_sha256"}
CHAIN = ("none", "pass", "temperror", "fail", "permerror")
LEVEL = ("full", "provisional", "no-envelope")
ARC = ("none", "pass", "fail", "permerror", "temperror")


class Damaged(Exception):
    pass


class Rcpt:
    mark = WAITING

    def __init__(self, octets):
        self.group, *lengths = struct.unpack(">IHHH", octets[:10])
        texts, at = [], 10
        for n in lengths:
            texts.append(octets[at:at + n].decode())
            at += n
        assert at == len(octets)
        self.path, self.notify, self.orcpt = texts

    def __repr__(self):
        return "%s %d %s" % (self.path, self.group, self.mark)


class Message:
    """Envelope, marks and content of one message; what is not said is empty."""

    def __init__(self, octets):
        magic, version, envelope, marks, header, content, self.sha256 = struct.unpack(">8sIIIIQ32s", octets[:64])
        assert magic == b"hs-msg\r\n" and version == 1
        at = HEAD + envelope
        for name in list(TEXTS.values()):
            setattr(self, name, "")
        for name in OCTETS.values():
            setattr(self, name, b"")
        self.rcpts, self.found = [], None
        self.take(octets[HEAD:at])
        self.marks = octets[at:at + marks].decode()
        self.content = octets[at + marks:at + marks + content]
        self.header = self.content[:header]
        self.octets = (at + marks + content + ALIGN - 1) // ALIGN * ALIGN
        assert hashlib.sha256(self.content).digest() == self.sha256
        assert len(self.marks) == 1 + len(self.rcpts)
        for rcpt, rcpt.mark in zip(self.rcpts, self.marks[1:]):
            pass

    def take(self, octets):
        at = 0
        while at < len(octets):
            what, n = struct.unpack(">BI", octets[at:at + 5])
            value = octets[at + 5:at + 5 + n]
            at += 5 + n
            if what in TEXTS:
                setattr(self, TEXTS[what], value.decode())
            elif what in OCTETS:
                setattr(self, OCTETS[what], value)
            elif what == 3:
                self.arrived_s = struct.unpack(">Q", value)[0]
            elif what == 5:
                bits = struct.unpack(">Q", value)[0]
                for k, name in enumerate(FLAGS):
                    setattr(self, name, bool(bits & 1 << k))
            elif what == 9:
                self.wanted = struct.unpack(">Q", value)[0]
            elif what == 12:
                state, newest, level, arc, hops, instances, sets = struct.unpack(">4B3I", value)
                self.found = {"state": CHAIN[state], "newest": CHAIN[newest], "level": LEVEL[level], "hops": hops, "instances": instances,
                              "arc": ARC[arc], "sets": sets}
            elif what == 17:
                self.rcpts.append(Rcpt(value))
            else:
                assert what >= 128, what
        assert at == len(octets)

    @property
    def copies(self):
        """Who shares a copy with whom: paths by group."""
        out = {}
        for rcpt in self.rcpts:
            out.setdefault(rcpt.group, []).append(rcpt.path)
        return out

    def waiting(self):
        """Those nobody has answered for yet."""
        return [rcpt.path for rcpt in self.rcpts if rcpt.mark == WAITING] if self.marks[0] != DONE else []

    def __repr__(self):
        return "<%s %s %s %r>" % (self.id, self.mail_from, self.marks[0], self.rcpts)


def parse(octets):
    """The messages of a file."""
    try:
        magic, version, count, total = struct.unpack(">16sIIQ", octets[:32])
        assert magic.rstrip(b"\0") == b"hopseal spool\r\n" and version == 1 and total == len(octets)
        at, out = ALIGN, []
        for _ in range(count):
            out.append(Message(octets[at:]))
            at += out[-1].octets
        assert at == total
        return out
    except (AssertionError, struct.error, ValueError, IndexError) as e:
        raise Damaged(repr(e)) from e


class Spool:
    def __init__(self, folder):
        self.folder = folder

    def names(self, folder):
        try:
            return sorted(os.listdir(os.path.join(self.folder, folder)))
        except FileNotFoundError:
            return []

    def read(self, folder, name):
        with open(os.path.join(self.folder, folder, name), "rb") as f:
            return f.read()

    def messages(self):
        """All committed; the daemon may be at work meanwhile."""
        out = []
        for name in self.names("mail"):
            assert NAME.fullmatch(name), "no name of a file of messages: " + name
            try:
                out += parse(self.read("mail", name))
            except FileNotFoundError:
                pass
        return out

    def waiting(self):
        """(message, path) of each recipient that nobody has answered for."""
        return [(m, path) for m in self.messages() for path in m.waiting()]

    def left(self):
        """Every file there is, as folder/name."""
        return [folder + "/" + name for folder in FOLDERS for name in self.names(folder)]


def messages(relay):
    """All that a daemon has committed, in the order of the files' names."""
    return Spool(relay.conf["spool"]["dir"]).messages()


def one(relay):
    got = messages(relay)
    assert len(got) == 1, "one message wanted, got %r" % got
    return got[0]
