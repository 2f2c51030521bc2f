/**
 * What the test interface does with accesses, by which a part of the kernel reaches an IOAS's memory without
 * a device. Each is a descriptor of its own.
 */

import type { Caller } from '../../file/open-file.js';
import { finish, finished } from '../../file/work.js';
import { READ, WRITE } from '../../iommu/iommu.js';
import { PAGE_SIZE } from '../../iommu/page-table.js';
import { requireEnd, sameMemory } from '../../iommu-test/user-memory.js';
import { Access } from '../../iommufd/access.js';
import type { IommufdContext } from '../../iommufd/context.js';
import { hex, Refusal, refuse } from '../../linux/errno.js';
import { DeviceFile } from '../device-file.js';
import type { Command } from '../iommufd/command.js';
import { setU32 } from '../struct.js';
import { AccessPagesStruct, AccessRwStruct, CreateAccessStruct, NumberStruct } from './layouts.js';

const ACCESS_NEEDS_PIN_PAGES = 1;
const ACCESS_RW_SLOW_PATH = 4;
/** An IOVA is the number of a mapping (low half) and an offset in it (high half): what a fuzzer can guess. */
const ACCESS_SYZ = 1 << 16;
const LARGEST_ACCESS = 16n << 20n;

export function createAccess(context: IommufdContext, { caller, data, respond }: Command): void {
  const { id, flags } = CreateAccessStruct.decode(data);
  if (flags & ~ACCESS_NEEDS_PIN_PAGES) refuse('EOPNOTSUPP', `CREATE_ACCESS flags ${hex(flags)} are unknown`);
  const access = context.openAccess(id, (flags & ACCESS_NEEDS_PIN_PAGES) !== 0);
  try {
    respond();
  } catch (error) {
    finish(context.closeAccess(access));
    throw error;
  }
  const file = new DeviceFile(access, new Map(), {
    called: 'access',
    release: () => context.closeAccess(access),
  });
  setU32(data, CreateAccessStruct.at.out_access_fd, finished(caller.install(file)));
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

export function accessReplaceIoas(_context: IommufdContext, { caller, data }: Command): void {
  const { id, number } = NumberStruct.decode(data);
  presentedAccess(caller, id).replace(number);
}

export function destroyAccessPages(_context: IommufdContext, { caller, data }: Command): void {
  const { id, number } = NumberStruct.decode(data);
  presentedAccess(caller, id).unpin(number);
}

export function accessPages(_context: IommufdContext, { caller, data, respond }: Command): void {
  const { id, flags, length, uptr, ...given } = AccessPagesStruct.decode(data);
  if (length > LARGEST_ACCESS) refuse('ENOMEM', `${hex(length)} bytes are more than can be pinned at once`);
  if (flags & ~(1 | ACCESS_SYZ)) refuse('EOPNOTSUPP', `ACCESS_PAGES flags ${hex(flags)} are unknown`);
  const access = presentedAccess(caller, id);
  if (!access.pinsPages) refuse('EOPNOTSUPP', 'the access was not made to pin pages');
  const iova = accessIova(access, given.iova, flags);
  const parts = access.reach(iova, length, flags & 1 ? WRITE : READ);
  requireEnd(uptr);
  let at = uptr - (uptr % BigInt(PAGE_SIZE));
  for (const part of uptr === 0n ? [] : parts) {
    if (!sameMemory(caller, at, part))
      refuse('EBADE', `the page at address ${hex(at)} is not the one that is mapped`);
    at += part.length;
  }
  const pin = access.pin(iova, length);
  setU32(data, AccessPagesStruct.at.out_access_pages_id, pin);
  try {
    respond();
  } catch (error) {
    access.unpin(pin);
    throw error;
  }
}

export function accessRw(_context: IommufdContext, { caller, data }: Command): void {
  const { id, flags, length, ...given } = AccessRwStruct.decode(data);
  if (length > LARGEST_ACCESS) refuse('ENOMEM', `${hex(length)} bytes are more than can be copied at once`);
  if (flags & ~(1 | ACCESS_RW_SLOW_PATH | ACCESS_SYZ))
    refuse('EOPNOTSUPP', `ACCESS_RW flags ${hex(flags)} are unknown`);
  const access = presentedAccess(caller, id);
  const iova = accessIova(access, given.iova, flags);
  const uptr = Number(given.uptr);
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
