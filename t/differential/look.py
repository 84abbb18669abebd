"""What is odd about a signed message, by its octets: the names that the rows of differences.py are about."""
import base64
import binascii
import re

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from . import dkim1

SIGNATURES = (b"dkim-signature", b"arc-message-signature", b"arc-seal")
FWS = rb"(?:[ \t]|\r?\n)*"


def traits(message, zone=None):
    fields, body = dkim1.split(message)
    out = set()
    if re.search(rb"(?<!\r)\n", message):
        out.add("bare-lf")
    if re.search(rb"\r(?!\n)", message):
        out.add("bare-cr")
    if b"\0" in message:
        out.add("nul")
    if re.search(rb"[\v\f]", b"".join(fields)):
        out.add("odd-space")
    if body and not body.endswith(b"\r\n"):
        out.add("open-end")
    if not all(dkim1.is_field(f) for f in fields):
        out.add("no-field")
    if any(re.match(rb"[^:]*[ \t]:", f) for f in fields):
        out.add("blank-name")
    if sum(dkim1.is_field(f) and dkim1.name_of(f) == b"from" for f in fields) != 1:
        out.add("from-count")
    names = {dkim1.name_of(f) for f in fields if dkim1.is_field(f)}
    if b"domainkey-signature" in names and b"dkim-signature" not in names:
        out.add("domainkeys")
    for field in fields:
        if dkim1.is_field(field) and dkim1.name_of(field) in SIGNATURES:
            out |= of_signature(field, body, zone or {})
    return out


def of_key(tags, zone):
    """Of an RSA key: is it short, and in which of its two forms does it stand in the record?"""
    rows = zone.get("%s._domainkey.%s" % tuple(tags.get(n, b"").decode("latin-1").lower() for n in (b"s", b"d")), [])
    found = re.search(r"p=([^;]+)", rows[0]) if isinstance(rows, list) and rows else None
    try:
        octets = base64.b64decode(re.sub(r"\s", "", found.group(1)), validate=True)
        key = serialization.load_der_public_key(octets)
    except (AttributeError, binascii.Error, ValueError):
        return set()
    if not isinstance(key, rsa.RSAPublicKey):
        return set()
    whole = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return {name for name, there in (("short-key", key.key_size < 1024), ("pkcs1-key", octets != whole)) if there}


def of_signature(field, body, zone):
    value = field.split(b":", 1)[1]
    out = set()
    if re.match(rb"b%b=" % FWS, value):
        out.add("b-first")
    if re.search(rb"(?:\A|;)%bb(?:[ \t]|\r\n)+=" % FWS, value):
        out.add("b-then-space")
    if re.search(rb"(?:\A|;)%bb%b=[^;]*[ \t\r\n];" % (FWS, FWS), value):
        out.add("b-ends-in-space")
    for name in (b"b", b"bh"):
        found = re.search(rb"(?:\A|;)%b%b%b=([^;]*)" % (FWS, name, FWS), value)
        text = re.sub(rb"[ \t\r\n]", b"", found.group(1)) if found else b""
        if found and (not re.fullmatch(dkim1.BASE64, text) or len(text) % 4):
            out.add("no-base64")
        elif found and base64.b64encode(base64.b64decode(text)) != text:
            out.add("loose-base64")
    try:
        tags = dkim1.tags_of(value[:-2])
    except dkim1.Bad:
        return out | {"no-tag-list"}
    word = lambda name, default=b"": tags.get(name, default).decode("latin-1")
    if word(b"a") == "rsa-sha1":
        out.add("rsa-sha1")
    if word(b"v", b"1" if dkim1.name_of(field) != b"dkim-signature" else b"") != "1":
        out.add("old-draft")
    out |= of_key(tags, zone)
    if any(re.search(rb"[ \t\r\n]", n.strip()) for n in tags.get(b"h", b"").split(b":")):
        out.add("h-space-in-name")
    if b"h" in tags and b"" in [n.strip(b" \t\r\n") for n in tags[b"h"].split(b":")]:
        out.add("h-empty-name")
    if re.fullmatch("[0-9]{1,76}", word(b"l")):
        form = (word(b"c", b"simple/simple") + "/simple").split("/")[1]
        whole = len(dkim1.body_form(body, form))
        out.add("l-partial" if int(word(b"l")) < whole else "l-whole" if int(word(b"l")) == whole else "l-beyond")
    if b"x" in tags:
        out.add("x=")
    if b"i" in tags and re.search(rb"@\.|\.\.", tags[b"i"].rpartition(b"@")[1] + tags[b"i"].rpartition(b"@")[2]):
        out.add("dotted-i")
    if b"i" in tags and not (b"." + tags[b"i"].rpartition(b"@")[2].lower()).endswith(b"." + tags.get(b"d", b"").lower()):
        out.add("other-i")
    return out
