/**
 * `--bind-first`: a device file that does nothing before it is bound, as a character device of Linux's VFIO
 * (7.3, vfio_main.c: access_granted).
 *
 * Until then all is EINVAL but BIND_IOMMUFD, and the native ABI's AUTHORIZE in its place, which is that ABI's
 * own check. From then on the file is open to its program until it is closed, whatever is detached or
 * revoked. A file that was had through a group is bound already.
 */
import { hex, refuse } from '../linux/errno.js';
import type { VfioDevice } from '../vfio/device.js';
import { ioctlNumber } from './ioasid.js';
import { ioctlKey } from './ioctl.js';
import { VFIO_DEVICE_BIND_IOMMUFD } from './vfio-cdev.js';

const AUTHORIZE = ioctlKey(ioctlNumber('IOASID_AUTHORIZE'));

/** May the program do that: ioctl `key`, or without one a read or write? @throws Refusal EINVAL. */
export function checkGranted(device: VfioDevice, key: number | undefined): void {
  if (device.life.granted || key === VFIO_DEVICE_BIND_IOMMUFD || key === AUTHORIZE) return;
  const what = key === undefined ? 'can be read or written' : `takes ioctl ${hex(key)}`;
  refuse('EINVAL', `${device.name} ${what} only after BIND_IOMMUFD or IOASID_AUTHORIZE (--bind-first)`);
}
