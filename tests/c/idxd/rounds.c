/*
 * Programs that come and go: each opens a work queue, has memory of its own moved by write or by the portal,
 * and ends in the middle of it, by a close, an exit or a kill. What is moved is always its own, and right.
 */
#define _GNU_SOURCE
#include "idxd.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 8, LENGTH = 1 << 17, AT_ONCE = 4 };

static struct dsa_completion_record records[MOST] __attribute__((aligned(32)));
static uint8_t sources[MOST][LENGTH], targets[MOST][LENGTH];

static struct dsa_hw_desc new_move(int i, uint8_t byte)
{
	uint32_t size = 1 + random() % (random() % 4 ? PAGE : LENGTH);
	struct dsa_hw_desc move = descriptor(DSA_OPCODE_MEMMOVE, 0, sources[i], targets[i], size);

	memset(sources[i], byte, size);
	memset(targets[i], ~byte, size);
	records[i].status = DSA_COMP_NONE;
	move.completion_addr = (uintptr_t)&records[i];
	/* Not the program's to choose. */
	move.pasid = random();
	move.priv = 1;
	return move;
}

static void submit(int wq, volatile char *portal, bool is_shared, const struct dsa_hw_desc *moves, int count)
{
	for (int done = 0; done < count;) {
		ssize_t written;

		if (portal != NULL) {
			(is_shared ? enqcmd : movdir64b)(portal + 64 * (random() % 64), &moves[done++]);
			continue;
		}
		written = write(wq, &moves[done], (count - done) * DESCRIPTOR);
		CHECK(written > 0 ? written % DESCRIPTOR == 0 : written < 0 && errno == EAGAIN);
		done += written > 0 ? written / DESCRIPTOR : 0;
	}
}

/* One program. Half of those that are not done with it are killed, the others exit. */
static void program(unsigned int seed)
{
	bool is_shared = seed % 3 != 0;
	int wq = open(is_shared ? SHARED : DEDICATED, O_RDWR);
	volatile char *portal;

	srandom(seed);
	if (wq < 0 && errno == EBUSY && !is_shared)
		return;
	CHECK(wq >= 0);
	portal = random() % 2 ? portal_of(wq) : NULL;
	for (int rounds = random() % 20; rounds > 0; rounds--) {
		struct dsa_hw_desc moves[MOST];
		int count = 1 + random() % MOST;

		for (int i = 0; i < count; i++)
			moves[i] = new_move(i, seed + rounds + i);
		submit(wq, portal, is_shared, moves, count);
		if (random() % 30 == 0)
			raise(SIGKILL);
		if (random() % 30 == 0)
			return;
		for (int i = 0; i < count; i++) {
			while (*(volatile uint8_t *)&records[i].status == DSA_COMP_NONE)
				sched_yield();
			CHECK(records[i].status == DSA_COMP_SUCCESS);
			CHECK(memcmp(sources[i], targets[i], moves[i].xfer_size) == 0);
		}
	}
	if (random() % 2)
		close(wq);
}

static void rounds(void)
{
	const char *given = getenv("ROUNDS");
	int left = given ? atoi(given) : 100, running = 0;

	while (left > 0 || running > 0) {
		int status;

		for (; left > 0 && running < AT_ONCE; left--, running++) {
			int pid = fork();

			CHECK(pid >= 0);
			if (pid == 0) {
				program(left);
				_exit(0);
			}
		}
		CHECK(wait(&status) > 0);
		CHECK(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
		running--;
	}
}

const struct task round_tasks[] = { { "rounds", rounds }, { NULL, NULL } };
