"""Limits, and what is allowed though it looks odd."""
from chains import keys
from chains import wire
from chains.chain import Instance
from chains.content import subject_tag
from chains.faults import any_hop, any_instance, fault, need, plain_set

# ---- limits ----

def long_chain(c, hops, instances):
    c.__init__(c.rng, c.level, hops)
    for hop in c.hops:
        hop.groups, hop.instances = [[plain_set(c)]], []
    keep = c.hops[:1] + c.rng.sample(c.hops[1:], c.rng.randrange(5))
    for hop in keep:
        hop.instances = [Instance(subject_tag if hop is not c.hops[0] else None)]
    while sum(len(hop.instances) for hop in c.hops) < instances:
        c.rng.choice(c.hops).instances.append(Instance(subject_tag))


@fault(weight=0.3)
def hops_and_instances_at_their_limit(c):
    long_chain(c, 50, 50)
    return "pass", None


@fault(weight=0.3)
def hops_too_many(c):
    long_chain(c, 51, 1)
    return "permerror", None


@fault(weight=0.3)
def instances_too_many(c):
    long_chain(c, 9, 51)
    return "permerror", None


@fault(weight=0.5)
def recipients_too_many(c):
    hop, _ = any_hop(c, lambda hop: not hop.nd)
    c.rcpt_to = c.hops[-1].rt[:1]
    hop.rt += ["<r%d@list.example>" % n for n in range(1001 - len(hop.rt))]
    return "permerror", None


@fault(weight=0.3)
def recipients_at_their_limit(c):
    hop, _ = any_hop(c, lambda hop: not hop.nd)
    c.rcpt_to = c.hops[-1].rt[:1]
    hop.rt += ["<r%d@list.example>" % n for n in range(1000 - len(hop.rt))]
    return "pass", None


@fault(weight=0.5)
def keys_too_many(c):
    """Four look-ups a hop."""
    hop, _ = any_hop(c)
    names = c.rng.sample([s for s in keys.GOOD], 5)
    hop.groups = [[plain_set(c, s)] for s in names] if c.level >= 8 else [[plain_set(c, s) for s in names]]
    return "permerror", None


@fault(weight=0.5)
def field_too_long(c):
    hop, _ = any_hop(c)
    hop.tags = [("zz", "z" * 262200)]
    return "permerror", None


@fault(weight=0.5)
def hash_sets_too_many(c):
    it, _, _ = any_instance(c)
    it.groups = [["sha256", "a1", "a2", "a3", "a4"]]
    return "permerror", None


# ---- a header that is none ----

@fault(weight=0.5)
def header_line_without_a_colon(c):
    c.after.append(lambda: c.fields.insert(c.rng.randrange(len(c.fields) + 1), b"no field at all\r\n"))
    return "permerror", None


@fault(weight=0.5)
def line_ends_of_lf_alone(c):
    """Then no DKIM2 field is to be seen, unless it is the first."""
    def lf():
        c.fields = [b"Received: first\r\n"] + c.fields
        c.fields, c.body, c.blank = [b"".join(c.fields).replace(b"\r\n", b"\n") + b"\n" + c.body.replace(b"\r\n", b"\n")], b"", False
    c.after.append(lf)
    return "none", None


# ---- allowed, though it looks odd ----

@fault()
def d_in_capitals(c):
    hop, _ = any_hop(c)
    hop.d_written = hop.d.upper()
    return "pass", None


@fault()
def dkim2_fields_in_disorder(c):
    def mix():
        own = {f for _, f in c.seal_fields + c.instance_fields}
        rows = [f for f in c.fields if f in own]
        c.rng.shuffle(rows)
        rest = [f for f in c.fields if f not in own]
        for f in rows:
            rest.insert(c.rng.randrange(len(rest) + 1), f)
        c.fields = rest
    c.after.append(mix)
    return "pass", None


@fault()
def fields_folded_anew(c):
    def fold():
        for f in [f for _, f in c.seal_fields + c.instance_fields]:
            name, value = f[:-2].split(b":", 1)
            other = name.swapcase() + b" : " + wire.unfold(value).strip().replace(b";", b";\r\n  ").rstrip(b" \r\n") + b" \r\n"
            c.replace(f, other)
    c.after.append(fold)
    return "pass", None


@fault()
def fields_that_do_not_count(c):
    def add():
        for f in (b"Received: x\r\n", b"X-Any: y\r\n", b"received-spf: none\r\n", b"DKIM-Signature: v=1\r\n", b"Authentication-Results: a; none\r\n"):
            c.fields.insert(c.rng.randrange(len(c.fields) + 1), f)
    c.after.append(add)
    return "pass", None


@fault()
def empty_lines_at_the_end(c):
    def add():
        c.body = wire.body_input(c.body) + b"\r\n" * c.rng.randrange(4) if c.rng.random() < 0.7 or wire.body_input(c.body) == b"\r\n" else wire.body_input(c.body)[:-2]
    c.after.append(add)
    return "pass", None


@fault()
def body_not_there(c):
    """Not even the empty line."""
    def none():
        need(wire.body_input(c.body) == b"\r\n")
        c.body, c.blank = b"", False
    c.hops[-1].instances.append(Instance(lambda rng, fields, body, level: (fields, b"")))
    c.after.append(none)
    return "pass", None


@fault()
def bare_cr_and_lf_in_the_body(c):
    """Ordinary octets, as long as nobody wants them back."""
    for hop in c.hops:
        hop.instances = [it for it in hop.instances if not it.change]
    first = c.hops[0].instances[0]
    first.change = lambda rng, fields, body, level: (fields, b"a\nb\r\n\rc\r\n\n")
    return "pass", None
