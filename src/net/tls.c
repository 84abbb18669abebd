#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "net/tls.h"

enum { CHAIN_DEPTH = 10, CHAIN_OCTETS = 65536 };

struct tls_context {
	SSL_CTX *ctx;
	bool verify;
};

struct tls {
	SSL *ssl;
	char why[128];
	unsigned turns;   /* key updates and renegotiations asked for */
	bool established;
	bool notified;    /* the peer said that it would say no more */
	bool failed;
	bool distrusted;
	bool abused;
};

/* ---- contexts ---- */

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
	if (octets[0] == SSL3_MT_KEY_UPDATE || octets[0] == SSL3_MT_CLIENT_HELLO)
		t->abused |= ++t->turns > LIMIT_TLS_TURNS;
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
	SSL_CTX_set_max_cert_list(ctx, CHAIN_OCTETS);
	SSL_CTX_set_msg_callback(ctx, on_message);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 && SSL_CTX_set_num_tickets(ctx, 0) == 1)
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

static struct tls_context *take(SSL_CTX *ctx, bool verify)
{
	struct tls_context *c = calloc(1, sizeof(*c));

	if (c)
		*c = (struct tls_context){ ctx, verify };
	else
		SSL_CTX_free(ctx);
	return c;
}

/* PEM octets, one certificate after the other. */
static BIO *memory(struct slice pem)
{
	return pem.n && pem.n <= INT32_MAX ? BIO_new_mem_buf(pem.at, (int)pem.n) : NULL;
}

static bool use_chain(SSL_CTX *ctx, struct slice pem)
{
	BIO *bio = memory(pem);
	X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	bool good = cert && SSL_CTX_use_certificate(ctx, cert) == 1;

	X509_free(cert);
	while (good && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		good = SSL_CTX_add0_chain_cert(ctx, cert) == 1;
		if (!good)
			X509_free(cert);
	}
	BIO_free(bio);
	return good;
}

static bool use_key(SSL_CTX *ctx, struct slice pem)
{
	BIO *bio = memory(pem);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)(uintptr_t)"") : NULL;
	bool good = key && SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;

	EVP_PKEY_free(key);
	BIO_free(bio);
	return good;
}

static bool use_trust(SSL_CTX *ctx, struct slice pem)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	BIO *bio = memory(pem);
	size_t n = 0;
	X509 *cert;

	while (bio && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		n += X509_STORE_add_cert(store, cert) == 1;
		X509_free(cert);
	}
	BIO_free(bio);
	return n > 0;
}

struct tls_context *tls_context_server(struct slice certificate, struct slice key, const char **why_out)
{
	SSL_CTX *ctx = context(TLS_server_method());
	const char *why = !ctx ? "no memory" : !use_chain(ctx, certificate) ? "certificate refused" : !use_key(ctx, key) ? "key refused" : NULL;

	if (why)
		SSL_CTX_free(ctx);
	ERR_clear_error();
	*why_out = why ? why : "no memory";
	return why ? NULL : take(ctx, false);
}

struct tls_context *tls_context_client(struct slice trust, const char **why_out)
{
	SSL_CTX *ctx = context(TLS_client_method());
	const char *why = !ctx ? "no memory" : trust.n && !use_trust(ctx, trust) ? "trusted certificates refused" : NULL;

	if (!why && trust.n) {
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
		SSL_CTX_set_verify_depth(ctx, CHAIN_DEPTH);
	}
	if (why)
		SSL_CTX_free(ctx);
	ERR_clear_error();
	*why_out = why ? why : "no memory";
	return why ? NULL : take(ctx, trust.n != 0);
}

void tls_context_free(struct tls_context **c)
{
	if (!*c)
		return;
	SSL_CTX_free((*c)->ctx);
	free(*c);
	*c = NULL;
}

/* ---- sessions ---- */

/* Whom we want to talk to: by its name in the hello, and where the certificate counts by its name there (RFC 9525: not by its CN). */
static bool expect(SSL *ssl, const char *name, bool verify)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	bool address = X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;

	ERR_clear_error();
	if (!address && SSL_set_tlsext_host_name(ssl, name) != 1)
		return false;
	if (!verify)
		return !address || X509_VERIFY_PARAM_set1_ip(param, NULL, 0) == 1;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	return address || X509_VERIFY_PARAM_set1_host(param, name, 0) == 1;
}

struct tls *tls_new(struct tls_context *c, int fd, const char *name)
{
	struct tls *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->ssl = SSL_new(c->ctx);
	if (!t->ssl || SSL_set_fd(t->ssl, fd) != 1 || (name && !expect(t->ssl, name, c->verify))) {
		SSL_free(t->ssl);
		free(t);
		ERR_clear_error();
		return NULL;
	}
	SSL_set_msg_callback_arg(t->ssl, t);
	if (name)
		SSL_set_connect_state(t->ssl);
	else
		SSL_set_accept_state(t->ssl);
	return t;
}

void tls_free(struct tls **tp)
{
	struct tls *t = *tp;

	*tp = NULL;
	if (!t)
		return;
	if (t->established && !t->failed)
		(void)SSL_shutdown(t->ssl);
	SSL_free(t->ssl);
	ERR_clear_error();
	free(t);
}

static void say_why(struct tls *t, unsigned long error)
{
	long verdict = SSL_get_verify_result(t->ssl);
	const char *reason = ERR_reason_error_string(error);

	t->distrusted = !t->established && verdict != X509_V_OK;
	if (t->distrusted)
		reason = X509_verify_cert_error_string(verdict);
	if (!reason)
		reason = errno ? strerror(errno) : "closed by peer";
	strncpy(t->why, reason, sizeof(t->why) - 1);
}

/* What became of a call that gave `result`; errno is that of the call. */
static enum tls_status outcome(struct tls *t, int result)
{
	unsigned long error = ERR_peek_last_error();

	switch (SSL_get_error(t->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return t->notified ? TLS_CLOSED : TLS_TRUNCATED;
	case SSL_ERROR_SSL:
		errno = 0;
		break;
	default:
		break;
	}
	t->failed = true;
	say_why(t, error);
	return TLS_FAILED;
}

/* Before each call: what is left of somebody else's failure would be taken for this one's. */
static bool ready(struct tls *t)
{
	ERR_clear_error();
	errno = 0;
	if (t->abused && !t->failed) {
		t->failed = true;
		strncpy(t->why, "too many key updates", sizeof(t->why) - 1);
	}
	return !t->failed;
}

enum tls_status tls_handshake(struct tls *t)
{
	int result;

	if (!ready(t))
		return TLS_FAILED;
	result = SSL_do_handshake(t->ssl);
	if (result != 1) {
		enum tls_status status = outcome(t, result);

		if (status != TLS_CLOSED && status != TLS_TRUNCATED)
			return status;
		t->failed = true;
		say_why(t, 0);
		return TLS_FAILED;
	}
	t->established = true;
	return TLS_DONE;
}

enum tls_status tls_read(struct tls *t, void *at, size_t room, size_t *n_out)
{
	int result;

	*n_out = 0;
	if (!ready(t))
		return TLS_FAILED;
	result = SSL_read_ex(t->ssl, at, room, n_out);
	return result == 1 ? TLS_DONE : outcome(t, result);
}

enum tls_status tls_write(struct tls *t, const void *at, size_t n, size_t *n_out)
{
	int result;

	*n_out = 0;
	if (!ready(t))
		return TLS_FAILED;
	result = SSL_write_ex(t->ssl, at, n < TLS_RECORD ? n : TLS_RECORD, n_out);
	return result == 1 ? TLS_DONE : outcome(t, result);
}

const char *tls_version(const struct tls *t)
{
	return SSL_get_version(t->ssl);
}

const char *tls_cipher(const struct tls *t)
{
	return SSL_get_cipher_name(t->ssl);
}

const char *tls_why(const struct tls *t)
{
	return t->why;
}

bool tls_distrusted(const struct tls *t)
{
	return t->distrusted;
}

bool tls_abused(const struct tls *t)
{
	return t->abused;
}
