/**
 * Benchmark `dma`: a device's DMA write, through translation and mapping, against memcpy into a mapped memfd
 * in C (bench/memcpy.c).
 *
 * The expectation is about memfds, sealed against shrinking or not, which are mapped and copied to. The
 * memory of a process goes through the kernel; it is measured for information.
 */
import { finish } from '../file/work.js';
import { Iommu, READ, WRITE } from '../iommu/iommu.js';
import type { Memory } from '../iommu/memory.js';
import { pasidOf } from '../iommu/pasid.js';
import { Account } from '../linux/account.js';
import { addressOf, check, libc } from '../linux/ffi.js';
import { fileMemory } from '../linux/file-memory.js';
import { processMemory } from '../linux/process-memory.js';
import type { Outcome } from './measurement.js';
import { compareTo, type References, timed } from './reference.js';

const PASID = pasidOf(7);
const BASE = 2 ** 32;
/** Bytes that the transfers go round in, as in bench/memcpy.c. */
const AREA = 16 << 20;
/** Bytes moved in one pass. */
const PASS = 256 << 20;
const MFD_CLOEXEC_ALLOW_SEALING = 3;
const F_ADD_SEALS = 1033;
const F_SEAL_SHRINK = 2;

/** The memory that a mapping leads to, and a look at its bytes that does not go through the mapping. */
interface Target {
  readonly name: string;
  readonly memory: Memory;
  readonly offset: number;
  readonly expected: boolean;
  peek(at: number, bytes: Uint8Array): void;
  close(): void;
}

export async function dma(references: References): Promise<Outcome[]> {
  if (process.platform !== 'linux') return [{ name: 'dma', skipped: 'memfds are Linux’s' }];
  const results: Outcome[] = [];
  for (const make of [() => memfd(true), () => memfd(false), ownMemory]) {
    const target = make();
    for (const size of [4 << 10, 64 << 10, 1 << 20]) {
      const side = new Side(target, size);
      const result = await compareTo(() => side.pass(), references.start('memcpy', size, PASS / size), 9);
      side.verify();
      const maxRatio = target.expected && size >= 64 << 10 ? 2 : undefined;
      results.push({ name: `dma of ${size >> 10} KiB, ${target.name}`, unit: 'ns', ...result, maxRatio });
    }
    target.close();
  }
  return results;
}

/** A device that writes `size` bytes at a time, round and round. */
class Side {
  readonly #requester;
  readonly #source: Uint8Array;
  readonly #target: Target;
  #at = 0;

  constructor(target: Target, size: number) {
    const iommu = new Iommu();
    const table = iommu.pageTable();
    table.map(
      BigInt(BASE),
      BigInt(AREA),
      iommu.memories.acquire(target.memory),
      BigInt(target.offset),
      READ | WRITE,
    );
    this.#requester = iommu.requester('0000:6a:01.0');
    this.#requester.grant(PASID, table);
    this.#source = Uint8Array.from({ length: size }, (_, i) => i * 7 + size / 4096);
    this.#target = target;
  }

  /** Nanoseconds of one transfer. */
  pass(): number {
    const size = this.#source.length;
    return timed(PASS / size, () => {
      for (let moved = 0; moved < PASS; moved += size) {
        const fault = this.#requester.write(PASID, BASE + this.#at, this.#source, 0, size);
        if (fault !== undefined) throw new Error(`dma: ${fault.reason}`);
        this.#at = (this.#at + size) % AREA;
      }
    });
  }

  /** The bytes written last are where they should be. */
  verify(): void {
    const size = this.#source.length;
    const found = Buffer.alloc(size);
    this.#target.peek((this.#at + AREA - size) % AREA, found);
    if (!found.equals(this.#source))
      throw new Error(`dma: ${this.#target.name} does not hold what was written`);
  }
}

const account = Account.of('the bench');

function memfd(sealed: boolean): Target {
  const fd = check(libc().memfd_create('bench', MFD_CLOEXEC_ALLOW_SEALING), 'no memfd could be made');
  check(libc().ftruncate(fd, AREA), 'the memfd could not be given its size');
  if (sealed) check(libc().fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 'the memfd could not be sealed');
  const { memory, offset } = fileMemory(account, process.pid, fd, 0, AREA, READ | WRITE);
  return {
    name: sealed ? 'sealed memfd' : 'memfd that may shrink',
    memory,
    offset,
    expected: true,
    peek: (at, bytes) =>
      check(libc().pread(fd, addressOf(bytes), bytes.length, at), 'the memfd could not be read'),
    close: () => libc().close(fd),
  };
}

function ownMemory(): Target {
  const bytes = new Uint8Array(AREA).fill(1);
  const { memory, offset } = finish(
    processMemory(account, process.pid, addressOf(bytes), AREA, READ | WRITE),
  );
  return {
    name: 'process memory',
    memory,
    offset,
    expected: false,
    peek: (at, target) => target.set(bytes.subarray(at, at + target.length)),
    close: () => {},
  };
}
