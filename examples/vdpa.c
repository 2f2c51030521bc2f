/*
 * vDPA: reads the first sector of a virtio disk by /dev/vhost-vdpa-0. What a driver of virtio does is all
 * here: negotiation, a split ring of one request, its memory in the IOTLB, a kick and a call.
 *
 *     cc -o vdpa examples/vdpa.c
 *     npx ioasid run --device virtio-blk,file=disk.img -- ./vdpa
 */
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ENTRIES = 4, READY = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER };
/* Where it all is, for the device. */
#define IOVA 0x100000ull

/* What the device reaches: the ring, and the parts of one request. */
static struct memory {
	struct vring_desc descriptors[ENTRIES];
	struct vring_avail available;
	uint16_t heads[ENTRIES + 1];
	struct vring_used used __attribute__((aligned(16)));
	struct vring_used_elem elements[ENTRIES + 1];
	struct virtio_blk_outhdr header;
	char sector[512];
	uint8_t status;
} *memory;
#define IOVA_OF(field) (IOVA + __builtin_offsetof(struct memory, field))

static int device;

static void call(unsigned long request, void *argument, const char *what)
{
	if (ioctl(device, request, argument) >= 0)
		return;
	perror(what);
	exit(1);
}
#define CALL(request, argument) call(request, argument, #request)

static void set_status(uint8_t status)
{
	CALL(VHOST_VDPA_SET_STATUS, &status);
}

/* The owner maps his own memory for the device, and nobody else can. */
static void map(void)
{
	uint64_t backend = 1ull << VHOST_BACKEND_F_IOTLB_MSG_V2;
	struct vhost_msg_v2 message = {.type = VHOST_IOTLB_MSG_V2,
				       .iotlb = {.iova = IOVA, .size = 4096, .uaddr = (uintptr_t)memory,
						 .perm = VHOST_ACCESS_RW, .type = VHOST_IOTLB_UPDATE}};

	CALL(VHOST_SET_BACKEND_FEATURES, &backend);
	if (write(device, &message, sizeof message) != sizeof message)
		exit(1);
}

static void start_queue(int kick, int called)
{
	struct vhost_vring_state size = {.num = ENTRIES}, base = {0}, enable = {.num = 1};
	struct vhost_vring_file kicks = {.fd = kick}, calls = {.fd = called};
	struct vhost_vring_addr addresses = {.desc_user_addr = IOVA_OF(descriptors),
					     .avail_user_addr = IOVA_OF(available),
					     .used_user_addr = IOVA_OF(used)};

	CALL(VHOST_SET_VRING_NUM, &size);
	CALL(VHOST_SET_VRING_BASE, &base);
	CALL(VHOST_SET_VRING_ADDR, &addresses);
	CALL(VHOST_SET_VRING_KICK, &kicks);
	CALL(VHOST_SET_VRING_CALL, &calls);
	CALL(VHOST_VDPA_SET_VRING_ENABLE, &enable);
}

int main(void)
{
	uint64_t features = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_ACCESS_PLATFORM, count = 1;
	int kick = eventfd(0, EFD_CLOEXEC), called = eventfd(0, EFD_CLOEXEC);

	memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	device = open("/dev/vhost-vdpa-0", O_RDWR | O_CLOEXEC);
	CALL(VHOST_SET_OWNER, NULL);
	set_status(0);
	set_status(READY);
	CALL(VHOST_SET_FEATURES, &features);
	set_status(READY | VIRTIO_CONFIG_S_FEATURES_OK);
	map();
	start_queue(kick, called);
	set_status(READY | VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);

	/* Three descriptors: what is asked, where the sector goes, where the status goes. */
	memory->header = (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_IN, .sector = 0};
	memory->status = 0xff;
	memory->descriptors[0] = (struct vring_desc){IOVA_OF(header), 16, VRING_DESC_F_NEXT, 1};
	memory->descriptors[1] =
		(struct vring_desc){IOVA_OF(sector), 512, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2};
	memory->descriptors[2] = (struct vring_desc){IOVA_OF(status), 1, VRING_DESC_F_WRITE, 0};
	memory->heads[0] = 0;
	__atomic_store_n(&memory->available.idx, 1, __ATOMIC_RELEASE);
	if (write(kick, &count, sizeof count) != sizeof count ||
	    read(called, &count, sizeof count) != sizeof count)
		return 1;
	printf("status %d: %.*s\n", memory->status, 16, memory->sector);
	return memory->status != VIRTIO_BLK_S_OK;
}
