/* "name=value; ...": each tag stands in the text, is found by its name, and the list is the same once written and read again. */
#include "auth/taglist.h"
#include "base/buf.h"
#include "base/limits.h"
#include "fuzz.h"

static bool inside(struct slice text, struct slice part)
{
	return part.n == 0 || (part.at >= text.at && part.at + part.n <= text.at + text.n);
}

static void want_tag(const struct taglist *list, enum taglist_names names, size_t i)
{
	struct tag *tag = &list->tags[i];

	WANT(ascii_alpha(tag->name.at[0]) && taglist_solid(tag->name));
	WANT(slice_eq(slice_trim(tag->value), tag->value) && slice_find(tag->value, ';') == tag->value.n);
	WANT(taglist_find(list, names, tag->name) == tag);
	for (size_t k = 0; k < tag->value.n; k++) {
		unsigned char c = tag->value.at[k];

		WANT((c >= ' ' && c < 0x7f) || c == '\t' || c == '\r' || c == '\n');
		WANT(c != '\r' || tag->value.at[k + 1] == '\n');
		WANT(c != '\n' || (tag->value.at[k - 1] == '\r' && (tag->value.at[k + 1] == ' ' || tag->value.at[k + 1] == '\t')));
	}
	if (i > 0)
		WANT(list->tags[i - 1].name.at < tag->name.at);
}

static void want_round_trip(struct arena *a, enum taglist_names names, const struct taglist *list)
{
	struct taglist again;
	struct buf b;

	buf_init(&b, 1 << 24);
	for (size_t i = 0; i < list->n; i++) {
		buf_slice(&b, list->tags[i].name);
		buf_str(&b, "=");
		buf_slice(&b, list->tags[i].value);
		buf_str(&b, ";");
	}
	WANT(!buf_failed(&b) && taglist_parse(a, buf_get(&b), names, &again) && again.n == list->n);
	for (size_t i = 0; i < list->n; i++)
		WANT(slice_eq(again.tags[i].name, list->tags[i].name) && slice_eq(again.tags[i].value, list->tags[i].value));
	buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	struct slice text = slice_of(at, n);
	struct taglist any, exact;
	struct arena a;
	bool fine;

	arena_init(&a, 1 << 26);
	fine = taglist_parse(&a, text, TAGLIST_ANY_CASE, &any);
	WANT(!arena_failed(&a));
	if (taglist_parse(&a, text, TAGLIST_EXACT, &exact)) {
		WANT(exact.n <= LIMIT_TAGS);
		for (size_t i = 0; i < exact.n; i++) {
			want_tag(&exact, TAGLIST_EXACT, i);
			WANT(inside(text, exact.tags[i].name) && inside(text, exact.tags[i].value));
		}
		want_round_trip(&a, TAGLIST_EXACT, &exact);
	} else {
		WANT(!fine);
	}
	if (fine) {
		WANT(any.n == exact.n);
		for (size_t i = 0; i < any.n; i++)
			want_tag(&any, TAGLIST_ANY_CASE, i);
		want_round_trip(&a, TAGLIST_ANY_CASE, &any);
	}
	arena_clear(&a);
	return 0;
}
