/** Is all of one configuration of accel-config's in another? Its own examples have commas too many. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

const [wanted, given] = process.argv
  .slice(2)
  .map((path) => JSON.parse(readFileSync(path, 'utf8').replaceAll(/,(\s*[}\]])/g, '$1')));
has(given, wanted, '');

function has(all, part, where) {
  if (typeof part !== 'object') assert.equal(all, part, where);
  else for (const [key, value] of Object.entries(part)) has(all?.[key], value, `${where}/${key}`);
}
