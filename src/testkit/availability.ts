/**
 * Can tests on real files run here? Asked of the machine and not of `ioasid run`: if that is broken, its
 * tests must fail.
 */
import { examine } from '../cli/doctor.js';
import { missingCompiler } from './c-program.js';
import { keep, known } from './shared-folder.js';

/** Why `ioasid run` cannot work on this machine, or false. */
export async function missingFiles(): Promise<string | false> {
  return known<string | false>('missing-files') ?? keep('missing-files', await lookForFiles());
}

async function lookForFiles(): Promise<string | false> {
  const lacking = (await examine()).filter(({ ok, required }) => required && !ok);
  return lacking.length === 0 ? false : lacking.map(({ name, detail }) => `${name}: ${detail}`).join('; ');
}

/** Why there can be no C program on real files on this machine, or false. */
export async function missingActors(): Promise<string | false> {
  return missingCompiler() || (await missingFiles());
}
