/* tls_context.c - what sessions of TLS are made from: certificates, whom to believe, which options. */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/limits.h"
#include "crypt/cert.h"
#include "net/tls_in.h"

enum { NAMES_OCTETS = 1 << 22 };

struct tls_served {
	X509 *cert;
	EVP_PKEY *key;
	STACK_OF(X509) *chain;
	struct cert_facts facts;
};

/* Called for each record and message. What a peer may ask for without end costs us a key schedule each. */
static void on_message(int ours, int version, int type, const void *at, size_t n, SSL *ssl, void *arg)
{
	struct tls *t = arg;
	const unsigned char *octets = at;

	(void)version;
	(void)ssl;
	if (!t || ours || !t->established || n == 0)
		return;
	if (type == SSL3_RT_ALERT && n == 2 && octets[1] == SSL3_AD_CLOSE_NOTIFY)
		t->notified = true;
	if (type != SSL3_RT_HANDSHAKE)
		return;
	if (octets[0] == SSL3_MT_KEY_UPDATE || octets[0] == SSL3_MT_HELLO_REQUEST)
		t->abused |= ++t->turns > LIMIT_TLS_TURNS;
	else if (octets[0] == SSL3_MT_CLIENT_HELLO)
		t->abused = true; /* renegotiation, which no client of mail needs */
}

static SSL_CTX *context(const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	if (!ctx)
		return NULL;
	/* Reading gives up after each record that held no data, so that a flood of them cannot hold the loop. */
	SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* A half-closed peer without manners still gets its answers: without this option its end would be a failure. */
	SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_cert_list(ctx, LIMIT_TLS_CHAIN_OCTETS);
	SSL_CTX_set_msg_callback(ctx, on_message);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 && SSL_CTX_set_num_tickets(ctx, 0) == 1)
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

/* ---- PEM ---- */

static BIO *memory(struct slice pem)
{
	return pem.n && pem.n <= INT32_MAX ? BIO_new_mem_buf(pem.at, (int)pem.n) : NULL;
}

static bool read_chain(struct slice pem, X509 **cert_out, STACK_OF(X509) **chain_out)
{
	BIO *bio = memory(pem);
	X509 *cert;

	*cert_out = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	*chain_out = sk_X509_new_null();
	while (*cert_out && *chain_out && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
		if (sk_X509_push(*chain_out, cert) == 0) {
			X509_free(cert);
			X509_free(*cert_out);
			*cert_out = NULL;
		}
	BIO_free(bio);
	return *cert_out && *chain_out;
}

static EVP_PKEY *read_key(struct slice pem)
{
	BIO *bio = memory(pem);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)(uintptr_t)"") : NULL;

	BIO_free(bio);
	return key;
}

static void forget(struct tls_served *s)
{
	X509_free(s->cert);
	EVP_PKEY_free(s->key);
	sk_X509_pop_free(s->chain, X509_free);
	*s = (struct tls_served){ 0 };
}

/* Each of them, and for a server's sessions the names of who they are trusted by. */
static bool use_trust(SSL_CTX *ctx, struct slice pem, bool name_them)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	BIO *bio = memory(pem);
	size_t n = 0;
	X509 *cert;

	while (bio && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		n += X509_STORE_add_cert(store, cert) == 1 && (!name_them || SSL_CTX_add_client_CA(ctx, cert) == 1);
		X509_free(cert);
	}
	BIO_free(bio);
	return n > 0;
}

/* ---- which certificate a client gets ---- */

static enum cert_fit fit(const struct tls_served *s, struct slice name)
{
	enum cert_fit best = CERT_UNFIT;

	for (size_t i = 0; i < s->facts.name_count && best != CERT_EXACT; i++) {
		enum cert_fit f = cert_name_fits(s->facts.names[i], name);

		best = f > best ? f : best;
	}
	return best;
}

/* Is there a better one of the same kind of key? */
static bool beaten(const struct tls_context *c, const struct tls_served *s, enum cert_fit has, struct slice name)
{
	for (size_t i = 0; i < c->served_count; i++)
		if (strcmp(c->served[i].facts.key, s->facts.key) == 0 && fit(&c->served[i], name) > has)
			return true;
	return false;
}

/* The best of each kind of key for the name that is asked for; none fits: things stay as they are. */
static bool choose(SSL *ssl, const struct tls_context *c, struct slice name)
{
	bool found = false;

	for (size_t i = 0; i < c->served_count; i++) {
		const struct tls_served *s = &c->served[i];
		enum cert_fit has = fit(s, name);

		if (has == CERT_UNFIT || beaten(c, s, has, name))
			continue;
		if (!found)
			SSL_certs_clear(ssl);
		found = true;
		if (SSL_use_cert_and_key(ssl, s->cert, s->key, s->chain, 1) != 1)
			return false;
	}
	return true;
}

/* The name and the ciphers are known. The context itself holds what goes to a client that names nobody known here. */
static int on_certificate(SSL *ssl, void *arg)
{
	const struct tls_context *c = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	return !name || c->served_count == 1 || choose(ssl, c, slice_str(name));
}

/* By default: the first one, and those of other kinds of key that share a name with it. */
static bool use_default(struct tls_context *c)
{
	const struct cert_facts *first = &c->served[0].facts;

	for (size_t i = 0; i < c->served_count; i++) {
		const struct tls_served *s = &c->served[i];
		bool shared = i == 0;

		for (size_t k = 0; k < s->facts.name_count && !shared && strcmp(s->facts.key, first->key) != 0; k++)
			for (size_t j = 0; j < first->name_count && !shared; j++)
				shared = strcmp(first->names[j], s->facts.names[k]) == 0;
		if (shared && SSL_CTX_use_cert_and_key(c->ctx, s->cert, s->key, s->chain, 0) != 1 && i == 0)
			return false;
	}
	return true;
}

static const char *serve(struct tls_context *c, const struct tls_pem *pem, size_t count)
{
	c->served = calloc(count ? count : 1, sizeof(*c->served));
	if (!c->served)
		return "no memory";
	for (size_t i = 0; i < count; i++) {
		struct tls_served *s = &c->served[c->served_count++];

		if (!read_chain(pem[i].certificate, &s->cert, &s->chain) || !cert_facts(&c->names, pem[i].certificate, &s->facts))
			return "certificate refused";
		s->key = read_key(pem[i].key);
		if (!s->key || X509_check_private_key(s->cert, s->key) != 1)
			return "key refused";
	}
	return count && use_default(c) ? NULL : "certificate refused";
}

/* ---- the client's certificate ---- */

/* Only for `ask`: what is found out becomes a fact, and where nobody is trusted there is nothing to find out. */
static int on_client_certificate(X509_STORE_CTX *store, void *arg)
{
	const struct tls_context *c = arg;

	if (!c->verify) {
		X509_STORE_CTX_set_error(store, X509_V_OK);
		return 1;
	}
	(void)X509_verify_cert(store);
	ERR_clear_error();
	return c->forgive || X509_STORE_CTX_get_error(store) == X509_V_OK;
}

static const char *ask(struct tls_context *c, const struct tls_server *s)
{
	if (s->ask == TLS_ASK_NONE)
		return NULL;
	c->verify = s->client_trust.n != 0;
	c->forgive = s->ask == TLS_ASK_MAY;
	if (c->verify && !use_trust(c->ctx, s->client_trust, true))
		return "trusted certificates refused";
	SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER | (s->ask == TLS_ASK_MUST ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
	SSL_CTX_set_verify_depth(c->ctx, LIMIT_TLS_CHAIN);
	SSL_CTX_set_cert_verify_callback(c->ctx, on_client_certificate, c);
	return NULL;
}

/* A session that a client hopes to go on with. Nobody was ever given one here, so it comes from elsewhere: a full handshake follows. */
static int on_hello(SSL *ssl, int *alert, void *arg)
{
	struct tls *t = tls_of(ssl);
	const unsigned char *at;
	size_t n;

	(void)alert;
	(void)arg;
	if (t)
		t->foreign = (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_session_ticket, &at, &n) == 1 && n > 0) ||
		    (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_psk, &at, &n) == 1 && n > 0);
	return SSL_CLIENT_HELLO_SUCCESS;
}

/* ---- all of it ---- */

static struct tls_context *new_context(const SSL_METHOD *method)
{
	struct tls_context *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	arena_init(&c->names, NAMES_OCTETS);
	c->ctx = context(method);
	if (!c->ctx)
		tls_context_free(&c);
	return c;
}

static struct tls_context *done(struct tls_context *c, const char *why, const char **why_out)
{
	ERR_clear_error();
	*why_out = why ? why : "no memory";
	if (why)
		tls_context_free(&c);
	return c;
}

struct tls_context *tls_context_server(const struct tls_server *s, const char **why_out)
{
	struct tls_context *c = new_context(TLS_server_method());
	const char *why = c ? serve(c, s->pems, s->pem_count) : NULL;

	if (c && !why)
		why = ask(c, s);
	if (c && !why) {
		SSL_CTX_set_cert_cb(c->ctx, on_certificate, c);
		SSL_CTX_set_client_hello_cb(c->ctx, on_hello, NULL);
	}
	return done(c, why, why_out);
}

/* Our own, should the next hop ask for it. */
static const char *show(struct tls_context *c, const struct tls_pem *own)
{
	struct tls_served s = { 0 };
	bool chain = read_chain(own->certificate, &s.cert, &s.chain), good;

	s.key = read_key(own->key);
	good = chain && s.key && X509_check_private_key(s.cert, s.key) == 1 && SSL_CTX_use_cert_and_key(c->ctx, s.cert, s.key, s.chain, 1) == 1;
	forget(&s);
	return good ? NULL : chain ? "key refused" : "certificate refused";
}

struct tls_context *tls_context_client(struct slice trust, const struct tls_pem *own, const char **why_out)
{
	struct tls_context *c = new_context(TLS_client_method());
	const char *why = c && trust.n && !use_trust(c->ctx, trust, false) ? "trusted certificates refused" : NULL;

	if (c && !why && own)
		why = show(c, own);
	if (c && !why && trust.n) {
		c->verify = true;
		SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
		SSL_CTX_set_verify_depth(c->ctx, LIMIT_TLS_CHAIN);
	}
	return done(c, why, why_out);
}

void tls_context_free(struct tls_context **cp)
{
	struct tls_context *c = *cp;

	*cp = NULL;
	if (!c)
		return;
	SSL_CTX_free(c->ctx);
	for (size_t i = 0; i < c->served_count; i++)
		forget(&c->served[i]);
	free(c->served);
	arena_clear(&c->names);
	free(c);
}
