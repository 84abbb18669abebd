"""hopsealctl bulk: many messages, what each is, and what they came to."""
import errno
import fcntl
import json
import os
import resource
import select
import signal
import struct
import subprocess
import termios

import pytest

from keys import write_answers
from mail import BASE, NOW
from relay import CTL, ctl
from seal import seal
from wait import DEADLINE

FROM = b"From s@a.test Thu Oct  1 00:00:00 2026\n"


@pytest.fixture
def key(keyring):
    return keyring.key("a.test")


@pytest.fixture
def dns(room, keyring, key):
    return write_answers(os.path.join(room, "dns.json"), keyring.answers())


@pytest.fixture
def put(room):
    """Writes a file below the folder that is judged, and returns its path."""
    def write(name, octets):
        path = os.path.join(room, "mail", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(octets)
        return path
    return write


def unix(message):
    return message.replace(b"\r\n", b"\n")


def mbox(*messages, line=FROM):
    return b"".join(line + unix(message) + b"\n" for message in messages)


def bulk(dns, *args, code=0, complaints=(), input=None):
    """What --json says; each complaint must be a line on stderr, and nothing else."""
    done = ctl("bulk", "--json", "--dns", dns, "--now", str(NOW), *args, input=input)
    assert done.returncode == code, done
    lines = done.stderr.decode().splitlines()
    assert len(lines) == len(complaints) and all(want in line for want, line in zip(complaints, lines)), done.stderr
    return json.loads(done.stdout)


def results(got):
    return [(os.path.basename(one["file"]), one["number"], one["dkim2"]["result"]) for one in got["messages"]]


def counts(got):
    return {name: n for name, n in got["summary"]["results"].items() if n}


# --- folders ---

def test_a_folder_is_judged_below_and_in_order(put, dns, key):
    for name in ("b/2", "a/x/1", "b/10", "a-1"):
        put(name, seal(BASE, key))
    put("z", seal(BASE, key).replace(b"hello", b"hellp"))
    got = bulk(dns, os.path.dirname(put("c", BASE)), code=65)
    assert [os.path.relpath(one["file"], got["messages"][0]["file"] + "/../../..") for one in got["messages"]] == [
        "a/x/1", "a-1", "b/10", "b/2", "c", "z"]
    assert counts(got) == {"pass": 4, "fail": 1, "none": 1}
    assert got["summary"]["lf"] == 0 and got["summary"]["interrupted"] is False


def test_each_message_is_what_verify_says_of_it(put, dns, key):
    path = put("one", seal(BASE, key))
    args = ["--dns", dns, "--now", str(NOW), "--authserv-id", "mx.test", "--mail-from", "s@a.test", "--rcpt", "r1@c.test"]
    (one,) = bulk(dns, *args, os.path.dirname(path))["messages"]
    verified = json.loads(ctl("verify", "--json", *args, path).stdout)
    assert one == dict(verified, file=path, number=None)
    assert one["dkim2"]["level"] == "full"


def test_line_ends_of_the_disk_are_those_of_the_wire(put, dns, key):
    put("unix", unix(seal(BASE, key)))
    got = bulk(dns, os.path.dirname(put("wire", seal(BASE, key))))
    assert counts(got) == {"pass": 2} and got["summary"]["lf"] == 1


def test_a_bare_lf_of_the_wire_stays_one(put, dns, key):
    got = bulk(dns, put("bare", seal(BASE.replace(b"hello", b"hel\nlo"), key)))
    assert counts(got) == {"pass": 1} and got["summary"]["lf"] == 0


def test_of_a_maildir_only_mail_counts(put, dns, key):
    for name in ("cur/1:2,S", "new/2", "tmp/3", ".Sent/cur/4:2,S", ".Sent/new/5", ".Sent/tmp/6", "dovecot-uidlist", ".Sent/maildirsize"):
        path = put(name, unix(seal(BASE, key)))
    got = bulk(dns, os.path.dirname(os.path.dirname(path)))
    assert sorted(name for name, _, _ in results(got)) == ["1:2,S", "2", "4:2,S", "5"]
    assert got["summary"]["passed_over"] == 4 and got["summary"]["lf"] == 4


def test_what_cannot_be_judged_is_counted_and_named(put, dns, key, room):
    folder = os.path.dirname(put("good", seal(BASE, key)))
    put("empty", b"")
    os.symlink("nowhere", os.path.join(folder, "link"))
    os.symlink(folder, os.path.join(folder, "loop"))
    os.symlink("good", os.path.join(folder, "other"))
    os.mkfifo(os.path.join(folder, "pipe"))
    with open(put("sparse", b""), "wb") as f:
        f.truncate((1 << 28) + 1)
    got = bulk(dns, folder, code=65, complaints=["empty: empty", "link: a link to nothing", "loop: a link to a folder", "pipe: no file",
                                                 "sparse: bigger than 256 MiB"])
    assert [name for name, _, _ in results({"messages": [one for one in got["messages"] if "dkim2" in one]})] == ["good", "other"]
    assert [os.path.basename(one["file"]) for one in got["messages"] if "error" in one] == ["empty", "link", "loop", "pipe", "sparse"]
    assert got["summary"]["unreadable"] == 5 and got["summary"]["messages"] == 2


def test_a_header_beyond_all_memory_is_named(put, dns):
    """Also when its own fields have taken what a message may have."""
    path = put("fields", b"X:\r\n" * 6000000 + b"\r\n")
    got = bulk(dns, path, code=65, complaints=["fields: insufficient system storage"])
    assert [one["file"] for one in got["messages"]] == [path] and got["summary"]["unreadable"] == 1


def test_files_that_are_not_there(dns, room):
    done = ctl("bulk", "--dns", dns, os.path.join(room, "nothing"))
    assert done.returncode == 66 and done.stdout == b"" and done.stderr.count(b"\n") == 1
    assert ctl("bulk", "--dns", os.path.join(room, "nothing"), room).returncode == 66


# --- mbox ---

def test_an_mbox_is_its_messages(put, dns, key):
    messages = [seal(BASE, key), BASE, seal(BASE, key).replace(b"hello", b"hellp")]
    got = bulk(dns, put("box", mbox(*messages)), code=65)
    assert results(got) == [("box", 1, "pass"), ("box", 2, "none"), ("box", 3, "fail")]
    assert got["summary"]["lf"] == 3


def test_an_mbox_from_standard_input_in_a_folder_and_with_crlf(put, dns, key):
    octets = mbox(seal(BASE, key), seal(BASE, key))
    assert results(bulk(dns, "-", input=octets)) == [("-", 1, "pass"), ("-", 2, "pass")]
    put("wire", octets.replace(b"\n", b"\r\n"))
    got = bulk(dns, os.path.dirname(put("box", octets)))
    assert counts(got) == {"pass": 4} and got["summary"]["lf"] == 2


QUOTED = BASE.replace(b"hello", b"From here\r\n>From there\r\n\r\nFrom x at 10:00:00\r\nend")


def test_quoting_is_taken_off(put, dns, key):
    message = seal(QUOTED, key)
    quoted = unix(message).replace(b"\nFrom here", b"\n>From here").replace(b"\n>From there", b"\n>>From there").replace(b"\nFrom x", b"\n>From x")
    assert counts(bulk(dns, put("rd", FROM + quoted + b"\n" + mbox(BASE)), code=1)) == {"pass": 1, "none": 1}


def test_content_length_is_believed_where_a_message_ends(put, dns, key):
    body = unix(QUOTED).split(b"\n\n", 1)[1]
    message = seal(QUOTED.replace(b"Subject: t\r\n", b"Subject: t\r\nContent-Length: %d\r\n" % len(body)), key)
    assert results(bulk(dns, put("cl2", mbox(message, message)))) == [("cl2", 1, "pass"), ("cl2", 2, "pass")]


@pytest.mark.parametrize("octets", [0, 3, 5, 1000000000, 9223372036854775807, "-1", "x", "", "99999999999999999999999"])
def test_a_content_length_that_lies_is_not(put, dns, key, octets):
    message = seal(BASE.replace(b"Subject: t\r\n", b"Subject: t\r\nContent-Length: %s\r\n" % str(octets).encode()), key)
    got = bulk(dns, put("lie", mbox(message, message, BASE)), code=1)
    assert results(got) == [("lie", 1, "pass"), ("lie", 2, "pass"), ("lie", 3, "none")]


@pytest.mark.parametrize("octets, numbers", [
    (FROM, [1]), (FROM * 2, [1]), (FROM[:-1], [1]), (FROM + b"\n", [1]), (FROM + b"\n" + FROM, [1, 2]), (FROM + b"\n\n\n", [1]),
    (b"From : s@a.test\nSubject: it was 10:00\n\n", [None]), (b"From here\n", [None]), (FROM + b"a: b\n\nFrom now on\n", [1]),
    (FROM + b"a: b\n\n\n" + FROM + b"a: b", [1, 2]), (b"\n", [None]), (b"\0" * 200000, [None]),
    (FROM + b">" * 200000 + b"From \n", [1]), (FROM[:-1] + b"x" * 200000 + b"\na: b\n\n" + FROM, [1, 2])], ids=range(14))
def test_odd_boxes_end_in_order(put, dns, octets, numbers):
    done = ctl("bulk", "--json", "--dns", dns, put("odd", octets))
    assert done.returncode in (1, 65)
    assert [one["number"] for one in json.loads(done.stdout)["messages"]] == numbers


def test_an_empty_file_is_bad_and_an_empty_folder_is_nothing(put, dns, room):
    got = bulk(dns, put("empty", b""), code=65, complaints=["empty"])
    assert got["summary"]["messages"] == 0
    os.mkdir(os.path.join(room, "void"))
    assert bulk(dns, os.path.join(room, "void"), code=1) == {
        "messages": [], "summary": {"messages": 0, "results": {"pass": 0, "fail": 0, "permerror": 0, "temperror": 0, "none": 0},
                                    "others": {}, "reasons": [], "other_reasons": 0, "domains": [], "other_domains": 0, "lf": 0, "unreadable": 0,
                                    "passed_over": 0, "draft": "09", "interrupted": False}}


def test_every_cut_of_a_box_ends_in_order(put, dns, key):
    whole = mbox(seal(BASE, key), BASE)
    for at in range(0, len(whole), 7):
        done = ctl("bulk", "--dns", dns, "-", input=whole[:at])
        assert done.returncode in (1, 65), done


# --- envelopes, exit codes, summary ---

def test_the_envelope_of_a_delivery(put, dns, key):
    sealed = seal(BASE, key)
    put("1", b"Return-Path: <s@a.test>\r\nX-Original-To: r1@c.test\r\nDelivered-To: box@c.test\r\n" + sealed)
    put("2", b"Return-Path: <s@a.test>\r\nDelivered-To: r1@c.test\r\n" + sealed)
    put("3", b"Return-Path: <s@a.test>\r\nDelivered-To: r2@c.test\r\n" + sealed)
    put("4", b"Return-Path: <nobody\r\nDelivered-To: r1@c.test\r\n" + sealed)
    got = bulk(dns, "--delivered", os.path.dirname(put("5", sealed)), code=65)
    assert [(one["dkim2"]["result"], one["dkim2"]["level"]) for one in got["messages"]] == [
        ("pass", "full"), ("pass", "full"), ("fail", "full"), ("pass", "no-envelope"), ("pass", "no-envelope")]


def test_the_exit_code_is_the_worst(put, keyring, room, key):
    slow = keyring.key("slow.test")
    dns = write_answers(os.path.join(room, "dns.json"), dict(keyring.answers(), **{slow.name: {"error": "timeout"}}))
    folder = os.path.dirname(put("1", seal(BASE, key)))
    bulk(dns, folder)
    put("2", BASE)
    bulk(dns, folder, code=1)
    put("3", seal(BASE.replace(b"a.test", b"slow.test"), slow, mf="<s@slow.test>"))
    bulk(dns, folder, code=75)
    os.symlink("nowhere", os.path.join(folder, "4"))
    bulk(dns, folder, code=66, complaints=["4: "])
    put("5", seal(BASE, key).replace(b"hello", b"hellp"))
    bulk(dns, folder, code=65, complaints=["4: "])


def test_the_summary_as_text(put, dns, key, keyring):
    for at in range(3):
        put("good%d" % at, unix(seal(BASE, key)))
    put("bad", seal(BASE, key).replace(b"hello", b"hellp"))
    folder = os.path.dirname(put("none", BASE))
    done = ctl("bulk", "--each", "--dns", dns, "--now", str(NOW), folder)
    lines = done.stdout.decode().splitlines()
    reason = "Message Instance m=1 body hash sha256 mismatch"
    assert done.returncode == 65 and done.stderr == b""
    assert lines[:5] == ["fail       %s/bad: %s" % (folder, reason), "pass       %s/good0" % folder, "pass       %s/good1" % folder,
                         "pass       %s/good2" % folder, "none       %s/none" % folder]
    assert lines[5].startswith("5 messages in ") and lines[5].endswith(" s, judged by draft 09 without envelope")
    assert lines[6:] == [
        "3 had LF line ends, taken as the CRLF of the wire", "", "  result        messages", "  pass                 3   60.0 %",
        "  fail                 1   20.0 %", "  none                 1   20.0 %", "", "   messages  reason",
        "          1  fail: " + reason, "             in %s/bad" % folder, "",
        "   messages       pass       fail  permerror  temperror  signed by", "          4          3          1          0          0  a.test", "",
        "  others        messages", "  dkim  none           5  100.0 %", "  arc   none           5  100.0 %", "  dmarc none           5  100.0 %"]


def test_what_is_told_apart_has_a_limit(put, dns, key):
    """Of a peer that has another reason and another domain in each message."""
    message = unix(seal(BASE, key))
    with open(put("many", b""), "wb") as f:
        for at in range(10010):
            f.write(FROM + message.replace(b"s=e:", b"s=k%d:" % at).replace(b"d=a.test", b"d=n%d.test" % at) + b"\n")
    done = ctl("bulk", "--json", "--only", "dkim2", "--dns", dns, "--now", str(NOW), f.name)
    summary = json.loads(done.stdout)["summary"]
    assert done.returncode == 65 and summary["messages"] == 10010
    assert (len(summary["reasons"]), summary["other_reasons"], len(summary["domains"]), summary["other_domains"]) == (10000, 10, 10000, 10)
    text = ctl("bulk", "--dns", dns, "--now", str(NOW), f.name).stdout.decode()
    assert "and 9985 more\n" in text and "         10  with reasons that were not told apart\n" in text and len(text) < 8000


@pytest.mark.parametrize("args", [(), ("a", "b"), ("--delivered", "--mail-from", "s@a.test", "--rcpt", "r@c.test", "x"), ("--rcpt", "r@c.test", "x"),
                                  ("--only", "spf3", "x"), ("--html", "o", "x")])
def test_called_wrongly(args):
    done = ctl("bulk", *args)
    assert done.returncode == 64 and b"usage: hopsealctl bulk" in done.stderr and done.stdout == b""


def test_names_of_files_do_not_drive_the_terminal(put, dns):
    folder = os.path.dirname(put("\x1b[2J", b""))
    done = ctl("bulk", "--each", "--dns", dns, folder)
    put("\x1b[2J", BASE)
    again = ctl("bulk", "--each", "--dns", dns, folder)
    assert b"\x1b" not in done.stdout + done.stderr + again.stdout + again.stderr and b"\\x1b[2J" in done.stderr and b"\\x1b[2J" in again.stdout


# --- a long run ---

def read_up_to(fd, words, out=b""):
    """What a terminal shows up to these words, or all of it when nobody writes to it any more."""
    while not words or words not in out:
        if not select.select([fd], [], [], DEADLINE)[0]:
            raise AssertionError("%r did not come, only %r" % (words, out))
        try:
            out += os.read(fd, 65536)
        except OSError as e:
            assert e.errno == errno.EIO
            break
    return out


def on_terminal(columns, *args):
    """stderr as a terminal of so many columns shows it, and the exit code."""
    primary, replica = os.openpty()
    fcntl.ioctl(replica, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    done = subprocess.run([CTL, "bulk", *args], stdout=subprocess.PIPE, stderr=replica)
    os.close(replica)
    out = read_up_to(primary, None)
    os.close(primary)
    assert b"\x1b" not in done.stdout
    return out, done.returncode


@pytest.mark.parametrize("columns, bar", [(120, True), (60, True), (24, False), (10, False), (2, False)])
def test_progress_on_a_terminal(put, dns, key, columns, bar):
    folder = os.path.dirname(put("one", seal(BASE, key)))
    out, code = on_terminal(columns, "--dns", dns, "--now", str(NOW), folder)
    assert code == 0 and out.endswith(b"\r\x1b[K")
    drawn = [line.split(b"\x1b")[0] for line in out.split(b"\r") if line and not line.startswith(b"\x1b")]
    assert drawn and all(len(line) < columns for line in drawn), drawn
    assert (b"[" in drawn[0]) == bar and drawn[0].startswith(b"0 messages"[:columns - 1])


def test_no_progress_elsewhere(put, dns, key):
    assert ctl("bulk", "--dns", dns, "--now", str(NOW), put("one", seal(BASE, key))).stderr == b""


def test_an_interrupt_gets_the_summary_so_far(dns, key):
    """The pipe stays open: only the signal can end it."""
    primary, replica = os.openpty()
    run = subprocess.Popen([CTL, "bulk", "--each", "--dns", dns, "--now", str(NOW), "-"], stdin=subprocess.PIPE, stdout=replica)
    os.close(replica)
    try:
        run.stdin.write(mbox(seal(BASE, key), BASE + b"more than is looked at ahead\r\n" * 100))
        run.stdin.flush()
        out = read_up_to(primary, b"\r\n")
        assert out.startswith(b"pass       - message 1\r\n")
        run.send_signal(signal.SIGINT)
        run.wait(DEADLINE)
        out = read_up_to(primary, None, out)
    finally:
        run.kill()
        run.wait()
        run.stdin.close()
        os.close(primary)
    assert run.returncode == -signal.SIGINT
    assert b"interrupted, this is what was judged so far\r\n1 message in " in out


def peak(dns, path, message, messages):
    """KiB that judging so many took; where that is little, those of this process."""
    with open(path, "wb") as f:
        for _ in range(messages):
            f.write(message)
    env = dict(os.environ, ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1")
    run = subprocess.Popen([CTL, "bulk", "--dns", dns, "--now", str(NOW), path], stdout=subprocess.DEVNULL, env=env)
    _, status, usage = os.wait4(run.pid, 0)
    run.returncode = os.waitstatus_to_exitcode(status)
    assert run.returncode == 0
    assert isinstance(usage, resource.struct_rusage)
    return usage.ru_maxrss


def test_memory_does_not_grow_with_the_box(put, dns, key):
    message = mbox(seal(BASE + b"0123456789" * 7 + b"\r\n" + b"x" * 262144 + b"\r\n", key))
    few, many = peak(dns, put("few", b""), message, 10), peak(dns, put("many", b""), message, 400)
    assert many < few + 8192, "%d KiB for 10 messages, %d for 400" % (few, many)
