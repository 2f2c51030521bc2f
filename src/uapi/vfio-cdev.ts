/**
 * The ABI between a VFIO device file and `/dev/iommu` (<linux/vfio.h>, Linux 6.6; with PASIDs 6.16): bind,
 * attach, detach.
 */

import type { Caller, IoctlCall } from '../file/open-file.js';
import type { Work } from '../file/work.js';
import { NO_PASID, type Vpasid, vpasidOf } from '../iommu/pasid.js';
import { hex, refuse } from '../linux/errno.js';
import type { VfioDevice } from '../vfio/device.js';
import type { IoctlTable } from './ioctl.js';
import { checkTail } from './iommufd/command.js';
import { presentedIommufd } from './iommufd.js';
import { bits, descriptor, getS32, getU32, getU64, setU32, struct, u32, u64 } from './struct.js';
import { exactTable, io, readStruct, wakingTable } from './vfio-call.js';
import {
  HotResetStruct,
  hotResetByCdev,
  hotResetInfoByCdev,
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
  VFIO_DEVICE_PCI_HOT_RESET,
} from './vfio-hot-reset.js';

export const VFIO_DEVICE_BIND_IOMMUFD = io(18);
export const VFIO_DEVICE_ATTACH_IOMMUFD_PT = io(19);
export const VFIO_DEVICE_DETACH_IOMMUFD_PT = io(20);

export const BIND_TOKEN = 1;
export const ATTACH_PASID = 1;

export const BindStruct = struct('vfio_device_bind_iommufd', {
  argsz: u32,
  flags: bits({ VFIO_DEVICE_BIND_FLAG_TOKEN: BIND_TOKEN }),
  iommufd: descriptor,
  out_devid: u32,
  token_uuid_ptr: u64,
});
export const AttachStruct = struct('vfio_device_attach_iommufd_pt', {
  argsz: u32,
  flags: bits({ VFIO_DEVICE_ATTACH_PASID: ATTACH_PASID }),
  pt_id: u32,
  pasid: u32,
});
export const DetachStruct = struct('vfio_device_detach_iommufd_pt', {
  argsz: u32,
  flags: bits({ VFIO_DEVICE_DETACH_PASID: ATTACH_PASID }),
  pasid: u32,
});
/** Of a token, which is a UUID. */
const TOKEN_BYTES = 16;

/** The ioctls of a device's own file that bring it together with an iommufd, or are another's elsewhere. */
export const cdevIoctls: IoctlTable<VfioDevice> = new Map([
  ...exactTable<VfioDevice>({
    VFIO_DEVICE_BIND_IOMMUFD: [VFIO_DEVICE_BIND_IOMMUFD, BindStruct, bind],
  }),
  ...wakingTable({
    VFIO_DEVICE_ATTACH_IOMMUFD_PT: [VFIO_DEVICE_ATTACH_IOMMUFD_PT, AttachStruct, attach],
    VFIO_DEVICE_DETACH_IOMMUFD_PT: [VFIO_DEVICE_DETACH_IOMMUFD_PT, DetachStruct, detach],
    VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: [
      VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
      HotResetStruct,
      hotResetInfoByCdev,
    ],
    VFIO_DEVICE_PCI_HOT_RESET: [VFIO_DEVICE_PCI_HOT_RESET, HotResetStruct, hotResetByCdev],
  }),
]);

/** An open of a device's file, as BIND_IOMMUFD through it sees it. */
export interface Opening {
  /** Has the device been bound through it? */
  readonly bound: boolean;
  /** Does `act` for `caller`, by which it gets the device. @throws Refusal when another has it. */
  take<T>(caller: Caller, act: () => T): T;
}

/** Both descriptors are presented: the device's, and that of an open /dev/iommu. */
function bind(device: VfioDevice, caller: Caller, call: IoctlCall): number {
  return bindThrough({ bound: device.bound, take: (_, act) => act() }, device, caller, call);
}

/** As `bind`. @param opening the file that it is called on. */
export function bindThrough(opening: Opening, device: VfioDevice, caller: Caller, call: IoctlCall): number {
  const { at } = BindStruct;
  const data = readBind(caller, call);
  const fd = getS32(data, at.iommufd);
  device.checkUngrouped();
  if (opening.bound) refuse('EINVAL', `${device.name} is bound to an iommufd already`);
  if (getU32(data, at.flags) & BIND_TOKEN) refuseToken(device, caller, getU64(data, at.token_uuid_ptr));
  const context = presentedIommufd(caller, fd);
  // A reply that cannot be stored would leave a binding whose id nobody knows. So ask first: what is there is
  // written back.
  const reply = data.subarray(0, at.token_uuid_ptr);
  caller.writeMemory(call.arg, reply);
  setU32(
    data,
    at.out_devid,
    opening.take(caller, () => device.bind(context)),
  );
  caller.writeMemory(call.arg, reply);
  return 0;
}

/** The struct of BIND, the end of which came later. @throws Refusal E2BIG for what comes after it; EINVAL. */
export function readBind(caller: Caller, call: IoctlCall): Uint8Array {
  const { at, size } = BindStruct;
  const data = new Uint8Array(size);
  caller.readMemory(call.arg, data.subarray(0, 4));
  const argsz = getU32(data, at.argsz);
  if (argsz < at.token_uuid_ptr) refuse('EINVAL', `argsz ${argsz} is less than the struct of BIND_IOMMUFD`);
  checkTail('BIND_IOMMUFD', caller, call.arg, size, argsz);
  caller.readMemory(call.arg, data.subarray(0, Math.min(argsz, size)));
  const flags = getU32(data, at.flags);
  if (flags & ~BIND_TOKEN) refuse('EINVAL', `flags ${hex(flags)} have bits that BIND_IOMMUFD does not know`);
  if (getS32(data, at.iommufd) < 0) refuse('EINVAL', `descriptor ${getS32(data, at.iommufd)} is negative`);
  return data;
}

/**
 * Only virtual functions have tokens. One of a whole function is read first. @throws Refusal EINVAL; EFAULT
 * when it is not there.
 */
function refuseToken({ life, name }: VfioDevice, caller: Caller, address: number): never {
  if (!life.mediated) caller.readMemory(address, new Uint8Array(TOKEN_BYTES));
  return refuse('EINVAL', `${name} is no virtual function, and needs no token`);
}

/** Can it be asked to attach PASIDs? A whole function always can, and says which it has. */
function attachesPasids({ life, pci, place }: VfioDevice): boolean {
  return !life.mediated || (pci.pasidBits !== undefined && !place.strict);
}

function* attach(device: VfioDevice, caller: Caller, call: IoctlCall): Work<number> {
  const { arg } = call;
  const { at, size } = AttachStruct;
  const { data, pasid } = readAttachment(device, caller, call, at.pasid, size);
  caller.writeMemory(call.arg, data.subarray(0, at.pasid));
  setU32(data, at.pt_id, yield* device.attach(getU32(data, at.pt_id), pasid));
  caller.writeMemory(arg, data.subarray(0, at.pasid));
  return 0;
}

function* detach(device: VfioDevice, caller: Caller, call: IoctlCall): Work<number> {
  const { at, size } = DetachStruct;
  yield* device.detach(readAttachment(device, caller, call, at.pasid, size).pasid);
  return 0;
}

/**
 * ATTACH and DETACH have a PASID at their end when a flag says so. @throws Refusal EOPNOTSUPP of a mediated
 * device without PASIDs.
 */
function readAttachment(
  device: VfioDevice,
  caller: Caller,
  call: IoctlCall,
  pasidAt: number,
  size: number,
): { data: Uint8Array; pasid: Vpasid } {
  const first = readStruct(caller, call, pasidAt);
  const flags = getU32(first, 4);
  if (flags & ~ATTACH_PASID) refuse('EINVAL', `flags ${hex(flags)} have bits that are unknown`);
  if ((flags & ATTACH_PASID) === 0) return { data: first, pasid: NO_PASID };
  if (!attachesPasids(device)) refuse('EOPNOTSUPP', `${device.name} is mediated, and has no PASIDs`);
  const data = readStruct(caller, call, size);
  return { data, pasid: vpasidOf(getU32(data, pasidAt)) };
}
