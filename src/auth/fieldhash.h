/*
 * fieldhash.h - the header hash of a DKIM-Signature, and of an ARC-Message-Signature, which is made the same way: the fields that
 * h= names, then the field itself. Pure.
 * Source: RFC 6376 3.5 (h=), 3.7, 5.4.2; RFC 8617 4.1.2
 */
#ifndef AUTH_FIELDHASH_H
#define AUTH_FIELDHASH_H

#include "auth/canon.h"

/* The fields of a header sorted by name, made once a message: a name of an h= costs a binary search. */
struct field_index;
/* Borrows the header. NULL: no memory. */
struct field_index *field_index_new(struct arena *a, const struct header *h);
/* How many fields have that name, in any letter case? */
size_t field_count(const struct field_index *index, struct slice name);

/* The names of an h=, as written, in their order. */
struct field_list {
	struct slice *names;
	size_t n;
};

/*
 * field_list_parse - "from : to:subject" (RFC 6376 3.5, sig-h-tag)
 * In:    the value of the tag; borrowed by *list_out
 * Fault: false: no name, an empty one, one that no field can have, above LIMIT_SIGNED_NAMES, no memory (arena_failed())
 */
bool field_list_parse(struct arena *a, struct slice value, struct field_list *list_out) HS_MUST_USE;
/*
 * field_list_usual - what an h= of ours names: the fields RFC 6376 5.4.1 suggests, and what decides how a message is shown, each as
 * often as it stands there, and those that a message may have once, which somebody could add or double, once more (5.4.2)
 * In:    more: a further name, as often as it stands there; empty: none
 * Fault: false: no memory
 */
bool field_list_usual(struct arena *a, const struct field_index *index, struct slice more, struct field_list *list_out) HS_MUST_USE;
/* How often is it named, in any letter case? */
size_t field_listed(const struct field_list *list, struct slice name);
/* Is every field of that name among those that are hashed? Also where there is none. */
bool field_covered(const struct field_list *list, const struct field_index *index, struct slice name);

/*
 * The hole that the value of a tag leaves in its field: the value with all white space around it (RFC 6376 3.7).
 * In:    tag_value, a slice of f->value without white space at its ends, and not empty
 */
struct slice field_hole(const struct field *f, struct slice tag_value);

/*
 * field_hash - SHA-256 over the fields that the list names and over the signature's own field
 * In:    signature: the field that holds it, of the header or, for one that is being made, of none; it is never one of those that the
 *        list selects. hole: what field_hole() says of its b=.
 * Out:   a name that is listed k times stands for the k lowest fields of it, the lowest first; one that is not there for nothing
 * Fault: false: no memory
 */
bool field_hash(struct arena *a, const struct field_index *index, const struct field_list *list, enum canon_form form,
    const struct field *signature, struct slice hole, unsigned char out[32]) HS_MUST_USE;

#endif
