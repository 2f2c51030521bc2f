import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Machine } from '../machine/machine.js';
import { annotationsOf, junitOf } from './ci-reports.js';
import { Findings } from './findings.js';

/** Who looks at a machine whose device says `notes`, and has a fault when `faults`. */
async function found(notes: readonly string[], faults = false): Promise<Findings> {
  const machine = await Machine.create({ devices: ['edu'] });
  const findings = new Findings(machine);
  for (const note of notes) {
    machine.devices[0]!.driver.life.work.calls.note(note);
    findings.look();
  }
  const fault = { rid: '0000:6a:01.0', pasid: 1, iova: 8192, write: true, reason: 'not mapped' };
  if (faults) machine.iommu.faults.record(fault);
  findings.look();
  return findings;
}

const good = { command: ['./tests', '<&">'], failed: undefined, seconds: 1.5, failOn: [] };

test('JUnit has the command as a test case, and fails those kinds that --fail-on names', async () => {
  const findings = await found(['odd', 'odd', 'a\u001b<]]>'], true);
  const text = junitOf({ ...good, failOn: ['fault'] }, findings);
  assert.match(text, /<testsuites tests="3" failures="1" errors="0" skipped="0" time="1.500">/);
  assert.match(text, /<testcase classname="ioasid" name=".\/tests &#60;&#38;&#34;&#62;" time="1.500">/);
  const fault = 'DMA fault: 0000:6a:01.0 PASID 1 write at 0x2000: not mapped';
  assert.ok(text.includes(`<failure message="${fault}">${fault}</failure>`), text);
  assert.ok(
    text.includes('<system-out>vfio0: odd (2 times)&#10;vfio0: a\\x1b&#60;]]&#62;</system-out>'),
    text,
  );
});

test('JUnit fails the command with how it ended; nothing found is three that pass', async () => {
  const findings = await found([]);
  assert.match(junitOf({ ...good, failed: 'SIGKILL' }, findings), /<failure message="SIGKILL"><\/failure>/);
  assert.match(junitOf({ ...good, failOn: ['fault', 'note'] }, findings), /tests="3" failures="0"/);
});

test('annotations are errors where they fail the run, one line each, and ten of a kind at most', async () => {
  const findings = await found([...Array(12).keys()].map((n) => `note ${n}: 5%\nmore`));
  const lines = annotationsOf(['fault'], findings);
  assert.equal(lines.length, 10);
  assert.equal(lines[0], '::warning title=ioasid note::vfio0: note 0: 5%25\\x0amore');
  assert.equal(lines[9], '::warning title=ioasid note::and 3 others');
  assert.deepEqual(annotationsOf(['note'], await found(['odd'])), ['::error title=ioasid note::vfio0: odd']);
});
