/*
 * ioctl FD CMD HEX [OFFSET:SIZE=VALUE | >NAME@OFFSET:SIZE | >NAME@OFFSET:fd | >NAME@result:fd | <BUFFER |
 * !ADDRESS]...
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include "executor.h"

/* What the words after the struct's bytes ask for before the call. */
struct request {
	uintptr_t address;
	uint8_t *watched_before[WORDS];
	bool makes_descriptor;
};

static size_t watched_bytes(const struct name *buffer)
{
	return buffer->length < WATCHED_BYTES ? buffer->length : WATCHED_BYTES;
}

/* OFFSET:SIZE=VALUE into `bytes`. */
void patch(uint8_t *bytes, const char *word)
{
	uint64_t value;
	size_t offset, size;
	char *at;

	offset = strtoull(word, &at, 0);
	size = strtoull(at + 1, &at, 0);
	value = evaluate(at + 1);
	memcpy(bytes + offset, &value, size);
}

static void prepare(struct request *request, uint8_t *arg, char **word, int count)
{
	struct name *buffer;
	size_t size;

	for (int i = 4; i < count; i++) {
		if (word[i][0] == '!') {
			request->address = evaluate(word[i] + 1);
		} else if (word[i][0] == '<') {
			buffer = find_kind(word[i] + 1, BUFFER);
			if (!buffer)
				continue;
			size = watched_bytes(buffer);
			request->watched_before[i] = malloc(size);
			memcpy(request->watched_before[i], (void *)buffer->value, size);
		} else if (word[i][0] == '>') {
			request->makes_descriptor |= strstr(word[i], "@result:fd") != NULL;
		} else {
			patch(arg, word[i]);
		}
	}
}

/* Keeps what `word`, NAME@OFFSET:SIZE, names. Returns where a descriptor is in the struct, or SIZE_MAX. */
static size_t save(char *word, const uint8_t *arg, int result)
{
	char *at = strchr(word, '@');
	uint64_t value = 0;
	size_t offset;

	if (!at)
		return SIZE_MAX;
	*at++ = 0;
	if (!strcmp(at, "result:fd")) {
		define(word, DESCRIPTOR, result, 0);
		return SIZE_MAX;
	}
	offset = strtoull(at, &at, 0);
	if (!strcmp(at, ":fd")) {
		memcpy(&value, arg + offset, 4);
		define(word, DESCRIPTOR, value, 0);
		fprintf(out, " +%zu=fd", offset);
		return offset;
	}
	memcpy(&value, arg + offset, number(at + 1));
	define(word, VALUE, value, 0);
	return SIZE_MAX;
}

static void print_watched(struct request *request, char **word, int count)
{
	for (int i = 4; i < count; i++) {
		struct name *buffer = request->watched_before[i] ? find_kind(word[i] + 1, BUFFER) : NULL;

		if (!buffer)
			continue;
		print_changes(buffer->text, request->watched_before[i], (void *)buffer->value,
			      watched_bytes(buffer),
			      SIZE_MAX);
		free(request->watched_before[i]);
	}
}

bool ioctl_line(char **word, int count)
{
	static uint8_t before[STRUCT_SHOWN];
	uint8_t *arg = (uint8_t *)STRUCT_ADDRESS;
	struct request request = { .address = STRUCT_ADDRESS };
	size_t length, at, skipped = SIZE_MAX;
	int result;

	if (strcmp(word[0], "ioctl") || count < 4)
		return false;
	memset(arg, 0, STRUCT_SHOWN);
	length = from_hex(word[3], arg, STRUCT_SHOWN);
	prepare(&request, arg, word, count);
	memcpy(before, arg, length);
	result = ioctl(descriptor(word[1]), (unsigned int)number(word[2]), request.address);
	if (result >= 0 && request.makes_descriptor)
		fputs("fd", out);
	else
		print_result(result);
	for (int i = 4; i < count && result >= 0; i++) {
		at = word[i][0] == '>' ? save(word[i] + 1, arg, result) : SIZE_MAX;
		if (at != SIZE_MAX)
			skipped = at;
	}
	print_changes("", before, arg, length, skipped);
	print_watched(&request, word, count);
	return true;
}
