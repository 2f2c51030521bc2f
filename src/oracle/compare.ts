/**
 * The comparison of two lists of answers to one sequence.
 *
 * After a first difference the two sides are in different states, so only the first one of a sequence means anything. Differences that are meant stand
 * in `explained`, each with its reason; docs/differences.md tells them to people.
 */
import type { IoctlLine, Line, Sequence, Value } from './language.js';
import { fieldValue, layoutOf } from './layouts.js';
import { readable } from './readable.js';

const PAGE = 4096n;
const FIXED_IOVA = 1n;

export interface Difference {
  /** The place of the first line whose answers differ. */
  readonly at: number;
  readonly line: Line;
  readonly kernel: string;
  readonly ours: string;
}

/** A deliberate difference. */
export interface Explained {
  readonly name: string;
  readonly reason: string;
  readonly matches: (difference: Difference) => boolean;
}

export const explained: readonly Explained[] = [
  {
    name: 'alignment of picked IOVAs',
    reason: "an IOVA keeps up to 2 MiB of its memory's alignment, as in kernels with transparent huge pages; the oracle's kernel has none",
    matches: ({ line, kernel, ours }) => {
      const picked = line.verb === 'ioctl' ? pickFor(line) : undefined;
      return (
        picked !== undefined && picked.alignment > PAGE && result(kernel) === '0' && (result(ours) === '0' || result(ours) === 'ENOSPC')
      );
    },
  },
  {
    name: "the test kernel's own flag of IOAS_COPY",
    reason: 'with IOMMUFD_TEST built in, flag 1 << 16 of IOAS_COPY is taken by a fuzzer; in other kernels it is EOPNOTSUPP, as here',
    matches: ({ line, ours }) => {
      if (line.verb !== 'ioctl' || layoutOf(line)?.name !== 'IOAS_COPY' || result(ours) !== 'EOPNOTSUPP') return false;
      const flags = fieldValue(line, layoutOf(line)!.struct.fields.flags!);
      return flags?.kind === 'number' && (flags.value & 0x10000n) !== 0n;
    },
  },
  {
    name: 'files that are no memory',
    reason: 'MAP_FILE of a file without pages (a device, a pipe) is EINVAL at once here; Linux finds out when a page table needs its pages',
    matches: ({ line, kernel, ours }) =>
      line.verb === 'ioctl' && layoutOf(line)?.name === 'IOAS_MAP_FILE' && result(kernel) === '0' && result(ours) === 'EINVAL',
  },
  {
    name: 'bytes before an EFAULT',
    reason: 'Linux has stored what comes before the bad address; here the whole stretch is looked at first, and nothing is stored',
    matches: ({ kernel, ours }) => result(kernel) === 'EFAULT' && result(ours) === 'EFAULT',
  },
];

/** The alignment that a call asks of the IOVA that it lets the kernel pick, or undefined when it does not let it. */
function pickFor(line: IoctlLine): { readonly alignment: bigint } | undefined {
  const layout = layoutOf(line);
  const field = (name: string): Value | undefined => {
    const found = layout?.struct.fields[name];
    return found === undefined ? undefined : fieldValue(line, found);
  };
  const [flags, length] = [field('flags'), field('length')];
  if (flags?.kind !== 'number' || (flags.value & FIXED_IOVA) !== 0n || length?.kind !== 'number') return undefined;
  if (layout?.name === 'IOAS_COPY') return { alignment: length.value };
  const memory = field(layout?.name === 'IOAS_MAP_FILE' ? 'start' : 'user_va');
  // A field that is not given is 0, which has every alignment.
  return { alignment: memory === undefined ? length.value : smaller(length.value, lowestBit(memory)) };
}

/** The alignment of a value. Of a buffer it is known that it begins at an odd page. */
function lowestBit(value: Value): bigint {
  const at = value.kind === 'number' ? value.value : value.kind === 'address' ? value.plus + PAGE : 0n;
  return at === 0n ? 1n << 63n : at & -at;
}

function smaller(one: bigint, other: bigint): bigint {
  return one < other ? one : other;
}

export function firstDifference(sequence: Sequence, kernel: readonly string[], ours: readonly string[]): Difference | undefined {
  for (const [at, line] of sequence.lines.entries()) {
    const [theirs = '', mine = ''] = [kernel[at], ours[at]];
    if (theirs !== mine) return { at, line, kernel: theirs, ours: mine };
  }
  return undefined;
}

export function explanation(difference: Difference): Explained | undefined {
  return explained.find((each) => each.matches(difference));
}

/** Differences with one signature are taken for one: the same call, the same two results. */
export function signature({ line, kernel, ours }: Difference): string {
  const name = line.verb === 'ioctl' ? (layoutOf(line)?.name ?? `ioctl 0x${line.cmd.toString(16)}`) : line.verb;
  const [theirs = '', mine = ''] = [result(kernel), result(ours)];
  return theirs === mine ? `${name}: ${theirs} on both sides, but not the same bytes` : `${name}: kernel ${theirs}, ours ${mine}`;
}

/** The sequence up to its first difference, with the answers. */
export function formatDifference(sequence: Sequence, kernel: readonly string[], difference: Difference): string {
  const before = sequence.lines.slice(0, difference.at).flatMap((line, n) => [`  ${readable(line)}`, `    = ${kernel[n]}`]);
  return [...before, `  ${readable(difference.line)}`, `    kernel: ${difference.kernel}`, `    ours:   ${difference.ours}`].join('\n');
}

function result(answer: string): string {
  return answer.split(' ', 1)[0] ?? '';
}
