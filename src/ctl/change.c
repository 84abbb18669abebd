#include "ctl/change.h"
#include "ctl/ctl.h"
#include "auth/dkim2/diff.h"
#include "auth/dkim2/lines.h"

enum { LINES = 1 << 20 }; /* of a body that is shown */

/* ---- fields ---- */

/* The values of a name in a state, top to bottom. NULL: no memory, or the state is not there. */
static const struct slice *values(struct arena *a, const struct undo *u, size_t state, struct slice name, size_t *n_out)
{
	const struct field *const *fields;
	struct slice *list;
	size_t n;

	if (undo_fields(u, state, name, &fields, &n) != UNDO_DONE)
		return NULL;
	list = ARENA_ARRAY(a, n, struct slice);
	for (size_t i = 0; list && i < n; i++)
		list[n - 1 - i] = ctl_unfolded(a, fields[i]->value);
	*n_out = n;
	return list;
}

/* Leaves out what both lists begin or end with. */
static void trim(struct change_field *f)
{
	while (f->before_n && f->after_n && slice_eq(*f->before, *f->after)) {
		f->before++;
		f->after++;
		f->before_n--;
		f->after_n--;
	}
	while (f->before_n && f->after_n && slice_eq(f->before[f->before_n - 1], f->after[f->after_n - 1])) {
		f->before_n--;
		f->after_n--;
	}
}

static bool fields_read(struct arena *a, const struct past *p, const struct header *h, size_t state, struct change *out)
{
	struct change_field *fields;
	struct slice *names;
	size_t n;

	if (!undo_changed(p->undo, state + 1, &names, &n))
		return false;
	fields = ARENA_ARRAY(a, n, struct change_field);
	if (!fields)
		return false;
	for (size_t i = 0; i < n; i++) {
		size_t at = header_find(h, names[i], 0);

		fields[i].name = at < h->n ? h->fields[at].name : names[i];
		fields[i].before = values(a, p->undo, state + 1, names[i], &fields[i].before_n);
		fields[i].after = values(a, p->undo, state, names[i], &fields[i].after_n);
		if (!fields[i].before || !fields[i].after)
			return false;
		trim(&fields[i]);
	}
	out->fields = fields;
	out->field_n = n;
	return true;
}

/* ---- the body ---- */

struct text {
	const struct slice *lines;
	size_t n;
};

/* PAST_BAD: too many lines. */
static enum past_result text_of(struct arena *a, const struct slice *runs, size_t n, struct text *out)
{
	struct lines lines = lines_of(runs, n);
	uint64_t count = lines_count(&lines, 0, lines.octets);

	if (count > LINES)
		return PAST_BAD;
	out->n = (size_t)count;
	out->lines = lines_index(a, a, &lines, 0, out->n);
	return out->lines ? PAST_DONE : PAST_MEMORY;
}

struct blocks {
	struct arena *arena;
	struct change_block *all;
	size_t n, room;
	const struct text *before, *after;
	size_t before_at, after_at; /* lines that are in a block */
	struct make_work work;      /* of all comparisons: it has a limit */
	struct change *out;
};

static bool more_room(struct blocks *b)
{
	size_t room = b->room ? 2 * b->room : 16;
	struct change_block *all = ARENA_ARRAY(b->arena, room, struct change_block);

	if (!all)
		return false;
	if (b->n)
		memcpy(all, b->all, b->n * sizeof(*all));
	b->all = all;
	b->room = room;
	return true;
}

static bool put(struct blocks *b, bool same, size_t before_n, size_t after_n)
{
	struct change_block *last = b->n ? &b->all[b->n - 1] : NULL;

	if (!before_n && !after_n)
		return true;
	if (last && last->same == same) {
		last->before_n += before_n;
		last->after_n += after_n;
	} else {
		if (b->n == b->room && !more_room(b))
			return false;
		b->all[b->n++] = (struct change_block){ same, b->before_at + 1, b->after_at + 1, b->before->lines + b->before_at,
			b->after->lines + b->after_at, before_n, after_n };
	}
	b->before_at += before_n;
	b->after_at += after_n;
	b->out->removed += same ? 0 : before_n;
	b->out->added += same ? 0 : after_n;
	return true;
}

/* Up to where both are alike again; what a recipe would not bother to copy may be so even here. */
static bool put_changed(struct blocks *b, size_t before_end, size_t after_end)
{
	size_t before_n = before_end - b->before_at, after_n = after_end - b->after_at, head = 0, tail = 0;
	const struct slice *before = b->before->lines + b->before_at, *after = b->after->lines + b->after_at;

	while (head < before_n && head < after_n && slice_eq(before[head], after[head]))
		head++;
	while (tail < before_n - head && tail < after_n - head && slice_eq(before[before_n - 1 - tail], after[after_n - 1 - tail]))
		tail++;
	return put(b, true, head, head) && put(b, false, before_n - head - tail, after_n - head - tail) && put(b, true, tail, tail);
}

/* Up to these lines the recipe copies nothing; what it says anew may be there all the same. */
static bool put_compared(struct blocks *b, size_t before_end, size_t after_end)
{
	size_t before_from = b->before_at, after_from = b->after_at, n = 0;
	struct diff_run *runs = NULL;

	if (before_end > before_from && after_end > after_from &&
	    !diff_runs(b->arena, b->before->lines + before_from, before_end - before_from, b->after->lines + after_from, after_end - after_from,
		1, &b->work, &runs, &n))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!put_changed(b, before_from + runs[i].before, after_from + runs[i].now) || !put(b, true, runs[i].n, runs[i].n))
			return false;
	return put_changed(b, before_end, after_end);
}

static size_t up_to(uint64_t line, const struct text *t)
{
	return line < t->n ? (size_t)line : t->n;
}

/* Neither text has its last empty lines any more, so a step may lead behind its end. */
static bool compare(struct arena *a, const struct recipe_steps *steps, const struct text *before, const struct text *after, struct change *out)
{
	struct blocks b = { .arena = a, .before = before, .after = after, .out = out };
	uint64_t line = 0; /* of the text before, where the step at hand begins */

	for (size_t i = 0; i < steps->n; i++) {
		const struct recipe_step *s = &steps->steps[i];
		size_t before_n, after_n, n;

		line += s->count;
		if (s->texts)
			continue;
		if (!put_compared(&b, up_to(line - s->count, before), up_to(s->from - 1, after)))
			return false;
		before_n = up_to(line, before) - b.before_at;
		after_n = up_to(s->from - 1 + s->count, after) - b.after_at;
		n = before_n < after_n ? before_n : after_n;
		if (!put(&b, true, n, n))
			return false;
	}
	if (!put_compared(&b, before->n, after->n))
		return false;
	out->blocks = b.all;
	out->block_n = out->removed || out->added ? b.n : 0;
	return true;
}

static bool body_read(struct arena *a, const struct past *p, struct slice body, size_t state, struct change *out)
{
	struct slice *before_runs, *after_runs;
	enum past_result before_read, after_read;
	struct text before, after;
	size_t before_n, after_n;

	switch (undo_runs(p->undo, state + 1, body, &before_runs, &before_n)) {
	case UNDO_DONE:
		break;
	case UNDO_LOST:
		out->why_not = "the body before cannot be had, the recipe says";
		return true;
	case UNDO_BAD:
		out->why_not = "the recipe copies lines that are not there";
		return true;
	case UNDO_LIMIT:
		out->why_not = "undoing it is more work than is done for a message";
		return true;
	case UNDO_MEMORY:
		return false;
	}
	if (undo_runs(p->undo, state, body, &after_runs, &after_n) != UNDO_DONE) {
		out->why_not = "the body after cannot be had, a later recipe says";
		return true;
	}
	before_read = text_of(a, before_runs, before_n, &before);
	after_read = text_of(a, after_runs, after_n, &after);
	if (before_read == PAST_BAD || after_read == PAST_BAD) {
		out->why_not = "the body has too many lines to be shown";
		return true;
	}
	return before_read == PAST_DONE && after_read == PAST_DONE && compare(a, &p->recipes[state]->body, &before, &after, out);
}

void change_read(struct arena *a, const struct past *p, const struct header *h, struct slice body, size_t state, struct change *out)
{
	const struct field *const *fields;
	size_t n;

	*out = (struct change){ .why_not = NULL };
	if (!p->recipes[state])
		return;
	switch (undo_fields(p->undo, state + 1, S("from"), &fields, &n)) {
	case UNDO_DONE:
		break;
	case UNDO_LIMIT:
		out->why_not = "undoing it is more work than is done for a message";
		return;
	case UNDO_MEMORY:
	case UNDO_BAD:
	case UNDO_LOST:
		out->why_not = "the recipe copies fields that are not there";
		return;
	}
	if (!fields_read(a, p, h, state, out) || (p->recipes[state]->has_body && !body_read(a, p, body, state, out)))
		out->why_not = "it is too much to be shown";
}
