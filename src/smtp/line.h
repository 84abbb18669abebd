/*
 * line.h - lines out of a stream, ended by CRLF and nothing else (RFC 5321 2.3.8). Pure.
 *
 * A bare CR, a bare LF (unless `strict`) and a NUL are ordinary octets of the line here; who parses it decides. Memory is held only while a line
 * has come in part.
 */
#ifndef SMTP_LINE_H
#define SMTP_LINE_H

#include "base/buf.h"

enum { LINE_HEAD = 8 };

struct line_reader {
	struct buf held;    /* what has come of a line that is not whole */
	size_t dropped;     /* octets of a line that is too long, all let go; 0: none is being dropped */
	unsigned char head[LINE_HEAD]; /* how it began, zeros where it was shorter */
	bool cr;            /* the last octet dropped was CR */
	bool given;         /* held is the line given last, to be forgotten */
	bool strict;        /* a bare LF is told at once, and so is a line above `max`: LINE_ENDLESS, none is dropped */
};

enum line_status {
	LINE_MORE,     /* all input taken */
	LINE_WHOLE,    /* *line_out, without CRLF; borrowed from the input or the reader until the next call */
	LINE_LONG,     /* a line above `max` octets (CRLF counted) has ended and is gone, all but its head */
	LINE_ENDLESS,  /* LIMIT_LINE_DROP octets above that and it still goes on: read no more */
	LINE_BARE_LF,  /* only with `strict`: read no more */
	LINE_NO_MEMORY
};

void line_reader_init(struct line_reader *r, bool strict);
void line_reader_release(struct line_reader *r);

enum line_status line_read(struct line_reader *r, struct slice *in, size_t max, struct slice *line_out);

/* Takes the line just given back: `octets` is what the last line_read() took off its input, which the caller feeds again. */
void line_unread(struct line_reader *r, size_t octets);

/* Has a line come in part? */
bool line_partial(const struct line_reader *r);

#endif
