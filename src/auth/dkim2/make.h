/*
 * make.h - a recipe made from two messages: how to get from `now` back to `before`. Pure. Source: spec section 6.4.
 */
#ifndef AUTH_DKIM2_MAKE_H
#define AUTH_DKIM2_MAKE_H

#include "auth/dkim2/recipe.h"
#include "mail/header.h"

/* Content: a header, and the body as runs of octets that follow each other (a run may end inside a line). */
struct content {
	const struct header *header;
	const struct slice *body;
	size_t runs;
};

enum make_state {
	MAKE_DONE,
	MAKE_SAME,   /* canonically there is nothing to undo */
	MAKE_BIG,    /* no recipe within the limits (json_max, steps, names) was found */
	MAKE_NEVER,  /* no recipe can say it: a literal would hold a bare CR or LF, or what differs is no field */
	MAKE_MEMORY
};

struct make_work { /* what a test of linear cost counts, and what is left of the work that may be done; zeroed by the caller */
	uint64_t lines, steps; /* lines and fields looked at, steps of the diff */
	bool capped;           /* the diff gave up and a simpler one was used */
};

/*
 * make_header - steps for each name whose fields differ canonically; linear in fields, also of thousands of equal ones
 * make_body   - steps for the body: common head and tail first, then a diff of bounded work and linear memory, which
 *               falls back to a simpler one, then to literals. Only canonical lines are counted (6.3: no empty ones at the end).
 * In:    work: of both together when it is handed from one to the other
 * Out:   borrowed from `before` and `now`, steps in the arena; untouched but for MAKE_DONE. A name of which nothing was
 *        there before has no steps, as a body that was empty.
 */
enum make_state make_header(struct arena *a, const struct dkim2_draft *draft, const struct header *before, const struct header *now,
    const struct recipe_field **fields_out, size_t *n_out, struct make_work *work);
enum make_state make_body(struct arena *a, const struct slice *before, size_t before_runs, const struct slice *now, size_t now_runs,
    struct recipe_steps *out, struct make_work *work);

/* Both; MAKE_BIG also when recipe_write() of it would pass json_max octets. */
enum make_state make_recipe(struct arena *a, const struct dkim2_draft *draft, const struct content *before, const struct content *now,
    size_t json_max, struct recipe *out);

#endif
