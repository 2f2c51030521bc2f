/*
 * Reference of the benchmark `unmap-map`: one 4 KiB page unmapped, mapped again and looked up in the radix
 * table of radix.h, which holds REGIONS such pages.
 *
 * Usage: unmap-map REGIONS PAIRS. For every line that it reads from stdin it does PAIRS pairs, each on a
 * random page, and prints the nanoseconds of one pair. The lookup is part of it because the other side makes
 * its tables only when a DMA wants them. A lookup that finds the wrong page ends the program with status 1.
 */
#include "radix.h"

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	uint32_t count = strtoul(argv[1], 0, 10), pairs = strtoul(argv[2], 0, 10), state = 2463534242u;
	struct region *regions = make_regions(count, &state);
	struct table *root = new_zeroed(sizeof *root);
	for (uint32_t i = 0; i < count; i++)
		if (radix_map(root, regions[i].iova, 1, (uint64_t)(i + 1) << 12, READ_RIGHT | WRITE_RIGHT))
			return 1;
	uint32_t *order = new_zeroed(pairs * sizeof *order);
	for (uint32_t i = 0; i < pairs; i++)
		order[i] = next_random(&state) % count;
	for (int c; (c = getchar()) != EOF;) {
		if (c != '\n')
			continue;
		double begin = cpu_ns();
		for (uint32_t i = 0; i < pairs; i++) {
			uint64_t iova = regions[order[i]].iova;
			uint64_t physical = (uint64_t)(order[i] + 1) << 12;
			radix_unmap(root, iova, 1);
			if (radix_map(root, iova, 1, physical, READ_RIGHT | WRITE_RIGHT))
				return 1;
			if (radix_translate(root, iova, WRITE_RIGHT) != physical)
				return 1;
		}
		printf("%.3f\n", (cpu_ns() - begin) / pairs);
		fflush(stdout);
	}
	return 0;
}
