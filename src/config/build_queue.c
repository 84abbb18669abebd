/*
 * build_queue.c - mode queue, and who may send to whom through a listener that decides it itself.
 *
 * Whoever may send to anyone is in `clients` by address, holds a certificate of tls.clients, or has authenticated. An address counts as
 * far as those who name it can be trusted, so what is asked of `clients` is asked of xclient-from and proxy-from too. A certificate by
 * itself says nothing: any will do where there is no client-ca, and one of a client-ca makes nobody a client.
 */
#include <stdlib.h>

#include "base/limits.h"
#include "config/build.h"
#include "mail/domain.h"

static unsigned number(const struct conf_node *n, enum conf_key_id key)
{
	return (unsigned)conf_value(n, key)->number;
}

/* What was said is held against what was said, not against a default. */
static void check_order(struct conf_tree *t, const struct conf_node *n, enum conf_key_id key, const char *relation, enum conf_key_id other)
{
	const struct conf_value *v = conf_value(n, key), *o = conf_value(n, other);

	if (!v->bad && !o->bad)
		conf_mistake(t->errors, v->given ? v->where : o->where, "queue.%s = %lld, expected %s queue.%s, %lld", conf_row(key)->name,
		    (long long)v->number, relation, conf_row(other)->name, (long long)o->number);
}

void build_queue(struct conf *c, struct conf_tree *t)
{
	struct conf_node *n = conf_tree_one(t, GROUP_QUEUE, t->first);
	const struct conf_node *spool = conf_tree_one(t, GROUP_SPOOL, t->first);
	struct conf_value *warn = conf_value_edit(n, KEY_QUEUE_WARN);

	c->spool_reserve_octets = (uint64_t)conf_value(spool, KEY_SPOOL_RESERVE)->number;
	c->queue.retry_min_s = number(n, KEY_QUEUE_RETRY_MIN);
	c->queue.retry_max_s = number(n, KEY_QUEUE_RETRY_MAX);
	c->queue.expire_s = number(n, KEY_QUEUE_EXPIRE);
	c->queue.concurrency = number(n, KEY_QUEUE_CONCURRENCY);
	c->queue.deliveries = number(n, KEY_QUEUE_DELIVERIES);
	c->queue.mx_port = (uint16_t)number(n, KEY_QUEUE_MX_PORT);
	if (c->queue.retry_min_s > c->queue.retry_max_s)
		check_order(t, n, KEY_QUEUE_RETRY_MIN, "at most", KEY_QUEUE_RETRY_MAX);
	/* Nobody is told of a delay who is told of the end before; who did not ask for it has said nothing wrong. */
	if (warn->number >= conf_value(n, KEY_QUEUE_EXPIRE)->number) {
		if (warn->given)
			check_order(t, n, KEY_QUEUE_WARN, "0, or less than", KEY_QUEUE_EXPIRE);
		warn->number = 0;
	}
	c->queue.warn_s = number(n, KEY_QUEUE_WARN);
}

/* ---- domains ---- */

static int compare(const void *x, const void *y)
{
	const char *const *p = x, *const *q = y;

	return strcmp(*p, *q);
}

void build_sort_domains(struct conf_listener *l)
{
	size_t n = 0;

	if (l->domain_count == 0)
		return;
	for (size_t i = 0; i < l->domain_count; i++)
		if (!l->domains[i]) { /* no memory, which the arena says */
			l->domain_count = 0;
			return;
		}
	qsort(l->domains, l->domain_count, sizeof(l->domains[0]), compare);
	for (size_t i = 0; i < l->domain_count; i++)
		if (i == 0 || strcmp(l->domains[i], l->domains[n - 1]) != 0)
			l->domains[n++] = l->domains[i];
	l->domain_count = n;
}

enum { MISTAKES = 100 };

void build_domain_table(struct conf *c, struct conf_listener *l, struct slice text, struct conf_errors *errors)
{
	struct arena *a = &c->arena;
	size_t lines = 1, mistakes = 0;

	for (size_t i = 0; i < text.n; i++)
		lines += text.at[i] == '\n';
	l->domains = ARENA_ARRAY(a, lines, const char *);
	for (size_t line = 1; l->domains && text.n; line++) {
		struct slice name, normal;

		slice_cut(&text, '\n', &name);
		name.n = slice_find(name, '#');
		name = slice_trim(name);
		if (name.n == 0)
			continue;
		if (domain_normal(a, name, &normal) && domain_valid(normal))
			l->domains[l->domain_count++] = arena_string(a, normal);
		else if (mistakes++ < MISTAKES) {
			const char *where = arena_string(a, arena_printf(a, "%s:%zu", l->domains_file, line));

			conf_mistake(errors, where ? where : l->domains_file, "\"%.*s\" is no domain, expected a domain name a line",
			    SLICE_FMT(slice_sub(name, 0, LIMIT_REASON)));
		}
	}
	build_sort_domains(l);
}

/* ---- who may send to anyone ---- */

/* Where all the Internet's addresses are, or all of IPv4 again: as itself, behind NAT64 (RFC 6052), as 6to4, as Teredo. */
static const struct space {
	struct cidr all;
	unsigned margin; /* a network longer by so many bits may be somebody's */
	const char *expected;
} spaces[] = {
	{ { { 0 }, 0 }, 16, "networks of your own, of /16 or longer" },
	{ { { [10] = 0xff, [11] = 0xff }, 96 }, 8, "networks of your own, of /8 or longer" },
	{ { { 0x00, 0x64, 0xff, 0x9b }, 96 }, 8, "networks of your own, without that of NAT64" },
	{ { { 0x20, 0x02 }, 16 }, 8, "networks of your own, without that of 6to4" },
	{ { { 0x20, 0x01 }, 32 }, 8, "networks of your own, without that of Teredo" },
};
enum { SPACES = sizeof(spaces) / sizeof(spaces[0]) };
/* So many of the longest may be there together: more are most of the Internet in pieces. */
enum { PIECES = 16 };

static bool meet(const struct cidr *x, const struct cidr *y)
{
	return x->bits < y->bits ? cidr_holds(x, y->octets) : cidr_holds(y, x->octets);
}

/* Thousandths of a piece, those of the smallest networks for nothing. */
static uint64_t size_of(const struct cidr *net, const struct space *s)
{
	unsigned bits = net->bits - s->all.bits - s->margin;

	return bits < 10 ? 1024U >> bits : 0;
}

struct guard {
	struct conf_tree *t;
	const struct conf_node *n;
	const char *may; /* what strangers could do */
};

/* One that is too much by itself. False: a mistake. */
static bool check_network(const struct guard *g, enum conf_key_id key, const char *text, const struct cidr *net)
{
	static const unsigned char nobody[16] = { [10] = 0xff, [11] = 0xff };
	const struct conf_value *v = conf_value(g->n, key);

	for (size_t i = 0; i < SPACES; i++)
		if (net->bits < spaces[i].all.bits + spaces[i].margin && meet(net, &spaces[i].all)) {
			conf_mistake(g->t->errors, v->where, "%s.%s holds \"%s\": %s, expected %s, or open-relay = true", g->n->path,
			    conf_row(key)->name, text, g->may, spaces[i].expected);
			return false;
		}
	if (cidr_holds(net, nobody)) { /* whom XCLIENT calls unavailable */
		conf_mistake(g->t->errors, v->where, "%s.%s holds \"%s\", in which 0.0.0.0 is whoever is not known: %s, expected networks "
		    "without it, or open-relay = true", g->n->path, conf_row(key)->name, text, g->may);
		return false;
	}
	return true;
}

static void check_networks(const struct guard *g, enum conf_key_id key)
{
	const struct conf_value *v = conf_value(g->n, key);
	uint64_t sum[SPACES] = { 0 };

	for (size_t i = 0; !v->bad && i < v->item_count; i++) {
		struct cidr net;

		if (!cidr_parse(slice_str(v->items[i]), &net)) /* said where they are built */
			continue;
		if (!check_network(g, key, v->items[i], &net))
			return;
		for (size_t k = 0; k < SPACES; k++)
			if (meet(&net, &spaces[k].all))
				sum[k] += size_of(&net, &spaces[k]);
	}
	for (size_t k = 0; k < SPACES; k++)
		if (sum[k] > PIECES * 1024) {
			conf_mistake(g->t->errors, v->where, "%s.%s holds much of the Internet in pieces: %s, expected %s, or open-relay = true",
			    g->n->path, conf_row(key)->name, g->may, spaces[k].expected);
			return;
		}
}

/* ---- what goes with what ---- */

static void in_queue(struct conf_tree *t, const struct conf_node *n, const struct conf_listener *l)
{
	const struct conf_node *tls = conf_tree_one(t, GROUP_NEXT_HOP_TLS, n);
	const struct conf_value *client = conf_value(n, KEY_LISTENER_NEXT_HOP_CLIENT), *share = conf_value(n, KEY_LISTENER_SHARE),
				*name = conf_value(tls, KEY_NEXT_HOP_TLS_NAME), *mode = conf_value(tls, KEY_NEXT_HOP_TLS_MODE),
				*implicit = conf_value(tls, KEY_NEXT_HOP_TLS_IMPLICIT);

	if (!client->bad && client->number != NEXT_HOP_CLIENT_NONE)
		conf_mistake(t->errors, client->where,
		    "%s.next-hop-client = \"%s\" in mode \"queue\", where the client has gone before its message goes out, expected \"none\"",
		    n->path, client->text);
	if (!share->bad && share->number == 1)
		conf_mistake(t->errors, share->where,
		    "%s.share = \"all\" in mode \"queue\", where those share a copy whom the message itself names, expected \"none\"", n->path);
	if (!l->route_mx)
		return;
	if (name->given && !name->bad)
		conf_mistake(t->errors, name->where, "%s.name with next-hop = \"mx\", whose servers have names of their own, expected it to be left out",
		    tls->path);
	if (l->next_hop_tls.implicit)
		conf_mistake(t->errors, implicit->number ? implicit->where : mode->where,
		    "%s begins with TLS and next-hop = \"mx\", whose servers wait for STARTTLS, expected mode = \"may\", \"require\" or \"verify\"",
		    tls->path);
}

void build_relaying(struct conf_tree *t, const struct conf_node *listener, struct conf_listener *l)
{
	const struct conf_value *open = conf_value(listener, KEY_LISTENER_OPEN_RELAY), *service = conf_value(listener, KEY_LISTENER_SERVICE),
				*mode = conf_value(listener, KEY_LISTENER_MODE);
	const struct guard clients = { t, listener, "strangers could send to anyone" };
	const struct guard speakers = { t, listener, "strangers could pass for clients" };

	if (service->bad || mode->bad || open->bad)
		return;
	l->open_relay = open->number != 0;
	if (l->mode == MODE_QUEUE)
		in_queue(t, listener, l);
	else if (l->open_relay && !l->sealing)
		conf_mistake(t->errors, open->where,
		    "%s.open-relay = true in mode \"proxy\" of service \"%s\", where the next hop says who may send to whom, expected it to be left "
		    "out", listener->path, service->text);
	if (!conf_guards(l))
		return;
	check_networks(&clients, KEY_LISTENER_CLIENTS);
	check_networks(&speakers, KEY_LISTENER_XCLIENT_FROM);
	check_networks(&speakers, KEY_LISTENER_PROXY_FROM);
}
