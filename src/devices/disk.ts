/**
 * Disk: a file as the medium of a block device. Jobs run on other threads (libuv's), so that nobody waits for
 * the file; what has ended is found in `finished`, in the order in which it has. A read of what is in memory
 * needs no other thread, and has ended when it is started.
 *
 * A job can also be run at once, on this thread. That, and `abandon`, is how work is ended at a point in
 * time: jobs that are under way cannot be called back, but nobody looks at their results any more, and
 * nothing new is to start before they have ended (`settled`), so that none of them overtakes a later one.
 */
import * as fs from 'node:fs';
import { readCached } from '../linux/cached-read.js';
import { inWords } from '../linux/errno.js';
import { type LibcFunction, libc } from '../linux/ffi.js';
import { CallWord, callWords } from './call-words.js';

export type JobKind = 'read' | 'write' | 'sync' | 'zero' | 'punch';

const PUNCH_HOLE_KEEP_SIZE = 3;
/** Bytes that are read at once, before any of them are taken: about a millisecond of copies. */
const MOST_AT_ONCE = 4 << 20;
/** What is written at a time where a range is to be zeros. */
const ZEROS = new Uint8Array(1 << 20);

/** Where what is read finally goes. */
export interface ReadTarget {
  /**
   * Takes bytes [position, position+length) of our file `fd`, for its byte `offset` on. @returns false when
   * that would have to wait: then they go into the buffer.
   */
  receive(offset: number, fd: number, position: number, length: number): boolean;
}

/** One thing to do to the file. Used again and again by one request. */
export class Job {
  kind: JobKind = 'read';
  /** Bytes of the file; for `sync` nothing. */
  offset = 0;
  length = 0;
  /** Takes what is read and has what is to be written, from its start. */
  buffer: Uint8Array = new Uint8Array();
  /** Has taken what was read, at `targetOffset`, when the job has ended `delivered`; then not the buffer. */
  target: ReadTarget | undefined;
  targetOffset = 0;
  delivered = false;
  /** Why it failed, once it has ended; undefined: it has not. */
  error: string | undefined;
}

export class Disk {
  /** Bytes. */
  readonly size: number;
  readonly writable: boolean;
  readonly #fd: number;
  #finished: Job[] = [];
  #untaken = 0;
  /** Jobs under way that somebody waits for, and those that nobody does. */
  #running = new Set<Job>();
  #abandoned = 0;

  /**
   * Opens the file. @throws Error one sentence: it is not there, not a file, not of whole sectors, or may not
   * be written.
   */
  constructor(path: string, writable: boolean) {
    this.writable = writable;
    this.#fd = openFile(path, writable);
    const size = sizeOf(fs.fstatSync(this.#fd));
    const wrong =
      size === undefined
        ? 'is neither a regular file nor a block device'
        : size % 512 !== 0 || size === 0
          ? `has ${size} bytes, which are no whole sectors of 512`
          : undefined;
    if (size === undefined || wrong !== undefined) {
      fs.closeSync(this.#fd);
      throw new Error(`file "${path}" ${wrong}`);
    }
    this.size = size;
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
    if (this.#isRead(job)) this.#finish(job);
    else {
      this.#running.add(job);
      this.#begin(job, (error) => this.#end(job, error));
    }
  }

  /** The job that has ended first of those not taken yet. */
  takeFinished(): Job | undefined {
    const job = this.#finished.shift();
    if (job !== undefined) this.#untaken -= job.length;
    return job;
  }

  /** Does `job` now, before anything else happens on this thread. */
  run(job: Job): void {
    job.error = undefined;
    job.delivered = false;
    try {
      job.error = this.#doNow(job);
    } catch (error) {
      job.error = (error as Error).message;
    }
  }

  /** Nobody waits for what is under way any more. The jobs, and their buffers, are not to be used again. */
  abandon(): void {
    this.#abandoned += this.#running.size;
    this.#running = new Set();
    this.#finished = [];
    this.#untaken = 0;
  }

  #end(job: Job, error: string | undefined): void {
    if (!this.#running.delete(job)) this.#abandoned--;
    else {
      job.error = error;
      this.#finish(job);
    }
  }

  #finish(job: Job): void {
    this.#finished.push(job);
    this.#untaken += job.length;
  }

  /** Is it a read that was done, and at once? */
  #isRead(job: Job): boolean {
    const { kind, buffer, offset, length, target, targetOffset } = job;
    if (kind !== 'read' || this.#untaken + length > MOST_AT_ONCE) return false;
    if (target !== undefined) {
      callWords[CallWord.DMA] = (callWords[CallWord.DMA]! + 1) | 0;
      job.delivered = target.receive(targetOffset, this.#fd, offset, length);
      callWords[CallWord.DMA] = (callWords[CallWord.DMA]! + 1) | 0;
    }
    return job.delivered || readCached(this.#fd, buffer, length, offset);
  }

  #begin(job: Job, done: (error: string | undefined) => void): void {
    const { kind, buffer, offset, length } = job;
    const moved = (error: Error | null, count: number) =>
      done(error !== null ? error.message : count < length ? tooShort(count, length) : undefined);
    if (kind === 'read') fs.read(this.#fd, buffer, 0, length, offset, moved);
    else if (kind === 'write') fs.write(this.#fd, buffer, 0, length, offset, moved);
    else if (kind === 'sync') fs.fdatasync(this.#fd, (error) => done(error?.message));
    else if (kind === 'zero') this.#writeZeros(offset, length, done);
    else if (fallocate() === undefined) this.#writeZeros(offset, length, done);
    else
      fallocate()!.async(this.#fd, PUNCH_HOLE_KEEP_SIZE, offset, length, (error, result) =>
        error === null && result === 0 ? done(undefined) : this.#writeZeros(offset, length, done),
      );
  }

  #writeZeros(offset: number, length: number, done: (error: string | undefined) => void): void {
    const n = Math.min(length, ZEROS.length);
    if (n === 0) done(undefined);
    else
      fs.write(this.#fd, ZEROS, 0, n, offset, (error, count) => {
        if (error !== null) done(error.message);
        else this.#writeZeros(offset + count, length - count, done);
      });
  }

  #doNow({ kind, buffer, offset, length }: Job): string | undefined {
    if (kind === 'sync') fs.fdatasyncSync(this.#fd);
    else if (kind === 'read' || kind === 'write') {
      const count =
        kind === 'read'
          ? fs.readSync(this.#fd, buffer, 0, length, offset)
          : fs.writeSync(this.#fd, buffer, 0, length, offset);
      return count < length ? tooShort(count, length) : undefined;
    } else if (kind === 'zero' || fallocate()?.(this.#fd, PUNCH_HOLE_KEEP_SIZE, offset, length) !== 0)
      for (let done = 0; done < length; )
        done += fs.writeSync(this.#fd, ZEROS, 0, Math.min(ZEROS.length, length - done), offset + done);
    return undefined;
  }
}

/** Makes holes; undefined where there are no C functions. What cannot be a hole is written. */
function fallocate(): LibcFunction | undefined {
  try {
    return libc().fallocate;
  } catch {
    return undefined;
  }
}

/** Bytes of a file or of a block device; undefined for what is neither. */
function sizeOf(status: fs.Stats): number | undefined {
  if (status.isFile()) return status.size;
  if (!status.isBlockDevice()) return undefined;
  const [major, minor] = [deviceMajor(status.rdev), deviceMinor(status.rdev)];
  return Number(fs.readFileSync(`/sys/dev/block/${major}:${minor}/size`, 'utf8')) * 512;
}

/** The numbers of a device node (makedev(3)). */
function deviceMajor(rdev: number): number {
  return Math.floor(rdev / 2 ** 8) % 2 ** 12;
}

function deviceMinor(rdev: number): number {
  return (rdev % 2 ** 8) + Math.floor(rdev / 2 ** 20) * 2 ** 8;
}

function tooShort(count: number, length: number): string {
  return `the file has ended after ${count} of ${length} bytes`;
}

function openFile(path: string, writable: boolean): number {
  try {
    return fs.openSync(path, writable ? 'r+' : 'r');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'does not exist' : `cannot be opened: ${inWords(error)}`;
    throw new Error(`file "${path}" ${why}`);
  }
}
