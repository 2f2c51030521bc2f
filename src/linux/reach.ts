/**
 * Reach: how the memory of one address space is got at, by open files of /proc/PID/mem and /proc/PID/maps,
 * which are bound to it (process-memory.ts).
 *
 * The kernel may have to wait for others in each of these calls: for a page that a FUSE server has to give,
 * or for the lock of the address space, which one of its threads holds while it waits so. Whoever can map
 * such a file can let us wait for ever, and looking first does not help: he maps it afterwards. So the calls
 * are made by a helper process (remote-reach.ts), which takes 20 µs longer: seven times as long for a word,
 * half as long again for 64 KiB.
 *
 * But not for a program of the one command that a `run` serves: it keeps nobody else. That is, where we serve
 * one alone, a process that could as well have ended us by kill(2), of our own user in our own pid namespace.
 */
import { addressOf, lastErrno, libc } from './ffi.js';
import { procFile } from './own-proc.js';
import type { Ranges } from './ranges.js';

const O_RDONLY = 0;
const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;
/** _IOWR('f', 17, struct procmap_query), 104 bytes (linux/fs.h, Linux 6.11). */
export const PROCMAP_QUERY = 0xc0686611;

/** Bytes that are compared: as many random ones as the kernel gives each program. */
export const PROOF_BYTES = 16;
const proof = new Uint8Array(128);
/** What is read of memory that is only touched: not looked at. */
const touched = new Uint8Array(2 ** 16);

/** An open /proc/PID/maps. */
export interface Maps {
  /** How many times it may be asked before others are served. */
  readonly perSlice: number;
  /** Why the last call came back early, where there is more to say than that nothing is there. */
  readonly shortfall: string | undefined;
  /** PROCMAP_QUERY, with a struct procmap_query. @returns 0 or an errno; ETIMEDOUT comes with a shortfall. */
  ask(query: Uint8Array): number;
  /** Reads its text (before Linux 6.11) from byte `position` on. @returns as pread(2). */
  text(target: Uint8Array, position: number): number;
}

export interface Reach extends Maps {
  /** Copies from `address` to `target[at..]`. @returns the bytes copied: fewer where nothing is mapped. */
  read(address: number, target: Uint8Array, at: number, length: number): number;

  /** Copies from `source[at..]` to `address`. Returns as `read` does. */
  write(address: number, source: Uint8Array, at: number, length: number): number;

  /** As `read`, of all parts of `ranges`, one after the other. */
  gather(ranges: Ranges, target: Uint8Array, at: number): number;

  /** As `write`, to all parts of `ranges`. */
  scatter(ranges: Ranges, source: Uint8Array, at: number): number;

  /** Reads `length` bytes at `address`, 64 KiB at most, for nobody. @returns as pread(2). */
  touch(address: number, length: number): number;

  /** Does the address space that thread `tid` has now have these PROOF_BYTES bytes at `address`? */
  has(tid: number, address: number, bytes: Uint8Array): boolean;

  /** What is mapped at exactly `range` of process `pid`, as a name (O_PATH) of the file; -1: none. */
  nameOfArea(pid: number, range: string): number;

  /** The files stay open: they are not its own. */
  close(): void;
}

/** By calls of this process. */
export class OwnReach implements Reach {
  readonly shortfall = undefined;
  readonly perSlice = 64;
  readonly #mem: number;
  readonly #maps: number;

  constructor(mem: number, maps: number) {
    this.#mem = mem;
    this.#maps = maps;
  }

  ask(query: Uint8Array): number {
    return libc().ioctl(this.#maps, PROCMAP_QUERY, addressOf(query)) === 0 ? 0 : lastErrno();
  }

  text(target: Uint8Array, position: number): number {
    return libc().pread(this.#maps, addressOf(target), target.length, position);
  }

  /** One call may stop early (it copies 2 GiB at most), so go on until nothing comes. */
  read(address: number, target: Uint8Array, at: number, length: number): number {
    const local = addressOf(target) + at;
    let done = 0;
    while (done < length) {
      const n = libc().pread(this.#mem, local + done, length - done, address + done);
      if (n <= 0) break;
      done += n;
    }
    return done;
  }

  write(address: number, source: Uint8Array, at: number, length: number): number {
    const local = addressOf(source) + at;
    let done = 0;
    while (done < length) {
      const n = libc().pwrite(this.#mem, local + done, length - done, address + done);
      if (n <= 0) break;
      done += n;
    }
    return done;
  }

  gather({ count, addresses, lengths }: Ranges, target: Uint8Array, at: number): number {
    let done = 0;
    for (let part = 0; part < count; part++) {
      const n = this.read(addresses[part]!, target, at + done, lengths[part]!);
      done += n;
      if (n < lengths[part]!) break;
    }
    return done;
  }

  scatter({ count, addresses, lengths }: Ranges, source: Uint8Array, at: number): number {
    let done = 0;
    for (let part = 0; part < count; part++) {
      const n = this.write(addresses[part]!, source, at + done, lengths[part]!);
      done += n;
      if (n < lengths[part]!) break;
    }
    return done;
  }

  touch(address: number, length: number): number {
    return libc().pread(this.#mem, addressOf(touched), Math.min(length, touched.length), address);
  }

  has(tid: number, address: number, bytes: Uint8Array): boolean {
    const fresh = libc().open(procFile(tid, 'mem'), O_RDONLY | O_CLOEXEC, 0);
    if (fresh === -1) return false;
    const read = libc().pread(fresh, addressOf(proof), PROOF_BYTES, address);
    libc().close(fresh);
    return read === PROOF_BYTES && areProof(bytes, proof);
  }

  nameOfArea(pid: number, range: string): number {
    return libc().open(procFile(pid, `map_files/${range}`), O_PATH | O_CLOEXEC, 0);
  }

  close(): void {}
}

/** Are the PROOF_BYTES of `bytes` the first of `found`? */
export function areProof(bytes: Uint8Array, found: Uint8Array): boolean {
  for (let n = 0; n < PROOF_BYTES; n++) if (bytes[n] !== found[n]) return false;
  return true;
}

/** An open /proc/PID/maps, asked by this process. */
export function ownMaps(fd: number): Maps {
  return new OwnReach(-1, fd);
}
