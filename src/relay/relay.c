/*
 * relay.c - a worker's listeners, next hops and sessions together: start, drain, clock.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "net/dovecot.h"
#include "out/log.h"
#include "relay/relay.h"
#include "spool/store.h"

/* As long as pool.connect has by default, and less than the supervisor waits for its workers. */
enum { PROBES_MS = 10000 };

static void on_connection(void *arg, int fd, const struct sockaddr_storage *from, socklen_t from_len)
{
	(void)from_len;
	pair_accept(arg, fd, from);
}

uint64_t relay_start_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return ((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000) & ((1ULL << 44) - 1);
}

int64_t relay_unix_s(const struct relay *r)
{
	return r->conf->dkim2.now >= 0 ? r->conf->dkim2.now : (int64_t)time(NULL);
}

static bool make_next_hops(struct relay_listener *rl, size_t *shown)
{
	struct relay *r = rl->relay;

	if (rl->conf->mode == MODE_QUEUE) { /* the queue process speaks to them */
		*shown += rl->conf->next_hop_count;
		return true;
	}
	rl->next_hops = calloc(rl->conf->next_hop_count, sizeof(*rl->next_hops));
	for (size_t i = 0; rl->next_hops && i < rl->conf->next_hop_count; i++) {
		rl->next_hops[i] = next_hop_new(r->loop, r->ask, r->conf, rl->conf, &rl->conf->next_hops[i], r->counts, r->slot);
		if (!rl->next_hops[i])
			return false;
		next_hop_show(rl->next_hops[i], count_hop(r->counts, r->slot, (*shown)++));
		rl->next_hop_count++;
	}
	if (rl->next_hops)
		hop_watch(rl);
	return rl->next_hops != NULL;
}

bool relay_by_field(const struct relay_listener *l)
{
	return l->conf->requiretls == REQUIRETLS_HEADER && !l->conf->shadow;
}

static bool make_tls(struct relay_listener *rl)
{
	static const enum tls_ask asks[] = { [CLIENT_CERTIFICATE_NONE] = TLS_ASK_NONE, [CLIENT_CERTIFICATE_ASK] = TLS_ASK_MAY,
		[CLIENT_CERTIFICATE_REQUIRE] = TLS_ASK_MUST };
	const struct conf_tls *tls = &rl->conf->tls;
	struct tls_pem *pems = calloc(tls->certificate_count, sizeof(*pems));
	struct tls_server server = { .pems = pems, .pem_count = tls->certificate_count, .ask = asks[tls->client_certificate],
		.client_trust = tls->client_ca ? buf_get(&tls->client_ca->held) : SLICE_NONE };
	const char *why = "no memory";

	for (size_t i = 0; pems && i < tls->certificate_count; i++)
		pems[i] = (struct tls_pem){ buf_get(&tls->certificates[i].chain.held), buf_get(&tls->certificates[i].key.held) };
	if (pems)
		rl->tls = tls_context_server(&server, &why);
	free(pems);
	if (!rl->tls)
		log_note(LOG_LEVEL_ERROR, "start_failed", "listener.%s.tls: %s", rl->conf->name, why);
	return rl->tls != NULL;
}

/* Where messages of mode queue go; the budget keeps its own descriptor for bodies on their way. */
static bool make_store(struct relay *r, int spool_fd)
{
	struct store_conf conf = { .reserve_octets = r->conf->spool_reserve_octets, .counts = r->counts, .slot = r->slot };
	char why[256] = "no descriptor";
	bool wanted = false;

	for (size_t i = 0; i < r->conf->listener_count; i++)
		wanted = wanted || r->conf->listeners[i].mode == MODE_QUEUE;
	if (!wanted)
		return true;
	conf.dir_fd = fcntl(spool_fd, F_DUPFD_CLOEXEC, 0);
	if (conf.dir_fd >= 0)
		r->store = store_new(r->loop, &conf, why);
	if (!r->store)
		log_note(LOG_LEVEL_ERROR, "start_failed", "%s: %s", r->conf->spool_dir, why);
	return r->store != NULL;
}

void relay_set_queue(struct relay *r, int fd)
{
	if (r->store)
		store_set_queue(r->store, fd);
	else if (fd >= 0)
		close(fd);
}

struct relay *relay_new(struct loop *l, const struct conf *conf, struct ask *ask, struct count_page *counts, unsigned slot,
    const int *listen_fds, size_t listen_count, int spool_fd)
{
	struct relay *r = calloc(1, sizeof(*r));
	struct rlimit files;
	size_t at = 0, shown = 0;

	if (!r)
		return NULL;
	*r = (struct relay){ .loop = l, .conf = conf, .ask = ask, .counts = counts, .slot = slot, .start_ms = relay_start_ms() };
	/* Bodies may have half of this worker's share: the rest is for headers and for parsing them. */
	r->budget = (struct hold_budget){ .conf = conf, .spool_fd = spool_fd, .body_octets = conf->limits.memory_octets / conf->workers / 2,
		.ceiling_octets = conf->limits.memory_octets / conf->workers, .counts = counts, .slot = slot };
	r->crowd = (conf->limits.sessions * 9 + conf->workers * 10 - 1) / (conf->workers * 10);
	clients_start(&r->clients, counts, slot);
	/* The last quarter is for what sessions under way need: their next hop, a body file. */
	r->fd_max = getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < INT_MAX ? (int)(files.rlim_cur - files.rlim_cur / 4) : INT_MAX;
	r->listeners = calloc(conf->listener_count, sizeof(*r->listeners));
	if (!r->listeners)
		goto fail;
	for (size_t i = 0; i < conf->listener_count; i++) {
		struct relay_listener *rl = &r->listeners[i];

		rl->relay = r;
		rl->conf = &conf->listeners[i];
		rl->srv = (struct srv_conf){ .hostname = slice_str(conf->hostname), .rcpt_max = LIMIT_RCPT,
			.rcpt_told = rl->conf->mode == MODE_PROXY && rl->conf->sealing && !rl->conf->share_all && !rl->conf->shadow ? 1 : 0 };
		if (rl->conf->tls.mode != TLS_NONE && !make_tls(rl))
			return NULL;
		if (rl->conf->auth.dovecot && !(rl->dovecot = dovecot_new(l, rl->conf->auth.dovecot)))
			goto fail;
		rl->sockets = calloc(rl->conf->address_count, sizeof(*rl->sockets));
		if (!make_next_hops(rl, &shown) || !rl->sockets)
			goto fail;
		for (size_t k = 0; k < rl->conf->address_count && at < listen_count; k++, at++)
			if (!listen_start(&rl->sockets[rl->socket_count++], l, listen_fds[at], on_connection, rl))
				goto fail;
	}
	if (!make_store(r, spool_fd))
		return NULL;
	conf_forget_tls(conf); /* the contexts have what is needed */
	return r;
fail:
	/* The caller leaves the process; what was made goes with it. */
	log_note(LOG_LEVEL_ERROR, "oom", "no memory for listeners");
	return NULL;
}

static void ready(void *arg)
{
	struct relay *r = arg;
	void (*on)(void *arg) = r->ready;

	r->ready = NULL;
	loop_timer_stop(&r->probes);
	if (on)
		on(r->ready_arg);
}

static void on_probed(void *arg)
{
	struct relay *r = arg;

	if (--r->unprobed == 0)
		ready(r);
}

void relay_on_ready(struct relay *r, void (*on)(void *arg), void *arg)
{
	r->ready = on;
	r->ready_arg = arg;
	for (size_t i = 0; i < r->conf->listener_count; i++)
		for (size_t k = 0; k < r->listeners[i].next_hop_count; k++, r->unprobed++)
			next_hop_on_probe(r->listeners[i].next_hops[k], on_probed, r);
	if (r->unprobed == 0 || !loop_timer_set(r->loop, &r->probes, PROBES_MS, ready, r))
		ready(r);
}

static void close_idle(void *arg)
{
	struct relay *r = arg;
	struct pair *next;

	r->closing = true;
	for (struct pair *p = r->pairs; p; p = next) {
		next = p->next; /* a session that ends is freed at the end of the turn, its neighbour stays */
		pair_go_on(p);
	}
}

void relay_drain(struct relay *r, unsigned seconds, void (*empty)(void *arg), void *arg)
{
	if (!r->draining)
		for (size_t i = 0; i < r->conf->listener_count; i++)
			for (size_t k = 0; k < r->listeners[i].socket_count; k++)
				listen_stop(&r->listeners[i].sockets[k]);
	r->draining = true;
	r->empty = empty;
	r->empty_arg = arg;
	if (r->pair_count == 0)
		empty(arg);
	else if (seconds == 0)
		close_idle(r);
	else
		loop_timer_set(r->loop, &r->drain, (int64_t)seconds * 1000, close_idle, r);
}
