/*
 * A 4-level radix table from IOVA pages to physical pages, as IOMMU hardware walks it: 9 bits a level, 512
 * entries of 8 bytes a table, each table malloc'd when it is first needed. It is the reference of the
 * benchmarks `translate` and `unmap-map`.
 *
 * An entry of an inner table is the address of the next table; an entry of a last table is the page's address
 * and its two rights (bit 0 read, bit 1 write). 0 is "nothing here" on every level. Also here, because both
 * sides must do the very same work: the pseudo-random numbers and the regions, which src/bench/workload.ts
 * generates in the same order.
 */
#ifndef RADIX_H
#define RADIX_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "measure.h"

#define READ_RIGHT 1
#define WRITE_RIGHT 2
#define FIRST_PAGE 256

struct table {
	uint64_t entry[512];
};

struct region {
	uint64_t iova;
	uint64_t pages;
};

/* Marsaglia's xorshift32. */
static inline uint32_t next_random(uint32_t *state)
{
	uint32_t x = *state;
	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return *state = x;
}

static inline void *new_zeroed(size_t bytes)
{
	void *p = aligned_alloc(4096, (bytes + 4095) & ~(size_t)4095);
	if (!p) {
		fprintf(stderr, "out of memory\n");
		exit(1);
	}
	__builtin_memset(p, 0, (bytes + 4095) & ~(size_t)4095);
	return p;
}

/* Regions of 4 KiB to 2 MiB, every power of two equally often, with gaps of 0 to 15 pages. */
static inline struct region *make_regions(uint32_t count, uint32_t *state)
{
	struct region *regions = new_zeroed(count * sizeof *regions);
	uint64_t page = FIRST_PAGE;
	for (uint32_t i = 0; i < count; i++) {
		regions[i].pages = 1u << (next_random(state) % 10);
		page += next_random(state) % 16;
		regions[i].iova = page << 12;
		page += regions[i].pages;
	}
	return regions;
}

static inline struct table *next_table(struct table *t, unsigned index)
{
	if (!t->entry[index])
		t->entry[index] = (uintptr_t)new_zeroed(sizeof(struct table));
	return (struct table *)(uintptr_t)t->entry[index];
}

/* The last-level entry of iova; makes the tables on the way. */
static inline uint64_t *leaf_of(struct table *root, uint64_t iova)
{
	struct table *t = next_table(root, iova >> 39 & 511);
	t = next_table(t, iova >> 30 & 511);
	t = next_table(t, iova >> 21 & 511);
	return &t->entry[iova >> 12 & 511];
}

/* Returns 0, or -1 (and has changed nothing) when a page of the range is mapped already. */
static inline int radix_map(struct table *root, uint64_t iova, uint64_t pages, uint64_t physical,
			    uint64_t rights)
{
	for (uint64_t i = 0; i < pages; i++)
		if (*leaf_of(root, iova + (i << 12)))
			return -1;
	for (uint64_t i = 0; i < pages; i++)
		*leaf_of(root, iova + (i << 12)) = (physical + (i << 12)) | rights;
	return 0;
}

/* Tables stay, as they do in most IOMMU drivers, until the address space goes. */
static inline void radix_unmap(struct table *root, uint64_t iova, uint64_t pages)
{
	for (uint64_t i = 0; i < pages; i++)
		*leaf_of(root, iova + (i << 12)) = 0;
}

/* The physical address of iova, or 0 when it is not mapped with all of `rights`. */
static inline uint64_t radix_translate(const struct table *root, uint64_t iova, uint64_t rights)
{
	const struct table *t = root;
	for (int shift = 39; shift > 12; shift -= 9) {
		t = (const struct table *)(uintptr_t)t->entry[iova >> shift & 511];
		if (!t)
			return 0;
	}
	uint64_t leaf = t->entry[iova >> 12 & 511];
	if ((leaf & rights) != rights)
		return 0;
	return (leaf & ~(uint64_t)0xfff) | (iova & 0xfff);
}

#endif
