"""Holds what test_recipe says of recipes, written and read, against proto/recipe.schema.json: recipe_schema.py TEST_RECIPE."""
import json
import os
import subprocess
import sys

import jsonschema

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
# Why a recipe may be refused that the schema takes; all else that is refused the schema refuses too.
BEYOND = {
    "a key twice",       # in another case
    "copies that overlap or do not ascend",
    "a copy of nothing",  # the end below the start
}


def members(pairs):
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key twice")
    return dict(pairs)


def main():
    with open(os.path.join(ROOT, "proto", "recipe.schema.json")) as f:
        schema = json.load(f)
    jsonschema.Draft202012Validator.check_schema(schema)
    written = jsonschema.Draft202012Validator(schema)
    read = jsonschema.Draft202012Validator({"$ref": "#/$defs/read", "$defs": schema["$defs"]})
    run = subprocess.run([sys.argv[1], "--tell"], stdout=subprocess.PIPE, check=True, universal_newlines=True)
    seen, refused, wrong = {}, set(), []

    def want(what, schema, value, good, octets):
        if schema.is_valid(value) != good:
            wrong.append("%s: the schema %s %r" % (what, "refuses" if good else "takes", octets))

    for line in run.stdout.splitlines():
        if not line.startswith("recipe\t"):
            continue
        _, what, octets = line.split("\t")
        octets = bytes.fromhex(octets)
        seen[what] = seen.get(what, 0) + 1
        try:
            # a fraction or exponent is no integer here, however whole
            value = json.loads(octets.decode(), parse_float=lambda text: 0.5, object_pairs_hook=members)
        except ValueError:
            if what in ("read", "written"):
                wrong.append("%s: no JSON: %r" % (what, octets))
            continue
        if what == "not JSON":      # Python is not as strict
            continue
        if what == "written":
            want(what, written, value, True, octets)
            want(what, read, value, True, octets)
        elif what == "read":
            want(what, read, value, True, octets)
        elif not read.is_valid(value):
            refused.add(what)
        elif what not in BEYOND and not (what == "a literal with a line end" and b'"u"' in octets):
            want(what, read, value, False, octets)
    print(seen)
    for line in wrong:
        print(line)
    return bool(wrong) or seen["written"] < 1000 or seen["read"] < 30 or len(refused) < 10


sys.exit(main())
