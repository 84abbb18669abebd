/*
 * cmd.h - what a client's command line says: verb, path, parameters (RFC 5321 4.1, 1870, 3461, 4954, 6152, 6531,
 * 8689, draft-hall-prdr-00). Pure, allocates nothing.
 *
 * Lines come without CRLF and may hold any octet. Slices of the results lie in the line.
 */
#ifndef SMTP_CMD_H
#define SMTP_CMD_H

#include "mail/addr.h"
#include "smtp/ext.h"

/* A command's ESMTP parameters, already checked against what we offer. Slices live in the session's tx arena. */
struct srv_params {
	bool body_8bit;          /* BODY=8BITMIME */
	bool body_named;         /* BODY= was there */
	bool smtputf8;
	bool prdr;
	bool requiretls;
	bool size_named;
	uint64_t size_octets;
	struct slice ret, envid; /* DSN on MAIL: as written, to be passed on */
	struct slice notify, orcpt; /* DSN on RCPT */
};

/* Octets up to the first SP or HTAB; *arg_out is what follows, blanks at both ends off. */
struct slice cmd_verb(struct slice line, struct slice *arg_out);

/*
 * cmd_text - are there only octets that a command may hold?
 * Fault: BARE_LF, BARE_CR, NUL, or COMMAND_SYNTAX for another control octet, all as 500 5.5.2; `at` is its place
 */
bool cmd_text(struct slice line, struct fault *f) HS_MUST_USE;

/*
 * cmd_hello - the argument of EHLO or HELO
 * In:    blanks trimmed. Taken leniently: letters, digits, "-_.:" in any order, or such in brackets, up to LIMIT_DOMAIN octets.
 */
bool cmd_hello(struct slice arg) HS_MUST_USE;

/*
 * cmd_mail, cmd_rcpt - what stands behind the verb, without blanks in front: "FROM:<path> params", "TO:<path> params"
 * In:    offer: what this client was told, no bits for HELO. utf8: MAIL had SMTPUTF8
 * Fault: COMMAND_SYNTAX, BAD_SENDER, BAD_RECIPIENT, BAD_PARAM, PARAM_UNKNOWN, NEEDS_SMTPUTF8, TOO_BIG, REQUIRETLS (said to one who
 *        takes extensions and was not offered it); `at` counts from arg
 */
bool cmd_mail(struct slice arg, const struct ext *offer, struct path *path_out, struct srv_params *params_out,
    struct fault *f) HS_MUST_USE;
bool cmd_rcpt(struct slice arg, const struct ext *offer, bool utf8, struct path *path_out, struct srv_params *params_out,
    struct fault *f) HS_MUST_USE;

/*
 * cmd_vrfy - what stands behind VRFY: a string, "string SMTPUTF8" where that was offered
 * In:    blanks trimmed. UTF-8 only with the parameter (RFC 6531 3.7.4.2)
 * Fault: COMMAND_SYNTAX, NEEDS_SMTPUTF8
 */
bool cmd_vrfy(struct slice arg, const struct ext *offer, struct fault *f) HS_MUST_USE;

/*
 * cmd_bdat - the argument of BDAT: "chunk-size [ SP LAST ]" (RFC 3030 2)
 * In:    blanks trimmed
 * Fault: BDAT_BAD; where the chunk ends, and so where commands go on, cannot be known then
 */
bool cmd_bdat(struct slice arg, uint64_t *octets_out, bool *last_out, struct fault *f) HS_MUST_USE;

#endif
