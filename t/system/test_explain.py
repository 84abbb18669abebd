"""hopsealctl explain: what each hop changed, as a tree and as a page, whatever a peer wrote."""
import base64
import html.parser
import os
import subprocess

import pytest

from keys import write_answers
from mail import BASE, NOW
from relay import CTL, ctl
from revise import revised
from seal import seal

HOSTILE = (b"</title></table><script>alert(1)</script><img src=x onerror=alert(2)> \"'&lt;&#60; javascript: \xff\xfe \xc3\xbc "
           b"\xe2\x80\xaeevil\xe2\x80\xac \xe2\x80\xa8 \xef\xbb\xbf \xc2\x9b31m \x1b[2J \xed\xa0\x80 \xf4\x90\x80\x80 \xc0\xaf")
SHOWN = ("</title></table><script>alert(1)</script><img src=x onerror=alert(2)> \"'&lt;&#60; javascript: fffe \u00fc e280aeevile280ac "
         "e280a8 efbbbf c29b31m 1b[2J eda080 f4908080 c0af")


@pytest.fixture
def author(keyring):
    return keyring.key("a.test")


@pytest.fixture
def lists(keyring):
    return keyring.key("l.test")


@pytest.fixture
def dns(room, keyring, author, lists):
    return write_answers(os.path.join(room, "dns.json"), keyring.answers())


def through_list(author, lists, before, after, recipe):
    return revised(seal(before, author, rt=["<l@l.test>"]), before, after, recipe, lists, "<b@l.test>", ["<r@d.test>"], t=NOW + 60)


def explain(message, dns, *args, code=0):
    done = subprocess.run([CTL, "explain", "--dns", dns, "--now", str(NOW + 100), *args, "-"], input=message, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=dict(os.environ, LC_ALL="C.UTF-8"))
    assert done.returncode == code and done.stderr == b"", done
    return done.stdout.decode()


BODY = b"".join(b"line %d\r\n" % at for at in range(1, 31))
BEFORE = BASE.replace(b"hello\r\n", BODY)
AFTER = (BEFORE.replace(b"Subject: t", b"Subject: [l]\r\n\tt").replace(b"\r\n\r\n", b"\r\nList-Id: <l>\r\n\r\nread this\r\n")
         .replace(b"Date: Thu,", b"Date: Fri,").replace(b"line 15\r\n", b"line XV\r\nand a half\r\n") + b"-- \r\nfooter\r\n")
RECIPE = {"h": {"list-id": [], "subject": [{"d": [" t"]}], "date": [{"d": [" Thu, 01 Oct 2026 00:00:00 +0000"]}]},
          "b": [{"c": [2, 15]}, {"d": ["line 15"]}, {"c": [18, 32]}]}

TREE = """├─ hop 2  l.test  pass
│     <b@l.test> → <r@d.test>
│     2026-10-01 00:01:00 UTC, signed with e ed25519-sha256
│     content m=2: changed here, undone by a recipe, pass
│       List-Id, added
│         + <l>
│       Subject:
│         - t
│         + [l] t
│       Date:
│         - Thu, 01 Oct 2026 00:00:00 +0000
│         + Fri, 01 Oct 2026 00:00:00 +0000
│       body: 1 line removed, 5 lines added
│         + read this
│           line 1
│           line 2
│         @ line 14
│           line 13
│           line 14
│         - line 15
│         + line XV
│         + and a half
│           line 16
│           line 17
│         @ line 31
│           line 29
│           line 30
│         + -- 
│         + footer
│
└─ pass by draft 09: """


def test_the_tree_shows_what_a_hop_changed(author, lists, dns):
    out = explain(through_list(author, lists, BEFORE, AFTER, RECIPE), dns)
    assert TREE in out
    assert "content m=1: the first form, pass\n│\n" in out


def test_the_tree_of_a_broken_message_shows_what_its_recipe_says(author, lists, dns):
    message = through_list(author, lists, BEFORE, AFTER, RECIPE).replace(b"line 20", b"line 2O")
    out = explain(message, dns, code=65)
    assert "content m=2: changed here, undone by a recipe, fail, Message Instance m=2 body hash sha256 mismatch\n│       List-Id, added\n" in out
    assert out.endswith("└─ fail by draft 09: Message Instance m=2 body hash sha256 mismatch\n")


@pytest.mark.parametrize("recipe, words", [
    ({"b": [{"c": [1, 99]}]}, "(the recipe copies lines that are not there)"),
    ({"h": {"subject": [{"c": [1, 2]}]}}, "(the recipe copies fields that are not there)")])
def test_a_recipe_that_cannot_be_applied_is_told(author, lists, dns, recipe, words):
    assert words in explain(through_list(author, lists, BASE, BASE + b"x\r\n", recipe), dns, code=65)


def test_changes_are_found_in_a_recipe_of_literals_alone(author, lists, dns):
    """What is the same is no change, however the recipe says it."""
    recipe = {"b": [{"d": [line.decode() for line in BODY.split(b"\r\n")[:-1]]}]}
    out = explain(through_list(author, lists, BEFORE, BEFORE + b"footer\r\n", recipe), dns)
    assert "body: 1 line added\n│         @ line 29\n│           line 29\n│           line 30\n│         + footer\n│\n" in out


def test_changes_of_a_long_body_are_where_they_are(author, lists, dns):
    before = BASE.replace(b"hello\r\n", b"".join(b"%d\r\n" % at for at in range(100000)))
    after = before.replace(b"\r\n\r\n", b"\r\n\r\nfirst\r\n", 1) + b"last\r\n"
    out = explain(through_list(author, lists, before, after, {"b": [{"c": [2, 100001]}]}), dns)
    assert "body: 2 lines added\n│         + first\n│           0\n" in out and "           99999\n│         + last\n│\n" in out


@pytest.mark.parametrize("before, after, recipe, shown", [
    (b"", b"\r\n\r\n", [{"c": [1, 1]}], None), (b"\r\n\r\n", b"", [{"c": [1, 1]}, {"d": ["", ""]}], None), (b"\r\n", b"\r\n\r\n\r\n", [{"c": [1, 4]}], None),
    (b"\r\n", b"\r\nx\r\n\r\n", [{"c": [1, 2]}], "2 lines added"), (b"\r\nx\r\n", b"\r\n\r\n\r\n", [{"c": [1, 2]}, {"d": ["x"]}], "2 lines removed")])
def test_empty_lines_at_the_end_are_no_change(author, lists, dns, before, after, recipe, shown):
    out = explain(through_list(author, lists, BASE + before, BASE + after, {"b": recipe}), dns)
    assert ("body: " + shown in out) if shown else "body:" not in out


def test_the_tree_is_bounded(author, lists, dns):
    after = (BASE.replace(b"Subject: t", b"Subject: " + b"y" * 500 + b"\r\nComments: c" * 500)
             + b"z" * 5000 + b"\r\n" + b"w\r\n" * 5000)
    out = explain(through_list(author, lists, BASE, after, {"h": {"subject": [{"d": [" t"]}], "comments": []}, "b": [{"c": [1, 1]}]}), dns)
    assert len(out) < 6000 and "and 496 more" in out and "and so on" in out and "5001 lines added" in out


def test_hops_with_a_next_domain_and_flags(author, dns):
    message = seal(BASE, author, nd="c.test").replace(b"; nd=c.test;", b"; nd=c.test; f=exploded,\x20feedback;")
    out = explain(message, dns, code=65)
    assert "│     next domain c.test\n" in out and ", exploded, feedback\n" in out


def test_options_may_follow_the_file(room, author, dns):
    path = os.path.join(room, "m.eml")
    with open(path, "wb") as f:
        f.write(seal(BASE, author))
    page = os.path.join(room, "m.html")
    done = ctl("explain", path, "--html", page, "--dns", dns, "--now", str(NOW))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    with open(page, "rb") as f:
        assert f.read().startswith(b"<!DOCTYPE html>\n")


# --- the page ---

class Page(html.parser.HTMLParser):
    """A page that must be well formed and self-contained: texts by the element they stand in, rows of tables."""
    VOID = {"meta", "br"}
    KNOWN = VOID | {"html", "head", "title", "style", "body", "header", "main", "footer", "h1", "h2", "h3", "p", "b", "i", "span", "div", "dl",
                    "dt", "dd", "ol", "li", "a", "small", "section", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "del", "ins"}

    def __init__(self, octets):
        super().__init__(convert_charrefs=True)
        self.open, self.texts, self.rows, self.links, self.ids = [], {}, [], set(), set()
        text = octets.decode("utf-8")
        assert not any(ord(c) < 32 and c not in "\n\t" or 0x7f <= ord(c) < 0xa0 for c in text)
        assert not any(c in text for c in "\u202e\u202c\u2028\ufeff")
        self.feed(text)
        self.close()
        assert self.open == []
        assert self.links <= self.ids

    def handle_starttag(self, tag, attrs):
        assert tag in self.KNOWN, tag
        for name, value in attrs:
            assert name in ("class", "id", "href", "lang", "charset", "name", "content", "http-equiv", "colspan"), name
            if name == "href":
                assert value.startswith("#hop-")
                self.links.add(value[1:])
            if name == "id":
                self.ids.add(value)
        if tag in self.VOID:
            return
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        assert not self.open or self.open[-1] != "style" or "url(" not in data and "@import" not in data
        for tag in set(self.open) - {"html", "body", "main", "section", "table", "tbody", "details"}:
            self.texts[tag][-1] += data
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data


def page(message, dns, *args, code=0):
    return Page(explain(message, dns, "--html", "-", *args, code=code).encode())


def test_the_page_has_the_facts(author, lists, dns):
    got = page(through_list(author, lists, BEFORE, AFTER, RECIPE), dns, "--mail-from", "b@l.test", "--rcpt", "r@d.test")
    assert got.texts["title"] == ["pass: [l] t"]
    assert got.texts["div"] == ["dkim2=pass What was checked: every hop, every instance and the envelope."]
    facts = list(zip(got.texts["dt"], got.texts["dd"]))
    for fact in (("From", "s@a.test"), ("MAIL FROM", "<b@l.test>"), ("RCPT TO", "<r@d.test>"), ("from", "<b@l.test>"), ("to", "<r@d.test>"),
                 ("judged", "by draft 09, as of 2026-10-01 00:01:40 UTC"), ("signed at", "2026-10-01 00:01:00 UTC"), ("signed with", "e ed25519-sha256")):
        assert fact in facts
    assert got.texts["li"] == ["a.test2026-10-01 00:00:00 UTChop 1, pass", "l.test2026-10-01 00:01:00 UTChop 2, pass, changed the content"]
    assert got.texts["h2"] == ["Hop 1: a.test pass", "Hop 2: l.test pass"]
    assert got.texts["h3"] == ["Content m=1: the first form, pass", "Content m=2: changed here, undone by a recipe, pass",
                               "Body: 1 line removed, 5 lines added"]
    assert got.rows[:4] == [["field", "before", "after"], ["List-Id", "", "<l>"], ["Subject", "t", "[l] t"],
                            ["Date", "Thu, 01 Oct 2026 00:00:00 +0000", "Fri, 01 Oct 2026 00:00:00 +0000"]]
    assert ["", "", "1", "read this"] in got.rows and ["15", "line 15", "16", "line XV"] in got.rows and ["", "", "17", "and a half"] in got.rows
    assert got.texts["del"] == ["Thu"] and got.texts["ins"] == ["[l] ", "Fri"]


def test_equal_lines_are_folded(author, lists, dns):
    got = page(through_list(author, lists, BEFORE, AFTER, RECIPE), dns)
    assert got.texts["summary"] == ["8 equal lines", "9 equal lines"]
    assert ["8", "line 8", "9", "line 8"] in got.rows
    long = BASE.replace(b"hello\r\n", b"".join(b"%d\r\n" % at for at in range(1, 5001)))
    got = page(through_list(author, lists, long, long + b"x\r\n", {"b": [{"c": [1, 5000]}]}), dns)
    assert got.texts["summary"] == ["4997 equal lines"] and ["", "4597 lines are left out"] in got.rows
    assert ["200", "200", "200", "200"] in got.rows and ["201", "201", "201", "201"] not in got.rows and len(got.rows) < 420


def test_the_page_of_a_broken_message(author, lists, dns):
    got = page(through_list(author, lists, BEFORE, AFTER, RECIPE).replace(b"line 20", b"line 2O"), dns, code=65)
    assert got.texts["div"] == ["dkim2=fail Message Instance m=2 body hash sha256 mismatch"]
    assert got.texts["li"][1] == "l.test2026-10-01 00:01:00 UTChop 2, fail, changed the content"
    assert "What its recipe says; that this is what was there before is not proven." in got.texts["p"]


@pytest.mark.parametrize("message, code", [(BASE, 1), (b"\r\n", 1), (b"\r\n\r\n", 1), (BASE.replace(b"Subject", b"X"), 1), (b"Subject: " + b"x" * 900000 + b"\r\n", 1)], ids=range(5))
def test_the_page_without_a_chain(dns, message, code):
    got = page(message, dns, code=code)
    assert got.texts["div"] == ["dkim2=none There is no DKIM2-Signature."] and "li" not in got.texts
    assert len(got.texts["h1"][0]) < 1100


def test_nothing_a_peer_writes_is_more_than_text(author, lists, dns, room):
    before = BASE.replace(b"Subject: t", b"Subject: " + HOSTILE).replace(b"hello", HOSTILE)
    after = before.replace(b"Subject: ", b"Subject: [l] ").replace(b"\r\n\r\n", b"\r\n\r\n" + HOSTILE + b"\r\n")
    recipe = b'{"h":{"subject":[{"u":["' + base64.b64encode(b" " + HOSTILE) + b'"]}]},"b":[{"c":[2,2]}]}'
    message = through_list(author, lists, before, after, recipe)
    got = page(message, dns)
    assert got.texts["h1"] == ["[l] " + SHOWN]
    assert ["", "", "1", SHOWN] in got.rows
    tree = explain(message, dns)
    assert not any(ord(c) < 32 and c != "\n" or 0x7f <= ord(c) < 0xa0 or c in "\u202e\u2028\ufeff" for c in tree)
    named = os.path.join(room, "<b>&\"'\x1b.eml")
    with open(named, "wb") as f:
        f.write(message)
    done = ctl("explain", "--dns", dns, "--now", str(NOW + 100), "--html", "-", named)
    assert ("file", named.replace("\x1b", "1b")) in list(zip(*[Page(done.stdout).texts[tag] for tag in ("dt", "dd")]))


def test_the_values_of_a_chain_are_text_too(author, dns):
    evil = "<\"><script>x</script>\x1b[2J@a.test>"
    for message in (seal(BASE, author, mf=evil, rt=[evil] * 200), seal(BASE, author).replace(b"i=1; m=1", b"i=1; m=1; f=<script>,&"),
                    seal(BASE, author).replace(b"d=a.test", b"d=<script>"), seal(BASE, author).replace(b"s=e:", b"s=<b>:")):
        got = page(message, dns, code=65)
        assert len(got.texts["li"]) <= 1
        explain(message, dns, code=65)


def test_the_page_is_bounded(author, lists, dns):
    after = BASE + (b"<" * 900 + b"\r\n") * 20000
    octets = explain(through_list(author, lists, BASE, after, {"b": [{"c": [1, 1]}]}), dns, "--html", "-").encode()
    assert 8000000 < len(octets) < 8500000
    got = Page(octets)
    assert "What follows is left out, the page is long enough." in got.texts["p"] and "Body: 20000 lines added" in got.texts["h3"]
    long = page(through_list(author, lists, BASE, BASE + b"x" * 100000 + b"\r\n", {"b": [{"c": [1, 1]}]}), dns)
    assert ["", "", "2", "x" * 1000 + " and 99000 octets more"] in long.rows


def test_a_page_that_cannot_be_written_is_73(room, author, dns):
    for path in (os.path.join(room, "nowhere", "x.html"), "/dev/full", room):
        done = ctl("explain", "--dns", dns, "--now", str(NOW), "--html", path, "-", input=seal(BASE, author))
        assert done.returncode == 73 and done.stdout == b"" and path.encode() in done.stderr and done.stderr.count(b"\n") == 1
    with open("/dev/full", "wb") as full:
        done = subprocess.run([CTL, "explain", "--dns", dns, "--html", "-", "-"], input=BASE, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 73


def test_the_page_does_not_go_over_the_message(room, author, dns):
    path, link = os.path.join(room, "own.eml"), os.path.join(room, "own.link")
    message = seal(BASE, author)
    with open(path, "wb") as f:
        f.write(message)
    os.symlink(path, link)
    for out in (path, link):
        assert ctl("explain", path, "--html", out, "--dns", dns).returncode == 64
        with open(path, "rb") as f:
            assert f.read() == message


def test_json_and_a_page_together(room, author, dns):
    path = os.path.join(room, "x.html")
    assert explain(seal(BASE, author), dns, "--json", "--html", path).startswith("{")
    with open(path, "rb") as f:
        assert Page(f.read()).texts["h2"] == ["Hop 1: a.test pass"]
    assert ctl("explain", "--json", "--html", "-", "x").returncode == 64


def test_any_octet_flipped_is_still_a_page(author, lists, dns):
    message = through_list(author, lists, BASE, BASE.replace(b"Subject: t", b"Subject: u") + b"two\r\n",
                           {"h": {"subject": [{"d": [" t"]}]}, "b": [{"c": [1, 1]}]})
    for at in range(0, len(message), 29):
        for flip in (1, 0x80):
            broken = message[:at] + bytes([message[at] ^ flip]) + message[at + 1:]
            for args in ((), ("--html", "-")):
                done = ctl("explain", "--dns", dns, "--now", str(NOW + 100), *args, "-", input=broken)
                assert done.returncode in (0, 65), (at, done)
            Page(done.stdout)
