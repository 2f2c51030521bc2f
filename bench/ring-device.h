/*
 * The reference device of the benchmark `ring`: a process of its own that answers GET_ID as plain C would.
 * Like ours it trusts nothing: an index, a chain or an IOVA is looked at before it leads anywhere. It serves
 * all that is available at a kick, shows all of it at once, and interrupts once if that is wanted.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "ring.h"

/* A request: its parts that can be read, then its parts that can be written. */
struct chain {
	struct {
		uint8_t *at;
		uint32_t length;
	} parts[RING_SIZE];
	int count, readable;
};

static uint8_t *reached(const struct ring *ring, uint64_t iova, uint32_t length)
{
	uint64_t offset = iova - BASE;

	return offset < MEMORY_BYTES && length <= MEMORY_BYTES - offset ? ring->memory + offset : NULL;
}

/* Follows the chain at descriptor `index`. Returns whether it makes sense. */
static int walk(const struct ring *ring, unsigned index, struct chain *chain)
{
	chain->count = chain->readable = 0;
	while (index < RING_SIZE && chain->count < RING_SIZE) {
		struct descriptor descriptor = ring->descriptors[index];
		uint8_t *at = reached(ring, descriptor.address, descriptor.length);
		int writes = (descriptor.flags & WRITE) != 0;

		if (at == NULL || (!writes && chain->readable < chain->count))
			return 0;
		chain->parts[chain->count].at = at;
		chain->parts[chain->count++].length = descriptor.length;
		chain->readable += !writes;
		if ((descriptor.flags & NEXT) == 0)
			return 1;
		index = descriptor.next;
	}
	return 0;
}

/* Returns the bytes written. */
static uint32_t serve(const struct chain *chain)
{
	struct {
		uint32_t type, priority;
		uint64_t sector;
	} header;
	static const char id[ID_BYTES] = ID;

	if (chain->count != 3 || chain->readable != 1 || chain->parts[0].length != sizeof header ||
	    chain->parts[1].length != sizeof id || chain->parts[2].length != 1)
		exit(1);
	memcpy(&header, chain->parts[0].at, sizeof header);
	if (header.type != GET_ID)
		exit(1);
	memcpy(chain->parts[1].at, id, sizeof id);
	*chain->parts[2].at = 0;
	return sizeof id + 1;
}

/* Serves all that is available from position `next` on. Returns the position behind it. */
static uint16_t serve_all(const struct ring *ring, uint16_t next)
{
	struct chain chain;
	uint64_t one = 1;
	uint16_t available = __atomic_load_n(&ring->available->index, __ATOMIC_ACQUIRE);

	if ((uint16_t)(available - next) > RING_SIZE)
		exit(1);
	if (available == next)
		return next;
	for (; next != available; next++) {
		unsigned head = ring->available->heads[next % RING_SIZE];
		if (!walk(ring, head, &chain))
			exit(1);
		ring->used->elements[next % RING_SIZE].head = head;
		ring->used->elements[next % RING_SIZE].length = serve(&chain);
	}
	__atomic_store_n(&ring->used->index, next, __ATOMIC_RELEASE);
	__sync_synchronize();
	if ((ring->available->flags & NO_INTERRUPT) == 0 &&
	    write(ring->call, &one, sizeof one) != sizeof one)
		exit(1);
	return next;
}

/* Serves kicks for ever, by an event loop as servers of more than one descriptor have it. */
static void device(const struct ring *ring)
{
	uint16_t next = 0;
	uint64_t kicks;
	int set = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN};

	if (set < 0 || epoll_ctl(set, EPOLL_CTL_ADD, ring->kick, &event) != 0)
		exit(1);
	while (epoll_wait(set, &event, 1, -1) == 1) {
		if (read(ring->kick, &kicks, sizeof kicks) != sizeof kicks)
			exit(1);
		next = serve_all(ring, next);
	}
}
