/** Steps on the groups of mediated devices, and on the containers that they join. */
import fc from 'fast-check';
import { descriptor, number, plain } from './language.js';
import { mostly, which } from './numbers.js';
import type { Scene, Step } from './scene.js';

/** What GET_DEVICE_FD calls device `n`. */
const uuid = (n: number) => `00000000-0000-0000-0000-00000000000${n}`;
const containers = mostly(fc.constantFrom('f', 'f', 'f', 'c', 'f2'), fc.constantFrom('m', 'closed', 'dev'));

/** Opens the group of device `n`, which is the only one in it. */
export function openGroup(scene: Scene, n: number): string {
  const fd = scene.name('group');
  scene.add(plain('open', fd, `/dev/vfio/${n + 1}`));
  scene.groups.push({ fd, device: n });
  return fd;
}

export const anyGroup: fc.Arbitrary<Step> = mostly(fc.nat(1), fc.constant(7)).map((n) => (scene) => {
  openGroup(scene, n);
});

export function joinContainer(scene: Scene, group: string, container: string): void {
  scene.call('VFIO_GROUP_SET_CONTAINER', { fd: descriptor(container) }, { fd: group });
}

export const setContainer: fc.Arbitrary<Step> = fc
  .record({ which, container: containers })
  .map(({ which, container }) => (scene) => {
    const named = container === 'dev' ? scene.mdev(which).fd : container;
    joinContainer(scene, scene.group(which).fd, named);
  });

export const unsetContainer: fc.Arbitrary<Step> = which.map((n) => (scene) => {
  scene.call('VFIO_GROUP_UNSET_CONTAINER', {}, { fd: scene.group(n).fd });
});

export const groupStatus: fc.Arbitrary<Step> = fc
  .record({ which, argsz: mostly(fc.constant(8), fc.constantFrom(0, 7, 16)) })
  .map(({ which, argsz }) => (scene) => {
    scene.call('VFIO_GROUP_GET_STATUS', { argsz }, { fd: scene.group(which).fd });
  });

export const deviceFd: fc.Arbitrary<Step> = fc
  .record({ which, wrong: mostly(fc.constant(undefined), fc.constantFrom('', '0', 'x', ' vf_token=0'), 8) })
  .map(({ which, wrong }) => (scene) => {
    const { fd: group, device } = scene.group(which);
    const name = wrong === '0' ? uuid(1 - device) : wrong === 'x' ? 'vfio0' : `${uuid(device)}${wrong ?? ''}`;
    getDeviceFd(scene, group, wrong === '' ? '' : name);
  });

export function getDeviceFd(scene: Scene, group: string, name = uuid(0)): void {
  const fd = scene.name('dev');
  const address = scene.scratch(Buffer.from(`${name}\0`).toString('hex'), 0xa00);
  scene.call('VFIO_GROUP_GET_DEVICE_FD', {}, { fd: group, address, saves: { [fd]: { fd: 'result' } } });
  scene.mdevs.push({ fd, id: scene.name('mdev') });
}

export const closeGroup: fc.Arbitrary<Step> = which.map((n) => (scene) => {
  const group = scene.pick(scene.groups, n);
  if (group === undefined) return;
  scene.add(plain('close', group.fd));
  scene.groups.splice(scene.groups.indexOf(group), 1);
});

/** A container by its own file, or what a program asks one for before it uses it. */
export const useContainer: fc.Arbitrary<Step> = fc
  .constantFrom('open', 'close', 'set', 'set')
  .map((how) => (scene) => {
    if (how === 'open') scene.add(plain('open', 'c', '/dev/vfio/vfio'));
    else if (how === 'close') scene.add(plain('close', 'c'));
    else scene.call('VFIO_SET_IOMMU', {}, { fd: 'c', address: number(3) });
  });
