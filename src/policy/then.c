#include <stdio.h>

#include "base/limits.h"
#include "policy/fact.h"
#include "policy/then.h"

static bool fail(struct arena *a, const char **error_out, struct slice text)
{
	const char *copy = arena_string(a, text);

	*error_out = copy && !arena_failed(a) ? copy : "out of memory";
	return false;
}

/* Moves to what follows the next {fact}; false: there is none. Texts here have been checked. */
static bool next_fact(struct slice *from, struct slice *before_out, struct slice *name_out)
{
	if (!slice_cut(from, '{', before_out))
		return false;
	slice_cut(from, '}', name_out);
	return true;
}

static bool text_check(struct arena *a, struct slice text, const char **error_out)
{
	struct slice left = text, before, name;
	enum fact fact;

	if (text.n > THEN_TEXT)
		return fail(a, error_out,
		    arena_printf(a, "a text of %zu octets, expected at most %d", text.n, THEN_TEXT));
	for (size_t i = 0; i < text.n; i++)
		if (text.at[i] < 0x20 || text.at[i] > 0x7e)
			return fail(a, error_out,
			    arena_printf(a, "octet 0x%02x in a reply, expected printable ASCII", text.at[i]));
	while (slice_cut(&left, '{', &before)) {
		if (slice_find(before, '}') != before.n || !slice_cut(&left, '}', &name))
			return fail(a, error_out,
			    arena_printf(a, "a brace without its other half in \"%.*s\", expected {fact}", SLICE_FMT(text)));
		if (!fact_find(name, &fact))
			return fail(a, error_out,
			    arena_printf(a, "unknown fact \"{%.*s}\", expected one of %s", SLICE_FMT(name), fact_names(a)));
	}
	if (slice_find(before, '}') != before.n)
		return fail(a, error_out,
		    arena_printf(a, "a brace without its other half in \"%.*s\", expected {fact}", SLICE_FMT(text)));
	return true;
}

/* RFC 5321 4.2.1: second digit 0..5; 421 and 521 would close the session, which a ruling does not. */
static bool code_parse(struct slice word, char class, short *basic_out)
{
	uint64_t v;

	if (word.n != 3 || word.at[0] != class || word.at[1] > '5' || !slice_u64(word, 999, &v) || v % 100 == 21)
		return false;
	*basic_out = (short)v;
	return true;
}

/* RFC 3463 2: class "." subject "." detail, both 1*3DIGIT without leading zeros. */
static bool enhanced_parse(struct slice word, char class, char out[12])
{
	struct slice left = word, part;
	uint64_t v;

	for (int i = 0; i < 3; i++) {
		if (slice_cut(&left, '.', &part) != (i < 2) || !slice_u64(part, 999, &v) || part.n > 3)
			return false;
		if (part.n > 1 && part.at[0] == '0')
			return false;
		if (i == 0 && (part.n != 1 || part.at[0] != class))
			return false;
	}
	snprintf(out, 12, "%.*s", SLICE_FMT(word));
	return true;
}

bool then_parse(struct arena *a, struct slice text, struct then *out, const char **error_out)
{
	struct slice rest = slice_trim(text), word;
	struct then t = { .kind = RULING_NONE };
	char class;

	slice_cut(&rest, ' ', &word);
	rest = slice_trim(rest);
	if (slice_eq(word, S("accept")))
		t.kind = RULING_ACCEPT;
	else if (slice_eq(word, S("bypass")))
		t.kind = RULING_BYPASS;
	else if (slice_eq(word, S("refuse")))
		t.kind = RULING_REFUSE;
	else if (slice_eq(word, S("defer")))
		t.kind = RULING_DEFER;
	else
		return fail(a, error_out,
		    arena_printf(a, "unknown ruling \"%.*s\", expected accept, bypass, refuse or defer", SLICE_FMT(word)));
	if (t.kind == RULING_ACCEPT || t.kind == RULING_BYPASS) {
		if (rest.n)
			return fail(a, error_out,
			    arena_printf(a, "\"%.*s\" behind %.*s, expected nothing", SLICE_FMT(rest), SLICE_FMT(word)));
		*out = t;
		return true;
	}
	class = t.kind == RULING_REFUSE ? '5' : '4';
	t.basic = t.kind == RULING_REFUSE ? 550 : 451;
	snprintf(t.enhanced, sizeof(t.enhanced), "%c.7.1", class);
	if (rest.n == 0) {
		*out = t;
		return true;
	}
	slice_cut(&rest, ' ', &word);
	rest = slice_trim(rest);
	if (!code_parse(word, class, &t.basic))
		return fail(a, error_out,
		    arena_printf(a, "reply code \"%.*s\", expected %c00..%c59 but not %c21", SLICE_FMT(word), class, class, class));
	slice_cut(&rest, ' ', &word);
	t.text = slice_trim(rest);
	if (!enhanced_parse(word, class, t.enhanced))
		return fail(a, error_out,
		    arena_printf(a, "enhanced code \"%.*s\" behind %d, expected %c.x.x", SLICE_FMT(word), t.basic, class));
	if (!text_check(a, t.text, error_out))
		return false;
	*out = t;
	return true;
}

bool then_ready(const struct then *t, const struct facts *f)
{
	struct slice left = t->text, before, name;
	enum fact fact;

	while (next_fact(&left, &before, &name))
		if (fact_find(name, &fact) && !f->known[fact])
			return false;
	return true;
}

bool then_wants(const struct then *t, enum fact_stage stage)
{
	struct slice left = t->text, before, name;
	enum fact fact;

	while (next_fact(&left, &before, &name))
		if (fact_find(name, &fact) && fact_stage(fact) >= stage)
			return true;
	return false;
}

bool then_looks_at(const struct then *t, struct slice about)
{
	struct slice left = t->text, before, name;
	enum fact fact;

	while (next_fact(&left, &before, &name))
		if (fact_find(name, &fact) && fact_is_about(fact, about))
			return true;
	return false;
}

struct line {
	char at[sizeof(((struct fault *)0)->text)];
	size_t n;
};

static void line_add(struct line *l, struct slice s)
{
	for (size_t i = 0; i < s.n && l->n < sizeof(l->at); i++)
		l->at[l->n++] = s.at[i] < 0x20 || s.at[i] > 0x7e ? '?' : (char)s.at[i];
}

void then_fault(const struct then *t, const struct facts *f, struct fault *out)
{
	struct slice left = t->text, before, name, text;
	struct line l = { .n = 0 };
	enum fact fact;

	*out = (struct fault){ .code = FAULT_NONE };
	fault_set(out, FAULT_POLICY, 0);
	out->basic = t->basic;
	memcpy(out->enhanced, t->enhanced, sizeof(out->enhanced));
	while (next_fact(&left, &before, &name)) {
		line_add(&l, before);
		if (!fact_find(name, &fact))
			continue;
		line_add(&l, f->known[fact] ? slice_sub(f->value[fact], 0, LIMIT_REASON) : S("unknown"));
	}
	line_add(&l, before);
	text = slice_trim(slice_of(l.at, l.n));
	if (text.n)
		fault_text(out, text);
	else if (t->kind == RULING_DEFER)
		fault_text(out, S("deferred by policy"));
}
