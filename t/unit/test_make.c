#include "auth/canon.h"
#include "auth/dkim2/diff.h"
#include "auth/dkim2/lines.h"
#include "auth/dkim2/undo.h"
#include "base/b64.h"
#include "base/limits.h"
#include "edits.h"
#include "test.h"
#include "vectors.h"

static const struct dkim2_draft *newest(void)
{
	return draft_of(DRAFT_NEWEST);
}

static struct header *header_of(struct arena *a, struct slice block)
{
	struct header *h = ARENA_NEW(a, struct header);
	struct fault f = { 0 };

	assert_true(header_parse(a, block, 100000, h, &f));
	return h;
}

static struct slice json_of(struct arena *a, const struct recipe *r)
{
	struct slice json;
	struct buf b;

	buf_init(&b, SIZE_MAX / 2);
	recipe_write(r, &b);
	assert_false(buf_failed(&b));
	json = arena_copy(a, buf_get(&b));
	buf_release(&b);
	return json;
}

/* ---- a plain reading of spec sections 6.2 and 6.3 ---- */

static bool left_out(struct slice name, const void *arg)
{
	return draft_unsigned(arg, name);
}

static void header_hash(struct arena *a, const struct header *h, unsigned char out[DIGEST_OCTETS])
{
	unsigned char all[DIGEST_ALGS][DIGEST_OCTETS];

	assert_true(canon_header(a, h, left_out, newest(), 1U << DIGEST_SHA256, all));
	memcpy(out, all[DIGEST_SHA256], DIGEST_OCTETS);
}

static void body_hash(struct slice body, unsigned char out[DIGEST_OCTETS])
{
	struct canon_body *c = canon_body_new(1U << DIGEST_SHA256);

	assert_non_null(c);
	canon_body_add(c, body);
	canon_body_end(c);
	memcpy(out, canon_body_digest(c, DIGEST_SHA256).at, 32);
	canon_body_free(&c);
}

static size_t split_lines(struct arena *a, struct slice body, struct slice **out)
{
	size_t n = 0, room = 1;

	for (size_t i = 0; i + 1 < body.n; i++)
		room += body.at[i] == '\r' && body.at[i + 1] == '\n';
	*out = ARENA_ARRAY(a, room, struct slice);
	while (body.n) {
		size_t i = 0;

		while (i < body.n && !(i + 1 < body.n && body.at[i] == '\r' && body.at[i + 1] == '\n'))
			i++;
		(*out)[n++] = slice_sub(body, 0, i);
		body = slice_sub(body, i + 2, SIZE_MAX);
	}
	return n;
}

static struct slice apply_body(struct arena *a, const struct recipe_steps *steps, struct slice now)
{
	struct slice *lines, out;
	size_t n = split_lines(a, now, &lines);
	struct buf b;

	buf_init(&b, SIZE_MAX / 2);
	for (size_t i = 0; i < steps->n; i++) {
		const struct recipe_step *s = &steps->steps[i];

		for (uint64_t k = 0; k < s->count; k++) {
			if (!s->texts)
				assert_true(s->from + k >= 1 && s->from + k <= n);
			buf_slice(&b, s->texts ? s->texts[k] : lines[s->from + k - 1]);
			buf_str(&b, "\r\n");
		}
	}
	out = arena_copy(a, buf_get(&b));
	buf_release(&b);
	return out;
}

static const struct field *nth_from_below(const struct header *h, struct slice name, uint64_t n)
{
	for (size_t i = h->n; i-- > 0;)
		if (slice_ieq(h->fields[i].name, name) && --n == 0)
			return &h->fields[i];
	fail_msg("no such field");
	return NULL;
}

/* The fields as a block: kept ones as they are, those of a listed name below them, what is emitted first the lowest. */
static struct slice apply_header(struct arena *a, const struct recipe *r, const struct header *now)
{
	struct slice *fields = ARENA_ARRAY(a, now->n + 100000, struct slice), out;
	size_t n = 0;

	for (size_t i = now->n; i-- > 0;) {
		bool listed = false;

		for (size_t k = 0; k < r->field_count; k++)
			listed = listed || slice_ieq(r->fields[k].name, now->fields[i].name);
		if (!listed)
			fields[n++] = slice_sub(now->fields[i].raw, 0, now->fields[i].raw.n - 2);
	}
	for (size_t k = 0; k < r->field_count; k++) {
		const struct recipe_steps *steps = &r->fields[k].steps;

		for (size_t i = 0; i < steps->n; i++) {
			const struct recipe_step *s = &steps->steps[i];

			for (uint64_t t = 0; t < s->count; t++) {
				struct slice raw = s->texts ? SLICE_NONE : nth_from_below(now, r->fields[k].name, s->from + t)->raw;

				fields[n++] = s->texts ? arena_printf(a, "%.*s:%.*s", SLICE_FMT(r->fields[k].name), SLICE_FMT(s->texts[t])) :
				    slice_sub(raw, 0, raw.n - 2);
			}
		}
	}
	for (size_t i = 0; i < n / 2; i++) {
		struct slice s = fields[i];

		fields[i] = fields[n - 1 - i];
		fields[n - 1 - i] = s;
	}
	out = edit_join(a, fields, n, false);
	return out;
}

/* ---- made, written, read and applied ---- */

struct made {
	enum make_state state;
	struct recipe recipe; /* as read again */
	struct slice json;
};

/* The same by undo.h, whose reading of the rules is another one. */
static void want_undone(struct arena *a, const struct recipe *r, const struct header *now, struct slice body, const unsigned char header[DIGEST_OCTETS],
    const unsigned char want[DIGEST_OCTETS])
{
	const unsigned algs[2] = { 0, 1U << DIGEST_SHA256 };
	struct undo *u = undo_new(a, newest(), now, &r, algs, 1, UINT64_MAX);
	unsigned char got[DIGEST_OCTETS];
	struct slice digest;

	assert_non_null(u);
	assert_int_equal(undo_header_hash(u, 1, DIGEST_SHA256, got), UNDO_DONE);
	assert_memory_equal(got, header, 32);
	undo_body(u, body);
	undo_end(u);
	assert_int_equal(undo_body_hash(u, 1, DIGEST_SHA256, &digest), UNDO_DONE);
	if (!digest.n) {
		body_hash(body, got);
		digest = slice_of(got, 32);
	}
	WANT_SLICE(digest, slice_of(want, 32));
	undo_release(u);
}

static struct made make_and_undo(struct arena *a, struct slice before_block, struct slice before_body, struct slice now_block, struct slice now_body)
{
	const struct content before = { header_of(a, before_block), &before_body, 1 }, now = { header_of(a, now_block), &now_body, 1 };
	unsigned char want[DIGEST_OCTETS], got[DIGEST_OCTETS], want_header[DIGEST_OCTETS];
	struct made m = { .json = SLICE_NONE };
	struct recipe r = { 0 };
	const char *why = "";

	m.state = make_recipe(a, newest(), &before, &now, SIZE_MAX / 2, &r);
	if (m.state == MAKE_DONE) {
		m.json = json_of(a, &r);
		if (recipe_parse(a, newest(), m.json, &m.recipe, &why) != RECIPE_OK)
			fail_msg("%s: %.*s", why, SLICE_FMT(m.json));
	} else {
		assert_int_equal(m.state, MAKE_SAME);
	}
	header_hash(a, before.header, want_header);
	header_hash(a, header_of(a, apply_header(a, &m.recipe, now.header)), got);
	if (memcmp(want_header, got, 32) != 0)
		fail_msg("header: %.*s", SLICE_FMT(m.json));
	body_hash(before_body, want);
	body_hash(m.recipe.has_body ? apply_body(a, &m.recipe.body, now_body) : now_body, got);
	if (memcmp(want, got, 32) != 0)
		fail_msg("body: %.*s", SLICE_FMT(m.json));
	want_undone(a, m.state == MAKE_DONE ? &m.recipe : NULL, now.header, now_body, want_header, want);
	return m;
}

/* ---- rows: the recipe as text ---- */

#define LONG_A "Content-Language: first line that is long enough to be worth a copy"
#define LONG_B "The second line which is long enough to be worth a copy, too"
#define LONG_C "And a third one of that kind, also worth being copied"
#define SHORT(n) "a short line " n "\r\n"

static const struct {
	const char *guards, *before, *now, *json; /* header and body apart from each other; json NULL: the same */
} rows[] = {
	{ "spec 5.5", "Subject: Lunch\r\n\r\nHello\r\nWorld\r\n",
	    "Subject: [L] Lunch\r\nList-Id: <list.lists.example.org>\r\n\r\nHello\r\nWorld\r\n--\r\nfooter\r\n",
	    "{\"h\":{\"list-id\":[],\"subject\":[{\"d\":[\" Lunch\"]}]},\"b\":[{\"c\":[1,2]}]}" },
	{ "spec 6.2", "Comments: c\r\nComments: value of some length\r\n\r\n",
	    "Comments: new\r\nComments: b\r\nComments: value of some length\r\n\r\n",
	    "{\"h\":{\"comments\":[{\"c\":[1,1]},{\"d\":[\" c\"]}]}}" },
	{ "a short line is no copy", "\r\nx\r\ny\r\nz\r\n", "\r\nx\r\nz\r\n", "{\"b\":[{\"d\":[\"x\",\"y\",\"z\"]}]}" },
	{ "nothing to undo", "A: b\r\n\r\nx\r\n", "A: b\r\n\r\nx\r\n", NULL },
	{ "empty lines at the end are no lines", "A: b\r\n\r\nx\r\n\r\n", "A: b\r\n\r\nx", NULL },
	{ "a body of empty lines is none", "A: b\r\n\r\n\r\n\r\n", "A: b\r\n\r\n", NULL },
	{ "folds and blanks do not count", "A:  b \t c\r\n\r\n", "a :b\r\n c\r\n\r\n", NULL },
	{ "trace fields do not count", "X-A: b\r\nReceived: c\r\n\r\n", "\r\n", NULL },
	{ "order of other names does not count", "A: 1\r\nB: 2\r\n\r\n", "B: 2\r\nA: 1\r\n\r\n", NULL },
	{ "the body before was empty", "\r\n", "\r\nx\r\n", "{\"b\":[]}" },
	{ "the body now is empty", "\r\nx\r\n\r\n", "\r\n\r\n", "{\"b\":[{\"d\":[\"x\"]}]}" },
	{ "all fields of a name are gone", "Keywords: a\r\nKeywords:\r\n\r\n", "\r\n", "{\"h\":{\"keywords\":[{\"d\":[\"\",\" a\"]}]}}" },
	{ "a literal has no fold", "Subject: a\r\n\tb\r\n\r\n", "\r\n", "{\"h\":{\"subject\":[{\"d\":[\" a\\tb\"]}]}}" },
	{ "octets that are no text", "\r\n\xe4\r\n", "\r\n", "{\"b\":[{\"u\":[\"5A==\"]}]}" },
	{ "a line moved up", "\r\n" LONG_A "\r\n" LONG_B "\r\n" LONG_C "\r\n", "\r\n" LONG_C "\r\n" LONG_A "\r\n" LONG_B "\r\n",
	    "{\"b\":[{\"c\":[2,3]},{\"d\":[\"" LONG_C "\"]}]}" },
	{ "wrapped", "\r\n" LONG_A "\r\n\r\n" LONG_B "\r\n", "\r\n--x\r\n\r\n" LONG_A "\r\n\r\n" LONG_B "\r\n\r\n--x--\r\n", "{\"b\":[{\"c\":[3,5]}]}" },
	{ "wrapped, and the start of it once more", "\r\n" LONG_A "\r\n" LONG_B "\r\n" LONG_C "\r\n",
	    "\r\nx\r\n" LONG_A "\r\n" LONG_B "\r\n" LONG_A "\r\n" LONG_B "\r\n" LONG_C "\r\nx\r\n", "{\"b\":[{\"c\":[4,6]}]}" },
	{ "wrapped, but in what both end with", "\r\n" LONG_C "\r\n" LONG_A "\r\n" LONG_A "\r\n" LONG_A "\r\n" LONG_A "\r\n" LONG_A "\r\n",
	    "\r\nx\r\n" LONG_C "\r\n" LONG_A "\r\n" LONG_A "\r\n" LONG_A "\r\n",
	    "{\"b\":[{\"c\":[2,2]},{\"d\":[\"" LONG_A "\",\"" LONG_A "\"]},{\"c\":[3,5]}]}" },
	{ "one long line weighs more than many short ones", "\r\n" LONG_A "\r\n\r\n\r\n\r\n\r\n-\r\n", "\r\n\r\n\r\n\r\n\r\n-\r\n" LONG_A "\r\n",
	    "{\"b\":[{\"c\":[6,6]},{\"d\":[\"\",\"\",\"\",\"\",\"-\"]}]}" },
	{ "a start that fits in two places takes one step", "Comments: " LONG_A "\r\nComments: ab\r\n\r\n",
	    "Comments: " LONG_A "\r\nComments: ab\r\nComments: x\r\nComments: ab\r\n\r\n", "{\"h\":{\"comments\":[{\"c\":[3,4]}]}}" },
	{ "lines that stand together weigh more than more that do not",
	    "\r\np\r\n" SHORT("1") SHORT("2") SHORT("3") SHORT("4") SHORT("5") SHORT("6") "q\r\n",
	    "\r\nr\r\n" SHORT("1") "x\r\n" SHORT("2") "x\r\n" SHORT("3") "x\r\n" SHORT("4") "x\r\n" SHORT("5") "x\r\n" SHORT("6")
	    "y\r\n" SHORT("2") SHORT("3") SHORT("4") SHORT("5") SHORT("6") "y\r\n" SHORT("1") "s\r\n",
	    "{\"b\":[{\"d\":[\"p\"]},{\"c\":[2,2]},{\"c\":[14,18]},{\"d\":[\"q\"]}]}" },
	{ "an end that fits in two places takes one step", "\r\nab\r\n" LONG_A "\r\n", "\r\nab\r\nx\r\nab\r\n" LONG_A "\r\n", "{\"b\":[{\"c\":[3,4]}]}" },
	{ "a bare LF may be copied, also at the end", "\r\n" LONG_A "\n", "\r\nx\r\n" LONG_A "\n", "{\"b\":[{\"c\":[2,2]}]}" },
	{ "a bare CR may be copied", "\r\na\r" LONG_A "\r\n", "\r\nx\r\na\r" LONG_A "\r\n", "{\"b\":[{\"c\":[2,2]}]}" },
};

static void split_message(struct slice message, struct slice *block, struct slice *body)
{
	size_t seen = 0, n = message.n, at = message.n;

	(void)header_end(message, &seen, &n, &at);
	*block = slice_sub(message, 0, n);
	*body = slice_sub(message, at, SIZE_MAX);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct slice before_block, before_body, now_block, now_body;
		struct arena a;
		struct made m;

		arena_init(&a, LIMIT_TX_ARENA);
		print_message("# %s\n", rows[i].guards);
		split_message(slice_str(rows[i].before), &before_block, &before_body);
		split_message(slice_str(rows[i].now), &now_block, &now_body);
		m = make_and_undo(&a, before_block, before_body, now_block, now_body);
		assert_int_equal(m.state, rows[i].json ? MAKE_DONE : MAKE_SAME);
		WANT_SLICE(m.json, slice_str(rows[i].json));
		arena_clear(&a);
	}
}

/* ---- what no recipe can say, and what is too big ---- */

static const struct {
	const char *guards, *before, *now;
	size_t json_max;
	enum make_state want;
} refused[] = {
	{ "a bare CR in a literal", "\r\na\rb\r\n", "\r\nc\r\n", 1000, MAKE_NEVER },
	{ "a bare LF in a literal", "\r\na\nb\r\n", "\r\nc\r\n", 1000, MAKE_NEVER },
	{ "a bare CR at the end", "\r\na\r", "\r\na\r\n", 1000, MAKE_NEVER },
	{ "a bare LF at the end", "\r\na\n", "\r\na\r\n", 1000, MAKE_NEVER },
	{ "a bare CR in a field", "Subject: a\rb\r\n\r\n", "\r\n", 1000, MAKE_NEVER },
	{ "a line that is no field", "no field\r\n\r\n", "\r\n", 1000, MAKE_NEVER },
	{ "an octet too many", "\r\nx\r\n", "\r\n", 18, MAKE_BIG },
	{ "none too many", "\r\nx\r\n", "\r\n", 19, MAKE_DONE },
	{ "an octet too many in the header", "A: x\r\n\r\n", "\r\n", 25, MAKE_BIG },
	{ "none too many in the header", "A: x\r\n\r\n", "\r\n", 26, MAKE_DONE },
};

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		struct slice block[2], body[2];
		struct content content[2];
		struct recipe r = { 0 };
		struct arena a;

		arena_init(&a, LIMIT_TX_ARENA);
		print_message("# %s\n", refused[i].guards);
		split_message(slice_str(refused[i].before), &block[0], &body[0]);
		split_message(slice_str(refused[i].now), &block[1], &body[1]);
		for (size_t k = 0; k < 2; k++)
			content[k] = (struct content){ header_of(&a, block[k]), &body[k], 1 };
		assert_int_equal(make_recipe(&a, newest(), &content[0], &content[1], refused[i].json_max, &r), refused[i].want);
		arena_clear(&a);
	}
}

/* ---- a thousand edits ---- */

static uint64_t json_octets(struct slice text)
{
	struct recipe_step step = { .texts = &text, .count = 1 };
	struct recipe r = { .has_body = true, .body = { &step, 1 } };
	struct buf b;
	uint64_t n;

	buf_init(&b, SIZE_MAX / 2);
	recipe_write(&r, &b);
	n = b.n - (sizeof("{\"b\":[{\"d\":[]}]}") - 1);
	buf_release(&b);
	return n;
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static unsigned digits_of(uint64_t n)
{
	return n < 10 ? 1 : 1 + digits_of(n / 10);
}

/* The fewest octets of steps that make `before` of `now`: each way is looked at. `u` is counted as if it could follow `d`. */
static uint64_t fewest_octets(struct arena *a, const struct slice *before, size_t n, const struct slice *now, size_t m)
{
	uint64_t *open = ARENA_ARRAY(a, m + 1, uint64_t);   /* the line was copied from line j, the copy may go on */
	uint64_t *closed = ARENA_ARRAY(a, m + 1, uint64_t); /* nothing behind j was copied, the last step is over */
	uint64_t *text = ARENA_ARRAY(a, m + 1, uint64_t);   /* the same, a literal may go on */
	const uint64_t never = UINT64_MAX / 4;

	assert_non_null(text);
	for (size_t j = 0; j <= m; j++)
		open[j] = text[j] = never;
	for (size_t i = 0; i < n; i++) {
		uint64_t octets = json_octets(before[i]) + 1, open_0 = never, closed_0 = never, text_0 = never;

		for (size_t j = 0; j <= m; j++) {
			uint64_t open_up = open[j], closed_up = closed[j], text_up = text[j];

			open[j] = never;
			if (j > 0 && slice_eq(before[i], now[j - 1]))
				open[j] = lesser(open_0, lesser(closed_0, text_0) + 10 + digits_of(j));
			closed[j] = lesser(j ? closed[j - 1] : never, open[j] + digits_of(j));
			text[j] = lesser(j ? text[j - 1] : never, lesser(text_up, closed_up + 8) + octets);
			open_0 = open_up;
			closed_0 = closed_up;
			text_0 = text_up;
		}
	}
	return n ? lesser(closed[m], text[m]) + sizeof("{\"b\":[]}") - 2 : sizeof("{\"b\":[]}") - 1;
}

static struct slice body_json(struct arena *a, const struct recipe *r)
{
	struct recipe only = { .has_body = true, .body = r->body };

	return json_of(a, &only);
}

static size_t canonical_lines(const struct draft_message *m)
{
	size_t n = m->line_n;

	while (n && m->lines[n - 1].n == 0)
		n--;
	return n;
}

/* The same recipe, wherever the bodies are cut. Each run lies by itself. */
static void want_same_cut(struct arena *a, struct slice before, size_t before_cut, struct slice now, size_t now_cut, enum make_state state, struct slice json)
{
	struct slice of[2] = { before, now }, runs[2][3];
	size_t cut[2] = { before_cut, now_cut };
	struct recipe r = { .has_body = true };
	struct make_work work = { 0 };
	unsigned char *own[2][2];

	for (size_t k = 0; k < 2; k++) {
		runs[k][0] = slice_sub(of[k], 0, cut[k]);
		runs[k][1] = SLICE_NONE;
		runs[k][2] = slice_sub(of[k], cut[k], SIZE_MAX);
		for (size_t i = 0; i < 2; i++) {
			own[k][i] = malloc(runs[k][2 * i].n + 1);
			assert_non_null(own[k][i]);
			if (runs[k][2 * i].n)
				memcpy(own[k][i], runs[k][2 * i].at, runs[k][2 * i].n);
			runs[k][2 * i] = slice_of(own[k][i], runs[k][2 * i].n);
		}
	}
	assert_int_equal(make_body(a, runs[0], 3, runs[1], 3, &r.body, &work), state);
	if (state == MAKE_DONE)
		WANT_SLICE(json_of(a, &r), json);
	for (size_t k = 0; k < 4; k++)
		free(own[k / 2][k % 2]);
}

static size_t values_of(struct arena *a, const struct header *h, struct slice name, struct slice *out)
{
	size_t n = 0;

	for (size_t i = h->n; i-- > 0;) {
		unsigned char *to = arena_take(a, h->fields[i].raw.n + CANON_MORE);

		if (slice_ieq(h->fields[i].name, name))
			out[n++] = slice_sub(slice_of(to, canon_relaxed_text(&h->fields[i], to) - 2), name.n + 1, SIZE_MAX);
	}
	return n;
}

/* The steps of each name within twice the fewest octets, but for the blank in front of a literal. */
static void want_short_fields(struct arena *a, const struct recipe *r, const struct header *before, const struct header *now)
{
	struct slice x[EDIT_FIELDS], y[EDIT_FIELDS];

	for (size_t i = 0; i < r->field_count; i++) {
		struct recipe only = { .has_body = true, .body = r->fields[i].steps };
		size_t n = values_of(a, before, r->fields[i].name, x), m = values_of(a, now, r->fields[i].name, y);
		struct slice json = json_of(a, &only);

		if (json.n > 2 * (fewest_octets(a, x, n, y, m) + 3 * n))
			fail_msg("%.*s: %.*s", SLICE_FMT(r->fields[i].name), SLICE_FMT(json));
	}
}

enum { SMALL_EDITS = 1000, LARGE_EDITS = 20 };

static void test_edits(void **state)
{
	static struct draft_message before, now;
	uint64_t got = 0, best = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= SMALL_EDITS + LARGE_EDITS; seed++) {
		struct dice d = dice_of(seed);
		struct slice before_body, now_body;
		struct arena a;
		struct made m;

		arena_init(&a, SIZE_MAX / 2);
		edit_new(&a, &d, &before, seed > SMALL_EDITS ? 1500 + dice_roll(&d, 1000) : dice_roll(&d, 4) ? dice_roll(&d, 40) : dice_roll(&d, 300));
		now = before;
		for (uint32_t k = dice_roll(&d, 4); k > 0; k--)
			edit_header(&a, &d, &now);
		for (uint32_t k = dice_roll(&d, 5); k > 0; k--)
			edit_body(&a, &d, &now);
		before_body = edit_body_octets(&a, &before);
		now_body = edit_body_octets(&a, &now);
		print_message("# seed %llu\n", (unsigned long long)seed);
		m = make_and_undo(&a, edit_header_block(&a, &before), before_body, edit_header_block(&a, &now), now_body);
		want_short_fields(&a, &m.recipe, header_of(&a, edit_header_block(&a, &before)), header_of(&a, edit_header_block(&a, &now)));
		if (m.recipe.has_body) {
			uint64_t fewest = fewest_octets(&a, before.lines, canonical_lines(&before), now.lines, canonical_lines(&now));
			struct slice json = body_json(&a, &m.recipe);

			if (json.n > 2 * fewest)
				fail_msg("%zu octets, %llu would do: %.*s", json.n, (unsigned long long)fewest, SLICE_FMT(json));
			want_same_cut(&a, before_body, dice_roll(&d, (uint32_t)before_body.n + 1), now_body, dice_roll(&d, (uint32_t)now_body.n + 1), MAKE_DONE, json);
			got += json.n;
			best += fewest;
		}
		arena_clear(&a);
	}
	print_message("# %llu octets of steps, %llu at best\n", (unsigned long long)got, (unsigned long long)best);
}

/* ---- bodies in two pieces ---- */

/* What is odd, common or not, at the ends or not: every two of these, cut at every octet. */
static const char *const odd[] = { "", "\r", "\n", "\r\n", "\n\r", "\r\r\n", "\r\n\n", "a", "a\r", "a\n", "\r\na\n\r\n", "a\r\n\r\n", "a\n\r\nb\r\r\n",
	LONG_A "\n" LONG_B "\r\n", LONG_A "\r\nb\n", LONG_A "\r\n\n" LONG_B, "a\r\n\n" LONG_A "\r\n" LONG_B "\r\r\n", "b\n" LONG_A "\r\n" LONG_B "\r\r\n",
	"\n" LONG_B "\r\n\r\n\r", LONG_A "\r\n" LONG_B "\r\n" LONG_C };

static void test_cut_anywhere(void **state)
{
	size_t n = sizeof(odd) / sizeof(*odd);

	(void)state;
	for (size_t i = 0; i < n * n; i++) {
		struct slice before = slice_str(odd[i / n]), now = slice_str(odd[i % n]), json = SLICE_NONE;
		struct recipe r = { .has_body = true };
		struct make_work work = { 0 };
		unsigned char want[DIGEST_OCTETS], got[DIGEST_OCTETS];
		enum make_state whole;
		struct arena a;

		arena_init(&a, LIMIT_TX_ARENA);
		whole = make_body(&a, &before, 1, &now, 1, &r.body, &work);
		body_hash(before, want);
		body_hash(whole == MAKE_DONE ? apply_body(&a, &r.body, now) : now, got);
		if (whole == MAKE_DONE)
			json = json_of(&a, &r);
		if ((whole != MAKE_NEVER && memcmp(want, got, 32) != 0) || (whole == MAKE_NEVER && memcmp(want, got, 32) == 0))
			fail_msg("%zu back to %zu: %.*s", i % n, i / n, SLICE_FMT(json));
		for (size_t cut = 0; cut <= before.n; cut++)
			want_same_cut(&a, before, cut, now, (cut * 7) % (now.n + 1), whole, json);
		for (size_t cut = 0; cut <= now.n; cut++)
			want_same_cut(&a, before, (cut * 7) % (before.n + 1), now, cut, whole, json);
		arena_clear(&a);
	}
}

/* ---- the corpora ---- */

static struct slice lines_from_json(struct arena *a, const json_t *list)
{
	size_t n = json_array_size(list);
	struct slice *lines = ARENA_ARRAY(a, n, struct slice);

	for (size_t i = 0; i < n; i++)
		lines[i] = vector_text(json_array_get(list, i));
	return edit_join(a, lines, n, false);
}

/* LF to CRLF; a last line without any gets one. */
static struct slice lines_from_text(struct arena *a, struct slice text)
{
	struct slice *lines = ARENA_ARRAY(a, text.n + 1, struct slice);
	size_t n = 0;

	while (text.n)
		(void)slice_cut(&text, '\n', &lines[n++]);
	return edit_join(a, lines, n, false);
}

/* Octets of somebody else's steps: [a,b] copies, a text is a literal. */
static uint64_t octets_of_expected(struct arena *a, const json_t *list)
{
	struct recipe_step *steps = ARENA_ARRAY(a, json_array_size(list), struct recipe_step);
	struct recipe r = { .has_body = true, .body = { steps, json_array_size(list) } };

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *step = json_array_get(list, i);
		struct slice *text = ARENA_NEW(a, struct slice);
		uint64_t from = (uint64_t)json_integer_value(json_array_get(step, 0));

		*text = vector_text(step);
		if (json_is_array(step))
			steps[i] = (struct recipe_step){ NULL, from, (uint64_t)json_integer_value(json_array_get(step, 1)) - from + 1 };
		else
			steps[i] = (struct recipe_step){ .texts = text, .count = 1 };
	}
	return json_of(a, &r).n;
}

static void want_short_body(struct arena *a, const struct recipe *r, struct slice before, struct slice now)
{
	struct slice *x, *y;
	size_t n = split_lines(a, before, &x), m = split_lines(a, now, &y);

	while (n && x[n - 1].n == 0)
		n--;
	while (m && y[m - 1].n == 0)
		m--;
	if (r->has_body)
		assert_true(body_json(a, r).n <= 2 * fewest_octets(a, x, n, y, m));
}

static void test_body_diff_suite(void **state)
{
	char folder[512];
	json_t *cases;

	(void)state;
	assert_true(vector_folder("dkim2-spec06-body-diff", folder, sizeof(folder)));
	cases = vector_json(folder, "INDEX.json");
	assert_int_equal(json_array_size(cases), 7);
	for (size_t i = 0; i < json_array_size(cases); i++) {
		const json_t *c = json_array_get(cases, i), *expect = json_object_get(c, "expect");
		struct slice before, now;
		struct arena a;
		struct made m;

		arena_init(&a, LIMIT_TX_ARENA);
		print_message("# %s\n", json_string_value(json_object_get(c, "name")));
		before = lines_from_json(&a, json_object_get(c, "prev"));
		now = lines_from_json(&a, json_object_get(c, "cur"));
		m = make_and_undo(&a, SLICE_NONE, before, SLICE_NONE, now);
		if (json_is_array(expect))
			assert_true(m.json.n <= octets_of_expected(&a, expect));
		else
			assert_int_equal(m.state, MAKE_SAME);
		want_short_body(&a, &m.recipe, before, now);
		arena_clear(&a);
	}
	json_decref(cases);
}

static void test_draft_02_suite(void **state)
{
	char folder[512];
	json_t *cases;
	size_t n = 0;

	(void)state;
	assert_true(vector_folder("dkim2-spec02", folder, sizeof(folder)));
	cases = vector_json(folder, "recipes.json");
	for (size_t i = 0; i < json_array_size(cases); i++) {
		const json_t *c = json_array_get(cases, i);
		bool header = slice_eq(vector_text(json_object_get(c, "kind")), S("header-diff"));
		struct slice before, now;
		struct arena a;
		struct made m;

		if (!json_object_get(c, "old"))
			continue;
		arena_init(&a, LIMIT_TX_ARENA);
		print_message("# %s\n", json_string_value(json_object_get(c, "name")));
		before = lines_from_text(&a, vector_text(json_object_get(c, "old")));
		now = lines_from_text(&a, vector_text(json_object_get(c, "new")));
		m = header ? make_and_undo(&a, before, SLICE_NONE, now, SLICE_NONE) : make_and_undo(&a, SLICE_NONE, before, SLICE_NONE, now);
		assert_int_equal(m.state, MAKE_DONE);
		if (header)
			want_short_fields(&a, &m.recipe, header_of(&a, before), header_of(&a, now));
		else
			want_short_body(&a, &m.recipe, before, now);
		n++;
		arena_clear(&a);
	}
	assert_int_equal(n, 4);
	json_decref(cases);
}

/* May not be copied into the tree: run where HOPSEAL_VECTORS says. */
static void test_generate_suite(void **state)
{
	char folder[512];
	json_t *cases;

	(void)state;
	if (!vector_folder("dkim2-spec06-recipes", folder, sizeof(folder))) {
		print_message("# HOPSEAL_VECTORS names no folder that holds dkim2-spec06-recipes\n");
		return;
	}
	cases = vector_json(folder, "INDEX.json");
	for (size_t i = 0; i < json_array_size(cases); i++) {
		const json_t *c = json_array_get(cases, i);
		struct slice block[2], body[2], message[2], theirs = vector_text(json_object_get(c, "recipe_json"));
		struct arena a;
		struct made m;

		if (!json_object_get(c, "previous_base64"))
			continue;
		arena_init(&a, LIMIT_TX_ARENA);
		print_message("# %s\n", json_string_value(json_object_get(c, "name")));
		assert_true(b64_decode(&a, vector_text(json_object_get(c, "previous_base64")), false, &message[0]));
		assert_true(b64_decode(&a, vector_text(json_object_get(c, "current_base64")), false, &message[1]));
		for (size_t k = 0; k < 2; k++)
			split_message(message[k], &block[k], &body[k]);
		m = make_and_undo(&a, block[0], body[0], block[1], body[1]);
		if (!slice_eq(theirs, S("{\"b\":null}"))) /* what another generator would not write */
			assert_true(m.json.n <= theirs.n);
		arena_clear(&a);
	}
	json_decref(cases);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_edits),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_body_diff_suite),
		cmocka_unit_test(test_draft_02_suite),
		cmocka_unit_test(test_generate_suite),
	};
	return RUN_TESTS(tests);
}
