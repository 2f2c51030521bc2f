/* The portal of a work queue, mapped: ENQCMD and MOVDIR64B, whatever the processor. */
#define _GNU_SOURCE
#include "idxd.h"

#include <sys/mman.h>
#include <unistd.h>

static void mapped_move(const char *path, void (*submit)(volatile void *, const struct dsa_hw_desc *))
{
	static uint8_t source[PAGE], target[PAGE];
	int wq = open_wq(path);
	volatile char *portal = portal_of(wq);

	for (int i = 0; i < 10; i++) {
		struct dsa_hw_desc move = descriptor(DSA_OPCODE_MEMMOVE, 0, source, target, PAGE);

		memset(source, 0x30 + i, PAGE);
		move.pasid = 0x12345;
		submit(portal + 64 * i, &move);
		CHECK(completion() == DSA_COMP_SUCCESS && memcmp(source, target, PAGE) == 0);
	}
	CHECK(munmap((void *)portal, PAGE) == 0);
	close(wq);
}

static void enqueues(void)
{
	mapped_move(SHARED, enqcmd);
}

static void stores(void)
{
	mapped_move(DEDICATED, movdir64b);
}

/* The descriptors of a batch are the program's memory too. */
static void batches(void)
{
	static struct dsa_hw_desc list[8] __attribute__((aligned(64)));
	static struct dsa_completion_record records[8] __attribute__((aligned(32)));
	static uint8_t target[8];
	int wq = open_wq(SHARED);
	volatile void *portal = portal_of(wq);
	struct dsa_hw_desc batch;

	for (int i = 0; i < 8; i++) {
		list[i] = descriptor(DSA_OPCODE_MEMFILL, 0, NULL, &target[i], 1);
		list[i].pattern = i + 1;
		list[i].completion_addr = (uintptr_t)&records[i];
	}
	batch = descriptor(DSA_OPCODE_BATCH, 0, NULL, NULL, 0);
	batch.desc_list_addr = (uintptr_t)list;
	batch.desc_count = 8;
	enqcmd(portal, &batch);
	CHECK(completion() == DSA_COMP_SUCCESS && record.bytes_completed == 8);
	for (int i = 0; i < 8; i++)
		CHECK(target[i] == i + 1 && records[i].status == DSA_COMP_SUCCESS);
	batch = descriptor(DSA_OPCODE_BATCH, 0, NULL, NULL, 0);
	batch.desc_list_addr = (uintptr_t)list;
	batch.desc_count = 8;
	CHECK(write(wq, &batch, DESCRIPTOR) == DESCRIPTOR && completion() == DSA_COMP_SUCCESS);
	close(wq);
}

/* A portal is one page. What is no store of 64 bytes is nothing to it, and a load has no answer. */
static void narrow(void)
{
	int wq = open_wq(SHARED);
	volatile uint64_t *portal;

	CHECK(mmap(NULL, 2 * PAGE, PROT_WRITE, MAP_SHARED, wq, 0) == MAP_FAILED && errno == EINVAL);
	portal = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, wq, 8 * PAGE);
	CHECK(portal != MAP_FAILED);
	*portal = 1;
	CHECK(*portal == UINT64_MAX);
	close(wq);
	/* The mapping keeps the file open. */
	struct dsa_hw_desc nothing = descriptor(DSA_OPCODE_NOOP, 0, NULL, NULL, 0);

	enqcmd(portal, &nothing);
	CHECK(completion() == DSA_COMP_SUCCESS);
	CHECK(munmap((void *)portal, PAGE) == 0);
}

const struct task portal_tasks[] = {
	{ "enqueues", enqueues }, { "stores", stores }, { "batches", batches },
	{ "narrow", narrow },     { NULL, NULL },
};
