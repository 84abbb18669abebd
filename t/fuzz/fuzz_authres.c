/*
 * The value of an Authentication-Results field from outside, and the same octets as words of a reason in our own, and as values of
 * any result: a field that begins with our name is ours however it goes on, ours is one field, and what is written is read again.
 */
#include "auth/authres.h"
#include "base/limits.h"
#include "fuzz.h"

static struct slice joined(struct arena *a, struct slice x, struct slice y)
{
	unsigned char *p = arena_take(a, x.n + y.n);

	WANT(p);
	if (x.n)
		memcpy(p, x.at, x.n);
	if (y.n)
		memcpy(p + x.n, y.at, y.n);
	return slice_of(p, x.n + y.n);
}

static void want_ours(struct arena *a, struct slice any)
{
	static const char *const heads[] = { "mx.c.test;", "mx.c.test ;", "(\\))MX.c.test;", "\r\n \"mx.c.test\" 1;", "mx.c.test (;", "mx.c.test=" };

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		WANT(authres_is_ours(a, joined(a, slice_str(heads[i]), any), S("mx.c.test")));
}

static void want_field(struct arena *a, struct slice reason)
{
	struct dkim2_hop hop = { .i = 1, .d_normal = S("a.test"), .state = DKIM2_FAIL };
	const struct dkim2_verdict v = { .state = DKIM2_FAIL, .reason = reason, .hops = &hop, .hop_count = 1, .blamed = 1 };
	struct authres_result result = authres_dkim2(a, &v);
	struct slice field = authres_field(a, S("Authentication-Results"), S("mx.c.test"), &result, 1), line, rest = field;
	struct header h;
	struct fault f = { 0 };
	size_t depth = 0, results = 0;

	WANT(header_parse(a, field, 1, &h, &f) && !h.malformed && h.n == 1);
	while (rest.n) {
		WANT(slice_cut(&rest, '\n', &line));
		WANT(line.n < 998 && line.at[line.n - 1] == '\r' && slice_trim(line).n > 0);
		WANT(!memchr(line.at, '\r', line.n - 1) && !memchr(line.at, '\0', line.n));
	}
	for (size_t i = 0; i < field.n; i++) {
		if (field.at[i] == '\\')
			i++;
		else if (field.at[i] == '(')
			depth++;
		else if (field.at[i] == ')')
			WANT(depth-- > 0);
		else if (depth == 0)
			results += field.at[i] == ';';
	}
	WANT(depth == 0 && results == 1);
}

/* Written, read, and written again it is the same, and as many results. In: names that are keywords of at most 63 octets */
static void want_round(struct arena *a, struct slice id, const struct authres_result *results, size_t n)
{
	struct slice value = authres_value(a, id, results, n), again;
	const struct authres_result *read;
	size_t m;

	WANT(value.n > 0);
	WANT(authres_parse(a, value, &again, &read, &m));
	WANT(m == n);
	for (size_t i = 0; i < n; i++)
		WANT(slice_eq(read[i].method, results[i].method) && slice_eq(read[i].result, results[i].result) && read[i].prop_count <= results[i].prop_count);
	/* comments are gone now, and nothing else goes any more */
	value = authres_value(a, id, read, m);
	WANT(authres_parse(a, value, &again, &read, &m) && m == n);
	WANT(slice_eq(authres_value(a, again, read, m), value));
	value = authres_field(a, S("X"), id, read, m);
	WANT(authres_parse(a, slice_trim(slice_sub(value, 2, SIZE_MAX)), &again, &read, &m) && m == n);
}

static bool short_names(const struct authres_result *results, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (results[i].method.n > 63 || results[i].result.n > 63)
			return false;
	return true;
}

static void want_read(struct arena *a, struct slice any)
{
	const struct authres_result *results;
	struct slice id;
	size_t n;

	const struct authres_result *gleaned;
	size_t more;
	bool gleans = authres_glean(a, any, &id, &gleaned, &more);

	WANT(!gleans || more <= LIMIT_AUTHRES_RESULTS);
	if (authres_parse(a, any, &id, &results, &n)) {
		WANT(n <= LIMIT_AUTHRES_RESULTS && gleans && more == n);
		for (size_t i = 0; i < n; i++)
			WANT(slice_eq(results[i].method, gleaned[i].method) && slice_eq(results[i].result, gleaned[i].result) &&
			    results[i].prop_count == gleaned[i].prop_count);
		if (short_names(results, n) && id.n < LIMIT_AUTHRES_VALUE)
			want_round(a, S("mx.c.test"), results, n);
	}
}

static void want_hostile(struct arena *a, struct slice any)
{
	struct slice x, y, rest = any;
	struct authres_prop props[2];
	struct authres_result results[2];

	slice_cut(&rest, '\n', &x);
	slice_cut(&rest, '\n', &y);
	props[0] = (struct authres_prop){ S("smtp"), S("mailfrom"), x };
	props[1] = (struct authres_prop){ S("header"), S("b"), y };
	results[0] = (struct authres_result){ .method = S("spf"), .result = S("fail"), .comment = any, .reason = rest, .props = props, .prop_count = 2 };
	results[1] = (struct authres_result){ .method = S("dkim"), .result = S("none"), .comment = y };
	want_round(a, S("mx.c.test"), results, 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	struct slice any = slice_of(at, n);
	struct arena a;

	arena_init(&a, LIMIT_TX_ARENA);
	(void)authres_is_ours(&a, any, S("mx.c.test"));
	(void)authres_is_ours(&a, any, S("b\xc3\xbc" "cher.example"));
	want_ours(&a, any);
	want_field(&a, any);
	want_read(&a, any);
	want_hostile(&a, any);
	WANT(!arena_failed(&a));
	arena_clear(&a);
	return 0;
}
