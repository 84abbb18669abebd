#include "auth/asks.h"
#include "base/bug.h"

struct question {
	struct slice name;     /* normal */
	enum dnsrec_type type;
	uint32_t sum;          /* of the name, so that most comparisons are of one number */
	struct dnsrec *rec;    /* NULL: no answer yet */
};

struct asks {
	struct arena *arena;
	struct question *questions;
	size_t n, most, taken, open;
	bool too_many, over;
	/* Answers to what is never asked, [1] for key records. */
	struct dnsrec absent[2], silent[2];
	struct keyrec absent_key, silent_key;
};

struct asks *asks_new(struct arena *a, size_t most)
{
	struct asks *q = ARENA_NEW(a, struct asks);

	if (!q || !(q->questions = ARENA_ARRAY(a, most, struct question)))
		return NULL;
	q->arena = a;
	q->most = most;
	q->absent_key = (struct keyrec){ .state = KEYREC_ABSENT, .holders = 1 };
	q->silent_key = (struct keyrec){ .state = KEYREC_UNREACHABLE, .holders = 1 };
	q->absent[0] = q->absent[1] = (struct dnsrec){ .status = DNS_NXDOMAIN, .holders = 1 };
	q->silent[0] = q->silent[1] = (struct dnsrec){ .status = DNS_TIMEOUT, .holders = 1 };
	q->absent[1].key = &q->absent_key;
	q->silent[1].key = &q->silent_key;
	return q;
}

void asks_release(struct asks *q)
{
	if (!q)
		return;
	for (size_t i = 0; i < q->n; i++)
		if (q->questions[i].rec)
			dnsrec_drop(&q->questions[i].rec);
}

static const struct dnsrec *absent(const struct asks *q, enum dnsrec_type type)
{
	return &q->absent[type == DNSREC_KEY];
}

static const struct dnsrec *silent(const struct asks *q, enum dnsrec_type type)
{
	return &q->silent[type == DNSREC_KEY];
}

static uint32_t sum_of(struct slice name)
{
	uint32_t sum = 2166136261U; /* FNV-1a: nobody gains by a collision, all are looked at anyway */

	for (size_t i = 0; i < name.n; i++)
		sum = (sum ^ name.at[i]) * 16777619U;
	return sum;
}

const struct dnsrec *asks_get(struct asks *q, enum dnsrec_type type, struct slice name)
{
	unsigned char octets[DNS_NAME_OCTETS];
	struct slice normal;
	struct question *one;
	uint32_t sum;

	if (!dns_name_normal(name, octets, &normal))
		return absent(q, type);
	sum = sum_of(normal);
	for (one = q->questions; one < q->questions + q->n; one++)
		if (one->sum == sum && one->type == type && slice_eq(one->name, normal))
			return one->rec ? one->rec : q->over ? silent(q, type) : NULL;
	if (q->over)
		return silent(q, type);
	if (q->n == q->most) {
		q->too_many = true;
		return silent(q, type);
	}
	*one = (struct question){ .name = arena_copy(q->arena, normal), .type = type, .sum = sum };
	if (!one->name.n)
		return silent(q, type);
	q->n++;
	q->open++;
	return NULL;
}

void asks_want(struct asks *q, enum dnsrec_type type, struct slice name)
{
	(void)asks_get(q, type, name);
}

bool asks_next(struct asks *q, size_t *index_out, enum dnsrec_type *type_out, struct slice *name_out)
{
	if (q->over || q->taken == q->n)
		return false;
	*index_out = q->taken++;
	*type_out = q->questions[*index_out].type;
	*name_out = q->questions[*index_out].name;
	return true;
}

void asks_answer(struct asks *q, size_t index, struct dnsrec *rec)
{
	BUG_ON(index >= q->taken);
	if (q->over || q->questions[index].rec)
		return;
	q->questions[index].rec = dnsrec_hold(rec);
	q->open--;
}

void asks_give_up(struct asks *q)
{
	q->over = true;
	q->open = 0;
}

size_t asks_open(const struct asks *q)
{
	return q->open;
}

size_t asks_count(const struct asks *q)
{
	return q->n;
}

bool asks_too_many(const struct asks *q)
{
	return q->too_many;
}
