/* build_tls.c - TLS of a listener and with its next hop: what settings have to do with each other. The files are load_tls.c's. */
#include "config/build.h"
#include "crypt/cert.h"
#include "mail/domain.h"

struct build_tls {
	struct conf_tree *t;
	const struct conf_node *n; /* the group */
	struct conf_listener *l;
};

/* "listener.mx.tls.client-ca without client-certificate, expected ..." */
static void lone(const struct build_tls *b, enum conf_key_id key, const char *missing, enum conf_key_id expected)
{
	conf_mistake(b->t->errors, conf_value(b->n, key)->where, "%s.%s %s, expected %.*s", b->n->path, conf_row(key)->name, missing,
	    SLICE_FMT(conf_row_expected(b->t->arena, conf_row(expected))));
}

static struct conf_pem pem(const struct conf_value *v)
{
	return (struct conf_pem){ .file = v->bad ? NULL : v->text, .where = v->where };
}

static struct conf_pem *new_pem(const struct build_tls *b, enum conf_key_id key)
{
	struct conf_pem *p = ARENA_NEW(b->t->arena, struct conf_pem);

	if (p)
		*p = pem(conf_value(b->n, key));
	return p;
}

/* ---- with clients ---- */

/* `certificate` and `key`, then those of the list. */
static void build_certificates(const struct build_tls *b)
{
	const struct conf_value *mode = conf_value(b->n, KEY_TLS_MODE), *certificate = conf_value(b->n, KEY_TLS_CERTIFICATE),
				*key = conf_value(b->n, KEY_TLS_KEY);
	struct conf_tls *tls = &b->l->tls;

	tls->certificates = ARENA_ARRAY(b->t->arena, b->n->listed_count + 1, struct conf_certificate);
	if (!tls->certificates)
		return;
	if (certificate->given || key->given || b->n->listed_count == 0) {
		if (!certificate->given || !key->given)
			for (enum conf_key_id k = KEY_TLS_CERTIFICATE; k <= KEY_TLS_KEY; k++)
				if (!conf_value(b->n, k)->given)
					conf_mistake(b->t->errors, mode->where, "%s.mode = \"%s\" without %s, expected %.*s", b->n->path, mode->text,
					    conf_row(k)->name, SLICE_FMT(conf_row_expected(b->t->arena, conf_row(k))));
		tls->certificates[tls->certificate_count++] = (struct conf_certificate){ pem(certificate), pem(key) };
	}
	for (const struct conf_node *n = NULL; (n = conf_tree_next(b->t, GROUP_CERTIFICATES, b->n, n));)
		tls->certificates[tls->certificate_count++] = (struct conf_certificate){ pem(conf_value(n, KEY_CERTIFICATES_CERTIFICATE)),
			pem(conf_value(n, KEY_CERTIFICATES_KEY)) };
}

static void build_fingerprints(const struct build_tls *b)
{
	const struct conf_value *v = conf_value(b->n, KEY_TLS_CLIENTS);
	struct conf_tls *tls = &b->l->tls;

	tls->clients = ARENA_ARRAY(b->t->arena, v->item_count, const char *);
	for (size_t i = 0; tls->clients && !v->bad && i < v->item_count; i++) {
		char text[CERT_FINGERPRINT];

		if (cert_fingerprint_parse(slice_str(v->items[i]), text))
			tls->clients[tls->client_count++] = arena_string(b->t->arena, slice_str(text));
		else
			conf_mistake(b->t->errors, v->where, "%s.clients holds \"%s\", expected SHA-256 fingerprints of 64 hexadecimal digits",
			    b->n->path, v->items[i]);
	}
}

static void build_client_certificate(const struct build_tls *b)
{
	const struct conf_value *ask = conf_value(b->n, KEY_TLS_CLIENT_CERTIFICATE), *ca = conf_value(b->n, KEY_TLS_CLIENT_CA);
	struct conf_tls *tls = &b->l->tls;

	tls->client_certificate = (enum conf_client_certificate)ask->number;
	if (ask->bad)
		return;
	if (tls->client_certificate != CLIENT_CERTIFICATE_NONE && tls->mode == TLS_NONE)
		lone(b, KEY_TLS_CLIENT_CERTIFICATE, "without TLS", KEY_TLS_MODE);
	else if (tls->client_certificate == CLIENT_CERTIFICATE_REQUIRE && tls->mode == TLS_MAY)
		conf_mistake(b->t->errors, ask->where,
		    "%s.client-certificate = \"require\" where TLS is optional, expected mode = \"require\" or \"implicit\"", b->n->path);
	if (ca->given && tls->client_certificate == CLIENT_CERTIFICATE_NONE)
		lone(b, KEY_TLS_CLIENT_CA, "without client-certificate", KEY_TLS_CLIENT_CERTIFICATE);
	else if (ca->given)
		tls->client_ca = new_pem(b, KEY_TLS_CLIENT_CA);
	if (conf_value(b->n, KEY_TLS_CLIENTS)->given && tls->client_certificate == CLIENT_CERTIFICATE_NONE)
		lone(b, KEY_TLS_CLIENTS, "without client-certificate", KEY_TLS_CLIENT_CERTIFICATE);
	if (conf_value(b->n, KEY_TLS_CLIENTS_VERIFIED)->number && !ca->given)
		lone(b, KEY_TLS_CLIENTS_VERIFIED, "without client-ca", KEY_TLS_CLIENT_CA);
	tls->clients_verified = conf_value(b->n, KEY_TLS_CLIENTS_VERIFIED)->number != 0;
	build_fingerprints(b);
}

/* ---- with the next hop ---- */

/* From the first octet: said by the mode itself, or beside one that cannot do without TLS. */
static void build_implicit(const struct build_tls *b)
{
	const struct conf_value *implicit = conf_value(b->n, KEY_NEXT_HOP_TLS_IMPLICIT);
	struct conf_next_hop_tls *tls = &b->l->next_hop_tls;

	tls->implicit = implicit->number != 0 || tls->mode == NEXT_HOP_TLS_IMPLICIT;
	if (tls->mode == NEXT_HOP_TLS_IMPLICIT)
		tls->mode = NEXT_HOP_TLS_REQUIRE;
	else if (tls->implicit && !implicit->bad && tls->mode < NEXT_HOP_TLS_REQUIRE)
		conf_mistake(b->t->errors, implicit->where, "%s.implicit = true where TLS is optional, expected mode = \"require\" or \"verify\"",
		    b->n->path);
}

static void build_own_certificate(const struct build_tls *b)
{
	const struct conf_value *certificate = conf_value(b->n, KEY_NEXT_HOP_TLS_CERTIFICATE), *key = conf_value(b->n, KEY_NEXT_HOP_TLS_KEY);
	struct conf_next_hop_tls *tls = &b->l->next_hop_tls;

	if (!certificate->given && !key->given)
		return;
	if (!key->given)
		lone(b, KEY_NEXT_HOP_TLS_CERTIFICATE, "without key", KEY_NEXT_HOP_TLS_KEY);
	else if (!certificate->given)
		lone(b, KEY_NEXT_HOP_TLS_KEY, "without certificate", KEY_NEXT_HOP_TLS_CERTIFICATE);
	else if (tls->mode == NEXT_HOP_TLS_NONE)
		lone(b, KEY_NEXT_HOP_TLS_CERTIFICATE, "without TLS", KEY_NEXT_HOP_TLS_MODE);
	else if ((tls->certificate = ARENA_NEW(b->t->arena, struct conf_certificate)))
		*tls->certificate = (struct conf_certificate){ pem(certificate), pem(key) };
}

static void build_next_hop_tls(const struct build_tls *b)
{
	const struct conf_value *mode = conf_value(b->n, KEY_NEXT_HOP_TLS_MODE), *name = conf_value(b->n, KEY_NEXT_HOP_TLS_NAME);
	struct conf_next_hop_tls *tls = &b->l->next_hop_tls;
	struct cidr address;

	if (name->given && !name->bad && !domain_valid(slice_str(name->text)) &&
	    (slice_find(slice_str(name->text), '/') < strlen(name->text) || !cidr_parse(slice_str(name->text), &address)))
		build_mistake(b->t, b->n, KEY_NEXT_HOP_TLS_NAME, name->text, "");
	if (mode->bad || name->bad)
		return;
	tls->mode = (enum conf_next_hop_tls_mode)mode->number;
	tls->name = name->given ? name->text : NULL;
	for (size_t i = 0; tls->name && i < b->l->next_hop_count; i++)
		b->l->next_hops[i].tls_name = tls->name;
	build_implicit(b);
	if (tls->mode == NEXT_HOP_TLS_VERIFY)
		tls->ca = new_pem(b, KEY_NEXT_HOP_TLS_CA);
	build_own_certificate(b);
}

void build_tls(struct conf_tree *t, const struct conf_node *listener, struct conf_listener *l)
{
	const struct build_tls clients = { t, conf_tree_one(t, GROUP_TLS, listener), l };
	const struct build_tls next_hop = { t, conf_tree_one(t, GROUP_NEXT_HOP_TLS, listener), l };
	const struct conf_value *mode = conf_value(clients.n, KEY_TLS_MODE);

	l->tls.timeout_ms = (unsigned)conf_value(clients.n, KEY_TLS_TIMEOUT)->number;
	if (!mode->bad) {
		l->tls.mode = (enum conf_tls_mode)mode->number;
		if (l->tls.mode != TLS_NONE)
			build_certificates(&clients);
		build_client_certificate(&clients);
	}
	build_next_hop_tls(&next_hop);
}
