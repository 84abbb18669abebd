#include <stdarg.h>
#include <stdio.h>

#include "base/fault.h"

static const struct {
	const char *name;
	short basic;
	const char *enhanced;
	const char *text;
} rows[FAULT_CODES] = {
	[FAULT_NONE] = { "none", 0, "", "" },
#define FAULT(name, basic, enhanced, text) [FAULT_##name] = { #name, basic, enhanced, text },
#include "base/fault.def"
#undef FAULT
};

bool fault_set(struct fault *f, enum fault_code code, size_t at)
{
	if (f->code != FAULT_NONE)
		return false;
	f->code = code;
	f->basic = rows[code].basic;
	f->at = at;
	f->note[0] = '\0';
	snprintf(f->enhanced, sizeof(f->enhanced), "%s", rows[code].enhanced);
	snprintf(f->text, sizeof(f->text), "%s", rows[code].text);
	return false;
}

bool fault_note(struct fault *f, enum fault_code code, size_t at, const char *format, ...)
{
	va_list ap;

	if (f->code != FAULT_NONE)
		return false;
	fault_set(f, code, at);
	va_start(ap, format);
	vsnprintf(f->note, sizeof(f->note), format, ap);
	va_end(ap);
	return false;
}

void fault_text(struct fault *f, struct slice text)
{
	size_t n = text.n < sizeof(f->text) - 1 ? text.n : sizeof(f->text) - 1;

	for (size_t i = 0; i < n; i++)
		f->text[i] = text.at[i] < 0x20 || text.at[i] == 0x7f ? '?' : (char)text.at[i];
	f->text[n] = '\0';
}

void fault_name(enum fault_code code, char name_out[FAULT_NAME_OCTETS])
{
	size_t n = 0;

	for (const char *p = rows[code].name; *p && n < FAULT_NAME_OCTETS - 1; p++)
		name_out[n++] = (char)ascii_lower((unsigned char)*p);
	name_out[n] = '\0';
}
