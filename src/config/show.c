#include <stdlib.h>

#include <jansson.h>

#include "config/conf.h"
#include "config/tree.h"

static bool shown(const struct conf_node *n, enum conf_key_id key, bool changed)
{
	if (conf_row(key)->need == NEED_LATER)
		return false;
	return !changed || !conf_value_default(n, key);
}

/* ---- text ---- */

static void put_string(struct buf *b, const char *text)
{
	buf_octet(b, '"');
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p == '"' || *p == '\\')
			buf_octet(b, '\\');
		if (*p < 0x20 || *p == 0x7f)
			buf_printf(b, "\\x%02x", *p);
		else
			buf_octet(b, *p);
	}
	buf_octet(b, '"');
}

static void put_value(struct buf *b, const struct conf_row *row, const struct conf_value *v)
{
	switch (row->type) {
	case CONF_INT:
		buf_printf(b, "%lld%s", (long long)v->number, v->number > INT32_MAX ? "L" : "");
		return;
	case CONF_BOOL:
		buf_str(b, v->number ? "true" : "false");
		return;
	case CONF_TEXTS:
		if (v->item_count == 1) {
			put_string(b, v->items[0]);
			return;
		}
		/* fall through */
	case CONF_LIST:
		buf_octet(b, '[');
		for (size_t i = 0; i < v->item_count; i++) {
			buf_str(b, i ? ", " : "");
			put_string(b, v->items[i]);
		}
		buf_octet(b, ']');
		return;
	default:
		put_string(b, v->text);
		return;
	}
}

static bool show_text(const struct conf_tree *t, bool changed, struct buf *out)
{
	for (const struct conf_node *n = t->first; n; n = n->next) {
		enum conf_key_id first;
		size_t count = conf_group_keys(n->group, &first);

		for (size_t i = 0; i < count; i++) {
			enum conf_key_id key = (enum conf_key_id)(first + i);
			const struct conf_row *row = conf_row(key);
			const struct conf_value *v = conf_value(n, key);

			if (!shown(n, key, changed) || (!v->text && row->type != CONF_INT && row->type != CONF_BOOL && row->type != CONF_LIST &&
			    row->type != CONF_TEXTS))
				continue;
			buf_printf(out, "%s%s%s = ", n->path, n->path[0] ? "." : "", row->name);
			put_value(out, row, v);
			buf_str(out, ";\n");
		}
	}
	return !buf_failed(out);
}

/* ---- JSON ---- */

static json_t *json_value(const struct conf_row *row, const struct conf_value *v)
{
	json_t *list;

	switch (row->type) {
	case CONF_INT:
		return json_integer(v->number);
	case CONF_BOOL:
		return json_boolean(v->number);
	case CONF_TEXTS:
		if (v->item_count == 1)
			return json_string(v->items[0]);
		/* fall through */
	case CONF_LIST:
		list = json_array();
		for (size_t i = 0; i < v->item_count; i++)
			json_array_append_new(list, json_string(v->items[i]));
		return list;
	default:
		return v->text ? json_string(v->text) : json_null();
	}
}

static json_t *json_node(const struct conf_tree *t, const struct conf_node *n, bool changed);

/* All groups of one kind in `parent`: one object, an object of them by name, or a list. */
static json_t *json_groups(const struct conf_tree *t, const struct conf_node *parent, enum conf_group group, bool changed)
{
	enum conf_shape shape = conf_group_row(group)->shape;
	json_t *all = shape == SHAPE_LISTED ? json_array() : json_object();

	for (const struct conf_node *n = NULL; (n = conf_tree_next(t, group, parent, n));) {
		json_t *one = json_node(t, n, changed);

		if (shape == SHAPE_ONE) {
			json_decref(all);
			return one;
		}
		if (changed && json_object_size(one) == 0)
			json_decref(one);
		else if (shape == SHAPE_LISTED)
			json_array_append_new(all, one);
		else
			json_object_set_new(all, n->name, one);
	}
	return all;
}

static json_t *json_node(const struct conf_tree *t, const struct conf_node *n, bool changed)
{
	json_t *object = json_object();
	enum conf_key_id first;
	size_t count = conf_group_keys(n->group, &first);

	for (size_t i = 0; i < count; i++) {
		enum conf_key_id key = (enum conf_key_id)(first + i);

		if (shown(n, key, changed))
			json_object_set_new(object, conf_row(key)->name, json_value(conf_row(key), conf_value(n, key)));
	}
	for (size_t i = GROUP_ROOT + 1; i < CONF_GROUPS; i++) {
		json_t *groups;

		if (conf_group_row((enum conf_group)i)->parent != n->group)
			continue;
		groups = json_groups(t, n, (enum conf_group)i, changed);
		if ((changed && json_object_size(groups) + json_array_size(groups) == 0) || i == GROUP_HTTP)
			json_decref(groups);
		else
			json_object_set_new(object, conf_group_row((enum conf_group)i)->name, groups);
	}
	return object;
}

bool conf_show(const struct conf *c, bool changed, bool json, struct buf *out)
{
	json_t *root;
	char *text;

	if (!json)
		return show_text(c->tree, changed, out);
	root = json_node(c->tree, c->tree->first, changed);
	text = json_dumps(root, JSON_INDENT(2));
	json_decref(root);
	if (!text)
		return false;
	buf_str(out, text);
	buf_octet(out, '\n');
	free(text);
	return !buf_failed(out);
}
