/*
 * dkim_world.h - a message is judged by DKIM: parsed, hashed, its keys looked up in a zone, one round of answers after the other.
 */
#ifndef DKIM_WORLD_H
#define DKIM_WORLD_H

#include "auth/dkim1/dkim.h"
#include "zone.h"

struct dkim_way {
	size_t piece;     /* octets of the body at a time; 0: whole */
	size_t questions; /* out: that were asked */
};

static inline struct dkim_terms dkim_usual_terms(int64_t now)
{
	return (struct dkim_terms){ .signatures_max = 10, .now = now, .future_s = 300 };
}

/* Everything lives in the arena. */
static inline const struct dkim_verdict *dkim_judge(struct arena *a, struct slice message, const struct dkim_terms *terms,
    const struct answers *zone, struct dkim_way *way)
{
	struct canon_body *body = canon_body_new(0);
	struct header *h = ARENA_NEW(a, struct header);
	struct asks *asks = asks_new(a, 60);
	size_t seen = 0, block = message.n, at = message.n;
	const struct dkim_verdict *verdict;
	struct fault f = { 0 };
	struct dkim *d;

	assert_true(body && h && asks);
	header_end(message, &seen, &block, &at);
	assert_true(header_parse(a, slice_sub(message, 0, block), 20000, h, &f));
	d = dkim_new(a, asks, h, field_index_new(a, h), terms);
	assert_non_null(d);
	dkim_body_wants(d, body);
	while (at < message.n) {
		struct slice piece = slice_sub(message, at, way && way->piece ? way->piece : SIZE_MAX);

		canon_body_add(body, piece);
		at += piece.n;
	}
	canon_body_end(body);
	while (!dkim_step(d, body))
		assert_true(zone_answer(zone, a, asks) > 0);
	verdict = dkim_verdict(d);
	if (way)
		way->questions = asks_count(asks);
	dkim_release(d);
	canon_body_free(&body);
	asks_release(asks);
	return verdict;
}

#endif
