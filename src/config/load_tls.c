/* load_tls.c - certificates and keys for TLS: read, held against each other, kept for the workers. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "config/load_in.h"
#include "crypt/cert.h"

enum { CHAIN_OCTETS = 1 << 18, TRUST_OCTETS = 1 << 22, EXPIRES_SOON_S = 14 * 86400 };

struct load_tls {
	struct conf *c;
	struct conf_errors *e;
	int64_t now_s;
};

/* False: a mistake has been reported, here or before. */
static bool read_pem(const struct load_tls *l, struct conf_pem *p, size_t ceiling, const char *what, struct stat *st)
{
	const char *why = "";

	buf_init(&p->held, ceiling);
	if (!p->file)
		return false;
	if (load_file(p->file, &p->held, st, &why))
		return true;
	conf_mistake(l->e, p->where, "%s %s cannot be read: %s, expected a file this user may read", what, p->file, why);
	return false;
}

static bool take_chain(const struct load_tls *l, struct conf_pem *p)
{
	const char *wrong;

	if (!read_pem(l, p, CHAIN_OCTETS, "certificate", NULL))
		return false;
	wrong = cert_chain_wrong(buf_get(&p->held));
	if (wrong)
		conf_mistake(l->e, p->where, "certificate %s holds %s, expected a chain in PEM that peers accept", p->file, wrong);
	return wrong == NULL;
}

/* The chain is good, or its mistake has been said. */
static void take_key(const struct load_tls *l, struct conf_pem *p, struct slice chain)
{
	size_t before = l->e->n;
	const char *wrong;
	struct stat st;

	if (read_pem(l, p, LOAD_KEY_OCTETS, "key file", &st)) {
		wrong = cert_key_wrong(buf_get(&p->held), chain);
		if (st.st_mode & 077)
			conf_mistake(l->e, p->where, "key file %s has mode %04o, expected 0600 or 0400", p->file,
			    (unsigned)(st.st_mode & 07777));
		else if (wrong)
			conf_mistake(l->e, p->where, "key file %s holds %s, expected the private key of the certificate", p->file,
			    wrong);
	}
	l->e->keys += l->e->n - before;
}

/* It may still be used: what peers make of it is theirs to say, and a daemon that does not start helps nobody. */
static void tell_age(const struct load_tls *l, const struct conf_pem *p, const struct cert_facts *f)
{
	int64_t left_s = f->after_s - l->now_s;

	if (left_s <= 0)
		conf_warning(l->e, "certificate_expired", p->where, "certificate %s expired %lld day(s) ago", p->file, (long long)(-left_s / 86400));
	else if (f->before_s > l->now_s)
		conf_warning(l->e, "certificate_early", p->where, "certificate %s is not valid yet", p->file);
	else if (left_s < EXPIRES_SOON_S)
		conf_warning(l->e, "certificate_expires", p->where, "certificate %s expires in %lld day(s)", p->file, (long long)(left_s / 86400));
}

/* False: nothing can be known of it, and why has been said. */
static bool take(const struct load_tls *l, struct conf_certificate *c, struct arena *a, struct cert_facts *facts)
{
	bool good = take_chain(l, &c->chain);

	take_key(l, &c->key, good ? buf_get(&c->chain.held) : SLICE_NONE);
	good = good && cert_facts(a, buf_get(&c->chain.held), facts);
	if (good)
		tell_age(l, &c->chain, facts);
	return good;
}

static void take_trust(const struct load_tls *l, struct conf_pem *p)
{
	const char *wrong;

	if (!p || !read_pem(l, p, TRUST_OCTETS, "trusted certificates", NULL))
		return;
	wrong = cert_trust_wrong(buf_get(&p->held));
	if (wrong)
		conf_mistake(l->e, p->where, "trusted certificates %s holds %s, expected certificates in PEM", p->file, wrong);
}

/* ---- who is a client by the word of an authority ---- */

/* One root a file, as Debian has those that browsers trust; where it is not there, only their number tells. */
static const char public_roots[] = "/usr/share/ca-certificates/mozilla";
/* More than anybody has of his own. */
enum { OWN_AUTHORITIES = 16 };

static bool among(const char *const *all, size_t n, const char *one)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(all[i], one) == 0)
			return true;
	return false;
}

/* The name of a file that holds one of these; NULL: none does. */
static const char *public_root(struct arena *a, const char *const *mine, size_t n)
{
	DIR *folder = opendir(public_roots);
	const char *found = NULL;
	struct dirent *d;

	while (folder && !found && (d = readdir(folder)) != NULL) {
		const char *name = arena_string(a, arena_printf(a, "%s/%s", public_roots, d->d_name)), *why, **one = NULL;
		struct buf held;

		buf_init(&held, CHAIN_OCTETS);
		if (d->d_name[0] != '.' && name && load_file(name, &held, NULL, &why) && cert_fingerprints(a, buf_get(&held), &one) &&
		    among(mine, n, one[0]))
			found = name;
		buf_release(&held);
	}
	if (folder)
		closedir(folder);
	return found;
}

/* Whoever gives certificates to everybody must not say who may send to anyone. */
static void check_clients_verified(const struct load_tls *l, const struct conf_listener *listener)
{
	const struct conf_tls *tls = &listener->tls;
	const char **mine = NULL, *root;
	struct arena a;
	size_t n;

	if (!conf_guards(listener) || !tls->clients_verified || !tls->client_ca)
		return;
	arena_init(&a, TRUST_OCTETS);
	n = cert_fingerprints(&a, buf_get(&tls->client_ca->held), &mine);
	root = n <= OWN_AUTHORITIES ? public_root(&a, mine, n) : NULL;
	if (n > OWN_AUTHORITIES || root)
		conf_mistake(l->e, tls->client_ca->where, "listener.%s.tls.clients-verified with client-ca %s, which holds %s%s: strangers could send to "
		    "anyone, expected authorities of your own, clients by fingerprint, or open-relay = true", listener->name, tls->client_ca->file,
		    root ? "the public " : "very many authorities", root ? root : "");
	arena_clear(&a);
}

static const char *shared_name(const struct cert_facts *x, const struct cert_facts *y)
{
	for (size_t i = 0; i < x->name_count; i++)
		for (size_t k = 0; k < y->name_count; k++)
			if (strcmp(x->names[i], y->names[k]) == 0)
				return x->names[i];
	return NULL;
}

/* Which one a client gets must not depend on their order; but two kinds of key may stand side by side, the client chooses. */
static void check_names(const struct load_tls *l, const struct conf_certificate *all, const struct cert_facts *facts, size_t at)
{
	const struct conf_certificate *c = &all[at];

	if (at && facts[at].name_count == 0) {
		conf_mistake(l->e, c->chain.where, "certificate %s has no DNS name, so that no client could ask for it, expected a subjectAltName",
		    c->chain.file);
		return;
	}
	for (size_t i = 0; i < at; i++) {
		const char *name = facts[i].key && strcmp(facts[i].key, facts[at].key) == 0 ? shared_name(&facts[at], &facts[i]) : NULL;

		if (!name)
			continue;
		conf_mistake(l->e, c->chain.where, "certificate %s is for %s, as is %s at %s, expected one of a name and kind of key (%s)",
		    c->chain.file, name, all[i].chain.file, all[i].chain.where, facts[at].key);
		return;
	}
}

static void take_listener(const struct load_tls *l, const struct conf_tls *tls)
{
	struct arena a;
	struct cert_facts *facts;

	arena_init(&a, TRUST_OCTETS);
	facts = ARENA_ARRAY(&a, tls->certificate_count, struct cert_facts);
	for (size_t i = 0; facts && i < tls->certificate_count; i++)
		if (take(l, &tls->certificates[i], &a, &facts[i]))
			check_names(l, tls->certificates, facts, i);
	if (arena_failed(&a))
		conf_mistake(l->e, tls->certificates[0].chain.where, "out of memory, expected fewer or smaller certificates");
	arena_clear(&a);
	take_trust(l, tls->client_ca);
}

static void take_next_hop(const struct load_tls *l, const struct conf_next_hop_tls *tls)
{
	struct cert_facts facts;
	struct arena a;

	take_trust(l, tls->ca);
	if (!tls->certificate)
		return;
	arena_init(&a, TRUST_OCTETS);
	(void)!take(l, tls->certificate, &a, &facts);
	arena_clear(&a);
}

void load_tls(struct conf *c, struct conf_errors *errors)
{
	const struct load_tls l = { c, errors, (int64_t)time(NULL) };

	for (size_t i = 0; i < c->listener_count; i++) {
		take_listener(&l, &c->listeners[i].tls);
		check_clients_verified(&l, &c->listeners[i]);
		take_next_hop(&l, &c->listeners[i].next_hop_tls);
	}
}
