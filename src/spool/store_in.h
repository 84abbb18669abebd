/*
 * store_in.h - what store.c (putting), store_notice.c (telling), store_scan.c (finding), store_entry.c (reading, marking, removing) and
 * store_aside.c (what is damaged) know of each other.
 */
#ifndef SPOOL_STORE_IN_H
#define SPOOL_STORE_IN_H

#include <dirent.h>
#include <limits.h>
#include <sys/uio.h>

#include "base/limits.h"
#include "base/map.h"
#include "crypt/digest.h"
#include "net/trouble.h"
#include "spool/store.h"

enum {
	STORE_SYNC_MS = 1000,  /* marks and removals are durable after it */
	STORE_CHECK_MS = 5000, /* between two tries of a store that failed */
	STORE_ROOM_MS = 1000,  /* the disk is asked as often as this */
	STORE_INODES = 64,     /* so many are left free */
	STORE_OPEN_FILES = 64, /* descriptors that are kept for reading and marking */
	STORE_OPEN_OUTS = 32,  /* files being written in a turn; above it the oldest is synced early */
	STORE_READ = SPOOL_HEAD + LIMIT_SPOOL_ENVELOPE + 1 + LIMIT_RCPT, /* a message without its content has no more */
	STORE_MEMORY = 1 << 18, /* content above it is mapped: many may be open at a time */
	STORE_HOLE_MS = 30000, /* the file of a message that is done is mostly gone by then; else its room is given back */
	STORE_CHUNK = 65536,   /* of a content are read at a time */
	STORE_TMP_NAME = 48
};

/* A file being written. */
struct store_out {
	struct store_out *next;
	struct spool_file head;         /* messages and octets as it is so far */
	int fd;                         /* -1: closed, synced or failed */
	char name[SPOOL_NAME + 1];      /* to be */
	char tmp[STORE_TMP_NAME];       /* in tmp/ until then */
	uint32_t live;                  /* messages whose caller has not gone */
	bool lone;                      /* takes no other message */
	bool synced, renamed;
	enum fault_code failed;
	const char *what;               /* ... in doing what */
	int error;
	struct store_put *puts, **puts_end;
};

/* A committed file. */
struct store_file {
	struct spool_file head;
	char name[SPOOL_NAME + 1];
	bool damaged;                   /* set aside, not unlinked, when nothing is left of it */
	bool pinned;                    /* its messages are being given out */
	bool listed;                    /* in `changed` of the store */
	bool marked;                    /* its marks are to be synced */
	bool holes;                     /* room of its messages is to be given back */
	int fd;                         /* -1: closed */
	uint32_t left;                  /* messages that are not done */
	struct store_file *open_next, *open_before;    /* with a descriptor, the last used first */
	struct store_file *changed_next, **changed_at;
	int64_t holes_ms;               /* ... then */
	struct store_entry *entries;
};

struct store_entry {
	struct store_file *file;
	struct store_entry *next, **at;
	unsigned char *held;            /* memory, or the map; NULL: not open */
	size_t map_octets;              /* 0: memory */
	size_t skip;                    /* to the content */
	uint64_t from;                  /* where it begins in the file */
	uint64_t content_octets;
	uint32_t envelope_octets, marks, header_octets;
	uint32_t opens;
	bool checked;                   /* content against its checksum */
	bool done;                      /* its receiver has given it back; only its room is still to be given back */
	bool early;                     /* notes were not looked through when it was found: there may be more than that */
	uint32_t notes;                 /* may be there: those of copies below it */
};
_Static_assert(sizeof(struct store_entry) <= 128, "a hundred thousand of them");

/* A part of a file, in memory. */
struct store_view {
	int fd;
	uint64_t size;
	unsigned char *octets;          /* STORE_READ at least */
	uint64_t from;
	size_t n;
	int error;                      /* of the last read; 0: none */
};

/* A good message of a file that is being looked through. */
struct store_message_at {
	uint64_t at;
	struct spool_head head;
	bool done;
};

struct store_contents {
	struct spool_file head;
	struct store_message_at at[LIMIT_SPOOL_COMMIT];
	uint32_t n;                     /* good messages */
	uint32_t done;                  /* of these */
	const char *damage;             /* NULL: none */
};

enum store_phase { STORE_TMP, STORE_MAIL, STORE_NOTES, STORE_KNOWN };

struct store {
	struct loop *loop;
	struct store_conf conf;
	int tmp_fd, mail_fd, note_fd, damaged_fd;
	uid_t uid;
	uint64_t seed[4];
	uint32_t counter;               /* of names */

	/* putting */
	struct store_out *outs, **outs_end; /* of this turn */
	struct store_out *open;         /* takes more */
	unsigned outs_open;             /* descriptors of these */
	struct buf front;               /* head, envelope, marks of the one being put */
	struct digest *digest;
	struct loop_later commit;
	bool stopped;                   /* takes nothing until a check passes */
	struct loop_timer check;
	int64_t room_ms;                /* when the disk was asked */
	bool room_asked;
	uint64_t free_octets, free_inodes; /* what it said, less what was written since */
	struct trouble full, failed, unsynced;

	/* telling */
	int queue_fd;
	struct loop_io queue_io;
	struct buf names;               /* not told yet */
	bool look;                      /* SPOOL_LOOK is to be told */
	void (*on_commit)(void *arg, struct slice name);
	void *on_commit_arg;

	/* finding */
	struct map files;               /* by name */
	size_t entries;
	enum store_phase phase;
	DIR *dir;
	char name[NAME_MAX + 1];        /* in it */
	unsigned char *scan;            /* memory for a view */
	struct arena arena;
	bool notes_known;               /* what is found from now on has none */
	unsigned depth;                 /* files that were committed anew, and looked at in turn */

	/* marking */
	struct store_file *opened, *opened_last;
	unsigned opened_count;
	struct store_file *changed;     /* files that the timer has something to do about */
	bool unlinked;                  /* mail/ has lost a name since it was synced */
	struct loop_timer sync;
};

/* store.c */
enum fault_code store_fault(int error);
/* Tells the log, once a minute. */
void store_trouble(struct store *s, enum fault_code code, struct slice name, const char *what, int error);
/* A file in tmp/. NULL: errno tells. */
struct store_out *store_out_new(struct store *s);
void store_out_free(struct store_out **o);
/* All of it. False: errno tells. iov is changed. */
bool store_write(int fd, struct iovec *iov, int n);
bool store_write_at(int fd, const void *octets, size_t n, uint64_t at);
/* Durable but for its name: false, o->failed is set. */
bool store_out_sync(struct store *s, struct store_out *o);
/* fsync(), whatever signals come. */
bool store_fsync(int fd);
/* Never replaces. False: errno tells. */
bool store_rename(int from_fd, const char *from, int to_fd, const char *to);
const unsigned char *store_zeros(void); /* SPOOL_ALIGN octets */

/* store_notice.c */
void store_tell(struct store *s, struct slice name);
void store_tell_now(struct store *s);

/* store_scan.c */
/* n octets of a file at `at`, borrowed until the next call. False: the file ends before, or v->error. */
bool store_view(struct store_view *v, uint64_t at, size_t n, struct slice *out);

/* store_entry.c */
int store_file_open(struct store *s, struct store_file *f); /* -1: errno tells */
void store_file_close(struct store *s, struct store_file *f);
struct store_file *store_file_new(struct store *s, const struct spool_file *head, struct slice name);
/* From memory, with its entries. */
void store_file_forget(struct store *s, struct store_file *f);
/* Nothing is left of it: unlinked, or set aside. */
void store_file_remove(struct store *s, struct store_file *f);
/* A message of it is gone, from the spool or from memory. */
void store_file_less(struct store *s, struct store_file *f);
struct store_entry *store_entry_new(struct store *s, struct store_file *f, uint64_t from, const struct spool_head *head);
void store_sync_soon(struct store *s);
void store_sync(void *arg);

/* store_aside.c */
/* A name of mail/ goes to damaged/, whatever it is. False: it could not (logged). One that is not there is away already (logged). */
bool store_aside(struct store *s, const char *name, const char *why);
/*
 * store_anew - the good messages of a damaged file, those that are not done, are put into another one, and marked done in this one
 * Out:   true: nothing good is left in it that was not there before; name_out: of the other one, empty: it has no good ones.
 *        False: not now
 */
bool store_anew(struct store *s, struct store_view *v, const struct store_contents *c, const char *name, char name_out[SPOOL_NAME + 1]);

#endif
