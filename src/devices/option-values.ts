/** Values of options of `--device`: what a text means, or one sentence on what is wrong with it. */
import type { DeviceOptions } from './device-model.js';

/** @throws Error naming an option that is not `known`. */
export function refuseUnknown(device: string, options: DeviceOptions, known: readonly string[]): void {
  for (const name of Object.keys(options)) {
    if (!known.includes(name))
      throw new Error(`${device} has no option "${name}" (it has ${known.join(', ')})`);
  }
}

/** A decimal number from `least` to `most`; `absent` when the option is not given. @throws Error. */
export function integer(
  options: DeviceOptions,
  name: string,
  absent: number,
  least: number,
  most: number,
): number {
  const text = options[name];
  if (text === undefined) return absent;
  const value = /^[0-9]{1,9}$/.test(text) ? Number(text) : -1;
  if (value < least || value > most)
    throw new Error(`${name} "${text}" is not a number from ${least} to ${most}`);
  return value;
}

/** One of `values`. @throws Error. */
export function choice<T extends string>(
  options: DeviceOptions,
  name: string,
  absent: T,
  values: readonly T[],
): T {
  const text = options[name] ?? absent;
  const found = values.find((value) => value === text);
  if (found === undefined) throw new Error(`${name} "${text}" is not ${values.join(' or ')}`);
  return found;
}
