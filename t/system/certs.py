"""Certificates for tests, made by openssl(1): a root of our own, and servers it vouches for or not."""
import os
import ssl
import subprocess

HOST = "mx.c.test"
EC = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")


def openssl(*args):
    done = subprocess.run(["openssl"] + list(args), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    assert done.returncode == 0, done.stdout.decode("utf-8", "replace")


class Cert:
    def __init__(self, file, key):
        self.file, self.key = file, key


class Authority:
    """A root in a folder. server(...) gives certificate and key files, the key readable by its owner only."""

    def __init__(self, folder):
        self.folder = folder
        self.count = 0
        self.made = {}
        self.root = os.path.join(folder, "root.pem")
        self.root_key = os.path.join(folder, "root.key")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650",
                "-subj", "/CN=root of tests", "-keyout", self.root_key, "-out", self.root)

    def server(self, names=("DNS:" + HOST,), kind=EC, days=30, own=False, subject=HOST, more=()):
        """more: lines of extensions beside subjectAltName."""
        self.count += 1
        base = os.path.join(self.folder, "server%d" % self.count)
        cert = Cert(base + ".pem", base + ".key")
        request = ["req", "-newkey"] + list(kind) + ["-nodes", "-subj", "/CN=" + subject, "-keyout", cert.key]
        if names:
            request += ["-addext", "subjectAltName=" + ",".join(names)]
        if own:
            openssl(*(request + ["-x509", "-days", str(days), "-out", cert.file]))
        else:
            extensions = base + ".ext"
            with open(extensions, "w", encoding="ascii") as f:
                f.write("subjectAltName=%s\n" % ",".join(names) if names else "basicConstraints=CA:FALSE\n")
                f.writelines(line + "\n" for line in more)
            openssl(*(request + ["-out", base + ".csr"]))
            openssl("x509", "-req", "-in", base + ".csr", "-CA", self.root, "-CAkey", self.root_key, "-days", str(days),
                    "-set_serial", str(self.count), "-extfile", extensions, "-out", cert.file)
        os.chmod(cert.key, 0o600)
        return cert

    def chain(self, n):
        """A certificate at the end of n from the root, all with one key."""
        cert = Cert(os.path.join(self.folder, "chain.pem"), os.path.join(self.folder, "chain.key"))
        issuer, issuer_key, text = self.root, self.root_key, ""
        openssl("genpkey", "-algorithm", *EC, "-out", cert.key)
        for k in range(n - 1, -1, -1):
            file = os.path.join(self.folder, "link%d.pem" % k)
            more = "basicConstraints=critical,CA:TRUE" if k else "subjectAltName=DNS:" + HOST
            openssl("req", "-x509", "-new", "-key", cert.key, "-subj", "/CN=%d" % k, "-CA", issuer, "-CAkey", issuer_key, "-days", "30",
                    "-config", os.devnull, "-addext", more, "-out", file)
            with open(file, encoding="ascii") as f:
                text = f.read() + text
            issuer, issuer_key = file, cert.key
        with open(cert.file, "w", encoding="ascii") as f:
            f.write(text)
        return cert

    def odd(self, what):
        """What a server should not show, and good, which it may; made once."""
        if what not in self.made:
            self.made[what] = {
                "good": self.server,
                "expired": lambda: self.server(days=-1),
                "self-signed": lambda: self.server(own=True),
                "another-name": lambda: self.server(("DNS:other.test",)),
                "only-a-common-name": lambda: self.server(()),
                "nul-in-a-name": lambda: self.server((), more=["subjectAltName=DER:" + names_der((HOST + "\0.evil.test").encode()).hex(":")]),
                "wildcard-inside": lambda: self.server(("DNS:mx.*.test",)),
                "critical-extension": lambda: self.server(more=["1.2.3.4.5=critical,ASN1:UTF8String:x"]),
                "chain-of-100": lambda: self.chain(100),
            }[what]()
        return self.made[what]


def names_der(name):
    """subjectAltName with one DNS name of any octets."""
    return bytes([0x30, len(name) + 2, 0x82, len(name)]) + name


def trust(authority, version=None):
    """The context of a client that believes the root."""
    context = ssl.create_default_context(cafile=authority.root)
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    if version:
        context.minimum_version = context.maximum_version = version
    return context


def served(cert):
    """The context of a server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert.file, cert.key)
    return context
