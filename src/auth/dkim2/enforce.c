#include "auth/dkim2/chain.h"
#include "auth/dkim2/custody.h"

static bool gap(struct fault *f, struct slice words)
{
	if (f->code == FAULT_NONE) {
		fault_set(f, FAULT_CUSTODY_GAP, 0);
		fault_text(f, words);
	}
	return false;
}

bool dkim2_enforce(struct arena *a, const struct header *about_to_leave, const struct dkim2_envelope *envelope,
    struct fault *f)
{
	static const struct slice name = { (const unsigned char *)"dkim2-signature", 15 };
	/* a line that is no field ends the header for some, and the seals below it are content */
	struct header seals = { .malformed = about_to_leave->malformed };
	struct chain chain;
	struct reason broken;

	seals.fields = ARENA_ARRAY(a, about_to_leave->n, struct field);
	if (!seals.fields)
		return fault_set(f, FAULT_NO_MEMORY, 0);
	for (size_t k = 0; k < about_to_leave->n; k++) {
		struct slice raw = about_to_leave->fields[k].raw;
		struct header one;

		if (!slice_istarts(raw, name))
			continue;
		if (!header_parse(a, raw, 1, &one, f))
			return false;
		seals.fields[seals.n++] = one.fields[0];
		seals.malformed |= one.malformed;
	}
	if (!chain_read(a, draft_of(DRAFT_NEWEST), &seals, true, &chain))
		return fault_set(f, FAULT_NO_MEMORY, 0);
	if (chain.broken)
		return gap(f, chain.reason.words);
	if (chain.n == 0)
		return gap(f, S("message carries no DKIM2-Signature"));
	if (chain.seals[chain.n - 1].has_nd)
		broken = draft_reason(a, TEXT_SEAL_ND_UNEXPECTED, chain.n, 0, SLICE_NONE, SLICE_NONE);
	else
		broken = custody_envelope(a, &chain.seals[chain.n - 1], envelope);
	if (arena_failed(a))
		return fault_set(f, FAULT_NO_MEMORY, 0);
	return broken.words.n == 0 || gap(f, broken.words);
}
