/*
 * child.h - keeper and resolver as the supervisor starts them: a forked process, a pair to the boss, a pair a worker.
 */
#ifndef CHILD_H
#define CHILD_H

#include "test.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "daemon/child.h"
#include "net/ipc.h"

enum { CHILD_DEADLINE_MS = 20000 };

struct child {
	pid_t pid;
	int boss;   /* our end */
	int output; /* its standard error, when it was asked for */
};

static inline void child_wait(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	int got;

	do
		got = poll(&p, 1, CHILD_DEADLINE_MS);
	while (got < 0 && errno == EINTR);
	if (got != 1)
		fail_msg("nothing came for %d ms", CHILD_DEADLINE_MS);
}

/* args: all but boss_fd. */
static inline struct child child_start(int (*run)(const struct child_args *), struct child_args args, bool output)
{
	struct child c = { .output = -1 };
	int boss[2], out[2] = { -1, -1 };

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, boss), 0);
	if (output)
		assert_int_equal(pipe(out), 0);
	c.pid = fork();
	assert_true(c.pid >= 0);
	if (c.pid == 0) {
		close(boss[0]);
		if (output) {
			dup2(out[1], STDERR_FILENO);
			close(out[0]);
			close(out[1]);
		}
		args.boss_fd = boss[1];
		_exit(run(&args));
	}
	close(boss[1]);
	if (output)
		close(out[1]);
	c.boss = boss[0];
	c.output = out[0];
	return c;
}

static inline void child_ready(struct child *c)
{
	struct boss_message m;
	int fd;

	child_wait(c->boss, POLLIN);
	assert_int_equal(boss_receive(c->boss, &m, &fd), 1);
	assert_int_equal(m.kind, BOSS_READY);
}

/* A worker's end of a new pair. */
static inline int child_client(struct child *c)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	assert_true(boss_send(c->boss, BOSS_CLIENT, 0, NULL, fds[1]));
	close(fds[1]);
	return fds[0];
}

/* Its exit code; waits for the end. */
static inline int child_code(struct child *c)
{
	int status;

	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	if (c->boss >= 0)
		close(c->boss);
	if (c->output >= 0)
		close(c->output);
	c->boss = c->output = -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline int child_stop(struct child *c)
{
	assert_true(boss_send(c->boss, BOSS_STOP, 0, NULL, -1));
	return child_code(c);
}

/* Everything it wrote to standard error until its end. */
static inline void child_output(struct child *c, char *text, size_t room)
{
	size_t n = 0;
	ssize_t got;

	while (n + 1 < room && (got = read(c->output, text + n, room - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = '\0';
}

/* The next message of that kind, in octets of LIMIT_IPC. */
static inline void child_receive(int fd, enum ipc_kind kind, unsigned char *octets, struct ipc_in *in_out)
{
	ssize_t n;

	child_wait(fd, POLLIN);
	n = recv(fd, octets, LIMIT_IPC, 0);
	assert_true(n > 0);
	assert_true(ipc_open(slice_of(octets, (size_t)n), kind, in_out));
}

static inline void child_send(int fd, const struct buf *b)
{
	assert_false(buf_failed(b));
	child_wait(fd, POLLOUT);
	assert_int_equal(send(fd, b->at, b->n, 0), (ssize_t)b->n);
}

#endif
