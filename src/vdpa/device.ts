/**
 * A vDPA device as linux/vhost.h drives it: who owns it, what of its features is acknowledged, how its queues
 * are set up, and which eventfds hear of them. The device itself is a VirtioDevice.
 *
 * What a program sets is kept here and handed to the device when a queue begins to live: when it is enabled
 * and DRIVER_OK is set, whichever comes last. Refusals are those of Linux's vhost-vdpa.
 *
 * A device whose model has failed needs a reset.
 */
import type { CalledVirtioModel } from '../devices/virtio/called-virtio-model.js';
import { Feature, has, Status } from '../devices/virtio/features.js';
import { VirtioDevice } from '../devices/virtio/virtio-device.js';
import { DeviceLife } from '../driver/device-life.js';
import type { FileDriver } from '../driver/driver.js';
import type { Doorbell, FileCall, Signal } from '../file/open-file.js';
import { releasing, type Work } from '../file/work.js';
import type { IoasidContext } from '../ioasid/context.js';
import type { Iommu } from '../iommu/iommu.js';
import type { Pasid, Vpasid } from '../iommu/pasid.js';
import { hex, refuse } from '../linux/errno.js';
import { Backend, checkBackendFeatures } from './backend-features.js';
import { Iotlb, type IotlbLimits } from './iotlb.js';
import type { VdpaPort } from './vdpa-port.js';
import { checkAddresses, Vring, type VringAddresses, type VringSignal } from './vring.js';

/** VHOST_FORK_OWNER_TASK. */
const FORK_OWNER_TASK = 1;

export class VdpaDevice implements FileDriver {
  readonly life: DeviceLife;
  readonly hasAsids = true;
  readonly virtio: VirtioDevice;
  readonly iotlb: Iotlb;
  readonly vrings: readonly Vring[];
  /** Bytes of its configuration space. */
  readonly configSize: number;
  /** VHOST_GET_FORK_FROM_OWNER: 1, or 0. It says whose thread a worker is to be, and there is none here. */
  forkFromOwner = FORK_OWNER_TASK;
  readonly #port: VdpaPort;
  /** The address space of each group of queues. */
  readonly #asids: Uint32Array;
  #owner: number | undefined;
  #backend = 0n;
  #configCall: Signal | undefined;
  /** Configuration interrupts that the program was told of. */
  #told = 0;
  #failure: string | undefined;

  constructor(
    iommu: Iommu,
    port: VdpaPort,
    name: string,
    model: CalledVirtioModel,
    limits: IotlbLimits = {},
  ) {
    this.#port = port;
    this.virtio = new VirtioDevice(model, port);
    this.life = new DeviceLife(name, port, this.virtio);
    this.configSize = this.virtio.configSize;
    this.iotlb = new Iotlb(iommu, port, name, limits);
    this.vrings = this.virtio.queues.map(() => new Vring());
    this.#asids = new Uint32Array(this.virtio.groups);
  }

  get asids(): number {
    return this.#port.asids;
  }

  /** What a call on its file uses (OpenFile.uses). */
  uses(call: FileCall): readonly object[] {
    return call === 'release' ? [this, ...this.life.contexts()] : [this];
  }

  /** VHOST_SET_OWNER. @throws Refusal EBUSY when there is one. */
  setOwner(pid: number): void {
    if (this.#owner !== undefined)
      refuse('EBUSY', `${this.life.name} is owned by process ${this.#owner} already`);
    this.#owner = pid;
  }

  /** VHOST_SET_FORK_FROM_OWNER. @throws Refusal EBUSY there is an owner already; EINVAL neither 0 nor 1. */
  setForkFromOwner(value: number): void {
    if (this.#owner !== undefined)
      refuse('EBUSY', `process ${this.#owner} owns ${this.life.name}: whose thread a worker is, is settled`);
    if (value > FORK_OWNER_TASK) refuse('EINVAL', `fork_owner ${value} is neither 0 nor 1`);
    this.forkFromOwner = value;
  }

  /** Asked before what only the owner may do. @throws Refusal EPERM. */
  checkOwner(pid: number): void {
    if (this.#owner === pid) return;
    const owner = this.#owner === undefined ? 'nobody' : `process ${this.#owner}`;
    refuse('EPERM', `process ${pid} does not own ${this.life.name}: ${owner} does`);
  }

  /** @throws Refusal ENOBUFS there is no queue `index`. */
  checkQueue(index: number): void {
    if (index >= this.vrings.length)
      refuse('ENOBUFS', `${this.life.name} has no queue ${index}: it has ${this.vrings.length}`);
  }

  /**
   * VHOST_SET_FEATURES: those of `features` that are offered. @throws Refusal EBUSY after FEATURES_OK; EINVAL
   * without ACCESS_PLATFORM: there is no access without an IOMMU.
   */
  setFeatures(features: bigint): void {
    if ((this.virtio.status & Status.FEATURES_OK) !== 0)
      refuse('EBUSY', `the features of ${this.life.name} have been negotiated already`);
    if (!has(features, Feature.ACCESS_PLATFORM))
      refuse('EINVAL', `features ${hex(features)} are without VIRTIO_F_ACCESS_PLATFORM`);
    this.virtio.accept(features);
  }

  /** VHOST_SET_BACKEND_FEATURES. @throws Refusal as checkBackendFeatures. */
  setBackendFeatures(features: bigint): void {
    checkBackendFeatures(features);
    this.#backend = features;
  }

  /** Do IOTLB messages name their ASID? */
  get namesAsids(): boolean {
    return has(this.#backend, Backend.IOTLB_ASID);
  }

  /**
   * VHOST_VDPA_SET_STATUS: 0 resets; anything else adds bits. @throws Refusal EINVAL when it takes some away.
   */
  *setStatus(status: number): Work<void> {
    const before = this.virtio.status;
    if (status === 0) {
      this.#reset();
      if (!has(this.#backend, Backend.IOTLB_PERSIST)) yield* this.iotlb.forget();
      return;
    }
    if ((before & ~status) !== 0)
      refuse('EINVAL', `status ${hex(status)} takes bits of ${hex(before)} away, which only a reset does`);
    const starts = (status & ~before & Status.DRIVER_OK) !== 0;
    if (starts) this.#hear();
    this.virtio.status = status;
    if (starts)
      for (const [index, vring] of this.vrings.entries()) if (vring.enabled) this.#startQueue(index);
    this.#tell();
  }

  /** The group of queue `index`, as features are negotiated now. */
  groupOf(index: number): number {
    return this.virtio.groupOf(index);
  }

  /** Is [offset, offset+length) a part of the configuration space? @throws Refusal EINVAL. */
  checkConfig(offset: number, length: number): void {
    const size = this.configSize;
    if (length === 0 || offset > size || length > size - offset)
      refuse('EINVAL', `${length} bytes at ${offset} are no part of a configuration space of ${size}`);
  }

  /**
   * Reads `length` bytes of the configuration space. @throws Refusal EINVAL for a range that is not in it.
   */
  readConfig(offset: number, length: number): Uint8Array {
    this.checkConfig(offset, length);
    return this.virtio.config.slice(offset, offset + length);
  }

  /** Writes to it. @throws Refusal as `readConfig`. */
  writeConfig(offset: number, source: Uint8Array): void {
    this.checkConfig(offset, source.length);
    this.virtio.writeConfig(offset, source);
    this.#tell();
  }

  /** VHOST_SET_VRING_NUM. @throws Refusal EINVAL as Vring.setSize. */
  setSize(index: number, size: number): void {
    this.vrings[index]!.setSize(size, this.virtio.queueSize);
  }

  /**
   * VHOST_SET_VRING_ADDR: where the ring is from the next enabling on. @throws Refusal as checkAddresses;
   * EINVAL while the device runs and is not suspended.
   */
  setAddresses(index: number, addresses: VringAddresses): void {
    checkAddresses(addresses);
    this.#checkStopped(`the addresses of queue ${index}`);
    this.vrings[index]!.setAddresses(addresses);
  }

  /**
   * VHOST_SET_VRING_BASE. @throws Refusal EINVAL while the device runs and is not suspended; above 16 bits on
   * a split ring.
   */
  setBase(index: number, base: number): void {
    this.#checkStopped(`the base of queue ${index}`);
    if (base > 0xffff && !has(this.virtio.features, Feature.RING_PACKED))
      refuse('EINVAL', `base ${base} of queue ${index} is wider than the 16 bits of a split ring's`);
    this.virtio.queues[index]!.base = base;
  }

  /** VHOST_VDPA_SET_VRING_ENABLE. What is under way in a queue that is disabled is ended first. */
  *enable(index: number, enabled: boolean): Work<void> {
    const vring = this.vrings[index]!;
    if (vring.enabled === enabled) return;
    vring.enabled = enabled;
    if (!this.#running) return;
    if (!enabled && this.virtio.queues[index]!.outstanding > 0) yield* this.#drain();
    if (enabled) this.#startQueue(index);
    else this.virtio.stopQueue(index);
    this.#tell();
  }

  /** VHOST_VDPA_SET_GROUP_ASID. @throws Refusal EINVAL no such group or ASID; EBUSY after DRIVER_OK. */
  setGroupAsid(group: number, asid: number): void {
    const { name } = this.life;
    if (group >= this.#asids.length) refuse('EINVAL', `${name} has no group ${group} of queues`);
    if (asid >= this.asids)
      refuse('EINVAL', `${name} has no ASID ${asid}: its ASIDs are 0 to ${this.asids - 1}`);
    if (this.#running) refuse('EBUSY', `${name} runs, and its groups have their address spaces`);
    this.#asids[group] = asid;
  }

  /** An eventfd of queue `index`, which is taken over; undefined: none any more. */
  setSignal(index: number, kind: VringSignal, signal: Signal | undefined): void {
    this.vrings[index]!.setSignal(kind, signal);
  }

  /** The eventfd by which queue `index` is kicked, in the same way. */
  setDoorbell(index: number, doorbell: Doorbell | undefined): void {
    this.vrings[index]!.setDoorbell(doorbell);
  }

  /** The eventfd of configuration interrupts, in the same way. */
  setConfigCall(signal: Signal | undefined): void {
    this.#configCall?.close();
    this.#configCall = signal;
  }

  /** Queue `index` was kicked. */
  kick(index: number): void {
    this.virtio.kick(index);
  }

  /** VHOST_VDPA_SUSPEND: when it returns nothing is under way. Nothing to do before DRIVER_OK. */
  *suspend(): Work<void> {
    if (!this.#running) return;
    if (!this.virtio.suspended) yield* this.#drain();
    this.virtio.suspend();
    this.#tell();
  }

  /** VHOST_VDPA_RESUME. */
  resume(): void {
    if (this.#running) this.virtio.resume();
  }

  /**
   * IOASID_AUTHORIZE: ASID `asid` is PASID `pasid` of `context` from now on. @throws Refusal EBUSY while the
   * ASID has mappings of its own, or the device runs; and as DeviceLife.authorize.
   */
  authorize(context: IoasidContext, pasid: Pasid, asid?: Vpasid): void {
    if (this.#running) refuse('EBUSY', `${this.life.name} runs, and its ASIDs stay what they are`);
    if (asid !== undefined) this.iotlb.checkEmpty(asid);
    this.life.authorize(context, pasid, asid);
  }

  *revoke(pasid: Pasid): Work<void> {
    yield* this.#drain();
    yield* this.life.revoke(pasid);
    this.#tell();
  }

  step(): boolean {
    const more = this.life.work.step();
    this.#tell();
    return more;
  }

  /** Kicks are heard when somebody asks: Linux loses those of a queue that does not run, too. */
  busy(): boolean {
    for (let index = 0; index < this.vrings.length; index++)
      if (this.vrings[index]!.hear()) this.virtio.kick(index);
    return this.life.work.busy();
  }

  /** Those that came before are not of what begins now. */
  #hear(): void {
    for (const vring of this.vrings) {
      vring.listen();
      vring.hear();
    }
  }

  *flush(): Work<void> {
    yield* this.#drain();
    this.#tell();
  }

  *close(): Work<void> {
    this.#reset();
    this.#owner = undefined;
    this.forkFromOwner = FORK_OWNER_TASK;
    this.#backend = 0n;
    for (const vring of this.vrings) vring.close();
    this.setConfigCall(undefined);
    yield* releasing([() => this.iotlb.close(), () => this.life.close()]);
  }

  get #running(): boolean {
    return (this.virtio.status & Status.DRIVER_OK) !== 0;
  }

  /** The device is as after power-on; what is mapped stays. */
  #reset(): void {
    this.life.work.reset();
    for (const vring of this.vrings) vring.reset();
    this.#asids.fill(0);
    this.#told = this.virtio.configInterrupts;
    this.#failure = undefined;
  }

  #startQueue(index: number): void {
    const { size, descriptors, driver, device } = this.vrings[index]!;
    const asid = this.#asids[this.groupOf(index)]!;
    const addresses = { size: size === 0 ? this.virtio.queueSize : size, descriptors, driver, device, asid };
    this.virtio.startQueue(index, addresses);
  }

  /** Ends what is under way, a part after the other: a disk may take its time, and others have theirs. */
  *#drain(): Work<void> {
    for (let now: true | undefined; ; ) {
      const left = this.virtio.drainSome(undefined, now);
      if (left === false) return;
      now = yield left === 'waits' ? left : undefined;
    }
  }

  /** Raises what the device has wanted to raise since the last time. */
  #tell(): void {
    const { failure } = this.life.work.calls;
    if (failure !== undefined) this.virtio.fail(failure);
    for (let index = 0; index < this.vrings.length; index++) {
      const vring = this.vrings[index]!;
      const { interrupts } = this.virtio.queues[index]!;
      if (vring.told === interrupts) continue;
      vring.told = interrupts;
      if (!vring.raise('call'))
        this.life.work.calls.note(
          `queue ${index} interrupts, and has no eventfd for it (VHOST_SET_VRING_CALL)`,
        );
      if (this.life.happenings.on)
        this.life.happenings.record({ kind: 'interrupt', name: 'queue', vector: index });
    }
    const interrupts = this.virtio.configInterrupts;
    if (interrupts !== this.#told) this.#configCall?.raise();
    this.#told = interrupts;
    if (this.#failure === this.virtio.needsReset) return;
    this.#failure = this.virtio.needsReset;
    if (this.#failure === undefined) return;
    this.life.work.calls.note(`it needs a reset: ${this.#failure}`);
    for (const vring of this.vrings) vring.raise('error');
  }

  #checkStopped(what: string): void {
    if (this.#running && !this.virtio.suspended)
      refuse('EINVAL', `${what} cannot be changed while ${this.life.name} runs`);
  }
}
