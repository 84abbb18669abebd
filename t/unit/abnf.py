#!/usr/bin/python3
"""proto/dkim2-fields.abnf against the fields of t/data: what must pass fits the grammar, what is broken does not.

The grammar does not recurse, so each rule becomes one regular expression, atomic groups throughout: the first
alternative that fits is taken, and no time is lost on others.
Given a message on the command line, checks its fields and nothing else.
"""
import json
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CORE = {
    "alpha": rb"[A-Za-z]",
    "digit": rb"[0-9]",
    "wsp": rb"[ \t]",
    "crlf": rb"\r\n",
}
TOKEN = re.compile(r"""\s*(?:(?P<string>"[^"]*")|%x(?P<hex>[0-9A-Fa-f]+(?:-[0-9A-Fa-f]+)?)
    |(?P<repeat>\d*\*\d*|\d+(?=[A-Za-z(]))|(?P<name>[A-Za-z][A-Za-z0-9-]*)|(?P<mark>[()\[\]/]))""", re.X)


def read_rules(text):
    rules, name = {}, None
    for line in text.splitlines():
        line = re.sub(r';(?=(?:[^"]*"[^"]*")*[^"]*$).*', "", line)
        start = re.match(r"([A-Za-z][A-Za-z0-9-]*)\s*=\s*(.*)", line)
        if start:
            name = start[1].lower()
            rules[name] = start[2]
        elif line.strip():
            rules[name] += " " + line.strip()
    return rules


class Compiler:
    def __init__(self, rules):
        self.rules, self.done = rules, dict(CORE)

    def rule(self, name):
        name = name.lower()
        if name not in self.done:
            tokens = [m for m in TOKEN.finditer(self.rules[name])]
            assert "".join(m[0] for m in tokens).split() == self.rules[name].split(), (name, self.rules[name])
            self.done[name], rest = self.alternatives(tokens)
            assert not rest, name
            if name == "unknown-tag":  # "none of the names above"
                names = b"|".join(n[:-4].encode() for n in self.rules if n.endswith("-tag") and len(n) <= 6)
                self.done[name] = b"(?!(?i:" + names + b")[ \\t\\r\\n]*=)" + self.done[name]
        return self.done[name]

    def alternatives(self, tokens):
        parts = [b""]
        while tokens and tokens[0]["mark"] not in (")", "]"):
            if tokens[0]["mark"] == "/":
                parts.append(b"")
                tokens = tokens[1:]
                continue
            element, tokens = self.element(tokens)
            parts[-1] += element
        return b"(?>" + b"|".join(parts) + b")", tokens

    def element(self, tokens):
        t = tokens[0]
        if t["repeat"]:
            low, _, high = t["repeat"].partition("*")
            element, rest = self.element(tokens[1:])
            count = "{%s,%s}" % (low or "0", high) if "*" in t["repeat"] else "{%s}" % low
            return b"(?>" + element + count.encode() + b")", rest
        if t["string"]:
            return b"(?i:" + re.escape(t["string"][1:-1].encode()) + b")", tokens[1:]
        if t["hex"]:
            ends = [b"\\x%02x" % int(h, 16) for h in t["hex"].split("-")]
            return b"[" + b"-".join(ends) + b"]", tokens[1:]
        if t["name"]:
            return self.rule(t["name"]), tokens[1:]
        inner, rest = self.alternatives(tokens[1:])
        assert rest and rest[0]["mark"] == {"(": ")", "[": "]"}[t["mark"]]
        return inner + (b"?" if t["mark"] == "[" else b""), rest[1:]


def fields(message):
    head = message.split(b"\r\n\r\n", 1)[0] + b"\r\n"
    for raw in re.findall(rb"[^\r\n][^\n]*\r\n(?:[ \t][^\n]*\r\n)*", head):
        name = raw.split(b":", 1)[0].strip().lower()
        if name in (b"message-instance", b"dkim2-signature"):
            yield name.decode(), raw


def main():
    with open(os.path.join(ROOT, "proto", "dkim2-fields.abnf")) as f:
        compiler = Compiler(read_rules(f.read()))
    known = {name: re.compile(compiler.rule(name)) for name in ("message-instance", "dkim2-signature")}
    wrong = seen = 0

    def check(label, message, good):
        nonlocal wrong, seen
        fit = [bool(known[name].fullmatch(raw)) for name, raw in fields(message)]
        seen += len(fit)
        if not fit or all(fit) != good:
            wrong += 1
            print("%s: %s" % (label, "does not fit the grammar" if good else "fits, though it is broken"))

    if len(sys.argv) > 1:
        for path in sys.argv[1:]:
            with open(path, "rb") as f:
                check(path, f.read(), True)
        return wrong > 0
    suite = os.path.join(ROOT, "t", "data", "dkim2-generated09")
    with open(os.path.join(suite, "INDEX.json")) as f:
        index = json.load(f)
    broken = {"hop-8bit", "hop-alg-space", "hop-set-two-parts", "mi-two-parts", "mi-space-in-name"}
    for row in index:
        if row["expect"] == "pass" or row["name"] in broken:
            with open(os.path.join(suite, row["file"]), "rb") as f:
                check(row["name"], f.read(), row["expect"] == "pass")
    print("%d fields, %d messages wrong" % (seen, wrong))
    return wrong > 0 or seen < 100


sys.exit(main())
