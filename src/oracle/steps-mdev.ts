/**
 * Steps on the files of mediated devices: opening them, bringing them together with an iommufd, and what any
 * device file can be asked. What a device alone decides (its configuration space, its registers) is not
 * asked.
 */
import fc from 'fast-check';
import { address, descriptor, number, plain, type Value } from './language.js';
import { edges32, mostly, oneIn, which, wrongId } from './numbers.js';
import { chosen, type Mdev, type Scene, type Step } from './scene.js';

const PROBE = 1 << 18;
const SET = 1 << 17;
const GET = 1 << 16;
/** Flags of BIND, and of ATTACH and DETACH. */
const TOKEN = 1;
const PASID = 1;

export const openCdev: fc.Arbitrary<Step> = mostly(fc.nat(1), fc.constant(7)).map((n) => (scene) => {
  openMdev(scene, n);
});

/** Opens device `n` by its own file. */
export function openMdev(scene: Scene, n: number): Mdev {
  const mdev = { fd: scene.name('dev'), id: scene.name('mdev') };
  scene.add(plain('open', mdev.fd, `/dev/vfio/devices/vfio${n}`));
  scene.mdevs.push(mdev);
  return mdev;
}

export function bindMdev(
  scene: Scene,
  { fd, id }: Mdev,
  fields: Readonly<Record<string, Value | number>>,
): void {
  scene.call('VFIO_DEVICE_BIND_IOMMUFD', { argsz: 16, ...fields }, { fd, saves: { [id]: 'out_devid' } });
  if (!scene.others.includes(id)) scene.others.push(id);
}

const iommufds = mostly(
  fc.constantFrom('f', 'f', 'f', 'f2'),
  fc.constantFrom('m', 'closed', 'dev', 'c', 'g'),
);

export const bind: fc.Arbitrary<Step> = fc
  .record({
    which,
    argsz: mostly(fc.constantFrom(16, 16, 24), fc.constantFrom(0, 12, 15, 20, 32)),
    flags: mostly(fc.constant(0), fc.oneof(fc.constant(TOKEN), edges32), 6),
    iommufd: iommufds,
    token: fc.constantFrom<Value>(address('s'), number(0), address('s', 0xff8), number((1n << 64n) - 1n)),
  })
  .map(({ which, argsz, flags, iommufd, token }) => (scene) => {
    const mdev = scene.mdev(which);
    const fields = { argsz, flags, token_uuid_ptr: token };
    bindMdev(scene, mdev, { ...fields, iommufd: descriptor(iommufd === 'dev' ? mdev.fd : iommufd) });
  });

export const attach: fc.Arbitrary<Step> = fc
  .record({
    which,
    to: which,
    wrong: wrongId,
    own: oneIn(10),
    argsz: mostly(fc.constantFrom(12, 12, 16), fc.constantFrom(0, 11, 24)),
    flags: mostly(fc.constant(0), fc.oneof(fc.constant(PASID), edges32), 6),
    pasid: fc.constantFrom(0, 1, 7, 0xfffff, 0x100000, 0xffffffff),
  })
  .map(({ which, to, wrong, own, argsz, flags, pasid }) => (scene) => {
    const { fd, id } = scene.mdev(which);
    const right = scene.id(own ? id : scene.pick(scene.ioases, to));
    scene.call(
      'VFIO_DEVICE_ATTACH_IOMMUFD_PT',
      { argsz, flags, pt_id: chosen(scene, wrong, to, right), pasid },
      { fd },
    );
  });

export const detach: fc.Arbitrary<Step> = fc
  .record({
    which,
    argsz: mostly(fc.constantFrom(8, 8, 12), fc.constantFrom(0, 7, 24)),
    flags: mostly(fc.constant(0), fc.oneof(fc.constant(PASID), edges32), 6),
    pasid: fc.constantFrom(0, 1, 0xfffff, 0xffffffff),
  })
  .map(({ which, ...fields }) => (scene) => {
    scene.call('VFIO_DEVICE_DETACH_IOMMUFD_PT', fields, { fd: scene.mdev(which).fd });
  });

/** A struct that is too short to be one: what else GET_INFO and its like answer is the device's. */
export const misaskInfo: fc.Arbitrary<Step> = fc
  .record({
    which,
    name: fc.constantFrom('VFIO_DEVICE_GET_INFO', 'VFIO_DEVICE_GET_REGION_INFO', 'VFIO_DEVICE_GET_IRQ_INFO'),
    argsz: fc.constantFrom(0, 8, 15),
  })
  .map(
    ({ which, name, argsz }) =>
      (scene) =>
        scene.call(name, { argsz }, { fd: scene.mdev(which).fd }),
  );

export const mdevInfo: fc.Arbitrary<Step> = which.map((n) => (scene) => {
  scene.call('VFIO_DEVICE_GET_INFO', { argsz: 20 }, { fd: scene.mdev(n).fd });
});

export const mdevFeature: fc.Arbitrary<Step> = fc
  .record({
    which,
    feature: mostly(fc.nat(13), fc.constantFrom(100, 0xffff)),
    how: mostly(
      fc.constantFrom(PROBE, GET, SET, PROBE | GET),
      fc.constantFrom(0, GET | SET, 1 << 19, 1 << 31),
    ),
    argsz: mostly(fc.constantFrom(8, 24), fc.constantFrom(0, 7, 12)),
  })
  .map(({ which, feature, how, argsz }) => (scene) => {
    scene.call('VFIO_DEVICE_FEATURE', { argsz, flags: (feature | how) >>> 0 }, { fd: scene.mdev(which).fd });
  });

/** Calls that a mediated device does not have, and some that nothing has. */
export const refusedCall: fc.Arbitrary<Step> = fc
  .record({
    which,
    count: fc.constantFrom(0, 1),
    name: fc.constantFrom(
      'VFIO_DEVICE_GET_PCI_HOT_RESET_INFO',
      'VFIO_DEVICE_PCI_HOT_RESET',
      'VFIO_DEVICE_IOEVENTFD',
      'VFIO_GROUP_GET_STATUS',
      'IOAS_ALLOC',
      'DESTROY',
    ),
  })
  .map(({ which, name, count }) => (scene) => {
    const { fd } = scene.mdev(which);
    if (name === 'VFIO_DEVICE_IOEVENTFD') scene.call(name, { argsz: 32, flags: 4 }, { fd });
    else if (name === 'VFIO_GROUP_GET_STATUS') scene.call(name, { argsz: 8 }, { fd });
    else if (name === 'IOAS_ALLOC' || name === 'DESTROY') scene.call(name, {}, { fd });
    else scene.call(name, { argsz: 32, count }, { fd });
  });

/** Reads that nobody answers before the device is bound; of nothing, so that the device has no say after. */
export const readNothing: fc.Arbitrary<Step> = fc
  .record({ which, poll: fc.boolean() })
  .map(({ which, poll }) => (scene) => {
    const { fd } = scene.mdev(which);
    scene.add(poll ? plain('poll', fd) : plain('pread', fd, 0, 0));
  });

export const dupMdev: fc.Arbitrary<Step> = which.map((n) => (scene) => {
  const { fd, id } = scene.mdev(n);
  const copy = scene.name('dev');
  scene.add(plain('dup', copy, fd));
  scene.mdevs.push({ fd: copy, id });
});

export const closeMdev: fc.Arbitrary<Step> = which.map((n) => (scene) => {
  const mdev = scene.pick(scene.mdevs, n);
  if (mdev === undefined) return;
  scene.add(plain('close', mdev.fd));
  scene.mdevs.splice(scene.mdevs.indexOf(mdev), 1);
});

/** Opens a second iommufd, or closes one of the two while devices are bound to it. */
export const otherIommufd: fc.Arbitrary<Step> = mostly(
  fc.constant(plain('open', 'f2', '/dev/iommu')),
  fc.constantFrom(plain('close', 'f'), plain('close', 'f2')),
  2,
).map((line) => (scene) => scene.add(line));
