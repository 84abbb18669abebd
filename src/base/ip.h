/*
 * ip.h - an address as text. Pure, allocates nothing.
 *
 * An address is 16 octets everywhere, IPv4 as ::ffff:a.b.c.d.
 */
#ifndef BASE_IP_H
#define BASE_IP_H

#include "base/slice.h"

enum { IP_TEXT = 46 }; /* octets of the longest, with its NUL */

/* Text of an address to 16 octets; no brackets, zone or blanks. */
bool ip_parse(struct slice text, unsigned char out[16]) HS_MUST_USE;
/* "192.0.2.1" or "2001:db8::1". */
void ip_text(const unsigned char address[16], char out[IP_TEXT]);
bool ip_is_v4(const unsigned char address[16]);

#endif
