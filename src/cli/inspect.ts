/**
 * `ioasid inspect` and `--inspect`: a page that shows a server, or a recording, in a browser.
 *
 * The page is served by a thread of its own, which asks the server by the same socket as a process of its own
 * would (inspected.ts). Its address has the token in it, and is said on standard error.
 */
import { randomBytes } from 'node:crypto';
import { Inspector, type Source } from '../inspector/inspector.js';
import { Remote } from '../inspector/remote.js';
import { startThread } from '../linux/own-thread.js';
import { recordedIn } from '../trace/recording/recording.js';
import { attachInspection, serverMeant } from './control-socket.js';
import type { InspectorData, InspectorWords } from './inspector-data.js';
import { complain } from './messages.js';
import type { Traced } from './trace.js';

/** What the options of `inspect` say. */
export interface InspectArguments {
  readonly port: number;
}

/**
 * Shows a server, until it ends, or a run that was recorded; or until Ctrl-C. @throws Error one sentence:
 * which server is unclear, it cannot be looked at, what is no recording, or the port cannot be had.
 */
export async function inspect(traced: Traced, { port }: InspectArguments): Promise<void> {
  const socket = 'file' in traced ? undefined : await attachInspection(serverMeant(traced.pid));
  const source = 'file' in traced ? await recorded(traced.file) : new Remote(socket!);
  const token = newToken();
  const server = await new Inspector(source).show(port, token);
  sayWhere(server.port, token);
  await new Promise((resolve) => {
    socket?.on('close', resolve);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, resolve);
  });
  socket?.destroy();
  server.close();
}

/** What does it again is loaded only where it is asked for. */
async function recorded(file: string): Promise<Source> {
  const { ReplayedRun } = await import('../inspector/replayed-run.js');
  return ReplayedRun.of(recordedIn(file), (why) => complain(`the recording ends early: ${why}`));
}

/** Shows this server at `port`, from a thread of its own. @throws Error one sentence: it cannot be had. */
export function inspectThis(port: number): Promise<void> {
  const name = { uid: process.geteuid?.() ?? 0, pid: process.pid };
  const data: InspectorData = { name, port, token: newToken() };
  const worker = startThread('cli/inspector-thread', { workerData: data });
  worker.unref();
  return new Promise((resolve, reject) => {
    worker.on('error', (error) => {
      complain(`the inspector has ended: ${error.message}`);
      reject(error);
    });
    worker.once('message', (words: InspectorWords) => {
      if ('failure' in words) {
        reject(new Error(`--inspect: ${words.failure}`));
        return;
      }
      sayWhere(words.port, data.token);
      resolve();
    });
  });
}

function newToken(): string {
  return randomBytes(24).toString('base64url');
}

function sayWhere(port: number, token: string): void {
  complain(`inspect it at http://127.0.0.1:${port}/?token=${token}`);
}
