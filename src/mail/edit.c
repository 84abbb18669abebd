#include "mail/edit.h"

struct added {
	struct added *below;
	struct field field;
};

struct edit {
	struct arena *arena;
	const struct header *original;
	bool *left_out; /* made at the first removal */
	size_t left_out_count;
	struct added *top;
	size_t added_count;
	size_t octets;
	struct header now;
	bool changed; /* since `now` was made */
	bool failed;
};

struct edit *edit_new(struct arena *a, const struct header *h)
{
	struct edit *e = ARENA_NEW(a, struct edit);

	if (!e)
		return NULL;
	e->arena = a;
	e->original = h;
	e->now = *h;
	for (size_t i = 0; i < h->n; i++)
		e->octets += h->fields[i].raw.n;
	return e;
}

void edit_remove(struct edit *e, size_t index)
{
	if (index >= e->original->n)
		return;
	if (!e->left_out)
		e->left_out = ARENA_ARRAY(e->arena, e->original->n, bool);
	if (!e->left_out) {
		e->failed = true;
		return;
	}
	if (e->left_out[index])
		return;
	e->left_out[index] = true;
	e->left_out_count++;
	e->octets -= e->original->fields[index].raw.n;
	e->changed = true;
}

void edit_prepend(struct edit *e, struct slice field)
{
	struct added *added = ARENA_NEW(e->arena, struct added);
	struct header one;
	struct fault f = { 0 };

	if (!added || !slice_ends(field, S("\r\n")) || !header_parse(e->arena, field, 1, &one, &f) || one.malformed) {
		e->failed = true;
		return;
	}
	added->field = one.fields[0];
	added->below = e->top;
	e->top = added;
	e->added_count++;
	e->octets += field.n;
	e->changed = true;
}

const struct header *edit_header(struct edit *e)
{
	struct header h = { .malformed = e->original->malformed };

	if (e->failed)
		return NULL;
	if (!e->changed)
		return &e->now;
	h.fields = ARENA_ARRAY(e->arena, e->added_count + e->original->n - e->left_out_count, struct field);
	if (!h.fields)
		return NULL;
	for (const struct added *added = e->top; added; added = added->below)
		h.fields[h.n++] = added->field;
	for (size_t i = 0; i < e->original->n; i++)
		if (!e->left_out || !e->left_out[i])
			h.fields[h.n++] = e->original->fields[i];
	e->now = h;
	e->changed = false;
	return &e->now;
}

bool edit_list(struct edit *e, struct slice **runs_out, size_t *n_out)
{
	const struct header *h = edit_header(e);
	struct slice *runs;
	size_t n = 0;

	/* each removal parts one run, each added field is one */
	runs = h ? ARENA_ARRAY(e->arena, e->added_count + e->left_out_count + 1, struct slice) : NULL;
	if (!runs)
		return false;
	for (size_t i = 0; i < h->n; i++) {
		struct slice raw = h->fields[i].raw;

		if (n && runs[n - 1].at + runs[n - 1].n == raw.at)
			runs[n - 1].n += raw.n;
		else
			runs[n++] = raw;
	}
	*runs_out = runs;
	*n_out = n;
	return true;
}

bool edit_touches(const struct edit *e, bool (*counts)(struct slice name))
{
	for (const struct added *added = e->top; added; added = added->below)
		if (counts(added->field.name))
			return true;
	for (size_t i = 0; e->left_out && i < e->original->n; i++)
		if (e->left_out[i] && counts(e->original->fields[i].name))
			return true;
	return false;
}

size_t edit_octets(const struct edit *e)
{
	return e->octets;
}
