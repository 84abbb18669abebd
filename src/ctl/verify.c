#include <stdio.h>

#include "ctl/judge.h"

struct verify {
	struct judge_options judge;
	const char *authserv_id;
};

static int options_read(struct verify *o, struct arena *a, int argc, char **argv)
{
	enum { AUTHSERV_ID = 1 };
	static const struct option options[] = {
		JUDGE_ALL_OPTIONS,
		{ "authserv-id", required_argument, NULL, AUTHSERV_ID },
		{ NULL, 0, NULL, 0 },
	};
	int option, code = CTL_DONE;

	if (!judge_options_init(a, &o->judge, argc))
		return CTL_TEMPORARY;
	while (code == CTL_DONE && (option = ctl_option(argc, argv, options)) >= 0) {
		switch (option) {
		case AUTHSERV_ID:
			o->authserv_id = optarg;
			break;
		default:
			code = judge_option(&o->judge, option, optarg);
			break;
		}
	}
	if (code == CTL_DONE && argc - optind != 1)
		return ctl_usage(argc == optind ? "a FILE, or - for standard input, is missing" : "one FILE at a time");
	return code;
}

static void print_hop(struct arena *a, const struct dkim2_hop *h)
{
	printf("  i=%llu m=%llu d=%.*s  ", (unsigned long long)h->i, (unsigned long long)h->m, SLICE_FMT(ctl_plain(a, h->d, false)));
	if (h->nd.n) {
		printf("nd=%.*s", SLICE_FMT(ctl_plain(a, h->nd, false)));
	} else {
		printf("%.*s ->", SLICE_FMT(ctl_plain(a, h->mf, false)));
		for (size_t i = 0; i < h->rt_count; i++)
			printf(" %.*s", SLICE_FMT(ctl_plain(a, h->rt[i], false)));
	}
	printf("  %s\n", dkim2_state_name(h->state));
}

static void print_instance(struct arena *a, const struct dkim2_instance *in)
{
	printf("  content m=%llu  ", (unsigned long long)in->m);
	if (in->changed_count || in->body_lines) {
		fputs("changed ", stdout);
		for (size_t i = 0; i < in->changed_count; i++)
			printf("%s%.*s", i ? ", " : "", SLICE_FMT(ctl_plain(a, in->changed[i], false)));
		if (in->body_lines)
			printf("%s%llu line%s", in->changed_count ? ", " : "", (unsigned long long)in->body_lines,
			    in->body_lines == 1 ? "" : "s");
		fputs("  ", stdout);
	}
	puts(dkim2_state_name(in->state));
}

static void print_text(struct arena *a, const struct dkim2_verdict *v)
{
	printf("dkim2=%s", dkim2_state_name(v->state));
	if (v->state != DKIM2_NONE)
		printf(" (draft %02u, %s)", v->draft, ctl_level_text(v->level));
	putchar('\n');
	if (v->reason.n)
		printf("  reason: %.*s\n", SLICE_FMT(ctl_plain(a, v->reason, false)));
	for (size_t i = 0; i < v->hop_count; i++)
		print_hop(a, &v->hops[i]);
	for (size_t i = 0; i < v->instance_count; i++)
		print_instance(a, &v->instances[i]);
}

static void print_signature(struct arena *a, const struct dkim_signature *s)
{
	printf("  d=%.*s s=%.*s", SLICE_FMT(ctl_plain(a, s->d, false)), SLICE_FMT(ctl_plain(a, s->s, false)));
	printf(" a=%.*s  %s", SLICE_FMT(ctl_plain(a, s->a, false)), dkim_state_name(s->state));
	printf(s->reason.n ? ": %.*s\n" : "\n", SLICE_FMT(ctl_plain(a, s->reason, false)));
}

static void print_reason(struct arena *a, struct slice reason)
{
	if (reason.n)
		printf("  reason: %.*s\n", SLICE_FMT(ctl_plain(a, reason, false)));
}

static void print_arc(struct arena *a, const struct arc_verdict *v)
{
	printf("arc=%s", arc_state_name(v->state));
	if (v->instances)
		printf(" (%llu set%s)", (unsigned long long)v->instances, v->instances == 1 ? "" : "s");
	putchar('\n');
	print_reason(a, v->reason);
	for (size_t i = 0; i < v->n; i++)
		printf("  i=%llu d=%.*s\n", (unsigned long long)v->sets[i].i, SLICE_FMT(ctl_plain(a, v->sets[i].d, false)));
}

static void print_spf(struct arena *a, const struct spf_verdict *v, const char *which)
{
	printf("%s=%s", which, spf_state_name(v->state));
	if (v->domain.n)
		printf(" (%s %.*s)", v->scope == SPF_HELO ? "HELO" : "MAIL FROM", SLICE_FMT(ctl_plain(a, v->domain, false)));
	putchar('\n');
	print_reason(a, v->reason.n ? v->reason : v->explanation);
}

static void print_dmarc(struct arena *a, const struct dmarc_verdict *v)
{
	printf("dmarc=%s", dmarc_state_name(v->state));
	if (v->domain.n)
		printf(" (policy of %.*s: %s, disposition: %s)", SLICE_FMT(ctl_plain(a, v->domain, false)), dmarc_policy_name(v->policy),
		    dmarc_policy_name(v->disposition));
	putchar('\n');
	print_reason(a, v->reason);
}

static void print_findings(struct arena *a, const struct findings *f, unsigned run)
{
	if (f->dkim2)
		print_text(a, f->dkim2);
	if (f->dkim) {
		printf("dkim=%s\n", dkim_state_name(f->dkim->state));
		for (size_t i = 0; i < f->dkim->n; i++)
			print_signature(a, &f->dkim->signatures[i]);
	}
	if (f->arc)
		print_arc(a, f->arc);
	if (f->spf)
		print_spf(a, f->spf, "spf");
	else if (run & (ENGINE_SPF | ENGINE_DMARC))
		puts("spf=none (no --client-ip)");
	if (f->spf_helo)
		print_spf(a, f->spf_helo, "spf");
	if (f->dmarc)
		print_dmarc(a, f->dmarc);
}

static int judge(struct verify *o, struct ctl_message *m, const char *file)
{
	const struct dkim2_envelope *envelope;
	const struct findings *found;
	unsigned run = o->judge.only ? o->judge.only : ENGINES_ALL;
	struct engines_terms terms;
	struct ctl_dns *dns;
	int code = judge_envelope(&m->arena, &o->judge, &envelope);

	if (code == CTL_DONE)
		code = ctl_message_read(m, file);
	if (code != CTL_DONE)
		return code;
	dns = ctl_dns_new(o->judge.dns, &code);
	if (!dns)
		return code;
	terms = judge_terms(&m->arena, &o->judge, envelope, run);
	found = ctl_judge(m, dns, &terms);
	ctl_dns_free(&dns);
	if (!found)
		return CTL_TEMPORARY;
	if (o->judge.json) {
		ctl_print_json(ctl_judged_json(&m->arena, found, run, o->authserv_id));
	} else {
		print_findings(&m->arena, found, run);
		printf("Authentication-Results: %.*s\n",
		    SLICE_FMT(ctl_plain(&m->arena, ctl_authres(&m->arena, found, o->authserv_id), false)));
	}
	return ctl_findings_code(found, o->judge.only);
}

int ctl_verify(int argc, char **argv)
{
	struct verify o = { .authserv_id = NULL };
	struct ctl_message m;
	int code;

	ctl_message_init(&m);
	code = options_read(&o, &m.arena, argc, argv);
	if (code == CTL_DONE)
		code = judge(&o, &m, argv[optind]);
	ctl_message_release(&m);
	return ctl_end(code);
}
