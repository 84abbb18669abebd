#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/limits.h"
#include "net/conn.h"
#include "net/dovecot.h"
#include "out/log.h"

/* Dovecot lets a client that failed wait, up to 17 seconds when it did so often. */
enum { ANSWER_MS = 30000, RETRY_FIRST_MS = 1000, RETRY_MAX_MS = 30000, TOLD_MS = 60000, ARENA_OCTETS = 65536, OUT_OCTETS = 1 << 20 };

struct dovecot {
	struct loop *loop;
	struct sockaddr_un to;
	struct conn conn;
	struct loop_later push;
	bool open;
	struct authd authd;
	unsigned mechs;
	struct buf out;
	struct dovecot_exchange *first; /* under way */
	size_t count;
	uint32_t last_id;
	int64_t heard_ms;               /* it said something */
	struct loop_timer again;
	unsigned retry_ms;
	bool down, told;                /* the log says so; and has said so before, */
	int64_t told_ms;                /* at that time */
};

static void wipe(struct buf *b)
{
	if (b->room)
		explicit_bzero(b->at, b->room);
	buf_release(b);
}

/* ---- exchanges ---- */

static void unlist(struct dovecot_exchange *x)
{
	struct dovecot_exchange **at = &x->dovecot->first;

	while (*at != x)
		at = &(*at)->next;
	*at = x->next;
	x->dovecot->count--;
	x->id = 0;
	loop_timer_stop(&x->late);
}

static void answer(struct dovecot_exchange *x, const struct dovecot_answer *answer)
{
	if (answer->kind == DOVECOT_ASKS)
		loop_timer_stop(&x->late); /* the client's time */
	else
		unlist(x);
	x->on(x->arg, answer);
}

static void close_it(struct dovecot *d)
{
	if (d->open)
		conn_close(&d->conn);
	d->open = false;
	loop_later_cancel(d->loop, &d->push);
	loop_timer_stop(&d->again);
	wipe(&d->out);
	d->authd = (struct authd){ 0 };
	d->mechs = 0;
}

/* The connection, and what was said on it, is of no use any more. */
static void lose(struct dovecot *d, const char *why)
{
	struct dovecot_exchange *x;

	close_it(d);
	while ((x = d->first))
		answer(x, &(struct dovecot_answer){ .kind = DOVECOT_LATER, .why = why });
}

static void log_change(const struct dovecot *d, enum log_level level, const char *event, const char *why)
{
	struct log_line l = log_begin(level, event);

	log_str(&l, "name", d->to.sun_path);
	log_str(&l, "note", why);
	log_end(&l);
}

/* Once a minute, however often it comes and goes. */
static void tell_down(struct dovecot *d, const char *why)
{
	int64_t now_ms = loop_now_ms(d->loop);

	if (d->told && now_ms - d->told_ms < TOLD_MS)
		return;
	log_change(d, LOG_LEVEL_WARNING, "auth_down", why);
	d->down = d->told = true;
	d->told_ms = now_ms;
}

static void up(struct dovecot *d)
{
	d->mechs = d->authd.mechs;
	d->retry_ms = RETRY_FIRST_MS;
	if (d->down)
		log_change(d, LOG_LEVEL_INFO, "auth_up", NULL);
	d->down = false;
}

static bool open_it(struct dovecot *d);

static void again(void *arg)
{
	(void)open_it(arg);
}

/* What it has is to be known before a client asks. */
static void retry(struct dovecot *d)
{
	loop_timer_set(d->loop, &d->again, d->retry_ms, again, d);
	d->retry_ms = d->retry_ms < RETRY_MAX_MS / 2 ? d->retry_ms * 2 : RETRY_MAX_MS;
}

static void fail(struct dovecot *d, const char *why)
{
	tell_down(d, why);
	lose(d, "authentication service lost");
	retry(d);
}

static void push(void *arg)
{
	struct dovecot *d = arg;

	if (buf_failed(&d->out))
		fail(d, "no memory");
	else
		conn_push(&d->conn);
}

/* Something is to be said, by the end of the turn. */
static void say(struct dovecot *d)
{
	loop_later(d->loop, &d->push, push, d);
}

/* One look-up may take long; if nothing at all is heard, it hangs. */
static void on_late(void *arg)
{
	struct dovecot_exchange *x = arg;
	struct dovecot *d = x->dovecot;

	if (loop_now_ms(d->loop) - d->heard_ms >= ANSWER_MS) {
		fail(d, "no answer in time");
		return;
	}
	authd_cancel(&d->out, x->id);
	say(d);
	answer(x, &(struct dovecot_answer){ .kind = DOVECOT_LATER, .why = "no answer in time" });
}

/* ---- the connection ---- */

static struct dovecot_exchange *find(const struct dovecot *d, uint32_t id)
{
	struct dovecot_exchange *x = d->first;

	while (x && x->id != id)
		x = x->next;
	return x;
}

static void take(struct dovecot *d, const struct authd_line *line)
{
	struct dovecot_exchange *x = find(d, line->id);

	if (!x) /* the client has gone meanwhile */
		return;
	switch (line->kind) {
	case AUTHD_CONT:
		answer(x, &(struct dovecot_answer){ .kind = DOVECOT_ASKS, .octets = line->octets });
		break;
	case AUTHD_OK:
		answer(x, &(struct dovecot_answer){ .kind = DOVECOT_YES, .octets = line->user });
		break;
	case AUTHD_FAIL:
		answer(x, &(struct dovecot_answer){ .kind = line->temporary ? DOVECOT_LATER : DOVECOT_NO, .why = line->why });
		break;
	default:
		break;
	}
}

static void on_octets(void *owner, struct slice *in)
{
	struct dovecot *d = owner;
	struct arena a;
	size_t n;

	d->heard_ms = loop_now_ms(d->loop);
	arena_init(&a, ARENA_OCTETS);
	while (d->open && (n = slice_find(*in, '\n')) < in->n) {
		struct authd_line line;
		enum authd_kind kind;

		kind = authd_read(&d->authd, &a, slice_sub(*in, 0, n), &line);
		*in = slice_sub(*in, n + 1, SIZE_MAX);
		if (kind == AUTHD_BAD) {
			fail(d, "not its protocol");
			break;
		}
		if (kind == AUTHD_DONE)
			up(d);
		else if (kind != AUTHD_ITSELF)
			take(d, &line);
		arena_clear(&a);
	}
	arena_clear(&a);
	if (d->open && in->n > LIMIT_AUTHD_LINE)
		fail(d, "a line without end");
}

static size_t on_out(void *owner, struct iovec *iov, size_t max)
{
	struct dovecot *d = owner;

	if (d->out.n == 0 || max == 0)
		return 0;
	iov[0] = (struct iovec){ d->out.at, d->out.n };
	return 1;
}

static void on_wrote(void *owner, size_t n)
{
	struct dovecot *d = owner;

	explicit_bzero(d->out.at, n);
	buf_drop(&d->out, n);
	if (d->out.n == 0)
		wipe(&d->out);
}

static void on_ended(void *owner, enum conn_end how)
{
	struct dovecot *d = owner;

	if (how == CONN_EOF && !d->first && d->authd.done) {
		close_it(d); /* it starts anew, or has no time for who is idle */
		retry(d);
	} else {
		fail(d, how == CONN_EOF ? "closed" : strerror(d->conn.error));
	}
}

static const struct conn_ops ops = { on_octets, on_out, on_wrote, NULL, NULL, on_ended };

static bool open_it(struct dovecot *d)
{
	if (d->open)
		return true;
	loop_timer_stop(&d->again);
	buf_init(&d->out, OUT_OCTETS);
	d->open = conn_connect(&d->conn, d->loop, (const struct sockaddr *)&d->to, sizeof(d->to), &ops, d);
	if (!d->open) {
		tell_down(d, strerror(errno));
		retry(d);
		return false;
	}
	authd_hello(&d->out, (uint32_t)getpid());
	return true;
}

struct dovecot *dovecot_new(struct loop *l, const char *path)
{
	struct dovecot *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->loop = l;
	d->retry_ms = RETRY_FIRST_MS;
	d->to.sun_family = AF_UNIX;
	memcpy(d->to.sun_path, path, strnlen(path, DOVECOT_PATH));
	(void)open_it(d);
	return d;
}

void dovecot_free(struct dovecot **d)
{
	if (!*d)
		return;
	lose(*d, "shutting down");
	loop_timer_release(&(*d)->again);
	free(*d);
	*d = NULL;
}

unsigned dovecot_mechs(const struct dovecot *d)
{
	return d->authd.done ? d->mechs : 1U << AUTH_PLAIN;
}

/* ---- what a client says ---- */

static bool in_time(struct dovecot_exchange *x)
{
	return loop_timer_set(x->dovecot->loop, &x->late, ANSWER_MS, on_late, x);
}

bool dovecot_begin(struct dovecot *d, struct dovecot_exchange *x, enum auth_mech mech, const char *client, const char *server, struct slice message,
    void (*on)(void *arg, const struct dovecot_answer *answer), void *arg)
{
	struct dovecot_exchange **at = &d->first;

	x->dovecot = d;
	if (d->count >= LIMIT_AUTHD_PENDING || !open_it(d) || !in_time(x))
		return false;
	while (*at)
		at = &(*at)->next;
	*at = x;
	x->next = NULL;
	d->count++;
	x->id = ++d->last_id ? d->last_id : ++d->last_id;
	x->on = on;
	x->arg = arg;
	authd_begin(&d->out, x->id, mech, client, server, message);
	say(d);
	return true;
}

void dovecot_go_on(struct dovecot_exchange *x, struct slice message)
{
	authd_go_on(&x->dovecot->out, x->id, message);
	if (!in_time(x))
		x->dovecot->out.failed = true;
	say(x->dovecot);
}

void dovecot_drop(struct dovecot_exchange *x)
{
	if (x->id) {
		if (x->dovecot->open) {
			authd_cancel(&x->dovecot->out, x->id);
			say(x->dovecot);
		}
		unlist(x);
	}
	loop_timer_release(&x->late);
}
