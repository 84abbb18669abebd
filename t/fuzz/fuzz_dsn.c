/*
 * A message that may be a report. What is read and written again reads the same; it is believed only if the seal it returns is
 * right, for one key of the corpus; and what goes on to the hop before tells nothing of ours.
 */
#include "auth/dkim2/bounce.h"
#include "base/limits.h"
#include "fuzz.h"
#include "mail/addr.h"

enum { NOW = 1795255200 };

/* e._domainkey.list.test of the corpus */
#define KEY "v=DKIM1; k=ed25519; p=i+/mHDCV2k1x8Uvv4iD/mnbgxbXQRiBO49cHYaroOfw="

static struct slice put_together(struct arena *a, const struct dsn_message *m)
{
	struct buf b;
	struct slice out;

	buf_init(&b, 1 << 26);
	buf_slice(&b, m->header);
	buf_str(&b, "\r\n");
	for (size_t k = 0; k < m->runs; k++)
		buf_slice(&b, m->body[k]);
	WANT(!buf_failed(&b));
	out = arena_copy(a, buf_get(&b));
	buf_release(&b);
	return out;
}

static bool take_apart(struct arena *a, struct slice message, struct header *h, struct slice *body)
{
	size_t seen = 0, block = 0, at = 0;
	struct fault f = { 0 };

	if (!header_end(message, &seen, &block, &at) || !header_parse(a, slice_sub(message, 0, block), 200, h, &f))
		return false;
	*body = slice_sub(message, at, SIZE_MAX);
	return true;
}

static bool inside(struct slice part, struct slice whole)
{
	return part.n == 0 || (part.at >= whole.at && part.at + part.n <= whole.at + whole.n);
}

static void want_kept(const struct dsn *d, struct slice body)
{
	WANT(d->n > 0 && d->n <= LIMIT_RCPT && d->reporting_mta.type.n && d->reporting_mta.text.n);
	WANT(inside(d->returned, body) && inside(d->body, d->returned) && inside(d->header.raw, d->returned));
	for (size_t k = 0; k < d->n; k++) {
		WANT(d->recipients[k].final.type.n && d->recipients[k].final.text.n && d->recipients[k].action < DSN_ACTIONS);
		WANT(dsn_status_valid(d->recipients[k].status));
	}
}

/* Empty: it cannot be written. */
static struct slice written(struct arena *a, const struct dsn *d)
{
	struct slice run = d->header_only ? d->header.raw : d->returned;
	struct dsn_report r = { .from = S("m@x.test"),
		.to = S("<s@a.test>"),
		.message_id = S("<1@x.test>"),
		.boundary = S("=_fuzz"),
		.envelope_id = d->envelope_id,
		.reporting_mta = d->reporting_mta,
		.arrival = d->arrival,
		.recipients = d->recipients,
		.n = d->n,
		.runs = &run,
		.run_count = 1,
		.header_octets = d->header.raw.n,
		.header_only = d->header_only };
	struct dsn_message m;

	switch (dsn_write(a, &r, &m)) {
	case DSN_WRITTEN:
		return put_together(a, &m);
	case DSN_WRITE_BOUNDARY:
		WANT(memmem(run.at, run.n, "--=_fuzz", 8));
		break;
	case DSN_WRITE_MEMORY:
		WANT(false);
		break;
	case DSN_WRITE_BAD:
		break;
	}
	return SLICE_NONE;
}

static struct dsn want_read(struct arena *a, struct slice message)
{
	struct dsn d;
	struct header h;
	struct slice body;
	const char *why = "";

	WANT(take_apart(a, message, &h, &body) && !h.malformed);
	if (dsn_read(a, &h, body, 200, &d, &why) != DSN_READ) {
		fprintf(stderr, "%s: %.*s\n", why, SLICE_FMT(message));
		WANT(false);
	}
	want_kept(&d, body);
	return d;
}

static void goes_round(struct arena *a, const struct dsn *d)
{
	struct slice once = written(a, d), twice;
	struct dsn again;

	if (once.n == 0)
		return;
	again = want_read(a, once);
	WANT(again.n == d->n && again.header_only == d->header_only && slice_eq(again.header.raw, d->header.raw));
	WANT(d->header_only || slice_eq(again.returned, d->returned));
	for (size_t k = 0; k < d->n; k++) {
		WANT(again.recipients[k].action == d->recipients[k].action && slice_eq(again.recipients[k].status, d->recipients[k].status));
		WANT(slice_eq(again.recipients[k].final.text, d->recipients[k].final.text));
		WANT(slice_eq(again.recipients[k].original.text, d->recipients[k].original.text));
		WANT(slice_eq(dsn_path(a, again.recipients[k].final), dsn_path(a, d->recipients[k].final)));
	}
	twice = written(a, &again);
	WANT(slice_eq(once, twice));
}

static bool is_list(struct slice d, const void *arg)
{
	(void)arg;
	return slice_eq(d, S("list.test"));
}

static void want_onward(struct arena *a, const struct bounce_message *m)
{
	struct slice text = put_together(a, &m->message);
	struct dsn d = want_read(a, text);
	struct path to;

	WANT(path_parse(m->rcpt_to, &to) && !to.null && slice_eq(m->d, S("list.test")) && m->aligned);
	WANT(d.n == 1 && d.recipients[0].action == DSN_FAILED && d.recipients[0].remote_mta.text.n == 0 && d.recipients[0].diagnostic.text.n == 0);
	for (size_t k = 0; k < d.header.n; k++)
		WANT(!slice_ieq(d.header.fields[k].name, S("DKIM2-Signature")) || !memmem(d.header.fields[k].value.at, d.header.fields[k].value.n, "d=list.test", 11));
}

static void believe(struct arena *a, const struct header *h, struct slice body, unsigned draft)
{
	static const struct slice text = { (const unsigned char *)KEY, sizeof(KEY) - 1 }, rcpt = { (const unsigned char *)"<s@list.test>", 13 };
	static const struct bounce_form form = { { (const unsigned char *)"mx.test", 7 }, { (const unsigned char *)"<1@mx.test>", 11 },
		{ (const unsigned char *)"=_fuzz", 6 }, NOW };
	const struct dkim2_hop hop = { .i = 1, .m = 1, .t = NOW + 60, .d = S("c.test"), .d_normal = S("c.test"), .mf = S("<>") };
	const struct dkim2_verdict verdict = { .state = DKIM2_PASS, .level = DKIM2_FULL, .newest = DKIM2_PASS, .hops = &hop, .hop_count = 1 };
	const struct bounce_domains domains = { is_list, is_list, NULL, S("mx.test") };
	const struct bounce_conf conf = { &verdict, &rcpt, 1, &domains, true, 300, draft, 200, LIMIT_UNDO };
	struct bounce *b = bounce_new(a, h, body, &conf);
	const struct bounce_finding *f;
	struct bounce_message m;
	enum dsn_write_state write = DSN_WRITTEN;
	const struct slice *names;
	size_t n;

	WANT(b);
	n = bounce_asks(b, &names);
	WANT(n <= LIMIT_KEYS);
	for (size_t k = 0; k < n; k++) {
		bool ours = slice_eq(names[k], S("e._domainkey.list.test"));
		struct keyrec *rec = keyrec_new(ours ? DNS_OK : DNS_NXDOMAIN, &text, ours, false);

		bounce_answer(b, k, rec);
		keyrec_drop(&rec);
	}
	f = bounce_finding(b);
	WANT((f->state == BOUNCE_BELIEVED) == (f->reason.n == 0));
	WANT(f->state != BOUNCE_BELIEVED || (f->report && f->verified && f->ours && f->aligned && f->linked && f->run && n));
	switch (bounce_onward(b, SLICE_NONE, &form, &m, &write)) {
	case BOUNCE_ONWARD:
		WANT(f->state == BOUNCE_BELIEVED);
		want_onward(a, &m);
		break;
	case BOUNCE_STOP_BELIEF:
		WANT(f->state != BOUNCE_BELIEVED);
		break;
	case BOUNCE_STOP_WRITE:
		WANT(write == DSN_WRITE_BOUNDARY || write == DSN_WRITE_BAD);
		break;
	default:
		WANT(f->state == BOUNCE_BELIEVED);
	}
	bounce_release(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	const char *why = "";
	struct slice body;
	struct header h;
	struct arena a;
	struct dsn d;

	if (n < 2)
		return 0;
	arena_init(&a, (size_t)LIMIT_TX_ARENA * 4);
	if (take_apart(&a, slice_of(at + 1, n - 1), &h, &body)) {
		switch (dsn_read(&a, &h, body, 200, &d, &why)) {
		case DSN_READ:
			want_kept(&d, body);
			goes_round(&a, &d);
			break;
		case DSN_BAD:
			WANT(*why);
			break;
		case DSN_NONE:
			break;
		case DSN_MEMORY:
			WANT(false);
		}
		believe(&a, &h, body, 6 + (at[0] & 3));
	}
	WANT(!arena_failed(&a));
	arena_clear(&a);
	return 0;
}
