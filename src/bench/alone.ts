/** Rows in processes of their own (row-process.ts), of this build or of another. */
import { execFileSync, type StdioOptions } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Outcome } from './measurement.js';
import { compareTo, Passes } from './reference.js';
import type { Row } from './row.js';

const build = fileURLToPath(new URL('../..', import.meta.url));
const program = programOf(build);

/** The row beside its reference. */
export function alone({ name }: Row): Outcome {
  const stdio: StdioOptions = ['ignore', 'pipe', 'inherit'];
  const text = execFileSync(process.execPath, [program, name, 'compared'], { encoding: 'utf8', stdio });
  return JSON.parse(text) as Outcome;
}

/** Its passes, when they are asked for; those of the build in `folder`, which has a row of this name, too. */
export function passesAlone({ name }: Row, folder = build): Passes {
  return new Passes([process.execPath, programOf(folder), name]);
}

/** The row beside the same of the build in `folder`, in turns. */
export async function against(row: Row, folder: string): Promise<Outcome> {
  const result = await compareTo(passesAlone(row), passesAlone(row, folder), row.rounds);
  return { name: row.name, unit: 'ns', ...result };
}

function programOf(folder: string): string {
  return join(folder, 'dist/bench/row-process.js');
}
