#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "crypt/cert.h"
#include "net/tls_in.h"

struct tls *tls_of(const SSL *ssl)
{
	return SSL_get_app_data(ssl);
}

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
	SSL_set_app_data(t->ssl, t);
	SSL_set_msg_callback_arg(t->ssl, t);
	t->server = !name;
	t->trusting = c->verify;
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
	free(t->fingerprint);
	free(t);
}

/* Words for an error that libssl reports without looking at the certificate, although the certificate is the reason. */
static bool about_certificate(const struct tls *t, unsigned long error)
{
	if (t->server || !(SSL_get_verify_mode(t->ssl) & SSL_VERIFY_PEER))
		return false;
	return ERR_GET_LIB(error) == ERR_LIB_ASN1 || (ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == SSL_R_EXCESSIVE_MESSAGE_SIZE);
}

static void say_why(struct tls *t, unsigned long error)
{
	long verdict = SSL_get_verify_result(t->ssl);
	const char *reason = ERR_reason_error_string(error);

	/* There is a verdict as well where it decides nothing: of a certificate that is not looked at, or not required. */
	if (!t->established && verdict != X509_V_OK && ERR_GET_LIB(error) == ERR_LIB_SSL &&
	    ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
		t->distrusted = true;
		reason = X509_verify_cert_error_string(verdict);
	} else if (!t->established) {
		t->distrusted = about_certificate(t, error);
	} else if (ERR_GET_LIB(error) == ERR_LIB_SSL) {
		/* The first is libssl's word for one record without content too many. */
		t->abused |= ERR_GET_REASON(error) == SSL_R_RECORD_TOO_SMALL || ERR_GET_REASON(error) == SSL_R_TOO_MANY_WARN_ALERTS;
	}
	t->why = reason ? reason : errno ? strerror(errno) : "closed by peer";
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
		t->why = t->turns > LIMIT_TLS_TURNS ? "too many key updates" : "renegotiation";
	}
	return !t->failed;
}

/* Who the client is. Nothing more of its certificate is of use. False: no memory. */
static bool know_client(struct tls *t)
{
	const X509 *cert = t->server ? SSL_get0_peer_certificate(t->ssl) : NULL;
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n;

	if (!cert)
		return true;
	t->fingerprint = malloc(CERT_FINGERPRINT);
	if (!t->fingerprint || X509_digest(cert, EVP_sha256(), digest, &n) != 1 || 2 * n + 1 != CERT_FINGERPRINT)
		return false;
	for (unsigned i = 0; i < n; i++) {
		t->fingerprint[2 * i] = "0123456789abcdef"[digest[i] >> 4];
		t->fingerprint[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
	}
	t->fingerprint[2 * n] = '\0';
	t->verified = t->trusting && SSL_get_verify_result(t->ssl) == X509_V_OK;
	return true;
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
	if (!know_client(t)) {
		t->failed = true;
		t->why = "no memory";
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

const char *tls_fingerprint(const struct tls *t)
{
	return t->fingerprint;
}

bool tls_verified(const struct tls *t)
{
	return t->verified;
}

bool tls_foreign(const struct tls *t)
{
	return t->foreign;
}

const char *tls_why(const struct tls *t)
{
	return t->why ? t->why : "";
}

bool tls_distrusted(const struct tls *t)
{
	return t->distrusted;
}

bool tls_abused(const struct tls *t)
{
	return t->abused;
}
