/** What an open of a work queue stands for: a client of it. */
import type { Caller, OpenFile } from '../file/open-file.js';
import type { WqClient } from '../idxd/client.js';
import type { IdxdDevice } from '../idxd/device.js';
import type { IdxdWq } from '../idxd/wq.js';
import { DeviceFile } from '../uapi/device-file.js';
import { wqOperations } from '../uapi/idxd-file.js';
import type { IoctlTable } from '../uapi/ioctl.js';

const noIoctls: IoctlTable<WqClient> = new Map();

export function openWq(device: IdxdDevice, wq: IdxdWq, caller: Caller): OpenFile {
  const client = device.open(wq, caller);
  return new DeviceFile(client, noIoctls, wqOperations(device, client));
}
