/* What undoing may cost: limits that do not depend on how the body is cut, and work that grows with body plus recipes. */
#include "base/buf.h"
#include "base/limits.h"
#include "undo_text.h"

enum { SHA256 = 1U << DIGEST_SHA256 };

static struct slice fill(struct arena *a, size_t n)
{
	unsigned char *at = arena_take(a, n);

	for (size_t i = 0; i < n; i++) /* lines of 64 octets */
		at[i] = i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : 'x';
	return slice_of(at, n);
}

/* ---- limits ---- */

/* Results of states 1 to n of a body, fed in pieces of `each` octets, as digits. */
static void results(const char *const *texts, size_t n, struct slice body, size_t each, uint64_t ceiling, char out[8])
{
	const struct recipe *recipes[6];
	unsigned algs[7];
	struct arena a;
	struct header h;
	struct undo *u;
	struct slice got;

	arena_init(&a, SIZE_MAX);
	h = header_of(&a, "");
	for (size_t k = 0; k <= n; k++)
		algs[k] = SHA256;
	for (size_t k = 0; k < n; k++)
		recipes[k] = body_recipe(&a, texts[k]);
	u = undo_new(&a, draft_of(8), &h, recipes, algs, n, ceiling);
	for (size_t at = 0; at < body.n; at += each)
		undo_body(u, slice_sub(body, at, each));
	undo_end(u);
	for (size_t k = 1; k <= n; k++)
		out[k - 1] = (char)('0' + undo_body_hash(u, k, DIGEST_SHA256, &got));
	out[n] = '\0';
	undo_release(u);
	arena_clear(&a);
}

/* 100 lines of 64 octets; states hold all of them, half, half, all that is left and a bit, ... */
static void test_ceiling(void **state)
{
	static const char *const texts[][5] = {
		{ "1-100 'x'", "1-50", "2-50", "'lit' 1-40", "1-1" },
		{ "51-100 'x'", "1-50", "2-50", "'lit' 1-40", "1-1" },
		{ "1-50 'x'", "2-51", "lost", "'lit' 'lit'", "1-1" },
		{ "1-100", "1-100", "1-101", "1-100", "1-1" },
		{ "1-101", "1-100", "1-99", "1-100", "1-1" },
	};
	const size_t pieces[] = { 1, 7, 63, 64, 65, 1000, SIZE_MAX / 2 };
	char whole[8], cut[8], before[8];
	struct arena a;
	struct slice body;

	(void)state;
	arena_init(&a, SIZE_MAX);
	body = fill(&a, 6400);
	for (size_t t = 0; t < sizeof(texts) / sizeof(texts[0]); t++) {
		memset(before, '0' + UNDO_LIMIT, sizeof(before));
		for (uint64_t ceiling = 0; ceiling < 20000; ceiling += ceiling < 200 || ceiling % 3203 < 70 ? 1 : 61) {
			results(texts[t], 5, body, SIZE_MAX / 2, ceiling, whole);
			for (size_t k = 0; k < 5; k++) { /* a higher ceiling takes nothing away */
				if (whole[k] == '0' + UNDO_LIMIT)
					assert_int_equal(before[k], '0' + UNDO_LIMIT);
				before[k] = whole[k];
			}
			if (ceiling % 5 == 0)
				for (size_t p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++) {
					results(texts[t], 5, body, pieces[p], ceiling, cut);
					assert_string_equal(cut, whole);
				}
		}
	}
	/* to the octet: 6400 and 3, then 50 lines */
	results(texts[0], 2, body, 1000, 6402, whole);
	assert_string_equal(whole, "33");
	results(texts[0], 2, body, 1000, 6403, whole);
	assert_string_equal(whole, "03");
	results(texts[0], 2, body, 1000, 6403 + 3199, whole);
	assert_string_equal(whole, "03");
	results(texts[0], 2, body, 1000, 6403 + 3200, whole);
	assert_string_equal(whole, "00");
	arena_clear(&a);
}

/* The body of one state, `lines` literals of 1022 octets and CRLF, over a received one of n octets. */
static enum undo_result literals(size_t lines, size_t n, size_t each)
{
	struct recipe_step step;
	struct recipe r = { .has_body = true, .body = { &step, 1 } };
	const struct recipe *recipes[1] = { &r };
	const unsigned algs[2] = { 0, SHA256 };
	enum undo_result result;
	struct arena a;
	struct slice *texts, body, got;
	struct header h;
	struct undo *u;

	arena_init(&a, SIZE_MAX);
	h = header_of(&a, "");
	texts = ARENA_ARRAY(&a, lines, struct slice);
	texts[0] = fill(&a, 1022);
	for (size_t i = 1; i < lines; i++)
		texts[i] = texts[0];
	step = (struct recipe_step){ .texts = texts, .count = lines };
	body = fill(&a, n);
	u = undo_new(&a, draft_of(9), &h, recipes, algs, 1, UINT64_MAX);
	for (size_t at = 0; at < n; at += each)
		undo_body(u, slice_sub(body, at, each));
	undo_end(u);
	result = undo_body_hash(u, 1, DIGEST_SHA256, &got);
	assert_true(undo_work(u) < (uint64_t)LIMIT_UNDO_BODY + 3 * (n + LIMIT_UNDO_LEAST)); /* more is not hashed */
	undo_release(u);
	arena_clear(&a);
	return result;
}

static void test_body_limit(void **state)
{
	const size_t least = LIMIT_UNDO_LEAST / 1024, most = LIMIT_UNDO_BODY / 1024;

	(void)state;
	assert_int_equal(literals(least, 0, 1), UNDO_DONE);
	assert_int_equal(literals(least + 1, 0, 1), UNDO_LIMIT);
	assert_int_equal(literals(least + 1, 65536, 7), UNDO_LIMIT);
	assert_int_equal(literals(least + 1, 65536 + 256, 7), UNDO_DONE);
	assert_int_equal(literals(least + 2, 65536 + 256, 65536), UNDO_LIMIT);
	assert_int_equal(literals(most, 1024 * most / 4, 1024 * most), UNDO_DONE);
	assert_int_equal(literals(most + 1, 1024 * most / 4 + 1024, 1024 * most), UNDO_LIMIT);
	assert_int_equal(literals(2 * most, 1024 * most, 100000), UNDO_LIMIT);
}

static void test_header_limit(void **state)
{
	struct recipe_step step, all;
	struct recipe_field field = { S("comments"), { &step, 1 } }, again = { S("comments"), { &all, 1 } };
	struct recipe r = { .fields = &field, .field_count = 1 }, copies = { .fields = &again, .field_count = 1 };
	const struct recipe *recipes[50] = { &r };
	const unsigned algs[51] = { 0 };
	unsigned char hash[DIGEST_OCTETS];
	struct slice *texts;
	struct arena a;
	struct header h;
	struct undo *u;

	(void)state;
	arena_init(&a, SIZE_MAX);
	h = header_of(&a, "A: b\r\n");
	texts = ARENA_ARRAY(&a, 30000, struct slice);
	/* "comments:" and CRLF are 11 octets: what is written may be this many */
	step = (struct recipe_step){ .texts = texts, .count = LIMIT_UNDO_LEAST / 11 };
	u = undo_new(&a, draft_of(9), &h, recipes, algs, 1, UINT64_MAX);
	assert_int_equal(undo_header_hash(u, 1, DIGEST_SHA256, hash), UNDO_DONE);
	undo_release(u);
	step.count++;
	u = undo_new(&a, draft_of(9), &h, recipes, algs, 1, UINT64_MAX);
	assert_int_equal(undo_header_hash(u, 0, DIGEST_SHA256, hash), UNDO_DONE);
	assert_int_equal(undo_header_hash(u, 1, DIGEST_SHA256, hash), UNDO_LIMIT);
	undo_release(u);
	/* fields of all states together */
	step.count = LIMIT_UNDO_FIELDS / 50;
	all = (struct recipe_step){ .from = 1, .count = LIMIT_UNDO_FIELDS / 50 };
	for (size_t k = 1; k < 50; k++)
		recipes[k] = &copies;
	u = undo_new(&a, draft_of(9), &h, recipes, algs, 50, UINT64_MAX);
	assert_int_equal(undo_header_hash(u, 50, DIGEST_SHA256, hash), UNDO_DONE);
	undo_release(u);
	step.count++;
	u = undo_new(&a, draft_of(9), &h, recipes, algs, 50, UINT64_MAX);
	assert_int_equal(undo_header_hash(u, 49, DIGEST_SHA256, hash), UNDO_DONE);
	assert_int_equal(undo_header_hash(u, 50, DIGEST_SHA256, hash), UNDO_LIMIT);
	undo_release(u);
	arena_clear(&a);
}

/* Every other line of the state before: each is a run of its own. */
static enum undo_result runs_of_lines(size_t first, size_t second)
{
	struct recipe r[2];
	const struct recipe *recipes[2] = { &r[0], &r[1] };
	const unsigned algs[3] = { 0 };
	enum undo_result result;
	struct slice none;
	struct arena a;
	struct header h;
	struct undo *u;

	arena_init(&a, SIZE_MAX);
	h = header_of(&a, "");
	for (size_t k = 0; k < 2; k++) {
		size_t n = k ? second : first;
		struct recipe_step *steps = ARENA_ARRAY(&a, n, struct recipe_step);

		for (size_t i = 0; i < n; i++)
			steps[i] = (struct recipe_step){ .from = k ? i + 1 : 2 * i + 1, .count = 1 };
		r[k] = (struct recipe){ .has_body = true, .body = { steps, n } };
	}
	u = undo_new(&a, draft_of(9), &h, recipes, algs, 2, UINT64_MAX);
	assert_non_null(u);
	result = undo_body_hash(u, 2, DIGEST_SHA256, &none); /* as far as it is known without a body */
	undo_release(u);
	arena_clear(&a);
	return result;
}

static void test_piece_limit(void **state)
{
	const size_t half = LIMIT_UNDO_PIECES / 2;

	(void)state;
	assert_int_equal(runs_of_lines(half, half), UNDO_DONE);
	assert_int_equal(runs_of_lines(half + 1, half), UNDO_LIMIT);
	assert_int_equal(runs_of_lines(half, half + 1), UNDO_BAD); /* there are not so many */
	assert_int_equal(runs_of_lines(2 * half + 1, 1), UNDO_LIMIT);
}

/* All headers that are hashed: 64 times what came, though a recipe may write four times that and the next ones keep it. */
static void test_headers_limit(void **state)
{
	struct slice texts[4];
	struct recipe_step step = { .texts = texts, .count = 4 };
	struct recipe_field field = { S("comments"), { &step, 1 } };
	struct recipe r = { .fields = &field, .field_count = 1 };
	const struct recipe *recipes[50] = { &r };
	const unsigned algs[51] = { 0 };
	unsigned char hash[DIGEST_OCTETS];
	size_t n = 1 << 20, fits;
	struct arena a;
	struct header h;
	struct undo *u;
	char *text;

	(void)state;
	arena_init(&a, SIZE_MAX);
	text = arena_take(&a, n + 1);
	memset(text, 'x', n);
	memcpy(text, "A:", 2);
	memcpy(text + n - 2, "\r\n", 2);
	h = header_of(&a, text);
	for (size_t i = 0; i < 4; i++)
		texts[i] = slice_of(text + 2, n - 20);
	fits = 64 * n / (n + 4 * (n - 20 + 11));
	u = undo_new(&a, draft_of(9), &h, recipes, algs, 50, UINT64_MAX);
	assert_int_equal(undo_header_hash(u, fits, DIGEST_SHA256, hash), UNDO_DONE);
	assert_int_equal(undo_header_hash(u, fits + 1, DIGEST_SHA256, hash), UNDO_LIMIT);
	undo_release(u);
	recipes[0] = NULL; /* as it came it may be in every one of them */
	u = undo_new(&a, draft_of(9), &h, recipes, algs, 50, UINT64_MAX);
	assert_int_equal(undo_header_hash(u, 50, DIGEST_SHA256, hash), UNDO_DONE);
	undo_release(u);
	arena_clear(&a);
}

/* ---- cost ---- */

/* Work for a body of so many lines, undone `states` times by `steps` steps each, and as many fields and header steps. */
static uint64_t work(size_t lines, size_t steps, size_t fields, size_t states)
{
	const struct recipe *recipes[50];
	unsigned algs[51] = { 0 };
	unsigned char hash[DIGEST_OCTETS];
	struct recipe_step *body, *of;
	struct recipe_field *field;
	struct slice text = S("y"), got;
	struct recipe *r;
	struct header h;
	struct arena a;
	struct undo *u;
	struct buf block;
	uint64_t done;

	arena_init(&a, SIZE_MAX);
	buf_init(&block, SIZE_MAX / 2);
	for (size_t i = 0; i < fields; i++)
		buf_str(&block, "Comments: the same\r\n");
	h = header_of(&a, arena_string(&a, buf_get(&block)));
	buf_release(&block);
	/* turn by turn a line that stays and one that is replaced; then all the rest */
	body = ARENA_ARRAY(&a, steps, struct recipe_step);
	of = ARENA_ARRAY(&a, steps, struct recipe_step);
	for (size_t i = 0; i < steps; i++) {
		bool rest = i + 2 >= steps;

		body[i] = of[i] = (struct recipe_step){ .texts = &text, .count = 1 };
		if (i % 2)
			continue;
		body[i] = (struct recipe_step){ .from = i + 1, .count = rest ? lines - i : 1 };
		of[i] = (struct recipe_step){ .from = i + 1, .count = rest ? fields - i : 1 };
	}
	if (steps % 2 == 0) { /* keep the number of lines: the last literal takes the place of the last line */
		body[steps - 2].count--;
		of[steps - 2].count--;
	}
	field = ARENA_NEW(&a, struct recipe_field);
	*field = (struct recipe_field){ S("comments"), { of, steps } };
	r = ARENA_NEW(&a, struct recipe);
	*r = (struct recipe){ .fields = field, .field_count = 1, .has_body = true, .body = { body, steps } };
	for (size_t k = 0; k < states; k++) {
		recipes[k] = r;
		algs[k + 1] = SHA256;
	}
	u = undo_new(&a, draft_of(9), &h, recipes, algs, states, UINT64_MAX);
	for (size_t k = 0; k <= states; k++)
		assert_int_equal(undo_header_hash(u, k, DIGEST_SHA256, hash), UNDO_DONE);
	undo_body(u, fill(&a, lines * 64));
	undo_end(u);
	assert_int_equal(undo_body_hash(u, states, DIGEST_SHA256, &got), UNDO_DONE);
	done = undo_work(u);
	undo_release(u);
	arena_clear(&a);
	return done;
}

/* Twice the input is at most twice the work, and a bit. */
static void want_linear(const char *what, uint64_t one, uint64_t two, uint64_t four)
{
	if (two > one * 2 + one / 10 || four > two * 2 + two / 10)
		fail_msg("%s: %u, %u, %u", what, (unsigned)one, (unsigned)two, (unsigned)four);
}

static void test_cost(void **state)
{
	uint64_t few, many;

	(void)state;
	want_linear("body", work(4000, 100, 200, 4), work(8000, 100, 200, 4), work(16000, 100, 200, 4));
	want_linear("steps", work(9000, 1000, 9000, 4), work(9000, 2000, 9000, 4), work(9000, 4000, 9000, 4));
	want_linear("fields", work(100, 10, 2000, 4), work(100, 10, 4000, 4), work(100, 10, 8000, 4));
	want_linear("states", work(2000, 500, 1000, 12), work(2000, 500, 1000, 24), work(2000, 500, 1000, 48));
	/* body and recipes add up, they do not multiply: 16 times the steps in 16 times the body */
	few = work(1000, 100, 1000, 2);
	many = work(16000, 1600, 16000, 2);
	assert_true(many < 17 * few);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ceiling),
		cmocka_unit_test(test_body_limit),
		cmocka_unit_test(test_header_limit),
		cmocka_unit_test(test_headers_limit),
		cmocka_unit_test(test_piece_limit),
		cmocka_unit_test(test_cost),
	};

	return RUN_TESTS(tests);
}
