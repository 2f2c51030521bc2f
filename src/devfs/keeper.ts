/**
 * Keeper: who has looked up the inode of a device node, and lets the kernel know it as long as he likes. He
 * need not open it for that (O_PATH), and each lookup makes an inode, so it is charged to him.
 *
 * The last one that a name has led to is free: the kernel keeps it when nobody does. Nor is one charged that
 * is open, because open files are.
 *
 * Invariant: an inode is charged as long as it is known, not open, and not the last of its name.
 */
import { type Account, forHeap, Pool } from '../linux/account.js';
import { refuse } from '../linux/errno.js';

/** Some 500 bytes each. */
export const keptNames = new Pool('names of files', 'ENOMEM', () => forHeap(2 ** 17), { bytes: 2048 });

export class Keeper {
  readonly #account: Account;
  #known = true;
  #last = true;
  #opens = 0;
  #charged = false;

  /** Of an inode that becomes known, as the last of its name. @throws Refusal ENOMEM he keeps too many. */
  constructor(account: Account) {
    this.#account = account;
    const share = account.share(keptNames);
    if (!share.has(1)) refuse(keptNames.errno, share.reason);
  }

  /** Its name leads to another inode from now on, or is gone. */
  notLast(): void {
    this.#last = false;
    this.#charge();
  }

  opened(): void {
    this.#opens++;
    this.#charge();
  }

  closed(): void {
    this.#opens--;
    this.#charge();
  }

  /** The kernel does not know it any more. */
  forgotten(): void {
    this.#known = false;
    this.#charge();
  }

  #charge(): void {
    const charged = this.#known && !this.#last && this.#opens === 0;
    if (charged === this.#charged) return;
    this.#charged = charged;
    const share = this.#account.share(keptNames);
    if (charged) share.add(1);
    else share.remove(1);
  }
}
