/*
 * Every kind of call on the device files, again and again, until somebody kills it: the command of the test
 * of kills. What the parts share.
 *
 * A kind is a function that does not return. Each has a process of its own, and a device of its own, as an
 * open one is nobody else's. Results do not matter, and calls fail while the server dies; that nobody hangs
 * is what the test looks at.
 */
#ifndef RESTLESS_H
#define RESTLESS_H

#include <stdint.h>

enum { PAGE = 4096, PAGES = 4 };

/* Which vfioN is whose. */
enum device {
	REOPENED, GROUPS, OPENS, INTERRUPTS, REGISTERS, PAGES_OF, DMA, IOMMUFD, SWAPPED, MAPPED, PORTAL
};

/* Where the files are. */
extern const char *root;

/* ---- main.c ---- */

int at(const char *name);
int device(enum device number);
uint32_t pasid_of(int ioasid);
/* Where it is mapped; 0 when it is not. */
uint64_t map(int ioasid, uint32_t pasid, void *memory);
void authorize(int device_fd, int ioasid, uint32_t pasid);
void *memory_of_own(void);
int memory_file(uint64_t length);

/* ---- files.c: those that come and go ---- */

void queues(void);
void groups(void);
void reopened(void);
void swapped(void);
void opens(void);
void names(void);
void asks(void);

/* ---- memory.c: what is mapped ---- */

void maps(void);
void pages(void);
void slices(void);
void iommufd(void);

/* ---- devices.c: what is done with a device ---- */

void interrupts(void);
void registers(void);
void dma(void);
void portal(void);

/* ---- mapped.c ---- */

void mapped(void);

/* ---- vdpa.c ---- */

void vdpa(void);

#endif
