/*
 * seal_in.h - a hop in the making: what the files that make it share. Pure. For this room only.
 */
#ifndef AUTH_DKIM2_SEAL_IN_H
#define AUTH_DKIM2_SEAL_IN_H

#include "auth/dkim2/chain.h"
#include "auth/dkim2/make.h"

struct dkim2_seal {
	struct arena *arena;
	const struct dkim2_seal_conf *conf;
	struct chain chain; /* as it is below this hop; no seal in it: originate */
	size_t own_hops, own_instances; /* of those below: ours */
	struct slice d, nd; /* normal */
	uint64_t i, m;
	unsigned char header[DIGEST_ALGS][DIGEST_OCTETS];
	struct slice body[DIGEST_ALGS];
	struct slice recipe;   /* JSON; empty: none */
	struct slice instance; /* folded, empty: none is added */
	struct slice field;    /* the signature, once it was given out */
	struct dkim2_sign_ask *asks;
	struct slice *signatures;
};

/* Returns false, with the words in place of the table's. */
bool seal_refuse(struct fault *f, enum fault_code code, struct slice words);

/* What the draft leaves out of the header hash, for canon_header(). */
bool seal_left_out(struct slice name, const void *draft);

/*
 * seal_recipe - JSON that makes of `now` what came, read again and applied before anybody signs for it
 * In:    body_same: only the header differs
 * Out:   s->recipe; *from_out: a From field is among what changed
 * Fault: UNSEALED, NO_MEMORY
 */
bool seal_recipe(struct dkim2_seal *s, const struct header *now, bool body_same, bool *from_out, struct fault *f) HS_MUST_USE;

/* s->instance; false with UNSEALED (too long) or NO_MEMORY. */
bool seal_write_instance(struct dkim2_seal *s, struct fault *f) HS_MUST_USE;
/* signatures NULL: the signature input, in which each is empty. Appended to *out. */
void seal_write(struct dkim2_seal *s, struct buf *out, const struct slice *signatures);
/* SHA-256 of the signature input (spec 5.2): all instances, all seals, this one blanked. */
bool seal_input(struct dkim2_seal *s, unsigned char out[32], struct fault *f) HS_MUST_USE;

#endif
