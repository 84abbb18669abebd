/*
 * engines.h - all mechanisms on one message, in one pass: which of them run, what they ask, what they found. Pure.
 *
 *   new -> octets of the body -> end -> step until it is true; questions are answered in between, at any time after new
 */
#ifndef AUTH_ENGINES_H
#define AUTH_ENGINES_H

#include "auth/findings.h"

/* Bits of what is wanted. DMARC needs DKIM and SPF: they run then as well. */
enum { ENGINE_DKIM2 = 1, ENGINE_DKIM = 2, ENGINE_ARC = 4, ENGINE_SPF = 8, ENGINE_DMARC = 16, ENGINES_ALL = 31 };
enum { ENGINES = 5 };
extern const char *const engine_names[ENGINES]; /* in the order of the bits */

struct engines_terms {
	unsigned run;
	int64_t now;                 /* seconds since 1970; negative: time checks off */
	/* DKIM2 */
	const struct dkim2_envelope *envelope; /* NULL: not known */
	unsigned draft;              /* 6..9 */
	int64_t future_s;
	uint64_t undo_octets;        /* of earlier bodies, hashed at most; 0: LIMIT_UNDO */
	/* DKIM */
	size_t signatures_max;
	bool trust_l;
	/* SPF: without a client it does not run, nor does DMARC count it */
	bool client_known;
	unsigned char client[16];    /* IPv4 as ::ffff:a.b.c.d */
	struct slice helo;
	struct slice mail_from;      /* the mailbox without brackets; empty: null path */
	struct slice hostname;
	bool explain;
	/* DMARC: from_domains() */
	const struct slice *from;
	size_t from_count;
	bool from_single;
	/* Body digests wanted besides those the engines need. */
	unsigned also_simple;        /* bits (1u << enum digest_alg) */
	bool also_relaxed;           /* sha256: for a signature of ours */
};

struct engines;

/*
 * engines_new - reads what the header has for each mechanism; the first questions stand in engines_asks() then
 * In:    all borrowed until engines_release(), but the terms
 * Out:   NULL: no memory
 */
struct engines *engines_new(struct arena *a, const struct header *h, const struct engines_terms *terms);
/* Before the arena is cleared. NULL is fine. */
void engines_release(struct engines *e);

/* What is to be answered. */
struct asks *engines_asks(struct engines *e);
/* The body as it arrives, any split. */
void engines_body(struct engines *e, struct slice octets);
void engines_body_end(struct engines *e);
/* Goes on with the answers there are. True: the body has ended and all is found. */
bool engines_step(struct engines *e);

/* What was found so far, borrowed from the arena. */
const struct findings *engines_findings(const struct engines *e);
/* Of the body once it has ended; empty: not wanted. */
struct slice engines_simple(const struct engines *e, enum digest_alg alg);
struct slice engines_relaxed_sha256(const struct engines *e);
/* What each instance of a chain changed, for showing. False: no memory. */
bool engines_dkim2_changes(struct engines *e) HS_MUST_USE;

#endif
