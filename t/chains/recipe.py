"""Recipes written and applied (section 6), with whatever spelling the draft leaves free."""
import base64
import difflib
import json

from chains import wire


def is_utf8(octets):
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def literals(texts, level):
    """Steps that emit these octets: d for UTF-8, u for what is not (b, privately, in the days of -06)."""
    steps, kind = [], None
    for text in texts:
        now = "d" if is_utf8(text) else "u" if level >= 7 else "b"
        if now != kind:
            steps.append((now, []))
            kind = now
        steps[-1][1].append(text)
    return steps


def split_steps(rng, steps):
    """The same steps, some in two."""
    out = []
    for kind, what in steps:
        if rng.random() < 0.15 and kind == "c" and what[0] < what[1]:
            cut = rng.randrange(what[0], what[1])
            out += [("c", [what[0], cut]), ("c", [cut + 1, what[1]])]
        elif rng.random() < 0.15 and kind != "c" and len(what) > 1:
            cut = rng.randrange(1, len(what))
            out += [(kind, what[:cut]), (kind, what[cut:])]
        else:
            out.append((kind, what))
    return out


def between(rng, new, old, level):
    """Steps that make the list `old` of the list `new`."""
    way = rng.random()
    if way < 0.1 and sum(map(len, old)) < 10000:
        steps = literals(old, level)
    else:
        head = 0
        while head < min(len(new), len(old)) and new[head] == old[head]:
            head += 1
        tail = 0
        while tail < min(len(new), len(old)) - head and new[-1 - tail] == old[-1 - tail]:
            tail += 1
        steps = [("c", [1, head])] if head else []
        new_mid, old_mid = new[head:len(new) - tail], old[head:len(old) - tail]
        if way < 0.3 or len(new_mid) * len(old_mid) > 40000:
            steps += literals(old_mid, level)
        else:
            for what, a, b, c, d in difflib.SequenceMatcher(None, new_mid, old_mid, False).get_opcodes():
                if what == "equal":
                    steps.append(("c", [head + a + 1, head + b]))
                elif d > c:
                    steps += literals(old_mid[c:d], level)
        if tail:
            steps.append(("c", [len(new) - tail + 1, len(new)]))
    return split_steps(rng, steps)


def make(rng, level, before, after):
    """{"h": [(name, steps)], "b": steps} from after to before; each a (fields, body). None: nothing to undo."""
    recipe = {}
    names = sorted({wire.name_of(f) for f in before[0] + after[0]})
    rows = []
    for name in names:
        if wire.is_unsigned(name, level):
            continue
        old, new = wire.values(before[0], name), wire.values(after[0], name)
        if old != new or rng.random() < 0.02:
            rows.append((name.decode("ascii"), between(rng, new, old, level)))
    rng.shuffle(rows)
    if rows:
        recipe["h"] = rows
    if wire.body_input(before[1]) != wire.body_input(after[1]) or (rows and rng.random() < 0.05):
        recipe["b"] = between(rng, wire.kept_lines(after[1]), wire.kept_lines(before[1]), level)
    return recipe or None


def run(steps, lines):
    out = []
    for kind, what in steps:
        out += lines[what[0] - 1:what[1]] if kind == "c" else what
    return out


def apply(recipe, fields, body, level):
    """The fields and body before. Fields that the recipe makes come on top; order of other names does not matter."""
    for name, steps in recipe.get("h", ()):
        name = name.lower().encode("ascii")
        if wire.is_unsigned(name, level):
            continue
        low_first = [f for f in reversed(fields) if wire.name_of(f) == name]
        made = [f if f.endswith(b"\r\n") else name + b":" + f + b"\r\n" for f in run(steps, low_first)]
        fields = list(reversed(made)) + [f for f in fields if wire.name_of(f) != name]
    if "b" in recipe:
        body = b"".join(line + b"\r\n" for line in run(recipe["b"], wire.body_lines(body)))
    return fields, body


# ---- as JSON ----

def string(rng, text, odd):
    if not odd or rng.random() < 0.5:
        return json.dumps(text, ensure_ascii=rng.random() < 0.3)
    out = ""
    for c in text:
        if ord(c) < 0x10000 and rng.random() < 0.1:
            out += "\\u%04x" % ord(c)
        elif c == "/" and rng.random() < 0.5:
            out += "\\/"
        else:
            out += json.dumps(c, ensure_ascii=False)[1:-1]
    return '"' + out + '"'


def key(rng, name, level, odd):
    """In any case since -07."""
    if odd and level >= 7:
        name = "".join(rng.choice((c.upper(), c)) for c in name)
    return '"%s"' % name


def steps_text(rng, steps, level, odd):
    blank = (lambda: rng.choice(("", "", " ", "\n", "\t "))) if odd else lambda: ""
    out = []
    for kind, what in steps:
        if kind == "c":
            inner = [str(n) for n in what]
        elif kind == "d":
            inner = [string(rng, t.decode("utf-8"), odd) for t in what]
        else:
            inner = ['"%s"' % base64.b64encode(t).decode() for t in what]
        out.append("{" + blank() + key(rng, kind, level, odd) + blank() + ":" + blank() + "[" + ("," + blank()).join(inner) + blank() + "]" + blank() + "}")
    return "[" + blank() + ("," + blank()).join(out) + "]"


def text(rng, recipe, level, odd=False):
    members = []
    if "h" in recipe:
        rows = [key(rng, name, level, odd) + ":" + steps_text(rng, steps, level, odd) for name, steps in recipe["h"]]
        if odd and rng.random() < 0.3:
            rows.append('"received":[{"d":["from nowhere"]}]')    # SHOULD NOT be listed, is skipped
        members.append(key(rng, "h", level, odd) + ":{" + ",".join(rows) + "}")
    if "b" in recipe:
        members.append(key(rng, "b", level, odd) + ":" + steps_text(rng, recipe["b"], level, odd))
    if odd and rng.random() < 0.4:
        members.insert(rng.randrange(len(members) + 1), rng.choice(('"note":"of ours"', '"z":[1,{"c":[9,1]},null]', '"v2":{"h":null}')))
    elif odd:
        rng.shuffle(members)
    gap = rng.choice(("", " ", "\r\n")) if odd else ""
    return (gap + "{" + ("," + gap).join(members) + gap + "}" + gap).encode("utf-8")
