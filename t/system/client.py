"""A raw SMTP client: sends the octets it is given, and wants a reply."""
import socket

from wait import DEADLINE


class Reply:
    def __init__(self, lines):
        self.lines = lines
        self.code = int(lines[0][:3])
        self.texts = [line[4:].decode("latin-1") for line in lines]
        self.text = self.texts[-1]
        first = self.text.split(" ")[0]
        self.enhanced = first if first.count(".") == 2 and first.replace(".", "").isdigit() else None

    def __repr__(self):
        return "%r" % b"\r\n".join(self.lines)


def stuffed(message):
    """A message as DATA carries it, with the final dot."""
    assert message.endswith(b"\r\n") or not message
    lines = message.split(b"\r\n")
    return b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines) + b".\r\n"


class Client:
    def __init__(self, address, source=None, banner=True):
        self.sock = socket.create_connection(address, DEADLINE, source_address=(source, 0) if source else None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.held = b""
        self.greeted = False
        self.extensions = []
        if banner:
            self.banner = self.want(220)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, octets):
        self.sock.sendall(octets)

    def line(self):
        while b"\r\n" not in self.held:
            more = self.sock.recv(65536)
            if not more:
                raise EOFError("connection closed by the server; had %r" % self.held)
            self.held += more
        line, self.held = self.held.split(b"\r\n", 1)
        return line

    def reply(self):
        lines = []
        while True:
            line = self.line()
            lines.append(line)
            assert line[:3].isdigit() and line[3:4] in (b" ", b"-", b""), "no reply line: %r" % line
            if line[3:4] != b"-":
                assert all(other[:3] == line[:3] for other in lines), "codes differ in one reply: %r" % lines
                return Reply(lines)

    def want(self, code, enhanced=None, text=None):
        got = self.reply()
        wanted = "%s %s %s" % (code, enhanced or "", text or "")
        assert got.code == code, "wanted %s, got %r" % (wanted, got)
        assert enhanced is None or got.enhanced == enhanced, "wanted %s, got %r" % (wanted, got)
        assert text is None or text in " ".join(got.texts), "wanted %s, got %r" % (wanted, got)
        return got

    def cmd(self, line, code=250, enhanced=None, text=None):
        self.send(line.encode("utf-8") + b"\r\n")
        return self.want(code, enhanced, text)

    def ehlo(self, name="t.a.test"):
        got = self.cmd("EHLO " + name, 250)
        self.greeted = True
        self.extensions = got.texts[1:]
        return self.extensions

    def has(self, word):
        return any(line.split(" ")[0] == word for line in self.extensions)

    def size(self):
        """The number behind SIZE."""
        return int([line for line in self.extensions if line.startswith("SIZE")][0].split(" ")[1])

    def mail(self, sender="<s@a.test>", code=250, enhanced=None, params="", text=None):
        if not self.greeted:
            self.ehlo()
        return self.cmd("MAIL FROM:%s%s" % (sender, params), code, enhanced, text)

    def rcpt(self, recipient="<r1@c.test>", code=250, enhanced=None, params="", text=None):
        return self.cmd("RCPT TO:%s%s" % (recipient, params), code, enhanced, text)

    def to_data(self, sender="<s@a.test>", *recipients, params=""):
        """Up to the 354."""
        self.mail(sender, params=params)
        for recipient in recipients or ("<r1@c.test>",):
            self.rcpt(recipient)
        self.cmd("DATA", 354)

    def message(self, octets, code=250, enhanced=None, text=None):
        """The content and what it is answered."""
        self.send(stuffed(octets))
        return self.want(code, enhanced, text)

    def deliver(self, octets, sender="<s@a.test>", recipients=("<r1@c.test>",), code=250, enhanced=None, text=None, params=""):
        self.to_data(sender, *recipients, params=params)
        return self.message(octets, code, enhanced, text)

    def gone(self):
        """The server closes, and says nothing more."""
        assert not self.held, "got %r, wanted the end" % self.held
        try:
            more = self.sock.recv(65536)
        except ConnectionResetError:
            more = b""
        assert more == b"", "got %r, wanted the end" % more
