/** What README shows at first is run, and says what README says. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ioasid, runner } from '../testkit/processes.js';

const root = new URL('../../', import.meta.url);
const readme = readFileSync(new URL('README.md', root), 'utf8');
const example = fileURLToPath(new URL('examples/fill.py', root));
const program = readFileSync(example, 'utf8');
const python = spawnSync('python3', ['--version']).status === 0;

describe('README', { skip: runner.skip || (python ? false : 'there is no python3') }, () => {
  it('shows examples/fill.py as it is, but for its first line', () => {
    const [, listing] = /^```python\n(.*?)```/ms.exec(readme)!;
    assert.equal(listing, program.slice(program.indexOf('\n') + 1));
  });

  it('shows what the program prints', () => {
    const [, output] = /^\$ npx ioasid run -- python3 examples\/fill.py\n(.*?\n)```/ms.exec(readme)!;
    const { status, stdout, stderr } = ioasid(['run', '--', 'python3', example], runner);
    assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: output, stderr: '' });
  });

  it('shows what -v says when the device has not been authorized', () => {
    const [line] = /^\S+ -- DMA fault: .*\n.*/m.exec(readme)!;
    const careless = program.replace(/^call\(dsa.*$/m, '').replace(/^while [\s\S]*$/m, 'os.close(dsa)\n');
    const { stderr } = ioasid(['run', '-v', '--', 'python3', '-c', careless], runner);
    // Which IOVA is chosen depends on where the memory lies.
    const anywhere = (text: string) =>
      text
        .replace(/^\S+/, 'time')
        .replace(/0x[12]000/, '0x1000')
        .replace(/\s+/g, ' ');
    assert.equal(anywhere(stderr.split('\n')[0]!), anywhere(line));
  });
});
