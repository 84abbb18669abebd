/*
 * sets.h - the ARC sets of a header: which fields belong together, and whether they form a chain (RFC 8617 4.1, 4.2 and
 * 5.2 steps 1 to 3). Nothing here takes a key. Pure. For this room only.
 */
#ifndef AUTH_ARC_SETS_H
#define AUTH_ARC_SETS_H

#include "auth/arc/arc.h"
#include "auth/taglist.h"

enum arc_part { ARC_AAR, ARC_AMS, ARC_SEAL, ARC_PARTS };

/* The three fields of one i=. */
struct arc_link {
	const struct field *fields[ARC_PARTS]; /* NULL: none; the topmost if there are more */
	size_t at[ARC_PARTS];                  /* index of each in the header */
	struct taglist ams, seal;
	struct slice aar;                      /* behind "i=N;" */
};

struct arc_sets {
	struct arc_link links[LIMIT_ARC_SETS]; /* [i - 1] */
	size_t n;                              /* highest i */
	size_t fields;                         /* ARC fields in all, readable or not */
	enum arc_kind about;                   /* why these form no chain; NOTHING: they do, or there are none */
	struct slice reason;
};

/* Which of the three a field is; ARC_PARTS: none. */
enum arc_part arc_part_of(struct slice name);

/* Borrows h. False: no memory. */
bool arc_sets_read(struct arc_sets *s, struct arena *a, const struct header *h) HS_MUST_USE;

/* Adds a whole set to what seals above it cover. */
void arc_sets_add(struct digest *run, const struct arc_link *link);

/*
 * arc_seal_input - the digest that the seal of a set signs: all sets below it, then its own fields, the seal without its b=
 * (RFC 8617 5.1.1)
 * In:    run: what the sets below have added; hole: what field_hole() says of b=
 * Out:   run goes on behind this set, so that a chain costs no more than its newest seal does
 * Fault: false: no memory
 */
bool arc_seal_input(struct digest *run, const struct arc_link *link, struct slice hole, unsigned char out[32]) HS_MUST_USE;

#endif
