/**
 * `--config ioasid.json`: what does not fit a command line, as one JSON object (docs/config.schema.json). It
 * is read only when it is named.
 *
 * Its devices and links come before those of the command line, which has the last word on everything else.
 * Relative paths in it begin at its own folder. What it has no use for is refused, by file and key, before
 * anything is started.
 */
import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { describe, isRecord } from '../devices/checks.js';
import { didYouMean } from '../devices/nearest.js';
import { inWords } from '../linux/errno.js';
import { containerKinds } from '../machine/container-kinds.js';
import type { MachineArguments } from './service.js';

const MOST_BYTES = 1 << 20;

/** What an object may say: each key, and what checks its value. @throws Error naming key and value. */
type Keys = Readonly<Record<string, (value: unknown, key: string) => void>>;

const whole = (least: number, most: number) => (value: unknown, key: string) => {
  if (!(Number.isInteger(value) && (value as number) >= least && (value as number) <= most))
    wrong(key, value, `a whole number from ${least} to ${most}`);
};
const flag = (value: unknown, key: string) => {
  if (typeof value !== 'boolean') wrong(key, value, 'true or false');
};
const text = (value: unknown, key: string) => {
  if (typeof value !== 'string' || value === '') wrong(key, value, 'a text');
};

/** The keys, by what the options of the command line are called in the code. */
export const configKeys: Keys = {
  $schema: text,
  devices: (value, key) => {
    if (!Array.isArray(value)) wrong(key, value, 'a list of devices');
    for (const [n, each] of value.entries()) checkDevice(each, `${key}[${n}]`);
  },
  links: (value, key) => {
    if (!isRecord(value) || Array.isArray(value)) wrong(key, value, 'an object of links by their names');
    for (const [name, where] of Object.entries(value))
      if (!/^[^=]+$/.test(name) || !linkPath(where))
        wrong(`${key}.${name}`, where, 'like "unix:./wire.sock"');
  },
  time: (value, key) => {
    if (!(typeof value === 'number' && value > 0 && value < 1e6)) wrong(key, value, 'a number above 0');
  },
  pasidQuota: whole(0, 999_999_999),
  mappingQuota: whole(0, 999_999_999),
  objectQuota: whole(0, 999_999_999),
  tableQuota: whole(0, 999_999_999),
  fillShare: whole(0, 100),
  iommuTest: flag,
  container: (value, key) => {
    if (!containerKinds.some((kind) => kind === value))
      wrong(key, value, `one of ${containerKinds.join(', ')}`);
  },
  bindFirst: flag,
  memlock: flag,
  strict: flag,
  verbose: flag,
};

/** The keys of a device that is an object. */
export const deviceKeys: Keys = {
  model: text,
  mdevs: whole(1, 999_999),
  bdf: text,
  port: flag,
  idxd: flag,
  options: (value, key) => {
    if (!isRecord(value) || Array.isArray(value)) wrong(key, value, 'an object of options by their names');
    for (const [name, given] of Object.entries(value))
      for (const each of Array.isArray(given) ? given : [given])
        if (!/^[^,]+$/.test(String(each)) || !['string', 'number'].includes(typeof each))
          wrong(`${key}.${name}`, each, 'a text or a number, without a comma');
  },
};

/** @param given what of `options` the command line says itself. @throws Error naming file and key. */
export function withConfig<T extends MachineArguments>(
  options: T,
  path: string,
  given: (key: string) => boolean,
): T {
  const { devices = [], links = {}, $schema: _, ...others } = readConfig(path) as Config;
  const baseDirectory = dirname(resolve(path));
  const specs = devices.map((device, n) => {
    return { spec: specOf(device), baseDirectory, from: `${path}: devices[${n}]` };
  });
  const wires = Object.entries(links).map(([name, where]) => {
    const link = `${name}=${linkKind(where)}:${resolve(baseDirectory, linkPath(where)!)}`;
    return { link, from: `${path}: links.${name}` };
  });
  const rest = Object.entries(others).filter(([key]) => !given(key));
  return {
    ...options,
    ...Object.fromEntries(rest),
    device: [...specs, ...options.device],
    link: [...wires, ...options.link],
  };
}

/** A file that has been checked. */
interface Config {
  readonly $schema?: string;
  readonly devices?: readonly (string | DeviceObject)[];
  readonly links?: Readonly<Record<string, string>>;
}

interface DeviceObject {
  readonly model: string;
  readonly mdevs?: number;
  readonly bdf?: string;
  readonly port?: boolean;
  readonly idxd?: boolean;
  readonly options?: Readonly<Record<string, unknown>>;
}

/** @throws Error naming what in `path` is wrong. */
function readConfig(path: string): object {
  const source = readSource(path);
  try {
    const config: unknown = parse(source);
    if (!isRecord(config) || Array.isArray(config)) wrong('it', config, 'an object');
    checkKeys(config, configKeys, '');
    return config;
  } catch (error) {
    throw new Error(`${path}: ${(error as Error).message}`);
  }
}

function readSource(path: string): string {
  try {
    const stat = statSync(path);
    // Editors of Windows put a byte order mark first.
    if (stat.isFile() && stat.size <= MOST_BYTES) return readFileSync(path, 'utf8').replace(/^\uFEFF/, '');
  } catch (error) {
    throw new Error(`"${path}" for --config cannot be read: ${inWords(error)}`);
  }
  throw new Error(`"${path}" for --config is no file of at most ${MOST_BYTES} bytes`);
}

function parse(source: string): unknown {
  try {
    const config: unknown = JSON.parse(source);
    requireSingleKeys(source);
    return config;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    const { message } = error as Error;
    const position = Number(/position (\d+)/.exec(message)?.[1] ?? source.length);
    throw new Error(`line ${lineAt(source, position)} is no JSON: ${message.split('\n', 1)[0]}`);
  }
}

function lineAt(source: string, position: number): number {
  return source.slice(0, position).split('\n').length;
}

/** @throws Error an object in `source`, which is JSON, has a key twice: JSON.parse would take the last. */
function requireSingleKeys(source: string): void {
  const open: Set<unknown>[] = [];
  for (const { 0: token, 1: name, index } of source.matchAll(/("(?:[^"\\]|\\.)*")(?:\s*:)?|[{}]/g)) {
    if (token === '{') open.push(new Set());
    else if (token === '}') open.pop();
    else if (token.endsWith(':')) {
      const [key, keys] = [JSON.parse(name!) as string, open.at(-1)!];
      if (keys.has(key))
        throw new Error(`line ${lineAt(source, index)} has the key "${key}" for the second time`);
      keys.add(key);
    }
  }
}

function checkKeys(object: Readonly<Record<string, unknown>>, keys: Keys, prefix: string): void {
  for (const [key, value] of Object.entries(object)) {
    if (!Object.hasOwn(keys, key))
      throw new Error(`"${prefix}${key}" is no key that it may have${didYouMean(key, Object.keys(keys))}`);
    keys[key]!(value, `${prefix}${key}`);
  }
}

function checkDevice(device: unknown, key: string): void {
  if (typeof device === 'string' && device !== '') return;
  if (!isRecord(device) || Array.isArray(device)) wrong(key, device, 'a text or an object with a model');
  checkKeys(device, deviceKeys, `${key}.`);
  if (device.model === undefined) throw new Error(`${key} has no model`);
  if (String(device.model).includes(','))
    wrong(`${key}.model`, device.model, 'a name or path without a comma');
}

/** A device as `--device` has it. */
function specOf(device: string | DeviceObject): string {
  if (typeof device === 'string') return device;
  const { model, mdevs, bdf, port, idxd, options = {} } = device;
  const flags = { port: port ? 1 : undefined, idxd: idxd ? 1 : undefined };
  const values = Object.entries({ mdevs, bdf, ...flags, ...options }).flatMap(([key, value]) =>
    (Array.isArray(value) ? value : [value]).map((each: unknown) => [key, each] as const),
  );
  return [model, ...values.filter(([, value]) => value !== undefined).map((pair) => pair.join('='))].join(
    ',',
  );
}

function linkPath(where: unknown): string | undefined {
  return typeof where === 'string' ? /^(?:unix|bytes):(.+)$/.exec(where)?.[1] : undefined;
}

function linkKind(where: string): string {
  return where.slice(0, where.indexOf(':'));
}

function wrong(key: string, value: unknown, right: string): never {
  throw new Error(`${key} is ${describe(value)}, not ${right}`);
}
