#include <stdlib.h>

#include "auth/dkim2/diff.h"
#include "base/limits.h"
#include "base/map.h"

enum {
	EXACT_FIRST = 250000,  /* pairs of lines: up to here all ways are compared at once */
	EXACT_LAST = 1000000,  /* up to here when there are no lines to cut at */
	ANCHOR_LEVELS = 8,     /* how often what is left between cuts is searched for such lines again */
	PROBES = 16,           /* places of the table a line is looked for */
	SLIDE_LINES = 64,      /* longer runs are worth the step they take */
	COPY_OCTETS = 10,      /* {"c":[,]}, */
	LITERAL_OCTETS = 8,    /* {"d":[]} */
	LITERAL_ENOUGH = 1000, /* more than any copy takes with a literal before and behind it */
};

#define NOWHERE UINT32_MAX

/* A part of both lists that is still to be matched. */
struct box {
	uint32_t a0, a1, b0, b1;
	unsigned level;
};

struct core { /* a run of equal lines that starts with one that both have once */
	uint32_t a, b, n, rank, came_from;
	int64_t score;
};

struct differ {
	struct arena *arena;
	struct make_work *work;
	/* What both lists have, as numbers: lines are equal if their classes are. */
	uint32_t *a, *b;         /* classes */
	uint32_t *at_a, *at_b;   /* where in the lists */
	uint32_t n, m;
	uint32_t *gain;          /* octets that copying a line of a saves */
	uint32_t *pair;          /* a line of a is this one of b, or NOWHERE */
	int64_t copy;            /* octets a copy takes, with numbers as long as any here */
	int64_t open;            /* the same when it ends a literal that goes on behind it */
	/* By class. */
	uint32_t *in_a, *in_b, *place;
	/* By line. */
	uint32_t *next_a, *next_b, *core_of;
	int32_t *ahead, *back;   /* by diagonal */
	struct core *cores;
	int64_t *tree;
	uint32_t *tree_core;
	unsigned char *cells;
	size_t cell_room;
	struct box *boxes;
	size_t box_n, box_room;
	bool failed;
};

static unsigned digits(uint64_t n)
{
	unsigned k = 1;

	while (n >= 10) {
		n /= 10;
		k++;
	}
	return k;
}

uint64_t diff_literal_octets(struct slice line)
{
	uint64_t n = line.n + 3;

	for (size_t i = 0; i < line.n; i++) {
		unsigned char c = line.at[i];

		/* no branches, it is all octets of what changed */
		n += (unsigned)(c == '"') + (c == '\\') + (c == '\t') + 5U * (c < 0x20 && c != '\t');
	}
	return n;
}

static bool may_spend(struct differ *d, uint64_t steps)
{
	return d->work->steps < LIMIT_DIFF_STEPS && steps <= LIMIT_DIFF_STEPS - d->work->steps;
}

/* ---- lines as numbers ---- */

struct slot {
	uint32_t line, hash; /* line + 1, 0: free */
};

/*
 * The index of the first line equal to this one. A table too full around its place, which only a peer that looks for
 * such lines can cause, gives NOWHERE: the line then counts as one that nothing equals.
 */
static uint32_t class_of(struct slot *table, size_t room, const struct slice *lines, struct slice line, uint32_t add)
{
	static const uint64_t seed[2] = { 0x6869677565726574U, 0x6e6e6975716e6575U };
	uint64_t hash = map_hash(seed, line);

	for (size_t k = 0; k < PROBES; k++) {
		struct slot *s = &table[(hash + k) & (room - 1)];

		if (s->line == 0) {
			if (add != NOWHERE)
				*s = (struct slot){ add + 1, (uint32_t)(hash >> 32) };
			return add;
		}
		if (s->hash == (uint32_t)(hash >> 32) && slice_eq(lines[s->line - 1], line))
			return s->line - 1;
	}
	return NOWHERE;
}

/* Takes over what both lists have. */
static bool number(struct differ *d, const struct slice *before, uint32_t n, const struct slice *now, uint32_t m)
{
	size_t room = 16;
	struct slot *table;
	uint32_t *classes = ARENA_ARRAY(d->arena, n, uint32_t);

	while (room < 2 * (size_t)n)
		room *= 2;
	table = ARENA_ARRAY(d->arena, room, struct slot);
	d->a = ARENA_ARRAY(d->arena, n, uint32_t);
	d->at_a = ARENA_ARRAY(d->arena, n, uint32_t);
	d->gain = ARENA_ARRAY(d->arena, n, uint32_t);
	d->b = ARENA_ARRAY(d->arena, m, uint32_t);
	d->at_b = ARENA_ARRAY(d->arena, m, uint32_t);
	d->in_a = ARENA_ARRAY(d->arena, n, uint32_t);
	d->in_b = ARENA_ARRAY(d->arena, n, uint32_t);
	d->place = ARENA_ARRAY(d->arena, n, uint32_t);
	if (arena_failed(d->arena))
		return false;
	d->work->lines += (uint64_t)n + m;
	for (uint32_t i = 0; i < n; i++)
		classes[i] = class_of(table, room, before, before[i], i);
	for (uint32_t j = 0; j < m; j++) {
		uint32_t class = class_of(table, room, before, now[j], NOWHERE);

		if (class == NOWHERE)
			continue;
		d->in_b[class] = 1;
		d->b[d->m] = class;
		d->at_b[d->m++] = j;
	}
	for (uint32_t i = 0; i < n; i++) {
		uint64_t octets;

		if (classes[i] == NOWHERE || !d->in_b[classes[i]])
			continue;
		octets = diff_literal_octets(before[i]);
		d->a[d->n] = classes[i];
		d->at_a[d->n] = i;
		d->gain[d->n++] = octets < UINT32_MAX ? (uint32_t)octets : UINT32_MAX;
	}
	d->next_a = ARENA_ARRAY(d->arena, d->n, uint32_t);
	d->next_b = ARENA_ARRAY(d->arena, d->m, uint32_t);
	d->core_of = ARENA_ARRAY(d->arena, d->m, uint32_t);
	d->pair = ARENA_ARRAY(d->arena, d->n, uint32_t);
	if (d->pair)
		memset(d->pair, 0xff, d->n * sizeof(*d->pair));
	return !arena_failed(d->arena);
}

/* ---- parts still to be done ---- */

static uint64_t cells_of(const struct box *x)
{
	return (uint64_t)(x->a1 - x->a0) * (x->b1 - x->b0);
}

static void push(struct differ *d, struct box x)
{
	if (x.a0 == x.a1 || x.b0 == x.b1 || d->failed)
		return;
	if (d->box_n == d->box_room) {
		size_t room = d->box_room ? d->box_room * 2 : 64;
		struct box *boxes = realloc(d->boxes, room * sizeof(*boxes));

		if (!boxes) {
			d->failed = true;
			return;
		}
		d->boxes = boxes;
		d->box_room = room;
	}
	d->boxes[d->box_n++] = x;
}

/* Pairs whatever both sides begin and end with. */
static void trim(struct differ *d, struct box *x)
{
	while (x->a0 < x->a1 && x->b0 < x->b1 && d->a[x->a0] == d->b[x->b0])
		d->pair[x->a0++] = x->b0++;
	while (x->a0 < x->a1 && x->b0 < x->b1 && d->a[x->a1 - 1] == d->b[x->b1 - 1])
		d->pair[--x->a1] = --x->b1;
}

/* Lines from a and b on that one copy takes, `by` is 1 or -1; 0 if that would save less than `least`. */
static uint32_t one_copy(const struct differ *d, uint32_t a, uint32_t b, uint32_t most, int by, int64_t least)
{
	int64_t gain = 0;
	uint32_t n = 0;

	while (n < most && d->a[a] == d->b[b]) {
		gain += d->gain[a];
		n++;
		a += (uint32_t)by;
		b += (uint32_t)by;
		if (n == most || d->at_a[a] != d->at_a[a - (uint32_t)by] + (uint32_t)by || d->at_b[b] != d->at_b[b - (uint32_t)by] + (uint32_t)by)
			break;
	}
	return gain < least ? 0 : n;
}

/*
 * The same as long as what is paired is worth a copy: lines of which the other side has more between them may do better
 * with others further on.
 */
static void trim_copies(struct differ *d, struct box *x)
{
	int64_t least = 3 * d->open;
	uint32_t n, most;

	while ((most = x->a1 - x->a0 < x->b1 - x->b0 ? x->a1 - x->a0 : x->b1 - x->b0) > 0 &&
	       (n = one_copy(d, x->a0, x->b0, most, 1, least)) > 0)
		while (n-- > 0)
			d->pair[x->a0++] = x->b0++;
	while ((most = x->a1 - x->a0 < x->b1 - x->b0 ? x->a1 - x->a0 : x->b1 - x->b0) > 0 &&
	       (n = one_copy(d, x->a1 - 1, x->b1 - 1, most, -1, least)) > 0)
		while (n-- > 0)
			d->pair[--x->a1] = --x->b1;
}

/*
 * Lines that only one side of the box has will never be matched: those that both have move up in their places. What
 * then lies behind the end of the box belongs to no box any more.
 */
static void put_aside(struct differ *d, struct box *x)
{
	uint32_t a = x->a0, b = x->b0;

	d->work->lines += (uint64_t)(x->a1 - x->a0) + (x->b1 - x->b0);
	for (uint32_t i = x->a0; i < x->a1; i++)
		d->in_b[d->a[i]] = 0;
	for (uint32_t j = x->b0; j < x->b1; j++) {
		d->in_a[d->b[j]] = 0;
		d->in_b[d->b[j]] = 1;
	}
	for (uint32_t i = x->a0; i < x->a1; i++) {
		d->in_a[d->a[i]] = 1;
		if (!d->in_b[d->a[i]])
			continue;
		d->a[a] = d->a[i];
		d->at_a[a] = d->at_a[i];
		d->gain[a++] = d->gain[i];
	}
	for (uint32_t j = x->b0; j < x->b1; j++) {
		if (!d->in_a[d->b[j]])
			continue;
		d->b[b] = d->b[j];
		d->at_b[b++] = d->at_b[j];
	}
	x->a1 = a;
	x->b1 = b;
}

/* ---- all ways compared ---- */

/*
 * The fewest octets that emit the lines of a up to this one, if nothing of b behind line j was copied: with this line a
 * copy of line j, the last of a copy; with all steps over; with it the last of a literal.
 */
struct cheapest {
	int64_t copy, over, literal;
};

enum { /* of each of the three which one it came from, in an octet */
	COPY_GOES_ON = 1,
	COPY_AFTER_LITERAL = 2,
	OVER_LEFT = 4,         /* as with a line of b less; else its copy ends here */
	LITERAL_LEFT = 8,
	LITERAL_GOES_ON = 16,
};

#define NEVER (INT64_MAX / 4)

/* One line of a against all of b. `row` holds what was found for the line above. */
static void exact_line(const struct differ *d, const struct box *x, uint32_t k, struct cheapest *row, unsigned char *cell)
{
	bool follows = k > x->a0 && d->at_a[k] == d->at_a[k - 1] + 1; /* else there is a literal above it that has to be */
	int64_t octets = d->gain[k], gap = k > x->a0 && !follows ? LITERAL_OCTETS : 0;
	struct cheapest diagonal = { NEVER, NEVER, NEVER };

	for (uint32_t j = 0; j <= x->b1 - x->b0; j++) {
		const uint32_t *b = d->b + x->b0 + j, *at_b = d->at_b + x->b0 + j; /* [-1] is line j */
		struct cheapest up = row[j], c = { NEVER, NEVER, NEVER };
		unsigned char from = 0;

		if (j > 0 && d->a[k] == b[-1]) {
			c.copy = diagonal.over + gap + d->copy;
			if (diagonal.literal + d->copy < c.copy) {
				c.copy = diagonal.literal + d->copy;
				from = COPY_AFTER_LITERAL;
			}
			if (follows && j > 1 && diagonal.copy <= c.copy && at_b[-1] == at_b[-2] + 1) {
				c.copy = diagonal.copy;
				from = COPY_GOES_ON;
			}
		}
		c.over = c.copy;
		c.literal = up.over + LITERAL_OCTETS + octets;
		if (up.literal + octets < c.literal) {
			c.literal = up.literal + octets;
			from |= LITERAL_GOES_ON;
		}
		if (j > 0 && row[j - 1].over <= c.over) {
			c.over = row[j - 1].over;
			from |= OVER_LEFT;
		}
		if (j > 0 && row[j - 1].literal <= c.literal) {
			c.literal = row[j - 1].literal;
			from |= LITERAL_LEFT;
		}
		diagonal = up;
		row[j] = c;
		cell[j] = from;
	}
}

/* Back from the end, in the cells. */
static void exact_pairs(struct differ *d, const struct box *x, bool literal)
{
	uint32_t i = x->a1 - x->a0, j = x->b1 - x->b0, width = j + 1;
	bool copy = false;

	while (i > 0) {
		unsigned char from = d->cells[(size_t)(i - 1) * width + j];

		if (!copy && (from & (literal ? LITERAL_LEFT : OVER_LEFT))) {
			j--;
		} else if (!copy && literal) {
			literal = from & LITERAL_GOES_ON;
			i--;
		} else {
			d->pair[x->a0 + --i] = x->b0 + --j;
			copy = from & COPY_GOES_ON;
			literal = from & COPY_AFTER_LITERAL;
		}
	}
}

static bool exact(struct differ *d, const struct box *x)
{
	uint32_t width = x->b1 - x->b0 + 1;
	size_t cells = (size_t)width * (x->a1 - x->a0);
	struct cheapest *row = malloc(width * sizeof(*row));

	if (row && cells > d->cell_room) {
		unsigned char *more = realloc(d->cells, cells);

		if (!more) {
			free(row);
			return false;
		}
		d->cells = more;
		d->cell_room = cells;
	}
	if (!row)
		return false;
	for (uint32_t j = 0; j < width; j++)
		row[j] = (struct cheapest){ NEVER, 0, NEVER };
	for (uint32_t k = x->a0; k < x->a1; k++)
		exact_line(d, x, k, row, d->cells + (size_t)width * (k - x->a0));
	exact_pairs(d, x, row[width - 1].literal < row[width - 1].over);
	free(row);
	d->work->steps += cells_of(x);
	return true;
}

/* ---- lines that both have once ---- */

static void find_cores(struct differ *d, const struct box *x, uint32_t *n_out)
{
	uint32_t n = 0, rank = 0;

	for (uint32_t i = x->a0; i < x->a1; i++)
		d->in_a[d->a[i]] = d->in_b[d->a[i]] = 0;
	for (uint32_t j = x->b0; j < x->b1; j++)
		d->in_b[d->b[j]] = 0;
	for (uint32_t i = x->a0; i < x->a1; i++)
		d->in_a[d->a[i]]++;
	for (uint32_t j = x->b0; j < x->b1; j++) {
		d->in_b[d->b[j]]++;
		d->place[d->b[j]] = j;
		d->core_of[j] = NOWHERE;
	}
	for (uint32_t i = x->a0; i < x->a1;) {
		struct core *c = &d->cores[n];
		uint32_t class = d->a[i];

		if (d->in_a[class] != 1 || d->in_b[class] != 1) {
			i++;
			continue;
		}
		*c = (struct core){ .a = i, .b = d->place[class], .score = -d->open };
		d->core_of[c->b] = n++;
		for (; i < x->a1 && c->b + c->n < x->b1 && d->a[i] == d->b[c->b + c->n]; i++)
			c->score += d->gain[c->a + c->n++];
		if (c->score < 1)
			c->score = 1;
	}
	for (uint32_t j = x->b0; j < x->b1; j++)
		if (d->core_of[j] != NOWHERE)
			d->cores[d->core_of[j]].rank = ++rank;
	*n_out = n;
}

/* The heaviest chain of cores that ascends in both lists: its last. A Fenwick tree over b knows the best so far. */
static uint32_t best_chain(struct differ *d, uint32_t n)
{
	uint32_t last = NOWHERE;

	for (uint32_t r = 0; r <= n; r++) {
		d->tree[r] = 0;
		d->tree_core[r] = NOWHERE;
	}
	for (uint32_t k = 0; k < n; k++) {
		struct core *c = &d->cores[k];
		int64_t best = 0;

		c->came_from = NOWHERE;
		for (uint32_t r = c->rank - 1; r > 0; r &= r - 1) {
			if (d->tree[r] > best) {
				best = d->tree[r];
				c->came_from = d->tree_core[r];
			}
		}
		c->score += best;
		for (uint32_t r = c->rank; r <= n; r += r & -r) {
			if (c->score > d->tree[r]) {
				d->tree[r] = c->score;
				d->tree_core[r] = k;
			}
		}
		if (last == NOWHERE || c->score > d->cores[last].score)
			last = k;
	}
	return last;
}

/* Cuts the box at such lines. False: there are none. */
static bool anchors(struct differ *d, const struct box *x)
{
	uint32_t n, hi_a = x->a1, hi_b = x->b1;

	d->work->lines += (uint64_t)(x->a1 - x->a0) + (x->b1 - x->b0);
	find_cores(d, x, &n);
	if (n == 0)
		return false;
	for (uint32_t k = best_chain(d, n); k != NOWHERE; k = d->cores[k].came_from) {
		const struct core *c = &d->cores[k];

		for (uint32_t i = 0; i < c->n; i++)
			d->pair[c->a + i] = c->b + i;
		push(d, (struct box){ c->a + c->n, hi_a, c->b + c->n, hi_b, x->level + 1 });
		hi_a = c->a;
		hi_b = c->b;
	}
	push(d, (struct box){ x->a0, hi_a, x->b0, hi_b, x->level + 1 });
	return true;
}

/* ---- Myers: An O(ND) Difference Algorithm and Its Variations, 1986, section 4b ---- */

/* A search from one corner: for each diagonal (a - b) how far in a it came. */
struct front {
	int32_t *reach;
	int64_t low, high; /* diagonals of the last turn */
};

/* Widens by a diagonal on both sides, or narrows where the box ends; what was not reached gives `none`. */
static void widen(struct front *f, int64_t least, int64_t most, int32_t none)
{
	if (f->low > least)
		f->reach[--f->low - 1] = none;
	else
		f->low++;
	if (f->high < most)
		f->reach[++f->high + 1] = none;
	else
		f->high--;
}

enum met {
	MET,
	MET_NOT,
	MET_CAPPED
};

static enum met go_ahead(struct differ *d, const struct box *x, struct front *f, const struct front *back, bool odd,
    int32_t *a_out, int32_t *b_out)
{
	for (int64_t k = f->high; k >= f->low && may_spend(d, 1); k -= 2) {
		int32_t i = f->reach[k - 1] < f->reach[k + 1] ? f->reach[k + 1] : f->reach[k - 1] + 1, j = (int32_t)(i - k);
		int32_t from = i;

		while (i < (int32_t)x->a1 && j < (int32_t)x->b1 && d->a[i] == d->b[j]) {
			i++;
			j++;
		}
		d->work->steps += (uint64_t)(i - from) + 1;
		f->reach[k] = i;
		if (odd && back->low <= k && k <= back->high && back->reach[k] <= i) {
			*a_out = i;
			*b_out = j;
			return MET;
		}
	}
	return may_spend(d, 1) ? MET_NOT : MET_CAPPED;
}

static enum met go_back(struct differ *d, const struct box *x, struct front *f, const struct front *ahead, bool odd,
    int32_t *a_out, int32_t *b_out)
{
	for (int64_t k = f->high; k >= f->low && may_spend(d, 1); k -= 2) {
		int32_t i = f->reach[k - 1] < f->reach[k + 1] ? f->reach[k - 1] : f->reach[k + 1] - 1, j = (int32_t)(i - k);
		int32_t from = i;

		while (i > (int32_t)x->a0 && j > (int32_t)x->b0 && d->a[i - 1] == d->b[j - 1]) {
			i--;
			j--;
		}
		d->work->steps += (uint64_t)(from - i) + 1;
		f->reach[k] = i;
		if (!odd && ahead->low <= k && k <= ahead->high && i <= ahead->reach[k]) {
			*a_out = i;
			*b_out = j;
			return MET;
		}
	}
	return may_spend(d, 1) ? MET_NOT : MET_CAPPED;
}

/* Cuts the box where a shortest way through it has its middle. False: too much work. */
static bool middle(struct differ *d, const struct box *x)
{
	int64_t least = (int64_t)x->a0 - x->b1, most = (int64_t)x->a1 - x->b0;
	int64_t first = (int64_t)x->a0 - x->b0, last = (int64_t)x->a1 - x->b1;
	bool odd = (first - last) & 1;
	struct front ahead = { d->ahead + d->m + 1, first, first }, back = { d->back + d->m + 1, last, last };
	enum met met = MET_NOT;
	int32_t i = 0, j = 0;

	ahead.reach[first] = (int32_t)x->a0;
	back.reach[last] = (int32_t)x->a1;
	while (met == MET_NOT) {
		widen(&ahead, least, most, -1);
		met = go_ahead(d, x, &ahead, &back, odd, &i, &j);
		if (met != MET_NOT)
			break;
		widen(&back, least, most, INT32_MAX);
		met = go_back(d, x, &back, &ahead, odd, &i, &j);
	}
	if (met != MET || i < (int32_t)x->a0 || i > (int32_t)x->a1 || j < (int32_t)x->b0 || j > (int32_t)x->b1 ||
	    ((uint32_t)i == x->a0 && (uint32_t)j == x->b0) || ((uint32_t)i == x->a1 && (uint32_t)j == x->b1))
		return false;
	push(d, (struct box){ x->a0, (uint32_t)i, x->b0, (uint32_t)j, x->level + 1 });
	push(d, (struct box){ (uint32_t)i, x->a1, (uint32_t)j, x->b1, x->level + 1 });
	return true;
}

/* ---- when nothing better can be paid ---- */

/* The first line of its class at or behind `from`, NOWHERE: none before `to`. `place` only ever moves on. */
static uint32_t next_of(uint32_t *place, const uint32_t *next, uint32_t from, uint32_t to)
{
	while (*place < from)
		*place = next[*place];
	return *place < to ? *place : NOWHERE;
}

/* From the top, each time taking the equal line that leaves out less. */
static void greedy(struct differ *d, const struct box *x)
{
	uint32_t i = x->a0, j = x->b0;

	d->work->capped = true;
	d->work->lines += (uint64_t)(x->a1 - x->a0) + (x->b1 - x->b0);
	for (uint32_t k = x->a0; k < x->a1; k++)
		d->in_a[d->a[k]] = d->in_b[d->a[k]] = NOWHERE;
	for (uint32_t k = x->b0; k < x->b1; k++)
		d->in_a[d->b[k]] = d->in_b[d->b[k]] = NOWHERE;
	for (uint32_t k = x->a1; k-- > x->a0; d->in_a[d->a[k]] = k)
		d->next_a[k] = d->in_a[d->a[k]];
	for (uint32_t k = x->b1; k-- > x->b0; d->in_b[d->b[k]] = k)
		d->next_b[k] = d->in_b[d->b[k]];
	while (i < x->a1 && j < x->b1) {
		uint32_t to_a, to_b;

		if (d->a[i] == d->b[j]) {
			d->pair[i++] = j++;
			continue;
		}
		to_a = next_of(&d->in_a[d->b[j]], d->next_a, i, x->a1);
		to_b = next_of(&d->in_b[d->a[i]], d->next_b, j, x->b1);
		if (to_a == NOWHERE && to_b == NOWHERE) {
			i++;
			j++;
		} else if (to_b == NOWHERE || (to_a != NOWHERE && to_a - i < to_b - j)) {
			i = to_a;
		} else {
			j = to_b;
		}
	}
}

static bool room_for_large(struct differ *d)
{
	size_t least = d->n < d->m ? d->n : d->m, diagonals = (size_t)d->n + d->m + 3;

	if (d->cores)
		return true;
	d->cores = ARENA_ARRAY(d->arena, least, struct core);
	d->tree = ARENA_ARRAY(d->arena, least + 1, int64_t);
	d->tree_core = ARENA_ARRAY(d->arena, least + 1, uint32_t);
	d->ahead = ARENA_ARRAY(d->arena, diagonals, int32_t);
	d->back = ARENA_ARRAY(d->arena, diagonals, int32_t);
	return !arena_failed(d->arena);
}

static bool match_box(struct differ *d, struct box x)
{
	uint64_t cells;

	trim_copies(d, &x);
	if (x.level > 0 && x.level <= ANCHOR_LEVELS && cells_of(&x) > 0) {
		put_aside(d, &x);
		trim_copies(d, &x);
	}
	cells = cells_of(&x);
	if (cells == 0)
		return true;
	if (cells <= EXACT_FIRST && may_spend(d, cells))
		return exact(d, &x);
	if (!room_for_large(d))
		return false;
	if (x.level < ANCHOR_LEVELS && anchors(d, &x))
		return true;
	if (cells <= EXACT_LAST && may_spend(d, cells))
		return exact(d, &x);
	trim(d, &x);
	if (cells_of(&x) > 0 && (!may_spend(d, 1) || !middle(d, &x)))
		greedy(d, &x);
	return true;
}

/* ---- runs, and which of them are worth their step ---- */

struct runs {
	struct diff_run *list;
	size_t n;
};

static void add_run(struct runs *r, size_t before, size_t now, size_t n)
{
	struct diff_run *last = r->n ? &r->list[r->n - 1] : NULL;

	if (n == 0)
		return;
	if (last && last->before + last->n == before && last->now + last->n == now)
		last->n += n;
	else
		r->list[r->n++] = (struct diff_run){ before, now, n };
}

static bool same_lines(const struct slice *x, const struct slice *y, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!slice_eq(x[i], y[i]))
			return false;
	return true;
}

/*
 * Short runs that can as well be the start of the one below join it. What was matched as soon as it could be may have
 * left a line behind at the top; never one at the end, which was tried first.
 */
static void slide(struct runs *r, const struct slice *before, const struct slice *now)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++) {
		struct diff_run run = r->list[i];

		for (; n > 0; n--) {
			const struct diff_run *above = &r->list[n - 1];

			/* `run` starts below `above` in both, so there are at least as many lines of `now` in front of it */
			if (above->n > SLIDE_LINES || above->before + above->n != run.before ||
			    !same_lines(before + above->before, now + run.now - above->n, above->n))
				break;
			run = (struct diff_run){ above->before, run.now - above->n, run.n + above->n };
		}
		r->list[n++] = run;
	}
	r->n = n;
}

/* What it costs at least to have emitted all up to the end of a run, which was copied or is part of a literal. */
struct price {
	uint64_t copied, literal;
	bool copied_after_literal, literal_after_literal; /* the run above was part of a literal */
};

/* Counted as far as it matters: what takes more than any step does is not worth another look. */
static uint64_t literals(const struct slice *lines, size_t n)
{
	uint64_t octets = 0;

	for (size_t i = 0; i < n && octets < LITERAL_ENOUGH; i++)
		octets += diff_literal_octets(lines[i]);
	return octets;
}

static bool choose(struct arena *a, struct runs *r, const struct slice *before, size_t before_n, uint64_t number)
{
	struct price *prices = ARENA_ARRAY(a, r->n + 1, struct price), *p = prices;
	size_t at = 0, kept = r->n;
	uint64_t gap;
	bool literal;

	if (!prices)
		return false;
	*p = (struct price){ .literal = UINT64_MAX / 2 };
	for (size_t i = 0; i < r->n; i++, p++) {
		const struct diff_run *run = &r->list[i];
		uint64_t first = number + run->now;
		uint64_t copy = COPY_OCTETS + digits(first) + digits(first + run->n - 1);
		uint64_t text = literals(before + run->before, run->n), in_literal, in_new;

		gap = literals(before + at, run->before - at);
		in_literal = p->literal + gap;
		in_new = p->copied + gap + LITERAL_OCTETS;
		p[1].copied_after_literal = in_literal < p->copied + gap + (gap ? LITERAL_OCTETS : 0);
		p[1].copied = copy + (p[1].copied_after_literal ? in_literal : p->copied + gap + (gap ? LITERAL_OCTETS : 0));
		p[1].literal_after_literal = in_literal < in_new;
		p[1].literal = text + (p[1].literal_after_literal ? in_literal : in_new);
		at = run->before + run->n;
	}
	gap = literals(before + at, before_n - at);
	literal = p->literal < p->copied + (gap ? LITERAL_OCTETS : 0);
	for (size_t i = r->n; i-- > 0; p--) {
		bool copy = !literal;

		literal = literal ? p->literal_after_literal : p->copied_after_literal;
		if (copy)
			r->list[--kept] = r->list[i];
	}
	r->n -= kept;
	if (r->n)
		memmove(r->list, r->list + kept, r->n * sizeof(*r->list));
	return true;
}

bool diff_runs(struct arena *a, const struct slice *before, size_t before_n, const struct slice *now, size_t now_n,
    uint64_t number_of_first, struct make_work *work, struct diff_run **runs_out, size_t *n_out)
{
	size_t least = before_n < now_n ? before_n : now_n, head = 0, tail = 0;
	struct differ d = { .arena = a, .work = work };
	struct runs runs = { NULL, 0 };
	bool ok = true;

	while (head < least && slice_eq(before[head], now[head]))
		head++;
	while (tail < least - head && slice_eq(before[before_n - 1 - tail], now[now_n - 1 - tail]))
		tail++;
	work->lines += head + tail;
	before_n -= head + tail;
	now_n -= head + tail;
	if (before_n + now_n > LIMIT_DIFF_LINES) {
		work->capped = true;
	} else if (before_n && now_n) {
		d.copy = COPY_OCTETS + 2 * digits(number_of_first + now_n);
		d.open = d.copy + LITERAL_OCTETS;
		ok = number(&d, before + head, (uint32_t)before_n, now + head, (uint32_t)now_n);
		if (ok)
			push(&d, (struct box){ 0, d.n, 0, d.m, 0 });
		while (ok && d.box_n > 0)
			ok = match_box(&d, d.boxes[--d.box_n]);
		ok = ok && !d.failed;
	}
	runs.list = ARENA_ARRAY(a, (size_t)d.n + 2, struct diff_run);
	if (!runs.list)
		ok = false;
	if (ok) {
		add_run(&runs, 0, 0, head);
		for (uint32_t i = 0; i < d.n; i++)
			if (d.pair[i] != NOWHERE)
				add_run(&runs, head + d.at_a[i], head + d.at_b[d.pair[i]], 1);
		add_run(&runs, head + before_n, head + now_n, tail);
		slide(&runs, before, now);
		ok = choose(a, &runs, before, head + before_n + tail, number_of_first);
	}
	free(d.boxes);
	free(d.cells);
	if (!ok)
		return false;
	*runs_out = runs.list;
	*n_out = runs.n;
	return true;
}
