/*
 * mime.h - the little of MIME that reports need: a content type, and the parts of a multipart as slices of it. Pure.
 * Nothing is decoded and nothing is guessed: what two readers could take differently is refused.
 * Source: RFC 2045, RFC 2046 section 5.1; forms of RFC 2231 are seen, not joined.
 */
#ifndef MAIL_MIME_H
#define MAIL_MIME_H

#include "mail/header.h"

struct mime_param {
	struct slice name;  /* as written */
	struct slice value; /* quotes and quoted pairs undone */
};

struct mime_type {
	struct slice type, subtype; /* as written */
	struct mime_param *params;
	size_t n;
};

/*
 * mime_type_parse - the value of a Content-Type field, folded or not
 * In:    borrowed by *out
 * Fault: false: not as RFC 2045 5.1 has it, above LIMIT_MIME_PARAMS, or no memory. One ';' at the end is let pass.
 */
bool mime_type_parse(struct arena *a, struct slice value, struct mime_type *out) HS_MUST_USE;

/* Any case. subtype empty: any. */
bool mime_is(const struct mime_type *t, struct slice type, struct slice subtype);

/* The value of a parameter (any case). Empty: there is none, it stands there twice, or beside a form of RFC 2231. */
struct slice mime_param(const struct mime_type *t, struct slice name);

/* RFC 2046 5.1.1: 1..70 of its octets, no blank at the end. */
bool mime_boundary(struct slice boundary);

enum mime_encoding {
	MIME_PLAIN,  /* 7bit, 8bit, binary, or none named: the octets are the content */
	MIME_ENCODED /* quoted-printable, base64, and whatever else there is */
};

struct mime_part {
	struct slice raw;
	struct header header;
	struct mime_type type;        /* text/plain without a Content-Type field */
	enum mime_encoding encoding;
	struct slice body;            /* as it stands there */
};

/*
 * mime_head - the content type and encoding that a header tells of
 * Fault: false: either field twice, one that cannot be read, or no memory
 */
bool mime_head(struct arena *a, const struct header *h, struct mime_type *type_out, enum mime_encoding *encoding_out) HS_MUST_USE;

/*
 * mime_split - the parts of a multipart body, without their delimiter lines and the CRLF in front of these
 * In:    a boundary by mime_boundary(); room for part_max slices
 * Fault: false: a line that begins with the boundary but is no delimiter, delimiters with nothing between them, no
 *        closing one, no part, or more than part_max. What stands in front of the first and behind the last is left out.
 * Cost:  linear
 */
bool mime_split(struct slice body, struct slice boundary, struct slice *parts_out, size_t part_max, size_t *n_out) HS_MUST_USE;

/*
 * mime_part_parse - one of these parts: its header and its body
 * Fault: false: a header that is none or has more than field_max fields, or as for mime_head()
 */
bool mime_part_parse(struct arena *a, struct slice raw, size_t field_max, struct mime_part *out) HS_MUST_USE;

#endif
