/**
 * `npm run bench -- [--json] [--quick] [--plot FILE] [--svg FILE] [NAME...]`: figures against references that
 * are measured in the same run.
 *
 * Names: translate, nested, ioctl, ring, nvme, dma, authorize, design, million, run, unmap-map, pieces,
 * neighbours, mapped, sva, memmove, guest; all of them when none is given.
 * What is measured in this process is measured twice when others are, too: in a process of its own, and in
 * this one when all that was chosen is done, because what the engine has seen of one row can slow the next,
 * as in a server that has lived; after-all.ts says by how much it may. The others start servers of their own,
 * which do the same in any case; `design` has two designs take turns in one process, `million` wants an empty
 * one.
 *
 * `--quick` leaves out the largest tables, `--plot` draws what `design` has measured as an SVG, `--svg` the
 * ratios of the whole table beside what is expected. The exit status says only whether the benchmarks ran; a
 * figure over its expectation is marked as `over`, because on a busy machine it may be nobody's fault.
 */
import { execFileSync, type StdioOptions } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { commandLine, someOf } from '../testkit/command-line.js';
import { afterAll } from './after-all.js';
import { authorize } from './authorize.js';
import { ratioBars } from './bars.js';
import { design } from './design.js';
import { dma } from './dma.js';
import { guest } from './guest.js';
import { ioctl } from './ioctl.js';
import { mapped } from './mapped.js';
import { isMeasurement, type Outcome, verdict } from './measurement.js';
import { memmove } from './memmove.js';
import { million } from './million.js';
import { neighbourhood } from './neighbours.js';
import { nested } from './nested.js';
import { nvme } from './nvme.js';
import { pieces } from './pieces.js';
import { References } from './reference.js';
import { ring } from './ring.js';
import { run } from './run.js';
import { sva } from './sva.js';
import { header, rowOf } from './table.js';
import { translate } from './translate.js';
import { unmapMap } from './unmap-map.js';

type Benchmark = (references: References, quick: boolean) => Outcome[] | Promise<Outcome[]>;

const benchmarks: ReadonlyMap<string, Benchmark> = new Map<string, Benchmark>([
  ['translate', translate],
  ['nested', nested],
  ['ioctl', ioctl],
  ['ring', ring],
  ['nvme', nvme],
  ['dma', dma],
  ['authorize', authorize],
  ['design', (_references, quick) => design(quick, values.plot)],
  ['million', million],
  ['run', run],
  ['unmap-map', unmapMap],
  ['pieces', pieces],
  ['neighbours', neighbourhood],
  ['mapped', mapped],
  ['sva', sva],
  ['memmove', memmove],
  ['guest', guest],
]);

/** Those that run in this process, on the same code: all kinds of memory and of tables, and both ABIs. */
const core: readonly string[] = ['translate', 'nested', 'dma', 'authorize', 'unmap-map', 'pieces'];

interface Options {
  readonly json: boolean;
  readonly quick: boolean;
  readonly plot?: string;
  readonly svg?: string;
}

const asked = commandLine('bench', 'Figures against references that are measured in the same run.')
  .addArgument(someOf('name', benchmarks.keys()))
  .option('--json', 'print what was measured as JSON', false)
  .option('--quick', 'leave out the largest tables', false)
  .option('--plot <file>', 'draw what `design` has measured as an SVG')
  .option('--svg <file>', 'draw the ratios of the whole table beside what is expected')
  .parse();
const values = asked.opts<Options>();
const positionals = asked.args;

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

/** Runs the chosen benchmarks, one after the other, and shows each when it is done. */
async function measure(): Promise<Outcome[]> {
  const all: Outcome[] = [];
  const show = (outcomes: readonly Outcome[]) => {
    all.push(...outcomes);
    if (!values.json) say(outcomes.map(rowOf).join('\n'));
  };
  const chosen = [...benchmarks.keys()].filter(
    (name) => positionals.length === 0 || positionals.includes(name),
  );
  const isTwice = (name: string) => chosen.length > 1 && core.includes(name);
  if (!values.json) say(header);
  for (const name of chosen)
    show(isTwice(name) ? alone(name) : await benchmarks.get(name)!(references, values.quick));
  const again = chosen.filter(isTwice);
  for (const name of again) await benchmarks.get(name)!(references, true);
  for (const name of again) show(afterAll(await benchmarks.get(name)!(references, values.quick), all));
  return all;
}

/** The outcomes of a benchmark in a process of its own. */
function alone(name: string): Outcome[] {
  const flags = values.quick ? ['--json', '--quick'] : ['--json'];
  const program = fileURLToPath(import.meta.url);
  const stdio: StdioOptions = ['ignore', 'pipe', 'ignore'];
  return JSON.parse(
    execFileSync(process.execPath, [program, ...flags, name], { encoding: 'utf8', stdio }),
  ) as Outcome[];
}

function withVerdict(outcome: Outcome): Outcome & { readonly verdict?: string } {
  return isMeasurement(outcome) ? { ...outcome, verdict: verdict(outcome) } : outcome;
}

function summarize(outcomes: readonly Outcome[]): void {
  const verdicts = outcomes.map((outcome) => (isMeasurement(outcome) ? verdict(outcome) : ''));
  const count = (value: string) => verdicts.filter((each) => each === value).length;
  say(`\n${count('ok')} as expected, ${count('over')} over.`);
}
