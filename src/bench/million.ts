/**
 * Benchmark `million`: the memory and the time that a million PASIDs with one mapping each take
 * (million-process.ts).
 */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Measurement } from './measurement.js';
import type { MillionResult } from './million-process.js';

const program = fileURLToPath(new URL('./million-process.js', import.meta.url));

export function million(): Measurement[] {
  const { bytes, ns } = JSON.parse(
    execFileSync(process.execPath, [program], { encoding: 'utf8', timeout: 300_000 }),
  ) as MillionResult;
  return [
    { name: 'a million PASIDs, one mapping each', unit: 'bytes', ours: bytes, max: 4e8 },
    { name: 'a million PASIDs: one ALLOC and MAP', unit: 'ns', ours: ns },
  ];
}
