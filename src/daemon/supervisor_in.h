/*
 * supervisor_in.h - what the files of the supervisor share: supervisor.c has the processes, the loop, the start; reload.c the
 * generations as they follow each other.
 */
#ifndef DAEMON_SUPERVISOR_IN_H
#define DAEMON_SUPERVISOR_IN_H

#include "daemon/generation.h"

enum { SUPERVISOR_EXIT = 71, SUPERVISOR_EXIT_CONFIGURATION = 78 };

struct supervisor {
	const char *file;
	bool foreground;
	int64_t now_ms;
	int64_t started_ms;
	unsigned generations;        /* started so far */
	struct generation *newest;   /* all living ones, newest first */
	struct generation *serving;  /* NULL before the first serves */
	int64_t settle_ms;           /* it serves, and is told of at the latest then; 0: is told of */
	struct held held;
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

/* Starts it, or says when that is tried again. */
void supervisor_begin(struct supervisor *s, struct process *p);
/* The start is over: who waits for it is told. text: NULL where nothing went wrong. */
void supervisor_started(struct supervisor *s, int code, const char *text);
/* Logs what was found in a configuration that is taken all the same. */
void supervisor_warn(const struct conf *conf);

/* The first generation has what it needs (generation_new()); take_conf: owned, whatever happens. */
struct generation *reload_add(struct supervisor *s, struct conf *take_conf, int *code_out, char error_out[BIND_ERROR]);
void reload_begin(struct supervisor *s, struct generation *g);
/* It will never serve. At the first start that is the end of the daemon. */
void reload_fail(struct supervisor *s, struct generation *g, int code, const char *format, ...) __attribute__((format(printf, 4, 5)));
/* All of them drain, or end. */
void reload_leave(struct supervisor *s);
void reload_leave_now(struct supervisor *s);
/* Whatever is due in this turn: generations go on, a reload that is wanted begins, who waits for one is told. */
void reload_step(struct supervisor *s);

#endif
