/*
 * answers.h - the offline DNS file (INTERFACE.md section 2): what names answer, from JSON text. Pure.
 */
#ifndef CONFIG_ANSWERS_H
#define CONFIG_ANSWERS_H

#include "auth/keyrec.h"
#include "base/buf.h"

struct answers;

/* Whole file content; NULL: error_out says what is wrong ("line 3: ..."), LF-ended. Duplicates and wrong types are errors. */
struct answers *answers_new(struct slice json, struct buf *error_out);
void answers_free(struct answers **a);

/*
 * answers_txt - TXT of a name (any case, final dot ignored); CNAMEs followed, at most 8
 * Out: one slice a record, borrowed until answers_free; secure_out: marked DNSSEC-validated
 */
enum dns_status answers_txt(const struct answers *a, struct slice name, const struct slice **records_out, size_t *n_out, bool *secure_out);

#endif
