/**
 * What there is of one VFIO device: a PCI function, or a mediated device below one; while a driver of VFIO
 * has it, its device file; and its group.
 */
import { type Attribute, type Entry, type Folder, folderOf, type Link } from '../file/attributes.js';
import { VFIO_DEVICE_MAJOR } from '../file/device-numbers.js';
import { refuse } from '../linux/errno.js';
import type { VfioGroup } from '../vfio/group.js';
import { type Binding, BusDevice, comingFolder, functionPath, toRoot } from './bus-device.js';
import { ClassDevice } from './class-device.js';
import type { DynamicIds } from './dynamic-ids.js';
import { unsigned } from './numbers.js';
import type { PciAddresses } from './pci-addresses.js';
import { identityAttributes, registerAttributes, variables } from './pci-attributes.js';
import { uevent } from './uevent.js';
import { shown } from './values.js';

const VFIO_PCI = 'vfio-pci';
/** Of the IOMMU in front of all functions, below /sys. */
export const IOMMU_PATH = 'devices/dmar0';
/** The most that `driver_override` takes, with what ends it. */
const OVERRIDE_BYTES = 4095;

export class VfioFunction {
  readonly group: VfioGroup;
  readonly device: BusDevice;
  readonly file: ClassDevice;
  /** Of its group, below /sys, and what is there. */
  readonly groupPath: string;
  readonly groupFolder: Folder;
  /** The driver that it must have; undefined: any that knows it. */
  #override: string | undefined = VFIO_PCI;
  readonly #ids: DynamicIds;
  /** How often it was enabled while no driver has had it. */
  #enabled = 0;
  readonly #files = comingFolder(() => [[this.file.name, this.file.folder]]);

  /** `ids` are those that vfio-pci is told to take. */
  constructor(group: VfioGroup, addresses: PciAddresses, ids: DynamicIds) {
    const { number, deviceName } = group;
    const { rid, mediated } = group.device.life;
    this.group = group;
    this.#ids = ids;
    this.groupPath = `kernel/iommu_groups/${number}`;
    const path = mediated ? `${functionPath(rid)}/${deviceName}` : functionPath(rid);
    const minor = number - 1;
    const { name } = group.device;
    const number_ = { major: VFIO_DEVICE_MAJOR, minor, devName: `vfio/devices/${name}` };
    this.file = new ClassDevice('vfio-dev', `${path}/vfio-dev/${name}`, 2, number_);
    this.device = mediated ? this.#mediated(path) : this.#whole(path, addresses);
    this.groupFolder = this.#groupFolder(path);
  }

  /** Has it its device file? */
  get hasFile(): boolean {
    return !this.group.device.life.withdrawn;
  }

  #mediated(path: string): BusDevice {
    const coming = () => this.#coming();
    return new BusDevice('bus/mdev', path, [['uevent', uevent(() => [])], ...this.#always(path)], { coming });
  }

  #whole(path: string, addresses: PciAddresses): BusDevice {
    const { pci } = this.group.device;
    const { rid } = this.group.device.life;
    const entries: (readonly [string, Entry])[] = [
      ...identityAttributes(pci),
      ...registerAttributes(this.group.device, addresses.place(pci.bars)),
      ['uevent', uevent(() => [...this.#driverVariable(), ...variables(pci, rid)])],
      ['enable', this.#enable()],
      ['driver_override', this.#driverOverride()],
      ['iommu', { kind: 'link', target: `${toRoot(path)}${IOMMU_PATH}` }],
      ...this.#always(path),
    ];
    return new BusDevice('bus/pci', path, entries, {
      binding: this.#binding(),
      coming: () => this.#coming(),
    });
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

  #driverVariable(): string[] {
    return this.group.registered ? [`DRIVER=${VFIO_PCI}`] : [];
  }

  /** By whom it is enabled: by its driver while it is open; without one, by who writes it here. */
  #enable(): Attribute {
    const enabled = () =>
      this.group.registered ? Number(this.group.device.life.holder !== undefined) : this.#enabled;
    return {
      ...shown(enabled),
      mode: 0o644,
      store: (text) => {
        const value = unsigned(text, 0);
        if (value === undefined) refuse('EINVAL', `"${text}" neither enables nor disables`);
        if (this.group.registered) refuse('EBUSY', `driver ${VFIO_PCI} has ${this.device.name}`);
        if (value === 0n && this.#enabled === 0) refuse('EIO', `${this.device.name} is not enabled`);
        this.#enabled += value === 0n ? -1 : 1;
      },
    };
  }

  /** What every VFIO device has. */
  #always(path: string): (readonly [string, Entry])[] {
    return [['iommu_group', { kind: 'link', target: `${toRoot(path)}${this.groupPath}` }]];
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

  /** A mediated device's has no page tables, so neither a type nor regions that they reserve. */
  #groupFolder(path: string): Folder {
    const { deviceName, device } = this.group;
    const link: Link = { kind: 'link', target: `../../../../${path}` };
    const devices = ['devices', folderOf([[deviceName, link]])] as const;
    if (device.life.mediated) return folderOf([devices]);
    return folderOf([
      devices,
      ['type', shown(() => 'DMA')],
      ['reserved_regions', shown(() => '0x00000000fee00000 0x00000000feefffff msi')],
    ]);
  }
}
