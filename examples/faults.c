/*
 * Page faults: a DSA is to fill pages that are not mapped yet. It asks for each and waits; the program reads
 * the fault from /dev/ioasid, maps the page, and answers.
 *
 *     cc -I include -o faults examples/faults.c
 *     npx ioasid run --device dsa,ready=1 -- ./faults
 */
#include <fcntl.h>
#include <ioasid.h>
#include <linux/idxd.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 3, RECORD = 0x10000, DATA = 0x20000 };

static void must(long result, const char *what)
{
	if (result >= 0)
		return;
	perror(what);
	exit(1);
}

/* Maps the page at `memory` at `iova`. */
static void map(int context, unsigned pasid, uint64_t iova, char *memory)
{
	struct ioasid_map map = {.size = sizeof map,
				 .flags = IOASID_MAP_READ | IOASID_MAP_WRITE | IOASID_MAP_FIXED_IOVA,
				 .pasid = pasid, .user_va = (uintptr_t)memory, .length = PAGE, .iova = iova};
	must(ioctl(context, IOASID_MAP, &map), "IOASID_MAP");
}

int main(void)
{
	int context = open("/dev/ioasid", O_RDWR | O_CLOEXEC);
	int device = open("/dev/vfio/devices/vfio0", O_RDWR | O_CLOEXEC);
	must(context | device, "open");
	int rights = PROT_READ | PROT_WRITE, anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
	char *memory = mmap(NULL, (1 + PAGES) * PAGE, rights, anonymous, -1, 0);
	struct ioasid_alloc alloc = {.size = sizeof alloc, .flags = IOASID_ALLOC_FAULTS,
				     .kind = IOASID_KIND_MAPPED};
	must(ioctl(context, IOASID_ALLOC, &alloc), "IOASID_ALLOC");
	map(context, alloc.pasid, RECORD, memory);
	struct ioasid_authorize authorize = {.size = sizeof authorize, .ioasid_fd = context,
					     .pasid = alloc.pasid};
	must(ioctl(device, IOASID_AUTHORIZE, &authorize), "IOASID_AUTHORIZE");
	/* Regions begin at their index << 40: 7 is configuration space, 2 the BAR with the portals. */
	uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	must(pwrite(device, &command, 2, (7ull << 40) + PCI_COMMAND), "command register");

	struct dsa_hw_desc fill = {.pasid = alloc.pasid, .opcode = DSA_OPCODE_MEMFILL,
				   .flags = IDXD_OP_FLAG_CRAV | IDXD_OP_FLAG_RCR | IDXD_OP_FLAG_BOF,
				   .completion_addr = RECORD, .pattern = 0x5a5a5a5a5a5a5a5a, .dst_addr = DATA,
				   .xfer_size = PAGES * PAGE};
	must(pwrite(device, &fill, sizeof fill, 2ull << 40), "portal");
	for (int n = 1; n <= PAGES; n++) {
		struct pollfd wait = {.fd = context, .events = POLLIN};
		struct ioasid_page_fault fault;

		must(poll(&wait, 1, -1), "poll");
		must(read(context, &fault, sizeof fault), "read of a page fault");
		printf("the device asks for %#llx\n", (unsigned long long)fault.iova);
		map(context, fault.pasid, fault.iova, memory + n * PAGE);
		struct ioasid_page_response response = {.cookie = fault.cookie,
							.code = IOASID_RESPONSE_SUCCESS};
		must(write(context, &response, sizeof response), "write of a response");
	}
	while (*(volatile char *)memory == 0)
		;
	printf("status %d, last byte %#x\n", *memory, memory[(1 + PAGES) * PAGE - 1]);
	return *memory != DSA_COMP_SUCCESS;
}
