"""
TLS records made by hand, for what no library sends: a client that shakes hands in order, then takes the keys from the key log and
writes whatever is to be written. AES-256-GCM of libcrypto; TLS 1.2 (RFC 5246, 5288) and 1.3 (RFC 8446).
"""
import ctypes
import ctypes.util
import hashlib
import hmac
import ssl
import struct
import tempfile

from dialogue import Tls, check

ALERT, HANDSHAKE, DATA = 21, 22, 23
KEY_UPDATE_REQUESTED, KEY_UPDATE = b"\x18\0\0\1\1", b"\x18\0\0\1\0"
# A ClientHello of TLS 1.2 with one cipher and nothing else: the beginning of a renegotiation.
CLIENT_HELLO = b"\1\0\0\x29\3\3" + bytes(32) + b"\0\0\2\xc0\x2c\1\0"

crypto = ctypes.CDLL(ctypes.util.find_library("crypto"))
crypto.EVP_CIPHER_CTX_new.restype = crypto.EVP_aes_256_gcm.restype = ctypes.c_void_p
GET_TAG = 0x10


def gcm(key, nonce, data, aad):
    ctx, n = ctypes.c_void_p(crypto.EVP_CIPHER_CTX_new()), ctypes.c_int()
    out, tag = ctypes.create_string_buffer(len(data) + 16), ctypes.create_string_buffer(16)
    good = crypto.EVP_EncryptInit_ex(ctx, ctypes.c_void_p(crypto.EVP_aes_256_gcm()), None, key, nonce)
    good &= crypto.EVP_EncryptUpdate(ctx, None, ctypes.byref(n), aad, len(aad))
    good &= crypto.EVP_EncryptUpdate(ctx, out, ctypes.byref(n), data, len(data))
    good &= crypto.EVP_EncryptFinal_ex(ctx, out, ctypes.byref(n))
    good &= crypto.EVP_CIPHER_CTX_ctrl(ctx, GET_TAG, 16, tag)
    crypto.EVP_CIPHER_CTX_free(ctx)
    assert good == 1
    return out.raw[:len(data)] + tag.raw


def expand(secret, label, n):
    """HKDF-Expand-Label, RFC 8446 7.1; n is no more than a digest."""
    info = struct.pack("!HB", n, 6 + len(label)) + b"tls13 " + label + b"\0"
    return hmac.digest(secret, info + b"\1", "sha384")[:n]


def prf(secret, label, seed, n):
    """RFC 5246 5."""
    out, a = b"", label + seed
    while len(out) < n:
        a = hmac.digest(secret, a, hashlib.sha384)
        out += hmac.digest(secret, a + label + seed, hashlib.sha384)
    return out[:n]


class Records:
    """A session on a socket that waits for a ClientHello."""

    def __init__(self, sock, authority, version, host="mx.c.test"):
        self.sock, self.version, self.seq = sock, version, 0
        context = ssl.create_default_context(cafile=authority.root)
        context.minimum_version = context.maximum_version = version
        context.set_ciphers("ECDHE+AESGCM+AES256")
        with tempfile.NamedTemporaryFile("r") as log:
            context.keylog_filename = log.name
            self.tls = Tls(context, host)
            heard = b""
            while not self.tls.shake():
                sock.sendall(self.tls.outgoing.read())
                more = sock.recv(65536)
                check(more, "the server ended the handshake")
                heard += more
                self.tls.incoming.write(more)
            sock.sendall(self.tls.outgoing.read())
            secrets = {line.split()[0]: [bytes.fromhex(word) for word in line.split()[1:]] for line in log.read().splitlines() if line[0] != "#"}
        check("AES" in self.tls.end.cipher()[0] and "256" in self.tls.end.cipher()[0], self.tls.end.cipher())
        if version == ssl.TLSVersion.TLSv1_3:
            self.new_keys(secrets["CLIENT_TRAFFIC_SECRET_0"][1])
        else:
            random, master = secrets["CLIENT_RANDOM"]
            block = prf(master, b"key expansion", heard[11:43] + random, 72)      # heard: record, handshake, version, random
            self.key, self.iv, self.seq = block[:32], block[64:68], 1             # Finished was the first

    def new_keys(self, secret):
        self.secret, self.seq = secret, 0
        self.key, self.iv = expand(secret, b"key", 32), expand(secret, b"iv", 12)

    def make(self, kind, content):
        """The next record; after a key update the keys are new."""
        number = struct.pack("!Q", self.seq)
        self.seq += 1
        if self.version != ssl.TLSVersion.TLSv1_3:
            sealed = number + gcm(self.key, self.iv + number, content, number + struct.pack("!BHH", kind, 0x303, len(content)))
            return struct.pack("!BHH", kind, 0x303, len(sealed)) + sealed
        head = struct.pack("!BHH", DATA, 0x303, len(content) + 17)
        nonce = bytes(a ^ b for a, b in zip(self.iv, b"\0\0\0\0" + number))
        out = head + gcm(self.key, nonce, content + bytes([kind]), head)
        if kind == HANDSHAKE and content[:1] == b"\x18":
            self.new_keys(expand(self.secret, b"traffic upd", 48))
        return out

    def flood(self, kind, content, times):
        """Sends it so often, or until the server ends; True if it did."""
        try:
            for done in range(0, times, 100):
                self.sock.sendall(b"".join(self.make(kind, content) for _ in range(min(100, times - done))))
        except (ConnectionResetError, BrokenPipeError):
            return True
        return False

