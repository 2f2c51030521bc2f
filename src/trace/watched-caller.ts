/**
 * WatchedCaller: the caller of a call that is traced, which notes what the call learns and says of it.
 *
 * The argument of most ioctls is an address, and what stands there may change at any time. So nothing is
 * read twice: what the handler reads is what is shown, and what it writes is what has become of that.
 */

import type { Caller, Doorbell, IoctlCall, MemoryRange, OpenFile, Signal } from '../file/open-file.js';
import { after, type Sliced } from '../file/work.js';
import type { Access } from '../iommu/iommu.js';
import type { Memory } from '../iommu/memory.js';
import type { Account } from '../linux/account.js';
import type { IoctlShape } from '../uapi/ioctl.js';
import { type IoctlPart, isStruct } from './call-record.js';
import { copied } from './copied.js';

/** A string argument is shown up to so many bytes. */
const MOST_TEXT = 256;

const empty = new Uint8Array(0);
const noDescriptors: ReadonlyMap<number, string> = new Map();

/** Required: what a Caller may lack too, so that a call finds the same with and without a trace. */
export class WatchedCaller implements Required<Caller> {
  /** The argument as it was read and as it was written, and how much of each is known, from its beginning. */
  input = empty;
  output = empty;
  known = 0;
  changed = 0;
  /** What the descriptors are that the call has named, as far as it has found out: most calls name none. */
  descriptors: ReadonlyMap<number, string> = noDescriptors;
  readonly #caller: Caller;
  readonly #address: number;
  readonly #size: number;
  readonly #nameOf: (object: object) => string | undefined;
  readonly #wrap: (file: OpenFile) => OpenFile;

  /**
   * @param address where the argument begins, in the caller.
   * @param size bytes of it that are shown; 0: a text.
   * @param nameOf the path of the file that stands for an object.
   * @param wrap makes of a new file what the caller is given.
   */
  constructor(
    caller: Caller,
    address: number,
    size: number,
    nameOf: (object: object) => string | undefined,
    wrap: (file: OpenFile) => OpenFile,
  ) {
    this.#caller = caller;
    this.#address = address;
    this.#size = size || MOST_TEXT;
    this.#nameOf = nameOf;
    this.#wrap = wrap;
  }

  get pid(): number {
    return this.#caller.pid;
  }

  get tid(): number {
    return this.#caller.tid ?? 0;
  }

  get rawIo(): boolean {
    return this.#caller.rawIo ?? true;
  }

  get payer(): Account | undefined {
    return this.#caller.payer;
  }

  get isAdmin(): boolean {
    return this.#caller.isAdmin ?? true;
  }

  get mapsFiles(): boolean {
    return this.#caller.mapsFiles ?? false;
  }

  descriptorOf(file: OpenFile): number | undefined {
    return this.#caller.descriptorOf?.(file);
  }

  parts(length: number): Sliced<readonly number[] | undefined> {
    return this.#caller.parts?.(length);
  }

  readMemory(address: number, target: Uint8Array): void {
    this.#caller.readMemory(address, target);
    const end = this.#keep('input', address, target);
    this.known = Math.max(this.known, end);
    if (end > 0 && this.changed === 0) this.output = this.input.slice();
  }

  writeMemory(address: number, source: Uint8Array): void {
    this.#caller.writeMemory(address, source);
    this.changed = Math.max(this.changed, this.#keep('output', address, source));
  }

  memory(address: number, length: number, access: Access): Sliced<MemoryRange> {
    return this.#caller.memory(address, length, access);
  }

  mappedFile(address: number, length: number, access: Access): Sliced<MemoryRange | undefined> {
    return this.#caller.mappedFile?.(address, length, access);
  }

  addressSpace(): Memory {
    return this.#caller.addressSpace();
  }

  livesIn(memory: Memory): boolean {
    return this.#caller.livesIn(memory);
  }

  fileMemory(fd: number, offset: number, length: number, access: Access): MemoryRange {
    const range = this.#caller.fileMemory(fd, offset, length, access);
    this.#learned(fd, range.memory.description);
    return range;
  }

  eventfd(fd: number): Signal {
    const signal = this.#caller.eventfd(fd);
    this.#learned(fd, 'eventfd');
    return signal;
  }

  doorbell(fd: number): Doorbell {
    const doorbell = this.#caller.doorbell(fd);
    this.#learned(fd, 'eventfd');
    return doorbell;
  }

  presented(fd: number): object {
    const object = this.#caller.presented(fd);
    const name = this.#nameOf(object);
    if (name !== undefined) this.#learned(fd, name);
    return object;
  }

  install(file: OpenFile): Sliced<number> {
    const wrapped = this.#wrap(file);
    return after(this.#caller.install(wrapped), (fd) => {
      this.#learned(fd, this.#nameOf(wrapped) ?? 'a new file');
      return fd;
    });
  }

  #learned(fd: number, is: string): void {
    if (this.descriptors === noDescriptors) this.descriptors = new Map();
    (this.descriptors as Map<number, string>).set(fd, is);
  }

  /** Keeps what lies in the argument. @returns where it ends there; 0 when nothing does. */
  #keep(side: 'input' | 'output', address: number, bytes: Uint8Array): number {
    const at = address - this.#address;
    if (at < 0 || at >= this.#size) return 0;
    if (this[side] === empty) this[side] = new Uint8Array(this.#size);
    const length = Math.min(bytes.length, this.#size - at);
    this[side].set(length === bytes.length ? bytes : bytes.subarray(0, length), at);
    return at + length;
  }
}

/** `before`, `data`: the argument before and after, where the kernel copies it. */
export function ioctlPart(
  shape: IoctlShape | undefined,
  { cmd, arg, data }: IoctlCall,
  watched: WatchedCaller,
  before: Uint8Array,
): IoctlPart {
  const { descriptors, input, output, known, changed } = watched;
  const size = isStruct(shape?.argument) ? shape.argument.size : Number.POSITIVE_INFINITY;
  if (data.length > 0) return { cmd, arg, shape, input: before, output: copied(data), descriptors };
  const reach = Math.min(Math.max(changed, known), size);
  const said = firstOf(input, Math.min(known, size));
  return { cmd, arg, shape, input: said, output: firstOf(output, reach), descriptors };
}

/** Not a view: that of a short array would move its bytes out of the heap, which costs more than a copy. */
function firstOf(bytes: Uint8Array, length: number): Uint8Array {
  return bytes.length <= length ? bytes : bytes.slice(0, length);
}
