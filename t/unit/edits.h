/*
 * edits.h - messages made up from a seed, and what lists, gateways and chance do to them. The same seed gives the same.
 */
#ifndef EDITS_H
#define EDITS_H

#include "base/arena.h"
#include "base/buf.h"

struct dice {
	uint64_t state;
};

static inline uint32_t dice_roll(struct dice *d, uint32_t sides)
{
	d->state ^= d->state << 13;
	d->state ^= d->state >> 7;
	d->state ^= d->state << 17;
	return (uint32_t)(d->state >> 32) % sides;
}

static inline struct dice dice_of(uint64_t seed)
{
	struct dice d = { seed * 0x9e3779b97f4a7c15U + 1 };

	for (int i = 0; i < 8; i++)
		(void)dice_roll(&d, 2);
	return d;
}

/* A message as lists: header fields top to bottom, without CRLF at their end; body lines. */
enum { EDIT_FIELDS = 400, EDIT_LINES = 6000 };
struct draft_message {
	struct slice fields[EDIT_FIELDS], lines[EDIT_LINES];
	size_t field_n, line_n;
	bool unended; /* no CRLF behind the last line */
};

static inline struct slice edit_words(struct arena *a, struct dice *d, uint32_t octets)
{
	static const char *const words[] = { "the", "a", "list", "of", "\"quoted\"", "back\\slash", "mail", "Grüße",
		"http://example.com/x?y=z", "and", "=3D", "--", "\tindented", "with", "some", "longerwordsinbetween", "is", "12345" };
	struct buf b;
	struct slice s;

	buf_init(&b, SIZE_MAX / 2);
	do {
		buf_str(&b, words[dice_roll(d, sizeof(words) / sizeof(*words))]);
		buf_octet(&b, ' ');
	} while (b.n < octets);
	b.n--;
	s = arena_copy(a, buf_get(&b));
	buf_release(&b);
	return s;
}

static inline struct slice edit_line(struct arena *a, struct dice *d)
{
	static const char *const common[] = { "", "", "", "--", "> ", "}", " ", "Best regards," };
	/* ISO-2022-JP, GB18030, what is not to be in mail at all */
	static const struct slice charsets[] = { { (const unsigned char *)"\x1b$B$3$s\x1b(B", 10 }, { (const unsigned char *)"\x81\x30\x81\x30", 4 },
		{ (const unsigned char *)"nul \0 inside", 12 }, { (const unsigned char *)"\x7f\x01\xc3\xa4\xc3", 5 } };
	uint32_t kind = dice_roll(d, 20);

	if (kind < 6)
		return slice_str(common[dice_roll(d, 8)]);
	if (kind == 6)
		return arena_printf(a, "%c%c%c latin %u", 0xe4, 0xf6, 0xfc, dice_roll(d, 30));
	if (kind == 8)
		return charsets[dice_roll(d, 4)];
	if (kind == 7)
		return edit_words(a, d, dice_roll(d, 20) ? 60 : 5000);
	return edit_words(a, d, 1 + dice_roll(d, 72));
}

static inline void edit_put(struct slice *list, size_t *n, size_t max, size_t at, struct slice s)
{
	if (*n == max)
		return;
	memmove(list + at + 1, list + at, (*n - at) * sizeof(*list));
	list[at] = s;
	++*n;
}

static inline void edit_drop(struct slice *list, size_t *n, size_t at, size_t count)
{
	if (at >= *n)
		return;
	if (count > *n - at)
		count = *n - at;
	memmove(list + at, list + at + count, (*n - at - count) * sizeof(*list));
	*n -= count;
}

static inline void edit_add_line(struct draft_message *m, size_t at, struct slice s)
{
	edit_put(m->lines, &m->line_n, EDIT_LINES, at, s);
}

static inline void edit_add_field(struct draft_message *m, size_t at, struct slice s)
{
	edit_put(m->fields, &m->field_n, EDIT_FIELDS, at, s);
}

static inline void edit_new(struct arena *a, struct dice *d, struct draft_message *m, uint32_t lines)
{
	m->field_n = m->line_n = 0;
	m->unended = dice_roll(d, 10) == 0;
	edit_add_field(m, m->field_n, S("Received: from a.test by b.test; Sat, 21 Nov 2026 10:00:00 +0000"));
	edit_add_field(m, m->field_n, S("From: Alice <alice@example.com>"));
	edit_add_field(m, m->field_n, S("To: list@lists.example.org"));
	edit_add_field(m, m->field_n, arena_printf(a, "Subject: about %u\r\n\tand more", dice_roll(d, 1000)));
	edit_add_field(m, m->field_n, arena_printf(a, "Message-ID: <%u@example.com>", dice_roll(d, 1000000)));
	edit_add_field(m, m->field_n, S("Content-Type: text/plain; charset=utf-8"));
	for (uint32_t k = dice_roll(d, 12); k > 0; k--)
		edit_add_field(m, dice_roll(d, (uint32_t)m->field_n + 1), arena_printf(a, "Comments:  remark number %u", dice_roll(d, 5)));
	for (uint32_t k = 0; k < lines; k++)
		edit_add_line(m, m->line_n, edit_line(a, d));
}

/* One change of a header. */
static inline void edit_header(struct arena *a, struct dice *d, struct draft_message *m)
{
	size_t at = dice_roll(d, (uint32_t)m->field_n + 1);

	switch (dice_roll(d, 11)) {
	case 0:
		edit_add_field(m, at, S("List-Id: <list.l.test>"));
		edit_add_field(m, at, S("List-Unsubscribe:\r\n <mailto:leave@l.test>"));
		break;
	case 1:
		edit_drop(m->fields, &m->field_n, at, 1);
		break;
	case 2: /* canonically the same */
		if (at < m->field_n && slice_starts(m->fields[at], S("Comments:")))
			m->fields[at] = arena_printf(a, "COMMENTS :\t%.*s\r\n ", SLICE_FMT(slice_sub(m->fields[at], 9, SIZE_MAX)));
		break;
	case 3:
		if (at < m->field_n && slice_starts(m->fields[at], S("Subject:")))
			m->fields[at] = arena_printf(a, "Subject: [L]%.*s", SLICE_FMT(slice_sub(m->fields[at], 8, SIZE_MAX)));
		break;
	case 4:
		edit_add_field(m, at, arena_printf(a, "X-Spam: %u", dice_roll(d, 100)));
		break;
	case 5:
		edit_add_field(m, at, arena_printf(a, "Comments: added %u \"with\\quotes\"", dice_roll(d, 3)));
		break;
	case 6: /* moves */
		if (at < m->field_n) {
			struct slice f = m->fields[at];

			edit_drop(m->fields, &m->field_n, at, 1);
			edit_add_field(m, dice_roll(d, (uint32_t)m->field_n + 1), f);
		}
		break;
	case 7:
		edit_add_field(m, at, arena_printf(a, "Organization: %c%c raw", 0xe4, 0xff));
		break;
	case 8:
		edit_add_field(m, at, S("Keywords:"));
		break;
	case 9:
		for (uint32_t k = dice_roll(d, 30); k > 0; k--)
			edit_add_field(m, at, S("Comments:  remark number 1"));
		break;
	default:
		edit_add_field(m, at, S("Received: from b.test by c.test; Sat, 21 Nov 2026 10:00:01 +0000"));
	}
}

/* One change of a body. */
static inline void edit_body(struct arena *a, struct dice *d, struct draft_message *m)
{
	size_t at = dice_roll(d, (uint32_t)m->line_n + 1);
	uint32_t some = 1 + dice_roll(d, 1 + (uint32_t)m->line_n / 4);

	switch (dice_roll(d, 15)) {
	case 0: /* a footer */
		edit_add_line(m, m->line_n, S("_______________________________________________"));
		edit_add_line(m, m->line_n, S("list mailing list -- list@l.test"));
		edit_add_line(m, m->line_n, S("To leave: http://l.test/leave"));
		break;
	case 1: /* a header on top */
		edit_add_line(m, 0, S(""));
		edit_add_line(m, 0, S("[This message came from outside.]"));
		break;
	case 2: /* wrapped */
		for (size_t k = 0; k < 3; k++)
			edit_add_line(m, 0, (const struct slice[]){ S(""), S("Content-Type: text/plain; charset=utf-8"), S("--=-1") }[k]);
		edit_add_line(m, m->line_n, S(""));
		edit_add_line(m, m->line_n, S("--=-1--"));
		break;
	case 3: /* lines changed */
		for (uint32_t k = 1 + dice_roll(d, 6); k > 0 && m->line_n; k--)
			m->lines[dice_roll(d, (uint32_t)m->line_n)] = edit_line(a, d);
		break;
	case 4: /* a block moves */
		if (at < m->line_n) {
			size_t n = some < m->line_n - at ? some : m->line_n - at, to;
			struct slice *block = ARENA_ARRAY(a, n, struct slice);

			memcpy(block, m->lines + at, n * sizeof(*block));
			edit_drop(m->lines, &m->line_n, at, n);
			to = dice_roll(d, (uint32_t)m->line_n + 1);
			for (size_t k = 0; k < n; k++)
				edit_add_line(m, to + k, block[k]);
		}
		break;
	case 5:
		edit_drop(m->lines, &m->line_n, at, some);
		break;
	case 6: /* a block twice */
		for (uint32_t k = 0; k < some && at + k < m->line_n && at + k + k < m->line_n; k++)
			edit_add_line(m, at + k, m->lines[at + k + k]);
		break;
	case 7:
		for (uint32_t k = 0; k < some; k++)
			edit_add_line(m, at, edit_line(a, d));
		break;
	case 8: /* another charset */
		for (size_t k = 0; k < m->line_n; k++)
			if (slice_find(m->lines[k], 0xc3) < m->lines[k].n)
				m->lines[k] = arena_printf(a, "Gr%c%ce", 0xfc, 0xdf);
		break;
	case 9: /* a line cut */
		if (at < m->line_n && m->lines[at].n > 1) {
			size_t n = m->lines[at].n / 2;

			edit_add_line(m, at + 1, slice_sub(m->lines[at], n, SIZE_MAX));
			m->lines[at].n = n;
		}
		break;
	case 10: /* quoted */
		for (size_t k = at; k < m->line_n && k < at + some; k++)
			m->lines[k] = arena_printf(a, "> %.*s", SLICE_FMT(m->lines[k]));
		break;
	case 11: /* empty lines at the end come and go */
		for (uint32_t k = dice_roll(d, 4); k > 0; k--)
			edit_add_line(m, m->line_n, S(""));
		break;
	case 12:
		while (m->line_n && m->lines[m->line_n - 1].n == 0)
			m->line_n--;
		break;
	case 13:
		m->unended = !m->unended;
		break;
	default: /* empty lines vanish here and there */
		for (size_t k = m->line_n; k-- > 0;)
			if (m->lines[k].n == 0 && dice_roll(d, 2))
				edit_drop(m->lines, &m->line_n, k, 1);
	}
}

static inline struct slice edit_join(struct arena *a, const struct slice *list, size_t n, bool unended)
{
	struct buf b;
	struct slice s;

	buf_init(&b, SIZE_MAX / 2);
	for (size_t i = 0; i < n; i++) {
		buf_slice(&b, list[i]);
		if (i + 1 < n || !unended)
			buf_str(&b, "\r\n");
	}
	s = arena_copy(a, buf_get(&b));
	buf_release(&b);
	return s;
}

static inline struct slice edit_header_block(struct arena *a, const struct draft_message *m)
{
	return edit_join(a, m->fields, m->field_n, false);
}

static inline struct slice edit_body_octets(struct arena *a, const struct draft_message *m)
{
	return edit_join(a, m->lines, m->line_n, m->unended);
}

#endif
