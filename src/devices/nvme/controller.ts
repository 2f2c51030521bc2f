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
import type { DeviceHost, DeviceModel, PciDescription } from '../device-model.js';
import type { Disk } from '../disk.js';
import { Job } from '../disk.js';
import type { Registers } from '../registers.js';
import { Admin } from './admin.js';
import { type AsyncEvent, AsyncEvents, events } from './async-events.js';
import type { CompletionQueue } from './completion-queue.js';
import { Configuration, Csts } from './configuration.js';
import { DataPointers } from './data-pointer.js';
import { ErrorLog, NO_COMMAND } from './error-log.js';
import { Features } from './features.js';
import { Identification } from './identification.js';
import { type Identity, PCI_VENDOR } from './identify.js';
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

/** Commands under way. Each may have a buffer of 128 KiB. */
const LIMIT = 256;
/** Commands that one step fetches, and bytes of ended jobs that it deals with: about a millisecond. */
const STEP_COMMANDS = 64;
const STEP_BYTES = 4 << 20;

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
  readonly #disks: readonly Disk[];
  readonly #newRequest: () => IoRequest;
  #configuration = new Configuration(0);
  #idle: IoRequest[] = [];
  readonly #active = new Map<Job, IoRequest>();
  /** What makes the disks keep what was written, before the shutdown is complete. */
  readonly #flushes = new Set<Job>();

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
    const features = new Features({ queues, vectors });
    const statistics = new Statistics();
    const pointers = new DataPointers(memory);
    this.#memory = memory;
    this.#features = features;
    this.#interrupts = new Interrupts(host);
    this.#queues = new Queues(queues, memory, this.#interrupts);
    this.#disks = namespaces.map(({ disk }) => disk);
    const sizes = () => this.#configuration;
    const shared = { memory, pointers, namespaces, statistics, features };
    this.#admin = new Admin({
      ...shared,
      queues: this.#queues,
      creation: new QueueCreation(this.#queues, pointers.prp, vectors, sizes),
      identification: new Identification(identity, namespaces),
      events: this.#events,
      errors: this.#errors,
      configuration: sizes,
    });
    this.#newRequest = () => new IoRequest({ ...shared, configuration: sizes });
  }

  readBar(_bar: number, offset: number, target: Uint8Array): void {
    this.#registers.read(offset, target);
  }

  writeBar(_bar: number, offset: number, source: Uint8Array): boolean {
    return this.#registers.write(offset, source);
  }

  reset(): void {
    this.#registers.reset();
    this.#configuration = new Configuration(0);
    this.#stop();
    this.#errors.reset();
  }

  busy(): boolean {
    return this.#active.size > 0 || this.#isShuttingDown || (this.#fetches && this.#queues.ready);
  }

  step(): boolean {
    this.#fetchCommands();
    this.#finishJobs();
    this.#endDeletions();
    this.#tellEvents();
    if (this.#isShuttingDown) this.#shutDown();
    this.#interrupts.tell(this.#queues.completions());
    return (this.#fetches && this.#hasRoom && this.#queues.ready) || this.#disks.some((d) => d.hasFinished);
  }

  /** As DeviceModel.drain: what is under way is done once more, at once; what it gives is the same. */
  drain(): boolean {
    for (const disk of this.#disks) disk.abandon();
    this.#flushes.clear();
    const [oldest] = this.#active;
    if (oldest !== undefined) {
      const [job, request] = oldest;
      do request.namespace.disk.run(job);
      while (request.goOn());
      this.#active.delete(job);
      this.#endRequest(request);
      this.#endDeletions();
      this.#interrupts.tell(this.#queues.completions());
    }
    // Abandoned jobs use their buffers to the end, so no request is used again.
    this.#idle = [];
    return this.#active.size > 0;
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

  get #hasRoom(): boolean {
    return this.#active.size < LIMIT && this.#isSettled;
  }

  /** Does nothing go on at the disks that was abandoned? */
  get #isSettled(): boolean {
    return this.#disks.every(({ settled }) => settled);
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
    this.#abandon();
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

  /** There is no queue and no command any more. Abandoned jobs use their buffers to the end. */
  #stop(): void {
    this.#abandon();
    this.#queues.reset();
    this.#interrupts.reset();
    this.#events.reset();
    this.#features.reset();
  }

  #abandon(): void {
    for (const disk of this.#disks) disk.abandon();
    this.#flushes.clear();
    this.#active.clear();
    this.#idle = [];
  }

  /** The controller cannot reach its queues: it does nothing before it is reset (§9.5). */
  #fail(what: string): void {
    this.#host.note(`${what}: CSTS.CFS`);
    this.#setStatus(0, Csts.FATAL);
    this.#abandon();
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

  /** The driver has taken entries of `queue`: what has found no room before may find it now. */
  #postBacklog(queue: CompletionQueue): void {
    if (queue.hasBacklog) {
      if (queue.postBacklog(this.#memory)) this.#interrupts.note(queue);
      else this.#fail(unreachable('completion', queue.id));
    }
    this.#interrupts.tell(this.#queues.completions());
  }

  /** A doorbell that is not there, or a value that cannot be: nothing is done but to tell it (§5.2.1). */
  #badDoorbell(queueId: number, event: AsyncEvent): void {
    this.#errors.add(queueId, NO_COMMAND, 0, 0, 0);
    this.#events.raise(event);
    this.#tellEvents();
    this.#interrupts.tell(this.#queues.completions());
  }

  #fetchCommands(): void {
    for (let n = 0; n < STEP_COMMANDS && this.#fetches && this.#hasRoom; n++) {
      const queue = this.#queues.nextReady();
      if (queue === undefined) return;
      const request = this.#idle.pop() ?? this.#newRequest();
      if (!queue.fetch(this.#memory, request.command)) {
        this.#fail(unreachable('submission', queue.id));
        return;
      }
      if (!queue.look()) this.#badDoorbell(queue.id, events.INVALID_DOORBELL_VALUE);
      queue.outstanding++;
      request.queue = queue;
      if (queue.id === 0) this.#execute(queue, request);
      else if (request.begin()) {
        this.#active.set(request.job, request);
        request.namespace.disk.start(request.job);
      } else this.#endRequest(request);
    }
  }

  /** Does a command of the admin queue. */
  #execute(queue: SubmissionQueue, request: IoRequest): void {
    const { command } = request;
    const answer = this.#admin.execute(command);
    this.#idle.push(request);
    // What Abort has ended completes before it.
    this.#tellEvents();
    if (answer !== undefined) this.#complete(queue, command.id, answer.status, answer.result, command.nsid);
  }

  /** What the disks have done, up to the bytes of a step. */
  #finishJobs(): void {
    let bytes = 0;
    for (const disk of this.#disks) {
      while (bytes < STEP_BYTES) {
        const job = disk.takeFinished();
        if (job === undefined) break;
        bytes += job.length;
        const request = this.#active.get(job);
        if (request === undefined) this.#endFlush(job);
        else if (request.goOn()) request.namespace.disk.start(job);
        else {
          this.#active.delete(job);
          this.#endRequest(request);
        }
      }
    }
  }

  #endRequest(request: IoRequest): void {
    const { command, queue, status } = request;
    this.#idle.push(request);
    this.#complete(queue!, command.id, status, 0, command.nsid, command.quad(10));
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
    const field = statusField(status, true);
    queue.outstanding--;
    if (status !== Status.SUCCESS) this.#errors.add(queue.id, commandId, field, nsid, block);
    const { completions, head, id } = queue;
    if (!completions.post(this.#memory, result, head, id, commandId, field))
      this.#fail(unreachable('completion', completions.id));
    else this.#interrupts.note(completions);
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
    if (this.#active.size > 0 || this.#flushes.size > 0 || !this.#isSettled) return;
    for (const disk of this.#disks) {
      const job = new Job();
      job.kind = 'sync';
      this.#flushes.add(job);
      disk.start(job);
    }
  }

  #endFlush(job: Job): void {
    this.#flushes.delete(job);
    if (this.#flushes.size === 0) this.#setStatus(Csts.SHUTDOWN, Csts.SHUT_DOWN);
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
