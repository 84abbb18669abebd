#include "queue/bounce.h"
#include "auth/dkim2/bounce.h"
#include "base/ip.h"
#include "base/limits.h"
#include "base/map.h"
#include "mail/addr.h"
#include "mail/date.h"
#include "mail/utf8.h"

enum { BOUNDARY_TRIES = 8 };

/* What is told, and how. */
struct told {
	struct arena *arena;
	const struct bounce_terms *terms;
	struct dsn_recipient *rcpts;
	struct slice *paths;
	size_t n;
	bool actions[DSN_ACTIONS];
	struct bounce_domains domains;
};

/* ---- who wants to hear of it ---- */

static bool says(struct slice notify, const char *wanted)
{
	struct slice word;
	bool more;

	do {
		more = slice_cut(&notify, ',', &word);
		if (slice_ieq(word, slice_str(wanted)))
			return true;
	} while (more);
	return false;
}

bool bounce_wanted(const struct spool_rcpt *r, enum dsn_action action)
{
	static const char *const words[DSN_ACTIONS] = { [DSN_FAILED] = "FAILURE",
		[DSN_DELAYED] = "DELAY",
		[DSN_DELIVERED] = "SUCCESS",
		[DSN_RELAYED] = "SUCCESS",
		[DSN_EXPANDED] = "SUCCESS" };

	if (r->notify.n == 0)
		return action == DSN_FAILED || action == DSN_DELAYED;
	return !says(r->notify, "NEVER") && says(r->notify, words[action]);
}

/* A report that failed is worth a line in the log, whatever its envelope says. */
static bool wanted(const struct spool_envelope *e, const struct bounce_rcpt *r)
{
	return e->report ? r->action == DSN_FAILED : bounce_wanted(r->rcpt, r->action);
}

/* A word for the log, NULL: somebody hears of it. */
static const char *nobody(struct arena *a, const struct spool_envelope *e)
{
	bool null = slice_eq(e->mail_from, S("<>")) || slice_eq(e->report_to, S("<>"));
	const char *said;

	if (!e->report && !null && e->report_to.n)
		return NULL;
	said = e->report_why.n ? arena_string(a, e->report_why) : NULL;
	return said ? said : null || e->report ? "null_path" : "nobody";
}

/* ---- values ---- */

/* Can it stand in a field of a report? */
static bool fits_line(struct slice path)
{
	struct path ignored;

	for (size_t i = 0; i < path.n; i++)
		if (path.at[i] < ' ' || path.at[i] == 0x7f)
			return false;
	return path.n <= LIMIT_REPORT_VALUE && utf8_valid(path) && path_parse(path, &ignored);
}

static int hex(unsigned char c)
{
	if (ascii_digit(c))
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/*
 * RFC 3461 4: xtext to the text it stands for. With `ascii` an octet above 127 stays as it is written. Empty: it is none, a control octet
 * among it, or no memory.
 */
static struct slice from_xtext(struct arena *a, struct slice s, bool ascii)
{
	unsigned char *text = arena_take(a, s.n);
	size_t n = 0;

	for (size_t i = 0; text && i < s.n; i++) {
		int octet = s.at[i];

		if (octet == '+') {
			int upper = s.n - i > 2 ? hex(s.at[i + 1]) : -1, lower = s.n - i > 2 ? hex(s.at[i + 2]) : -1;

			if (upper < 0 || lower < 0)
				return SLICE_NONE;
			octet = upper * 16 + lower;
			if (octet >= 0x80 && ascii)
				octet = '+';
			else
				i += 2;
		}
		if (octet < ' ' || octet == 0x7f)
			return SLICE_NONE;
		text[n++] = (unsigned char)octet;
	}
	return text ? slice_of(text, n) : SLICE_NONE;
}

static bool is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.at[i] >= 0x80)
			return false;
	return true;
}

/* ORCPT as Original-Recipient (RFC 3461 6.3). Postfix says rfc822 of UTF-8 too, whose octets it encodes. */
static struct dsn_typed original(struct arena *a, struct slice orcpt)
{
	static const struct dsn_typed none;
	struct dsn_typed t;

	if (!slice_cut(&orcpt, ';', &t.type) || t.type.n == 0 || t.type.n > DSN_TYPE_OCTETS)
		return none;
	for (size_t i = 0; i < t.type.n; i++)
		if (t.type.at[i] <= ' ' || t.type.at[i] >= 0x7f)
			return none;
	t.text = from_xtext(a, orcpt, false);
	if (!utf8_valid(t.text))
		t.text = from_xtext(a, orcpt, true);
	else if (!is_ascii(t.text) && slice_ieq(t.type, S("rfc822")))
		t.type = S("utf-8");
	return slice_trim(t.text).n && utf8_valid(t.text) ? t : none;
}

/* Does a status of that class go with the action? What failed in the end may have failed for now each time (RFC 3464 2.3.4). */
static bool class_fits(enum dsn_action action, int class)
{
	switch (action) {
	case DSN_FAILED:
		return class == '5' || class == '4';
	case DSN_DELAYED:
		return class == '4';
	default:
		return class == '2';
	}
}

static struct slice status(struct arena *a, const struct bounce_rcpt *r)
{
	struct slice said = slice_str(r->enhanced);
	int class = '0' + r->code / 100;

	if (dsn_status_valid(said) && class_fits(r->action, said.at[0]))
		return said;
	if (class_fits(r->action, class))
		return arena_printf(a, "%c.0.0", class);
	return r->action == DSN_FAILED ? S("5.0.0") : r->action == DSN_DELAYED ? S("4.0.0") : S("2.0.0");
}

/* "lmtp:[::1]:24" as Remote-MTA has it: a name, or an address literal (RFC 5321 4.1.3). */
static struct slice server(struct arena *a, const char *next_hop)
{
	struct slice name = slice_str(next_hop), rest;
	unsigned char address[16];

	if (slice_istarts(name, S("lmtp:")))
		name = slice_sub(name, 5, SIZE_MAX);
	if (slice_starts(name, S("["))) {
		rest = slice_sub(name, 1, SIZE_MAX);
		(void)slice_cut(&rest, ']', &name);
	} else if (!ip_parse(name, address)) {
		rest = name;
		(void)slice_cut(&rest, ':', &name);
	}
	if (slice_istarts(name, S("IPv6:")))
		name = slice_sub(name, 5, SIZE_MAX);
	if (!ip_parse(name, address))
		return name;
	return arena_printf(a, ip_is_v4(address) ? "[%.*s]" : "[IPv6:%.*s]", SLICE_FMT(name));
}

/* "550 5.1.1 no such user", lines of the answer joined by a blank. */
static struct slice answer(struct arena *a, const struct bounce_rcpt *r)
{
	struct slice said = slice_trim(utf8_head(r->text, LIMIT_REPORT_VALUE));
	unsigned char *text = arena_take(a, said.n + 4);
	size_t n = 0;

	if (!text)
		return SLICE_NONE;
	for (short left = r->code, unit = 100; unit; left = (short)(left % unit), unit = (short)(unit / 10))
		text[n++] = (unsigned char)('0' + left / unit % 10);
	if (said.n)
		text[n++] = ' ';
	for (size_t i = 0; i < said.n; i++) {
		bool end = said.at[i] == '\r' || said.at[i] == '\n';

		if (!end || text[n - 1] != ' ')
			text[n++] = end ? ' ' : said.at[i];
	}
	return slice_of(text, n);
}

static struct slice date(struct arena *a, int64_t unix_s)
{
	char text[DATE_OCTETS];

	return unix_s > 0 ? arena_copy(a, slice_of(text, date_format(unix_s, text))) : SLICE_NONE;
}

/* ---- whom it tells of ---- */

static void tell(struct told *told, const struct bounce_rcpt *r)
{
	struct arena *a = told->arena;
	struct dsn_recipient *to = &told->rcpts[told->n];

	*to = (struct dsn_recipient){ .original = original(a, r->rcpt->orcpt),
		.final = dsn_address(r->rcpt->path),
		.action = r->action,
		.status = status(a, r),
		.last_attempt = date(a, r->last_attempt_s) };
	if (r->action == DSN_DELAYED)
		to->retry_until = date(a, told->terms->retry_until_s);
	if (r->code)
		to->diagnostic = (struct dsn_typed){ S("smtp"), answer(a, r) };
	else
		to->words = r->text;
	if (r->code && r->next_hop && *r->next_hop)
		to->remote_mta = (struct dsn_typed){ S("dns"), server(a, r->next_hop) };
	if (to->remote_mta.text.n == 0)
		to->remote_mta.type = SLICE_NONE;
	told->paths[told->n++] = r->rcpt->path;
	told->actions[r->action] = true;
}

static struct slice subject(const struct told *told)
{
	if (told->actions[DSN_FAILED])
		return S("Undelivered mail returned to sender");
	if (told->actions[DSN_DELAYED])
		return S("Mail not delivered yet, still being tried");
	return told->actions[DSN_RELAYED] ? S("Mail passed on") : S("Mail delivered");
}

/* ---- who seals it ---- */

static bool has_key(struct slice d, const void *arg)
{
	const struct conf *conf = arg;

	for (size_t i = 0; i < conf->key_count; i++)
		if (conf->keys[i].active && slice_eq(d, slice_str(conf->keys[i].domain)))
			return true;
	return false;
}

/* Our host name, or the nearest domain above it that has a key. */
static struct slice host_domain(const struct conf *conf)
{
	struct slice d = slice_str(conf->hostname), label;

	while (d.n && !has_key(d, conf))
		(void)slice_cut(&d, '.', &label);
	return d.n ? d : slice_str(conf->hostname);
}

/* Without a chain there is no rt= but what we were told ourselves. */
static struct slice signer(const struct told *told, bool *aligned)
{
	const struct dkim2_verdict *came = told->terms->came;
	struct dkim2_hop ours = { .rt = told->paths, .rt_count = told->n };
	const struct dkim2_hop *to = &ours;
	size_t first = 0;

	if (came && came->hop_count && path_same(told->arena, came->hops[came->hop_count - 1].mf, told->terms->envelope->report_to))
		to = &came->hops[came->hop_count - 1];
	while (told->actions[DSN_FAILED] && told->rcpts[first].action != DSN_FAILED)
		first++;
	return bounce_signer(told->arena, to, told->paths[first], &told->domains, aligned);
}

/* ---- the message ---- */

/* Is what it failed for in the content? A report that held it would fail likewise where the same next hop leads back. */
static bool of_content(const struct told *told)
{
	for (size_t i = 0; i < told->n; i++)
		if (slice_eq(told->rcpts[i].status, S("5.3.4")) || slice_eq(told->rcpts[i].status, S("5.6.3")))
			return true;
	return false;
}

static bool whole(const struct told *told)
{
	const struct bounce_terms *t = told->terms;
	const struct spool_envelope *e = t->envelope;

	if (!told->actions[DSN_FAILED] || e->requiretls)
		return false;
	if (e->ret.n)
		return slice_ieq(e->ret, S("FULL"));
	if (of_content(told))
		return false;
	/* an 8-bit report dies where the way back is 7bit (spec 15.1) */
	return t->body.n <= LIMIT_REPORT_RETURNED && t->header.n <= LIMIT_REPORT_RETURNED - t->body.n &&
	    (e->body_8bit || e->smtputf8 || is_ascii(t->body));
}

static struct slice boundary(const struct told *told, unsigned try)
{
	const struct bounce_terms *t = told->terms;
	const uint64_t fixed[2] = { 0x626f756e64617279U, try };
	uint64_t seed[2] = { map_hash(fixed, t->boundary_seed), (uint64_t)t->now_s };
	uint64_t high = map_hash(seed, t->id), low;

	seed[1] ^= high;
	low = map_hash(seed, t->boundary_seed);
	return arena_printf(told->arena, "=_%016llx%016llx", (unsigned long long)high, (unsigned long long)low);
}

static enum dsn_write_state write_dsn(const struct told *told, struct slice d, struct dsn_message *out)
{
	const struct bounce_terms *t = told->terms;
	struct arena *a = told->arena;
	bool full = whole(told);
	const struct slice runs[3] = { t->header, S("\r\n"), t->body };
	struct dsn_report r = { .from = arena_printf(a, "Mail Delivery System <postmaster@%.*s>", SLICE_FMT(d)),
		.to = t->envelope->report_to,
		.subject = subject(told),
		.message_id = arena_printf(a, "<%.*s@%s>", SLICE_FMT(t->id), t->conf->hostname),
		.date = t->now_s,
		.envelope_id = from_xtext(a, t->envelope->envid, true),
		.reporting_mta = { S("dns"), slice_str(t->conf->hostname) },
		.arrival = date(a, t->envelope->arrived_s),
		.recipients = told->rcpts,
		.n = told->n,
		.runs = runs,
		.run_count = full ? 3 : 1,
		.header_octets = t->header.n,
		.header_only = !full };
	enum dsn_write_state state = DSN_WRITE_BOUNDARY;

	for (unsigned try = 0; try < BOUNDARY_TRIES && state == DSN_WRITE_BOUNDARY; try++) {
		r.boundary = boundary(told, try);
		if (arena_failed(a))
			return DSN_WRITE_MEMORY;
		state = dsn_write(a, &r, out);
	}
	return state;
}

/* A run that begins with one may begin a line. */
static bool dots(const struct dsn_message *m)
{
	bool met = false;

	for (size_t k = 0; k < m->runs && !met; k++)
		met = slice_starts(m->body[k], S(".")) || memmem(m->body[k].at, m->body[k].n, "\n.", 2);
	return met;
}

/* False: no memory. */
static bool envelope(struct arena *a, const struct bounce_terms *t, const struct dsn_message *m, struct spool_envelope *out)
{
	struct spool_rcpt *to = ARENA_NEW(a, struct spool_rcpt);

	if (!to)
		return false;
	*to = (struct spool_rcpt){ .path = t->envelope->report_to, .notify = S("NEVER") }; /* RFC 3461 6.2 */
	*out = (struct spool_envelope){ .id = t->id,
		.listener = t->envelope->listener,
		.arrived_s = t->now_s,
		.mail_from = S("<>"),
		.body_8bit = m->eight_bit,
		/* a header in UTF-8 that came without a word goes back the same way */
		.smtputf8 = m->utf8 && (t->envelope->smtputf8 || !is_ascii(t->envelope->report_to)),
		.requiretls = t->envelope->requiretls, /* what is returned is no less secret for it (RFC 8689 5) */
		.known_client = true,
		.report = true,
		.dots = dots(m),
		.wanted = 1,
		.report_why = S("null_path"),
		.judged = true,
		.chain_state = DKIM2_NONE,
		.chain_newest = DKIM2_NONE,
		.arc_state = ARC_NONE,
		.rcpts = to,
		.rcpt_count = 1 };
	return true;
}

static const char *cannot(enum dsn_write_state state)
{
	return state == DSN_WRITE_BOUNDARY ? "boundary" : state == DSN_WRITE_BAD ? "address" : "memory";
}

static enum bounce_made make(struct told *told, struct bounce_report *out, const char **why_out)
{
	struct bounce_report r = { .rcpts = told->n };
	const struct conf *conf = told->terms->conf;
	struct dsn_message m = { .runs = 0 };
	enum dsn_write_state state;

	told->domains = (struct bounce_domains){ has_key, has_key, conf, host_domain(conf) };
	r.d = signer(told, &r.aligned);
	state = write_dsn(told, r.d, &m);
	if (state == DSN_WRITTEN && (!envelope(told->arena, told->terms, &m, &r.envelope) || arena_failed(told->arena)))
		state = DSN_WRITE_MEMORY;
	if (state != DSN_WRITTEN) {
		*why_out = cannot(state);
		return BOUNCE_CANNOT;
	}
	if (!has_key(r.d, conf))
		r.d = SLICE_NONE;
	r.header = m.header;
	r.body = m.body;
	r.runs = m.runs;
	*out = r;
	return BOUNCE_MADE;
}

enum bounce_made bounce_write(struct arena *a, const struct bounce_terms *t, const struct bounce_rcpt *rcpts, size_t n,
    struct bounce_report *out, const char **why_out)
{
	struct told told = { .arena = a, .terms = t };
	const char *why;
	size_t count = 0;

	for (size_t k = 0; k < n; k++)
		count += wanted(t->envelope, &rcpts[k]);
	if (count == 0)
		return BOUNCE_NOT_WANTED;
	*out = (struct bounce_report){ .rcpts = count };
	why = nobody(a, t->envelope);
	if (why) {
		*why_out = why;
		return BOUNCE_SUPPRESSED;
	}
	told.rcpts = ARENA_ARRAY(a, count, struct dsn_recipient);
	told.paths = ARENA_ARRAY(a, count, struct slice);
	for (size_t k = 0; k < n && told.rcpts && told.paths; k++)
		if (wanted(t->envelope, &rcpts[k]) && fits_line(rcpts[k].rcpt->path))
			tell(&told, &rcpts[k]);
	if (arena_failed(a) || told.n == 0 || !fits_line(t->envelope->report_to)) {
		*why_out = cannot(arena_failed(a) ? DSN_WRITE_MEMORY : DSN_WRITE_BAD);
		return BOUNCE_CANNOT;
	}
	return make(&told, out, why_out);
}
