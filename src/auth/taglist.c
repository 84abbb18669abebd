#include "auth/taglist.h"
#include "base/limits.h"

/* Printable ASCII and white space as the header says; ';' cannot be here. */
static bool value_shape(struct slice v, bool utf8)
{
	for (size_t i = 0; i < v.n; i++) {
		unsigned char c = v.at[i];

		if ((c >= 0x21 && c <= 0x7e) || (utf8 && c >= 0x80) || c == ' ' || c == '\t')
			continue;
		if (c != '\r' || v.n - i < 3 || v.at[i + 1] != '\n' || (v.at[i + 2] != ' ' && v.at[i + 2] != '\t'))
			return false;
		i += 2;
	}
	return true;
}

static bool name_shape(struct slice name)
{
	if (name.n == 0 || !ascii_alpha(name.at[0]))
		return false;
	for (size_t i = 1; i < name.n; i++)
		if (!ascii_alpha(name.at[i]) && !ascii_digit(name.at[i]) && name.at[i] != '_')
			return false;
	return true;
}

const struct tag *taglist_find(const struct taglist *list, enum taglist_names names, struct slice name)
{
	for (size_t i = 0; i < list->n; i++)
		if (names == TAGLIST_ANY_CASE ? slice_ieq(list->tags[i].name, name) : slice_eq(list->tags[i].name, name))
			return &list->tags[i];
	return NULL;
}

bool taglist_lists(struct slice value, struct slice word)
{
	struct slice one;
	bool more;

	do {
		more = slice_cut(&value, ':', &one);
		if (slice_eq(slice_trim(one), word))
			return true;
	} while (more);
	return false;
}

bool taglist_solid(struct slice value)
{
	for (size_t i = 0; i < value.n; i++)
		if (value.at[i] <= ' ')
			return false;
	return value.n > 0;
}

bool taglist_parse(struct arena *a, struct slice text, enum taglist_names names, struct taglist *out)
{
	struct taglist list = { 0 };
	struct slice fragment;
	size_t room = 1;
	bool more;

	if (!value_shape(text, names == TAGLIST_UTF8))
		return false;
	for (size_t i = 0; i < text.n && room < LIMIT_TAGS; i++)
		room += text.at[i] == ';';
	list.tags = ARENA_ARRAY(a, room, struct tag);
	if (!list.tags)
		return false;
	do {
		struct tag tag;

		more = slice_cut(&text, ';', &fragment);
		tag.value = slice_trim(fragment);
		if (tag.value.n == 0)
			continue;
		if (list.n == room || !slice_cut(&tag.value, '=', &tag.name))
			return false;
		tag.name = slice_trim(tag.name);
		tag.value = slice_trim(tag.value);
		if (!name_shape(tag.name) || taglist_find(&list, names, tag.name))
			return false;
		list.tags[list.n++] = tag;
	} while (more);
	*out = list;
	return true;
}
