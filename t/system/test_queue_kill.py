"""
No message that was acknowledged is lost (RFC 5321 4.2.5, 6.1), and none is sent twice but where an answer was lost (RFC 1047): the daemon
and its processes are killed between any two calls and at random, calls fail, the disk is full, the spool is damaged, the power goes.

HOPSEAL_KILLS=2000 kills that often instead of a hundred times.
"""
import errno
import os
import random
import signal
import threading

import pytest

import disk
from attacks import META
from crash import Crash
from faults import BUT, EVER
from ledger import PROMISED, REFUSED, TOKEN, UNKNOWN, Load
from relay import DAEMON, USER
from sink import Hold
from spool import FOLDERS, Damaged, parse
from wait import DEADLINE, until

# In the sanitized build a third: it starts more slowly, and has the same calls to be killed between.
SHARE = 3 if "asan" in DAEMON else 1
KILLS = int(os.environ.get("HOPSEAL_KILLS", 100 // SHARE))
DICE = random.Random(os.environ.get("HOPSEAL_SEED", "1"))
QUEUE, WORKER = "hopseal:queue", "hopseal:worker"

pytestmark = pytest.mark.slow


@pytest.fixture
def crash(hopseal, room, sink):
    def make(**more):
        return Crash(hopseal, room, sink, **more)
    return make


# ---- killed at each named point ------------------------------------------------------------------------------------

# Point -> a rule that kills there, made of the daemon's ports and armed when the client has its 354; None: the test's own doing.
def before(calls, places, **more):
    return lambda c: c.faults.add(calls, places, nth=1, doom=True, **more)


def after(calls, places, **more):
    return before(calls, places, after=True, **more)


def peer(calls, **more):
    return lambda c: c.faults.add(calls, "peer", port=c.sink.port, nth=1, doom=True, role=QUEUE, **more)


def client(**more):
    return lambda c: c.faults.add("send", "local", port=c.port, nth=1, doom=True, role=WORKER, **more)


POINTS = {
    "in.data_partial": None,
    "spool.created": after("create", "tmp"),
    "spool.partial_write": before("write pwrite", "tmp", half=True),
    "spool.written": before("fsync fdatasync", "tmp"),
    "spool.fsynced": after("fsync fdatasync", "tmp"),
    "spool.renamed": after("rename", "tmp", to="mail"),
    "spool.dir_fsynced": after("fsync fdatasync", "mail_dir"),
    "in.before_250": client(),
    "in.after_250": client(after=True),
    # Groups are formed before the message is written, and are written with it: between reading them and their first copy.
    "split.partial": before("read", "mail", role=QUEUE),
    "split.done": peer("connect"),
    "out.connected": peer("recv", needle=b"220 sink.test", after=True),
    "out.rcpt_done": peer("recv", needle=b"250 2.1.5 recipient ok", after=True),
    "out.data_partial": peer("send", needle=b"this is t", half=True),
    "out.before_dot": peer("send", needle=b"\r\n.\r\n", octets=BUT | 3),
    "out.after_dot": peer("send", needle=b"\r\n.\r\n", after=True),
    "out.got_250": peer("recv", needle=b"250 2.0.0 taken", after=True),
    "spool.rcpt_marked": after("write pwrite", "mail", role=QUEUE),
    "spool.before_unlink": before("unlink", "mail", role=QUEUE),
    "spool.unlinked": after("unlink", "mail", role=QUEUE),
    "dsn.before_queue": before("create", "tmp", role=QUEUE),
    "dsn.queued": after("fsync fdatasync", "mail_dir", role=QUEUE),
}
# Those at which the answer to a copy may have been lost.
TWICE = {"out.after_dot", "out.got_250"}
# Those at which the client has heard 250, or never will.
PROMISED_BEFORE = {name for name in POINTS if name.startswith(("split.", "out.", "spool.rcpt", "spool.before_unlink", "spool.unlinked", "dsn."))} | {
    "in.after_250"}
REPEAT = max(1, KILLS * 2 // 3 // len(POINTS))


def test_points_are_those_of_the_catalogue():
    assert list(POINTS) == META["kill_points"]["spool"]


@pytest.fixture(scope="module")
def named():
    """The daemon of all points; each leaves an empty spool behind."""
    return {}


def kill_at(c, point):
    """One message of three recipients, killed there, started again."""
    mark = len(c.sink.transactions())
    c.sink.drop()       # what is kept from the message before needs no connect
    post = c.ledger.post()
    c.sink.no_user = (lambda line: post.rcpts[0] in line) if point.startswith("dsn.") else None
    if point == "in.data_partial":
        c.send(post, gate=c.kill)
        assert post.state != PROMISED
    else:
        rule = []
        t = c.send_later(post, armed=lambda: rule.append(POINTS[point](c)))
        until("the content on its way", lambda: rule or not t.is_alive())
        c.doomed(rule[0])
        t.join(DEADLINE)
        # Where it may have heard 250 by then, it may as well have been killed before it came through.
        assert post.state == UNKNOWN or (post.state == PROMISED and point in PROMISED_BEFORE), (point, post)
    c.faults.clear()
    took = c.start()
    c.drain()
    c.clean()
    return post, c.sink.transactions()[mark:], took


@pytest.mark.parametrize("point", sorted(POINTS, key=list(POINTS).index))
def test_killed_at(crash, point):
    """
    Each recipient once if the client saw 250, twice only where the answer to a copy was lost; all of them or none if it did not. Copies go
    one behind the other, so that none but the one that was killed at had an answer on its way.
    """
    c = crash(queue={"deliveries": 1})
    for _ in range(REPEAT):
        seen = len(c.sink.transactions())
        post, got, _ = kill_at(c, point)
        taken = [path for tx in got for path in tx.took if tx.sender != "<>"]
        again = [tx for tx in got if tx.sender != "<>" and any(path in other.took for other in got if other is not tx for path in tx.took)]
        assert len(again) in ((0, 2) if point in TWICE else (0,)), (point, got)
        if point in ("in.data_partial", "spool.created", "spool.partial_write"):
            assert not taken, (point, got)
        reports = [tx for tx in got if tx.sender == "<>"]
        assert len(reports) in {"dsn.before_queue": (1,), "dsn.queued": (1, 2)}.get(point, (0,)), (point, got)
        assert seen + len(got) == len(c.sink.transactions())
    failing = [post.rcpts[0][1:].split("@")[0] for post in c.ledger.posts.values()] if point.startswith("dsn.") else ()
    c.ledger.judge(failing=failing)
    assert c.slowest_s < DEADLINE / 3


# ---- killed at random, under load ----------------------------------------------------------------------------------

def figures(name, **values):
    print("%s: %s" % (name, ", ".join("%s %s" % (v, k) for k, v in values.items())))


@pytest.mark.parametrize("service", ["inbound", "outbound"])
def test_killed_at_random(crash, keyring, service):
    """Four clients, and the whole daemon killed now and then; once with copies that are sealed."""
    c = crash(service=service, keys=[keyring.key("a.test")] if service == "outbound" else ())
    load = Load(c.ledger, c.address, clients=4)
    for _ in range(KILLS // 6):
        seen = load.promised
        until("messages on their way", lambda: load.promised > seen or load.wrong)
        threading.Event().wait(DICE.uniform(0, 0.2))
        c.kill()
        c.start()
    load.stop()
    c.drain()
    c.clean()
    figures("%s killed at random" % service, **c.ledger.judge())


@pytest.mark.parametrize("role", ["worker", "keeper", "resolver", "queue"])
def test_a_process_is_killed(crash, role):
    """Whichever: the others go on, nothing is lost, nothing comes twice but by a lost answer."""
    c = crash(workers=2)
    load = Load(c.ledger, c.address, clients=4)
    for n in range(3 + KILLS // 500):        # the supervisor takes its time with one that dies again and again
        seen = load.promised
        until("messages on their way", lambda: load.promised > seen + 5 or load.wrong)
        threading.Event().wait(DICE.uniform(0, 0.1))
        pids = c.relay.pids(role)

        def kill():
            os.kill(pids[n % len(pids)], signal.SIGKILL)
            until("its end", lambda: not os.path.exists("/proc/%d" % pids[n % len(pids)]))
        c.ledger.killed(kill)
        c.relay.event(role + "_died", n + 1)
        until("another", lambda: len(c.relay.pids(role)) == len(pids))
    load.stop()
    c.drain()
    c.clean()
    figures(role + " killed", **c.ledger.judge())


# ---- each call fails once --------------------------------------------------------------------------------------------

FULL_CALLS = {"create": "tmp", "write pwrite": "tmp", "rename": "tmp", "close": "tmp mail"}


def one_through(c, drain=True):
    """Sends one message, again until it is taken, and waits for it at the next hop; answers on the way."""
    answers = []

    def taken():
        post = c.send()
        answers.append(post.answer)
        if post.state != PROMISED:
            threading.Event().wait(0.05)
        return post.state == PROMISED
    until("250", taken)
    if drain:
        c.drain(hurry=True)
    return answers


def count(c, calls, places, role):
    c.sink.drop()
    rule = c.faults.add(calls, places, role=role)
    one_through(c)
    c.clean()
    c.faults.clear()
    return rule.matched


def each(c, calls, places, role, error):
    """The n-th such call fails, for each n; yields what the client was answered."""
    for n in range(1, count(c, calls, places, role) + 1):
        c.sink.drop()       # else there would be no connect
        rule = c.faults.add(calls, places, role=role, nth=n, fail=error)
        answers = one_through(c)
        c.faults.clear()
        yield n, rule, answers


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT], ids=["ENOSPC", "EDQUOT"])
@pytest.mark.parametrize("calls, places", FULL_CALLS.items(), ids=[name.replace(" ", "-") for name in FULL_CALLS])
def test_disk_full_at_each_call(crash, calls, places, error):
    """452 4.3.1, and mail is taken again by itself (RFC 5321 4.3.2)."""
    c = crash()
    tried = 0
    for n, rule, answers in each(c, calls, places, WORKER, error):
        tried += 1
        assert rule.acted == 1
        assert (answers[0].code, answers[0].enhanced) == (452, "4.3.1"), (calls, n, answers)
        assert answers[-1].code == 250
    c.clean()
    c.ledger.judge()
    assert tried
    c.relay.event("spool_full")
    figures("%s of the worker" % calls, failed=tried)


def test_a_file_system_without_renameat2(crash):
    """Linked and unlinked instead; no room for the link is no room."""
    c = crash()
    c.faults.add("rename", "tmp", to="mail", nth=1, last=EVER, fail=errno.EINVAL)
    assert one_through(c)[0].code == 250
    rule = c.faults.add("link", "tmp", to="mail", nth=1, fail=errno.ENOSPC)
    answers = one_through(c)
    assert rule.acted == 1 and (answers[0].code, answers[0].enhanced) == (452, "4.3.1"), answers
    c.clean()
    c.ledger.judge()


def test_disk_full_for_a_while(crash):
    """Nothing is taken, what is there is delivered and marked; then mail is taken again by itself."""
    c = crash()
    hold = Hold(threading.Event())
    c.sink.script("dot", hold)
    post = c.send()
    assert post.state == PROMISED
    c.faults.add("create write pwrite rename link fallocate", "tmp note", nth=1, last=EVER, fail=errno.ENOSPC)
    for _ in range(3):
        got = c.send()
        assert got.state == REFUSED and (got.answer.code, got.answer.enhanced) == (452, "4.3.1"), got
    hold.gate.set()
    c.drain()
    c.relay.event("spool_full")
    c.faults.clear()
    one_through(c)
    c.clean()
    c.ledger.judge()


def test_less_than_the_reserve_is_left(crash):
    c = crash(spool={"reserve": 1 << 20})
    c.faults.add("statfs", "spool tmp_dir mail_dir tmp mail", nth=1, last=EVER, short=0)
    until("452", lambda: c.send().state == REFUSED)
    got = c.send()
    assert (got.answer.code, got.answer.enhanced) == (452, "4.3.1"), got
    c.faults.clear()
    one_through(c)
    c.ledger.judge()


@pytest.mark.parametrize("places", ["tmp", "mail_dir"])
def test_a_sync_fails_once(crash, places):
    """451 4.3.0; the file is given up, and never synced again as if it were good; a folder's failure is followed by a check."""
    c = crash()
    tried = 0
    for _, rule, answers in each(c, "fsync fdatasync", places, WORKER, errno.EIO):
        tried += 1
        assert rule.acted == 1 and (answers[0].code, answers[0].enhanced) == (451, "4.3.0"), answers
        c.relay.event("spool_fsync_failed", tried)
    assert tried
    c.clean()
    c.ledger.judge()
    figures("sync of %s" % places, failed=tried)


@pytest.mark.parametrize("places", ["tmp", "mail_dir"])
def test_a_sync_fails_for_ever(crash, places):
    c = crash()
    c.faults.add("fsync fdatasync", places, nth=1, last=EVER, fail=errno.EIO)
    for _ in range(3):
        got = c.send()
        assert got.state == REFUSED and (got.answer.code, got.answer.enhanced) == (451, "4.3.0"), got
    c.relay.event("spool_fsync_failed")
    c.faults.clear()
    one_through(c)
    c.clean()
    c.ledger.judge()


PUT = dict(FULL_CALLS, **{"fsync fdatasync": "tmp mail_dir"})
EACH = [(role, calls, places) for role in (WORKER, QUEUE) for calls, places in PUT.items()] + [
    (QUEUE, "open", "mail mail_dir tmp"), (QUEUE, "read mmap", "mail"), (QUEUE, "write pwrite", "mail note"), (QUEUE, "unlink", "mail note tmp")]


@pytest.mark.parametrize("role, calls, places", EACH, ids=["-".join(" ".join(row).replace("hopseal:", "").split(" ")) for row in EACH])
def test_each_call_fails_once(crash, role, calls, places):
    """EIO, whoever calls: put off or taken, in the end every message is delivered, or reported on, and none twice; also after a restart."""
    c = crash()
    c.sink.no_user = lambda line: "-0@" in line      # one of three is reported on, which puts something, too
    tried = 0
    for _, rule, answers in each(c, calls, places, role, errno.EIO):
        tried += 1
        assert answers[0].code in (250, 451), answers
    assert tried
    c.relay.signal(signal.SIGTERM)
    c.relay.ended()
    c.start()
    c.drain()
    c.clean()
    c.ledger.judge(failing=[post.rcpts[0][1:].split("@")[0] for post in c.ledger.posts.values()])
    figures("%s of %s" % (calls, role), failed=tried)


def test_each_connection_fails_once(crash):
    c = crash()
    tried = 0
    for _, rule, answers in each(c, "connect", "peer", QUEUE, errno.ECONNREFUSED):
        tried += 1
        assert rule.acted == 1 and answers[0].code == 250
    assert tried
    c.ledger.judge()


@pytest.mark.skipif("asan" in DAEMON, reason="memory there is the sanitizer's")
@pytest.mark.parametrize("role", [WORKER])
def test_each_allocation_fails_once(crash, role):
    """In the middle of a message: put off or taken, in the end it is delivered, once."""
    c = crash()
    c.sink.no_user = lambda line: "-0@" in line
    tried = 0
    for _, rule, answers in each(c, "malloc", "elsewhere", role, errno.ENOMEM):
        tried += 1
        assert answers[-1].code == 250, answers
    assert tried
    c.clean()
    c.ledger.judge(failing=[post.rcpts[0][1:].split("@")[0] for post in c.ledger.posts.values()])
    figures("allocations of %s" % role, failed=tried)


@pytest.mark.parametrize("calls", ["send", "recv"])
def test_each_word_with_the_next_hop_fails_once(crash, calls):
    """The connection breaks at each call; a copy comes twice at most where its answer was on its way."""
    c = crash()
    rule = c.faults.add(calls, "peer", role=QUEUE)
    c.sink.drop()
    one_through(c)
    total = rule.matched
    c.faults.clear()
    assert total
    for n in range(1, total + 1):
        c.sink.drop()
        rule = c.faults.add(calls, "peer", role=QUEUE, nth=n, fail=errno.ECONNRESET)
        c.ledger.killed(lambda: one_through(c))
        c.faults.clear()
    c.clean()
    figures(calls, failed=total, **c.ledger.judge())


# ---- between copies --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("nth", [1, 2, 3])
def test_killed_between_copies(crash, nth):
    """Before the n-th copy's MAIL: each recipient once, by the very octets that a copy has without a kill."""
    c = crash(queue={"deliveries": 1})
    for _ in range(REPEAT):
        rule = c.faults.add("send", "peer", port=c.sink.port, role=QUEUE, needle=b"MAIL FROM:<s@a.test>", nth=nth, doom=True)
        post = c.ledger.post(domains=("c.test", "b.test", "d.test"))
        c.send_later(post)
        c.doomed(rule)
        c.faults.clear()
        c.start()
        c.drain()
        c.clean()
        assert post.state in (PROMISED, UNKNOWN)       # its 250 may not have come through
        assert sorted(path for tx in c.sink.transactions() for path in tx.took if post.token in path) == sorted(post.rcpts)
    c.ledger.judge()


# ---- the power goes ---------------------------------------------------------------------------------------------------

IMAGES = int(os.environ.get("HOPSEAL_IMAGES", 40 // SHARE))


def images(c, sent=(), lines=None):
    """
    (image, tokens that must be delivered from it, cut): every state a disk may have, each once with the most that it must hold. sent: tokens
    that a next hop has taken.
    """
    lines = c.faults.recorded() if lines is None else lines
    answers = {p.answer.lines[-1]: p for p in c.ledger.posts.values() if p.state == PROMISED}
    assert len(answers) == sum(p.state == PROMISED for p in c.ledger.posts.values()), "answers do not tell which message they are about"
    ways = [disk.nothing, disk.everything, disk.names_only, disk.octets_only, disk.zeros] + [disk.at_random(DICE) for _ in range(3)]
    states, must, gone, d = {}, set(), set(), disk.Disk(c.faults.spool)
    for cut in range(len(lines) + 1):
        for way in ways:
            image = d.image(way)
            key = disk.print_of(image)
            if key not in states or not must <= states[key][1]:
                states[key] = (image, states[key][1] | must if key in states else set(must), cut)
        if cut == len(lines):
            break
        line = lines[cut]
        if line.call != "send":
            d.play(line)
            continue
        must |= {post.token for answer, post in answers.items() if answer in line.data}
        gone |= {token for token in sent if b"\r\nX-Token: " + token.encode() + b"\r\n" in line.data}     # the next hop may have it by now
        must -= gone
    return list(states.values())


def kept_in(image):
    """Tokens of the messages that an image holds whole, as the format has it."""
    out = set()
    for path, octets in image.items():
        if path.startswith("mail/"):
            try:
                out |= {TOKEN.search(m.content).group(1).decode() for m in parse(octets) if not m.report}
            except Damaged:
                pass
    return out


def recorded(crash, sink, delivering):
    """A daemon that took some messages, and sent some if it was to, and was killed; what it did to the disk is written down."""
    sink.close()
    c = crash(record_octets=64 << 20, workers=2, start=False)
    c.faults.record(c.port, sink.port)
    c.start()
    load = Load(c.ledger, c.address, clients=3, domains=("c.test", "b.test"))
    until("messages", lambda: load.promised >= 8)
    if delivering:
        sink.open()
        c.flush()
        until("some of them at the next hop", lambda: len(sink.transactions()) >= 4)
    load.stop()
    c.kill()
    if not delivering:
        sink.open()
    c.faults.record_stop()
    return c


@pytest.mark.parametrize("delivering", [False, True], ids=["all-waits", "some-is-sent"])
def test_the_power_goes(crash, sink, delivering):
    """
    What was written, synced and renamed is written down; at each cut the spool is made anew as a disk may have it then, and the daemon is
    started on it: every message acknowledged before the cut is delivered, and nothing that is no message.
    """
    c = recorded(crash, sink, delivering)
    states = images(c, {token for token, _ in c.ledger.copies() if token})
    for image, must, cut in states:
        assert must <= kept_in(image), "cut %d: %r is not there" % (cut, must - kept_in(image))
    DICE.shuffle(states)
    states.sort(key=lambda state: not state[1])
    for image, must, cut in states[:IMAGES]:
        disk.build(image, c.folder, USER if os.geteuid() == 0 else None)
        mark = len(sink.transactions())
        c.start()
        wanted = {(token, path) for token in must for path in c.ledger.posts[token].rcpts}
        until("cut %d: %d recipients" % (cut, len(wanted)), lambda: wanted <= set(copies_since(sink, mark)))
        c.drain()
        for tx in sink.transactions()[mark:]:
            token = TOKEN.search(tx.content).group(1).decode()
            assert tx.content.endswith(c.ledger.posts[token].content), (cut, tx)
        twice = list(copies_since(sink, mark))
        assert len(twice) == len(set(twice)), (cut, twice)
        c.kill()
    figures("power loss", lines=len(c.faults.recorded()), states=len(states), started=min(len(states), IMAGES),
            promised=sum(p.state == PROMISED for p in c.ledger.posts.values()))


@pytest.mark.parametrize("places", ["tmp", "mail", ""], ids=["file", "mail", "folders"])
def test_a_sync_that_is_left_out_is_found(crash, sink, places):
    """The twin: without one of the three a message that was acknowledged is not in some image."""
    c = recorded(crash, sink, False)
    path = os.path.join(c.faults.spool, places).rstrip("/")

    def left_out(line):
        return line.call == "fsync" and (line.path.startswith(path + "/") if places == "tmp" else line.path == path)
    lines = [line for line in c.faults.recorded() if not left_out(line)]
    assert len(lines) < len(c.faults.recorded())
    assert [must for image, must, _ in images(c, lines=lines) if not must <= kept_in(image)]


def copies_since(sink, mark):
    for tx in sink.transactions()[mark:]:
        for path in tx.took:
            yield TOKEN.search(tx.content).group(1).decode(), path


# ---- a damaged spool ----------------------------------------------------------------------------------------------------

def kept_files(c, sink, n):
    """n files of one message each, as a daemon leaves them whose next hop is not there; it runs no more."""
    sink.close()
    c.start()
    for _ in range(n):
        assert c.send().state == PROMISED
    c.kill()
    sink.open()
    out = []
    for name in c.spool.names("mail"):
        (message,) = parse(c.spool.read("mail", name))
        out.append((name, TOKEN.search(message.content).group(1).decode(), c.spool.read("mail", name)))
    assert len(out) == n
    return out


def flipped(octets, at, bit=1):
    return octets[:at] + bytes([octets[at] ^ bit]) + octets[at + 1:]


def alike(octets, other):
    """But for the mark of a message."""
    return len(octets) == len(other) and sum(a != b for a, b in zip(octets, other)) <= 1


def at_content(octets, token):
    return octets.index(b"this is " + token.encode())


# Name -> what is made of a good file's octets. Of the first no message is whole any more; of the others it may be, and then is sent.
BROKEN = {
    "cut to nothing": lambda o, t: b"",
    "cut in the file's head": lambda o, t: o[:100],
    "cut behind it": lambda o, t: o[:512],
    "cut in the envelope": lambda o, t: o[:512 + 128 + 20],
    "cut in the content": lambda o, t: o[:at_content(o, t) + 3],
    "key": lambda o, t: flipped(o, 33),
    "head": lambda o, t: flipped(o, 512 + 27),
    "envelope": lambda o, t: flipped(o, o.index(b"-1@c.test>") + 1),
    "content": lambda o, t: flipped(o, at_content(o, t) + 2),
    "zeros": lambda o, t: bytes(len(o)),
    "text": lambda o, t: b"From: x@a.test\r\n\r\nhello\r\n",
}
SCRATCHED = {
    "cut by a sector": lambda o, t: o[:-512],
    "a sector more": lambda o, t: o + bytes(512),
    "magic": lambda o, t: flipped(o, 3),
    "version": lambda o, t: flipped(o, 19),
    "number of messages": lambda o, t: flipped(o, 23, 2),
    "mark": lambda o, t: flipped(o, o.index(b"....", 512)),
}
DAMAGES = dict(BROKEN, **SCRATCHED)


def test_corrupt_at_start(crash, sink):
    """
    Damaged and foreign files, links, a FIFO, folders: good messages are delivered, what is damaged is set aside, nothing of it is sent or
    lost, nothing that is no file of ours is opened.
    """
    c = crash(start=False)
    root, good = os.geteuid() == 0, 3
    files = kept_files(c, sink, len(DAMAGES) + good)
    mail = os.path.join(c.folder, "mail")
    owner = os.stat(os.path.join(mail, files[0][0])).st_uid
    damaged = {}

    def plant(folder, name, octets, uid=owner):
        path = os.path.join(c.folder, folder, name)
        with open(path, "wb") as f:
            f.write(octets)
        os.chmod(path, 0o600)
        os.chown(path, uid, -1)
        return path
    for (name, token, octets), (what, make) in zip(files[good:], DAMAGES.items()):
        damaged[token] = make(octets, token)
        plant("mail", name, damaged[token])
    # Objects that are none of ours; each in every folder.
    secret = plant("..", "secret", files[0][2].replace(files[0][1].encode(), b"t_other"[:len(files[0][1])]))
    outside = plant("..", "outside", b"not for anybody")
    for n, folder in enumerate(FOLDERS):
        def name(k):
            return "%024x" % (0xabc00000 + 256 * n + k)
        os.mkfifo(os.path.join(c.folder, folder, name(1)), 0o600)
        os.symlink(outside, os.path.join(c.folder, folder, name(2)))
        os.link(secret, os.path.join(c.folder, folder, name(3)))
        os.mkdir(os.path.join(c.folder, folder, name(4)), 0o700)
        if root:
            plant(folder, name(5), files[0][2], uid=1)
        plant(folder, "README", b"hello\n")
        plant(folder, "0123456789ABCDEF01234567", files[0][2])
        os.symlink("/nowhere", os.path.join(c.folder, folder, name(6)))
    before = open(secret, "rb").read(), open(outside, "rb").read()
    c.start()
    wanted = {(token, path) for _, token, _ in files[:good] for path in c.ledger.posts[token].rcpts}
    until("the good messages", lambda: wanted <= set(copies_since(sink, 0)))
    # One more to see that it has gone through the folder and serves.
    one_through(c, drain=False)
    until("all has been looked at", lambda: not [n for n in c.spool.names("mail") if n in {name for name, _, _ in files}])
    taken = list(copies_since(sink, 0))
    assert len(taken) == len(set(taken))
    broken = {token for token, what in zip(damaged, DAMAGES) if what in BROKEN}
    assert not {token for token, _ in taken} & broken, "sent though it is damaged"
    assert all(tx.content.endswith(c.ledger.posts[TOKEN.search(tx.content).group(1).decode()].content) for tx in sink.transactions())
    c.relay.event("spool_quarantined", len(DAMAGES))
    aside = [c.spool.read("damaged", name) for name in c.spool.names("damaged") if os.path.isfile(os.path.join(c.folder, "damaged", name))
             and not os.path.islink(os.path.join(c.folder, "damaged", name))]
    # A message that was saved anew has that written in the file that was set aside.
    missing = [what for what, octets in zip(DAMAGES, damaged.values()) if not any(alike(octets, one) for one in aside)]
    assert not missing, "gone, not set aside: %r" % missing
    assert (open(secret, "rb").read(), open(outside, "rb").read()) == before
    assert b"not for anybody" not in b"".join(tx.content for tx in sink.transactions())


def test_two_owners(crash, hopseal, sink):
    """A second daemon on the same spool does not start, whatever became of the first one's lock file; no message is sent twice."""
    c = crash()
    lock = os.path.join(c.relay.conf["run"]["dir"], "lock")
    for remove in (False, True):
        if remove:
            os.unlink(lock)
        second = hopseal("inbound", listener={"mode": "queue"}, start=False, spool={"dir": c.folder})
        second.start(ready=False)
        assert second.ended() == 71, second.noise
        assert second.events("spool_locked"), second.log.snapshot()
        assert c.send().state == PROMISED
    c.drain()
    c.ledger.judge()


BACKLOG = int(os.environ.get("HOPSEAL_BACKLOG", 2000 // SHARE))


def test_a_backlog_at_start(crash, sink):
    """Thousands wait when it starts: it is ready soon, takes new mail at once, and sends all of them."""
    sink.close()
    c = crash()
    load = Load(c.ledger, c.address, clients=4, domains=("c.test",))
    until("the backlog", lambda: load.promised >= BACKLOG or load.wrong, DEADLINE * 4)
    load.stop()
    c.kill()
    sink.open()
    ready_s = c.start()
    assert c.send().state == PROMISED
    c.drain(DEADLINE * 4)
    c.clean()
    figures("backlog", ready_s="%.2f" % ready_s, **c.ledger.judge())
    assert ready_s < 10
