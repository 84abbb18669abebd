#include <stdlib.h>

#include "auth/keyrec.h"
#include "auth/taglist.h"
#include "base/b64.h"
#include "base/limits.h"

enum { RECORD_ARENA_OCTETS = 524288 };

static const char *const type_names[] = { [KEY_RSA] = "rsa", [KEY_ED25519] = "ed25519", [KEY_MLDSA44] = "mldsa44" };

static enum key_type type_named(struct slice name)
{
	for (enum key_type t = KEY_RSA; t <= KEY_MLDSA44; t++)
		if (slice_eq(name, slice_str(type_names[t])))
			return t;
	return KEY_NONE;
}

static enum keyrec_state read_record(struct arena *a, struct slice text, struct keyrec *k)
{
	struct taglist list;
	const struct tag *v, *type, *p, *t, *f, *h, *service;
	enum key_type kind = KEY_RSA;
	struct slice octets;

	if (text.n > LIMIT_TXT || !taglist_parse(a, text, TAGLIST_EXACT, &list))
		return KEYREC_SYNTAX;
	v = taglist_find(&list, TAGLIST_EXACT, S("v"));
	if (v && (v != &list.tags[0] || !slice_eq(v->value, S("DKIM1"))))
		return KEYREC_SYNTAX;
	p = taglist_find(&list, TAGLIST_EXACT, S("p"));
	if (!p)
		return KEYREC_SYNTAX;
	t = taglist_find(&list, TAGLIST_EXACT, S("t"));
	k->testing = t && taglist_lists(t->value, S("y"));
	k->same_domain = t && taglist_lists(t->value, S("s"));
	h = taglist_find(&list, TAGLIST_EXACT, S("h"));
	k->no_sha256 = h && !taglist_lists(h->value, S("sha256"));
	service = taglist_find(&list, TAGLIST_EXACT, S("s"));
	k->no_email = service && !taglist_lists(service->value, S("*")) && !taglist_lists(service->value, S("email"));
	f = taglist_find(&list, TAGLIST_EXACT, S("f"));
	k->strict = f && slice_eq(f->value, S("strict"));
	if (p->value.n == 0)
		return KEYREC_REVOKED;
	type = taglist_find(&list, TAGLIST_EXACT, S("k"));
	if (type)
		kind = type_named(type->value);
	if (!key_type_known(kind))
		return KEYREC_TYPE;
	if (!b64_decode(a, p->value, true, &octets))
		return KEYREC_SYNTAX;
	k->key = kind == KEY_RSA ? key_rsa_public(octets) :
	    kind == KEY_ED25519 ? key_ed25519_public(octets) : key_mldsa44_public(octets);
	if (k->key && kind == KEY_RSA)
		k->bits = key_bits(k->key);
	else if (kind == KEY_RSA)
		k->odd = key_rsa_public_odd(octets, &k->bits);
	return k->key ? KEYREC_OK : KEYREC_SYNTAX;
}

struct keyrec *keyrec_new(enum dns_status status, const struct slice *txt, size_t txt_count, bool secure)
{
	struct keyrec *k = calloc(1, sizeof(*k));
	struct arena a;

	if (!k)
		return NULL;
	k->holders = 1;
	k->secure = secure;
	switch (status) {
	case DNS_TIMEOUT:
	case DNS_SERVFAIL:
	case DNS_BOGUS:
		k->state = KEYREC_UNREACHABLE;
		return k;
	case DNS_NXDOMAIN:
	case DNS_NODATA:
		k->state = KEYREC_ABSENT;
		return k;
	case DNS_OK:
		break;
	}
	if (txt_count != 1) {
		k->state = txt_count ? KEYREC_MULTIPLE : KEYREC_ABSENT;
		return k;
	}
	arena_init(&a, RECORD_ARENA_OCTETS);
	k->state = read_record(&a, txt[0], k);
	if (arena_failed(&a))
		keyrec_drop(&k);
	arena_clear(&a);
	return k;
}

struct keyrec *keyrec_hold(struct keyrec *k)
{
	k->holders++;
	return k;
}

void keyrec_drop(struct keyrec **k)
{
	if (*k && --(*k)->holders == 0) {
		key_drop(&(*k)->key);
		key_drop(&(*k)->odd);
		free(*k);
	}
	*k = NULL;
}

const struct key *keyrec_dkim(const struct keyrec *k)
{
	return k->key ? k->key : k->odd;
}

bool keyrec_refused(const struct keyrec *k)
{
	return k->state == KEYREC_SYNTAX && k->bits && !k->odd;
}

struct slice keyrec_text(struct arena *a, const struct key *k)
{
	struct slice octets, text;

	if (!key_public_octets(a, k, &octets))
		return SLICE_NONE;
	text = b64_text(a, octets);
	return arena_printf(a, "v=DKIM1; k=%s; p=%.*s", type_names[key_type(k)], SLICE_FMT(text));
}
