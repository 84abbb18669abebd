/*
 * body.h - the dot form of content (RFC 5321 4.5.2), read and written. Pure, copies nothing.
 */
#ifndef SMTP_BODY_H
#define SMTP_BODY_H

#include "base/fault.h"

/* Reader: octets behind 354 in, content out. Only CRLF ends a line, only CRLF . CRLF ends the content. */
struct body_reader {
	unsigned char state;   /* what the last octets were */
	struct fault fault;    /* BARE_CR, BARE_LF, NUL, `at` in content octets: sticky; reading goes on to the real end, without runs */
	uint64_t octets;       /* content octets so far */
};

enum body_status { BODY_MORE, BODY_RUN, BODY_END };

void body_reader_init(struct body_reader *r);
/*
 * BODY_RUN: *run_out holds content octets, unstuffed; they lie in the input, or in a constant (a CR held back at a cut).
 * BODY_MORE: all input taken. BODY_END: the final dot line is taken, *in is what follows it.
 */
enum body_status body_read(struct body_reader *r, struct slice *in, struct slice *run_out);

/*
 * Writer: content in (every CR and LF in it half of a CRLF, which the reader sees to), runs to send out. Content must end in CRLF;
 * the writer adds the one that is missing.
 */
struct body_writer {
	unsigned char state;
};

void body_writer_init(struct body_writer *w);
/*
 * Next run to send; false when *in is empty. Runs lie in the input and are as long as can be: one without a leading dot is all of
 * it. Two runs in a row may share an octet, the dot that is doubled.
 */
bool body_write(struct body_writer *w, struct slice *in, struct slice *run_out);
/* What ends the content: ".\r\n", with CRLF before it if content did not end in one. */
struct slice body_finish(struct body_writer *w);

#endif
