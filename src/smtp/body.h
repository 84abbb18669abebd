/*
 * body.h - content read in the dot form of DATA (RFC 5321 4.5.2) or as BDAT frames it (RFC 3030), written in the dot form. Pure,
 * copies nothing.
 */
#ifndef SMTP_BODY_H
#define SMTP_BODY_H

#include "base/fault.h"

/* Reader of the dot form: octets behind 354 in, content out. Only CRLF ends a line, only CRLF . CRLF ends the content. */
struct body_reader {
	unsigned char state;   /* what the last octets were */
	bool framed;           /* somebody else counts the octets: a dot is nothing special */
	bool dots;             /* a line of the content given out so far begins with a dot; framed: may, nobody looks */
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
 * The same for octets that are counted by somebody else, who feeds the chunks one behind the other: a line may end in the next.
 * body_read() gives no BODY_END then.
 */
void body_reader_init_framed(struct body_reader *r);
/*
 * There are no more. BODY_RUN: the CRLF that the last line lacks, once. BODY_END: the content is whole, or spoiled by a CR at its
 * end (r->fault).
 */
enum body_status body_read_end(struct body_reader *r, struct slice *run_out);

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
/* The same for content none of whose lines begins with a dot, as the reader says when it has ended: nothing is looked for. */
bool body_write_dotless(struct body_writer *w, struct slice *in, struct slice *run_out);
/* What ends the content: ".\r\n", with CRLF before it if content did not end in one. */
struct slice body_finish(struct body_writer *w);

#endif
