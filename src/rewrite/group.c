#include <stdlib.h>

#include "base/limits.h"
#include "mail/addr.h"
#include "mail/domain.h"
#include "rewrite/group.h"

enum {
	FIELD_ARENA = 128 * LIMIT_ADDR_LIST, /* a token has 32 octets and at least one of text, an address a few allocations */
	ALONE = UINT32_MAX
};

/* A recipient, or the first of several that are the same. */
struct who {
	struct slice key;    /* path_key() */
	struct slice domain; /* normal; empty: shares with nobody */
	uint32_t at;         /* which recipient */
	bool visible;
};

static int by_key(const void *x, const void *y)
{
	const struct who *a = x, *b = y;
	int order = slice_cmp(a->key, b->key);

	return order ? order : a->at < b->at ? -1 : a->at > b->at;
}

/* Those that may share first, each domain together. */
static int by_domain(const void *x, const void *y)
{
	const struct who *a = x, *b = y;

	if (a->visible != b->visible)
		return a->visible ? -1 : 1;
	return slice_cmp(a->domain, b->domain);
}

static struct who *who_of(struct arena *a, const struct slice *rcpts, size_t n)
{
	struct who *list = ARENA_ARRAY(a, n, struct who);

	for (size_t i = 0; list && i < n; i++) {
		struct path p;

		list[i].key = path_key(a, rcpts[i]);
		list[i].at = (uint32_t)i;
		if (path_parse(rcpts[i], &p) && p.domain.n && !domain_normal(a, p.domain, &list[i].domain))
			list[i].domain = SLICE_NONE;
	}
	if (!list || arena_failed(a))
		return NULL;
	qsort(list, n, sizeof(*list), by_key);
	return list;
}

/* ---- who is to be seen ---- */

/* An address of a field as path_key() has it: quoted or not, folded or not, it is the same mailbox. Empty: no memory. */
static struct slice key_of(struct arena *a, const struct addr *addr)
{
	unsigned char *key = arena_take(a, addr->local.n + 1 + addr->domain.n);
	bool quoted = false;
	size_t n = 0;

	if (!key)
		return SLICE_NONE;
	for (size_t i = 0; i < addr->local.n; i++) {
		unsigned char c = addr->local.at[i];

		if (c == '"') {
			quoted = !quoted;
			continue;
		}
		if (quoted && (c == '\r' || c == '\n'))
			continue;
		if (quoted && c == '\\')
			c = addr->local.at[++i];
		key[n++] = c;
	}
	key[n++] = '@';
	memcpy(key + n, addr->domain.at, addr->domain.n);
	return slice_of(key, n + addr->domain.n);
}

static void mark(struct who *list, size_t n, struct slice key)
{
	size_t from = 0, to = n;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (slice_cmp(list[middle].key, key) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	if (from < n && slice_eq(list[from].key, key))
		list[from].visible = true; /* of several that are the same the first */
}

/* False: no memory. What the field says is needed no longer than this takes. */
static bool mark_field(struct who *list, size_t n, struct slice value)
{
	struct arena scratch;
	struct addr *addrs;
	size_t count;
	bool good;

	arena_init(&scratch, FIELD_ARENA);
	if (addr_list(&scratch, value, &addrs, &count))
		for (size_t i = 0; i < count; i++)
			mark(list, n, key_of(&scratch, &addrs[i]));
	good = !arena_failed(&scratch);
	arena_clear(&scratch);
	return good;
}

/* The bit of a field that tells of a message being sent on, RFC 5322 3.6.6; 0: it is none. */
static unsigned resent(struct slice name)
{
	static const char *const names[] = { "Resent-Date", "Resent-From", "Resent-Sender", "Resent-To", "Resent-Cc", "Resent-Bcc",
		"Resent-Message-ID", "Resent-Reply-To" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (slice_ieq(name, slice_str(names[i])))
			return 1U << i;
	return 0;
}

/*
 * The fields that tell who is to be seen: all, or, of a message that was sent on, those of the last time, which stand together above
 * those of the time before. A name that comes again belongs to that.
 */
static void fields_that_tell(const struct header *h, size_t *from_out, size_t *to_out, bool *resent_out)
{
	unsigned seen = 0, bit;
	size_t from = 0, to;

	while (from < h->n && !resent(h->fields[from].name))
		from++;
	*resent_out = from < h->n;
	*from_out = *resent_out ? from : 0;
	*to_out = h->n;
	for (to = from; to < h->n && (bit = resent(h->fields[to].name)) && !(seen & bit); to++)
		seen |= bit;
	if (*resent_out)
		*to_out = to;
}

static bool names_recipients(struct slice name, bool again)
{
	return again ? slice_ieq(name, S("Resent-To")) || slice_ieq(name, S("Resent-Cc")) : slice_ieq(name, S("To")) || slice_ieq(name, S("Cc"));
}

static bool mark_all(struct who *list, size_t n, const struct header *h)
{
	size_t from, to, octets = 0;
	bool again;

	if (h->malformed)
		return true;
	fields_that_tell(h, &from, &to, &again);
	for (size_t i = from; i < to; i++) {
		struct slice value = h->fields[i].value;

		if (!names_recipients(h->fields[i].name, again) || value.n > LIMIT_VISIBLE - octets)
			continue;
		octets += value.n;
		if (!mark_field(list, n, value))
			return false;
	}
	return true;
}

/* ---- who shares ---- */

/* Those that are the same become one; the others go. Returns how many are left. */
static size_t drop_again(struct who *list, size_t n, uint32_t *first, bool *again_out)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		bool again = kept && slice_eq(list[kept - 1].key, list[i].key);

		again_out[list[i].at] = again;
		first[list[i].at] = again ? list[kept - 1].at : list[i].at;
		if (!again)
			list[kept++] = list[i];
	}
	return kept;
}

/* A number for each domain whose recipients are to be seen: kin_out[recipient]; ALONE for the others. Returns how many. */
static uint32_t number_domains(struct who *list, size_t n, uint32_t *kin_out)
{
	uint32_t count = 0;

	qsort(list, n, sizeof(*list), by_domain);
	for (size_t i = 0; i < n; i++) {
		bool kin = list[i].visible && list[i].domain.n;

		if (kin && (i == 0 || !slice_eq(list[i - 1].domain, list[i].domain)))
			count++;
		kin_out[list[i].at] = kin ? count - 1 : ALONE;
	}
	return count;
}

/* The copy that the next one of a domain goes into. */
struct open_copy {
	uint32_t group;
	size_t rcpts; /* 0: none yet */
};

uint32_t group_make(struct arena *a, const struct header *h, const struct slice *rcpts, size_t n, bool share, size_t rcpt_max,
    uint32_t *group_out, bool *again_out)
{
	struct who *list = n < ALONE ? who_of(a, rcpts, n) : NULL;
	uint32_t *first = ARENA_ARRAY(a, n, uint32_t), *kin = ARENA_ARRAY(a, n, uint32_t), groups = 0;
	struct open_copy *open;
	size_t kept;

	if (!list || !first || !kin || (share && !mark_all(list, n, h)))
		return 0;
	kept = drop_again(list, n, first, again_out);
	open = ARENA_ARRAY(a, number_domains(list, kept, kin), struct open_copy);
	if (!open)
		return 0;
	for (size_t i = 0; i < n; i++) {
		struct open_copy *copy = first[i] == i && kin[i] != ALONE ? &open[kin[i]] : NULL;

		if (first[i] != i) {
			group_out[i] = group_out[first[i]];
		} else if (!copy) {
			group_out[i] = groups++;
		} else {
			if (copy->rcpts == 0)
				copy->group = groups++;
			group_out[i] = copy->group;
			copy->rcpts = copy->rcpts + 1 < rcpt_max ? copy->rcpts + 1 : 0;
		}
	}
	return groups;
}
