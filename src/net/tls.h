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

/* One a listener and worker. In: PEM, the key without passphrase, borrowed for the call. NULL: *why_out, a static text. */
struct tls_context *tls_context_server(struct slice certificate, struct slice key, const char **why_out);
/* One a next hop and worker. trust: PEM, whom to believe; empty: the peer's certificate is not looked at. */
struct tls_context *tls_context_client(struct slice trust, const char **why_out);
void tls_context_free(struct tls_context **c);

/*
 * A session over a connected non-blocking descriptor, which stays the caller's. `name`: that of the server we are a client of, to
 * be asked for, and where its certificate is looked at to be found in it, a host name or an address; NULL: we are the server.
 * The context may go first. NULL: no memory.
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
/* Why it failed, a static text or one that lives as long as the session. */
const char *tls_why(const struct tls *t);
/* It failed because the peer's certificate is not to be believed; because the peer asked for new keys too often. */
bool tls_distrusted(const struct tls *t);
bool tls_abused(const struct tls *t);

#endif
