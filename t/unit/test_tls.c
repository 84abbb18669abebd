/* TLS sessions against a client of OpenSSL's own: what a write may count on, and whoever asks for new keys without end. */
#include "test.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "net/tls.h"

static struct world {
	struct tls_context *context;
	struct tls *server;
	SSL_CTX *ctx;
	SSL *client;
	int fd[2];
} w;

/* A certificate that its own key vouches for, and the key, in PEM. */
static void make_pem(BIO *certificate, BIO *key_out)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();

	assert_true(key && cert && X509_set_version(cert, 2) && ASN1_INTEGER_set(X509_get_serialNumber(cert), 1));
	assert_true(X509_gmtime_adj(X509_getm_notBefore(cert), -60) && X509_gmtime_adj(X509_getm_notAfter(cert), 3600));
	assert_true(X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)"t", -1, -1, 0));
	assert_true(X509_set_issuer_name(cert, X509_get_subject_name(cert)) && X509_set_pubkey(cert, key));
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0 && PEM_write_bio_X509(certificate, cert));
	assert_true(PEM_write_bio_PKCS8PrivateKey(key_out, key, NULL, NULL, 0, NULL, NULL));
	X509_free(cert);
	EVP_PKEY_free(key);
}

static struct slice octets(BIO *bio)
{
	char *at;
	long n = BIO_get_mem_data(bio, &at);

	return slice_of(at, (size_t)n);
}

static int start(void **state)
{
	BIO *certificate = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_mem());
	const char *why = NULL;
	bool there = false, here = false;

	(void)state;
	make_pem(certificate, key);
	w.context = tls_context_server(&(struct tls_server){ .pems = &(struct tls_pem){ octets(certificate), octets(key) }, .pem_count = 1 }, &why);
	assert_non_null(w.context);
	BIO_free(certificate);
	BIO_free(key);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, w.fd), 0);
	w.server = tls_new(w.context, w.fd[0], NULL);
	w.ctx = SSL_CTX_new(TLS_client_method());
	w.client = SSL_new(w.ctx);
	assert_true(w.server && w.client && SSL_set_fd(w.client, w.fd[1]));
	for (int i = 0; i < 10 && !(there && here); i++) {
		there = there || SSL_connect(w.client) == 1;
		here = here || tls_handshake(w.server) == TLS_DONE;
	}
	assert_true(there && here);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	tls_free(&w.server);
	tls_context_free(&w.context);
	SSL_free(w.client);
	SSL_CTX_free(w.ctx);
	close(w.fd[0]);
	close(w.fd[1]);
	return 0;
}

/* One more key update and an octet behind it; false: the server has had enough. */
static bool update(void)
{
	char c, room[16];
	size_t n;
	enum tls_status status = TLS_WANT_READ;

	assert_true(SSL_key_update(w.client, SSL_KEY_UPDATE_REQUESTED) && SSL_write(w.client, "x", 1) == 1);
	for (int i = 0; i < 4 && status == TLS_WANT_READ; i++)
		status = tls_read(w.server, &c, 1, &n);
	(void)SSL_read(w.client, room, sizeof(room)); /* the server's own update */
	ERR_clear_error();
	return status == TLS_DONE && n == 1 && c == 'x';
}

static void new_keys_without_end(void **state)
{
	(void)state;
	assert_string_equal(tls_version(w.server), "TLSv1.3");
	for (size_t i = 0; i < LIMIT_TLS_TURNS; i++)
		assert_true(update());
	assert_false(tls_abused(w.server));
	(void)update(); /* one too many; what came with it may still be read */
	assert_false(update());
	assert_true(tls_abused(w.server));
	assert_string_equal(tls_why(w.server), "too many key updates");
}

/* A write that waited goes on from elsewhere, with more behind it, and nothing is lost or sent twice. */
static void a_write_that_waited_may_move_and_grow(void **state)
{
	enum { OCTETS = 1 << 20 };
	unsigned char *sent = malloc(OCTETS), *copy = malloc(OCTETS), *got = malloc(OCTETS);
	size_t at = 0, have = 0, waits = 0, offer = 1000;

	(void)state;
	assert_true(sent && copy && got);
	for (size_t i = 0; i < OCTETS; i++)
		sent[i] = (unsigned char)(i * 7 + i / 251);
	while (have < OCTETS) {
		size_t n, more = offer < OCTETS - at ? offer : OCTETS - at;
		enum tls_status status = TLS_WANT_WRITE;

		memcpy(copy, sent + at, more); /* always from another place than the last time */
		if (more)
			status = tls_write(w.server, waits % 2 ? copy : sent + at, more, &n);
		if (more && status == TLS_DONE) {
			assert_true(n > 0 && n <= more && n <= TLS_RECORD);
			at += n;
			offer = offer * 3 % 40000 + 1;
			continue;
		}
		assert_int_equal(status, TLS_WANT_WRITE);
		waits++;
		offer += 5000;
		for (int k; (k = SSL_read(w.client, got + have, OCTETS - (int)have)) > 0;)
			have += (size_t)k;
		ERR_clear_error();
	}
	assert_true(waits > 3);
	assert_memory_equal(sent, got, OCTETS);
	free(sent);
	free(copy);
	free(got);
}

static void the_two_ends_of_a_stream(void **state)
{
	char c;
	size_t n;

	(void)state;
	assert_int_equal(tls_read(w.server, &c, 1, &n), TLS_WANT_READ);
	assert_int_equal(SSL_shutdown(w.client), 0);
	assert_int_equal(tls_read(w.server, &c, 1, &n), TLS_CLOSED);
	assert_int_equal(tls_write(w.server, "x", 1, &n), TLS_DONE); /* half closed */
	assert_int_equal(SSL_read(w.client, &c, 1), 1);
}

static void an_end_without_notice(void **state)
{
	char c;
	size_t n;

	(void)state;
	shutdown(w.fd[1], SHUT_WR);
	assert_int_equal(tls_read(w.server, &c, 1, &n), TLS_TRUNCATED);
	assert_int_equal(tls_write(w.server, "x", 1, &n), TLS_DONE);
	assert_int_equal(SSL_read(w.client, &c, 1), 1);
}

static void octets_in_clear_break_it(void **state)
{
	char c;
	size_t n;

	(void)state;
	assert_int_equal(send(w.fd[1], "NOOP\r\n", 6, 0), 6);
	assert_int_equal(tls_read(w.server, &c, 1, &n), TLS_FAILED);
	assert_true(tls_why(w.server)[0]);
	assert_int_equal(tls_read(w.server, &c, 1, &n), TLS_FAILED); /* for ever */
	assert_int_equal(tls_write(w.server, "x", 1, &n), TLS_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(new_keys_without_end, start, stop),
		cmocka_unit_test_setup_teardown(a_write_that_waited_may_move_and_grow, start, stop),
		cmocka_unit_test_setup_teardown(the_two_ends_of_a_stream, start, stop),
		cmocka_unit_test_setup_teardown(an_end_without_notice, start, stop),
		cmocka_unit_test_setup_teardown(octets_in_clear_break_it, start, stop),
	};

	return RUN_TESTS(tests);
}
