/** A group of the IOMMU in sysfs: each has one device, which is linked to it. */
import { type Entry, type Folder, folderOf } from '../file/attributes.js';
import { type SysfsFolder, toRoot } from './bus-device.js';
import { shown } from './values.js';

export class IommuGroup {
  readonly #path: string;
  readonly #folder: Folder;

  /**
   * `path` is that of its device's folder, below /sys. A mediated device's has no page tables, so neither a
   * type nor regions that they reserve.
   */
  constructor(number: number, path: string, mediated = false) {
    this.#path = `kernel/iommu_groups/${number}`;
    const name = path.slice(path.lastIndexOf('/') + 1);
    const devices = folderOf([[name, { kind: 'link', target: `../../../../${path}` }]]);
    const tables: readonly (readonly [string, Entry])[] = [
      ['type', shown(() => 'DMA')],
      ['reserved_regions', shown(() => '0x00000000fee00000 0x00000000feefffff msi')],
    ];
    this.#folder = folderOf([['devices', devices], ...(mediated ? [] : tables)]);
  }

  /** Its folder, by its path. */
  get folder(): SysfsFolder {
    return [this.#path, this.#folder];
  }

  /** What leads to it from the folder at `path`. */
  linkFrom(path: string): readonly [string, Entry] {
    return ['iommu_group', { kind: 'link', target: `${toRoot(path)}${this.#path}` }];
  }
}
