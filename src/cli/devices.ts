/**
 * `ioasid devices`: which devices there are, and what `--device` may say of each; for those that are named,
 * one's own modules among them, or for all that are built in.
 */
import color from 'picocolors';
import { builtInDevices, loadDevice } from '../devices/load.js';
import type { Option, OptionTable } from '../devices/options.js';
import { print } from './messages.js';

/** `dsa,help` asks for help about `dsa`. */
const HELP = ',help';

/** The devices that `--device` arguments ask help for. */
export function helpAskedFor(specs: readonly string[]): string[] {
  return specs.filter((spec) => spec.endsWith(HELP)).map((spec) => spec.split(',', 1)[0]!);
}

/** What the machine takes of devices, whatever their models. */
const common = [
  'every device',
  optionLine('bdf', {
    values: 'PCI address',
    what: 'its place, like 0000:6a:01.0',
    otherwise: 'the next one',
  }),
  'PCI functions that are used whole',
  optionLine('port', {
    values: '0 or 1',
    what: 'behind a port, on a bus that can be reset: of its own, or the one that bdf says',
    otherwise: '0',
  }),
  'PCI functions whose model can be cut',
  optionLine('mdevs', {
    values: 'number',
    what: 'mediated devices in place of the whole',
    otherwise: 'none',
  }),
  'a DSA that is used whole',
  optionLine('idxd', {
    values: '0 or 1',
    what: "it is Linux's own: /dev/dsa/wqD.Q, and no VFIO file",
    otherwise: '0',
  }),
];

/** Prints what there is to say of the devices called `names`. @throws Refusal as loadDevice. */
export async function devices(names: readonly string[]): Promise<void> {
  const lines: string[] = [];
  for (const name of names.length === 0 ? builtInDevices : names) {
    const { about } = await loadDevice(name, process.cwd());
    lines.push(`${color.bold(name)}  ${about.summary ?? 'a device of yours'}`, ...optionLines(about.options));
  }
  print(`${[...lines, ...common].join('\n')}\n`);
}

function optionLines(options: OptionTable | undefined): string[] {
  if (options === undefined) return ['    its module does not tell what it takes'];
  return Object.entries(options).map(([key, option]) => optionLine(key, option));
}

function optionLine(key: string, { values, what, otherwise }: Omit<Option<unknown>, 'parse'>): string {
  const absent = otherwise === undefined ? 'required' : `default ${otherwise}`;
  return `    ${`${key}=${values}`.padEnd(34)} ${what} (${absent})`;
}
