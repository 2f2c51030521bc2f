/**
 * Those who look at a server and mean it ill: they ask without end, and take no answers. Looking takes its
 * share of the time that the server has for programs, and no more; what is kept for them is bounded.
 */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FromSubject } from '../../inspector/remote.js';
import { type Actor, eventually, rulesOn } from '../../testkit/actor.js';
import { runner } from '../../testkit/processes.js';
import { attachInspection } from '../control-socket.js';
import { Pace } from '../pace.js';

const PULL = `${JSON.stringify({ pull: -1 })}\n`;
const MANY = 5000;
/** Of the time, for all who look: a twentieth, and what else is done in between. */
const SHARE = 10;
/** An answer that has cost more has waited for the processor: the rest after it is no longer (../pace.ts). */
const LONGEST_MS = 50;

const rule = await rulesOn({ devices: ['edu'], runner });

const inspectorOf = ({ run }: Actor): Promise<Socket> =>
  attachInspection({ uid: runner.uid, pid: run.server });

/** Contexts and PASIDs, so that there is something to be told. */
async function furnish(actor: Actor): Promise<void> {
  const fd = await actor.do('open /dev/ioasid');
  await actor.repeat(500, `alloc ${fd} 0`);
}

/** What the answers that have come say that they have cost, in milliseconds. */
function costsIn(answers: string): number[] {
  const lines = answers.split('\n').slice(0, -1);
  return lines.flatMap((line) => {
    const words = JSON.parse(line) as FromSubject;
    return 'pulled' in words ? words.pulled.cost : [];
  });
}

rule('inspectors who ask without end are answered in a share of the time', async (actor) => {
  await furnish(actor);
  const began = performance.now();
  const answers = ['', '', ''];
  const sockets = await Promise.all(answers.map(() => inspectorOf(actor)));
  for (const [n, socket] of sockets.entries()) {
    socket.setEncoding('utf8').on('data', (part: string) => (answers[n] += part));
    socket.write(PULL.repeat(MANY));
  }
  const fd = await actor.do('open /dev/ioasid');
  await actor.repeat(500, `info ${fd}`);
  await eventually(async () => answers.every((each) => costsIn(each).length > 2), 'each is answered');
  const costs = answers.flatMap(costsIn).map((cost) => Math.min(cost, LONGEST_MS));
  const spent = costs.reduce((all, cost) => all + cost, 0) - Math.max(...costs);
  const elapsed = performance.now() - began;
  for (const socket of sockets) socket.destroy();
  assert.ok(spent * SHARE < elapsed, `${spent} ms of ${elapsed} ms went into ${costs.length} answers`);
});

rule('of an inspector who reads no answers the server takes no more questions', async (actor) => {
  await furnish(actor);
  const socket = await inspectorOf(actor);
  // More than sockets hold: what is written is taken only as fast as the server hears.
  const questions = PULL.repeat(MANY);
  for (let n = 0; n < 200; n++) socket.write(questions);
  await sleep(500);
  const left = socket.writableLength;
  assert.ok(left > (200 * questions.length) / 2, `${left} bytes are left`);
  const fd = await actor.do('open /dev/ioasid');
  assert.deepEqual(await actor.repeat(500, `info ${fd}`), new Map([['ok', 500]]));
  socket.destroy();
});

test('a pace lets looks take a twentieth of the time', () => {
  const pace = new Pace();
  assert.equal(pace.wait, 0);
  assert.throws(() =>
    pace.look(() => {
      const began = performance.now();
      while (performance.now() < began + 5);
      throw new Error('as it may');
    }),
  );
  assert.equal(pace.wait, 0, 'a look may be in parts');
  assert.ok(pace.cost > 4.999, `${pace.cost} ms`);
  const rest = Math.min(1000, 20 * pace.cost);
  const resting = performance.now();
  pace.rest();
  const { wait } = pace;
  assert.ok(wait <= rest, `${wait} of ${rest} ms`);
  assert.ok(wait >= rest - (performance.now() - resting) - 1e-6, `${wait} of ${rest} ms`);
});
