#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

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
static const char *rest_wrong(BIO *bio, bool strong)
{
	const char *wrong = NULL;
	unsigned long error;
	X509 *more;

	while ((more = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL))) {
		if (strong && !wrong)
			wrong = strength_wrong(more);
		X509_free(more);
	}
	if (wrong)
		return wrong;
	error = ERR_peek_last_error();
	return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE ? NULL : "a damaged certificate";
}

const char *cert_chain_wrong(struct slice certificate)
{
	BIO *bio = memory(certificate);
	X509 *cert = first(bio);
	const char *wrong = cert ? strength_wrong(cert) : "no certificate";

	if (!wrong)
		wrong = rest_wrong(bio, true);
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
	const char *wrong = cert ? rest_wrong(bio, false) : "no certificate";

	X509_free(cert);
	BIO_free(bio);
	ERR_clear_error();
	return wrong;
}

/* ---- what is to be known of one ---- */

/* A name that a client may ask for: labels of letters, digits, hyphens and underscores, the first one perhaps "*". */
static bool name_usable(struct slice name)
{
	size_t labels = 0;

	while (name.n) {
		struct slice label;
		bool more = slice_cut(&name, '.', &label);

		if (label.n == 0 || label.n > 63 || (more && name.n == 0))
			return false;
		for (size_t i = 0; i < label.n; i++)
			if (!ascii_alpha(label.at[i]) && !ascii_digit(label.at[i]) && label.at[i] != '-' && label.at[i] != '_' &&
			    !(label.at[i] == '*' && labels == 0 && label.n == 1 && more))
				return false;
		labels++;
	}
	return labels > 0;
}

static bool take_names(struct arena *a, const GENERAL_NAMES *all, struct cert_facts *out)
{
	int n = all ? sk_GENERAL_NAME_num(all) : 0;

	out->names = ARENA_ARRAY(a, (size_t)n, const char *);
	for (int i = 0; out->names && i < n; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);
		struct slice text;
		char *copy;

		if (name->type != GEN_DNS)
			continue;
		text = slice_of(ASN1_STRING_get0_data(name->d.dNSName), (size_t)ASN1_STRING_length(name->d.dNSName));
		if (text.n > 253 || !name_usable(text))
			continue;
		copy = arena_string(a, text);
		if (!copy)
			return false;
		for (char *p = copy; *p; p++)
			*p = (char)ascii_lower((unsigned char)*p);
		out->names[out->name_count++] = copy;
	}
	return out->names != NULL;
}

static bool seconds(const ASN1_TIME *from, const ASN1_TIME *at, int64_t *out)
{
	int days, rest;

	if (!from || !at || ASN1_TIME_diff(&days, &rest, from, at) != 1)
		return false;
	*out = (int64_t)days * 86400 + rest;
	return true;
}

bool cert_facts(struct arena *a, struct slice certificate, struct cert_facts *out)
{
	BIO *bio = memory(certificate);
	X509 *cert = first(bio);
	GENERAL_NAMES *names = cert ? X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL) : NULL;
	EVP_PKEY *key = cert ? X509_get0_pubkey(cert) : NULL;
	const char *kind = key ? EVP_PKEY_get0_type_name(key) : NULL;
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	struct cert_facts f = { 0 };
	bool good = kind && take_names(a, names, &f) && (f.key = arena_string(a, slice_str(kind))) &&
	    seconds(epoch, X509_get0_notBefore(cert), &f.before_s) && seconds(epoch, X509_get0_notAfter(cert), &f.after_s);

	ASN1_TIME_free(epoch);
	GENERAL_NAMES_free(names);
	X509_free(cert);
	BIO_free(bio);
	ERR_clear_error();
	if (good)
		*out = f;
	return good;
}

enum cert_fit cert_name_fits(const char *pattern, struct slice name)
{
	struct slice fits = slice_str(pattern), label;

	if (name.n && name.at[name.n - 1] == '.')
		name.n--;
	if (slice_ieq(fits, name))
		return CERT_EXACT;
	if (!slice_starts(fits, S("*.")) || !slice_cut(&name, '.', &label) || label.n == 0)
		return CERT_UNFIT;
	return slice_ieq(slice_sub(fits, 2, SIZE_MAX), name) ? CERT_WILD : CERT_UNFIT;
}

bool cert_fingerprint_parse(struct slice text, char out[CERT_FINGERPRINT])
{
	bool colons = text.n == 95;
	size_t n = 0;

	if (!colons && text.n != 64)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = ascii_lower(text.at[i]);

		if (colons && i % 3 == 2) {
			if (c != ':')
				return false;
			continue;
		}
		if (!ascii_digit(c) && (c < 'a' || c > 'f'))
			return false;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return true;
}

static bool fingerprint(const X509 *cert, char out[CERT_FINGERPRINT])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (X509_digest(cert, EVP_sha256(), digest, &n) != 1 || 2 * n + 1 != CERT_FINGERPRINT)
		return false;
	for (unsigned i = 0; i < n; i++) {
		out[2 * i] = "0123456789abcdef"[digest[i] >> 4];
		out[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
	}
	out[CERT_FINGERPRINT - 1] = '\0';
	return true;
}

size_t cert_fingerprints(struct arena *a, struct slice certificates, const char ***out)
{
	/* No certificate is shorter than the lines around it. */
	size_t most = certificates.n / (sizeof("-----BEGIN CERTIFICATE-----") - 1) + 1, n = 0;
	const char **all = ARENA_ARRAY(a, most, const char *);
	BIO *bio = memory(certificates);
	char text[CERT_FINGERPRINT];
	X509 *cert;

	while (all && n < most && (cert = first(bio))) {
		if (fingerprint(cert, text))
			all[n++] = arena_string(a, slice_str(text));
		X509_free(cert);
	}
	BIO_free(bio);
	ERR_clear_error();
	if (arena_failed(a))
		return 0;
	*out = all;
	return n;
}
