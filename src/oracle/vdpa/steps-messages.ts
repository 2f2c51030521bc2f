/** Steps that write IOTLB messages: of both versions, of every type, of every wrong length. */
import fc from 'fast-check';
import { number } from '../language.js';
import { edges32, edges64, mostly } from '../numbers.js';
import { BASE, Iotlb, MEMORY_BYTES, mapAll, memory, type VdpaStep } from './scene.js';

const PAGE = 0x1000n;
const pages = fc.integer({ min: 1, max: 16 }).map((count) => BigInt(count) * PAGE);

const version = mostly(fc.constantFrom(2, 2, 1), fc.oneof(fc.constantFrom(0, 3), edges32), 12);
const asid = mostly(fc.constantFrom(0, 0, 1), fc.oneof(fc.constantFrom(2, 3), edges32), 6);
const iova = mostly(
  fc.nat(0x40).map((page) => BASE + BigInt(page) * PAGE),
  fc.constantFrom(0n, BASE + 1n, BASE + 0x800n, 1n << 47n, (1n << 48n) - PAGE),
  10,
);
const length = mostly(
  fc.constant(72),
  fc.constantFrom(0, 1, 4, 8, 32, 33, 34, 39, 40, 41, 64, 71, 73, 200),
  10,
);

export const map: fc.Arbitrary<VdpaStep> = fc
  .record({
    version,
    asid,
    iova,
    size: mostly(pages, fc.constantFrom(0n, 1n, 0x800n, PAGE + 1n), 8),
    perm: mostly(fc.constantFrom(3, 3, 1, 2), fc.constantFrom(0, 4, 7, 9, 255), 6),
    page: fc.nat(0x1f),
  })
  .map(({ page, size, ...message }) => (scene) => {
    scene.alive = false;
    // All of the memory that is mapped is there.
    const offset = Math.min(page * 0x1000, MEMORY_BYTES - Number(size) - 0x1000);
    scene.message({ ...message, size, type: Iotlb.UPDATE, uaddr: memory(offset) });
  });

export const unmap: fc.Arbitrary<VdpaStep> = fc
  .record({ version, asid, iova, size: mostly(pages, fc.constantFrom(0n, 1n, (1n << 48n) - PAGE), 5) })
  .map((message) => (scene) => {
    scene.alive = false;
    scene.message({ ...message, type: Iotlb.INVALIDATE, uaddr: number(0), perm: 0 });
  });

export const batch: fc.Arbitrary<VdpaStep> = fc
  .record({ version, asid, type: fc.constantFrom(Iotlb.BEGIN, Iotlb.END, Iotlb.END) })
  .map((message) => (scene) => {
    scene.alive = false;
    scene.message({ ...message, iova: 0n, size: 0n, uaddr: number(0), perm: 0 });
  });

export const wrongType: fc.Arbitrary<VdpaStep> = fc
  .record({ version, asid, type: fc.constantFrom(0, 1, 4, 7, 0x80, 255), iova, size: pages })
  .map((message) => (scene) => {
    scene.message({ ...message, uaddr: memory(0), perm: 3 });
  });

export const wrongLength: fc.Arbitrary<VdpaStep> = fc
  .record({ version, asid, type: fc.integer({ min: 1, max: 6 }), iova, size: pages, length })
  .map(({ length, ...message }) => (scene) => {
    scene.alive = false;
    scene.message({ ...message, uaddr: memory(0), perm: 3 }, length);
  });

/** Ranges that wrap, or go beyond what any address space has. */
export const wildRange: fc.Arbitrary<VdpaStep> = fc
  .record({ type: fc.constantFrom(Iotlb.UPDATE, Iotlb.INVALIDATE), iova: edges64, size: edges64 })
  .map((message) => (scene) => {
    scene.alive = false;
    scene.message({ ...message, version: 2, asid: 0, uaddr: memory(0), perm: 3 });
  });

export const mapWhole: fc.Arbitrary<VdpaStep> = fc.nat(1).map((asid) => (scene) => mapAll(scene, asid));
