/* date.h - RFC 5322 3.3 dates, always +0000. Pure. */
#ifndef MAIL_DATE_H
#define MAIL_DATE_H

#include "base/slice.h"

enum { DATE_OCTETS = 40 };

/* "Sat, 21 Nov 2026 10:00:00 +0000"; unix_s from 0 to the end of year 9999. Returns octets written. */
size_t date_format(int64_t unix_s, char out[DATE_OCTETS]);

#endif
