"""hopsealctl undo: the message as it was, octet for octet, or nothing and the reason."""
import os

import pytest

from keys import write_answers
from mail import BASE
from relay import ctl
from revise import instance, revised
from seal import seal

LIST = dict(mf="<b@l.test>", rt=["<r@d.test>"])

ORIGINAL = (b"Received: from a.test by mx.test; Thu, 01 Oct 2026 00:00:00 +0000\r\nFrom: s@a.test\r\nTo:\tl@l.test\r\n"
            b"Comments: high\r\nsubJect:  Lunch\r\n\tat  noon\r\nComments: low\r\nDate: Thu, 01 Oct 2026 00:00:00 +0000\r\n\r\n"
            b"Hello\r\n\r\nWorld\r\n")


@pytest.fixture
def author(keyring):
    return keyring.key("a.test")


@pytest.fixture
def lists(keyring):
    return keyring.key("l.test")


def undone(message, *args, code=0, reason=None):
    """What was printed; on failure nothing, and one line that ends in the reason."""
    done = ctl("undo", *args, "-", input=message)
    assert done.returncode == code, done
    if code == 0:
        assert done.stderr == b""
    else:
        assert done.stdout == b"" and done.stderr.decode().splitlines() == ["hopsealctl undo: -: " + reason]
    return done.stdout


def through_list(original, author, lists, after, recipe):
    """As sealed by the author, and as it left the list."""
    sealed = seal(original, author, rt=["<l@l.test>"])
    return sealed, revised(sealed, original, after, recipe, lists, **LIST)


@pytest.mark.parametrize("name, change, recipe", [
    ("a footer", lambda m: m + b"-- \r\nfooter\r\n", {"b": [{"c": [1, 3]}]}),
    ("a subject tag, folds and all", lambda m: m.replace(b"subJect:  Lunch\r\n\tat  noon", b"subJect: [L] Lunch at noon"),
     {"h": {"subject": [{"d": ["  Lunch at noon"]}]}}),
    ("a field added", lambda m: b"List-Id: <l.l.test>\r\n" + m, {"h": {"list-id": []}}),
    ("a field taken, to the top", lambda m: m.replace(b"To:\tl@l.test\r\n", b""), {"h": {"to": [{"d": ["\tl@l.test"]}]}}),
    ("one of several fields changed", lambda m: m.replace(b"Comments: high", b"Comments: HIGH"), {"h": {"comments": [{"c": [1, 1]}, {"d": [" high"]}]}}),
    ("lines changed in the middle", lambda m: m.replace(b"\r\n\r\nWorld", b"\r\nthere,\r\nWORLD"),
     {"b": [{"c": [1, 1]}, {"d": ["", "World"]}]}),
    ("wrapped", lambda m: m.replace(b"Hello\r\n\r\nWorld\r\n", b"--x\r\n\r\nHello\r\n\r\nWorld\r\n\r\n--x--\r\n"), {"b": [{"c": [3, 5]}]}),
    ("octets that are no text", lambda m: m.replace(b"World", b"W\xff"), {"b": [{"c": [1, 2]}, {"u": ["V29ybGQ="]}]}),
    ("nothing", lambda m: m, None)])
def test_what_a_list_did_is_undone_octet_for_octet(author, lists, name, change, recipe):
    sealed, message = through_list(ORIGINAL, author, lists, change(ORIGINAL), recipe)
    wanted = sealed
    if "folds" in name:
        wanted = sealed.replace(b"Lunch\r\n\tat  noon", b"Lunch at noon")
    if "to the top" in name:
        wanted = b"to:\tl@l.test\r\n" + sealed.replace(b"To:\tl@l.test\r\n", b"")
    assert undone(message) == wanted
    assert undone(message, "--to", "1") == wanted
    assert undone(message, "--to", "2") == message


def test_what_is_undone_is_still_what_its_author_signed(author, lists, keyring, room):
    _, message = through_list(ORIGINAL, author, lists, ORIGINAL.replace(b"Lunch", b"[L] Lunch") + b"footer\r\n",
                              {"h": {"subject": [{"d": [" Lunch at noon"]}]}, "b": [{"c": [1, 3]}]})
    dns = write_answers(os.path.join(room, "dns.json"), keyring.answers())
    done = ctl("verify", "--now", "none", "--dns", dns, "--mail-from", "s@a.test", "--rcpt", "l@l.test", "-", input=undone(message))
    assert done.returncode == 0 and done.stdout.startswith(b"dkim2=pass (draft 09, every hop")


def test_fields_outside_the_hash_stay(author, lists):
    sealed, message = through_list(ORIGINAL, author, lists, ORIGINAL + b"footer\r\n", {"b": [{"c": [1, 3]}]})
    trace = b"Received: from l.test by d.test; Thu, 01 Oct 2026 01:00:00 +0000\r\nX-Spam: no\r\n"
    assert undone(trace + message) == trace + sealed


@pytest.fixture
def three(author, lists, keyring):
    """Three instances, and four hops."""
    first = seal(BASE, author, rt=["<l@l.test>"])
    second = revised(first, BASE, BASE + b"two\r\n", {"b": [{"c": [1, 1]}]}, lists, "<b@l.test>", ["<r@d.test>"])
    third = revised(second, BASE + b"two\r\n", BASE.replace(b"Subject: t", b"Subject: u") + b"two\r\nthree\r\n",
                    {"h": {"subject": [{"d": [" t"]}]}, "b": [{"c": [1, 2]}]}, keyring.key("d.test"), "<r@d.test>", ["<x@e.test>"])
    return first, second, seal(third, keyring.key("e.test"), mf="<x@e.test>", rt=["<y@f.test>"])


def test_back_to_each_instance(three):
    first, second, message = three
    assert undone(message) == undone(message, "--to", "2") == second
    assert undone(message, "--to", "1") == first
    assert undone(message, "--to", "3") == message
    assert undone(second) == undone(first, "--to", "1") == first


@pytest.mark.parametrize("to, flip, reason", [
    ("1", (b"three", b"thr\xffe"), "Message Instance m=3 body hash sha256 mismatch"),
    ("3", (b"three", b"thr\xffe"), "Message Instance m=3 body hash sha256 mismatch"),
    ("2", (b"Subject: u", b"Subject: v"), "Message Instance m=3 header hash sha256 mismatch"),
    ("4", (b"", b""), "there is no instance m=4, the newest is m=3")])
def test_what_does_not_fit_is_not_printed(three, to, flip, reason):
    undone(three[2].replace(*flip, 1), "--to", to, code=65, reason=reason)


def test_an_instance_that_nobody_signed(three):
    unsigned = three[1].replace(b"DKIM2-Signature: i=2; m=2", b"DKIM2-Signature: i=2; m=1")
    undone(unsigned, "--to", "1", code=65, reason="Message-Instance m=2 is not signed")


@pytest.mark.parametrize("recipe, reason", [
    ({"b": [{"c": [1, 2]}]}, "Message Instance m=1 body hash sha256 mismatch"),
    ({"b": [{"c": [1, 9]}]}, "Message-Instance m=2 contains invalid JSON"),
    ({"b": None}, "Message-Instance m=2 contains invalid JSON"), (b"{", "Message-Instance m=2 contains invalid JSON"),
    ({"h": {"subject": [{"d": [" T"]}]}, "b": [{"c": [1, 1]}]}, "Message Instance m=1 header hash sha256 mismatch"),
    (None, "Message Instance m=1 body hash sha256 mismatch")])
def test_recipes_that_do_not_lead_back(author, lists, recipe, reason):
    _, message = through_list(BASE, author, lists, BASE + b"two\r\n", recipe)
    undone(message, code=65, reason=reason)
    assert undone(message, "--to", "2") == message


def test_a_recipe_further_down_is_not_looked_at(author, lists, keyring):
    _, message = through_list(BASE, author, lists, BASE + b"two\r\n", b"{")
    third = revised(message, BASE + b"two\r\n", BASE + b"two\r\nthree\r\n", {"b": [{"c": [1, 2]}]}, keyring.key("d.test"), "<r@d.test>", ["<x@e.test>"])
    assert undone(third) == message
    undone(third, "--to", "1", code=65, reason="Message-Instance m=2 contains invalid JSON")


def test_by_the_rules_of_a_draft(author, lists):
    """Up to -08 a recipe could say that a body is lost; VBR-Info is signed since -08."""
    _, message = through_list(BASE, author, lists, BASE + b"two\r\n", {"b": None})
    undone(message, "--draft", "08", code=65, reason="its body cannot be had, a recipe says")
    sealed, message = through_list(BASE, author, lists, BASE + b"two\r\n", {"b": [{"c": [1, 1]}]})
    assert undone(b"VBR-Info: x\r\n" + message, "--draft", "07") == b"VBR-Info: x\r\n" + sealed
    undone(b"VBR-Info: x\r\n" + message, code=65, reason="Message Instance m=2 header hash sha256 mismatch")


@pytest.mark.parametrize("message, reason", [
    (BASE, "no Message-Instance, so there is nothing to undo"), (b"", "empty, a message was expected"),
    (b"\r\n", "no Message-Instance, so there is nothing to undo"), (b"\0\xff", "a header line is no field, a name and a colon were expected: \\x00\\xff"),
    (BASE.replace(b"\r\n", b"\n"), "lines end in LF, not CRLF as on the wire, so no field of it can be seen (try: sed 's/$/\\r/')")])
def test_nothing_to_undo(message, reason):
    undone(message, code=65, reason=reason)


def test_instances_that_nobody_signed_are_no_chain():
    """Without DKIM2-Signature nothing says what they are worth; whatever hashes they name, nothing is printed."""
    for fields in (instance(BASE), b"Message-Instance: m=1; h=sha256:AAAA:AAAA;\r\n" + BASE, b"Message-Instance: x\r\n" * 60 + BASE):
        for args in ((), ("--to", "1"), ("--to", "7")):
            undone(fields, *args, code=65, reason="no DKIM2-Signature, so its Message-Instance fields are no chain")


def test_no_instance_before_the_first(author):
    sealed = seal(BASE, author)
    undone(sealed, code=65, reason="there is no instance before m=1")
    assert undone(sealed, "--to", "1") == sealed


def test_the_words_of_a_peer_do_not_drive_the_terminal(author):
    done = ctl("undo", "-", input=seal(instance(BASE).replace(b"h=sha256", b"h=\x1b[2J"), author))
    assert done.returncode == 65 and b"\x1b" not in done.stderr + done.stdout


def test_files_that_are_not_there_and_wrong_calls(room):
    assert ctl("undo", os.path.join(room, "nothing")).returncode == 66
    for args in ((), ("a", "b"), ("--to", "0", "x"), ("--to", "one", "x"), ("--draft", "5", "x"), ("--json", "x")):
        done = ctl("undo", *args)
        assert done.returncode == 64 and b"usage: hopsealctl undo" in done.stderr


def test_every_octet_flipped_is_noticed(author, lists):
    """What is printed has the hashes its author put there, or nothing is."""
    sealed, message = through_list(BASE, author, lists, BASE.replace(b"Subject: t", b"Subject: u") + b"two\r\n",
                                   {"h": {"subject": [{"d": [" t"]}]}, "b": [{"c": [1, 1]}]})
    content = message.index(BASE[:10])
    for at in range(content, len(message), 3):
        done = ctl("undo", "-", input=message[:at] + bytes([message[at] ^ 1]) + message[at + 1:])
        assert (done.returncode, done.stdout) == (65, b""), at
    assert undone(message) == sealed
