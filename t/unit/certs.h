/*
 * certs.h - certificates for tests, each of a key of its own, vouched for by itself or by another one of them.
 */
#ifndef CERTS_H
#define CERTS_H

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "test.h"

struct made {
	X509 *cert;
	EVP_PKEY *key;
	BIO *cert_pem, *key_pem;
};

static inline struct slice made_octets(BIO *bio)
{
	char *at;
	long n = BIO_get_mem_data(bio, &at);

	return slice_of(at, (size_t)n);
}

static inline void made_extension(struct made *m, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	assert_true(e && X509_add_ext(m->cert, e, -1));
	X509_EXTENSION_free(e);
}

/* names: as openssl(1) has them, "DNS:a.test,IP:127.0.0.1"; NULL: none. by: NULL: itself. A kind is "P-256", "RSA" or "ED25519". */
static inline struct made made_new(const char *kind, const char *names, long from_s, long to_s, const struct made *by)
{
	struct made m = { X509_new(), NULL, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()) };
	bool edwards = strcmp(kind, "ED25519") == 0;

	m.key = edwards ? EVP_PKEY_Q_keygen(NULL, NULL, kind) : strcmp(kind, "RSA") == 0 ? EVP_RSA_gen(2048) : EVP_EC_gen(kind);
	assert_true(m.key && m.cert && X509_set_version(m.cert, 2) && ASN1_INTEGER_set(X509_get_serialNumber(m.cert), 1));
	assert_true(X509_gmtime_adj(X509_getm_notBefore(m.cert), from_s) && X509_gmtime_adj(X509_getm_notAfter(m.cert), to_s));
	assert_true(X509_NAME_add_entry_by_txt(X509_get_subject_name(m.cert), "CN", MBSTRING_ASC, (const unsigned char *)(by ? "t" : "root"), -1, -1, 0));
	assert_true(X509_set_issuer_name(m.cert, X509_get_subject_name(by ? by->cert : m.cert)) && X509_set_pubkey(m.cert, m.key));
	if (names)
		made_extension(&m, NID_subject_alt_name, names);
	if (!by)
		made_extension(&m, NID_basic_constraints, "critical,CA:TRUE");
	assert_true(X509_sign(m.cert, by ? by->key : m.key, edwards && !by ? NULL : EVP_sha256()) > 0);
	assert_true(PEM_write_bio_X509(m.cert_pem, m.cert));
	assert_true(PEM_write_bio_PKCS8PrivateKey(m.key_pem, m.key, NULL, NULL, 0, NULL, NULL));
	return m;
}

static inline struct made made_valid(const char *kind, const char *names)
{
	return made_new(kind, names, -60, 90 * 86400, NULL);
}

static inline void made_free(struct made *m)
{
	X509_free(m->cert);
	EVP_PKEY_free(m->key);
	BIO_free(m->cert_pem);
	BIO_free(m->key_pem);
	*m = (struct made){ 0 };
}

#endif
