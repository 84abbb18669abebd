#include <stdlib.h>
#include <sys/random.h>

#include "base/map.h"
#include "config/answers.h"
#include "ctl/ctl.h"
#include "ctl/dns.h"
#include "daemon/lookup.h"

enum {
	LOOKUP_MS = 15000,
	ARENA_OCTETS = 1 << 26,
	KNOWN = 100000, /* answers kept, and */
	KNOWN_OCTETS = 1 << 28, /* of memory: all are dropped before there are more */
};

struct ctl_dns {
	struct arena arena;    /* of one call */
	struct answers *answers;
	struct lookup *lookup; /* made with the first question */
	struct map known;      /* an octet of type and the name, to dnsrec */
	size_t known_octets;
};

struct ctl_dns *ctl_dns_new(const char *file, int *code_out)
{
	struct ctl_dns *d = calloc(1, sizeof(*d));
	uint64_t seed[2];
	struct buf text, error;

	*code_out = CTL_TEMPORARY;
	if (!d || getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed)) {
		ctl_complain("no memory");
		free(d);
		return NULL;
	}
	arena_init(&d->arena, ARENA_OCTETS);
	map_init(&d->known, seed);
	if (!file)
		return d;
	buf_init(&text, CTL_INPUT_OCTETS);
	buf_init(&error, 65536);
	*code_out = ctl_read(file, &text);
	if (*code_out == CTL_DONE) {
		d->answers = answers_new(buf_get(&text), &error);
		if (!d->answers) {
			ctl_complain("%s: %.*s", file, SLICE_FMT(slice_trim(buf_get(&error))));
			*code_out = CTL_BAD;
		}
	}
	buf_release(&text);
	buf_release(&error);
	if (!d->answers)
		ctl_dns_free(&d);
	return d;
}

static void drop(void *record)
{
	struct dnsrec *r = record;

	dnsrec_drop(&r);
}

void ctl_dns_free(struct ctl_dns **d)
{
	if (!*d)
		return;
	map_release(&(*d)->known, drop);
	lookup_free(&(*d)->lookup);
	answers_free(&(*d)->answers);
	arena_clear(&(*d)->arena);
	free(*d);
	*d = NULL;
}

/* So that a run over any number of messages has a bound. Before the answers of a call are made, which borrows them. */
static void known_trim(struct ctl_dns *d, size_t coming)
{
	if (d->known.n + coming <= KNOWN && d->known_octets <= KNOWN_OCTETS)
		return;
	map_release(&d->known, drop);
	d->known_octets = 0;
}

static bool lookup_ready(struct ctl_dns *d)
{
	char error[256];

	if (d->lookup)
		return true;
	d->lookup = lookup_new("auto", "auto", LOOKUP_MS, error);
	if (!d->lookup) {
		ctl_complain("%s", error);
		return false;
	}
	if (lookup_warning(d->lookup))
		ctl_complain("%s", lookup_warning(d->lookup));
	return true;
}

/* One that is asked and not known. */
struct unknown {
	size_t index;
	enum dnsrec_type type;
	struct slice key; /* in the map */
};

/* Keeps what came, and answers with it. */
static bool learn(struct ctl_dns *d, struct asks *q, const struct unknown *u, const struct lookup_ask *got)
{
	struct dnsrec *record = dnsrec_new(u->type, got->status, got->records, got->count, got->secure);

	if (!record || !map_put(&d->known, u->key, record, NULL)) {
		dnsrec_drop(&record);
		return false;
	}
	d->known_octets += record->octets;
	asks_answer(q, u->index, record);
	return true;
}

/* Answers what is known already; the rest, and how to look it up. */
static bool take(struct ctl_dns *d, struct asks *q, struct unknown *unknown, struct lookup_ask *lookups, size_t *n)
{
	enum dnsrec_type type;
	struct slice name;
	size_t index;

	while (asks_next(q, &index, &type, &name)) {
		struct slice key = arena_printf(&d->arena, "%c%.*s", 'a' + (int)type, SLICE_FMT(name));
		struct dnsrec *record = key.n ? map_get(&d->known, key) : NULL;

		if (!key.n)
			return false;
		if (record) {
			asks_answer(q, index, record);
			continue;
		}
		unknown[*n] = (struct unknown){ index, type, key };
		lookups[(*n)++] = (struct lookup_ask){ .name = name, .qtype = dnsrec_qtype(type) };
	}
	return true;
}

static bool answer(struct ctl_dns *d, struct asks *q)
{
	size_t most = asks_count(q), n = 0;
	struct unknown *unknown = ARENA_ARRAY(&d->arena, most + 1, struct unknown);
	struct lookup_ask *lookups = ARENA_ARRAY(&d->arena, most + 1, struct lookup_ask);

	known_trim(d, most);
	if (!unknown || !lookups || !take(d, q, unknown, lookups, &n))
		return false;
	if (d->answers) {
		for (struct lookup_ask *l = lookups; l < lookups + n; l++)
			l->status = answers_wire(d->answers, &d->arena, l->name, l->qtype, &l->records, &l->count, &l->secure);
	} else if (n) {
		if (!lookup_ready(d))
			return false;
		lookup_many(d->lookup, &d->arena, lookups, n);
	}
	for (size_t i = 0; i < n; i++)
		if (!learn(d, q, &unknown[i], &lookups[i]))
			return false;
	return true;
}

bool ctl_dns_answer(struct ctl_dns *d, struct asks *q)
{
	arena_clear(&d->arena);
	return answer(d, q);
}

bool ctl_dns_keys(struct ctl_dns *d, const struct slice *names, size_t n, struct keyrec **records_out)
{
	struct asks *q;
	bool ok;

	arena_clear(&d->arena);
	q = asks_new(&d->arena, n + 1);
	for (size_t i = 0; q && i < n; i++)
		asks_want(q, DNSREC_KEY, names[i]);
	ok = q && answer(d, q);
	for (size_t i = 0; ok && i < n; i++)
		records_out[i] = asks_get(q, DNSREC_KEY, names[i])->key; /* still held by `known`, or in the arena */
	asks_release(q);
	return ok;
}
