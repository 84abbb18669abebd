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
	KNOWN = 100000, /* records kept: all are dropped before there are more */
};

struct ctl_dns {
	struct arena arena;    /* of one call */
	struct answers *answers;
	struct lookup *lookup; /* made with the first question */
	struct map known;      /* name to keyrec */
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
	struct keyrec *k = record;

	keyrec_drop(&k);
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

static bool known_add(struct ctl_dns *d, const struct lookup_ask *ask)
{
	struct keyrec *record = keyrec_new(ask->status, ask->records, ask->count, ask->secure);
	void *old = NULL;

	if (record && map_put(&d->known, ask->name, record, &old)) {
		if (old)
			drop(old);
		return true;
	}
	keyrec_drop(&record);
	return false;
}

/* So that a run over any number of messages has a bound. */
static void known_trim(struct ctl_dns *d, size_t coming)
{
	if (d->known.n + coming > KNOWN)
		map_release(&d->known, drop);
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

bool ctl_dns_keys(struct ctl_dns *d, const struct slice *names, size_t n, struct keyrec **records_out)
{
	struct lookup_ask *asks;
	size_t open = 0;

	arena_clear(&d->arena);
	known_trim(d, n);
	asks = ARENA_ARRAY(&d->arena, n + 1, struct lookup_ask);
	if (!asks)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!map_get(&d->known, names[i]))
			asks[open++].name = names[i];
	if (d->answers) {
		for (size_t i = 0; i < open; i++)
			asks[i].status = answers_txt(d->answers, asks[i].name, &asks[i].records, &asks[i].count, &asks[i].secure);
	} else if (open) {
		if (!lookup_ready(d))
			return false;
		lookup_many(d->lookup, &d->arena, asks, open);
	}
	for (size_t i = 0; i < open; i++)
		if (!known_add(d, &asks[i]))
			return false;
	for (size_t i = 0; i < n; i++)
		records_out[i] = map_get(&d->known, names[i]);
	return true;
}
