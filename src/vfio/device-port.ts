/**
 * A device's way to the IOMMU: its requester id, and the rule by which PASIDs are translated and checked
 * before a request leaves.
 *
 * Whole functions and mediated devices differ in nothing else, so this is the interface between VfioDevice
 * and the two.
 */
import {
  type DmaFault,
  type DmaPort,
  NO_PASID,
  type PageWait,
  type PciDescription,
} from '../devices/device-model.js';
import type { DirtyLog } from '../iommu/dirty-log.js';
import type { FaultLog } from '../iommu/fault-log.js';
import type { Requester } from '../iommu/iommu.js';
import type { Translation } from '../iommu/nested-table.js';
import { refuse } from '../linux/errno.js';
import type { Authorizations } from './authorizations.js';
import type { ConfigSpace } from './config-space.js';

/** Where page requests go. */
export interface Pager {
  /** As DmaPort.requestPage, of a device that may issue requests. */
  requestPage(pasid: number, iova: number, write: boolean): PageWait | undefined;
}

export interface DevicePort extends DmaPort {
  /** The requester id that the device's requests carry, alone or with others. */
  readonly requester: Requester;
  /** True for a mediated device. */
  readonly mediated: boolean;
  readonly authorizations: Authorizations;

  /** Hears of page requests; undefined: nobody does. */
  pager: Pager | undefined;

  /** Tells the port of the configuration space; until then the device cannot issue requests. */
  connect(config: ConfigSpace): void;

  /**
   * The number by which the device's programmer will know `pasid`, when `vpasid` was asked for (0: the same
   * number).
   * @throws Refusal EINVAL when the device cannot have it by that number.
   */
  vpasid(pci: PciDescription, pasid: number, vpasid: number): number;

  /** The PASID that requests meant for `pasid` carry on the bus: its entry in the requester's PASID table. */
  entry(pci: PciDescription, pasid: number): number;

  /**
   * An attachment of iommufd: requests that the device's program gives `vpasid` (0: none) are translated by
   * `table` from now on, in place of what they were, and what they write is recorded in `log`. @throws
   * Refusal ENOSPC when there is no PASID for it; then nothing has changed.
   */
  enter(vpasid: number, table: Translation, log: DirtyLog | undefined): void;

  /** Takes the attachment of `vpasid` back; none is fine. */
  leave(vpasid: number): void;
}

/** @throws Refusal EINVAL when `pasid` is wider than `bits`. `what` names the number, `whose` the device. */
export function checkWidth(what: string, pasid: number, bits: number, whose: string): void {
  if (pasid >= 2 ** bits)
    refuse('EINVAL', `${what} ${pasid} is wider than the ${bits} PASID bits of ${whose}`);
}

/**
 * The vpasid of a device that issues requests without PASID. Its programmer writes none, so there is none to
 * choose.
 * @throws Refusal EINVAL when one is asked for.
 */
export function withoutPasid(pasid: number, vpasid: number, whose: string): number {
  if (vpasid !== 0 && vpasid !== pasid)
    refuse('EINVAL', `vpasid ${vpasid} cannot be had: requests of ${whose} carry no PASID`);
  return NO_PASID;
}

/** Records a request that the device or its driver kept back, as the IOMMU records those that it refuses. */
export function blocked(
  log: FaultLog,
  rid: string,
  pasid: number,
  iova: number,
  write: boolean,
  reason: string,
): DmaFault {
  log.record({ rid, pasid, iova, write, reason });
  return { iova, done: 0, pasid, write, reason };
}
