/** The kernel's modules in sysfs. */
import { folderOf } from '../file/attributes.js';
import type { SysfsFolder } from './bus-device.js';
import { shown } from './values.js';

/** A module with one of its parameters, and the driver of a bus that it brings, if it does. */
export function moduleFolder(
  module: string,
  parameter: string,
  value: string | number,
  driver?: readonly [bus: string, driver: string],
): SysfsFolder {
  const parameters = folderOf([[parameter, shown(() => value)]]);
  const drivers = (bus: string, name: string) =>
    folderOf([[`${bus}:${name}`, { kind: 'link', target: `../../../bus/${bus}/drivers/${name}` }]]);
  const rest = driver === undefined ? [] : [['drivers', drivers(...driver)] as const];
  return [`module/${module}`, folderOf([['parameters', parameters], ...rest])];
}
