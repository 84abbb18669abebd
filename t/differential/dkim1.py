"""
DKIM with no code of the program's (RFC 6376, 8301, 8463): signatures of every legal shape, and a verifier that takes the RFCs at their word. Only
CRLF ends a line; a bare CR or LF is an octet like any other.
"""
import base64
import hashlib
import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

WSP = rb"[ \t]+"


def split(message):
    """(fields, body); a field is whole, with its CRLF. What is no field stands with the field before it."""
    if message.startswith(b"\r\n"):
        return [], message[2:]
    head, gap, body = message.partition(b"\r\n\r\n")
    head += b"\r\n" if gap or not head.endswith(b"\r\n") else b""
    return re.findall(rb"(?:\A[ \t]|[^ \t]).*?\r\n(?=[^ \t]|\Z)", head, re.S), body


def is_field(field):
    return re.match(rb"[!-9;-~]+[ \t]*:", field) is not None


def name_of(field):
    return field.split(b":", 1)[0].rstrip(b" \t").lower()


def header_form(field, canon):
    """A field as it is hashed (3.4.1, 3.4.2), its CRLF with it."""
    if canon == "simple":
        return field
    value = field.split(b":", 1)[1].replace(b"\r\n", b"")
    return name_of(field) + b":" + re.sub(WSP, b" ", value).strip(b" \t") + b"\r\n"


def body_form(body, canon):
    """A body as it is hashed (3.4.3, 3.4.4)."""
    if canon == "relaxed":
        body = re.sub(rb"[ \t]+(?=\r\n)", b"", re.sub(WSP, b" ", body))
        if body.endswith(b" "):
            body = body[:-1]
    body = re.sub(rb"(?:\r\n)*\Z", b"", body)
    return body + b"\r\n" if body or canon == "simple" else b""


def pick(fields, names):
    """The fields that h= means, from the bottom up (5.4.2); a name too many means none."""
    left, out = list(fields), []
    for name in names:
        for at in reversed(range(len(left))):
            if is_field(left[at]) and name_of(left[at]) == name.strip().lower():
                out.append(left.pop(at))
                break
    return out


def load(file):
    with open(file, "rb") as f:
        return serialization.load_pem_private_key(f.read(), None)


def sign_octets(key, algorithm, octets):
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(hashlib.sha256(octets).digest())
    return key.sign(octets, padding.PKCS1v15(), hashes.SHA1() if algorithm == "rsa-sha1" else hashes.SHA256())


def sign(message, key, d, s, h, algorithm=None, canon=("relaxed", "relaxed"), length=None, tags=(), order=None, write=None, name=b"DKIM-Signature"):
    """
    The message with a signature on top.
        h       names, in order, as they shall stand in h=
        length  l=
        tags    (name, value) of further tags; a value of None leaves a tag out that is usual; bytes
        order   names of the tags in the order they are written; usual: as below
        write   tags -> the field's value, folded or not; usual: one line
    """
    algorithm = algorithm or ("ed25519-sha256" if isinstance(key, ed25519.Ed25519PrivateKey) else "rsa-sha256")
    fields, body = split(message)
    hashed = body_form(body, canon[1])
    digest = hashlib.sha1 if algorithm.endswith("sha1") else hashlib.sha256
    values = {b"v": b"1", b"a": algorithm.encode(), b"c": "/".join(canon).encode(), b"d": d.encode("latin-1"), b"s": s.encode("latin-1"),
              b"h": b":".join(h), b"bh": base64.b64encode(digest(hashed if length is None else hashed[:length]).digest())}
    if length is not None:
        values[b"l"] = b"%d" % length
    values.update(tags)
    values = {k: v for k, v in values.items() if v is not None}
    values[b"b"] = b""
    rows = [(k, values[k]) for k in order or values if k in values]
    write = write or one_line
    octets = b"".join(header_form(f, canon[0]) for f in pick(fields, h))
    unsigned = name + b":" + write(rows) + b"\r\n"
    octets += header_form(unsigned, canon[0])[:-2]
    values[b"b"] = base64.b64encode(sign_octets(key, algorithm, octets))
    return name + b":" + write([(k, values[k]) for k, _ in rows]) + b"\r\n" + message


def one_line(rows):
    return b" " + b"; ".join(k + b"=" + v for k, v in rows)


def loosely(rng, behind_b=b"", behind_name=b""):
    """
    A writer that folds and spaces wherever it may (3.2, 3.5). What surrounds the value of b= goes with it when the field is hashed (3.7);
    behind_b stands between it and what follows, behind_name between the b and its equals sign.
    """
    seed = rng.random()

    def write(rows):
        own = type(rng)(seed)
        gap = lambda: own.choice((b"", b"", b" ", b"\r\n ", b"\t", b"\r\n\t ", b"  "))
        out = []
        for k, v in rows:
            before, after, front, behind = gap(), gap(), gap(), gap()
            if k == b"b":
                cut = type(rng)(seed).randrange(20, 100)
                after = behind_name
                front, behind = (front, behind_b) if v else (b"", b"")
                v = b"\r\n\t".join(v[n:n + cut] for n in range(0, len(v), cut))
            elif k == b"bh" and own.random() < 0.3:
                cut = own.randrange(1, len(v))
                v = v[:cut] + own.choice((b" ", b"\r\n ")) + v[cut:]
            elif k == b"h":
                v = b":".join(gap() + name + gap() for name in v.split(b":"))
            out.append(before + k + after + b"=" + front + v + behind)
        # What folds must not leave a line of white space alone.
        return re.sub(rb"(?:\r\n[ \t]*)+(?=\r\n)", b"", b";".join(out)).rstrip(b" \t\r\n") + own.choice((b"", b";"))
    return write


class Bad(Exception):
    """Word and reason of a signature that does not pass."""


FWS = rb"(?:[ \t]*\r\n)?[ \t]+"
DOMAIN_NAME = rb"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?)*"
SELECTOR = rb"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?)*"
BASE64 = rb"[A-Za-z0-9+/]+={0,2}"


def tags_of(value):
    """{name: value}; white space at both ends of a value dropped (3.2)."""
    out = {}
    parts = value.split(b";")
    if parts[-1].strip(b" \t\r\n") == b"":
        parts.pop()
    for part in parts:
        found = re.fullmatch(rb"(?:%b)?([A-Za-z][A-Za-z0-9_]*)(?:%b)?=(?:%b)?(.*?)(?:%b)?" % ((FWS,) * 4), part, re.S)
        if not found:
            raise Bad("permerror", "no tag list")
        name, text = found.groups()
        if name in out or not re.fullmatch(rb"(?:[!-:<-~]+(?:(?:%b)+[!-:<-~]+)*)?" % FWS, text):
            raise Bad("permerror", "tag %s" % name.decode())
        out[name] = text
    return out


def printable(text):
    """dkim-quoted-printable (2.11): white space does not count."""
    text = re.sub(FWS, b"", text)
    if re.search(rb"=(?![0-9A-F]{2})", text):
        raise Bad("permerror", "quoted-printable")
    return re.sub(rb"=([0-9A-F]{2})", lambda m: bytes([int(m.group(1), 16)]), text)


def base64_of(text, what):
    text = re.sub(FWS, b"", text)
    if not re.fullmatch(BASE64, text) or len(text) % 4:
        raise Bad("permerror", what + " is no base64")
    octets = base64.b64decode(text)
    if base64.b64encode(octets) != text:
        raise Bad("permerror", what + " is not the base64 of anything")     # RFC 4648 3.5: bits that are left over are zero
    return octets


def matched(tags, name, form, default=None):
    text = tags.get(name, default)
    if text is None or not re.fullmatch(form, text):
        raise Bad("permerror", "%s=" % name.decode())
    return text.decode("ascii")


def key_for(tags, algorithm, zone):
    rows = zone.get("%s._domainkey.%s" % (tags[b"s"].decode().lower(), tags[b"d"].decode().lower()), [])
    if isinstance(rows, dict):
        raise Bad("temperror", rows["error"])
    if len(rows) != 1:
        raise Bad("permerror", "%d keys" % len(rows))
    record = tags_of(rows[0].encode())
    kind = record.get(b"k", b"rsa")
    if record.get(b"v", b"DKIM1") != b"DKIM1" or kind not in (b"rsa", b"ed25519") or not algorithm.startswith(kind.decode() + "-"):
        raise Bad("permerror", "key of another kind")
    split_at_colons = lambda name, default: [t.strip(b" \t\r\n") for t in record.get(name, default).split(b":")]
    if algorithm.split("-")[1].encode() not in split_at_colons(b"h", b"sha1:sha256") or not {b"*", b"email"} & set(split_at_colons(b"s", b"*")):
        raise Bad("permerror", "key is not for this")
    octets = base64_of(record.get(b"p", b""), "p=")
    if kind == b"ed25519" and len(octets) != 32:
        raise Bad("permerror", "key")
    if kind == b"ed25519":
        return ed25519.Ed25519PublicKey.from_public_bytes(octets), split_at_colons(b"t", b"")
    try:
        key = serialization.load_der_public_key(octets)
    except ValueError as e:
        raise Bad("permerror", "key") from e
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < 1024:
        raise Bad("permerror", "short key")
    return key, split_at_colons(b"t", b"")


def check(fields, body, at, zone, now):
    value = fields[at].split(b":", 1)[1]
    tags = tags_of(value[:-2])
    if tags.get(b"v") != b"1":
        raise Bad("permerror", "v=")
    algorithm = matched(tags, b"a", rb"[a-z0-9]+-[a-z0-9]+")
    if algorithm not in ("rsa-sha256", "ed25519-sha256"):
        raise Bad("permerror", "a=" + algorithm)
    canon = matched(tags, b"c", rb"(?:simple|relaxed)(?:/(?:simple|relaxed))?", b"simple/simple").split("/")
    canon = canon if len(canon) == 2 else canon + ["simple"]
    d = matched(tags, b"d", DOMAIN_NAME).lower()
    matched(tags, b"s", SELECTOR)
    name = rb"(?:%b)?[!-9<-~]+(?:%b)?" % (FWS, FWS)
    h = [n.strip(b" \t\r\n").lower() for n in matched(tags, b"h", rb"%b(?::%b)*" % (name, name)).encode().split(b":")]
    if b"from" not in h:
        raise Bad("permerror", "From is not signed")
    identity = printable(tags[b"i"]) if b"i" in tags else None
    if identity is not None:
        domain = identity.rpartition(b"@")[2].decode("latin-1").lower()
        if b"@" not in identity or not re.fullmatch(DOMAIN_NAME, domain.encode("latin-1")) or not ("." + domain).endswith("." + d):
            raise Bad("permerror", "i=")
    if b"dns/txt" not in [q.strip(b" \t\r\n") for q in tags.get(b"q", b"dns/txt").split(b":")]:
        raise Bad("permerror", "q=")
    times = {n: int(matched(tags, n, rb"[0-9]{1,12}")) for n in (b"t", b"x") if n in tags}
    signature, digest = base64_of(tags.get(b"b", b""), "b="), base64_of(tags.get(b"bh", b""), "bh=")
    if len(digest) != 32 or algorithm.startswith("ed25519") and len(signature) != 64:
        raise Bad("permerror", "bh= or b=")
    if b"x" in times and (now is not None and times[b"x"] < now or times[b"x"] <= times.get(b"t", -1)):
        raise Bad("fail", "x=")
    length = int(matched(tags, b"l", rb"[0-9]{1,76}")) if b"l" in tags else None
    key, flags = key_for(tags, algorithm, zone)
    if b"s" in flags and identity is not None and identity.rpartition(b"@")[2].lower() != d.encode():
        raise Bad("permerror", "t=s")
    hashed = body_form(body, canon[1])
    if length is not None and length > len(hashed):
        raise Bad("permerror", "l=")
    if hashlib.sha256(hashed[:length]).digest() != digest:
        raise Bad("fail", "body hash")
    # What surrounds the value of b= goes with it (3.7).
    bare = re.sub(rb"((?:\A|;)(?:%b)?b(?:%b)?=)[^;]*" % (FWS, FWS), rb"\1", value[:-2], count=1)
    octets = b"".join(header_form(f, canon[0]) for f in pick(fields[:at] + fields[at + 1:], h))
    octets += header_form(fields[at].split(b":", 1)[0] + b":" + bare + b"\r\n", canon[0])[:-2]
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, hashlib.sha256(octets).digest())
        else:
            key.verify(signature, octets, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature as e:
        raise Bad("fail", "signature") from e
    if length is not None and length < len(hashed):
        raise Bad("policy", "l= leaves some of the body unsigned")


def verify(message, zone, now):
    """[(d, s, word, why)], a signature each, top to bottom."""
    fields, body = split(message)
    out = []
    for at, field in enumerate(fields):
        if not is_field(field) or name_of(field) != b"dkim-signature":
            continue
        names = {}
        try:
            names = tags_of(field.split(b":", 1)[1][:-2])
            check(fields, body, at, zone, now)
            word, why = "pass", ""
        except Bad as e:
            word, why = e.args
        out.append((names.get(b"d", b"").decode("latin-1"), names.get(b"s", b"").decode("latin-1"), word, why))
    return out
