/* A TXT record, and the same octets as DER: a key we take is one that libcrypto reads, and with the same numbers. */
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "auth/keyrec.h"
#include "base/limits.h"
#include "fuzz.h"

static void want_rsa(struct slice der)
{
	struct key *k = key_rsa_public(der);
	const unsigned char *spki = der.at, *bare = der.at;
	EVP_PKEY *known;
	struct arena a;
	struct slice ours;
	unsigned char *theirs = NULL;
	int n;

	if (!k)
		return;
	WANT(key_type(k) == KEY_RSA && key_bits(k) >= 1024 && key_bits(k) <= 8192);
	known = d2i_PUBKEY(NULL, &spki, (long)der.n);
	if (!known)
		known = d2i_PublicKey(EVP_PKEY_RSA, NULL, &bare, (long)der.n);
	WANT(known);
	arena_init(&a, 65536);
	WANT(key_public_octets(&a, k, &ours));
	n = i2d_PUBKEY(known, &theirs);
	WANT(n > 0 && slice_eq(ours, slice_of(theirs, (size_t)n)));
	OPENSSL_free(theirs);
	EVP_PKEY_free(known);
	arena_clear(&a);
	key_drop(&k);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	struct slice text = slice_of(at, n);
	struct keyrec *k = keyrec_new(DNS_OK, &text, 1, false);

	WANT(k && (k->state == KEYREC_OK) == (k->key != NULL));
	WANT(k->state != KEYREC_UNREACHABLE && k->state != KEYREC_ABSENT && k->state != KEYREC_MULTIPLE);
	WANT(n <= LIMIT_TXT || k->state == KEYREC_SYNTAX);
	if (k->key) {
		struct arena a;
		struct slice again;
		struct keyrec *same;

		arena_init(&a, 65536);
		again = keyrec_text(&a, k->key);
		same = keyrec_new(DNS_OK, &again, 1, false);
		WANT(same && same->state == KEYREC_OK && key_type(same->key) == key_type(k->key) && key_bits(same->key) == key_bits(k->key));
		keyrec_drop(&same);
		arena_clear(&a);
	}
	keyrec_drop(&k);
	want_rsa(text);
	return 0;
}
