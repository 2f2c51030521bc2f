import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Machine } from '../machine/machine.js';
import { Reporter } from './reporter.js';

async function scene() {
  const machine = await Machine.create({ devices: ['edu'] });
  const lines: string[] = [];
  const reporter = new Reporter(machine, '/dev', (line) => lines.push(line));
  const refused = (reason: string) =>
    reporter.call({ call: 'write', path: 'vfio0', tid: 7, handle: 1, argument: 0, result: -11, reason });
  const { calls } = machine.devices[0]!.driver.life.work;
  return { machine, lines, reporter, refused, note: (sentence: string) => calls.note(sentence) };
}

describe('what -v tells', () => {
  test('refusals with errno and reason, faults, and notes with the name of their device', async () => {
    const { machine, lines, reporter, refused, note } = await scene();
    refused('it is full');
    machine.iommu.faults.record({ rid: '0000:01:00.0', pasid: 5, iova: 0x1000, write: true, reason: 'no' });
    note('register 7 is not there');
    reporter.events();
    reporter.events();
    assert.deepEqual(lines, [
      'write on /dev/vfio0 by thread 7: EAGAIN: it is full',
      'DMA fault: 0000:01:00.0 PASID 5 write at 0x1000: no',
      'vfio0: register 7 is not there',
    ]);
  });

  test('what is said again is counted, and the count told before the next line and at the end', async () => {
    const { lines, reporter, refused } = await scene();
    for (let i = 0; i < 10; i++) refused('it is full');
    refused('it is off');
    refused('it is off');
    reporter.end();
    const line = 'write on /dev/vfio0 by thread 7: EAGAIN: ';
    assert.deepEqual(lines, [
      `${line}it is full`,
      '... 9 times more',
      `${line}it is off`,
      '... 1 times more',
    ]);
  });

  test('a note that is the reason of a refusal is told once', async () => {
    const { lines, refused, note } = await scene();
    note('it is full');
    note('a register is reserved');
    refused('vfio0 cannot take it: it is full');
    assert.deepEqual(lines, [
      'vfio0: a register is reserved',
      'write on /dev/vfio0 by thread 7: EAGAIN: vfio0 cannot take it: it is full',
    ]);
  });

  test('notes that came faster than they are told are counted', async () => {
    const { lines, reporter, note } = await scene();
    for (let i = 0; i < 100; i++) note(`note ${i}`);
    reporter.events();
    assert.equal(lines[0], '36 lines are not told: they came too fast');
    assert.equal(lines.length, 65);
  });
});
