/** An explanation of interrupts is of sequences in which there is a reason for it, and of no others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Difference, explanation } from '../compare.js';
import { type Line, plain } from '../language.js';
import { call } from '../layouts.js';
import { explained } from './explained.js';

const edu = plain('open', 'g', '/dev/vfio/1');
const write = (offset: number, bytes: string) => plain('pwrite', 'dev', offset, bytes);
const [raise, acknowledge] = [write(0x60, '02000000'), write(0x64, 'ffffffff')];
const setIrqs = (index: number) =>
  call('VFIO_DEVICE_SET_IRQS', { argsz: 24, flags: 0x24, index, count: 1, data0: 5 }, { fd: 'dev' });

/** Why the status register may differ after lines that were answered. */
function why(...lines: readonly (readonly [Line, string])[]): string | undefined {
  const [before, answers] = [lines.map(([line]) => line), lines.map(([, answer]) => answer)];
  const line = plain('pread', 'dev', String((7n << 40n) + 4n), 4);
  const at = before.length;
  const sides = { kernel: '4 04001000', ours: '4 04001800' };
  return explanation({ at, line, before, answers, ...sides } satisfies Difference, explained)?.name;
}

const [opened, raised, acknowledged] = [
  [edu, '0'],
  [raise, '4'],
  [acknowledge, '4'],
] as const;
const [intx, msi] = [
  [setIrqs(0), '0'],
  [setIrqs(1), '0'],
] as const;

test('INTx of an edu may differ when there was a cause under MSI, from before or since', () => {
  for (const lines of [
    [raised, msi],
    [msi, raised],
    [raised, [acknowledge, 'EIO'], msi],
  ] as const)
    assert.equal(why(opened, ...lines), 'INTx of what there was under MSI');
  assert.equal(why(opened, raised, acknowledged, msi), undefined);
  assert.equal(why(opened, raised), undefined);
  assert.equal(why(opened, [raise, 'EIO'], msi), undefined);
  assert.equal(why([plain('open', 'g', '/dev/vfio/2'), '0'], raised, msi), undefined);
});

test('INTx of an edu may differ when it was enabled with a cause there, not when one came later', () => {
  assert.equal(why(opened, raised, intx), 'INTx that is high when it is enabled');
  assert.equal(why(opened, intx, raised), undefined);
  assert.equal(why(opened, raised, acknowledged, intx), undefined);
});
