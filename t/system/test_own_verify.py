"""
Whatever hopseal signs is accepted: by its own verifier, by the one of t/chains, and by other implementations where there are any.

Messages are made up, sealed, changed by somebody in between, and sealed again with --previous. HOPSEAL_ROUNDS says how many. Every
program in the folder HOPSEAL_DKIM2_PEERS is another implementation: it is given a folder as t/chains/generate writes them and says
"NAME STATE reason" for each of its cases.
"""
import concurrent.futures
import json
import os
import random
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import serialization

from relay import ROOT, ctl

sys.path.insert(0, os.path.join(ROOT, "t"))

from chains import content, keys, wire  # noqa: E402
from chains import verify as second  # noqa: E402

NOW = 1795255200
ROUNDS = int(os.environ.get("HOPSEAL_ROUNDS") or 40)
PEERS = os.environ.get("HOPSEAL_DKIM2_PEERS")
# Not read alike by verifiers of all drafts from -06 to -09; nor are literals that are no ASCII, and a null sender of a later hop.
UNLIKE = (b"auto-submitted", b"vbr-info")
PLACES = ["alpha.example", "lists.delta.example", "charlie.test", "kilo-9.example", "golf.example"]


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """Key files, and the zone of the chains."""
    folder = tmp_path_factory.mktemp("own")
    for domain in PLACES:
        for selector, key in (("ed", keys.ed_key(domain, "ed")), ("r", keys.rsa_key(domain, "r"))):
            (folder / ("%s.%s" % (selector, domain))).write_bytes(key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    (folder / "dns.json").write_text(json.dumps({name: row for name, row in keys.zone().items() if row}))
    (folder / "messages").mkdir()
    return folder


class Round:
    """One message on its way."""

    def __init__(self, room, n):
        self.room, self.n, self.rng = room, n, random.Random("own/%d" % n)
        self.hops = self.states = self.sets = 0
        self.common, self.refused = True, False

    def sign(self, message, d, more, previous=None):
        files = [self.room / ("%d.%s" % (self.n, what)) for what in ("now", "before")]
        files[0].write_bytes(message)
        args = ["--domain", d]
        selectors = self.rng.choice((["ed"], ["ed"], ["r"], ["r", "ed"]))
        for selector in selectors:
            args += ["--selector", selector, "--key", str(self.room / ("%s.%s" % (selector, d)))]
        if previous is not None:
            files[1].write_bytes(previous)
            args += ["--previous", str(files[1])]
        done = ctl("sign", *args, *more, "--now", str(NOW + self.hops), "--dns", str(self.room / "dns.json"), str(files[0]))
        if b"longer recipe" in done.stderr:     # rightly so: what was long is there no more
            assert done.returncode == 65 and done.stdout == b""
            return None
        assert done.returncode == 0, (self.n, done.stderr)
        self.hops += 1
        return done.stdout

    def change(self, message, d):
        """Somebody changes it, seals aside; what changed is seen canonically."""
        fields, body = second.split(message)
        own = [f for f in fields if wire.name_of(f) in (b"message-instance", b"dkim2-signature")]
        rest = [f for f in fields if f not in own]
        rest, body = content.relay(self.rng, rest, body, 9)
        if self.rng.random() < 0.85:
            rest, body = content.revise(self.rng, 9, d)(self.rng, rest, body, 9)
        return wire.whole(own + rest, body)

    def go(self):
        at = self.rng.choice(PLACES)
        fields, body = content.author(self.rng, at, 6)
        while body and not body.endswith(b"\r\n") and self.rng.random() < 0.5:
            body += b"\r\n"
        original = wire.whole(fields, body)
        mf, message = "<ann@%s>" % at, original
        for hop in range(self.rng.choice((1, 2, 2, 3, 4))):
            onward = self.rng.choice([p for p in PLACES if p != at])
            rt = ["<%s@%s>" % (self.rng.choice(("list", "bob.b", "O'Hara")), onward)] + ["<other@%s>" % p for p in self.rng.sample(PLACES, self.rng.choice((0, 0, 2)))]
            if hop and self.rng.random() < 0.15:
                mf, self.common = "<>", False
            previous = message if hop else None
            if hop:
                message = self.change(message, at)
            envelope = ["--mail-from", mf] + [a for p in rt for a in ("--rcpt", p)]
            sealed = self.sign(message, at, envelope, previous)
            if sealed is None:
                message, self.refused = previous, True
                break
            message, self.mail_from, self.rcpt_to = sealed, mf, rt
            at, mf = onward, "<bounces+%d@%s>" % (hop, onward)
        self.judge(message, original)
        return self

    def judge(self, message, original):
        done = ctl("verify", "--only", "dkim2", "--mail-from", self.mail_from, *[a for p in self.rcpt_to for a in ("--rcpt", p)],
                   "--now", str(NOW + 60), "--dns", str(self.room / "dns.json"), "--json", "-", input=message)
        told = json.loads(done.stdout)["dkim2"]
        assert (told["result"], told["level"]) == ("pass", "full"), (self.n, told)
        zone = json.loads((self.room / "dns.json").read_text())
        try:
            states = second.verify(message, zone, self.mail_from, self.rcpt_to, NOW + 60)
        except second.Wrong as e:
            raise AssertionError("round %d: %s" % (self.n, e)) from e
        # What the recipes lead back to is what was signed first, to the octet of what is hashed; so is what undo prints.
        first = second.split(original)
        assert wire.header_input(states[-1][0], 9) == wire.header_input(first[0], 9), self.n
        assert wire.body_input(states[-1][1]) == wire.body_input(first[1]), self.n
        undone = ctl("undo", "--to", "1", "-", input=message)
        assert undone.returncode == 0, (self.n, undone.stderr)
        fields, body = second.split(undone.stdout)
        assert wire.header_input(fields, 9) == wire.header_input(first[0], 9) and wire.body_input(body) == wire.body_input(first[1]), self.n
        fields, _ = second.split(message)
        recipes = [second.read_recipe(second.plain(r)) for r in (second.tags(f).get("r") for f in fields if wire.name_of(f) == b"message-instance") if r]
        steps = [step for r in recipes for _, rows in r.get("h", []) for step in rows] + [step for r in recipes for step in r.get("b", [])]
        literal = [text for kind, texts in steps if kind != "c" for text in texts]
        self.states = len(states)
        self.common &= all(text.isascii() for text in literal) and not any(wire.name_of(f) in UNLIKE for state in states for f in state[0])
        (self.room / "messages" / ("%05d.eml" % self.n)).write_bytes(message)

    def row(self):
        return {"file": "messages/%05d.eml" % self.n, "name": "%05d" % self.n, "draft": "spec-09", "mail_from": self.mail_from,
                "rcpt_to": self.rcpt_to, "now": NOW + 60, "dns": "dns.json", "expect": "pass", "detail": None}


@pytest.fixture(scope="module")
def rounds(room):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda n: Round(room, n).go(), range(ROUNDS)))
    print("%d messages, %d hops, %d changes" % (len(done), sum(r.hops for r in done), sum(r.states - 1 for r in done)))
    return done


def test_the_second_verifier_sees_what_is_wrong(room):
    """Its word is worth something: each of these it does not let pass."""
    one = Round(room, 1)
    one.n = ROUNDS + 1
    one.go()
    zone = json.loads((room / "dns.json").read_text())
    message = (room / "messages" / ("%05d.eml" % one.n)).read_bytes()
    judge = lambda m, mf=one.mail_from, rt=one.rcpt_to, now=NOW + 60: second.verify(m, zone, mf, rt, now)
    judge(message)
    broken = [message + b"x\r\n", b"Subject: other\r\n" + message, message.replace(b"m=1; h=", b"m=1;h =", 1).replace(b"t=179525", b"t=179524", 1),
              message.replace(b"Message-Instance:", b"X-Instance:", 1), message.replace(b"DKIM2-Signature:", b"X-Signature:", 1)]
    for wrong in broken:
        assert wrong != message
        with pytest.raises(second.Wrong):
            judge(wrong)
    for more in ({"mf": "<x@y.example>"}, {"rt": ["<x@y.example>"]}, {"now": NOW + 15 * 86400}, {"now": NOW - 301}):
        with pytest.raises(second.Wrong):
            judge(message, **more)


@pytest.mark.slow
def test_own_and_second_verifier_accept_what_is_signed_and_recipes_lead_back(rounds):
    assert sum(r.states > 1 for r in rounds) > ROUNDS // 5
    assert sum(r.refused for r in rounds) <= 1 + ROUNDS // 100


@pytest.mark.slow
@pytest.mark.skipif(not PEERS, reason="HOPSEAL_DKIM2_PEERS names no folder of other implementations")
def test_others_accept_what_is_signed(room, rounds):
    index = [r.row() for r in rounds if r.common]
    assert len(index) > ROUNDS // 5
    (room / "INDEX.json").write_text(json.dumps(index))
    wrong, peers = [], sorted(os.listdir(PEERS))
    assert peers
    for peer in peers:
        told = subprocess.run([os.path.join(PEERS, peer), str(room)], stdout=subprocess.PIPE, check=True, universal_newlines=True).stdout
        said = dict(line.split(" ", 1) for line in told.splitlines())
        assert sorted(said) == [row["name"] for row in index]
        wrong += ["%s: %s %s" % (peer, name, what) for name, what in sorted(said.items()) if what.split()[0] != "pass"]
        print("%s: %d messages" % (peer, len(said)))
    assert not wrong, "\n".join(wrong)
