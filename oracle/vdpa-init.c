/*
 * The first process of the guest with vDPA's simulators: makes a network device, /dev/vhost-vdpa-0, and a
 * block device, /dev/vhost-vdpa-1, as `vdpa dev add` does, by generic netlink (linux/vdpa.h).
 */
#include <linux/genetlink.h>
#include <linux/vdpa.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "guest.h"

#define WAITS 200
#define WAIT_MICROSECONDS 10000

static const char *const modules[] = { "irqbypass", "vhost_iotlb", "vringh", "vhost", "vdpa", "vhost_vdpa",
				       "vdpa_sim", "vdpa_sim_net", "vdpa_sim_blk" };

struct request {
	struct nlmsghdr header;
	struct genlmsghdr call;
	char attributes[128];
};

static void begin_request(struct request *request, uint16_t family, uint8_t command)
{
	memset(request, 0, sizeof(*request));
	request->header.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN);
	request->header.nlmsg_type = family;
	request->header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	request->call.cmd = command;
	request->call.version = 1;
}

static void add_text(struct request *request, uint16_t type, const char *text)
{
	struct nlattr *at = (struct nlattr *)((char *)request + request->header.nlmsg_len);

	at->nla_type = type;
	at->nla_len = NLA_HDRLEN + strlen(text) + 1;
	strcpy((char *)at + NLA_HDRLEN, text);
	request->header.nlmsg_len += NLA_ALIGN(at->nla_len);
}

/* The number of the family "vdpa", or 0. */
static uint16_t find_family(int netlink)
{
	char answer[4096];
	struct request request;
	ssize_t length;

	begin_request(&request, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
	add_text(&request, CTRL_ATTR_FAMILY_NAME, VDPA_GENL_NAME);
	send(netlink, &request, request.header.nlmsg_len, 0);
	length = recv(netlink, answer, sizeof(answer), 0);
	for (ssize_t at = NLMSG_LENGTH(GENL_HDRLEN); at + NLA_HDRLEN <= length;) {
		struct nlattr *each = (struct nlattr *)(answer + at);

		if (each->nla_type == CTRL_ATTR_FAMILY_ID) {
			recv(netlink, answer + sizeof(answer) / 2, sizeof(answer) / 2, 0);
			return *(uint16_t *)((char *)each + NLA_HDRLEN);
		}
		at += NLA_ALIGN(each->nla_len);
	}
	return 0;
}

static void add_device(int netlink, uint16_t family, const char *name, const char *manager)
{
	char answer[4096] = "";
	struct nlmsghdr *header = (struct nlmsghdr *)answer;
	struct request request;

	begin_request(&request, family, VDPA_CMD_DEV_NEW);
	add_text(&request, VDPA_ATTR_MGMTDEV_DEV_NAME, manager);
	add_text(&request, VDPA_ATTR_DEV_NAME, name);
	send(netlink, &request, request.header.nlmsg_len, 0);
	if (recv(netlink, answer, sizeof(answer), 0) < 0 || header->nlmsg_type != NLMSG_ERROR ||
	    *(int *)NLMSG_DATA(header))
		fprintf(stderr, "no device of %s\n", manager);
}

static void await(const char *path)
{
	for (int n = 0; n < WAITS && access(path, F_OK); n++)
		usleep(WAIT_MICROSECONDS);
}

int main(void)
{
	uint16_t family;
	int netlink;

	begin_guest();
	load_modules(modules, sizeof(modules) / sizeof(modules[0]));
	netlink = socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC);
	family = find_family(netlink);
	add_device(netlink, family, "net", "vdpasim_net");
	await("/dev/vhost-vdpa-0");
	add_device(netlink, family, "blk", "vdpasim_blk");
	await("/dev/vhost-vdpa-1");
	return end_guest();
}
