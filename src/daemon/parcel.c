#include "daemon/parcel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"

enum { PIECE = 16384, HEAD = 8, TURN = 64 };

void parcel_init(struct parcel *p)
{
	*p = (struct parcel){ .fd = -1 };
	buf_init(&p->in, LIMIT_PARCEL);
	buf_init(&p->out, LIMIT_PARCEL_UNSENT);
}

void parcel_set(struct parcel *p, int fd)
{
	parcel_release(p);
	p->fd = fd;
}

void parcel_release(struct parcel *p)
{
	if (p->fd >= 0)
		close(p->fd);
	buf_release(&p->in);
	buf_release(&p->out);
	parcel_init(p);
}

bool parcel_send(struct parcel *p, uint32_t ticket, struct slice text)
{
	size_t before = p->out.n;

	if (p->fd < 0)
		return false;
	do {
		uint32_t n = text.n < PIECE ? (uint32_t)text.n : PIECE, more = text.n > PIECE, length = HEAD + n;

		buf_add(&p->out, &length, sizeof(length));
		buf_add(&p->out, &ticket, sizeof(ticket));
		buf_add(&p->out, &more, sizeof(more));
		buf_add(&p->out, text.at, n);
		text = slice_of(n ? text.at + n : text.at, text.n - n);
	} while (text.n);
	if (!buf_failed(&p->out))
		return true;
	p->out.n = before;
	p->out.failed = false;
	return false;
}

bool parcel_waits(const struct parcel *p)
{
	return p->out_at < p->out.n;
}

bool parcel_write(struct parcel *p)
{
	while (p->fd >= 0 && parcel_waits(p)) {
		uint32_t length;
		ssize_t sent;

		memcpy(&length, p->out.at + p->out_at, sizeof(length));
		do
			sent = send(p->fd, p->out.at + p->out_at + sizeof(length), length, MSG_DONTWAIT | MSG_NOSIGNAL);
		while (sent < 0 && errno == EINTR);
		if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS))
			break;
		if (sent < 0)
			return false;
		p->out_at += sizeof(length) + length;
	}
	if (!parcel_waits(p)) {
		buf_clear(&p->out);
		p->out_at = 0;
	} else if (p->out_at > p->out.n / 2) {
		buf_drop(&p->out, p->out_at);
		p->out_at = 0;
	}
	return true;
}

int parcel_read(struct parcel *p, uint32_t *ticket_out, struct slice *text_out)
{
	unsigned char packet[HEAD + PIECE];

	for (unsigned i = 0; i < TURN && p->fd >= 0; i++) {
		ssize_t n = recv(p->fd, packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC);
		uint32_t more;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (p->whole)
			buf_clear(&p->in);
		p->whole = false;
		if (n >= HEAD && (size_t)n <= sizeof(packet)) {
			memcpy(ticket_out, packet, sizeof(*ticket_out));
			memcpy(&more, packet + 4, sizeof(more));
			buf_add(&p->in, packet + HEAD, (size_t)n - HEAD);
			if (more == 0 && !buf_failed(&p->in)) {
				*text_out = buf_get(&p->in);
				p->whole = true;
				return 1;
			}
			if (more == 1 && !buf_failed(&p->in))
				continue;
		}
		/* The end, an error, or garbage. */
		return -1;
	}
	return 0;
}
