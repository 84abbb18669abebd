/*
 * tls_in.h - what tls_context.c and tls.c share.
 */
#ifndef NET_TLS_IN_H
#define NET_TLS_IN_H

#include <openssl/ssl.h>

#include "net/tls.h"

struct tls_context {
	SSL_CTX *ctx;
	struct tls_served *served; /* a server's certificates */
	size_t served_count;
	struct arena names;        /* what they are for */
	bool verify;               /* the peer's certificate is held against those we trust */
	bool forgive;              /* and there is a session whatever comes of that */
};

struct tls {
	SSL *ssl;
	const char *why;    /* static or libcrypto's */
	char *fingerprint;  /* of the client's certificate; NULL: it showed none */
	unsigned turns;     /* key updates asked for */
	bool server;
	bool trusting;      /* there are those we trust */
	bool established;
	bool notified;      /* the peer said that it would say no more */
	bool failed;
	bool distrusted;
	bool verified;      /* the client's certificate comes from those we trust */
	bool abused;
	bool foreign;       /* the client offered a session that nobody here could have given it */
};

/* The session of a callback; NULL: none yet. */
struct tls *tls_of(const SSL *ssl);

#endif
