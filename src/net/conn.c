#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "net/conn.h"

/* Big enough that a 5 MB message is a hundred reads, small enough to stay in cache. */
enum { SCRATCH_OCTETS = 65536, IOV_MAX_RUNS = 64, READS_A_TURN = 4, RECORDS_A_TURN = 16 };

/* One loop, one thread: what is read is consumed before the next connection reads. */
static unsigned char scratch[SCRATCH_OCTETS];
/* Runs become one record: TLS takes octets in one piece, and small records cost as much as big ones. */
static unsigned char record[TLS_RECORD];

static void on_io(void *arg, unsigned what);

static bool update(struct conn *c)
{
	unsigned wants = 0;

	if (c->fd < 0)
		return true;
	if (c->shaking)
		return loop_io_want(c->loop, &c->io, c->fd, c->shake_writes ? LOOP_WRITE : LOOP_READ, on_io, c);
	/* Reading that is not wanted for a moment stays registered until octets do come: most pauses end before, and cost nothing. */
	if ((c->want_read || (c->io.wants & LOOP_READ && !c->unwanted)) && !c->eof && !c->connecting)
		wants |= LOOP_READ;
	if (c->blocked || c->connecting || c->read_writes)
		wants |= LOOP_WRITE;
	return loop_io_want(c->loop, &c->io, c->fd, wants, on_io, c);
}

static void set_up(struct conn *c, struct loop *l, int fd, const struct conn_ops *ops, void *owner)
{
	int one = 1;

	*c = (struct conn){ .loop = l, .ops = ops, .owner = owner, .fd = fd, .want_read = true };
	buf_init(&c->in, SIZE_MAX / 2);
	/* Replies are written whole; waiting to fill a segment only adds delay. Fails harmlessly on other sockets. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

bool conn_open(struct conn *c, struct loop *l, int fd, const struct conn_ops *ops, void *owner)
{
	set_up(c, l, fd, ops, owner);
	if (update(c))
		return true;
	conn_close(c);
	return false;
}

bool conn_connect(struct conn *c, struct loop *l, const struct sockaddr *to, socklen_t to_len, const struct conn_ops *ops, void *owner)
{
	int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		*c = (struct conn){ .fd = -1 };
		return false;
	}
	set_up(c, l, fd, ops, owner);
	c->connecting = true;
	/* An error that comes at once is reported by SO_ERROR or the failed write below, like one that comes later. */
	/* Interrupted, it goes on by itself (connect(2)). */
	if (connect(fd, to, to_len) != 0 && errno != EINPROGRESS && errno != EINTR)
		c->error = errno;
	if (update(c))
		return true;
	conn_close(c);
	errno = ENOMEM;
	return false;
}

void conn_close(struct conn *c)
{
	tls_free(&c->tls);
	if (c->fd >= 0) {
		loop_io_stop(&c->io);
		close(c->fd);
		c->fd = -1;
	}
	buf_release(&c->in);
	c->ended = true;
}

void conn_shut(struct conn *c)
{
	tls_free(&c->tls);
	(void)shutdown(c->fd, SHUT_WR);
	buf_release(&c->in);
	c->blocked = c->read_writes = c->unwanted = false;
	c->want_read = true;
	update(c);
}

static void end(struct conn *c, enum conn_end how, int error)
{
	if (c->ended)
		return;
	c->ended = true;
	c->error = error;
	c->ops->ended(c->owner, how);
}

/* ---- TLS ---- */

bool conn_start_tls(struct conn *c, struct tls_context *context, const char *name)
{
	c->tls = tls_new(context, c->fd, name);
	if (!c->tls)
		return false;
	c->shaking = true;
	c->unwanted = false;
	c->shake_writes = name != NULL; /* a client speaks first */
	return update(c);
}

static void shake(struct conn *c)
{
	switch (tls_handshake(c->tls)) {
	case TLS_WANT_READ:
		c->shake_writes = false;
		break;
	case TLS_WANT_WRITE:
		c->shake_writes = true;
		break;
	case TLS_DONE:
		c->shaking = c->shake_writes = false;
		c->want_read = true;
		if (!update(c)) {
			end(c, CONN_ERROR, ENOMEM);
			return;
		}
		c->ops->secured(c->owner);
		if (c->fd >= 0)
			conn_push(c);
		return;
	default:
		c->eof = true;
		end(c, CONN_TLS, errno);
		return;
	}
	if (!update(c))
		end(c, CONN_ERROR, ENOMEM);
}

static struct slice gather(const struct iovec *iov, size_t count)
{
	size_t n = 0;

	if (count == 1 || iov[0].iov_len >= sizeof(record))
		return slice_of(iov[0].iov_base, iov[0].iov_len);
	for (size_t i = 0; i < count && n < sizeof(record); i++) {
		size_t more = iov[i].iov_len < sizeof(record) - n ? iov[i].iov_len : sizeof(record) - n;

		memcpy(record + n, iov[i].iov_base, more);
		n += more;
	}
	return slice_of(record, n);
}

static void push_tls(struct conn *c)
{
	struct iovec iov[IOV_MAX_RUNS];

	for (;;) {
		size_t count = c->ops->out(c->owner, iov, IOV_MAX_RUNS), n;
		struct slice s = count ? gather(iov, count) : SLICE_NONE;
		enum tls_status status;

		if (s.n == 0)
			return;
		status = tls_write(c->tls, s.at, s.n, &n);
		if (status == TLS_DONE) {
			c->ops->wrote(c->owner, n);
			if (c->fd < 0 || !c->tls)
				return;
			continue;
		}
		if (status == TLS_WANT_WRITE || status == TLS_WANT_READ) {
			c->blocked = true; /* reading pushes as well, so that either will do */
			update(c);
			return;
		}
		/* The read side reports the end: it is woken. */
		c->error = errno ? errno : EPROTO;
		c->want_read = true;
		if (c->eof) {
			end(c, CONN_ERROR, c->error);
			return;
		}
		(void)shutdown(c->fd, SHUT_RDWR);
		update(c);
		return;
	}
}

void conn_push(struct conn *c)
{
	struct iovec iov[IOV_MAX_RUNS];

	if (c->fd < 0 || c->connecting || c->blocked || c->error || c->shaking)
		return;
	if (c->tls) {
		push_tls(c);
		return;
	}
	for (;;) {
		size_t count = c->ops->out(c->owner, iov, IOV_MAX_RUNS), total = 0;
		struct msghdr m = { .msg_iov = iov, .msg_iovlen = count };
		ssize_t n;

		if (count == 0)
			return;
		for (size_t i = 0; i < count; i++)
			total += iov[i].iov_len;
		do {
			n = sendmsg(c->fd, &m, MSG_NOSIGNAL);
		} while (n < 0 && errno == EINTR);
		if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
			/* What the peer said before it went is still read; the read side reports the end. */
			c->error = errno;
			c->want_read = true;
			if (c->eof)
				end(c, CONN_ERROR, c->error);
			else
				update(c);
			return;
		}
		if (n > 0)
			c->ops->wrote(c->owner, (size_t)n);
		if (c->fd < 0)
			return;
		if (n < 0 || (size_t)n < total) {
			c->blocked = true;
			update(c);
			return;
		}
	}
}

/* Gives `fresh` behind what was kept; keeps what is left of both. */
static void give(struct conn *c, struct slice fresh)
{
	struct slice in = fresh;
	size_t before;

	if (c->in.n) {
		buf_slice(&c->in, fresh);
		in = buf_get(&c->in);
	}
	if (buf_failed(&c->in)) {
		end(c, CONN_ERROR, ENOMEM);
		return;
	}
	before = in.n;
	c->busy = true;
	c->ops->octets(c->owner, &in);
	c->busy = false;
	if (c->fd < 0)
		return;
	if (c->in.n) {
		buf_drop(&c->in, before - in.n);
		if (c->in.n == 0)
			buf_release(&c->in);
	} else if (in.n) {
		buf_slice(&c->in, in);
		if (buf_failed(&c->in))
			end(c, CONN_ERROR, ENOMEM);
	}
}

/*
 * Octets are looked at where they lie, in the kernel. They come over when the owner has seen them: all of them, unless it has begun TLS,
 * whose first octets may stand behind those it took.
 */
static void on_spared(struct conn *c, size_t seen)
{
	size_t kept = c->in.n, taken;
	struct slice in;

	buf_add(&c->in, scratch, seen);
	if (buf_failed(&c->in)) {
		end(c, CONN_ERROR, ENOMEM);
		return;
	}
	in = buf_get(&c->in);
	c->busy = true;
	c->ops->octets(c->owner, &in);
	c->busy = false;
	if (c->fd < 0)
		return;
	taken = c->in.n - in.n;
	if (c->tls) {
		seen = taken > kept ? taken - kept : 0;
		taken = c->in.n;
	}
	buf_drop(&c->in, taken);
	if (c->in.n == 0)
		buf_release(&c->in);
	if (seen && recv(c->fd, scratch, seen, 0) != (ssize_t)seen)
		end(c, CONN_ERROR, EPROTO);
}

/* What is left in the kernel wakes the loop again: a session holds no more than a part of a record. */
static void on_records(struct conn *c)
{
	c->read_writes = false;
	for (int i = 0; i < RECORDS_A_TURN && c->fd >= 0 && c->want_read && !c->eof; i++) {
		size_t n;
		enum tls_status status = tls_read(c->tls, scratch, sizeof(scratch), &n);
		int error = errno;

		if (status == TLS_DONE) {
			give(c, slice_of(scratch, n));
			continue;
		}
		if (status == TLS_WANT_READ)
			break;
		if (status == TLS_WANT_WRITE) {
			c->read_writes = true;
			break;
		}
		c->eof = true;
		c->truncated = status == TLS_TRUNCATED;
		if (c->error)
			end(c, CONN_ERROR, c->error);
		else if (status == TLS_FAILED)
			end(c, error ? CONN_ERROR : CONN_TLS, error);
		else
			end(c, CONN_EOF, 0);
		break;
	}
	if (c->fd >= 0)
		update(c);
}

static void on_readable(struct conn *c)
{
	if (c->tls) {
		on_records(c);
		return;
	}
	for (int i = 0; i < READS_A_TURN && c->fd >= 0 && c->want_read && !c->eof && !c->tls; i++) {
		ssize_t n = recv(c->fd, scratch, sizeof(scratch), c->sparing ? MSG_PEEK : 0);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			if (errno != EAGAIN && errno != EWOULDBLOCK) {
				c->eof = true;
				end(c, CONN_ERROR, errno);
			}
			break;
		}
		if (n == 0) {
			c->eof = true;
			end(c, c->error ? CONN_ERROR : CONN_EOF, c->error);
			break;
		}
		if (c->sparing)
			on_spared(c, (size_t)n);
		else
			give(c, slice_of(scratch, (size_t)n));
		if ((size_t)n < sizeof(scratch))
			break;
	}
	if (c->fd >= 0)
		update(c);
}

static void on_io(void *arg, unsigned what)
{
	struct conn *c = arg;

	if (c->connecting) {
		int error = c->error;
		socklen_t n = sizeof(error);

		if (!error && getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0)
			error = errno;
		c->connecting = false;
		/* Without memory to hear it by, it would be silent until its time is over. */
		if (!error && !update(c))
			error = ENOMEM;
		if (error) {
			end(c, CONN_ERROR, error);
			return;
		}
		if (c->ops->connected)
			c->ops->connected(c->owner);
		if (c->fd >= 0)
			conn_push(c);
		return;
	}
	if (c->shaking) {
		shake(c);
		return;
	}
	if (c->blocked && (what & LOOP_WRITE || c->tls)) {
		c->blocked = false;
		conn_push(c);
		if (c->fd >= 0 && !c->blocked)
			update(c);
	}
	if (c->read_writes && c->fd >= 0) {
		on_readable(c);
		return;
	}
	if (!(what & LOOP_READ) || c->fd < 0)
		return;
	if (c->want_read) {
		on_readable(c);
	} else {
		c->unwanted = true;
		update(c);
	}
}

void conn_read(struct conn *c, bool on)
{
	if (c->want_read == on || c->fd < 0)
		return;
	c->want_read = on;
	if (on && c->unwanted) {
		c->unwanted = false;
		update(c);
	}
}

void conn_resume(struct conn *c)
{
	if (c->fd >= 0 && c->in.n && !c->busy)
		give(c, SLICE_NONE);
}
