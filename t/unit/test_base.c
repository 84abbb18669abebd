/* The ground floor: slices, buffers, arenas, maps, base64, faults. */
#include "test.h"

#include "base/arena.h"
#include "base/b64.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/map.h"

static void slice_rows(void **state)
{
	struct slice s = S("abc"), head = S("x");
	uint64_t v = 7;

	(void)state;
	assert_false(slice_take(&s, 4, &head));
	WANT_SLICE(head, S("x"));
	assert_true(slice_take(&s, 2, &head));
	WANT_SLICE(head, S("ab"));
	WANT_SLICE(s, S("c"));
	WANT_SLICE(slice_sub(S("abc"), 1, SIZE_MAX), S("bc"));
	WANT_SLICE(slice_sub(S("abc"), 9, 1), SLICE_NONE);
	WANT_SLICE(slice_trim(S(" \t\r\na b\r\n ")), S("a b"));
	assert_true(slice_u64(S("18446744073709551615"), UINT64_MAX, &v));
	assert_true(v == UINT64_MAX);
	assert_false(slice_u64(S("18446744073709551616"), UINT64_MAX, &v));
	assert_false(slice_u64(S(""), 9, &v));
	assert_false(slice_u64(S("-1"), 9, &v));
	assert_false(slice_u64(S("10"), 9, &v));
	s = S("a;b");
	assert_true(slice_cut(&s, ';', &head));
	WANT_SLICE(head, S("a"));
	assert_false(slice_cut(&s, ';', &head));
	WANT_SLICE(head, S("b"));
	assert_int_equal(s.n, 0);
	assert_true(slice_ieq(S("HeLo"), S("hElO")));
	assert_false(slice_ieq(S("\xc0"), S("\xe0")));
}

static void buf_fails_stickily_at_its_ceiling(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	buf_str(&b, "12345678");
	buf_str(&b, "abc");
	buf_str(&b, "x");
	assert_true(buf_failed(&b));
	WANT_SLICE(buf_get(&b), S("12345678"));
	buf_clear(&b);
	buf_printf(&b, "%s", "0123456789");
	assert_false(buf_failed(&b));
	buf_drop(&b, 3);
	WANT_SLICE(buf_get(&b), S("3456789"));
	buf_release(&b);
}

static void buf_gives_back_what_it_does_not_use(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10000);
	buf_fit(&b);
	assert_non_null(buf_room(&b, 5000));
	buf_fit(&b); /* nothing is held: what it has may as well be used */
	buf_str(&b, "12345678");
	buf_fit(&b);
	assert_int_equal(b.room, 8);
	buf_str(&b, "9");
	WANT_SLICE(buf_get(&b), S("123456789"));
	buf_release(&b);
}

/* A page, then as much again as there is: no more than half of it lies idle. */
static void arena_grows_with_what_it_holds(void **state)
{
	struct arena a;
	size_t used = 0;

	(void)state;
	arena_init(&a, 1 << 20);
	for (int i = 0; i < 200; i++) {
		assert_non_null(arena_take(&a, 512));
		used += 512;
		assert_true(a.held <= 4096 || a.held <= used * 2 + 512);
	}
	assert_true(a.held >= used);
	arena_clear(&a);
}

static void arena_stays_below_its_ceiling(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 10000);
	for (int i = 0; i < 9; i++)
		assert_non_null(arena_take(&a, 1000));
	assert_null(arena_take(&a, 5000));
	assert_true(arena_failed(&a));
	arena_clear(&a);
	assert_false(arena_failed(&a));
	assert_null(arena_array(&a, SIZE_MAX / 2, 3));
	arena_clear(&a);
}

static void map_finds_what_was_put(void **state)
{
	static const uint64_t seed[2] = { 1, 2 };
	struct map m;
	char key[16];
	void *old;

	(void)state;
	map_init(&m, seed);
	for (uintptr_t i = 1; i <= 1000; i++) {
		snprintf(key, sizeof(key), "k%u", (unsigned)i);
		assert_true(map_put(&m, slice_str(key), (void *)i, &old));
		assert_null(old);
	}
	for (uintptr_t i = 1; i <= 1000; i++) {
		snprintf(key, sizeof(key), "k%u", (unsigned)i);
		assert_ptr_equal(map_get(&m, slice_str(key)), (void *)i);
	}
	assert_null(map_get(&m, S("k1001")));
	assert_ptr_equal(map_take(&m, S("k7")), (void *)7);
	assert_null(map_get(&m, S("k7")));
	assert_int_equal(m.n, 999);
	map_release(&m, NULL);
}

/* Appendix A of the SipHash paper: key 00..0f, input 00..0e. */
static void map_hash_is_siphash_2_4(void **state)
{
	static const uint64_t seed[2] = { 0x0706050403020100U, 0x0f0e0d0c0b0a0908U };
	unsigned char in[15];

	(void)state;
	for (unsigned i = 0; i < sizeof(in); i++)
		in[i] = (unsigned char)i;
	assert_true(map_hash(seed, slice_of(in, sizeof(in))) == 0xa129ca6149be45e5U);
}

static void b64_is_canonical(void **state)
{
	static const struct {
		const char *name, *text, *octets; /* octets NULL: refused */
	} rows[] = {
		{ "empty", "", "" },
		{ "one octet", "Zg==", "f" },
		{ "two octets", "Zm8=", "fo" },
		{ "three octets", "Zm9v", "foo" },
		{ "folded", "Zm\r\n 9v", "foo" },
		{ "missing padding", "Zg", NULL },
		{ "short padding", "Zg=", NULL },
		{ "surplus padding", "Zm9v=", NULL },
		{ "only padding", "====", NULL },
		{ "pad bits set", "Zh==", NULL },
		{ "pad bits set, three letters", "Zm9=", NULL },
		{ "inner padding", "Zg==Zg==", NULL },
		{ "URL alphabet", "-_-_", NULL },
		{ "one letter", "Z", NULL },
		{ "one letter, three pads", "Z===", NULL },
	};
	struct arena a;
	struct slice out;

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool ok = b64_decode(&a, slice_str(rows[i].text), true, &out);

		if (ok != (rows[i].octets != NULL))
			fail_msg("%s", rows[i].name);
		if (ok)
			WANT_SLICE(out, slice_str(rows[i].octets));
	}
	assert_false(b64_decode(&a, S("Zm 9v"), false, &out));
	WANT_SLICE(b64_text(&a, S("\xff\xfe")), S("//4="));
	WANT_SLICE(b64_text(&a, S("foob")), S("Zm9vYg=="));
	arena_clear(&a);
}

/* Twelve digits, one of them replaced by any octet, with and without a fold somewhere. */
static void b64_takes_its_alphabet_only(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 26);
	for (size_t at = 0; at < 12; at++) {
		for (unsigned c = 0; c < 256; c++) {
			unsigned char text[] = "Zm9vYmFyZm9v", folded[16];
			bool digit = (c < 128 && (ascii_alpha((unsigned char)c) || ascii_digit((unsigned char)c))) || c == '+' || c == '/';
			struct slice out, same;

			text[at] = (unsigned char)c;
			assert_int_equal(b64_decode(&a, slice_of(text, 12), true, &out), digit);
			assert_int_equal(b64_decode(&a, slice_of(text, 12), false, &out), digit);
			if (digit)
				WANT_SLICE(b64_text(&a, out), slice_of(text, 12));
			memcpy(folded, text, at);
			memcpy(folded + at, "\r\n ", 3);
			memcpy(folded + at + 3, text + at, 12 - at);
			assert_int_equal(b64_decode(&a, slice_of(folded, 15), true, &same), digit);
			if (digit)
				WANT_SLICE(same, out);
			assert_false(b64_decode(&a, slice_of(folded, 15), false, &same));
		}
	}
	arena_clear(&a);
}

static void fault_keeps_the_first(void **state)
{
	struct fault f = { 0 };
	char name[FAULT_NAME_OCTETS];

	(void)state;
	assert_false(fault_set(&f, FAULT_BARE_LF, 3));
	fault_set(&f, FAULT_NUL, 9);
	assert_int_equal(f.code, FAULT_BARE_LF);
	assert_int_equal(f.basic, 550);
	assert_string_equal(f.enhanced, "5.5.2");
	fault_name(f.code, name);
	assert_string_equal(name, "bare_lf");
	fault_text(&f, S("a\r\nb"));
	assert_string_equal(f.text, "a??b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slice_rows),
		cmocka_unit_test(buf_fails_stickily_at_its_ceiling),
		cmocka_unit_test(buf_gives_back_what_it_does_not_use),
		cmocka_unit_test(arena_grows_with_what_it_holds),
		cmocka_unit_test(arena_stays_below_its_ceiling),
		cmocka_unit_test(map_finds_what_was_put),
		cmocka_unit_test(map_hash_is_siphash_2_4),
		cmocka_unit_test(b64_is_canonical),
		cmocka_unit_test(b64_takes_its_alphabet_only),
		cmocka_unit_test(fault_keeps_the_first),
	};

	return RUN_TESTS(tests);
}
