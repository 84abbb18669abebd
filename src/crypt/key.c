#include <stdlib.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "crypt/key.h"
#include "crypt/pkey.h"

enum {
	RSA_BITS_MIN = 1024,
	RSA_BITS_COMMON = 4096,
	RSA_BITS_MAX = 8192,
	RSA_EXPONENT_OCTETS = 8,
	RSA_EXPONENT_OCTETS_LARGE = 3, /* of a key of more than RSA_BITS_COMMON */
	ED25519_OCTETS = 32,
	MLDSA44_OCTETS = 1312
};

struct key {
	EVP_PKEY *pkey;
	enum key_type type;
	unsigned bits;
	unsigned holders;
};

EVP_PKEY *key_pkey(const struct key *k)
{
	return k->pkey;
}

/* By name, since the headers we build against may know nothing of what the library we run with has. */
static const char mldsa44[] = "ML-DSA-44";

bool key_type_known(enum key_type type)
{
	static enum { UNASKED, THERE, MISSING } found; /* constant once asked, and no threads share it */

	if (type != KEY_MLDSA44)
		return type != KEY_NONE;
	if (found == UNASKED) {
		EVP_SIGNATURE *algorithm = EVP_SIGNATURE_fetch(NULL, mldsa44, NULL);

		found = algorithm ? THERE : MISSING;
		EVP_SIGNATURE_free(algorithm);
		ERR_clear_error();
	}
	return found == THERE;
}

/* Owns pkey, also when it gives NULL. */
static struct key *take_pkey(EVP_PKEY *pkey, enum key_type type)
{
	struct key *k = pkey && type != KEY_NONE ? calloc(1, sizeof(*k)) : NULL;

	if (!k) {
		EVP_PKEY_free(pkey);
		ERR_clear_error(); /* libssl would take a stale error for its own */
		return NULL;
	}
	k->pkey = pkey;
	k->type = type;
	k->bits = type == KEY_RSA ? (unsigned)EVP_PKEY_get_bits(pkey) : type == KEY_ED25519 ? 256 : MLDSA44_OCTETS * 8;
	k->holders = 1;
	if (k->type == KEY_RSA && k->bits > RSA_BITS_MAX)
		key_drop(&k);
	return k;
}

/* What a private key may be. */
static enum key_type private_type(const EVP_PKEY *pkey)
{
	int id = pkey ? EVP_PKEY_get_base_id(pkey) : EVP_PKEY_NONE;

	return id == EVP_PKEY_RSA ? KEY_RSA : id == EVP_PKEY_ED25519 ? KEY_ED25519 : KEY_NONE;
}

struct key *key_hold(struct key *k)
{
	k->holders++;
	return k;
}

void key_drop(struct key **k)
{
	if (*k && --(*k)->holders == 0) {
		EVP_PKEY_free((*k)->pkey);
		free(*k);
	}
	*k = NULL;
}

enum key_type key_type(const struct key *k)
{
	return k->type;
}

unsigned key_bits(const struct key *k)
{
	return k->bits;
}

/* Without it libcrypto would ask a terminal. */
static int no_passphrase(char *text, int room, int writing, void *arg)
{
	(void)text;
	(void)room;
	(void)writing;
	(void)arg;
	return -1;
}

struct key *key_private(struct slice file)
{
	EVP_PKEY *pkey = NULL;
	BIO *bio;

	if (file.n == 0 || file.n > INT32_MAX)
		return NULL;
	bio = BIO_new_mem_buf(file.at, (int)file.n);
	if (bio)
		pkey = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	BIO_free(bio);
	if (!pkey) {
		const unsigned char *at = file.at;

		pkey = d2i_AutoPrivateKey(NULL, &at, (long)file.n);
	}
	ERR_clear_error();
	return take_pkey(pkey, private_type(pkey));
}

struct key *key_generate(enum key_type type, unsigned bits)
{
	if (type == KEY_ED25519)
		return take_pkey(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), KEY_ED25519);
	if (type == KEY_RSA && bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX)
		return take_pkey(EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits), KEY_RSA);
	return NULL;
}

bool key_pem(const struct key *k, struct buf *pem_out)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *at;
	long n;
	bool ok = bio && PEM_write_bio_PKCS8PrivateKey(bio, k->pkey, NULL, NULL, 0, NULL, NULL);

	if (ok) {
		n = BIO_get_mem_data(bio, &at);
		buf_add(pem_out, at, (size_t)n);
	}
	BIO_free(bio); /* wipes what it held */
	ERR_clear_error();
	return ok && !buf_failed(pem_out);
}

bool key_public_octets(struct arena *a, const struct key *k, struct slice *octets_out)
{
	unsigned char *p;

	if (k->type != KEY_RSA) {
		size_t n = k->type == KEY_ED25519 ? ED25519_OCTETS : MLDSA44_OCTETS;

		p = arena_take(a, n);
		if (!p || !EVP_PKEY_get_raw_public_key(k->pkey, p, &n))
			return false;
		*octets_out = slice_of(p, n);
		return true;
	}
	{
		int n = i2d_PUBKEY(k->pkey, NULL);
		unsigned char *end;

		p = n > 0 ? arena_take(a, (size_t)n) : NULL;
		end = p;
		if (!p || i2d_PUBKEY(k->pkey, &end) != n)
			return false;
		*octets_out = slice_of(p, (size_t)n);
		return true;
	}
}

/* ---- public keys from DNS ---- */

enum { DER_INTEGER = 0x02, DER_BIT_STRING = 0x03, DER_SEQUENCE = 0x30 };

/* Takes one definite-length element of that tag off *s: X.690 10.1, shortest form only. */
static bool der_take(struct slice *s, unsigned char tag, struct slice *content)
{
	size_t n, head = 2;

	if (s->n < 2 || s->at[0] != tag)
		return false;
	n = s->at[1];
	if (n >= 0x80) {
		size_t octets = n - 0x80;

		if (octets < 1 || octets > 2 || s->n < 2 + octets)
			return false;
		head += octets;
		n = octets == 1 ? s->at[2] : (size_t)s->at[2] << 8 | s->at[3];
		if (n < (octets == 1 ? 0x80U : 0x100U))
			return false;
	}
	if (n > s->n - head)
		return false;
	*content = slice_sub(*s, head, n);
	*s = slice_sub(*s, head + n, SIZE_MAX);
	return true;
}

/* A positive INTEGER without its sign octet. */
static bool der_number(struct slice *s, struct slice *number)
{
	struct slice v;

	if (!der_take(s, DER_INTEGER, &v) || v.n == 0 || v.at[0] & 0x80)
		return false;
	if (v.at[0] == 0) {
		if (v.n < 2 || !(v.at[1] & 0x80))
			return false; /* zero, or not in shortest form */
		v = slice_sub(v, 1, SIZE_MAX);
	}
	*number = v;
	return true;
}

/* RSAPublicKey (RFC 8017 A.1.1) inside a SubjectPublicKeyInfo (RFC 5280 4.1) or by itself. */
static bool rsa_numbers(struct slice der, struct slice *n, struct slice *e)
{
	/* rsaEncryption with NULL parameters; some write none */
	static const unsigned char with_null[] = { 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00 };
	struct slice outer, inner, algorithm, bits;

	if (!der_take(&der, DER_SEQUENCE, &outer) || der.n)
		return false;
	inner = outer;
	if (der_take(&inner, DER_SEQUENCE, &algorithm)) {
		if (!slice_eq(algorithm, slice_of(with_null, sizeof(with_null))) &&
		    !slice_eq(algorithm, slice_of(with_null, sizeof(with_null) - 2)))
			return false;
		if (!der_take(&inner, DER_BIT_STRING, &bits) || inner.n || bits.n == 0 || bits.at[0] != 0)
			return false;
		bits = slice_sub(bits, 1, SIZE_MAX);
		if (!der_take(&bits, DER_SEQUENCE, &outer) || bits.n)
			return false;
	}
	return der_number(&outer, n) && der_number(&outer, e) && outer.n == 0;
}

static size_t bit_length(struct slice number)
{
	size_t bits = number.n * 8;

	for (unsigned char top = number.at[0]; !(top & 0x80); top = (unsigned char)(top << 1))
		bits--;
	return bits;
}

/* In: numbers of which size and form were looked at. */
static struct key *rsa_key(struct slice n, struct slice e)
{
	BIGNUM *modulus, *exponent;
	OSSL_PARAM_BLD *build;
	OSSL_PARAM *params = NULL;
	EVP_PKEY_CTX *ctx = NULL;
	EVP_PKEY *pkey = NULL;

	modulus = BN_bin2bn(n.at, (int)n.n, NULL);
	exponent = BN_bin2bn(e.at, (int)e.n, NULL);
	build = OSSL_PARAM_BLD_new();
	if (modulus && exponent && build && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent))
		params = OSSL_PARAM_BLD_to_param(build);
	if (params)
		ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	if (ctx && EVP_PKEY_fromdata_init(ctx) == 1)
		EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params);
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	BN_free(exponent);
	BN_free(modulus);
	return take_pkey(pkey, KEY_RSA);
}

static bool modulus_fits(struct slice n)
{
	return bit_length(n) >= RSA_BITS_MIN && bit_length(n) <= RSA_BITS_MAX && n.at[n.n - 1] & 1;
}

struct key *key_rsa_public(struct slice der)
{
	static const unsigned char f4[] = { 0x01, 0x00, 0x01 };
	struct slice n, e;

	if (!rsa_numbers(der, &n, &e) || !slice_eq(e, slice_of(f4, sizeof(f4))) || !modulus_fits(n))
		return NULL;
	return rsa_key(n, e);
}

/* A signature costs as much as the exponent has bits, and the square of the modulus: where that is large, e is no larger than any in use. */
static bool exponent_fits(struct slice e, unsigned modulus_bits)
{
	size_t most = modulus_bits > RSA_BITS_COMMON ? RSA_EXPONENT_OCTETS_LARGE : RSA_EXPONENT_OCTETS;

	return e.n <= most && e.at[e.n - 1] & 1 && !(e.n == 1 && e.at[0] == 1);
}

struct key *key_rsa_public_odd(struct slice der, unsigned *bits_out)
{
	struct slice n, e;

	*bits_out = 0;
	if (!rsa_numbers(der, &n, &e))
		return NULL;
	*bits_out = (unsigned)bit_length(n);
	if (!modulus_fits(n) || !exponent_fits(e, *bits_out))
		return NULL;
	return rsa_key(n, e);
}

struct key *key_ed25519_public(struct slice octets)
{
	if (octets.n != ED25519_OCTETS)
		return NULL;
	return take_pkey(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, octets.at, octets.n), KEY_ED25519);
}

struct key *key_mldsa44_public(struct slice octets)
{
	if (octets.n != MLDSA44_OCTETS || !key_type_known(KEY_MLDSA44))
		return NULL;
	return take_pkey(EVP_PKEY_new_raw_public_key_ex(NULL, mldsa44, NULL, octets.at, octets.n), KEY_MLDSA44);
}
