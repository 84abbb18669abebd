/*
 * body.h - the dot form of content (RFC 5321 4.5.2), read and written. Pure, copies nothing.
 */
#ifndef SMTP_BODY_H
#define SMTP_BODY_H

#include "base/fault.h"

/* Reader: octets behind 354 in, content out. Only CRLF ends a line, only CRLF . CRLF ends the content. */
struct body_reader {
	unsigned char state;   /* what the last octets were */
	struct fault fault;    /* BARE_CR, BARE_LF, NUL: sticky; reading goes on to the real end */
	uint64_t octets;       /* content octets so far */
};

enum body_status { BODY_MORE, BODY_RUN, BODY_END };

void body_reader_init(struct body_reader *r);
/*
 * BODY_RUN: *run_out holds content octets, unstuffed; they lie in the input, or in a constant (a CR held back at a cut).
 * BODY_MORE: all input taken. BODY_END: the final dot line is taken, *in is what follows it.
 */
enum body_status body_read(struct body_reader *r, struct slice *in, struct slice *run_out);

/* Writer: content in, runs to send out. Content must end in CRLF; the writer adds the one that is missing. */
struct body_writer {
	unsigned char state;
};

void body_writer_init(struct body_writer *w);
/* Next run of *in, or of a constant (the stuffed dot); false when *in is empty. Long content without leading dots is one run. */
bool body_write(struct body_writer *w, struct slice *in, struct slice *run_out);
/* What ends the content: ".\r\n", with CRLF before it if content did not end in one. */
struct slice body_finish(struct body_writer *w);

#endif
