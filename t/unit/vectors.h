/*
 * vectors.h - the message suites of t/data (INDEX.json, messages, DNS as JSON) for tests that run them.
 * Suites that may not be copied are looked for in the folder HOPSEAL_VECTORS names.
 */
#ifndef VECTORS_H
#define VECTORS_H

#include <jansson.h>

#include "auth/dkim2/dkim2.h"

/* Whole file in the arena; empty: there is none. */
static inline struct slice vector_file(struct arena *a, const char *path)
{
	FILE *f = fopen(path, "rb");
	unsigned char *p;
	long n;

	if (!f)
		return SLICE_NONE;
	fseek(f, 0, SEEK_END);
	n = ftell(f);
	rewind(f);
	p = arena_take(a, (size_t)n);
	assert_non_null(p);
	assert_int_equal(fread(p, 1, (size_t)n, f), n);
	fclose(f);
	return slice_of(p, (size_t)n);
}

/* Folder of a suite: t/data first, then HOPSEAL_VECTORS. False: nowhere. */
static inline bool vector_folder(const char *suite, char *out, size_t room)
{
	const char *roots[2] = { getenv("SRCDIR"), getenv("HOPSEAL_VECTORS") };

	for (size_t i = 0; i < 2; i++) {
		char index[600];
		FILE *f;

		if (!roots[i])
			continue;
		snprintf(out, room, "%s%s/%s", roots[i], i ? "" : "/t/data", suite);
		snprintf(index, sizeof(index), "%s/INDEX.json", out);
		f = fopen(index, "rb");
		if (f) {
			fclose(f);
			return true;
		}
	}
	return false;
}

static inline json_t *vector_json(const char *folder, const char *name)
{
	char path[600];
	json_error_t error;
	json_t *j;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	j = json_load_file(path, JSON_ALLOW_NUL, &error);
	if (!j)
		fail_msg("%s: %s", path, error.text);
	return j;
}

static inline struct slice vector_text(const json_t *j)
{
	return json_is_string(j) ? slice_of(json_string_value(j), json_string_length(j)) : SLICE_NONE;
}

static inline struct keyrec *vector_keyrec(struct arena *a, const json_t *zone, struct slice name)
{
	char *key = arena_string(a, name);
	const json_t *entry = json_object_get(zone, key);
	struct slice txt[16];
	size_t n = 0;

	if (json_is_object(entry)) {
		bool slow = slice_eq(vector_text(json_object_get(entry, "error")), S("timeout"));

		return keyrec_new(slow ? DNS_TIMEOUT : DNS_SERVFAIL, NULL, 0, false);
	}
	for (; entry && n < json_array_size(entry) && n < 16; n++)
		txt[n] = vector_text(json_array_get(entry, n));
	return keyrec_new(n ? DNS_OK : DNS_NXDOMAIN, txt, n, false);
}

/* How a body arrives: at most `most` octets at a time, pseudo-random from `seed` unless that is 0. */
struct vector_cut {
	size_t most; /* 0: whole */
	uint64_t seed;
};

static inline size_t vector_piece(struct vector_cut *cut)
{
	if (!cut->seed)
		return cut->most;
	cut->seed = cut->seed * 6364136223846793005U + 1442695040888963407U;
	return (size_t)(cut->seed >> 33) % (cut->most + 1); /* an empty one is a piece too */
}

/* Verifies a message; everything lives in the arena. envelope NULL: none. */
static inline const struct dkim2_verdict *vector_verify_cut(struct arena *a, struct slice message,
    const struct dkim2_envelope *envelope, int64_t now, unsigned draft, const json_t *zone, struct vector_cut cut)
{
	size_t seen = 0, block = message.n, body = message.n, n;
	struct dkim2_clock clock = { now, 300 };
	const struct dkim2_verdict *verdict;
	struct header *h = ARENA_NEW(a, struct header);
	struct dkim2_verify *v;
	struct canon_body *c;
	const struct slice *names;
	struct fault f = { 0 };

	assert_non_null(h);
	header_end(message, &seen, &block, &body);
	assert_true(header_parse(a, slice_sub(message, 0, block), 10000, h, &f));
	v = dkim2_verify_new(a, h, envelope, clock, draft);
	assert_non_null(v);
	n = dkim2_verify_asks(v, &names);
	for (size_t i = n; i-- > 0;) {
		struct keyrec *rec = vector_keyrec(a, zone, names[i]);

		dkim2_verify_answer(v, i, rec);
		keyrec_drop(&rec);
	}
	c = canon_body_new(dkim2_verify_digests(v));
	assert_non_null(c);
	while (body < message.n) {
		struct slice piece = slice_sub(message, body, cut.most ? vector_piece(&cut) : SIZE_MAX);

		canon_body_add(c, piece);
		dkim2_verify_octets(v, piece);
		body += piece.n;
	}
	canon_body_end(c);
	dkim2_verify_body(v, c);
	canon_body_free(&c);
	verdict = dkim2_verify_verdict(v);
	dkim2_verify_release(v);
	return verdict;
}

/* The same, the body whole. */
static inline const struct dkim2_verdict *vector_verify(struct arena *a, struct slice message,
    const struct dkim2_envelope *envelope, int64_t now, unsigned draft, const json_t *zone)
{
	return vector_verify_cut(a, message, envelope, now, draft, zone, (struct vector_cut){ 0 });
}

#endif
