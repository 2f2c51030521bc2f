/**
 * What a run of the suite has said, case by case, and what it is worth: a case that a stub also passes proves
 * nothing.
 */
import { readFileSync } from 'node:fs';

/** Of one case, `fixture.variant.test` or `fixture.test`. */
export interface Result {
  readonly name: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
}

/** Files in tests/linux-suite. */
const data = (name: string): URL => new URL(`../../tests/linux-suite/${name}`, import.meta.url);

/** The cases that the program has come to the end of. */
export function parseTap(text: string): Result[] {
  const results = new Map<string, Result>();
  for (const [, not, name, skip] of text.matchAll(/^(not )?ok \d+ (\S+)(.*# SKIP)?/gm)) {
    results.set(name!, { name: name!, outcome: not ? 'failed' : skip ? 'skipped' : 'passed' });
  }
  return [...results.values()];
}

/** How many cases the program says that it has: more than it has come to when something has ended it. */
export function plannedCases(text: string): number {
  return Number(/^1\.\.(\d+)$/m.exec(text)?.[1] ?? 0);
}

/**
 * The cases of kernel `version`'s suite that pass against a device file that answers 0 to every call and does
 * nothing.
 */
export function stubPasses(version: string): ReadonlySet<string> {
  const { passed } = JSON.parse(readFileSync(stubFile(version), 'utf8')) as { passed: string[] };
  return new Set(passed);
}

export function stubFile(version: string): URL {
  return data(`stub-${version}.json`);
}

/** An entry of reasons.json. Without `kernel` it holds for all versions. */
interface ReasonEntry {
  readonly cases: string;
  readonly kernel?: string;
  readonly withoutHugePages?: true;
  readonly reason: string;
}

/** An entry of vfio-reasons.json. */
interface VfioReason {
  readonly device: string;
  readonly cases: string;
  readonly reason: string;
}

/**
 * Why a case of kernel `version`'s suite cannot pass here, as far as that is known: the first pattern that
 * its name matches says it. `hugePages`: there are some.
 */
export function reasons(version: string, hugePages: boolean): (name: string) => string | undefined {
  const list = JSON.parse(readFileSync(data('reasons.json'), 'utf8')) as ReasonEntry[];
  const patterns = list
    .filter(
      ({ kernel, withoutHugePages }) => (kernel ?? version) === version && !(withoutHugePages && hugePages),
    )
    .map(({ cases, reason }) => ({ pattern: new RegExp(`^(${cases})$`), reason }));
  return (name) => patterns.find(({ pattern }) => pattern.test(name))?.reason;
}

/**
 * Why a case of the suite for VFIO, or a program of it, cannot pass with a device; undefined when nobody
 * knows.
 */
export function vfioReason(device: string, name: string): string | undefined {
  const list = JSON.parse(readFileSync(data('vfio-reasons.json'), 'utf8')) as VfioReason[];
  const whole = (pattern: string) => new RegExp(`^(${pattern})$`);
  return list.find((each) => whole(each.device).test(device) && whole(each.cases).test(name))?.reason;
}

/** The table of outcomes by fixture (and variant), with a line of sums. */
export function table(results: readonly Result[], stub: ReadonlySet<string>): string {
  const rows = new Map<string, number[]>();
  const sums = [0, 0, 0, 0];
  for (const { name, outcome } of results) {
    const fixture = name.slice(0, name.lastIndexOf('.'));
    const row = rows.get(fixture) ?? [0, 0, 0, 0];
    rows.set(fixture, row);
    const column = outcome === 'failed' ? 1 : outcome === 'skipped' ? 2 : stub.has(name) ? 3 : 0;
    row[column]!++;
    sums[column]!++;
  }
  const lines = [...rows, ['sum', sums] as const].map(([fixture, row]) => [fixture, ...row.map(String)]);
  return [['fixture', 'passed', 'failed', 'skipped', 'a stub passes too'], ...lines]
    .map(([fixture, ...columns]) => fixture!.padEnd(46) + columns.map((each) => each.padStart(18)).join(''))
    .join('\n');
}
