/*
 * header.h - a header block as a list of fields that point into it. Pure.
 */
#ifndef MAIL_HEADER_H
#define MAIL_HEADER_H

#include "base/arena.h"
#include "base/fault.h"

struct field {
	struct slice raw;   /* the whole field with its line ends, byte for byte */
	struct slice name;  /* before the colon, blanks in front of the colon left out */
	struct slice value; /* behind the colon up to and without the final CRLF; folds kept */
	bool blank_name;    /* SP or HTAB stood between name and colon */
};

struct header {
	struct slice raw;     /* the block without the empty line that ends it */
	struct field *fields; /* top to bottom */
	size_t n;
	bool malformed;       /* a line that is no field (no colon, empty name, octets not allowed in a name): kept as a field with empty name */
};

/*
 * header_parse - the block up to, not including, the empty line
 * In:    octets of whole lines; borrowed by *header_out. Only CRLF ends a line; a bare CR or LF is an ordinary octet.
 * Fault: HEADER_TOO_BIG above field_max fields or LIMIT_HEADER_LINE, NO_MEMORY
 */
bool header_parse(struct arena *a, struct slice block, size_t field_max, struct header *header_out, struct fault *f) HS_MUST_USE;

/*
 * header_fits - may the header that is still coming go on? So that one too big is refused then, not when it is whole.
 * In:    octets: all that came so far, the same and more at each call; field_max as for header_parse()
 *        count: zeroed for the first call; each octet is looked at once
 * Fault: HEADER_TOO_BIG where header_parse() would say so of the whole block
 */
struct header_count {
	size_t fields, field_at;
	size_t line_at, seen; /* of the line that has not come to its end; searched up to there */
	bool begun;           /* its first octet was looked at */
	bool whole;           /* the empty line was met */
};
bool header_fits(struct header_count *count, struct slice octets, size_t field_max, struct fault *f) HS_MUST_USE;

/* The next field of that name (any case) at or below index `from`, or h->n. */
size_t header_find(const struct header *h, struct slice name, size_t from);

/*
 * Where the header ends: octets of the block (with its last CRLF), and of the block plus the empty line.
 * A message that starts with CRLF has an empty header. False: the empty line has not come yet.
 * `seen` is where an earlier call stopped looking (start with 0), so a stream is scanned once.
 */
bool header_end(struct slice octets, size_t *seen, size_t *block_out, size_t *body_out);

#endif
