/*
 * store_entry.c - messages of committed files: read, marked, removed; and notes about them.
 */
#include "spool/store_in.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"

/* Room is given back in whole blocks of the file system, which mostly have so many octets, and only where it is worth a call. */
enum { BLOCK_OCTETS = 4096, HOLE_OCTETS = 16384 };

size_t store_files(const struct store *s)
{
	return s->files.n;
}

size_t store_entries(const struct store *s)
{
	return s->entries;
}

struct slice store_name(const struct store_entry *e)
{
	return slice_of(e->file->name, SPOOL_NAME);
}

uint64_t store_octets(const struct store_entry *e)
{
	return e->content_octets;
}

/* ---- files ---- */

struct store_file *store_file_new(struct store *s, const struct spool_file *head, struct slice name)
{
	struct store_file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->head = *head;
	f->fd = -1;
	memcpy(f->name, name.at, SPOOL_NAME);
	if (map_put(&s->files, name, f, NULL))
		return f;
	free(f);
	return NULL;
}

static void take_from_open(struct store *s, struct store_file *f)
{
	if (f->open_before)
		f->open_before->open_next = f->open_next;
	else
		s->opened = f->open_next;
	if (f->open_next)
		f->open_next->open_before = f->open_before;
	else
		s->opened_last = f->open_before;
	f->open_next = f->open_before = NULL;
	s->opened_count--;
}

static void put_first(struct store *s, struct store_file *f)
{
	f->open_next = s->opened;
	if (s->opened)
		s->opened->open_before = f;
	else
		s->opened_last = f;
	s->opened = f;
	s->opened_count++;
}

void store_file_close(struct store *s, struct store_file *f)
{
	if (f->fd < 0)
		return;
	close(f->fd);
	f->fd = -1;
	take_from_open(s, f);
}

int store_file_open(struct store *s, struct store_file *f)
{
	if (f->fd >= 0) {
		take_from_open(s, f);
		put_first(s, f);
		return f->fd;
	}
	f->fd = openat(s->mail_fd, f->name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (f->fd < 0)
		return -1;
	while (s->opened_count >= STORE_OPEN_FILES)
		store_file_close(s, s->opened_last);
	put_first(s, f);
	return f->fd;
}

static void take_from_changed(struct store_file *f)
{
	if (!f->listed)
		return;
	*f->changed_at = f->changed_next;
	if (f->changed_next)
		f->changed_next->changed_at = f->changed_at;
	f->listed = false;
}

static void entry_free(struct store *s, struct store_entry *e)
{
	if (e->held)
		e->opens = 1;
	store_close(s, e);
	*e->at = e->next;
	if (e->next)
		e->next->at = e->at;
	if (!e->done)
		s->entries--;
	free(e);
}

void store_file_forget(struct store *s, struct store_file *f)
{
	while (f->entries)
		entry_free(s, f->entries);
	take_from_changed(f);
	store_file_close(s, f);
	(void)map_take(&s->files, slice_of(f->name, SPOOL_NAME));
	free(f);
}

void store_file_remove(struct store *s, struct store_file *f)
{
	if (f->damaged)
		(void)store_aside(s, f->name, "damaged, nothing left to be done");
	else if (unlinkat(s->mail_fd, f->name, 0) < 0 && errno != ENOENT)
		store_trouble(s, FAULT_SPOOL_FAILED, slice_of(f->name, SPOOL_NAME), "remove", errno);
	s->unlinked = true;
	store_sync_soon(s);
	store_file_forget(s, f);
}

/* Only messages that are done are in memory still. */
static bool none_in_use(const struct store_file *f)
{
	for (const struct store_entry *e = f->entries; e; e = e->next)
		if (!e->done)
			return false;
	return true;
}

void store_file_less(struct store *s, struct store_file *f)
{
	if (f->pinned)
		return;
	if (f->left == 0)
		store_file_remove(s, f);
	else if (!f->marked && none_in_use(f))
		store_file_forget(s, f);
}

struct store_entry *store_entry_new(struct store *s, struct store_file *f, uint64_t from, const struct spool_head *head)
{
	struct store_entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->file = f;
	e->from = from;
	e->content_octets = head->content_octets;
	e->envelope_octets = head->envelope_octets;
	e->header_octets = head->header_octets;
	e->marks = head->marks;
	e->early = !s->notes_known;
	e->next = f->entries;
	e->at = &f->entries;
	if (e->next)
		e->next->at = &e->next;
	f->entries = e;
	s->entries++;
	return e;
}

/* ---- reading ---- */

/* False: errno tells; 0: the file ends before. */
static bool read_at(int fd, void *octets, size_t n, uint64_t at)
{
	char *to = octets;

	while (n > 0) {
		ssize_t got = pread(fd, to, n, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0)
			errno = 0;
		if (got <= 0)
			return false;
		to += got;
		n -= (size_t)got;
		at += (uint64_t)got;
	}
	return true;
}

static uint64_t front_octets(const struct store_entry *e)
{
	return SPOOL_HEAD + (uint64_t)e->envelope_octets + e->marks;
}

static bool same_head(const struct store_entry *e, const struct spool_head *h)
{
	return h->envelope_octets == e->envelope_octets && h->marks == e->marks && h->header_octets == e->header_octets &&
	    h->content_octets == e->content_octets;
}

bool store_envelope(struct store *s, struct store_entry *e, struct arena *a, struct spool_envelope *out, struct slice *marks_out)
{
	size_t n = (size_t)front_octets(e);
	unsigned char *octets = arena_take(a, n);
	struct slice envelope, marks;
	struct spool_head h;
	int fd;

	if (!octets)
		return false;
	fd = store_file_open(s, e->file);
	if (fd < 0 || !read_at(fd, octets, n, e->from)) {
		store_trouble(s, FAULT_SPOOL_FAILED, store_name(e), "read", errno);
		return false;
	}
	envelope = slice_of(octets + SPOOL_HEAD, e->envelope_octets);
	marks = slice_of(octets + SPOOL_HEAD + e->envelope_octets, e->marks);
	if (!spool_head_read(slice_of(octets, SPOOL_HEAD), &h) || !same_head(e, &h) ||
	    !spool_head_fits(&e->file->head, slice_of(octets, SPOOL_HEAD), envelope) || !spool_marks(marks) ||
	    !spool_envelope_read(a, envelope, out))
		return false;
	*marks_out = marks;
	return true;
}

/* Read, so that what the disk cannot give is an error and no signal; what is mapped afterwards is in memory by then. */
static bool sum_file(struct store *s, int fd, uint64_t at, uint64_t octets)
{
	unsigned char *chunk = malloc(STORE_CHUNK);
	bool good = chunk != NULL;

	while (good && octets > 0) {
		size_t n = octets < STORE_CHUNK ? (size_t)octets : STORE_CHUNK;

		good = read_at(fd, chunk, n, at);
		if (good)
			digest_add(s->digest, slice_of(chunk, n));
		at += n;
		octets -= n;
	}
	free(chunk);
	return good;
}

static bool hold_memory(struct store_entry *e, int fd)
{
	size_t n = (size_t)e->content_octets;

	e->held = malloc(n ? n : 1);
	if (!e->held || !read_at(fd, e->held, n, e->from + front_octets(e)))
		return false;
	e->skip = 0;
	return true;
}

static bool hold_map(struct store_entry *e, int fd)
{
	uint64_t at = e->from + front_octets(e), page = at - at % (uint64_t)sysconf(_SC_PAGESIZE);
	void *map;

	e->skip = (size_t)(at - page);
	e->map_octets = e->skip + (size_t)e->content_octets;
	map = mmap(NULL, e->map_octets, PROT_READ, MAP_SHARED, fd, (off_t)page);
	if (map == MAP_FAILED) {
		e->map_octets = 0;
		return false;
	}
	e->held = map;
	return true;
}

/* errno 0: it is not what was put there. */
static bool hold_checked(struct store *s, struct store_entry *e)
{
	bool small = e->content_octets <= STORE_MEMORY;
	unsigned char octets[SPOOL_HEAD], sum[DIGEST_OCTETS];
	struct spool_head h;
	int fd = store_file_open(s, e->file);

	if (fd < 0) {
		/* Gone, and not by us: it will not come back. */
		errno = errno == ENOENT ? 0 : errno;
		return false;
	}
	if (e->checked)
		return small ? hold_memory(e, fd) : hold_map(e, fd);
	digest_reset(s->digest);
	if (!read_at(fd, octets, sizeof(octets), e->from))
		return false;
	if (small && !hold_memory(e, fd))
		return false;
	if (small)
		digest_add(s->digest, slice_of(e->held, (size_t)e->content_octets));
	else if (!sum_file(s, fd, e->from + front_octets(e), e->content_octets) || !hold_map(e, fd))
		return false;
	digest_end(s->digest, sum);
	errno = 0;
	e->checked = spool_head_read(slice_of(octets, sizeof(octets)), &h) && same_head(e, &h) && memcmp(sum, h.content_sha256, 32) == 0;
	return e->checked;
}

static void let_go(struct store_entry *e)
{
	if (e->map_octets)
		munmap(e->held, e->map_octets);
	else
		free(e->held);
	e->held = NULL;
	e->map_octets = 0;
}

bool store_open(struct store *s, struct store_entry *e, struct slice *header_out, struct slice *body_out, struct fault *f)
{
	struct slice content;

	if (!e->held && !hold_checked(s, e)) {
		int error = errno;

		let_go(e);
		if (error == 0)
			return fault_note(f, FAULT_MALFORMED, 0, "content is not what was put into the spool");
		store_trouble(s, FAULT_SPOOL_FAILED, store_name(e), "read", error);
		return fault_note(f, FAULT_INTERNAL, 0, "spool: read: %s", strerror(error));
	}
	e->opens++;
	content = slice_of(e->held + e->skip, (size_t)e->content_octets);
	*header_out = slice_sub(content, 0, e->header_octets);
	*body_out = slice_sub(content, e->header_octets + (size_t)2, SIZE_MAX);
	return true;
}

void store_close(struct store *s, struct store_entry *e)
{
	(void)s;
	if (e->held && --e->opens == 0)
		let_go(e);
}

/* ---- marking ---- */

void store_sync_soon(struct store *s)
{
	if (s->sync.due_ms == 0)
		loop_timer_set(s->loop, &s->sync, STORE_SYNC_MS, store_sync, s);
}

static void changed(struct store *s, struct store_file *f)
{
	if (!f->listed) {
		f->listed = true;
		f->changed_next = s->changed;
		f->changed_at = &s->changed;
		if (s->changed)
			s->changed->changed_at = &f->changed_next;
		s->changed = f;
	}
	store_sync_soon(s);
}

/* Needs no room: the octet is there already. */
static bool write_marks(struct store *s, struct store_entry *e, uint32_t first, const unsigned char *marks, size_t count)
{
	int fd = store_file_open(s, e->file);
	ssize_t n = -1;

	if (fd >= 0)
		do
			n = pwrite(fd, marks, count, (off_t)(e->from + SPOOL_HEAD + e->envelope_octets + first));
		while (n < 0 && errno == EINTR);
	if (n != (ssize_t)count) {
		store_trouble(s, FAULT_SPOOL_FAILED, store_name(e), "mark", n < 0 ? errno : EIO);
		return false;
	}
	e->file->marked = true;
	changed(s, e->file);
	return true;
}

static bool write_mark(struct store *s, struct store_entry *e, uint32_t at, enum spool_mark mark)
{
	unsigned char octet = (unsigned char)mark;

	return write_marks(s, e, at, &octet, 1);
}

bool store_mark(struct store *s, struct store_entry *e, int rcpt, enum spool_mark mark)
{
	BUG_ON(rcpt < STORE_MESSAGE || rcpt >= (int)e->marks - 1);
	return write_mark(s, e, (uint32_t)(rcpt + 1), mark);
}

bool store_mark_all(struct store *s, struct store_entry *e, const size_t *rcpts, size_t n, enum spool_mark mark)
{
	unsigned char marks[LIMIT_RCPT];
	size_t count;
	int fd;

	BUG_ON(n == 0 || rcpts[n - 1] < rcpts[0] || rcpts[n - 1] >= e->marks - 1);
	if (n == 1)
		return write_mark(s, e, (uint32_t)rcpts[0] + 1, mark);
	/* What stands between them is nobody else's to write. */
	count = rcpts[n - 1] - rcpts[0] + 1;
	fd = store_file_open(s, e->file);
	if (fd < 0 || pread(fd, marks, count, (off_t)(e->from + SPOOL_HEAD + e->envelope_octets + rcpts[0] + 1)) != (ssize_t)count) {
		store_trouble(s, FAULT_SPOOL_FAILED, store_name(e), "mark", fd < 0 ? errno : EIO);
		return false;
	}
	for (size_t i = 0; i < n; i++)
		marks[rcpts[i] - rcpts[0]] = (unsigned char)mark;
	return write_marks(s, e, (uint32_t)rcpts[0] + 1, marks, count);
}

/* The blocks that no other message has a part in. */
static bool hole_of(const struct store_entry *e, uint64_t *from_out, uint64_t *n_out)
{
	uint64_t from = e->from + front_octets(e), end = from + e->content_octets;

	from = (from + BLOCK_OCTETS - 1) / BLOCK_OCTETS * BLOCK_OCTETS;
	end = end / BLOCK_OCTETS * BLOCK_OCTETS;
	if (e->file->damaged || end < from + HOLE_OCTETS)
		return false;
	*from_out = from;
	*n_out = end - from;
	return true;
}

static void sync_marks(struct store *s, struct store_file *f)
{
	int fd = store_file_open(s, f), got = -1;

	if (fd >= 0)
		do
			got = fdatasync(fd);
		while (got < 0 && errno == EINTR);
	if (got < 0)
		trouble_comes(&s->unsynced, "spool_fsync_failed", slice_of(f->name, SPOOL_NAME), strerror(errno), loop_now_ms(s->loop));
	f->marked = false;
	/* With a hole in it, it must not look like one to be sent. */
	if (got < 0)
		f->holes = false;
}

static void give_back(struct store *s, struct store_file *f)
{
	struct store_entry *e, *next;
	int fd = store_file_open(s, f);

	f->holes = false;
	for (e = f->entries; e; e = next) {
		uint64_t from, n;

		next = e->next;
		if (!e->done)
			continue;
		/* A file system that cannot gives it back with the file. */
		if (fd >= 0 && hole_of(e, &from, &n))
			(void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)n);
		entry_free(s, e);
	}
}

void store_sync(void *arg)
{
	struct store *s = arg;
	struct store_file *f, *next;

	for (f = s->changed; f; f = next) {
		next = f->changed_next;
		if (f->marked)
			sync_marks(s, f);
		if (f->holes && loop_now_ms(s->loop) >= f->holes_ms)
			give_back(s, f);
		if (!f->holes)
			take_from_changed(f);
		if (none_in_use(f))
			store_file_forget(s, f);
	}
	if (s->changed)
		store_sync_soon(s);
	if (s->unlinked && !store_fsync(s->mail_fd))
		trouble_comes(&s->unsynced, "spool_fsync_failed", S("mail"), strerror(errno), loop_now_ms(s->loop));
	s->unlinked = false;
}

/* ---- removing ---- */

enum { NOTE_NAME = SPOOL_NAME + 27 };

static void note_name(const struct store_entry *e, uint32_t copy, char name[NOTE_NAME])
{
	snprintf(name, NOTE_NAME, "%s.%" PRIx64 ".%" PRIx32, e->file->name, e->from, copy);
}

/* Those that the first look at their folder has not come to are unlinked by it, since they have no message any more. */
static void drop_notes(struct store *s, struct store_entry *e)
{
	char name[NOTE_NAME];

	for (uint32_t i = 0; i < e->notes; i++) {
		note_name(e, i, name);
		(void)unlinkat(s->note_fd, name, 0);
	}
	e->notes = 0;
}

void store_done(struct store *s, struct store_entry **ep)
{
	struct store_entry *e = *ep;
	struct store_file *f = e->file;
	uint64_t from, n;
	bool marked;

	*ep = NULL;
	if (e->held)
		let_go(e);
	drop_notes(s, e);
	f->left--;
	/* The file goes, and the mark with it. */
	marked = (f->left == 0 && !f->pinned && !f->damaged) || write_mark(s, e, 0, SPOOL_DONE);
	e->done = true;
	s->entries--;
	if (!marked || f->left == 0 || !hole_of(e, &from, &n)) {
		entry_free(s, e);
	} else {
		if (!f->holes)
			f->holes_ms = loop_now_ms(s->loop) + STORE_HOLE_MS;
		f->holes = true;
		changed(s, f);
	}
	store_file_less(s, f);
}

void store_drop(struct store *s, struct store_entry **ep)
{
	struct store_entry *e = *ep;
	struct store_file *f = e->file;

	*ep = NULL;
	entry_free(s, e);
	store_file_less(s, f);
}

/* ---- notes ---- */

bool store_note(struct store *s, struct store_entry *e, uint32_t copy, struct slice octets)
{
	unsigned char head[SPOOL_NOTE_HEAD];
	struct iovec iov[2] = { { head, sizeof(head) }, { (void *)(uintptr_t)octets.at, octets.n } };
	char name[NOTE_NAME], tmp[STORE_TMP_NAME + NOTE_NAME];
	bool good;
	int fd;

	BUG_ON(copy >= LIMIT_RCPT);
	if (octets.n > LIMIT_SPOOL_NOTE)
		return false;
	note_name(e, copy, name);
	snprintf(tmp, sizeof(tmp), "%ld.%s", (long)getpid(), name);
	fd = openat(s->tmp_fd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	spool_note_write(head, octets);
	good = store_write(fd, iov, octets.n ? 2 : 1);
	good = close(fd) == 0 && good;
	if (good && renameat(s->tmp_fd, tmp, s->note_fd, name) == 0) {
		if (e->notes <= copy)
			e->notes = copy + 1;
		return true;
	}
	(void)unlinkat(s->tmp_fd, tmp, 0);
	return false;
}

struct slice store_note_read(struct store *s, struct store_entry *e, uint32_t copy, struct arena *a)
{
	struct slice note = SLICE_NONE;
	unsigned char *octets;
	char name[NOTE_NAME];
	struct stat st;
	int fd;

	if (copy >= e->notes && (!e->early || s->notes_known))
		return SLICE_NONE;
	note_name(e, copy, name);
	fd = openat(s->note_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return SLICE_NONE;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= SPOOL_NOTE_HEAD + LIMIT_SPOOL_NOTE) {
		octets = arena_take(a, (size_t)st.st_size);
		if (!octets || !read_at(fd, octets, (size_t)st.st_size, 0) || !spool_note_read(slice_of(octets, (size_t)st.st_size), &note))
			note = SLICE_NONE;
	}
	close(fd);
	return note;
}
