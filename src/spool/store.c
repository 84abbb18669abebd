/*
 * store.c - the folders, and putting: written at once, made durable together at the end of the loop turn.
 */
#include "spool/store_in.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/bug.h"
#include "out/log.h"

/* Of a content: what is gathered before it is written. Most messages are one write. */
enum { GATHER_RUNS = 256, GATHER_OCTETS = LIMIT_SPOOL_COMMIT_OCTETS, GATHER_MORE = 3 };
enum { NAME_TRIES = 8 };

const unsigned char *store_zeros(void)
{
	static const unsigned char zeros[SPOOL_ALIGN];

	return zeros;
}

/* ---- folders ---- */

/* -1: errno tells. */
static int folder(const struct store *s, const char *name)
{
	struct stat st;
	int fd;

	if (mkdirat(s->conf.dir_fd, name, 0700) < 0 && errno != EEXIST)
		return -1;
	fd = openat(s->conf.dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	/* Somebody else's could lose or forge mail. */
	if (fstat(fd, &st) == 0 && st.st_uid == s->uid && !(st.st_mode & 022))
		return fd;
	close(fd);
	errno = EPERM;
	return -1;
}

static bool folders(struct store *s, char error_out[256])
{
	static const char *const names[] = { "tmp", "mail", "note", "damaged" };
	int *const fds[] = { &s->tmp_fd, &s->mail_fd, &s->note_fd, &s->damaged_fd };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		*fds[i] = folder(s, names[i]);
		if (*fds[i] < 0) {
			snprintf(error_out, 256, "spool: %s: %s", names[i], errno == EPERM ? "not ours alone" : strerror(errno));
			return false;
		}
	}
	/* Also those that are there: who made them may have been killed before he came to this, or may not have come to it yet. */
	if (store_fsync(s->conf.dir_fd))
		return true;
	snprintf(error_out, 256, "spool: sync: %s", strerror(errno));
	return false;
}

static void on_commit_turn(void *arg);
static void on_check(void *arg);

struct store *store_new(struct loop *l, const struct store_conf *conf, char error_out[256])
{
	struct store *s = calloc(1, sizeof(*s));

	if (!s) {
		close(conf->dir_fd);
		snprintf(error_out, 256, "spool: no memory");
		return NULL;
	}
	s->loop = l;
	s->conf = *conf;
	s->uid = geteuid();
	s->tmp_fd = s->mail_fd = s->note_fd = s->damaged_fd = s->queue_fd = -1;
	s->outs_end = &s->outs;
	buf_init(&s->front, STORE_READ);
	buf_init(&s->names, 1 << 20);
	arena_init(&s->arena, 16 << 20);
	s->digest = digest_new(DIGEST_SHA256);
	if (!s->digest || getrandom(s->seed, sizeof(s->seed), 0) != (ssize_t)sizeof(s->seed)) {
		snprintf(error_out, 256, "spool: no memory, or no random octets");
		store_free(&s);
		return NULL;
	}
	map_init(&s->files, s->seed);
	if (!folders(s, error_out))
		store_free(&s);
	return s;
}

static void shut(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* Not durable, so nobody has been told that it is. */
static void give_up(struct store *s)
{
	struct store_out *o;

	loop_later_cancel(s->loop, &s->commit);
	while ((o = s->outs)) {
		s->outs = o->next;
		while (o->puts) {
			struct store_put *p = o->puts;

			o->puts = p->next;
			p->store = NULL;
		}
		if (!o->renamed)
			(void)unlinkat(s->tmp_fd, o->tmp, 0);
		store_out_free(&o);
	}
}

static void forget(void *file)
{
	struct store_file *f = file;

	while (f->entries) {
		struct store_entry *e = f->entries;

		e->opens = 1;
		store_close(NULL, e);
		f->entries = e->next;
		free(e);
	}
	shut(f->fd);
	free(f);
}

void store_free(struct store **sp)
{
	struct store *s = *sp;

	*sp = NULL;
	if (!s)
		return;
	give_up(s);
	if (s->changed || s->unlinked)
		store_sync(s);
	loop_timer_release(&s->sync);
	loop_timer_release(&s->check);
	loop_io_stop(&s->queue_io);
	shut(s->queue_fd);
	if (s->dir)
		closedir(s->dir);
	map_release(&s->files, forget);
	arena_clear(&s->arena);
	free(s->scan);
	buf_release(&s->front);
	buf_release(&s->names);
	digest_free(&s->digest);
	shut(s->tmp_fd);
	shut(s->mail_fd);
	shut(s->note_fd);
	shut(s->damaged_fd);
	shut(s->conf.dir_fd);
	free(s);
}

/* ---- trouble ---- */

enum fault_code store_fault(int error)
{
	switch (error) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
	case EMFILE:
	case ENFILE:
		return FAULT_NO_DISK;
	case ENOMEM:
		return FAULT_NO_MEMORY;
	default:
		return FAULT_SPOOL_FAILED;
	}
}

void store_trouble(struct store *s, enum fault_code code, struct slice name, const char *what, int error)
{
	char note[128];

	snprintf(note, sizeof(note), "%s%s%s", what, error ? ": " : "", error ? strerror(error) : "");
	if (code == FAULT_NO_DISK)
		trouble_comes(&s->full, "spool_full", name, note, loop_now_ms(s->loop));
	else
		trouble_comes(&s->failed, "spool_failed", name, note, loop_now_ms(s->loop));
}

/* Tells the log, and who asked. */
static bool refuse(struct store *s, struct fault *f, const char *what, int error)
{
	enum fault_code code = store_fault(error);

	if (error == ENOSPC || error == EDQUOT) {
		/* Nothing more until the disk is asked again. */
		s->free_octets = 0;
		s->room_asked = true;
		s->room_ms = loop_now_ms(s->loop);
	}
	store_trouble(s, code, SLICE_NONE, what, error);
	return fault_note(f, code, 0, "%s: %s", what, strerror(error));
}

bool store_fsync(int fd)
{
	int got;

	do
		got = fsync(fd);
	while (got < 0 && errno == EINTR);
	return got == 0;
}

/* ---- room ---- */

static bool ask_disk(struct store *s, struct fault *f)
{
	struct statvfs v;

	if (s->room_asked && loop_now_ms(s->loop) - s->room_ms < STORE_ROOM_MS)
		return true;
	if (fstatvfs(s->conf.dir_fd, &v) < 0)
		return refuse(s, f, "statvfs", errno);
	s->free_octets = (uint64_t)v.f_bavail * v.f_frsize;
	/* A file system that makes them as needed says 0 of 0. */
	s->free_inodes = v.f_files == 0 ? UINT64_MAX : (uint64_t)v.f_favail;
	s->room_asked = true;
	s->room_ms = loop_now_ms(s->loop);
	return true;
}

bool store_room(struct store *s, uint64_t octets, struct fault *f)
{
	uint64_t free_octets;

	if (s->stopped)
		return fault_note(f, FAULT_SPOOL_FAILED, 0, "spool failed, not yet back");
	if (!ask_disk(s, f))
		return false;
	free_octets = s->free_octets > s->conf.reserve_octets ? s->free_octets - s->conf.reserve_octets : 0;
	if (octets < free_octets && s->free_inodes > STORE_INODES) {
		trouble_goes(&s->full, "spool_back", loop_now_ms(s->loop));
		trouble_goes(&s->failed, "spool_back", loop_now_ms(s->loop));
		return true;
	}
	store_trouble(s, FAULT_NO_DISK, SLICE_NONE, octets < free_octets ? "too few inodes are free" : "too little is free", 0);
	return fault_note(f, FAULT_NO_DISK, 0, "%llu octets and %llu inodes free", (unsigned long long)s->free_octets,
	    (unsigned long long)s->free_inodes);
}

/* ---- a file being written ---- */

/* Ordered by time, for those who look; unique by slot and counter. */
static void make_name(struct store *s, char name[SPOOL_NAME + 1])
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	snprintf(name, SPOOL_NAME + 1, "%012llx%04x%08x",
	    ((unsigned long long)t.tv_sec * 1000 + (unsigned long long)t.tv_nsec / 1000000) & 0xffffffffffff, s->conf.slot & 0xffff, s->counter++);
}

static void make_key(struct store *s, const char *name, unsigned char key[SPOOL_KEY])
{
	uint64_t a = map_hash(s->seed, slice_of(name, SPOOL_NAME)), b = map_hash(s->seed + 2, slice_of(name, SPOOL_NAME));

	memcpy(key, &a, 8);
	memcpy(key + 8, &b, 8);
}

struct store_out *store_out_new(struct store *s)
{
	struct store_out *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->fd = -1;
	for (int i = 0; i < NAME_TRIES && o->fd < 0 && (i == 0 || errno == EEXIST); i++) {
		make_name(s, o->name);
		snprintf(o->tmp, sizeof(o->tmp), "%ld.%s", (long)getpid(), o->name);
		o->fd = openat(s->tmp_fd, o->tmp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	}
	if (o->fd < 0) {
		int error = errno;

		free(o);
		errno = error;
		return NULL;
	}
	make_key(s, o->name, o->head.key);
	o->head.octets = SPOOL_ALIGN;
	o->puts_end = &o->puts;
	return o;
}

void store_out_free(struct store_out **o)
{
	shut((*o)->fd);
	free(*o);
	*o = NULL;
}

static bool out_failed(struct store_out *o, enum fault_code code, const char *what, int error)
{
	if (o->failed == FAULT_NONE) {
		o->failed = code;
		o->what = what;
		o->error = error;
	}
	return false;
}

bool store_write(int fd, struct iovec *iov, int n)
{
	while (n > 0) {
		ssize_t done = writev(fd, iov, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done == 0)
			errno = ENOSPC;
		if (done <= 0)
			return false;
		for (; n > 0 && (size_t)done >= iov->iov_len; iov++, n--)
			done -= (ssize_t)iov->iov_len;
		if (n > 0) {
			iov->iov_base = (char *)iov->iov_base + done;
			iov->iov_len -= (size_t)done;
		}
	}
	return true;
}

bool store_write_at(int fd, const void *octets, size_t n, uint64_t at)
{
	const char *from = octets;

	while (n > 0) {
		ssize_t done = pwrite(fd, from, n, (off_t)at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done == 0)
			errno = ENOSPC;
		if (done <= 0)
			return false;
		from += done;
		n -= (size_t)done;
		at += (uint64_t)done;
	}
	return true;
}

/* Tells the log, and later who asked. */
static bool out_refused(struct store *s, struct store_out *o, const char *what, int error)
{
	store_trouble(s, store_fault(error), slice_str(o->name), what, error);
	return out_failed(o, store_fault(error), what, error);
}

bool store_out_sync(struct store *s, struct store_out *o)
{
	unsigned char head[SPOOL_ALIGN];
	int fd = o->fd;

	if (o->failed != FAULT_NONE || o->synced)
		return o->synced;
	spool_file_write(head, &o->head);
	if (!store_write_at(fd, head, sizeof(head), 0))
		return out_refused(s, o, "write", errno);
	if (!store_fsync(fd)) {
		int error = errno;

		/* Its pages may count as clean now: no second try could tell. */
		trouble_comes(&s->unsynced, "spool_fsync_failed", slice_str(o->name), strerror(error), loop_now_ms(s->loop));
		return out_failed(o, FAULT_SPOOL_FAILED, "sync", error);
	}
	o->fd = -1;
	/* Interrupted, it is closed all the same. */
	if (close(fd) < 0 && errno != EINTR)
		return out_refused(s, o, "close", errno);
	o->synced = true;
	return true;
}

bool store_rename(int from_fd, const char *from, int to_fd, const char *to)
{
	if (renameat2(from_fd, from, to_fd, to, RENAME_NOREPLACE) == 0)
		return true;
	if (errno != EINVAL && errno != ENOSYS)
		return false;
	/* A file system that cannot. */
	if (linkat(from_fd, from, to_fd, to, 0) < 0)
		return false;
	(void)unlinkat(from_fd, from, 0);
	return true;
}

/* ---- putting ---- */

/* The content on its way to the file. */
struct gather {
	const struct store_message *m;
	size_t run, more;             /* the next of each */
	bool ended;                   /* there are no more */
	struct iovec iov[GATHER_MORE + GATHER_RUNS];
	int n;                        /* of these; the first GATHER_MORE are the caller's */
	size_t octets;                /* gathered, not written */
	uint64_t content_octets;      /* so far */
	unsigned line_octets;         /* of the empty line seen where it has to be */
	bool no_line;                 /* other octets stand there */
};

static bool next_run(struct gather *g, struct slice *run)
{
	if (g->run < g->m->run_count) {
		*run = g->m->runs[g->run++];
		return true;
	}
	return g->m->more && g->m->more(g->m->more_arg, g->more++, run);
}

/* Behind the header there is nothing, or the empty line. */
static void see_line(struct gather *g, struct slice run)
{
	uint64_t line = g->m->header_octets + (uint64_t)g->line_octets;

	while (g->line_octets < 2 && line >= g->content_octets && line - g->content_octets < run.n) {
		if (run.at[line - g->content_octets] != "\r\n"[g->line_octets])
			g->no_line = true;
		g->line_octets++;
		line++;
	}
}

static void gather(struct store *s, struct gather *g)
{
	struct slice run;

	g->n = GATHER_MORE;
	g->octets = 0;
	while (g->n < GATHER_MORE + GATHER_RUNS && g->octets < GATHER_OCTETS) {
		if (!next_run(g, &run)) {
			g->ended = true;
			return;
		}
		if (run.n == 0)
			continue;
		see_line(g, run);
		digest_add(s->digest, run);
		g->iov[g->n++] = (struct iovec){ (void *)(uintptr_t)run.at, run.n };
		g->octets += run.n;
		g->content_octets += run.n;
	}
}

static bool empty_line_fits(const struct gather *g)
{
	return !g->no_line && (g->content_octets == g->m->header_octets || g->line_octets == 2);
}

/* Room for a head, the envelope, marks. */
static bool make_front(struct store *s, const struct spool_envelope *e, struct spool_head *h, struct fault *f)
{
	struct buf *b = &s->front;

	buf_clear(b);
	buf_add(b, store_zeros(), SPOOL_HEAD);
	if (!spool_envelope_write(b, e))
		return buf_failed(b) ? fault_note(f, FAULT_NO_MEMORY, 0, "envelope for the spool") : fault_note(f, FAULT_INTERNAL, 0, "no envelope");
	h->envelope_octets = (uint32_t)(b->n - SPOOL_HEAD);
	h->marks = (uint32_t)(1 + e->rcpt_count);
	for (uint32_t i = 0; i < h->marks; i++)
		buf_octet(b, SPOOL_WAITING);
	if (buf_failed(b) || h->envelope_octets > LIMIT_SPOOL_ENVELOPE)
		return fault_note(f, FAULT_NO_MEMORY, 0, "envelope for the spool");
	return true;
}

static void end_head(struct store *s, const struct store_out *o, struct spool_head *h)
{
	unsigned char sum[DIGEST_OCTETS];

	digest_end(s->digest, sum);
	memcpy(h->content_sha256, sum, sizeof(h->content_sha256));
	spool_head_write(s->front.at, &o->head, h, slice_of(s->front.at + SPOOL_HEAD, h->envelope_octets));
}

/* Descriptors of a turn are bounded. */
static void sync_oldest(struct store *s)
{
	for (struct store_out *o = s->outs; o && s->outs_open >= STORE_OPEN_OUTS; o = o->next)
		if (o->fd >= 0 && o != s->open) {
			(void)store_out_sync(s, o);
			shut(o->fd);
			o->fd = -1;
			s->outs_open--;
		}
}

/* The file that a message of so many octets goes to. */
static struct store_out *out_for(struct store *s, uint64_t octets, bool lone, struct fault *f)
{
	struct store_out *o = s->open;

	if (o && !lone && o->head.messages < LIMIT_SPOOL_COMMIT && (o->head.messages == 0 || o->head.octets + octets <= LIMIT_SPOOL_COMMIT_OCTETS))
		return o;
	sync_oldest(s);
	o = store_out_new(s);
	if (!o) {
		refuse(s, f, "create", errno);
		return NULL;
	}
	o->lone = lone;
	*s->outs_end = o;
	s->outs_end = &o->next;
	s->outs_open++;
	if (!lone)
		s->open = o;
	loop_later(s->loop, &s->commit, on_commit_turn, s);
	return o;
}

/* All of it, from the octets in front of it to those that fill it up. */
static bool write_message(struct store *s, struct store_out *o, struct gather *g, struct spool_head *h)
{
	bool first = true;

	for (;;) {
		struct iovec *iov = g->iov + GATHER_MORE;
		int n = g->n - GATHER_MORE;
		size_t fill;

		if (g->ended) {
			h->content_octets = g->content_octets;
			fill = (size_t)(spool_end_at(h) - spool_content_at(h) - h->content_octets);
			if (first)
				end_head(s, o, h);
			if (fill) {
				g->iov[g->n] = (struct iovec){ (void *)(uintptr_t)store_zeros(), fill };
				n++;
			}
		}
		if (first) {
			*--iov = (struct iovec){ s->front.at, s->front.n };
			n++;
		}
		if (first && o->head.messages == 0) {
			*--iov = (struct iovec){ (void *)(uintptr_t)store_zeros(), SPOOL_ALIGN };
			n++;
		}
		if (!store_write(o->fd, iov, n))
			return false;
		if (g->ended)
			break;
		first = false;
		gather(s, g);
	}
	if (first)
		return true;
	end_head(s, o, h);
	return store_write_at(o->fd, s->front.at, SPOOL_HEAD, o->head.octets);
}

/* The others of the file live on. */
static void cut_back(struct store *s, struct store_out *o)
{
	off_t end = o->head.messages ? (off_t)o->head.octets : 0;

	if (ftruncate(o->fd, end) == 0 && lseek(o->fd, end, SEEK_SET) == end)
		return;
	out_failed(o, FAULT_SPOOL_FAILED, "cut back", errno);
	if (s->open == o)
		s->open = NULL;
}

static void link_put(struct store_out *o, struct store_put *p)
{
	p->next = NULL;
	p->at = o->puts_end;
	*o->puts_end = p;
	o->puts_end = &p->next;
}

static void unlink_put(struct store_out *o, struct store_put *p)
{
	*p->at = p->next;
	if (p->next)
		p->next->at = p->at;
	else
		o->puts_end = p->at;
	p->store = NULL;
	p->next = NULL;
	p->at = NULL;
	p->file = NULL;
}

bool store_put(struct store *s, struct store_put *p, const struct store_message *m, void (*on)(void *arg, const struct fault *f), void *arg,
    struct fault *f)
{
	struct gather g;
	struct spool_head h = { .header_octets = m->header_octets };
	struct store_out *o;
	uint64_t octets;

	BUG_ON(p->store);
	if (s->stopped)
		return store_room(s, 0, f);
	if (!make_front(s, m->envelope, &h, f))
		return false;
	digest_reset(s->digest);
	g.m = m;
	g.run = g.more = 0;
	g.ended = g.no_line = false;
	g.content_octets = 0;
	g.line_octets = 0;
	gather(s, &g);
	if (g.ended && !empty_line_fits(&g))
		return fault_note(f, FAULT_INTERNAL, 0, "header of %lu octets does not end there", (unsigned long)m->header_octets);
	octets = s->front.n + g.content_octets + SPOOL_ALIGN;
	if (!store_room(s, octets, f))
		return false;
	o = out_for(s, octets, !g.ended, f);
	if (!o)
		return false;
	if (!write_message(s, o, &g, &h)) {
		refuse(s, f, "write", errno);
		cut_back(s, o);
		return false;
	}
	if (!empty_line_fits(&g)) {
		cut_back(s, o);
		return fault_note(f, FAULT_INTERNAL, 0, "header of %lu octets does not end there", (unsigned long)m->header_octets);
	}
	octets = spool_end_at(&h);
	*p = (struct store_put){ .store = s, .file = o, .mark_at = o->head.octets + spool_marks_at(&h), .on = on, .arg = arg };
	link_put(o, p);
	o->head.octets += octets;
	o->head.messages++;
	o->live++;
	s->free_octets -= octets < s->free_octets ? octets : s->free_octets;
	return true;
}

void store_unput(struct store_put *p)
{
	struct store_out *o = p->file;
	unsigned char done = SPOOL_DONE;

	if (!p->store)
		return;
	/* Its client will come again. A file of none is not kept. */
	if (o->lone || (o->fd >= 0 && store_write_at(o->fd, &done, 1, p->mark_at)))
		o->live--;
	unlink_put(o, p);
}

/* ---- the commit ---- */

static bool out_finish(struct store *s, struct store_out *o)
{
	if (o->head.messages == 0 || o->live == 0)
		return false;
	if (!store_out_sync(s, o))
		return false;
	for (int i = 0; i < NAME_TRIES && !o->renamed; i++) {
		o->renamed = store_rename(s->tmp_fd, o->tmp, s->mail_fd, o->name);
		if (!o->renamed && errno != EEXIST)
			break;
		if (!o->renamed)
			make_name(s, o->name);
	}
	if (o->renamed)
		return true;
	return out_refused(s, o, "rename", errno);
}

/* Nobody knows what is in the folder now: what may stand there is taken back, and nothing more comes. */
static void stop(struct store *s, struct store_out *outs, int error)
{
	struct log_line l = log_begin(LOG_LEVEL_ERROR, "spool_fsync_failed");
	char note[128];

	snprintf(note, sizeof(note), "sync of the folder: %s; no mail is taken", strerror(error));
	log_str(&l, "note", note);
	log_end(&l);
	for (struct store_out *o = outs; o; o = o->next) {
		if (o->renamed)
			(void)unlinkat(s->mail_fd, o->name, 0);
		o->renamed = false;
		out_failed(o, FAULT_SPOOL_FAILED, "sync of the folder", error);
	}
	s->stopped = true;
	loop_timer_set(s->loop, &s->check, STORE_CHECK_MS, on_check, s);
}

static void call_back(struct store_out *o)
{
	while (o->puts) {
		struct store_put *p = o->puts;
		void (*on)(void *arg, const struct fault *f) = p->on;
		void *arg = p->arg;
		struct fault f = { 0 };

		unlink_put(o, p);
		if (o->failed != FAULT_NONE)
			fault_note(&f, o->failed, 0, "spool: %s: %s", o->what, strerror(o->error));
		on(arg, o->failed != FAULT_NONE ? &f : NULL);
	}
}

static void count(const struct store *s, enum count what, int64_t by)
{
	if (s->conf.counts)
		count_add(s->conf.counts, s->conf.slot, what, by);
}

static void on_commit_turn(void *arg)
{
	struct store *s = arg;
	struct store_out *outs = s->outs, *o;
	bool renamed = false;

	s->outs = s->open = NULL;
	s->outs_end = &s->outs;
	s->outs_open = 0;
	for (o = outs; o; o = o->next)
		if (out_finish(s, o))
			renamed = true;
	if (renamed && !store_fsync(s->mail_fd))
		stop(s, outs, errno);
	for (o = outs; o; o = o->next) {
		if (!o->renamed)
			(void)unlinkat(s->tmp_fd, o->tmp, 0);
		else
			count(s, COUNT_SPOOLED, o->live);
		count(s, COUNT_SPOOL_COMMITS, o->renamed);
		call_back(o);
	}
	while ((o = outs)) {
		outs = o->next;
		if (o->renamed)
			store_tell(s, slice_str(o->name));
		store_out_free(&o);
	}
	store_tell_now(s);
}

/* ---- whether it is good again ---- */

/* A file all the way, under a name that a scan leaves alone. */
static bool check(struct store *s)
{
	char tmp[32], name[32];
	struct iovec iov = { (void *)(uintptr_t)store_zeros(), SPOOL_ALIGN };
	bool good;
	int fd;

	snprintf(tmp, sizeof(tmp), "%ld.check", (long)getpid());
	snprintf(name, sizeof(name), "check.%ld", (long)getpid());
	(void)unlinkat(s->tmp_fd, tmp, 0);
	fd = openat(s->tmp_fd, tmp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	good = store_write(fd, &iov, 1) && store_fsync(fd);
	good = close(fd) == 0 && good;
	good = good && renameat(s->tmp_fd, tmp, s->mail_fd, name) == 0 && store_fsync(s->mail_fd);
	(void)unlinkat(s->tmp_fd, tmp, 0);
	(void)unlinkat(s->mail_fd, name, 0);
	return good;
}

static void on_check(void *arg)
{
	struct store *s = arg;
	struct log_line l;

	if (!check(s)) {
		loop_timer_set(s->loop, &s->check, STORE_CHECK_MS, on_check, s);
		return;
	}
	s->stopped = false;
	l = log_begin(LOG_LEVEL_INFO, "spool_back");
	log_end(&l);
}
