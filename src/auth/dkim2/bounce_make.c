#include "auth/dkim2/bounce_in.h"
#include "base/limits.h"
#include "mail/addr.h"

/* The domain, or the nearest above it, that has a key of ours; empty: none. */
static struct slice keyed(const struct bounce_domains *domains, struct slice domain)
{
	while (domain.n) {
		struct slice label;

		if (domains->has_key(domain, domains->arg))
			return domain;
		(void)slice_cut(&domain, '.', &label);
	}
	return SLICE_NONE;
}

struct slice bounce_signer(struct arena *a, const struct dkim2_hop *to, struct slice failed, const struct bounce_domains *domains,
    bool *aligned)
{
	struct slice d = SLICE_NONE;
	bool among = false;

	for (size_t k = 0; k < to->rt_count && failed.n && !among; k++)
		among = path_same(a, to->rt[k], failed);
	if (among)
		d = keyed(domains, chain_path_domain(a, failed));
	for (size_t k = 0; k < to->rt_count && !d.n; k++)
		d = keyed(domains, chain_path_domain(a, to->rt[k]));
	*aligned = d.n > 0;
	return d.n ? d : domains->fallback;
}

enum bounce_due bounce_due(const struct dkim2_verdict *came, struct slice *to_out)
{
	const struct dkim2_hop *newest;

	if (!came || came->state == DKIM2_NONE)
		return BOUNCE_UNSEALED;
	if (came->newest != DKIM2_PASS || came->level == DKIM2_NO_ENVELOPE)
		return BOUNCE_UNVERIFIED;
	newest = &came->hops[came->hop_count - 1];
	if (slice_eq(newest->mf, S("<>")))
		return BOUNCE_NOBODY;
	*to_out = newest->mf;
	return BOUNCE_DUE;
}

enum dsn_write_state bounce_make(struct arena *a, const struct dkim2_hop *newest, const struct bounce_domains *domains,
    const struct bounce_form *form, const struct dsn_recipient *failed, size_t failed_count, const struct slice *runs,
    size_t run_count, size_t header_octets, bool header_only, struct bounce_message *out)
{
	struct bounce_message m = { .rcpt_to = newest->mf };
	struct slice first = failed_count ? dsn_path(a, failed[0].final) : SLICE_NONE;
	struct dsn_report report = { .to = newest->mf,
		.subject = S("Undelivered mail returned to sender"),
		.message_id = form->message_id,
		.date = form->now,
		.boundary = form->boundary,
		.reporting_mta = { S("dns"), form->host },
		.recipients = failed,
		.n = failed_count,
		.runs = runs,
		.run_count = run_count,
		.header_octets = header_octets,
		.header_only = header_only };
	enum dsn_write_state state;

	m.d = bounce_signer(a, newest, first, domains, &m.aligned);
	report.from = arena_printf(a, "Mail Delivery System <mailer-daemon@%.*s>", SLICE_FMT(m.d));
	if (arena_failed(a))
		return DSN_WRITE_MEMORY;
	state = dsn_write(a, &report, &m.message);
	if (state == DSN_WRITTEN)
		*out = m;
	return state;
}
