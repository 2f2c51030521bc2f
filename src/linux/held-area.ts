/**
 * HeldArea: shared memory of a process that stays reachable when the process unmaps it, maps something else
 * there or exits, as memory that a kernel has pinned does.
 *
 * Memory cannot be pinned from outside, but what is shared is a file, and an open file keeps it: shared
 * anonymous memory and files in tmpfs, opened through /proc/PID/map_files. Only root of the first user
 * namespace may do that (proc_pid_map_files(5)); for others a descriptor of the caller's own that is the same
 * file does as well.
 *
 * Invariant: it gives no right that the area has not given. The area is looked at before and after its file
 * is opened, and the file must be the area's; a file of anything else than memory is never opened.
 */

import { type Dir, opendirSync } from 'node:fs';
import type { Account } from './account.js';
import { closeHeld } from './background-close.js';
import { Errno, Refusal } from './errno.js';
import { libc } from './ffi.js';
import { FileMemory, type Payer } from './file-memory.js';
import { type FileStatus, filesystemOfMount, statusOfOurs, statusOfTheirs } from './file-status.js';
import { holdCopy } from './held-copy.js';
import { type HeldDescriptor, heldDescriptors } from './held-descriptors.js';
import { sealedAgainstWriting } from './mappable-file.js';
import { procFile } from './own-proc.js';
import { areaAt, type SharedArea } from './process-areas.js';
import type { Maps, Reach } from './reach.js';
import type { ScatterList } from './scatter-list.js';

const READ = 1;
const WRITE = 2;
const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;
const O_ACCMODE = 3;
const O_NONBLOCK = 0o4000;
const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;
const F_GETFL = 3;
const S_IFREG = 0o100000;
/** Descriptors of a caller that are looked at. */
const MAX_DESCRIPTORS = 1024;

/**
 * Shared memory that was to be held, and is not because its account's part of something is used up: how many
 * areas, which only grows, and whose the last one was, and why.
 */
export const notHeld = { areas: 0, reason: '' };

/** The address space that the area is in. */
interface Owner {
  readonly description: string;
  /** As ProcessMemory.touch. */
  touch(address: number, length: number): number;
  close(): void;
}

/** Offsets are addresses in the process. It has the shape of the `Memory` that the IOMMU knows. */
export class HeldArea implements Payer {
  readonly ofProcess = true;
  readonly description: string;
  readonly #area: SharedArea;
  readonly #file: FileMemory;
  readonly #owner: Owner;

  /**
   * Holds [address, address+length) of process `pid`, which waits for us; undefined where that cannot be:
   * it is not one area of shared memory with the rights of `access`, or its file cannot be had. `account`
   * pays.
   * @param reach of the address space that the area is in
   * @param owner the process's memory, of which a reference is taken over when the area is held
   */
  static *of(
    account: Account,
    pid: number,
    reach: Reach,
    { address, length, access }: { address: number; length: number; access: number },
    owner: Owner,
  ): Generator<undefined, HeldArea | undefined, unknown> {
    try {
      const area = yield* sharedArea(pid, reach, address);
      if (area === undefined || area.end < address + length || (access & ~area.rights) !== 0)
        return undefined;
      const copy = openArea(account, pid, reach, area) ?? (yield* copyOfCallers(account, pid, area));
      if (copy === undefined) return undefined;
      let taken = false;
      try {
        const status = statusOfOurs(copy.fd);
        const end = area.shared.offset + (address - area.start) + length;
        const there = isSame(area, yield* sharedArea(pid, reach, address)) && end <= status.size;
        const writable = (area.rights & WRITE) !== 0;
        if (!there || (writable && sealedAgainstWriting(copy.fd))) return undefined;
        const filesystem = filesystemOfMount(pid, status.mount) ?? '';
        taken = true;
        return new HeldArea(area, FileMemory.of(copy, status, filesystem, writable), owner);
      } finally {
        if (!taken) closeHeld(copy);
      }
    } catch (error) {
      // The process has gone, or the server has no room: then the memory is reached as long as it is there.
      if (!(error instanceof Refusal)) throw error;
      if (error.errno === Errno.EMFILE || error.errno === Errno.ENOMEM) {
        notHeld.areas++;
        notHeld.reason = `${owner.description}: ${error.reason}`;
      }
      return undefined;
    }
  }

  private constructor(area: SharedArea, file: FileMemory, owner: Owner) {
    this.#area = area;
    this.#file = file;
    this.#owner = owner;
    this.description = owner.description;
  }

  read(address: number, target: Uint8Array, at: number, length: number): number {
    const bytes = this.#within(address, length, READ);
    return bytes > 0 ? this.#file.read(this.#offset(address), target, at, bytes) : 0;
  }

  write(address: number, source: Uint8Array, at: number, length: number): number {
    const bytes = this.#within(address, length, WRITE);
    return bytes > 0 ? this.#file.write(this.#offset(address), source, at, bytes, this) : 0;
  }

  /** As Memory.place. */
  place(address: number, length: number, places: ScatterList, access: number): boolean {
    return (
      this.#within(address, length, access) === length &&
      this.#file.place(this.#offset(address), length, places, access)
    );
  }

  reaches(address: number, length: number, access: number): boolean {
    return (
      this.#within(address, length, access) === length &&
      this.#file.reaches(this.#offset(address), length, access)
    );
  }

  /** As Memory.backing. */
  backing(address: number): { file: string; offset: number; length: number } {
    const { shared, end } = this.#area;
    return { file: shared.identity, offset: this.#offset(address), length: end - address };
  }

  /** As Memory.shortfall. */
  get shortfall(): string | undefined {
    return this.#file.shortfall;
  }

  /** The owner pays, as long as it has the area. */
  touch(offset: number, length: number): void {
    this.#owner.touch(this.#area.start + (offset - this.#area.shared.offset), length);
  }

  close(): void {
    this.#file.close();
    this.#owner.close();
  }

  /** How many of the bytes are in the area, if it has the rights of `access`. */
  #within(address: number, length: number, access: number): number {
    const { start, end, rights } = this.#area;
    return (access & ~rights) === 0 && address >= start ? Math.min(length, end - address) : 0;
  }

  #offset(address: number): number {
    return this.#area.shared.offset + (address - this.#area.start);
  }
}

/** What is shared and mapped at `address` now. @throws Refusal ESRCH. */
function* sharedArea(
  pid: number,
  maps: Maps,
  address: number,
): Generator<undefined, SharedArea | undefined, unknown> {
  const area = yield* areaAt(pid, maps, address);
  return area?.shared === undefined ? undefined : (area as SharedArea);
}

function isSame(one: SharedArea, other: SharedArea | undefined): boolean {
  return (
    other !== undefined &&
    one.start === other.start &&
    one.end === other.end &&
    one.rights === other.rights &&
    one.shared.identity === other.shared.identity &&
    one.shared.offset === other.shared.offset
  );
}

/** The file of `area`, opened for the rights of the area; undefined: not allowed, or not memory. */
function openArea(
  account: Account,
  pid: number,
  reach: Reach,
  { start, end, rights, shared }: SharedArea,
): HeldDescriptor | undefined {
  const range = `${start.toString(16)}-${end.toString(16)}`;
  // Without O_PATH a device or a FUSE file would be asked, whatever another thread maps there meanwhile.
  const name = reach.nameOfArea(pid, range);
  if (name === -1) return undefined;
  try {
    if (!isMemory(pid, statusOfOurs(name), shared.identity)) return undefined;
    const mode = rights & WRITE ? O_RDWR : O_RDONLY;
    account.take(heldDescriptors, 1);
    // Without O_NONBLOCK whoever has a lease on it (fcntl(2), F_SETLEASE) lets us wait for 45 s.
    const fd = libc().open(`/proc/self/fd/${name}`, mode | O_NONBLOCK | O_CLOEXEC, 0);
    if (fd !== -1) return { fd, account };
    account.give(heldDescriptors, 1);
    return undefined;
  } finally {
    libc().close(name);
  }
}

/** A copy of a descriptor of the process's own that is the file of `area`, open for its rights. */
function* copyOfCallers(
  account: Account,
  pid: number,
  { rights, shared }: SharedArea,
): Generator<undefined, HeldDescriptor | undefined, unknown> {
  for (const fd of descriptorsOf(account, pid)) {
    yield;
    const isWanted = (holder: number, there: number) =>
      isMemory(pid, statusOfTheirs(holder, there), shared.identity);
    if (!isWanted(pid, fd)) continue;
    const copy = holdCopy(account, pid, fd, isWanted);
    const flags = libc().fcntl(copy.fd, F_GETFL, 0);
    const mode = flags & O_ACCMODE;
    const fits = rights & WRITE ? mode === O_RDWR : mode !== O_WRONLY;
    if ((flags & O_PATH) === 0 && fits) return copy;
    closeHeld(copy);
  }
  return undefined;
}

/** The first descriptors of `pid`, of as many as it may have. One of ours is open meanwhile. */
function* descriptorsOf(account: Account, pid: number): Generator<number> {
  let folder: Dir | undefined;
  account.take(heldDescriptors, 1);
  try {
    folder = opendirSync(procFile(pid, 'fd'));
    for (let n = 0; n < MAX_DESCRIPTORS; n++) {
      const entry = folder.readSync();
      if (entry === null) return;
      yield Number(entry.name);
    }
  } catch {
    // The process has gone, or does not let us.
  } finally {
    folder?.closeSync();
    account.give(heldDescriptors, 1);
  }
}

function isMemory(pid: number, { type, identity, mount }: FileStatus, expected: string): boolean {
  if (type !== S_IFREG || identity !== expected) return false;
  const filesystem = filesystemOfMount(pid, mount);
  return filesystem === 'memfd' || filesystem === 'tmpfs';
}
