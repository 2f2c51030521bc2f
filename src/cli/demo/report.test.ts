import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import type { FaultRecord } from '../../iommu/fault-log.js';
import { refuse } from '../../linux/errno.js';
import { Report } from './report.js';

/** What `use` makes of a new report: its lines, and how many checks failed. */
async function reported(
  use: (report: Report) => void | Promise<void>,
): Promise<{ lines: string[]; failures: number }> {
  const lines: string[] = [];
  const report = new Report((line) => lines.push(stripVTControlCharacters(line)));
  await use(report);
  return { lines, failures: report.failures };
}

test('a check that holds is one line; one that does not says what was found and what must be', async () => {
  const { lines, failures } = await reported((report) => {
    report.check('bytes', 4, 4);
    report.check('counts', { a: 1 }, { a: 0 });
  });
  assert.deepEqual(lines, ['   ✓ bytes', '   ✗ counts: found {"a":1}, must be {"a":0}']);
  assert.equal(failures, 1);
});

test('what must be refused fails when it is granted, refused otherwise, or by our own error', async () => {
  const attempts: (() => Promise<unknown>)[] = [
    async () => 0,
    async () => refuse('EINVAL', 'this'),
    async () => refuse('EBUSY', ''),
    async () => assert.fail('that'),
  ];
  for (const attempt of attempts)
    assert.equal((await reported((report) => report.refused('x', 'EBUSY', attempt))).failures, 1);
  const { lines, failures } = await reported((report) =>
    report.refused('x', 'EBUSY', async () => refuse('EBUSY', 'it is in use')),
  );
  assert.deepEqual([lines, failures], [['   ✓ x', '     EBUSY  it is in use'], 0]);
});

test('a fault must be there, and be the expected one, with a reason', async () => {
  const expected = { rid: '0000:6a:01.0', pasid: 1, iova: 0x1000, write: true };
  const record: FaultRecord = { ...expected, sequence: 0, order: 0, time: 0, reason: 'nothing is there' };
  const failures = async (...faults: FaultRecord[]) =>
    (await reported((report) => report.fault('x', faults, expected))).failures;
  assert.equal(await failures(record), 0);
  assert.equal(await failures(), 1);
  for (const wrong of [{ rid: 'y' }, { pasid: 2 }, { iova: 0 }, { write: false }, { reason: '' }]) {
    assert.equal(await failures({ ...record, ...wrong }), 1);
  }
});
