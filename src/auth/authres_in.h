/*
 * authres_in.h - what reader and writer of Authentication-Results share. For auth/authres*.c only.
 */
#ifndef AUTH_AUTHRES_IN_H
#define AUTH_AUTHRES_IN_H

#include "auth/authres.h"

/* RFC 2045 token, with the octets of RFC 6532 */
static inline bool authres_token_octet(unsigned char c)
{
	return c > 0x20 && c != 0x7f && !strchr("()<>@,;:\\\"/[]?=", c);
}

/* Keyword of RFC 5321 4.1.2: letters, digits, and '-' that is not last */
static inline bool authres_keyword_octet(unsigned char c)
{
	return ascii_alpha(c) || ascii_digit(c) || c == '-';
}

/* A quoted-string, without quotes and escapes; `folds`: it may hold some, whose line ends are dropped. False: none. */
bool authres_quoted(struct arena *a, struct slice *s, bool folds, struct slice *out);

#endif
