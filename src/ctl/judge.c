#include <time.h>
#include <unistd.h>

#include "auth/authres.h"
#include "ctl/judge.h"

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

/* Only dkim2 is there; the names that will be are told from those that never were. */
int ctl_only(const char *list)
{
	struct slice rest = slice_str(list), name;
	bool more = true;

	while (more) {
		more = slice_cut(&rest, ',', &name);
		if (slice_eq(name, S("dkim2")))
			continue;
		if (slice_eq(name, S("dkim")) || slice_eq(name, S("arc")) || slice_eq(name, S("spf")) || slice_eq(name, S("dmarc")))
			return ctl_usage("--only %.*s: this version verifies dkim2 alone", SLICE_FMT(name));
		return ctl_usage("--only %s: a list of dkim2, dkim, arc, spf, dmarc was expected", list);
	}
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
	if (!o->mail_from && o->rcpt_count == 0)
		return CTL_DONE;
	if (!o->mail_from || o->rcpt_count == 0)
		return ctl_usage("an envelope is --mail-from and at least one --rcpt");
	if (!e)
		return CTL_TEMPORARY;
	if (!ctl_path(a, o->mail_from, true, &e->mail_from))
		return ctl_usage("--mail-from %s: a path like <user@example.net> or <> was expected", o->mail_from);
	e->rcpt_count = o->rcpt_count;
	*envelope_out = e;
	return judge_paths(a, "--rcpt", o->rcpts, o->rcpt_count, &e->rcpt_to);
}

static bool keys_give(struct dkim2_verify *v, struct ctl_dns *dns, struct arena *a)
{
	const struct slice *names;
	size_t n = dkim2_verify_asks(v, &names);
	struct keyrec **records = ARENA_ARRAY(a, n + 1, struct keyrec *);

	if (!records || !ctl_dns_keys(dns, names, n, records))
		return false;
	for (size_t i = 0; i < n; i++)
		dkim2_verify_answer(v, i, records[i]);
	return true;
}

const struct dkim2_verdict *ctl_judge(struct ctl_message *m, struct ctl_dns *dns, const struct dkim2_envelope *envelope,
    struct dkim2_clock clock, unsigned draft)
{
	struct dkim2_verify *v = dkim2_verify_new(&m->arena, &m->header, envelope, clock, draft);
	const struct dkim2_verdict *verdict = NULL;
	struct canon_body *body;

	body = v ? canon_body_new(dkim2_verify_digests(v)) : NULL;
	if (body && keys_give(v, dns, &m->arena)) {
		canon_body_add(body, m->body);
		dkim2_verify_octets(v, m->body);
		canon_body_end(body);
		dkim2_verify_body(v, body);
		verdict = dkim2_verify_verdict(v);
		if (verdict && !dkim2_verify_changes(v))
			verdict = NULL;
	}
	canon_body_free(&body);
	dkim2_verify_release(v);
	if (!verdict && arena_failed(&m->arena))
		ctl_complain("no memory");
	return verdict;
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

struct slice ctl_authres(struct arena *a, const struct dkim2_verdict *v, const char *authserv_id)
{
	struct authres_result result = authres_dkim2(a, v);
	char name[256] = "localhost";

	if (!authserv_id)
		gethostname(name, sizeof(name) - 1);
	return authres_value(a, slice_str(authserv_id ? authserv_id : name), &result, 1);
}

json_t *ctl_judged_json(struct arena *a, const struct dkim2_verdict *v, const char *authserv_id)
{
	return json_pack("{s:o, s:o}", "dkim2", ctl_verdict_json(a, v), "authentication_results",
	    ctl_json(a, ctl_authres(a, v, authserv_id)));
}
