/*
 * trace.h - the Received field (RFC 5321 4.4). No I/O.
 */
#ifndef RELAY_TRACE_H
#define RELAY_TRACE_H

#include "base/arena.h"

struct trace {
	struct slice helo;       /* as given; empty: none */
	const char *client;      /* address as text */
	bool client_v6;
	const char *hostname;
	const char *with;        /* SMTP, ESMTP, ESMTPS, ESMTPSA, UTF8SMTP ... (RFC 3848, 6531) */
	const char *tls_version, *tls_cipher; /* NULL: in clear */
	struct slice id;
	struct slice rcpt;       /* bracketed; empty: several, nobody is named */
	int64_t unix_s;
};

/* The whole field with CRLF; empty: no memory. */
struct slice trace_received(struct arena *a, const struct trace *t);

#endif
