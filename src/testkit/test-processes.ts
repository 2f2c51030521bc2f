/** Prints what run-tests.ts is to be given for the test files that are its arguments (together.ts). */
import { join, relative, resolve } from 'node:path/posix';
import { compiled, processesFor } from './together.js';

const files = process.argv.slice(2).map((path) => relative(compiled, resolve(path)));
for (const file of processesFor(files)) console.log(relative('.', join(compiled, file)));
