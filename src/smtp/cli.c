#include <stdlib.h>

#include "base/bug.h"
#include "base/limits.h"
#include "smtp/cli.h"

enum ask_kind {
	ASK_GREETING,
	ASK_EHLO, /* or LHLO */
	ASK_HELO,
	ASK_STARTTLS,
	ASK_MAIL,
	ASK_RCPT,
	ASK_DATA,
	ASK_CONTENT,
	ASK_RSET,
	ASK_QUIT,
	ASK_XCLIENT,
	ASK_XFORWARD
};

/* What each awaits: does the session wait for the answer before it says more (RFC 2920 3.1), and how long (RFC 5321 4.5.3.2). */
static const struct {
	const char *name;
	bool waits;
	unsigned deadline_s;
} asks[] = {
	[ASK_GREETING] = { "greeting", true, 300 },
	[ASK_EHLO] = { "EHLO", true, 300 },
	[ASK_HELO] = { "HELO", true, 300 },
	[ASK_STARTTLS] = { "STARTTLS", true, 120 },
	[ASK_MAIL] = { "MAIL", false, 300 },
	[ASK_RCPT] = { "RCPT", false, 300 },
	[ASK_DATA] = { "DATA", true, 120 },
	[ASK_CONTENT] = { "content", false, 600 },
	[ASK_RSET] = { "RSET", false, 300 },
	[ASK_QUIT] = { "QUIT", true, 300 },
	[ASK_XCLIENT] = { "XCLIENT", true, 300 },
	[ASK_XFORWARD] = { "XFORWARD", false, 300 },
};

/* The data block wait of RFC 5321 4.5.3.2.5: how long the next hop may take none of the content. */
enum { CONTENT_DEADLINE_S = 180 };

struct ask {
	enum ask_kind kind;
	uint32_t tag;
	size_t octets; /* of the command, in `later` */
};

struct cli {
	struct slice hostname;
	struct ext ext;
	unsigned xclient, xforward;        /* attributes the next hop lists */
	struct buf identity;               /* XCLIENT as it was said last, and the name for EHLO behind it; empty: none */
	size_t identity_name;              /* where that name begins */
	unsigned identity_listed;          /* attributes in it */
	struct reply_reader reader;
	struct ask *asked;                 /* in order, those on their way first */
	size_t asked_at, asked_n, asked_room;
	size_t sent;                       /* how many of them are on their way */
	struct buf later;                  /* commands that are not */
	struct buf out;
	size_t accepted;                   /* recipients of the transaction */
	size_t each;                       /* of those, how many the content's answer is still to come for; 0: one answer for all */
	uint32_t mails;                    /* MAIL said on this connection */
	enum cli_tls tls;
	bool lmtp;
	bool prdr;                         /* MAIL was said with it */
	bool secure;                       /* inside TLS */
	bool ready;
	bool open;                         /* the next hop has a transaction */
	bool content;                      /* 354 has come, the content's end is not sent */
	bool quitting;
	bool unasked;                      /* the reply that is coming began when none was awaited */
	bool no_memory;
	bool lost;
};

static bool room_for_one(struct cli *c)
{
	size_t room = c->asked_n < 4 ? 4 : c->asked_n * 2;
	struct ask *more;

	if (c->asked_at + c->asked_n < c->asked_room)
		return true;
	more = malloc(room * sizeof(*more));
	if (!more)
		return false;
	if (c->asked_n)
		memcpy(more, c->asked + c->asked_at, c->asked_n * sizeof(*more));
	free(c->asked);
	c->asked = more;
	c->asked_at = 0;
	c->asked_room = room;
	return true;
}

static bool must_wait(const struct cli *c)
{
	if (c->content)
		return true;
	if (c->sent == 0)
		return false;
	return !(c->ext.bits & EXT_PIPELINING) || asks[c->asked[c->asked_at + c->sent - 1].kind].waits;
}

/* Where the next command's text goes. */
static struct buf *next_text(struct cli *c)
{
	return c->sent == c->asked_n && !must_wait(c) ? &c->out : &c->later;
}

/* The command behind `from` octets of `text` is complete. */
static void ask(struct cli *c, enum ask_kind kind, uint32_t tag, struct buf *text, size_t from)
{
	if (buf_failed(text) || !room_for_one(c)) {
		c->no_memory = true;
		return;
	}
	c->asked[c->asked_at + c->asked_n] = (struct ask){ kind, tag, text->n - from };
	c->asked_n++;
	if (text == &c->out)
		c->sent++;
}

static void ask_plain(struct cli *c, enum ask_kind kind, uint32_t tag, const char *line)
{
	struct buf *text = next_text(c);
	size_t from = text->n;

	buf_str(text, line);
	ask(c, kind, tag, text, from);
}

static void ask_hello(struct cli *c, enum ask_kind kind)
{
	struct buf *text = next_text(c);
	size_t from = text->n;

	buf_str(text, kind == ASK_HELO ? "HELO " : c->lmtp ? "LHLO " : "EHLO ");
	buf_slice(text, c->identity.n ? slice_sub(buf_get(&c->identity), c->identity_name, SIZE_MAX) : c->hostname);
	buf_str(text, "\r\n");
	ask(c, kind, 0, text, from);
}

/* An answer came: what waited for it may go. */
static void send_more(struct cli *c)
{
	while (c->sent < c->asked_n && !must_wait(c)) {
		size_t n = c->asked[c->asked_at + c->sent].octets;

		buf_add(&c->out, c->later.at, n);
		buf_drop(&c->later, n);
		c->sent++;
	}
	c->no_memory |= buf_failed(&c->out);
	if (c->later.n == 0)
		buf_release(&c->later);
}

static struct ask answered(struct cli *c)
{
	struct ask head = c->asked[c->asked_at];

	c->asked_at++;
	c->asked_n--;
	c->sent--;
	if (c->asked_n == 0) {
		free(c->asked);
		c->asked = NULL;
		c->asked_at = c->asked_room = 0;
	}
	return head;
}

struct cli *cli_new(struct slice hostname)
{
	struct cli *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->hostname = hostname;
	reply_reader_init(&c->reader);
	buf_init(&c->out, SIZE_MAX / 2);
	buf_init(&c->later, SIZE_MAX / 2);
	buf_init(&c->identity, LIMIT_COMMAND_LINE);
	if (!room_for_one(c)) {
		cli_free(&c);
		return NULL;
	}
	/* the greeting is owed without being asked for */
	c->asked[0] = (struct ask){ .kind = ASK_GREETING };
	c->asked_n = c->sent = 1;
	return c;
}

void cli_free(struct cli **c)
{
	if (!*c)
		return;
	reply_reader_release(&(*c)->reader);
	buf_release(&(*c)->out);
	buf_release(&(*c)->later);
	buf_release(&(*c)->identity);
	free((*c)->asked);
	free(*c);
	*c = NULL;
}

/* ---- commands ---- */

static bool clean(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.at[i] < 0x20 || s.at[i] == 0x7f)
			return false;
	return true;
}

static void add_param(struct buf *text, const char *name, struct slice value)
{
	if (!value.n)
		return;
	buf_octet(text, ' ');
	buf_str(text, name);
	buf_octet(text, '=');
	buf_slice(text, value);
}

/* What the next hop lacks and the message cannot do without. */
static bool offers(const struct cli *c, unsigned bit, const char *what, short basic, const char *enhanced, struct fault *f)
{
	if (c->ext.bits & bit)
		return true;
	fault_note(f, FAULT_NEXT_HOP_LACKS, 0, "%s", what);
	f->basic = basic;
	memcpy(f->enhanced, enhanced, strlen(enhanced) + 1);
	return false;
}

static bool envelope_fits(const struct cli *c, struct slice path, const struct srv_params *p, struct fault *f)
{
	if (!clean(path) || !clean(p->ret) || !clean(p->envid) || !clean(p->notify) || !clean(p->orcpt))
		return fault_note(f, FAULT_INTERNAL, 0, "control octet in a command");
	if (p->body_8bit && !offers(c, EXT_8BITMIME, "8BITMIME", 555, "5.6.3", f))
		return false;
	return !p->smtputf8 || offers(c, EXT_SMTPUTF8, "SMTPUTF8", 555, "5.6.7", f);
}

/* RFC 8689 5: a bounce goes on without it rather than be lost. */
static bool kept(const struct cli *c, struct slice path, const struct srv_params *p, struct fault *f)
{
	return !p->requiretls || slice_eq(path, S("<>")) ||
	    offers(c, EXT_REQUIRETLS, c->tls == CLI_TLS_VERIFY ? "REQUIRETLS" : "REQUIRETLS: certificate not verified", 550, "5.7.30", f);
}

static bool finish(struct cli *c, enum ask_kind kind, uint32_t tag, struct buf *text, size_t from, struct fault *f)
{
	buf_str(text, "\r\n");
	ask(c, kind, tag, text, from);
	return !c->no_memory || fault_set(f, FAULT_NO_MEMORY, 0);
}

bool cli_mail(struct cli *c, uint32_t tag, struct slice path, const struct srv_params *p, struct fault *f)
{
	static const struct srv_params none = { 0 };
	struct buf *text = next_text(c);
	size_t from = text->n;

	BUG_ON(!c->ready || c->content);
	p = p ? p : &none;
	if (!envelope_fits(c, path, p, f) || !kept(c, path, p, f))
		return false;
	buf_str(text, "MAIL FROM:");
	buf_slice(text, path);
	if (p->size_named && (c->ext.bits & EXT_SIZE)) {
		buf_str(text, " SIZE=");
		buf_u64(text, p->size_octets);
	}
	if (p->body_named && (c->ext.bits & EXT_8BITMIME))
		buf_str(text, p->body_8bit ? " BODY=8BITMIME" : " BODY=7BIT");
	if (p->smtputf8)
		buf_str(text, " SMTPUTF8");
	if (c->ext.bits & EXT_DSN) {
		add_param(text, "RET", p->ret);
		add_param(text, "ENVID", p->envid);
	}
	if (p->requiretls && (c->ext.bits & EXT_REQUIRETLS))
		buf_str(text, " REQUIRETLS");
	c->prdr = p->prdr && !c->lmtp && (c->ext.bits & EXT_PRDR);
	if (c->prdr)
		buf_str(text, " PRDR");
	c->mails++;
	return finish(c, ASK_MAIL, tag, text, from, f);
}

bool cli_rcpt(struct cli *c, uint32_t tag, struct slice path, const struct srv_params *p, struct fault *f)
{
	static const struct srv_params none = { 0 };
	struct buf *text = next_text(c);
	size_t from = text->n;

	BUG_ON(!c->ready || c->content);
	p = p ? p : &none;
	if (!envelope_fits(c, path, p, f))
		return false;
	buf_str(text, "RCPT TO:");
	buf_slice(text, path);
	if (c->ext.bits & EXT_DSN) {
		add_param(text, "NOTIFY", p->notify);
		add_param(text, "ORCPT", p->orcpt);
	}
	return finish(c, ASK_RCPT, tag, text, from, f);
}

void cli_data(struct cli *c, uint32_t tag)
{
	BUG_ON(!c->ready || c->content);
	ask_plain(c, ASK_DATA, tag, "DATA\r\n");
}

void cli_content_sent(struct cli *c, uint32_t tag)
{
	BUG_ON(!c->content || c->asked_n);
	c->content = false;
	c->each = c->lmtp ? c->accepted : 0;
	ask(c, ASK_CONTENT, tag, &c->out, c->out.n);
}

void cli_rset(struct cli *c)
{
	BUG_ON(!c->ready || c->content);
	ask_plain(c, ASK_RSET, 0, "RSET\r\n");
}

static void write_identity(const struct cli *c, unsigned listed, const struct xclient *who, struct buf *out, size_t *name_out)
{
	buf_init(out, LIMIT_COMMAND_LINE);
	buf_str(out, "XCLIENT");
	xclient_write(out, listed, who);
	*name_out = out->n;
	buf_slice(out, who->known & XCLIENT_HELO ? slice_str(who->helo) : c->hostname);
}

void cli_xclient(struct cli *c, const struct xclient *who)
{
	struct buf *text = next_text(c);
	size_t from = text->n;

	BUG_ON(!cli_idle(c) || !c->xclient);
	buf_release(&c->identity);
	c->identity_listed = c->xclient;
	write_identity(c, c->xclient, who, &c->identity, &c->identity_name);
	c->no_memory |= buf_failed(&c->identity);
	buf_slice(text, slice_sub(buf_get(&c->identity), 0, c->identity_name));
	buf_str(text, "\r\n");
	c->ready = false;
	ask(c, ASK_XCLIENT, 0, text, from);
}

bool cli_xclient_is(const struct cli *c, const struct xclient *who)
{
	struct buf wanted;
	size_t name;
	bool same;

	if (!c->identity.n)
		return false;
	write_identity(c, c->identity_listed, who, &wanted, &name);
	same = !buf_failed(&wanted) && name == c->identity_name && slice_eq(buf_get(&wanted), buf_get(&c->identity));
	buf_release(&wanted);
	return same;
}

bool cli_xclient_said(const struct cli *c)
{
	return c->identity.n > 0;
}

void cli_xforward(struct cli *c, const struct xclient *who)
{
	struct buf *text = next_text(c);
	size_t from = text->n;

	BUG_ON(!c->ready || c->content || !c->xforward);
	buf_str(text, "XFORWARD");
	xclient_write(text, c->xforward, who);
	buf_str(text, "\r\n");
	ask(c, ASK_XFORWARD, 0, text, from);
}

unsigned cli_xclient_listed(const struct cli *c)
{
	return c->xclient;
}

unsigned cli_xforward_listed(const struct cli *c)
{
	return c->xforward;
}

void cli_quit(struct cli *c)
{
	if (c->quitting || c->content)
		return;
	c->quitting = true;
	ask_plain(c, ASK_QUIT, 0, "QUIT\r\n");
}

/* ---- replies ---- */

static enum cli_event_kind lose(struct cli *c, struct cli_event *ev)
{
	c->lost = true;
	ev->kind = CLI_EV_LOST;
	return ev->kind;
}

static enum cli_event_kind lose_for(struct cli *c, struct cli_event *ev, enum fault_code code, const char *to)
{
	fault_note(&ev->fault, code, 0, "%d to %s", ev->reply.code, to);
	return lose(c, ev);
}

/* Can this reply be the answer? 22z speaks of the channel (RFC 5321 4.2.1) and only the greeting and QUIT are about that. */
static bool in_protocol(enum ask_kind kind, short code)
{
	if (code >= 400)
		return true;
	switch (kind) {
	case ASK_GREETING:
		return code / 100 == 2;
	case ASK_DATA:
		return code == 354;
	case ASK_STARTTLS:
		return code == 220;
	case ASK_QUIT:
		return true;
	case ASK_XCLIENT: /* a greeting */
		return code / 100 == 2;
	default:
		return code / 100 == 2 && code / 10 % 10 != 2;
	}
}

static void read_ehlo(struct cli *c, struct slice text)
{
	struct slice rest = text, line;
	bool more = slice_cut(&rest, '\n', &line); /* the name it gives itself */

	c->ext = (struct ext){ 0 };
	c->xclient = c->xforward = 0;
	while (more) {
		struct slice words, verb;

		more = slice_cut(&rest, '\n', &line);
		ext_read(&c->ext, line);
		words = line;
		(void)slice_cut(&words, ' ', &verb);
		if (slice_ieq(verb, S("XCLIENT")))
			c->xclient = xclient_listed(words) & XCLIENT_OURS;
		if (slice_ieq(verb, S("XFORWARD")))
			c->xforward = xclient_listed(words) & XFORWARD_OURS;
	}
	if (c->lmtp)
		c->ext.bits |= EXT_PRDR;
	if (!c->secure || c->tls != CLI_TLS_VERIFY)
		c->ext.bits &= ~(unsigned)EXT_REQUIRETLS;
}

static enum cli_event_kind event(struct cli_event *ev, enum cli_event_kind kind)
{
	ev->kind = kind;
	return kind;
}

static enum cli_event_kind told(struct cli_event *ev, enum cli_what what, uint32_t tag)
{
	ev->what = what;
	ev->tag = tag;
	return event(ev, CLI_EV_REPLY);
}

/* EHLO or HELO is answered: what comes next? */
static enum cli_event_kind greeted(struct cli *c, struct cli_event *ev)
{
	if (c->secure || c->tls == CLI_TLS_NONE || c->quitting || (c->tls == CLI_TLS_MAY && !(c->ext.bits & EXT_STARTTLS))) {
		c->ready = true;
		return event(ev, CLI_EV_READY);
	}
	if (!(c->ext.bits & EXT_STARTTLS)) {
		fault_note(&ev->fault, FAULT_NEXT_HOP_TLS, 0, "STARTTLS is not offered");
		return lose(c, ev);
	}
	ask_plain(c, ASK_STARTTLS, 0, "STARTTLS\r\n");
	return event(ev, CLI_EV_MORE);
}

/* The answer to `a`; CLI_EV_MORE: nothing to tell the caller. */
static enum cli_event_kind take(struct cli *c, struct ask a, struct cli_event *ev)
{
	bool yes = ev->reply.code < 400;

	switch (a.kind) {
	case ASK_GREETING:
		if (!yes)
			return lose_for(c, ev, FAULT_NEXT_HOP_DOWN, asks[a.kind].name);
		if (!c->quitting)
			ask_hello(c, ASK_EHLO);
		return event(ev, CLI_EV_MORE);
	case ASK_EHLO:
		if (ev->reply.code >= 500 && !c->quitting && !c->lmtp) {
			c->ext = (struct ext){ 0 };
			c->xclient = c->xforward = 0;
			ask_hello(c, ASK_HELO);
			return event(ev, CLI_EV_MORE);
		}
		if (yes)
			read_ehlo(c, ev->reply.text);
		/* fall through */
	case ASK_HELO:
		if (!yes)
			return lose_for(c, ev, FAULT_NEXT_HOP_DOWN, asks[a.kind].name);
		return greeted(c, ev);
	case ASK_STARTTLS:
		if (yes)
			return event(ev, CLI_EV_STARTTLS);
		if (c->tls >= CLI_TLS_REQUIRE)
			return lose_for(c, ev, FAULT_NEXT_HOP_TLS, asks[a.kind].name);
		c->ready = true;
		return event(ev, CLI_EV_READY);
	case ASK_MAIL:
		c->open |= yes;
		c->accepted = 0;
		return told(ev, CLI_MAIL, a.tag);
	case ASK_RCPT:
		c->accepted += yes;
		return told(ev, CLI_RCPT, a.tag);
	case ASK_DATA:
		c->content = yes;
		return told(ev, CLI_DATA, a.tag);
	case ASK_CONTENT:
		c->open = false;
		return told(ev, CLI_CONTENT, a.tag);
	case ASK_RSET:
		if (!yes)
			return lose_for(c, ev, FAULT_NEXT_HOP_REPLY, asks[a.kind].name);
		c->open = false;
		return event(ev, CLI_EV_READY);
	case ASK_XCLIENT:
		if (!yes)
			return lose_for(c, ev, FAULT_NEXT_HOP_REPLY, asks[a.kind].name);
		if (!c->quitting)
			ask_hello(c, ASK_EHLO);
		return event(ev, CLI_EV_MORE);
	case ASK_XFORWARD:
		if (!yes)
			return lose_for(c, ev, FAULT_NEXT_HOP_REPLY, asks[a.kind].name);
		return event(ev, CLI_EV_MORE);
	case ASK_QUIT:
		break;
	}
	return lose(c, ev);
}

/* Is it part of what is said of each recipient? Then the content is still being answered, unless it was the last of LMTP. */
static bool take_each(struct cli *c, struct cli_event *ev)
{
	struct ask a = c->asked[c->asked_at];

	if (a.kind != ASK_CONTENT)
		return false;
	if (c->prdr && c->each == 0 && ev->reply.code == 353) {
		c->prdr = false;
		c->each = c->accepted;
		return true;
	}
	if (c->each == 0 || !in_protocol(a.kind, ev->reply.code))
		return false;
	(void)told(ev, CLI_EACH, a.tag);
	ev->last = --c->each == 0 && c->lmtp;
	if (ev->last) {
		(void)answered(c);
		c->open = false;
	}
	return true;
}

static enum cli_event_kind take_reply(struct cli *c, struct cli_event *ev)
{
	struct ask a;

	if (c->sent && c->asked[c->asked_at].kind == ASK_QUIT && !c->unasked)
		return lose(c, ev);
	if (ev->reply.code == 421)
		return lose_for(c, ev, FAULT_NEXT_HOP_421, c->sent ? asks[c->asked[c->asked_at].kind].name : "nothing");
	if (c->unasked)
		return lose_for(c, ev, c->content ? FAULT_NEXT_HOP_REPLY : FAULT_NEXT_HOP_DESYNC, c->content ? "part of the content" : "nothing");
	if (take_each(c, ev)) {
		send_more(c);
		return ev->kind;
	}
	a = answered(c);
	if (!in_protocol(a.kind, ev->reply.code))
		return lose_for(c, ev, FAULT_NEXT_HOP_REPLY, asks[a.kind].name);
	(void)take(c, a, ev);
	send_more(c);
	return ev->kind;
}

void cli_tls(struct cli *c, enum cli_tls want)
{
	c->tls = want == CLI_TLS_VERIFIED ? CLI_TLS_VERIFY : want;
	c->secure = want == CLI_TLS_VERIFIED;
}

void cli_lmtp(struct cli *c)
{
	c->lmtp = true;
}

void cli_secured(struct cli *c)
{
	c->secure = true;
	c->ext = (struct ext){ 0 };
	ask_hello(c, ASK_EHLO);
}

enum cli_event_kind cli_feed(struct cli *c, struct slice *in, struct cli_event *ev_out)
{
	*ev_out = (struct cli_event){ .kind = CLI_EV_MORE };
	if (c->lost || c->no_memory) {
		fault_set(&ev_out->fault, c->lost ? FAULT_NEXT_HOP_LOST : FAULT_NO_MEMORY, 0);
		return lose(c, ev_out);
	}
	while (in->n && ev_out->kind == CLI_EV_MORE) {
		if (!reply_partial(&c->reader))
			c->unasked = c->sent == 0;
		ev_out->reply.code = 0;
		switch (reply_read(&c->reader, in, &ev_out->reply, &ev_out->fault)) {
		case REPLY_MORE:
			return CLI_EV_MORE;
		case REPLY_BAD:
			return lose(c, ev_out);
		case REPLY_WHOLE:
			(void)take_reply(c, ev_out);
			break;
		}
	}
	/* They would be taken for what was said inside TLS (CVE-2021-38371). */
	if (ev_out->kind == CLI_EV_STARTTLS && in->n) {
		fault_note(&ev_out->fault, FAULT_NEXT_HOP_EARLY, 0, "octets behind the 220");
		return lose(c, ev_out);
	}
	return ev_out->kind;
}

/* ---- questions ---- */

bool cli_idle(const struct cli *c)
{
	return c->ready && !c->lost && !c->quitting && !c->open && !c->content && c->asked_n == 0 && !reply_partial(&c->reader);
}

bool cli_ready(const struct cli *c)
{
	return c->ready;
}

bool cli_failed(const struct cli *c)
{
	return c->no_memory;
}

bool cli_spent(const struct cli *c)
{
	return c->ext.mail_max && c->mails >= c->ext.mail_max;
}

const struct ext *cli_ext(const struct cli *c)
{
	return &c->ext;
}

struct buf *cli_out(struct cli *c)
{
	return &c->out;
}

unsigned cli_deadline_s(const struct cli *c)
{
	if (c->content)
		return CONTENT_DEADLINE_S;
	return c->sent ? asks[c->asked[c->asked_at].kind].deadline_s : 0;
}
