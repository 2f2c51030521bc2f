/**
 * Where the data of a random command is: how the command tells it, and which bytes of memory that comes to,
 * as it was chosen and not as it was told. Some are told wrongly, with the status that the command must end
 * with.
 *
 * Lists lie in the first pages of the window from DATA on, data in the others. Each range has a page of its
 * own, so that none overlaps another.
 */
import { DATA, type NvmeDriver, type Words } from './nvme-driver.js';
import type { Random } from './random.js';

export const PAGE = 4096;
const LIST_PAGES = 4;
const DATA_PAGES = 28;
/** Bytes from DATA on that random commands may name. */
export const WINDOW = (LIST_PAGES + DATA_PAGES) * PAGE;
const NOT_THERE = 0x7000_0000;

const TRANSFER_ERROR = 0x04;
const SGL_LENGTH = 0x0f;
const SGL_TYPE = 0x11;
const PRP_OFFSET = 0x13;

export interface DataPlan {
  readonly words: Partial<Words>;
  /** Where its bytes are, in order; `iova` is undefined where nobody wants them. */
  readonly ranges: readonly { readonly iova: number | undefined; readonly length: number }[];
  /** 0, or what is wrong with how it is told. */
  readonly status: number;
}

/** Of `length` bytes. @param toHost they go to memory. */
export function planData(random: Random, driver: NvmeDriver, length: number, toHost: boolean): DataPlan {
  const pages = shuffled(random);
  if (random.below(3) === 0) return planSgl(random, driver, pages, length, toHost);
  const wrong = random.below(8) === 0;
  return wrong ? planWrongPrp(random, driver, pages, length) : planPrp(random, driver, pages, length);
}

/** The data pages, in a random order. */
function shuffled(random: Random): number[] {
  const pages = Array.from({ length: DATA_PAGES }, (_, n) => DATA + (LIST_PAGES + n) * PAGE);
  for (let n = pages.length - 1; n > 0; n--) {
    const other = random.below(n + 1);
    [pages[n], pages[other]] = [pages[other]!, pages[n]!];
  }
  return pages;
}

/** @param wrong bytes that one of the entries after the first two is off. */
function planPrp(
  random: Random,
  driver: NvmeDriver,
  pages: readonly number[],
  length: number,
  wrong = 0,
): DataPlan {
  const offset = random.below(2) === 0 ? 0 : random.below(PAGE / 4) * 4;
  const ranges = [{ iova: pages[0]! + offset, length: Math.min(length, PAGE - offset) }];
  for (let left = length - ranges[0]!.length, n = 1; left > 0; left -= PAGE, n++)
    ranges.push({ iova: pages[n]!, length: Math.min(left, PAGE) });
  const entries = ranges.slice(1).map(({ iova }) => iova);
  if (entries.length > 1) entries[random.below(entries.length)]! += wrong;
  const prp2 =
    entries.length > 1 ? writeList(random, driver, entries) : (entries[0] ?? random.below(2 ** 32));
  return { words: { prp1: ranges[0]!.iova, prp2 }, ranges, status: 0 };
}

/** A list of `entries`, which may go on in a second page. @returns where it begins. */
function writeList(random: Random, driver: NvmeDriver, entries: readonly number[]): number {
  const room = random.below(3) === 0 ? 1 + random.below(entries.length) : PAGE / 8;
  const at = DATA + PAGE - room * 8;
  const write = (from: number, values: readonly number[]) => {
    for (const [n, value] of values.entries()) driver.view.setBigUint64(from + 8 * n, BigInt(value), true);
  };
  if (entries.length <= room) write(at, entries);
  else {
    write(at, [...entries.slice(0, room - 1), DATA + PAGE]);
    write(DATA + PAGE, entries.slice(room - 1));
  }
  return at;
}

/** Of the same length, with something wrong in one place. */
function planWrongPrp(
  random: Random,
  driver: NvmeDriver,
  pages: readonly number[],
  length: number,
): DataPlan {
  const kind = random.below(4);
  const plan = planPrp(random, driver, pages, length, kind === 3 ? 8 : 0);
  const { ranges } = plan;
  const [prp1, prp2] = [plan.words.prp1!, plan.words.prp2!];
  const hasList = ranges.length > 2;
  if (kind === 0 || ranges.length === 1)
    return { words: { prp1: prp1 + 1 + random.below(3), prp2 }, ranges, status: PRP_OFFSET };
  if (kind === 1) return { words: { prp1, prp2: NOT_THERE }, ranges, status: TRANSFER_ERROR };
  if (kind === 2 || !hasList)
    return { words: { prp1, prp2: prp2 + (hasList ? 4 : 8) }, ranges, status: PRP_OFFSET };
  return { ...plan, status: PRP_OFFSET };
}

function planSgl(
  random: Random,
  driver: NvmeDriver,
  pages: readonly number[],
  length: number,
  toHost: boolean,
): DataPlan {
  const ranges: { iova: number | undefined; length: number }[] = [];
  for (let left = length, n = 0; left > 0; n++) {
    const offset = random.below(PAGE - 1);
    const bytes = Math.min(left, PAGE - offset, random.below(4) === 0 ? 1 + random.below(left) : left);
    // The last pages are taken whole, so that there are enough of them.
    const whole = n > DATA_PAGES - 8;
    const iova = toHost && random.below(8) === 0 ? undefined : pages[n]! + (whole ? 0 : offset);
    ranges.push({ iova, length: whole ? Math.min(left, PAGE) : bytes });
    left -= ranges.at(-1)!.length;
  }
  const descriptors = ranges.map((range) =>
    descriptor(range.iova === undefined ? 1 : 0, range.iova ?? 0, range.length),
  );
  const status = random.below(8) === 0 ? spoil(random, descriptors) : 0;
  if (descriptors.length === 1 && random.below(2) === 0)
    return { words: { flags: 0x40, pointer: descriptors[0]! }, ranges, status };
  return { words: { flags: 0x80, pointer: writeSegments(random, driver, descriptors) }, ranges, status };
}

/** Makes one of the descriptors wrong. @returns the status. */
function spoil(random: Random, descriptors: Uint8Array[]): number {
  const last = descriptors.length - 1;
  const kind = random.below(3);
  if (kind === 0) descriptors[random.below(last + 1)]![15] = 0x50;
  if (kind === 0) return SGL_TYPE;
  const view = new DataView(descriptors[last]!.buffer);
  if (kind === 1) view.setUint32(8, view.getUint32(8, true) - 1, true);
  if (kind === 1 || view.getUint8(15) !== 0) return kind === 1 ? SGL_LENGTH : 0;
  view.setBigUint64(0, BigInt(NOT_THERE), true);
  return TRANSFER_ERROR;
}

/** Descriptors in one or two segments, from DATA on. @returns the descriptor of the first. */
function writeSegments(random: Random, driver: NvmeDriver, descriptors: readonly Uint8Array[]): Uint8Array {
  const write = (at: number, all: readonly Uint8Array[]) => {
    for (const [n, each] of all.entries()) driver.memory.set(each, at + 16 * n);
    return all.length * 16;
  };
  const cut = random.below(2) === 0 ? 0 : random.below(descriptors.length);
  const last = DATA + 2 * PAGE;
  const rest = descriptor(3, last, write(last, descriptors.slice(cut)));
  if (cut === 0) return rest;
  return descriptor(2, DATA + 16, write(DATA + 16, [...descriptors.slice(0, cut), rest]));
}

/** An SGL descriptor of that type. */
export function descriptor(type: number, address: number, length: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setBigUint64(0, BigInt(address), true);
  view.setUint32(8, length, true);
  view.setUint8(15, type << 4);
  return new Uint8Array(view.buffer);
}
