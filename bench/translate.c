/*
 * Reference of the benchmark `translate`: random IOVAs looked up in the radix table of radix.h.
 *
 * Usage: translate REGIONS QUERIES [PASIDS]. It builds the table, which 1 or 2 PASIDs stand for in turn, then
 * does two passes over all queries for every line that it reads from stdin, one to have the caches back and a
 * measured one, and prints the nanoseconds of one lookup, so that its passes can take turns with those of the
 * other side. Query i is read from two int32 arrays (upper and lower half of the IOVA), as the other side has
 * it. Each pass adds up the addresses that it found (modulo 2^32); a sum that is not the expected one ends
 * the program with status 1.
 */
#include "radix.h"

struct queries {
	uint32_t count;
	int32_t *hi, *lo;
};

static uint64_t requester_translate(struct table **pasids, uint32_t pasid, int32_t hi, int32_t lo,
				    uint64_t rights)
{
	const struct table *root = pasids[pasid];
	return root ? radix_translate(root, (uint64_t)(uint32_t)hi << 32 | (uint32_t)lo, rights) : 0;
}

static uint32_t look_up_all(struct table **pasids, uint32_t pasid, uint32_t others,
			    const struct queries *queries)
{
	uint32_t sum = 0;
	for (uint32_t i = 0; i < queries->count; i++)
		sum += (uint32_t)requester_translate(pasids, pasid + (i & others), queries->hi[i],
						     queries->lo[i], WRITE_RIGHT);
	return sum;
}

int main(int argc, char **argv)
{
	if (argc != 3 && argc != 4)
		return 2;
	uint32_t count = strtoul(argv[1], 0, 10), state = 2463534242u, expected = 0;
	struct queries queries = {.count = strtoul(argv[2], 0, 10)};
	struct region *regions = make_regions(count, &state);
	struct table **pasids = new_zeroed(16 * sizeof *pasids);
	volatile uint32_t pasid = 7, others = argc == 4 ? atoi(argv[3]) - 1 : 0;
	pasids[pasid] = new_zeroed(sizeof(struct table));
	pasids[pasid + others] = pasids[pasid];
	/* Physical memory is the regions one after the other, from page 1. */
	uint64_t physical = 4096;
	uint64_t *start = new_zeroed(count * sizeof *start);
	for (uint32_t i = 0; i < count; i++) {
		if (radix_map(pasids[pasid], regions[i].iova, regions[i].pages, physical,
			      READ_RIGHT | WRITE_RIGHT))
			return 1;
		start[i] = physical;
		physical += regions[i].pages << 12;
	}
	queries.hi = new_zeroed(queries.count * sizeof *queries.hi);
	queries.lo = new_zeroed(queries.count * sizeof *queries.lo);
	for (uint32_t i = 0; i < queries.count; i++) {
		uint32_t at = next_random(&state) % count;
		uint32_t offset = next_random(&state) % (uint32_t)(regions[at].pages << 12);
		uint64_t iova = regions[at].iova + offset;
		queries.hi[i] = iova >> 32;
		queries.lo[i] = (int32_t)(uint32_t)iova;
		expected += (uint32_t)(start[at] + offset);
	}
	for (int c; (c = getchar()) != EOF;) {
		if (c != '\n')
			continue;
		uint32_t first = look_up_all(pasids, pasid, others, &queries);
		double begin = cpu_ns();
		uint32_t second = look_up_all(pasids, pasid, others, &queries);
		double took = cpu_ns() - begin;
		if (first != expected || second != expected)
			return 1;
		printf("%.3f\n", took / queries.count);
		fflush(stdout);
	}
	return 0;
}
