/*
 * undo_in.h - what the parts of undo share: undo_header.c holds the fields of every state, undo_body.c the bodies.
 */
#ifndef AUTH_DKIM2_UNDO_IN_H
#define AUTH_DKIM2_UNDO_IN_H

#include "auth/canon.h"
#include "auth/dkim2/undo.h"

/* A field that some state has, and what the header hash sees of it. */
struct undo_kept {
	struct field field; /* first: lists of fields point to it */
	struct slice canon; /* with its CRLF */
	size_t index;       /* in the header as received; SIZE_MAX: a recipe wrote it */
};

/* The fields of a name from a state on. */
struct undo_version {
	size_t state;
	const struct field *const *fields; /* of struct undo_kept, the lowest first */
	size_t n;
};

struct undo_name {
	struct slice name;             /* lower case */
	struct undo_version *versions; /* by state; the first is of state 0 */
	size_t n;
};

/* The body of a state. */
struct undo_bodies {
	enum undo_result result; /* what composing it found, after the end what became of it */
	size_t owner;            /* the newest state with this very body; that one alone is hashed. 0: as received */
	const struct undo_piece *pieces;
	size_t n;
	uint64_t copied, written; /* lines from the state before, lines of its recipe */
	uint64_t last;            /* the highest line of the received body that it has; 0: none */
	unsigned algs;
	struct canon_body *digests; /* NULL: no hash is wanted */
	size_t at;                  /* the piece that is not complete */
	uint64_t octets;            /* of it so far */
	bool over;                  /* it has more than is allowed; no longer hashed */
};

enum { UNDO_BLOCK = 16384, UNDO_STAGE = 2048 };

struct undo {
	struct arena *a;
	const struct dkim2_draft *draft;
	const struct header *h;
	const struct recipe *const *recipes;
	size_t n; /* recipes */
	uint64_t work;

	struct undo_name *names; /* by name */
	size_t name_count;
	size_t broken;           /* from this state on there are no headers; n + 1: there are all */
	enum undo_result break_result;
	struct digest *digest[DIGEST_ALGS];

	struct undo_bodies *bodies; /* of states 0 to n */
	uint64_t ceiling;
	size_t active;            /* states above it are not hashed: there is nothing, or too much, of them */
	uint64_t octets;          /* of the bodies of states 1 to active */
	uint64_t received, lines; /* octets of the received body, CRLFs in them */
	uint64_t content;         /* the last line with more than CR and LF */
	bool cr;                  /* the last octet was CR */
	bool open;                /* what came last is a line without CRLF */
	bool ended;
	uint16_t *starts;         /* of lines in a block */
	unsigned char *stage;     /* short runs on their way to a digest */
};

/* False: no memory. */
bool undo_header_init(struct undo *u) HS_MUST_USE;
bool undo_body_init(struct undo *u, const unsigned *algs) HS_MUST_USE;
void undo_body_release(struct undo *u);
/* The ceiling of what recipes write, for so many octets received. */
uint64_t undo_room(uint64_t received);

#endif
