/*
 * The guest of a machine with a virtual Intel IOMMU: it puts edu behind a first-stage page table of its own,
 * as a driver does ("Intel Virtualization Technology for Directed I/O", chapters 3, 6, 9, 11), and has it do
 * DMA at addresses that only this table knows. QEMU hands the table to iommufd, which nests it in the
 * machine's memory. test.sh compiles and starts it.
 */
#include "guest.h"

/* Registers of the IOMMU, which QEMU has at this address */
enum { IOMMU = 0xfed90000u, COMMAND_REG = 0x18, STATUS_REG = 0x1c, ROOT = 0x20 };
enum { QUEUE_HEAD = 0x80, QUEUE_TAIL = 0x88, QUEUE = 0x90 };
enum { TRANSLATE = 1u << 31, SET_ROOT = 1u << 30, ENABLE_QUEUE = 1u << 26 };
enum { SCALABLE = 1u << 10, WIDE_DESCRIPTORS = 1u << 11 };
/* Invalidation descriptors: type, and granularity */
enum { CONTEXTS = 1 | 1 << 4, PASIDS = 7 | 3 << 4, ALL_PAGES = 6 | 2 << 4 };
enum { PAGES = 6 | 3 << 4, WAIT = 5 | 1 << 5 };
/* Entries: bit 0 is "present" in all of them */
enum { PRESENT = 1, FIRST_STAGE = 1 << 6, PASS_THROUGH = 4 << 6, PASIDS_ENABLED = 8, DOMAIN = 5 };
/* Entries of a first-stage table */
enum { WRITABLE = 2, USER = 4, ACCESSED = 32, DIRTY = 64, LARGE = 128, PAGE = 4096 };

enum { WRITER = 0x4e121234 };
/**
 * Addresses for the devices, beyond the 64 MiB of memory: a page each for reading, writing and nothing, and a
 * large page
 */
enum { FROM = 0x8000000, TO = 0x8001000, READ_ONLY = 0x8002000, NOTHING = 0x8003000, MEMORY = 0x8200000 };

typedef unsigned long long u64;
typedef u64 table[PAGE / 8] __attribute__((aligned(4096)));

/* What the IOMMU knows of one device, and one first-stage table. */
struct tables {
	table directory, pasids, level4, level3, level2, level1;
};

static table roots, contexts, queue;
static struct tables of_edu, of_writer;
static u8 other[256] __attribute__((aligned(4096))), before[256];
static volatile u32 waited;
static u32 tail;

static void iommu_write(u32 offset, u32 value) { *(volatile u32 *)(IOMMU + offset) = value; }
static u32 iommu_read(u32 offset) { return *(volatile u32 *)(IOMMU + offset); }

static void set_address(u32 offset, const void *address, u32 flags)
{
	iommu_write(offset, (u32)address | flags);
	iommu_write(offset + 4, 0);
}

/* One of the one-shot or enabling commands, to its end; what is enabled stays so. */
static void command(u32 bit)
{
	iommu_write(COMMAND_REG, (iommu_read(STATUS_REG) & ~SET_ROOT) | bit);
	while (!(iommu_read(STATUS_REG) & bit))
		;
}

static void submit(u64 low, u64 high)
{
	u64 *descriptor = queue + tail * 4;
	descriptor[0] = low;
	descriptor[1] = high;
	descriptor[2] = descriptor[3] = 0;
	tail = (tail + 1) % (PAGE / 32);
	iommu_write(QUEUE_TAIL, tail << 5);
}

/* One invalidation, to its end. */
static void invalidate(u64 low, u64 high)
{
	waited = 0;
	submit(low, high);
	submit(WAIT | 1ull << 32, (u32)&waited);
	while (!waited)
		;
}

static void invalidate_page(u32 iova) { invalidate(PAGES | DOMAIN << 16, iova); }

static u64 *leaf(struct tables *t, u32 iova) { return &t->level1[iova / PAGE % 512]; }

static void map(struct tables *t, u32 iova, const void *page, u32 flags)
{
	*leaf(t, iova) = (u32)page | PRESENT | USER | flags;
}

/* A table with room for the addresses from FROM on, behind the entry `pasid` of `device`. */
static void make_table(struct tables *t, u32 device, u32 pasid)
{
	u64 *context = contexts + device * 8 * 4, *entry = t->pasids + pasid * 8;
	t->level4[0] = (u32)t->level3 | PRESENT | WRITABLE | USER;
	t->level3[0] = (u32)t->level2 | PRESENT | WRITABLE | USER;
	t->level2[FROM >> 21] = (u32)t->level1 | PRESENT | WRITABLE | USER;
	entry[0] = FIRST_STAGE | PRESENT;
	entry[1] = DOMAIN;
	entry[2] = (u32)t->level4;
	t->directory[0] = (u32)t->pasids | PRESENT;
	context[0] = (u32)t->directory | (pasid ? PASIDS_ENABLED : 0) | PRESENT;
}

static void enable(void)
{
	roots[0] = (u32)contexts | PRESENT;
	set_address(ROOT, roots, SCALABLE);
	command(SET_ROOT);
	set_address(QUEUE, queue, WIDE_DESCRIPTORS);
	iommu_write(QUEUE_TAIL, 0);
	command(ENABLE_QUEUE);
	command(TRANSLATE);
	invalidate(CONTEXTS, 0);
	invalidate(PASIDS, 0);
	invalidate(ALL_PAGES | DOMAIN << 16, 0);
}

static void fill(u8 *buffer, u8 value)
{
	for (u32 i = 0; i < sizeof from; i++)
		buffer[i] = value;
}

/* Says what has become of `buffer`, which was filled before something was written to it, or not. */
static void say_written(const char *what, u8 *buffer)
{
	fill(before, 0x55);
	say(what);
	say(same(buffer, from)     ? ": written\n"
	    : same(buffer, before) ? ": not written\n"
				   : ": written, but not with what was read\n");
}

/* Has edu write its internal buffer, which holds what was read from FROM. */
static void written(const char *what, u32 iova, u8 *buffer)
{
	fill(buffer, 0x55);
	dma(BUFFER, iova, 3);
	say_written(what, buffer);
}

/* Has the writer write with `pasid`. */
static void written_with(const char *what, u32 pasid, u32 iova, u8 *buffer)
{
	fill(buffer, 0x55);
	set_reg(0, pasid);
	set_reg(8, iova);
	say_written(what, buffer);
}

static void test_edu(struct tables *t)
{
	dma(FROM, BUFFER, 1);
	written("an address that only the guest's table maps", TO, to);
	say((*leaf(t, FROM) & (ACCESSED | DIRTY)) == ACCESSED &&
			    (*leaf(t, TO) & (ACCESSED | DIRTY)) == (ACCESSED | DIRTY)
		    ? "the entries are marked as accessed, and that of the page written as dirty\n"
		    : "the entries are not marked\n");
	written("the same memory, in a page for reading", READ_ONLY, to);
	written("the same memory, at its address in the machine", (u32)to, to);
	written("the same memory, in a large page", MEMORY + (u32)to, to);

	map(t, TO, other, WRITABLE);
	invalidate_page(TO);
	fill(to, 0x55);
	written("another page, when the table has been changed and invalidated", TO, other);
	say_written("the page before", to);
	*leaf(t, TO) = 0;
	invalidate_page(TO);
	written("the other page, when the table has nothing there any more", TO, other);
	written("the page after, where there never was anything", NOTHING, other);
}

static void test_writer(void)
{
	written_with("PASID 3, an address that its table maps", 3, TO, other);
	written_with("PASID 3, an address that only the other device's table maps", 3, MEMORY + (u32)other,
		     other);
	written_with("PASID 4, which has no entry", 4, TO, other);
	written_with("no PASID, an address in the machine, because these requests pass through", 0, (u32)to,
		     to);
	of_writer.pasids[3 * 8] = 0;
	invalidate(PASIDS, 0);
	written_with("PASID 3, when it has no entry any more", 3, TO, other);
}

static void work(void)
{
	u32 edu, writer = find(WRITER);
	volatile u8 *writer_bar = bar;
	edu = find(EDU);
	if (edu == 32 || writer == 32)
		return;
	set_config(edu, 4, config(edu, 4) | BUS_MASTER);
	set_config(writer, 4, config(writer, 4) | BUS_MASTER);
	for (u32 i = 0; i < sizeof from; i++)
		from[i] = (u8)(i * 7 + 1);
	make_table(&of_edu, edu, 0);
	of_edu.level2[MEMORY >> 21] = 0 | LARGE | PRESENT | WRITABLE | USER;
	map(&of_edu, FROM, from, 0);
	map(&of_edu, TO, to, WRITABLE);
	map(&of_edu, READ_ONLY, to, 0);
	make_table(&of_writer, writer, 3);
	of_writer.pasids[0] = PASS_THROUGH | PRESENT;
	of_writer.pasids[1] = DOMAIN;
	map(&of_writer, TO, other, WRITABLE);
	enable();

	test_edu(&of_edu);
	bar = writer_bar;
	test_writer();
}
