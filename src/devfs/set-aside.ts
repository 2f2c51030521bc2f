/**
 * SetAside: a request that waits for its turn or for an identification. It keeps its bytes, and what is known
 * for it so far; what it has to write is charged to the opener of its file, until it has been answered.
 */
import { type Account, Pool } from '../linux/account.js';
import type { Refusal } from '../linux/errno.js';
import type { Opened } from './inode.js';
import type { OwnCopy } from './own-files.js';

/**
 * A request of no more bytes costs nothing: the kernel keeps more for its thread. So no close is refused.
 */
const SHORT = 4096;
export const waitingBytes = new Pool('bytes of waiting calls', 'ENOMEM', () => 2 ** 28, { bytes: 1 });

export class SetAside {
  readonly bytes: Uint8Array;
  readonly answers = new Map<number, Opened | Refusal>();
  readonly copies: OwnCopy[] = [];
  /** Something is still being found out, or used by others. */
  waits = true;
  readonly #account: Account;
  readonly #charged: number;

  /** Copies `request`. @throws Refusal ENOMEM too much of the account's waits. */
  constructor(request: Uint8Array, account: Account) {
    this.#charged = request.length > SHORT ? request.length : 0;
    account.take(waitingBytes, this.#charged);
    this.#account = account;
    this.bytes = request.slice();
  }

  /** It has been answered. `close` is given the copies. */
  end(close: (copy: OwnCopy) => void): void {
    this.#account.give(waitingBytes, this.#charged);
    for (const copy of this.copies) close(copy);
  }
}
