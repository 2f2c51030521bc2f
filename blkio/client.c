/*
 * A client of libblkio's: writes a disk behind vhost-vdpa with many requests at a time over all its queues,
 * flushes, makes every sixteenth block zeros, and reads everything again.
 *
 *     client DEVICE QUEUES BLOCKS SEED       0: what was read is what was written
 *
 * With 0 queues DEVICE is a file, which is to be what was written. Words of block n are a function of n and
 * the seed.
 */
#include <blkio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 4096
#define WORDS (BLOCK / sizeof(uint32_t))
#define DEPTH 64
#define MOST_QUEUES 8

static uint32_t seed;

static uint32_t mix(uint32_t x)
{
	x = (x ^ x >> 16) * 0x7feb352d;
	x = (x ^ x >> 15) * 0x846ca68b;
	return x ^ x >> 16;
}

static int is_zeroed(uint64_t block)
{
	return block % 16 == 15;
}

static void fill(uint32_t *words, uint64_t block)
{
	for (size_t n = 0; n < WORDS; n++)
		words[n] = mix(mix(seed + block) + n);
}

static int is_right(const uint32_t *words, uint64_t block)
{
	uint32_t expected[WORDS] = { 0 };

	if (!is_zeroed(block))
		fill(expected, block);
	return !memcmp(words, expected, BLOCK);
}

static void must(int result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, blkio_get_error_msg());
	exit(1);
}

struct disk {
	struct blkio *blkio;
	struct blkioq *queues[MOST_QUEUES];
	int queue_count;
	uint64_t blocks;
	struct blkio_mem_region memory;
};

/* One request for each block, DEPTH of them at a time on each queue; the blocks go round the queues. */
static void each_block(struct disk *disk, void (*ask)(struct disk *, struct blkioq *, uint64_t, uint8_t *),
		       void (*look)(uint64_t block, const uint8_t *bytes))
{
	struct blkio_completion done[DEPTH];
	uint64_t next = 0;

	while (next < disk->blocks) {
		for (int q = 0; q < disk->queue_count && next < disk->blocks; q++) {
			uint64_t first = next;
			int count = 0;

			for (; count < DEPTH && next < disk->blocks; count++, next++)
				ask(disk, disk->queues[q], next,
				    (uint8_t *)disk->memory.addr + count * BLOCK);
			must(blkioq_do_io(disk->queues[q], done, count, count, NULL), "do_io");
			for (int n = 0; n < count; n++) {
				uint64_t block = (uintptr_t)done[n].user_data;

				if (done[n].ret) {
					fprintf(stderr, "block %llu: error %d\n", (unsigned long long)block,
						done[n].ret);
					exit(1);
				}
				if (look)
					look(block, (uint8_t *)disk->memory.addr + (block - first) * BLOCK);
			}
		}
	}
}

static void ask_write(struct disk *disk, struct blkioq *queue, uint64_t block, uint8_t *bytes)
{
	(void)disk;
	fill((uint32_t *)bytes, block);
	blkioq_write(queue, block * BLOCK, bytes, BLOCK, (void *)(uintptr_t)block, 0);
}

static void ask_zeros(struct disk *disk, struct blkioq *queue, uint64_t block, uint8_t *bytes)
{
	(void)disk;
	(void)bytes;
	if (is_zeroed(block))
		blkioq_write_zeroes(queue, block * BLOCK, BLOCK, (void *)(uintptr_t)block, 0);
	else
		blkioq_flush(queue, (void *)(uintptr_t)block, 0);
}

static void ask_read(struct disk *disk, struct blkioq *queue, uint64_t block, uint8_t *bytes)
{
	(void)disk;
	memset(bytes, 0xee, BLOCK);
	blkioq_read(queue, block * BLOCK, bytes, BLOCK, (void *)(uintptr_t)block, 0);
}

static void look_read(uint64_t block, const uint8_t *bytes)
{
	if (is_right((const uint32_t *)bytes, block))
		return;
	fprintf(stderr, "block %llu was read as something else\n", (unsigned long long)block);
	exit(1);
}

static void connect_disk(struct disk *disk, const char *path)
{
	uint64_t capacity;

	must(blkio_create("virtio-blk-vhost-vdpa", &disk->blkio), "create");
	must(blkio_set_str(disk->blkio, "path", path), "path");
	must(blkio_connect(disk->blkio), "connect");
	must(blkio_set_int(disk->blkio, "num-queues", disk->queue_count), "num-queues");
	must(blkio_start(disk->blkio), "start");
	must(blkio_get_uint64(disk->blkio, "capacity", &capacity), "capacity");
	if (capacity < disk->blocks * BLOCK) {
		fprintf(stderr, "the disk has only %llu bytes\n", (unsigned long long)capacity);
		exit(1);
	}
	must(blkio_alloc_mem_region(disk->blkio, &disk->memory, DEPTH * BLOCK), "alloc_mem_region");
	must(blkio_map_mem_region(disk->blkio, &disk->memory), "map_mem_region");
	for (int n = 0; n < disk->queue_count; n++)
		disk->queues[n] = blkio_get_queue(disk->blkio, n);
}

/* Is the file what was written? */
static int check(const char *path, uint64_t blocks)
{
	uint32_t words[WORDS];
	FILE *file = fopen(path, "rb");

	for (uint64_t n = 0; n < blocks; n++) {
		if (!file || fread(words, BLOCK, 1, file) != 1 || !is_right(words, n)) {
			fprintf(stderr, "%s: block %llu is something else\n", path, (unsigned long long)n);
			return 1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct disk disk = { 0 };

	if (argc != 5)
		return 2;
	disk.queue_count = atoi(argv[2]);
	disk.blocks = strtoull(argv[3], NULL, 10);
	seed = strtoul(argv[4], NULL, 10);
	if (disk.queue_count == 0)
		return check(argv[1], disk.blocks);
	if (disk.queue_count > MOST_QUEUES)
		return 2;
	connect_disk(&disk, argv[1]);
	each_block(&disk, ask_write, NULL);
	each_block(&disk, ask_zeros, NULL);
	each_block(&disk, ask_read, look_read);
	blkio_destroy(&disk.blkio);
	return 0;
}
