#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "net/upstream.h"
#include "out/log.h"
#include "smtp/proxy.h"

/* SPARE_MAX: connections on their way to the pool, opening or in RSET; what is beyond is closed and not waited for. */
enum { RETRY_FIRST_MS = 1000, RETRY_MAX_MS = 30000, BLOCK_OCTETS = 65536, SPARE_MAX = 32 };

/* How long a next hop whose TLS failed is spoken to in clear, where that may be. */
enum { CLEAR_MS = 300000 };

enum upstream_state {
	UP_OPENING, /* connect, banner, EHLO */
	UP_USED,    /* a transaction has it */
	UP_RESET,   /* given back, RSET not answered yet */
	UP_POOL,    /* idle, anybody's */
	UP_GONE     /* closed; freed at the end of the turn */
};

struct upstream {
	struct conn conn;
	struct cli *cli;
	struct next_hop *hop;
	struct upstream *next, **at;           /* in hop->all */
	struct upstream *pool_next, **pool_at; /* in hop->pool */
	const struct upstream_user *user;
	void *arg;
	struct loop_timer deadline;
	struct loop_later write; /* once a turn, so that commands travel together */
	struct loop_later reopen; /* in clear, since TLS failed */
	struct loop_later doom;
	enum upstream_state state;
	unsigned armed_s;      /* the machine's deadline that the timer was set for */
	bool content;          /* the user has octets to send */
	size_t block_octets;   /* of content since the deadline was set */
	bool probe;            /* nobody's yet */
	bool spare;            /* counted in hop->spare */
	bool half_closed;      /* lost by the end of what it had to say */
	bool reused;
	bool late;             /* lost by its deadline */
	unsigned char head_octets;
	unsigned char head[UPSTREAM_HEAD]; /* what it began with: whose connection it is */
};

struct next_hop {
	struct loop *loop;
	const struct conf *conf;
	const struct conf_next_hop *to;
	bool headed;           /* connections begin with a PROXY header */
	const struct conf_next_hop_tls *tls_conf;
	struct tls_context *tls;   /* NULL: none */
	int64_t clear_until_ms;    /* with NEXT_HOP_TLS_MAY */
	struct count_page *counts;
	unsigned slot;
	struct upstream *all;
	struct upstream *pool; /* idle ones, the last used first */
	size_t pooled, spare;
	struct ext ext;
	bool have_ext;
	struct loop_timer retry;
	struct loop_later no_probe; /* the probe could not even be opened */
	int64_t retry_ms;
	void (*on_probe)(void *arg);
	void *on_probe_arg;
	char name[64];
};

static void arm(struct upstream *u);

static void on_write(void *arg)
{
	struct upstream *u = arg;

	conn_push(&u->conn);
}

static void write_later(struct upstream *u)
{
	loop_later(u->hop->loop, &u->write, on_write, u);
}

static void destroy(void *arg)
{
	struct upstream *u = arg;

	*u->at = u->next;
	if (u->next)
		u->next->at = u->at;
	loop_timer_release(&u->deadline);
	cli_free(&u->cli);
	free(u);
}

static void from_pool(struct upstream *u)
{
	*u->pool_at = u->pool_next;
	if (u->pool_next)
		u->pool_next->pool_at = u->pool_at;
	u->hop->pooled--;
}

static void set_spare(struct upstream *u, bool spare)
{
	if (u->spare != spare)
		u->hop->spare += spare ? 1 : (size_t)-1;
	u->spare = spare;
}

static void doom(struct upstream *u)
{
	if (u->state == UP_GONE)
		return;
	if (u->state == UP_POOL)
		from_pool(u);
	set_spare(u, false);
	u->state = UP_GONE;
	u->user = NULL;
	conn_close(&u->conn);
	loop_later_cancel(u->hop->loop, &u->write);
	loop_later_cancel(u->hop->loop, &u->reopen);
	loop_timer_stop(&u->deadline);
	count_add(u->hop->counts, u->hop->slot, COUNT_NEXT_HOP_OPEN, -1);
	loop_later(u->hop->loop, &u->doom, destroy, u);
}

static void probe(void *arg);

static void probed(struct next_hop *h)
{
	void (*on)(void *arg) = h->on_probe;

	h->on_probe = NULL;
	if (on)
		on(h->on_probe_arg);
}

/* The connection is no more: tell its user, or note that the next hop is down. */
static void lost(struct upstream *u, const struct fault *f)
{
	const struct upstream_user *user = u->user;
	struct next_hop *h = u->hop;
	void *arg = u->arg;
	bool opening = u->state == UP_OPENING, pooled = u->state == UP_POOL;
	char name[FAULT_NAME_OCTETS];
	struct log_line l;

	if (u->state == UP_GONE)
		return;
	fault_name(f->code, name);
	if (!pooled) {
		const char *event = f->code == FAULT_NEXT_HOP_TLS ? "up_tls_required" : f->code == FAULT_NEXT_HOP_CERT ? "up_tls_cert" :
		    f->code == FAULT_NEXT_HOP_EARLY ? "up_tls_early_data" : f->code == FAULT_NEXT_HOP_REPLY ? "up_bad_reply" : f->code == FAULT_NEXT_HOP_DESYNC ? "up_desync" :
		    f->code == FAULT_NEXT_HOP_421 ? "up_421" : u->late ? (opening ? "up_connect_timeout" : "up_timeout") :
		    u->half_closed ? "up_half_closed" : opening ? "up_down" : u->reused ? "up_stale" : "up_lost";

		l = log_begin(LOG_LEVEL_WARNING, event);
		log_str(&l, "next_hop", h->name);
		log_str(&l, "fault", name);
		log_str(&l, "note", f->note[0] ? f->note : NULL);
		log_end(&l);
	}
	if (opening && h->have_ext && !h->pooled)
		h->have_ext = false;
	doom(u);
	if (opening && !h->have_ext && !h->retry.due_ms) {
		h->retry_ms = h->retry_ms ? h->retry_ms * 2 : RETRY_FIRST_MS;
		if (h->retry_ms > RETRY_MAX_MS)
			h->retry_ms = RETRY_MAX_MS;
		loop_timer_set(h->loop, &h->retry, h->retry_ms, probe, h);
	}
	if (user)
		user->lost(arg, f);
	if (opening)
		probed(h);
}

static void on_deadline(void *arg)
{
	struct upstream *u = arg;
	struct fault f = { 0 };

	if (u->state == UP_POOL) {
		cli_quit(u->cli);
		conn_push(&u->conn);
		doom(u);
		return;
	}
	u->late = true;
	if (u->conn.shaking)
		u->hop->clear_until_ms = loop_now_ms(u->hop->loop) + CLEAR_MS;
	fault_note(&f, u->state == UP_OPENING ? FAULT_NEXT_HOP_DOWN : FAULT_NEXT_HOP_SILENT, 0, "timeout after %u s", u->armed_s);
	lost(u, &f);
}

/* The deadline covers the whole command: it is set when what is awaited changes, not when octets come. */
static void arm(struct upstream *u)
{
	unsigned s = cli_deadline_s(u->cli);

	if (u->state == UP_GONE)
		return;
	if (u->state == UP_POOL) {
		loop_timer_set(u->hop->loop, &u->deadline, u->hop->conf->pool.idle_ms, on_deadline, u);
	} else if (s == 0) {
		loop_timer_stop(&u->deadline);
	} else {
		u->armed_s = s;
		loop_timer_set(u->hop->loop, &u->deadline, (int64_t)s * 1000, on_deadline, u);
	}
}

static void to_pool(struct upstream *u)
{
	struct next_hop *h = u->hop;

	u->user = NULL;
	u->content = false;
	u->block_octets = 0;
	set_spare(u, false);
	if (h->pooled >= h->conf->pool.idle_max || h->conf->pool.idle_ms == 0) {
		cli_quit(u->cli);
		conn_push(&u->conn);
		doom(u);
		return;
	}
	u->state = UP_POOL;
	u->pool_next = h->pool;
	u->pool_at = &h->pool;
	if (u->pool_next)
		u->pool_next->pool_at = &u->pool_next;
	h->pool = u;
	h->pooled++;
	arm(u);
}

static void ready(struct upstream *u)
{
	struct next_hop *h = u->hop;

	/* What it offers in the name of one client is not for the others. */
	if (!cli_xclient_said(u->cli))
		h->ext = *cli_ext(u->cli);
	h->have_ext = true;
	h->retry_ms = 0;
	loop_timer_stop(&h->retry);
	if (u->probe) {
		u->probe = false;
		to_pool(u);
	} else {
		u->state = UP_USED;
		arm(u);
	}
	probed(h);
}

static void start_tls(struct upstream *u)
{
	struct fault f = { 0 };

	if (conn_start_tls(&u->conn, u->hop->tls, u->hop->to->tls_name))
		return;
	fault_note(&f, FAULT_NO_MEMORY, 0, "no memory for TLS");
	lost(u, &f);
}

static void on_secured(void *owner)
{
	struct upstream *u = owner;

	cli_secured(u->cli);
}

static void on_octets(void *owner, struct slice *in)
{
	struct upstream *u = owner;

	while (u->state != UP_GONE) {
		struct cli_event ev = { 0 };
		enum cli_event_kind kind;

		if (u->state == UP_POOL && in->n) {
			/* Nothing was asked: 421 or worse. It is not used again. */
			doom(u);
			return;
		}
		kind = cli_feed(u->cli, in, &ev);
		switch (kind) {
		case CLI_EV_MORE:
			if (cli_out(u->cli)->n)
				write_later(u);
			return;
		case CLI_EV_STARTTLS:
			start_tls(u);
			return;
		case CLI_EV_READY:
			if (u->state == UP_RESET) {
				to_pool(u);
				continue;
			}
			ready(u);
			if (u->user)
				u->user->event(u->arg, &ev);
			break;
		case CLI_EV_REPLY:
			arm(u);
			if (u->user)
				u->user->event(u->arg, &ev);
			else if (ev.what == CLI_DATA && ev.reply.code == 354)
				doom(u); /* whoever had content for it is gone, and no command ends content */
			break;
		case CLI_EV_LOST:
			lost(u, &ev.fault);
			return;
		}
	}
}

static size_t on_out(void *owner, struct iovec *iov, size_t max)
{
	struct upstream *u = owner;
	struct buf *b = cli_out(u->cli);
	size_t n = 0;

	if (b->n)
		iov[n++] = (struct iovec){ b->at, b->n };
	if (u->content && u->user && n < max)
		n += u->user->content(u->arg, iov + n, max - n);
	return n;
}

static void on_wrote(void *owner, size_t n)
{
	struct upstream *u = owner;
	struct buf *b = cli_out(u->cli);
	size_t ours = n < b->n ? n : b->n;

	buf_drop(b, ours);
	if (b->n == 0)
		buf_release(b);
	if (n > ours && u->user)
		u->user->wrote(u->arg, n - ours);
	/* The data block timer starts anew for each block, not for each octet a slow next hop takes. */
	u->block_octets += n - ours;
	if (u->block_octets >= BLOCK_OCTETS) {
		u->block_octets = 0;
		arm(u);
	}
}

static void reopen(void *arg);

/* No session was made: in clear then, where that may be, on a new connection; nothing has been said of any mail. */
static void on_no_tls(struct upstream *u)
{
	struct next_hop *h = u->hop;
	struct fault f = { 0 };

	if (h->tls_conf->mode == NEXT_HOP_TLS_MAY) {
		struct log_line l = log_begin(LOG_LEVEL_WARNING, "up_tls_failed");

		log_str(&l, "next_hop", h->name);
		log_str(&l, "note", tls_why(u->conn.tls));
		log_end(&l);
		h->clear_until_ms = loop_now_ms(h->loop) + CLEAR_MS;
		loop_later(h->loop, &u->reopen, reopen, u);
		return;
	}
	fault_note(&f, tls_distrusted(u->conn.tls) ? FAULT_NEXT_HOP_CERT : FAULT_NEXT_HOP_TLS, 0, "%s", tls_why(u->conn.tls));
	lost(u, &f);
}

static void on_ended(void *owner, enum conn_end how)
{
	struct upstream *u = owner;
	struct fault f = { 0 };

	if (how == CONN_TLS && u->conn.shaking) {
		on_no_tls(u);
		return;
	}
	/* What it still takes is of no use when it cannot answer. */
	u->half_closed = how == CONN_EOF && u->content;
	if (how == CONN_TLS)
		fault_note(&f, u->state == UP_OPENING ? FAULT_NEXT_HOP_DOWN : FAULT_NEXT_HOP_LOST, 0, "%s", tls_why(u->conn.tls));
	else if (how == CONN_EOF)
		fault_note(&f, u->state == UP_OPENING ? FAULT_NEXT_HOP_DOWN : FAULT_NEXT_HOP_LOST, 0, "closed by next hop");
	else
		fault_note(&f, u->state == UP_OPENING ? FAULT_NEXT_HOP_DOWN : FAULT_NEXT_HOP_LOST, 0, "%s", strerror(u->conn.error));
	lost(u, &f);
}

static const struct conn_ops ops = { on_octets, on_out, on_wrote, NULL, on_secured, on_ended };

/* What the machine is told of TLS. */
static enum cli_tls wanted_tls(const struct next_hop *h)
{
	if (h->tls_conf->mode == NEXT_HOP_TLS_NONE)
		return CLI_TLS_NONE;
	if (h->tls_conf->mode == NEXT_HOP_TLS_MAY)
		return h->clear_until_ms > loop_now_ms(h->loop) ? CLI_TLS_NONE : CLI_TLS_MAY;
	return CLI_TLS_REQUIRE;
}

/* A machine and a connection for it. */
static bool begin(struct upstream *u)
{
	struct next_hop *h = u->hop;

	u->cli = cli_new(slice_str(h->conf->hostname));
	if (!u->cli)
		return false;
	cli_tls(u->cli, wanted_tls(h));
	buf_slice(cli_out(u->cli), slice_of(u->head, u->head_octets));
	return conn_connect(&u->conn, h->loop, (const struct sockaddr *)&h->to->address.sa, h->to->address.sa_len, &ops, u);
}

static void reopen(void *arg)
{
	struct upstream *u = arg;
	struct fault f = { 0 };

	conn_close(&u->conn);
	cli_free(&u->cli);
	if (begin(u))
		return;
	fault_note(&f, FAULT_NEXT_HOP_DOWN, 0, "%s", strerror(errno));
	lost(u, &f);
}

static struct upstream *open_new(struct next_hop *h, struct slice head, const struct upstream_user *user, void *arg)
{
	struct upstream *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	BUG_ON(head.n > UPSTREAM_HEAD);
	u->hop = h;
	u->user = user;
	u->arg = arg;
	if (head.n)
		memcpy(u->head, head.at, head.n);
	u->head_octets = (unsigned char)head.n;
	if (!begin(u)) {
		if (u->cli)
			log_note(LOG_LEVEL_ERROR, errno == EMFILE || errno == ENFILE ? "fd_limit" : "up_down", "%s: %s", h->name, strerror(errno));
		cli_free(&u->cli);
		free(u);
		return NULL;
	}
	u->next = h->all;
	u->at = &h->all;
	if (u->next)
		u->next->at = &u->next;
	h->all = u;
	count_add(h->counts, h->slot, COUNT_NEXT_HOP_OPEN, 1);
	count_add(h->counts, h->slot, COUNT_NEXT_HOP_CONNECTS, 1);
	/* One deadline from the SYN to the end of EHLO: a client waits for this. */
	u->armed_s = (h->conf->pool.connect_ms + 999) / 1000;
	loop_timer_set(h->loop, &u->deadline, h->conf->pool.connect_ms, on_deadline, u);
	return u;
}

static void on_no_probe(void *arg)
{
	probed(arg);
}

static void probe(void *arg)
{
	struct next_hop *h = arg;
	unsigned char local[PROXY_OUT];
	struct upstream *u = open_new(h, slice_of(local, h->headed ? proxy_write_local(local) : 0), NULL, NULL);

	if (u) {
		u->probe = true;
		set_spare(u, true);
		return;
	}
	loop_timer_set(h->loop, &h->retry, RETRY_MAX_MS, probe, h);
	loop_later(h->loop, &h->no_probe, on_no_probe, h);
}

/* False: it cannot be done without, and there is none. */
static bool make_tls(struct next_hop *h)
{
	const char *why;

	if (h->tls_conf->mode == NEXT_HOP_TLS_NONE)
		return true;
	h->tls = tls_context_client(h->tls_conf->trust ? buf_get(h->tls_conf->trust) : SLICE_NONE, &why);
	if (!h->tls)
		log_note(LOG_LEVEL_ERROR, "start_failed", "TLS to %s: %s", h->name, why);
	return h->tls != NULL;
}

struct next_hop *next_hop_new(struct loop *l, const struct conf *conf, const struct conf_listener *listener, const struct conf_next_hop *to,
    struct count_page *counts, unsigned slot)
{
	struct next_hop *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	*h = (struct next_hop){ .loop = l, .conf = conf, .to = to, .headed = listener->next_hop_client == NEXT_HOP_CLIENT_PROXY,
		.tls_conf = &listener->next_hop_tls, .counts = counts, .slot = slot };
	snprintf(h->name, sizeof(h->name), "%s", h->to->address.text);
	if (!make_tls(h)) {
		free(h);
		return NULL;
	}
	probe(h);
	return h;
}

void next_hop_free(struct next_hop **hp)
{
	struct next_hop *h = *hp;

	*hp = NULL;
	if (!h)
		return;
	while (h->all) {
		struct upstream *u = h->all;

		doom(u);
		loop_later_cancel(h->loop, &u->doom);
		destroy(u);
	}
	loop_timer_release(&h->retry);
	loop_later_cancel(h->loop, &h->no_probe);
	tls_context_free(&h->tls);
	free(h);
}

const struct ext *next_hop_ext(const struct next_hop *h)
{
	return h->have_ext ? &h->ext : NULL;
}

bool next_hop_lmtp(const struct next_hop *h)
{
	return h->to->lmtp;
}

const char *next_hop_name(const struct next_hop *h)
{
	return h->name;
}

void next_hop_on_probe(struct next_hop *h, void (*on)(void *arg), void *arg)
{
	h->on_probe = on;
	h->on_probe_arg = arg;
}

struct upstream *upstream_take(struct next_hop *h, bool fresh, struct slice head, const struct upstream_user *user, void *arg)
{
	struct upstream *u = fresh ? NULL : h->pool;

	while (u && !slice_eq(slice_of(u->head, u->head_octets), head))
		u = u->pool_next;
	if (!u)
		return open_new(h, head, user, arg);
	from_pool(u);
	u->state = UP_USED;
	u->user = user;
	u->arg = arg;
	u->reused = true;
	loop_timer_stop(&u->deadline);
	return u;
}

void upstream_give(struct upstream **up, bool clean)
{
	struct upstream *u = *up;

	*up = NULL;
	if (!u || u->state == UP_GONE)
		return;
	u->user = NULL;
	if (clean && u->state == UP_USED && cli_idle(u->cli)) {
		to_pool(u);
	} else if (u->content || u->hop->spare >= SPARE_MAX || (u->state == UP_USED && !cli_ready(u->cli))) {
		doom(u);
	} else if (u->state == UP_OPENING) {
		u->probe = true;
		set_spare(u, true);
	} else {
		set_spare(u, true);
		u->state = UP_RESET;
		cli_rset(u->cli);
		arm(u);
		write_later(u);
	}
}

void upstream_drop(struct upstream **up)
{
	struct upstream *u = *up;

	*up = NULL;
	if (u)
		doom(u);
}

struct cli *upstream_cli(struct upstream *u)
{
	return u->cli;
}

const struct tls *upstream_tls(const struct upstream *u)
{
	return u->conn.tls;
}

bool upstream_reused(const struct upstream *u)
{
	return u->reused;
}

void upstream_content(struct upstream *u)
{
	u->content = true;
	write_later(u);
}

void upstream_push(struct upstream *u)
{
	/* What it owes already is not given more time by what is asked now. */
	if (!u->deadline.due_ms || u->armed_s != cli_deadline_s(u->cli))
		arm(u);
	write_later(u);
}
