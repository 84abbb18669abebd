/* pkey.h - what libcrypto knows a key by. Inside this room only. */
#ifndef CRYPT_PKEY_H
#define CRYPT_PKEY_H

#include <openssl/evp.h>

#include "crypt/key.h"

/* Borrowed from k. */
EVP_PKEY *key_pkey(const struct key *k);

#endif
