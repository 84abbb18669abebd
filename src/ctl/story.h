/*
 * story.h - all that is told of a message, on a terminal or as a page: its verdict, hops and what they changed.
 */
#ifndef CTL_STORY_H
#define CTL_STORY_H

#include "ctl/change.h"
#include "ctl/judge.h"

struct story {
	const char *file; /* "-": standard input */
	struct ctl_message *message;
	const struct dkim2_verdict *verdict;
	const struct dkim2_envelope *envelope; /* NULL: none was given */
	struct dkim2_clock clock;
	struct past past;
	struct arena scratch; /* of one change */
};

/* False: no memory. story_end() in any case. */
bool story_begin(struct story *s, unsigned draft) HS_MUST_USE;
void story_end(struct story *s);

/* The instances that came with hop `index`, those above the hop before it; n of them from *first_out on. */
size_t story_instances(const struct story *s, size_t index, const struct dkim2_instance **first_out);

/* What an instance is, for people, and what it changed: *out, borrowed until the next call. False: nothing is known of that. */
const char *story_kind(const struct dkim2_instance *in);
bool story_change(struct story *s, const struct dkim2_instance *in, struct change *out);

/* Value of the first field of that name, unfolded; empty: there is none. */
struct slice story_field(const struct story *s, struct slice name);
/* "2026-10-01 00:00:00 UTC"; above the year 9999 the number says more. */
struct slice story_time(struct arena *a, uint64_t t);
/* "s1 rsa-sha256, s2 ed25519-sha256" of the seal of a hop, as a peer wrote it. */
struct slice story_sets(const struct story *s, const struct dkim2_hop *h);

/* Draws the tree on stdout. */
void story_tree(struct story *s);
/* The page. False: no memory. */
bool story_html(struct story *s, struct buf *out) HS_MUST_USE;

#endif
