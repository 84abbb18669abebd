"""What DKIM2 hashes and signs, from the draft's words alone: a message as fields and body, and its canonical forms.

Knows nothing of src/: it is the second opinion.
"""
import hashlib
import re

HASHES = {"sha256": hashlib.sha256, "sha512": hashlib.sha512}
UNSIGNED = set(b"""received return-path delivered-to dl-expansion-history original-recipient sio-label-history x400-trace
    apparently-to x400-received dkim-signature arc-authentication-results arc-message-signature arc-seal authentication-results
    message-instance dkim2-signature""".split())
UNSIGNED_TO_07 = {b"auto-submitted", b"vbr-info"}


def name_of(field):
    return field.split(b":", 1)[0].rstrip(b" \t").lower()


def is_unsigned(name, level):
    """Is a field of this name, in lower case, left out of the header hash? (section 3)"""
    return name in UNSIGNED or name.startswith((b"received-", b"x-")) or (level <= 7 and name in UNSIGNED_TO_07)


def unfold(octets):
    return re.sub(rb"\r\n(?=[ \t])", b"", octets)


def value_of(field):
    """A field's value as the header hash sees it (section 4)."""
    raw = field.split(b":", 1)[1]
    assert raw.endswith(b"\r\n")
    return re.sub(rb"[ \t]+", b" ", unfold(raw[:-2])).strip(b" ")


def values(fields, name):
    """Canonical values of the fields of one name, the lowest first."""
    return [value_of(f) for f in reversed(fields) if name_of(f) == name]


def header_input(fields, level):
    rows = {}
    for field in reversed(fields):
        rows.setdefault(name_of(field), []).append(value_of(field))
    return b"".join(name + b":" + value + b"\r\n" for name in sorted(rows) if not is_unsigned(name, level) for value in rows[name])


def body_input(body):
    while body.endswith(b"\r\n\r\n"):
        body = body[:-2]
    if body in (b"", b"\r\n"):
        return b"\r\n"
    return body if body.endswith(b"\r\n") else body + b"\r\n"


def body_lines(body):
    """Without their CRLF; the last may have had none."""
    lines = body.split(b"\r\n")
    if lines[-1] == b"":
        lines.pop()
    return lines


def kept_lines(body):
    """Those that every transport keeps: without the empty ones at the end (6.3)."""
    lines = body_lines(body)
    while lines and not lines[-1]:
        lines.pop()
    return lines


def squeezed(field):
    """One of the two DKIM2 fields as it is signed (section 5.2)."""
    name, value = unfold(field[:-2]).split(b":", 1)
    return re.sub(rb"[ \t]", b"", name).lower() + b":" + re.sub(rb"[ \t]", b"", value) + b"\r\n"


def whole(fields, body, blank=True):
    """The message. Without a body the empty line may be missing too."""
    return b"".join(fields) + (b"\r\n" if blank or body else b"") + body
