#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "config/endpoint.h"
#include "net/upstream_in.h"
#include "out/log.h"

/* SPARE_MAX: connections on their way to the pool, opening or in RSET; what is beyond is closed and not waited for. */
enum { BLOCK_OCTETS = 65536, SPARE_MAX = 32 };

/* How long a next hop whose TLS failed is spoken to in clear, where that may be. */
enum { CLEAR_MS = 300000 };

static void arm(struct upstream *u);

static void lost(struct upstream *u, const struct fault *f);

static void on_write(void *arg)
{
	struct upstream *u = arg;
	struct fault f = { 0 };

	if (!cli_failed(u->cli)) {
		conn_push(&u->conn);
		return;
	}
	/* The next hop would not know that it is asked something. */
	fault_set(&f, FAULT_NO_MEMORY, 0);
	lost(u, &f);
}

static void write_later(struct upstream *u)
{
	loop_later(u->hop->loop, &u->write, on_write, u);
}

void upstream_destroy(void *arg)
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
	next_hop_changed(u->hop);
}

static void set_spare(struct upstream *u, bool spare)
{
	if (u->spare != spare)
		u->hop->spare += spare ? 1 : (size_t)-1;
	u->spare = spare;
}

static void set_opening(struct upstream *u, bool opening)
{
	if (u->opening != opening)
		u->hop->opening += opening ? 1 : (size_t)-1;
	u->opening = opening;
}

void upstream_doom(struct upstream *u)
{
	if (u->state == UP_GONE)
		return;
	if (u->state == UP_POOL)
		from_pool(u);
	set_spare(u, false);
	u->hop->open--;
	set_opening(u, false);
	next_hop_wake(u->hop);
	next_hop_changed(u->hop);
	u->state = UP_GONE;
	u->naming = false;
	u->user = NULL;
	conn_close(&u->conn);
	loop_later_cancel(u->hop->loop, &u->write);
	loop_later_cancel(u->hop->loop, &u->again);
	loop_timer_stop(&u->deadline);
	count_add(u->hop->counts, u->hop->slot, COUNT_NEXT_HOP_OPEN, -1);
	loop_later(u->hop->loop, &u->doom, upstream_destroy, u);
}

static void again(void *arg);

static void log_lost(const struct upstream *u, const struct fault *f)
{
	bool opening = u->state == UP_OPENING;
	const char *event = f->code == FAULT_NEXT_HOP_TLS ? "up_tls_required" : f->code == FAULT_NEXT_HOP_CERT ? "up_tls_cert" :
	    f->code == FAULT_NEXT_HOP_EARLY ? "up_tls_early_data" : f->code == FAULT_NEXT_HOP_REPLY ? "up_bad_reply" :
	    f->code == FAULT_NEXT_HOP_DESYNC ? "up_desync" : f->code == FAULT_NEXT_HOP_421 ? "up_421" :
	    u->late ? (opening ? "up_connect_timeout" : "up_timeout") : u->half_closed ? "up_half_closed" :
	    opening ? "up_down" : u->reused ? "up_stale" : "up_lost";
	char name[FAULT_NAME_OCTETS];
	struct log_line l = log_begin(LOG_LEVEL_WARNING, event);

	fault_name(f->code, name);
	log_str(&l, "next_hop", next_hop_name(u->hop));
	log_str(&l, "fault", name);
	log_str(&l, "note", f->note[0] ? f->note : NULL);
	log_end(&l);
}

/* Is there another address, and time for it? It is tried once this turn is over. */
static bool another_address(struct upstream *u)
{
	struct next_hop *h = u->hop;

	if (u->naming || u->addresses_tried + 1 >= h->address_count || loop_now_ms(h->loop) >= u->open_until_ms)
		return false;
	u->addresses_tried++;
	u->address++;
	u->late = false;
	conn_close(&u->conn);
	loop_timer_stop(&u->deadline);
	loop_later(h->loop, &u->again, again, u);
	return true;
}

/* The connection is no more: tell its user, or note that the next hop is down. */
static void lost(struct upstream *u, const struct fault *f)
{
	const struct upstream_user *user = u->user;
	struct next_hop *h = u->hop;
	void *arg = u->arg;
	bool opening = u->state == UP_OPENING;

	if (u->state == UP_GONE)
		return;
	if (u->state != UP_POOL)
		log_lost(u, f);
	if (opening && another_address(u))
		return;
	upstream_doom(u);
	if (opening)
		next_hop_failed(h, f);
	if (user) {
		count_add(h->counts, h->slot, COUNT_NEXT_HOP_LOST, 1);
		user->lost(arg, f);
	}
	if (opening)
		next_hop_probed(h);
}

static void on_deadline(void *arg)
{
	struct upstream *u = arg;
	struct fault f = { 0 };

	if (u->state == UP_POOL) {
		cli_quit(u->cli);
		conn_push(&u->conn);
		upstream_doom(u);
		return;
	}
	u->late = !u->naming;
	if (u->conn.shaking)
		u->hop->clear_until_ms = loop_now_ms(u->hop->loop) + CLEAR_MS;
	fault_note(&f, u->naming ? FAULT_NEXT_HOP_DNS : u->state == UP_OPENING ? FAULT_NEXT_HOP_DOWN : FAULT_NEXT_HOP_SILENT, 0, "timeout after %lld s",
	    (long long)(u->granted_ms + 999) / 1000);
	lost(u, &f);
}

static void set_deadline(struct upstream *u, int64_t after_ms)
{
	u->granted_ms = after_ms < 0 ? 0 : after_ms;
	loop_timer_set(u->hop->loop, &u->deadline, after_ms, on_deadline, u);
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
		int64_t after_ms = (int64_t)s * 1000, hurry_ms = u->hurry_until_ms - loop_now_ms(u->hop->loop);

		if (u->hurry_until_ms && hurry_ms < after_ms)
			after_ms = hurry_ms;
		u->armed_s = s;
		set_deadline(u, after_ms);
	}
}

/* Servers refuse, or put off, what comes behind so many messages, by an answer that a client would have to hear; some say when. */
static bool spent(const struct upstream *u)
{
	unsigned most = u->hop->conf->pool.messages;

	return (most && u->messages >= most) || cli_spent(u->cli);
}

static void to_pool(struct upstream *u)
{
	struct next_hop *h = u->hop;

	u->user = NULL;
	u->content = false;
	u->block_octets = 0;
	set_spare(u, false);
	if (h->pooled >= h->conf->pool.idle_max || h->conf->pool.idle_ms == 0 || spent(u)) {
		cli_quit(u->cli);
		conn_push(&u->conn);
		upstream_doom(u);
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
	next_hop_wake(h);
	next_hop_changed(h);
}

static void ready(struct upstream *u)
{
	struct next_hop *h = u->hop;

	h->first_address = u->address;
	set_opening(u, false);
	next_hop_wake(h);
	/* What it offers in the name of one client is not for the others. */
	next_hop_ready(h, cli_xclient_said(u->cli) ? NULL : cli_ext(u->cli));
	if (u->probe) {
		u->probe = false;
		to_pool(u);
	} else {
		u->state = UP_USED;
		arm(u);
	}
	next_hop_probed(h);
}

static void start_tls(struct upstream *u)
{
	struct fault f = { 0 };

	if (conn_start_tls(&u->conn, u->hop->tls, u->hop->to->tls_name))
		return;
	fault_note(&f, FAULT_NO_MEMORY, 0, "no memory for TLS");
	lost(u, &f);
}

/* TLS from the first octet, but for a PROXY header, which comes before it. */
static bool starts_with_tls(const struct upstream *u)
{
	return u->hop->listener->next_hop_tls.implicit && !u->conn.tls && cli_out(u->cli)->n == 0;
}

/* One deadline from the SYN to the end of EHLO, since a client waits for it; an address that has others behind it gets its share. */
static void arm_opening(struct upstream *u)
{
	struct next_hop *h = u->hop;
	int64_t left_ms = u->open_until_ms - loop_now_ms(h->loop), others = (int64_t)h->address_count - (int64_t)u->addresses_tried;

	left_ms = (left_ms < 0 ? 0 : left_ms) / (others > 1 ? others : 1);
	set_deadline(u, left_ms);
}

/* It is there; where no client waits it may take its time over the greeting. */
static void wait_for_greeting(struct upstream *u)
{
	u->open_until_ms = loop_now_ms(u->hop->loop) + LIMIT_GREETING_S * 1000;
	if (u->within_ms && u->within_ms < u->open_until_ms)
		u->open_until_ms = u->within_ms;
	arm_opening(u);
}

static void on_connected(void *owner)
{
	struct upstream *u = owner;
	struct fault f = { 0 };

	if (u->hop->quiet)
		wait_for_greeting(u);
	if (next_hop_is_self(u->hop, u->conn.fd)) {
		fault_note(&f, FAULT_MAIL_LOOP, 0, "%.80s is ourselves", next_hop_name(u->hop));
		lost(u, &f);
	} else if (starts_with_tls(u)) {
		start_tls(u);
	}
}

static void on_secured(void *owner)
{
	struct upstream *u = owner;

	if (!u->hop->listener->next_hop_tls.implicit)
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
			upstream_doom(u);
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
				upstream_doom(u); /* whoever had content for it is gone, and no command ends content */
			break;
		case CLI_EV_LOST:
			if (ev.reply.code >= 400 && u->user && u->user->refused)
				u->user->refused(u->arg, &ev.reply);
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
	if (starts_with_tls(u)) {
		start_tls(u);
		return;
	}
	if (n > ours && u->user)
		u->user->wrote(u->arg, n - ours);
	/* The data block timer starts anew for each block, not for each octet a slow next hop takes. */
	u->block_octets += n - ours;
	if (u->block_octets >= BLOCK_OCTETS) {
		u->block_octets = 0;
		arm(u);
	}
}

/* No session was made: in clear then, where that may be, on a new connection; nothing has been said of any mail. */
static void on_no_tls(struct upstream *u)
{
	struct next_hop *h = u->hop;
	struct fault f = { 0 };

	if (h->listener->next_hop_tls.mode == NEXT_HOP_TLS_MAY) {
		struct log_line l = log_begin(LOG_LEVEL_WARNING, "up_tls_failed");

		log_str(&l, "next_hop", next_hop_name(h));
		log_str(&l, "note", tls_why(u->conn.tls));
		log_end(&l);
		h->clear_until_ms = loop_now_ms(h->loop) + CLEAR_MS;
		conn_close(&u->conn);
		loop_later(h->loop, &u->again, again, u);
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

static const struct conn_ops ops = { on_octets, on_out, on_wrote, on_connected, on_secured, on_ended };

/* What the machine is told of TLS. */
static enum cli_tls wanted_tls(const struct next_hop *h)
{
	bool verify = h->listener->next_hop_tls.mode == NEXT_HOP_TLS_VERIFY;

	if (h->listener->next_hop_tls.mode == NEXT_HOP_TLS_NONE || h->listener->next_hop_tls.implicit)
		return verify ? CLI_TLS_VERIFIED : CLI_TLS_NONE; /* or there is no need to ask */
	if (h->listener->next_hop_tls.mode == NEXT_HOP_TLS_MAY)
		return h->clear_until_ms > loop_now_ms(h->loop) ? CLI_TLS_NONE : CLI_TLS_MAY;
	return verify ? CLI_TLS_VERIFY : CLI_TLS_REQUIRE;
}

static void on_unknown(void *arg)
{
	struct upstream *u = arg;
	struct fault f = u->hop->unknown;

	lost(u, &f);
}

static struct cli *new_machine(const struct upstream *u)
{
	struct cli *c = cli_new(slice_str(u->hop->conf->hostname));

	if (!c)
		return NULL;
	cli_tls(c, wanted_tls(u->hop));
	if (u->hop->to->lmtp)
		cli_lmtp(c);
	buf_slice(cli_out(c), slice_of(u->head, u->head_octets));
	return c;
}

/* A machine and a connection for it, once there is an address. */
static bool begin(struct upstream *u)
{
	struct next_hop *h = u->hop;
	enum next_hop_known known = next_hop_known(h);
	const struct conf_address *to;

	if (!u->cli)
		u->cli = new_machine(u);
	if (!u->cli)
		return false;
	u->naming = known == NEXT_HOP_ASKED;
	if (known == NEXT_HOP_UNKNOWN)
		loop_later(h->loop, &u->again, on_unknown, u);
	if (known == NEXT_HOP_KNOWN) {
		u->address %= h->address_count;
		to = &h->addresses[u->address];
		u->addressed = endpoint_octets(&to->sa, u->ip);
		if (!conn_connect(&u->conn, h->loop, (const struct sockaddr *)&to->sa, to->sa_len, &ops, u))
			return false;
	}
	arm_opening(u);
	return true;
}

static void begin_or_lose(struct upstream *u)
{
	struct fault f = { 0 };

	if (begin(u))
		return;
	fault_note(&f, FAULT_NEXT_HOP_DOWN, 0, "%s", strerror(errno));
	lost(u, &f);
}

static void again(void *arg)
{
	struct upstream *u = arg;
	struct cli *fresh = new_machine(u);
	struct fault f = { 0 };

	if (!fresh) { /* its user may still ask for the old one */
		fault_note(&f, FAULT_NEXT_HOP_DOWN, 0, "%s", strerror(errno));
		lost(u, &f);
		return;
	}
	cli_free(&u->cli);
	u->cli = fresh;
	begin_or_lose(u);
}

void upstream_named(struct upstream *u)
{
	u->address = u->hop->first_address;
	begin_or_lose(u);
}

struct upstream *upstream_open(struct next_hop *h, struct slice head, const struct upstream_user *user, void *arg)
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
	u->conn.fd = -1;
	u->open_until_ms = loop_now_ms(h->loop) + h->conf->pool.connect_ms;
	u->address = h->first_address;
	if (!begin(u)) {
		if (u->cli)
			log_note(LOG_LEVEL_ERROR, errno == EMFILE || errno == ENFILE ? "fd_limit" : "up_down", "%s: %s", next_hop_name(h),
			    strerror(errno));
		cli_free(&u->cli);
		free(u);
		return NULL;
	}
	u->next = h->all;
	u->at = &h->all;
	if (u->next)
		u->next->at = &u->next;
	h->all = u;
	h->open++;
	set_opening(u, true);
	next_hop_changed(h);
	count_add(h->counts, h->slot, COUNT_NEXT_HOP_OPEN, 1);
	count_add(h->counts, h->slot, COUNT_NEXT_HOP_CONNECTS, 1);
	return u;
}

void upstream_within(struct upstream *u, int64_t ms)
{
	int64_t until_ms = loop_now_ms(u->hop->loop) + ms;

	if (u->state == UP_OPENING) {
		u->within_ms = ms ? until_ms : 0;
		if (ms && until_ms < u->open_until_ms) {
			u->open_until_ms = until_ms;
			if (!u->again.set)
				arm_opening(u);
		}
		return;
	}
	u->hurry_until_ms = ms ? until_ms : 0;
	if (u->deadline.due_ms)
		arm(u);
}

/* Of the idle ones, to make room. */
static void close_oldest(struct next_hop *h)
{
	struct upstream *u = h->pool;

	while (u && u->pool_next)
		u = u->pool_next;
	if (!u)
		return;
	cli_quit(u->cli);
	conn_push(&u->conn);
	upstream_doom(u);
}

struct upstream *upstream_take(struct next_hop *h, bool fresh, struct slice head, const struct upstream_user *user, void *arg)
{
	struct upstream *u = fresh ? NULL : h->pool;

	while (u && !slice_eq(slice_of(u->head, u->head_octets), head))
		u = u->pool_next;
	if (!u) {
		if (h->open >= h->conf->pool.max)
			close_oldest(h);
		u = upstream_open(h, head, user, arg);
		if (u)
			u->messages = 1;
		return u;
	}
	from_pool(u);
	u->state = UP_USED;
	u->user = user;
	u->arg = arg;
	u->reused = true;
	u->messages++;
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
	u->hurry_until_ms = 0;
	if (clean && u->state == UP_USED && cli_idle(u->cli)) {
		to_pool(u);
	} else if (u->content || u->hop->spare >= SPARE_MAX || (u->state == UP_USED && !cli_ready(u->cli))) {
		upstream_doom(u);
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
		upstream_doom(u);
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

void upstream_address(const struct upstream *u, char out[IP_TEXT])
{
	out[0] = '\0';
	if (u->addressed)
		ip_text(u->ip, out);
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
