/*
 * srv_content.c - content on its way in, by DATA or in chunks (RFC 3030): given out, or refused and swallowed.
 */
#include <stdlib.h>

#include "base/limits.h"
#include "smtp/srv_in.h"

static int whole(struct call *c)
{
	struct srv *s = c->s;

	c->ev->crlf_added = s->chunk.crlf_added;
	c->ev->dots = s->body->dots;
	srv_drop_body(s);
	if (!srv_owe(s, OWED_END, &c->ev->seq))
		return srv_no_memory(c);
	srv_enter(s, SRV_JUDGE);
	return SRV_EV_END;
}

/* ---- DATA ---- */

/* Refused content has ended, or is too much. */
static int swallowed(struct call *c, bool ended)
{
	struct srv *s = c->s;
	const struct fault *spoiled = s->body->fault.code ? &s->body->fault : NULL;

	reply_fault(&s->out, s->why ? s->why : spoiled);
	if (spoiled || !ended) {
		if (!s->why)
			(void)srv_remember(s, spoiled);
		srv_go(s);
		return GO_ON;
	}
	srv_forget(s);
	srv_clear_tx(s);
	return GO_ON;
}

static int step_dots(struct call *c)
{
	struct srv *s = c->s;
	size_t before = c->in->n;
	enum body_status status = body_read(s->body, c->in, &c->ev->content);
	bool told = s->state == SRV_SWALLOW;

	if (s->body->fault.code && !told) {
		c->ev->fault = s->body->fault;
		srv_enter(s, SRV_SWALLOW);
	}
	if (s->state == SRV_SWALLOW) {
		s->swallowed += before - c->in->n;
		if (status == BODY_END || s->swallowed > LIMIT_SWALLOW)
			(void)swallowed(c, status == BODY_END);
		else if (status == BODY_MORE && told)
			return SRV_EV_MORE;
		return told ? GO_ON : SRV_EV_BAD;
	}
	switch (status) {
	case BODY_RUN:
		return SRV_EV_CONTENT;
	case BODY_MORE:
		return SRV_EV_MORE;
	case BODY_END:
		break;
	}
	return whole(c);
}

/* ---- BDAT ---- */

/* The chunk is not wanted: it is dropped, then f is the answer. */
static int refuse_chunk(struct call *c, const struct fault *f)
{
	struct srv *s = c->s;
	bool open = s->state != SRV_IDLE, silent = s->chunk.refused;

	if (!srv_remember(s, f))
		return srv_no_memory(c);
	s->chunk.on = s->chunk.refused = true;
	srv_enter(s, SRV_SWALLOW);
	if (silent) /* one of many that were on their way: said once */
		return GO_ON;
	s->bad++;
	c->ev->fault = *f;
	return open ? SRV_EV_BAD : SRV_EV_REFUSED;
}

static int refuse_chunk_for(struct call *c, enum fault_code code)
{
	struct fault f = { 0 };

	fault_set(&f, code, 0);
	return refuse_chunk(c, &f);
}

/* The message is longer with this chunk than SIZE allows. */
static bool too_big(const struct srv *s)
{
	uint64_t most = s->offered.size_octets;

	return most && (s->chunk.taken > most || s->chunk.octets > most - s->chunk.taken);
}

int srv_chunk_begin(struct call *c)
{
	struct srv *s = c->s;
	struct fault f = { 0 };

	if (!cmd_bdat(c->arg, &s->chunk.octets, &s->chunk.last, &f))
		return srv_leave(c, &f);
	s->chunk.left = s->chunk.octets;
	if (++s->chunk.count > LIMIT_CHUNKS) {
		fault_set(&f, FAULT_BDAT_LIMIT, 0);
		return srv_leave(c, &f);
	}
	if (s->state == SRV_MAIL && s->rcpt_tries)
		return refuse_chunk_for(c, FAULT_NO_RCPT);
	if ((s->state != SRV_RCPT && s->state != SRV_CHUNKS) || !(s->offered.bits & EXT_CHUNKING))
		return refuse_chunk_for(c, FAULT_BAD_SEQUENCE);
	if (too_big(s))
		return refuse_chunk_for(c, FAULT_TOO_BIG);
	s->chunk.taken += s->chunk.octets;
	if (s->state == SRV_CHUNKS) {
		srv_enter(s, SRV_BODY);
		return GO_ON;
	}
	s->body = malloc(sizeof(*s->body));
	if (!s->body || !srv_owe(s, OWED_BDAT, &c->ev->seq))
		return refuse_chunk_for(c, FAULT_NO_MEMORY);
	body_reader_init_framed(s->body);
	s->chunk.on = true;
	return SRV_EV_DATA;
}

/* The chunk is here to its end, or all that is read of it; the transaction is over. */
static void chunk_refused(struct srv *s)
{
	bool ended = s->chunk.left == 0;

	if (s->owed_n) {
		srv_clear_tx(s);
		srv_flush(s);
	} else {
		reply_fault(&s->out, s->why);
		if (ended)
			srv_forget(s);
		srv_clear_tx(s);
	}
	if (!ended)
		srv_go(s);
}

static int swallow_chunk(struct call *c)
{
	struct srv *s = c->s;
	struct slice dropped;

	if (s->chunk.left && s->swallowed <= LIMIT_SWALLOW) {
		if (c->in->n == 0)
			return SRV_EV_MORE;
		(void)slice_take(c->in, c->in->n < s->chunk.left ? c->in->n : (size_t)s->chunk.left, &dropped);
		s->chunk.left -= dropped.n;
		s->swallowed += dropped.n;
		return GO_ON;
	}
	chunk_refused(s);
	return GO_ON;
}

/* What the content holds may not be sent on: RFC 3463 has a class for that, and the frame is as sure as before. */
static int spoiled(struct call *c)
{
	struct fault f = c->s->body->fault;

	memcpy(f.enhanced, "5.6.0", sizeof("5.6.0"));
	return refuse_chunk(c, &f);
}

static int chunk_ended(struct call *c)
{
	struct srv *s = c->s;

	if (!s->chunk.last) {
		buf_printf(&s->out, "250 2.0.0 %llu octets received\r\n", (unsigned long long)s->chunk.octets);
		srv_enter(s, SRV_CHUNKS);
		return GO_ON;
	}
	if (body_read_end(s->body, &c->ev->content) == BODY_RUN) {
		s->chunk.crlf_added = true;
		return SRV_EV_CONTENT;
	}
	return s->body->fault.code ? spoiled(c) : whole(c);
}

static int step_chunk(struct call *c)
{
	struct srv *s = c->s;
	struct slice piece;
	enum body_status status;
	size_t n;

	if (s->state == SRV_SWALLOW)
		return swallow_chunk(c);
	if (s->chunk.left == 0)
		return chunk_ended(c);
	if (c->in->n == 0)
		return SRV_EV_MORE;
	n = c->in->n < s->chunk.left ? c->in->n : (size_t)s->chunk.left;
	piece = slice_sub(*c->in, 0, n);
	status = body_read(s->body, &piece, &c->ev->content);
	n -= piece.n;
	*c->in = slice_sub(*c->in, n, SIZE_MAX);
	s->chunk.left -= n;
	if (s->body->fault.code)
		return spoiled(c);
	return status == BODY_RUN ? SRV_EV_CONTENT : GO_ON;
}

int srv_content_step(struct call *c)
{
	return c->s->chunk.on ? step_chunk(c) : step_dots(c);
}
