#include <stdlib.h>

#include "auth/canon.h"

static bool form_named(struct slice name, enum canon_form *out)
{
	*out = slice_eq(name, S("relaxed")) ? CANON_RELAXED : CANON_SIMPLE;
	return *out == CANON_RELAXED || slice_eq(name, S("simple"));
}

bool canon_forms(struct slice text, enum canon_form *header_out, enum canon_form *body_out)
{
	struct slice header;

	if (!slice_cut(&text, '/', &header))
		text = S("simple");
	return form_named(header, header_out) && form_named(text, body_out);
}

void canon_sink_init(struct canon_sink *s, struct digest *const to[DIGEST_ALGS])
{
	memcpy(s->to, to, sizeof(s->to));
	s->keep = NULL;
	s->n = 0;
}

void canon_sink_flush(struct canon_sink *s)
{
	for (unsigned alg = 0; alg < DIGEST_ALGS; alg++)
		if (s->to[alg])
			digest_add(s->to[alg], slice_of(s->held, s->n));
	if (s->keep)
		buf_add(s->keep, s->held, s->n);
	s->n = 0;
}

static void put(struct canon_sink *s, const unsigned char *at, size_t n)
{
	while (n > CANON_SINK_OCTETS - s->n) {
		size_t part = CANON_SINK_OCTETS - s->n;

		memcpy(s->held + s->n, at, part);
		s->n = CANON_SINK_OCTETS;
		canon_sink_flush(s);
		at += part;
		n -= part;
	}
	if (n)
		memcpy(s->held + s->n, at, n);
	s->n += n;
}

static void put_name(struct canon_sink *s, struct slice name)
{
	if (name.n > CANON_SINK_OCTETS - s->n)
		canon_sink_flush(s);
	if (name.n > CANON_SINK_OCTETS) { /* longer than any real one */
		for (size_t i = 0; i < name.n; i++) {
			unsigned char c = ascii_lower(name.at[i]);

			put(s, &c, 1);
		}
		return;
	}
	for (size_t i = 0; i < name.n; i++)
		s->held[s->n + i] = ascii_lower(name.at[i]);
	s->n += name.n;
}

/* SP, HTAB, or the CRLF of a fold: what stands at value.at[i] and how many octets of it. 0: none of these. */
static size_t blank_at(struct slice value, size_t i)
{
	unsigned char c = value.at[i];

	if (c == ' ' || c == '\t')
		return 1;
	if (c == '\r' && value.n - i >= 3 && value.at[i + 1] == '\n' && (value.at[i + 2] == ' ' || value.at[i + 2] == '\t'))
		return 3;
	return 0;
}

/* The next run of octets without white space, from *i on; *i is behind it. False: there is none. */
static bool next_run(struct slice value, size_t *i, struct slice *run_out)
{
	size_t from, skip;

	while (*i < value.n && (skip = blank_at(value, *i)) > 0)
		*i += skip;
	if (*i == value.n)
		return false;
	from = *i;
	do
		++*i;
	while (*i < value.n && value.at[*i] != ' ' && value.at[*i] != '\t' && value.at[*i] != '\r');
	*run_out = slice_of(value.at + from, *i - from);
	return true;
}

/* Where the text so far stands: was there any, and white space behind it? */
struct relaxing {
	bool some, gap;
};

/* A further part of a value. */
static void put_relaxed(struct canon_sink *s, struct slice value, struct relaxing *so_far)
{
	struct slice run;
	size_t i = 0;
	size_t behind = 0; /* where the run before ended */

	while (next_run(value, &i, &run)) {
		so_far->gap |= run.at != value.at + behind;
		if (so_far->gap && so_far->some)
			put(s, (const unsigned char *)" ", 1);
		put(s, run.at, run.n);
		behind = i;
		*so_far = (struct relaxing){ .some = true };
	}
	so_far->gap |= behind != value.n;
}

static void put_bare(struct canon_sink *s, struct slice value)
{
	struct slice run;
	size_t i = 0;

	while (next_run(value, &i, &run))
		put(s, run.at, run.n);
}

void canon_relaxed(struct canon_sink *s, const struct field *f)
{
	struct relaxing so_far = { 0 };

	put_name(s, f->name);
	put(s, (const unsigned char *)":", 1);
	put_relaxed(s, f->value, &so_far);
	put(s, (const unsigned char *)"\r\n", 2);
}

void canon_signature(struct canon_sink *s, enum canon_form form, const struct field *f, struct slice hole)
{
	struct slice whole = form == CANON_SIMPLE ? f->raw : f->value, before = whole, behind = SLICE_NONE;
	struct relaxing so_far = { 0 };

	if (form == CANON_SIMPLE && slice_ends(whole, S("\r\n")))
		before = whole = slice_sub(whole, 0, whole.n - 2);
	if (hole.n) {
		size_t at = (size_t)(hole.at - whole.at);

		before = slice_sub(whole, 0, at);
		behind = slice_sub(whole, at + hole.n, SIZE_MAX);
	}
	if (form == CANON_SIMPLE) {
		put(s, before.at, before.n);
		put(s, behind.at, behind.n);
		return;
	}
	put_name(s, f->name);
	put(s, (const unsigned char *)":", 1);
	put_relaxed(s, before, &so_far);
	put_relaxed(s, behind, &so_far);
}

void canon_field(struct canon_sink *s, enum canon_form form, const struct field *f)
{
	if (form == CANON_SIMPLE)
		put(s, f->raw.at, f->raw.n);
	else
		canon_relaxed(s, f);
}

size_t canon_relaxed_text(const struct field *f, unsigned char *out)
{
	struct slice run;
	size_t n = 0, i = 0, behind = 0;

	for (; n < f->name.n; n++)
		out[n] = ascii_lower(f->name.at[n]);
	out[n++] = ':';
	while (next_run(f->value, &i, &run)) {
		if (behind && run.at != f->value.at + behind)
			out[n++] = ' ';
		memcpy(out + n, run.at, run.n);
		n += run.n;
		behind = i;
	}
	out[n++] = '\r';
	out[n++] = '\n';
	return n;
}

void canon_bare(struct canon_sink *s, const struct field *f, const struct slice *holes, size_t hole_count)
{
	struct slice left = f->value;

	put_name(s, f->name);
	put(s, (const unsigned char *)":", 1);
	for (size_t i = 0; i < hole_count; i++) {
		size_t at = (size_t)(holes[i].at - left.at);

		put_bare(s, slice_sub(left, 0, at));
		left = slice_sub(left, at + holes[i].n, SIZE_MAX);
	}
	put_bare(s, left);
	put(s, (const unsigned char *)"\r\n", 2);
}

struct sorted {
	struct slice name;
	size_t index;
};

static int by_name_bottom_up(const void *x, const void *y)
{
	const struct sorted *a = x, *b = y;
	int d = slice_icmp(a->name, b->name);

	return d ? d : a->index > b->index ? -1 : a->index < b->index;
}

bool canon_header(struct arena *a, const struct header *h, bool (*left_out)(struct slice name, const void *arg),
    const void *arg, unsigned algs, unsigned char out[DIGEST_ALGS][DIGEST_OCTETS])
{
	struct sorted *sorted = ARENA_ARRAY(a, h->n, struct sorted);
	struct digest *to[DIGEST_ALGS] = { NULL };
	struct canon_sink sink;
	size_t n = 0;
	bool ok = sorted != NULL;

	for (unsigned alg = 0; ok && alg < DIGEST_ALGS; alg++) {
		if (algs & 1U << alg) {
			to[alg] = digest_new((enum digest_alg)alg);
			ok = to[alg] != NULL;
		}
	}
	if (ok) {
		for (size_t i = 0; i < h->n; i++)
			if (!left_out(h->fields[i].name, arg))
				sorted[n++] = (struct sorted){ h->fields[i].name, i };
		qsort(sorted, n, sizeof(*sorted), by_name_bottom_up);
		canon_sink_init(&sink, to);
		for (size_t i = 0; i < n; i++)
			canon_relaxed(&sink, &h->fields[sorted[i].index]);
		canon_sink_flush(&sink);
	}
	for (unsigned alg = 0; alg < DIGEST_ALGS; alg++) {
		if (ok && to[alg])
			digest_end(to[alg], out[alg]);
		digest_free(&to[alg]);
	}
	return ok;
}
