#include "daemon/resolver_dns.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unbound-event.h>
#include <unbound.h>
#include <unistd.h>

#include "auth/dnsrec.h"

#define ROOT_ANCHOR "/usr/share/dns/root.key"
#define RESOLV_CONF "/etc/resolv.conf"

enum {
	TYPE_DNSKEY = 48, /* RFC 4034 */
	FORWARDERS = 3,   /* as many as resolv.conf(5) takes */
	FORWARDER_OCTETS = 80,
	ANSWER_ARENA_OCTETS = 1 << 20,
	SOCKETS = 4096,   /* of questions that are out, at most; with 512, names of a server that is silent kept others waiting */
	FILES = 2 * SOCKETS,
	FAILURES = 3,     /* in a row, and a context is left for a fresh one */
	FRESH_MS = 1000,  /* so often at the most */
};

enum query_state { /* only query_enter() writes it */
	QUERY_HELD,    /* the probe has not decided yet */
	QUERY_ASKED,   /* with libunbound */
	QUERY_READY,   /* answered; its caller hears at the end of the turn */
};

/* A libunbound context: what it keeps of failures (five seconds, of whatever name) dies with it. */
struct context {
	struct context *next; /* of those that were left */
	struct ub_ctx *ub;
	size_t open;          /* questions it has; it may not go before they do */
	bool validates;
};

struct dns_query {
	struct dns_query *prev, *next; /* of all */
	struct resolver_dns *dns;
	enum query_state state;
	struct context *context; /* that has it */
	int async_id;
	struct loop_timer timer;
	struct loop_later later;
	void (*on)(void *arg, const struct dns_answer *answer);
	void *arg;
	struct arena arena;
	struct dns_answer answer;
	uint16_t qtype;
	char name[256];
};

struct resolver_dns {
	struct loop *loop;
	struct context *checking; /* validates; NULL: never */
	struct context *plain;    /* does not; NULL: not needed any more */
	struct context *use;      /* one of both; NULL: questions are held */
	struct context *left;     /* to be deleted outside of their calls, once nothing is open there */
	char *anchor;             /* file; NULL: none */
	unsigned failed;          /* answers in a row that were none: it is not one name, nobody answers */
	int64_t fresh_ms;         /* when a context was left last */
	struct dns_query *queries;
	struct dns_query *probe;
	struct loop_timer probe_again;
	struct loop_later tidy;
	bool tried;              /* a probe has ended without telling */
	void (*warn)(void *arg, const char *text);
	void *arg;
	char forwarders[FORWARDERS][FORWARDER_OCTETS]; /* address@port, as libunbound reads it */
	size_t forwarder_count;
};

static void query_enter(struct dns_query *q, enum query_state state)
{
	if (q->state == QUERY_ASKED)
		q->context->open--;
	q->state = state;
	if (q->state == QUERY_ASKED)
		q->context->open++;
}

/* contexts */

/* "192.0.2.1:5353", "[2001:db8::1]:53", "2001:db8::1", "fe80::1%eth0" to address@port. */
static bool forwarder(const char *text, char out[FORWARDER_OCTETS])
{
	const char *colon = strrchr(text, ':'), *port = "53";
	char address[64];
	size_t n = strlen(text);
	uint64_t number;
	unsigned char at[16];
	char *zone;

	if (text[0] == '[') {
		const char *end = strchr(text, ']');

		if (end == NULL || (end[1] != '\0' && end[1] != ':'))
			return false;
		if (end[1] == ':')
			port = end + 2;
		text++;
		n = (size_t)(end - text);
	} else if (colon != NULL && strchr(text, ':') == colon) {
		port = colon + 1;
		n = (size_t)(colon - text);
	}
	if (n == 0 || n >= 48 || !slice_u64(slice_str(port), 65535, &number) || number == 0)
		return false;
	memcpy(address, text, n);
	address[n] = '\0';
	zone = strchr(address, '%');
	if (zone != NULL)
		*zone = '\0';
	if (inet_pton(AF_INET, address, at) != 1 && inet_pton(AF_INET6, address, at) != 1)
		return false;
	if (zone != NULL)
		*zone = '%';
	snprintf(out, FORWARDER_OCTETS, "%s@%u", address, (unsigned)number);
	return true;
}

static void read_resolv_conf(struct resolver_dns *d)
{
	FILE *f = fopen(RESOLV_CONF, "re");
	char line[256];

	if (f == NULL)
		return;
	while (d->forwarder_count < FORWARDERS && fgets(line, sizeof(line), f) != NULL) {
		struct slice s = slice_trim(slice_str(line)), word;
		char address[64];

		if (!slice_starts(s, S("nameserver")) || s.n < 11 || (s.at[10] != ' ' && s.at[10] != '\t'))
			continue;
		s = slice_trim(slice_sub(s, 10, SIZE_MAX));
		slice_cut(&s, slice_find(s, ' ') < slice_find(s, '\t') ? ' ' : '\t', &word);
		if (word.n >= sizeof(address))
			continue;
		memcpy(address, word.at, word.n);
		address[word.n] = '\0';
		if (forwarder(address, d->forwarders[d->forwarder_count]))
			d->forwarder_count++;
	}
	fclose(f);
}

/* Each question that is out has a socket of its own; as many as half the files we may have. */
static unsigned sockets(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return SOCKETS / 8;
	if (files.rlim_cur < FILES && files.rlim_max > files.rlim_cur) {
		files.rlim_cur = files.rlim_max < FILES ? files.rlim_max : FILES;
		if (setrlimit(RLIMIT_NOFILE, &files) < 0 && getrlimit(RLIMIT_NOFILE, &files) < 0)
			return SOCKETS / 8;
	}
	return files.rlim_cur < FILES ? (unsigned)files.rlim_cur / 2 : SOCKETS;
}

/* Options and anchors come before ub_ctx_zone_remove(), which finalises the context and reads the anchor file. */
static struct context *context_new(struct resolver_dns *d, const char *anchor_file, char error[256])
{
	struct context *made = calloc(1, sizeof(*made));
	char range[16];
	const char *const options[][2] = {
		/* A forwarder that was silent is asked again at once: 14 s a question and 44 s afterwards become about 1 s. */
		{ "infra-keep-probing:", "yes" },
		{ "infra-host-ttl:", "5" },
		/* A bogus answer is looked at eight signatures at a time, each as costly as its zone likes: twice, not six times. */
		{ "val-max-restart:", "1" },
		/* As long as libunbound keeps any other failure. */
		{ "val-bogus-ttl:", "5" },
		{ "edns-buffer-size:", "1232" },
		{ "outgoing-range:", range },
		{ "num-queries-per-thread:", "4096" },
		{ "outgoing-num-tcp:", "32" },
		{ "msg-cache-size:", "8m" },
		{ "rrset-cache-size:", "16m" },
		{ "cache-max-ttl:", "86400" },
		/* Answered by whoever is asked, not from a built-in list: sites use these. */
		{ "unblock-lan-zones:", "yes" },
	};
	static const char *const zones[] = { "test.", "home.arpa." };
	struct ub_ctx *c = made != NULL ? ub_ctx_create_event(loop_base(d->loop)) : NULL;
	int bad = c == NULL ? UB_NOMEM : ub_ctx_debugout(c, NULL); /* what it says of servers is no event; answers tell enough */

	snprintf(range, sizeof(range), "%u", sockets());
	for (size_t i = 0; bad == 0 && i < sizeof(options) / sizeof(options[0]); i++)
		bad = ub_ctx_set_option(c, options[i][0], options[i][1]);
	for (size_t i = 0; bad == 0 && i < d->forwarder_count; i++)
		bad = ub_ctx_set_fwd(c, d->forwarders[i]);
	if (bad == 0 && anchor_file != NULL)
		bad = ub_ctx_add_ta_file(c, anchor_file);
	for (size_t i = 0; bad == 0 && i < sizeof(zones) / sizeof(zones[0]); i++)
		bad = ub_ctx_zone_remove(c, zones[i]);
	if (bad == 0) {
		*made = (struct context){ .ub = c, .validates = anchor_file != NULL };
		return made;
	}
	snprintf(error, 256, "libunbound%s%s: %s", anchor_file != NULL ? ", trust anchor " : "",
	    anchor_file != NULL ? anchor_file : "", ub_strerror(bad));
	if (c != NULL)
		ub_ctx_delete(c);
	free(made);
	return NULL;
}

static void context_free(struct context *c)
{
	if (c == NULL)
		return;
	ub_ctx_delete(c->ub);
	free(c);
}

static void on_tidy(void *arg)
{
	struct resolver_dns *d = arg;

	for (struct context **at = &d->left, *c; (c = *at) != NULL;) {
		if (c->open != 0) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		context_free(c);
	}
}

static void context_leave(struct resolver_dns *d, struct context *c)
{
	c->next = d->left;
	d->left = c;
	loop_later(d->loop, &d->tidy, on_tidy, d);
}

/*
 * Where nobody has answered lately, libunbound goes on saying so for five seconds after somebody does: another context asks at once.
 * Without memory, or leave to read the anchor, things stay as they are.
 */
static void context_freshen(struct resolver_dns *d)
{
	int64_t now_ms = loop_now_ms(d->loop);
	struct context *c;
	char error[256];

	if (d->failed < FAILURES || now_ms < d->fresh_ms + FRESH_MS)
		return;
	d->failed = 0;
	d->fresh_ms = now_ms;
	c = context_new(d, d->use->validates ? d->anchor : NULL, error);
	if (c == NULL)
		return;
	*(d->use == d->checking ? &d->checking : &d->plain) = c;
	context_leave(d, d->use);
	d->use = c;
}

/* queries */

static void query_free(struct dns_query *q)
{
	struct resolver_dns *d = q->dns;

	if (q->state == QUERY_ASKED) {
		ub_cancel(q->context->ub, q->async_id);
		query_enter(q, QUERY_READY);
	}
	*(q->prev != NULL ? &q->prev->next : &d->queries) = q->next;
	if (q->next != NULL)
		q->next->prev = q->prev;
	loop_timer_release(&q->timer);
	loop_later_cancel(d->loop, &q->later);
	arena_clear(&q->arena);
	free(q);
}

static void on_ready(void *arg)
{
	struct dns_query *q = arg;

	q->on(q->arg, &q->answer);
	query_free(q);
}

static void query_ready(struct dns_query *q)
{
	struct resolver_dns *d = q->dns;

	query_enter(q, QUERY_READY);
	if (q->answer.status == DNS_SERVFAIL || q->answer.status == DNS_TIMEOUT)
		d->failed++;
	else if (q->answer.status != DNS_BOGUS)
		d->failed = 0;
	loop_timer_stop(&q->timer);
	loop_later(d->loop, &q->later, on_ready, q);
	if (d->left != NULL)
		loop_later(d->loop, &d->tidy, on_tidy, d);
}

static void on_unbound(void *arg, int rcode, void *packet, int octets, int sec, char *why_bogus, int ratelimited)
{
	struct dns_query *q = arg;

	(void)why_bogus;
	(void)ratelimited;
	if (sec == 1)
		q->answer.status = DNS_BOGUS;
	else if (rcode == 3)
		q->answer.status = DNS_NXDOMAIN;
	else if (rcode == 0 && packet != NULL && octets > 0)
		dns_packet_answer(&q->arena, slice_of(packet, (size_t)octets), q->qtype, &q->answer);
	q->answer.secure = sec == 2;
	query_ready(q);
}

static void on_timer(void *arg)
{
	struct dns_query *q = arg;

	if (q->state == QUERY_ASKED)
		ub_cancel(q->context->ub, q->async_id);
	q->answer.status = DNS_TIMEOUT;
	query_ready(q);
}

static void query_send(struct dns_query *q, struct context *context)
{
	int bad;

	q->context = context;
	query_enter(q, QUERY_ASKED);
	/* What libunbound has at hand it answers from inside this call; the query is READY then. */
	bad = ub_resolve_event(context->ub, q->name, q->qtype, 1, q, on_unbound, &q->async_id);
	if (bad == 0)
		return;
	q->answer.status = bad == UB_SYNTAX ? DNS_NXDOMAIN : DNS_SERVFAIL;
	query_ready(q);
}

static struct dns_query *query_new(struct resolver_dns *d, struct slice name, uint16_t qtype, uint32_t timeout_ms,
    void (*on)(void *arg, const struct dns_answer *answer), void *arg)
{
	struct dns_query *q = calloc(1, sizeof(*q));

	if (q == NULL || !loop_timer_set(d->loop, &q->timer, timeout_ms, on_timer, q)) {
		free(q);
		return NULL;
	}
	q->dns = d;
	q->on = on;
	q->arg = arg;
	q->qtype = qtype;
	q->answer.status = DNS_SERVFAIL;
	arena_init(&q->arena, ANSWER_ARENA_OCTETS);
	if (name.n != 0 && name.n < sizeof(q->name))
		memcpy(q->name, name.at, name.n);
	q->next = d->queries;
	if (d->queries != NULL)
		d->queries->prev = q;
	d->queries = q;
	query_enter(q, QUERY_HELD);
	return q;
}

struct dns_query *resolver_dns_ask(struct resolver_dns *d, struct slice name, uint16_t qtype, uint32_t timeout_ms,
    void (*on)(void *arg, const struct dns_answer *answer), void *arg)
{
	unsigned char octets[DNS_NAME_OCTETS];
	struct slice normal = SLICE_NONE;
	/* A name has no octet that is not itself in libunbound's text form: that is the backslash, and no other. */
	bool can = dns_name_normal(name, octets, &normal);
	struct dns_query *q = query_new(d, normal, qtype, timeout_ms, on, arg);

	if (q == NULL)
		return NULL;
	if (!can) {
		q->answer.status = DNS_NXDOMAIN;
		query_ready(q);
	} else if (d->use != NULL) {
		context_freshen(d);
		query_send(q, d->use);
	}
	return q;
}

void resolver_dns_cancel(struct dns_query *q)
{
	query_free(q);
}

/* the probe */

static void probe_start(void *arg);

static void use(struct resolver_dns *d, struct context *context)
{
	d->use = context;
	for (struct dns_query *q = d->queries; q != NULL; q = q->next)
		if (q->state == QUERY_HELD)
			query_send(q, context);
}

static void on_probe(void *arg, const struct dns_answer *answer)
{
	struct resolver_dns *d = arg;

	d->probe = NULL;
	if (answer->status == DNS_OK && answer->with_signatures) {
		/* Signatures come through: the context that validates is right for good. */
		context_leave(d, d->plain);
		d->plain = NULL;
		use(d, d->checking);
		return;
	}
	if (answer->status == DNS_OK) {
		d->warn(d->arg, "the forwarder strips DNSSEC signatures: answers are not validated");
		use(d, d->plain);
		return;
	}
	if (!d->tried)
		d->warn(d->arg, "no answer yet whether the forwarder passes DNSSEC signatures on: answers are validated, asking again");
	d->tried = true;
	if (d->use == NULL)
		use(d, d->checking);
	loop_timer_set(d->loop, &d->probe_again, DNS_PROBE_AGAIN_MS, probe_start, d);
}

static void probe_start(void *arg)
{
	struct resolver_dns *d = arg;

	d->probe = query_new(d, S("."), TYPE_DNSKEY, DNS_PROBE_MS, on_probe, d);
	if (d->probe != NULL)
		query_send(d->probe, d->plain);
	else if (d->use == NULL)
		use(d, d->checking);
}

/* the whole */

struct resolver_dns *resolver_dns_new(struct loop *l, const char *resolver, const char *trust_anchor,
    void (*warn)(void *arg, const char *text), void *arg, char error_out[256])
{
	struct resolver_dns *d = calloc(1, sizeof(*d));
	bool probe = strcmp(trust_anchor, "auto") == 0;
	const char *anchor = probe ? ROOT_ANCHOR : strcmp(trust_anchor, "none") == 0 ? NULL : trust_anchor;

	if (d == NULL) {
		snprintf(error_out, 256, "no memory");
		return NULL;
	}
	d->loop = l;
	d->warn = warn;
	d->arg = arg;
	if (strcmp(resolver, "auto") == 0) {
		read_resolv_conf(d);
	} else if (!forwarder(resolver, d->forwarders[d->forwarder_count++])) {
		snprintf(error_out, 256, "resolver \"%.100s\" is no address[:port]", resolver);
		resolver_dns_free(&d);
		return NULL;
	}
	if (anchor != NULL && access(anchor, R_OK) != 0) {
		if (!probe) {
			snprintf(error_out, 256, "trust anchor %.150s: %m", anchor);
			resolver_dns_free(&d);
			return NULL;
		}
		warn(arg, "no " ROOT_ANCHOR " (package dns-root-data): answers are not validated");
		anchor = NULL;
	}
	if (anchor != NULL && (d->anchor = strdup(anchor)) == NULL) {
		snprintf(error_out, 256, "no memory");
		resolver_dns_free(&d);
		return NULL;
	}
	if ((anchor != NULL && (d->checking = context_new(d, anchor, error_out)) == NULL) ||
	    ((anchor == NULL || probe) && (d->plain = context_new(d, NULL, error_out)) == NULL)) {
		resolver_dns_free(&d);
		return NULL;
	}
	if (anchor == NULL)
		d->use = d->plain;
	else if (!probe)
		d->use = d->checking;
	else if (!loop_timer_set(l, &d->probe_again, 0, probe_start, d))
		d->use = d->checking;
	return d;
}

const char *resolver_dns_anchor(const struct resolver_dns *d)
{
	return d->anchor;
}

void resolver_dns_free(struct resolver_dns **dp)
{
	struct resolver_dns *d = *dp;

	if (d == NULL)
		return;
	*dp = NULL;
	while (d->queries != NULL)
		query_free(d->queries);
	loop_timer_release(&d->probe_again);
	loop_later_cancel(d->loop, &d->tidy);
	on_tidy(d);
	context_free(d->checking);
	context_free(d->plain);
	free(d->anchor);
	free(d);
}
