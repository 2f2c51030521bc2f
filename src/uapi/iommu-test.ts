/**
 * IOMMU_TEST_CMD: the test interface of Linux's iommufd (drivers/iommu/iommufd/iommufd_test.h, Linux 7.3, and
 * what 6.12 has besides), by which Linux's own suite makes devices and accesses, and looks at what page
 * tables lead to. It is there only when a machine is made with it.
 *
 * One ioctl, one struct: `op` says what is wanted, and which of the fields after the first four are meant.
 * Each operation has its own view here.
 */

import type { Caller } from '../file/open-file.js';
import { LAST_IOVA } from '../ioasid/iova-ranges.js';
import { READ, WRITE } from '../iommu/iommu.js';
import { PAGE_SIZE } from '../iommu/page-table.js';
import { MockDevice } from '../iommu-test/mock-device.js';
import { MockHardware, mockIommu } from '../iommu-test/mock-hardware.js';
import { MockNestedDomain } from '../iommu-test/mock-nested.js';
import { pinsOf, sameMemory } from '../iommu-test/user-memory.js';
import { Access } from '../iommufd/access.js';
import { BoundDevice } from '../iommufd/bound-device.js';
import type { IommufdContext } from '../iommufd/context.js';
import { NestedHwpt } from '../iommufd/nested-hwpt.js';
import { IommufdObject } from '../iommufd/objects.js';
import { PagingHwpt } from '../iommufd/paging-hwpt.js';
import { hex, Refusal, refuse } from '../linux/errno.js';
import { DeviceFile } from './device-file.js';
import type { IoctlTable } from './ioctl.js';
import { type Command, IOMMUFD_TYPE, iommufd } from './iommufd/command.js';
import { chars, getBig, getU32, setBig, setU32, struct, u32, u64 } from './struct.js';

const header = { size: u32, op: u32, id: u32, reserved: u32 } as const;
export const TestStruct = struct('iommu_test_cmd', { ...header, operation: chars(48), last: u32, end: u32 });

const AddReserved = struct('add_reserved', { ...header, start: u64, length: u64 }).at;
const MockDomain = struct('mock_domain_flags', {
  ...header,
  out_stdev_id: u32,
  out_hwpt_id: u32,
  out_idev_id: u32,
  dev_flags: u32,
}).at;
const CheckMap = struct('check_map', { ...header, iova: u64, length: u64, uptr: u64 }).at;
const CheckRefs = struct('check_refs', { ...header, length: u64, uptr: u64, refs: u32, end: u32 }).at;
const CreateAccess = struct('create_access', { ...header, out_access_fd: u32, flags: u32 }).at;
const AccessPages = struct('access_pages', {
  ...header,
  flags: u32,
  out_access_pages_id: u32,
  iova: u64,
  length: u64,
  uptr: u64,
}).at;
const AccessRw = struct('access_rw', {
  ...header,
  iova: u64,
  length: u64,
  uptr: u64,
  flags: u32,
  end: u32,
}).at;
const Dirty = struct('dirty', {
  ...header,
  flags: u32,
  hole: u32,
  iova: u64,
  length: u64,
  page_size: u64,
  uptr: u64,
  out_nr_dirty: u64,
}).at;
const TriggerVevent = struct('trigger_vevent', { ...header, dev_id: u32 }).at;
const TriggerIopf = struct('trigger_iopf', {
  ...header,
  dev_id: u32,
  pasid: u32,
  grpid: u32,
  perm: u32,
  addr: u64,
}).at;
/** The operations that have one or two numbers: `a` and `b`. */
const Numbers = struct('check_iotlb', { ...header, a: u32, b: u32 }).at;

const ACCESS_NEEDS_PIN_PAGES = 1;
const ACCESS_RW_SLOW_PATH = 4;
/** An IOVA is the number of a mapping (low half) and an offset in it (high half): what a fuzzer can guess. */
const ACCESS_SYZ = 1 << 16;
const LARGEST_ACCESS = 16n << 20n;
const PAGE_MASK = BigInt(PAGE_SIZE - 1);
const LARGEST_BITMAP = 128n << 20n;
/** SET_TEMP_MEMORY_LIMIT: room for one run of pages. */
const LEAST_MEMORY = 12;

type Operation = (context: IommufdContext, command: Command) => void;

/** By IOMMU_TEST_OP_*. */
const operations = new Map<number, Operation>([
  [1, addReserved],
  [2, mockDomain],
  [3, checkMap],
  [4, checkRefs],
  [5, createAccess],
  [6, destroyAccessPages],
  [7, accessPages],
  [8, accessRw],
  [9, setMemoryLimit],
  [10, mockDomainReplace],
  [11, accessReplaceIoas],
  [12, mockDomain],
  [13, markDirty],
  [14, checkIotlb],
  [15, triggerPageFault],
  [16, checkCache],
  [17, triggerVevent],
  [18, pasidAttach],
  [19, pasidReplace],
  [20, pasidDetach],
  [21, pasidCheck],
]);
const MOCK_DOMAIN_FLAGS = 12;
/** IOMMU_VEVENTQ_TYPE_SELFTEST. */
const VEVENT_TYPE = 0xbeefbeef;

const NR = 0xa0;
const command = iommufd('IOMMU_TEST_CMD', { nr: NR, struct: TestStruct, last: 'last', handle: test });

/** The ioctl of `/dev/iommu` that a machine for tests has besides the others. */
export const iommuTestTable: IoctlTable<IommufdContext> = new Map([[(IOMMUFD_TYPE << 8) | NR, command]]);

function test(context: IommufdContext, command: Command): number {
  const op = getU32(command.data, TestStruct.at.op);
  const operation = operations.get(op) ?? refuse('EOPNOTSUPP', `test operation ${op} is not supported`);
  operation(context, command);
  return 0;
}

function id(data: Uint8Array): number {
  return getU32(data, TestStruct.at.id);
}

function addReserved(context: IommufdContext, { data }: Command): void {
  const start = getBig(data, AddReserved.start);
  const length = getBig(data, AddReserved.length);
  if (length === 0n) refuse('EINVAL', 'the length is zero');
  const last = start + length - 1n;
  if (last > LAST_IOVA) refuse('EOVERFLOW', `iova range ${hex(start)}+${hex(length)} wraps around`);
  const ioas = context.ioas(id(data));
  ioas.space.reserve({ start, last }, ioas);
}

function mockDomain(context: IommufdContext, { data, respond }: Command): void {
  const flags = getU32(data, TestStruct.at.op) === MOCK_DOMAIN_FLAGS ? getU32(data, MockDomain.dev_flags) : 0;
  const { mock, hwpt } = MockDevice.create(context.objects, flags, id(data));
  setU32(data, MockDomain.out_stdev_id, mock.id);
  setU32(data, MockDomain.out_hwpt_id, hwpt);
  setU32(data, MockDomain.out_idev_id, mock.device.id);
  try {
    respond();
  } catch (error) {
    context.objects.destroy(mock.id);
    throw error;
  }
}

function mockDomainReplace(context: IommufdContext, { data, respond }: Command): void {
  const { device } = context.objects.get(id(data), MockDevice);
  setU32(data, Numbers.a, device.replace(getU32(data, Numbers.a), 0));
  respond();
}

/** The HWPT `id`, when it is one of a mock device. */
function mockHwpt(context: IommufdContext, id: number): PagingHwpt {
  const hwpt = context.objects.get(id, PagingHwpt);
  if (hwpt.iommu !== mockIommu) refuse('EINVAL', `HWPT ${id} is not one of a mock device`);
  return hwpt;
}

/** @throws Refusal EOVERFLOW for the last page of all, whose end is no address. */
function requireEnd(uptr: bigint): void {
  if ((uptr | PAGE_MASK) === LAST_IOVA) refuse('EOVERFLOW', `the page at address ${hex(uptr)} has no end`);
}

/** Does the page table lead to the very memory that the caller has at `uptr`? */
function checkMap(context: IommufdContext, { caller, data }: Command): void {
  const hwpt = mockHwpt(context, id(data));
  const [iova, length, uptr] = [
    getBig(data, CheckMap.iova),
    getBig(data, CheckMap.length),
    getBig(data, CheckMap.uptr),
  ];
  if (((iova | length | uptr) & (hwpt.pageSize - 1n)) !== 0n || uptr + length > LAST_IOVA) {
    refuse(
      'EINVAL',
      `${hex(length)} bytes at iova ${hex(iova)} and address ${hex(uptr)} are not whole pages`,
    );
  }
  if (length === 0n) return;
  requireEnd(uptr);
  const mapped = hwpt.ioas.mappedFrom(iova, length);
  let at = uptr;
  for (const piece of mapped === 0n ? [] : hwpt.ioas.space.pieces(iova, mapped)) {
    const memory = context.iommu.memories.get(piece.memory);
    if (!sameMemory(caller, at, { ...piece, memory })) {
      refuse(
        'EINVAL',
        `HWPT ${hwpt.id} leads to ${memory.description} at ${hex(piece.offset)}, which is not address ${hex(at)}`,
      );
    }
    at += piece.length;
  }
  if (mapped === length) return;
  // The caller's page is asked for before the page table is.
  caller.memory(Number(at), 1, READ).memory.close();
  refuse('EINVAL', `HWPT ${hwpt.id} leads nowhere at iova ${hex(iova + mapped)}`);
}

/** Is each page at `uptr` held by as many mappings as the caller says? */
function checkRefs(context: IommufdContext, { caller, data }: Command): void {
  const [length, uptr] = [getBig(data, CheckRefs.length), getBig(data, CheckRefs.uptr)];
  if (((length | uptr) & BigInt(PAGE_SIZE - 1)) !== 0n || uptr + length > LAST_IOVA) {
    refuse('EINVAL', `${hex(length)} bytes at address ${hex(uptr)} are not whole pages`);
  }
  const refs = getU32(data, CheckRefs.refs);
  for (const { address, pins } of pinsOf(context, caller, uptr, length)) {
    if (pins !== refs) refuse('EIO', `the page at ${hex(address)} is held ${pins} times, not ${refs}`);
  }
}

function setMemoryLimit(_context: IommufdContext, { data }: Command): void {
  if (getU32(data, Numbers.a) < LEAST_MEMORY)
    refuse('EINVAL', `${getU32(data, Numbers.a)} bytes are too little memory to map anything`);
}

function createAccess(context: IommufdContext, { caller, data, respond }: Command): void {
  const flags = getU32(data, CreateAccess.flags);
  if (flags & ~ACCESS_NEEDS_PIN_PAGES) refuse('EOPNOTSUPP', `CREATE_ACCESS flags ${hex(flags)} are unknown`);
  const access = context.openAccess(id(data), (flags & ACCESS_NEEDS_PIN_PAGES) !== 0);
  try {
    respond();
  } catch (error) {
    context.closeAccess(access);
    throw error;
  }
  const fd = caller.install(
    new DeviceFile(access, new Map(), { release: () => context.closeAccess(access) }),
  );
  setU32(data, CreateAccess.out_access_fd, fd);
  respond();
}

/** The access that the caller's descriptor `fd` means. @throws Refusal EBADFD. */
function presentedAccess(caller: Caller, fd: number): Access {
  try {
    const object = caller.presented(fd);
    if (object instanceof Access) return object;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
  }
  return refuse('EBADFD', `descriptor ${fd} is not an access`);
}

function accessReplaceIoas(_context: IommufdContext, { caller, data }: Command): void {
  presentedAccess(caller, id(data)).replace(getU32(data, Numbers.a));
}

function destroyAccessPages(_context: IommufdContext, { caller, data }: Command): void {
  presentedAccess(caller, id(data)).unpin(getU32(data, Numbers.a));
}

function accessPages(_context: IommufdContext, { caller, data, respond }: Command): void {
  const length = getBig(data, AccessPages.length);
  const flags = getU32(data, AccessPages.flags);
  if (length > LARGEST_ACCESS) refuse('ENOMEM', `${hex(length)} bytes are more than can be pinned at once`);
  if (flags & ~(1 | ACCESS_SYZ)) refuse('EOPNOTSUPP', `ACCESS_PAGES flags ${hex(flags)} are unknown`);
  const access = presentedAccess(caller, id(data));
  if (!access.pinsPages) refuse('EOPNOTSUPP', 'the access was not made to pin pages');
  const iova = accessIova(access, getBig(data, AccessPages.iova), flags);
  const uptr = getBig(data, AccessPages.uptr);
  const parts = access.reach(iova, length, flags & 1 ? WRITE : READ);
  requireEnd(uptr);
  let at = uptr - (uptr & PAGE_MASK);
  for (const part of uptr === 0n ? [] : parts) {
    if (!sameMemory(caller, at, part))
      refuse('EBADE', `the page at address ${hex(at)} is not the one that is mapped`);
    at += part.length;
  }
  const pin = access.pin(iova, length);
  setU32(data, AccessPages.out_access_pages_id, pin);
  try {
    respond();
  } catch (error) {
    access.unpin(pin);
    throw error;
  }
}

function accessRw(_context: IommufdContext, { caller, data }: Command): void {
  const length = getBig(data, AccessRw.length);
  const flags = getU32(data, AccessRw.flags);
  if (length > LARGEST_ACCESS) refuse('ENOMEM', `${hex(length)} bytes are more than can be copied at once`);
  if (flags & ~(1 | ACCESS_RW_SLOW_PATH | ACCESS_SYZ))
    refuse('EOPNOTSUPP', `ACCESS_RW flags ${hex(flags)} are unknown`);
  const access = presentedAccess(caller, id(data));
  const iova = accessIova(access, getBig(data, AccessRw.iova), flags);
  const uptr = Number(getBig(data, AccessRw.uptr));
  const bytes = new Uint8Array(Number(length));
  if (flags & 1) {
    if (length > 0n) caller.readMemory(uptr, bytes);
    access.write(iova, bytes);
  } else {
    access.read(iova, bytes);
    caller.writeMemory(uptr, bytes);
  }
}

function accessIova({ ioas }: Access, iova: bigint, flags: number): bigint {
  if ((flags & ACCESS_SYZ) === 0) return iova;
  const nth = Number(iova & 0xffff_ffffn);
  const mapping = ioas.space.mappings(nth + 1)[nth];
  return mapping === undefined ? 0n : BigInt.asUintN(64, mapping.iova + (iova >> 32n));
}

/** Writes to pages, as far as the log of written pages can tell: each bit of a bitmap is one. */
function markDirty(context: IommufdContext, { caller, data, respond }: Command): void {
  const [iova, length, size] = [
    getBig(data, Dirty.iova),
    getBig(data, Dirty.length),
    getBig(data, Dirty.page_size),
  ];
  const uptr = Number(getBig(data, Dirty.uptr));
  if (size === 0n || length === 0n || iova % size !== 0n || length % size !== 0n || uptr === 0) {
    refuse(
      'EINVAL',
      `iova range ${hex(iova)}+${hex(length)} is not made of pages of ${hex(size)} bytes, or there is no bitmap`,
    );
  }
  const bits = length / size;
  if (bits > LARGEST_BITMAP) refuse('EOVERFLOW', `a bitmap of ${bits} bits is too large`);
  const hwpt = mockHwpt(context, id(data));
  if (!hwpt.dirty?.enabled) refuse('EINVAL', `HWPT ${hwpt.id} does not record which pages are written`);
  const bitmap = new Uint8Array(Math.ceil(Number(bits) / 8));
  caller.readMemory(uptr, bitmap);
  let count = 0;
  for (let bit = 0; bit < Number(bits); bit++) {
    if ((bitmap[bit >>> 3]! & (1 << (bit & 7))) === 0) continue;
    hwpt.written(iova + BigInt(bit) * size);
    count++;
  }
  setBig(data, Dirty.out_nr_dirty, BigInt(count));
  respond();
}

function checkIotlb(context: IommufdContext, { data }: Command): void {
  const { domain } = context.objects.get(id(data), NestedHwpt);
  const [entry, value] = [getU32(data, Numbers.a), getU32(data, Numbers.b)];
  if (!(domain instanceof MockNestedDomain)) refuse('EINVAL', `HWPT ${id(data)} is not one of a mock device`);
  if (domain.iotlb[entry] !== value)
    refuse('EINVAL', `cached entry ${entry} of HWPT ${id(data)} is not ${hex(value)}`);
}

/**
 * The mock device asks for a page. As in Linux that always succeeds, also when nobody is there to be asked.
 */
function triggerPageFault(context: IommufdContext, { data }: Command): void {
  const device = context.objects.get(getU32(data, TriggerIopf.dev_id), BoundDevice);
  if (!(device.hardware instanceof MockHardware)) refuse('EINVAL', `device ${device.id} is no mock device`);
  const pasid = getU32(data, TriggerIopf.pasid);
  device.pageRequest({
    pasid: pasid === 0 ? undefined : pasid,
    group: getU32(data, TriggerIopf.grpid),
    last: true,
    access: getU32(data, TriggerIopf.perm),
    address: getBig(data, TriggerIopf.addr),
  });
}

/**
 * The mock IOMMU tells the vIOMMU that the device is in of an event: that it is the device with this number.
 */
function triggerVevent(context: IommufdContext, { data }: Command): void {
  const { id, hardware } = context.objects.get(getU32(data, TriggerVevent.dev_id), BoundDevice);
  if (!(hardware instanceof MockHardware)) refuse('EINVAL', `device ${id} is no mock device`);
  const { viommu, virtualId } = hardware;
  if (viommu === undefined || virtualId === 0n)
    refuse('ENOENT', `device ${id} goes through no vIOMMU, or has the number 0 there`);
  const event = new Uint8Array(4);
  setU32(event, 0, Number(BigInt.asUintN(32, virtualId)));
  viommu.report(VEVENT_TYPE, event);
}

function checkCache(context: IommufdContext, { data }: Command): void {
  const { hardware } = context.objects.get(id(data), BoundDevice);
  const [entry, value] = [getU32(data, Numbers.a), getU32(data, Numbers.b)];
  if (!(hardware instanceof MockHardware)) refuse('EINVAL', `device ${id(data)} is no mock device`);
  if (hardware.cache[entry] !== value)
    refuse('EINVAL', `entry ${entry} of the device's cache is not ${hex(value)}`);
}

function pasidAttach(context: IommufdContext, { data, respond }: Command): void {
  const { device } = context.objects.get(id(data), MockDevice);
  const pasid = getU32(data, Numbers.a);
  setU32(data, Numbers.b, device.attach(getU32(data, Numbers.b), pasid));
  try {
    respond();
  } catch (error) {
    device.detach(pasid);
    throw error;
  }
}

function pasidReplace(context: IommufdContext, { data, respond }: Command): void {
  const { device } = context.objects.get(id(data), MockDevice);
  setU32(data, Numbers.b, device.replace(getU32(data, Numbers.b), getU32(data, Numbers.a)));
  respond();
}

function pasidDetach(context: IommufdContext, { data }: Command): void {
  context.objects.get(id(data), MockDevice).device.detach(getU32(data, Numbers.a));
}

/** Is `pasid` attached to the HWPT, or, for HWPT 0, to none? */
function pasidCheck(context: IommufdContext, { data }: Command): void {
  const { device } = context.objects.get(id(data), MockDevice);
  const [pasid, wanted] = [getU32(data, Numbers.a), getU32(data, Numbers.b)];
  const attached: IommufdObject | undefined = device.attached(pasid);
  const expected = wanted === 0 ? undefined : context.objects.get(wanted, IommufdObject);
  if (attached !== expected)
    refuse(
      'EINVAL',
      `PASID ${pasid} is attached to ${attached === undefined ? 'nothing' : `HWPT ${attached.id}`}`,
    );
}
