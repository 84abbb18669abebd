/*
 * where.c - where a copy goes: next hops of the configuration, a table's, or the hosts that the DNS names for the domain.
 */
#include "base/ip.h"
#include "base/limits.h"
#include "mail/addr.h"
#include "mail/domain.h"
#include "out/log.h"
#include "queue/queue_in.h"
#include "route/mx.h"

/* The domain of a recipient, normal; <postmaster> is ours. */
static struct slice domain_of(struct arena *a, const struct spool_rcpt *rcpt, const struct conf *conf)
{
	struct path p;
	struct slice domain = slice_str(conf->hostname);

	if (path_parse(rcpt->path, &p) && p.domain.n)
		domain = p.domain;
	if (!domain_normal(a, domain, &domain))
		return SLICE_NONE;
	return domain;
}

static const struct conf_route *route_of(const struct conf_listener *l, struct slice domain)
{
	size_t list = 0;

	if (l->table && !table_find(l->table, domain, &list))
		return NULL;
	return list < l->route_count ? &l->routes[list] : NULL;
}

struct slice where_name(struct arena *a, const struct queue_listener *l, const struct spool_rcpt *rcpt, const struct conf *conf)
{
	struct slice domain = domain_of(a, rcpt, conf), name = SLICE_NONE;
	const struct conf_route *route;

	if (l->conf->route_mx)
		return domain.n ? domain : WHERE_NOBODY;
	route = route_of(l->conf, domain);
	for (size_t i = 0; route && i < route->hop_count; i++) {
		const char *text = l->conf->next_hops[route->hops[i]].address.text;

		name = i ? arena_printf(a, "%.*s,%s", SLICE_FMT(name), text) : slice_str(text);
	}
	return route ? name : WHERE_NOBODY;
}

/* Held until where_release(). */
static void add(struct where *out, struct next_hop *h)
{
	if (!h)
		return;
	next_hop_hold(h);
	out->hops[out->hop_count++] = h;
}

void where_release(struct where *w)
{
	for (size_t i = 0; i < w->hop_count; i++)
		next_hop_let_go(w->hops[i]);
	w->hop_count = 0;
}

static bool by_route(const struct queue *q, const struct queue_listener *l, struct slice domain, struct where *out)
{
	const struct conf_route *route = route_of(l->conf, domain);

	if (!route)
		return fault_set(&out->fault, FAULT_NO_ROUTE, 0);
	for (size_t i = 0; i < route->hop_count && i < LIMIT_MX_HOSTS; i++)
		add(out, hosts_next_hop(q->hosts, l->conf, &l->conf->next_hops[route->hops[i]]));
	return out->hop_count || fault_set(&out->fault, FAULT_NO_MEMORY, 0);
}

static void log_refused(const struct where_ask *w, const struct fault *f)
{
	struct log_line l = log_begin(LOG_LEVEL_WARNING, "route_refused");

	log_str(&l, "listener", w->listener->conf->name);
	log_text(&l, "domain", w->domain);
	log_fault(&l, f);
	log_end(&l);
}

static void by_answer(struct where_ask *w, const struct dnsrec *rec, struct where *out)
{
	struct slice self = slice_str(w->queue->conf->hostname);
	struct mx_hosts hosts = { 0 };

	if (!mx_order(w->arena, w->domain, rec->status, rec->records, rec->count, &self, 1, (uint64_t)loop_now_ms(w->queue->loop), &hosts,
	    &out->fault)) {
		if (out->fault.code != FAULT_NEXT_HOP_DNS)
			log_refused(w, &out->fault);
		return;
	}
	for (size_t i = 0; i < hosts.n; i++)
		add(out, hosts_mx(w->queue->hosts, w->listener->conf, hosts.hosts[i]));
	if (out->hop_count == 0)
		fault_set(&out->fault, FAULT_NO_MEMORY, 0);
}

/* RFC 5321 4.1.3: "[192.0.2.1]", "[ipv6:2001:db8::1]". */
static void by_literal(struct where_ask *w, struct where *out)
{
	struct slice inner = slice_sub(w->domain, 1, w->domain.n - 2);
	unsigned char octets[16];
	char text[IP_TEXT];

	if (slice_istarts(inner, S("ipv6:")))
		inner = slice_sub(inner, 5, SIZE_MAX);
	if (!ip_parse(inner, octets)) {
		fault_set(&out->fault, FAULT_NO_ROUTE, 0);
		return;
	}
	ip_text(octets, text);
	add(out, hosts_mx(w->queue->hosts, w->listener->conf, slice_str(text)));
	if (out->hop_count == 0)
		fault_set(&out->fault, FAULT_NO_MEMORY, 0);
}

static void on_mx(void *arg, struct dnsrec *rec)
{
	struct where_ask *w = arg;
	struct where out = { .hop_count = 0 };

	w->ticket = 0;
	by_answer(w, rec, &out);
	w->on(w->arg, &out);
}

bool where_find(struct where_ask *w, struct queue *q, const struct queue_listener *l, const struct spool_rcpt *rcpt, struct arena *a,
    void (*on)(void *arg, const struct where *w), void *arg, struct where *out)
{
	struct dnsrec *rec;

	*w = (struct where_ask){ .queue = q, .listener = l, .arena = a, .on = on, .arg = arg };
	*out = (struct where){ .hop_count = 0 };
	w->domain = domain_of(a, rcpt, q->conf);
	if (!l->conf->route_mx) {
		(void)by_route(q, l, w->domain, out);
		return true;
	}
	if (!w->domain.n) {
		fault_set(&out->fault, FAULT_NO_DOMAIN, 0);
		return true;
	}
	if (w->domain.at[0] == '[') {
		by_literal(w, out);
		return true;
	}
	rec = ask_dns_cached(q->ask, DNSREC_MX, w->domain);
	if (rec) {
		by_answer(w, rec, out);
		return true;
	}
	w->ticket = ask_dns(q->ask, DNSREC_MX, w->domain, on_mx, w);
	if (w->ticket)
		return false;
	fault_set(&out->fault, FAULT_NEXT_HOP_DNS, 0);
	return true;
}

void where_cancel(struct where_ask *w)
{
	if (w->ticket)
		ask_cancel(w->queue->ask, w->ticket);
	w->ticket = 0;
}
