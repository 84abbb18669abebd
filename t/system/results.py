"""Authentication-Results in Python, from RFC 8601 2.2 alone, strict: what a field says, or that it is none."""
import collections
import re

Result = collections.namedtuple("Result", "method result reason props comments")

SPACE = re.compile(r"[ \t]*")
QUOTED = re.compile(r'"((?:[ \t\x21\x23-\x5b\x5d-\x7e\x80-\U0010ffff]|\\[ \t\x21-\x7e])*)"')
TOKEN = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~\x80-\U0010ffff]+")
KEYWORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
LOCAL = re.compile(r"[!#$%&'*+\-/=?^_`{|}~.0-9A-Za-z\x80-\U0010ffff]*@")
DOMAIN = re.compile(r"[0-9A-Za-z\x80-\U0010ffff_-]+(?:\.[0-9A-Za-z\x80-\U0010ffff_-]+)*")


class Reader:
    def __init__(self, text):
        self.text, self.at, self.comments = text, 0, []

    def none(self, what):
        raise AssertionError("no %s at octet %d of %r" % (what, self.at, self.text))

    def take(self, pattern, what):
        hit = pattern.match(self.text, self.at)
        if not hit:
            self.none(what)
        self.at = hit.end()
        return hit.group(0)

    def comment(self):
        depth, begin = 0, self.at
        while True:
            c = self.text[self.at:self.at + 1]
            if not c or (not " " <= c <= "~" and c != "\t" and c < "\x80"):
                self.none("end of a comment")
            self.at += 2 if c == "\\" else 1
            depth += (c == "(") - (c == ")")
            if depth == 0:
                self.comments.append(self.text[begin + 1:self.at - 1])
                return

    def cfws(self):
        while True:
            self.take(SPACE, "space")
            if self.text[self.at:self.at + 1] != "(":
                return
            self.comment()

    def word(self, text):
        if not self.text.startswith(text, self.at):
            self.none(text)
        self.at += len(text)

    def quoted(self):
        return re.sub(r"\\(.)", r"\1", self.take(QUOTED, "quoted string")[1:-1])

    def value(self):
        """value, or an address in a property."""
        if self.text.startswith('"', self.at):
            got = self.quoted()
            if self.text.startswith("@", self.at):
                self.at += 1
                got += "@" + self.take(DOMAIN, "domain")
            return got
        hit = LOCAL.match(self.text, self.at)
        if hit:
            self.at = hit.end()
            return hit.group(0) + self.take(DOMAIN, "domain")
        return self.take(TOKEN, "value")

    def result(self):
        self.comments = []
        method = self.take(KEYWORD, "method")
        self.cfws()
        if self.text.startswith("/", self.at):
            self.at += 1
            self.cfws()
            self.take(re.compile("[0-9]+"), "version")
            self.cfws()
        self.word("=")
        self.cfws()
        result, reason, props = self.take(KEYWORD, "result"), None, []
        before = self.at
        self.cfws()
        while self.at < len(self.text) and self.text[self.at] != ";":
            assert self.at > before, "no blank before octet %d of %r" % (self.at, self.text)
            name = self.take(KEYWORD, "property type")
            self.cfws()
            if name == "reason":
                assert reason is None and not props, "reason twice or late in %r" % self.text
                self.word("=")
                self.cfws()
                reason = self.quoted() if self.text.startswith('"', self.at) else self.take(TOKEN, "reason")
            else:
                self.word(".")
                self.cfws()
                name += "." + self.take(KEYWORD, "property")
                self.cfws()
                self.word("=")
                self.cfws()
                props.append((name, self.value()))
            before = self.at
            self.cfws()
        return Result(method, result, reason, props, self.comments)


def parse(text):
    """(authserv-id, results) of an unfolded value; AssertionError: it is none."""
    r = Reader(text)
    r.cfws()
    who = r.quoted() if text.startswith('"', r.at) else r.take(TOKEN, "authserv-id")
    r.cfws()
    if re.compile("[0-9]").match(text, r.at):
        r.take(re.compile("[0-9]+"), "version")
        r.cfws()
    results = []
    while r.at < len(text):
        r.word(";")
        r.cfws()
        if not results and re.compile(r"none[ \t]*$").match(text, r.at):
            return who, []
        results.append(r.result())
    assert results, "no result in %r" % text
    return who, results


def states(results, method):
    return [r.result for r in results if r.method == method]


def prop(result, name):
    """The value of a property that stands there once; None: it does not."""
    got = [value for n, value in result.props if n == name]
    assert len(got) < 2, "%s twice in %r" % (name, result)
    return got[0] if got else None
