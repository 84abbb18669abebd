/*
 * faults.c - stands before the C library in a daemon under test: calls that fail, do half of it, kill, or wait, as the rules on a page
 * shared with the test have it (faults.h), and a record of what was done to the spool. Nothing of the program knows of it.
 *
 *	LD_PRELOAD=libfaults.so HOPSEAL_FAULTS=PAGE hopseal -f -c FILE
 *
 * The page is mapped once, before main(), and is there in every child. Calls are passed on as system calls. A child may not be allowed to
 * kill the supervisor: a thread of the supervisor waits to be asked to.
 */
#undef _FILE_OFFSET_BITS /* both names of a call are wanted, and where this runs they mean the same */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "faults.h"

enum { PATH_ROOM = 1024, IOV_ROOM = 1024, WHOLE_ROOM = 65536 };
/* What is written down: all that changes what a file system holds, and what is promised to a client. */
enum {
	CALLS_KEPT = CALL_CREATE | CALL_WRITE | CALL_PWRITE | CALL_FSYNC | CALL_FDATASYNC | CALL_RENAME | CALL_LINK | CALL_UNLINK | CALL_FALLOCATE |
	    CALL_TRUNCATE | CALL_MKDIR | CALL_SEND,
	PLACES_KEPT = PLACE_ELSEWHERE - 1
};

static struct faults_page *page;

/* ---- what a call is about ---- */

struct deed {
	uint32_t call, place, to_place;
	uint16_t peer, local;
	int fd;                 /* a socket; -1: none */
	bool kept;              /* to be written down; the lock is held */
	char path[PATH_ROOM], to[PATH_ROOM];
	const struct iovec *iov;
	size_t iov_count;
};

static bool load(const uint32_t *at, uint32_t bits)
{
	return (__atomic_load_n(at, __ATOMIC_ACQUIRE) & bits) != 0;
}

static bool recording(void)
{
	return __atomic_load_n(&page->record_room, __ATOMIC_ACQUIRE) != 0;
}

static bool watched(uint32_t calls)
{
	return page && (load(&page->calls, calls) || ((calls & CALLS_KEPT) && recording()));
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static uint32_t place_of(const char *path)
{
	static const struct {
		const char *name;
		uint32_t folder, file;
	} folders[] = {
		{ "tmp", PLACE_TMP_DIR, PLACE_TMP },
		{ "mail", PLACE_MAIL_DIR, PLACE_MAIL },
		{ "note", PLACE_NOTE_DIR, PLACE_NOTE },
		{ "damaged", PLACE_DAMAGED_DIR, PLACE_DAMAGED },
	};
	size_t n = strlen(page->spool);

	if (!n || strncmp(path, page->spool, n) != 0 || (path[n] != '\0' && path[n] != '/'))
		return PLACE_ELSEWHERE;
	path += n;
	while (*path == '/')
		path++;
	if (!*path || strcmp(path, ".") == 0)
		return PLACE_SPOOL;
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		const char *name = folders[i].name;

		if (!begins(path, name))
			continue;
		if (path[strlen(name)] == '\0' || strcmp(path + strlen(name), "/") == 0)
			return folders[i].folder;
		if (path[strlen(name)] == '/')
			return folders[i].file;
	}
	return PLACE_BELOW;
}

static void path_of(int fd, char out[PATH_ROOM])
{
	char link[32];
	ssize_t n;

	if (fd == AT_FDCWD)
		snprintf(link, sizeof(link), "/proc/self/cwd");
	else
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, out, PATH_ROOM - 1);
	out[n > 0 ? n : 0] = '\0';
}

static void path_at(int fd, const char *name, char out[PATH_ROOM])
{
	size_t n;

	if (name[0] == '/') {
		snprintf(out, PATH_ROOM, "%s", name);
		return;
	}
	path_of(fd, out);
	n = strlen(out);
	snprintf(out + n, PATH_ROOM - n, "/%s", name);
}

static uint16_t port_of(const struct sockaddr *a)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	if (a->sa_family == AF_INET) {
		memcpy(&in, a, sizeof(in));
		return ntohs(in.sin_port);
	}
	if (a->sa_family == AF_INET6) {
		memcpy(&in6, a, sizeof(in6));
		return ntohs(in6.sin6_port);
	}
	return 0;
}

static void about_fd(struct deed *d, int fd)
{
	struct stat st;
	struct sockaddr_storage name;
	socklen_t n = sizeof(name);

	d->fd = -1;
	if (fstat(fd, &st) < 0)
		return;
	if (!S_ISSOCK(st.st_mode)) {
		path_of(fd, d->path);
		d->place = place_of(d->path);
		return;
	}
	d->fd = fd;
	d->place = PLACE_UNIX;
	if (getsockname(fd, (struct sockaddr *)&name, &n) < 0 || (name.ss_family != AF_INET && name.ss_family != AF_INET6))
		return;
	d->place = PLACE_PEER | PLACE_LOCAL;
	d->local = port_of((struct sockaddr *)&name);
	n = sizeof(name);
	if (getpeername(fd, (struct sockaddr *)&name, &n) == 0)
		d->peer = port_of((struct sockaddr *)&name);
}

static void about_path(struct deed *d, int dir, const char *name)
{
	path_at(dir, name, d->path);
	d->place = place_of(d->path);
}

static void about_to(struct deed *d, int dir, const char *name)
{
	path_at(dir, name, d->to);
	d->to_place = place_of(d->to);
}

/* ---- rules ---- */

/* What is said in one call is looked at as a whole, also where it stands in several places. */
static bool holds(const struct iovec *iov, size_t count, size_t octets, const struct faults_rule *r)
{
	static unsigned char whole[WHOLE_ROOM];
	size_t n = 0;

	for (size_t i = 0; i < count && octets; i++) {
		size_t run = iov[i].iov_len < octets ? iov[i].iov_len : octets;

		octets -= run;
		if (run > sizeof(whole) - n) {
			if (n && memmem(whole, n, r->needle, r->needle_octets))
				return true;
			n = 0;
		}
		if (run > sizeof(whole)) {
			if (memmem(iov[i].iov_base, run, r->needle, r->needle_octets))
				return true;
			continue;
		}
		memcpy(whole + n, iov[i].iov_base, run);
		n += run;
	}
	return n && memmem(whole, n, r->needle, r->needle_octets);
}

static bool fits(const struct faults_rule *r, const struct deed *d, size_t octets, const char *role)
{
	uint32_t place = d->place;

	if (!(r->calls & d->call))
		return false;
	if (r->port) {
		if (d->peer != r->port)
			place &= ~(uint32_t)PLACE_PEER;
		if (d->local != r->port)
			place &= ~(uint32_t)PLACE_LOCAL;
	}
	return (r->places & place) != 0 && (!r->to || (r->to & d->to_place) != 0) && begins(role, r->role) &&
	    (!r->needle_octets || holds(d->iov, d->iov_count, octets, r));
}

/* The first rule that acts now; all that match count it. */
static struct faults_rule *rule_of(const struct deed *d, bool after, size_t octets)
{
	struct faults_rule *acts = NULL;
	char role[16];

	if (!load(&page->calls, d->call) || prctl(PR_GET_NAME, role) < 0)
		return NULL;
	for (size_t i = 0; i < FAULTS_RULES; i++) {
		struct faults_rule *r = &page->rules[i];
		uint32_t nth;

		if (!__atomic_load_n(&r->calls, __ATOMIC_ACQUIRE) || (r->after != 0) != after || !fits(r, d, octets, role))
			continue;
		nth = __atomic_add_fetch(&r->matched, 1, __ATOMIC_ACQ_REL);
		if (!acts && r->first && nth >= r->first && nth <= r->last)
			acts = r;
	}
	if (acts)
		__atomic_add_fetch(&acts->acted, 1, __ATOMIC_ACQ_REL);
	return acts;
}

static void futex(uint32_t *at, int op, uint32_t value)
{
	syscall(SYS_futex, at, op, value, NULL, NULL, 0);
}

static void kill_all(void)
{
	if (getpgrp() == getpid())
		kill(-getpid(), SIGKILL);
	kill(getpid(), SIGKILL);
}

static void doom(void)
{
	__atomic_store_n(&page->doom, 1, __ATOMIC_RELEASE);
	futex(&page->doom, FUTEX_WAKE, 1);
	if (page->supervisor == (uint32_t)getpid())
		kill_all();
	for (;;)
		pause();
}

/* True: the call has failed, errno tells. */
static bool act(const struct deed *d, struct faults_rule *r)
{
	switch (r->action) {
	case ACT_FAIL:
		/* One that is reset says so to whoever reads, too. */
		if ((r->error == ECONNRESET || r->error == EPIPE) && d->fd >= 0)
			shutdown(d->fd, SHUT_RDWR);
		errno = r->error;
		return true;
	case ACT_KILL:
		kill(getpid(), SIGKILL);
		break;
	case ACT_DOOM:
		doom();
		break;
	case ACT_PAUSE:
		__atomic_add_fetch(&r->held, 1, __ATOMIC_ACQ_REL);
		while (!__atomic_load_n(&r->gate, __ATOMIC_ACQUIRE))
			nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
		__atomic_sub_fetch(&r->held, 1, __ATOMIC_ACQ_REL);
		break;
	default:
		break;
	}
	return false;
}

/* True: the call is not made. */
static bool before(const struct deed *d)
{
	struct faults_rule *r = rule_of(d, false, 0);

	return r && act(d, r);
}

/* What the caller hears. */
static long after(const struct deed *d, long got, size_t octets)
{
	int error = errno;
	struct faults_rule *r = rule_of(d, true, octets);

	if (r && act(d, r))
		return -1;
	errno = error;
	return got;
}

/* ---- the record ---- */

static void keep_begin(struct deed *d)
{
	bool told = d->call == CALL_SEND && (d->local || d->peer);

	if (!(d->call & CALLS_KEPT) || !recording())
		return;
	if (told) {
		told = false;
		for (size_t i = 0; i < FAULTS_PORTS; i++)
			told |= page->ports[i] && (page->ports[i] == d->local || page->ports[i] == d->peer);
	}
	if (!told && !((d->place | d->to_place) & PLACES_KEPT))
		return;
	while (__atomic_exchange_n(&page->record_lock, 1, __ATOMIC_ACQUIRE))
		sched_yield();
	d->kept = true;
}

static unsigned char *put(unsigned char *to, const void *octets, size_t n)
{
	memcpy(to, octets, n);
	return to + n;
}

/* at: where in the file; octets: of iov; nothing when the call failed. */
static void keep_end(const struct deed *d, bool done, int fd, uint64_t at, size_t octets)
{
	struct faults_line line = { .call = d->call, .at = at, .pid = (uint32_t)getpid() };
	int error = errno;
	struct stat st;
	size_t n;

	if (!d->kept)
		return;
	if (fd >= 0 && fstat(fd, &st) == 0)
		line.inode = st.st_ino;
	line.path_octets = (uint32_t)strlen(d->path);
	line.to_octets = (uint32_t)strlen(d->to);
	line.data_octets = (uint32_t)octets;
	n = (sizeof(line) + line.path_octets + line.to_octets + octets + 7) & ~(size_t)7;
	line.octets = (uint32_t)n;
	if (done && page->record_at + n > page->record_room) {
		page->record_lost++;
	} else if (done) {
		unsigned char *to = (unsigned char *)page + page->record_begin + page->record_at;

		to = put(to, &line, sizeof(line));
		to = put(to, d->path, line.path_octets);
		to = put(to, d->to, line.to_octets);
		for (size_t i = 0; i < d->iov_count && octets; i++) {
			size_t run = d->iov[i].iov_len < octets ? d->iov[i].iov_len : octets;

			to = put(to, d->iov[i].iov_base, run);
			octets -= run;
		}
		page->record_at += n;
	}
	__atomic_store_n(&page->record_lock, 0, __ATOMIC_RELEASE);
	errno = error;
}

/* ---- calls that write ---- */

static size_t iov_octets(const struct iovec *iov, size_t count)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		n += iov[i].iov_len;
	return n;
}

/* At most so many octets of them; returns how many runs. */
static size_t iov_cut(struct iovec *out, const struct iovec *iov, size_t count, size_t octets)
{
	size_t n = 0;

	for (; n < count && n < IOV_ROOM && octets; n++) {
		out[n] = iov[n];
		if (out[n].iov_len > octets)
			out[n].iov_len = octets;
		octets -= out[n].iov_len;
	}
	return n;
}

struct writing {
	int fd;
	bool in_place;
	off_t at;
	const struct msghdr *message;  /* CALL_SEND */
	int flags;
};

static ssize_t write_runs(const struct writing *w, const struct iovec *iov, size_t count)
{
	if (w->message) {
		struct msghdr m = *w->message;

		m.msg_iov = (struct iovec *)(uintptr_t)iov;
		m.msg_iovlen = count;
		return syscall(SYS_sendmsg, w->fd, &m, w->flags);
	}
	if (w->in_place)
		return syscall(SYS_pwritev, w->fd, iov, count, w->at, 0L);
	return syscall(SYS_writev, w->fd, iov, count);
}

static ssize_t write_kept(struct deed *d, const struct writing *w, const struct iovec *iov, size_t count)
{
	uint64_t at = (uint64_t)w->at;
	ssize_t n;

	keep_begin(d);
	if (d->kept && d->call == CALL_WRITE) {
		struct stat st;

		at = (uint64_t)lseek(w->fd, 0, SEEK_CUR);
		if ((fcntl(w->fd, F_GETFL) & O_APPEND) && fstat(w->fd, &st) == 0)
			at = (uint64_t)st.st_size;
	}
	n = write_runs(w, iov, count);
	keep_end(d, n >= 0, w->fd, at, n > 0 ? (size_t)n : 0);
	return n;
}

static size_t part_of(size_t all, uint32_t octets)
{
	if (octets == FAULTS_HALF)
		return all / 2;
	if (octets & FAULTS_BUT)
		return all > (octets & ~FAULTS_BUT) ? all - (octets & ~FAULTS_BUT) : 0;
	return octets < all ? octets : all;
}

static ssize_t writing(uint32_t call, const struct writing *w, const struct iovec *iov, size_t count)
{
	struct deed d = { .fd = -1, .call = call, .iov = iov, .iov_count = count };
	size_t all = iov_octets(iov, count);
	struct iovec cut[IOV_ROOM];
	struct faults_rule *r;

	if (!watched(call | (call == CALL_WRITE ? CALL_SEND : 0)))
		return write_runs(w, iov, count);
	about_fd(&d, w->fd);
	if (d.place & (PLACE_PEER | PLACE_LOCAL | PLACE_UNIX))
		d.call = CALL_SEND;
	r = rule_of(&d, false, all);
	if (r) {
		size_t octets = part_of(all, r->octets);

		if (r->action == ACT_SHORT || octets) {
			ssize_t n = write_kept(&d, w, cut, iov_cut(cut, iov, count, octets ? octets : 1));

			if (r->action == ACT_SHORT || n < 0)
				return n;
			d.kept = false;
			if (act(&d, r))
				return -1;
			return n;
		}
		if (act(&d, r))
			return -1;
	}
	return (ssize_t)after(&d, write_kept(&d, w, iov, count), all);
}

ssize_t write(int fd, const void *at, size_t n)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)at, .iov_len = n };

	if (!watched(CALL_WRITE | CALL_SEND))
		return syscall(SYS_write, fd, at, n);
	return writing(CALL_WRITE, &(struct writing){ .fd = fd }, &iov, 1);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
	return writing(CALL_WRITE, &(struct writing){ .fd = fd }, iov, (size_t)count);
}

static ssize_t write_at(int fd, const struct iovec *iov, size_t count, off_t at)
{
	return writing(CALL_PWRITE, &(struct writing){ .fd = fd, .in_place = true, .at = at }, iov, count);
}

ssize_t pwrite(int fd, const void *octets, size_t n, off_t at)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)octets, .iov_len = n };

	return write_at(fd, &iov, 1, at);
}

ssize_t pwrite64(int fd, const void *octets, size_t n, off64_t at)
{
	return pwrite(fd, octets, n, at);
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t at)
{
	return write_at(fd, iov, (size_t)count, at);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int count, off64_t at)
{
	return write_at(fd, iov, (size_t)count, at);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	return writing(CALL_SEND, &(struct writing){ .fd = fd, .message = m, .flags = flags }, m->msg_iov, m->msg_iovlen);
}

ssize_t sendto(int fd, const void *at, size_t n, int flags, const struct sockaddr *name, socklen_t name_octets)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)at, .iov_len = n };
	struct msghdr m = { .msg_name = (void *)(uintptr_t)name, .msg_namelen = name_octets, .msg_iov = &iov, .msg_iovlen = 1 };

	return sendmsg(fd, &m, flags);
}

ssize_t send(int fd, const void *at, size_t n, int flags)
{
	return sendto(fd, at, n, flags, NULL, 0);
}

/* ---- calls that read ---- */

struct reading {
	int fd;
	bool in_place;
	off_t at;
	struct msghdr *message;
	int flags;
};

static ssize_t read_runs(const struct reading *r, const struct iovec *iov, size_t count)
{
	if (r->message) {
		struct iovec *own = r->message->msg_iov;
		size_t own_count = r->message->msg_iovlen;
		ssize_t n;

		r->message->msg_iov = (struct iovec *)(uintptr_t)iov;
		r->message->msg_iovlen = count;
		n = syscall(SYS_recvmsg, r->fd, r->message, r->flags);
		r->message->msg_iov = own;
		r->message->msg_iovlen = own_count;
		return n;
	}
	if (r->in_place)
		return syscall(SYS_preadv, r->fd, iov, count, r->at, 0L);
	return syscall(SYS_readv, r->fd, iov, count);
}

static ssize_t reading(uint32_t call, const struct reading *how, const struct iovec *iov, size_t count)
{
	struct deed d = { .fd = -1, .call = call, .iov = iov, .iov_count = count };
	struct iovec cut[IOV_ROOM];
	struct faults_rule *r;
	ssize_t n;

	if (!watched(call | (call == CALL_READ ? CALL_RECV : 0)))
		return read_runs(how, iov, count);
	about_fd(&d, how->fd);
	if (d.place & (PLACE_PEER | PLACE_LOCAL | PLACE_UNIX))
		d.call = CALL_RECV;
	d.iov_count = 0;        /* there is nothing in it yet */
	r = rule_of(&d, false, 0);
	if (r && r->action == ACT_SHORT) {
		count = iov_cut(cut, iov, count, r->octets ? r->octets : 1);
		iov = cut;
	} else if (r && act(&d, r)) {
		return errno ? -1 : 0;
	}
	n = read_runs(how, iov, count);
	d.iov = iov;
	d.iov_count = n > 0 ? count : 0;
	return (ssize_t)after(&d, n, n > 0 ? (size_t)n : 0);
}

static ssize_t read_one(uint32_t call, const struct reading *how, void *to, size_t n)
{
	struct iovec iov = { .iov_base = to, .iov_len = n };

	return reading(call, how, &iov, 1);
}

ssize_t read(int fd, void *to, size_t n)
{
	if (!watched(CALL_READ | CALL_RECV))
		return syscall(SYS_read, fd, to, n);
	return read_one(CALL_READ, &(struct reading){ .fd = fd }, to, n);
}

ssize_t readv(int fd, const struct iovec *iov, int count)
{
	return reading(CALL_READ, &(struct reading){ .fd = fd }, iov, (size_t)count);
}

ssize_t pread(int fd, void *to, size_t n, off_t at)
{
	return read_one(CALL_READ, &(struct reading){ .fd = fd, .in_place = true, .at = at }, to, n);
}

ssize_t pread64(int fd, void *to, size_t n, off64_t at)
{
	return pread(fd, to, n, at);
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	return reading(CALL_RECV, &(struct reading){ .fd = fd, .message = m, .flags = flags }, m->msg_iov, m->msg_iovlen);
}

ssize_t recvfrom(int fd, void *restrict to, size_t n, int flags, struct sockaddr *restrict name, socklen_t *restrict name_octets)
{
	struct iovec iov = { .iov_base = to, .iov_len = n };
	struct msghdr m = { .msg_name = name, .msg_namelen = name ? *name_octets : 0, .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t got = recvmsg(fd, &m, flags);

	if (name && got >= 0)
		*name_octets = m.msg_namelen;
	return got;
}

ssize_t recv(int fd, void *to, size_t n, int flags)
{
	return recvfrom(fd, to, n, flags, NULL, NULL);
}

/* What the compiler makes of them where it knows the room (_FORTIFY_SOURCE). */
ssize_t __read_chk(int fd, void *to, size_t n, size_t room);
ssize_t __pread_chk(int fd, void *to, size_t n, off_t at, size_t room);
ssize_t __pread64_chk(int fd, void *to, size_t n, off64_t at, size_t room);
ssize_t __recv_chk(int fd, void *to, size_t n, size_t room, int flags);

static void must_fit(size_t n, size_t room)
{
	if (n > room)
		abort();
}

ssize_t __read_chk(int fd, void *to, size_t n, size_t room)
{
	must_fit(n, room);
	return read(fd, to, n);
}

ssize_t __pread_chk(int fd, void *to, size_t n, off_t at, size_t room)
{
	must_fit(n, room);
	return pread(fd, to, n, at);
}

ssize_t __pread64_chk(int fd, void *to, size_t n, off64_t at, size_t room)
{
	must_fit(n, room);
	return pread(fd, to, n, at);
}

ssize_t __recv_chk(int fd, void *to, size_t n, size_t room, int flags)
{
	must_fit(n, room);
	return recv(fd, to, n, flags);
}

/* ---- calls on names ---- */

static int opening(int dir, const char *name, int flags, mode_t mode)
{
	struct deed d = { .fd = -1, .call = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? CALL_CREATE : CALL_OPEN };
	struct stat st;
	int fd;

	if (!watched(d.call))
		return (int)syscall(SYS_openat, dir, name, flags, mode);
	about_path(&d, dir, name);
	if (before(&d))
		return -1;
	keep_begin(&d);
	/* One that was there is not made. */
	if (d.kept && !(flags & O_EXCL) && fstatat(dir, name, &st, 0) == 0)
		d.path[0] = '\0';
	fd = (int)syscall(SYS_openat, dir, name, flags, mode);
	keep_end(&d, fd >= 0 && d.path[0], fd, 0, 0);
	return (int)after(&d, fd, 0);
}

static mode_t mode_of(int flags, va_list *more)
{
	return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? (mode_t)va_arg(*more, unsigned) : 0;
}

#define OPEN_AT(dir)                                         \
	va_list more;                                        \
	mode_t mode;                                         \
	va_start(more, flags);                               \
	mode = mode_of(flags, &more);                        \
	va_end(more);                                        \
	return opening(dir, name, flags, mode)

int open(const char *name, int flags, ...)
{
	OPEN_AT(AT_FDCWD);
}

int open64(const char *name, int flags, ...)
{
	OPEN_AT(AT_FDCWD);
}

int openat(int dir, const char *name, int flags, ...)
{
	OPEN_AT(dir);
}

int openat64(int dir, const char *name, int flags, ...)
{
	OPEN_AT(dir);
}

int __open_2(const char *name, int flags);
int __open64_2(const char *name, int flags);
int __openat_2(int dir, const char *name, int flags);
int __openat64_2(int dir, const char *name, int flags);

int __open_2(const char *name, int flags)
{
	return opening(AT_FDCWD, name, flags, 0);
}

int __open64_2(const char *name, int flags)
{
	return opening(AT_FDCWD, name, flags, 0);
}

int __openat_2(int dir, const char *name, int flags)
{
	return opening(dir, name, flags, 0);
}

int __openat64_2(int dir, const char *name, int flags)
{
	return opening(dir, name, flags, 0);
}

/* One that takes one name or two; the numbers are those of the system call. */
static int naming(uint32_t call, int dir, const char *name, int to_dir, const char *to, long number, long a, long b, long c, long e, long f)
{
	struct deed d = { .fd = -1, .call = call };
	int got;

	if (!watched(call))
		return (int)syscall(number, a, b, c, e, f);
	about_path(&d, dir, name);
	if (to)
		about_to(&d, to_dir, to);
	if (before(&d))
		return -1;
	keep_begin(&d);
	got = (int)syscall(number, a, b, c, e, f);
	keep_end(&d, got == 0, -1, 0, 0);
	return (int)after(&d, got, 0);
}

int renameat2(int dir, const char *name, int to_dir, const char *to, unsigned flags)
{
	return naming(CALL_RENAME, dir, name, to_dir, to, SYS_renameat2, dir, (long)name, to_dir, (long)to, (long)flags);
}

int renameat(int dir, const char *name, int to_dir, const char *to)
{
	return renameat2(dir, name, to_dir, to, 0);
}

int rename(const char *name, const char *to)
{
	return renameat2(AT_FDCWD, name, AT_FDCWD, to, 0);
}

int linkat(int dir, const char *name, int to_dir, const char *to, int flags)
{
	return naming(CALL_LINK, dir, name, to_dir, to, SYS_linkat, dir, (long)name, to_dir, (long)to, flags);
}

int link(const char *name, const char *to)
{
	return linkat(AT_FDCWD, name, AT_FDCWD, to, 0);
}

int unlinkat(int dir, const char *name, int flags)
{
	return naming(CALL_UNLINK, dir, name, -1, NULL, SYS_unlinkat, dir, (long)name, flags, 0, 0);
}

int unlink(const char *name)
{
	return unlinkat(AT_FDCWD, name, 0);
}

int mkdirat(int dir, const char *name, mode_t mode)
{
	return naming(CALL_MKDIR, dir, name, -1, NULL, SYS_mkdirat, dir, (long)name, (long)mode, 0, 0);
}

int mkdir(const char *name, mode_t mode)
{
	return mkdirat(AT_FDCWD, name, mode);
}

/* ---- calls on a descriptor ---- */

static int with_fd(uint32_t call, int fd, uint64_t at, long number, long b, long c, long e)
{
	struct deed d = { .fd = -1, .call = call };
	int got;

	if (!watched(call))
		return (int)syscall(number, fd, b, c, e);
	about_fd(&d, fd);
	if (before(&d)) {
		int error = errno;

		/* A close that fails has closed it (close(2)). */
		if (call == CALL_CLOSE)
			syscall(SYS_close, fd);
		errno = error;
		return -1;
	}
	keep_begin(&d);
	got = (int)syscall(number, fd, b, c, e);
	keep_end(&d, got == 0, fd, at, 0);
	return (int)after(&d, got, 0);
}

int fsync(int fd)
{
	return with_fd(CALL_FSYNC, fd, 0, SYS_fsync, 0, 0, 0);
}

int fdatasync(int fd)
{
	return with_fd(CALL_FDATASYNC, fd, 0, SYS_fdatasync, 0, 0, 0);
}

int syncfs(int fd)
{
	return with_fd(CALL_FSYNC, fd, 0, SYS_syncfs, 0, 0, 0);
}

int ftruncate(int fd, off_t octets)
{
	return with_fd(CALL_TRUNCATE, fd, (uint64_t)octets, SYS_ftruncate, octets, 0, 0);
}

int ftruncate64(int fd, off64_t octets)
{
	return ftruncate(fd, octets);
}

int fallocate(int fd, int mode, off_t at, off_t octets)
{
	return with_fd(CALL_FALLOCATE, fd, (uint64_t)(mode ? 0 : at + octets), SYS_fallocate, mode, at, octets);
}

int fallocate64(int fd, int mode, off64_t at, off64_t octets)
{
	return fallocate(fd, mode, at, octets);
}

int posix_fallocate(int fd, off_t at, off_t octets)
{
	return fallocate(fd, 0, at, octets) < 0 ? errno : 0;
}

int posix_fallocate64(int fd, off64_t at, off64_t octets)
{
	return posix_fallocate(fd, at, octets);
}

int close(int fd)
{
	return with_fd(CALL_CLOSE, fd, 0, SYS_close, 0, 0, 0);
}

int connect(int fd, const struct sockaddr *to, socklen_t n)
{
	struct deed d = { .fd = -1, .call = CALL_CONNECT };

	if (!watched(CALL_CONNECT))
		return (int)syscall(SYS_connect, fd, to, n);
	d.peer = port_of(to);
	d.place = d.peer ? PLACE_PEER : PLACE_UNIX;
	if (before(&d))
		return -1;
	return (int)after(&d, syscall(SYS_connect, fd, to, n), 0);
}

int epoll_wait(int fd, struct epoll_event *events, int room, int ms)
{
	struct deed d = { .fd = -1, .call = CALL_EPOLL, .place = PLACE_ELSEWHERE };
	struct faults_rule *r = watched(CALL_EPOLL) ? rule_of(&d, false, 0) : NULL;

	if (r && r->action == ACT_SHORT)
		return 0;
	if (r && act(&d, r))
		return -1;
	return (int)syscall(SYS_epoll_wait, fd, events, room, ms);
}

static void *mapping(void *at, size_t n, int prot, int flags, int fd, off_t from)
{
	struct deed d = { .fd = -1, .call = CALL_MMAP };

	if (fd >= 0 && !(flags & MAP_ANONYMOUS) && watched(CALL_MMAP)) {
		about_fd(&d, fd);
		if (before(&d))
			return MAP_FAILED;
	}
	return (void *)syscall(SYS_mmap, at, n, prot, flags, fd, from);
}

void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t from)
{
	return mapping(at, n, prot, flags, fd, from);
}

void *mmap64(void *at, size_t n, int prot, int flags, int fd, off64_t from)
{
	return mapping(at, n, prot, flags, fd, from);
}

/* ---- those of the C library that do more than a system call ---- */

static void *next(const char *name)
{
	void *at = dlsym(RTLD_NEXT, name);

	if (!at)
		abort();
	return at;
}

#define NEXT(type, name)                                       \
	static type real;                                      \
	if (!real) {                                           \
		void *found = next(name);                      \
		memcpy(&real, &found, sizeof(real));           \
	}

/* Short: nothing is free, neither blocks nor files. */
int fstatvfs(int fd, struct statvfs *out)
{
	typedef int (*function)(int, struct statvfs *);
	struct deed d = { .fd = -1, .call = CALL_STATFS };
	struct faults_rule *r = NULL;
	int got;

	NEXT(function, "fstatvfs")
	if (watched(CALL_STATFS)) {
		about_fd(&d, fd);
		r = rule_of(&d, false, 0);
		if (r && act(&d, r))
			return -1;
	}
	got = real(fd, out);
	if (got == 0 && r && r->action == ACT_SHORT)
		out->f_bavail = out->f_bfree = out->f_favail = out->f_ffree = 0;
	return got;
}

int fstatvfs64(int fd, struct statvfs64 *out)
{
	_Static_assert(sizeof(struct statvfs) == sizeof(struct statvfs64), "one for both");
	return fstatvfs(fd, (struct statvfs *)out);
}

int clock_gettime(clockid_t id, struct timespec *out)
{
	typedef int (*function)(clockid_t, struct timespec *);
	int got;

	NEXT(function, "clock_gettime")
	got = real(id, out);
	if (got == 0 && page && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		out->tv_sec += __atomic_load_n(&page->clock_s, __ATOMIC_ACQUIRE);
	return got;
}

time_t time(time_t *out)
{
	struct timespec now = { 0 };

	clock_gettime(CLOCK_REALTIME, &now);
	if (out)
		*out = now.tv_sec;
	return now.tv_sec;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
	struct timespec now = { 0 };

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	*out = (struct timeval){ .tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000 };
	return 0;
}

/* ---- memory ---- */

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t of);
void *__libc_realloc(void *at, size_t n);

static bool no_memory(void)
{
	const struct deed d = { .fd = -1, .call = CALL_MALLOC, .place = PLACE_ELSEWHERE };

	return watched(CALL_MALLOC) && before(&d);
}

void *malloc(size_t n)
{
	return no_memory() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t of)
{
	return no_memory() ? NULL : __libc_calloc(n, of);
}

void *realloc(void *at, size_t n)
{
	return no_memory() ? NULL : __libc_realloc(at, n);
}

/* ---- before main() ---- */

static void *executioner(void *arg)
{
	while (!__atomic_load_n(&page->doom, __ATOMIC_ACQUIRE))
		futex(&page->doom, FUTEX_WAIT, 0);
	kill_all();
	return arg;
}

__attribute__((constructor)) static void begin(void)
{
	const char *file = getenv("HOPSEAL_FAULTS");
	sigset_t all, own;
	struct stat st;
	pthread_t thread;
	void *at;
	int fd;

	if (!file || page)
		return;
	fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || (size_t)st.st_size < sizeof(*page))
		abort();
	at = (void *)syscall(SYS_mmap, NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0L);
	syscall(SYS_close, fd);
	if (at == MAP_FAILED)
		abort();
	page = at;
	if (page->magic != FAULTS_MAGIC || page->size != sizeof(*page) || page->rule_size != sizeof(struct faults_rule))
		abort();
	page->supervisor = (uint32_t)getpid();
	/* Its signals are the program's business. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &own);
	if (pthread_create(&thread, NULL, executioner, NULL) != 0)
		abort();
	pthread_detach(thread);
	pthread_sigmask(SIG_SETMASK, &own, NULL);
}
