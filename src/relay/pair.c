/*
 * pair.c - a client session: its connection, the server machine, deadlines and limits. What a transaction does is tx.c's.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/limits.h"
#include "out/log.h"
#include "relay/login.h"
#include "relay/view.h"
#include "smtp/proxy.h"

enum { BLOCK_OCTETS = 65536, CLOSE_S = 30, HEADER_MS = 5000, CROWD = 256, REFUSED_TOLD_MS = 1000 };

struct pair *pair_of(void *arg)
{
	return arg;
}

/* Everybody has gone, or a crowd: what it needed lies about in the heap, between what is still in use. */
static void give_back(struct relay *r)
{
	if (r->pair_count == 0)
		hold_spares_drop(&r->budget);
	if (r->pair_peak < CROWD || r->pair_count > r->pair_peak / 8)
		return;
	r->pair_peak = r->pair_count;
	malloc_trim(0);
}

static void destroy(void *arg)
{
	struct pair *p = pair_of(arg);
	struct relay *r = p->relay;

	*p->at = p->next;
	if (p->next)
		p->next->at = p->at;
	r->pair_count--;
	r->lingering -= p->lingering;
	srv_free(&p->srv);
	arena_clear(&p->arena);
	loop_timer_release(&p->deadline);
	free(p->named);
	free(p->forwarded);
	free(p->user);
	free(p);
	give_back(r);
	if (r->draining && r->pair_count == 0 && r->empty)
		r->empty(r->empty_arg);
}

/* The event that says what a client did wrong; most are named as their fault is. */
static const char *event_of(const struct fault *f, char room[FAULT_NAME_OCTETS + 8])
{
	char name[FAULT_NAME_OCTETS];

	switch (f->code) {
	case FAULT_BAD_SENDER:
	case FAULT_BAD_RECIPIENT:
		return "smtp_bad_path";
	case FAULT_PARAM_UNKNOWN:
		return "smtp_bad_param";
	case FAULT_TOO_MANY_RCPT:
		return "smtp_rcpt_limit";
	case FAULT_TOO_MANY_ERRORS:
	case FAULT_TOO_MANY_COMMANDS:
		return "client_junk";
	case FAULT_TOO_MANY_SESSIONS:
		return "session_limit";
	case FAULT_TOO_MANY_CONNECTS:
		return "client_rate";
	case FAULT_PROXY_AGAIN:
		return "proxy_header_bad";
	case FAULT_NOT_SMTP:
		return strncmp(f->note, "PROXY", 5) == 0 ? "proxy_header_bad" : "smtp_not_smtp";
	case FAULT_TLS_EARLY_DATA:
		return "tls_early_data";
	default:
		fault_name(f->code, name);
		snprintf(room, FAULT_NAME_OCTETS + 8, "smtp_%s", name);
		return room;
	}
}

/* Who is not let in would else fill the log: how many a line stands for, 0: no line for this one. */
static uint64_t stands_for(struct pair *p, enum fault_code code)
{
	struct relay *r = p->relay;
	int64_t now_ms;

	if (code == FAULT_TOO_MANY_CONNECTS)
		return p->rate_told;
	if (code != FAULT_TOO_MANY_SESSIONS)
		return 1;
	now_ms = loop_now_ms(r->loop);
	r->refused++;
	if (r->refused_told && now_ms - r->refused_told_ms < REFUSED_TOLD_MS)
		return 0;
	r->refused_told = r->refused;
	r->refused_told_ms = now_ms;
	r->refused = 0;
	return r->refused_told;
}

void pair_log(struct pair *p, const struct fault *f)
{
	char room[FAULT_NAME_OCTETS + 8];
	uint64_t count = stands_for(p, f->code);
	struct log_line l;

	if (count == 0)
		return;
	l = log_begin(LOG_LEVEL_WARNING, event_of(f, room));
	log_str(&l, "session", p->name);
	if (f->code == FAULT_TOO_MANY_CONNECTS || f->code == FAULT_TOO_MANY_SESSIONS)
		log_u64(&l, "count", count);
	view_log(p, &l);
	log_fault(&l, f);
	log_end(&l);
}

/* What became of the client itself. */
static void log_client(const struct pair *p, const char *event)
{
	struct log_line l = log_begin(LOG_LEVEL_INFO, event);

	log_str(&l, "session", p->name);
	view_log(p, &l);
	log_end(&l);
}

/* A command or content was refused. One session does not fill the log: what is not said is counted, see log_unsaid(). */
static void log_refused(struct pair *p, const struct fault *f)
{
	if (p->faults++ < LIMIT_FAULT_LINES)
		pair_log(p, f);
}

static void log_unsaid(const struct pair *p)
{
	struct log_line l;

	if (p->faults <= LIMIT_FAULT_LINES)
		return;
	l = log_begin(LOG_LEVEL_WARNING, "client_faults");
	log_str(&l, "session", p->name);
	view_log(p, &l);
	log_u64(&l, "count", p->faults - LIMIT_FAULT_LINES);
	log_end(&l);
}

/* It is no session any more. */
static void uncount(struct pair *p)
{
	view_uncount(p);
	if (p->counted)
		count_add(p->relay->counts, p->relay->slot, COUNT_SESSIONS_OPEN, -1);
	if (p->secured)
		count_add(p->relay->counts, p->relay->slot, COUNT_TLS_OPEN, -1);
	p->counted = p->secured = false;
}

void pair_doom(struct pair *p)
{
	if (p->gone)
		return;
	p->gone = true;
	tx_abort(p, "client gone");
	login_drop(p);
	log_unsaid(p);
	conn_close(&p->conn);
	loop_timer_stop(&p->deadline);
	loop_later_cancel(p->relay->loop, &p->going_on);
	uncount(p);
	loop_later(p->relay->loop, &p->doom, destroy, p);
}

static void end_session(struct pair *p, enum fault_code code)
{
	struct fault f = { 0 };

	fault_set(&f, code, 0);
	tx_abort(p, f.text);
	login_drop(p);
	srv_end(p->srv, &f);
	p->closing = p->cut_off = true;
}

/* Is a message on its way that is not here to its end? */
static bool in_content(const struct pair *p)
{
	enum srv_state state = srv_state(p->srv);

	return state == SRV_BODY || state == SRV_CHUNKS || state == SRV_SWALLOW;
}

/* Whoever stands in front of us does not speak as agreed: nothing is said to it. */
static void bad_header(struct pair *p, const char *why)
{
	struct log_line l = log_begin(LOG_LEVEL_WARNING, "proxy_header_bad");

	log_str(&l, "session", p->name);
	view_log(p, &l);
	log_str(&l, "note", why);
	log_end(&l);
	pair_doom(p);
}

/* What came of TLS with the client. */
static void log_tls(const struct pair *p, enum log_level level, const char *event, const char *note)
{
	struct log_line l = log_begin(level, event);

	log_str(&l, "session", p->name);
	log_str(&l, "client", p->client_text);
	log_str(&l, "note", note && note[0] ? note : NULL);
	log_end(&l);
}

static void on_deadline(void *arg);

/*
 * All is said. A client that goes on speaking to a closed connection is answered by a reset, which may take our last reply from it:
 * it is read a little longer, for nothing, and holds no place meanwhile.
 */
static void part(struct pair *p)
{
	if (!p->cut_off || p->eof || p->conn.error || p->relay->lingering >= LIMIT_LINGERING) {
		pair_doom(p);
		return;
	}
	p->lingering = true;
	p->relay->lingering++;
	uncount(p);
	loop_timer_set(p->relay->loop, &p->deadline, LIMIT_LINGER_S * 1000, on_deadline, p);
	conn_shut(&p->conn);
}

static void on_deadline(void *arg)
{
	struct pair *p = pair_of(arg);

	if (p->headless && !p->gone) {
		bad_header(p, "no PROXY header in time");
		return;
	}
	if (p->shaking && p->conn.shaking) {
		count_add(p->relay->counts, p->relay->slot, COUNT_TLS_FAILED, 1);
		log_tls(p, LOG_LEVEL_WARNING, "tls_handshake_timeout", NULL);
	}
	if (p->closing || p->gone || p->conn.shaking) {
		pair_doom(p); /* it does not even take our last reply */
		return;
	}
	if (p->tx && srv_state(p->srv) == SRV_JUDGE) {
		tx_late(p);
		return;
	}
	log_client(p, srv_out(p->srv)->n ? "client_not_reading" : in_content(p) ? "client_too_slow" : "client_timeout");
	end_session(p, FAULT_COMMAND_TIMEOUT);
	pair_go_on(p);
}

/* How long the client has for what it owes; 0: it owes nothing. */
static int64_t client_ms(const struct pair *p)
{
	const struct relay *r = p->relay;
	unsigned command_ms = r->conf->timeouts.command_ms, crowded_ms = r->conf->timeouts.crowded_ms;

	switch (srv_awaits(p->srv)) {
	case SRV_AWAITS_NOTHING:
		break;
	case SRV_AWAITS_COMMAND:
		return r->pair_count < r->crowd || command_ms < crowded_ms ? command_ms : crowded_ms;
	case SRV_AWAITS_CONTENT:
		return r->conf->timeouts.content_ms;
	}
	return 0;
}

void pair_deadline(struct pair *p)
{
	int64_t ms = p->closing ? CLOSE_S * 1000 : srv_state(p->srv) == SRV_JUDGE ? (int64_t)tx_late_s(p) * 1000 : client_ms(p);

	p->block_octets = 0;
	if (p->lingering)
		return;
	if (p->shaking && !p->closing)
		return; /* one deadline for all of the handshake */
	if (p->gone || ms == 0)
		loop_timer_stop(&p->deadline);
	else
		loop_timer_set(p->relay->loop, &p->deadline, ms, on_deadline, p);
}

/* There is one more than a moment ago, and they are a crowd now: those that only wait to be spoken to have less time from here on. */
static void hurry(struct relay *r)
{
	int64_t ms = r->conf->timeouts.crowded_ms, latest = loop_now_ms(r->loop) + ms;

	for (struct pair *p = r->pairs; p; p = p->next)
		if (!p->gone && !p->closing && !p->shaking && p->greeted && srv_awaits(p->srv) == SRV_AWAITS_COMMAND && p->deadline.due_ms > latest)
			loop_timer_set(r->loop, &p->deadline, ms, on_deadline, p);
}

/* Its client has as many sessions as it may, or comes too often. */
static void too_many(struct pair *p, enum fault_code code)
{
	struct fault f = { 0 };

	fault_set(&f, code, 0);
	pair_log(p, &f);
	count_add(p->relay->counts, p->relay->slot, COUNT_SESSIONS_REFUSED, 1);
	end_session(p, code);
}

static void greet(void *arg)
{
	struct pair *p = pair_of(arg);

	p->greeted = true;
	srv_greet(p->srv, NULL);
	pair_go_on(p);
}

/* What is owed in clear has been written; only now may the client have an answer to STARTTLS. */
static void start_tls(struct pair *p)
{
	if (!conn_start_tls(&p->conn, p->listener->tls, NULL)) {
		log_note(LOG_LEVEL_ERROR, "oom", "session=%s no memory for TLS", p->name);
		pair_doom(p);
		return;
	}
	loop_timer_set(p->relay->loop, &p->deadline, p->listener->conf->tls.timeout_ms, on_deadline, p);
}

static void start_greeting(struct pair *p)
{
	if (p->listener->conf->greet_pause_ms)
		loop_timer_set(p->relay->loop, &p->deadline, p->listener->conf->greet_pause_ms, greet, p);
	else
		greet(p);
	if (!p->gone && p->greeted)
		pair_deadline(p);
}

static void on_secured(void *owner)
{
	struct pair *p = pair_of(owner);

	p->shaking = false;
	p->secured = true;
	count_add(p->relay->counts, p->relay->slot, COUNT_TLS_OPEN, 1);
	count_add(p->relay->counts, p->relay->slot, COUNT_TLS_SESSIONS, 1);
	if (tls_foreign(p->conn.tls))
		log_tls(p, LOG_LEVEL_INFO, "tls_ticket_foreign", NULL);
	view_known(p);
	srv_secured(p->srv);
	if (p->greeted) {
		pair_deadline(p);
		pair_go_on(p);
	} else {
		start_greeting(p);
	}
}

static void offer(struct pair *p)
{
	/* What is queued goes to whoever has what it needs, and else comes back as a report. */
	static const struct ext queued = { .bits = EXT_8BITMIME | EXT_SMTPUTF8 | EXT_DSN | EXT_REQUIRETLS };
	const struct ext *theirs = p->listener->conf->mode == MODE_QUEUE ? &queued : p->listener->any_up ? &p->listener->common : NULL;
	struct ext e = ext_offer(p->relay->conf->limits.message_octets, theirs);

	if (p->listener->srv.rcpt_told == 1) /* there is nothing to say of several */
		e.bits &= ~(unsigned)EXT_PRDR;
	if (p->listener->conf->requiretls == REQUIRETLS_NONE)
		e.bits &= ~(unsigned)EXT_REQUIRETLS;
	else if (relay_by_field(p->listener) && p->listener->any_up)
		e.bits |= EXT_REQUIRETLS;
	srv_offer(p->srv, &e);
	login_offer(p);
}

static void on_event(struct pair *p, const struct srv_event *ev)
{
	enum fault_code counted;

	switch (ev->kind) {
	case SRV_EV_MAIL:
		tx_mail(p, ev);
		break;
	case SRV_EV_RCPT:
		tx_rcpt(p, ev);
		break;
	case SRV_EV_DATA:
		tx_data(p, ev);
		break;
	case SRV_EV_CONTENT:
		tx_content(p, ev->content);
		return;
	case SRV_EV_BAD:
		log_refused(p, &ev->fault);
		tx_bad(p, &ev->fault);
		return;
	case SRV_EV_END:
		if (ev->crlf_added)
			log_client(p, "smtp_crlf_added");
		tx_whole(p, ev);
		break;
	case SRV_EV_RESET:
		tx_abort(p, "reset by client");
		view_forget(p);
		break;
	case SRV_EV_CLOSE:
		if (ev->fault.code != FAULT_NONE)
			pair_log(p, &ev->fault);
		tx_abort(p, "closed by client");
		p->closing = true;
		break;
	case SRV_EV_AUTH:
		login_message(p, ev);
		break;
	case SRV_EV_REFUSED:
		log_refused(p, &ev->fault);
		login_drop(p);
		break;
	case SRV_EV_XCLIENT:
		counted = view_named(p, ev->who);
		if (counted != FAULT_NONE)
			too_many(p, counted);
		arena_clear(&p->arena);
		break;
	case SRV_EV_XFORWARD:
		view_forward(p, ev->who);
		arena_clear(&p->arena);
		break;
	case SRV_EV_STARTTLS:
		/* From here on octets are TLS's; those the kernel has already are part of a handshake that fails for them. */
		conn_read(&p->conn, false);
		loop_timer_set(p->relay->loop, &p->deadline, p->listener->conf->tls.timeout_ms, on_deadline, p);
		p->shaking = true;
		return;
	case SRV_EV_MORE:
	case SRV_EV_WAIT:
		return;
	}
	pair_deadline(p);
}

static void start(struct pair *p)
{
	if (view_trusted(p))
		srv_trust(p->srv);
	p->shaking = p->listener->conf->tls.mode == TLS_IMPLICIT;
	if (p->shaking)
		start_tls(p);
	else
		start_greeting(p);
}

/* The PROXY header, before anything else. False: nothing more is to be done with what came. */
static bool take_header(struct pair *p, struct slice *in)
{
	struct proxy_header h;
	enum fault_code counted;
	struct slice head;
	const char *why;

	switch (proxy_read(*in, &h, &why)) {
	case PROXY_MORE:
		return false;
	case PROXY_BAD:
		*in = SLICE_NONE;
		bad_header(p, why);
		return false;
	case PROXY_DONE:
		break;
	}
	(void)slice_take(in, h.octets, &head);
	p->headless = false;
	loop_timer_stop(&p->deadline);
	srv_fronted(p->srv);
	counted = view_fronted(p, h.given ? h.client : p->client, h.given ? h.port : p->client_port);
	if (counted != FAULT_NONE) {
		p->greeted = true;
		too_many(p, counted);
		*in = SLICE_NONE;
		if (p->listener->conf->tls.mode == TLS_IMPLICIT)
			pair_doom(p); /* a word in clear would be none to it */
		else
			pair_go_on(p);
		return false;
	}
	start(p);
	return in->n && !p->gone && !p->shaking;
}

static void on_octets(void *owner, struct slice *in)
{
	struct pair *p = pair_of(owner);
	size_t said, before;

	if (p->closing || p->gone) {
		p->dropped_octets += p->lingering ? in->n : 0;
		*in = SLICE_NONE;
		if (p->dropped_octets > LIMIT_LINGER_OCTETS)
			pair_doom(p);
		return;
	}
	if (p->headless && !take_header(p, in))
		return;
	if (!p->greeted) {
		struct fault f = { 0 };

		fault_set(&f, FAULT_EARLY_TALK, 0);
		pair_log(p, &f);
		srv_greet(p->srv, &f);
		p->greeted = p->closing = p->cut_off = true;
		*in = SLICE_NONE;
		pair_go_on(p);
		return;
	}
	if (!p->tx)
		offer(p);
	said = srv_out(p->srv)->n;
	before = in->n;
	for (;;) {
		struct srv_event ev = { 0 };
		enum srv_event_kind kind = srv_feed(p->srv, in, &p->arena, &ev);

		if (kind == SRV_EV_WAIT || kind == SRV_EV_MORE) {
			/* What waits for an answer stays where it is, and no more is read behind it. */
			conn_read(&p->conn, kind == SRV_EV_MORE && srv_out(p->srv)->n <= LIMIT_OUT_PENDING);
			/* Content has its time by the octets, those of chunks and of what is refused as well. */
			p->block_octets += before - in->n;
			if (in_content(p) ? p->block_octets >= BLOCK_OCTETS : srv_out(p->srv)->n > said)
				pair_deadline(p); /* else a command the server machine answered by itself: the next has its time */
			break;
		}
		ev.kind = kind;
		on_event(p, &ev);
		if (p->gone)
			return;
		if (p->shaking)
			break;
		if (p->closing) {
			p->cut_off = in->n || ev.kind != SRV_EV_CLOSE || ev.fault.code != FAULT_NONE;
			*in = SLICE_NONE;
			break;
		}
	}
	pair_go_on(p);
}

/* Is an answer due that is none of srv's? */
static bool owes(const struct pair *p)
{
	return srv_pending(p->srv) > 0 || srv_state(p->srv) == SRV_JUDGE || srv_state(p->srv) == SRV_AUTH;
}

/* May what was kept be fed again? Not while an answer must come first. */
static bool may_resume(const struct pair *p)
{
	return p->conn.in.n && !owes(p) && srv_out(p->srv)->n <= LIMIT_OUT_PENDING;
}

/* The next hop has the content: what it says of it is awaited, for the log. */
static bool gone_after_dot(struct pair *p)
{
	if (!tx_dot_said(p))
		return false;
	log_client(p, "client_gone_after_dot");
	p->eof = p->dead = true;
	return true;
}

static void go_on(void *arg)
{
	struct pair *p = pair_of(arg);

	if (p->lingering)
		return;
	if (p->dead && !p->tx) {
		pair_doom(p);
		return;
	}
	if (srv_state(p->srv) == SRV_GONE && !p->closing) { /* an answer of 421 was the last */
		tx_abort(p, "session ended");
		p->closing = p->cut_off = true;
	}
	/* One in a handshake is told behind it: there is no other way to say why, and tls.timeout is its end. */
	if (p->relay->closing && !p->shaking && !p->tx && !p->closing && p->greeted && srv_pending(p->srv) == 0)
		end_session(p, FAULT_SHUTTING_DOWN);
	/* A reply is missing, and the client would take the next one for it, or wait. */
	if (buf_failed(srv_out(p->srv))) {
		log_note(LOG_LEVEL_ERROR, "oom", "session=%s no memory for a reply", p->name);
		pair_doom(p);
		return;
	}
	p->going = true;
	if (!p->closing && may_resume(p))
		conn_resume(&p->conn);
	p->going = false;
	if (p->gone)
		return;
	conn_push(&p->conn);
	if (p->gone)
		return;
	if (p->eof && p->conn.error && !p->dead) { /* nobody reads what is said any more */
		if (!gone_after_dot(p))
			pair_doom(p);
		return;
	}
	if (p->shaking && !p->closing)
		return;
	if (!p->closing && !p->conn.in.n && srv_out(p->srv)->n <= LIMIT_OUT_PENDING) {
		conn_read(&p->conn, true);
		/* It will say no more and has had its answers. */
		p->closing = p->eof && !owes(p);
	}
	if (p->closing && srv_out(p->srv)->n == 0)
		part(p);
	else if (p->closing || !p->deadline.due_ms)
		pair_deadline(p);
}

void pair_go_on(struct pair *p)
{
	if (!p->gone && !p->going)
		loop_later(p->relay->loop, &p->going_on, go_on, p);
}

static size_t on_out(void *owner, struct iovec *iov, size_t max)
{
	struct pair *p = pair_of(owner);
	struct buf *b = srv_out(p->srv);

	if (b->n == 0 || max == 0)
		return 0;
	iov[0] = (struct iovec){ b->at, b->n };
	return 1;
}

static void on_wrote(void *owner, size_t n)
{
	struct pair *p = pair_of(owner);
	struct buf *b = srv_out(p->srv);

	if (b->n > LIMIT_OUT_PENDING && b->n - n <= LIMIT_OUT_PENDING)
		pair_go_on(p); /* reading was stopped for it */
	buf_drop(b, n);
	if (b->n)
		return;
	buf_release(b);
	if (p->closing && p->cut_off)
		pair_go_on(p);
	else if (p->closing)
		pair_doom(p);
	else if (p->shaking && !p->conn.tls)
		start_tls(p);
}

static void on_ended(void *owner, enum conn_end how)
{
	struct pair *p = pair_of(owner);

	if (p->lingering) {
		pair_doom(p);
		return;
	}
	if (p->headless) {
		/* Who says nothing at all looked whether the port is open. */
		if (p->conn.in.n)
			bad_header(p, "closed within the PROXY header");
		else
			pair_doom(p);
		return;
	}
	if (how == CONN_TLS && p->shaking)
		count_add(p->relay->counts, p->relay->slot, COUNT_TLS_FAILED, 1);
	if (how == CONN_TLS)
		log_tls(p, LOG_LEVEL_WARNING, p->shaking ? "tls_handshake_failed" : tls_abused(p->conn.tls) ? "tls_abuse" : "tls_broken", tls_why(p->conn.tls));
	if (in_content(p))
		log_client(p, !p->conn.tls || how != CONN_EOF ? "client_gone_in_data" : p->conn.truncated ? "tls_truncated" :
		    "tls_closed_in_data");
	if (how == CONN_EOF && (srv_out(p->srv)->n || (!p->closing && owes(p)))) {
		p->eof = true; /* a half-closed client still gets its answer, the last one too */
		return;
	}
	if (!gone_after_dot(p))
		pair_doom(p);
}

static const struct conn_ops ops = { on_octets, on_out, on_wrote, NULL, on_secured, on_ended };

/* 421 and gone: before a session costs anything. One write, whether the client takes it or not. */
static void refuse(struct relay_listener *l, int fd, const struct sockaddr_storage *from, enum fault_code code, uint32_t rate_told)
{
	struct fault f = { 0 };
	struct pair p = { .relay = l->relay, .rate_told = rate_told };
	struct buf b;

	fault_set(&f, code, 0);
	f.basic = 421; /* whatever the reason, it is no greeting */
	buf_init(&b, 512);
	reply_fault(&b, &f);
	if (l->conf->tls.mode != TLS_IMPLICIT && send(fd, b.at, b.n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		f.note[0] = '\0';
	buf_release(&b);
	close(fd);
	view_peer(&p, from);
	count_add(l->relay->counts, l->relay->slot, COUNT_SESSIONS_REFUSED, 1);
	snprintf(p.name, sizeof(p.name), "-");
	pair_log(&p, &f);
}

void pair_accept(struct relay_listener *l, int fd, const struct sockaddr_storage *from)
{
	struct relay *r = l->relay;
	enum fault_code counted = FAULT_NONE;
	struct pair *p;

	if (fd > r->fd_max) {
		trouble_comes(&r->full, "fd_limit", S("sessions"), NULL, loop_now_ms(r->loop));
		refuse(l, fd, from, FAULT_TOO_MANY_SESSIONS, 0);
		return;
	}
	if (count_sum(r->counts, COUNT_SESSIONS_OPEN) >= r->conf->limits.sessions) {
		refuse(l, fd, from, FAULT_TOO_MANY_SESSIONS, 0);
		return;
	}
	p = calloc(1, sizeof(*p));
	if (!p) {
		refuse(l, fd, from, FAULT_NO_MEMORY, 0);
		return;
	}
	p->relay = r;
	p->listener = l;
	view_peer(p, from);
	p->headless = view_headless(p);
	if (!p->headless) /* else the header tells whose it is */
		counted = view_count(p);
	if (counted != FAULT_NONE) {
		uint32_t told = p->rate_told;

		free(p);
		refuse(l, fd, from, counted, told);
		return;
	}
	p->srv = srv_new(&l->srv);
	if (!p->srv) {
		view_uncount(p);
		free(p);
		refuse(l, fd, from, FAULT_NO_MEMORY, 0);
		return;
	}
	srv_tls(p->srv, l->conf->tls.mode == TLS_MAY ? SRV_TLS_MAY : l->conf->tls.mode == TLS_REQUIRE ? SRV_TLS_REQUIRE : SRV_TLS_NONE);
	arena_init(&p->arena, LIMIT_TX_ARENA);
	p->counted = true;
	count_add(r->counts, r->slot, COUNT_SESSIONS_OPEN, 1);
	count_add(r->counts, r->slot, COUNT_SESSIONS, 1);
	snprintf(p->name, sizeof(p->name), "%011llx%02x%x", (unsigned long long)r->start_ms, r->slot, ++r->tx_count);
	p->next = r->pairs;
	p->at = &r->pairs;
	if (p->next)
		p->next->at = &p->next;
	r->pairs = p;
	if (++r->pair_count > r->pair_peak)
		r->pair_peak = r->pair_count;
	if (r->pair_count == r->crowd)
		hurry(r);
	if (!conn_open(&p->conn, r->loop, fd, &ops, p)) {
		pair_doom(p);
		return;
	}
	p->conn.sparing = p->headless && l->conf->tls.mode == TLS_IMPLICIT;
	if (p->headless)
		loop_timer_set(r->loop, &p->deadline, HEADER_MS, on_deadline, p);
	else
		start(p);
}
