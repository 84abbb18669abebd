"""What t/data/attacks.yaml says of recipes: texts put in full, and the runs that its words ask for beside its own steps."""
import json
import re

import attacks_build
from attacks import Run
from attacks_build import octets
from dialogue import check
from mail import values

HOP_A, HOP_B = {"dkim2_hop": {"d": "a.test"}}, {"dkim2_hop": {"d": "b.test"}}
LINE = 64       # octets of a line of a large body, with CRLF
CUT = 50 * 1024 // LINE
FIFTY = ["d%d.evil.test" % n for n in range(1, 51)]


# ---- texts that stand for many octets ----

def lines(n):
    return b"".join(b"%-*d\r\n" % (LINE - 2, i) for i in range(n))


BODIES = {
    # as large as it says when the last hop has taken its part
    "(20 MiB)": lambda: lines(20 * 1024 * 1024 // LINE + 49 * CUT),
    "(8000000 times CRLF)": lambda: b"\r\n" * 8000000,
}
RAW = {
    '{"x":[[[[ 100000 levels ]]]],"b":[]}': lambda: b'{"x":' + b"[" * 100000 + b"]" * 100000 + b',"b":[]}',
    '{"h":{ 60000 colliding names, each with [] }}': lambda: names(60000),
    "(18 MiB of JSON)": lambda: b'{"b":[{"d":["' + b"x" * (18 * 1024 * 1024) + b'"]}]}',
}


def names(n):
    """Whatever they are, they collide in no process whose hash has a seed of its own."""
    return b'{"h":{' + b",".join(b'"n%d":[]' % i for i in range(n)) + b"}}"


def body(text):
    return BODIES[text]() if text in BODIES else octets(text)


def raw_recipe(text):
    if isinstance(text, bytes):
        return text
    return RAW[text]() if text in RAW else octets(text)


def hops_of(step):
    """Fifty hops; each but the first takes 50 KiB of lines off the top, and says so."""
    hop = step.get("dkim2_hop", {})
    if hop.get("d") != "d1..d50.evil.test":
        return [step]
    check(hop == {"d": "d1..d50.evil.test", "recipe": "50 KiB of d lines and one c range"}, "other hops than those known")
    out = [{"dkim2_hop": {"d": FIFTY[0]}}]
    for d in FIFTY[1:]:
        out += [{"cut": CUT}, {"dkim2_hop": {"d": d}}]
    return out


# ---- runs ----

def must_host(case, text):
    check(text in case.texts("host"), "%s: host no longer says %r" % (case.id, text))


def build(*steps):
    return [{"build": list(steps)}, {"pre": "msg"}]


def raw(case, name, recipe, *before, **more):
    """The recipe of a second hop. Octet by octet only what the case itself gives."""
    more.setdefault("octets", False)
    return Run(case, name, steps=build(*before, HOP_A, {"raw_recipe": recipe}, HOP_B), **more)


def own(case):
    """As it stands."""
    return Run(case, steps=[step for step in case.steps if "host" not in step])


def runs_copy_range(case):
    must_host(case, 'same with [0,1] [5,2] [-1,1] [1,4294967297] [1.5,2] ["1",2] [1] [1,2,3] [1e400,2] [1,18446744073709551616]')
    # What a first chain that holds makes of memory is not this case's business.
    yield raw(case, "counter-check", '{"b":[{"c":[1,1]}]}', result="pass", log=[], bound={"extra_rss_mib": 8})
    yield own(case)
    for name, text in (("zero", "[0,1]"), ("turned", "[5,2]"), ("negative", "[-1,1]"), ("2to32", "[1,4294967297]"), ("fraction", "[1.5,2]"),
                       ("string", '["1",2]'), ("one", "[1]"), ("three", "[1,2,3]"), ("exponent-400", "[1e400,2]"),
                       ("2to64", "[1,18446744073709551616]"), ("past-the-end", "[1,2]"), ("behind-the-end", "[2,2]"), ("2to31", "[1,2147483648]"),
                       ("most", "[1,9223372036854775807]"), ("wraps", "[9223372036854775807,9223372036854775807]"), ("real", "[1.0,1]"),
                       ("exponent", "[1,1e0]"), ("leading-zero", "[01,1]")):
        yield raw(case, name, '{"b":[{"c":%s}]}' % text)
    yield raw(case, "field-past-the-end", '{"h":{"subject":[{"c":[1,2]}]}}')


def runs_overlap(case):
    must_host(case, 'same with [{"c":[3,3]},{"d":["x"]},{"c":[1,1]}] and with 5000 {"c":[1,1]} steps')
    yield own(case)
    three = {"append_body": "2\r\n3\r\n"}
    yield raw(case, "descending", '{"b":[{"c":[3,3]},{"d":["x"]},{"c":[1,1]}]}', three)
    yield raw(case, "5000", '{"b":[%s]}' % ",".join(['{"c":[1,1]}'] * 5000), three)
    yield raw(case, "fields", '{"h":{"subject":[{"c":[1,1]},{"c":[1,1]}]}}', three)


def runs_history(case):
    """The author is the first hop's own."""
    (first, pre) = case.steps
    author = [{"drop": {"field": "From", "n": 1}}, {"prepend": "From: s@%s\r\n" % FIFTY[0]}]
    yield Run(case, steps=[{"build": author + first["build"]}, pre], octets=False, slow=True, result="permerror")


def runs_line_bomb(case):
    """
    Empty lines at the end are lines, which may be copied, and no part of a body hash: of these the first and none is left, as
    they were (draft -09, "Body Recipes" and "Body Hash"). With a line behind them two of three are gone.
    """
    (first, pre) = case.steps
    yield Run(case, octets=False, slow=True, result="pass")

    def behind(text, recipe=None):
        steps = [first["build"][0], {"append_body": text}] + first["build"][1:]
        return [{"build": [{"raw_recipe": recipe} if recipe and "raw_recipe" in step else step for step in steps]}, pre]
    yield Run(case, "text-behind", steps=behind("end\r\n"), octets=False, slow=True, result="fail")
    yield Run(case, "past-the-end", steps=behind("end\r\n", '{"b":[{"c":[1,1]},{"c":[8000002,8000003]}]}'), octets=False, slow=True, result="permerror")
    every = ",".join('{"c":[%d,%d]}' % (n, n) for n in range(1, 18000, 2))
    yield Run(case, "9000-steps", steps=behind("end\r\n", '{"b":[%s]}' % every), octets=False, slow=True, result="fail")


def runs_depth(case):
    """With its brackets closed so many levels are too much for a field of ours; fewer, and never closed, are not."""
    yield Run(case, octets=False, log=["dkim2_structure"])
    yield raw(case, "90000", b'{"x":' + b"[" * 90000 + b"]" * 90000 + b',"b":[]}')
    yield raw(case, "never-closed", b'{"x":' + b"[" * 100000)
    yield raw(case, "objects", b'{"x":' + b'{"x":' * 30000)


def runs_ambiguity(case):
    yield own(case)
    for name, text in (
            ("twice", b'{"h":{"subject":[],"subject":[]}}'), ("name-case", b'{"h":{"subject":[],"Subject":[]}}'), ("h-and-H", b'{"h":{"a":[]},"H":{"a":[]}}'),
            ("b-and-B", b'{"b":[{"c":[1,1]}],"B":[]}'), ("step", b'{"b":[{"c":[1,1],"C":[1,1]}]}'), ("ignored", b'{"b":[{"c":[1,1]}],"x":{"y":1,"Y":1}}'),
            ("bom", b'\xef\xbb\xbf{"b":[{"c":[1,1]}]}'), ("behind", b'{"b":[{"c":[1,1]}]} x'), ("two", b'{"b":[{"c":[1,1]}]}{"b":[]}'),
            ("nul-behind", b'{"b":[{"c":[1,1]}]}\0'), ("nul-inside", b'{"b":[{"c":[1\0,1]}]}'), ("nan", b'{"b":[{"c":[1,1]}],"x":NaN}'),
            ("single-quotes", b"{'b':[{'c':[1,1]}]}"), ("comment", b'{"b":[{"c":[1,1]}]/**/}'), ("utf8", b'{"b":[{"c":[1,1]}],"x":"\xff"}'),
            ("surrogate", b'{"b":[{"c":[1,1]}],"x":"\\ud800"}'), ("nul-in-name", b'{"h":{"a\\u0000":[]}}'), ("comma", b'{"b":[{"c":[1,1]},]}')):
        yield raw(case, name, text)


def runs_collisions(case):
    """So many are too much for a field of ours; as many as go into one are too many names."""
    yield Run(case, octets=False, log=["dkim2_structure"])
    yield raw(case, "15000", names(15000), log=["dkim2_recipe"])


def runs_shapes(case):
    must_host(case, 'same with {} {"h":{}} {"h":null} {"b":[{}]} {"b":[{"c":[1,1],"d":["x"]}]} {"b":[{"z":true}]} {"b":["x"]} {"b":[{"u":["eA"]}]}')
    yield own(case)
    for name, text in (("empty", "{}"), ("h-empty", '{"h":{}}'), ("h-null", '{"h":null}'), ("step-empty", '{"b":[{}]}'),
                       ("step-two", '{"b":[{"c":[1,1],"d":["x"]}]}'), ("step-z", '{"b":[{"z":true}]}'), ("step-b", '{"b":[{"b":["aGVsbG8="]}]}'),
                       ("string", '{"b":["x"]}'), ("array", '{"b":[[1,1]]}'), ("neither", '{"x":[]}'), ("padding", '{"b":[{"u":["eA"]}]}'),
                       ("pad-bits", '{"b":[{"u":["eB=="]}]}'), ("blank", '{"b":[{"u":["eA= ="]}]}'), ("d-empty", '{"b":[{"d":[]}]}')):
        yield raw(case, name, text)


def runs_crlf(case):
    must_host(case, 'same with {"h":{"from: x\\r\\nto":[]}} {"b":[{"u":["DQo="]}]} {"h":{"a:b":[]}} {"h":{"":[]}}')
    yield own(case)
    for name, text in (("name-crlf", b'{"h":{"from: x\\r\\nto":[]}}'), ("octets", b'{"b":[{"u":["DQo="]}]}'), ("name-colon", b'{"h":{"a:b":[]}}'),
                       ("name-empty", b'{"h":{"":[]}}'), ("raw", b'{"b":[{"d":["x\r\ny"]}]}'), ("cr", b'{"b":[{"d":["x\\r"]}]}'),
                       ("number", b'{"b":[{"d":["x\\u000a"]}]}'), ("name-blank", b'{"h":{"a b":[]}}'), ("name-8bit", b'{"h":{"\xc3\xbc":[]}}')):
        yield raw(case, name, text)


def runs_own_fields(case):
    """Each name is skipped; one that is none is no less wrong for it."""
    yield Run(case, result="pass")
    trace = {"prepend": "X-Foo: 1\r\nReceived: from a by b; Thu, 01 Oct 2026 00:00:00 +0000\r\nAuthentication-Results: other.test; none\r\n"}
    yield raw(case, "trace", '{"h":{"received":[],"X-Foo":[{"d":["2"]}],"authentication-results":[{"c":[1,9]}]}}', trace, result="pass")
    yield raw(case, "bad-step", '{"h":{"received":[{"z":1}]}}', trace, result="permerror")


def runs_wrong_undo(case):
    yield own(case)
    hops, at = [HOP_A], "a.test"
    for n, d in enumerate(("b.test", "c.test", "list.test", "evil.test"), 2):
        undo = [{"raw_recipe": '{"b":[{"d":["not what was there"]}]}'}, {"dkim2_hop": {"d": d}}] if n == 4 else [{"dkim2_hop": {"d": d, "recipe": "auto"}}]
        hops += [{"append_body": "footer %d\r\n" % n}] + undo
    yield Run(case, "third-of-five", steps=build(*hops), octets=False)
    right = [step for step in hops if "raw_recipe" not in step]
    right = [{"dkim2_hop": dict(step["dkim2_hop"], recipe="auto")} if step.get("dkim2_hop", HOP_A["dkim2_hop"]) != HOP_A["dkim2_hop"] else step for step in right]
    yield Run(case, "counter-check", steps=build(*right), octets=False, result="pass", log=[])


def runs_base64(case):
    """The header's ceiling comes first; spread over fifty instances it is what the recipes say."""
    yield Run(case, octets=False, slow=True)
    steps = [HOP_A]
    for n in range(49):
        steps += [{"raw_recipe": b'{"x":"' + b"x" * (57 * 1024) + b'","b":[{"c":[1,1]}]}'}, {"dkim2_hop": {"d": "b.test" if n % 2 == 0 else "a.test"}}]
    yield Run(case, "fifty", steps=build(*steps), octets=False, slow=True, result="pass", reply="250", sink=1, log=[], bound={"extra_rss_mib": 64})


def runs_flags(case):
    yield Run(case)
    (first, pre) = case.steps
    many = ",".join("f%d" % n for n in range(1000))
    yield Run(case, "1000", steps=[{"build": [{"dkim2_hop": {"d": "a.test", "f": many}}] + first["build"][1:]}, pre], octets=False)


def runs_charset(case):
    yield Run(case)
    wild = b"\x1b$B$3$s\x1b(B\r\n\x81\x30\x81\x30\r\n\xfc\r\n" + b"x" * 1500 + b"\r\n" + bytes(c for c in range(1, 256) if c not in b"\r\n") + b"\r\n"
    subject = {"drop": {"field": "Subject", "n": 1}}
    changed = [subject, {"prepend": "Subject: \xfcber\r\n"}, {"body": wild + b"end\r\n"}, HOP_A,
               subject, {"prepend": "Subject: over\r\n"}, {"body": b"nothing\r\nof it\r\n"}, {"dkim2_hop": {"d": "b.test", "recipe": "auto"}}]
    yield Run(case, "replaced", steps=build(*changed), octets=False)
    yield Run(case, "to-nothing", steps=build({"body": wild}, HOP_A, {"body": b""}, {"dkim2_hop": {"d": "b.test", "recipe": "auto"}}), octets=False)
    yield Run(case, "from-nothing", steps=build({"body": b""}, HOP_A, {"body": wild}, {"dkim2_hop": {"d": "b.test", "recipe": "auto"}}), octets=False)


def runs_author(case):
    yield Run(case)

    def second(d, author):
        return build(HOP_A, {"drop": {"field": "From", "n": 1}}, {"prepend": "From: %s\r\n" % author}, {"dkim2_hop": {"d": d, "recipe": "auto"}})
    yield Run(case, "replaced", steps=second("evil.test", "ceo@b.test"))
    yield Run(case, "replaced-by-its-own", steps=second("b.test", "ceo@b.test"), result="pass", log=[])
    back = second("evil.test", "e@evil.test")[:1][0]["build"] + second("b.test", "s@a.test")[0]["build"][1:]
    yield Run(case, "put-back", steps=build(*back))


RUNS = {
    "dkim2-recipe-copy-range": runs_copy_range,
    "dkim2-recipe-overlap": runs_overlap,
    "dkim2-recipe-history-bomb": runs_history,
    "dkim2-recipe-line-bomb": runs_line_bomb,
    "dkim2-json-depth": runs_depth,
    "dkim2-json-ambiguity": runs_ambiguity,
    "dkim2-json-collisions": runs_collisions,
    "dkim2-recipe-shapes": runs_shapes,
    "dkim2-recipe-crlf": runs_crlf,
    "dkim2-recipe-own-fields": runs_own_fields,
    "dkim2-recipe-wrong-undo": runs_wrong_undo,
    "dkim2-base64-bomb": runs_base64,
    "dkim2-old-flags": runs_flags,
    "dkim2-charset-lines": runs_charset,
    "dkim2-author-domain": runs_author,
}
RESULTS = {
    "dkim2=fail or permerror, never a pass that names b.test": ["fail"],
}


# ---- checks at the end ----

def names_the_instance(player):
    wanted = {"": "m=1", "third-of-five": "m=3"}.get(player.run.name)
    for e in player.transactions():
        told = [a["reason"] for a in player.relay.events("auth_result", tx=e["tx"], method="dkim2") if a.get("reason")]
        check(not wanted or any(wanted in reason for reason in told), "%s is not in %r" % (wanted, told))


def literals_as_octets(player):
    recipe = [re.search(r"r=([^;]*)", v) for v in values(player.message, "Message-Instance")]
    texts = [json.dumps(json.loads(attacks_build.base64.b64decode(hit.group(1)))) for hit in recipe if hit]
    check(player.run.name not in ("replaced", "to-nothing") or any('"u"' in t for t in texts), "no u in %r" % texts)


FINISH = {
    "dkim2-recipe-wrong-undo": names_the_instance,
    "dkim2-charset-lines": literals_as_octets,
}
