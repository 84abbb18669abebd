"""
Who holds each message: what clients were promised, what the next hop took, what waits in the spool, what was reported. Every recipient is
a token, and every message has one in its header and its body, so that nothing is counted for something else.

    lost        promised with 250, and neither at the next hop, nor in the spool, nor reported
    twice       taken more than once, and the answer to each copy but the last can not have been lost (RFC 1047)
"""
import itertools
import re
import threading
import time

from client import Client, stuffed
from mail import head_of

PROMISED, UNKNOWN, REFUSED = "promised", "unknown", "refused"
TOKEN = re.compile(rb"^X-Token: (\S+)\r$", re.M)
FAILED = re.compile(rb"^Final-Recipient: rfc822; *<?([^@\s>]+)@", re.M | re.I)


class Post:
    """One message. `rcpts`: paths; to: those of its To field, all of them unless said."""

    def __init__(self, token, domains, sender="<s@a.test>", octets=0, to=None):
        self.token, self.sender = token, sender
        self.rcpts = ["<%s-%d@%s>" % (token, n, domain) for n, domain in enumerate(domains)]
        shown = [self.rcpts[n] for n in (range(len(domains)) if to is None else to)]
        head = ("From: %s\r\nTo: %s\r\nSubject: %s\r\nX-Token: %s\r\nDate: Thu, 01 Oct 2026 00:00:00 +0000\r\nMessage-ID: <%s@a.test>\r\n"
                % (sender, ",\r\n ".join(shown) or "undisclosed-recipients:;", token, token, token))
        self.content = (head + "\r\nthis is %s\r\n" % token).encode() + (b"y" * 998 + b"\r\n") * (octets // 1000)
        self.state, self.answer = None, None

    def __repr__(self):
        return "%s %s %r" % (self.token, self.state, self.answer)


class Ledger:
    def __init__(self, spool, *sinks):
        self.spool, self.sinks = spool, sinks
        self.posts, self.kills, self.numbers = {}, [], itertools.count()
        self.lock = threading.Lock()

    def post(self, domains=("c.test", "c.test", "b.test"), **more):
        with self.lock:
            post = Post("t%d" % next(self.numbers), domains, **more)
            self.posts[post.token] = post
        return post

    def send(self, post, address, client=None, gate=None, armed=None):
        """
        Once. The client, where it may be used again; else None. armed: called when 354 is there; gate: half of the content is sent, the rest
        once it is set.
        """
        c = client
        try:
            if c is None:
                c = Client(address, banner=False)
                post.answer = c.reply()
                if post.answer.code == 220:
                    c.send(b"EHLO t.a.test\r\n")
                    post.answer = c.reply()
                if post.answer.code != 250:
                    post.state = REFUSED
                    c.close()
                    return None
            c.send(("MAIL FROM:%s\r\n" % post.sender).encode() + b"".join(b"RCPT TO:%s\r\n" % r.encode() for r in post.rcpts) + b"DATA\r\n")
            for _ in range(1 + len(post.rcpts) + 1):
                post.answer = c.reply()
                if post.answer.code >= 400:
                    post.state = REFUSED
                    c.close()
                    return None
            if armed:
                armed()
            octets = stuffed(post.content)
            if gate:
                c.send(octets[:len(octets) // 2])
                gate()
                octets = octets[len(octets) // 2:]
            post.state = UNKNOWN
            c.send(octets)
            post.answer = c.reply()
            post.state = PROMISED if post.answer.code == 250 else REFUSED
            return c
        except (OSError, EOFError):
            if c:
                c.close()
            return None

    def killed(self, kill, begin=None):
        """kill() kills processes that may have had an answer on its way; begin: it may have been done since then."""
        begin = begin or time.monotonic()
        kill()
        self.kills.append((begin, time.monotonic()))

    # -- the next hops' side

    def copies(self):
        """(token of the message, path) -> transactions that it was taken in; None: reports."""
        out = {}
        for sink in self.sinks:
            for tx in sink.transactions():
                hit = TOKEN.search(head_of(tx.content))
                if tx.sender == "<>":
                    out.setdefault(None, []).append(tx)
                elif hit:
                    for path in tx.took:
                        out.setdefault((hit.group(1).decode(), path), []).append(tx)
        return out

    @staticmethod
    def reported(reports):
        """Local part -> how many reports tell that it failed."""
        out = {}
        for tx in reports:
            for local in FAILED.findall(tx.content):
                out[local.decode()] = out.get(local.decode(), 0) + 1
        return out

    def may_be_lost(self, tx):
        """Can the answer to it have been lost? Its session ended without another word, when something was killed."""
        return not tx.heard and tx.owner.ended_s is not None and any(
            tx.said_s <= end and tx.owner.ended_s >= begin for begin, end in self.kills)

    def waiting(self):
        out = set()
        for message, path in self.spool.waiting():
            hit = TOKEN.search(head_of(message.content))
            out.add((hit.group(1).decode() if hit and not message.report else None, path))
        return out

    def judge(self, failing=(), twice=0):
        """
        Nothing lost, nothing twice beyond `twice` that the caller knows the cause of. failing: local parts that no next hop takes. Returns
        figures: messages, recipients, copies beyond one.
        """
        waiting, copies = self.waiting(), self.copies()
        reports = self.reported(copies.pop(None, []))
        lost, wrong, more = [], [], []
        for post in self.posts.values():
            got = {path: copies.get((post.token, path), []) for path in post.rcpts}
            there = {path: bool(got[path]) or (post.token, path) in waiting or path[1:].split("@")[0] in reports for path in post.rcpts}
            if post.state == PROMISED:
                lost += [(post, path) for path in post.rcpts if not there[path]]
            elif any(there.values()) and not all(there.values()):
                wrong.append(("some of its recipients only", post, there))
            elif post.state == REFUSED and any(there.values()):
                wrong.append(("refused and sent all the same", post, there))
            for path, txs in got.items():
                wrong += [("other octets", post, tx) for tx in txs if not tx.content.endswith(post.content)]
                txs = sorted(txs, key=lambda tx: tx.said_s)
                if len(txs) > 1:
                    more.append(path)
                    wrong += [("twice", post, path, tx) for tx in txs[:-1] if not self.may_be_lost(tx) and not twice]
                if txs and path[1:].split("@")[0] in reports:
                    wrong.append(("delivered and reported", post, path))
        unknown = set(path for token, path in copies if token not in self.posts)
        assert not lost, "lost: %r" % lost[:5]
        assert not wrong, "wrong: %r" % wrong[:5]
        assert not unknown, "of no message: %r" % unknown
        assert not twice or len(more) <= twice, "twice: %r" % more
        told = set(reports)
        assert told <= set(failing), "reported without a cause: %r" % (told - set(failing))
        return {"messages": len(self.posts), "promised": sum(p.state == PROMISED for p in self.posts.values()), "copies beyond one": len(more),
                "kills": len(self.kills)}


class Load:
    """Clients that send messages until they are told to stop."""

    def __init__(self, ledger, address, clients=4, **more):
        self.ledger, self.address, self.more = ledger, address, more
        self.stopping, self.wrong, self.promised = threading.Event(), [], 0
        self.threads = [threading.Thread(target=self.client, daemon=True) for _ in range(clients)]
        for t in self.threads:
            t.start()

    def client(self):
        c = None
        while not self.stopping.is_set():
            try:
                post = self.ledger.post(**self.more)
                c = self.ledger.send(post, self.address, c)
                if post.state == PROMISED:
                    self.promised += 1
                elif c is None:
                    self.stopping.wait(0.01)     # nobody may be there for a while
            except AssertionError as e:
                self.wrong.append(e)
                c = None
        if c:
            c.close()

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join()
        assert not self.wrong, self.wrong[:3]
