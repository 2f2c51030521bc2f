/**
 * DeviceMemory: memory on a device, which its model has as an array and programs have mapped.
 *
 * The array lies at one address for as long as it lives. Behind it are pages of this process alone while
 * programs have none, and the very pages of theirs (shared-pages.ts) while they do; their content goes along.
 * The one thread that uses the array makes the change, so it is in no state between.
 *
 * A program that cuts the file of its pages empties them, here as well, and no more (memory-guard.ts).
 *
 * Where there is no native code, the memory is an ordinary array, and nobody else can have it.
 */
import { libc, viewMemory } from './ffi.js';
import { broken } from './invariant.js';
import { guardedAddresses } from './memory-guard.js';
import { SharedPages } from './shared-pages.js';

const PAGE = 4096;
const MOST = 2 ** 30;
const PROT_NONE = 0;
const PROT_READ_WRITE = 3;
const MAP_SHARED_FIXED = 0x11;
/** MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED. */
const MAP_OURS = 0x4032;
const MAP_FAILED = 2 ** 63;

/** By what is under the arrays. */
const memories = new WeakMap<ArrayBufferLike, DeviceMemory>();

/** `length` bytes of memory, zeros. @throws Error when `length` is no multiple of 4096 up to 1 GiB. */
export function deviceMemory(length: number): Uint8Array {
  if (!Number.isInteger(length) || length < PAGE || length > MOST || length % PAGE !== 0)
    throw new RangeError(`${length} bytes of memory are no multiple of ${PAGE} up to ${MOST}`);
  const at = mapOurs(length);
  if (at === undefined) return new Uint8Array(length);
  const bytes = viewMemory(at, length);
  memories.set(bytes.buffer, new DeviceMemory(at, bytes));
  gone.register(bytes.buffer, [at, length]);
  return bytes;
}

/** Pages of ours; undefined where there is no native code or no room. */
function mapOurs(length: number): number | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    const at = guardedAddresses(length);
    return at !== undefined && put(at, length, PROT_READ_WRITE) ? at : undefined;
  } catch {
    return undefined;
  }
}

/** Puts pages of this process alone there. */
function put(at: number, length: number, protection: number): boolean {
  return libc().mmap(at, length, protection, MAP_OURS, -1, 0) < MAP_FAILED;
}

/** Addresses of arrays that are gone keep no pages. */
const gone = new FinalizationRegistry<readonly [at: number, length: number]>(
  ([at, length]) => void put(at, length, PROT_NONE),
);

export class DeviceMemory {
  readonly #at: number;
  readonly #bytes: Uint8Array;
  readonly #length: number;
  #pages: SharedPages | undefined;
  #given = false;

  /** That of all of `bytes`, which `deviceMemory` has returned; undefined: it can be had by nobody else. */
  static of(bytes: Uint8Array): DeviceMemory | undefined {
    const memory = memories.get(bytes.buffer);
    return memory !== undefined && bytes.length === memory.#length ? memory : undefined;
  }

  /** @param bytes that at `at`. */
  constructor(at: number, bytes: Uint8Array) {
    this.#at = at;
    this.#bytes = bytes;
    this.#length = bytes.length;
  }

  /** The pages that programs can map; nothing is there before `give`. @throws Refusal EMFILE, ENFILE. */
  share(): SharedPages {
    this.#pages ??= new SharedPages(this.#length);
    return this.#pages;
  }

  /** Programs that have mapped it have it from now on, unless there is no memory for that. */
  give(): void {
    const pages = this.#pages;
    if (pages === undefined || this.#given) return;
    this.#given = pages.give(this.#bytes);
    if (this.#given) this.#put(MAP_SHARED_FIXED, pages.fd);
    else pages.take(this.#bytes);
  }

  /** Programs have it no more. */
  take(): void {
    if (!this.#given) return;
    this.#given = false;
    this.#put(MAP_OURS, -1);
    this.#pages!.take(this.#bytes);
  }

  /** Those who have mapped it will never have it again. */
  close(): void {
    this.take();
    this.#pages?.close();
    this.#pages = undefined;
  }

  #put(flags: number, fd: number): void {
    if (libc().mmap(this.#at, this.#length, PROT_READ_WRITE, flags, fd, 0) >= MAP_FAILED)
      broken(`${this.#length} bytes of a device's memory could not be put elsewhere`);
  }
}
