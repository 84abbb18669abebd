#include "config/conf.h"
#include "config/row.h"

#define FREE .here = "", .later = ""
#define RANGE(lowest, highest, of) .low = (lowest), .high = (highest), .unit = (of), .here = "", .later = ""
#define SAID(text) .here = (text), .later = ""
#define WORDS(now, not_yet) .here = (now), .later = (not_yet)

static const struct conf_group_row groups[CONF_GROUPS] = {
#define CONF_GROUP(id, parent, name, shape, help) [GROUP_##id] = { name, GROUP_##parent, SHAPE_##shape, help },
#define CONF_KEY(group, id, name, type, need, fallback, bounds, apply, help)
#include "config/conf_key.def"
#undef CONF_GROUP
#undef CONF_KEY
};

static const struct conf_row rows[CONF_KEYS] = {
#define CONF_GROUP(id, parent, name, shape, help)
#define CONF_KEY(in, id, called, kind, needed, without, bounds, when, about)                                       \
	[KEY_##in##_##id] = { .group = GROUP_##in,                                                                 \
		.name = called,                                                                                    \
		.type = CONF_##kind,                                                                               \
		.need = NEED_##needed,                                                                             \
		.fallback = without,                                                                               \
		.apply = APPLY_##when,                                                                             \
		.help = about,                                                                                     \
		bounds },
#include "config/conf_key.def"
#undef CONF_GROUP
#undef CONF_KEY
};

const struct conf_group_row *conf_group_row(enum conf_group group)
{
	return &groups[group];
}

const struct conf_row *conf_row(enum conf_key_id key)
{
	return &rows[key];
}

size_t conf_group_keys(enum conf_group group, enum conf_key_id *first_out)
{
	size_t first = 0, n = 0;

	while (first < CONF_KEYS && rows[first].group != group)
		first++;
	while (first + n < CONF_KEYS && rows[first + n].group == group)
		n++;
	*first_out = (enum conf_key_id)first;
	return n;
}

bool conf_row_find(enum conf_group group, struct slice name, enum conf_key_id *key_out)
{
	for (size_t i = 0; i < CONF_KEYS; i++)
		if (rows[i].group == group && slice_eq(name, slice_str(rows[i].name))) {
			*key_out = (enum conf_key_id)i;
			return true;
		}
	return false;
}

bool conf_group_find(enum conf_group parent, struct slice name, enum conf_group *group_out)
{
	for (size_t i = GROUP_ROOT + 1; i < CONF_GROUPS; i++)
		if (groups[i].parent == parent && slice_eq(name, slice_str(groups[i].name))) {
			*group_out = (enum conf_group)i;
			return true;
		}
	return false;
}

bool conf_word(const char *words, struct slice word, unsigned *index_out)
{
	struct slice left = slice_str(words), w;

	for (unsigned i = 0; left.n; i++) {
		slice_cut(&left, ' ', &w);
		if (slice_eq(w, word)) {
			if (index_out)
				*index_out = i;
			return true;
		}
	}
	return false;
}

/* mode = "a", "b" or "c" */
static struct slice words_expected(struct arena *a, const struct conf_row *row)
{
	struct slice left = slice_str(row->here), w, all = arena_printf(a, "%s = ", row->name);

	for (const char *joint = ""; left.n; joint = slice_find(left, ' ') < left.n ? ", " : " or ") {
		slice_cut(&left, ' ', &w);
		all = arena_printf(a, "%.*s%s\"%.*s\"", SLICE_FMT(all), joint, SLICE_FMT(w));
	}
	return all;
}

struct slice conf_row_expected(struct arena *a, const struct conf_row *row)
{
	switch (row->type) {
	case CONF_INT:
		return arena_printf(a, "%lld..%lld %s", (long long)row->low, (long long)row->high, row->unit);
	case CONF_BOOL:
		return S("true or false");
	case CONF_WORD:
		return words_expected(a, row);
	case CONF_TEXT:
	case CONF_TEXTS:
		return row->here[0] ? slice_str(row->here) : S("a string in quotes");
	case CONF_DOMAIN:
		return S("a domain name in quotes");
	case CONF_FILE:
		return S("the name of a file in quotes");
	case CONF_DIR:
		return S("the name of a folder in quotes");
	case CONF_LIST:
		return S("a list of strings, [\"...\", \"...\"]");
	}
	return SLICE_NONE;
}

struct slice conf_group_expected(struct arena *a, enum conf_group group)
{
	struct slice all = SLICE_NONE;

	for (size_t i = 0; i < CONF_KEYS; i++)
		if (rows[i].group == group && rows[i].need != NEED_LATER)
			all = arena_printf(a, "%.*s%s%s", SLICE_FMT(all), all.n ? ", " : "", rows[i].name);
	for (size_t i = GROUP_ROOT + 1; i < CONF_GROUPS; i++)
		if (groups[i].parent == group)
			all = arena_printf(a, "%.*s%s%s", SLICE_FMT(all), all.n ? ", " : "", groups[i].name);
	return all;
}
