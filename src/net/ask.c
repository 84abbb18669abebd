/*
 * ask.c - what a worker wants from resolver and keeper, and who waits for it.
 *
 * A `wait` is one ticket. Waits for the same name and type hang on one `name`, which is a question while it has no record and
 * a cache entry afterwards. Questions and signature requests stand in their peer's list in the order they were asked: that is
 * the order of their deadlines, and those not yet sent are its tail.
 */
#include "net/ask.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/limits.h"
#include "base/map.h"
#include "net/ipc.h"
#include "net/ticket.h"
#include "net/trouble.h"
#include "out/log.h"

enum {
	TTL_MIN_S = 5,
	TTL_MAX_S = 86400,
	TTL_NEGATIVE_MAX_S = 300,
	TTL_UNREACHABLE_S = 1,
	KEEPER_PATIENCE_MS = 5000, /* how long signatures wait for a new keeper */
};

struct open {
	struct open *prev, *next;
	uint64_t id; /* the ticket in the message */
	int64_t deadline_ms;
	bool again; /* a process died with it; it may be asked once more, not for ever */
	bool addresses; /* it is that of a struct addresses, else of a struct name or sign */
	uint16_t qtype; /* of a question */
};

struct wait_list;

struct wait {
	struct wait *prev, *next;
	struct wait_list *list; /* NULL: in none */
	uint64_t ticket;
	void *arg;
	bool addresses; /* it is the first member of a struct addresses */
	void (*on_dns)(void *arg, struct dnsrec *rec); /* else NULL: of a struct sign */
	struct dnsrec *rec;                            /* once answered */
};

struct wait_list {
	struct wait *first, *last;
	size_t n;
};

struct name {
	struct open open;
	struct wait_list waits;
	struct dnsrec *rec; /* NULL: asked */
	int64_t expires_ms;
	struct name *newer, *older; /* in the cache, by last use */
	size_t octets;
	unsigned char key[]; /* an octet of type, the name */
};

struct sign {
	struct wait wait;
	struct open open;
	void (*on)(void *arg, struct slice signature, bool refused);
	enum key_type type;
	unsigned char digest[32];
	size_t domain_octets, selector_octets;
	unsigned char text[]; /* domain, selector */
};

struct addresses {
	struct wait wait;
	struct open open; /* id 0: answered */
	void (*on)(void *arg, const struct ask_addresses *got);
	struct ask_addresses got;
	size_t octets;
	unsigned char text[];
};

struct peer {
	struct ask *ask;
	int fd;
	struct loop_io io;
	struct loop_timer deadline;
	unsigned patience_ms;     /* what is asked waits so long for a new one */
	struct loop_timer patience;
	bool hopeless;            /* and no longer: what is asked fails at once */
	bool down;                /* told that it is away */
	const char *down_event, *up_event;
	struct open *first, *last;
	struct open *unsent; /* from here to last; NULL: all sent */
	size_t n;
	bool (*add)(struct buf *packet, struct open *o, int64_t now_ms);
	void (*receive)(struct ask *a, struct slice packet);
	void (*fail)(struct ask *a, struct open *o, unsigned ttl_s);
};

struct ask {
	struct loop *loop;
	unsigned dns_timeout_ms;
	struct peer resolver, keeper;
	struct tickets waits, questions;
	struct map names;
	struct name *newest, *oldest; /* of the cache */
	size_t cached, cache_max, cached_octets;
	struct wait_list ready; /* for the end of this turn */
	struct loop_later later;
	struct dnsrec *unreachable[2]; /* [1]: a key record */
	struct count_page *counts; /* NULL: not counted */
	unsigned slot;
	struct trouble timeouts, failures, bogus;
	struct buf packet;
	unsigned char *received; /* LIMIT_IPC octets */
};

static struct name *name_of(struct open *o)
{
	return (struct name *)(void *)((unsigned char *)o - offsetof(struct name, open));
}

static struct sign *sign_of(struct open *o)
{
	return (struct sign *)(void *)((unsigned char *)o - offsetof(struct sign, open));
}

static struct addresses *addresses_of(struct open *o)
{
	return (struct addresses *)(void *)((unsigned char *)o - offsetof(struct addresses, open));
}

static void on_later(void *arg);

static void count(struct ask *a, enum count what)
{
	if (a->counts != NULL)
		count_add(a->counts, a->slot, what, 1);
}

static void later(struct ask *a)
{
	loop_later(a->loop, &a->later, on_later, a);
}

/* lists */

static void wait_remove(struct wait *w)
{
	struct wait_list *list = w->list;

	if (list == NULL)
		return;
	*(w->prev != NULL ? &w->prev->next : &list->first) = w->next;
	*(w->next != NULL ? &w->next->prev : &list->last) = w->prev;
	list->n--;
	w->list = NULL;
}

static void wait_append(struct wait_list *list, struct wait *w)
{
	w->list = list;
	w->prev = list->last;
	w->next = NULL;
	*(list->last != NULL ? &list->last->next : &list->first) = w;
	list->last = w;
	list->n++;
}

static void on_deadline(void *arg);

static void peer_append(struct peer *p, struct open *o, unsigned after_ms)
{
	struct loop *l = p->ask->loop;

	o->deadline_ms = loop_now_ms(l) + after_ms;
	o->prev = p->last;
	o->next = NULL;
	*(p->last != NULL ? &p->last->next : &p->first) = o;
	p->last = o;
	p->n++;
	if (p->unsent == NULL)
		p->unsent = o;
	later(p->ask);
}

static void peer_remove(struct peer *p, struct open *o)
{
	if (p->unsent == o)
		p->unsent = o->next;
	*(o->prev != NULL ? &o->prev->next : &p->first) = o->next;
	*(o->next != NULL ? &o->next->prev : &p->last) = o->prev;
	p->n--;
}

/* peers */

static void on_peer(void *arg, unsigned what);

static void peer_close(struct peer *p)
{
	if (p->fd >= 0) {
		loop_io_stop(&p->io);
		close(p->fd);
	}
	p->fd = -1;
}

static void peer_fail_all(struct peer *p)
{
	while (p->first != NULL)
		p->fail(p->ask, p->first, 0);
	loop_timer_stop(&p->deadline);
}

static void on_patience(void *arg)
{
	struct peer *p = arg;

	if (p->fd >= 0) /* a new one has come */
		return;
	p->hopeless = true;
	peer_fail_all(p);
}

/* What it owed is asked again, once: a question that kills who reads it must not kill his successors too. */
static void peer_lost(struct peer *p)
{
	struct open *next;

	peer_close(p);
	for (struct open *o = p->first; o != p->unsent; o = next) {
		next = o->next;
		if (o->again)
			p->fail(p->ask, o, 0);
		else
			o->again = true;
	}
	p->unsent = p->first;
	if (!p->down) {
		log_note(LOG_LEVEL_WARNING, p->down_event, "%zu asked and not answered", p->n);
		p->down = true;
	}
	if (p->patience.due_ms == 0 && !p->hopeless &&
	    !loop_timer_set(p->ask->loop, &p->patience, p->patience_ms, on_patience, p))
		on_patience(p);
}

static void peer_up(struct peer *p)
{
	if (!p->down)
		return;
	p->down = false;
	loop_timer_stop(&p->patience);
	log_note(LOG_LEVEL_INFO, p->up_event, "answers again");
}

static void peer_set(struct peer *p, int fd)
{
	if (p->fd >= 0 || fd < 0)
		peer_lost(p);
	p->fd = fd;
	p->hopeless &= fd < 0;
	if (fd >= 0 && !loop_io_want(p->ask->loop, &p->io, fd, LOOP_READ, on_peer, p))
		peer_lost(p);
	else if (p->first != NULL)
		later(p->ask);
}

/* Sends what stands unsent, as many of it a packet as fit. */
static void peer_flush(struct peer *p)
{
	struct ask *a = p->ask;
	int64_t now_ms = loop_now_ms(a->loop);

	while (p->fd >= 0 && p->unsent != NULL) {
		struct open *o;
		ssize_t sent;

		buf_clear(&a->packet);
		ipc_begin(&a->packet, p == &a->resolver ? IPC_QUESTIONS : IPC_SIGN);
		for (o = p->unsent; o != NULL && p->add(&a->packet, o, now_ms); o = o->next)
			;
		if (o == p->unsent) { /* no memory */
			p->fail(a, o, 0);
			continue;
		}
		do
			sent = send(p->fd, a->packet.at, a->packet.n, MSG_DONTWAIT | MSG_NOSIGNAL);
		while (sent < 0 && errno == EINTR);
		if (sent < 0) {
			if ((errno != EAGAIN && errno != ENOBUFS) ||
			    !loop_io_want(a->loop, &p->io, p->fd, LOOP_READ | LOOP_WRITE, on_peer, p))
				peer_lost(p);
			return;
		}
		p->unsent = o;
	}
}

static void peer_deadline(struct peer *p)
{
	int64_t now_ms = loop_now_ms(p->ask->loop);

	/* One set for a question that has gone fires early and is set anew. Without memory the questions are lost, not forgotten. */
	if (p->first != NULL && p->deadline.due_ms == 0 &&
	    !loop_timer_set(p->ask->loop, &p->deadline, p->first->deadline_ms - now_ms, on_deadline, p))
		peer_fail_all(p);
}

static void on_deadline(void *arg)
{
	struct peer *p = arg;
	int64_t now_ms = loop_now_ms(p->ask->loop);

	while (p->first != NULL && p->first->deadline_ms <= now_ms)
		p->fail(p->ask, p->first, TTL_UNREACHABLE_S);
	peer_deadline(p);
}

/* The end of a turn. */
static void peer_turn(struct peer *p)
{
	if ((p->io.wants & LOOP_WRITE) == 0)
		peer_flush(p);
	peer_deadline(p);
}

static void on_peer(void *arg, unsigned what)
{
	struct peer *p = arg;
	struct ask *a = p->ask;
	ssize_t n;

	if (what == LOOP_WRITE) {
		loop_io_want(a->loop, &p->io, p->fd, LOOP_READ, on_peer, p);
		peer_flush(p);
		return;
	}
	n = recv(p->fd, a->received, LIMIT_IPC, MSG_DONTWAIT | MSG_TRUNC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		peer_lost(p);
	else if (n <= LIMIT_IPC) {
		peer_up(p);
		p->receive(a, slice_of(a->received, (size_t)n));
	}
}

/* the cache */

static void name_free(void *value)
{
	struct name *n = value;

	dnsrec_drop(&n->rec);
	free(n);
}

static struct slice name_key(const struct name *n)
{
	return slice_of(n->key, n->octets);
}

static struct slice name_text(const struct name *n)
{
	return slice_sub(name_key(n), 1, SIZE_MAX);
}

static size_t name_charge(const struct name *n)
{
	return sizeof(*n) + n->octets + n->rec->octets;
}

static void cache_unlink(struct ask *a, struct name *n)
{
	*(n->newer != NULL ? &n->newer->older : &a->newest) = n->older;
	*(n->older != NULL ? &n->older->newer : &a->oldest) = n->newer;
	a->cached--;
	a->cached_octets -= name_charge(n);
}

static void cache_link(struct ask *a, struct name *n)
{
	n->newer = NULL;
	n->older = a->newest;
	*(a->newest != NULL ? &a->newest->newer : &a->oldest) = n;
	a->newest = n;
	a->cached++;
	a->cached_octets += name_charge(n);
}

static void cache_drop(struct ask *a, struct name *n)
{
	cache_unlink(a, n);
	map_take(&a->names, name_key(n));
	name_free(n);
}

/* The entry or open question of that key; one whose time is over is gone. */
static struct name *name_find(struct ask *a, struct slice key)
{
	struct name *n = map_get(&a->names, key);

	if (n == NULL || n->rec == NULL)
		return n;
	if (n->expires_ms <= loop_now_ms(a->loop)) {
		cache_drop(a, n);
		return NULL;
	}
	cache_unlink(a, n);
	cache_link(a, n);
	return n;
}

/* Takes over rec and keeps it for ttl_s; 0: not at all. */
static void name_answer(struct ask *a, struct name *n, struct dnsrec *take_rec, unsigned ttl_s)
{
	struct wait *w;

	peer_remove(&a->resolver, &n->open);
	ticket_take(&a->questions, n->open.id);
	while ((w = n->waits.first) != NULL) {
		w->rec = dnsrec_hold(take_rec);
		wait_remove(w);
		wait_append(&a->ready, w);
	}
	n->rec = take_rec;
	n->expires_ms = loop_now_ms(a->loop) + (int64_t)ttl_s * 1000;
	cache_link(a, n);
	if (ttl_s == 0)
		cache_drop(a, n);
	later(a);
}

/* questions */

static struct slice open_name(struct open *o)
{
	return o->addresses ? slice_of(addresses_of(o)->text, addresses_of(o)->octets) : name_text(name_of(o));
}

static bool question_add(struct buf *packet, struct open *o, int64_t now_ms)
{
	int64_t left_ms = o->deadline_ms - now_ms;

	return ipc_add_question(packet, &(struct ipc_question){ .ticket = o->id, .qtype = o->qtype,
	    .timeout_ms = (uint32_t)(left_ms > 0 ? left_ms : 0), .name = open_name(o) });
}

static enum dnsrec_type name_type(const struct name *n)
{
	return (enum dnsrec_type)n->key[0];
}

static struct dnsrec *unreachable(struct ask *a, enum dnsrec_type type)
{
	return dnsrec_hold(a->unreachable[type == DNSREC_KEY]);
}

static void addresses_answer(struct ask *a, struct addresses *d, const struct ask_addresses *got)
{
	peer_remove(&a->resolver, &d->open);
	ticket_take(&a->questions, d->open.id);
	d->open.id = 0;
	d->got = *got;
	wait_append(&a->ready, &d->wait);
	later(a);
}

static void question_fail(struct ask *a, struct open *o, unsigned ttl_s)
{
	count(a, COUNT_DNS_FAILED);
	if (ttl_s)
		trouble_comes(&a->timeouts, "dns_timeout", open_name(o), NULL, loop_now_ms(a->loop));
	if (o->addresses)
		addresses_answer(a, addresses_of(o), &(struct ask_addresses){ .status = DNS_TIMEOUT });
	else
		name_answer(a, name_of(o), unreachable(a, name_type(name_of(o))), ttl_s);
}

/* Each kind of failure by itself: that one zone is bogus must not hide that nothing is answered at all. */
static void watch_answer(struct ask *a, struct slice name, enum dns_status status)
{
	int64_t now_ms = loop_now_ms(a->loop);

	if (status != DNS_OK && status != DNS_NXDOMAIN && status != DNS_NODATA)
		count(a, COUNT_DNS_FAILED);
	switch (status) {
	case DNS_TIMEOUT:
		trouble_comes(&a->timeouts, "dns_timeout", name, NULL, now_ms);
		break;
	case DNS_SERVFAIL:
		trouble_comes(&a->failures, "dns_temperror", name, NULL, now_ms);
		break;
	case DNS_BOGUS:
		trouble_comes(&a->bogus, "dns_bogus", name, NULL, now_ms);
		break;
	case DNS_OK:
	case DNS_NXDOMAIN:
	case DNS_NODATA:
		trouble_goes(&a->timeouts, "dns_timeout_over", now_ms);
		trouble_goes(&a->failures, "dns_temperror_over", now_ms);
		trouble_goes(&a->bogus, "dns_bogus_over", now_ms);
		break;
	}
}

static unsigned clamp(unsigned v, unsigned low, unsigned high)
{
	return v < low ? low : v > high ? high : v;
}

static unsigned ttl_of(enum dns_status status, unsigned ttl_s)
{
	switch (status) {
	case DNS_OK:
		return clamp(ttl_s, TTL_MIN_S, TTL_MAX_S);
	case DNS_NXDOMAIN:
	case DNS_NODATA:
		return clamp(ttl_s, TTL_MIN_S, TTL_NEGATIVE_MAX_S);
	case DNS_SERVFAIL:
	case DNS_BOGUS:
		return 0; /* the resolver keeps it for five seconds, and a second for each worker more would be too long */
	case DNS_TIMEOUT:
		break;
	}
	return TTL_UNREACHABLE_S;
}

static void name_receive(struct ask *a, struct name *n, struct ipc_answer *answer)
{
	struct slice *records = calloc(answer->record_count + 1, sizeof(*records));
	struct dnsrec *rec = NULL;
	size_t records_n = 0;

	if (records != NULL) {
		while (records_n < answer->record_count && ipc_record(answer, &records[records_n]))
			records_n++;
		rec = dnsrec_new(name_type(n), answer->status, records, records_n, answer->secure);
	}
	free(records);
	if (rec == NULL)
		question_fail(a, &n->open, 0);
	else
		name_answer(a, n, rec, ttl_of(rec->status, answer->ttl_s));
}

static void addresses_receive(struct ask *a, struct addresses *d, struct ipc_answer *answer)
{
	static const unsigned char v4_head[12] = { [10] = 0xff, [11] = 0xff };
	struct ask_addresses got = { .status = answer->status, .ttl_s = ttl_of(answer->status, answer->ttl_s) };
	bool v6 = d->open.qtype == IPC_TYPE_AAAA;
	struct slice record;

	while (got.count < LIMIT_ADDRESSES && ipc_record(answer, &record)) {
		unsigned char *at = got.at[got.count];

		if (record.n != (v6 ? 16 : 4))
			continue;
		if (!v6)
			memcpy(at, v4_head, sizeof(v4_head));
		memcpy(v6 ? at : at + sizeof(v4_head), record.at, record.n);
		got.count++;
	}
	if (got.status == DNS_OK && got.count == 0)
		got.status = DNS_SERVFAIL;
	addresses_answer(a, d, &got);
}

static void answers_receive(struct ask *a, struct slice packet)
{
	struct ipc_in in;
	struct ipc_answer answer;

	/* Nobody else holds the other end; what cannot be read is left to the deadline. */
	if (!ipc_open(packet, IPC_ANSWERS, &in))
		return;
	while (ipc_next_answer(&in, &answer)) {
		struct open *o = ticket_get(&a->questions, answer.ticket);

		if (o == NULL || answer.qtype != o->qtype)
			continue;
		watch_answer(a, open_name(o), answer.status);
		if (o->addresses)
			addresses_receive(a, addresses_of(o), &answer);
		else
			name_receive(a, name_of(o), &answer);
	}
}

static struct name *name_ask(struct ask *a, struct slice key)
{
	struct name *n = calloc(1, sizeof(*n) + key.n);

	if (n == NULL)
		return NULL;
	n->octets = key.n;
	memcpy(n->key, key.at, key.n);
	n->open.qtype = (uint16_t)dnsrec_qtype(name_type(n));
	n->open.id = ticket_new(&a->questions, &n->open);
	if (n->open.id == 0 || !map_put(&a->names, key, n, NULL)) {
		ticket_take(&a->questions, n->open.id);
		free(n);
		return NULL;
	}
	count(a, COUNT_DNS_QUESTIONS);
	peer_append(&a->resolver, &n->open, a->dns_timeout_ms);
	return n;
}

/* False: no question can carry that name. */
static bool key_of(enum dnsrec_type type, struct slice name, unsigned char out[1 + DNS_NAME_OCTETS], struct slice *key_out)
{
	if (name.n < 1 || name.n > DNS_NAME_OCTETS)
		return false;
	out[0] = (unsigned char)type;
	memcpy(out + 1, name.at, name.n);
	*key_out = slice_of(out, 1 + name.n);
	return true;
}

ask_ticket ask_dns(struct ask *a, enum dnsrec_type type, struct slice name, void (*on)(void *arg, struct dnsrec *rec), void *arg)
{
	unsigned char octets[1 + DNS_NAME_OCTETS];
	struct slice key = SLICE_NONE;
	bool can = key_of(type, name, octets, &key);
	struct name *n = can ? name_find(a, key) : NULL;
	struct wait *w = calloc(1, sizeof(*w));

	if (w == NULL || (w->ticket = ticket_new(&a->waits, w)) == 0) {
		free(w);
		return 0;
	}
	w->on_dns = on;
	w->arg = arg;
	if (n == NULL && can && a->resolver.n >= LIMIT_DNS_PENDING)
		trouble_comes(&a->failures, "dns_temperror", name, "too many questions are open", loop_now_ms(a->loop));
	else if (n == NULL && can && !a->resolver.hopeless)
		n = name_ask(a, key);
	if (n != NULL && n->rec == NULL) {
		wait_append(&n->waits, w);
	} else {
		w->rec = n != NULL ? dnsrec_hold(n->rec) : unreachable(a, type);
		wait_append(&a->ready, w);
		later(a);
	}
	return w->ticket;
}

struct dnsrec *ask_dns_cached(struct ask *a, enum dnsrec_type type, struct slice name)
{
	unsigned char octets[1 + DNS_NAME_OCTETS];
	struct slice key;
	struct name *n = key_of(type, name, octets, &key) ? name_find(a, key) : NULL;

	return n != NULL ? n->rec : NULL;
}

/* addresses */

ask_ticket ask_addresses(struct ask *a, struct slice name, bool v6, void (*on)(void *arg, const struct ask_addresses *got), void *arg)
{
	bool can = !a->resolver.hopeless && a->resolver.n < LIMIT_DNS_PENDING && name.n >= 1 && name.n <= 253;
	struct addresses *d = calloc(1, sizeof(*d) + (can ? name.n : 0));

	if (d == NULL || (d->wait.ticket = ticket_new(&a->waits, &d->wait)) == 0) {
		free(d);
		return 0;
	}
	d->wait.arg = arg;
	d->wait.addresses = d->open.addresses = true;
	d->on = on;
	d->got.status = DNS_TIMEOUT;
	d->open.qtype = v6 ? IPC_TYPE_AAAA : IPC_TYPE_A;
	if (can)
		d->open.id = ticket_new(&a->questions, &d->open);
	if (d->open.id == 0) {
		wait_append(&a->ready, &d->wait);
		later(a);
		return d->wait.ticket;
	}
	d->octets = name.n;
	memcpy(d->text, name.at, name.n);
	count(a, COUNT_DNS_QUESTIONS);
	peer_append(&a->resolver, &d->open, a->dns_timeout_ms);
	return d->wait.ticket;
}

/* signatures */

static bool sign_add(struct buf *packet, struct open *o, int64_t now_ms)
{
	const struct sign *s = sign_of(o);

	(void)now_ms;
	return ipc_add_sign(packet, &(struct ipc_sign){ .ticket = o->id, .type = s->type, .digest = s->digest,
	    .domain = slice_of(s->text, s->domain_octets),
	    .selector = slice_of(s->text + s->domain_octets, s->selector_octets) });
}

static void sign_fail(struct ask *a, struct open *o, unsigned ttl_s)
{
	(void)ttl_s;
	count(a, COUNT_SIGNATURES_FAILED);
	peer_remove(&a->keeper, o);
	o->id = 0;
	wait_append(&a->ready, &sign_of(o)->wait);
	later(a);
}

static void signed_receive(struct ask *a, struct slice packet)
{
	struct ipc_in in;
	struct ipc_signed got;

	if (!ipc_open(packet, IPC_SIGNED, &in))
		return;
	while (ipc_next_signed(&in, &got)) {
		struct wait *w = ticket_get(&a->waits, got.ticket);
		struct sign *s = (struct sign *)(void *)w;

		if (w == NULL || w->on_dns != NULL || w->addresses || s->open.id == 0)
			continue;
		if (got.status != IPC_SIGNED_DONE)
			count(a, COUNT_SIGNATURES_FAILED);
		ticket_take(&a->waits, got.ticket);
		peer_remove(&a->keeper, &s->open);
		s->on(w->arg, got.signature, got.status == IPC_SIGNED_REFUSED);
		free(s);
	}
}

ask_ticket ask_sign(struct ask *a, const struct dkim2_sign_ask *what, void (*on)(void *arg, struct slice signature, bool refused),
    void *arg)
{
	size_t d = what->domain.n, n = what->selector.n;
	bool can = !a->keeper.hopeless && a->keeper.n < LIMIT_SIGN_PENDING && d >= 1 && d <= 253 && n >= 1 && n <= 253;
	struct sign *s = calloc(1, sizeof(*s) + (can ? d + n : 0));

	if (s == NULL || (s->wait.ticket = ticket_new(&a->waits, &s->wait)) == 0) {
		free(s);
		return 0;
	}
	s->wait.arg = arg;
	s->on = on;
	count(a, COUNT_SIGNATURES);
	if (!can) {
		count(a, COUNT_SIGNATURES_FAILED);
		wait_append(&a->ready, &s->wait);
		later(a);
		return s->wait.ticket;
	}
	s->type = what->type;
	memcpy(s->digest, what->digest, sizeof(s->digest));
	s->domain_octets = d;
	s->selector_octets = n;
	memcpy(s->text, what->domain.at, d);
	memcpy(s->text + d, what->selector.at, n);
	s->open.id = s->wait.ticket;
	peer_append(&a->keeper, &s->open, ASK_SIGN_MS);
	return s->wait.ticket;
}

/* both */

static void ready_deliver(struct ask *a)
{
	/* Bounded: what a callback asks and the cache answers waits for the next turn. */
	for (size_t n = a->ready.n; n > 0 && a->ready.first != NULL; n--) {
		struct wait *w = a->ready.first;

		wait_remove(w);
		ticket_take(&a->waits, w->ticket);
		if (w->on_dns != NULL) {
			w->on_dns(w->arg, w->rec);
			dnsrec_drop(&w->rec);
		} else if (w->addresses) {
			struct addresses *d = (struct addresses *)(void *)w;

			d->on(w->arg, &d->got);
		} else {
			((struct sign *)(void *)w)->on(w->arg, SLICE_NONE, false);
		}
		free(w);
	}
	if (a->ready.first != NULL)
		later(a);
}

static void on_later(void *arg)
{
	struct ask *a = arg;

	ready_deliver(a);
	/* Here, not when an answer comes: ask_dns_cached() lends until the turn ends. */
	while (a->cached > a->cache_max || a->cached_octets > LIMIT_DNS_CACHE_OCTETS)
		cache_drop(a, a->oldest);
	peer_turn(&a->resolver);
	peer_turn(&a->keeper);
}

void ask_cancel(struct ask *a, ask_ticket ticket)
{
	struct wait *w = ticket_take(&a->waits, ticket);

	if (w == NULL)
		return;
	wait_remove(w);
	if (w->on_dns != NULL) {
		dnsrec_drop(&w->rec);
	} else if (w->addresses) {
		struct addresses *d = (struct addresses *)(void *)w;

		if (d->open.id != 0)
			peer_remove(&a->resolver, &d->open);
		ticket_take(&a->questions, d->open.id);
	} else if (((struct sign *)(void *)w)->open.id != 0)
		peer_remove(&a->keeper, &((struct sign *)(void *)w)->open);
	free(w);
}

size_t ask_open(const struct ask *a)
{
	return a->waits.open;
}

void ask_counts(struct ask *a, struct count_page *counts, unsigned slot)
{
	a->counts = counts;
	a->slot = slot;
}

void ask_set_resolver(struct ask *a, int fd)
{
	peer_set(&a->resolver, fd);
}

void ask_set_keeper(struct ask *a, int fd)
{
	peer_set(&a->keeper, fd);
}

struct ask *ask_new(struct loop *l, int resolver_fd, int keeper_fd, unsigned dns_timeout_ms, size_t cache_max)
{
	struct ask *a = calloc(1, sizeof(*a));
	uint64_t seed[2];

	if (a != NULL && getrandom(seed, sizeof(seed), 0) == (ssize_t)sizeof(seed)) {
		a->unreachable[0] = dnsrec_new(DNSREC_TXT, DNS_TIMEOUT, NULL, 0, false);
		a->unreachable[1] = dnsrec_new(DNSREC_KEY, DNS_TIMEOUT, NULL, 0, false);
		a->received = malloc(LIMIT_IPC);
	}
	if (a == NULL || a->unreachable[0] == NULL || a->unreachable[1] == NULL || a->received == NULL) {
		if (a != NULL) {
			dnsrec_drop(&a->unreachable[0]);
			dnsrec_drop(&a->unreachable[1]);
			free(a->received);
		}
		free(a);
		if (resolver_fd >= 0)
			close(resolver_fd);
		if (keeper_fd >= 0)
			close(keeper_fd);
		return NULL;
	}
	a->loop = l;
	a->dns_timeout_ms = dns_timeout_ms;
	a->cache_max = cache_max;
	map_init(&a->names, seed);
	buf_init(&a->packet, LIMIT_IPC);
	a->resolver = (struct peer){ .ask = a, .fd = -1, .add = question_add, .receive = answers_receive, .fail = question_fail,
		.patience_ms = dns_timeout_ms, .down_event = "dns_down", .up_event = "dns_up" };
	a->keeper = (struct peer){ .ask = a, .fd = -1, .add = sign_add, .receive = signed_receive, .fail = sign_fail,
		.patience_ms = KEEPER_PATIENCE_MS, .down_event = "keeper_down", .up_event = "keeper_up" };
	peer_set(&a->resolver, resolver_fd);
	peer_set(&a->keeper, keeper_fd);
	return a;
}

void ask_free(struct ask **ap)
{
	struct ask *a = *ap;
	struct wait *w;

	if (a == NULL)
		return;
	*ap = NULL;
	peer_close(&a->resolver);
	peer_close(&a->keeper);
	peer_fail_all(&a->resolver);
	peer_fail_all(&a->keeper);
	while ((w = a->ready.first) != NULL) {
		wait_remove(w);
		dnsrec_drop(&w->rec);
		free(w);
	}
	loop_later_cancel(a->loop, &a->later);
	loop_timer_release(&a->resolver.deadline);
	loop_timer_release(&a->keeper.deadline);
	loop_timer_release(&a->resolver.patience);
	loop_timer_release(&a->keeper.patience);
	map_release(&a->names, name_free);
	dnsrec_drop(&a->unreachable[0]);
	dnsrec_drop(&a->unreachable[1]);
	tickets_release(&a->waits);
	tickets_release(&a->questions);
	buf_release(&a->packet);
	free(a->received);
	free(a);
}
