/**
 * NvmeDriver: the least that a driver of NVM Express does, for tests of the controller: queues in memory of a
 * fake host, commands by their words, completions by their phases.
 *
 * Memory is MEMORY_BYTES from IOVA 0 on, one array. Queues lie at its start; a test has the rest, from DATA
 * on.
 */
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DeviceModel } from '../devices/device-model.js';
import { FakeHost } from '../devices/fake-host.js';
import createNvme from '../devices/nvme/index.js';
import { addressOf } from '../linux/ffi.js';

export const MEMORY_BYTES = 8 << 20;
export const DATA = 4 << 20;
const PAGE = 4096;
const ADMIN_ENTRIES = 32;
/** Milliseconds in which a command has to complete: a flush waits for the machine's own disk. */
const PATIENCE = 60_000;

export const Reg = {
  CAP: 0,
  VS: 8,
  INTMS: 0xc,
  INTMC: 0x10,
  CC: 0x14,
  CSTS: 0x1c,
  AQA: 0x24,
  ASQ: 0x28,
  ACQ: 0x30,
};
export const DOORBELLS = 0x1000;
/** CC: enabled, with entries of 64 and 16 bytes. */
export const ENABLE = 1 | (6 << 16) | (4 << 20);

/** A command by its words; what is not said is 0. */
export interface Words {
  readonly opcode: number;
  /** Fused operation, and PRP or SGL: byte 1. */
  readonly flags?: number;
  readonly id?: number;
  readonly nsid?: number;
  readonly prp1?: number;
  readonly prp2?: number;
  /** All 16 bytes of the data pointer, instead. */
  readonly pointer?: Uint8Array;
  /** Dwords 10 to 15. */
  readonly dwords?: readonly number[];
}

export interface Completed {
  readonly id: number;
  readonly sqId: number;
  readonly head: number;
  readonly result: number;
  /** Status code type and status code, without More and Do Not Retry. */
  readonly status: number;
  readonly more: boolean;
  readonly doNotRetry: boolean;
}

/** A pair of queues as the driver has it. */
export interface Pair {
  readonly id: number;
  readonly size: number;
  readonly submission: number;
  readonly completion: number;
  tail: number;
  head: number;
  phase: number;
}

export class NvmeDriver {
  readonly host = new FakeHost();
  readonly memory = new Uint8Array(MEMORY_BYTES);
  readonly view = new DataView(this.memory.buffer);
  readonly directory: string;
  readonly model: DeviceModel;
  readonly admin: Pair = pair(0, ADMIN_ENTRIES);
  /** Files may be read right into memory; and how many bytes have been meant to. */
  places = false;
  placed = 0;
  #ids = 0;

  /**
   * @param sizes bytes of the files, a namespace each. @param options beside `file`. @param base where the
   * files are.
   */
  constructor(
    sizes: readonly number[] = [1 << 20],
    options: Readonly<Record<string, string>> = {},
    base = tmpdir(),
  ) {
    this.directory = mkdtempSync(join(base, 'ioasid-nvme-'));
    const paths = sizes.map((size, index) => {
      writeFileSync(this.path(index + 1), '');
      truncateSync(this.path(index + 1), size);
      return this.path(index + 1);
    });
    this.host.map(0, 0, this.memory);
    this.host.dma.place = (_pasid, iova, length, places) => {
      if (!this.places || iova + length > MEMORY_BYTES) return false;
      this.placed += length;
      return places.add(addressOf(this.memory) + iova, length);
    };
    this.model = this.host.make(createNvme, { queues: '4', ...options, file: paths.join(',') });
  }

  /** The file of namespace `nsid`. */
  path(nsid: number): string {
    return join(this.directory, `${nsid}.img`);
  }

  contents(nsid: number): Buffer {
    return readFileSync(this.path(nsid));
  }

  close(): void {
    this.model.reset();
    rmSync(this.directory, { recursive: true });
  }

  get(register: number): number {
    const bytes = new Uint8Array(4);
    this.model.readBar(0, register, bytes);
    return new DataView(bytes.buffer).getUint32(0, true);
  }

  set(register: number, value: number): void {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value, true);
    this.model.writeBar(0, register, bytes);
  }

  /** Enables the controller, whose admin queues are empty then. */
  enable(cc = ENABLE): void {
    Object.assign(this.admin, pair(0, ADMIN_ENTRIES));
    this.memory.fill(0, 0, DATA);
    this.set(Reg.AQA, (ADMIN_ENTRIES - 1) | ((ADMIN_ENTRIES - 1) << 16));
    this.set(Reg.ASQ, this.admin.submission);
    this.set(Reg.ASQ + 4, 0);
    this.set(Reg.ACQ, this.admin.completion);
    this.set(Reg.ACQ + 4, 0);
    this.set(Reg.CC, cc);
  }

  /** Creates I/O queues of `size` entries, with interrupts of vector `id`. */
  async createPair(id: number, size = 16): Promise<Pair> {
    const made = pair(id, size);
    const asked = { dwords: [id | ((size - 1) << 16), 3 | (id << 16)] };
    await this.succeed({ opcode: 5, prp1: made.completion, ...asked });
    await this.succeed({
      opcode: 1,
      prp1: made.submission,
      dwords: [id | ((size - 1) << 16), 1 | (id << 16)],
    });
    return made;
  }

  /** Writes a command into `queue`. @returns its identifier. */
  write(queue: Pair, words: Words): number {
    const { id = this.#ids++ & 0xfff, prp1 = 0, prp2 = 0, dwords = [] } = words;
    const at = queue.submission + queue.tail * 64;
    this.memory.fill(0, at, at + 64);
    this.view.setUint32(at, (words.opcode | ((words.flags ?? 0) << 8) | (id << 16)) >>> 0, true);
    this.view.setUint32(at + 4, words.nsid ?? 0, true);
    this.view.setBigUint64(at + 24, BigInt(prp1), true);
    this.view.setBigUint64(at + 32, BigInt(prp2), true);
    if (words.pointer !== undefined) this.memory.set(words.pointer, at + 24);
    for (const [n, value] of dwords.entries()) this.view.setUint32(at + 40 + 4 * n, value >>> 0, true);
    queue.tail = (queue.tail + 1) % queue.size;
    return id;
  }

  /** Tells the controller of what was written into `queue`. */
  ring(queue: Pair): void {
    this.set(DOORBELLS + queue.id * 8, queue.tail);
  }

  /** The next completion of `queue`, if it is there. */
  take(queue: Pair): Completed | undefined {
    const at = queue.completion + queue.head * 16;
    const field = this.view.getUint16(at + 14, true);
    if ((field & 1) !== queue.phase) return undefined;
    queue.head = (queue.head + 1) % queue.size;
    if (queue.head === 0) queue.phase ^= 1;
    return {
      result: this.view.getUint32(at, true),
      head: this.view.getUint16(at + 8, true),
      sqId: this.view.getUint16(at + 10, true),
      id: this.view.getUint16(at + 12, true),
      status: (field >>> 1) & 0x7ff,
      more: (field & 0x4000) !== 0,
      doNotRetry: (field & 0x8000) !== 0,
    };
  }

  /** Tells the controller that the completions that were taken have been seen. */
  acknowledge(queue: Pair): void {
    this.set(DOORBELLS + queue.id * 8 + 4, queue.head);
  }

  /** Waits for the next completion of `queue`, and acknowledges it. */
  async next(queue: Pair): Promise<Completed> {
    const patience = new Patience();
    while (!patience.isOver) {
      this.work();
      const done = this.take(queue);
      if (done !== undefined) {
        this.acknowledge(queue);
        return done;
      }
      await patience.turn();
    }
    throw new Error(`queue ${queue.id} completes nothing`);
  }

  /** Lets the model do what it can without waiting. */
  work(): void {
    while (this.model.busy?.() === true && this.model.step?.() !== false);
  }

  /** Lets the model work until it is idle. */
  async settle(): Promise<void> {
    const patience = new Patience();
    while (this.model.busy?.() === true) {
      if (patience.isOver) throw new Error('the controller is still busy');
      this.work();
      await patience.turn();
    }
  }

  /** Does a command, of the admin queue unless another is said. */
  async do(words: Words, queue: Pair = this.admin): Promise<Completed> {
    this.write(queue, words);
    this.ring(queue);
    return await this.next(queue);
  }

  /** As `do`. @throws Error when it does not succeed. */
  async succeed(words: Words, queue: Pair = this.admin): Promise<Completed> {
    const done = await this.do(words, queue);
    if (done.status !== 0)
      throw new Error(`opcode ${words.opcode} ended with status 0x${done.status.toString(16)}`);
    return done;
  }

  /** Identify or Get Log Page: the page that it has written to DATA. */
  async page(words: Words, length = PAGE): Promise<DataView> {
    this.memory.fill(0xee, DATA, DATA + length);
    await this.succeed({ ...words, prp1: DATA });
    return new DataView(this.memory.buffer, DATA, length);
  }
}

/** Waits by turns of Node's loop, in which disks get on; when they take long, by milliseconds. */
class Patience {
  readonly #end = performance.now() + PATIENCE;
  #turns = 0;

  get isOver(): boolean {
    return performance.now() > this.#end;
  }

  turn(): Promise<void> {
    this.#turns++;
    return new Promise((resolve) => {
      if (this.#turns < 100) setImmediate(resolve);
      else setTimeout(resolve, 1);
    });
  }
}

function pair(id: number, size: number): Pair {
  const submission = 0x1000 + id * 0x4_0000;
  return { id, size, submission, completion: submission + 0x2_0000, tail: 0, head: 0, phase: 1 };
}
