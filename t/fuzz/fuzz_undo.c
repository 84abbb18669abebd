/*
 * Up to three recipes, a NUL behind each, and the message they are applied to. Whole against cut, the hashes against what
 * is sent, and each body against a plain reading of spec section 6.3. The first octet: draft, recipes, a low ceiling; the second: how the
 * body is cut.
 */
#include "auth/canon.h"
#include "auth/dkim2/undo.h"
#include "base/buf.h"
#include "base/limits.h"
#include "fuzz.h"

enum { STATES = 4, SHA256 = 1U << DIGEST_SHA256 };

static bool left_out(struct slice name, const void *arg)
{
	return draft_unsigned(arg, name);
}

static struct undo *apply(struct arena *a, const struct dkim2_draft *draft, const struct header *h, const struct recipe *const *recipes,
    size_t n, uint64_t ceiling, struct slice body, size_t each)
{
	static const unsigned algs[STATES] = { SHA256, SHA256, SHA256, SHA256 };
	struct undo *u = undo_new(a, draft, h, recipes, algs, n, ceiling);

	WANT(u);
	for (size_t at = 0; at < body.n; at += each < body.n ? each : body.n)
		undo_body(u, slice_sub(body, at, each));
	undo_end(u);
	return u;
}

/* Whole and cut are the same to whoever asks. */
static void want_same(struct undo *u, struct undo *cut, size_t k)
{
	unsigned char one[DIGEST_OCTETS], two[DIGEST_OCTETS];
	struct slice x = SLICE_NONE, y = SLICE_NONE;
	enum undo_result r = undo_header_hash(u, k, DIGEST_SHA256, one);

	WANT(r == undo_header_hash(cut, k, DIGEST_SHA256, two) && r != UNDO_LOST && r != UNDO_MEMORY);
	WANT(r != UNDO_DONE || memcmp(one, two, 32) == 0);
	r = undo_body_hash(u, k, DIGEST_SHA256, &x);
	WANT(r == undo_body_hash(cut, k, DIGEST_SHA256, &y) && r != UNDO_MEMORY);
	WANT(slice_eq(x, y));
	WANT(k == 0 || undo_lines_changed(u, k) == undo_lines_changed(cut, k));
}

static void want_header(struct arena *a, struct undo *u, const struct dkim2_draft *draft, size_t k)
{
	unsigned char got[DIGEST_OCTETS], want[DIGEST_ALGS][DIGEST_OCTETS];
	enum undo_result r = undo_header_hash(u, k, DIGEST_SHA256, got);
	const struct header *h = undo_header(u, k);
	struct slice *names;
	size_t n, at = 0;

	WANT((h != NULL) == (r == UNDO_DONE));
	if (!h)
		return;
	WANT(canon_header(a, h, left_out, draft, SHA256, want));
	WANT(memcmp(got, want[DIGEST_SHA256], 32) == 0);
	for (size_t i = 0; i < h->n; at += h->fields[i++].raw.n)
		WANT(h->fields[i].raw.at == h->raw.at + at);
	WANT(at == h->raw.n);
	if (k == 0)
		return;
	WANT(undo_changed(u, k, &names, &n));
	for (size_t i = 0; i < n; i++)
		WANT(!undo_same(u, k, names[i]));
}

/* From one CRLF to the next. */
static bool next_line(struct slice *left, struct slice *line)
{
	if (left->n == 0)
		return false;
	for (size_t i = 0; i + 1 < left->n; i++) {
		if (left->at[i] == '\r' && left->at[i + 1] == '\n') {
			*line = slice_sub(*left, 0, i);
			*left = slice_sub(*left, i + 2, SIZE_MAX);
			return true;
		}
	}
	*line = *left;
	*left = SLICE_NONE;
	return true;
}

/* The body that the steps make of `now`; false: a copy is past its end. */
static bool plain(struct buf *out, struct slice now, const struct recipe_steps *steps)
{
	struct slice line = SLICE_NONE;
	uint64_t at = 0;

	for (size_t i = 0; i < steps->n; i++) {
		const struct recipe_step *s = &steps->steps[i];

		for (uint64_t k = 0; k < s->count; k++) {
			while (!s->texts && at < s->from + k) {
				if (!next_line(&now, &line))
					return false;
				at++;
			}
			buf_slice(out, s->texts ? s->texts[k] : line);
			buf_str(out, "\r\n");
		}
	}
	return true;
}

static void join(struct buf *out, struct undo *u, size_t k, struct slice body, enum undo_result want)
{
	struct slice *runs;
	size_t n;

	WANT(undo_runs(u, k, body, &runs, &n) == want);
	for (size_t i = 0; want == UNDO_DONE && i < n; i++)
		buf_slice(out, runs[i]);
}

static void want_body(struct undo *u, const struct recipe *r, size_t k, struct slice body)
{
	struct canon_body *c = canon_body_new(SHA256);
	struct slice hash = SLICE_NONE, none;
	enum undo_result result = undo_body_hash(u, k, DIGEST_SHA256, &hash), before = undo_body_hash(u, k - 1, DIGEST_SHA256, &none);
	struct buf now, then, want;

	WANT(c);
	buf_init(&now, SIZE_MAX / 2);
	buf_init(&then, SIZE_MAX / 2);
	buf_init(&want, SIZE_MAX / 2);
	join(&now, u, k - 1, body, before);
	join(&then, u, k, body, result);
	if (result == UNDO_DONE) {
		canon_body_add(c, buf_get(&then));
		canon_body_end(c);
		WANT(hash.n ? slice_eq(hash, canon_body_digest(c, DIGEST_SHA256)) : slice_eq(buf_get(&then), body));
	}
	if (before == UNDO_DONE && result != UNDO_LIMIT) {
		if (!r || (!r->has_body && !r->body_lost))
			WANT(result == UNDO_DONE && slice_eq(buf_get(&now), buf_get(&then)));
		else if (r->body_lost)
			WANT(result == UNDO_LOST);
		else if (plain(&want, buf_get(&now), &r->body))
			WANT(result == UNDO_DONE && slice_eq(buf_get(&want), buf_get(&then)));
		else
			WANT(result == UNDO_BAD);
	} else {
		WANT(result != UNDO_DONE || (before == UNDO_LOST && r && r->has_body));
	}
	buf_release(&now);
	buf_release(&then);
	buf_release(&want);
	canon_body_free(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	const struct dkim2_draft *draft;
	struct recipe parsed[STATES - 1];
	const struct recipe *recipes[STATES - 1];
	struct slice rest, json, body;
	struct undo *u, *cut;
	struct arena a;
	struct header h;
	struct fault f = { 0 };
	size_t count, seen = 0, block, behind;
	uint64_t ceiling;
	const char *why;

	if (n < 3)
		return 0;
	draft = draft_of(6 + (at[0] & 3));
	count = (at[0] >> 2) % STATES;
	ceiling = at[0] & 0x80 ? at[1] : UINT64_MAX;
	rest = slice_of(at + 2, n - 2);
	arena_init(&a, LIMIT_TX_ARENA);
	for (size_t k = 0; k < count; k++) {
		(void)slice_cut(&rest, '\0', &json);
		recipes[k] = json.n && recipe_parse(&a, draft, json, &parsed[k], &why) == RECIPE_OK ? &parsed[k] : NULL;
	}
	block = behind = rest.n;
	header_end(rest, &seen, &block, &behind);
	body = slice_sub(rest, behind, SIZE_MAX);
	if (header_parse(&a, slice_sub(rest, 0, block), 100, &h, &f)) {
		u = apply(&a, draft, &h, recipes, count, ceiling, body, SIZE_MAX);
		cut = apply(&a, draft, &h, recipes, count, ceiling, body, at[1] ? at[1] : 1);
		for (size_t k = 0; k <= count; k++) {
			want_same(u, cut, k);
			want_header(&a, u, draft, k);
			if (k)
				want_body(u, recipes[k - 1], k, body);
		}
		undo_release(u);
		undo_release(cut);
	}
	WANT(!arena_failed(&a));
	arena_clear(&a);
	return 0;
}
