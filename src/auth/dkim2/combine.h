/*
 * combine.h - one result of many sets: ',' joins what must all pass, '|' parts groups of which one must (spec sections
 * 2.4, 20.2, 20.3). Pure, allocates nothing. For this room only.
 */
#ifndef AUTH_DKIM2_COMBINE_H
#define AUTH_DKIM2_COMBINE_H

#include "auth/dkim2/draft.h"

struct combine {
	bool started, passed;
	unsigned group;
	enum dkim2_state state; /* of the group at hand */
	struct reason reason;
	struct reason first[DKIM2_PERMERROR + 1]; /* reason of the first group that ended so */
	bool ended[DKIM2_PERMERROR + 1];
};

/* Members of one group follow each other. reason is borrowed. */
void combine_add(struct combine *c, unsigned group, enum dkim2_state state, struct reason reason);

/*
 * PASS if one group passed. Else TEMPERROR if one might pass later, else FAIL, else PERMERROR, with the reason of the
 * first group of that kind. Inside a group the worst member counts. Nothing added: NONE.
 */
enum dkim2_state combine_end(struct combine *c, struct reason *reason_out);

#endif
