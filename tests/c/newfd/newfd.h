/* What the files of newfd share: ioctls of /dev/maker, and how a file is made and looked at. */
#ifndef NEWFD_H
#define NEWFD_H

#include <stdint.h>

#include "check.h"

/* The same numbers as in src/testkit/new-fd-server.ts. */
#define GET_DEVICE_FD 0x3b6a
#define FAULT_QUEUE_ALLOC 0x3b8e
#define NUMBER 0x3b01
#define PRESENTED 0x3b02
#define LIVING 0x3b03
#define KEPT 0x3b04

enum { KILL_BEFORE = 1, KILL_AFTER = 2, REFUSE = 4, TWICE = 8, BUG = 16 };

struct alloc {
	uint32_t size, flags, number;
	int32_t fd;
};

/* The first open file. */
extern int maker;

int open_maker(void);
/* How many descriptors this process has. */
int descriptors(void);
/* The number that the next descriptor gets. */
int next_descriptor(void);
/* Makes a file, checks that it is the one it says, and returns its descriptor. */
int make(int on);
/* Waits until the server has so many files. */
void living_becomes(int count);

extern const struct task call_tasks[], race_tasks[];

#endif
