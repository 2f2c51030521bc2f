/*
 * The ring of the benchmark `ring`, in one memfd that driver and device have mapped: a split ring without
 * event index (virtio 1.3, 2.7), and one header, answer and status for each request. IOVAs begin at BASE.
 */
#ifndef RING_H
#define RING_H
#include <stdint.h>

#define RING_SIZE 128
#define BASE 0x100000ul
#define MEMORY_BYTES 0x10000ul
#define AVAILABLE 0x1000
#define USED 0x2000
#define NEXT 1
#define WRITE 2
#define NO_INTERRUPT 1
#define GET_ID 8
#define ID_BYTES 20
#define ID "ioasid"

struct descriptor {
	uint64_t address;
	uint32_t length;
	uint16_t flags, next;
};

struct available {
	uint16_t flags, index, heads[RING_SIZE];
};

struct used {
	uint16_t flags, index;
	struct {
		uint32_t head, length;
	} elements[RING_SIZE];
};

/* One memfd as a process has mapped it, and the eventfds of its one queue. */
struct ring {
	uint8_t *memory;
	struct descriptor *descriptors;
	struct available *available;
	struct used *used;
	int kick, call;
};
#endif
