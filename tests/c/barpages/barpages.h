/* What the files of barpages share: the device (src/testkit/ringing-device.ts), and its mapped BAR. */
#ifndef BARPAGES_H
#define BARPAGES_H

#include <stdint.h>
#include <sys/types.h>

#include "../check.h"

enum { PAGE = 4096, DOORBELLS = PAGE, MEMORY = 2 * PAGE, MEMORY_BYTES = 4 * PAGE, BAR_BYTES = 8 * PAGE };
/* Registers. */
enum { RINGS = 0x00, BACKWARDS = 0x04, FIRST_WORD = 0x08, ADD = 0x0c };

extern int device;
extern volatile uint8_t *bar;

void open_device(void);
void *map_bar(int protection, off_t offset, size_t length);
/* Memory space is on or off. */
void decode(int on);
/* Is an access there SIGBUS? */
int faults(volatile void *at);
/* How often this process has slept or been stopped. */
long switches(void);

static inline volatile uint32_t *at(off_t offset)
{
	return (volatile uint32_t *)(bar + offset);
}

extern const struct task memory_tasks[], doorbell_tasks[];

#endif
