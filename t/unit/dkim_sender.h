/*
 * dkim_sender.h - makes DKIM signatures of any kind, wrong ones too: the tags are as the test says, bh= and b= are right for them.
 */
#ifndef DKIM_SENDER_H
#define DKIM_SENDER_H

#include "arena.h"

#include "base/b64.h"
#include "crypt/sign.h"
#include "dkim_world.h"

static struct key *sender_rsa, *sender_ed;

static inline int sender_start(void **state)
{
	(void)state;
	sender_rsa = key_generate(KEY_RSA, 1024);
	sender_ed = key_generate(KEY_ED25519, 0);
	return sender_rsa && sender_ed ? 0 : -1;
}

static inline int sender_end(void **state)
{
	(void)state;
	key_drop(&sender_rsa);
	key_drop(&sender_ed);
	return 0;
}

static inline struct slice join3(struct slice a, struct slice b, struct slice c)
{
	unsigned char *p = arena_take(&arena, a.n + b.n + c.n);

	assert_non_null(p);
	memcpy(p, a.at ? a.at : p, a.n);
	memcpy(p + a.n, b.at ? b.at : p, b.n);
	memcpy(p + a.n + b.n, c.at ? c.at : p, c.n);
	return slice_of(p, a.n + b.n + c.n);
}

/* `text` with the first `find` in it replaced; find empty: put behind it. */
static inline struct slice edited(struct slice text, struct slice find, struct slice put)
{
	for (size_t i = 0; find.n && i + find.n <= text.n; i++)
		if (slice_eq(slice_sub(text, i, find.n), find))
			return join3(slice_sub(text, 0, i), put, slice_sub(text, i + find.n, SIZE_MAX));
	if (find.n)
		fail_msg("no \"%.*s\"", SLICE_FMT(find));
	return join3(text, put, SLICE_NONE);
}

/* What stands behind "name=" up to ';'; empty: there is none. */
static inline struct slice tag_text(struct slice tags, const char *name)
{
	struct slice left = tags, one, key;
	bool more;

	do {
		more = slice_cut(&left, ';', &one);
		one = slice_trim(one);
		if (slice_cut(&one, '=', &key) && slice_eq(slice_trim(key), slice_str(name)))
			return slice_trim(one);
	} while (more);
	return SLICE_NONE;
}

static inline void split(struct slice message, struct slice *block_out, struct slice *body_out)
{
	size_t seen = 0, block = 0, body = 0;

	assert_true(header_end(message, &seen, &block, &body));
	*block_out = slice_sub(message, 0, block);
	*body_out = slice_sub(message, body, SIZE_MAX);
}

/* The message with one more DKIM-Signature on top: "DKIM-Signature: TAGS; bh=...; b=...". key NULL: the one of a=. */
static inline struct slice sign_under(struct slice message, struct slice tags, const struct key *key)
{
	struct slice forms = tag_text(tags, "c"), l = tag_text(tags, "l"), block, body, header_form, bh, text;
	struct canon_body *c = canon_body_new(0);
	unsigned char digest[32], signature[SIGNATURE_OCTETS];
	uint64_t octets = CANON_WHOLE;
	struct field_list names;
	struct field own = { 0 };
	struct header h;
	struct fault f = { 0 };
	int handle;

	(void)slice_cut(&forms, '/', &header_form);
	if (!slice_u64(l, INT64_MAX, &octets))
		octets = CANON_WHOLE;
	split(message, &block, &body);
	handle = canon_body_want(c, slice_eq(forms, S("relaxed")) ? CANON_RELAXED : CANON_SIMPLE, DIGEST_SHA256, octets);
	assert_true(handle >= 0);
	canon_body_add(c, body);
	canon_body_end(c);
	bh = b64_text(&arena, canon_body_got(c, handle));
	canon_body_free(&c);
	text = join3(S("DKIM-Signature: "), tags, arena_printf(&arena, "; bh=%.*s; b=\r\n", SLICE_FMT(bh)));
	own.raw = text;
	own.name = S("DKIM-Signature");
	own.value = slice_sub(text, 15, text.n - 17);
	assert_true(header_parse(&arena, block, 20000, &h, &f));
	if (!field_list_parse(&arena, tag_text(tags, "h"), &names))
		assert_true(field_list_parse(&arena, S("from"), &names));
	assert_true(field_hash(&arena, field_index_new(&arena, &h), &names, slice_eq(header_form, S("relaxed")) ? CANON_RELAXED : CANON_SIMPLE, &own,
	    SLICE_NONE, digest));
	if (!key)
		key = slice_starts(tag_text(tags, "a"), S("ed25519")) ? sender_ed : sender_rsa;
	bh = b64_text(&arena, slice_of(signature, sign_sha256(key, digest, signature)));
	return join3(join3(slice_sub(text, 0, text.n - 2), bh, S("\r\n")), message, SLICE_NONE);
}

static inline struct slice sign_with(struct slice message, const char *tags)
{
	return sign_under(message, slice_str(tags), NULL);
}

#endif
