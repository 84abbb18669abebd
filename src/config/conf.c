#include <stdlib.h>
#include <string.h>

#include "config/conf.h"

static void wipe(struct conf_pem *p)
{
	if (!p)
		return;
	if (p->held.room)
		explicit_bzero(p->held.at, p->held.room);
	buf_release(&p->held);
}

static void wipe_both(struct conf_certificate *c)
{
	wipe(&c->chain);
	wipe(&c->key);
}

void conf_forget_tls(const struct conf *c)
{
	for (size_t i = 0; i < c->listener_count; i++) {
		const struct conf_tls *tls = &c->listeners[i].tls;
		const struct conf_next_hop_tls *next = &c->listeners[i].next_hop_tls;

		for (size_t k = 0; k < tls->certificate_count; k++)
			wipe_both(&tls->certificates[k]);
		wipe(tls->client_ca);
		wipe(next->ca);
		if (next->certificate)
			wipe_both(next->certificate);
	}
}

bool conf_guards(const struct conf_listener *l)
{
	return (l->mode == MODE_QUEUE || l->sealing) && !l->open_relay;
}

static int compare(const void *domain, const void *name)
{
	const struct slice *d = domain;
	const char *const *n = name;

	return slice_cmp(*d, slice_str(*n));
}

bool conf_takes(const struct conf_listener *l, struct slice domain)
{
	return l->domain_count && bsearch(&domain, l->domains, l->domain_count, sizeof(l->domains[0]), compare);
}

void conf_forget_passwords(const struct conf *c)
{
	for (size_t i = 0; i < c->listener_count; i++)
		passwords_free(&c->listeners[i].auth.passwords);
}

void conf_free(struct conf **c)
{
	if (!*c)
		return;
	conf_forget_tls(*c);
	conf_forget_passwords(*c);
	arena_clear(&(*c)->arena);
	free(*c);
	*c = NULL;
}
