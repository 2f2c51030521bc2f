/** How tests ask whether a call is refused: with which errno, and with a sentence that says why. */
import assert from 'node:assert/strict';
import { type ErrnoName, Refusal } from '../linux/errno.js';

/**
 * What `attempt` is refused with; undefined when it is done. Whatever else it throws is no refusal, and
 * stays.
 */
export function refusal(attempt: () => unknown): Refusal | undefined {
  try {
    attempt();
    return undefined;
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
}

/** Asserts that `attempt` is refused with `code`, or one of several, and a reason that matches. */
export function refused(
  attempt: () => unknown,
  code: ErrnoName | readonly ErrnoName[],
  reason: RegExp = /./,
): void {
  const error = refusal(attempt);
  assert.ok(error !== undefined, `was not refused with ${code}`);
  const codes: readonly string[] = [code].flat();
  assert.ok(codes.includes(error.code), `was refused, but not with ${code}: ${error.message}`);
  assert.match(error.reason, reason);
}
