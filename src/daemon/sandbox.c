/*
 * sandbox.c - what each process may ask of the kernel.
 *
 * Who is allowed what stands below in lists of calls, one a need, and in roles that have some of them. A call on no list is one of two
 * things.
 *
 * Calls that no version of any library makes by itself (FATAL: a program is run, another process is read or made, a system is mounted)
 * mean that the process is no longer ours: it is killed, the supervisor logs the death with SIGSYS and starts another one.
 *
 * All others get ENOSYS, and a line of the kernel's audit log. To kill for them as well would make every update of the C library, of
 * OpenSSL or libunbound a danger to the mail: they try new calls, and have to do without them on older kernels, which say ENOSYS just
 * so (EPERM they take for an answer). What is refused stays refused either way; only an attacker's second try is the price. Names of
 * files and memory that holds code get EACCES, which says more where it meets the eye.
 *
 * Paths and addresses lie in memory, where seccomp cannot look: files are Landlock's.
 */
#include "daemon/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "config/conf.h"
#include "crypt/digest.h"
#include "daemon/sandbox_files.h"
#include "out/log.h"

/* --- lists --- */

enum need {
	NEED_RUN,     /* memory, time, signals to itself, its end: everybody */
	NEED_TALK,    /* over sockets and pipes it has, and waiting for them: everybody */
	NEED_CONNECT, /* to somebody new */
	NEED_ACCEPT,
	NEED_BIND,    /* its own side of a socket */
	NEED_READ,    /* files by name, none of which is changed */
	NEED_SPOOL,   /* files and folders, made, moved and removed */
	NEED_LEAD,    /* the supervisor's own, and what its children do before they lock themselves in */
	NEEDS
};

static const char *const lists[NEEDS] = {
	[NEED_RUN] =
	    "brk munmap mremap madvise msync mlock munlock membarrier rseq set_robust_list get_robust_list set_tid_address "
	    "futex futex_time64 restart_syscall sched_yield sched_getaffinity getcpu "
	    "clock_gettime clock_gettime64 clock_getres clock_nanosleep clock_nanosleep_time64 nanosleep pause gettimeofday time times "
	    "rt_sigaction rt_sigprocmask rt_sigreturn sigreturn sigaltstack rt_sigpending rt_sigtimedwait "
	    "getpid gettid getppid getpgrp getuid geteuid getgid getegid getresuid getresgid getgroups "
	    "getrusage getrlimit sysinfo uname getrandom exit exit_group",
	[NEED_TALK] =
	    "read readv write writev close close_range dup dup3 fstat lseek _llseek pipe2 eventfd2 "
	    "poll ppoll ppoll_time64 select pselect6 pselect6_time64 "
	    "epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 timerfd_create timerfd_settime timerfd_gettime "
	    "send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64 shutdown "
	    "getsockname getpeername getsockopt setsockopt",
	[NEED_CONNECT] = "connect",
	[NEED_ACCEPT] = "accept accept4",
	[NEED_BIND] = "bind",
	[NEED_READ] =
	    "stat lstat fstat64 newfstatat fstatat64 statx access faccessat faccessat2 readlink readlinkat pread64 statfs fstatfs "
	    "fstatfs64 statfs64 fadvise64 getdents64",
	[NEED_SPOOL] =
	    "open openat pwrite64 pwritev pwritev2 preadv fsync fdatasync sync_file_range fallocate ftruncate ftruncate64 flock "
	    "linkat unlinkat renameat renameat2 mkdirat",
	[NEED_LEAD] =
	    "wait4 waitid signalfd4 socketpair listen umask getcwd chdir fchdir mkdir rmdir unlink rename link chmod fchmod fchmodat "
	    "chown fchown fchownat lchown setsid dup2 kill tgkill prlimit64 setrlimit mlockall "
	    "setgroups setresuid setresgid chroot capget seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self",
};

/* Of these a role may have some back. */
static const char fatal[] =
    "execve execveat fork vfork ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp pidfd_getfd "
    "setuid setgid setreuid setregid setresuid setresgid setgroups setfsuid setfsgid capset chroot pivot_root unshare setns "
    "mount umount umount2 move_mount open_tree fsopen fsconfig fsmount fspick mount_setattr swapon swapoff quotactl quotactl_fd "
    "init_module finit_module delete_module create_module kexec_load kexec_file_load reboot bpf perf_event_open userfaultfd "
    "add_key request_key keyctl io_uring_setup io_uring_enter io_uring_register mknod mknodat open_by_handle_at fanotify_init "
    "sethostname setdomainname settimeofday stime clock_settime adjtimex clock_adjtime acct iopl ioperm modify_ldt personality "
    "syslog vhangup nfsservctl lookup_dcookie uselib rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal";

enum { SOCK_STREAMS = 1, SOCK_DATAGRAMS = 2 };

static const struct role {
	unsigned needs;       /* 1 << enum need */
	unsigned ip, local;   /* sockets it may make, of AF_INET and AF_INET6, and of AF_UNIX */
	bool spool;           /* has it open */
} roles[SANDBOX_ROLES] = {
#define NEED(n) (1U << NEED_##n)
#define NEED_ALWAYS (NEED(RUN) | NEED(TALK))
	[SANDBOX_SUPERVISOR] = { (1U << NEEDS) - 1, SOCK_STREAMS | SOCK_DATAGRAMS, SOCK_STREAMS | SOCK_DATAGRAMS, false },
	[SANDBOX_KEEPER] = { NEED_ALWAYS, 0, 0, false },
	/* libunbound binds a socket to a port of its choice before it asks. The anchor is read again, see below. */
	[SANDBOX_RESOLVER] = { NEED_ALWAYS | NEED(CONNECT) | NEED(BIND) | NEED(READ), SOCK_STREAMS | SOCK_DATAGRAMS, 0, false },
	[SANDBOX_QUEUE] = { NEED_ALWAYS | NEED(CONNECT) | NEED(READ) | NEED(SPOOL), SOCK_STREAMS, 0, true },
	[SANDBOX_WORKER] = { NEED_ALWAYS | NEED(CONNECT) | NEED(ACCEPT) | NEED(READ) | NEED(SPOOL), SOCK_STREAMS, 0, true },
	[SANDBOX_CONTROL] = { NEED_ALWAYS | NEED(ACCEPT), 0, 0, false },
#undef NEED_ALWAYS
#undef NEED
};

/* --- a filter --- */

/* The first failure stays. */
struct filter {
	scmp_filter_ctx ctx;
	int error;
};

static void rule(struct filter *f, uint32_t action, int call, unsigned n, const struct scmp_arg_cmp *args)
{
	int error = f->error ? 0 : seccomp_rule_add_array(f->ctx, action, call, n, args);

	/* EDOM: this kind of machine has no such call. */
	if (error && error != -EDOM)
		f->error = -error;
}

static bool in_list(const char *list, const char *name, size_t n)
{
	while (*list) {
		size_t word = strcspn(list, " ");

		if (word == n && memcmp(list, name, n) == 0)
			return true;
		list += word + strspn(list + word, " ");
	}
	return false;
}

/* Every call of a list but those of another; a name that libseccomp does not know yet is none that this libc would use. */
static void each(struct filter *f, uint32_t action, const char *list, const char *but)
{
	while (*list) {
		size_t n = strcspn(list, " ");
		char name[40] = "";
		int call;

		if (n < sizeof(name))
			memcpy(name, list, n);
		call = seccomp_syscall_resolve_name(name);
		if (call != __NR_SCMP_ERROR && !in_list(but, name, n))
			rule(f, action, call, 0, NULL);
		list += n + strspn(list + n, " ");
	}
}

static void allow_if(struct filter *f, int call, struct scmp_arg_cmp a)
{
	rule(f, SCMP_ACT_ALLOW, call, 1, &a);
}

/* The low 32 bits are all the kernel looks at in an int. */
static struct scmp_arg_cmp int_is(unsigned arg, unsigned value)
{
	return SCMP_CMP64(arg, SCMP_CMP_MASKED_EQ, 0xffffffffU, value);
}

static struct scmp_arg_cmp bits_are(unsigned arg, uint64_t bits, uint64_t value)
{
	return SCMP_CMP64(arg, SCMP_CMP_MASKED_EQ, bits, value);
}

static void sockets(struct filter *f, unsigned family, unsigned kinds)
{
	const struct {
		unsigned kind, type;
	} all[] = { { SOCK_STREAMS, SOCK_STREAM }, { SOCK_DATAGRAMS, SOCK_DGRAM } };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		/* What a type may have beside it is no type: SOCK_NONBLOCK, SOCK_CLOEXEC. */
		struct scmp_arg_cmp args[2] = { int_is(0, family), bits_are(1, 0xffffffffU & ~(uint64_t)(SOCK_NONBLOCK | SOCK_CLOEXEC), all[i].type) };

		if (kinds & all[i].kind)
			rule(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, args);
	}
}

/* Memory is data: none of it becomes code. */
static void memory(struct filter *f)
{
	const int calls[] = { SCMP_SYS(mmap), SCMP_SYS(mmap2), SCMP_SYS(mprotect) };

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct scmp_arg_cmp code = bits_are(2, PROT_EXEC, PROT_EXEC);

		allow_if(f, calls[i], bits_are(2, PROT_EXEC, 0));
		rule(f, SCMP_ACT_ERRNO(EACCES), calls[i], 1, &code);
	}
}

static void descriptors(struct filter *f)
{
	/* Not F_SETOWN and F_SETSIG, which send signals to others. */
	static const int commands[] = { F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL };
	static const unsigned long ioctls[] = { FIONREAD, FIONBIO, TCGETS };

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		allow_if(f, SCMP_SYS(fcntl), int_is(1, (unsigned)commands[i]));
		allow_if(f, SCMP_SYS(fcntl64), int_is(1, (unsigned)commands[i]));
	}
	for (size_t i = 0; i < sizeof(ioctls) / sizeof(ioctls[0]); i++)
		allow_if(f, SCMP_SYS(ioctl), int_is(1, (unsigned)ioctls[i]));
}

/* Signals to itself alone, for abort(); its own limits and name. */
static void own_process(struct filter *f, bool spool)
{
	unsigned pid = (unsigned)getpid();

	allow_if(f, SCMP_SYS(kill), int_is(0, pid));
	/* No signal: whether the process is alive that a file of the spool is named after. */
	if (spool)
		allow_if(f, SCMP_SYS(kill), int_is(1, 0));
	allow_if(f, SCMP_SYS(prctl), int_is(0, PR_GET_NAME));
	allow_if(f, SCMP_SYS(tgkill), int_is(0, pid));
	allow_if(f, SCMP_SYS(prlimit64), int_is(0, 0));
}

#ifdef __s390__
enum { CLONE_FLAGS = 1 };
#else
enum { CLONE_FLAGS = 0 };
#endif

/* Threads get ENOSYS: nobody makes any, but one that a library would like is no attack. clone3 hides its flags in memory. */
static void no_children(struct filter *f)
{
	struct scmp_arg_cmp no_thread = bits_are(CLONE_FLAGS, 0x00010000 /* CLONE_THREAD */, 0);

	rule(f, SCMP_ACT_KILL_PROCESS, SCMP_SYS(clone), 1, &no_thread);
}

static void supervisor(struct filter *f)
{
	/* CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET */
	const uint64_t spaces = 0x7e020080;
	static const int options[] = { PR_SET_NAME, PR_GET_NAME, PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP };

	allow_if(f, SCMP_SYS(clone), bits_are(CLONE_FLAGS, spaces, 0));
	rule(f, SCMP_ACT_ALLOW, SCMP_SYS(fork), 0, NULL);
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		allow_if(f, SCMP_SYS(prctl), int_is(0, (unsigned)options[i]));
	rule(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 0, NULL);
	rule(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl64), 0, NULL);
}

/* The resolver starts anew with its anchor where nobody has answered for a while (resolver_dns.c). */
static void read_only(struct filter *f)
{
	const uint64_t changes = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY);

	allow_if(f, SCMP_SYS(openat), bits_are(2, changes, O_RDONLY));
	allow_if(f, SCMP_SYS(open), bits_are(1, changes, O_RDONLY));
}

static bool speaks_dovecot(const struct conf *conf)
{
	for (size_t i = 0; i < conf->listener_count; i++)
		if (conf->listeners[i].auth.dovecot)
			return true;
	return false;
}

static void fill(struct filter *f, enum sandbox_role role, const struct conf *conf)
{
	const struct role *r = &roles[role];
	unsigned local = r->local, needs = r->needs;
	static const char files[] = "open openat openat2 stat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat";

	/* syslogd is connected to again when it was restarted. */
	if (conf->log.to == LOG_SYSLOG) {
		local |= SOCK_DATAGRAMS;
		needs |= 1U << NEED_CONNECT;
	}
	/* It starts anew without its anchor, or rather not at all, before any file is open to it. */
	if (role == SANDBOX_RESOLVER && !sandbox_files_can())
		needs &= ~(1U << NEED_READ);
	if (role == SANDBOX_WORKER && speaks_dovecot(conf))
		local |= SOCK_STREAMS;
	for (unsigned i = 0; i < NEEDS; i++)
		if (needs & 1U << i)
			each(f, SCMP_ACT_ALLOW, lists[i], "");
	sockets(f, AF_INET, r->ip);
	sockets(f, AF_INET6, r->ip);
	sockets(f, AF_UNIX, local);
	memory(f);
	if (role == SANDBOX_SUPERVISOR) {
		supervisor(f);
		rule(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 0, NULL);
	} else {
		descriptors(f);
		own_process(f, r->spool);
		no_children(f);
	}
	if (role == SANDBOX_RESOLVER && needs & 1U << NEED_READ)
		read_only(f);
	else if (!(needs & 1U << NEED_READ))
		each(f, SCMP_ACT_ERRNO(EACCES), files, "");
	each(f, SCMP_ACT_KILL_PROCESS, fatal, role == SANDBOX_SUPERVISOR ? "fork setresuid setresgid setgroups chroot" : "");
}

/* --- the lock --- */

static bool filter_can(void)
{
	uint32_t kill = SECCOMP_RET_KILL_PROCESS;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &kill) == 0;
}

static bool filter_load(enum sandbox_role role, const struct conf *conf)
{
	struct filter f = { .ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS)) };

	if (!f.ctx) {
		errno = ENOMEM;
		return false;
	}
	/* Calls of another kind of machine (32 bits) would go past the lists. */
	f.error = -seccomp_attr_set(f.ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* A search by halves, and what was refused in the audit log: good to have. */
	(void)seccomp_attr_set(f.ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	(void)seccomp_attr_set(f.ctx, SCMP_FLTATR_CTL_LOG, 1);
	fill(&f, role, conf);
	if (!f.error)
		f.error = -seccomp_load(f.ctx);
	seccomp_release(f.ctx);
	errno = f.error;
	return f.error == 0;
}

/* Decided once: what the supervisor took upon itself its children cannot be rid of. */
static bool off;

const char *sandbox_hindered(void)
{
#ifdef HOPSEAL_SANITIZED
	return "built with -fsanitize=" HOPSEAL_SANITIZED;
#else
	return NULL;
#endif
}

/* What libraries read when they first want it, since nobody can later: the time zone, and openssl.cnf with what it names. */
static void libraries_begin(void)
{
	unsigned char digest[DIGEST_OCTETS];

	tzset();
	(void)digest_once(DIGEST_SHA256, SLICE_NONE, digest);
}

bool sandbox_start(const struct conf *conf)
{
	off = !conf->sandbox || sandbox_hindered();
	if (off)
		return true;
	libraries_begin();
	return sandbox_enter(SANDBOX_SUPERVISOR, conf, -1, NULL);
}

/* Why a root of their own is not for workers and queue process; NULL: it is. */
static const char *root_hindered(const struct conf *conf, uid_t uid)
{
	if (uid == (uid_t)-1)
		return "no rights are given up";
	if (conf->log.to == LOG_SYSLOG)
		return "log.to is syslog";
	return speaks_dovecot(conf) ? "auth.dovecot is set" : NULL;
}

void sandbox_tell(const struct conf *conf, uid_t uid)
{
	const char *why;

	if (off) {
		why = sandbox_hindered();
		log_note(LOG_LEVEL_WARNING, "sandbox_off", "%s", why ? why : "sandbox is false");
		return;
	}
	if (!filter_can())
		log_note(LOG_LEVEL_WARNING, "sandbox_partial", "the kernel has no seccomp: processes may ask anything of it");
	if (!sandbox_files_can() && (why = root_hindered(conf, uid)))
		log_note(LOG_LEVEL_WARNING, "sandbox_partial",
		    "the kernel has no Landlock (Linux 5.19), and no chroot is possible, %s: workers and queue may open other files than the spool's", why);
}

void sandbox_root(enum sandbox_role role, const struct conf *conf, uid_t uid, int spool_fd)
{
	if (off || !roles[role].spool || sandbox_files_can() || root_hindered(conf, uid))
		return;
	if (fchdir(spool_fd) < 0 || chroot(".") < 0)
		log_note(LOG_LEVEL_WARNING, "sandbox_partial", "the kernel has no Landlock, and no chroot is possible: %s", strerror(errno));
}

bool sandbox_enter(enum sandbox_role role, const struct conf *conf, int spool_fd, const char *file)
{
	if (off || sandbox_hindered())
		return true;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return false;
	/* The supervisor reads its configuration, and what that names, wherever it lies. */
	if (role != SANDBOX_SUPERVISOR && sandbox_files_can() && !sandbox_files_lock(roles[role].spool ? spool_fd : -1, file))
		return false;
	return !filter_can() || filter_load(role, conf);
}
