/*
 * copy.h - one outgoing copy: its edits, its seals and signatures, and the check of what is about to leave (DESIGN.md section 4).
 */
#ifndef RELAY_COPY_H
#define RELAY_COPY_H

#include "auth/arc/arc.h"
#include "auth/dkim2/dkim2.h"
#include "mail/edit.h"
#include "net/ask.h"
#include "relay/plan.h"

struct copy;

/* 2026-01-01: this program is younger, so a clock that says less is not set, and nothing is signed with its time (CLOCK_WRONG). */
enum { COPY_EARLIEST_S = 1767225600 };

enum copy_state { COPY_READY, COPY_WAIT, COPY_REFUSED };

struct copy_job {
	struct arena *arena;
	struct ask *ask;
	const struct conf *conf;
	const struct header *came;         /* as received */
	struct edit *edit;                 /* with everything but the seal */
	struct plan plan;
	const struct dkim2_verdict *verdict;
	struct slice body_sha256, body_sha512; /* the latter empty: not at hand */
	struct slice body_relaxed_sha256;  /* for DKIM and ARC */
	const char *arc;                   /* domain of the ARC set that is added; NULL: none */
	const struct arc_verdict *arc_came; /* the sets there are: state and instances; NULL: not looked at, none is added */
	struct slice authres;              /* what that set tells: authres_value() */
	unsigned flags;                    /* CONF_FLAG_..., for the seal that names the envelope */
	struct dkim2_envelope envelope;    /* as it leaves */
	int64_t now;
};

/* Leaves Bcc and Resent-Bcc out: of mail that begins here they are for nobody's eyes (RFC 5322 3.6.3, 3.6.6). */
void copy_hide(struct edit *e, const struct header *came);

/*
 * copy_start - signs, seals and enforces. Signatures that do not build on one another are asked for together.
 * Out:   COPY_WAIT: signatures are asked for, `on` follows; else as copy_result() says. NULL: no memory.
 */
struct copy *copy_start(const struct copy_job *job, void (*on)(void *arg), void *arg);
enum copy_state copy_result(const struct copy *c, struct fault *f_out);
/* Cancels what is asked. */
void copy_free(struct copy **c);
/* How many seals were added. */
unsigned copy_seals(const struct copy *c);
/* How many DKIM signatures, and ARC sets. */
unsigned copy_dkim(const struct copy *c);
unsigned copy_arc(const struct copy *c);
/* Why no ARC set was added though one was wanted; NULL: none of that. */
const struct fault *copy_no_arc(const struct copy *c);
/* Why no seal was added though one was planned, of a copy that may leave all the same (plan.may_pass); NULL: none of that. */
const struct fault *copy_unsealed(const struct copy *c);

#endif
