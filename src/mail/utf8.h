/*
 * utf8.h - is it UTF-8 (RFC 3629)? Pure, allocates nothing.
 */
#ifndef MAIL_UTF8_H
#define MAIL_UTF8_H

#include "base/slice.h"

/* Whole sequences only: no overlong form, no surrogate, nothing above U+10FFFF. ASCII passes, NUL included. */
bool utf8_valid(struct slice s);

/* The longest head of s of at most n octets that cuts no sequence in two. */
struct slice utf8_head(struct slice s, size_t n);

#endif
