#include <jansson.h>
#include <unistd.h>

#include "daemon/status.h"

static json_int_t seconds(int64_t ms)
{
	return ms > 0 ? (json_int_t)(ms / 1000) : 0;
}

static json_int_t sessions(const struct status_view *s, const struct process *worker)
{
	int64_t n = worker->pid ? (int64_t)count_of(s->counts, worker->slot, COUNT_SESSIONS_OPEN) : 0;

	return n > 0 ? (json_int_t)n : 0;
}

/* One that runs, or one that died and is not back yet. */
static void status_process(const struct status_view *s, json_t *running, json_t *waiting, const struct process *p)
{
	json_t *one;

	if (!p->pid && !p->restart_ms)
		return;
	one = json_pack("{s:s, s:i, s:i, s:i}", "role", role_name(p->role), "generation", p->generation ? (int)p->generation->number : 0,
	    "index", (int)p->index, "deaths", (int)p->deaths);
	if (!p->pid) {
		json_object_set_new(one, "restart_s", json_integer(seconds(p->restart_ms - s->now_ms + 999)));
		json_array_append_new(waiting, one);
		return;
	}
	json_object_set_new(one, "pid", json_integer(p->pid));
	json_object_set_new(one, "ready", json_boolean(p->ready));
	json_object_set_new(one, "up_s", json_integer(seconds(s->now_ms - p->started_ms)));
	if (p->role == ROLE_WORKER)
		json_object_set_new(one, "sessions", json_integer(sessions(s, p)));
	json_array_append_new(running, one);
}

static json_t *status_reload(const struct status_view *s)
{
	return json_pack("{s:b, s:I, s:s*}", "ok", !s->reload_error[0], "ago_s", seconds(s->now_ms - s->reload_ms), "error",
	    s->reload_error[0] ? s->reload_error : NULL);
}

/* What those of a generation that speak to it find of one next hop: they may differ for a while. */
static json_t *status_next_hop(const struct status_view *s, const char *listener, const char *name, size_t hop)
{
	json_int_t up = 0, down = 0, open = 0, idle = 0;

	for (size_t i = 0; i < s->serving->process_count; i++) {
		const struct process *p = &s->serving->processes[i];
		bool speaks = p->pid && (p->role == ROLE_WORKER || p->role == ROLE_QUEUE);
		struct count_hop h = speaks ? count_hop_get(s->counts, p->slot, hop) : (struct count_hop){ .state = COUNT_HOP_NONE };

		up += h.state == COUNT_HOP_UP;
		down += h.state == COUNT_HOP_DOWN;
		open += h.open;
		idle += h.idle;
	}
	return json_pack("{s:s, s:s, s:s, s:I, s:I}", "listener", listener, "name", name, "state",
	    up && down ? "unsteady" : up ? "up" : down ? "down" : "unknown", "connections", open, "idle", idle);
}

static json_t *status_next_hops(const struct status_view *s)
{
	const struct conf *conf = s->serving ? s->serving->conf : NULL;
	json_t *all = json_array();
	size_t hop = 0;

	for (size_t i = 0; conf && i < conf->listener_count; i++)
		for (size_t k = 0; k < conf->listeners[i].next_hop_count; k++, hop++)
			json_array_append_new(all, status_next_hop(s, conf->listeners[i].name, conf->listeners[i].next_hops[k].address.text, hop));
	return all;
}

char *status_text(const struct status_view *s)
{
	static const char *const services[] = {
		[SERVICE_PASS] = "pass", [SERVICE_INBOUND] = "inbound", [SERVICE_OUTBOUND] = "outbound",
		[SERVICE_FORWARD] = "forward", [SERVICE_LIST_IN] = "list-in", [SERVICE_LIST_OUT] = "list-out"
	};
	json_t *generations = json_array(), *processes = json_array(), *waiting = json_array(), *listeners = json_array(), *all;
	const struct conf *conf = s->serving ? s->serving->conf : NULL;
	char *text;

	for (const struct generation *g = s->newest; g; g = g->next) {
		json_int_t open = 0;

		for (size_t i = 0; i < g->process_count; i++)
			status_process(s, processes, waiting, &g->processes[i]);
		for (size_t i = 0; i < g->worker_count; i++)
			open += sessions(s, &g->workers[i]);
		json_array_append_new(generations, json_pack("{s:i, s:s, s:I, s:I}", "number", (int)g->number, "state",
		    generation_state_name(g->state), "up_s", seconds(s->now_ms - g->begun_ms), "sessions", open));
	}
	status_process(s, processes, waiting, s->control);
	for (size_t i = 0; conf && i < conf->listener_count; i++)
		for (size_t k = 0; k < conf->listeners[i].address_count; k++)
			json_array_append_new(listeners, json_pack("{s:s, s:s, s:s, s:s}", "name", conf->listeners[i].name, "address",
			    conf->listeners[i].addresses[k].text, "service", services[conf->listeners[i].service], "mode",
			    conf->listeners[i].mode == MODE_QUEUE ? "queue" : "proxy"));
	all = json_pack("{s:s, s:s, s:i, s:i, s:I, s:s, s:o, s:o, s:o, s:o, s:o}", "version", HOPSEAL_VERSION, "hostname",
	    conf ? conf->hostname : "", "pid", (int)getpid(), "generation", s->serving ? (int)s->serving->number : 0, "uptime_s",
	    seconds(s->now_ms - s->started_ms), "configuration", s->file, "generations", generations, "processes",
	    processes, "waiting", waiting, "listeners", listeners, "next_hops", status_next_hops(s));
	if (all && s->reload_ms)
		json_object_set_new(all, "reload", status_reload(s));
	text = all ? json_dumps(all, JSON_COMPACT) : NULL;
	json_decref(all);
	return text;
}
