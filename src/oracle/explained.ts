/**
 * Where `/dev/iommu` is meant to differ from Linux, each with its reason; docs/differences.md tells them to
 * people.
 */
import { type Explained, result } from './compare.js';
import { fromHex, type IoctlLine, type Line, type Value } from './language.js';
import { fieldValue, layoutOf } from './layouts.js';

const PAGE = 4096n;
const FIXED_IOVA = 1n;

export const explained: readonly Explained[] = [
  {
    name: 'alignment of picked IOVAs',
    reason:
      "an IOVA keeps up to 2 MiB of its memory's alignment, as in kernels with transparent huge pages; " +
      "the oracle's kernel has none",
    matches: ({ line, kernel, ours }) => {
      const picked = line.verb === 'ioctl' ? pickFor(line) : undefined;
      if (picked === undefined || picked.alignment <= PAGE) return false;
      return result(ours) === '0'
        ? result(kernel) === '0'
        : result(ours) === 'ENOSPC' && ['0', 'EFAULT', 'EINVAL'].includes(result(kernel));
    },
  },
  {
    name: "the test kernel's own flag of IOAS_COPY",
    reason:
      'with IOMMUFD_TEST built in, flag 1 << 16 of IOAS_COPY is taken by a fuzzer; in other kernels it ' +
      'is EOPNOTSUPP, as here',
    matches: ({ line, ours }) =>
      isCall(line, 'IOAS_COPY') && result(ours) === 'EOPNOTSUPP' && hasFlag(line, 0x10000n),
  },
  {
    name: 'files that are no memory',
    reason:
      'MAP_FILE of what has no pages (a device, a pipe) is EINVAL at once here; Linux finds out when a ' +
      'page table needs them',
    matches: ({ line, kernel, ours }) =>
      isCall(line, 'IOAS_MAP_FILE') &&
      ['0', 'EEXIST', 'ENOSPC', 'EOVERFLOW'].includes(result(kernel)) &&
      result(ours) === 'EINVAL',
  },
  {
    name: 'bytes before an EFAULT',
    reason:
      'Linux has stored what comes before the bad address; here the whole stretch is looked at first, ' +
      'and nothing is stored',
    matches: ({ line, kernel, ours }) =>
      line.verb === 'ioctl' &&
      // How many entries were handled is no byte of a buffer.
      layoutOf(line)?.name !== 'HWPT_INVALIDATE' &&
      result(kernel) === 'EFAULT' &&
      result(ours) === 'EFAULT',
  },
  {
    name: 'places of destroyed queues',
    reason:
      "the test kernel's mock vIOMMU frees place 0 whichever of its hardware queues is destroyed; here " +
      'that of the queue',
    matches: ({ line, before, kernel, ours }) =>
      isCall(line, 'HW_QUEUE_ALLOC') &&
      before.some((each) => isCall(each, 'DESTROY')) &&
      before.filter((each) => isCall(each, 'HW_QUEUE_ALLOC')).length > 1 &&
      ['0', 'EEXIST', 'EIO'].includes(result(kernel)) &&
      ['0', 'EEXIST', 'EIO'].includes(result(ours)),
  },
  {
    name: 'the page of a mock vIOMMU',
    reason:
      'VIOMMU_ALLOC has stored where its page can be mapped, which is nowhere here, and the same bytes ' +
      'are then given as an invalidation',
    matches: ({ line, before, kernel }) =>
      isCall(line, 'HWPT_INVALIDATE') &&
      before.some((each) => isCall(each, 'VIOMMU_ALLOC')) &&
      result(kernel) === 'E2BIG',
  },
  {
    name: 'pins of copied mappings',
    reason:
      'Linux pins pages once for all mappings that IOAS_COPY has made of one; here nothing is pinned, ' +
      'and the test counts mappings',
    matches: ({ line, before, kernel, ours }) =>
      isCall(line, 'TEST_MD_CHECK_REFS') &&
      before.some((each) => isCall(each, 'IOAS_COPY')) &&
      ['0', 'EIO'].includes(result(kernel)) &&
      ['0', 'EIO'].includes(result(ours)),
  },
  {
    name: 'dirty bits of large entries',
    reason:
      'Linux notes a write for the whole entry that translated it, which is as large as memory happens ' +
      'to be in one stretch; here for its page',
    matches: ({ line, kernel, ours }) =>
      isCall(line, 'HWPT_GET_DIRTY_BITMAP') && result(kernel) === '0' && bitsWithin(kernel, ours),
  },
  {
    name: 'pages of a queue that do not follow each other',
    reason:
      "a hardware queue must lie in one stretch of the machine's memory, which of a process's memory " +
      'nobody knows; here it is one of the mapped memory',
    matches: ({ line, kernel, ours }) =>
      isCall(line, 'HW_QUEUE_ALLOC') &&
      result(kernel) === 'EFAULT' &&
      ['0', 'EINVAL', 'EEXIST', 'EIO'].includes(result(ours)),
  },
];

function hasFlag(line: IoctlLine, flag: bigint): boolean {
  const flags = fieldOfCall(line, 'flags');
  return flags?.kind === 'number' && (flags.value & flag) !== 0n;
}

function fieldOfCall(line: IoctlLine, field: string): Value | undefined {
  const found = layoutOf(line)?.struct.fields[field];
  return found === undefined ? undefined : fieldValue(line, found);
}

function isCall(line: Line, name: string): line is IoctlLine {
  return line.verb === 'ioctl' && layoutOf(line)?.name === name;
}

/** Every bit that `ours` says was set is one that `kernel` says so of. */
function bitsWithin(kernel: string, ours: string): boolean {
  const theirs = changedBytes(kernel);
  return [...changedBytes(ours)].every(([at, byte]) => (byte & ~(theirs.get(at) ?? 0)) === 0);
}

/** The bytes of the watched buffer that an answer lists, by their offsets. */
function changedBytes(answer: string): Map<number, number> {
  const runs = [...answer.matchAll(/ s\+(\d+)=([0-9a-f]+)/g)];
  return new Map(
    runs.flatMap(([, at, hex]) =>
      [...fromHex(hex!)].map((byte, n): [number, number] => [Number(at) + n, byte]),
    ),
  );
}

/**
 * The alignment that a call asks of the IOVA that it lets the kernel pick, or undefined when it does not let
 * it.
 */
function pickFor(line: IoctlLine): { readonly alignment: bigint } | undefined {
  const layout = layoutOf(line);
  const field = (name: string) => fieldOfCall(line, name);
  const [flags, length] = [field('flags'), field('length')];
  if (flags?.kind !== 'number' || (flags.value & FIXED_IOVA) !== 0n || length?.kind !== 'number')
    return undefined;
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
