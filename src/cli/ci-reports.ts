/**
 * How a run went, for a CI system: as JUnit's XML, and as annotations of a job of GitHub Actions.
 *
 * The command is one test case; that no DMA faulted, and that no device had anything to say, are two more,
 * which fail where `--fail-on` names them.
 */
import { type Failure, failures } from './fail-on.js';
import { counted, type Findings } from './findings.js';

export interface RunOutcome {
  readonly command: readonly string[];
  /** Of the command: `exit status 3`, `SIGKILL`; undefined: it has succeeded. */
  readonly failed: string | undefined;
  readonly seconds: number;
  readonly failOn: readonly Failure[];
}

const names: Readonly<Record<Failure, string>> = { fault: 'no DMA faults', note: 'no device has a note' };

/** The text of a JUnit file. */
export function junitOf({ command, failed, seconds, failOn }: RunOutcome, findings: Findings): string {
  const cases = failures.map((kind) => {
    const lines = findings.of(kind).map(counted);
    const fails = lines.length > 0 && failOn.includes(kind);
    return { name: names[kind], time: 0, lines, failure: fails ? lines[0] : undefined };
  });
  const all = [{ name: command.join(' '), time: seconds, lines: [], failure: failed }, ...cases];
  const wrong = all.filter(({ failure }) => failure !== undefined).length;
  const took = seconds.toFixed(3);
  const sums = `tests="${all.length}" failures="${wrong}" errors="0" skipped="0" time="${took}"`;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites ${sums}>`,
    `  <testsuite name="ioasid run" ${sums}>`,
    ...all.flatMap(caseLines),
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n');
}

interface TestCase {
  readonly name: string;
  readonly time: number;
  readonly lines: readonly string[];
  readonly failure: string | undefined;
}

function caseLines({ name, time, lines, failure }: TestCase): string[] {
  const said = xml(lines.join('\n'));
  return [
    `    <testcase classname="ioasid" name="${xml(name)}" time="${time.toFixed(3)}">`,
    ...(failure === undefined ? [] : [`      <failure message="${xml(failure)}">${said}</failure>`]),
    ...(failure !== undefined || said === '' ? [] : [`      <system-out>${said}</system-out>`]),
    '    </testcase>',
  ];
}

/** XML 1.0 has no other control characters, not even by their numbers. */
function xml(text: string): string {
  return text
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '?')
    .replace(/[&<>"\n\r]/g, (character) => `&#${character.codePointAt(0)};`);
}

/** GitHub shows ten of each kind of a step. */
const SHOWN = 10;

/** A line for each annotation: an error for what fails the run, otherwise a warning. */
export function annotationsOf(failOn: readonly Failure[], findings: Findings): string[] {
  return failures.flatMap((kind) => {
    const found = findings.of(kind).map(counted);
    const level = failOn.includes(kind) ? 'error' : 'warning';
    const more = found.length - SHOWN + 1;
    const shown = more > 1 ? [...found.slice(0, SHOWN - 1), `and ${more} others`] : found;
    return shown.map((text) => `::${level} title=ioasid ${kind}::${command(text)}`);
  });
}

/** The text of a workflow command is one line. */
function command(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}
