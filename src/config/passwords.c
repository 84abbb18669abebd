#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/map.h"
#include "config/passwords.h"
#include "mail/utf8.h"

struct entry {
	struct slice user;   /* in passwords.names */
	unsigned line;
	struct scram_verifier verifier;
};

struct passwords {
	unsigned char secret[PASSWORDS_SECRET];
	unsigned char *names;
	struct entry *entries; /* by user */
	size_t n, room;
};

struct reader {
	struct passwords *p;
	const char *file;
	struct conf_errors *errors;
	size_t names_n;
	unsigned line;
};

static bool user_valid(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.at[i] < 0x20 || s.at[i] == 0x7f)
			return false;
	return s.n > 0 && s.n <= LIMIT_AUTH_NAME && utf8_valid(s);
}

/* Where in the file: the longest name there may be is cut, never the line. */
static const char *where(const struct reader *r, unsigned line, char room[512])
{
	snprintf(room, 512, "%.490s:%u", r->file, line);
	return room;
}

static void mistake(const struct reader *r, const char *what, const char *expected)
{
	char room[512];

	conf_mistake(r->errors, where(r, r->line, room), "%s, expected %s", what, expected);
}

/* "none" is what policy and log say of who has not authenticated. */
static void take_line(struct reader *r, struct slice line)
{
	struct slice rest = line, user;
	struct scram_verifier v;
	const char *why = "";
	char what[96];
	bool more;

	if (line.n && line.at[line.n - 1] == '\r')
		line.n--;
	if (line.n == 0 || line.at[0] == '#')
		return;
	rest = line;
	more = slice_cut(&rest, ':', &user);
	if (!more) {
		mistake(r, "no user and password", "user:{SCRAM-SHA-256}... as hopsealctl password prints it");
	} else if (!user_valid(user)) {
		mistake(r, "no name of a user", "1 to 255 octets of UTF-8 in front of the colon");
	} else if (slice_eq(user, S("none"))) {
		mistake(r, "the user is called \"none\", as is who is none", "another name");
	} else if (!scram_read(rest, &v, &why)) {
		snprintf(what, sizeof(what), "the password is %s", why);
		mistake(r, what, "{SCRAM-SHA-256}iterations,salt,StoredKey,ServerKey");
	} else {
		unsigned char *at = r->p->names + r->names_n;

		memcpy(at, user.at, user.n);
		r->names_n += user.n;
		r->p->entries[r->p->n++] = (struct entry){ .user = slice_of(at, user.n), .line = r->line, .verifier = v };
	}
	explicit_bzero(&v, sizeof(v));
}

static int order(const void *x, const void *y)
{
	const struct entry *a = x, *b = y;
	int c = slice_cmp(a->user, b->user);

	return c ? c : (a->line > b->line) - (a->line < b->line);
}

static void find_twice(const struct reader *r)
{
	const struct entry *all = r->p->entries;
	char room[512];

	for (size_t i = 1; i < r->p->n; i++)
		if (slice_eq(all[i].user, all[i - 1].user))
			conf_mistake(r->errors, where(r, all[i].line, room), "user %.*s is there already at line %u, expected one password a user",
			    SLICE_FMT(all[i].user), all[i - 1].line);
}

static size_t lines_of(struct slice text)
{
	size_t n = 1;

	for (size_t i = 0; i < text.n; i++)
		n += text.at[i] == '\n';
	return n;
}

struct passwords *passwords_new(const char *file, struct slice text, const unsigned char secret[PASSWORDS_SECRET], struct conf_errors *errors)
{
	struct passwords *p = calloc(1, sizeof(*p));
	struct reader r = { .p = p, .file = file, .errors = errors };
	size_t before = errors->n;
	char room[512];

	if (p) {
		p->room = lines_of(text);
		p->entries = calloc(p->room, sizeof(*p->entries));
		p->names = malloc(text.n + 1);
	}
	if (!p || !p->entries || !p->names) {
		conf_mistake(errors, where(&r, 1, room), "out of memory, expected a smaller file");
		passwords_free(&p);
		return NULL;
	}
	memcpy(p->secret, secret, PASSWORDS_SECRET);
	while (text.n) {
		struct slice line;

		r.line++;
		(void)slice_cut(&text, '\n', &line);
		take_line(&r, line);
	}
	qsort(p->entries, p->n, sizeof(*p->entries), order);
	find_twice(&r);
	if (p->n == 0 && errors->n == before)
		conf_mistake(errors, where(&r, 1, room), "nobody, expected a line for each user");
	if (errors->n != before)
		passwords_free(&p);
	return p;
}

void passwords_free(struct passwords **p)
{
	struct passwords *x = *p;

	if (!x)
		return;
	if (x->entries)
		explicit_bzero(x->entries, x->room * sizeof(*x->entries));
	free(x->entries);
	free(x->names);
	explicit_bzero(x->secret, sizeof(x->secret));
	free(x);
	*p = NULL;
}

static int compare(const void *key, const void *entry)
{
	return slice_cmp(*(const struct slice *)key, ((const struct entry *)entry)->user);
}

/* One of them, the same for the same name: who is not there takes after them all in the proportion in which they are there. */
static const struct entry *like(const struct passwords *p, struct slice user)
{
	uint64_t seed[2];

	memcpy(seed, p->secret, sizeof(seed));
	return &p->entries[map_hash(seed, user) % p->n];
}

bool passwords_find(const struct passwords *p, struct slice user, struct scram_verifier *out, bool *known_out)
{
	const struct entry *found = bsearch(&user, p->entries, p->n, sizeof(*p->entries), compare);
	struct scram_verifier unknown;

	/* Made for everybody, so that nobody's takes longer. */
	if (!scram_unknown(slice_of(p->secret, sizeof(p->secret)), user, &like(p, user)->verifier, &unknown))
		return false;
	*out = found ? found->verifier : unknown;
	*known_out = found != NULL;
	return true;
}
