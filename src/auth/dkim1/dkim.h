/*
 * dkim.h - DKIM signatures: verify those of a message, make ours. Pure; libcrypto for digests and signatures.
 * Source: RFC 6376, 8301 (algorithms, key sizes), 8463 (Ed25519), 8616 (internationalised domains)
 *
 * Verifying a message:
 *
 *   d = dkim_new(arena, asks, &header, index, &terms);      its keys are asked for now
 *   dkim_body_wants(d, body);                               before the first octet of the body
 *   ... canon_body_add(), canon_body_end() ...
 *   while (!dkim_step(d, body)) answers are put to asks;
 *   dkim_verdict(d)
 */
#ifndef AUTH_DKIM1_DKIM_H
#define AUTH_DKIM1_DKIM_H

#include "auth/asks.h"
#include "auth/fieldhash.h"

/* RFC 8601 2.7.1 */
enum dkim_state { DKIM_NONE, DKIM_PASS, DKIM_NEUTRAL, DKIM_POLICY, DKIM_FAIL, DKIM_PERMERROR, DKIM_TEMPERROR };
enum { DKIM_STATES = DKIM_TEMPERROR + 1 };
const char *dkim_state_name(enum dkim_state state); /* "pass" */

/* What a finding is about: the log has an event for each. */
enum dkim_kind {
	DKIM_ABOUT_NOTHING,
	DKIM_ABOUT_SYNTAX,      /* dkim_syntax: the field */
	DKIM_ABOUT_ALGORITHM,   /* dkim_algorithm: unknown, or one that is not to be used (rsa-sha1, RFC 8301 3.1) */
	DKIM_ABOUT_TIME,        /* dkim_time: expired, from the future, x= not behind t= */
	DKIM_ABOUT_PARTIAL,     /* dkim_l_partial: l= and the body goes on behind it */
	DKIM_ABOUT_LIMIT,       /* dkim_too_many: more signatures, or more different body hashes, than are looked at */
	DKIM_ABOUT_KEY,         /* dkim_key: absent, unreachable, revoked, not for this */
	DKIM_ABOUT_KEY_SYNTAX,  /* dkim_key_syntax */
	DKIM_ABOUT_KEY_REFUSED, /* dkim_key_refused: too short, too long, exponent */
	DKIM_ABOUT_BODY,        /* dkim_body_hash */
	DKIM_ABOUT_SIGNATURE,   /* dkim_signature */
	DKIM_KINDS
};

struct dkim_signature {
	struct slice d, s;      /* as written; empty: not there, or no domain or selector */
	struct slice i;         /* as written, white space dropped; empty: not there, or not readable */
	struct slice a;         /* as written; empty: not there, or not readable */
	struct slice d_normal;  /* lower case A-labels, for comparing; empty: none */
	struct slice b;         /* of the base64 of b=, without white space, the first 72 octets: header.b (RFC 6008) takes 8 of them */
	enum dkim_state state;
	enum dkim_kind about;
	struct slice reason;    /* our words, printable ASCII; empty with a pass */
	bool l_present;
	uint64_t l;             /* UINT64_MAX for more than fits */
	bool from_unsigned;         /* it passes, and does not cover every From field (RFC 6376 8.15) */
	bool testing;           /* the key says t=y; its result counts all the same (RFC 6376 3.6.1) */
	bool secure;            /* the key record is DNSSEC-validated */
	unsigned key_bits;      /* 0: not known */
	size_t field;           /* index in the header */
};

struct dkim_verdict {
	/* Of all: pass if one passes; else the most hopeful of temperror, fail, policy, neutral, permerror; none: no signature. */
	enum dkim_state state;
	/* Top to bottom; those above signatures_max too, as policy (DKIM_ABOUT_LIMIT), at most LIMIT_DKIM_SHOWN in all. */
	const struct dkim_signature *signatures;
	size_t n;
};

struct dkim_terms {
	size_t signatures_max;  /* looked at, from the top, at most LIMIT_DKIM_SHOWN; counted before any question to the DNS */
	bool trust_l;           /* a signature of a part of the body may pass; else it is policy (RFC 6376 8.2) */
	int64_t now;            /* seconds since 1970; negative: time checks are off */
	int64_t future_s;       /* how far ahead t= may be */
};

struct dkim;
/*
 * dkim_new - reads the DKIM-Signature fields and asks for the keys of those that may pass
 * In:    terms: copied; all else borrowed until the verdict was used; index is of the fields of h
 * Fault: NULL: no memory
 */
struct dkim *dkim_new(struct arena *a, struct asks *asks, const struct header *h, const struct field_index *index,
    const struct dkim_terms *terms);
/* Tells the body hasher what it needs: before any octet of the body. */
void dkim_body_wants(struct dkim *d, struct canon_body *body);
/*
 * dkim_step - judges what can be judged
 * In:    body: the same, after canon_body_end()
 * Out:   false: keys are awaited, call again when asks has more answers; true: the verdict is there
 */
bool dkim_step(struct dkim *d, const struct canon_body *body);
const struct dkim_verdict *dkim_verdict(const struct dkim *d);
/* What is not in the arena: nothing now. NULL is fine. */
void dkim_release(struct dkim *d);

/* ---- sign ---- */

struct dkim_sign_conf {
	struct slice d, selector;  /* normal */
	enum key_type type;        /* RSA or Ed25519 */
	struct slice body_sha256;  /* 32 octets: of the relaxed body, as it leaves; empty is a fault: it took no memory */
	int64_t now;               /* t= */
	int64_t expire_s;          /* from then on; 0: no x= */
};
struct dkim_sign;
/*
 * dkim_sign_new - a signature in the making, relaxed/relaxed; the same input gives the same octets
 *
 * h= names the fields RFC 6376 5.4.1 suggests, and what MIME is shown by, each as often as it stands there, and those that a message
 * may have once, which somebody could add or double, once more (5.4.2).
 *
 * In:    conf: copied; all else, and what its slices hold, borrowed until the field was given out
 * Fault: NULL: UNSEALED: it would be longer than LIMIT_DKIM2_FIELD_OUT; NO_MEMORY
 */
struct dkim_sign *dkim_sign_new(struct arena *a, const struct header *h, const struct field_index *index,
    const struct dkim_sign_conf *conf, struct fault *f);
const unsigned char *dkim_sign_digest(const struct dkim_sign *s); /* 32 octets, for sign_sha256() */
/* The whole folded field, CRLF included, lines within 78 octets where they can be. Empty: no memory. */
struct slice dkim_sign_field(struct dkim_sign *s, struct slice signature);

#endif
