/* load_auth.c - files of passwords: read by the daemon before it becomes `user`, kept for the workers. */
#include <errno.h>
#include <sys/random.h>

#include "config/load_in.h"

enum { PASSWORDS_OCTETS = 1 << 24 };

/*
 * By which names that are in no file get what looks like an entry: the same for as long as the process lives, through all reloads, else
 * who asks twice would learn who is known.
 */
static const unsigned char *secret(void)
{
	static unsigned char made[PASSWORDS_SECRET];
	static bool done;

	done = done || getrandom(made, sizeof(made), 0) == (ssize_t)sizeof(made);
	return done ? made : NULL;
}

static void take(struct conf_auth *auth, struct conf_errors *e)
{
	const unsigned char *ours = secret();
	size_t before = e->n;
	const char *why = "";
	struct stat st;
	struct buf text;

	buf_init(&text, PASSWORDS_OCTETS);
	if (!load_file(auth->passwords_file, &text, &st, &why))
		conf_mistake(e, auth->where, "passwords %s cannot be read: %s, expected a file this user may read", auth->passwords_file, why);
	else if (st.st_mode & 077)
		conf_mistake(e, auth->where, "passwords %s has mode %04o, expected 0600 or 0400", auth->passwords_file,
		    (unsigned)(st.st_mode & 07777));
	else if (!ours)
		conf_mistake(e, auth->where, "no random octets: %s, expected a kernel that gives some", strerror(errno));
	else
		auth->passwords = passwords_new(auth->passwords_file, buf_get(&text), ours, e);
	e->keys += e->n - before;
	if (text.room)
		explicit_bzero(text.at, text.room);
	buf_release(&text);
}

void load_auth(struct conf *c, struct conf_errors *errors)
{
	for (size_t i = 0; i < c->listener_count; i++)
		if (c->listeners[i].auth.passwords_file)
			take(&c->listeners[i].auth, errors);
}
