#include <stdlib.h>

#include "base/limits.h"
#include "base/map.h"
#include "mail/addr.h"
#include "mail/domain.h"
#include "queue/flood.h"

/* The places that one may stand in share two lines of cache. */
enum { PLACES = 4096, WAYS = 8, MINUTE_US = 60000000, PATH_ARENA = 65536 };
#define AHEAD_US ((int64_t)LIMIT_REPORTS_AHEAD_S * 1000000)

/* GCRA: `next_us` is when the next one is due if they come at the pace of a minute, and as many as a burst may come before that. */
struct place {
	uint64_t tag;     /* 0: nobody */
	int64_t next_us;
};

struct pace {
	int64_t step_us;
	int64_t burst_us; /* so far ahead of next_us the last one of a burst may come */
	struct place places[PLACES];
};

struct flood {
	uint64_t seed[2];
	struct arena arena; /* of a call */
	struct pace address, domain;
};

struct flood *flood_new(const uint64_t seed[2])
{
	struct flood *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	memcpy(f->seed, seed, sizeof(f->seed));
	arena_init(&f->arena, PATH_ARENA);
	f->address.step_us = MINUTE_US / LIMIT_REPORTS_MINUTE;
	f->address.burst_us = (LIMIT_REPORTS_BURST - 1) * f->address.step_us;
	f->domain.step_us = MINUTE_US / LIMIT_REPORTS_DOMAIN_MINUTE;
	f->domain.burst_us = (LIMIT_REPORTS_DOMAIN_BURST - 1) * f->domain.step_us;
	return f;
}

void flood_free(struct flood **f)
{
	if (!*f)
		return;
	arena_clear(&(*f)->arena);
	free(*f);
	*f = NULL;
}

/* Where the key stands; a new one takes the place of whoever is nearest to being forgiven, or, if it is not to be counted, none. */
static struct place *place(const struct flood *f, struct pace *p, struct slice key, bool counted)
{
	uint64_t tag = map_hash(f->seed, key) | 1;
	struct place *row = &p->places[(tag >> 8) % (PLACES / WAYS) * WAYS], *best = row;

	for (size_t i = 0; i < WAYS; i++) {
		if (row[i].tag == tag)
			return &row[i];
		if (row[i].next_us < best->next_us)
			best = &row[i];
	}
	if (!counted)
		return NULL;
	*best = (struct place){ .tag = tag };
	return best;
}

/* When one more may go, not before at_us. */
static int64_t turn(const struct pace *p, const struct place *at, int64_t at_us)
{
	return at && at->next_us - p->burst_us > at_us ? at->next_us - p->burst_us : at_us;
}

static void count(const struct pace *p, struct place *at, int64_t now_us)
{
	if (at)
		at->next_us = (at->next_us > now_us ? at->next_us : now_us) + p->step_us;
}

/* What the address and its domain are told apart by; without memory as they are written. */
static void keys(struct flood *f, struct slice path, struct slice *address_out, struct slice *domain_out)
{
	struct path parsed;
	struct slice key;

	arena_clear(&f->arena);
	*address_out = path;
	*domain_out = SLICE_NONE;
	key = path_key(&f->arena, path);
	if (key.n)
		*address_out = key;
	if (path_parse(path, &parsed) && parsed.domain.n && !domain_normal(&f->arena, parsed.domain, domain_out))
		*domain_out = parsed.domain;
}

/* With `counted` it is one of them from now on, unless its turn is too far away. */
static int64_t turn_of(struct flood *f, struct slice path, int64_t now_us, bool counted)
{
	struct place *address, *domain = NULL;
	struct slice whose, where;
	int64_t due_us;

	keys(f, path, &whose, &where);
	address = place(f, &f->address, whose, counted);
	if (where.n)
		domain = place(f, &f->domain, where, counted);
	due_us = turn(&f->domain, domain, turn(&f->address, address, now_us));
	if (counted && due_us - now_us <= AHEAD_US) {
		count(&f->address, address, now_us);
		count(&f->domain, domain, now_us);
	}
	return due_us;
}

bool flood_full(struct flood *f, struct slice path, int64_t now_ms)
{
	return turn_of(f, path, now_ms * 1000, false) - now_ms * 1000 > AHEAD_US;
}

int64_t flood_due_ms(struct flood *f, struct slice path, int64_t now_ms)
{
	int64_t wait_us = turn_of(f, path, now_ms * 1000, true) - now_ms * 1000;

	return now_ms + ((wait_us > AHEAD_US ? AHEAD_US : wait_us) + 999) / 1000;
}
