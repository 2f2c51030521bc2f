/** Steps on containers and groups, and DMA by which the device shows what is mapped. */
import fc from 'fast-check';
import { address, descriptor, number, plain } from '../language.js';
import { edges64, mostly, oneIn, which } from '../numbers.js';
import { DEVICE_FD, type DeviceScene, type DeviceStep, getDeviceFd, MAPPED, MEMORY_BYTES } from './scene.js';

const PAGE = 4096n;
/** Where the bitmap lies in the buffer of names, and what of it is looked at. */
const BITMAP_AT = 0x800;
const BITMAP_BYTES = 64;
const iovas = mostly(
  fc.nat(24).map((page) => MAPPED + BigInt(page) * PAGE),
  fc.oneof(
    edges64,
    fc.constantFrom(0xfee00000n, 0xfedff000n, 0xfeefffffn, 1n << 48n, (1n << 48n) - PAGE, 1n << 39n),
  ),
  8,
);
const sizes = mostly(
  fc.integer({ min: 1, max: 16 }).map((pages) => BigInt(pages) * PAGE),
  fc.constantFrom(0n, 1n, 0x64n, 0x1800n, 1n << 40n, (1n << 64n) - 1n, (1n << 64n) - PAGE),
  8,
);
const containers = mostly(fc.constant('c'), fc.constantFrom('c2', 'none', 'm', 'g', DEVICE_FD));

export const mapDma: fc.Arbitrary<DeviceStep> = fc
  .record({
    fd: containers,
    argsz: mostly(fc.constant(32), fc.constantFrom(0, 31, 40)),
    flags: mostly(fc.constantFrom(3, 3, 3, 1, 2, 4), fc.constantFrom(0, 7, 8, 0x80000003)),
    again: oneIn(2),
    page: fc.nat(15),
    shift: mostly(fc.constant(0n), fc.constantFrom(1n, 0x800n), 10),
    iova: iovas,
    size: sizes,
    hole: oneIn(12),
    nowhere: mostly(
      fc.constant(undefined),
      fc.constantFrom(0n, PAGE, 1n << 63n, (1n << 47n) - PAGE, (1n << 64n) - PAGE),
      20,
    ),
  })
  .map(({ fd, argsz, flags, again, page, shift, iova, size, hole, nowhere }) => (scene) => {
    const plus = hole ? BigInt(MEMORY_BYTES) + PAGE : BigInt(page) * PAGE + shift;
    const vaddr = nowhere === undefined ? address('b', plus) : number(nowhere);
    // What a scene begins with loses its address, and gets another.
    const range = again && flags === 4 ? { iova: MAPPED, size: BigInt(MEMORY_BYTES) } : { iova, size };
    scene.call('VFIO_IOMMU_MAP_DMA', { argsz, flags, vaddr, ...range }, { fd });
  });

/** A bitmap for `pages` pages, which has bits already; mostly as large as it must be. */
const bitmaps = fc.record({
  pgsize: mostly(fc.constant(PAGE), fc.constantFrom(0n, 1n, 0x800n, 0x2000n, 0x200000n, 1n << 63n), 10),
  more: mostly(fc.constantFrom(0n, 8n), fc.constantFrom(-8n, -1n, 1n << 28n, 1n << 47n), 10),
  hole: oneIn(20),
});

interface BitmapChoice {
  readonly pgsize: bigint;
  readonly more: bigint;
  readonly hole: boolean;
}

function bitmapFields(size: bigint, { pgsize, more, hole }: BitmapChoice) {
  const bytes = ((size / PAGE + 63n) / 64n) * 8n;
  const plus = BigInt(hole ? MEMORY_BYTES : BITMAP_AT);
  return {
    pgsize,
    bitmap_size: BigInt.asUintN(64, bytes + more),
    bitmap: { kind: 'address', name: 's', plus } as const,
  };
}

/** The bitmap has bits before the call, and is looked at after it. */
function callWithBitmap(scene: DeviceScene, call: () => void): void {
  scene.add(plain('fill', 's', BITMAP_AT, 'a5'.repeat(BITMAP_BYTES)));
  call();
  scene.add(plain('peek', 's', BITMAP_AT, BITMAP_BYTES));
}

export const unmapDma: fc.Arbitrary<DeviceStep> = fc
  .record({
    fd: containers,
    argsz: mostly(fc.constantFrom(24, 48), fc.constantFrom(0, 23, 40, 47)),
    flags: mostly(fc.constantFrom(0, 0, 0, 1, 2, 4), fc.constantFrom(3, 5, 6, 0x80000000)),
    whole: oneIn(3),
    iova: iovas,
    size: sizes,
    bitmap: bitmaps,
  })
  .map(({ fd, argsz, flags, whole, iova, size, bitmap }) => (scene) => {
    const none = (flags === 2 || flags === 6) && whole ? { iova: 0n, size: 0n } : { iova, size };
    const range = whole && (flags & 2) === 0 ? { iova: MAPPED, size: BigInt(MEMORY_BYTES) } : none;
    const fields = { argsz, flags, ...range, ...bitmapFields(range.size, bitmap) };
    const unmap = () => scene.call('VFIO_IOMMU_UNMAP_DMA', fields, { fd });
    if (flags === 1) callWithBitmap(scene, unmap);
    else unmap();
  });

/** The log of dirty pages: on, off, and what it has of some ranges. */
export const dirtyPages: fc.Arbitrary<DeviceStep> = fc
  .record({
    fd: containers,
    argsz: mostly(fc.constant(48), fc.constantFrom(0, 7, 8, 47, 64)),
    start: fc.boolean(),
    flags: mostly(fc.constantFrom(1, 4, 4, 4), fc.constantFrom(0, 2, 3, 5, 7, 8, 0x80000000)),
    whole: fc.constantFrom(0n, MAPPED, MAPPED - 8n * PAGE, MAPPED - 64n * PAGE, undefined),
    iova: iovas,
    size: sizes,
    bitmap: bitmaps,
  })
  .map(({ fd, argsz, start, flags, whole, iova, size, bitmap }) => (scene) => {
    if (start) scene.call('VFIO_IOMMU_DIRTY_PAGES', { argsz: 8, flags: 1 }, { fd: 'c' });
    const range = whole === undefined ? { iova, size } : { iova: whole, size: MAPPED + 64n * PAGE - whole };
    const fields = { argsz, flags, ...range, ...bitmapFields(range.size, bitmap) };
    callWithBitmap(scene, () => scene.call('VFIO_IOMMU_DIRTY_PAGES', fields, { fd }));
  });

export const containerInfo: fc.Arbitrary<DeviceStep> = fc
  .record({
    fd: containers,
    argsz: mostly(fc.constantFrom(16, 24, 128, 400), fc.constantFrom(0, 15, 20, 56, 60, 119, 120)),
  })
  .map(
    ({ fd, argsz }) =>
      (scene) =>
        scene.call('VFIO_IOMMU_GET_INFO', { argsz }, { fd, room: 400 }),
  );

export const askContainer: fc.Arbitrary<DeviceStep> = fc
  .record({
    fd: containers,
    ask: fc.constantFrom('VFIO_GET_API_VERSION', 'VFIO_CHECK_EXTENSION', 'VFIO_CHECK_EXTENSION'),
    argument: mostly(fc.nat(12), fc.constantFrom(99, 0xffffffff)),
  })
  .map(
    ({ fd, ask, argument }) =>
      (scene) =>
        scene.call(ask, {}, { fd, address: number(argument) }),
  );

export const setIommu: fc.Arbitrary<DeviceStep> = fc
  .record({ fd: containers, type: mostly(fc.constantFrom(1, 3), fc.constantFrom(0, 2, 4, 6, 7, 8, 99)) })
  .map(
    ({ fd, type }) =>
      (scene) =>
        scene.call('VFIO_SET_IOMMU', {}, { fd, address: number(type) }),
  );

export const groupStatus: fc.Arbitrary<DeviceStep> = fc
  .record({ argsz: mostly(fc.constant(8), fc.constantFrom(0, 7, 16)), flags: fc.constantFrom(0, 0xff) })
  .map((fields) => (scene) => scene.call('VFIO_GROUP_GET_STATUS', fields, { fd: 'g' }));

export const setContainer: fc.Arbitrary<DeviceStep> = containers.map((fd) => (scene) => {
  scene.call('VFIO_GROUP_SET_CONTAINER', { fd: descriptor(fd) }, { fd: 'g' });
});

export const unsetContainer: fc.Arbitrary<DeviceStep> = fc.constant((scene) => {
  scene.call('VFIO_GROUP_UNSET_CONTAINER', {}, { fd: 'g' });
});

export const deviceFd: fc.Arbitrary<DeviceStep> = fc
  .record({
    again: fc.constantFrom(DEVICE_FD, 'dev2'),
    wrong: oneIn(6),
    at: fc.constantFrom(0, 1, 0x20, 0xff8),
  })
  .map(({ again, wrong, at }) => (scene) => {
    if (!wrong) getDeviceFd(scene, again);
    else
      scene.call(
        'VFIO_GROUP_GET_DEVICE_FD',
        {},
        {
          fd: 'g',
          address: { kind: 'address', name: 's', plus: BigInt(at) },
          saves: { dev2: { fd: 'result' } },
        },
      );
  });

/** Opens or closes one of the files. */
export const files: fc.Arbitrary<DeviceStep> = fc
  .constantFrom(
    'close g',
    'close c',
    `close ${DEVICE_FD}`,
    'close dev2',
    'open g',
    'open g2',
    'open c2',
    'open c',
  )
  .map((what) => (scene) => {
    const [verb = '', name = ''] = what.split(' ');
    if (verb === 'close') scene.add(plain('close', name));
    else
      scene.add(
        plain('open', name, name.startsWith('g') ? `/dev/vfio/${scene.device.group}` : '/dev/vfio/vfio'),
      );
  });

/**
 * rocker fills, clears or inverts memory at once; edu copies between memory and its buffer, and takes time.
 */
export const dma: fc.Arbitrary<DeviceStep> = fc
  .record({
    which,
    page: fc.nat(24),
    at: fc.constantFrom(0n, 0n, 8n, 0xff0n, 0xffcn),
    size: fc.constantFrom(4n, 16n, 32n),
    control: fc.constantFrom(1n, 2n, 2n, 4n),
    slow: oneIn(12),
  })
  .map(({ which: n, page, at, size, control, slow }) => (scene) => {
    const iova = MAPPED + BigInt(page) * PAGE + at;
    if (scene.device.name === 'rocker') {
      scene.write(0x28n, iova, 8);
      scene.write(0x30n, size, 4);
      scene.write(0x34n, control, 4);
    } else if (scene.device.name === 'edu' && slow) {
      const toMemory = n % 2 === 0;
      scene.write(0x80n, toMemory ? 0x40000n : iova, 8);
      scene.write(0x88n, toMemory ? iova : 0x40000n, 8);
      scene.write(0x90n, size, 8);
      scene.write(0x98n, 1n | (toMemory ? 2n : 0n) | (n > 7 ? 4n : 0n), 4);
      scene.add(plain('await', DEVICE_FD, 0x98, 1));
    } else return;
    scene.add(plain('peek', 'b', Number(iova - MAPPED) % MEMORY_BYTES, 4));
  });
