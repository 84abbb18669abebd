#include <time.h>

#include "auth/taglist.h"
#include "base/limits.h"
#include "ctl/story.h"

bool story_begin(struct story *s, unsigned draft)
{
	arena_init(&s->scratch, JUDGE_ARENA);
	return past_read(&s->message->arena, draft, &s->message->header, LIMIT_UNDO, &s->past);
}

void story_end(struct story *s)
{
	past_release(&s->past);
	arena_clear(&s->scratch);
}

size_t story_instances(const struct story *s, size_t index, const struct dkim2_instance **first_out)
{
	const struct dkim2_verdict *v = s->verdict;
	uint64_t above = index ? v->hops[index - 1].m : 0, up_to = v->hops[index].m;
	size_t first = 0, n = 0;

	while (first < v->instance_count && v->instances[first].m <= above)
		first++;
	while (first + n < v->instance_count && v->instances[first + n].m <= up_to)
		n++;
	*first_out = v->instances + first;
	return n;
}

const char *story_kind(const struct dkim2_instance *in)
{
	return in->m == 1 ? "the first form" : in->recipe ? "changed here, undone by a recipe" : "written anew";
}

bool story_change(struct story *s, const struct dkim2_instance *in, struct change *out)
{
	const struct past *p = &s->past;

	arena_clear(&s->scratch);
	if (in->m == 1 || !in->recipe || in->m > p->newest || p->newest - in->m >= p->n)
		return false;
	change_read(&s->scratch, p, &s->message->header, s->message->body, (size_t)(p->newest - in->m), out);
	return true;
}

struct slice story_field(const struct story *s, struct slice name)
{
	const struct header *h = &s->message->header;
	size_t at = header_find(h, name, 0);

	return at < h->n ? ctl_unfolded(&s->message->arena, h->fields[at].value) : SLICE_NONE;
}

struct slice story_time(struct arena *a, uint64_t t)
{
	time_t seconds = (time_t)t;
	struct tm tm;
	char text[32];

	if (t > 253402300799U || !gmtime_r(&seconds, &tm))
		return arena_printf(a, "t=%llu", (unsigned long long)t);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
	return arena_copy(a, slice_str(text));
}

/* s= of hop i as written in its field. */
static struct slice sets_of(struct arena *a, const struct header *h, uint64_t i)
{
	struct slice name = S("DKIM2-Signature");

	for (size_t at = header_find(h, name, 0); at < h->n; at = header_find(h, name, at + 1)) {
		const struct tag *number, *sets;
		struct taglist tags;
		uint64_t n;

		if (!taglist_parse(a, h->fields[at].value, TAGLIST_ANY_CASE, &tags))
			continue;
		number = taglist_find(&tags, TAGLIST_ANY_CASE, S("i"));
		sets = taglist_find(&tags, TAGLIST_ANY_CASE, S("s"));
		if (number && sets && slice_u64(number->value, UINT64_MAX, &n) && n == i)
			return sets->value;
	}
	return SLICE_NONE;
}

struct slice story_sets(const struct story *s, const struct dkim2_hop *h)
{
	struct arena *a = &s->message->arena;
	struct slice sets = sets_of(a, &s->message->header, h->i), out;
	struct buf b;

	buf_init(&b, LIMIT_DKIM2_FIELD);
	while (sets.n) {
		size_t end = 0;
		struct slice set, selector, algorithm;

		while (end < sets.n && sets.at[end] != ',' && sets.at[end] != '|')
			end++;
		slice_take(&sets, end, &set);
		if (b.n)
			buf_str(&b, ", ");
		if (sets.n)
			slice_take(&sets, 1, &selector);
		slice_cut(&set, ':', &selector);
		slice_cut(&set, ':', &algorithm);
		buf_slice(&b, slice_trim(selector));
		buf_octet(&b, ' ');
		buf_slice(&b, slice_trim(algorithm));
	}
	out = arena_copy(a, buf_get(&b));
	buf_release(&b);
	return out;
}
