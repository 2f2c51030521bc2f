/**
 * What the checks of device models have in common, of PCI (check-model.ts) and of virtio
 * (virtio/check-virtio-model.ts): names, and values as a sentence has them.
 *
 * A name that nobody reads does nothing, and says nothing: `pasidbits`, `setp`. So a description has the keys
 * of its type alone. An object literal has no other methods than those of a model. A class may have methods
 * of its own, but none that is one of a model with its letters in another order or case.
 */
import { isAsyncFunction, isGeneratorFunction, isPromise } from 'node:util/types';
import { hex, refuse } from '../linux/errno.js';
import type { PciDescription } from './device-model.js';
import { didYouMean, nearest } from './nearest.js';

/** The names of a type, by which the compiler sees that none is missing. */
export type NamesOf<T> = Readonly<Record<keyof T, 0>>;

/** A promise is no record: it has nothing of what it comes to. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !isPromise(value);
}

/** A value as a sentence names it. Objects are not looked into: they may be anything. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (isPromise(value)) return 'a promise, which nobody waits for';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object' && value !== null) return 'an object';
  if (typeof value === 'function') return 'a function';
  return String(value);
}

/** @throws RangeError a model with `vectors` of them raises `vector`, which is none: a fault of the model. */
export function checkVector(vector: unknown, vectors: number): void {
  if (isWithin(vector, 0, vectors - 1)) return;
  const there = vectors === 0 ? 'the device has none' : `its vectors are 0 to ${vectors - 1}`;
  throw new RangeError(`interrupt vector ${String(vector)} was raised, and ${there}`);
}

/**
 * A message of a device. @param pci undefined: the factory has not returned. @throws RangeError there is no
 * such vector, or no device yet.
 */
export function checkInterrupt(pci: PciDescription | undefined, vector: unknown): void {
  if (pci === undefined) inFactory('interrupt');
  checkVector(vector, vectorsOf(pci));
}

/** Messages that a function may send. */
export function vectorsOf({ msi = 0, msix }: PciDescription): number {
  return Math.max(msi, msix?.vectors ?? 0);
}

/** The INTx line; as above. */
export function checkIntx(pci: PciDescription | undefined): void {
  if (pci === undefined) inFactory('intx');
  if (pci.intx !== true) throw new RangeError('the INTx line was driven, and pci.intx is not true');
}

/** @throws RangeError a DMA of `length` bytes at `at` of a buffer that has not got them. */
export function checkTransfer({ length: size }: Uint8Array, at: number, length: number): void {
  if (at >= 0 && length >= 0 && at + length <= size && Number.isInteger(at + length)) return;
  throw new RangeError(`a DMA of ${length} bytes at ${at} of a buffer of ${size}`);
}

/** @throws RangeError `what` was given an `iova` that is no address, or a `pasid` that is no PASID. */
export function checkAddress(what: string, pasid: unknown, iova: unknown): void {
  if (typeof iova !== 'number' || !(iova >= 0))
    throw new RangeError(`${what} was given iova ${String(iova)} (${typeof iova}), which is no address`);
  if (!isWithin(pasid, 0, 0xfffff))
    throw new RangeError(`${what} was given PASID ${String(pasid)}, which has more than 20 bits or is none`);
}

/** A number that people count is decimal. @throws Refusal EINVAL */
export function checkCount(name: string, value: unknown, least: number, most: number): void {
  if (isWithin(value, least, most)) return;
  refuse('EINVAL', `${name} is ${describe(value)}, not an integer from ${least} to ${most}`);
}

/** An address, an identifier or a size is hexadecimal. @throws Refusal EINVAL */
export function checkField(name: string, value: unknown, least: number, most: number): void {
  if (isWithin(value, least, most)) return;
  const is =
    typeof value === 'number' && Number.isInteger(value) && value >= 0 ? hex(value) : describe(value);
  refuse('EINVAL', `${name} is ${is}, not an integer from ${least} to ${hex(most)}`);
}

function isWithin(value: unknown, least: number, most: number): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most;
}

export function checkFlag(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'boolean')
    refuse('EINVAL', `${name} is ${describe(value)}, not true or false`);
}

/** @throws Refusal EINVAL `value`, which is called `what`, has a key that is not `known`. */
export function checkKeys(what: string, value: object, known: Readonly<Record<string, 0>>): void {
  if (!isLiteral(value)) return;
  for (const key of Object.keys(value))
    if (!Object.hasOwn(known, key))
      refuse('EINVAL', `${what} has no key ${JSON.stringify(key)}${didYouMean(key, Object.keys(known))}`);
}

/**
 * @throws Refusal EINVAL `model`, which is called `what`, lacks a method of `needed`, has something else in
 * its place or in that of one of `others`, or a method that is none of a model.
 */
export function checkMethods(
  what: string,
  model: Readonly<Record<string, unknown>>,
  needed: readonly string[],
  others: readonly string[],
): void {
  const known = [...needed, ...others];
  const strays = methodsOf(model).filter((name) => !known.includes(name));
  for (const name of needed)
    if (typeof model[name] !== 'function')
      refuse('EINVAL', `${what} has no method ${name}${misspelt(nearest(name, strays))}`);
  for (const name of known) checkMethod(what, name, model[name]);
  const missing = others.filter((name) => model[name] === undefined);
  for (const stray of strays) {
    const meant = isLiteral(model) ? known : missing.filter((name) => lettersOf(name) === lettersOf(stray));
    if (meant.length > 0) refuse('EINVAL', `${what} has no use for ${stray}()${didYouMean(stray, meant)}`);
  }
}

/** @throws Refusal EINVAL `model`, which is called `what`, has a method that nobody would ever call. */
export function checkWork(what: string, model: Readonly<Record<string, unknown>>): void {
  if (model.busy !== undefined) return;
  for (const name of ['step', 'drain'])
    if (model[name] !== undefined)
      refuse('EINVAL', `${what} has ${name}, which is called while busy() is true, and no busy`);
}

/** The method that is there under `stray`, a wrong name. */
function misspelt(stray: string | undefined): string {
  return stray === undefined ? '' : `; is its ${stray} misspelt?`;
}

function checkMethod(what: string, name: string, method: unknown): void {
  if (method === undefined) return;
  if (typeof method !== 'function') refuse('EINVAL', `${name} of ${what} is not a method`);
  if (isGeneratorFunction(method))
    refuse('EINVAL', `${name} of ${what} is a generator, which nobody goes through`);
  if (isAsyncFunction(method))
    refuse('EINVAL', `${name} of ${what} is async: it returns a promise, which nobody waits for`);
}

/** The names of what can be called of `object`, its classes' too. Accessors are not touched. */
function methodsOf(object: object): string[] {
  const names: string[] = [];
  for (let at = object; at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at) as object)
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(at)))
      if (typeof value === 'function' && name !== 'constructor') names.push(name);
  return names;
}

/** Is it written as `{ ... }`, not made by a class? */
function isLiteral(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function lettersOf(name: string): string {
  return [...name.toLowerCase()].sort().join('');
}

/** @throws RangeError a fault of the model: `host.what` is for a device that is there. */
export function inFactory(what: string): never {
  throw new RangeError(
    `host.${what} was used in the factory: the device is not there before it has returned`,
  );
}
