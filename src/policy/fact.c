#include "base/ip.h"
#include "crypt/cert.h"
#include "mail/addr.h"
#include "mail/domain.h"
#include "policy/fact.h"

enum fact_type { TYPE_TEXT, TYPE_WORD, TYPE_DOMAIN, TYPE_PATH, TYPE_ADDRESS, TYPE_NUMBER, TYPE_FINGERPRINT };

static const struct {
	const char *name;
	enum fact_type type;
	enum fact_stage stage;
	const char *words;
} rows[FACT_COUNT] = {
#define FACT(id, name, type, stage, words) [FACT_##id] = { name, TYPE_##type, STAGE_##stage, words },
#include "policy/fact.def"
#undef FACT
};

static const char blanks[] = " \t,";

const char *fact_name(enum fact fact)
{
	return rows[fact].name;
}

enum fact_stage fact_stage(enum fact fact)
{
	return rows[fact].stage;
}

bool fact_is_about(enum fact fact, struct slice name)
{
	struct slice own = slice_str(rows[fact].name);

	return slice_starts(own, name) && (own.n == name.n || own.at[name.n] == '.');
}

bool fact_find(struct slice name, enum fact *fact_out)
{
	for (size_t i = 0; i < FACT_COUNT; i++)
		if (slice_eq(name, slice_str(rows[i].name))) {
			*fact_out = (enum fact)i;
			return true;
		}
	return false;
}

const char *fact_names(struct arena *a)
{
	struct slice all = SLICE_NONE;

	for (size_t i = 0; i < FACT_COUNT; i++)
		all = arena_printf(a, "%.*s%s%s", SLICE_FMT(all), i ? ", " : "", rows[i].name);
	return arena_string(a, all);
}

void facts_set(struct facts *f, enum fact fact, struct slice value)
{
	f->known[fact] = true;
	f->value[fact] = value;
}

/* The next piece up to a blank or comma; false: there is none. */
static bool next_word(struct slice *from, const char *ends, struct slice *word_out)
{
	size_t n = 0;

	while (from->n && strchr(ends, from->at[0]))
		*from = slice_sub(*from, 1, SIZE_MAX);
	while (n < from->n && (from->at[n] == '\0' || !strchr(ends, from->at[n])))
		n++;
	*word_out = slice_sub(*from, 0, n);
	*from = slice_sub(*from, n, SIZE_MAX);
	return n != 0;
}

static bool word_known(const char *words, struct slice word)
{
	struct slice left = slice_str(words), w;

	if (left.n == 0)
		return true;
	while (next_word(&left, blanks, &w))
		if (slice_eq(w, word))
			return true;
	return false;
}

static bool number_parse(struct slice text, bool range, struct fact_value *v)
{
	size_t dots = slice_find(text, '.');

	if (dots == text.n || !range) {
		if (!slice_u64(text, UINT64_MAX, &v->low))
			return false;
		v->high = v->low;
		return true;
	}
	return slice_u64(slice_sub(text, 0, dots), UINT64_MAX, &v->low) &&
	    slice_starts(slice_sub(text, dots, SIZE_MAX), S("..")) &&
	    slice_u64(slice_sub(text, dots + 2, SIZE_MAX), UINT64_MAX, &v->high) && v->low <= v->high;
}

static bool path_value(struct arena *a, struct slice text, struct fact_value *v)
{
	struct path p;

	v->text = text.n && text.at[0] == '<' ? text : arena_printf(a, "<%.*s>", SLICE_FMT(text));
	return path_parse(v->text, &p);
}

/* As it is known, however it was written; or "none". */
static bool fingerprint_value(struct arena *a, struct slice text, struct fact_value *v)
{
	char digits[CERT_FINGERPRINT];

	if (slice_eq(text, S("none")))
		return true;
	if (!cert_fingerprint_parse(text, digits))
		return false;
	v->text = arena_copy(a, slice_str(digits));
	return true;
}

static bool value_parse(struct arena *a, enum fact fact, enum fact_op op, struct slice text, struct fact_value *v,
    const char **expected_out)
{
	bool good = true;

	*v = (struct fact_value){ .text = text };
	*expected_out = "a value";
	switch (rows[fact].type) {
	case TYPE_TEXT:
		break;
	case TYPE_WORD:
		good = word_known(rows[fact].words, text);
		*expected_out = arena_string(a, arena_printf(a, "one of %s", rows[fact].words));
		break;
	case TYPE_DOMAIN:
		v->below = text.n > 1 && text.at[0] == '.';
		good = domain_normal(a, slice_sub(text, v->below, SIZE_MAX), &v->text);
		*expected_out = "a domain, or .domain for all below it";
		break;
	case TYPE_PATH:
		good = path_value(a, text, v);
		*expected_out = "an address, or <> for the null path";
		break;
	case TYPE_ADDRESS:
		good = cidr_parse(text, &v->net);
		*expected_out = "an IP address or a network without host bits";
		break;
	case TYPE_NUMBER:
		good = number_parse(text, op == FACT_IN, v);
		*expected_out = op == FACT_IN ? "numbers or N..M" : "a number";
		break;
	case TYPE_FINGERPRINT:
		good = fingerprint_value(a, text, v);
		*expected_out = "a SHA-256 fingerprint of 64 hexadecimal digits, or none";
		break;
	}
	return good;
}

static bool fail(struct arena *a, const char **error_out, struct slice text)
{
	const char *copy = arena_string(a, text);

	*error_out = copy && !arena_failed(a) ? copy : "out of memory";
	return false;
}

static bool values_parse(struct arena *a, struct slice rest, struct fact_test *t, const char **error_out)
{
	const char *ends = t->op == FACT_IN ? blanks : "", *expected;
	struct slice left = rest, word;
	size_t n = 0;

	while (next_word(&left, ends, &word))
		n++;
	t->values = ARENA_ARRAY(a, n, struct fact_value);
	if (!t->values)
		return fail(a, error_out, SLICE_NONE);
	for (left = rest, t->value_count = 0; next_word(&left, ends, &word); t->value_count++)
		if (!value_parse(a, t->fact, t->op, word, &t->values[t->value_count], &expected))
			return fail(a, error_out,
			    arena_printf(a, "\"%.*s\" is no value of %s, expected %s", SLICE_FMT(word),
				rows[t->fact].name, expected));
	return true;
}

bool fact_test_parse(struct arena *a, struct slice text, struct fact_test *out, const char **error_out)
{
	static const char shape[] = "expected FACT = VALUE, FACT != VALUE or FACT in LIST";
	struct fact_test t = { .op = FACT_IS };
	struct slice rest = slice_trim(text), name, op;
	size_t n = 0;

	while (n < rest.n && !strchr(" \t=!", rest.at[n]))
		n++;
	name = slice_sub(rest, 0, n);
	rest = slice_trim(slice_sub(rest, n, SIZE_MAX));
	if (slice_starts(rest, S("!=")))
		op = S("!="), t.op = FACT_IS_NOT;
	else if (slice_starts(rest, S("=")))
		op = S("=");
	else if (slice_starts(rest, S("in ")) || slice_starts(rest, S("in\t")))
		op = S("in"), t.op = FACT_IN;
	else
		return fail(a, error_out,
		    arena_printf(a, "condition \"%.*s\" has no operator, %s", SLICE_FMT(text), shape));
	rest = slice_trim(slice_sub(rest, op.n, SIZE_MAX));
	if (!fact_find(name, &t.fact))
		return fail(a, error_out,
		    arena_printf(a, "unknown fact \"%.*s\", expected one of %s", SLICE_FMT(name), fact_names(a)));
	if (rest.n == 0 || rest.at[0] == '=')
		return fail(a, error_out,
		    arena_printf(a, "condition \"%.*s\" has no value, %s", SLICE_FMT(text), shape));
	if (t.op == FACT_IN && rows[t.fact].type == TYPE_TEXT)
		return fail(a, error_out,
		    arena_printf(a, "%s in a list, expected = or != and one text", rows[t.fact].name));
	if (!values_parse(a, rest, &t, error_out))
		return false;
	if (t.value_count == 0)
		return fail(a, error_out,
		    arena_printf(a, "condition \"%.*s\" has no value, %s", SLICE_FMT(text), shape));
	if (arena_failed(a))
		return fail(a, error_out, SLICE_NONE);
	*out = t;
	return true;
}

static bool domain_matches(struct arena *a, const struct fact_value *v, struct slice value)
{
	struct slice normal;

	if (!domain_normal(a, value, &normal))
		return false;
	if (!v->below)
		return slice_eq(normal, v->text);
	return normal.n > v->text.n + 1 && slice_ends(normal, v->text) && normal.at[normal.n - v->text.n - 1] == '.';
}

static bool value_matches(struct arena *a, const struct fact_test *t, const struct fact_value *v, struct slice value)
{
	unsigned char address[16];
	uint64_t number;

	switch (rows[t->fact].type) {
	case TYPE_TEXT:
	case TYPE_WORD:
	case TYPE_FINGERPRINT:
		return slice_eq(value, v->text);
	case TYPE_DOMAIN:
		return domain_matches(a, v, value);
	case TYPE_PATH:
		return path_same(a, value, v->text);
	case TYPE_ADDRESS:
		return ip_parse(value, address) && cidr_holds(&v->net, address);
	case TYPE_NUMBER:
		return slice_u64(value, UINT64_MAX, &number) && number >= v->low && number <= v->high;
	}
	return false;
}

bool fact_test_holds(struct arena *scratch, const struct fact_test *t, struct slice value)
{
	for (size_t i = 0; i < t->value_count; i++) {
		bool same = value_matches(scratch, t, &t->values[i], value);

		if (arena_failed(scratch))
			return false;
		arena_clear(scratch);
		if (same)
			return t->op != FACT_IS_NOT;
	}
	return t->op == FACT_IS_NOT;
}
