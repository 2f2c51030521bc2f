/**
 * Whose account (linux/account.ts) a file that is opened is charged to: that of the user who opens it, or
 * whose subordinate he is. A server of a plain user has that one user only as a rule, so there each session
 * (setsid(2)) has an account.
 */
import { Account } from '../linux/account.js';
import { sessionOf } from '../linux/proc.js';
import { ownerOf } from '../linux/subordinate-users.js';

export type Openers = 'users' | 'sessions';

/** The account of thread `tid`, which waits for us, of user `uid`. */
export function accountOf(openers: Openers, tid: number, uid: number): Account {
  return Account.of(openers === 'users' ? `user ${ownerOf(uid)}` : `session ${sessionOf(tid)}`);
}
