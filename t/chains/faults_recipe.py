"""Recipes that are none, or that do not lead back."""
from chains import recipe as recipes
from chains import wire
from chains.chain import Instance
from chains.content import REVISERS, footer, several
from chains.faults import any_instance, fault, instance_reason, need


def with_recipe(c):
    """An instance above the first that changes header and body; its number."""
    it, m, _ = any_instance(c, 2)
    def change(rng, fields, body, level):
        fields, body = several(rng.sample(REVISERS, 2))(rng, fields, body, level)
        return footer(rng, [b"List-Id: <%d.list.example>\r\n" % m] + fields, body, level)
    it.change = change
    return it, m


def invalid(m):
    return "permerror", instance_reason(m, "contains invalid JSON")


LITERAL = b'{"d":["x"]}'
BROKEN = [      # the whole JSON
    b"{", b"}", b"[]", b'"x"', b"null", b"1", b"{}", b'{"x":1}', b'{"h":null}', b'{"h":{}}', b'{"h":[]}', b'{"h":"x"}', b'{"b":{}}', b'{"b":"x"}', b'{"b":1}',
    b'{"b":[]} x', b'{"b":[]}{"b":[]}', b'{"b":[],}', b"{'b':[]}", b'{b:[]}', b'{"b":[] /* none */}', b'{"b":[{}]}', b'{"b":["x"]}', b'{"b":[["c",1,2]]}', b'{"b":[null]}',
    b'{"b":[{"c":[1,1],"d":["x"]}]}', b'{"b":[{"d":["x"],"d":["y"]}]}', b'{"b":[{"z":[1,1]}]}', b'{"b":[{"c":[1]}]}', b'{"b":[{"c":[1,1,1]}]}', b'{"b":[{"c":[]}]}',
    b'{"b":[{"c":[0,1]}]}', b'{"b":[{"c":[2,1]}]}', b'{"b":[{"c":[-1,1]}]}', b'{"b":[{"c":[1.0,1]}]}', b'{"b":[{"c":[1,1e0]}]}', b'{"b":[{"c":["1","1"]}]}', b'{"b":[{"c":[true,1]}]}',
    b'{"b":[{"c":[01,1]}]}', b'{"b":[{"c":1}]}', b'{"b":[{"c":[1,99999999999999999999]}]}', b'{"b":[{"c":null}]}', b'{"b":[{"c":[1,1]},{"c":[1,1]}]}',
    b'{"b":[{"d":[]}]}', b'{"b":[{"d":"x"}]}', b'{"b":[{"d":[1]}]}', b'{"b":[{"d":[null]}]}', b'{"b":[{"d":[["x"]]}]}', b'{"b":[{"d":["a\\nb"]}]}', b'{"b":[{"d":["a\\rb"]}]}',
    b'{"b":[{"d":["a\\u000ab"]}]}', b'{"b":[{"d":["a\nb"]}]}', b'{"b":[{"d":["\xff"]}]}', b'{"b":[{"d":["\xed\xa0\x80"]}]}', b'{"b":[{"d":["\\ud800"]}]}', b'{"b":[{"d":["\\x41"]}]}',
    b'{"b":[{"d":["a]}]}', b'{"b":[],"b":[]}', b'{"x":1,"x":2,"b":[]}', b'{"b":[],"x":{"y":1,"y":2}}', b'{"h":{"subject":null}}', b'{"h":{"subject":{}}}', b'{"h":{"subject":"x"}}',
    b'{"h":{"subject":[' + LITERAL + b'],"subject":[' + LITERAL + b']}}', b'{"h":{"a b":[]}}', b'{"h":{"":[]}}', b'{"h":{"a:b":[]}}',
    b'{"x":' + b"[" * 200 + b"]" * 200 + b',"b":[]}', b'{"x":' + b'{"y":' * 100 + b"1" + b"}" * 100 + b',"b":[]}', b'{"b":[{"c":[1,' + b"9" * 400 + b"]}]}", b'{"b":[{"d":["x"}]}', b'{"b":NaN}',
]
BROKEN_07 = [   # since names are matched in any case, and u came
    b'{"b":[],"B":[]}', b'{"b":[{"d":["x"],"D":["y"]}]}', b'{"h":{"subject":[],"Subject":[]}}', b'{"b":[],"x":1,"X":1}', b'{"b":[{"u":[]}]}', b'{"b":[{"u":"YQ=="}]}', b'{"b":[{"u":["*"]}]}',
    b'{"b":[{"u":["/w"]}]}', b'{"b":[{"u":["/x=="]}]}', b'{"b":[{"u":["/w= ="]}]}', b'{"b":[{"u":["/wr/"]},{"b":["/w=="]}]}', b'{"b":[{"u":["CgA="]}]}', b'{"b":[{"u":["/w==\\n"]}]}', b'{"b":[{"u":[1]}]}',
    b'{"b":[{"b":["/w=="]}]}',
]


@fault(weight=8)
def recipe_is_none(c):
    it, m = with_recipe(c)
    text = c.rng.choice(BROKEN if c.level == 6 else BROKEN + BROKEN_07)
    it.edit_json = lambda _: text
    return invalid(m)


@fault(weight=2)
def recipe_is_cut(c):
    it, m = with_recipe(c)
    it.edit_json = lambda text: text[:c.rng.randrange(1, len(text.rstrip()))]
    return invalid(m)


@fault(weight=3)
def recipe_copies_what_is_not_there(c):
    it, m = with_recipe(c)
    def edit(made):
        made = dict(made)
        newest = c.hops[-1].instances and it is c.hops[-1].instances[-1]
        beyond = len(wire.body_lines(c.body)) + c.rng.choice((1, 1, 2, 10 ** 15) if newest else (100, 10 ** 6, 2 ** 53))
        if c.rng.random() < 0.5:
            made["b"] = c.rng.choice(([("c", [1, beyond])], [("c", [beyond, beyond])], [("d", [b"x"]), ("c", [beyond, beyond + 1])]))
        else:
            name = c.rng.choice(("subject", "list-id", "no-such-field"))
            n = len(wire.values(c.fields, name.encode()))
            made["h"] = [row for row in made["h"] if row[0].lower() != name] + [(name, [("c", [n + 1, n + 1])])]
        return made
    it.edit_recipe = edit
    return invalid(m)


@fault(weight=2)
def recipe_copies_out_of_order(c):
    it, m = with_recipe(c)
    def edit(made):
        made = dict(made)
        steps = c.rng.choice(([("c", [1, 2]), ("c", [2, 3])], [("c", [2, 2]), ("c", [1, 1])], [("c", [1, 3]), ("d", [b"x"]), ("c", [2, 4])], [("c", [1, 1]), ("c", [1, 1])]))
        if c.rng.random() < 0.7:
            made["b"] = steps
        else:
            made["h"] = [row for row in made["h"] if row[0] != "comments"] + [("comments", steps)]
        return made
    it.edit_recipe = edit
    return invalid(m)


@fault()
def body_said_to_be_lost(c):
    """Allowed up to -08, where nobody can hold the body before against its hash."""
    it, m = with_recipe(c)
    it.edit_json = lambda text: recipes.text(c.rng, {"h": it.recipe["h"]}, c.level)[:-1] + b',"b":null}'
    return invalid(m) if c.level >= 9 else ("pass", None)


def known(it):
    """So that it is clear which hash is told."""
    it.groups = [["sha256"]]


@fault(weight=4)
def recipe_leads_elsewhere(c):
    it, m = with_recipe(c)
    before, _ = instance_of(c, m - 1)
    known(before)
    what = c.rng.choice(("header", "body"))
    def edit(made):
        made = dict(made)
        if what == "body":
            made["b"] = [("d", [b"not what it was %d" % m])] + [step for step in made.get("b", []) if step[0] != "c"]
        else:
            made["h"] = [row for row in made["h"] if row[0] != "subject"] + [("subject", [("d", [b"not what it was"])])]
        return made
    it.edit_recipe = edit
    return "fail", "Message Instance m=%d %s hash sha256 mismatch" % (m - 1, what)


def instance_of(c, m):
    rows = [(it, hop) for hop in c.hops for it in hop.instances]
    return rows[m - 1]


@fault(weight=2)
def recipe_left_out(c):
    """The hashes decide then."""
    it, m = with_recipe(c)
    known(instance_of(c, m - 1)[0])
    it.edit_json = lambda text: None
    return "fail", "Message Instance m=%d header hash sha256 mismatch" % (m - 1)


@fault()
def recipe_says_half(c):
    it, m = with_recipe(c)
    known(instance_of(c, m - 1)[0])
    what = c.rng.choice(("h", "b"))
    it.edit_recipe = lambda made: {k: v for k, v in made.items() if k != what}
    return "fail", "Message Instance m=%d %s hash sha256 mismatch" % (m - 1, "header" if what == "h" else "body")


@fault(weight=2)
def instance_without_a_change(c):
    """Pointless, and allowed: without a recipe, or with one that says nothing new."""
    it, m, _ = any_instance(c, 2)
    it.change = None
    def same(made):
        n = len(wire.kept_lines(c.body))
        return {"b": [("c", [1, n])]} if n and c.rng.random() < 0.5 else made
    it.edit_recipe = same
    return "pass", None


@fault()
def recipe_copies_empty_lines_at_the_end(c):
    """They are there, and may be copied, though nobody should count on them."""
    hop = c.hops[-1]
    hop.instances.append(Instance(lambda rng, fields, body, level: (fields, b"new\r\nold\r\n\r\n\r\n")))
    hop.instances.insert(-1, Instance(lambda rng, fields, body, level: (fields, b"old\r\n")))
    hop.instances[-1].edit_recipe = lambda made: {"b": [("c", [2, c.rng.choice((2, 3, 4))])]}
    return "pass", None


@fault(low=7)
def u_where_d_would_do(c):
    it, m = with_recipe(c)
    def edit(made):
        swap = lambda steps: [("u", what) if kind == "d" else (kind, what) for kind, what in steps]
        out = dict(made)
        if "b" in out:
            out["b"] = swap(out["b"])
        out["h"] = [(name, swap(steps)) for name, steps in out["h"]]
        return out
    it.edit_recipe = edit
    return "pass", None


@fault(low=6, high=6)
def names_in_capitals_at_06(c):
    it, m = with_recipe(c)
    it.edit_json = lambda text: text.replace(b'"b":', b'"B":').replace(b'"h":', b'"H":')
    return invalid(m)


@fault(weight=0.5)
def recipe_on_the_first_instance(c):
    """Read strictly, not applied."""
    it, m, _ = any_instance(c)
    need(m == 1)
    good = c.rng.random() < 0.5
    it.edit_json = lambda text: b'{"b":[{"d":["long ago"]}]}' if good else b'{"b":[{"d":[]}]}'
    return ("pass", None) if good else invalid(1)
