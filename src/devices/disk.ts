/**
 * Disk: the medium of a block device. Jobs run on other threads, so that nobody waits for the medium; what
 * has ended is found in `finished`, in the order in which it has. A read of what is in memory needs no other
 * thread, and has ended when it is started.
 *
 * A job can also be run at once, on this thread. That, and `abandon`, is how work is ended at a point in
 * time: jobs that are under way cannot be called back, but nobody looks at their results any more, and
 * nothing new is to start before they have ended (`settled`), so that none of them overtakes a later one.
 *
 * What is asked of the medium, and what it answers, is logged while somebody looks (DiskEvent).
 */
import type { WatchedLog } from '../iommu/event-log.js';
import type { Job, JobKind, Medium } from './medium.js';

/** Bytes that are read at once, before any of them are taken: about a millisecond of copies. */
const MOST_AT_ONCE = 4 << 20;

/** Something that a disk has asked of its medium, or has been answered. */
export interface DiskEvent {
  /** A job was started, or run; one that was started has ended since, or one that nobody waits for. */
  readonly what: 'start' | 'run' | 'end' | 'let-go';
  /** The number of the disk in its machine, from 0. */
  readonly disk: number;
  /** Of those that the disk has started, from 1; 0: it was run. */
  readonly job: number;
  readonly kind: JobKind;
  readonly offset: number;
  readonly length: number;
  /** Had it ended when it was started? */
  readonly ended: boolean;
  readonly error: string | undefined;
  /** What was to be written, or was read. */
  readonly bytes: Uint8Array | undefined;
}

export class Disk {
  readonly #medium: Medium;
  readonly #number: number;
  readonly #log: WatchedLog<DiskEvent>;
  #finished: Job[] = [];
  #untaken = 0;
  #started = 0;
  /** Jobs under way that somebody waits for, and those that nobody does. */
  #running = new Set<Job>();
  #abandoned = 0;

  /** @param number of the disk in its machine, from 0, as in `log`. */
  constructor(medium: Medium, number: number, log: WatchedLog<DiskEvent>) {
    this.#medium = medium;
    this.#number = number;
    this.#log = log;
  }

  /** What people call it: the path of a file. */
  get path(): string {
    return this.#medium.path;
  }

  /** Bytes. */
  get size(): number {
    return this.#medium.size;
  }

  get writable(): boolean {
    return this.#medium.writable;
  }

  /** Does nothing go on that was abandoned? Before that nothing may be started. */
  get settled(): boolean {
    return this.#abandoned === 0;
  }

  /** Has a job ended that was not taken yet? */
  get hasFinished(): boolean {
    return this.#finished.length > 0;
  }

  /** Bytes of the jobs that have ended and were not taken. */
  get untaken(): number {
    return this.#untaken;
  }

  /** Starts `job`. It is under way until it is taken out of `finished`. */
  start(job: Job): void {
    job.error = undefined;
    job.delivered = false;
    const number = ++this.#started;
    this.#running.add(job);
    const mayNow = this.#untaken + job.length <= MOST_AT_ONCE;
    const ended = this.#medium.begin(job, number, mayNow, (error) => this.#end(job, number, error));
    if (this.#log.on) this.#note('start', job, number, ended);
    if (!ended) return;
    this.#running.delete(job);
    this.#finish(job);
  }

  /** The job that has ended first of those not taken yet. */
  takeFinished(): Job | undefined {
    const job = this.#finished.shift();
    if (job !== undefined) this.#untaken -= job.length;
    return job;
  }

  /** Does `job` now, before anything else happens on this thread. */
  run(job: Job): void {
    job.delivered = false;
    job.error = this.#medium.run(job);
    if (this.#log.on) this.#note('run', job, 0, true);
  }

  /** Nobody waits for what is under way any more. The jobs, and their buffers, are not to be used again. */
  abandon(): void {
    this.#abandoned += this.#running.size;
    this.#running = new Set();
    this.#finished = [];
    this.#untaken = 0;
  }

  #end(job: Job, number: number, error: string | undefined): void {
    const awaited = this.#running.delete(job);
    if (awaited) {
      job.error = error;
      this.#finish(job);
    } else this.#abandoned--;
    if (this.#log.on) this.#note(awaited ? 'end' : 'let-go', job, number, true);
  }

  #finish(job: Job): void {
    this.#finished.push(job);
    this.#untaken += job.length;
  }

  #note(what: DiskEvent['what'], job: Job, number: number, ended: boolean): void {
    const { kind, offset, length, error, buffer } = job;
    const has =
      what === 'let-go'
        ? false
        : kind === 'read'
          ? ended && error === undefined
          : kind === 'write' && what !== 'end';
    const bytes = has ? new Uint8Array(buffer.subarray(0, length)) : undefined;
    this.#log.record({ what, disk: this.#number, job: number, kind, offset, length, ended, error, bytes });
  }
}
