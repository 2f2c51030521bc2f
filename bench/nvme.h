/*
 * The queues of the benchmark `nvme`, in one memfd that driver and controller have mapped: one pair of I/O
 * queues (NVM Express Base 2.0, 3.3), and a page of data for each command. IOVAs begin at BASE.
 */
#ifndef NVME_H
#define NVME_H
#include <stdint.h>

#define BASE 0x100000ul
#define MEMORY_BYTES 0x40000ul
#define ADMIN_COMMANDS 0x0
#define ADMIN_COMPLETIONS 0x1000
#define COMMANDS 0x2000
#define COMPLETIONS 0x3000
/* The doorbells of the reference; those of ours are in its BAR. */
#define DOORBELLS 0x4000
#define DATA 0x10000
#define ENTRIES 64
#define PAGE 4096
#define BLOCK 512
#define READ 2

struct command {
	uint8_t opcode, flags;
	uint16_t id;
	uint32_t nsid, reserved[4];
	uint64_t prp1, prp2;
	uint32_t words[6];
};

struct completion {
	uint32_t result, reserved;
	uint16_t head, queue, id, status;
};

/* What a process has of the queues: the doorbells of queue 1, and the eventfds of a kick and an interrupt. */
struct queues {
	uint8_t *memory;
	struct command *commands;
	struct completion *completions;
	volatile uint32_t *tail, *head;
	int kick, interrupt;
};
#endif
