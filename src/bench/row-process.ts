/**
 * A row of the table in a process of its own. Arguments: its name, and `compared` to have it measured beside
 * its reference, and told as JSON. Without that it makes one measured pass for every line on its stdin, and
 * answers with the nanoseconds of one operation, as the references do.
 */
import { createInterface } from 'node:readline';
import { rowNamed } from './core.js';
import { References } from './reference.js';
import { compared } from './row.js';

const [name, how] = process.argv.slice(2);
const row = rowNamed(name!);
const references = new References();
try {
  if (how === 'compared') {
    console.log(JSON.stringify(await compared(row, references)));
  } else {
    const side = await row.begin(references);
    for await (const _ of createInterface(process.stdin)) console.log(await side.pass());
    await side.close?.();
  }
} finally {
  references.close();
}
