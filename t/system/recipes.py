"""Recipes made in Python, from draft-ietf-dkim-dkim2-spec-09 alone: how to get from one message back to another."""
import base64
import difflib
import json
import re

from mail import body_of, fields, name_of
from seal import b64, unsigned


def lines_of(message):
    """Of the body, without the empty ones at its end."""
    body = re.sub(rb"(?:\r\n)*\Z", b"", body_of(message))
    return body.split(b"\r\n") if body else []


def values_of(message):
    """Name to the values of its fields, the lowest first, as a hash sees them."""
    found = {}
    for field in reversed(fields(message)):
        name = name_of(field)
        if not unsigned(name):
            value = re.sub(rb"[ \t]+", b" ", field.split(b":", 1)[1].replace(b"\r\n", b"")).strip(b" ")
            found.setdefault(name, []).append(value)
    return found


def literals(texts):
    """Steps for these: d for UTF-8, u for what is not."""
    steps = []
    for text in texts:
        try:
            key, value = "d", text.decode("utf-8")
        except UnicodeDecodeError:
            key, value = "u", b64(text)
        if steps and key in steps[-1]:
            steps[-1][key].append(value)
        else:
            steps.append({key: [value]})
    return steps


def steps(now, before):
    out = []
    for op, at, end, was, was_end in difflib.SequenceMatcher(None, now, before, autojunk=False).get_opcodes():
        if op == "equal":
            out.append({"c": [at + 1, end]})
        elif op != "delete":
            out += literals(before[was:was_end])
    return out


def between(now, before):
    """The JSON that leads from `now` to `before`; None: nothing is to be undone."""
    recipe = {}
    mine, old = values_of(now), values_of(before)
    header = {name: steps(mine.get(name, []), old.get(name, [])) for name in sorted(set(mine) | set(old)) if mine.get(name) != old.get(name)}
    if header:
        recipe["h"] = header
    if lines_of(now) != lines_of(before):
        recipe["b"] = steps(lines_of(now), lines_of(before))
    return json.dumps(recipe, ensure_ascii=False, separators=(",", ":")).encode() if recipe else None


def folded(octets, width=76):
    """As r= carries them."""
    return re.sub(rb"(.{%d})(?=.)" % width, rb"\1\r\n ", base64.b64encode(octets))
