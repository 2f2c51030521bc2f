/*
 * The reference controller of the benchmark `nvme`: a process of its own that reads a file as plain C would.
 * Like ours it trusts nothing: a doorbell, a command or an address is looked at before it leads anywhere. It
 * serves all commands that are there at a kick, and interrupts once for them.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "nvme.h"

struct controller {
	const struct queues *queues;
	int file;
	uint64_t blocks;
	uint32_t fetched, posted;
};

static uint8_t *reached(const struct queues *queues, uint64_t iova, uint64_t length)
{
	uint64_t offset = iova - BASE;

	return offset < MEMORY_BYTES && length <= MEMORY_BYTES - offset ? queues->memory + offset : NULL;
}

/* Returns the status field of the completion, without the phase. */
static uint16_t do_command(const struct controller *controller, const struct command *command)
{
	uint64_t first = command->words[0] | (uint64_t)command->words[1] << 32;
	uint64_t count = (command->words[2] & 0xffff) + 1;
	uint8_t *at = reached(controller->queues, command->prp1, count * BLOCK);

	if (command->opcode != READ || command->flags != 0)
		return 0x001;
	if (command->nsid != 1)
		return 0x00b;
	if (first >= controller->blocks || count > controller->blocks - first)
		return 0x080;
	if (count * BLOCK > PAGE || command->prp1 % PAGE != 0)
		return 0x013;
	if (at == NULL)
		return 0x004;
	ssize_t got = pread(controller->file, at, count * BLOCK, first * BLOCK);
	return got == (ssize_t)(count * BLOCK) ? 0 : 0x281;
}

/* Does all commands that the driver has written. */
static void serve_all(struct controller *controller)
{
	const struct queues *queues = controller->queues;
	uint32_t tail = __atomic_load_n(queues->tail, __ATOMIC_ACQUIRE);
	uint64_t one = 1;

	if (tail >= ENTRIES)
		exit(1);
	if (controller->fetched == tail)
		return;
	while (controller->fetched != tail) {
		struct command command = queues->commands[controller->fetched];
		controller->fetched = (controller->fetched + 1) % ENTRIES;
		uint32_t at = controller->posted % ENTRIES;
		uint16_t phase = controller->posted++ / ENTRIES % 2 == 0;
		uint16_t status = do_command(controller, &command) << 1 | phase;
		struct completion *completion = queues->completions + at;
		completion->result = 0;
		completion->head = controller->fetched;
		completion->queue = 1;
		completion->id = command.id;
		__atomic_store_n(&completion->status, status, __ATOMIC_RELEASE);
	}
	if (write(queues->interrupt, &one, sizeof one) != sizeof one)
		exit(1);
}

/* Serves kicks for ever, by an event loop as servers of more than one descriptor have it. */
static void serve(struct controller *controller)
{
	uint64_t kicks;
	int set = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN};

	if (set < 0 || epoll_ctl(set, EPOLL_CTL_ADD, controller->queues->kick, &event) != 0)
		exit(1);
	while (epoll_wait(set, &event, 1, -1) == 1) {
		if (read(controller->queues->kick, &kicks, sizeof kicks) != sizeof kicks)
			exit(1);
		serve_all(controller);
	}
}
