/*
 * fault.h - errors as values a peer can be told. Pure.
 *
 * A fault carries its reply from the place that understood it (fault.def).
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include "base/slice.h"

enum fault_code {
	FAULT_NONE, /* zeroed means no fault */
#define FAULT(name, basic, enhanced, text) FAULT_##name,
#include "base/fault.def"
#undef FAULT
	FAULT_CODES
};

struct fault {
	enum fault_code code;
	short basic;       /* reply code, from the table or as the next hop said */
	char enhanced[12]; /* fits "5.999.999"; empty: none */
	char text[256];    /* the words a peer may see, one line of printable ASCII or UTF-8 */
	size_t at;         /* octets into the input where it went wrong */
	char note[96];     /* for the log; a peer never sees it */
};

/* Fills *f from the table and returns false. A fault already set stays: the first one counts. */
bool fault_set(struct fault *f, enum fault_code code, size_t at);
/* The same with a note for the log. */
bool fault_note(struct fault *f, enum fault_code code, size_t at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Replaces the words a peer sees; control octets become '?', cut at the room there is. */
void fault_text(struct fault *f, struct slice text);
/* Lower case name of the row, for logs: "bare_lf". */
enum { FAULT_NAME_OCTETS = 24 };
void fault_name(enum fault_code code, char name_out[FAULT_NAME_OCTETS]);

#endif
