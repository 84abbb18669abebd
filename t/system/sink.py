"""The next hop: an SMTP server that stores every transaction byte for byte, and does what its script says.

    sink.script("rcpt", b"550 5.1.1 no such user\\r\\n")     the next RCPT is answered so, later ones as always
    sink.script("dot", DROP)                                 the connection is reset where the reply to the content is due
    sink.always("mail", b"451 4.3.0 later\\r\\n")
    sink.script("dot", Hold(gate))                           waits until gate.set(), then answers as always
    sink.always("mail", Last(b"421 4.3.2 bye\\r\\n"))           says it and closes
Stages: connect, ehlo, helo, starttls, handshake, mail, rcpt, data, content (its first octet is here), dot, rset, noop, quit; xclient and xforward, which
are commands when they stand in its extensions; each, for a recipient. A Sink(lmtp=True) speaks LMTP and answers the content for each
recipient, stage each; one with PRDR among its extensions does so behind 353 (stage block) when MAIL asked for it and there are
several, with stage dot as its last word. With sink.fronted a connection begins with a PROXY header, version 2; with sink.implicit
it, or what follows the header, begins with TLS.
"""
import socket
import struct
import threading
import time

from wait import DEADLINE, Board

DROP = object()     # resets the connection
CLOSE = object()    # closes it in order
ALL_EXTENSIONS = ("PIPELINING", "SIZE 0", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")


class Hold:
    def __init__(self, gate, then=None):
        self.gate, self.then = gate, then
        self.reached = threading.Event()        # somebody is held


class Last:
    """Says it and closes; half: only its own direction, and goes on reading."""

    def __init__(self, octets, half=False):
        self.octets, self.half = octets, half


class Transaction:
    def __init__(self, session, helo, mail):
        self.session, self.helo, self.mail = session, helo, mail
        self.rcpts = []
        self.content = b""
        self.took = []      # recipients it was taken for
        self.owner, self.lines, self.said_s = None, 0, 0     # its session, that session's commands by the end of the content, when it was answered
        self.xclient = self.xforward = self.front = None

    @property
    def heard(self):
        """Has whoever sent it said anything after its answer?"""
        return self.owner.lines > self.lines

    @property
    def sender(self):
        return self.mail.split(":", 1)[1].split(" ")[0]

    @property
    def recipients(self):
        return [r.split(":", 1)[1].split(" ")[0] for r in self.rcpts]

    def __repr__(self):
        return "<%s %s %r>" % (self.mail, self.rcpts, self.content[:80])


class Gone(Exception):
    pass


class Session:
    def __init__(self, sink, sock, number):
        self.sink, self.sock, self.number = sink, sock, number
        self.held = b""
        self.helo = None
        self.tx = None
        self.xclient = self.xforward = self.front = None
        self.secure = False
        self.said = b""     # the last answer
        self.lines = 0      # commands so far
        self.ended_s = None

    def read(self):
        more = self.sock.recv(262144)
        if not more:
            raise Gone()
        self.held += more

    def line(self):
        while b"\n" not in self.held:
            self.read()
        line, self.held = self.held.split(b"\n", 1)
        return line.rstrip(b"\r").decode("utf-8", "surrogateescape")

    def act(self, stage, usual):
        """Does what the script has for this stage; True if that was the usual."""
        action = self.sink.next_action(stage)
        while isinstance(action, Hold):
            action.reached.set()
            if not action.gate.wait(DEADLINE):
                raise Gone()
            action = action.then
        if isinstance(action, Last):
            self.sock.sendall(action.octets)
            if not action.half:
                raise Gone()
            socket.socket.shutdown(self.sock, socket.SHUT_WR)       # an SSLSocket's own would forget TLS
            return True
        if action is DROP:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise Gone()
        if action is CLOSE:
            raise Gone()
        self.said = octets = usual if action is None else action
        if octets:
            self.sock.sendall(octets)
        return action is None or action[:1] in b"23"

    def ehlo(self):
        lines = ["sink.test"] + list(self.sink.extensions) + list(self.sink.tls_extensions if self.secure else ())
        if self.sink.tls and not self.secure:
            lines.append("STARTTLS")
        return b"".join(b"250%s%s\r\n" % (b"-" if i < len(lines) - 1 else b" ", line.encode()) for i, line in enumerate(lines))

    def content(self):
        if self.sink.has_action("content"):
            while not self.held:
                self.read()
            self.act("content", b"")
        at = 0
        while True:
            if self.held.startswith(b".\r\n"):
                raw, self.held = b"", self.held[3:]
                break
            end = self.held.find(b"\r\n.\r\n", max(0, at - 5))
            if end >= 0:
                raw, self.held = self.held[:end + 2], self.held[end + 5:]
                break
            at = len(self.held)
            self.read()
        if raw.startswith(b".."):
            raw = raw[1:]
        return raw.replace(b"\r\n..", b"\r\n.")

    def exactly(self, n):
        while n:
            more = self.sock.recv(n)
            if not more:
                raise Gone()
            self.held += more
            n -= len(more)

    def answer(self, tx):
        """The answers to the content: one, one for each recipient, or both."""
        words = tx.mail.split(" ")[1:]
        usual = b"250 2.0.0 taken as %d\r\n" % len(self.sink.taken.items)
        if self.sink.lmtp or ("PRDR" in words and "PRDR" in self.sink.extensions and len(tx.rcpts) > 1):
            if not self.sink.lmtp and not self.act("block", b"353 one by one\r\n"):
                return
            once = not self.sink.lmtp and not self.said.startswith(b"353")      # that was the answer for all
            if once:
                tx.took = tx.recipients
            for rcpt in () if once else tx.recipients:
                if self.act("each", b"250 2.1.5 %s has it\r\n" % rcpt.encode("utf-8")):
                    tx.took.append(rcpt)
            taken = bool(tx.took)
            if not self.sink.lmtp and not once:
                taken = self.act("dot", usual)
        else:
            taken = self.act("dot", usual)
            tx.took = tx.recipients if taken else []
        if taken:
            self.sink.taken.add(tx)

    def header(self):
        self.exactly(16)
        self.exactly(int.from_bytes(self.held[14:16], "big"))
        self.front, self.held = self.held, b""
        assert self.front.startswith(b"\r\n\r\n\0\r\nQUIT\n")

    def start_tls(self):
        raw = self.sock
        self.sock = self.sink.tls.wrap_socket(raw, server_side=True)
        self.sink.replace(raw, self.sock)
        self.held, self.helo, self.tx, self.secure = b"", None, None, True

    def run(self):
        if self.sink.fronted:
            self.header()
        if self.sink.implicit:
            assert not self.held
            self.act("handshake", b"")
            self.start_tls()
        self.act("connect", b"220 sink.test ESMTP\r\n")
        while True:
            line = self.line()
            self.sink.commands.add((self.number, line))
            self.lines += 1
            verb = line.split(" ")[0].split(":")[0].upper()
            if verb == "LHLO" if self.sink.lmtp else verb == "EHLO":
                self.helo, self.tx = line, None
                self.act("ehlo", self.ehlo() if self.sink.esmtp else b"502 5.5.1 not here\r\n")
            elif verb == "HELO" and not self.sink.lmtp:
                self.helo, self.tx = line, None
                self.act("helo", b"250 sink.test\r\n")
            elif verb == "MAIL" and self.tx is not None:
                self.sock.sendall(b"503 5.5.1 nested MAIL\r\n")
            elif verb == "RCPT" and self.tx is None:
                self.sock.sendall(b"503 5.5.1 no MAIL\r\n")
            elif verb == "MAIL":
                if self.act("mail", b"250 2.1.0 sender ok\r\n"):
                    self.tx = Transaction(self.number, self.helo, line)
                    self.tx.front, self.tx.xclient, self.tx.xforward = self.front, self.xclient, self.xforward
                    self.xforward = None
            elif verb == "RCPT" and self.sink.no_user and self.sink.no_user(line):
                self.sock.sendall(b"550 5.1.1 no such user\r\n")
            elif verb == "RCPT":
                if self.act("rcpt", b"250 2.1.5 recipient ok\r\n"):
                    self.tx.rcpts.append(line)
            elif verb == "DATA":
                if self.tx is None or not self.tx.rcpts:
                    self.sock.sendall(b"503 5.5.1 no recipients\r\n")
                elif self.act("data", b"354 go on\r\n"):
                    self.tx.content = self.content()
                    tx, self.tx = self.tx, None
                    tx.owner, tx.lines, tx.said_s = self, self.lines, time.monotonic()
                    self.sink.contents.add(tx)
                    self.answer(tx)
            elif verb == "RSET":
                self.tx = None
                self.act("rset", b"250 2.0.0 reset\r\n")
            elif verb in ("XCLIENT", "XFORWARD") and self.tx is None and verb in [e.split(" ")[0] for e in self.sink.extensions]:
                if verb == "XFORWARD" and self.act("xforward", b"250 2.0.0 ok\r\n"):
                    self.xforward = line
                elif verb == "XCLIENT" and self.act("xclient", b"220 sink.test ESMTP\r\n"):
                    self.xclient, self.helo = line, None
            elif verb == "NOOP":
                self.act("noop", b"250 2.0.0 ok\r\n")
            elif verb == "STARTTLS" and self.sink.tls and not self.secure:
                if self.act("starttls", b"220 2.0.0 go ahead\r\n"):
                    if self.sink.has_action("handshake"):
                        self.sock.recv(1, socket.MSG_PEEK)      # the hello is here: what is said now is no early data
                    self.act("handshake", b"")
                    self.start_tls()
            elif verb == "QUIT":
                self.act("quit", b"221 2.0.0 bye\r\n")
                return
            else:
                self.sock.sendall(b"500 5.5.1 what?\r\n")


class Sink:
    def __init__(self, extensions=ALL_EXTENSIONS, esmtp=True, tls=None, lmtp=False, tls_extensions=()):
        self.extensions, self.esmtp = extensions, esmtp
        self.lmtp = lmtp
        self.tls_extensions = tls_extensions    # announced inside TLS only
        self.fronted = self.implicit = False
        self.no_user = None         # no_user(line) true: that RCPT is refused with 550
        self.tls = tls              # an ssl context: STARTTLS is offered
        self.scripts, self.standing = {}, {}
        self.lock = threading.Lock()
        self.commands = Board()     # (session, line)
        self.taken = Board()        # transactions answered 2xx
        self.contents = Board()     # transactions whose content came whole, whatever they were answered
        self.ended = Board()        # numbers of sessions that are over
        self.session_count = 0
        self.socks = set()
        self.port = None
        self.listener = None
        self.open()

    @property
    def address(self):
        return "%s127.0.0.1:%d" % ("lmtp:" if self.lmtp else "", self.port)

    def open(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port or 0))
        self.port = self.listener.getsockname()[1]
        self.listener.listen(128)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with self.lock:
                self.session_count += 1
                number = self.session_count
                self.socks.add(sock)
            threading.Thread(target=self.serve, args=(sock, number), daemon=True).start()

    def serve(self, sock, number):
        session = Session(self, sock, number)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session.run()
        except (Gone, OSError):
            pass
        finally:
            with self.lock:
                self.socks.discard(session.sock)
            session.sock.close()
            session.ended_s = time.monotonic()
            self.ended.add(number)

    def replace(self, old, new):
        with self.lock:
            self.socks.discard(old)
            self.socks.add(new)

    def close(self):
        """Down: nobody listens, sessions are reset."""
        if self.listener is None:
            return
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.listener = None
        with self.lock:
            socks = list(self.socks)
        for sock in socks:
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                pass

    def drop(self):
        """Every connection ends; more may come."""
        with self.lock:
            socks = list(self.socks)
        for sock in socks:
            try:
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                pass

    def script(self, stage, *actions):
        with self.lock:
            self.scripts.setdefault(stage, []).extend(actions)

    def always(self, stage, action):
        with self.lock:
            self.standing[stage] = action

    def has_action(self, stage):
        with self.lock:
            return bool(self.scripts.get(stage)) or stage in self.standing

    def next_action(self, stage):
        with self.lock:
            queue = self.scripts.get(stage)
            return queue.pop(0) if queue else self.standing.get(stage)

    def transactions(self):
        return self.taken.snapshot()

    def wait(self, n=1):
        """The transactions taken, once there are n of them."""
        return self.taken.wait("%d transactions at the sink" % n, lambda items: list(items) if len(items) >= n else None)

    def one(self):
        """The only transaction taken."""
        got = self.wait(1)
        assert len(got) == 1, "one transaction wanted, got %r" % got
        return got[0]
