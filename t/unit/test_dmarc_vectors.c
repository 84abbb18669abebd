/* DMARC: a public suite about RFC 9989 (t/data/dmarc-rfc9989). */
#include "test.h"

#include "arena.h"
#include "auth/dmarc/dmarc.h"
#include "mail/addr.h"
#include "vectors.h"
#include "zone.h"

/* Where RFC 9989 decides otherwise than a case. */
static const struct deviation {
	const char *name, *state, *policy, *clause;
} deviations[] = {
	/* RFC 7489 6.6.3 ended the search at several records; its successor discards them and goes on. So does the suite by now. */
	{ "author-multiple-records-no-inherit", "fail", "none", "RFC 9989 4.10 steps 2 and 6, 4.10.1: no valid record by the first query, so walk" },
};

static const struct deviation *deviation(const char *name)
{
	for (size_t i = 0; i < sizeof(deviations) / sizeof(deviations[0]); i++)
		if (strcmp(deviations[i].name, name) == 0)
			return &deviations[i];
	return NULL;
}

/* The suite's zone as an offline DNS file: TXT is a list of lists of strings there. */
static struct answers *zone_of(const json_t *suite)
{
	json_t *out = json_object();
	const char *name, *type;
	json_t *entry, *records;
	struct answers *zone;
	char *text;

	json_object_foreach((json_t *)suite, name, entry) {
		json_t *types = json_object();

		json_object_foreach(entry, type, records) {
			json_t *list = json_array();

			for (size_t i = 0; i < json_array_size(records); i++) {
				json_t *record = json_array_get(records, i);
				struct buf joined;

				buf_init(&joined, 65536);
				for (size_t k = 0; json_is_array(record) && k < json_array_size(record); k++)
					buf_slice(&joined, vector_text(json_array_get(record, k)));
				if (json_is_array(record))
					json_array_append_new(list, json_stringn((const char *)buf_get(&joined).at, joined.n));
				else
					json_array_append(list, record);
				buf_release(&joined);
			}
			json_object_set_new(types, type, list);
		}
		json_object_set_new(out, name, types);
	}
	text = json_dumps(out, 0);
	zone = zone_new(text);
	free(text);
	json_decref(out);
	return zone;
}

static void want_text(const char *name, const char *what, struct slice got, const char *want)
{
	if (want && !slice_eq(got, slice_str(want)))
		fail_msg("%s: %s is \"%.*s\", wanted \"%s\"", name, what, SLICE_FMT(got), want);
}

/* What was asked below _dmarc, which is exactly the list, in that order. */
static void want_queries(const char *name, const json_t *want, const struct slice *asked, size_t n)
{
	if (!json_is_array(want))
		return;
	if (n != json_array_size(want))
		fail_msg("%s: %zu queries, wanted %zu", name, n, json_array_size(want));
	for (size_t i = 0; i < n; i++)
		want_text(name, "a query", asked[i], json_string_value(json_array_get(want, i)));
}

static void run(const json_t *one)
{
	const char *name = json_string_value(json_object_get(one, "name"));
	const struct deviation *other = deviation(name);
	const json_t *dkim = json_object_get(one, "dkim_pass_domains");
	struct answers *zone = zone_of(json_object_get(one, "zone"));
	struct asks *asks = asks_new(&arena, 100);
	struct slice found[8], from, asked[32], question;
	const struct dmarc_verdict *v;
	enum dnsrec_type type;
	struct addr *author;
	struct dmarc *d;
	size_t index, n, m = 0;

	assert_true(addr_list(&arena, vector_text(json_object_get(one, "header_from")), &author, &n));
	assert_int_equal(n, 1);
	from = author[0].domain;
	d = dmarc_new(&arena, asks, &(struct dmarc_terms){ .from = &from, .from_count = 1, .from_single = true });
	for (n = 0; n < json_array_size(dkim); n++)
		found[n] = vector_text(json_array_get(dkim, n));
	dmarc_found(d, found, n, vector_text(json_object_get(one, "spf_pass_domain")), false, false);
	while (!dmarc_step(d)) {
		size_t before = m;

		while (asks_next(asks, &index, &type, &question)) {
			struct dnsrec *rec = answers_rec(zone, &arena, question, type);

			assert_true(m < 32);
			asked[m++] = question;
			asks_answer(asks, index, rec);
			dnsrec_drop(&rec);
		}
		assert_true(m > before);
	}
	v = dmarc_verdict(d);
	want_text(name, "the result", slice_str(dmarc_state_name(v->state)), other ? other->state : json_string_value(json_object_get(one, "expect")));
	want_text(name, "the policy", slice_str(dmarc_policy_name(v->policy)), other ? other->policy : json_string_value(json_object_get(one, "policy")));
	want_text(name, "the domain", v->domain, json_string_value(json_object_get(one, "policy_domain")));
	want_text(name, "rua", v->rua, json_string_value(json_array_get(json_object_get(one, "rua"), 0)));
	want_queries(name, json_object_get(one, "queries"), asked, m);
	asks_release(asks);
	answers_free(&zone);
}

static void every_case(void **state)
{
	char folder[400];
	json_t *suite;
	size_t n;

	(void)state;
	assert_true(vector_folder("dmarc-rfc9989", folder, sizeof(folder)));
	suite = vector_json(folder, "INDEX.json");
	n = json_array_size(suite);
	for (size_t i = 0; i < n; i++)
		run(json_array_get(suite, i));
	json_decref(suite);
	assert_int_equal(n, 18);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(every_case, fresh_arena, drop_arena) };

	return RUN_TESTS(tests);
}
