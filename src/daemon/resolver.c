/*
 * resolver.c - the one process that asks the DNS (proto/resolver.md). A worker's questions end with its descriptor.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "config/answers.h"
#include "daemon/resolver_dns.h"
#include "daemon/sandbox.h"
#include "daemon/serve.h"
#include "out/log.h"

enum {
	EXIT_CONFIG = 78,           /* sysexits.h */
	EXIT_SYSTEM = 71,
	ANSWERS_OCTETS = 16777216,  /* of an offline file */
	ANSWERS_TTL_S = 60,         /* what they are good for */
	QUESTION_MAX_MS = 120000,
};

struct question {
	struct question *prev, *next; /* of its client */
	struct serve_client *client;
	struct dns_query *query;
	uint64_t ticket;
	uint16_t qtype;
};

/* What a client has open. */
struct asked {
	struct question *first;
	size_t n;
};

struct resolver {
	struct loop *loop;
	struct resolver_dns *dns; /* or */
	struct answers *answers;
};

static void send_answer(struct serve_client *c, const struct ipc_answer *a)
{
	/*
	 * The second time into an empty packet, where all that a DNS message can hold has room, but for thousands of names that
	 * were compressed in it. A part of the records would be a false answer, none of them too: it is a failure.
	 */
	struct ipc_answer failed = { .ticket = a->ticket, .qtype = a->qtype, .status = DNS_SERVFAIL };
	struct buf *out = serve_out(c);

	if (out == NULL || ipc_add_answer(out, a))
		return;
	serve_flush(c);
	out = serve_out(c);
	if (out == NULL || ipc_add_answer(out, a))
		return;
	buf_clear(out);
	out = serve_out(c);
	if (out != NULL)
		(void)ipc_add_answer(out, &failed);
}

static void question_free(struct question *q)
{
	struct asked *asked = q->client->own;

	*(q->prev != NULL ? &q->prev->next : &asked->first) = q->next;
	if (q->next != NULL)
		q->next->prev = q->prev;
	asked->n--;
	free(q);
}

static void on_answer(void *arg, const struct dns_answer *answer)
{
	struct question *q = arg;

	send_answer(q->client, &(struct ipc_answer){ .ticket = q->ticket, .qtype = q->qtype, .status = answer->status,
	    .secure = answer->secure, .ttl_s = answer->ttl_s, .records = answer->records, .record_count = answer->count });
	question_free(q);
}

static bool ask_dns(struct resolver *r, struct serve_client *c, const struct ipc_question *question)
{
	struct asked *asked = c->own;
	struct question *q = asked->n < LIMIT_DNS_PENDING ? calloc(1, sizeof(*q)) : NULL;

	if (q == NULL)
		return false;
	q->client = c;
	q->ticket = question->ticket;
	q->qtype = question->qtype;
	q->query = resolver_dns_ask(r->dns, question->name, question->qtype,
	    question->timeout_ms < QUESTION_MAX_MS ? question->timeout_ms : QUESTION_MAX_MS, on_answer, q);
	if (q->query == NULL) {
		free(q);
		return false;
	}
	q->next = asked->first;
	if (asked->first != NULL)
		asked->first->prev = q;
	asked->first = q;
	asked->n++;
	return true;
}

static void ask_file(struct resolver *r, struct serve_client *c, const struct ipc_question *question)
{
	struct ipc_answer a = { .ticket = question->ticket, .qtype = question->qtype, .ttl_s = ANSWERS_TTL_S };
	struct arena scratch;

	arena_init(&scratch, ANSWERS_OCTETS);
	a.status = answers_wire(r->answers, &scratch, question->name, question->qtype, &a.records, &a.record_count, &a.secure);
	if (a.status != DNS_OK)
		a.record_count = 0;
	send_answer(c, &a);
	arena_clear(&scratch);
}

static void on_packet(void *arg, struct serve_client *c, struct slice packet)
{
	struct resolver *r = arg;
	struct ipc_question q;
	struct ipc_in in;

	if (!ipc_open(packet, IPC_QUESTIONS, &in)) {
		serve_garbage(c, packet);
		return;
	}
	while (ipc_next_question(&in, &q)) {
		if (r->answers != NULL)
			ask_file(r, c, &q);
		else if (!ask_dns(r, c, &q))
			send_answer(c, &(struct ipc_answer){ .ticket = q.ticket, .qtype = q.qtype, .status = DNS_SERVFAIL });
	}
}

static bool on_came(void *arg, struct serve_client *c)
{
	(void)arg;
	c->own = calloc(1, sizeof(struct asked));
	return c->own != NULL;
}

static void on_gone(void *arg, struct serve_client *c)
{
	struct asked *asked = c->own;

	(void)arg;
	while (asked != NULL && asked->first != NULL) {
		resolver_dns_cancel(asked->first->query);
		question_free(asked->first);
	}
	free(asked);
}

static void on_warning(void *arg, const char *text)
{
	(void)arg;
	log_note(LOG_LEVEL_WARNING, "dns_warning", "%s", text);
}

static struct answers *read_answers(const char *file)
{
	struct answers *answers = NULL;
	struct buf text, error;
	ssize_t n = -1;
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	buf_init(&text, ANSWERS_OCTETS);
	buf_init(&error, 4096);
	while (fd >= 0) {
		unsigned char *at = buf_room(&text, 65536);

		if (at == NULL || (n = read(fd, at, 65536)) <= 0)
			break;
		buf_grew(&text, (size_t)n);
	}
	if (n != 0 || buf_failed(&text)) {
		log_note(LOG_LEVEL_ERROR, "dns_answers", "%s: %s", file, buf_failed(&text) ? "too big" : "cannot be read");
	} else {
		answers = answers_new(buf_get(&text), &error);
		if (answers == NULL)
			log_note(LOG_LEVEL_ERROR, "dns_answers", "%s: %.*s", file, SLICE_FMT(slice_trim(buf_get(&error))));
	}
	if (fd >= 0)
		close(fd);
	buf_release(&text);
	buf_release(&error);
	return answers;
}

int resolver_main(const struct child_args *args)
{
	static const struct serve_ops ops = { .out_kind = IPC_ANSWERS, .packet = on_packet, .came = on_came, .gone = on_gone };
	const struct conf *conf = args->conf;
	struct resolver r = { 0 };
	struct serve *s = NULL;
	int code = EXIT_SYSTEM;
	char error[256] = "no memory";

	serve_start(args, "resolver");
	r.loop = loop_new();
	if (r.loop != NULL && conf->dns.answers != NULL)
		r.answers = read_answers(conf->dns.answers);
	else if (r.loop != NULL &&
	    (r.dns = resolver_dns_new(r.loop, conf->dns.resolver, conf->dns.trust_anchor, on_warning, NULL, error)) == NULL)
		log_note(LOG_LEVEL_ERROR, "dns_setup", "%s", error);
	if (r.answers == NULL && r.dns == NULL) {
		loop_free(&r.loop);
		return EXIT_CONFIG;
	}
	if (!child_drop(args))
		log_note(LOG_LEVEL_ERROR, "drop_privileges", "%m");
	else
		s = serve_new(r.loop, args, &ops, &r);
	serve_settle();
	if (s != NULL && !sandbox_enter(SANDBOX_RESOLVER, conf, -1, r.dns != NULL ? resolver_dns_anchor(r.dns) : NULL)) {
		log_note(LOG_LEVEL_ERROR, "start_failed", "sandbox: %m");
	} else if (s != NULL) {
		serve_run(s);
		code = 0;
	}
	serve_free(&s);
	resolver_dns_free(&r.dns);
	answers_free(&r.answers);
	loop_free(&r.loop);
	return code;
}
