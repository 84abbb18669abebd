"""
OpenDKIM's library as a signer and a judge, in a process of its own: what a message does to it ends no test.

    libopendkim.py sign|judge      reads a JSON object from standard input, writes a JSON list
        now                        the clock of sign; that of judge is the machine's
        zone                       file of key records, a line each: name, blank, text (judge)
        messages                   {"message": base64} (judge); and key (PEM), d, s, h, canon, algorithm, length (sign)
    sign gives the DKIM-Signature field, base64; judge a list of [d, s, word, why], a signature each, top to bottom.
"""
import base64
import ctypes
import json
import sys

LIBRARY = "libopendkim.so.11"
# DKIM_OP_SETOPT; DKIM_OPTS_*
SET, SIGN_HEADERS, QUERY_METHOD, QUERY_INFO, FIXED_TIME = 1, 4, 6, 7, 8
CANON = {"simple": 0, "relaxed": 1}
ALGORITHM = {"rsa-sha1": 0, "rsa-sha256": 1, "ed25519-sha256": 2}
# DKIM_STAT_NOSIG; DKIM_SIGFLAG_PASSED, DKIM_SIGBH_MISMATCH
NOSIG = 2
PASSED, MISMATCH = 0x04, 1
# DKIM_SIGERROR_* by what RFC 8601 2.7.1 calls them; all others are permerror.
WORDS = {24: "temperror", 28: "fail", 0: "fail"}


def library():
    lib = ctypes.CDLL(LIBRARY)
    p = ctypes.c_void_p
    for name, result, args in (
            ("dkim_init", p, [p, p]), ("dkim_options", ctypes.c_int, [p, ctypes.c_int, ctypes.c_int, p, ctypes.c_size_t]),
            ("dkim_verify", p, [p, ctypes.c_char_p, p, p]),
            ("dkim_sign", p, [p, ctypes.c_char_p, p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int, ctypes.c_int,
                              ctypes.c_ssize_t, p]),
            ("dkim_chunk", ctypes.c_int, [p, ctypes.c_char_p, ctypes.c_size_t]), ("dkim_eom", ctypes.c_int, [p, p]),
            ("dkim_free", ctypes.c_int, [p]), ("dkim_getsighdr_d", ctypes.c_int, [p, ctypes.c_size_t, p, p]),
            ("dkim_getsiglist", ctypes.c_int, [p, p, p]), ("dkim_sig_getflags", ctypes.c_uint, [p]), ("dkim_sig_getbh", ctypes.c_int, [p]),
            ("dkim_sig_geterror", ctypes.c_int, [p]), ("dkim_sig_geterrorstr", ctypes.c_char_p, [ctypes.c_int]),
            ("dkim_sig_getdomain", ctypes.c_char_p, [p]), ("dkim_sig_getselector", ctypes.c_char_p, [p]), ("dkim_geterror", ctypes.c_char_p, [p])):
        f = getattr(lib, name)
        f.restype, f.argtypes = result, args
    return lib


class Library:
    def __init__(self, now, zone=None):
        self.lib = library()
        self.handle = self.lib.dkim_init(None, None)
        self.kept = []
        self.option(FIXED_TIME, ctypes.c_uint64(now))
        if zone:
            self.option(QUERY_METHOD, ctypes.c_int(1))
            self.lib.dkim_options(self.handle, SET, QUERY_INFO, zone.encode(), len(zone))

    def option(self, name, value):
        self.kept.append(value)
        assert self.lib.dkim_options(self.handle, SET, name, ctypes.byref(value), ctypes.sizeof(value)) == 0, name

    def names(self, name, names):
        array = (ctypes.c_char_p * (len(names) + 1))(*names, None)
        self.kept.append(array)
        assert self.lib.dkim_options(self.handle, SET, name, array, ctypes.sizeof(ctypes.c_void_p)) == 0, name

    def feed(self, dkim, message):
        """The status of the first step that is not well."""
        return self.lib.dkim_chunk(dkim, message, len(message)) or self.lib.dkim_chunk(dkim, None, 0)

    def judge(self, message):
        status = ctypes.c_int()
        dkim = self.lib.dkim_verify(self.handle, b"m", None, ctypes.byref(status))
        try:
            code = self.feed(dkim, message)
            if code == NOSIG:
                return []
            testing = ctypes.c_bool()
            last = self.lib.dkim_eom(dkim, ctypes.byref(testing))
            found, n = ctypes.POINTER(ctypes.c_void_p)(), ctypes.c_int()
            if self.lib.dkim_getsiglist(dkim, ctypes.byref(found), ctypes.byref(n)) != 0 or n.value == 0:
                return [] if last in (0, NOSIG) else [["", "", "permerror", "status %d %s" % (last, self.lib.dkim_geterror(dkim))]]
            return [self.word(found[k], code or last) for k in range(n.value)]
        finally:
            self.lib.dkim_free(dkim)

    def word(self, sig, status):
        error = self.lib.dkim_sig_geterror(sig)
        flags, bh = self.lib.dkim_sig_getflags(sig), self.lib.dkim_sig_getbh(sig)
        names = [(f(sig) or b"").decode("latin-1") for f in (self.lib.dkim_sig_getdomain, self.lib.dkim_sig_getselector)]
        if flags & PASSED and bh == 0:
            return names + ["pass", ""]
        why = "body hash mismatch" if bh == MISMATCH else (self.lib.dkim_sig_geterrorstr(error) or b"?").decode()
        return names + ["fail" if bh == MISMATCH else WORDS.get(error, "permerror"), "%s (status %d)" % (why, status)]

    def sign(self, row):
        self.names(SIGN_HEADERS, [n.encode() for n in row["h"]])
        key = row["key"].encode()
        status = ctypes.c_int()
        canon = row["canon"]
        dkim = self.lib.dkim_sign(self.handle, b"m", None, key, row["s"].encode(), row["d"].encode(), CANON[canon[0]], CANON[canon[1]],
                                  ALGORITHM[row["algorithm"]], -1 if row["length"] is None else row["length"], ctypes.byref(status))
        assert dkim, status.value
        try:
            code = self.feed(dkim, base64.b64decode(row["message"])) or self.lib.dkim_eom(dkim, None)
            if code:
                return None
            at, n = ctypes.c_char_p(), ctypes.c_size_t()
            assert self.lib.dkim_getsighdr_d(dkim, len("DKIM-Signature: "), ctypes.byref(at), ctypes.byref(n)) == 0
            value = at.value.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            return base64.b64encode(b"DKIM-Signature: " + value + b"\r\n").decode()
        finally:
            self.lib.dkim_free(dkim)


def main():
    order = json.load(sys.stdin)
    one = Library(order["now"], order.get("zone"))
    if sys.argv[1] == "sign":
        json.dump([one.sign(row) for row in order["messages"]], sys.stdout)
    else:
        json.dump([one.judge(base64.b64decode(row["message"])) for row in order["messages"]], sys.stdout)


if __name__ == "__main__":
    main()
