/**
 * Where mediated devices are meant to differ from Linux's, each with its reason; docs/differences.md tells
 * them to people.
 */
import { type Difference, type Explained, result } from './compare.js';
import type { IoctlLine, Line } from './language.js';
import { layoutOf } from './layouts.js';

/** Calls that a page table may refuse. */
const needsPages = [
  'VFIO_DEVICE_ATTACH_IOMMUFD_PT',
  'VFIO_GROUP_GET_DEVICE_FD',
  'IOAS_MAP',
  'IOAS_MAP_FILE',
  'IOAS_COPY',
  'VFIO_IOMMU_MAP_DMA',
  'IOAS_ALLOW_IOVAS',
  'OPTION',
];

export const explainedOfMdevs: readonly Explained[] = [
  {
    name: 'the page table of a mediated device',
    reason:
      'ATTACH gives the page table that the device is attached to, which is an object here, and has an id; ' +
      'a mediated device of Linux has none',
    goesOn: true,
    matches: (difference) => attached(difference) && sameButIds(difference),
  },
  {
    name: 'IOVAs of a mediated device',
    reason:
      'the page table has the IOVAs that the IOMMU can translate; a mediated device of Linux is behind none',
    goesOn: true,
    matches: (difference) =>
      attached(difference) &&
      ['IOAS_IOVA_RANGES', 'VFIO_IOMMU_GET_INFO'].some((name) => isCall(difference.line, name)),
  },
  {
    name: 'memory of a mediated device',
    reason:
      'a page table needs the memory that is mapped, at IOVAs that it has, in pages that it was made for; ' +
      'a mediated device of Linux asks for it page by page',
    matches: (difference) =>
      attached(difference) &&
      needsPages.some((name) => isCall(difference.line, name)) &&
      ['0', 'fd', 'EEXIST'].includes(result(difference.kernel)) &&
      ['EFAULT', 'EINVAL', 'EADDRINUSE'].includes(result(difference.ours)),
  },
  {
    name: 'an HWPT for a mediated device',
    reason: 'in Linux it is attached to an IOAS and nothing else; here its requests go through page tables',
    matches: ({ line, kernel, ours }) =>
      isCall(line, 'VFIO_DEVICE_ATTACH_IOMMUFD_PT') &&
      result(kernel) === 'ENOENT' &&
      ['0', 'EINVAL'].includes(result(ours)),
  },
  {
    name: 'an id of a destroyed object',
    reason: 'the page table of a mediated device may have it now; in Linux another object may',
    matches: (difference) => attached(difference) && namesDestroyed(difference),
  },
];

/** Has a mediated device been attached, by now? */
function attached({ before, line, answers, kernel }: Difference): boolean {
  return [...before, line].some((each, n) => {
    const answer = result(answers[n] ?? kernel);
    return (
      (answer === '0' && isCall(each, 'VFIO_DEVICE_ATTACH_IOMMUFD_PT')) ||
      (answer === 'fd' && isCall(each, 'VFIO_GROUP_GET_DEVICE_FD'))
    );
  });
}

/** Does the call name an object that has been destroyed, or a page table that goes when it is replaced? */
function namesDestroyed({ line, before, answers }: Difference): boolean {
  const names = namesOf(line);
  if (names.some((name) => name.startsWith('auto'))) return true;
  return before.some(
    (each, n) =>
      isCall(each, 'DESTROY') &&
      result(answers[n]!) === '0' &&
      namesOf(each).some((name) => names.includes(name)),
  );
}

function namesOf(line: Line): string[] {
  if (line.verb !== 'ioctl') return [];
  return line.patches.flatMap(({ value }) => (value.kind === 'saved' ? [value.name] : []));
}

/**
 * The same result, and nothing else but the id that the call has given, or ids that calls before it have:
 * what is read of a fault queue names its device.
 */
function sameButIds({ line, before, answers, own = [], kernel, ours }: Difference): boolean {
  if (result(kernel) !== result(ours)) return false;
  const given = givenBy(line);
  const known = new Set(before.flatMap((each, n) => givenIds(each, answers[n] ?? '', own[n] ?? '')));
  const [theirs, mine] = [words(kernel), words(ours)];
  return [...new Set([...theirs.keys(), ...mine.keys()])].every((at) => {
    const [one, other] = [theirs.get(at), mine.get(at)];
    return one === other || given.some((place) => at === place) || known.has(`${one} ${other}`);
  });
}

/** The ids that a call has given on both sides, two to a text. */
function givenIds(line: Line, kernel: string, ours: string): string[] {
  const [theirs, mine] = [words(kernel), words(ours)];
  return givenBy(line).map((at) => `${theirs.get(at)} ${mine.get(at)}`);
}

/** Where an answer to the call has ids that it gives. */
function givenBy(line: Line): string[] {
  if (line.verb !== 'ioctl') return [];
  const name = layoutOf(line)?.name;
  if (name === 'VFIO_DEVICE_ATTACH_IOMMUFD_PT') return ['+8'];
  if (name === 'VFIO_IOAS') return ['+4'];
  return line.saves.map(({ offset }) => `+${offset}`);
}

/** The words that an answer says have changed, or that were read, by their places. */
function words(answer: string): Map<string, string> {
  return new Map(
    answer
      .split(' ')
      .slice(1)
      .flatMap((run) => {
        const [, label = '', at = '0', hex = ''] = /^(?:(\w*)\+(\d+)=)?(\w+)$/.exec(run) ?? [];
        return (hex.match(/.{1,8}/g) ?? []).map((word, n): [string, string] => [
          `${label}+${Number(at) + 4 * n}`,
          word,
        ]);
      }),
  );
}

function isCall(line: Line, name: string): line is IoctlLine {
  return line.verb === 'ioctl' && layoutOf(line)?.name === name;
}
