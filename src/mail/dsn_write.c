#include "base/buf.h"
#include "base/limits.h"
#include "mail/addr.h"
#include "mail/date.h"
#include "mail/dsn.h"
#include "mail/utf8.h"

enum { GROUP_OCTETS = 16 * (LIMIT_REPORT_VALUE + DSN_TYPE_OCTETS) }; /* more than is written of one recipient, text and status */

struct writer {
	struct arena *arena;
	const struct dsn_report *r;
	bool utf8_text;   /* values keep their UTF-8; else they are ASCII */
	bool utf8_status; /* one of the addresses of the status part is not ASCII */
	bool utf8_header; /* the returned header is UTF-8 that is not ASCII */
	bool eight_bit_returned;
	bool bad;
};

static bool ascii(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.at[i] >= 0x80)
			return false;
	return true;
}

/* Printable, UTF-8 or ASCII, not too long for a line. */
static bool clean(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.at[i] < ' ' || s.at[i] == 0x7f)
			return false;
	return s.n <= LIMIT_REPORT_VALUE && utf8_valid(s);
}

/* A peer's words: cut, without what may not stand in a line. */
static void put_text(struct writer *w, struct buf *out, struct slice s)
{
	bool keep = w->utf8_text && utf8_valid(s);

	s = slice_trim(utf8_head(s, LIMIT_REPORT_VALUE));
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.at[i];

		buf_octet(out, c < ' ' || c == 0x7f || (c >= 0x80 && !keep) ? '?' : c);
	}
}

/* ---- is it a report at all? ---- */

static bool typed_ok(struct dsn_typed t, bool needed)
{
	if (t.type.n == 0 && t.text.n == 0)
		return !needed;
	for (size_t i = 0; i < t.type.n; i++)
		if (t.type.at[i] <= ' ' || t.type.at[i] >= 0x7f || t.type.at[i] == ';')
			return false;
	return t.type.n > 0 && t.type.n <= DSN_TYPE_OCTETS && slice_trim(t.text).n > 0;
}

static bool report_ok(const struct dsn_report *r)
{
	struct path to;
	bool ok = path_parse(r->to, &to) && !to.null && clean(r->to) && clean(r->from) && slice_trim(r->from).n && clean(r->subject) &&
	    clean(r->message_id) && slice_trim(r->message_id).n && r->date >= 0 && mime_boundary(r->boundary) &&
	    typed_ok(r->reporting_mta, true) && r->n > 0 && r->n <= LIMIT_RCPT;

	for (size_t k = 0; ok && k < r->n; k++) {
		const struct dsn_recipient *to_one = &r->recipients[k];

		ok = typed_ok(to_one->final, true) && clean(to_one->final.text) && typed_ok(to_one->original, false) &&
		    clean(to_one->original.text) && typed_ok(to_one->remote_mta, false) && typed_ok(to_one->diagnostic, false) &&
		    dsn_status_valid(to_one->status);
	}
	return ok;
}

/* ---- what is returned ---- */

static void look_at_returned(struct writer *w)
{
	size_t left = w->r->header_octets;
	bool utf8 = true, eight_bit = false;

	for (size_t k = 0; k < w->r->run_count; k++) {
		struct slice run = w->r->runs[k], head = slice_sub(run, 0, left);

		w->eight_bit_returned |= !ascii(run);
		eight_bit |= !ascii(head);
		utf8 &= utf8_valid(head);
		left -= head.n;
	}
	w->utf8_header = utf8 && eight_bit;
}

/* Also where two runs meet. */
static bool stands_in(const struct slice *runs, size_t n, struct slice wanted)
{
	unsigned char seam[160];
	size_t held = 0, keep = wanted.n - 1;

	for (size_t k = 0; k < n; k++) {
		struct slice head = slice_sub(runs[k], 0, keep), tail = runs[k].n > keep ? slice_sub(runs[k], runs[k].n - keep, keep) : head;

		if (runs[k].n == 0)
			continue;
		memcpy(seam + held, head.at, head.n);
		if (memmem(seam, held + head.n, wanted.at, wanted.n) || memmem(runs[k].at, runs[k].n, wanted.at, wanted.n))
			return true;
		if (runs[k].n >= keep) {
			memcpy(seam, tail.at, keep);
			held = keep;
		} else {
			held += head.n;
			if (held > keep) {
				memmove(seam, seam + held - keep, keep);
				held = keep;
			}
		}
	}
	return false;
}

static bool boundary_taken(const struct writer *w)
{
	unsigned char text[80] = "--";

	memcpy(text + 2, w->r->boundary.at, w->r->boundary.n);
	return stands_in(w->r->runs, w->r->run_count, slice_of(text, w->r->boundary.n + 2));
}

/* ---- the parts ---- */

static void put_line(struct buf *out, const char *name, struct slice value)
{
	buf_str(out, name);
	buf_str(out, ": ");
	buf_slice(out, value);
	buf_str(out, "\r\n");
}

static void put_value(struct writer *w, struct buf *out, const char *name, struct slice value)
{
	if (slice_trim(value).n == 0)
		return;
	buf_str(out, name);
	buf_str(out, ": ");
	put_text(w, out, value);
	buf_str(out, "\r\n");
}

static void put_typed(struct writer *w, struct buf *out, const char *name, struct dsn_typed t)
{
	if (t.text.n == 0)
		return;
	buf_printf(out, "%s: %.*s; ", name, SLICE_FMT(t.type));
	put_text(w, out, t.text);
	buf_str(out, "\r\n");
}

static const char *heading(enum dsn_action action)
{
	static const char *const headings[DSN_ACTIONS] = {
		"Your message could not be delivered to:",
		"Your message has not been delivered yet, and will be tried again, to:",
		"Your message was delivered to:",
		"Your message was passed on to a server that sends no reports, for:",
		"Your message was delivered to the list or alias:",
	};

	return headings[action];
}

static void put_for_people(struct writer *w, struct buf *out)
{
	const struct dsn_report *r = w->r;

	buf_str(out, "This is the mail system of ");
	put_text(w, out, r->reporting_mta.text);
	buf_str(out, ".\r\n\r\n");
	for (unsigned action = 0; action < DSN_ACTIONS; action++) {
		bool met = false;

		for (size_t k = 0; k < r->n; k++) {
			const struct dsn_recipient *to = &r->recipients[k];

			if (to->action != (enum dsn_action)action)
				continue;
			if (!met)
				buf_printf(out, "%s\r\n\r\n", heading(to->action));
			met = true;
			buf_str(out, "    ");
			put_text(w, out, to->final.text);
			buf_str(out, "\r\n        ");
			put_text(w, out, to->diagnostic.text.n ? to->diagnostic.text : to->words.n ? to->words : to->status);
			buf_str(out, "\r\n");
		}
		if (met)
			buf_str(out, "\r\n");
	}
	buf_printf(out, "%s is returned below.\r\n", r->header_only ? "The header of the message" : "The message");
}

static void put_status(struct writer *w, struct buf *out)
{
	const struct dsn_report *r = w->r;

	put_value(w, out, "Original-Envelope-Id", r->envelope_id);
	put_typed(w, out, "Reporting-MTA", r->reporting_mta);
	put_value(w, out, "Arrival-Date", r->arrival);
	for (size_t k = 0; k < r->n; k++) {
		const struct dsn_recipient *to = &r->recipients[k];

		buf_str(out, "\r\n");
		put_typed(w, out, "Original-Recipient", to->original);
		put_typed(w, out, "Final-Recipient", to->final);
		put_value(w, out, "Action", slice_str(dsn_action_name(to->action)));
		put_value(w, out, "Status", to->status);
		put_typed(w, out, "Remote-MTA", to->remote_mta);
		put_typed(w, out, "Diagnostic-Code", to->diagnostic);
		put_value(w, out, "Last-Attempt-Date", to->last_attempt);
		put_value(w, out, "Will-Retry-Until", to->retry_until);
	}
}

static void put_part(struct writer *w, struct buf *out, const char *type, bool eight_bit)
{
	buf_printf(out, "\r\n--%.*s\r\nContent-Type: %s\r\n", SLICE_FMT(w->r->boundary), type);
	if (eight_bit)
		buf_str(out, "Content-Transfer-Encoding: 8bit\r\n");
	buf_str(out, "\r\n");
}

/* All that stands in front of what is returned; the first line is that of the first delimiter. */
static void put_own_parts(struct writer *w, struct buf *out)
{
	static const char *const returned[2][2] = { { "message/rfc822", "message/global" },
		{ "text/rfc822-headers", "message/global-headers" } };
	struct buf text;

	buf_init(&text, w->r->n * GROUP_OCTETS + GROUP_OCTETS);
	put_for_people(w, &text);
	put_part(w, out, ascii(buf_get(&text)) ? "text/plain; charset=us-ascii" : "text/plain; charset=utf-8", !ascii(buf_get(&text)));
	buf_slice(out, buf_get(&text));
	w->bad |= buf_failed(&text); /* which is forgotten now */
	buf_clear(&text);
	put_status(w, &text);
	put_part(w, out, w->utf8_status ? "message/global-delivery-status" : "message/delivery-status", !ascii(buf_get(&text)));
	buf_slice(out, buf_get(&text));
	put_part(w, out, returned[w->r->header_only][w->utf8_header], w->eight_bit_returned);
	w->bad |= buf_failed(&text);
	buf_release(&text);
}

static void put_header(struct writer *w, struct buf *out, bool eight_bit)
{
	const struct dsn_report *r = w->r;
	char date[DATE_OCTETS];

	put_line(out, "From", r->from);
	put_line(out, "To", r->to);
	if (slice_trim(r->subject).n)
		put_line(out, "Subject", r->subject);
	put_line(out, "Date", slice_of(date, date_format(r->date, date)));
	put_line(out, "Message-ID", r->message_id);
	buf_str(out, "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
	             "Content-Type: multipart/report; report-type=delivery-status;\r\n");
	buf_printf(out, "\tboundary=\"%.*s\"\r\n", SLICE_FMT(r->boundary));
	if (eight_bit)
		buf_str(out, "Content-Transfer-Encoding: 8bit\r\n");
}

/* ---- the interface ---- */

static void look_at_values(struct writer *w)
{
	const struct dsn_report *r = w->r;

	for (size_t k = 0; k < r->n; k++)
		w->utf8_status |= !ascii(r->recipients[k].final.text) || !ascii(r->recipients[k].original.text);
	w->utf8_text = w->utf8_status;
}

enum dsn_write_state dsn_write(struct arena *a, const struct dsn_report *r, struct dsn_message *out)
{
	struct writer w = { .arena = a, .r = r };
	struct dsn_message m = { .runs = 0 };
	struct buf header, own;
	struct slice *runs;
	bool failed;

	if (!report_ok(r))
		return DSN_WRITE_BAD;
	if (boundary_taken(&w))
		return DSN_WRITE_BOUNDARY;
	look_at_values(&w);
	look_at_returned(&w);
	buf_init(&own, 2 * (r->n * GROUP_OCTETS + GROUP_OCTETS));
	buf_init(&header, GROUP_OCTETS);
	put_own_parts(&w, &own);
	m.utf8 = w.utf8_status || w.utf8_header || !ascii(r->to) || !ascii(r->from) || !ascii(r->subject);
	m.eight_bit = m.utf8 || w.eight_bit_returned || !ascii(buf_get(&own));
	put_header(&w, &header, m.eight_bit);
	runs = ARENA_ARRAY(a, r->run_count + 2, struct slice);
	failed = w.bad || buf_failed(&own) || buf_failed(&header) || !runs;
	if (!failed) {
		m.header = arena_copy(a, buf_get(&header));
		runs[m.runs++] = arena_copy(a, slice_sub(buf_get(&own), 2, SIZE_MAX));
		for (size_t k = 0; k < r->run_count; k++)
			if (r->runs[k].n)
				runs[m.runs++] = r->runs[k];
		runs[m.runs++] = arena_printf(a, "\r\n--%.*s--\r\n", SLICE_FMT(r->boundary));
		m.body = runs;
	}
	buf_release(&own);
	buf_release(&header);
	if (failed || arena_failed(a))
		return DSN_WRITE_MEMORY;
	*out = m;
	return DSN_WRITTEN;
}
