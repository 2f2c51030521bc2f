/**
 * `npm run bench -- [--json] [--quick] [--plot FILE] [--svg FILE] [--against FOLDER] [NAME...]`: figures
 * against references that are measured in the same run.
 *
 * Names: translate, nested, ioctl, ring, nvme, dma, authorize, design, million, run, idle, unmap-map,
 * pieces, neighbours, mapped, sva, memmove, guest; all of them when none is given.
 * The rows of `core` are measured in processes of their own; and when more than one name is chosen, once more
 * in this one, when all that was chosen is done (after-all.ts). The others start servers of their own, which
 * do the same in any case; `design` has two designs take turns in one process, `million` wants an empty one.
 *
 * With `--against` rows of `core` have no other reference than themselves, as the build in FOLDER has them
 * (such as one of `git worktree`): before and after, in turns. The others are left out, and cannot be named.
 *
 * `--quick` leaves out the largest tables, `--plot` draws what `design` has measured as an SVG, `--svg` the
 * ratios of the whole table beside what is expected. The exit status says only whether the benchmarks ran; a
 * figure over its expectation is marked as `over`, because on a busy machine it may be nobody's fault.
 */
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { commandLine, someOf } from '../testkit/command-line.js';
import { afterAll, work } from './after-all.js';
import { against, alone } from './alone.js';
import { ratioBars } from './bars.js';
import { core } from './core.js';
import { design } from './design.js';
import { guest } from './guest.js';
import { idle } from './idle.js';
import { ioctl } from './ioctl.js';
import { mapped } from './mapped.js';
import { isMeasurement, type Outcome, verdict } from './measurement.js';
import { memmove } from './memmove.js';
import { million } from './million.js';
import { neighbourhood } from './neighbours.js';
import { nvme } from './nvme.js';
import { References } from './reference.js';
import { ring } from './ring.js';
import { run } from './run.js';
import { sva } from './sva.js';
import { header, rowOf } from './table.js';

type Benchmark = (references: References, quick: boolean) => Outcome[] | Promise<Outcome[]>;

/** Those beside `core`. */
const others: ReadonlyMap<string, Benchmark> = new Map<string, Benchmark>([
  ['ioctl', ioctl],
  ['ring', ring],
  ['nvme', nvme],
  ['design', (_references, quick) => design(quick, values.plot)],
  ['million', million],
  ['run', run],
  ['idle', idle],
  ['neighbours', neighbourhood],
  ['mapped', mapped],
  ['sva', sva],
  ['memmove', memmove],
  ['guest', guest],
]);

const names: readonly string[] = [...core.keys(), ...others.keys()];

interface Options {
  readonly json: boolean;
  readonly quick: boolean;
  readonly plot?: string;
  readonly svg?: string;
  readonly against?: string;
}

const asked = commandLine('bench', 'Figures against references that are measured in the same run.')
  .addArgument(someOf('name', names))
  .option('--json', 'print what was measured as JSON', false)
  .option('--quick', 'leave out the largest tables', false)
  .option('--plot <file>', 'draw what `design` has measured as an SVG')
  .option('--svg <file>', 'draw the ratios of the whole table beside what is expected')
  .option('--against <folder>', 'compare with another build, which is in that folder')
  .parse();
const values = asked.opts<Options>();
const positionals = asked.args;
if (values.against !== undefined && positionals.some((name) => !core.has(name)))
  asked.error(`error: beside another build there are rows of ${[...core.keys()].join(', ')} only`);

const say = values.json ? console.error : console.log;
const references = new References();
try {
  say(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown CPU'}\n`);
  if (!references.hasCompiler)
    say('There is no C compiler (cc) here: figures without references, and without ratios.\n');
  const outcomes = await measure();
  if (values.json) console.log(JSON.stringify(outcomes.map(withVerdict), null, 2));
  else summarize(outcomes);
  if (values.svg !== undefined) writeFileSync(values.svg, ratioBars(outcomes));
} finally {
  references.close();
}

/** Runs the chosen benchmarks, one after the other, and shows each row when it is done. */
async function measure(): Promise<Outcome[]> {
  const all: Outcome[] = [];
  const show = (outcomes: readonly Outcome[]) => {
    all.push(...outcomes);
    if (!values.json) say(outcomes.map(rowOf).join('\n'));
  };
  const chosen = names.filter((name) => positionals.length === 0 || positionals.includes(name));
  const rows = (quick: boolean) => chosen.flatMap((name) => core.get(name)?.(quick) ?? []);
  if (!values.json) say(header);
  if (values.against !== undefined) {
    for (const row of rows(values.quick)) show([await against(row, values.against)]);
    return all;
  }
  for (const row of rows(values.quick)) show([alone(row)]);
  for (const [name, benchmark] of others)
    if (chosen.includes(name)) show(await benchmark(references, values.quick));
  if (chosen.length === 1) return all;
  for (const row of rows(true)) await work(row, references);
  for (const row of rows(values.quick)) show(await afterAll(row, references));
  return all;
}

function withVerdict(outcome: Outcome): Outcome & { readonly verdict?: string } {
  return isMeasurement(outcome) ? { ...outcome, verdict: verdict(outcome) } : outcome;
}

function summarize(outcomes: readonly Outcome[]): void {
  const verdicts = outcomes.map((outcome) => (isMeasurement(outcome) ? verdict(outcome) : ''));
  const count = (value: string) => verdicts.filter((each) => each === value).length;
  say(`\n${count('ok')} as expected, ${count('over')} over.`);
}
