/**
 * `ioasid devices`: which devices there are, and what `--device` may say of each; for those that are named,
 * one's own modules among them, or for all that are built in.
 */
import color from 'picocolors';
import { builtInDevices, loadDevice } from '../devices/load.js';
import { machineOptions } from '../devices/machine-options.js';
import type { Option, OptionTable } from '../devices/options.js';
import { print } from './messages.js';

/** Prints what there is to say of the devices called `names`. @throws Refusal as loadDevice. */
export async function devices(names: readonly string[]): Promise<void> {
  const lines: string[] = [];
  for (const name of names.length === 0 ? builtInDevices : names) {
    const { about, transport } = await loadDevice(name, process.cwd());
    const own = about.options;
    lines.push(
      `${color.bold(name)}  ${about.summary ?? 'a device of yours'}`,
      ...(own === undefined ? ['    its module does not tell what it takes'] : optionLines(own)),
      ...optionLines(machineOptions[transport]),
    );
  }
  print(`${lines.join('\n')}\n`);
}

function optionLines(options: OptionTable): string[] {
  return Object.entries(options).map(([key, option]) => optionLine(key, option));
}

function optionLine(key: string, { values, what, otherwise }: Option<unknown>): string {
  const absent = otherwise === undefined ? 'required' : `default ${otherwise}`;
  return `    ${`${key}=${values}`.padEnd(34)} ${what} (${absent})`;
}
