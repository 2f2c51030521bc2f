/**
 * What the machine takes of a device itself, whatever its model: where it lies, and whose it is.
 *
 * One table for each transport: by it `--device` is parsed (spec.ts), `ioasid devices` tells, and a sentence
 * about an option that is not known has the names of those that are.
 */
import { flag, type OptionTable, optional } from './options.js';

const bdf = optional('its place, like 0000:6a:01.0', 'PCI address', 'the next one', parseBdf);
const port = flag('behind a port, on a bus that can be reset: of its own, or the one that bdf says');
const mdevs = optional(
  'mediated devices in place of the whole, of a model that can be cut',
  'number',
  'none',
  parseMdevs,
);
const idxd = flag("a DSA is Linux's own: /dev/dsa/wqD.Q, and no VFIO file");

/** By transport. A virtio device has no more than its place. */
export const machineOptions = {
  pci: { bdf, port, mdevs, idxd },
  virtio: { bdf },
} as const satisfies Readonly<Record<string, OptionTable>>;

function parseMdevs(text: string | undefined): number {
  if (text === undefined) return 0;
  const count = /^[0-9]{1,6}$/.test(text) ? Number(text) : 0;
  if (count === 0) throw new Error(`mdevs "${text}" is not a number of mediated devices from 1 up`);
  return count;
}

function parseBdf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const match = /^(?:([0-9a-f]{4}):)?([0-9a-f]{2}:[01][0-9a-f]\.[0-7])$/i.exec(text);
  if (match === null) throw new Error(`bdf "${text}" is not a PCI address like 0000:6a:01.0`);
  return `${match[1] ?? '0000'}:${match[2]}`.toLowerCase();
}
