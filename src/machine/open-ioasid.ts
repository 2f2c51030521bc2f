/** What an open of /dev/ioasid stands for: a context of its own. */
import type { Caller, OpenFile } from '../file/open-file.js';
import type { IoasidSubsystem } from '../ioasid/subsystem.js';
import { DeviceFile } from '../uapi/device-file.js';
import { contextTable } from '../uapi/ioasid.js';
import { contextOperations } from '../uapi/ioasid-faults.js';

export function openIoasid(ioasid: IoasidSubsystem, caller: Caller): OpenFile {
  const context = ioasid.open(caller.pid, caller.payer);
  return new DeviceFile(context, contextTable, contextOperations(context));
}
