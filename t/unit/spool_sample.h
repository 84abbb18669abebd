/*
 * spool_sample.h - envelopes for tests of the spool: one with all there can be, and any number at random.
 */
#ifndef SPOOL_SAMPLE_H
#define SPOOL_SAMPLE_H

#include "test.h"

#include "base/limits.h"
#include "spool/format.h"

static inline struct spool_envelope sample_envelope(void)
{
	static struct spool_rcpt rcpts[3];
	static const unsigned char hash[64] = { 1, 2, 3, 0, 5 };

	rcpts[0] = (struct spool_rcpt){ S("<a@a.example>"), S("SUCCESS,FAILURE"), S("rfc822;a+2B@a.example"), 0 };
	rcpts[1] = (struct spool_rcpt){ S("<\"b c\"@b.example>"), SLICE_NONE, SLICE_NONE, 1 };
	rcpts[2] = (struct spool_rcpt){ S("<\xc3\xa9@c.example>"), S("NEVER"), SLICE_NONE, 0 };
	return (struct spool_envelope){
		.id = S("4f7a1c9k2"), .listener = S("outbound"), .arrived_s = 1790000000, .mail_from = S("<s@s.example>"), .body_8bit = true,
		.requiretls = true, .ret = S("HDRS"), .envid = S("QQ+3D1"), .client = S("192.0.2.7"), .known_client = true, .dots = true,
		.wanted = 7, .report_to = S("<s@s.example>"), .judged = true, .chain_state = DKIM2_PASS, .chain_newest = DKIM2_PASS,
		.chain_level = DKIM2_PROVISIONAL, .hop_count = 3, .instance_count = 2, .chain_exploded = true, .arc_state = ARC_FAIL,
		.arc_instances = 4, .authres = S("mx.example.net;\r\n dkim2=pass"), .body_sha256 = slice_of(hash, 32), .body_sha512 = slice_of(hash, 64),
		.body_relaxed_sha256 = slice_of(hash, 32), .rcpts = rcpts, .rcpt_count = 3,
	};
}

static inline void want_same_envelope(const struct spool_envelope *got, const struct spool_envelope *want)
{
	WANT_SLICE(got->id, want->id);
	WANT_SLICE(got->listener, want->listener);
	assert_int_equal(got->arrived_s, want->arrived_s);
	WANT_SLICE(got->mail_from, want->mail_from);
	assert_int_equal(got->body_8bit, want->body_8bit);
	assert_int_equal(got->smtputf8, want->smtputf8);
	assert_int_equal(got->requiretls, want->requiretls);
	WANT_SLICE(got->ret, want->ret);
	WANT_SLICE(got->envid, want->envid);
	WANT_SLICE(got->client, want->client);
	assert_int_equal(got->known_client, want->known_client);
	assert_int_equal(got->arranged, want->arranged);
	assert_int_equal(got->report, want->report);
	assert_int_equal(got->dots, want->dots);
	assert_int_equal(got->wanted, want->wanted);
	WANT_SLICE(got->report_to, want->report_to);
	WANT_SLICE(got->report_why, want->report_why);
	assert_int_equal(got->judged, want->judged);
	assert_int_equal(got->chain_state, want->chain_state);
	assert_int_equal(got->chain_newest, want->chain_newest);
	assert_int_equal(got->chain_level, want->chain_level);
	assert_int_equal(got->hop_count, want->hop_count);
	assert_int_equal(got->instance_count, want->instance_count);
	assert_int_equal(got->chain_exploded, want->chain_exploded);
	assert_int_equal(got->arc_state, want->arc_state);
	assert_int_equal(got->arc_instances, want->arc_instances);
	WANT_SLICE(got->authres, want->authres);
	WANT_SLICE(got->body_sha256, want->body_sha256);
	WANT_SLICE(got->body_sha512, want->body_sha512);
	WANT_SLICE(got->body_relaxed_sha256, want->body_relaxed_sha256);
	assert_int_equal(got->rcpt_count, want->rcpt_count);
	for (size_t i = 0; i < got->rcpt_count; i++) {
		WANT_SLICE(got->rcpts[i].path, want->rcpts[i].path);
		WANT_SLICE(got->rcpts[i].notify, want->rcpts[i].notify);
		WANT_SLICE(got->rcpts[i].orcpt, want->rcpts[i].orcpt);
		assert_int_equal(got->rcpts[i].group, want->rcpts[i].group);
	}
}

/* The same sequence each time. */
static inline uint32_t sample_random(uint64_t *state)
{
	*state = *state * 6364136223846793005U + 1442695040888963407U;
	return (uint32_t)(*state >> 33);
}

#endif
