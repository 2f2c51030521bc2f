/**
 * VfioDeviceFile: an open `/dev/vfio/devices/vfioN`, typed: ours or the kernel's. Besides VFIO's own ioctls
 * it has the two of the native ABI, AUTHORIZE and REVOKE.
 */
import { AuthorizeStruct, ioctlNumber, RevokeStruct } from '../uapi/ioasid.js';
import { getU32, getU64, setU32 } from '../uapi/struct.js';
import {
  DeviceInfoStruct,
  IRQ_SET_ACTION_TRIGGER,
  IRQ_SET_DATA_EVENTFD,
  IrqInfoStruct,
  IrqSetStruct,
  RegionInfoStruct,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_DEVICE_RESET,
  VFIO_DEVICE_SET_IRQS,
} from '../uapi/vfio.js';
import {
  ATTACH_PASID,
  AttachStruct,
  BindStruct,
  DetachStruct,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
} from '../uapi/vfio-cdev.js';
import { type Ioasid, prepared } from './ioasid.js';
import type { Iommufd } from './iommufd.js';
import type { Transport } from './transport.js';

/** Index of the configuration space among the regions. */
export const CONFIG_REGION = 7;
const COMMAND = 4;
const COMMAND_MEMORY = 2;
const COMMAND_BUS_MASTER = 4;

export class VfioDeviceFile {
  readonly transport: Transport;
  readonly fd: number;
  readonly #offsets = new Map<number, number>();

  /** Takes over descriptor `fd`. */
  constructor(transport: Transport, fd: number) {
    this.transport = transport;
    this.fd = fd;
  }

  /** Opens `vfio/devices/NAME`. @throws Refusal EBUSY while it is open elsewhere. */
  static open(transport: Transport, name: string): VfioDeviceFile {
    return new VfioDeviceFile(transport, transport.open(`vfio/devices/${name}`));
  }

  /**
   * Authorizes the device for `pasid` of `ioasid`: both descriptors are presented. `vpasid` is what an mdev
   * is to call it.
   */
  authorize(ioasid: Ioasid | number, pasid: number, vpasid = 0): void {
    const data = prepared(AuthorizeStruct);
    const { at } = AuthorizeStruct;
    setU32(data, at.ioasid_fd, typeof ioasid === 'number' ? ioasid : ioasid.fd);
    setU32(data, at.pasid, pasid);
    setU32(data, at.vpasid, vpasid);
    this.transport.ioctl(this.fd, ioctlNumber('IOASID_AUTHORIZE'), data);
  }

  /** Takes `pasid` back from the device. When this returns no DMA of the device reaches it any more. */
  revoke(pasid: number): void {
    const data = prepared(RevokeStruct);
    setU32(data, RevokeStruct.at.pasid, pasid);
    this.transport.ioctl(this.fd, ioctlNumber('IOASID_REVOKE'), data);
  }

  /**
   * Binds the device to `iommufd`: both descriptors are presented. Until then a device of the kernel's does
   * nothing. @returns its id there.
   */
  bind(iommufd: Iommufd | number): number {
    const { at, size } = BindStruct;
    const data = argsz(size);
    setU32(data, at.iommufd, typeof iommufd === 'number' ? iommufd : iommufd.fd);
    this.transport.ioctl(this.fd, VFIO_DEVICE_BIND_IOMMUFD, data);
    return getU32(data, at.out_devid);
  }

  /**
   * Attaches the device to IOAS or HWPT `pageTable`; if it is attached already, replaces that in one step.
   * @param pasid the requests meant; without it, those that carry no PASID.
   * @returns the id of the HWPT; one is made when an IOAS is given.
   */
  attach(pageTable: number, pasid?: number): number {
    const { at } = AttachStruct;
    const data = argsz(pasid === undefined ? at.pasid : AttachStruct.size);
    setU32(data, at.pt_id, pageTable);
    setPasid(data, pasid);
    this.transport.ioctl(this.fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, data);
    return getU32(data, at.pt_id);
  }

  /** Takes the attachment away. When this returns no DMA of the device reaches anything there any more. */
  detach(pasid?: number): void {
    const data = argsz(pasid === undefined ? DetachStruct.at.pasid : DetachStruct.size);
    setPasid(data, pasid);
    this.transport.ioctl(this.fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, data);
  }

  info(): { readonly flags: number; readonly regions: number; readonly irqs: number } {
    const data = argsz(DeviceInfoStruct.size);
    this.transport.ioctl(this.fd, VFIO_DEVICE_GET_INFO, data);
    const { at } = DeviceInfoStruct;
    return {
      flags: getU32(data, at.flags),
      regions: getU32(data, at.num_regions),
      irqs: getU32(data, at.num_irqs),
    };
  }

  regionInfo(index: number): { readonly flags: number; readonly size: number; readonly offset: number } {
    const { at, size } = RegionInfoStruct;
    const data = argsz(size);
    setU32(data, at.index, index);
    this.transport.ioctl(this.fd, VFIO_DEVICE_GET_REGION_INFO, data);
    return { flags: getU32(data, at.flags), size: getU64(data, at.size), offset: getU64(data, at.offset) };
  }

  irqInfo(index: number): { readonly flags: number; readonly count: number } {
    const { at, size } = IrqInfoStruct;
    const data = argsz(size);
    setU32(data, at.index, index);
    this.transport.ioctl(this.fd, VFIO_DEVICE_GET_IRQ_INFO, data);
    return { flags: getU32(data, at.flags), count: getU32(data, at.count) };
  }

  /** Connects vectors `start`.. of interrupt `index` to eventfds. -1 disconnects one. */
  setEventfds(index: number, start: number, eventfds: readonly number[]): void {
    const { at, size } = IrqSetStruct;
    const data = argsz(size + 4 * eventfds.length);
    setU32(data, at.flags, IRQ_SET_DATA_EVENTFD | IRQ_SET_ACTION_TRIGGER);
    setU32(data, at.index, index);
    setU32(data, at.start, start);
    setU32(data, at.count, eventfds.length);
    for (const [n, fd] of eventfds.entries()) setU32(data, size + 4 * n, fd);
    this.transport.ioctl(this.fd, VFIO_DEVICE_SET_IRQS, data);
  }

  reset(): void {
    this.transport.ioctl(this.fd, VFIO_DEVICE_RESET, new Uint8Array(0));
  }

  /**
   * Turns memory space and bus mastering on, as a driver does first: without the one BARs do not answer,
   * without the other there is no DMA.
   */
  enable(): void {
    const command = this.read(CONFIG_REGION, COMMAND, 2);
    command[0]! |= COMMAND_MEMORY | COMMAND_BUS_MASTER;
    this.write(CONFIG_REGION, COMMAND, command);
  }

  /** @returns `length` bytes from `offset` of region `index`. */
  read(index: number, offset: number, length: number): Uint8Array {
    const target = new Uint8Array(length);
    const read = this.transport.pread(this.fd, this.#regionOffset(index) + offset, target);
    return target.subarray(0, read);
  }

  /** @throws Refusal EAGAIN when the device cannot take it now. */
  write(index: number, offset: number, source: Uint8Array): void {
    this.transport.pwrite(this.fd, this.#regionOffset(index) + offset, source);
  }

  read32(index: number, offset: number): number {
    return getU32(this.read(index, offset, 4), 0);
  }

  write32(index: number, offset: number, value: number): void {
    const bytes = new Uint8Array(4);
    setU32(bytes, 0, value);
    this.write(index, offset, bytes);
  }

  close(): void {
    this.transport.close(this.fd);
  }

  #regionOffset(index: number): number {
    const known = this.#offsets.get(index);
    if (known !== undefined) return known;
    const { offset } = this.regionInfo(index);
    this.#offsets.set(index, offset);
    return offset;
  }
}

/** The PASID is the last field of its struct, and a flag says that it is there. */
function setPasid(data: Uint8Array, pasid: number | undefined): void {
  if (pasid === undefined) return;
  setU32(data, AttachStruct.at.flags, ATTACH_PASID);
  setU32(data, data.length - 4, pasid);
}

/** A zeroed VFIO struct whose first field says how long it is. */
function argsz(size: number): Uint8Array {
  const data = new Uint8Array(size);
  setU32(data, 0, size);
  return data;
}
