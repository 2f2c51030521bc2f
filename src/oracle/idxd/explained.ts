/** Where the driver of a DSA is meant to differ from Linux's; docs/differences.md tells them. */
import type { Explained } from '../compare.js';
import { offsetMoves } from '../vfio/explained-device.js';
import { hexOf } from './scene.js';

/** What a read of numa_node has there: three bytes. */
const NO_NODE = `3 ${hexOf('-1\n')}`;

const ABSENT: ReadonlySet<string> = new Set(['power', 'uevent', 'module', 'dmaengine']);

export const explained: readonly Explained[] = [
  offsetMoves,
  {
    name: 'what is in a folder',
    reason: 'what every device and driver of Linux has, and drivers that would have nobody, are not here',
    goesOn: true,
    matches: ({ line, kernel, ours }) => {
      const mine = new Set(ours.split(' '));
      const theirs = kernel.split(' ').filter((name) => !ABSENT.has(name));
      return line.verb === 'list' && theirs.length === mine.size && theirs.every((name) => mine.has(name));
    },
  },
  {
    name: 'files of a disabled work queue',
    reason: 'an open file is on the bus as long as its work queue has it, not until it is closed',
    goesOn: true,
    matches: ({ line, kernel, ours }) =>
      line.verb === 'list' &&
      kernel
        .split(' ')
        .filter((name) => !/^file\d+$/.test(name))
        .join(' ') === ours,
  },
  {
    name: 'numa_node',
    reason: 'the guest has no NUMA nodes, as no machine with a DSA has none',
    goesOn: true,
    matches: ({ line, kernel }) =>
      line.verb === 'show' && line.words[0]?.endsWith('/numa_node') === true && kernel === NO_NODE,
  },
  {
    name: 'uevent',
    reason: 'as above',
    goesOn: true,
    matches: ({ line, ours }) =>
      line.verb !== 'ioctl' && line.words[0]?.endsWith('/uevent') === true && ours === 'ENOENT',
  },
];
