/*
 * signature.h - one DKIM-Signature field as its tags say it (RFC 6376 3.5). Pure. For this room only.
 */
#ifndef AUTH_DKIM1_SIGNATURE_H
#define AUTH_DKIM1_SIGNATURE_H

#include "auth/dkim1/dkim.h"

struct dkim_field {
	const struct field *field;
	enum key_type type;
	enum canon_form header, body;
	uint64_t octets;         /* of the body that are signed; CANON_WHOLE: all */
	struct field_list names;
	struct slice key_name;   /* normal */
	bool below;              /* i= is of a subdomain of d= */
	struct slice bh;         /* 32 octets */
	struct slice signature;
	struct slice hole;       /* of b= */
};

/*
 * dkim_field_read
 * In:    f: the field, borrowed; terms: for times
 * Out:   *shown: what can be shown of it, whatever is wrong. True: *out is whole. False: shown->state, about, reason say why not; or
 *        no memory (arena_failed())
 */
bool dkim_field_read(struct arena *a, const struct field *f, const struct dkim_terms *terms, struct dkim_field *out,
    struct dkim_signature *shown) HS_MUST_USE;

#endif
