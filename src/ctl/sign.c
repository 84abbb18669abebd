#include <stdio.h>
#include <time.h>

#include "auth/dkim2/make.h"
#include "base/limits.h"
#include "crypt/sign.h"
#include "ctl/judge.h"
#include "ctl/private_key.h"
#include "mail/domain.h"

struct sign {
	const char *domain, *mail_from, *next_domain, *previous, *received_mail_from, *nonce, *dns;
	const char **rcpts, **received_rcpts, **selectors, **key_files;
	size_t rcpt_count, received_rcpt_count, selector_count, key_count;
	struct slice *flags;
	size_t flag_count;
	int64_t now;
	bool out_of_band;
	struct key *keys[LIMIT_KEYS_HOP];
};

static int flag_add(struct sign *o, const char *name)
{
	static const char *const known[] = { "exploded", "feedback", "feedhere" };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(known[i], name) == 0) {
			o->flags[o->flag_count++] = slice_str(name);
			return CTL_DONE;
		}
	return ctl_usage("--flag %s: exploded, feedback or feedhere was expected", name);
}

static int options_check(const struct sign *o)
{
	struct slice nonce = slice_str(o->nonce);

	if (!o->domain)
		return ctl_usage("--domain is missing");
	if (o->key_count == 0 || o->selector_count != o->key_count)
		return ctl_usage("each --selector needs its --key");
	if (o->key_count > LIMIT_KEYS_HOP)
		return ctl_usage("more than %d keys", LIMIT_KEYS_HOP);
	for (size_t i = 0; i < o->selector_count; i++)
		if (!domain_valid(slice_str(o->selectors[i])))
			return ctl_usage("--selector %s: not a selector", o->selectors[i]);
	if (o->next_domain ? o->mail_from || o->rcpt_count : !o->mail_from || !o->rcpt_count)
		return ctl_usage("either --mail-from and at least one --rcpt, or --next-domain");
	if (o->received_rcpt_count && !o->received_mail_from)
		return ctl_usage("--received-rcpt without --received-mail-from");
	if (o->received_mail_from && !o->received_rcpt_count)
		return ctl_usage("--received-mail-from without --received-rcpt");
	for (size_t i = 0; i < nonce.n; i++)
		if (nonce.at[i] <= 0x20 || nonce.at[i] >= 0x7f || nonce.at[i] == ';')
			return ctl_usage("--nonce: printable ASCII without blanks and ';' was expected");
	if (nonce.n > LIMIT_NONCE)
		return ctl_usage("--nonce: more than %d characters", LIMIT_NONCE);
	return CTL_DONE;
}

static bool options_room(struct sign *o, struct arena *a, int argc)
{
	size_t n = (size_t)argc + 1;

	o->rcpts = ARENA_ARRAY(a, n, const char *);
	o->received_rcpts = ARENA_ARRAY(a, n, const char *);
	o->selectors = ARENA_ARRAY(a, n, const char *);
	o->key_files = ARENA_ARRAY(a, n, const char *);
	o->flags = ARENA_ARRAY(a, n, struct slice);
	return !arena_failed(a);
}

static int options_read(struct sign *o, struct arena *a, int argc, char **argv)
{
	enum { DOMAIN = 1, SELECTOR, KEY, MAIL_FROM, RCPT, NEXT_DOMAIN, PREVIOUS, FLAG, RECEIVED_MAIL_FROM, RECEIVED_RCPT, NONCE, NOW,
		DNS, OUT_OF_BAND };
	static const struct option options[] = {
		{ "domain", required_argument, NULL, DOMAIN },
		{ "selector", required_argument, NULL, SELECTOR },
		{ "key", required_argument, NULL, KEY },
		{ "mail-from", required_argument, NULL, MAIL_FROM },
		{ "rcpt", required_argument, NULL, RCPT },
		{ "next-domain", required_argument, NULL, NEXT_DOMAIN },
		{ "previous", required_argument, NULL, PREVIOUS },
		{ "flag", required_argument, NULL, FLAG },
		{ "received-mail-from", required_argument, NULL, RECEIVED_MAIL_FROM },
		{ "received-rcpt", required_argument, NULL, RECEIVED_RCPT },
		{ "nonce", required_argument, NULL, NONCE },
		{ "now", required_argument, NULL, NOW },
		{ "dns", required_argument, NULL, DNS },
		{ "out-of-band", no_argument, NULL, OUT_OF_BAND },
		{ NULL, 0, NULL, 0 },
	};
	int option, code = CTL_DONE;

	if (!options_room(o, a, argc))
		return CTL_TEMPORARY;
	while (code == CTL_DONE && (option = ctl_option(argc, argv, options)) >= 0) {
		switch (option) {
		case DOMAIN:
			o->domain = optarg;
			break;
		case SELECTOR:
			o->selectors[o->selector_count++] = optarg;
			break;
		case KEY:
			o->key_files[o->key_count++] = optarg;
			break;
		case MAIL_FROM:
			o->mail_from = optarg;
			break;
		case RCPT:
			o->rcpts[o->rcpt_count++] = optarg;
			break;
		case NEXT_DOMAIN:
			o->next_domain = optarg;
			break;
		case PREVIOUS:
			o->previous = optarg;
			break;
		case FLAG:
			code = flag_add(o, optarg);
			break;
		case RECEIVED_MAIL_FROM:
			o->received_mail_from = optarg;
			break;
		case RECEIVED_RCPT:
			o->received_rcpts[o->received_rcpt_count++] = optarg;
			break;
		case NONCE:
			o->nonce = optarg;
			break;
		case NOW:
			code = judge_now(optarg, false, &o->now);
			break;
		case DNS:
			o->dns = optarg;
			break;
		case OUT_OF_BAND:
			o->out_of_band = true;
			break;
		default:
			return CTL_USAGE;
		}
	}
	if (code == CTL_DONE && argc - optind != 1)
		return ctl_usage(argc == optind ? "a FILE, or - for standard input, is missing" : "one FILE at a time");
	if (code == CTL_DONE && o->previous && strcmp(o->previous, "-") == 0 && strcmp(argv[optind], "-") == 0)
		return ctl_usage("--previous and the message cannot both be standard input");
	return code == CTL_DONE ? options_check(o) : code;
}

static int keys_read(struct sign *o)
{
	for (size_t i = 0; i < o->key_count; i++) {
		int code;

		o->keys[i] = ctl_private_key(o->key_files[i], &code);
		if (!o->keys[i])
			return code;
		if (key_type(o->keys[i]) == KEY_RSA && key_bits(o->keys[i]) < SIGN_RSA_BITS_MIN) {
			ctl_complain("%s: an RSA key of %u bits does not sign, %d are the least", o->key_files[i], key_bits(o->keys[i]),
			    SIGN_RSA_BITS_MIN);
			return CTL_BAD;
		}
	}
	return CTL_DONE;
}

/* A seal is over what the next hop will see, and nothing but CRLF lines gets there (spec 12). */
static int wire_form(const struct ctl_message *m, const char *path)
{
	struct slice s = buf_get(&m->octets);
	size_t line = 1;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.at[i];
		const char *what = NULL;

		if (c == '\0')
			what = "a NUL";
		else if (c == '\n' && (i == 0 || s.at[i - 1] != '\r'))
			what = "a LF without CR";
		else if (c == '\r' && (i + 1 == s.n || s.at[i + 1] != '\n'))
			what = "a CR without LF";
		if (what) {
			ctl_complain("%s: line %zu holds %s, which no server lets through", path, line, what);
			return CTL_BAD;
		}
		line += c == '\n';
	}
	return CTL_DONE;
}

/* The envelope the message arrived with as told; NULL: it was not. */
static int received_told(const struct sign *o, struct arena *a, const struct dkim2_envelope **envelope_out)
{
	struct dkim2_envelope *e = ARENA_NEW(a, struct dkim2_envelope);

	*envelope_out = NULL;
	if (!o->received_mail_from)
		return CTL_DONE;
	if (!e)
		return CTL_TEMPORARY;
	if (!ctl_path(a, o->received_mail_from, true, &e->mail_from))
		return ctl_usage("--received-mail-from %s: a path like <user@example.net> or <> was expected", o->received_mail_from);
	e->rcpt_count = o->received_rcpt_count;
	*envelope_out = e;
	return judge_paths(a, "--received-rcpt", o->received_rcpts, o->received_rcpt_count, &e->rcpt_to);
}

/* The same as its newest seal says it. NULL: it does not, an nd= hop names none. */
static const struct dkim2_envelope *received_sealed(struct arena *a, const struct dkim2_verdict *alone)
{
	const struct dkim2_hop *newest = alone->hop_count ? &alone->hops[alone->hop_count - 1] : NULL;
	struct dkim2_envelope *e = newest && newest->rt_count ? ARENA_NEW(a, struct dkim2_envelope) : NULL;

	if (e)
		*e = (struct dkim2_envelope){ .mail_from = newest->mf, .rcpt_to = newest->rt, .rcpt_count = newest->rt_count };
	return e;
}

/* The verdict on the message as it came; none when it has no chain. */
static int judge_received(const struct sign *o, struct ctl_message *m, const struct dkim2_envelope *envelope,
    const struct dkim2_verdict **came_out)
{
	struct dkim2_clock clock = { .now = o->now, .future_s = 300 };
	const struct dkim2_verdict *v;
	struct ctl_dns *dns;
	int code;

	*came_out = NULL;
	if (header_find(&m->header, S("DKIM2-Signature"), 0) == m->header.n &&
	    header_find(&m->header, S("Message-Instance"), 0) == m->header.n)
		return CTL_DONE;
	dns = ctl_dns_new(o->dns, &code);
	if (!dns)
		return code;
	v = ctl_judge_chain(m, dns, envelope, clock, 9);
	envelope = v && !envelope ? received_sealed(&m->arena, v) : NULL;
	if (envelope)
		v = ctl_judge_chain(m, dns, envelope, clock, 9);
	ctl_dns_free(&dns);
	*came_out = v;
	return v ? CTL_DONE : CTL_TEMPORARY;
}

static int seal_conf(const struct sign *o, struct arena *a, struct dkim2_seal_conf *conf)
{
	struct dkim2_seal_set *sets = ARENA_ARRAY(a, o->key_count, struct dkim2_seal_set);

	*conf = (struct dkim2_seal_conf){ .sets = sets, .set_count = o->key_count, .flags = o->flags, .flag_count = o->flag_count,
		.nonce = slice_str(o->nonce), .now = o->now, .out_of_band = o->out_of_band };
	if (!sets)
		return CTL_TEMPORARY;
	for (size_t i = 0; i < o->key_count; i++) {
		sets[i].selector = slice_str(o->selectors[i]);
		sets[i].type = key_type(o->keys[i]);
	}
	if (!domain_normal(a, slice_str(o->domain), &conf->d))
		return ctl_usage("--domain %s: not a domain", o->domain);
	if (o->next_domain) {
		if (!domain_normal(a, slice_str(o->next_domain), &conf->nd))
			return ctl_usage("--next-domain %s: not a domain", o->next_domain);
		return CTL_DONE;
	}
	if (!ctl_path(a, o->mail_from, true, &conf->mail_from))
		return ctl_usage("--mail-from %s: a path like <user@example.net> or <> was expected", o->mail_from);
	conf->rcpt_count = o->rcpt_count;
	return judge_paths(a, "--rcpt", o->rcpts, o->rcpt_count, &conf->rcpt_to);
}

static void signatures_give(const struct sign *o, struct dkim2_seal *seal)
{
	const struct dkim2_sign_ask *asks;
	size_t n = dkim2_seal_asks(seal, &asks);

	for (size_t i = 0; i < n; i++) {
		unsigned char signature[SIGNATURE_OCTETS];
		size_t octets = 0;

		for (size_t k = 0; k < o->key_count && octets == 0; k++)
			if (slice_ieq(asks[i].selector, slice_str(o->selectors[k])) && asks[i].type == key_type(o->keys[k]))
				octets = sign_sha256(o->keys[k], asks[i].digest, signature);
		dkim2_seal_answer(seal, i, slice_of(signature, octets));
	}
}

/* A 4xx is what may pass by itself. */
static int refused(const struct fault *f)
{
	ctl_complain("not signed: %s%s%s", f->text, f->note[0] ? ": " : "", f->note);
	return f->basic / 100 == 4 ? CTL_TEMPORARY : CTL_BAD;
}

static int message_of(struct ctl_message *m, const char *file)
{
	int code = ctl_message_read(m, file);

	if (code == CTL_DONE && (m->lf_only || m->header.malformed))
		return CTL_BAD; /* it was said why */
	return code == CTL_DONE ? wire_form(m, file) : code;
}

/* What came is another message where --previous says so. */
static int seal(const struct sign *o, struct ctl_message *m, struct ctl_message *previous, const char *file)
{
	struct ctl_message *arrived = o->previous ? previous : m;
	struct content before = { .header = &arrived->header, .body = &arrived->body, .runs = 1 };
	struct dkim2_seal_conf conf;
	const struct dkim2_envelope *received;
	const struct dkim2_verdict *came;
	struct slice instance, signature;
	struct fault f = { .code = FAULT_NONE };
	struct canon_body *body;
	struct dkim2_seal *s;
	int code = seal_conf(o, &m->arena, &conf);

	if (code == CTL_DONE)
		code = received_told(o, &m->arena, &received);
	if (code == CTL_DONE)
		code = message_of(m, file);
	if (code == CTL_DONE && o->previous)
		code = message_of(previous, o->previous);
	if (code == CTL_DONE)
		code = judge_received(o, arrived, received, &came);
	if (code != CTL_DONE)
		return code;
	conf.before = &before;
	conf.body = &m->body;
	conf.body_runs = 1;
	body = canon_body_new(1U << DIGEST_SHA256 | 1U << DIGEST_SHA512);
	if (!body)
		return CTL_TEMPORARY;
	canon_body_add(body, m->body);
	canon_body_end(body);
	conf.body_sha512 = canon_body_digest(body, DIGEST_SHA512);
	s = dkim2_seal_new(&m->arena, &m->header, canon_body_digest(body, DIGEST_SHA256), came, &conf, &f);
	if (s)
		signatures_give(o, s);
	if (!s || !dkim2_seal_fields(s, &instance, &signature, &f)) {
		code = refused(&f);
	} else {
		fwrite(signature.at, 1, signature.n, stdout);
		if (instance.n)
			fwrite(instance.at, 1, instance.n, stdout);
		fwrite(m->octets.at, 1, m->octets.n, stdout);
	}
	canon_body_free(&body);
	return code;
}

int ctl_sign(int argc, char **argv)
{
	struct sign o = { .now = (int64_t)time(NULL) };
	struct ctl_message m, previous;
	int code;

	ctl_message_init(&m);
	ctl_message_init(&previous);
	code = options_read(&o, &m.arena, argc, argv);
	if (code == CTL_DONE)
		code = keys_read(&o);
	if (code == CTL_DONE)
		code = seal(&o, &m, &previous, argv[optind]);
	for (size_t i = 0; i < o.key_count && i < LIMIT_KEYS_HOP; i++)
		key_drop(&o.keys[i]);
	ctl_message_release(&m);
	ctl_message_release(&previous);
	return ctl_end(code);
}
