#include "mail/domain.h"
#include "net/rate.h"
#include "out/log.h"
#include "relay/login.h"
#include "relay/rates.h"
#include "relay/view.h"

/* A line a minute for each that is above its rate. */
static void tell(struct pair *p, const char *event, struct slice domain, uint32_t count, const struct fault *f)
{
	struct log_line l = log_begin(LOG_LEVEL_WARNING, event);

	log_str(&l, "session", p->name);
	log_str(&l, "listener", p->listener->conf->name);
	view_log(p, &l);
	login_log(p, &l);
	if (domain.n)
		log_text(&l, "domain", domain);
	log_u64(&l, "count", count);
	if (p->listener->conf->shadow)
		log_str(&l, "shadow", "yes");
	log_fault(&l, f);
	log_end(&l);
}

struct counted {
	enum rate rate;
	unsigned per_minute;
	enum fault_code code;
	const char *event;
};

static bool take(struct pair *p, const struct counted *c, struct slice key, struct slice domain, struct fault *f)
{
	struct relay *r = p->relay;
	struct fault mine = { 0 };
	uint32_t told;

	if (rate_take(r->counts, c->rate, key, loop_now_ms(r->loop), c->per_minute, &told))
		return true;
	fault_set(&mine, c->code, 0);
	if (told)
		tell(p, c->event, domain, told, &mine);
	if (p->listener->conf->shadow)
		return true;
	count_add(r->counts, r->slot, COUNT_RATE_DEFERRED, 1);
	*f = mine;
	return false;
}

static bool take_domain(struct pair *p, const struct counted *c, struct slice domain, struct fault *f)
{
	struct slice normal;

	if (c->per_minute == 0 || domain.n == 0)
		return true;
	if (!domain_normal(&p->arena, domain, &normal))
		normal = domain;
	return take(p, c, normal, normal, f);
}

bool rates_mail(struct pair *p, const struct path *path, struct fault *f)
{
	const struct conf *conf = p->relay->conf;
	const struct counted client = { p->user ? RATE_USER : RATE_CLIENT, conf->rates.client, FAULT_CLIENT_RATE, "client_rate" };
	const struct counted sender = { RATE_SENDER, conf->rates.sender_domain, FAULT_SENDER_RATE, "sender_rate" };
	struct slice who = p->user ? slice_str(p->user) : slice_of(p->client_key, sizeof(p->client_key));

	return take(p, &client, who, SLICE_NONE, f) && take_domain(p, &sender, path->domain, f);
}

bool rates_rcpt(struct pair *p, const struct path *path, struct fault *f)
{
	const struct counted recipient = { RATE_RECIPIENT, p->relay->conf->rates.recipient_domain, FAULT_RECIPIENT_RATE, "recipient_rate" };

	return take_domain(p, &recipient, path->domain, f);
}
