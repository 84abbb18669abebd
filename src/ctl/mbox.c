#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/mbox.h"

enum {
	WINDOW = 65536,
	LOOK = 1024, /* octets of a line that are looked at */
};

struct mbox {
	int fd;
	const volatile sig_atomic_t *interrupted;
	size_t at, n;         /* of the window that are not taken yet */
	uint64_t read_octets;
	uint64_t file_octets; /* of a regular file; else nothing can be looked up ahead */
	bool regular;
	bool ended;           /* nothing more can be read */
	int error;
	bool begun;           /* the first line was looked at */
	bool many;            /* it is an mbox */
	uint64_t number;
	unsigned char window[WINDOW];
};

struct mbox *mbox_new(int take_fd, const volatile sig_atomic_t *interrupted)
{
	struct mbox *m = calloc(1, sizeof(*m));
	struct stat st;

	if (!m) {
		close(take_fd);
		return NULL;
	}
	m->fd = take_fd;
	m->interrupted = interrupted;
	if (fstat(take_fd, &st) == 0 && S_ISREG(st.st_mode) && lseek(take_fd, 0, SEEK_CUR) == 0) {
		m->regular = true;
		m->file_octets = (uint64_t)st.st_size;
	}
	return m;
}

void mbox_free(struct mbox **m)
{
	if (!*m)
		return;
	close((*m)->fd);
	free(*m);
	*m = NULL;
}

uint64_t mbox_number(const struct mbox *m)
{
	return m->number;
}

uint64_t mbox_octets(const struct mbox *m)
{
	return m->read_octets - (m->n - m->at);
}

/* Until a pipe has something, or SIGINT comes: not between a look and the wait. */
static void wait_for(struct mbox *m)
{
	struct pollfd p = { .fd = m->fd, .events = POLLIN };
	sigset_t interrupt, was;

	sigemptyset(&interrupt);
	sigaddset(&interrupt, SIGINT);
	sigprocmask(SIG_BLOCK, &interrupt, &was);
	if (!*m->interrupted)
		ppoll(&p, 1, NULL, &was);
	sigprocmask(SIG_SETMASK, &was, NULL);
}

/* What lies ahead, at least LOOK octets while there are so many. */
static struct slice ahead(struct mbox *m)
{
	while (!m->ended && m->n - m->at < LOOK) {
		ssize_t n;

		memmove(m->window, m->window + m->at, m->n - m->at);
		m->n -= m->at;
		m->at = 0;
		if (!m->regular)
			wait_for(m);
		n = *m->interrupted ? (errno = EINTR, -1) : read(m->fd, m->window + m->n, WINDOW - m->n);
		if (n > 0) {
			m->n += (size_t)n;
			m->read_octets += (uint64_t)n;
		} else {
			m->ended = true;
			m->error = n < 0 ? errno : 0;
		}
	}
	return slice_of(m->window + m->at, m->n - m->at);
}

/* The line ahead with its end, or what the window has of it, at most `max`. Empty: the end. */
static struct slice take(struct mbox *m, uint64_t max)
{
	struct slice s = ahead(m);
	const unsigned char *lf = s.n ? memchr(s.at, '\n', s.n) : NULL;

	if (lf)
		s.n = (size_t)(lf - s.at) + 1;
	if (s.n > max)
		s.n = (size_t)max;
	m->at += s.n;
	return s;
}

static bool empty_line(struct slice s)
{
	return slice_eq(s, S("\n")) || slice_eq(s, S("\r\n"));
}

static bool ends_line(struct slice s)
{
	return s.n && s.at[s.n - 1] == '\n';
}

/* "From " with a time of day behind it; a field may be written "From : a@b". */
static bool from_line(struct slice s)
{
	if (!slice_starts(s, S("From ")))
		return false;
	s = slice_sub(s, 5, slice_find(s, '\n') - 5);
	s = slice_sub(s, 0, LOOK);
	if (slice_starts(slice_trim(s), S(":")))
		return false;
	for (size_t i = 2; i + 2 < s.n; i++)
		if (s.at[i] == ':' && ascii_digit(s.at[i - 1]) && ascii_digit(s.at[i - 2]) && ascii_digit(s.at[i + 1]) &&
		    ascii_digit(s.at[i + 2]))
			return true;
	return false;
}

/* With CRLF for LF when that is how the message is written. */
static void put(struct buf *out, struct slice s, bool lf)
{
	size_t before = s.n - 1;

	if (!lf || !ends_line(s) || (before ? s.at[before - 1] : out->n ? out->at[out->n - 1] : 0) == '\r') {
		buf_slice(out, s);
		return;
	}
	buf_slice(out, slice_sub(s, 0, before));
	buf_str(out, "\r\n");
}

/* ---- Content-Length ---- */

static bool content_length(struct slice header, uint64_t *out)
{
	struct slice line;
	bool more = true;

	while (more) {
		more = slice_cut(&header, '\n', &line);
		if (slice_istarts(line, S("content-length:")))
			return slice_u64(slice_trim(slice_sub(line, 15, SIZE_MAX)), INT64_MAX, out);
	}
	return false;
}

/* Does a message end `octets` further on? */
static bool ends_there(const struct mbox *m, uint64_t octets)
{
	unsigned char there[LOOK];
	uint64_t at = mbox_octets(m);
	struct slice s;
	ssize_t n;

	if (!m->regular || at > m->file_octets || octets > m->file_octets - at)
		return false;
	n = pread(m->fd, there, sizeof(there), (off_t)(at + octets));
	if (n < 0)
		return false;
	s = slice_of(there, (size_t)n);
	if (slice_starts(s, S("\r\n")))
		s = slice_sub(s, 2, SIZE_MAX);
	else if (slice_starts(s, S("\n")))
		s = slice_sub(s, 1, SIZE_MAX);
	return s.n == 0 || from_line(s);
}

/* ---- quoting ---- */

static size_t body_of(struct slice message)
{
	const unsigned char *empty = message.n ? memmem(message.at, message.n, "\r\n\r\n", 4) : NULL;

	return empty ? (size_t)(empty - message.at) + 4 : message.n;
}

/* How many '>' stand in front of a "From " that the line begins with; SIZE_MAX: it does not. */
static size_t quotes(struct slice line)
{
	size_t n = 0;

	while (n < line.n && line.at[n] == '>')
		n++;
	return slice_starts(slice_sub(line, n, SIZE_MAX), S("From ")) ? n : SIZE_MAX;
}

static bool bare_from(struct slice body)
{
	struct slice line;
	bool more = true;

	while (more) {
		more = slice_cut(&body, '\n', &line);
		if (quotes(line) == 0)
			return true;
	}
	return false;
}

static void unquote(struct buf *b)
{
	size_t to = body_of(buf_get(b));
	struct slice rest = slice_sub(buf_get(b), to, SIZE_MAX);

	while (rest.n) {
		struct slice line = slice_sub(rest, 0, slice_find(rest, '\n') + 1);
		size_t n = quotes(line);
		struct slice kept = n && n < SIZE_MAX ? slice_sub(line, 1, SIZE_MAX) : line;

		rest = slice_sub(rest, line.n, SIZE_MAX);
		memmove(b->at + to, kept.at, kept.n);
		to += kept.n;
	}
	b->n = to;
}

/* ---- messages ---- */

static bool body_by_length(struct mbox *m, struct buf *out, bool lf)
{
	uint64_t left;

	if (buf_failed(out) || !content_length(buf_get(out), &left) || !ends_there(m, left))
		return false;
	while (left) {
		struct slice s = take(m, left);

		if (!s.n)
			break;
		left -= s.n;
		put(out, s, lf);
	}
	if (slice_starts(ahead(m), S("\r")) || slice_starts(ahead(m), S("\n")))
		take(m, SIZE_MAX);
	return true;
}

/* Up to the next From_ line, which stays ahead. */
static void collect(struct mbox *m, struct buf *out, bool lf)
{
	bool header = true, begins = true, empty = false, counted = false;

	for (;;) {
		struct slice s;

		if (m->many && begins && empty && from_line(ahead(m)))
			break;
		s = take(m, SIZE_MAX);
		if (!s.n)
			break;
		put(out, s, lf);
		empty = begins && empty_line(s);
		begins = ends_line(s);
		if (empty && header) {
			header = false;
			counted = m->many && body_by_length(m, out, lf);
			if (counted)
				break;
		}
	}
	if (!m->many || buf_failed(out))
		return;
	/* The empty line in front of the next From_ is the mbox's own. */
	if (!counted && empty)
		out->n -= slice_ends(buf_get(out), S("\r\n")) ? 2 : 1;
	if (!counted || !bare_from(slice_sub(buf_get(out), body_of(buf_get(out)), SIZE_MAX)))
		unquote(out);
}

enum mbox_result mbox_next(struct mbox *m, struct buf *octets_out, bool *lf_out)
{
	struct slice first;
	size_t end;

	if (m->begun && !m->many)
		return MBOX_END;
	if (!m->begun)
		m->many = from_line(ahead(m));
	else if (!ahead(m).n)
		return m->error ? (errno = m->error, MBOX_FAILED) : MBOX_END;
	m->begun = true;
	if (m->many) {
		m->number++;
		do
			first = take(m, SIZE_MAX);
		while (first.n && !ends_line(first));
	}
	buf_clear(octets_out);
	first = ahead(m);
	end = slice_find(first, '\n');
	*lf_out = end < first.n && (end == 0 || first.at[end - 1] != '\r');
	collect(m, octets_out, *lf_out);
	if (m->error)
		return errno = m->error, MBOX_FAILED;
	return buf_failed(octets_out) ? MBOX_BIG : MBOX_MESSAGE;
}
