"""A client that submits mail: PLAIN and SCRAM-SHA-256 as a client has them (RFC 4616, 5802, 7677), and files of passwords."""
import base64
import hashlib
import hmac
import os
import shutil

from relay import USER, ctl


def b64(octets):
    return base64.b64encode(octets).decode("ascii")


def plain(user, password, acts_for=""):
    return b64(b"\0".join(part.encode("utf-8") for part in (acts_for, user, password)))


def mac(key, octets):
    return hmac.new(key, octets, "sha256").digest()


class Scram:
    """first(), final(server's first), then the server's word must be self.signed."""

    def __init__(self, user, password, nonce="rOprNGfwEbeRWgbNEkqO", gs2="n,,"):
        self.user, self.password, self.nonce, self.gs2 = user, password, nonce, gs2
        self.bare = "n=%s,r=%s" % (user.replace("=", "=3D").replace(",", "=2C"), nonce)

    def first(self):
        return (self.gs2 + self.bare).encode("utf-8")

    def final(self, challenge):
        said = dict(part.split("=", 1) for part in challenge.split(","))
        assert said["r"].startswith(self.nonce) and len(said["r"]) > len(self.nonce) + 20
        self.iterations, self.salt = int(said["i"]), said["s"]
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode("utf-8"), base64.b64decode(said["s"]), self.iterations)
        key = mac(salted, b"Client Key")
        without = "c=%s,r=%s" % (b64(self.gs2.encode("ascii")), said["r"])
        messages = ",".join((self.bare, challenge, without)).encode("utf-8")
        proof = bytes(x ^ y for x, y in zip(key, mac(hashlib.sha256(key).digest(), messages)))
        self.signed = "v=" + b64(mac(mac(salted, b"Server Key"), messages))
        return (without + ",p=" + b64(proof)).encode("ascii")


def authenticate(c, user, password, mech="PLAIN", code=235, enhanced=None):
    """On a client that has said EHLO inside TLS."""
    if mech == "PLAIN":
        return c.cmd("AUTH PLAIN " + plain(user, password), code, enhanced)
    scram = Scram(user, password)
    challenge = c.cmd("AUTH SCRAM-SHA-256 " + b64(scram.first()), 334).text
    c.send(b64(scram.final(base64.b64decode(challenge).decode("ascii"))).encode("ascii") + b"\r\n")
    if code != 235:
        return c.want(code, enhanced)
    assert base64.b64decode(c.want(334).text).decode("ascii") == scram.signed
    return c.cmd("", 235, "2.7.0")


def password_line(user, password, *options):
    done = ctl("password", *options, user, input=password.encode("utf-8") + b"\n")
    assert done.returncode == 0, done.stderr
    return done.stdout.decode("utf-8")


def password_file(room, users, name="users"):
    file = os.path.join(room, name)
    with open(file, "w", encoding="utf-8") as f:
        f.write("# who may send\n\n" + "".join(password_line(user, password, "--iterations", "4096") for user, password in users.items()))
    os.chmod(file, 0o600)
    if os.geteuid() == 0 and USER == "root":
        shutil.chown(file, USER)
    return file
