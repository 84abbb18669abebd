"""DKIM signatures and ARC sets (RFC 6376, 8463, 8617), right and wrong ones: each tag is what a test says, word for word."""
import base64
import functools
import hashlib
import re

from cryptography.hazmat.primitives import serialization

from judging import dkim1
from mail import NOW, body_of, fields, name_of, tag, unfolded
from seal import openssl

NAMES = "from:to:subject:date:message-id"


def octets(text):
    return text.encode("latin-1")


@functools.lru_cache(maxsize=4)
def body_form(body, how):
    return dkim1.body_form(body, how)


def body_hash(message, how, most=None):
    return base64.b64encode(hashlib.sha256(memoryview(body_form(body_of(message), how))[:most]).digest()).decode()


def hole(field):
    """Where the value of b= stands."""
    hit = re.search(rb"[;:]\s*b=([^;]*?)\s*(?:;|$)", field)
    return hit.span(1)


def digest(message, field, above=(), how="relaxed"):
    """What b= of the field signs, in a message that does not hold it. above: whole fields that go before, of an ARC seal, and how."""
    at, end = hole(field)
    own = field[:at] + field[end:]
    if name_of(field) == "arc-seal":
        rows = list(above)
    else:
        names = octets(tag(unfolded(field), "h") or "").split(b":")
        rows, how = dkim1.pick(fields(message), names), (tag(unfolded(field), "c") or "simple").split("/")[0]
    rows.append(own)
    return hashlib.sha256(b"".join(dkim1.header_form(row, how) for row in rows)[:-2]).digest()


@functools.lru_cache(maxsize=None)
def private(path):
    with open(path, "rb") as f:
        return serialization.load_pem_private_key(f.read(), None)


def signature(key, hashed):
    """Of a digest. A key may have a way of its own."""
    if hasattr(key, "sign"):
        return key.sign(hashed)
    if key.kind == "ed25519":
        return private(key.file).sign(hashed)
    done = openssl(key, hashed, "-sign", "-pkeyopt", "digest:sha256")
    assert done.returncode == 0, done.stderr
    return done.stdout


def filled(message, field, key, above=(), how="relaxed"):
    """The field with a signature in its b=."""
    at, end = hole(field)
    value = base64.b64encode(signature(key, digest(message, field, above, how)))
    return field[:at] + b"\r\n ".join(value[k:k + 70] for k in range(0, len(value), 70)) + field[end:]


def written(name, tags):
    return ("%s: %s;\r\n b=\r\n" % (name, "; ".join("%s=%s" % one for one in tags.items()))).encode("latin-1")


def sign(message, key, **tags):
    """The message with a DKIM signature on top; a tag given is put in word for word."""
    all_tags = {"v": "1", "a": key.kind + "-sha256", "c": "relaxed/relaxed", "d": key.domain, "s": key.selector, "t": str(NOW), "h": NAMES, "bh": ""}
    all_tags.update({name: str(value) for name, value in tags.items()})
    l = all_tags.get("l", "")
    header_how, _, body_how = all_tags["c"].partition("/")
    all_tags["bh"] = tags.get("bh") or body_hash(message, body_how or "simple", int(l) if l.isdigit() and len(l) < 19 else None)
    return filled(message, written("DKIM-Signature", all_tags), key) + message


def arc_fields(message, n):
    """Whole sets 1..n, as far as they are there, in the order in which a seal covers them."""
    rows = {}
    for field in fields(message):
        if name_of(field).startswith("arc-"):
            rows[int(tag(unfolded(field), "i")), name_of(field)] = field
    return [rows[i, name] for i, name in sorted(rows) if i <= n]      # the names are in order as they are


def arc_seal(message, key, i=None, cv=None, aar=None, h=NAMES, how="relaxed"):
    """The message with one more set."""
    if i is None:
        i = 1 + sum(name_of(field) == "arc-seal" for field in fields(message))
    common = {"i": str(i), "a": key.kind + "-sha256", "d": key.domain, "s": key.selector, "t": str(NOW)}
    ams = written("ARC-Message-Signature", dict(common, c="relaxed/relaxed", h=h, bh=body_hash(message, "relaxed")))
    ams = filled(message, ams, key)
    top = ams + ("ARC-Authentication-Results: i=%s; %s\r\n" % (i, aar or "mx.%s; none" % key.domain)).encode("latin-1")
    return arc_sealed(top + message, written("ARC-Seal", dict(common, cv=cv or ("none" if i == 1 else "pass"))), key, how) + top + message


def arc_sealed(message, seal, key, how="relaxed"):
    """The seal, signed over the sets of a message that does not hold it."""
    i = int(tag(unfolded(seal), "i"))
    own = [field for field in arc_fields(message, i) if not (name_of(field) == "arc-seal" and tag(unfolded(field), "i") == str(i))]
    return filled(message, seal, key, own, how)
