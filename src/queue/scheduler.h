/*
 * scheduler.h - which copy is sent next. Knows no files, sockets or clock: the time is handed in (monotonic, milliseconds).
 *
 * A job is one copy. Jobs wait at their destination, those that are due in the order they became due. Destinations take turns, so that
 * one with a hundred thousand jobs does not keep the others waiting. Each may have so many on their way at a time; the number grows by one
 * with each window of successes and is halved when the destination puts us off. One that puts us off though it has but one rests for a
 * time that grows. One that cannot be reached is dead for a time that grows, and none of its jobs is tried meanwhile; then one alone finds
 * out, and only when that one reaches it do the others follow. What a job tells that was started before the last such change is out of
 * date: it counts for that job alone.
 *
 * A call costs O(log n) of jobs and destinations, sched_next() that for each destination whose time has come; sched_flush() as much for
 * each job. Of a job nothing is kept but struct sched_job; a destination is kept as long as it has jobs or is dead.
 */
#ifndef QUEUE_SCHEDULER_H
#define QUEUE_SCHEDULER_H

#include "base/slice.h"

struct scheduler;
struct sched_destination;

struct sched_conf {
	int64_t retry_min_ms, retry_max_ms; /* between attempts of one job: doubles, give or take a quarter */
	int64_t dead_min_ms, dead_max_ms;   /* likewise for a destination */
	unsigned concurrency;               /* of one destination at most */
	unsigned deliveries;                /* of all of them */
	uint64_t seed[2];
};

/* One that was put off by a destination with too much to do is tried again after retry_min_ms divided by this. */
enum { SCHED_SOON = 10 };

/* Caller's storage, zeroed; the scheduler's but for `owner`, and `attempts` before sched_add(): those that were made earlier. */
struct sched_job {
	void *owner;
	struct sched_destination *destination; /* NULL: not in it */
	struct sched_job *left, *right, *up;   /* among those that wait */
	int64_t due_ms;
	uint32_t turn;         /* of those that are due at one time the lower comes first */
	uint32_t started;      /* its number among all that were, when on its way */
	unsigned attempts;     /* that failed for now */
	unsigned char rank;    /* 0: does not wait */
	bool hurried;          /* before all others of its destination */
};

struct scheduler *sched_new(const struct sched_conf *conf); /* NULL: no memory */
/* Jobs that are still in it are not to be handed to any function of this file again. */
void sched_free(struct scheduler **s);

/* due_ms: not before then; INT64_MAX: not before sched_flush() or sched_hurry(). False: no memory, and it is not in it. */
bool sched_add(struct scheduler *s, struct sched_job *j, struct slice destination, int64_t due_ms, int64_t now_ms) HS_MUST_USE;
/* Forgets it, on its way or not; fine for one that is not in it. */
void sched_remove(struct scheduler *s, struct sched_job *j, int64_t now_ms);

/* One to be started now, which counts as on its way; NULL: none is. */
struct sched_job *sched_next(struct scheduler *s, int64_t now_ms);
/* When sched_next() may have one if nothing else happens, now_ms: at once; INT64_MAX: never. */
int64_t sched_due_ms(const struct scheduler *s, int64_t now_ms);

enum sched_outcome {
	SCHED_DONE,   /* nothing of it is left; the destination works */
	SCHED_AGAIN,  /* something was put off; the destination works: tried again after a time that grows with its attempts */
	SCHED_BUSY,   /* the destination has too much to do: fewer at a time, and this one soon again; no attempt is counted */
	SCHED_DOWN,   /* the destination cannot be reached: dead, the job keeps its place at it, no attempt of its own is counted */
	SCHED_STOPPED /* neither: it waits as if it had not been tried, until due_ms of the call */
};
/* What the destination has become by it: sched_look() tells until when, sched_look() before the call since when. */
enum sched_change {
	SCHED_SAME,
	SCHED_DIED,       /* worked, or nobody knew, and is dead now */
	SCHED_STILL_DEAD, /* the one that was to find out has not reached it either: dead for longer */
	SCHED_BACK        /* was dead, and has been reached */
};
/* It is no longer on its way. With SCHED_DONE it is forgotten, else it waits again; sched_job_due_ms() tells until when at least. */
enum sched_change sched_end(struct scheduler *s, struct sched_job *j, enum sched_outcome outcome, int64_t due_ms, int64_t now_ms);

/*
 * Everything, or what waits for one destination, is due now; none rests, and of those that are dead one job each finds out now. Returns
 * how many jobs wait there.
 */
size_t sched_flush(struct scheduler *s, struct slice destination, int64_t now_ms);
/* One job alone, before all others of its destination, which is tried though it rests or is dead. Nothing happens to one on its way. */
void sched_hurry(struct scheduler *s, struct sched_job *j, int64_t now_ms);

/* When a job that waits is tried next at the earliest, its destination's state taken into account. */
int64_t sched_job_due_ms(const struct sched_job *j);
/* Is it on its way? */
static inline bool sched_job_active(const struct sched_job *j)
{
	return j->destination && j->rank == 0;
}

struct sched_view {
	struct slice name;
	size_t waiting, active; /* jobs */
	unsigned limit;         /* how many may be on their way */
	int64_t rests_until_ms; /* 0: it has not put us off */
	int64_t dead_until_ms;  /* then one job finds out; 0: it is not dead */
	int64_t dead_since_ms;
	unsigned failures;      /* in a row, of it being reached; 0: it is not dead */
};
size_t sched_destinations(const struct scheduler *s);
size_t sched_active(const struct scheduler *s);
size_t sched_waiting(const struct scheduler *s);
/* One destination; its name is good until it is forgotten. False: it has no jobs and is not dead. */
bool sched_look(const struct scheduler *s, struct slice destination, struct sched_view *view_out);
/* That of a job. False: it is not in the scheduler. */
bool sched_job_view(const struct sched_job *j, struct sched_view *view_out);
/* Each destination that has jobs or is dead, until `each` returns false; it must not change the scheduler. */
void sched_walk(const struct scheduler *s, bool (*each)(void *arg, const struct sched_view *v), void *arg);
/* Comparisons of two jobs or destinations so far, by which tests know what it costs. */
uint64_t sched_steps(const struct scheduler *s);

#endif
