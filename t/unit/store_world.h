/*
 * store_world.h - a spool in a temporary folder, a loop, messages that are put and found; and calls to the system that fail when told.
 */
#ifndef STORE_WORLD_H
#define STORE_WORLD_H

#include "arena.h"
#include "files.h"
#include "spool_sample.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/statvfs.h>
#include <sys/uio.h>

#include "spool/store.h"

/* ---- calls ---- */

#define CALLS(X) X(close) X(fallocate64) X(fdatasync) X(fstatvfs64) X(fsync) X(ftruncate64) X(linkat) X(openat64) X(pread64) X(pwrite64) X(renameat2) X(send) X(unlinkat) X(writev)

struct call {
	unsigned n;     /* since the test began */
	unsigned good;  /* so many more succeed, then ... */
	unsigned fails; /* ... so many fail */
	int error;      /* with this; 0: half of it is done (writev, pread) */
};
#define X(name) static struct call call_##name;
CALLS(X)
#undef X

/* The next call fails; behind so many that do not. */
#define FAIL(name, behind, times, what) (call_##name.good = (behind), call_##name.fails = (times), call_##name.error = (what))

static inline bool call_fails(struct call *c)
{
	c->n++;
	if (c->fails == 0)
		return false;
	if (c->good > 0) {
		c->good--;
		return false;
	}
	c->fails--;
	errno = c->error;
	return true;
}

#define WRAP(type, name, parameters, arguments)                \
	type __real_##name parameters;                         \
	type __wrap_##name parameters;                         \
	type __wrap_##name parameters                          \
	{                                                      \
		if (call_fails(&call_##name))                  \
			return (type)-1;                       \
		return __real_##name arguments;                \
	}
WRAP(int, fallocate64, (int fd, int mode, off_t at, off_t n), (fd, mode, at, n))
WRAP(int, fstatvfs64, (int fd, struct statvfs *v), (fd, v))
WRAP(int, ftruncate64, (int fd, off_t n), (fd, n))
WRAP(int, linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags))
WRAP(ssize_t, pread64, (int fd, void *to, size_t n, off_t at), (fd, to, n, at))
WRAP(ssize_t, pwrite64, (int fd, const void *from, size_t n, off_t at), (fd, from, n, at))
WRAP(int, renameat2, (int a, const char *from, int b, const char *to, unsigned flags), (a, from, b, to, flags))
WRAP(ssize_t, send, (int fd, const void *from, size_t n, int flags), (fd, from, n, flags))
WRAP(int, unlinkat, (int fd, const char *name, int flags), (fd, name, flags))

/* No test pulls the plug, so that nothing has to reach the disk. */
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	(void)fd;
	return call_fails(&call_fsync) ? -1 : 0;
}

int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
	(void)fd;
	return call_fails(&call_fdatasync) ? -1 : 0;
}

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
	bool fails = call_fails(&call_close);
	int error = errno, got = __real_close(fd);

	if (!fails)
		return got;
	errno = error;
	return -1;
}

int __real_openat64(int dir, const char *name, int flags, ...);
int __wrap_openat64(int dir, const char *name, int flags, ...);
int __wrap_openat64(int dir, const char *name, int flags, ...)
{
	va_list ap;
	int mode;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, int) : 0;
	va_end(ap);
	return call_fails(&call_openat64) ? -1 : __real_openat64(dir, name, flags, mode);
}

ssize_t __real_writev(int fd, const struct iovec *iov, int n);
ssize_t __wrap_writev(int fd, const struct iovec *iov, int n);
ssize_t __wrap_writev(int fd, const struct iovec *iov, int n)
{
	if (!call_fails(&call_writev))
		return __real_writev(fd, iov, n);
	return errno ? -1 : write(fd, iov[0].iov_base, (iov[0].iov_len + 1) / 2);
}

/* ---- a spool ---- */

struct world {
	struct loop *loop;
	struct store *store;
	char dir[PATH_MAX];
	uint64_t reserve_octets;
	struct loop_later stop;
	struct loop_timer pause;
};
static struct world w;

static inline void world_open(void)
{
	struct store_conf conf = { .dir_fd = open(w.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .reserve_octets = w.reserve_octets, .slot = 7 };
	char error[256] = "";

	assert_true(conf.dir_fd >= 0);
	w.store = store_new(w.loop, &conf, error);
	if (!w.store)
		fail_msg("%s", error);
}

static inline int world_start(void **state)
{
	const char *tmp = getenv("TMPDIR");

	fresh_arena(state);
	memset(&w, 0, sizeof(w));
#define X(name) call_##name = (struct call){ 0 };
	CALLS(X)
#undef X
	snprintf(w.dir, sizeof(w.dir), "%s/store.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(w.dir) || !(w.loop = loop_new()))
		return -1;
	world_open();
	return 0;
}

static inline int world_end(void **state)
{
#define X(name) call_##name.fails = 0;
	CALLS(X)
#undef X
	store_free(&w.store);
	loop_timer_release(&w.pause);
	loop_free(&w.loop);
	drop_arena(state);
	return files_remove(w.dir) ? 0 : -1;
}

/* Another life of the process. */
static inline void world_again(void)
{
	store_free(&w.store);
	world_open();
}

static inline void world_stop(void *arg)
{
	loop_stop(arg);
}

/* To the end of the loop turn. */
static inline void turn(void)
{
	loop_later(w.loop, &w.stop, world_stop, w.loop);
	loop_run(w.loop);
}

/* Timers that are due in so many milliseconds fire. */
static inline void wait_ms(int64_t ms)
{
	loop_timer_set(w.loop, &w.pause, ms, world_stop, w.loop);
	loop_clock_advance(w.loop, ms);
	loop_run(w.loop);
}

static inline const char *in_dir(const char *folder, const char *name)
{
	return (const char *)arena_printf(&arena, "%s/%s/%s%c", w.dir, folder, name, 0).at;
}

/* Names in one of its folders, sorted; their number. */
static inline size_t names_in(const char *folder, struct slice *names, size_t room)
{
	struct dirent **list;
	int n = scandir(in_dir(folder, ""), &list, NULL, alphasort);
	size_t count = 0;

	assert_true(n >= 0);
	for (int i = 0; i < n; i++) {
		if (strcmp(list[i]->d_name, ".") != 0 && strcmp(list[i]->d_name, "..") != 0) {
			if (count < room)
				names[count] = slice_str(arena_string(&arena, slice_str(list[i]->d_name)));
			count++;
		}
		free(list[i]);
	}
	free(list);
	return count;
}

static inline size_t count_in(const char *folder)
{
	return names_in(folder, NULL, 0);
}

/* The only one there. */
static inline const char *name_in(const char *folder)
{
	struct slice name;

	assert_int_equal(names_in(folder, &name, 1), 1);
	return (const char *)name.at;
}

static inline struct slice content_of(const char *folder, const char *name)
{
	int fd = open(in_dir(folder, name), O_RDONLY | O_NONBLOCK);
	struct stat st;
	unsigned char *at;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	at = arena_take(&arena, (size_t)st.st_size);
	assert_int_equal(read(fd, at, (size_t)st.st_size), st.st_size);
	close(fd);
	return slice_of(at, (size_t)st.st_size);
}

static inline void change_file(const char *name, struct slice octets)
{
	put(in_dir("mail", name), octets, 0600);
}

/* ---- messages ---- */

struct sent {
	struct store_put put;
	unsigned told;
	enum fault_code code;
};

static inline void on_put(void *arg, const struct fault *f)
{
	struct sent *m = arg;

	m->told++;
	m->code = f ? f->code : FAULT_NONE;
}

static inline struct slice sample_content(size_t body_octets)
{
	static const char head[] = "Subject: x\r\n\r\n";
	unsigned char *at = arena_take(&arena, sizeof(head) - 1 + body_octets);

	memcpy(at, head, sizeof(head) - 1);
	for (size_t i = 0; i < body_octets; i++)
		at[sizeof(head) - 1 + i] = (unsigned char)('a' + (i * 7 + i / 4096) % 26);
	return slice_of(at, sizeof(head) - 1 + body_octets);
}
enum { SAMPLE_HEADER = 12 };

/* FAULT_NONE: it is on its way. */
static inline enum fault_code put_content(struct sent *m, const char *id, struct slice content)
{
	struct spool_envelope e = sample_envelope();
	struct store_message message = { .envelope = &e, .runs = &content, .run_count = 1, .header_octets = SAMPLE_HEADER };
	struct fault f = { 0 };

	e.id = slice_str(id);
	*m = (struct sent){ .told = 0 };
	return store_put(w.store, &m->put, &message, on_put, m, &f) ? FAULT_NONE : f.code;
}

static inline enum fault_code put_mail(struct sent *m, const char *id, size_t body_octets)
{
	return put_content(m, id, sample_content(body_octets));
}

/* ... and it is durable. */
static inline void mail(const char *id, size_t body_octets)
{
	struct sent m;

	assert_int_equal(put_mail(&m, id, body_octets), FAULT_NONE);
	turn();
	assert_int_equal(m.told, 1);
	assert_int_equal(m.code, FAULT_NONE);
}

/* What was found, in the order of ids. */
struct seen {
	struct seen_one {
		struct store_entry *entry;
		char id[33], marks[16];
	} at[600];
	size_t n;
};
static struct seen seen;

static inline void on_found(void *arg, struct store_entry *e, const struct spool_envelope *envelope, struct slice marks)
{
	struct seen_one *one = &seen.at[seen.n++];
	struct spool_envelope want = sample_envelope();

	(void)arg;
	assert_true(seen.n <= 600);
	one->entry = e;
	snprintf(one->id, sizeof(one->id), "%.*s", SLICE_FMT(envelope->id));
	snprintf(one->marks, sizeof(one->marks), "%.*s", SLICE_FMT(marks));
	want.id = envelope->id;
	want_same_envelope(envelope, &want);
}

static inline int by_id(const void *a, const void *b)
{
	return strcmp(((const struct seen_one *)a)->id, ((const struct seen_one *)b)->id);
}

static inline void scan(void)
{
	seen.n = 0;
	while (store_scan(w.store, 3, on_found, NULL))
		;
	qsort(seen.at, seen.n, sizeof(seen.at[0]), by_id);
}

/* Their ids, one behind the other. */
static inline void want_seen(const char *ids)
{
	struct buf b;

	buf_init(&b, 65536);
	for (size_t i = 0; i < seen.n; i++) {
		buf_str(&b, i ? " " : "");
		buf_str(&b, seen.at[i].id);
	}
	WANT_SLICE(buf_get(&b), slice_str(ids));
	buf_release(&b);
}

static inline void scan_again(void)
{
	world_again();
	scan();
}

/* Its content is that of put_mail(). */
static inline void want_content(struct store_entry *e, size_t body_octets)
{
	struct slice header, body;
	struct fault f = { 0 };

	if (!store_open(w.store, e, &header, &body, &f))
		fail_msg("%s", f.note);
	WANT_SLICE(header, slice_sub(sample_content(body_octets), 0, SAMPLE_HEADER));
	WANT_SLICE(body, slice_sub(sample_content(body_octets), SAMPLE_HEADER + 2, SIZE_MAX));
	store_close(w.store, e);
}

#endif
