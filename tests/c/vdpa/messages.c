/* IOTLB messages: which are taken, and what they return. */
#include "probe.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void update(const char *what, uint64_t iova, uint64_t size, void *va, uint8_t perm)
{
	message(what, 0, VHOST_IOTLB_UPDATE, iova, size, va, perm);
}

static void other(const char *what, uint8_t type, uint64_t iova, uint64_t size, uint8_t perm)
{
	message(what, 0, type, iova, size, NULL, perm);
}

static void probe_updates(void)
{
	map(0, BASE, MEMORY_BYTES, memory);
	map(0, BASE, MEMORY_BYTES, memory);
	map(0, BASE + 0xf000, 0x1000, memory);
	map(1, BASE + 0x100000, 0x1000, memory);
	map(7, BASE + 0x200000, 0x1000, memory);
	update("UPDATE", 0x900000, 0x1000, memory, 0);
	update("UPDATE", 0x910000, 0x1000, memory, 1);
	update("UPDATE", 0x920000, 0x1000, memory, 2);
	update("UPDATE", 0x930000, 0x1000, memory, 9);
	update("UPDATE size 0", 0x940000, 0, memory, 3);
	update("UPDATE unaligned iova", 0x950123, 0x1000, memory, 3);
	update("UPDATE unaligned size", 0x960000, 0x123, memory, 3);
	update("UPDATE unaligned va", 0x970000, 0x1000, memory + 0x10, 3);
	update("UPDATE wraps", -0x1000ul, 0x2000, memory, 3);
	update("UPDATE whole space but 0", -0x1000ul, 0x1000, memory, 3);
	other("MISS", VHOST_IOTLB_MISS, BASE, 0x1000, 3);
	other("ACCESS_FAIL", VHOST_IOTLB_ACCESS_FAIL, BASE, 0x1000, 3);
	other("type 0", 0, BASE, 0x1000, 3);
	other("type 99", 99, BASE, 0x1000, 3);
}

static void probe_kinds_of_memory(void)
{
	void *private = mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *shared = mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int program = open("/proc/self/exe", O_RDONLY);
	void *file = mmap(NULL, 0x1000, PROT_READ, MAP_SHARED, program, 0);

	update("UPDATE of private anonymous", 0xa00000, 0x4000, private, 3);
	update("UPDATE of the same again", 0xa00000, 0x4000, private, 3);
	update("UPDATE of shared anonymous", 0xa10000, 0x4000, shared, 3);
	update("UPDATE of the same again", 0xa10000, 0x4000, shared, 3);
	update("UPDATE va=0x1000 (nothing there)", 0xa20000, 0x1000, (void *)0x1000, 3);
	update("UPDATE va=0x7fffffffe000", 0xa30000, 0x10000, (void *)0x7fffffffe000, 3);
	update("UPDATE va kernel", 0xa40000, 0x1000, (void *)0xffff888000000000, 3);
	update("UPDATE perm RW of a read-only shared file mapping", 0xa50000, 0x1000, file, 3);
	close(program);
}

static void probe_invalidations(void)
{
	other("INVALIDATE of nothing", VHOST_IOTLB_INVALIDATE, 0xf0000000, 0x1000, 0);
	other("INVALIDATE of the middle", VHOST_IOTLB_INVALIDATE, BASE + 0x4000, 0x1000, 0);
	update("UPDATE: what an INVALIDATE of the middle has left", BASE, 0x1000, memory, 3);
	other("INVALIDATE size 0", VHOST_IOTLB_INVALIDATE, BASE, 0, 0);
	other("INVALIDATE all", VHOST_IOTLB_INVALIDATE, 0, ~0ul, 0);
	other("BATCH_BEGIN", VHOST_IOTLB_BATCH_BEGIN, 0, 0, 0);
	other("BATCH_BEGIN again", VHOST_IOTLB_BATCH_BEGIN, 0, 0, 0);
	map(0, BASE, MEMORY_BYTES, memory);
	other("BATCH_END", VHOST_IOTLB_BATCH_END, 0, 0, 0);
	other("BATCH_END again", VHOST_IOTLB_BATCH_END, 0, 0, 0);
}

/* Versions, and lengths of a write. */
static void probe_shapes(void)
{
	struct vhost_iotlb_msg inner = {
		.size = 0x1000, .uaddr = (uintptr_t)memory, .perm = 3, .type = VHOST_IOTLB_UPDATE};
	struct vhost_msg one = {.type = VHOST_IOTLB_MSG, .iotlb = inner};
	struct vhost_msg_v2 two = {.type = VHOST_IOTLB_MSG_V2, .iotlb = inner};
	uint8_t large[200] = {0};

	one.iotlb.iova = 0xb00000;
	line("write(msg v1)", "72 bytes", write(fd, &one, sizeof one), NULL, 0);
	two.iotlb.iova = 0xb10000;
	line("write(msg_v2)", "40 bytes", write(fd, &two, 40), NULL, 0);
	line("write(msg_v2)", "39 bytes", write(fd, &two, 39), NULL, 0);
	line("write(msg_v2)", "3 bytes", write(fd, &two, 3), NULL, 0);
	two.iotlb.iova = 0xb20000;
	memcpy(large, &two, sizeof two);
	line("write(msg_v2)", "200 bytes", write(fd, large, 200), NULL, 0);
	two.type = 3;
	line("write(type 3)", "72 bytes", write(fd, &two, 72), NULL, 0);
	two.type = 0;
	line("write(type 0)", "72 bytes", write(fd, &two, 72), NULL, 0);
	line("write", "0 bytes", write(fd, &two, 0), NULL, 0);
	fact("sizeof", "vhost_msg vhost_msg_v2 vhost_iotlb_msg", 0, "%zu %zu %zu", sizeof one, sizeof two,
	     sizeof inner);
}

static void probe_asids(void)
{
	section = "iotlb, ASID acked";
	reopen();
	own();
	set_backend_features(0x13e);
	for (int asid = 0; asid < 3; asid++)
		map(asid, BASE, MEMORY_BYTES, memory);
	message("INVALIDATE", 1, VHOST_IOTLB_INVALIDATE, 0, 0x1000, NULL, 0);
	message("INVALIDATE", 2, VHOST_IOTLB_INVALIDATE, 0, 0x1000, NULL, 0);
	message("BATCH_BEGIN", 0, VHOST_IOTLB_BATCH_BEGIN, 0, 0, NULL, 0);
	message("UPDATE of another asid in a batch", 1, VHOST_IOTLB_UPDATE, 0xc00000, 0x1000, memory, 3);
	message("BATCH_END of another", 1, VHOST_IOTLB_BATCH_END, 0, 0, NULL, 0);
	message("BATCH_END", 0, VHOST_IOTLB_BATCH_END, 0, 0, NULL, 0);
}

void probe_messages(void)
{
	section = "iotlb, no backend features";
	other("INVALIDATE", VHOST_IOTLB_INVALIDATE, BASE, MEMORY_BYTES, 0);
	other("BATCH_END", VHOST_IOTLB_BATCH_END, 0, 0, 0);
	probe_updates();
	probe_kinds_of_memory();
	probe_invalidations();
	probe_shapes();
	probe_asids();
}
