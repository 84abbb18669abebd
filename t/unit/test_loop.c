/* The event loop: descriptors, timers, deferred calls, signals, on a clock the test moves. */
#include "test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/loop.h"

/* What was called, a letter a call. */
struct diary {
	struct loop *loop;
	char text[64];
	size_t n;
	struct loop_io io, other;
	struct loop_timer timer, timers[100];
	struct loop_later later, second;
	int fd, other_fd;
};

static void note(struct diary *d, char c)
{
	assert_true(d->n + 1 < sizeof(d->text));
	d->text[d->n++] = c;
	d->text[d->n] = '\0';
}

static void stop(void *arg)
{
	struct diary *d = arg;

	note(d, '.');
	loop_stop(d->loop);
}

/* Runs until the turn that serves what is ready now is over. */
static void turn(struct diary *d)
{
	struct loop_later last = { 0 };

	loop_later(d->loop, &last, stop, d);
	loop_run(d->loop);
}

static int start(void **state)
{
	struct diary *d = calloc(1, sizeof(*d));
	int fds[2];

	assert_non_null(d);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	d->fd = fds[0];
	d->other_fd = fds[1];
	d->loop = loop_new();
	assert_non_null(d->loop);
	*state = d;
	return 0;
}

static int end(void **state)
{
	struct diary *d = *state;

	loop_io_stop(&d->io);
	loop_io_stop(&d->other);
	loop_timer_release(&d->timer);
	for (size_t i = 0; i < 100; i++)
		loop_timer_release(&d->timers[i]);
	loop_free(&d->loop);
	assert_null(d->loop);
	close(d->fd);
	close(d->other_fd);
	free(d);
	return 0;
}

static void on_io(void *arg, unsigned what)
{
	struct diary *d = arg;
	char c;

	if (what == LOOP_WRITE) {
		note(d, 'w');
		return;
	}
	assert_int_equal(what, LOOP_READ);
	note(d, 'r');
	assert_true(read(d->fd, &c, 1) >= 0);
}

static void descriptor_says_only_what_is_wanted(void **state)
{
	struct diary *d = *state;

	assert_true(loop_io_want(d->loop, &d->io, d->fd, LOOP_READ, on_io, d));
	turn(d);
	assert_string_equal(d->text, ".");
	assert_int_equal(write(d->other_fd, "x", 1), 1);
	turn(d);
	assert_string_equal(d->text, ".r.");
	assert_true(loop_io_want(d->loop, &d->io, d->fd, LOOP_READ | LOOP_WRITE, on_io, d));
	turn(d);
	assert_string_equal(d->text, ".r.w.");
	assert_true(loop_io_want(d->loop, &d->io, d->fd, LOOP_READ, on_io, d));
	assert_null(d->io.event_write);
	turn(d);
	assert_string_equal(d->text, ".r.w..");
	assert_int_equal(write(d->other_fd, "x", 1), 1);
	assert_true(loop_io_want(d->loop, &d->io, d->fd, 0, on_io, d));
	turn(d);
	assert_string_equal(d->text, ".r.w...");
	assert_true(loop_io_want(d->loop, &d->io, d->fd, LOOP_READ, on_io, d));
	turn(d);
	assert_string_equal(d->text, ".r.w...r.");
}

/* The kernel is not asked again when nothing changes: the libevent object stays the same one. */
static void wanting_the_same_again_changes_nothing(void **state)
{
	struct diary *d = *state;
	struct event *event;

	assert_true(loop_io_want(d->loop, &d->io, d->fd, LOOP_READ, on_io, d));
	event = d->io.event;
	assert_true(loop_io_want(d->loop, &d->io, d->fd, LOOP_READ, on_io, d));
	assert_ptr_equal(d->io.event, event);
	assert_true(loop_io_want(d->loop, &d->io, d->fd, LOOP_READ | LOOP_WRITE, on_io, d));
	assert_ptr_equal(d->io.event, event);
	/* Another descriptor in the same storage is another registration. */
	assert_true(loop_io_want(d->loop, &d->io, d->other_fd, LOOP_WRITE, on_io, d));
	assert_null(d->io.event);
	turn(d);
	assert_string_equal(d->text, "w.");
}

static void on_io_stops_both(void *arg, unsigned what)
{
	struct diary *d = arg;

	(void)what;
	note(d, 's');
	loop_io_stop(&d->io);
	loop_io_stop(&d->other);
}

static void stopped_descriptor_is_silent_in_the_same_turn(void **state)
{
	struct diary *d = *state;

	assert_int_equal(write(d->fd, "x", 1), 1);
	assert_int_equal(write(d->other_fd, "x", 1), 1);
	assert_true(loop_io_want(d->loop, &d->io, d->fd, LOOP_READ | LOOP_WRITE, on_io_stops_both, d));
	assert_true(loop_io_want(d->loop, &d->other, d->other_fd, LOOP_READ | LOOP_WRITE, on_io_stops_both, d));
	turn(d);
	turn(d);
	assert_string_equal(d->text, "s..");
}

static void on_timer(void *arg)
{
	note(arg, 't');
}

static void timer_fires_once_when_due(void **state)
{
	struct diary *d = *state;

	assert_true(loop_timer_set(d->loop, &d->timer, 100000, on_timer, d));
	loop_clock_advance(d->loop, 99000);
	turn(d);
	assert_string_equal(d->text, ".");
	loop_clock_advance(d->loop, 1000);
	turn(d);
	assert_string_equal(d->text, ".t.");
	assert_true(d->timer.due_ms == 0);
	loop_clock_advance(d->loop, 1000000);
	turn(d);
	assert_string_equal(d->text, ".t..");
}

static void timer_moves_both_ways(void **state)
{
	struct diary *d = *state;

	assert_true(loop_timer_set(d->loop, &d->timer, 100000, on_timer, d));
	assert_true(loop_timer_set(d->loop, &d->timer, 900000, on_timer, d));
	loop_clock_advance(d->loop, 100000);
	turn(d);
	turn(d);
	assert_string_equal(d->text, "..");
	assert_true(loop_timer_set(d->loop, &d->timer, 10000, on_timer, d));
	loop_clock_advance(d->loop, 10000);
	turn(d);
	assert_string_equal(d->text, "..t.");
	assert_true(loop_timer_set(d->loop, &d->timer, 1, on_timer, d));
	loop_timer_stop(&d->timer);
	loop_clock_advance(d->loop, 10000);
	turn(d);
	assert_string_equal(d->text, "..t..");
}

static void on_timer_again(void *arg)
{
	struct diary *d = arg;

	note(d, 't');
	assert_true(loop_timer_set(d->loop, &d->timer, 0, on_timer_again, d));
}

static void timer_set_to_now_in_its_call_waits_a_turn(void **state)
{
	struct diary *d = *state;

	assert_true(loop_timer_set(d->loop, &d->timer, -5, on_timer_again, d));
	assert_string_equal(d->text, "");
	turn(d);
	turn(d);
	assert_string_equal(d->text, "t.t.");
}

struct order {
	int64_t last_ms;
	size_t n;
};

static struct order order;

static void on_timer_in_order(void *arg)
{
	int64_t due_ms = (int64_t)(intptr_t)arg;

	assert_true(due_ms >= order.last_ms);
	order.last_ms = due_ms;
	order.n++;
}

/* A hundred timers, set, moved later, moved earlier and stopped by a fixed pattern, fire in the order of their times. */
static void many_timers_fire_in_order(void **state)
{
	struct diary *d = *state;
	size_t stopped = 0;
	uint32_t r = 1;

	for (unsigned round = 0; round < 3; round++) {
		for (size_t i = 0; i < 100; i++) {
			int64_t after_ms;

			r = r * 1664525 + 1013904223;
			after_ms = 1000 * (int64_t)(1 + r / 65536 % 5000);
			assert_true(loop_timer_set(d->loop, &d->timers[i], after_ms, on_timer_in_order, (void *)(intptr_t)after_ms));
		}
	}
	for (size_t i = 0; i < 100; i += 7, stopped++)
		loop_timer_stop(&d->timers[i]);
	order = (struct order){ 0 };
	/* One at a time, so that the order is the heap's and not that of the calls of one turn. */
	for (unsigned s = 0; s <= 5001; s++) {
		loop_clock_advance(d->loop, 1000);
		d->n = 0;
		turn(d);
	}
	assert_int_equal(order.n, 100 - stopped);
}

/* What takes the place of a stopped timer may be due before what stood above that place. */
static void stopping_one_keeps_the_order_of_the_rest(void **state)
{
	static const int64_t due_s[15] = { 1, 10, 2, 11, 12, 20, 3, 13, 14, 15, 16, 21, 22, 5, 4 };
	struct diary *d = *state;

	for (size_t i = 0; i < 15; i++)
		assert_true(loop_timer_set(d->loop, &d->timers[i], due_s[i] * 1000, on_timer_in_order, (void *)(intptr_t)due_s[i]));
	loop_timer_stop(&d->timers[7]);
	order = (struct order){ 0 };
	for (unsigned s = 0; s <= 22; s++) {
		loop_clock_advance(d->loop, 1000);
		turn(d);
	}
	assert_int_equal(order.n, 14);
}

static void on_later(void *arg)
{
	note(arg, 'l');
}

static void on_later_again(void *arg)
{
	struct diary *d = arg;

	note(d, 'L');
	loop_later(d->loop, &d->second, on_later, d);
}

static void later_comes_once_after_the_descriptors(void **state)
{
	struct diary *d = *state;

	assert_true(loop_io_want(d->loop, &d->io, d->fd, LOOP_READ, on_io, d));
	assert_int_equal(write(d->other_fd, "x", 1), 1);
	loop_later(d->loop, &d->later, on_later, d);
	loop_later(d->loop, &d->later, on_later, d);
	turn(d);
	assert_string_equal(d->text, "rl.");
}

static void later_of_a_later_comes_in_the_next_turn(void **state)
{
	struct diary *d = *state;

	loop_later(d->loop, &d->later, on_later_again, d);
	turn(d);
	assert_string_equal(d->text, "L.");
	assert_true(d->second.set);
	turn(d);
	assert_string_equal(d->text, "L.l.");
}

static void on_later_cancels(void *arg)
{
	struct diary *d = arg;

	note(d, 'c');
	loop_later_cancel(d->loop, &d->second);
}

static void cancelled_later_never_comes(void **state)
{
	struct diary *d = *state;
	struct loop_later third = { 0 };

	loop_later(d->loop, &d->later, on_later, d);
	loop_later(d->loop, &d->second, on_later, d);
	loop_later_cancel(d->loop, &d->second);
	loop_later_cancel(d->loop, &d->second);
	turn(d);
	assert_string_equal(d->text, "l.");
	/* by one that is called in the same draining, at its head and behind it */
	loop_later(d->loop, &d->later, on_later_cancels, d);
	loop_later(d->loop, &d->second, on_later, d);
	loop_later(d->loop, &third, on_later, d);
	turn(d);
	assert_string_equal(d->text, "l.cl.");
	/* the last of the list, then another behind it */
	loop_later(d->loop, &d->later, on_later, d);
	loop_later(d->loop, &d->second, on_later_again, d);
	loop_later_cancel(d->loop, &d->second);
	loop_later(d->loop, &third, on_later, d);
	turn(d);
	assert_string_equal(d->text, "l.cl.ll.");
}

static void on_signal(void *arg, int signal)
{
	struct diary *d = arg;

	assert_int_equal(signal, SIGUSR1);
	note(d, 'S');
	loop_stop(d->loop);
}

static void signal_is_a_call_of_the_loop(void **state)
{
	struct diary *d = *state;

	assert_true(loop_signal(d->loop, SIGUSR1, on_signal, d));
	raise(SIGUSR1);
	assert_string_equal(d->text, "");
	loop_run(d->loop);
	assert_string_equal(d->text, "S");
}

static void run_ends_when_nothing_is_left(void **state)
{
	struct diary *d = *state;

	loop_run(d->loop);
	loop_later(d->loop, &d->later, on_later, d);
	loop_run(d->loop);
	assert_true(loop_timer_set(d->loop, &d->timer, 5, on_timer, d));
	loop_run(d->loop);
	assert_string_equal(d->text, "lt");
}

/* The child takes nothing out of the epoll set that it shares with its parent. */
static void forgetting_in_a_child_leaves_the_parent_watching(void **state)
{
	struct diary *d = *state;
	pid_t child;
	int status;

	assert_true(loop_io_want(d->loop, &d->io, d->fd, LOOP_READ, on_io, d));
	child = fork();
	if (child == 0) {
		struct loop *l = d->loop;

		loop_forget(&l);
		_exit(l == NULL ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(write(d->other_fd, "x", 1), 1);
	turn(d);
	assert_string_equal(d->text, "r.");
}

/* 400 octets a session for its descriptor and deadline. */
static void idle_session_is_small(void **state)
{
	(void)state;
	assert_true(sizeof(struct loop_io) + sizeof(struct loop_timer) + 128 + sizeof(void *) <= 400);
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(descriptor_says_only_what_is_wanted),
		ROW(wanting_the_same_again_changes_nothing),
		ROW(stopped_descriptor_is_silent_in_the_same_turn),
		ROW(timer_fires_once_when_due),
		ROW(timer_moves_both_ways),
		ROW(timer_set_to_now_in_its_call_waits_a_turn),
		ROW(many_timers_fire_in_order),
		ROW(stopping_one_keeps_the_order_of_the_rest),
		ROW(later_comes_once_after_the_descriptors),
		ROW(later_of_a_later_comes_in_the_next_turn),
		ROW(cancelled_later_never_comes),
		ROW(signal_is_a_call_of_the_loop),
		ROW(run_ends_when_nothing_is_left),
		ROW(forgetting_in_a_child_leaves_the_parent_watching),
		ROW(idle_session_is_small),
	};

	return RUN_TESTS(tests);
}
