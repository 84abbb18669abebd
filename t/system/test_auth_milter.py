"""
Whole messages with client, envelope and zone, and what Authentication Milter said of them (t/data/auth-milter): the results of spf, dkim and dmarc
are ours too. Its other methods are its own, or historic: dkim-adsp (RFC 5617), senderid (RFC 4406).
"""
import json
import os
import re

import pytest

from judging import suite, suites, zones
from keys import write_answers
from mail import values
from relay import ctl

METHODS = ("spf", "dkim", "dmarc")
# Its configuration takes this client for another one.
MAPPED = {"4.3.2.1": ("74.125.82.171", "mail-we0-f171.google.com")}


def index():
    try:
        return suites.index("auth-milter")
    except suites.Missing:
        return []


@pytest.fixture(scope="module")
def dns(tmp_path_factory):
    zone = zones.from_bind(suite(lambda: [suites.read("auth-milter", "zonefile", "r", encoding="utf-8")])[0])
    return write_answers(str(tmp_path_factory.mktemp("milter") / "dns.json"), zone)


def wanted(row):
    """method -> the results that it told; of DKIM, one a signature, none left out."""
    told = re.sub(rb"(?<!\r)\n", b"\r\n", suites.read("auth-milter", row["expected"]))
    (text,) = values(told[told.index(b"DATA") + 6:].split(b"\r\n\r\n")[0] + b"\r\n\r\n", "Authentication-Results")
    out = {method: re.findall(r"(?:;|\A)\s*%s=(\w+)" % method, text) for method in METHODS}
    # Results none are left out where it is told to hide them, and all but dkim for a client on the same machine.
    if "hide_none" in row["config"]:
        out = {method: found or ["none"] for method, found in out.items()}
    return {method: found for method, found in out.items() if found}


@pytest.mark.parametrize("row", [pytest.param(row, id=row["name"].replace(".smtp.eml", "")) for row in index()])
def test_results_are_those_of_authentication_milter(dns, row):
    client, helo = MAPPED.get(row["client_ip"], (row["client_ip"], row["client_name"]))
    mail_from = "<%s>" % re.sub(r"[<>]| .*", "", row["mail_from"])
    done = ctl("verify", "--json", "--now", "none", "--dns", dns, "--client-ip", client, "--helo", helo, "--mail-from", mail_from,
               *[word for rcpt in row["rcpt_to"] for word in ("--rcpt", "<%s>" % rcpt.strip("<>"))],
               os.path.join(suites.folder("auth-milter"), row["file"]))
    assert done.returncode in (0, 1, 65, 75), done
    told = json.loads(done.stdout)
    ours = {"spf": [told["spf"]["result"]], "dkim": [s["result"] for s in told["dkim"]] or ["none"], "dmarc": [told["dmarc"]["result"]]}
    want = wanted(row)
    assert want
    assert {method: ours[method] for method in want} == want
