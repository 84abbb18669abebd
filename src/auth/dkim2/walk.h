/*
 * walk.h - down the instances: has each state of the content the hashes its Message-Instance names, and who put its
 * From there? Pure. For this room only. Source: spec sections 10.8 and 10.9
 *
 * The state of instances[m - 1 - s] is what s recipes make of the content as received.
 */
#ifndef AUTH_DKIM2_WALK_H
#define AUTH_DKIM2_WALK_H

#include "auth/dkim2/chain.h"
#include "auth/dkim2/undo.h"

/* What the walk came to, for an instance. */
struct walk_finding {
	enum dkim2_state state;
	struct reason reason;
};

struct walk {
	struct arena *arena;
	const struct chain *chain;
	const struct header *header;
	struct undo *undo;     /* NULL: no recipe, so every instance is the content as received */
	struct walk_finding *found; /* in step with chain.instances; state DKIM2_NONE: not come to */
	size_t lowest;         /* index of the instance where it ends */
	bool header_only;      /* set by the caller after walk_start(): there is no body, and none is held against anything */
	unsigned digests;      /* bits of the hashes of the received body that are needed */
	unsigned char headers[DIGEST_ALGS][DIGEST_OCTETS]; /* without undo */
	size_t reached;        /* instances whose content is known to be theirs, from the newest on; after walk_end() */
	uint64_t steps;        /* and literals of all recipes read */
	bool lost;             /* a recipe said that a body cannot be had (up to -08) */
	bool memory_lost;
};

/*
 * walk_start - recipes read, hash names looked at, headers undone and hashed
 * In:    a chain that is not broken, with an instance at least; borrowed, like the header. lowest: index of the last
 *        instance that is looked at, 0 for all
 * Out:   found[] of what can be said without the body: recipes that are none, hash names that leave no group to pass
 */
void walk_start(struct walk *w, struct arena *a, const struct chain *c, const struct header *h, size_t lowest,
    uint64_t ceiling_octets);
/* In place of the ceiling, before the body. */
void walk_ceiling(struct walk *w, uint64_t octets);
void walk_release(struct walk *w);

/* Octets of the body as received, in step with the caller's own digests of it. */
void walk_body(struct walk *w, struct slice octets);
/*
 * walk_end - holds each state against its instance, from the newest down, up to the first that does not match (10.8)
 * In:    bodies[alg] for the bits of w->digests
 */
void walk_end(struct walk *w, const struct slice bodies[DIGEST_ALGS]);
/* walk_body() and walk_end() for a body that is at hand whole; its digests are made here. False: no memory. */
bool walk_whole(struct walk *w, struct slice body) HS_MUST_USE;

/*
 * walk_from - is the From of each reached state Authentic for the hop that brought it? (10.9)
 * Out:   index of the first hop for which it is not, newest first, or chain.n
 */
size_t walk_from(struct walk *w);

/* Fills dkim2_instance.changed and .body_lines of those reached. False: no memory. */
bool walk_changes(struct walk *w) HS_MUST_USE;

#endif
