"""Suites of test vectors as cases: from t/data where their licence lets them stand there, else from the folder HOPSEAL_VECTORS."""
import json
import os

from . import look, zones

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data")
VECTORS = os.environ.get("HOPSEAL_VECTORS")


class Missing(Exception):
    pass


class Case:
    """What is judged; suites set what they have of: message, zone, now, client, mail_from, helo, expect."""

    def __init__(self, name, **known):
        self.name = name
        self.__dict__.update(known)
        self.traits = look.traits(known["message"], known.get("zone")) if "message" in known else frozenset()

    def __repr__(self):
        return self.name


def folder(suite):
    for root in (DATA, VECTORS):
        if root and os.path.isdir(os.path.join(root, suite)):
            return os.path.join(root, suite)
    raise Missing("%s is not in t/data, and HOPSEAL_VECTORS does not have it" % suite)


def index(suite):
    with open(os.path.join(folder(suite), "INDEX.json"), encoding="utf-8") as f:
        return json.load(f)


def read(suite, name, mode="rb", **more):
    with open(os.path.join(folder(suite), name), mode, **more) as f:
        return f.read()


def messages(suite):
    """Of a message suite, by zone: [(zone, cases)]."""
    out = {}
    for row in index(suite):
        zone = json.loads(read(suite, row["dns"]))
        case = Case(row["file"], message=read(suite, row["file"]), now=row["now"], zone=zone, expect=row["expect"])
        out.setdefault((row["dns"], row["now"]), []).append(case)
    return [(cases[0].zone, cases[0].now, cases) for cases in out.values()]


def milter():
    """The messages of auth-milter, whatever was done with them there."""
    zone = zones.from_bind(read("auth-milter", "zonefile", "r", encoding="utf-8"))
    zone = {name: row["TXT"] for name, row in zone.items() if "TXT" in row}
    names = sorted(os.listdir(os.path.join(folder("auth-milter"), "source")))
    return [(zone, None, [Case(name, message=read("auth-milter", "source/" + name), zone=zone) for name in names])]


def arc():
    for scenario in index("arc-validation"):
        zone = {name.lower(): [text] for name, text in scenario["txt_records"].items()}
        yield zone, None, [Case(t["name"], message=t["message"].encode(), zone=zone, expect=t["expect"]) for t in scenario["tests"]]
    for zone, now, cases in messages("arc-messages"):
        yield zone, now, cases


def openspf():
    for scenario in index("spf-rfc7208"):
        yield zones.from_openspf(scenario["zone"]), [
            Case(t["name"], client=t["ip"], mail_from=t["mail_from"], helo=t["helo"], expect=t["expect"]) for t in scenario["tests"]]


def more_spf():
    """A case without sender has that of the scenario's first; what stands beside the records is one more. Names _dns_error.* fail."""
    first = {}
    for t in index("spf-mail-auth"):
        scenario = t["name"].rpartition("/")[0]
        first.setdefault(scenario, t)
        if "ip" not in t:
            continue
        lines = t["records"] + ["%s %s" % (kind, t[kind]) for kind in ("spf", "a", "ptr") if kind in t]
        zone = zones.from_lines(lines)
        zone.update({name: {"error": "servfail"} for name in ("_dns_error.org", "_dns_error.test.org")})
        domain = t.get("domain", first[scenario].get("domain"))
        sender = t.get("sender", first[scenario].get("sender")) or ""
        # Its "domain" is what HELO said where there is no sender.
        yield zone, [Case(t["name"], client=t["ip"], mail_from=sender, helo=domain, expect=[t["expect"].split(" ")[0]])]
