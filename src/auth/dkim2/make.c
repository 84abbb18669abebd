#include <stdlib.h>

#include "auth/canon.h"
#include "auth/dkim2/diff.h"
#include "auth/dkim2/lines.h"
#include "base/limits.h"

enum { WORTH_OCTETS = 64 }; /* a common head or tail that is shorter is left to the diff, which may find it too short for a copy */

#define SCRATCH_OCTETS (SIZE_MAX / 2) /* bounded by LIMIT_DIFF_LINES and what both messages hold */

/* ---- steps from runs ---- */

static bool fits_literal(struct slice text)
{
	return slice_find(text, '\r') == text.n && slice_find(text, '\n') == text.n;
}

struct building {
	struct recipe_step *steps;
	size_t n, room;
	struct slice *texts;
	size_t text_n;
};

static void add_copy(struct building *b, uint64_t from, uint64_t count)
{
	struct recipe_step *last = b->n ? &b->steps[b->n - 1] : NULL;

	if (count == 0)
		return;
	if (last && !last->texts && last->from + last->count == from)
		last->count += count;
	else
		b->steps[b->n++] = (struct recipe_step){ .from = from, .count = count };
}

static enum make_state add_literals(struct building *b, const struct slice *texts, size_t n)
{
	struct slice *to = b->texts + b->text_n;

	for (size_t i = 0; i < n; i++) {
		if (!fits_literal(texts[i]))
			return MAKE_NEVER;
		to[i] = texts[i];
	}
	b->text_n += n;
	b->steps[b->n++] = (struct recipe_step){ .texts = to, .count = n };
	return MAKE_DONE;
}

/*
 * In:    texts are those of `before` as literals (NULL: none is needed); head and tail lines of both lists, which are copied, stand around them,
 *        numbers start at `number` behind the head
 */
static enum make_state steps_of(struct arena *a, const struct diff_run *runs, size_t run_n, const struct slice *texts, size_t n,
    uint64_t number, uint64_t head, uint64_t tail_from, uint64_t tail, struct recipe_steps *out)
{
	struct building b = { .room = 2 * run_n + 3 };
	enum make_state state = MAKE_DONE;
	size_t copied = 0, at = 0;

	for (size_t i = 0; i < run_n; i++)
		copied += runs[i].n;
	if (2 * (n - copied) + b.room > LIMIT_RECIPE_STEPS)
		return MAKE_BIG;
	b.steps = ARENA_ARRAY(a, b.room, struct recipe_step);
	b.texts = ARENA_ARRAY(a, n - copied, struct slice);
	if (!b.steps || !b.texts)
		return MAKE_MEMORY;
	add_copy(&b, 1, head);
	for (size_t i = 0; i < run_n && state == MAKE_DONE; i++) {
		if (at < runs[i].before)
			state = add_literals(&b, texts + at, runs[i].before - at);
		add_copy(&b, number + runs[i].now, runs[i].n);
		at = runs[i].before + runs[i].n;
	}
	if (state == MAKE_DONE && at < n)
		state = add_literals(&b, texts + at, n - at);
	add_copy(&b, tail_from, tail);
	if (state == MAKE_DONE)
		*out = (struct recipe_steps){ b.steps, b.n };
	return state;
}

/* ---- the body ---- */

static enum make_state middle(struct arena *a, struct arena *scratch, const struct lines *x, const struct lines *y,
    struct lines_common head, struct lines_common tail, struct recipe_steps *out, struct make_work *work)
{
	uint64_t old_n = lines_count(x, head.octets, x->octets - tail.octets);
	uint64_t now_n = lines_count(y, head.octets, y->octets - tail.octets);
	uint64_t shown = now_n <= LIMIT_DIFF_LINES ? now_n : 0; /* of the newer one, to the diff */
	uint64_t octets = x->octets - head.octets - tail.octets, above;
	const struct slice *old, *now;
	struct diff_run *runs;
	size_t n;

	work->lines += old_n + now_n;
	/* What most lists do: something above and below, nothing changed between. One copy, no diff. */
	if (octets >= WORTH_OCTETS && lines_within(x, head.octets, octets, y, head.octets, &above) && above + old_n <= now_n) {
		const struct diff_run all = { 0, (size_t)above, (size_t)old_n };

		return steps_of(a, &all, 1, NULL, (size_t)old_n, head.lines + 1, head.lines, head.lines + now_n + 1, tail.lines, out);
	}
	if (old_n > LIMIT_DIFF_LINES) {
		work->capped = true;
		return MAKE_BIG;
	}
	if (shown < now_n)
		work->capped = true;
	old = lines_index(scratch, a, x, head.octets, (size_t)old_n);
	now = lines_index(scratch, scratch, y, head.octets, (size_t)shown);
	if (!old || !now || !diff_runs(scratch, old, (size_t)old_n, now, (size_t)shown, head.lines + 1, work, &runs, &n))
		return MAKE_MEMORY;
	return steps_of(a, runs, n, old, (size_t)old_n, head.lines + 1, head.lines, head.lines + now_n + 1, tail.lines, out);
}

enum make_state make_body(struct arena *a, const struct slice *before, size_t before_runs, const struct slice *now, size_t now_runs,
    struct recipe_steps *out, struct make_work *work)
{
	struct lines x = lines_of(before, before_runs), y = lines_of(now, now_runs);
	struct lines_common head = lines_head(&x, &y), tail;
	enum make_state state;
	struct arena scratch;

	work->lines += head.lines;
	if (head.octets == x.octets && head.octets == y.octets)
		return MAKE_SAME;
	if (head.octets < WORTH_OCTETS)
		head = (struct lines_common){ 0, 0 };
	tail = lines_tail(&x, &y, head.octets);
	work->lines += tail.lines;
	if (tail.octets < WORTH_OCTETS)
		tail = (struct lines_common){ 0, 0 };
	arena_init(&scratch, SCRATCH_OCTETS);
	state = middle(a, &scratch, &x, &y, head, tail, out, work);
	arena_clear(&scratch);
	return state;
}

/* ---- the header ---- */

struct sorted {
	const struct field *field;
	size_t index;
};

static int by_name_bottom_up(const void *x, const void *y)
{
	const struct sorted *a = x, *b = y;
	int d = slice_icmp(a->field->name, b->field->name);

	return d ? d : a->index > b->index ? -1 : a->index < b->index;
}

/* The fields that are hashed, those of a name together, the lowest first. False: no memory. */
static bool sort_fields(struct arena *scratch, const struct dkim2_draft *draft, const struct header *h, struct sorted **out, size_t *n_out)
{
	struct sorted *list = ARENA_ARRAY(scratch, h->n, struct sorted);
	size_t n = 0;

	if (!list)
		return false;
	for (size_t i = 0; i < h->n; i++)
		if (!draft_unsigned(draft, h->fields[i].name))
			list[n++] = (struct sorted){ &h->fields[i], i };
	qsort(list, n, sizeof(*list), by_name_bottom_up);
	*out = list;
	*n_out = n;
	return true;
}

/* The value as the header hash sees it. */
static struct slice canonical(struct arena *a, const struct field *f)
{
	unsigned char *to = arena_take(a, f->name.n + f->value.n + CANON_MORE);

	return to ? slice_sub(slice_of(to, canon_relaxed_text(f, to) - 2), f->name.n + 1, SIZE_MAX) : SLICE_NONE;
}

/* The value as a literal: folds lose their CRLF. Borrowed when there are none. */
static struct slice unfolded(struct arena *a, const struct field *f)
{
	struct slice value = f->value;
	unsigned char *to;
	size_t n = 0;

	if (slice_find(value, '\r') == value.n)
		return value;
	to = arena_take(a, value.n);
	for (size_t i = 0; to && i < value.n; i++) {
		if (value.n - i >= 3 && value.at[i] == '\r' && value.at[i + 1] == '\n' && (value.at[i + 2] == ' ' || value.at[i + 2] == '\t'))
			i += 2;
		to[n++] = value.at[i];
	}
	return slice_of(to, n);
}

/* NULL: no memory. */
static struct slice *values(struct arena *a, const struct sorted *fields, size_t n, struct slice (*form)(struct arena *, const struct field *))
{
	struct slice *list = ARENA_ARRAY(a, n, struct slice);

	for (size_t i = 0; list && i < n; i++)
		list[i] = form(a, fields[i].field);
	return arena_failed(a) ? NULL : list;
}

static struct slice lower(struct arena *a, struct slice name)
{
	unsigned char *to = arena_take(a, name.n);

	for (size_t i = 0; to && i < name.n; i++)
		to[i] = ascii_lower(name.at[i]);
	return slice_of(to, to ? name.n : 0);
}

/* The fields of one name. MAKE_SAME: nothing to undo. */
static enum make_state one_name(struct arena *a, struct arena *scratch, const struct sorted *before, size_t before_n,
    const struct sorted *now, size_t now_n, struct recipe_field *out, struct make_work *work)
{
	struct slice *x = values(scratch, before, before_n, canonical), *y = values(scratch, now, now_n, canonical), *texts;
	struct slice name = (before_n ? before : now)->field->name;
	struct diff_run *runs;
	size_t n, same = 0;

	if (!x || !y)
		return MAKE_MEMORY;
	work->lines += before_n + now_n;
	while (same < before_n && same < now_n && slice_eq(x[same], y[same]))
		same++;
	if (same == before_n && same == now_n)
		return MAKE_SAME;
	if (name.n == 0)
		return MAKE_NEVER;
	texts = values(a, before, before_n, unfolded);
	out->name = lower(a, name);
	if (!texts || arena_failed(a) || !diff_runs(scratch, x, before_n, y, now_n, 1, work, &runs, &n))
		return MAKE_MEMORY;
	return steps_of(a, runs, n, texts, before_n, 1, 0, 0, 0, &out->steps);
}

static size_t same_name(const struct sorted *list, size_t n, struct slice name)
{
	size_t k = 0;

	while (k < n && slice_ieq(list[k].field->name, name))
		k++;
	return k;
}

static enum make_state all_names(struct arena *a, struct arena *scratch, const struct dkim2_draft *draft, const struct header *before,
    const struct header *now, const struct recipe_field **fields_out, size_t *n_out, struct make_work *work)
{
	struct recipe_field *fields = NULL;
	struct sorted *x, *y;
	size_t x_n, y_n, n = 0;

	if (!sort_fields(scratch, draft, before, &x, &x_n) || !sort_fields(scratch, draft, now, &y, &y_n))
		return MAKE_MEMORY;
	while (x_n || y_n) {
		struct slice name = !y_n || (x_n && slice_icmp(x->field->name, y->field->name) <= 0) ? x->field->name : y->field->name;
		size_t i = same_name(x, x_n, name), j = same_name(y, y_n, name);
		struct recipe_field field = { 0 };
		enum make_state state = one_name(a, scratch, x, i, y, j, &field, work);

		x += i;
		x_n -= i;
		y += j;
		y_n -= j;
		if (state == MAKE_SAME)
			continue;
		if (state != MAKE_DONE)
			return state;
		if (n == LIMIT_RECIPE_NAMES)
			return MAKE_BIG;
		if (!fields)
			fields = ARENA_ARRAY(a, LIMIT_RECIPE_NAMES, struct recipe_field);
		if (!fields)
			return MAKE_MEMORY;
		fields[n++] = field;
	}
	if (n == 0)
		return MAKE_SAME;
	*fields_out = fields;
	*n_out = n;
	return MAKE_DONE;
}

enum make_state make_header(struct arena *a, const struct dkim2_draft *draft, const struct header *before, const struct header *now,
    const struct recipe_field **fields_out, size_t *n_out, struct make_work *work)
{
	enum make_state state;
	struct arena scratch;

	arena_init(&scratch, SCRATCH_OCTETS);
	state = all_names(a, &scratch, draft, before, now, fields_out, n_out, work);
	arena_clear(&scratch);
	return state;
}

/* ---- both ---- */

/* Steps and literals; each literal may need a step of its own where text and other octets take turns. */
static size_t count_steps(const struct recipe_steps *s)
{
	size_t n = s->n;

	for (size_t i = 0; i < s->n; i++)
		if (s->steps[i].texts)
			n += 2 * (size_t)s->steps[i].count;
	return n;
}

static enum make_state fits(const struct recipe *r, size_t json_max)
{
	size_t steps = count_steps(&r->body);
	enum make_state state = MAKE_DONE;
	struct buf json;

	for (size_t i = 0; i < r->field_count; i++)
		steps += count_steps(&r->fields[i].steps);
	if (steps > LIMIT_RECIPE_STEPS)
		return MAKE_BIG;
	buf_init(&json, json_max);
	recipe_write(r, &json);
	if (buf_failed(&json))
		state = MAKE_BIG;
	buf_release(&json);
	return state;
}

enum make_state make_recipe(struct arena *a, const struct dkim2_draft *draft, const struct content *before, const struct content *now,
    size_t json_max, struct recipe *out)
{
	struct make_work work = { 0 };
	struct recipe r = { 0 };
	enum make_state header = make_header(a, draft, before->header, now->header, &r.fields, &r.field_count, &work), body;

	if (header != MAKE_DONE && header != MAKE_SAME)
		return header;
	body = make_body(a, before->body, before->runs, now->body, now->runs, &r.body, &work);
	if (body != MAKE_DONE && body != MAKE_SAME)
		return body;
	r.has_body = body == MAKE_DONE;
	if (header == MAKE_SAME && body == MAKE_SAME)
		return MAKE_SAME;
	header = fits(&r, json_max);
	if (header == MAKE_DONE)
		*out = r;
	return header;
}
