#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/conf.h"
#include "ctl/control.h"

enum {
	ANSWER_OCTETS = (1 << 20) + 8192, /* and room to read into */
	ANSWER_S = 60, /* a reload waits for the new workers, and may wait for old ones much longer */
};

bool control_option(struct control *o, int option)
{
	switch (option) {
	case 'c':
		o->file = optarg;
		return true;
	case CONTROL_PATH:
		o->path = optarg;
		return true;
	case CONTROL_JSON:
		o->json = true;
		return true;
	default:
		return false;
	}
}

static int options_read(struct control *o, int argc, char **argv)
{
	static const struct option options[] = { CONTROL_OPTIONS, { NULL, 0, NULL, 0 } };
	int option;

	while ((option = ctl_option(argc, argv, options)) >= 0)
		if (!control_option(o, option))
			return CTL_USAGE;
	return optind < argc ? ctl_usage("unexpected argument: %s", argv[optind]) : CTL_DONE;
}

static int address_find(const struct control *o, struct sockaddr_un *to)
{
	struct conf_errors errors;
	int n = 0, code = CTL_DONE;
	char *run_dir;

	*to = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (o->path) {
		n = snprintf(to->sun_path, sizeof(to->sun_path), "%s", o->path);
	} else {
		conf_errors_init(&errors);
		run_dir = conf_run_dir(o->file, &errors);
		if (run_dir) {
			n = snprintf(to->sun_path, sizeof(to->sun_path), "%s/control.sock", run_dir);
		} else {
			fwrite(errors.text.at, 1, errors.text.n, stderr);
			ctl_complain("%s: the socket is not known; name it with --control", o->file);
			code = CTL_CONFIGURATION;
		}
		free(run_dir);
		conf_errors_release(&errors);
	}
	if (n >= (int)sizeof(to->sun_path)) {
		ctl_complain("the name of the control socket is too long");
		code = CTL_USAGE;
	}
	return code;
}

static int no_answer(int fd, const char *path, const char *why)
{
	ctl_complain("%s: %s", path, why);
	if (fd >= 0)
		close(fd);
	return CTL_TEMPORARY;
}

static bool answer_read(int fd, struct buf *answer)
{
	unsigned char *room;

	while ((room = buf_room(answer, 4096)) != NULL) {
		ssize_t n = recv(fd, room, 4096, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		buf_grew(answer, (size_t)n);
		if (answer->at[answer->n - 1] == '\n')
			return true;
	}
	return false;
}

json_t *control_ask(const struct control *o, const char *request, int *code_out)
{
	struct timeval limit = { .tv_sec = ANSWER_S };
	struct sockaddr_un to;
	json_t *answer = NULL;
	struct buf text;
	int fd;

	*code_out = address_find(o, &to);
	if (*code_out != CTL_DONE)
		return NULL;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		*code_out = no_answer(fd, to.sun_path, errno == ENOENT || errno == ECONNREFUSED ? "no daemon runs here" : strerror(errno));
		return NULL;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	buf_init(&text, ANSWER_OCTETS);
	if (send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request) && answer_read(fd, &text))
		answer = json_loadb((const char *)text.at, text.n, 0, NULL);
	buf_release(&text);
	if (!answer) {
		*code_out = no_answer(fd, to.sun_path, "the daemon gave no answer");
		return NULL;
	}
	close(fd);
	return answer;
}

const char *control_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "?";
}

long long control_number(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

static void print_process(const json_t *p)
{
	printf("process %lld %s %lld generation %lld%s, up %lld s", control_number(p, "pid"), control_text(p, "role"), control_number(p, "index"),
	    control_number(p, "generation"), json_is_true(json_object_get(p, "ready")) ? "" : " (not ready)", control_number(p, "up_s"));
	if (json_object_get(p, "sessions"))
		printf(", %lld session%s", control_number(p, "sessions"), control_number(p, "sessions") == 1 ? "" : "s");
	if (control_number(p, "deaths"))
		printf(", died %lld time%s", control_number(p, "deaths"), control_number(p, "deaths") == 1 ? "" : "s");
	printf("\n");
}

static void print_queue(const json_t *queue)
{
	const json_t *one;
	size_t i;

	if (!json_is_object(queue))
		return;
	printf("queue %lld message%s, %lld held; copies: %lld waiting, %lld of them tried before, %lld on their way%s\n",
	    control_number(queue, "messages"), control_number(queue, "messages") == 1 ? "" : "s", control_number(queue, "held"),
	    control_number(queue, "waiting"), control_number(queue, "deferred"), control_number(queue, "active"),
	    json_is_true(json_object_get(queue, "ready")) ? "" : "; the spool is being read");
	json_array_foreach(json_object_get(queue, "destinations"), i, one) {
		printf("destination %s, %lld waiting, %lld of %lld on their way", control_text(one, "name"), control_number(one, "waiting"),
		    control_number(one, "active"), control_number(one, "limit"));
		if (control_number(one, "dead_s"))
			printf(", not reached, tried again in %lld s", control_number(one, "dead_s"));
		printf("\n");
	}
	if (control_number(queue, "more"))
		printf("and %lld destinations more\n", control_number(queue, "more"));
}

static void print_status(const json_t *status)
{
	const json_t *one;
	const char *name;
	json_t *value;
	size_t i;

	printf("hopseal %s on %s, process %lld, up %lld s, %s\n", control_text(status, "version"), control_text(status, "hostname"),
	    control_number(status, "pid"), control_number(status, "uptime_s"), control_text(status, "configuration"));
	json_array_foreach(json_object_get(status, "listeners"), i, one)
		printf("listener %s %s %s %s\n", control_text(one, "name"), control_text(one, "address"), control_text(one, "service"),
		    control_text(one, "mode"));
	json_array_foreach(json_object_get(status, "next_hops"), i, one)
		printf("next hop %s of %s %s, %lld connection%s, %lld idle\n", control_text(one, "name"), control_text(one, "listener"),
		    control_text(one, "state"), control_number(one, "connections"), control_number(one, "connections") == 1 ? "" : "s",
		    control_number(one, "idle"));
	json_array_foreach(json_object_get(status, "generations"), i, one)
		printf("generation %lld %s, up %lld s, %lld session%s\n", control_number(one, "number"), control_text(one, "state"),
		    control_number(one, "up_s"), control_number(one, "sessions"), control_number(one, "sessions") == 1 ? "" : "s");
	json_array_foreach(json_object_get(status, "processes"), i, one)
		print_process(one);
	json_array_foreach(json_object_get(status, "waiting"), i, one)
		printf("dead %s %lld generation %lld, started again in %lld s, died %lld times\n", control_text(one, "role"), control_number(one, "index"),
		    control_number(one, "generation"), control_number(one, "restart_s"), control_number(one, "deaths"));
	print_queue(json_object_get(status, "queue"));
	one = json_object_get(status, "reload");
	if (json_is_true(json_object_get(one, "ok")))
		printf("reload done %lld s ago\n", control_number(one, "ago_s"));
	else if (one)
		printf("reload refused %lld s ago: %s\n", control_number(one, "ago_s"), control_text(one, "error"));
	json_object_foreach(json_object_get(status, "counters"), name, value)
		printf("%s %lld\n", name, (long long)json_integer_value(value));
}

int control_refused(const json_t *answer, const char *verb)
{
	const char *error = json_string_value(json_object_get(answer, "error"));

	if (!error)
		return CTL_DONE;
	ctl_complain("%s refused, the daemon goes on with what it had:", verb);
	fprintf(stderr, "%s\n", error);
	return CTL_CONFIGURATION;
}

int ctl_status(int argc, char **argv)
{
	struct control o = { .file = CONF_PATH };
	int code = options_read(&o, argc, argv);
	json_t *status = code == CTL_DONE ? control_ask(&o, "status\n", &code) : NULL;

	if (!status)
		return code;
	code = control_refused(status, "status");
	if (code == CTL_DONE && o.json)
		ctl_print_json(json_incref(status));
	else if (code == CTL_DONE)
		print_status(status);
	json_decref(status);
	return ctl_end(code);
}

int ctl_reload(int argc, char **argv)
{
	struct control o = { .file = CONF_PATH };
	int code = options_read(&o, argc, argv);
	json_t *answer = code == CTL_DONE ? control_ask(&o, "reload\n", &code) : NULL;

	if (!answer)
		return code;
	code = control_refused(answer, "reload");
	if (o.json)
		ctl_print_json(json_incref(answer));
	json_decref(answer);
	return ctl_end(code);
}
