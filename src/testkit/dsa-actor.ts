/**
 * What an actor does with a work queue of DSA: an mdev, which is ready to be used, and a memory file for data
 * and completion records.
 */
import assert from 'node:assert/strict';
import {
  COMPLETION_BYTES,
  type DsaCompletion,
  type DsaDescriptor,
  decodeCompletion,
  encodeDescriptor,
} from '../client/dsa.js';
import { CONFIG_REGION } from '../client/vfio-device.js';
import { Opcode } from '../devices/dsa/descriptor.js';
import { type Actor, eventually } from './actor.js';

export const PAGE = 4096;
/** IOASID_MAP_READ | IOASID_MAP_WRITE | IOASID_MAP_FIXED_IOVA. */
export const READ_WRITE_FIXED = 7;
/** Where memory is mapped. */
export const IOVA = 0x10_0000;
/** Bytes of a device file from one region to the next. */
export const REGION_SPAN = 2 ** 40;
const PORTAL_BAR = 2;
/** Memory space and bus mastering, in the command register. */
const ENABLE = '0600';

export const hexadecimal = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/**
 * A descriptor that fills `size` bytes at `iova` with `byte`, and has its completion record at `completion`.
 */
export function fillDescriptor(
  pasid: number,
  iova: number,
  size: number,
  byte: number,
  completion: number,
): DsaDescriptor {
  const word = byte * 0x0101_0101;
  return { opcode: Opcode.FILL, pasid, completion, pattern: [word, word], destination: iova, size };
}

/** An open device file of an actor. */
export class DsaFile {
  readonly actor: Actor;
  readonly fd: number;
  readonly #name: string;

  constructor(actor: Actor, fd: number, name: string) {
    this.actor = actor;
    this.fd = fd;
    this.#name = name;
  }

  static async open(actor: Actor, name = 'vfio0'): Promise<DsaFile> {
    const fd = await actor.do(`open /dev/vfio/devices/${name}`);
    await actor.words(`pwrite ${fd} ${CONFIG_REGION * REGION_SPAN + 4} ${ENABLE}`);
    return new DsaFile(actor, fd, name);
  }

  /** The same open file in the hands of another actor, where it has the number `fd`. */
  heldBy(actor: Actor, fd = this.fd): DsaFile {
    return new DsaFile(actor, fd, this.#name);
  }

  /** The command that submits a descriptor. */
  submission(descriptor: DsaDescriptor | Uint8Array): string {
    const bytes = descriptor instanceof Uint8Array ? descriptor : encodeDescriptor(descriptor);
    return `pwrite ${this.fd} ${PORTAL_BAR * REGION_SPAN} ${hexadecimal(bytes)}`;
  }

  async submit(descriptor: DsaDescriptor): Promise<void> {
    await this.actor.words(this.submission(descriptor));
  }

  /** Waits until the device has done all that it has accepted. */
  async settled(): Promise<void> {
    await eventually(async () => {
      const { devices } = await this.actor.run.state();
      return devices.find(({ name }) => name === this.#name)?.busy === false;
    }, `the end of the work of ${this.#name}`);
  }

  /**
   * Has the device fill 64 bytes of `memory`, which is mapped at IOVA of `pasid`.
   * @returns the status in its completion record; 0 when the device could not write one, and then the bytes
   * must be as they were.
   */
  async reach(memory: DsaMemory, pasid: number): Promise<number> {
    await memory.clear(0, 128);
    await this.submit(fillDescriptor(pasid, IOVA + 64, 64, 0xa5, IOVA));
    await this.settled();
    const { status } = await memory.record(0);
    assert.deepEqual(await memory.read(64, 64), Buffer.alloc(64, status === 0 ? 0 : 0xa5));
    return status;
  }
}

/** A memfd of an actor. */
export class DsaMemory {
  readonly actor: Actor;
  readonly fd: number;

  private constructor(actor: Actor, fd: number) {
    this.actor = actor;
    this.fd = fd;
  }

  static async create(actor: Actor, bytes: number): Promise<DsaMemory> {
    return new DsaMemory(actor, await actor.do(`memfd ${bytes}`));
  }

  /** The same file in the hands of another actor, where it has the number `fd`. */
  heldBy(actor: Actor, fd: number): DsaMemory {
    return new DsaMemory(actor, fd);
  }

  async read(offset: number, length: number): Promise<Buffer> {
    return Buffer.from((await this.actor.words(`pread ${this.fd} ${offset} ${length}`))[0] ?? '', 'hex');
  }

  async clear(offset: number, length: number): Promise<void> {
    await this.actor.words(`pwrite ${this.fd} ${offset} ${'00'.repeat(length)}`);
  }

  /** The completion record at `offset`, as it is now. */
  async record(offset: number): Promise<DsaCompletion> {
    return decodeCompletion(await this.read(offset, COMPLETION_BYTES));
  }

  /** The completion record at `offset`, once it has been written. */
  async completion(offset: number): Promise<DsaCompletion> {
    await eventually(
      async () => (await this.record(offset)).status !== 0,
      `a completion record at ${offset}`,
    );
    return this.record(offset);
  }
}

/** A context with one PASID, and memory that is mapped at IOVA of it. */
export class DsaContext {
  readonly fd: number;
  readonly pasid: number;
  readonly memory: DsaMemory;

  private constructor(fd: number, pasid: number, memory: DsaMemory) {
    this.fd = fd;
    this.pasid = pasid;
    this.memory = memory;
  }

  static async open(actor: Actor, bytes = PAGE): Promise<DsaContext> {
    const fd = await actor.do('open /dev/ioasid');
    const pasid = await actor.do(`alloc ${fd} 0`);
    const memory = await DsaMemory.create(actor, bytes);
    await actor.words(`mapfile ${fd} ${pasid} ${memory.fd} 0 ${bytes} ${READ_WRITE_FIXED} ${IOVA}`);
    return new DsaContext(fd, pasid, memory);
  }
}
