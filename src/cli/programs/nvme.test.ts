/** A C program as the driver of an NVMe controller: examples/nvme.c, on real files. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { compile, missingCompiler } from '../../testkit/c-program.js';
import { ioasid, runner } from '../../testkit/processes.js';

const BLOCK = 512;
const BLOCKS = 8192;
const source = readFileSync(new URL('../../../examples/nvme.c', import.meta.url), 'utf8');

describe(`examples/nvme.c as ${runner.name}`, { skip: runner.skip || missingCompiler() }, () => {
  const content = randomBytes(BLOCK * BLOCKS);
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-nvme-'));
  after(() => rmSync(folder, { recursive: true }));

  const disk = join(folder, 'disk.img');

  /** Runs it, with its output in a file. @param medium the disk, or what has it as its content. */
  function read(first: number, count: number, medium = disk) {
    const output = join(folder, 'blocks');
    writeFileSync(disk, content);
    writeFileSync(output, '');
    chmodSync(folder, 0o755);
    for (const path of [disk, output]) chmodSync(path, 0o666);
    const command = `"${compile('nvme.c', source)}" ${first} ${count} >"${output}"`;
    const result = ioasid(
      ['run', '-v', '--device', `nvme,file=${medium}`, '--', 'sh', '-c', command],
      runner,
    );
    return { ...result, blocks: readFileSync(output) };
  }

  it('reads the blocks that it is asked for, by entries and lists of pages', () => {
    for (const [first, count] of [
      [BLOCKS - 1, 1],
      [5, 17],
      [3, 5000],
    ] as const) {
      const { status, stderr, blocks } = read(first, count);
      assert.deepEqual([status, stderr], [0, '']);
      assert.ok(blocks.equals(content.subarray(first * BLOCK, (first + count) * BLOCK)), `${first} ${count}`);
    }
  });

  it('reads a block device', { skip: runner.uid !== 0 && 'needs root for a loop device' }, (context) => {
    writeFileSync(disk, content);
    const { status, stdout, stderr } = spawnSync('losetup', ['-f', '--show', disk], { encoding: 'utf8' });
    if (status !== 0) {
      context.skip(`no loop device: ${stderr}`);
      return;
    }
    const device = stdout.trim();
    context.after(() => spawnSync('losetup', ['-d', device]));
    const { blocks, stderr: told } = read(BLOCKS - 17, 17, device);
    assert.equal(told, '');
    assert.ok(blocks.equals(content.subarray((BLOCKS - 17) * BLOCK)));
  });

  it('is told of a block that is not there', () => {
    const { status, stderr, blocks } = read(BLOCKS - 1, 2);
    assert.deepEqual([status, stderr, blocks.length], [1, 'opcode 2: status 0x80\n', 0]);
  });
});
