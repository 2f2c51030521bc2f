import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { finished } from '../file/work.js';
import { BrokenInvariant } from '../linux/invariant.js';
import { refusal } from '../testkit/refused.js';
import { IommufdObject, ObjectTable } from './objects.js';

/** An object that refers to others, as an HWPT does to its IOAS. */
class Node extends IommufdObject {
  readonly kind = 'node';
  destroyed = false;
  readonly #parents: readonly Node[];

  constructor(parents: readonly Node[]) {
    super();
    this.#parents = parents;
    for (const parent of parents) parent.hold();
  }

  destroy(): void {
    assert.equal(this.destroyed, false);
    this.destroyed = true;
    for (const parent of this.#parents) parent.drop();
  }
}

/** The errno with which `run` is refused, or `ok`. */
const code = (run: () => unknown) => refusal(run)?.code ?? 'ok';

test('ids are the lowest free ones, and an object can be destroyed exactly when nothing refers to it', () => {
  const step = fc.record({
    add: fc.boolean(),
    id: fc.integer({ min: 0, max: 12 }),
    parents: fc.array(fc.nat(11), { maxLength: 3 }),
  });
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
          code(() => finished(table.destroy(id))),
          !model.has(id) ? 'ENOENT' : referred ? 'EBUSY' : 'ok',
        );
        if (model.has(id) && !referred) model.delete(id);
      }
      assert.deepEqual(
        [...table.values()].map((each) => each.id).sort((a, b) => a - b),
        [...model.keys()].sort((a, b) => a - b),
      );
      finished(table.destroyAll());
      assert.equal(table.size, 0);
      assert.ok([...model.values()].every(({ object }) => object.destroyed));
    }),
    { numRuns: 300 },
  );
});

test('the id of an object that was buried is given to nothing, and means nothing', () => {
  const table = new ObjectTable();
  const parent = table.add(new Node([]));
  const child = table.add(new Node([parent]));
  finished(table.bury(child));
  assert.equal(child.destroyed, true);
  assert.equal(
    code(() => table.get(child.id, Node)),
    'ENOENT',
  );
  assert.equal(
    code(() => finished(table.destroy(child.id))),
    'ENOENT',
  );
  assert.equal(table.size, 2, 'the id is taken');
  assert.deepEqual(
    [1, 2].map(() => table.add(new Node([])).id),
    [child.id + 1, child.id + 2],
  );
  finished(table.destroy(parent.id));
  assert.equal(table.add(new Node([])).id, parent.id);
});

test('a reference dropped twice, an object put in or destroyed twice is a broken invariant', () => {
  const table = new ObjectTable();
  const parent = table.add(new Node([]));
  const child = table.add(new Node([parent]));
  parent.drop();
  assert.throws(() => parent.drop(), new BrokenInvariant('node 1 is dropped by more than hold it'));
  assert.throws(() => table.add(child), BrokenInvariant);
  assert.throws(() => table.destroy(child.id), BrokenInvariant, 'it gives its parent back');
  assert.throws(
    () => table.bury(child),
    new BrokenInvariant('node 2 is destroyed, and is no object of the context'),
  );
  finished(table.destroy(parent.id));
});

test('all objects go at the end, one that others hold for ever too, and one whose end fails', () => {
  const table = new ObjectTable();
  const leaked = table.add(new Node([]));
  leaked.hold();
  const parent = table.add(new Node([]));
  const failing = table.add(new Node([parent]));
  parent.drop();
  table.add(new Node([leaked]));
  assert.throws(
    () => finished(table.destroyAll()),
    new BrokenInvariant('node 2 is dropped by more than hold it'),
  );
  assert.equal(table.size, 0);
  assert.ok([leaked, parent, failing].every(({ destroyed }) => destroyed));
});

/** An object that takes another with it, as a mock device does its device. */
class Owner extends Node {
  readonly #table: ObjectTable;
  readonly #owned: Node;

  constructor(table: ObjectTable, owned: Node) {
    super([]);
    this.#table = table;
    this.#owned = owned;
  }

  override destroy(): void {
    super.destroy();
    finished(this.#table.bury(this.#owned));
  }
}

test('all objects go once, also those that others take with them', () => {
  const table = new ObjectTable();
  const owned = new Node([]);
  const owner = table.add(new Owner(table, owned));
  table.add(owned);
  finished(table.destroyAll());
  assert.ok(owner.destroyed && owned.destroyed);
});
