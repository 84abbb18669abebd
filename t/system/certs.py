"""Certificates for tests, made by openssl(1): a root of our own, and servers it vouches for or not."""
import os
import ssl
import subprocess

HOST = "mx.c.test"


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
        self.root = os.path.join(folder, "root.pem")
        self.root_key = os.path.join(folder, "root.key")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650",
                "-subj", "/CN=root of tests", "-keyout", self.root_key, "-out", self.root)

    def server(self, names=("DNS:" + HOST,), kind=("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), days=30, own=False, subject=HOST):
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
            openssl(*(request + ["-out", base + ".csr"]))
            openssl("x509", "-req", "-in", base + ".csr", "-CA", self.root, "-CAkey", self.root_key, "-days", str(days),
                    "-set_serial", str(self.count), "-extfile", extensions, "-out", cert.file)
        os.chmod(cert.key, 0o600)
        return cert


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
