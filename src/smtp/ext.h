/*
 * ext.h - what an EHLO answer announces. Pure.
 */
#ifndef SMTP_EXT_H
#define SMTP_EXT_H

#include "base/buf.h"

enum ext_bit {
	EXT_PIPELINING = 1 << 0,
	EXT_SIZE = 1 << 1,
	EXT_8BITMIME = 1 << 2,
	EXT_SMTPUTF8 = 1 << 3,
	EXT_ENHANCED = 1 << 4,
	EXT_DSN = 1 << 5,
	EXT_CHUNKING = 1 << 6,
	EXT_STARTTLS = 1 << 7,
	EXT_REQUIRETLS = 1 << 8,
	EXT_PRDR = 1 << 9,
	EXT_XCLIENT = 1 << 10,
	EXT_XFORWARD = 1 << 11,
	EXT_AUTH = 1 << 12,
	EXT_LIMITS = 1 << 13,
};

struct ext {
	unsigned bits;        /* enum ext_bit */
	uint64_t size_octets; /* with EXT_SIZE; 0: no limit named */
	uint32_t rcpt_max, mail_max; /* with EXT_LIMITS (RFC 9422 4): recipients a transaction, MAIL a session; 0: not named */
	unsigned auth;        /* with EXT_AUTH: mechanisms we have, bits 1 << enum auth_mech; a next hop's are not read */
};

/* Adds what one EHLO answer line (behind code and separator, without CRLF) announces; unknown words are skipped. */
void ext_read(struct ext *e, struct slice line);

bool ext_same(const struct ext *x, const struct ext *y);

/* What two servers both have; SIZE is the smaller limit, where either names one. */
struct ext ext_both(const struct ext *x, const struct ext *y);

/* Octets we may add to a message on its way; taken off the next hop's SIZE. */
enum { EXT_ADDED_OCTETS = 128 * 1024 };

/*
 * ext_offer - what a proxy listener announces: PIPELINING, SIZE, ENHANCEDSTATUSCODES, CHUNKING, LIMITS always; 8BITMIME, SMTPUTF8, DSN,
 * PRDR and REQUIRETLS only if the probed next hop has them. next_hop NULL: never probed or down, only ours.
 * RCPTMAX is the next hop's, 0 if it names none. SIZE is the smaller of message_octets and the next hop's less EXT_ADDED_OCTETS, at least 1 (DESIGN.md section 3).
 */
struct ext ext_offer(uint64_t message_octets, const struct ext *next_hop);

/* The whole 250 answer to EHLO. rcpt_max: 1..999999, what LIMITS names (RFC 9422 4.2) unless e->rcpt_max is less. */
void ext_write(struct buf *out, struct slice hostname, const struct ext *e, size_t rcpt_max);

#endif
