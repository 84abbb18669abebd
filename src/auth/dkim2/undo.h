/*
 * undo.h - the earlier states of a message, by reference: recipes are composed before the body comes, so the body runs
 * through once, as it arrives, and every state is hashed on the way. Pure. Source: spec sections 6.2, 6.3 and 10.8.
 *
 * State 0 is the content as received, state k what the first k recipes make of it. No octet of the body is kept; a
 * state is a list of line ranges of the received body and literals of recipes.
 *
 * new -> header hashes at once -> body... -> end -> body hashes.
 */
#ifndef AUTH_DKIM2_UNDO_H
#define AUTH_DKIM2_UNDO_H

#include "auth/dkim2/recipe.h"
#include "crypt/digest.h"
#include "mail/header.h"

struct undo;

enum undo_result {
	UNDO_DONE,
	UNDO_LOST,   /* of a body only: a recipe on the way says that it cannot be had (up to -08) */
	UNDO_BAD,    /* a recipe on the way to this state copies what is not there */
	UNDO_LIMIT,  /* the ceiling on work is reached on the way to this state; the same for every split of the input */
	UNDO_MEMORY
};

/* A run of lines of a state. */
struct undo_piece {
	const struct slice *texts; /* literal lines; NULL: lines of the received body */
	uint64_t from;             /* the first of them, from 1 */
	uint64_t lines;            /* UINT64_MAX: up to the end */
};

/*
 * undo_new
 * In:    h as received and recipes, borrowed as long as the undo. recipes[k] leads from state k to state k + 1, NULL: the same
 *        content. algs[k] for k = 0..n: bits (1u << enum digest_alg) of the hashes wanted of state k. ceiling_octets:
 *        of the bodies of all states but state 0 together.
 * Out:   NULL: no memory. Digests are on the heap: undo_release().
 */
struct undo *undo_new(struct arena *a, const struct dkim2_draft *draft, const struct header *h, const struct recipe *const *recipes,
    const unsigned *algs, size_t n, uint64_t ceiling_octets);
/* Another ceiling, before the body comes. */
void undo_ceiling(struct undo *u, uint64_t ceiling_octets);
void undo_release(struct undo *u); /* NULL is fine */

/* The header hash of a state (section 4). 32 or 64 octets. */
enum undo_result undo_header_hash(struct undo *u, size_t state, enum digest_alg alg, unsigned char out[DIGEST_OCTETS]);

/* The body as it arrives, any split, and its end. The body of state 0 is not hashed here: its digests are the caller's. */
void undo_body(struct undo *u, struct slice octets);
void undo_end(struct undo *u);

/*
 * The body hash of state k > 0, after the end. *out empty with UNDO_DONE: the body is that of state 0, no recipe on the
 * way has a body part. Borrowed.
 */
enum undo_result undo_body_hash(struct undo *u, size_t state, enum digest_alg alg, struct slice *out);

/* Fields of one name (lower case) in a state, the lowest first. Literal ones have no `raw`. UNDO_BAD: out of range. */
enum undo_result undo_fields(const struct undo *u, size_t state, struct slice name, const struct field *const **fields_out, size_t *n_out);
/* Are these the same, canonically, as in state - 1? */
bool undo_same(const struct undo *u, size_t state, struct slice name);

/* Names (lower case) whose fields differ between state - 1 and state, canonically; none of a state that cannot be had. In
 * the arena; false: no memory. */
bool undo_changed(struct undo *u, size_t state, struct slice **names_out, size_t *n_out) HS_MUST_USE;
/* Body lines that only one of state - 1 and state has, after the end; empty ones at the end of state 0 do not count. 0
 * where one of the two cannot be had. */
uint64_t undo_lines_changed(const struct undo *u, size_t state);

/*
 * For printing: the body of a state as pieces (none where there is no such body); as runs of octets of the whole body and of
 * literals, CRLF after each literal line. Where undo_end() was not called, undo_runs() takes `body` as the body first.
 */
size_t undo_pieces(const struct undo *u, size_t state, const struct undo_piece **pieces_out);
enum undo_result undo_runs(struct undo *u, size_t state, struct slice body, struct slice **runs_out, size_t *n_out);

/*
 * undo_header - the header of a state, top to bottom, as it may be sent
 * Out:   kept fields in their places, literal ones ("name:" text CRLF, the name as it was written there) where the fields
 *        of their name stood, else on top; fields outside the header hash stay, DKIM2 fields too. NULL: no memory, or the recipe cannot be applied.
 */
const struct header *undo_header(struct undo *u, size_t state);

/* Units of work done so far (octets hashed, lines and pieces visited): what the test of linear cost counts. */
uint64_t undo_work(const struct undo *u);

#endif
