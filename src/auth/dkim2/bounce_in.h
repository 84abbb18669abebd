/* bounce_in.h - what the files of bounce.h share. For this room only. */
#ifndef AUTH_DKIM2_BOUNCE_IN_H
#define AUTH_DKIM2_BOUNCE_IN_H

#include "auth/dkim2/bounce.h"
#include "auth/dkim2/signatures.h"
#include "auth/dkim2/walk.h"

struct bounce {
	struct arena *arena;
	const struct bounce_conf *conf;
	const struct dkim2_draft *draft;
	struct dsn report;
	struct chain chain;             /* of the returned message */
	struct signatures signatures;
	struct reason *wanted;          /* [hop]: why its keys are not even asked for */
	struct walk walk;               /* down to the instance of the hop before ours */
	bool judged;
	bool run_broken;                /* a hop of ours below the newest is not right */
	struct bounce_finding finding;
};

#endif
