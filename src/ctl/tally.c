#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "ctl/tally.h"

enum {
	ARENA_OCTETS = 1 << 26,
	NAME_OCTETS = 512, /* of a reason or an example: cut */
	SHOWN = 15,        /* rows of a table on the terminal */
};

/* The order in which they are told: from good to bad. */
static const enum dkim2_state order[] = { DKIM2_PASS, DKIM2_FAIL, DKIM2_PERMERROR, DKIM2_TEMPERROR, DKIM2_NONE };
enum { ORDER = sizeof(order) / sizeof(order[0]) };

struct tally *tally_new(void)
{
	struct tally *t = calloc(1, sizeof(*t));
	uint64_t seed[2];

	if (!t || getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed)) {
		free(t);
		return NULL;
	}
	arena_init(&t->arena, ARENA_OCTETS);
	map_init(&t->reasons.rows, seed);
	map_init(&t->domains.rows, seed);
	return t;
}

void tally_free(struct tally **t)
{
	if (!*t)
		return;
	map_release(&(*t)->reasons.rows, NULL);
	map_release(&(*t)->domains.rows, NULL);
	arena_clear(&(*t)->arena);
	free(*t);
	*t = NULL;
}

/* NULL: one of the others. */
static struct tally_row *row_of(struct tally *t, struct tally_table *table, struct slice key)
{
	struct tally_row *row = map_get(&table->rows, key);

	if (row)
		return row;
	row = table->n < TALLY_ROWS ? ARENA_NEW(&t->arena, struct tally_row) : NULL;
	if (!row || !map_put(&table->rows, key, row, NULL)) {
		table->others++;
		return NULL;
	}
	row->name = arena_copy(&t->arena, key);
	table->all[table->n++] = row;
	return row;
}

static void add_reason(struct tally *t, const struct dkim2_verdict *v, struct slice where)
{
	char key[NAME_OCTETS + 1];
	struct slice reason = slice_sub(v->reason, 0, NAME_OCTETS);
	struct tally_row *row;

	/* The same words may stand for two states, at two levels of the draft. */
	key[0] = (char)('0' + v->state);
	memcpy(key + 1, reason.at, reason.n);
	row = row_of(t, &t->reasons, slice_of(key, reason.n + 1));
	if (!row)
		return;
	if (row->messages++ == 0) {
		row->name = slice_sub(row->name, 1, SIZE_MAX);
		row->state = v->state;
		row->example = arena_copy(&t->arena, slice_sub(where, 0, NAME_OCTETS));
	}
}

static bool named_before(const struct dkim2_verdict *v, size_t hop)
{
	for (size_t i = 0; i < hop; i++)
		if (slice_eq(v->hops[i].d_normal, v->hops[hop].d_normal))
			return true;
	return false;
}

static void add_others(struct tally *t, const struct findings *f)
{
	if (f->dkim)
		t->others[1][f->dkim->state]++;
	if (f->arc)
		t->others[2][f->arc->state]++;
	if (f->spf)
		t->others[3][f->spf->state]++;
	if (f->dmarc)
		t->others[4][f->dmarc->state]++;
}

/* In the order of engine_names. */
static const char *other_name(size_t engine, size_t state)
{
	switch (engine) {
	case 1:
		return dkim_state_name((enum dkim_state)state);
	case 2:
		return arc_state_name((enum arc_state)state);
	case 3:
		return spf_state_name((enum spf_state)state);
	default:
		return dmarc_state_name((enum dmarc_state)state);
	}
}

void tally_add(struct tally *t, const struct findings *f, struct slice where)
{
	const struct dkim2_verdict *v = f->dkim2;
	enum dkim2_state state = v && v->state < TALLY_STATES ? v->state : DKIM2_PERMERROR;

	t->messages++;
	add_others(t, f);
	if (!v)
		return;
	t->by_state[state]++;
	if (v->reason.n)
		add_reason(t, v, where);
	for (size_t i = 0; i < v->hop_count; i++) {
		struct tally_row *row;

		if (!v->hops[i].d_normal.n || named_before(v, i))
			continue;
		row = row_of(t, &t->domains, v->hops[i].d_normal);
		if (!row)
			continue;
		row->messages++;
		row->by_state[state]++;
	}
}

static int by_messages(const void *a, const void *b)
{
	const struct tally_row *x = *(struct tally_row *const *)a, *y = *(struct tally_row *const *)b;

	if (x->messages != y->messages)
		return x->messages < y->messages ? 1 : -1;
	return x->state != y->state ? (x->state < y->state ? -1 : 1) : slice_cmp(x->name, y->name);
}

void tally_sort(struct tally *t)
{
	qsort(t->reasons.all, t->reasons.n, sizeof(t->reasons.all[0]), by_messages);
	qsort(t->domains.all, t->domains.n, sizeof(t->domains.all[0]), by_messages);
}

/* ---- for people ---- */

static void print_results(const struct tally *t)
{
	uint64_t all = 0;

	for (size_t i = 0; i < ORDER; i++)
		all += t->by_state[order[i]];
	if (!all)
		return;
	puts("\n  result        messages");
	for (size_t i = 0; i < ORDER; i++)
		if (t->by_state[order[i]])
			printf("  %-12s %9llu  %5.1f %%\n", dkim2_state_name(order[i]), (unsigned long long)t->by_state[order[i]],
			    100.0 * (double)t->by_state[order[i]] / (double)t->messages);
}

static void print_others(const struct tally *t)
{
	bool head = false;

	for (size_t e = 1; e < ENGINES; e++)
		for (size_t i = 0; i < TALLY_RESULTS; i++) {
			if (!t->others[e][i])
				continue;
			if (!head)
				puts("\n  others        messages");
			head = true;
			printf("  %-5s %-9s %6llu  %5.1f %%\n", engine_names[e], other_name(e, i), (unsigned long long)t->others[e][i],
			    100.0 * (double)t->others[e][i] / (double)t->messages);
		}
}

static void print_more(uint64_t rows, uint64_t others, const char *what)
{
	if (rows > SHOWN)
		printf("             and %llu more\n", (unsigned long long)(rows - SHOWN));
	if (others)
		printf("  %9llu  %s that were not told apart\n", (unsigned long long)others, what);
}

static void print_reasons(struct arena *a, const struct tally *t)
{
	const struct tally_table *table = &t->reasons;

	if (!table->n)
		return;
	puts("\n   messages  reason");
	for (size_t i = 0; i < table->n && i < SHOWN; i++) {
		const struct tally_row *row = table->all[i];

		printf("  %9llu  %s: %.*s\n             in %.*s\n", (unsigned long long)row->messages, dkim2_state_name(row->state),
		    SLICE_FMT(ctl_plain(a, row->name, false)), SLICE_FMT(ctl_plain(a, row->example, true)));
	}
	print_more(table->n, table->others, "with reasons");
}

static void print_domains(struct arena *a, const struct tally *t)
{
	const struct tally_table *table = &t->domains;

	if (!table->n)
		return;
	puts("\n   messages       pass       fail  permerror  temperror  signed by");
	for (size_t i = 0; i < table->n && i < SHOWN; i++) {
		const struct tally_row *row = table->all[i];

		printf("  %9llu", (unsigned long long)row->messages);
		for (size_t k = 0; order[k] != DKIM2_NONE; k++)
			printf("  %9llu", (unsigned long long)row->by_state[order[k]]);
		printf("  %.*s\n", SLICE_FMT(ctl_plain(a, row->name, false)));
	}
	print_more(table->n, table->others, "signatures of domains");
}

void tally_print(const struct tally *t)
{
	struct arena a;

	arena_init(&a, ARENA_OCTETS);
	if (t->messages)
		print_results(t);
	print_reasons(&a, t);
	print_domains(&a, t);
	print_others(t);
	arena_clear(&a);
}

/* ---- for programs ---- */

static json_t *states_json(const uint64_t by_state[TALLY_STATES], bool none)
{
	json_t *o = json_object();

	for (size_t i = 0; i < ORDER; i++)
		if (none || order[i] != DKIM2_NONE)
			json_object_set_new(o, dkim2_state_name(order[i]), json_integer((json_int_t)by_state[order[i]]));
	return o;
}

static json_t *others_json(const struct tally *t)
{
	json_t *all = json_object();

	for (size_t e = 1; e < ENGINES; e++) {
		json_t *one = json_object();

		for (size_t i = 0; i < TALLY_RESULTS; i++)
			if (t->others[e][i])
				json_object_set_new(one, other_name(e, i), json_integer((json_int_t)t->others[e][i]));
		if (json_object_size(one))
			json_object_set_new(all, engine_names[e], one);
		else
			json_decref(one);
	}
	return all;
}

json_t *tally_json(struct arena *a, const struct tally *t)
{
	json_t *reasons = json_array(), *domains = json_array();

	for (size_t i = 0; i < t->reasons.n; i++) {
		const struct tally_row *row = t->reasons.all[i];

		json_array_append_new(reasons, json_pack("{s:s, s:o, s:I, s:o}", "result", dkim2_state_name(row->state), "reason",
		    ctl_json(a, row->name), "messages", (json_int_t)row->messages, "example", ctl_json(a, row->example)));
	}
	for (size_t i = 0; i < t->domains.n; i++) {
		const struct tally_row *row = t->domains.all[i];
		json_t *o = json_pack("{s:o, s:I}", "d", ctl_json(a, row->name), "messages", (json_int_t)row->messages);
		json_t *states = states_json(row->by_state, false);

		json_object_update(o, states);
		json_decref(states);
		json_array_append_new(domains, o);
	}
	return json_pack("{s:I, s:o, s:o, s:o, s:I, s:o, s:I, s:I, s:I, s:I}", "messages", (json_int_t)t->messages, "results",
	    states_json(t->by_state, true), "others", others_json(t), "reasons", reasons, "other_reasons", (json_int_t)t->reasons.others, "domains", domains,
	    "other_domains", (json_int_t)t->domains.others, "lf", (json_int_t)t->lf, "unreadable", (json_int_t)t->unreadable,
	    "passed_over", (json_int_t)t->passed_over);
}
