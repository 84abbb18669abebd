/*
 * folder.h - the files below a folder, in the order of their names' octets; a file given by name is the only one. Of a
 * Maildir only what lies in new/ and cur/ is mail.
 */
#ifndef CTL_FOLDER_H
#define CTL_FOLDER_H

#include <stdbool.h>
#include <stdint.h>

struct folder;

enum folder_result {
	FOLDER_FILE,
	FOLDER_PASSED, /* a Maildir's own: of tmp/, or beside its folders */
	FOLDER_BAD,    /* cannot be read, or is no file: *why_out */
	FOLDER_END
};

/* NULL: complained. Links are followed. "-" is standard input. */
struct folder *folder_new(const char *path, int *code_out);
void folder_free(struct folder **f);

/* The path is borrowed until the next call. */
enum folder_result folder_next(struct folder *f, const char **path_out, uint64_t *octets_out, const char **why_out);

#endif
