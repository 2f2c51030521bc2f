/**
 * The driver of one device, as its files, the loop that gives it time and `ls` see it. There is one kind for
 * each ABI that devices are served by; what they share is the life of the device.
 */
import type { Work } from '../file/work.js';
import type { IoasidContext } from '../ioasid/context.js';
import type { Pasid, Vpasid } from '../iommu/pasid.js';
import type { DeviceLife } from './device-life.js';

export interface Driver {
  readonly life: DeviceLife;
  /** Does its program know PASIDs by address space ids (ASIDs), as on vDPA? */
  readonly hasAsids: boolean;

  /** As DeviceWork.step, which it calls. */
  step(): boolean;

  /** Is there accepted work? */
  busy(): boolean;
}

/** That of a device which is a file: it is open once at a time, and has the native ioctls of devices. */
export interface FileDriver extends Driver {
  /** The last descriptor is gone: the device is as before it was opened. */
  close(): Work<void>;

  /** A descriptor is gone: waits for accepted work. */
  flush(): Work<void>;

  /** As DeviceLife.authorize, which it calls; `vpasid` is an ASID where there are some. @throws Refusal. */
  authorize(context: IoasidContext, pasid: Pasid, vpasid?: Vpasid, cookie?: number): void;

  /** As DeviceLife.revoke, which it calls. @throws Refusal ENOENT. */
  revoke(pasid: Pasid): Work<void>;
}
