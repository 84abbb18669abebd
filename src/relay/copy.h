/*
 * copy.h - one outgoing copy: its edits, its seal, and the check of what is about to leave (DESIGN.md section 4).
 */
#ifndef RELAY_COPY_H
#define RELAY_COPY_H

#include "mail/edit.h"
#include "net/ask.h"
#include "relay/plan.h"

struct copy;

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
	unsigned flags;                    /* CONF_FLAG_..., for the seal that names the envelope */
	struct dkim2_envelope envelope;    /* as it leaves */
	int64_t now;
};

/*
 * copy_start - seals and enforces
 * Out:   COPY_WAIT: signatures are asked for, `on` follows; else as copy_result() says. NULL: no memory.
 */
struct copy *copy_start(const struct copy_job *job, void (*on)(void *arg), void *arg);
enum copy_state copy_result(const struct copy *c, struct fault *f_out);
/* Cancels what is asked. */
void copy_free(struct copy **c);
/* How many seals were added. */
unsigned copy_seals(const struct copy *c);
/* Why no seal was added though one was planned, of a copy that may leave all the same (plan.may_pass); NULL: none of that. */
const struct fault *copy_unsealed(const struct copy *c);

#endif
