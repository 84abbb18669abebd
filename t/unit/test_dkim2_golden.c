/*
 * What other signers made of published messages and keys, made again: their hashes, their signatures (RSA PKCS#1 v1.5 and Ed25519
 * are deterministic), and, where their form is the one of today, their fields.
 */
#include "test.h"

#include "auth/taglist.h"
#include "base/b64.h"
#include "base/limits.h"
#include "crypt/sign.h"
#include "dkim2_suite.h"

#include "auth/dkim2/draft.h"

static struct arena arena;

/* ---- fields, read anew here ---- */

static struct slice without_blanks(struct slice s)
{
	unsigned char *p = arena_take(&arena, s.n);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		if (!memchr(" \t\r\n", s.at[i], 4))
			p[n++] = s.at[i];
	return slice_of(p, n);
}

/* "name:value", its name in lower case, without a blank or a line end: what a signature sees of a field. */
static struct slice bare(struct slice raw)
{
	struct slice s = without_blanks(raw);
	unsigned char *p = (unsigned char *)(uintptr_t)s.at;

	for (size_t i = 0; i < s.n && p[i] != ':'; i++)
		p[i] = (unsigned char)ascii_lower(p[i]);
	return s;
}

static struct slice tag_of(const struct field *f, const char *name)
{
	struct taglist list;
	const struct tag *tag;

	assert_true(taglist_parse(&arena, f->value, TAGLIST_ANY_CASE, &list));
	tag = taglist_find(&list, TAGLIST_ANY_CASE, slice_str(name));
	return tag ? without_blanks(tag->value) : SLICE_NONE;
}

static const struct field *numbered(const struct header *h, const char *name, const char *tag, uint64_t number)
{
	for (size_t i = header_find(h, slice_str(name), 0); i < h->n; i = header_find(h, slice_str(name), i + 1)) {
		uint64_t n = 0;

		if (slice_u64(tag_of(&h->fields[i], tag), UINT64_MAX, &n) && n == number)
			return &h->fields[i];
	}
	return NULL;
}

static void add_line(struct digest *d, struct slice text)
{
	digest_add(d, text);
	digest_add(d, S("\r\n"));
}

/* Spec 5.2, from the field's text: each set's signature is left out. */
static void add_blanked(struct digest *d, struct slice text)
{
	const unsigned char *at = memmem(text.at, text.n, ";s=", 3), *first = memmem(text.at, text.n, ":s=", 3), *end = text.at + text.n;
	unsigned colons = 0;

	at = at ? at : first; /* the first tag of the field */
	assert_non_null(at);
	digest_add(d, slice_of(text.at, (size_t)(at + 3 - text.at)));
	for (at += 3; at < end; at++) {
		bool keep = colons < 2;

		if (*at == ',' || *at == '|' || *at == ';')
			colons = *at == ';' ? 2 : 0, keep = true;
		if (*at == ';') { /* and what follows the tag */
			digest_add(d, slice_of(at, (size_t)(end - at)));
			break;
		}
		if (keep)
			digest_add(d, slice_of(at, 1));
		colons += *at == ':';
	}
	digest_add(d, S("\r\n"));
}

static bool input_of(const struct header *h, uint64_t i, unsigned char out[DIGEST_OCTETS])
{
	const struct field *own = numbered(h, "DKIM2-Signature", "i", i);
	struct digest *d;
	uint64_t m = 0;

	if (!own || !slice_u64(tag_of(own, "m"), UINT64_MAX, &m))
		return false;
	d = digest_new(DIGEST_SHA256);
	for (uint64_t k = 1; k <= m; k++) {
		assert_non_null(numbered(h, "Message-Instance", "m", k));
		add_line(d, bare(numbered(h, "Message-Instance", "m", k)->raw));
	}
	for (uint64_t k = 1; k < i; k++)
		add_line(d, bare(numbered(h, "DKIM2-Signature", "i", k)->raw));
	add_blanked(d, bare(own->raw));
	digest_end(d, out);
	digest_free(&d);
	return true;
}

/* ---- the messages ---- */

/* The suites share their keys. NULL: none is published. */
static struct key *key_of(struct slice selector, struct slice domain)
{
	char folder[500], path[700];

	assert_true(vector_folder("dkim2-spec06-interop", folder, sizeof(folder)));
	snprintf(path, sizeof(path), "%s/keys/%.*s._domainkey.%.*s.pem", folder, SLICE_FMT(selector), SLICE_FMT(domain));
	return key_private(vector_file(&arena, path));
}

static void read_message(struct slice message, struct header *h, struct slice *body)
{
	size_t seen = 0, block = message.n, at = message.n;
	struct fault f = { 0 };

	header_end(message, &seen, &block, &at);
	assert_true(header_parse(&arena, slice_sub(message, 0, block), 10000, h, &f));
	*body = slice_sub(message, at, SIZE_MAX);
}

struct made {
	unsigned signatures, hashes, fields;
};

/* Every signature whose key is published. */
static void sign_again(struct made *made, const char *folder, const char *file, const struct header *h)
{
	unsigned char digest[DIGEST_OCTETS], out[SIGNATURE_OCTETS];

	for (uint64_t i = 1; input_of(h, i, digest); i++) {
		const struct field *f = numbered(h, "DKIM2-Signature", "i", i);
		struct slice sets = tag_of(f, "s"), set;
		bool more;

		do {
			struct slice selector, algorithm, want;
			struct key *key;

			more = slice_cut(&sets, ',', &set);
			slice_cut(&set, ':', &selector);
			slice_cut(&set, ':', &algorithm);
			key = key_of(selector, tag_of(f, "d"));
			if (!key)
				continue;
			assert_true(b64_decode(&arena, set, false, &want));
			if (!slice_eq(slice_of(out, sign_sha256(key, digest, out)), want))
				fail_msg("%s/%s: the signature of %.*s at i=%u differs", folder, file, SLICE_FMT(selector), (unsigned)i);
			key_drop(&key);
			made->signatures++;
		} while (more);
	}
}

static bool left_out(struct slice name, const void *draft)
{
	return draft_unsigned(draft, name);
}

/* Has it nothing of what the header hash leaves out? Then it makes no difference which draft's list that is. */
static bool all_hashed(const struct header *h)
{
	for (size_t i = 0; i < h->n; i++)
		if (left_out(h->fields[i].name, draft_of(6)) && !slice_ieq(h->fields[i].name, S("DKIM2-Signature")) &&
		    !slice_ieq(h->fields[i].name, S("Message-Instance")))
			return false;
	return true;
}

/* h= of the newest instance. */
static void hash_again(struct made *made, const char *folder, const char *file, const struct header *h, struct slice body)
{
	unsigned char out[DIGEST_ALGS][DIGEST_OCTETS];
	struct canon_body *c = canon_body_new(1U << DIGEST_SHA256);
	struct slice head, tail, want;
	uint64_t m = 1;

	while (numbered(h, "Message-Instance", "m", m + 1))
		m++;
	canon_body_add(c, body);
	canon_body_end(c);
	assert_true(canon_header(&arena, h, left_out, draft_of(6), 1U << DIGEST_SHA256, out));
	head = b64_text(&arena, slice_of(out[DIGEST_SHA256], 32));
	tail = b64_text(&arena, canon_body_digest(c, DIGEST_SHA256));
	want = tag_of(numbered(h, "Message-Instance", "m", m), "h");
	if (!slice_eq(want, arena_printf(&arena, "sha256:%.*s:%.*s", SLICE_FMT(head), SLICE_FMT(tail))))
		fail_msg("%s/%s: h= of m=%u differs", folder, file, (unsigned)m);
	canon_body_free(&c);
	made->hashes++;
}

static struct slice path_of(struct slice text)
{
	struct slice path;

	assert_true(b64_decode(&arena, text, false, &path));
	return path;
}

/* The message as it was before its only hop, sealed by us with what that hop says: both fields come out. */
static void seal_again(struct made *made, const char *folder, const char *file, const struct header *h, struct slice body)
{
	const struct field *signature = numbered(h, "DKIM2-Signature", "i", 1), *instance = numbered(h, "Message-Instance", "m", 1);
	struct header bare_header = { .fields = ARENA_ARRAY(&arena, h->n, struct field) };
	struct slice rts = tag_of(signature, "rt"), rt[50], sets = tag_of(signature, "s"), selector, algorithm, own[2];
	struct dkim2_seal_set set;
	struct dkim2_seal_conf conf = { .d = tag_of(signature, "d"), .mail_from = path_of(tag_of(signature, "mf")), .rcpt_to = rt, .sets = &set, .set_count = 1 };
	struct key *key;
	struct canon_body *c = canon_body_new(1U << DIGEST_SHA256);
	unsigned char out[SIGNATURE_OCTETS];
	const struct dkim2_sign_ask *ask;
	struct dkim2_seal *s;
	struct fault f = { 0 };
	uint64_t t = 0;
	bool more;

	do {
		struct slice one;

		more = slice_cut(&rts, ',', &one);
		rt[conf.rcpt_count++] = path_of(one);
	} while (more);
	slice_cut(&sets, ':', &selector);
	slice_cut(&sets, ':', &algorithm);
	key = key_of(selector, conf.d);
	assert_non_null(key);
	set = (struct dkim2_seal_set){ .selector = selector, .type = key_type(key) };
	assert_true(slice_u64(tag_of(signature, "t"), INT64_MAX, &t));
	conf.now = (int64_t)t;
	for (size_t i = 0; i < h->n; i++)
		if (&h->fields[i] != signature && &h->fields[i] != instance)
			bare_header.fields[bare_header.n++] = h->fields[i];
	canon_body_add(c, body);
	canon_body_end(c);
	s = dkim2_seal_new(&arena, &bare_header, canon_body_digest(c, DIGEST_SHA256), NULL, &conf, &f);
	if (!s)
		fail_msg("%s/%s: %s", folder, file, f.text);
	assert_int_equal(dkim2_seal_asks(s, &ask), 1);
	dkim2_seal_answer(s, 0, slice_of(out, sign_sha256(key, ask->digest, out)));
	assert_true(dkim2_seal_fields(s, &own[0], &own[1], &f));
	if (!slice_eq(bare(own[0]), bare(instance->raw)) || !slice_eq(bare(own[1]), bare(signature->raw)))
		fail_msg("%s/%s: wanted\n%.*s%.*sgot\n%.*s%.*s", folder, file, SLICE_FMT(instance->raw), SLICE_FMT(signature->raw), SLICE_FMT(own[0]), SLICE_FMT(own[1]));
	key_drop(&key);
	canon_body_free(&c);
	made->fields++;
}

/* What is signed is what is published unsigned: "simple-sel2.eml" is simple.eml with two fields on top. */
static void is_unsigned(const char *folder, const char *file, struct slice message, const struct header *h)
{
	const char *name = strrchr(file, '/') + 1;
	char path[700];
	struct slice want;
	size_t at = 0;

	snprintf(path, sizeof(path), "%s/unsigned/%.*s.eml", folder, (int)strcspn(name, "-"), name);
	want = vector_file(&arena, path);
	while (at < h->n && (slice_ieq(h->fields[at].name, S("DKIM2-Signature")) || slice_ieq(h->fields[at].name, S("Message-Instance"))))
		at++;
	if (want.n)
		WANT_SLICE(slice_sub(message, (size_t)(h->fields[at].raw.at - message.at), SIZE_MAX), want);
}

static struct made make_suite(const char *suite, bool form)
{
	struct made made = { 0 };
	char folder[500], path[700];
	json_t *index;

	assert_true(vector_folder(suite, folder, sizeof(folder)));
	index = vector_json(folder, "INDEX.json");
	for (size_t i = 0; i < json_array_size(index); i++) {
		const json_t *row = json_array_get(index, i);
		const char *file = json_string_value(json_object_get(row, "file")), *expect = json_string_value(json_object_get(row, "expect"));
		struct slice message, body;
		struct header h;

		if (!expect || strcmp(expect, "pass") != 0)
			continue;
		arena_clear(&arena);
		snprintf(path, sizeof(path), "%s/%s", folder, file);
		message = vector_file(&arena, path);
		read_message(message, &h, &body);
		sign_again(&made, folder, file, &h);
		if (form || all_hashed(&h))
			hash_again(&made, folder, file, &h, body);
		if (!form || numbered(&h, "DKIM2-Signature", "i", 2))
			continue;
		is_unsigned(folder, file, message, &h);
		seal_again(&made, folder, file, &h, body);
	}
	json_decref(index);
	print_message("# %s: %u signatures, %u hashes, %u pairs of fields\n", suite, made.signatures, made.hashes, made.fields);
	return made;
}

/* One hop each: the fields as a whole, which are those of today. */
static void of_the_form_of_today(void **state)
{
	struct made made = make_suite("dkim2-spec06-interop", true);

	(void)state;
	assert_true(made.fields >= 9 && made.signatures > made.fields && made.hashes >= made.fields);
}

/* mf= and rt= without brackets, no ';' at the end, other orders: what was signed then is signed the same. */
static void of_older_forms(void **state)
{
	struct made older = make_suite("dkim2-spec02", false), later = make_suite("dkim2-spec04", false);

	(void)state;
	assert_true(older.signatures >= 15 && later.signatures >= 11 && older.hashes >= 15 && later.hashes >= 11);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_the_form_of_today),
		cmocka_unit_test(of_older_forms),
	};
	int failed;

	arena_init(&arena, 1 << 26);
	failed = RUN_TESTS(tests);
	arena_clear(&arena);
	return failed;
}
