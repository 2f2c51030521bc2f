/*
 * Asks a vhost-vdpa file what it answers. Each call is one line, its columns divided by tabs:
 *
 *   device  section  call  arguments  result  errno  bytes that came back, in hexadecimal
 *
 * The rings of a device are in one memfd, mapped by IOTLB messages at BASE: 4 KiB for each queue, and
 * buffers from 0x4000 on.
 */
#ifndef PROBE_H
#define PROBE_H

#define _GNU_SOURCE
#include <linux/vhost.h>
#include <stdbool.h>
#include <stdint.h>

#define BASE 0x100000ul
#define MEMORY_BYTES 0x10000ul
#define RING_SIZE 16
#define DRIVER_OK 4
#define NET_FEATURES 0x308830028ul
#define BLK_FEATURES 0x308007646ul
#define NEXT 1
/* More than a device takes; and how long one is watched that must not do anything. */
#define PATIENCE_MS 20000
#define WATCH_MS 300
#define WRITE 2

/* Of newer headers. */
#ifndef VHOST_VDPA_RESUME
#define VHOST_VDPA_RESUME _IO(VHOST_VIRTIO, 0x7E)
#endif
#ifndef VHOST_VDPA_GET_VRING_DESC_GROUP
#define VHOST_VDPA_GET_VRING_DESC_GROUP _IOWR(VHOST_VIRTIO, 0x7F, struct vhost_vring_state)
#endif
#ifndef VHOST_VDPA_GET_VRING_SIZE
#define VHOST_VDPA_GET_VRING_SIZE _IOWR(VHOST_VIRTIO, 0x82, struct vhost_vring_state)
#endif

struct descriptor {
	uint64_t address;
	uint32_t length;
	uint16_t flags, next;
};

extern int fd, memfd;
extern bool net;
extern const char *path, *section;
extern uint8_t *memory;

/* The line of a call that has returned `result`, with errno as it is now. */
void line(const char *call, const char *arguments, long result, const void *bytes, int length);
/* What a call has not returned by itself: `format` is the last column. */
void fact(const char *call, const char *arguments, int result, const char *format, ...);
/* printf into one of several buffers. */
const char *text(const char *format, ...);

/* Calls, each with its line. `length` bytes of the argument are shown when it succeeds. */
long ask(const char *name, const char *arguments, unsigned long request, void *argument, int length);
#define ASK(request, arguments, argument, length) ask(#request, arguments, request, argument, length)
void ask_vring(const char *name, unsigned long request, unsigned index, unsigned num);
#define VRING(request, index, num) ask_vring(#request, request, index, num)
void ask_file(const char *name, unsigned long request, unsigned index, int file, const char *what);
#define VRING_FILE(request, index, file, what) ask_file(#request, request, index, file, what)
void set_features(uint64_t features);
void set_backend_features(uint64_t features);
void set_status(uint8_t status);
void get_config(uint32_t offset, uint32_t length, bool shown);
void set_config(uint32_t offset, uint32_t length);
void own(void);
/* Closes the file if it is open, and opens it. */
void reopen(void);
long message(const char *what, uint32_t asid, uint8_t type, uint64_t iova, uint64_t size, void *va,
	     uint8_t perm);
void map(uint32_t asid, uint64_t iova, uint64_t size, void *va);

/* Queues. */
struct descriptor *descriptors(int queue);
volatile uint16_t *available(int queue);
volatile uint16_t *used(int queue);
/* Size, base and addresses; then eventfds; then enabled. */
void set_ring(int queue);
void set_eventfds(int queue);
void enable(int queue, bool enabled);
/* Makes the buffer at descriptor `head` available, and kicks. */
void push(int queue, int head);
void kick(int queue);
/* Waits until `count` buffers were used. @return false: not even in so many milliseconds. */
bool wait_used(int queue, int count, int patience_ms);
/* Waits until the call eventfd has counted something. */
void wait_called(int queue);
uint32_t used_length(int queue, int index);
/* What the call eventfd has counted since it was asked last. */
uint64_t calls(int queue);
void pause_ms(int ms);

/* What both devices are asked, and what each is. */
void probe_calls(void);
void probe_messages(void);
void probe_net(void);
void probe_blk(void);
#endif
