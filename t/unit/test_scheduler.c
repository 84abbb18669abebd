/* Which copy is sent next: turns, limits, dead destinations, and that none is lost or sent twice, whatever happens in whatever order. */
#include "test.h"

#include "edits.h"
#include "queue/scheduler.h"

#define ROWS(list) (sizeof(list) / sizeof((list)[0]))

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

static const struct sched_conf usual = { .retry_min_ms = 5 * MINUTE, .retry_max_ms = HOUR, .dead_min_ms = MINUTE, .dead_max_ms = 30 * MINUTE,
	.concurrency = 8, .deliveries = 1000, .seed = { 1, 2 } };

static struct scheduler *new_of(const struct sched_conf *conf)
{
	struct scheduler *s = sched_new(conf);

	assert_non_null(s);
	return s;
}

static void add(struct scheduler *s, struct sched_job *j, const char *to, int64_t due_ms, int64_t now_ms)
{
	assert_true(sched_add(s, j, slice_str(to), due_ms, now_ms));
}

static struct sched_view look(const struct scheduler *s, const char *name)
{
	struct sched_view v;

	assert_true(sched_look(s, slice_str(name), &v));
	WANT_SLICE(v.name, slice_str(name));
	return v;
}

static void within_a_quarter(int64_t ms, int64_t about_ms)
{
	if (ms < about_ms - about_ms / 4 || ms > about_ms + about_ms / 4)
		fail_msg("%lld ms is not about %lld", (long long)ms, (long long)about_ms);
}

/* ---- one after the other ---- */

static void a_job_waits_for_its_time(void **state)
{
	struct scheduler *s = new_of(&usual);
	struct sched_job early = { 0 }, late = { 0 };

	(void)state;
	assert_true(sched_due_ms(s, 5) == INT64_MAX);
	assert_null(sched_next(s, 5));
	add(s, &late, "a.test", 100, 5);
	add(s, &early, "a.test", 3, 5);
	assert_int_equal(sched_waiting(s), 2);
	assert_int_equal(sched_due_ms(s, 5), 5);
	assert_ptr_equal(sched_next(s, 5), &early);
	assert_true(sched_job_active(&early) && !sched_job_active(&late));
	assert_null(sched_next(s, 99));
	assert_int_equal(sched_due_ms(s, 99), 100);
	assert_int_equal(sched_job_due_ms(&late), 100);
	assert_ptr_equal(sched_next(s, 100), &late);
	assert_int_equal(sched_active(s), 2);
	assert_int_equal(sched_end(s, &early, SCHED_DONE, 0, 101), SCHED_SAME);
	assert_null(early.destination);
	assert_int_equal(sched_end(s, &late, SCHED_DONE, 0, 101), SCHED_SAME);
	assert_int_equal(sched_destinations(s), 0);
	assert_int_equal(sched_active(s) + sched_waiting(s), 0);
	sched_free(&s);
	assert_null(s);
}

static void who_came_first_goes_first(void **state)
{
	struct scheduler *s = new_of(&usual);
	struct sched_job j[6] = { { 0 } };

	(void)state;
	for (size_t i = 0; i < 6; i++)
		add(s, &j[i], "a.test", 0, 7);
	for (size_t i = 0; i < 6; i++) {
		assert_ptr_equal(sched_next(s, 7), &j[i]);
		assert_int_equal(sched_end(s, &j[i], SCHED_DONE, 0, 7), SCHED_SAME);
	}
	sched_free(&s);
}

static void destinations_take_turns(void **state)
{
	struct scheduler *s = new_of(&usual);
	struct sched_job a[4] = { { 0 } }, b = { 0 }, c = { 0 };

	(void)state;
	for (size_t i = 0; i < 4; i++)
		add(s, &a[i], "a.test", 0, 0);
	add(s, &b, "b.test", 0, 0);
	add(s, &c, "c.test", 0, 0);
	assert_ptr_equal(sched_next(s, 0), &a[0]);
	assert_ptr_equal(sched_next(s, 0), &b);
	assert_ptr_equal(sched_next(s, 0), &c);
	assert_ptr_equal(sched_next(s, 0), &a[1]);
	assert_null(sched_next(s, 0)); /* its limit is 2 */
	assert_true(sched_due_ms(s, 0) == INT64_MAX);
	(void)sched_end(s, &a[0], SCHED_DONE, 0, 1);
	assert_ptr_equal(sched_next(s, 1), &a[2]);
	sched_free(&s);
}

static void all_together_have_a_limit(void **state)
{
	struct sched_conf conf = usual;
	struct scheduler *s;
	struct sched_job a = { 0 }, b = { 0 }, c = { 0 };

	(void)state;
	conf.deliveries = 2;
	s = new_of(&conf);
	add(s, &a, "a.test", 0, 0);
	add(s, &b, "b.test", 0, 0);
	add(s, &c, "c.test", 0, 0);
	assert_ptr_equal(sched_next(s, 0), &a);
	assert_ptr_equal(sched_next(s, 0), &b);
	assert_null(sched_next(s, 0));
	assert_true(sched_due_ms(s, 0) == INT64_MAX);
	(void)sched_end(s, &b, SCHED_STOPPED, 50, 1);
	assert_int_equal(b.due_ms, 50);
	assert_int_equal(b.attempts, 0);
	assert_int_equal(sched_due_ms(s, 1), 1);
	assert_ptr_equal(sched_next(s, 1), &c);
	sched_free(&s);
}

static enum sched_outcome outcome_of(char c)
{
	switch (c) {
	case 'd':
		return SCHED_DONE;
	case 'a':
		return SCHED_AGAIN;
	case 'b':
		return SCHED_BUSY;
	case 'x':
		return SCHED_DOWN;
	default:
		assert_int_equal(c, 's');
		return SCHED_STOPPED;
	}
}

/* One job at a time, each as soon as it may: what the destination has become. */
static void outcomes_set_the_limit(void **state)
{
	static const struct {
		const char *what, *outcomes;
		unsigned concurrency, limit, failures;
		enum sched_change last;
	} rows[] = {
		{ "it begins with two", "", 8, 2, 0, SCHED_SAME },
		{ "or fewer, if that is the most", "", 1, 1, 0, SCHED_SAME },
		{ "nothing configured is one", "d", 0, 1, 0, SCHED_SAME },
		{ "not yet a window", "d", 8, 2, 0, SCHED_SAME },
		{ "a window of two", "dd", 8, 3, 0, SCHED_SAME },
		{ "then one of three", "ddddd", 8, 4, 0, SCHED_SAME },
		{ "not above the most", "dddddddddddddddddddd", 4, 4, 0, SCHED_SAME },
		{ "what is put off neither counts nor breaks the row", "dad", 8, 3, 0, SCHED_SAME },
		{ "nor what was stopped", "dsd", 8, 3, 0, SCHED_SAME },
		{ "busy halves", "dddddb", 8, 2, 0, SCHED_SAME },
		{ "and breaks the row", "ddddddbd", 8, 2, 0, SCHED_SAME },
		{ "never below one", "bbbb", 8, 1, 0, SCHED_SAME },
		{ "and grows again", "bbd", 8, 2, 0, SCHED_SAME },
		{ "down is dead", "ddddddx", 8, 2, 1, SCHED_DIED },
		{ "and dead for longer", "xxx", 8, 2, 3, SCHED_STILL_DEAD },
		{ "a success brings it back with two", "dddddxxd", 8, 2, 0, SCHED_BACK },
		{ "one message put off does too", "xa", 8, 2, 0, SCHED_BACK },
		{ "who says he is busy is there", "xb", 8, 1, 0, SCHED_BACK },
		{ "who was stopped has found nothing out", "xs", 8, 2, 1, SCHED_SAME },
		{ "so that another does", "xsd", 8, 2, 0, SCHED_BACK },
		{ "the next time begins anew", "xxxdx", 8, 2, 1, SCHED_DIED },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct sched_conf conf = usual;
		struct sched_job jobs[30] = { { 0 } };
		struct scheduler *s;
		enum sched_change last = SCHED_SAME;
		struct sched_view v;
		int64_t now_ms = 1;

		conf.concurrency = rows[i].concurrency;
		s = new_of(&conf);
		for (size_t k = 0; k < ROWS(jobs); k++)
			add(s, &jobs[k], "a.test", 0, now_ms);
		for (const char *o = rows[i].outcomes; *o; o++) {
			struct sched_job *j;

			now_ms = sched_due_ms(s, now_ms);
			j = sched_next(s, now_ms);
			if (!j)
				fail_msg("%s: nothing at %lld", rows[i].what, (long long)now_ms);
			last = sched_end(s, j, outcome_of(*o), now_ms, now_ms);
		}
		v = look(s, "a.test");
		if (v.limit != rows[i].limit || v.failures != rows[i].failures || last != rows[i].last)
			fail_msg("%s: limit %u, failures %u, change %d", rows[i].what, v.limit, v.failures, (int)last);
		if ((v.dead_until_ms != 0) != (v.failures != 0) || (v.dead_since_ms != 0) != (v.failures != 0))
			fail_msg("%s: dead until %lld, since %lld", rows[i].what, (long long)v.dead_until_ms, (long long)v.dead_since_ms);
		sched_free(&s);
	}
}

/* Eight on their way to one that has too much to do at once: that is one answer, not eight. */
static void one_overload_halves_once(void **state)
{
	struct scheduler *s = new_of(&usual);
	struct sched_job jobs[60] = { { 0 } }, *on[8];
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < ROWS(jobs); i++)
		add(s, &jobs[i], "a.test", 0, 0);
	while (look(s, "a.test").limit < 8)
		(void)sched_end(s, sched_next(s, 0), SCHED_DONE, 0, 0);
	while (n < 8)
		on[n++] = sched_next(s, 0);
	assert_null(sched_next(s, 0));
	for (size_t i = 0; i < 4; i++)
		(void)sched_end(s, on[i], SCHED_BUSY, 0, 0);
	assert_int_equal(look(s, "a.test").limit, 4);
	assert_null(sched_next(s, 0)); /* four are on their way still */
	(void)sched_end(s, on[4], SCHED_DONE, 0, 0);
	on[4] = sched_next(s, 0);
	assert_non_null(on[4]);
	for (size_t i = 5; i < 8; i++)
		(void)sched_end(s, on[i], SCHED_BUSY, 0, 0);
	assert_int_equal(look(s, "a.test").limit, 4);
	(void)sched_end(s, on[4], SCHED_BUSY, 0, 0);
	assert_int_equal(look(s, "a.test").limit, 2);
	within_a_quarter(on[4]->due_ms, usual.retry_min_ms / SCHED_SOON);
	assert_int_equal(on[4]->attempts, 0);
	sched_free(&s);
}

/* A destination that always puts us off is not asked once a job, but at times that grow. */
static void one_that_stays_busy_rests(void **state)
{
	struct scheduler *s = new_of(&usual);
	struct sched_job jobs[100] = { { 0 } };
	int64_t now_ms = 1, rest_ms = usual.retry_min_ms / SCHED_SOON;

	(void)state;
	for (size_t i = 0; i < ROWS(jobs); i++)
		add(s, &jobs[i], "a.test", 0, now_ms);
	(void)sched_end(s, sched_next(s, now_ms), SCHED_BUSY, 0, now_ms);
	assert_int_equal(look(s, "a.test").rests_until_ms, 0);
	for (int i = 0; i < 12; i++) {
		struct sched_job *j = sched_next(s, now_ms);
		int64_t until_ms;

		assert_non_null(j);
		(void)sched_end(s, j, SCHED_BUSY, 0, now_ms);
		until_ms = look(s, "a.test").rests_until_ms;
		within_a_quarter(until_ms - now_ms, rest_ms);
		assert_null(sched_next(s, until_ms - 1));
		assert_int_equal(sched_due_ms(s, now_ms), until_ms);
		now_ms = until_ms;
		rest_ms = rest_ms * 2 < usual.retry_max_ms ? rest_ms * 2 : usual.retry_max_ms;
	}
	(void)sched_end(s, sched_next(s, now_ms), SCHED_AGAIN, 0, now_ms);
	assert_int_equal(look(s, "a.test").rests_until_ms, 0);
	assert_non_null(sched_next(s, now_ms));
	sched_free(&s);
}

static void attempts_double_the_wait(void **state)
{
	struct scheduler *s = new_of(&usual);
	struct sched_job j = { .attempts = 2 }, far = { .attempts = 4000000000U };
	int64_t now_ms = 0, waits[6] = { 20 * MINUTE, 40 * MINUTE, HOUR, HOUR, HOUR, HOUR };
	bool differ = false;
	int64_t last_ms = 0;

	(void)state;
	add(s, &j, "a.test", 0, 0);
	for (unsigned i = 0; i < 6; i++) {
		assert_ptr_equal(sched_next(s, now_ms), &j);
		(void)sched_end(s, &j, SCHED_AGAIN, 0, now_ms);
		assert_int_equal(j.attempts, 3 + i);
		within_a_quarter(j.due_ms - now_ms, waits[i]);
		differ |= i > 2 && j.due_ms - now_ms != last_ms;
		last_ms = j.due_ms - now_ms;
		assert_null(sched_next(s, j.due_ms - 1));
		now_ms = j.due_ms;
	}
	assert_true(differ);
	add(s, &far, "b.test", 0, now_ms);
	assert_ptr_equal(sched_next(s, now_ms), &far);
	(void)sched_end(s, &far, SCHED_AGAIN, 0, now_ms);
	within_a_quarter(far.due_ms - now_ms, HOUR);
	sched_free(&s);
}

static void one_alone_finds_out(void **state)
{
	struct scheduler *s = new_of(&usual);
	struct sched_job jobs[5] = { { 0 } };
	int64_t now_ms = 10, until_ms = 0;
	int64_t waits[8] = { MINUTE, 2 * MINUTE, 4 * MINUTE, 8 * MINUTE, 16 * MINUTE, 30 * MINUTE, 30 * MINUTE, 30 * MINUTE };

	(void)state;
	for (size_t i = 0; i < 4; i++)
		add(s, &jobs[i], "a.test", 0, now_ms);
	(void)sched_next(s, now_ms);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(sched_end(s, &jobs[0], SCHED_DOWN, 0, now_ms), i ? SCHED_STILL_DEAD : SCHED_DIED);
		assert_int_equal(look(s, "a.test").dead_since_ms, 10);
		assert_int_equal(look(s, "a.test").failures, i + 1);
		until_ms = look(s, "a.test").dead_until_ms;
		within_a_quarter(until_ms - now_ms, waits[i]);
		assert_int_equal(jobs[0].due_ms, 10);
		assert_int_equal(sched_job_due_ms(&jobs[3]), until_ms);
		assert_int_equal(sched_due_ms(s, now_ms), until_ms);
		assert_null(sched_next(s, until_ms - 1));
		now_ms = until_ms;
		assert_ptr_equal(sched_next(s, now_ms), &jobs[0]); /* it has kept its place */
		assert_null(sched_next(s, now_ms + HOUR));
		assert_true(sched_due_ms(s, now_ms) == INT64_MAX);
	}
	add(s, &jobs[4], "a.test", 0, now_ms);
	assert_null(sched_next(s, now_ms));
	assert_int_equal(sched_end(s, &jobs[0], SCHED_DONE, 0, now_ms), SCHED_BACK);
	assert_int_equal(look(s, "a.test").failures, 0);
	assert_ptr_equal(sched_next(s, now_ms), &jobs[1]);
	assert_ptr_equal(sched_next(s, now_ms), &jobs[2]);
	assert_null(sched_next(s, now_ms));
	sched_free(&s);
}

/* What was on its way before tells how it was before. */
static void old_news_is_no_news(void **state)
{
	struct scheduler *s = new_of(&usual);
	struct sched_job old[2] = { { 0 } }, more[4] = { { 0 } }, *probe;
	int64_t now_ms = 1;

	(void)state;
	for (size_t i = 0; i < 2; i++)
		add(s, &old[i], "a.test", 0, now_ms);
	for (size_t i = 0; i < 4; i++)
		add(s, &more[i], "a.test", 0, now_ms);
	(void)sched_next(s, now_ms);
	(void)sched_next(s, now_ms);
	assert_int_equal(sched_end(s, &old[0], SCHED_DOWN, 0, now_ms), SCHED_DIED);
	now_ms = look(s, "a.test").dead_until_ms;
	/* the other one hangs: that keeps nobody from finding out */
	probe = sched_next(s, now_ms);
	assert_ptr_equal(probe, &old[0]);
	assert_int_equal(sched_end(s, &old[1], SCHED_AGAIN, 0, now_ms), SCHED_SAME);
	assert_int_equal(look(s, "a.test").failures, 1);
	assert_null(sched_next(s, now_ms));
	assert_int_equal(sched_end(s, probe, SCHED_DONE, 0, now_ms), SCHED_BACK);
	/* and one that hung all the time does not kill it again */
	(void)sched_next(s, now_ms);
	(void)sched_next(s, now_ms);
	assert_int_equal(sched_end(s, &more[0], SCHED_DOWN, 0, now_ms), SCHED_DIED);
	now_ms = look(s, "a.test").dead_until_ms;
	assert_ptr_equal(sched_next(s, now_ms), &more[0]);
	assert_int_equal(sched_end(s, &more[0], SCHED_DONE, 0, now_ms), SCHED_BACK);
	assert_int_equal(sched_end(s, &more[1], SCHED_DOWN, 0, now_ms), SCHED_SAME);
	assert_int_equal(look(s, "a.test").failures, 0);
	assert_int_equal(more[1].attempts, 0);
	sched_free(&s);
}

static void a_dead_one_without_jobs_is_forgotten_in_time(void **state)
{
	struct scheduler *s = new_of(&usual);
	struct sched_job j = { 0 }, other = { 0 };
	struct sched_view v;
	int64_t until_ms;

	(void)state;
	add(s, &j, "a.test", 0, 1);
	(void)sched_next(s, 1);
	(void)sched_end(s, &j, SCHED_DOWN, 0, 1);
	sched_remove(s, &j, 2);
	sched_remove(s, &j, 2);
	until_ms = look(s, "a.test").dead_until_ms;
	assert_int_equal(sched_due_ms(s, 2), until_ms);
	add(s, &other, "a.test", 0, 3);
	assert_null(sched_next(s, until_ms - 1));
	sched_remove(s, &other, until_ms - 1);
	assert_int_equal(sched_destinations(s), 1);
	assert_null(sched_next(s, until_ms));
	assert_false(sched_look(s, S("a.test"), &v));
	assert_int_equal(sched_destinations(s), 0);
	sched_free(&s);
}

static void removed_on_its_way(void **state)
{
	struct scheduler *s = new_of(&usual);
	struct sched_job a = { 0 }, b = { 0 }, c = { 0 };
	int64_t now_ms = 1;

	(void)state;
	add(s, &a, "a.test", 0, now_ms);
	add(s, &b, "a.test", 0, now_ms);
	add(s, &c, "a.test", 0, now_ms);
	(void)sched_next(s, now_ms);
	(void)sched_end(s, &a, SCHED_DOWN, 0, now_ms);
	now_ms = look(s, "a.test").dead_until_ms;
	assert_ptr_equal(sched_next(s, now_ms), &a);
	sched_remove(s, &a, now_ms);
	assert_null(a.destination);
	assert_int_equal(sched_active(s), 0);
	assert_ptr_equal(sched_next(s, now_ms), &b); /* now this one is to find out */
	assert_null(sched_next(s, now_ms));
	sched_remove(s, &c, now_ms);
	assert_int_equal(sched_end(s, &b, SCHED_DONE, 0, now_ms), SCHED_BACK);
	assert_int_equal(sched_destinations(s), 0);
	add(s, &a, "a.test", 0, now_ms);
	assert_ptr_equal(sched_next(s, now_ms), &a);
	sched_remove(s, &a, now_ms);
	assert_int_equal(sched_destinations(s), 0);
	sched_free(&s);
}

static void flush_makes_due(void **state)
{
	struct scheduler *s = new_of(&usual);
	struct sched_job late[3] = { { 0 } }, due = { 0 }, held = { 0 }, far = { 0 }, gone[2] = { { 0 } };
	int64_t now_ms = 1;

	(void)state;
	for (size_t i = 0; i < 3; i++)
		add(s, &late[i], "a.test", HOUR - (int64_t)i, now_ms);
	add(s, &due, "a.test", 0, now_ms);
	add(s, &held, "b.test", INT64_MAX, now_ms);
	add(s, &far, "c.test", HOUR, now_ms);
	add(s, &gone[0], "d.test", 0, now_ms);
	add(s, &gone[1], "e.test", 0, now_ms);
	assert_ptr_equal(sched_next(s, now_ms), &due);
	(void)sched_end(s, sched_next(s, now_ms), SCHED_DOWN, 0, now_ms);
	(void)sched_end(s, sched_next(s, now_ms), SCHED_DOWN, 0, now_ms);
	sched_remove(s, &gone[1], now_ms);
	assert_null(sched_next(s, now_ms));
	assert_int_equal(sched_flush(s, S("nobody.test"), 2), 0);
	assert_null(sched_next(s, 2));
	assert_int_equal(sched_flush(s, S("a.test"), 2), 3);
	assert_ptr_equal(sched_next(s, 2), &late[2]); /* which was the first of them before */
	assert_null(sched_next(s, 2));
	(void)sched_end(s, &late[2], SCHED_DONE, 0, 2);
	assert_int_equal(sched_flush(s, SLICE_NONE, 3), 5);
	/* a.test has one place left; the dead one with a job finds out, the one without is forgotten */
	for (int i = 0; i < 4; i++)
		assert_non_null(sched_next(s, 3));
	assert_null(sched_next(s, 3));
	assert_true(sched_job_active(&late[1]) && sched_job_active(&held) && sched_job_active(&far) && sched_job_active(&gone[0]));
	assert_int_equal(sched_destinations(s), 4);
	assert_int_equal(look(s, "d.test").failures, 1);
	assert_int_equal(sched_end(s, &gone[0], SCHED_DOWN, 0, 4), SCHED_STILL_DEAD);
	assert_int_equal(look(s, "d.test").failures, 2);
	sched_free(&s);
}

static void hurry_goes_first(void **state)
{
	struct scheduler *s = new_of(&usual);
	struct sched_job jobs[9] = { { 0 } };

	(void)state;
	for (size_t i = 0; i < 9; i++)
		add(s, &jobs[i], "a.test", i == 7 ? HOUR : 0, 1);
	assert_ptr_equal(sched_next(s, 1), &jobs[0]);
	sched_hurry(s, &jobs[7], 1);
	sched_hurry(s, &jobs[0], 1); /* on its way */
	assert_ptr_equal(sched_next(s, 1), &jobs[7]);
	(void)sched_end(s, &jobs[0], SCHED_DOWN, 0, 1);
	(void)sched_end(s, &jobs[7], SCHED_DOWN, 0, 1);
	assert_null(sched_next(s, 2));
	sched_hurry(s, &jobs[5], 2);
	sched_hurry(s, &jobs[3], 2);
	assert_ptr_equal(sched_next(s, 2), &jobs[3]); /* of two that are hurried the one that was due first */
	assert_null(sched_next(s, 2));
	assert_int_equal(sched_end(s, &jobs[3], SCHED_DONE, 0, 2), SCHED_BACK);
	assert_ptr_equal(sched_next(s, 2), &jobs[5]);
	assert_ptr_equal(sched_next(s, 2), &jobs[0]);
	sched_free(&s);
}

static bool count_until(void *arg, const struct sched_view *v)
{
	size_t *left = arg;

	assert_int_equal(v->waiting, 1);
	assert_int_equal(v->limit, 2);
	return --*left > 0;
}

static void a_walk_sees_each(void **state)
{
	struct scheduler *s = new_of(&usual);
	struct sched_job jobs[50] = { { 0 } };
	size_t left = 1000;

	(void)state;
	for (size_t i = 0; i < ROWS(jobs); i++) {
		char name[16];

		snprintf(name, sizeof(name), "d%zu.test", i);
		add(s, &jobs[i], name, 0, 0);
	}
	sched_walk(s, count_until, &left);
	assert_int_equal(left, 950);
	left = 7;
	sched_walk(s, count_until, &left);
	assert_int_equal(left, 0);
	sched_free(&s);
}

/* ---- beside a model that looks at everything each time ---- */

enum { MODEL_JOBS = 300, MODEL_DESTINATIONS = 12 };

enum where { OUT, WAITS, RUNS };

struct model_job {
	struct sched_job job;
	enum where where;
	unsigned to;
	unsigned long started; /* its number */
	unsigned attempts;
	int64_t due_ms;        /* as the scheduler said, within what it may say */
	bool hurried;
};

struct model_destination {
	char name[16];
	unsigned limit, wins, failures;
	unsigned long since;
	size_t waiting, active, probes;
	size_t passed; /* others that were started though it could have been */
};

struct model {
	struct sched_conf conf;
	struct scheduler *s;
	struct model_job jobs[MODEL_JOBS];
	struct model_destination to[MODEL_DESTINATIONS];
	struct dice dice;
	unsigned long starts, done, added;
	size_t active;
	int64_t now_ms;
};

static void model_fresh(struct model *m, struct model_destination *d)
{
	d->limit = m->conf.concurrency < 2 ? m->conf.concurrency : 2;
	d->wins = 0;
	d->since = m->starts;
}

/* What a destination that is forgotten was does not count for the next of its name. */
static void model_forget(struct model *m, struct model_destination *d)
{
	struct sched_view v;

	if (sched_look(m->s, slice_str(d->name), &v)) {
		assert_int_equal(v.waiting, d->waiting);
		assert_int_equal(v.active, d->active);
		assert_int_equal(v.limit, d->limit);
		assert_int_equal(v.failures, d->failures);
		assert_true(d->waiting || d->active || d->failures);
		return;
	}
	assert_int_equal(d->waiting + d->active, 0);
	d->failures = 0;
	model_fresh(m, d);
}

static bool model_room(const struct model_destination *d)
{
	return d->failures ? d->probes == 0 : d->active < d->limit;
}

static int64_t model_due_ms(const struct model *m, const struct model_job *j)
{
	struct sched_view v = look(m->s, m->to[j->to].name);
	int64_t from_ms = v.failures ? v.dead_until_ms : v.rests_until_ms;

	return j->due_ms > from_ms ? j->due_ms : from_ms;
}

/* When the destination can have something started, whatever the others do; INT64_MAX: not by waiting. */
static int64_t model_when_ms(const struct model *m, unsigned to)
{
	int64_t when_ms = INT64_MAX;

	if (!model_room(&m->to[to]))
		return INT64_MAX;
	for (size_t i = 0; i < MODEL_JOBS; i++)
		if (m->jobs[i].where == WAITS && m->jobs[i].to == to && model_due_ms(m, &m->jobs[i]) < when_ms)
			when_ms = model_due_ms(m, &m->jobs[i]);
	return when_ms;
}

static void model_check(struct model *m)
{
	size_t waiting = 0, active = 0;

	for (unsigned i = 0; i < MODEL_DESTINATIONS; i++) {
		model_forget(m, &m->to[i]);
		if (model_when_ms(m, i) > m->now_ms)
			m->to[i].passed = 0; /* it has given up its turn */
		waiting += m->to[i].waiting;
		active += m->to[i].active;
	}
	assert_int_equal(sched_waiting(m->s), waiting);
	assert_int_equal(sched_active(m->s), active);
	assert_int_equal(m->active, active);
	for (size_t i = 0; i < MODEL_JOBS; i++) {
		const struct model_job *j = &m->jobs[i];

		assert_int_equal(j->job.destination != NULL, j->where != OUT);
		assert_int_equal(sched_job_active(&j->job), j->where == RUNS);
		if (j->where == WAITS)
			assert_int_equal(j->job.due_ms, j->due_ms);
	}
}

static void model_add(struct model *m)
{
	struct model_job *j = &m->jobs[dice_roll(&m->dice, MODEL_JOBS)];

	if (j->where != OUT)
		return;
	j->to = dice_roll(&m->dice, 3) ? dice_roll(&m->dice, MODEL_DESTINATIONS) : 0;
	j->due_ms = dice_roll(&m->dice, 3) ? m->now_ms : m->now_ms + dice_roll(&m->dice, 5 * MINUTE);
	j->attempts = j->job.attempts = 0;
	j->hurried = false;
	add(m->s, &j->job, m->to[j->to].name, j->due_ms == m->now_ms && dice_roll(&m->dice, 2) ? 0 : j->due_ms, m->now_ms);
	j->where = WAITS;
	m->to[j->to].waiting++;
	m->added++;
}

/* Nothing of its destination is to be started before it. */
static void model_first(const struct model *m, const struct model_job *j)
{
	for (size_t i = 0; i < MODEL_JOBS; i++) {
		const struct model_job *o = &m->jobs[i];

		if (o == j || o->where != WAITS || o->to != j->to)
			continue;
		assert_true(o->hurried <= j->hurried);
		if (o->hurried == j->hurried)
			assert_true(o->due_ms >= j->due_ms);
	}
}

static bool model_next(struct model *m)
{
	int64_t when_ms[MODEL_DESTINATIONS], due_ms = sched_due_ms(m->s, m->now_ms), least_ms = INT64_MAX;
	struct sched_job *job;
	struct model_job *j;
	struct model_destination *d;

	for (unsigned i = 0; i < MODEL_DESTINATIONS; i++) {
		when_ms[i] = model_when_ms(m, i);
		if (when_ms[i] < least_ms && m->active < m->conf.deliveries)
			least_ms = when_ms[i];
	}
	assert_true(due_ms >= m->now_ms && (due_ms <= least_ms || due_ms == m->now_ms));
	job = sched_next(m->s, m->now_ms);
	if (!job) {
		assert_true(least_ms > m->now_ms);
		assert_true(sched_due_ms(m->s, m->now_ms) > m->now_ms);
		return false;
	}
	j = job->owner;
	assert_int_equal(j->where, WAITS);
	d = &m->to[j->to];
	assert_true(model_room(d) && m->active < m->conf.deliveries);
	assert_true(model_due_ms(m, j) <= m->now_ms);
	model_first(m, j);
	for (unsigned i = 0; i < MODEL_DESTINATIONS; i++) {
		m->to[i].passed = i != j->to && when_ms[i] <= m->now_ms ? m->to[i].passed + 1 : 0;
		assert_true(m->to[i].passed < MODEL_DESTINATIONS);
	}
	j->where = RUNS;
	j->hurried = false;
	j->started = m->starts++;
	d->waiting--;
	d->active++;
	d->probes += d->failures != 0;
	m->active++;
	return true;
}

static int64_t model_doubled(int64_t least, int64_t most, unsigned times)
{
	double ms = (double)least;

	for (unsigned i = 0; i < times && i < 64; i++)
		ms *= 2;
	return ms < (double)most ? (int64_t)ms : most;
}

static void model_end(struct model *m, struct model_job *j, enum sched_outcome outcome)
{
	struct model_destination *d = &m->to[j->to];
	bool news = j->started >= d->since, was_dead = d->failures != 0;
	int64_t stop_ms = m->now_ms + dice_roll(&m->dice, MINUTE);
	enum sched_change want = SCHED_SAME, got;
	struct sched_view v;

	if (news && was_dead)
		d->probes--;
	d->active--;
	m->active--;
	if (news && was_dead && outcome != SCHED_DOWN && outcome != SCHED_STOPPED) {
		want = SCHED_BACK;
		d->failures = 0;
		model_fresh(m, d);
	}
	if (news && outcome == SCHED_DONE && !was_dead && ++d->wins == d->limit) {
		d->wins = 0;
		d->limit += d->limit < m->conf.concurrency;
	} else if (news && outcome == SCHED_BUSY) {
		d->limit = was_dead || d->limit == 1 ? 1 : d->limit / 2;
		d->wins = 0;
		d->since = m->starts;
	} else if (news && outcome == SCHED_DOWN) {
		want = was_dead ? SCHED_STILL_DEAD : SCHED_DIED;
		d->failures++;
		model_fresh(m, d);
	}
	got = sched_end(m->s, &j->job, outcome, stop_ms, m->now_ms);
	assert_int_equal(got, want);
	j->where = outcome == SCHED_DONE ? OUT : WAITS;
	d->waiting += j->where == WAITS;
	m->done += j->where == OUT;
	switch (outcome) {
	case SCHED_DONE:
		break;
	case SCHED_AGAIN:
		within_a_quarter(j->job.due_ms - m->now_ms, model_doubled(m->conf.retry_min_ms, m->conf.retry_max_ms, j->attempts++));
		break;
	case SCHED_BUSY:
		v = look(m->s, d->name);
		if (news && v.rests_until_ms)
			assert_int_equal(j->job.due_ms, v.rests_until_ms);
		else
			within_a_quarter(j->job.due_ms - m->now_ms, m->conf.retry_min_ms / SCHED_SOON);
		break;
	case SCHED_DOWN:
		assert_int_equal(j->job.due_ms, j->due_ms);
		if (news)
			within_a_quarter(look(m->s, d->name).dead_until_ms - m->now_ms,
			    model_doubled(m->conf.dead_min_ms, m->conf.dead_max_ms, d->failures - 1));
		break;
	case SCHED_STOPPED:
		assert_int_equal(j->job.due_ms, stop_ms > j->due_ms ? stop_ms : j->due_ms);
		break;
	}
	assert_int_equal(j->job.attempts, j->attempts);
	j->due_ms = j->job.due_ms;
}

static struct model_job *model_pick(struct model *m, enum where where)
{
	size_t from = dice_roll(&m->dice, MODEL_JOBS);

	for (size_t i = 0; i < MODEL_JOBS; i++)
		if (m->jobs[(from + i) % MODEL_JOBS].where == where)
			return &m->jobs[(from + i) % MODEL_JOBS];
	return NULL;
}

static void model_remove(struct model *m, struct model_job *j)
{
	struct model_destination *d = &m->to[j->to];

	if (j->where == WAITS) {
		d->waiting--;
	} else {
		d->probes -= d->failures && j->started >= d->since;
		d->active--;
		m->active--;
	}
	j->where = OUT;
	m->done++;
	sched_remove(m->s, &j->job, m->now_ms);
}

static void model_flush(struct model *m, unsigned to, bool all)
{
	size_t n = 0;

	for (size_t i = 0; i < MODEL_JOBS; i++) {
		struct model_job *j = &m->jobs[i];

		if (j->where != WAITS || (!all && j->to != to))
			continue;
		n++;
		if (j->due_ms > m->now_ms)
			j->due_ms = m->now_ms;
	}
	assert_int_equal(sched_flush(m->s, all ? SLICE_NONE : slice_str(m->to[to].name), m->now_ms), n);
	for (unsigned i = 0; i < MODEL_DESTINATIONS; i++) {
		struct sched_view v;

		if ((all || i == to) && sched_look(m->s, slice_str(m->to[i].name), &v))
			assert_true(v.rests_until_ms == 0 && v.dead_until_ms <= m->now_ms);
	}
}

static void model_hurry(struct model *m, struct model_job *j)
{
	bool waits = j->where == WAITS;

	sched_hurry(m->s, &j->job, m->now_ms);
	if (!waits)
		return;
	j->hurried = true;
	if (j->due_ms > m->now_ms)
		j->due_ms = m->now_ms;
	assert_true(sched_job_due_ms(&j->job) <= m->now_ms);
}

/* Destinations have their ways: the first works, the next one is busy, then one that puts off, one that is down, and so on. */
static enum sched_outcome model_outcome(struct model *m, const struct model_job *j)
{
	static const enum sched_outcome ways[] = { SCHED_DONE, SCHED_BUSY, SCHED_AGAIN, SCHED_DOWN };

	switch (dice_roll(&m->dice, 8)) {
	case 0:
		return SCHED_STOPPED;
	case 1:
		return ways[dice_roll(&m->dice, ROWS(ways))];
	case 2:
		return SCHED_DONE;
	default:
		return ways[j->to % ROWS(ways)];
	}
}

static void model_step(struct model *m)
{
	struct model_job *j = NULL;
	uint32_t what = dice_roll(&m->dice, 1000);

	if (what < 250) {
		model_add(m);
	} else if (what < 600) {
		(void)model_next(m);
	} else if (what < 850) {
		j = model_pick(m, RUNS);
		if (j)
			model_end(m, j, model_outcome(m, j));
	} else if (what < 900) {
		m->now_ms += dice_roll(&m->dice, 2) ? dice_roll(&m->dice, SECOND) : dice_roll(&m->dice, 5 * MINUTE);
	} else if (what < 940) {
		int64_t due_ms = sched_due_ms(m->s, m->now_ms);

		if (due_ms != INT64_MAX)
			m->now_ms = due_ms;
	} else if (what < 980) {
		j = model_pick(m, dice_roll(&m->dice, 2) ? WAITS : RUNS);
		if (j)
			model_remove(m, j);
	} else if (what < 996) {
		j = model_pick(m, dice_roll(&m->dice, 4) ? WAITS : RUNS);
		if (j)
			model_hurry(m, j);
	} else {
		model_flush(m, dice_roll(&m->dice, MODEL_DESTINATIONS), what == 999);
	}
}

static void whatever_happens(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct model *m = calloc(1, sizeof(*m));

		assert_non_null(m);
		m->dice = dice_of(seed);
		m->conf = usual;
		m->conf.concurrency = 1 + dice_roll(&m->dice, 8);
		m->conf.deliveries = 1 + dice_roll(&m->dice, 40);
		m->conf.seed[0] = seed;
		m->now_ms = dice_roll(&m->dice, HOUR);
		m->s = new_of(&m->conf);
		for (size_t i = 0; i < MODEL_DESTINATIONS; i++) {
			snprintf(m->to[i].name, sizeof(m->to[i].name), "d%zu.test", i);
			model_fresh(m, &m->to[i]);
		}
		for (size_t i = 0; i < MODEL_JOBS; i++)
			m->jobs[i].job.owner = &m->jobs[i];
		for (int i = 0; i < 3000; i++) {
			model_step(m);
			model_check(m);
		}
		/* each job that was put in and not taken out comes to its end */
		for (struct model_job *j; (j = model_pick(m, RUNS)) || sched_waiting(m->s);) {
			if (j)
				model_end(m, j, SCHED_DONE);
			m->now_ms = j ? m->now_ms : sched_due_ms(m->s, m->now_ms);
			assert_true(m->now_ms != INT64_MAX);
			while (model_next(m))
				;
			model_check(m);
		}
		assert_int_equal(m->done, m->added);
		assert_int_equal(sched_waiting(m->s) + sched_active(m->s), 0);
		while (sched_destinations(m->s)) {
			m->now_ms = sched_due_ms(m->s, m->now_ms);
			assert_null(sched_next(m->s, m->now_ms));
		}
		sched_free(&m->s);
		free(m);
	}
}

/* ---- many ---- */

enum { CROWD = 100000, OTHERS = 999, OF_EACH = 20, PLACES = 100 };

struct crowd {
	struct sched_job *jobs;
	unsigned *to;
	size_t n;
	struct {
		struct sched_job *job;
		int64_t until_ms;
	} on[PLACES];
	size_t on_n;
};

static const char *crowd_name(unsigned to)
{
	static char name[24];

	snprintf(name, sizeof(name), "d%u.example.test", to);
	return name;
}

/* Every third of the others cannot be reached. */
static bool crowd_dead(unsigned to)
{
	return to % 3 == 1;
}

static void crowd_put(struct crowd *c, struct scheduler *s, unsigned to, int64_t now_ms)
{
	struct sched_job *j = &c->jobs[c->n];

	c->to[c->n] = to;
	j->owner = &c->to[c->n++];
	add(s, j, crowd_name(to), 0, now_ms);
}

/*
 * One destination has a hundred thousand jobs, a third of a thousand others is dead. None that has something due and a place for it is
 * passed over for longer than all have had one turn, and those that are dead do not stop the rest.
 */
static void a_crowd_does_not_starve_the_others(void **state)
{
	struct sched_conf conf = usual;
	struct scheduler *s;
	struct crowd c = { .jobs = calloc(CROWD + OTHERS * OF_EACH, sizeof(*c.jobs)), .to = calloc(CROWD + OTHERS * OF_EACH, sizeof(*c.to)) };
	struct dice dice = dice_of(3);
	size_t starts = 0, of_crowd = 0, left[1 + OTHERS], last[1 + OTHERS] = { 0 }, worst = 0, done_others = 0;
	int64_t now_ms = 1;

	(void)state;
	assert_true(c.jobs && c.to);
	conf.deliveries = PLACES;
	s = new_of(&conf);
	for (size_t i = 0; i < CROWD; i++)
		crowd_put(&c, s, 0, now_ms);
	for (unsigned to = 1; to <= OTHERS; to++)
		for (size_t i = 0; i < OF_EACH; i++)
			crowd_put(&c, s, to, now_ms);
	left[0] = CROWD;
	for (unsigned to = 1; to <= OTHERS; to++)
		left[to] = OF_EACH;
	/* until all that can be delivered to the others is */
	while (done_others < (size_t)(OTHERS - OTHERS / 3) * OF_EACH) {
		struct sched_job *j;

		while ((j = sched_next(s, now_ms))) {
			unsigned to = *(unsigned *)j->owner;

			starts++;
			of_crowd += to == 0;
			/* while all its jobs are due, and one place of two is always free but for the first rounds */
			if (!crowd_dead(to) && to && starts - last[to] > worst)
				worst = starts - last[to];
			last[to] = starts;
			assert_true(c.on_n < PLACES);
			c.on[c.on_n].job = j;
			c.on[c.on_n++].until_ms = now_ms + (crowd_dead(to) ? 30 * SECOND : 10 + dice_roll(&dice, 90));
		}
		assert_true(c.on_n > 0);
		now_ms += 10;
		for (size_t i = 0; i < c.on_n;) {
			unsigned to = *(unsigned *)c.on[i].job->owner;

			if (c.on[i].until_ms > now_ms) {
				i++;
				continue;
			}
			(void)sched_end(s, c.on[i].job, crowd_dead(to) ? SCHED_DOWN : SCHED_DONE, 0, now_ms);
			left[to] -= !crowd_dead(to);
			done_others += !crowd_dead(to) && to;
			c.on[i] = c.on[--c.on_n];
		}
	}
	for (unsigned to = 1; to <= OTHERS; to++)
		if (left[to] != (crowd_dead(to) ? OF_EACH : 0))
			fail_msg("%zu jobs of %s are left", left[to], crowd_name(to));
	print_message("# %zu starts, %zu of the crowd; the longest that a destination was passed over: %zu\n", starts, of_crowd, worst);
	assert_true(worst <= 1 + OTHERS);
	assert_true(of_crowd <= 4 * OF_EACH); /* a turn each round, and there are a few more rounds than jobs of each */
	/* the crowd is served at last */
	while (left[0]) {
		struct sched_job *j;

		while ((j = sched_next(s, now_ms))) {
			bool gone = crowd_dead(*(unsigned *)j->owner);

			left[0] -= !gone;
			(void)sched_end(s, j, gone ? SCHED_DOWN : SCHED_DONE, 0, now_ms);
		}
		now_ms = left[0] ? sched_due_ms(s, now_ms) : now_ms;
		while (c.on_n) {
			unsigned to = *(unsigned *)c.on[--c.on_n].job->owner;

			left[0] -= to == 0;
			(void)sched_end(s, c.on[c.on_n].job, crowd_dead(to) ? SCHED_DOWN : SCHED_DONE, 0, now_ms);
		}
	}
	assert_int_equal(sched_waiting(s), OTHERS / 3 * OF_EACH);
	assert_int_equal(sched_destinations(s), OTHERS / 3);
	sched_free(&s);
	free(c.jobs);
	free(c.to);
}

/* ---- what it costs ---- */

enum order { ORDER_SAME, ORDER_UP, ORDER_DOWN, ORDER_ANY };

static int64_t due_by(enum order order, struct dice *d, size_t i, size_t n)
{
	switch (order) {
	case ORDER_SAME:
		return 0;
	case ORDER_UP:
		return (int64_t)i;
	case ORDER_DOWN:
		return (int64_t)(n - i);
	case ORDER_ANY:
		break;
	}
	return dice_roll(d, (uint32_t)n);
}

static unsigned log2_of(size_t n)
{
	unsigned log = 0;

	while (n >>= 1)
		log++;
	return log;
}

/* Put in, moved about, flushed, sent twice, removed: how many steps a call, the dearest one and on average. */
static void cost_of(size_t n, unsigned destinations, enum order order, double *average_out, uint64_t *most_out)
{
	struct sched_conf conf = usual;
	struct scheduler *s;
	struct sched_job *jobs = calloc(n, sizeof(*jobs)), *j;
	struct dice d = dice_of(n);
	uint64_t calls = 0, most = 0;
	int64_t now_ms = 0;

#define COUNTED(call)                                       \
	do {                                                \
		uint64_t steps_ = sched_steps(s);           \
                                                            \
		call;                                       \
		calls++;                                    \
		if (sched_steps(s) - steps_ > most)         \
			most = sched_steps(s) - steps_;     \
	} while (0)

	assert_non_null(jobs);
	conf.deliveries = 1000000;
	s = new_of(&conf);
	for (size_t i = 0; i < n; i++)
		COUNTED(add(s, &jobs[i], crowd_name((unsigned)(i % destinations)), due_by(order, &d, i, n), now_ms));
	for (size_t i = 0; i < n / 4; i++)
		COUNTED(sched_hurry(s, &jobs[dice_roll(&d, (uint32_t)n)], now_ms));
	for (size_t i = 0; i < n / 4; i++)
		COUNTED(sched_remove(s, &jobs[dice_roll(&d, (uint32_t)n)], now_ms));
	(void)sched_flush(s, SLICE_NONE, now_ms);
	calls += sched_waiting(s);
	for (bool again = true; sched_waiting(s); again = !again) {
		now_ms = sched_due_ms(s, now_ms);
		for (;;) {
			COUNTED(j = sched_next(s, now_ms));
			if (!j)
				break;
			COUNTED((void)sched_end(s, j, j->attempts || !again ? SCHED_DONE : SCHED_AGAIN, 0, now_ms));
		}
	}
	*average_out = (double)sched_steps(s) / (double)calls;
	*most_out = most;
	assert_int_equal(sched_destinations(s), 0);
	sched_free(&s);
	free(jobs);
#undef COUNTED
}

static void each_call_is_logarithmic(void **state)
{
	static const struct {
		const char *what;
		unsigned destinations;
		enum order order;
	} rows[] = {
		{ "one destination, all at once", 1, ORDER_SAME },
		{ "one, one after the other", 1, ORDER_UP },
		{ "one, the last first", 1, ORDER_DOWN },
		{ "one, by lot", 1, ORDER_ANY },
		{ "a thousand, all at once", 1000, ORDER_SAME },
		{ "a thousand, by lot", 1000, ORDER_ANY },
	};

	(void)state;
	assert_true(sizeof(struct sched_job) <= 64);
	for (size_t i = 0; i < ROWS(rows); i++)
		for (size_t n = 1000; n <= CROWD; n *= 10) {
			double average;
			uint64_t most;

			cost_of(n, rows[i].destinations, rows[i].order, &average, &most);
			print_message("# %s, %zu jobs: %.1f steps a call, %llu the dearest\n", rows[i].what, n, average, (unsigned long long)most);
			if (average > log2_of(n) || (rows[i].destinations == 1 && most > 3 * log2_of(n)))
				fail_msg("%s, %zu jobs: %.1f steps a call, %llu the dearest", rows[i].what, n, average, (unsigned long long)most);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_job_waits_for_its_time),
		cmocka_unit_test(who_came_first_goes_first),
		cmocka_unit_test(destinations_take_turns),
		cmocka_unit_test(all_together_have_a_limit),
		cmocka_unit_test(outcomes_set_the_limit),
		cmocka_unit_test(one_overload_halves_once),
		cmocka_unit_test(one_that_stays_busy_rests),
		cmocka_unit_test(attempts_double_the_wait),
		cmocka_unit_test(one_alone_finds_out),
		cmocka_unit_test(old_news_is_no_news),
		cmocka_unit_test(a_dead_one_without_jobs_is_forgotten_in_time),
		cmocka_unit_test(removed_on_its_way),
		cmocka_unit_test(flush_makes_due),
		cmocka_unit_test(hurry_goes_first),
		cmocka_unit_test(a_walk_sees_each),
		cmocka_unit_test(whatever_happens),
		cmocka_unit_test(a_crowd_does_not_starve_the_others),
		cmocka_unit_test(each_call_is_logarithmic),
	};

	return RUN_TESTS(tests);
}
