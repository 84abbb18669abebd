#include "base/limits.h"
#include "config/build.h"
#include "config/endpoint.h"
#include "mail/domain.h"
#include "route/table.h"

/* Where a next hop is named: in the setting, or in a line of its table. */
struct naming {
	struct arena *arena;
	struct conf_errors *errors;
	struct conf_listener *l;
	const char *tls_name; /* for all; NULL: each has its own */
	const char *where;
	const char *said;     /* "listener.mx.next-hop =" */
	struct slice expected;
};

static void mistake(const struct naming *n, const char *text, const char *what)
{
	conf_mistake(n->errors, n->where, "%s \"%s\"%s, expected %.*s", n->said, text, what, SLICE_FMT(n->expected));
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
static bool add(const struct naming *n, const char *text, size_t *hop_out)
{
	struct conf_next_hop hop = { .address = { .text = text, .where = n->where } };
	struct slice server = slice_str(text);
	struct conf_listener *l = n->l;

	if (slice_starts(server, S("lmtp:"))) {
		hop.lmtp = true;
		server = slice_sub(server, 5, SIZE_MAX);
	}
	if (slice_eq(server, S("mx"))) {
		mistake(n, text, n->l->table_file ? " in a table is not there yet" : " beside others");
		return false;
	}
	if (!read_server(n->arena, server, &hop)) {
		mistake(n, text, "");
		return false;
	}
	if (hop.lmtp && hop.port == 25) { /* RFC 2033 5 */
		mistake(n, text, " is LMTP on the port of SMTP");
		return false;
	}
	for (*hop_out = 0; *hop_out < l->next_hop_count; ++*hop_out)
		if (same(&hop, &l->next_hops[*hop_out]))
			return true;
	if (l->next_hop_count == LIMIT_NEXT_HOPS) {
		conf_mistake(n->errors, n->where, "%s \"%s\" is one server too many, expected at most %d in all", n->said, text,
		    LIMIT_NEXT_HOPS);
		return false;
	}
	hop.tls_name = n->tls_name ? n->tls_name : hop.host;
	l->next_hops[l->next_hop_count++] = hop;
	return true;
}

/* A list of next hops in order of preference. */
static void add_route(const struct naming *n, const char *const *texts, size_t count)
{
	struct conf_route *route = &n->l->routes[n->l->route_count++];
	size_t *hops = ARENA_ARRAY(n->arena, count, size_t);

	*route = (struct conf_route){ .hops = hops };
	for (size_t i = 0; hops && i < count; i++) {
		size_t before = 0;

		if (!add(n, texts[i], &hops[route->hop_count]))
			continue;
		while (before < route->hop_count && hops[before] != hops[route->hop_count])
			before++;
		if (before < route->hop_count)
			mistake(n, texts[i], " twice");
		else
			route->hop_count++;
	}
}

/* The transaction of a proxy has one next hop, whose answers are the client's; MX are many, and in no hurry. */
static void take_mx(const struct conf_tree *t, const struct conf_node *listener, struct conf_listener *l)
{
	const struct conf_value *mode = conf_value(listener, KEY_LISTENER_MODE);

	l->route_mx = true;
	if (l->mode != MODE_QUEUE && !mode->bad && !conf_value(listener, KEY_LISTENER_SERVICE)->bad)
		conf_mistake(t->errors, conf_value(listener, KEY_LISTENER_NEXT_HOP)->where,
		    "%s.next-hop = \"mx\" in mode \"proxy\", where one server answers for all recipients, expected mode = \"queue\", or a server",
		    listener->path);
}

void build_next_hops(struct conf_tree *t, struct conf_node *listener, struct conf_listener *l)
{
	struct conf_value *v = conf_value_edit(listener, KEY_LISTENER_NEXT_HOP);
	const struct conf_row *row = conf_row(KEY_LISTENER_NEXT_HOP);
	struct slice table = S("table:"), path = conf_path(t->arena, listener, row->name);
	struct naming n = { .arena = t->arena, .errors = t->errors, .l = l, .where = v->where,
		.expected = conf_row_expected(t->arena, row) };

	if (v->bad || !v->item_count)
		return;
	if (v->item_count > LIMIT_ROUTE) {
		conf_mistake(t->errors, v->where, "%.*s is a list of %zu, expected at most %d", SLICE_FMT(path), v->item_count, LIMIT_ROUTE);
		return;
	}
	if (v->item_count == 1 && slice_starts(slice_str(v->items[0]), table) && v->items[0][table.n]) {
		l->table_file = conf_absolute(t, v->items[0] + table.n);
		l->table_where = v->where;
		v->items[0] = arena_string(t->arena, arena_printf(t->arena, "table:%s", l->table_file));
		return;
	}
	n.said = arena_string(t->arena, arena_printf(t->arena, "%.*s %s", SLICE_FMT(path), v->item_count > 1 ? "holds" : "="));
	if (v->item_count == 1 && strcmp(v->items[0], "mx") == 0) {
		take_mx(t, listener, l);
		return;
	}
	l->next_hops = ARENA_ARRAY(t->arena, v->item_count, struct conf_next_hop);
	l->routes = ARENA_NEW(t->arena, struct conf_route);
	if (l->next_hops && l->routes && n.said)
		add_route(&n, v->items, v->item_count);
}

struct reading {
	struct arena *arena;
	struct conf_errors *errors;
	const char *file;
};

static void on_mistake(void *arg, unsigned line, struct slice word, const char *what)
{
	struct reading *r = arg;
	const char *where = arena_string(r->arena, arena_printf(r->arena, "%s:%u", r->file, line));

	conf_mistake(r->errors, where ? where : r->file, "\"%.*s\" %s", SLICE_FMT(slice_sub(word, 0, LIMIT_REASON)), what);
}

void build_table(struct conf *c, struct conf_listener *l, struct slice text, struct conf_errors *errors)
{
	struct arena *a = &c->arena;
	struct reading r = { .arena = a, .errors = errors, .file = l->table_file };
	struct naming n = { .arena = a, .errors = errors, .l = l, .tls_name = l->next_hop_tls.name, .said = "next hop",
		.expected = S("host:port or lmtp:host:port") };
	const char *texts[LIMIT_ROUTE];

	text = arena_copy(a, text);
	l->table = table_new(a, text, on_mistake, &r);
	if (!l->table)
		return;
	l->next_hops = ARENA_ARRAY(a, LIMIT_NEXT_HOPS, struct conf_next_hop);
	l->routes = ARENA_ARRAY(a, table_list_count(l->table), struct conf_route);
	for (size_t i = 0; l->next_hops && l->routes && i < table_list_count(l->table); i++) {
		const struct table_list *list = table_list(l->table, i);

		n.where = arena_string(a, arena_printf(a, "%s:%u", l->table_file, list->line));
		for (size_t k = 0; k < list->hop_count; k++)
			texts[k] = arena_string(a, list->hops[k]);
		if (!arena_failed(a))
			add_route(&n, texts, list->hop_count);
	}
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

static bool covered(const struct conf_listener *l)
{
	bool all = l->next_hop_tls.mode >= NEXT_HOP_TLS_REQUIRE;

	for (size_t i = 0; i < l->next_hop_count && !all; i++)
		if (!l->next_hops[i].address.sa_len || !endpoint_loopback(&l->next_hops[i].address.sa))
			return false;
	return true;
}

void build_check_requiretls(const struct conf *c, struct conf_errors *errors)
{
	for (size_t i = 0; i < c->listener_count; i++) {
		const struct conf_listener *l = &c->listeners[i];
		const char *why = NULL;

		if (l->requiretls != REQUIRETLS_HEADER)
			continue;
		if (l->mode == MODE_QUEUE)
			why = "in mode \"queue\", where a message is kept before it is known which next hop needs the field, expected \"none\" or "
			      "\"pass\"";
		else if (l->service == SERVICE_PASS)
			why = "adds a field, which service \"pass\" does not, expected another service";
		else if (!covered(l))
			why = "and a next hop that may be spoken to in clear, expected next-hop-tls.mode = \"require\" or \"verify\"";
		if (why)
			conf_mistake(errors, l->requiretls_where, "listener.%s.requiretls = \"header\" %s", l->name, why);
	}
}
