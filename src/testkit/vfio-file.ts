/** The file of a VFIO device with a fake model, for unit tests of its ioctls: tables, called directly. */
import type { DeviceHost, PciDescription } from '../devices/device-model.js';
import { finished } from '../file/work.js';
import { PasidSpace } from '../ioasid/pasid-space.js';
import { Iommu } from '../iommu/iommu.js';
import type { IoctlTable } from '../uapi/ioctl.js';
import { vfioIoctls } from '../uapi/vfio.js';
import { CONFIG_REGION, type VfioDevice } from '../vfio/device.js';
import { makeDevices } from '../vfio/make-devices.js';
import { FakeCaller, MEMORY_AT } from './fake-caller.js';
import { everything, FakeModel } from './fake-model.js';

export interface VfioFile {
  readonly device: VfioDevice;
  readonly model: FakeModel;
  readonly caller: FakeCaller;
  /** Puts 32-bit words at the caller's address and makes the ioctl. */
  readonly ioctl: (cmd: number, ...words: number[]) => number;
  /** So many words of the caller's memory. */
  readonly words: (count: number) => number[];
}

export interface VfioFileOptions {
  readonly pci?: PciDescription;
  /** Of the file; default: those that every device file has. */
  readonly table?: IoctlTable<VfioDevice>;
  /** The device is one of two mediated devices. */
  readonly mediated?: boolean;
  /** What such a one is; default: as the function. */
  readonly mdevPci?: PciDescription;
}

export function vfioFile({
  pci = everything,
  table = vfioIoctls,
  mediated = false,
  mdevPci = pci,
}: VfioFileOptions = {}): VfioFile {
  const models: FakeModel[] = [];
  const model = (host: DeviceHost, pci: PciDescription) => {
    const made = new FakeModel(host, pci);
    models.push(made);
    return made;
  };
  const mdev = { max: 2, create: (_: number, host: DeviceHost) => model(host, mdevPci) };
  const make = (host: DeviceHost) => Object.assign(model(host, pci), { mdev });
  const mdevs = mediated ? 2 : 0;
  const request = { rid: '0000:6a:01.0', make, mdevs, firstIndex: 0 };
  const device = makeDevices(new Iommu(), new PasidSpace(), request)[0]!;
  device.life.open(1);
  // The command register: memory space and bus mastering.
  device.writeRegion(CONFIG_REGION, 4, Uint8Array.of(6, 0));
  const caller = new FakeCaller();
  return {
    device,
    model: models[mediated ? 1 : 0]!,
    caller,
    ioctl: (cmd, ...words) => {
      words.forEach((value, i) => {
        caller.view.setUint32(i * 4, value, true);
      });
      return finished(
        table.get(cmd)!.handle(device, caller, { cmd, arg: MEMORY_AT, data: new Uint8Array(0) }),
      );
    },
    words: (count) => Array.from({ length: count }, (_, i) => caller.view.getUint32(i * 4, true)),
  };
}
