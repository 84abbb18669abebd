#include "policy/fact.h"
#include "policy/rule.h"
#include "policy/then.h"

enum { SCRATCH_OCTETS = 65536 }; /* to compare one value with a fact: a few times their length */

struct rule {
	const char *name;
	struct fact_test *tests;
	size_t test_count;
	struct then then;
};

struct policy {
	const char *name;
	const struct rule_text *texts;
	const char *otherwise;
	struct rule *rules; /* the last one is `otherwise` and has no tests */
	size_t rule_count;
};

/*
 * What INTERFACE.md section 3 shows as "inbound", but for its partner; then what DMARC asks for, unless a chain explains it
 * (auth/outcome.h). Of what could not be found out, only that defers which would decide.
 */
static const char *const when_fail[] = { "dkim2 = fail" };
static const char *const when_permerror[] = { "dkim2 = permerror" };
static const char *const when_temperror[] = { "dkim2 = temperror" };
static const char *const when_no_author[] = { "dmarc = permerror" };
static const char *const when_reject[] = { "dmarc.disposition = reject" };
static const char *const when_open[] = { "dmarc.disposition = temperror" };
static const struct rule_text built_in[] = {
	{ "broken chain", when_fail, 1, "refuse 550 5.7.1 {dkim2.reason}" },
	{ "bad chain", when_permerror, 1, "refuse 550 5.7.1 {dkim2.reason}" },
	{ "key unreachable", when_temperror, 1, "defer 451 4.7.5 {dkim2.reason}" },
	{ "no author", when_no_author, 1, "refuse 550 5.6.0 {dmarc.reason}" },
	{ "author refuses", when_reject, 1, "refuse 550 5.7.1 DMARC of {from.domain} fails, and its policy is to refuse such mail" },
	{ "author unreachable", when_open, 1, "defer 451 4.7.5 whether mail of {from.domain} is to be refused is not known yet" },
};

const char *ruling_name(enum ruling_kind kind)
{
	static const char *const names[] = {
		[RULING_NONE] = "none",
		[RULING_ACCEPT] = "accept",
		[RULING_BYPASS] = "bypass",
		[RULING_REFUSE] = "refuse",
		[RULING_DEFER] = "defer",
	};

	return names[kind];
}

static bool rule_parse(struct arena *a, const struct rule_text *text, struct rule *out, const char **error_out)
{
	struct rule r = { .name = text->name, .test_count = text->when_count };

	r.tests = ARENA_ARRAY(a, text->when_count, struct fact_test);
	if (!r.tests) {
		*error_out = "out of memory";
		return false;
	}
	for (size_t i = 0; i < text->when_count; i++)
		if (!fact_test_parse(a, slice_str(text->when[i]), &r.tests[i], error_out))
			return false;
	if (!then_parse(a, slice_str(text->then), &r.then, error_out))
		return false;
	*out = r;
	return true;
}

struct policy *policy_new(struct arena *a, const char *name, const struct rule_text *rules, size_t rule_count,
    const char *otherwise, const char **error_out, size_t *rule_out)
{
	const struct rule_text last = { .name = "otherwise", .then = otherwise ? otherwise : "accept" };
	struct policy *p = ARENA_NEW(a, struct policy);

	*error_out = "out of memory";
	*rule_out = rule_count;
	if (!p)
		return NULL;
	*p = (struct policy){ .name = name, .texts = rules, .otherwise = last.then, .rule_count = rule_count + 1 };
	p->rules = ARENA_ARRAY(a, p->rule_count, struct rule);
	if (!p->rules)
		return NULL;
	for (size_t i = 0; i < p->rule_count; i++)
		if (!rule_parse(a, i < rule_count ? &rules[i] : &last, &p->rules[i], error_out)) {
			*rule_out = i;
			return NULL;
		}
	return p;
}

bool policy_looks_at(const struct policy *p, struct slice name)
{
	for (size_t i = 0; p && i < p->rule_count; i++) {
		const struct rule *r = &p->rules[i];

		for (size_t j = 0; j < r->test_count; j++)
			if (fact_is_about(r->tests[j].fact, name))
				return true;
		if (then_looks_at(&r->then, name))
			return true;
	}
	return false;
}

struct policy *policy_built_in(struct arena *a)
{
	const char *error;
	size_t rule;

	return policy_new(a, "built-in", built_in, sizeof(built_in) / sizeof(built_in[0]), "accept", &error, &rule);
}

const char *policy_name(const struct policy *p)
{
	return p->name;
}

size_t policy_text(const struct policy *p, const struct rule_text **rules_out, const char **otherwise_out)
{
	*rules_out = p->texts;
	*otherwise_out = p->otherwise;
	return p->rule_count - 1;
}

enum match { MATCH_NO, MATCH_YES, MATCH_LATER };

/* One condition that is known not to hold decides, whatever the others wait for. */
static enum match rule_matches(const struct rule *r, const struct facts *f, bool last, struct arena *scratch)
{
	enum match m = MATCH_YES;

	for (size_t i = 0; i < r->test_count; i++) {
		const struct fact_test *t = &r->tests[i];

		if (!f->known[t->fact]) {
			if (last)
				return MATCH_NO;
			m = MATCH_LATER;
		} else if (!fact_test_holds(scratch, t, f->value[t->fact])) {
			return MATCH_NO;
		}
	}
	return m == MATCH_YES && !last && !then_ready(&r->then, f) ? MATCH_LATER : m;
}

static struct ruling rule_ruling(const struct rule *r, const struct facts *f)
{
	struct ruling out = { .kind = r->then.kind, .rule = r->name };

	if (out.kind == RULING_REFUSE || out.kind == RULING_DEFER)
		then_fault(&r->then, f, &out.fault);
	return out;
}

struct ruling policy_rule(const struct policy *p, const struct facts *f, bool last)
{
	struct ruling out = { .kind = RULING_ACCEPT, .rule = "otherwise" };
	struct arena scratch;

	if (!p)
		return out;
	arena_init(&scratch, SCRATCH_OCTETS);
	for (size_t i = 0; i < p->rule_count; i++) {
		enum match m = rule_matches(&p->rules[i], f, last, &scratch);

		if (arena_failed(&scratch)) {
			out = (struct ruling){ .kind = RULING_DEFER, .rule = p->rules[i].name };
			fault_set(&out.fault, FAULT_NO_MEMORY, 0);
			break;
		}
		if (m == MATCH_NO)
			continue;
		if (m == MATCH_YES)
			out = rule_ruling(&p->rules[i], f);
		else
			out = (struct ruling){ .kind = RULING_NONE };
		break;
	}
	arena_clear(&scratch);
	return out;
}

bool policy_wants(const struct policy *p, enum fact_stage stage)
{
	if (!p)
		return false;
	for (size_t i = 0; i < p->rule_count; i++) {
		const struct rule *r = &p->rules[i];

		for (size_t j = 0; j < r->test_count; j++)
			if (fact_stage(r->tests[j].fact) >= stage)
				return true;
		if (then_wants(&r->then, stage))
			return true;
	}
	return false;
}
