/* password.c - hopsealctl password: what a file of passwords holds of one. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <termios.h>
#include <unistd.h>

#include "base/limits.h"
#include "crypt/scram.h"
#include "ctl/ctl.h"
#include "mail/utf8.h"

/* RFC 7677 4: more than the 4096 that must be, if what has to verify it has the time. */
enum { ITERATIONS = 15000, SALT_OCTETS = 16, PASSWORD_OCTETS = 1024 };

/* A line of standard input, without its end. What is behind it stays unread, or is not ours. */
static int read_line(char line[PASSWORD_OCTETS + 2], size_t *n_out)
{
	size_t n = 0;

	for (;;) {
		char c;
		ssize_t got = read(STDIN_FILENO, &c, 1);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			ctl_complain("standard input: %s", strerror(errno));
			return CTL_NO_INPUT;
		}
		if (got == 0 || c == '\n')
			break;
		line[n] = c;
		n += n <= PASSWORD_OCTETS;
	}
	n -= n && line[n - 1] == '\r';
	if (n > PASSWORD_OCTETS) {
		ctl_complain("the password is longer than %d octets", PASSWORD_OCTETS);
		return CTL_BAD;
	}
	*n_out = n;
	return CTL_DONE;
}

/* From a terminal, where it is not shown. */
static int ask(const char *prompt, char line[PASSWORD_OCTETS + 2], size_t *n_out)
{
	struct termios before, quiet;
	int code;

	if (tcgetattr(STDIN_FILENO, &before) < 0) {
		ctl_complain("standard input: %s", strerror(errno));
		return CTL_NO_INPUT;
	}
	quiet = before;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	quiet.c_lflag |= ECHONL;
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) < 0) {
		ctl_complain("standard input: %s", strerror(errno));
		return CTL_NO_INPUT;
	}
	fputs(prompt, stderr);
	code = read_line(line, n_out);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
	return code;
}

static int read_password(char line[PASSWORD_OCTETS + 2], size_t *n_out)
{
	char again[PASSWORD_OCTETS + 2];
	size_t n = 0;
	int code;

	if (!isatty(STDIN_FILENO))
		return read_line(line, n_out);
	code = ask("password: ", line, n_out);
	if (code == CTL_DONE)
		code = ask("the same again: ", again, &n);
	if (code == CTL_DONE && (n != *n_out || memcmp(line, again, n) != 0)) {
		ctl_complain("that was another one");
		code = CTL_BAD;
	}
	explicit_bzero(again, sizeof(again));
	return code;
}

static bool user_valid(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.at[i] < 0x20 || s.at[i] == 0x7f || s.at[i] == ':')
			return false;
	return s.n > 0 && s.n <= LIMIT_AUTH_NAME && utf8_valid(s) && s.at[0] != '#' && !slice_eq(s, S("none"));
}

static int print(const char *user, struct slice password, uint32_t iterations)
{
	struct scram_verifier v = { .iterations = iterations, .salt_n = SALT_OCTETS };
	struct scram_stretch *s = NULL;
	struct buf line;
	int code = CTL_TEMPORARY;

	buf_init(&line, 4096);
	if (getrandom(v.salt, v.salt_n, 0) == (ssize_t)v.salt_n)
		s = scram_stretch_new(password, slice_of(v.salt, v.salt_n), iterations);
	if (s && scram_stretch_run(s, iterations) && scram_stretch_keys(s, v.stored_key, v.server_key)) {
		if (user)
			buf_printf(&line, "%s:", user);
		scram_write(&line, &v);
		buf_octet(&line, '\n');
		code = buf_failed(&line) ? CTL_TEMPORARY : CTL_DONE;
	}
	if (code == CTL_DONE)
		fwrite(line.at, 1, line.n, stdout);
	else
		ctl_complain("no memory");
	scram_stretch_free(&s);
	explicit_bzero(&v, sizeof(v));
	buf_release(&line);
	return code;
}

enum { ITERATIONS_OPTION = 1 };

int ctl_password(int argc, char **argv)
{
	static const struct option options[] = {
		{ "iterations", required_argument, NULL, ITERATIONS_OPTION },
		{ NULL, 0, NULL, 0 },
	};
	char password[PASSWORD_OCTETS + 2];
	uint64_t iterations = ITERATIONS;
	size_t n = 0;
	int option, code;

	while ((option = ctl_option(argc, argv, options)) >= 0) {
		if (option != ITERATIONS_OPTION)
			return CTL_USAGE;
		if (!slice_u64(slice_str(optarg), LIMIT_SCRAM_MOST, &iterations) || iterations < LIMIT_SCRAM_LEAST)
			return ctl_usage("--iterations %s: %d to %d was expected", optarg, LIMIT_SCRAM_LEAST, LIMIT_SCRAM_MOST);
	}
	if (argc - optind > 1)
		return ctl_usage("unexpected argument: %s", argv[optind + 1]);
	if (optind < argc && !user_valid(slice_str(argv[optind])))
		return ctl_usage("user %s: 1 to %d octets of UTF-8 without a colon were expected, not \"none\"", argv[optind], LIMIT_AUTH_NAME);
	code = read_password(password, &n);
	if (code == CTL_DONE && (n == 0 || memchr(password, '\0', n) || !utf8_valid(slice_of(password, n)))) {
		ctl_complain("a password of UTF-8 was expected");
		code = CTL_BAD;
	}
	if (code == CTL_DONE)
		code = print(argv[optind], slice_of(password, n), (uint32_t)iterations);
	explicit_bzero(password, sizeof(password));
	return ctl_end(code);
}
