#include "config/tree.h"
#include "mail/domain.h"

static const char none[] = "out of memory";

static const char *string(struct arena *a, struct slice s)
{
	const char *copy = arena_string(a, s);

	return copy ? copy : none;
}

struct conf_value *conf_value_edit(struct conf_node *n, enum conf_key_id key)
{
	enum conf_key_id first;

	conf_group_keys(n->group, &first);
	return &n->values[key - first];
}

const struct conf_value *conf_value(const struct conf_node *n, enum conf_key_id key)
{
	enum conf_key_id first;

	conf_group_keys(n->group, &first);
	return &n->values[key - first];
}

struct slice conf_path(struct arena *a, const struct conf_node *n, const char *name)
{
	return arena_printf(a, "%s%s%s", n->path, n->path[0] ? "." : "", name);
}

const char *conf_absolute(const struct conf_tree *t, const char *name)
{
	if (name[0] == '/' || name[0] == '\0')
		return name;
	return string(t->arena, arena_printf(t->arena, "%s/%s", t->folder, name));
}

static void set_default(const struct conf_tree *t, const struct conf_row *row, struct conf_value *v)
{
	struct slice text = slice_str(row->fallback);
	unsigned index = 0;
	uint64_t number = 0;

	v->text = row->fallback;
	if (!row->fallback)
		return;
	if (row->type == CONF_INT && slice_u64(text, INT64_MAX, &number))
		v->number = (int64_t)number;
	else if (row->type == CONF_BOOL)
		v->number = slice_eq(text, S("true"));
	else if (row->type == CONF_WORD && conf_word(row->here, text, &index))
		v->number = index;
	else if (row->type == CONF_FILE || row->type == CONF_DIR)
		v->text = conf_absolute(t, row->fallback);
}

static struct conf_node *add(struct conf_tree *t, enum conf_group group, struct conf_node *parent, const char *name,
    const char *path, const char *where)
{
	struct conf_node *n = ARENA_NEW(t->arena, struct conf_node);
	enum conf_key_id first;
	size_t count = conf_group_keys(group, &first);
	struct conf_value *values = ARENA_ARRAY(t->arena, count, struct conf_value);

	if (!n || !values)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		set_default(t, conf_row((enum conf_key_id)(first + i)), &values[i]);
		values[i].where = where;
	}
	*n = (struct conf_node){ .group = group, .name = name, .path = path, .where = where, .parent = parent,
		.values = values };
	if (t->last)
		t->last->next = n;
	else
		t->first = n;
	t->last = n;
	for (size_t i = GROUP_ROOT + 1; i < CONF_GROUPS; i++) {
		const struct conf_group_row *row = conf_group_row((enum conf_group)i);

		if (row->parent == group && row->shape == SHAPE_ONE &&
		    !add(t, (enum conf_group)i, n, row->name, string(t->arena, conf_path(t->arena, n, row->name)), where))
			return NULL;
	}
	return n;
}

struct conf_tree *conf_tree_new(struct arena *a, const char *folder, const char *file, struct conf_errors *errors)
{
	struct conf_tree *t = ARENA_NEW(a, struct conf_tree);

	if (!t)
		return NULL;
	*t = (struct conf_tree){ .arena = a, .errors = errors, .folder = folder };
	return add(t, GROUP_ROOT, NULL, "", "", string(a, arena_printf(a, "%s:1", file))) ? t : NULL;
}

struct conf_node *conf_tree_next(const struct conf_tree *t, enum conf_group group, const struct conf_node *parent,
    const struct conf_node *after)
{
	struct conf_node *n = after ? after->next : t->first;

	while (n && (n->group != group || n->parent != parent))
		n = n->next;
	return n;
}

struct conf_node *conf_tree_one(struct conf_tree *t, enum conf_group group, const struct conf_node *parent)
{
	return group == GROUP_ROOT ? t->first : conf_tree_next(t, group, parent, NULL);
}

struct conf_node *conf_tree_add(struct conf_tree *t, enum conf_group group, struct conf_node *parent, const char *name,
    const char *where)
{
	const struct conf_group_row *row = conf_group_row(group);
	size_t index = row->shape == SHAPE_LISTED ? parent->listed_count++ : 0;
	struct slice path = conf_path(t->arena, parent, row->name);

	if (row->shape == SHAPE_LISTED)
		return add(t, group, parent, string(t->arena, arena_printf(t->arena, "%zu", index)),
		    string(t->arena, arena_printf(t->arena, "%.*s[%zu]", SLICE_FMT(path), index)), where);
	return add(t, group, parent, name, string(t->arena, arena_printf(t->arena, "%.*s.%s", SLICE_FMT(path), name)),
	    where);
}

static const char *kind_name(const struct conf_given *g)
{
	switch (g->kind) {
	case GIVEN_INT:
		return "a number";
	case GIVEN_BOOL:
		return g->number ? "true" : "false";
	case GIVEN_FLOAT:
		return "a number with a fraction";
	case GIVEN_TEXT:
		return "a string";
	case GIVEN_TEXTS:
		return "a list of strings";
	case GIVEN_LIST:
		return "a list";
	case GIVEN_GROUP:
		return "a group";
	}
	return "";
}

static bool kind_fits(const struct conf_row *row, const struct conf_given *g)
{
	if (row->type == CONF_INT)
		return g->kind == GIVEN_INT;
	if (row->type == CONF_BOOL)
		return g->kind == GIVEN_BOOL;
	if (row->type == CONF_LIST)
		return g->kind == GIVEN_TEXTS;
	if (row->type == CONF_TEXTS)
		return g->kind == GIVEN_TEXT || (g->kind == GIVEN_TEXTS && (g->item_count > 0 || row->need != NEED_MUST));
	return g->kind == GIVEN_TEXT;
}

/* False: a mistake has been reported. */
static bool take(struct conf_tree *t, const struct conf_row *row, const char *path, const struct conf_given *g,
    struct conf_value *v)
{
	struct slice expected = conf_row_expected(t->arena, row), normal, text = slice_str(g->text);
	unsigned index = 0;

	v->number = g->number;
	v->text = g->text;
	v->items = g->items;
	v->item_count = g->item_count;
	switch (row->type) {
	case CONF_INT:
		if (g->number >= row->low && g->number <= row->high)
			return true;
		conf_mistake(t->errors, g->where, "%s = %lld, expected %.*s", path, (long long)g->number,
		    SLICE_FMT(expected));
		return false;
	case CONF_WORD:
		if (conf_word(row->here, text, &index)) {
			v->number = index;
			return true;
		}
		conf_mistake(t->errors, g->where, "%s = \"%s\"%s, expected %.*s", path, g->text,
		    conf_word(row->later, text, NULL) ? " is not there yet" : "", SLICE_FMT(expected));
		return false;
	case CONF_DOMAIN:
		if (domain_normal(t->arena, text, &normal) && domain_valid(normal)) {
			v->text = string(t->arena, normal);
			return true;
		}
		conf_mistake(t->errors, g->where, "%s = \"%s\", expected %.*s", path, g->text, SLICE_FMT(expected));
		return false;
	case CONF_FILE:
	case CONF_DIR:
	case CONF_TEXT:
		if (text.n == 0) {
			conf_mistake(t->errors, g->where, "%s is empty, expected %.*s", path, SLICE_FMT(expected));
			return false;
		}
		if (row->type != CONF_TEXT)
			v->text = conf_absolute(t, g->text);
		return true;
	case CONF_TEXTS:
		if (g->kind == GIVEN_TEXTS)
			return true;
		v->items = ARENA_ARRAY(t->arena, 1, const char *);
		v->item_count = v->items ? 1 : 0;
		if (v->items)
			v->items[0] = g->text;
		return true;
	case CONF_BOOL:
	case CONF_LIST:
		return true;
	}
	return true;
}

void conf_tree_set(struct conf_tree *t, struct conf_node *n, const char *name, const struct conf_given *given)
{
	const char *path = string(t->arena, conf_path(t->arena, n, name));
	enum conf_key_id key;
	const struct conf_row *row;
	struct conf_value *v;

	if (!conf_row_find(n->group, slice_str(name), &key)) {
		conf_mistake(t->errors, given->where, "unknown setting %s, expected one of %.*s", path,
		    SLICE_FMT(conf_group_expected(t->arena, n->group)));
		return;
	}
	row = conf_row(key);
	v = conf_value_edit(n, key);
	v->given = true;
	v->where = given->where;
	if (row->need == NEED_LATER)
		conf_mistake(t->errors, given->where, "%s is not there yet, expected it to be left out", path);
	else if (!kind_fits(row, given))
		conf_mistake(t->errors, given->where, "%s is %s, expected %.*s", path, kind_name(given),
		    SLICE_FMT(conf_row_expected(t->arena, row)));
	else if (take(t, row, path, given, v))
		return;
	v->bad = true;
}

void conf_tree_end(struct conf_tree *t)
{
	for (struct conf_node *n = t->first; n; n = n->next) {
		enum conf_key_id first;
		size_t count = conf_group_keys(n->group, &first);

		for (size_t i = 0; i < count; i++) {
			const struct conf_row *row = conf_row((enum conf_key_id)(first + i));

			if (row->need != NEED_MUST || n->values[i].given)
				continue;
			conf_mistake(t->errors, n->where, "%s has no %s, expected %.*s", n->path, row->name,
			    SLICE_FMT(conf_row_expected(t->arena, row)));
			n->values[i].bad = true;
		}
	}
}

bool conf_value_default(const struct conf_node *n, enum conf_key_id key)
{
	const struct conf_row *row = conf_row(key);
	const struct conf_value *v = conf_value(n, key);

	if (!v->given)
		return true;
	switch (row->type) {
	case CONF_INT:
	case CONF_BOOL:
	case CONF_WORD: {
		struct conf_value plain = { .number = 0 };

		set_default(&(struct conf_tree){ .folder = "" }, row, &plain);
		return row->fallback && plain.number == v->number;
	}
	case CONF_LIST:
	case CONF_TEXTS:
		return v->item_count == 0;
	default:
		return row->fallback && v->text && strcmp(row->fallback, v->text) == 0;
	}
}
