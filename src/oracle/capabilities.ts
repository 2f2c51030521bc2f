/**
 * Where a PCI capability is, found as `oracle/device.c` finds it: by walking the list in configuration space.
 */

/** Where configuration space begins in a VFIO device file. */
export const CONFIG = 7 * 2 ** 40;

/** The 32 bits at an offset in configuration space. */
export type ReadConfig = (at: number) => number;

const CAPABILITIES = 0x34;
const EXTENDED_CAPABILITIES = 0x100;
const MOST_CAPABILITIES = 48;

/** Where capability `id` is, or 0. */
export function findCapability(read: ReadConfig, id: number): number {
  let at = read(CAPABILITIES) & 0xfc;
  for (let n = 0; at !== 0 && n < MOST_CAPABILITIES; n++) {
    const head = read(at);
    if ((head & 0xff) === id) return at;
    at = (head >>> 8) & 0xfc;
  }
  return 0;
}

/** Where extended capability `id` is, or 0. */
export function findExtended(read: ReadConfig, id: number): number {
  let at = EXTENDED_CAPABILITIES;
  for (let n = 0; at !== 0 && n < MOST_CAPABILITIES; n++) {
    const head = read(at);
    if ((head & 0xffff) === id) return at;
    at = (head >>> 20) & 0xffc;
  }
  return 0;
}
