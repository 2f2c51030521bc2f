/* SPDX-License-Identifier: MIT */
/*
 * ioasid.h: the native ABI of /dev/ioasid, and the two ioctls that it adds to every device file.
 *
 * The model. An open file of /dev/ioasid is a security context: whoever holds a descriptor of it controls
 * everything in it, and nobody else does. Inside it, PASIDs are allocated, and memory is mapped at I/O
 * virtual addresses (IOVAs) of a PASID. A device file (/dev/vfio/devices/vfioN) starts with access to no
 * PASID at all. IOASID_AUTHORIZE on the device file presents an ioasid descriptor and names a PASID in it;
 * having both descriptors is the whole check. From then on the device's DMA that carries this PASID reaches
 * what is mapped there, with the rights it is mapped with, and nothing else. dup, fork and SCM_RIGHTS share
 * an open file, as always; the last close releases all that it holds. A device keeps the contexts alive in
 * which it is authorized.
 *
 * Versions. Every struct begins with `size` and `flags`. The caller sets `size` to the sizeof of the struct
 * it was compiled with. Ioctls are told apart by type and number alone; `size` says which version of the
 * struct follows. Structs only grow, at their end, and zero in a field that an older caller does not have
 * means what that caller always got. Therefore:
 *
 *   EINVAL      `size` is less than the struct of the first version, or more than the bytes that the ioctl
 *               number announces; or the number's direction is not that of _IOWR
 *   E2BIG       bytes behind the struct that this server knows are not zero: the caller wants something newer
 *   EOPNOTSUPP  a bit in `flags` that this server does not know, or a reserved field that is not zero
 *
 * The server writes no more than `size` bytes back. Fields of the kind "out" are ignored on the way in.
 *
 * Errors. Every ioctl returns 0, or -1 with errno. A failed ioctl changes nothing: neither state nor the
 * caller's struct. Besides the errnos listed with it, each ioctl may fail with the three above; with EFAULT
 * when the struct's address is bad; with ENOTTY on a file that does not have it; with EPERM when the server
 * may not reach the caller's memory or descriptors; and with ENOMEM or EMFILE when the server has no room, or
 * no descriptors, for more of what callers hand over. What names memory or a descriptor of the caller fails
 * with EPERM when the server may not trace the caller, as a process that is not dumpable. IOASID_EXPLAIN
 * tells in one sentence what was wrong with which value.
 *
 * Units. IOVAs, addresses, offsets and lengths are in bytes. The IOVA page is 4096 bytes, IOVAs have 48 bits;
 * IOASID_GET_INFO tells.
 */
#ifndef IOASID_H
#define IOASID_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* The ioctl type of all numbers below. */
#define IOASID_TYPE ';'

/* Kinds of PASID: what stands behind its IOVAs. IOASID_GET_INFO says which of them can be allocated. */
#define IOASID_KIND_MAPPED 0  /* what IOASID_MAP, IOASID_MAP_FILE and IOASID_COPY put there */
#define IOASID_KIND_NESTED 1  /* a page table of the user, translated once more by a mapped parent PASID */
#define IOASID_KIND_PROCESS 2 /* the address space of the process that allocates it (SVA) */

/*
 * Formats of page tables for nested PASIDs: bits of ioasid_info.table_formats. That of the first stage of
 * Intel VT-d ("Virtualization Technology for Directed I/O", 9.7) is the page table of x86-64: 4 levels of 512
 * entries.
 */
#define IOASID_FORMAT_VTD_S1 0

/* Flags of IOASID_MAP, IOASID_MAP_FILE and IOASID_COPY. At least one of READ and WRITE must be given. */
#define IOASID_MAP_READ (1u << 0)       /* devices may read */
#define IOASID_MAP_WRITE (1u << 1)      /* devices may write */
#define IOASID_MAP_FIXED_IOVA (1u << 2) /* at the given IOVA; without it the server chooses one */

/* Flags of IOASID_UNMAP. */
#define IOASID_UNMAP_ALL (1u << 0) /* unmap everything in the PASID */

/* Flags of IOASID_ALLOC. */
#define IOASID_ALLOC_FAULTS (1u << 0) /* page faults of devices go to the readers of this file */

/* Flags of a page fault: ioasid_page_fault.flags. */
#define IOASID_FAULT_LAST_PAGE (1u << 0) /* the last of its group */

/* Answers to a group of page faults: ioasid_page_response.code. */
#define IOASID_RESPONSE_SUCCESS 0 /* the pages are there: the device accesses them again */
#define IOASID_RESPONSE_INVALID 1 /* they will not be: its access fails */
#define IOASID_RESPONSE_FAILURE 2 /* so, and the device asks for no page any more before it is closed */

/* Flags of IOASID_BIND_PGTABLE. */
#define IOASID_BIND_EXTENDED_ACCESSED (1u << 0) /* entries are also marked in their bit 10 (EAFE) */

/* Flags of IOASID_INVALIDATE. */
#define IOASID_INVALIDATE_LEAF (1u << 0) /* no entry has changed that leads to a table */

/* What an IOASID_INVALIDATE is about: ioasid_invalidate.scope. */
#define IOASID_INVALIDATE_RANGE 0 /* @iova and @length of @pasid */
#define IOASID_INVALIDATE_PASID 1 /* all of @pasid */
#define IOASID_INVALIDATE_ALL 2   /* all nested PASIDs of this context */

/* Flags of IOASID_AUTHORIZE. */
#define IOASID_AUTHORIZE_ASID (1u << 0) /* vpasid is an address space id (ASID) of a vDPA device */

/* Bytes of ioasid_explain.reason, the NUL at its end included. */
#define IOASID_REASON_SIZE 240

/**
 * struct ioasid_info - ioctl(IOASID_GET_INFO), on an ioasid file
 * @size: in: sizeof(struct ioasid_info)
 * @flags: in: must be 0
 * @pasid_bits: out: width of a PASID in bits; PASIDs are 1 .. 2^pasid_bits - 1, never 0
 * @address_bits: out: width of an IOVA in bits
 * @page_sizes: out: bitmap of the IOVA page sizes: bit n stands for pages of 2^n bytes. The lowest one set is
 *              the alignment that IOVAs and lengths need
 * @kinds: out: bit k is set when PASIDs of IOASID_KIND k can be allocated
 * @table_formats: out: bitmap of the page table formats for nested PASIDs: bit n stands for IOASID_FORMAT n;
 *                 0: none
 * @faults: out: bitmap of the I/O page faults that can be delivered to the user: IOASID_MAP_READ,
 *          IOASID_MAP_WRITE; 0: none
 * @pasid_quota: out: PASIDs that this context may hold at a time
 * @pasids: out: PASIDs that it holds now
 * @mapping_quota: out: mappings that this context may hold at a time, over all its PASIDs
 * @mappings: out: mappings that it holds now
 * @__reserved: in: must be 0
 *
 * What this server can do, and what the context uses of it. Fails only as every ioctl may.
 */
struct ioasid_info {
	__u32 size;
	__u32 flags;
	__u32 pasid_bits;
	__u32 address_bits;
	__aligned_u64 page_sizes;
	__u32 kinds;
	__u32 table_formats;
	__u32 faults;
	__u32 pasid_quota;
	__u32 pasids;
	__u32 mapping_quota;
	__u32 mappings;
	__u32 __reserved;
};
#define IOASID_GET_INFO _IOWR(IOASID_TYPE, 0xC0, struct ioasid_info)

/**
 * struct ioasid_alloc - ioctl(IOASID_ALLOC), on an ioasid file
 * @size: in: sizeof(struct ioasid_alloc)
 * @flags: in: IOASID_ALLOC_FAULTS
 * @kind: in: IOASID_KIND_*
 * @parent: in: for IOASID_KIND_NESTED the mapped PASID of this context beneath it; otherwise 0
 * @pasid: out: the new PASID, unique in the whole system while it is allocated
 * @__reserved: in: must be 0
 *
 * Allocates a PASID in this context. It has no mappings and no page table, and no device may use it. While a
 * nested PASID has it as its parent, a mapped one cannot be freed.
 *
 * One of kind process is the whole address space that the calling process has now, at its addresses: what the
 * process may read or write, page by page and as protected at that time, a device may that is authorized for
 * it; anything else is a page fault. When that address space ends, by exec or exit, every DMA faults. Whoever
 * holds a descriptor of this context may authorize a device: handing it over hands over all that memory.
 *
 *   EINVAL      @kind is none of IOASID_KIND_*; @parent is given for a kind that has none, or is not of the
 *               kind mapped
 *   EOPNOTSUPP  @kind is not one that IOASID_GET_INFO offers
 *   EMFILE      the server has no descriptors left to hold a process
 *   ENOENT      @parent is not a PASID of this context
 *   ENOSPC      the context's quota of PASIDs is reached, or the system has no PASID left
 *   EPERM       for IOASID_KIND_PROCESS: the calling process is not dumpable (PR_SET_DUMPABLE), or the server
 *               may not read its memory
 */
struct ioasid_alloc {
	__u32 size;
	__u32 flags;
	__u32 kind;
	__u32 parent;
	__u32 pasid;
	__u32 __reserved;
};
#define IOASID_ALLOC _IOWR(IOASID_TYPE, 0xC1, struct ioasid_alloc)

/**
 * struct ioasid_free - ioctl(IOASID_FREE), on an ioasid file
 * @size: in: sizeof(struct ioasid_free)
 * @flags: in: must be 0
 * @pasid: in: a PASID of this context
 * @__reserved: in: must be 0
 *
 * Removes all mappings of the PASID, or lets go of its page table, and gives it back. Its number may be
 * handed out again, to anyone.
 *
 *   EBUSY       a device is authorized for it, or a nested PASID has it as its parent
 *   ENOENT      @pasid is not a PASID of this context
 */
struct ioasid_free {
	__u32 size;
	__u32 flags;
	__u32 pasid;
	__u32 __reserved;
};
#define IOASID_FREE _IOWR(IOASID_TYPE, 0xC2, struct ioasid_free)

/**
 * struct ioasid_map - ioctl(IOASID_MAP), on an ioasid file
 * @size: in: sizeof(struct ioasid_map)
 * @flags: in: IOASID_MAP_READ, IOASID_MAP_WRITE, IOASID_MAP_FIXED_IOVA
 * @pasid: in: a PASID of this context, of the kind mapped
 * @__reserved: in: must be 0
 * @user_va: in: first byte of the memory, in the caller's address space; aligned to the IOVA page
 * @length: in: bytes to map, a multiple of the IOVA page, not 0
 * @iova: in: with IOASID_MAP_FIXED_IOVA where to map, aligned to the IOVA page; otherwise ignored. out: where
 *        it was mapped. An IOVA that the server chooses is never 0
 *
 * Maps memory of the calling process. The memory is not pinned: a device reaches what is at @user_va of that
 * process when its DMA takes place, and faults when there is nothing, or when the process is gone.
 *
 *   EEXIST      the IOVA range overlaps a mapping
 *   EFAULT      the memory is not mapped in the caller, or not with the rights asked for
 *   EINVAL      @user_va, @length or @iova is not aligned; @length is 0; the IOVA range leaves the IOVA
 *               space; neither READ nor WRITE is given; the PASID is not of the kind mapped
 *   ENOENT      @pasid is not a PASID of this context
 *   ENOSPC      no free IOVA range is long enough, or the context's quota of mappings is reached
 *   EOVERFLOW   the IOVA range wraps around, or @length is more than an IOVA could be chosen for
 */
struct ioasid_map {
	__u32 size;
	__u32 flags;
	__u32 pasid;
	__u32 __reserved;
	__aligned_u64 user_va;
	__aligned_u64 length;
	__aligned_u64 iova;
};
#define IOASID_MAP _IOWR(IOASID_TYPE, 0xC3, struct ioasid_map)

/**
 * struct ioasid_map_file - ioctl(IOASID_MAP_FILE), on an ioasid file
 * @size: in: sizeof(struct ioasid_map_file)
 * @flags: in: IOASID_MAP_READ, IOASID_MAP_WRITE, IOASID_MAP_FIXED_IOVA
 * @pasid: in: a PASID of this context, of the kind mapped
 * @fd: in: the caller's descriptor of a file that can be mapped: a memfd, a file in tmpfs, a regular file
 * @offset: in: first byte of the file, aligned to the IOVA page
 * @length: in: bytes to map, a multiple of the IOVA page, not 0
 * @iova: in, out: as in struct ioasid_map
 *
 * Maps a stretch of a file. It needs no process afterwards: the mapping holds the file, not @fd, and outlives
 * whoever made it. Where the file is truncated later, DMA faults.
 *
 *   EACCES      @fd is not open for the rights asked for
 *   EBADF       @fd is not an open descriptor of the caller
 *   EEXIST      the IOVA range overlaps a mapping
 *   EINVAL      @fd is not a file that can be mapped; the stretch ends behind the end of the file; otherwise
 *               as in struct ioasid_map
 *   ENOENT      @pasid is not a PASID of this context
 *   ENOSPC      no free IOVA range is long enough, or the context's quota of mappings is reached
 */
struct ioasid_map_file {
	__u32 size;
	__u32 flags;
	__u32 pasid;
	__s32 fd;
	__aligned_u64 offset;
	__aligned_u64 length;
	__aligned_u64 iova;
};
#define IOASID_MAP_FILE _IOWR(IOASID_TYPE, 0xC4, struct ioasid_map_file)

/**
 * struct ioasid_unmap - ioctl(IOASID_UNMAP), on an ioasid file
 * @size: in: sizeof(struct ioasid_unmap)
 * @flags: in: IOASID_UNMAP_ALL
 * @pasid: in: a PASID of this context, of the kind mapped
 * @__reserved: in: must be 0
 * @iova: in: first IOVA; ignored with IOASID_UNMAP_ALL
 * @length: in: bytes, not 0; ignored with IOASID_UNMAP_ALL. out: bytes that were unmapped
 *
 * Removes every mapping in the range, and what the IOTLB holds of them, before it returns. The range may
 * cover several mappings and holes between them; it may not cut a mapping in two. IOASID_UNMAP_ALL succeeds,
 * with 0 bytes, where there is nothing to unmap.
 *
 *   EINVAL      @length is 0; the PASID is not of the kind mapped
 *   ENOENT      the range begins or ends inside a mapping; nothing is mapped in the range; or @pasid is not a
 *               PASID of this context
 *   EOVERFLOW   the range wraps around
 */
struct ioasid_unmap {
	__u32 size;
	__u32 flags;
	__u32 pasid;
	__u32 __reserved;
	__aligned_u64 iova;
	__aligned_u64 length;
};
#define IOASID_UNMAP _IOWR(IOASID_TYPE, 0xC5, struct ioasid_unmap)

/**
 * struct ioasid_copy - ioctl(IOASID_COPY), on an ioasid file
 * @size: in: sizeof(struct ioasid_copy)
 * @flags: in: IOASID_MAP_READ, IOASID_MAP_WRITE, IOASID_MAP_FIXED_IOVA: for the new mapping
 * @dst_pasid: in: the PASID of this context to map into, of the kind mapped
 * @src_pasid: in: the PASID of this context to take the memory from, of the kind mapped; may be the same
 * @length: in: bytes, a multiple of the IOVA page, not 0
 * @dst_iova: in: with IOASID_MAP_FIXED_IOVA where to map, aligned to the IOVA page; otherwise ignored. out:
 *   where it was mapped
 * @src_iova: in: first IOVA in @src_pasid, aligned to the IOVA page
 *
 * Maps what another PASID has mapped: the same memory, not the bytes in it. The two are independent
 * afterwards. A range that spans several mappings becomes as many.
 *
 *   EEXIST      the IOVA range in @dst_pasid overlaps a mapping
 *   EINVAL      as in struct ioasid_map
 *   ENOENT      the source range is not mapped from end to end, or one of the PASIDs is not in this context
 *   ENOSPC      no free IOVA range is long enough, or the context's quota of mappings is reached
 *   EPERM       the source is not mapped with the rights asked for
 */
struct ioasid_copy {
	__u32 size;
	__u32 flags;
	__u32 dst_pasid;
	__u32 src_pasid;
	__aligned_u64 length;
	__aligned_u64 dst_iova;
	__aligned_u64 src_iova;
};
#define IOASID_COPY _IOWR(IOASID_TYPE, 0xC6, struct ioasid_copy)

/**
 * struct ioasid_bind_pgtable - ioctl(IOASID_BIND_PGTABLE), on an ioasid file
 * @size: in: sizeof(struct ioasid_bind_pgtable)
 * @flags: in: IOASID_BIND_EXTENDED_ACCESSED
 * @pasid: in: a PASID of this context, of the kind nested
 * @format: in: IOASID_FORMAT_*, one that IOASID_GET_INFO offers
 * @root: in: where the topmost table is, as an IOVA of the parent, aligned to the IOVA page
 * @address_width: in: bits of the addresses that the table translates: 48, for 4 levels
 * @__reserved: in: must be 0
 *
 * Makes a page table that the user owns what the PASID stands for, in place of the one that was bound before.
 * All its addresses are IOVAs of the parent: those of the tables in it, and those that it leads to. An access
 * needs the rights of both stages. Nothing of the table is looked at before a DMA needs it: what is wrong in
 * it is a fault of that DMA. Entries on the way of an access are marked as accessed, and that of the page as
 * dirty when it is written. IOVAs whose bit 47 is set are not translated.
 *
 *   EBUSY       a device is authorized for the PASID
 *   EINVAL      @pasid is not of the kind nested; @format is unknown; @address_width is another than 48;
 *               @root is not aligned, or has more bits than an IOVA
 *   ENOENT      @pasid is not a PASID of this context
 *   ENOMEM      the context has no pages left for what is cached of the table
 */
struct ioasid_bind_pgtable {
	__u32 size;
	__u32 flags;
	__u32 pasid;
	__u32 format;
	__aligned_u64 root;
	__u32 address_width;
	__u32 __reserved;
};
#define IOASID_BIND_PGTABLE _IOWR(IOASID_TYPE, 0xC7, struct ioasid_bind_pgtable)

/**
 * struct ioasid_invalidate - ioctl(IOASID_INVALIDATE), on an ioasid file
 * @size: in: sizeof(struct ioasid_invalidate)
 * @flags: in: IOASID_INVALIDATE_LEAF
 * @pasid: in: a PASID of this context, of the kind nested; ignored with IOASID_INVALIDATE_ALL
 * @scope: in: IOASID_INVALIDATE_RANGE, IOASID_INVALIDATE_PASID or IOASID_INVALIDATE_ALL
 * @iova: in: with IOASID_INVALIDATE_RANGE the first IOVA, aligned to the IOVA page; otherwise ignored
 * @length: in: with IOASID_INVALIDATE_RANGE bytes, a multiple of the IOVA page, not 0; otherwise ignored
 *
 * Forgets what is cached of page tables that users own: to be called when entries were changed that had been
 * present, before devices may rely on it. An entry that was not present is not cached. More may be forgotten
 * than was asked for. What is unmapped from a parent needs no invalidation.
 *
 *   EINVAL      @pasid is not of the kind nested; @scope is unknown; the range is not aligned, is empty, or
 *               leaves the IOVA space
 *   ENOENT      @pasid is not a PASID of this context
 *   EOVERFLOW   the range wraps around
 */
struct ioasid_invalidate {
	__u32 size;
	__u32 flags;
	__u32 pasid;
	__u32 scope;
	__aligned_u64 iova;
	__aligned_u64 length;
};
#define IOASID_INVALIDATE _IOWR(IOASID_TYPE, 0xC8, struct ioasid_invalidate)

/**
 * struct ioasid_page_fault - read() of an ioasid file
 * @flags: out: IOASID_FAULT_LAST_PAGE
 * @pasid: out: the PASID of this context that the device wants the page in
 * @group: out: number of the group among those of the device that are not answered
 * @access: out: what the device wants to do: IOASID_MAP_READ, IOASID_MAP_WRITE
 * @iova: out: first byte of the page
 * @device_cookie: out: what was given to IOASID_AUTHORIZE
 * @cookie: out: by which the group is answered, the same for all its faults
 *
 * A page that a device waits for, in a PASID that was allocated with IOASID_ALLOC_FAULTS, when the device
 * asks for pages (PCI ATS and PRI). Faults come in groups, which are read whole, as many as there is room
 * for. A read never waits; poll() says POLLIN when there is something. A fault that is never answered keeps
 * nobody but the device's work: it is answered for the user when the device is revoked or closed, or when
 * this file is.
 *
 *   EAGAIN      there are none now
 *   EINVAL      the buffer is no whole number of these structs, or has no room for the next group
 */
struct ioasid_page_fault {
	__u32 flags;
	__u32 pasid;
	__u32 group;
	__u32 access;
	__aligned_u64 iova;
	__u32 device_cookie;
	__u32 cookie;
};

/**
 * struct ioasid_page_response - write() of an ioasid file
 * @cookie: in: of a group that was read, and not answered
 * @code: in: IOASID_RESPONSE_SUCCESS, IOASID_RESPONSE_INVALID or IOASID_RESPONSE_FAILURE
 *
 * Answers a group of page faults. Several may be written at once, one after the other; the write ends before
 * the first bad one, and fails when that is the first.
 *
 *   EINVAL      the bytes are no whole number of these structs; @code is unknown; nothing waits for an answer
 *               under @cookie
 */
struct ioasid_page_response {
	__u32 cookie;
	__u32 code;
};

/**
 * struct ioasid_explain - ioctl(IOASID_EXPLAIN), on every file of this system
 * @size: in: sizeof(struct ioasid_explain)
 * @flags: in: must be 0
 * @error: out: the errno of the last call on this open file that was refused; 0: none was
 * @length: out: bytes of @reason, without the NUL; 0 when @error is 0
 * @reason: out: one sentence in UTF-8, with a NUL at its end, that names the value at fault; cut where it
 *   does not fit
 *
 * Why the last refusal. It belongs to the open file, so descriptors that share the file share it. Calls that
 * succeed leave it as it is. Fails only as every ioctl may.
 */
struct ioasid_explain {
	__u32 size;
	__u32 flags;
	__s32 error;
	__u32 length;
	char reason[IOASID_REASON_SIZE];
};
#define IOASID_EXPLAIN _IOWR(IOASID_TYPE, 0xC9, struct ioasid_explain)

/**
 * struct ioasid_authorize - ioctl(IOASID_AUTHORIZE), on a device file
 * @size: in: sizeof(struct ioasid_authorize)
 * @flags: in: IOASID_AUTHORIZE_ASID on a vDPA device, 0 on all others
 * @ioasid_fd: in: the caller's descriptor of an ioasid file
 * @pasid: in: a PASID of that context
 * @vpasid: in: the number that the user programs into the device for it, when that differs (mediated devices
 *   only); 0: the same as @pasid. With IOASID_AUTHORIZE_ASID the ASID, from 0 on, that is to be @pasid
 * @device_cookie: in: anything; comes back in the page faults of this device with this PASID
 *
 * Authorizes the device for a PASID of the context whose descriptor is presented. The device holds a
 * reference on that context until the PASID is revoked or the device file is released. A device whose
 * requests carry no PASID can be authorized for one at a time, and all its DMA then goes there. The rings and
 * buffers of a vDPA device are in address spaces that are known by ASIDs: what is @pasid is mapped through
 * the ioasid file only, and IOTLB messages about it are refused.
 *
 *   EBADF       @ioasid_fd is not an open descriptor of the caller
 *   EBUSY       the device's requests carry no PASID, and it is authorized for another already; the ASID has
 *               mappings of its own, or the device runs (DRIVER_OK)
 *   EEXIST      the device is already authorized for @pasid, or already knows another PASID as @vpasid
 *   EINVAL      @ioasid_fd is not a file of /dev/ioasid of this server; @pasid or @vpasid is wider than the
 *               PASIDs of the device; @vpasid differs from @pasid and the device is not mediated, or its
 *               requests carry no PASID; the device has no such ASID, or is given an ASID and has none;
 *               @pasid is nested and has no page table bound
 *   ENOENT      @pasid is not a PASID of that context
 */
struct ioasid_authorize {
	__u32 size;
	__u32 flags;
	__s32 ioasid_fd;
	__u32 pasid;
	__u32 vpasid;
	__u32 device_cookie;
};
#define IOASID_AUTHORIZE _IOWR(IOASID_TYPE, 0xCA, struct ioasid_authorize)

/**
 * struct ioasid_revoke - ioctl(IOASID_REVOKE), on a device file
 * @size: in: sizeof(struct ioasid_revoke)
 * @flags: in: must be 0
 * @pasid: in: a PASID that the device is authorized for (the PASID, not the vpasid)
 * @__reserved: in: must be 0
 *
 * Takes the authorization back. When it returns, the device's DMA with this PASID has drained, the IOTLB
 * holds nothing of it, and every later request with it faults.
 *
 *   ENOENT      the device is not authorized for @pasid
 */
struct ioasid_revoke {
	__u32 size;
	__u32 flags;
	__u32 pasid;
	__u32 __reserved;
};
#define IOASID_REVOKE _IOWR(IOASID_TYPE, 0xCB, struct ioasid_revoke)

#endif /* IOASID_H */
