/*
 * fact.h - what policy may look at, and a condition on one fact. Pure; inside the room.
 */
#ifndef POLICY_FACT_H
#define POLICY_FACT_H

#include "policy/rule.h"

enum fact_op { FACT_IS, FACT_IS_NOT, FACT_IN };

/* One value of a condition, by the type of its fact. */
struct fact_value {
	struct slice text; /* a domain: normal form; below: without its dot; a path: with brackets */
	bool below;        /* a domain: what stands below it */
	struct cidr net;
	uint64_t low, high;
};

struct fact_test {
	enum fact fact;
	enum fact_op op;
	struct fact_value *values;
	size_t value_count;
};

const char *fact_name(enum fact fact);
enum fact_stage fact_stage(enum fact fact);
/* Is that its name, or the part of it before a dot? */
bool fact_is_about(enum fact fact, struct slice name);
bool fact_find(struct slice name, enum fact *fact_out);
/* "listener, service, ...", for a mistake's text. */
const char *fact_names(struct arena *a);

/* "FACT op VALUES"; false: *error_out says what is wrong. */
bool fact_test_parse(struct arena *a, struct slice text, struct fact_test *out, const char **error_out) HS_MUST_USE;

/* Does it hold? The fact is known. Clears `scratch` after each value; it stays failed when it was too small. */
bool fact_test_holds(struct arena *scratch, const struct fact_test *t, struct slice value);

#endif
