/* What an answer is made of: results, errno names, hex, and the words of memory that have changed. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include "executor.h"

FILE *out;

size_t from_hex(const char *text, uint8_t *bytes, size_t room)
{
	size_t count = 0;
	unsigned int byte;

	while (count < room && text[0] && text[1] && sscanf(text, "%2x", &byte) == 1) {
		bytes[count++] = byte;
		text += 2;
	}
	return count;
}

void print_hex(const uint8_t *bytes, size_t count)
{
	while (count--)
		fprintf(out, "%02x", *bytes++);
}

/**
 * The runs of words in which `now` is not `before`. `skipped` is the offset of a word that is not compared.
 */
void print_changes(const char *label, const uint8_t *before, const uint8_t *now, size_t length,
		   size_t skipped)
{
	size_t at = 0;
	size_t start;

#define BYTES(at) (length - (at) < 4 ? length - (at) : 4)
#define CHANGED(at) ((at) < length && (at) != skipped && memcmp(before + (at), now + (at), BYTES(at)))
	while (at < length) {
		if (!CHANGED(at)) {
			at += 4;
			continue;
		}
		for (start = at; CHANGED(at); at += 4)
			;
		fprintf(out, " %s+%zu=", label, start);
		print_hex(now + start, (at < length ? at : length) - start);
	}
#undef CHANGED
#undef BYTES
}

void print_result(long result)
{
	const char *text = result < 0 ? strerrorname_np(errno) : NULL;

	if (result >= 0)
		fprintf(out, "%ld", result);
	else if (text)
		fputs(text, out);
	else
		fprintf(out, "E%d", errno);
}
