/*
 * diff.h - which lines of an older list stand, in the same order, in a newer one, chosen so that a recipe is short: what
 * counts is the octets that it takes, not how many lines are equal. Pure.
 *
 * What both lists begin and end with is taken first, then what only one of them has is put aside. A small rest is
 * solved exactly; a large one is cut at lines that both have once (the heaviest chain of them), then by Myers' O(ND)
 * from both ends; when LIMIT_DIFF_STEPS are done, the rest is matched greedily. Memory is linear in lines.
 */
#ifndef AUTH_DKIM2_DIFF_H
#define AUTH_DKIM2_DIFF_H

#include "auth/dkim2/make.h"

struct diff_run {
	size_t before, now, n; /* n lines from index `before` on in the older list are those from `now` on in the newer */
};

/*
 * diff_runs
 * In:    number: that of now[0] in a recipe, which is dearer the longer it is
 * Out:   ascending in both lists, in the arena; with n_out 0 nothing is worth a copy
 * Fault: false: no memory
 */
bool diff_runs(struct arena *a, const struct slice *before, size_t before_n, const struct slice *now, size_t now_n,
    uint64_t number, struct make_work *work, struct diff_run **runs_out, size_t *n_out) HS_MUST_USE;

/* Octets of a literal in the JSON of a recipe, more or less: what is no UTF-8 is counted as if it were. */
uint64_t diff_literal_octets(struct slice line);

#endif
