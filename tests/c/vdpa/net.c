/* A network device that hears itself: packets, its control queue, what is left after a reset. */
#include "probe.h"

#include <string.h>

#define RX 0
#define TX 1
#define CONTROL 2
#define HEADER 12

static void start(void)
{
	section = "net data";
	reopen();
	own();
	set_backend_features(0x13e);
	set_features(NET_FEATURES);
	set_status(3);
	set_status(0x0b);
	memset(memory, 0, MEMORY_BYTES);
	map(0, BASE, MEMORY_BYTES, memory);
	for (int queue = 0; queue < 3; queue++) {
		set_ring(queue);
		set_eventfds(queue);
		enable(queue, true);
	}
	map(1, BASE, MEMORY_BYTES, memory);
	VRING(VHOST_VDPA_SET_GROUP_ASID, 1, 1);
	set_status(0x0f);
	VRING(VHOST_VDPA_SET_GROUP_ASID, 1, 0);
}

/* Sends the packet at 0x6000, and waits until so many were sent, and so many received: by another process,
   perhaps, to which a wire leads. */
static bool send(uint8_t to, int sent, int received)
{
	memset(memory + 0x6000 + HEADER, to, 6);
	push(TX, 0);
	bool served = wait_used(TX, sent, PATIENCE_MS);
	wait_used(RX, received, PATIENCE_MS);
	pause_ms(50);
	return served;
}

static void sent(const char *what, uint8_t to, int count, int received)
{
	bool served = send(to, count, received);

	fact("packet", what, served, "tx.used=%u rx.used=%u", used(TX)[1], used(RX)[1]);
}

static void show_received(void)
{
	char digits[2 * 46 + 1];
	static const char hex[] = "0123456789abcdef";

	for (int i = 0; i < 46; i++) {
		digits[2 * i] = hex[memory[0x4000 + i] >> 4];
		digits[2 * i + 1] = hex[memory[0x4000 + i] & 15];
	}
	digits[2 * 46] = 0;
	fact("RX data", "", 0, "%s", digits);
}

/* A command of a class; its data is an address. @return the acknowledgment. */
static bool control(uint8_t class, uint8_t command, int count)
{
	uint8_t *at = memory + 0x7000;

	at[0] = class;
	at[1] = command;
	memset(at + 2, 0x02, 6);
	memory[0x7100] = 0xee;
	descriptors(CONTROL)[0] = (struct descriptor){BASE + 0x7000, 8, NEXT, 1};
	descriptors(CONTROL)[1] = (struct descriptor){BASE + 0x7100, 1, WRITE, 0};
	push(CONTROL, 0);
	bool served = wait_used(CONTROL, count, PATIENCE_MS);
	pause_ms(50);
	return served;
}

static void probe_control(void)
{
	bool served = control(1, 1, 1);
	wait_called(CONTROL);
	fact("cvq", "MAC(1) ADDR_SET(1)", served, "ack=%02x used.len=%u call=%lu", memory[0x7100],
	     used_length(CONTROL, 0), calls(CONTROL));
	served = control(1, 0, 2);
	fact("cvq", "MAC(1) TABLE_SET(0)", served, "ack=%02x", memory[0x7100]);
	served = control(4, 0, 3);
	fact("cvq", "MQ(4)", served, "ack=%02x", memory[0x7100]);
}

static void probe_bases(void)
{
	for (int queue = 0; queue < 3; queue++)
		VRING(VHOST_GET_VRING_BASE, queue, 0xee);
}

void probe_net(void)
{
	uint8_t *packet = memory + 0x6000;

	start();
	descriptors(RX)[0] = (struct descriptor){BASE + 0x4000, 0x1000, WRITE, 0};
	descriptors(RX)[1] = (struct descriptor){BASE + 0x5000, 0x1000, WRITE, 0};
	push(RX, 0);
	push(RX, 1);
	descriptors(TX)[0] = (struct descriptor){BASE + 0x6000, HEADER + 34, 0, 0};
	packet[24] = 0x08;
	memset(packet + 26, 0x77, 20);
	bool served = send(0xff, 1, 1);
	wait_called(TX);
	wait_called(RX);
	fact("packet", "TX of 46 bytes to ff:ff:ff:ff:ff:ff", served,
	     "tx.used=%u len=%u rx.used=%u len=%u call0=%lu call1=%lu", used(TX)[1], used_length(TX, 0),
	     used(RX)[1], used_length(RX, 0), calls(RX), calls(TX));
	show_received();
	sent("to 02:02:02:02:02:02, not its address", 0x02, 2, 1);
	probe_control();
	get_config(0, 12, true);
	sent("to 02:02:02:02:02:02, now its address", 0x02, 3, 2);
	sent("broadcast, no RX buffer left", 0xff, 4, 2);
	probe_bases();
	set_status(0);
	probe_bases();
	get_config(0, 12, true);
}
