/**
 * What there is of one VFIO device: a PCI function, or a mediated device below one; while a driver of VFIO
 * has it, its device file; and its group.
 */
import type { Attribute, Entry } from '../file/attributes.js';
import { VFIO_DEVICE_MAJOR } from '../file/device-numbers.js';
import { refuse } from '../linux/errno.js';
import { CONFIG_REGION, type VfioDevice } from '../vfio/device.js';
import type { VfioGroup } from '../vfio/group.js';
import { type Binding, BusDevice, comingFolder, functionPath } from './bus-device.js';
import { ClassDevice } from './class-device.js';
import type { DynamicIds } from './dynamic-ids.js';
import { IommuGroup } from './iommu-group.js';
import { unsigned } from './numbers.js';
import type { PciAddresses } from './pci-addresses.js';
import type { ConfigRegisters } from './pci-attributes.js';
import { pciDevice } from './pci-function.js';
import { uevent } from './uevent.js';

const VFIO_PCI = 'vfio-pci';
/** What a driver that says nothing has. */
const DMA_BITS = 32;
/** The most that `driver_override` takes, with what ends it. */
const OVERRIDE_BYTES = 4095;

export class VfioFunction {
  readonly group: VfioGroup;
  readonly device: BusDevice;
  readonly file: ClassDevice;
  readonly iommuGroup: IommuGroup;
  /** The driver that it must have; undefined: any that knows it. */
  #override: string | undefined = VFIO_PCI;
  readonly #ids: DynamicIds;
  readonly #files = comingFolder(() => [[this.file.name, this.file.folder]]);

  /** `ids` are those that vfio-pci is told to take. */
  constructor(group: VfioGroup, addresses: PciAddresses, ids: DynamicIds) {
    const { number, deviceName } = group;
    const { rid, mediated } = group.device.life;
    this.group = group;
    this.#ids = ids;
    const path = mediated ? `${functionPath(rid)}/${deviceName}` : functionPath(rid);
    const minor = number - 1;
    const { name } = group.device;
    const number_ = { major: VFIO_DEVICE_MAJOR, minor, devName: `vfio/devices/${name}` };
    this.file = new ClassDevice('vfio-dev', `${path}/vfio-dev/${name}`, 2, number_);
    this.iommuGroup = new IommuGroup(number, path, mediated);
    this.device = mediated ? this.#mediated(path) : this.#whole(addresses);
  }

  /** Has it its device file? */
  get hasFile(): boolean {
    return !this.group.device.life.withdrawn;
  }

  #mediated(path: string): BusDevice {
    const entries = [['uevent', uevent(() => [])] as const, this.iommuGroup.linkFrom(path)];
    return new BusDevice('bus/mdev', path, entries, { coming: () => this.#coming() });
  }

  #whole(addresses: PciAddresses): BusDevice {
    const { device } = this.group;
    const { pci, life } = device;
    const reset: Attribute = {
      kind: 'attribute',
      uses: () => [device],
      store: (text) => writeReset(device, text),
    };
    const resets: readonly (readonly [string, Entry])[] = device.resettable ? [['reset', reset]] : [];
    return pciDevice(
      {
        ...{ pci, rid: life.rid, group: this.iommuGroup, binding: this.#binding() },
        config: configOf(device),
        dmaBits: DMA_BITS,
        isEnabled: () => life.holder !== undefined,
        entries: [...resets, ['driver_override', this.#driverOverride()]],
        coming: () => this.#coming(),
      },
      addresses,
    );
  }

  #binding(): Binding {
    const { group } = this;
    return {
      driver: VFIO_PCI,
      matches: () => (this.#override ?? (this.#ids.matches(group.device.pci) && VFIO_PCI)) === VFIO_PCI,
      isBound: () => group.registered,
      bind: () => group.register(),
      unbind: () => group.unregister(),
    };
  }

  /** While it has its device file. */
  #coming(): (readonly [string, Entry])[] {
    return this.hasFile ? [['vfio-dev', this.#files]] : [];
  }

  #driverOverride(): Attribute {
    return {
      kind: 'attribute',
      mode: 0o644,
      show: () => `${this.#override ?? '(null)'}\n`,
      store: (text) => {
        if (text.length >= OVERRIDE_BYTES) refuse('EINVAL', `a driver's name of ${text.length} bytes`);
        const [name] = text.split('\n', 1);
        this.#override = name === '' ? undefined : name;
      },
    };
  }
}

function configOf(device: VfioDevice): ConfigRegisters {
  return {
    size: device.regionSize(CONFIG_REGION),
    uses: () => [device],
    // As by a load: nobody's device is woken by it.
    read: (target) => device.readRegion(CONFIG_REGION, 0, target, true),
    write: (offset, source) => device.writeRegion(CONFIG_REGION, offset, source, true),
  };
}

function writeReset(device: VfioDevice, text: string): void {
  if (unsigned(text, 0) !== 1n) refuse('EINVAL', `"${text}" is not 1, which resets ${device.name}`);
  device.reset();
}
