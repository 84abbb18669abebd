/*
 * zone.h - the DNS of a test: answers from JSON text, put to the questions of a message until there are no more.
 */
#ifndef ZONE_H
#define ZONE_H

#include "auth/asks.h"
#include "config/answers.h"

static inline struct answers *zone_new(const char *json)
{
	struct buf error;
	struct answers *zone;

	buf_init(&error, 65536);
	zone = answers_new(slice_str(json), &error);
	if (!zone)
		fail_msg("%.*s", SLICE_FMT(buf_get(&error)));
	buf_release(&error);
	return zone;
}

/* Answers what is asked now. How many questions that were. */
static inline size_t zone_answer(const struct answers *zone, struct arena *a, struct asks *q)
{
	enum dnsrec_type type;
	struct slice name;
	size_t index, n = 0;

	for (; asks_next(q, &index, &type, &name); n++) {
		struct dnsrec *rec = answers_rec(zone, a, name, type);

		assert_non_null(rec);
		asks_answer(q, index, rec);
		dnsrec_drop(&rec);
	}
	return n;
}

#endif
