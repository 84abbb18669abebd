/*
 * undo_text.h - recipes as short text: "2-5 'literal' '' 7-7" copies lines 2 to 5, writes two lines, copies line 7.
 */
#ifndef UNDO_TEXT_H
#define UNDO_TEXT_H

#include "auth/dkim2/undo.h"
#include "test.h"

static inline struct recipe_steps steps_of(struct arena *a, const char *text)
{
	struct recipe_step *steps = ARENA_ARRAY(a, strlen(text) + 1, struct recipe_step);
	struct recipe_steps out = { steps, 0 };

	while (*text) {
		struct recipe_step *s = &steps[out.n];
		char *end;

		if (*text == ' ') {
			text++;
		} else if (*text == '\'') {
			struct slice *texts = ARENA_ARRAY(a, strlen(text), struct slice);

			for (; *text == '\''; text += text[0] == ' ' && text[1] == '\'') {
				end = strchr(text + 1, '\'');
				texts[s->count++] = slice_of(text + 1, (size_t)(end - text - 1));
				text = end + 1;
			}
			s->texts = texts;
			out.n++;
		} else {
			s->from = strtoull(text, &end, 10);
			s->count = strtoull(end + 1, &end, 10) + 1 - s->from;
			text = end;
			out.n++;
		}
	}
	return out;
}

/* NULL: no body part; "lost": b null. */
static inline const struct recipe *body_recipe(struct arena *a, const char *text)
{
	struct recipe *r = ARENA_NEW(a, struct recipe);

	r->body_lost = text && strcmp(text, "lost") == 0;
	r->has_body = text && !r->body_lost;
	if (r->has_body)
		r->body = steps_of(a, text);
	return r;
}

static inline struct header header_of(struct arena *a, const char *block)
{
	struct header h;
	struct fault f = { 0 };

	assert_true(header_parse(a, slice_str(block), 100000, &h, &f));
	return h;
}

static inline struct slice join(struct arena *a, const struct slice *runs, size_t n)
{
	size_t octets = 0;
	unsigned char *at, *to;

	for (size_t i = 0; i < n; i++)
		octets += runs[i].n;
	at = to = arena_take(a, octets);
	for (size_t i = 0; i < n; i++) {
		if (runs[i].n)
			memcpy(to, runs[i].at, runs[i].n);
		to += runs[i].n;
	}
	return slice_of(at, octets);
}

static inline const struct recipe *header_recipe(struct arena *a, const char *const fields[4][2])
{
	struct recipe *r = ARENA_NEW(a, struct recipe);
	struct recipe_field *to = ARENA_ARRAY(a, 4, struct recipe_field);

	for (; r->field_count < 4 && fields[r->field_count][0]; r->field_count++)
		to[r->field_count] = (struct recipe_field){ slice_str(fields[r->field_count][0]), steps_of(a, fields[r->field_count][1]) };
	r->fields = to;
	return r;
}

#endif
