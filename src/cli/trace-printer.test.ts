import assert from 'node:assert/strict';
import { linkSync, mkdtempSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { refused } from '../testkit/refused.js';
import type { TraceEvent } from '../trace/event.js';
import { LineOutput, openLines } from './line-output.js';
import type { TraceArguments } from './trace-arguments.js';
import { TracePrinter } from './trace-printer.js';

const note = (sentence: string, time = 0): TraceEvent => ({ kind: 'note', device: 'vfio0', sentence, time });

/** What a printer has written of `events`, to a file. */
function printed(events: readonly TraceEvent[], options: TraceArguments = {}, colours = false): string {
  const file = join(mkdtempSync(join(tmpdir(), 'ioasid-')), 'trace');
  const output = new LineOutput(openLines(file, () => colours));
  const printer = new TracePrinter(output, options);
  for (const event of events) printer.add(event, () => []);
  printer.end();
  output.close();
  return readFileSync(file, 'utf8');
}

test('a line that is said again is counted, whenever that was', () => {
  const events = [...Array.from({ length: 9433 }, (_, n) => note('full', n)), note('empty', 86_399_999)];
  assert.equal(
    printed(events),
    '00:00:00.000 -- vfio0: full\n… 9,432 times more\n23:59:59.999 -- vfio0: empty\n',
  );
});

test('as JSON every event is a line', () => {
  const events = [note('full', 1), note('full', 2), note('a\nb', 3)];
  const lines = printed(events, { json: true }).trimEnd().split('\n');
  assert.deepEqual(
    lines.map((line) => JSON.parse(line)),
    events,
  );
});

test('a note that is the reason of a refusal is told as that alone', () => {
  const call = { kind: 'call', call: 'write', path: 'vfio/devices/vfio0', result: -1, duration: 0 } as const;
  const refused: TraceEvent = { ...call, error: 'EAGAIN', reason: 'vfio0 cannot take it: full', time: 0 };
  const events = [note('full'), note('odd'), refused, note('full')];
  const sentences = (options: TraceArguments) =>
    printed(events, options)
      .match(/(full|odd)$/gm)
      ?.join();
  assert.equal(sentences({ verbose: true }), 'odd,full,full');
  assert.equal(sentences({ show: ['note'] }), 'full,odd,full');
});

test('what nobody takes is counted, and told when somebody does', () => {
  const lines: string[] = [];
  const output = {
    colours: false,
    full: false,
    write: (line: string) => lines.push(line),
    flush: () => undefined,
  };
  const printer = new TracePrinter(output, {});
  const call = { kind: 'call', call: 'open', path: 'ioasid', result: 0, duration: 0, time: 0 } as const;
  printer.add(call, () => []);
  assert.ok(printer.again());
  output.full = true;
  for (let n = 0; n < 3; n++) if (n === 0 || !printer.again()) printer.add({ ...call, result: n }, () => []);
  output.full = false;
  printer.end();
  const lost = '-- 3 events are not told: they came too fast';
  assert.deepEqual(
    lines.map((line) => line.replace(/^\S+ (?=open|--)/, '')),
    ['open("/dev/ioasid") = 0 <0.000000>', '… 1 times more', lost],
  );
});

test('colours are for a terminal, and what a program has chosen has none', () => {
  assert.ok(!printed([note('\u001b[31mred')]).includes('\u001b'));
  assert.ok(printed([note('\u001b[31mred')]).includes('\\x1b[31mred'));
  assert.ok(printed([note('red')], {}, true).includes('\u001b[33m'));
});

test('a file is for its owner alone, and replaced; links are not followed', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-'));
  const file = join(folder, 'trace');
  writeFileSync(file, 'what was there before', { mode: 0o644 });
  new LineOutput(openLines(file, () => false)).close();
  assert.deepEqual([statSync(file).mode & 0o777, readFileSync(file, 'utf8')], [0o600, '']);
  writeFileSync(file, 'kept');
  symlinkSync(file, join(folder, 'symbolic'));
  refused(() => openLines(join(folder, 'symbolic'), () => false), 'EACCES', /symbolic link/);
  linkSync(file, join(folder, 'hard'));
  refused(() => openLines(join(folder, 'hard'), () => false), 'EACCES', /hard links/);
  assert.equal(readFileSync(file, 'utf8'), 'kept');
  refused(() => openLines(join(folder, 'no', 'folder'), () => false), 'EACCES', /: no such file/);
});
