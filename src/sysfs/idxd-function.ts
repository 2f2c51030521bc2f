/**
 * The PCI function of a DSA that Linux's driver idxd has, with the DSA's own folder in it. The driver keeps
 * it: nobody takes it to give it to another.
 *
 * Its configuration space is as that driver leaves it, and is only read: bus mastering is on, interrupts are
 * those of MSI-X.
 */
import type { Attribute } from '../file/attributes.js';
import type { IdxdDevice } from '../idxd/device.js';
import { refuse } from '../linux/errno.js';
import { ConfigSpace } from '../vfio/config-space.js';
import { type Binding, type BusDevice, functionPath } from './bus-device.js';
import { IommuGroup } from './iommu-group.js';
import type { PciAddresses } from './pci-addresses.js';
import type { ConfigRegisters } from './pci-attributes.js';
import { pciDevice } from './pci-function.js';
import { shown } from './values.js';

const IDXD = 'idxd';
const DMA_BITS = 64;
const COMMAND = 4;
/** Memory space, bus mastering, no INTx. */
const DRIVEN = [0x06, 0x04];

export class IdxdFunction {
  readonly group: IommuGroup;
  readonly device: BusDevice;

  /** `group` is the number of its group, `dsa` what is below it. */
  constructor(idxd: IdxdDevice, group: number, dsa: BusDevice, addresses: PciAddresses) {
    const { pci } = idxd;
    const { rid } = idxd.life;
    this.group = new IommuGroup(group, functionPath(rid));
    this.device = pciDevice(
      {
        ...{ pci, rid, group: this.group, binding: bindingOf(rid), config: configOf(idxd) },
        dmaBits: DMA_BITS,
        isEnabled: () => true,
        entries: [
          ['driver_override', driverOverride(rid)],
          [dsa.name, dsa.folder],
        ],
      },
      addresses,
    );
  }
}

function bindingOf(rid: string): Binding {
  return {
    driver: IDXD,
    isBound: () => true,
    bind: () => undefined,
    unbind: () => keeps(rid),
  };
}

/** It is for no driver in particular, and stays so. */
function driverOverride(rid: string): Attribute {
  return { ...shown(() => '(null)'), mode: 0o644, store: () => keeps(rid) };
}

function keeps(rid: string): never {
  return refuse('EOPNOTSUPP', `driver ${IDXD} keeps ${rid}, which was given to it by idxd=1`);
}

function configOf({ pci }: IdxdDevice): ConfigRegisters {
  const config = new ConfigSpace(pci);
  config.write(COMMAND, Uint8Array.from(DRIVEN));
  config.setMsixEnable(pci.msix !== undefined);
  return { size: config.size, read: (target) => config.read(0, target) };
}
