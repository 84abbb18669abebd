#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "base/bug.h"
#include "out/count.h"

static const struct {
	const char *name;
	bool gauge;
} rows[COUNTS] = {
#define COUNTER false
#define GAUGE true
#define COUNT(id, name, kind, help) [COUNT_##id] = { name, kind },
#include "out/count.def"
#undef COUNT
#undef GAUGE
#undef COUNTER
};

struct count_page *count_page_new(void)
{
	struct count_page *p = mmap(NULL, sizeof(struct count_page), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if (getrandom(p->seed, sizeof(p->seed), 0) != (ssize_t)sizeof(p->seed)) {
		munmap(p, sizeof(*p));
		return NULL;
	}
	return p;
}

void count_add(struct count_page *p, unsigned slot, enum count what, int64_t by)
{
	BUG_ON(slot >= COUNT_SLOTS || what >= COUNTS);
	__atomic_fetch_add(&p->slots[slot].value[what], (uint64_t)by, __ATOMIC_RELAXED);
}

uint64_t count_of(const struct count_page *p, unsigned slot, enum count what)
{
	BUG_ON(slot >= COUNT_SLOTS || what >= COUNTS);
	return __atomic_load_n(&p->slots[slot].value[what], __ATOMIC_RELAXED);
}

uint64_t count_sum(const struct count_page *p, enum count what)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < COUNT_SLOTS; i++)
		sum += __atomic_load_n(&p->slots[i].value[what], __ATOMIC_RELAXED);
	return sum;
}

const char *count_name(enum count what)
{
	return rows[what].name;
}

bool count_is_gauge(enum count what)
{
	return rows[what].gauge;
}

void count_slot_left(struct count_page *p, unsigned slot)
{
	BUG_ON(slot >= COUNT_SLOTS);
	for (size_t i = 0; i < COUNTS; i++)
		if (rows[i].gauge)
			__atomic_store_n(&p->slots[slot].value[i], 0, __ATOMIC_RELAXED);
	memset(p->clients[slot], 0, sizeof(p->clients[slot]));
	for (size_t i = 0; i < COUNT_HOPS; i++)
		if (p->hops[slot][i].state != COUNT_HOP_NONE)
			count_hop_set(&p->hops[slot][i], COUNT_HOP_NONE, 0, 0);
}

struct count_hop *count_hop(struct count_page *p, unsigned slot, size_t hop)
{
	BUG_ON(slot >= COUNT_SLOTS);
	return hop < COUNT_HOPS ? &p->hops[slot][hop] : NULL;
}

void count_hop_set(struct count_hop *h, enum count_hop_state state, size_t open, size_t idle)
{
	__atomic_store_n(&h->state, (uint32_t)state, __ATOMIC_RELAXED);
	__atomic_store_n(&h->open, (uint32_t)open, __ATOMIC_RELAXED);
	__atomic_store_n(&h->idle, (uint32_t)idle, __ATOMIC_RELAXED);
}

struct count_hop count_hop_get(const struct count_page *p, unsigned slot, size_t hop)
{
	const struct count_hop *h;

	if (slot >= COUNT_SLOTS || hop >= COUNT_HOPS)
		return (struct count_hop){ .state = COUNT_HOP_NONE };
	h = &p->hops[slot][hop];
	return (struct count_hop){ .state = __atomic_load_n(&h->state, __ATOMIC_RELAXED), .open = __atomic_load_n(&h->open, __ATOMIC_RELAXED),
		.idle = __atomic_load_n(&h->idle, __ATOMIC_RELAXED) };
}
