"""Zones signed record by record (RFC 4034), so that a test can have what no signer makes: what is forged, out of date, or too much."""
import base64
import hashlib
import os
import struct

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from nameserver import DNSKEY, NSEC3, NXDOMAIN, RRSIG, record, reply, soa, wire

RSA, ED25519 = 8, 15    # RFC 5702, 8080
FOREVER = (1000000000, 3000000000)      # inception, expiration: less than 2^31 apart (RFC 4034 3.1.5)


def key_tag(data):
    """RFC 4034 appendix B."""
    total = sum(octet << 8 if at % 2 == 0 else octet for at, octet in enumerate(data))
    return (total + (total >> 16)) & 0xffff


def with_tag(algorithm, public, tag):
    """DNSKEY data of that tag: the last two octets of what public() gives, an even number of them, give way."""
    while True:
        data = struct.pack("!HBB", 256, 3, algorithm) + public()[:-2]
        whole = data + struct.pack("!H", (tag - key_tag(data + b"\0\0")) % 65535)
        if key_tag(whole) == tag:   # but for some sums that the carry spoils
            return whole


class Zone:
    """One zone with one key; .records is for a NameServer."""

    def __init__(self, name):
        self.name = name
        self.key = ed25519.Ed25519PrivateKey.generate()
        self.data = struct.pack("!HBB", 257, 3, ED25519) + self.key.public_key().public_bytes(serialization.Encoding.Raw,
                                                                                              serialization.PublicFormat.Raw)
        self.tag = key_tag(self.data)
        self.records = {}
        self.put(name, soa(name))
        self.put(name, record(DNSKEY, self.data))

    def sign(self, owner, records, valid=FOREVER, labels=None):
        """The RRSIG of a set of records at a name."""
        kind, ttl = records[0].kind, records[0].ttl
        head = struct.pack("!HBBIIIH", kind, ED25519, len(owner.split(".")) if labels is None else labels, ttl, valid[1], valid[0],
                           self.tag) + wire(self.name)
        octets = head + b"".join(wire(owner) + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data for data in sorted(r.data for r in records))
        return record(RRSIG, head + self.key.sign(octets), name=records[0].name, ttl=ttl)

    def put(self, owner, *records, **more):
        """A set and its signature, in addition to what is there."""
        self.records[owner] = self.records.get(owner, []) + list(records) + [self.sign(owner, records, **more)]

    def anchor(self, folder):
        """The file of a trust anchor."""
        path = os.path.join(folder, self.name + ".anchor")
        digest = hashlib.sha256(wire(self.name) + self.data).hexdigest()
        with open(path, "w", encoding="ascii") as f:
            f.write("%s. 3600 IN DS %d %d 2 %s\n" % (self.name, self.tag, ED25519, digest))
        return path

    # ---- what costs a validator much ----

    def forged(self, owner, records, n):
        """n signatures of a set, all of this key's tag and none of them right."""
        good = self.sign(owner, records)
        return [good._replace(data=good.data[:-64] + os.urandom(32) + bytes(32)) for _ in range(n)]

    def forged_rsa(self, owner, records, n):
        """The same by RSA with 3072 bits."""
        head = bytearray(self.sign(owner, records).data[:-64])
        head[2] = RSA
        return [record(RRSIG, bytes(head) + b"\1" + os.urandom(383)) for _ in range(n)]

    def more_keys(self, keys):
        """Further keys, properly signed."""
        self.records[self.name] = [soa(self.name), self.sign(self.name, [soa(self.name)])]
        self.put(self.name, record(DNSKEY, self.data), *[record(DNSKEY, key) for key in keys])

    def collide(self, n):
        """n keys more of the same tag."""
        self.more_keys(with_tag(ED25519, lambda: os.urandom(32), self.tag) for _ in range(n))

    def great_exponents(self, n):
        """n RSA keys of the same tag, whose exponent has as many bits as the modulus: of all keys they cost most to try."""
        def public():
            return b"\0\1\x7f" + b"\x7f" + os.urandom(381) + b"\1" + b"\xff" + os.urandom(383)
        self.more_keys(with_tag(RSA, public, self.tag) for _ in range(n))

    def absent(self, owner, iterations, salt=b"\xaa\xbb"):
        """The proof that a name is not there, hashed that many times (RFC 5155); it holds for any name below the zone."""
        def hashed(name):
            digest = hashlib.sha1(wire(name) + salt).digest()
            for _ in range(iterations):
                digest = hashlib.sha1(digest + salt).digest()
            return digest

        def nsec3(first, after, types):
            label = base64.b32encode(first).translate(bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789ABCDEFGHIJKLMNOPQRSTUV"))
            name = label.decode().lower() + "." + self.name
            one = record(NSEC3, struct.pack("!BBHB", 1, 0, iterations, len(salt)) + salt + bytes([20]) + after + types, name=name)
            return [one, self.sign(name, [one])]

        apex = hashed(self.name)
        # The apex, and all that is not the apex.
        step = (int.from_bytes(apex, "big") + 1).to_bytes(20, "big")
        before = (int.from_bytes(apex, "big") - 1).to_bytes(20, "big")
        proof = nsec3(apex, step, b"\x00\x07\x22\x00\x00\x00\x00\x02\x90") + nsec3(step, before, b"")
        start = soa(self.name)
        self.records[owner] = reply(authority=[start, self.sign(self.name, [start])] + proof, rcode=NXDOMAIN)
