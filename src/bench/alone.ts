/** Rows in processes of their own (row-process.ts). */
import { execFileSync, type StdioOptions } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Outcome } from './measurement.js';
import { Passes } from './reference.js';
import type { Row } from './row.js';

const program = fileURLToPath(new URL('./row-process.js', import.meta.url));

/** The row beside its reference. */
export function alone({ name }: Row): Outcome {
  const stdio: StdioOptions = ['ignore', 'pipe', 'inherit'];
  const text = execFileSync(process.execPath, [program, name, 'compared'], { encoding: 'utf8', stdio });
  return JSON.parse(text) as Outcome;
}

/** Its passes, when they are asked for. */
export function passesAlone({ name }: Row): Passes {
  return new Passes([process.execPath, program, name]);
}
