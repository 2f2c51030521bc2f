/**
 * What a server is to tell of its machine, as its options ask. What does that is loaded only where it is
 * asked for: a start waits for each module.
 */
import type { Telling } from './telling.js';
import { type TraceArguments, tells } from './trace-arguments.js';

/** @returns undefined: nothing is asked for. @throws Refusal as Telling.of. */
export async function tellingOf(options: TraceArguments): Promise<Telling | undefined> {
  if (!tells(options)) return undefined;
  const { Telling } = await import('./telling.js');
  return Telling.of(options);
}
