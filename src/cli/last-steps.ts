/**
 * The last steps of a server: each is done, also when one before it has thrown, and what was thrown is said.
 * So a process that is about to end does end.
 */
import { complain } from './messages.js';

export type LastStep = () => void;

/** @returns whether none has thrown. */
export function lastSteps(steps: readonly LastStep[], say: (sentence: string) => void = complain): boolean {
  let well = true;
  for (const step of steps) {
    try {
      step();
    } catch (error) {
      well = false;
      say(`the end went wrong: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return well;
}
