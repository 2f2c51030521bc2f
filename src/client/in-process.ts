/**
 * InProcess: a process that is none, for unit tests with no files and no FUSE.
 *
 * It has what a process has (a descriptor table, memory with addresses, memory files, eventfds) and is the
 * Caller of every call that it makes on a machine in this same JavaScript process. What the kernel does
 * between a program and its device file is done here in the same way: an `_IOWR` struct is copied in and out,
 * an `_IO` argument stays an address. Several of them on one machine are several processes.
 */
import {
  type Caller,
  type Doorbell,
  type MemoryRange,
  type OpenFile,
  READABLE,
  type Signal,
  WRITABLE,
} from '../file/open-file.js';
import { finished } from '../file/work.js';
import { type Access, READ, WRITE } from '../iommu/iommu.js';
import type { Memory } from '../iommu/memory.js';
import { hex, refuse } from '../linux/errno.js';
import { release } from '../linux/invariant.js';
import type { Machine } from '../machine/machine.js';
import { ioctlSize } from '../uapi/ioctl.js';
import { explainedIoctl } from './explain.js';
import { Blocks, Counter, CounterBell, FileBytes } from './in-process-objects.js';
import type { EventFile, MemoryFile, ProcessMemoryBlock, Transport } from './transport.js';

const STRUCT_ADDRESS = 0x10000;
const STRUCT_BYTES = 1 << 14;

/** An open file description, shared by the descriptors that dup and `send` make. */
interface Description {
  readonly kind: OpenFile | FileBytes | Counter;
  descriptors: number;
  /** Where read and write go on. */
  position: number;
}

let nextPid = 1;

/**
 * A process that is none, on a machine of the same JavaScript process: descriptors, memory, memory files and
 * eventfds, and the calls of Transport on them. Several on one machine are several processes.
 */
export class InProcess implements Transport, Caller {
  /** By which `snapshot` and traces know it; from 1 on. */
  readonly pid = nextPid++;
  readonly #machine: Machine;
  readonly #run: boolean;
  readonly #descriptions = new Map<number, Description>();
  readonly #blocks = new Blocks(this.pid);

  /** @param options.run false: queued device work is done only when the test calls `machine.step()`. */
  constructor(machine: Machine, options: { readonly run?: boolean } = {}) {
    this.#machine = machine;
    this.#run = options.run ?? true;
    this.#blocks.add(STRUCT_BYTES, STRUCT_ADDRESS);
  }

  // --- Transport ---

  open(path: string): number {
    const node =
      this.#machine.nodes.find((each) => each.path === path && each.present?.() !== false) ??
      refuse('ENOENT', `there is no device file ${path}`);
    return this.#install(description(node.open(this)));
  }

  dup(fd: number): number {
    return this.#install(this.#description(fd));
  }

  /** Hands descriptor `fd` to another process, as SCM_RIGHTS does. @returns its number there. */
  send(fd: number, to: InProcess): number {
    return to.#install(this.#description(fd));
  }

  /** A new process with copies of all descriptors, as fork makes one; memory is not copied. */
  fork(): InProcess {
    const child = new InProcess(this.#machine, { run: this.#run });
    for (const [fd, description] of this.#descriptions) {
      description.descriptors++;
      child.#descriptions.set(fd, description);
    }
    return child;
  }

  close(fd: number): void {
    const description = this.#description(fd);
    this.#descriptions.delete(fd);
    description.descriptors--;
    const { kind } = description;
    if (!isOpenFile(kind)) return;
    release([() => finished(kind.flush()), () => description.descriptors === 0 && finished(kind.release())]);
  }

  /** Ends the process: its memory is gone and all its descriptors are closed. */
  exit(): void {
    this.#blocks.remove(STRUCT_ADDRESS);
    release([...this.#descriptions.keys()].map((fd) => () => this.close(fd)));
  }

  ioctl(fd: number, cmd: number, data: Uint8Array): number {
    return explainedIoctl((file, number, bytes) => this.#ioctl(file, number, bytes), fd, cmd, data);
  }

  /**
   * ioctl(2) with its argument as it is: an address of this process, or a plain number.
   * @throws Refusal the file's own, or EFAULT when `cmd` has a size and that many bytes are not there.
   */
  ioctlAt(fd: number, cmd: number, argument: number): number {
    const file = this.#openFile(fd);
    const copied = new Uint8Array(ioctlSize(cmd));
    this.readMemory(argument, copied);
    const result = this.#served(() => finished(file.ioctl(this, { cmd, arg: argument, data: copied })));
    if (cmd >>> 31 === 1) this.writeMemory(argument, copied);
    return result;
  }

  pread(fd: number, offset: number, target: Uint8Array): number {
    const file = this.#withOffsets(fd);
    return this.#served(() => finished(file.read(this, offset, target)));
  }

  pwrite(fd: number, offset: number, source: Uint8Array): number {
    const file = this.#withOffsets(fd);
    return this.#served(() => finished(file.write(this, offset, source)));
  }

  read(fd: number, target: Uint8Array): number {
    const { kind } = this.#description(fd);
    if (kind instanceof Counter) return kind.read(target);
    return this.#onwards(fd, (file, position) => finished(file.read(this, position, target)));
  }

  write(fd: number, source: Uint8Array): number {
    const { kind } = this.#description(fd);
    if (kind instanceof Counter) return this.#served(() => kind.write(source));
    return this.#onwards(fd, (file, position) => finished(file.write(this, position, source)));
  }

  /**
   * Nothing else happens in this thread, so there is nothing to wait for: it never waits. As with poll(2),
   * nothing holds for descriptors below 0.
   */
  poll(fd: number, events: number): number {
    if (fd < 0) return 0;
    const { kind } = this.#description(fd);
    if (kind instanceof Counter) return events & kind.ready();
    return events & (this.#openFile(fd).stream?.ready() ?? READABLE | WRITABLE);
  }

  allocate(length: number): ProcessMemoryBlock {
    const address = this.#blocks.add(length);
    return { address, bytes: this.#blocks.bytes(address), free: () => this.#blocks.remove(address) };
  }

  createMemfd(length: number): MemoryFile {
    const file = new FileBytes(length);
    return {
      fd: this.#install(description(file)),
      read: (offset, count) => file.bytes.slice(offset, offset + count),
      write: (offset, source) => void file.write(offset, source, 0, source.length),
      truncate: (size) => file.truncate(size),
    };
  }

  createEventfd(): EventFile {
    const counter = new Counter();
    return {
      fd: this.#install(description(counter)),
      take: () => {
        const { count } = counter;
        counter.count = 0;
        return count;
      },
    };
  }

  // --- Caller: what the machine asks of whoever calls it ---

  /** @internal */
  readMemory(address: number, target: Uint8Array): void {
    const reached = this.#blocks.read(address, target, 0, target.length);
    if (reached < target.length)
      refuse('EFAULT', `address ${hex(address + reached)} of process ${this.pid} is not mapped`);
  }

  /** @internal */
  writeMemory(address: number, source: Uint8Array): void {
    const hole = this.#blocks.hole(address, source.length);
    if (hole !== undefined) refuse('EFAULT', `address ${hex(hole)} of process ${this.pid} is not mapped`);
    this.#blocks.write(address, source, 0, source.length);
  }

  /** @internal */
  memory(address: number, length: number, access: Access): MemoryRange {
    const hole = access === 0 ? undefined : this.#blocks.hole(address, length);
    if (hole !== undefined) refuse('EFAULT', `address ${hex(hole)} of process ${this.pid} is not mapped`);
    return { memory: this.#blocks, offset: address };
  }

  /** @internal */
  addressSpace(): Memory {
    return this.#blocks;
  }

  /** @internal */
  livesIn(memory: Memory): boolean {
    return memory === this.#blocks;
  }

  /** @internal */
  fileMemory(fd: number, offset: number, length: number, access: Access): MemoryRange {
    const { kind } = this.#description(fd);
    if (!(kind instanceof FileBytes)) refuse('EINVAL', `fd ${fd} is not a file that can be mapped`);
    if (access !== 0 && offset + length > kind.bytes.length)
      refuse(
        'EINVAL',
        `file range ${hex(offset)}+${hex(length)} ends past the file's ${hex(kind.bytes.length)} bytes`,
      );
    if ((access & ~(READ | WRITE)) !== 0) refuse('EINVAL', `access ${access} is unknown`);
    return { memory: kind, offset };
  }

  /** @internal */
  eventfd(fd: number): Signal {
    return this.#counter(fd);
  }

  /** @internal */
  doorbell(fd: number): Doorbell {
    return new CounterBell(this.#counter(fd));
  }

  /** @internal */
  presented(fd: number): object {
    const { kind } = this.#description(fd);
    if (!isOpenFile(kind)) refuse('EINVAL', `fd ${fd} is not an open device file of this system`);
    return kind.object;
  }

  /** @internal */
  descriptorOf(file: OpenFile): number | undefined {
    const own = [...this.#descriptions].filter(([, { kind }]) => kind === file).map(([fd]) => fd);
    return own.length === 0 ? undefined : Math.min(...own);
  }

  /** @internal */
  install(file: OpenFile): number {
    return this.#install(description(file));
  }

  #ioctl(fd: number, cmd: number, data: Uint8Array): number {
    const memory = this.#blocks.bytes(STRUCT_ADDRESS);
    memory.set(data);
    try {
      return this.ioctlAt(fd, cmd, STRUCT_ADDRESS);
    } finally {
      data.set(memory.subarray(0, data.length));
    }
  }

  /** Reads or writes at the file's position, and moves it on. */
  #onwards(fd: number, transfer: (file: OpenFile, position: number) => number): number {
    const file = this.#openFile(fd);
    const description = this.#description(fd);
    const done = this.#served(() => transfer(file, description.position));
    if (file.stream === undefined) description.position += done;
    return done;
  }

  /** A device works while its user waits; here that is whenever a call has been served. */
  #served<T>(call: () => T): T {
    const result = call();
    while (this.#run && this.#machine.step());
    return result;
  }

  #install(description: Description): number {
    description.descriptors++;
    let fd = 3;
    while (this.#descriptions.has(fd)) fd++;
    this.#descriptions.set(fd, description);
    return fd;
  }

  #description(fd: number): Description {
    return this.#descriptions.get(fd) ?? refuse('EBADF', `fd ${fd} is not open in the calling process`);
  }

  #counter(fd: number): Counter {
    const { kind } = this.#description(fd);
    return kind instanceof Counter ? kind : refuse('EINVAL', `fd ${fd} is not an eventfd`);
  }

  #withOffsets(fd: number): OpenFile {
    const file = this.#openFile(fd);
    return file.stream === undefined
      ? file
      : refuse('ESPIPE', `fd ${fd} is a stream of events, which has no offsets`);
  }

  #openFile(fd: number): OpenFile {
    const { kind } = this.#description(fd);
    return isOpenFile(kind) ? kind : refuse('ENOTTY', `fd ${fd} is no device file, so it has no such call`);
  }
}

function description(kind: Description['kind']): Description {
  return { kind, descriptors: 0, position: 0 };
}

function isOpenFile(kind: Description['kind']): kind is OpenFile {
  return !(kind instanceof FileBytes) && !(kind instanceof Counter);
}
