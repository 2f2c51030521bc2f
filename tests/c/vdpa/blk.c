/* A disk: requests, suspending, resets, memory that is not there, rings that make no sense. */
#include "probe.h"

#include <linux/virtio_blk.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define HEADER 0x4000
#define STATUS 0x4100
#define DATA 0x5000
#define GET_ID 8
#define NEEDS_RESET 0x40

/* Requests that were made available since the ring is new. */
static int requests;
/* How long each is waited for. */
static int patience_ms = PATIENCE_MS;

/* A request of header, data and status. `header` bytes of the first are given. */
static void ask_blk(const char *what, uint32_t type, uint64_t sector, uint32_t length, bool out,
		    uint32_t header)
{
	struct virtio_blk_outhdr request = {.type = type, .sector = sector};
	char data[49] = "";
	int before = used(0)[1];

	memcpy(memory + HEADER, &request, sizeof request);
	memory[STATUS] = 0xee;
	descriptors(0)[0] = (struct descriptor){BASE + HEADER, header, NEXT, length > 0 ? 1 : 2};
	descriptors(0)[1] = (struct descriptor){BASE + DATA, length, NEXT | (out ? 0 : WRITE), 2};
	descriptors(0)[2] = (struct descriptor){BASE + STATUS, 1, WRITE, 0};
	if (!out)
		memset(memory + DATA, 0xaa, 0x2000);
	push(0, 0);
	bool served = wait_used(0, before + 1, patience_ms);
	if (served)
		wait_called(0);
	pause_ms(20);
	for (int i = 0; i < 24 && length > 0; i++)
		sprintf(data + 2 * i, "%02x", memory[DATA + i]);
	fact("request", text("%s type=%u sector=%#lx len=%u", what, type, sector, length), served,
	     "status=%02x used.len=%u call=%lu data=%s", memory[STATUS],
	     served ? used_length(0, before) : 0, calls(0), data);
	requests++;
}

static void in(const char *what, uint32_t type, uint64_t sector, uint32_t length)
{
	ask_blk(what, type, sector, length, false, 16);
}

static void out(const char *what, uint32_t type, uint64_t sector, uint32_t length)
{
	ask_blk(what, type, sector, length, true, 16);
}

static void get_id(const char *what)
{
	in(what, GET_ID, 0, 20);
}

/* A request that no device serves. */
static void in_vain(const char *what, uint32_t type, uint32_t length)
{
	patience_ms = WATCH_MS;
	in(what, type, 0, length);
	patience_ms = PATIENCE_MS;
}

/* A request about segments; two, when there is room for them. */
static void clear(const char *what, uint32_t type, uint64_t sector, uint32_t count, uint32_t flags,
		  uint32_t length)
{
	struct virtio_blk_discard_write_zeroes segment = {sector, count, flags};

	memset(memory + DATA, 0, 64);
	memcpy(memory + DATA, &segment, sizeof segment);
	memcpy(memory + DATA + sizeof segment, &segment, sizeof segment);
	out(what, type, 0, length);
}

static void status_line(const char *what)
{
	uint8_t status = 0xee;

	ASK(VHOST_VDPA_GET_STATUS, what, &status, 1);
}

/* Waits until the device has set `bit` in its status. */
static void wait_status(uint8_t bit)
{
	uint8_t status = 0;

	for (int left = PATIENCE_MS; left > 0 && (status & bit) == 0; left -= 5) {
		pause_ms(5);
		ioctl(fd, VHOST_VDPA_GET_STATUS, &status);
	}
}

static void base_line(void)
{
	VRING(VHOST_GET_VRING_BASE, 0, 0xee);
}

/* A new owner, and what is said before memory is mapped. */
static void begin(const char *what, uint64_t backend_features)
{
	section = what;
	reopen();
	own();
	set_backend_features(backend_features);
	set_features(BLK_FEATURES);
}

static void set_queue(void)
{
	set_ring(0);
	set_eventfds(0);
}

/* As `begin`, then up to a queue that runs. */
static void start(const char *what, uint64_t mapped)
{
	begin(what, 0x13e);
	set_status(0x0b);
	memset(memory, 0, MEMORY_BYTES);
	map(0, BASE, mapped, memory);
	set_queue();
	enable(0, true);
	set_status(0x0f);
	requests = 0;
}

static void probe_requests(void)
{
	get_id("GET_ID");
	in("GET_ID short buffer", GET_ID, 0, 4);
	in("GET_ID long buffer", GET_ID, 0, 64);
	memset(memory + DATA, 0x5a, 512);
	out("OUT", 1, 5, 512);
	in("IN", 0, 5, 512);
	in("IN last sector", 0, 0x3ffff, 512);
	in("IN past the end", 0, 0x40000, 512);
	in("IN crossing the end", 0, 0x3ffff, 1024);
	in("IN 100 bytes", 0, 5, 100);
	out("OUT no data", 1, 5, 0);
	in("IN no data", 0, 5, 0);
	in("IN no data past the end", 0, 0x40000, 0);
	in("FLUSH", 4, 0, 0);
	in("FLUSH sector 1", 4, 1, 0);
	in("type 99", 99, 0, 0);
	in("GET_LIFETIME", 10, 0, 16);
	out("SECURE_ERASE", 14, 0, 16);
	ask_blk("header of 8 bytes", 0, 0, 512, false, 8);
	clear("DISCARD", 11, 5, 1, 0, 16);
	in("IN after it", 0, 5, 512);
	clear("DISCARD flags 1", 11, 5, 1, 1, 16);
	clear("DISCARD 2 segments", 11, 5, 1, 0, 32);
	clear("DISCARD past the end", 11, 0x40000, 1, 0, 16);
	clear("DISCARD too many", 11, 0, 0x40001, 0, 16);
	clear("WRITE_ZEROES flags 2", 13, 5, 1, 2, 16);
	clear("WRITE_ZEROES n=0", 13, 5, 0, 0, 16);
	clear("WRITE_ZEROES UNMAP", 13, 5, 1, 1, 16);
	in("IN after it", 0, 5, 512);
}

static void probe_data(void)
{
	struct vhost_vring_addr addresses = {
		.desc_user_addr = BASE, .avail_user_addr = BASE + 0x400, .used_user_addr = BASE + 0x800};

	begin("blk data", 0x13e);
	set_status(3);
	set_status(0x0b);
	memset(memory, 0, MEMORY_BYTES);
	map(0, BASE, MEMORY_BYTES, memory);
	set_queue();
	enable(0, true);
	VRING(VHOST_VDPA_GET_VRING_SIZE, 0, 0xee);
	set_status(0x0f);
	VRING(VHOST_VDPA_GET_VRING_SIZE, 0, 0xee);
	requests = 0;
	probe_requests();
	base_line();
	VRING(VHOST_SET_VRING_BASE, 0, 3);
	base_line();
	ASK(VHOST_SET_VRING_ADDR, "while DRIVER_OK", &addresses, 0);
	VRING(VHOST_SET_VRING_NUM, 0, 16);
	VRING(VHOST_VDPA_SET_GROUP_ASID, 0, 0);
}

static void probe_suspend(void)
{
	section = "suspend";
	ASK(VHOST_VDPA_SUSPEND, "", NULL, 0);
	ASK(VHOST_VDPA_SUSPEND, "again", NULL, 0);
	status_line("");
	in_vain("GET_ID while suspended", GET_ID, 20);
	base_line();
	ASK(VHOST_VDPA_RESUME, "", NULL, 0);
	wait_used(0, requests, PATIENCE_MS);
	wait_called(0);
	fact("state", "after RESUME", 0, "used.idx - requests=%d status=%02x", used(0)[1] - requests,
	     memory[STATUS]);
	base_line();
	ASK(VHOST_VDPA_RESUME, "again", NULL, 0);
	enable(0, false);
	in_vain("GET_ID while queue disabled", GET_ID, 20);
	enable(0, true);
	pause_ms(100);
	fact("state", "after enable without a kick", 0, "used.idx=%u requests=%d status=%02x", used(0)[1],
	     requests, memory[STATUS]);
	base_line();
}

static void probe_resets(void)
{
	section = "reset, PERSIST acked";
	set_status(0);
	base_line();
	map(0, BASE, 0x1000, memory);
	set_features(BLK_FEATURES);
	set_status(3);
	set_status(0x0b);
	memset(memory, 0, 0x4000);
	set_queue();
	enable(0, true);
	set_status(0x0f);
	get_id("GET_ID with the mappings of before the reset");
	in("IN what was written before the reset", 0, 5, 512);

	section = "reset, PERSIST not acked";
	reopen();
	own();
	set_backend_features(0x6);
	map(0, BASE, MEMORY_BYTES, memory);
	set_status(0);
	map(0, BASE, MEMORY_BYTES, memory);
	set_features(BLK_FEATURES);
	set_status(3);
	set_status(0x0b);
	memset(memory, 0, 0x4000);
	set_queue();
	enable(0, true);
	set_status(0x0f);
	in_vain("GET_ID: mapped, then reset", GET_ID, 20);
}

static void probe_faults(void)
{
	begin("DRIVER_OK without a mapping", 0x13e);
	set_status(0x0f);
	memset(memory, 0, 0x4000);
	set_queue();
	enable(0, true);

	start("faults", 0x5000);
	in("IN to memory that is not mapped", 0, 5, 512);
	out("OUT from memory that is not mapped", 1, 5, 512);
	status_line("");
	message("UPDATE RO", 0, VHOST_IOTLB_UPDATE, BASE + DATA, 0x1000, memory + DATA, VHOST_ACCESS_RO);
	in("IN to memory mapped RO", 0, 5, 512);
	out("OUT from memory mapped RO", 1, 5, 512);
	in("FLUSH: is the queue alive?", 4, 0, 0);
	base_line();
}

static void probe_memory(const char *what, int flags)
{
	uint8_t *before = memory;

	memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
	start(what, MEMORY_BYTES);
	get_id("GET_ID");
	base_line();
	munmap(memory, MEMORY_BYTES);
	memory = before;
}

static void probe_kicks(void)
{
	begin("kick before DRIVER_OK", 0x13e);
	set_status(0x0b);
	memset(memory, 0, MEMORY_BYTES);
	map(0, BASE, MEMORY_BYTES, memory);
	set_queue();
	enable(0, true);
	in_vain("GET_ID before DRIVER_OK", GET_ID, 20);
	set_status(0x0f);
	pause_ms(200);
	fact("state", "after DRIVER_OK, no new kick", 0, "used.idx=%u status=%02x", used(0)[1],
	     memory[STATUS]);
	kick(0);
	wait_used(0, 1, PATIENCE_MS);
	fact("state", "after a new kick", 0, "used.idx=%u status=%02x", used(0)[1], memory[STATUS]);

	begin("queue enabled after DRIVER_OK", 0x17e);
	set_status(0x0b);
	memset(memory, 0, MEMORY_BYTES);
	map(0, BASE, MEMORY_BYTES, memory);
	set_queue();
	set_status(0x0f);
	enable(0, true);
	get_id("GET_ID");
	enable(0, false);
	base_line();
	enable(0, true);
	get_id("GET_ID after disable, enable");
}

static void probe_indirect(void)
{
	struct descriptor *table = (struct descriptor *)(memory + 0x8000);
	struct virtio_blk_outhdr request = {.type = GET_ID};
	int before = used(0)[1];

	section = "indirect, not negotiated";
	memcpy(memory + HEADER, &request, sizeof request);
	memory[STATUS] = 0xee;
	memset(memory + DATA, 0xaa, 64);
	table[0] = (struct descriptor){BASE + HEADER, 16, NEXT, 1};
	table[1] = (struct descriptor){BASE + DATA, 20, NEXT | WRITE, 2};
	table[2] = (struct descriptor){BASE + STATUS, 1, WRITE, 0};
	descriptors(0)[0] = (struct descriptor){BASE + 0x8000, 3 * sizeof *table, 4, 0};
	push(0, 0);
	bool served = wait_used(0, before + 1, PATIENCE_MS);
	pause_ms(20);
	const uint8_t *data = memory + DATA;
	fact("request", "GET_ID by an indirect table", served, "status=%02x data=%02x%02x%02x%02x",
	     memory[STATUS], data[0], data[1], data[2], data[3]);
}

static void probe_rings(void)
{
	section = "avail flag NO_INTERRUPT";
	available(0)[0] = 1;
	get_id("GET_ID");
	available(0)[0] = 0;
	fact("state", "used.flags", 0, "%04x", used(0)[0]);

	section = "bad ring";
	push(0, 99);
	wait_status(NEEDS_RESET);
	status_line("after an available head of 99 of 16");
	fact("state", "used.idx", 0, "%u of %u", used(0)[1], available(0)[1]);
	base_line();
	in_vain("FLUSH after it", 4, 0);
}

void probe_blk(void)
{
	probe_data();
	probe_suspend();
	probe_resets();
	probe_faults();
	probe_memory("rings and data in private anonymous memory", MAP_PRIVATE);
	probe_memory("rings and data in shared anonymous memory", MAP_SHARED);
	probe_kicks();
	probe_indirect();
	probe_rings();
}
