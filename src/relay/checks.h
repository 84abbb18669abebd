/*
 * checks.h - the engines run on one message: keys asked for as soon as the header is whole, hashes as the body arrives.
 */
#ifndef RELAY_CHECKS_H
#define RELAY_CHECKS_H

#include "auth/dkim2/dkim2.h"
#include "net/ask.h"

struct checks;

struct checks_terms {
	unsigned draft;       /* 6..9 */
	unsigned also;        /* bits (1u << enum digest_alg) of body digests wanted besides those the engines need */
	uint64_t undo_octets; /* of earlier bodies, hashed at most */
};

/*
 * checks_new - starts on a whole header
 * In:    everything borrowed until checks_free(), but the terms
 * Out:   NULL: no memory
 */
struct checks *checks_new(struct arena *a, struct ask *ask, const struct header *h, const struct dkim2_envelope *envelope,
    struct dkim2_clock clock, const struct checks_terms *terms);
/* Cancels what is still asked. */
void checks_free(struct checks **c);
void checks_body(struct checks *c, struct slice octets);
/* The body is whole. True: the verdict is there; else `on` comes once the last key is. */
bool checks_end(struct checks *c, void (*on)(void *arg), void *arg);

const struct dkim2_verdict *checks_dkim2(const struct checks *c);
struct slice checks_body_sha256(const struct checks *c);
/* Empty when the chain has no use for it. */
struct slice checks_body_sha512(const struct checks *c);

#endif
