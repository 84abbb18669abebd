#include "auth/dkim2/chain.h"

const struct dkim2_verdict *dkim2_recall(struct arena *a, const struct header *h, unsigned draft, const struct dkim2_verdict *said)
{
	struct dkim2_verdict *v = ARENA_NEW(a, struct dkim2_verdict);
	struct chain chain;

	if (!v || !chain_read(a, draft_of(draft), h, false, &chain))
		return NULL;
	*v = *said;
	v->draft = draft;
	v->hops = chain.hops;
	v->hop_count = chain.n;
	v->instances = chain.seen;
	v->instance_count = chain.m;
	/* Of a chain that broke a rule nobody knows what was read of it. */
	if (chain.broken || chain.n != said->hop_count || chain.m != said->instance_count) {
		if (v->state == DKIM2_PASS || v->state == DKIM2_NONE)
			v->state = said->hop_count || chain.n || chain.m ? DKIM2_PERMERROR : v->state;
		v->newest = v->newest == DKIM2_PASS ? DKIM2_PERMERROR : v->newest;
	}
	for (size_t k = 0; k < chain.n; k++) {
		v->exploded |= chain_flag(chain.hops[k].flags, S("exploded"));
		v->feedback |= chain_flag(chain.hops[k].flags, S("feedback"));
	}
	return v;
}
