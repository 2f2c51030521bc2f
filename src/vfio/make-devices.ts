/**
 * Makes the VFIO devices of one PCI function: the function itself or, when it is cut, its mediated devices in
 * its place.
 */

import { checkModel } from '../devices/check-model.js';
import type { DeviceFactory, DeviceHost, DeviceModel, DeviceOptions } from '../devices/device-model.js';
import { MdevPort } from '../driver/mdev.js';
import { FunctionPort } from '../driver/pci-function.js';
import type { PciPort } from '../driver/pci-port.js';
import type { PasidSpace } from '../ioasid/pasid-space.js';
import type { Iommu, Requester } from '../iommu/iommu.js';
import { refuse } from '../linux/errno.js';
import { ConfigSpace } from './config-space.js';
import { VfioDevice } from './device.js';
import { Interrupts } from './interrupts.js';

/** What to make. */
export interface FunctionRequest {
  /** The requester id: `0000:6a:01.0`. */
  readonly rid: string;
  readonly factory: DeviceFactory;
  readonly options: DeviceOptions;
  /** Mediated devices to cut the function into; 0 offers it whole. */
  readonly mdevs: number;
  /** The number N of the first device made, `vfioN`. */
  readonly firstIndex: number;
}

/**
 * @returns one device, or `mdevs` of them. A function that is cut is not among them: it belongs to its own
 * driver, which is us.
 * @throws Refusal EEXIST when the requester id is taken; EINVAL when the function cannot be cut like that or
 * the model is none (checkModel).
 * @throws Error of the factory, when an option is wrong.
 */
export function makeDevices(
  iommu: Iommu,
  pasids: PasidSpace,
  { rid, factory, options, mdevs, firstIndex }: FunctionRequest,
): VfioDevice[] {
  const requester = iommu.requester(rid);
  const parent = assemble(`vfio${firstIndex}`, new FunctionPort(iommu, requester), (host) =>
    factory(host, options),
  );
  if (mdevs === 0) return [parent.device];
  parent.config.enableBusMaster();
  return cut(iommu, pasids, requester, parent.model, mdevs, firstIndex);
}

function cut(
  iommu: Iommu,
  pasids: PasidSpace,
  requester: Requester,
  parent: DeviceModel,
  count: number,
  firstIndex: number,
): VfioDevice[] {
  const { mdev, pci } = parent;
  if (mdev === undefined)
    refuse('EINVAL', `the device at ${requester.rid} cannot be cut into mediated devices`);
  if (count > mdev.max)
    refuse(
      'EINVAL',
      `the device at ${requester.rid} can be cut into ${mdev.max} mediated devices, not ${count}`,
    );
  const bits =
    pci.pasidBits ??
    refuse(
      'EINVAL',
      `mediated devices need PASIDs, and the device at ${requester.rid} has no PASID capability`,
    );
  return Array.from({ length: count }, (_, index) => {
    const name = `vfio${firstIndex + index}`;
    return assemble(name, new MdevPort(iommu, pasids, requester, name, bits), (host) =>
      mdev.create(index, host),
    ).device;
  });
}

type MakeModel = (host: DeviceHost) => DeviceModel;

/**
 * Puts one device together. While the model is being made it can neither do DMA nor interrupt: it has no
 * configuration space yet.
 */
function assemble(
  name: string,
  port: PciPort,
  make: MakeModel,
): { device: VfioDevice; model: DeviceModel; config: ConfigSpace } {
  let irqs: Interrupts | undefined;
  const host: DeviceHost = {
    dma: port,
    interrupt: (vector) => irqs?.raise(vector),
    intx: (level) => irqs?.drive(level),
  };
  const model = checkModel(make(host));
  const config = new ConfigSpace(model.pci);
  irqs = new Interrupts(model.pci, config);
  port.connect(model.pci, config);
  return { device: new VfioDevice(name, port, model, config, irqs), model, config };
}
