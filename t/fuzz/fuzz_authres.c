/*
 * The value of an Authentication-Results field from outside, and the same octets as words of a reason in our own: a field that
 * begins with our name is ours however it goes on, and ours is one field.
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
	struct slice field = authres_field(a, S("mx.c.test"), &v), line, rest = field;
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

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	struct slice any = slice_of(at, n);
	struct arena a;

	arena_init(&a, LIMIT_TX_ARENA);
	(void)authres_is_ours(&a, any, S("mx.c.test"));
	(void)authres_is_ours(&a, any, S("b\xc3\xbc" "cher.example"));
	want_ours(&a, any);
	want_field(&a, any);
	WANT(!arena_failed(&a));
	arena_clear(&a);
	return 0;
}
