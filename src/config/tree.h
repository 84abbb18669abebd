/*
 * tree.h - the settings as they were said, typed and with their defaults, and where they were said. Pure.
 *
 * The reader of the file hands over one setting after the other; what is wrong with one alone is a mistake here, what
 * several have to do with each other is build.h's.
 */
#ifndef CONFIG_TREE_H
#define CONFIG_TREE_H

#include "config/mistake.h"
#include "config/row.h"

struct conf_value {
	bool given;        /* in the file, not by default */
	bool bad;          /* a mistake has been reported */
	int64_t number;    /* CONF_INT; CONF_BOOL 0 or 1; CONF_WORD: index in row->here */
	const char *text;  /* NULL: none */
	const char **items;
	size_t item_count;
	const char *where; /* "file:line" of the setting, or of its group */
};

/* One group of the file, or one that has only defaults. */
struct conf_node {
	enum conf_group group;
	const char *name;  /* NAMED: its name; LISTED: "0", "1", ... ; else that of the row */
	const char *path;  /* "listener.mx", "keys[0]"; "" for the file */
	const char *where;
	struct conf_node *parent;
	struct conf_node *next; /* in the order they were made */
	struct conf_value *values;
	size_t listed_count; /* groups of shape LISTED in it; there is one kind of them at most */
};

struct conf_tree {
	struct arena *arena;
	struct conf_errors *errors;
	const char *folder; /* absolute; relative file names start there */
	struct conf_node *first, *last;
};

/* What the file says for one setting. */
struct conf_given {
	enum { GIVEN_INT, GIVEN_BOOL, GIVEN_FLOAT, GIVEN_TEXT, GIVEN_TEXTS, GIVEN_LIST, GIVEN_GROUP } kind;
	int64_t number;
	const char *text;
	const char **items; /* GIVEN_TEXTS: a list of nothing but strings */
	size_t item_count;
	const char *where;
};

/* Makes the root and all groups of shape ONE in it. NULL: no memory. */
struct conf_tree *conf_tree_new(struct arena *a, const char *folder, const char *file, struct conf_errors *errors);

/* A group of shape ONE; it is always there. */
struct conf_node *conf_tree_one(struct conf_tree *t, enum conf_group group, const struct conf_node *parent);
/* A new group of shape NAMED or LISTED (name is then ignored). NULL: no memory. */
struct conf_node *conf_tree_add(struct conf_tree *t, enum conf_group group, struct conf_node *parent, const char *name,
    const char *where);
/* The next group of this kind in `parent` after `after` (NULL: the first), or NULL. */
struct conf_node *conf_tree_next(const struct conf_tree *t, enum conf_group group, const struct conf_node *parent,
    const struct conf_node *after);

/* Takes one setting; unknown names and wrong values are mistakes. */
void conf_tree_set(struct conf_tree *t, struct conf_node *n, const char *name, const struct conf_given *given);
/* After the last one: what must be there and is not. */
void conf_tree_end(struct conf_tree *t);

const struct conf_value *conf_value(const struct conf_node *n, enum conf_key_id key);
struct conf_value *conf_value_edit(struct conf_node *n, enum conf_key_id key);
/* The name of a file from the folder of the configuration, whoever reads it and from where. */
const char *conf_absolute(const struct conf_tree *t, const char *name);
/* "listener.mx.policy" */
struct slice conf_path(struct arena *a, const struct conf_node *n, const char *name);
/* Is it what it would be if the file did not say it? */
bool conf_value_default(const struct conf_node *n, enum conf_key_id key);

#endif
