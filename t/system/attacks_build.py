"""The builder of t/data/attacks.yaml: messages with chains, signatures and sets, right and wrong, made by seal.py and signing.py alone."""
import base64
import json
import re

import recipes
import signing
from mail import NOW, body_of, fields, name_of
from seal import algorithm, b64, body_hash, by_number, header_hash, sign, signing_input


def octets(text):
    """Each code point is one octet."""
    return text.encode("latin-1")


class Hop:
    """A seal as it is being made: `text` holds a place for each signature, filled anew whenever it is signed."""

    def __init__(self, i, keys, algorithms, forged):
        self.i, self.keys, self.algorithms, self.forged = i, keys, algorithms, forged


class Builder:
    def __init__(self, keyring, prose):
        self.keyring, self.prose = keyring, prose
        self.hops = []

    def build(self, base, steps):
        """The message and the envelope that its newest hop names."""
        message = base
        self.hops, self.envelope, self.recipe, self.before = [], None, None, None
        self.signers = {"dkim-signature": [], "arc-message-signature": [], "arc-seal": []}     # keys, of the fields from the bottom up
        steps = [one for step in steps for part in self.prose.hops_of(step) for one in self.prose.signatures_of(part)]
        hops = [step["dkim2_hop"] for step in steps if "dkim2_hop" in step]
        seen = 0
        for step in steps:
            (op, value), = step.items()
            if op == "dkim2_hop":
                following = hops[seen + 1]["d"] if seen + 1 < len(hops) else None
                message = self.hop(message, value, following)
                seen += 1
            elif op == "set_tag":
                message = self.set_tag(message, **value)
            elif op == "prepend":
                message = octets(value) + message
            elif op == "insert":
                message = self.insert(message, **value)
            elif op == "append_body":
                message += self.prose.body(value)
            elif op == "body":          # ours: the body put differently
                message = message[:len(message) - len(body_of(message))] + value
            elif op == "cut":           # ours: so many lines off the top, and the recipe that puts them back
                body = body_of(message)
                lines = body.split(b"\r\n", value)
                message = message[:len(message) - len(body)] + lines[value]
                self.recipe = json.dumps({"b": [{"d": [line.decode() for line in lines[:value]]}, {"c": [1, lines[value].count(b"\r\n")]}]}).encode()
            elif op == "dkim_sign":
                message = self.dkim_sign(message, dict(value))
            elif op == "arc_seal":
                message = self.arc_seal(message, dict(value))
            elif op == "raw_recipe":
                self.recipe = self.prose.raw_recipe(value)
            elif op == "drop":
                message = self.drop(message, **value)
            else:
                raise AssertionError("no builder step " + op)
        return message, self.envelope

    # -- fields

    @staticmethod
    def find(message, field, n):
        """The n-th field of that name, counted by its number for the fields of a chain, from the top for others."""
        if field in ("DKIM2-Signature", "Message-Instance"):
            return by_number(message, field.lower(), "i" if field[0] == "D" else "m")[n]
        return [f for f in fields(message) if name_of(f) == field.lower()][n - 1]

    def drop(self, message, field, n):
        return message.replace(self.find(message, field, n), b"", 1)

    @staticmethod
    def insert(message, before, bytes):
        at = re.search(rb"(?im)^" + before.encode() + rb":", message).start()
        return message[:at] + octets(bytes) + message[at:]

    def set_tag(self, message, field, n, tag, value, resign):
        old = self.find(message, field, n)
        if value is None:
            new = re.sub(rb"([:;])\s*" + tag.encode() + rb"=[^;]*;", rb"\1", old)
            return self.changed(message, field, n, old, new, resign)
        value = self.prose.tag(value, self, message) if value.startswith(("sha256:(", "(")) or "altered" in value else octets(value)
        hit = re.search(rb"([:;]\s*)" + tag.encode() + rb"=([^;]*?)(?=;|\r\n$|$)", old)
        if callable(value):
            new = value(old)
        elif hit:
            new = old[:hit.start(2)] + value + old[hit.end(2):]
        else:
            new = old[:-2].rstrip(b";") + b"; " + tag.encode() + b"=" + value + b";\r\n"
        return self.changed(message, field, n, old, new, resign)

    def changed(self, message, field, n, old, new, resign):
        message = message.replace(old, new, 1)
        if resign and name_of(old) in self.signers:
            message = self.sign_again(message, new, n)
        elif resign:
            for hop in self.hops:
                if field == "Message-Instance" or hop.i >= n:
                    message = self.sign(message, hop)
        return message

    # -- DKIM and ARC

    def dkim_sign(self, message, tags):
        key = self.prose.signer(tags, self.keyring)
        for name in ("d", "s", "b", "key"):
            tags.pop(name, None)
        self.signers["dkim-signature"].append(key)
        return signing.sign(message, key, **tags)

    def arc_seal(self, message, tags):
        key = self.keyring.key(tags.pop("d"), tags.pop("s", "e"))
        self.signers["arc-message-signature"].append(key)
        self.signers["arc-seal"].append(key)
        return signing.arc_seal(message, key, **tags)

    def sign_again(self, message, field, n):
        """The n-th field of its kind from the top is signed as it is now, and the seal of its set."""
        key = self.signers[name_of(field)][-n]
        rest = message.replace(field, b"", 1)
        if name_of(field) == "arc-seal":
            return message.replace(field, signing.arc_sealed(rest, field, key), 1)
        message = message.replace(field, signing.filled(rest, field, key), 1)
        if name_of(field) == "dkim-signature":
            return message
        return self.sign_again(message, self.find(message, "ARC-Seal", n), n)

    # -- hops

    def hop(self, message, value, following):
        known = {"d", "s", "mf", "rt", "nd", "f", "n", "recipe", "t"}
        assert set(value) <= known, "no such part of a hop: %r" % (set(value) - known)
        d = value["d"]
        keys, algorithms, forged = self.prose.selectors(value.get("s", "e"), d, self.keyring)
        mf = value.get("mf", "<s@%s>" % d)
        rt = value.get("rt", ["<r1@%s>" % (following or "c.test")])
        instances, seals = by_number(message, "message-instance", "m"), by_number(message, "dkim2-signature", "i")
        i, m = max(seals, default=0) + 1, max(instances, default=0)
        if value.get("recipe") == "auto":
            self.recipe = recipes.between(message, self.before)
        if not m or self.recipe is not None:
            m += 1
            message = self.instance(m, message) + message
        t = str(value.get("t", "now"))
        t = eval_time(t)
        if "nd" in value:
            where = "nd=%s;" % value["nd"]
        else:
            where = "mf=%s; rt=%s;" % (b64(octets(mf)), ",".join(b64(octets(r)) for r in rt))
            # An envelope cannot be what is no path.
            self.envelope = (mf, list(rt)) if all(re.fullmatch("<[^<>]*>", path) and ".." not in path for path in [mf] + list(rt)) else None
        more = "".join(" %s=%s;" % (tag, value[tag]) for tag in ("n", "f") if tag in value)
        sets = ",".join("%s:%s:" % (key.selector, alg) for key, alg in zip(keys, algorithms))
        field = ("DKIM2-Signature: i=%d; m=%d; t=%s; d=%s; %s%s\r\n s=%s;\r\n" % (i, m, t, d, where, more, sets)).encode("latin-1")
        hop = Hop(i, keys, algorithms, forged)
        self.hops.append(hop)
        return self.sign(field + message, hop)

    def instance(self, m, message):
        """What m= says of the message as it is now, and the recipe that was given."""
        undo = b"" if self.recipe is None else b"\r\n r=%s;" % recipes.folded(self.recipe)
        assert m > 1 or not undo, "a recipe, and nothing before it"
        self.recipe, self.before = None, message
        return b"Message-Instance: m=%d; h=sha256:%s:%s;%s\r\n" % (m, b64(header_hash(message)).encode(), b64(body_hash(message)).encode(), undo)

    def sign(self, message, hop):
        """The seal's s= with signatures over the message as it is now."""
        old = by_number(message, "dkim2-signature", "i")[hop.i]
        data = signing_input(message, hop.i)
        values = [sign(key, data) for key in hop.keys]
        if hop.forged:
            values = [bytes(reversed(v)) for v in values]
        sets = ",".join("%s:%s:%s" % (key.selector, alg, b64(v)) for key, alg, v in zip(hop.keys, hop.algorithms, values))
        at = old.rindex(b" s=") if b"\r\n s=" in old else old.index(b"s=")
        end = old.find(b";", at)
        new = old[:at] + b" s=" + sets.encode() + old[end if end >= 0 else len(old) - 2:]
        return message.replace(old, new, 1)


def hops_of(step):
    """A hop in the catalogue's words may be many."""
    return [step]


def body(text):
    return octets(text)


def raw_recipe(text):
    return octets(text)


def eval_time(text):
    hit = re.fullmatch(r"now(?:([+-])(\d+))?", text)
    if not hit:
        return text
    return str(NOW + (int(hit.group(2)) * (1 if hit.group(1) == "+" else -1) if hit.group(1) else 0))


def selectors(text, d, keyring):
    """(keys, algorithm names, forged) of an s: selectors with commas, or what the catalogue says in words."""
    if text == "forged":
        keys = [keyring.key(d, "e")]
        return keys, [algorithm(keys[0])], True
    hit = re.fullmatch(r"(\w+) as ([\w-]+)", text)
    if hit:
        return [keyring.key(d, hit.group(1))], [hit.group(2)], False
    hit = re.fullmatch(r"k1\.\.k(\d+) with algorithm ([\w-]+)", text)
    if hit:
        class Named:
            def __init__(self, key, selector):
                self.file, self.kind, self.selector, self.domain = key.file, key.kind, selector, d
        key = keyring.key(d, "e")
        return [Named(key, "k%d" % n) for n in range(1, int(hit.group(1)) + 1)], [hit.group(2)] * int(hit.group(1)), False
    keys = [keyring.key(d, s if s[0] in "er" else "e") for s in text.split(",")]
    if not text[0] in "er":
        class Other:
            def __init__(self, key):
                self.file, self.kind, self.selector, self.domain = key.file, key.kind, text, d
        keys = [Other(keys[0])]
    return keys, [algorithm(key) for key in keys], False


def signatures_of(step):
    return [step]


def signer(tags, keyring):
    """The key of a DKIM signature."""
    return keyring.key(tags["d"], tags["s"])


def second_altered(field):
    """The second signature of an s=, one octet of it changed."""
    at = field.rindex(b":") + 1
    raw = bytearray(base64.b64decode(field[at:field.index(b";", at)]))
    raw[0] ^= 1
    return field[:at] + base64.b64encode(bytes(raw)) + field[field.index(b";", at):]
