/**
 * `ioasid stop`: ends a server, as Ctrl-C does.
 *
 * The kernel decides who may: a signal reaches processes of the same user, or any by root. Who is at the
 * socket with the server's name was asked just before, so that no other process is meant.
 */
import { setTimeout } from 'node:timers/promises';
import { ask, isServing, serverMeant } from './control-socket.js';

const WAIT_MS = 20;

/**
 * Ends server `pid`, or the only one; returns when it is gone. @throws Error one sentence: which one is
 * unclear, or it is not this user's.
 */
export async function stop(pid: number | undefined): Promise<void> {
  const name = serverMeant(pid);
  if ((await ask(name)) === undefined) throw new Error(`server ${name.pid} does not answer this user`);
  process.kill(name.pid, 'SIGTERM');
  while (isServing(name)) await setTimeout(WAIT_MS);
}
