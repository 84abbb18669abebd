"""A second verifier, for chains as a careful signer makes them: it takes no odd spelling and has one word for everything that is wrong."""
import base64
import hashlib
import json
import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding

from chains import recipe as recipes
from chains import wire


class Wrong(Exception):
    pass


def need(holds, what):
    if not holds:
        raise Wrong(what)


def split(message):
    """Fields with their CRLF, and the body."""
    head, _, body = message.partition(b"\r\n\r\n")
    return re.findall(rb"[^\r\n][^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*", head + b"\r\n"), body


def tags(field):
    rows = {}
    for part in wire.unfold(field.split(b":", 1)[1])[:-2].decode("utf-8").split(";"):
        if part.strip():
            name, value = part.split("=", 1)
            need(name.strip().lower() not in rows, "tag twice")
            rows[name.strip().lower()] = re.sub(r"[ \t]", "", value)
    return rows


def plain(text):
    octets = base64.b64decode(text, validate=True)
    need(base64.b64encode(octets).decode() == text, "base64")
    return octets


def numbered(fields, name, tag):
    rows = sorted((int(tags(f)[tag]), f) for f in fields if wire.name_of(f) == name)
    need([n for n, _ in rows] == list(range(1, len(rows) + 1)), "numbers of %s" % name)
    return [f for _, f in rows]


def once(pairs):
    need(len({name.lower() for name, _ in pairs}) == len(pairs), "member twice")
    return dict(pairs)


def read_steps(rows):
    out, end = [], 0
    for row in rows:
        (kind, what), = row.items()
        if kind == "c":
            need(len(what) == 2 and end < what[0] <= what[1], "copies")
            end = what[1]
        else:
            need(kind in "du" and what, "step")
            what = [plain(t) if kind == "u" else t.encode("utf-8") for t in what]
            need(kind == "d" or not any(map(recipes.is_utf8, what)), "u where d would do")
        out.append((kind, what))
    return out


def read_recipe(octets):
    text = json.loads(octets.decode("utf-8"), object_pairs_hook=once)
    need(text and set(text) <= {"h", "b"}, "members")
    out = {}
    if "h" in text:
        need(text["h"], "h")
        out["h"] = [(name, read_steps(steps)) for name, steps in text["h"].items()]
        need(all(name == name.lower() for name, _ in out["h"]), "name")
    if "b" in text:
        out["b"] = read_steps(text["b"])
    return out


def in_range(steps, n):
    need(all(kind != "c" or what[1] <= n for kind, what in steps), "copy of what is not there")


def before(recipe, fields, body, level):
    for name, steps in recipe.get("h", ()):
        in_range(steps, len(wire.values(fields, name.encode())))
    if "b" in recipe:
        in_range(recipe["b"], len(wire.body_lines(body)))
    return recipes.apply(recipe, fields, body, level)


def hashes_fit(h, fields, body, level):
    for item in h.split(","):
        name, header, text = item.split(":")
        make = wire.HASHES[name]
        need(make(wire.header_input(fields, level)).digest() == plain(header), "header hash")
        need(make(wire.body_input(body)).digest() == plain(text), "body hash")


def signature_fits(record, algorithm, signature, octets):
    row = dict(part.strip().split("=", 1) for part in record.split(";") if part.strip())
    key = base64.b64decode(row["p"])
    try:
        if algorithm == "ed25519-sha256":
            need(row["k"] == "ed25519", "key type")
            ed25519.Ed25519PublicKey.from_public_bytes(key).verify(signature, hashlib.sha256(octets).digest())
        else:
            need(algorithm == "rsa-sha256" and row.get("k", "rsa") == "rsa", "algorithm")
            serialization.load_der_public_key(key).verify(signature, octets, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise Wrong("signature") from None


def domain_of(path):
    return path[1:-1].rpartition("@")[2].lower()


def follows(domain, of):
    return domain == of or domain.endswith("." + of)


def custody(seals):
    for n, seal in enumerate(seals):
        seal["mf_path"] = plain(seal["mf"]).decode("utf-8") if "mf" in seal else None
        seal["rt_paths"] = [plain(p).decode("utf-8") for p in seal["rt"].split(",")] if "rt" in seal else []
        need(("nd" in seal) != ("mf" in seal) and ("mf" in seal) == ("rt" in seal), "nd, mf and rt")
        mf = seal["mf_path"]
        need(mf in (None, "<>") or follows(domain_of(mf), seal["d"]), "mf and d")
        if n and "nd" in seals[n - 1]:
            need(seals[n - 1]["nd"] == seal["d"], "nd")
        elif n and mf not in (None, "<>"):
            need(any(follows(domain_of(mf), domain_of(p)) for p in seals[n - 1]["rt_paths"]), "custody")
        elif n:
            need(any(follows(seal["d"], domain_of(p)) or follows(domain_of(p), seal["d"]) for p in seals[n - 1]["rt_paths"]), "custody")


def verify(message, zone, mail_from, rcpt_to, now, level=9):
    """Raises Wrong. Gives the states, newest first: (fields, body) of each instance."""
    fields, body = split(message)
    instances, seals = numbered(fields, b"message-instance", "m"), numbered(fields, b"dkim2-signature", "i")
    rows = [tags(f) for f in seals]
    need(rows and int(rows[-1]["m"]) == len(instances), "newest instance not signed")
    custody(rows)
    need(rows[-1]["mf_path"] == mail_from and set(rcpt_to) <= set(rows[-1]["rt_paths"]), "envelope")
    states = [(fields, body)]
    for m in range(len(instances), 0, -1):
        row = tags(instances[m - 1])
        hashes_fit(row["h"], fields, body, level)
        if m > 1:
            need("r" in row, "no recipe")
            fields, body = before(read_recipe(plain(row["r"])), fields, body, level)
            states.append((fields, body))
    octets = b""
    for n, (seal, row) in enumerate(zip(seals, rows)):
        need(now - 14 * 86400 <= int(row["t"]) <= now + 300, "time")
        octets = b"".join(wire.squeezed(f) for f in instances[:int(row["m"])]) + b"".join(wire.squeezed(f) for f in seals[:n])
        own = wire.squeezed(seal)
        for selector, algorithm, value in (s.split(":") for s in row["s"].split(",")):
            own = own.replace((":" + value).encode(), b":", 1)
        for selector, algorithm, value in (s.split(":") for s in row["s"].split(",")):
            record, = zone["%s._domainkey.%s" % (selector.lower(), row["d"])]
            signature_fits(record, algorithm, plain(value), octets + own)
    return states
