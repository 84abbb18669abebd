/*
 * srv_answer.c - the answers a session owes: kept in the order of the commands, written when none is missing in front of them.
 */
#include <stdlib.h>

#include "base/bug.h"
#include "base/limits.h"
#include "smtp/srv_in.h"

void srv_drop_owed(struct srv *s)
{
	for (size_t i = 0; i < s->owed_n; i++)
		buf_release(&s->owed[s->owed_at + i].text);
	free(s->owed);
	s->owed = NULL;
	s->owed_at = s->owed_n = s->owed_room = 0;
}

/* RFC 3030 2: a chunk that is refused is read to its end before that is said. */
static bool awaits_chunk(const struct srv *s, const struct owed *o)
{
	return o->kind == OWED_BDAT && s->state == SRV_SWALLOW && !o->last;
}

void srv_flush(struct srv *s)
{
	while (s->owed_n && s->owed[s->owed_at].done && !awaits_chunk(s, &s->owed[s->owed_at])) {
		struct owed *o = &s->owed[s->owed_at];
		bool last = o->last;

		buf_slice(&s->out, buf_get(&o->text));
		s->out.failed |= buf_failed(&o->text);
		buf_release(&o->text);
		s->owed_at++;
		s->owed_n--;
		if (last) {
			srv_go(s);
			return;
		}
	}
	if (s->owed_n)
		return;
	srv_drop_owed(s);
	if (s->ending && s->state != SRV_GONE) {
		reply_fault(&s->out, s->why);
		srv_go(s);
	}
}

bool srv_owe(struct srv *s, enum owed_kind kind, uint32_t *seq_out)
{
	if (s->owed_at + s->owed_n == s->owed_room) {
		size_t room = s->owed_n < 4 ? 4 : s->owed_n * 2;
		struct owed *more = malloc(room * sizeof(*more));

		if (!more)
			return false;
		if (s->owed_n)
			memcpy(more, s->owed + s->owed_at, s->owed_n * sizeof(*more));
		free(s->owed);
		s->owed = more;
		s->owed_at = 0;
		s->owed_room = room;
	}
	s->owed[s->owed_at + s->owed_n] = (struct owed){ .seq = ++s->seq, .kind = kind };
	buf_init(&s->owed[s->owed_at + s->owed_n].text, LIMIT_REPLY);
	s->owed_n++;
	*seq_out = s->seq;
	return true;
}

static struct owed *owed_find(struct srv *s, uint32_t seq)
{
	for (size_t i = 0; i < s->owed_n; i++) {
		struct owed *o = &s->owed[s->owed_at + i];

		if (o->seq == seq && !o->done)
			return o;
	}
	return NULL;
}

/* MAIL was refused: the RCPT behind it have nothing to belong to, whatever was said of them. */
static void refuse_rcpts(struct srv *s)
{
	struct fault f = { 0 };

	fault_set(&f, FAULT_BAD_SEQUENCE, 0);
	for (size_t i = 1; i < s->owed_n; i++) {
		struct owed *o = &s->owed[s->owed_at + i];

		if (o->kind != OWED_RCPT)
			continue;
		buf_clear(&o->text);
		reply_fault(&o->text, &f);
		o->done = true;
		o->last = false;
	}
}

/* What an answer means for the session. */
static void take_answer(struct srv *s, const struct owed *o, short code)
{
	bool yes = code >= 200 && code < 300;

	switch (o->kind) {
	case OWED_MAIL:
		if (yes) {
			srv_enter(s, s->rcpt_ok ? SRV_RCPT : SRV_MAIL);
		} else {
			s->bad_rcpt++;
			refuse_rcpts(s);
			srv_clear_tx(s);
		}
		break;
	case OWED_RCPT:
		if (!yes) {
			s->bad_rcpt = (uint16_t)(s->bad_rcpt + (code >= 500));
			break;
		}
		s->rcpt_ok++;
		if (s->state != SRV_IDLE)
			srv_enter(s, SRV_RCPT);
		break;
	case OWED_DATA:
		BUG_ON(code < 400);
		srv_clear_tx(s);
		break;
	case OWED_BDAT:
		BUG_ON(code < 400);
		s->chunk.refused = true;
		srv_enter(s, SRV_SWALLOW);
		break;
	case OWED_END:
		if (yes)
			s->bad = s->bad_rcpt = s->idle = 0;
		srv_clear_tx(s);
		break;
	case OWED_LOCAL:
		break;
	}
}

static void answer(struct srv *s, uint32_t seq, short code, const struct reply *r, const struct fault *f)
{
	struct owed *o = owed_find(s, seq);
	struct buf *to;

	if (!o || s->state == SRV_GONE)
		return;
	to = o == &s->owed[s->owed_at] && o->kind != OWED_BDAT ? &s->out : &o->text;
	if (r)
		reply_write(to, r, s->utf8);
	else
		reply_fault(to, f);
	o->done = true;
	o->last = code == 421;
	take_answer(s, o, code);
	srv_flush(s);
}

void srv_answer_rcpt(struct srv *s, uint32_t seq, const struct reply *r, const struct fault *f)
{
	struct owed *o = owed_find(s, seq);

	if (!o || o->kind != OWED_END || s->state == SRV_GONE)
		return;
	BUG_ON(!s->prdr || o != &s->owed[s->owed_at]);
	if (!o->each)
		buf_str(&s->out, "353 answers for each recipient follow\r\n");
	o->each = true;
	if (r)
		reply_write(&s->out, r, s->utf8);
	else
		reply_fault(&s->out, f);
}

void srv_answer(struct srv *s, uint32_t seq, const struct reply *r)
{
	answer(s, seq, r->code, r, NULL);
}

void srv_answer_fault(struct srv *s, uint32_t seq, const struct fault *f)
{
	answer(s, seq, f->basic, NULL, f);
}

void srv_data_go(struct srv *s, uint32_t seq)
{
	struct owed *o = owed_find(s, seq);

	if (!o || (o->kind != OWED_DATA && o->kind != OWED_BDAT) || s->state == SRV_GONE)
		return;
	if (o->kind == OWED_DATA)
		buf_str(&s->out, "354 end data with <CR><LF>.<CR><LF>\r\n");
	o->done = true;
	s->swallowed = 0;
	srv_enter(s, SRV_BODY);
	srv_flush(s);
}
