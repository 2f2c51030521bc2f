/*
 * Reference of the benchmark `nested`: random IOVAs looked up through two stages, as IOMMU hardware without
 * an IOTLB does. The first is a table in the format of x86-64 in guest memory, whose addresses the second,
 * the radix table of radix.h, translates: one walk of the second stage for each entry of the first, and one
 * for what it leads to.
 *
 * Usage: nested REGIONS QUERIES HOT. HOT 0: the queries are all at random; otherwise nine of ten go to HOT
 * pages. Passes, output and check are those of translate.c; src/bench/nested.ts generates the same tables and
 * queries.
 */
#include "radix.h"

enum { ENTRY_FLAGS = 0x67 }; /* present, writable, user, accessed, dirty */

/**
 * The guest's memory: tables from guest address 0 on, data from DATA on, of which there is nothing but
 * addresses.
 */
#define DATA (1ull << 40)

struct guest {
	uint8_t *memory;
	uint64_t used, size;
	struct table *second;
};

struct queries {
	uint32_t count;
	int32_t *hi, *lo;
};

static uint64_t *entry_of(struct guest *guest, uint64_t table, unsigned index)
{
	return (uint64_t *)(guest->memory + table) + index;
}

static uint64_t next_guest_table(struct guest *guest, uint64_t table, unsigned index)
{
	uint64_t *entry = entry_of(guest, table, index);
	if (!*entry) {
		if (guest->used == guest->size)
			exit(1);
		*entry = guest->used | ENTRY_FLAGS;
		guest->used += 4096;
	}
	return *entry & ~(uint64_t)0xfff;
}

static void guest_map(struct guest *guest, uint64_t iova, uint64_t pages, uint64_t address)
{
	for (uint64_t i = 0; i < pages; i++, iova += 4096, address += 4096) {
		uint64_t table = next_guest_table(guest, 0, iova >> 39 & 511);
		table = next_guest_table(guest, table, iova >> 30 & 511);
		table = next_guest_table(guest, table, iova >> 21 & 511);
		*entry_of(guest, table, iova >> 12 & 511) = address | ENTRY_FLAGS;
	}
}

static uint64_t nested_translate(const struct table *second, uint64_t iova, uint64_t rights)
{
	uint64_t table = 0, given = ~0ull;
	for (int shift = 39; shift >= 12; shift -= 9) {
		uint64_t at = radix_translate(second, table + (iova >> shift & 511) * 8, READ_RIGHT);
		if (!at)
			return 0;
		uint64_t entry = *(const uint64_t *)(uintptr_t)at;
		if (!(entry & 1) || !(entry & 4))
			return 0;
		given &= entry;
		table = entry & 0xfffffffff000ull;
	}
	return given & rights & WRITE_RIGHT ? radix_translate(second, table + (iova & 0xfff), rights) : 0;
}

static uint32_t look_up_all(struct table **pasids, uint32_t pasid, const struct queries *queries)
{
	uint32_t sum = 0;
	for (uint32_t i = 0; i < queries->count; i++)
		sum += (uint32_t)nested_translate(
			pasids[pasid], (uint64_t)(uint32_t)queries->hi[i] << 32 | (uint32_t)queries->lo[i],
			WRITE_RIGHT);
	return sum;
}

/*
 * Makes the queries: nine of ten are of `hot` pages, if there are any, the others of any. `start` has where
 * each region's data begins. Returns the sum of what the queries lead to.
 */
static uint32_t make_queries(struct queries *queries, const struct region *regions, const uint64_t *start,
			     uint32_t count, uint32_t hot, uint32_t *state)
{
	uint32_t expected = 0;
	uint64_t *hot_iova = new_zeroed((hot + 1) * sizeof *hot_iova);
	uint64_t *hot_start = new_zeroed((hot + 1) * sizeof *hot_start);
	for (uint32_t i = 0; i < hot; i++) {
		uint32_t at = next_random(state) % count;
		uint64_t page = next_random(state) % (uint32_t)regions[at].pages << 12;
		hot_iova[i] = regions[at].iova + page;
		hot_start[i] = start[at] + page;
	}
	queries->hi = new_zeroed(queries->count * sizeof *queries->hi);
	queries->lo = new_zeroed(queries->count * sizeof *queries->lo);
	for (uint32_t i = 0; i < queries->count; i++) {
		uint64_t iova, address;
		if (hot && next_random(state) % 10) {
			uint32_t at = next_random(state) % hot, offset = next_random(state) % 4096;
			iova = hot_iova[at] + offset;
			address = hot_start[at] + offset;
		} else {
			uint32_t at = next_random(state) % count;
			uint32_t offset = next_random(state) % (uint32_t)(regions[at].pages << 12);
			iova = regions[at].iova + offset;
			address = start[at] + offset;
		}
		queries->hi[i] = iova >> 32;
		queries->lo[i] = (int32_t)(uint32_t)iova;
		expected += (uint32_t)address;
	}
	return expected;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	uint32_t count = strtoul(argv[1], 0, 10), hot = strtoul(argv[3], 0, 10);
	uint32_t state = 2463534242u;
	struct queries queries = {.count = strtoul(argv[2], 0, 10)};
	struct region *regions = make_regions(count, &state);
	uint64_t pages = 0, last = (regions[count - 1].iova >> 12) + regions[count - 1].pages;
	struct guest guest = {.used = 4096, .size = (last / 512 + last / 262144 + 16) * 4096};
	guest.second = new_zeroed(sizeof(struct table));
	guest.memory = new_zeroed(guest.size);
	uint64_t *start = new_zeroed(count * sizeof *start);
	for (uint32_t i = 0; i < count; i++) {
		start[i] = DATA + (pages << 12);
		guest_map(&guest, regions[i].iova, regions[i].pages, start[i]);
		pages += regions[i].pages;
	}
	/* The data's addresses are one to one, those of the tables where they are. */
	if (radix_map(guest.second, 0, guest.used >> 12, (uintptr_t)guest.memory, READ_RIGHT | WRITE_RIGHT) ||
	    radix_map(guest.second, DATA, pages, DATA, READ_RIGHT | WRITE_RIGHT))
		return 1;
	struct table *pasids[16] = {0};
	volatile uint32_t pasid = 7;
	pasids[pasid] = guest.second;

	uint32_t expected = make_queries(&queries, regions, start, count, hot, &state);
	for (int c; (c = getchar()) != EOF;) {
		if (c != '\n')
			continue;
		uint32_t first = look_up_all(pasids, pasid, &queries);
		double begin = cpu_ns();
		uint32_t second = look_up_all(pasids, pasid, &queries);
		double took = cpu_ns() - begin;
		if (first != expected || second != expected)
			return 1;
		printf("%.3f\n", took / queries.count);
		fflush(stdout);
	}
	return 0;
}
