"""DKIM2 in Python, from draft-ietf-dkim-dkim2-spec-09 alone: what the daemon makes is held against it, and it makes what the daemon judges."""
import base64
import hashlib
import re
import subprocess
import tempfile

from mail import NOW, body_of, fields, name_of, tag, unfolded

UNSIGNED = {"received", "return-path", "delivered-to", "dl-expansion-history", "original-recipient", "sio-label-history",
            "x400-trace", "apparently-to", "x400-received", "dkim-signature", "arc-authentication-results",
            "arc-message-signature", "arc-seal", "authentication-results", "message-instance", "dkim2-signature"}


def b64(octets):
    return base64.b64encode(octets).decode()


def unsigned(name):
    """Is a field of that name left out of the header hash?"""
    return name in UNSIGNED or name.startswith(("x-", "received-"))


def header_hash(message):
    rows = []
    for at, field in enumerate(fields(message)):
        name = name_of(field)
        if unsigned(name):
            continue
        text = re.sub(rb"[ \t]+", b" ", field.split(b":", 1)[1].replace(b"\r\n", b"")).strip(b" ")
        rows.append((name, -at, name.encode() + b":" + text + b"\r\n"))
    return hashlib.sha256(b"".join(row[2] for row in sorted(rows))).digest()


def body_hash(message):
    body = body_of(message)
    end = len(body)
    while body.endswith(b"\r\n", 0, end):
        end -= 2
    digest = hashlib.sha256(memoryview(body)[:end])
    digest.update(b"\r\n")
    return digest.digest()


def canonical(field):
    """Lower-case name, unfolded, every blank gone."""
    name, text = field.split(b":", 1)
    return re.sub(rb"[ \t\r\n]", b"", name).lower() + b":" + re.sub(rb"[ \t\r\n]", b"", text) + b"\r\n"


def by_number(message, name, number):
    found = {}
    for field in fields(message):
        if name_of(field) == name:
            found[int(tag(unfolded(field), number))] = field
    return found


def signing_input(message, i):
    instances, seals = by_number(message, "message-instance", "m"), by_number(message, "dkim2-signature", "i")
    own = canonical(seals[i])
    m = int(tag(unfolded(seals[i]), "m"))
    blanked = re.sub(rb"([;:]s=)([^;]*)", lambda hit: hit.group(1) + re.sub(rb"(:[a-z0-9-]+:)[A-Za-z0-9+/=]*", rb"\1", hit.group(2)), own)
    return b"".join([canonical(instances[n]) for n in sorted(instances) if n <= m] + [canonical(seals[n]) for n in sorted(seals) if n < i] + [blanked])


def openssl(key, octets, *args):
    with tempfile.NamedTemporaryFile() as f:
        f.write(octets)
        f.flush()
        return subprocess.run(["openssl", "pkeyutl", "-inkey", key.file, "-in", f.name] + list(args), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)


def modes(key):
    return ["-rawin"] if key.kind == "ed25519" else ["-pkeyopt", "digest:sha256"]


def algorithm(key):
    return key.kind + "-sha256"


def sign(key, octets):
    done = openssl(key, hashlib.sha256(octets).digest(), "-sign", *modes(key))
    assert done.returncode == 0, done.stderr
    return done.stdout


def signature_fits(key, octets, signature):
    with tempfile.NamedTemporaryFile() as f:
        f.write(signature)
        f.flush()
        return openssl(key, hashlib.sha256(octets).digest(), "-verify", "-sigfile", f.name, *modes(key)).returncode == 0


def seal(message, *keys, mf="<s@a.test>", rt=("<r1@c.test>",), t=NOW, d=None, nd=None, instance=True):
    """One more hop on top; a new instance only when there is none yet."""
    instances, seals = by_number(message, "message-instance", "m"), by_number(message, "dkim2-signature", "i")
    i, m = max(seals, default=0) + 1, max(instances, default=0)
    if not m and instance:
        m = 1
        message = b"Message-Instance: m=1; h=sha256:%s:%s;\r\n" % (b64(header_hash(message)).encode(), b64(body_hash(message)).encode()) + message
    envelope = "nd=%s" % nd if nd else "mf=%s; rt=%s" % (b64(mf.encode()), ",".join(b64(r.encode()) for r in rt))

    def field(signatures):
        sets = ",".join("%s:%s:%s" % (key.selector, algorithm(key), s) for key, s in zip(keys, signatures))
        return ("DKIM2-Signature: i=%d; m=%d; t=%d; d=%s; %s;\r\n s=%s;\r\n" % (i, m, t, d or keys[0].domain, envelope, sets)).encode()
    octets = signing_input(field([""] * len(keys)) + message, i)
    return field([b64(sign(key, octets)) for key in keys]) + message


class Hop:
    def __init__(self, field):
        text = unfolded(field)
        self.i, self.m, self.t = (int(tag(text, name)) for name in ("i", "m", "t"))
        self.d, self.nd = tag(text, "d"), tag(text, "nd")
        self.flags = (tag(text, "f") or "").split(",")
        self.mf = base64.b64decode(tag(text, "mf") or "").decode()
        self.rt = [base64.b64decode(path).decode() for path in (tag(text, "rt") or "").split(",")]
        self.sets = [one.split(":") for one in re.split("[,|]", tag(text, "s"))]


def hops(message):
    """Every hop of a message, ascending, unchecked."""
    return [Hop(field) for _, field in sorted(by_number(message, "dkim2-signature", "i").items())]


def checked(message, keyring):
    """hops(), each signature verified with the keys of the ring, and the newest instance's hashes compared."""
    instances = by_number(message, "message-instance", "m")
    newest = tag(unfolded(instances[max(instances)]), "h")
    assert newest == "sha256:%s:%s" % (b64(header_hash(message)), b64(body_hash(message))), "hashes of m=%d differ" % max(instances)
    got = hops(message)
    assert [hop.i for hop in got] == list(range(1, len(got) + 1))
    for hop in got:
        octets = signing_input(message, hop.i)
        for selector, alg, signature in hop.sets:
            key = keyring.key(hop.d, selector)
            assert alg == algorithm(key)
            assert signature_fits(key, octets, base64.b64decode(signature)), "i=%d %s does not verify" % (hop.i, selector)
    return got
