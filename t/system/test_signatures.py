"""
Others accept what we sign, and see what was changed: DKIM signatures that an outbound listener makes, RSA and Ed25519, and ARC sets of an inbound
one, judged by OpenDKIM, dkimpy, Mail::DKIM and rspamd.
"""
import random
import re
import shutil

import pytest

from conftest import make_folder
from judging import judges, messages
from mail import BASE, NOW, body_of, fields, head_of, name_of, tag, unfolded
from relay import Ports
from verifiers import RSA_ONLY, Rspamd, of_arc, of_dkim

OTHERS = ("opendkim", "dkimpy", "mail_dkim", "rspamd")
ARC_OTHERS = ("dkimpy", "mail_dkim", "rspamd")
OURS, RECEIVER, BEFORE = "a.test", "c.test", "list.test"
# An outbound listener signs with DKIM unless it is told not to.
DEFAULT = {"dkim": None}


def known(who, selectors):
    return [s for s in selectors if s != "e" or who not in RSA_ONLY]


@pytest.fixture(scope="module")
def zone(keyring):
    """Every key there will be, before anybody asks."""
    for domain in (OURS, RECEIVER, BEFORE):
        for selector in "er":
            keyring.key(domain, selector)
    return keyring.answers()


@pytest.fixture(scope="module")
def rspamd(zone):
    folder, ports = make_folder(), Ports()
    one = Rspamd(folder, ports.take(), zone)
    yield one
    one.stop()
    print(one.log()[-5000:])
    ports.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def judged(request, zone):
    """judged(who, message): [(d, s, word)] of its DKIM signatures, top to bottom; in any order by rspamd."""
    def judge(who, message):
        if who == "rspamd":
            return request.getfixturevalue("rspamd").of_dkim(message)
        return of_dkim(who, message, zone, NOW)
    return judge


@pytest.fixture
def arc_judged(request, zone):
    def judge(who, message):
        if who == "rspamd":
            (word,) = request.getfixturevalue("rspamd").words("ARC_", message)
            return word
        return of_arc(who, message, zone, NOW)
    return judge


def shapes():
    """Contents that a client may send: fields folded and repeated, text in 8 bits, bodies of every end."""
    out = [BASE, head_of(BASE) + b"\r\n", head_of(BASE) + b"\r\n\r\n\r\n", BASE + b"\r\n\r\n", BASE + b"  two  words \t\r\n\r\n \r\n\r\n",
           BASE + b"x" * 998 + b"\r\n", BASE + "caf\u00e9\r\n".encode() + b"\xe9\xff\r\n", BASE + b".\r\n..\r\n", BASE + b"\x01\x7f\r\n"]
    for n in range(12):
        rng = random.Random("signatures/%d" % n)
        own = [f for f in messages.fields(rng) if name_of(f) not in ("from", "sender") and f.isascii()]
        body = messages.body(rng)
        out.append(b"From: S <s@a.test>\r\n" + b"".join(own) + b"\r\n" + re.sub(rb"(?<!\r)\n|\r(?!\n)|\0", b"", body) + (b"" if body.endswith(b"\r\n") or not body else b"\r\n"))
    return out


@pytest.fixture
def signed(hopseal, sink, keyring, zone):
    """signed(selectors): what left, of each of the shapes."""
    def make(selectors):
        relay = hopseal("outbound", keys=[keyring.key(OURS, s) for s in selectors], listener=DEFAULT)
        with relay.connect() as c:
            for message in shapes():
                c.deliver(message)
        return [tx.content for tx in sink.wait(len(shapes()))]
    return make


@pytest.mark.slow
@pytest.mark.parametrize("selectors, who", [(selectors, who) for selectors in ("r", "e", "re") for who in OTHERS if known(who, selectors)])
def test_others_accept_our_signatures(signed, judged, who, selectors):
    wrong = []
    for message in signed(selectors):
        told = [row for row in judged(who, message) if row[1] in known(who, selectors)]
        if sorted(told) != sorted((OURS, s, "pass") for s in known(who, selectors)):
            wrong.append("%r\nof %r" % (told, message[:3000]))
    assert not wrong, "%d of %d: %s" % (len(wrong), len(shapes()), wrong[0])


def changes(message):
    """Of a signed message what must not pass any more."""
    own = fields(message)
    where = next(n for n, f in enumerate(own) if name_of(f) == "dkim-signature")
    below = b"".join(own[where + 1:])
    yield "body", message + b"x\r\n"
    yield "subject", message.replace(b"Subject: t", b"Subject: T")
    yield "from", message.replace(b"From: s@a.test", b"From: x@a.test")
    # RFC 6376 8.15: fields of which there shall be one are signed once more than they are there.
    for name in (b"From", b"Subject", b"To", b"Date", b"Reply-To", b"Message-ID", b"MIME-Version", b"Content-Type"):
        yield "second " + name.decode(), name + b": x@b.test\r\n" + message
        yield "last " + name.decode(), b"".join(own[:where + 1]) + below + name + b": x@b.test\r\n\r\n" + body_of(message)


@pytest.mark.slow
@pytest.mark.parametrize("who", OTHERS)
def test_others_see_what_was_changed(hopseal, sink, keyring, judged, zone, who):
    with hopseal("outbound", keys=[keyring.key(OURS, "r")], listener=DEFAULT).connect() as c:
        c.deliver(BASE)
    content = sink.one().content
    assert judged(who, content) == [(OURS, "r", "pass")]
    passed = [what for what, message in changes(content) if "pass" in [word for _, _, word in judged(who, message)]]
    assert passed == []


def test_what_a_signature_says(hopseal, sink, keyring):
    """RFC 6376 5.4: From is signed, once more than it is there; nothing that trace or later hops write; c=relaxed/relaxed, no l=."""
    with hopseal("outbound", keys=[keyring.key(OURS, "r")], listener=DEFAULT).connect() as c:
        c.deliver(b"Received: from x\r\nReturn-Path: <x@a.test>\r\nComments: c\r\n" + BASE)
    (field,) = [f for f in fields(sink.one().content) if name_of(f) == "dkim-signature"]
    value = unfolded(field)
    assert (tag(value, "v"), tag(value, "a"), tag(value, "c"), tag(value, "d"), tag(value, "s")) == ("1", "rsa-sha256", "relaxed/relaxed", OURS, "r")
    assert tag(value, "l") is None and tag(value, "t") == str(NOW)
    names = tag(value, "h").lower().split(":")
    assert names.count("from") == 2 and names.count("subject") == 2 and names.count("reply-to") == 1
    assert not {"received", "return-path", "comments", "bcc"} & set(names)
    assert all(len(line) <= 78 for line in field.split(b"\r\n"))


# --- ARC ---

def sealed_before(message, keyring):
    """The message as a list that seals with ARC sends it on (dkimpy)."""
    dkim = judges.dkimpy_modules()
    with open(keyring.key(BEFORE, "r").file, "rb") as f:
        key = f.read()
    message = b"Authentication-Results: list.test; spf=pass smtp.mailfrom=a.test; dmarc=pass header.from=a.test\r\n" + message
    with judges.Clock(dkim, NOW):
        return b"".join(dkim.arc_sign(message, b"r", BEFORE.encode(), key, b"list.test")) + message


@pytest.mark.slow
@pytest.mark.parametrize("who", ARC_OTHERS)
@pytest.mark.parametrize("before", [0, 1])
def test_others_accept_our_arc_sets(hopseal, sink, keyring, zone, arc_judged, who, before):
    try:
        message = sealed_before(BASE, keyring) if before else BASE
    except judges.Absent as e:
        pytest.skip("%s is not installed" % e)
    relay = hopseal("inbound", keys=[keyring.key(RECEIVER, "r")], listener={"arc_seal": RECEIVER, "verify": None})
    with relay.connect() as c:
        c.deliver(message)
    content = sink.one().content
    assert [f for f in fields(content) if name_of(f) == "arc-seal" and tag(unfolded(f), "i") == str(before + 1)]
    assert arc_judged(who, content) == "pass"
    assert arc_judged(who, content + b"x\r\n") == "fail"
    assert arc_judged(who, content.replace(b"Subject: t", b"Subject: T")) == "fail"
    assert arc_judged(who, re.sub(rb"(ARC-Authentication-Results: i=\d; )", rb"\1x", content, count=1)) == "fail"
