"""A chain, planned hop by hop and then built: content, instances with recipes, seals. Right in every respect unless told otherwise."""
from chains import fields as writer
from chains import keys
from chains import recipe
from chains import wire
from chains.content import author, relay, revise

AGE = 14 * 86400
FUTURE = 300
LONGEST_RECIPE = 150000     # a field has 256 KiB at most


class Set:
    """One signature: who signs, and how wrong."""

    def __init__(self, selector, algorithm, how="good"):
        self.selector, self.algorithm, self.how = selector, algorithm, how


class Instance:
    def __init__(self, change=None, groups=None):
        self.change = change                    # (rng, fields, body, level) -> (fields, body); None: as it is
        self.groups = groups or [["sha256"]]    # names of hashes, as in A,B|C
        self.wrong = set()                      # (name, "header" or "body") to write wrong
        self.edit_recipe = self.edit_json = self.edit_tags = self.edit_field = None
        self.recipe = None                      # as written


class Hop:
    def __init__(self):
        self.mf = self.nd = None
        self.rt, self.tags = [], []
        self.instances, self.groups = [], []
        self.edit_tags = self.edit_field = self.m = None
        self.flags, self.nonce, self.noise = [], None, True


class Unfit(Exception):
    """The fault does not go with this chain."""


def address(rng, domain, level=9):
    local = rng.choice(("ann", "bob.b", "List-Bounces+x=y", "srs0=a=b=c", "minutes", "O'Hara", '"two words"', "q_1", "UPPER.case", "0"))
    if rng.random() < 0.3:
        local = local.rstrip('"') + str(rng.randrange(100)) + ('"' if local[-1] == '"' else "")
    if domain == "xn--bcher-kva.example" and level >= 7 and rng.random() < 0.3:
        domain = "b\u00fccher.example"
    if rng.random() < 0.1:
        domain = domain.upper() if domain.isascii() else domain
    return "<%s@%s>" % (local, domain)


def below(rng, domain):
    return rng.choice(("", "", "mx.", "b7.", "x.y.")) + domain


class Chain:
    def __init__(self, rng, level, hops=None):
        self.rng, self.level = rng, level
        self.now = 1790000000 + rng.randrange(10000000)
        self.n = hops or rng.choice((1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6, 7, 8))
        self.future, self.clock = FUTURE, True
        self.odd = rng.random() < 0.35
        self.hops, self.after, self.fields, self.body = [], [], None, None
        self.blank = True
        self.mail_from = self.rcpt_to = None
        self.plan()

    # ---- what is going to happen ----

    def plan(self):
        rng = self.rng
        time = self.now - rng.choice((60, 3600, 86400, AGE - 100 * self.n))
        self.home = rng.choice(keys.DOMAINS)
        self.from_domain = below(rng, self.home)
        for k in range(self.n):
            hop = Hop()
            hop.t = time if rng.random() < 0.9 else max(time - 30, self.now - AGE)
            time = min(time + rng.randrange(100), self.now + FUTURE)
            self.hops.append(hop)
            self.plan_place(k)
            hop.groups = self.plan_sets(hop.d)
            hop.instances = self.plan_instances(k)
            if rng.random() < 0.15:
                hop.flags = rng.sample(["exploded", "feedback", "feedhere", "donotmodify", "later-9"], rng.randrange(1, 3))
            if rng.random() < 0.15:
                hop.nonce = "".join(rng.choice("!#azAZ09~<>=:@^") for _ in range(rng.choice((1, 8, 64))))
            if self.odd and rng.random() < 0.2:
                hop.tags = [(rng.choice(("x9", "Q_", "version")), rng.choice(("", "1", "free text = with signs", "a,b|c:d")))]
            hop.style = writer.Style(rng, self.odd)

    def plan_place(self, k):
        """Who this hop is: d=, and mf= with rt= or nd=."""
        rng, hop, before = self.rng, self.hops[k], self.hops[k - 1] if k else None
        last = k == self.n - 1
        if k == 0:
            hop.d, place = self.home, self.home
        elif before.nd:
            hop.d = place = before.nd.lower()
        else:
            place = before.onward
            hop.d = next(d for d in keys.DOMAINS if place == d or place.endswith("." + d))
        if hop.d == "lists.delta.example" and rng.random() < 0.3 and not (before and before.nd) and (k or self.from_domain == self.home):
            hop.d = "delta.example"
        if not last and rng.random() < 0.15:
            hop.nd = rng.choice(keys.DOMAINS)
            if self.odd and rng.random() < 0.3:
                hop.nd = hop.nd.upper()
            return
        hop.mf = "<>" if rng.random() < 0.08 else address(rng, below(rng, place), self.level)
        hop.onward = below(rng, rng.choice(keys.DOMAINS))
        hop.rt = [address(rng, below(rng, rng.choice(keys.DOMAINS)), self.level) for _ in range(rng.choice((0, 0, 0, 1, 2, 5)))]
        hop.rt.insert(rng.randrange(len(hop.rt) + 1), address(rng, hop.onward, self.level))

    def plan_sets(self, d):
        rng = self.rng
        ed = [Set(s, a) for s, (a, _) in keys.GOOD.items() if a == keys.ED]
        rsa = [Set(s, a) for s, (a, _) in keys.GOOD.items() if a == keys.RSA]
        way = rng.random()
        if way < 0.5:
            return [[rng.choice(ed)]]
        if way < 0.7:
            return [[rng.choice(rsa)]]
        both = [rng.choice(ed), rng.choice(rsa)]
        rng.shuffle(both)
        if way < 0.8 or self.level < 8:
            return [both]
        if way < 0.85:
            return [rng.sample(ed, 2) + [both[0] if both[0].algorithm == keys.RSA else both[1]]]
        if way < 0.9:
            return [[both[0]], [both[1]]]
        other = Set("later", rng.choice(("mldsa44", "slh-dsa", "rsa-sha512")), "junk")
        groups = [[both[0]], [other]] if way < 0.96 else [[both[0], other], [both[1]]]
        rng.shuffle(groups)
        return groups

    def plan_hashes(self):
        rng, way = self.rng, self.rng.random()
        if way < 0.7:
            return [["sha256"]]
        if way < 0.8:
            return [["sha512"]]
        if way < 0.9 or self.level < 8:
            return [rng.choice((["sha256", "sha512"], ["sha512", "sha256"]))]
        return rng.choice(([["sha256"], ["sha512"]], [["sha3-256"], ["sha256"]], [["sha256", "blake3"], ["sha512"]]))

    def plan_instances(self, k):
        rng, rows = self.rng, []
        if k == 0:
            rows.append(Instance(None, self.plan_hashes()))
        for _ in range(rng.choice((0, 0, 0, 0, 0, 0, 1, 2)) if k == 0 else rng.choice((0, 0, 1, 1, 1, 1, 2, 3))):
            rows.append(Instance(revise(rng, self.level, self.hops[k].d), self.plan_hashes()))
        return rows

    # ---- and how it does ----

    def build(self):
        rng = self.rng
        self.fields, self.body = author(rng, self.from_domain, self.level)
        self.instances, self.instance_fields, self.seal_fields = [], [], []
        self.squeezed = {}
        for k, hop in enumerate(self.hops):
            if k and hop.noise:
                self.fields, self.body = relay(rng, self.fields, self.body, self.level)
            for instance in hop.instances:
                self.add_instance(instance)
            self.add_seal(k, hop)
        top = self.hops[-1]
        if self.mail_from is None:
            self.mail_from = top.mf
        if self.rcpt_to is None:
            self.rcpt_to = rng.sample(top.rt, rng.randrange(1, len(top.rt) + 1)) if top.rt else []
        for step in self.after:
            step()

    def hash_of(self, name, what):
        octets = wire.header_input(self.fields, self.level) if what == "header" else wire.body_input(self.body)
        if name in wire.HASHES:
            return wire.HASHES[name](octets).digest()
        return wire.HASHES["sha256"](name.encode() + octets).digest()

    def add_instance(self, it):
        rng, before = self.rng, (self.fields, self.body)
        if it.change:
            self.fields, self.body = it.change(rng, self.fields, self.body, self.level)
        self.instances.append(it)
        it.m = len(self.instances)
        style = writer.Style(rng, self.odd)
        made = recipe.make(rng, self.level, before, (self.fields, self.body)) if it.m > 1 else None
        if made:
            fields, body = recipe.apply(made, self.fields, self.body, self.level)
            assert wire.header_input(fields, self.level) == wire.header_input(before[0], self.level)
            assert wire.body_input(body) == wire.body_input(before[1])
        if it.edit_recipe:
            made = it.edit_recipe(made)
        it.recipe = made
        text = recipe.text(rng, made, self.level, self.odd and it.edit_json is None) if made else None
        if it.edit_json:
            text = it.edit_json(text)
        if text and len(text) > LONGEST_RECIPE:
            raise Unfit
        groups = []
        for group in it.groups:
            sets = []
            for name in group:
                octets = [self.hash_of(name, what) for what in ("header", "body")]
                for n, what in enumerate(("header", "body")):
                    if (name, what) in it.wrong:
                        octets[n] = bytes([octets[n][0] ^ 1]) + octets[n][1:]
                sets.append(name + writer.FOLD + ":" + writer.FOLD + writer.b64(octets[0]) + ":" + writer.FOLD + writer.b64(octets[1]))
            groups.append(("," + writer.FOLD).join(sets))
        tags = [("m", str(it.m)), ("h", ("|" + writer.FOLD).join(groups))]
        if text is not None:
            tags.append(("r", writer.b64(text)))
        if self.odd and rng.random() < 0.1:
            tags.append(("zz", "kept = and signed"))
        if it.edit_tags:
            tags = it.edit_tags(tags)
        field = writer.fill(writer.render(style, "Message-Instance", tags), ())
        if it.edit_field:
            field = it.edit_field(field)
        self.instance_fields.append((it.m, field))
        self.place(field)

    def place(self, field):
        at = self.rng.randrange(len(self.fields) + 1) if self.odd and self.rng.random() < 0.2 else 0
        self.fields = self.fields[:at] + [field] + self.fields[at:]

    def squeeze(self, field):
        if field not in self.squeezed:
            self.squeezed[field] = wire.squeezed(field)
        return self.squeezed[field]

    def add_seal(self, k, hop):
        path = lambda p: writer.b64(p.encode("utf-8"))
        hop.i = k + 1
        hop.m = len(self.instances) if hop.m is None else hop.m
        tags = [("i", str(hop.i)), ("m", str(hop.m)), ("t", str(hop.t)), ("d", getattr(hop, "d_written", hop.d))]
        if hop.mf is not None:
            tags.append(("mf", path(hop.mf)))
        if hop.rt:
            tags.append(("rt", ("," + writer.FOLD).join(path(p) for p in hop.rt)))
        if hop.nd:
            tags.append(("nd", hop.nd))
        if hop.nonce is not None:
            tags.append(("n", hop.nonce))
        if hop.flags:
            tags.append(("f", ("," + writer.FOLD).join(hop.flags)))
        tags += hop.tags
        sets = [s for group in hop.groups for s in group]
        number = {id(s): n for n, s in enumerate(sets)}
        tags.append(("s", ("|" + writer.FOLD).join(("," + writer.FOLD).join(
            s.selector + writer.FOLD + ":" + writer.FOLD + s.algorithm + ":" + writer.FOLD + writer.HOLE + str(number[id(s)]) + writer.HOLE
            for s in group) for group in hop.groups)))
        if hop.edit_tags:
            tags = hop.edit_tags(tags)
        template = writer.render(hop.style, "DKIM2-Signature", tags)
        octets = b"".join(self.squeeze(f) for m, f in self.instance_fields if m <= hop.m)
        octets += b"".join(self.squeeze(f) for _, f in self.seal_fields)
        octets += wire.squeezed(writer.fill(template, ()))
        field = writer.fill(template, [writer.signature_text(hop.style, self.signature(hop, s, octets)) for s in sets])
        if hop.edit_field:
            field = hop.edit_field(field)
        self.seal_fields.append((hop.i, field))
        self.place(field)

    def signature(self, hop, s, octets):
        if s.how == "junk":
            return bytes(self.rng.randrange(256) for _ in range(2420 if s.algorithm == "mldsa44" else 64))
        made = keys.sign(hop.d, s.selector, s.algorithm, octets if s.how != "other" else octets + b" ", s.how == "raw")
        return bytes([made[0] ^ 0x40]) + made[1:] if s.how == "bad" else made

    # ---- what faults ask for ----

    def message(self):
        return wire.whole(self.fields, self.body, self.blank)

    def seal(self, i):
        return next(f for n, f in self.seal_fields if n == i)

    def instance(self, m):
        return next(f for n, f in self.instance_fields if n == m)

    def remove(self, field):
        at = self.fields.index(field)
        self.fields = self.fields[:at] + self.fields[at + 1:]

    def replace(self, field, other):
        self.fields = [other if f is field else f for f in self.fields]
