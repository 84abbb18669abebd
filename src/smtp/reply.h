/*
 * reply.h - one SMTP reply, read or written (RFC 5321 4.2). Pure.
 */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

#include "base/buf.h"
#include "base/fault.h"
#include "smtp/line.h"

struct reply {
	short code;          /* 200..599 */
	char enhanced[12];   /* of the first line, empty: none */
	struct slice text;   /* lines joined by LF, enhanced codes kept; borrowed */
	bool odd;            /* as read: the text holds what is neither printable ASCII nor such UTF-8, a bare CR or an escape perhaps */
};

/*
 * reply_write - appends a reply as it goes to a client: every text line of a multi-line one, CRLF, cut at LIMIT_REPLY_TEXT and each
 * line at 512 octets (RFC 5321 4.5.3.1.5); what is not printable ASCII or HTAB becomes '?', and with `utf8` UTF-8
 * that holds no control passes too (RFC 6531 3.7.4.2: only to a client that said SMTPUTF8).
 * What the client never announced is not sent: an ESMTP-only enhanced code stays as the next hop wrote it.
 */
void reply_write(struct buf *out, const struct reply *r, bool utf8);
void reply_fault(struct buf *out, const struct fault *f);

/*
 * Collects the lines of a next hop's replies from a stream. Any split of the input gives the same. Bounded by LIMIT_REPLY_LINE,
 * LIMIT_REPLY_LINES and LIMIT_REPLY. Fault NEXT_HOP_REPLY: a bare LF, a code that changes between the lines, a code outside
 * 200..599, text without code, a limit passed. A bare CR, NUL or any other odd octet in the text stays there and sets `odd`.
 */
struct reply_reader {
	struct line_reader line;
	struct buf text;       /* of a reply of more than one line */
	size_t lines, octets;  /* of the reply that is coming */
	short code;
	char enhanced[12];
	bool odd;
};

enum reply_status { REPLY_MORE, REPLY_WHOLE, REPLY_BAD };

void reply_reader_init(struct reply_reader *r);
void reply_reader_release(struct reply_reader *r);
/* REPLY_WHOLE: *reply_out, its text borrowed from the input or the reader until the next call. REPLY_BAD: *f is set, read no more. */
enum reply_status reply_read(struct reply_reader *r, struct slice *in, struct reply *reply_out, struct fault *f);
/* Has a reply come in part? */
bool reply_partial(const struct reply_reader *r);

#endif
