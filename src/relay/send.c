/*
 * send.c - towards the next hop: the envelope while the client gives it, then DATA and the content of the judged copy.
 *
 * Lost before the first octet of content: once more on a new connection, to the same next hop or to another (hop.c), MAIL and RCPT
 * replayed; another answer than the first time is 451. Lost later: 451 4.4.2, since what was sent may have arrived.
 */
#include <stdio.h>

#include "base/limits.h"
#include "out/log.h"
#include "relay/each.h"
#include "relay/view.h"

enum { TAG_DATA = UINT32_MAX - 1, TAG_CONTENT = UINT32_MAX - 2 };

/* Nothing more comes of it: whoever waits hears so, and so does whoever asks later. */
static void break_tx(struct tx *t, const struct fault *f)
{
	struct pair *p = t->pair;

	t->broken = *f;
	if (t->up)
		upstream_drop(&t->up);
	if (t->state == TX_OPEN || t->state == TX_DATA) {
		tx_end_fault(t, f);
		return;
	}
	if (t->commands[0].code == 0) { /* the server machine answers the RCPT that wait behind it */
		t->end_seq = t->commands[0].seq;
		tx_end_fault(t, f);
		return;
	}
	for (size_t i = 1; i < t->command_count; i++) {
		struct tx_command *c = &t->commands[i];

		if (c->code)
			continue;
		c->code = f->basic;
		srv_answer_fault(p->srv, c->seq, f);
	}
	if (p->listener->conf->table && t->accepted == 0) { /* another recipient may have another next hop */
		t->broken = (struct fault){ 0 };
		hop_forget(t);
	}
	pair_go_on(p);
}

/* What there is of the client's patience is for the connection; while another next hop could be tried this one has not all of it. */
static void hurry(struct tx *t)
{
	int64_t left_ms = t->hops.until_ms - loop_now_ms(t->pair->relay->loop);
	bool another = hop_left(t);

	if (another && left_ms > LIMIT_MAIL_WAIT_S * 1000)
		left_ms = LIMIT_MAIL_WAIT_S * 1000;
	if (another || !t->hops.opened)
		upstream_within(t->up, left_ms < 1 ? 1 : left_ms);
}

static void take_anew(struct tx *t, bool woken);

/* There is a connection for it, or there was none in time. */
static void on_room(void *arg, bool room)
{
	struct tx *t = arg;
	struct fault f = { 0 }, told;

	if (room) {
		take_anew(t, true);
		return;
	}
	fault_note(&f, FAULT_NEXT_HOP_BUSY, 0, "pool.max = %u", t->pair->relay->conf->pool.max);
	if (hop_after(t, &f, &told))
		take_anew(t, false);
	else
		break_tx(t, &told);
}

static bool take(struct tx *t, bool woken)
{
	struct tx_hops *h = &t->hops;
	int64_t now_ms = loop_now_ms(t->pair->relay->loop), left_ms;
	struct fault f = { 0 };
	unsigned char head[UPSTREAM_HEAD];

	if (t->wait.hop)
		return false;
	if (!h->until_ms)
		h->until_ms = now_ms + LIMIT_PATIENCE_S * 1000;
	left_ms = h->until_ms > now_ms ? h->until_ms - now_ms : 1;
	h->answered = h->opened = h->reused = t->mail_open = t->introduced = false;
	t->sent = t->awaited = 0;
	if (upstream_must_wait(t->hop, woken)) {
		upstream_wait(t->hop, &t->wait, left_ms < LIMIT_ROOM_WAIT_S * 1000 ? left_ms : LIMIT_ROOM_WAIT_S * 1000, on_room, t);
		return false;
	}
	t->up = upstream_take(t->hop, h->takes > 0, slice_of(head, view_head(t->pair, head)), &send_user, t);
	h->takes++;
	if (!t->up) {
		fault_note(&f, FAULT_INTERNAL, 0, "no connection to the next hop could be made");
		break_tx(t, &f);
		return false;
	}
	h->reused = upstream_reused(t->up);
	h->opened = cli_ready(upstream_cli(t->up));
	hurry(t);
	return true;
}

/*
 * May commands be sent? Connections are shared, so the next hop is told whose mail comes before each transaction unless it was told
 * just that before. False: READY will come again, or the transaction is broken.
 */
static bool introduced(struct tx *t)
{
	struct pair *p = t->pair;
	struct cli *cli = upstream_cli(t->up);
	struct xclient who;

	if (!cli_ready(cli))
		return false;
	if (t->introduced)
		return true;
	t->introduced = true;
	if (p->listener->conf->next_hop_client != NEXT_HOP_CLIENT_XCLIENT)
		return true;
	view_client(p, &who);
	if (cli_xclient_is(cli, &who))
		return true;
	if (!cli_xclient_listed(cli) && !cli_xclient_said(cli)) {
		view_lacks(p, t->hop, "XCLIENT");
		return true;
	}
	t->introduced = false;
	if (cli_xclient_listed(cli)) {
		cli_xclient(cli, &who);
		upstream_push(t->up);
	} else { /* it takes us for somebody else, and will not hear of another */
		upstream_drop(&t->up);
		(void)take(t, false);
	}
	return false;
}

static void forward(struct tx *t)
{
	struct cli *cli = upstream_cli(t->up);
	struct xclient who;

	if (t->pair->listener->conf->next_hop_client != NEXT_HOP_CLIENT_XFORWARD)
		return;
	if (!cli_xforward_listed(cli)) {
		view_lacks(t->pair, t->hop, "XFORWARD");
		return;
	}
	view_forwarded(t->pair, &who);
	cli_xforward(cli, &who);
}

/* What the envelope must say to this next hop: not what the message says to it. */
static struct srv_params said(struct tx *t)
{
	struct srv_params p = t->commands[0].params;

	t->by_field = p.requiretls && relay_by_field(t->pair->listener) && !t->no_field &&
	    !(cli_ext(upstream_cli(t->up))->bits & EXT_REQUIRETLS);
	p.requiretls &= !t->by_field;
	return p;
}

static bool say_mail(struct tx *t, struct fault *f)
{
	struct srv_params p = said(t);

	forward(t);
	return cli_mail(upstream_cli(t->up), 0, t->commands[0].path.raw, &p, f);
}

static void on_event(void *arg, const struct cli_event *ev);

/* A connection to where t->hop says now. */
static void take_anew(struct tx *t, bool woken)
{
	if (take(t, woken) && cli_ready(upstream_cli(t->up)))
		on_event(t, &(struct cli_event){ .kind = CLI_EV_READY });
}

/*
 * The next hop cannot have this command as it stands. A recipient that is new is refused alone: true, go on. Else the transaction goes
 * to another next hop, or breaks.
 */
static bool lacking(struct tx *t, struct tx_command *c, struct fault *f)
{
	struct fault why;

	hop_lacks_now(t, f);
	if (f->code == FAULT_NEXT_HOP_LACKS && c != t->commands && !c->code) {
		c->code = f->basic;
		t->refused++;
		srv_answer_fault(t->pair->srv, c->seq, f);
		pair_go_on(t->pair);
		return true;
	}
	if (f->code == FAULT_NEXT_HOP_LACKS && hop_after(t, f, &why)) {
		upstream_give(&t->up, false);
		take_anew(t, false);
	} else {
		break_tx(t, f);
	}
	return false;
}

static bool send_commands(struct tx *t)
{
	struct cli *cli = upstream_cli(t->up);

	for (; t->sent < t->command_count; t->sent++) {
		struct tx_command *c = &t->commands[t->sent];
		struct fault f = { 0 };
		size_t i = t->sent;

		if (c->code && c->code / 100 != 2) /* refused before: not said again */
			continue;
		if (!hop_lacks(t, c, &f) && (i == 0 ? say_mail(t, &f) : cli_rcpt(cli, (uint32_t)i, c->path.raw, &c->params, &f)))
			t->awaited++;
		else if (!lacking(t, c, &f))
			return false;
	}
	return true;
}

static bool all_answered(const struct tx *t)
{
	return t->sent == t->command_count && t->awaited == 0;
}

static void say_data(struct tx *t)
{
	tx_enter(t, TX_DATA);
	cli_data(upstream_cli(t->up), TAG_DATA);
	upstream_push(t->up);
}

void send_envelope(struct tx *t)
{
	if (!t->up && !take(t, false))
		return;
	if (!introduced(t) || !send_commands(t))
		return;
	upstream_push(t->up);
}

void send_again(struct tx *t)
{
	if (!t->up)
		return;
	if (t->awaited || !cli_ready(upstream_cli(t->up)) || cli_spent(upstream_cli(t->up))) {
		upstream_drop(&t->up);
		return;
	}
	cli_rset(upstream_cli(t->up));
	t->sent = 0;
	t->hops.answered = t->mail_open = false;
	t->hops.until_ms = loop_now_ms(t->pair->relay->loop) + LIMIT_PATIENCE_S * 1000;
	hurry(t);
}

void send_start(struct tx *t)
{
	struct fault f = { 0 };

	if (!edit_list(t->edit, &t->runs, &t->run_count)) {
		fault_set(&f, FAULT_NO_MEMORY, 0);
		tx_end_fault(t, &f);
		return;
	}
	tx_enter(t, TX_OPEN);
	if (!t->up && !take(t, false))
		return;
	if (!introduced(t) || !send_commands(t))
		return;
	if (all_answered(t))
		say_data(t);
	else
		upstream_push(t->up);
}

/* MAIL, which we had answered ourselves: the answer is that to the recipients that wait. */
static void on_late_mail_reply(struct tx *t, const struct reply *r)
{
	struct pair *p = t->pair;

	if (r->code / 100 == 2) {
		t->commands[0].code = r->code;
		t->mail_ours = false;
		return;
	}
	for (size_t i = 1; i < t->command_count; i++)
		if (!t->commands[i].code)
			srv_answer(p->srv, t->commands[i].seq, r);
	upstream_give(&t->up, false);
	hop_forget(t);
	pair_go_on(p);
}

static void on_command_reply(struct tx *t, size_t index, const struct reply *r)
{
	struct pair *p = t->pair;
	struct tx_command *c = &t->commands[index];
	bool again = c->code != 0;
	struct fault f = { 0 };

	t->awaited--;
	if (index == 0) {
		t->mail_open = r->code / 100 == 2;
		t->hops.answered = true;
		t->hops.until_ms = 0;
		upstream_within(t->up, 0);
	}
	if (index == 0 && t->mail_ours) {
		on_late_mail_reply(t, r);
		return;
	}
	if (again && r->code != c->code) {
		fault_note(&f, FAULT_NEXT_HOP_CHANGED, 0, "%s: %d, then %d", index ? "RCPT" : "MAIL", c->code, r->code);
		break_tx(t, &f);
		return;
	}
	if (!again) {
		c->code = r->code;
		if (index && r->code / 100 == 2)
			t->accepted++;
		else if (index)
			t->refused++;
		srv_answer(p->srv, c->seq, r);
	}
	if (t->state == TX_OPEN && all_answered(t)) {
		say_data(t);
		return;
	}
	if (index == 0 && r->code / 100 != 2)
		tx_end_mail(t, r); /* the server machine answers the RCPT that wait behind it */
	pair_go_on(p);
}

/* The fields of the copy, then the body as it came. */
static bool next_run(void *arg, struct slice *run_out, bool *dots_out)
{
	struct tx *t = arg;

	*dots_out = true;
	if (t->run_at < t->run_count) {
		*run_out = t->runs[t->run_at++];
		return true;
	}
	*dots_out = t->dots; /* what was looked at when it came need not be looked at again */
	return hold_run(t->hold, t->hold_at++, run_out);
}

static size_t on_content(void *arg, struct iovec *iov, size_t max)
{
	struct tx *t = arg;

	return t->state == TX_SEND ? content_out(&t->content, iov, max) : 0;
}

static void on_wrote(void *arg, size_t n)
{
	struct tx *t = arg;

	if (content_wrote(&t->content, n) && t->state == TX_SEND) {
		tx_enter(t, TX_FINAL);
		cli_content_sent(upstream_cli(t->up), TAG_CONTENT);
		upstream_push(t->up);
	}
}

static void on_event(void *arg, const struct cli_event *ev)
{
	struct tx *t = arg;

	if (ev->reply.odd) {
		struct log_line l = log_begin(LOG_LEVEL_WARNING, "up_reply_sanitized");

		log_str(&l, "tx", t->name);
		log_str(&l, "next_hop", next_hop_name(t->hop));
		log_end(&l);
	}

	if (ev->kind == CLI_EV_READY) {
		t->hops.opened = true;
		hurry(t);
		if (t->state == TX_OPEN) {
			if (introduced(t) && send_commands(t)) {
				if (all_answered(t))
					say_data(t);
				else
					upstream_push(t->up);
			}
		} else if (t->state == TX_ENVELOPE) {
			send_envelope(t);
		}
		return;
	}
	switch (ev->what) {
	case CLI_MAIL:
	case CLI_RCPT:
		on_command_reply(t, ev->tag, &ev->reply);
		break;
	case CLI_DATA:
		if (ev->reply.code == 354) {
			tx_enter(t, TX_SEND);
			content_begin(&t->content, next_run, t);
			upstream_content(t->up);
		} else {
			tx_end_reply(t, &ev->reply);
		}
		break;
	case CLI_EACH:
		each_reply(t, &ev->reply, ev->last);
		break;
	case CLI_CONTENT:
		each_end(t, &ev->reply);
		break;
	}
}

static void on_lost(void *arg, const struct fault *f)
{
	struct tx *t = arg;
	struct fault told = *f;

	t->up = NULL;
	switch (t->state) {
	case TX_CONTENT:
	case TX_JUDGE:
	case TX_SEAL:
	case TX_STORE: /* which has none */
		return; /* a new one is taken when the copy is ready */
	case TX_SEND:
	case TX_FINAL:
		/* An answer, if not one to what was asked. */
		if (f->code == FAULT_NEXT_HOP_421 || (t->state == TX_SEND && (f->code == FAULT_NEXT_HOP_DESYNC || f->code == FAULT_NEXT_HOP_REPLY))) {
			tx_end_fault(t, f);
			return;
		}
		if (t->state == TX_FINAL) {
			struct log_line l = log_begin(LOG_LEVEL_WARNING, "up_final_lost");

			t->lost_final = true;
			log_str(&l, "tx", t->name);
			log_str(&l, "next_hop", next_hop_name(t->hop));
			log_str(&l, "note", f->note[0] ? f->note : NULL);
			log_end(&l);
		}
		told = (struct fault){ 0 };
		fault_note(&told, FAULT_NEXT_HOP_LOST, 0, "%.90s", f->note);
		tx_end_fault(t, &told);
		return;
	case TX_ENVELOPE:
	case TX_OPEN:
	case TX_DATA:
		break;
	}
	if (!hop_after(t, f, &told)) {
		break_tx(t, &told);
		return;
	}
	if (t->state == TX_DATA)
		tx_enter(t, TX_OPEN);
	if (t->state == TX_ENVELOPE && srv_pending(t->pair->srv) == 0)
		return; /* nobody waits: taken when the next command comes */
	take_anew(t, false);
}

const struct upstream_user send_user = { .event = on_event, .content = on_content, .wrote = on_wrote, .lost = on_lost };
