/*
 * Reads blocks of an NVMe disk to standard output, as a driver of its own: queues, mapped doorbells, lists of
 * pages (PRP).
 *
 * cc -o nvme nvme.c && npx ioasid run --device nvme,file=disk.img -- ./nvme 0 2048 >blocks
 */
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Registers (NVM Express Base 2.0 §3.1.3), and what enables the controller: entries of 64 and 16 bytes. */
enum { CC = 0x14, CSTS = 0x1c, AQA = 0x24, ASQ = 0x28, ACQ = 0x30, ENABLE = 1 | 6 << 16 | 4 << 20 };
enum { CREATE_SQ = 1, READ = 2, CREATE_CQ = 5, BLOCK = 512, PAGE = 4096, ENTRIES = 16, MOST = 2048 };

struct command {
	uint8_t opcode, flags;
	uint16_t id;
	uint32_t nsid, reserved[4];
	uint64_t prp1, prp2;
	uint32_t words[6];
};

struct completion {
	uint32_t result, reserved;
	uint16_t head, queue, id, status;
};

/* All that the device reaches: it is at IOVA 0. Two pairs of queues, a list of pages, and the data. */
static struct memory {
	struct command commands[2][PAGE / sizeof(struct command)];
	struct completion completions[2][PAGE / sizeof(struct completion)];
	uint64_t list[PAGE / sizeof(uint64_t)];
	uint8_t data[MOST * BLOCK];
} *memory;

static volatile uint32_t *doorbells;
static uint32_t done[2];

static void require(int right, const char *what)
{
	if (right)
		return;
	perror(what);
	exit(1);
}

static int open_device(void)
{
	int container = open("/dev/vfio/vfio", O_RDWR), group = open("/dev/vfio/1", O_RDWR), device;
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.size = (sizeof(*memory) + PAGE - 1) / PAGE * PAGE,
	};

	memory = mmap(NULL, map.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	map.vaddr = (uintptr_t)memory;
	require(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) == 0, "/dev/vfio/1");
	require(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0, "type1");
	require(ioctl(container, VFIO_IOMMU_MAP_DMA, &map) == 0, "MAP_DMA");
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:6a:01.0");
	require(device != -1, "0000:6a:01.0");
	return device;
}

/* Does one command, of queue 0 or 1, and waits until it has completed. */
static void execute(int queue, struct command command)
{
	uint32_t entry = done[queue] % ENTRIES, phase = done[queue] / ENTRIES % 2 == 0;
	volatile struct completion *completion = &memory->completions[queue][entry];

	memory->commands[queue][entry] = command;
	__sync_synchronize();
	doorbells[2 * queue] = (entry + 1) % ENTRIES;
	while ((completion->status & 1) != phase)
		;
	done[queue]++;
	doorbells[2 * queue + 1] = (entry + 1) % ENTRIES;
	if (completion->status >> 1 == 0)
		return;
	fprintf(stderr, "opcode %d: status %#x\n", command.opcode, completion->status >> 1 & 0x7ff);
	exit(1);
}

static uint64_t iova(const void *place)
{
	return (uintptr_t)place - (uintptr_t)memory;
}

static void start(int device)
{
	struct vfio_region_info bar = {.argsz = sizeof(bar), .index = VFIO_PCI_BAR0_REGION_INDEX};
	struct vfio_region_info config = {.argsz = sizeof(config), .index = VFIO_PCI_CONFIG_REGION_INDEX};
	uint16_t memory_and_master = 6;
	uint32_t sizes = (ENTRIES - 1) * 0x10001, enable = ENABLE, status = 0;
	uint64_t submission = iova(memory->commands[0]), completion = iova(memory->completions[0]);

	require(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &bar) == 0, "BAR 0");
	require(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &config) == 0, "configuration space");
	require(pwrite(device, &memory_and_master, 2, config.offset + 4) == 2, "command register");
	require(pwrite(device, &sizes, 4, bar.offset + AQA) == 4, "AQA");
	require(pwrite(device, &submission, 8, bar.offset + ASQ) == 8, "ASQ");
	require(pwrite(device, &completion, 8, bar.offset + ACQ) == 8, "ACQ");
	require(pwrite(device, &enable, 4, bar.offset + CC) == 4, "CC");
	while ((status & 1) == 0)
		require(pread(device, &status, 4, bar.offset + CSTS) == 4, "CSTS");
	doorbells = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, device, bar.offset + 0x1000);
	require(doorbells != MAP_FAILED, "doorbells");
	execute(0, (struct command){.opcode = CREATE_CQ, .prp1 = iova(memory->completions[1]),
				    .words = {(ENTRIES - 1) << 16 | 1, 1}});
	execute(0, (struct command){.opcode = CREATE_SQ, .prp1 = iova(memory->commands[1]),
				    .words = {(ENTRIES - 1) << 16 | 1, 1 << 16 | 1}});
}

int main(int argc, char **argv)
{
	uint64_t first, count;

	if (argc != 3) {
		fprintf(stderr, "usage: %s FIRST-BLOCK BLOCKS\n", argv[0]);
		return 2;
	}
	first = strtoull(argv[1], NULL, 0);
	count = strtoull(argv[2], NULL, 0);
	start(open_device());
	for (uint64_t n; count > 0; first += n, count -= n) {
		n = count < MOST ? count : MOST;
		/* The first page is in the command, and the second one too; more than two are in a list. */
		for (int page = 1; page < MOST * BLOCK / PAGE; page++)
			memory->list[page - 1] = iova(memory->data + page * PAGE);
		uint64_t second = n * BLOCK > 2 * PAGE ? iova(memory->list) : memory->list[0];
		execute(1, (struct command){.opcode = READ, .nsid = 1, .prp1 = iova(memory->data),
					    .prp2 = second, .words = {first, first >> 32, n - 1}});
		require(fwrite(memory->data, BLOCK, n, stdout) == n, "standard output");
	}
	return 0;
}
