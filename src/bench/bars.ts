/**
 * The table as a picture: a bar for each row that has something to be measured by, how many times the
 * reference (or the most that the figure may be) we take, with a mark where that is expected to end. An SVG
 * that needs nothing else.
 *
 * The scale is logarithmic, so that half and twice as much are equally far from 1.
 */
import { isMeasurement, type Measurement, type Outcome, verdict } from './measurement.js';

const ROW = 18;
const NAMES = 430;
const WIDTH = 950;
const TOP = 24;
const FIRST = 0.1;
const LAST = 20;
const COLOURS = { ok: '#63b995', over: '#c1292e', '': '#9aa5b1' } as const;

/** @returns the text of the SVG; rows without a ratio are left out. */
export function ratioBars(outcomes: readonly Outcome[]): string {
  const rows = outcomes.filter(isMeasurement).filter((row) => shareOf(row) !== undefined);
  const height = TOP + ROW * rows.length + 8;
  const scale = [FIRST, 0.5, 1, 2, 5, 10, LAST].map((times) => tick(times, height));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif"
  font-size="12">
<title>Times the reference, and what is expected</title>
<rect width="${WIDTH}" height="${height}" fill="white"/>
${[...scale, ...rows.map(bar)].join('\n')}
</svg>
`;
}

/** How many times the most that the figure may be, where that is what is expected; or the reference. */
function shareOf({ ours, ratio, max }: Measurement): number | undefined {
  return max === undefined ? ratio : ours / max;
}

function bar(row: Measurement, n: number): string {
  const share = shareOf(row)!;
  const expected = row.max === undefined ? row.maxRatio : 1;
  const y = TOP + ROW * n;
  const width = Math.max(1, at(share) - NAMES);
  const words = `${share.toFixed(2)} x`;
  return [
    `<text x="${NAMES - 8}" y="${y + 13}" text-anchor="end" fill="#333">${escaped(row.name)}</text>`,
    `<rect x="${NAMES}" y="${y + 3}" width="${width}" height="${ROW - 6}" fill="${COLOURS[verdict(row)]}"/>`,
    `<text x="${NAMES + width + 6}" y="${y + 13}" fill="#333">${words}</text>`,
    ...(expected === undefined ? [] : [mark(at(expected), y)]),
  ].join('\n');
}

function mark(x: number, y: number): string {
  return `<line x1="${x}" y1="${y}" x2="${x}" y2="${y + ROW}" stroke="#111" stroke-width="2"/>`;
}

function tick(times: number, height: number): string {
  const x = at(times);
  return [
    `<line x1="${x}" y1="${TOP - 6}" x2="${x}" y2="${height}" stroke="#ddd"/>`,
    `<text x="${x}" y="${TOP - 10}" text-anchor="middle" fill="#333">${times}</text>`,
  ].join('\n');
}

/** Where a ratio is drawn; what is off the scale is at its end. */
function at(times: number): number {
  const within = Math.min(LAST, Math.max(FIRST, times));
  const share = Math.log(within / FIRST) / Math.log(LAST / FIRST);
  return Math.round(NAMES + share * (WIDTH - NAMES - 60));
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
