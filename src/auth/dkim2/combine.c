#include "auth/dkim2/combine.h"

static void end_group(struct combine *c)
{
	if (c->state == DKIM2_PASS)
		c->passed = true;
	else if (!c->ended[c->state]) {
		c->ended[c->state] = true;
		c->first[c->state] = c->reason;
	}
}

void combine_add(struct combine *c, unsigned group, enum dkim2_state state, struct reason reason)
{
	if (c->started && group != c->group)
		end_group(c);
	if (!c->started || group != c->group) {
		c->started = true;
		c->group = group;
		c->state = state;
		c->reason = reason;
	} else if (state > c->state) {
		c->state = state;
		c->reason = reason;
	}
}

enum dkim2_state combine_end(struct combine *c, struct reason *reason_out)
{
	static const enum dkim2_state order[] = { DKIM2_TEMPERROR, DKIM2_FAIL, DKIM2_PERMERROR };

	*reason_out = (struct reason){ 0 };
	if (!c->started)
		return DKIM2_NONE;
	end_group(c);
	if (c->passed)
		return DKIM2_PASS;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		if (c->ended[order[i]]) {
			*reason_out = c->first[order[i]];
			return order[i];
		}
	}
	return DKIM2_NONE;
}
