/**
 * `--bind-first`: a device file that does nothing before it is bound, as a character device of Linux's VFIO
 * (7.3, vfio_main.c: access_granted).
 *
 * The file can be open any number of times, and one of them at a time has the device: that by which
 * BIND_IOMMUFD was called, or the native ABI's AUTHORIZE in its place, which is that ABI's own check. Before
 * that all else is EINVAL. From then on the device is that open's until it is closed, whatever is detached or
 * revoked; for the others BIND is EINVAL as long. A file that was had through a group is bound already.
 */
import type { Caller } from '../file/open-file.js';
import { finished } from '../file/work.js';
import { hex, refuse } from '../linux/errno.js';
import type { VfioDevice } from '../vfio/device.js';
import { DeviceFile, type FileOperations } from './device-file.js';
import { ioctlNumber } from './ioasid.js';
import { type Ioctl, type IoctlHandler, type IoctlTable, ioctlKey } from './ioctl.js';
import { regionOperations } from './vfio.js';
import { exactTable, unknownIoctls } from './vfio-call.js';
import { BindStruct, bindThrough, type Opening, VFIO_DEVICE_BIND_IOMMUFD } from './vfio-cdev.js';

const AUTHORIZE = ioctlKey(ioctlNumber('IOASID_AUTHORIZE'));

/** One more open of the file of `device`, whose ioctls are `table`. */
export function openUnbound(device: VfioDevice, table: IoctlTable<VfioDevice>): DeviceFile<VfioDevice> {
  if (device.life.withdrawn) refuse('ENODEV', `${device.name} is nobody's to open: no driver has it`);
  const open = new UnboundOpen(device);
  const authorize = table.get(AUTHORIZE)!;
  const bind: IoctlHandler<VfioDevice> = (_, ...call) => bindThrough(open, device, ...call);
  const taking: [number, Ioctl<VfioDevice>][] = [
    ...exactTable({ VFIO_DEVICE_BIND_IOMMUFD: [VFIO_DEVICE_BIND_IOMMUFD, BindStruct, bind] }),
    [
      AUTHORIZE,
      {
        ...authorize,
        handle: (_, caller, call) => open.take(caller, () => authorize.handle(device, caller, call)),
      },
    ],
  ];
  const operations: FileOperations = {
    ...regionOperations(device),
    check: (cmd) => open.check(cmd),
    flush: () => (open.has ? device.flush() : undefined),
    release: () => (open.has ? device.close() : undefined),
  };
  return new DeviceFile(device, new Map([...table, ...taking]), operations, unknownIoctls);
}

class UnboundOpen implements Opening {
  readonly #device: VfioDevice;
  #has = false;

  constructor(device: VfioDevice) {
    this.#device = device;
  }

  /** Is it the one that has the device? */
  get has(): boolean {
    return this.#has;
  }

  get bound(): boolean {
    return this.#has && this.#device.bound;
  }

  /** May the program do that: ioctl `cmd`, or without one a read or write? @throws Refusal EINVAL. */
  check(cmd: number | undefined): void {
    if (this.#has || cmd === VFIO_DEVICE_BIND_IOMMUFD) return;
    if (cmd !== undefined && ioctlKey(cmd) === AUTHORIZE) return;
    const what = cmd === undefined ? 'can be read or written' : `takes ioctl ${hex(cmd)}`;
    const { name } = this.#device;
    refuse('EINVAL', `${name} ${what} only after BIND_IOMMUFD or IOASID_AUTHORIZE (--bind-first)`);
  }

  /** @throws Refusal EBUSY when its group is open, EINVAL when another open has the device. */
  take<T>(caller: Caller, act: () => T): T {
    if (this.#has) return act();
    const { life, name } = this.#device;
    this.#device.checkUngrouped();
    if (life.holder !== undefined)
      refuse('EINVAL', `${name} is bound through another open of its file, of process ${life.holder}`);
    life.open(caller.pid);
    try {
      const result = act();
      this.#has = true;
      return result;
    } catch (error) {
      // It has no authorization that would have to be drained.
      finished(life.close());
      throw error;
    }
  }
}
