/**
 * CallMemory: the memory of whoever waits for the answer to his call, for as long as he waits.
 *
 * What cannot change meanwhile is found out once in a call: whose address space it is, since who waits has
 * the same until the end. What another thread of his could change, and would harm nobody but himself by, is
 * asked once too: what rights an area of his own has. And a struct that begins with its size is read whole,
 * as far as its page goes, when its size is.
 *
 * (process_vm_readv would be cheaper than what this does, but waits for whoever handles the caller's page
 * faults: for ever, if he likes.)
 */
import { type Access, READ, WRITE } from '../iommu/iommu.js';
import type { Account } from '../linux/account.js';
import { hex, refuse } from '../linux/errno.js';
import { type AreaNow, areaNow } from '../linux/process-areas.js';
import { ProcessMemory } from '../linux/process-memory.js';

const PAGE = 4096;
/** What the size of a struct has, and the most of it that is read ahead. */
const SIZE_BYTES = 4;
const AHEAD_BYTES = 128;

export class CallMemory {
  /** The last caller's address space, which is often the next one's, and whether it is this one's. */
  #memory: ProcessMemory | undefined;
  #isFound = false;
  /** The private area of his that was asked for last in this call. */
  readonly #area: AreaNow = { start: 0, end: 0, rights: 0, device: 0 };
  /** Short reads and writes go through it: the address of a buffer that is used again is known. */
  readonly #bytes = new Uint8Array(PAGE);
  /** It has #ahead bytes of his, from #from on, that were read last of all. */
  #from = 0;
  #ahead = 0;

  /** Another call begins. */
  begin(): void {
    this.#isFound = false;
    this.#area.end = 0;
    this.#ahead = 0;
  }

  /**
   * The address space of thread `tid`, whose call this is. It is kept for the next call, and not charged to
   * `account`. @throws Refusal as ProcessMemory.of.
   */
  of(account: Account, tid: number): ProcessMemory {
    if (this.#isFound) return this.#memory!;
    const memory = ProcessMemory.of(account, tid);
    this.#memory?.drop();
    this.#memory = memory;
    this.#isFound = true;
    return memory;
  }

  /** Reads what thread `tid` has at `address`. @throws Refusal EFAULT when any byte of it cannot be read. */
  read(account: Account, tid: number, address: number, target: Uint8Array): void {
    const { length } = target;
    const isThere = address === this.#from && length > 0 && length <= this.#ahead;
    this.#ahead = 0;
    if (isThere) copy(this.#bytes, target, length);
    else this.#fetch(account, tid, address, target);
  }

  /** Writes to what thread `tid` has at `address`. @throws Refusal EFAULT as `read`. */
  write(account: Account, tid: number, address: number, source: Uint8Array): void {
    const { length } = source;
    this.#ahead = 0;
    const memory = this.#require(account, tid, address, length, WRITE);
    const isShort = length <= PAGE;
    if (isShort) copy(source, this.#bytes, length);
    const from = isShort ? this.#bytes : source;
    requireAll(memory.write(address, from, 0, length), address, length, tid, 'written');
  }

  #fetch(account: Account, tid: number, address: number, target: Uint8Array): void {
    const { length } = target;
    const memory = this.#require(account, tid, address, length, READ);
    const isShort = length <= PAGE;
    const to = isShort ? this.#bytes : target;
    const more = length === SIZE_BYTES ? Math.min(AHEAD_BYTES, this.#left(address)) : 0;
    const read = memory.read(address, to, 0, Math.max(length, more));
    requireAll(Math.min(read, length), address, length, tid, 'read');
    if (isShort) copy(to, target, length);
    this.#from = address;
    this.#ahead = more > 0 ? read : 0;
  }

  /** Bytes from `address` on to the end of its page, and of the area where it is private. */
  #left(address: number): number {
    return Math.min(PAGE - (address % PAGE), this.#area.end - address);
  }

  /** The caller's address space, when [address, address+length) is mapped in it for `access`. */
  #require(account: Account, tid: number, address: number, length: number, access: Access): ProcessMemory {
    const memory = this.of(account, tid);
    if (this.#isKnown(address, length, access)) return memory;
    const area = this.#area;
    const isPrivate = areaNow(memory.maps, address, area) && area.device === -1;
    if (isPrivate && this.#isKnown(address, length, access)) return memory;
    area.end = 0;
    if (memory.maps.shortfall !== undefined) refuse('EFAULT', memory.maps.shortfall);
    memory.requireNow(tid, address, length, access);
    return memory;
  }

  #isKnown(address: number, length: number, access: Access): boolean {
    const { start, end, rights } = this.#area;
    return length > 0 && address >= start && address + length <= end && (access & ~rights) === 0;
  }
}

/** The first `length` bytes. */
function copy(source: Uint8Array, target: Uint8Array, length: number): void {
  for (let n = 0; n < length; n++) target[n] = source[n]!;
}

function requireAll(done: number, address: number, length: number, tid: number, verb: string): void {
  if (done === length) return;
  refuse('EFAULT', `only ${done} of ${length} bytes at ${hex(address)} of thread ${tid} can be ${verb}`);
}
