#include <stdlib.h>

#include "base/limits.h"
#include "base/map.h"
#include "mail/domain.h"
#include "route/table.h"

enum { MISTAKES = 100 };

#define EXPECTED ", expected next hops with commas between them"

struct entry {
	struct slice key; /* "a.example", ".a.example", "*" */
	size_t list;
	unsigned line;
};

struct table {
	struct entry *entries; /* by key */
	size_t entry_count;
	struct table_list *lists;
	size_t list_count;
};

struct reading {
	struct arena *arena;
	struct table *table;
	struct map lists;      /* by what stands behind the domain: a struct table_list in table->lists */
	table_mistake *mistake;
	void *arg;
	unsigned line;
	size_t mistakes;
};

static bool wrong(struct reading *r, unsigned line, struct slice word, const char *what)
{
	if (r->mistakes++ < MISTAKES)
		r->mistake(r->arg, line, word, what);
	return false;
}

static bool blank(unsigned char c)
{
	return c == ' ' || c == '\t';
}

static bool read_key(struct reading *r, struct slice word, struct slice *key_out)
{
	bool below = slice_starts(word, S("."));
	struct slice normal;
	unsigned char *key;

	if (slice_eq(word, S("*"))) {
		*key_out = word;
		return true;
	}
	if (!domain_normal(r->arena, below ? slice_sub(word, 1, SIZE_MAX) : word, &normal) || !domain_valid(normal))
		return wrong(r, r->line, word, "is no domain, expected a domain, .domain for what is below it, or *");
	*key_out = normal;
	if (!below)
		return true;
	key = arena_take(r->arena, normal.n + 1);
	if (!key)
		return false;
	key[0] = '.';
	memcpy(key + 1, normal.at, normal.n);
	*key_out = slice_of(key, normal.n + 1);
	return true;
}

/* The next hops of a line as one text without what does not count, so that equal lists are found equal. */
static struct slice joined(struct reading *r, const struct slice *hops, size_t count)
{
	size_t octets = count, at = 0;
	unsigned char *text;

	for (size_t i = 0; i < count; i++)
		octets += hops[i].n;
	text = arena_take(r->arena, octets);
	for (size_t i = 0; text && i < count; i++) {
		memcpy(text + at, hops[i].at, hops[i].n);
		at += hops[i].n;
		text[at++] = ',';
	}
	return slice_of(text, text ? at : 0);
}

static bool read_list(struct reading *r, struct slice rest, struct slice *hops, size_t *count_out)
{
	size_t n = 0;
	bool more = true;

	while (more) {
		struct slice hop;

		more = slice_cut(&rest, ',', &hop);
		hop = slice_trim(hop);
		if (hop.n == 0)
			return wrong(r, r->line, hop, n || more ? "stands where a next hop is expected" : "has no next hop behind it" EXPECTED);
		for (size_t i = 0; i < hop.n; i++)
			if (hop.at[i] <= ' ' || hop.at[i] >= 0x7f)
				return wrong(r, r->line, hop, "is no next hop" EXPECTED);
		if (n == LIMIT_ROUTE)
			return wrong(r, r->line, hop, "is one next hop too many, expected at most 16");
		hops[n++] = hop;
	}
	*count_out = n;
	return true;
}

static bool list_of(struct reading *r, const struct slice *hops, size_t count, size_t *list_out)
{
	struct table *t = r->table;
	struct table_list *list;
	struct slice key = joined(r, hops, count);

	if (arena_failed(r->arena))
		return false;
	list = map_get(&r->lists, key);
	if (!list) {
		list = &t->lists[t->list_count];
		list->hops = ARENA_ARRAY(r->arena, count, struct slice);
		if (!list->hops || !map_put(&r->lists, key, list, NULL))
			return false;
		memcpy(list->hops, hops, count * sizeof(hops[0]));
		list->hop_count = count;
		list->line = r->line;
		t->list_count++;
	}
	*list_out = (size_t)(list - t->lists);
	return true;
}

static void read_line(struct reading *r, struct slice line)
{
	struct slice hops[LIMIT_ROUTE];
	struct entry e = { .line = r->line };
	size_t n = 0, count;

	line.n = slice_find(line, '#');
	line = slice_trim(line);
	if (line.n == 0)
		return;
	while (n < line.n && !blank(line.at[n]))
		n++;
	if (!read_key(r, slice_sub(line, 0, n), &e.key))
		return;
	if (n == line.n) {
		wrong(r, r->line, line, "has no next hop behind it" EXPECTED);
		return;
	}
	if (read_list(r, slice_sub(line, n, SIZE_MAX), hops, &count) && list_of(r, hops, count, &e.list))
		r->table->entries[r->table->entry_count++] = e;
}

static int by_key(const void *x, const void *y)
{
	const struct entry *p = x, *q = y;
	int c = slice_cmp(p->key, q->key);

	return c ? c : (p->line > q->line) - (p->line < q->line);
}

static void find_doubles(struct reading *r)
{
	const struct table *t = r->table;

	for (size_t i = 1; i < t->entry_count; i++)
		if (slice_eq(t->entries[i - 1].key, t->entries[i].key))
			wrong(r, t->entries[i].line, t->entries[i].key, "stands in a line above it already, expected each domain once");
}

struct table *table_new(struct arena *a, struct slice text, table_mistake *mistake, void *arg)
{
	static const uint64_t seed[2] = { 0, 0 }; /* the operator chose the lists */
	struct reading r = { .arena = a, .table = ARENA_NEW(a, struct table), .mistake = mistake, .arg = arg };
	size_t lines = 1;
	bool more = true;

	for (size_t i = 0; i < text.n; i++)
		lines += text.at[i] == '\n';
	if (r.table) {
		r.table->entries = ARENA_ARRAY(a, lines, struct entry);
		r.table->lists = ARENA_ARRAY(a, lines, struct table_list);
	}
	if (arena_failed(a))
		return NULL;
	map_init(&r.lists, seed);
	while (more && r.mistakes < MISTAKES) {
		struct slice line;

		more = slice_cut(&text, '\n', &line);
		r.line++;
		read_line(&r, line);
	}
	map_release(&r.lists, NULL);
	if (r.table->entry_count)
		qsort(r.table->entries, r.table->entry_count, sizeof(r.table->entries[0]), by_key);
	find_doubles(&r);
	if (r.mistakes == 0 && r.table->entry_count == 0)
		wrong(&r, 1, SLICE_NONE, "names no domain at all, expected a line or more");
	return arena_failed(a) ? NULL : r.table;
}

size_t table_list_count(const struct table *t)
{
	return t->list_count;
}

const struct table_list *table_list(const struct table *t, size_t list)
{
	return &t->lists[list];
}

static const struct entry *entry_of(const struct table *t, struct slice key)
{
	size_t low = 0, high = t->entry_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int c = slice_cmp(t->entries[middle].key, key);

		if (c == 0)
			return &t->entries[middle];
		if (c < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

bool table_find(const struct table *t, struct slice domain, size_t *list_out)
{
	const struct entry *e = domain_valid(domain) ? entry_of(t, domain) : NULL;

	for (struct slice rest = domain; !e && domain_valid(domain) && slice_find(rest, '.') < rest.n; rest.at++, rest.n--) {
		rest = slice_sub(rest, slice_find(rest, '.'), SIZE_MAX);
		e = entry_of(t, rest);
	}
	if (!e)
		e = entry_of(t, S("*"));
	if (!e)
		return false;
	*list_out = e->list;
	return true;
}
