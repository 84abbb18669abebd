"""
Those who judge. Each is a function of (cases, zone, now): cases have .name and .message, the zone is that of INTERFACE (name -> list of TXT, or
{"error": ...}); it returns name -> list of (d, s, word, why), a signature each. What is not installed raises Absent.
"""
import base64
import concurrent.futures
import ctypes
import json
import logging
import os
import subprocess
import sys
import tempfile

from . import dkim1, zones

HERE = os.path.dirname(os.path.abspath(__file__))


# Where no time is to be checked: one after which the signatures of the suites were made and before which they expire, if they do.
SOME_TIME = 1550000000


class Absent(Exception):
    """Names what is not installed."""


class Folder:
    """Messages as files, and the zone in the forms that the judges read."""

    def __init__(self, cases, zone):
        self.folder = tempfile.TemporaryDirectory(prefix="hopseal-judges.")
        self.files = []
        for n, case in enumerate(cases):
            self.files.append(self.write("%05d.eml" % n, case.message))
        self.json = self.write("dns.json", json.dumps(zone).encode())

    def write(self, name, octets):
        path = os.path.join(self.folder.name, name)
        with open(path, "wb") as f:
            f.write(octets)
        return path

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.cleanup()


def texts(zone, name):
    row = zone.get(name.lower().rstrip("."))
    return row.get("TXT", row if "error" in row else []) if isinstance(row, dict) else row or []


def hopseal(ctl, only="dkim", threads=2):
    """Our own; `ctl` is t/system's. Of ARC the one result there is."""
    def judge(cases, zone, now):
        def one(pair):
            case, file = pair
            done = ctl("verify", "--only", only, "--json", "--now", str(now) if now is not None else "none", "--dns", folder.json, file)
            assert done.returncode in (0, 1, 65, 75), (case.name, done)
            told = json.loads(done.stdout)[only]
            if only == "arc":
                return case.name, [("", "", told["result"], told["reason"])]
            return case.name, [(s["d"], s["s"], s["result"], s["reason"]) for s in told]
        with Folder(cases, zone) as folder, concurrent.futures.ThreadPoolExecutor(threads) as pool:
            return dict(pool.map(one, zip(cases, folder.files)))
    return judge


def reference(cases, zone, now):
    """The verifier of the tests: no program's, and strict."""
    return {case.name: dkim1.verify(case.message, zone, now) for case in cases}


def dkimpy_modules():
    try:
        import dkim
        import nacl.signing  # noqa: F401
    except ImportError as e:
        raise Absent("python3-dkim and python3-nacl") from e
    logging.getLogger("dkimpy").disabled = True
    return dkim


class Clock:
    """The time of a module: what it imported as `time`."""

    def __init__(self, module, now):
        self.module, self.now = module, now

    def time(self):
        return self.now

    def __enter__(self):
        self.real, self.module.time = self.module.time, self

    def __exit__(self, *_):
        self.module.time = self.real


def dkimpy_dns(dkim, zone):
    def ask(name, timeout=5):
        rows = texts(zone, (name.decode("latin-1") if isinstance(name, bytes) else name))
        if isinstance(rows, dict):
            raise dkim.DnsTimeoutError(rows["error"])
        return rows[0].encode() if rows else None
    return ask


def dkimpy(cases, zone, now):
    dkim = dkimpy_modules()
    ask = dkimpy_dns(dkim, zone)

    def judge(message):
        try:
            d = dkim.DKIM(message)
        except dkim.DKIMException as e:
            return [("", "", "permerror", str(e))]
        except Exception as e:      # such as IndexError for a first line that is folded
            return [("", "", "permerror", "%s: %s" % (type(e).__name__, e))]
        out = []
        for at, (name, _) in enumerate([h for h in d.headers if h[0].lower() == b"dkim-signature"]):
            try:
                word, why = ("pass", "") if d.verify(at, ask) else ("fail", "")
            except dkim.DKIMException as e:
                word, why = "permerror", str(e)
            except Exception as e:
                word, why = "permerror", "%s: %s" % (type(e).__name__, e)
            tag = lambda n: (d.signature_fields.get(n, b"") if isinstance(d.signature_fields, dict) else b"").decode("latin-1")
            out.append((tag(b"d"), tag(b"s"), word, why))
        return out
    with Clock(dkim, now if now is not None else SOME_TIME):
        return {case.name: judge(case.message) for case in cases}


def opendkim(cases, zone, now):
    try:
        ctypes.CDLL("libopendkim.so.11")
    except OSError as e:
        raise Absent("libopendkim11") from e
    rows = "".join("%s %s\n" % (name, text) for name in zone for text in (texts(zone, name) if isinstance(texts(zone, name), list) else ()))
    with Folder([], zone) as folder:
        told = opendkim_process("judge", {"now": now or 0, "zone": folder.write("zone", rows.encode()),
                                          "messages": [{"message": base64.b64encode(case.message).decode()} for case in cases]})
    return {case.name: [tuple(row) for row in rows] for case, rows in zip(cases, told)}


def opendkim_process(verb, order):
    done = subprocess.run([sys.executable, os.path.join(HERE, "libopendkim.py"), verb], input=json.dumps(order).encode(), stdout=subprocess.PIPE,
                          check=True, timeout=600)
    return json.loads(done.stdout)


def mail_dkim_process(what, files, json_file, now):
    if subprocess.run(["perl", "-MMail::DKIM::ARC::Verifier", "-e1"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        raise Absent("libmail-dkim-perl")
    order = json_file + "\n" + "".join("%d %s\n" % (now if now is not None else SOME_TIME, file) for file in files)
    done = subprocess.run(["perl", os.path.join(HERE, "mail_dkim.pl"), what], input=order.encode(), stdout=subprocess.PIPE, check=True, timeout=600)
    return [json.loads(line.decode("latin-1")) for line in done.stdout.splitlines()]


def mail_dkim(cases, zone, now):
    with Folder(cases, zone) as folder:
        told = mail_dkim_process("dkim", folder.files, folder.json, now)
    words = {"invalid": "permerror"}
    return {case.name: [(d, s, words.get(word, word), why) for d, s, word, why in rows] for case, rows in zip(cases, told)}


def dkimpy_arc(cases, zone, now):
    """name -> (word, why). Nothing of ARC expires; a t= to come is none of its business either."""
    dkim = dkimpy_modules()
    ask = dkimpy_dns(dkim, zone)
    out = {}
    with Clock(dkim, 4000000000):
        for case in cases:
            try:
                word, _, why = dkim.ARC(case.message).verify(ask)
                out[case.name] = ((word or b"fail").decode(), why)
            except Exception as e:
                out[case.name] = ("fail", "%s: %s" % (type(e).__name__, e))
    return out


def mail_dkim_arc(cases, zone, now):
    with Folder(cases, zone) as folder:
        told = mail_dkim_process("arc", folder.files, folder.json, now)
    return {case.name: tuple(row) for case, row in zip(cases, told)}


def overall(rows):
    """pass if one passes, else the first word; none without a signature."""
    words = [word for _, _, word, _ in rows]
    return "pass" if "pass" in words else words[0] if words else "none"


def pyspf(questions, zone, now=None):
    """Of questions with .name, .client, .mail_from and .helo: name -> (word, why)."""
    try:
        import spf
    except ImportError as e:
        raise Absent("python3-spf") from e

    def look_up(name, kind, *_, **__):
        if kind == "SPF":
            return []
        try:
            records = zones.look_up(zone, name, kind)
        except zones.Silent as e:
            raise spf.TempError("DNS %s" % e) from e
        form = {"MX": lambda r: (int(r.split()[0]), r.split()[1]), "TXT": lambda r: [r.encode("utf-8")]}.get(kind, lambda r: r.rstrip("."))
        return [((name, kind), form(r)) for r in records]
    out = {}
    real, spf.DNSLookup = spf.DNSLookup, look_up
    try:
        for q in questions:
            try:
                word, _, why = spf.query(i=q.client, s=q.mail_from, h=q.helo, receiver="mx.receiver.example", strict=True).check()
            except Exception as e:
                word, why = "permerror", "%s: %s" % (type(e).__name__, e)
            out[q.name] = (word, why)
    finally:
        spf.DNSLookup = real
    return out
