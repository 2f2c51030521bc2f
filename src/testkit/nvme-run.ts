/**
 * A random run of an NVMe controller beside a reference: what its namespaces have, what its memory has, and
 * what each command ends with, kept in the plainest way.
 *
 * Commands of the I/O queue are done one at a time and compared byte for byte. What is done beside them,
 * garbage and resets in the middle of commands, may do to the blocks and bytes that it names what it is for,
 * and to no others. After it the controller must work as new.
 */
import assert from 'node:assert/strict';
import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { type DataPlan, PAGE, planData, WINDOW } from './nvme-data.js';
import { DATA, DOORBELLS, NvmeDriver, type Pair, Reg } from './nvme-driver.js';
import type { Random } from './random.js';

const BLOCK = 512;
const BLOCKS = 128;
const NAMESPACES = 2;
const READY = 1;
const SHUT_DOWN = 2 << 2;

const FLUSH = 0;
const WRITE = 1;
const READ = 2;
const COMPARE = 5;
const ZEROES = 8;
const MANAGE = 9;

/** What registers keep of what is written, by their offsets; the others keep what they have. */
const KEPT: readonly (readonly [offset: number, bits: number])[] = [
  [Reg.AQA, 0x0fff_0fff],
  [Reg.ASQ, 0xffff_f000],
  [Reg.ASQ + 4, 0xffff_ffff],
  [Reg.ACQ, 0xffff_f000],
  [Reg.ACQ + 4, 0xffff_ffff],
];

/** A command of the I/O queue, and what it must end with. */
interface Plan {
  readonly opcode: number;
  readonly nsid: number;
  readonly first: number;
  readonly count: number;
  readonly data?: DataPlan;
}

export class NvmeRun {
  readonly driver: NvmeDriver;
  /** Things that were tried. */
  tried = 0;
  readonly #random: Random;
  readonly #files: readonly number[];
  readonly #disks = Array.from({ length: NAMESPACES }, () => Buffer.alloc(BLOCK * BLOCKS));
  readonly #found = Buffer.alloc(BLOCK * BLOCKS);
  readonly #memory = Buffer.alloc(WINDOW);
  #queue: Pair | undefined;

  constructor(random: Random) {
    this.#random = random;
    // In memory a flush costs nothing; on a disk what is cached is read at once.
    const base = random.below(8) > 0 && existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
    this.driver = new NvmeDriver(new Array<number>(NAMESPACES).fill(BLOCK * BLOCKS), { queues: '2' }, base);
    this.driver.places = random.below(2) === 0;
    this.#files = this.#disks.map((_, n) => openSync(this.driver.path(n + 1), 'r'));
  }

  /** Tries `steps` things. @throws AssertionError where controller and reference differ. */
  async run(steps: number): Promise<void> {
    await this.#begin();
    for (let n = 0; n < steps; n++) {
      const kind = this.#random.below(20);
      if (kind < 13) await this.#command();
      else if (kind < 16) this.#registers();
      else if (kind < 18) await this.#garbage();
      else await this.#resetAmid();
      this.tried++;
    }
  }

  close(): void {
    for (const file of this.#files) closeSync(file);
    this.driver.close();
  }

  /** The controller is new, with one pair of I/O queues. */
  async #begin(): Promise<void> {
    if (this.#random.below(2) === 0) this.driver.model.reset();
    else this.driver.set(Reg.CC, 0);
    // One that was shut down while it was disabled stays so.
    assert.equal(this.driver.get(Reg.CSTS) & ~SHUT_DOWN, 0);
    this.driver.enable();
    assert.equal(this.driver.get(Reg.CSTS), READY);
    this.#queue = await this.driver.createPair(1, 8);
  }

  /** What memory has now is what the reference has. */
  #fillMemory(): void {
    const { driver } = this;
    const seed = this.#random.below(256);
    for (let at = DATA; at < DATA + WINDOW; at += 64) driver.memory[at] = (seed + at / 64) & 0xff;
  }

  #remember(): void {
    this.#memory.set(this.driver.memory.subarray(DATA, DATA + WINDOW));
  }

  async #command(): Promise<void> {
    this.#fillMemory();
    const plan = this.#plan();
    const words = this.#wordsOf(plan);
    this.#remember();
    const expected = this.#expect(plan);
    const { status } = await this.driver.do(words, this.#queue);
    const what = JSON.stringify({ ...plan, status, expected });
    assert.equal(status, expected, what);
    this.#compareMemory(plan, status, what);
    this.#compareDisks(what);
  }

  #plan(): Plan {
    const random = this.#random;
    const opcode = random.pick([FLUSH, WRITE, WRITE, WRITE, READ, READ, READ, COMPARE, ZEROES, MANAGE, 0x7f]);
    const nsid = random.below(16) === 0 ? random.pick([0, 3, 0xffffffff]) : 1 + random.below(NAMESPACES);
    const count = 1 + random.below(32);
    const first = random.below(BLOCKS - (random.below(8) === 0 ? 0 : count - 1));
    const moves = [WRITE, READ, COMPARE].includes(opcode);
    if (!moves && opcode !== MANAGE) return { opcode, nsid, first, count };
    const length = moves ? count * BLOCK : 16;
    const data = planData(random, this.driver, length, opcode === READ);
    return { opcode, nsid, first, count, data };
  }

  #wordsOf({ opcode, nsid, first, count, data }: Plan) {
    const dwords = opcode === MANAGE ? [0, 4] : [first, 0, count - 1];
    if (opcode === MANAGE) this.#put(data!, rangeOf(first, count));
    // Half of the comparisons are with what is there.
    else if (opcode === COMPARE && nsid <= NAMESPACES && nsid > 0 && this.#random.below(2) === 0)
      this.#put(data!, this.#disks[nsid - 1]!.subarray(first * BLOCK, (first + count) * BLOCK));
    return { opcode, nsid, dwords, ...data?.words };
  }

  /** The status of `plan`, whose effect on the reference is had here. */
  #expect({ opcode, nsid, first, count, data }: Plan): number {
    if (opcode === 0x7f) return 0x01;
    const disk = this.#disks[nsid - 1];
    if (opcode === FLUSH) return disk !== undefined || nsid === 0xffffffff ? 0 : 0x0b;
    if (disk === undefined) return 0x0b;
    if (opcode === MANAGE && data!.status !== 0) return data!.status;
    if (first + count > BLOCKS) return 0x80;
    if (data !== undefined && data.status !== 0) return data.status;
    const blocks = disk.subarray(first * BLOCK, (first + count) * BLOCK);
    if (opcode === ZEROES || opcode === MANAGE) blocks.fill(0);
    if (opcode === WRITE) blocks.set(this.#get(data!, this.#memory));
    if (opcode === COMPARE) return this.#get(data!, this.#memory).equals(blocks) ? 0 : 0x285;
    if (opcode === READ) this.#scatter(data!, blocks, this.#memory);
    return 0;
  }

  /** A transfer that ends in an error may have got some way: bytes are as before or as they would be. */
  #compareMemory({ data, opcode, nsid, first, count }: Plan, status: number, what: string): void {
    const now = Buffer.from(this.driver.memory.buffer, DATA, WINDOW);
    if (status === 0x04 && opcode === READ && data !== undefined) {
      const after = Buffer.from(this.#memory);
      const blocks = this.#disks[nsid - 1]!.subarray(first * BLOCK, (first + count) * BLOCK);
      this.#scatter(data, blocks, after);
      assert.ok(
        now.every((byte, at) => byte === this.#memory[at] || byte === after[at]),
        what,
      );
    } else assert.ok(now.equals(this.#memory), `memory differs: ${what}`);
  }

  #compareDisks(what: string): void {
    for (const [n, disk] of this.#disks.entries()) assert.ok(this.#readDisk(n).equals(disk), `${n}: ${what}`);
  }

  #readDisk(n: number): Buffer {
    assert.equal(readSync(this.#files[n]!, this.#found, 0, this.#found.length, 0), this.#found.length);
    return this.#found;
  }

  #get({ ranges }: DataPlan, memory: Buffer): Buffer {
    return Buffer.concat(
      ranges.map(({ iova, length }) => memory.subarray(iova! - DATA, iova! - DATA + length)),
    );
  }

  /** Writes `data` to where `plan` has it, in memory of the driver. */
  #put(plan: DataPlan, data: Uint8Array): void {
    this.#scatter(plan, data, Buffer.from(this.driver.memory.buffer, DATA, WINDOW));
  }

  #scatter({ ranges }: DataPlan, data: Uint8Array, memory: Buffer): void {
    let done = 0;
    for (const { iova, length } of ranges) {
      if (iova !== undefined) memory.set(data.subarray(done, done + length), iova - DATA);
      done += length;
    }
  }

  /** Reads and writes of registers, while the controller is disabled. */
  #registers(): void {
    const random = this.#random;
    const { driver } = this;
    const image = KEPT.map(([offset]) => driver.get(offset));
    const width = random.pick([1, 2, 4, 8]);
    const offset = random.below(0x80 / width) * width;
    const source = random.bytes(width);
    const [cap, version] = [driver.get(Reg.CAP), driver.get(Reg.VS)];
    // CC is another matter: it is left alone, and written elsewhere.
    if (offset < Reg.CC + 4 && offset + width > Reg.CC) return;
    driver.model.writeBar(0, offset, source);
    for (const [n, [at, bits]] of KEPT.entries()) {
      let expected = image[n]!;
      for (let i = 0; i < 4; i++) {
        const from = at + i - offset;
        if (from < 0 || from >= width) continue;
        const mask = (bits >>> (8 * i)) & 0xff;
        const old = (expected >>> (8 * i)) & 0xff;
        const byte = (old & ~mask) | (source[from]! & mask);
        expected = ((expected & ~(0xff << (8 * i))) | (byte << (8 * i))) >>> 0;
      }
      assert.equal(driver.get(at), expected, `${width} bytes at ${offset}`);
    }
    assert.deepEqual([driver.get(Reg.CAP), driver.get(Reg.VS)], [cap, version]);
    assert.equal(driver.get(Reg.INTMS), driver.get(Reg.INTMC));
    assert.equal(driver.get(Reg.CSTS), READY);
  }

  /**
   * Anything, in either queue and at any doorbell; of namespaces that are not there, so no block changes. Old
   * commands, which a doorbell may lead the controller back to, are taken away first.
   */
  async #garbage(): Promise<void> {
    const random = this.#random;
    const { driver } = this;
    const { submission, size } = this.#queue!;
    driver.memory.fill(0, submission, submission + size * 64);
    for (let n = random.below(6); n >= 0; n--) {
      const queue = random.below(2) === 0 ? driver.admin : this.#queue!;
      const at = queue.submission + queue.tail * 64;
      driver.write(queue, { opcode: random.below(0x90), flags: random.below(256) });
      driver.memory.set(random.bytes(60), at + 4);
      driver.view.setUint32(at + 4, 0x100 + random.below(2), true);
      for (const place of [24, 32]) if (random.below(2) === 0) this.#nearbyAddress(at + place);
      if (queue !== driver.admin) driver.view.setUint32(at + 40, random.below(256), true);
      driver.ring(queue);
    }
    if (random.below(4) === 0)
      driver.set(DOORBELLS + random.below(1024) * 4, random.below(random.pick([8, 2 ** 32])));
    if (random.below(4) === 0) driver.set(Reg.CC, random.below(2 ** 32));
    await driver.settle();
    this.#compareDisks('garbage has changed blocks');
    await this.#begin();
  }

  #nearbyAddress(at: number): void {
    this.driver.view.setBigUint64(at, BigInt(DATA + this.#random.below(WINDOW - PAGE)), true);
  }

  /** A reset while commands are under way: each block is as it was, or as it was to be. */
  async #resetAmid(): Promise<void> {
    const { driver } = this;
    this.#fillMemory();
    const after = this.#disks.map((disk) => [disk, Buffer.from(disk)]);
    for (let n = this.#random.below(5); n >= 0; n--) {
      const drawn = this.#plan();
      const plan = { ...drawn, data: planWhole(drawn.opcode === READ ? READ_INTO : WHOLE) };
      const count = 8;
      const first = Math.min(plan.first, BLOCKS - count);
      if (![READ, WRITE, ZEROES].includes(plan.opcode) || plan.nsid < 1 || plan.nsid > NAMESPACES) continue;
      driver.write(this.#queue!, { ...plan, dwords: [first, 0, count - 1], ...plan.data.words });
      const written = Buffer.from(driver.memory.buffer, DATA + WHOLE, count * BLOCK);
      if (plan.opcode === READ) continue;
      const data = plan.opcode === ZEROES ? Buffer.alloc(count * BLOCK) : Buffer.from(written);
      const made = Buffer.from(after[plan.nsid - 1]!.at(-1)!);
      made.set(data, first * BLOCK);
      after[plan.nsid - 1]!.push(made);
    }
    driver.ring(this.#queue!);
    for (let n = this.#random.below(3); n > 0; n--) {
      driver.work();
      if (this.#random.below(2) === 0) await new Promise(setImmediate);
    }
    await this.#begin();
    await driver.succeed({ opcode: FLUSH, nsid: 0xffffffff }, this.#queue);
    for (const [n, disk] of this.#disks.entries()) {
      const now = this.#readDisk(n);
      const possible = after[n]!;
      assert.ok(
        now.every((byte, at) => possible.some((one) => one[at] === byte)),
        'a reset amid commands',
      );
      disk.set(now);
    }
  }
}

/** Offsets of the pages of the window that the commands before a reset use; what is read may be lost. */
const WHOLE = 20 * PAGE;
const READ_INTO = 21 * PAGE;

function planWhole(offset: number): DataPlan {
  const iova = DATA + offset;
  return { words: { prp1: iova, prp2: 0 }, ranges: [{ iova, length: PAGE }], status: 0 };
}

/** A range of dataset management. */
function rangeOf(first: number, count: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setUint32(4, count, true);
  view.setBigUint64(8, BigInt(first), true);
  return new Uint8Array(view.buffer);
}
