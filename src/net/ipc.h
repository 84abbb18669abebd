/*
 * ipc.h - messages between a worker and keeper or resolver: octets and values. Pure.
 * Source: proto/keeper.md, proto/resolver.md
 *
 * A message is one SOCK_SEQPACKET record of at most LIMIT_IPC octets that holds 1..LIMIT_IPC_BATCH items of one kind.
 */
#ifndef NET_IPC_H
#define NET_IPC_H

#include "auth/keyrec.h"
#include "base/buf.h"

enum { IPC_VERSION = 1 };

enum ipc_kind {
	IPC_QUESTIONS = 1, /* worker to resolver */
	IPC_ANSWERS = 2,   /* resolver to worker */
	IPC_SIGN = 3,      /* worker to keeper */
	IPC_SIGNED = 4,    /* keeper to worker */
};

enum { IPC_TYPE_A = 1, IPC_TYPE_PTR = 12, IPC_TYPE_MX = 15, IPC_TYPE_TXT = 16, IPC_TYPE_AAAA = 28 }; /* qtype, RFC 1035 3.2.2 */

struct ipc_question {
	uint64_t ticket;     /* comes back with the answer */
	uint16_t qtype;
	uint32_t timeout_ms; /* after it the asker no longer listens */
	struct slice name;   /* lower case, A-labels, no final dot, 1..253 octets */
};

struct ipc_answer {
	uint64_t ticket;
	uint16_t qtype;
	enum dns_status status;
	bool secure;
	uint32_t ttl_s;
	const struct slice *records; /* for writing: record data; TXT: its strings joined; each at most 65535 octets */
	size_t record_count;
	struct slice encoded;        /* as read: ipc_record() takes them apart */
};

struct ipc_sign {
	uint64_t ticket;
	enum key_type type;
	struct slice domain, selector; /* 1..253 octets each */
	const unsigned char *digest;   /* 32 octets */
};

enum ipc_signed_status {
	IPC_SIGNED_DONE,
	IPC_SIGNED_REFUSED, /* no active key of that domain, selector and type */
	IPC_SIGNED_FAILED,  /* libcrypto refused */
};

struct ipc_signed {
	uint64_t ticket;
	enum ipc_signed_status status;
	struct slice signature; /* empty unless done */
};

/* Writing: b has room for LIMIT_IPC and is cleared. */
void ipc_begin(struct buf *b, enum ipc_kind kind);
/* Append one item. False: it does not fit any more (or no memory, buf_failed()); what stands there is a whole message. */
bool ipc_add_question(struct buf *b, const struct ipc_question *q);
bool ipc_add_answer(struct buf *b, const struct ipc_answer *a);
bool ipc_add_sign(struct buf *b, const struct ipc_sign *s);
bool ipc_add_signed(struct buf *b, const struct ipc_signed *s);
/* Items in it so far; 0 for an empty buf. */
unsigned ipc_count(const struct buf *b);

/* Reading: a cursor over a message whose every item has been checked. */
struct ipc_in {
	struct slice rest;
	unsigned left; /* items */
};
/* False: not a well-formed message of that kind; nothing of it may be used. */
bool ipc_open(struct slice message, enum ipc_kind kind, struct ipc_in *in_out);
/* The next item, borrowed from the message; false: there was no other. */
bool ipc_next_question(struct ipc_in *in, struct ipc_question *q_out);
bool ipc_next_answer(struct ipc_in *in, struct ipc_answer *a_out);
bool ipc_next_sign(struct ipc_in *in, struct ipc_sign *s_out);
bool ipc_next_signed(struct ipc_in *in, struct ipc_signed *s_out);
/* Takes the next record off a->encoded; false: there was no other. */
bool ipc_record(struct ipc_answer *a, struct slice *record_out);

#endif
