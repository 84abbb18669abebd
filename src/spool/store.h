/*
 * store.h - the spool directory: messages are put there durably, found again, read, marked, and removed once nothing is left to be done.
 *
 * Folders: tmp/ (being written: named by the pid that writes them), mail/ (committed), note/ (what the queue process keeps about a
 * message between attempts; may be lost), damaged/ (set aside: never sent, never deleted). All messages put within a loop turn are one
 * commit: written to one file (a big one has its own), synced, renamed into mail/, and mail/ synced, and only then their callbacks come.
 *
 * Workers put. The queue process puts (reports), finds, reads, marks and removes. A failed sync is final for that file: it is unlinked and
 * its messages fail. When syncing the folder failed, nothing is taken until a check (a file written, synced, renamed, folder synced)
 * passes; it is tried every few seconds.
 */
#ifndef SPOOL_STORE_H
#define SPOOL_STORE_H

#include "net/loop.h"
#include "out/count.h"
#include "spool/format.h"

struct store;

struct store_conf {
	int dir_fd;              /* the spool directory; owned */
	uint64_t reserve_octets; /* so much is left free on the disk: below it NO_DISK */
	struct count_page *counts;
	unsigned slot;           /* makes names unique: no other living process that puts has it */
};

/* Makes missing folders. NULL: reason in error_out, and dir_fd is closed. */
struct store *store_new(struct loop *l, const struct store_conf *conf, char error_out[256]);
/* What is under way is dropped, nobody is told; entries go with it. */
void store_free(struct store **s);

/* ---- put ---- */

/* May mail be taken now? octets: of the message, as far as known. Fault: NO_DISK (452 4.3.1), SPOOL_FAILED (451 4.3.0) */
bool store_room(struct store *s, uint64_t octets, struct fault *f) HS_MUST_USE;

struct store_message {
	const struct spool_envelope *envelope;
	const struct slice *runs;     /* content: fields, or all of it */
	size_t run_count;
	uint32_t header_octets;       /* of fields, without the empty line */
	bool (*more)(void *arg, size_t at, struct slice *run_out); /* behind the runs, `at` from 0; false: no more. NULL: nothing */
	void *more_arg;
};
/* One that is on its way; caller's storage, zeroed before its first use. */
struct store_put {
	struct store *store;          /* NULL: it is not on its way */
	struct store_put *next, **at;
	void *file;                   /* the store's, as is what follows */
	uint64_t mark_at;
	void (*on)(void *arg, const struct fault *f);
	void *arg;
};
/*
 * store_put - the octets are written before this returns; `on` comes once they are durable (f NULL) or cannot be: at the end of the turn
 * or later, never before this returns
 * Fault: false, nothing is left of it, `on` does not come: NO_DISK, SPOOL_FAILED, INTERNAL, NO_MEMORY
 */
bool store_put(struct store *s, struct store_put *p, const struct store_message *m, void (*on)(void *arg, const struct fault *f), void *arg,
    struct fault *f) HS_MUST_USE;
/* Its caller is gone: nobody is told, and it is not kept, unless it is durable already. One that is not on its way is fine. */
void store_unput(struct store_put *p);

/* The channel to the queue process from now on (owned; -1: none): names of files go there once they are durable, in one packet a commit;
 * what does not fit into it waits. The first packet on a new channel is SPOOL_LOOK. */
void store_set_queue(struct store *s, int fd);
/* The queue process's own: called with each name instead. */
void store_on_commit(struct store *s, void (*on)(void *arg, struct slice name), void *arg);

/* ---- the queue process's ---- */

/* A message of a committed file. */
struct store_entry;
/* `e` is the receiver's from now on (store_done(), store_drop()); envelope and marks are borrowed for the call, in which no other file may be looked at. */
typedef void store_found(void *arg, struct store_entry *e, const struct spool_envelope *envelope, struct slice marks);

/*
 * store_scan - looks at the folders: files not known yet are read, at most so many in a call; left-overs of processes that are gone are
 * removed; what is damaged or is no such file is set aside (`spool_quarantined`), after the good messages in it were committed anew.
 * Messages whose mark is SPOOL_DONE are removed. What cannot be read now stays, for the next store_rescan().
 * Out:   true: there is more, call again; false: all is known
 */
bool store_scan(struct store *s, size_t files, store_found *found, void *arg);
/* From the beginning at the next store_scan(). */
void store_rescan(struct store *s);
/* One file, by its name from a notice; known ones are skipped. False: it is not there, was set aside, or cannot be read now. */
bool store_take(struct store *s, struct slice name, store_found *found, void *arg);
/* Files and messages known. */
size_t store_files(const struct store *s);
size_t store_entries(const struct store *s);

/* Its file's name, for the log and for hopsealctl; content_octets. */
struct slice store_name(const struct store_entry *e);
uint64_t store_octets(const struct store_entry *e);
/* Reads envelope and marks anew, borrowed from the arena; false: it cannot be read. */
bool store_envelope(struct store *s, struct store_entry *e, struct arena *a, struct spool_envelope *out, struct slice *marks_out) HS_MUST_USE;
/*
 * store_open - the content, in memory or mapped, checked against its checksum the first time; nested calls count
 * Out:   header without the empty line; body behind it. Good until the last store_close()
 * Fault: INTERNAL (cannot be read now), MALFORMED (damaged: the caller drops it by store_damaged())
 */
bool store_open(struct store *s, struct store_entry *e, struct slice *header_out, struct slice *body_out, struct fault *f) HS_MUST_USE;
void store_close(struct store *s, struct store_entry *e);
/* rcpt: index, or STORE_MESSAGE. Written at once, synced within a second. False: it could not be written (logged). */
enum { STORE_MESSAGE = -1 };
bool store_mark(struct store *s, struct store_entry *e, int rcpt, enum spool_mark mark) HS_MUST_USE;
/* Of several at once, in ascending order, by one write: killed, either all of them are marked or none is. */
bool store_mark_all(struct store *s, struct store_entry *e, const size_t *rcpts, size_t n, enum spool_mark mark) HS_MUST_USE;
/* Nothing is left to be done: marked, its note removed, its room given back in half a minute; the last one of a file takes the file with it. */
void store_done(struct store *s, struct store_entry **e);
/* Forgotten in memory only; found again by a scan that begins when nothing of its file is in memory. */
void store_drop(struct store *s, struct store_entry **e);
/* Set aside: content and envelope stay in damaged/; told to the log with `why`. */
void store_damaged(struct store *s, struct store_entry **e, const char *why);

/*
 * What is kept of a copy of a message between attempts, any octets up to LIMIT_SPOOL_NOTE; replaced whole, not synced, checksummed.
 * copy: below LIMIT_RCPT. False: it could not be written, and the one before it is there still.
 */
bool store_note(struct store *s, struct store_entry *e, uint32_t copy, struct slice octets);
/* Empty: there is none, or it is damaged. In the arena. */
struct slice store_note_read(struct store *s, struct store_entry *e, uint32_t copy, struct arena *a);

#endif
