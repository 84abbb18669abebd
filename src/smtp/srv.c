#include "base/bug.h"
#include "base/limits.h"
#include "smtp/srv_in.h"

void srv_enter(struct srv *s, enum srv_state to)
{
#define FROM(state) (1U << (state))
	static const unsigned from[] = {
		[SRV_GREET] = 0,
		[SRV_IDLE] = FROM(SRV_GREET) | FROM(SRV_IDLE) | FROM(SRV_MAIL) | FROM(SRV_RCPT) | FROM(SRV_CHUNKS) | FROM(SRV_SWALLOW) |
		    FROM(SRV_JUDGE) | FROM(SRV_SHAKE) | FROM(SRV_AUTH) | FROM(SRV_AUTH_LINE),
		[SRV_MAIL] = FROM(SRV_IDLE),
		[SRV_RCPT] = FROM(SRV_IDLE) | FROM(SRV_MAIL) | FROM(SRV_RCPT),
		[SRV_BODY] = FROM(SRV_RCPT) | FROM(SRV_CHUNKS),
		[SRV_CHUNKS] = FROM(SRV_BODY),
		[SRV_SWALLOW] = FROM(SRV_IDLE) | FROM(SRV_MAIL) | FROM(SRV_RCPT) | FROM(SRV_BODY) | FROM(SRV_CHUNKS),
		[SRV_JUDGE] = FROM(SRV_BODY),
		[SRV_SHAKE] = FROM(SRV_IDLE),
		[SRV_AUTH] = FROM(SRV_IDLE) | FROM(SRV_AUTH_LINE),
		[SRV_AUTH_LINE] = FROM(SRV_IDLE) | FROM(SRV_AUTH),
		[SRV_GONE] = ~0U,
	};

	BUG_ON(!(from[to] & FROM(s->state)));
#undef FROM
	s->state = to;
}

struct srv *srv_new(const struct srv_conf *conf)
{
	struct srv *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->conf = conf;
	s->offer = ext_offer(0, NULL);
	line_reader_init(&s->line, false);
	/* What was not taken when it was last looked at, an answer to each command behind that, and to the content for each recipient. */
	buf_init(&s->out, (size_t)LIMIT_OUT_PENDING + (LIMIT_PIPELINED + conf->rcpt_max) * (size_t)LIMIT_REPLY_LINE * 2);
	return s;
}

void srv_drop_body(struct srv *s)
{
	free(s->body);
	s->body = NULL;
}

void srv_free(struct srv **s)
{
	if (!*s)
		return;
	srv_drop_owed(*s);
	srv_drop_body(*s);
	line_reader_release(&(*s)->line);
	buf_release(&(*s)->out);
	free((*s)->why);
	free((void *)(uintptr_t)(*s)->helo.at);
	free(*s);
	*s = NULL;
}

/* ---- answers ---- */

void srv_go(struct srv *s)
{
	srv_enter(s, SRV_GONE);
	srv_drop_owed(s);
}

bool srv_remember(struct srv *s, const struct fault *why)
{
	if (!s->why)
		s->why = malloc(sizeof(*s->why));
	if (s->why)
		*s->why = *why;
	return s->why != NULL;
}

void srv_forget(struct srv *s)
{
	free(s->why);
	s->why = NULL;
}

void srv_clear_tx(struct srv *s)
{
	s->rcpt_ok = 0;
	s->rcpt_tries = 0;
	s->forwarded = false;
	s->utf8 = s->prdr = false;
	srv_drop_body(s);
	if (s->state != SRV_GONE)
		srv_enter(s, SRV_IDLE);
}

static void banner(struct srv *s)
{
	buf_str(&s->out, "220 ");
	buf_slice(&s->out, s->conf->hostname);
	buf_str(&s->out, " ESMTP\r\n");
}

void srv_greet(struct srv *s, const struct fault *instead)
{
	if (s->state != SRV_GREET)
		return;
	if (instead) {
		reply_fault(&s->out, instead);
		(void)srv_remember(s, instead);
		srv_go(s);
		return;
	}
	banner(s);
	srv_enter(s, SRV_IDLE);
}

void srv_tls(struct srv *s, enum srv_tls tls)
{
	s->tls = tls;
}

void srv_secured(struct srv *s)
{
	s->tls = SRV_TLS_ON;
	if (s->state != SRV_SHAKE)
		return;
	free((void *)(uintptr_t)s->helo.at);
	s->helo = SLICE_NONE;
	s->esmtp = false;
	s->authenticated = false;
	s->offered = (struct ext){ 0 };
	srv_clear_tx(s);
}

void srv_offer(struct srv *s, const struct ext *offer)
{
	s->offer = *offer;
}

void srv_trust(struct srv *s)
{
	s->trusted = true;
}

void srv_fronted(struct srv *s)
{
	s->fronted = true;
}

void srv_refuse_content(struct srv *s, const struct fault *f)
{
	if (s->state != SRV_BODY)
		return;
	srv_enter(s, SRV_SWALLOW);
	s->chunk.refused = s->chunk.on;
	if (!srv_remember(s, f)) {
		reply_fault(&s->out, f);
		srv_go(s);
	}
}

void srv_end(struct srv *s, const struct fault *f)
{
	if (s->state == SRV_GONE || s->ending)
		return;
	s->ending = srv_remember(s, f) && srv_pending(s);
	if (s->ending)
		return;
	reply_fault(&s->out, f);
	srv_go(s);
}

/* ---- commands ---- */

/* Our own answer, in its place. False: no memory. */
static bool say(struct srv *s, const char *text, const struct fault *f)
{
	struct buf *to = &s->out;
	uint32_t seq;

	if (s->owed_n) {
		if (!srv_owe(s, OWED_LOCAL, &seq))
			return false;
		s->owed[s->owed_at + s->owed_n - 1].done = true;
		to = &s->owed[s->owed_at + s->owed_n - 1].text;
	}
	if (f)
		reply_fault(to, f);
	else
		buf_str(to, text);
	return !buf_failed(to);
}

int srv_leave(struct call *c, const struct fault *f)
{
	c->ev->fault = *f;
	reply_fault(&c->s->out, f);
	srv_go(c->s);
	return SRV_EV_CLOSE;
}

int srv_no_memory(struct call *c)
{
	struct fault f = { 0 };

	fault_set(&f, FAULT_NO_MEMORY, 0);
	f.basic = 421;
	return srv_leave(c, &f);
}

static int refuse_fault(struct call *c, const struct fault *f)
{
	/* What stands behind it is content of somebody who did not wait (RFC 2920 3.1), and not to be run as commands. */
	if (c->last && c->in->n)
		return srv_leave(c, f);
	if (f->code != FAULT_TOO_MANY_RCPT)
		c->s->bad++;
	c->ev->fault = *f;
	if (!say(c->s, NULL, f))
		return srv_no_memory(c);
	return SRV_EV_REFUSED;
}

int srv_refuse(struct call *c, enum fault_code code)
{
	struct fault f = { 0 };

	fault_set(&f, code, 0);
	return refuse_fault(c, &f);
}

int srv_leave_for(struct call *c, enum fault_code code)
{
	struct fault f = { 0 };

	fault_set(&f, code, 0);
	return srv_leave(c, &f);
}

static int ok(struct call *c, const char *text)
{
	return say(c->s, text, NULL) ? GO_ON : srv_no_memory(c);
}

/* RSET and a new greeting. */
static int reset(struct call *c)
{
	bool open = c->s->state != SRV_IDLE || c->s->forwarded;

	srv_clear_tx(c->s);
	return open ? SRV_EV_RESET : GO_ON;
}

/* Empty: none yet. False: no memory, and the old one stays. */
static bool set_helo(struct srv *s, struct slice text)
{
	unsigned char *name = text.n ? malloc(text.n) : NULL;

	if (text.n && !name)
		return false;
	if (text.n)
		memcpy(name, text.at, text.n);
	free((void *)(uintptr_t)s->helo.at);
	s->helo = slice_of(name, text.n);
	return true;
}

static int hello(struct call *c, bool esmtp)
{
	struct srv *s = c->s;

	if (!cmd_hello(c->arg))
		return srv_refuse(c, FAULT_BAD_HELO);
	if (!set_helo(s, c->arg))
		return srv_no_memory(c);
	s->esmtp = esmtp;
	if (esmtp) {
		s->offered = s->offer;
		if (s->trusted)
			s->offered.bits |= EXT_XCLIENT | EXT_XFORWARD;
		if (s->tls == SRV_TLS_MAY || s->tls == SRV_TLS_REQUIRE)
			s->offered.bits |= EXT_STARTTLS;
		s->offered.auth = s->tls == SRV_TLS_ON ? s->auth : 0;
		if (s->offered.auth)
			s->offered.bits |= EXT_AUTH;
		if (s->tls != SRV_TLS_ON) /* RFC 8689 2 */
			s->offered.bits &= ~(unsigned)EXT_REQUIRETLS;
		ext_write(&s->out, s->conf->hostname, &s->offered, s->conf->rcpt_told ? s->conf->rcpt_told : s->conf->rcpt_max);
	} else {
		s->offered = (struct ext){ 0 };
		buf_str(&s->out, "250 ");
		buf_slice(&s->out, s->conf->hostname);
		buf_str(&s->out, "\r\n");
	}
	return reset(c);
}

static int do_ehlo(struct call *c)
{
	return hello(c, true);
}

static int do_helo(struct call *c)
{
	return hello(c, false);
}

/* The command's argument in the memory of the transaction. */
static bool keep_arg(struct call *c)
{
	c->arg = arena_copy(c->tx, c->arg);
	return !arena_failed(c->tx);
}

/* A source route is taken and forgotten (RFC 5321 4.1.2, appendix C): nobody behind us is to read another domain out of the path. */
static bool drop_route(struct call *c)
{
	struct path *p = &c->ev->path;
	size_t at = p->raw.n > 1 && p->raw.at[1] == '@' ? (size_t)(p->local.at - p->raw.at) : 0;

	if (at == 0)
		return true;
	p->raw = arena_printf(c->tx, "<%.*s", SLICE_FMT(slice_sub(p->raw, at, SIZE_MAX)));
	p->local = slice_sub(p->raw, 1, p->local.n);
	p->domain = slice_sub(p->raw, 1 + p->local.n + 1, p->domain.n);
	return !arena_failed(c->tx);
}

/* REQUIRETLS in clear: what would help is TLS, where there is any. */
static void say_tls_first(const struct srv *s, struct fault *f)
{
	if (f->code != FAULT_REQUIRETLS || s->tls == SRV_TLS_ON)
		return;
	*f = (struct fault){ 0 };
	fault_note(f, s->tls == SRV_TLS_NONE ? FAULT_PARAM_UNKNOWN : FAULT_TLS_NEEDED, 0, "REQUIRETLS in clear");
}

static int do_mail(struct call *c)
{
	struct srv *s = c->s;
	struct fault f = { 0 };

	if (s->state != SRV_IDLE || !s->helo.n)
		return srv_refuse(c, FAULT_BAD_SEQUENCE);
	if (!keep_arg(c))
		return srv_refuse(c, FAULT_NO_MEMORY);
	if (!cmd_mail(c->arg, &s->offered, &c->ev->path, &c->ev->params, &f)) {
		say_tls_first(s, &f);
		return refuse_fault(c, &f);
	}
	if (!drop_route(c) || !srv_owe(s, OWED_MAIL, &c->ev->seq))
		return srv_refuse(c, FAULT_NO_MEMORY);
	s->utf8 = c->ev->params.smtputf8;
	s->prdr = c->ev->params.prdr;
	s->rcpt_over = 0;
	memset(&s->chunk, 0, sizeof(s->chunk));
	s->swallowed = 0;
	return SRV_EV_MAIL;
}

/* Told of once a transaction, answered each time. */
static int too_many_rcpt(struct call *c)
{
	int refused = srv_refuse(c, FAULT_TOO_MANY_RCPT);

	return c->s->rcpt_over++ && refused == SRV_EV_REFUSED ? GO_ON : refused;
}

static int do_rcpt(struct call *c)
{
	struct srv *s = c->s;
	struct fault f = { 0 };

	/* MAIL still waits: the session is idle until it is answered */
	if ((s->state == SRV_IDLE && !s->owed_n) || s->state == SRV_CHUNKS)
		return srv_refuse(c, FAULT_BAD_SEQUENCE);
	if (s->rcpt_tries >= LIMIT_RCPT_TRIES)
		return srv_leave_for(c, FAULT_TOO_MANY_ERRORS);
	s->rcpt_tries++;
	if (s->rcpt_ok >= s->conf->rcpt_max)
		return too_many_rcpt(c);
	if (!keep_arg(c))
		return srv_refuse(c, FAULT_NO_MEMORY);
	if (!cmd_rcpt(c->arg, &s->offered, s->utf8, &c->ev->path, &c->ev->params, &f))
		return refuse_fault(c, &f);
	if (!drop_route(c) || !srv_owe(s, OWED_RCPT, &c->ev->seq))
		return srv_refuse(c, FAULT_NO_MEMORY);
	return SRV_EV_RCPT;
}

static int early_talk(struct call *c)
{
	struct fault f = { 0 };

	fault_note(&f, FAULT_EARLY_TALK, 0, "octets behind DATA");
	memcpy(f.enhanced, "5.5.0", sizeof("5.5.0"));
	return srv_leave(c, &f);
}

static int do_data(struct call *c)
{
	struct srv *s = c->s;

	if (c->arg.n)
		return srv_refuse(c, FAULT_COMMAND_SYNTAX);
	if (s->state != SRV_RCPT)
		return srv_refuse(c, s->state == SRV_MAIL && s->rcpt_tries ? FAULT_NO_RCPT : FAULT_BAD_SEQUENCE);
	if (c->in->n)
		return early_talk(c);
	s->body = malloc(sizeof(*s->body));
	if (!s->body || !srv_owe(s, OWED_DATA, &c->ev->seq)) {
		srv_drop_body(s);
		return srv_refuse(c, FAULT_NO_MEMORY);
	}
	body_reader_init(s->body);
	return SRV_EV_DATA;
}

static int do_rset(struct call *c)
{
	int answered;

	if (c->arg.n)
		return srv_refuse(c, FAULT_COMMAND_SYNTAX);
	answered = ok(c, "250 2.0.0 ok\r\n");
	return answered == GO_ON ? reset(c) : answered;
}

static int do_noop(struct call *c)
{
	return ok(c, "250 2.0.0 ok\r\n");
}

static int do_vrfy(struct call *c)
{
	struct fault f = { 0 };

	if (!cmd_vrfy(c->arg, &c->s->offered, &f))
		return refuse_fault(c, &f);
	return ok(c, "252 2.5.2 cannot VRFY, send mail and it will be tried\r\n");
}

static int do_help(struct call *c)
{
	return ok(c, "214 2.0.0 see RFC 5321\r\n");
}

static int do_quit(struct call *c)
{
	int answered;

	if (c->arg.n)
		return srv_refuse(c, FAULT_COMMAND_SYNTAX);
	answered = ok(c, "221 2.0.0 bye\r\n");
	if (answered != GO_ON)
		return answered;
	c->ev->fault.code = FAULT_NONE;
	srv_go(c->s);
	return SRV_EV_CLOSE;
}

static int do_later(struct call *c)
{
	return srv_refuse(c, FAULT_COMMAND_LATER);
}

static int do_starttls(struct call *c)
{
	struct srv *s = c->s;

	if (c->arg.n) /* RFC 3207 4: no parameters */
		return srv_refuse(c, FAULT_COMMAND_SYNTAX);
	if (s->tls == SRV_TLS_NONE)
		return srv_refuse(c, FAULT_COMMAND_LATER);
	if (s->tls == SRV_TLS_ON || s->state != SRV_IDLE)
		return srv_refuse(c, FAULT_BAD_SEQUENCE);
	/* They were not protected, and would be taken for what was (CVE-2011-0411). */
	if (c->in->n)
		return srv_leave_for(c, FAULT_TLS_EARLY_DATA);
	buf_str(&s->out, "220 2.0.0 go ahead\r\n");
	srv_enter(s, SRV_SHAKE);
	return SRV_EV_STARTTLS;
}

/* What XCLIENT or XFORWARD says, in the memory of the transaction; NULL: refused, *refusal_out is what run() gives. */
static struct xclient *read_client(struct call *c, unsigned ours, int *refusal_out)
{
	struct xclient *who;
	struct fault f = { 0 };

	if (!c->s->trusted) {
		*refusal_out = srv_refuse(c, FAULT_XCLIENT_REFUSED);
		return NULL;
	}
	if (c->s->state != SRV_IDLE) {
		*refusal_out = srv_refuse(c, FAULT_BAD_SEQUENCE);
		return NULL;
	}
	who = ARENA_NEW(c->tx, struct xclient);
	if (!who) {
		*refusal_out = srv_refuse(c, FAULT_NO_MEMORY);
		return NULL;
	}
	if (!xclient_read(c->arg, ours, who, &f)) {
		*refusal_out = refuse_fault(c, &f);
		return NULL;
	}
	c->ev->who = who;
	return who;
}

/* A new session, of somebody else: nothing that was said before counts. */
static int do_xclient(struct call *c)
{
	struct srv *s = c->s;
	int refusal = GO_ON;
	const struct xclient *who = read_client(c, XCLIENT_OURS, &refusal);

	if (!who)
		return refusal;
	if (!set_helo(s, who->known & XCLIENT_HELO ? slice_str(who->helo) : SLICE_NONE))
		return srv_no_memory(c);
	s->esmtp = (who->known & XCLIENT_PROTO) && who->esmtp;
	s->authenticated = false;
	s->auth_failures = 0;
	s->offered = (struct ext){ 0 };
	banner(s);
	srv_clear_tx(s);
	return SRV_EV_XCLIENT;
}

static int do_xforward(struct call *c)
{
	int answered = GO_ON;

	if (!read_client(c, XFORWARD_OURS, &answered))
		return answered;
	answered = ok(c, "250 2.0.0 ok\r\n");
	c->s->forwarded = answered == GO_ON;
	return answered == GO_ON ? SRV_EV_XFORWARD : answered;
}

/* A web client made to talk to us, or who stands in front of us; what follows is not for us either. */
static int do_foreign(struct call *c)
{
	bool again = c->s->fronted && slice_starts(c->line, S("PROXY"));
	struct fault f = { 0 };

	fault_note(&f, again ? FAULT_PROXY_AGAIN : FAULT_NOT_SMTP, 0, "%.*s", SLICE_FMT(slice_sub(c->line, 0, 7)));
	return srv_leave(c, &f);
}

static int do_unknown(struct call *c)
{
	return srv_refuse(c, FAULT_COMMAND_UNKNOWN);
}

enum command_flags {
	JOINS = 1,  /* may run while earlier answers are owed */
	LAST = 2,   /* nothing may be pipelined behind it */
	IDLE = 4,   /* counted against LIMIT_IDLE_COMMANDS */
	FREE = 8,   /* runs after too many errors as well */
	LOOSE = 16, /* reads its own argument for odd octets */
	PRIVATE = 32 /* not before TLS where that is required */
};

static const struct command {
	const char *verb;
	unsigned flags;
	int (*run)(struct call *c);
} commands[] = {
	{ "RCPT", JOINS | LOOSE | PRIVATE, do_rcpt },
	{ "MAIL", LOOSE | PRIVATE, do_mail },
	{ "DATA", LAST | PRIVATE, do_data },
	{ "EHLO", IDLE | LOOSE, do_ehlo },
	{ "QUIT", FREE, do_quit },
	{ "RSET", IDLE | PRIVATE, do_rset },
	{ "HELO", IDLE | LOOSE, do_helo },
	{ "NOOP", IDLE, do_noop },
	{ "VRFY", IDLE | PRIVATE, do_vrfy },
	{ "HELP", IDLE | PRIVATE, do_help },
	{ "EXPN", IDLE | PRIVATE, do_later },
	{ "STARTTLS", 0, do_starttls },
	{ "AUTH", PRIVATE, srv_auth_begin },
	{ "BDAT", LOOSE, srv_chunk_begin },
	{ "XCLIENT", IDLE | PRIVATE, do_xclient },
	{ "XFORWARD", IDLE | PRIVATE, do_xforward },
	{ "PROXY", LOOSE, do_foreign },
	{ "GET", LOOSE, do_foreign },
	{ "POST", LOOSE, do_foreign },
	{ "PUT", LOOSE, do_foreign },
	{ "HEAD", LOOSE, do_foreign },
	{ "CONNECT", LOOSE, do_foreign },
	{ "OPTIONS", LOOSE, do_foreign },
};

static const struct command *command_of(struct slice verb)
{
	static const struct command unknown = { "", 0, do_unknown };

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (slice_ieq(verb, slice_str(commands[i].verb)))
			return &commands[i];
	return &unknown;
}

/* Must it wait until the answers owed have come? */
static bool held_back(const struct srv *s, const struct command *cmd)
{
	size_t rcpts = s->rcpt_ok;

	if (!s->owed_n)
		return false;
	for (size_t i = 0; i < s->owed_n; i++)
		rcpts += s->owed[s->owed_at + i].kind == OWED_RCPT && !s->owed[s->owed_at + i].done;
	return !(cmd->flags & JOINS) || rcpts >= s->conf->rcpt_max || s->rcpt_tries >= LIMIT_RCPT_TRIES || s->bad >= LIMIT_BAD_COMMANDS ||
	    s->bad_rcpt >= LIMIT_BAD_RCPT;
}

static int run(struct call *c, const struct command *cmd)
{
	struct srv *s = c->s;
	struct fault f = { 0 };

	c->last = cmd->flags & LAST;
	if (s->bad >= LIMIT_BAD_COMMANDS && !(cmd->flags & FREE))
		return srv_leave_for(c, FAULT_TOO_MANY_ERRORS);
	if ((cmd->run == do_rcpt || cmd->run == do_mail) && s->bad_rcpt >= LIMIT_BAD_RCPT)
		return srv_leave_for(c, FAULT_TOO_MANY_ERRORS);
	if ((cmd->flags & IDLE) && ++s->idle > LIMIT_IDLE_COMMANDS)
		return srv_leave_for(c, FAULT_TOO_MANY_COMMANDS);
	if (!(cmd->flags & LOOSE) && !cmd_text(c->line, &f))
		return refuse_fault(c, &f);
	if ((cmd->flags & PRIVATE) && s->tls == SRV_TLS_REQUIRE)
		return srv_refuse(c, FAULT_TLS_REQUIRED);
	return cmd->run(c);
}

/* A line of which it is not known where it ends, or what follows it: the end, behind the answers that are owed. */
static int hopeless(struct call *c, const char *why)
{
	struct fault f = { 0 };

	fault_note(&f, FAULT_LINE_TOO_LONG, LIMIT_COMMAND_LINE, "%s", why);
	if (!c->s->owed_n)
		return srv_leave(c, &f);
	if (!srv_remember(c->s, &f))
		return srv_no_memory(c);
	c->s->ending = true;
	return SRV_EV_WAIT;
}

/* In: how it began */
static int too_long(struct call *c, struct slice head)
{
	struct srv *s = c->s;

	if (s->bad >= LIMIT_BAD_COMMANDS && !s->owed_n)
		return srv_leave_for(c, FAULT_TOO_MANY_ERRORS);
	/* Its chunk is next, of a size that nobody has read (RFC 3030 2). */
	if (slice_ieq(cmd_verb(head, &c->arg), S("BDAT")))
		return hopeless(c, "BDAT");
	return srv_refuse(c, FAULT_LINE_TOO_LONG);
}

/* RFC 4954 4: AUTH may be longer than others. */
static size_t line_most(const struct srv *s)
{
	return s->offered.bits & EXT_AUTH && !s->authenticated ? LIMIT_AUTH_LINE : LIMIT_COMMAND_LINE;
}

static int step_command(struct call *c)
{
	struct srv *s = c->s;
	struct slice before = *c->in;
	const struct command *cmd;

	if (s->owed_n && s->owed[s->owed_at].kind == OWED_DATA && c->in->n)
		return early_talk(c);
	if (s->owed_n && s->owed[s->owed_at].kind == OWED_BDAT)
		return c->in->n ? SRV_EV_WAIT : SRV_EV_MORE; /* what comes is its chunk */
	if (s->owed_n >= LIMIT_PIPELINED || s->ending || s->out.n > LIMIT_OUT_PENDING)
		return c->in->n ? SRV_EV_WAIT : SRV_EV_MORE;
	switch (line_read(&s->line, c->in, line_most(s), &c->line)) {
	case LINE_WHOLE:
		break;
	case LINE_MORE:
		return SRV_EV_MORE;
	case LINE_LONG:
		return too_long(c, slice_of(s->line.head, LINE_HEAD));
	case LINE_ENDLESS:
		return hopeless(c, "no end of line");
	case LINE_BARE_LF:
	case LINE_NO_MEMORY:
		return srv_no_memory(c);
	}
	cmd = command_of(cmd_verb(c->line, &c->arg));
	if (c->line.n + 2 > LIMIT_COMMAND_LINE && cmd->run != srv_auth_begin)
		return too_long(c, c->line);
	if (held_back(s, cmd)) {
		line_unread(&s->line, before.n - c->in->n);
		*c->in = before;
		return SRV_EV_WAIT;
	}
	return run(c, cmd);
}

static int step(struct call *c)
{
	struct srv *s = c->s;

	if (buf_failed(&s->out) && s->state != SRV_GONE) {
		buf_clear(&s->out);
		return srv_no_memory(c);
	}
	switch (s->state) {
	case SRV_IDLE:
	case SRV_MAIL:
	case SRV_RCPT:
	case SRV_CHUNKS:
		return step_command(c);
	case SRV_BODY:
	case SRV_SWALLOW:
		return srv_content_step(c);
	case SRV_AUTH_LINE:
		return srv_auth_step(c);
	case SRV_GREET:
	case SRV_JUDGE:
	case SRV_SHAKE:
	case SRV_AUTH:
		return c->in->n ? SRV_EV_WAIT : SRV_EV_MORE;
	case SRV_GONE:
		break;
	}
	if (s->why)
		c->ev->fault = *s->why;
	else
		c->ev->fault.code = FAULT_NONE;
	return SRV_EV_CLOSE;
}

enum srv_event_kind srv_feed(struct srv *s, struct slice *in, struct arena *tx, struct srv_event *ev_out)
{
	struct call c = { .s = s, .in = in, .tx = tx, .ev = ev_out };
	int kind;

	do {
		kind = step(&c);
	} while (kind == GO_ON);
	ev_out->kind = (enum srv_event_kind)kind;
	return ev_out->kind;
}

/* ---- questions ---- */

enum srv_state srv_state(const struct srv *s)
{
	return s->state;
}

bool srv_esmtp(const struct srv *s)
{
	return s->esmtp;
}

struct slice srv_helo(const struct srv *s)
{
	return s->helo;
}

size_t srv_rcpt_over(const struct srv *s)
{
	return s->rcpt_over;
}

size_t srv_pending(const struct srv *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->owed_n; i++)
		n += !s->owed[s->owed_at + i].done;
	return n;
}

struct buf *srv_out(struct srv *s)
{
	return &s->out;
}

enum srv_awaits srv_awaits(const struct srv *s)
{
	if (srv_pending(s))
		return SRV_AWAITS_NOTHING;
	switch (s->state) {
	case SRV_IDLE:
	case SRV_MAIL:
	case SRV_RCPT:
	case SRV_AUTH_LINE:
		return SRV_AWAITS_COMMAND;
	case SRV_BODY:
	case SRV_CHUNKS:
	case SRV_SWALLOW:
		return SRV_AWAITS_CONTENT;
	case SRV_GREET:
	case SRV_JUDGE:
	case SRV_SHAKE:
	case SRV_AUTH:
	case SRV_GONE:
		break;
	}
	return SRV_AWAITS_NOTHING;
}
