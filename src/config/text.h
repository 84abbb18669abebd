/*
 * text.h - what libconfig would read wrongly without a word, found in the text itself. Pure.
 *
 * libconfig 1.5 cuts integers without the suffix L to 32 bits and those with it to 64, and strings at a NUL octet.
 */
#ifndef CONFIG_TEXT_H
#define CONFIG_TEXT_H

#include "base/arena.h"
#include "config/mistake.h"

struct text_include {
	struct slice name; /* unescaped */
	unsigned line;
};

struct text_notes {
	struct text_include *includes;
	size_t include_count;
	unsigned *cut_lines; /* lines with a number that would be cut, ascending */
	size_t cut_count;
};

/*
 * text_check - adds each mistake as "file:line: ..."
 * Out:   notes in the arena; without memory (arena_failed()) they are short
 * Fault: false: a string, comment or file name has no end, all that could follow from it is that
 */
bool text_check(struct arena *a, const char *file, struct slice text, struct conf_errors *errors,
    struct text_notes *notes_out);

#endif
