"""The two header fields, written: any tags, in the draft's form or in every odd form it allows (sections 2 and 9.7)."""
import base64

FOLD = "\x01"     # white space and folds are legal here
HOLE = "\x02"     # a signature goes between two of these


class Style:
    """How a field is spelt. Plain: as a careful signer does it."""

    def __init__(self, rng, odd=False):
        self.rng, self.odd = rng, odd
        self.case = odd and rng.random() < 0.3
        self.order = odd and rng.random() < 0.5
        self.last = not (odd and rng.random() < 0.3)
        self.empties = odd and rng.random() < 0.3
        self.wild = odd and rng.random() < 0.6
        self.folds = rng.random() < 0.8

    def blank(self):
        return self.rng.choice(("", "", "", " ", "\t", "  ", "\r\n ", "\r\n\t ")) if self.wild else ""


def b64(octets, step=19):
    text = base64.b64encode(octets).decode("ascii")
    return FOLD.join(text[i:i + step] for i in range(0, len(text), step))


def folded(text):
    """Folds where it may, before column 78 where it can."""
    out, column = [], 0
    for part in text.split(FOLD):
        if column + len(part) > 77 and column > 1:
            if out and out[-1].endswith(" "):
                out[-1] = out[-1][:-1]
            out.append("\r\n\t")
            column = 8
        out.append(part)
        column += len(part)
    return "".join(out)


def render(style, name, tags):
    """The field with its holes, CRLF at the end. tags: (name, value) or, for what is no tag, (None, text)."""
    rng = style.rng
    tags = list(tags)
    if style.order:
        rng.shuffle(tags)
    if style.case:
        tags = [(tag and "".join(rng.choice((c.upper(), c)) for c in tag), value) for tag, value in tags]
        name = rng.choice((name.upper(), name.lower(), name))
    parts = []
    for tag, value in tags:
        if style.empties and rng.random() < 0.3:
            parts.append(style.blank())
        parts.append(value if tag is None else tag + style.blank() + "=" + style.blank() + value + style.blank())
    text = name + ":" + ("" if style.wild and rng.random() < 0.3 else " ")
    if style.wild:
        text += ";".join(("\r\n\t" if n and rng.random() < 0.3 else "" if rng.random() < 0.3 else " ") + p.lstrip(" \t\r\n") for n, p in enumerate(parts))
        text = "".join(style.blank() if c == FOLD else c for c in text).rstrip(" \t\r\n")
    else:
        text += (";" + FOLD + " ").join(parts)
        text = folded(text) if style.folds else text.replace(FOLD, "")
    return text + (";" if style.last else "") + "\r\n"


def fill(template, signatures):
    """The field with its signatures; an empty list of them: as it is signed."""
    out = template.split(HOLE)
    for n in range(1, len(out), 2):
        out[n] = signatures[int(out[n])] if signatures else ""
    return "".join(out).encode("utf-8", "surrogateescape")


def signature_text(style, octets):
    text = b64(octets, 71)
    return "".join(style.blank() if c == FOLD else c for c in text) if style.wild else text.replace(FOLD, "\r\n\t " if style.folds else "")
