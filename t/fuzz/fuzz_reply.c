/*
 * Replies of a next hop, and what its EHLO answers announce. The first octet says how the stream is cut: any cut gives the same. A
 * reply that is passed on is read by the client as this one code, with the words as far as they were printable and within the limits.
 */
#include "base/limits.h"
#include "fuzz.h"
#include "mail/utf8.h"
#include "smtp/ext.h"
#include "smtp/reply.h"
#include "smtp/xclient.h"

/* Reads one reply out of octets that are nothing else. */
static void read_back(struct slice in, short code, bool utf8, struct buf *again)
{
	struct reply_reader r;
	struct reply got;
	struct fault f = { 0 };

	reply_reader_init(&r);
	WANT(reply_read(&r, &in, &got, &f) == REPLY_WHOLE && in.n == 0);
	WANT(got.code == code && !got.odd && got.text.n <= LIMIT_REPLY_TEXT);
	reply_write(again, &got, utf8);
	reply_reader_release(&r);
}

/* `utf8`: to a client that said SMTPUTF8. */
static void want_passed_on(const struct reply *r, bool utf8)
{
	struct buf out, again;

	WANT(r->code >= 200 && r->code <= 599 && r->text.n <= LIMIT_REPLY);
	WANT(!r->enhanced[0] || slice_starts(r->text, slice_str(r->enhanced)));
	buf_init(&out, SIZE_MAX / 2);
	buf_init(&again, SIZE_MAX / 2);
	reply_write(&out, r, utf8);
	WANT(utf8_valid(buf_get(&out)));
	for (size_t i = 0, from = 0; i < out.n; i++) {
		WANT(out.at[i] == '\t' || out.at[i] == '\r' || out.at[i] == '\n' || (out.at[i] >= 0x20 && out.at[i] < 0x7f) ||
		    (utf8 && out.at[i] >= 0x80));
		WANT(out.at[i] != '\r' || (i + 1 < out.n && out.at[i + 1] == '\n'));
		if (out.at[i] == '\n') {
			WANT(i + 1 - from <= 512);
			from = i + 1;
		}
	}
	read_back(buf_get(&out), r->code, utf8, &again);
	WANT(slice_eq(buf_get(&out), buf_get(&again)));
	buf_release(&again);
	buf_release(&out);
}

/* What we announce for such a next hop is no more than it offers or we do ourselves, and reads as it was meant. */
static void want_offer(const struct reply *r)
{
	enum { ITS_OWN = EXT_8BITMIME | EXT_SMTPUTF8 | EXT_DSN | EXT_PRDR | EXT_REQUIRETLS };
	struct ext hop = { 0 }, offer, again = { 0 };
	struct slice rest = r->text, line;
	struct buf out;
	bool more;

	do {
		more = slice_cut(&rest, '\n', &line);
		ext_read(&hop, line);
		(void)xclient_listed(line);
	} while (more);
	offer = ext_offer(1000000, &hop);
	WANT((offer.bits & ITS_OWN & ~hop.bits) == 0);
	WANT(offer.size_octets >= 1 && offer.size_octets <= 1000000);
	buf_init(&out, SIZE_MAX / 2);
	ext_write(&out, S("mx.c.test"), &offer, 1);
	rest = buf_get(&out);
	while (slice_cut(&rest, '\n', &line)) {
		WANT(slice_starts(line, S("250")) && slice_ends(line, S("\r")));
		ext_read(&again, slice_sub(line, 4, line.n - 5));
	}
	WANT(again.bits == offer.bits && again.size_octets == offer.size_octets);
	buf_release(&out);
}

static void read_all(struct slice in, size_t piece, struct buf *log)
{
	struct reply_reader r;
	struct slice part;
	bool bad = false;

	reply_reader_init(&r);
	while (in.n && !bad) {
		struct reply reply;
		struct fault f = { 0 };
		enum reply_status status;

		(void)slice_take(&in, piece < in.n ? piece : in.n, &part);
		while ((status = reply_read(&r, &part, &reply, &f)) == REPLY_WHOLE) {
			WANT(!reply_partial(&r));
			buf_printf(log, "%d %s %d %zu ", reply.code, reply.enhanced, reply.odd, reply.text.n);
			buf_slice(log, reply.text);
			if (piece == SIZE_MAX) {
				want_passed_on(&reply, false);
				want_passed_on(&reply, true);
				want_offer(&reply);
			}
		}
		bad = status == REPLY_BAD;
		WANT(bad ? f.code == FAULT_NEXT_HOP_REPLY : part.n == 0);
		if (bad)
			buf_printf(log, "BAD %s", f.note);
	}
	if (!bad)
		buf_printf(log, "partial %d", reply_partial(&r));
	reply_reader_release(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	struct buf whole, cut;
	struct slice in;

	if (n < 2)
		return 0;
	in = slice_of(at + 1, n - 1);
	buf_init(&whole, SIZE_MAX / 2);
	buf_init(&cut, SIZE_MAX / 2);
	read_all(in, SIZE_MAX, &whole);
	read_all(in, at[0] ? at[0] : 1, &cut);
	WANT(slice_eq(buf_get(&whole), buf_get(&cut)));
	buf_release(&whole);
	buf_release(&cut);
	return 0;
}
