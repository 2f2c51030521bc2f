/** Steps on containers and groups, and DMA by which the device shows what is mapped. */
import fc from 'fast-check';
import { descriptor, number, plain } from '../language.js';
import { edges64, mostly, oneIn, which } from '../numbers.js';
import { DEVICE_FD, type DeviceStep, getDeviceFd, MAPPED, MEMORY_BYTES } from './scene.js';

const PAGE = 4096n;
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
    flags: mostly(fc.constantFrom(3, 3, 3, 1, 2), fc.constantFrom(0, 4, 7, 8, 0x80000003)),
    page: fc.nat(15),
    shift: mostly(fc.constant(0n), fc.constantFrom(1n, 0x800n), 10),
    iova: iovas,
    size: sizes,
    hole: oneIn(12),
  })
  .map(({ fd, argsz, flags, page, shift, iova, size, hole }) => (scene) => {
    const plus = hole ? BigInt(MEMORY_BYTES) + PAGE : BigInt(page) * PAGE + shift;
    const vaddr = { kind: 'address', name: 'b', plus } as const;
    scene.call('VFIO_IOMMU_MAP_DMA', { argsz, flags, vaddr, iova, size }, { fd });
  });

export const unmapDma: fc.Arbitrary<DeviceStep> = fc
  .record({
    fd: containers,
    argsz: mostly(fc.constant(24), fc.constantFrom(0, 23, 40)),
    flags: mostly(fc.constantFrom(0, 0, 0, 2), fc.constantFrom(1, 3, 4, 6, 0x80000000)),
    whole: oneIn(3),
    iova: iovas,
    size: sizes,
  })
  .map(({ fd, argsz, flags, whole, iova, size }) => (scene) => {
    const range = flags === 2 && whole ? { iova: 0n, size: 0n } : { iova, size };
    const all = whole && flags === 0 ? { iova: MAPPED, size: BigInt(MEMORY_BYTES) } : range;
    scene.call('VFIO_IOMMU_UNMAP_DMA', { argsz, flags, ...all }, { fd });
  });

export const containerInfo: fc.Arbitrary<DeviceStep> = fc
  .record({
    fd: containers,
    argsz: mostly(fc.constantFrom(16, 24, 128, 400), fc.constantFrom(0, 15, 20, 56, 60)),
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
        plain('open', name, name.startsWith('g') ? `/dev/vfio/${scene.device.slot}` : '/dev/vfio/vfio'),
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
