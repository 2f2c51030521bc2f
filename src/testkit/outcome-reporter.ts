/**
 * A reporter for `node --test-reporter`: one line of JSON for each test that ended, so that the tests of
 * another process can be reported here by their names.
 */
interface TestEvent {
  readonly type: string;
  readonly data: {
    readonly name: string;
    readonly nesting: number;
    readonly details?: { readonly error?: Error };
  };
}

/** How one test ended. */
export interface TestOutcome {
  readonly name: string;
  /** What went wrong, with a stack; undefined when it passed. */
  readonly failure?: string;
}

export default async function* outcomes(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const { type, data } of events) {
    if (data.nesting !== 0) continue;
    if (type === 'test:pass') yield line({ name: data.name });
    if (type === 'test:fail') yield line({ name: data.name, failure: failure(data.details?.error) });
  }
}

/** Node wraps what the test threw; the cause is what it threw. */
function failure(error: Error | undefined): string {
  const thrown = error?.cause ?? error;
  return thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
}

function line(outcome: TestOutcome): string {
  return `${JSON.stringify(outcome)}\n`;
}
