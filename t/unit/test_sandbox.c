/* What each process may do once it has locked itself in, and what it may not: every act in a process of its own. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "config/conf.h"
#include "daemon/sandbox.h"
#include "daemon/sandbox_files.h"

enum { KILLED = 1000, NOBODY = 65534 };

static struct {
	char dir[64], spool[80], anchor[80], other[80];
	int spool_fd, listen_fd;
	struct conf conf;
	struct conf_listener listener;
	bool no_landlock;
} w;

bool __real_sandbox_files_can(void);
bool __wrap_sandbox_files_can(void);
bool __wrap_sandbox_files_can(void)
{
	return !w.no_landlock && __real_sandbox_files_can();
}

static void file_make(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	close(fd);
}

static int world_make(void **state)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };

	(void)state;
	strcpy(w.dir, "/tmp/test_sandbox.XXXXXX");
	if (!mkdtemp(w.dir) || chmod(w.dir, 0755) < 0)
		return -1;
	snprintf(w.spool, sizeof(w.spool), "%s/spool", w.dir);
	snprintf(w.anchor, sizeof(w.anchor), "%s/anchor", w.dir);
	snprintf(w.other, sizeof(w.other), "%s/other", w.dir);
	file_make(w.anchor);
	file_make(w.other);
	if (mkdir(w.spool, 0755) < 0 || (geteuid() == 0 && chown(w.spool, NOBODY, NOBODY) < 0))
		return -1;
	w.spool_fd = open(w.spool, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (bind(w.listen_fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(w.listen_fd, 8) < 0)
		return -1;
	w.conf.sandbox = true;
	w.conf.listeners = &w.listener;
	w.conf.listener_count = 1;
	return w.spool_fd >= 0 ? 0 : -1;
}

static int world_end(void **state)
{
	(void)state;
	unlink(w.anchor);
	unlink(w.other);
	rmdir(w.spool);
	return rmdir(w.dir);
}

/* --- acts: 0, or errno --- */

static int said(long result)
{
	return result < 0 ? errno : 0;
}

static int closed(int fd)
{
	int error = said(fd);

	if (fd >= 0)
		close(fd);
	return error;
}

static int run_program(void)
{
	return said(execl("/bin/true", "true", (char *)NULL));
}

static int run_descriptor(void)
{
	static char *const none[] = { NULL };

	return said(syscall(SYS_execveat, w.listen_fd, "", none, none, AT_EMPTY_PATH));
}

static int have_child(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return said(pid);
}

static int trace(void)
{
	return said(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int look_into(void)
{
	char here[1];
	struct iovec own = { here, 1 }, others = { here, 1 };

	return said(process_vm_readv(getppid(), &own, 1, &others, 1, 0));
}

static int new_space(void)
{
	return said(syscall(SYS_unshare, 0x10000000 /* CLONE_NEWUSER */));
}

static int new_rules(void)
{
	return said(syscall(SYS_bpf, 0, NULL, 0));
}

static int ring(void)
{
	return said(syscall(SYS_io_uring_setup, 1, NULL));
}

static int become(void)
{
	return said(setresuid(getuid(), getuid(), getuid()));
}

/* One that is not heard unless somebody asks for it. */
static int signal_parent(void)
{
	return said(kill(getppid(), SIGURG));
}

/* Landlock says of one that lives that it may not be signalled. */
static int parent_lives(void)
{
	return kill(getppid(), 0) == 0 || errno == EPERM ? 0 : errno;
}

static int nobody_lives(void)
{
	return kill(0x3fffffff, 0) < 0 && errno == ESRCH ? 0 : errno ? errno : EINVAL;
}

static int signal_itself(void)
{
	return said(kill(getpid(), 0));
}

static int limits_of_parent(void)
{
	struct rlimit l;

	return said(prlimit(getppid(), RLIMIT_NOFILE, NULL, &l));
}

static int signal_by_descriptor(void)
{
	return said(fcntl(w.listen_fd, F_SETOWN, getppid()));
}

static int name_itself(void)
{
	return said(prctl(PR_SET_NAME, "hopseal:control"));
}

static int memory_code(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? errno : 0;
}

static int memory_turned(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? KILLED - 1 : said(mprotect(at, 4096, PROT_READ | PROT_EXEC));
}

static int open_passwd(void)
{
	return closed(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int open_anchor(void)
{
	return closed(open(w.anchor, O_RDONLY | O_CLOEXEC));
}

static int open_beside(void)
{
	return closed(open(w.other, O_RDONLY | O_CLOEXEC));
}

static int write_anchor(void)
{
	return closed(open(w.anchor, O_WRONLY | O_CLOEXEC));
}

static int climb(void)
{
	return closed(openat(w.spool_fd, "../other", O_RDONLY | O_CLOEXEC));
}

static int make_beside(void)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/new", w.dir);
	return closed(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) || unlink(path) < 0 ? EACCES : 0;
}

static int make_in_spool(void)
{
	return closed(openat(w.spool_fd, "one", O_RDWR | O_CREAT | O_CLOEXEC, 0600)) || unlinkat(w.spool_fd, "one", 0) < 0 ? EACCES : 0;
}

static int ask_stream(void)
{
	return closed(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

static int ask_stream6(void)
{
	int error = closed(socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));

	return error == EAFNOSUPPORT ? 0 : error;
}

static int ask_datagram(void)
{
	return closed(socket(AF_INET, SOCK_DGRAM, 0));
}

static int ask_raw(void)
{
	return closed(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}

static int ask_netlink(void)
{
	return closed(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0));
}

static int ask_local(void)
{
	return closed(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int ask_local_datagram(void)
{
	return closed(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

/* Of no socket: what is looked at is whether the kernel gets as far. */
static int reached(long result)
{
	return result < 0 && errno == EBADF ? 0 : said(result);
}

static int reach_out(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET };

	return reached(connect(-1, (struct sockaddr *)&at, sizeof(at)));
}

static int take_port(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET };

	return reached(bind(-1, (struct sockaddr *)&at, sizeof(at)));
}

static int hear_port(void)
{
	return reached(listen(-1, 1));
}

static int take_client(void)
{
	return reached(accept4(-1, NULL, NULL, SOCK_CLOEXEC));
}

/* What libraries do at any time. */
static int live(void)
{
	struct timespec t;
	struct epoll_event e = { .events = EPOLLIN };
	int poller = epoll_create1(EPOLL_CLOEXEC), event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), ends[2];
	char *p = malloc(64 << 20), octet;
	struct tm tm;
	bool ok = poller >= 0 && event >= 0 && p;

	if (!ok)
		return errno;
	memset(p, 1, 64 << 20);
	p = realloc(p, 128 << 20);
	ok = p && clock_gettime(CLOCK_MONOTONIC, &t) == 0 && localtime_r(&t.tv_sec, &tm) && getentropy(p, 32) == 0 &&
	    epoll_ctl(poller, EPOLL_CTL_ADD, event, &e) == 0 && epoll_wait(poller, &e, 1, 0) == 0 && pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0 &&
	    write(ends[1], "x", 1) == 1 && read(ends[0], &octet, 1) == 1 && fcntl(ends[0], F_SETFL, fcntl(ends[0], F_GETFL) | O_NONBLOCK) == 0 &&
	    nanosleep(&(struct timespec){ .tv_nsec = 1 }, NULL) == 0 && close_range((unsigned)ends[1], (unsigned)ends[1], 0) == 0 &&
	    poll(&(struct pollfd){ .fd = ends[0], .events = POLLIN }, 1, 0) == 1;
	free(p);
	return ok ? 0 : errno;
}

/* --- who may --- */

enum { OK, NO, DIES };

static int outcome(enum sandbox_role role, int (*act)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		int error;

		if (!sandbox_enter(role, &w.conf, role == SANDBOX_WORKER || role == SANDBOX_QUEUE ? w.spool_fd : -1,
			role == SANDBOX_RESOLVER ? w.anchor : NULL))
			_exit(255);
		error = act();
		_exit(error > 200 ? 200 : error);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS ? KILLED : KILLED + WTERMSIG(status);
	if (WEXITSTATUS(status) == 255)
		fail_msg("the sandbox could not be entered");
	return WEXITSTATUS(status);
}

static void want_outcome(const char *name, enum sandbox_role role, int (*act)(void), int want)
{
	static const char *const roles[] = { "supervisor", "keeper", "resolver", "queue", "worker", "control" };
	static const char *const words[] = { "works", "is refused", "ends in SIGSYS" };
	int got = outcome(role, act);

	if ((want == OK && got != 0) || (want == NO && (got == 0 || got >= KILLED)) || (want == DIES && got != KILLED))
		fail_msg("%s, %s: wanted that it %s, got %d (errno, or %d + signal)", roles[role], name, words[want], got, KILLED);
}

static void test_each_may_do_what_it_has_to_and_nothing_else(void **state)
{
	static const struct {
		const char *name;
		int (*act)(void);
		int want[SANDBOX_ROLES]; /* supervisor, keeper, resolver, queue, worker, control */
	} rows[] = {
		{ "memory, time, chance, waiting", live, { OK, OK, OK, OK, OK, OK } },
		{ "run a program", run_program, { DIES, DIES, DIES, DIES, DIES, DIES } },
		{ "run a descriptor", run_descriptor, { DIES, DIES, DIES, DIES, DIES, DIES } },
		{ "have a child", have_child, { OK, DIES, DIES, DIES, DIES, DIES } },
		{ "be traced", trace, { DIES, DIES, DIES, DIES, DIES, DIES } },
		{ "read the parent's memory", look_into, { DIES, DIES, DIES, DIES, DIES, DIES } },
		{ "a name space of its own", new_space, { DIES, DIES, DIES, DIES, DIES, DIES } },
		{ "load a BPF program", new_rules, { DIES, DIES, DIES, DIES, DIES, DIES } },
		{ "calls by io_uring", ring, { DIES, DIES, DIES, DIES, DIES, DIES } },
		{ "become somebody", become, { OK, DIES, DIES, DIES, DIES, DIES } },
		{ "signal the parent", signal_parent, { OK, NO, NO, NO, NO, NO } },
		{ "find that the parent lives", parent_lives, { OK, NO, NO, OK, OK, NO } },
		{ "find that nobody has a number", nobody_lives, { OK, NO, NO, OK, OK, NO } },
		{ "signal itself", signal_itself, { OK, OK, OK, OK, OK, OK } },
		{ "the parent's limits", limits_of_parent, { OK, NO, NO, NO, NO, NO } },
		{ "signals to the parent by a socket", signal_by_descriptor, { OK, NO, NO, NO, NO, NO } },
		{ "take another name", name_itself, { OK, NO, NO, NO, NO, NO } },
		{ "map memory as code", memory_code, { NO, NO, NO, NO, NO, NO } },
		{ "turn memory into code", memory_turned, { NO, NO, NO, NO, NO, NO } },
		{ "open /etc/passwd", open_passwd, { OK, NO, NO, NO, NO, NO } },
		{ "open the trust anchor", open_anchor, { OK, NO, OK, NO, NO, NO } },
		{ "write the trust anchor", write_anchor, { OK, NO, NO, NO, NO, NO } },
		{ "open what stands beside it", open_beside, { OK, NO, NO, NO, NO, NO } },
		{ "leave the spool by ..", climb, { OK, NO, NO, NO, NO, NO } },
		{ "make a file beside the spool", make_beside, { OK, NO, NO, NO, NO, NO } },
		{ "make and remove a file in the spool", make_in_spool, { OK, NO, NO, OK, OK, NO } },
		{ "a TCP socket", ask_stream, { OK, NO, OK, OK, OK, NO } },
		{ "a TCP socket, IPv6", ask_stream6, { OK, NO, OK, OK, OK, NO } },
		{ "a UDP socket", ask_datagram, { OK, NO, OK, NO, NO, NO } },
		{ "a raw socket", ask_raw, { NO, NO, NO, NO, NO, NO } },
		{ "a netlink socket", ask_netlink, { NO, NO, NO, NO, NO, NO } },
		{ "a local socket", ask_local, { OK, NO, NO, NO, NO, NO } },
		{ "a local socket for datagrams", ask_local_datagram, { OK, NO, NO, NO, NO, NO } },
		{ "connect", reach_out, { OK, NO, OK, OK, OK, NO } },
		{ "bind", take_port, { OK, NO, OK, NO, NO, NO } },
		{ "listen", hear_port, { OK, NO, NO, NO, NO, NO } },
		{ "accept", take_client, { OK, NO, NO, NO, OK, OK } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (enum sandbox_role role = 0; role < SANDBOX_ROLES; role++)
			want_outcome(rows[i].name, role, rows[i].act, rows[i].want[role]);
}

/* In a process of its own, without a sandbox unless it enters one. */
static int plain_run(int (*run)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(run());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : KILLED + WTERMSIG(status);
}

/* Who sees no sandbox at all would see all of the above as allowed. */
static void test_without_one_the_acts_succeed(void **state)
{
	int (*const acts[])(void) = { live, have_child, signal_parent, open_passwd, make_beside, make_in_spool, ask_stream, ask_datagram, ask_local,
		memory_code, memory_turned, name_itself, limits_of_parent, climb, signal_by_descriptor, take_port, hear_port, take_client };

	(void)state;
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
		assert_int_equal(plain_run(acts[i]), 0);
}

static int aborts(void)
{
	abort();
}

static void test_a_bug_still_ends_in_sigabrt(void **state)
{
	(void)state;
	for (enum sandbox_role role = 0; role < SANDBOX_ROLES; role++)
		assert_int_equal(outcome(role, aborts), KILLED + SIGABRT);
}

/* --- what a configuration adds --- */

static void test_syslog_may_be_connected_to_again(void **state)
{
	(void)state;
	w.conf.log.to = LOG_SYSLOG;
	for (enum sandbox_role role = SANDBOX_KEEPER; role < SANDBOX_ROLES; role++) {
		want_outcome("a local socket for datagrams", role, ask_local_datagram, OK);
		want_outcome("connect", role, reach_out, OK);
		want_outcome("a local socket", role, ask_local, NO);
	}
	want_outcome("a TCP socket", SANDBOX_KEEPER, ask_stream, NO);
	w.conf.log.to = LOG_STDERR;
}

static void test_workers_may_reach_dovecot(void **state)
{
	(void)state;
	w.listener.auth.dovecot = "/run/dovecot/auth";
	for (enum sandbox_role role = SANDBOX_KEEPER; role < SANDBOX_ROLES; role++)
		want_outcome("a local socket", role, ask_local, role == SANDBOX_WORKER ? OK : NO);
	w.listener.auth.dovecot = NULL;
}

/* --- the spool --- */

#define STEP(holds)                  \
	do {                         \
		if (!(holds))        \
			return __LINE__ % 190 + 1; \
	} while (0)

/* Everything that spool/store and relay/hold do to files. */
static int work_in_spool(void)
{
	char path[64];
	struct statvfs disk;
	struct stat st;
	int tmp, mail, fd, named, list;
	void *at;

	STEP(mkdirat(w.spool_fd, "tmp", 0700) == 0 && mkdirat(w.spool_fd, "mail", 0700) == 0);
	STEP((tmp = openat(w.spool_fd, "tmp", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) >= 0);
	STEP((mail = openat(w.spool_fd, "mail", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) >= 0);
	fd = openat(w.spool_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	STEP(fd >= 0 || errno == EOPNOTSUPP);
	STEP((named = openat(tmp, "one", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)) >= 0);
	STEP(fallocate(named, 0, 0, 8192) == 0 || errno == EOPNOTSUPP);
	STEP(pwrite(named, "octets", 6, 0) == 6 && pread(named, path, 6, 0) == 6 && lseek(named, 0, SEEK_SET) == 0);
	STEP(ftruncate(named, 6) == 0 && fdatasync(named) == 0 && fsync(named) == 0 && fstat(named, &st) == 0);
	at = mmap(NULL, 6, PROT_READ, MAP_SHARED, named, 0);
	STEP(at != MAP_FAILED && madvise(at, 6, MADV_DONTNEED) == 0 && munmap(at, 6) == 0);
	STEP(renameat2(tmp, "one", mail, "two", 1 /* RENAME_NOREPLACE */) == 0);
	STEP(linkat(mail, "two", tmp, "three", 0) == 0 && renameat(tmp, "three", mail, "four") == 0);
	STEP(fsync(mail) == 0 && fstatvfs(mail, &disk) == 0 && fstatat(mail, "two", &st, AT_SYMLINK_NOFOLLOW) == 0);
	STEP((list = openat(mail, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0);
	STEP(syscall(SYS_getdents64, list, path, sizeof(path)) > 0);
	STEP(openat(mail, "two", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600) >= 0);
	STEP(unlinkat(mail, "two", 0) == 0 && unlinkat(mail, "four", 0) == 0);
	return 0;
}

static int link_out(void)
{
	return said(symlinkat("/etc/passwd", w.spool_fd, "link"));
}

static int spool_clear(void)
{
	return unlinkat(w.spool_fd, "tmp", AT_REMOVEDIR) | unlinkat(w.spool_fd, "mail", AT_REMOVEDIR);
}

static void test_the_spool_is_theirs_to_work_in(void **state)
{
	static const enum sandbox_role roles[] = { SANDBOX_WORKER, SANDBOX_QUEUE };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		want_outcome("all that is done to files (a line of the test, modulo 190)", roles[i], work_in_spool, OK);
		assert_int_equal(spool_clear(), 0);
		if (!sandbox_hindered()) /* no call for it is on a list */
			want_outcome("a symbolic link", roles[i], link_out, NO);
	}
}

static int through_link(void)
{
	return closed(openat(w.spool_fd, "link", O_RDONLY | O_CLOEXEC));
}

static void test_a_link_that_somebody_left_there_leads_nowhere(void **state)
{
	(void)state;
	assert_int_equal(symlinkat("/etc/passwd", w.spool_fd, "link"), 0);
	want_outcome("a link out of the spool", SANDBOX_WORKER, through_link, NO);
	assert_int_equal(unlinkat(w.spool_fd, "link", 0), 0);
}

/* --- a kernel without Landlock --- */

/* Root until here, as the supervisor starts it. */
static int drop(enum sandbox_role role)
{
	gid_t gid = NOBODY;

	sandbox_root(role, &w.conf, NOBODY, w.spool_fd);
	if (setgroups(1, &gid) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return errno;
	return sandbox_enter(role, &w.conf, w.spool_fd, NULL) ? 0 : errno;
}

static int caged(void)
{
	int error = drop(SANDBOX_WORKER);

	if (error)
		return 201;
	if (open_passwd() == 0 || climb() == 0)
		return 202;
	return work_in_spool();
}

static int caged_queue(void)
{
	int error = drop(SANDBOX_QUEUE);

	return error ? 201 : open_passwd() == 0 ? 202 : 0;
}

static void test_without_landlock_the_spool_becomes_their_root(void **state)
{
	(void)state;
	w.no_landlock = true;
	assert_int_equal(plain_run(caged), 0);
	assert_int_equal(spool_clear(), 0);
	assert_int_equal(plain_run(caged_queue), 0);
	w.no_landlock = false;
}

/* It must go on with the anchor that it has. */
static void test_without_landlock_the_resolver_opens_nothing(void **state)
{
	(void)state;
	w.no_landlock = true;
	want_outcome("open the trust anchor", SANDBOX_RESOLVER, open_anchor, NO);
	want_outcome("open /etc/passwd", SANDBOX_KEEPER, open_passwd, NO);
	want_outcome("open /etc/passwd", SANDBOX_CONTROL, open_passwd, NO);
	w.no_landlock = false;
}

/* What sandbox_tell() logs, on standard error. */
static void told(const struct conf *conf, uid_t uid, char text[1024])
{
	size_t n = 0;
	ssize_t got;
	int ends[2];
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(ends[1], STDERR_FILENO);
		close(ends[1]);
		if (!sandbox_start(conf))
			_exit(1);
		sandbox_tell(conf, uid);
		_exit(0);
	}
	close(ends[1]);
	while (n < 1023 && (got = read(ends[0], text + n, 1023 - n)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_what_there_is_not_is_told(void **state)
{
	char text[1024];

	(void)state;
	told(&w.conf, NOBODY, text);
	assert_string_equal(text, "");
	w.conf.sandbox = false;
	told(&w.conf, NOBODY, text);
	assert_non_null(strstr(text, "sandbox_off"));
	w.conf.sandbox = true;
	w.no_landlock = true;
	told(&w.conf, NOBODY, text);
	assert_string_equal(text, "");
	told(&w.conf, (uid_t)-1, text);
	assert_non_null(strstr(text, "sandbox_partial"));
	assert_non_null(strstr(text, "no rights are given up"));
	w.listener.auth.dovecot = "/run/dovecot/auth";
	told(&w.conf, NOBODY, text);
	assert_non_null(strstr(text, "auth.dovecot is set"));
	w.listener.auth.dovecot = NULL;
	w.no_landlock = false;
}

enum needs { NEEDS_NOTHING, NEEDS_SANDBOX, NEEDS_LANDLOCK, NEEDS_ROOT };

/* Why it cannot be had here; NULL: it can. */
static const char *lacks(enum needs needs)
{
	if (needs != NEEDS_NOTHING && sandbox_hindered())
		return sandbox_hindered();
	if (needs == NEEDS_LANDLOCK && !__real_sandbox_files_can())
		return "the kernel has no Landlock";
	return needs == NEEDS_ROOT && geteuid() != 0 ? "only root can chroot" : NULL;
}

int main(void)
{
	static const struct {
		struct CMUnitTest test;
		enum needs needs;
	} rows[] = {
		{ cmocka_unit_test(test_without_one_the_acts_succeed), NEEDS_NOTHING },
		{ cmocka_unit_test(test_each_may_do_what_it_has_to_and_nothing_else), NEEDS_LANDLOCK },
		{ cmocka_unit_test(test_a_bug_still_ends_in_sigabrt), NEEDS_NOTHING },
		{ cmocka_unit_test(test_syslog_may_be_connected_to_again), NEEDS_SANDBOX },
		{ cmocka_unit_test(test_workers_may_reach_dovecot), NEEDS_SANDBOX },
		{ cmocka_unit_test(test_the_spool_is_theirs_to_work_in), NEEDS_NOTHING },
		{ cmocka_unit_test(test_a_link_that_somebody_left_there_leads_nowhere), NEEDS_LANDLOCK },
		{ cmocka_unit_test(test_without_landlock_the_spool_becomes_their_root), NEEDS_ROOT },
		{ cmocka_unit_test(test_without_landlock_the_resolver_opens_nothing), NEEDS_SANDBOX },
		{ cmocka_unit_test(test_what_there_is_not_is_told), NEEDS_LANDLOCK },
	};
	struct CMUnitTest tests[sizeof(rows) / sizeof(rows[0])];
	size_t n = 0;

	/* cmocka's own word for a test that is left out counts as a failure in TAP. */
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (lacks(rows[i].needs))
			printf("# left out: %s: %s\n", rows[i].test.name, lacks(rows[i].needs));
		else
			tests[n++] = rows[i].test;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return _cmocka_run_group_tests("tests", tests, n, world_make, world_end);
}
