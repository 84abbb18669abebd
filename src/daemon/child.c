#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/child.h"

bool child_drop(const struct child_args *args)
{
	if (args->uid != (uid_t)-1 && (getuid() != args->uid || geteuid() != args->uid)) {
		if (setgroups(1, &args->gid) < 0 || setresgid(args->gid, args->gid, args->gid) < 0 ||
		    setresuid(args->uid, args->uid, args->uid) < 0)
			return false;
	}
	/* The kernel forgets this one when the user changes. */
	return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0;
}

bool boss_send(int fd, enum boss_kind kind, uint32_t value, const char *text, int pass_fd)
{
	struct boss_message m = { .kind = kind, .value = value };
	size_t n = text ? strlen(text) : 0;
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = &m };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t sent;

	if (n >= sizeof(m.text))
		n = sizeof(m.text) - 1;
	if (n)
		memcpy(m.text, text, n);
	iov.iov_len = offsetof(struct boss_message, text) + n + 1;
	if (pass_fd >= 0) {
		struct cmsghdr *c;

		h.msg_control = control.room;
		h.msg_controllen = sizeof(control.room);
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &pass_fd, sizeof(int));
	}
	do
		sent = sendmsg(fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent == (ssize_t)iov.iov_len;
}

int boss_receive(int fd, struct boss_message *message_out, int *fd_out)
{
	struct boss_message m = { 0 };
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = &m, .iov_len = sizeof(m) };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room,
		.msg_controllen = sizeof(control.room) };
	int passed = -1;
	ssize_t n;

	do
		n = recvmsg(fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -1;
	if (n == 0)
		return -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			memcpy(&passed, CMSG_DATA(c), sizeof(int));
	if ((size_t)n <= offsetof(struct boss_message, text)) {
		/* Nothing of ours is that short. */
		if (passed >= 0)
			close(passed);
		return -1;
	}
	m.text[sizeof(m.text) - 1] = '\0';
	*message_out = m;
	*fd_out = passed;
	return 1;
}
