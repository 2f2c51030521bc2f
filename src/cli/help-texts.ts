/** What the help of commands has behind their options. */
import { exitStatuses } from './exit-statuses.js';

export const runExamples = `
Examples:
  ioasid run -- ./tests                                   with one dsa, ready for descriptors
  ioasid run -d dsa,mdevs=2 -d edu -- bash                two mediated devices, and QEMU's edu
  ioasid run -v -d ./my-device.js -- python3 driver.py    a model of yours; refusals are told
  ioasid run --strict -- ./driver                         as unforgiving as hardware`;

export const serveExamples = `
Examples:
  ioasid serve                            below the default folder, whose files are printed
  ioasid serve -d edu /tmp/devices        below /tmp/devices`;

/** As help has it. */
export function exitStatusHelp(): string {
  const rows = exitStatuses.map(([status, when]) => `  ${status.padEnd(7)} ${when.replaceAll('`', '')}`);
  return ['', '', 'Exit status:', ...rows].join('\n');
}
