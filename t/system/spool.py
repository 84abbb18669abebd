"""A reader of the spool directory (proto/spool.md), so that a test can say what is in it without asking the daemon."""
import hashlib
import os
import re
import struct

ALIGN, HEAD, NAME = 512, 128, re.compile(r"[0-9a-f]{24}")
FILE_MAGIC, HEAD_MAGIC = b"hopseal spool\r\n\0", b"hs-msg\r\n"
FOLDERS = ("tmp", "mail", "note", "damaged")
WAITING, HELD, DELIVERED, FAILED, REMOVED, DONE = ".hdfrx"
ITEM_ID, ITEM_LISTENER, ITEM_ARRIVED, ITEM_MAIL_FROM, ITEM_FLAGS, ITEM_REPORT_TO, ITEM_RCPT = 1, 2, 3, 4, 5, 10, 17
FLAG_REPORT = 32


class Damaged(Exception):
    pass


class Rcpt:
    def __init__(self, path, group, mark):
        self.path, self.group, self.mark = path, group, mark

    def __repr__(self):
        return "%s %d %s" % (self.path, self.group, self.mark)


class Message:
    """One message of a file: what its envelope says, the marks, the content."""

    def __init__(self, file, at, envelope, marks, content):
        self.file, self.at, self.content, self.mark = file, at, content, marks[0]
        self.rcpts, self.id, self.mail_from, self.listener, self.report_to, self.report = [], None, None, None, None, False
        rest = envelope
        while rest:
            what, n = struct.unpack_from(">BI", rest)
            value, rest = rest[5:5 + n], rest[5 + n:]
            if len(value) != n:
                raise Damaged("an item of the envelope is cut")
            if what == ITEM_ID:
                self.id = value.decode()
            elif what == ITEM_LISTENER:
                self.listener = value.decode()
            elif what == ITEM_MAIL_FROM:
                self.mail_from = value.decode()
            elif what == ITEM_FLAGS:
                self.report = bool(struct.unpack(">Q", value)[0] & FLAG_REPORT)
            elif what == ITEM_REPORT_TO:
                self.report_to = value.decode()
            elif what == ITEM_RCPT:
                group, path, _, _ = struct.unpack_from(">IHHH", value)
                self.rcpts.append(Rcpt(value[10:10 + path].decode(), group, marks[1 + len(self.rcpts)]))
        if len(marks) != 1 + len(self.rcpts):
            raise Damaged("%d marks for %d recipients" % (len(marks), len(self.rcpts)))

    def waiting(self):
        """Those nobody has answered for yet."""
        return [r.path for r in self.rcpts if r.mark == WAITING] if self.mark != DONE else []

    def __repr__(self):
        return "<%s %s %s %s %r>" % (self.file[:8], self.id, self.mail_from, self.mark, self.rcpts)


def parse(name, octets):
    """The messages of a file."""
    if len(octets) < ALIGN or octets[:16] != FILE_MAGIC:
        raise Damaged("%s does not begin as a file of the spool" % name)
    count, size = struct.unpack_from(">IQ", octets, 20)
    if size != len(octets):
        raise Damaged("%s has %d octets, not %d" % (name, len(octets), size))
    at, out = ALIGN, []
    for _ in range(count):
        head = octets[at:at + HEAD]
        if head[:8] != HEAD_MAGIC:
            raise Damaged("%s: no message at %d" % (name, at))
        envelope, marks, _, content = struct.unpack_from(">IIIQ", head, 12)
        marks_at = at + HEAD + envelope
        content_at = marks_at + marks
        text = octets[content_at:content_at + content]
        if hashlib.sha256(text).digest() != head[32:64]:
            raise Damaged("%s: the content of the message at %d is not what its checksum says" % (name, at))
        out.append(Message(name, at, octets[at + HEAD:marks_at], octets[marks_at:content_at].decode("latin-1"), text))
        at = (content_at + content + ALIGN - 1) // ALIGN * ALIGN
    if at != len(octets):
        raise Damaged("%s: %d octets of messages in %d" % (name, at, len(octets)))
    return out


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
                out += parse(name, self.read("mail", name))
            except FileNotFoundError:
                pass
        return out

    def waiting(self):
        """(message, path) of each recipient that nobody has answered for."""
        return [(m, path) for m in self.messages() for path in m.waiting()]

    def left(self):
        """Every file there is, as folder/name."""
        return [folder + "/" + name for folder in FOLDERS for name in self.names(folder)]
