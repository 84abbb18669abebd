#include "base/map.h"
#include "net/rate.h"

/* Places one may stand in: they share two lines of cache. */
enum { WAYS = 8, MINUTE_MS = 60000, MINUTE_US = 60000000 };

static uint64_t load(const uint64_t *at)
{
	return __atomic_load_n(at, __ATOMIC_RELAXED);
}

static void store(uint64_t *at, uint64_t value)
{
	__atomic_store_n(at, value, __ATOMIC_RELAXED);
}

static uint64_t tag_of(const struct count_page *page, enum rate what, struct slice key)
{
	unsigned char all[256];

	key = slice_sub(key, 0, sizeof(all) - 1);
	all[0] = (unsigned char)what;
	if (key.n)
		memcpy(all + 1, key.at, key.n);
	return map_hash(page->seed, slice_of(all, key.n + 1));
}

/* Its place; a new one takes that of whoever is nearest to being forgiven. */
static struct count_rate *place(struct count_page *page, uint64_t tag)
{
	struct count_rate *row = &page->rates[tag % (COUNT_RATES / WAYS) * WAYS], *best = row;

	tag |= 1; /* 0 is nobody */
	for (size_t i = 0; i < WAYS; i++) {
		if (load(&row[i].tag) == tag)
			return &row[i];
		if (load(&row[i].due_us) < load(&best->due_us))
			best = &row[i];
	}
	store(&best->due_us, 0);
	store(&best->told, 0);
	store(&best->tag, tag);
	return best;
}

/* Refused ones since the last line; the minute of that line stands in the upper half. */
static uint32_t tell(struct count_rate *r, int64_t now_ms)
{
	uint64_t told = load(&r->told), minute = (uint64_t)(now_ms / MINUTE_MS) + 1;
	uint32_t count = (uint32_t)told + 1;

	store(&r->told, told >> 32 == minute ? (minute << 32 | count) : minute << 32);
	return told >> 32 == minute ? 0 : count;
}

bool rate_take(struct count_page *page, enum rate what, struct slice key, int64_t now_ms, unsigned per_minute, uint32_t *told_out)
{
	struct count_rate *r;
	uint64_t now_us = (uint64_t)now_ms * 1000, step_us, due_us, from_us;

	*told_out = 0;
	if (per_minute == 0)
		return true;
	r = place(page, tag_of(page, what, key));
	step_us = MINUTE_US / per_minute;
	due_us = load(&r->due_us);
	do {
		from_us = due_us > now_us ? due_us : now_us;
		if (from_us + step_us > now_us + MINUTE_US) {
			*told_out = tell(r, now_ms);
			return false;
		}
	} while (!__atomic_compare_exchange_n(&r->due_us, &due_us, from_us + step_us, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return true;
}
