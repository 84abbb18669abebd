#include "auth/dkim2/undo_in.h"
#include "base/limits.h"

/* ---- composing: what the recipes say of the body, before it comes ---- */

struct pieces { /* NULL at: they are only counted */
	struct undo_piece *at;
	size_t n;
	struct undo_piece last;
	uint64_t visited;
};

static void append(struct pieces *p, const struct slice *texts, uint64_t from, uint64_t lines)
{
	struct undo_piece *last = &p->last;

	if (lines == 0)
		return;
	if (p->n && (texts ? last->texts && last->texts + last->lines == texts : !last->texts && last->from + last->lines == from)) {
		last->lines += lines;
	} else {
		p->n++;
		*last = (struct undo_piece){ texts, from, lines };
	}
	if (p->at)
		p->at[p->n - 1] = *last;
}

/* The lines from..from + count - 1 of a state, from where an earlier call stopped: *piece begins at line *line of it. */
static bool copy(struct pieces *p, const struct undo_bodies *b, size_t *piece, uint64_t *line, uint64_t from, uint64_t count)
{
	if (count == 0 || from < *line)
		return false;
	while (count) {
		const struct undo_piece *of = &b->pieces[*piece];
		uint64_t skip, take;

		if (*piece == b->n)
			return false;
		p->visited++;
		skip = from - *line;
		if (skip >= of->lines) {
			*line += of->lines;
			++*piece;
			continue;
		}
		take = of->lines - skip < count ? of->lines - skip : count;
		append(p, of->texts ? of->texts + skip : NULL, of->texts ? 0 : of->from + skip, take);
		from += take;
		count -= take;
	}
	return true;
}

static bool compose(struct pieces *p, const struct undo_bodies *b, const struct recipe_steps *steps)
{
	uint64_t line = 1, behind = 1;
	size_t piece = 0;

	for (size_t i = 0; i < steps->n; i++) {
		const struct recipe_step *s = &steps->steps[i];

		if (s->texts) {
			append(p, s->texts, 0, s->count);
		} else {
			if (s->from < behind || !copy(p, b, &piece, &line, s->from, s->count))
				return false;
			behind = s->from + s->count;
		}
	}
	p->visited += steps->n;
	return true;
}

static bool only_literals(const struct recipe_steps *steps)
{
	for (size_t i = 0; i < steps->n; i++)
		if (!steps->steps[i].texts)
			return false;
	return true;
}

static void sum_up(struct undo_bodies *b, const struct recipe_steps *steps)
{
	for (size_t i = 0; i < steps->n; i++)
		*(steps->steps[i].texts ? &b->written : &b->copied) += steps->steps[i].count;
	for (size_t i = b->n; i-- > 0 && b->last == 0;)
		if (!b->pieces[i].texts)
			b->last = b->pieces[i].from + b->pieces[i].lines - 1;
}

/* The body of state k from that of k - 1. False: no memory. */
static bool step(struct undo *u, size_t k, size_t *left)
{
	const struct recipe *r = u->recipes[k - 1];
	const struct undo_bodies *before = &u->bodies[k - 1];
	struct undo_bodies *b = &u->bodies[k];
	struct pieces p = { .at = NULL };
	struct undo_piece *pieces;

	b->result = before->result;
	b->owner = before->owner;
	b->pieces = before->pieces;
	b->n = before->n;
	b->last = before->last;
	if (!r || (!r->has_body && !r->body_lost) || before->result == UNDO_BAD || before->result == UNDO_LIMIT)
		return true;
	b->owner = k;
	b->pieces = NULL;
	b->n = 0;
	b->last = 0;
	if (r->body_lost || (before->result == UNDO_LOST && !only_literals(&r->body))) {
		b->result = UNDO_LOST;
		return true;
	}
	b->result = UNDO_DONE;
	if (!compose(&p, before, &r->body))
		b->result = UNDO_BAD;
	else if (p.n > *left)
		b->result = UNDO_LIMIT;
	u->work += p.visited;
	if (b->result != UNDO_DONE)
		return true;
	*left -= p.n;
	pieces = ARENA_ARRAY(u->a, p.n, struct undo_piece);
	if (!pieces)
		return false;
	p = (struct pieces){ .at = pieces };
	(void)compose(&p, before, &r->body);
	b->pieces = pieces;
	b->n = p.n;
	sum_up(b, &r->body);
	return true;
}

bool undo_body_init(struct undo *u, const unsigned *algs)
{
	static const struct undo_piece whole = { NULL, 1, UINT64_MAX };
	size_t left = LIMIT_UNDO_PIECES;

	u->bodies = ARENA_ARRAY(u->a, u->n + 1, struct undo_bodies);
	u->starts = ARENA_ARRAY(u->a, UNDO_BLOCK / 2 + 1, uint16_t);
	u->stage = arena_take(u->a, UNDO_STAGE);
	if (!u->bodies || !u->starts || !u->stage)
		return false;
	u->bodies[0].pieces = &whole;
	u->bodies[0].n = 1;
	for (size_t k = 1; k <= u->n; k++) {
		if (!step(u, k, &left))
			return false;
		u->bodies[u->bodies[k].owner].algs |= algs[k];
	}
	for (size_t k = 1; k <= u->n; k++) {
		struct undo_bodies *b = &u->bodies[k];

		if (b->owner != k || b->result != UNDO_DONE)
			continue;
		u->active = k;
		if (b->algs && !(b->digests = canon_body_new(b->algs)))
			return false;
	}
	return true;
}

void undo_body_release(struct undo *u)
{
	for (size_t k = 0; u->bodies && k <= u->n; k++)
		canon_body_free(&u->bodies[k].digests);
}

/* ---- hashing: every state is fed as the body comes ---- */

/* Nothing more of state k and those before it: each of them is above a ceiling, whatever comes. */
static void give_up(struct undo *u, size_t k)
{
	for (; u->active >= k; u->active--) {
		struct undo_bodies *b = &u->bodies[u->active];

		if (b->owner != u->active || b->result != UNDO_DONE)
			continue;
		b->over = true;
		u->octets -= b->octets;
	}
}

/*
 * Decided by sums that only grow, so that it does not matter how the input is split: a state is over when its own body is above
 * the limit, or those up to it together are above the ceiling.
 */
static void count(struct undo *u, size_t k, uint64_t octets)
{
	u->bodies[k].octets += octets;
	u->octets += octets;
	u->work += octets;
	if (u->bodies[k].octets > LIMIT_UNDO_BODY)
		give_up(u, k);
	while (u->octets > u->ceiling)
		give_up(u, u->active);
}

struct feed { /* short runs are collected, for one digest at a time */
	struct undo *u;
	struct undo_bodies *b;
	size_t k, staged;
};

static void flush(struct feed *f)
{
	if (f->b->digests)
		canon_body_add(f->b->digests, slice_of(f->u->stage, f->staged));
	f->staged = 0;
}

static void add(struct feed *f, struct slice octets)
{
	if (f->b->over)
		return;
	count(f->u, f->k, octets.n);
	if (f->b->over || !f->b->digests || octets.n == 0)
		return;
	if (octets.n > UNDO_STAGE - f->staged)
		flush(f);
	if (octets.n > UNDO_STAGE / 4) {
		flush(f);
		canon_body_add(f->b->digests, octets);
	} else {
		memcpy(f->u->stage + f->staged, octets.at, octets.n);
		f->staged += octets.n;
	}
}

static void add_texts(struct feed *f, const struct undo_piece *p)
{
	for (uint64_t i = 0; i < p->lines && !f->b->over; i++) {
		add(f, p->texts[i]);
		add(f, S("\r\n"));
	}
	f->u->work += p->lines;
}

/* CRLFs that end in the block. In runs of a fixed length and with sums of one octet, which compilers make vectors of. */
static size_t count_lines(struct slice block, bool cr)
{
	enum { RUN = 64 };
	size_t n = cr && block.at[0] == '\n', i = 0;

	for (; block.n - i > RUN; i += RUN) {
		const unsigned char *at = block.at + i;
		unsigned char sum = 0;

		for (unsigned k = 0; k < RUN; k++)
			sum = (unsigned char)(sum + ((at[k] == '\r') & (at[k + 1] == '\n')));
		n += sum;
	}
	for (; i + 1 < block.n; i++)
		n += (size_t)((block.at[i] == '\r') & (block.at[i + 1] == '\n'));
	return n;
}

/* Where lines start behind each of these CRLFs. */
static void find_lines(struct slice block, bool cr, uint16_t *starts)
{
	const unsigned char *at = block.at, *end = block.at + block.n, *lf;

	for (; at < end && (lf = memchr(at, '\n', (size_t)(end - at))) != NULL; at = lf + 1)
		if (lf > block.at ? lf[-1] == '\r' : cr)
			*starts++ = (uint16_t)(lf + 1 - block.at);
}

/* A block with n CRLFs, the first of which ends line `line`; has_starts: u->starts is set. False: it is needed. */
static bool feed(struct undo *u, size_t k, struct slice block, uint64_t line, size_t n, bool has_starts)
{
	struct undo_bodies *b = &u->bodies[k];
	struct feed f = { u, b, k, 0 };

	for (; b->at < b->n && !b->over; b->at++) {
		const struct undo_piece *p = &b->pieces[b->at];
		size_t from = 0, to = block.n;
		uint64_t behind;

		u->work++;
		if (p->texts) {
			add_texts(&f, p);
			continue;
		}
		behind = p->from + p->lines;
		if (p->from > line + n)
			break;
		if (!has_starts && (p->from > line || behind <= line + n)) {
			flush(&f);
			return false;
		}
		if (p->from > line)
			from = u->starts[p->from - line - 1];
		if (behind <= line + n)
			to = u->starts[behind - line - 1];
		add(&f, slice_sub(block, from, to - from));
		if (behind > line + n)
			break;
	}
	flush(&f);
	return true;
}

static void block(struct undo *u, struct slice octets)
{
	uint64_t line = u->lines + 1;
	size_t n = count_lines(octets, u->cr), tail = octets.n;
	bool has_starts = false;

	for (size_t k = 1; k <= u->active; k++) {
		if (u->bodies[k].owner != k || u->bodies[k].result != UNDO_DONE || feed(u, k, octets, line, n, has_starts))
			continue;
		find_lines(octets, u->cr, u->starts);
		has_starts = true;
		u->work += n;
		feed(u, k, octets, line, n, true);
	}
	/* the last line with more than CR and LF: what CRLFs stand behind it */
	while (tail && (octets.at[tail - 1] == '\r' || octets.at[tail - 1] == '\n'))
		tail--;
	if (tail)
		u->content = line + n - (tail < octets.n ? count_lines(slice_sub(octets, tail, SIZE_MAX), false) : 0);
	u->open = octets.at[octets.n - 1] != '\n' || !(octets.n > 1 ? octets.at[octets.n - 2] == '\r' : u->cr);
	u->cr = octets.at[octets.n - 1] == '\r';
	u->received += octets.n;
	u->lines += n;
	u->work += octets.n;
}

void undo_body(struct undo *u, struct slice octets)
{
	while (octets.n) {
		block(u, slice_sub(octets, 0, UNDO_BLOCK));
		octets = slice_sub(octets, UNDO_BLOCK, SIZE_MAX);
	}
}

/* What is left of a state when no more octets come. */
static void finish(struct undo *u, size_t k)
{
	struct undo_bodies *b = &u->bodies[k];
	struct feed f = { u, b, k, 0 };

	for (; b->at < b->n && !b->over; b->at++) {
		const struct undo_piece *p = &b->pieces[b->at];

		if (p->texts)
			add_texts(&f, p);
		else
			add(&f, S("\r\n")); /* it waits for the end of the last line, which has none */
	}
	flush(&f);
	if (b->digests)
		canon_body_end(b->digests);
}

void undo_end(struct undo *u)
{
	enum undo_result result = UNDO_DONE;
	uint64_t lines = u->lines + u->open;

	if (u->ended)
		return;
	u->ended = true;
	for (size_t k = 1; k <= u->n; k++) {
		struct undo_bodies *b = &u->bodies[k];

		if (result == UNDO_BAD || result == UNDO_LIMIT) {
			b->result = result;
			continue;
		}
		if (b->owner == k && b->result == UNDO_DONE) {
			if (b->last <= lines)
				finish(u, k);
			if (b->last > lines)
				b->result = UNDO_BAD;
			else if (b->over || b->octets > undo_room(u->received))
				b->result = UNDO_LIMIT;
		} else if (b->owner && b->owner < k) {
			b->result = u->bodies[b->owner].result;
		}
		result = b->result;
	}
}

/* ---- asking ---- */

enum undo_result undo_body_hash(struct undo *u, size_t state, enum digest_alg alg, struct slice *out)
{
	const struct undo_bodies *b = &u->bodies[state], *owner = &u->bodies[b->owner];

	if (b->result == UNDO_DONE)
		*out = owner->digests ? canon_body_digest(owner->digests, alg) : SLICE_NONE;
	return b->result;
}

uint64_t undo_lines_changed(const struct undo *u, size_t state)
{
	const struct undo_bodies *b = &u->bodies[state], *before = &u->bodies[state - 1];
	uint64_t lines = 0;

	if (b->owner != state || b->result != UNDO_DONE || before->result != UNDO_DONE)
		return 0;
	if (before->owner) {
		for (size_t i = 0; i < before->n; i++)
			lines += before->pieces[i].lines;
	} else { /* empty lines at the end do not count unless they are copied */
		lines = b->last > u->content ? b->last : u->content;
	}
	return lines - b->copied + b->written;
}

size_t undo_pieces(const struct undo *u, size_t state, const struct undo_piece **pieces_out)
{
	*pieces_out = u->bodies[state].pieces;
	return u->bodies[state].n;
}

/* Moves *at behind `lines` CRLFs of the body, or to its end. */
static void skip_lines(struct slice body, size_t *at, uint64_t lines)
{
	while (lines && *at < body.n) {
		const unsigned char *lf = memchr(body.at + *at, '\n', body.n - *at);

		*at = lf ? (size_t)(lf + 1 - body.at) : body.n;
		if (lf && lf > body.at && lf[-1] == '\r')
			lines--;
	}
}

enum undo_result undo_runs(struct undo *u, size_t state, struct slice body, struct slice **runs_out, size_t *n_out)
{
	const struct undo_bodies *b = &u->bodies[state];
	struct slice *runs;
	uint64_t line = 1;
	size_t n = 1, at = 0;

	if (!u->ended) {
		undo_body(u, body);
		undo_end(u);
	}
	if (b->result != UNDO_DONE)
		return b->result;
	for (size_t i = 0; i < b->n; i++)
		n += b->pieces[i].texts ? 2 * (size_t)b->pieces[i].lines : 1;
	runs = ARENA_ARRAY(u->a, n, struct slice);
	if (!runs)
		return UNDO_MEMORY;
	n = 0;
	for (size_t i = 0; i < b->n; i++) {
		const struct undo_piece *p = &b->pieces[i];
		size_t from;

		if (p->texts) {
			for (uint64_t k = 0; k < p->lines; k++) {
				runs[n++] = p->texts[k];
				runs[n++] = S("\r\n");
			}
			continue;
		}
		skip_lines(body, &at, p->from - line);
		from = at;
		skip_lines(body, &at, p->lines);
		line = p->from + p->lines;
		runs[n++] = slice_sub(body, from, at - from);
		if (b->owner && at == body.n && u->open && line > u->lines + 1)
			runs[n++] = S("\r\n");
	}
	*runs_out = runs;
	*n_out = n;
	return UNDO_DONE;
}
