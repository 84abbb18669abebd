"""Keys of many owners and their zone. RSA keys come from keys.pem, made once; Ed25519 keys from their names. All are public."""
import base64
import hashlib
import os
import re

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding

DOMAINS = ["alpha.example", "bravo.example", "charlie.test", "echo.test", "golf.example", "hotel.example", "india.test",
           "xn--bcher-kva.example", "lists.delta.example", "delta.example", "final.example", "juliet.test", "kilo-9.example"]
RSA, ED = "rsa-sha256", "ed25519-sha256"
# Selectors that every domain has: algorithm, form of the record.
GOOD = {"ed": (ED, "plain"), "e2": (ED, "backward"), "e3": (ED, "spaced"), "e.dot": (ED, "bare"), "MiXed_1": (ED, "plain"), "ty": (ED, "testing"),
        "r": (RSA, "spki"), "r2": (RSA, "spki-bare"), "p1": (RSA, "pkcs1"), "k1024": (RSA, "spki-1024")}
# And those whose key is no good: what the reason says of it, with its selector.
BAD = {
    "none": "does not exist", "empty": "does not exist", "revoked": "has been revoked", "two": "has multiple records", "same": "has multiple records",
    "junk": "has a syntax error", "twice": "has a syntax error", "version": "has a syntax error", "order": "has a syntax error",
    "nokey": "has a syntax error", "badb64": "has a syntax error", "length": "has a syntax error", "octet": "has a syntax error",
    "short": "has a syntax error", "exponent": "has a syntax error", "future": "algorithm mismatch", "other": "algorithm mismatch",
    "slow": "could not be fetched", "broken": "could not be fetched",
}


def read_pem():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "keys.pem"), "rb") as f:
        parts = re.findall(rb"-----BEGIN.*?-----END [A-Z ]+-----\n", f.read(), re.S)
    return [serialization.load_pem_private_key(part, None) for part in parts]


RSA_KEYS = read_pem()
_ED = {}


def ed_key(domain, selector):
    name = "%s._domainkey.%s" % (selector, domain)
    if name not in _ED:
        _ED[name] = ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
    return _ED[name]


def rsa_key(domain, selector):
    if selector == "short":
        return RSA_KEYS[6]
    if selector == "exponent":
        return RSA_KEYS[7]
    n = hashlib.sha256(domain.encode()).digest()[0]
    return RSA_KEYS[4 + n % 2 if selector == "k1024" else (n + len(selector)) % 4]


def sign(domain, selector, algorithm, octets, raw=False):
    """The signature over the input; raw: Ed25519 over the input itself, as it must not be."""
    if algorithm == ED:
        return ed_key(domain, selector).sign(octets if raw else hashlib.sha256(octets).digest())
    return rsa_key(domain, selector).sign(octets, padding.PKCS1v15(), hashes.SHA256())


def public(key, form="spki"):
    if isinstance(key, ed25519.Ed25519PrivateKey):
        octets = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    else:
        form = serialization.PublicFormat.PKCS1 if form == "pkcs1" else serialization.PublicFormat.SubjectPublicKeyInfo
        octets = key.public_key().public_bytes(serialization.Encoding.DER, form)
    return base64.b64encode(octets).decode("ascii")


def record(domain, selector, algorithm, form):
    key = ed_key(domain, selector) if algorithm == ED else rsa_key(domain, selector)
    k, p = ("ed25519" if algorithm == ED else "rsa"), public(key, form)
    return {
        "plain": "v=DKIM1; k=%s; p=%s" % (k, p),
        "backward": "p=%s; n=a note; k=%s" % (p, k),
        "spaced": " v = DKIM1 ; k = %s ; p = %s ; " % (k, p[:9] + " " + p[9:]),
        "bare": "v=DKIM1;k=%s;h=sha1;s=nobody;zz=1;p=%s" % (k, p),
        "testing": "v=DKIM1; t=y:s; k=%s; p=%s;" % (k, p),
        "spki": "v=DKIM1; k=rsa; p=%s" % p,
        "spki-bare": "p=%s" % p,
        "spki-1024": "v=DKIM1; h=sha256; p=%s" % p,
        "pkcs1": "v=DKIM1; k=rsa; p=%s;" % p,
    }[form]


def bad_record(domain, selector):
    p = public(ed_key(domain, selector))
    good = "v=DKIM1; k=ed25519; p=" + p
    return {
        "none": None, "empty": [], "revoked": ["v=DKIM1; k=ed25519; p="], "two": [good, "v=DKIM1; k=ed25519; p=" + public(ed_key(domain, "ed"))],
        "same": [good, good], "junk": ["v=DKIM1; k=ed25519; junk; p=" + p], "twice": ["v=DKIM1; k=ed25519; p=; p=" + p],
        "version": ["v=DKIM2; k=ed25519; p=" + p], "order": ["k=ed25519; v=DKIM1; p=" + p], "nokey": ["v=DKIM1; k=ed25519"],
        "badb64": ["v=DKIM1; k=ed25519; p=*" + p[1:]], "length": ["v=DKIM1; k=ed25519; p=" + base64.b64encode(b"x" * 31).decode()],
        "octet": ["v=DKIM1; k=ed25519; n=caf\u00e9; p=" + p],
        "short": ["v=DKIM1; k=rsa; p=" + public(rsa_key(domain, "short"))], "exponent": ["v=DKIM1; k=rsa; p=" + public(rsa_key(domain, "exponent"))],
        "future": ["v=DKIM1; k=future; p=" + p], "other": [record(domain, "r", RSA, "spki")],
        "slow": {"error": "timeout"}, "broken": {"error": "servfail"},
    }[selector]


def bad_algorithm(selector):
    return RSA if selector in ("short", "exponent") else ED


def zone():
    rows = {}
    for domain in DOMAINS:
        for selector, (algorithm, form) in GOOD.items():
            rows["%s._domainkey.%s" % (selector.lower(), domain)] = [record(domain, selector, algorithm, form)]
        for selector in BAD:
            made = bad_record(domain, selector)
            if made is not None:
                rows["%s._domainkey.%s" % (selector, domain)] = made
    return rows
