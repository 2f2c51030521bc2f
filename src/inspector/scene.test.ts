import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { InProcess } from '../client/in-process.js';
import { Ioasid } from '../client/ioasid.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { ownFile } from '../linux/own-package.js';
import { Machine } from '../machine/machine.js';
import { History } from './history.js';
import type { Item } from './model.js';
import { Past } from './past.js';
import { Scenes } from './scene.js';
import { Subject } from './subject.js';

test('an authorization is a line as long as it lasts, and a look back shows it again', async () => {
  const machine = await Machine.create({ devices: ['dsa'] });
  const [subject, history, past] = [new Subject(machine), new History(), new Past()];
  const look = () => {
    const { time, items, events } = subject.pull();
    if (items !== undefined) history.add(time, new Map(items), events);
    past.hear(history.news(past.next.frames, past.next.events));
    return past.frames.length - 1;
  };
  const program = new InProcess(machine);
  const ioasid = Ioasid.open(program);
  const device = VfioDeviceFile.open(program, 'vfio0');
  const lines = (moment: number) => new Scenes(past.at(moment)).of('').lines.filter(({ access }) => access);
  const pasid = ioasid.alloc();
  const before = look();
  device.authorize(ioasid, pasid);
  const during = look();
  device.revoke(pasid);
  const after = look();
  assert.deepEqual(
    [before, during, after].map((moment) => lines(moment).map(({ to }) => to)),
    [[], ['device vfio0'], []],
  );
  assert.deepEqual(new Scenes(past.now).of(''), new Scenes(past.at(after)).of(''));
});

test('10,000 PASIDs of a context are a node until searched for; the one of another is shown', async () => {
  const machine = await Machine.create({ devices: ['dsa'] });
  const subject = new Subject(machine);
  const ioasid = Ioasid.open(new InProcess(machine));
  for (let n = 0; n < 10_000; n++) ioasid.alloc();
  Ioasid.open(new InProcess(machine)).alloc();
  const items = new Map(subject.pull().items!.map(([key, text]) => [key, JSON.parse(text)]));
  const all = new Scenes(items).of('');
  assert.deepEqual(
    [all.found, all.grouped, all.nodes.filter(({ kind }) => kind === 'space').length],
    [10_001, 10_000, 1],
  );
  assert.ok(all.nodes.some(({ title }) => title === '10000 address spaces'));
  const some = new Scenes(items).of('pasid 777');
  assert.equal(some.found, 11);
  assert.equal(some.nodes.filter(({ kind }) => kind === 'space').length, 11);
  assert.ok(new Scenes(items).of('pasid').nodes.length < 100);
});

test('the whole page is smaller than 300 KB', () => {
  const folder = ownFile('lib/inspector/page/');
  const sizes = readdirSync(folder).map((name) => statSync(folder + name).size);
  const size = sizes.reduce((sum, each) => sum + each, 0);
  assert.ok(sizes.length === 3 && size < 300_000, `${sizes.length} files, ${size} bytes`);
});

test('open files stand below their process in the order of their descriptors, a dozen of them', () => {
  const items = new Map<string, Item>();
  for (let n = 20; n > 0; n--)
    items.set(`open ${n}`, { type: 'open', path: '/dev/ioasid', pid: 7, fd: n, target: `context ${n % 2}` });
  for (const id of [0, 1]) items.set(`context ${id}`, { type: 'context', abi: 'ioasid', id, pid: 7 });
  const { nodes, lines } = new Scenes(items).of('');
  const files = nodes.filter(({ kind }) => kind === 'file');
  assert.deepEqual(
    files.map(({ title }) => title),
    [...Array.from({ length: 12 }, (_, n) => `${n + 1} /dev/ioasid`), '8 more open files'],
  );
  assert.ok(files.every(({ process }) => process === 'process 7'));
  assert.equal(lines.length, 14);
});
