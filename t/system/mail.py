"""What a message is, for tests: octets with CRLF, and a look at its fields."""
import base64
import re

NOW = 1790812800    # 2026-10-01 00:00:00 UTC, the Date below

BASE = (b"From: s@a.test\r\nTo: r1@c.test\r\nSubject: t\r\nDate: Thu, 01 Oct 2026 00:00:00 +0000\r\n"
        b"Message-ID: <1@a.test>\r\n\r\nhello\r\n")


def head_of(message):
    """The header block without its empty line."""
    if message.startswith(b"\r\n"):
        return b""
    end = message.find(b"\r\n\r\n")
    return message[:end + 2] if end >= 0 else message + b"\r\n"


def body_of(message):
    return message[len(head_of(message)) + 2:]


def fields(message):
    """Every field in order, whole, its CRLF with it."""
    return re.findall(rb"[^\r\n][^\r]*\r\n(?:[ \t][^\r]*\r\n)*", head_of(message))


def name_of(field):
    return field.split(b":")[0].strip().lower().decode("latin-1")


def unfolded(field):
    """The value on one line."""
    return re.sub(rb"\r\n[ \t]*", b" ", field.split(b":", 1)[1]).strip().decode("latin-1")


def values(message, name):
    return [unfolded(field) for field in fields(message) if name_of(field) == name.lower()]


def value(message, name):
    got = values(message, name)
    assert len(got) == 1, "one %s wanted, got %r" % (name, got)
    return got[0]


def added(before, after):
    """The fields that a hop put on top; everything below must be what it was, octet for octet."""
    assert after.endswith(before), "the message below the added fields changed:\n%r\nwanted at the end of\n%r" % (before, after)
    top = after[:len(after) - len(before)]
    return fields(top + b"\r\n") if top else []


def tag(value, name):
    """A tag of a tag list, white space removed."""
    for part in value.split(";"):
        if part.split("=")[0].strip().lower() == name:
            return re.sub(r"\s", "", part.split("=", 1)[1])
    return None


BLOB = re.compile(rb"[A-Za-z0-9+/]{8,}={0,2}")


def layers(octets):
    """The octets, and whatever in them is base64, wherever it may begin, and what in that is base64."""
    todo = [octets]
    for _ in range(3):
        inner = []
        for one in todo:
            yield one
            for blob in BLOB.findall(re.sub(rb"\r\n[ \t]+", b"", one)):
                for cut in range(4):
                    part = blob[cut:].rstrip(b"=")
                    part = part[:-1] if len(part) % 4 == 1 else part
                    inner.append(base64.b64decode(part + b"=" * (-len(part) % 4)))
        todo = inner
