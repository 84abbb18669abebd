/*
 * conn.h - a stream connection: reads into one scratch buffer a process, writes straight from where the octets lie.
 *
 * Its owner pulls: conn asks for octets to write (out), tells how many the kernel took (wrote), and hands over what came (octets).
 * TLS may begin on it at any border (conn_start_tls()); from then on octets() and out() mean what goes through it.
 * An idle connection holds no buffer. Nothing here frees the owner; conn_close() in a callback is fine, conn is caller's storage.
 */
#ifndef NET_CONN_H
#define NET_CONN_H

#include <sys/socket.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "net/loop.h"
#include "net/tls.h"

struct conn;

enum conn_end {
	CONN_EOF,     /* the peer shut down its writing half */
	CONN_ERROR,   /* reset, unreachable, refused: c->error is an errno */
	CONN_TLS,     /* no TLS session could be made, or what came broke it: tls_why(c->tls) */
};

struct conn_ops {
	/* Octets came. Takes what it can off *in; what it leaves is kept and given again, with more, by conn_resume() or the next read. */
	void (*octets)(void *owner, struct slice *in);
	/* Runs to write, at most max; 0: nothing now. */
	size_t (*out)(void *owner, struct iovec *iov, size_t max);
	/* The kernel took n octets of the runs named last. */
	void (*wrote)(void *owner, size_t n);
	/* A connect that was asked for is there. May be NULL. */
	void (*connected)(void *owner);
	/* The handshake that was asked for is done. May be NULL where none is. */
	void (*secured)(void *owner);
	/* No more will come; called once. */
	void (*ended)(void *owner, enum conn_end how);
};

struct conn {
	struct loop *loop;
	const struct conn_ops *ops;
	void *owner;
	struct loop_io io;
	struct buf in;     /* left over by the owner */
	struct tls *tls;   /* NULL: in clear */
	int fd;            /* -1: closed */
	int error;
	bool connecting;
	bool want_read;    /* the owner lets it read */
	bool unwanted;     /* octets came while it does not */
	bool blocked;      /* the kernel took less than there was */
	bool ended;        /* ended() was called */
	bool eof;
	bool sparing;      /* what the owner leaves stays in the kernel if it begins TLS behind what it took; set after conn_open() */
	bool busy;         /* inside octets(), to keep calls from nesting */
	bool shaking;      /* the TLS handshake is under way: nothing is read or written for the owner */
	bool truncated;    /* CONN_EOF, and TLS had not been told (RFC 8446 6.1) */
	bool shake_writes; /* the handshake waits for room to write */
	bool read_writes;  /* so does reading */
};

/* Takes over a non-blocking connected descriptor. False: no memory; the descriptor is closed. */
bool conn_open(struct conn *c, struct loop *l, int fd, const struct conn_ops *ops, void *owner) HS_MUST_USE;
/* Starts a connect; connected() or ended() follows, never before this returns. False: no descriptor or memory, errno tells. */
bool conn_connect(struct conn *c, struct loop *l, const struct sockaddr *to, socklen_t to_len, const struct conn_ops *ops, void *owner) HS_MUST_USE;
void conn_close(struct conn *c);

/*
 * Begins TLS, as a client of `name` or as a server (NULL). Nothing may be kept (c->in) or half written; inside octets() only
 * what is taken by then, and `sparing` must be set. secured() or ended() follows,
 * never before this returns. False: no memory.
 */
bool conn_start_tls(struct conn *c, struct tls_context *context, const char *name) HS_MUST_USE;

/*
 * Says no more: close_notify, if there is TLS, and the end. All that out() had must be written. What comes is still given, as it comes,
 * TLS or not; not to be called in octets() or out().
 */
void conn_shut(struct conn *c);

/* Writes what out() has, as far as the kernel takes it. Call after anything that produced output. */
void conn_push(struct conn *c);
/* Stops or starts reading (back-pressure). */
void conn_read(struct conn *c, bool on);
/* Gives kept octets to the owner again, once what it waited for has happened. */
void conn_resume(struct conn *c);

static inline bool conn_blocked(const struct conn *c)
{
	return c->blocked;
}

#endif
