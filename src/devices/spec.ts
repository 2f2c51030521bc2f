/**
 * DeviceSpec: the words after `--device`, taken apart.
 *
 *     SPEC = NAME [,KEY=VALUE]...
 *
 *     dsa    edu,dma-mask=0xffffffff    ./my-device.js,mdevs=2,bdf=0000:6a:01.0    a-package
 *
 * What is wrong with them is an Error with one sentence for the person who typed.
 */
import type { DeviceOptions } from './device-model.js';
import { machineOptions } from './machine-options.js';
import { naming } from './thrown.js';

/** One `--device` argument, taken apart. */
export interface DeviceSpec {
  /** A built-in device, a path, or a package. */
  readonly name: string;
  /** How many mediated devices to make of the function; 0: it is used whole. */
  readonly mdevs: number;
  /** It is Linux's own, served by the driver idxd in place of VFIO. */
  readonly idxd?: boolean;
  /** Its PCI address, with domain, in lower case: `0000:6a:01.0`. Absent: the machine chooses. */
  readonly bdf?: string;
  /** It lies behind a port, whose bus can be reset. */
  readonly port?: boolean;
  /** The rest, for the model's factory. */
  readonly options: DeviceOptions;
}

/**
 * Splits one `--device` argument. An option that may be given several times has its values with commas
 * between them, which no value has. @throws Error naming the part at fault.
 */
export function parseDeviceSpec(
  spec: string,
  mayRepeat: (option: string) => boolean = () => false,
): DeviceSpec {
  const [name = '', ...parts] = spec.split(',');
  if (name.trim() !== name || name === '')
    throw new Error(`device "${spec}" does not begin with the name of a device`);
  const given = new Map<string, string>();
  for (const part of parts) {
    const [key, value] = parseOption(part, spec);
    const before = given.get(key);
    if (before !== undefined && (isOfMachine(key) || !mayRepeat(key)))
      throw new Error(`option "${key}" is given twice in "${spec}"`);
    given.set(key, before === undefined ? value : `${before},${value}`);
  }
  const options = Object.fromEntries([...given].filter(([key]) => !isOfMachine(key)));
  return { name, ...machineValues(given, spec), options: Object.freeze(options) };
}

function isOfMachine(key: string): boolean {
  return Object.hasOwn(machineOptions.pci, key);
}

/** What `given` has for the machine. */
function machineValues(
  given: ReadonlyMap<string, string>,
  spec: string,
): Pick<DeviceSpec, 'mdevs' | 'bdf' | 'port' | 'idxd'> {
  const { pci } = machineOptions;
  const { mdevs, bdf, idxd, port } = naming(`device "${spec}"`, () => ({
    mdevs: pci.mdevs.parse(given.get('mdevs'), 'mdevs'),
    bdf: pci.bdf.parse(given.get('bdf'), 'bdf'),
    idxd: pci.idxd.parse(given.get('idxd'), 'idxd'),
    port: pci.port.parse(given.get('port'), 'port'),
  }));
  if (idxd && mdevs > 0) throw new Error(`"${spec}": the driver idxd has the function whole, without mdevs`);
  if (port && (idxd || mdevs > 0))
    throw new Error(`"${spec}": behind a port a function is whole, and its driver is vfio-pci`);
  return {
    mdevs,
    ...(idxd ? { idxd } : {}),
    ...(bdf === undefined ? {} : { bdf }),
    ...(port ? { port } : {}),
  };
}

function parseOption(part: string, spec: string): [key: string, value: string] {
  const equals = part.indexOf('=');
  const key = equals === -1 ? part : part.slice(0, equals);
  if (!/^[A-Za-z][A-Za-z0-9_-]*$/.test(key))
    throw new Error(`"${part}" in "${spec}" is not an option of the form KEY=VALUE`);
  if (equals === -1 || equals === part.length - 1)
    throw new Error(`option "${key}" in "${spec}" has no value`);
  return [key, part.slice(equals + 1)];
}
