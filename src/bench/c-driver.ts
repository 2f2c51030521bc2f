/**
 * A driver in C of a device behind `ioasid run`, beside the same driver of a device in C, which is a process
 * of its own (bench/DRIVER.c): a device's whole way from a doorbell to its interrupt.
 *
 * Driver and device have one processor, on both sides. With two they may be placed on one or on both, and to
 * wake a processor that sleeps costs 20 us in a virtual machine: more than all else that is measured here.
 */
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Outcome } from './measurement.js';
import { compare, isCommand, Passes, type References } from './reference.js';

const ioasid = fileURLToPath(new URL('../../bin/ioasid', import.meta.url));
const ROUNDS = 21;
const WARMUPS = 5;

export interface CDriver {
  /** Of the benchmark. */
  readonly name: string;
  /** The program, which is given a file, or `-` for the device in C, and then `args`. */
  readonly driver: string;
  readonly args: readonly string[];
  /** Our device, and its file. */
  readonly device: string;
  readonly file: string;
  readonly maxRatio: number;
}

/** `command` under `ioasid run` with `device`. */
export function underRun(device: string, command: readonly string[]): string[] {
  return [process.execPath, ioasid, 'run', '--device', device, '--', ...command];
}

export async function compareDrivers({
  name,
  driver,
  args,
  device,
  file,
  maxRatio,
}: CDriver): Promise<Outcome> {
  const pinned = isCommand('taskset') ? ['taskset', '-c', String(cpus().length - 1)] : [];
  const ours = new Passes([...pinned, ...underRun(device, [driver, file, ...args])]);
  const reference = new Passes([...pinned, driver, '-', ...args]);
  const result = await compare(
    () => ours.pass(),
    () => reference.pass(),
    ROUNDS,
    WARMUPS,
  );
  await reference.close();
  await ours.close();
  return { name, unit: 'ns', ...result, maxRatio };
}

/** A benchmark that cannot be run, because there is no compiler; undefined: there is. */
export function withoutCompiler(name: string, { hasCompiler }: References): Outcome | undefined {
  return hasCompiler
    ? undefined
    : { name, skipped: 'its driver is a C program, and there is no compiler (cc)' };
}
