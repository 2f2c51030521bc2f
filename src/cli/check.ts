/**
 * `ioasid check ./model.js`: a model is put through what programs may do to it (check/exercise.ts), and a
 * page says what is wrong with it. Without device files, so anywhere.
 *
 * The exit status is 0 when nothing is wrong; 1 when something is, also where the module cannot be loaded or
 * makes no model; 125 when `check` was asked wrong: there is no such module, or no such option.
 */
import { writeSync } from 'node:fs';
import color from 'picocolors';
import type { DeviceHost, DeviceModel } from '../devices/device-model.js';
import { type PciPlan, planDevice, type VirtioPlan } from '../devices/load.js';
import { callFactory, naming } from '../devices/thrown.js';
import { Refusal } from '../linux/errno.js';
import { Exercise } from './check/exercise.js';
import type { Exercised, Finding } from './check/report.js';
import { VirtioExercise } from './check/virtio-exercise.js';
import { FOUND } from './exit-statuses.js';
import { OUR_FAULT } from './launch-plan.js';
import { complainOf } from './messages.js';

/** What the options of `check` say. */
export interface CheckArguments {
  readonly seed?: number;
  readonly accesses: number;
}

/** Checks what `spec` asks for, and ends this process. */
export async function check(spec: string, { seed = randomSeed(), accesses }: CheckArguments): Promise<never> {
  const [{ StandIn }, { ModelFaults }, { ModelCalls }, { leave }] = await Promise.all([
    import('../devfs/stand-in.js'),
    import('./model-faults.js'),
    import('../devices/model-calls.js'),
    import('./signals.js'),
  ]);
  // A model that loops is ended by the thread that watches, and one that throws later has thrown.
  new StandIn().start();
  new ModelFaults(leave);
  ModelCalls.tellCallbacks();
  try {
    const { page, isWrong } = await pageOf(spec, { seed, accesses, baseDirectory: process.cwd() });
    writeSync(1, page);
    return leave(isWrong ? FOUND : 0);
  } catch (error) {
    complainOf(error as Error);
    // What there is not cannot be wrong.
    return leave(error instanceof Refusal && error.code !== 'ENOENT' ? FOUND : OUR_FAULT);
  }
}

/** How a page comes about. */
export interface PageOptions {
  readonly seed: number;
  /** Random ones. */
  readonly accesses: number;
  /** Where a relative path begins. */
  readonly baseDirectory: string;
}

/** What there is to say of what `spec` asks for. @throws Refusal as planDevice and checkModel. */
export async function pageOf(
  spec: string,
  { seed, accesses, baseDirectory }: PageOptions,
): Promise<{ page: string; isWrong: boolean }> {
  const plan = await planDevice(spec, baseDirectory);
  const { transport } = plan;
  const parts = await (transport === 'pci'
    ? pciParts(plan, seed, accesses)
    : virtioParts(plan, seed, accesses));
  const isWrong = parts.some(({ exercised }) => exercised.findings.length > 0);
  const again = `ioasid check ${spec} --seed ${seed} --accesses ${accesses}   does the same again`;
  const page = [...parts.flatMap(({ name, exercised }) => [...linesOf(name, exercised), '']), again, ''];
  return { page: page.join('\n'), isWrong };
}

/** What came out of a device, or of one that it is cut into. */
interface Part {
  readonly name: string;
  readonly exercised: Exercised;
}

async function pciParts(plan: PciPlan, seed: number, accesses: number): Promise<Part[]> {
  const { spec, calls, title } = plan;
  let parent: DeviceModel | undefined;
  const whole = naming(title, () => new Exercise((host) => (parent = plan.make(host)), seed, calls));
  const parts = [{ name: spec, exercised: await exercised(whole, accesses) }];
  if (parent?.mdev === undefined) return parts;
  const { mdev } = parent;
  const create = (host: DeviceHost) => callFactory('mdev.create', () => mdev.create(0, host));
  const cut = naming(`${title}: mdev 0`, () => new Exercise(create, seed, calls.part('mdev 0')));
  return [...parts, { name: 'its mediated device 0', exercised: await exercised(cut, accesses) }];
}

async function virtioParts(
  { spec, calls, make, title }: VirtioPlan,
  seed: number,
  accesses: number,
): Promise<Part[]> {
  const whole = naming(title, () => new VirtioExercise(make, seed, calls));
  return [{ name: spec, exercised: await exercised(whole, accesses) }];
}

/** Also hears of what it has left behind: a timer or promise of Node's that fails later. */
async function exercised(exercise: Exercise | VirtioExercise, accesses: number): Promise<Exercised> {
  exercise.run(accesses);
  await new Promise((resolve) => setTimeout(resolve, 20));
  return exercise.result;
}

function linesOf(name: string, { what, findings, remarks, counts }: Exercised): string[] {
  const many = findings.length === 1 ? '1 thing is wrong' : `${findings.length} things are wrong`;
  return [
    `${color.bold(name)}: ${what}`,
    counts,
    findings.length === 0 ? color.green('nothing is wrong') : color.red(many),
    ...findings.flatMap(linesOfFinding),
    ...(findings.length > 0 && remarks.length > 0 ? [''] : []),
    ...remarks.map((remark) => `look at: ${remark}`),
  ];
}

function linesOfFinding({ sentence, after, stack }: Finding, index: number): string[] {
  const lines = [`${index + 1}. ${sentence}`, ...(stack ? [stack] : [])];
  return ['', ...lines, ...after.map((what, n) => `${n === 0 ? '   after' : '        '} ${what}`)];
}

function randomSeed(): number {
  return Math.floor(Math.random() * 2 ** 32);
}
