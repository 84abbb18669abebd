/*
 * tls.h - TLS over a descriptor: contexts made from octets, one session a connection (RFC 8446, 5246). What uses it is net/conn.
 *
 * TLS 1.2 at least, no renegotiation, no compression, no session tickets or cache: nothing of a session is good for another one,
 * least of all on another listener. A session between two records holds no buffer.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/slice.h"

struct tls_context;
struct tls;

/* A certificate, then those between it and a root, and its key without passphrase, in PEM; borrowed for the call. */
struct tls_pem {
	struct slice certificate, key;
};

/* Is a client asked for a certificate? MUST: without one, or without one we can believe, there is no session. */
enum tls_ask { TLS_ASK_NONE, TLS_ASK_MAY, TLS_ASK_MUST };

struct tls_server {
	/*
	 * At least one. A client gets the one for the name it asks for (a name of its own before a "*"), of the kind of key it can do;
	 * for an unknown name or none the first, and those of other kinds that share a name with it.
	 */
	const struct tls_pem *pems;
	size_t pem_count;
	enum tls_ask ask;
	struct slice client_trust; /* PEM, whom to believe about clients; empty: nothing is looked at but that the client holds the key */
};

/* One a listener and worker; it outlives its sessions. NULL: *why_out, a static text. */
struct tls_context *tls_context_server(const struct tls_server *s, const char **why_out);
/* One a next hop and worker. trust: PEM, whom to believe; empty: the peer's certificate is not looked at. own: NULL: none. */
struct tls_context *tls_context_client(struct slice trust, const struct tls_pem *own, const char **why_out);
void tls_context_free(struct tls_context **c);

/*
 * A session over a connected non-blocking descriptor, which stays the caller's. `name`: that of the server we are a client of, to
 * be asked for, and where its certificate is looked at to be found in it, a host name or an address; NULL: we are the server.
 * NULL: no memory.
 */
struct tls *tls_new(struct tls_context *c, int fd, const char *name);
/* Says close_notify if it can be said at once. */
void tls_free(struct tls **t);

enum tls_status {
	TLS_DONE,
	TLS_WANT_READ,  /* again once the descriptor can be read */
	TLS_WANT_WRITE, /* again once it can be written */
	TLS_CLOSED,     /* close_notify: the peer says no more; it may still be written to */
	TLS_TRUNCATED,  /* the end of the stream without close_notify */
	TLS_FAILED      /* nothing more can be done with it; tls_why(), and errno if it is not 0 */
};
enum tls_status tls_handshake(struct tls *t);
enum tls_status tls_read(struct tls *t, void *at, size_t room, size_t *n_out);
/*
 * At most TLS_RECORD octets go out. After TLS_WANT_WRITE (or _READ) the next call must offer the same octets, wherever they lie
 * then, and may offer more.
 */
enum { TLS_RECORD = 16384 };
enum tls_status tls_write(struct tls *t, const void *at, size_t n, size_t *n_out);

/* "TLSv1.3", "TLS_AES_256_GCM_SHA384"; static. */
const char *tls_version(const struct tls *t);
const char *tls_cipher(const struct tls *t);
/* Of the client's certificate, SHA-256 in lower-case hexadecimal; lives as long as the session. NULL: it showed none. */
const char *tls_fingerprint(const struct tls *t);
/* It comes from those we trust. */
bool tls_verified(const struct tls *t);
/* The client offered to go on with a session, which cannot have been one of ours. */
bool tls_foreign(const struct tls *t);
/* Why it failed, a static text. */
const char *tls_why(const struct tls *t);
/* It failed because the peer's certificate is not to be believed; because the peer asked for what only costs: new keys without end, */
/* renegotiation, records without content. */
bool tls_distrusted(const struct tls *t);
bool tls_abused(const struct tls *t);

#endif
