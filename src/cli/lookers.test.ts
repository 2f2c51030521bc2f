import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { InProcess } from '../client/in-process.js';
import { Machine } from '../machine/machine.js';
import { refused } from '../testkit/refused.js';
import { serveAskers } from '../testkit/served-askers.js';
import type { Recorded } from '../trace/raw.js';
import { HEADER_BYTES } from '../trace/recording/chunks.js';
import { Decoder } from '../trace/recording/decoder.js';
import { Messages } from '../trace/recording/message.js';
import { attachTrace } from './control-socket.js';
import { Lookers } from './lookers.js';

const own = { uid: process.geteuid!(), pid: process.pid };

/** What a looker is sent, one by one. */
function recordsOf(socket: Socket): () => Promise<Recorded> {
  const found: Recorded[] = [];
  const [messages, decoder] = [new Messages(), new Decoder()];
  let [rest, wake] = [HEADER_BYTES, () => {}];
  socket.on('data', (part: Buffer) => {
    const header = Math.min(rest, part.length);
    rest -= header;
    for (const records of messages.add(part.subarray(header))) found.push(...decoder.all(records));
    wake();
  });
  socket.resume();
  return async () => {
    while (found.length === 0)
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    return found.shift()!;
  };
}

test('who looks is greeted and told all from then on; who goes costs nothing more', async (t) => {
  t.after(serveAskers());
  const machine = await Machine.create({ devices: ['edu', 'edu'] });
  const lookers = new Lookers(machine, 1 << 16);
  const socket = await attachTrace(own);
  const next = recordsOf(socket);
  const devices = machine.devices.map(({ driver: { life } }) => ({
    name: life.name,
    rid: life.rid,
    spec: 'edu',
  }));
  const first = await next();
  assert.deepEqual(first.kind === 'machine' && first.machine.devices, devices);
  new InProcess(machine).open('ioasid');
  lookers.tell();
  const opened = await next();
  assert.equal(opened.kind === 'call' && opened.entry.path, 'ioasid');

  socket.destroy();
  while (machine.trace.calls.on) await new Promise((resolve) => setImmediate(resolve));

  // One who does not read.
  const slow = (await attachTrace(own)).pause();
  while (!machine.trace.calls.on) await new Promise((resolve) => setImmediate(resolve));
  const program = new InProcess(machine);
  let made = 2;
  program.open('vfio/devices/vfio0');
  program.open('vfio/devices/vfio1');
  // The same again and again would fit into what a socket takes.
  const happens = () => {
    refused(() => program.open(`vfio/devices/vfio${made % 2}`), 'EBUSY');
    lookers.tell();
    made++;
  };
  while (made < 40_000) happens();
  const read = recordsOf(slow);
  await read();
  let [told, lost] = [0, 0];
  // What was lost is told as soon as there is room, whether anything happens then or not.
  const ticker = setInterval(() => lookers.tell(), 5);
  while (lost === 0 || told + lost < made) {
    const event = await read();
    if (event.kind === 'lost') lost += event.count;
    else told++;
  }
  clearInterval(ticker);
  assert.ok(told > 0);
  slow.destroy();
  await once(slow, 'close');
});
