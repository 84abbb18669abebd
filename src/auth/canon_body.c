#include <endian.h>
#include <stdlib.h>

#include "auth/canon.h"
#include "base/limits.h"

enum {
	HELD_OCTETS = 1024,                                    /* of the relaxed form, collected so that a digest sees runs */
	WANTS = CANON_FORMS * DIGEST_ALGS + LIMIT_BODY_CUTS,
};

struct want {
	enum canon_form form;
	enum digest_alg alg;
	uint64_t octets;
	size_t n; /* of out; 0: not reached, or no memory */
	unsigned char out[DIGEST_OCTETS];
};

/* One form, as it comes. */
struct stream {
	struct digest *digests[DIGEST_ALGS]; /* NULL: not wanted, or not any more */
	bool wanted;
	uint64_t octets; /* hashed so far */
	uint64_t cut;    /* the next point that a want ends at; CANON_WHOLE: none */
	size_t empty;    /* CRLFs seen and not passed on: they may be the end */
	bool blank;      /* relaxed: white space behind them */
	bool cr;         /* a CR behind these whose LF may still come */
	size_t n;        /* of held */
	unsigned char held[HELD_OCTETS];
};

struct canon_body {
	struct stream streams[CANON_FORMS];
	struct want wants[WANTS];
	int want_count;
	int cut_count;
	bool ended;
};

/* ---- what is wanted ---- */

struct canon_body *canon_body_new(unsigned algs)
{
	struct canon_body *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	for (size_t form = 0; form < CANON_FORMS; form++)
		c->streams[form].cut = CANON_WHOLE;
	for (unsigned alg = 0; c && alg < DIGEST_ALGS; alg++)
		if (algs & 1U << alg && canon_body_want(c, CANON_SIMPLE, (enum digest_alg)alg, CANON_WHOLE) < 0)
			canon_body_free(&c);
	return c;
}

void canon_body_free(struct canon_body **c)
{
	if (!*c)
		return;
	for (size_t form = 0; form < CANON_FORMS; form++)
		for (unsigned alg = 0; alg < DIGEST_ALGS; alg++)
			digest_free(&(*c)->streams[form].digests[alg]);
	free(*c);
	*c = NULL;
}

int canon_body_want(struct canon_body *c, enum canon_form form, enum digest_alg alg, uint64_t octets)
{
	struct stream *s = &c->streams[form];
	struct want *w = &c->wants[c->want_count];

	for (int i = 0; i < c->want_count; i++)
		if (c->wants[i].form == form && c->wants[i].alg == alg && c->wants[i].octets == octets)
			return i;
	if (octets != CANON_WHOLE && c->cut_count == LIMIT_BODY_CUTS)
		return CANON_LIMIT;
	if (octets != 0 && !s->digests[alg] && !(s->digests[alg] = digest_new(alg)))
		return CANON_NO_MEMORY;
	*w = (struct want){ .form = form, .alg = alg, .octets = octets };
	if (octets == 0 && !(w->n = digest_once(alg, SLICE_NONE, w->out)))
		return CANON_NO_MEMORY;
	s->wanted = true;
	if (octets != 0 && octets < s->cut)
		s->cut = octets;
	c->cut_count += octets != CANON_WHOLE;
	return c->want_count++;
}

/* ---- canonical octets ---- */

/* The stream stands at its cut point: what ends here is taken down, what nobody waits for any more is not hashed any further. */
static void cut(struct canon_body *c, struct stream *s)
{
	enum canon_form form = (enum canon_form)(s - c->streams);
	bool needed[DIGEST_ALGS] = { false };

	s->cut = CANON_WHOLE;
	for (int i = 0; i < c->want_count; i++) {
		struct want *w = &c->wants[i];
		struct digest *here;

		if (w->form != form || w->octets < s->octets)
			continue;
		if (w->octets > s->octets) {
			needed[w->alg] = true;
			if (w->octets < s->cut)
				s->cut = w->octets;
			continue;
		}
		here = digest_fork(s->digests[w->alg]);
		if (here)
			w->n = digest_end(here, w->out);
		digest_free(&here);
	}
	for (unsigned alg = 0; alg < DIGEST_ALGS; alg++)
		if (!needed[alg])
			digest_free(&s->digests[alg]);
}

static void hash(struct canon_body *c, struct stream *s, struct slice octets)
{
	while (octets.n) {
		size_t n = s->cut - s->octets < octets.n ? (size_t)(s->cut - s->octets) : octets.n;

		for (unsigned alg = 0; alg < DIGEST_ALGS; alg++)
			if (s->digests[alg])
				digest_add(s->digests[alg], slice_sub(octets, 0, n));
		s->octets += n;
		octets = slice_sub(octets, n, SIZE_MAX);
		if (s->octets == s->cut)
			cut(c, s);
	}
}

static void flush(struct canon_body *c, struct stream *s)
{
	size_t n = s->n;

	s->n = 0;
	hash(c, s, slice_of(s->held, n));
}

/* Short runs are collected, long ones go straight on. */
static void pass_on(struct canon_body *c, struct stream *s, struct slice octets)
{
	if (octets.n > HELD_OCTETS - s->n)
		flush(c, s);
	if (octets.n >= HELD_OCTETS / 2) {
		flush(c, s);
		hash(c, s, octets);
	} else if (octets.n) {
		memcpy(s->held + s->n, octets.at, octets.n);
		s->n += octets.n;
	}
}

/* What was held back was not the end. */
static void pass_held_back(struct canon_body *c, struct stream *s)
{
	static const char lines[] = "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n"
	                            "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n";

	while (s->empty) {
		size_t n = s->empty < sizeof(lines) / 2 ? s->empty : sizeof(lines) / 2;

		pass_on(c, s, slice_of(lines, 2 * n));
		s->empty -= n;
	}
	if (s->blank)
		pass_on(c, s, S(" "));
	if (s->cr)
		pass_on(c, s, S("\r"));
	s->blank = s->cr = false;
}

/* ---- simple ---- */

static void simple_add(struct canon_body *c, struct stream *s, struct slice octets)
{
	size_t n;

	if (s->cr && octets.at[0] == '\n') {
		s->cr = false;
		s->empty++;
		octets = slice_sub(octets, 1, SIZE_MAX);
	} else if (s->cr) {
		pass_held_back(c, s);
	}
	while (slice_starts(octets, S("\r\n"))) {
		s->empty++;
		octets = slice_sub(octets, 2, SIZE_MAX);
	}
	n = octets.n;
	if (n && octets.at[n - 1] == '\r')
		n--;
	if (n) {
		/* there is content in front of what may be the end: only the end is held back */
		pass_held_back(c, s);
		s->cr = n < octets.n;
		while (n >= 2 && octets.at[n - 1] == '\n' && octets.at[n - 2] == '\r') {
			s->empty++;
			n -= 2;
		}
		pass_on(c, s, slice_sub(octets, 0, n));
	} else {
		s->cr |= octets.n != 0;
	}
}

/* ---- relaxed ---- */

typedef unsigned char octets16 __attribute__((vector_size(16)));

static octets16 load(const unsigned char *at)
{
	octets16 v;

	memcpy(&v, at, sizeof(v));
	return v;
}

/* Does white space that is not one SP inside a line begin here, or white space that we cannot see the end of? */
static bool breaks(const unsigned char *p, const unsigned char *end)
{
	if (*p != ' ')
		return *p == '\t';
	return end - p < 2 || p[1] == ' ' || p[1] == '\t' || p[1] == '\r';
}

/*
 * The end of the run that begins at p and is canonical as it stands: single SPs between words and whole lines are part of it. Text
 * has a SP every six octets, so none of them may cost more than the others: sixteen are looked at in one go.
 */
static const unsigned char *run_end(const unsigned char *p, const unsigned char *end)
{
	const octets16 sp = (octets16){ 0 } + (unsigned char)' ', tab = (octets16){ 0 } + (unsigned char)'\t',
	    cr = (octets16){ 0 } + (unsigned char)'\r';

	while (end - p > (ptrdiff_t)sizeof(octets16)) {
		octets16 here = load(p), next = load(p + 1);
		uint64_t found[2];

		here = (octets16)((here == tab) | ((here == sp) & ((next == sp) | (next == tab) | (next == cr))));
		memcpy(found, &here, sizeof(found));
		if (found[0])
			return p + __builtin_ctzll(le64toh(found[0])) / 8;
		if (found[1])
			return p + 8 + __builtin_ctzll(le64toh(found[1])) / 8;
		p += sizeof(octets16);
	}
	while (p < end && !breaks(p, end))
		p++;
	return p;
}

/* n octets from p on. Short runs are copied sixteen octets at a time, where both sides have as many. */
static void pass_run(struct canon_body *c, struct stream *s, const unsigned char *p, size_t n, const unsigned char *end)
{
	if (n <= sizeof(octets16) && HELD_OCTETS - s->n >= sizeof(octets16) && end - p >= (ptrdiff_t)sizeof(octets16)) {
		memcpy(s->held + s->n, p, sizeof(octets16));
		s->n += n;
	} else {
		pass_on(c, s, slice_of(p, n));
	}
}

static void relaxed_add(struct canon_body *c, struct stream *s, struct slice octets)
{
	const unsigned char *p = octets.at, *end = p + octets.n;

	while (p < end) {
		const unsigned char *to;

		if (s->cr && *p == '\n') {
			s->cr = s->blank = false;
			s->empty++;
			p++;
			continue;
		}
		if (s->cr)
			pass_held_back(c, s);
		while (p < end && (*p == ' ' || *p == '\t')) {
			s->blank = true;
			p++;
		}
		if (p == end)
			break;
		if (*p == '\r') {
			s->cr = true;
			p++;
			continue;
		}
		if (s->empty == 0 && s->blank && s->n < HELD_OCTETS) {
			s->held[s->n++] = ' ';
			s->blank = false;
		} else {
			pass_held_back(c, s);
		}
		to = run_end(p, end);
		if (to == end && to[-1] == '\r')
			to--; /* the start of a CRLF perhaps */
		while (to - p >= 2 && to[-1] == '\n' && to[-2] == '\r')
			to -= 2;
		pass_run(c, s, p, (size_t)(to - p), end);
		p = to;
	}
}

/* ---- the interface ---- */

void canon_body_add(struct canon_body *c, struct slice octets)
{
	if (octets.n && c->streams[CANON_SIMPLE].wanted)
		simple_add(c, &c->streams[CANON_SIMPLE], octets);
	if (octets.n && c->streams[CANON_RELAXED].wanted)
		relaxed_add(c, &c->streams[CANON_RELAXED], octets);
}

static void stream_end(struct canon_body *c, struct stream *s)
{
	bool relaxed = s == &c->streams[CANON_RELAXED];

	if (!s->wanted)
		return;
	if (s->cr)
		pass_held_back(c, s);
	if (!relaxed || s->octets || s->n)
		pass_on(c, s, S("\r\n"));
	flush(c, s);
}

void canon_body_end(struct canon_body *c)
{
	if (c->ended)
		return;
	c->ended = true;
	for (size_t form = 0; form < CANON_FORMS; form++)
		stream_end(c, &c->streams[form]);
	for (int i = 0; i < c->want_count; i++) {
		struct want *w = &c->wants[i];

		if (w->octets == CANON_WHOLE)
			w->n = digest_end(c->streams[w->form].digests[w->alg], w->out);
	}
}

struct slice canon_body_got(const struct canon_body *c, int handle)
{
	return handle >= 0 && handle < c->want_count ? slice_of(c->wants[handle].out, c->wants[handle].n) : SLICE_NONE;
}

uint64_t canon_body_octets(const struct canon_body *c, enum canon_form form)
{
	return c->streams[form].octets;
}

struct slice canon_body_digest(const struct canon_body *c, enum digest_alg alg)
{
	for (int i = 0; i < c->want_count; i++)
		if (c->wants[i].form == CANON_SIMPLE && c->wants[i].alg == alg && c->wants[i].octets == CANON_WHOLE)
			return slice_of(c->wants[i].out, c->wants[i].n);
	return SLICE_NONE;
}
