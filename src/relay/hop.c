/*
 * hop.c - which next hop a transaction goes to, and which after one that failed.
 *
 * The first in order that is up and has what the message needs; then those that may be, in order; at last those known to lack it, whose
 * refusal is then the answer. One that failed before it had answered MAIL is left for the next; one that was lost between that and the
 * content is asked once more before another is.
 */
#include <limits.h>
#include <stdio.h>

#include "base/limits.h"
#include "mail/domain.h"
#include "out/log.h"
#include "relay/tx.h"

enum { TAKES_MAX = 3, TAKES_BEFORE_ANOTHER = 2 };

static struct next_hop *hop_at(const struct tx *t, size_t at)
{
	return t->pair->listener->next_hops[t->hops.route->hops[at]];
}

static bool dsn(const struct srv_params *p)
{
	return p->ret.n || p->envid.n || p->notify.n || p->orcpt.n;
}

static unsigned needs(const struct tx *t)
{
	unsigned bits = 0;

	for (size_t i = 0; i < t->command_count; i++) {
		const struct srv_params *p = &t->commands[i].params;

		bits |= (p->body_8bit ? EXT_8BITMIME : 0u) | (p->smtputf8 ? EXT_SMTPUTF8 : 0u) | (dsn(p) ? EXT_DSN : 0u);
	}
	if (t->commands[0].params.requiretls && !t->commands[0].path.null && (t->no_field || !relay_by_field(t->pair->listener)))
		bits |= EXT_REQUIRETLS;
	return bits;
}

/* The lower the sooner. */
enum { RANK_LACKS = 3 };

static unsigned rank(const struct next_hop *h, unsigned bits)
{
	const struct ext *e = next_hop_ext(h);

	if (!e)
		return next_hop_state(h) == NEXT_HOP_NEW ? 1 : 2;
	return (e->bits & bits) == bits ? 0 : RANK_LACKS;
}

static bool choose(struct tx *t)
{
	struct tx_hops *h = &t->hops;
	unsigned bits = h->route->hop_count > 1 ? needs(t) : 0, best = UINT_MAX;

	for (size_t i = 0; i < h->route->hop_count && best > 0; i++) {
		unsigned r;

		if (h->tried & 1u << i || (r = rank(hop_at(t, i), bits)) >= best)
			continue;
		best = r;
		h->at = i;
	}
	if (best == UINT_MAX)
		return false;
	t->hop = hop_at(t, h->at);
	h->takes = 0;
	return true;
}

static void go_by(struct tx *t, size_t route)
{
	t->hops = (struct tx_hops){ .route = &t->pair->listener->conf->routes[route] };
	(void)choose(t);
}

void hop_first(struct tx *t)
{
	if (!t->pair->listener->conf->table)
		go_by(t, 0);
}

bool hop_for(struct tx *t, const struct path *rcpt, struct fault *f_out)
{
	const struct conf_listener *l = t->pair->listener->conf;
	struct slice domain = rcpt->domain.n ? rcpt->domain : slice_str(t->pair->relay->conf->hostname); /* <postmaster> is ours */
	size_t route;

	if (!l->table)
		return true;
	if (!domain_normal(&t->pair->arena, domain, &domain))
		domain = rcpt->domain;
	if (!table_find(l->table, domain, &route))
		return fault_set(f_out, FAULT_NO_ROUTE, 0);
	if (!t->hops.route)
		go_by(t, route);
	return t->hops.route == &l->routes[route] || fault_set(f_out, FAULT_OTHER_NEXT_HOP, 0);
}

void hop_forget(struct tx *t)
{
	t->hops = (struct tx_hops){ .route = NULL };
	t->hop = NULL;
	t->mail_ours = true;
	t->mail_open = false;
	t->command_count = 1;
	t->refused = t->sent = t->awaited = 0;
}

bool hop_left(const struct tx *t)
{
	uint32_t all = (uint32_t)((1ull << t->hops.route->hop_count) - 1);

	return (all & ~t->hops.tried & ~(1u << t->hops.at)) != 0;
}

/* Is it a fault of how the next hop stands, which an operator should hear of, and not just of its being away? */
static bool lasting(enum fault_code code)
{
	return code == FAULT_NEXT_HOP_TLS || code == FAULT_NEXT_HOP_CERT || code == FAULT_NEXT_HOP_EARLY || code == FAULT_NEXT_HOP_DNS ||
	    code == FAULT_MAIL_LOOP;
}

static void failed(struct tx_hops *h, const struct fault *f)
{
	h->tried |= 1u << h->at;
	if (++h->failed == 1) {
		h->why = *f;
	} else if (h->why.code != f->code || !lasting(f->code)) {
		h->why = (struct fault){ 0 };
		fault_note(&h->why, FAULT_NEXT_HOP_DOWN, 0, "%u next hops failed", h->failed);
	}
}

static void log_failover(const struct tx *t, const struct next_hop *from, const struct fault *f)
{
	struct log_line l = log_begin(LOG_LEVEL_WARNING, "next_hop_failover");
	char name[FAULT_NAME_OCTETS];

	fault_name(f->code, name);
	log_str(&l, "tx", t->name);
	log_str(&l, "next_hop", next_hop_name(from));
	log_str(&l, "fault", name);
	log_str(&l, "note", f->note[0] ? f->note : NULL);
	log_str(&l, "to", next_hop_name(t->hop));
	log_end(&l);
}

static void log_loop(const struct tx *t, const struct fault *f)
{
	struct log_line l = log_begin(LOG_LEVEL_WARNING, "mail_loop");

	log_str(&l, "tx", t->name);
	log_str(&l, "next_hop", next_hop_name(t->hop));
	log_fault(&l, f);
	log_end(&l);
}

bool hop_after(struct tx *t, const struct fault *f, struct fault *why_out)
{
	struct tx_hops *h = &t->hops;
	struct next_hop *from = t->hop;
	bool gone = f->code == FAULT_NEXT_HOP_LOST || f->code == FAULT_NEXT_HOP_421;
	bool in_time = loop_now_ms(t->pair->relay->loop) < h->until_ms || !h->until_ms;

	*why_out = *f;
	if (f->code == FAULT_NO_MEMORY || f->code == FAULT_INTERNAL || (h->answered && !gone))
		return false;
	/* A connection of the pool may have died unseen, and one that did serve may do so again. */
	if (gone && h->opened && (h->reused || h->answered) && h->takes < TAKES_BEFORE_ANOTHER)
		return true;
	if (h->opened && !h->answered && h->route->hop_count > 1 && f->code != FAULT_NEXT_HOP_LACKS)
		next_hop_bad(from, f);
	if (in_time && hop_left(t)) {
		failed(h, f);
		(void)choose(t);
		log_failover(t, from, f);
		return true;
	}
	if (gone && h->opened && h->takes < TAKES_MAX)
		return true;
	failed(h, f);
	*why_out = h->why;
	if (h->why.code == FAULT_MAIL_LOOP)
		log_loop(t, &h->why);
	return false;
}

void hop_lacks_now(const struct tx *t, struct fault *f)
{
	unsigned bits = needs(t);
	bool maybe = false;

	for (size_t i = 0; i < t->hops.route->hop_count; i++)
		maybe = maybe || (i != t->hops.at && rank(hop_at(t, i), bits) != RANK_LACKS);
	if (f->code != FAULT_NEXT_HOP_LACKS || !maybe)
		return;
	f->basic = 451;
	f->enhanced[0] = '4';
}

bool hop_lacks(const struct tx *t, const struct tx_command *c, struct fault *f_out)
{
	if (!dsn(&c->params) || cli_ext(upstream_cli(t->up))->bits & EXT_DSN)
		return false;
	fault_note(f_out, FAULT_NEXT_HOP_LACKS, 0, "DSN");
	snprintf(f_out->enhanced, sizeof(f_out->enhanced), "5.5.4");
	return true;
}

static void on_change(void *arg)
{
	struct relay_listener *l = arg;

	l->any_up = false;
	for (size_t i = 0; i < l->next_hop_count; i++) {
		const struct ext *e = next_hop_ext(l->next_hops[i]);

		if (!e)
			continue;
		l->common = l->any_up ? ext_both(&l->common, e) : *e;
		l->any_up = true;
	}
}

void hop_watch(struct relay_listener *l)
{
	for (size_t i = 0; i < l->next_hop_count; i++)
		next_hop_on_change(l->next_hops[i], on_change, l);
}
