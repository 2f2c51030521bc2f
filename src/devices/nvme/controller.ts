/**
 * The controller: registers, the states that they take it through, and the commands that it works on.
 *
 * Commands are fetched in turn from all queues that have some, at most LIMIT at a time; while there are that
 * many, the others stay in their queues. I/O commands are under way at the disks at the same time, and
 * complete in the order in which those are done. A disk is never waited for: what has ended is found in
 * `step`.
 *
 * Invariant: while the controller is not ready there is no queue, and no command; what was under way when it
 * was disabled is abandoned, and nothing is fetched before the disks have settled.
 */
import { hex } from '../../linux/errno.js';
import type { DeviceHost, DeviceModel, Drained, PciDescription } from '../device-model.js';
import type { Registers } from '../registers.js';
import { ABORTED, Admin, NOT_ABORTED } from './admin.js';
import { type AsyncEvent, AsyncEvents, events } from './async-events.js';
import type { CompletionQueue } from './completion-queue.js';
import { Configuration, Csts } from './configuration.js';
import { DataPointers } from './data-pointer.js';
import { ErrorLog, NO_COMMAND } from './error-log.js';
import { Features } from './features.js';
import { Identification } from './identification.js';
import { type Identity, PCI_VENDOR } from './identify.js';
import { InFlight } from './in-flight.js';
import { Interrupts } from './interrupts.js';
import { IoRequest } from './io-request.js';
import { Memory } from './memory.js';
import type { Namespace } from './namespace.js';
import { QueueCreation } from './queue-creation.js';
import { Queues } from './queues.js';
import {
  BAR_SIZE,
  createRegisters,
  DOORBELLS,
  MSIX_PBA_OFFSET,
  MSIX_TABLE_OFFSET,
  Register,
} from './register-map.js';
import { Statistics } from './statistics.js';
import { Status, statusField } from './status.js';
import type { SubmissionQueue } from './submission-queue.js';

/** Commands that one step fetches, fewer where they have much to be read or written. */
const STEP_COMMANDS = 32;

export class Controller implements DeviceModel {
  readonly pci: PciDescription;
  readonly #host: DeviceHost;
  readonly #registers: Registers;
  readonly #memory: Memory;
  readonly #interrupts: Interrupts;
  readonly #queues: Queues;
  readonly #features: Features;
  readonly #errors = new ErrorLog();
  readonly #events = new AsyncEvents();
  readonly #admin: Admin;
  readonly #requests: InFlight;
  #configuration = new Configuration(0);

  constructor(host: DeviceHost, identity: Identity, namespaces: readonly Namespace[], queues: number) {
    const vectors = queues + 1;
    this.pci = describePci(vectors);
    this.#host = host;
    this.#registers = createRegisters({
      configure: (value) => this.#configure(value),
      mask: (value) => this.#mask(value),
      ring: (index, value) => this.#ring(index, value),
    });
    const memory = new Memory(host.dma);
    const features = new Features({ queues, vectors, namespaces: namespaces.length });
    const statistics = new Statistics();
    const pointers = new DataPointers(memory);
    this.#memory = memory;
    this.#features = features;
    this.#interrupts = new Interrupts(host);
    this.#queues = new Queues(queues, memory, this.#interrupts);
    const sizes = () => this.#configuration;
    const shared = { memory, pointers, namespaces, statistics, features };
    this.#requests = new InFlight(
      namespaces.map(({ disk }) => disk),
      memory.effort,
      () => new IoRequest({ ...shared, configuration: sizes }),
    );
    this.#admin = new Admin({
      ...shared,
      queues: this.#queues,
      requests: this.#requests,
      creation: new QueueCreation(this.#queues, pointers.prp, vectors, sizes),
      identification: new Identification(identity, namespaces),
      events: this.#events,
      errors: this.#errors,
      configuration: sizes,
    });
  }

  readBar(_bar: number, offset: number, target: Uint8Array): void {
    this.#registers.read(offset, target);
  }

  writeBar(_bar: number, offset: number, source: Uint8Array): boolean {
    return this.#registers.write(offset, source);
  }

  registerName(_bar: number, offset: number): string | undefined {
    return this.#registers.nameOf(offset);
  }

  reset(): void {
    this.#registers.reset();
    this.#configuration = new Configuration(0);
    this.#stop();
    this.#errors.reset();
  }

  busy(): boolean {
    return this.#requests.size > 0 || this.#isShuttingDown || (this.#fetches && this.#queues.ready);
  }

  step(): boolean {
    this.#requests.beginStep();
    this.#fetchCommands();
    this.#finishRequests();
    this.#endDeletions();
    this.#tellEvents();
    if (this.#isShuttingDown) this.#shutDown();
    this.#tell();
    return (this.#fetches && this.#requests.hasRoom && this.#queues.ready) || this.#requests.hasEnded;
  }

  /**
   * As DeviceModel.drain: waits for what is under way, and fetches nothing. What has to end now is done once
   * more; what it gives is the same.
   */
  drain(_vpasid?: number, now = false): Drained {
    const oldest = now ? this.#requests.endOldest() : undefined;
    if (oldest !== undefined) this.#report(oldest);
    if (!now) this.#finishRequests();
    this.#endDeletions();
    this.#tell();
    this.#requests.draining = this.#requests.size > 0;
    return this.#requests.draining && (now || this.#requests.hasEnded || 'waits');
  }

  get #status(): number {
    return this.#registers.get(Register.CSTS);
  }

  #setStatus(clear: number, set: number): void {
    this.#registers.set(Register.CSTS, (this.#status & ~clear) | set);
  }

  /** May commands be fetched? Not while it is shut down, or has failed. */
  get #fetches(): boolean {
    return this.#status === Csts.READY;
  }

  get #isShuttingDown(): boolean {
    return (this.#status & (Csts.SHUTDOWN | Csts.FATAL)) === Csts.SHUTTING_DOWN;
  }

  /** CC was written. */
  #configure(value: number): void {
    const old = this.#configuration;
    this.#registers.set(Register.CC, value);
    this.#configuration = new Configuration(value);
    const { enabled, shutdown } = this.#configuration;
    if (old.enabled && !enabled) this.#disable();
    if (!old.enabled && enabled) this.#enable();
    if (shutdown && !old.shutdown) this.#setStatus(Csts.SHUTDOWN, Csts.SHUTTING_DOWN);
  }

  #enable(): void {
    const registers = this.#registers;
    const sizes = registers.get(Register.AQA);
    const submissionSize = (sizes & 0xfff) + 1;
    const completionSize = ((sizes >>> 16) & 0xfff) + 1;
    this.#requests.abandon();
    if (!this.#configuration.valid || submissionSize < 2 || completionSize < 2) {
      registers.set(Register.CSTS, Csts.FATAL);
      const cc = hex(registers.get(Register.CC));
      this.#host.note(`the controller cannot be enabled with CC ${cc} and AQA ${hex(sizes)}: CSTS.CFS`);
      return;
    }
    const [submissions, completions] = [registers.get(Register.ASQ), registers.get(Register.ACQ)];
    this.#queues.open(submissions, submissionSize, completions, completionSize);
    registers.set(Register.CSTS, Csts.READY);
  }

  /** A controller level reset by CC.EN (§3.7.2): the addresses of the admin queues stay. */
  #disable(): void {
    this.#stop();
    this.#registers.set(Register.CSTS, 0);
    this.#registers.set(Register.INTMS, 0);
    this.#registers.set(Register.INTMC, 0);
  }

  /** There is no queue and no command any more. */
  #stop(): void {
    this.#requests.abandon();
    this.#queues.reset();
    this.#interrupts.reset();
    this.#events.reset();
    this.#features.reset();
  }

  /** The controller cannot reach its queues: it does nothing before it is reset (§9.5). */
  #fail(what: string): void {
    this.#host.note(`${what}: CSTS.CFS`);
    this.#setStatus(0, Csts.FATAL);
    this.#requests.abandon();
  }

  #mask(value: number): void {
    this.#registers.set(Register.INTMS, value);
    this.#registers.set(Register.INTMC, value);
    this.#interrupts.setMask(value, this.#queues.completions());
  }

  /** A doorbell was written: of a submission queue, or, where `index` is odd, of a completion queue. */
  #ring(index: number, value: number): void {
    const id = index >>> 1;
    const completions = index % 2 === 1 ? this.#queues.completion(id) : undefined;
    const queue = index % 2 === 1 ? completions : this.#queues.submission(id);
    if ((this.#status & (Csts.READY | Csts.FATAL)) !== Csts.READY)
      this.#host.note(`${nameOf(index)} is not made ${value}: the controller is not ready`);
    else if (queue === undefined) {
      this.#host.note(`${nameOf(index)} is not made ${value}: there is no such queue`);
      this.#badDoorbell(id, events.INVALID_DOORBELL_REGISTER);
    } else if (!queue.ring(value)) {
      this.#host.note(`${nameOf(index)} is not made ${value}: of ${queue.size} entries it cannot be there`);
      this.#badDoorbell(id, events.INVALID_DOORBELL_VALUE);
    } else if (completions !== undefined) this.#postBacklog(completions);
  }

  /** Writes what was posted to memory, and then says so. */
  #tell(): void {
    this.#write();
    this.#interrupts.tell(this.#queues.completions());
  }

  #write(): void {
    for (const queue of this.#queues.completions())
      if (!queue.write(this.#memory)) this.#fail(unreachable('completion', queue.id));
  }

  /** The driver has taken entries of `queue`: what has found no room before may find it now. */
  #postBacklog(queue: CompletionQueue): void {
    if (queue.hasBacklog) {
      if (queue.postBacklog(this.#memory)) this.#interrupts.note(queue);
      else this.#fail(unreachable('completion', queue.id));
    }
    this.#tell();
  }

  /** A doorbell that is not there, or a value that cannot be: nothing is done but to tell it (§5.2.1). */
  #badDoorbell(queueId: number, event: AsyncEvent): void {
    this.#errors.add(queueId, NO_COMMAND, 0, 0, 0);
    this.#events.raise(event);
    this.#tellEvents();
    this.#tell();
  }

  #fetchCommands(): void {
    for (let n = 0; n < STEP_COMMANDS && this.#fetches && this.#requests.mayBegin; n++) {
      const queue = this.#queues.nextReady();
      if (queue === undefined) return;
      const request = this.#requests.unused();
      if (!queue.fetch(this.#memory, request.command)) {
        this.#fail(unreachable('submission', queue.id));
        return;
      }
      if (!queue.look()) this.#badDoorbell(queue.id, events.INVALID_DOORBELL_VALUE);
      this.#begin(queue, request);
    }
  }

  /** Does the command of `request`, which was fetched from `queue`, or begins it. */
  #begin(queue: SubmissionQueue, request: IoRequest): void {
    const { command } = request;
    request.queue = queue;
    if (!queue.begin(command.id)) {
      this.#host.note(
        `command ${command.id} of queue ${queue.id} is under way already: it is not done again`,
      );
      this.#requests.release(request);
      this.#post(queue, command.id, Status.COMMAND_ID_CONFLICT, 0, command.nsid);
    } else if (queue.id === 0) this.#execute(queue, request);
    else if (request.begin()) this.#requests.start(request);
    else {
      this.#requests.release(request);
      this.#report(request);
    }
  }

  /** Does a command of the admin queue. */
  #execute(queue: SubmissionQueue, request: IoRequest): void {
    const { command } = request;
    const answer = this.#admin.execute(command);
    this.#requests.release(request);
    // What Abort has ended completes before it.
    this.#tellEvents();
    if (answer !== undefined) this.#complete(queue, command.id, answer.status, answer.result, command.nsid);
  }

  /** What the disks have done, as much as a step may. */
  #finishRequests(): void {
    const requests = this.#requests;
    requests.beginStep();
    for (let ended = requests.takeEnded(); ended !== undefined; ended = requests.takeEnded()) {
      requests.release(ended);
      this.#report(ended);
    }
  }

  /** Tells the driver how `request` has ended, and then what has become of the command to abort it. */
  #report({ command, queue, status, abortId }: IoRequest): void {
    this.#complete(queue!, command.id, status, 0, command.nsid, command.quad(10));
    if (abortId === undefined) return;
    const result = status === Status.ABORT_REQUESTED ? ABORTED : NOT_ABORTED;
    this.#complete(this.#queues.admin!, abortId, Status.SUCCESS, result);
  }

  /**
   * Tells the driver how command `commandId` of `queue` has ended. @param block where it began, in errors.
   */
  #complete(
    queue: SubmissionQueue,
    commandId: number,
    status: Status,
    result = 0,
    nsid = 0,
    block = 0,
  ): void {
    queue.end(commandId);
    this.#post(queue, commandId, status, result, nsid, block);
  }

  #post(
    queue: SubmissionQueue,
    commandId: number,
    status: Status,
    result: number,
    nsid: number,
    block = 0,
  ): void {
    const field = statusField(status, true);
    if (status !== Status.SUCCESS) this.#errors.add(queue.id, commandId, field, nsid, block);
    const { completions, head, id } = queue;
    if (!completions.post(this.#memory, result, head, id, commandId, field))
      this.#fail(unreachable('completion', completions.id));
    else this.#interrupts.note(completions);
    // Everything that was posted before it is written before it.
    if (completions.id === 0) this.#write();
  }

  /** Completes the deletions of queues that have no commands any more. */
  #endDeletions(): void {
    for (let id = this.#queues.takeDeleted(); id !== undefined; id = this.#queues.takeDeleted())
      this.#complete(this.#queues.admin!, id, Status.SUCCESS);
  }

  #tellEvents(): void {
    if (!this.#fetches) return;
    for (let ended = this.#events.next(); ended !== undefined; ended = this.#events.next())
      this.#complete(this.#queues.admin!, ended.commandId, ended.status, ended.result);
  }

  /** When no command is under way, the disks keep what they have; when they do, the shutdown is complete. */
  #shutDown(): void {
    if (this.#requests.size > 0 || !this.#requests.isSettled) return;
    if (this.#requests.flush()) this.#setStatus(Csts.SHUTDOWN, Csts.SHUT_DOWN);
  }
}

/** What doorbell `index` says. */
function nameOf(index: number): string {
  return `the ${index % 2 === 1 ? 'head of completion' : 'tail of submission'} queue ${index >>> 1}`;
}

function unreachable(kind: string, id: number): string {
  return `the memory of ${kind} queue ${id} cannot be reached`;
}

/** A function of class NVM Express, with a vector for each completion queue. */
function describePci(vectors: number): PciDescription {
  return {
    vendorId: PCI_VENDOR,
    deviceId: 0x4e56,
    classCode: 0x010802,
    revision: 1,
    subsystemVendorId: PCI_VENDOR,
    subsystemId: 1,
    bars: [{ index: 0, size: BAR_SIZE, is64: true, doorbells: DOORBELLS }],
    intx: true,
    msi: Math.min(32, 2 ** Math.ceil(Math.log2(vectors))),
    msix: { vectors, bar: 0, tableOffset: MSIX_TABLE_OFFSET, pbaOffset: MSIX_PBA_OFFSET },
  };
}
