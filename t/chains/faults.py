"""One fault a chain, and what the draft says of it: faults of fields, envelope, time, custody, keys, signatures, hashes and From.

A fault gets a planned chain that is not built yet and says what is wrong with it: (state, exact reason), the reason None where
no text is fixed; or a function that says so once the chain is built.
"""
import base64

from chains import keys
from chains import wire
from chains.chain import AGE, Instance, Set, Unfit
from chains.content import munge, several

FAULTS = []


def fault(low=6, high=9, weight=1):
    def take(f):
        FAULTS.append((f.__name__.replace("_", "-"), f, low, high, weight))
        return f
    return take


def need(holds):
    if not holds:
        raise Unfit


def soft(c):
    """What -08 made a FAIL of (10.1)."""
    return "fail" if c.level >= 8 else "permerror"


def any_hop(c, fits=lambda hop: True):
    rows = [hop for hop in c.hops if fits(hop)]
    need(rows)
    hop = c.rng.choice(rows)
    return hop, c.hops.index(hop) + 1


def any_instance(c, first=1):
    """An instance that will be there, its number, and the hop that adds it."""
    rows = [(it, hop) for hop in c.hops for it in hop.instances]
    need(len(rows) >= first)
    at = c.rng.randrange(first - 1, len(rows))
    return rows[at][0], at + 1, rows[at][1]


def set_tag(name, value):
    return lambda tags: [(tag, value if tag == name else old) for tag, old in tags]


def drop_tag(name):
    return lambda tags: [(tag, old) for tag, old in tags if tag != name]


def add_tag(name, value):
    return lambda tags: tags + [(name, value)]


def seal_reason(i, words):
    return "DKIM2-Signature i=%d %s" % (i, words)


def instance_reason(m, words):
    return "Message-Instance m=%d %s" % (m, words)


# ---- DKIM2-Signature: structure ----

@fault()
def seal_of_the_middle_missing(c):
    need(c.n > 1)
    i = c.rng.randrange(1, c.n)
    c.after.append(lambda: c.remove(c.seal(i)))
    return "permerror", seal_reason(i, "missing")


@fault()
def seals_all_missing(c):
    c.after.append(lambda: [c.remove(f) for _, f in c.seal_fields])
    return "none", None


@fault()
def seal_twice(c):
    _, i = any_hop(c)
    c.after.append(lambda: c.place(c.seal(i)))
    return "permerror", None


@fault()
def newest_seal_missing(c):
    """The one before it is the newest then: its instance, or its envelope, gives it away."""
    need(c.n > 1 and len(c.hops[-1].instances) == 1)
    c.after.append(lambda: c.remove(c.seal(c.n)))
    return lambda: ("permerror", instance_reason(c.hops[-2].m + 1, "is not signed"))


@fault(weight=2)
def seal_tag_missing(c):
    name = c.rng.choice(("m", "t", "d", "s", "mf", "rt"))
    hop, i = any_hop(c, lambda hop: not hop.nd)
    hop.edit_tags = drop_tag(name)
    return "permerror", seal_reason(i, "tag=%s missing" % name)


@fault()
def nd_beside_mf(c):
    hop, i = any_hop(c, lambda hop: not hop.nd)
    names = c.rng.choice((("mf",), ("rt",), ("mf", "rt")))
    hop.edit_tags = lambda tags: [(t, v) for t, v in tags if t not in ("mf", "rt") or t in names] + [("nd", "hotel.example")]
    return "permerror", seal_reason(i, "tag=%s was unexpected" % names[0])


BAD_VALUES = [("m", v) for v in ("0", "01", "-1", "1a", "", "1 0", "10000", "0x1")] + \
    [("t", v) for v in ("01", "1.5", "-5", "now", "18446744073709551616", "1 2", "+1")] + \
    [("d", v) for v in ("a b.example", "a..example", "", "caf\u00e9.example", "alpha.example.\x7f")] + \
    [("mf", v) for v in ("YW5uQGEuZXhhbXBsZQ==", "PGFubg==", "!!!!", "PD4", "PD5=", "P=D4=", "\x7f")] + \
    [("rt", v) for v in ("PGFAYi5leGFtcGxlPg==,", ",PGFAYi5leGFtcGxlPg==", "PGFAYi5leGFtcGxlPg==,,PGFAYi5leGFtcGxlPg==", "YUBiLmV4YW1wbGU=", "PD4=", "*")] + \
    [("n", v) for v in ("a\u00e9b", "a\x07b")] + [("f", v) for v in ("exploded,", ",exploded", "a\x7f")] + \
    [("s", v) for v in ("ed", "ed:ed25519-sha256", "ed:ed25519-sha256:", "ed:ed25519-sha256:!!!!", ":ed25519-sha256:AAAA", "ed::AAAA", "ed:ed25519- sha256:AAAA",
                        "e d:ed25519-sha256:AAAA", "ed:ed25519-sha256:AAAA,", ",ed:ed25519-sha256:AAAA", "ed:ed25519-sha256:AAA", "ed:ed25519-sha256:AAB=",
                        "ed:ed25519-sha256:AAAA:AAAA", "e..d:ed25519-sha256:AAAA", "ed:ed25519-sha256:AAAA,,r:rsa-sha256:AAAA")]


@fault(weight=4)
def seal_value_bad(c):
    name, value = c.rng.choice(BAD_VALUES)
    hop, i = any_hop(c, lambda hop: not hop.nd and not (name == "n" and hop.nonce) and not (name == "f" and hop.flags))
    hop.edit_tags = add_tag(name, value) if name in "nf" else set_tag(name, value)
    if value == "":
        return "permerror", None    # empty, or missing?
    return "permerror", seal_reason(i, "syntax error")


@fault(weight=2)
def seal_with_junk(c):
    hop, i = any_hop(c)
    row = c.rng.choice(((None, "junk"), (None, "="), (None, "=x"), (None, "9a=1"), (None, "a-b=1"), (None, "\x7f"), ("zz", "a\u00e9"), ("zz", "\x00"), ("zz", "a\x07b")))
    hop.edit_tags = lambda tags: tags[:1] + [row] + tags[1:]
    hop.style.order = False
    return "permerror", seal_reason(i, "syntax error")


@fault(weight=2)
def seal_tag_twice(c):
    hop, i = any_hop(c)
    def twice(tags):
        name, value = c.rng.choice([row for row in tags if row[0] != "s"])
        return tags + [(c.rng.choice((name, name.swapcase())), value if name == "i" else c.rng.choice((value, "1")))]
    hop.edit_tags = twice
    return "permerror", seal_reason(i, "syntax error")


@fault()
def nonce_too_long(c):
    hop, _ = any_hop(c)
    hop.nonce = "n" * c.rng.choice((65, 66, 500))
    return "permerror", None


@fault()
def seal_number_unreadable(c):
    hop, _ = any_hop(c)
    hop.edit_tags = set_tag("i", c.rng.choice(("0", "01", "one", "", "99999999999", "1 1"))) if c.rng.random() < 0.8 else drop_tag("i")
    return "permerror", None


@fault()
def selector_twice(c):
    hop, i = any_hop(c)
    hop.groups = [[Set("ed", keys.ED), Set("r", keys.RSA), Set(c.rng.choice(("ed", "ED", "eD")), keys.ED)]]
    return "permerror", seal_reason(i, "has a duplicate selector")


@fault()
def sets_too_many(c):
    hop, i = any_hop(c)
    hop.groups = [[Set("ed", keys.ED)] + [Set("f%d" % n, "future-%d" % n, "junk") for n in range(8)]]
    if c.level >= 8 and c.rng.random() < 0.5:
        hop.groups = [[s] for s in hop.groups[0]]
    return "permerror", seal_reason(i, "has more selectors than allowed")


@fault()
def three_of_one_algorithm(c):
    """A rule that went with -08."""
    hop, i = any_hop(c)
    hop.groups = [[Set("ed", keys.ED), Set("e2", keys.ED), Set("e3", keys.ED)]]
    return ("pass", None) if c.level >= 8 else ("permerror", seal_reason(i, "has more selectors than allowed"))


@fault()
def groups_before_there_were_any(c):
    hop, i = any_hop(c)
    hop.groups = [[Set("ed", keys.ED)], [Set("r", keys.RSA)]]
    return ("pass", None) if c.level >= 8 else ("permerror", seal_reason(i, "syntax error"))


@fault()
def hash_groups_before_there_were_any(c):
    it, m, _ = any_instance(c)
    it.groups = [["sha256"], ["sha512"]]
    return ("pass", None) if c.level >= 8 else ("permerror", instance_reason(m, "syntax error"))


@fault()
def instance_number_too_high(c):
    def edit(tags):
        return set_tag("m", str(len(c.instances) + 1))(tags)
    c.hops[-1].edit_tags = edit
    return lambda: ("permerror", instance_reason(len(c.instances) + 1, "missing"))


@fault()
def instance_number_falls(c):
    rows = [k for k in range(1, c.n) if not c.hops[k].instances]
    before = [k for k in rows if sum(len(h.instances) for h in c.hops[:k]) > 1]
    need(before)
    c.hops[c.rng.choice(before)].edit_tags = lambda tags: set_tag("m", str(int(dict(tags)["m"]) - 1))(tags)
    return "permerror", None


# ---- Message-Instance: structure ----

@fault()
def instance_missing(c):
    _, m, _ = any_instance(c)
    c.after.append(lambda: c.remove(c.instance(m)))
    return "permerror", instance_reason(m, "missing")


@fault()
def instance_twice(c):
    _, m, _ = any_instance(c)
    c.after.append(lambda: c.place(c.instance(m)))
    return "permerror", None


@fault()
def instance_not_signed(c):
    def extra():
        c.add_instance(Instance(None))
    c.after.append(extra)
    return lambda: ("permerror", instance_reason(len(c.instances), "is not signed"))


@fault()
def instance_tag_missing(c):
    it, m, _ = any_instance(c)
    it.edit_tags = drop_tag("h")
    return "permerror", instance_reason(m, "tag=h missing")


@fault()
def instance_number_unreadable(c):
    it, _, _ = any_instance(c)
    it.edit_tags = set_tag("m", c.rng.choice(("0", "01", "x", "", "1.0", "1 1"))) if c.rng.random() < 0.8 else drop_tag("m")
    return "permerror", None


@fault()
def hash_twice(c):
    it, m, _ = any_instance(c)
    it.groups = [c.rng.choice((["sha256", "sha256"], ["sha256", "sha512", "sha256"], ["md9", "sha256", "md9"]))]
    return "permerror", instance_reason(m, "has a duplicate hash algorithm")


@fault(weight=2)
def instance_value_bad(c):
    it, m, _ = any_instance(c)
    half = base64.b64encode(b"x" * 32).decode()
    it.edit_tags = c.rng.choice([set_tag("h", v) for v in (
        "sha256", "sha256:" + half, "sha256:%s:" % half, "sha256::" + half, ":%s:%s" % (half, half), "sha 256:%s:%s" % (half, half),
        "sha256:%s:%s," % (half, half), ",sha256:%s:%s" % (half, half), "sha256:%s:%s:%s" % (half, half, half), "sha256:*%s:%s" % (half[1:], half),
        "sha256:%s:%s" % (half[:-1], half), "sha256:%s:%s" % (half[:-2] + "A=", half[:-2] + "B="))] +
        [add_tag("r", "*"), add_tag("r", "e30"), add_tag("M", str(m)), add_tag("H", "1"), add_tag(None, "junk"), add_tag("zz", "a\x7f"), add_tag("zz", "\u00e9")])
    it.edit_json = lambda text: None
    return "permerror", instance_reason(m, "syntax error")


# ---- time ----

@fault(weight=2)
def seal_expired(c):
    hop, i = any_hop(c)
    hop.t = c.rng.choice((c.now - AGE - 1, c.now - AGE - 2 - c.rng.randrange(10 ** 6), 0, 1))
    return soft(c), seal_reason(i, "signature expired")


@fault(weight=2)
def seal_from_the_future(c):
    hop, i = any_hop(c)
    hop.t = c.rng.choice((c.now + 301, c.now + 400 + c.rng.randrange(10 ** 6), 10 ** 12, 2 ** 63, 2 ** 64 - 1))
    return soft(c), seal_reason(i, "signature timestamp is in the future")


@fault()
def time_at_its_edges(c):
    for hop in c.hops:
        hop.t = c.rng.choice((c.now - AGE, c.now + 300, c.now))
    return "pass", None


@fault()
def time_not_looked_at(c):
    c.clock = False
    for hop in c.hops:
        hop.t = c.rng.choice((0, 1, c.now, 10 ** 12, 2 ** 64 - 1))
    return "pass", None


# ---- envelope ----

@fault(weight=2)
def envelope_mail_from(c):
    mf = c.hops[-1].mf
    rows = ["<mallory@elsewhere.example>"] if mf != "<>" else ["<x@%s>" % c.hops[-1].d]
    if mf != "<>":
        local, domain = mf[1:-1].rsplit("@", 1)
        rows += ["<>", "<%s@sub.%s>" % (local, domain), "<%s@%s>" % (local, domain + "x"), "<x%s@%s>" % (local.strip('"').replace(" ", ""), domain)]
        if local.swapcase() != local:
            rows.append("<%s@%s>" % (local.swapcase(), domain))
    c.mail_from = c.rng.choice(rows)
    return soft(c), seal_reason(c.n, "MAIL FROM %s did not match" % c.mail_from)


@fault(weight=2)
def envelope_rcpt_to(c):
    rt = c.hops[-1].rt
    local, domain = rt[0][1:-1].rsplit("@", 1)
    rows = ["<bcc@elsewhere.example>", "<%s@sub.%s>" % (local, domain), "<%sx@%s>" % (local.strip('"').replace(" ", ""), domain), "<postmaster>"]
    if local.swapcase() != local and "<%s@%s>" % (local.swapcase(), domain) not in rt:
        rows.append("<%s@%s>" % (local.swapcase(), domain))
    wrong = c.rng.choice(rows)
    c.rcpt_to = [wrong] if c.rng.random() < 0.3 else rt[:1] + [wrong] + rt[1:]
    return soft(c), seal_reason(c.n, "RCPT TO %s did not match" % wrong)


@fault()
def envelope_of_an_older_hop(c):
    need(c.n > 1 and c.hops[-2].mf and c.hops[-2].mf != c.hops[-1].mf and not c.hops[-1].mf.lower() == c.hops[-2].mf.lower())
    c.mail_from, c.rcpt_to = c.hops[-2].mf, c.hops[-2].rt
    return soft(c), seal_reason(c.n, "MAIL FROM %s did not match" % c.mail_from)


@fault()
def envelope_in_another_spelling(c):
    def respell(path):
        if "@" not in path:
            return path
        local, domain = path[1:-1].rsplit("@", 1)
        if c.rng.random() < 0.3 and domain.isascii():
            domain = domain.swapcase()
        if c.rng.random() < 0.3 and local[0] != '"':
            local = '"%s"' % local
        return "<%s%s@%s>" % ("@relay.example,@b.example:" if c.rng.random() < 0.2 else "", local, domain)
    top = c.hops[-1]
    c.mail_from, c.rcpt_to = respell(top.mf), [respell(p) for p in top.rt] + [respell(top.rt[0])]
    return "pass", None


# ---- custody ----

@fault(weight=2)
def sender_not_of_d(c):
    hop, i = any_hop(c, lambda hop: not hop.nd and hop.mf != "<>")
    k = i - 1
    if k and not c.hops[k - 1].nd:      # still explained by the hop before it
        c.hops[k - 1].rt.append("<x@%s>" % "elsewhere.example")
        hop.mf = c.rng.choice(("<a@elsewhere.example>", "<a@b.elsewhere.example>"))
    else:
        hop.mf = c.rng.choice(("<a@elsewhere.example>", "<a@example>", "<a@evil%s>" % hop.d, "<a@%s.evil.example>" % hop.d, "<postmaster>"))
    return soft(c), seal_reason(i, "MAIL FROM and d= do not match")


@fault(weight=2)
def sender_not_explained(c):
    hop, i = any_hop(c, lambda hop: hop.mf not in (None, "<>") and hop is not c.hops[0])
    before = c.hops[i - 2]
    need(not before.nd)
    mine = hop.mf[1:-1].rsplit("@", 1)[1].lower().encode("idna").decode()
    before.rt = c.rng.choice((["<a@elsewhere.example>"], ["<a@deep.%s>" % mine, "<b@elsewhere.example>"], ["<a@x%s>" % mine]))
    return soft(c), seal_reason(i, "MAIL FROM does not match RCPT TO of i=%d" % (i - 1))


@fault()
def null_sender_not_explained(c):
    rows = [k for k in range(1, c.n) if not c.hops[k].nd and not c.hops[k - 1].nd]
    need(rows)
    k = c.rng.choice(rows)
    c.hops[k].mf = "<>"
    c.hops[k - 1].rt = ["<a@elsewhere.example>", "<b@x%s>" % c.hops[k].d]
    return soft(c), seal_reason(k + 1, "d= does not match RCPT TO of i=%d" % k)


@fault()
def nd_hop_not_explained(c):
    rows = [k for k in range(1, c.n) if c.hops[k].nd and not c.hops[k - 1].nd]
    need(rows)
    k = c.rng.choice(rows)
    c.hops[k - 1].rt = ["<a@elsewhere.example>"]
    return soft(c), seal_reason(k + 1, "d= does not match RCPT TO of i=%d" % k)


@fault(weight=2)
def nd_names_another(c):
    rows = [k for k in range(1, c.n) if c.hops[k - 1].nd]
    need(rows)
    k = c.rng.choice(rows)
    d = c.hops[k].d
    c.hops[k - 1].nd = c.rng.choice(("elsewhere.example", "sub." + d, "x" + d))
    return soft(c), seal_reason(k + 1, "MAIL nd= does not match")


@fault()
def nd_on_top(c):
    hop = c.hops[-1]
    c.mail_from, c.rcpt_to = hop.mf, hop.rt
    hop.mf, hop.rt, hop.nd = None, [], "hotel.example"
    return "permerror", seal_reason(c.n, "unexpected nd= tag")


@fault()
def sender_of_d_above_rt(c):
    """A null sender fits in either direction; so does an nd= hop."""
    rows = [k for k in range(1, c.n) if c.hops[k].mf and not c.hops[k - 1].nd]
    need(rows)
    k = c.rng.choice(rows)
    c.hops[k].mf = "<>"
    c.hops[k - 1].rt = ["<a@elsewhere.example>", c.rng.choice(("<b@one.two.%s>" % c.hops[k].d, "<b@%s>" % c.hops[k].d, "<b@%s>" % c.hops[k].d.split(".", 1)[1]))]
    return "pass", None


# ---- keys and signatures ----

def plain_set(c, selector="ed", how="good"):
    return Set(selector, keys.GOOD[selector][0], how)


@fault(weight=8)
def key_bad(c):
    hop, i = any_hop(c)
    selector = c.rng.choice(sorted(keys.BAD))
    hop.groups = [[Set(selector, keys.bad_algorithm(selector))]]
    if c.rng.random() < 0.3 and not (c.level <= 7 and keys.BAD[selector] == "does not exist"):
        hop.groups[0].append(plain_set(c, "r"))
    state = "temperror" if selector in ("slow", "broken") else "permerror"
    return state, seal_reason(i, "public key %s %s" % (selector, keys.BAD[selector]))


@fault()
def key_of_another_type(c):
    hop, i = any_hop(c)
    hop.groups = [[Set(*c.rng.choice((("r", keys.ED), ("ed", keys.RSA))))]]
    return "permerror", seal_reason(i, "public key %s algorithm mismatch" % hop.groups[0][0].selector)


@fault(weight=3)
def signature_bad(c):
    hop, i = any_hop(c)
    selector = c.rng.choice(("ed", "r", "p1", "k1024", "MiXed_1", "e.dot"))
    hop.groups = [[plain_set(c, selector, c.rng.choice(("bad", "other")))]]
    return "fail", seal_reason(i, selector + " incorrect signature")


@fault()
def signature_over_the_input_itself(c):
    hop, i = any_hop(c)
    hop.groups = [[plain_set(c, "ed", "raw")]]
    return "fail", seal_reason(i, "ed incorrect signature")


@fault()
def one_right_one_wrong(c):
    hop, i = any_hop(c)
    rows = [plain_set(c, "ed", "bad"), plain_set(c, "r")] if c.rng.random() < 0.5 else [plain_set(c, "ed"), plain_set(c, "r", "bad")]
    c.rng.shuffle(rows)
    hop.groups = [rows]
    good, bad = ([s.selector for s in rows if (s.how == "good") == right][0] for right in (True, False))
    if c.level <= 7:
        return "fail", seal_reason(i, "%s signature passed, %s signature failed" % (good, bad))
    return "fail", seal_reason(i, bad + " incorrect signature")


@fault()
def absent_key_beside_a_good_one(c):
    hop, i = any_hop(c)
    hop.groups = [[Set("none", keys.ED), plain_set(c, "r")]]
    c.rng.shuffle(hop.groups[0])
    return ("pass", None) if c.level <= 7 else ("permerror", seal_reason(i, "public key none does not exist"))


@fault()
def unknown_beside_a_good_one(c):
    hop, i = any_hop(c)
    hop.groups = [[Set("later", "slh-dsa", "junk"), plain_set(c, "ed")]]
    c.rng.shuffle(hop.groups[0])
    return ("pass", None) if c.level <= 7 else ("permerror", seal_reason(i, "later unknown algorithm"))


@fault()
def unknown_alone(c):
    hop, i = any_hop(c)
    name = c.rng.choice(("slh-dsa", "RSA-SHA256", "rsa-sha1", "mldsa44-ed25519-sha512", "ed25519", "rsa-sha512"))
    hop.groups = [[Set("ed", name, "junk")]]
    return ("fail", None) if c.level <= 7 else ("permerror", seal_reason(i, "ed unknown algorithm"))


GROUPS = [      # members, and what the draft makes of them: state, selector, words
    ((("bad",), ("good",)), "pass", None), ((("good",), ("bad",)), "pass", None), ((("none",), ("good",)), "pass", None),
    ((("slow",), ("good",)), "pass", None), ((("unknown", "good"), ("good2",)), "pass", None), ((("good", "bad"), ("good2",)), "pass", None),
    ((("revoked",), ("bad",), ("good",)), "pass", None),
    ((("bad",), ("bad2",)), "fail", "ed incorrect signature"), ((("bad",), ("none",)), "fail", "ed incorrect signature"),
    ((("none",), ("bad",)), "fail", "ed incorrect signature"), ((("unknown",), ("bad",)), "fail", "ed incorrect signature"),
    ((("unknown",), ("none",)), "permerror", "later unknown algorithm"), ((("none",), ("unknown",)), "permerror", "public key none does not exist"),
    ((("bad", "unknown"), ("none",)), "permerror", "later unknown algorithm"), ((("bad", "none"),), "permerror", "public key none does not exist"),
    ((("slow",), ("bad",)), "temperror", "public key slow could not be fetched"), ((("none",), ("slow",)), "temperror", "public key slow could not be fetched"),
    ((("slow", "bad"),), "fail", "ed incorrect signature"), ((("slow", "good"), ("bad2",)), "temperror", "public key slow could not be fetched"),
    ((("slow", "unknown"),), "permerror", "later unknown algorithm"), ((("slow", "none"), ("bad",)), "fail", "ed incorrect signature"),
]


@fault(low=8, weight=6)
def signature_groups(c):
    hop, i = any_hop(c)
    members = {"good": lambda: plain_set(c, "r"), "good2": lambda: plain_set(c, "e2"), "bad": lambda: plain_set(c, "ed", "bad"),
               "bad2": lambda: plain_set(c, "p1", "bad"), "unknown": lambda: Set("later", "slh-dsa", "junk")}
    groups, state, words = c.rng.choice(GROUPS)
    hop.groups = [[members[name]() if name in members else Set(name, keys.ED) for name in group] for group in groups]
    return state, words and seal_reason(i, words)


@fault()
def newest_seal_changed(c):
    """Outside its signature, where every octet but white space counts."""
    hop = c.hops[-1]
    way = c.rng.choice(("t", "tag", "case", "semicolon"))
    need(len(hop.groups) == 1 and len(hop.groups[0]) == 1)
    hop.style.last = way == "semicolon"
    def edit(field):
        if way == "t":
            digits = str(hop.t).encode()
            at = field.index(digits)
            return field[:at] + str(hop.t - 1).encode() + field[at + len(digits):]
        if way == "tag":
            return field.replace(b":", b": zq=1;", 1)
        if way == "case":
            name, value = field.split(b":", 1)
            return name + b":" + value.replace(b"d", b"D", 1) if b"=" in value else field
        return field[:-3] + b"\r\n"
    hop.style.case = hop.style.wild = hop.style.order = False
    hop.flags, hop.tags, hop.nonce = [], [], None
    if way == "case":
        hop.edit_field = lambda f: f.replace(b"m=", b"M=", 1)
    else:
        hop.edit_field = edit
    need(way != "t" or hop.t > c.now - AGE)
    return "fail", seal_reason(c.n, hop.groups[0][0].selector + " incorrect signature")


@fault()
def older_seal_changed(c):
    """Its own signature is wrong then, and each that came after it."""
    need(c.n > 1)
    hop = c.hops[c.rng.randrange(c.n - 1)]
    hop.nonce = "nonce"
    c.after.append(lambda: c.replace(c.seal(hop.i), c.seal(hop.i).replace(b"nonce", b"Nonce")))
    return "fail", None


# ---- hashes ----

@fault(weight=6)
def hash_wrong(c):
    it, m, _ = any_instance(c)
    what = c.rng.choice(("header", "body"))
    name = c.rng.choice(("sha256", "sha512"))
    it.groups = c.rng.choice(([[name]], [["sha256", "sha512"]]))
    it.wrong = {(name, what)}
    return "fail", "Message Instance m=%d %s hash %s mismatch" % (m, what, name)


@fault()
def unknown_hash(c):
    it, m, _ = any_instance(c)
    it.groups = [c.rng.choice((["md9"], ["SHA256"], ["sha3-256", "md9"]))]
    return ("fail", None) if c.level <= 7 else ("permerror", instance_reason(m, "unknown hash algorithm " + it.groups[0][0]))


@fault()
def unknown_hash_beside_a_good_one(c):
    it, m, _ = any_instance(c)
    it.groups = [["md9", "sha256"]]
    c.rng.shuffle(it.groups[0])
    return ("pass", None) if c.level <= 7 else ("permerror", instance_reason(m, "unknown hash algorithm md9"))


HASH_GROUPS = [
    ((("256x",), ("512",)), "pass", None), ((("256",), ("512x",)), "pass", None), ((("md9",), ("256",)), "pass", None), ((("256", "md9"), ("512",)), "pass", None),
    ((("256x",), ("512x",)), "fail", "m=%d header hash sha256 mismatch"), ((("md9",), ("256x",)), "fail", "m=%d header hash sha256 mismatch"),
    ((("256x",), ("md9",)), "fail", "m=%d header hash sha256 mismatch"), ((("256x", "md9"),), "permerror", None), ((("md9",), ("sha1",)), "permerror", None),
]


@fault(low=8, weight=2)
def hash_groups(c):
    it, m, _ = any_instance(c)
    groups, state, words = c.rng.choice(HASH_GROUPS)
    it.groups = [["sha" + name.rstrip("x") if name[0] in "25" else name for name in group] for group in groups]
    it.wrong = {("sha" + name[:3], "header") for group in groups for name in group if name.endswith("x")}
    if state == "permerror":
        return state, instance_reason(m, "unknown hash algorithm md9")
    return state, words and "Message Instance " + words % m


def top_reason(c, what):
    return "fail", "Message Instance m=%d %s hash %s mismatch" % (len(c.instances), what, c.instances[-1].groups[0][0])


def plain_top(c):
    """The newest instance has one hash only, so that there is one thing to say."""
    [it for hop in c.hops for it in hop.instances][-1].groups = [[c.rng.choice(("sha256", "sha512"))]]


@fault(weight=4)
def body_changed(c):
    plain_top(c)
    way = c.rng.choice(("octet", "line", "space", "cut"))
    def change():
        if way == "octet" and c.body:
            at = c.rng.randrange(len(c.body))
            c.body = c.body[:at] + bytes([c.body[at] ^ 1]) + c.body[at + 1:]
        elif way == "space" and b"\r\n" in c.body:
            c.body = c.body.replace(b"\r\n", b" \r\n", 1)
        elif way == "cut" and wire.body_input(c.body) != b"\r\n":
            c.body = wire.body_input(c.body)[:-3]
        else:
            c.body = b"first\r\n" + c.body
    c.after.append(change)
    return lambda: top_reason(c, "body")


@fault(weight=4)
def header_changed(c):
    plain_top(c)
    way = c.rng.choice(("added", "doubled", "value", "removed", "swapped"))
    def change():
        signed = [f for f in c.fields if not wire.is_unsigned(wire.name_of(f), c.level) and wire.name_of(f) != b"from"]
        if way == "doubled":
            c.fields.insert(0, signed[0])
        elif way == "value":
            c.fields = [b"Subject: another\r\n" if f is signed[-1] else f for f in c.fields]
        elif way == "removed":
            c.remove(signed[0])
        elif way == "swapped":
            rows = [n for n, f in enumerate(c.fields) if wire.name_of(f) == b"comments"]
            pair = next(((a, b) for a in rows for b in rows if wire.value_of(c.fields[a]) != wire.value_of(c.fields[b])), None)
            if pair:
                c.fields = list(c.fields)
                c.fields[pair[0]], c.fields[pair[1]] = c.fields[pair[1]], c.fields[pair[0]]
            else:
                c.fields.append(b"Comments: new\r\n")
        else:
            c.fields.insert(c.rng.randrange(len(c.fields) + 1), b"List-Id: <x.example>\r\n")
    c.after.append(change)
    return lambda: top_reason(c, "header")


@fault()
def signed_since_08(c):
    """Auto-Submitted and VBR-Info were left out up to -07."""
    plain_top(c)
    c.after.append(lambda: c.fields.insert(0, c.rng.choice((b"Auto-Submitted: auto-replied\r\n", b"VBR-Info: md=x.example\r\n"))))
    return lambda: ("pass", None) if c.level <= 7 else top_reason(c, "header")


@fault()
def new_hop_without_an_instance(c):
    """A change that no instance tells of."""
    need(c.n > 1 and not c.hops[-1].instances)
    plain_top(c)
    c.hops[-1].instances = []
    c.after.append(lambda: setattr(c, "body", b"changed\r\n" + c.body))
    return lambda: top_reason(c, "body")


# ---- From ----

def from_field(rows):
    def change(rng, fields, body, level):
        return rows + [f for f in fields if wire.name_of(f) != b"from"], body
    return change


FOREIGN = [b"From: ceo@elsewhere.example\r\n", b"From: ceo@evil%s\r\n", b"From: ceo@%s.evil.example\r\n", b'From: "ann@%s" <ceo@elsewhere.example>\r\n',
           b"From: ann@%s, ceo@elsewhere.example\r\n", b"From: ann@%s\r\nFrom: ceo@elsewhere.example\r\n", b"From: ann\r\n", b"From:\r\n", b"From: <>\r\n",
           b"From: undisclosed:;\r\n", b""]


@fault(weight=5)
def from_not_authentic(c):
    """A hop brings a From that its d= does not cover. Later ones may put their own in its place: it is told all the same."""
    hop, i = any_hop(c)
    form = c.rng.choice(FOREIGN)
    rows = [f + b"\r\n" for f in form.replace(b"%s", hop.d.encode()).split(b"\r\n")[:-1]]
    change = from_field(rows)
    keep_from_of_all(c)
    if i > 1 and (not hop.instances or c.rng.random() < 0.5):
        hop.instances.append(Instance())
    it = c.rng.choice(hop.instances) if i > 1 else hop.instances[0]
    it.change = several([it.change, change]) if it.change else change
    if c.level == 6:
        return "pass", None
    return "fail", "From header field is not Authentic for d=%s" % hop.d


def keep_from(change):
    def kept(rng, fields, body, level):
        mine = [f for f in fields if wire.name_of(f) == b"from"]
        fields, body = change(rng, fields, body, level)
        return mine + [f for f in fields if wire.name_of(f) != b"from"], body
    return kept


def keep_from_of_all(c):
    for hop in c.hops:
        for it in hop.instances:
            it.change = it.change and keep_from(it.change)


@fault()
def from_forged_and_put_right(c):
    """Forged by one hop, munged to its own by the next."""
    need(c.n > 1)
    k = c.rng.randrange(c.n - 1)
    keep_from_of_all(c)
    forged, own = from_field([b"From: ceo@elsewhere.example\r\n"]), munge(c.hops[k + 1].d)
    if k == 0:
        c.hops[0].instances = [Instance(forged)]
    else:
        c.hops[k].instances.append(Instance(forged))
    c.hops[k + 1].instances.insert(0, Instance(own))
    if c.level == 6:
        return "pass", None
    return "fail", "From header field is not Authentic for d=%s" % c.hops[k].d
