/**
 * All that the two designs do, once, with every layer watched: two devices of one VM, a PASID for both, one
 * that is freed while it is in use where the design has that, and the end of a device that has one.
 */
import { DeviceLife } from '../../driver/device-life.js';
import { IoasidContext } from '../../ioasid/context.js';
import { Requester } from '../../iommu/iommu.js';
import { Refusal } from '../../linux/errno.js';
import type { DesignMaker } from './designs.js';
import { IoasidSets } from './ioasid-sets.js';
import { LayerWatch } from './layer-watch.js';
import { ListeningDriver } from './listening-driver.js';

/** @returns what was seen. */
export function watched(make: DesignMaker): LayerWatch {
  const design = make(2, 2);
  const watch = new LayerWatch()
    .watch('driver', DeviceLife, ListeningDriver)
    .watch('ioasid', IoasidContext, IoasidSets)
    .watch('iommu', Requester);
  try {
    for (const device of [0, 1]) design.open(0, device);
    const pasid = design.alloc(0);
    design.map(0, pasid, new Uint8Array(4096));
    for (const device of [0, 1]) design.authorize(0, device, pasid);
    design.writes(0, pasid);
    design.revoke(0, pasid);
    try {
      design.free(0, pasid);
    } catch (error) {
      // In use: ours refuses it.
      if (!(error instanceof Refusal)) throw error;
    }
    design.authorize(0, 0, design.alloc(0));
    for (const device of [0, 1]) design.close(device);
    design.free(0, design.alloc(0));
  } finally {
    watch.end();
  }
  return watch;
}
