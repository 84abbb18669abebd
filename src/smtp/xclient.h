/*
 * xclient.h - what XCLIENT and XFORWARD say of a client. Pure, allocates nothing.
 * Source: Postfix, XCLIENT_README and XFORWARD_README
 */
#ifndef SMTP_XCLIENT_H
#define SMTP_XCLIENT_H

#include "base/buf.h"
#include "base/fault.h"

enum xclient_attribute {
	XCLIENT_NAME = 1 << 0,
	XCLIENT_ADDR = 1 << 1,
	XCLIENT_PORT = 1 << 2,
	XCLIENT_PROTO = 1 << 3,
	XCLIENT_HELO = 1 << 4,
	XCLIENT_IDENT = 1 << 5,
	XCLIENT_SOURCE = 1 << 6
};

/* What we understand of each. */
enum {
	XCLIENT_OURS = XCLIENT_NAME | XCLIENT_ADDR | XCLIENT_PORT | XCLIENT_PROTO | XCLIENT_HELO,
	XFORWARD_OURS = XCLIENT_OURS | XCLIENT_IDENT | XCLIENT_SOURCE
};

enum { XCLIENT_TEXT = 256 }; /* octets of a value with its NUL */

struct xclient {
	unsigned said;   /* attributes that were named; bits of enum xclient_attribute */
	unsigned known;  /* those of them that have a value: neither [UNAVAILABLE] nor [TEMPUNAVAIL] */
	unsigned char address[16]; /* IPv4 as ::ffff:a.b.c.d */
	uint16_t port;
	bool esmtp;      /* PROTO */
	bool local;      /* SOURCE */
	char name[XCLIENT_TEXT], helo[XCLIENT_TEXT], ident[XCLIENT_TEXT];
};

/*
 * xclient_read - the arguments of a command
 * In:    ours: the attributes that may stand there. *who: earlier commands, whose attributes are replaced one by one, or zeroed
 * Fault: COMMAND_SYNTAX; *who is as it was
 */
bool xclient_read(struct slice arg, unsigned ours, struct xclient *who, struct fault *f) HS_MUST_USE;
/* The attributes an EHLO line lists behind its keyword; those we do not know are skipped. */
unsigned xclient_listed(struct slice words);
/* " NAME ADDR ...", as an EHLO line has it. */
void xclient_list(struct buf *out, unsigned attributes);
/* " NAME=... ADDR=...": all of `attributes`, unknown ones as [UNAVAILABLE]. */
void xclient_write(struct buf *out, unsigned attributes, const struct xclient *who);
/* The octets fit a value; cut where they do not. */
void xclient_text(char to[XCLIENT_TEXT], struct slice from);

#endif
