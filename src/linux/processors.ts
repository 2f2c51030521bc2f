/** The processors of this machine, as the kernel numbers them. */
import { readFileSync } from 'node:fs';

export interface Processors {
  /** A bit for each that works now. */
  readonly online: bigint;
  /** As many as there may ever be: the bits of a mask of all of them. */
  readonly possible: number;
}

/** Where the kernel does not say, there is one. */
export function processors(): Processors {
  const bits = (name: string) => {
    try {
      return bitsOf(readFileSync(`/sys/devices/system/cpu/${name}`, 'latin1'));
    } catch {
      return 1n;
    }
  };
  return { online: bits('online'), possible: bits('possible').toString(2).length };
}

/** Of a list like `0-3,8`. */
function bitsOf(list: string): bigint {
  return list
    .trim()
    .split(',')
    .map((range) => range.split('-').map(BigInt))
    .reduce((bits, [first = 0n, last = first]) => bits | ((2n << last) - (1n << first)), 0n);
}
