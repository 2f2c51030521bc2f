/**
 * The numbers that calls are made with: mostly good ones, close enough to each other that ranges meet, and
 * some at which something begins or ends.
 *
 * IOVAs that the kernel picks depend on its largest page size. Memory for such mappings begins at an odd page
 * (`oddMemoryPage`): then no alignment larger than a page can come of it, and every kernel picks alike.
 */
import fc from 'fast-check';
import { MEMORY_BYTES } from './scene.js';

export const PAGE = 4096n;
export const FIXED = 1;
export const APERTURE_START = 1n << 24n;
export const APERTURE_LAST = (1n << 31n) - 1n;

export const which = fc.nat(15);

/** Numbers at which something begins or ends. */
export const edges64 = fc.constantFrom(
  0n,
  1n,
  0x7ffn,
  0x800n,
  0xfffn,
  PAGE,
  PAGE + 1n,
  2n * PAGE,
  APERTURE_START - 1n,
  APERTURE_START,
  APERTURE_LAST,
  APERTURE_LAST + 1n,
  1n << 40n,
  (1n << 56n) - 1n,
  (1n << 63n) - 1n,
  1n << 63n,
  (1n << 64n) - PAGE,
  (1n << 64n) - 2n,
  (1n << 64n) - 1n,
);
export const edges32 = fc.constantFrom(
  0,
  1,
  2,
  3,
  4,
  7,
  8,
  0xff,
  0x1000,
  0x10000,
  0x7fffffff,
  0x80000000,
  0xfffffffe,
  0xffffffff,
);

/** Now and then `bad`, mostly `good`. */
export const mostly = <T>(good: fc.Arbitrary<T>, bad: fc.Arbitrary<T>, weight = 12) =>
  fc.oneof({ arbitrary: good, weight }, { arbitrary: bad, weight: 1 });

export const oneIn = (n: number) => mostly(fc.constant(false), fc.constant(true), n - 1);

export const pages = fc.integer({ min: 1, max: 8 }).map((count) => BigInt(count) * PAGE);
export const lengths = mostly(pages, fc.constantFrom(0n, 1n, 0x800n, 0x1800n, 1n << 40n, (1n << 64n) - 1n));
/** IOVAs close to each other, so that ranges meet; most of them inside the aperture of a mock device. */
export const iovas = mostly(
  fc.oneof(
    { arbitrary: fc.nat(24).map((page) => 2n * APERTURE_START + BigInt(page) * PAGE), weight: 8 },
    { arbitrary: fc.nat(8).map((page) => BigInt(page) * PAGE), weight: 1 },
    { arbitrary: fc.nat(6).map((half) => 2n * APERTURE_START + BigInt(half) * 0x800n), weight: 1 },
    { arbitrary: fc.nat(4).map((page) => APERTURE_LAST + 1n - BigInt(page) * PAGE), weight: 1 },
  ),
  edges64,
);
export const rights = mostly(fc.constantFrom(6, 6, 6, 4, 2), fc.constantFrom(0, 8, 0x10000, 0x80000006));
export const memoryPage = fc.nat(Number(BigInt(MEMORY_BYTES) / PAGE) - 1).map((page) => BigInt(page) * PAGE);
export const oddMemoryPage = fc.nat(15).map((n) => BigInt(n) * 2n * PAGE);
export const inPage = mostly(fc.constant(0n), fc.constantFrom(0x10n, 0x800n, 0xfffn), 8);

export const pageSizes = mostly(
  fc.constantFrom(0x800n, 0x800n, PAGE),
  fc.constantFrom(0n, 1n, 0x1800n, 0x2000n, 1n << 21n),
);

/** Whether a call gets an id of any kind in place of the right one. */
export const wrongId = oneIn(25);
