/*
 * cfws.h - what may stand between the words of a structured field: blanks, folds and comments (RFC 5322 3.2.2). Pure,
 * allocates nothing.
 */
#ifndef MAIL_CFWS_H
#define MAIL_CFWS_H

#include "base/slice.h"

/*
 * cfws_skip - moves blanks, folds and nested comments off the front of *s
 * Fault: false, nothing moved: a comment without end or with a control octet, a CR that begins no fold
 */
bool cfws_skip(struct slice *s) HS_MUST_USE;

#endif
