#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/answers.h"
#include "config/build.h"
#include "config/folders.h"
#include "config/load_in.h"
#include "config/text.h"
#include "crypt/sign.h"
#include "mail/domain.h"

enum {
	ARENA_OCTETS = 1 << 28,
	READ_OCTETS = 4096,
	FILE_OCTETS = 1 << 22,    /* one file of the configuration */
	ANSWERS_OCTETS = 1 << 24,
	TABLE_OCTETS = 1 << 24,
	INCLUDE_DEPTH = 10,       /* libconfig's own */
	RSA_BITS_MAX = 8192,      /* what peers verify */
};

/* A number that libconfig cut: its setting has a value nobody wrote. */
struct cut {
	const char *file;
	unsigned line;
	struct cut *next;
};

struct load {
	struct conf *c;
	struct arena *a;
	struct conf_errors *e;
	struct conf_tree *tree;
	const char *main_file;
	char *folder;             /* of the main file, absolute */
	struct cut *cuts;
	enum load_for { LOAD_CHECK, LOAD_START, LOAD_PLACE } purpose; /* START: a daemon is to run with it; PLACE: where it runs */
};

/* ---- files ---- */

bool load_file(const char *name, struct buf *content, struct stat *st_out, const char **why_out)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	bool done = false;

	if (fd < 0) {
		*why_out = strerror(errno);
		return false;
	}
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		*why_out = "File too large";
		buf_room(content, (size_t)st.st_size + READ_OCTETS);
		while (!done && !buf_failed(content)) {
			unsigned char *room = buf_room(content, READ_OCTETS);
			ssize_t n = room ? read(fd, room, READ_OCTETS) : -1;

			if (n < 0 && room && errno == EINTR)
				continue;
			if (n < 0) {
				*why_out = room ? strerror(errno) : *why_out;
				break;
			}
			buf_grew(content, (size_t)n);
			done = n == 0;
		}
	} else {
		*why_out = "Not a regular file";
	}
	close(fd);
	if (done && st_out)
		*st_out = st;
	return done;
}

static const char *where_of(struct load *l, const char *file, unsigned line)
{
	const char *s = arena_string(l->a, arena_printf(l->a, "%s:%u", file, line));

	return s ? s : file;
}

/* A file as an @include names it: it stands in the folder of the main one. */
static const char *file_name(struct load *l, const char *name)
{
	const char *slash = strrchr(l->main_file, '/'), *full;

	if (!name || strcmp(name, l->main_file) == 0)
		return l->main_file;
	if (name[0] == '/' || !slash)
		return name;
	full = arena_string(l->a,
	    arena_printf(l->a, "%.*s/%s", (int)(slash - l->main_file), l->main_file, name));
	return full ? full : name;
}

/* A file as libconfig names it: an included one as the @include does, since 1.7 with the include folder in front. */
static const char *source_name(struct load *l, const char *name)
{
	enum { WITH_FOLDER = LIBCONFIG_VER_MAJOR > 1 || LIBCONFIG_VER_MINOR >= 7 };

	if (!WITH_FOLDER || !name || name[0] == '/')
		return file_name(l, name);
	return name[0] == '.' && name[1] == '/' && !strchr(l->main_file, '/') ? name + 2 : name;
}

/* The text of a file and of what it includes. False: libconfig should not be let near them. */
static bool check_text(struct load *l, const char *file, const char *where, unsigned depth)
{
	struct text_notes notes = { .include_count = 0 };
	struct buf text;
	const char *why = "";
	bool good;

	if (depth > INCLUDE_DEPTH) {
		conf_mistake(l->e, where, "%s is included too deep, expected at most %d levels", file, INCLUDE_DEPTH);
		return false;
	}
	buf_init(&text, FILE_OCTETS);
	good = load_file(file, &text, NULL, &why);
	if (good)
		good = text_check(l->a, file, buf_get(&text), l->e, &notes);
	else
		conf_mistake(l->e, where, "%s cannot be read: %s, expected a readable file", file, why);
	buf_release(&text);
	for (size_t i = 0; i < notes.cut_count; i++) {
		struct cut *c = ARENA_NEW(l->a, struct cut);

		if (!c)
			return false;
		*c = (struct cut){ .file = file, .line = notes.cut_lines[i], .next = l->cuts };
		l->cuts = c;
	}
	for (size_t i = 0; good && i < notes.include_count; i++) {
		const char *name = arena_string(l->a, notes.includes[i].name);

		good = name && check_text(l, file_name(l, name), where_of(l, file, notes.includes[i].line), depth + 1);
	}
	return good;
}

/* ---- from libconfig's tree to ours ---- */

static bool was_cut(const struct load *l, const char *file, unsigned line)
{
	for (const struct cut *c = l->cuts; c; c = c->next)
		if (c->line == line && strcmp(c->file, file) == 0)
			return true;
	return false;
}

static struct conf_given list_given(struct load *l, const config_setting_t *s)
{
	struct conf_given g = { .kind = GIVEN_TEXTS };
	size_t n = (size_t)config_setting_length(s);

	g.items = ARENA_ARRAY(l->a, n, const char *);
	for (size_t i = 0; g.items && i < n; i++) {
		const config_setting_t *item = config_setting_get_elem(s, (unsigned)i);

		if (config_setting_type(item) != CONFIG_TYPE_STRING)
			g.kind = GIVEN_LIST;
		else
			g.items[g.item_count++] = arena_string(l->a, slice_str(config_setting_get_string(item)));
	}
	return g;
}

static struct conf_given given_of(struct load *l, const config_setting_t *s)
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return (struct conf_given){ .kind = GIVEN_INT, .number = config_setting_get_int64(s) };
	case CONFIG_TYPE_BOOL:
		return (struct conf_given){ .kind = GIVEN_BOOL, .number = config_setting_get_bool(s) };
	case CONFIG_TYPE_FLOAT:
		return (struct conf_given){ .kind = GIVEN_FLOAT };
	case CONFIG_TYPE_STRING:
		return (struct conf_given){ .kind = GIVEN_TEXT,
			.text = arena_string(l->a, slice_str(config_setting_get_string(s))) };
	case CONFIG_TYPE_ARRAY:
	case CONFIG_TYPE_LIST:
		return list_given(l, s);
	default:
		return (struct conf_given){ .kind = GIVEN_GROUP };
	}
}

static void take_group(struct load *l, struct conf_node *n, const config_setting_t *s);

static const char *setting_where(struct load *l, const config_setting_t *s)
{
	return where_of(l, source_name(l, config_setting_source_file(s)), config_setting_source_line(s));
}

/* A group of groups: each member has a name of its own. */
static void take_named(struct load *l, struct conf_node *parent, enum conf_group group, const config_setting_t *s)
{
	const char *name = conf_group_row(group)->name;

	if (!config_setting_is_group(s)) {
		conf_mistake(l->e, setting_where(l, s), "%s is not a group, expected %s: { NAME: { ... }; };", name, name);
		return;
	}
	for (int i = 0; i < config_setting_length(s); i++) {
		const config_setting_t *member = config_setting_get_elem(s, (unsigned)i);
		const char *where = setting_where(l, member);
		const char *own = arena_string(l->a, slice_str(config_setting_name(member)));
		struct conf_node *n;

		if (!config_setting_is_group(member)) {
			conf_mistake(l->e, where, "%s.%s is not a group, expected %s: { ... };", name, own, own);
			continue;
		}
		n = own ? conf_tree_add(l->tree, group, parent, own, where) : NULL;
		if (n)
			take_group(l, n, member);
	}
}

static void take_listed(struct load *l, struct conf_node *parent, enum conf_group group, const config_setting_t *s)
{
	const char *name = conf_group_row(group)->name;

	if (!config_setting_is_list(s)) {
		conf_mistake(l->e, setting_where(l, s), "%.*s is not a list of groups, expected %s = ( { ... }, { ... } );",
		    SLICE_FMT(conf_path(l->a, parent, name)), name);
		return;
	}
	for (int i = 0; i < config_setting_length(s); i++) {
		const config_setting_t *member = config_setting_get_elem(s, (unsigned)i);
		const char *where = setting_where(l, member);
		struct conf_node *n;

		if (!config_setting_is_group(member)) {
			conf_mistake(l->e, where, "%.*s[%d] is not a group, expected { ... }",
			    SLICE_FMT(conf_path(l->a, parent, name)), i);
			continue;
		}
		n = conf_tree_add(l->tree, group, parent, NULL, where);
		if (n)
			take_group(l, n, member);
	}
}

static void take_setting(struct load *l, struct conf_node *n, const config_setting_t *s)
{
	const char *name = config_setting_name(s);
	const char *where = setting_where(l, s);
	struct conf_given given;
	enum conf_group group;

	if (!conf_group_find(n->group, slice_str(name), &group)) {
		given = given_of(l, s);
		given.where = where;
		if (given.kind == GIVEN_INT &&
		    was_cut(l, source_name(l, config_setting_source_file(s)), config_setting_source_line(s)))
			return;
		conf_tree_set(l->tree, n, name, &given);
		return;
	}
	switch (conf_group_row(group)->shape) {
	case SHAPE_ONE:
		if (config_setting_is_group(s))
			take_group(l, conf_tree_one(l->tree, group, n), s);
		else
			conf_mistake(l->e, where, "%.*s is not a group, expected %s: { ... };",
			    SLICE_FMT(conf_path(l->a, n, name)), name);
		return;
	case SHAPE_NAMED:
		take_named(l, n, group, s);
		return;
	case SHAPE_LISTED:
		take_listed(l, n, group, s);
		return;
	}
}

static void take_group(struct load *l, struct conf_node *n, const config_setting_t *s)
{
	n->where = setting_where(l, s);
	for (int i = 0; i < config_setting_length(s); i++)
		take_setting(l, n, config_setting_get_elem(s, (unsigned)i));
}

/* ---- what only files can tell ---- */

/* Of the machine, if mail can use it: what a label may hold, and some label at all. */
static const char *machine_name(struct load *l)
{
	char name[HOST_NAME_MAX + 1] = "";
	struct slice normal;

	if (gethostname(name, sizeof(name) - 1) != 0)
		return NULL;
	if (!domain_normal(l->a, slice_str(name), &normal) || !domain_valid(normal))
		return NULL;
	return arena_string(l->a, normal);
}

static void check_key_file(struct load *l, struct conf_key *k)
{
	struct key *key = NULL;
	struct buf content;
	struct stat st;
	const char *why = "";
	size_t before = l->e->n;

	buf_init(&content, LOAD_KEY_OCTETS);
	if (!load_file(k->file, &content, &st, &why))
		conf_mistake(l->e, k->where, "key file %s cannot be read: %s, expected a file this user may read", k->file, why);
	else if (st.st_mode & 077)
		conf_mistake(l->e, k->where, "key file %s has mode %04o, expected 0600 or 0400", k->file,
		    (unsigned)(st.st_mode & 07777));
	else if (!(key = key_private(buf_get(&content))))
		conf_mistake(l->e, k->where,
		    "key file %s holds no private key, expected Ed25519 or RSA in PEM or DER without passphrase", k->file);
	else if (key_type(key) == KEY_RSA && (key_bits(key) < SIGN_RSA_BITS_MIN || key_bits(key) > RSA_BITS_MAX))
		conf_mistake(l->e, k->where, "key file %s holds an RSA key of %u bits, expected %d..%d", k->file, key_bits(key),
		    SIGN_RSA_BITS_MIN, RSA_BITS_MAX);
	else
		k->type = key_type(key);
	l->e->keys += l->e->n - before;
	key_drop(&key);
	if (content.room)
		explicit_bzero(content.at, content.room);
	buf_release(&content);
}

static void check_answers(struct load *l)
{
	const struct conf_value *v = conf_value(conf_tree_one(l->tree, GROUP_DNS, l->tree->first), KEY_DNS_ANSWERS);
	struct answers *answers = NULL;
	struct buf content, error;
	const char *why = "";

	if (!v->given || v->bad)
		return;
	buf_init(&content, ANSWERS_OCTETS);
	buf_init(&error, 4096);
	if (!load_file(v->text, &content, NULL, &why)) {
		conf_mistake(l->e, v->where, "dns.answers = \"%s\" cannot be read: %s, expected a readable file", v->text, why);
	} else if (!(answers = answers_new(buf_get(&content), &error))) {
		struct slice first;

		error.n = error.n && error.at[error.n - 1] == '\n' ? error.n - 1 : error.n;
		first = buf_get(&error);
		conf_mistake(l->e, v->where, "dns.answers = \"%s\": %.*s", v->text, SLICE_FMT(first));
	}
	answers_free(&answers);
	buf_release(&content);
	buf_release(&error);
}

static void take_table(struct load *l, struct conf_listener *listener)
{
	struct buf text;
	const char *why = "";

	if (!listener->table_file)
		return;
	buf_init(&text, TABLE_OCTETS);
	if (load_file(listener->table_file, &text, NULL, &why))
		build_table(l->c, listener, buf_get(&text), l->e);
	else
		conf_mistake(l->e, listener->table_where, "table %s cannot be read: %s, expected a readable file", listener->table_file, why);
	buf_release(&text);
}

static void take_domains(struct load *l, struct conf_listener *listener)
{
	struct buf text;
	const char *why = "";

	if (!listener->domains_file)
		return;
	buf_init(&text, TABLE_OCTETS);
	if (load_file(listener->domains_file, &text, NULL, &why))
		build_domain_table(l->c, listener, buf_get(&text), l->e);
	else
		conf_mistake(l->e, listener->domains_where, "table %s cannot be read: %s, expected a readable file", listener->domains_file, why);
	buf_release(&text);
}

static void check_files(struct load *l)
{
	const char *anchor = l->c->dns.trust_anchor, *log = l->c->log.file;
	struct conf_node *dns = conf_tree_one(l->tree, GROUP_DNS, l->tree->first);
	const struct conf_value *to = conf_value(conf_tree_one(l->tree, GROUP_LOG, l->tree->first), KEY_LOG_TO);
	char *slash;

	for (size_t i = 0; i < l->c->key_count; i++)
		check_key_file(l, &l->c->keys[i]);
	load_tls(l->c, l->e);
	load_auth(l->c, l->e);
	for (size_t i = 0; i < l->c->listener_count; i++) {
		take_table(l, &l->c->listeners[i]);
		take_domains(l, &l->c->listeners[i]);
	}
	build_check_loops(l->c, l->e);
	build_check_requiretls(l->c, l->e);
	check_answers(l);
	if (anchor && anchor[0] == '/' && access(anchor, R_OK) != 0)
		conf_mistake(l->e, conf_value(dns, KEY_DNS_TRUST_ANCHOR)->where,
		    "dns.trust-anchor = \"%s\" cannot be read: %s, expected a readable file", anchor, strerror(errno));
	if (log) {
		char *folder = arena_string(l->a, slice_str(log));
		struct stat st;

		slash = folder ? strrchr(folder, '/') : NULL;
		if (slash)
			slash[slash == folder] = '\0';
		if (slash && (stat(folder, &st) != 0 || !S_ISDIR(st.st_mode)))
			conf_mistake(l->e, to->where, "log.to = \"%s\" is in no folder, expected one that is there", log);
	}
}

/* ---- all of it ---- */

static void load_tree(struct load *l, const config_t *config)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct build_machine machine = { .hostname = machine_name(l), .cores = cores > 0 ? (unsigned)cores : 1 };
	const config_setting_t *root = config_root_setting(config);

	l->tree = conf_tree_new(l->a, l->folder, l->main_file, l->e);
	if (!l->tree)
		return;
	for (int i = 0; i < config_setting_length(root); i++)
		take_setting(l, l->tree->first, config_setting_get_elem(root, (unsigned)i));
	if (arena_failed(l->a))
		return;
	conf_tree_end(l->tree);
	build_conf(l->c, l->tree, &machine);
	if (l->purpose == LOAD_PLACE)
		return;
	check_files(l);
	if (l->purpose == LOAD_START)
		folders_check(l->c, l->tree, l->a, l->e);
	build_check_keys(l->c, l->e);
}

static void load_config(struct load *l)
{
	config_t config;
	char *include_folder = strdup(l->main_file), *slash = include_folder ? strrchr(include_folder, '/') : NULL;

	if (slash)
		slash[slash == include_folder] = '\0';
	config_init(&config);
	config_set_include_dir(&config, slash ? include_folder : ".");
	if (config_read_file(&config, l->main_file))
		load_tree(l, &config);
	else if (config_error_type(&config) == CONFIG_ERR_PARSE)
		conf_mistake(l->e,
		    where_of(l, source_name(l, config_error_file(&config)), (unsigned)config_error_line(&config)),
		    "%s, expected name = value; or name: { ... };", config_error_text(&config));
	else
		conf_mistake(l->e, where_of(l, l->main_file, 1), "cannot be read, expected a readable file");
	config_destroy(&config);
	free(include_folder);
}

/* The folder a file stands in, absolute; NULL: there is none. Malloced. */
static char *folder_of(const char *file)
{
	char *copy = strdup(file), *slash = copy ? strrchr(copy, '/') : NULL, *real;

	if (!copy)
		return NULL;
	if (slash)
		slash[slash == copy] = '\0';
	real = realpath(slash ? copy : ".", NULL);
	free(copy);
	return real;
}

/* LOAD_PLACE: mistakes are told, but do not prevent it. */
static struct conf *load(const char *file, enum load_for purpose, struct conf_errors *errors)
{
	struct conf *c = calloc(1, sizeof(*c));
	struct load l = { .c = c, .e = errors, .main_file = file, .folder = folder_of(file), .purpose = purpose };
	size_t before = errors->n;
	char where[PATH_MAX + 4];

	snprintf(where, sizeof(where), "%s:1", file);
	if (!c || !l.folder) {
		conf_mistake(errors, where, "cannot be read: %s, expected a readable file", strerror(errno));
		free(l.folder);
		free(c);
		return NULL;
	}
	arena_init(&c->arena, ARENA_OCTETS);
	l.a = &c->arena;
	c->file = arena_string(l.a, slice_str(file));
	if (check_text(&l, file, where, 0))
		load_config(&l);
	if (l.tree)
		l.tree->folder = NULL;
	free(l.folder);
	c->warnings = arena_copy(l.a, buf_get(&errors->warnings));
	if (arena_failed(&c->arena))
		conf_mistake(errors, where, "out of memory, expected a smaller configuration");
	if (purpose == LOAD_PLACE ? !c->run_dir || arena_failed(&c->arena) : errors->n != before)
		conf_free(&c);
	return c;
}

struct conf *conf_load(const char *file, struct conf_errors *errors)
{
	return load(file, LOAD_CHECK, errors);
}

struct conf *conf_load_start(const char *file, struct conf_errors *errors)
{
	return load(file, LOAD_START, errors);
}

char *conf_run_dir(const char *file, struct conf_errors *errors)
{
	struct conf *c = load(file, LOAD_PLACE, errors);
	char *copy = c ? strdup(c->run_dir) : NULL;

	conf_free(&c);
	return copy;
}
