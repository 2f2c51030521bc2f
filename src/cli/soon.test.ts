import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventLog } from '../iommu/event-log.js';
import { Soon } from './soon.js';

test('what happens is told at once, what follows soon and together, a flood before it is lost', async () => {
  const log = new EventLog<{ readonly n: number }>(1);
  const told: number[] = [];
  const soon = new Soon(() => told.push(log.total));
  const happens = () => {
    log.record({ n: log.total });
    soon.tell();
  };
  happens();
  assert.deepEqual(told, [1]);
  soon.tell();
  assert.deepEqual(told, [1], 'nothing has happened since');

  for (let n = 0; n < 5000; n++) happens();
  assert.ok(told.length > 4 && told.length < 5001, `${told.length} times`);
  while (told.at(-1) !== log.total) await new Promise((resolve) => setTimeout(resolve, 1));

  const { length } = told;
  soon.tell(true);
  while (told.length === length) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assert.equal(told.length, length + 1, 'what is owed is told where nothing happens');
  log.record({ n: log.total });
  soon.now();
  assert.equal(told.at(-1), log.total);
});
