/* Earlier states of a message: rows of the spec, then random recipes against a second, plain reading of sections 6.2 and 6.3. */
#include "base/buf.h"
#include "undo_text.h"

enum { BOTH = 1U << DIGEST_SHA256 | 1U << DIGEST_SHA512, SHA256 = 1U << DIGEST_SHA256 };

static uint64_t seed;

static uint64_t any(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

static void want_body_hash(struct undo *u, size_t state, enum digest_alg alg, struct slice body)
{
	struct canon_body *c = canon_body_new(1U << alg);
	struct slice got = SLICE_NONE;

	canon_body_add(c, body);
	canon_body_end(c);
	assert_int_equal(undo_body_hash(u, state, alg, &got), UNDO_DONE);
	WANT_SLICE(got, canon_body_digest(c, alg));
	canon_body_free(&c);
}

/* ---- bodies ---- */

struct body_row {
	const char *name, *body, *recipes[4];
	const char *want[4]; /* of states 1..; "bad", "lost", "same": as received */
	uint64_t changed[4];
};

static const struct body_row body_rows[] = {
	{ "a footer is taken off (spec 5.5)", "Hello\r\nWorld\r\n--\r\nfooter\r\n", { "1-2" }, { "Hello\r\nWorld\r\n" }, { 2 } },
	{ "no steps are an empty body", "Hello\r\n", { "" }, { "" }, { 1 } },
	{ "an empty body has no lines", "", { "1-1" }, { "bad" }, { 0 } },
	{ "an empty body can be filled", "", { "'a' 'b'" }, { "a\r\nb\r\n" }, { 2 } },
	{ "lines and literals take turns", "1\r\n2\r\n3\r\n4\r\n", { "1-1 'x' '' 3-4 'y'" }, { "1\r\nx\r\n\r\n3\r\n4\r\ny\r\n" }, { 4 } },
	{ "a line past the end", "1\r\n2\r\n", { "1-3" }, { "bad" }, { 0 } },
	{ "a line far past the end", "1\r\n2\r\n", { "1-1 9223372036854775807-9223372036854775807" }, { "bad" }, { 0 } },
	{ "a last line without CRLF is a line", "1\r\n2", { "2-2" }, { "2\r\n" }, { 1 } },
	{ "a last line without CRLF gets one", "1\r\n2", { "1-2 'x'" }, { "1\r\n2\r\nx\r\n" }, { 1 } },
	{ "a body of one open line", "1", { "1-1" }, { "1\r\n" }, { 0 } },
	{ "a line behind an open one", "1\r\n2", { "3-3" }, { "bad" }, { 0 } },
	{ "a bare LF ends no line", "1\n2\r\n3\r\n", { "1-1" }, { "1\n2\r\n" }, { 1 } },
	{ "a bare CR ends no line", "1\r2\r\r\n3\r\n", { "1-1" }, { "1\r2\r\r\n" }, { 1 } },
	{ "a CR at the very end ends no line", "1\r\n2\r", { "2-2" }, { "2\r\r\n" }, { 1 } },
	{ "empty lines at the end can be copied", "1\r\n\r\n\r\n", { "1-3 'x'" }, { "1\r\n\r\n\r\nx\r\n" }, { 1 } },
	{ "empty lines at the end need not be", "1\r\n\r\n\r\n", { "1-1 'x'" }, { "1\r\nx\r\n" }, { 1 } },
	{ "an empty line is not nothing", "\r\n", { "1-1 'x'" }, { "\r\nx\r\n" }, { 1 } },
	{ "a recipe without a body part", "1\r\n2\r\n", { NULL, "1-1", NULL }, { "same", "1\r\n", "1\r\n" }, { 0, 1, 0 } },
	{ "a copy of a literal", "1\r\n2\r\n", { "1-1 'a' 'b' 'c' 2-2", "2-3 5-5" }, { "1\r\na\r\nb\r\nc\r\n2\r\n", "a\r\nb\r\n2\r\n" }, { 3, 2 } },
	{ "past the end of a state in between", "1\r\n2\r\n3\r\n", { "1-2", "1-3" }, { "1\r\n2\r\n", "bad" }, { 1, 0 } },
	{ "what follows from a bad state is bad", "1\r\n2\r\n", { "1-3", "1-1", "'x'" }, { "bad", "bad", "bad" }, { 0 } },
	{ "a lost body, until a recipe needs none", "1\r\n", { "lost", "1-1", "'x'", "1-1" }, { "lost", "lost", "x\r\n", "x\r\n" }, { 0, 0, 0, 0 } },
	{ "a lost body, and no body part", "1\r\n", { "lost", NULL, "" }, { "lost", "lost", "" }, { 0 } },
};

static void run_body_row(const struct body_row *row, size_t first, size_t second)
{
	struct slice body = slice_str(row->body), *runs, got;
	const struct recipe *recipes[4];
	unsigned algs[5] = { 0, SHA256, BOTH, SHA256, BOTH };
	struct arena a;
	struct header h;
	struct undo *u;
	size_t n = 0, run_count;

	arena_init(&a, SIZE_MAX);
	h = header_of(&a, "");
	for (; n < 4 && row->want[n]; n++)
		recipes[n] = body_recipe(&a, row->recipes[n]);
	u = undo_new(&a, draft_of(8), &h, recipes, algs, n, UINT64_MAX);
	assert_non_null(u);
	undo_body(u, slice_sub(body, 0, first));
	undo_body(u, slice_sub(body, first, second - first));
	undo_body(u, slice_sub(body, second, SIZE_MAX));
	undo_end(u);
	for (size_t k = 1; k <= n; k++) {
		const char *want = row->want[k - 1];
		enum undo_result r = strcmp(want, "bad") == 0 ? UNDO_BAD : strcmp(want, "lost") == 0 ? UNDO_LOST : UNDO_DONE;

		if (undo_lines_changed(u, k) != row->changed[k - 1])
			fail_msg("%s: state %zu: %u lines changed", row->name, k, (unsigned)undo_lines_changed(u, k));
		assert_int_equal(undo_runs(u, k, body, &runs, &run_count), r);
		if (undo_body_hash(u, k, DIGEST_SHA256, &got) != r)
			fail_msg("%s: state %zu: result %d", row->name, k, (int)undo_body_hash(u, k, DIGEST_SHA256, &got));
		if (r != UNDO_DONE)
			continue;
		if (strcmp(want, "same") == 0) {
			assert_int_equal(got.n, 0);
			WANT_SLICE(join(&a, runs, run_count), body);
			continue;
		}
		WANT_SLICE(join(&a, runs, run_count), slice_str(want));
		want_body_hash(u, k, DIGEST_SHA256, slice_str(want));
	}
	undo_release(u);
	arena_clear(&a);
}

static void test_bodies(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(body_rows) / sizeof(body_rows[0]); i++) {
		size_t n = strlen(body_rows[i].body);

		for (size_t first = 0; first <= n; first++)
			for (size_t second = first; second <= n; second++)
				run_body_row(&body_rows[i], first, second);
	}
}

/* ---- random recipes against a plain reading ---- */

struct lines {
	struct slice *at;
	size_t n;
	enum undo_result result;
};

static struct lines split_lines(struct arena *a, struct slice body)
{
	struct lines l = { ARENA_ARRAY(a, body.n + 1, struct slice), 0, UNDO_DONE };
	size_t from = 0;

	for (size_t i = 0; i + 1 < body.n; i++) {
		if (body.at[i] == '\r' && body.at[i + 1] == '\n') {
			l.at[l.n++] = slice_sub(body, from, i - from);
			from = i + 2;
		}
	}
	if (from < body.n)
		l.at[l.n++] = slice_sub(body, from, SIZE_MAX);
	return l;
}

static struct lines plain_apply(struct arena *a, const struct lines *now, const struct recipe_steps *steps)
{
	struct lines out = { ARENA_ARRAY(a, 10000, struct slice), 0, UNDO_DONE };

	for (size_t i = 0; i < steps->n; i++) {
		const struct recipe_step *s = &steps->steps[i];

		for (uint64_t k = 0; k < s->count && out.result == UNDO_DONE; k++) {
			assert_true(out.n < 10000);
			if (s->texts)
				out.at[out.n++] = s->texts[k];
			else if (s->from + k > now->n)
				out.result = UNDO_BAD;
			else
				out.at[out.n++] = now->at[s->from + k - 1];
		}
	}
	return out;
}

static struct slice lines_joined(struct arena *a, const struct lines *l)
{
	struct slice *runs = ARENA_ARRAY(a, 2 * l->n, struct slice);

	for (size_t i = 0; i < l->n; i++) {
		runs[2 * i] = l->at[i];
		runs[2 * i + 1] = S("\r\n");
	}
	return join(a, runs, 2 * l->n);
}

static struct slice random_body(struct arena *a, size_t most)
{
	static const char *const parts[] = { "\r\n", "\r\n", "\r\n\r\n", "a", "bc", "\r", "\n", " x y z", "quite a long run of octets in a line\r\n" };
	size_t n = (size_t)any(most + 1), at = 0;
	unsigned char *out = arena_take(a, n + 64);

	while (at < n) {
		const char *part = parts[any(sizeof(parts) / sizeof(parts[0]))];

		memcpy(out + at, part, strlen(part));
		at += strlen(part);
	}
	return slice_of(out, at);
}

static struct recipe_steps random_steps(struct arena *a, size_t lines)
{
	static const char *const texts[] = { "", "x", "a", "literal", "with\rCR", " two  words " };
	size_t most = 1 + (size_t)any(12);
	struct recipe_step *steps = ARENA_ARRAY(a, most, struct recipe_step);
	struct recipe_steps out = { steps, 0 };
	uint64_t at = 1;

	for (size_t i = 0; i < most; i++) {
		struct recipe_step *s = &steps[out.n];

		if (any(3) == 0) {
			size_t n = 1 + (size_t)any(4);
			struct slice *t = ARENA_ARRAY(a, n, struct slice);

			for (size_t k = 0; k < n; k++)
				t[k] = slice_str(texts[any(6)]);
			*s = (struct recipe_step){ .texts = t, .count = n };
			out.n++;
		} else if (at <= lines || any(60) == 0) {
			uint64_t left = at <= lines ? lines - at + 1 : 2;

			s->from = at + (any(2) ? 0 : any(left));
			s->count = 1 + any(left - (s->from - at) + (any(60) == 0));
			at = s->from + s->count;
			out.n++;
		}
	}
	return out;
}

static void random_bodies(uint64_t round, size_t most)
{
	const struct recipe *recipes[6];
	struct lines states[7];
	size_t n, newest = 0;
	unsigned algs[7];
	struct slice body, rest, *runs, got;
	size_t run_count;
	struct arena a;
	struct header h;
	struct undo *u;

	seed = 88172645463325252U + round * 7919;
	arena_init(&a, SIZE_MAX);
	h = header_of(&a, "");
	body = random_body(&a, most);
	n = 1 + (size_t)any(6);
	states[0] = split_lines(&a, body);
	for (size_t k = 0; k < n; k++) {
		struct recipe *r = ARENA_NEW(&a, struct recipe);
		bool literals = true;

		recipes[k] = any(8) ? r : NULL;
		r->has_body = any(5) > 0;
		r->body_lost = !r->has_body && any(6) == 0;
		if (r->has_body)
			r->body = random_steps(&a, states[k].n);
		for (size_t i = 0; i < r->body.n; i++)
			literals = literals && r->body.steps[i].texts;
		algs[k + 1] = (unsigned)any(4);
		states[k + 1] = states[k];
		if (!recipes[k] || states[k].result == UNDO_BAD)
			continue;
		if (r->body_lost || (r->has_body && states[k].result == UNDO_LOST && !literals))
			states[k + 1].result = UNDO_LOST;
		else if (r->has_body)
			states[k + 1] = plain_apply(&a, &states[k], &r->body);
		if (r->has_body || r->body_lost)
			newest = newest ? newest : k + 1;
	}
	u = undo_new(&a, draft_of(8), &h, recipes, algs, n, UINT64_MAX);
	assert_non_null(u);
	for (rest = body; rest.n;) {
		struct slice part;
		size_t take = round % 3 == 0 ? 1 : 1 + (size_t)any(rest.n);

		(void)slice_take(&rest, take, &part);
		undo_body(u, part);
	}
	undo_end(u);
	for (size_t k = 1; k <= n; k++) {
		if (undo_body_hash(u, k, DIGEST_SHA256, &got) != states[k].result)
			fail_msg("round %u: state %zu: %d, wanted %d", (unsigned)round, k, (int)undo_body_hash(u, k, DIGEST_SHA256, &got), (int)states[k].result);
		assert_int_equal(undo_runs(u, k, body, &runs, &run_count), states[k].result);
		if (states[k].result != UNDO_DONE)
			continue;
		if (newest == 0 || k < newest) {
			assert_int_equal(got.n, 0);
			WANT_SLICE(join(&a, runs, run_count), body);
			continue;
		}
		WANT_SLICE(join(&a, runs, run_count), lines_joined(&a, &states[k]));
		for (unsigned alg = 0; alg < DIGEST_ALGS; alg++)
			if (algs[k] & 1U << alg)
				want_body_hash(u, k, (enum digest_alg)alg, lines_joined(&a, &states[k]));
	}
	undo_release(u);
	arena_clear(&a);
}

static void test_random_bodies(void **state)
{
	(void)state;
	for (uint64_t round = 0; round < 4000; round++)
		random_bodies(round, 200);
	for (uint64_t round = 0; round < 40; round++) /* more than one block */
		random_bodies(round, 60000);
}

/* ---- headers ---- */

struct header_row {
	const char *name, *block;
	const char *recipe[2][4][2]; /* of two states: name, steps */
	const char *hashed[3];       /* what is hashed of states 0, 1, 2; NULL: cannot be had */
	const char *sent;            /* the header of the last state that can */
	const char *changed;         /* names in the last state that can, with a blank between */
};

static const struct header_row header_rows[] = {
	{ "a list (spec 5.5)",
	  "List-Id: <list.lists.example.org>\r\nFrom: Alice <alice@example.com>\r\nTo: list@lists.example.org\r\nSubject: [L] Lunch\r\n",
	  { { { "list-id", "" }, { "subject", "' Lunch'" } } },
	  { "from:Alice <alice@example.com>\r\nlist-id:<list.lists.example.org>\r\nsubject:[L] Lunch\r\nto:list@lists.example.org\r\n",
	    "from:Alice <alice@example.com>\r\nsubject:Lunch\r\nto:list@lists.example.org\r\n" },
	  "From: Alice <alice@example.com>\r\nTo: list@lists.example.org\r\nSubject: Lunch\r\n", "list-id subject" },
	{ "the lowest comes first (spec 6.2)", "Comments: new\r\nComments: b\r\nComments: a\r\n",
	  { { { "comments", "1-1 'c'" } } },
	  { "comments:a\r\ncomments:b\r\ncomments:new\r\n", "comments:a\r\ncomments:c\r\n" },
	  "Comments:c\r\nComments: a\r\n", "comments" },
	{ "worked example of section 4",
	  "Received: from a by b;\r\n\tSat, 21 Nov 2026 10:00:00 +0000\r\nX-Foo: bar\r\nComments: upper\r\nSUBject:  Hello\r\n\t  World  \r\n"
	  "From : a@example.com\r\nTo:\r\n b@example.net\r\nComments:\tlower\r\n",
	  { { { "comments", "2-2" }, { "to", "'' 1-1" } } },
	  { "comments:lower\r\ncomments:upper\r\nfrom:a@example.com\r\nsubject:Hello World\r\nto:b@example.net\r\n",
	    "comments:upper\r\nfrom:a@example.com\r\nsubject:Hello World\r\nto:\r\nto:b@example.net\r\n" },
	  "Received: from a by b;\r\n\tSat, 21 Nov 2026 10:00:00 +0000\r\nX-Foo: bar\r\nComments: upper\r\nSUBject:  Hello\r\n\t  World  \r\n"
	  "From : a@example.com\r\nTo:\r\n b@example.net\r\nTo:\r\n", "comments to" },
	{ "fields of a name that was not there", "To: b\r\nA: 1\r\n", { { { "subject", "'low' 'high'" } }, { { "subject", "2-2 'more'" } } },
	  { "a:1\r\nto:b\r\n", "a:1\r\nsubject:low\r\nsubject:high\r\nto:b\r\n", "a:1\r\nsubject:high\r\nsubject:more\r\nto:b\r\n" },
	  "subject:more\r\nsubject:high\r\nTo: b\r\nA: 1\r\n", "subject" },
	{ "literals take the free places, then stand above", "K: 4\r\nA: 1\r\nK: 3\r\nB: 2\r\nK: 2\r\nC: 3\r\nK: 1\r\n",
	  { { { "k", "'l' 2-2 'm' 'n' 'o'" } } },
	  { "a:1\r\nb:2\r\nc:3\r\nk:1\r\nk:2\r\nk:3\r\nk:4\r\n", "a:1\r\nb:2\r\nc:3\r\nk:l\r\nk:2\r\nk:m\r\nk:n\r\nk:o\r\n" },
	  "K:o\r\nK:n\r\nA: 1\r\nK:m\r\nB: 2\r\nK: 2\r\nC: 3\r\nK:l\r\n", "k" },
	{ "a literal under a kept one", "A: 1\r\nK: 1\r\nB: 2\r\n", { { { "k", "'l' 1-1" } } },
	  { "a:1\r\nb:2\r\nk:1\r\n", "a:1\r\nb:2\r\nk:l\r\nk:1\r\n" }, "A: 1\r\nK: 1\r\nK:l\r\nB: 2\r\n", "k" },
	{ "a field past the end", "A: 1\r\nA: 2\r\n", { { { "a", "1-3" } } }, { "a:2\r\na:1\r\n" }, "A: 1\r\nA: 2\r\n", NULL },
	{ "a field of a name that is not there", "A: 1\r\n", { { { "b", "1-1" } } }, { "a:1\r\n" }, "A: 1\r\n", NULL },
	{ "removed, so not there for the next", "A: 1\r\n", { { { "a", "" } }, { { "a", "1-1" } } }, { "a:1\r\n", "" }, "", "a" },
	{ "what differs in blanks only has not changed", "From:  A   <a@b>\r\n", { { { "from", "'A <a@b>'" } } },
	  { "from:A <a@b>\r\n", "from:A <a@b>\r\n" }, "From:A <a@b>\r\n", "" },
	{ "a copy of all has not changed", "A: 1\r\nA: 2\r\n", { { { "a", "1-2" } } }, { "a:2\r\na:1\r\n", "a:2\r\na:1\r\n" }, "A: 1\r\nA: 2\r\n", "" },
	{ "no fields at all", "", { { { "from", "'x'" } } }, { "", "from:x\r\n" }, "from:x\r\n", "from" },
};

static void want_header_hash(struct undo *u, size_t state, struct slice text)
{
	unsigned char got[DIGEST_OCTETS], want[DIGEST_OCTETS];

	for (unsigned alg = 0; alg < DIGEST_ALGS; alg++) {
		size_t n = digest_once((enum digest_alg)alg, text, want);

		assert_int_equal(undo_header_hash(u, state, (enum digest_alg)alg, got), UNDO_DONE);
		WANT_SLICE(slice_of(got, n), slice_of(want, n));
	}
}

static void run_header_row(const struct header_row *row)
{
	const unsigned algs[3] = { 0 };
	const struct recipe *recipes[2];
	const struct header *sent = NULL;
	struct slice *names = NULL;
	size_t n = row->recipe[1][0][0] ? 2 : 1, name_count = 0, last = 0;
	unsigned char hash[DIGEST_OCTETS];
	const struct field *const *fields;
	struct arena a;
	struct header h;
	struct undo *u;

	arena_init(&a, SIZE_MAX);
	h = header_of(&a, row->block);
	for (size_t k = 0; k < n; k++)
		recipes[k] = header_recipe(&a, row->recipe[k]);
	u = undo_new(&a, draft_of(9), &h, recipes, algs, n, UINT64_MAX);
	assert_non_null(u);
	for (size_t k = 0; k <= n; k++) {
		size_t count;

		if (row->hashed[k]) {
			want_header_hash(u, k, slice_str(row->hashed[k]));
			sent = undo_header(u, k);
			assert_non_null(sent);
			last = k;
			continue;
		}
		assert_int_equal(undo_header_hash(u, k, DIGEST_SHA256, hash), UNDO_BAD);
		assert_int_equal(undo_fields(u, k, S("a"), &fields, &count), UNDO_BAD);
		assert_null(undo_header(u, k));
		assert_true(undo_changed(u, k, &names, &count));
		assert_int_equal(count, 0);
	}
	WANT_SLICE(sent->raw, slice_str(row->sent));
	for (size_t i = 0, at = 0; i < sent->n; at += sent->fields[i++].raw.n)
		assert_ptr_equal(sent->fields[i].raw.at, sent->raw.at + at);
	if (last) {
		struct slice left = slice_str(row->changed), name;

		assert_true(undo_changed(u, last, &names, &name_count));
		for (size_t i = 0; i < name_count; i++) {
			(void)slice_cut(&left, ' ', &name);
			WANT_SLICE(names[i], name);
		}
		assert_int_equal(left.n, 0);
	}
	undo_release(u);
	arena_clear(&a);
}

static void test_headers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(header_rows) / sizeof(header_rows[0]); i++)
		run_header_row(&header_rows[i]);
}

static void test_fields(void **state)
{
	static const char *const recipe[4][2] = { { "from", "'A <a@a.test>'" } };
	const unsigned algs[2] = { 0 };
	const struct field *const *fields;
	const struct recipe *r;
	struct arena a;
	struct header h;
	struct undo *u;
	size_t n;

	(void)state;
	arena_init(&a, SIZE_MAX);
	h = header_of(&a, "FROM: A via list <l@l.test>\r\nTo: x\r\nTo: y\r\n");
	r = header_recipe(&a, recipe);
	u = undo_new(&a, draft_of(9), &h, &r, algs, 1, UINT64_MAX);
	assert_int_equal(undo_fields(u, 0, S("from"), &fields, &n), UNDO_DONE);
	assert_int_equal(n, 1);
	WANT_SLICE(fields[0]->value, S(" A via list <l@l.test>"));
	assert_int_equal(undo_fields(u, 1, S("from"), &fields, &n), UNDO_DONE);
	assert_int_equal(n, 1);
	WANT_SLICE(fields[0]->value, S("A <a@a.test>"));
	WANT_SLICE(fields[0]->name, S("from"));
	assert_int_equal(fields[0]->raw.n, 0);
	assert_int_equal(undo_fields(u, 1, S("to"), &fields, &n), UNDO_DONE);
	assert_int_equal(n, 2);
	WANT_SLICE(fields[0]->raw, S("To: y\r\n"));
	assert_int_equal(undo_fields(u, 1, S("cc"), &fields, &n), UNDO_DONE);
	assert_int_equal(n, 0);
	assert_false(undo_same(u, 1, S("from")));
	assert_true(undo_same(u, 1, S("to")));
	assert_true(undo_same(u, 1, S("cc")));
	undo_release(u);
	arena_clear(&a);
}

/* ---- random headers against a plain reading ---- */

enum { NAMES = 5, FIELDS = 64 };
static const char *const names[NAMES] = { "a", "comments", "from", "subject", "to" };

struct plain_header {
	struct slice at[NAMES][FIELDS]; /* the lowest first, as text */
	size_t n[NAMES];
	bool bad;
};

static bool left_out(struct slice name, const void *arg)
{
	return draft_unsigned(arg, name);
}

static void plain_fields(struct plain_header *to, const struct plain_header *now, size_t name, const struct recipe_steps *steps)
{
	to->n[name] = 0;
	for (size_t i = 0; i < steps->n && !to->bad; i++) {
		const struct recipe_step *s = &steps->steps[i];

		for (uint64_t k = 0; k < s->count && !to->bad; k++) {
			if (s->texts)
				to->at[name][to->n[name]++] = s->texts[k];
			else if (s->from + k > now->n[name])
				to->bad = true;
			else
				to->at[name][to->n[name]++] = now->at[name][s->from + k - 1];
		}
	}
}

static struct recipe *random_fields(struct arena *a, const struct plain_header *now)
{
	struct recipe *r = ARENA_NEW(a, struct recipe);
	struct recipe_field *fields = ARENA_ARRAY(a, NAMES, struct recipe_field);

	for (size_t i = 0; i < NAMES; i++) {
		if (any(2))
			continue;
		do
			fields[r->field_count].steps = random_steps(a, now->n[i]);
		while (fields[r->field_count].steps.n > 6); /* else it only grows */
		fields[r->field_count++].name = slice_str(names[i]);
	}
	for (size_t i = 0; i + 1 < r->field_count; i++) { /* in any order */
		size_t other = i + (size_t)any(r->field_count - i);
		struct recipe_field keep = fields[i];

		fields[i] = fields[other];
		fields[other] = keep;
	}
	r->fields = fields;
	return r;
}

static struct slice plain_text(struct arena *a, const struct plain_header *h)
{
	struct slice *runs = ARENA_ARRAY(a, (size_t)4 * NAMES * FIELDS, struct slice);
	size_t n = 0;

	for (size_t i = 0; i < NAMES; i++) {
		for (size_t k = 0; k < h->n[i]; k++) {
			runs[n++] = slice_str(names[i]);
			runs[n++] = S(":");
			runs[n++] = slice_eq(h->at[i][k], S(" two  words ")) ? S("two words") : h->at[i][k];
			runs[n++] = S("\r\n");
		}
	}
	return join(a, runs, n);
}

static void random_headers(uint64_t round)
{
	const struct dkim2_draft *draft = draft_of(9);
	const struct recipe *recipes[4];
	const unsigned algs[5] = { 0 };
	unsigned char got[DIGEST_OCTETS], again[DIGEST_ALGS][DIGEST_OCTETS];
	struct plain_header states[5];
	struct slice block;
	struct header h;
	struct fault f = { 0 };
	struct arena a;
	struct undo *u;
	struct buf text;
	size_t n;

	seed = 362436069 + round * 104729;
	arena_init(&a, SIZE_MAX);
	memset(states, 0, sizeof(states));
	buf_init(&text, SIZE_MAX / 2);
	for (size_t i = (size_t)any(12); i-- > 0;) {
		size_t name = (size_t)any(NAMES + 1);

		buf_printf(&text, "%s: %u\r\n", name == NAMES ? "Received" : names[name], (unsigned)i);
		if (name < NAMES) {
			for (size_t k = states[0].n[name]++; k > 0; k--)
				states[0].at[name][k] = states[0].at[name][k - 1];
			states[0].at[name][0] = arena_printf(&a, "%u", (unsigned)i);
		}
	}
	block = arena_copy(&a, buf_get(&text));
	buf_release(&text);
	assert_true(header_parse(&a, block, 1000, &h, &f));
	n = 1 + (size_t)any(4);
	for (size_t k = 0; k < n; k++) {
		struct recipe *r = random_fields(&a, &states[k]);

		recipes[k] = any(8) ? r : NULL;
		states[k + 1] = states[k];
		for (size_t i = 0; recipes[k] && i < r->field_count && !states[k + 1].bad; i++)
			for (size_t name = 0; name < NAMES; name++)
				if (slice_eq(r->fields[i].name, slice_str(names[name])))
					plain_fields(&states[k + 1], &states[k], name, &r->fields[i].steps);
	}
	u = undo_new(&a, draft, &h, recipes, algs, n, UINT64_MAX);
	assert_non_null(u);
	for (size_t k = 0; k <= n; k++) {
		const struct header *sent = undo_header(u, k);
		struct header parsed;

		assert_int_equal(undo_header_hash(u, k, DIGEST_SHA256, got), states[k].bad ? UNDO_BAD : UNDO_DONE);
		assert_int_equal(sent == NULL, states[k].bad);
		if (!sent)
			break;
		want_header_hash(u, k, plain_text(&a, &states[k]));
		/* what is sent has that hash too, and is what it says */
		assert_true(canon_header(&a, sent, left_out, draft, 1U << DIGEST_SHA256, again));
		assert_memory_equal(got, again[DIGEST_SHA256], 32);
		assert_true(header_parse(&a, sent->raw, 1000, &parsed, &f));
		assert_int_equal(parsed.n, sent->n);
		for (size_t i = 0; i < parsed.n; i++) {
			WANT_SLICE(sent->fields[i].raw, parsed.fields[i].raw);
			WANT_SLICE(sent->fields[i].name, parsed.fields[i].name);
			WANT_SLICE(sent->fields[i].value, parsed.fields[i].value);
		}
		for (size_t name = 0; k > 0 && name < NAMES; name++) {
			bool same = states[k].n[name] == states[k - 1].n[name];

			for (size_t i = 0; same && i < states[k].n[name]; i++)
				same = slice_eq(states[k].at[name][i], states[k - 1].at[name][i]);
			assert_int_equal(undo_same(u, k, slice_str(names[name])), same);
		}
	}
	undo_release(u);
	arena_clear(&a);
}

static void test_random_headers(void **state)
{
	(void)state;
	for (uint64_t round = 0; round < 4000; round++)
		random_headers(round);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_random_bodies),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_random_headers),
	};

	return RUN_TESTS(tests);
}
