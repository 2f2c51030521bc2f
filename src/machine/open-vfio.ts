/** What an open of a VFIO device stands for, or of its group: the one that there is. */
import type { Caller, OpenFile } from '../file/open-file.js';
import { openUnbound } from '../uapi/bind-first.js';
import { DeviceFile } from '../uapi/device-file.js';
import { deviceTable } from '../uapi/ioasid.js';
import type { IoctlTable } from '../uapi/ioctl.js';
import { regionOperations, vfioIoctls } from '../uapi/vfio.js';
import { unknownIoctls } from '../uapi/vfio-call.js';
import { cdevIoctls } from '../uapi/vfio-cdev.js';
import { groupTable } from '../uapi/vfio-group.js';
import type { VfioDevice } from '../vfio/device.js';
import type { VfioGroup } from '../vfio/group.js';

const deviceIoctls: IoctlTable<VfioDevice> = new Map([...vfioIoctls, ...cdevIoctls, ...deviceTable]);

/** @param bindFirst as of NodeOptions */
export function openDevice(device: VfioDevice, bindFirst: boolean, caller: Caller): OpenFile {
  if (bindFirst) return openUnbound(device, deviceIoctls);
  device.life.open(caller.pid);
  const operations = { ...regionOperations(device), release: () => device.close() };
  return new DeviceFile(device, deviceIoctls, operations, unknownIoctls);
}

export function openGroup(group: VfioGroup, caller: Caller): OpenFile {
  group.open(caller.pid);
  return new DeviceFile(group, groupTable, { uses: () => group.uses(), release: () => group.close() });
}
