import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { InProcess } from '../client/in-process.js';
import { Machine } from '../machine/machine.js';
import { refused } from '../testkit/refused.js';
import { attachTrace } from './control-socket.js';
import { Lookers } from './lookers.js';

const own = { uid: process.geteuid!(), pid: process.pid };

/** The lines that a looker is sent, one by one. */
function linesOf(socket: Socket): () => Promise<Record<string, unknown>> {
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  return async () => JSON.parse((await lines.next()).value);
}

test('who looks is greeted and told all from then on; who goes costs nothing more', async () => {
  const machine = await Machine.create({ devices: ['edu'] });
  const lookers = new Lookers(machine);
  const socket = await attachTrace(own);
  const next = linesOf(socket);
  const { name, rid } = machine.devices[0]!.driver.life;
  assert.deepEqual(await next(), { version: 1, devices: [{ name, rid }] });
  new InProcess(machine).open('ioasid');
  lookers.tell();
  assert.equal((await next()).path, 'ioasid');

  socket.destroy();
  while (machine.trace.calls.on) await new Promise((resolve) => setImmediate(resolve));

  // One who does not read.
  const slow = (await attachTrace(own)).pause();
  while (!machine.trace.calls.on) await new Promise((resolve) => setImmediate(resolve));
  const program = new InProcess(machine);
  let made = 1;
  program.open('vfio/devices/vfio0');
  const happens = () => {
    refused(() => program.open('vfio/devices/vfio0'), 'EBUSY');
    lookers.tell();
    made++;
  };
  while (made < 40_000) happens();
  const read = linesOf(slow);
  await read();
  let [told, lost] = [0, 0];
  // What was lost is told as soon as there is room, whether anything happens then or not.
  const ticker = setInterval(() => lookers.tell(), 5);
  while (lost === 0 || told + lost < made) {
    const event = await read();
    if (event.kind === 'lost') lost += Number(event.count);
    else told++;
  }
  clearInterval(ticker);
  assert.ok(told > 0);
  slow.destroy();
  await once(slow, 'close');
});
