/**
 * From the words after `--device` to a plan by which its model is made: `parseDeviceSpec` splits them,
 * `loadDevice` finds the module. Both refuse with one sentence for the person who typed.
 *
 *     SPEC = NAME [,KEY=VALUE]...
 *
 *     dsa    edu,dma-mask=0xffffffff    ./my-device.js,mdevs=2,bdf=0000:6a:01.0    a-package
 */
import { existsSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isAbsolute, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { refuse } from '../linux/errno.js';
import { describe, isRecord } from './checks.js';
import type { DeviceFactory, DeviceHost, DeviceModel, DeviceOptions } from './device-model.js';
import { ModelCalls } from './model-calls.js';
import { didYouMean } from './nearest.js';
import { flag, type OptionTable } from './options.js';
import { callFactory, refuseImport } from './thrown.js';
import type { VirtioFactory, VirtioHost, VirtioModel } from './virtio/virtio-model.js';

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

/** What a module tells of its device to people, as far as it does. */
export interface DeviceAbout {
  /** What it is, in a few words. */
  readonly summary?: string;
  readonly options?: OptionTable;
}

/** A `--device` argument whose relative paths begin somewhere of its own. */
export interface PlacedSpec {
  /** The argument. */
  readonly spec: string;
  /** Where they begin. */
  readonly baseDirectory: string;
}

/** A module of a device: what its models are, and what makes them. */
export type LoadedDevice = { readonly about: DeviceAbout } & (
  | { readonly transport: 'pci'; readonly factory: DeviceFactory }
  | { readonly transport: 'virtio'; readonly factory: VirtioFactory }
);

/** What one `--device` argument asks for, with its module loaded. */
export type DevicePlan = PciPlan | VirtioPlan;

interface Plan {
  /** The argument, or the name of a factory. */
  readonly spec: string;
  readonly bdf?: string;
  readonly port?: boolean;
  /** Where relative paths in its options begin. */
  readonly baseDirectory: string;
  /** Whose work its module does, from its loading on. */
  readonly calls: ModelCalls;
}

/** A PCI function. `make` makes its model. @throws Error when one of its options is wrong. */
export interface PciPlan extends Plan {
  readonly transport: 'pci';
  readonly mdevs: number;
  readonly idxd: boolean;
  make(host: DeviceHost): DeviceModel;
}

/** A virtio device, as above. */
export interface VirtioPlan extends Plan {
  readonly transport: 'virtio';
  make(host: VirtioHost): VirtioModel;
}

/** What the machine takes of devices itself. */
const common: readonly string[] = ['mdevs', 'bdf', 'port', 'idxd'];

/** Each is loaded when it is asked for, and not before. */
const builtIns: Readonly<Record<string, () => Promise<unknown>>> = {
  dsa: () => import('./dsa/index.js'),
  edu: () => import('./edu.js'),
  nvme: () => import('./nvme/index.js'),
  'virtio-blk': () => import('./virtio/blk.js'),
  'virtio-net': () => import('./virtio/net.js'),
};

/** The names of the devices that ioasid brings. */
export const builtInDevices: readonly string[] = Object.keys(builtIns);

/**
 * What `device` asks for: a `--device` argument, or a factory itself, which is given no options and named in
 * messages by its own name. @throws Refusal as parseDeviceSpec and loadDevice; EINVAL a virtio device is to
 * be cut into mediated devices or to be idxd's, or it is neither.
 */
export async function planDevice(
  device: string | PlacedSpec | DeviceFactory,
  baseDirectory: string,
): Promise<DevicePlan> {
  if (typeof device === 'function') return planOf(device, baseDirectory);
  if (typeof device === 'string') return planSpec(device, baseDirectory);
  if (isRecord(device) && typeof device.spec === 'string') return planSpec(device.spec, device.baseDirectory);
  return refuse('EINVAL', `a device is ${describe(device)}, not a factory or a text`);
}

async function planSpec(spec: string, baseDirectory: string): Promise<DevicePlan> {
  const calls = new ModelCalls(spec);
  const { name } = parseDeviceSpec(spec, () => true);
  const device = await calls.import(() => loadDevice(name, baseDirectory));
  const { transport, about } = device;
  const mayRepeat = (key: string) => about.options?.[key]?.repeatable === true;
  const { options, mdevs, idxd = false, name: _name, ...place } = parseDeviceSpec(spec, mayRepeat);
  const plan = { spec, calls, baseDirectory, ...place };
  if (transport === 'pci') {
    const make = (host: DeviceHost) => callFactory(name, () => device.factory(host, options));
    return { transport, ...plan, mdevs, idxd, make };
  }
  if (mdevs > 0) refuse('EINVAL', `"${spec}": a virtio device cannot be cut into mediated devices`);
  if (idxd) refuse('EINVAL', `"${spec}": Linux's driver idxd is for PCI functions, not for virtio devices`);
  if (place.port) refuse('EINVAL', `"${spec}": a port is for a PCI function, not for a virtio device`);
  const make = (host: VirtioHost) => callFactory(name, () => device.factory(host, options));
  return { transport, ...plan, make };
}

/** A whole function, made by `factory`. */
function planOf(factory: DeviceFactory, baseDirectory: string): PciPlan {
  const name = factory.name || 'a factory';
  const make = (host: DeviceHost) => callFactory(name, () => factory(host, {}));
  const calls = new ModelCalls(name);
  return { transport: 'pci', spec: name, calls, baseDirectory, mdevs: 0, idxd: false, make };
}

/**
 * Splits one `--device` argument. An option that may be given several times has its values with commas
 * between them, which no value has. @throws Refusal EINVAL naming the part at fault.
 */
export function parseDeviceSpec(
  spec: string,
  mayRepeat: (option: string) => boolean = () => false,
): DeviceSpec {
  const [name = '', ...parts] = spec.split(',');
  if (name.trim() !== name || name === '')
    refuse('EINVAL', `device "${spec}" does not begin with the name of a device`);
  const given = new Map<string, string>();
  for (const part of parts) {
    const [key, value] = parseOption(part, spec);
    const before = given.get(key);
    if (before !== undefined && (common.includes(key) || !mayRepeat(key)))
      refuse('EINVAL', `option "${key}" is given twice in "${spec}"`);
    given.set(key, before === undefined ? value : `${before},${value}`);
  }
  const mdevs = parseMdevs(given.get('mdevs'));
  const bdf = parseBdf(given.get('bdf'));
  const idxd = flag('').parse(given.get('idxd'), 'idxd');
  if (idxd && mdevs > 0) refuse('EINVAL', `"${spec}": the driver idxd has the function whole, without mdevs`);
  const port = flag('').parse(given.get('port'), 'port');
  if (port && (idxd || mdevs > 0))
    refuse('EINVAL', `"${spec}": behind a port a function is whole, and its driver is vfio-pci`);
  for (const key of common) given.delete(key);
  return {
    name,
    mdevs,
    ...(idxd ? { idxd } : {}),
    ...(bdf === undefined ? {} : { bdf }),
    ...(port ? { port } : {}),
    options: Object.freeze(Object.fromEntries(given)),
  };
}

function parseOption(part: string, spec: string): [key: string, value: string] {
  const equals = part.indexOf('=');
  const key = equals === -1 ? part : part.slice(0, equals);
  if (!/^[a-z][a-z0-9_-]*$/i.test(key))
    refuse('EINVAL', `"${part}" in "${spec}" is not an option of the form KEY=VALUE`);
  if (equals === -1 || equals === part.length - 1)
    refuse('EINVAL', `option "${key}" in "${spec}" has no value`);
  return [key, part.slice(equals + 1)];
}

function parseMdevs(text: string | undefined): number {
  if (text === undefined) return 0;
  const count = /^[0-9]{1,6}$/.test(text) ? Number(text) : 0;
  if (count === 0) refuse('EINVAL', `mdevs "${text}" is not a number of mediated devices from 1 up`);
  return count;
}

function parseBdf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const match = /^(?:([0-9a-f]{4}):)?([0-9a-f]{2}:[01][0-9a-f]\.[0-7])$/i.exec(text);
  if (match === null) refuse('EINVAL', `bdf "${text}" is not a PCI address like 0000:6a:01.0`);
  return `${match[1] ?? '0000'}:${match[2]}`.toLowerCase();
}

/**
 * The module of the device called `name`: a built-in one, the module at a path, or a package that is
 * installed for `baseDirectory`.
 * @throws Refusal ENOENT there is no such device; EINVAL it cannot be loaded, or does not export a factory by
 * default.
 */
export async function loadDevice(name: string, baseDirectory: string): Promise<LoadedDevice> {
  const builtIn = Object.hasOwn(builtIns, name) ? builtIns[name] : undefined;
  const module = await (builtIn === undefined ? importModule(name, baseDirectory) : builtIn());
  const factory = defaultExport(module, name);
  const { transport = 'pci', summary, options } = module as DeviceAbout & { transport?: unknown };
  const about = { ...(summary && { summary }), ...(options && { options }) };
  if (transport === 'pci') return { transport, about, factory: factory as DeviceFactory };
  if (transport === 'virtio') return { transport, about, factory: factory as VirtioFactory };
  return refuse('EINVAL', `device "${name}" exports transport ${String(transport)}, not pci or virtio`);
}

async function importModule(name: string, baseDirectory: string): Promise<unknown> {
  const url = isPath(name) ? fileUrl(name, baseDirectory) : packageUrl(name, baseDirectory);
  try {
    return await import(url);
  } catch (error) {
    return refuseImport(name, url, error);
  }
}

function isPath(name: string): boolean {
  return isAbsolute(name) || /^\.{1,2}(\/|$)/.test(name);
}

function fileUrl(name: string, baseDirectory: string): string {
  const path = resolve(baseDirectory, name);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) refuse('ENOENT', `device "${name}": there is no file ${path}`);
  if (!stat.isFile()) refuse('EINVAL', `device "${name}": ${path} is not a file`);
  return pathToFileURL(path).href;
}

/** Packages are looked for from `baseDirectory`, then where ioasid itself is installed. */
function packageUrl(name: string, baseDirectory: string): string {
  for (const from of [join(resolve(baseDirectory), 'package.json'), import.meta.url]) {
    try {
      const path = createRequire(from).resolve(name);
      return isAbsolute(path) ? pathToFileURL(path).href : path;
    } catch {
      // Not there; what is said below is about all of the places.
    }
  }
  return refuse('ENOENT', `there is no device "${name}"${hint(name, baseDirectory)}`);
}

function hint(name: string, baseDirectory: string): string {
  if (existsSync(resolve(baseDirectory, name))) return `; for the file of this name write ./${name}`;
  const meant = didYouMean(name, builtInDevices);
  if (meant !== '') return meant;
  const builtIn = `it is not built in (${builtInDevices.join(', ')})`;
  return `: ${builtIn}, not a path (./${name}), and no package of that name is installed`;
}

function defaultExport(module: unknown, name: string): unknown {
  let found = (module as { default?: unknown }).default;
  // What a compiler makes of `export default` in CommonJS arrives wrapped once more.
  if (typeof found === 'object' && found !== null && 'default' in found) found = found.default;
  // An ES module's own namespace, and the empty exports of a CommonJS module, both export nothing by default.
  if (found === undefined || isEmptyObject(found))
    refuse('EINVAL', `device "${name}" has no default export${exportsOf(module)}`);
  if (typeof found !== 'function')
    refuse('EINVAL', `device "${name}" exports by default ${typeof found}, not a function`);
  if (/^class\b/.test(Function.prototype.toString.call(found))) {
    refuse(
      'EINVAL',
      `device "${name}" exports a class by default, not a function (host, options) that makes the model`,
    );
  }
  return found;
}

/** What a module exports in place of a default. */
function exportsOf(module: unknown): string {
  const names = Object.keys(module as object).filter(
    (name) => name !== 'default' && name !== 'module.exports',
  );
  return names.length === 0 ? '' : `: it exports ${names.slice(0, 5).join(', ')}`;
}

function isEmptyObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}
