"""What stands in a daemon's spool (proto/spool.md), read without a word of its code."""
import glob
import hashlib
import os
import struct

ALIGN, HEAD = 512, 128
FLAGS = ("body_8bit", "smtputf8", "requiretls", "known_client", "arranged", "report", "dots", "judged", "chain_exploded")
TEXTS = {1: "id", 2: "listener", 4: "mail_from", 6: "ret", 7: "envid", 8: "client", 10: "report_to", 11: "report_why", 13: "authres"}
OCTETS = {14: "body_sha256", 15: "body_sha512", 16: "body_relaxed_sha256"}
CHAIN = ("none", "pass", "temperror", "fail", "permerror")
LEVEL = ("full", "provisional", "no-envelope")
ARC = ("none", "pass", "fail", "permerror", "temperror")


class Rcpt:
    def __init__(self, octets):
        self.group, *lengths = struct.unpack(">IHHH", octets[:10])
        texts, at = [], 10
        for n in lengths:
            texts.append(octets[at:at + n].decode())
            at += n
        assert at == len(octets)
        self.path, self.notify, self.orcpt = texts


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


def messages(relay):
    """All committed, in the order of their names."""
    out = []
    for name in sorted(glob.glob(os.path.join(relay.conf["spool"]["dir"], "mail", "*"))):
        with open(name, "rb") as f:
            octets = f.read()
        magic, version, count, total = struct.unpack(">16sIIQ", octets[:32])
        assert magic.rstrip(b"\0") == b"hopseal spool\r\n" and version == 1 and total == len(octets)
        at = ALIGN
        for _ in range(count):
            out.append(Message(octets[at:]))
            at += out[-1].octets
        assert at == total
    return out


def one(relay):
    got = messages(relay)
    assert len(got) == 1, "one message wanted, got %r" % [m.id for m in got]
    return got[0]
