#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/background.h"
#include "daemon/bind.h"
#include "daemon/generation.h"
#include "daemon/status.h"
#include "daemon/supervisor.h"
#include "out/log.h"

enum {
	EXIT_STARTED_NOT = 71,
	EXIT_CONFIGURATION = 78,
	SETTLE_MS = 2000,         /* old workers to take no new sessions; then the reload is told of all the same */
	HELPERS_MS = 15000,       /* keeper and resolver to be ready; later they cost answers, not the start */
	WORKERS_MS = 30000,       /* all workers to be ready; above it the generation is given up */
	DRAIN_GRACE_MS = 600000,  /* behind drain_s, for transactions under way (RFC 5321 4.5.3.2.6); then it is stopped hard */
	RESTART_FIRST_MS = 1000,  /* the first restart is at once */
	RESTART_MAX_MS = 30000,
	RESTART_CALM_MS = 60000,  /* alive this long: the next death is a first one again */
	DRAINING_MAX = 2,         /* generations; a reload that would make it more waits for the oldest */
	MISTAKES_LOGGED = 5,
};

/* Those that drain, one that serves and one that is to take its place. */
_Static_assert((DRAINING_MAX + 2) * CONF_WORKERS <= COUNT_SLOTS, "a reload would find no slots");

struct supervisor {
	const char *file;
	bool foreground;
	int64_t now_ms;
	int64_t started_ms;
	unsigned generations;        /* started so far */
	struct generation *newest;   /* all living ones, newest first */
	struct generation *serving;  /* NULL before the first serves */
	int64_t settle_ms;           /* it serves, and is told of at the latest then; 0: is told of */
	struct socket_row *sockets;
	struct process control;
	struct nursery nursery;
	char *run_dir;
	int lock_fd, signal_fd;
	int news_fd;                 /* who waits for the start; -1: nobody (any more) */
	bool leaving;
	bool reload_wanted;          /* by a signal or by control, not yet begun */
	bool reload_asked;           /* control waits for the outcome of the wanted one */
	bool reload_answer;          /* control waits for the outcome of the one under way */
	bool reload_waits;           /* the wanted one, for a generation that drains; told once */
	int exit_code;               /* of a start that failed */
	int64_t reload_ms;           /* the end of the last reload; 0: there was none */
	char reload_error[256];      /* its first mistake; empty: it is in force */
};

static int64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- every process of the daemon --- */

static void generation_each(struct generation *g, void (*each)(struct supervisor *s, struct process *p), struct supervisor *s)
{
	each(s, &g->keeper);
	each(s, &g->resolver);
	for (size_t i = 0; i < g->worker_count; i++)
		each(s, &g->workers[i]);
}

static void process_each(struct supervisor *s, void (*each)(struct supervisor *s, struct process *p))
{
	for (struct generation *g = s->newest; g; g = g->next)
		generation_each(g, each, s);
	each(s, &s->control);
}

static bool slot_take(void *arg, unsigned *slot_out)
{
	const struct supervisor *s = arg;
	bool taken[COUNT_SLOTS] = { false };

	for (const struct generation *g = s->newest; g; g = g->next)
		for (size_t i = 0; i < g->worker_count; i++)
			if (g->workers[i].pid)
				taken[g->workers[i].slot] = true;
	for (unsigned i = 0; i < COUNT_SLOTS; i++)
		if (!taken[i]) {
			*slot_out = i;
			return true;
		}
	return false;
}

/* Does it still belong to a daemon at work, so that its death is to be mended? */
static bool process_wanted(const struct supervisor *s, const struct process *p)
{
	if (p->told)
		return false;
	if (p->role == ROLE_CONTROL)
		return !s->leaving;
	if (p->generation->state == GENERATION_ENDING)
		return false;
	return p->role != ROLE_WORKER || p->generation->state != GENERATION_DRAINING;
}

static void process_later(struct supervisor *s, struct process *p)
{
	if (p->started_ms && s->now_ms - p->started_ms >= RESTART_CALM_MS)
		p->delay_ms = 0;
	p->restart_ms = s->now_ms + p->delay_ms;
	p->delay_ms = p->delay_ms == 0 ? RESTART_FIRST_MS : p->delay_ms < RESTART_MAX_MS / 2 ? p->delay_ms * 2 : RESTART_MAX_MS;
}

static void process_begin(struct supervisor *s, struct process *p)
{
	if (process_start(&s->nursery, p, s->now_ms))
		return;
	log_note(LOG_LEVEL_ERROR, "process_not_started", "%s: %s", role_name(p->role), strerror(errno));
	process_later(s, p);
}

/* --- generations --- */

static struct generation *generation_add(struct supervisor *s, struct conf *take_conf, int *code_out, char error_out[BIND_ERROR])
{
	struct generation *g = generation_new(take_conf, s->generations + 1, &s->sockets, code_out, error_out);

	if (!g)
		return NULL;
	s->generations++;
	g->next = s->newest;
	s->newest = g;
	return g;
}

static void generation_enter(struct supervisor *s, struct generation *g, enum generation_state state, int64_t within_ms)
{
	g->state = state;
	g->deadline_ms = within_ms ? s->now_ms + within_ms : 0;
}

static void files_raise(const struct conf *conf)
{
	uint64_t wanted = 0, have = 0;

	if (!bind_files(conf, &wanted, &have))
		log_note(LOG_LEVEL_WARNING, "files_limit",
		    "%u sessions may need %llu open files, the system allows %llu: raise LimitNOFILE or lower limits.sessions",
		    conf->limits.sessions, (unsigned long long)wanted, (unsigned long long)have);
}

static void generation_begin(struct supervisor *s, struct generation *g)
{
	files_raise(g->conf);
	g->begun_ms = s->now_ms;
	generation_enter(s, g, GENERATION_HELPERS, HELPERS_MS);
	process_begin(s, &g->keeper);
	process_begin(s, &g->resolver);
}

static void stop_one(struct supervisor *s, struct process *p)
{
	process_stop(p, s->now_ms);
}

static void generation_end(struct supervisor *s, struct generation *g)
{
	if (g->state == GENERATION_ENDING)
		return;
	generation_enter(s, g, GENERATION_ENDING, 0);
	generation_each(g, stop_one, s);
}

/* Sessions between two transactions are ended after idle_s, others when their transaction is over. */
static void generation_drain(struct supervisor *s, struct generation *g, unsigned idle_s)
{
	if (g->state == GENERATION_ENDING)
		return;
	if (g->state != GENERATION_DRAINING)
		generation_enter(s, g, GENERATION_DRAINING, (int64_t)g->conf->drain_s * 1000 + DRAIN_GRACE_MS);
	for (size_t i = 0; i < g->worker_count; i++) {
		struct process *w = &g->workers[i];

		w->restart_ms = 0;
		/* One that cannot even be told meets the deadline. */
		if (w->pid)
			boss_send(w->boss_fd, BOSS_DRAIN, idle_s, NULL, -1);
	}
}

/*
 * Would a reload leave more generations to drain than there may be? It waits then: no session is cut for it. The oldest one tells its
 * idle sessions at once that it leaves; transactions under way end, or meet the generation's deadline.
 */
static bool drain_full(struct supervisor *s)
{
	struct generation *oldest = NULL;
	unsigned draining = 0;

	for (struct generation *g = s->newest; g; g = g->next)
		if (g->state == GENERATION_DRAINING) {
			draining++;
			oldest = g;
		}
	if (draining < DRAINING_MAX)
		return false;
	if (!s->reload_waits)
		log_note(LOG_LEVEL_INFO, "reload_waits", "generation %u has sessions still", oldest->number);
	s->reload_waits = true;
	if (!oldest->hurried)
		generation_drain(s, oldest, 0);
	oldest->hurried = true;
	return true;
}

/* --- the outcome of starts and reloads --- */

static void start_over(struct supervisor *s, int code, const char *text)
{
	if (s->news_fd >= 0) {
		background_tell(s->news_fd, code, text);
		s->news_fd = -1;
	} else if (s->foreground && text) {
		fprintf(stderr, "%s\n", text);
	}
}

static void reload_answer(struct supervisor *s, bool ok, const char *text)
{
	s->reload_ms = s->now_ms;
	snprintf(s->reload_error, sizeof(s->reload_error), "%.*s", ok ? 0 : (int)strcspn(text, "\n"), text);
	if (s->reload_answer && s->control.pid)
		boss_send(s->control.boss_fd, BOSS_RELOAD, ok, text, -1);
	s->reload_answer = false;
}

/* A generation that will never serve. At the first start that is the end of the daemon. */
static void generation_fail(struct supervisor *s, struct generation *g, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void generation_fail(struct supervisor *s, struct generation *g, int code, const char *format, ...)
{
	char why[256], text[300];
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, sizeof(why), format, ap);
	va_end(ap);
	generation_end(s, g);
	if (s->serving) {
		(void)!log_open(s->serving->conf, !s->foreground);
		log_note(LOG_LEVEL_ERROR, "reload_refused", "%s", why);
		reload_answer(s, false, why);
		generation_sweep(s->newest, &s->sockets);
		return;
	}
	log_note(LOG_LEVEL_ERROR, "start_failed", "%s", why);
	snprintf(text, sizeof(text), "hopseal: %s", why);
	start_over(s, code, text);
	s->exit_code = code;
	s->leaving = true;
}

static void generation_serve(struct supervisor *s, struct generation *g)
{
	generation_enter(s, g, GENERATION_SERVING, 0);
	s->serving = g;
	s->settle_ms = s->now_ms + SETTLE_MS;
	s->nursery.control_conf = g->conf;
	s->nursery.control_uid = g->uid;
	s->nursery.control_gid = g->gid;
	for (struct generation *old = g->next; old; old = old->next)
		if (old->state < GENERATION_DRAINING)
			generation_drain(s, old, old->conf->drain_s);
	generation_sweep(s->newest, &s->sockets);
}

/* Do the workers of this generation take no new sessions? */
static bool generation_closed(const struct generation *g)
{
	for (size_t i = 0; i < g->worker_count; i++)
		if (g->workers[i].pid && !g->workers[i].draining)
			return false;
	return true;
}

/* Tells of a start or reload once nobody can meet the old settings any more. */
static void serve_settle(struct supervisor *s)
{
	struct generation *g = s->serving;
	bool first = g->number == 1;
	struct log_line l;

	for (const struct generation *old = g->next; old; old = old->next)
		if (!generation_closed(old) && s->now_ms < s->settle_ms)
			return;
	s->settle_ms = 0;
	l = log_begin(LOG_LEVEL_INFO, first ? "ready" : "reload_ok");
	log_str(&l, "version", HOPSEAL_VERSION);
	log_u64(&l, "generation", g->number);
	log_u64(&l, "workers", g->worker_count);
	log_u64(&l, "listeners", g->conf->listener_count);
	log_end(&l);
	if (first)
		start_over(s, 0, NULL);
	else
		reload_answer(s, true, "");
}

static void workers_begin(struct supervisor *s, struct generation *g)
{
	if (!g->keeper.ready || !g->resolver.ready)
		log_note(LOG_LEVEL_WARNING, "helper_late", "%s is not ready yet, workers start without it",
		    g->keeper.ready ? "resolver" : "keeper");
	generation_enter(s, g, GENERATION_WORKERS, WORKERS_MS);
	for (size_t i = 0; i < g->worker_count; i++)
		process_begin(s, &g->workers[i]);
}

static void generation_step(struct supervisor *s, struct generation *g)
{
	bool late = g->deadline_ms && s->now_ms >= g->deadline_ms;

	switch (g->state) {
	case GENERATION_HELPERS:
		if (late || (g->keeper.ready && g->resolver.ready))
			workers_begin(s, g);
		break;
	case GENERATION_WORKERS:
		if (generation_ready(g))
			generation_serve(s, g);
		else if (late)
			generation_fail(s, g, EXIT_STARTED_NOT, "workers were not ready within %d s", WORKERS_MS / 1000);
		break;
	case GENERATION_SERVING:
		break;
	case GENERATION_DRAINING:
		if (late)
			log_note(LOG_LEVEL_WARNING, "drain_cut", "generation %u: sessions still open at the deadline", g->number);
		if (late || generation_drained(g))
			generation_end(s, g);
		break;
	case GENERATION_ENDING:
		break;
	}
}

static void generations_step(struct supervisor *s)
{
	struct generation **at = &s->newest;

	for (struct generation *g = s->newest; g; g = g->next)
		generation_step(s, g);
	while (*at) {
		struct generation *g = *at;

		if (g->state != GENERATION_ENDING || !generation_gone(g)) {
			at = &g->next;
			continue;
		}
		*at = g->next;
		if (s->serving == g) {
			s->serving = NULL;
			s->settle_ms = 0;
		}
		if (s->nursery.control_conf == g->conf)
			s->nursery.control_conf = NULL;
		generation_free(&g);
	}
}

/* --- reload --- */

static bool generation_starting(const struct supervisor *s)
{
	return s->settle_ms || (s->newest && s->newest->state <= GENERATION_WORKERS);
}

static void reload_refuse(struct supervisor *s, const char *text)
{
	const char *line = text;

	for (unsigned i = 0; i < MISTAKES_LOGGED && *line; i++) {
		int n = (int)strcspn(line, "\n");

		log_note(LOG_LEVEL_ERROR, "reload_refused", "%.*s", n, line);
		line += n + (line[n] == '\n');
	}
	reload_answer(s, false, text);
}

/* What conf_load_start() found wrong as a string; cut where there was no memory for all of it. */
static const char *errors_string(struct conf_errors *errors)
{
	if (errors->text.n == 0)
		return "no memory";
	buf_octet(&errors->text, '\0');
	errors->text.at[errors->text.n - 1] = '\0';
	return (const char *)errors->text.at;
}

/* What was found in a configuration that is taken all the same. */
static void warn(const struct conf *conf)
{
	struct slice left = conf->warnings, event, where, text;
	char name[32];

	while (conf_warning_next(&left, &event, &where, &text)) {
		snprintf(name, sizeof(name), "%.*s", SLICE_FMT(event));
		log_note(LOG_LEVEL_WARNING, name, "%.*s: %.*s", SLICE_FMT(where), SLICE_FMT(text));
	}
}

static void reload_run(struct supervisor *s)
{
	struct conf_errors errors;
	char error[BIND_ERROR];
	struct generation *g;
	struct conf *conf;
	int code;

	conf_errors_init(&errors);
	s->reload_wanted = s->reload_waits = false;
	s->reload_answer = s->reload_asked;
	s->reload_asked = false;
	conf = conf_load_start(s->file, &errors);
	if (!conf) {
		if (errors.keys)
			log_note(LOG_LEVEL_ERROR, "key_unusable", "%zu key files; those read before stay in use", errors.keys);
		reload_refuse(s, errors_string(&errors));
	}
	conf_errors_release(&errors);
	if (!conf)
		return;
	if (strcmp(conf->run_dir, s->run_dir) != 0) {
		snprintf(error, sizeof(error), "%.300s: run.dir cannot change while the daemon runs", conf->file);
		conf_free(&conf);
		reload_refuse(s, error);
		return;
	}
	g = generation_add(s, conf, &code, error);
	if (!g) {
		generation_sweep(s->newest, &s->sockets);
		reload_refuse(s, error);
	} else if (!log_open(g->conf, !s->foreground)) {
		generation_fail(s, g, EXIT_STARTED_NOT, "%.100s: %s", g->conf->log.file, strerror(errno));
	} else {
		warn(g->conf);
		generation_begin(s, g);
	}
}

static void leave(struct supervisor *s)
{
	log_note(LOG_LEVEL_INFO, "draining", "told to leave");
	s->leaving = true;
	for (struct generation *g = s->newest; g; g = g->next)
		generation_drain(s, g, 0);
}

static void kill_one(struct supervisor *s, struct process *p)
{
	(void)s;
	process_kill(p);
}

static void leave_now(struct supervisor *s)
{
	log_note(LOG_LEVEL_WARNING, "drain_cut", "told to leave at once");
	for (struct generation *g = s->newest; g; g = g->next)
		generation_end(s, g);
	process_each(s, kill_one);
}

static void log_pass(struct supervisor *s, struct process *p)
{
	(void)s;
	if (p->pid)
		boss_send(p->boss_fd, BOSS_REOPEN, 0, NULL, log_fd());
}

static void logs_reopen(struct supervisor *s)
{
	if (!log_to_file())
		return;
	if (log_reopen(-1))
		process_each(s, log_pass);
	else
		log_note(LOG_LEVEL_ERROR, "log_not_reopened", "%s", strerror(errno));
}

/* --- what children say --- */

/* In as many pieces as it takes; control puts them together. */
static void status_answer(struct supervisor *s)
{
	enum { PIECE = sizeof(((struct boss_message *)0)->text) - 1 };
	struct status_view view = { .file = s->file, .now_ms = s->now_ms, .started_ms = s->started_ms, .newest = s->newest,
		.serving = s->serving, .control = &s->control,
		.counts = s->nursery.counts, .reload_ms = s->reload_ms, .reload_error = s->reload_error };
	char *text = status_text(&view);
	size_t n = text ? strlen(text) : 0;

	for (size_t at = 0; at == 0 || at < n; at += PIECE) {
		char piece[PIECE + 1];
		size_t some = n - at < PIECE ? n - at : PIECE;

		if (some)
			memcpy(piece, text + at, some);
		piece[some] = '\0';
		if (!boss_send(s->control.boss_fd, BOSS_STATUS, at + some < n, piece, -1))
			break;
	}
	free(text);
}

static void process_said(struct supervisor *s, struct process *p, const struct boss_message *m)
{
	switch ((enum boss_kind)m->kind) {
	case BOSS_READY:
		p->ready = true;
		break;
	case BOSS_DRAINING:
		p->draining = true;
		break;
	case BOSS_FAILED:
		snprintf(p->why, sizeof(p->why), "%.*s", (int)sizeof(p->why) - 1, m->text);
		break;
	case BOSS_RELOAD:
		if (p->role == ROLE_CONTROL)
			s->reload_wanted = s->reload_asked = true;
		break;
	case BOSS_STATUS:
		if (p->role == ROLE_CONTROL)
			status_answer(s);
		break;
	default:
		break;
	}
}

static void process_hear(struct supervisor *s, struct process *p)
{
	struct boss_message m;
	int fd, said;

	if (p->boss_fd < 0)
		return;
	while ((said = boss_receive(p->boss_fd, &m, &fd)) > 0) {
		if (fd >= 0)
			close(fd); /* children have nothing to hand in */
		process_said(s, p, &m);
	}
	if (said < 0) {
		close(p->boss_fd);
		p->boss_fd = -1;
		/* One that closed its end without ending can no longer be led. */
		if (p->pid && !p->kill_ms)
			p->kill_ms = s->now_ms + 1000;
	}
}

static void process_died(struct supervisor *s, struct process *p, int status)
{
	bool wanted = process_wanted(s, p);
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	struct generation *g = p->generation;
	char event[32];

	if (wanted || code != 0) {
		struct log_line l;

		snprintf(event, sizeof(event), "%s_died", role_name(p->role));
		l = log_begin(wanted ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, event);
		log_u64(&l, "pid", (uint64_t)p->pid);
		if (g)
			log_u64(&l, "generation", g->number);
		if (p->role == ROLE_WORKER)
			log_u64(&l, "index", p->index);
		if (WIFSIGNALED(status))
			log_u64(&l, "signal", (uint64_t)WTERMSIG(status));
		else
			log_i64(&l, "code", code);
		log_end(&l);
	}
	if (p->role == ROLE_WORKER)
		count_slot_left(s->nursery.counts, p->slot);
	if (p->role == ROLE_CONTROL)
		s->reload_answer = s->reload_asked = false;
	if (p->boss_fd >= 0)
		close(p->boss_fd);
	p->boss_fd = -1;
	p->pid = 0;
	p->ready = p->draining = p->told = false;
	p->kill_ms = 0;
	if (!wanted)
		return;
	p->deaths++;
	if (g && g->state <= GENERATION_WORKERS && (code == EXIT_STARTED_NOT || code == EXIT_CONFIGURATION))
		generation_fail(s, g, code, "the %s could not start: %s", role_name(p->role),
		    p->why[0] ? p->why : "the log says why");
	else
		process_later(s, p);
}

static struct process *process_find(struct supervisor *s, pid_t pid)
{
	for (struct generation *g = s->newest; g; g = g->next) {
		if (g->keeper.pid == pid)
			return &g->keeper;
		if (g->resolver.pid == pid)
			return &g->resolver;
		for (size_t i = 0; i < g->worker_count; i++)
			if (g->workers[i].pid == pid)
				return &g->workers[i];
	}
	return s->control.pid == pid ? &s->control : NULL;
}

static void reap(struct supervisor *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct process *p = process_find(s, pid);

		if (!p)
			continue;
		/* What it said last comes before its end. */
		process_hear(s, p);
		process_died(s, p, status);
	}
}

/* --- the loop --- */

static void signals_take(struct supervisor *s)
{
	struct signalfd_siginfo info;

	while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		switch ((int)info.ssi_signo) {
		case SIGHUP:
			s->reload_wanted = true;
			break;
		case SIGUSR1:
			logs_reopen(s);
			break;
		case SIGINT:
			if (!s->foreground)
				break;
			/* fall through */
		case SIGTERM:
			if (s->leaving)
				leave_now(s);
			else
				leave(s);
			break;
		default:
			break; /* SIGCHLD: reap() follows */
		}
	}
}

static void process_due(struct supervisor *s, struct process *p)
{
	if (p->pid && p->kill_ms && s->now_ms >= p->kill_ms) {
		process_kill(p);
		p->kill_ms = s->now_ms + 1000;
	}
	if (p->pid == 0 && p->restart_ms && s->now_ms >= p->restart_ms)
		process_begin(s, p);
}

static int64_t sooner(int64_t a, int64_t b)
{
	return a == 0 || (b && b < a) ? b : a;
}

static int64_t process_next(const struct process *p)
{
	return p->pid ? p->kill_ms : p->restart_ms;
}

static int wait_ms(const struct supervisor *s)
{
	int64_t next = sooner(process_next(&s->control), s->settle_ms), left;

	for (const struct generation *g = s->newest; g; g = g->next) {
		next = sooner(next, g->deadline_ms);
		next = sooner(next, process_next(&g->keeper));
		next = sooner(next, process_next(&g->resolver));
		for (size_t i = 0; i < g->worker_count; i++)
			next = sooner(next, process_next(&g->workers[i]));
	}
	if (log_pending())
		next = sooner(next, clock_ms() + LOG_FLUSH_MS);
	if (next == 0)
		return -1;
	left = next - clock_ms();
	return left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

struct watch {
	struct pollfd *fds;
	size_t n, room;
};

static bool watch_add(struct watch *w, int fd)
{
	if (w->n == w->room) {
		struct pollfd *more = realloc(w->fds, (w->room + 16) * sizeof(*more));

		if (!more)
			return false;
		w->fds = more;
		w->room += 16;
	}
	w->fds[w->n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
	return true;
}

/* Without memory the next turn polls what there was room for; nothing is lost but time. */
static void watch_all(const struct supervisor *s, struct watch *w)
{
	bool ok;

	w->n = 0;
	ok = watch_add(w, s->signal_fd) && watch_add(w, s->control.boss_fd);
	for (const struct generation *g = s->newest; g && ok; g = g->next) {
		ok = watch_add(w, g->keeper.boss_fd) && watch_add(w, g->resolver.boss_fd);
		for (size_t i = 0; i < g->worker_count && ok; i++)
			ok = watch_add(w, g->workers[i].boss_fd);
	}
}

static void serve(struct supervisor *s)
{
	struct watch w = { NULL, 0, 0 };

	while (!(s->leaving && !s->newest && s->control.pid == 0)) {
		watch_all(s, &w);
		poll(w.fds, w.n, wait_ms(s));
		s->now_ms = clock_ms();
		if (log_pending())
			log_flush();
		signals_take(s);
		process_each(s, process_hear);
		reap(s);
		process_each(s, process_due);
		generations_step(s);
		if (s->settle_ms)
			serve_settle(s);
		if (s->leaving && (s->reload_wanted || s->reload_answer)) {
			s->reload_answer |= s->reload_asked;
			s->reload_wanted = s->reload_asked = false;
			reload_answer(s, false, "the daemon is leaving");
		}
		if (s->reload_wanted && !generation_starting(s) && s->serving && !drain_full(s))
			reload_run(s);
		if (s->leaving && !s->newest)
			process_stop(&s->control, s->now_ms);
	}
	free(w.fds);
}

/* --- start --- */

static bool signals_block(struct supervisor *s)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return false;
	s->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return s->signal_fd >= 0;
}

static int start_refuse(int code, const char *text)
{
	fprintf(stderr, "hopseal: %s\n", text);
	return code;
}

static struct conf *start_conf(const char *file)
{
	struct conf_errors errors;
	struct conf *conf;

	conf_errors_init(&errors);
	conf = conf_load_start(file, &errors);
	if (!conf) {
		fwrite(errors.text.at, 1, errors.text.n, stderr);
		fprintf(stderr, "hopseal: %s: %zu mistake%s, nothing was started\n", file, errors.n, errors.n == 1 ? "" : "s");
	}
	conf_errors_release(&errors);
	return conf;
}

/* Everything that can be refused while somebody still looks at the terminal. */
static int start_prepare(struct supervisor *s, struct conf *take_conf, struct generation **g_out)
{
	char error[BIND_ERROR];
	int code;

	s->run_dir = strdup(take_conf->run_dir);
	s->nursery.newest = &s->newest;
	s->nursery.counts = count_page_new();
	if (!s->run_dir || !s->nursery.counts || !signals_block(s)) {
		conf_free(&take_conf);
		return start_refuse(EXIT_STARTED_NOT, strerror(errno));
	}
	if (!log_open(take_conf, !s->foreground)) {
		snprintf(error, sizeof(error), "%.200s: %.200s", take_conf->log.file, strerror(errno));
		conf_free(&take_conf);
		return start_refuse(EXIT_STARTED_NOT, error);
	}
	log_start(take_conf, "supervisor", 0);
	warn(take_conf);
	/* The user first: run.dir is made for its group. */
	if (generation_user(take_conf, &s->nursery.control_uid, &s->nursery.control_gid)) {
		s->lock_fd = bind_lock(s->run_dir, s->nursery.control_gid, error);
		if (s->lock_fd < 0) {
			conf_free(&take_conf);
			return start_refuse(EXIT_STARTED_NOT, error);
		}
	}
	*g_out = generation_add(s, take_conf, &code, error);
	if (!*g_out)
		return start_refuse(code, error);
	s->nursery.control_fd = bind_control(s->run_dir, s->nursery.control_gid, error);
	if (s->nursery.control_fd < 0)
		return start_refuse(EXIT_STARTED_NOT, error);
	s->nursery.control_conf = (*g_out)->conf;
	if (!s->foreground && (*g_out)->conf->log.to == LOG_STDERR)
		fputs("hopseal: log.to is \"stderr\": in the background lines go to syslog\n", stderr);
	return 0;
}

static void supervisor_release(struct supervisor *s)
{
	while (s->newest) {
		struct generation *g = s->newest;

		s->newest = g->next;
		generation_free(&g);
	}
	generation_sweep(s->newest, &s->sockets);
	if (s->nursery.control_fd >= 0) {
		close(s->nursery.control_fd);
		bind_control_remove(s->run_dir);
	}
	if (s->signal_fd >= 0)
		close(s->signal_fd);
	/* Last: who waits for it finds everything else free. */
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	free(s->run_dir);
}

int supervisor_run(const char *file, bool foreground)
{
	struct supervisor s = { .file = file, .foreground = foreground, .lock_fd = -1, .signal_fd = -1, .news_fd = -1 };
	struct generation *first = NULL;
	struct conf *conf;
	int code;

	umask(077);
	conf = start_conf(file);
	if (!conf)
		return EXIT_CONFIGURATION;
	s.nursery.control_fd = -1;
	s.nursery.slot_take = slot_take;
	s.nursery.arg = &s;
	process_init(&s.control, ROLE_CONTROL, NULL, 0);
	code = start_prepare(&s, conf, &first);
	if (code == 0 && !foreground) {
		s.news_fd = background_enter();
		if (s.news_fd < 0)
			code = start_refuse(EXIT_STARTED_NOT, strerror(errno));
	}
	if (code == 0) {
		json_object_seed(0);
		bind_lock_pid(s.lock_fd);
		s.started_ms = s.now_ms = clock_ms();
		generation_begin(&s, first);
		process_begin(&s, &s.control);
		serve(&s);
		code = s.exit_code;
		log_note(LOG_LEVEL_INFO, "shutdown", "all processes are gone");
	}
	supervisor_release(&s);
	return code;
}
