/* build_auth.c - whom a listener lets authenticate, and how: what settings have to do with each other. The files are load_auth.c's. */
#include <sys/un.h>

#include "config/build.h"

void build_auth(struct conf_tree *t, const struct conf_node *listener, struct conf_listener *l)
{
	const struct conf_node *n = conf_tree_one(t, GROUP_AUTH, listener);
	const struct conf_value *passwords = conf_value(n, KEY_AUTH_PASSWORDS), *dovecot = conf_value(n, KEY_AUTH_DOVECOT),
				*attempts = conf_value(n, KEY_AUTH_ATTEMPTS);

	l->auth.attempts = (unsigned)attempts->number;
	if (!passwords->given && !dovecot->given) {
		if (attempts->given)
			conf_mistake(t->errors, attempts->where, "%s.attempts without passwords or dovecot, expected who may authenticate", n->path);
		return;
	}
	if (passwords->given && dovecot->given)
		conf_mistake(t->errors, dovecot->where, "%s.dovecot beside passwords, expected one of them", n->path);
	if (l->tls.mode == TLS_NONE)
		conf_mistake(t->errors, n->where, "%s where there is no TLS, inside of which alone it is announced, expected a mode in %s.tls", n->path,
		    listener->path);
	if (dovecot->given && !dovecot->bad) {
		if (strlen(dovecot->text) >= sizeof(((struct sockaddr_un *)0)->sun_path))
			conf_mistake(t->errors, dovecot->where, "%s.dovecot = \"%s\" is longer than a socket's name may be, expected at most %zu octets",
			    n->path, dovecot->text, sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
		l->auth.dovecot = dovecot->text;
	}
	if (passwords->given && !passwords->bad)
		l->auth.passwords_file = passwords->text;
	l->auth.where = passwords->where;
}
