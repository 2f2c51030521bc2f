/**
 * LiveMemory: the whole address space of another process, as it is at each access. Offsets are addresses in
 * it, and what the process may read or write at an address may be read or written here, page by page, with
 * the protection that the page has then.
 *
 * It holds the address space as ProcessMemory does, so it ends with it: after an exec or an exit there is
 * nothing to reach, never another program's memory. /proc/PID/mem ignores protection, so the kernel is asked
 * about the area first, and the transfer follows, a piece at a time. Between the two the process may change
 * the area: an access that was allowed then may land in memory that has less rights since, by one piece.
 *
 * Invariant: nothing is asked for that another process has to answer. Pages of a filesystem that a process
 * serves are refused; those of a userfaultfd end a transfer by themselves.
 */
import type { Account } from './account.js';
import { requireDumpable } from './dumpable.js';
import { hex } from './errno.js';
import { servingFilesystem } from './file-status.js';
import { type AreaNow, areaNow } from './process-areas.js';
import { ProcessMemory } from './process-memory.js';
import { Ranges } from './ranges.js';

const READ = 1;
const WRITE = 2;
/** Bytes that are transferred on one answer of the kernel. */
const PIECE = 2 ** 16;

/**
 * All memory of the process of thread `tid`, which waits for us; the receiver closes it. `account` pays.
 * @throws Refusal EPERM the process is not dumpable, or ptrace rules forbid it; ESRCH it has exited; EMFILE
 * the account's part is used up.
 */
export function liveMemory(account: Account, tid: number): LiveMemory {
  requireDumpable(tid);
  const memory = ProcessMemory.of(account, tid);
  memory.hold();
  return new LiveMemory(memory);
}

/** It has the shape of the `Memory` that the IOMMU knows. */
export class LiveMemory {
  readonly ofProcess = true;
  /** The kernel is asked about each part, and about each area that a part lies in. */
  readonly together = { parts: 16, bytes: PIECE };
  readonly description: string;
  readonly #process: ProcessMemory;
  readonly #parts = new Ranges();
  readonly #area: AreaNow = { start: 0, end: 0, rights: 0, device: 0 };
  /** Why the last transfer ended early; undefined: nothing is there. */
  shortfall: string | undefined;

  constructor(process: ProcessMemory) {
    this.#process = process;
    this.description = `all of ${process.description}`;
  }

  read(offset: number, target: Uint8Array, at: number, length: number): number {
    let done = 0;
    while (done < length) {
      const here = this.#allowed(offset + done, length - done, READ);
      if (here === 0) break;
      const moved = this.#process.read(offset + done, target, at + done, here);
      done += moved;
      if (moved < here) {
        this.shortfall = this.#process.shortfall;
        break;
      }
    }
    return done;
  }

  write(offset: number, source: Uint8Array, at: number, length: number): number {
    let done = 0;
    while (done < length) {
      const here = this.#allowed(offset + done, length - done, WRITE);
      if (here === 0) break;
      const moved = this.#process.write(offset + done, source, at + done, here);
      done += moved;
      if (moved < here) {
        this.shortfall = this.#process.shortfall;
        break;
      }
    }
    return done;
  }

  /** As Memory.gather. */
  gather(ranges: Ranges, target: Uint8Array, at: number): number {
    return this.#moveParts(ranges, target, at, READ);
  }

  /** As Memory.scatter. */
  scatter(ranges: Ranges, source: Uint8Array, at: number): number {
    return this.#moveParts(ranges, source, at, WRITE);
  }

  reaches(offset: number, length: number, access: number): Generator<undefined, boolean, unknown> {
    return this.#process.reaches(offset, length, access);
  }

  /** Is it the address space that thread `tid`, which waits for us, lives in now? */
  isOf(tid: number): boolean {
    return this.#process.isOf(tid);
  }

  close(): void {
    this.#process.close();
  }

  #moveParts(ranges: Ranges, buffer: Uint8Array, at: number, access: number): number {
    const [process, parts] = [this.#process, this.#parts];
    let done = 0;
    while (done < ranges.length) {
      const here = this.#allowedParts(ranges, done, access);
      if (here === 0) break;
      const moved =
        access === WRITE
          ? process.scatter(parts, buffer, at + done)
          : process.gather(parts, buffer, at + done);
      done += moved;
      if (moved < here) {
        this.shortfall = process.shortfall;
        break;
      }
    }
    return done;
  }

  /**
   * Fills `#parts` with the bytes of `ranges` from byte `from` on that may be accessed now, in one piece, and
   * counts them. Parts that follow each other in an area need one answer of the kernel.
   */
  #allowedParts(ranges: Ranges, from: number, access: number): number {
    const [parts, area] = [this.#parts, this.#area];
    parts.clear();
    area.start = area.end = 0;
    while (parts.length < Math.min(PIECE, ranges.length - from)) {
      const within = ranges.seek(from + parts.length);
      const address = ranges.addresses[ranges.part]! + within;
      const length = Math.min(ranges.lengths[ranges.part]! - within, PIECE - parts.length);
      const known = address >= area.start && address < area.end;
      const here = known ? Math.min(length, area.end - address) : this.#allowed(address, length, access);
      if (here === 0) break;
      parts.append(address, here);
    }
    return parts.length;
  }

  /** How many bytes from `address` on, of `length`, may be accessed now, in one piece. */
  #allowed(address: number, length: number, access: number): number {
    this.shortfall = undefined;
    const area = this.#area;
    if (!areaNow(this.#process.maps, address, area)) {
      this.shortfall = this.#process.shortfall;
      return this.shortfall === undefined ? this.#refuse(address, 'is not mapped') : 0;
    }
    if ((access & ~area.rights) !== 0)
      return this.#refuse(address, `may not be ${access === WRITE ? 'written' : 'read'} by it`);
    const filesystem = area.device === -1 ? undefined : servingFilesystem(this.#process.pid, area.device);
    if (filesystem !== undefined)
      return this.#refuse(address, `is a file on ${filesystem}, which may have to wait for another process`);
    return Math.min(length, area.end - address, PIECE);
  }

  #refuse(address: number, why: string): 0 {
    this.shortfall = `address ${hex(address)} of ${this.#process.description} ${why}`;
    return 0;
  }
}
