#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include "crypt/pkey.h"
#include "crypt/sign.h"

enum { SHA256_OCTETS = 32 };

/* The digest is the message: RFC 8463 3, spec section 5.3. */
static size_t sign_ed25519(EVP_PKEY *pkey, const unsigned char digest[32], unsigned char *out)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t n = SIGNATURE_OCTETS;

	if (!ctx || EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey) != 1 ||
	    EVP_DigestSign(ctx, out, &n, digest, SHA256_OCTETS) != 1)
		n = 0;
	EVP_MD_CTX_free(ctx);
	return n;
}

static bool verify_ed25519(EVP_PKEY *pkey, const unsigned char digest[32], struct slice signature, bool *begun)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok;

	*begun = ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1;
	ok = *begun && EVP_DigestVerify(ctx, signature.at, signature.n, digest, SHA256_OCTETS) == 1;
	EVP_MD_CTX_free(ctx);
	return ok;
}

static bool pkcs1_sha256(EVP_PKEY_CTX *ctx)
{
	return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
	    EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1;
}

static size_t sign_rsa(EVP_PKEY *pkey, const unsigned char digest[32], unsigned char *out)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
	size_t n = SIGNATURE_OCTETS;

	if (!ctx || EVP_PKEY_sign_init(ctx) != 1 || !pkcs1_sha256(ctx) ||
	    EVP_PKEY_sign(ctx, out, &n, digest, SHA256_OCTETS) != 1)
		n = 0;
	EVP_PKEY_CTX_free(ctx);
	return n;
}

static bool verify_rsa(EVP_PKEY *pkey, const unsigned char digest[32], struct slice signature, bool *begun)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
	bool ok;

	*begun = ctx && EVP_PKEY_verify_init(ctx) == 1 && pkcs1_sha256(ctx);
	ok = *begun && EVP_PKEY_verify(ctx, signature.at, signature.n, digest, SHA256_OCTETS) == 1;
	EVP_PKEY_CTX_free(ctx);
	return ok;
}

/*
 * It did not verify: did anybody look? A key of ours always gets as far as the signature; there, what is wrong with the signature is an
 * error of RSA's or none, and what EVP has to say is that it could not. Leaves no error: libssl would take a stale one for its own.
 */
static void why_not(bool begun, bool *no_memory_out)
{
	bool no_memory = !begun;
	unsigned long error;

	while ((error = ERR_get_error()))
		no_memory |= ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE || ERR_GET_LIB(error) == ERR_LIB_EVP;
	if (no_memory && no_memory_out)
		*no_memory_out = true;
}

size_t sign_sha256(const struct key *k, const unsigned char digest[32], unsigned char out[SIGNATURE_OCTETS])
{
	size_t n = key_type(k) == KEY_RSA ? sign_rsa(key_pkey(k), digest, out) :
	    key_type(k) == KEY_ED25519 ? sign_ed25519(key_pkey(k), digest, out) : 0;

	if (!n)
		ERR_clear_error();
	return n;
}

bool verify_sha256(const struct key *k, const unsigned char digest[32], struct slice signature, bool *no_memory_out)
{
	bool begun = true;
	bool ok = key_type(k) == KEY_RSA ? verify_rsa(key_pkey(k), digest, signature, &begun) :
	    key_type(k) == KEY_ED25519 && verify_ed25519(key_pkey(k), digest, signature, &begun);

	if (!ok)
		why_not(begun, no_memory_out);
	return ok;
}

bool verify_mldsa44(const struct key *k, struct slice octets, struct slice context, struct slice signature, bool *no_memory_out)
{
	/* OSSL_SIGNATURE_PARAM_CONTEXT_STRING, which OpenSSL 3.0 has no name for; it takes no const, and writes nothing */
	OSSL_PARAM params[] = {
		OSSL_PARAM_octet_string("context-string", context.n ? (void *)(uintptr_t)context.at : (void *)(uintptr_t)"", context.n),
		OSSL_PARAM_END,
	};
	EVP_MD_CTX *ctx;
	bool begun, ok;

	if (key_type(k) != KEY_MLDSA44)
		return false;
	ctx = EVP_MD_CTX_new();
	begun = ctx && EVP_DigestVerifyInit_ex(ctx, NULL, NULL, NULL, NULL, key_pkey(k), params) == 1;
	ok = begun && EVP_DigestVerify(ctx, signature.at, signature.n, octets.at, octets.n) == 1;
	EVP_MD_CTX_free(ctx);
	if (!ok)
		why_not(begun, no_memory_out);
	return ok;
}
