#include "out/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/limits.h"

static struct {
	enum sink_kind kind;
	int fd;              /* -1: standard error as it is, or no syslog server */
	bool socket;         /* standard error is one */
	struct buf waiting;  /* whole lines, but for what is missing at the front of the first */
	size_t at;           /* of `waiting`, what is written */
	uint64_t lost;
} sink = { .fd = -1 };

static int syslog_open(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

/*
 * Standard error is shared with whoever started us and may not be made non-blocking for them: a pipe or terminal is opened once
 * more. What cannot be is asked before each line whether it would block.
 */
static int stderr_open(bool *socket_out)
{
	struct stat st;

	*socket_out = false;
	if (fstat(STDERR_FILENO, &st) < 0)
		return -1;
	*socket_out = S_ISSOCK(st.st_mode);
	if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
		return -1;
	return open("/proc/self/fd/2", O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

static void lose_waiting(void)
{
	for (size_t i = sink.at; i < sink.waiting.n; i++)
		sink.lost += sink.waiting.at[i] == '\n';
	buf_release(&sink.waiting);
	sink.at = 0;
}

bool sink_open(enum sink_kind kind, const char *path)
{
	bool is_socket = false;
	int fd;

	if (kind == SINK_FILE)
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
	else /* a syslog server that is away comes back; its absence is no reason to refuse work */
		fd = kind == SINK_SYSLOG ? syslog_open() : stderr_open(&is_socket);
	if (kind == SINK_FILE && fd < 0)
		return false;
	sink_flush();
	if (sink.kind != kind)
		lose_waiting();
	if (sink.fd >= 0)
		close(sink.fd);
	sink.kind = kind;
	sink.fd = fd;
	sink.socket = is_socket;
	return true;
}

void sink_take(int fd)
{
	sink_flush();
	if (sink.fd >= 0)
		close(sink.fd);
	sink.fd = fd;
}

int sink_fd(void)
{
	return sink.fd;
}

void sink_forget(void)
{
	buf_release(&sink.waiting);
	sink.at = 0;
	sink.lost = 0;
}

static ssize_t stream_write(struct slice line)
{
	struct pollfd standard = { .fd = STDERR_FILENO, .events = POLLOUT };

	if (sink.fd >= 0)
		return write(sink.fd, line.at, line.n);
	if (sink.socket)
		return send(STDERR_FILENO, line.at, line.n, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (poll(&standard, 1, 0) == 0) {
		errno = EAGAIN;
		return -1;
	}
	return write(STDERR_FILENO, line.at, line.n);
}

static ssize_t syslog_write(struct slice head, struct slice line)
{
	struct iovec parts[2] = {
		{ .iov_base = (void *)(uintptr_t)head.at, .iov_len = head.n },
		{ .iov_base = (void *)(uintptr_t)line.at, .iov_len = line.n - 1 },
	};
	struct msghdr h = { .msg_iov = parts, .msg_iovlen = 2 };
	ssize_t n = sink.fd >= 0 ? sendmsg(sink.fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT) : -1;

	if (n < 0 && (sink.fd < 0 || errno != EAGAIN)) {
		/* The server was restarted, or was not there at the start. */
		if (sink.fd >= 0)
			close(sink.fd);
		sink.fd = syslog_open();
		n = sink.fd >= 0 ? sendmsg(sink.fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT) : -1;
	}
	return n < 0 ? n : (ssize_t)line.n;
}

/* Octets of the line that are on their way; 0: none now. */
static size_t put(struct slice head, struct slice line)
{
	ssize_t n;

	do
		n = sink.kind == SINK_SYSLOG ? syslog_write(head, line) : stream_write(line);
	while (n < 0 && errno == EINTR);
	return n < 0 ? 0 : (size_t)n;
}

/* What is written at a time is whole lines, so that other processes' lines come between, not in them. */
static struct slice next_piece(void)
{
	struct slice rest = slice_sub(buf_get(&sink.waiting), sink.at, SIZE_MAX);
	size_t n = 0;

	for (size_t i = 0; i < rest.n && (n == 0 || i < PIPE_BUF); i++) {
		if (rest.at[i] == '\n')
			n = i + 1;
		if (n && sink.kind == SINK_SYSLOG)
			break;
	}
	return slice_sub(rest, 0, n);
}

void sink_flush(void)
{
	while (sink_pending()) {
		struct slice piece = next_piece();
		size_t n = put(SLICE_NONE, piece);

		sink.at += n;
		if (n < piece.n)
			return;
	}
	if (sink.at) {
		buf_release(&sink.waiting); /* trouble is rare: its memory is not kept */
		sink.at = 0;
	}
}

bool sink_pending(void)
{
	return sink.at < sink.waiting.n;
}

static void keep(struct slice head, struct slice line)
{
	struct buf *b = &sink.waiting;

	if (b->ceiling == 0)
		buf_init(b, LIMIT_LOG_BACKLOG);
	if (sink.at > LIMIT_LOG_BACKLOG / 2) {
		buf_drop(b, sink.at);
		sink.at = 0;
	}
	/* Where lines were lost, those behind are too, until that has been told in their place. */
	if (sink.lost || b->n + head.n + line.n > LIMIT_LOG_BACKLOG) {
		sink.lost++;
		return;
	}
	buf_slice(b, head);
	buf_slice(b, line);
	if (buf_failed(b)) { /* no memory */
		lose_waiting();
		sink.lost++;
	}
}

void sink_put(struct slice head, struct slice line)
{
	size_t n = 0;

	if (!sink_pending())
		n = put(head, line);
	if (n == 0)
		keep(head, line);
	else if (n < line.n)
		keep(SLICE_NONE, slice_sub(line, n, SIZE_MAX));
}

uint64_t sink_lost(void)
{
	return sink.lost;
}

uint64_t sink_lost_take(void)
{
	uint64_t lost = sink.lost;

	sink.lost = 0;
	return lost;
}
