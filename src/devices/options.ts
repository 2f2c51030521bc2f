/**
 * The options of a device model, as data: the keys that `--device NAME,KEY=VALUE` may have, what they mean,
 * and how their texts become values.
 *
 * A model's module exports its table as `options`, by which `ioasid devices` tells them, and its factory
 * reads what it is given by `parseOptions`, so that what is told is what is taken.
 */
import { refuse } from '../linux/errno.js';
import { checkKeys, describe, isRecord, type NamesOf } from './checks.js';
import type { DeviceOptions } from './device-model.js';
import { didYouMean } from './nearest.js';

/** One key. */
export interface Option<T> {
  /** In a few words. */
  readonly what: string;
  /** What may stand behind `=`, in a few words: `1 to 64`, `PATH`. */
  readonly values: string;
  /** What holds where it is not given, in a few words. Absent: it must be given. */
  readonly otherwise?: string;
  /** It may be given several times: its text has the values with commas between them. */
  readonly repeatable?: true;
  /** `text` is undefined where it is not given. @throws Error saying what is wrong with it. */
  parse(text: string | undefined, key: string): T;
}

const optionKeys: NamesOf<Option<unknown>> = { what: 0, values: 0, otherwise: 0, repeatable: 0, parse: 0 };

/** The options of a device, by key. */
export type OptionTable = Readonly<Record<string, Option<unknown>>>;

/** What the options of a table come to. */
export type OptionValues<Table extends OptionTable> = {
  readonly [Key in keyof Table]: Table[Key] extends Option<infer Value> ? Value : never;
};

/**
 * The values of what is `given` to the device called `name`. @throws Error naming the option that is not in
 * `table`, must be given, or has a value that it cannot have.
 */
export function parseOptions<Table extends OptionTable>(
  name: string,
  table: Table,
  given: DeviceOptions,
): OptionValues<Table> {
  checkOptions(name, table);
  requireKnown(name, Object.keys(given), Object.keys(table));
  const values: Record<string, unknown> = {};
  for (const [key, option] of Object.entries(table)) {
    if (given[key] === undefined && option.otherwise === undefined)
      throw new Error(`${name} needs ${key}=${option.values}, ${option.what}`);
    values[key] = option.parse(given[key], key);
  }
  return values as OptionValues<Table>;
}

/** @throws Error the device called `name` has an option that is given and not `known`. */
export function requireKnown(name: string, given: readonly string[], known: readonly string[]): void {
  const has = known.length === 0 ? 'none' : known.join(', ');
  for (const key of given)
    if (!known.includes(key))
      throw new Error(`${name} has no option "${key}" (it has ${has})${didYouMean(key, known)}`);
}

/** @throws Refusal EINVAL an option of `table` is none, as that of a helper that was given too little is. */
export function checkOptions(name: string, table: OptionTable): void {
  if (!isRecord(table)) refuse('EINVAL', `the options of ${name} are ${describe(table)}, not a table`);
  for (const [key, option] of Object.entries(table)) {
    const what = `option "${key}" of ${name}`;
    if (!isRecord(option)) refuse('EINVAL', `${what} is ${describe(option)}, not an option`);
    checkKeys(what, option, optionKeys);
    for (const text of ['what', 'values'] as const)
      if (typeof option[text] !== 'string') refuse('EINVAL', `${what} has no text "${text}"`);
    if (typeof option.parse !== 'function') refuse('EINVAL', `${what} has no method parse`);
  }
}

/** A decimal number from `least` to `most`. @throws Refusal EINVAL `otherwise` is none. */
export function integer(what: string, otherwise: number, least: number, most: number): Option<number> {
  checkNumbers(`integer("${what}")`, otherwise, least, most);
  return {
    what,
    values: `${least} to ${most}`,
    otherwise: String(otherwise),
    parse(text, key) {
      if (text === undefined) return otherwise;
      const value = /^[0-9]{1,9}$/.test(text) ? Number(text) : -1;
      if (value < least || value > most)
        throw new Error(`${key} "${text}" is not a number from ${least} to ${most}`);
      return value;
    },
  };
}

/** A power of two from `least` to `most`, which are such. @throws Refusal EINVAL `otherwise` is none. */
export function powerOfTwo(what: string, otherwise: number, least: number, most: number): Option<number> {
  checkNumbers(`powerOfTwo("${what}")`, otherwise, least, most);
  const values = `a power of two from ${least} to ${most}`;
  return {
    what,
    values,
    otherwise: String(otherwise),
    parse(text, key) {
      if (text === undefined) return otherwise;
      const value = /^[0-9]{1,15}$/.test(text) ? Number(text) : 0;
      if (value < least || value > most || !Number.isInteger(Math.log2(value)))
        throw new Error(`${key} "${text}" is not ${values}`);
      return value;
    },
  };
}

/** The default of a helper, and its limits. */
function checkNumbers(helper: string, otherwise: unknown, least: unknown, most: unknown): void {
  for (const [name, value] of Object.entries({ otherwise, least, most }))
    if (!Number.isInteger(value))
      refuse('EINVAL', `${name} of ${helper} is ${describe(value)}, not an integer`);
  if ((otherwise as number) < (least as number) || (otherwise as number) > (most as number))
    refuse('EINVAL', `otherwise of ${helper} is ${otherwise}, not from ${least} to ${most}`);
}

/** A text of a helper. */
function checkText(helper: string, name: string, value: unknown): void {
  if (typeof value !== 'string') refuse('EINVAL', `${name} of ${helper} is ${describe(value)}, not a text`);
}

/** One of `values`. @throws Refusal EINVAL `otherwise` is none of them. */
export function choice<T extends string>(what: string, otherwise: T, values: readonly T[]): Option<T> {
  const helper = `choice("${what}")`;
  if (!Array.isArray(values)) refuse('EINVAL', `values of ${helper} is ${describe(values)}, not an array`);
  if (!values.includes(otherwise))
    refuse('EINVAL', `otherwise of ${helper} is ${describe(otherwise)}, none of its values`);
  return {
    what,
    values: values.join(' or '),
    otherwise,
    parse(text = otherwise, key) {
      const found = values.find((value) => value === text);
      if (found === undefined) throw new Error(`${key} "${text}" is not ${values.join(' or ')}`);
      return found;
    },
  };
}

/** `0` or `1`. */
export function flag(what: string): Option<boolean> {
  const { parse, ...rest } = choice(what, '0', ['0', '1']);
  return { ...rest, parse: (text, key) => parse(text, key) === '1' };
}

/** A text that must be given; `values` says of what kind: `PATH`. @throws Refusal EINVAL it is no text. */
export function required(what: string, values: string): Option<string> {
  checkText(`required("${what}")`, 'values', values);
  return { what, values, parse: (text = '') => text };
}

/** Texts, one at least, each given by itself; as `required`. */
export function each(what: string, values: string): Option<readonly string[]> {
  checkText(`each("${what}")`, 'values', values);
  return { what, values, repeatable: true, parse: (text = '') => text.split(',') };
}

/**
 * A text of a form of its own, or undefined, where it is not given; `parse` throws an Error for another.
 * @throws Refusal EINVAL `parse` is no function, or `values` or `otherwise` no text.
 */
export function optional<T>(
  what: string,
  values: string,
  otherwise: string,
  parse: (text: string | undefined) => T,
): Option<T> {
  const helper = `optional("${what}")`;
  checkText(helper, 'values', values);
  checkText(helper, 'otherwise', otherwise);
  if (typeof parse !== 'function')
    refuse('EINVAL', `parse of ${helper} is ${describe(parse)}, not a function`);
  return { what, values, otherwise, parse };
}
