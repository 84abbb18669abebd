/*
 * Header and body hashes against a second, plain reading of spec sections 4, 5.1 and 5.2, and of RFC 6376 3.4, 3.7 and 5.4.2. The first
 * octet says how the body is cut.
 */
#include "auth/fieldhash.h"
#include "base/buf.h"
#include "base/limits.h"
#include "fuzz.h"

static bool all(struct slice name, const void *arg)
{
	(void)name;
	(void)arg;
	return false;
}

static void want_digest(struct slice text, struct slice got)
{
	unsigned char want[DIGEST_OCTETS];

	WANT(digest_once(DIGEST_SHA256, text, want) == 32 && slice_eq(slice_of(want, 32), got));
}

static struct slice body_digest(struct canon_body *c, struct slice body, size_t piece)
{
	struct slice part;

	while (body.n) {
		(void)slice_take(&body, piece < body.n ? piece : body.n, &part);
		canon_body_add(c, part);
	}
	canon_body_end(c);
	return canon_body_digest(c, DIGEST_SHA256);
}

static void want_body(struct slice body, size_t piece)
{
	struct canon_body *cut = canon_body_new(1U << DIGEST_SHA256), *whole = canon_body_new(1U << DIGEST_SHA256);
	struct slice got = body_digest(cut, body, piece);
	struct buf plain;

	WANT(slice_eq(got, body_digest(whole, body, SIZE_MAX)));
	while (slice_ends(body, S("\r\n")))
		body.n -= 2;
	buf_init(&plain, SIZE_MAX / 2);
	buf_slice(&plain, body);
	buf_str(&plain, "\r\n");
	want_digest(buf_get(&plain), got);
	buf_release(&plain);
	canon_body_free(&cut);
	canon_body_free(&whole);
}

static bool blank(unsigned char c)
{
	return c == ' ' || c == '\t';
}

/* Line by line; a CRLF behind whatever is left. */
static void plain_relaxed(struct buf *out, struct slice body)
{
	size_t kept = 0;

	while (body.n) {
		size_t n = 0;
		bool gap = false;

		while (n < body.n && !slice_starts(slice_sub(body, n, 2), S("\r\n")))
			n++;
		for (size_t i = 0; i < n; i++) {
			if (blank(body.at[i])) {
				gap = true;
				continue;
			}
			if (gap)
				buf_octet(out, ' ');
			gap = false;
			buf_octet(out, body.at[i]);
			kept = out->n;
		}
		buf_str(out, "\r\n");
		body = slice_sub(body, n + 2, SIZE_MAX);
	}
	out->n = kept ? kept + 2 : 0;
}

/* Both forms and a part of each, whole and cut. */
static void want_forms(struct slice body, size_t piece, uint64_t l)
{
	struct slice left = body, canonical;
	struct canon_body *c = canon_body_new(0);
	int handles[2], again;
	struct buf plain;

	for (unsigned form = 0; form < CANON_FORMS; form++) {
		handles[form] = canon_body_want(c, (enum canon_form)form, DIGEST_SHA256, CANON_WHOLE);
		WANT(handles[form] >= 0 && canon_body_want(c, (enum canon_form)form, DIGEST_SHA256, l) >= 0);
	}
	while (left.n) {
		canon_body_add(c, slice_sub(left, 0, piece));
		left = slice_sub(left, piece, SIZE_MAX);
	}
	canon_body_end(c);
	buf_init(&plain, SIZE_MAX / 2);
	for (unsigned form = 0; form < CANON_FORMS; form++) {
		struct slice rest = body;

		buf_clear(&plain);
		if (form == CANON_RELAXED) {
			plain_relaxed(&plain, body);
		} else {
			while (slice_ends(rest, S("\r\n")))
				rest.n -= 2;
			buf_slice(&plain, rest);
			buf_str(&plain, "\r\n");
		}
		canonical = buf_get(&plain);
		WANT(canon_body_octets(c, (enum canon_form)form) == canonical.n);
		want_digest(canonical, canon_body_got(c, handles[form]));
		again = canon_body_want(c, (enum canon_form)form, DIGEST_SHA256, l);
		if (l <= canonical.n)
			want_digest(slice_sub(canonical, 0, (size_t)l), canon_body_got(c, again));
		else
			WANT(canon_body_got(c, again).n == 0);
	}
	buf_release(&plain);
	canon_body_free(&c);
}

/* Name, then the value unfolded and octet by octet. */
static void plain_field(struct buf *out, const struct field *f, bool collapse)
{
	struct slice v = f->value;
	struct buf line;
	bool some = false, gap = false;

	for (size_t i = 0; i < f->name.n; i++)
		buf_octet(out, ascii_lower(f->name.at[i]));
	buf_octet(out, ':');
	buf_init(&line, SIZE_MAX / 2);
	for (size_t i = 0; i < v.n; i++) {
		if (v.n - i > 2 && v.at[i] == '\r' && v.at[i + 1] == '\n' && blank(v.at[i + 2]))
			i++;
		else
			buf_octet(&line, v.at[i]);
	}
	for (size_t i = 0; i < line.n; i++) {
		if (blank(line.at[i])) {
			gap = true;
			continue;
		}
		if (gap && some && collapse)
			buf_octet(out, ' ');
		gap = false;
		some = true;
		buf_octet(out, line.at[i]);
	}
	buf_str(out, "\r\n");
	buf_release(&line);
}

/* The relaxed form as text. */
static void want_text(struct arena *a, const struct field *f)
{
	unsigned char *text = arena_take(a, f->name.n + f->value.n + CANON_MORE);
	struct buf plain;

	WANT(text);
	buf_init(&plain, SIZE_MAX / 2);
	plain_field(&plain, f, true);
	WANT(slice_eq(buf_get(&plain), slice_of(text, canon_relaxed_text(f, text))));
	buf_release(&plain);
}

/* The smallest name not yet taken, from below: slow and plain. */
static void want_header(struct arena *a, const struct header *h)
{
	unsigned char got[DIGEST_ALGS][DIGEST_OCTETS];
	bool *taken = ARENA_ARRAY(a, h->n, bool);
	struct buf plain;

	buf_init(&plain, SIZE_MAX / 2);
	for (size_t left = h->n; left > 0; left--) {
		size_t least = h->n;

		for (size_t i = h->n; i-- > 0;)
			if (!taken[i] && (least == h->n || slice_icmp(h->fields[i].name, h->fields[least].name) < 0))
				least = i;
		taken[least] = true;
		plain_field(&plain, &h->fields[least], true);
	}
	WANT(canon_header(a, h, all, NULL, 1U << DIGEST_SHA256, got));
	want_digest(buf_get(&plain), slice_of(got[DIGEST_SHA256], 32));
	buf_release(&plain);
}

/* One field without its blanks, and the same with a piece of its value blanked. */
static void want_bare(const struct field *f, size_t from, size_t n)
{
	struct digest *to[DIGEST_ALGS] = { digest_new(DIGEST_SHA256) };
	unsigned char got[DIGEST_OCTETS], again[DIGEST_OCTETS];
	struct slice hole = slice_trim(slice_sub(f->value, from, n));
	struct field rest = *f;
	struct canon_sink sink;
	struct buf plain, value;

	canon_sink_init(&sink, to);
	canon_bare(&sink, f, &hole, hole.n > 0);
	canon_sink_flush(&sink);
	digest_end(to[DIGEST_SHA256], got);
	buf_init(&plain, SIZE_MAX / 2);
	buf_init(&value, SIZE_MAX / 2);
	if (hole.n) {
		size_t at = (size_t)(hole.at - f->value.at);

		buf_slice(&value, slice_sub(f->value, 0, at));
		buf_octet(&value, 'h'); /* so that what stood apart does not meet */
		buf_slice(&value, slice_sub(f->value, at + hole.n, SIZE_MAX));
		rest.value = buf_get(&value);
		canon_sink_init(&sink, to);
		digest_reset(to[DIGEST_SHA256]);
		canon_bare(&sink, &rest, &(struct slice){ rest.value.at + at, 1 }, 1);
		canon_sink_flush(&sink);
		digest_end(to[DIGEST_SHA256], again);
		WANT(memcmp(got, again, 32) == 0);
	} else {
		plain_field(&plain, f, false);
		want_digest(buf_get(&plain), slice_of(got, 32));
	}
	buf_release(&value);
	buf_release(&plain);
	digest_free(&to[DIGEST_SHA256]);
}

/* The value of each field as an h=, the field itself as what holds the signature. */
static void want_field_hash(struct arena *a, const struct header *h, const struct field_index *index, const struct field *own)
{
	struct field_list list;
	unsigned char got[32];
	bool *taken = ARENA_ARRAY(a, h->n, bool);
	struct buf plain;

	if (!field_list_parse(a, own->value, &list))
		return;
	buf_init(&plain, SIZE_MAX / 2);
	for (size_t k = 0; k < list.n; k++) {
		size_t i = h->n;

		while (i-- > 0)
			if (!taken[i] && &h->fields[i] != own && slice_ieq(h->fields[i].name, list.names[k]))
				break;
		if (i > h->n)
			continue;
		taken[i] = true;
		plain_field(&plain, &h->fields[i], true);
	}
	plain_field(&plain, own, true);
	plain.n -= 2;
	WANT(field_hash(a, index, &list, CANON_RELAXED, own, SLICE_NONE, got));
	want_digest(buf_get(&plain), slice_of(got, 32));
	for (size_t i = 0; i < h->n; i++) {
		size_t there = 0;

		for (size_t k = 0; k < h->n; k++)
			there += slice_ieq(h->fields[k].name, h->fields[i].name);
		WANT(field_count(index, h->fields[i].name) == there);
	}
	buf_release(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	struct slice message;
	struct arena a;
	struct header h;
	struct fault f = { 0 };
	size_t seen = 0, block, body;

	if (n < 3)
		return 0;
	message = slice_of(at + 1, n - 1);
	block = body = message.n;
	header_end(message, &seen, &block, &body);
	want_body(slice_sub(message, body, SIZE_MAX), at[0] ? at[0] : 1);
	want_body(message, at[0] ? at[0] : 1);
	want_forms(slice_sub(message, body, SIZE_MAX), at[0] ? at[0] : 1, at[1]);
	want_forms(message, SIZE_MAX, at[2]);
	arena_init(&a, LIMIT_TX_ARENA);
	if (header_parse(&a, slice_sub(message, 0, block), 100, &h, &f)) {
		struct field_index *index = field_index_new(&a, &h);

		want_header(&a, &h);
		for (size_t i = 0; i < h.n; i++) {
			want_text(&a, &h.fields[i]);
			want_bare(&h.fields[i], 0, 0);
			want_bare(&h.fields[i], at[0], at[1]);
			want_field_hash(&a, &h, index, &h.fields[i]);
		}
	}
	arena_clear(&a);
	return 0;
}
