#include "daemon/lookup.h"

#include <stdio.h>
#include <stdlib.h>

#include "daemon/resolver_dns.h"
#include "net/ipc.h"
#include "net/loop.h"

struct lookup {
	struct loop *loop;
	struct resolver_dns *dns;
	unsigned timeout_ms;
	char warning[256];
	size_t open; /* of the call that runs */
};

struct lookup_wait {
	struct lookup *lookup;
	struct lookup_ask *ask;
	struct arena *arena;
};

static void on_warning(void *arg, const char *text)
{
	struct lookup *l = arg;

	snprintf(l->warning, sizeof(l->warning), "%s", text);
}

struct lookup *lookup_new(const char *resolver, const char *trust_anchor, unsigned timeout_ms, char error_out[256])
{
	struct lookup *l = calloc(1, sizeof(*l));

	snprintf(error_out, 256, "no memory");
	if (l == NULL)
		return NULL;
	l->timeout_ms = timeout_ms;
	l->loop = loop_new();
	if (l->loop != NULL)
		l->dns = resolver_dns_new(l->loop, resolver, trust_anchor, on_warning, l, error_out);
	if (l->dns == NULL)
		lookup_free(&l);
	return l;
}

void lookup_free(struct lookup **lp)
{
	struct lookup *l = *lp;

	if (l == NULL)
		return;
	*lp = NULL;
	resolver_dns_free(&l->dns);
	loop_free(&l->loop);
	free(l);
}

const char *lookup_warning(const struct lookup *l)
{
	return l->warning[0] != '\0' ? l->warning : NULL;
}

static void on_answer(void *arg, const struct dns_answer *answer)
{
	struct lookup_wait *w = arg;
	struct slice *records = ARENA_ARRAY(w->arena, answer->count, struct slice);

	for (size_t i = 0; records != NULL && i < answer->count; i++)
		records[i] = arena_copy(w->arena, answer->records[i]);
	w->ask->status = arena_failed(w->arena) ? DNS_SERVFAIL : answer->status;
	w->ask->records = records;
	w->ask->count = arena_failed(w->arena) ? 0 : answer->count;
	w->ask->secure = answer->secure;
	if (--w->lookup->open == 0)
		loop_stop(w->lookup->loop);
}

void lookup_many(struct lookup *l, struct arena *a, struct lookup_ask *asks, size_t n)
{
	struct lookup_wait *waits = ARENA_ARRAY(a, n, struct lookup_wait);

	l->open = 0;
	for (size_t i = 0; i < n; i++) {
		asks[i] = (struct lookup_ask){ .name = asks[i].name, .qtype = asks[i].qtype, .status = DNS_SERVFAIL };
		if (waits == NULL)
			continue;
		waits[i] = (struct lookup_wait){ l, &asks[i], a };
		if (resolver_dns_ask(l->dns, asks[i].name, (uint16_t)asks[i].qtype, l->timeout_ms, on_answer, &waits[i]) != NULL)
			l->open++;
	}
	if (l->open > 0)
		loop_run(l->loop);
}

enum dns_status lookup_txt(struct lookup *l, struct slice name, struct arena *a, const struct slice **records_out, size_t *n_out,
    bool *secure_out)
{
	struct lookup_ask ask = { .name = name, .qtype = IPC_TYPE_TXT };

	lookup_many(l, a, &ask, 1);
	*records_out = ask.records;
	*n_out = ask.count;
	*secure_out = ask.secure;
	return ask.status;
}
