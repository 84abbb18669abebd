"""hopsealctl: what its verbs print, and their exit codes (INTERFACE: sysexits of its own)."""
import base64
import json
import os
import re
import stat
import subprocess

import pytest

from keys import Key, write_answers
from mail import BASE, NOW, added, name_of, tag, unfolded
from relay import CTL, ctl
from revise import revised
from seal import checked, hops, seal

ENVELOPE = ["--mail-from", "<s@a.test>", "--rcpt", "<r1@c.test>"]


@pytest.fixture
def key(keyring):
    return keyring.key("a.test")


@pytest.fixture
def rsa(keyring):
    return keyring.key("a.test", "r")


@pytest.fixture
def dns(room, keyring, key, rsa):
    return write_answers(os.path.join(room, "dns.json"), keyring.answers())


def want(code, *args, input=None, stderr=b""):
    """Runs it, holds the exit code; what it complains about must be said on stderr, and nothing else."""
    done = ctl(*args, input=input)
    assert done.returncode == code, done
    if stderr is not None:
        assert (stderr in done.stderr) if stderr else done.stderr == b"", done.stderr
    return done.stdout


def verdict(message, dns, *args, code=0, stderr=b"", now=NOW):
    return json.loads(want(code, "verify", "--json", "--dns", dns, "--now", str(now), *args, "-", input=message, stderr=stderr))


def sign(message, key, dns, *args, code=0, stderr=b""):
    return want(code, "sign", "--domain", key.domain, "--selector", key.selector, "--key", key.file, "--dns", dns, "--now", str(NOW),
                *args, "-", input=message, stderr=stderr)


# --- the dispatcher ---

def test_help_and_version_go_to_stdout():
    out = want(0, "--help")
    for verb in (b"check", b"show", b"verify", b"sign", b"undo", b"explain", b"bulk", b"keygen", b"dns-record", b"password", b"status", b"top", b"reload"):
        assert b"\n  " + verb + b" " in out
    assert re.fullmatch(rb"hopsealctl \d+\.\d+\.\d+\n", want(0, "--version"))


def test_help_names_every_option_of_sign():
    out = want(0, "sign", "--help")
    for option in (b"--next-domain", b"--previous", b"--flag", b"--received-mail-from", b"--received-rcpt", b"--nonce", b"--out-of-band"):
        assert len(re.findall(option + rb"[ \]]", out)) == 1, option


@pytest.mark.parametrize("args, words", [
    (("verify", "-xyz", "m"), b"unknown option: -x"), (("verify", "--json", "-x", "m"), b"unknown option: -x"),
    (("verify", "--nonsense", "m"), b"unknown option: --nonsense"), (("verify", "--json=1", "m"), b"unknown option: --json=1"),
    (("verify", "m", "--now"), b"--now needs a value"), (("check", "-c"), b"-c needs a value")])
def test_the_option_that_is_wrong_is_named(args, words):
    assert ctl(*args).stderr.splitlines()[0] == b"hopsealctl " + args[0].encode() + b": " + words


def test_names_of_files_do_not_drive_the_terminal(room):
    """One line for a file, whatever it is called."""
    name = os.fsencode(room) + b"/a\nb\x1b[2J\xe2\x80\xae\xff"
    shown = os.fsencode(room) + b"/a\\x0ab\\x1b[2J\\xe2\\x80\\xae\\xff"
    for verb in (b"verify", b"undo", b"explain", b"bulk"):
        want(66, verb.decode(), name, stderr=b": " + shown + b": No such file or directory\n")
    want(64, "verify", "--now", "\x1b[2J", "x", stderr=b"--now \\x1b[2J: ")
    utf8 = room + "/\u00fc"
    want(66, "verify", utf8, stderr=utf8.encode() + b": No such file")


@pytest.mark.parametrize("args", [
    (), ("nonsense",), ("queue",), ("probe",), ("verify",), ("verify", "a", "b"),
    ("verify", "--nonsense", "x"), ("verify", "--now"), ("verify", "--now", "tomorrow", "x"), ("verify", "--draft", "10", "x"),
    ("verify", "--draft", "5", "x"), ("verify", "--only", "", "x"), ("verify", "--only", "dkim2,", "x"),
    ("verify", "--only", "dkim3", "x"), ("verify", "--mail-from", "s@a.test", "x"), ("verify", "--rcpt", "s@a.test", "x"),
    ("verify", "--mail-from", "<s@a.test", "--rcpt", "r@c.test", "x"), ("verify", "--mail-from", "s@a.test", "--rcpt", "<>", "x"),
    ("verify", "--client-ip", "192.0.2", "x"), ("explain", "--html", "o"), ("sign", "x"), ("keygen", "--out", "x"),
    ("dns-record", "--domain", "a.test", "--selector", "s"), ("status", "extra"), ("verify", "-c", "x", "x"),
    ("keygen", "--domain", "a.test", "--selector", "s", "--out", "x", "--type", "dsa"),
    ("keygen", "--domain", "a.test", "--selector", "s", "--out", "x", "--bits", "2048"),
    ("keygen", "--domain", "a.test", "--selector", "s", "--out", "x", "--type", "rsa", "--bits", "1024"),
    ("keygen", "--domain", "a/../b", "--selector", "s", "--out", "x"),
    ("keygen", "--domain", "a.test", "--selector", "../s", "--out", "x")])
def test_a_wrong_call_is_64_and_says_how(args):
    done = ctl(*args)
    assert done.returncode == 64, done
    assert b"usage: hopsealctl" in done.stderr and done.stdout == b""


def test_an_unknown_verb_lists_those_there_are():
    done = ctl("unqueue", "list")
    assert done.stderr.startswith(b"hopsealctl: unknown verb: unqueue\n") and b"  verify " in done.stderr


def test_standard_output_that_takes_nothing_is_73(dns):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([CTL, "verify", "--dns", dns, "-"], input=BASE, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 73 and b"standard output" in done.stderr


# --- verify ---

def test_verify_json_has_exactly_the_documented_names(dns, key):
    got = verdict(seal(BASE, key), dns, *ENVELOPE, "--authserv-id", "mx.example.net", "--only", "dkim2")
    assert got == {
        "dkim2": {"result": "pass", "level": "full", "draft": "09", "reason": None, "i": 1, "m": 1, "flags": [],
                  "hops": [{"i": 1, "m": 1, "d": "a.test", "mf": "<s@a.test>", "rt": ["<r1@c.test>"], "nd": None, "t": NOW,
                            "result": "pass", "reason": None}],
                  "instances": [{"m": 1, "result": "pass", "changed": {"fields": [], "body_lines": 0}}]},
        "authentication_results": "mx.example.net; dkim2=pass (i=1 a.test pass) header.d=a.test"}


def test_a_replay_fails_with_the_words_of_the_draft(dns, key):
    got = verdict(seal(BASE, key), dns, "--mail-from", "s@a.test", "--rcpt", "r2@c.test", code=65)["dkim2"]
    assert (got["result"], got["reason"]) == ("fail", "DKIM2-Signature i=1 RCPT TO <r2@c.test> did not match")


@pytest.mark.parametrize("draft, state", [("06", "permerror"), ("7", "permerror"), ("08", "fail"), ("09", "fail")])
def test_the_level_it_is_judged_by(dns, key, draft, state):
    arguments = ("--draft", draft, "--dns", dns, "--now", str(NOW), "--mail-from", "s@a.test", "--rcpt", "r2@c.test", "-")
    for verb in ("verify", "explain"):
        got = json.loads(want(65, verb, "--json", *arguments, input=seal(BASE, key)))["dkim2"]
        assert (got["draft"], got["result"]) == (draft.zfill(2), state)
    assert b"dkim2=%s (draft %s, " % (state.encode(), draft.zfill(2).encode()) in want(65, "verify", *arguments, input=seal(BASE, key))


def test_bare_addresses_are_taken_as_bracketed(dns, key):
    message = seal(BASE, key)
    assert verdict(message, dns, "--mail-from", "s@a.test", "--rcpt", "r1@c.test") == verdict(message, dns, *ENVELOPE)


def test_the_null_sender_is_a_path(dns, key):
    message = seal(BASE, key, mf="<>")
    for null in ("<>", ""):
        assert verdict(message, dns, "--mail-from", null, "--rcpt", "r1@c.test")["dkim2"]["result"] == "pass"


def test_without_envelope_the_level_says_so(dns, key):
    assert verdict(seal(BASE, key), dns)["dkim2"]["level"] == "no-envelope"


@pytest.mark.parametrize("now, result", [(NOW, "pass"), (NOW + 15 * 86400, "fail"), (NOW - 3600, "fail"), ("none", "pass")])
def test_now_is_the_clock_of_time_checks(dns, key, now, result):
    assert verdict(seal(BASE, key), dns, *ENVELOPE, now=now, code=65 if result == "fail" else 0)["dkim2"]["result"] == result


def test_a_message_without_chain_is_none_and_1(dns):
    got = verdict(BASE, dns, code=1)
    assert (got["dkim2"]["result"], got["dkim2"]["i"], got["dkim2"]["hops"]) == ("none", None, [])


def test_a_silent_server_is_75(room, key):
    dns = write_answers(os.path.join(room, "slow.json"), {key.name: {"error": "timeout"}})
    got = verdict(seal(BASE, key), dns, *ENVELOPE, code=75)["dkim2"]
    assert (got["result"], got["reason"]) == ("temperror", "DKIM2-Signature i=1 public key e could not be fetched")


def test_a_flipped_octet_fails_at_its_instance(dns, key):
    got = verdict(seal(BASE, key).replace(b"hello", b"hellp"), dns, *ENVELOPE, code=65)["dkim2"]
    assert (got["result"], got["instances"][0]["result"]) == ("fail", "fail") and "body hash" in got["reason"]


def test_lf_line_ends_show_no_field_and_are_told(dns, key):
    got = verdict(seal(BASE, key).replace(b"\r\n", b"\n"), dns, *ENVELOPE, code=1, stderr=b"LF")
    assert got["dkim2"]["result"] == "none"


def test_a_line_without_colon_is_told(dns, key):
    broken = seal(BASE, key).replace(b"Subject: t\r\n", b"Subject t\r\n")
    assert verdict(broken, dns, *ENVELOPE, code=65, stderr=b"colon")["dkim2"]["result"] == "permerror"


@pytest.mark.parametrize("message, code", [(b"", 65), (b"From: s@a.test", 1), (b"\r\n", 1), (b"\0\xff\xfe", 1)])
def test_odd_input_ends_in_order(dns, message, code):
    assert ctl("verify", "--dns", dns, "-", input=message).returncode == code


def test_files_that_are_not_there(dns, room):
    want(66, "verify", "--dns", dns, os.path.join(room, "nothing"), stderr=b"nothing")
    want(66, "verify", "--dns", os.path.join(room, "nothing"), "-", input=BASE, stderr=b"nothing")
    with open(os.path.join(room, "bad.json"), "w", encoding="utf-8") as f:
        f.write("{")
    want(65, "verify", "--dns", f.name, "-", input=BASE, stderr=b"bad.json")


def test_verify_as_text(dns, key):
    assert want(0, "verify", "--dns", dns, "--now", str(NOW), "--authserv-id", "mx.c.test", *ENVELOPE, "-", input=seal(BASE, key)) == (
        b"dkim2=pass (draft 09, every hop, every instance and the envelope)\n"
        b"  i=1 m=1 d=a.test  <s@a.test> -> <r1@c.test>  pass\n"
        b"  content m=1  pass\n"
        b"dkim=none\narc=none\nspf=none (no --client-ip)\ndmarc=none\n  reason: no policy record\n"
        b"Authentication-Results: mx.c.test; dkim2=pass (i=1 a.test pass) header.d=a.test; dkim=none; arc=none; dmarc=none header.from=a.test\n")


def test_verify_says_what_was_changed(keyring, room, key):
    after = BASE.replace(b"Subject: t", b"Subject: [c] t").replace(b"\r\n\r\n", b"\r\nList-Id: <c>\r\n\r\n") + b"-- \r\nfooter\r\n"
    message = revised(seal(BASE, key), BASE, after, {"h": {"list-id": [], "subject": [{"d": [" t"]}]}, "b": [{"c": [1, 1]}]},
                      keyring.key("c.test"), "<r1@c.test>", ["<x@b.test>"])
    dns = write_answers(os.path.join(room, "both.json"), keyring.answers())
    got = verdict(message, dns, "--mail-from", "r1@c.test", "--rcpt", "x@b.test")["dkim2"]
    assert (got["result"], got["level"]) == ("pass", "full")
    assert [one["changed"] for one in got["instances"]] == [{"fields": [], "body_lines": 0}, {"fields": ["list-id", "subject"], "body_lines": 2}]
    out = want(0, "verify", "--dns", dns, "--now", str(NOW), "-", input=message)
    assert b"\n  content m=1  pass\n  content m=2  changed list-id, subject, 2 lines  pass\n" in out


def test_a_peer_does_not_drive_the_terminal(dns, key):
    message = seal(BASE.replace(b"Subject: t", b"Subject: \x1b[2J\xc2\x9b"), key, mf="<\x1b[2J@a.test>")
    for verb in ("verify", "explain"):
        done = ctl(verb, "--dns", dns, "--now", str(NOW), "-", input=message)
        assert b"\x1b" not in done.stdout and b"\xc2\x9b" not in done.stdout


# --- sign ---

def test_sign_puts_two_fields_on_top_and_changes_nothing(dns, key, rsa, keyring):
    out = sign(BASE, key, dns, "--selector", rsa.selector, "--key", rsa.file, *ENVELOPE)
    assert [name_of(field) for field in added(BASE, out)] == ["dkim2-signature", "message-instance"]
    (hop,) = checked(out, keyring)
    assert (hop.i, hop.m, hop.t, hop.d, hop.mf, hop.rt) == (1, 1, NOW, "a.test", "<s@a.test>", ["<r1@c.test>"])
    assert [s[:2] for s in hop.sets] == [["e", "ed25519-sha256"], ["r", "rsa-sha256"]]
    assert verdict(out, dns, *ENVELOPE)["dkim2"]["result"] == "pass"


@pytest.mark.parametrize("message", [BASE, BASE[:-2], BASE + b"\r\n\r\n", BASE.split(b"\r\n\r\n")[0] + b"\r\n\r\n",
                                     BASE.replace(b"hello", b"\xff\xfe \t")])
def test_sign_then_verify_goes_round(dns, key, message):
    out = sign(message, key, dns, *ENVELOPE)
    assert out.endswith(message)
    assert verdict(out, dns, *ENVELOPE)["dkim2"]["result"] == "pass"


def test_sign_extends_a_chain_it_verified(dns, key, keyring, room):
    other = keyring.key("c.test")
    dns = write_answers(os.path.join(room, "both.json"), keyring.answers())
    first = seal(BASE, key)
    out = sign(first, other, dns, "--mail-from", "r1@c.test", "--rcpt", "x@b.test")
    assert [hop.d for hop in checked(out, keyring)] == ["a.test", "c.test"]
    assert [name_of(field) for field in added(first, out)] == ["dkim2-signature"]
    assert verdict(out, dns, "--mail-from", "r1@c.test", "--rcpt", "x@b.test")["dkim2"]["result"] == "pass"


def test_sign_holds_the_chain_against_the_received_envelope(dns, key, keyring, room):
    other = keyring.key("c.test")
    dns = write_answers(os.path.join(room, "both.json"), keyring.answers())
    args = ["--mail-from", "r1@c.test", "--rcpt", "x@b.test", "--received-mail-from", "s@a.test", "--received-rcpt"]
    assert len(hops(sign(seal(BASE, key), other, dns, *args, "r1@c.test"))) == 2
    assert sign(seal(BASE, key), other, dns, *args, "r2@c.test", code=65, stderr=b"not signed") == b""


def test_sign_refuses_a_broken_chain_but_for_an_agreement(dns, key, keyring, room):
    other = keyring.key("c.test")
    dns = write_answers(os.path.join(room, "both.json"), keyring.answers())
    broken = seal(BASE, key, t=NOW - 15 * 86400)
    args = ["--mail-from", "r1@c.test", "--rcpt", "x@b.test"]
    assert sign(broken, other, dns, *args, code=65, stderr=b"not signed") == b""
    assert len(hops(sign(broken, other, dns, *args, "--out-of-band"))) == 2


def test_sign_waits_for_a_key_that_may_come(room, key, keyring):
    dns = write_answers(os.path.join(room, "slow.json"), {key.name: {"error": "servfail"}})
    assert sign(seal(BASE, key), keyring.key("c.test"), dns, "--mail-from", "r1@c.test", "--rcpt", "x@b.test", code=75,
                stderr=b"not signed") == b""


def test_sign_for_a_next_domain_with_flags_and_nonce(dns, key):
    out = sign(BASE, key, dns, "--next-domain", "B.test", "--flag", "exploded", "--flag", "feedback", "--nonce", "n.1")
    top = re.sub(rb"[\r\n\t ]", b"", added(BASE, out)[0])
    assert b";nd=b.test;" in top and b";f=exploded,feedback;" in top and b";n=n.1;" in top and b"mf=" not in top


@pytest.mark.parametrize("message, words", [
    (BASE.replace(b"\r\n", b"\n"), b"LF"), (BASE.replace(b"hello\r\n", b"hel\rlo\r\n"), b"CR"), (BASE.replace(b"hello", b"\0"), b"NUL"),
    (BASE.replace(b"Subject: t", b"Subject"), b"colon"), (b"", b"empty"), (BASE.replace(b"s@a.test", b"s@b.test"), b"not signed")])
def test_sign_refuses_what_no_seal_fits(dns, key, message, words):
    assert sign(message, key, dns, *ENVELOPE, code=65, stderr=words) == b""


@pytest.mark.parametrize("args", [
    ["--previous", "-"] + ENVELOPE, ["--flag", "donotmodify"] + ENVELOPE, ["--nonce", "a;b"] + ENVELOPE, ["--nonce", "n" * 65] + ENVELOPE,
    ["--selector", "s2"] + ENVELOPE, ["--next-domain", "b.test"] + ENVELOPE, ["--mail-from", "s@a.test"], ["--rcpt", "r1@c.test"], [],
    ["--received-rcpt", "r@c.test"] + ENVELOPE, ["--now", "none"] + ENVELOPE, ["--next-domain", "b..test"]])
def test_sign_called_wrongly(dns, key, args):
    assert sign(BASE, key, dns, *args, code=64, stderr=b"usage: hopsealctl sign") == b""


def listed(message, subject=b"[L] t"):
    """What a list makes of it."""
    return message.replace(b"Subject: t\r\n", b"Subject: " + subject + b"\r\nList-Id: <l.c.test>\r\n") + b"-- \r\nfooter\r\n"


@pytest.fixture
def revise(key, keyring, room):
    """Signs what a list made of a message, given what it got."""
    other = keyring.key("c.test")
    dns = write_answers(os.path.join(room, "both.json"), keyring.answers())

    def run(got, leaves, *args, code=0, stderr=b""):
        path = os.path.join(room, "previous.eml")
        with open(path, "wb") as f:
            f.write(got)
        return sign(leaves, other, dns, "--mail-from", "l@c.test", "--rcpt", "x@b.test", "--previous", path, *args, code=code, stderr=stderr)
    run.dns = dns
    return run


def test_sign_accounts_for_what_changed(revise, key):
    first = seal(BASE, key)
    leaves = listed(first)
    out = revise(first, leaves, "--flag", "exploded")
    assert [name_of(field) for field in added(leaves, out)] == ["dkim2-signature", "message-instance"]
    assert base64.b64decode(tag(unfolded(added(leaves, out)[1]), "r")) == b'{"h":{"list-id":[],"subject":[{"d":[" t"]}]},"b":[{"c":[1,1]}]}'
    got = verdict(out, revise.dns, "--only", "dkim2", "--mail-from", "l@c.test", "--rcpt", "x@b.test")["dkim2"]
    assert (got["result"], got["level"], got["m"], got["flags"]) == ("pass", "full", 2, ["exploded"])
    # and once more, the header alone
    again = revise(out, b"Comments: x\r\n" + out, "--out-of-band", "--received-mail-from", "l@c.test", "--received-rcpt", "x@b.test", code=65,
                   stderr=b"DKIM2-Signature i=3 MAIL FROM does not match RCPT TO of i=2")
    assert again == b""


def test_sign_makes_an_nd_hop_of_what_changed(revise, key, keyring):
    """The instance goes with the first of two hops."""
    first = seal(BASE, key)
    other, last = keyring.key("c.test"), keyring.key("b.test")
    dns = write_answers(revise.dns, keyring.answers())
    path = os.path.join(os.path.dirname(dns), "first.eml")
    with open(path, "wb") as f:
        f.write(first)
    bridged = sign(listed(first), other, dns, "--next-domain", "b.test", "--previous", path)
    out = sign(bridged, last, dns, "--mail-from", "l@b.test", "--rcpt", "x@b.test", code=65, stderr=b"unexpected nd= tag")
    out = sign(bridged, last, dns, "--mail-from", "l@b.test", "--rcpt", "x@b.test", "--out-of-band")
    got = verdict(out, dns, "--only", "dkim2", "--mail-from", "l@b.test", "--rcpt", "x@b.test")["dkim2"]
    assert (got["result"], got["level"]) == ("pass", "full")
    assert [(hop["i"], hop["m"], hop["nd"]) for hop in got["hops"]] == [(1, 1, None), (2, 2, "b.test"), (3, 2, None)]


def test_sign_holds_what_came_against_its_chain(revise, key):
    first = seal(BASE, key)
    for got, leaves, args, words in (
            (first.replace(b"hello", b"hellp"), listed(first), [], b"body hash sha256 mismatch"),
            (first, listed(first), ["--received-mail-from", "s@a.test", "--received-rcpt", "z@c.test"], b"RCPT TO <z@c.test> did not match"),
            (first, listed(seal(first, key, mf="<r1@c.test>", d="c.test")), [], b"chain changed since it was verified"),
            (first, listed(BASE), [], b"chain changed since it was verified"),
            (BASE, listed(first), [], b"message already holds fields of a chain"),
            (first.replace(b"\r\n", b"\n"), listed(first), [], b"LF")):
        assert revise(got, leaves, *args, code=65, stderr=words) == b""
    assert revise(first, listed(first), "--received-mail-from", "s@a.test", "--received-rcpt", "r1@c.test")
    assert revise(BASE.replace(b"s@a.test", b"s@c.test"), listed(BASE.replace(b"s@a.test", b"s@c.test")))     # nothing to undo: it begins here
    assert revise(first, first, "--previous", "/nonexistent", code=66, stderr=b"/nonexistent") == b""


@pytest.mark.parametrize("broken, words", [
    (lambda m: m.replace(b"\r\n", b"\n"), b"lines end in LF"), (lambda m: b"no field \0\r\n" + m, b"a header line is no field")])
def test_sign_says_once_what_is_wrong(revise, key, broken, words):
    first = seal(BASE, key)
    path = os.path.join(os.path.dirname(revise.dns), "came.eml")
    for came, leaves in ((broken(first), listed(first)), (first, broken(first))):
        with open(path, "wb") as f:
            f.write(came)
        done = ctl("sign", "--domain", key.domain, "--selector", key.selector, "--key", key.file, *ENVELOPE, "--previous", path, "-", input=leaves)
        assert done.returncode == 65 and done.stdout == b""
        assert done.stderr.count(b"\n") == 1 and words in done.stderr, done.stderr


@pytest.mark.parametrize("mf, rcpt, words", [
    ("s@a.test", "<>", b"--received-rcpt <>: a path"), ("<s", "r@c.test", b"--received-mail-from <s: a path")])
def test_sign_reads_the_received_envelope_even_when_nothing_needs_it(dns, key, mf, rcpt, words):
    sign(BASE, key, dns, *ENVELOPE, "--received-mail-from", mf, "--received-rcpt", rcpt, code=64, stderr=words)


def test_sign_refuses_what_cannot_be_undone(revise, key):
    first = seal(BASE, key)
    gone = b"".join(b"%d of lines that will be gone, %d\r\n" % (n * n, n) for n in range(3000))
    long = seal(BASE + gone, key)
    for got, leaves, words in (
            (long, long.replace(gone, b""), b"longer recipe"),
            (first, listed(first).replace(b"From: s@a.test", b"From: ceo@b.test"), b"not Authentic for d=c.test")):
        assert revise(got, leaves, code=65, stderr=b"not signed") == b""
        assert revise(got, leaves, code=65, stderr=words) == b""
    assert revise(first, listed(first).replace(b"From: s@a.test", b"From: l@c.test"))


def test_sign_with_keys_that_do_not_do(dns, room):
    short = os.path.join(room, "short.pem")
    subprocess.run(["openssl", "genpkey", "-quiet", "-out", short, "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"], check=True)
    none = os.path.join(room, "none.pem")
    with open(none, "w", encoding="ascii") as f:
        f.write("no key\n")
    for file, code, words in ((short, 65, b"1024 bits"), (none, 65, b"no private key"), (none + "x", 66, b"none.pemx")):
        want(code, "sign", "--domain", "a.test", "--selector", "s", "--key", file, "--dns", dns, *ENVELOPE, "-", input=BASE, stderr=words)


# --- explain ---

CHAIN = """message: t
│
├─ hop 1  a.test  pass
│     <s@a.test> → <r1@c.test>
│     2026-10-01 00:00:00 UTC, signed with e ed25519-sha256, r rsa-sha256
│     content m=1: the first form, pass
│
├─ hop 2  c.test  pass
│     <r1@c.test> → <x@b.test> <y@b.test>
│     2026-10-01 01:00:00 UTC, signed with e ed25519-sha256
│     content as hop 1 left it
│
└─ pass by draft 09: every hop, every instance and the envelope
"""


def explain(message, dns, *args, locale="C.UTF-8", code=0, **env):
    done = subprocess.run([CTL, "explain", "--dns", dns, "--now", str(NOW), *args, "-"], input=message, stdout=subprocess.PIPE,
                          env=dict(os.environ, LC_ALL=locale, **env))
    assert done.returncode == code, done
    return done.stdout.decode()


@pytest.fixture
def chain(key, rsa, keyring, room):
    other = keyring.key("c.test")
    message = seal(seal(BASE, key, rsa), other, mf="<r1@c.test>", rt=["<x@b.test>", "<y@b.test>"], t=NOW + 3600)
    return message, write_answers(os.path.join(room, "chain.json"), keyring.answers())


LATER = ["--now", str(NOW + 7200), "--mail-from", "r1@c.test", "--rcpt", "y@b.test"]


def test_explain_draws_the_chain(chain):
    assert explain(*chain, *LATER) == CHAIN


def test_explain_in_plain_ascii(chain):
    plain = CHAIN
    for line, ascii in (("├─", "+-"), ("└─", "`-"), ("│", "|"), ("→", "->")):
        plain = plain.replace(line, ascii)
    assert explain(*chain, *LATER, locale="C") == plain


def test_explain_says_what_is_wrong(chain):
    out = explain(*chain, "--now", str(NOW + 7200), "--mail-from", "r1@c.test", "--rcpt", "z@b.test", code=65)
    assert out.endswith("└─ fail by draft 09: DKIM2-Signature i=2 RCPT TO <z@b.test> did not match\n")
    assert "hop 2  c.test  fail: DKIM2-Signature i=2 RCPT TO <z@b.test> did not match\n" in out


@pytest.mark.parametrize("draft", ["06", "07", "08", "09"])
def test_explain_names_the_draft_it_judged_by(chain, draft):
    out = explain(*chain, *LATER, "--draft", draft)
    assert out.endswith("└─ pass by draft %s: every hop, every instance and the envelope\n" % draft)


def test_explain_without_chain(dns):
    assert explain(BASE, dns, code=1) == "message: t\n│\n└─ none: no DKIM2-Signature\n"


def test_explain_json_is_what_verify_says(chain):
    message, dns = chain
    got = json.loads(explain(message, dns, *LATER, "--json"))
    assert got == {"dkim2": verdict(message, dns, *LATER)["dkim2"]}


@pytest.mark.parametrize("env, coloured", [({}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_on_a_terminal_only(chain, env, coloured):
    message, dns = chain
    primary, replica = os.openpty()
    subprocess.run([CTL, "explain", "--dns", dns, *LATER, "-"], input=message, stdout=replica,
                   env={**{k: v for k, v in os.environ.items() if k != "NO_COLOR"}, "LC_ALL": "C.UTF-8", **env})
    os.close(replica)
    out = os.read(primary, 65536)
    os.close(primary)
    assert (b"\x1b[32mpass\x1b[0m" in out) == coloured and b"hop 2" in out
    assert coloured or b"\x1b" not in out


# --- keygen, dns-record ---

@pytest.mark.parametrize("args, kind, bits", [([], "ed25519", 256), (["--type", "rsa"], "rsa", 2048), (["--type", "rsa", "--bits", "3072"], "rsa", 3072)])
def test_keygen_makes_a_key_that_signs(room, args, kind, bits):
    folder = os.path.join(room, "keys")
    out = want(0, "keygen", "--domain", "A.test", "--selector", "s1", "--out", folder, *args)
    pem = os.path.join(folder, "a.test.s1.pem")
    assert sorted(os.listdir(folder)) == ["a.test.s1.dns", "a.test.s1.pem"]
    assert stat.S_IMODE(os.stat(pem).st_mode) == 0o600
    with open(os.path.join(folder, "a.test.s1.dns"), "rb") as f:
        assert f.read() == out
    name, text = zone_line(out.decode())
    assert name == "s1._domainkey.a.test" and text.startswith("v=DKIM1; k=%s; p=" % kind)
    facts = json.loads(want(0, "dns-record", "--key", pem, "--domain", "a.test", "--selector", "s1", "--json"))
    assert facts == {"name": name, "type": "TXT", "strings": [text[at:at + 255] for at in range(0, len(text), 255)], "key_type": kind,
                     "bits": bits}
    assert want(0, "dns-record", "--key", pem, "--domain", "a.test", "--selector", "s1") == out
    dns = write_answers(os.path.join(room, "made.json"), {name: [text]})
    signed = want(0, "sign", "--domain", "a.test", "--selector", "s1", "--key", pem, *ENVELOPE, "--now", str(NOW), "-", input=BASE)
    assert verdict(signed, dns, *ENVELOPE)["dkim2"]["result"] == "pass"


def zone_line(line):
    """Name and text of a TXT record as a zone file has it."""
    m = re.fullmatch(r'(\S+)\. IN TXT (?:"([^"]*)"|\( ((?:"[^"]*" )+)\))\n', line)
    assert m, line
    strings = [m.group(2)] if m.group(3) is None else re.findall(r'"([^"]*)"', m.group(3))
    assert all(len(s) <= 255 for s in strings)
    return m.group(1), "".join(strings)


def test_keygen_never_writes_over_a_key(room):
    args = ["keygen", "--domain", "a.test", "--selector", "s1", "--out", room]
    want(0, *args)
    pem = os.path.join(room, "a.test.s1.pem")
    with open(pem, "rb") as f:
        before = f.read()
    want(73, *args, stderr=b"exists already")
    with open(pem, "rb") as f:
        assert f.read() == before
    want(73, "keygen", "--domain", "a.test", "--selector", "s2", "--out", os.path.join(pem, "x"), stderr=b"pem/x")


def test_keygen_json_names_the_file(room):
    facts = json.loads(want(0, "keygen", "--domain", "a.test", "--selector", "s1", "--out", room, "--json"))
    assert facts["file"] == os.path.join(room, "a.test.s1.pem") and facts["key_type"] == "ed25519"


def test_dns_record_publishes_what_openssl_says(key, rsa):
    for one in (key, rsa):
        _, text = zone_line(want(0, "dns-record", "--key", one.file, "--domain", one.domain, "--selector", one.selector).decode())
        assert base64.b64decode(text.split("p=")[1]) == one.public
    assert isinstance(key, Key)


# --- status, reload without a daemon (with one: test_control) ---

def test_no_daemon_is_75(room):
    for verb in ("status", "top", "reload"):
        want(75, verb, "--control", os.path.join(room, "control.sock"), stderr=b"no daemon runs here")
    want(78, "status", "-c", os.path.join(room, "nothing.conf"), stderr=b"nothing.conf")
