/*
 * row.h - the table of settings (conf_key.def) for code. Pure.
 */
#ifndef CONFIG_ROW_H
#define CONFIG_ROW_H

#include "base/arena.h"

enum conf_group {
#define CONF_GROUP(id, parent, name, shape, help) GROUP_##id,
#define CONF_KEY(group, id, name, type, need, fallback, bounds, apply, help)
#include "config/conf_key.def"
#undef CONF_GROUP
#undef CONF_KEY
	CONF_GROUPS
};

enum conf_key_id {
#define CONF_GROUP(id, parent, name, shape, help)
#define CONF_KEY(group, id, name, type, need, fallback, bounds, apply, help) KEY_##group##_##id,
#include "config/conf_key.def"
#undef CONF_GROUP
#undef CONF_KEY
	CONF_KEYS
};

enum conf_shape { SHAPE_ONE, SHAPE_NAMED, SHAPE_LISTED };
enum conf_type {
	CONF_INT,
	CONF_BOOL,
	CONF_WORD,   /* one of some */
	CONF_TEXT,
	CONF_DOMAIN, /* becomes normal (mail/domain.h) */
	CONF_FILE,   /* becomes absolute */
	CONF_DIR,    /* becomes absolute */
	CONF_LIST,   /* of strings */
	CONF_TEXTS   /* a string, or a list of them */
};
enum conf_need { NEED_MUST, NEED_MAY, NEED_LATER };
enum conf_apply { APPLY_RELOAD, APPLY_RESTART };

struct conf_group_row {
	const char *name;
	enum conf_group parent;
	enum conf_shape shape;
	const char *help;
};

struct conf_row {
	enum conf_group group;
	const char *name;
	enum conf_type type;
	enum conf_need need;
	const char *fallback; /* NULL: none */
	int64_t low, high;    /* CONF_INT */
	const char *unit;
	const char *here, *later; /* CONF_WORD: words joined by blanks; CONF_TEXT, CONF_TEXTS: what is said there; never NULL */
	enum conf_apply apply;
	const char *help;
};

const struct conf_group_row *conf_group_row(enum conf_group group);
const struct conf_row *conf_row(enum conf_key_id key);
/* The keys of a group are first_out .. first_out + the result - 1. */
size_t conf_group_keys(enum conf_group group, enum conf_key_id *first_out);

bool conf_row_find(enum conf_group group, struct slice name, enum conf_key_id *key_out);
/* A group that stands in another. */
bool conf_group_find(enum conf_group parent, struct slice name, enum conf_group *group_out);

/* Is `word` among words joined by blanks? *index_out (may be NULL): which. */
bool conf_word(const char *words, struct slice word, unsigned *index_out);

/* "expected ...": what may be said there. */
struct slice conf_row_expected(struct arena *a, const struct conf_row *row);
/* What a group may hold, names joined by ", ". */
struct slice conf_group_expected(struct arena *a, enum conf_group group);

#endif
