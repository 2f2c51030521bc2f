/** Where vhost-vdpa is meant to differ from Linux's, each with its reason; docs/differences.md tells them. */
import { type Explained, result } from '../compare.js';
import type { Line } from '../language.js';
import { layoutOf } from '../layouts.js';
import { Iotlb, MEMORY_BYTES } from './scene.js';

/** IOVAs are below this. */
const IOVAS = 1n << 48n;
const SHORTEST_MESSAGE = 40;
const MESSAGE = '72';
const NEEDS_RESET = 0x40;
const RING = 'a ring that makes no sense';

export const explained: readonly Explained[] = [
  {
    name: '`mmap` of a doorbell',
    reason: 'FUSE: the file has no pages to map',
    matches: ({ line, ours }) => line.verb === 'mmap' && line.words[1] === 'd' && ours === 'ENODEV',
  },
  {
    name: 'an argument that is not there',
    reason: 'FUSE reads the struct of an ioctl before anybody is asked whether the call may be made at all',
    matches: ({ line, kernel, ours }) =>
      line.verb === 'ioctl' &&
      line.address?.kind === 'number' &&
      result(kernel).startsWith('E') &&
      ours === 'EFAULT',
  },
  {
    name: 'a message of 40 bytes',
    reason: 'FUSE returns no more than was given',
    matches: ({ line, kernel, ours }) => {
      const length = messageOf(line)?.length ?? 0;
      return kernel === MESSAGE && length >= SHORTEST_MESSAGE && ours === `${length}`;
    },
  },
  {
    name: 'a `write` of no bytes',
    reason: 'FUSE answers it without asking us',
    matches: ({ line, ours }) => messageOf(line)?.length === 0 && ours === '0',
  },
  {
    name: 'IOVA range',
    reason: 'IOVAs have 48 bits here',
    matches: ({ line, kernel, ours }) => {
      const range = updateOf(line);
      return range !== undefined && range.end > IOVAS && kernel === MESSAGE && ours === 'EFAULT';
    },
  },
  {
    name: 'an UPDATE of memory that is not there, or read-only',
    reason: 'a reason now is worth more than a fault later',
    matches: ({ line, kernel, ours }) => {
      const range = updateOf(line);
      return range !== undefined && range.size > MEMORY_BYTES && kernel === MESSAGE && ours === 'EFAULT';
    },
  },
  {
    name: 'an ASID that an UPDATE was refused for',
    reason: 'a call that was refused leaves no trace; Linux has made the address space by then',
    matches: ({ line, before, answers, kernel, ours }) => {
      const message = messageOf(line);
      const refused = before.some((each, n) => updateOf(each) !== undefined && answers[n] === 'EFAULT');
      return message?.[33] !== Iotlb.UPDATE && refused && kernel === MESSAGE && ours === 'EFAULT';
    },
  },
  {
    name: 'sizes of a queue (blk)',
    reason: 'a read or write of 1 MiB is one request here, and its chain no longer than its queue',
    matches: ({ line, kernel, ours }) =>
      line.verb === 'ioctl' &&
      layoutOf(line)?.name === 'VHOST_VDPA_GET_VRING_NUM' &&
      kernel === '0 +0=0001' &&
      ours === '0 +0=0004',
  },
  {
    name: 'a command that is cut short (net)',
    reason: 'the simulator has stored the bytes that there are; here a command that is wrong changes nothing',
    matches: ({ line, before, ours }) =>
      line.verb === 'ioctl' &&
      layoutOf(line)?.name === 'VHOST_VDPA_GET_CONFIG' &&
      result(ours) === '0' &&
      before.some((each) => each.verb === 'fill' && /^0101.{6}$/.test(each.words[2]!)),
  },
  {
    name: RING,
    reason: 'virtio 1.3 §2.1.2: the device says in its status that it needs a reset',
    matches: ({ line, kernel, ours }) =>
      line.verb === 'ioctl' &&
      layoutOf(line)?.name === 'VHOST_VDPA_GET_STATUS' &&
      kernel.startsWith('0 +0=') &&
      statusOf(ours) === (statusOf(kernel) | NEEDS_RESET),
  },
  {
    name: RING,
    reason: 'the same, and nothing is used before that',
    matches: ({ line, kernel, ours, after = [] }) =>
      line.verb === 'until' &&
      kernel === '0' &&
      ours === 'ETIMEDOUT' &&
      (statusOf(after[0] ?? '') & NEEDS_RESET) !== 0,
  },
  {
    name: 'several buffers that are used at once',
    reason: 'the call eventfd is raised once for them',
    matches: ({ line, kernel, ours }) => line.verb === 'hear' && timesOf(kernel) > timesOf(ours),
    goesOn: true,
  },
];

/** What GET_STATUS has answered. */
function statusOf(answer: string): number {
  return Number.parseInt(answer.slice('0 +0='.length), 16);
}

/** How often an eventfd was raised that was heard; NaN: it was not. */
function timesOf(answer: string): number {
  return /^8 [0-9a-f]{16}$/.test(answer)
    ? Number(Buffer.from(answer.slice(2), 'hex').readBigUInt64LE())
    : NaN;
}

/** The bytes that a line writes to the device. */
function messageOf(line: Line): Buffer | undefined {
  if (line.verb !== 'write' || line.words[0] !== 'd') return undefined;
  return Buffer.from(line.words[1] === '-' ? '' : line.words[1]!, 'hex');
}

interface Update {
  readonly size: bigint;
  readonly end: bigint;
}

/** What an UPDATE maps. */
function updateOf(line: Line): Update | undefined {
  const message = messageOf(line);
  if (message === undefined || message.length < SHORTEST_MESSAGE || message[33] !== Iotlb.UPDATE)
    return undefined;
  const size = message.readBigUInt64LE(16);
  return { size, end: message.readBigUInt64LE(8) + size };
}
