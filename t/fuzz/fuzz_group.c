/*
 * Recipients, a line each, an empty line and a header. However it is read, copies are numbered by their first recipient, one that stands
 * twice is the same one, nobody shares with another domain or with more than there may be, and whoever shares stands in the header.
 */
#include "base/limits.h"
#include "fuzz.h"
#include "mail/addr.h"
#include "mail/domain.h"
#include "rewrite/group.h"

enum { RCPTS = 40, RCPT_MAX = 5 };

/* Are there, in this order, all octets of the local part but for quotes and backslashes? No parser: a comment may stand between. */
static bool stands_in(struct slice text, struct slice local)
{
	size_t i = 0;

	for (size_t k = 0; k < local.n; k++) {
		if (local.at[k] == '"' || local.at[k] == '\\')
			continue;
		while (i < text.n && text.at[i] != local.at[k])
			i++;
		if (i++ == text.n)
			return false;
	}
	return true;
}

static void want_shared(struct arena *a, const struct header *h, struct slice x, struct slice y)
{
	struct path p, q;
	struct slice d, e;

	WANT(path_parse(x, &p) && path_parse(y, &q) && p.domain.n && q.domain.n && !h->malformed);
	WANT(domain_normal(a, p.domain, &d) && domain_normal(a, q.domain, &e) && slice_eq(d, e));
	WANT(stands_in(h->raw, p.local) && stands_in(h->raw, q.local));
}

static void want_groups(struct arena *a, const struct header *h, const struct slice *rcpts, size_t n, bool share)
{
	uint32_t group[RCPTS], count = group_make(a, h, rcpts, n, share, RCPT_MAX, group, (bool[RCPTS]){ 0 }), highest = 0;
	bool again[RCPTS];
	size_t in[RCPTS] = { 0 };

	WANT(group_make(a, h, rcpts, n, share, RCPT_MAX, group, again) == count && count > 0);
	for (size_t i = 0; i < n; i++) {
		size_t same = 0;

		while (!path_same(a, rcpts[same], rcpts[i]))
			same++;
		WANT(again[i] == (same < i) && group[i] == group[same] && group[i] <= highest && group[i] < count);
		highest += !again[i] && group[i] == highest;
		in[group[i]] += !again[i];
		WANT(in[group[i]] <= (share ? RCPT_MAX : 1));
		for (size_t k = 0; k < i; k++)
			if (!again[i] && !again[k] && group[i] == group[k])
				want_shared(a, h, rcpts[i], rcpts[k]);
	}
	WANT(highest == count);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	struct slice rest = slice_of(at, n), rcpts[RCPTS];
	struct header h;
	struct fault f = { 0 };
	struct arena a;
	size_t count = 0;

	arena_init(&a, LIMIT_TX_ARENA);
	while (rest.n && count < RCPTS) {
		(void)slice_cut(&rest, '\n', &rcpts[count]);
		if (rcpts[count++].n == 0)
			break;
	}
	if (count && header_parse(&a, rest, 1000, &h, &f)) {
		want_groups(&a, &h, rcpts, count, true);
		want_groups(&a, &h, rcpts, count, false);
		WANT(!arena_failed(&a));
	}
	arena_clear(&a);
	return 0;
}
