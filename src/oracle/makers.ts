/** Calls that make an object, and tell the scene of it. */
import type { Value } from './language.js';
import type { Device, Scene } from './scene.js';

export const SELFTEST_DATA = 0xdead;
export const SELFTEST_TYPE = 0xdeadbeef;
export const SELFTEST_EVENTS = 0xbeefbeef;

export function allocateIoas(scene: Scene, flags: number): void {
  const name = scene.name('ioas');
  scene.call('IOAS_ALLOC', { flags }, { saves: { [name]: 'out_ioas_id' } });
  if (flags === 0) scene.ioases.push(name);
}

export function addDevice(scene: Scene, id: Value, flags: number | undefined): Device {
  const device = { stdev: scene.name('stdev'), hwpt: scene.name('auto'), idev: scene.name('idev') };
  const saves = {
    [device.stdev]: 'out_stdev_id',
    [device.hwpt]: 'out_hwpt_id',
    [device.idev]: 'out_idev_id',
  };
  if (flags === undefined) scene.call('TEST_MOCK_DOMAIN', { id }, { saves });
  else scene.call('TEST_MOCK_DOMAIN_FLAGS', { id, dev_flags: flags }, { saves });
  scene.devices.push(device);
  return device;
}

export function allocateHwpt(scene: Scene, fields: Readonly<Record<string, Value | number>>): string {
  const name = scene.name('hwpt');
  scene.call('HWPT_ALLOC', fields, { saves: { [name]: 'out_hwpt_id' } });
  scene.hwpts.push(name);
  return name;
}

export function openAccess(scene: Scene, id: Value, flags: number): void {
  const name = scene.name('access');
  scene.call('TEST_CREATE_ACCESS', { id, flags }, { saves: { [name]: { fd: 'out_access_fd' } } });
  scene.accesses.push(name);
}

export function addViommu(
  scene: Scene,
  hwpt: string | undefined,
  flags: number,
  type: number,
  device = 0,
): void {
  const name = scene.name('viommu');
  const dev_id = scene.id(scene.pick(scene.devices, device)?.idev);
  scene.call(
    'VIOMMU_ALLOC',
    { flags, type, dev_id, hwpt_id: scene.id(hwpt) },
    { saves: { [name]: 'out_viommu_id' } },
  );
  scene.viommus.push(name);
}

export function addVdevice(scene: Scene, viommu: string | undefined, virt_id: bigint, device = 0): void {
  const name = scene.name('vdevice');
  const dev_id = scene.id(scene.pick(scene.devices, device)?.idev);
  scene.call(
    'VDEVICE_ALLOC',
    { viommu_id: scene.id(viommu), dev_id, virt_id },
    { saves: { [name]: 'out_vdevice_id' } },
  );
  scene.others.push(name);
}

export function openFaults(scene: Scene, flags: number): void {
  const [id, fd] = [scene.name('fault'), scene.name('faults')];
  scene.call(
    'FAULT_QUEUE_ALLOC',
    { flags },
    { saves: { [id]: 'out_fault_id', [fd]: { fd: 'out_fault_fd' } } },
  );
  scene.others.push(id);
  scene.faults.push({ id, fd });
}
