#include <jansson.h>
#include <unistd.h>

#include "daemon/status.h"

static void status_process(json_t *list, const struct process *p)
{
	if (p->pid)
		json_array_append_new(list, json_pack("{s:s, s:i, s:i, s:i, s:b}", "role", role_name(p->role), "pid", (int)p->pid,
		    "generation", p->generation ? (int)p->generation->number : 0, "index", (int)p->index, "ready", p->ready));
}

char *status_text(const struct status_view *s)
{
	static const char *const services[] = {
		[SERVICE_PASS] = "pass", [SERVICE_INBOUND] = "inbound", [SERVICE_OUTBOUND] = "outbound",
		[SERVICE_FORWARD] = "forward", [SERVICE_LIST_IN] = "list-in", [SERVICE_LIST_OUT] = "list-out"
	};
	json_t *generations = json_array(), *processes = json_array(), *listeners = json_array(), *all;
	const struct conf *conf = s->serving ? s->serving->conf : NULL;
	char *text;

	for (const struct generation *g = s->newest; g; g = g->next) {
		json_array_append_new(generations, json_pack("{s:i, s:s}", "number", (int)g->number, "state",
		    generation_state_name(g->state)));
		status_process(processes, &g->keeper);
		status_process(processes, &g->resolver);
		for (size_t i = 0; i < g->worker_count; i++)
			status_process(processes, &g->workers[i]);
	}
	status_process(processes, s->control);
	for (size_t i = 0; conf && i < conf->listener_count; i++)
		for (size_t k = 0; k < conf->listeners[i].address_count; k++)
			json_array_append_new(listeners, json_pack("{s:s, s:s, s:s, s:s}", "name", conf->listeners[i].name, "address",
			    conf->listeners[i].addresses[k].text, "service", services[conf->listeners[i].service], "mode",
			    conf->listeners[i].mode == MODE_QUEUE ? "queue" : "proxy"));
	all = json_pack("{s:s, s:s, s:i, s:i, s:I, s:s, s:o, s:o, s:o}", "version", HOPSEAL_VERSION, "hostname",
	    conf ? conf->hostname : "", "pid", (int)getpid(), "generation", s->serving ? (int)s->serving->number : 0, "uptime_s",
	    (json_int_t)(s->uptime_ms / 1000), "configuration", s->file, "generations", generations, "processes",
	    processes, "listeners", listeners);
	text = all ? json_dumps(all, JSON_COMPACT) : NULL;
	json_decref(all);
	return text;
}
