/**
 * YAML 1.2 through the package `yaml`, which only this file imports: texts become trees that know the place of every
 * part, and plain values become text. Aliases are followed, as often as they are used.
 */
import { Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, visit } from 'yaml';
import { type FileProblem, FileRefused, inFileOrder, type Place } from '../model/file-problem.ts';

export type Tree = MapTree | ListTree | ScalarTree;

export interface MapTree {
  readonly type: 'map';
  readonly place: Place;
  readonly entries: readonly MapEntry[];
}

export interface MapEntry {
  readonly name: string;
  readonly place: Place;
  readonly value: Tree;
}

export interface ListTree {
  readonly type: 'list';
  readonly place: Place;
  readonly items: readonly Tree[];
}

export interface ScalarTree {
  readonly type: 'scalar';
  readonly place: Place;
  readonly value: string | number | boolean | null;
  /** As it was written, without quotes. */
  readonly text: string;
}

/** Nodes of one file, aliases counted as often as they are used: what a few lines of aliases can grow to is bounded. */
const NODES_MAX = 300_000;
const DEPTH_MAX = 32;
const LINE_WIDTH = 110;

/** Throws FileRefused. `null`: the text has nothing in it but comments. */
export function parseYaml(text: string): Tree | null {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, version: '1.2' });
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  const problems = document.errors.map(({ pos, message }): FileProblem => ({ place: placeAt(pos[0]), text: message }));
  if (problems.length > 0) throw new FileRefused(inFileOrder(problems));
  if (document.contents === null) return null;
  let nodes = 0;
  const read = (node: Node | null, around: Place, depth: number): Tree => {
    const place = node?.range ? placeAt(node.range[0]) : around;
    if (++nodes > NODES_MAX || depth > DEPTH_MAX) {
      throw new FileRefused([{ place, text: `the file is nested too deeply or has more than ${NODES_MAX} parts` }]);
    }
    if (node === null) return { type: 'scalar', place, value: null, text: '' };
    if (isAlias(node)) return read((node.resolve(document) as Node | undefined) ?? null, place, depth + 1);
    if (isSeq(node)) {
      return { type: 'list', place, items: node.items.map((item) => read(item as Node | null, place, depth + 1)) };
    }
    if (isMap(node)) {
      const entries = node.items.map((pair): MapEntry => {
        const key = pair.key as Node | null;
        const keyPlace = key?.range ? placeAt(key.range[0]) : place;
        const name = isScalar(key) ? String(key.source ?? key.value) : '';
        return { name, place: keyPlace, value: read(pair.value as Node | null, keyPlace, depth + 1) };
      });
      return { type: 'map', place, entries };
    }
    const scalar = node as Node & { value: unknown; source?: string };
    const value = scalar.value;
    const plain = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : null;
    return { type: 'scalar', place, value: plain, text: scalar.source ?? (plain === null ? '' : String(plain)) };
  };
  return read(document.contents as Node, { line: 1, column: 1 }, 0);
}

/** Plain objects, lists and scalars as a file. Lists of short items are written with one item a line. */
export function formatYaml(value: unknown, heading: string): string {
  const document = new Document(value, { version: '1.2', aliasDuplicateObjects: false });
  if (heading !== '') document.commentBefore = heading;
  visit(document, {
    Map(key, node, path) {
      // Small maps inside a list, or as the value of a name, fit on their line.
      if (path.length < 4 || key === null) return;
      if (node.items.every((pair) => isScalar(pair.value)) && node.toString().length < LINE_WIDTH - 20)
        node.flow = true;
    },
    Seq(_, node) {
      if (node.items.every((item) => isScalar(item)) && node.toString().length < 60) node.flow = true;
    },
  });
  return document.toString({ lineWidth: LINE_WIDTH, flowCollectionPadding: true });
}
