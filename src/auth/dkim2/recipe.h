/*
 * recipe.h - how to get from one instance of a message to the one before: the JSON of r=, read strictly (spec sections
 * 6.1 to 6.3) and written. Pure.
 *
 * Body lines are numbered from 1 at the top; fields of one name from 1 at the bottom.
 */
#ifndef AUTH_DKIM2_RECIPE_H
#define AUTH_DKIM2_RECIPE_H

#include "auth/dkim2/draft.h"
#include "base/buf.h"

struct recipe_step {
	const struct slice *texts; /* d, u: each without CRLF, at least one; NULL: a copy */
	uint64_t from, count;      /* copy: lines (or fields) from `from` on; literal: texts */
};

struct recipe_steps {
	const struct recipe_step *steps;
	size_t n;                  /* 0: nothing is left */
};

struct recipe_field {
	struct slice name;         /* lower case */
	struct recipe_steps steps; /* what they emit first is the lowest */
};

struct recipe {
	const struct recipe_field *fields; /* in the order of the recipe; each name once; names outside the header hash are left out (6.2) */
	size_t field_count;
	bool has_body;             /* false: the body stays as it is */
	bool body_lost;            /* b null: the body before cannot be had (up to -08; since -09 RECIPE_BAD) */
	struct recipe_steps body;
};

enum recipe_state {
	RECIPE_OK,
	RECIPE_BAD,    /* the draft does not allow it: PERMERROR contains invalid JSON */
	RECIPE_BIG,    /* above a limit of ours: the same answer, another note */
	RECIPE_MEMORY
};

/*
 * recipe_parse
 * In:    r= decoded; borrowed only during the call
 * Out:   lives in the arena, its texts too. Copies ascend and do not overlap (else RECIPE_BAD); whether they lie inside
 *        the content is seen when it is applied. why_out: a few words for the log when not RECIPE_OK.
 * Cost:  linear, in one pass; depth, members and steps are bounded (limits.h)
 */
enum recipe_state recipe_parse(struct arena *a, const struct dkim2_draft *draft, struct slice json, struct recipe *out, const char **why_out);

/* Steps and literals, as LIMIT_RECIPE_STEPS counts them. */
uint64_t recipe_size(const struct recipe *r);

/*
 * recipe_write - the JSON, without blanks, keys in lower case, d for what is UTF-8, u for what is not (draft -07)
 * Out:   appended; the buf's ceiling is the limit, buf_failed() tells
 */
void recipe_write(const struct recipe *r, struct buf *out);

#endif
