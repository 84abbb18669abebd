/*
 * top.c - what the daemon does now: its status asked for again and again, counters as so many a second.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "config/conf.h"
#include "ctl/control.h"

enum { INTERVAL_S = 2, INTERVAL_MAX_S = 3600 };

static const struct row {
	const char *title;
	const char *counters[4]; /* of count.def */
} rows[] = {
	{ "sessions", { "sessions", "sessions_refused", "tls_sessions", "tls_failed" } },
	{ "users", { "auth_ok", "auth_failed", "auth_deferred", "rate_deferred" } },
	{ "messages", { "transactions", "accepted", "deferred", "refused" } },
	{ "chains", { "dkim2_pass", "dkim2_fail", "dkim2_permerror", "dkim2_temperror" } },
	{ "next hop", { "next_hop_connects", "next_hop_lost", NULL, NULL } },
	{ "keys", { "dns_questions", "dns_failed", "signatures", "signatures_failed" } },
};

static void print_counter(const json_t *now, const json_t *before, const char *name, double elapsed_s)
{
	long long total = control_number(now, name);

	printf("  %s %lld", name, total);
	if (before && elapsed_s > 0)
		printf(" (%.1f/s)", (double)(total - control_number(before, name)) / elapsed_s);
}

static void print_generations(const json_t *status)
{
	const json_t *one, *process;
	size_t i, k;

	json_array_foreach(json_object_get(status, "generations"), i, one) {
		printf("generation %lld %s, %lld sessions; workers", control_number(one, "number"), control_text(one, "state"),
		    control_number(one, "sessions"));
		json_array_foreach(json_object_get(status, "processes"), k, process)
			if (control_number(process, "generation") == control_number(one, "number") && json_object_get(process, "sessions"))
				printf(" %lld", control_number(process, "sessions"));
		printf("\n");
	}
	json_array_foreach(json_object_get(status, "waiting"), i, one)
		printf("DEAD %s %lld of generation %lld, %lld times, started again in %lld s\n", control_text(one, "role"),
		    control_number(one, "index"), control_number(one, "generation"), control_number(one, "deaths"), control_number(one, "restart_s"));
	json_array_foreach(json_object_get(status, "processes"), i, one)
		if (!json_is_true(json_object_get(one, "ready")))
			printf("NOT READY %s %lld of generation %lld, since %lld s\n", control_text(one, "role"), control_number(one, "index"),
			    control_number(one, "generation"), control_number(one, "up_s"));
	one = json_object_get(status, "reload");
	if (one && !json_is_true(json_object_get(one, "ok")))
		printf("RELOAD REFUSED %lld s ago: %s\n", control_number(one, "ago_s"), control_text(one, "error"));
}

static void print_screen(const json_t *status, const json_t *before, double elapsed_s)
{
	const json_t *now = json_object_get(status, "counters"), *then = before ? json_object_get(before, "counters") : NULL;

	/* Another daemon's counters, or those of one that was started anew, are no measure. */
	if (before && control_number(before, "pid") != control_number(status, "pid"))
		then = NULL;
	if (isatty(STDOUT_FILENO))
		printf("\033[H\033[2J");
	printf("hopseal %s on %s, up %lld s: %lld sessions open, %lld in TLS; %lld connections to next hops\n", control_text(status, "version"),
	    control_text(status, "hostname"), control_number(status, "uptime_s"), control_number(now, "sessions_open"),
	    control_number(now, "tls_open"), control_number(now, "next_hop_open"));
	print_generations(status);
	if (json_is_object(json_object_get(status, "queue"))) {
		const json_t *queue = json_object_get(status, "queue");

		printf("queue %lld messages, %lld held; copies %lld waiting, %lld on their way; %zu destinations\n", control_number(queue, "messages"),
		    control_number(queue, "held"), control_number(queue, "waiting"), control_number(queue, "active"),
		    json_array_size(json_object_get(queue, "destinations")) + (size_t)control_number(queue, "more"));
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		printf("%-9s", rows[i].title);
		for (size_t k = 0; k < 4 && rows[i].counters[k]; k++)
			print_counter(now, then, rows[i].counters[k], elapsed_s);
		printf("\n");
	}
	printf("\n");
}

static double clock_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool count_option(const char *text, unsigned most, unsigned *out)
{
	uint64_t n;

	if (!slice_u64(slice_str(text), most, &n) || n == 0)
		return false;
	*out = (unsigned)n;
	return true;
}

/* One after the other until `times` are over; 0: for ever, or until nobody answers. */
static int watch(const struct control *o, unsigned interval_s, unsigned times)
{
	json_t *before = NULL;
	double asked_s = 0;
	int code = CTL_DONE;

	for (unsigned n = 1; code == CTL_DONE; n++) {
		double now_s = clock_s();
		json_t *status = control_ask(o, "status\n", &code);

		if (status)
			code = control_refused(status, "status");
		if (code == CTL_DONE && o->json) {
			json_dumpf(status, stdout, JSON_COMPACT);
			printf("\n");
		} else if (code == CTL_DONE) {
			print_screen(status, before, now_s - asked_s);
		}
		if (fflush(stdout) != 0)
			code = CTL_CANNOT_WRITE;
		json_decref(before);
		before = status;
		asked_s = now_s;
		if (n == times)
			break;
		if (code == CTL_DONE)
			sleep(interval_s);
	}
	json_decref(before);
	return code;
}

int ctl_top(int argc, char **argv)
{
	enum { INTERVAL = CONTROL_OWN, COUNT };
	static const struct option options[] = {
		CONTROL_OPTIONS,
		{ "interval", required_argument, NULL, INTERVAL },
		{ "count", required_argument, NULL, COUNT },
		{ NULL, 0, NULL, 0 },
	};
	struct control o = { .file = CONF_PATH };
	unsigned interval_s = INTERVAL_S, times = 0;
	int option;

	while ((option = ctl_option(argc, argv, options)) >= 0) {
		if (control_option(&o, option))
			continue;
		if (option == INTERVAL && !count_option(optarg, INTERVAL_MAX_S, &interval_s))
			return ctl_usage("--interval %s, expected 1..%d seconds", optarg, INTERVAL_MAX_S);
		if (option == COUNT && !count_option(optarg, 1000000, &times))
			return ctl_usage("--count %s, expected 1..1000000", optarg);
		if (option != INTERVAL && option != COUNT)
			return CTL_USAGE;
	}
	if (optind < argc)
		return ctl_usage("unexpected argument: %s", argv[optind]);
	return ctl_end(watch(&o, interval_s, times));
}
