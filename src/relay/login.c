#include <stdlib.h>
#include <sys/random.h>

#include "base/b64.h"
#include "base/bug.h"
#include "base/limits.h"
#include "base/ip.h"
#include "net/dovecot.h"
#include "net/rate.h"
#include "relay/login.h"
#include "relay/view.h"

/* About a third of a millisecond. */
enum { WORK_A_TURN = 1024, NONCE_OCTETS = 24 };

struct login {
	struct pair *pair;
	enum auth_mech mech;
	struct auth *auth;         /* of an exchange that Dovecot leads, the first message: it says what we refuse, and who it is */
	struct slice message;      /* it, as long as it is looked at */
	struct dovecot_exchange dovecot;
	struct login *next; /* of those that are worked for */
	bool working;
};

void login_offer(struct pair *p)
{
	const struct relay_listener *l = p->listener;

	srv_auth(p->srv, l->dovecot ? dovecot_mechs(l->dovecot) : l->conf->auth.passwords ? 1U << AUTH_PLAIN | 1U << AUTH_SCRAM_SHA_256 : 0);
}

/* ---- how it ends ---- */

static void unqueue(struct login *n)
{
	struct relay *r = n->pair->relay;
	struct login **at = &r->logins;

	if (!n->working)
		return;
	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
	n->working = false;
	r->login_count--;
}

void login_drop(struct pair *p)
{
	if (!p->login)
		return;
	unqueue(p->login);
	dovecot_drop(&p->login->dovecot);
	auth_free(&p->login->auth);
	free(p->login);
	p->login = NULL;
}

void login_forget(struct pair *p)
{
	login_drop(p);
	free(p->user);
	p->user = NULL;
}

static struct log_line begin(const struct pair *p, enum log_level level, const char *event)
{
	struct log_line l = log_begin(level, event);

	log_str(&l, "session", p->name);
	log_str(&l, "listener", p->listener->conf->name);
	view_log(p, &l);
	return l;
}

/* Of a password nothing is told, whatever came of it. */
static void tell(const struct pair *p, enum log_level level, const char *event, const struct fault *f)
{
	struct log_line l = begin(p, level, event);
	const struct login *n = p->login;

	log_str(&l, "mechanism", auth_mech_name(n->mech));
	if (p->user)
		log_str(&l, "user", p->user);
	else if (auth_user(n->auth).n)
		log_text(&l, "user", auth_user(n->auth));
	if (f)
		log_fault(&l, f);
	log_end(&l);
}

static void end(struct pair *p, const struct fault *f)
{
	struct relay *r = p->relay;
	bool failed = f->basic / 100 == 5;

	tell(p, LOG_LEVEL_WARNING, failed ? "auth_failed" : "auth_deferred", f);
	count_add(r->counts, r->slot, failed ? COUNT_AUTH_FAILED : COUNT_AUTH_DEFERRED, 1);
	srv_auth_end(p->srv, f);
	login_drop(p);
}

static void end_for(struct pair *p, enum fault_code code, const char *why)
{
	struct fault f = { 0 };

	fault_note(&f, code, 0, "%s", why);
	end(p, &f);
}

static void succeed(struct pair *p, struct slice user)
{
	struct relay *r = p->relay;

	p->user = malloc(user.n + 1);
	if (!p->user) {
		end_for(p, FAULT_AUTH_TEMPORARY, "no memory");
		return;
	}
	memcpy(p->user, user.at, user.n);
	p->user[user.n] = '\0';
	view_known(p);
	tell(p, LOG_LEVEL_INFO, "auth_ok", NULL);
	count_add(r->counts, r->slot, COUNT_AUTH_OK, 1);
	srv_auth_end(p->srv, NULL);
	login_drop(p);
}

/* ---- on its way ---- */

static void work(void *arg);

/* At the end of those that wait. False: there are too many. */
static bool queue(struct login *n)
{
	struct relay *r = n->pair->relay;
	struct login **at = &r->logins;

	if (r->login_count >= LIMIT_AUTH_WORK || (!r->work.due_ms && !loop_timer_set(r->loop, &r->work, 0, work, r)))
		return false;
	while (*at)
		at = &(*at)->next;
	*at = n;
	n->next = NULL;
	n->working = true;
	r->login_count++;
	return true;
}

static void look_up(struct pair *p);
static void ask(struct pair *p);

static void take(struct pair *p, enum auth_step step)
{
	struct login *n = p->login;

	switch (step) {
	case AUTH_LOOKUP:
		if (p->listener->dovecot)
			ask(p);
		else
			look_up(p);
		return;
	case AUTH_ASK:
		srv_auth_ask(p->srv, auth_challenge(n->auth));
		break;
	case AUTH_WORK:
		if (!queue(n))
			end_for(p, FAULT_AUTH_TEMPORARY, "too many at a time");
		break;
	case AUTH_YES:
		succeed(p, auth_user(n->auth));
		break;
	case AUTH_NO:
		end(p, auth_fault(n->auth));
		break;
	}
	pair_deadline(p);
	pair_go_on(p);
}

static void look_up(struct pair *p)
{
	struct auth *auth = p->login->auth;
	struct scram_verifier v;
	bool known = false;

	if (!passwords_find(p->listener->conf->auth.passwords, auth_user(auth), &v, &known))
		end_for(p, FAULT_AUTH_TEMPORARY, "no memory");
	else
		take(p, auth_verifier(auth, &v, known));
	explicit_bzero(&v, sizeof(v));
}

static void on_answer(void *arg, const struct dovecot_answer *said)
{
	struct pair *p = arg;

	switch (said->kind) {
	case DOVECOT_ASKS:
		srv_auth_ask(p->srv, said->octets);
		break;
	case DOVECOT_YES:
		succeed(p, said->octets);
		break;
	case DOVECOT_NO:
		end_for(p, FAULT_AUTH_FAILED, said->why);
		break;
	case DOVECOT_LATER:
		end_for(p, FAULT_AUTH_TEMPORARY, said->why);
		break;
	}
	pair_deadline(p);
	pair_go_on(p);
}

/* The first message is well formed, and of nobody who acts for another. */
static void ask(struct pair *p)
{
	struct login *n = p->login;
	char server[IP_TEXT];

	view_server(p, server);
	if (!dovecot_begin(p->listener->dovecot, &n->dovecot, n->mech, p->client_text, server, n->message, on_answer, p))
		end_for(p, FAULT_AUTH_TEMPORARY, "authentication service not to be had");
}

/* A part of the oldest one's, and then it waits behind the others. */
static void work(void *arg)
{
	struct relay *r = arg;
	struct login *n = r->logins;
	enum auth_step step;

	if (!n)
		return;
	unqueue(n);
	step = auth_work(n->auth, WORK_A_TURN);
	take(n->pair, step);
	if (r->logins && !r->work.due_ms)
		loop_timer_set(r->loop, &r->work, 0, work, r);
}

static struct login *new_login(struct pair *p, enum auth_mech mech)
{
	unsigned char octets[NONCE_OCTETS];
	struct login *n = calloc(1, sizeof(*n));
	struct buf text;

	if (!n)
		return NULL;
	*n = (struct login){ .pair = p, .mech = mech };
	buf_init(&text, 64);
	if (getrandom(octets, sizeof(octets), 0) == (ssize_t)sizeof(octets))
		b64_encode(&text, slice_of(octets, sizeof(octets)));
	if (text.n)
		n->auth = auth_new(mech, buf_get(&text));
	buf_release(&text);
	if (!n->auth) {
		free(n);
		n = NULL;
	}
	return n;
}

/* It comes too often: hardly a line a minute, since whoever tries passwords does so. */
static void too_often(struct pair *p, uint32_t told)
{
	struct fault f = { 0 };

	fault_set(&f, FAULT_AUTH_RATE, 0);
	if (told) {
		struct log_line l = begin(p, LOG_LEVEL_WARNING, "auth_rate");

		log_u64(&l, "count", told);
		log_fault(&l, &f);
		log_end(&l);
	}
	count_add(p->relay->counts, p->relay->slot, COUNT_AUTH_DEFERRED, 1);
	srv_auth_end(p->srv, &f);
}

static void first(struct pair *p, const struct srv_event *ev)
{
	struct relay *r = p->relay;
	struct fault f = { 0 };
	uint32_t told;

	login_drop(p);
	if (!rate_take(r->counts, RATE_AUTH, slice_of(p->client_key, sizeof(p->client_key)), loop_now_ms(r->loop),
		p->listener->conf->auth.attempts, &told)) {
		too_often(p, told);
		return;
	}
	p->login = new_login(p, ev->mech);
	if (!p->login) {
		fault_set(&f, FAULT_AUTH_TEMPORARY, 0);
		log_note(LOG_LEVEL_ERROR, "oom", "session=%s no memory for AUTH", p->name);
		srv_auth_end(p->srv, &f);
		return;
	}
	p->login->message = ev->content;
	take(p, auth_feed(p->login->auth, ev->content));
	if (p->login)
		p->login->message = SLICE_NONE;
}

void login_message(struct pair *p, const struct srv_event *ev)
{
	BUG_ON(!ev->first && !p->login);
	if (ev->first)
		first(p, ev);
	else if (p->login->dovecot.id)
		dovecot_go_on(&p->login->dovecot, ev->content);
	else
		take(p, auth_feed(p->login->auth, ev->content));
	if (ev->content.n)
		explicit_bzero((void *)(uintptr_t)ev->content.at, ev->content.n);
	arena_clear(&p->arena);
}

/* ---- what others make of it ---- */

enum fault_code login_wanted(const struct pair *p)
{
	return (p->listener->conf->auth.passwords || p->listener->dovecot) && !p->user ? FAULT_AUTH_REQUIRED : FAULT_NOT_ALLOWED;
}

void login_log(const struct pair *p, struct log_line *l)
{
	log_str(l, "user", p->user);
}

void login_facts(const struct pair *p, struct facts *f)
{
	facts_set(f, FACT_AUTH_USER, slice_str(p->user ? p->user : "none"));
}
