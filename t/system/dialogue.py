"""What a client of the attacks says and hears, in clear or through TLS, whole or octet by octet."""
import re
import select
import socket
import ssl
import struct
import time

from client import Reply
from wait import DEADLINE

# Octets that a case may send to be run octet by octet as well.
OCTETWISE = 65536


class Wrong(AssertionError):
    pass


def check(holds, *words):
    if not holds:
        raise Wrong(" ".join(str(w) for w in words))


class Tls:
    """The client's end of TLS, without a socket: octets of the wire in and out."""

    def __init__(self, context, host):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.end = context.wrap_bio(self.incoming, self.outgoing, server_hostname=host)

    def shake(self):
        """True once it is done; what is to be sent first is in outgoing."""
        try:
            self.end.do_handshake()
            return True
        except ssl.SSLWantReadError:
            return False

    def take(self, octets):
        """What the octets say, and how they end it: "fin" in order, "cut" without close_notify, "alert"."""
        said = bytearray()
        if octets:
            self.incoming.write(octets)
        else:
            self.incoming.write_eof()
        try:
            while True:
                more = self.end.read(65536)
                if not more:
                    return said, "fin"
                said += more
        except ssl.SSLWantReadError:
            return said, None
        except ssl.SSLZeroReturnError:
            return said, "fin"
        except ssl.SSLEOFError:
            return said, "cut"
        except ssl.SSLError as e:
            check("ALERT" in (e.reason or ""), "the server breaks TLS: %s" % e)
            return said, "alert"

    def write(self, octets):
        self.end.write(octets)

    def notify(self):
        """close_notify."""
        try:
            self.end.unwrap()
        except ssl.SSLWantReadError:
            pass


class Dialogue:
    """
    A client that knows what it meant: each reply is held against the octets sent before it as RFC 5321 reads them, so that in
    the end `made` holds the transactions the next hop may have seen, and `mails` how many were begun.

    octetwise: each octet is sent by itself; in TLS each octet of text in a record of its own, and the handshake in single octets.
    first: octets that go before all else, in clear even where TLS is implicit. tls: a context, implicit TLS.
    """

    def __init__(self, address, octetwise=False, banner=True, source=None, tls=None, first=b""):
        self.sock = socket.create_connection(address, DEADLINE, source_address=(source, 0) if source else None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.octetwise = octetwise
        self.tls, self.shaking = None, False
        self.unsent = bytearray()       # of the wire
        self.held = bytearray() # heard, not yet a whole reply
        self.lines = []         # of a reply under way
        self.replies = []       # all of them
        self.read = 0           # how many were asked for
        self.ended = None       # "fin" or "rst" by the server; in TLS also "cut", no close_notify before the FIN, or "alert"
        self.said = bytearray() # sent, not yet answered
        self.content = False
        self.envelope = None
        self.chunks = None
        self.tried = self.mails = 0     # MAIL commands answered, and those with 250
        self.made = []          # (sender, recipients, content), answered 250
        self.greeted = False
        if first:
            self.flush(first)
        if tls:
            self.shake(tls)
        if banner:
            got = self.reply()
            check(got and got.code == 220, "the banner is %r" % got)

    def shake(self, context, host="mx.c.test"):
        """The handshake; nothing may have come before it in clear."""
        check(not self.held, "clear octets before the handshake: %r" % bytes(self.held))
        tls, self.shaking = Tls(context, host), True
        while not tls.shake():
            self.flush(tls.outgoing.read())
            check(select.select([self.sock], [], [], DEADLINE)[0], "the server does not go on with the handshake")
            more = self.sock.recv(65536)
            check(more, "the server ended the handshake")
            tls.incoming.write(more)
        self.flush(tls.outgoing.read())
        self.tls, self.shaking = tls, False

    def starttls(self, context, name="t.a.test"):
        """As if it had begun now: the reply to STARTTLS stands for the banner."""
        for line, code in ((b"EHLO " + name.encode() + b"\r\n", 250), (b"STARTTLS\r\n", 220)):
            self.send(line)
            got = self.reply()
            check(got and got.code == code, "%r was answered %r" % (line, got))
        self.shake(context)
        del self.replies[:-1]
        self.read = 1
        self.said.clear()

    def close(self):
        self.sock.close()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def fin(self):
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def hear(self, timeout):
        """Reads what is there; True if something came."""
        if self.ended or not select.select([self.sock], [], [], timeout)[0]:
            return False
        try:
            more = self.sock.recv(262144)
        except (ConnectionResetError, BrokenPipeError):
            self.ended = "rst"
            return True
        over = None if more else "fin"
        if self.tls:
            more, over = self.tls.take(more)
            self.unsent += self.tls.outgoing.read()
        self.held += more
        while b"\r\n" in self.held:
            line = cut_line(self.held)
            check(re.fullmatch(rb"[2-5]\d\d([ -].*)?", line), "no reply line: %r" % line)
            check(b"\n" not in line and b"\r" not in line, "a bare CR or LF in a reply: %r" % line)
            self.lines.append(line)
            if line[3:4] != b"-":
                check(all(one[:3] == line[:3] for one in self.lines), "codes differ in one reply: %r" % self.lines)
                self.replies.append(Reply(self.lines))
                self.lines = []
                self.answered(self.replies[-1])
        self.ended = over
        return True

    def send(self, data):
        """Whole or octet by octet; replies are read meanwhile, so that neither side waits for the other."""
        self.said += data
        self.push([data[at:at + 1] for at in range(len(data))] if self.octetwise and len(data) <= OCTETWISE else [data])

    def push(self, parts):
        for part in parts:
            if not self.tls:
                self.flush(part)
                continue
            for at in range(0, len(part), 262144):
                self.tls.write(part[at:at + 262144])
                self.flush(self.tls.outgoing.read())

    def flush(self, octets=b""):
        """To the wire, in single octets before and during the handshake of a client that does so."""
        self.unsent += octets
        step = 1 if self.octetwise and not self.tls and len(self.unsent) <= OCTETWISE else 1 << 20
        while self.unsent and not self.ended:
            readable, writable, _ = select.select([self.sock], [self.sock], [], DEADLINE)
            if readable and not self.shaking:
                self.hear(0)
            if writable and not self.ended:
                try:
                    n = self.sock.send(self.unsent[:step], socket.MSG_DONTWAIT)
                    del self.unsent[:n]
                except BlockingIOError:
                    pass
                except (ConnectionResetError, BrokenPipeError):
                    while self.hear(0):
                        pass
                    self.ended = "rst"
            check(readable or writable, "the server neither reads nor writes")
        if self.ended:
            self.unsent.clear()

    def gen(self, of, times, prefix, suffix):
        """Many, in pieces; only what can still be part of an answered command is remembered."""
        self.send(prefix)
        many = 1000 if b"%d" in of else max(1, 65536 // len(of))
        done = 0
        while done < times and not self.ended:
            n = min(many, times - done)
            part = b"".join(of.replace(b"%d", b"%d" % (done + k)) for k in range(n)) if b"%d" in of else of * n
            self.said += part
            self.push([part])
            done += n
        self.send(suffix)

    def reply(self, timeout=DEADLINE):
        """The next reply; None when the server ended instead."""
        end = time.monotonic() + timeout
        while self.read >= len(self.replies):
            if self.ended:
                return None
            left = end - time.monotonic()
            check(left > 0, "no reply within %g s to %r; heard so far %r" % (timeout, bytes(self.said[-80:]), self.replies[-5:]))
            self.hear(left)
        self.read += 1
        return self.replies[self.read - 1]

    def end(self, timeout=DEADLINE):
        """Waits until the server closes; True if it said nothing more."""
        end = time.monotonic() + timeout
        while not self.ended:
            left = end - time.monotonic()
            check(left > 0, "the server did not close; last replies %r" % self.replies[-3:])
            self.hear(left)
        return self.read == len(self.replies)

    def answered(self, reply):
        """What the reply belongs to."""
        if not self.greeted:
            self.greeted = True
            return
        if self.content:
            at = 0 if self.said.startswith(b".\r\n") else self.said.find(b"\r\n.\r\n") + 2
            whole = at > 1 or self.said.startswith(b".\r\n")
            if not whole:
                return      # refused half way
            raw, self.content = bytes(self.said[:at]), False
            del self.said[:at + 3]
            if reply.code == 250:
                text = b"\r\n" + raw
                self.made.append(self.envelope + (text.replace(b"\r\n.", b"\r\n")[2:],))
            self.envelope = None
            return
        if b"\r\n" not in self.said:
            return
        line = cut_line(self.said)
        verb = line[:4].upper()
        if verb == b"BDAT":
            size = re.match(rb"(\d+)", line[5:])
            chunk = bytes(self.said[:min(int(size.group(1)), len(self.said))]) if size else b""
            del self.said[:len(chunk)]
            if reply.code == 250 and self.envelope:
                self.chunks = (self.chunks or b"") + chunk
                if line.upper().endswith(b" LAST"):
                    text = self.chunks + (b"" if not self.chunks or self.chunks.endswith(b"\r\n") else b"\r\n")
                    self.made.append(self.envelope + (text,))
                    self.envelope = self.chunks = None
        elif verb == b"MAIL":
            self.tried += 1
            if reply.code == 250:
                self.envelope, self.chunks = (path_of(line), []), None
                self.mails += 1
        elif verb == b"RCPT" and reply.code // 10 == 25 and self.envelope:
            self.envelope[1].append(path_of(line))
        elif verb == b"DATA" and reply.code == 354:
            self.content = True
        elif verb in (b"RSET", b"EHLO", b"HELO") and reply.code == 250:
            self.envelope = None


def cut_line(octets):
    """The first line off the front, without its end; the front of a bytearray is cheap to take."""
    at = octets.index(b"\r\n")
    line = bytes(octets[:at])
    del octets[:at + 2]
    return line


def path_of(line):
    """The path of MAIL or RCPT, source route left out as RFC 5321 4.1.2 has it ignored."""
    path = line.split(b":", 1)[1].strip()
    path = path[:path.rindex(b">") + 1]
    return re.sub(rb"^<@[^:\"]*:", b"<", path)
