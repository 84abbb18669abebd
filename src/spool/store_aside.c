/*
 * store_aside.c - what is damaged goes to damaged/ as it is, and stays there; what is good in it is saved before.
 */
#include "spool/store_in.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "out/log.h"

enum { ASIDE_TRIES = 100, ASIDE_NAME = 256, ASIDE_KEPT = 240 };

/* ---- to damaged/ ---- */

static void tell(const char *name, const char *file, const char *why)
{
	struct log_line l = log_begin(LOG_LEVEL_ERROR, "spool_quarantined");
	char path[ASIDE_NAME + 16];

	snprintf(path, sizeof(path), "damaged/%s", file);
	log_str(&l, "name", name);
	log_str(&l, "file", path);
	log_str(&l, "note", why);
	log_end(&l);
}

static bool move(int from_fd, const char *from, int to_fd, const char *to)
{
	struct stat st;

	if (store_rename(from_fd, from, to_fd, to))
		return true;
	/* No second name for a folder, and nobody else writes here. */
	if (errno != EPERM || fstatat(to_fd, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return false;
	return renameat(from_fd, from, to_fd, to) == 0;
}

/* Under its name, or one that begins so. False: errno tells. */
static bool move_aside(struct store *s, int from_fd, const char *from, const char *name, char to[ASIDE_NAME])
{
	for (int i = 0; i < ASIDE_TRIES; i++) {
		if (i == 0)
			snprintf(to, ASIDE_NAME, "%.*s", ASIDE_KEPT, name);
		else
			snprintf(to, ASIDE_NAME, "%.*s.%d", ASIDE_KEPT, name, i);
		if (move(from_fd, from, s->damaged_fd, to))
			return true;
		if (errno != EEXIST)
			return false;
	}
	return false;
}

bool store_aside(struct store *s, const char *name, const char *why)
{
	char to[ASIDE_NAME];

	if (!move_aside(s, s->mail_fd, name, name, to)) {
		int error = errno;

		store_trouble(s, FAULT_SPOOL_FAILED, slice_str(name), "set aside", error);
		return error == ENOENT;
	}
	(void)store_fsync(s->damaged_fd);
	(void)store_fsync(s->mail_fd);
	tell(name, to, why);
	return true;
}

/* ---- copies ---- */

/* Octets of a file behind what stands in the other one. */
static bool copy(struct store_view *v, uint64_t at, uint64_t octets, int fd)
{
	while (octets > 0) {
		size_t n = octets < STORE_CHUNK ? (size_t)octets : STORE_CHUNK;
		struct iovec iov = { .iov_len = n };
		struct slice chunk;

		if (!store_view(v, at, n, &chunk)) {
			errno = v->error;
			return false;
		}
		iov.iov_base = (void *)(uintptr_t)chunk.at;
		if (!store_write(fd, &iov, 1))
			return false;
		at += n;
		octets -= n;
	}
	return true;
}

static bool begin(const struct store_out *o)
{
	struct iovec iov = { (void *)(uintptr_t)store_zeros(), SPOOL_ALIGN };

	return store_write(o->fd, &iov, 1);
}

/* False: it is not what was put there, or v->error. */
static bool content_fits(struct store *s, struct store_view *v, const struct store_message_at *m)
{
	uint64_t at = m->at + spool_content_at(&m->head), left = m->head.content_octets;
	unsigned char sum[DIGEST_OCTETS];

	digest_reset(s->digest);
	while (left > 0) {
		size_t n = left < STORE_CHUNK ? (size_t)left : STORE_CHUNK;
		struct slice chunk;

		if (!store_view(v, at, n, &chunk))
			return false;
		digest_add(s->digest, chunk);
		at += n;
		left -= n;
	}
	digest_end(s->digest, sum);
	return memcmp(sum, m->head.content_sha256, sizeof(m->head.content_sha256)) == 0;
}

/* With its marks as they are. */
static bool copy_message(struct store_view *v, const struct store_message_at *m, struct store_out *o)
{
	unsigned char head[SPOOL_HEAD];
	struct slice envelope;
	struct iovec iov = { head, sizeof(head) };

	if (!store_view(v, m->at + SPOOL_HEAD, m->head.envelope_octets, &envelope)) {
		errno = v->error;
		return false;
	}
	spool_head_write(head, &o->head, &m->head, envelope);
	if (!store_write(o->fd, &iov, 1) || !copy(v, m->at + SPOOL_HEAD, spool_end_at(&m->head) - SPOOL_HEAD, o->fd))
		return false;
	o->head.octets += spool_end_at(&m->head);
	o->head.messages++;
	return true;
}

/* ---- what is good in it ---- */

/* The same each time: when it was made before, and we were stopped before the old one was set aside, it is not made again. */
static void name_anew(const struct spool_file *file, const char *name, char name_out[SPOOL_NAME + 1])
{
	uint64_t key[2], a, b;

	memcpy(key, file->key, sizeof(key));
	a = map_hash(key, slice_str(name));
	key[0] ^= a;
	b = map_hash(key, slice_str(name));
	snprintf(name_out, SPOOL_NAME + 1, "%016" PRIx64 "%08" PRIx32, a, (uint32_t)b);
}

static void mark_done(const struct store_view *v, const struct store_contents *c, const bool *saved)
{
	static const unsigned char done = SPOOL_DONE;

	for (uint32_t i = 0; i < c->n; i++)
		if (saved[i])
			(void)store_write_at(v->fd, &done, 1, c->at[i].at + spool_marks_at(&c->at[i].head));
	(void)store_fsync(v->fd);
}

/* False: errno tells. */
static bool save(struct store *s, struct store_view *v, const struct store_contents *c, struct store_out *o, bool *saved)
{
	if (!begin(o))
		return false;
	for (uint32_t i = 0; i < c->n; i++) {
		saved[i] = !c->at[i].done && content_fits(s, v, &c->at[i]);
		errno = v->error;
		if (v->error || (saved[i] && !copy_message(v, &c->at[i], o)))
			return false;
	}
	return true;
}

/* False: errno tells. */
static bool commit(struct store *s, struct store_out *o, const char *name)
{
	if (!store_out_sync(s, o)) {
		errno = o->error;
		return false;
	}
	o->renamed = store_rename(s->tmp_fd, o->tmp, s->mail_fd, name);
	return (o->renamed || errno == EEXIST) && store_fsync(s->mail_fd);
}

static void tell_saved(const char *name, const char *anew, uint32_t messages)
{
	struct log_line l = log_begin(LOG_LEVEL_WARNING, "spool_saved");
	char path[SPOOL_NAME + 8];

	snprintf(path, sizeof(path), "mail/%s", anew);
	log_str(&l, "name", name);
	log_str(&l, "file", path);
	log_u64(&l, "messages", messages);
	log_end(&l);
}

bool store_anew(struct store *s, struct store_view *v, const struct store_contents *c, const char *name, char name_out[SPOOL_NAME + 1])
{
	bool saved[LIMIT_SPOOL_COMMIT] = { false }, good;
	struct store_out *o;

	*name_out = '\0';
	if (c->n == c->done)
		return true;
	o = store_out_new(s);
	good = o && save(s, v, c, o, saved);
	if (good && o->head.messages > 0) {
		name_anew(&c->head, name, name_out);
		good = commit(s, o, name_out);
	}
	if (!good)
		store_trouble(s, store_fault(errno), slice_str(name), "save what is good in it", errno);
	else if (*name_out) {
		mark_done(v, c, saved);
		tell_saved(name, name_out, o->head.messages);
	}
	if (o && !o->renamed)
		(void)unlinkat(s->tmp_fd, o->tmp, 0);
	if (o)
		store_out_free(&o);
	return good;
}

/* ---- one message ---- */

/* As it is, as the only one of a file. */
static bool set_message_aside(struct store *s, struct store_view *v, const struct store_entry *e, const struct spool_head *h, const char *why)
{
	char name[STORE_TMP_NAME], to[ASIDE_NAME];
	struct store_out *o = store_out_new(s);
	bool good = o && begin(o) && copy(v, e->from, spool_end_at(h), o->fd);

	if (good) {
		o->head = e->file->head; /* so that its checksums stay what they are */
		o->head.messages = 1;
		o->head.octets = SPOOL_ALIGN + spool_end_at(h);
		snprintf(name, sizeof(name), "%s.%" PRIx64, e->file->name, e->from);
		good = store_out_sync(s, o);
		if (!good)
			errno = o->error;
		good = good && move_aside(s, s->tmp_fd, o->tmp, name, to) && store_fsync(s->damaged_fd);
	}
	if (good)
		tell(e->file->name, to, why);
	else
		store_trouble(s, store_fault(errno), store_name(e), "set aside", errno);
	if (o) {
		if (!good)
			(void)unlinkat(s->tmp_fd, o->tmp, 0);
		store_out_free(&o);
	}
	return good;
}

void store_damaged(struct store *s, struct store_entry **ep, const char *why)
{
	struct store_entry *e = *ep;
	struct store_file *f = e->file;
	struct spool_head h = { .envelope_octets = e->envelope_octets, .marks = e->marks, .content_octets = e->content_octets };
	struct store_view v = { .fd = -1, .size = f->head.octets };

	if (f->left == 1 && !f->pinned && store_aside(s, f->name, why)) {
		store_file_forget(s, f);
		*ep = NULL;
		return;
	}
	v.octets = malloc(STORE_READ);
	v.fd = v.octets ? store_file_open(s, f) : -1;
	if (f->left > 1 && v.fd >= 0 && set_message_aside(s, &v, e, &h, why)) {
		store_done(s, ep);
	} else {
		/* Not marked: the whole file is set aside when the others are done. */
		f->damaged = true;
		f->left--;
		store_drop(s, ep);
	}
	free(v.octets);
}
