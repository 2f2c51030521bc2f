/* The names of a sequence: descriptors, buffers and values. Its end closes and unmaps what they stand for. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "executor.h"

#define NAMES 256

static struct name names[NAMES];
static int name_count;

static struct name *find(const char *text)
{
	for (int i = name_count - 1; i >= 0; i--)
		if (!strcmp(names[i].text, text))
			return &names[i];
	return NULL;
}

struct name *find_kind(const char *text, enum kind kind)
{
	struct name *name = find(text);

	return name && name->kind == kind ? name : NULL;
}

/* A name that is there already stands for the new from now on; what it was is closed with everything else. */
void define(const char *text, enum kind kind, uint64_t value, size_t length)
{
	struct name *name;

	if (name_count == NAMES) {
		fprintf(stderr, "too many names\n");
		exit(1);
	}
	name = &names[name_count++];
	snprintf(name->text, sizeof(name->text), "%s", text);
	name->kind = kind;
	name->value = value;
	name->length = length;
}

void forget(struct name *name)
{
	for (name_count--; name < names + name_count; name++)
		*name = name[1];
}

int descriptor(const char *text)
{
	struct name *name = find_kind(text, DESCRIPTOR);

	return name ? (int)name->value : -1;
}

uint64_t number(const char *text)
{
	return strtoull(text, NULL, 0);
}

/**
 * `&buffer+offset`, `$value+offset`, `%descriptor` or a number; an unknown name is 0, an unknown descriptor
 * -1.
 */
uint64_t evaluate(const char *text)
{
	char base[32];
	const char *plus = strchr(text, '+');
	struct name *name;

	if (*text != '&' && *text != '$' && *text != '%')
		return number(text);
	snprintf(base, sizeof(base), "%.*s", plus ? (int)(plus - text - 1) : (int)strlen(text + 1), text + 1);
	if (*text == '%')
		return (uint64_t)(int64_t)descriptor(base);
	name = find_kind(base, *text == '&' ? BUFFER : VALUE);
	return (name ? name->value : 0) + (plus ? number(plus + 1) : 0);
}

void end_sequence(void)
{
	for (int i = 0; i < name_count; i++) {
		if (names[i].kind == DESCRIPTOR)
			close((int)names[i].value);
		else if (names[i].kind == BUFFER)
			munmap((void *)names[i].value, names[i].length);
	}
	name_count = 0;
	free_addresses();
}
