/**
 * FileMedium: the bytes of a Disk, on a file or a block device.
 *
 * A job is begun on another thread (linux/pool-threads.ts), or, where a read finds its bytes in memory, is
 * done when it is begun. It can also be done at once, on this thread. Those of a file have DISK_THREADS at a
 * time, so that one whose disk is slow has no more of them: the others wait here, in their order.
 */
import * as fs from 'node:fs';
import { readCached } from '../linux/cached-read.js';
import { inWords } from '../linux/errno.js';
import { type LibcFunction, libc } from '../linux/ffi.js';
import { DISK_THREADS } from '../linux/pool-threads.js';
import { CallWord, callWords } from './call-words.js';
import type { Ended, Job, Medium } from './medium.js';

const PUNCH_HOLE_KEEP_SIZE = 3;
/** What is written at a time where a range is to be zeros. */
const ZEROS = new Uint8Array(1 << 20);

export class FileMedium implements Medium {
  readonly path: string;
  readonly size: number;
  readonly writable: boolean;
  readonly #fd: number;
  #underWay = 0;
  readonly #waiting: [job: Job, ended: Ended][] = [];

  /**
   * Opens the file. @throws Error one sentence: it is not there, not a file, not of whole sectors, or may not
   * be written.
   */
  constructor(path: string, writable: boolean) {
    this.path = path;
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

  begin(job: Job, _number: number, mayNow: boolean, ended: Ended): boolean {
    if (mayNow && job.kind === 'read' && this.#isRead(job)) return true;
    this.#waiting.push([job, ended]);
    this.#beginNext();
    return false;
  }

  run(job: Job): string | undefined {
    try {
      return this.#doNow(job);
    } catch (error) {
      return (error as Error).message;
    }
  }

  #beginNext(): void {
    if (this.#underWay === DISK_THREADS) return;
    const next = this.#waiting.shift();
    if (next === undefined) return;
    const [job, ended] = next;
    this.#underWay++;
    this.#begin(job, (error) => {
      this.#underWay--;
      ended(error);
      this.#beginNext();
    });
  }

  /** Could it be read at once? */
  #isRead(job: Job): boolean {
    const { buffer, offset, length, target, targetOffset } = job;
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
