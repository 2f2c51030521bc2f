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
import { type Passes, type References, timed } from './reference.js';
import type { Row } from './row.js';

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

/** Where DMA goes: what that is called, and whether it goes through the kernel. */
interface Kind {
  readonly name: string;
  readonly byKernel?: true;
  /** A C program has it. */
  readonly ofProcess?: true;
  make(references: References): Target | Promise<Target>;
}

const kinds: readonly Kind[] = [
  { name: 'sealed memfd', make: () => memfd(true) },
  { name: 'memfd that may shrink', make: () => memfd(false) },
  ofProcess('shared', { name: 'shared anonymous memory' }),
  ofProcess('/dev/shm', { name: 'tmpfs file of a process' }),
  ofProcess('private', { name: 'process memory', byKernel: true }),
];

function ofProcess(kind: string, what: Pick<Kind, 'name' | 'byKernel'>): Kind {
  return { ...what, ofProcess: true, make: (references) => memoryOfProcess(references, kind) };
}

export function dma(): Row[] {
  return kinds.flatMap((kind) =>
    [...whole, ...(kind.byKernel ? batches : [inTurn])].map((shape) => rowOf(kind, shape)),
  );
}

function rowOf(kind: Kind, shape: Shape): Row {
  const { size, pieces } = shape;
  const turns = shape.inTurn ? ', PASIDs in turn' : '';
  const what = pieces > 1 ? `${pieces} scattered pages` : `${size >> 10} KiB${turns}`;
  return {
    name: `dma of ${what}, ${kind.name}`,
    maxRatio: expected(kind, shape),
    rounds: ROUNDS,
    whyNot: (references) => whyNot(kind, references),
    begin: async (references) => {
      const target = await kind.make(references);
      const side = new Side(target, shape);
      return {
        pass: () => side.pass(),
        reference: () => referenceOf(kind, target, shape, references),
        close: () => side.close(),
      };
    },
  };
}

function whyNot(kind: Kind, references: References): string | undefined {
  if (process.platform !== 'linux') return 'memfds are Linux’s';
  return kind.ofProcess && !references.hasCompiler ? 'a C program has it, and there is no cc' : undefined;
}

function expected({ byKernel }: Kind, { pieces }: Shape): number {
  if (!byKernel) return EXPECTED;
  return pieces > 1 ? EXPECTED_SCATTERED : EXPECTED_PROCESS;
}

function referenceOf(
  { byKernel }: Kind,
  target: Target,
  { size, pieces }: Shape,
  references: References,
): Passes | undefined {
  if (!byKernel) return references.start('memcpy', size, PASS / size);
  const { pid, address } = target.process!;
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

  /** @throws Error when the bytes that were written last are not where they should be. */
  async close(): Promise<void> {
    this.#verify();
    await this.#target.close();
  }

  #verify(): void {
    // Once more: the reference has written since to what both have.
    this.pass();
    const { size, pieces } = this.#shape;
    const last = (this.#at + AREA - size) % AREA;
    const found = Buffer.alloc(size / pieces);
    for (let at = 0; at < size; at += found.length) {
      this.#target.peek(this.#placeOf(last + at), found);
      if (!found.equals(this.#source.subarray(at, at + found.length)))
        throw new Error('dma: the memory does not hold what was written');
    }
  }

  /** Where in the area byte `at` of the IOVAs lies. */
  #placeOf(at: number): number {
    return this.#shape.pieces > 1 ? scattered(at / PAGE) * PAGE : at;
  }
}
