/*
 * store_scan.c - what lies in the folders is found: messages are given out, left-overs removed, what is damaged set aside.
 */
#include "spool/store_in.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/bug.h"

enum {
	NAMES_A_FILE = 20,       /* names that are looked at, known ones too, for each file that may be read */
	VIEW_OCTETS = 65536,     /* of a big file are read at a time */
	SEARCH_OCTETS = 1 << 28, /* of a damaged file are searched for good messages */
	ANEW_DEPTH = 3,          /* a disk that damages what was just written may not keep us busy */
	LEFT_OVER_S = 86400      /* nobody writes for so long: a process of another life had this number */
};

/* ---- a file in parts ---- */

bool store_view(struct store_view *v, uint64_t at, size_t n, struct slice *out)
{
	size_t want = v->size <= STORE_READ ? (size_t)v->size : n < VIEW_OCTETS ? VIEW_OCTETS : n;

	if (n > STORE_READ || at > v->size || n > v->size - at)
		return false;
	if (at < v->from || at - v->from > v->n || n > v->n - (at - v->from)) {
		v->from = v->size <= STORE_READ ? 0 : at;
		v->n = 0;
		if (want > v->size - v->from)
			want = (size_t)(v->size - v->from);
		while (v->n < want) {
			ssize_t got = pread(v->fd, v->octets + v->n, want - v->n, (off_t)(v->from + v->n));

			if (got < 0 && errno == EINTR)
				continue;
			if (got < 0)
				v->error = errno;
			if (got <= 0)
				break;
			v->n += (size_t)got;
		}
		if (at - v->from > v->n || n > v->n - (size_t)(at - v->from))
			return false;
	}
	*out = slice_of(v->octets + (at - v->from), n);
	return true;
}

/* ---- what a file holds ---- */

/* The message that begins there. *next_out: where another may begin. */
static bool look_at(struct store *s, struct store_view *v, const struct spool_file *file, uint64_t at, struct store_message_at *out, uint64_t *next_out)
{
	struct spool_envelope e;
	struct slice front, envelope, marks;

	*next_out = at + SPOOL_ALIGN;
	out->at = at;
	if (!store_view(v, at, SPOOL_HEAD, &front) || !spool_head_read(front, &out->head) ||
	    !store_view(v, at, (size_t)spool_content_at(&out->head), &front))
		return false;
	envelope = slice_sub(front, SPOOL_HEAD, out->head.envelope_octets);
	marks = slice_sub(front, (size_t)spool_marks_at(&out->head), out->head.marks);
	if (!spool_head_fits(file, slice_sub(front, 0, SPOOL_HEAD), envelope) || spool_end_at(&out->head) > v->size - at)
		return false;
	*next_out = at + spool_end_at(&out->head);
	if (!spool_marks(marks))
		return false;
	out->done = marks.at[0] == SPOOL_DONE;
	arena_clear(&s->arena);
	return spool_envelope_read(&s->arena, envelope, &e) && e.rcpt_count + 1 == marks.n;
}

/* False: it cannot be told now: v->error, or no memory. */
static bool look_through(struct store *s, struct store_view *v, struct store_contents *c)
{
	struct slice octets;
	uint64_t at = SPOOL_ALIGN;

	c->n = c->done = 0;
	c->damage = NULL;
	if (v->size < SPOOL_ALIGN || !store_view(v, 0, SPOOL_ALIGN, &octets)) {
		c->damage = v->size ? "cut" : "empty";
		return v->error == 0;
	}
	if (!spool_file_read(octets, &c->head)) {
		c->damage = "head of the file";
		/* Checksums tell whether the key is right. */
		if (!spool_file_key(octets, &c->head))
			return true;
		c->head.octets = v->size;
	} else if (c->head.octets != v->size) {
		c->damage = v->size < c->head.octets ? "cut" : "too long";
	}
	while (at < v->size) {
		if (c->n == LIMIT_SPOOL_COMMIT || (c->damage && at > SEARCH_OCTETS)) {
			c->damage = "too long";
			return true;
		}
		if (look_at(s, v, &c->head, at, &c->at[c->n], &at))
			c->done += c->at[c->n++].done;
		else if (v->error || arena_failed(&s->arena))
			return false;
		else if (!c->damage)
			c->damage = "a message";
	}
	if (!c->damage && c->n != c->head.messages)
		c->damage = "a message is missing";
	return true;
}

/* ---- giving out ---- */

/* False: no memory; it is found again later. */
static bool give_one(struct store *s, struct store_view *v, struct store_file *f, const struct store_message_at *m, store_found *found, void *arg)
{
	struct spool_envelope e;
	struct store_entry *entry;
	struct slice front;

	arena_clear(&s->arena);
	if (!store_view(v, m->at, (size_t)spool_content_at(&m->head), &front) ||
	    !spool_envelope_read(&s->arena, slice_sub(front, SPOOL_HEAD, m->head.envelope_octets), &e))
		return false;
	entry = store_entry_new(s, f, m->at, &m->head);
	if (!entry)
		return false;
	found(arg, entry, &e, slice_sub(front, (size_t)spool_marks_at(&m->head), m->head.marks));
	return true;
}

static bool give_out(struct store *s, struct store_view *v, const struct store_contents *c, const char *name, store_found *found, void *arg)
{
	struct store_file *f = store_file_new(s, &c->head, slice_of(name, SPOOL_NAME));
	bool good = f != NULL;

	if (!f)
		return false;
	f->damaged = c->damage != NULL;
	f->left = c->n - c->done;
	f->pinned = true;
	for (uint32_t i = 0; i < c->n && good; i++)
		if (!c->at[i].done)
			good = give_one(s, v, f, &c->at[i], found, arg);
	f->pinned = false;
	store_file_less(s, f);
	return good;
}

/* ---- one name of mail/ ---- */

enum taken {
	TAKEN,        /* known now */
	TAKEN_AWAY,   /* set aside, or not there */
	TAKEN_LATER   /* cannot be read now */
};

/* The living process that writes what tmp/ holds under this name; 0: none. */
static bool writer_lives(const struct store *s, const char *name, const char **rest_out)
{
	char *end;
	long pid = strtol(name, &end, 10);

	*rest_out = *end == '.' && end != name && pid > 0 ? end + 1 : NULL;
	if (!*rest_out)
		return true;
	if (pid == (long)getpid()) {
		/* A process before us had our number, unless it is ours. */
		for (const struct store_out *o = s->outs; o; o = o->next)
			if (strcmp(o->tmp, name) == 0)
				return true;
		return false;
	}
	return kill((pid_t)pid, 0) == 0 || errno != ESRCH;
}

static DIR *open_folder(int fd)
{
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = own < 0 ? NULL : fdopendir(own);

	if (!d && own >= 0)
		close(own);
	return d;
}

/*
 * Two names: where a file system cannot rename without replacing, a file has its name in tmp/ beside that in mail/ for a moment.
 * True: its writer is still about it, or is gone, and its other name is too now.
 */
static bool two_names(struct store *s, const struct stat *st, bool *lives_out)
{
	DIR *d = open_folder(s->tmp_fd);
	struct dirent *de;
	bool found = false;

	while (d && !found && (de = readdir(d))) {
		const char *rest;
		struct stat other;

		if (fstatat(s->tmp_fd, de->d_name, &other, AT_SYMLINK_NOFOLLOW) < 0 || other.st_ino != st->st_ino || other.st_dev != st->st_dev)
			continue;
		*lives_out = writer_lives(s, de->d_name, &rest);
		found = *lives_out || unlinkat(s->tmp_fd, de->d_name, 0) == 0;
	}
	if (d)
		closedir(d);
	return found;
}

static const char *no_file(const struct store *s, const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return "no regular file";
	if (st->st_uid != s->uid)
		return "another owner's";
	return NULL;
}

static enum taken set_aside(struct store *s, const char *name, const char *why)
{
	return store_aside(s, name, why) ? TAKEN_AWAY : TAKEN_LATER;
}

static enum taken later(struct store *s, const char *name, const char *what, int error)
{
	store_trouble(s, FAULT_SPOOL_FAILED, slice_str(name), what, error);
	return TAKEN_LATER;
}

static enum taken take(struct store *s, const char *name, store_found *found, void *arg);

/* The good messages of a damaged file have one of their own now. */
static enum taken take_anew(struct store *s, const char *name, const char *why, const char *anew, store_found *found, void *arg)
{
	enum taken got = set_aside(s, name, why);

	if (!*anew || map_get(&s->files, slice_str(anew)))
		return got;
	s->depth++;
	got = take(s, anew, found, arg);
	s->depth--;
	return got;
}

static enum taken take_open(struct store *s, int fd, uint64_t size, const char *name, store_found *found, void *arg)
{
	struct store_view v = { .fd = fd, .size = size };
	struct store_contents c;
	char anew[SPOOL_NAME + 1];
	bool good;

	if (!s->scan)
		s->scan = malloc(STORE_READ);
	v.octets = s->scan;
	if (!v.octets)
		return later(s, name, "read", ENOMEM);
	if (!look_through(s, &v, &c))
		return later(s, name, "read", v.error ? v.error : ENOMEM);
	if (c.damage && s->depth < ANEW_DEPTH && store_anew(s, &v, &c, name, anew))
		return take_anew(s, name, c.damage, anew, found, arg);
	/* Damaged, and there is no room for another: those that are good are sent all the same. */
	good = give_out(s, &v, &c, name, found, arg);
	arena_clear(&s->arena);
	return good ? TAKEN : later(s, name, "read", v.error ? v.error : ENOMEM);
}

static enum taken take(struct store *s, const char *name, store_found *found, void *arg)
{
	struct stat st, opened;
	enum taken got;
	const char *why;
	bool lives = false;
	int fd;

	if (fstatat(s->mail_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? TAKEN_AWAY : later(s, name, "stat", errno);
	why = no_file(s, &st);
	if (!why && st.st_nlink != 1) {
		if (!two_names(s, &st, &lives))
			why = "it has another name";
		else if (lives)
			return TAKEN_LATER;
	}
	if (why)
		return set_aside(s, name, why);
	fd = openat(s->mail_fd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? TAKEN_AWAY : errno == EACCES || errno == ELOOP ? set_aside(s, name, strerror(errno)) : later(s, name, "open", errno);
	if (fstat(fd, &opened) < 0 || opened.st_ino != st.st_ino || opened.st_dev != st.st_dev)
		got = later(s, name, "open", EAGAIN);
	else
		got = take_open(s, fd, (uint64_t)opened.st_size, name, found, arg);
	close(fd);
	return got;
}

static bool known(const struct store *s, const char *name)
{
	return map_get(&s->files, slice_str(name)) != NULL;
}

bool store_take(struct store *s, struct slice name, store_found *found, void *arg)
{
	char text[SPOOL_NAME + 1] = { 0 };

	if (!spool_name(name))
		return false;
	memcpy(text, name.at, SPOOL_NAME);
	return known(s, text) || take(s, text, found, arg) == TAKEN;
}

/* ---- the folders ---- */

/* What a process that is gone was writing. */
static void scan_tmp(struct store *s)
{
	DIR *d = open_folder(s->tmp_fd);
	struct dirent *de;

	while (d && (de = readdir(d))) {
		const char *rest;
		struct stat st;

		if (de->d_name[0] == '.')
			continue;
		if (writer_lives(s, de->d_name, &rest) &&
		    (!rest || fstatat(s->tmp_fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || (int64_t)st.st_mtime >= (int64_t)time(NULL) - LEFT_OVER_S))
			continue;
		(void)unlinkat(s->tmp_fd, de->d_name, 0);
	}
	if (d)
		closedir(d);
}

/* What the check of a store that failed puts there for a moment. */
static bool is_check(struct store *s, const char *name)
{
	char *end;
	long pid;

	if (strncmp(name, "check.", 6) != 0)
		return false;
	pid = strtol(name + 6, &end, 10);
	if (*end || pid <= 0)
		return false;
	if (kill((pid_t)pid, 0) < 0 && errno == ESRCH)
		(void)unlinkat(s->mail_fd, name, 0);
	return true;
}

static bool dot(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Is there a message that the note is about? It is known to have one then. */
static bool has_entry(const struct store *s, const char *name)
{
	const struct store_file *f;
	struct store_entry *e;
	uint64_t from, copy = LIMIT_RCPT;
	char *end;

	if (strlen(name) < SPOOL_NAME + 2 || name[SPOOL_NAME] != '.')
		return false;
	f = map_get(&s->files, slice_of(name, SPOOL_NAME));
	from = strtoumax(name + SPOOL_NAME + 1, &end, 16);
	if (*end == '.')
		copy = strtoumax(end + 1, &end, 16);
	if (!f || *end || copy >= LIMIT_RCPT)
		return false;
	for (e = f->entries; e; e = e->next) {
		if (e->done || e->from != from)
			continue;
		if (e->notes <= copy)
			e->notes = (uint32_t)copy + 1;
		return true;
	}
	return false;
}

/* The next name of the folder that is being walked, good whatever becomes of the walk; NULL: no more. */
static const char *next_name(struct store *s, int fd)
{
	struct dirent *de;

	if (!s->dir)
		s->dir = open_folder(fd);
	while (s->dir && (de = readdir(s->dir)))
		if (!dot(de->d_name)) {
			snprintf(s->name, sizeof(s->name), "%s", de->d_name);
			return s->name;
		}
	if (s->dir)
		closedir(s->dir);
	s->dir = NULL;
	return NULL;
}

/* True: the budget is spent, or the scan begins anew. */
static bool scan_mail(struct store *s, size_t files, store_found *found, void *arg)
{
	for (size_t names = files * NAMES_A_FILE; files > 0 && names > 0 && s->phase == STORE_MAIL; names--) {
		const char *name = next_name(s, s->mail_fd);

		if (!name) {
			s->phase = STORE_NOTES;
			return false;
		}
		if (!spool_name(slice_str(name)) && !is_check(s, name))
			(void)store_aside(s, name, "no name of a file of messages");
		else if (spool_name(slice_str(name)) && !known(s, name)) {
			(void)take(s, name, found, arg);
			files--;
		}
	}
	return true;
}

static bool scan_notes(struct store *s, size_t files)
{
	for (size_t names = files * NAMES_A_FILE; names > 0; names--) {
		const char *name = next_name(s, s->note_fd);

		if (!name) {
			s->phase = STORE_KNOWN;
			s->notes_known = true;
			return false;
		}
		if (!has_entry(s, name))
			(void)unlinkat(s->note_fd, name, 0);
	}
	return true;
}

bool store_scan(struct store *s, size_t files, store_found *found, void *arg)
{
	BUG_ON(files == 0);
	if (s->phase == STORE_TMP) {
		scan_tmp(s);
		s->phase = STORE_MAIL;
	}
	if (s->phase == STORE_MAIL && scan_mail(s, files, found, arg))
		return true;
	if (s->phase == STORE_NOTES && scan_notes(s, files))
		return true;
	return false;
}

void store_rescan(struct store *s)
{
	if (s->dir)
		closedir(s->dir);
	s->dir = NULL;
	s->phase = STORE_TMP;
}
