#include <stdlib.h>

#include "auth/dkim2/custody.h"
#include "mail/addr.h"
#include "mail/domain.h"

/* What is wrong, DRAFT_TEXTS: nothing. */
static enum draft_text gap(const struct dkim2_hop *before, struct slice d, struct slice mf_domain, bool mf_null, bool nd)
{
	if (before->nd.n)
		return slice_eq(before->nd_normal, d) ? DRAFT_TEXTS : TEXT_SEAL_ND;
	if (nd || mf_null)
		return chain_fits_rt(before, d) ? DRAFT_TEXTS : TEXT_SEAL_CUSTODY_D;
	return chain_follows_rt(before, mf_domain) ? DRAFT_TEXTS : TEXT_SEAL_CUSTODY_MF;
}

bool dkim2_may_follow(const struct dkim2_hop *last, struct slice d, struct slice mf_domain, bool mf_null, bool nd)
{
	return gap(last, d, mf_domain, mf_null, nd) == DRAFT_TEXTS;
}

struct reason custody_follows(struct arena *a, const struct dkim2_hop *before, uint64_t i, struct slice d,
    struct slice mf_domain, bool mf_null, bool has_nd)
{
	enum draft_text text = gap(before, d, mf_domain, mf_null, has_nd);

	if (text == DRAFT_TEXTS)
		return (struct reason){ 0 };
	return draft_reason(a, text, i, before->i, SLICE_NONE, SLICE_NONE);
}

struct reason custody_break(struct arena *a, const struct chain *c, size_t index)
{
	const struct seal *s = &c->seals[index];

	if (!s->has_nd && !s->mf_null && !domain_follows(s->mf_domain, s->hop->d_normal))
		return draft_reason(a, TEXT_SEAL_MF_D, s->hop->i, 0, SLICE_NONE, SLICE_NONE);
	if (index == 0)
		return (struct reason){ 0 };
	return custody_follows(a, c->seals[index - 1].hop, s->hop->i, s->hop->d_normal, s->mf_domain, s->mf_null, s->has_nd);
}

static int by_octets(const void *x, const void *y)
{
	return slice_cmp(*(const struct slice *)x, *(const struct slice *)y);
}

struct reason custody_envelope(struct arena *a, const struct seal *s, const struct dkim2_envelope *envelope)
{
	size_t n = s->hop->rt_count;
	struct slice *keys;

	if (!path_same(a, s->hop->mf, envelope->mail_from))
		return draft_reason(a, TEXT_SEAL_MAIL_FROM, s->hop->i, 0, envelope->mail_from, SLICE_NONE);
	keys = ARENA_ARRAY(a, n, struct slice);
	if (!keys)
		return (struct reason){ 0 };
	for (size_t k = 0; k < n; k++)
		keys[k] = path_key(a, s->hop->rt[k]);
	qsort(keys, n, sizeof(*keys), by_octets);
	for (size_t k = 0; k < envelope->rcpt_count; k++) {
		struct slice key = path_key(a, envelope->rcpt_to[k]);

		if (!bsearch(&key, keys, n, sizeof(*keys), by_octets))
			return draft_reason(a, TEXT_SEAL_RCPT_TO, s->hop->i, 0, envelope->rcpt_to[k], SLICE_NONE);
	}
	return (struct reason){ 0 };
}
