#include "auth/dkim2/undo_in.h"
#include "base/limits.h"

struct undo *undo_new(struct arena *a, const struct dkim2_draft *draft, const struct header *h, const struct recipe *const *recipes,
    const unsigned *algs, size_t n, uint64_t ceiling_octets)
{
	struct undo *u = ARENA_NEW(a, struct undo);

	if (!u)
		return NULL;
	*u = (struct undo){ .a = a, .draft = draft, .h = h, .recipes = recipes, .n = n, .broken = n + 1, .ceiling = ceiling_octets };
	if (undo_header_init(u) && undo_body_init(u, algs))
		return u;
	undo_release(u);
	return NULL;
}

void undo_ceiling(struct undo *u, uint64_t ceiling_octets)
{
	u->ceiling = ceiling_octets;
}

void undo_release(struct undo *u)
{
	if (!u)
		return;
	undo_body_release(u);
	for (unsigned alg = 0; alg < DIGEST_ALGS; alg++)
		digest_free(&u->digest[alg]);
}

uint64_t undo_room(uint64_t received)
{
	uint64_t room = received > UINT64_MAX / LIMIT_UNDO_TIMES ? UINT64_MAX : received * LIMIT_UNDO_TIMES;

	return room > LIMIT_UNDO_LEAST ? room : LIMIT_UNDO_LEAST;
}

uint64_t undo_work(const struct undo *u)
{
	return u->work;
}
