#include <string.h>

#include "relay/content.h"

/* As much as a socket takes at a time; what is looked at further ahead would only be in memory for longer. */
enum { RING_OCTETS = 262144 };

void content_begin(struct content *c, content_next *next, void *arg)
{
	*c = (struct content){ .next = next, .arg = arg };
	body_writer_init(&c->writer);
}

static void put(struct content *c, struct slice run)
{
	c->ring[c->ring_at + c->ring_count++] = (struct iovec){ (void *)(uintptr_t)run.at, run.n };
	c->ring_octets += run.n;
}

/* Fills the ring with what comes next. */
static void fill(struct content *c)
{
	struct slice run;

	if (c->ring_count == 0)
		c->ring_at = 0;
	while (!c->finished && c->ring_at + c->ring_count < CONTENT_RUNS && c->ring_octets < RING_OCTETS) {
		if (c->run.n == 0) {
			if (!c->next(c->arg, &c->run, &c->dots)) {
				put(c, body_finish(&c->writer));
				c->finished = true;
			}
			continue;
		}
		if (c->dots ? body_write(&c->writer, &c->run, &run) : body_write_dotless(&c->writer, &c->run, &run))
			put(c, run);
	}
}

size_t content_out(struct content *c, struct iovec *iov, size_t max)
{
	size_t n;

	fill(c);
	n = c->ring_count < max ? c->ring_count : max;
	memcpy(iov, c->ring + c->ring_at, n * sizeof(*iov));
	return n;
}

bool content_wrote(struct content *c, size_t n)
{
	c->ring_octets -= n;
	while (n) {
		struct iovec *v = &c->ring[c->ring_at];

		if (n < v->iov_len) {
			v->iov_base = (char *)v->iov_base + n;
			v->iov_len -= n;
			return false;
		}
		n -= v->iov_len;
		c->ring_at++;
		c->ring_count--;
	}
	return c->finished && c->ring_count == 0;
}
