/*
 * bounce_world.h - reports on messages of dkim2_hops.h, on their way to those who sent them. Included once by each of the tests
 * of auth/dkim2/bounce.h.
 */
#ifndef BOUNCE_WORLD_H
#define BOUNCE_WORLD_H

#include "auth/dkim2/bounce.h"
#include "base/limits.h"
#include "dkim2_hops.h"

static inline int make_bounce_world(void **state)
{
	struct slice text;

	make_domains(state);
	text = keyrec_text(&arena, domain_keys[3]); /* what hop_key() signs other names with */
	json_object_set_new(zone, "e._domainkey.sub.c.test", json_pack("[s%]", text.at, text.n));
	return 0;
}

static inline bool holds(struct slice text, const char *what)
{
	return memmem(text.at, text.n, what, strlen(what)) != NULL;
}

/* Is d one of the words of arg? */
static inline bool named(struct slice d, const void *arg)
{
	struct slice rest = slice_str(arg), word;
	bool more;

	do {
		more = slice_cut(&rest, ' ', &word);
		if (slice_eq(d, word))
			return true;
	} while (more);
	return false;
}

static inline struct slice whole(const struct bounce_message *m)
{
	struct buf b;
	struct slice out;

	buf_init(&b, 1 << 24);
	buf_slice(&b, m->message.header);
	buf_str(&b, "\r\n");
	for (size_t k = 0; k < m->message.runs; k++)
		buf_slice(&b, m->message.body[k]);
	out = arena_copy(&arena, buf_get(&b));
	buf_release(&b);
	return out;
}

/* A report by hand, about <hidden@c.test>. */
static inline struct slice report_text(struct slice returned, const char *d, const char *type)
{
	struct slice head = arena_printf(&arena,
	    "From: mailer-daemon@%s\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
	    "--b\r\n\r\ndelivery failed\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; %s\r\n\r\n"
	    "Final-Recipient: rfc822; hidden@c.test\r\nAction: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; deep.inside.test\r\n"
	    "Diagnostic-Code: smtp; 550 5.1.1 no such user deep inside\r\n\r\n--b\r\nContent-Type: %s\r\n\r\n",
	    d, d, type);

	return join(head, returned, S("\r\n--b--\r\n"));
}

static inline struct slice sealed_report(struct slice report, const char *d, const char *mf, struct slice to, int64_t t)
{
	struct hop hop = { .d = d, .mf = mf, .rt = arena_string(&arena, to), .t = t };

	return add_hop(forge_instance(report, 1), 1, &hop);
}

/* Where a report comes to. */
struct world {
	const char *ours; /* domains, keys too */
	int64_t now;
	bool link;
	bool no_envelope; /* it is not known */
	struct slice mail_from;
	unsigned draft; /* default 9 */
	/* until left() */
	struct slice rcpt;
	struct dkim2_envelope envelope;
	struct bounce_domains domains;
	struct bounce_conf conf;
	struct header header;
	struct bounce *bounce;
};

static inline const struct bounce_finding *arrived(struct world *w, struct slice message, struct slice rcpt)
{
	const struct slice *names;
	struct slice body;
	size_t n;

	w->draft = w->draft ? w->draft : 9;
	w->rcpt = rcpt;
	w->envelope = (struct dkim2_envelope){ w->mail_from, &w->rcpt, 1 };
	w->domains = (struct bounce_domains){ named, named, w->ours, S("host.test") };
	w->conf = (struct bounce_conf){ .verdict = vector_verify(&arena, message, w->no_envelope ? NULL : &w->envelope, w->now, w->draft, zone),
		.rcpt_to = &w->rcpt,
		.rcpt_count = 1,
		.domains = &w->domains,
		.link = w->link,
		.future_s = 300,
		.draft = w->draft,
		.field_max = 1000,
		.undo_octets = LIMIT_UNDO };
	split(message, &w->header, &body);
	w->bounce = bounce_new(&arena, &w->header, body, &w->conf);
	assert_non_null(w->bounce);
	n = bounce_asks(w->bounce, &names);
	for (size_t k = n; k-- > 0;) {
		struct keyrec *rec = vector_keyrec(&arena, zone, names[k]);

		bounce_answer(w->bounce, k, rec);
		keyrec_drop(&rec);
	}
	return bounce_finding(w->bounce);
}

static inline void left(struct world *w)
{
	bounce_release(w->bounce);
	w->bounce = NULL;
}

#endif
