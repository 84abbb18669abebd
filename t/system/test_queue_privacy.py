"""
No copy tells one recipient of another that the message does not show in To or Cc: not in a field, a seal, a trace, a report or a line of
the log (RFC 5322 3.6.3, DESIGN.md section 3). Messages are made up by dice; HOPSEAL_SEED makes up others.
"""
import base64
import os
import random
import re
import threading

import pytest

from crash import FAST
from mail import body_of, fields, layers, name_of
from relay import ctl
from seal import hops
from spool import Spool
from wait import DEADLINE, until

MESSAGES = 1000
DOMAINS = ("c.test", "b.test", "d.test", "sub.c.test", "a.test")
FINAL = re.compile(rb"^Final-Recipient:.*$", re.M)
NAME = re.compile(r"rcptq\d+x\d+[nf]", re.I)      # a recipient's name, whatever stands around it; f: no next hop takes it

pytestmark = pytest.mark.slow


class Letter:
    """A message and its envelope. shown: names in To or Cc; the rest is Bcc, or on a list, or nobody knows how it came by it."""

    def __init__(self, number, dice):
        self.number, self.dice = number, dice
        count = dice.choice((1, 1, 2, 2, 3, 4, 5, 8))
        self.paths, self.shown = {}, set()
        for k in range(count):
            name = "rcptq%dx%d%s" % (number, k, "f" if dice.random() < 0.15 else "n")
            local = dice.choice(("%s", "%s", "%s+tag", "list-%s", "\"%s x\"", "%s=b.test"))
            self.paths[name] = "<%s@%s>" % (local % name, dice.choice(DOMAINS))
        to, cc, bcc, nowhere = [], [], [], []
        for name in self.paths:
            where = dice.randrange(6)
            (to, to, cc, bcc, nowhere, nowhere)[where].append(name)
            if where < 3:
                self.shown.add(name)
        self.rcpts = list(self.paths.items())
        dice.shuffle(self.rcpts)
        if dice.random() < 0.1:      # one is named again
            self.rcpts.append((self.rcpts[0][0], self.again(self.rcpts[0][1])))
        self.head = self.make_head(to, cc, bcc)
        self.tag = "letter-%d" % number
        self.content = self.head + b"X-Letter: " + self.tag.encode() + b"\r\n\r\n" + b"Hello,\r\n" * dice.randrange(1, 4)

    def again(self, path):
        local, domain = path[1:-1].rsplit("@", 1)
        return "<%s@%s>" % (local, self.dice.choice((domain, domain.upper())))

    def mailbox(self, name):
        path = self.paths[name]
        local, domain = path[1:-1].rsplit("@", 1)
        return self.dice.choice(("%(p)s", "%(a)s", "Somebody Else %(p)s", "\"Doe, J.\" %(p)s", "%(l)s@%(D)s", "%(a)s (a comment)", "%(l)s @ %(d)s",
                                 "=?utf-8?q?J=C3=B6rg?=\r\n %(p)s")) % {"p": path, "a": path[1:-1], "l": local, "d": domain, "D": domain.upper()}

    def field(self, name, names, group=False):
        text = self.dice.choice((", ", ",\r\n ", " ,\r\n\t")).join(self.mailbox(n) for n in names)
        if group:
            text = "friends: %s;" % text
        return "%s: %s\r\n" % (name, text)

    def make_head(self, to, cc, bcc):
        dice, rows = self.dice, ["From: s@a.test\r\n", "Date: Thu, 01 Oct 2026 00:00:00 +0000\r\n", "Message-ID: <%d@a.test>\r\n" % self.number,
                                 "Subject: for you\r\n"]
        if to:
            rows.append(self.field("To", to, dice.random() < 0.1))
        elif dice.random() < 0.7:
            rows.append(dice.choice(("To: undisclosed-recipients:;\r\n", "To: list@list.test\r\n")))
        if cc:
            rows.append(self.field(dice.choice(("Cc", "CC", "cc")), cc))
        if bcc and dice.random() < 0.7:
            rows.append(self.field(dice.choice(("Bcc", "BCC", "bcc")), bcc))
        dice.shuffle(rows)
        return "".join(rows).encode()


def names_in(octets):
    """Recipients' names in it, also in whatever in it is base64."""
    return {hit.lower() for text in layers(octets) for hit in NAME.findall(text.decode("latin-1"))}


def paths_of(tx):
    """The recipients of a transaction, blanks in a local part and all."""
    return [line[line.index("<"):line.rindex(">") + 1] for line in tx.rcpts]


@pytest.fixture(scope="module")
def letters():
    dice = random.Random(os.environ.get("HOPSEAL_SEED", "1"))
    return [Letter(n, dice) for n in range(MESSAGES)]


def test_what_is_looked_for_is_found():
    """The twin: a name in a field, in rt=, behind a fold, in base64 of base64."""
    path = base64.b64encode(b"<rcptq7x1n@c.test>")
    for octets in (b"Bcc: \"RcptQ7X1n x\"@c.test\r\n", b"rt=" + path, b"rt=" + path[:6] + b"\r\n " + path[6:], b"x=" + base64.b64encode(b"rt=" + path)):
        assert names_in(octets) == {"rcptq7x1n"}, octets


def test_no_copy_tells_of_another(hopseal, sink, keyring, letters):
    sink.no_user = lambda line: re.search(r"rcptq\d+x\d+f", line)
    relay = hopseal(listeners={"main": {"service": "outbound", "mode": "queue", "dkim": True, "verify": None}}, keys=[keyring.key("a.test")],
                    limits={"sessions_per_client": 100}, **FAST)
    spool, todo, lock, wrong = Spool(relay.conf["spool"]["dir"]), list(letters), threading.Lock(), []

    def client():
        try:
            with relay.connect() as c:
                while True:
                    with lock:
                        if not todo:
                            return
                        letter = todo.pop()
                    c.deliver(letter.content, recipients=[path for _, path in letter.rcpts])
        except (AssertionError, OSError, EOFError) as e:
            wrong.append(e)
    threads = [threading.Thread(target=client, daemon=True) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong, wrong[:3]

    def empty():
        if not spool.waiting():
            return True
        ctl("queue", "flush", "-c", relay.file)     # reports are spaced out, to one address most of all
        return False
    until("the spool to be empty", empty, DEADLINE * 4)
    relay.stop()

    by_tag = {letter.tag: letter for letter in letters}
    taken, reported, copies, reports = {}, {}, 0, 0
    for tx in sink.transactions():
        of = {name for path in paths_of(tx) for name in names_in(path.encode())}
        letter = by_tag[re.search(rb"^X-Letter: (\S+)\r$", tx.content, re.M).group(1).decode()]
        if tx.sender == "<>":
            reports += 1
            of = {name for line in FINAL.findall(tx.content) for name in names_in(line)}
            assert of, tx
            for name in of:
                reported[name] = reported.get(name, 0) + 1
        else:
            copies += 1
            for path in paths_of(tx):
                (name,) = names_in(path.encode())
                taken[name] = taken.get(name, 0) + 1
            # Those that the next hop has refused were of the copy, too.
            rt = hops(tx.content)[-1].rt
            assert set(paths_of(tx)) <= set(rt), "rt= %r of a copy to %r" % (rt, tx.rcpts)
            of |= {name for path in rt for name in names_in(path.encode())}
            assert body_of(tx.content) == body_of(letter.content)
        told = names_in(tx.content) | names_in(tx.mail.encode())
        assert told <= of | letter.shown, "a copy to %r tells of %r:\n%s" % (of, told - of - letter.shown, tx.content.decode("latin-1"))
        if len(of) > 1:
            assert of <= letter.shown, "share a copy though not shown: %r" % (of - letter.shown)
        for field in fields(tx.content):
            # Of those that are shown, none but the copy's own stands in what we add.
            if field not in letter.head and name_of(field) not in ("to", "cc"):
                assert tx.sender == "<>" or names_in(field) <= of, "a field of ours tells of %r: %r" % (names_in(field) - of, field)
        if tx.sender != "<>":
            assert "bcc" not in [name_of(field) for field in fields(tx.content)]

    wanted = {name for letter in letters for name, _ in letter.rcpts}
    assert set(taken) == {name for name in wanted if name.endswith("n")} and set(taken.values()) == {1}
    assert set(reported) == {name for name in wanted if name.endswith("f")} and set(reported.values()) == {1}

    hidden = wanted - {name for letter in letters for name in letter.shown}
    for event in relay.log.snapshot():
        told = names_in(repr(event).encode())
        assert len(told) <= 1 or not told & hidden, "a line tells of %r: %r" % (told, event)
    print("%d messages, %d recipients (%d of them hidden), %d copies, %d reports" % (len(letters), len(wanted), len(hidden), copies, reports))
