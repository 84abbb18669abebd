"""Service pass: SMTP in, SMTP out, not an octet more or less."""
import glob
import json
import os

import pytest

from conftest import VECTORS
from mail import BASE
from relay import ROOT

DATA = os.path.join(ROOT, "t", "data")


def vectors(wanted):
    """The messages of the mime suites whose row in the index is wanted."""
    out = []
    for index in sorted(glob.glob(os.path.join(DATA, "mime-*", "INDEX.json"))):
        with open(index, encoding="utf-8") as f:
            for case in json.load(f):
                path = os.path.join(os.path.dirname(index), case["file"])
                if wanted(case):
                    out.append(pytest.param(path, id=os.path.relpath(path, DATA)))
    return out


def network_form(octets):
    octets = octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return octets if octets.endswith(b"\r\n") else octets + b"\r\n"


def test_a_message_passes_octet_for_octet(hopseal, sink):
    relay = hopseal("pass")
    with relay.connect() as c:
        c.deliver(BASE)
    tx = sink.one()
    assert tx.sender == "<s@a.test>" and tx.recipients == ["<r1@c.test>"]
    assert tx.content == BASE


def test_leading_dots_pass(hopseal, sink):
    message = BASE + b".\r\n..\r\n.x\r\n...\r\n"
    with hopseal("pass").connect() as c:
        c.deliver(message)
    assert sink.one().content == message


def test_a_message_without_header_or_body_passes(hopseal, sink):
    relay = hopseal("pass")
    messages = [b"", b"\r\n", b"\r\n\r\n", b"Subject: x\r\n", b"Subject: x\r\n\r\n", b"\r\nbody\r\n"]
    for message in messages:
        with relay.connect() as c:
            c.deliver(message)
    assert [tx.content for tx in sink.wait(len(messages))] == messages


def test_octets_of_eight_bits_and_long_lines_pass(hopseal, sink):
    message = BASE + bytes(range(1, 256)).replace(b"\r", b"").replace(b"\n", b"") * 4000 + b"\r\n"
    with hopseal("pass").connect() as c:
        c.deliver(message, params=" BODY=8BITMIME")
    tx = sink.one()
    assert tx.content == message
    assert tx.mail == "MAIL FROM:<s@a.test> BODY=8BITMIME"


@pytest.mark.parametrize("path", vectors(lambda case: case["nul"] == 0 and case["bare_cr"] == 0))
def test_odd_mime_passes(hopseal, sink, path):
    with open(path, "rb") as f:
        message = network_form(f.read())
    with hopseal("pass").connect() as c:
        c.deliver(message, params=" BODY=8BITMIME")
    assert sink.one().content == message


def test_odd_mime_with_bare_ends_is_refused(hopseal, sink):
    """As stored: LF line ends, or NUL."""
    relay = hopseal("pass")
    for param in vectors(lambda case: case["nul"] or case["bare_cr"] or case["bare_lf"]):
        with open(param.values[0], "rb") as f:
            message = f.read()
        with relay.connect() as c:
            c.to_data(params=" BODY=8BITMIME")
            c.send(message + b"\r\n.\r\n")
            c.want(550, "5.5.2")
            c.gone()
    assert sink.transactions() == []


def test_a_list_post_passes(hopseal, sink):
    """Shaped like the posts of a real list: many fields, folded, repeated."""
    with open(os.path.join(DATA, "list-post.eml"), "rb") as f:
        message = f.read()
    with hopseal("pass").connect() as c:
        c.deliver(message)
    assert sink.one().content == message


@pytest.mark.skipif(not VECTORS, reason="HOPSEAL_VECTORS names no folder: the real list post is not in the tree")
def test_a_real_list_post_passes(hopseal, sink):
    with open(os.path.join(VECTORS, "real", "list-post.eml"), "rb") as f:
        message = f.read()
    with hopseal("pass").connect() as c:
        c.deliver(message, recipients=("<dispatch@ietf.org>",))
    assert sink.one().content == message


def test_several_transactions_of_a_session_stay_apart(hopseal, sink):
    with hopseal("pass").connect() as c:
        for n in range(5):
            c.deliver(BASE.replace(b"hello", b"number %d" % n), recipients=("<r%d@c.test>" % n, "<r@b.test>"))
    got = sink.wait(5)
    assert [tx.recipients for tx in got] == [["<r%d@c.test>" % n, "<r@b.test>"] for n in range(5)]
    assert [tx.content for tx in got] == [BASE.replace(b"hello", b"number %d" % n) for n in range(5)]
