import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InProcess } from '../client/in-process.js';
import { Ioasid } from '../client/ioasid.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { Machine } from '../machine/machine.js';
import { RecordedRun } from '../testkit/replayed.js';
import type { Recorded } from '../trace/raw.js';
import { History } from './history.js';
import { Past } from './past.js';
import { ReplayedRun } from './replayed-run.js';
import { Scenes } from './scene.js';

/** A run in which a device is authorized, and no more. */
async function recordedRun(): Promise<Recorded[]> {
  const machine = await Machine.create({ devices: ['dsa'] });
  const run = new RecordedRun(machine);
  const program = new InProcess(machine);
  const ioasid = Ioasid.open(program);
  const device = VfioDeviceFile.open(program, 'vfio0');
  const pasid = ioasid.alloc();
  device.authorize(ioasid, pasid);
  device.revoke(pasid);
  program.exit();
  return run.records();
}

/** What a page knows when it has heard all of `run`. */
async function heard(run: ReplayedRun): Promise<Past> {
  const [history, past] = [new History(), new Past()];
  for await (const { time, items, events } of run.pulls()) {
    if (items !== undefined) history.add(time, new Map(items), events);
    past.hear(history.news(past.next.frames, past.next.events));
  }
  return past;
}

test('each moment of a recording is there, with the files that were open then', async () => {
  const records = await recordedRun();
  const past = await heard(await ReplayedRun.of([records], assert.fail));
  const scenes = past.frames.map((_, moment) => new Scenes(past.at(moment)).of(''));
  const access = scenes.map(({ lines }) => lines.filter((line) => line.access).length);
  assert.deepEqual(
    access.filter((count, n) => count !== access[n - 1]),
    [0, 1, 0],
  );
  const files = scenes.map(({ nodes }) =>
    nodes.filter(({ kind }) => kind === 'file').map(({ title }) => title),
  );
  assert.ok(
    files.some((titles) => titles.join() === '3 /dev/ioasid,4 /dev/vfio/devices/vfio0'),
    `${files}`,
  );
  assert.deepEqual(files.at(-1), []);
});

test('where a recording cannot be done again, what was before is shown, and why it ends', async () => {
  const [first, ...rest] = await recordedRun();
  const said: string[] = [];
  const lost: Recorded = { kind: 'lost', count: 3, time: 0 };
  const all = [first!, ...rest.slice(0, 8), lost, ...rest.slice(8)];
  const past = await heard(await ReplayedRun.of([all], (sentence) => said.push(sentence)));
  assert.deepEqual(said, ['3 events are not in the recording: they came too fast']);
  assert.ok(past.frames.length > 0);
  await assert.rejects(ReplayedRun.of([rest], assert.fail), /does not say what it is of/);
});
