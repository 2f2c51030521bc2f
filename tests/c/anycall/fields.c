#include "anycall.h"

#include <string.h>

/* What --iommu-test serves is of this kind. */
static const uint32_t SELFTEST = 0xdeadbeef;

static size_t size_of(char field)
{
	if (strchr("cr2356", field) != NULL)
		return 1;
	return field == 'h' ? 2 : strchr("AKLVZ", field) != NULL ? 8 : 4;
}

/* The descriptor in the struct, whose numbers are meant by what follows; first that of the call. */
static int context;

static int descriptor(enum kind kind)
{
	return context = some_fd(kind);
}

static uint64_t sensible(char field, const struct call *call, size_t size)
{
	switch (field) {
	case 's': return size;
	case 'f': return one_in(3) ? call->flags : anything() & call->flags;
	case 'x': return call->flags;
	case 'p': return some_number(PASID, context);
	case 'o': return some_number(OBJECT, context);
	case 'b': return some_number(BOUND_DEVICE, context);
	case 'i': return descriptor(IOASID);
	case 'u': return descriptor(IOMMU);
	case 'g': return some_fd(GROUP);
	case 'm': return some_fd(MEMORY);
	case 'e': return some_fd(EVENT);
	case 'n': case 'h': return below(3);
	case 'c': return below(8);
	case 'r': return 1 + below(3);
	case '2': case '3': case '5': case '6': return field - '0';
	case 'y': return 8 * below(5);
	case 'w': return below(32);
	case 'k': return one_in(2) ? SELFTEST : below(3);
	case 'K': return one_in(3) ? 1 | 24ull << 32 : SELFTEST | (uint64_t)(8 + 4 * below(2)) << 32;
	case 'A': return (uintptr_t)own_memory + 4096 * below(16);
	case 'L': return one_in(50) ? 1ull << below(64) : 4096u << below(5);
	case 'V': return one_in(50) ? anything() : 0x10000 * below(8);
	default: return 0;
	}
}

/* What looks like a mistake, and what looks like malice. */
static uint64_t senseless(uint64_t sense)
{
	switch (below(5)) {
	case 0: return sense + 1;
	case 1: return sense - 1;
	case 2: return ~0ull;
	case 3: return 1ull << below(64);
	default: return anything();
	}
}

size_t fill(const struct call *call, int fd, unsigned char *bytes)
{
	size_t size = 0, at = 0;

	context = fd;
	for (const char *field = call->fields; *field != 0; field++)
		size += size_of(*field);
	for (const char *field = call->fields; *field != 0; at += size_of(*field++)) {
		uint64_t value = sensible(*field, call, size);

		if (one_in(60))
			value = senseless(value);
		memcpy(bytes + at, &value, size_of(*field));
	}
	return size;
}

void take_results(const struct call *call, int fd, const unsigned char *bytes)
{
	size_t at = 0;

	if ((call->on == DEVICE || call->on == VDPA) && strchr(call->fields, 'i') != NULL)
		bound_to(fd, context);
	for (const char *field = call->fields; *field != 0; at += size_of(*field++)) {
		uint32_t value;

		memcpy(&value, bytes + at, sizeof value);
		if (*field == 'P')
			remember(PASID, fd, value);
		else if (*field == 'O')
			remember(OBJECT, fd, value);
		else if (*field == 'B') {
			bound_to(fd, context);
			remember(BOUND_DEVICE, context, value);
		}
		else if (*field == 'D')
			keep(EVENTS, (int)value);
	}
}
