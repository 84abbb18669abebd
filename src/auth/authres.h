/*
 * authres.h - Authentication-Results (RFC 8601): read, write, and whose is it? Pure.
 */
#ifndef AUTH_AUTHRES_H
#define AUTH_AUTHRES_H

#include "auth/dkim2/dkim2.h"

struct authres_prop {
	struct slice ptype, property; /* "header", "d" */
	struct slice value;           /* without quotes; of local-part@domain with a quoted local part all of it as written */
};

struct authres_result {
	struct slice method;  /* "dkim" */
	struct slice result;  /* "pass" */
	struct slice comment; /* stands in parentheses behind the result, any octets: the writer escapes; empty: none */
	struct slice reason;  /* reason=, any octets; empty: none */
	const struct authres_prop *props;
	size_t prop_count;
};

/*
 * Is this field value ours: does it name this authserv-id (CFWS, quoted-string, case, U-labels allowed for)? A value
 * that cannot be parsed but could be read by somebody as ours counts as ours.
 */
bool authres_is_ours(struct arena *a, struct slice value, struct slice authserv_id);

/*
 * authres_parse - what a field value says, by the grammar of RFC 8601 2.2 with the UTF-8 of RFC 6532
 * In:    folded or not. One ';' behind the last result is let pass, which many write and the grammar does not have.
 * Out:   id as written, quotes gone; results in their order, comments dropped; "none" gives no result. Names are as written:
 *        compare them without case. A result of a method version other than 1 is not there: nobody here knows it (2.2).
 * Fault: false, for all else: another version of the field, no UTF-8, above LIMIT_AUTHRES_RESULTS or LIMIT_AUTHRES_PROPS, no memory
 */
bool authres_parse(struct arena *a, struct slice value, struct slice *id_out, const struct authres_result **results_out, size_t *n_out) HS_MUST_USE;

/*
 * authres_glean - the same of what another server wrote, who is believed: results that cannot be read are left out instead of
 * costing all. Pairs that are no properties ("action=none") are passed over, values that want quotes are taken without.
 */
bool authres_glean(struct arena *a, struct slice value, struct slice *id_out, const struct authres_result **results_out, size_t *n_out) HS_MUST_USE;

/*
 * authres_value - the value without name and folding: "mx.example.net; dkim2=pass (...) header.d=a.example"
 * In:    any octets as values, comments and reasons. Nobody's value ends more than itself: control octets are dropped, what is no
 *        UTF-8 becomes '?', what is above LIMIT_AUTHRES_VALUE is cut, and what is no plain word or address is quoted. A method,
 *        result, ptype or property that is no keyword (RFC 5321) is left out with all that hangs on it.
 * Out:   authres_parse() gives it back, less what was dropped. No results: "id; none". Bounded: where it gets long, further results
 *        are written bare, beyond LIMIT_AUTHRES_RESULTS not at all. Empty: no memory.
 */
struct slice authres_value(struct arena *a, struct slice authserv_id, const struct authres_result *results, size_t n);
/* The whole field of that name, each result on a line of its own, within 78 octets where there are blanks to fold at, CRLF included. */
struct slice authres_field(struct arena *a, struct slice name, struct slice authserv_id, const struct authres_result *results, size_t n);

/* The dkim2 result (spec section 16): its hops in the comment, header.d and header.i. */
struct authres_result authres_dkim2(struct arena *a, const struct dkim2_verdict *v);

#endif
