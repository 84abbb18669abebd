#include <stdlib.h>

#include "base/map.h"

struct map_entry {
	struct map_entry *next;
	void *value;
	uint64_t hash;
	size_t n;
	unsigned char key[];
};

#define ROTL(x, b) ((x) << (b) | (x) >> (64 - (b)))

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = ROTL(v[1], 13) ^ v[0];
	v[0] = ROTL(v[0], 32);
	v[2] += v[3];
	v[3] = ROTL(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = ROTL(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = ROTL(v[1], 17) ^ v[2];
	v[2] = ROTL(v[2], 32);
}

/* One load where that is the machine's order. */
static uint64_t le64(const unsigned char *at)
{
	return (uint64_t)at[0] | (uint64_t)at[1] << 8 | (uint64_t)at[2] << 16 | (uint64_t)at[3] << 24 | (uint64_t)at[4] << 32 |
	    (uint64_t)at[5] << 40 | (uint64_t)at[6] << 48 | (uint64_t)at[7] << 56;
}

uint64_t map_hash(const uint64_t seed[2], struct slice key)
{
	uint64_t v[4] = { seed[0] ^ 0x736f6d6570736575U, seed[1] ^ 0x646f72616e646f6dU,
		seed[0] ^ 0x6c7967656e657261U, seed[1] ^ 0x7465646279746573U };
	uint64_t m;
	size_t i = 0;

	for (; key.n - i >= 8; i += 8) {
		m = le64(key.at + i);
		v[3] ^= m;
		sip_round(v);
		sip_round(v);
		v[0] ^= m;
	}
	m = (uint64_t)key.n << 56;
	for (size_t k = 0; i + k < key.n; k++)
		m |= (uint64_t)key.at[i + k] << 8 * k;
	v[3] ^= m;
	sip_round(v);
	sip_round(v);
	v[0] ^= m;
	v[2] ^= 0xff;
	for (int r = 0; r < 4; r++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void map_init(struct map *m, const uint64_t seed[2])
{
	*m = (struct map){ .seed = { seed[0], seed[1] } };
}

void map_release(struct map *m, void (*drop)(void *value))
{
	for (size_t i = 0; i < m->slot_count; i++)
		while (m->slots[i]) {
			struct map_entry *e = m->slots[i];

			m->slots[i] = e->next;
			if (drop)
				drop(e->value);
			free(e);
		}
	free(m->slots);
	m->slots = NULL;
	m->slot_count = m->n = 0;
}

static struct map_entry **find(const struct map *m, struct slice key, uint64_t hash)
{
	struct map_entry **at = &m->slots[hash & (m->slot_count - 1)];

	while (*at && ((*at)->hash != hash || !slice_eq(slice_of((*at)->key, (*at)->n), key)))
		at = &(*at)->next;
	return at;
}

void *map_get(const struct map *m, struct slice key)
{
	struct map_entry *e;

	if (m->n == 0)
		return NULL;
	e = *find(m, key, map_hash(m->seed, key));
	return e ? e->value : NULL;
}

static bool grow(struct map *m)
{
	size_t count = m->slot_count ? m->slot_count * 2 : 16;
	struct map_entry **slots = calloc(count, sizeof(*slots));

	if (!slots)
		return false;
	for (size_t i = 0; i < m->slot_count; i++)
		while (m->slots[i]) {
			struct map_entry *e = m->slots[i];

			m->slots[i] = e->next;
			e->next = slots[e->hash & (count - 1)];
			slots[e->hash & (count - 1)] = e;
		}
	free(m->slots);
	m->slots = slots;
	m->slot_count = count;
	return true;
}

bool map_put(struct map *m, struct slice key, void *value, void **old_out)
{
	uint64_t hash = map_hash(m->seed, key);
	struct map_entry **at, *e;

	if (m->n >= m->slot_count && !grow(m))
		return false;
	at = find(m, key, hash);
	if (*at) {
		if (old_out)
			*old_out = (*at)->value;
		(*at)->value = value;
		return true;
	}
	e = malloc(sizeof(*e) + key.n);
	if (!e)
		return false;
	*e = (struct map_entry){ .value = value, .hash = hash, .n = key.n };
	if (key.n)
		memcpy(e->key, key.at, key.n);
	*at = e;
	m->n++;
	if (old_out)
		*old_out = NULL;
	return true;
}

void *map_take(struct map *m, struct slice key)
{
	struct map_entry **at, *e;
	void *value;

	if (m->n == 0)
		return NULL;
	at = find(m, key, map_hash(m->seed, key));
	e = *at;
	if (!e)
		return NULL;
	value = e->value;
	*at = e->next;
	free(e);
	m->n--;
	return value;
}

void map_walk(const struct map *m, bool (*each)(struct slice key, void *value, void *arg), void *arg)
{
	for (size_t i = 0; i < m->slot_count; i++)
		for (struct map_entry *e = m->slots[i]; e; e = e->next)
			if (!each(slice_of(e->key, e->n), e->value, arg))
				return;
}
