"""The house rules: house.py LIBPURE SRC [sanitized]. Speaks TAP.

Pure code decides, I/O code carries out: the pure library may want nothing from the outside but what is listed here, changes no
global, and no room includes one that stands above it or beside it.
"""
import os
import re
import subprocess
import sys

# Undefined symbols of the pure library, each with the reason it is harmless.
ALLOWED = [
    (r"mem(cpy|move|set|cmp|chr|rchr|mem|pcpy)|str(n?len|n?cmp|n?casecmp|r?chr|spn|cspn|str|pbrk)|explicit_bzero|bcmp", "string.h; clang's memcmp for equality"),
    (r"malloc|calloc|realloc|reallocarray|free|qsort|bsearch", "memory, and order in it"),
    (r"v?snprintf", "formats into memory"),
    (r"__(mem(cpy|move|set)|v?snprintf|explicit_bzero)_chk|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_", "hardened forms of these"),
    (r"abort", "our own broken promise"),
    (r"inet_(pton|ntop)", "an address as text"),
    (r"(EVP|OPENSSL|OSSL|CRYPTO|BN|RSA|ERR|PEM|ASN1|X509|GENERAL_NAMES|i2d|d2i)_\w+|BIO_(new_mem_buf|free|new|s_mem|ctrl|read|write)", "libcrypto"),
    (r"json_\w+|jsonp_\w+", "jansson"),
    (r"idn2_\w+", "libidn2"),
    (r"__(asan|ubsan|sanitizer|sancov|afl)_\w+|__start_\w+|__stop_\w+|___asan\w+|_ZN?\w*", "the sanitizers' own"),
]
# ... and of these families what would reach the world all the same.
REFUSED = r"json_(load|dump)_?(file|f|fd|_callback)|json_loadf|json_loadfd|json_dumpf|json_dumpfd|\w+_fp|PEM_(read|write)_[A-Z]\w*"
REFUSED_BUT = r"PEM_(read|write)_bio_\w+"

# Objects that may hold a variable, and why.
VARIABLES = {
    "crypt_digest.c.o": "the digests, fetched from libcrypto once: 1.19 us each otherwise, and the same for ever after",
    "crypt_key.c.o": "whether libcrypto has ML-DSA-44, asked once: a fetch that fails walks all that it has each time",
}

# Floors, lowest first; rooms of one floor do not include each other.
FLOORS = [
    ["base"],
    ["crypt", "mail"],
    ["auth", "smtp", "policy", "rewrite", "route", "config"],
    ["out"],
    ["net"],
    ["state", "spool", "milter"],
    ["relay"],
    ["queue"],
    ["daemon"],
    ["ctl"],
    ["main"],
]
# One room, or one file, beside another, and why.
BESIDE = {
    ("config", "policy"): "a checked configuration holds its policies, parsed: no setting without its type",
    ("config", "route"): "and its tables",
    ("config/answers.h", "auth/dnsrec.h"): "what an answer of the DNS looks like has one form",
    ("route/mx.h", "auth/keyrec.h"): "and so has what came of a question",
}
# Headers of a library, and the only files that may include them.
ONLY = [
    (r"event2/|event\.h|evhttp|openssl/ssl\.h|openssl/bio\.h", r"net/", "libevent and libssl live in net/"),
    (r"openssl/", r"(crypt|net)/", "libcrypto lives in crypt/"),
    (r"unbound", r"daemon/resolver", "libunbound lives in daemon/resolver"),
    (r"libconfig", r"config/load", "libconfig lives in config/load"),
    (r"seccomp\.h|linux/(seccomp|landlock)", r"daemon/sandbox", "the sandbox lives in daemon/sandbox"),
]
# A file of ONLY's left side that may stand elsewhere, and why.
ONLY_BUT = {
}


def undefined(library):
    want, have = {}, set()
    out = subprocess.run(["nm", "-A", library], stdout=subprocess.PIPE, check=True, universal_newlines=True).stdout
    for line in out.splitlines():
        m = re.match(r"(.*):\s*(?:[0-9a-f]+)?\s+(\w) (\S+)$", line)
        if not m:
            continue
        where, kind, name = m.groups()
        if kind in "Uw":
            want.setdefault(name, set()).add(os.path.basename(where.split(":")[-1]))
        elif kind.isupper() or kind == "i":
            have.add(name)
    allowed = re.compile("|".join("(?:%s)" % pattern for pattern, _ in ALLOWED))
    bad = []
    for name in sorted(set(want) - have):
        fine = allowed.fullmatch(name) and not (re.fullmatch(REFUSED, name) and not re.fullmatch(REFUSED_BUT, name))
        if not fine:
            bad.append("%s, wanted by %s" % (name, ", ".join(sorted(want[name]))))
    return bad


def variables(library):
    """Objects with octets in a section that can be written. .data.rel.ro holds constants that the loader relocates."""
    out = subprocess.run(["readelf", "-SW", library], stdout=subprocess.PIPE, check=True, universal_newlines=True).stdout
    bad, where = [], "?"
    for line in out.splitlines():
        m = re.match(r"File: .*?([^/()\[\]]+\.o)[)\]]?$", line)
        if m:
            where = m.group(1)
        m = re.match(r"\s*\[\s*\d+\] (\.(?:data|bss|tdata|tbss)(?:\.\S*)?)\s+\S+\s+\S+\s+\S+\s+([0-9a-f]+)", line)
        if m and int(m.group(2), 16) and not m.group(1).startswith(".data.rel.ro"):
            if where not in VARIABLES:
                bad.append("%s: %s holds %d octets" % (where, m.group(1), int(m.group(2), 16)))
    return bad


def sources(src):
    for folder, _, names in sorted(os.walk(src)):
        for name in sorted(names):
            if name.endswith((".c", ".h", ".def")):
                path = os.path.join(folder, name)
                with open(path, encoding="utf-8") as f:
                    yield os.path.relpath(path, src), re.findall(r'^\s*#\s*include\s+([<"])([^>"]+)', f.read(), re.M)


def room(path):
    return path.split("/")[0] if "/" in path else "main"


def floors(src):
    floor = {name: n for n, names in enumerate(FLOORS) for name in names}
    bad = []
    for path, includes in sources(src):
        own = room(path)
        if own not in floor:
            bad.append("%s: room %s stands on no floor" % (path, own))
            continue
        for kind, what in includes:
            if kind == "<" or "/" not in what:
                continue
            other = room(what)
            if other == own:
                continue
            if other not in floor:
                bad.append("%s includes %s, which stands on no floor" % (path, what))
            elif floor[other] > floor[own]:
                bad.append("%s includes %s, which stands above it" % (path, what))
            elif floor[other] == floor[own] and (own, other) not in BESIDE and (path, what) not in BESIDE:
                bad.append("%s includes %s, which stands beside it" % (path, what))
    return bad


def libraries(src):
    bad = []
    for path, includes in sources(src):
        for kind, what in includes:
            for pattern, place, why in ONLY:
                if kind == "<" and re.match(pattern, what) and not re.match(place, path) and path not in ONLY_BUT:
                    bad.append("%s includes <%s>: %s" % (path, what, why))
                    break
    return bad


def main(library, src, sanitized):
    checks = [
        ("pure code wants nothing from the outside", lambda: undefined(library)),
        ("pure code holds no variable", None if sanitized else lambda: variables(library)),
        ("floors only look down", lambda: floors(src)),
        ("each library lives in its room", lambda: libraries(src)),
    ]
    print("1..%d" % len(checks))
    for n, (what, check) in enumerate(checks, 1):
        if check is None:
            print("ok %d - %s # SKIP sanitizers add their own" % (n, what))
            continue
        bad = check()
        for line in bad:
            print("# " + line)
        print("%sok %d - %s" % ("not " if bad else "", n, what))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], "sanitized" in sys.argv[3:])
