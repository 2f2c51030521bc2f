/** Attributes as values of one kind each: how they are shown, and what is made of what is written. */
import type { Attribute } from '../file/attributes.js';
import { signed, unsigned } from './numbers.js';

/** What is only read: a number or a word on a line of its own. */
export function shown(value: () => number | string): Attribute {
  return { kind: 'attribute', show: () => `${value()}\n` };
}

/**
 * The NUMA node of a device: the first. Drivers look for a DSA in the node of their processor, and find none
 * that is in no node, which would be -1.
 */
export const numaNode: Attribute = shown(() => 0);

/** What is written as text, and shown. */
export function written(value: () => number | string, store: (text: string) => void): Attribute {
  return { ...shown(value), store };
}

/** A nonnegative number, in decimal. What is no such number is undefined. */
export function count(value: () => number, set: (value: number | undefined) => void): Attribute {
  return written(value, (text) => {
    const number = unsigned(text);
    set(number === undefined ? undefined : Number(number));
  });
}

/** A number of either sign, in decimal. */
export function integerOf(value: () => number, set: (value: number | undefined) => void): Attribute {
  return written(value, (text) => set(signed(text)));
}
