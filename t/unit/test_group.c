/* Who shares a copy: nobody that the others are not to know of, whatever To and Cc look like (RFC 5322 3.4, 3.6.3, 3.6.6, 4.4). */
#include "arena.h"
#include "test.h"

#include "base/limits.h"
#include "edits.h"
#include "mail/addr.h"
#include "rewrite/group.h"

#define ROWS(list) (sizeof(list) / sizeof((list)[0]))

static struct header header_of(struct arena *a, struct slice text)
{
	struct header h;
	struct fault f = { 0 };

	assert_true(header_parse(a, text, 10000, &h, &f));
	return h;
}

/* "<a@b> <c@d>" */
static size_t paths_of(const char *text, struct slice *rcpts, size_t most)
{
	struct slice rest = slice_str(text), one;
	size_t n = 0;

	while (rest.n) {
		(void)slice_cut(&rest, ' ', &one);
		if (slice_ends(one, S("\\"))) { /* a blank that is escaped */
			one.n += 1 + slice_find(rest, ' ');
			(void)slice_cut(&rest, ' ', &(struct slice){ 0 });
		}
		assert_true(n < most);
		rcpts[n++] = one;
	}
	return n;
}

/* "0 0 1 1*": a star is one that stood before. */
static struct slice told(const uint32_t *group, const bool *again, size_t n)
{
	struct slice all = S("");

	for (size_t i = 0; i < n; i++)
		all = arena_printf(&arena, "%.*s%s%u%s", SLICE_FMT(all), i ? " " : "", group[i], again[i] ? "*" : "");
	return all;
}

static void who_shares(void **state)
{
	static const struct {
		const char *what, *header, *rcpts, *groups;
		size_t rcpt_max;
		bool alone;
	} rows[] = {
		{ "two that are to be seen, two that are not", "From: s@a.test\r\nTo: r1@c.test\r\nCc: R2 <r2@C.test>\r\nSubject: s\r\n",
		    "<r1@c.test> <r2@c.test> <bcc1@c.test> <bcc2@b.test>", "0 0 1 2", 0, false },
		{ "the same where nobody shares", "From: s@a.test\r\nTo: r1@c.test\r\nCc: R2 <r2@C.test>\r\nSubject: s\r\n",
		    "<r1@c.test> <r2@c.test> <bcc1@c.test> <bcc2@b.test>", "0 1 2 3", 0, true },
		{ "domains are told apart", "To: a@c.test, b@d.test, c@c.test, d@x.c.test\r\n", "<a@c.test> <b@d.test> <c@c.test> <d@x.c.test>", "0 1 0 2", 0, false },
		{ "numbers go by who is first", "To: b@d.test, a@c.test, c@d.test\r\n", "<x@d.test> <b@d.test> <a@c.test> <c@d.test>", "0 1 2 1", 0, false },
		{ "no header: nobody", "", "<a@c.test> <b@c.test>", "0 1", 0, false },
		{ "other fields name nobody", "From: a@c.test\r\nReply-To: b@c.test\r\nBcc: a@c.test, b@c.test\r\nX-To: b@c.test\r\nApparently-To: a@c.test, b@c.test\r\n",
		    "<a@c.test> <b@c.test>", "0 1", 0, false },
		{ "in any case, and with a blank", "tO : a@c.test\r\nCC: b@c.test\r\n", "<a@c.test> <b@c.test>", "0 0", 0, false },
		{ "several fields together", "To: a@c.test\r\nTo: b@c.test\r\nCc: c@c.test\r\nCc: d@c.test\r\n", "<a@c.test> <b@c.test> <c@c.test> <d@c.test>", "0 0 0 0", 0, false },
		{ "so many and no more", "To: a@c.test, b@c.test, c@c.test, d@c.test, e@c.test\r\n", "<a@c.test> <b@c.test> <c@c.test> <d@c.test> <e@c.test>", "0 0 1 1 2", 2, false },
		{ "at least one", "To: a@c.test, b@c.test\r\n", "<a@c.test> <b@c.test>", "0 1", 1, false },
		{ "twice is once", "To: a@c.test\r\n", "<a@c.test> <b@c.test> <a@C.test> <b@c.test> <B@c.test>", "0 1 0* 1* 2", 0, false },
		{ "and takes no room", "To: a@c.test, b@c.test\r\n", "<a@c.test> <a@c.test> <b@c.test>", "0 0* 0", 2, false },
		{ "also by another name", "To: a@c.test\r\n", "<\"a\"@c.test> <a@c.test> <@x.test:a@c.test>", "0 0* 0*", 0, false },
		{ "a local part has its case", "To: A@c.test, b@c.test\r\n", "<a@c.test> <b@c.test>", "0 1", 0, false },
		{ "a group's members are to be seen", "To: us:a@c.test, B <b@c.test>;, c@c.test\r\nCc: undisclosed-recipients:;\r\n", "<a@c.test> <b@c.test> <c@c.test> <d@c.test>", "0 0 0 1", 0, false },
		{ "what stands in a comment is not", "To: a@c.test (b@c.test), (c@c.test) d@c.test\r\n", "<a@c.test> <b@c.test> <c@c.test> <d@c.test>", "0 1 2 0", 0, false },
		{ "nor a name", "To: \"b@c.test\" <a@c.test>, \"<c@c.test>,\" <d@c.test>\r\n", "<a@c.test> <b@c.test> <c@c.test> <d@c.test>", "0 1 2 0", 0, false },
		{ "nor what an encoded word says", "To: =?utf-8?q?b=40c.test=2C?= <a@c.test>, d@c.test\r\n", "<a@c.test> <b@c.test> <d@c.test>", "0 1 0", 0, false },
		{ "folds and comments inside", "To: a (x)\r\n @ (y\r\n z) c . test,\r\n\tb@c.test\r\n", "<a@c.test> <b@c.test>", "0 0", 0, false },
		{ "quotes that are not needed", "To: \"a\"@c.test, \"b\".\"c\"@c.test, d.\"\\e\"@c.test\r\n", "<a@c.test> <b.c@c.test> <\"d.e\"@c.test>", "0 0 0", 0, false },
		{ "quotes that are", "To: \"a\\\" b\\\\\"@c.test, \"c@d\"@c.test, e@c.test\r\n", "<\"c@d\"@c.test> <e@c.test> <c@d>", "0 0 1", 0, false },
		{ "a fold in quotes is its blank", "To: \"a\r\n b\"@c.test, c@c.test\r\n", "<\"a\\ b\"@c.test> <c@c.test>", "0 0", 0, false },
		{ "obsolete route", "To: <@x.test,@y.test:a@c.test>, b@c.test\r\n", "<a@c.test> <b@c.test>", "0 0", 0, false },
		{ "U-labels and A-labels are one domain", "To: a@B\xc3\x9c" "cher.test, b@xn--bcher-kva.test\r\n", "<a@xn--bcher-kva.test> <b@b\xc3\xbc" "cher.test>", "0 0", 0, false },
		{ "UTF-8 before the at sign", "To: j\xc3\xb6rg@c.test, b@c.test\r\n", "<j\xc3\xb6rg@c.test> <b@c.test>", "0 0", 0, false },
		{ "other octets are another mailbox", "To: jo\xcc\x88rg@c.test, b@c.test\r\n", "<j\xc3\xb6rg@c.test> <b@c.test>", "0 1", 0, false },
		{ "a literal", "To: a@[192.0.2.1], b@[192.0.2.1]\r\n", "<a@[192.0.2.1]> <b@[192.0.2.1]> <c@[192.0.2.1]>", "0 0 1", 0, false },
		{ "nor one with a final dot, which no address has", "To: a@c.test., b@c.test\r\n", "<a@c.test> <b@c.test>", "0 1", 0, false },
		{ "who has no domain is alone", "To: postmaster, a@c.test\r\nCc: b@c.test, postmaster@c.test\r\n", "<postmaster> <a@c.test> <b@c.test> <postmaster@c.test>", "0 1 2 2", 0, false },
		{ "a broken field names nobody, the other does", "To: a@c.test, b@c.test, <c@c.test\r\nCc: d@c.test, e@c.test\r\n", "<a@c.test> <b@c.test> <d@c.test> <e@c.test>", "0 1 2 2", 0, false },
		{ "nor one with an address too many", "To: a@c.test b@c.test\r\n", "<a@c.test> <b@c.test>", "0 1", 0, false },
		{ "nor one with a bare LF", "To: a@c.test,\n b@c.test\r\nCc: c@c.test, d@c.test\r\n", "<a@c.test> <b@c.test> <c@c.test> <d@c.test>", "0 1 2 2", 0, false },
		{ "a comment without end", "To: a@c.test, b@c.test (\r\n", "<a@c.test> <b@c.test>", "0 1", 0, false },
		{ "an empty one", "To:\r\nCc: a@c.test, b@c.test\r\n", "<a@c.test> <b@c.test>", "0 0", 0, false },
		{ "a line that is no field: nobody", "To: a@c.test, b@c.test\r\nwhat is this\r\n", "<a@c.test> <b@c.test>", "0 1", 0, false },
		{ "sent on: whom it was sent on to", "Resent-To: a@c.test\r\nResent-Cc: b@c.test\r\nTo: d@c.test, e@c.test\r\n", "<a@c.test> <b@c.test> <d@c.test> <e@c.test>", "0 0 1 2", 0, false },
		{ "sent on to nobody that is named", "Resent-From: x@a.test\r\nResent-Bcc: a@c.test, b@c.test\r\nTo: a@c.test, b@c.test\r\n", "<a@c.test> <b@c.test>", "0 1", 0, false },
		{ "sent on twice: the last time counts",
		    "Received: x\r\nResent-From: x@a.test\r\nResent-To: a@c.test, b@c.test\r\nReceived: x\r\nResent-From: y@a.test\r\nResent-To: c@c.test, d@c.test\r\n",
		    "<a@c.test> <b@c.test> <c@c.test> <d@c.test>", "0 0 1 2", 0, false },
		{ "with nothing between", "Resent-From: x@a.test\r\nResent-To: a@c.test, b@c.test\r\nResent-From: y@a.test\r\nResent-Cc: c@c.test, a@c.test\r\n",
		    "<a@c.test> <b@c.test> <c@c.test>", "0 0 1", 0, false },
		{ "what only looks like it", "X-Resent-To: a@c.test\r\nResent-Toast: a@c.test\r\nTo: a@c.test, b@c.test\r\n", "<a@c.test> <b@c.test>", "0 0", 0, false },
		{ "what is no path is alone", "To: a@c.test, b@c.test\r\n", "a@c.test <b@c.test> <> <b@c.test", "0 1 2 3", 0, false },
		{ "a name that DNS cannot have", "To: a@c..test, b@c..test\r\nCc: d@c.test\r\n", "<d@c.test> <a@c..test> <b@c..test>", "0 1 2", 0, false },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct header h = header_of(&arena, slice_str(rows[i].header));
		struct slice rcpts[10];
		uint32_t group[10], most = 0, count;
		bool again[10];
		size_t n = paths_of(rows[i].rcpts, rcpts, ROWS(rcpts));

		count = group_make(&arena, &h, rcpts, n, !rows[i].alone, rows[i].rcpt_max ? rows[i].rcpt_max : LIMIT_RT, group, again);
		if (!slice_eq(told(group, again, n), slice_str(rows[i].groups)))
			fail_msg("%s: %.*s, wanted %s", rows[i].what, SLICE_FMT(told(group, again, n)), rows[i].groups);
		for (size_t k = 0; k < n; k++)
			most = group[k] > most ? group[k] : most;
		assert_int_equal(count, most + 1);
	}
}

/* ---- messages by lot ---- */

/*
 * Whoever makes the message knows who is to be seen, since he wrote them there: that is all the truth there is, no parser is asked. A
 * mailbox has several spellings, in a header and in a path.
 */
enum { MAILBOXES = 40, LOCALS = 8, DOMAINS = 5, MESSAGES = 4000, RCPTS = 24 };

static const struct {
	const char *header[3], *path[3];
} locals[LOCALS] = {
	{ { "anna", "\"anna\"", "anna" }, { "anna", "anna", "\"anna\"" } },
	{ { "b.ob", "b . ob", "\"b\".ob" }, { "b.ob", "\"b.ob\"", "b.ob" } },
	{ { "\"c d\"", "\"c\\ d\"", "\"c\r\n d\"" }, { "\"c d\"", "\"c\\ d\"", "\"c d\"" } },
	{ { "\"e@f\"", "\"e\\@f\"", "\"e@f\"" }, { "\"e@f\"", "\"\\e@f\"", "\"e@f\"" } },
	{ { "j\xc3\xb6rg", "\"j\xc3\xb6rg\"", "j\xc3\xb6rg" }, { "j\xc3\xb6rg", "\"j\xc3\xb6rg\"", "j\xc3\xb6rg" } },
	{ { "Anna", "\"A\\nna\"", "Anna (anna)" }, { "Anna", "Anna", "\"Anna\"" } },
	{ { "\"<\\\"a,;:\"", "\"<\\\"a,\\;:\"", "\"<\\\"a,;:\"" }, { "\"<\\\"a,;:\"", "\"<\\\"a,;:\"", "\"<\\\"\\a,;:\"" } },
	{ { "x+y=z", "x+y=z", "\"x+y=z\"" }, { "x+y=z", "x+y=z", "\"x+y=z\"" } },
};

static const struct {
	const char *header[3], *path[3];
} domains[DOMAINS] = {
	{ { "c.test", "C.TEST", "c . test" }, { "c.test", "C.test", "c.TEST" } },
	{ { "b.c.test", "b.c.test", "b.(x)c.test" }, { "b.c.test", "B.C.TEST", "b.c.test" } },
	{ { "b\xc3\xbc" "cher.test", "xn--bcher-kva.test", "B\xc3\x9c" "CHER.test" }, { "xn--bcher-kva.test", "b\xc3\xbc" "cher.test", "XN--BCHER-KVA.test" } },
	{ { "[192.0.2.1]", "[192.0.2.1]", "[192.0.2.1]" }, { "[192.0.2.1]", "[192.0.2.1]", "[192.0.2.1]" } },
	{ { "d_e.test", "d_e.test", "D_e.test" }, { "d_e.test", "D_E.test", "d_e.test" } },
};

struct message {
	struct dice dice;
	struct buf header;
	bool visible[MAILBOXES];
	bool resent; /* then To and Cc tell nothing any more */
	struct slice rcpts[RCPTS];
	unsigned mailbox[RCPTS];
	size_t n;
	size_t rcpt_max;
};

static void add_blank(struct message *m)
{
	static const char *const blanks[] = { "", "", " ", "\r\n ", "\t", " (see anna@c.test, \\) (x@d_e.test)) ", "\r\n\t(\r\n )" };

	buf_str(&m->header, blanks[dice_roll(&m->dice, ROWS(blanks))]);
}

static void add_name(struct message *m)
{
	static const char *const names[] = { "Anna", "\"x+y=z@c.test\"", "A. B.", "=?utf-8?q?anna=40c.test?=", "\"a\\\"b\r\n c, <anna@d_e.test>\"", "J\xc3\xb6rg" };

	buf_str(&m->header, names[dice_roll(&m->dice, ROWS(names))]);
	buf_str(&m->header, " ");
}

/* One address, of a mailbox by lot. */
static unsigned add_address(struct message *m)
{
	unsigned which = dice_roll(&m->dice, MAILBOXES);
	const char *local = locals[which % LOCALS].header[dice_roll(&m->dice, 3)];
	const char *domain = domains[which / LOCALS].header[dice_roll(&m->dice, 3)];
	bool angle = dice_roll(&m->dice, 2);

	add_blank(m);
	if (angle && dice_roll(&m->dice, 3))
		add_name(m);
	if (angle)
		buf_str(&m->header, dice_roll(&m->dice, 8) ? "<" : "<@x.test,,@c.test:");
	buf_printf(&m->header, "%s@%s", local, domain);
	if (angle)
		buf_str(&m->header, ">");
	add_blank(m);
	return which;
}

/* One field. What it names is to be seen only if it is whole, and of those that count. */
static void add_list(struct message *m, const char *name, bool counts)
{
	static const char *const broken[] = { ", <anna@c.test", " x", ", \"", ", (", ", a@", ", anna@c.test>", ", a@b..test", ", :;", " ;", ", x\n", ", root", ", a@b@c.test" };
	unsigned named[12];
	size_t n = dice_roll(&m->dice, ROWS(named)), at = 0;
	bool breaks = dice_roll(&m->dice, 5) == 0;

	buf_printf(&m->header, "%s:", name);
	if (n == 0)
		buf_str(&m->header, dice_roll(&m->dice, 2) ? " undisclosed-recipients:;" : "");
	while (at < n) {
		bool group = dice_roll(&m->dice, 4) == 0;
		size_t members = group ? dice_roll(&m->dice, 4) : 1;

		if (group)
			buf_str(&m->header, dice_roll(&m->dice, 2) ? " Friends:" : " \"a@c.test\" (x) of mine :");
		for (size_t i = 0; i < members && at < n; i++) {
			if (i)
				buf_str(&m->header, dice_roll(&m->dice, 6) ? "," : ", ,");
			named[at++] = add_address(m);
		}
		if (group)
			buf_str(&m->header, ";");
		if (at < n)
			buf_str(&m->header, ",");
	}
	if (breaks)
		buf_printf(&m->header, "%s%s", n ? "" : "anna@c.test", broken[dice_roll(&m->dice, ROWS(broken))]);
	buf_str(&m->header, "\r\n");
	for (size_t i = 0; counts && !breaks && i < at; i++)
		m->visible[named[i]] = true;
}

static void add_lists(struct message *m, const char *to, const char *cc, bool counts, bool repeat)
{
	size_t n = 1 + (repeat ? dice_roll(&m->dice, 3) : 0);

	for (size_t i = 0; i < n; i++)
		add_list(m, to, counts);
	if (dice_roll(&m->dice, 2))
		add_list(m, cc, counts);
}

static void make_header(struct message *m)
{
	buf_str(&m->header, "Received: for <anna@c.test>; x\r\n");
	m->resent = dice_roll(&m->dice, 4) == 0;
	for (unsigned times = m->resent ? 1 + dice_roll(&m->dice, 2) : 0, i = 0; i < times; i++) {
		buf_str(&m->header, "Resent-From: anna@c.test\r\nRESENT-DATE: x\r\n");
		add_lists(m, "Resent-To", "Resent-CC", i == 0, false);
		if (dice_roll(&m->dice, 2))
			add_list(m, "Resent-Bcc", false);
		if (dice_roll(&m->dice, 2))
			buf_str(&m->header, "Received: x\r\n");
	}
	buf_str(&m->header, "From: anna@c.test\r\n");
	add_lists(m, dice_roll(&m->dice, 2) ? "To" : "TO ", "cc", !m->resent, true);
	if (dice_roll(&m->dice, 3) == 0)
		add_list(m, "Bcc", false);
	buf_str(&m->header, "Subject: anna@c.test, \"c d\"@c.test\r\n");
}

static void make_rcpts(struct message *m)
{
	m->n = 1 + dice_roll(&m->dice, RCPTS);
	for (size_t i = 0; i < m->n; i++) {
		unsigned which = dice_roll(&m->dice, MAILBOXES);

		for (unsigned tries = dice_roll(&m->dice, 40); tries && !m->visible[which]; tries--)
			which = dice_roll(&m->dice, MAILBOXES);
		m->mailbox[i] = which;
		m->rcpts[i] = arena_printf(&arena, "<%s%s@%s>", dice_roll(&m->dice, 10) ? "" : "@x.test:", locals[which % LOCALS].path[dice_roll(&m->dice, 3)],
		    domains[which / LOCALS].path[dice_roll(&m->dice, 3)]);
	}
	m->rcpt_max = dice_roll(&m->dice, 2) ? LIMIT_RT : 1 + dice_roll(&m->dice, 4);
}

/* What it must come to, written down as simply as can be. */
static uint32_t expect(const struct message *m, bool share, uint32_t *group_out, bool *again_out)
{
	uint32_t groups = 0;

	for (size_t i = 0; i < m->n; i++) {
		size_t same = 0, in_copy = 0;
		uint32_t copy = UINT32_MAX;

		while (m->mailbox[same] != m->mailbox[i])
			same++;
		again_out[i] = same < i;
		if (same < i) {
			group_out[i] = group_out[same];
			continue;
		}
		/* the newest copy of those of this domain that are to be seen */
		for (size_t k = 0; share && m->visible[m->mailbox[i]] && k < i; k++)
			if (!again_out[k] && m->visible[m->mailbox[k]] && m->mailbox[k] / LOCALS == m->mailbox[i] / LOCALS) {
				in_copy = copy == group_out[k] ? in_copy + 1 : 1;
				copy = group_out[k];
			}
		group_out[i] = copy != UINT32_MAX && in_copy < m->rcpt_max ? copy : groups++;
	}
	return groups;
}

static void nobody_is_told_of_who_is_not_to_be_seen(void **state)
{
	size_t shared = 0, alone = 0, copies = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= MESSAGES; seed++) {
		struct message m = { .dice = dice_of(seed) };
		uint32_t want[RCPTS], got[RCPTS], want_n, got_n;
		bool want_again[RCPTS], got_again[RCPTS], share;
		struct header h;

		buf_init(&m.header, 1 << 20);
		make_header(&m);
		make_rcpts(&m);
		share = dice_roll(&m.dice, 10) > 0;
		assert_false(buf_failed(&m.header));
		h = header_of(&arena, buf_get(&m.header));
		assert_false(h.malformed);
		want_n = expect(&m, share, want, want_again);
		got_n = group_make(&arena, &h, m.rcpts, m.n, share, m.rcpt_max, got, got_again);
		/* the promise itself, before it is compared with what was to come */
		for (size_t i = 0; i < m.n; i++)
			for (size_t k = 0; k < i; k++) {
				unsigned x = m.mailbox[i], y = m.mailbox[k];

				if (got[i] == got[k] && x != y && (!m.visible[x] || !m.visible[y] || x / LOCALS != y / LOCALS))
					fail_msg("message %llu: %.*s is told of %.*s\n%.*s", (unsigned long long)seed, SLICE_FMT(m.rcpts[i]), SLICE_FMT(m.rcpts[k]),
					    SLICE_FMT(buf_get(&m.header)));
				shared += got[i] == got[k] && x != y;
				assert_int_equal(got_again[i] && got[i] == got[k] && x == y, x == y);
			}
		for (size_t i = 0; i < m.n; i++)
			alone += !m.visible[m.mailbox[i]];
		if (got_n != want_n || !slice_eq(told(got, got_again, m.n), told(want, want_again, m.n)))
			fail_msg("message %llu: %.*s, wanted %.*s\n%.*s", (unsigned long long)seed, SLICE_FMT(told(got, got_again, m.n)), SLICE_FMT(told(want, want_again, m.n)),
			    SLICE_FMT(buf_get(&m.header)));
		copies += got_n;
		buf_release(&m.header);
		arena_clear(&arena);
	}
	print_message("# %d messages, %zu copies, %zu pairs that share, %zu recipients not to be seen\n", MESSAGES, copies, shared, alone);
	assert_true(shared > MESSAGES && alone > MESSAGES);
}

/* ---- many ---- */

static void a_thousand_share(void **state)
{
	enum { MANY = 2500 };
	struct slice *rcpts = ARENA_ARRAY(&arena, MANY, struct slice);
	uint32_t *group = ARENA_ARRAY(&arena, MANY, uint32_t);
	bool *again = ARENA_ARRAY(&arena, MANY, bool);
	struct buf text;
	struct header h;

	(void)state;
	buf_init(&text, 1 << 20);
	buf_str(&text, "To: x@c.test");
	for (unsigned i = 0; i < MANY; i++) {
		rcpts[i] = arena_printf(&arena, "<user%u@c.test>", i);
		buf_printf(&text, ",\r\n user%u@c.test", MANY - 1 - i);
	}
	buf_str(&text, "\r\n");
	h = header_of(&arena, buf_get(&text));
	assert_int_equal(group_make(&arena, &h, rcpts, MANY, true, LIMIT_RT, group, again), 3);
	for (size_t i = 0; i < MANY; i++)
		assert_true(group[i] == i / LIMIT_RT && !again[i]);
	buf_release(&text);
}

/* What is above a limit shares nobody, and what comes after it still does. */
static void long_fields_share_nobody(void **state)
{
	static const struct slice rcpts[] = { { (const unsigned char *)"<a@c.test>", 10 }, { (const unsigned char *)"<b@c.test>", 10 },
		{ (const unsigned char *)"<x@c.test>", 10 }, { (const unsigned char *)"<y@c.test>", 10 } };
	const struct {
		size_t fields, octets;
		const char *groups;
	} rows[] = {
		{ 1, LIMIT_ADDR_LIST, "0 0 0 0" },
		{ 1, LIMIT_ADDR_LIST + 1, "0 1 2 2" },
		{ LIMIT_VISIBLE / LIMIT_ADDR_LIST, LIMIT_ADDR_LIST, "0 0 1 2" },
		{ LIMIT_VISIBLE / LIMIT_ADDR_LIST, LIMIT_ADDR_LIST - 50, "0 0 0 0" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct buf text;
		struct header h;
		uint32_t group[4];
		bool again[4];

		buf_init(&text, 1 << 24);
		for (size_t k = 0; k < rows[i].fields; k++) {
			size_t from;

			buf_str(&text, "To:");
			from = text.n;
			buf_str(&text, "a@c.test,b@c.test");
			while (text.n - from + 1000 < rows[i].octets)
				buf_printf(&text, ",\r\n %990s", "z@c.test");
			while (text.n - from < rows[i].octets)
				buf_octet(&text, ' ');
			buf_str(&text, "\r\n");
		}
		buf_str(&text, "Cc: x@c.test, y@c.test\r\n");
		h = header_of(&arena, buf_get(&text));
		assert_true(group_make(&arena, &h, rcpts, 4, true, LIMIT_RT, group, again) > 0);
		WANT_SLICE(told(group, again, 4), slice_str(rows[i].groups));
		buf_release(&text);
	}
}

/* The field that needs most memory of all that LIMIT_ADDR_LIST lets through is read, not taken for one that there is no memory for. */
static void dense_fields_are_read(void **state)
{
	static const char *const addresses[] = { "a@b,", "a@\xc3\xbc,", "\"\"@\xc3\xbc,", "a@B,", "a.b@b.c,", "a . b@B . c,", ",", "<@\xc3\xbc:a@b>,", "x:;," };

	(void)state;
	for (size_t i = 0; i < ROWS(addresses); i++) {
		struct slice rcpt = S("<a@b>");
		struct buf text;
		struct header h;
		uint32_t group;
		bool again;

		buf_init(&text, 1 << 20);
		buf_str(&text, "To:");
		while (text.n + strlen(addresses[i]) < LIMIT_ADDR_LIST)
			buf_str(&text, addresses[i]);
		buf_str(&text, "\r\n");
		h = header_of(&arena, buf_get(&text));
		assert_int_equal(group_make(&arena, &h, &rcpt, 1, true, LIMIT_RT, &group, &again), 1);
		buf_release(&text);
	}
}

static void no_memory_is_none(void **state)
{
	struct slice rcpts[3] = { S("<A@c.test>"), S("<B@C.test>"), S("<\"c\"@c.test>") };
	struct header h = header_of(&arena, S("To: A@c.test, B@C.test, \"c\"@c.test\r\n"));
	bool enough = false;

	(void)state;
	for (size_t room = 0; room < 5000; room += 8) {
		uint32_t group[3] = { 7, 7, 7 }, n;
		bool again[3];
		struct arena a;

		arena_init(&a, room);
		n = group_make(&a, &h, rcpts, 3, true, LIMIT_RT, group, again);
		assert_true(n == 0 || (n == 1 && group[0] == 0 && group[1] == 0 && group[2] == 0));
		assert_true(n || !enough);
		enough |= n == 1;
		arena_clear(&a);
	}
	assert_true(enough);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh_arena, drop_arena)
		TEST(who_shares),
		TEST(nobody_is_told_of_who_is_not_to_be_seen),
		TEST(a_thousand_share),
		TEST(long_fields_share_nobody),
		TEST(dense_fields_are_read),
		TEST(no_memory_is_none),
#undef TEST
	};

	return RUN_TESTS(tests);
}
