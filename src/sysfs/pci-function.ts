/**
 * A PCI function as sysfs shows it, whatever its driver: what it is, where its BARs lie, its configuration
 * space, its driver, the IOMMU in front of it and its group there.
 *
 * A driver adds what only its functions have.
 */
import type { PciDescription } from '../devices/device-model.js';
import type { Attribute, Entry } from '../file/attributes.js';
import { refuse } from '../linux/errno.js';
import { type Binding, BusDevice, functionPath, toRoot } from './bus-device.js';
import type { IommuGroup } from './iommu-group.js';
import { unsigned } from './numbers.js';
import type { PciAddresses } from './pci-addresses.js';
import { type ConfigRegisters, identityAttributes, registerAttributes, variables } from './pci-attributes.js';
import { uevent } from './uevent.js';
import { shown } from './values.js';

/** Of the IOMMU in front of all functions, below /sys. */
export const IOMMU_PATH = 'devices/dmar0';

/** What there is of a function. */
export interface PciFunction {
  readonly pci: PciDescription;
  /** The requester id: `0000:6a:01.0`. */
  readonly rid: string;
  readonly config: ConfigRegisters;
  /** Of the addresses that its driver says it can use. */
  readonly dmaBits: number;
  readonly group: IommuGroup;
  readonly binding: Binding;
  /** Has its driver, when it has one, enabled it? */
  isEnabled(): boolean;
  /** What only functions of its driver have: always, and now. */
  readonly entries: readonly (readonly [string, Entry])[];
  coming?(): readonly (readonly [string, Entry])[];
}

/** The function on the bus `pci`, its BARs the next of `addresses`. */
export function pciDevice(of: PciFunction, addresses: PciAddresses): BusDevice {
  const { pci, rid, binding, group, config, dmaBits } = of;
  const path = functionPath(rid);
  const driver = () => (binding.isBound() ? [`DRIVER=${binding.driver}`] : []);
  const entries: (readonly [string, Entry])[] = [
    ...identityAttributes(pci),
    ['dma_mask_bits', shown(() => dmaBits)],
    ['consistent_dma_mask_bits', shown(() => dmaBits)],
    ...registerAttributes(config, addresses.place(pci.bars)),
    ['uevent', uevent(() => [...driver(), ...variables(pci, rid)])],
    ['enable', enable(of)],
    ['iommu', { kind: 'link', target: `${toRoot(path)}${IOMMU_PATH}` }],
    group.linkFrom(path),
    ...of.entries,
  ];
  return new BusDevice('bus/pci', path, entries, { binding, ...(of.coming && { coming: of.coming }) });
}

/** By whom it is enabled: by its driver; without one, by who writes it here, each time once more. */
function enable({ rid, binding, isEnabled }: PciFunction): Attribute {
  let byHand = 0;
  return {
    ...shown(() => (binding.isBound() ? Number(isEnabled()) : byHand)),
    mode: 0o644,
    store: (text) => {
      const value = unsigned(text, 0);
      if (value === undefined) refuse('EINVAL', `"${text}" neither enables nor disables`);
      if (binding.isBound()) refuse('EBUSY', `driver ${binding.driver} has ${rid}`);
      if (value === 0n && byHand === 0) refuse('EIO', `${rid} is not enabled`);
      byHand += value === 0n ? -1 : 1;
    },
  };
}
