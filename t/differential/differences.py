"""
Where other verifiers say something else than we do, and which document is on our side. A row:

    what is odd about the message (look.py)     who sees it otherwise     what he says: pass, or not     why we say the opposite

What stands in no row is a fault: ours, or one that wants a row. The versions are those of Debian 12: dkimpy 1.1.4, OpenDKIM 2.11.0~beta2,
Mail::DKIM 1.20230212.
"""
ALL = ("dkimpy", "opendkim", "mail_dkim")

ROWS = [
    # --- algorithms and keys ---
    ("rsa-sha1", ALL, "pass", "RFC 8301 3.1: rsa-sha1 MUST NOT be used for signing or verifying"),
    ("short-key", ("mail_dkim",), "pass", "RFC 8301 3.2: signatures with RSA keys under 1024 bits MUST NOT be considered valid"),
    ("pkcs1-key", ("opendkim", "mail_dkim"), "not",
     "RFC 6376 3.6.1: p= is an RSAPublicKey of RFC 3447 A.1.1; the SubjectPublicKeyInfo that they want is what erratum 3017 allows beside it"),
    ("old-draft", ("mail_dkim",), "pass", "RFC 6376 3.5: v= must be there and be 1; Mail::DKIM also takes what drafts before RFC 4871 had"),
    ("domainkeys", ("mail_dkim",), "pass", "DomainKeys (RFC 4870) is historic, and no DKIM"),
    # --- what cannot be set ---
    ("x=", ("opendkim",), "not", "a signature that has expired by now: the clock of OpenDKIM's library cannot be set"),
    # --- l= ---
    ("l-partial", ALL, "pass", "RFC 6376 8.2: content behind l= is unsigned; result policy, unless trusted by configuration (6.1.3: verifiers MAY do so)"),
    # --- line ends: CRLF only (RFC 5321 2.3.8, RFC 6376 2.8) ---
    ("bare-lf", ("dkimpy",), "pass", "RFC 6376 2.8, 3.4: lines end in CRLF, a bare LF is content; dkimpy hashes it as CRLF"),
    ("bare-lf", ("opendkim",), "pass", "RFC 6376 2.8, 3.4: lines end in CRLF, a bare LF is content; OpenDKIM takes it for a line end or drops it"),
    ("bare-lf", ALL, "not", "the same, where the signer hashed the octets that were sent"),
    ("bare-cr", ("opendkim",), "pass", "RFC 6376 3.4: a bare CR is content; OpenDKIM drops it, so that one can be put in anywhere in a body"),
    ("bare-cr", ("dkimpy", "mail_dkim"), "pass", "RFC 6376 2.8: a CR before a CRLF is no white space; they drop it"),
    ("bare-cr", ("opendkim",), "not", "the same, where the signer hashed the octets that were sent"),
    ("odd-space", ("dkimpy", "opendkim"), "pass", "RFC 6376 2.8: WSP is SP and HTAB; they take VT and FF for white space as well"),
    ("open-end", ALL, "not",
     "RFC 6376 3.4.3, 3.4.4: a CRLF is added where the last line has none, and white space at its end goes first. Not possible over SMTP (DATA)"),
    ("open-end", ALL, "pass", "the same: the white space of a last line without CRLF is hashed by them"),
    # --- the field ---
    ("no-base64", ("opendkim", "mail_dkim"), "pass", "RFC 6376 6.1.1: values that are not of the grammar make a permerror; b= and bh= are base64 (2.10)"),
    ("loose-base64", ALL, "pass", "RFC 4648 3.5: a decoder may refuse bits left over that are not zero; so nobody can write a signature another way"),
    ("no-tag-list", ALL, "pass", "RFC 6376 6.1.1, 3.2: no tag list; octets that tag-value does not have: controls, 8-bit, a CR or LF that folds nothing"),
    ("b-first", ("dkimpy",), "not", "RFC 6376 3.2, 3.5: tags come in any order; dkimpy does not find a b= right behind the colon"),
    ("b-then-space", ("opendkim",), "not", "RFC 6376 3.2: FWS may stand between tag name and equals sign"),
    ("b-ends-in-space", ("dkimpy",), "not", "RFC 6376 3.7: the value of b= goes with all white space around it"),
    ("h-space-in-name", ("opendkim",), "pass", "RFC 6376 3.5: h= is a list of field names, which hold no white space; dkimpy folds long ones so"),
    ("h-empty-name", ALL, "pass", "RFC 6376 3.5: between two colons of h= stands a field name"),
    ("other-i", ("dkimpy",), "not", "RFC 6376 3.5, 2.11: i= is dkim-quoted-printable, =2E and white space in it are read; dkimpy takes it as it stands"),
    ("dotted-i", ALL, "pass", "RFC 6376 3.5: what stands behind the @ of i= is a domain name, which has no empty label"),
    # --- the header ---
    ("no-field", ("dkimpy", "opendkim"), "not",
     "a line that is no field: RFC 6376 5.3 leaves it to the verifier; unsigned, it does not touch the signature. By SMTP we refuse such a message"),
    ("blank-name", ALL, "not", "RFC 6376 3.4.2, RFC 5322 4.5: the obsolete form of a field has white space in front of the colon; by SMTP we refuse it"),
]


def row_for(traits, judge, passes):
    """The row that explains what this judge says: (trait, why). What it reads in a DKIM-Signature it reads in the fields of ARC."""
    judge = judge.replace("_arc", "")
    for trait, judges, word, why in ROWS:
        if trait in traits and judge in judges and (word == "pass") == passes:
            return trait, why
    return None


# Of SPF: a case, what we say, what pyspf says, which section decides it.
SPF_ROWS = [
    ("all/All test/0", "permerror", "permerror", "RFC 7208 4.6: a syntax error anywhere in the record makes it a permerror; the suite stops at all"),
    ("basic/Malformed Domains/2", "none", "pass", "RFC 7208 4.3: a domain of one label is none that can be checked"),
    ("basic/DNS Lookup Limits/5", "pass", "permerror",
     "RFC 7208 4.6.4: no more than 10 hosts of an mx are looked up; the client is the eighth of eleven, and pyspf looks at none of so many"),
    ("basic/DNS Lookup Limits/7", "fail", "permerror",
     "RFC 7208 5.5: a name behind ptr whose look-up gives nothing is skipped; 4.6.4 SHOULD limit void lookups, pyspf counts those of the names too"),
    ("examples/Simple Examples/11", "none", "none", "the case has no record for the domain of its sender"),
    ("examples/Simple Examples/12", "none", "none", "the case has no record for the domain of its sender"),
    ("ip/IPv6 match/3", "fail", "fail", "RFC 7208 5: an IPv4 client is compared with ip4 only, ::ffff:0:0/96 is one (5.6)"),
]


# Of senders made up: what pyspf says, some words of its reason, which section decides it.
SPF_REASONS = [
    ("permerror", "include has trivial recursion",
     "RFC 7208 5.2, 4.6.4: an include of the record itself ends at the limit of terms, if it is evaluated at all; pyspf refuses the record at sight"),
    ("permerror", "Void lookup limit", "RFC 7208 4.6.4 counts terms whose look-up gives nothing; pyspf also counts hosts of an mx and names of a ptr"),
    ("permerror", "MUST appear at most once", "RFC 7208 6: modifiers that are not known are ignored wherever and however often they stand"),
    ("temperror", "DNS timeout", "RFC 7208 5.5: a name behind ptr that cannot be looked up is skipped; 5.4: hosts of an mx are compared in order, up to a match"),
    ("temperror", "DNS servfail", "the same"),
]


def spf_reason_for(theirs, reason):
    """(words, why)."""
    for word, words, why in SPF_REASONS:
        if word == theirs and words in reason:
            return words, why
    return None


def spf_row_for(name, theirs):
    """(what we say, why)."""
    for case, ours, pyspf, why in SPF_ROWS:
        if case == name and pyspf == theirs:
            return ours, why
    return None
