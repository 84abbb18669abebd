"""
What we say of messages and what others say: dkimpy, OpenDKIM, Mail::DKIM, pyspf, and a verifier of the tests that takes the RFCs at their word.

Messages are made up by t/differential, signed by several signers and changed by an octet; so are ARC sets, and SPF records. HOPSEAL_MESSAGES says how many there are (2000 for all
of them; each stands there twice, as signed and changed), HOPSEAL_SEED makes others. Where two disagree a row of t/differential/differences.py must
say which document decides it.
"""
import collections
import os
import shutil
import tempfile
import types

import pytest

from client import stuffed
from conftest import daemons
from judging import differences, judge, judges, messages, ours_arc, ours_dkim, senders, suite, suites, verify
from keys import write_answers
from relay import CTL, Ports
from sink import Sink

# A sanitized hopsealctl takes long to start, and sees the same code in fewer.
COUNT = int(os.environ.get("HOPSEAL_MESSAGES") or (40 if "asan" in CTL else 150))
SEED = os.environ.get("HOPSEAL_SEED", "")
OTHERS = ("dkimpy", "opendkim", "mail_dkim")


class Signer:
    """What leaves a daemon that signs, with one key; what it refuses (a bare CR, a line that is no field) is nobody's message."""

    def __init__(self, make, folder, selector):
        file = os.path.join(folder, selector + ".pem")
        with open(file, "wb") as f:
            f.write(messages.key_pem(selector, messages.serialization.PrivateFormat.PKCS8))
        os.chmod(file, 0o600)
        self.sink = Sink()
        self.relay = make("outbound", listener={"next_hop": self.sink.address, "dkim": None}, answers={}, clock=messages.NOW, keys=[
            types.SimpleNamespace(domain=messages.DOMAIN, selector=selector, file=file)])

    def __call__(self, u):
        if not u.message.endswith(b"\r\n"):
            return None
        taken = len(self.sink.transactions())
        with self.relay.connect() as c:
            c.to_data("<a@%s>" % messages.DOMAIN, "<r@c.test>")
            c.send(stuffed(u.message))
            if c.reply().code != 250:
                return None
        return self.sink.wait(taken + 1)[taken].content


@pytest.fixture(scope="module")
def hopseal_signs(keyring):
    """One that signs with RSA and one with Ed25519, in turns."""
    folder = tempfile.mkdtemp(prefix="hopseal-test.")
    os.chmod(folder, 0o755)
    ports, sink = Ports(), Sink()
    with daemons(folder, ports, sink, keyring) as make:
        signers = [Signer(make, folder, selector) for selector in ("r0", "ed")]
        yield lambda u: signers[int(u.name) // 4 % 2](u)
    for s in [sink] + [one.sink for one in signers]:
        s.close()
    ports.close()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def corpus(hopseal_signs):
    signers = [name for name, there in (("own", True), ("dkimpy", is_there("dkimpy")), ("opendkim", is_there("opendkim"))) if there]
    return list(messages.corpus(COUNT, SEED, signers + [("hopseal", hopseal_signs)]))


def is_there(name):
    try:
        return judge(name, [], {}, 0) is not None
    except pytest.skip.Exception:
        return False


@pytest.fixture(scope="module")
def reference(corpus):
    return judges.reference(corpus, messages.zone(), messages.NOW)


@pytest.fixture(scope="module")
def ours(corpus):
    return ours_dkim(corpus, messages.zone(), messages.NOW)


def passes(rows):
    return judges.overall(rows) == "pass"


def hold(cases, ours, theirs, who, most=None):
    """Every difference has its row, and there are not many."""
    used, wrong = collections.Counter(), []
    for case in cases:
        if passes(ours[case.name]) == passes(theirs[case.name]):
            continue
        row = differences.row_for(case.traits, who, passes(theirs[case.name]))
        if row:
            used[row] += 1
        else:
            wrong.append("%r: we say %r, %s says %r" % (case, ours[case.name], who, theirs[case.name]))
    for (trait, why), n in sorted(used.items()):
        print("%s, %d of %d: %s: %s" % (who, n, len(cases), trait, why))
    assert not wrong, "\n".join(wrong[:20])
    assert most is None or sum(used.values()) <= most * len(cases), used


def known(who, cases):
    """Mail::DKIM of Debian 12 does not know Ed25519 (RFC 8463)."""
    return [c for c in cases if who != "mail_dkim" or b"ed25519" not in c.message]


def test_signers_make_what_verifies(corpus, reference):
    """The messages are worth something: most as signed pass, and hardly any that was changed does where it was signed."""
    kept = [c for c in corpus if not c.changed]
    assert sum(passes(reference[c.name]) for c in kept) >= len(kept) * 0.95
    changed = [c for c in corpus if c.changed]
    assert 0.4 < sum(not passes(reference[c.name]) for c in changed) / len(changed) < 0.95
    assert sum(c.signer == "hopseal" and passes(reference[c.name]) for c in kept) >= len(kept) // 8
    assert len({c.signer for c in corpus}) >= 1 and len({judges.overall(reference[c.name]) for c in corpus}) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("who", OTHERS)
def test_others_differ_from_the_rfcs_by_rows_only(corpus, reference, who):
    cases = known(who, corpus)
    hold(cases, reference, judge(who, cases, messages.zone(), messages.NOW), who, 0.02 if len(cases) >= 1000 else 0.04)


@pytest.mark.slow
def test_we_say_what_the_rfcs_say(corpus, reference, ours):
    """Word for word, not only pass or not."""
    wrong = ["%r: we say %r, the reference %r" % (c, ours[c.name], reference[c.name]) for c in corpus
             if [row[2] for row in ours[c.name]] != [row[2] for row in reference[c.name]]]
    assert not wrong, "\n".join(wrong[:20])


@pytest.mark.slow
@pytest.mark.parametrize("who", OTHERS)
def test_others_differ_from_us_by_rows_only(corpus, ours, who):
    cases = known(who, corpus)
    hold(cases, ours, judge(who, cases, messages.zone(), messages.NOW), who, 0.02 if len(cases) >= 1000 else 0.04)


@pytest.fixture(scope="module")
def chains():
    try:
        return list(messages.chains(COUNT // 3, SEED))
    except judges.Absent as e:
        pytest.skip("%s is not installed" % e)


@pytest.fixture(scope="module")
def our_chains(chains):
    return ours_arc(chains, messages.zone(), messages.NOW)


@pytest.mark.slow
@pytest.mark.parametrize("who", ["dkimpy_arc", "mail_dkim_arc"])
def test_others_differ_from_us_of_arc_by_rows_only(chains, our_chains, who):
    assert sum(passes(our_chains[c.name]) for c in chains if not c.changed) >= len(chains) / 2 * 0.95
    assert sum(not passes(our_chains[c.name]) for c in chains if c.changed) >= len(chains) / 2 * 0.5
    theirs = {name: [("", "") + row] for name, row in judge(who, chains, messages.zone(), messages.NOW).items()}
    hold(chains, our_chains, theirs, who, 0.02 if len(chains) >= 1000 else 0.04)


@pytest.mark.slow
def test_others_differ_from_us_of_spf_by_rows_only(room):
    """Word for word."""
    used, wrong, words = collections.Counter(), [], collections.Counter()
    for zone, questions in senders.made_up(2 * COUNT, SEED):
        theirs = judge("pyspf", questions, zone)
        file = write_answers(os.path.join(room, "dns.json"), zone)
        for q in questions:
            word = verify("spf", q, file, "--client-ip", q.client, "--mail-from", "<%s>" % q.mail_from, "--helo", q.helo)["result"]
            words[word] += 1
            if word != theirs[q.name][0]:
                row = differences.spf_reason_for(*theirs[q.name])
                if row:
                    used[row] += 1
                else:
                    wrong.append("%r: we say %s, pyspf %r\n%r" % (q, word, theirs[q.name], zone))
    for (reason, why), n in sorted(used.items()):
        print("pyspf, %d of %d: %s: %s" % (n, 2 * COUNT, reason, why))
    assert not wrong, "\n".join(wrong[:5])
    assert sum(used.values()) <= 2 * COUNT * 0.03 and len(words) == 7


@pytest.mark.parametrize("who", ("reference",) + OTHERS)
@pytest.mark.parametrize("name", ["dkim1-mail-dkim", "dkim1-mail-auth", "dkim1-dkimpy", "auth-milter"])
def test_suites_of_dkim(name, who):
    for zone, now, cases in suite(suites.milter if name == "auth-milter" else lambda: suites.messages(name)):
        cases = known(who, cases)
        theirs = judges.reference(cases, zone, now) if who == "reference" else judge(who, cases, zone, now)
        hold(cases, ours_dkim(cases, zone, now), theirs, who)


@pytest.mark.parametrize("who", ["dkimpy_arc", "mail_dkim_arc"])
def test_suites_of_arc(room, who):
    wrong = []
    for zone, now, cases in suite(suites.arc):
        cases = [c for c in cases if b"ed25519" not in c.message]       # neither knows it in ARC
        theirs = judge(who, cases, zone, now)
        file = write_answers(os.path.join(room, "dns.json"), zone)
        for case in cases:
            case.now = now
            told = verify("arc", case, file)
            word = told["result"] if told else "none"
            if (word == "pass") != (theirs[case.name][0] == "pass") and not differences.row_for(case.traits, who, theirs[case.name][0] == "pass"):
                wrong.append("%s: we say %s, %s says %r; expected %s" % (case, word, who, theirs[case.name], case.expect))
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("cases_of", [suites.openspf, suites.more_spf])
def test_suites_of_spf(room, cases_of):
    """We say what the suite prefers, and what pyspf says; or there is a row for it."""
    wrong, untold = [], 0
    for zone, cases in suite(cases_of):
        theirs = judge("pyspf", cases, zone)
        file = write_answers(os.path.join(room, "dns.json"), zone)
        for case in cases:
            told = verify("spf", case, file, "--client-ip", case.client, "--mail-from", "<%s>" % case.mail_from, "--helo", case.helo)
            if not told:        # no path that SMTP could bring: RFC 5321 4.1.2
                untold += 1
                continue
            word = told["result"]
            said = {word, theirs[case.name][0]}
            if word not in case.expect or len(said) > 1 and not said <= set(case.expect):
                row = differences.spf_row_for(case.name, theirs[case.name][0])
                if not row or row[0] != word:
                    wrong.append("%s: we say %s, pyspf %r; expected %s" % (case, word, theirs[case.name], case.expect))
    assert not wrong, "\n".join(wrong)
    assert untold <= 3
