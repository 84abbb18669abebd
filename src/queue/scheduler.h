/*
 * scheduler.h - which copy is sent next. Knows no files, sockets or clock: the time is handed in (monotonic, milliseconds).
 *
 * A job is one copy. Jobs wait at their destination, those that are due in the order they became due. Destinations take turns, so that
 * one with a hundred thousand jobs does not keep the others waiting. Each may have so many on their way at a time; the number grows by one
 * with each window of successes and is halved when the destination puts us off. One that cannot be reached is dead for a time that
 * grows, and none of its jobs is tried meanwhile; then one alone finds out.
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

/* Caller's storage, zeroed; the scheduler's but for `owner`. */
struct sched_job {
	void *owner;
	struct sched_destination *destination; /* NULL: not in it */
	struct sched_job *next, **at;
	size_t heap;           /* place among those that wait for their time + 1; 0: not there */
	int64_t due_ms;
	unsigned attempts;     /* that failed for now */
	unsigned char state;
};

struct scheduler *sched_new(const struct sched_conf *conf); /* NULL: no memory */
void sched_free(struct scheduler **s);

/* due_ms: not before then. False: no memory. */
bool sched_add(struct scheduler *s, struct sched_job *j, struct slice destination, int64_t due_ms, int64_t now_ms) HS_MUST_USE;
/* Forgets it, on its way or not. */
void sched_remove(struct scheduler *s, struct sched_job *j);

/* One to be started now, which counts as on its way; NULL: none is. */
struct sched_job *sched_next(struct scheduler *s, int64_t now_ms);
/* When sched_next() may have one if nothing else happens; INT64_MAX: never. */
int64_t sched_due_ms(const struct scheduler *s, int64_t now_ms);

enum sched_outcome {
	SCHED_DONE,   /* nothing of it is left; the destination works */
	SCHED_AGAIN,  /* something was put off; the destination works: tried again after a time that grows with its attempts */
	SCHED_BUSY,   /* the destination has too much to do: fewer at a time, and this one soon again */
	SCHED_DOWN,   /* the destination cannot be reached: dead, the job waits at it, no attempt of its own is counted */
	SCHED_STOPPED /* neither: it waits as if it had not been tried, until due_ms of the call */
};
/* It is no longer on its way. With SCHED_DONE it is forgotten, else it waits again; j->due_ms tells when it is tried at the earliest. */
void sched_end(struct scheduler *s, struct sched_job *j, enum sched_outcome outcome, int64_t due_ms, int64_t now_ms);

/* Everything, or what waits for one destination, is due now, and no destination is dead. Returns how many. */
size_t sched_flush(struct scheduler *s, struct slice destination, int64_t now_ms);
/* One job alone; its destination is tried though it is dead. */
void sched_hurry(struct scheduler *s, struct sched_job *j, int64_t now_ms);

/* When a job that waits is tried next at the earliest, its destination's state taken into account. */
int64_t sched_job_due_ms(const struct scheduler *s, const struct sched_job *j);

struct sched_view {
	struct slice name;
	size_t waiting, active; /* jobs */
	unsigned limit;         /* how many may be on their way */
	int64_t dead_until_ms;  /* 0: it is not dead */
	unsigned failures;      /* in a row, of it being reached */
};
size_t sched_destinations(const struct scheduler *s);
size_t sched_active(const struct scheduler *s);
size_t sched_waiting(const struct scheduler *s);
/* Each destination that has jobs or is dead, until `each` returns false. */
void sched_walk(const struct scheduler *s, bool (*each)(void *arg, const struct sched_view *v), void *arg);

#endif
