/**
 * From the words after `--device` (spec.ts) to a plan by which its model is made: `loadDevice` finds the
 * module, and says in one sentence for the person who typed why there is none.
 */
import { existsSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isAbsolute, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { refuse } from '../linux/errno.js';
import { describe, isRecord } from './checks.js';
import type { DeviceFactory, DeviceHost, DeviceModel } from './device-model.js';
import { machineOptions } from './machine-options.js';
import { ModelCalls } from './model-calls.js';
import { didYouMean } from './nearest.js';
import { checkOptions, type OptionTable, requireKnown } from './options.js';
import { parseDeviceSpec } from './spec.js';
import { callFactory, naming, refuseImport, saidOf } from './thrown.js';
import type { VirtioFactory, VirtioHost, VirtioModel } from './virtio/virtio-model.js';

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
  /** Where it is written, as `ioasid.json: devices[0]`: what there is to say of it begins so. */
  readonly from?: string;
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
  /** What sentences about it begin with: `device "./x.mjs"`, `devices[1]`; where it is written before. */
  readonly title: string;
  readonly bdf?: string;
  readonly port?: boolean;
  /** Where relative paths in its options begin. */
  readonly baseDirectory: string;
  /** As of PlacedSpec. */
  readonly from?: string;
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

interface BuiltIn {
  /** It is loaded when it is asked for, and not before. */
  readonly load: () => Promise<unknown>;
  readonly opensFiles: boolean;
}

const builtIns: ReadonlyMap<string, BuiltIn> = new Map([
  ['dsa', { load: () => import('./dsa/index.js'), opensFiles: false }],
  ['edu', { load: () => import('./edu.js'), opensFiles: false }],
  ['nvme', { load: () => import('./nvme/index.js'), opensFiles: true }],
  ['virtio-blk', { load: () => import('./virtio/blk.js'), opensFiles: true }],
  ['virtio-net', { load: () => import('./virtio/net.js'), opensFiles: false }],
]);

/**
 * May what `device` asks for keep this thread while it is made, by code of others or a file that does not
 * come?
 */
export function mayKeepUs(device: string | PlacedSpec): boolean {
  const spec = typeof device === 'string' ? device : device.spec;
  return builtIns.get(spec.split(',')[0]!)?.opensFiles ?? true;
}

/** The names of the devices that ioasid brings. */
export const builtInDevices: readonly string[] = [...builtIns.keys()];

/**
 * What `device` asks for: a `--device` argument, or a factory itself, which is given no options and named in
 * messages by its place among `devices`. @throws Refusal as loadDevice; EINVAL it is neither. @throws Error
 * as parseDeviceSpec, or naming an option that neither the machine nor the model's table has.
 */
export async function planDevice(
  device: string | PlacedSpec | DeviceFactory,
  baseDirectory: string,
  index = 0,
): Promise<DevicePlan> {
  if (typeof device === 'function') return planOf(device, baseDirectory, `devices[${index}]`);
  if (typeof device === 'string') return planSpec(device, baseDirectory);
  if (isRecord(device) && typeof device.spec === 'string') return planPlaced(device);
  return refuse('EINVAL', `devices[${index}] is ${describe(device)}, not a factory or a text`);
}

async function planPlaced({ spec, baseDirectory, from }: PlacedSpec): Promise<DevicePlan> {
  if (from === undefined) return planSpec(spec, baseDirectory);
  const plan = await planSpec(spec, baseDirectory).catch((error: unknown) => saidOf(from, error));
  return { ...plan, from, title: `${from}: ${plan.title}` };
}

async function planSpec(spec: string, baseDirectory: string): Promise<DevicePlan> {
  const calls = new ModelCalls(spec);
  const { name } = parseDeviceSpec(spec, () => true);
  const device = await calls.importing(() => loadDevice(name, baseDirectory));
  const { transport, about } = device;
  const mayRepeat = (key: string) => about.options?.[key]?.repeatable === true;
  const { options, name: _name, ...ofMachine } = parseDeviceSpec(spec, mayRepeat);
  // A module without a table reads its own options.
  const known = about.options ?? options;
  const given = Object.entries({ ...options, ...ofMachine }).filter(([, value]) => value);
  requireKnown(
    name,
    given.map(([key]) => key),
    Object.keys({ ...known, ...machineOptions[transport] }),
  );
  const { mdevs, idxd = false, ...place } = ofMachine;
  const plan = { spec, title: `device "${spec}"`, calls, baseDirectory, ...place };
  if (transport === 'pci') {
    const make = (host: DeviceHost) => callFactory('the factory', () => device.factory(host, options));
    return { transport, ...plan, mdevs, idxd, make };
  }
  const make = (host: VirtioHost) => callFactory('the factory', () => device.factory(host, options));
  return { transport, ...plan, make };
}

/** A whole function, made by `factory`. */
function planOf(factory: DeviceFactory, baseDirectory: string, title: string): PciPlan {
  const spec = factory.name || title;
  const make = (host: DeviceHost) => callFactory('the factory', () => factory(host, {}));
  const calls = new ModelCalls(spec);
  return { transport: 'pci', spec, title, calls, baseDirectory, mdevs: 0, idxd: false, make };
}

/**
 * The module of the device called `name`: a built-in one, the module at a path, or a package that is
 * installed for `baseDirectory`.
 * @throws Refusal ENOENT there is no such device; EINVAL it cannot be loaded, or does not export a factory by
 * default.
 */
export async function loadDevice(name: string, baseDirectory: string): Promise<LoadedDevice> {
  const module = await (builtIns.get(name)?.load() ?? importModule(name, baseDirectory));
  const factory = defaultExport(module, name);
  const { transport = 'pci', summary, options } = module as DeviceAbout & { transport?: unknown };
  if (options !== undefined) naming(`device "${name}"`, () => checkOptions('its module', options));
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
