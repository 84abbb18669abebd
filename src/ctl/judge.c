#include <time.h>
#include <unistd.h>

#include "auth/authres.h"
#include "base/ip.h"
#include "ctl/judge.h"
#include "mail/addr.h"
#include "mail/from.h"

static bool lines_end_in_lf(struct slice octets)
{
	bool lf = false;

	for (size_t i = 0; i < octets.n; i++) {
		if (octets.at[i] != '\n')
			continue;
		if (i && octets.at[i - 1] == '\r')
			return false;
		lf = true;
	}
	return lf;
}

/* The block ends at the empty line, or with the file, whose last line may lack its end. */
bool ctl_message_split(struct ctl_message *m, struct fault *f)
{
	struct slice octets = buf_get(&m->octets), block = octets;
	size_t seen = 0, block_octets, body_at;

	if (header_end(octets, &seen, &block_octets, &body_at)) {
		block = slice_sub(octets, 0, block_octets);
		m->body = slice_sub(octets, body_at, octets.n);
	} else if (!slice_ends(octets, S("\r\n"))) {
		unsigned char *whole = arena_take(&m->arena, octets.n + 2);

		if (!whole)
			return fault_set(f, FAULT_NO_MEMORY, 0);
		memcpy(whole, octets.at, octets.n);
		memcpy(whole + octets.n, "\r\n", 2);
		block = slice_of(whole, octets.n + 2);
	}
	return header_parse(&m->arena, block, SIZE_MAX, &m->header, f);
}

void ctl_message_init(struct ctl_message *m)
{
	*m = (struct ctl_message){ .lf_only = false };
	arena_init(&m->arena, JUDGE_ARENA);
	buf_init(&m->octets, CTL_INPUT_OCTETS);
}

int ctl_message_read(struct ctl_message *m, const char *path)
{
	struct fault f = { .code = FAULT_NONE };
	int code = ctl_read(path, &m->octets);

	if (code != CTL_DONE)
		return code;
	if (m->octets.n == 0) {
		ctl_complain("%s: empty, a message was expected", path);
		return CTL_BAD;
	}
	m->lf_only = lines_end_in_lf(buf_get(&m->octets));
	if (m->lf_only) {
		ctl_complain("%s: lines end in LF, not CRLF as on the wire, so no field of it can be seen (try: sed 's/$/\\r/')", path);
		return CTL_DONE;
	}
	if (!ctl_message_split(m, &f)) {
		ctl_complain("%s: %s", path, f.text);
		return CTL_BAD;
	}
	for (size_t i = 0; i < m->header.n; i++)
		if (m->header.fields[i].name.n == 0) {
			struct slice line = slice_sub(slice_trim(m->header.fields[i].raw), 0, 60);

			line = ctl_plain(&m->arena, line, false);
			ctl_complain("%s: a header line is no field, a name and a colon were expected: %.*s", path, SLICE_FMT(line));
			break;
		}
	return CTL_DONE;
}

void ctl_message_clear(struct ctl_message *m)
{
	arena_clear(&m->arena);
	buf_clear(&m->octets);
	m->header = (struct header){ .n = 0 };
	m->body = SLICE_NONE;
	m->lf_only = false;
}

void ctl_message_release(struct ctl_message *m)
{
	buf_release(&m->octets);
	arena_clear(&m->arena);
}

bool judge_options_init(struct arena *a, struct judge_options *o, int argc)
{
	*o = (struct judge_options){ .clock = { .now = (int64_t)time(NULL), .future_s = 300 }, .draft = 9 };
	o->rcpts = ARENA_ARRAY(a, (size_t)argc + 1, const char *);
	return o->rcpts != NULL;
}

int ctl_only(const char *list, unsigned *only_out)
{
	struct slice rest = slice_str(list), name;
	unsigned only = 0;
	bool more = true;

	while (more) {
		size_t k = 0;

		more = slice_cut(&rest, ',', &name);
		while (k < ENGINES && !slice_eq(name, slice_str(engine_names[k])))
			k++;
		if (k == ENGINES)
			return ctl_usage("--only %s: a list of dkim2, dkim, arc, spf, dmarc was expected", list);
		only |= 1U << k;
	}
	*only_out = only;
	return CTL_DONE;
}

int judge_now(const char *text, bool none_allowed, int64_t *now_out)
{
	uint64_t now;

	if (none_allowed && strcmp(text, "none") == 0) {
		*now_out = -1;
		return CTL_DONE;
	}
	if (!slice_u64(slice_str(text), INT64_MAX, &now))
		return ctl_usage("--now %s: seconds since 1970%s were expected", text, none_allowed ? ", or none," : "");
	*now_out = (int64_t)now;
	return CTL_DONE;
}

int judge_draft(const char *text, unsigned *draft_out)
{
	uint64_t draft;

	if (!slice_u64(slice_str(text), 9, &draft) || draft < 6)
		return ctl_usage("--draft %s: 06, 07, 08 or 09 was expected", text);
	*draft_out = (unsigned)draft;
	return CTL_DONE;
}

int judge_option(struct judge_options *o, int option, const char *value)
{
	switch (option) {
	case JUDGE_MAIL_FROM:
		o->mail_from = value;
		break;
	case JUDGE_RCPT:
		o->rcpts[o->rcpt_count++] = value;
		break;
	case JUDGE_NOW:
		return judge_now(value, true, &o->clock.now);
	case JUDGE_DNS:
		o->dns = value;
		break;
	case JUDGE_DRAFT:
		return judge_draft(value, &o->draft);
	case JUDGE_ONLY:
		return ctl_only(value, &o->only);
	case JUDGE_HELO:
		o->helo = value;
		break;
	case JUDGE_CLIENT_IP:
		o->client_known = ip_parse(slice_str(value), o->client);
		if (!o->client_known)
			return ctl_usage("--client-ip %s: an IP address was expected", value);
		break;
	case JUDGE_JSON:
		o->json = true;
		break;
	default:
		return CTL_USAGE;
	}
	return CTL_DONE;
}

int judge_paths(struct arena *a, const char *option, const char *const *texts, size_t n, const struct slice **paths_out)
{
	struct slice *paths = ARENA_ARRAY(a, n + 1, struct slice);

	if (!paths)
		return CTL_TEMPORARY;
	for (size_t i = 0; i < n; i++)
		if (!ctl_path(a, texts[i], false, &paths[i]))
			return ctl_usage("%s %s: a path like <user@example.net> was expected", option, texts[i]);
	*paths_out = paths;
	return CTL_DONE;
}

int judge_envelope(struct arena *a, const struct judge_options *o, const struct dkim2_envelope **envelope_out)
{
	struct dkim2_envelope *e = ARENA_NEW(a, struct dkim2_envelope);

	*envelope_out = NULL;
	if (!e)
		return CTL_TEMPORARY;
	if (!o->mail_from && o->rcpt_count == 0)
		return CTL_DONE;
	/*
	 * SPF needs no recipient; a chain is held against the whole envelope. Where no chain is judged any text will do: SPF has a result
	 * for what no server takes for a path as well (RFC 7208 4.3).
	 */
	if (o->mail_from && o->rcpt_count == 0 && o->only && !(o->only & ENGINE_DKIM2))
		return CTL_DONE;
	if (o->mail_from && o->rcpt_count == 0 && o->client_known)
		return ctl_path(a, o->mail_from, true, &e->mail_from) ? CTL_DONE :
		    ctl_usage("--mail-from %s: a path like <user@example.net> or <> was expected", o->mail_from);
	if (!o->mail_from || o->rcpt_count == 0)
		return ctl_usage("an envelope is --mail-from and at least one --rcpt");
	if (!ctl_path(a, o->mail_from, true, &e->mail_from))
		return ctl_usage("--mail-from %s: a path like <user@example.net> or <> was expected", o->mail_from);
	e->rcpt_count = o->rcpt_count;
	*envelope_out = e;
	return judge_paths(a, "--rcpt", o->rcpts, o->rcpt_count, &e->rcpt_to);
}

struct slice judge_mailbox(struct arena *a, struct slice bracketed)
{
	struct path p;

	if (!path_parse(bracketed, &p) || p.null)
		return SLICE_NONE;
	return arena_printf(a, "%.*s@%.*s", SLICE_FMT(p.local), SLICE_FMT(p.domain));
}

struct engines_terms judge_terms(struct arena *a, const struct judge_options *o, const struct dkim2_envelope *envelope, unsigned run)
{
	struct engines_terms terms = {
		.run = run,
		.now = o->clock.now,
		.envelope = envelope,
		.draft = o->draft,
		.future_s = o->clock.future_s,
		.signatures_max = CTL_DKIM_SIGNATURES,
		.client_known = o->client_known,
		.helo = o->helo ? slice_str(o->helo) : SLICE_NONE,
		.hostname = S("unknown"),
		.explain = true,
	};
	struct slice bracketed;

	memcpy(terms.client, o->client, sizeof(terms.client));
	if (o->mail_from && ctl_path(a, o->mail_from, true, &bracketed)) {
		terms.mail_from = judge_mailbox(a, bracketed);
	} else if (o->mail_from) {
		terms.mail_from = slice_str(o->mail_from);
		if (slice_starts(terms.mail_from, S("<")) && slice_ends(terms.mail_from, S(">")))
			terms.mail_from = slice_sub(terms.mail_from, 1, terms.mail_from.n - 2);
	}
	return terms;
}

const struct findings *ctl_judge(struct ctl_message *m, struct ctl_dns *dns, const struct engines_terms *terms)
{
	struct engines_terms all = *terms;
	struct slice *from = NULL;
	size_t first = header_find(&m->header, S("From"), 0);
	const struct findings *found = NULL;
	struct engines *e;
	bool done = false;

	all.from_single = from_domains(&m->arena, &m->header, &from, &all.from_count) &&
	    header_find(&m->header, S("From"), first + 1) >= m->header.n;
	all.from = from;
	e = engines_new(&m->arena, &m->header, &all);
	if (e) {
		engines_body(e, m->body);
		engines_body_end(e);
	}
	while (e && !(done = engines_step(e)) && ctl_dns_answer(dns, engines_asks(e)))
		;
	if (done && engines_dkim2_changes(e))
		found = engines_findings(e);
	engines_release(e);
	if (!found && arena_failed(&m->arena))
		ctl_complain("no memory");
	return found;
}

const struct dkim2_verdict *ctl_judge_chain(struct ctl_message *m, struct ctl_dns *dns, const struct dkim2_envelope *envelope,
    struct dkim2_clock clock, unsigned draft)
{
	const struct findings *found = ctl_judge(m, dns,
	    &(struct engines_terms){ .run = ENGINE_DKIM2, .now = clock.now, .future_s = clock.future_s, .envelope = envelope, .draft = draft });

	return found ? found->dkim2 : NULL;
}

int ctl_judge_code(enum dkim2_state state)
{
	switch (state) {
	case DKIM2_PASS:
		return CTL_DONE;
	case DKIM2_NONE:
		return CTL_NONE;
	case DKIM2_TEMPERROR:
		return CTL_TEMPORARY;
	case DKIM2_FAIL:
	case DKIM2_PERMERROR:
	case DKIM2_SKIPPED:
		break;
	}
	return CTL_BAD;
}

/* 65, 75, 1, 0: from the worst on (INTERFACE.md section 2). */
static void worse(int *code, int one)
{
	static const int order[] = { CTL_DONE, CTL_NONE, CTL_TEMPORARY, CTL_BAD };
	size_t a = 0, b = 0;

	while (order[a] != *code)
		a++;
	while (order[b] != one)
		b++;
	*code = order[a > b ? a : b];
}

static int dkim_code(enum dkim_state state)
{
	switch (state) {
	case DKIM_PASS:
		return CTL_DONE;
	case DKIM_TEMPERROR:
		return CTL_TEMPORARY;
	case DKIM_FAIL:
	case DKIM_PERMERROR:
		return CTL_BAD;
	case DKIM_NONE:
	case DKIM_NEUTRAL:
	case DKIM_POLICY:
		break;
	}
	return CTL_NONE;
}

static int arc_code(enum arc_state state)
{
	static const int codes[] = { [ARC_NONE] = CTL_NONE, [ARC_PASS] = CTL_DONE, [ARC_FAIL] = CTL_BAD, [ARC_PERMERROR] = CTL_BAD,
		[ARC_TEMPERROR] = CTL_TEMPORARY };

	return codes[state];
}

static int spf_code(enum spf_state state)
{
	static const int codes[] = { [SPF_NONE] = CTL_NONE, [SPF_PASS] = CTL_DONE, [SPF_NEUTRAL] = CTL_NONE, [SPF_SOFTFAIL] = CTL_BAD,
		[SPF_FAIL] = CTL_BAD, [SPF_PERMERROR] = CTL_BAD, [SPF_TEMPERROR] = CTL_TEMPORARY };

	return codes[state];
}

static int dmarc_code(enum dmarc_state state)
{
	static const int codes[] = { [DMARC_NONE] = CTL_NONE, [DMARC_PASS] = CTL_DONE, [DMARC_FAIL] = CTL_BAD, [DMARC_PERMERROR] = CTL_BAD,
		[DMARC_TEMPERROR] = CTL_TEMPORARY };

	return codes[state];
}

int ctl_findings_code(const struct findings *f, unsigned only)
{
	int code = CTL_DONE;

	if (!only)
		return ctl_judge_code(f->dkim2->state);
	if (only & ENGINE_DKIM2)
		worse(&code, ctl_judge_code(f->dkim2->state));
	if (only & ENGINE_DKIM)
		worse(&code, dkim_code(f->dkim->state));
	if (only & ENGINE_ARC)
		worse(&code, arc_code(f->arc->state));
	if (only & ENGINE_SPF)
		worse(&code, f->spf ? spf_code(f->spf->state) : CTL_NONE);
	if (only & ENGINE_DMARC)
		worse(&code, dmarc_code(f->dmarc->state));
	return code;
}

const char *ctl_level_text(enum dkim2_level level)
{
	static const char *const texts[] = {
		[DKIM2_FULL] = "every hop, every instance and the envelope",
		[DKIM2_PROVISIONAL] = "newest hop and the envelope; an earlier body cannot be had",
		[DKIM2_NO_ENVELOPE] = "no envelope to hold it against",
	};

	return texts[level];
}

static json_t *or_null(struct arena *a, struct slice s)
{
	return s.n ? ctl_json(a, s) : json_null();
}

/* t= may be anything up to 2^64-1, an integer of jansson half of that. */
static json_t *number(uint64_t n)
{
	return n <= INT64_MAX ? json_integer((json_int_t)n) : json_real((double)n);
}

static void flags_add(struct arena *a, json_t *list, struct slice flags)
{
	struct slice flag;
	bool more = flags.n > 0;

	while (more) {
		json_t *one;
		size_t i = 0;

		more = slice_cut(&flags, ',', &flag);
		flag = slice_trim(flag);
		one = flag.n ? ctl_json(a, flag) : NULL;
		while (one && i < json_array_size(list) && !json_equal(json_array_get(list, i), one))
			i++;
		if (one && i == json_array_size(list))
			json_array_append(list, one);
		json_decref(one);
	}
}

static json_t *hop_json(struct arena *a, const struct dkim2_hop *h)
{
	json_t *rt = json_array();

	for (size_t i = 0; i < h->rt_count; i++)
		json_array_append_new(rt, ctl_json(a, h->rt[i]));
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o}", "i", number(h->i), "m", number(h->m), "d", or_null(a, h->d),
	    "mf", or_null(a, h->mf), "rt", rt, "nd", or_null(a, h->nd), "t", number(h->t), "result", dkim2_state_name(h->state),
	    "reason", or_null(a, h->reason));
}

static json_t *instance_json(struct arena *a, const struct dkim2_instance *in)
{
	json_t *fields = json_array();

	for (size_t i = 0; i < in->changed_count; i++)
		json_array_append_new(fields, ctl_json(a, in->changed[i]));
	return json_pack("{s:o, s:s, s:{s:o, s:o}}", "m", number(in->m), "result", dkim2_state_name(in->state), "changed",
	    "fields", fields, "body_lines", number(in->body_lines));
}

json_t *ctl_verdict_json(struct arena *a, const struct dkim2_verdict *v)
{
	json_t *hops = json_array(), *instances = json_array(), *flags = json_array();
	const struct dkim2_hop *last = v->hop_count ? &v->hops[v->hop_count - 1] : NULL;
	char draft[4] = { '0', (char)('0' + v->draft % 10), '\0' };

	for (size_t i = 0; i < v->hop_count; i++) {
		json_array_append_new(hops, hop_json(a, &v->hops[i]));
		flags_add(a, flags, v->hops[i].flags);
	}
	for (size_t i = 0; i < v->instance_count; i++)
		json_array_append_new(instances, instance_json(a, &v->instances[i]));
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "result", dkim2_state_name(v->state), "level",
	    dkim2_level_name(v->level), "draft", draft, "reason", or_null(a, v->reason), "i", last ? number(last->i) : json_null(), "m",
	    last ? number(last->m) : json_null(), "flags", flags, "hops", hops, "instances", instances);
}

static json_t *dkim_json(struct arena *a, const struct dkim_verdict *v)
{
	json_t *all = json_array();

	for (size_t i = 0; i < v->n; i++) {
		const struct dkim_signature *s = &v->signatures[i];

		json_array_append_new(all, json_pack("{s:o, s:o, s:o, s:s, s:o}", "d", or_null(a, s->d), "s", or_null(a, s->s), "a",
		    or_null(a, s->a), "result", dkim_state_name(s->state), "reason", or_null(a, s->reason)));
	}
	return all;
}

static json_t *arc_json(struct arena *a, const struct arc_verdict *v)
{
	return json_pack("{s:s, s:o, s:o}", "result", arc_state_name(v->state), "instances", number(v->instances), "reason",
	    or_null(a, v->reason));
}

/* Without a client's address there is nothing to judge. */
static json_t *spf_json(struct arena *a, const struct spf_verdict *v)
{
	if (!v)
		return json_pack("{s:s, s:n, s:s, s:n}", "result", "none", "domain", "scope", "mfrom", "explanation");
	return json_pack("{s:s, s:o, s:s, s:o}", "result", spf_state_name(v->state), "domain", or_null(a, v->domain), "scope",
	    v->scope == SPF_HELO ? "helo" : "mfrom", "explanation", or_null(a, v->explanation));
}

static json_t *dmarc_json(struct arena *a, const struct dmarc_verdict *v)
{
	return json_pack("{s:s, s:s, s:o, s:s}", "result", dmarc_state_name(v->state), "policy", dmarc_policy_name(v->policy), "domain",
	    or_null(a, v->domain), "disposition", dmarc_policy_name(v->disposition));
}

struct slice ctl_authres(struct arena *a, const struct findings *f, const char *authserv_id)
{
	struct authres_result *results;
	char name[256] = "localhost";
	size_t n;

	if (!authserv_id)
		gethostname(name, sizeof(name) - 1);
	if (!findings_results(a, f, &results, &n))
		return SLICE_NONE;
	return authres_value(a, authserv_id ? slice_str(authserv_id) : arena_copy(a, slice_str(name)), results, n);
}

json_t *ctl_judged_json(struct arena *a, const struct findings *f, unsigned run, const char *authserv_id)
{
	json_t *all = json_object();

	if (f->dkim2)
		json_object_set_new(all, "dkim2", ctl_verdict_json(a, f->dkim2));
	if (f->dkim)
		json_object_set_new(all, "dkim", dkim_json(a, f->dkim));
	if (f->arc)
		json_object_set_new(all, "arc", arc_json(a, f->arc));
	if (run & (ENGINE_SPF | ENGINE_DMARC))
		json_object_set_new(all, "spf", spf_json(a, f->spf));
	if (f->dmarc)
		json_object_set_new(all, "dmarc", dmarc_json(a, f->dmarc));
	json_object_set_new(all, "authentication_results", ctl_json(a, ctl_authres(a, f, authserv_id)));
	return all;
}
