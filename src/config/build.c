#include <stdlib.h>

#include "config/build.h"
#include "config/endpoint.h"
#include "mail/domain.h"

enum { SETS_OF_A_TYPE = 2 }; /* signatures of one algorithm in a seal; draft-ietf-dkim-dkim2-spec-06 */

struct build {
	struct conf *c;
	struct conf_tree *t;
	struct arena *a;
	struct conf_errors *e;
	const struct build_machine *machine;
	struct build_policy *policies;
	const struct policy *built_in; /* made by its first use */
};

static const struct conf_value *get(const struct build *b, enum conf_key_id key)
{
	return conf_value(conf_tree_one(b->t, conf_row(key)->group, b->t->first), key);
}

static struct conf_value *edit(const struct build *b, enum conf_key_id key)
{
	return conf_value_edit(conf_tree_one(b->t, conf_row(key)->group, b->t->first), key);
}

static unsigned number(const struct build *b, enum conf_key_id key)
{
	return (unsigned)get(b, key)->number;
}

static uint64_t wide(const struct build *b, enum conf_key_id key)
{
	return (uint64_t)get(b, key)->number;
}

void build_mistake(struct conf_tree *t, const struct conf_node *n, enum conf_key_id key, const char *text, const char *what)
{
	conf_mistake(t->errors, conf_value(n, key)->where, "%.*s = \"%s\"%s, expected %.*s",
	    SLICE_FMT(conf_path(t->arena, n, conf_row(key)->name)), text, what,
	    SLICE_FMT(conf_row_expected(t->arena, conf_row(key))));
}

static void mistake(const struct build *b, const struct conf_node *n, enum conf_key_id key, const char *text,
    const char *what)
{
	build_mistake(b->t, n, key, text, what);
}

static void build_root(struct build *b)
{
	struct conf_value *hostname = edit(b, KEY_ROOT_HOSTNAME), *id = edit(b, KEY_ROOT_AUTHSERV_ID),
			  *workers = edit(b, KEY_ROOT_WORKERS);
	struct conf *c = b->c;

	if (!hostname->given && !hostname->bad) {
		hostname->text = b->machine->hostname;
		if (!hostname->text)
			conf_mistake(b->e, hostname->where,
			    "no hostname, and this machine has none that mail can use, expected hostname = \"mx.example.net\"");
	}
	if (!id->given)
		id->text = hostname->text;
	if (workers->number == 0)
		workers->number = b->machine->cores < CONF_WORKERS ? b->machine->cores : CONF_WORKERS;
	c->hostname = hostname->text;
	c->workers = (unsigned)workers->number;
	c->user = get(b, KEY_ROOT_USER)->text;
	c->drain_s = number(b, KEY_ROOT_DRAIN);
	c->sandbox = number(b, KEY_ROOT_SANDBOX) != 0;
	c->state_dir = get(b, KEY_STATE_DIR)->text;
	c->spool_dir = get(b, KEY_SPOOL_DIR)->text;
	c->spool_where = get(b, KEY_SPOOL_DIR)->where;
	c->run_dir = get(b, KEY_RUN_DIR)->text;
	c->rates.client = number(b, KEY_RATES_CLIENT);
	c->rates.sender_domain = number(b, KEY_RATES_SENDER_DOMAIN);
	c->rates.recipient_domain = number(b, KEY_RATES_RECIPIENT_DOMAIN);
	c->timeouts.command_ms = number(b, KEY_TIMEOUTS_COMMAND);
	c->timeouts.content_ms = number(b, KEY_TIMEOUTS_CONTENT);
	c->timeouts.crowded_ms = number(b, KEY_TIMEOUTS_CROWDED);
	c->pool.idle_ms = number(b, KEY_POOL_IDLE);
	c->pool.idle_max = number(b, KEY_POOL_IDLE_MAX);
	c->pool.messages = number(b, KEY_POOL_MESSAGES);
	c->pool.max = number(b, KEY_POOL_MAX);
	c->pool.connect_ms = number(b, KEY_POOL_CONNECT);
}

static const char *absolute(const struct build *b, const char *name)
{
	return conf_absolute(b->t, name);
}

static void build_dns(struct build *b)
{
	struct conf_node *n = conf_tree_one(b->t, GROUP_DNS, b->t->first);
	struct conf_value *anchor = conf_value_edit(n, KEY_DNS_TRUST_ANCHOR);
	const struct conf_value *resolver = conf_value(n, KEY_DNS_RESOLVER);
	struct sockaddr_storage sa;
	socklen_t len;
	struct conf *c = b->c;

	c->dns.resolver = resolver->text;
	c->dns.answers = conf_value(n, KEY_DNS_ANSWERS)->text;
	c->dns.timeout_ms = number(b, KEY_DNS_TIMEOUT);
	c->dns.cache_max = number(b, KEY_DNS_CACHE);
	if (!resolver->bad && strcmp(resolver->text, "auto") != 0 &&
	    (!endpoint_parse(slice_str(resolver->text), 53, &sa, &len) || endpoint_wild(&sa)))
		mistake(b, n, KEY_DNS_RESOLVER, resolver->text, "");
	if (!anchor->bad && strcmp(anchor->text, "auto") != 0 && strcmp(anchor->text, "none") != 0)
		anchor->text = absolute(b, anchor->text);
	c->dns.trust_anchor = anchor->text;
}

static void build_log(struct build *b)
{
	struct conf_node *n = conf_tree_one(b->t, GROUP_LOG, b->t->first);
	struct conf_value *to = conf_value_edit(n, KEY_LOG_TO);

	b->c->log.format = (enum conf_log_format)number(b, KEY_LOG_FORMAT);
	if (to->bad || strcmp(to->text, "stderr") == 0)
		return;
	if (strcmp(to->text, "syslog") == 0) {
		b->c->log.to = LOG_SYSLOG;
	} else if (strchr(to->text, '/')) {
		b->c->log.to = LOG_FILE;
		b->c->log.file = to->text = absolute(b, to->text);
	} else {
		mistake(b, n, KEY_LOG_TO, to->text, "");
	}
}

static void build_limits(struct build *b)
{
	const struct conf_value *body = get(b, KEY_LIMITS_BODY_MEMORY), *memory = get(b, KEY_LIMITS_MEMORY);
	struct conf *c = b->c;

	c->limits.message_octets = wide(b, KEY_LIMITS_MESSAGE_SIZE);
	c->limits.header_octets = wide(b, KEY_LIMITS_HEADER);
	c->limits.header_fields = number(b, KEY_LIMITS_HEADER_FIELDS);
	c->limits.sessions = number(b, KEY_LIMITS_SESSIONS);
	c->limits.sessions_per_client = number(b, KEY_LIMITS_SESSIONS_PER_CLIENT);
	c->limits.connects_per_client = number(b, KEY_LIMITS_CONNECTS_PER_CLIENT);
	c->limits.memory_octets = wide(b, KEY_LIMITS_MEMORY);
	c->limits.body_memory_octets = wide(b, KEY_LIMITS_BODY_MEMORY);
	if (!body->bad && !memory->bad && body->number > memory->number)
		conf_mistake(b->e, body->where, "limits.body-memory = %lld, expected at most limits.memory, %lld",
		    (long long)body->number, (long long)memory->number);
}

static void build_dkim2(struct build *b)
{
	struct conf_node *n = conf_tree_one(b->t, GROUP_DKIM2, b->t->first);
	const struct conf_value *clock = conf_value(n, KEY_DKIM2_CLOCK);
	uint64_t now;

	b->c->dkim2.draft = number(b, KEY_DKIM2_DRAFT) + 6;
	b->c->dkim2.future_s = number(b, KEY_DKIM2_FUTURE);
	b->c->dkim2.undo_octets = wide(b, KEY_DKIM2_UNDO);
	b->c->dkim2.now = -1;
	if (clock->bad || strcmp(clock->text, "machine") == 0)
		return;
	if (slice_u64(slice_str(clock->text), INT32_MAX * (uint64_t)1000, &now))
		b->c->dkim2.now = (int64_t)now;
	else
		mistake(b, n, KEY_DKIM2_CLOCK, clock->text, "");
}

/* A list of domain names, normal. */
static const char **domains(struct build *b, const struct conf_node *n, enum conf_key_id key, size_t *count_out)
{
	const struct conf_value *v = conf_value(n, key);
	const char **names = ARENA_ARRAY(b->a, v->item_count, const char *);
	struct slice path = conf_path(b->a, n, conf_row(key)->name), normal;
	size_t count = 0;

	for (size_t i = 0; names && !v->bad && i < v->item_count; i++) {
		struct slice text = slice_str(v->items[i]);

		if (slice_starts(text, S("table:")) && key == KEY_LISTENER_DOMAINS)
			conf_mistake(b->e, v->where, "%.*s holds \"%s\" beside other names, expected it alone", SLICE_FMT(path), v->items[i]);
		else if (domain_normal(b->a, text, &normal) && domain_valid(normal))
			names[count++] = arena_string(b->a, normal);
		else
			conf_mistake(b->e, v->where, "%.*s holds \"%s\", expected domain names", SLICE_FMT(path), v->items[i]);
	}
	*count_out = count;
	return names;
}

static void build_dkim(struct build *b)
{
	const struct conf_node *arc = conf_tree_one(b->t, GROUP_ARC, b->t->first);

	b->c->dkim.signatures_max = number(b, KEY_DKIM_SIGNATURES);
	b->c->dkim.trust_l = number(b, KEY_DKIM_PARTIAL) != 0;
	b->c->arc.trusted = domains(b, arc, KEY_ARC_TRUSTED, &b->c->arc.trusted_count);
}

static void build_keys(struct build *b)
{
	struct conf *c = b->c;
	size_t count = 0;

	for (const struct conf_node *n = NULL; (n = conf_tree_next(b->t, GROUP_KEYS, b->t->first, n));)
		count++;
	c->keys = ARENA_ARRAY(b->a, count, struct conf_key);
	for (const struct conf_node *n = NULL; c->keys && (n = conf_tree_next(b->t, GROUP_KEYS, b->t->first, n));) {
		const struct conf_value *domain = conf_value(n, KEY_KEYS_DOMAIN), *selector = conf_value(n, KEY_KEYS_SELECTOR),
					*file = conf_value(n, KEY_KEYS_FILE), *use = conf_value(n, KEY_KEYS_USE),
					*group = conf_value(n, KEY_KEYS_GROUP);

		if (domain->bad || selector->bad || file->bad || use->bad || group->bad)
			continue;
		c->keys[c->key_count++] = (struct conf_key){
			.domain = domain->text,
			.selector = selector->text,
			.file = file->text,
			.active = use->number == 0,
			.group = (unsigned)group->number,
			.where = file->where,
		};
	}
}

/* ---- listeners ---- */

static bool take_address(const struct conf_node *n, enum conf_key_id key, const char *text, struct conf_address *out)
{
	struct conf_address x = { .text = text, .where = conf_value(n, key)->where };

	if (!endpoint_parse(slice_str(text), 0, &x.sa, &x.sa_len))
		return false;
	*out = x;
	return true;
}

static void build_addresses(struct build *b, const struct conf_node *n, struct conf_listener *l)
{
	const struct conf_value *v = conf_value(n, KEY_LISTENER_ADDRESS);

	if (v->bad)
		return;
	if (v->item_count == 0)
		conf_mistake(b->e, v->where, "%s.address is an empty list, expected an address:port", n->path);
	l->addresses = ARENA_ARRAY(b->a, v->item_count, struct conf_address);
	for (size_t i = 0; l->addresses && i < v->item_count; i++)
		if (take_address(n, KEY_LISTENER_ADDRESS, v->items[i], &l->addresses[l->address_count]))
			l->address_count++;
		else
			conf_mistake(b->e, v->where,
			    "%s.address holds \"%s\", expected address:port, an IPv6 address in brackets, a port of 1..65535",
			    n->path, v->items[i]);
}

static const char *const this_machine[] = { "127.0.0.0/8", "::1" };

static struct cidr *networks(struct build *b, const struct conf_node *n, enum conf_key_id key, size_t *count_out)
{
	const struct conf_value *v = conf_value(n, key);
	struct cidr *nets = ARENA_ARRAY(b->a, v->item_count, struct cidr);
	size_t count = 0;

	for (size_t i = 0; nets && !v->bad && i < v->item_count; i++)
		if (cidr_parse(slice_str(v->items[i]), &nets[count]))
			count++;
		else
			conf_mistake(b->e, v->where, "%s.%s holds \"%s\", expected addresses, or networks without host bits",
			    n->path, conf_row(key)->name, v->items[i]);
	*count_out = count;
	return nets;
}

static void build_clients(struct build *b, struct conf_node *n, struct conf_listener *l)
{
	struct conf_value *v = conf_value_edit(n, KEY_LISTENER_CLIENTS);

	/* What is sealed speaks for us: unless somebody is named, only this machine may have that. */
	if (l->sealing && !v->given) {
		v->items = ARENA_ARRAY(b->a, 2, const char *);
		v->item_count = v->items ? 2 : 0;
		if (v->items)
			memcpy(v->items, this_machine, sizeof(this_machine));
	}
	l->clients = networks(b, n, KEY_LISTENER_CLIENTS, &l->client_count);
}

const char *const conf_flag_names[CONF_FLAGS] = { "exploded", "feedback", "feedhere" };

static void build_flags(struct build *b, const struct conf_node *n, struct conf_listener *l)
{
	const struct conf_value *v = conf_value(n, KEY_LISTENER_FLAGS);

	for (size_t i = 0; !v->bad && i < v->item_count; i++) {
		size_t k = 0;

		while (k < CONF_FLAGS && strcmp(conf_flag_names[k], v->items[i]) != 0)
			k++;
		if (k < CONF_FLAGS)
			l->flags |= 1U << k;
		else
			conf_mistake(b->e, v->where, "%s.flags holds \"%s\", expected exploded, feedback or feedhere", n->path, v->items[i]);
	}
}

static void build_service(struct conf_node *n, struct conf_listener *l)
{
	const struct conf_value *service = conf_value(n, KEY_LISTENER_SERVICE);
	struct conf_value *mode = conf_value_edit(n, KEY_LISTENER_MODE);

	l->service = (enum conf_service)service->number;
	l->sealing = l->service == SERVICE_OUTBOUND || l->service == SERVICE_FORWARD || l->service == SERVICE_LIST_OUT;
	if (service->bad || mode->bad)
		return;
	if (!mode->given) {
		mode->number = l->sealing ? MODE_QUEUE : MODE_PROXY;
		mode->text = l->sealing ? "queue" : "proxy";
	}
	l->mode = (enum conf_mode)mode->number;
}

static void build_domains(struct build *b, struct conf_node *n, struct conf_listener *l)
{
	struct conf_value *v = conf_value_edit(n, KEY_LISTENER_DOMAINS);
	struct slice table = S("table:");

	if (v->item_count == 1 && slice_starts(slice_str(v->items[0]), table) && v->items[0][table.n]) {
		l->domains_file = conf_absolute(b->t, v->items[0] + table.n);
		l->domains_where = v->where;
		v->items[0] = arena_string(b->a, arena_printf(b->a, "table:%s", l->domains_file));
		return;
	}
	l->domains = domains(b, n, KEY_LISTENER_DOMAINS, &l->domain_count);
	build_sort_domains(l);
}

static void build_listener_policy(struct build *b, struct conf_node *n, struct conf_listener *l)
{
	struct conf_value *v = conf_value_edit(n, KEY_LISTENER_POLICY);
	const struct build_policy *p = b->policies;

	if (v->bad)
		return;
	if (!v->given)
		v->text = l->service == SERVICE_INBOUND ? "built-in" : "none";
	l->policy_name = v->text;
	if (strcmp(v->text, "none") == 0)
		return;
	if (strcmp(v->text, "built-in") == 0) {
		if (!b->built_in)
			b->built_in = build_built_in(b->t);
		l->policy = b->built_in;
	} else {
		while (p && strcmp(p->name, v->text) != 0)
			p = p->next;
		if (!p) {
			mistake(b, n, KEY_LISTENER_POLICY, v->text, " does not exist");
			return;
		}
		l->policy = p->policy;
	}
	if (l->service == SERVICE_PASS && policy_wants(l->policy, STAGE_JUDGE))
		mistake(b, n, KEY_LISTENER_POLICY, v->text, " looks at what service \"pass\" does not check");
}

/* In the order of their bits (auth/engines.h). */
static const char *const mechanisms[] = { "dkim2", "dkim", "arc", "spf", "dmarc" };
enum { MECHANISMS = sizeof(mechanisms) / sizeof(mechanisms[0]), MECHANISM_DKIM2 = 1, MECHANISM_DKIM = 2, MECHANISM_ARC = 4, MECHANISM_SPF = 8, MECHANISM_DMARC = 16 };

static unsigned verify_bits(struct build *b, const struct conf_node *n, const struct conf_value *v)
{
	unsigned bits = 0;

	for (size_t i = 0; i < v->item_count; i++) {
		size_t k = 0;

		while (k < MECHANISMS && strcmp(mechanisms[k], v->items[i]) != 0)
			k++;
		if (k < MECHANISMS)
			bits |= 1U << k;
		else
			conf_mistake(b->e, v->where, "%s.verify holds \"%s\", expected dkim2, dkim, arc, spf or dmarc", n->path, v->items[i]);
	}
	return bits & MECHANISM_DMARC ? bits | MECHANISM_DKIM | MECHANISM_SPF : bits;
}

static unsigned policy_bits(const struct policy *p)
{
	unsigned bits = 0;

	for (size_t k = 0; k < MECHANISMS; k++)
		if (policy_looks_at(p, slice_str(mechanisms[k])))
			bits |= 1U << k;
	return bits & MECHANISM_DMARC ? bits | MECHANISM_DKIM | MECHANISM_SPF : bits;
}

/* What a service that seals extends must have been verified. */
static void build_verify(struct build *b, struct conf_node *n, struct conf_listener *l)
{
	struct conf_value *v = conf_value_edit(n, KEY_LISTENER_VERIFY);
	unsigned looked_at = policy_bits(l->policy), missing;

	if (v->bad)
		return;
	if (l->service == SERVICE_PASS) {
		if (v->given)
			conf_mistake(b->e, v->where, "%s.verify, but service \"pass\" verifies nothing, expected another service", n->path);
		return;
	}
	if (!v->given) {
		l->verify = l->sealing && !l->arc_seal ? MECHANISM_DKIM2 | looked_at : (1U << MECHANISMS) - 1;
		v->items = ARENA_ARRAY(b->a, MECHANISMS, const char *);
		for (size_t k = 0; v->items && k < MECHANISMS; k++)
			if (l->verify & 1U << k)
				v->items[v->item_count++] = mechanisms[k];
		return;
	}
	l->verify = verify_bits(b, n, v);
	if (l->sealing && !(l->verify & MECHANISM_DKIM2))
		conf_mistake(b->e, v->where, "%s.verify without dkim2 on a service that seals, expected it among them", n->path);
	if (l->arc_seal && !(l->verify & MECHANISM_ARC))
		conf_mistake(b->e, v->where, "%s.verify without arc, on which arc-seal builds, expected it among them", n->path);
	/* The built-in policy does with what there is. */
	missing = l->policy == b->built_in ? 0 : looked_at & ~l->verify;
	for (size_t k = 0; k < MECHANISMS; k++)
		if (missing & 1U << k)
			conf_mistake(b->e, v->where, "%s.verify without %s, at which policy \"%s\" looks, expected it among them", n->path,
			    mechanisms[k], l->policy_name);
}

static void build_signing(struct build *b, const struct conf_node *n, struct conf_listener *l)
{
	const struct conf_value *dkim = conf_value(n, KEY_LISTENER_DKIM), *arc = conf_value(n, KEY_LISTENER_ARC_SEAL);

	l->dkim = l->sealing && dkim->number != 0;
	if (dkim->given && dkim->number && !l->sealing && !dkim->bad)
		conf_mistake(b->e, dkim->where, "%s.dkim = true, but service \"%s\" signs nothing, expected outbound", n->path,
		    conf_value(n, KEY_LISTENER_SERVICE)->text);
	if (arc->bad || !arc->text)
		return;
	if (l->service == SERVICE_PASS)
		conf_mistake(b->e, arc->where, "%s.arc-seal, but service \"pass\" adds nothing, expected another service", n->path);
	l->arc_seal = arc->text;
	l->arc_seal_where = arc->where;
}

static void build_listener(struct build *b, struct conf_node *n, struct conf_listener *l)
{
	struct conf_value *id = conf_value_edit(n, KEY_LISTENER_LISTENER_AUTHSERV_ID);

	*l = (struct conf_listener){ .name = n->name, .where = n->where };
	build_service(n, l);
	build_addresses(b, n, l);
	build_next_hops(b->t, n, l);
	build_clients(b, n, l);
	build_domains(b, n, l);
	l->next_hop_client = (enum conf_next_hop_client)conf_value(n, KEY_LISTENER_NEXT_HOP_CLIENT)->number;
	l->proxy_from = networks(b, n, KEY_LISTENER_PROXY_FROM, &l->proxy_from_count);
	l->xclient_from = networks(b, n, KEY_LISTENER_XCLIENT_FROM, &l->xclient_from_count);
	l->requiretls = (enum conf_requiretls)conf_value(n, KEY_LISTENER_REQUIRETLS)->number;
	l->requiretls_where = conf_value(n, KEY_LISTENER_REQUIRETLS)->where;
	l->share_all = conf_value(n, KEY_LISTENER_SHARE)->number == 1;
	l->seal = (enum conf_seal)conf_value(n, KEY_LISTENER_SEAL)->number;
	build_flags(b, n, l);
	l->extend_unverified_from = networks(b, n, KEY_LISTENER_EXTEND_UNVERIFIED_FROM, &l->extend_unverified_from_count);
	l->from = (enum conf_from)conf_value(n, KEY_LISTENER_FROM)->number;
	l->unsealed = (enum conf_unsealed)conf_value(n, KEY_LISTENER_UNSEALED)->number;
	l->shadow = conf_value(n, KEY_LISTENER_SHADOW)->number != 0;
	l->greet_pause_ms = (unsigned)conf_value(n, KEY_LISTENER_GREET_PAUSE)->number;
	if (!id->given)
		id->text = get(b, KEY_ROOT_AUTHSERV_ID)->text;
	l->authserv_id = id->text;
	build_tls(b->t, n, l);
	build_relaying(b->t, n, l);
	build_auth(b->t, n, l);
	build_listener_policy(b, n, l);
	build_signing(b, n, l);
	build_verify(b, n, l);
}

static void build_listeners(struct build *b)
{
	struct conf *c = b->c;
	size_t count = 0;

	for (const struct conf_node *n = NULL; (n = conf_tree_next(b->t, GROUP_LISTENER, b->t->first, n));)
		count++;
	if (count == 0)
		conf_mistake(b->e, b->t->first->where, "no listener, expected at least one in group listener");
	c->listeners = ARENA_ARRAY(b->a, count, struct conf_listener);
	if (!c->listeners)
		return;
	for (struct conf_node *n = NULL; c->listener_count < count && (n = conf_tree_next(b->t, GROUP_LISTENER, b->t->first, n));)
		build_listener(b, n, &c->listeners[c->listener_count++]);
}

/* ---- what settings have to do with each other ---- */

static void check_address(struct build *b, const struct conf_listener *l, size_t at)
{
	const struct conf_address *x = &l->addresses[at];

	for (const struct conf_listener *m = b->c->listeners; m <= l; m++)
		for (size_t i = 0; i < (m == l ? at : m->address_count); i++) {
			const struct conf_address *y = &m->addresses[i];

			if (!endpoint_clash(&x->sa, &y->sa))
				continue;
			conf_mistake(b->e, x->where,
			    "listener.%s.address \"%s\" is taken by \"%s\" of listener.%s at %s, expected one listener an address",
			    l->name, x->text, y->text, m->name, y->where);
			return;
		}
}

void build_conf(struct conf *c, struct conf_tree *t, const struct build_machine *machine)
{
	struct build b = { .c = c, .t = t, .a = t->arena, .e = t->errors, .machine = machine };

	c->tree = t;
	build_root(&b);
	build_dns(&b);
	build_log(&b);
	build_limits(&b);
	build_queue(c, t);
	build_dkim2(&b);
	build_dkim(&b);
	build_keys(&b);
	b.policies = build_policies(t);
	build_listeners(&b);
	for (size_t i = 0; i < c->listener_count; i++)
		for (size_t j = 0; j < c->listeners[i].address_count; j++)
			check_address(&b, &c->listeners[i], j);
}

/* By domain and selector, in the order of the file when those are the same. */
static int key_order(const void *x, const void *y)
{
	const struct conf_key *p = *(const struct conf_key *const *)x, *q = *(const struct conf_key *const *)y;
	int c = strcmp(p->domain, q->domain);

	if (c == 0)
		c = strcmp(p->selector, q->selector);
	return c ? c : (p > q) - (p < q);
}

static bool active_of(const struct conf *c, const char *domain)
{
	for (size_t i = 0; i < c->key_count; i++)
		if (c->keys[i].active && strcmp(c->keys[i].domain, domain) == 0)
			return true;
	return false;
}

void build_check_keys(struct conf *c, struct conf_errors *errors)
{
	const struct conf_key **order = ARENA_ARRAY(&c->arena, c->key_count, const struct conf_key *);
	size_t active = 0, of_type[KEY_ED25519 + 1] = { 0 };

	for (size_t i = 0; order && i < c->key_count; i++)
		order[i] = &c->keys[i];
	if (order && c->key_count)
		qsort(order, c->key_count, sizeof(order[0]), key_order);
	for (size_t i = 0; order && i < c->key_count; i++) {
		const struct conf_key *k = order[i], *p = i ? order[i - 1] : NULL;

		if (!p || strcmp(p->domain, k->domain) != 0)
			memset(of_type, 0, sizeof(of_type));
		else if (strcmp(p->selector, k->selector) == 0)
			conf_mistake(errors, k->where,
			    "selector \"%s\" of domain \"%s\" is also that of the key at %s, expected one key a selector",
			    k->selector, k->domain, p->where);
		if (k->active && k->type != KEY_NONE && ++of_type[k->type] == SETS_OF_A_TYPE + 1)
			conf_mistake(errors, k->where,
			    "a third active %s key of domain \"%s\", expected at most %d, the others with use = \"retired\"",
			    k->type == KEY_RSA ? "RSA" : "Ed25519", k->domain, SETS_OF_A_TYPE);
	}
	for (const struct conf_node *n = NULL; (n = conf_tree_next(c->tree, GROUP_KEYS, c->tree->first, n));)
		active += conf_value(n, KEY_KEYS_USE)->number == 0;
	for (size_t i = 0; i < c->listener_count; i++)
		if (c->listeners[i].arc_seal && !active_of(c, c->listeners[i].arc_seal))
			conf_mistake(errors, c->listeners[i].arc_seal_where,
			    "listener.%s.arc-seal = \"%s\", and there is no active key of that domain, expected one in keys", c->listeners[i].name,
			    c->listeners[i].arc_seal);
	for (size_t i = 0; active == 0 && i < c->listener_count; i++)
		if (c->listeners[i].sealing)
			conf_mistake(errors, c->listeners[i].where,
			    "listener.%s seals and there is no active key, expected one in keys", c->listeners[i].name);
}
