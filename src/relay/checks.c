#include "relay/checks.h"

struct key_ask {
	struct checks *checks;
	ask_ticket ticket; /* 0: answered */
};

struct checks {
	struct ask *ask;
	struct dkim2_verify *dkim2;
	struct canon_body *body;
	struct key_ask *keys;
	size_t key_count, open;
	const struct dkim2_verdict *verdict;
	void (*on)(void *arg);
	void *arg;
};

static void judge(struct checks *c)
{
	dkim2_verify_body(c->dkim2, c->body);
	c->verdict = dkim2_verify_verdict(c->dkim2);
}

static void on_key(void *arg, struct dnsrec *rec)
{
	struct key_ask *k = arg;
	struct checks *c = k->checks;

	k->ticket = 0;
	c->open--;
	dkim2_verify_answer(c->dkim2, (size_t)(k - c->keys), rec->key);
	if (c->open == 0 && c->on) {
		judge(c);
		c->on(c->arg);
	}
}

struct checks *checks_new(struct arena *a, struct ask *ask, const struct header *h, const struct dkim2_envelope *envelope,
    struct dkim2_clock clock, const struct checks_terms *terms)
{
	struct checks *c = ARENA_NEW(a, struct checks);
	const struct slice *names = NULL;

	if (!c)
		return NULL;
	c->ask = ask;
	c->dkim2 = dkim2_verify_new(a, h, envelope, clock, terms->draft);
	if (!c->dkim2)
		return NULL;
	dkim2_verify_ceiling(c->dkim2, terms->undo_octets);
	c->body = canon_body_new(dkim2_verify_digests(c->dkim2) | terms->also);
	c->key_count = dkim2_verify_asks(c->dkim2, &names);
	c->keys = ARENA_ARRAY(a, c->key_count, struct key_ask);
	if (!c->body || !c->keys) {
		checks_free(&c);
		return NULL;
	}
	for (size_t i = 0; i < c->key_count; i++) {
		struct dnsrec *rec = ask_dns_cached(ask, DNSREC_KEY, names[i]);

		if (rec) {
			dkim2_verify_answer(c->dkim2, i, rec->key);
			continue;
		}
		c->keys[i].checks = c;
		c->keys[i].ticket = ask_dns(ask, DNSREC_KEY, names[i], on_key, &c->keys[i]);
		if (!c->keys[i].ticket) {
			checks_free(&c);
			return NULL;
		}
		c->open++;
	}
	return c;
}

void checks_free(struct checks **cp)
{
	struct checks *c = *cp;

	*cp = NULL;
	if (!c)
		return;
	for (size_t i = 0; c->keys && i < c->key_count; i++)
		if (c->keys[i].ticket)
			ask_cancel(c->ask, c->keys[i].ticket);
	canon_body_free(&c->body);
	dkim2_verify_release(c->dkim2);
}

void checks_body(struct checks *c, struct slice octets)
{
	canon_body_add(c->body, octets);
	dkim2_verify_octets(c->dkim2, octets);
}

bool checks_end(struct checks *c, void (*on)(void *arg), void *arg)
{
	canon_body_end(c->body);
	if (c->open == 0) {
		judge(c);
		return true;
	}
	c->on = on;
	c->arg = arg;
	return false;
}

const struct dkim2_verdict *checks_dkim2(const struct checks *c)
{
	return c->verdict;
}

struct slice checks_body_sha256(const struct checks *c)
{
	return canon_body_digest(c->body, DIGEST_SHA256);
}

struct slice checks_body_sha512(const struct checks *c)
{
	return canon_body_digest(c->body, DIGEST_SHA512);
}
