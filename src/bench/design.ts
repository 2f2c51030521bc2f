/**
 * Benchmark `design`: ours against the design with global sets and notifier chains (rejected/), in one run.
 *
 * AUTHORIZE with REVOKE, and ALLOC with FREE, with up to 10,000 open devices of the same VM, each of which
 * listens to it in the other design. Then what calls up, who reaches what, and how much code it is. The
 * expectation is of ours alone: it does not grow with the devices. The rest is told as it comes out.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import type { Measurement, Outcome, Told } from './measurement.js';
import { type Curve, logLogPlot } from './plot.js';
import { type Comparison, compare, timed } from './reference.js';
import {
  type Design,
  type DesignMaker,
  FdCentric,
  mended,
  posted,
  SetsAndNotifiers,
} from './rejected/designs.js';
import { search } from './rejected/isolation.js';
import { watched } from './rejected/scenario.js';

const COUNTS = [1, 10, 100, 1_000, 10_000];
const RUNS = 2_000;
/** Told events in one pass, at most: a pass takes some milliseconds. */
const EVENTS = 200_000;

const makers: ReadonlyMap<string, DesignMaker> = new Map<string, DesignMaker>([
  ['ours', (devices, siblings) => new FdCentric(devices, siblings)],
  ['rejected, as posted', (devices, siblings) => new SetsAndNotifiers(posted, devices, siblings)],
  ['rejected, mended', (devices, siblings) => new SetsAndNotifiers(mended, devices, siblings)],
]);

/** What is repeated, on a design whose devices are open. */
type Pair = (design: Design) => () => void;

const pairs: ReadonlyMap<string, Pair> = new Map<string, Pair>([
  [
    'authorize and revoke',
    (design) => {
      const pasid = design.alloc(0);
      return () => {
        design.authorize(0, 0, pasid);
        design.revoke(0, pasid);
      };
    },
  ],
  ['alloc and free', (design) => () => design.free(0, design.alloc(0))],
]);

/** @param plot the file that the curves are drawn into */
export async function design(quick: boolean, plot?: string): Promise<Outcome[]> {
  const counts = quick ? COUNTS.slice(0, -1) : COUNTS;
  const measured: Outcome[] = [];
  const curves: Curve[] = [];
  for (const [name, pair] of pairs) {
    const points = [];
    for (const count of counts) points.push({ count, ...(await side(pair, count)) });
    measured.push(await flat(name, pair, counts.at(-1)!));
    measured.push(...points.map((point) => row(name, point)));
    curves.push({ name: `ours: ${name}`, points: points.map(({ count, ours }) => [count, ours]) });
    curves.push({
      name: `rejected: ${name}`,
      points: points.map(({ count, reference }) => [count, reference!]),
    });
  }
  if (plot !== undefined) writeFileSync(plot, logLogPlot(curves, 'open devices of one VM', 'time of a pair'));
  return [...measured, ...[...makers].flatMap(([name, make]) => told(name, make)), ...code()];
}

/** Both designs with `count` open devices, in turns. */
function side(pair: Pair, count: number): Promise<Comparison> {
  const repeats = Math.max(10, Math.floor(EVENTS / (2 * count + 20)));
  return compare(pass('ours', pair, count, 5_000), pass('rejected, mended', pair, count, repeats), 11);
}

/** Ours with many devices against ours with one. */
async function flat(name: string, pair: Pair, count: number): Promise<Measurement> {
  const result = await compare(pass('ours', pair, count, 5_000), pass('ours', pair, 1, 5_000), 31);
  return { name: `${name}, ${count} open for 1`, unit: 'ns', ...result, maxRatio: 1.3 };
}

function pass(name: string, pair: Pair, count: number, repeats: number): () => number {
  const subject = makers.get(name)!(count, count);
  for (let device = 0; device < count; device++) subject.open(0, device);
  const once = pair(subject);
  return () =>
    timed(repeats, () => {
      for (let n = 0; n < repeats; n++) once();
    });
}

function row(name: string, { count, ...result }: Comparison & { readonly count: number }): Measurement {
  return { name: `${name}, rejected, ${count} open`, unit: 'ns', ...result };
}

/** Who calls up in a design, and what its devices reach. */
function told(name: string, make: DesignMaker): Told[] {
  const { depth, reentries, inversions } = watched(make);
  const isolation = (['foreign', 'unasked', 'lost'] as const).map((wrong) => {
    const sequence = search(make, [wrong], RUNS);
    return {
      name: `${name}: ${wrong}`,
      told: sequence?.join('; ') ?? `nothing in ${RUNS} random sequences`,
    };
  });
  return [
    { name: `${name}: layers at once`, told: `at most ${depth}` },
    { name: `${name}: re-entered`, told: reentries.join('; ') || 'none' },
    { name: `${name}: in both orders`, told: inversions.join('; ') || 'none' },
    ...isolation,
  ];
}

/** Lines that are neither empty nor comments, of what decides who reaches what. */
function code(): Told[] {
  const files = {
    ours: ['driver/authorizations', 'driver/device-life', 'driver/listed-port', 'driver/mdev'],
    'rejected, both': ['notifier-chain', 'ioasid-sets', 'listening-driver'].map(
      (file) => `bench/rejected/${file}`,
    ),
  };
  return Object.entries(files).map(([name, paths]) => {
    const each = paths.map((path) => `${path}.ts ${linesOf(path)}`);
    const sum = paths.reduce((total, path) => total + linesOf(path), 0);
    return { name: `${name}: lines of code`, told: `${sum} (${each.join(', ')})` };
  });
}

function linesOf(path: string): number {
  const source = readFileSync(new URL(`../../src/${path}.ts`, import.meta.url), 'utf8');
  const lines = source.replace(/\/\*[\s\S]*?\*\//g, '').split('\n');
  return lines.filter((line) => line.trim() !== '' && !line.trim().startsWith('//')).length;
}
