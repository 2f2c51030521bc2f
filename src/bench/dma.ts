/**
 * Benchmark `dma`: a device's DMA write, from its port through translation and mapping, against memcpy into a
 * mapped memfd in C (bench/memcpy.c).
 *
 * So go memfds, sealed against shrinking or not, and what a process has of shared memory. Private memory of a
 * process goes through the kernel; there the reference writes to the same memory of the same process by
 * process_vm_writev (bench/process-memory.c). Scattered pages are mappings of a page each, in no order, which
 * one DMA goes across, and one call of the reference.
 */
import type { PciDescription } from '../devices/device-model.js';
import { FunctionPort } from '../driver/pci-function.js';
import { Iommu, READ, WRITE } from '../iommu/iommu.js';
import { pasidOf, vpasidOf } from '../iommu/pasid.js';
import { AREA, memfd, memoryOfProcess, PAGE, scattered, type Target } from './dma-targets.js';
import type { Outcome } from './measurement.js';
import { compareTo, type Passes, type References, timed } from './reference.js';

const PASIDS = [7, 8] as const;
const BASE = 2 ** 32;
/** Bytes moved in one pass. */
const PASS = 256 << 20;
const ROUNDS = 9;
/** What is expected beside memcpy, and beside process_vm_writev. */
const EXPECTED = 2;
const EXPECTED_PROCESS = 1.15;
const EXPECTED_SCATTERED = 1.3;
const FUNCTION: PciDescription = { vendorId: 1, deviceId: 1, classCode: 0, bars: [], pasidBits: 20 };

/**
 * Bytes of a transfer, and of how many pages that do not follow each other; 1: they do. `inTurn`: every other
 * one is of another PASID.
 */
interface Shape {
  readonly size: number;
  readonly pieces: number;
  readonly inTurn?: true;
}

const whole: readonly Shape[] = [4 << 10, 64 << 10, 1 << 20].map((size) => ({ size, pieces: 1 }));
const inTurn: Shape = { size: 4 << 10, pieces: 1, inTurn: true };
const batches: readonly Shape[] = [16, 64].map((pieces) => ({ size: pieces * PAGE, pieces }));

export async function dma(references: References): Promise<Outcome[]> {
  if (process.platform !== 'linux') return [{ name: 'dma', skipped: 'memfds are Linux’s' }];
  const results: Outcome[] = [];
  for (const make of [() => memfd(true), () => memfd(false), ...ofProcesses(references)]) {
    const target = await make();
    for (const shape of [...whole, ...(target.process === undefined ? [inTurn] : batches)])
      results.push(await measured(target, shape, references));
    await target.close();
  }
  if (!references.hasCompiler)
    results.push({ name: 'dma, memory of a process', skipped: 'a C program has it, and there is no cc' });
  return results;
}

function ofProcesses(references: References): (() => Promise<Target>)[] {
  const kinds = [
    ['shared', 'shared anonymous memory'],
    ['/dev/shm', 'tmpfs file of a process'],
    ['private', 'process memory'],
  ] as const;
  if (!references.hasCompiler) return [];
  return kinds.map(
    ([kind, name]) =>
      () =>
        memoryOfProcess(references, kind, name),
  );
}

async function measured(target: Target, shape: Shape, references: References): Promise<Outcome> {
  const { size, pieces } = shape;
  const side = new Side(target, shape);
  const result = await compareTo(() => side.pass(), referenceOf(target, shape, references), ROUNDS);
  side.verify();
  const kind = shape.inTurn ? ', PASIDs in turn' : '';
  const what = pieces > 1 ? `${pieces} scattered pages` : `${size >> 10} KiB${kind}`;
  return { name: `dma of ${what}, ${target.name}`, unit: 'ns', ...result, maxRatio: expected(target, shape) };
}

function expected({ process }: Target, { pieces }: Shape): number {
  if (process === undefined) return EXPECTED;
  return pieces > 1 ? EXPECTED_SCATTERED : EXPECTED_PROCESS;
}

function referenceOf(
  { process }: Target,
  { size, pieces }: Shape,
  references: References,
): Passes | undefined {
  if (process === undefined) return references.start('memcpy', size, PASS / size);
  const { pid, address } = process;
  return references.start('process-memory', 'write', pid, address, AREA, size, pieces, PASS / size);
}

/** A device that writes `size` bytes at a time, round and round. */
class Side {
  readonly #port: FunctionPort;
  readonly #source: Uint8Array;
  readonly #target: Target;
  readonly #shape: Shape;
  #at = 0;

  constructor(target: Target, shape: Shape) {
    const { size } = shape;
    const iommu = new Iommu();
    this.#port = new FunctionPort(iommu, '0000:6a:01.0');
    this.#port.connect(FUNCTION, { busMaster: true });
    this.#source = Uint8Array.from({ length: size }, (_, i) => i * 7 + size / 4096);
    this.#target = target;
    this.#shape = shape;
    const table = iommu.pageTable();
    const piece = shape.pieces > 1 ? PAGE : AREA;
    const memory = iommu.memories.acquire(target.memory);
    for (let at = 0; at < AREA; at += piece) {
      const offset = target.offset + this.#placeOf(at);
      table.map(BigInt(BASE + at), BigInt(piece), memory, BigInt(offset), READ | WRITE);
    }
    for (const pasid of PASIDS) this.#port.requester.grant(pasidOf(pasid), table);
  }

  /** Nanoseconds of one transfer. */
  pass(): number {
    const { size, inTurn } = this.#shape;
    let [pasid, next] = [vpasidOf(PASIDS[0]), vpasidOf(PASIDS[inTurn ? 1 : 0])];
    return timed(PASS / size, () => {
      for (let moved = 0; moved < PASS; moved += size) {
        [pasid, next] = [next, pasid];
        const fault = this.#port.write(pasid, BASE + this.#at, this.#source, 0, size);
        if (fault !== undefined) throw new Error(`dma: ${fault.reason}`);
        this.#at = (this.#at + size) % AREA;
      }
    });
  }

  /** The bytes written last are where they should be. */
  verify(): void {
    // Once more: the reference has written since to what both have.
    this.pass();
    const { size, pieces } = this.#shape;
    const last = (this.#at + AREA - size) % AREA;
    const found = Buffer.alloc(size / pieces);
    for (let at = 0; at < size; at += found.length) {
      this.#target.peek(this.#placeOf(last + at), found);
      if (!found.equals(this.#source.subarray(at, at + found.length)))
        throw new Error(`dma: ${this.#target.name} does not hold what was written`);
    }
  }

  /** Where in the area byte `at` of the IOVAs lies. */
  #placeOf(at: number): number {
    return this.#shape.pieces > 1 ? scattered(at / PAGE) * PAGE : at;
  }
}
