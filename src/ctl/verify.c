#include <stdio.h>

#include "base/ip.h"
#include "ctl/judge.h"
#include "policy/rule.h"

struct verify {
	struct judge_options judge;
	const char *authserv_id;
};

static int options_read(struct verify *o, struct arena *a, int argc, char **argv)
{
	enum { ONLY = 1, HELO, CLIENT_IP, AUTHSERV_ID };
	static const struct option options[] = {
		JUDGE_OPTIONS,
		{ "only", required_argument, NULL, ONLY },
		{ "helo", required_argument, NULL, HELO },
		{ "client-ip", required_argument, NULL, CLIENT_IP },
		{ "authserv-id", required_argument, NULL, AUTHSERV_ID },
		{ NULL, 0, NULL, 0 },
	};
	unsigned char address[16];
	int option, code = CTL_DONE;

	if (!judge_options_init(a, &o->judge, argc))
		return CTL_TEMPORARY;
	while (code == CTL_DONE && (option = ctl_option(argc, argv, options)) >= 0) {
		switch (option) {
		case ONLY:
			code = ctl_only(optarg);
			break;
		case HELO: /* SPF's, like the next */
			break;
		case CLIENT_IP:
			if (!ip_parse(slice_str(optarg), address))
				code = ctl_usage("--client-ip %s: an IP address was expected", optarg);
			break;
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

static int judge(struct verify *o, struct ctl_message *m, const char *file)
{
	const struct dkim2_envelope *envelope;
	const struct dkim2_verdict *v = NULL;
	struct slice results;
	struct ctl_dns *dns;
	int code = judge_envelope(&m->arena, &o->judge, &envelope);

	if (code == CTL_DONE)
		code = ctl_message_read(m, file);
	if (code != CTL_DONE)
		return code;
	dns = ctl_dns_new(o->judge.dns, &code);
	if (!dns)
		return code;
	v = ctl_judge(m, dns, envelope, o->judge.clock, o->judge.draft);
	ctl_dns_free(&dns);
	if (!v)
		return CTL_TEMPORARY;
	if (o->judge.json) {
		ctl_print_json(ctl_judged_json(&m->arena, v, o->authserv_id));
	} else {
		results = ctl_authres(&m->arena, v, o->authserv_id);
		print_text(&m->arena, v);
		printf("Authentication-Results: %.*s\n", SLICE_FMT(ctl_plain(&m->arena, results, false)));
	}
	return ctl_judge_code(v->state);
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
