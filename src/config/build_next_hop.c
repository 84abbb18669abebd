#include "base/limits.h"
#include "config/build.h"
#include "config/endpoint.h"
#include "mail/domain.h"

struct where_to {
	struct conf_tree *t;
	const struct conf_node *n;
	struct conf_listener *l;
};

static void mistake(const struct where_to *w, const char *text, const char *what)
{
	conf_mistake(w->t->errors, conf_value(w->n, KEY_LISTENER_NEXT_HOP)->where, "%s.next-hop %s \"%s\"%s, expected %.*s", w->n->path,
	    conf_value(w->n, KEY_LISTENER_NEXT_HOP)->item_count > 1 ? "holds" : "=", text, what,
	    SLICE_FMT(conf_row_expected(w->t->arena, conf_row(KEY_LISTENER_NEXT_HOP))));
}

static bool read_server(struct arena *a, struct slice text, struct conf_next_hop *hop)
{
	struct slice host, normal;

	if (endpoint_parse(text, 0, &hop->address.sa, &hop->address.sa_len) && !endpoint_wild(&hop->address.sa)) {
		hop->port = endpoint_port(&hop->address.sa);
		hop->host = arena_string(a, endpoint_host(text));
		return true;
	}
	hop->address.sa_len = 0;
	if (!endpoint_name(text, &host, &hop->port) || !domain_normal(a, host, &normal))
		return false;
	hop->host = arena_string(a, normal);
	return true;
}

static bool same(const struct conf_next_hop *x, const struct conf_next_hop *y)
{
	return x->lmtp == y->lmtp && x->port == y->port && strcmp(x->host, y->host) == 0;
}

/* The next hop that this is, an old one or a new one; false: it is none, said. */
static bool add(const struct where_to *w, const char *text, size_t *hop_out)
{
	struct conf_next_hop hop = { .address = { .text = text, .where = conf_value(w->n, KEY_LISTENER_NEXT_HOP)->where } };
	struct slice server = slice_str(text);

	if (slice_starts(server, S("lmtp:"))) {
		hop.lmtp = true;
		server = slice_sub(server, 5, SIZE_MAX);
	}
	if (hop.lmtp || slice_eq(server, S("mx")) || slice_starts(server, S("table:")))
		mistake(w, text, " is not there yet");
	else if (!read_server(w->t->arena, server, &hop))
		mistake(w, text, "");
	else if (!hop.address.sa_len)
		mistake(w, text, " is the name of a host, which is not there yet");
	else {
		for (*hop_out = 0; *hop_out < w->l->next_hop_count; ++*hop_out)
			if (same(&hop, &w->l->next_hops[*hop_out]))
				return true;
		w->l->next_hops[w->l->next_hop_count++] = hop;
		return true;
	}
	return false;
}

/* A list of next hops in order of preference. */
static void add_route(const struct where_to *w, const char *const *texts, size_t count)
{
	struct conf_route *route = &w->l->routes[w->l->route_count];
	size_t *hops = ARENA_ARRAY(w->t->arena, count, size_t), n = 0;

	for (size_t i = 0; hops && i < count; i++) {
		size_t before = 0;

		if (!add(w, texts[i], &hops[n]))
			continue;
		while (before < n && hops[before] != hops[n])
			before++;
		if (before < n)
			mistake(w, texts[i], " twice");
		else
			n++;
	}
	if (!n)
		return;
	*route = (struct conf_route){ hops, n };
	w->l->route_count++;
}

void build_next_hops(struct conf_tree *t, const struct conf_node *listener, struct conf_listener *l)
{
	const struct conf_value *v = conf_value(listener, KEY_LISTENER_NEXT_HOP);
	struct where_to w = { .t = t, .n = listener, .l = l };

	l->next_hops = ARENA_ARRAY(t->arena, v->item_count, struct conf_next_hop);
	l->routes = ARENA_NEW(t->arena, struct conf_route);
	if (v->item_count > LIMIT_ROUTE)
		conf_mistake(t->errors, v->where, "%s.next-hop is a list of %zu, expected at most %d", listener->path, v->item_count,
		    LIMIT_ROUTE);
	else if (l->next_hops && l->routes && !v->bad)
		add_route(&w, v->items, v->item_count);
}

static const struct conf_listener *reached(const struct conf *c, const struct conf_next_hop *hop)
{
	for (size_t i = 0; hop->address.sa_len && i < c->listener_count; i++)
		for (size_t j = 0; j < c->listeners[i].address_count; j++)
			if (endpoint_reaches(&hop->address.sa, &c->listeners[i].addresses[j].sa))
				return &c->listeners[i];
	return NULL;
}

struct round {
	const struct conf *c;
	const struct conf_listener *home;
	bool *seen; /* a listener each */
};

/* Does mail that goes to `from` come home? */
static bool comes_home(const struct round *r, const struct conf_listener *from)
{
	if (from == r->home)
		return true;
	if (!from || r->seen[from - r->c->listeners])
		return false;
	r->seen[from - r->c->listeners] = true;
	for (size_t i = 0; i < from->next_hop_count; i++)
		if (comes_home(r, reached(r->c, &from->next_hops[i])))
			return true;
	return false;
}

void build_check_loops(struct conf *c, struct conf_errors *errors)
{
	struct round r = { .c = c, .seen = ARENA_ARRAY(&c->arena, c->listener_count, bool) };

	for (size_t i = 0; r.seen && i < c->listener_count; i++) {
		r.home = &c->listeners[i];
		for (size_t k = 0; k < r.home->next_hop_count; k++) {
			const struct conf_address *to = &r.home->next_hops[k].address;
			const struct conf_listener *m = reached(c, &r.home->next_hops[k]);

			memset(r.seen, 0, c->listener_count * sizeof(r.seen[0]));
			if (m == r.home)
				conf_mistake(errors, to->where,
				    "listener.%s.next-hop = \"%s\" is the listener itself, expected another server", r.home->name,
				    to->text);
			else if (comes_home(&r, m))
				conf_mistake(errors, to->where,
				    "listener.%s.next-hop = \"%s\" leads back to the listener through listener.%s, expected another "
				    "server",
				    r.home->name, to->text, m->name);
		}
	}
}
