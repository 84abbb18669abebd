/*
 * input.h - the signature input of a hop (spec section 5.2), built from the received octets with blanking in place.
 * Pure. For this room only.
 *
 * Hops are asked for in ascending order; what two of them share is hashed once: instances always, complete seals as
 * long as the highest instance stays the same (instances stand in front of the seals, so a new one moves all behind it).
 */
#ifndef AUTH_DKIM2_INPUT_H
#define AUTH_DKIM2_INPUT_H

#include "auth/dkim2/chain.h"

struct input {
	const struct chain *chain;
	struct digest *instances; /* m = 1..instances_in */
	uint64_t instances_in;
	struct digest *prefix;    /* those of prefix_m, then seals 1..seals_in complete */
	uint64_t prefix_m;
	size_t seals_in;
	struct buf octets;        /* of input_octets() */
};

/* Borrows the chain, which must not be broken. */
void input_init(struct input *in, const struct chain *c);
void input_release(struct input *in);

/* SHA-256 of the input of seals[index]; false: no memory. */
bool input_digest(struct input *in, size_t index, unsigned char out[32]) HS_MUST_USE;

/*
 * The input of seals[index] itself, for what signs it and not its digest. Made from the first field on each time;
 * borrowed until the next call. False: no memory.
 */
bool input_octets(struct input *in, size_t index, struct slice *out) HS_MUST_USE;

/*
 * For sealing: all instances and seals of the chain in a digest that the caller goes on with and frees. `instance` is
 * a new Message-Instance field behind those of the chain, NULL: none. NULL: no memory.
 */
struct digest *input_whole(struct input *in, const struct field *instance);

#endif
