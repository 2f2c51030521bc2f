/**
 * WqClient: an open file of a work queue. It stands for the address space of the process that opened it:
 * shared virtual addressing, where the addresses in a descriptor are the program's own.
 *
 * To open it is what AUTHORIZE is elsewhere: a context is made with one PASID of kind process in it, and the
 * device authorized for that. Whoever has the descriptor and is another process can do nothing with it.
 * Invariant: each descriptor that leaves here carries this PASID, whatever was written into it.
 */
import { DESCRIPTOR_SIZE, Opcode } from '../devices/dsa/descriptor.js';
import { Command, CommandStatus } from '../devices/dsa/registers.js';
import type { DeviceLife } from '../driver/device-life.js';
import type { Caller } from '../file/open-file.js';
import { begun, finish, finished, releasing, type Sliced, type Work } from '../file/work.js';
import type { IoasidContext } from '../ioasid/context.js';
import type { IoasidSubsystem } from '../ioasid/subsystem.js';
import type { Memory } from '../iommu/memory.js';
import { type Pasid, vpasidOf } from '../iommu/pasid.js';
import { hex, refuse } from '../linux/errno.js';
import { changePasid } from './configuration.js';
import type { SoftwareErrors } from './errors.js';
import type { Hardware } from './hardware.js';
import type { DeviceState, Numbers } from './state.js';
import type { IdxdWq } from './wq.js';

/** Where the opcode and the address of the completion record are in it, and what that is a multiple of. */
const OPCODE_AT = 7;
const COMPLETION_AT = 8;
const COMPLETION_ALIGN = 32;
const PORTAL = 4096;

/** What is asked of whoever makes a call. */
export type CallingProcess = Pick<Caller, 'pid' | 'livesIn' | 'rawIo'>;

/** What it has of its device. */
export interface ClientDevice {
  readonly life: DeviceLife;
  readonly hardware: Hardware;
  readonly errors: SoftwareErrors;
  readonly ioasid: IoasidSubsystem;
  readonly files: Numbers;
  readonly state: DeviceState;
  /** Programs may give it descriptors that nobody has looked at. */
  readonly userSubmissionSafe: boolean;
}

export class WqClient {
  /** The N of `fileN`, and the process that opened it. */
  readonly id: number;
  readonly pid: number;
  readonly wq: IdxdWq;
  readonly pasid: Pasid;
  readonly #device: ClientDevice;
  readonly #context: IoasidContext;
  readonly #memory: Memory;
  readonly #enabling: number;
  /** Descriptors that a dedicated work queue was given since it had none. */
  #given = 0;

  /**
   * `caller` opens work queue `wq`. @throws Refusal ENXIO it is disabled; EBUSY it is dedicated, and open;
   * EIO the device has failed; EPERM as Caller.addressSpace; ENOSPC no PASIDs are left; EMFILE.
   */
  static open(device: ClientDevice, wq: IdxdWq, caller: Caller): WqClient {
    const { failure } = device.life.work.calls;
    if (!wq.enabled) refuse('ENXIO', `${wq.path} is disabled`);
    if (failure !== undefined) refuse('EIO', failure);
    if (wq.dedicated && wq.clients > 0) refuse('EBUSY', `${wq.path} is dedicated, and open`);
    const context = device.ioasid.open(caller.pid, caller.payer);
    try {
      return new WqClient(device, wq, context, caller);
    } catch (refusal) {
      finished(context.close());
      throw refusal;
    }
  }

  private constructor(device: ClientDevice, wq: IdxdWq, context: IoasidContext, caller: Caller) {
    let memory: Memory | undefined;
    const addressSpace = () => {
      memory = caller.addressSpace();
      return memory;
    };
    this.pasid = context.allocProcess(0, { addressSpace });
    this.#memory = memory!;
    this.#device = device;
    this.#context = context;
    this.pid = caller.pid;
    this.wq = wq;
    this.#enabling = wq.enablings;
    device.life.authorize(context, this.pasid);
    if (wq.dedicated) this.#takeWq();
    this.id = device.files.take();
    wq.clients++;
  }

  /**
   * write(2): gives `source` to the device, as many whole descriptors as there are. @returns the bytes of
   * those that it took, when there are some.
   * @throws Refusal EPERM another address space than it was opened in; EINVAL a batch that is not allowed, or
   * a completion record's address that is not aligned to 32; EAGAIN a shared work queue is full; ENXIO it was
   * disabled; EIO the device has failed.
   */
  write(caller: CallingProcess, source: Uint8Array): Sliced<number> {
    this.#checkCaller(caller);
    this.#checkThere();
    return begun(this.#giveAll(source.slice()));
  }

  /**
   * May `length` bytes be mapped? @throws Refusal EPERM another address space, or without CAP_SYS_RAWIO where
   * that is needed; EINVAL more than a page.
   */
  checkMapping(caller: CallingProcess, length: number): void {
    const { userSubmissionSafe } = this.#device;
    if (!userSubmissionSafe && caller.rawIo === false)
      refuse('EPERM', `whoever maps ${this.wq.path} needs CAP_SYS_RAWIO`);
    this.#checkCaller(caller);
    if (length > PORTAL) refuse('EINVAL', `the portal of ${this.wq.path} is one page, not ${length} bytes`);
  }

  /**
   * 64 bytes that are stored at byte `offset` of the mapped portal, by MOVDIR64B or ENQCMD. @returns false:
   * they are not taken now. @throws Refusal EPERM another address space; EIO the device has failed.
   */
  store(caller: CallingProcess, offset: number, descriptor: Uint8Array): boolean {
    this.#checkCaller(caller);
    // The portal stays mapped; what is behind it now belongs to others.
    if (this.gone) return false;
    this.#checkAnswers();
    const taken = this.#submit(offset % PORTAL, descriptor.slice());
    this.#work();
    return taken;
  }

  /** A store of `length` bytes to the portal is none of a descriptor. @returns `length` */
  ignore(length: number): number {
    this.#device.life.work.calls.note(
      `a store of ${length} bytes to the portal of ${this.wq.path} is ignored: a descriptor is 64 at once`,
    );
    return length;
  }

  /** A descriptor of the file was closed: waits for all that it was given. */
  *flush(): Work<void> {
    const { work } = this.#device.life;
    while (work.busy(vpasidOf(this.pasid)) && work.step()) yield;
    this.#device.errors.look();
  }

  /** The last one was: the device reaches this address space no more. */
  close(): Work<void> {
    const { life, files } = this.#device;
    return releasing([
      () => this.flush(),
      () => this.#leaveWq(),
      () => life.revoke(this.pasid),
      () => this.#context.close(),
      () => files.give(this.id),
    ]);
  }

  /** Was the work queue disabled since it was opened? */
  get gone(): boolean {
    return !this.wq.enabled || this.wq.enablings !== this.#enabling;
  }

  #takeWq(): void {
    const { hardware, life } = this.#device;
    const status = finish(changePasid(hardware, this.wq, this.pasid));
    this.#device.state.commandStatus = status;
    if (status === CommandStatus.SUCCESS) return;
    finish(life.revoke(this.pasid));
    refuse('ENXIO', `${this.wq.path} does not take PASID ${this.pasid}: status ${hex(status)}`);
  }

  *#leaveWq(): Work<void> {
    const { hardware, life, state } = this.#device;
    // Linux ends it by a command in any case, which is the last one then.
    state.commandStatus = 0;
    if (!this.gone) {
      if (this.wq.dedicated) yield* changePasid(hardware, this.wq, 0);
      this.wq.clients--;
    }
    if (life.work.busy(vpasidOf(this.pasid))) yield* hardware.command(Command.ABORT_PASID, this.pasid);
  }

  *#giveAll(source: Uint8Array): Work<number> {
    let done = 0;
    try {
      for (; done + DESCRIPTOR_SIZE <= source.length; done += DESCRIPTOR_SIZE)
        yield* this.#give(source.subarray(done, done + DESCRIPTOR_SIZE));
    } catch (refusal) {
      if (done === 0) throw refusal;
    }
    if (done > 0) this.#work();
    return done;
  }

  /**
   * What is short is done when the program goes on: a device of silicon would have done it, and some programs
   * look for a fraction of a millisecond only. A program that spins has no time to lend us, besides.
   */
  #work(): void {
    this.#device.life.work.step();
    this.#device.errors.look();
  }

  *#give(descriptor: Uint8Array): Work<void> {
    this.#checkThere();
    const { userSubmissionSafe } = this.#device;
    if (descriptor[OPCODE_AT] === Opcode.BATCH && !userSubmissionSafe)
      refuse('EINVAL', 'a batch is not taken by write(2): nobody can have looked at what is in it');
    if (descriptor[COMPLETION_AT]! % COMPLETION_ALIGN !== 0)
      refuse('EINVAL', `the completion record's address is not aligned to ${COMPLETION_ALIGN} bytes`);
    if (this.wq.dedicated) yield* this.#awaitRoom();
    const tries = this.wq.dedicated ? 1 : this.wq.retries + 1;
    for (let tried = 0; tried < tries; tried++) {
      if (this.#submit(0, descriptor)) return;
      this.#device.life.work.step();
      yield;
    }
    refuse('EAGAIN', `${this.wq.path} is full, and was ${tries} times`);
  }

  /** A dedicated work queue drops what it has no room for, without a word; so it is not given too much. */
  *#awaitRoom(): Work<void> {
    if (this.#given >= this.wq.size) {
      yield* this.flush();
      this.#given = 0;
    }
    this.#given++;
  }

  /** Gives it to the device, with the PASID that it is for. */
  #submit(offset: number, descriptor: Uint8Array): boolean {
    const { hardware, errors } = this.#device;
    new DataView(descriptor.buffer, descriptor.byteOffset).setUint32(0, this.pasid, true);
    const taken = hardware.submit(this.wq.id, offset, descriptor);
    errors.look();
    return taken;
  }

  #checkCaller(caller: CallingProcess): void {
    if (caller.livesIn(this.#memory)) return;
    const { path } = this.wq;
    refuse('EPERM', `process ${caller.pid} is not the one that opened ${path}, ${this.#memory.description}`);
  }

  #checkThere(): void {
    if (this.gone) refuse('ENXIO', `${this.wq.path} was disabled since it was opened`);
    this.#checkAnswers();
  }

  #checkAnswers(): void {
    const { failure } = this.#device.life.work.calls;
    if (failure !== undefined) refuse('EIO', failure);
  }
}
