/* What the files of idxd share: a work queue, descriptors for it, and the record that says how one ended. */
#ifndef IDXD_H
#define IDXD_H

#include <linux/idxd.h>
#include <stdbool.h>
#include <stdint.h>

#include "../check.h"

enum { PAGE = 4096, DESCRIPTOR = sizeof(struct dsa_hw_desc) };

#define SHARED "/dev/dsa/wq0.0"
#define DEDICATED "/dev/dsa/wq1.0"

extern struct dsa_completion_record record;

/* A descriptor whose completion is `record`, which is cleared. */
struct dsa_hw_desc descriptor(uint8_t opcode, uint32_t flags, const void *source, void *target,
			      uint32_t size);
/* Waits for the end of the descriptor that was made last. Returns its status. */
uint8_t completion(void);
/* Moves a page by `wq`, and checks what has come there. */
void move_by(int wq);
/* The portal of `wq`, mapped. */
volatile void *portal_of(int wq);
/* ENQCMD, until it is taken; MOVDIR64B. */
void enqcmd(volatile void *portal, const struct dsa_hw_desc *descriptor);
void movdir64b(volatile void *portal, const struct dsa_hw_desc *descriptor);
/* Waits for child `pid`. Returns the status it has exited with, or the negative signal that killed it. */
int ended(int pid);
int open_wq(const char *path);

extern const struct task file_tasks[], portal_tasks[], process_tasks[], round_tasks[];

#endif
