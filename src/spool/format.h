/*
 * format.h - a message with its envelope as the spool keeps it: octets and values (proto/spool.md). Pure.
 *
 * A file holds the messages of one commit, one behind the other, each begun on a multiple of SPOOL_ALIGN. A message is a head of fixed
 * length, the envelope, the marks, the content. A checksum covers head and envelope, another the content; marks are outside of both,
 * one octet for the message and one for each recipient, and are written over in place: one octet is written whole or not at all.
 */
#ifndef SPOOL_FORMAT_H
#define SPOOL_FORMAT_H

#include "auth/arc/arc.h"
#include "auth/dkim2/dkim2.h"
#include "base/buf.h"

enum { SPOOL_VERSION = 1, SPOOL_ALIGN = 512 };

/* Any two differ in two bits at least. */
enum spool_mark {
	SPOOL_WAITING = '.',
	SPOOL_HELD = 'H',      /* of a message: not to be sent until it is released */
	SPOOL_DELIVERED = 'd', /* of a recipient: a next hop has answered for it */
	SPOOL_FAILED = 'F',    /* of a recipient: will not be delivered; who is to hear of it is a message of its own by now */
	SPOOL_REMOVED = 'r',   /* of a recipient: an operator said so */
	SPOOL_DONE = 'x'       /* of a message: nothing is left to be done */
};

struct spool_rcpt {
	struct slice path;          /* bracketed */
	struct slice notify, orcpt; /* as said with RCPT (RFC 3461 4.1, 4.2); empty: not said */
	uint32_t group;             /* 0.. : recipients of one number share a copy, and are named in one seal */
};

struct spool_envelope {
	struct slice id;            /* 1..32 octets of 0-9 a-z: the transaction's name */
	struct slice listener;      /* whose settings it is sent by */
	int64_t arrived_s;          /* seconds since 1970 */
	struct slice mail_from;     /* bracketed */
	bool body_8bit, smtputf8, requiretls; /* as said with MAIL */
	struct slice ret, envid;
	struct slice client;        /* for the log: address as text; empty: made here */
	bool known_client;          /* its client may send to anyone */
	bool arranged;              /* its client is one whose chains are extended unverified */
	bool report;                /* a report of ours (RFC 3464) */
	bool dots;                  /* a line of the content may begin with a dot */
	uint32_t wanted;            /* recipients its client named, for the seal's exploded flag */
	/* Who hears that it cannot be delivered (DESIGN.md section 4). */
	struct slice report_to;     /* bracketed; empty: nobody */
	struct slice report_why;    /* then a word for the log: null_path, unverified, unknown_client ... */
	/* What was found when it came. */
	bool judged;                /* else none of what follows */
	enum dkim2_state chain_state, chain_newest;
	enum dkim2_level chain_level;
	uint32_t hop_count, instance_count;
	bool chain_exploded;
	enum arc_state arc_state;
	uint32_t arc_instances;
	struct slice authres;       /* value of our results, "mx.example.net; dkim2=..."; empty: not kept */
	struct slice body_sha256, body_sha512; /* simple form; empty: not known */
	struct slice body_relaxed_sha256;
	struct spool_rcpt *rcpts;   /* at least 1, at most LIMIT_RCPT */
	size_t rcpt_count;
};

/* Appends the octets of an envelope. False: it is none by what stands above, or buf_failed(). */
bool spool_envelope_write(struct buf *out, const struct spool_envelope *e) HS_MUST_USE;
/* Borrowed from octets, lists in the arena. False: these are none, or no memory (arena_failed()). */
bool spool_envelope_read(struct arena *a, struct slice octets, struct spool_envelope *out) HS_MUST_USE;

/*
 * What a file begins with, SPOOL_ALIGN octets. It is written last: what says how many messages there are was not cut. Checksums of a file
 * are keyed, so that content which looks like a message of the spool is not taken for one when its surroundings are damaged.
 */
enum { SPOOL_KEY = 16 };
struct spool_file {
	unsigned char key[SPOOL_KEY]; /* at random */
	uint32_t messages;            /* 1..LIMIT_SPOOL_COMMIT */
	uint64_t octets;              /* of the file; a multiple of SPOOL_ALIGN */
};
void spool_file_write(unsigned char octets_out[SPOOL_ALIGN], const struct spool_file *file);
bool spool_file_read(struct slice octets, struct spool_file *out) HS_MUST_USE;
/* The key alone, of a head that is damaged elsewhere: whether it is right is what the messages tell. False: no such head at all. */
bool spool_file_key(struct slice octets, struct spool_file *out) HS_MUST_USE;

/* The head of a message. */
struct spool_head {
	uint32_t envelope_octets;
	uint32_t marks;              /* 1 + recipients */
	uint64_t content_octets;     /* fields, empty line, body */
	uint32_t header_octets;      /* of these, up to the empty line */
	unsigned char content_sha256[32];
};
enum { SPOOL_HEAD = 128 };
/* The checksum covers envelope too. */
void spool_head_write(unsigned char octets_out[SPOOL_HEAD], const struct spool_file *file, const struct spool_head *h, struct slice envelope);
/* Lengths that add up, within limits; the checksum is spool_head_fits()'s to tell. */
bool spool_head_read(struct slice octets, struct spool_head *out) HS_MUST_USE;
bool spool_head_fits(const struct spool_file *file, struct slice head, struct slice envelope);
/* Octets from the begin of a message to where its marks and its content begin, and to its end, rounded up to SPOOL_ALIGN. */
uint64_t spool_marks_at(const struct spool_head *h);
uint64_t spool_content_at(const struct spool_head *h);
uint64_t spool_end_at(const struct spool_head *h);
/* Are they marks, the message's first, then those of its recipients? */
bool spool_marks(struct slice marks);

/* Is it the name of a file of messages? 24 octets of 0-9 a-f. */
enum { SPOOL_NAME = 24 };
bool spool_name(struct slice name);

/* ---- notices: what a worker tells the queue process (SOCK_SEQPACKET) ---- */

enum { SPOOL_NOTICE = 4096 };  /* octets at most */
enum spool_notice_kind { SPOOL_FILES = 'F', SPOOL_LOOK = 'L' /* look at the folder: some may not have been told */ };
/* Names in one packet; cleared buf in. False: it does not fit any more. */
bool spool_notice_add(struct buf *packet, struct slice name) HS_MUST_USE;
/* Takes the next name off; false: no more. *packet starts behind its first octet, the kind. */
bool spool_notice_next(struct slice *packet, struct slice *name_out);

/* ---- notes: what is kept of a message between attempts ---- */

enum { SPOOL_NOTE_HEAD = 32 };
/* What stands in front of the octets of a note, which has LIMIT_SPOOL_NOTE at most. */
void spool_note_write(unsigned char octets_out[SPOOL_NOTE_HEAD], struct slice note);
/* A whole file; borrowed from it. False: it is damaged. */
bool spool_note_read(struct slice file, struct slice *note_out) HS_MUST_USE;

#endif
