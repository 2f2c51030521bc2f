/**
 * `ioasid inspect` and `--inspect`: a page that shows a server in a browser.
 *
 * The page is served by a thread of its own, which asks the server by the same socket as a process of its own
 * would (inspected.ts). Its address has the token in it, and is said on standard error.
 */
import { randomBytes } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { Inspector } from '../inspector/inspector.js';
import { ownScript } from '../linux/own-package.js';
import { attachInspection, serverMeant } from './control-socket.js';
import type { InspectorData, InspectorWords } from './inspector-data.js';
import { complain } from './messages.js';

/** What the options of `inspect` say. */
export interface InspectArguments {
  readonly port: number;
}

/**
 * Shows server `pid`, or the only one, until it ends or Ctrl-C. @throws Error one sentence: which server is
 * unclear, it cannot be looked at, or the port cannot be had.
 */
export async function inspect(pid: number | undefined, { port }: InspectArguments): Promise<void> {
  const socket = await attachInspection(serverMeant(pid));
  const token = newToken();
  const server = await new Inspector(socket).show(port, token);
  sayWhere(server.port, token);
  await new Promise((resolve) => {
    socket.on('close', resolve);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, resolve);
  });
  socket.destroy();
  server.close();
}

/** Shows this server at `port`, from a thread of its own. @throws Error one sentence: it cannot be had. */
export function inspectThis(port: number): Promise<void> {
  const name = { uid: process.geteuid?.() ?? 0, pid: process.pid };
  const data: InspectorData = { name, port, token: newToken() };
  const worker = new Worker(ownScript('cli/inspector-thread.js'), { workerData: data });
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
