"""
Messages of many shapes, each signed by one of several signers, and each again with one octet changed. Oddities on which verifiers disagree are
rare; look.py names them, and differences.py says who is right.
"""
import base64
import os
import random
import re
import sys

from cryptography.hazmat.primitives import serialization

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from chains import keys  # noqa: E402

from . import dkim1, judges, look  # noqa: E402

NOW = 1790812800
# OpenDKIM's clock cannot be set: signatures are of long ago and hold for long.
SIGNED, HOLDS, HELD = 1600000000, 4000000000, 1610000000
DOMAIN = "author.example"
# Selectors: key, and how its record is written.
RSA = {"r0": 0, "r1": 1, "r2": 2, "r3": 3, "k1024": 4, "k1024b": 5}
TEXT = [b"", b"hello", b"a line  of words", b"tab\there", b" leading", b"\tleading tab", b"trailing ", b"trailing\t \t", b" ", b"\t", b"  ",
        b"..dots", b".", b"caf\xc3\xa9 \xe2\x82\xac", b"latin \xe9\xff", b"From someone", b"-- ", b"x" * 78, b"=20=", b"a" * 998, b"b " * 700, b": colon"]
NAMES = [b"X-Mailer", b"Comments", b"comments", b"Keywords", b"List-Id", b"X-Empty", b"Received", b"received", b"Sender", b"In-Reply-To", b"References",
         b"Content-Language", b"x.y_z!#$%&'*+-^`{|}~", b"Resent-From", b"DKIM-Filter", b"Authentication-Results", b"X" * 70]
USUAL = [b"From", b"To", b"Subject", b"Date", b"Message-ID", b"Cc", b"MIME-Version", b"Content-Type"]


class Case:
    def __init__(self, name, message, signer, changed=None):
        self.name, self.message, self.signer, self.changed = name, message, signer, changed
        self.traits = look.traits(message, ZONE)

    def __repr__(self):
        return "%s by %s%s (%s)" % (self.name, self.signer, ", changed " + self.changed if self.changed else "", " ".join(sorted(self.traits)))


def zone():
    rows = {}
    for selector, at in RSA.items():
        rows["%s._domainkey.%s" % (selector, DOMAIN)] = ["v=DKIM1; k=rsa; p=" + keys.public(keys.RSA_KEYS[at])]
    rows["ed._domainkey.%s" % DOMAIN] = ["v=DKIM1; k=ed25519; p=" + keys.public(keys.ed_key(DOMAIN, "ed"))]
    rows["short._domainkey.%s" % DOMAIN] = ["v=DKIM1; k=rsa; p=" + keys.public(keys.RSA_KEYS[6])]
    rows["bare._domainkey.%s" % DOMAIN] = ["p=" + keys.public(keys.RSA_KEYS[0])]
    rows["pkcs1._domainkey.%s" % DOMAIN] = ["v=DKIM1; p=" + keys.public(keys.RSA_KEYS[1], "pkcs1")]
    rows["ty._domainkey.%s" % DOMAIN] = ["v=DKIM1; t=y; h=sha256:sha1; s=email; n=a note; p=" + keys.public(keys.RSA_KEYS[2])]
    rows["strict._domainkey.%s" % DOMAIN] = ["v=DKIM1; t=s; s=*; k=rsa; p=" + keys.public(keys.RSA_KEYS[3])]
    return rows


ZONE = zone()


def key_of(selector):
    if selector == "ed":
        return keys.ed_key(DOMAIN, "ed")
    return keys.RSA_KEYS[{"short": 6, "bare": 0, "pkcs1": 1, "ty": 2, "strict": 3, **RSA}[selector]]


def value(rng):
    words = [rng.choice((b"word", b"two words", b"tab\tbed", b"caf\xc3\xa9", b"\xe9t\xe9", b"a  b", b"<x@y.example>", b"=?utf-8?q?x?=", b"", b";x=1", b":"))
             for _ in range(rng.choice((0, 1, 1, 2, 3, 8)))]
    gaps = (b" ", b" ", b"  ", b"\t", b"\r\n ", b"\r\n\t", b" \r\n  ")
    out = rng.choice((b" ", b" ", b" ", b"", b"\t", b"  ", b"\r\n "))
    for word in words:
        out += word + rng.choice(gaps)
    out = out.rstrip(b" \t\r\n") if not words or rng.random() < 0.8 else out.rstrip(b"\r\n\t ") + rng.choice((b" ", b"\t", b"  "))
    # A line of white space alone would end the header in some eyes (RFC 5322 3.2.2 forbids it).
    return re.sub(rb"(\r\n[ \t]*)(?=\r\n)", b"", out if out.strip() else b" ")


def fields(rng):
    out = [b"From: A <a@%s>" % DOMAIN.encode()]
    for name in USUAL[1:]:
        if rng.random() < 0.7:
            out.append(rng.choice((name, name, name.lower(), name.upper())) + b":" + value(rng))
    for _ in range(rng.choice((0, 1, 2, 5))):
        out.append(rng.choice(NAMES) + b":" + value(rng))
    if rng.random() < 0.2:
        out += [b"Received:" + value(rng) for _ in range(rng.randrange(1, 5))]
    if rng.random() < 0.03:
        out.append(b"X-Long: " + b"long " * 500)
    rng.shuffle(out)
    return [f + b"\r\n" for f in out]


def body(rng):
    kind = rng.random()
    if kind < 0.06:
        return b""
    if kind < 0.10:
        return b"\r\n" * rng.randrange(1, 5)
    lines = [rng.choice(TEXT) for _ in range(rng.choice((1, 1, 2, 5, 12)))]
    out = b"\r\n".join(lines) + b"\r\n"
    if rng.random() < 0.25:
        out += b"\r\n" * rng.randrange(1, 4)
    if rng.random() < 0.08:
        out += rng.choice((b" \r\n", b"\t\r\n\r\n", b" \t \r\n \r\n"))
    odd = rng.random()
    if odd < 0.006:
        out = re.sub(rb"(\r\n)+\Z", b"", out)
    elif odd < 0.008:
        out = out.replace(b"\r\n", b"\n", 1)
    elif odd < 0.010:
        at = rng.randrange(len(out) + 1)
        out = out[:at] + b"\r" + out[at:]
    elif odd < 0.012:
        out += b"\0\r\n"
    return out


def h_of(rng, own):
    """Names for h=: From, and others; some more often than they are there (5.4.2), in any case and order."""
    names = [dkim1.name_of(f) for f in own]
    out = [n for n in dict.fromkeys(names) if n == b"from" or rng.random() < 0.75]
    for n in set(names):
        if names.count(n) > 1 and n in out and rng.random() < 0.6:
            out += [n] * (names.count(n) - 1)
    if rng.random() < 0.4:
        out += [rng.choice((b"from", b"subject", b"x-absent", b"cc")) for _ in range(rng.choice((1, 2)))]
    rng.shuffle(out)
    return [rng.choice((n, n, n.title(), n.upper())) for n in out]


def key_pem(selector, form=serialization.PrivateFormat.TraditionalOpenSSL):
    return key_of(selector).private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


class Unsigned:
    """A message, and how it is to be signed."""

    def __init__(self, rng, n, seed):
        self.name = "%05d" % n
        self.rng = rng
        self.message = b"".join(fields(rng)) + b"\r\n" + body(rng)
        self.canon = (rng.choice(("simple", "relaxed")), rng.choice(("simple", "relaxed")))
        self.selector = rng.choice(["r0", "r1", "r2", "r3", "k1024", "k1024b", "ed", "ed", "ed", "bare", "ty", "strict"])
        odd = rng.random()
        if odd < 0.004:
            self.selector = "short" if odd < 0.002 else "pkcs1"
        self.h = h_of(rng, dkim1.split(self.message)[0])
        self.algorithm = "ed25519-sha256" if self.selector == "ed" else "rsa-sha256"
        if self.selector in ("r0", "ty") and rng.random() < 0.02:
            self.algorithm = "rsa-sha1"
        # Of the canonical body: what l= counts (3.5).
        whole = len(dkim1.body_form(dkim1.split(self.message)[1], self.canon[1]))
        partial = rng.random()
        self.length = None if partial > 0.01 else whole if partial > 0.004 else rng.randrange(whole + 1)


def by_own(u):
    """The signer of the tests: all that the grammar of the field allows."""
    rng, tags = u.rng, {}
    if rng.random() < 0.3:
        tags[b"t"] = b"%d" % (SIGNED + rng.randrange(100000))
        if rng.random() < 0.5:
            tags[b"x"] = b"%d" % (HOLDS + rng.randrange(100000))
    if rng.random() < 0.01:
        tags[b"x"] = b"%d" % HELD
        tags[b"t"] = b"%d" % SIGNED
    if rng.random() < 0.3 and u.selector != "strict":
        tags[b"i"] = rng.choice((b"@", b"user@", b"user@sub.", b"@a.b.")) + DOMAIN.encode()
    if rng.random() < 0.2:
        tags[b"q"] = b"dns/txt"
    if rng.random() < 0.1:
        tags[b"z"] = b"From:a@b.example|Subject:x=20y"
    if rng.random() < 0.1:
        tags[b"zz"] = rng.choice((b"", b"unknown", b"with spaces in"))
    if u.canon == ("simple", "simple") and rng.random() < 0.5:
        tags[b"c"] = None
    elif u.canon[1] == "simple" and rng.random() < 0.5:
        tags[b"c"] = u.canon[0].encode()
    order = [b"v", b"a", b"c", b"d", b"s", b"i", b"t", b"x", b"q", b"l", b"z", b"zz", b"h", b"bh", b"b"]
    if rng.random() < 0.4:
        rng.shuffle(order)
    odd, gaps = rng.random(), (b"", b"")
    if odd < 0.003 and order[-1] != b"b":
        gaps = rng.choice((b" ", b"\r\n ")), b""
    elif odd > 0.997:
        gaps = b"", rng.choice((b" ", b"\r\n "))
    write = dkim1.loosely(rng, *gaps) if any(gaps) or rng.random() < 0.6 else None
    if order[0] == b"b" and rng.random() > 0.1:
        order.reverse()
    name = rng.choice((b"DKIM-Signature",) * 4 + (b"dkim-signature", b"DKIM-SIGNATURE"))
    return dkim1.sign(u.message, key_of(u.selector), DOMAIN, u.selector, u.h, u.algorithm, u.canon, u.length, tags, order, write, name)


def by_dkimpy(u):
    """dkimpy counts l= itself, and always of the whole body."""
    dkim = judges.dkimpy_modules()
    key = key_pem(u.selector) if u.selector != "ed" else base64.b64encode(key_of("ed").private_bytes(
        serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()))
    there = [dkim1.name_of(f) for f in dkim1.split(u.message)[0]]
    with judges.Clock(dkim, SIGNED):
        return dkim.sign(u.message, u.selector.encode(), DOMAIN.encode(), key, canonicalize=tuple(c.encode() for c in u.canon),
                         signature_algorithm=u.algorithm.encode(), length=u.length is not None,
                         include_headers=[n.lower() for n in u.h if (n.lower() in there or n.lower() == b"from") and n.lower() not in dkim.DKIM.SHOULD_NOT]) + u.message


def by_opendkim(unsigned):
    """
    All at once; what its library does not sign is left out. It takes the names for patterns. Its Ed25519 signatures with c=simple/... verify
    nowhere, with itself neither: those are made with relaxed.
    """
    for u in unsigned:
        if u.selector == "ed":
            u.canon = ("relaxed", u.canon[1])
    rows = [{"message": base64.b64encode(u.message).decode(), "key": key_pem(u.selector, serialization.PrivateFormat.PKCS8).decode(), "d": DOMAIN,
             "s": u.selector, "h": sorted({n.decode().lower() for n in u.h if n.replace(b"-", b"").isalpha()}), "canon": u.canon, "algorithm": u.algorithm, "length": u.length}
            for u in unsigned]
    for u, field in zip(unsigned, judges.opendkim_process("sign", {"now": SIGNED, "messages": rows})):
        if field:
            yield u, base64.b64decode(field) + u.message


def change(rng, message):
    """One octet becomes another, or goes, or comes; and where that was."""
    signed = re.match(rb"[^\r]*\r\n(?:[ \t][^\r]*\r\n)*", message).end()
    end = message.find(b"\r\n\r\n") + 4
    low, high, where = rng.choice(((0, signed, "signature"), (signed, end, "header"), (end, len(message), "body")))
    if low >= high:
        low, high, where = signed, end, "header"
    odd = rng.random() < 0.05
    at = rng.randrange(low, high)
    while not odd and message[at] in b"\r\n" and message[low:high].strip(b"\r\n"):
        at = rng.randrange(low, high)
    if odd or message[at] in b"\r\n":
        new = rng.choice((b" ", b"\t", b";", b"=", b":", b"\r\n", b"\n", b"\r", b"\xff", b"\0", b"\f", b""))
    else:
        # A sign of base64 stays one, mostly.
        new = rng.choice((b"x", b"Q", b"7", bytes([message[at] ^ 0x20]) if chr(message[at]).isalpha() else b"+", b" "))
    how = rng.choice(("instead", "before")) if new else "instead"
    if new == message[at:at + 1]:
        new = b"Z"
    return message[:at] + new + message[at + (how == "instead"):], where


def corpus(count, seed="", signers=("own", "dkimpy", "opendkim")):
    """
    `count` messages, each followed by itself with one octet changed. A signer that is not installed raises judges.Absent. More signers may be
    handed over as (name, function of an Unsigned that gives the signed message or None).
    """
    todo = [Unsigned(random.Random("dkim1/%s/%d" % (seed, n)), n, seed) for n in range(count)]
    signed = []
    for k, signer in enumerate(signers):
        own = todo[k::len(signers)]
        if signer == "opendkim":
            signed += [(u, m, signer) for u, m in by_opendkim(own)]
        elif isinstance(signer, str):
            make = {"own": by_own, "dkimpy": by_dkimpy}[signer]
            signed += [(u, make(u), signer) for u in own]
        else:
            signed += [(u, m, signer[0]) for u, m in ((u, signer[1](u)) for u in own) if m]
    for u, message, signer in sorted(signed, key=lambda row: row[0].name):
        yield Case(u.name, message, signer)
        other, where = change(u.rng, message)
        yield Case(u.name + ".changed", other, signer, where)


def chains(count, seed=""):
    """`count` messages with one to three ARC sets by dkimpy, each followed by itself with one octet changed, mostly in a field of ARC."""
    dkim = judges.dkimpy_modules()
    for n in range(count):
        rng = random.Random("arc/%s/%d" % (seed, n))
        message = b"".join(f for f in fields(rng) if dkim1.name_of(f) != b"authentication-results") + b"\r\n" + body(rng)
        for k in range(rng.choice((1, 1, 2, 3))):
            name = b"mx%d.example" % k
            message = b"Authentication-Results: %s; arc=%s; spf=pass smtp.mfrom=x@y.example;\r\n dkim=fail (no\tkey)\r\n" % (name, b"pass" if k else b"none") + message
            there = [dkim1.name_of(f) for f in dkim1.split(message)[0]]
            names = [m for m in dict.fromkeys(there) if m == b"from" or m not in dkim.ARC.SHOULD_NOT and not m.startswith(b"arc-") and rng.random() < 0.8]
            selector = rng.choice(("r0", "r1", "r2", "k1024"))
            with judges.Clock(dkim, SIGNED):
                made = dkim.arc_sign(message, selector.encode(), DOMAIN.encode(), key_pem(selector), name, include_headers=names, timestamp=str(SIGNED))
            if not made:        # it does not add to a chain that it takes for broken
                break
            message = b"".join(made) + message
        yield Case("%05d" % n, message, "dkimpy")
        other, where = change(rng, message) if rng.random() < 0.3 else change_arc(rng, message)
        yield Case("%05d.changed" % n, other, "dkimpy", where)


def change_arc(rng, message):
    """Somewhere in the fields of ARC, which are on top."""
    end = max(m.end() for m in re.finditer(rb"(?m)^ARC-[^\r]*\r\n(?:[ \t][^\r]*\r\n)*", message))
    return change(rng, message[:end] + b"\r\n")[0][:-2] + message[end:], "ARC"
