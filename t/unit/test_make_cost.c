/* What making a recipe costs, counted: twice the lines, twice the work, whatever the lines are. */
#include <limits.h>

#include "auth/dkim2/diff.h"
#include "auth/dkim2/recipe.h"
#include "base/limits.h"
#include "base/map.h"
#include "edits.h"
#include "test.h"

/* Two lists of about n lines. */
struct lists {
	struct slice *before, *now;
	size_t before_n, now_n;
};

static struct slice unlike(struct arena *a, size_t i)
{
	return arena_printf(a, "line %zu of those that are all different", i);
}

static struct lists lists_of(struct arena *a, size_t n, struct slice (*line)(struct arena *a, struct dice *d, size_t i))
{
	struct lists l = { ARENA_ARRAY(a, n, struct slice), ARENA_ARRAY(a, n + 10, struct slice), n, n };
	struct dice d = dice_of(n);

	for (size_t i = 0; i < n; i++)
		l.now[i] = l.before[i] = line(a, &d, i);
	return l;
}

static struct slice each_another(struct arena *a, struct dice *d, size_t i)
{
	(void)d;
	return unlike(a, i);
}

static struct slice all_the_same(struct arena *a, struct dice *d, size_t i)
{
	(void)a;
	(void)d;
	(void)i;
	return S("the same line again and again");
}

static struct slice in_turns(struct arena *a, struct dice *d, size_t i)
{
	(void)a;
	(void)d;
	return i % 3 ? S("one of two lines that take turns") : S("");
}

static struct slice one_of_eight(struct arena *a, struct dice *d, size_t i)
{
	(void)i;
	return unlike(a, dice_roll(d, 8));
}

static void change_ends(struct arena *a, struct lists *l)
{
	l->now[0] = arena_printf(a, "changed at the top");
	l->now[l->now_n - 1] = arena_printf(a, "changed at the end");
}

static struct lists ends_changed(struct arena *a, size_t n)
{
	struct lists l = lists_of(a, n, each_another);

	change_ends(a, &l);
	return l;
}

static struct lists same_ends_changed(struct arena *a, size_t n)
{
	struct lists l = lists_of(a, n, all_the_same);

	change_ends(a, &l);
	return l;
}

static struct lists same_some_more(struct arena *a, size_t n)
{
	struct lists l = lists_of(a, n, all_the_same);

	change_ends(a, &l);
	l.before[0] = S("changed at the top, too");
	l.now_n -= 7;
	l.before[n - 1] = S("changed at the end, too");
	return l;
}

static struct lists wrapped(struct arena *a, size_t n)
{
	struct lists l = lists_of(a, n, each_another);

	memmove(l.now + 3, l.now, n * sizeof(*l.now));
	l.now[0] = l.now[1] = l.now[2] = S("--=");
	l.now_n += 3;
	l.now[l.now_n++] = S("--=--");
	return l;
}

static struct lists wrapped_turns(struct arena *a, size_t n)
{
	struct lists l = lists_of(a, n, in_turns);

	memmove(l.now + 1, l.now, n * sizeof(*l.now));
	l.now[0] = S("--=");
	l.now[n + 1] = S("--=--");
	l.now_n += 2;
	return l;
}

static struct lists quoted(struct arena *a, size_t n)
{
	struct lists l = lists_of(a, n, each_another);

	for (size_t i = 0; i < n; i++)
		l.now[i] = arena_printf(a, "> %.*s", SLICE_FMT(l.before[i]));
	return l;
}

static struct lists some_changed(struct arena *a, size_t n)
{
	struct lists l = lists_of(a, n, each_another);

	for (size_t i = 0; i < n; i += 10)
		l.now[i] = S("changed");
	return l;
}

/* Lines that both have once only in the lower half, so that what is left above them is cut without. */
static struct lists upper_turns(struct arena *a, size_t n)
{
	struct lists l = lists_of(a, n, each_another);

	for (size_t i = 0; i < n / 2; i++)
		l.now[i] = l.before[i] = i % 3 ? S("one of two lines that take turns") : S("the other one of the two lines");
	for (size_t i = 0; i < n / 2; i += 100)
		l.now[i] = S("changed");
	l.now[n - 1] = S("changed at the end");
	return l;
}

static struct lists turned(struct arena *a, size_t n)
{
	struct lists l = lists_of(a, n, each_another);

	for (size_t i = 0; i < n; i++)
		l.now[i] = l.before[n - 1 - i];
	return l;
}

static struct lists mixed(struct arena *a, size_t n)
{
	struct lists l = lists_of(a, n, each_another);
	struct dice d = dice_of(n);

	for (size_t i = n - 1; i > 0; i--) {
		size_t k = dice_roll(&d, (uint32_t)i + 1);
		struct slice s = l.now[i];

		l.now[i] = l.now[k];
		l.now[k] = s;
	}
	return l;
}

static struct lists noise(struct arena *a, size_t n)
{
	struct lists l = lists_of(a, n, one_of_eight);
	struct dice d = dice_of(7 * n);

	for (size_t i = 0; i < n; i++)
		l.now[i] = unlike(a, dice_roll(&d, 8));
	return l;
}

/* Lines that both have once stand wrongly in each half, over and over, so that cutting at them leaves as much again. */
static struct lists halves(struct arena *a, size_t n)
{
	struct lists l = lists_of(a, n, each_another);

	for (size_t width = n; width > 16; width /= 2)
		for (size_t at = 0; at + width <= n; at += width) {
			struct slice s = l.now[at];

			l.now[at] = l.now[at + width - 1];
			l.now[at + width - 1] = s;
			if (at % (3 * width) == 0)
				l.now[at + width / 2] = l.before[at + width / 2] = S("twice and more");
		}
	return l;
}

static const struct {
	const char *name;
	struct lists (*make)(struct arena *a, size_t n);
	unsigned of, lost; /* of so many lines one is not in both lists, and so many more; 0: more per cent than that are copied */
	bool capped;
} shapes[] = {
	{ "both ends changed", ends_changed, UINT_MAX, 2, false },
	{ "both ends changed, one line over and over", same_ends_changed, UINT_MAX, 2, false },
	{ "some less, one line over and over", same_some_more, UINT_MAX, 8, false },
	{ "wrapped", wrapped, UINT_MAX, 0, false },
	{ "wrapped, two lines in turns", wrapped_turns, UINT_MAX, 0, false },
	{ "nothing in common", quoted, 1, 0, false },
	{ "each tenth changed", some_changed, 10, 0, false },
	{ "each hundredth changed, two lines in turns", upper_turns, 0, 95, true },
	{ "turned round", turned, 0, 0, false },
	{ "mixed", mixed, 0, 0, false },
	{ "eight lines at random", noise, 0, 0, true },
	{ "halves of halves exchanged", halves, 0, 0, false },
};

/* In the lists where it claims to be, ascending. Returns how many lines. */
static size_t want_runs(const struct lists *l, const struct diff_run *runs, size_t n)
{
	size_t before = 0, now = 0, copied = 0;

	for (size_t i = 0; i < n; i++) {
		assert_true(runs[i].n > 0 && runs[i].before >= before && runs[i].now >= now);
		before = runs[i].before + runs[i].n;
		now = runs[i].now + runs[i].n;
		assert_true(before <= l->before_n && now <= l->now_n);
		for (size_t k = 0; k < runs[i].n; k++)
			WANT_SLICE(l->now[runs[i].now + k], l->before[runs[i].before + k]);
		copied += runs[i].n;
	}
	return copied;
}

static struct make_work diff(size_t shape, size_t n)
{
	struct make_work work = { 0 };
	struct diff_run *runs;
	size_t run_n, copied;
	struct lists l;
	struct arena a;

	arena_init(&a, SIZE_MAX / 2);
	l = shapes[shape].make(&a, n);
	assert_false(arena_failed(&a));
	assert_true(diff_runs(&a, l.before, l.before_n, l.now, l.now_n, 1, &work, &runs, &run_n));
	copied = want_runs(&l, runs, run_n);
	if (shapes[shape].of)
		assert_int_equal(copied, n - n / shapes[shape].of - shapes[shape].lost);
	else
		assert_true(copied * 100 > n * shapes[shape].lost);
	print_message("#     %zu copied\n", copied);
	arena_clear(&a);
	return work;
}

static void test_linear(void **state)
{
	(void)state;
	for (size_t k = 0; k < sizeof(shapes) / sizeof(*shapes); k++) {
		uint64_t before = 0;

		print_message("# %s\n", shapes[k].name);
		for (size_t n = 5000; n <= 40000; n *= 2) {
			struct make_work work = diff(k, n);
			uint64_t done = work.lines + work.steps;

			print_message("#   %zu lines: %llu looked at, %llu steps%s\n", n, (unsigned long long)work.lines,
			    (unsigned long long)work.steps, work.capped ? ", capped" : "");
			assert_true(work.steps <= LIMIT_DIFF_STEPS + n);
			assert_true(work.lines <= 20 * n);
			assert_true(!work.capped || shapes[k].capped);
			/* What is below the cap may be spent on small lists already. */
			if (before && !shapes[k].capped)
				assert_true(done <= before * 9 / 4 || work.steps <= LIMIT_DIFF_STEPS / 4);
			before = done;
		}
	}
}

/* ---- fields ---- */

static struct header *comments(struct arena *a, size_t n, const char *top, const char *bottom)
{
	struct header *h = ARENA_NEW(a, struct header);
	struct slice *fields = ARENA_ARRAY(a, n + 2, struct slice);
	struct fault f = { 0 };

	fields[0] = arena_printf(a, "Comments: %s", top);
	for (size_t i = 1; i <= n; i++)
		fields[i] = S("Comments: the same remark over and over");
	fields[n + 1] = arena_printf(a, "Comments: %s", bottom);
	assert_true(header_parse(a, edit_join(a, fields, n + 2, false), 100000, h, &f));
	return h;
}

static void test_equal_fields(void **state)
{
	(void)state;
	for (size_t n = 4000; n <= 16000; n *= 2) {
		const struct recipe_field *fields;
		struct make_work work = { 0 };
		struct recipe r = { 0 };
		struct arena a;
		struct buf json;
		struct slice want;

		arena_init(&a, SIZE_MAX / 2);
		assert_int_equal(make_header(&a, draft_of(DRAFT_NEWEST), comments(&a, n, "top before", "bottom before"),
		                     comments(&a, n + 5, "top now", "bottom now"), &fields, &r.field_count, &work), MAKE_DONE);
		r.fields = fields;
		buf_init(&json, 1000);
		recipe_write(&r, &json);
		want = arena_printf(&a, "{\"h\":{\"comments\":[{\"d\":[\" bottom before\"]},{\"c\":[2,%zu]},{\"d\":[\" top before\"]}]}}", n + 1);
		WANT_SLICE(buf_get(&json), want);
		assert_true(work.lines + work.steps <= 12 * n);
		buf_release(&json);
		arena_clear(&a);
	}
}

/* ---- lines made to meet in one place of a table ---- */

static void test_crowded(void **state)
{
	/* As in diff.c: who reads the source can make such lines, so what they cost is bounded, not prevented. */
	static const uint64_t seed[2] = { 0x6869677565726574U, 0x6e6e6975716e6575U };
	enum { LINES = 500, ROOM = 1024 };
	struct make_work work = { 0 };
	struct diff_run *runs;
	size_t n = 0, run_n;
	struct lists l;
	struct arena a;

	(void)state;
	arena_init(&a, SIZE_MAX / 2);
	l = lists_of(&a, LINES, each_another);
	for (size_t i = 0; n < LINES; i++) {
		struct slice s = unlike(&a, i);

		if (map_hash(seed, s) % ROOM < 4)
			l.before[n++] = s;
	}
	for (size_t i = 0; i < LINES; i++)
		l.now[i] = l.before[LINES - 1 - i];
	assert_true(diff_runs(&a, l.before, LINES, l.now, LINES, 1, &work, &runs, &run_n));
	(void)want_runs(&l, runs, run_n);
	assert_true(work.steps < 1000); /* most lines found no place */
	arena_clear(&a);
}

/* ---- more lines than are looked at ---- */

static enum make_state body(struct arena *a, struct slice before, struct slice now, struct recipe_steps *out, struct make_work *work)
{
	*work = (struct make_work){ 0 };
	return make_body(a, &before, 1, &now, 1, out, work);
}

static void test_too_many_lines(void **state)
{
	struct slice few = S("a\r\none line of its own\r\na\r\n"), many;
	struct recipe_steps steps = { NULL, 0 };
	struct make_work work;
	struct arena a;
	struct buf b;

	(void)state;
	arena_init(&a, SIZE_MAX / 2);
	buf_init(&b, SIZE_MAX / 2);
	for (size_t i = 0; i < LIMIT_DIFF_LINES - 3; i++)
		buf_str(&b, "a\r\n");
	buf_str(&b, "one line of its own\r\n");
	assert_int_equal(body(&a, few, buf_get(&b), &steps, &work), MAKE_DONE);
	assert_false(work.capped);
	assert_int_equal(steps.n, 2); /* the last one is a literal */
	buf_str(&b, "b\r\nb\r\nb\r\nb\r\n");
	many = buf_get(&b);
	assert_int_equal(body(&a, few, many, &steps, &work), MAKE_DONE);
	assert_true(work.capped);
	assert_true(steps.n == 1 && steps.steps[0].texts && steps.steps[0].count == 3);
	assert_int_equal(body(&a, many, few, &steps, &work), MAKE_BIG);
	assert_true(work.capped);
	buf_release(&b);
	arena_clear(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_linear),
		cmocka_unit_test(test_equal_fields),
		cmocka_unit_test(test_crowded),
		cmocka_unit_test(test_too_many_lines),
	};
	return RUN_TESTS(tests);
}
