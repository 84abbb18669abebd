"""Zones of SPF records made up, and clients that say they are of them (RFC 7208)."""
import random

DOMAINS = ["d%d.example" % n for n in range(6)]
HOSTS = ["h%d.example" % n for n in range(5)] + ["nothing.example"]


class Question:
    def __init__(self, name, client, mail_from, helo):
        self.name, self.client, self.mail_from, self.helo = name, client, mail_from, helo

    def __repr__(self):
        return "%s: %s, <%s>, %s" % (self.name, self.client, self.mail_from, self.helo)


def address(rng):
    return "192.0.2.%d" % rng.randrange(16) if rng.random() < 0.8 else "2001:db8::%x" % rng.randrange(8)


def domain_spec(rng):
    return rng.choice(HOSTS + DOMAINS[:3] + ["%{d}", "%{h}", "%{o}", "%{d2}", "h%{l}.example", "%{ir}.%{v}.x.example", "%{l-}.%{d1r}.example", "H1.Example"])


def length(rng):
    return rng.choice(("", "", "", "/24", "/28", "/32", "/30//64", "//128", "/0", "//120"))


def term(rng):
    kind = rng.random()
    q = rng.choice(("", "", "+", "-", "~", "?"))
    if kind < 0.2:
        return q + rng.choice(("ip4:192.0.2.%d" % rng.randrange(16), "ip4:192.0.2.%d/%d" % (rng.randrange(16), rng.choice((28, 29, 30, 31, 32))),
                               "ip6:2001:db8::%x/%d" % (rng.randrange(8), rng.choice((125, 126, 128))), "IP4:192.0.2.0/28"))
    if kind < 0.4:
        return q + rng.choice(("a", "mx", "A", "a:" + domain_spec(rng), "mx:" + domain_spec(rng))) + length(rng)
    if kind < 0.6:
        return q + "include:" + rng.choice(DOMAINS)
    if kind < 0.68:
        return q + "exists:" + domain_spec(rng)
    if kind < 0.75:
        return q + rng.choice(("ptr", "ptr:example", "ptr:h1.example"))
    if kind < 0.80:
        return rng.choice(("redirect=" + rng.choice(DOMAINS), "exp=text.example", "unknown=x", "x-y.z=%{d}"))
    if kind < 0.84:
        return rng.choice(("a:", "ip4:192.0.2.300", "ip4:192.0.2.1/33", "include", "all:x", "junk", "redirect=", "exists:%{x}.example", "a/129", "ip6:::1/129", "-", "mx//129",
                           "a:%{d", "ip4:192.0.2.1/08", "a:h1.example/"))
    return q + "all"


def record(rng):
    kind = rng.random()
    if kind < 0.06:
        return []
    if kind < 0.08:
        return ["v=spf1 -all", "v=spf1 -all"]
    if kind < 0.10:
        return [rng.choice(("v=spf10 -all", "v=spf1-all", " v=spf1 -all", "something else", "v=spf1", "V=SPF1 -ALL", "v=spf1  \u00e9 -all"))]
    out = ["v=spf1"] + [term(rng) for _ in range(rng.choice((1, 2, 2, 3, 4)))]
    if rng.random() < 0.6:
        out.append(rng.choice(("-all", "~all", "?all", "redirect=" + rng.choice(DOMAINS))))
    return [rng.choice((" ", " ", " ", "  ")).join(out) + rng.choice(("", "", " "))] + (["other text"] if rng.random() < 0.2 else [])


def zone(rng):
    out = {}
    for name in DOMAINS:
        out[name] = {"error": rng.choice(("timeout", "servfail"))} if rng.random() < 0.04 else {"TXT": record(rng)}
        if "TXT" in out[name] and rng.random() < 0.5:
            out[name]["A"] = ["192.0.2.%d" % rng.randrange(16)]
        if "TXT" in out[name] and rng.random() < 0.4:
            out[name]["MX"] = ["%d %s" % (n, rng.choice(HOSTS)) for n in range(rng.choice((1, 2, 3)))]
    for name in HOSTS[:-1]:
        out[name] = {"error": "timeout"} if rng.random() < 0.04 else {
            "A": ["192.0.2.%d" % rng.randrange(16) for _ in range(rng.choice((0, 1, 2)))], "AAAA": ["2001:db8::%x" % rng.randrange(8)]}
    for n in range(16):
        if rng.random() < 0.5:
            out["%d.2.0.192.in-addr.arpa" % n] = {"PTR": [rng.choice(HOSTS) for _ in range(rng.choice((1, 2)))]}
    out["text.example"] = {"TXT": ["%{i} is not one of %{d}"]}
    return out


def made_up(count, seed="", each=4):
    """[(zone, questions)], `count` questions in all."""
    for n in range(count // each):
        rng = random.Random("spf/%s/%d" % (seed, n))
        rows = zone(rng)
        yield rows, [Question("%05d.%d" % (n, k), address(rng), rng.choice(("x@%s", "x@%s", "1@%s", "", "a-b@sub.%s")) .replace("%s", rng.choice(DOMAINS)),
                              rng.choice(DOMAINS + HOSTS)) for k in range(each)]
