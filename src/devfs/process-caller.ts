/**
 * ProcessCaller: the real process whose request is being served.
 *
 * One object serves all requests; `begin` points it to the next caller. It names the caller by thread id, and that is safe: the thread
 * sleeps in the kernel until its request is answered, so the id cannot come to mean somebody else meanwhile.
 */
import type { Caller, MemoryRange, Signal } from '../ioasid/caller.js';
import type { Access } from '../iommu/iommu.js';
import { errnoName, hex, refuse } from '../linux/errno.js';
import { eventfdOf } from '../linux/eventfd.js';
import { address as addressOf, lastErrno, libc } from '../linux/ffi.js';
import { fileMemory } from '../linux/file-memory.js';
import { processOfThread } from '../linux/proc.js';
import { processMemory } from '../linux/process-memory.js';

/** Bytes copied per system call; ioctl structs are far smaller. */
const STAGE = 65536;

export class ProcessCaller implements Caller {
  readonly #identify: (tid: number, fd: number) => object;
  #tid = 0;
  #pid: number | undefined;
  readonly #stage = new Uint8Array(STAGE);
  readonly #stageAddress = addressOf(this.#stage);
  /** Two struct iovec, local and remote: 32 bytes, in a buffer large enough to stay where it is. */
  readonly #iov = new Uint32Array(64);
  readonly #iovAddress = addressOf(new Uint8Array(this.#iov.buffer));

  /** `identify` finds the object behind a descriptor of a thread, or refuses. */
  constructor(identify: (tid: number, fd: number) => object) {
    this.#identify = identify;
  }

  /** The caller is thread `tid` from now on; 0 when its pid namespace cannot be seen from here. */
  begin(tid: number): void {
    this.#tid = tid;
    this.#pid = undefined;
  }

  get pid(): number {
    this.#pid ??= this.#tid === 0 ? 0 : processOfThread(this.#tid);
    return this.#pid;
  }

  readMemory(address: number, target: Uint8Array): void {
    for (let done = 0; done < target.length; ) {
      const length = Math.min(STAGE, target.length - done);
      this.#transfer(libc().process_vm_readv, address + done, length, 'read');
      target.set(this.#stage.subarray(0, length), done);
      done += length;
    }
  }

  writeMemory(address: number, source: Uint8Array): void {
    for (let done = 0; done < source.length; ) {
      const length = Math.min(STAGE, source.length - done);
      this.#stage.set(source.subarray(done, done + length));
      this.#transfer(libc().process_vm_writev, address + done, length, 'written');
      done += length;
    }
  }

  memory(address: number, length: number, access: Access): MemoryRange {
    return processMemory(this.#thread(), address, length, access);
  }

  fileMemory(fd: number, offset: number, length: number, access: Access): MemoryRange {
    return fileMemory(this.#thread(), fd, offset, length, access);
  }

  eventfd(fd: number): Signal {
    return eventfdOf(this.#thread(), fd);
  }

  presented(fd: number): object {
    return this.#identify(this.#thread(), fd);
  }

  #thread(): number {
    if (this.#tid === 0) refuse('EPERM', 'the caller lives in a pid namespace that the server cannot see');
    return this.#tid;
  }

  #transfer(call: (...args: number[]) => number, address: number, length: number, verb: string): void {
    const tid = this.#thread();
    setPointer(this.#iov, 0, this.#stageAddress, length);
    setPointer(this.#iov, 4, address, length);
    const done = call(tid, this.#iovAddress, 1, this.#iovAddress + 16, 1, 0);
    if (done === length) return;
    const cause = done === -1 ? errnoName(lastErrno()) : `only ${done} of them`;
    refuse('EFAULT', `${length} bytes at ${hex(address)} of thread ${tid} cannot be ${verb}: ${cause}`);
  }
}

/** Stores one struct iovec. */
function setPointer(words: Uint32Array, at: number, base: number, length: number): void {
  words[at] = base >>> 0;
  words[at + 1] = base / 2 ** 32;
  words[at + 2] = length;
  words[at + 3] = 0;
}
