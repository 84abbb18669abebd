/*
 * signatures.h - are the signatures of hops right? Which keys that takes is said first, the answers come from outside
 * (spec sections 2.4, 7 and 10.7). Pure. For this room only.
 *
 * init -> want each hop -> answer each ask -> judge the hops, in ascending order -> release.
 */
#ifndef AUTH_DKIM2_SIGNATURES_H
#define AUTH_DKIM2_SIGNATURES_H

#include "auth/dkim2/input.h"

struct signature_check;

struct signatures {
	struct arena *arena;
	const struct chain *chain;
	struct signature_check **checks; /* [hop][set]; NULL: of a hop that was not wanted */
	struct slice *asks;              /* names to ask TXT for, lower case, each once */
	struct keyrec **answers;
	size_t ask_count;
	struct input input;
	bool testing, strict;            /* a key in use says t=y, f=strict */
	bool memory_lost;                /* a judgement may look wrong because there was no room for it */
};

/* Borrows the chain, which must not be broken. False: no memory. */
bool signatures_init(struct signatures *v, struct arena *a, const struct chain *c) HS_MUST_USE;
/* Drops key records it holds; a zeroed one is fine. */
void signatures_release(struct signatures *v);

/* Plans the keys of seals[index]. The words for why it is a PERMERROR whatever they are, so that it is not judged; none: it is not. */
struct reason signatures_want(struct signatures *v, size_t index);

/* Holds rec for as long as it needs; each ask is answered once. */
void signatures_answer(struct signatures *v, size_t ask, struct keyrec *rec);

/* Of a hop that was wanted; *reason_out has no words with DKIM2_PASS, nor when memory was lost. */
enum dkim2_state signatures_judge(struct signatures *v, size_t index, struct reason *reason_out);

#endif
