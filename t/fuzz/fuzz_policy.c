/*
 * A condition, a ruling and a fact, a line each: what policy_new() takes can be asked, and a reply is one line of printable
 * ASCII with codes of its kind.
 */
#include <string.h>

#include "fuzz.h"
#include "policy/rule.h"

static void want_reply(const struct ruling *r)
{
	bool refuse = r->kind == RULING_REFUSE;

	if (!refuse && r->kind != RULING_DEFER)
		return;
	WANT(r->fault.code != FAULT_NONE);
	WANT(r->fault.basic / 100 == (refuse ? 5 : 4) && r->fault.enhanced[0] == (refuse ? '5' : '4'));
	WANT(r->fault.text[0] != '\0' && strlen(r->fault.text) < sizeof(r->fault.text));
	for (const char *p = r->fault.text; *p; p++)
		WANT(*p >= 0x20 && *p < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	struct slice rest = slice_of(at, n), when, then;
	struct facts f = { .known = { false } };
	struct rule_text rule = { .name = "r", .when_count = 1 };
	const char *condition, *error = NULL;
	struct policy *p;
	struct ruling r;
	struct arena a;
	size_t index;

	arena_init(&a, 1 << 24);
	slice_cut(&rest, '\n', &when);
	slice_cut(&rest, '\n', &then);
	condition = arena_string(&a, when);
	rule.when = &condition;
	rule.then = arena_string(&a, then);
	p = policy_new(&a, "p", &rule, 1, NULL, &error, &index);
	WANT(p || error);
	if (p) {
		r = policy_rule(p, &f, true);
		want_reply(&r);
		for (int i = 0; i < FACT_COUNT; i++)
			facts_set(&f, (enum fact)i, rest);
		r = policy_rule(p, &f, false);
		WANT(r.kind != RULING_NONE);
		want_reply(&r);
	}
	arena_clear(&a);
	return 0;
}
