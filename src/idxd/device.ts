/**
 * A DSA in the hands of Linux's driver, idxd: `dsaD`, with its work queues, engines and groups. Programs
 * configure it through sysfs, or find it configured (`ready=1`), and use its work queues by their files.
 *
 * Its configuration lives in these objects, and gets into the device when that, or a work queue, is enabled.
 * Invariant: a work queue is enabled here exactly while it is so in the device, but for the commands in
 * between; then its file is there.
 *
 * Rules and errnos are those of Linux 7.3 (drivers/dma/idxd).
 */
import type { CalledModel } from '../devices/called-model.js';
import type { PciDescription } from '../devices/device-model.js';
import { Command, CommandStatus, GENCFG_USER_INTERRUPTS, Register } from '../devices/dsa/registers.js';
import { whyCommandFailed } from '../devices/dsa/words.js';
import { DeviceLife } from '../driver/device-life.js';
import type { DevicePort } from '../driver/device-port.js';
import type { Driver } from '../driver/driver.js';
import type { Caller } from '../file/open-file.js';
import { finish, type Work } from '../file/work.js';
import type { IoasidSubsystem } from '../ioasid/subsystem.js';
import { refuse } from '../linux/errno.js';
import { type Capabilities, readCapabilities } from './capabilities.js';
import { WqClient } from './client.js';
import { type Parts, readConfiguration, writeConfiguration } from './configuration.js';
import { IdxdEngine } from './engine.js';
import { SoftwareErrors } from './errors.js';
import { IdxdGroup } from './group.js';
import { Hardware } from './hardware.js';
import { DeviceState, given, type SharedNumbers, Trouble } from './state.js';
import { IdxdWq } from './wq.js';

/** GENCTRL: interrupts on software errors and when the device halts. */
const ERROR_INTERRUPTS = 3;
const USER_DRIVER = 'user';

/** What a device is made of. */
export interface IdxdRequest {
  /** The D of `dsaD`. */
  readonly id: number;
  readonly port: DevicePort;
  readonly model: CalledModel;
  readonly ioasid: IoasidSubsystem;
  readonly numbers: SharedNumbers;
  /** Programs may give it descriptors that nobody has looked at: map portals, write batches. */
  readonly userSubmissionSafe: boolean;
}

export class IdxdDevice implements Driver {
  readonly hasAsids = false;
  readonly life: DeviceLife;
  readonly wqs: readonly IdxdWq[];
  readonly engines: readonly IdxdEngine[];
  readonly groups: readonly IdxdGroup[];
  readonly errors: SoftwareErrors;
  readonly userSubmissionSafe: boolean;
  /** What its function is. */
  readonly pci: PciDescription;
  readonly ioasid: IoasidSubsystem;
  readonly hardware: Hardware;
  readonly #state: DeviceState;
  readonly #parts: Parts;
  readonly #numbers: SharedNumbers;
  readonly #clients = new Set<WqClient>();

  /** Resets the device; one that has come up enabled is so again then, for users. */
  constructor({ id, port, model, ioasid, numbers, userSubmissionSafe }: IdxdRequest) {
    this.life = new DeviceLife(`dsa${id}`, port, model);
    this.hardware = new Hardware(model, this.life.work);
    this.errors = new SoftwareErrors(this.hardware);
    this.pci = model.pci;
    this.ioasid = ioasid;
    this.userSubmissionSafe = userSubmissionSafe;
    this.#numbers = numbers;
    const caps = readCapabilities(this.hardware);
    const state = new DeviceState(id, caps);
    this.#state = state;
    this.wqs = Array.from({ length: caps.wqs }, (_, index) => new IdxdWq(state, index));
    this.engines = Array.from({ length: caps.engines }, (_, index) => new IdxdEngine(state, index));
    this.groups = Array.from({ length: caps.groups }, (_, index) => new IdxdGroup(state, index));
    this.#parts = { state, wqs: this.wqs, engines: this.engines, groups: this.groups };
    const ready = readConfiguration(this.hardware, this.#parts);
    finish(this.#reset());
    if (ready.length > 0) finish(this.#comeUp(ready));
  }

  /** The D of `dsaD`. */
  get id(): number {
    return this.#state.id;
  }

  get caps(): Capabilities {
    return this.#state.caps;
  }

  get enabled(): boolean {
    return this.#state.enabled;
  }

  /** How the last command or refusal of one ended: CMDSTS bits 7:0, or a `Trouble`. */
  get commandStatus(): number {
    return this.#state.commandStatus;
  }

  clearCommandStatus(): void {
    this.#state.commandStatus = 0;
  }

  /** The open files of its work queues. */
  get clients(): ReadonlySet<WqClient> {
    return this.#clients;
  }

  get readBufferLimit(): number {
    return this.#state.readBufferLimit;
  }

  /** @throws Refusal EINVAL more than there are; EPERM it is enabled, read-only, or has no such limit. */
  setReadBufferLimit(value: number | undefined): void {
    const limit = given(value, `the limit of read buffers of ${this.life.name}`);
    this.#state.checkDisabled('the limit of read buffers');
    this.#state.checkConfigurable();
    const { readBufferLimit, readBuffers } = this.caps;
    if (!readBufferLimit) refuse('EPERM', `${this.life.name} has no limit of read buffers`);
    if (limit > readBuffers) refuse('EINVAL', `${limit} is more than the ${readBuffers} read buffers`);
    this.#state.readBufferLimit = limit;
  }

  /** Descriptors that all work queues are to have together. */
  get claimedSize(): number {
    return this.wqs.reduce((sum, { size }) => sum + size, 0);
  }

  /**
   * Linux's driver `idxd` gets the device. @throws Refusal ENXIO it is enabled, nothing is configured, or the
   * device does not take what is.
   */
  *enable(): Work<void> {
    const state = this.#state;
    if (state.enabled) {
      state.commandStatus = Trouble.DEVICE_ENABLED;
      refuse('ENXIO', `${state.name} is enabled already`);
    }
    writeConfiguration(this.hardware, this.#parts, 'ENXIO');
    this.hardware.set(Register.GENCFG, GENCFG_USER_INTERRUPTS + state.readBufferLimit);
    yield* this.#command(Command.ENABLE_DEVICE, 0);
    state.enabled = true;
  }

  /** It is taken from the driver, with all of its work queues: reset, and as if never configured. */
  *disable(): Work<void> {
    for (const wq of this.wqs) if (wq.enabled) yield* this.disableWq(wq);
    yield* this.hardware.command(Command.DISABLE_DEVICE);
    yield* this.#reset();
    this.#state.enabled = false;
    this.#state.commandStatus = 0;
    if (!this.caps.configurable) return;
    for (const wq of this.wqs) wq.clearAll();
    for (const part of [...this.engines, ...this.groups]) part.clear();
  }

  /**
   * The driver `user` gets a work queue, which has its file then. @throws Refusal ENXIO the device is
   * disabled, or the work queue lacks something (`commandStatus` says what); ENODEV it is for another driver;
   * EBUSY it is enabled; EINVAL as writeConfiguration. Its type is `none` then, as in Linux.
   */
  *enableWq(wq: IdxdWq): Work<void> {
    const state = this.#state;
    if (!state.enabled) refuse('ENXIO', `${state.name} is disabled, and ${wq.path} with it`);
    if (!wq.driverName.startsWith(USER_DRIVER))
      this.#refuse('ENODEV', Trouble.WQ_NO_DRIVER_NAME, `${wq.path} is for driver "${wq.driverName}"`);
    if (wq.enabled) this.#refuse('EBUSY', Trouble.WQ_ENABLED, `${wq.path} is enabled already`);
    wq.type = 'user';
    try {
      this.#checkWq(wq);
      writeConfiguration(this.hardware, this.#parts, 'EINVAL');
      yield* this.#command(Command.ENABLE_WQ, wq.id);
    } catch (refusal) {
      wq.type = 'none';
      throw refusal;
    }
    wq.enabled = true;
    wq.enablings++;
    wq.minor = this.#numbers.minors.take();
  }

  /** It is taken from the driver: what it was given is done first. Its open files do nothing. */
  *disableWq(wq: IdxdWq): Work<void> {
    if (wq.minor !== undefined) this.#numbers.minors.give(wq.minor);
    wq.minor = undefined;
    wq.clients = 0;
    yield* this.hardware.commandWq(Command.DRAIN_WQ, wq.id);
    yield* this.hardware.commandWq(Command.RESET_WQ, wq.id);
    wq.clear();
    wq.type = 'none';
    this.#state.commandStatus = 0;
  }

  /** `caller` opens the file of a work queue. @throws Refusal as WqClient.open. */
  open(wq: IdxdWq, caller: Caller): WqClient {
    const { life, hardware, errors, ioasid, userSubmissionSafe } = this;
    const { files } = this.#numbers;
    const device = { life, hardware, errors, ioasid, userSubmissionSafe, files, state: this.#state };
    const client = WqClient.open(device, wq, caller);
    this.#clients.add(client);
    return client;
  }

  /** The last descriptor of that file is gone. */
  *close(client: WqClient): Work<void> {
    this.#clients.delete(client);
    yield* client.close();
  }

  /** The device sends MSI-X message `vector`: only those of vector 0, of errors, are asked for. */
  interrupt(vector: number): void {
    this.errors.ring();
    if (this.life.happenings.on) this.life.happenings.record({ kind: 'interrupt', name: 'MSI-X', vector });
  }

  step(): boolean {
    const more = this.life.work.step();
    this.errors.look();
    return more;
  }

  busy(): boolean {
    return this.life.work.busy();
  }

  *#reset(): Work<void> {
    yield* this.hardware.command(Command.RESET_DEVICE);
    this.hardware.set(Register.GENCTRL, ERROR_INTERRUPTS);
  }

  *#comeUp(wqs: readonly IdxdWq[]): Work<void> {
    for (const wq of wqs) {
      wq.setType('user');
      wq.setName(wq.path);
      wq.setDriverName(USER_DRIVER);
    }
    yield* this.enable();
    for (const wq of wqs) yield* this.enableWq(wq);
  }

  /** @throws Refusal ENXIO the device ends the command with an error. */
  *#command(code: number, operand: number): Work<void> {
    const status = yield* this.hardware.command(code, operand);
    this.#state.commandStatus = status;
    if (status === CommandStatus.SUCCESS) return;
    const { failure } = this.life.work.calls;
    refuse('ENXIO', failure ?? whyCommandFailed(code, operand, status) ?? `command ${code} failed`);
  }

  #checkWq(wq: IdxdWq): void {
    const { path } = wq;
    if (wq.group === -1) this.#refuse('ENXIO', Trouble.WQ_NO_GROUP, `${path} is in no group`);
    if (wq.name === '') this.#refuse('ENXIO', Trouble.WQ_NO_NAME, `${path} has no name`);
    if (!wq.dedicated && wq.threshold === 0)
      this.#refuse('ENXIO', Trouble.WQ_NO_THRESHOLD, `${path} is shared and has no threshold`);
  }

  #refuse(errno: 'EBUSY' | 'ENXIO' | 'ENODEV', trouble: number, reason: string): never {
    this.#state.commandStatus = trouble;
    refuse(errno, reason);
  }
}
