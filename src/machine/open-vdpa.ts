/** What an open of a vhost-vdpa device stands for: the one that there is. */
import { type Caller, type EventStream, type OpenFile, READABLE, WRITABLE } from '../file/open-file.js';
import { DeviceFile } from '../uapi/device-file.js';
import { deviceTable } from '../uapi/ioasid.js';
import { vhostIoctls } from '../uapi/vhost.js';
import { MessageStruct, writeMessage } from '../uapi/vhost-iotlb.js';
import type { VdpaDevice } from '../vdpa/device.js';

/** A file without offsets that is always ready for both. */
const alwaysReady: EventStream = { ready: () => READABLE | WRITABLE, arrivals: () => 0 };

export function openVdpa(device: VdpaDevice, caller: Caller): OpenFile {
  device.life.open(caller.pid);
  device.iotlb.opened(caller.payer);
  const operations = {
    stream: alwaysReady,
    writes: MessageStruct,
    uses: device.uses.bind(device),
    write: (_offset: number, source: Uint8Array, writer: Caller) => writeMessage(device, writer, source),
    flush: () => device.flush(),
    release: () => device.close(),
  };
  return new DeviceFile(device, deviceTable, operations, vhostIoctls);
}
