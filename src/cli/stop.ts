/**
 * `ioasid stop`: ends a server, as Ctrl-C does. A `run` ends when its command does, which may not listen to
 * that: it is killed after a while, and with it all that the command has started.
 *
 * The kernel decides who may: a signal reaches processes of the same user, or any by root. Who is at the
 * socket with the server's name was asked just before, so that no other process is meant.
 */
import { setTimeout } from 'node:timers/promises';
import { ask, isServing, serverMeant } from './control-socket.js';
import { complain } from './messages.js';

const WAIT_MS = 20;
const SECOND = 1000;

/** What the options of `stop` say. */
export interface StopArguments {
  /** Seconds. */
  readonly killAfter: number;
}

/**
 * Ends server `pid`, or the only one; returns when it is gone. @throws Error one sentence: which one is
 * unclear, or it is not this user's.
 */
export async function stop(pid: number | undefined, { killAfter }: StopArguments): Promise<void> {
  const name = serverMeant(pid);
  if ((await ask(name)) === undefined) throw new Error(`server ${name.pid} does not answer this user`);
  process.kill(name.pid, 'SIGTERM');
  const deadline = performance.now() + killAfter * SECOND;
  while (isServing(name) && performance.now() < deadline) await setTimeout(WAIT_MS);
  if (!isServing(name)) return;
  complain(`server ${name.pid} has not ended within ${killAfter} s, so it is killed, and its command`);
  process.kill(name.pid, 'SIGKILL');
  while (isServing(name)) await setTimeout(WAIT_MS);
}
