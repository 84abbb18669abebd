"""A tap on a line: passes octets on both ways and keeps them, so that a test sees who said what, and in how many pieces."""
import itertools
import re
import socket
import threading

from wait import DEADLINE, Board

COMMAND = re.compile(rb"(MAIL FROM|RCPT TO):(\S+)((?: \S+)*)", re.I)


class Seen:
    """A transaction as a client sent it."""

    def __init__(self, mail):
        self.mail, self.rcpts, self.content, self.verb = mail, [], b"", None
        self.pipelined = False      # MAIL and RCPT came together

    @staticmethod
    def parts(line):
        """Path and parameters of a MAIL or RCPT, the latter in upper case and without SIZE, which tells of the content."""
        hit = COMMAND.fullmatch(line)
        assert hit, line
        words = hit.group(3).decode("utf-8").split()
        return hit.group(2).decode("utf-8"), sorted(w.upper() for w in words if not w.upper().startswith("SIZE="))


class Tap:
    def __init__(self, port, target):
        self.port, self.target = port, target
        self.lines = []         # of each connection: what the client said, a Board of pieces
        self.socks = set()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(100)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target), DEADLINE)
            except OSError:
                client.close()
                continue
            for sock in (client, server):
                sock.settimeout(None)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.socks.add(sock)
            self.lines.append(Board())
            threading.Thread(target=self.pump, args=(client, server, self.lines[-1]), daemon=True).start()
            threading.Thread(target=self.pump, args=(server, client, None), daemon=True).start()

    @staticmethod
    def pump(source, target, board):
        try:
            while True:
                octets = source.recv(1 << 18)
                if board is not None:
                    board.add(octets)
                if not octets:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(octets)
        except OSError:
            for sock in (source, target):
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def forget(self):
        """What was said so far, between transactions."""
        for board in self.lines:
            with board.changed:
                board.items.clear()

    def transactions(self):
        """Every whole transaction since; nobody here refuses a message or a chunk."""
        return [seen for board in list(self.lines) for seen in read(board.snapshot())]

    def of(self, recipient):
        """The only transaction that had this recipient."""
        path = ("<%s>" % recipient).encode()
        hits = [t for t in self.transactions() if path in [r.split(b":", 1)[1].split(b" ")[0] for r in t.rcpts]]
        assert len(hits) == 1, "one transaction to %s wanted, had %d" % (recipient, len(hits))
        return hits[0]

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for sock in self.socks:
            sock.close()


def read(pieces):
    """The transactions in what a client said."""
    said, ends, at, done, tx = b"".join(pieces), set(itertools.accumulate(map(len, pieces))), 0, [], None
    while True:
        end = said.find(b"\r\n", at)
        if end < 0:
            return done
        line, verb = said[at:end], said[at:end].split(b" ")[0].upper()
        together = end + 2 not in ends      # more came in the same piece
        at = end + 2
        if verb == b"MAIL":
            tx = Seen(line)
            tx.pipelined = together
        elif verb == b"RCPT" and tx:
            tx.rcpts.append(line)
        elif verb in (b"RSET", b"EHLO", b"HELO"):
            tx = None
        elif verb == b"BDAT" and tx:
            n = int(line.split()[1])
            if len(said) < at + n:
                return done
            tx.verb, tx.content, at = "BDAT", tx.content + said[at:at + n], at + n
            if line.upper().endswith(b"LAST"):
                done.append(tx)
                tx = None
        elif verb == b"DATA" and tx:
            end = at - 2 if said.startswith(b".\r\n", at) else said.find(b"\r\n.\r\n", at)
            if end < 0:
                return done
            raw, at = said[at:end + 2], end + 5
            tx.verb, tx.content = "DATA", (b"\r\n" + raw).replace(b"\r\n.", b"\r\n")[2:]
            done.append(tx)
            tx = None
