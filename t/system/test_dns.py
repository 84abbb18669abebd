"""
Key records by a real resolver: unbound with a zone that is signed and one that is not; and a name server that may say anything,
with zones signed for it.
"""
import copy
import itertools
import os
import signal
import subprocess

import pytest

from dnssec import Zone
from mail import BASE, values
from nameserver import DNAME, NXDOMAIN, REFUSED, SERVFAIL, A, NameServer, cname, record, reply, soa, txt, wire
from peers import Unbound, need
from seal import seal
from wait import DEADLINE, until

DEFER = [{"name": "t", "when": ["dkim2 = temperror"], "then": "defer 451 4.7.5 {dkim2.reason}"},
         {"name": "p", "when": ["dkim2 != pass"], "then": "refuse 550 5.7.1 {dkim2.reason}"}]

# Seconds until verdicts are as ever when a server comes back: libunbound keeps a failure for five; more where all is slower.
AGAIN = 10 * DEADLINE / 30


def quoted(record):
    """Strings of at most 255 octets."""
    return " ".join('"%s"' % record[at:at + 255] for at in range(0, len(record), 255))


def zone(folder, name, keys):
    path = os.path.join(folder, name + ".zone")
    with open(path, "w", encoding="ascii") as f:
        f.write("$ORIGIN %s.\n$TTL 300\n@ SOA ns h 1 3600 600 86400 300\n@ NS ns\nns A 127.0.0.1\n" % name)
        for key in keys:
            f.write("%s. TXT %s\n" % (key.name, quoted(key.record)))
        f.write("alias._domainkey CNAME %s.\n" % keys[0].name)
    return path


def signed(folder, name, path):
    """The zone signed by ldns; returns its file and a trust anchor's."""
    need("ldns-keygen", "ldns-signzone")
    base = subprocess.run(["ldns-keygen", "-k", "-a", "ECDSAP256SHA256", name], cwd=folder, stdout=subprocess.PIPE, check=True,
                          universal_newlines=True).stdout.strip()
    subprocess.run(["ldns-signzone", "-f", path + ".signed", path, base], cwd=folder, check=True)
    return path + ".signed", os.path.join(folder, base + ".ds")


class World:
    """signed.test and plain.test, each with the keys e and r, behind one resolver."""

    def __init__(self, folder, port, keyring):
        need("unbound")
        self.keyring = keyring
        plain = zone(folder, "plain.test", [keyring.key("plain.test"), keyring.key("plain.test", "r")])
        own, self.anchor = signed(folder, "signed.test", zone(folder, "signed.test", [keyring.key("signed.test"), keyring.key("signed.test", "r")]))
        with open(own, encoding="ascii") as f:
            forged = f.read().replace(keyring.key("signed.test", "r").record[-20:], "A" * 20)
        self.zones = {"plain.test": plain, "signed.test": own}
        self.forged = own + ".forged"
        with open(self.forged, "w", encoding="ascii") as f:
            f.write(forged)
        self.folder, self.port = folder, port
        self.resolver = Unbound(folder, port, self.zones)

    def dns(self, **more):
        return dict({"resolver": "127.0.0.1:%d" % self.port, "trust_anchor": self.anchor}, **more)

    def stop(self):
        self.resolver.stop()


@pytest.fixture
def world(room, ports, keyring):
    folder = os.path.join(room, "dns")
    os.mkdir(folder)
    w = World(folder, ports.take(), keyring)
    yield w
    w.stop()


def start(hopseal, world, **dns):
    relay = hopseal("inbound", policy=DEFER, start=False)
    relay.conf["dns"] = world.dns(**dns)
    return relay.start()


def message(keyring, domain, selector="e"):
    return seal(BASE.replace(b"s@a.test", b"s@" + domain.encode()), keyring.key(domain, selector), mf="<s@%s>" % domain)


@pytest.mark.parametrize("domain", ["plain.test", "signed.test"])
@pytest.mark.parametrize("selector", ["e", "r"])
def test_keys_of_a_zone(hopseal, sink, world, keyring, domain, selector):
    with start(hopseal, world).connect() as c:
        c.deliver(message(keyring, domain, selector), "<s@%s>" % domain)
    assert "dkim2=pass" in values(sink.one().content, "Authentication-Results")[0]


def test_without_an_anchor_a_signed_zone_is_read_all_the_same(hopseal, sink, world, keyring):
    with start(hopseal, world, trust_anchor="none").connect() as c:
        c.deliver(message(keyring, "signed.test"), "<s@signed.test>")


def test_a_forged_record_is_a_temperror(hopseal, sink, world, keyring):
    """What does not validate is no answer (bogus), and may be one tomorrow."""
    world.stop()
    world.resolver = Unbound(world.folder, world.port, dict(world.zones, **{"signed.test": world.forged}))
    relay = start(hopseal, world)
    with relay.connect() as c:
        c.deliver(message(keyring, "signed.test", "r"), "<s@signed.test>", code=451, enhanced="4.7.5", text="public key r could not be fetched")
        c.deliver(message(keyring, "plain.test"), "<s@plain.test>")
    assert relay.event("dns_bogus")["name"] == "r._domainkey.signed.test"


def test_a_name_that_is_not_there(hopseal, world, keyring):
    with start(hopseal, world).connect() as c:
        for domain in ("plain.test", "signed.test"):
            text = message(keyring, domain).replace(b"s=e:", b"s=x:")
            c.deliver(text, "<s@%s>" % domain, code=550, enhanced="5.7.1", text="public key x does not exist")


def attempt(c, octets):
    """One more transaction; the code it ended with."""
    c.to_data("<s@plain.test>")
    c.send(octets + b".\r\n")
    got = c.reply()
    assert got.code in (250, 451), got
    return got.code


@pytest.mark.slow
def test_a_silent_resolver_is_a_451_within_the_budget_and_recovers(hopseal, sink, world, keyring):
    relay = start(hopseal, world, timeout=1500)
    world.resolver.pause()
    with relay.connect() as c:
        c.deliver(message(keyring, "plain.test"), "<s@plain.test>", code=451, enhanced="4.7.5", text="public key e could not be fetched")
        assert "._domainkey.plain.test" in relay.event("dns_timeout")["name"]
        world.resolver.resume()
        until("an answer", lambda: attempt(c, message(keyring, "plain.test")) == 250, AGAIN)
    assert len(sink.wait(1)) == 1


@pytest.mark.slow
def test_a_resolver_that_is_away_is_a_451(hopseal, world, keyring):
    relay = start(hopseal, world, timeout=2000)
    world.stop()
    with relay.connect() as c:
        c.deliver(message(keyring, "plain.test"), "<s@plain.test>", code=451, enhanced="4.7.5")
        world.resolver = Unbound(world.folder, world.port, world.zones)
        until("an answer", lambda: attempt(c, message(keyring, "plain.test")) == 250, AGAIN)


# ---- a name server that may say anything ----

@pytest.fixture
def server():
    """It knows nothing yet."""
    s = NameServer({})
    yield s
    s.close()


def ask(hopseal, server, policy=DEFER, **dns):
    """A daemon that asks it."""
    relay = hopseal("inbound", policy=policy, start=False)
    relay.conf["dns"] = dict({"resolver": "127.0.0.1:%d" % server.port, "trust_anchor": "none", "timeout": 10000}, **dns)
    return relay.start()


KEY = "e._domainkey.evil.test"


def loop(key):
    return {KEY: [cname("k2._domainkey.evil.test")], "k2._domainkey.evil.test": [cname(KEY)]}


def chain(key):
    names = [KEY] + ["c%d.evil.test" % i for i in range(100)]
    return dict({name: [cname(after)] for name, after in zip(names, names[1:])}, **{names[-1]: key.record})


def chain_in_one_answer(key):
    names = [KEY] + ["c%d.evil.test" % i for i in range(100)]
    whole = [cname(after, name=name) for name, after in zip(names, names[1:])] + [txt(key.record, name=names[-1])]
    return {name: reply(whole[at:]) for at, name in enumerate(names)}


def long_dname(key):
    """What it leads to would have more than 255 octets."""
    long = ".".join(["d" * 63] * 3 + ["d" * 61])
    return {KEY: [record(DNAME, wire(long), name="_domainkey.evil.test"), txt(key.record)]}


def split(text):
    """One string an octet, and an empty one behind each."""
    return list(itertools.chain.from_iterable((octet, b"") for octet in (text[at:at + 1].encode() for at in range(len(text)))))


# What the name of the key has, or a function of the key that gives all names; then the answer to mail, and how many questions that took.
SAID = {
    "a key": (lambda key: [txt(key.record)], 250, 1),
    "an alias": (lambda key: {KEY: [cname("k.other.test")], "k.other.test": [txt(key.record)]}, 250, 2),
    "255 strings and more": (lambda key: [txt(split(key.record + ";" + " " * 200))], 250, 2),
    "64 KiB of strings": (lambda key: [txt(key.record + "; n=" + "n" * 63000)], 250, 2),
    "64 KiB that are no key": (lambda key: [txt("x" * 64000)], "syntax", 2),
    "thousands of records": (lambda key: [txt("n%d" % i) for i in range(3000)], 550, 2),
    "two keys": (lambda key: [txt(key.record), txt(key.record + ";")], 550, 1),
    "255 empty strings": (lambda key: [txt([b""] * 255)], "syntax", 1),
    "NUL": (lambda key: [txt(key.record.replace("p=", "p=\0"))], "syntax", 1),
    "octets of eight bits": (lambda key: [txt(key.record + "\xff\xfe")], "syntax", 1),
    "quotes and backslashes": (lambda key: [txt(key.record.replace("p=", 'p="\\'))], "syntax", 1),
    "records of another type": (lambda key: reply([record(A, b"\x7f\0\0\1")]), 550, 1),
    "records of another name": (lambda key: reply([txt(key.record, name="e._domainkey.victim.test")]), 550, 20),
    "no strings at all": (lambda key: [record(16, b"")], 451, 20),
    "a string that ends behind its record": (lambda key: [record(16, b"\xffshort")], 451, 20),
    "an alias of itself": (lambda key: [cname(KEY)], 451, 20),
    "a loop of aliases": (loop, 451, 20),
    "a chain of 100 aliases": (chain, 451, 20),
    "a chain of 100 aliases in one answer": (chain_in_one_answer, 451, 24),     # each question by UDP, then by TCP
    "a DNAME to a name too long": (long_dname, 451, 20),
    "a failure": (lambda key: reply(rcode=SERVFAIL), 451, 20),
    "a refusal": (lambda key: reply(rcode=REFUSED), 451, 20),
    "no such name": (lambda key: reply(authority=[soa("evil.test")], rcode=NXDOMAIN), 550, 1),
    "nothing": (lambda key: None, 451, 20),
}
TEXTS = {451: "public key e could not be fetched", "syntax": "public key e has a syntax error"}


@pytest.mark.parametrize("said", SAID)
def test_what_a_server_says_of_a_key(hopseal, sink, server, keyring, said):
    """Each way to say what is no key ends with the verdict that is due to it, after few questions, and costs no other name anything."""
    make, want, most = SAID[said]
    got = make(keyring.key("evil.test"))
    server.records.update(got if isinstance(got, dict) else {KEY: got})
    server.records["e._domainkey.a.test"] = keyring.key("a.test").record
    relay = ask(hopseal, server, timeout=900 if said == "nothing" else 20000)
    with relay.connect() as c:
        code = 550 if want == "syntax" else want
        c.deliver(message(keyring, "evil.test"), "<s@evil.test>", code=code, text=TEXTS.get(want))
        asked = server.asked
        c.deliver(message(keyring, "a.test"))
    assert 1 <= asked <= most, server.names


def test_a_name_that_grows_ends(hopseal, sink, server, keyring):
    """_domainkey.evil.test is a DNAME of what is below itself. Whatever libunbound makes of it, it is not much, and no key."""
    def below(name, kind):
        if not name.endswith("._domainkey.evil.test"):
            return reply(rcode=NXDOMAIN)
        head = name[:-len("._domainkey.evil.test")]
        return reply([record(DNAME, wire("growing-and-growing._domainkey.evil.test"), name="_domainkey.evil.test"),
                      cname(head + ".growing-and-growing._domainkey.evil.test")])
    server.other = below
    server.records["e._domainkey.a.test"] = keyring.key("a.test").record
    relay = ask(hopseal, server)
    with relay.connect() as c:
        c.to_data("<s@evil.test>")
        c.send(message(keyring, "evil.test") + b".\r\n")
        assert c.reply().code in (451, 550)
        assert server.asked <= 20, server.names
        c.deliver(message(keyring, "a.test"))


@pytest.mark.slow
def test_an_answer_that_drips_is_a_451_in_time(hopseal, sink, server, keyring):
    server.records[KEY] = keyring.key("evil.test").record
    server.tcp = "drip"
    relay = ask(hopseal, server, timeout=1500)
    with relay.connect() as c:
        c.deliver(message(keyring, "evil.test"), "<s@evil.test>", code=451, text="could not be fetched")
    relay.event("dns_timeout")


@pytest.mark.slow
def test_a_slow_server_is_waited_for(hopseal, sink, server, keyring):
    """As long as a question may take, not longer."""
    server.records[KEY] = keyring.key("evil.test").record
    server.delay_s = 1.5
    relay = ask(hopseal, server)
    with relay.connect() as c:
        c.deliver(message(keyring, "evil.test"), "<s@evil.test>")


# ---- signed zones ----

def forge(zone, key):
    zone.records[KEY] = [txt(key.record)] + zone.forged(KEY, [txt(key.record)], 1)


def expired(zone, key):
    zone.put(KEY, txt(key.record), valid=(1000000000, 1500000000))


def stranger(zone, key):
    zone.records[KEY] = [txt(key.record), Zone(zone.name).sign(KEY, [txt(key.record)])]


SIGNED = {
    "rightly": (lambda zone, key: zone.put(KEY, txt(key.record)), 250),
    "with the strings of another record": (lambda zone, key: zone.records.update({KEY: [txt(key.record), zone.sign(KEY, [txt(key.record + ";")])]}), 451),
    "with forged octets": (forge, 451),
    "until some years ago": (expired, 451),
    "by a stranger's key": (stranger, 451),
    "not at all": (lambda zone, key: zone.records.update({KEY: [txt(key.record)]}), 451),
    "absent without a proof": (lambda zone, key: None, 451),
    "absent with a proof": (lambda zone, key: zone.absent(KEY, 1), 550),
}


@pytest.mark.parametrize("how", SIGNED)
def test_a_zone_signed(hopseal, sink, server, keyring, room, how):
    """What does not validate is neither a key nor the absence of one (RFC 4035 5.5)."""
    zone = Zone("evil.test")
    make, code = SIGNED[how]
    make(zone, keyring.key("evil.test"))
    server.records = dict(zone.records, **{"e._domainkey.a.test": keyring.key("a.test").record})
    relay = ask(hopseal, server, trust_anchor=zone.anchor(room))
    with relay.connect() as c:
        c.deliver(message(keyring, "evil.test"), "<s@evil.test>", code=code)
        c.deliver(message(keyring, "a.test"))
    if code == 451:
        assert relay.event("dns_bogus")["name"] == KEY


def cpu_ms(pid):
    """What a process has used so far."""
    with open("/proc/%d/stat" % pid, encoding="ascii") as f:
        fields = f.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000 // os.sysconf("SC_CLK_TCK")


def many_signatures(zone, key):
    zone.records[KEY] = [txt(key.record)] + zone.forged(KEY, [txt(key.record)], 500)


def many_keys_and_signatures(zone, key):
    zone.collide(500)
    many_signatures(zone, key)


def great_exponents(zone, key):
    zone.great_exponents(10)
    zone.records[KEY] = [txt(key.record)] + zone.forged_rsa(KEY, [txt(key.record)], 100)


def many_hashes(zone, key):
    zone.absent(KEY, 500)


@pytest.mark.parametrize("costly", [many_signatures, many_keys_and_signatures, great_exponents, many_hashes])
def test_a_zone_that_costs_much(hopseal, sink, server, keyring, room, costly):
    """KeyTrap (CVE-2023-50387) and the hashes of NSEC3 (CVE-2023-50868): each name of it costs little, and nobody else waits for that."""
    zone = Zone("evil.test")
    costly(zone, keyring.key("evil.test"))
    server.records = dict(zone.records, **{"e._domainkey.a.test": keyring.key("a.test").record})
    relay = ask(hopseal, server, trust_anchor=zone.anchor(room))
    (resolver,) = relay.pids("resolver")
    before = cpu_ms(resolver)
    with relay.connect() as c, relay.connect() as other:
        c.to_data("<s@evil.test>")
        c.send(message(keyring, "evil.test") + b".\r\n")
        other.deliver(message(keyring, "a.test"))
        got = c.reply()
    used = cpu_ms(resolver) - before
    # A zone of too many hashes is taken for one that is not signed (RFC 9276 3.2): its key is absent.
    assert got.code == (550 if costly is many_hashes else 451), got
    print("%s: %d ms of the resolver's processor, %d questions" % (costly.__name__, used, server.asked))
    assert used < 10000, "%d ms" % used     # half a second, on a machine of our day with nothing else to do


# ---- servers and resolvers that go away and come back ----

class Away:
    """Some keys of a domain, of which nobody has asked for any yet; every name can be made to fail and be as ever again."""

    def __init__(self, server, key, n):
        self.server = server
        self.texts = []
        for i in range(n):
            own = copy.copy(key)
            own.selector = "e%d" % i
            server.records[own.name] = key.record
            self.texts.append(seal(BASE.replace(b"s@a.test", b"s@evil.test"), own, mf="<s@evil.test>"))
        self.records = server.records

    def fail(self, how):
        """how: a Reply, or None for silence."""
        self.server.records, self.server.other = {}, lambda name, kind: how

    def recover(self):
        self.server.records = self.records

    def send(self, c, i):
        c.to_data("<s@evil.test>")
        c.send(self.texts[i] + b".\r\n")

    def code(self, c, i):
        self.send(c, i)
        return c.reply().code


@pytest.mark.slow
@pytest.mark.parametrize("how, anchored", [(None, False), (reply(rcode=SERVFAIL), False), (reply(rcode=SERVFAIL), True)],
                         ids=["silent", "failing", "failing, with an anchor to be read again"])
def test_after_an_outage_verdicts_are_soon_as_ever(hopseal, sink, server, keyring, room, how, anchored):
    """Names that were asked for meanwhile as well as others."""
    away = Away(server, keyring.key("evil.test"), 5)
    anchor = os.path.join(room, "anchor")
    with open(anchor, "w", encoding="ascii") as f:
        f.write("other.test. IN DS 4711 13 2 " + "ab" * 32 + "\n")
    relay = ask(hopseal, server, timeout=1000, trust_anchor=anchor if anchored else "none")
    with relay.connect() as c:
        assert away.code(c, 0) == 250
        away.fail(how)
        for i in (1, 2, 1, 2, 3):
            assert away.code(c, i) == 451
        away.recover()
        until("verdicts on all", lambda: [away.code(c, i) for i in range(5)] == [250] * 5, AGAIN)
    relay.event("dns_temperror" if how else "dns_timeout")


SESSIONS = 40


@pytest.fixture
def crowd(hopseal, server, keyring):
    """A daemon with that many sessions, each of which waits for a key that nobody tells."""
    away = Away(server, keyring.key("evil.test"), SESSIONS)
    relay = ask(hopseal, server, timeout=20000)
    away.fail(None)
    clients = [relay.connect() for _ in range(SESSIONS)]
    for i, c in enumerate(clients):
        away.send(c, i)
    until("a question for each", lambda: len(server.names) >= SESSIONS)
    yield relay, away, clients
    for c in clients:
        c.close()


def kill(relay, n):
    """Kills the resolver that is there; back when there is another. n: the how-manieth time."""
    (pid,) = relay.pids("resolver")
    os.kill(pid, signal.SIGKILL)
    relay.event("resolver_died", n)
    until("another resolver", lambda: relay.pids("resolver") not in ([], [pid]))


def all_alive(away, clients):
    """Every session takes another message, and there is a verdict."""
    for i, c in enumerate(clients):
        assert away.code(c, i) == 250


def test_a_resolver_killed_under_load_costs_nothing(sink, crowd):
    """Its successor is asked all that it owed."""
    relay, away, clients = crowd
    away.recover()
    kill(relay, 1)
    for c in clients:
        c.want(250)
    all_alive(away, clients)
    relay.event("dns_down")
    relay.event("dns_up")


@pytest.mark.slow
def test_a_resolver_killed_twice_costs_answers_but_no_session(sink, crowd):
    """What two resolvers did not survive is not asked of a third."""
    relay, away, clients = crowd
    kill(relay, 1)
    relay.event("dns_down")
    until("every question once more", lambda: all(away.server.names["e%d._domainkey.evil.test" % i] >= 2 for i in range(SESSIONS)))
    kill(relay, 2)
    for c in clients:
        c.want(451, "4.7.5")
    away.recover()
    all_alive(away, clients)


@pytest.mark.slow
def test_a_resolver_that_stands_still_costs_answers_but_no_session(hopseal, sink, server, keyring):
    away = Away(server, keyring.key("evil.test"), SESSIONS)
    relay = ask(hopseal, server, timeout=1500)
    (pid,) = relay.pids("resolver")
    os.kill(pid, signal.SIGSTOP)
    clients = [relay.connect() for _ in range(SESSIONS)]
    try:
        for i, c in enumerate(clients):
            away.send(c, i)
        with relay.connect() as other:      # the worker itself stands by
            other.deliver(BASE, code=550, text="")
        for c in clients:
            c.want(451, "4.7.5")
        relay.event("dns_timeout")
        os.kill(pid, signal.SIGCONT)
        for i, c in enumerate(clients):
            until("a verdict", lambda: away.code(c, i) == 250, AGAIN)
    finally:
        for c in clients:
            c.close()
