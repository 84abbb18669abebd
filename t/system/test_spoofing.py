"""
Mail that says it is from somebody else (t/data/mail-spoofing): by its envelope, its From, a signature, or results that we are said to have found.

The attacker may do what is his: his domain lets everybody send and publishes his key. legit.example sends nothing by this client and asks for
refusal (DMARC p=reject). Every case meets the built-in policy; and one that refuses nothing, so that what would be told of it is seen too.
"""
import json
import os
import re

import pytest

from judging import dkim1, suites
from keys import write_answers
from mail import fields, name_of, unfolded
from relay import ctl
from sink import ALL_EXTENSIONS

ID = "mx.receiver.example"
CASES = suites.index("mail-spoofing")
# What we let through, and why; "dmarc" is what is told then.
ROWS = {
    "from-group-member": ("pass", "attack.example", "RFC 5322 3.6.2 as updated by RFC 6854: a group in From; its one member is the author, and a name of a "
                                                    "group is a display name. header.from tells whose it is"),
    "client-two-addresses": ("pass", "example.test", "RFC 9989 4.7: both authors are of one domain, which lets this client send; nobody has logged in here"),
}
by_expectation = lambda *words: [pytest.param(case, id=case["name"]) for case in CASES if case["expect"] in words]


def octets(text):
    return text.encode("latin-1")


@pytest.fixture(scope="module")
def answers(keyring):
    """What the DNS says. Keys that the attacker wants to be taken for those of legit.example are his."""
    own, theirs = keyring.key("attack.example", "r"), keyring.key("legit.example", "r")
    return {
        "legit.example": {"TXT": ["v=spf1 -all"]}, "_dmarc.legit.example": ["v=DMARC1; p=reject"],
        "attack.example": {"TXT": ["v=spf1 +all"]}, "33.attack.example": {"TXT": ["v=spf1 +all"]}, "_dmarc.attack.example": ["v=DMARC1; p=none"],
        "selector._domainkey.attack.example": [own.record], "selector._domainkey.legit.example'a.attack.example": [own.record],
        "sel._domainkey.legit.example": [theirs.record],
        "xn--bcher-kva.example": {"TXT": ["v=spf1 ip4:127.0.0.1 -all"]}, "_dmarc.xn--bcher-kva.example": ["v=DMARC1; p=reject; aspf=s"],
        "example.test": {"TXT": ["v=spf1 +all"]}, "_dmarc.example.test": ["v=DMARC1; p=reject"],
    }


def signed(case, keyring):
    """The message, with the signature that the case asks for: by legit.example itself where it could be its own, by the attacker else."""
    message, wanted = octets(case["message"]), case["dkim_signature"]
    if not wanted:
        return message
    theirs = case["expect"] == "no-dkim-pass"
    key = dkim1.load(keyring.key("legit.example" if theirs else "attack.example", "r").file)
    h = wanted.get("h", "from:to:subject:date").encode().split(b":")
    if not theirs:
        return dkim1.sign(message, key, wanted["d"], wanted["s"], h)
    # What it signed had its own From only, which stands below the one that came on top.
    top, below = message.split(b"\r\n", 1)
    whole = dkim1.sign(below, key, wanted["d"], wanted["s"], h)
    return top + b"\r\n" + whole


class Outcome:
    """Where it ended: the answer that refused it, or what was delivered and to whom."""

    def __init__(self, relay, sink, case, message):
        self.refused = self.tx = None
        before = len(sink.transactions())
        params = " SMTPUTF8" if case.get("smtputf8") else ""
        with relay.connect() as c:
            c.ehlo(case["helo"])
            for line in (octets("MAIL FROM:%s%s" % (case["mail_from"], params)),) + tuple(b"RCPT TO:" + octets(r) for r in case["rcpt_to"]):
                c.send(line + b"\r\n")
                answer = c.reply()
                if answer.code >= 400:
                    self.refused = answer
                    return
            c.cmd("DATA", 354)
            c.send(re.sub(rb"(?m)^\.", b"..", message) + b".\r\n")
            answer = c.reply()
            if answer.code >= 400:
                self.refused = answer
                return
            self.tx = sink.wait(before + 1)[-1]

    def results(self):
        """Our own field of results: method -> words; who was found is told with them."""
        own = [unfolded(f) for f in fields(self.tx.content) if name_of(f) == "authentication-results" and unfolded(f).lower().startswith(ID)]
        assert len(own) == 1, self.tx.content
        return own[0]

    def __repr__(self):
        return "refused: %r" % self.refused if self.refused else "delivered: %r" % self.tx.content[:2000]


@pytest.fixture
def outcome(hopseal, sinks, keyring, answers):
    """outcome(case, lenient): by the built-in policy, or by one that refuses nothing."""
    def send(case, lenient=False):
        sink = sinks(extensions=ALL_EXTENSIONS)
        relay = hopseal("inbound", hostname=ID, answers=answers,
                        listener={"next_hop": sink.address, "verify": None, "policy": "own" if lenient else None})
        return Outcome(relay, sink, case, signed(case, keyring))
    return send


@pytest.fixture
def verdict(room, keyring, answers):
    """verdict(case): what `hopsealctl verify` says."""
    def judge(case):
        done = ctl("verify", "--json", "--now", "none", "--dns", write_answers(os.path.join(room, "dns.json"), answers), "--client-ip", "127.0.0.1",
                   "--helo", case["helo"], "--mail-from", case["mail_from"], "--rcpt", case["rcpt_to"][0], "-", input=signed(case, keyring))
        assert done.returncode in (0, 1, 65, 75), done
        return json.loads(done.stdout)
    return judge


def is_no_pass(results):
    return not re.search(r"dmarc=pass|dkim=pass[^;]*header\.d=legit\.example", results)


def dmarc(results):
    """(result, domain)."""
    return re.search(r"dmarc=(\w+)(?:[^;]* header\.from=(\S+))?", results).groups()


@pytest.mark.parametrize("case", by_expectation("reject"))
def test_refused(outcome, case):
    got = outcome(case)
    assert got.refused and 500 <= got.refused.code < 600, got


@pytest.mark.parametrize("case", by_expectation("reject-or-flag"))
def test_refused_or_told(outcome, case):
    """By the built-in policy, and without one: nothing says that it is from legit.example, and something says that it is not right."""
    for lenient in (False, True):
        got = outcome(case, lenient)
        if got.refused:
            assert 500 <= got.refused.code < 600, got
            continue
        if case["name"] in ROWS:
            assert dmarc(got.results()) == ROWS[case["name"]][:2], got
            continue
        assert is_no_pass(got.results()) and dmarc(got.results())[0] in ("fail", "permerror"), got


@pytest.mark.parametrize("case", by_expectation("reject-or-strip-route"))
def test_a_source_route_is_no_sender(outcome, case):
    got = outcome(case, lenient=True)
    assert got.refused and 500 <= got.refused.code < 600 or "legit.example" not in got.tx.sender, got


@pytest.mark.parametrize("case", by_expectation("permerror"))
def test_a_signature_that_cannot_be_read(outcome, verdict, case):
    (signature,) = verdict(case)["dkim"]
    assert signature["result"] == "permerror", signature
    for lenient in (False, True):
        got = outcome(case, lenient)
        assert got.refused and 500 <= got.refused.code < 600 or is_no_pass(got.results()), got


@pytest.mark.parametrize("case", by_expectation("no-dkim-pass"))
def test_a_from_that_is_not_signed(outcome, verdict, case):
    """The signature may be right; it says nothing for the From that is read."""
    assert verdict(case)["dmarc"]["result"] == "permerror"
    got = outcome(case)
    assert got.refused and 500 <= got.refused.code < 600, got
    got = outcome(case, lenient=True)
    assert got.refused or dmarc(got.results())[0] == "permerror", got


@pytest.mark.parametrize("case", by_expectation("strip"))
def test_results_that_are_not_ours_go(outcome, case):
    assert outcome(case).refused, "p=reject"
    got = outcome(case, lenient=True)
    if got.refused:
        assert 500 <= got.refused.code < 600 and re.search(rb"(?i)^authentication-results[ \t]", octets(case["message"])), got
        return
    assert is_no_pass(got.results()) and got.tx.content.lower().count(b"authentication-results") == 1, got
    assert b"dmarc=pass" not in got.tx.content


@pytest.mark.parametrize("case", by_expectation("pass-through"))
def test_two_spellings_of_one_domain_align(outcome, case):
    got = outcome(case)
    assert got.tx, got
    assert re.search(r"dmarc=pass[^;]*header\.from=%s" % re.escape(case["from_domain"]), got.results()), got


def test_every_case_is_looked_at():
    told = {"reject", "reject-or-flag", "reject-or-strip-route", "permerror", "no-dkim-pass", "strip", "pass-through"}
    assert {case["expect"] for case in CASES} <= told and len(CASES) == 25
