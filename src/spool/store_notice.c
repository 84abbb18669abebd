/*
 * store_notice.c - names of files go to the queue process once they are durable. It would find them all the same, later: what cannot be
 * told is made up for by telling it to look.
 */
#include "spool/store_in.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WAITING_MAX = 4096 * SPOOL_NAME };

static void hang_up(struct store *s)
{
	loop_io_stop(&s->queue_io);
	if (s->queue_fd >= 0)
		close(s->queue_fd);
	s->queue_fd = -1;
	buf_clear(&s->names);
}

/* False: not now. */
static bool send_packet(struct store *s, struct slice packet)
{
	ssize_t n;

	do
		n = send(s->queue_fd, packet.at, packet.n, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return true;
	if (errno != EAGAIN && errno != ENOBUFS)
		hang_up(s);
	return false;
}

/* One packet; false: nothing is left, or not now. */
static bool send_next(struct store *s)
{
	unsigned char octets[SPOOL_NOTICE];
	struct buf packet;
	size_t n = 0;
	bool sent;

	if (s->look) {
		octets[0] = SPOOL_LOOK;
		if (!send_packet(s, slice_of(octets, 1)))
			return false;
		s->look = false;
	}
	if (s->names.n == 0)
		return false;
	buf_init(&packet, SPOOL_NOTICE);
	while (n < s->names.n && spool_notice_add(&packet, slice_of(s->names.at + n, SPOOL_NAME)))
		n += SPOOL_NAME;
	sent = n > 0 && send_packet(s, buf_get(&packet));
	buf_release(&packet);
	if (sent)
		buf_drop(&s->names, n);
	return sent;
}

static void on_queue(void *arg, unsigned what)
{
	(void)what;
	store_tell_now(arg);
}

void store_tell_now(struct store *s)
{
	if (s->queue_fd < 0)
		return;
	while (send_next(s))
		;
	if (s->queue_fd >= 0)
		(void)loop_io_want(s->loop, &s->queue_io, s->queue_fd, s->look || s->names.n ? LOOP_WRITE : 0, on_queue, s);
}

void store_tell(struct store *s, struct slice name)
{
	if (s->on_commit)
		s->on_commit(s->on_commit_arg, name);
	if (s->queue_fd < 0)
		return;
	if (s->names.n >= WAITING_MAX) {
		buf_clear(&s->names);
		s->look = true;
	}
	buf_slice(&s->names, name);
	if (buf_failed(&s->names)) {
		buf_clear(&s->names);
		s->look = true;
	}
}

void store_set_queue(struct store *s, int fd)
{
	hang_up(s);
	s->queue_fd = fd;
	s->look = fd >= 0;
	store_tell_now(s);
}

void store_on_commit(struct store *s, void (*on)(void *arg, struct slice name), void *arg)
{
	s->on_commit = on;
	s->on_commit_arg = arg;
}
