/*
 * The driver of the benchmark `nvme`, the same for both controllers: random reads of 4 KiB, 32 under way at a
 * time, of a disk whose every page begins with its number.
 *
 * Usage: nvme GROUP|- DISK REQUESTS. The controller is that of a VFIO group, by a type1 container, with its
 * doorbells mapped and an interrupt for its queue; or with - the reference in C (nvme-controller.h). For
 * every line that it reads from stdin it makes REQUESTS requests, all that have ended being made anew by one
 * doorbell, and prints the nanoseconds of one. Every answer is looked at; a wrong one ends the program with
 * status 1.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/vfio.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include "measure.h"
#include "nvme-controller.h"

#define DEPTH 32
#define CC 0x14
#define CSTS 0x1c
#define AQA 0x24
#define ASQ 0x28
#define ACQ 0x30
#define ADMIN_ENTRIES 4
#define ENABLE (1u | 6u << 16 | 4u << 20)
#define DEVICE "0000:6a:01.0"

static struct queues make_queues(int *memfd)
{
	*memfd = memfd_create("nvme", 0);
	check(*memfd >= 0 && ftruncate(*memfd, MEMORY_BYTES) == 0, "memfd");
	uint8_t *memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, *memfd, 0);
	check(memory != MAP_FAILED, "mmap");
	return (struct queues){
		.memory = memory,
		.commands = (struct command *)(memory + COMMANDS),
		.completions = (struct completion *)(memory + COMPLETIONS),
		.tail = (uint32_t *)(memory + DOORBELLS),
		.head = (uint32_t *)(memory + DOORBELLS + 4),
		.kick = -1,
		.interrupt = eventfd(0, EFD_CLOEXEC),
	};
}

/* The reference as a process, which ends with us. */
static void start_reference(struct queues *queues, const char *disk)
{
	struct stat status;
	struct controller controller = {.queues = queues, .file = open(disk, O_RDONLY | O_CLOEXEC)};

	check(controller.file >= 0 && fstat(controller.file, &status) == 0, disk);
	controller.blocks = status.st_size / BLOCK;
	queues->kick = eventfd(0, EFD_CLOEXEC);
	pid_t child = fork();
	check(child >= 0, "fork");
	if (child > 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	serve(&controller);
	exit(1);
}

/* The device of a group, whose address space has our memory from BASE on. */
static int open_device(const char *path, const struct queues *queues)
{
	int container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC), group = open(path, O_RDWR | O_CLOEXEC);
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof map,
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)queues->memory,
		.iova = BASE,
		.size = MEMORY_BYTES,
	};
	int device;

	check(container >= 0 && group >= 0, path);
	check(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) == 0, "SET_CONTAINER");
	check(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0, "SET_IOMMU");
	check(ioctl(container, VFIO_IOMMU_MAP_DMA, &map) == 0, "MAP_DMA");
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, DEVICE);
	check(device >= 0, "GET_DEVICE_FD");
	return device;
}

static uint64_t region(int device, uint32_t index)
{
	struct vfio_region_info info = {.argsz = sizeof info, .index = index};

	check(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info) == 0, "GET_REGION_INFO");
	return info.offset;
}

static void put(int device, uint64_t at, uint64_t value, size_t width)
{
	check(pwrite(device, &value, width, at) == (ssize_t)width, "a register");
}

/* Does one admin command, `n` from 0 on, with its words 10 and 11, and waits for it. */
static void administer(const struct queues *queues, volatile uint32_t *doorbells, int n, uint8_t opcode,
		       uint64_t address, uint32_t word10, uint32_t word11)
{
	struct command *command = (struct command *)(queues->memory + ADMIN_COMMANDS) + n;
	volatile struct completion *completion =
		(struct completion *)(queues->memory + ADMIN_COMPLETIONS) + n;

	*command = (struct command){.opcode = opcode, .id = n, .prp1 = address, .words = {word10, word11}};
	__sync_synchronize();
	doorbells[0] = n + 1;
	while ((completion->status & 1) == 0)
		usleep(100);
	check(completion->status >> 1 == 0, "an admin command");
	doorbells[1] = n + 1;
}

/* Enables the controller and creates queue 1, with interrupt 1. */
static void start_controller(struct queues *queues, const char *group)
{
	int device = open_device(group, queues);
	uint64_t bar = region(device, VFIO_PCI_BAR0_REGION_INDEX);
	struct {
		struct vfio_irq_set set;
		int32_t events[2];
	} irqs = {{.argsz = sizeof irqs,
		   .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		   .index = VFIO_PCI_MSIX_IRQ_INDEX,
		   .count = 2},
		  {-1, queues->interrupt}};
	uint32_t status = 0;

	put(device, region(device, VFIO_PCI_CONFIG_REGION_INDEX) + 4, 6, 2);
	check(ioctl(device, VFIO_DEVICE_SET_IRQS, &irqs) == 0, "SET_IRQS");
	put(device, bar + AQA, (ADMIN_ENTRIES - 1) * 0x10001u, 4);
	put(device, bar + ASQ, BASE + ADMIN_COMMANDS, 8);
	put(device, bar + ACQ, BASE + ADMIN_COMPLETIONS, 8);
	put(device, bar + CC, ENABLE, 4);
	while ((status & 1) == 0)
		check(pread(device, &status, 4, bar + CSTS) == 4, "CSTS");
	volatile uint32_t *doorbells =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, device, bar + 0x1000);
	check(doorbells != MAP_FAILED, "mmap of the doorbells");
	administer(queues, doorbells, 0, 5, BASE + COMPLETIONS, (ENTRIES - 1) << 16 | 1, 1 << 16 | 3);
	administer(queues, doorbells, 1, 1, BASE + COMMANDS, (ENTRIES - 1) << 16 | 1, 1 << 16 | 1);
	queues->tail = doorbells + 2;
	queues->head = doorbells + 3;
}

/* The driver's side of the queue. */
struct driver {
	struct queues queues;
	uint32_t tail, seen, random, pages;
	uint32_t asked[DEPTH];
};

static void write_command(struct driver *driver, uint16_t id)
{
	struct command *command = driver->queues.commands + driver->tail;

	driver->random = driver->random * 1664525u + 1013904223u;
	driver->asked[id] = (driver->random >> 8) % driver->pages;
	*command = (struct command){
		.opcode = READ,
		.id = id,
		.nsid = 1,
		.prp1 = BASE + DATA + id * PAGE,
		.words = {driver->asked[id] * (PAGE / BLOCK), 0, PAGE / BLOCK - 1},
	};
	driver->tail = (driver->tail + 1) % ENTRIES;
}

static void ring(const struct driver *driver)
{
	uint64_t one = 1;

	__atomic_store_n(driver->queues.tail, driver->tail, __ATOMIC_SEQ_CST);
	if (driver->queues.kick >= 0)
		check(write(driver->queues.kick, &one, sizeof one) == sizeof one, "kick");
}

/* Takes the next completion, when there is one. Returns the command's identifier, or -1. */
static int take(struct driver *driver)
{
	struct completion *completion = driver->queues.completions + driver->seen % ENTRIES;
	uint16_t status = __atomic_load_n(&completion->status, __ATOMIC_ACQUIRE);
	uint16_t id = completion->id;

	if ((status & 1) == driver->seen / ENTRIES % 2)
		return -1;
	driver->seen++;
	uint32_t *data = (uint32_t *)(driver->queues.memory + DATA + id * PAGE);
	if (status >> 1 != 0 || id >= DEPTH || *data != driver->asked[id]) {
		fprintf(stderr, "a wrong answer: command %u, status %#x\n", id, status >> 1);
		exit(1);
	}
	*data = ~0u;
	return id;
}

/* Makes `count` requests and waits for all of them. */
static void pass(struct driver *driver, long count)
{
	long made = 0, ended = 0;
	uint64_t interrupts;

	for (; made < DEPTH && made < count; made++)
		write_command(driver, made);
	ring(driver);
	while (ended < count) {
		long before = made, had = ended;
		for (int id; (id = take(driver)) >= 0; ended++)
			if (made < count) {
				write_command(driver, id);
				made++;
			}
		if (ended > had)
			__atomic_store_n(driver->queues.head, driver->seen % ENTRIES, __ATOMIC_RELEASE);
		if (made > before)
			ring(driver);
		if (ended == had)
			check(read(driver->queues.interrupt, &interrupts, 8) == 8, "interrupt");
	}
}

int main(int argc, char **argv)
{
	int memfd;
	struct stat status;
	if (argc != 4 || stat(argv[2], &status) != 0)
		return 2;
	long requests = strtol(argv[3], 0, 10);
	struct driver driver = {.queues = make_queues(&memfd), .random = 1, .pages = status.st_size / PAGE};
	if (strcmp(argv[1], "-") == 0)
		start_reference(&driver.queues, argv[2]);
	else
		start_controller(&driver.queues, argv[1]);
	for (int c; (c = getchar()) != EOF;) {
		if (c != '\n')
			continue;
		double begin = now_ns();
		pass(&driver, requests);
		printf("%.1f\n", (now_ns() - begin) / requests);
		fflush(stdout);
	}
	return 0;
}
