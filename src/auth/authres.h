/*
 * authres.h - Authentication-Results (RFC 8601; spec section 16). Pure.
 */
#ifndef AUTH_AUTHRES_H
#define AUTH_AUTHRES_H

#include "auth/dkim2/dkim2.h"

/*
 * Is this field value ours: does it name this authserv-id (CFWS, quoted-string, case, U-labels allowed for)? A value
 * that cannot be parsed but could be read by somebody as ours counts as ours.
 */
bool authres_is_ours(struct arena *a, struct slice value, struct slice authserv_id);

/* The value without name and folding: "mx.example.net; dkim2=pass (...) header.d=a.example". Bounded and escaped. */
struct slice authres_value(struct arena *a, struct slice authserv_id, const struct dkim2_verdict *dkim2);
/* The whole field, folded at resinfo borders, CRLF included. */
struct slice authres_field(struct arena *a, struct slice authserv_id, const struct dkim2_verdict *dkim2);

#endif
