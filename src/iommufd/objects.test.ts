import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Refusal } from '../linux/errno.js';
import { IommufdObject, ObjectTable } from './objects.js';

/** An object that refers to others, as an HWPT does to its IOAS. */
class Node extends IommufdObject {
  readonly kind = 'node';
  destroyed = false;
  readonly #parents: readonly Node[];

  constructor(parents: readonly Node[]) {
    super();
    this.#parents = parents;
    for (const parent of parents) parent.users++;
  }

  destroy(): void {
    assert.equal(this.users, 0, 'only leaves are destroyed');
    assert.equal(this.destroyed, false);
    this.destroyed = true;
    for (const parent of this.#parents) parent.users--;
  }
}

function code(run: () => unknown): string {
  try {
    run();
    return 'ok';
  } catch (error) {
    assert.ok(error instanceof Refusal, String(error));
    return error.code;
  }
}

test('ids are the lowest free ones, and an object can be destroyed exactly when nothing refers to it', () => {
  const step = fc.record({ add: fc.boolean(), id: fc.integer({ min: 0, max: 12 }), parents: fc.array(fc.nat(11), { maxLength: 3 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const table = new ObjectTable();
      const model = new Map<number, { object: Node; parents: number[] }>();
      for (const { add, id, parents } of steps) {
        if (add) {
          const ids = [...new Set(parents)].filter((each) => model.has(each));
          const object = table.add(new Node(ids.map((each) => model.get(each)!.object)));
          let lowest = 1;
          while (model.has(lowest)) lowest++;
          assert.equal(object.id, lowest);
          model.set(object.id, { object, parents: ids });
          continue;
        }
        const referred = [...model.values()].some((each) => each.parents.includes(id));
        assert.equal(
          code(() => table.destroy(id)),
          !model.has(id) ? 'ENOENT' : referred ? 'EBUSY' : 'ok',
        );
        if (model.has(id) && !referred) model.delete(id);
      }
      assert.deepEqual(
        table.values().map((each) => each.id),
        [...model.keys()].sort((a, b) => a - b),
      );
      table.destroyAll();
      assert.equal(table.size, 0);
      assert.ok([...model.values()].every(({ object }) => object.destroyed));
    }),
    { numRuns: 300 },
  );
});
