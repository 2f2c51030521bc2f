/**
 * What a group joins: a container, as VfioGroup uses it. There are two kinds: real type1 (type1-container.ts)
 * and an iommufd that stands in for it (iommufd-container.ts).
 */
import type { Sliced } from '../file/work.js';
import type { VfioDevice } from './device.js';

export interface Container {
  /** What a call that is about the container uses (OpenFile.uses). */
  readonly object: object;

  /** Does a group that leaves take no notice of its device being open? */
  readonly leavesOpen: boolean;

  /**
   * A group joins: the container is there until it leaves, whoever closes its file.
   * @param mediated its device is. @throws Refusal EBUSY.
   */
  join(mediated: boolean): void;

  /** A group that has joined leaves. */
  leave(mediated: boolean): Sliced<void>;

  /** @throws Refusal EINVAL while no device can be opened in it. */
  checkReady(): void;

  /**
   * What a device of the group does is translated by what is mapped here, until the device is closed.
   * @throws Refusal EBUSY when another ABI has the device; and what attaching refuses.
   */
  attach(device: VfioDevice): Sliced<void>;
}
