#include "auth/dkim2/lines.h"

enum { BLOCK_OCTETS = 65536, COMPARED_TIMES = 4 };

/* ---- a place in the octets ---- */

struct place {
	const struct lines *of;
	uint64_t at;     /* octets in front of it */
	size_t run, off; /* while at < of->given */
};

static struct place place_at(const struct lines *x, uint64_t at)
{
	struct place p = { x, at, 0, 0 };
	uint64_t before = 0;

	if (at >= x->given)
		return p;
	while (x->runs[p.run].n <= at - before)
		before += x->runs[p.run++].n;
	p.off = (size_t)(at - before);
	return p;
}

/* What follows in one piece, at least an octet unless the end is reached. */
static struct slice ahead(struct place *p)
{
	const struct lines *x = p->of;
	uint64_t left = x->given > p->at ? x->given - p->at : 0;
	struct slice s;

	if (left == 0)
		return slice_sub(S("\r\n"), (size_t)(p->at - x->given), (size_t)(x->octets - p->at));
	while (p->off == x->runs[p->run].n) {
		p->run++;
		p->off = 0;
	}
	s = slice_sub(x->runs[p->run], p->off, SIZE_MAX);
	if (s.n > left)
		s.n = (size_t)left;
	return s;
}

static void step(struct place *p, size_t n)
{
	p->at += n;
	p->off += n;
}

static unsigned char octet_at(const struct lines *x, uint64_t at)
{
	struct place p = place_at(x, at);

	return ahead(&p).at[0];
}

struct lines lines_of(const struct slice *runs, size_t n)
{
	struct lines x = { runs, 0, 0 };
	bool want_cr = false;
	uint64_t end = 0;

	for (size_t i = 0; i < n; i++)
		end += runs[i].n;
	x.given = end;
	for (size_t i = n; i-- > 0;) {
		for (size_t k = runs[i].n; k-- > 0; end--) {
			unsigned char c = runs[i].at[k];

			if (want_cr ? c != '\r' : c != '\n')
				goto out;
			want_cr = !want_cr;
			if (!want_cr)
				x.given = end - 1;
		}
	}
out:
	x.octets = x.given ? x.given + 2 : 0;
	return x;
}

/* ---- line ends ---- */

struct ends {
	uint64_t n, first, last; /* how many, and the octets behind the first and the last */
};

/* Those that lie whole between `from` and `to`. */
static struct ends ends_in(const struct lines *x, uint64_t from, uint64_t to)
{
	struct place p = place_at(x, from);
	struct ends e = { 0, to, from };
	bool cr = false; /* the octet in front of the piece */

	while (p.at < to) {
		struct slice s = ahead(&p);
		const unsigned char *lf, *at = s.at, *end;

		if (s.n > to - p.at)
			s.n = (size_t)(to - p.at);
		end = s.at + s.n;
		for (; at < end && (lf = memchr(at, '\n', (size_t)(end - at))); at = lf + 1) {
			if (lf == s.at ? !cr : lf[-1] != '\r')
				continue;
			e.last = p.at + (uint64_t)(lf + 1 - s.at);
			if (e.n++ == 0)
				e.first = e.last;
		}
		cr = end[-1] == '\r';
		step(&p, s.n);
	}
	return e;
}

uint64_t lines_count(const struct lines *x, uint64_t from, uint64_t to)
{
	return ends_in(x, from, to).n;
}

/* ---- what two have in common ---- */

/* Octets that are equal at the start of both. */
static size_t same_octets(const unsigned char *x, const unsigned char *y, size_t n)
{
	size_t i = 0;

	while (n - i > 64 && memcmp(x + i, y + i, 64) == 0)
		i += 64;
	while (i < n && x[i] == y[i])
		i++;
	return i;
}

/* The same from two places on, `most` at most. */
static uint64_t same_ahead(struct place p, struct place q, uint64_t most)
{
	uint64_t done = 0;

	while (done < most && p.at < p.of->octets && q.at < q.of->octets) {
		struct slice s = ahead(&p), t = ahead(&q);
		size_t n = s.n < t.n ? s.n : t.n, same;

		if (n > BLOCK_OCTETS)
			n = BLOCK_OCTETS;
		if (n > most - done)
			n = (size_t)(most - done);
		same = memcmp(s.at, t.at, n) == 0 ? n : same_octets(s.at, t.at, n);
		done += same;
		if (same < n)
			break;
		step(&p, n);
		step(&q, n);
	}
	return done;
}

struct lines_common lines_head(const struct lines *x, const struct lines *y)
{
	struct ends e = ends_in(x, 0, same_ahead(place_at(x, 0), place_at(y, 0), UINT64_MAX));

	return (struct lines_common){ e.last, e.n };
}

/* What precedes in one piece; p is not at 0. */
static struct slice behind(struct place *p)
{
	const struct lines *x = p->of;

	if (p->at > x->given)
		return slice_sub(S("\r\n"), 0, (size_t)(p->at - x->given));
	while (p->off == 0)
		p->off = x->runs[--p->run].n;
	return slice_sub(x->runs[p->run], 0, p->off);
}

static void step_back(struct place *p, size_t n)
{
	p->at -= n;
	if (p->at < p->of->given) {
		p->off -= n;
	} else if (p->at == p->of->given) {
		*p = place_at(p->of, p->at - 1);
		step(p, 1);
	}
}

static size_t same_octets_back(const unsigned char *x_end, const unsigned char *y_end, size_t n)
{
	size_t i = 0;

	while (n - i > 64 && memcmp(x_end - i - 64, y_end - i - 64, 64) == 0)
		i += 64;
	while (i < n && x_end[-1 - (ptrdiff_t)i] == y_end[-1 - (ptrdiff_t)i])
		i++;
	return i;
}

static bool starts_line(const struct lines *x, uint64_t at, uint64_t head)
{
	return at == head || (at - head >= 2 && octet_at(x, at - 2) == '\r' && octet_at(x, at - 1) == '\n');
}

struct lines_common lines_tail(const struct lines *x, const struct lines *y, uint64_t head)
{
	struct place p = place_at(x, x->octets), q = place_at(y, y->octets);
	uint64_t from;
	struct ends e;

	while (p.at > head && q.at > head) {
		struct slice s = behind(&p), t = behind(&q);
		uint64_t left = (p.at < q.at ? p.at : q.at) - head;
		size_t n = s.n < t.n ? s.n : t.n, same;

		if (n > left)
			n = (size_t)left;
		if (n > BLOCK_OCTETS)
			n = BLOCK_OCTETS;
		same = memcmp(s.at + s.n - n, t.at + t.n - n, n) == 0 ? n : same_octets_back(s.at + s.n, t.at + t.n, n);
		step_back(&p, same);
		step_back(&q, same);
		if (same < n)
			break;
	}
	from = p.at;
	e = ends_in(x, from, x->octets);
	if (!(starts_line(x, p.at, head) && starts_line(y, q.at, head))) {
		if (e.n == 0)
			return (struct lines_common){ 0, 0 };
		from = e.first;
		e.n--;
	}
	return (struct lines_common){ x->octets - from, e.n };
}

/* ---- the lines themselves ---- */

/* Goes behind the end of the line; its octets without CRLF. */
static uint64_t pass_line(struct place *p)
{
	uint64_t from = p->at;
	bool cr = false;

	for (;;) {
		struct slice s = ahead(p);
		const unsigned char *lf = memchr(s.at, '\n', s.n);

		if (!lf) {
			cr = s.at[s.n - 1] == '\r';
			step(p, s.n);
			continue;
		}
		cr = lf == s.at ? cr : lf[-1] == '\r';
		step(p, (size_t)(lf + 1 - s.at));
		if (cr)
			return p->at - from - 2;
		cr = false;
	}
}

bool lines_within(const struct lines *x, uint64_t from, uint64_t octets, const struct lines *y, uint64_t y_from, uint64_t *above_out)
{
	uint64_t work = COMPARED_TIMES * y->octets, above = 0;
	struct place what = place_at(x, from), p = place_at(y, y_from);

	while (y->octets - p.at >= octets) {
		uint64_t same = same_ahead(what, p, octets);

		if (same == octets) {
			*above_out = above;
			return true;
		}
		if (same > work)
			return false;
		work -= same;
		(void)ahead(&p);
		(void)pass_line(&p);
		above++;
	}
	return false;
}

static struct slice copy_from(struct arena *a, struct place p, size_t n)
{
	unsigned char *to = arena_take(a, n);

	for (size_t done = 0; to && done < n;) {
		struct slice s = slice_sub(ahead(&p), 0, n - done);

		memcpy(to + done, s.at, s.n);
		done += s.n;
		step(&p, s.n);
	}
	return slice_of(to, n);
}

const struct slice *lines_index(struct arena *list, struct arena *copies, const struct lines *x, uint64_t from, size_t n)
{
	struct slice *lines = ARENA_ARRAY(list, n, struct slice);
	struct place p = place_at(x, from);

	for (size_t i = 0; lines && i < n; i++) {
		struct place start;
		struct slice s;
		uint64_t octets;

		s = ahead(&p);
		start = p;
		octets = pass_line(&p);
		if (octets > s.n) {
			lines[i] = copy_from(copies, start, (size_t)octets);
			if (arena_failed(copies))
				return NULL;
		} else {
			lines[i] = slice_of(s.at, (size_t)octets);
		}
	}
	return lines;
}
