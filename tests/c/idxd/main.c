/*
 * Work queues of Linux's idxd: a shared one, wq0.0, and a dedicated one, wq1.0.
 *
 * usage: idxd TASK...
 */
#define _GNU_SOURCE
#include "idxd.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct dsa_completion_record record;

struct dsa_hw_desc descriptor(uint8_t opcode, uint32_t flags, const void *source, void *target, uint32_t size)
{
	struct dsa_hw_desc made = { .opcode = opcode, .flags = IDXD_OP_FLAG_CRAV | IDXD_OP_FLAG_RCR | flags };

	memset(&record, 0, sizeof(record));
	made.completion_addr = (uintptr_t)&record;
	made.src_addr = (uintptr_t)source;
	made.dst_addr = (uintptr_t)target;
	made.xfer_size = size;
	return made;
}

uint8_t completion(void)
{
	volatile uint8_t *status = &record.status;

	while (*status == DSA_COMP_NONE)
		sched_yield();
	return *status;
}

void move_by(int wq)
{
	static uint8_t source[PAGE], target[PAGE];
	static uint8_t next = 1;
	struct dsa_hw_desc move = descriptor(DSA_OPCODE_MEMMOVE, 0, source, target, PAGE);

	memset(source, next++, PAGE);
	CHECK(write(wq, &move, DESCRIPTOR) == DESCRIPTOR);
	CHECK(completion() == DSA_COMP_SUCCESS);
	CHECK(memcmp(source, target, PAGE) == 0);
}

volatile void *portal_of(int wq)
{
	volatile void *portal = mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED | MAP_POPULATE, wq, 0);

	CHECK(portal != MAP_FAILED);
	return portal;
}

void enqcmd(volatile void *portal, const struct dsa_hw_desc *descriptor)
{
	bool retry;

	do
		asm volatile(".byte 0xf2, 0x0f, 0x38, 0xf8, 0x02; setz %0"
			     : "=r"(retry)
			     : "a"(portal), "d"(descriptor)
			     : "memory", "cc");
	while (retry);
}

void movdir64b(volatile void *portal, const struct dsa_hw_desc *descriptor)
{
	asm volatile(".byte 0x66, 0x0f, 0x38, 0xf8, 0x02" ::"a"(portal), "d"(descriptor) : "memory");
}

int ended(int pid)
{
	int status;

	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int open_wq(const char *path)
{
	int wq = open(path, O_RDWR);

	CHECK(wq >= 0);
	return wq;
}

static int run_named(const char *name)
{
	const struct task *all[] = { file_tasks, portal_tasks, process_tasks, round_tasks };

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		for (const struct task *task = all[i]; task->name != NULL; task++)
			if (strcmp(task->name, name) == 0)
				return run_task(task, name);
	printf("no such task: %s\n", name);
	return 2;
}

int main(int argc, char **argv)
{
	int status = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc && status == 0; i++)
		status = run_named(argv[i]);
	return status;
}
