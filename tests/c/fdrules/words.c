/* The words of a command. */
#define _GNU_SOURCE
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "fdrules.h"

struct words split(char *line)
{
	struct words words = {.count = 0};
	char *rest = NULL;
	char *word = strtok_r(line, " \t\r\n", &rest);
	for (; word != NULL && words.count < MAX_WORDS; word = strtok_r(NULL, " \t\r\n", &rest))
		words.at[words.count++] = word;
	return words;
}

/* Word `i` as a number; `otherwise` when there is none. */
unsigned long long number_or(const struct words *words, int i, unsigned long long otherwise)
{
	if (i >= words->count)
		return otherwise;
	const char *word = words->at[i];
	return word[0] == '-' ? (unsigned long long)strtoll(word, NULL, 0) : strtoull(word, NULL, 0);
}

unsigned long long number(const struct words *words, int i)
{
	return number_or(words, i, 0);
}

int fd_at(const struct words *words, int i)
{
	return (int)number_or(words, i, (unsigned long long)-1);
}

const char *word_or(const struct words *words, int i, const char *otherwise)
{
	return i < words->count ? words->at[i] : otherwise;
}

void *pointer(unsigned long long address)
{
	return (void *)(uintptr_t)address;
}

/**
 * Hexadecimal digits to at least `room` zeroed bytes, which the caller frees; `*length` is how many the
 * digits gave. NULL: bad digits.
 */
unsigned char *from_hex(const char *digits, size_t room, size_t *length)
{
	size_t n = strlen(digits) / 2;
	unsigned char *bytes = calloc(1, n > room ? n : room + 1);
	for (size_t i = 0; bytes != NULL && i < n; i++) {
		char pair[3] = {digits[2 * i], digits[2 * i + 1], 0};
		if (!isxdigit((unsigned char)pair[0]) || !isxdigit((unsigned char)pair[1])) {
			free(bytes);
			return NULL;
		}
		bytes[i] = (unsigned char)strtoul(pair, NULL, 16);
	}
	*length = n;
	return bytes;
}
