#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "mail/addr.h"
#include "mail/utf8.h"

enum { COMPLAINT_OCTETS = 1 << 26 };

static const struct ctl_verb *current;

void ctl_begin(const struct ctl_verb *verb)
{
	current = verb;
}

static void complain(const char *format, va_list ap) __attribute__((format(printf, 1, 0)));
static void complain(const char *format, va_list ap)
{
	struct slice plain;
	struct arena a;
	char *text;

	fputs("hopsealctl", stderr);
	if (current)
		fprintf(stderr, " %s", current->name);
	fputs(": ", stderr);
	arena_init(&a, COMPLAINT_OCTETS);
	if (vasprintf(&text, format, ap) >= 0) {
		plain = ctl_plain(&a, slice_str(text), true);
		fwrite(plain.n ? plain.at : (const unsigned char *)"", 1, plain.n, stderr);
		free(text);
	}
	fputc('\n', stderr);
	arena_clear(&a);
}

void ctl_complain(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	complain(format, ap);
	va_end(ap);
}

int ctl_usage(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	complain(format, ap);
	va_end(ap);
	if (current)
		fprintf(stderr, "usage: hopsealctl %s\n", current->usage);
	return CTL_USAGE;
}

int ctl_option(int argc, char **argv, const struct option *options)
{
	const struct option *o = options;
	int option;

	/* -c is the only short one, of the verbs that have it. */
	while (o->name && o->val != 'c')
		o++;
	/* ':': complaints are ours. */
	opterr = 0;
	option = getopt_long(argc, argv, o->name ? ":c:" : ":", options, NULL);
	/* A short one may have others behind it in its word; the val of a long one is no printable character. */
	if (option == '?' && optopt > 0x20 && optopt < 0x7f)
		ctl_usage("unknown option: -%c", optopt);
	else if (option == '?')
		ctl_usage("unknown option: %s", argv[optind - 1]);
	else if (option == ':')
		ctl_usage("%s needs a value", argv[optind - 1]);
	return option;
}

int ctl_read(const char *path, struct buf *octets_out)
{
	bool standard = strcmp(path, "-") == 0;
	int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;
	unsigned char *room;

	if (fd < 0) {
		ctl_complain("%s: %s", path, strerror(errno));
		return CTL_NO_INPUT;
	}
	while ((room = buf_room(octets_out, 65536)) != NULL) {
		do
			n = read(fd, room, 65536);
		while (n < 0 && errno == EINTR);
		if (n <= 0)
			break;
		buf_grew(octets_out, (size_t)n);
	}
	if (n < 0)
		ctl_complain("%s: %s", path, strerror(errno));
	if (!standard)
		close(fd);
	if (buf_failed(octets_out)) {
		ctl_complain("%s: too big", path);
		return CTL_BAD;
	}
	return n < 0 ? CTL_NO_INPUT : CTL_DONE;
}

int ctl_end(int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	ctl_complain("standard output: %s", strerror(errno));
	return CTL_CANNOT_WRITE;
}

bool ctl_path(struct arena *a, const char *text, bool null_allowed, struct slice *path_out)
{
	struct slice s = slice_str(text);
	struct path path;

	if (!slice_starts(s, S("<")))
		s = arena_printf(a, "<%s>", text);
	if (!path_parse(s, &path) || (path.null && !null_allowed))
		return false;
	*path_out = s;
	return true;
}

size_t ctl_unprintable(struct slice s)
{
	unsigned char c = s.at[0], d = s.n > 1 ? s.at[1] : 0, e = s.n > 2 ? s.at[2] : 0;

	if (c < 0x20 || c == 0x7f)
		return 1;
	if ((c == 0xc2 && d < 0xa0) || (c == 0xd8 && d == 0x9c))
		return 2;
	if (c == 0xe2 && ((d == 0x80 && ((e >= 0x8b && e <= 0x8f) || (e >= 0xa8 && e <= 0xae))) || (d == 0x81 && e >= 0xa0 && e <= 0xaf)))
		return 3;
	return c == 0xef && d == 0xbb && e == 0xbf ? 3 : 0;
}

struct slice ctl_plain(struct arena *a, struct slice s, bool utf8)
{
	struct buf b;
	struct slice out;

	buf_init(&b, s.n * 4 + 1);
	utf8 = utf8 && utf8_valid(s);
	while (s.n) {
		size_t hidden = utf8 ? ctl_unprintable(s) : s.at[0] < 0x20 || s.at[0] >= 0x7f;

		if (!hidden)
			buf_octet(&b, s.at[0]);
		for (size_t i = 0; i < hidden; i++)
			buf_printf(&b, "\\x%02x", s.at[i]);
		s = slice_sub(s, hidden ? hidden : 1, SIZE_MAX);
	}
	out = arena_copy(a, buf_get(&b));
	buf_release(&b);
	return out;
}

struct slice ctl_unfolded(struct arena *a, struct slice value)
{
	unsigned char *to;
	size_t n = 0;

	value = slice_trim(value);
	if (slice_find(value, '\n') == value.n)
		return value;
	to = arena_take(a, value.n);
	if (!to)
		return SLICE_NONE;
	for (size_t i = 0; i < value.n; i++) {
		if (i + 2 < value.n && slice_starts(slice_sub(value, i, 2), S("\r\n"))) {
			to[n++] = ' ';
			i += 2;
		} else {
			to[n++] = value.at[i];
		}
	}
	return slice_of(to, n);
}

json_t *ctl_json(struct arena *a, struct slice s)
{
	if (!utf8_valid(s))
		s = ctl_plain(a, s, false);
	return json_stringn_nocheck(s.n ? (const char *)s.at : "", s.n);
}

void ctl_print_json(json_t *take_object)
{
	json_dumpf(take_object, stdout, JSON_INDENT(1));
	fputc('\n', stdout);
	json_decref(take_object);
}
