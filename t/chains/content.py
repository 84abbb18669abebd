"""Messages as people write them, and what relays and lists do to them."""
import base64

from chains import wire

WORDS = """minutes ticket lunch bridge notes paper weekly draft question evening meeting budget release garden winter
    coffee station letter number window morning answer thanks regards below above again already perhaps""".split()
LATIN = [b"Gr\xfc\xdfe", b"caf\xe9 au lait", b"\x1b$B$3$s\x1b(B", b"\x81\x30\x81\x30", b"\xff\xfe raw", b"na\xefve \xe2\x82"]
UTF8 = ["Gr\u00fc\u00dfe", "\u65e5\u672c\u8a9e", "na\u00efve \u20ac 5", "\U0001f4ec sent", "\u00e9\u0301"]


def words(rng, low=1, high=9):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randrange(low, high + 1)))


def odd_octets(rng):
    return rng.choice(LATIN) if rng.random() < 0.5 else rng.choice(UTF8).encode("utf-8")


def line(rng):
    way = rng.random()
    if way < 0.12:
        return b""
    if way < 0.16:
        return rng.choice((b" ", b"\t", b".", b"..", b"-- ", b"  indented", b"trailing  ", b'"quoted" \\ back/slash', b"\x7f\x01"))
    if way < 0.22:
        return words(rng, 1, 4).encode() + b" " + odd_octets(rng)
    if way < 0.23:
        return b"x" * rng.randrange(990, 3000)
    if way < 0.3:
        return b"> " + words(rng).encode()
    return words(rng).encode()


def body(rng):
    way = rng.random()
    if way < 0.03:
        return b""
    if way < 0.06:
        return b"\r\n" * rng.randrange(1, 5)
    if way < 0.09:
        return line(rng)
    if way < 0.1:
        some = [line(rng)[:200] for _ in range(60)]
        lines = [rng.choice(some) for _ in range(rng.randrange(1000, 4000))]
    else:
        lines = [line(rng) for _ in range(rng.randrange(1, 30))]
    text = b"\r\n".join(lines)
    return text + rng.choice((b"\r\n", b"\r\n", b"\r\n", b"", b"\r\n\r\n\r\n"))


def field(rng, name, value):
    """With some spelling of its own."""
    if isinstance(value, str):
        value = value.encode("utf-8")
    way = rng.random()
    if way < 0.1:
        name = rng.choice((name.upper(), name.lower()))
    if rng.random() < 0.04:
        name += rng.choice((" ", "\t"))
    gap = rng.choice((b" ", b" ", b" ", b" ", b"", b"  ", b"\t", b"\r\n "))
    if rng.random() < 0.1:
        value = value.replace(b" ", rng.choice((b"\r\n ", b"\r\n\t", b"  ", b" \t")), 1)
    return name.encode() + b":" + gap + value + rng.choice((b"", b"", b"", b"", b" ", b"\t ")) + b"\r\n"


def author(rng, domain, level):
    human = "b\u00fccher.example" if domain == "xn--bcher-kva.example" and level >= 7 and rng.random() < 0.3 else domain
    mailbox = rng.choice(("Ann", '"Ann, of the \\"desk\\""', "ann (at home)", "=?utf-8?q?J=C3=B6rg?=", "J\u00f6rg")) + " <ann@%s>" % human
    rows = [field(rng, "From", rng.choice((mailbox, mailbox, "ann@%s" % domain, "<ann@%s>" % domain.upper()))),
            field(rng, "To", "list@lists.delta.example"), field(rng, "Subject", words(rng)),
            field(rng, "Date", "Sat, 21 Nov 2026 10:00:00 +0000"), field(rng, "Message-ID", "<%d@%s>" % (rng.randrange(10 ** 9), domain))]
    for _ in range(rng.choice((0, 0, 0, 1, 2, 4))):
        rows.append(field(rng, rng.choice(("Comments", "Comments", "Keywords", "Cc", "Sender", "X-Mailer", "In-Reply-To", "Bcc", "Resent-To")), words(rng)))
    if rng.random() < 0.2:
        rows.append(field(rng, "Comments", odd_octets(rng)))
    if rng.random() < 0.1:
        rows.append(field(rng, rng.choice(("Auto-Submitted", "VBR-Info")), "auto-generated"))
    if rng.random() < 0.1:
        rows += [b"Comments: same\r\n"] * rng.randrange(2, 40)
    if rng.random() < 0.05:
        rows.append(rng.choice((b"Empty:\r\n", b"Empty: \r\n", b"Empty:\r\n \r\n")))
    if rng.random() < 0.3:
        rng.shuffle(rows)
    return rows, body(rng)


def relay(rng, fields, text, level):
    """What may happen on the way and is not signed."""
    fields = list(fields)
    for _ in range(rng.choice((0, 1, 1, 2))):
        new = rng.choice((b"Received: from a by b;\r\n\tSat, 21 Nov 2026 10:00:00 +0000\r\n", b"X-Spam: no\r\n", b"Received-SPF: pass\r\n",
                          b"Delivered-To: me@here.example\r\n", b"Authentication-Results: mx.example; none\r\n", b"Return-Path: <>\r\n",
                          b"DKIM-Signature: v=1; a=rsa-sha256; b=AAAA\r\n", b"ARC-Seal: i=1; cv=none\r\n"))
        fields.insert(rng.choice((0, 0, rng.randrange(len(fields) + 1))), new)
    if rng.random() < 0.1:
        gone = [f for f in fields if wire.name_of(f) in (b"received", b"x-spam", b"x-mailer")]
        if gone:
            fields.remove(rng.choice(gone))
    if rng.random() < 0.2:      # another name's place and other white space
        at = rng.randrange(len(fields))
        name = wire.name_of(fields[at])
        if name not in (b"dkim2-signature", b"message-instance"):
            respelt = fields[at].split(b":", 1)[0].swapcase().rstrip() + b":  " + wire.value_of(fields[at]).replace(b" ", b"\r\n\t ", 1) + b" \r\n"
            if b"\r\n\t \r\n" not in respelt:
                fields[at] = respelt
    if rng.random() < 0.1 and text.endswith(b"\r\n"):
        text += b"\r\n" * rng.randrange(1, 3)
    return fields, text


# ---- revisers: (rng, fields, body, level) -> (fields, body) ----

def at_end(text):
    return text if text.endswith(b"\r\n") or not text else text + b"\r\n"


def rewrite(fields, name, change):
    return [f.split(b":", 1)[0] + b": " + change(wire.value_of(f)) + b"\r\n" if wire.name_of(f) == name else f for f in fields]


def footer(rng, fields, text, level):
    return fields, at_end(text) + b"--\r\n" + b"".join(line(rng) + b"\r\n" for _ in range(rng.randrange(1, 4)))


def header_note(rng, fields, text, level):
    return fields, words(rng).encode() + b"\r\n\r\n" + text


def subject_tag(rng, fields, text, level):
    return rewrite(fields, b"subject", lambda v: b"[list] " + v), text


def list_fields(rng, fields, text, level):
    new = rng.sample([b"List-Id: <list.lists.delta.example>\r\n", b"List-Unsubscribe:\r\n <mailto:leave@lists.delta.example>\r\n", b"Precedence: list\r\n",
                      b"Reply-To: list@lists.delta.example\r\n", b"Errors-To: x@y.example\r\n", b"Auto-Submitted: auto-forwarded\r\n"], 3)
    kept = [f for f in fields if wire.name_of(f) != b"precedence"]
    return new + kept, text


def wrap(rng, fields, text, level):
    mark = b"=_%d" % rng.randrange(10 ** 6)
    kept = [f for f in fields if wire.name_of(f) not in (b"content-type", b"mime-version")]
    inner = b"".join(f for f in fields if wire.name_of(f) == b"content-type")
    new = [b"MIME-Version: 1.0\r\n", b'Content-Type: multipart/mixed;\r\n\tboundary="' + mark + b'"\r\n']
    return kept + new, (b"--" + mark + b"\r\n" + inner + b"\r\n" + at_end(text) + b"--" + mark + b"\r\n\r\nfooter\r\n--" + mark + b"--\r\n")


def cut_lines(rng, fields, text, level):
    lines = wire.body_lines(text)
    if lines:
        at = rng.randrange(len(lines))
        del lines[at:at + rng.randrange(1, 4)]
    return fields, b"".join(l + b"\r\n" for l in lines)


def change_lines(rng, fields, text, level):
    lines = wire.body_lines(text) or [b""]
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(lines))
        lines[at] = rng.choice((words(rng).encode(), lines[at] + b" ", lines[at].upper(), odd_octets(rng), lines[rng.randrange(len(lines))]))
    return fields, b"".join(l + b"\r\n" for l in lines)


def move_lines(rng, fields, text, level):
    lines = wire.body_lines(text)
    at = rng.randrange(len(lines) + 1)
    return fields, b"".join(l + b"\r\n" for l in lines[at:] + lines[:at])


def new_body(rng, fields, text, level):
    return fields, rng.choice((body(rng), b"", b"", base64.encodebytes(text[:3000]).replace(b"\n", b"\r\n")))


def drop_field(rng, fields, text, level):
    names = sorted({wire.name_of(f) for f in fields} - {b"from", b"message-instance", b"dkim2-signature"})
    gone = rng.choice(names) if names else b""
    return [f for f in fields if wire.name_of(f) != gone], text


def more_fields(rng, fields, text, level):
    new = [field(rng, rng.choice(("Comments", "Keywords", "Sender", "Organization")), odd_octets(rng) if rng.random() < 0.4 else words(rng))
           for _ in range(rng.randrange(1, 4))]
    at = rng.randrange(len(fields) + 1)
    return fields[:at] + new + fields[at:], text


def reorder(rng, fields, text, level):
    places = [n for n, f in enumerate(fields) if wire.name_of(f) == b"comments"]
    mixed = rng.sample(places, len(places))
    out = list(fields)
    for n, other in zip(places, mixed):
        out[n] = fields[other]
    if len(places) < 2:
        out = [b"Comments: upper\r\n", b"Comments: lower\r\n"] + out
    return out, text


def one_of_many(rng, fields, text, level):
    """One of several equal names goes, another comes between them."""
    places = [n for n, f in enumerate(fields) if wire.name_of(f) == b"comments"]
    out = list(fields)
    if places:
        out[rng.choice(places)] = b"Comments: " + words(rng).encode() + b"\r\n"
        if len(places) > 1:
            del out[rng.choice(places)]
    return out + [b"Comments: same\r\n"], text


def latin(rng, fields, text, level):
    return rewrite(fields, rng.choice((b"subject", b"comments")), lambda v: v + b" " + odd_octets(rng)), text


def munge(d):
    def change(rng, fields, text, level):
        domain = rng.choice((d, "lists." + d))
        return [f for f in fields if wire.name_of(f) != b"from"] + [b'From: "Ann via List" <list-%d@%s>\r\n' % (rng.randrange(10 ** 6), domain.encode())], text
    return change


def several(changes):
    def change(rng, fields, text, level):
        for one in changes:
            fields, text = one(rng, fields, text, level)
        return fields, text
    return change


REVISERS = [footer, footer, header_note, subject_tag, subject_tag, list_fields, list_fields, wrap, cut_lines, change_lines, change_lines, move_lines,
            new_body, drop_field, more_fields, reorder, one_of_many, latin]


def revise(rng, level, d):
    picked = rng.sample(REVISERS, rng.choice((1, 1, 2, 3)))
    if rng.random() < 0.15:
        picked.append(munge(d))
    return several(picked)
