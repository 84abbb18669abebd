#include "net/trouble.h"
#include "out/log.h"

void trouble_comes(struct trouble *t, const char *event, struct slice name, const char *note, int64_t now_ms)
{
	struct log_line l;

	t->count++;
	t->last_ms = now_ms;
	if (t->told && now_ms - t->told_ms < TROUBLE_MS)
		return;
	l = log_begin(LOG_LEVEL_WARNING, event);
	if (name.n)
		log_text(&l, "name", name);
	log_str(&l, "note", note);
	log_u64(&l, "count", t->count);
	log_end(&l);
	t->told = true;
	t->told_ms = now_ms;
	t->count = 0;
}

void trouble_goes(struct trouble *t, const char *event, int64_t now_ms)
{
	struct log_line l;

	if (!t->told || now_ms - t->last_ms < TROUBLE_MS)
		return;
	l = log_begin(LOG_LEVEL_INFO, event);
	log_u64(&l, "count", t->count);
	log_end(&l);
	*t = (struct trouble){ 0 };
}
