/**
 * `ioasid check ./model.js`: a model is put through what programs may do to it (check/exercise.ts), and a
 * page says what is wrong with it. Without device files, so anywhere.
 *
 * The exit status is 0 when nothing is wrong, 1 when something is, 125 when there is no such model.
 */
import { writeSync } from 'node:fs';
import color from 'picocolors';
import type { DeviceModel, PciDescription } from '../devices/device-model.js';
import { planDevice } from '../devices/load.js';
import { Refusal } from '../linux/errno.js';
import { Exercise, type Exercised, type Finding } from './check/exercise.js';
import { OUR_FAULT } from './launch-plan.js';
import { complainOf } from './messages.js';

/** What the options of `check` say. */
export interface CheckArguments {
  readonly seed?: number;
  readonly accesses: number;
}

/** Exit status of a model that has faults. */
const WRONG = 1;

/** Checks what `spec` asks for, and ends this process. */
export async function check(spec: string, { seed = randomSeed(), accesses }: CheckArguments): Promise<never> {
  const [{ StandIn }, { ModelFaults }, { ModelCalls }, { leave }] = await Promise.all([
    import('../devfs/stand-in.js'),
    import('./model-faults.js'),
    import('../devices/model-calls.js'),
    import('./signals.js'),
  ]);
  // A model that loops is ended by the thread that watches, and one that throws later has thrown.
  new StandIn();
  new ModelFaults(leave);
  ModelCalls.tellCallbacks();
  try {
    const { page, isWrong } = await pageOf(spec, { seed, accesses, baseDirectory: process.cwd() });
    writeSync(1, page);
    return leave(isWrong ? WRONG : 0);
  } catch (error) {
    complainOf(error as Error);
    // What there is not cannot be wrong.
    return leave(error instanceof Refusal && error.code !== 'ENOENT' ? WRONG : OUR_FAULT);
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
  if (plan.transport !== 'pci')
    throw new Error(`"${spec}" is a virtio device, and check is for PCI functions`);
  const parts: { name: string; exercised: Exercised }[] = [];
  let parent: DeviceModel | undefined;
  const whole = new Exercise((host) => (parent = plan.make(host)), seed, plan.calls.part(spec));
  parts.push({ name: spec, exercised: await exercised(whole, accesses) });
  if (parent?.mdev !== undefined) {
    const { mdev } = parent;
    const cut = new Exercise((host) => mdev.create(0, host), seed, plan.calls.part('mdev 0'));
    parts.push({ name: 'its mediated device 0', exercised: await exercised(cut, accesses) });
  }
  const isWrong = parts.some(({ exercised }) => exercised.findings.length > 0);
  const again = `ioasid check ${spec} --seed ${seed} --accesses ${accesses}   does the same again`;
  const page = [...parts.flatMap(({ name, exercised }) => [...linesOf(name, exercised), '']), again, ''];
  return { page: page.join('\n'), isWrong };
}

/** Also hears of what it has left behind: a timer or promise of Node's that fails later. */
async function exercised(exercise: Exercise, accesses: number): Promise<Exercised> {
  exercise.run(accesses);
  await new Promise((resolve) => setTimeout(resolve, 20));
  return exercise.result;
}

function linesOf(name: string, { pci, findings, remarks, counts }: Exercised): string[] {
  const { accesses, dmas, faults, interrupts, resets } = counts;
  const many = findings.length === 1 ? '1 thing is wrong' : `${findings.length} things are wrong`;
  return [
    `${color.bold(name)}: ${describePci(pci)}`,
    `${accesses} accesses, ${dmas} DMAs (${faults} with a fault), ${interrupts} interrupts, ${resets} resets`,
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

function describePci({ vendorId, deviceId, bars, msi, msix, intx, pasidBits }: PciDescription): string {
  const id = [vendorId, deviceId].map((each) => each.toString(16).padStart(4, '0')).join(':');
  const parts = bars.map(({ index, size }) => `BAR ${index} of ${size} bytes`);
  if (msix !== undefined) parts.push(`${msix.vectors} vectors of MSI-X`);
  if (msi !== undefined) parts.push(`${msi} of MSI`);
  if (intx === true) parts.push('INTx');
  if (pasidBits !== undefined) parts.push(`PASIDs of ${pasidBits} bits`);
  return [id, ...parts].join(', ');
}

function randomSeed(): number {
  return Math.floor(Math.random() * 2 ** 32);
}
