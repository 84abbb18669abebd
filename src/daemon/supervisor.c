#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
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
#include "daemon/sandbox.h"
#include "daemon/status.h"
#include "daemon/supervisor.h"
#include "daemon/supervisor_in.h"
#include "out/log.h"

enum {
	RESTART_FIRST_MS = 1000,  /* the first restart is at once */
	RESTART_MAX_MS = 30000,
	RESTART_CALM_MS = 60000,  /* alive this long: the next death is a first one again */
};

static int64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- every process of the daemon --- */

static void process_each(struct supervisor *s, void (*each)(struct supervisor *s, struct process *p))
{
	for (struct generation *g = s->newest; g; g = g->next)
		for (size_t i = 0; i < g->process_count; i++)
			each(s, &g->processes[i]);
	each(s, &s->control);
}

static bool slot_take(void *arg, unsigned *slot_out)
{
	const struct supervisor *s = arg;
	bool taken[COUNT_SLOTS] = { false };

	for (const struct generation *g = s->newest; g; g = g->next) {
		for (size_t i = 0; i < g->worker_count; i++)
			if (g->workers[i].pid)
				taken[g->workers[i].slot] = true;
		if (g->queue && g->queue->pid)
			taken[g->queue->slot] = true;
	}
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
	return (p->role != ROLE_WORKER && p->role != ROLE_QUEUE) || p->generation->state != GENERATION_DRAINING;
}

static void process_later(struct supervisor *s, struct process *p)
{
	if (p->started_ms && s->now_ms - p->started_ms >= RESTART_CALM_MS)
		p->delay_ms = 0;
	p->restart_ms = s->now_ms + p->delay_ms;
	p->delay_ms = p->delay_ms == 0 ? RESTART_FIRST_MS : p->delay_ms < RESTART_MAX_MS / 2 ? p->delay_ms * 2 : RESTART_MAX_MS;
}

void supervisor_begin(struct supervisor *s, struct process *p)
{
	if (process_start(&s->nursery, p, s->now_ms))
		return;
	log_note(LOG_LEVEL_ERROR, "process_not_started", "%s: %s", role_name(p->role), strerror(errno));
	process_later(s, p);
}

/* --- logs --- */

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
	if (p->role == ROLE_WORKER || p->role == ROLE_QUEUE)
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
	if (g && g->state <= GENERATION_WORKERS && (code == SUPERVISOR_EXIT || code == SUPERVISOR_EXIT_CONFIGURATION))
		reload_fail(s, g, code, "the %s could not start: %s", role_name(p->role),
		    p->why[0] ? p->why : "the log says why");
	else
		process_later(s, p);
}

static struct process *process_find(struct supervisor *s, pid_t pid)
{
	for (struct generation *g = s->newest; g; g = g->next)
		for (size_t i = 0; i < g->process_count; i++)
			if (g->processes[i].pid == pid)
				return &g->processes[i];
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
				reload_leave_now(s);
			else
				reload_leave(s);
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
		supervisor_begin(s, p);
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
		for (size_t i = 0; i < g->process_count; i++)
			next = sooner(next, process_next(&g->processes[i]));
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
	for (const struct generation *g = s->newest; g; g = g->next)
		for (size_t i = 0; i < g->process_count && ok; i++)
			ok = watch_add(w, g->processes[i].boss_fd);
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
		reload_step(s);
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

void supervisor_started(struct supervisor *s, int code, const char *text)
{
	if (s->news_fd >= 0) {
		background_tell(s->news_fd, code, text);
		s->news_fd = -1;
	} else if (s->foreground && text) {
		fprintf(stderr, "%s\n", text);
	}
}

void supervisor_warn(const struct conf *conf)
{
	struct slice left = conf->warnings, event, where, text;
	char name[32];

	while (conf_warning_next(&left, &event, &where, &text)) {
		snprintf(name, sizeof(name), "%.*s", SLICE_FMT(event));
		log_note(LOG_LEVEL_WARNING, name, "%.*s: %.*s", SLICE_FMT(where), SLICE_FMT(text));
	}
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
		return start_refuse(SUPERVISOR_EXIT, strerror(errno));
	}
	if (!log_open(take_conf, !s->foreground)) {
		snprintf(error, sizeof(error), "%.200s: %.200s", take_conf->log.file, strerror(errno));
		conf_free(&take_conf);
		return start_refuse(SUPERVISOR_EXIT, error);
	}
	log_start(take_conf, "supervisor", 0);
	supervisor_warn(take_conf);
	/* The user first: run.dir is made for its group. */
	if (generation_user(take_conf, &s->nursery.control_uid, &s->nursery.control_gid)) {
		s->lock_fd = bind_lock(s->run_dir, s->nursery.control_gid, error);
		if (s->lock_fd < 0) {
			conf_free(&take_conf);
			return start_refuse(SUPERVISOR_EXIT, error);
		}
	}
	*g_out = reload_add(s, take_conf, &code, error);
	if (!*g_out)
		return start_refuse(code, error);
	s->nursery.control_fd = bind_control(s->run_dir, s->nursery.control_gid, error);
	if (s->nursery.control_fd < 0)
		return start_refuse(SUPERVISOR_EXIT, error);
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
	generation_sweep(s->newest, &s->held);
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
		return SUPERVISOR_EXIT_CONFIGURATION;
	s.nursery.control_fd = -1;
	s.nursery.control = &s.control;
	s.nursery.slot_take = slot_take;
	s.nursery.arg = &s;
	process_init(&s.control, ROLE_CONTROL, NULL, 0);
	code = start_prepare(&s, conf, &first);
	if (code == 0 && !foreground) {
		s.news_fd = background_enter();
		if (s.news_fd < 0)
			code = start_refuse(SUPERVISOR_EXIT, strerror(errno));
	}
	json_object_seed(0);
	if (code == 0 && !sandbox_start(first->conf)) {
		code = SUPERVISOR_EXIT;
		log_note(LOG_LEVEL_ERROR, "start_failed", "sandbox: %s", strerror(errno));
		supervisor_started(&s, code, "hopseal: the supervisor cannot lock itself in, the log says why");
	}
	if (code == 0) {
		bind_lock_pid(s.lock_fd);
		s.started_ms = s.now_ms = clock_ms();
		reload_begin(&s, first);
		supervisor_begin(&s, &s.control);
		serve(&s);
		code = s.exit_code;
		log_note(LOG_LEVEL_INFO, "shutdown", "all processes are gone");
	}
	supervisor_release(&s);
	return code;
}
