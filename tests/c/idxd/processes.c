/* Whose memory it is: that of who opened the file, and of nobody whom it was left to. */
#define _GNU_SOURCE
#include "idxd.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

static int is_refused(int wq)
{
	struct dsa_hw_desc nothing = descriptor(DSA_OPCODE_NOOP, 0, NULL, NULL, 0);

	return write(wq, &nothing, DESCRIPTOR) == -1 && errno == EPERM;
}

/* A child can use what it opens, not what it was left, by write or by the mapping. */
static void forked(void)
{
	int wq = open_wq(SHARED), pid;
	volatile void *portal = portal_of(wq);

	pid = fork();
	if (pid == 0) {
		if (!is_refused(wq) || mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, wq, 0) != MAP_FAILED)
			_exit(1);
		move_by(open_wq(SHARED));
		_exit(0);
	}
	CHECK(ended(pid) == 0);
	pid = fork();
	if (pid == 0) {
		struct dsa_hw_desc nothing = descriptor(DSA_OPCODE_NOOP, 0, NULL, NULL, 0);

		enqcmd(portal, &nothing);
		_exit(0);
	}
	CHECK(ended(pid) == -SIGBUS);
	move_by(wq);
	close(wq);
}

/* Of a program that was executed the memory is another, too. */
static void executed(void)
{
	int wq = open_wq(SHARED), pid = fork();

	if (pid == 0) {
		char number[12];

		snprintf(number, sizeof(number), "%d", dup(open_wq(SHARED)));
		setenv("WQ", number, 1);
		execl("/proc/self/exe", "idxd", "inherited", NULL);
		_exit(127);
	}
	CHECK(ended(pid) == 0);
	move_by(wq);
	close(wq);
}

static void inherited(void)
{
	int wq = atoi(getenv("WQ"));

	CHECK(is_refused(wq));
	close(wq);
	move_by(open_wq(SHARED));
}

/* One that dies with work outstanding keeps nobody, and its work queue can be opened again. */
static void killed(void)
{
	enum { LENGTH = 1 << 26 };

	for (int i = 0; i < 3; i++) {
		int pid = fork();

		if (pid == 0) {
			uint8_t *memory = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE,
					       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			struct dsa_hw_desc fill = descriptor(DSA_OPCODE_MEMFILL, 0, NULL, memory, LENGTH);
			int wq = open_wq(i % 2 ? SHARED : DEDICATED);

			for (int n = 0; n < 8; n++)
				if (write(wq, &fill, DESCRIPTOR) != DESCRIPTOR)
					_exit(1);
			raise(SIGKILL);
		}
		CHECK(ended(pid) == -SIGKILL);
	}
	for (int wq = -1; wq < 0; ) {
		wq = open(DEDICATED, O_RDWR);
		CHECK(wq >= 0 || errno == EBUSY);
		if (wq >= 0)
			move_by(wq), close(wq);
	}
}

static void *mover(void *file)
{
	static __thread struct dsa_completion_record own __attribute__((aligned(32)));
	uint8_t source[256], target[256];

	for (int i = 0; i < 50; i++) {
		struct dsa_hw_desc move = { .opcode = DSA_OPCODE_MEMMOVE };

		memset(source, i, sizeof(source));
		memset(&own, 0, sizeof(own));
		move.flags = IDXD_OP_FLAG_CRAV | IDXD_OP_FLAG_RCR;
		move.completion_addr = (uintptr_t)&own;
		move.src_addr = (uintptr_t)source;
		move.dst_addr = (uintptr_t)target;
		move.xfer_size = sizeof(source);
		CHECK(write(*(int *)file, &move, DESCRIPTOR) == DESCRIPTOR);
		while (*(volatile uint8_t *)&own.status == 0)
			;
		CHECK(own.status == DSA_COMP_SUCCESS && memcmp(source, target, sizeof(source)) == 0);
	}
	return NULL;
}

/* Threads have the file in common, as they have their memory. */
static void threads(void)
{
	pthread_t all[4];
	int wq = open_wq(SHARED);

	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&all[i], NULL, mover, &wq) == 0);
	for (int i = 0; i < 4; i++)
		pthread_join(all[i], NULL);
	close(wq);
}

const struct task process_tasks[] = {
	{ "forked", forked }, { "executed", executed }, { "inherited", inherited },
	{ "killed", killed }, { "threads", threads },   { NULL, NULL },
};
