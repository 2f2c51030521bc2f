/**
 * The bus `vdpa` in sysfs: its devices, all of which Linux's driver `vhost_vdpa` has, each with its file.
 * They are below no function, as those of a simulator. The tool `vdpa` asks the kernel by netlink, not here.
 */
import { folderOf } from '../file/attributes.js';
import { VHOST_VDPA_MAJOR } from '../file/device-numbers.js';
import type { VdpaDevice } from '../vdpa/device.js';
import { BusDevice, type SysfsFolder } from './bus-device.js';
import { ClassDevice } from './class-device.js';
import { uevent } from './uevent.js';

const DRIVER = 'vhost_vdpa';

export class VdpaBus {
  readonly files: readonly ClassDevice[];
  readonly #devices: readonly BusDevice[];

  constructor(devices: readonly VdpaDevice[]) {
    this.files = devices.map(({ life: { name } }, minor) => {
      const number = { major: VHOST_VDPA_MAJOR, minor, devName: name };
      return new ClassDevice(undefined, `devices/vdpa${minor}/${name}`, 1, number);
    });
    this.#devices = this.files.map(({ name, folder }, n) => {
      const variables = uevent(() => [`DRIVER=${DRIVER}`]);
      const driver = { kind: 'link', target: `../../bus/vdpa/drivers/${DRIVER}` } as const;
      return new BusDevice('bus/vdpa', `devices/vdpa${n}`, [
        ['uevent', variables],
        ['driver', driver],
        [name, folder],
      ]);
    });
  }

  /** Its folders below /sys, by their paths. */
  folders(): readonly SysfsFolder[] {
    if (this.#devices.length === 0) return [];
    const devices = folderOf(this.#devices.map(({ name, fromBus }) => [name, fromBus]));
    const driver = folderOf(this.#devices.map(({ name, fromDriver }) => [name, fromDriver]));
    const drivers = folderOf([[DRIVER, driver]]);
    return [
      [
        'bus/vdpa',
        folderOf([
          ['devices', devices],
          ['drivers', drivers],
        ]),
      ],
      ...this.#devices.map(({ name, folder }) => [`devices/${name}`, folder] as const),
    ];
  }
}
