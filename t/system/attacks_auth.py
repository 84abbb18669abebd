"""
What t/data/attacks.yaml says of SPF, DMARC, DKIM and ARC: the runs that its words ask for beside its own steps, each with the zone
it needs, and what the daemon must have found in them. The name server is the test's own (nameserver.py), and nothing is kept that
it says, so that each run has its own zone and its questions can be counted.
"""
import base64
import copy
import functools
import random
import re

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from attacks import ABSENT, HOSTNAME, Run
from attacks_build import octets
from dialogue import check
from mail import BASE, NOW, fields, name_of, values
from nameserver import DNAME, PTR, SERVFAIL, cname, mx, record, reply, txt, wire
from results import parse, prop

AREAS = ("auth", "dkim", "arc")
SERVFAILS = reply(rcode=SERVFAIL)
REFUSED, NO_AUTHOR = [(550, "5.7.1")], [(550, "5.6.0")]


def must_say(case, op, *texts):
    """The prose this reading rests on."""
    for text in texts:
        check(text in case.texts(op), "%s: %s no longer says %r" % (case.id, op, text))


def must_expect(case, **texts):
    for name, text in texts.items():
        check(case.expect.get(name) == text, "%s: %s is no longer %r" % (case.id, name, text))


def case_what(case, what):
    check(case.row["what"] == what, case.row["what"])


def build(*steps):
    return [{"build": list(steps)}, {"pre": "msg"}]


def auth(case, name, steps, result, enforced=None, **more):
    """
    A run: result is method -> state or states, for the message or, in a list, for each; enforced the reply of the built-in policy,
    where that does not take it, or a list of them.
    """
    more = dict({"stage": "dns", "reply": "policy"}, **more)
    return Run(case, name, steps=steps, result=result, enforced=enforced, **more)


def sign(d="a.test", s="r2048", **tags):
    return {"dkim_sign": dict(tags, d=d, s=s)}


def retag(field, n, tag, value):
    return {"set_tag": {"field": field, "n": n, "tag": tag, "value": value, "resign": True}}


def author(text):
    return [{"drop": {"field": "From", "n": 1}}, {"prepend": "From: %s\r\n" % text}]


# ---- keys ---------------------------------------------------------------------------------------------------------

def b64(octets_):
    return base64.b64encode(octets_).decode()


def der(tag, content):
    n = len(content)
    size = n.to_bytes((n.bit_length() + 7) // 8 or 1, "big")
    return bytes([tag]) + (size if n < 128 else bytes([0x80 | len(size)]) + size) + content


def der_number(n):
    return der(2, n.to_bytes(n.bit_length() // 8 + 1, "big"))


class Spki:
    """An RSA key of any numbers; what it signs is right where it knows how."""
    kind = "rsa"

    def __init__(self, domain, selector, n, e, primes=()):
        self.domain, self.selector, self.n, self.e, self.primes = domain, selector, n, e, primes
        self.public = der(0x30, bytes.fromhex("300d06092a864886f70d0101010500") + der(3, b"\0" + der(0x30, der_number(n) + der_number(e))))

    @property
    def name(self):
        return "%s._domainkey.%s" % (self.selector, self.domain)

    @property
    def record(self):
        return "v=DKIM1; p=" + b64(self.public)

    def sign(self, digest):
        octets_ = (self.n.bit_length() + 7) // 8
        if not self.primes:
            return b"\1" * min(1024, octets_)
        text, sum_ = int.from_bytes(padded(digest, octets_), "big"), 0
        for p in self.primes:
            rest = self.n // p
            sum_ += pow(text, pow(self.e, -1, p - 1), p) * rest * pow(rest, -1, p)
        return (sum_ % self.n).to_bytes(octets_, "big")


DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


def padded(digest, octets_):
    """EMSA-PKCS1-v1_5 (RFC 8017 9.2)."""
    tail = b"\0" + DIGEST_INFO + digest
    return b"\0\1" + b"\xff" * (octets_ - 2 - len(tail)) + tail


def prime(random_, low, high):
    while True:
        p = random_.randrange(low, high) | 1
        if all(p % q for q in (3, 5, 7, 11, 13, 17, 19, 23, 29, 31)) and all(pow(a, p - 1, p) == 1 for a in (2, 3, 5)) and (p - 1) % 65537:
            return p


@functools.lru_cache(maxsize=None)
def many_primes():
    """8,192 bits of 32 primes, which are soon found; who verifies does not see that."""
    random_, n, primes = random.Random(8192), 1, []
    for k in range(32):
        primes.append(prime(random_, 1 << 255, 1 << 256) if k < 31 else prime(random_, (1 << 8191) // n + 1, (1 << 8192) // n))
        n *= primes[-1]
    return Spki("evil.test", "big", n, 65537, primes)


class Forger:
    """Signs under e=3 without the key: a cube that begins as a padded digest does, and ends in garbage (Bleichenbacher 2006)."""
    kind = "rsa"

    def __init__(self, key):
        self.domain, self.selector = key.domain, key.selector

    def sign(self, digest):
        head = b"\0\1" + b"\xff" * 8 + b"\0" + DIGEST_INFO + digest
        wanted = int.from_bytes(head, "big") << 8 * (256 - len(head))
        low, high = 0, 1 << 700
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if middle ** 3 < wanted else (low, middle)
        assert (low ** 3).to_bytes(256, "big").startswith(head)
        return low.to_bytes(256, "big")


class Lazy:
    """A key of the ring under another selector."""

    def __init__(self, of, selector, domain="a.test"):
        self.of, self.selector, self.domain = of, selector, domain

    def key(self, keyring):
        own = copy.copy(keyring.key(self.domain, self.of))
        own.selector = self.selector
        return own


def signer(tags, keyring):
    """The key of a DKIM signature, by d and s; or one of ours."""
    key = tags.get("key")
    if isinstance(key, Lazy):
        return key.key(keyring)
    if key:
        return key() if callable(key) else key
    if tags.get("b") == "forged":
        return Forger(keyring.key(tags["d"], tags["s"]))
    if re.fullmatch(r"k\d+", tags["s"]):
        return Lazy("e", tags["s"], tags["d"]).key(keyring)
    if tags["s"] == "m":
        return Lazy("e", "m").key(keyring)
    return keyring.key(tags["d"], tags["s"])


def signatures_of(step):
    """One step that stands for several signatures."""
    tags = step.get("dkim_sign", {})
    hit = re.fullmatch(r"k1\.\.k(\d+)", tags.get("s", ""))
    if not hit:
        return [step]
    out = []
    for n in range(1, int(hit.group(1)) + 1):
        own = dict(tags, s="k%d" % n)
        if "c" in tags:
            check(tags["c"] == "mixed" and tags["l"] == "16 different", tags)
            own.update(c=("simple/simple", "relaxed/simple", "simple/relaxed", "relaxed/relaxed")[n % 4], l=1000 * n)
        out.append({"dkim_sign": own})
    return out


def ec_record():
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    return b64(public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))


def zone(keyring):
    """What the name server has in every run: the keys of the ring, those of k1 to k300, and what two domains ask for."""
    records = {name: text for name, (text,) in keyring.answers().items() if ".." not in name}
    records.update({"k%d._domainkey.evil.test" % n: keyring.key("evil.test", "e").record for n in range(1, 301)})
    return dict(records, **{"_dmarc.a.test": "v=DMARC1; p=none", "_dmarc.b.test": "v=DMARC1; p=reject"})


# ---- SPF ----------------------------------------------------------------------------------------------------------

def runs_lookups(case):
    case_what(case, "An SPF tree that needs 11 lookups, one with 3 void lookups, and one that includes itself.")
    must_say(case, "zone", {"a.test TXT": "v=spf1 include:s0.a.test -all", "s0..s10.a.test TXT": "v=spf1 include:s(n+1).a.test -all",
                            "loop.a.test TXT": "v=spf1 include:loop.a.test -all"})
    must_expect(case, result="spf=permerror", reply="policy")

    def tree(last):
        zone = {"s%d.a.test" % n: "v=spf1 include:s%d.a.test -all" % (n + 1) for n in range(last)}
        return dict(zone, **{"s%d.a.test" % last: "v=spf1 +all", "a.test": "v=spf1 include:s0.a.test -all"})
    msg = [{"pre": "msg"}]
    yield auth(case, "11-lookups", msg, {"spf": "permerror"}, zone=tree(10))
    yield auth(case, "counter-check", msg, {"spf": "pass"}, zone=tree(9), log=[])
    yield auth(case, "void", msg, {"spf": "permerror"}, zone={"a.test": "v=spf1 a:v1.a.test a:v2.a.test a:v3.a.test +all"})
    yield auth(case, "loop", msg, {"spf": "permerror"}, zone={"a.test": "v=spf1 include:loop.a.test -all",
                                                              "loop.a.test": "v=spf1 include:loop.a.test -all"})


def runs_fanout(case):
    case_what(case, "mx with 200 hosts, ptr with 1000 names, and exists with macros made from a 250-octet local part.")
    must_say(case, "zone", {"a.test TXT": "v=spf1 mx ptr exists:%{l1r-}.%{l}.%{ir}.a.test -all"})
    must_expect(case, result="spf=permerror")
    text = "v=spf1 mx ptr exists:%{l1r-}.%{l}.%{ir}.a.test -all"
    hosts = [mx(n, "h%d.a.test" % n, ttl=0) for n in range(200)]
    names = [record(PTR, wire("p%d.evil.test" % n), ttl=0) for n in range(1000)]
    reverse = "7.0.18.198.in-addr.arpa"
    sender = ("<%s@a.test>" % "-".join(["x" * 49] * 5), ["<r1@c.test>"])
    zone = {"a.test": [txt(text, ttl=0)] + hosts, reverse: names}
    # Behind a balancer, so that the client has an address of which a name server may be asked.
    front = b"PROXY TCP4 198.18.0.7 127.0.0.1 4711 25\r\n"
    more = {"envelope": sender, "listener": "fronted", "front": front}
    yield auth(case, "mx", [{"pre": "msg"}], {"spf": "permerror"}, zone=zone, **more)
    yield auth(case, "ptr", [{"pre": "msg"}], {"spf": "fail"}, zone=dict(zone, **{"a.test": text.replace("mx ", "")}), **more)


def runs_records(case):
    case_what(case, "Two SPF records, a 64 KiB record, NUL and 8-bit octets, bad ip6 prefix, and an exp= text with CRLF.")
    must_say(case, "zone", {"a.test TXT": ["v=spf1 -all", "v=spf1 +all"], "exp.a.test TXT": "no\r\n250 ok"})
    must_expect(case, result="spf=permerror", reply="policy", also="text from DNS never reaches a reply or a header unescaped")
    for name, records in (("two", ["v=spf1 -all", "v=spf1 +all"]), ("64-kib", ["v=spf1 " + "ip4:192.0.2.1 " * 4500 + "ip4: +all"]),
                          ("nul", ["v=spf1 \0 +all"]), ("8-bit", ["v=spf1 a:\xff\xfe.a.test +all"]), ("prefix", ["v=spf1 ip6:2001:db8::/129 +all"]),
                          ("crlf", ["v=spf1 \r\n+all"])):
        yield auth(case, name, [{"pre": "msg"}], {"spf": "permerror"}, zone={"a.test": [txt(r, ttl=0) for r in records]})
    for name, text in (("exp", "no\r\n250 ok"), ("exp-8-bit", "\xe4\x1b[2J"), ("exp-plain", "not from %{i}")):
        exp = {"a.test": "v=spf1 exp=exp.a.test -all", "exp.a.test": text}
        yield auth(case, name, [{"pre": "msg"}], {"spf": "fail"}, zone=exp)
        yield Run(case, name, steps=[{"pre": "msg"}], listener="explain", stage="dns", zone=exp, result=None, reply="550 5.7.1", sink=0, log=[])


# ---- From and DMARC -----------------------------------------------------------------------------------------------

def runs_several_from(case):
    must_say(case, "host", 'further runs: "From: s@a.test, ceo@b.test", no From, "From : ceo@b.test"')
    must_expect(case, result="dmarc=permerror or fail", reply="550 5.6.0 when enforcing; never dmarc=pass")
    # The client may speak for a.test, not for b.test.
    zone = {"a.test": "v=spf1 +all"}
    yield auth(case, "two-fields", case.steps[:2], {"dmarc": "permerror"}, NO_AUTHOR, zone=zone)
    # Every author domain is judged and the strictest outcome counts (RFC 9989 11.5): b.test's is to refuse.
    yield auth(case, "two-authors", build(*author("s@a.test, ceo@b.test")), {"dmarc": "fail"}, REFUSED, zone=zone)
    yield auth(case, "none", build({"drop": {"field": "From", "n": 1}}), {"dmarc": "permerror"}, NO_AUTHOR, zone=zone)
    for listener in ("annotate", "enforce"):        # it is no header any more
        yield Run(case, "blank", steps=build(*author("s@a.test")[:1], {"prepend": "From : ceo@b.test\r\n"}), stage="dns", listener=listener, zone=zone,
                  result=None, reply="550 5.6.0", sink=0, log=["msg_malformed"])


def runs_from_tricks(case):
    must_say(case, "host", 'further runs: "From: =?utf-8?q?=3Cceo=40b.test=3E?= <x@evil.test>", "From: g:ceo@b.test;", "From: <@b.test:x@evil.test>", '
             '"From: ceo@b.test\\0@evil.test"')
    must_expect(case, result="dmarc evaluated for evil.test or permerror, never for b.test")
    # What the client may speak for passes.
    zone = {"evil.test": "v=spf1 +all", "_dmarc.evil.test": "v=DMARC1; p=none"}
    more = {"zone": zone, "envelope": ("<x@evil.test>", ["<r1@c.test>"])}
    # Two authors, of whom each is judged; the strictest outcome counts (RFC 9989 11.5), so that none of them lends its pass to the other.
    yield auth(case, "two", case.steps[:2], {"dmarc": "fail"}, REFUSED, log=["msg_from_ambiguous"], **more)
    # A name that only looks like an address is none (RFC 2047 5), nor is a route (RFC 5322 4.4): one author each, known.
    yield auth(case, "encoded", build(*author("=?utf-8?q?=3Cceo=40b.test=3E?= <x@evil.test>")), {"dmarc": "pass"}, None, log=[], **more)
    yield auth(case, "route", build(*author("<@b.test:x@evil.test>")), {"dmarc": ("pass", "permerror")}, None, log=[], **more)
    # An author in a group is one (RFC 6854 2.1): what b.test asks for is done, and nobody lends it a pass.
    yield auth(case, "group", build(*author("g:ceo@b.test;")), {"dmarc": "fail"}, REFUSED, log=[], **more)
    yield Run(case, "nul", steps=build(*author("ceo@b.test\0@evil.test")), stage="dns", zone=zone, result=None, reply="550 5.6.x", conn="any", sink=0,
              log=["smtp_nul"])


def runs_walk(case):
    must_expect(case, result="dmarc=none")
    yield auth(case, "", case.steps, {"dmarc": "none"}, zone={"_dmarc.a.test": ABSENT})


def runs_dmarc_out(case):
    must_say(case, "dns", "SERVFAIL for _dmarc.a.test")
    must_expect(case, result="dmarc=temperror", reply="451 4.7.x when enforcing")
    steps = build(sign("evil.test", "e"))
    yield auth(case, "", steps, {"dmarc": "temperror", "dkim": "pass"}, [(451, "4.7.5")], stage="dns-out", zone={"_dmarc.a.test": SERVFAILS}, canary="annotate")


# ---- Authentication-Results ---------------------------------------------------------------------------------------

def forged(text):
    """A run's content without the forged fields, as it goes on."""
    return lambda content: content.replace(octets(text), b"", 1)


def runs_forged(case):
    (first, pre) = case.steps
    yield Run(case, steps=[first, pre], stage="dns", stripped=forged(first["build"][0]["prepend"]))


def comment(n):
    """A field of ours, n octets of a comment in it."""
    rows = "".join(" (%s)\r\n" % ("c" * 70) for _ in range(n // 75))
    return "Authentication-Results: mx.c.test;\r\n dmarc=pass\r\n" + rows


def runs_oversize(case):
    case_what(case, "A forged field of 5 KiB and one of 60 KiB, where removal code has a fixed buffer.")
    must_say(case, "build", [{"prepend": "Authentication-Results: mx.c.test;\r\n dmarc=pass (5000 octets of comment follow in folded lines)\r\n"}])
    for name, n in (("5-kib", 5000), ("60-kib", 60000)):
        yield Run(case, name, steps=build({"prepend": comment(n)}), stage="dns", stripped=forged(comment(n)), octets=n < 60000)


def runs_injection(case):
    path = '<"x; dmarc=pass header.from=b.test"@a.test>'
    check(case.steps[1] == {"send": "MAIL FROM:%s\r\n" % path} and
          case.steps[2] == {"build": [{"dkim_sign": {"d": "a.test", "s": "r2048", "i": '"; spf=pass"@a.test'}}]}, "other steps", case.steps)
    must_expect(case, result="one result per method")
    for name, i, state in (("plain", '"; spf=pass"@a.test', "permerror"), ("quoted", "=22=3B=20spf=3Dpass=22@a.test", "pass"),
                           ("crlf", "=0D=0AX:=20y=3B=20dmarc=3Dpass@a.test", ("pass", "permerror"))):
        yield auth(case, name, build(sign(i=i)), {"dkim": state}, envelope=(path, ["<r1@c.test>"]), log=[])
    yield auth(case, "selector", build(sign(s="r2048"), retag("DKIM-Signature", 1, "s", 'a"; dmarc=pass header.from=b.test (')), {"dkim": "permerror"},
               envelope=(path, ["<r1@c.test>"]), log=[])
    yield auth(case, "ar-in-arc", build({"arc_seal": {"d": "evil.test", "aar": 'x; dmarc=pass (\\"'}}), {"arc": "pass"}, log=[])


def runs_null(case):
    must_expect(case, result="spf=none", reply="policy", also="no query is made for a literal")
    (send,) = case.texts("send")
    for name, helo in (("literal", "[IPv6:::1]"), ("no-dot", "localhost"), ("dots", "a..b.test"), ("long", "x" * 64 + ".test")):
        steps = [{"send": send.replace("[IPv6:::1]", helo) + "DATA\r\n"}, {"send": BASE.decode() + ".\r\n"}]
        yield auth(case, name, steps, {"spf": "none"}, log=[], reply=[[(code, None)] for code in (250, 250, 250, 354, 250)], helo=helo)


# ---- DKIM ---------------------------------------------------------------------------------------------------------

def runs_append(case):
    must_expect(case, result="dkim=policy or fail (body not covered)", also="never a base for dmarc=pass by default")
    yield auth(case, "", case.steps, {"dkim": ("policy", "fail"), "dmarc": "fail"})


def runs_length(case):
    case_what(case, "l= larger than the body, 76 digits long, negative, or empty.")
    must_expect(case, result="dkim=permerror")
    for name, l in (("digits", case.steps[0]["build"][0]["dkim_sign"]["l"]), ("larger", "8"), ("2to63", str(1 << 63)), ("2to64", str((1 << 64) + 7)),
                    ("negative", "-1"), ("empty", "")):
        # RFC 6376 3.2: a tag may be empty, where its own rule lets it be; l= has digits.
        yield auth(case, name, build(sign(l=l)), {"dkim": "permerror", "dmarc": "fail"}, log=["dkim_syntax"])


def runs_extra_from(case):
    must_expect(case, result="dkim=pass at most with the note that a From is unsigned; dmarc never pass")
    yield auth(case, "", case.steps, {"dkim": ("pass", "fail", "policy"), "dmarc": "permerror"}, NO_AUTHOR)


def runs_oversign(case):
    must_expect(case, result="dkim=pass, then dkim=fail")
    more = case.steps + build(sign(h="from:from:reply-to"), {"prepend": "From: ceo@b.test\r\n"})
    found = [{"dkim": "pass", "dmarc": "pass"}, {"dkim": "fail", "dmarc": "fail"}, {"dkim": "fail", "dmarc": "permerror"}]
    yield auth(case, "", more, found, [[(250, None)], [(250, None)], NO_AUTHOR], log=["dkim_signature"])


def runs_no_h(case):
    case_what(case, "Signatures with no h=, an empty h=, an h= without from, or no bh=.")
    must_expect(case, result="dkim=permerror")
    for name, steps in (("empty", case.steps[0]["build"]), ("no-h", [retag("DKIM-Signature", 1, "h", None)]),
                        ("no-from", [retag("DKIM-Signature", 1, "h", "to:subject")]), ("no-bh", [retag("DKIM-Signature", 1, "bh", None)]),
                        ("from-in-no-name", [retag("DKIM-Signature", 1, "h", "xfrom:from-x:to")])):
        yield auth(case, name, build(sign(), *steps), {"dkim": "permerror"})


def runs_flood(case):
    """All on a tenth of the time: 500 ms an answer, 2,500 for all of a message."""
    must_say(case, "dns", "each answer takes 5 s")
    must_expect(case, result="the first N checked, the rest dkim=policy (too many)")
    steps = [step for step in case.steps if "dns" not in step]
    yield auth(case, "", steps, {"dkim": ("pass", "temperror")}, stage="slow", slow=True, octets=False, delay_s=0.5, log=["dkim_too_many"])


def runs_weak(case):
    case_what(case, "Valid signatures under 512-bit and 768-bit RSA keys and rsa-sha1.")
    must_expect(case, result="dkim=policy or permerror", also="never pass")
    for name, steps, log in (("512", [sign(s="r512")], "dkim_key_refused"), ("768", [sign(s="r768")], "dkim_key_refused"),
                             ("sha1", [sign(), retag("DKIM-Signature", 1, "a", "rsa-sha1")], "dkim_algorithm")):
        yield auth(case, name, build(*steps), {"dkim": ("policy", "permerror")}, log=[log])


def runs_huge(case):
    case_what(case, "RSA public keys of 8193, 16384 and 65536 bits; 8192 bits with a 4096-bit public exponent; as a counter-check 8192 bits with 65537, "
              "thirty of them in one message.")
    must_say(case, "zone", {"big._domainkey.evil.test TXT": "v=DKIM1; p=(SPKI with the given sizes)"})
    must_expect(case, result="permerror; the counter-check may pass")
    for name, bits, e in (("8193", 8193, 65537), ("16384", 16384, 65537), ("65536", 65536, 65537), ("exponent", 8192, (1 << 4095) | 1),
                          ("65-bit-exponent", 8192, (1 << 64) | 1)):
        key = Spki("evil.test", "big", (1 << (bits - 1)) | 1, e)
        yield auth(case, name, build(sign("evil.test", key=key)), {"dkim": "permerror"}, zone={key.name: key.record}, octets=False)
    yield auth(case, "counter-check", build(*[sign("evil.test", key=many_primes)] * 30), {"dkim": "pass"},
               zone={"big._domainkey.evil.test": many_primes}, octets=False, slow=True, log=["dkim_too_many"])


def runs_e3(case):
    case_what(case, "A Bleichenbacher-2006 style signature under an e=3 key, with garbage after the digest, and e=1.")
    must_expect(case, result="dkim=fail")
    yield auth(case, "", case.steps, {"dkim": "fail"}, log=["dkim_signature"])
    yield auth(case, "counter-check", build(sign(s="e3")), {"dkim": "pass"}, log=[])
    # No RSA key has that exponent (RFC 8017 3.1).
    one = Spki("a.test", "e1", (1 << 2047) | 1, 1)
    yield auth(case, "one", build(sign(key=one)), {"dkim": "permerror"}, zone={one.name: one.record}, log=["dkim_key_refused"])


def runs_key_records(case):
    case_what(case, "Key records with trailing DER, an EC key under k=rsa, 31- and 64-octet Ed25519 keys, a record pasted twice, repeated tags, "
              "missing padding, h=sha1, s=other.")
    must_expect(case, result="dkim=permerror")
    (zone,) = case.texts("zone")
    (pasted,) = zone.values()
    yield auth(case, "pasted-twice", case.steps[1:], {"dkim": "permerror"}, zone={"m._domainkey.a.test": pasted})
    for name, of, record_of, log in (
            ("trailing-der", "r2048", lambda k: "v=DKIM1; p=" + b64(k.public + b"\0"), "dkim_key_syntax"),
            ("der-in-der", "r2048", lambda k: "v=DKIM1; p=" + b64(k.public[:-5] + b"\0" + k.public[-5:]), "dkim_key_syntax"),
            ("ec", "r2048", lambda k: "v=DKIM1; k=rsa; p=" + ec_record(), "dkim_key_syntax"),
            ("31-octets", "e", lambda k: "v=DKIM1; k=ed25519; p=" + b64(k.public[:31]), "dkim_key_syntax"),
            ("64-octets", "e", lambda k: "v=DKIM1; k=ed25519; p=" + b64(k.public * 2), "dkim_key_syntax"),
            ("der-for-ed25519", "e", lambda k: "v=DKIM1; k=ed25519; p=" + b64(bytes.fromhex("302a300506032b6570032100") + k.public), "dkim_key_syntax"),
            ("repeated", "e", lambda k: k.record + "; p=" + b64(k.public), "dkim_key_syntax"),
            ("padding", "e", lambda k: k.record.rstrip("="), "dkim_key_syntax"),
            ("v-late", "e", lambda k: "k=ed25519; v=DKIM1; p=" + b64(k.public), "dkim_key_syntax"),
            ("v-2", "e", lambda k: k.record.replace("DKIM1", "DKIM2"), "dkim_key_syntax"),
            ("sha1", "e", lambda k: k.record + "; h=sha1", "dkim_key"), ("other", "e", lambda k: k.record + "; s=other", "dkim_key")):
        yield auth(case, name, build(sign(s=of, key=Lazy(of, "m"))), {"dkim": "permerror"}, zone={"m._domainkey.a.test": (of, record_of)}, log=[log],
                   octets=False)


def runs_key_names(case):
    """The NUL is no text at all; what the others name is asked of nobody."""
    must_say(case, "host", "further runs: d=b.test(.evil.test, s=x.y._domainkey.evil.test.#, s=.., d=b.test., d with 8-bit octets, label of 64 octets, name of "
             "256 octets")
    must_expect(case, result="dkim=permerror", also="the name asked and the name reported are the same octets")
    yield Run(case, "nul", steps=build(sign(), *case.steps[0]["build"]), stage="dns", result=None, reply="550 5.6.x", conn="any", sink=0, log=["smtp_nul"])
    for name, tag, value in (("parenthesis", "d", "b.test(.evil.test"), ("selector-hash", "s", "x.y._domainkey.evil.test.#"), ("selector-dots", "s", ".."),
                             ("final-dot", "d", "b.test."), ("8-bit", "d", "b\xff\xfe.test"), ("label", "d", "x" * 64 + ".test"),
                             ("name", "d", ".".join(["x" * 49] * 5) + ".test"), ("backslash", "d", "b\\046test.evil.test"), ("blank", "d", "b.test evil.test")):
        yield auth(case, name, build(sign(), retag("DKIM-Signature", 1, tag, value)), {"dkim": "permerror"}, log=["dkim_syntax"])


def runs_huge_txt(case):
    must_say(case, "zone", {"t._domainkey.evil.test TXT": ["(8131 octets)", "(8192 octets)"]})
    must_expect(case, result="dkim=permerror")
    steps = build(sign("evil.test", key=Lazy("e", "t", "evil.test")))
    yield auth(case, "two", steps, {"dkim": "permerror"}, zone={"t._domainkey.evil.test": [txt("x" * 8131, ttl=0), txt("x" * 8192, ttl=0)]})
    yield auth(case, "one", steps, {"dkim": "permerror"}, zone={"t._domainkey.evil.test": [txt("x" * 64000, ttl=0)]}, octets=False)
    yield auth(case, "counter-check", steps, {"dkim": "pass"}, zone={"t._domainkey.evil.test": ("e", lambda k: k.record + "; n=" + "n" * 8000)}, log=[])


def runs_long_tags(case):
    case_what(case, "z= of 60 KiB, b= of 1 MiB with illegal base64, 5000 tags, repeated tags, v=2.")
    must_expect(case, result="dkim=pass for z= within the header limit, permerror for the others")
    more = {"octets": False}
    yield auth(case, "z", build(sign(), *case.steps[0]["build"]), {"dkim": "pass"}, log=[], **more)
    long = {"set_tag": {"field": "DKIM-Signature", "n": 1, "tag": "b", "value": "(1000000 octets)", "resign": False}}
    yield auth(case, "b", build(sign(), long), {"dkim": "permerror"}, log=["dkim_syntax"], **more)
    tags = "; ".join("x%d=y" % n for n in range(5000))
    yield auth(case, "5000", build(sign(), retag("DKIM-Signature", 1, "n", tags)), {"dkim": "permerror"}, log=["dkim_syntax"], **more)
    yield auth(case, "repeated", build(sign(), retag("DKIM-Signature", 1, "n", "x; d=a.test")), {"dkim": "permerror"}, log=["dkim_syntax"])
    yield auth(case, "v-2", build(sign(v="2")), {"dkim": "permerror"}, log=["dkim_syntax"])


def runs_times(case):
    case_what(case, "x= in the past, t= one year ahead, x= before t=, 20-digit values, host clock wrong by a day.")
    must_expect(case, result="dkim=fail (expired) or permerror", also="no integer wrap")
    year, day = 365 * 86400, 86400
    for name, tags, state in (("past", {"t": 1, "x": 2}, "fail"), ("year-ahead", {"t": NOW + year}, "fail"), ("day-ahead", {"t": NOW + day}, "fail"),
                              ("before", {"t": NOW, "x": NOW - 1}, "permerror"), ("same", {"t": NOW, "x": NOW}, "permerror"),
                              ("t-20", {"t": "1" * 20}, "permerror"), ("x-20", {"x": "9" * 20}, "permerror"),
                              ("x-2to64", {"x": (1 << 64) + NOW + day}, "permerror"), ("t-12", {"t": "9" * 12}, "fail"),
                              ("x-32", {"t": 0, "x": (1 << 32) + 5}, "pass")):
        log = ["dkim_syntax" if "20" in name or "64" in name else "dkim_time"]
        yield auth(case, name, build(sign(**tags)), {"dkim": state}, log=[] if state == "pass" else log)


def runs_chunks(case):
    check(case.texts("each_split") == ["(the message)"] and case.texts("pre") == ["data"], "other steps")
    must_expect(case, result="dkim=pass for every split")
    yield auth(case, "", [case.steps[0], {"each_split": "(the message)"}], {"dkim": "pass"}, conn="any", log=[], octets=False, slow=True, only="annotate")


def runs_algorithms(case):
    case_what(case, "a=rsa-md5, a=rsa-sha512, a=RSA-SHA256, a=none, with an otherwise right RSA value.")
    must_expect(case, result="dkim=permerror")
    for a in ("rsa-md5", "rsa-sha512", "RSA-SHA256", "none"):
        yield auth(case, a, build(sign(), retag("DKIM-Signature", 1, "a", a)), {"dkim": "permerror"}, log=["dkim_algorithm"])


def runs_body_hashes(case):
    must_expect(case, result="at most 4 distinct body hashes computed, the rest dkim=policy")
    yield auth(case, "", case.steps, {"dkim": "policy"}, octets=False, slow=True, log=["dkim_too_many"], only="annotate")


# ---- ARC ----------------------------------------------------------------------------------------------------------

def arc(d="a.test", **tags):
    return {"arc_seal": dict(tags, d=d)}


def runs_gap(case):
    case_what(case, "Sets 1 and 3; two sets 1; set 0; set 51; i=4294967297; a set without its seal.")
    must_expect(case, result="arc=fail")
    first = arc(i=1, cv="none")
    for name, steps in (("1-and-3", case.steps[0]["build"]), ("two", [first, arc("b.test", i=1, cv="none")]), ("0", [first, arc(i=0, cv="pass")]),
                        ("51", [first, arc(i=51, cv="pass")]), ("2to32", [arc(i=4294967297, cv="none")]), ("only-2", [arc(i=2, cv="pass")]),
                        ("no-seal", [first, {"drop": {"field": "ARC-Seal", "n": 1}}]),
                        ("no-seal-2", [first, arc("b.test"), {"drop": {"field": "ARC-Seal", "n": 1}}]),
                        ("no-results", [first, {"drop": {"field": "ARC-Authentication-Results", "n": 1}}]),
                        ("51-sets", [arc() for _ in range(51)])):
        yield auth(case, name, build(*steps), {"arc": "fail"}, octets=name != "51-sets")


def runs_cv(case):
    case_what(case, "cv=pass on the first set, cv=none on the second, cv=fail followed by a cv=pass.")
    must_expect(case, result="arc=fail")
    for name, steps in (("first-pass", case.steps[0]["build"]), ("second-none", [arc(), arc("b.test", cv="none")]),
                        ("fail-pass", [arc(), arc("b.test", cv="fail"), arc("evil.test", cv="pass")]), ("first-fail", [arc(cv="fail")])):
        yield auth(case, name, build(*steps), {"arc": "fail"}, log=["arc_cv"])


def runs_untrusted(case):
    must_expect(case, result="arc=pass, dmarc=fail, and no override")
    yield auth(case, "", case.steps, {"arc": "pass", "dmarc": "fail"}, REFUSED)


def runs_arc_changed(case):
    case_what(case, "Body changed after the last seal, and header listed in the message signature added again.")
    must_expect(case, result="arc=fail", also="the proxy seals with cv=fail or not at all, and further sets are never built on a failed chain")
    # Listed once more than it is there: of a field listed as often as it is there another one above is not seen (RFC 6376 5.4.2).
    for name, steps in (("body", case.steps[0]["build"]), ("header", [arc(h="from:to:subject:subject"), {"prepend": "Subject: other\r\n"}]),
                        ("below", [arc(), {"append_body": "x\r\n"}, arc("b.test", cv="fail")])):
        yield auth(case, name, build(*steps), {"arc": "fail"})
        yield auth(case, name, build(*steps), {"arc": "fail"}, listener="arc-sealing", log=["arc_not_sealed"])


def runs_scope(case):
    case_what(case, "An ARC-Seal with h= or bh=, an ARC-Message-Signature that signs ARC-Seal, relaxed-only violations.")
    must_expect(case, result="arc=fail")
    yield auth(case, "h", case.steps, {"arc": "fail"}, log=["arc_syntax"])
    yield auth(case, "bh", build(arc(), retag("ARC-Seal", 1, "bh", "AAAA")), {"arc": "fail"}, log=["arc_syntax"])
    yield auth(case, "ams-signs-seal", build(arc(h="from:arc-seal:to")), {"arc": "fail"}, log=["arc_syntax"])
    # RFC 8617 4.1.3: relaxed, whatever it says.
    yield auth(case, "simple", build(arc(how="simple")), {"arc": "fail"},
               log=["arc_signature"])


def runs_arc_flood(case):
    """All on a tenth of the time: 300 ms an answer, 2,500 for all of a message."""
    must_say(case, "dns", "each answer takes 3 s")
    must_expect(case, result="arc=pass or temperror by the total deadline")
    check(case.steps[1] == {"build": [arc("d1..d50.evil.test", i="1..50", cv="pass")]}, "other steps")
    steps = build(*[arc("d%d.evil.test" % n) for n in range(1, 51)])
    yield auth(case, "", steps, {"arc": ("pass", "temperror")}, stage="slow", octets=False, slow=True, delay_s=0.3, log=[])
    yield auth(case, "fast", steps, {"arc": "pass"}, octets=False, log=[])


def runs_arc_replay(case):
    must_say(case, "host", "send the same octets to r2 and r3")
    must_expect(case, result="arc=pass each time, reported without raising trust")
    for name, steps, extra in (("", case.steps[:2], {}),
                               ("b-test", build(*author("ceo@b.test"), arc("evil.test", aar="mx.evil.test; dmarc=pass header.from=b.test")),
                                {"dmarc": "fail"})):
        for rcpt in ("r1", "r2", "r3"):
            yield auth(case, name + rcpt, steps, dict(extra, arc="pass"), REFUSED if extra else None, octets=False,
                       envelope=("<s@a.test>", ["<%s@c.test>" % rcpt]))


# ---- DNS ----------------------------------------------------------------------------------------------------------

KEY = "k._domainkey.evil.test"


def runs_aliases(case):
    case_what(case, "CNAME loop, a chain of 100 CNAMEs, a CNAME to a name outside, a DNAME with a name growing past 255 octets.")
    must_say(case, "zone", {KEY + " CNAME": "k2._domainkey.evil.test", "k2._domainkey.evil.test CNAME": KEY})
    must_expect(case, result="dkim=temperror or permerror, never pass")
    chain = ["chain._domainkey.evil.test"] + ["c%d.evil.test" % n for n in range(100)]
    long = ".".join(["d" * 63] * 3 + ["d" * 61])
    # What fails is remembered for some seconds, so each has a name of its own.
    for name, records in (("k", {KEY: [cname("k2._domainkey.evil.test", ttl=0)], "k2._domainkey.evil.test": [cname(KEY, ttl=0)]}),
                          ("chain", {a: [cname(b, ttl=0)] for a, b in zip(chain, chain[1:])}),
                          ("outside", {"outside._domainkey.evil.test": [cname("k.elsewhere.test", ttl=0)]}),
                          ("dname", {"dname._domainkey.evil.test": [record(DNAME, wire(long), name="_domainkey.evil.test", ttl=0)]})):
        steps = build(sign("evil.test", key=Lazy("e", name, "evil.test")))
        yield auth(case, name, steps, {"dkim": ("temperror", "permerror")}, zone=records, log=["dkim_key"], stage="dns-out", octets=False)


def runs_octets(case):
    (zone,) = case.texts("zone")
    check(zone == {"k._domainkey.a.test TXT": ["v=DKIM1; p=MII", "", "\0", "\xff"]}, "another zone")
    case_what(case, "TXT with NUL, 8-bit octets, 255 empty strings, a string of 0 octets between key parts, quotes and backslashes.")
    must_expect(case, result="dkim=permerror", also="the log escapes what it quotes")
    steps = build(sign(key=Lazy("r2048", "k")))
    for name, strings in (("", [octets(s) for s in zone["k._domainkey.a.test TXT"]]), ("empty", [b""] * 255), ("nul", [b"v=DKIM1; k=rsa\0; p=MII"]),
                          ("quotes", [b'"v=DKIM1; p=\\"MII\\\\"']), ("8-bit", ["v=DKIM1; k=\xfcber; p=MII".encode("latin-1")])):
        yield auth(case, name, steps, {"dkim": "permerror"}, zone={"k._domainkey.a.test": [txt(strings, ttl=0)]}, octets=False)

    def halves(key):
        text = key.record.encode()
        return [txt([text[:40], b"", text[40:200], b"", b"", text[200:]], ttl=0)]
    yield auth(case, "counter-check", steps, {"dkim": "pass"}, zone={"k._domainkey.a.test": ("r2048", halves)}, octets=False, log=[])


def runs_drip(case):
    """
    All on a tenth of the time: 490 ms an answer, 2,500 for all of a message. Keys are asked for side by side, so that all are there;
    what one name of the DNS leads to after the other is not.
    """
    must_say(case, "dns", "each answer after 4.9 s")
    must_expect(case, result="temperror for what is unfinished", also="one deadline per message; lookups run side by side")
    names = case.texts("build")[0]
    check(names == [{"dkim_sign": {"d": "evil.test", "s": "k1..k10"}}, {"arc_seal": {"i": "1..10", "d": "evil.test", "cv": "pass"}},
                    {"dkim2_hop": {"d": "d1..d10.evil.test"}}], names)
    steps = build(names[0], *[arc("evil.test") for _ in range(10)], *[{"dkim2_hop": {"d": "d%d.evil.test" % n}} for n in range(1, 11)])
    zone = {"d10.evil.test": "v=spf1 include:s0.evil.test -all"}
    zone.update({"s%d.evil.test" % n: "v=spf1 include:s%d.evil.test -all" % (n + 1) for n in range(9)})
    zone["s9.evil.test"] = "v=spf1 +all"
    found = {"dkim": ("pass", "temperror"), "arc": ("pass", "temperror"), "dkim2": ("fail", "temperror"), "spf": "temperror"}
    yield auth(case, "", steps, found, None, zone=zone, stage="slow", octets=False, slow=True, delay_s=0.49, log=[], only="annotate")


def runs_mail_names(case):
    case_what(case, "Names from the message with labels over 63, totals over 255, empty labels, spaces, U-labels, 8-bit octets, a trailing dot.")
    must_expect(case, result="permerror")
    yield auth(case, "", case.steps, {"dkim2": "permerror"}, REFUSED, log=["dkim2_structure"])


RUNS = {
    "auth-spf-lookup-limit": runs_lookups,
    "auth-spf-ptr-mx-fanout": runs_fanout,
    "auth-spf-record-abuse": runs_records,
    "auth-multiple-from": runs_several_from,
    "auth-from-parse-tricks": runs_from_tricks,
    "auth-ar-forged": runs_forged,
    "auth-ar-forged-oversize": runs_oversize,
    "auth-ar-injection": runs_injection,
    "auth-null-sender-helo": runs_null,
    "auth-dmarc-tree-walk": runs_walk,
    "auth-dmarc-temperror": runs_dmarc_out,
    "dkim-l-append": runs_append,
    "dkim-l-number": runs_length,
    "dkim-extra-from": runs_extra_from,
    "dkim-oversign": runs_oversign,
    "dkim-empty-h": runs_no_h,
    "dkim-signature-flood": runs_flood,
    "dkim-weak-key": runs_weak,
    "dkim-huge-key": runs_huge,
    "dkim-e3-forgery": runs_e3,
    "dkim-key-record-malformed": runs_key_records,
    "dkim-key-injection": runs_key_names,
    "dkim-huge-txt": runs_huge_txt,
    "dkim-z-and-long-tags": runs_long_tags,
    "dkim-times": runs_times,
    "dkim-chunk-invariance": runs_chunks,
    "dkim-unknown-algorithm": runs_algorithms,
    "dkim-body-hash-combinations": runs_body_hashes,
    "arc-instance-gap": runs_gap,
    "arc-cv-lies": runs_cv,
    "arc-untrusted-sealer": runs_untrusted,
    "arc-body-changed": runs_arc_changed,
    "arc-seal-scope": runs_scope,
    "arc-flood": runs_arc_flood,
    "arc-replay": runs_arc_replay,
    "dns-cname-loop": runs_aliases,
    "dns-txt-octets": runs_octets,
    "dns-slow-drip": runs_drip,
    "dns-names-from-mail": runs_mail_names,
}


# ---- texts that stand for many octets ----

def tag(value):
    """What set_tag puts in, where the catalogue or a run says it in words."""
    hit = re.fullmatch(r"\((\d+) octets\)", value)
    check(hit, "no interpreter for the tag value %r" % value)
    return b"\r\n ".join([b"!" * 70] * (int(hit.group(1)) // 73 + 1))


def body(text):
    """25 MiB, of lines that relaxed canonicalisation has something to do with."""
    return b"".join(b"%-30d\t  x  \r\n" % n for n in range(25 * 1024 * 1024 // 38)) if text == "(25 MiB)" else None


# ---- what came of it ----------------------------------------------------------------------------------------------

LOGGED = {"dmarc": "result", "spf": "spf", "arc": "arc", "dkim2": "dkim2"}


def results_of(content):
    """The one field of ours, on top of all others of its kind."""
    told = values(content, "Authentication-Results")
    parsed = [parse(text) for text in told if text.lower().lstrip('("').startswith(HOSTNAME)]
    check(len(parsed) == 1 and told[0].startswith(HOSTNAME + ";"), "Authentication-Results %r" % told)
    return parsed[0][1]


def well_made(results, content):
    """Each mechanism once, a signature and HELO for themselves; in that order, and nothing else."""
    shape = " ".join(r.method for r in results)
    check(re.fullmatch("dkim2( dkim)+ arc spf( spf)? dmarc", shape), "results of %s" % shape)
    signatures = sum(name_of(field) == "dkim-signature" for field in fields(content))
    check(shape.count("dkim ") == max(1, min(10, signatures)), "%d signatures, results of %s" % (signatures, shape))
    for r in results:
        for name, value in r.props:
            check("\r" not in value and "\n" not in value, "a line end in %s of %r" % (name, r))


def logged(player, e):
    """method -> states, as the line for reports has them."""
    (event,) = player.relay.events("dmarc_result", tx=e["tx"])
    found = {method: [event[name]] for method, name in LOGGED.items() if name in event}
    found["dkim"] = [one.rsplit("=", 1)[1] for one in event.get("dkim_auth", "").split(" ") if one] or ["none"]
    return found


def judge(player, e, state, content):
    """state: method -> what it may be; content: None, it was refused."""
    found = logged(player, e)
    results = None
    if content is not None:
        results = results_of(content)
        well_made(results, content)
        for method, got in found.items():
            told = [r.result for r in results if r.method == method]
            if method != "dkim":
                check(told[:1] == got, "%s: the field says %r, the log %r" % (method, told, got))
            found[method] = told
    for method, want in state.items():
        want = (want,) if isinstance(want, str) else want
        first = found[method][:1] if method == "spf" else found[method]
        check(first and set(first) <= set(want), "%s wanted %s, found %r, %r" % (method, "/".join(want), first, results))
    if player.case.id in FOUND:
        FOUND[player.case.id](player, e, results, content)


def not_for_b(player, e, results, content):
    for r in results or []:
        check(r.method != "dmarc" or r.result in ("permerror", "fail") or prop(r, "header.from") != "b.test", "judged for b.test: %r" % (r,))


def too_many(player, e, results, content):
    check(results is None or "too many signatures: 40 or more not shown" in results[10].comments[0], results)


def four_hashes(player, e, results, content):
    reasons = [r.reason for r in results if r.method == "dkim"]
    check(len(reasons) == 10 and reasons.count("too many different body hashes") == 6, reasons)


def no_override(player, e, results, content):
    (event,) = player.relay.events("dmarc_result", tx=e["tx"])
    check(event["override"] == "none", event)


def not_sealed(player, e, results, content):
    check(content is None or content.count(b"ARC-Seal:") == player.message.count(b"ARC-Seal:"), "one more set")


def no_trust(player, e, results, content):
    (event,) = player.relay.events("arc_result", tx=e["tx"])
    check(event["trusted"] == "no", event)


FOUND = {
    "auth-from-parse-tricks": not_for_b,
    "dkim-signature-flood": too_many,
    "dkim-body-hash-combinations": four_hashes,
    "arc-untrusted-sealer": no_override,
    "arc-body-changed": not_sealed,
    "arc-replay": no_trust,
}


# ---- checks at the end ----

def told_on_one_line(player):
    if player.run.listener == "explain":
        (text,) = player.heard[-1].texts
        check(all(" " <= c <= "~" for c in text) and ("not from 127.0.0.1" in text) == (player.run.name == "exp-plain"), "reply %r" % text)


def no_literal(player):
    names = " ".join(name for name, _ in player.questions())
    check(":" not in names and "[" not in names and player.run.more["helo"].lower() not in names, names)


FINISH = {
    "auth-spf-record-abuse": told_on_one_line,
    "auth-null-sender-helo": no_literal,
}
SINKS = {
    "1; the only field with that authserv-id is the one the proxy wrote, above the rest": lambda player: len([results_of(t.content) for t in player.taken()]),
    "the field parses under the RFC 8601 grammar with exactly the proxy's results": lambda player: None,     # well_made()
}
