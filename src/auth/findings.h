/*
 * findings.h - what all mechanisms found about a message, as the results of one Authentication-Results field (RFC 8601). Pure.
 *
 * Always in this order, a mechanism that was not asked for left out. Readers may rely on it; properties are those IANA knows.
 *
 *   dkim2=...  authres_dkim2()
 *   dkim=fail (2048-bit key) reason="..." header.d=a.example header.i=u@a.example header.s=s1 header.a=rsa-sha256 header.b=AbCdEfGh
 *              each signature, top to bottom, ten at most; the comment of the tenth says how many more there are. header.i when
 *              the signature has it; header.b is the start of b=, as much as tells it from the others (RFC 6008 4). Comment, what
 *              applies of: key size, "testing" (the key's t=y), "l=N", "a From is not signed" of one that passes. Without a signature: dkim=none
 *   arc=pass (i=2) header.oldest-pass=0 smtp.remote-ip=192.0.2.1
 *              RFC 8617 6; the comment is the highest instance, oldest-pass is there with pass only
 *   spf=pass (mechanism) smtp.mailfrom=s@a.example
 *   spf=pass (mechanism) smtp.helo=mx.a.example
 *              RFC 8601 2.7.2: MAIL FROM as it was said, and HELO where that was checked, once. The comment is what matched
 *   dmarc=fail (sp=reject dis=quarantine t=y) header.from=a.example policy.dmarc=quarantine
 *              RFC 9989 9.1: the comment is what the record asks for, by the tag it was taken from, and what comes of it;
 *              policy.dmarc is the latter too. With an override that is none: (p=reject dis=none override=arc)
 *
 * reason= is our words wherever there are some: why it is not pass.
 */
#ifndef AUTH_FINDINGS_H
#define AUTH_FINDINGS_H

#include "auth/arc/arc.h"
#include "auth/authres.h"
#include "auth/dkim1/dkim.h"
#include "auth/dmarc/dmarc.h"
#include "auth/spf/spf.h"

struct findings { /* NULL, empty: not looked at, not known */
	const struct dkim2_verdict *dkim2;
	const struct dkim_verdict *dkim;
	const struct arc_verdict *arc;
	const struct spf_verdict *spf, *spf_helo;
	const struct dmarc_verdict *dmarc;
	struct slice mail_from;   /* as the client said it, without brackets and parameters, any octets; empty: null path */
	struct slice helo;        /* likewise */
	struct slice client;      /* its address as text, for smtp.remote-ip; empty: not to be told */
	struct slice from_domain; /* for dmarc when its verdict names no author */
	const char *override;     /* what explains a failure of DMARC, a word; NULL: nothing does, or nobody asked (outcome.h) */
};

/* Out: in the arena, borrowing from the verdicts; for authres_value() and authres_field(). False: no memory. */
bool findings_results(struct arena *a, const struct findings *f, struct authres_result **out, size_t *n_out) HS_MUST_USE;

#endif
