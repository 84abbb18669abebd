/*
 * smtp_talk.h - drives the server machine as a relay would, and writes down what happened.
 *
 * A dialogue is turns: what a client sends before it waits for answers. DATA ends a turn, BDAT need not. RCPT to "no*" is answered 550,
 * to "later*" 451, MAIL from "refuse*" 550; all else is taken. Who authenticates is "user" with the password of RFC 7677 3, "pencil".
 */
#ifndef SMTP_TALK_H
#define SMTP_TALK_H

#include "test.h"

#include "base/limits.h"
#include "smtp/srv.h"

enum talk_answers {
	AT_ONCE,        /* each event is answered as it comes */
	WHEN_ASKED,     /* once the session can go no further, oldest first */
	NEWEST_FIRST    /* the same, newest first */
};

struct talk_owed {
	enum srv_event_kind kind;
	uint32_t seq;
	char first; /* of the local part */
};

struct talk {
	struct srv_conf conf;
	struct srv *srv;
	struct arena tx;
	struct buf in;       /* not taken yet */
	struct buf log;      /* events */
	struct buf replies;  /* all that was written */
	struct buf content;  /* of the message that is coming */
	enum talk_answers answers;
	struct talk_owed owed[LIMIT_PIPELINED];
	size_t owed_n;
	size_t messages;     /* accepted */
	bool closed;
	struct fault last;   /* of the newest BAD, REFUSED or CLOSE */
	struct auth *auth;   /* the exchange under way */
	/* What a test may set: */
	bool no_data;        /* DATA is answered 452 */
	enum fault_code no_content; /* content is refused for it as it comes, behind content_max octets */
	size_t content_max;
};

/* A session that takes so many recipients a transaction. */
static inline void talk_init_for(struct talk *t, enum talk_answers answers, size_t rcpt_max)
{
	const struct ext hop = { .bits = EXT_8BITMIME | EXT_SMTPUTF8 | EXT_DSN | EXT_SIZE, .size_octets = 2000000 };
	struct ext offer = ext_offer(1000000, &hop);

	*t = (struct talk){ .conf = { .hostname = S("mx.c.test"), .rcpt_max = rcpt_max }, .answers = answers };
	t->srv = srv_new(&t->conf);
	assert_non_null(t->srv);
	arena_init(&t->tx, 1 << 20);
	buf_init(&t->in, 1 << 24);
	buf_init(&t->log, 1 << 24);
	buf_init(&t->replies, 1 << 24);
	buf_init(&t->content, 1 << 24);
	srv_offer(t->srv, &offer);
	srv_greet(t->srv, NULL);
}

static inline void talk_init(struct talk *t, enum talk_answers answers)
{
	talk_init_for(t, answers, 5);
}

static inline void talk_release(struct talk *t)
{
	auth_free(&t->auth);
	srv_free(&t->srv);
	assert_null(t->srv);
	arena_clear(&t->tx);
	buf_release(&t->in);
	buf_release(&t->log);
	buf_release(&t->replies);
	buf_release(&t->content);
}

static inline void talk_replies(struct talk *t)
{
	struct buf *out = srv_out(t->srv);

	assert_false(buf_failed(out));
	buf_slice(&t->replies, buf_get(out));
	buf_release(out);
}

static inline void talk_answer(struct talk *t, struct talk_owed o)
{
	struct reply r = { .code = 250, .text = S("2.1.0 taken") };

	if (o.kind == SRV_EV_DATA && !t->no_data) {
		srv_data_go(t->srv, o.seq);
		return;
	}
	if (o.kind == SRV_EV_DATA)
		r = (struct reply){ .code = 452, .text = S("4.3.1 no room") };
	if (o.kind == SRV_EV_RCPT && o.first == 'n')
		r = (struct reply){ .code = 550, .text = S("5.1.1 nobody here\n5.1.1 of that name") };
	if (o.kind == SRV_EV_RCPT && o.first == 'l')
		r = (struct reply){ .code = 451, .text = S("4.2.1 not now") };
	if (o.kind == SRV_EV_MAIL && o.first == 'r')
		r = (struct reply){ .code = 550, .text = S("5.7.1 not you") };
	if (o.kind == SRV_EV_END)
		t->messages++;
	srv_answer(t->srv, o.seq, &r);
}

static inline void talk_auth(struct talk *t, const struct srv_event *ev)
{
	static const char text[] = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
				   "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
	struct scram_verifier v;
	enum auth_step step;
	const char *why;

	buf_printf(&t->log, "auth %s%s ", auth_mech_name(ev->mech), ev->first ? " first" : "");
	buf_escaped(&t->log, ev->content);
	buf_str(&t->log, "\n");
	if (ev->first) {
		auth_free(&t->auth);
		t->auth = auth_new(ev->mech, S("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"));
	}
	assert_non_null(t->auth);
	step = auth_feed(t->auth, ev->content);
	while (step == AUTH_LOOKUP || step == AUTH_WORK) {
		if (step == AUTH_WORK) {
			step = auth_work(t->auth, 1000);
			continue;
		}
		assert_true(scram_read(slice_str(text), &v, &why));
		step = auth_verifier(t->auth, &v, slice_eq(auth_user(t->auth), S("user")));
	}
	if (step == AUTH_ASK) {
		srv_auth_ask(t->srv, auth_challenge(t->auth));
		return;
	}
	if (step == AUTH_NO) {
		t->last = *auth_fault(t->auth);
		buf_printf(&t->log, "no, %s\n", t->last.note);
	} else {
		buf_printf(&t->log, "yes, %.*s\n", SLICE_FMT(auth_user(t->auth)));
	}
	srv_auth_end(t->srv, step == AUTH_NO ? auth_fault(t->auth) : NULL);
	auth_free(&t->auth);
}

static inline void talk_event(struct talk *t, const struct srv_event *ev)
{
	char name[FAULT_NAME_OCTETS];

	fault_name(ev->kind == SRV_EV_BAD || ev->kind == SRV_EV_REFUSED || ev->kind == SRV_EV_CLOSE ? ev->fault.code : FAULT_NONE, name);
	switch (ev->kind) {
	case SRV_EV_MAIL:
		buf_printf(&t->log, "mail %.*s", SLICE_FMT(ev->path.raw));
		if (ev->params.size_named)
			buf_printf(&t->log, " size=%llu", (unsigned long long)ev->params.size_octets);
		if (ev->params.body_named)
			buf_str(&t->log, ev->params.body_8bit ? " 8bit" : " 7bit");
		if (ev->params.smtputf8)
			buf_str(&t->log, " utf8");
		buf_printf(&t->log, " ret=%.*s envid=%.*s\n", SLICE_FMT(ev->params.ret), SLICE_FMT(ev->params.envid));
		break;
	case SRV_EV_RCPT:
		buf_printf(&t->log, "rcpt %.*s notify=%.*s orcpt=%.*s\n", SLICE_FMT(ev->path.raw), SLICE_FMT(ev->params.notify),
		    SLICE_FMT(ev->params.orcpt));
		break;
	case SRV_EV_DATA:
		buf_str(&t->log, "data\n");
		buf_clear(&t->content);
		break;
	case SRV_EV_CONTENT:
		assert_int_not_equal(ev->content.n, 0);
		buf_slice(&t->content, ev->content);
		if (t->no_content && t->content.n > t->content_max) {
			struct fault f = { 0 };

			fault_set(&f, t->no_content, 0);
			srv_refuse_content(t->srv, &f);
		}
		return;
	case SRV_EV_END:
		buf_str(&t->log, "end ");
		buf_escaped(&t->log, buf_get(&t->content));
		buf_str(&t->log, ev->crlf_added ? " crlf added\n" : "\n");
		break;
	case SRV_EV_RESET:
		buf_str(&t->log, "reset\n");
		return;
	case SRV_EV_XCLIENT:
	case SRV_EV_XFORWARD:
		buf_str(&t->log, ev->kind == SRV_EV_XCLIENT ? "xclient" : "xforward");
		xclient_write(&t->log, ev->who->said, ev->who);
		buf_str(&t->log, "\n");
		return;
	case SRV_EV_STARTTLS: /* the handshake takes no time here */
		buf_str(&t->log, "starttls\n");
		srv_secured(t->srv);
		return;
	case SRV_EV_AUTH:
		talk_auth(t, ev);
		return;
	case SRV_EV_BAD:
	case SRV_EV_REFUSED:
	case SRV_EV_CLOSE:
		buf_printf(&t->log, "%s %s\n", ev->kind == SRV_EV_BAD ? "bad" : ev->kind == SRV_EV_CLOSE ? "close" : "refused", name);
		t->last = ev->fault;
		t->closed |= ev->kind == SRV_EV_CLOSE;
		return;
	case SRV_EV_MORE:
	case SRV_EV_WAIT:
		return;
	}
	assert_true(t->owed_n < LIMIT_PIPELINED);
	t->owed[t->owed_n] = (struct talk_owed){ ev->kind, ev->seq, '\0' };
	if ((ev->kind == SRV_EV_MAIL || ev->kind == SRV_EV_RCPT) && ev->path.local.n)
		t->owed[t->owed_n].first = (char)ev->path.local.at[0];
	t->owed_n++;
}

/* Goes on until the session wants octets that are not there. */
static inline void talk_run(struct talk *t)
{
	struct srv_event ev;

	while (!t->closed) {
		struct slice in = buf_get(&t->in);
		enum srv_event_kind kind = srv_feed(t->srv, &in, &t->tx, &ev);
		bool full = srv_out(t->srv)->n > LIMIT_OUT_PENDING;

		talk_event(t, &ev);
		buf_drop(&t->in, t->in.n - in.n);
		talk_replies(t);
		if (kind == SRV_EV_MORE)
			assert_int_equal(in.n, 0);
		if (t->owed_n && (t->answers == AT_ONCE || kind == SRV_EV_MORE || kind == SRV_EV_WAIT)) {
			struct talk_owed o = t->owed[t->answers == NEWEST_FIRST ? t->owed_n - 1 : 0];

			t->owed_n--;
			if (t->answers != NEWEST_FIRST)
				memmove(t->owed, t->owed + 1, t->owed_n * sizeof(o));
			talk_answer(t, o);
			talk_replies(t);
		} else if ((kind == SRV_EV_MORE || kind == SRV_EV_WAIT) && !(full && t->in.n)) { /* else it waited for the replies */
			assert_int_equal(kind, SRV_EV_MORE);
			assert_int_equal(srv_pending(t->srv), 0);
			return;
		}
	}
}

/* Octets arrive; answers that wait for the session to stop wait for the end of the turn. */
static inline void talk_part(struct talk *t, struct slice octets, bool turn_ends)
{
	enum talk_answers answers = t->answers;
	struct srv_event ev;

	buf_slice(&t->in, octets);
	if (answers == AT_ONCE || turn_ends) {
		talk_run(t);
		return;
	}
	while (!t->closed) {
		struct slice in = buf_get(&t->in);
		enum srv_event_kind kind = srv_feed(t->srv, &in, &t->tx, &ev);

		talk_event(t, &ev);
		buf_drop(&t->in, t->in.n - in.n);
		talk_replies(t);
		if (kind == SRV_EV_MORE || kind == SRV_EV_WAIT)
			return;
	}
}

/* One turn cut into pieces of `piece` octets (0: whole). */
static inline void talk_turn(struct talk *t, struct slice turn, size_t piece)
{
	if (piece == 0 || piece > turn.n)
		piece = turn.n;
	for (size_t at = 0; at < turn.n && !t->closed; at += piece)
		talk_part(t, slice_sub(turn, at, piece), at + piece >= turn.n);
}

/* One turn cut in two. */
static inline void talk_cut(struct talk *t, struct slice turn, size_t cut)
{
	if (cut)
		talk_part(t, slice_sub(turn, 0, cut), cut == turn.n);
	if (cut < turn.n)
		talk_part(t, slice_sub(turn, cut, SIZE_MAX), true);
}

/* The codes of the replies since `from`, each once, joined by spaces. */
static inline void talk_codes(const struct talk *t, size_t from, struct buf *codes)
{
	struct slice rest = slice_sub(buf_get(&t->replies), from, SIZE_MAX), line;

	buf_clear(codes);
	while (rest.n) {
		(void)slice_cut(&rest, '\n', &line);
		assert_true(line.n >= 4 && line.at[line.n - 1] == '\r');
		if (line.at[3] == '-')
			continue;
		if (codes->n)
			buf_octet(codes, ' ');
		buf_slice(codes, slice_sub(line, 0, 3));
	}
	buf_octet(codes, '\0');
	codes->n--;
}

#endif
