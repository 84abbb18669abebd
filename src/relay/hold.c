#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/limits.h"
#include "mail/header.h"
#include "relay/hold.h"

/* Parsing a header takes about as much again as the header. */
enum { FIRST_OCTETS = 4096, STEP_OCTETS = 1024, BLOCK_OCTETS = 65536, HEADER_COST = 3 };
/* Of a file: what is in memory at a time while it is read, and what the spool gathers of it; runs that are gathered before they are written. */
enum { WINDOW_OCTETS = 262144, GATHERED_OCTETS = LIMIT_SPOOL_COMMIT_OCTETS + WINDOW_OCTETS, GATHER_OCTETS = 8192, SMALL_OCTETS = 1024 };

struct block {
	struct block *next;
	size_t n, room;
	unsigned char octets[];
};

struct hold {
	struct hold_budget *budget;
	struct buf header;         /* until its end is seen: all octets; then the block alone */
	size_t seen;               /* header_end() got this far */
	struct header_count count; /* of its fields */
	bool header_done;
	bool empty_line;           /* stood behind the header */
	struct block *first, *last; /* in a file: one block at most, what is not written yet */
	uint64_t body_octets;
	uint64_t memory_octets;    /* above it to a file */
	uint64_t charged;          /* to the budget */
	int fd;                    /* -1: in memory */
	bool disk_full;            /* or otherwise of no use */
	unsigned char *map;
	size_t dropped;            /* octets at its front that were let go */
	size_t dropped_again;      /* and once more */
};

struct hold *hold_new(struct hold_budget *b, uint64_t said_octets)
{
	uint64_t least = b->conf->limits.body_memory_octets, most = least * HOLD_SAID;
	struct hold *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->budget = b;
	h->memory_octets = said_octets < least ? least : said_octets < most ? said_octets : most;
	h->fd = -1;
	buf_init(&h->header, (size_t)b->conf->limits.header_octets + BLOCK_OCTETS * 2);
	return h;
}

static void charge(struct hold *h, int64_t octets)
{
	h->charged += (uint64_t)octets;
	h->budget->held_octets += (uint64_t)octets;
	count_add(h->budget->counts, h->budget->slot, COUNT_BODY_MEMORY, octets);
}

static void free_blocks(struct hold *h)
{
	while (h->first) {
		struct block *b = h->first;

		h->first = b->next;
		charge(h, -(int64_t)b->room);
		free(b);
	}
	h->last = NULL;
}

void hold_spares_drop(struct hold_budget *b)
{
	while (b->spare_count)
		close(b->spare[--b->spare_count]);
}

static void file_free(struct hold *h)
{
	struct hold_budget *b = h->budget;

	if (h->disk_full)
		hold_spares_drop(b);
	if (!h->disk_full && h->body_octets <= HOLD_SPARE_OCTETS && b->spare_count < HOLD_SPARES)
		b->spare[b->spare_count++] = h->fd;
	else
		close(h->fd);
}

void hold_free(struct hold **hp)
{
	struct hold *h = *hp;

	*hp = NULL;
	if (!h)
		return;
	free_blocks(h);
	charge(h, -(int64_t)h->charged);
	if (h->map)
		munmap(h->map, (size_t)h->body_octets);
	if (h->fd >= 0)
		file_free(h);
	buf_release(&h->header);
	free(h);
}

static bool no_disk(struct fault *f, const char *what)
{
	enum fault_code code = errno == EMFILE || errno == ENFILE ? FAULT_INTERNAL : FAULT_NO_DISK;

	return fault_note(f, code, 0, "%s: %s", what, strerror(errno));
}

/* One behind the other. */
static bool write_both(struct hold *h, struct slice a, struct slice b, struct fault *f)
{
	while (a.n || b.n) {
		struct iovec iov[2] = { { (void *)(uintptr_t)a.at, a.n }, { (void *)(uintptr_t)b.at, b.n } };
		ssize_t done = writev(h->fd, a.n ? iov : iov + 1, a.n ? 2 : 1);
		size_t n;

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0) {
			h->disk_full = true;
			return no_disk(f, "write body");
		}
		n = (size_t)done < a.n ? (size_t)done : a.n;
		a = slice_sub(a, n, SIZE_MAX);
		b = slice_sub(b, (size_t)done - n, SIZE_MAX);
	}
	return true;
}

/* At its beginning, whatever it held before. */
static int spare_file(struct hold_budget *b)
{
	while (b->spare_count) {
		int fd = b->spare[--b->spare_count];

		if (lseek(fd, 0, SEEK_SET) == 0)
			return fd;
		close(fd);
	}
	return -1;
}

static int new_file(const struct hold *h)
{
	int fd = openat(h->budget->spool_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
		char name[48];

		/* No O_TMPFILE on this file system: named for a moment. */
		snprintf(name, sizeof(name), "body.%ld.%p", (long)getpid(), (void *)h);
		fd = openat(h->budget->spool_fd, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
		if (fd >= 0)
			unlinkat(h->budget->spool_fd, name, 0);
	}
	return fd;
}

static bool to_file(struct hold *h, struct fault *f)
{
	h->fd = spare_file(h->budget);
	if (h->fd < 0)
		h->fd = new_file(h);
	if (h->fd < 0)
		return no_disk(f, "open body file");
	for (struct block *b = h->first; b; b = b->next)
		if (!write_both(h, slice_of(b->octets, b->n), SLICE_NONE, f))
			return false;
	free_blocks(h);
	count_add(h->budget->counts, h->budget->slot, COUNT_BODY_FILES, 1);
	return true;
}

static bool add_block(struct hold *h, size_t room, struct fault *f)
{
	struct block *block = malloc(sizeof(*block) + room);

	if (!block)
		return fault_set(f, FAULT_NO_MEMORY, 0);
	block->next = NULL;
	block->n = 0;
	block->room = room;
	if (h->last)
		h->last->next = block;
	else
		h->first = block;
	h->last = block;
	charge(h, (int64_t)room);
	return true;
}

static void fill(struct block *b, struct slice *s)
{
	struct slice piece;

	(void)slice_take(s, s->n < b->room - b->n ? s->n : b->room - b->n, &piece);
	memcpy(b->octets + b->n, piece.at, piece.n);
	b->n += piece.n;
}

/* A body of many lines with a dot in front comes in as many small runs. */
static bool add_to_file(struct hold *h, struct slice s, struct fault *f)
{
	struct slice gathered = h->last ? slice_of(h->last->octets, h->last->n) : SLICE_NONE;

	if (s.n <= SMALL_OCTETS && !h->last && h->budget->held_octets + GATHER_OCTETS <= h->budget->body_octets &&
	    !add_block(h, GATHER_OCTETS, f))
		return false;
	if (s.n <= SMALL_OCTETS && h->last && s.n <= h->last->room - h->last->n) {
		fill(h->last, &s);
		return true;
	}
	if (!write_both(h, gathered, s, f))
		return false;
	if (h->last)
		h->last->n = 0;
	return true;
}

/* Most messages are small, and thousands may be on their way: blocks begin with what has come and grow with the message. */
static size_t next_room(const struct hold *h, size_t octets)
{
	size_t room = h->last ? h->last->room * 2 : FIRST_OCTETS;

	if (room < octets)
		room = (octets + STEP_OCTETS - 1) / STEP_OCTETS * STEP_OCTETS;
	return room < BLOCK_OCTETS ? room : BLOCK_OCTETS;
}

static bool add_body(struct hold *h, struct slice s, struct fault *f)
{
	const struct hold_budget *b = h->budget;

	/* Big bodies make room first; what is left above them is for headers, which have nowhere else to go. */
	uint64_t share = h->body_octets + s.n > BLOCK_OCTETS ? b->body_octets : b->ceiling_octets / 4 * 3;

	h->body_octets += s.n;
	if (h->fd < 0 && (h->body_octets > h->memory_octets || b->held_octets > share) && !to_file(h, f))
		return false;
	if (h->fd >= 0)
		return add_to_file(h, s, f);
	while (s.n) {
		if ((!h->last || h->last->n == h->last->room) && !add_block(h, next_room(h, s.n), f))
			return false;
		fill(h->last, &s);
	}
	return true;
}

uint64_t hold_octets(const struct hold *h)
{
	return h->header.n + h->body_octets + (h->empty_line ? 2 : 0);
}

bool hold_add(struct hold *h, struct slice octets, struct slice *body_out, struct fault *f)
{
	struct slice body = octets;

	*body_out = SLICE_NONE;
	if (octets.n > h->budget->conf->limits.message_octets || hold_octets(h) > h->budget->conf->limits.message_octets - octets.n)
		return fault_set(f, FAULT_TOO_BIG, 0);
	if (!h->header_done) {
		size_t before = h->header.n, block = 0, behind = 0;
		struct slice came;

		/* Mostly all of it comes at once; what is behind it is not copied then. */
		h->header_done = before == 0 && header_end(octets, &h->seen, &block, &behind);
		came = h->header_done ? slice_sub(octets, 0, behind) : octets;
		buf_slice(&h->header, came);
		charge(h, (int64_t)came.n * HEADER_COST);
		if (h->budget->held_octets > h->budget->ceiling_octets)
			return fault_note(f, FAULT_NO_MEMORY, 0, "%llu octets held", (unsigned long long)h->budget->held_octets);
		if (buf_failed(&h->header))
			return fault_set(f, h->header.n + octets.n > h->budget->conf->limits.header_octets ? FAULT_HEADER_TOO_BIG : FAULT_NO_MEMORY, 0);
		if (!header_fits(&h->count, buf_get(&h->header), h->budget->conf->limits.header_fields, f))
			return false;
		if (!h->header_done)
			h->header_done = header_end(buf_get(&h->header), &h->seen, &block, &behind);
		if ((h->header_done ? block : h->header.n) > h->budget->conf->limits.header_octets)
			return fault_set(f, FAULT_HEADER_TOO_BIG, block);
		if (!h->header_done)
			return true;
		/* What came behind the block is counted where it goes. */
		charge(h, -(int64_t)((h->header.n - block) * HEADER_COST));
		h->header.n = block;
		buf_fit(&h->header);
		h->empty_line = true;
		/* The end of the header came with these octets, so the body begins in them. */
		body = slice_sub(octets, behind - before, SIZE_MAX);
	}
	*body_out = body;
	return body.n == 0 || add_body(h, body, f);
}

struct slice hold_header(const struct hold *h, bool *done_out)
{
	*done_out = h->header_done;
	return buf_get(&h->header);
}

bool hold_end(struct hold *h, struct fault *f)
{
	h->header_done = true;
	if (h->fd < 0 || h->body_octets == 0)
		return true;
	if (h->last && !write_both(h, slice_of(h->last->octets, h->last->n), SLICE_NONE, f))
		return false;
	free_blocks(h);
	h->map = mmap(NULL, (size_t)h->body_octets, PROT_READ, MAP_SHARED, h->fd, 0);
	if (h->map != MAP_FAILED)
		return true;
	h->map = NULL;
	return fault_note(f, FAULT_NO_MEMORY, 0, "map body: %s", strerror(errno));
}

/*
 * A part of the file. It is made present in one go; what lies before the part in front of it, which may still be on its way out, is
 * let go, and comes back from the file should anybody look at it again.
 */
static bool window(struct hold *h, size_t at, struct slice *run_out)
{
	size_t all = (size_t)h->body_octets, from = at * WINDOW_OCTETS;

	if (at >= (all + WINDOW_OCTETS - 1) / WINDOW_OCTETS)
		return false;
	if (at && from - WINDOW_OCTETS > h->dropped) {
		(void)madvise(h->map + h->dropped, from - WINDOW_OCTETS - h->dropped, MADV_DONTNEED);
		h->dropped = from - WINDOW_OCTETS;
	}
	/* Whoever gathers parts before he writes them had some of it come back; he is done with that by now. */
	if (from > h->dropped_again + GATHERED_OCTETS) {
		(void)madvise(h->map + h->dropped_again, from - GATHERED_OCTETS - h->dropped_again, MADV_DONTNEED);
		h->dropped_again = from - GATHERED_OCTETS;
	}
	*run_out = slice_of(h->map + from, all - from < WINDOW_OCTETS ? all - from : WINDOW_OCTETS);
	(void)madvise(h->map + from, run_out->n, MADV_POPULATE_READ);
	return true;
}

bool hold_run(struct hold *h, size_t at, struct slice *run_out)
{
	if (h->empty_line && at-- == 0) {
		*run_out = S("\r\n");
		return true;
	}
	if (h->map)
		return window(h, at, run_out);
	for (const struct block *b = h->first; b; b = b->next)
		if (at-- == 0) {
			*run_out = slice_of(b->octets, b->n);
			return true;
		}
	return false;
}

bool hold_in_file(const struct hold *h)
{
	return h->fd >= 0;
}
