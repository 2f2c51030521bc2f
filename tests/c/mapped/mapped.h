/* What the files of mapped share: the device (src/testkit/register-file.ts), and its BAR as it is mapped. */
#ifndef MAPPED_H
#define MAPPED_H

#include <stdint.h>

#include "../check.h"

enum { PAGE = 4096, BAR_BYTES = 4 * PAGE, PORTAL = 3 * PAGE };

/* The device file, and where its BAR 0 is mapped. */
extern int device;
extern volatile uint8_t *bar;

/* An access to BAR 0, as the device has seen it. */
struct access {
	uint32_t offset, length_and_write;
};
#define WRITE 0x80000000u

void open_device(void);
/* Reads and writes the BAR by the file. */
void peek(size_t offset, void *target, size_t length);
void poke(size_t offset, const void *source, size_t length);
/* Forgets the accesses so far; the accesses since, at most `most`: returns how many there were. */
void forget(void);
size_t accesses(struct access *list, size_t most);

extern const struct task form_tasks[], life_tasks[], signal_tasks[], state_tasks[], edge_tasks[],
	change_tasks[];

/* A process beside, which knows nothing of the device. */
void start_stranger(void);

#endif
