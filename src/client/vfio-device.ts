/**
 * VfioDeviceFile: an open `/dev/vfio/devices/vfioN`, typed: ours or the kernel's. Besides VFIO's own ioctls
 * it has the two of the native ABI, AUTHORIZE and REVOKE.
 */
import { deviceIoctls } from '../uapi/ioasid.js';
import { getU32, setU32 } from '../uapi/struct.js';
import {
  DeviceInfoStruct,
  IRQ_SET_ACTION_TRIGGER,
  IRQ_SET_ACTION_UNMASK,
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
import { IoEventfdStruct, VFIO_DEVICE_IOEVENTFD } from '../uapi/vfio-ioeventfd.js';
import { call, callNative } from './call.js';
import type { Ioasid } from './ioasid.js';
import type { Iommufd } from './iommufd.js';
import type { Transport } from './transport.js';

/** Index of the configuration space among the regions. */
export const CONFIG_REGION = 7;
const INTX = 0;
const COMMAND = 4;
const COMMAND_MEMORY = 2;
const COMMAND_BUS_MASTER = 4;

/** What a device has. */
export interface DeviceInfo {
  /** VFIO_DEVICE_FLAGS_*. */
  readonly flags: number;
  /** How many. */
  readonly regions: number;
  /** How many kinds of interrupts. */
  readonly irqs: number;
}

/** A region of a device. */
export interface RegionInfo {
  /** VFIO_REGION_INFO_FLAG_*. */
  readonly flags: number;
  /** Bytes; 0: there is none. */
  readonly size: number;
  /** Where it begins in the device file. */
  readonly offset: number;
}

/** A kind of interrupts of a device. */
export interface IrqInfo {
  /** VFIO_IRQ_INFO_*. */
  readonly flags: number;
  /** How many vectors. */
  readonly count: number;
}

/** An open device file of VFIO. Regions, interrupts and flags are numbered as in <linux/vfio.h>. */
export class VfioDeviceFile {
  /** The process that has it open. */
  readonly transport: Transport;
  /** The descriptor. */
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
   * is to call it, `cookie` how page faults name the device.
   */
  authorize(ioasid: Ioasid | number, pasid: number, vpasid = 0, cookie = 0): void {
    const ioasid_fd = typeof ioasid === 'number' ? ioasid : ioasid.fd;
    callNative(this, deviceIoctls.IOASID_AUTHORIZE, { ioasid_fd, pasid, vpasid, device_cookie: cookie });
  }

  /** Takes `pasid` back from the device. When this returns no DMA of the device reaches it any more. */
  revoke(pasid: number): void {
    callNative(this, deviceIoctls.IOASID_REVOKE, { pasid });
  }

  /**
   * Binds the device to `iommufd`: both descriptors are presented. Until then a device of the kernel's does
   * nothing. @returns its id there.
   */
  bind(iommufd: Iommufd | number): number {
    const fd = typeof iommufd === 'number' ? iommufd : iommufd.fd;
    return call(this, VFIO_DEVICE_BIND_IOMMUFD, BindStruct, { iommufd: fd }).out_devid;
  }

  /**
   * Attaches the device to IOAS or HWPT `pageTable`; if it is attached already, replaces that in one step.
   * @param pasid the requests meant; without it, those that carry no PASID.
   * @returns the id of the HWPT; one is made when an IOAS is given.
   */
  attach(pageTable: number, pasid?: number): number {
    const given = { pt_id: pageTable, ...pasidFields(pasid) };
    return call(this, VFIO_DEVICE_ATTACH_IOMMUFD_PT, AttachStruct, given).pt_id;
  }

  /** Takes the attachment away. When this returns no DMA of the device reaches anything there any more. */
  detach(pasid?: number): void {
    call(this, VFIO_DEVICE_DETACH_IOMMUFD_PT, DetachStruct, pasidFields(pasid));
  }

  /** VFIO_DEVICE_GET_INFO: VFIO_DEVICE_FLAGS_*, and how many regions and kinds of interrupts there are. */
  info(): DeviceInfo {
    const { flags, num_regions, num_irqs } = call(this, VFIO_DEVICE_GET_INFO, DeviceInfoStruct, {});
    return { flags, regions: num_regions, irqs: num_irqs };
  }

  /** VFIO_DEVICE_GET_REGION_INFO. @throws Refusal EINVAL there is no such region */
  regionInfo(index: number): RegionInfo {
    const { flags, size, offset } = call(this, VFIO_DEVICE_GET_REGION_INFO, RegionInfoStruct, { index });
    return { flags, size: Number(size), offset: Number(offset) };
  }

  /** VFIO_DEVICE_GET_IRQ_INFO. @throws Refusal EINVAL there is no such kind of interrupt */
  irqInfo(index: number): IrqInfo {
    const { flags, count } = call(this, VFIO_DEVICE_GET_IRQ_INFO, IrqInfoStruct, { index });
    return { flags, count };
  }

  /** Connects vectors `start`.. of interrupt `index` to eventfds. -1 disconnects one. */
  setEventfds(index: number, start: number, eventfds: readonly number[]): void {
    this.#setIrqs(IRQ_SET_ACTION_TRIGGER, index, start, eventfds);
  }

  /** A write to eventfd `fd` unmasks INTx from now on; -1 takes it away. */
  setUnmaskEventfd(fd: number): void {
    this.#setIrqs(IRQ_SET_ACTION_UNMASK, INTX, 0, [fd]);
  }

  /**
   * A write to eventfd `fd` is a write of `value`, of `width` bytes, at `offset` of BAR `bar` from now on; -1
   * takes its eventfd away.
   */
  setIoEventfd(fd: number, bar: number, offset: number, width: 1 | 2 | 4 | 8, value: bigint): void {
    const place = this.#regionOffset(bar) + offset;
    const given = { flags: width, offset: BigInt(place), data: value, fd };
    call(this, VFIO_DEVICE_IOEVENTFD, IoEventfdStruct, given);
  }

  /** VFIO_DEVICE_RESET. @throws Refusal EINVAL it has no reset */
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

  /** The 4 bytes at `offset` of region `index`, unsigned. */
  read32(index: number, offset: number): number {
    return getU32(this.read(index, offset, 4), 0);
  }

  /** Writes `value` as 4 bytes at `offset` of region `index`. @throws Refusal as `write` */
  write32(index: number, offset: number, value: number): void {
    const bytes = new Uint8Array(4);
    setU32(bytes, 0, value);
    this.write(index, offset, bytes);
  }

  /** Closes the descriptor; the last one resets the device and takes its authorizations away. */
  close(): void {
    this.transport.close(this.fd);
  }

  #setIrqs(action: number, index: number, start: number, eventfds: readonly number[]): void {
    const { size } = IrqSetStruct;
    const data = new Uint8Array(size + 4 * eventfds.length);
    const flags = IRQ_SET_DATA_EVENTFD | action;
    data.set(IrqSetStruct.encode({ argsz: data.length, flags, index, start, count: eventfds.length }));
    for (const [n, fd] of eventfds.entries()) setU32(data, size + 4 * n, fd);
    this.transport.ioctl(this.fd, VFIO_DEVICE_SET_IRQS, data);
  }

  #regionOffset(index: number): number {
    const known = this.#offsets.get(index);
    if (known !== undefined) return known;
    const { offset } = this.regionInfo(index);
    this.#offsets.set(index, offset);
    return offset;
  }
}

/** A flag says that there is a PASID. */
function pasidFields(pasid: number | undefined): { readonly flags: number; readonly pasid: number } {
  return { flags: pasid === undefined ? 0 : ATTACH_PASID, pasid: pasid ?? 0 };
}
