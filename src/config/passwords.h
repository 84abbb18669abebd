/*
 * passwords.h - a file of passwords: who may authenticate, and what is kept to see whether he is the one. Pure.
 *
 * A line is user:{SCRAM-SHA-256}iterations,salt,StoredKey,ServerKey (crypt/scram.h); empty ones and those that begin with # say nothing.
 */
#ifndef CONFIG_PASSWORDS_H
#define CONFIG_PASSWORDS_H

#include "config/mistake.h"
#include "crypt/scram.h"

struct passwords;

enum { PASSWORDS_SECRET = 32 };

/*
 * passwords_new - reads it
 * In:    file: its name, for mistakes; secret: by which names that are not in it get what looks like an entry of it; both copied
 * Fault: each mistake as "file:line: ..."; NULL with mistakes, and when nobody is in it, or no memory
 */
struct passwords *passwords_new(const char *file, struct slice text, const unsigned char secret[PASSWORDS_SECRET], struct conf_errors *errors);
/* Wipes it. */
void passwords_free(struct passwords **p);
/*
 * passwords_find - the entry of a user, or for one that has none what looks like one (scram_unknown()), always the same
 * In:    exactly as it stands in the file, no letter case is the same as another
 * Out:   *known_out: it is there. False: no memory
 */
bool passwords_find(const struct passwords *p, struct slice user, struct scram_verifier *out, bool *known_out) HS_MUST_USE;

#endif
