/*
 * dsn.h - delivery status notifications, read and written (RFC 3461 section 6, 3464, 6522, 6533). Pure, nothing is decoded.
 */
#ifndef MAIL_DSN_H
#define MAIL_DSN_H

#include "mail/mime.h"

enum dsn_action { DSN_FAILED, DSN_DELAYED, DSN_DELIVERED, DSN_RELAYED, DSN_EXPANDED, DSN_ACTIONS };
const char *dsn_action_name(enum dsn_action action); /* "failed" */

enum { DSN_TYPE_OCTETS = 64 }; /* of a type that is written, at most */

/* An address or a server as these fields have it: "rfc822; user@example.com". Both empty: the field is not there. */
struct dsn_typed {
	struct slice type;
	struct slice text;
};

/* What a report says of one recipient. Values are trimmed and unfolded. */
struct dsn_recipient {
	struct dsn_typed original, final; /* final is always there */
	enum dsn_action action;
	struct slice status;              /* "5.1.1" (RFC 3463) */
	struct dsn_typed remote_mta, diagnostic;
	struct slice last_attempt, retry_until; /* dates as written; empty: none */
	struct slice words;               /* written for people where there is no diagnostic; never read */
};

struct dsn {
	struct slice envelope_id;       /* empty: none */
	struct dsn_typed reporting_mta; /* always there */
	struct slice arrival;
	struct dsn_recipient *recipients;
	size_t n;                       /* at least 1 */
	/* The third part. */
	struct slice returned;          /* as it stands there */
	struct header header;
	struct slice body;
	bool header_only;
	bool utf8;                      /* one of the parts is of RFC 6533 */
};

enum dsn_state {
	DSN_READ,
	DSN_NONE,   /* not a multipart/report of delivery-status */
	DSN_BAD,    /* says that it is one and breaks a rule, or is above a limit */
	DSN_MEMORY
};

/*
 * dsn_read
 * In:    the header and the body of a message, borrowed by *out; field_max: of the returned message
 * Out:   why_out, a few words for the log when DSN_BAD. Exactly three parts are demanded: any text, the status, and the
 *        message or its header; each field of RFC 3464 at most once in its group, and those it demands.
 * Cost:  linear; LIMIT_REPORT_STATUS, LIMIT_REPORT_FIELDS, LIMIT_RCPT
 */
enum dsn_state dsn_read(struct arena *a, const struct header *h, struct slice body, size_t field_max, struct dsn *out,
    const char **why_out);

/* class.subject.detail of RFC 3463 section 2, and no more. */
bool dsn_status_valid(struct slice status);

/* The bracketed path of an address of type rfc822 or utf-8 (RFC 6533 section 3); empty: it is none. In the arena. */
struct slice dsn_path(struct arena *a, struct dsn_typed address);
/* The other way: rfc822 if the path is ASCII, else utf-8. */
struct dsn_typed dsn_address(struct slice path);

struct dsn_report {
	/* Values of the header fields. */
	struct slice from;          /* an address, a display name in front of it or not */
	struct slice to;            /* bracketed path */
	struct slice subject;
	struct slice message_id;    /* bracketed */
	int64_t date;               /* seconds since 1970 */
	struct slice boundary;      /* by mime_boundary(), and not in what is returned */
	/* The status part, which the text for people is made of too. */
	struct slice envelope_id;
	struct dsn_typed reporting_mta;
	struct slice arrival;
	const struct dsn_recipient *recipients;
	size_t n;
	/* What is returned: runs of octets that follow each other, the empty line among them. */
	const struct slice *runs;
	size_t run_count;
	size_t header_octets;       /* of them up to the empty line, which is not counted */
	bool header_only;           /* the runs hold no more than that */
};

enum dsn_write_state {
	DSN_WRITTEN,
	DSN_WRITE_BOUNDARY, /* stands in what is returned: another one, please */
	DSN_WRITE_BAD,      /* a value that is not what is said of it, or an address above LIMIT_REPORT_VALUE */
	DSN_WRITE_MEMORY
};

struct dsn_message {
	struct slice header;        /* whole fields, without the empty line */
	const struct slice *body;   /* runs: ours and, borrowed, those returned */
	size_t runs;
	bool eight_bit;             /* wants 8BITMIME */
	bool utf8;                  /* wants SMTPUTF8 (RFC 6533 section 5) */
};

/*
 * dsn_write - the report as a message that has yet to be sealed; MAIL FROM is <>, RCPT TO is r->to
 * Out:   in the arena. 7bit if all that is returned is; octets of the text values that may not stand in a line are '?'.
 *        Says nothing of anybody but r->recipients, besides what is returned.
 */
enum dsn_write_state dsn_write(struct arena *a, const struct dsn_report *r, struct dsn_message *out);

#endif
