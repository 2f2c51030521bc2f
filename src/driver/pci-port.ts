/**
 * What the ports of PCI devices have in common: a whole function's (pci-function.ts) and a mediated device's
 * (mdev.ts).
 *
 * Requests carry the PASID that the program wrote into the device, or none, and leave only while bus
 * mastering is on. Page requests (PCI Express 5.0 §10.4) go to a pager, when there is one.
 */
import type { PageWait, PciDescription } from '../devices/device-model.js';
import { NO_PASID, type Pasid, type Vpasid, vpasidOf } from '../iommu/pasid.js';
import { refuse } from '../linux/errno.js';
import type { DevicePort } from './device-port.js';

/** Lets requests out: the command register of a PCI function. */
export interface BusGate {
  readonly busMaster: boolean;
}

/** Where page requests go. */
export interface Pager {
  /** As DmaPort.requestPage, of a device that may issue requests. */
  requestPage(vpasid: Vpasid, iova: number, write: boolean): PageWait | undefined;
}

export interface PciPort extends DevicePort {
  /** Hears of page requests; undefined: nobody does. */
  pager: Pager | undefined;

  /** The device is there: what it is, and what lets its requests out. Until then none leaves. */
  connect(pci: PciDescription, gate: BusGate): void;
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
export function withoutPasid(pasid: Pasid, vpasid: Vpasid | undefined, whose: string): Vpasid {
  if (vpasid !== undefined && vpasid !== vpasidOf(pasid))
    refuse('EINVAL', `vpasid ${vpasid} cannot be had: requests of ${whose} carry no PASID`);
  return NO_PASID;
}
