#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "daemon/bind.h"

enum { BACKLOG = 1024, CONTROL_BACKLOG = 128, LOCK_STEP_MS = 20 };

static int refuse(int fd, char error_out[BIND_ERROR], const char *what, const char *why)
{
	snprintf(error_out, BIND_ERROR, "%.300s: %.200s", what, why);
	if (fd >= 0)
		close(fd);
	return -1;
}

static bool run_dir_make(const char *run_dir, gid_t gid)
{
	if (mkdir(run_dir, 0750) < 0)
		return errno == EEXIST;
	return chmod(run_dir, 0750) == 0 && (gid == (gid_t)-1 || chown(run_dir, (uid_t)-1, gid) == 0);
}

int bind_lock(const char *run_dir, gid_t gid, char error_out[BIND_ERROR])
{
	char path[300], why[128];
	int fd;

	if (snprintf(path, sizeof(path), "%s/lock", run_dir) >= (int)sizeof(path))
		return refuse(-1, error_out, run_dir, "name too long");
	if (!run_dir_make(run_dir, gid))
		return refuse(-1, error_out, run_dir, strerror(errno));
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return refuse(-1, error_out, path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		char pid[24] = "";
		ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

		if (errno != EWOULDBLOCK && n < 0)
			return refuse(fd, error_out, path, strerror(errno));
		pid[n > 0 ? strspn(pid, "0123456789") : 0] = '\0';
		snprintf(why, sizeof(why), "lock is held, another hopseal runs here%s%s%s", pid[0] ? " (process " : "", pid,
		    pid[0] ? ")" : "");
		return refuse(fd, error_out, path, why);
	}
	return fd;
}

void bind_lock_pid(int fd)
{
	char pid[24];
	int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());

	/* For people only: the lock itself is the kernel's. */
	if (ftruncate(fd, 0) == 0)
		(void)!pwrite(fd, pid, (size_t)n, 0);
}

int bind_spool(const struct conf *conf, unsigned wait_ms, bool *locked_out, char error_out[BIND_ERROR])
{
	static const struct timespec step = { .tv_nsec = LOCK_STEP_MS * 1000000L };
	int fd = open(conf->spool_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char what[300];

	*locked_out = false;
	snprintf(what, sizeof(what), "%.100s: spool.dir = \"%.150s\"", conf->spool_where, conf->spool_dir);
	if (fd < 0)
		return refuse(fd, error_out, what, strerror(errno));
	for (unsigned waited_ms = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited_ms += LOCK_STEP_MS) {
		if (errno != EWOULDBLOCK)
			return refuse(fd, error_out, what, strerror(errno));
		if (waited_ms >= wait_ms) {
			*locked_out = true;
			return refuse(fd, error_out, what, "spool is locked, another hopseal works in it");
		}
		nanosleep(&step, NULL);
	}
	return fd;
}

int bind_listen(const struct conf_address *address, char error_out[BIND_ERROR])
{
	char what[256];
	int on = 1;
	int fd = socket(address->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(what, sizeof(what), "%s: %s", address->where, address->text);
	if (fd < 0)
		return refuse(fd, error_out, what, strerror(errno));
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    (address->sa.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
	    bind(fd, (const struct sockaddr *)&address->sa, address->sa_len) < 0 || listen(fd, BACKLOG) < 0)
		return refuse(fd, error_out, what, errno == EADDRINUSE ? "address is in use already" : strerror(errno));
	return fd;
}

static bool control_address(const char *run_dir, struct sockaddr_un *out)
{
	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	return snprintf(out->sun_path, sizeof(out->sun_path), "%s/control.sock", run_dir) < (int)sizeof(out->sun_path);
}

int bind_control(const char *run_dir, gid_t gid, char error_out[BIND_ERROR])
{
	struct sockaddr_un at;
	int fd;

	if (!control_address(run_dir, &at))
		return refuse(-1, error_out, run_dir, "name too long for a socket in it");
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return refuse(-1, error_out, at.sun_path, strerror(errno));
	unlink(at.sun_path);
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || chmod(at.sun_path, 0660) < 0 ||
	    (gid != (gid_t)-1 && chown(at.sun_path, (uid_t)-1, gid) < 0) || listen(fd, CONTROL_BACKLOG) < 0)
		return refuse(fd, error_out, at.sun_path, strerror(errno));
	return fd;
}

void bind_control_remove(const char *run_dir)
{
	struct sockaddr_un at;

	if (control_address(run_dir, &at))
		unlink(at.sun_path);
}

bool bind_files(const struct conf *conf, uint64_t *wanted_out, uint64_t *have_out)
{
	struct rlimit limit;
	/* A session has its client, its next hop and maybe a body file; one worker may hold them all. */
	rlim_t wanted = (rlim_t)conf->limits.sessions * 3 + 256;
	/* The queue process has a connection and a file for a delivery. */
	rlim_t delivering = (rlim_t)conf->queue.deliveries * 2 + 256;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return false;
	if (wanted < delivering)
		wanted = delivering;
	*wanted_out = wanted;
	if (limit.rlim_cur < wanted) {
		struct rlimit more = limit;

		more.rlim_cur = wanted;
		if (more.rlim_max < wanted)
			more.rlim_max = wanted;
		if (setrlimit(RLIMIT_NOFILE, &more) < 0) {
			limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
			if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
				return false;
		} else {
			limit = more;
		}
	}
	*have_out = limit.rlim_cur;
	return limit.rlim_cur >= wanted;
}
