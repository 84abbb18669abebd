#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon/sandbox.h"
#include "daemon/supervisor_in.h"
#include "out/log.h"

enum {
	SETTLE_MS = 2000,         /* old workers to take no new sessions; then the reload is told of all the same */
	HELPERS_MS = 15000,       /* keeper and resolver to be ready; later they cost answers, not the start */
	WORKERS_MS = 30000,       /* all workers to be ready; above it the generation is given up */
	DRAIN_GRACE_MS = 600000,  /* behind drain_s, for transactions under way (RFC 5321 4.5.3.2.6); then it is stopped hard */
	QUEUE_DRAIN_S = 30,       /* for deliveries under way when another queue process takes over: what has no answer yet is sent again */
	QUEUE_LEAVE_S = 10,       /* or none does */
	QUEUE_GRACE_MS = 5000,    /* behind that; then it is killed */
	DRAINING_MAX = 2,         /* generations; a reload that would make it more waits for the oldest */
	MISTAKES_LOGGED = 5,
};

/* Those that drain, one that serves and one that is to take its place; and one queue process. */
_Static_assert((DRAINING_MAX + 2) * CONF_WORKERS + 1 <= COUNT_SLOTS, "a reload would find no slots");

/* --- generations --- */

struct generation *reload_add(struct supervisor *s, struct conf *take_conf, int *code_out, char error_out[BIND_ERROR])
{
	struct generation *g = generation_new(take_conf, s->generations + 1, &s->held, code_out, error_out);

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
		    "%u sessions, or %u deliveries, may need %llu open files, the system allows %llu: raise LimitNOFILE, or lower limits.sessions "
		    "and queue.deliveries",
		    conf->limits.sessions, conf->queue.deliveries, (unsigned long long)wanted, (unsigned long long)have);
}

void reload_begin(struct supervisor *s, struct generation *g)
{
	files_raise(g->conf);
	sandbox_tell(g->conf, g->uid);
	g->begun_ms = s->now_ms;
	generation_enter(s, g, GENERATION_HELPERS, HELPERS_MS);
	supervisor_begin(s, g->keeper);
	supervisor_begin(s, g->resolver);
}

static void generation_end(struct supervisor *s, struct generation *g)
{
	if (g->state == GENERATION_ENDING)
		return;
	generation_enter(s, g, GENERATION_ENDING, 0);
	for (size_t i = 0; i < g->process_count; i++)
		process_stop(&g->processes[i], s->now_ms);
}

/* Sessions between two transactions are ended after idle_s, others when their transaction is over. */
static void generation_drain(struct supervisor *s, struct generation *g, unsigned idle_s)
{
	if (g->state == GENERATION_ENDING)
		return;
	if (g->state != GENERATION_DRAINING)
		generation_enter(s, g, GENERATION_DRAINING, (int64_t)g->conf->drain_s * 1000 + DRAIN_GRACE_MS);
	if (g->queue)
		g->queue->restart_ms = 0;
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

/* --- the queue process: one at a time has the spool --- */

/*
 * Is its time over? When another generation serves; and when the daemon leaves, but not before the last worker of all has put its mail
 * into the spool, which it may still be sending.
 */
static bool queue_to_go(const struct supervisor *s, const struct process *p)
{
	if (p->generation->state == GENERATION_SERVING)
		return false;
	for (const struct generation *g = s->newest; g && s->leaving; g = g->next)
		if (!generation_idle(g))
			return false;
	return true;
}

static void queue_tell(struct supervisor *s, struct process *p, unsigned within_s)
{
	p->draining = true;
	p->kill_ms = s->now_ms + (int64_t)within_s * 1000 + QUEUE_GRACE_MS;
	boss_send(p->boss_fd, BOSS_DRAIN, within_s, NULL, -1);
}

static void queue_step(struct supervisor *s)
{
	struct process *p = process_queue(&s->nursery);

	if (p) {
		if (!p->draining && !p->told && queue_to_go(s, p))
			queue_tell(s, p, s->leaving ? QUEUE_LEAVE_S : QUEUE_DRAIN_S);
		return;
	}
	p = s->serving && s->serving->state == GENERATION_SERVING ? s->serving->queue : NULL;
	/* One that died is started again when it is due. */
	if (p && !p->restart_ms)
		supervisor_begin(s, p);
}

/* --- the outcome of starts and reloads --- */

static void reload_answer(struct supervisor *s, bool ok, const char *text)
{
	s->reload_ms = s->now_ms;
	snprintf(s->reload_error, sizeof(s->reload_error), "%.*s", ok ? 0 : (int)strcspn(text, "\n"), text);
	if (s->reload_answer && s->control.pid)
		boss_send(s->control.boss_fd, BOSS_RELOAD, ok, text, -1);
	s->reload_answer = false;
}

void reload_fail(struct supervisor *s, struct generation *g, int code, const char *format, ...)
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
		generation_sweep(s->newest, &s->held);
		return;
	}
	log_note(LOG_LEVEL_ERROR, "start_failed", "%s", why);
	snprintf(text, sizeof(text), "hopseal: %s", why);
	supervisor_started(s, code, text);
	s->exit_code = code;
	s->leaving = true;
}

/* Tells of mail that nobody delivers from now on. */
static void spool_look(const struct generation *g, const struct generation *before)
{
	if (before && before->queue && before->spool != g->spool)
		log_note(LOG_LEVEL_WARNING, "spool_left", "%s: what waits there is delivered when spool.dir names it again",
		    before->conf->spool_dir);
	if (!g->queue && generation_mail(g))
		log_note(LOG_LEVEL_WARNING, "spool_left", "%s: messages wait there, and no listener has mode \"queue\"", g->conf->spool_dir);
}

static void generation_serve(struct supervisor *s, struct generation *g)
{
	spool_look(g, s->serving);
	generation_enter(s, g, GENERATION_SERVING, 0);
	s->serving = g;
	s->settle_ms = s->now_ms + SETTLE_MS;
	s->nursery.control_conf = g->conf;
	s->nursery.control_uid = g->uid;
	s->nursery.control_gid = g->gid;
	for (struct generation *old = g->next; old; old = old->next)
		if (old->state < GENERATION_DRAINING)
			generation_drain(s, old, old->conf->drain_s);
	generation_sweep(s->newest, &s->held);
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
		supervisor_started(s, 0, NULL);
	else
		reload_answer(s, true, "");
}

static void workers_begin(struct supervisor *s, struct generation *g)
{
	if (!g->keeper->ready || !g->resolver->ready)
		log_note(LOG_LEVEL_WARNING, "helper_late", "%s is not ready yet, workers start without it",
		    g->keeper->ready ? "resolver" : "keeper");
	generation_enter(s, g, GENERATION_WORKERS, WORKERS_MS);
	for (size_t i = 0; i < g->worker_count; i++)
		supervisor_begin(s, &g->workers[i]);
}

static void generation_step(struct supervisor *s, struct generation *g)
{
	bool late = g->deadline_ms && s->now_ms >= g->deadline_ms;

	switch (g->state) {
	case GENERATION_HELPERS:
		if (late || (g->keeper->ready && g->resolver->ready))
			workers_begin(s, g);
		break;
	case GENERATION_WORKERS:
		if (generation_ready(g))
			generation_serve(s, g);
		else if (late)
			reload_fail(s, g, SUPERVISOR_EXIT, "workers were not ready within %d s", WORKERS_MS / 1000);
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
		generation_sweep(s->newest, &s->held);
	}
}

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
	g = reload_add(s, conf, &code, error);
	if (!g) {
		generation_sweep(s->newest, &s->held);
		reload_refuse(s, error);
	} else if (!log_open(g->conf, !s->foreground)) {
		reload_fail(s, g, SUPERVISOR_EXIT, "%.100s: %s", g->conf->log.file, strerror(errno));
	} else {
		supervisor_warn(g->conf);
		reload_begin(s, g);
	}
}

/* --- what the supervisor asks for --- */

void reload_leave(struct supervisor *s)
{
	log_note(LOG_LEVEL_INFO, "draining", "told to leave");
	s->leaving = true;
	for (struct generation *g = s->newest; g; g = g->next)
		generation_drain(s, g, 0);
}

void reload_leave_now(struct supervisor *s)
{
	log_note(LOG_LEVEL_WARNING, "drain_cut", "told to leave at once");
	for (struct generation *g = s->newest; g; g = g->next) {
		generation_end(s, g);
		for (size_t i = 0; i < g->process_count; i++)
			process_kill(&g->processes[i]);
	}
	process_kill(&s->control);
}

void reload_step(struct supervisor *s)
{
	generations_step(s);
	queue_step(s);
	if (s->settle_ms)
		serve_settle(s);
	if (s->leaving && (s->reload_wanted || s->reload_answer)) {
		s->reload_answer |= s->reload_asked;
		s->reload_wanted = s->reload_asked = false;
		reload_answer(s, false, "the daemon is leaving");
	}
	if (s->reload_wanted && !generation_starting(s) && s->serving && !drain_full(s))
		reload_run(s);
}
