#include <stdio.h>

#include "auth/spf/macro.h"
#include "auth/spf/record.h"
#include "base/ip.h"
#include "mail/domain.h"

/* A record that was read, for the domain whose it is. */
struct page {
	struct page *next;
	const struct dnsrec *rec; /* the answer it stands in */
	struct slice domain;
	struct record record;
	struct slice redirect;    /* what record.redirect stands for; empty: not known yet */
	enum spf_state state;     /* PASS: it can be evaluated; else what that domain comes to */
	const char *why;
};

struct spf {
	struct arena *arena;
	struct asks *asks;
	struct spf_terms terms;
	struct macro_values values;
	struct slice reverse;       /* the client's name in the DNS */
	struct page *pages;
	size_t asked;               /* questions this check asked, and nobody before */

	/* Of one pass over the records; all passes begin at the first. */
	bool waiting;               /* an answer is not there: what follows is only to see what else to ask */
	unsigned lookups, voids;
	const char *why;            /* reason, the name it is about, and the words of its record that are wrong */
	struct slice whose, fault;

	struct spf_verdict verdict;
	bool done;
};

enum match { MATCH_NO, MATCH_YES, MATCH_TEMPERROR, MATCH_PERMERROR };

const char *spf_state_name(enum spf_state state)
{
	static const char *const names[] = { "none", "pass", "neutral", "softfail", "fail", "permerror", "temperror" };

	return names[state];
}

/*
 * The one place that asks. NULL: no answer yet. `ahead`: it is not known whether the answer will be needed, so the question is not
 * asked when there were many: a tree of records made to ask in vain is to cost no more than twice what it may.
 */
static const struct dnsrec *ask(struct spf *s, enum dnsrec_type type, struct slice name, bool ahead)
{
	size_t before = asks_count(s->asks);
	const struct dnsrec *rec = NULL;

	if (!ahead || s->asked < LIMIT_SPF_AHEAD)
		rec = asks_get(s->asks, type, name);
	s->asked += asks_count(s->asks) - before;
	s->waiting |= !rec;
	return rec;
}

static enum dnsrec_type address_type(const struct spf *s)
{
	return ip_is_v4(s->terms.client) ? DNSREC_A : DNSREC_AAAA;
}

static enum match trouble(struct spf *s, enum match match, const char *why, struct slice whose)
{
	s->why = why;
	s->whose = whose;
	s->fault = SLICE_NONE;
	return match;
}

/* One more term that asks (RFC 7208 4.6.4). */
static bool may_look_up(struct spf *s, struct slice domain)
{
	if (s->lookups == LIMIT_SPF_TERMS) {
		trouble(s, MATCH_PERMERROR, "too many lookups", domain);
		return false;
	}
	s->lookups++;
	return true;
}

/* What holds for the answer to a term before its records are looked at: YES, there are some. */
static enum match answered(struct spf *s, const struct dnsrec *rec, struct slice name)
{
	if (!rec)
		return MATCH_NO;
	if (dnsrec_temporary(rec))
		return trouble(s, MATCH_TEMPERROR, "no answer", name);
	if (rec->status == DNS_OK)
		return MATCH_YES;
	if (s->voids == LIMIT_SPF_VOIDS)
		return trouble(s, MATCH_PERMERROR, "too many void lookups", name);
	s->voids++;
	return MATCH_NO;
}

static bool holds_client(const struct spf *s, const struct dnsrec *rec, unsigned bits4, unsigned bits6)
{
	unsigned bits = ip_is_v4(s->terms.client) ? bits4 : bits6;

	for (size_t i = 0; i < rec->count; i++)
		if (record_holds(rec->records[i].at, bits, s->terms.client))
			return true;
	return false;
}

/* Of what use is a host name for %{p}? The domain itself is best, then one below it (RFC 7208 7.3). */
static unsigned rank(struct slice name, struct slice domain)
{
	unsigned char octets[DNS_NAME_OCTETS];
	struct slice normal;

	if (!dns_name_normal(domain, octets, &normal) || !domain_follows(name, normal))
		return 1;
	return name.n == normal.n ? 3 : 2;
}

/*
 * The best of the client's names, of those that lead back to it and rank this well at least (RFC 7208 5.5); one of rank `enough` needs
 * no comparing. Errors only hide names. Empty: none.
 * False: not known yet
 */
static bool validated(struct spf *s, const struct dnsrec *ptr, struct slice domain, unsigned least, unsigned enough, struct slice *best_out)
{
	bool ahead = s->waiting, known = true;
	unsigned best = least - 1;

	*best_out = SLICE_NONE;
	for (size_t i = 0; ptr->status == DNS_OK && i < ptr->count && i < LIMIT_SPF_PTR && best < enough; i++) {
		struct slice name = ptr->records[i];
		unsigned own = rank(name, domain);
		const struct dnsrec *rec;

		if (own <= best)
			continue;
		rec = ask(s, address_type(s), name, ahead);
		known &= rec != NULL;
		if (rec && rec->status == DNS_OK && holds_client(s, rec, 32, 128)) {
			*best_out = name;
			best = own;
		}
	}
	known |= best >= enough;
	s->waiting = ahead || !known;
	return known;
}

/* Sets what depends on the domain. False: %{p} is used, and not known yet. */
static bool set_values(struct spf *s, struct slice text, struct slice domain)
{
	struct slice *p = &s->values.of['p' - 'a'];
	const struct dnsrec *ptr;

	s->values.of['d' - 'a'] = domain;
	if (!macro_uses(text, 'p'))
		return true;
	ptr = ask(s, DNSREC_PTR, s->reverse, s->waiting);
	if (!ptr || !validated(s, ptr, domain, 1, 3, p))
		return false;
	if (p->n == 0)
		*p = S("unknown");
	return true;
}

/* A domain-spec as a name, once for each page; no name at all is the root's, for which nobody asks. False: not known yet. */
static bool expand(struct spf *s, struct slice spec, struct slice domain, struct slice *name)
{
	unsigned char octets[DNS_NAME_OCTETS];

	if (name->n)
		return true;
	if (!set_values(s, spec, domain))
		return false;
	*name = arena_copy(s->arena, macro_name(spec, &s->values, octets));
	if (name->n == 0)
		*name = S(".");
	return true;
}

static struct page *page_new(struct spf *s, const struct dnsrec *rec, struct slice domain)
{
	struct page *p = ARENA_NEW(s->arena, struct page);
	struct slice text = SLICE_NONE;
	size_t n = 0;

	if (!p)
		return NULL;
	*p = (struct page){ .next = s->pages, .rec = rec, .domain = domain, .state = SPF_PASS };
	s->pages = p;
	for (size_t i = 0; i < rec->count; i++) {
		if (record_is_spf(rec->records[i])) {
			text = rec->records[i];
			n++;
		}
	}
	if (n == 0) {
		p->state = SPF_NONE;
		p->why = "no SPF record";
	} else if (n > 1) {
		p->state = SPF_PERMERROR;
		p->why = "more than one SPF record";
	} else if (!record_parse(text, s->terms.client, &p->record)) {
		p->state = SPF_PERMERROR;
		p->why = "syntax error in the SPF record";
	}
	return p;
}

static struct page *page_of(struct spf *s, const struct dnsrec *rec, struct slice domain)
{
	for (struct page *p = s->pages; p; p = p->next)
		if (p->rec == rec && slice_eq(p->domain, domain))
			return p;
	return page_new(s, rec, domain);
}

/* RFC 7208 4.3 to 4.5: the record of a domain. PASS: there it is; or an answer is missing, and *page_out is NULL. */
static enum spf_state find_page(struct spf *s, struct slice domain, struct page **page_out)
{
	const struct dnsrec *rec = NULL;

	*page_out = NULL;
	if (slice_find(domain, '.') < domain.n && !(rec = ask(s, DNSREC_TXT, domain, s->waiting)))
		return SPF_PASS;
	if (rec && dnsrec_temporary(rec)) {
		trouble(s, MATCH_TEMPERROR, "no answer", domain);
		return SPF_TEMPERROR;
	}
	if (!rec || rec->status != DNS_OK) {
		trouble(s, MATCH_PERMERROR, "no SPF record", domain);
		return SPF_NONE;
	}
	*page_out = page_of(s, rec, domain);
	if (!*page_out) {
		trouble(s, MATCH_TEMPERROR, "out of memory", domain);
		return SPF_TEMPERROR;
	}
	if ((*page_out)->state != SPF_PASS) {
		trouble(s, MATCH_PERMERROR, (*page_out)->why, domain);
		s->fault = (*page_out)->record.fault;
	}
	return (*page_out)->state;
}

static enum match match_a(struct spf *s, const struct record_term *t, struct slice name)
{
	enum dnsrec_type type = t->kind == TERM_EXISTS ? DNSREC_A : address_type(s);
	const struct dnsrec *rec = ask(s, type, name, s->waiting);
	enum match m = answered(s, rec, name);

	if (m != MATCH_YES || t->kind == TERM_EXISTS)
		return m;
	return holds_client(s, rec, t->bits4, t->bits6) ? MATCH_YES : MATCH_NO;
}

/* The hosts in the order of the answer; which ones these are is the domain's choice and at its cost. */
static enum match match_mx(struct spf *s, const struct record_term *t, struct slice name)
{
	bool ahead = s->waiting;
	const struct dnsrec *mx = ask(s, DNSREC_MX, name, ahead);
	enum match m = answered(s, mx, name);

	if (m != MATCH_YES)
		return m;
	for (size_t i = 0; i < mx->count && i < LIMIT_SPF_MX; i++) {
		struct slice host = slice_sub(mx->records[i], 2, DNS_NAME_OCTETS);
		const struct dnsrec *rec = host.n ? ask(s, address_type(s), host, ahead) : NULL;

		if (!rec)
			continue;
		if (dnsrec_temporary(rec))
			m = trouble(s, MATCH_TEMPERROR, "no answer", host);
		else if (rec->status == DNS_OK && holds_client(s, rec, t->bits4, t->bits6))
			m = MATCH_YES;
		else
			continue;
		/* The hosts before it may be missing; those behind it need not be asked for any more. */
		return m;
	}
	if (mx->count > LIMIT_SPF_MX)
		return trouble(s, MATCH_PERMERROR, "too many MX records", name);
	return MATCH_NO;
}

static enum match match_ptr(struct spf *s, struct slice target)
{
	const struct dnsrec *ptr = ask(s, DNSREC_PTR, s->reverse, s->waiting);
	enum match m = MATCH_NO;
	struct slice name;

	if (ptr && !dnsrec_temporary(ptr))
		m = answered(s, ptr, s->reverse);
	if (m != MATCH_YES)
		return m;
	return validated(s, ptr, target, 2, 2, &name) && name.n ? MATCH_YES : MATCH_NO;
}

/* How a check ended, and by which term of which page; NULL: none matched. */
struct end {
	enum spf_state state;
	const struct record_term *by;
	const struct page *page;
};

static struct end check(struct spf *s, struct slice domain);

/* RFC 7208 5.2. */
static enum match match_include(struct spf *s, struct slice name)
{
	static const enum match of[] = { [SPF_NONE] = MATCH_PERMERROR, [SPF_PASS] = MATCH_YES, [SPF_NEUTRAL] = MATCH_NO,
		[SPF_SOFTFAIL] = MATCH_NO, [SPF_FAIL] = MATCH_NO, [SPF_PERMERROR] = MATCH_PERMERROR, [SPF_TEMPERROR] = MATCH_TEMPERROR };

	return of[check(s, name).state];
}

static enum match match(struct spf *s, const struct page *page, struct record_term *t)
{
	struct slice name = page->domain;

	if (t->kind == TERM_SETTLED)
		return MATCH_YES;
	if (!may_look_up(s, page->domain))
		return MATCH_PERMERROR;
	if (t->spec.n) {
		if (!expand(s, t->spec, page->domain, &t->name))
			return MATCH_NO;
		name = t->name;
	}
	switch (t->kind) {
	case TERM_INCLUDE:
		return match_include(s, name);
	case TERM_MX:
		return match_mx(s, t, name);
	case TERM_PTR:
		return match_ptr(s, name);
	default:
		return match_a(s, t, name);
	}
}

/*
 * check_host() of RFC 7208 4. It calls itself for an include, and each of these is a term that asks: LIMIT_SPF_TERMS deep at most. With
 * `waiting` set the result means nothing.
 */
static struct end check(struct spf *s, struct slice domain)
{
	bool redirected = false;

	for (;; redirected = true) {
		struct end end = { .state = SPF_NEUTRAL };
		enum spf_state found;
		struct page *page;

		found = find_page(s, domain, &page);
		if (found != SPF_PASS)
			return (struct end){ .state = redirected && found == SPF_NONE ? SPF_PERMERROR : found };
		if (!page)
			return end;
		for (size_t i = 0; i < page->record.n; i++) {
			struct record_term *t = &page->record.terms[i];

			switch (match(s, page, t)) {
			case MATCH_YES:
				return (struct end){ t->qualifier, t, page };
			case MATCH_TEMPERROR:
				return (struct end){ .state = SPF_TEMPERROR };
			case MATCH_PERMERROR:
				return (struct end){ .state = SPF_PERMERROR };
			case MATCH_NO:
				break;
			}
		}
		if (page->record.redirect.n == 0)
			return end;
		if (!may_look_up(s, domain))
			return (struct end){ .state = SPF_PERMERROR };
		if (!expand(s, page->record.redirect, domain, &page->redirect))
			return end;
		domain = page->redirect;
	}
}

/* RFC 7208 6.2: whatever is wrong with it, there is none. */
static struct slice explanation(struct spf *s, const struct page *page)
{
	const struct dnsrec *rec;
	struct slice name = SLICE_NONE;

	if (!s->terms.explain || page->record.explanation.n == 0)
		return SLICE_NONE;
	if (!expand(s, page->record.explanation, page->domain, &name))
		return SLICE_NONE;
	rec = ask(s, DNSREC_TXT, name, false);
	if (!rec || rec->status != DNS_OK || rec->count != 1 || !set_values(s, rec->records[0], page->domain))
		return SLICE_NONE;
	return macro_explain(s->arena, rec->records[0], &s->values);
}

/* Octets that anybody may be shown. */
static struct slice printable(struct arena *a, struct slice text)
{
	unsigned char *out;

	if (text.n > LIMIT_REASON)
		text.n = LIMIT_REASON;
	out = arena_take(a, text.n);
	if (!out)
		return SLICE_NONE;
	for (size_t i = 0; i < text.n; i++)
		out[i] = text.at[i] >= 0x20 && text.at[i] <= 0x7e ? text.at[i] : '?';
	return slice_of(out, text.n);
}

static struct slice reason(const struct spf *s)
{
	struct slice whose = printable(s->arena, s->whose), fault = printable(s->arena, s->fault);

	if (fault.n)
		return arena_printf(s->arena, "%s of %.*s: %.*s", s->why, SLICE_FMT(whose), SLICE_FMT(fault));
	return arena_printf(s->arena, "%s: %.*s", s->why, SLICE_FMT(whose));
}

static bool settle(struct spf *s, const struct end *end)
{
	struct spf_verdict *v = &s->verdict;

	if (end->state == SPF_FAIL) {
		v->explanation = explanation(s, end->page);
		if (s->waiting)
			return false;
	}
	v->state = end->state;
	v->lookups = s->lookups;
	v->voids = s->voids;
	if (end->by)
		v->mechanism = printable(s->arena, end->by->text);
	if (v->state == SPF_PERMERROR || v->state == SPF_TEMPERROR)
		v->reason = reason(s);
	return true;
}

bool spf_step(struct spf *s)
{
	struct end end;

	if (s->done)
		return true;
	s->waiting = false;
	s->lookups = s->voids = 0;
	s->why = "";
	end = check(s, s->verdict.domain);
	if (!s->waiting)
		s->done = settle(s, &end);
	if (arena_failed(s->arena)) {
		s->verdict = (struct spf_verdict){ .state = SPF_TEMPERROR, .scope = s->verdict.scope, .domain = s->verdict.domain,
			.reason = S("out of memory") };
		s->done = true;
	}
	return s->done;
}

const struct spf_verdict *spf_verdict(const struct spf *s)
{
	return &s->verdict;
}

/* A domain that may have a record: normal, of two labels or more, and no address (RFC 7208 2.3, 4.3). */
static struct slice subject(struct arena *a, struct slice text)
{
	struct slice normal;
	size_t n;

	if (!domain_normal(a, text, &normal) || normal.at[0] == '[' || slice_find(normal, '.') == normal.n)
		return SLICE_NONE;
	for (n = normal.n; n > 0 && ascii_digit(normal.at[n - 1]);)
		n--;
	return normal.at[n - 1] == '.' ? SLICE_NONE : normal;
}

/* %{i}, and the name to ask for the client's name. */
static void set_client(struct spf *s)
{
	static const char digits[] = "0123456789ABCDEF"; /* either case is the same to the DNS */
	const unsigned char *client = s->terms.client;
	char dots[64], text[IP_TEXT], reverse[80];

	ip_text(client, text);
	if (ip_is_v4(client)) {
		memcpy(dots, text, sizeof(text));
		snprintf(reverse, sizeof(reverse), "%u.%u.%u.%u.in-addr.arpa", client[15], client[14], client[13], client[12]);
	} else {
		for (size_t i = 0; i < 32; i++) {
			char c = digits[i % 2 ? client[i / 2] & 15 : client[i / 2] >> 4];

			dots[i * 2] = reverse[62 - i * 2] = c;
			dots[i * 2 + 1] = '.';
			reverse[63 - i * 2] = '.';
		}
		dots[63] = '\0';
		memcpy(reverse + 64, "ip6.arpa", sizeof("ip6.arpa"));
	}
	s->reverse = arena_copy(s->arena, slice_str(reverse));
	s->values.of['i' - 'a'] = arena_copy(s->arena, slice_str(dots));
	s->values.of['c' - 'a'] = arena_copy(s->arena, slice_str(text));
	s->values.of['v' - 'a'] = ip_is_v4(client) ? S("in-addr") : S("ip6");
}

static struct slice sender(struct arena *a, struct slice local, struct slice domain)
{
	unsigned char *p = arena_take(a, local.n + 1 + domain.n);

	if (!p)
		return SLICE_NONE;
	memcpy(p, local.at, local.n);
	p[local.n] = '@';
	if (domain.n)
		memcpy(p + local.n + 1, domain.at, domain.n);
	return slice_of(p, local.n + 1 + domain.n);
}

/* The identity that is checked: its domain, and the sender that goes with it. */
static void set_identity(struct spf *s)
{
	struct slice mail = s->terms.mail_from, local = S("postmaster"), text = s->terms.helo, domain;
	size_t at = mail.n;

	s->verdict.scope = s->terms.scope == SPF_HELO || mail.n == 0 ? SPF_HELO : SPF_MFROM;
	if (s->verdict.scope == SPF_MFROM) {
		while (at > 0 && mail.at[at - 1] != '@')
			at--;
		text = slice_sub(mail, at, mail.n);
		if (at > 1)
			local = slice_sub(mail, 0, at - 1);
	}
	domain = subject(s->arena, text);
	s->verdict.domain = domain;
	s->values.of['l' - 'a'] = local;
	s->values.of['o' - 'a'] = domain;
	s->values.of['h' - 'a'] = s->terms.helo;
	s->values.of['s' - 'a'] = sender(s->arena, local, domain);
}

struct spf *spf_new(struct arena *a, struct asks *asks, const struct spf_terms *terms)
{
	struct spf *s = ARENA_NEW(a, struct spf);
	size_t longest = DNS_NAME_OCTETS;

	if (!s)
		return NULL;
	s->arena = a;
	s->asks = asks;
	s->terms = *terms;
	s->terms.helo = arena_copy(a, terms->helo);
	s->terms.mail_from = arena_copy(a, terms->mail_from);
	s->terms.hostname = arena_copy(a, terms->hostname);
	set_client(s);
	set_identity(s);
	s->values.of['r' - 'a'] = s->terms.hostname.n ? s->terms.hostname : S("unknown");
	s->values.of['t' - 'a'] = arena_printf(a, "%lld", (long long)terms->now);
	for (size_t i = 0; i < sizeof(s->values.of) / sizeof(s->values.of[0]); i++)
		if (s->values.of[i].n > longest)
			longest = s->values.of[i].n;
	s->values.room = arena_take(a, longest);
	if (arena_failed(a))
		return NULL;
	s->done = s->verdict.domain.n == 0;
	return s;
}
