/** What README shows at first is run, and says what README says. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ioasid, runner } from '../testkit/processes.js';
import { tracePicture } from '../testkit/trace-picture.js';
import type { CallEvent, TraceEvent } from '../trace/event.js';
import { eventsOf } from '../trace/raw.js';
import { recordedIn } from '../trace/recording/recording.js';

const root = new URL('../../', import.meta.url);
const readme = readFileSync(new URL('README.md', root), 'utf8');
const examples = ['dsa.py', 'fill.py'] as const;
const program = readFileSync(new URL('examples/fill.py', root), 'utf8');
/** As its reader is told to try: it is not authorized, and does not wait for what never comes. */
const careless = program.replace(/^call\(dsa.*$/m, '').replace(/^while [\s\S]*$/m, 'os.close(dsa)\n');
const python = spawnSync('python3', ['--version']).status === 0;

/**
 * Lines stand in the order in which calls have ended. The last close of a device goes on in slices, between
 * which others are served: on a busy machine, where that of /dev/ioasid comes meanwhile, either may end
 * first. They begin in the kernel's order, which is always the same: that in which they were closed.
 */
function inOrderOfCloses(events: readonly TraceEvent[]): TraceEvent[] {
  const isRelease = (event: TraceEvent): event is TraceEvent & CallEvent =>
    event.kind === 'call' && event.call === 'release';
  const begun = ({ time, duration }: TraceEvent & CallEvent) => time - duration / 1000;
  const releases = events.filter(isRelease).sort((a, b) => begun(a) - begun(b));
  return [...events.filter((event) => !isRelease(event)), ...releases];
}

describe('README', { skip: runner.skip || (python ? false : 'there is no python3') }, () => {
  it('shows two of the examples as they are, but for their first lines', () => {
    const listings = [...readme.matchAll(/^```python\n(.*?)```/gms)].map(([, listing]) => listing);
    const programs = examples.map((name) => readFileSync(new URL(`examples/${name}`, root), 'utf8'));
    assert.deepEqual(
      listings,
      programs.map((text) => text.slice(text.indexOf('\n') + 1)),
    );
  });

  it('begins with a program of ten lines that does a DMA', () => {
    const [, first] = /^```\w*\n(.*?)```/ms.exec(readme)!;
    assert.ok(first!.split('\n').length <= 11);
    assert.match(first!, /os\.write\(wq, fill\)/);
  });

  it('shows what the programs print', () => {
    const shown = [...readme.matchAll(/^\$ npx ioasid (run .*?) python3 (\w+\.py)\n(.*?\n)```/gms)];
    assert.equal(shown.length, examples.length);
    for (const [, args, name, output] of shown) {
      const path = fileURLToPath(new URL(`examples/${name}`, root));
      const { status, stdout, stderr } = ioasid([...args!.split(' '), 'python3', path], runner);
      assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: output, stderr: '' });
    }
  });

  it('shows what -v says when the device has not been authorized', () => {
    const [line] = /^\S+ -- DMA fault: .*\n.*/m.exec(readme)!;
    const { stderr } = ioasid(['run', '-v', '--', 'python3', '-c', careless], runner);
    // Which IOVA is chosen depends on where the memory lies.
    const anywhere = (text: string) =>
      text
        .replace(/^\S+/, 'time')
        .replace(/0x[12]000/, '0x1000')
        .replace(/\s+/g, ' ');
    assert.equal(anywhere(stderr.split('\n')[0]!), anywhere(line));
  });

  it('has a picture of the trace of that (PICTURE=1 draws it)', () => {
    const directory = mkdtempSync(join(tmpdir(), 'ioasid-readme-'));
    chownSync(directory, runner.uid, -1);
    const file = join(directory, 'run.ioasid');
    try {
      ioasid(['run', '--record', file, '--', 'python3', '-c', careless], runner);
      const drawn = tracePicture(inOrderOfCloses([...recordedIn(file)].flatMap(eventsOf)));
      const picture = new URL('docs/trace.svg', root);
      if (process.env.PICTURE !== undefined) writeFileSync(picture, drawn);
      // Process ids, times and addresses differ, and with their lengths where lines are broken.
      const words = (svg: string) =>
        svg
          .replace(/<[^>]*>/g, '')
          .replace(/\s+/g, '')
          .replace(/0x[0-9a-f]+|\d+/g, '');
      assert.equal(words(readFileSync(picture, 'utf8')), words(drawn));
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
