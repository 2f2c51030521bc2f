/**
 * The native ABI: the structs of include/ioasid.h, and which method each ioctl becomes.
 *
 * No behaviour lives here: a handler reads its struct, turns numbers into objects through the Caller, calls
 * one method, stores the result. What is looked up (descriptors, memory) is looked up before the method that
 * changes anything is called.
 */
import type { FileDriver } from '../driver/driver.js';
import type { Caller, IoctlCall, OpenFile } from '../file/open-file.js';
import { after, begun, type Sliced, type Work, workOf } from '../file/work.js';
import { IoasidContext, KIND_MAPPED, KIND_NESTED, KIND_PROCESS, type MapRequest } from '../ioasid/context.js';
import { FORMAT_VTD_S1 } from '../ioasid/nested-space.js';
import { READ, WRITE } from '../iommu/iommu.js';
import { ADDRESS_BITS, PAGE_SIZE } from '../iommu/page-table.js';
import { PASID_BITS, type Pasid, pasidOf, vpasidOf } from '../iommu/pasid.js';
import { hex, refuse } from '../linux/errno.js';
import { type IoctlTable, iowr, type NativeIoctl, nativeTable } from './ioctl.js';
import { whatIs } from './presented.js';
import {
  bits,
  chars,
  choice,
  descriptor,
  getBig,
  getS32,
  getU32,
  s32,
  setBig,
  setU32,
  setU64,
  struct,
  u32,
  u64,
} from './struct.js';

/** The ioctl type, shared with VFIO, whose numbers end below ours. */
export const IOASID_TYPE = 0x3b;

export const MAP_READ = READ;
export const MAP_WRITE = WRITE;
export const MAP_FIXED_IOVA = 4;
export const UNMAP_ALL = 1;
export const ALLOC_FAULTS = 1;
export const BIND_EXTENDED_ACCESSED = 1;
export const INVALIDATE_LEAF = 1;
export const AUTHORIZE_ASID = 1;
/** What an INVALIDATE is about. */
export const INVALIDATE_RANGE = 0;
export const INVALIDATE_PASID = 1;
export const INVALIDATE_ALL = 2;
/** Bytes of the reason in EXPLAIN, the terminating NUL included. */
export const REASON_BYTES = 240;

const kinds = {
  IOASID_KIND_MAPPED: KIND_MAPPED,
  IOASID_KIND_NESTED: KIND_NESTED,
  IOASID_KIND_PROCESS: KIND_PROCESS,
};
const mapFlags = bits({
  IOASID_MAP_READ: MAP_READ,
  IOASID_MAP_WRITE: MAP_WRITE,
  IOASID_MAP_FIXED_IOVA: MAP_FIXED_IOVA,
});

export const InfoStruct = struct('ioasid_info', {
  size: u32,
  flags: u32,
  pasid_bits: u32,
  address_bits: u32,
  page_sizes: u64,
  kinds: u32,
  table_formats: u32,
  faults: u32,
  pasid_quota: u32,
  pasids: u32,
  mapping_quota: u32,
  mappings: u32,
  reserved: u32,
});
export const AllocStruct = struct('ioasid_alloc', {
  size: u32,
  flags: bits({ IOASID_ALLOC_FAULTS: ALLOC_FAULTS }),
  kind: choice(kinds),
  parent: u32,
  pasid: u32,
  reserved: u32,
});
export const FreeStruct = struct('ioasid_free', { size: u32, flags: u32, pasid: u32, reserved: u32 });
export const MapStruct = struct('ioasid_map', {
  size: u32,
  flags: mapFlags,
  pasid: u32,
  reserved: u32,
  user_va: u64,
  length: u64,
  iova: u64,
});
export const MapFileStruct = struct('ioasid_map_file', {
  size: u32,
  flags: mapFlags,
  pasid: u32,
  fd: descriptor,
  offset: u64,
  length: u64,
  iova: u64,
});
export const UnmapStruct = struct('ioasid_unmap', {
  size: u32,
  flags: bits({ IOASID_UNMAP_ALL: UNMAP_ALL }),
  pasid: u32,
  reserved: u32,
  iova: u64,
  length: u64,
});
export const CopyStruct = struct('ioasid_copy', {
  size: u32,
  flags: mapFlags,
  dst_pasid: u32,
  src_pasid: u32,
  length: u64,
  dst_iova: u64,
  src_iova: u64,
});
export const BindPgtableStruct = struct('ioasid_bind_pgtable', {
  size: u32,
  flags: bits({ IOASID_BIND_EXTENDED_ACCESSED: BIND_EXTENDED_ACCESSED }),
  pasid: u32,
  format: choice({ IOASID_FORMAT_VTD_S1: FORMAT_VTD_S1 }),
  root: u64,
  address_width: u32,
  reserved: u32,
});
export const InvalidateStruct = struct('ioasid_invalidate', {
  size: u32,
  flags: bits({ IOASID_INVALIDATE_LEAF: INVALIDATE_LEAF }),
  pasid: u32,
  scope: choice({
    IOASID_INVALIDATE_RANGE: INVALIDATE_RANGE,
    IOASID_INVALIDATE_PASID: INVALIDATE_PASID,
    IOASID_INVALIDATE_ALL: INVALIDATE_ALL,
  }),
  iova: u64,
  length: u64,
});
export const ExplainStruct = struct('ioasid_explain', {
  size: u32,
  flags: u32,
  error: s32,
  length: u32,
  reason: chars(REASON_BYTES),
});
export const AuthorizeStruct = struct('ioasid_authorize', {
  size: u32,
  flags: bits({ IOASID_AUTHORIZE_ASID: AUTHORIZE_ASID }),
  ioasid_fd: descriptor,
  pasid: u32,
  vpasid: u32,
  device_cookie: u32,
});
export const RevokeStruct = struct('ioasid_revoke', { size: u32, flags: u32, pasid: u32, reserved: u32 });

/** Above this there is no user memory and no file: addresses below it are exact as plain numbers. */
const USER_LIMIT = 2n ** 53n;

const MAP_FLAGS = MAP_READ | MAP_WRITE | MAP_FIXED_IOVA;

/** The ioctls of `/dev/ioasid`. */
export const contextIoctls = {
  IOASID_GET_INFO: { nr: 0xc0, struct: InfoStruct, flags: 0, changes: false, handle: getInfo },
  IOASID_ALLOC: { nr: 0xc1, struct: AllocStruct, flags: ALLOC_FAULTS, changes: true, handle: alloc },
  IOASID_FREE: { nr: 0xc2, struct: FreeStruct, flags: 0, changes: true, handle: free },
  IOASID_MAP: { nr: 0xc3, struct: MapStruct, flags: MAP_FLAGS, changes: true, handle: map },
  IOASID_MAP_FILE: { nr: 0xc4, struct: MapFileStruct, flags: MAP_FLAGS, changes: true, handle: mapFile },
  IOASID_UNMAP: { nr: 0xc5, struct: UnmapStruct, flags: UNMAP_ALL, changes: true, handle: unmap },
  IOASID_COPY: { nr: 0xc6, struct: CopyStruct, flags: MAP_FLAGS, changes: true, handle: copy },
  IOASID_BIND_PGTABLE: {
    nr: 0xc7,
    struct: BindPgtableStruct,
    flags: BIND_EXTENDED_ACCESSED,
    changes: true,
    handle: bindPgtable,
  },
  IOASID_INVALIDATE: {
    nr: 0xc8,
    struct: InvalidateStruct,
    flags: INVALIDATE_LEAF,
    changes: true,
    handle: invalidate,
  },
} as const satisfies Record<string, NativeIoctl<IoasidContext>>;

/** The native ioctls of a device file, whatever driver is behind it. */
export const deviceIoctls = {
  IOASID_AUTHORIZE: {
    nr: 0xca,
    struct: AuthorizeStruct,
    flags: AUTHORIZE_ASID,
    changes: true,
    handle: authorize,
  },
  IOASID_REVOKE: { nr: 0xcb, struct: RevokeStruct, flags: 0, changes: true, handle: revoke },
} as const satisfies Record<string, NativeIoctl<FileDriver>>;

/** EXPLAIN, which every file of ours has. */
export const fileIoctls = {
  IOASID_EXPLAIN: { nr: 0xc9, struct: ExplainStruct, flags: 0, changes: false, handle: explain },
} as const satisfies Record<string, NativeIoctl<OpenFile>>;

export const nativeIoctls = { ...contextIoctls, ...deviceIoctls, ...fileIoctls };

/** The whole ioctl number of a native ioctl. */
export function ioctlNumber(name: keyof typeof nativeIoctls): number {
  const { nr, struct } = nativeIoctls[name];
  return iowr(IOASID_TYPE, nr, struct.size);
}

export const contextTable: IoctlTable<IoasidContext> = nativeTable<IoasidContext>(IOASID_TYPE, contextIoctls);
export const deviceTable: IoctlTable<FileDriver> = nativeTable<FileDriver>(IOASID_TYPE, deviceIoctls);
export const explainIoctl = [...nativeTable<OpenFile>(IOASID_TYPE, fileIoctls).values()][0]!;
export const EXPLAIN_KEY = (IOASID_TYPE << 8) | fileIoctls.IOASID_EXPLAIN.nr;

/** A PASID as a program names it: of the system, and worth nothing before a context has been asked for it. */
function pasidAt(data: Uint8Array, at: number): Pasid {
  return pasidOf(getU32(data, at));
}

function getInfo(context: IoasidContext, _caller: Caller, { data }: IoctlCall): number {
  const { at } = InfoStruct;
  setU32(data, at.pasid_bits, PASID_BITS);
  setU32(data, at.address_bits, ADDRESS_BITS);
  setU64(data, at.page_sizes, PAGE_SIZE);
  setU32(data, at.kinds, (1 << KIND_MAPPED) | (1 << KIND_NESTED) | (1 << KIND_PROCESS));
  setU32(data, at.table_formats, 1 << FORMAT_VTD_S1);
  setU32(data, at.faults, READ | WRITE);
  setU32(data, at.pasid_quota, context.pasidQuota);
  setU32(data, at.pasids, context.pasids);
  setU32(data, at.mapping_quota, context.mappingQuota);
  setU32(data, at.mappings, context.mappings);
  return 0;
}

function alloc(context: IoasidContext, caller: Caller, { data }: IoctlCall): number {
  const { at } = AllocStruct;
  const [kind, parent] = [getU32(data, at.kind), getU32(data, at.parent)];
  const pasid = kind === KIND_PROCESS ? context.allocProcess(parent, caller) : context.alloc(kind, parent);
  if ((getU32(data, at.flags) & ALLOC_FAULTS) !== 0) context.deliverFaults(pasid);
  setU32(data, at.pasid, pasid);
  return 0;
}

function free(context: IoasidContext, _caller: Caller, { data }: IoctlCall): Work<number> {
  return context.free(pasidAt(data, FreeStruct.at.pasid));
}

function map(context: IoasidContext, caller: Caller, { data }: IoctlCall): Sliced<number> {
  const { at } = MapStruct;
  const request = mapRequest(data, at.pasid, at.length, at.iova);
  const address = getBig(data, at.user_va);
  if (address + request.length > USER_LIMIT)
    refuse('EFAULT', `memory range ${hex(address)}+${hex(request.length)} is no user memory`);
  return begun(mapMemory(context, caller, request, address, data));
}

function* mapMemory(
  context: IoasidContext,
  caller: Caller,
  request: MapRequest,
  address: bigint,
  data: Uint8Array,
): Work<number> {
  const iova = yield* workOf(context.place(request, address));
  const range = yield* workOf(caller.memory(Number(address), Number(request.length), request.access));
  context.map(request, iova, range);
  setBig(data, MapStruct.at.iova, iova);
  return 0;
}

function mapFile(context: IoasidContext, caller: Caller, { data }: IoctlCall): Sliced<number> {
  const { at } = MapFileStruct;
  const request = mapRequest(data, at.pasid, at.length, at.iova);
  const offset = getBig(data, at.offset);
  if (offset + request.length > USER_LIMIT)
    refuse('EINVAL', `file range ${hex(offset)}+${hex(request.length)} is longer than any file`);
  const [fd, length] = [getS32(data, at.fd), Number(request.length)];
  return after(context.place(request, offset), (iova) => {
    context.map(request, iova, caller.fileMemory(fd, Number(offset), length, request.access));
    setBig(data, at.iova, iova);
    return 0;
  });
}

function unmap(context: IoasidContext, _caller: Caller, { data }: IoctlCall): Sliced<number> {
  const { at } = UnmapStruct;
  const pasid = pasidAt(data, at.pasid);
  const all = (getU32(data, at.flags) & UNMAP_ALL) !== 0;
  const unmapped = all
    ? context.unmapAll(pasid)
    : context.unmap(pasid, getBig(data, at.iova), getBig(data, at.length));
  return after(unmapped, (bytes) => {
    setBig(data, at.length, bytes);
    return 0;
  });
}

function* copy(context: IoasidContext, _caller: Caller, { data }: IoctlCall): Work<number> {
  const { at } = CopyStruct;
  const request = mapRequest(data, at.dst_pasid, at.length, at.dst_iova);
  const iova = yield* context.copy(request, pasidAt(data, at.src_pasid), getBig(data, at.src_iova));
  setBig(data, at.dst_iova, iova);
  return 0;
}

function bindPgtable(context: IoasidContext, _caller: Caller, { data }: IoctlCall): number {
  const { at } = BindPgtableStruct;
  context.bindTable(pasidAt(data, at.pasid), {
    format: getU32(data, at.format),
    root: getBig(data, at.root),
    addressWidth: getU32(data, at.address_width),
    extendedAccess: (getU32(data, at.flags) & BIND_EXTENDED_ACCESSED) !== 0,
  });
  return 0;
}

function invalidate(context: IoasidContext, _caller: Caller, { data }: IoctlCall): Sliced<number> {
  const { at } = InvalidateStruct;
  const pasid = pasidAt(data, at.pasid);
  const scope = getU32(data, at.scope);
  if (scope === INVALIDATE_ALL) return after(begun(context.invalidateAll()), () => 0);
  if (scope === INVALIDATE_PASID) context.invalidatePasid(pasid);
  else if (scope === INVALIDATE_RANGE) {
    const leaf = (getU32(data, at.flags) & INVALIDATE_LEAF) !== 0;
    context.invalidate(pasid, getBig(data, at.iova), getBig(data, at.length), leaf);
  } else refuse('EINVAL', `scope ${scope} is none of range (0), PASID (1), all (2)`);
  return 0;
}

function mapRequest(data: Uint8Array, pasid: number, lengthAt: number, iovaAt: number) {
  const flags = getU32(data, 4);
  return {
    pasid: pasidAt(data, pasid),
    length: getBig(data, lengthAt),
    access: flags & (MAP_READ | MAP_WRITE),
    iova: flags & MAP_FIXED_IOVA ? getBig(data, iovaAt) : undefined,
  };
}

/**
 * The security check of the whole model, for every kind of device file: both descriptors are in the caller's
 * hands. A vpasid of 0 asks for none, unless it is an ASID.
 */
function authorize(driver: FileDriver, caller: Caller, { data }: IoctlCall): number {
  const { at } = AuthorizeStruct;
  const fd = getS32(data, at.ioasid_fd);
  const context = caller.presented(fd);
  if (!(context instanceof IoasidContext))
    refuse('EINVAL', `fd ${fd} is not /dev/ioasid: it is ${whatIs(context)}`);
  const vpasid = getU32(data, at.vpasid);
  const byAsid = (getU32(data, at.flags) & AUTHORIZE_ASID) !== 0;
  if (byAsid !== driver.hasAsids)
    refuse('EINVAL', `${driver.life.name} ${byAsid ? 'has no' : 'is authorized by'} ASIDs`);
  const given = byAsid || vpasid !== 0 ? vpasidOf(vpasid) : undefined;
  driver.authorize(context, pasidAt(data, at.pasid), given, getU32(data, at.device_cookie));
  return 0;
}

function* revoke(driver: FileDriver, _caller: Caller, { data }: IoctlCall): Work<number> {
  yield* driver.revoke(pasidAt(data, RevokeStruct.at.pasid));
  return 0;
}

function explain(file: OpenFile, _caller: Caller, { data }: IoctlCall): number {
  const { at } = ExplainStruct;
  const refusal = file.lastRefusal;
  const reason = data.subarray(at.reason, at.reason + REASON_BYTES).fill(0);
  const { written } = new TextEncoder().encodeInto(
    refusal?.reason ?? '',
    reason.subarray(0, REASON_BYTES - 1),
  );
  setU32(data, at.error, refusal?.errno ?? 0);
  setU32(data, at.length, written);
  return 0;
}
