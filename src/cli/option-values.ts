/** What options and arguments of the command line may be. Each throws what Commander prints: why not. */
import { type Command, InvalidArgumentError } from 'commander';
import { type Failure, failures } from './fail-on.js';
import type { Traced } from './trace.js';

export function count(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It is a whole number.');
  return Number(text);
}

export function port(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535)
    throw new InvalidArgumentError('It is a port, 0 to 65535; a command comes behind `--`.');
  return Number(text);
}

export function tracedBy(text: string): Traced {
  return /^\d{1,9}$/.test(text) ? { pid: Number(text) } : { file: text };
}

export function seed(text: string): number {
  if (!/^\d{1,10}$/.test(text) || Number(text) >= 2 ** 32)
    throw new InvalidArgumentError('It is a whole number below 2^32.');
  return Number(text);
}

export function timeScale(text: string): number {
  const scale = Number(/^scale=(\d{1,6}(?:\.\d{1,6})?)$/.exec(text)?.[1] ?? 0);
  if (scale === 0) throw new InvalidArgumentError('It is scale=N, and N is above 0, as 10 or 0.5.');
  return scale;
}

export function failuresIn(text: string): Failure[] {
  return text.split(',').map((each) => {
    const found = failures.find((failure) => failure === each);
    if (found === undefined) throw new InvalidArgumentError(`It takes ${failures.join(', ')}.`);
    return found;
  });
}

export function percent(text: string): number {
  if (!/^\d{1,3}$/.test(text) || Number(text) > 100)
    throw new InvalidArgumentError('It is a whole number, 0 to 100.');
  return Number(text);
}

/** `dsa,help` asks for help about `dsa`. */
const HELP = ',help';

/** The devices that `--device` arguments ask help for. */
export function helpAskedFor(specs: readonly string[]): string[] {
  return specs.filter((spec) => spec.endsWith(HELP)).map((spec) => spec.split(',', 1)[0]!);
}

/** An option that lacks its value does not take the `--` for it: `run --config -- ./tests`. */
export function keepsSeparator(command: Command): void {
  for (const option of command.options.filter(({ required }) => required))
    command.on(`option:${option.name()}`, (value: unknown) => {
      if (value === '--') command.error(`error: option '${option.flags}' has no value before the \`--\``);
    });
}
