#include <stdio.h>

#include "mail/date.h"

/* Years begin in March here, so the leap day is the last of its year. */
size_t date_format(int64_t unix_s, char out[DATE_OCTETS])
{
	static const char days[7][4] = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed" };
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	const int64_t last = 253402300799; /* end of year 9999 */
	unsigned day, second, era, in_era, year, in_year, shifted, month;
	uint64_t s = unix_s < 0 ? 0 : (uint64_t)(unix_s > last ? last : unix_s);
	int n;

	day = (unsigned)(s / 86400);
	second = (unsigned)(s % 86400);
	in_era = day + 719468; /* days since 1 March of year 0 */
	era = in_era / 146097;
	in_era %= 146097;
	year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	in_year = in_era - (365 * year + year / 4 - year / 100);
	shifted = (5 * in_year + 2) / 153;
	month = shifted < 10 ? shifted + 2 : shifted - 10;
	n = snprintf(out, DATE_OCTETS, "%s, %02u %s %04u %02u:%02u:%02u +0000", days[day % 7],
	    in_year - (153 * shifted + 2) / 5 + 1, months[month], year + era * 400 + (month < 2), second / 3600,
	    second / 60 % 60, second % 60);
	return n < 0 ? 0 : (size_t)n;
}
