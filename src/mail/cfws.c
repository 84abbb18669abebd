#include "mail/cfws.h"

bool cfws_skip(struct slice *s)
{
	size_t depth = 0, i = 0;

	for (; i < s->n; i++) {
		unsigned char c = s->at[i];

		if (c == '\r') {
			if (s->n - i < 3 || s->at[i + 1] != '\n' || (s->at[i + 2] != ' ' && s->at[i + 2] != '\t'))
				return false;
			i += 2;
		} else if (c == '(') {
			depth++;
		} else if (depth && c == ')') {
			depth--;
		} else if (depth && c == '\\') {
			if (++i == s->n || s->at[i] < 0x20 || s->at[i] == 0x7f)
				return false;
		} else if (c == ' ' || c == '\t') {
			continue;
		} else if (!depth) {
			break;
		} else if (c < 0x20 || c == 0x7f) {
			return false;
		}
	}
	if (depth)
		return false;
	*s = slice_sub(*s, i, SIZE_MAX);
	return true;
}
