/**
 * A VFIO device: what stands behind `/dev/vfio/devices/vfioN`, the driver of one device model.
 *
 * It has what is VFIO's: regions, configuration space, interrupts, the binding to an iommufd. Who has it open
 * and what it is authorized for is its life (driver/device-life.ts), which is every driver's. Invariant:
 * while it is bound to an iommufd or to a container, its life belongs to that ABI, and page requests go to
 * the binding of an iommufd.
 *
 * A model that has failed answers EIO in its BARs until it is reset. ERR is raised once for each failure:
 * nobody calls up here, so whatever lets the model do something is followed by a look at their number.
 */
import type { CalledModel } from '../devices/called-model.js';
import type { PciDescription } from '../devices/device-model.js';
import { DeviceLife } from '../driver/device-life.js';
import type { FileDriver } from '../driver/driver.js';
import type { PciPort } from '../driver/pci-port.js';
import type { Caller, FileCall } from '../file/open-file.js';
import { releasing, type Sliced, type Work } from '../file/work.js';
import type { IoasidContext } from '../ioasid/context.js';
import type { PageTable } from '../iommu/page-table.js';
import { NO_PASID, type Pasid, type Vpasid } from '../iommu/pasid.js';
import type { IommufdContext } from '../iommufd/context.js';
import { refuse } from '../linux/errno.js';
import { Bars } from './bars.js';
import { configNames } from './config-names.js';
import type { ConfigSpace } from './config-space.js';
import { ContainerBinding } from './container-binding.js';
import type { Interrupts } from './interrupts.js';
import { IoEventfds } from './ioeventfds.js';
import { IommufdBinding } from './iommufd-binding.js';
import type { IrqRequest } from './irq-request.js';
import { LowPower } from './low-power.js';

/** Region indices of a PCI device (`<linux/vfio.h>`, VFIO_PCI_*_REGION_INDEX); BARs are 0 to 5. */
export const ROM_REGION = 6;
export const CONFIG_REGION = 7;
export const NUM_REGIONS = 9;

/** Where a device is. */
export interface DevicePlace {
  /** N of its group's file, `/dev/vfio/N`. */
  readonly group: number;
  /** What a reset of its bus resets, itself among it; undefined: a root bus, which cannot be reset. */
  readonly bus: readonly VfioDevice[] | undefined;
  /** As of Bars; a mediated device has no PASIDs. */
  readonly strict: boolean;
}

export class VfioDevice implements FileDriver {
  /** The file's name: `vfio0`. */
  readonly name: string;
  readonly life: DeviceLife;
  readonly hasAsids = false;
  readonly #port: PciPort;
  /** What its configuration space is built from. */
  readonly pci: PciDescription;
  readonly place: DevicePlace;
  readonly #config: ConfigSpace;
  readonly #irqs: Interrupts;
  readonly #bars: Bars;
  readonly ioeventfds: IoEventfds;
  readonly power: LowPower;
  #grouped = false;
  /** Is it bound by its own file? */
  #ownFile = false;
  #binding: IommufdBinding | ContainerBinding | undefined;
  /** All that it has to do waits for pages. */
  #waits = false;
  /** The failures of the model that ERR has been raised for. */
  #failuresTold = 0;

  constructor(port: PciPort, model: CalledModel, config: ConfigSpace, irqs: Interrupts, place: DevicePlace) {
    this.name = model.calls.name;
    this.life = new DeviceLife(this.name, port, model);
    this.#port = port;
    this.pci = model.pci;
    this.place = place;
    this.#config = config;
    this.#irqs = irqs;
    this.#bars = new Bars(model, config, irqs, place.strict);
    this.power = new LowPower(this.name, this.#bars, config);
    this.#listen();
    this.ioeventfds = new IoEventfds(this.#bars, irqs.msix);
  }

  /** What a call on its file uses (OpenFile.uses). */
  uses(call: FileCall): readonly object[] {
    const context = this.#binding?.context;
    const reset = this.place.bus ?? [this];
    if (call === 'ioctl') return context === undefined ? reset : [...reset, context];
    if (call !== 'release') return [this];
    return context === undefined ? [this, ...this.life.contexts()] : [this, context];
  }

  /** Has it a reset of its own, or for itself one of its bus? */
  get resettable(): boolean {
    return this.#config.resettable || this.place.bus?.length === 1;
  }

  /** Is it bound to an iommufd or a container? */
  get bound(): boolean {
    return this.#binding !== undefined;
  }

  /** What it is in the iommufd that it is bound to. */
  get iommufdDevice(): IommufdBinding | undefined {
    return this.#binding instanceof IommufdBinding ? this.#binding : undefined;
  }

  /**
   * The last descriptor is gone: DMA is drained, everything is revoked, the device is as before it was
   * opened.
   */
  close(): Work<void> {
    const binding = this.#binding;
    const { unanswered } = this.#irqs;
    if (unanswered !== undefined) this.life.work.calls.note(`it is closed while ${unanswered}`);
    return releasing([
      () => this.ioeventfds.close(),
      () => this.power.exit(),
      () => this.#bars.close(),
      () => this.life.work.stop(),
      () => this.#raiseFailures(),
      () => binding?.close(),
      () => {
        this.#binding = undefined;
        this.#ownFile = false;
        this.#listen();
      },
      () => this.life.close(),
      () => this.#irqs.close(),
      () => this.#config.reset(),
    ]);
  }

  /** A descriptor is gone: when it returns nothing is in flight. */
  flush(): Work<void> {
    return this.#drain(undefined);
  }

  /** IOASID_AUTHORIZE. @throws Refusal as DeviceLife.authorize. */
  authorize(context: IoasidContext, pasid: Pasid, vpasid?: Vpasid, cookie?: number): void {
    this.life.authorize(context, pasid, vpasid, cookie);
  }

  /** IOASID_REVOKE. @throws Refusal as DeviceLife.revoke. */
  revoke(pasid: Pasid): Work<void> {
    return this.#watched(this.life.revoke(pasid));
  }

  /**
   * The file of its group is open: the device can be bound through that only, until `leaveGroup`.
   * @throws Refusal EBUSY when it is bound by its own file.
   */
  joinGroup(): void {
    if (this.#ownFile)
      refuse('EBUSY', `${this.name} of group ${this.place.group} is bound to an iommufd by its own file`);
    this.#grouped = true;
  }

  /** The file of the group, and all that was opened through it, is closed. */
  leaveGroup(): void {
    this.#grouped = false;
  }

  /**
   * VFIO_DEVICE_BIND_IOMMUFD: the device becomes an object of `context`, which whoever calls has been shown
   * to hold. @returns the object's id.
   * @throws Refusal EINVAL when it is bound already; EBUSY when it is authorized by the native ABI or its
   * group is open.
   */
  bind(context: IommufdContext): number {
    this.checkUngrouped();
    const id = this.bindGrouped(context);
    this.#ownFile = true;
    return id;
  }

  /** @throws Refusal EBUSY when its group is open. */
  checkUngrouped(): void {
    if (this.#grouped)
      refuse('EBUSY', `the group of ${this.name} is open, and ${this.name} can be had through that only`);
  }

  /** As `bind`, on the way through the device's group. */
  bindGrouped(context: IommufdContext): number {
    if (this.#binding !== undefined) refuse('EINVAL', `${this.name} is bound to an iommufd already`);
    this.life.checkUnauthorized();
    const binding = new IommufdBinding(this.name, this.#port, this.pci, context);
    this.#binding = binding;
    this.#port.pager = binding;
    this.life.bind('bound to an iommufd; attach it to page tables of that');
    return binding.device.id;
  }

  /**
   * On the way through its group: `table`, of the type1 container `container`, translates what it does.
   * @throws Refusal EBUSY when it is authorized by the native ABI; ENOSPC as DevicePort.enter.
   */
  enterContainer(container: object, table: PageTable): void {
    this.life.bind('in a type1 container; map memory there');
    this.#binding = new ContainerBinding(this.#port, container, table);
  }

  /** ATTACH_IOMMUFD_PT. @returns the HWPT's id. @throws Refusal EINVAL unbound; as IommufdBinding.attach. */
  attach(id: number, pasid: Vpasid): Work<number> {
    return this.#bound().attach(id, pasid);
  }

  /** DETACH_IOMMUFD_PT: work is drained, then DMA reaches nothing. @throws Refusal EINVAL it is not bound. */
  detach(pasid: Vpasid): Work<void> {
    return this.#detach(this.#bound(), pasid);
  }

  /**
   * VFIO_DEVICE_RESET: all work is dropped and the model is as after power-on, in D0. Configuration space and
   * the eventfds of interrupts are restored to what they were, as Linux does around a function level reset;
   * authorizations stay.
   * @throws Refusal EINVAL when the function has no reset; EIO when the model fails at it.
   */
  reset(): void {
    if (!this.resettable) refuse('EINVAL', `${this.name} is of conventional PCI, which has no reset`);
    this.resetWithBus();
    const { failure } = this.life.work.calls;
    if (failure !== undefined) refuse('EIO', failure);
  }

  /** As `reset`, by the bus, which asks no function whether it can be. */
  resetWithBus(): void {
    this.#bars.reset();
    this.life.work.reset();
    this.#bars.settle();
    this.#config.leaveD3hot();
    this.#irqs.deviceReset();
    this.#raiseFailures();
  }

  step(): boolean {
    const { work } = this.life;
    this.#waits = (work.busy() || !this.#bars.looking) && !work.step();
    this.#raiseFailures();
    return !this.#waits || this.#bars.looking;
  }

  /** Is there accepted work, or may some come that nobody tells of? */
  busy(): boolean {
    this.#hear();
    this.#bars.lookOn(this.life.work.busy() && !this.#waits);
    const busy = this.life.work.busy();
    this.#raiseFailures();
    return busy || this.#bars.looking;
  }

  /**
   * Bytes of region `index`, 0 when there is no such BAR or ROM. @throws Refusal EINVAL for the VGA region
   * and indices past it.
   */
  regionSize(index: number): number {
    if (index === CONFIG_REGION) return this.#config.size;
    if (index > CONFIG_REGION) refuse('EINVAL', `${this.name} has no region ${index}`);
    return this.#bars.size(index);
  }

  /** May region `index` be mapped? */
  mappable(index: number): boolean {
    return index < ROM_REGION && this.#bars.mappable(index);
  }

  /** As Bars.write64. */
  write64(index: number, offset: number, source: Uint8Array): boolean {
    this.#hear();
    try {
      return this.#bars.write64(index, offset, source);
    } finally {
      this.#raiseFailures();
    }
  }

  /** What may be done with its BARs whatever state it is in. */
  get bars(): Pick<Bars, 'memory' | 'export' | 'pages' | 'checkMapping' | 'isPortal'> {
    return this.#bars;
  }

  /** What people call what lies at `offset` of region `index`; undefined: it has no name. */
  nameAt(index: number, offset: number): string | undefined {
    if (index === CONFIG_REGION) return configNames.get(offset);
    return index < ROM_REGION ? this.#bars.nameAt(index, offset) : undefined;
  }

  /**
   * Fills `target` from byte `offset` of region `index`. @returns the bytes read: fewer at the end of a BAR.
   * @param mapped by a load of its mapping, which sees the entries of the MSI-X table.
   * @throws Refusal EINVAL for a region that is not there or an offset past the end of a BAR; EFAULT past the
   * end of configuration space; EIO while memory space is disabled or the model has failed, and for a load in
   * low power, which does not wake it.
   */
  readRegion(index: number, offset: number, target: Uint8Array, mapped = false): number {
    if (target.length === 0) return 0;
    if (!mapped) this.power.wake();
    this.#hear();
    if (index === CONFIG_REGION) {
      this.#config.read(offset, target);
      return target.length;
    }
    try {
      return this.#bars.read(index, offset, target, mapped);
    } finally {
      this.#raiseFailures();
    }
  }

  /**
   * Writes `source` at byte `offset` of region `index`. @returns the bytes written: fewer at the end of a
   * BAR.
   * @param mapped by a store to its mapping.
   * @throws Refusal as readRegion; EINVAL for what a portal does not take; EAGAIN when the device cannot take
   * it now.
   */
  writeRegion(index: number, offset: number, source: Uint8Array, mapped = false): number {
    if (source.length === 0) return 0;
    if (!mapped) this.power.wake();
    this.#hear();
    if (index === CONFIG_REGION) {
      this.#writeConfig(offset, source);
      return source.length;
    }
    try {
      return this.#bars.write(index, offset, source, mapped);
    } finally {
      this.#raiseFailures();
    }
  }

  /** Its driver is to give it up: raises REQ. */
  askBack(): void {
    this.#irqs.raiseRequest();
  }

  /** Vectors of interrupt `index`, 0 when the device does not have that kind. */
  irqCount(index: number): number {
    return this.#irqs.count(index);
  }

  /** VFIO_DEVICE_SET_IRQS. @throws Refusal as Interrupts.set. */
  setIrqs(request: IrqRequest, caller: Caller): Sliced<void> {
    this.#hear();
    return this.#irqs.set(request, caller);
  }

  /** Page requests, of a device that makes some, go where it is authorized, until it is bound. */
  #listen(): void {
    this.#port.pager = this.pci.pageRequests === true ? this.life : undefined;
  }

  /** Does what the program has asked for by eventfds, which comes before what it asks for by calls. */
  #hear(): void {
    this.#irqs.hear();
    this.ioeventfds.hear();
    this.#bars.hear();
  }

  #bound(): IommufdBinding {
    if (this.#binding instanceof IommufdBinding) return this.#binding;
    return refuse('EINVAL', `${this.name} is not bound to an iommufd`);
  }

  #drain(vpasid: Vpasid | undefined): Work<void> {
    return this.#watched(this.life.work.drain(vpasid));
  }

  /** Does `work`, in which the model may fail. */
  *#watched(work: Work<void>): Work<void> {
    yield* work;
    this.#raiseFailures();
  }

  *#detach(binding: IommufdBinding, pasid: Vpasid): Work<void> {
    const work = pasid === NO_PASID ? undefined : pasid;
    yield* this.#drain(work);
    binding.detach(pasid);
    // What has waited for a page has been told that it will not come.
    yield* this.#drain(work);
  }

  /** Raises ERR for each failure of the model that has come to pass since the last look. */
  #raiseFailures(): void {
    const { failures } = this.life.work.calls;
    if (this.#failuresTold < failures) this.#bars.settle();
    for (; this.#failuresTold < failures; this.#failuresTold++) this.#irqs.raiseError();
  }

  #writeConfig(offset: number, source: Uint8Array): void {
    const resetAsked = this.#config.write(offset, source);
    this.#bars.settle();
    if (resetAsked) this.reset();
    this.#irqs.configWritten(offset, source.length);
  }
}
