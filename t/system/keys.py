"""Keys made by openssl, and the offline DNS file that publishes them (INTERFACE.md section 2)."""
import base64
import json
import os
import subprocess


class Key:
    def __init__(self, folder, domain, selector, kind, *options):
        self.domain, self.selector, self.kind = domain, selector, kind
        self.file = os.path.join(folder, "%s.%s.pem" % (domain, selector))
        options = ["-algorithm", "RSA" if kind == "rsa" else kind] + [word for option in options for word in ("-pkeyopt", option)]
        subprocess.run(["openssl", "genpkey", "-quiet", "-out", self.file] + options, check=True)
        os.chmod(self.file, 0o600)
        der = subprocess.run(["openssl", "pkey", "-in", self.file, "-pubout", "-outform", "DER"], check=True, stdout=subprocess.PIPE).stdout
        self.public = der[-32:] if kind == "ed25519" else der

    @property
    def name(self):
        return "%s._domainkey.%s" % (self.selector, self.domain)

    @property
    def record(self):
        return "v=DKIM1; k=%s; p=%s" % (self.kind, base64.b64encode(self.public).decode())


class Keyring:
    """Keys are made once a test run; selector e is Ed25519, r is RSA-2048, r512 and such are of other lengths, e3 has that exponent."""
    KINDS = {"e": ("ed25519",), "r": ("rsa", "rsa_keygen_bits:2048")}
    ODD = {"r512": ("rsa", "rsa_keygen_bits:512"), "r768": ("rsa", "rsa_keygen_bits:768"),
           "e3": ("rsa", "rsa_keygen_bits:2048", "rsa_keygen_pubexp:3")}

    def __init__(self, folder):
        self.folder = folder
        self.made = {}

    def key(self, domain, selector="e"):
        if (domain, selector) not in self.made:
            self.made[domain, selector] = Key(self.folder, domain, selector, *self.ODD.get(selector) or self.KINDS[selector[0]])
        return self.made[domain, selector]

    def answers(self):
        """What the DNS says: every key made so far."""
        return {key.name: [key.record] for key in self.made.values()}


def write_answers(path, answers):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(answers, f, indent=1)
    return path
