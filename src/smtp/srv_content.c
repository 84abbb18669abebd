/*
 * srv_content.c - content on its way in: given out, or refused and swallowed.
 */
#include "base/limits.h"
#include "smtp/srv_in.h"

/* Refused content has ended, or is too much. */
static int swallowed(struct call *c, bool whole)
{
	struct srv *s = c->s;
	const struct fault *spoiled = s->body->fault.code ? &s->body->fault : NULL;

	reply_fault(&s->out, s->why ? s->why : spoiled);
	if (spoiled || !whole) {
		if (!s->why)
			(void)srv_remember(s, spoiled);
		srv_go(s);
		return GO_ON;
	}
	srv_forget(s);
	srv_drop_body(s);
	srv_clear_tx(s);
	return GO_ON;
}

int srv_content_step(struct call *c)
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
	srv_drop_body(s);
	if (!srv_owe(s, OWED_END, &c->ev->seq))
		return srv_no_memory(c);
	srv_enter(s, SRV_JUDGE);
	return SRV_EV_END;
}
