/**
 * Machine code against the instructions that stand beside it, by the assembler of its processor.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { assembled, type MachineCode } from '../linux/machine-code.js';

const assemblers: Record<string, readonly string[]> = {
  x64: ['x86_64-linux-gnu-as', '--64', '-msyntax=intel', '-mnaked-reg'],
  arm64: ['aarch64-linux-gnu-as'],
};

/** Labels of the instructions whose offsets are told, too. */
const LABELS = ['copy', 'stream', 'handler', 'previous'] as const;
type Offsets = { readonly [label in (typeof LABELS)[number]]?: number };

/** For each processor: its code is that of the instructions beside it. */
export function testMachineCodes(codes: Readonly<Record<string, Pick<MachineCode, 'text'> & Offsets>>): void {
  for (const [arch, code] of Object.entries(codes)) {
    const [as, ...flags] = assemblers[arch]!;
    const skip = spawnSync(as!, ['--version']).status === 0 ? false : `there is no ${as} here`;
    test(`the machine code for ${arch} is that of the instructions beside it`, { skip }, (t) => {
      const folder = mkdtempSync(join(tmpdir(), 'ioasid-'));
      t.after(() => rmSync(folder, { recursive: true }));
      const instructions = code.text.split('\n').map((line) => line.split('|')[1] ?? '');
      const labels = LABELS.filter((label) => code[label] !== undefined);
      const offsets = labels.map((label) => `.quad ${label} - start`);
      const [source, object, binary] = ['a.s', 'a.o', 'a.bin'].map((name) => join(folder, name)) as [
        string,
        string,
        string,
      ];
      writeFileSync(source, `${['start:', ...instructions, ...offsets].join('\n')}\n`);
      execFileSync(as!, [...flags, '-o', object, source]);
      execFileSync(as!.replace(/as$/, 'objcopy'), ['-O', 'binary', '-j', '.text', object, binary]);
      const found = readFileSync(binary);
      const bytes = assembled(code);
      assert.deepEqual(new Uint8Array(found.subarray(0, bytes.length)), bytes);
      assert.deepEqual(
        labels.map((label) => code[label]),
        labels.map((_, index) => Number(found.readBigUInt64LE(code.previous! + 8 * index))),
      );
    });
  }
}
