#include <limits.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/map.h"
#include "queue/scheduler.h"

enum { START = 2 }; /* jobs of a destination on their way at a time, as long as nobody knows what it can bear */

enum place {
	PLACE_NONE,  /* nothing of it can be started whatever the time is */
	PLACE_TIMED, /* `timer` stands among those that wait for their time */
	PLACE_READY  /* in the ring: something of it can be started now */
};

struct sched_destination {
	struct sched_job timer;          /* what it waits for; its owner is the destination */
	struct sched_job *top;           /* of the jobs that wait: the first */
	struct sched_destination *next, *prev; /* in the ring */
	size_t waiting, active;
	unsigned limit, wins;            /* successes since the limit was changed */
	unsigned failures;               /* 0: not dead */
	unsigned rests;                  /* in a row, with one job at a time */
	int64_t rests_until_ms;          /* 0: does not */
	int64_t dead_since_ms, dead_until_ms;
	uint32_t since;                  /* jobs started before that one tell nothing any more */
	enum place place;
	bool probing;                    /* dead, and one job is on its way to find out */
	struct slice name;
	unsigned char octets[];
};

struct scheduler {
	struct sched_conf conf;
	struct map destinations;
	struct sched_job *timers;        /* of destinations: the first */
	struct sched_destination *ring;  /* whose turn it is */
	size_t waiting, active;
	uint32_t turn, starts;
	uint64_t drawn;                  /* random numbers */
	uint64_t steps;
};

/*
 * ---- leftist heaps: of the jobs of a destination, and of the destinations' timers ----
 *
 * The way down to the right is never longer than the logarithm of what is below, so melding, putting in and taking out cost as much, and
 * nothing has to be allocated. `rank` is the length of that way.
 */

static unsigned char rank_of(const struct sched_job *j)
{
	return j ? j->rank : 0;
}

static bool before(struct scheduler *s, const struct sched_job *a, const struct sched_job *b)
{
	s->steps++;
	if (a->hurried != b->hurried)
		return a->hurried;
	if (a->due_ms != b->due_ms)
		return a->due_ms < b->due_ms;
	return (int32_t)(a->turn - b->turn) < 0;
}

/* The longer way to the left. Has its rank changed? */
static bool lean(struct sched_job *j)
{
	unsigned char old = j->rank;

	if (rank_of(j->left) < rank_of(j->right)) {
		struct sched_job *left = j->left;

		j->left = j->right;
		j->right = left;
	}
	j->rank = (unsigned char)(rank_of(j->right) + 1);
	return j->rank != old;
}

static struct sched_job *meld(struct scheduler *s, struct sched_job *a, struct sched_job *b)
{
	struct sched_job *root = NULL, *up = NULL, **at = &root;

	while (a && b) {
		if (before(s, b, a)) {
			struct sched_job *second = a;

			a = b;
			b = second;
		}
		*at = a;
		a->up = up;
		up = a;
		at = &a->right;
		a = a->right;
	}
	*at = a ? a : b;
	if (*at)
		(*at)->up = up;
	for (; up; up = up->up)
		(void)lean(up);
	return root;
}

static void heap_put(struct scheduler *s, struct sched_job **top, struct sched_job *j)
{
	j->left = j->right = j->up = NULL;
	j->rank = 1;
	*top = meld(s, *top, j);
}

static void heap_take(struct scheduler *s, struct sched_job **top, struct sched_job *j)
{
	struct sched_job *up = j->up, *below = meld(s, j->left, j->right);

	if (below)
		below->up = up;
	if (!up)
		*top = below;
	else if (up->left == j)
		up->left = below;
	else
		up->right = below;
	for (; up && lean(up); up = up->up)
		s->steps++;
	j->left = j->right = j->up = NULL;
	j->rank = 0;
}

/* ---- times ---- */

static int64_t later(int64_t now_ms, int64_t ms)
{
	return now_ms > INT64_MAX - ms ? INT64_MAX : now_ms + ms;
}

/* least * 2^times, at most `most`. */
static int64_t doubled(int64_t least, int64_t most, unsigned times)
{
	int64_t ms = least > 0 ? least : 1;

	while (times-- && ms < most)
		ms = ms > most / 2 ? most : ms * 2;
	return ms < most ? ms : most;
}

/* Give or take a quarter: so that what failed at one time is not tried at one time for ever. */
static int64_t roughly(struct scheduler *s, int64_t ms)
{
	uint64_t n = s->drawn++, quarter = (uint64_t)ms / 4;

	return ms - (int64_t)quarter + (int64_t)(map_hash(s->conf.seed, slice_of(&n, sizeof(n))) % (2 * quarter + 1));
}

/* ---- destinations ---- */

static bool dead(const struct sched_destination *d)
{
	return d->failures != 0;
}

static void ring_put(struct scheduler *s, struct sched_destination *d)
{
	if (!s->ring) {
		s->ring = d->next = d->prev = d;
		return;
	}
	d->next = s->ring; /* the last one of this round */
	d->prev = s->ring->prev;
	d->prev->next = d;
	d->next->prev = d;
}

static void ring_take(struct scheduler *s, struct sched_destination *d)
{
	if (s->ring == d)
		s->ring = d->next == d ? NULL : d->next;
	d->next->prev = d->prev;
	d->prev->next = d->next;
	d->next = d->prev = NULL;
}

static void place_at(struct scheduler *s, struct sched_destination *d, enum place place, int64_t when_ms)
{
	if (d->place == place && (place != PLACE_TIMED || d->timer.due_ms == when_ms))
		return; /* who is in the ring keeps its turn */
	if (d->place == PLACE_READY)
		ring_take(s, d);
	else if (d->place == PLACE_TIMED)
		heap_take(s, &s->timers, &d->timer);
	d->place = place;
	if (place == PLACE_READY) {
		ring_put(s, d);
	} else if (place == PLACE_TIMED) {
		d->timer.due_ms = when_ms;
		heap_put(s, &s->timers, &d->timer);
	}
}

/* Where it belongs after anything about it has changed. */
static void place_anew(struct scheduler *s, struct sched_destination *d, int64_t now_ms)
{
	bool room = dead(d) ? !d->probing : d->active < d->limit;

	if (!d->top && !d->active && dead(d)) {
		place_at(s, d, PLACE_TIMED, d->dead_until_ms); /* to be forgotten then */
	} else if (!d->top || !room) {
		place_at(s, d, PLACE_NONE, 0);
	} else {
		int64_t when_ms = sched_job_due_ms(d->top);

		place_at(s, d, when_ms <= now_ms ? PLACE_READY : PLACE_TIMED, when_ms);
	}
}

/* The same, and when nothing is left of it, it is no more. */
static void settle(struct scheduler *s, struct sched_destination *d, int64_t now_ms)
{
	if (d->top || d->active || (dead(d) && d->dead_until_ms > now_ms)) {
		place_anew(s, d, now_ms);
		return;
	}
	place_at(s, d, PLACE_NONE, 0);
	(void)map_take(&s->destinations, d->name);
	free(d);
}

static void start_anew(const struct scheduler *s, struct sched_destination *d)
{
	d->limit = s->conf.concurrency < START ? s->conf.concurrency : START;
	d->wins = 0;
	d->since = s->starts;
}

static struct sched_destination *destination_of(struct scheduler *s, struct slice name)
{
	struct sched_destination *d = map_get(&s->destinations, name);

	if (d)
		return d;
	d = calloc(1, sizeof(*d) + name.n);
	if (!d)
		return NULL;
	if (name.n)
		memcpy(d->octets, name.at, name.n);
	d->name = slice_of(d->octets, name.n);
	d->timer.owner = d;
	start_anew(s, d);
	if (!map_put(&s->destinations, d->name, d, NULL)) {
		free(d);
		return NULL;
	}
	return d;
}

/* ---- jobs ---- */

static void wait_in(struct scheduler *s, struct sched_job *j)
{
	heap_put(s, &j->destination->top, j);
	j->destination->waiting++;
	s->waiting++;
}

static void wait_out(struct scheduler *s, struct sched_job *j)
{
	heap_take(s, &j->destination->top, j);
	j->destination->waiting--;
	s->waiting--;
}

/* Does what became of the job tell anything about its destination as it is now? */
static bool tells(const struct sched_job *j)
{
	return (int32_t)(j->started - j->destination->since) >= 0;
}

/* It is on its way no more. */
static void arrive(struct scheduler *s, struct sched_job *j)
{
	struct sched_destination *d = j->destination;

	if (tells(j))
		d->probing = false;
	d->active--;
	s->active--;
}

struct scheduler *sched_new(const struct sched_conf *conf)
{
	struct scheduler *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->conf = *conf;
	if (s->conf.concurrency == 0)
		s->conf.concurrency = 1;
	map_init(&s->destinations, conf->seed);
	return s;
}

void sched_free(struct scheduler **s)
{
	if (*s) {
		map_release(&(*s)->destinations, free);
		free(*s);
	}
	*s = NULL;
}

bool sched_add(struct scheduler *s, struct sched_job *j, struct slice destination, int64_t due_ms, int64_t now_ms)
{
	BUG_ON(j->destination);
	j->destination = destination_of(s, destination);
	if (!j->destination)
		return false;
	j->due_ms = due_ms > now_ms ? due_ms : now_ms;
	j->turn = s->turn++;
	j->hurried = false;
	wait_in(s, j);
	settle(s, j->destination, now_ms);
	return true;
}

void sched_remove(struct scheduler *s, struct sched_job *j, int64_t now_ms)
{
	struct sched_destination *d = j->destination;

	if (!d)
		return;
	if (sched_job_active(j))
		arrive(s, j);
	else
		wait_out(s, j);
	j->destination = NULL;
	settle(s, d, now_ms);
}

struct sched_job *sched_next(struct scheduler *s, int64_t now_ms)
{
	struct sched_destination *d;
	struct sched_job *j;

	while (s->timers && s->timers->due_ms <= now_ms)
		settle(s, s->timers->owner, now_ms);
	if (!s->ring || s->active >= s->conf.deliveries)
		return NULL;
	d = s->ring;
	j = d->top;
	wait_out(s, j);
	j->hurried = false;
	j->started = s->starts++;
	d->active++;
	s->active++;
	d->probing = dead(d);
	place_at(s, d, PLACE_NONE, 0); /* its turn is over */
	place_anew(s, d, now_ms);
	return j;
}

int64_t sched_due_ms(const struct scheduler *s, int64_t now_ms)
{
	if (s->active >= s->conf.deliveries)
		return INT64_MAX;
	if (s->ring || (s->timers && s->timers->due_ms <= now_ms))
		return now_ms;
	return s->timers ? s->timers->due_ms : INT64_MAX;
}

/* ---- what became of a job ---- */

/* A job that was to tell has reached it. */
static enum sched_change reached(const struct scheduler *s, struct sched_destination *d)
{
	if (!dead(d))
		return SCHED_SAME;
	d->failures = 0;
	d->dead_since_ms = d->dead_until_ms = 0;
	start_anew(s, d);
	return SCHED_BACK;
}

static enum sched_change works(const struct scheduler *s, struct sched_destination *d)
{
	d->rests = 0;
	d->rests_until_ms = 0;
	return reached(s, d);
}

/* One more at a time after as many successes as there may be at a time. */
static void win(const struct scheduler *s, struct sched_destination *d)
{
	if (++d->wins < d->limit)
		return;
	d->wins = 0;
	if (d->limit < s->conf.concurrency)
		d->limit++;
}

static int64_t soon(const struct scheduler *s, unsigned times)
{
	return doubled(s->conf.retry_min_ms / SCHED_SOON, s->conf.retry_max_ms, times);
}

/* Half as many; where there is but one, it rests, or each job in turn would be told the same at once. */
static enum sched_change busy(struct scheduler *s, struct sched_destination *d, struct sched_job *j, int64_t now_ms)
{
	enum sched_change change = reached(s, d);

	if (change != SCHED_BACK && d->limit > 1) {
		d->limit /= 2;
	} else {
		d->limit = 1;
		d->rests_until_ms = j->due_ms = later(now_ms, roughly(s, soon(s, d->rests)));
		if (d->rests < UINT_MAX)
			d->rests++;
	}
	d->wins = 0;
	d->since = s->starts;
	return change;
}

static enum sched_change down(struct scheduler *s, struct sched_destination *d, int64_t now_ms)
{
	enum sched_change change = dead(d) ? SCHED_STILL_DEAD : SCHED_DIED;

	if (change == SCHED_DIED)
		d->dead_since_ms = now_ms;
	d->dead_until_ms = later(now_ms, roughly(s, doubled(s->conf.dead_min_ms, s->conf.dead_max_ms, d->failures)));
	if (d->failures < UINT_MAX)
		d->failures++;
	d->rests = 0;
	d->rests_until_ms = 0;
	start_anew(s, d);
	return change;
}

enum sched_change sched_end(struct scheduler *s, struct sched_job *j, enum sched_outcome outcome, int64_t due_ms, int64_t now_ms)
{
	struct sched_destination *d = j->destination;
	enum sched_change change = SCHED_SAME;
	bool counts;

	BUG_ON(!sched_job_active(j));
	counts = tells(j);
	arrive(s, j);
	switch (outcome) {
	case SCHED_DONE:
		if (counts) {
			change = works(s, d);
			if (change == SCHED_SAME)
				win(s, d);
		}
		j->destination = NULL;
		break;
	case SCHED_AGAIN:
		if (counts)
			change = works(s, d);
		j->due_ms = later(now_ms, roughly(s, doubled(s->conf.retry_min_ms, s->conf.retry_max_ms, j->attempts)));
		if (j->attempts < UINT_MAX)
			j->attempts++;
		break;
	case SCHED_BUSY:
		j->due_ms = later(now_ms, roughly(s, soon(s, 0)));
		if (counts)
			change = busy(s, d, j, now_ms);
		break;
	case SCHED_DOWN:
		if (counts)
			change = down(s, d, now_ms);
		break;
	case SCHED_STOPPED:
		if (j->due_ms < due_ms)
			j->due_ms = due_ms;
		break;
	}
	if (j->destination)
		wait_in(s, j);
	settle(s, d, now_ms);
	return change;
}

/* ---- what an operator wants ---- */

static void wake(struct sched_destination *d, int64_t now_ms)
{
	d->rests_until_ms = 0;
	if (dead(d) && d->dead_until_ms > now_ms)
		d->dead_until_ms = now_ms;
}

/* Those that wait for their time become due in the order they would have. Forgets nothing, so that a walk may call it. */
static void flush(struct scheduler *s, struct sched_destination *d, int64_t now_ms)
{
	struct sched_job *all = d->top;

	d->top = NULL;
	while (all) {
		struct sched_job *j = all;

		heap_take(s, &all, j);
		if (j->due_ms > now_ms) {
			j->due_ms = now_ms;
			j->turn = s->turn++;
		}
		heap_put(s, &d->top, j);
	}
	wake(d, now_ms);
	place_anew(s, d, now_ms);
}

struct flush {
	struct scheduler *s;
	int64_t now_ms;
};

static bool flush_each(struct slice name, void *value, void *arg)
{
	struct flush *f = arg;

	(void)name;
	flush(f->s, value, f->now_ms);
	return true;
}

size_t sched_flush(struct scheduler *s, struct slice destination, int64_t now_ms)
{
	struct flush f = { s, now_ms };
	struct sched_destination *d;

	if (destination.n == 0) {
		map_walk(&s->destinations, flush_each, &f);
		return s->waiting;
	}
	d = map_get(&s->destinations, destination);
	if (!d)
		return 0;
	flush(s, d, now_ms);
	return d->waiting;
}

void sched_hurry(struct scheduler *s, struct sched_job *j, int64_t now_ms)
{
	if (!j->destination || sched_job_active(j))
		return;
	wait_out(s, j);
	j->hurried = true;
	if (j->due_ms > now_ms)
		j->due_ms = now_ms;
	wait_in(s, j);
	wake(j->destination, now_ms);
	settle(s, j->destination, now_ms);
}

int64_t sched_job_due_ms(const struct sched_job *j)
{
	const struct sched_destination *d = j->destination;
	int64_t not_before_ms = dead(d) ? d->dead_until_ms : d->rests_until_ms;

	return j->due_ms > not_before_ms ? j->due_ms : not_before_ms;
}

/* ---- who asks ---- */

size_t sched_destinations(const struct scheduler *s)
{
	return s->destinations.n;
}

size_t sched_active(const struct scheduler *s)
{
	return s->active;
}

size_t sched_waiting(const struct scheduler *s)
{
	return s->waiting;
}

static void look(const struct sched_destination *d, struct sched_view *view_out)
{
	*view_out = (struct sched_view){ .name = d->name, .waiting = d->waiting, .active = d->active, .limit = d->limit,
		.rests_until_ms = d->rests_until_ms, .dead_until_ms = d->dead_until_ms, .dead_since_ms = d->dead_since_ms, .failures = d->failures };
}

bool sched_job_view(const struct sched_job *j, struct sched_view *view_out)
{
	if (j->destination)
		look(j->destination, view_out);
	return j->destination != NULL;
}

bool sched_look(const struct scheduler *s, struct slice destination, struct sched_view *view_out)
{
	const struct sched_destination *d = map_get(&s->destinations, destination);

	if (d)
		look(d, view_out);
	return d != NULL;
}

struct walk {
	bool (*each)(void *arg, const struct sched_view *v);
	void *arg;
};

static bool walk_each(struct slice name, void *value, void *arg)
{
	struct walk *w = arg;
	struct sched_view v;

	(void)name;
	look(value, &v);
	return w->each(w->arg, &v);
}

void sched_walk(const struct scheduler *s, bool (*each)(void *arg, const struct sched_view *v), void *arg)
{
	struct walk w = { each, arg };

	map_walk(&s->destinations, walk_each, &w);
}

uint64_t sched_steps(const struct scheduler *s)
{
	return s->steps;
}
