/* Commands that are ioctls of ioasid.h, and any other ioctl. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "ioasid.h"
#include "fdrules.h"

static void cmd_info(const struct words *words, struct answer *answer)
{
	struct ioasid_info info = {.size = sizeof info};
	if (ioctl(fd_at(words, 1), IOASID_GET_INFO, &info) < 0)
		failed(answer, errno);
	else
		put(answer,
		    "ok pasid_bits=%u address_bits=%u page_sizes=%#llx kinds=%#x table_formats=%#x "
		    "faults=%#x pasid_quota=%u pasids=%u mapping_quota=%u mappings=%u",
		    info.pasid_bits, info.address_bits, (unsigned long long)info.page_sizes, info.kinds,
		    info.table_formats, info.faults, info.pasid_quota, info.pasids, info.mapping_quota,
		    info.mappings);
}

static void cmd_alloc(const struct words *words, struct answer *answer)
{
	struct ioasid_alloc alloc = {
		.size = sizeof alloc, .kind = (__u32)number(words, 2),
		.parent = (__u32)number(words, 3),
	};
	if (ioctl(fd_at(words, 1), IOASID_ALLOC, &alloc) < 0)
		failed(answer, errno);
	else
		put(answer, "ok %u", alloc.pasid);
}

static void cmd_free(const struct words *words, struct answer *answer)
{
	struct ioasid_free request = {.size = sizeof request, .pasid = (__u32)number(words, 2)};
	done(answer, ioctl(fd_at(words, 1), IOASID_FREE, &request));
}

static void cmd_map(const struct words *words, struct answer *answer)
{
	struct ioasid_map map = {
		.size = sizeof map, .pasid = (__u32)number(words, 2), .user_va = number(words, 3),
		.length = number(words, 4), .flags = (__u32)number(words, 5), .iova = number(words, 6),
	};
	if (ioctl(fd_at(words, 1), IOASID_MAP, &map) < 0)
		failed(answer, errno);
	else
		put(answer, "ok %#llx", (unsigned long long)map.iova);
}

static void cmd_mapfile(const struct words *words, struct answer *answer)
{
	struct ioasid_map_file map = {
		.size = sizeof map, .pasid = (__u32)number(words, 2), .fd = fd_at(words, 3),
		.offset = number(words, 4), .length = number(words, 5),
		.flags = (__u32)number(words, 6), .iova = number(words, 7),
	};
	if (ioctl(fd_at(words, 1), IOASID_MAP_FILE, &map) < 0)
		failed(answer, errno);
	else
		put(answer, "ok %#llx", (unsigned long long)map.iova);
}

static void cmd_unmap(const struct words *words, struct answer *answer)
{
	struct ioasid_unmap unmap = {
		.size = sizeof unmap, .pasid = (__u32)number(words, 2), .iova = number(words, 3),
		.length = number(words, 4), .flags = (__u32)number(words, 5),
	};
	if (ioctl(fd_at(words, 1), IOASID_UNMAP, &unmap) < 0)
		failed(answer, errno);
	else
		put(answer, "ok %#llx", (unsigned long long)unmap.length);
}

static void cmd_copy(const struct words *words, struct answer *answer)
{
	struct ioasid_copy copy = {
		.size = sizeof copy, .dst_pasid = (__u32)number(words, 2),
		.src_pasid = (__u32)number(words, 3), .src_iova = number(words, 4),
		.length = number(words, 5), .flags = (__u32)number(words, 6),
		.dst_iova = number(words, 7),
	};
	if (ioctl(fd_at(words, 1), IOASID_COPY, &copy) < 0)
		failed(answer, errno);
	else
		put(answer, "ok %#llx", (unsigned long long)copy.dst_iova);
}

/* Answers `ok ERRNO REASON`, or `ok none`. */
static void cmd_explain(const struct words *words, struct answer *answer)
{
	struct ioasid_explain explain = {.size = sizeof explain};
	if (ioctl(fd_at(words, 1), IOASID_EXPLAIN, &explain) < 0)
		failed(answer, errno);
	else if (explain.error == 0)
		put(answer, "ok none");
	else
		put(answer, "ok %s %.*s", strerrorname_np(explain.error), (int)sizeof explain.reason,
		    explain.reason);
}

static void cmd_authorize(const struct words *words, struct answer *answer)
{
	struct ioasid_authorize request = {
		.size = sizeof request, .ioasid_fd = fd_at(words, 2), .pasid = (__u32)number(words, 3),
		.vpasid = (__u32)number(words, 4),
	};
	done(answer, ioctl(fd_at(words, 1), IOASID_AUTHORIZE, &request));
}

static void cmd_revoke(const struct words *words, struct answer *answer)
{
	struct ioasid_revoke request = {.size = sizeof request, .pasid = (__u32)number(words, 2)};
	done(answer, ioctl(fd_at(words, 1), IOASID_REVOKE, &request));
}

/**
 * Any ioctl on a struct given as bytes. Answers `ok RESULT BYTES` or `err ERRNO BYTES`, with the bytes as
 * they are afterwards.
 */
static void cmd_ioctl(const struct words *words, struct answer *answer)
{
	size_t length;
	unsigned char *bytes = from_hex(word_or(words, 3, ""), 1u << _IOC_SIZEBITS, &length);
	if (bytes == NULL) {
		bad(answer, "hexadecimal digits");
		return;
	}
	returned(answer, ioctl(fd_at(words, 1), (unsigned long)number(words, 2), bytes));
	put_hex(answer, bytes, length);
	free(bytes);
}

/* Any ioctl with any argument, valid or not. */
static void cmd_ioctlat(const struct words *words, struct answer *answer)
{
	returned(answer, ioctl(fd_at(words, 1), (unsigned long)number(words, 2), pointer(number(words, 3))));
}

const struct command ioasid_commands[] = {
	{"info", cmd_info, "FD -> name=value..."},
	{"alloc", cmd_alloc, "FD KIND [PARENT] -> pasid"},
	{"free", cmd_free, "FD PASID"},
	{"map", cmd_map, "FD PASID ADDRESS LENGTH FLAGS [IOVA] -> iova"},
	{"mapfile", cmd_mapfile, "FD PASID FILE OFFSET LENGTH FLAGS [IOVA] -> iova"},
	{"unmap", cmd_unmap, "FD PASID IOVA LENGTH [FLAGS] -> length"},
	{"copy", cmd_copy, "FD TO_PASID FROM_PASID FROM_IOVA LENGTH FLAGS [IOVA] -> iova"},
	{"explain", cmd_explain, "FD -> errno reason, or none"},
	{"authorize", cmd_authorize, "DEVICE IOASID PASID [VPASID]"},
	{"revoke", cmd_revoke, "DEVICE PASID"},
	{"ioctl", cmd_ioctl, "FD NUMBER BYTES -> result bytes"},
	{"ioctlat", cmd_ioctlat, "FD NUMBER ARGUMENT -> result"},
	{NULL, NULL, NULL},
};
