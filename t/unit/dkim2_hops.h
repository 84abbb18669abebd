/*
 * dkim2_hops.h - a small builder for tests of auth/dkim2: hops of a few test domains over one message, each tag as the test wants it,
 * each hop rightly signed all the same. Included once by each of them.
 */
#ifndef DKIM2_HOPS_H
#define DKIM2_HOPS_H

#include "dkim2_world.h"

static const char base_message[] = "From: s@a.test\r\nTo: r1@c.test\r\nSubject: t\r\nDate: Thu, 01 Oct 2026 00:00:00 +0000\r\n"
                                   "Message-ID: <1@a.test>\r\n\r\nhello\r\n";
static const char *const domains[] = { "a.test", "b.test", "c.test", "evil.test", "list.test" };
static struct key *domain_keys[5];

static inline int make_domains(void **state)
{
	struct slice rsa;

	make_world(state);
	rsa = keyrec_text(&arena, keys[2]);
	for (size_t i = 0; i < ROWS(domains); i++) {
		struct slice text;
		char name[64];

		domain_keys[i] = ed25519_of((unsigned char)(0x80 + i));
		text = keyrec_text(&arena, domain_keys[i]);
		snprintf(name, sizeof(name), "e._domainkey.%s", domains[i]);
		json_object_set_new(zone, name, json_pack("[s%]", text.at, text.n));
		snprintf(name, sizeof(name), "r2048._domainkey.%s", domains[i]);
		json_object_set_new(zone, name, json_pack("[s%]", rsa.at, rsa.n));
	}
	return 0;
}

static inline int end_domains(void **state)
{
	for (size_t i = 0; i < ROWS(domains); i++)
		key_drop(&domain_keys[i]);
	return end_world(state);
}

struct hop {
	const char *d;
	const char *mf;         /* path, default <s@d>; not with nd */
	const char *rt;         /* paths with ',' between */
	const char *nd;
	const char *s;          /* sets, each with '*' where its signature goes; default "e:ed25519-sha256:*" */
	const char *extra;      /* more tags */
	const char *find, *put; /* a change of the field's text before it is signed */
	unsigned m;             /* default 1 */
	int64_t t;              /* default NOW */
};

/* The first `find` becomes `put`. */
static inline struct slice replaced(struct slice text, const char *find, struct slice put)
{
	const unsigned char *at = memmem(text.at, text.n, find, strlen(find));
	size_t n;

	if (!at)
		fail_msg("no \"%s\" in \"%.*s\"", find, SLICE_FMT(text));
	n = (size_t)(at - text.at);
	return join(slice_sub(text, 0, n), put, slice_sub(text, n + strlen(find), SIZE_MAX));
}

static inline struct slice b64_list(const char *paths)
{
	struct slice rest = slice_str(paths), one, out = SLICE_NONE;
	bool more;

	do {
		more = slice_cut(&rest, ',', &one);
		out = join(out, out.n ? S(",") : SLICE_NONE, b64_text(&arena, one));
	} while (more);
	return out;
}

static inline const struct key *hop_key(const struct seal *s, size_t set)
{
	if (s->sets[set].type == KEY_RSA)
		return keys[2];
	for (size_t i = 0; i < ROWS(domains); i++)
		if (slice_eq(s->hop->d_normal, slice_str(domains[i])))
			return domain_keys[i];
	return domain_keys[3]; /* any other is evil's */
}

/* Hop i of a message, rightly signed unless its field cannot be read. */
static inline struct slice add_hop(struct slice message, unsigned i, const struct hop *hop)
{
	struct slice field = arena_printf(&arena, "DKIM2-Signature: i=%u; m=%u; t=%lld; d=%s; ", i, hop->m ? hop->m : 1,
	    (long long)(hop->t ? hop->t : NOW), hop->d);
	struct slice mf = hop->mf ? slice_str(hop->mf) : arena_printf(&arena, "<s@%s>", hop->d), body, signed_field;
	unsigned char digest[32], out[SIGNATURE_OCTETS];
	struct header h;
	struct chain c;
	struct input input;

	if (hop->nd)
		field = join(field, arena_printf(&arena, "nd=%s; ", hop->nd), SLICE_NONE);
	else
		field = join(field, arena_printf(&arena, "mf=%.*s; ", SLICE_FMT(b64_text(&arena, mf))),
		    arena_printf(&arena, "rt=%.*s; ", SLICE_FMT(b64_list(hop->rt))));
	field = join(field, slice_str(hop->extra), arena_printf(&arena, "s=%s;\r\n", hop->s ? hop->s : "e:ed25519-sha256:*"));
	if (hop->find)
		field = replaced(field, hop->find, slice_str(hop->put));
	signed_field = field;
	while (memchr(signed_field.at, '*', signed_field.n))
		signed_field = replaced(signed_field, "*", S("AAAA"));
	split(join(signed_field, message, SLICE_NONE), &h, &body);
	assert_true(chain_read(&arena, draft_of(9), &h, false, &c));
	if (c.broken || c.n < i)
		return join(signed_field, message, SLICE_NONE);
	input_init(&input, &c);
	assert_true(input_digest(&input, i - 1, digest));
	input_release(&input);
	for (size_t k = 0; k < c.seals[i - 1].set_count; k++) {
		size_t n = sign_sha256(hop_key(&c.seals[i - 1], k), digest, out);
		struct slice text = slice_starts(c.seals[i - 1].sets[k].selector, S("forged")) ? S("AAAA") : b64_text(&arena, slice_of(out, n));

		if (memchr(field.at, '*', field.n))
			field = replaced(field, "*", text);
	}
	return join(field, message, SLICE_NONE);
}

static inline struct slice hops(struct slice message, const struct hop *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		message = add_hop(message, (unsigned)i + 1, &list[i]);
	return message;
}

static inline struct slice one_hop(struct hop hop)
{
	if (!hop.rt)
		hop.rt = "<r1@c.test>";
	return add_hop(forge_instance(slice_str(base_message), 1), 1, &hop);
}

static inline struct slice plain_hop(void)
{
	return one_hop((struct hop){ .d = "a.test" });
}

/* A message whose h= is this; %s stands for what the right sha256 set is. */
static inline struct slice hashed_as(const char *h)
{
	struct slice message = forge_instance(slice_str(base_message), 1), set, field;
	const unsigned char *from = memmem(message.at, message.n, "sha256:", 7), *end = memchr(from, ';', 200);

	set = slice_of(from, (size_t)(end - from));
	field = strchr(h, '%') ? replaced(slice_str(h), "%s", set) : slice_str(h);
	message = replaced(message, (const char *)arena_string(&arena, set), field);
	return add_hop(message, 1, &(struct hop){ .d = "a.test", .rt = "<r1@c.test>" });
}

#define OCTETS_31 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="
#define OCTETS_32 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

/* ---- what is wanted ---- */

static size_t asks;

/* rcpts NULL: no envelope */
static inline const struct dkim2_verdict *judged(struct slice message, const char *mail_from, const char *rcpts, int64_t now, unsigned draft)
{
	struct slice list[8], rest = slice_str(rcpts);
	struct dkim2_envelope e = { slice_str(mail_from), list, 0 };
	const struct slice *names;
	struct dkim2_verify *v;
	struct header h;
	struct slice body;
	bool more = rcpts != NULL;

	while (more)
		more = slice_cut(&rest, ',', &list[e.rcpt_count++]);
	split(message, &h, &body);
	v = dkim2_verify_new(&arena, &h, rcpts ? &e : NULL, (struct dkim2_clock){ now, 300 }, draft);
	asks = dkim2_verify_asks(v, &names);
	dkim2_verify_release(v);
	return vector_verify(&arena, message, rcpts ? &e : NULL, now, draft, zone);
}

static inline void want(const char *name, struct slice message, enum dkim2_state state, const char *reason)
{
	const struct dkim2_verdict *v = judged(message, "<s@a.test>", "<r1@c.test>", NOW + 10, 9);

	if (v->state != state || !slice_eq(v->reason, slice_str(reason)))
		fail_msg("%s: wanted %s \"%s\", got %s \"%.*s\"", name, dkim2_state_name(state), reason, dkim2_state_name(v->state), SLICE_FMT(v->reason));
	if (state == DKIM2_PERMERROR && strstr(reason, "public key") == NULL && asks != 0)
		fail_msg("%s: %zu questions", name, asks);
	if (state == DKIM2_PASS && !dkim2_fully_verified(v))
		fail_msg("%s: not fully verified", name);
}

static inline void want_at(const char *name, struct slice message, const char *mail_from, const char *rcpts, unsigned draft, enum dkim2_state state)
{
	const struct dkim2_verdict *v = judged(message, mail_from, rcpts, NOW + 10, draft);

	if (v->state != state)
		fail_msg("%s at %u: %s \"%.*s\"", name, draft, dkim2_state_name(v->state), SLICE_FMT(v->reason));
}

#define PERM DKIM2_PERMERROR
#define SYNTAX_1 "DKIM2-Signature i=1 syntax error"

#endif
