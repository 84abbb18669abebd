/*
 * asks.h - the questions to the DNS of one message: what all its engines want to know, each name and type once. Pure.
 *
 * An engine looks an answer up; while there is none it stops, and is called again when there are more answers. Whoever runs the
 * engines takes the questions from here and puts the answers back:
 *
 *   engine:  rec = asks_get(q, DNSREC_TXT, name); if (!rec) return false;      (it is asked for now)
 *   host:    while (asks_next(q, &index, &type, &name)) ...                    then asks_answer(q, index, rec)
 */
#ifndef AUTH_ASKS_H
#define AUTH_ASKS_H

#include "auth/dnsrec.h"

struct asks;

/* `most`: questions a message may ask; any more are answered with a time-out, unasked. NULL: no memory. */
struct asks *asks_new(struct arena *a, size_t most);
/* Drops the records it holds. NULL is fine. */
void asks_release(struct asks *q);

/*
 * asks_get - the answer, borrowed until asks_release(); NULL: not there yet, and from now on wanted
 * In:    any octets: what cannot be a name (dns_name_normal()) does not exist, and nobody is asked. No memory is a time-out.
 */
const struct dnsrec *asks_get(struct asks *q, enum dnsrec_type type, struct slice name);
/* The same, for an answer that will be looked up later: questions travel together. */
void asks_want(struct asks *q, enum dnsrec_type type, struct slice name);

/* The next question that nobody has taken yet; *name_out is normal. False: none. */
bool asks_next(struct asks *q, size_t *index_out, enum dnsrec_type *type_out, struct slice *name_out);
/* Holds rec. A question that has an answer keeps it. */
void asks_answer(struct asks *q, size_t index, struct dnsrec *rec);
/* Time is over: what has no answer, and what is asked from now on, is a time-out. */
void asks_give_up(struct asks *q);
/* Asked or to be asked, and not answered. */
size_t asks_open(const struct asks *q);
/* Questions in all. */
size_t asks_count(const struct asks *q);
/* Were there more than it may ask? */
bool asks_too_many(const struct asks *q);

#endif
