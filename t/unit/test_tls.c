/* TLS sessions against a client of OpenSSL's own: what a write may count on, whom a certificate names, who asks for too much. */
#include "certs.h"

#include <fcntl.h>
#include <openssl/err.h>
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

static struct made made[4]; /* a root, and whom it vouches for */

static struct tls_pem pem(const struct made *m)
{
	return (struct tls_pem){ made_octets(m->cert_pem), made_octets(m->key_pem) };
}

static int make(void **state)
{
	(void)state;
	made[0] = made_valid("P-256", "DNS:root.test");
	made[1] = made_new("P-256", "DNS:a.test,DNS:*.test", -60, 86400, &made[0]);
	made[2] = made_new("RSA", "DNS:b.test,DNS:*.test", -60, 86400, &made[0]);
	made[3] = made_new("P-256", "DNS:b.test", -60, 86400, NULL);
	return 0;
}

static int unmake(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++)
		made_free(&made[i]);
	return 0;
}

/* A client of what `server` says, as far as it comes: up to the end of the handshake, or the server's failure. */
static enum tls_status meet(const struct tls_server *server, int version, void (*set)(SSL *client))
{
	const char *why = NULL;
	enum tls_status here = TLS_WANT_READ;
	bool there = false;

	w.context = tls_context_server(server, &why);
	assert_non_null(w.context);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, w.fd), 0);
	w.server = tls_new(w.context, w.fd[0], NULL);
	w.ctx = SSL_CTX_new(TLS_client_method());
	assert_true(SSL_CTX_set_min_proto_version(w.ctx, version) && SSL_CTX_set_max_proto_version(w.ctx, version));
	w.client = SSL_new(w.ctx);
	assert_true(w.server && w.client && SSL_set_fd(w.client, w.fd[1]));
	if (set)
		set(w.client);
	for (int i = 0; i < 10 && here != TLS_FAILED && !(there && here == TLS_DONE); i++) {
		there = there || SSL_connect(w.client) == 1;
		ERR_clear_error();
		if (here != TLS_DONE)
			here = tls_handshake(w.server);
	}
	assert_true(there || here == TLS_FAILED);
	return here;
}

static enum tls_status meet_one(int version)
{
	struct tls_pem one = pem(&made[1]);

	return meet(&(struct tls_server){ .pems = &one, .pem_count = 1 }, version, NULL);
}

static int start(void **state)
{
	(void)state;
	assert_int_equal(meet_one(TLS1_3_VERSION), TLS_DONE);
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

static void renegotiation_is_abuse(void **state)
{
	char c;
	size_t n;

	(void)state;
	assert_int_equal(meet_one(TLS1_2_VERSION), TLS_DONE);
	assert_int_equal(SSL_renegotiate(w.client), 1);
	(void)SSL_do_handshake(w.client);
	ERR_clear_error();
	assert_false(tls_abused(w.server));
	(void)tls_read(w.server, &c, 1, &n);
	assert_int_equal(tls_read(w.server, &c, 1, &n), TLS_FAILED);
	assert_true(tls_abused(w.server));
	assert_string_equal(tls_why(w.server), "renegotiation");
}

static void show_2(SSL *client)
{
	assert_true(SSL_use_certificate(client, made[2].cert) && SSL_use_PrivateKey(client, made[2].key));
}

static void show_3(SSL *client)
{
	assert_true(SSL_use_certificate(client, made[3].cert) && SSL_use_PrivateKey(client, made[3].key));
}

/* Who is asked, who is trusted, what is shown: is there a session, and what is known of the client? */
static void certificates_of_clients(void **state)
{
	static const struct {
		const char *title;
		enum tls_ask ask;
		bool trusting;
		void (*set)(SSL *client);
		enum tls_status want;
		bool known, verified;
	} rows[] = {
		{ "nobody is asked", TLS_ASK_NONE, false, show_2, TLS_DONE, false, false },
		{ "nothing to show", TLS_ASK_MAY, false, NULL, TLS_DONE, false, false },
		{ "any will do", TLS_ASK_MAY, false, show_3, TLS_DONE, true, false },
		{ "nobody vouches where nobody is trusted", TLS_ASK_MAY, false, show_2, TLS_DONE, true, false },
		{ "vouched for", TLS_ASK_MAY, true, show_2, TLS_DONE, true, true },
		{ "not vouched for", TLS_ASK_MAY, true, show_3, TLS_DONE, true, false },
		{ "nothing to be vouched for", TLS_ASK_MAY, true, NULL, TLS_DONE, false, false },
		{ "required", TLS_ASK_MUST, false, show_3, TLS_DONE, true, false },
		{ "required and not there", TLS_ASK_MUST, false, NULL, TLS_FAILED, false, false },
		{ "required of somebody", TLS_ASK_MUST, true, show_2, TLS_DONE, true, true },
		{ "required of somebody else", TLS_ASK_MUST, true, show_3, TLS_FAILED, false, false },
	};
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) * 2; i++) {
		const struct tls_pem one = pem(&made[1]);
		const struct tls_server server = { .pems = &one, .pem_count = 1, .ask = rows[i / 2].ask,
			.client_trust = rows[i / 2].trusting ? made_octets(made[0].cert_pem) : SLICE_NONE };
		const struct made *shown = rows[i / 2].set == show_2 ? &made[2] : &made[3];
		unsigned char digest[EVP_MAX_MD_SIZE];
		unsigned n;

		if (meet(&server, versions[i % 2], rows[i / 2].set) != rows[i / 2].want)
			fail_msg("%s: %s", rows[i / 2].title, tls_why(w.server));
		if ((tls_fingerprint(w.server) != NULL) != rows[i / 2].known || tls_verified(w.server) != rows[i / 2].verified)
			fail_msg("%s: %s", rows[i / 2].title, tls_verified(w.server) ? "verified" : "not verified");
		if (tls_fingerprint(w.server)) {
			unsigned octet;

			assert_int_equal(X509_digest(shown->cert, EVP_sha256(), digest, &n), 1);
			assert_int_equal(strlen(tls_fingerprint(w.server)), 2 * n);
			for (unsigned k = 0; k < n; k++) {
				assert_int_equal(sscanf(tls_fingerprint(w.server) + 2 * k, "%2x", &octet), 1);
				assert_int_equal(octet, digest[k]);
			}
		}
		stop(state);
	}
}

static const char *wanted_name;

static void want_name(SSL *client)
{
	assert_true(!wanted_name || SSL_set_tlsext_host_name(client, wanted_name));
}

static void want_ecdsa(SSL *client)
{
	want_name(client);
	assert_true(SSL_set1_sigalgs_list(client, "ECDSA+SHA256"));
}

static void want_rsa(SSL *client)
{
	want_name(client);
	assert_true(SSL_set1_sigalgs_list(client, "RSA-PSS+SHA256:RSA+SHA256"));
}

static void certificates_by_name(void **state)
{
	/* 1: EC for a.test and *.test; 2: RSA for b.test and *.test; 3: EC for b.test */
	static const struct {
		const char *title, *name;
		void (*set)(SSL *client);
		int want;
	} rows[] = {
		{ "its own name", "a.test", want_ecdsa, 1 },
		{ "none", NULL, want_ecdsa, 1 },
		{ "none, and what shares a name with the first", NULL, want_rsa, 2 },
		{ "unknown", "x.y.test", want_ecdsa, 1 },
		/* from here on in any order */
		{ "a name of its own before a star", "b.test", want_ecdsa, 3 },
		{ "and the other kind of it", "b.test", want_rsa, 2 },
		{ "a star where the kind has nothing better", "a.test", want_rsa, 2 },
		{ "a star", "z.test", want_ecdsa, 1 },
		{ "letter case", "B.TEST", want_ecdsa, 3 },
	};
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) * 2; i++) {
		bool turned = i / 2 >= 4 && i % 2;
		const struct tls_pem pems[] = { pem(&made[turned ? 3 : 1]), pem(&made[2]), pem(&made[turned ? 1 : 3]) };
		const struct tls_server server = { .pems = pems, .pem_count = 3 };

		wanted_name = rows[i / 2].name;
		assert_int_equal(meet(&server, versions[i % 2], rows[i / 2].set), TLS_DONE);
		for (int k = 1; k <= 3; k++)
			if ((X509_cmp(SSL_get0_peer_certificate(w.client), made[k].cert) == 0) != (k == rows[i / 2].want))
				fail_msg("%s: %s is%s made[%d]", rows[i / 2].title, SSL_get_version(w.client), k == rows[i / 2].want ? " not" : "", k);
		stop(state);
	}
}

static void contexts_that_cannot_be(void **state)
{
	struct tls_pem one = pem(&made[1]), bad;
	const char *why = NULL;

	(void)state;
	assert_null(tls_context_server(&(struct tls_server){ .pems = &one }, &why));
	bad = (struct tls_pem){ one.certificate, pem(&made[2]).key };
	assert_null(tls_context_server(&(struct tls_server){ .pems = &bad, .pem_count = 1 }, &why));
	assert_string_equal(why, "key refused");
	assert_null(tls_context_client(SLICE_NONE, &bad, &why));
	assert_string_equal(why, "key refused");
	bad = (struct tls_pem){ one.key, one.key };
	assert_null(tls_context_server(&(struct tls_server){ .pems = &bad, .pem_count = 1 }, &why));
	assert_string_equal(why, "certificate refused");
	assert_null(tls_context_server(&(struct tls_server){ .pems = &one, .pem_count = 1, .ask = TLS_ASK_MAY, .client_trust = one.key }, &why));
	assert_string_equal(why, "trusted certificates refused");
	assert_null(tls_context_client(one.key, NULL, &why));
	assert_string_equal(why, "trusted certificates refused");
	assert_int_equal(ERR_peek_error(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(new_keys_without_end, start, stop),
		cmocka_unit_test_setup_teardown(a_write_that_waited_may_move_and_grow, start, stop),
		cmocka_unit_test_setup_teardown(the_two_ends_of_a_stream, start, stop),
		cmocka_unit_test_setup_teardown(an_end_without_notice, start, stop),
		cmocka_unit_test_setup_teardown(octets_in_clear_break_it, start, stop),
		cmocka_unit_test_teardown(renegotiation_is_abuse, stop),
		cmocka_unit_test(certificates_of_clients),
		cmocka_unit_test(certificates_by_name),
		cmocka_unit_test(contexts_that_cannot_be),
	};

	return cmocka_set_message_output(CM_OUTPUT_TAP), cmocka_run_group_tests(tests, make, unmake);
}
