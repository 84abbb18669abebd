#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/background.h"

/* The first octet is the exit code, the rest words for the operator. Silence is a death. */
static _Noreturn void wait_for_news(int fd)
{
	unsigned char news[2048];
	size_t n = 0;
	ssize_t got;

	while (n < sizeof(news)) {
		got = read(fd, news + n, sizeof(news) - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	if (n == 0) {
		fputs("hopseal: died while it started\n", stderr);
		_exit(71);
	}
	if (n > 1)
		fprintf(stderr, "%.*s\n", (int)(n - 1), (const char *)news + 1);
	_exit(news[0]);
}

int background_enter(void)
{
	int news[2], null;
	pid_t child;

	if (pipe2(news, O_CLOEXEC) < 0)
		return -1;
	child = fork();
	if (child < 0) {
		close(news[0]);
		close(news[1]);
		return -1;
	}
	if (child > 0) {
		close(news[1]);
		wait_for_news(news[0]);
	}
	close(news[0]);
	/* The second fork: no session leader, so no terminal can ever become ours. */
	if (setsid() < 0 || (child = fork()) < 0) {
		background_tell(news[1], 71, strerror(errno));
		_exit(71);
	}
	if (child > 0)
		_exit(0);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		for (int fd = 0; fd <= STDERR_FILENO; fd++)
			dup2(null, fd);
		close(null);
	}
	return news[1];
}

void background_tell(int fd, int code, const char *text)
{
	unsigned char news[2048] = { (unsigned char)code };
	size_t n = text ? strlen(text) : 0;

	if (n > sizeof(news) - 1)
		n = sizeof(news) - 1;
	if (n)
		memcpy(news + 1, text, n);
	(void)!write(fd, news, n + 1);
	close(fd);
}
