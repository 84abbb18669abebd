/*
 * reply.h - one SMTP reply, read or written (RFC 5321 4.2). Pure.
 */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

#include "base/buf.h"
#include "base/fault.h"

struct reply {
	short code;          /* 200..599 */
	char enhanced[12];   /* of the first line, empty: none */
	struct slice text;   /* lines joined by LF, enhanced codes kept; borrowed */
};

/*
 * reply_write - appends a reply as it goes to a client: every text line of a multi-line one, CRLF, cut at LIMIT_REPLY_TEXT, control octets replaced.
 * What the client never announced is not sent: an ESMTP-only enhanced code stays as the next hop wrote it.
 */
void reply_write(struct buf *out, const struct reply *r);
void reply_fault(struct buf *out, const struct fault *f);

/* Collects the lines of a next hop's replies from a stream. */
struct reply_reader;
/* ... see reply_reader_* below: bounded by LIMIT_REPLY_LINE and LIMIT_REPLY_LINES; bare LF, bare CR, NUL, a code that changes
 * between the lines, a code outside 200..599, text without code: fault NEXT_HOP_REPLY. Any split of the input gives the same. */

#endif
