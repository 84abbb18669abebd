"""A name server that says what a test wants it to, as late as it wants, or nothing; by TCP it may do as it likes."""
import collections
import heapq
import select
import socket
import struct
import threading
import time

A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, DNAME, OPT, DS, RRSIG, NSEC, DNSKEY, NSEC3 = 1, 2, 5, 6, 12, 15, 16, 28, 39, 41, 43, 46, 47, 48, 50
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5
UDP_OCTETS = 1232       # what is more is to be had by TCP

# One record; name None: that of the question.
Record = collections.namedtuple("Record", "kind data name ttl")
# What a question gets.
Reply = collections.namedtuple("Reply", "answer authority rcode")


def record(kind, data, name=None, ttl=60):
    return Record(kind, data, name, ttl)


def reply(answer=(), authority=(), rcode=NOERROR):
    return Reply(list(answer), list(authority), rcode)


def wire(name):
    """A name as octets: text with dots, or labels as bytes."""
    labels = name.encode("ascii").split(b".") if isinstance(name, str) else name
    return b"".join(bytes([len(label)]) + label for label in labels if label) + b"\0"


def strings(*parts):
    """The data of a TXT record of these strings."""
    return b"".join(bytes([len(part)]) + part for part in parts)


def txt(text, **more):
    """Text of any length, or the octets of one string or several."""
    if isinstance(text, str):
        text = text.encode("latin-1")
    parts = [text[at:at + 255] for at in range(0, len(text), 255)] or [b""] if isinstance(text, bytes) else text
    return record(TXT, strings(*parts), **more)


def cname(target, **more):
    return record(CNAME, wire(target), **more)


def mx(preference, host, **more):
    return record(MX, struct.pack("!H", preference) + wire(host), **more)


def soa(zone):
    return record(SOA, wire("ns." + zone) + wire("h." + zone) + struct.pack("!IIIII", 1, 3600, 600, 86400, 60), name=zone)


class NameServer:
    """
    records: a name in lower case -> text of a TXT record, or records, of which it gives those of the type asked for with their
    signatures and any CNAME or DNAME, or a Reply as it is, or None for silence, or a function of the type that gives any of these.
    Other names do not exist, unless .other, a function of name and type, knows more.
    tcp: "reset", "half" or "drip", and then all is to be had by TCP alone; None: what is small is said by UDP.
    delay_s: how long an answer by UDP takes.
    """

    def __init__(self, records):
        self.records = records
        self.other = lambda name, kind: reply(rcode=NXDOMAIN)
        self.tcp = None
        self.delay_s = 0
        self.asked = 0
        self.names = collections.Counter()
        self.questions = collections.Counter()  # (name, type)
        self.last = {}                  # name -> when it was asked for last, time.time()
        self.open = {}                  # connection -> octets of a query so far
        self.udp = self.listener = None
        while not self.listener:        # one port for both
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.bind(("127.0.0.1", 0))
            self.port = self.udp.getsockname()[1]
            try:
                self.listener = socket.create_server(("127.0.0.1", self.port))
            except OSError:
                self.udp.close()
        self.over, self.awake = threading.Event(), threading.Event()
        self.awake.set()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def pause(self):
        """Like SIGSTOP: what comes waits in the sockets."""
        self.awake.clear()

    def resume(self):
        self.awake.set()

    def lookup(self, name, kind):
        """A Reply, or None."""
        got = self.records[name] if name in self.records else self.other(name, kind)
        if callable(got):
            got = got(kind)
        if isinstance(got, str):
            got = [txt(got)]
        if isinstance(got, list):
            covered = struct.pack("!H", kind)
            got = reply(r for r in got if r.kind in (kind, CNAME, DNAME) or (r.kind == RRSIG and r.data[:2] == covered))
        return got

    def answer(self, query, udp):
        """The octets, or None."""
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1").lower())
            at += 1 + query[at]
        (kind,) = struct.unpack("!H", query[at + 1:at + 3])
        self.asked += 1
        name = ".".join(labels)
        self.names[name] += 1
        self.questions[name, kind] += 1
        self.last[name] = time.time()
        got = self.lookup(name, kind)
        if got is None:
            return None
        edns = query[10:12] != b"\0\0"
        extra = b"\0" + struct.pack("!HHIH", OPT, UDP_OCTETS, 0x8000, 0) if edns else b""
        question = query[12:at + 5]
        sections = [b"".join((b"\xc0\x0c" if r.name is None else wire(r.name)) + struct.pack("!HHIH", r.kind, 1, r.ttl, len(r.data)) + r.data
                             for r in section) for section in (got.answer, got.authority)]
        counts, flags = (len(got.answer), len(got.authority)), 0x8480
        if udp and (self.tcp or 12 + len(question) + sum(map(len, sections)) + len(extra) > UDP_OCTETS):
            sections, counts, flags = [], (0, 0), flags | 0x0200
        return (query[:2] + struct.pack("!HHHHH", flags | got.rcode, 1, *counts, 1 if edns else 0) + question + b"".join(sections) + extra)

    def drop(self, sock):
        self.open.pop(sock, None)
        sock.close()

    def take_tcp(self, sock, dripping):
        try:
            octets = sock.recv(4096)
        except OSError:
            octets = b""
        if not octets:
            self.drop(sock)
            return
        self.open[sock] += octets
        while len(self.open[sock]) >= 2 and len(self.open[sock]) >= 2 + int.from_bytes(self.open[sock][:2], "big"):
            n = 2 + int.from_bytes(self.open[sock][:2], "big")
            query, self.open[sock] = self.open[sock][2:n], self.open[sock][n:]
            whole = self.answer(query, False)
            if whole is None:
                continue
            whole = bytearray(struct.pack("!H", len(whole)) + whole)
            if self.tcp == "drip":
                dripping.append((sock, whole))
            elif self.tcp == "half":
                sock.sendall(whole[:len(whole) // 2])
                self.drop(sock)
                return
            else:
                try:
                    sock.sendall(whole)
                except OSError:
                    self.drop(sock)
                    return

    def serve(self):
        """One turn of the drip is as long as one wait."""
        dripping, held, number = [], [], 0
        while not self.over.is_set():
            self.awake.wait(0.1)
            if not self.awake.is_set():
                continue
            wait = min(0.1, max(0, held[0][0] - time.monotonic())) if held else 0.1
            readable = select.select([self.udp, self.listener] + list(self.open), [], [], wait)[0]
            while held and held[0][0] <= time.monotonic():
                _, _, whole, peer = heapq.heappop(held)
                self.udp.sendto(whole, peer)
            for sock, rest in dripping:
                try:
                    sock.send(rest[:1])
                    del rest[:1]
                except OSError:
                    pass
            dripping = [(sock, rest) for sock, rest in dripping if rest and sock in self.open]
            for sock in readable:
                if sock is self.udp:
                    query, peer = sock.recvfrom(4096)
                    whole = self.answer(query, True)
                    number += 1
                    if whole is not None:
                        heapq.heappush(held, (time.monotonic() + self.delay_s, number, whole, peer))
                elif sock is self.listener:
                    new, _ = sock.accept()
                    if self.tcp == "reset":
                        new.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        new.close()
                    else:
                        self.open[new] = b""
                else:
                    self.take_tcp(sock, dripping)

    def close(self):
        self.over.set()
        self.awake.set()
        self.thread.join()
        for sock in [self.udp, self.listener] + list(self.open):
            sock.close()
