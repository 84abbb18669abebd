#include "base/buf.h"
#include "mail/date.h"
#include "relay/trace.h"

/* A longer path would make a line above 998 octets (RFC 5322 2.1.1), which the next hop may cut; the field can do without. */
enum { FOR_OCTETS = 900 };

/* What a peer says of itself must not look like anything else: no blank, comment, quote or fold survives. */
static void add_helo(struct buf *b, struct slice helo)
{
	if (helo.n == 0)
		buf_str(b, "unknown");
	for (size_t i = 0; i < helo.n && i < 255; i++) {
		unsigned char c = helo.at[i];

		buf_octet(b, c <= 0x20 || c == 0x7f || c == '(' || c == ')' || c == '"' || c == '\\' || c == ';' || c == ',' ? '?' : c);
	}
}

struct slice trace_received(struct arena *a, const struct trace *t)
{
	char date[DATE_OCTETS];
	struct slice field;
	struct buf b;

	buf_init(&b, 8192);
	buf_str(&b, "Received: from ");
	add_helo(&b, t->helo);
	buf_printf(&b, " ([%s%s])\r\n", t->client_v6 ? "IPv6:" : "", t->client);
	if (t->tls_version)
		buf_printf(&b, "\t(using %s with cipher %s)\r\n", t->tls_version, t->tls_cipher);
	buf_printf(&b, "\tby %s (hopseal) with %s id ", t->hostname, t->with);
	buf_slice(&b, t->id);
	if (t->rcpt.n && t->rcpt.n <= FOR_OCTETS) {
		buf_str(&b, "\r\n\tfor ");
		buf_slice(&b, t->rcpt);
	}
	buf_str(&b, ";\r\n\t");
	buf_add(&b, date, date_format(t->unix_s, date));
	buf_str(&b, "\r\n");
	field = buf_failed(&b) ? SLICE_NONE : arena_copy(a, buf_get(&b));
	buf_release(&b);
	return field;
}
