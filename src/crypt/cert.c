#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "crypt/cert.h"

/* What OpenSSL's security level 2, Debian's default, asks of a certificate: RSA of 2048 bits, no SHA-1. */
enum { SECURITY_BITS = 112 };

static int no_passphrase(char *room, int n, int writing, void *arg)
{
	(void)room;
	(void)n;
	(void)writing;
	(void)arg;
	return -1;
}

static BIO *memory(struct slice file)
{
	return file.n && file.n <= INT32_MAX ? BIO_new_mem_buf(file.at, (int)file.n) : NULL;
}

static X509 *first(BIO *bio)
{
	return bio ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;
}

static const char *strength_wrong(X509 *cert)
{
	EVP_PKEY *key = X509_get0_pubkey(cert);
	int bits = 0;

	if (!key)
		return "a certificate of an unknown kind";
	if (EVP_PKEY_get_security_bits(key) < SECURITY_BITS)
		return "a certificate whose key is too weak";
	/* who signs himself is believed for other reasons than his signature */
	if (X509_get_signature_info(cert, NULL, NULL, &bits, NULL) && bits < SECURITY_BITS && X509_self_signed(cert, 0) != 1)
		return "a certificate whose signature is too weak";
	return NULL;
}

/* The rest of the chain must be certificates to the end. */
static const char *rest_wrong(BIO *bio)
{
	unsigned long error;
	X509 *more;

	while ((more = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)))
		X509_free(more);
	error = ERR_peek_last_error();
	return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE ? NULL : "a damaged certificate";
}

const char *cert_chain_wrong(struct slice certificate)
{
	BIO *bio = memory(certificate);
	X509 *cert = first(bio);
	const char *wrong = cert ? strength_wrong(cert) : "no certificate";

	if (!wrong)
		wrong = rest_wrong(bio);
	X509_free(cert);
	BIO_free(bio);
	ERR_clear_error();
	return wrong;
}

const char *cert_key_wrong(struct slice key, struct slice certificate)
{
	BIO *key_bio = memory(key), *cert_bio = memory(certificate);
	EVP_PKEY *pkey = key_bio ? PEM_read_bio_PrivateKey(key_bio, NULL, no_passphrase, NULL) : NULL;
	X509 *cert = first(cert_bio);
	const char *wrong = NULL;

	if (!pkey)
		wrong = "no private key without passphrase in PEM";
	else if (cert && X509_check_private_key(cert, pkey) != 1)
		wrong = "the key of another certificate";
	EVP_PKEY_free(pkey);
	X509_free(cert);
	BIO_free(key_bio);
	BIO_free(cert_bio);
	ERR_clear_error();
	return wrong;
}

const char *cert_trust_wrong(struct slice certificates)
{
	BIO *bio = memory(certificates);
	X509 *cert = first(bio);
	const char *wrong = cert ? rest_wrong(bio) : "no certificate";

	X509_free(cert);
	BIO_free(bio);
	ERR_clear_error();
	return wrong;
}
