#include "out/log.h"
#include "queue/queue_in.h"

void tell_rcpt(const struct tell *t)
{
	const struct queue *q = t->message->queue;
	struct log_line l = log_begin(LOG_LEVEL_INFO, t->event);

	log_str(&l, "id", t->message->id);
	log_u64(&l, "copy", t->copy);
	log_text(&l, "mail_from", t->mail_from);
	log_text(&l, "rcpt_to", t->rcpt_to);
	log_str(&l, "next_hop", t->next_hop);
	log_str(&l, "address", t->address && t->address[0] ? t->address : NULL);
	if (t->code)
		log_u64(&l, "code", (uint64_t)t->code);
	log_str(&l, "enhanced", t->enhanced && t->enhanced[0] ? t->enhanced : NULL);
	if (t->text.n)
		log_text(&l, "text", t->text);
	log_str(&l, "note", t->note && t->note[0] ? t->note : NULL);
	log_u64(&l, "attempts", t->attempts);
	log_i64(&l, "delay_ms", loop_now_ms(q->loop) - t->message->arrived_ms);
	if (t->next_ms >= 0)
		log_i64(&l, "next_ms", t->next_ms);
	log_str(&l, "duplicate", t->duplicate ? "possible" : NULL);
	log_end(&l);
}
