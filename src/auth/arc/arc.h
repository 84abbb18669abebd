/*
 * arc.h - ARC (RFC 8617): validate the chain of a message, add a set of ours. Pure.
 */
#ifndef AUTH_ARC_H
#define AUTH_ARC_H

#include "auth/asks.h"
#include "auth/canon.h"
#include "auth/fieldhash.h"
#include "base/limits.h"

enum arc_state { ARC_NONE, ARC_PASS, ARC_FAIL, ARC_PERMERROR, ARC_TEMPERROR };
const char *arc_state_name(enum arc_state state); /* "pass" */

enum arc_kind { /* what a finding is about: the log has an event for each */
	ARC_ABOUT_NOTHING,
	ARC_ABOUT_STRUCTURE, /* arc_structure: fields that form no sets from 1 to N, or more sets than there may be */
	ARC_ABOUT_CV,        /* arc_cv: a cv= that its place does not allow, or that says fail */
	ARC_ABOUT_SYNTAX,    /* arc_syntax: a field, or an algorithm that is not to be used */
	ARC_ABOUT_KEY,       /* arc_key: absent, unreachable, revoked, not for this */
	ARC_ABOUT_BODY,      /* arc_body_hash */
	ARC_ABOUT_SIGNATURE, /* arc_signature: wrong, or not of this time */
	ARC_ABOUT_LIMIT,     /* arc_limit: more than is looked at */
	ARC_KINDS
};

struct arc_set {
	uint64_t i;
	struct slice d, s;         /* of the seal, as written; empty: there is none, or it cannot be read */
	struct slice d_normal;     /* lower case A-labels, for comparing; empty: none */
	struct slice aar;          /* value of ARC-Authentication-Results behind "i=N;" */
	struct slice cv;           /* as written */
	enum arc_state ams, seal;  /* NONE: not checked; PERMERROR: there is no key for it */
};

struct arc_verdict {
	enum arc_state state;      /* none, pass, fail, or temperror: an answer of the DNS is missing and nothing is wrong without it */
	enum arc_kind about;
	struct slice reason;       /* our words; empty with pass and none */
	const struct arc_set *sets; /* ascending i; those that could be read */
	size_t n;
	uint64_t instances;        /* highest i, 0: none */
	uint64_t oldest_pass;      /* RFC 8617 5.2 step 5: the lowest i from which on all message signatures pass, 0: all; only with pass */
};

/* ---- validate ---- */

struct arc;

/*
 * arc_new - reads the fields; once they form a chain, asks for all keys: at most two questions a set
 * In:    index: of the header's fields, shared by engines; now: seconds since 1970, negative: time checks off
 * Out:   NULL: no memory. All is borrowed until the verdict.
 */
struct arc *arc_new(struct arena *a, struct asks *asks, const struct header *h, const struct field_index *index, int64_t now);
/* Tells the body hasher what it needs; before any octet of the body. */
void arc_body_wants(struct arc *c, struct canon_body *body);
/* Once the body is whole (canon_body_end()): false: keys are still awaited, call again when asks has more answers. True: the verdict is there. */
bool arc_step(struct arc *c, const struct canon_body *body);
const struct arc_verdict *arc_verdict(const struct arc *c);
void arc_release(struct arc *c); /* what is not in the arena */

/* ---- seal ---- two signatures of one key, one after the other: the message signature, then the seal that covers it */

struct arc_seal_conf {
	struct slice d, selector;
	enum key_type type;
	struct slice authres;      /* the value without the name of its field: "mx.example.net; dkim2=...; dkim=..." */
	struct slice body_sha256;  /* of the relaxed body, as it leaves */
	struct slice h;            /* names for the message signature, with colons between; empty: the usual ones */
	int64_t now;
};

struct arc_seal;

/*
 * arc_seal_new - the set that comes next, over the header as it leaves
 * In:    came: what arc_verdict() said of the message that came; conf: copied; all else, and what its slices hold, borrowed until the fields are there
 * Fault: UNSEALED with the reason: the chain had failed (RFC 8617 5.1: nobody has to seal, and what stands on a failed chain helps nobody),
 *        is not known yet (temperror), has as many sets as there may be, is not the one in h, or a field would be too long; INTERNAL: conf
 *        is not what it has to be; NO_MEMORY
 */
struct arc_seal *arc_seal_new(struct arena *a, const struct header *h, const struct field_index *index, const struct arc_verdict *came,
    const struct arc_seal_conf *conf, struct fault *f);
/* The digest to be signed next, 32 octets; NULL: none, the fields are ready. */
const unsigned char *arc_seal_digest(const struct arc_seal *s);
bool arc_seal_answer(struct arc_seal *s, struct slice signature) HS_MUST_USE; /* false: no memory */
/* ARC-Seal, ARC-Message-Signature, ARC-Authentication-Results, in that order, folded, CRLF included; empty: no memory, or still to be signed. */
struct slice arc_seal_fields(struct arc_seal *s);

#endif
