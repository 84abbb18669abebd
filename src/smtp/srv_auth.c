/*
 * srv_auth.c - AUTH (RFC 4954): its command and the lines that follow it. What is said in them is the caller's to judge.
 */
#include "base/b64.h"
#include "base/limits.h"
#include "smtp/srv_in.h"

/* The client may go on with something else. */
static int give_up(struct call *c, enum fault_code code)
{
	srv_enter(c->s, SRV_IDLE);
	c->s->auth_failures++;
	return srv_refuse(c, code);
}

/* A message of the client, in the memory of the transaction. */
static int message(struct call *c, struct slice text)
{
	struct slice octets;

	if (!b64_decode(c->tx, text, false, &octets))
		return arena_failed(c->tx) ? srv_no_memory(c) : give_up(c, FAULT_AUTH_BASE64);
	c->ev->mech = c->s->mech;
	c->ev->first = c->s->auth_first;
	c->ev->content = octets;
	c->s->auth_first = false;
	srv_enter(c->s, SRV_AUTH);
	return SRV_EV_AUTH;
}

int srv_auth_begin(struct call *c)
{
	struct srv *s = c->s;
	struct slice rest = c->arg, name;
	enum auth_mech mech;
	bool more;

	if (!s->auth)
		return srv_refuse(c, FAULT_COMMAND_LATER);
	if (s->tls != SRV_TLS_ON)
		return srv_refuse(c, FAULT_AUTH_TLS);
	if (s->state != SRV_IDLE || s->authenticated || !(s->offered.bits & EXT_AUTH))
		return srv_refuse(c, FAULT_BAD_SEQUENCE);
	if (s->auth_failures >= LIMIT_AUTH_FAILURES)
		return srv_leave_for(c, FAULT_TOO_MANY_ERRORS);
	more = slice_cut(&rest, ' ', &name);
	if (name.n == 0)
		return srv_refuse(c, FAULT_COMMAND_SYNTAX);
	if (!auth_mech_find(name, &mech) || !(s->offered.auth & 1U << mech))
		return srv_refuse(c, FAULT_AUTH_MECHANISM);
	s->mech = mech;
	s->auth_first = true;
	if (more) /* "=" is an initial response of no octets */
		return message(c, slice_eq(rest, S("=")) ? SLICE_NONE : rest);
	/* The first word is the client's in all of ours. */
	buf_str(&s->out, "334 \r\n");
	srv_enter(s, SRV_AUTH_LINE);
	return GO_ON;
}

int srv_auth_step(struct call *c)
{
	struct fault f = { 0 };

	switch (line_read(&c->s->line, c->in, LIMIT_AUTH_LINE, &c->line)) {
	case LINE_WHOLE:
		return slice_eq(c->line, S("*")) ? give_up(c, FAULT_AUTH_CANCELLED) : message(c, c->line);
	case LINE_MORE:
		return SRV_EV_MORE;
	case LINE_LONG:
		return give_up(c, FAULT_AUTH_LINE);
	case LINE_ENDLESS:
		fault_note(&f, FAULT_AUTH_LINE, LIMIT_AUTH_LINE, "no end of line");
		return srv_leave(c, &f);
	case LINE_BARE_LF:
	case LINE_NO_MEMORY:
		break;
	}
	return srv_no_memory(c);
}

void srv_auth(struct srv *s, unsigned mechs)
{
	s->auth = mechs;
}

void srv_auth_ask(struct srv *s, struct slice challenge)
{
	if (s->state != SRV_AUTH)
		return;
	buf_str(&s->out, "334 ");
	b64_encode(&s->out, challenge);
	buf_str(&s->out, "\r\n");
	srv_enter(s, SRV_AUTH_LINE);
}

void srv_auth_end(struct srv *s, const struct fault *f)
{
	if (s->state != SRV_AUTH)
		return;
	srv_enter(s, SRV_IDLE);
	if (!f) {
		s->authenticated = true;
		buf_str(&s->out, "235 2.7.0 authentication successful\r\n");
		return;
	}
	s->auth_failures = (uint16_t)(s->auth_failures + (f->basic / 100 == 5));
	reply_fault(&s->out, f);
	if (f->basic == 421)
		srv_go(s);
}

bool srv_authenticated(const struct srv *s)
{
	return s->authenticated;
}
