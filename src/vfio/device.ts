/**
 * A VFIO device: what stands behind `/dev/vfio/devices/vfioN`, the driver of one device model.
 *
 * It owns who has the device open, which PASIDs it is authorized for (the port's list) or which iommufd it is
 * bound to, its configuration space and its interrupts. Calls go down only: into the context for an address
 * space, into the IOMMU for an entry, into the model for its registers. Invariant: for each authorization in
 * the list there is one use of its PASID in its context, if it is of one, and one grant to the requester id,
 * and no other; when the device is not open the list is empty.
 *
 * Models are written by people. One that throws has failed: its BARs answer EIO until it is reset, and ERR is
 * raised. One that never gets done is reset after a bounded number of steps.
 */
import type { DeviceModel } from '../devices/device-model.js';
import type { Caller } from '../file/open-file.js';
import type { IoasidContext } from '../ioasid/context.js';
import type { IommufdContext } from '../iommufd/context.js';
import { hex, refuse } from '../linux/errno.js';
import type { Authorization } from './authorizations.js';
import { CONFIG_SPACE_SIZE, type ConfigSpace } from './config-space.js';
import type { DevicePort } from './device-port.js';
import type { Interrupts, IrqRequest } from './interrupts.js';
import { IommufdBinding } from './iommufd-binding.js';

/** Region indices of a PCI device (`<linux/vfio.h>`, VFIO_PCI_*_REGION_INDEX); BARs are 0 to 5. */
export const ROM_REGION = 6;
export const CONFIG_REGION = 7;
export const NUM_REGIONS = 9;

/** Steps that a drain waits for; about ten seconds of work, as a step is at most a millisecond. */
export const DRAIN_STEPS = 10_000;

export class VfioDevice {
  /** The file's name: `vfio0`. */
  readonly name: string;
  readonly #port: DevicePort;
  readonly #model: DeviceModel;
  readonly #config: ConfigSpace;
  readonly #irqs: Interrupts;
  /** BAR sizes in bytes by index, 0 where there is none. */
  readonly #barSizes: readonly number[];
  /** Its group's file is open: it can be bound through that only. Set by VfioGroup. */
  grouped = false;
  #holder: number | undefined;
  #granted = false;
  #failure: string | undefined;
  #binding: IommufdBinding | undefined;

  constructor(name: string, port: DevicePort, model: DeviceModel, config: ConfigSpace, irqs: Interrupts) {
    this.name = name;
    this.#port = port;
    this.#model = model;
    this.#config = config;
    this.#irqs = irqs;
    this.#barSizes = [0, 1, 2, 3, 4, 5].map(
      (index) => model.pci.bars.find((bar) => bar.index === index)?.size ?? 0,
    );
  }

  /** The requester id that its DMA carries. */
  get rid(): string {
    return this.#port.requester.rid;
  }

  get mediated(): boolean {
    return this.#port.mediated;
  }

  /** The process that opened the device, or undefined while it is not open. */
  get holder(): number | undefined {
    return this.#holder;
  }

  /** Why the model has failed, or undefined while it works. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Is it bound to an iommufd? */
  get bound(): boolean {
    return this.#binding !== undefined;
  }

  /** Has whoever opened it presented a context since, of either ABI? */
  get granted(): boolean {
    return this.#granted;
  }

  /** What the device is authorized for, for `ls`. */
  authorizations(): IterableIterator<Authorization> {
    return this.#port.authorizations.values();
  }

  /** A process opens the device. @throws Refusal EBUSY while it is open. */
  open(pid: number): void {
    if (this.#holder !== undefined)
      refuse('EBUSY', `${this.name} is open already, in process ${this.#holder}`);
    this.#holder = pid;
  }

  /**
   * The last descriptor is gone: DMA is drained, everything is revoked, the device is as before it was
   * opened.
   */
  close(): void {
    this.#drain(undefined);
    this.#resetModel();
    this.#binding?.close();
    this.#binding = undefined;
    this.#port.pager = undefined;
    for (const authorization of this.#port.authorizations.values()) this.#leave(authorization);
    this.#irqs.close();
    this.#config.reset();
    this.#granted = false;
    this.#holder = undefined;
  }

  /**
   * Waits for accepted work: when it returns nothing is in flight. What waits for a page is not: whoever
   * would answer may be the one who closes. A model that does not get done is reset, since a close may not
   * wait for ever.
   */
  flush(): void {
    if (!this.#drain(undefined)) this.#resetModel();
  }

  /**
   * Lets the device use PASID `pasid` of `context`, which whoever calls has been shown to hold. The program
   * knows it as `vpasid` (0: as `pasid`).
   * @throws Refusal EINVAL when the device cannot have that number, EEXIST when the PASID or vpasid is in use
   * in it, EBUSY when it can be authorized for one PASID only and is, ENOENT when the PASID is not in the
   * context.
   */
  authorize(context: IoasidContext, pasid: number, vpasid: number): void {
    const { authorizations, requester } = this.#port;
    const { pci } = this.#model;
    if (this.#binding !== undefined)
      refuse('EBUSY', `${this.name} is bound to an iommufd; attach it to page tables of that`);
    const number = this.#port.vpasid(pci, pasid, vpasid);
    // The context is asked first: whoever does not hold the PASID learns nothing of what the device has.
    const space = context.use(pasid);
    try {
      if (pci.pasidBits === undefined && authorizations.size > 0 && authorizations.get(pasid) === undefined) {
        refuse(
          'EBUSY',
          `requests of ${this.name} carry no PASID, and it is authorized for another than PASID ${pasid} already`,
        );
      }
      authorizations.check(this.name, pasid, number);
      requester.grant(this.#port.entry(pci, pasid), space.table);
    } catch (refusal) {
      context.unuse(pasid);
      throw refusal;
    }
    authorizations.add({ pasid, vpasid: number, context });
    this.#granted = true;
  }

  /**
   * Takes PASID `pasid` back: its work is drained, then its entry is gone. @throws Refusal ENOENT when the
   * device is not authorized for it.
   */
  revoke(pasid: number): void {
    const authorization = this.#port.authorizations.get(pasid);
    // The PASID of an attachment is none that a context has given: it goes by DETACH.
    if (authorization?.context === undefined)
      refuse('ENOENT', `${this.name} is not authorized for PASID ${pasid}`);
    const drained = this.#drain(this.#model.pci.pasidBits === undefined ? undefined : authorization.vpasid);
    // Work that is left over would run in whatever address space its number means next.
    if (!drained) this.#resetModel();
    this.#leave(authorization);
  }

  /**
   * VFIO_DEVICE_BIND_IOMMUFD: the device becomes an object of `context`, which whoever calls has been shown
   * to hold. @returns the object's id.
   * @throws Refusal EINVAL when it is bound already; EBUSY when it is authorized by the native ABI or its
   * group is open.
   */
  bind(context: IommufdContext): number {
    if (this.grouped)
      refuse('EBUSY', `the group of ${this.name} is open, and ${this.name} can be had through that only`);
    return this.bindGrouped(context);
  }

  /** As `bind`, on the way through the device's group. */
  bindGrouped(context: IommufdContext): number {
    if (this.#binding !== undefined) refuse('EINVAL', `${this.name} is bound to an iommufd already`);
    if (this.#port.authorizations.size > 0)
      refuse('EBUSY', `${this.name} is authorized for PASIDs of a /dev/ioasid`);
    this.#binding = new IommufdBinding(this.name, this.#port, this.#model.pci, context);
    this.#port.pager = this.#binding;
    this.#granted = true;
    return this.#binding.device.id;
  }

  /**
   * ATTACH_IOMMUFD_PT. @returns the HWPT's id. @throws Refusal EINVAL when the device is not bound; and as
   * IommufdBinding.attach.
   */
  attach(id: number, pasid: number): number {
    return this.#bound().attach(id, pasid);
  }

  /**
   * DETACH_IOMMUFD_PT: the device's work is drained, then its DMA reaches nothing. @throws Refusal EINVAL
   * when the device is not bound.
   */
  detach(pasid: number): void {
    const binding = this.#bound();
    const work = pasid === 0 ? undefined : pasid;
    if (!this.#drain(work)) this.#resetModel();
    binding.detach(pasid);
    // What has waited for a page has been told that it will not come.
    if (!this.#drain(work)) this.#resetModel();
  }

  /**
   * VFIO_DEVICE_RESET: all work is dropped and the model is as after power-on. Configuration space and the
   * eventfds of interrupts are restored to what they were, as Linux does around a function level reset;
   * authorizations stay.
   * @throws Refusal EIO when the model fails at it.
   */
  reset(): void {
    this.#resetModel();
    this.#irqs.deviceReset();
    if (this.#failure !== undefined) refuse('EIO', this.#failure);
  }

  /**
   * Lets the model do a slice of its work. @returns false when all of it waits for pages: there is nothing to
   * be done before an answer.
   */
  step(): boolean {
    if (this.#failure !== undefined) return true;
    try {
      return this.#model.step?.() !== false;
    } catch (error) {
      this.#fail(error);
      return true;
    }
  }

  /** Is there accepted work, for `vpasid` or at all? */
  busy(vpasid?: number): boolean {
    if (this.#failure !== undefined) return false;
    try {
      return this.#model.busy?.(vpasid) ?? false;
    } catch (error) {
      this.#fail(error);
      return false;
    }
  }

  /**
   * Bytes of region `index`, 0 when there is no such BAR or ROM. @throws Refusal EINVAL for the VGA region
   * and indices past it.
   */
  regionSize(index: number): number {
    if (index === CONFIG_REGION) return CONFIG_SPACE_SIZE;
    if (index === ROM_REGION) return 0;
    return this.#barSizes[index] ?? refuse('EINVAL', `${this.name} has no region ${index}`);
  }

  /**
   * Fills `target` from byte `offset` of region `index`. @returns the bytes read: fewer at the end of a BAR.
   * @throws Refusal EINVAL for a region that is not there or an offset past the end of a BAR; EFAULT past the
   * end of configuration space; EIO while memory space is disabled or the model has failed.
   */
  readRegion(index: number, offset: number, target: Uint8Array): number {
    if (target.length === 0) return 0;
    if (index === CONFIG_REGION) {
      this.#config.read(offset, target);
      return target.length;
    }
    const end = this.#barEnd(index, offset, target.length);
    for (let at = offset; at < end; ) {
      const next = this.#pieceEnd(index, at, end);
      this.#readPiece(index, at, target.subarray(at - offset, next - offset));
      at = next;
    }
    return end - offset;
  }

  /**
   * Writes `source` at byte `offset` of region `index`. @returns the bytes written: fewer at the end of a
   * BAR.
   * @throws Refusal as readRegion, and EAGAIN when the device cannot take it now.
   */
  writeRegion(index: number, offset: number, source: Uint8Array): number {
    if (source.length === 0) return 0;
    if (index === CONFIG_REGION) {
      this.#writeConfig(offset, source);
      return source.length;
    }
    const end = this.#barEnd(index, offset, source.length);
    for (let at = offset; at < end; ) {
      const next = this.#pieceEnd(index, at, end);
      if (!this.#writePiece(index, at, source.subarray(at - offset, next - offset))) {
        if (at > offset) return at - offset;
        refuse(
          'EAGAIN',
          `${this.name} cannot take the write to BAR ${index} at ${hex(offset)} now; write it again`,
        );
      }
      at = next;
    }
    return end - offset;
  }

  /** Vectors of interrupt `index`, 0 when the device does not have that kind. */
  irqCount(index: number): number {
    return this.#irqs.count(index);
  }

  /** VFIO_DEVICE_SET_IRQS. @throws Refusal as Interrupts.set. */
  setIrqs(request: IrqRequest, caller: Caller): void {
    this.#irqs.set(request, caller);
  }

  #bound(): IommufdBinding {
    return this.#binding ?? refuse('EINVAL', `${this.name} is not bound to an iommufd`);
  }

  #leave(authorization: Authorization): void {
    const { authorizations, requester } = this.#port;
    authorizations.remove(authorization);
    requester.withdraw(this.#port.entry(this.#model.pci, authorization.pasid));
    authorization.context?.unuse(authorization.pasid);
  }

  /**
   * Steps the model until its work (for `vpasid`, or all) is done, or waits for pages. @returns false when it
   * does not get that far.
   */
  #drain(vpasid: number | undefined): boolean {
    for (let steps = 0; steps < DRAIN_STEPS; steps++) {
      if (!this.busy(vpasid) || !this.step()) return true;
    }
    return !this.busy(vpasid);
  }

  #resetModel(): void {
    this.#failure = undefined;
    try {
      this.#model.reset();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#failure = `the device model of ${this.name} failed: ${error instanceof Error ? error.message : String(error)}`;
    this.#irqs.raiseError();
  }

  #writeConfig(offset: number, source: Uint8Array): void {
    const resetAsked = this.#config.write(offset, source);
    if (resetAsked) this.reset();
    this.#irqs.commandChanged();
  }

  /** Where an access of `length` bytes at `offset` of BAR `index` ends. */
  #barEnd(index: number, offset: number, length: number): number {
    const size = index < ROM_REGION ? this.#barSizes[index] : undefined;
    if (size === undefined || size === 0)
      refuse('EINVAL', `${this.name} has no region ${index} to read or write`);
    if (offset >= size) refuse('EINVAL', `offset ${hex(offset)} is past the ${size} bytes of BAR ${index}`);
    if (this.#failure !== undefined) refuse('EIO', this.#failure);
    if (!this.#config.memoryEnabled)
      refuse('EIO', `memory space is off in the command register of ${this.name}`);
    return Math.min(offset + length, size);
  }

  /**
   * Where the part of an access that begins at `at` ends: the MSI-X table lies in a BAR, but is not the
   * model's.
   */
  #pieceEnd(bar: number, at: number, end: number): number {
    return this.#irqs.msix?.boundary(bar, at, end) ?? end;
  }

  #readPiece(bar: number, offset: number, target: Uint8Array): void {
    if (this.#irqs.msix?.owns(bar, offset) === true) {
      this.#irqs.msix.read(offset, target);
      return;
    }
    target.fill(0);
    try {
      this.#model.readBar(bar, offset, target);
    } catch (error) {
      this.#fail(error);
      refuse('EIO', this.#failure!);
    }
  }

  /** @returns false when the device cannot take it now. */
  #writePiece(bar: number, offset: number, source: Uint8Array): boolean {
    if (this.#irqs.msix?.owns(bar, offset) === true) {
      this.#irqs.writeMsix(offset, source);
      return true;
    }
    try {
      return this.#model.writeBar(bar, offset, source) !== false;
    } catch (error) {
      this.#fail(error);
      refuse('EIO', this.#failure!);
    }
  }
}
