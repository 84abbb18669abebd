/* The text of a configuration: any octets are read to their end, notes point into it, and a mistake has its line. */
#include "config/text.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	struct text_notes notes;
	struct conf_errors errors;
	unsigned lines = 1;
	struct arena a;
	bool whole;

	for (size_t i = 0; i < n; i++)
		lines += at[i] == '\n';
	arena_init(&a, (size_t)1 << 30);
	conf_errors_init(&errors);
	whole = text_check(&a, "c", slice_of(at, n), &errors, &notes);
	WANT(whole || errors.n > 0);
	WANT(notes.cut_count <= errors.n);
	for (size_t i = 0; i < notes.cut_count; i++)
		WANT(notes.cut_lines[i] >= (i ? notes.cut_lines[i - 1] : 1) && notes.cut_lines[i] <= lines);
	for (size_t i = 0; i < notes.include_count; i++)
		WANT(notes.includes[i].line <= lines && notes.includes[i].name.n < n);
	conf_errors_release(&errors);
	arena_clear(&a);
	return 0;
}
