/**
 * The thread of `--inspect`: it asks the server that it is a thread of by its socket, as anybody else.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { Inspector } from '../inspector/inspector.js';
import { Remote } from '../inspector/remote.js';
import { Refusal } from '../linux/errno.js';
import { attachInspection } from './control-socket.js';
import type { InspectorData, InspectorWords } from './inspector-data.js';

const { name, port, token } = workerData as InspectorData;
const say = (words: InspectorWords) => parentPort!.postMessage(words);

async function show(): Promise<void> {
  const server = await new Inspector(new Remote(await attachInspection(name))).show(port, token);
  say({ port: server.port });
}

show().catch((error: Error) => say({ failure: error instanceof Refusal ? error.reason : error.message }));
