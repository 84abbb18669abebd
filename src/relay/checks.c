#include "relay/checks.h"

/* One that is with the resolver. */
struct question {
	struct checks *checks;
	struct question *next;
	size_t index;
	ask_ticket ticket; /* 0: answered */
};

struct checks {
	struct arena *arena;
	struct loop *loop;
	struct ask *ask;
	struct engines *engines;
	struct question *questions;
	struct loop_later later;   /* answers came */
	struct loop_timer budget;
	unsigned budget_ms;
	bool done;
	void (*on)(void *arg);     /* NULL: nobody waits */
	void *arg;
};

static void on_answer(void *arg, struct dnsrec *rec);

/* What the cache has is answered at once. True: something was. */
static bool ask_new_ones(struct checks *c)
{
	struct asks *asks = engines_asks(c->engines);
	enum dnsrec_type type;
	struct slice name;
	size_t index;
	bool any = false;

	while (asks_next(asks, &index, &type, &name)) {
		struct dnsrec *rec = ask_dns_cached(c->ask, type, name);
		struct question *q;

		if (rec) {
			asks_answer(asks, index, rec);
			any = true;
			continue;
		}
		q = ARENA_NEW(c->arena, struct question);
		if (q) {
			*q = (struct question){ .checks = c, .next = c->questions, .index = index };
			q->ticket = ask_dns(c->ask, type, name, on_answer, q);
		}
		if (!q || !q->ticket) { /* no memory to ask with: nobody is asked */
			asks_give_up(asks);
			return true;
		}
		c->questions = q;
	}
	return any;
}

static void go_on(struct checks *c)
{
	do
		c->done = engines_step(c->engines);
	while (ask_new_ones(c));
}

static void tell(struct checks *c)
{
	void (*on)(void *arg) = c->on;

	if (!c->done || !on)
		return;
	c->on = NULL;
	on(c->arg); /* may free it */
}

static void on_later(void *arg)
{
	struct checks *c = arg;

	go_on(c);
	tell(c);
}

static void on_answer(void *arg, struct dnsrec *rec)
{
	struct question *q = arg;
	struct checks *c = q->checks;

	q->ticket = 0;
	asks_answer(engines_asks(c->engines), q->index, rec);
	/* Those that come in one turn are looked at together. */
	loop_later(c->loop, &c->later, on_later, c);
}

static void on_budget(void *arg)
{
	struct checks *c = arg;

	asks_give_up(engines_asks(c->engines));
	on_later(c);
}

struct checks *checks_new(struct arena *a, struct loop *l, struct ask *ask, const struct header *h, const struct engines_terms *terms,
    unsigned budget_ms)
{
	struct checks *c = ARENA_NEW(a, struct checks);

	if (!c)
		return NULL;
	c->arena = a;
	c->loop = l;
	c->ask = ask;
	c->budget_ms = budget_ms;
	c->engines = engines_new(a, h, terms);
	if (!c->engines)
		return NULL;
	go_on(c);
	return c;
}

void checks_free(struct checks **cp)
{
	struct checks *c = *cp;

	*cp = NULL;
	if (!c)
		return;
	for (struct question *q = c->questions; q; q = q->next)
		if (q->ticket)
			ask_cancel(c->ask, q->ticket);
	loop_later_cancel(c->loop, &c->later);
	loop_timer_release(&c->budget);
	engines_release(c->engines);
}

void checks_body(struct checks *c, struct slice octets)
{
	engines_body(c->engines, octets);
}

bool checks_end(struct checks *c, void (*on)(void *arg), void *arg)
{
	engines_body_end(c->engines);
	go_on(c);
	/* Not before: whoever takes long over a body must not find that there is no time left for what only its end makes known. */
	if (!c->done && !loop_timer_set(c->loop, &c->budget, c->budget_ms, on_budget, c)) {
		asks_give_up(engines_asks(c->engines));
		go_on(c);
	}
	if (c->done)
		return true;
	c->on = on;
	c->arg = arg;
	return false;
}

struct engines *checks_engines(const struct checks *c)
{
	return c->engines;
}

const struct findings *checks_findings(const struct checks *c)
{
	return engines_findings(c->engines);
}
