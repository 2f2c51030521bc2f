import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTap, plannedCases, reasons, stubPasses, table, vfioReason } from './results.js';

const output = `TAP version 13
1..4
#  RUN           iommufd.simple_close ...
ok 1 iommufd.simple_close
not ok 2 iommufd.cmd_fail
ok 3 dirty.small.get # SKIP too small
ok 4 dirty.small.set
`;

test('each line of the TAP output is a case with its outcome', () => {
  assert.deepEqual(
    parseTap(output).map(({ name, outcome }) => `${name} ${outcome}`),
    [
      'iommufd.simple_close passed',
      'iommufd.cmd_fail failed',
      'dirty.small.get skipped',
      'dirty.small.set passed',
    ],
  );
});

test('a program that was ended early has fewer cases than it has planned', () => {
  const half = output.split('\n').slice(0, 5).join('\n');
  assert.deepEqual([parseTap(output).length, plannedCases(output)], [4, 4]);
  assert.deepEqual([parseTap(half).length, plannedCases(half)], [2, 4]);
  assert.equal(plannedCases(''), 0);
});

test('a case that a stub passes too is not counted as passed', () => {
  const lines = table(parseTap(output), stubPasses('6.12')).split('\n');
  assert.match(lines[1]!, /^iommufd +0 +1 +0 +1$/);
  assert.match(lines.at(-1)!, /^sum +1 +1 +1 +1$/);
});

test('a lack of huge pages excuses nothing where there are some', () => {
  assert.equal(reasons('6.12', true)('vfio_compat_mock_domain.Ver1v2.huge_map'), undefined);
  assert.match(reasons('6.12', false)('vfio_compat_mock_domain.Ver1v2.huge_map') ?? '', /MAP_HUGETLB/);
});

test('what fails with one device by its speed is no excuse for another', () => {
  const storm = 'vfio_pci_driver_test.iommufd.memcpy_storm';
  assert.match(vfioReason('dsa', storm) ?? '', /60 s/);
  assert.equal(vfioReason('dsa,max-transfer=2097152,max-batch=32', storm), undefined);
  assert.equal(vfioReason('dsa', 'vfio_pci_driver_test.iommufd.memcpy_success'), undefined);
});
