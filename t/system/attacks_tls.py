"""The area tls of t/data/attacks.yaml: its words as attacks_prose.py has those of the others, and its scenes."""
import socket
import ssl
import struct
import threading

from attacks import BASE, MEASURED, Run, memory_kib
from certs import trust
from client import stuffed
from dialogue import Tls, check
from records import ALERT, CLIENT_HELLO, DATA, HANDSHAKE, KEY_UPDATE, KEY_UPDATE_REQUESTED, Records
from sink import DROP
from wait import DEADLINE, until

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
EXTENSIONS = b"250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 "

UPS = {
    'to STARTTLS: "220 go\\r\\n250-up.test\\r\\n250 AUTH PLAIN\\r\\n" in one segment, then a valid handshake':
        [("", {"starttls": b"220 go\r\n250-up.test\r\n250 AUTH PLAIN\r\n"}, {})],
    'one per run: no STARTTLS in EHLO; "454 no"; handshake reset; EHLO line "XXXXXXXA"': [
        ("not-offered", {"ehlo": EXTENSIONS + b"SIZE\r\n"}, {}), ("454", {"starttls": b"454 no\r\n"}, {}), ("reset", {"handshake": DROP}, {}),
        ("stripped", {"ehlo": EXTENSIONS + b"XXXXXXXA\r\n"}, {})],
    "presents each certificate in turn": [("", {}, {})],
}
REPLIES = {
    "554 5.5.0 and close, or 220 with the extra bytes dropped and the session torn down": [[(554, "5.5.0")]],
    "451 4.7.5 in verify mode; 250 in opportunistic mode": [[(451, "4.7.5")]],
    "503; 503; 503 or 502": [[(503, None)]],
}
CERTIFICATES = ("expired", "self-signed", "another-name", "only-a-common-name", "nul-in-a-name", "wildcard-inside", "critical-extension", "chain-of-100")


def hello(context):
    """The octets a client begins with."""
    tls = Tls(context, "mx.c.test")
    assert not tls.shake()
    return tls.outgoing.read()


# ---- runs ---------------------------------------------------------------------------------------------------------

def without(case, *ops):
    return [step for step in case.steps if not set(step) & set(ops)]


def runs_commands(case):
    yield Run(case, steps=without(case, "want"), stage="tls")


def either_way(player):
    """554; octet by octet STARTTLS is answered before more can come, and what then comes in clear is no handshake."""
    first = player.d.reply()
    player.heard.append(first)
    if not player.run.octetwise or not first or first.code != 220:
        return [[(554, "5.5.0")]]
    player.run.more["log"] = ["tls_handshake_failed"]
    return [[(220, None)]]


def runs_up(case):
    (up,) = case.texts("up")
    for name, actions, more in UPS[up]:
        yield Run(case, name, actions, stage="tls", **more)


def runs_certificates(case):
    assert case.row["what"] == ("Expired, self-signed, wrong name, name only in CN, NUL in a name, wildcard in a middle label, unknown critical extension, "
                                "16 KiB chain of 100 certificates."), case.row["what"]
    for name in CERTIFICATES:
        yield Run(case, name, steps=without(case, "up"), stage="verify-tls", certificate=name, sink=0)
        yield Run(case, name + "-may", steps=without(case, "up"), stage="may-tls", certificate=name, reply="250", sink=1, log=[])


def runs_notified(case):
    yield Run(case, stage="tls", over="starttls", reply=[[(250, None)], [(250, None)]])


def runs_truncated(case):
    begun = [[(250, None)], [(250, None)], [(354, None)]]
    yield Run(case, stage="tls", over="starttls", reply=begun)
    whole = case.steps[:2] + [{"send": "Subject: s\r\n\r\nwhole\r\n.\r\n"}] + case.steps[3:]
    yield Run(case, "whole", steps=whole, stage="tls", over="starttls", reply=begun + [[(250, None)]], sink=1, log=[])


GARBAGE = {
    "rdp": b"\x03\0\0\x13\x0e\xe0" + bytes(13),
    "sslv2": b"\x80\x2e\x01\0\x02\0\x15\0\0\0\x10\x01\0\x80" + bytes(34),
    "zeros": bytes(16384),
    "zeros-in-a-record": b"\x16\3\1\x40\0" + bytes(16384),
}


def runs_garbage(case):
    assert case.texts("host") == ["implicit TLS listener; one per run"]
    raw = {"stage": "tls", "listener": "implicit", "over": "raw", "banner": False, "reply": [], "sink": 0}
    yield Run(case, "http", steps=without(case, "host"), **raw)
    for name, octets in GARBAGE.items():
        yield Run(case, name, steps=[{"send": octets.decode("latin-1")}], **raw)


def runs_state(case):
    assert case.texts("host") == ["new run: EHLO, STARTTLS, handshake, then MAIL without a new EHLO"]
    first, second = {"stage": "tls", "sink": 0}, {"stage": "tls", "over": "starttls"}
    yield Run(case, "in-transaction", steps=case.steps[:2], **first)
    yield Run(case, "no-ehlo", steps=[{"send": "MAIL FROM:<s@a.test>\r\n"}], **second)
    yield Run(case, "twice", steps=case.steps[-2:], **second)


RUNS = {
    "tls-command-injection": runs_commands,
    "tls-response-injection": runs_up,
    "tls-downgrade-required": runs_up,
    "tls-bad-certificate": runs_certificates,
    "tls-close-notify-mid-bdat": runs_notified,
    "tls-truncation": runs_truncated,
    "tls-garbage-hello": runs_garbage,
    "tls-state-reset": runs_state,
}
REPLIES_OF = {"tls-command-injection": either_way}


# ---- acts and checks ----------------------------------------------------------------------------------------------

def notify_then_clear(player):
    player.d.tls.notify()
    player.d.flush(player.d.tls.outgoing.read())
    if not player.d.ended:
        player.d.flush(b"x")


ACTS = {("host", 'send TLS close_notify then the raw octet "x"'): notify_then_clear}


def none_taken(player):
    lines = [line for _, line in player.sink.commands.snapshot()[player.commands_mark:player.canary_from]]
    check(not [line for line in lines if line.upper().startswith(("MAIL", "RCPT", "DATA", "BDAT"))], "said in clear: %r" % lines)
    return 0


SINKS = {"no byte of envelope or content in clear": none_taken, "0 in verify mode": lambda player: 0}


# ---- scenes -------------------------------------------------------------------------------------------------------

def stalled(scene):
    """Three hundred that stop after their hello; a canary goes past them, and each ends at the limit."""
    check(scene.case.texts("load") == [{"conns": 5000, "kind": "stop after ClientHello"}])
    stage = scene.stage("own-tls", settings={"listener": {"implicit": {"tls": {"timeout": 5000}}}})
    stage.canary("implicit")
    worker = stage.worker()
    before = memory_kib(worker)
    octets, count = hello(stage.trust), 300
    held = []
    for _ in range(count):
        held.append(socket.create_connection(stage.relay.address("implicit"), DEADLINE))
        held[-1].sendall(octets)
    stage.canary("implicit")
    grown = memory_kib(worker) - before
    check(not MEASURED or grown * 5000 // count <= 256 * 1024, "%d KiB for %d handshakes" % (grown, count))
    stage.relay.event("tls_handshake_timeout", count)
    for s in held:
        try:
            while s.recv(65536):        # our own flight
                pass
        except ConnectionResetError:
            pass
        s.close()
    stage.canary("implicit")


FLOODS = (
    ("KeyUpdate that wants one back", TLS13, HANDSHAKE, KEY_UPDATE_REQUESTED, 10000), ("KeyUpdate", TLS13, HANDSHAKE, KEY_UPDATE, 10000),
    ("empty records", TLS13, DATA, b"", 100000), ("empty records of 1.2", TLS12, DATA, b"", 100000),
    ("renegotiation", TLS12, HANDSHAKE, CLIENT_HELLO, 10000),
    ("warnings", TLS13, ALERT, b"\1\x5a", 10000), ("warnings of 1.2", TLS12, ALERT, b"\1\x5a", 10000),
)


def turns(scene):
    scene.must("host", "10000 KeyUpdate requests with update_requested, then 100000 empty records")
    stage = scene.stage("tls")
    stage.canary("implicit")
    for name, version, kind, content, times in FLOODS:
        abuses = len(stage.relay.events("tls_abuse"))
        before = memory_kib(stage.worker())
        with socket.create_connection(stage.relay.address("implicit"), DEADLINE) as s:
            Records(s, stage.authority, version).flood(kind, content, times)
            stage.relay.event("tls_abuse", abuses + 1)
        stage.canary("implicit")
        grown = memory_kib(stage.worker()) - before
        check(not MEASURED or grown <= 64 + 384, "%s: memory grew by %d KiB" % (name, grown))


def offered(address, context, session=None):
    """(the session, was an old one taken up) of a handshake."""
    with socket.create_connection(address, DEADLINE) as raw, context.wrap_socket(raw, server_hostname="mx.c.test", session=session) as s:
        s.recv(1)       # what comes behind the handshake came before this
        return s.session, s.session_reused


def ticket_server(context, times):
    """Any server that hands out tickets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        for _ in range(times):
            raw, _ = listener.accept()
            with context.wrap_socket(raw, server_side=True) as s:
                s.sendall(b"x")
                s.recv(1)
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return listener, thread


def foreign_ticket(scene):
    """hopseal hands out none, so one that is good elsewhere is offered."""
    scene.must("host", "get a ticket on the listener without client certificates, offer it on the listener that requires them")
    stage = scene.stage("tls")
    for n, version in enumerate((TLS12, TLS13)):
        context = trust(stage.authority, version)
        session, _ = offered(stage.relay.address("implicit"), context)
        check(not session.has_ticket, "a ticket on the listener without client certificates")
        listener, thread = ticket_server(stage.served("good"), 2)
        session, reused = offered(listener.getsockname(), context)
        check(session.has_ticket and not reused, "no ticket of the other server")
        _, reused = offered(listener.getsockname(), context, session)
        check(reused, "the ticket is not good")
        thread.join()
        listener.close()
        refused = len(stage.relay.events("tls_handshake_failed"))
        try:
            offered(stage.relay.address("certified"), context, session)
            check(False, "a session without a certificate")
        except OSError:     # ssl.SSLError is one
            pass
        stage.relay.event("tls_handshake_failed", refused + 1)
        _, reused = offered(stage.relay.address("implicit"), context, session)
        check(not reused, "a foreign session was taken up")
        stage.relay.event("tls_ticket_foreign", n + 1)
    stage.canary("implicit")


def failures(stage):
    """Ten ways in which a handshake fails, each a function of a connection."""
    good = hello(stage.trust)
    bare = b"\x16\3\1\0\x2d" + CLIENT_HELLO

    def say(octets, reset=False):
        def act(s):
            s.sendall(octets)
            if reset:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return act

    def distrust(s):
        try:
            ssl.create_default_context().wrap_socket(s, server_hostname="mx.c.test")
            check(False, "it trusts a root of tests")
        except ssl.SSLCertVerificationError:
            pass
    return [say(b""), say(bytes(40)), say(b"GET / HTTP/1.0\r\n\r\n"), say(b"\x16\3\1\xff\xff"), say(b"\x15\3\3\0\2\2\x28"), say(good[:100]),
            say(good[:100], reset=True), say(bare.replace(b"\xc0\x2c", b"\0\0")), say(bare.replace(b"\1\0\0\x29\3\3", b"\1\0\0\x29\3\0")), distrust]


def error_queue(scene):
    check(scene.case.texts("load") == [{"conns": 200, "kind": "handshake failures of ten kinds"}])
    scene.must("host", "move 10 MiB through the healthy session in one-octet and in 16 KiB writes with a full socket buffer")
    stage = scene.stage("tls")
    d = stage.dialogue("annotate", "starttls")
    d.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    for line, code in ((b"EHLO t.a.test\r\n", 250), (b"MAIL FROM:<s@a.test>\r\n", 250), (b"RCPT TO:<r1@c.test>\r\n", 250), (b"DATA\r\n", 354)):
        d.send(line)
        check(d.reply().code == code, line)
    line = b"0123456789abcdef" * 60 + b"\r\n"
    message = BASE + line * (10 * 1024 * 1024 // len(line))
    octets = stuffed(message)
    mark, failed, kinds = len(stage.sink.transactions()), len(stage.relay.events("tls_handshake_failed")), failures(stage)
    d.push(octets[at:at + 1] for at in range(20000))
    step = (len(octets) - 20000) // 200 + 1
    for n in range(200):
        with socket.create_connection(stage.relay.address("implicit"), DEADLINE) as s:
            kinds[n % 10](s)
            at = 20000 + n * step
            d.push(octets[k:min(k + 16384, at + step)] for k in range(at, min(at + step, len(octets)), 16384))
    d.said += octets[-5:]
    got = d.reply()
    check(got and got.code == 250, got)
    d.close()
    stage.relay.event("tls_handshake_failed", failed + 200)
    until("the message", lambda: len(stage.sink.transactions()) > mark)
    check(stage.sink.transactions()[-1].content.endswith(message), "the content is another")
    stage.canary("implicit")


SCENES = {
    "tls-stalled-handshake": stalled,
    "tls-renegotiation-keyupdate": turns,
    "tls-ticket-cross-listener": foreign_ticket,
    "tls-error-queue": error_queue,
}
