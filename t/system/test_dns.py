"""Key records by a real resolver: unbound with a zone that is signed and one that is not."""
import os
import subprocess

import pytest

from mail import BASE, values
from peers import Unbound, need
from seal import seal
from wait import until

DEFER = [{"name": "t", "when": ["dkim2 = temperror"], "then": "defer 451 4.7.5 {dkim2.reason}"},
         {"name": "p", "when": ["dkim2 != pass"], "then": "refuse 550 5.7.1 {dkim2.reason}"}]


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
        until("an answer", lambda: attempt(c, message(keyring, "plain.test")) == 250)
    assert len(sink.wait(1)) == 1


def test_a_resolver_that_is_away_is_a_451(hopseal, world, keyring):
    relay = start(hopseal, world, timeout=2000)
    world.stop()
    with relay.connect() as c:
        c.deliver(message(keyring, "plain.test"), "<s@plain.test>", code=451, enhanced="4.7.5")
    world.resolver = Unbound(world.folder, world.port, world.zones)
